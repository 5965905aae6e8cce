/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Ethernet frames for tests: built from a description, summed and cut the slow way.
 *
 * Nothing here shares code with the switch: the checksum adds bytes one by one (RFC 1071), the
 * segmenter follows what Linux net/ipv4/{tcp_offload,af_inet}.c and net/ipv6/ip6_offload.c do to
 * a GSO packet. It is what the fast code is compared with.
 */
#ifndef HVLAB_TESTS_LIB_FRAME_H
#define HVLAB_TESTS_LIB_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_MAX (70 * 1024)

/**
 * struct frame_spec - What a frame shall be; zeroed fields mean "the ordinary"
 * @ip:		4, 6, or 0: no IP, @payload_len bytes behind @eth_type
 * @vlan:	TCI of a tag inside the frame; 0: none
 * @proto:	IPPROTO_TCP, _UDP, _ICMP, _ICMPV6 or any other (payload follows the IP header)
 * @opt4:	Bytes of IPv4 options, a multiple of 4 up to 40
 * @ext6:	A hop-by-hop extension header of 8 bytes
 * @tcp_opt:	Bytes of TCP options, a multiple of 4 up to 40
 * @frag:	IPv4 fragment offset field with flags (host order); 0x4000 is "don't fragment"
 * @udp_no_sum:	UDP checksum field zero: the sender computed none
 * @seed:	Of the payload's bytes
 */
struct frame_spec {
	uint8_t dst[6], src[6];
	uint16_t vlan;
	uint16_t eth_type;
	uint8_t ip;
	uint8_t saddr[16], daddr[16];
	uint8_t proto;
	uint8_t opt4, tcp_opt;
	bool ext6;
	bool udp_no_sum;
	uint8_t tcp_flags;
	uint16_t ip_id, frag;
	uint16_t sport, dport;
	uint32_t seq, ack;
	uint32_t payload_len;
	uint64_t seed;
};

/**
 * struct frame - A frame and where its headers are (0: absent)
 */
struct frame {
	uint32_t len;
	uint16_t l3, l4, payload;
	uint8_t ip, proto;
	uint8_t data[FRAME_MAX];
};

/* A complete frame with right lengths and checksums. Aborts when it does not fit. */
void frame_build(struct frame *f, const struct frame_spec *s);
/* The usual pair: fills addresses of host @from and @to (small numbers). */
void frame_addr(struct frame_spec *s, unsigned int from, unsigned int to);
void frame_mac(uint8_t mac[6], unsigned int host);

/* Finds the headers of @f->data. False: not IP or cut short. */
bool frame_parse(struct frame *f);

/* RFC 1071 over @len bytes, added to @sum; fold with csum_fold(). */
uint32_t csum_add(uint32_t sum, const void *data, size_t len);
uint16_t csum_fold(uint32_t sum);
/* Computes and stores the IPv4 header and TCP/UDP/ICMP/ICMPv6 checksums. Parsed frame. */
void frame_sum(struct frame *f);
/* Are they right? A frame without one counts as right. Parsed frame. */
bool frame_ip_sum_ok(const struct frame *f);
bool frame_l4_sum_ok(const struct frame *f);

/*
 * Segment @i of a TCP frame cut at @mss payload bytes: what must arrive. Returns false past the
 * last. @out is summed.
 */
bool frame_segment(const struct frame *f, uint32_t mss, uint32_t i, struct frame *out);

/* What a driver hands to a device that has promised to sum: the pseudo header's sum, unfolded
 * complement (Linux CHECKSUM_PARTIAL); for @tso also zero lengths, as mana_start_xmit() does. */
void frame_make_partial(struct frame *f, bool tso);

#endif
