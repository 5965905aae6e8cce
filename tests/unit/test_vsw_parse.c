/* SPDX-License-Identifier: BSD-2-Clause */
/* Claims about vswitch/parse.c and packet.c: what is found, and what is refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include <cmocka.h>
#include <netinet/in.h>

#include "base/wire.h"
#include "tests/lib/frame.h"
#include "tests/lib/rng.h"
#include "vsw_fixture.h"
#include "vswitch/parse.h"

static struct frame f;
static struct pkt pkt;

static struct frame_spec spec(uint8_t ip, uint8_t proto, uint32_t payload)
{
	struct frame_spec s = {.ip = ip, .proto = proto, .payload_len = payload};

	frame_addr(&s, 1, 2);
	return s;
}

static enum vsw_drop parse(void)
{
	uint32_t flags = pkt.flags, gso_size = pkt.gso_size;

	pkt_of_frame(&pkt, &f, 0);
	pkt.flags = flags;
	pkt.gso_size = (uint16_t)gso_size;
	return pkt_parse(&pkt);
}

static enum vsw_drop parse_with(uint32_t flags, uint16_t gso_size)
{
	pkt.flags = flags;
	pkt.gso_size = gso_size;
	return parse();
}

/* Behind the Ethernet addresses come @n raw bytes. */
static void raw(const uint8_t *bytes, uint32_t n)
{
	memset(f.data, 2, 12);
	memcpy(f.data + 12, bytes, n);
	f.len = 12 + n;
}

static int fresh(void **state)
{
	(void)state;
	memset(&pkt, 0, sizeof(pkt));
	return 0;
}

static void ipv4_headers_are_found(void **state)
{
	struct frame_spec s = spec(4, IPPROTO_TCP, 100);

	(void)state;
	for (unsigned int opt = 0; opt <= 40; opt += 4) {
		s.opt4 = (uint8_t)opt;
		s.tcp_opt = (uint8_t)(40 - opt);
		s.vlan = opt & 4 ? 0x2005 : 0;
		frame_build(&f, &s);
		assert_int_equal(parse(), VSW_DROP_NONE);
		assert_int_equal(pkt.l3, PKT_L3_IPV4);
		assert_int_equal(pkt.l4, PKT_L4_TCP);
		assert_int_equal(pkt.l4_proto, IPPROTO_TCP);
		assert_int_equal(pkt.l3_off, f.l3);
		assert_int_equal(pkt.l4_off, f.l4);
		assert_int_equal(pkt.payload_off, f.payload);
		assert_int_equal(pkt.ip_len, f.len - f.l3);
		assert_int_equal(pkt.eth_type, 0x0800);
		assert_int_equal(pkt.dst_off, f.l3 + 16);
		assert_false(pkt.fragment);
	}
	s = spec(4, IPPROTO_UDP, 0);
	frame_build(&f, &s);
	assert_int_equal(parse(), VSW_DROP_NONE);
	assert_int_equal(pkt.l4, PKT_L4_UDP);
	assert_int_equal(pkt.payload_off, f.len);
	s = spec(4, IPPROTO_ICMP, 8);
	frame_build(&f, &s);
	assert_int_equal(parse(), VSW_DROP_NONE);
	assert_int_equal(pkt.l4, PKT_L4_ICMP);
	s = spec(4, 132, 8); /* SCTP */
	frame_build(&f, &s);
	assert_int_equal(parse(), VSW_DROP_NONE);
	assert_int_equal(pkt.l4, PKT_L4_OTHER);
	assert_int_equal(pkt.l4_proto, 132);
	/* ICMPv6 inside IPv4 is nothing we know. */
	s = spec(4, IPPROTO_ICMPV6, 8);
	frame_build(&f, &s);
	assert_int_equal(parse(), VSW_DROP_NONE);
	assert_int_equal(pkt.l4, PKT_L4_OTHER);
}

static void stacked_vlan_tags_are_walked(void **state)
{
	struct frame_spec s = spec(6, IPPROTO_UDP, 20);
	uint8_t tags[64];

	(void)state;
	frame_build(&f, &s);
	for (unsigned int n = 1; n <= 8; n++) {
		uint32_t len = f.len;
		struct frame plain = f;

		for (unsigned int i = 0; i < n; i++) {
			be16_store(tags + 4 * i, i ? 0x8100 : 0x88a8);
			be16_store(tags + 4 * i + 2, (uint16_t)(100 + i));
		}
		memmove(f.data + 12 + 4 * n, f.data + 12, len - 12);
		memcpy(f.data + 12, tags, 4 * n);
		f.len = len + 4 * n;
		assert_int_equal(parse(), VSW_DROP_NONE);
		assert_int_equal(pkt.l3, PKT_L3_IPV6);
		assert_int_equal(pkt.l3_off, 14 + 4 * n);
		assert_int_equal(pkt.eth_type, 0x86dd);
		f = plain;
	}
	/* Nine are more than anybody looks through: an opaque frame. */
	for (unsigned int i = 0; i < 9; i++)
		memcpy(tags + 4 * i, "\x81\x00\x00\x05", 4);
	memcpy(tags + 36, "\x08\x00", 2);
	raw(tags, 38);
	assert_int_equal(parse(), VSW_DROP_NONE);
	assert_int_equal(pkt.l3, PKT_L3_OTHER);
	/* A tag that is cut short lies. */
	raw((const uint8_t *)"\x81\x00\x00", 3);
	assert_int_equal(parse(), VSW_DROP_MALFORMED);
	raw((const uint8_t *)"\x81\x00\x00\x05", 4);
	assert_int_equal(parse(), VSW_DROP_MALFORMED);
	raw((const uint8_t *)"\x81\x00\x00\x05\x08\x00", 6);
	assert_int_equal(parse(), VSW_DROP_MALFORMED);
}

static void other_ether_types_are_opaque(void **state)
{
	uint8_t arp[30] = {0x08, 0x06, 0, 1};

	(void)state;
	raw(arp, sizeof(arp));
	assert_int_equal(parse(), VSW_DROP_NONE);
	assert_int_equal(pkt.l3, PKT_L3_OTHER);
	assert_int_equal(pkt.l4, PKT_L4_NONE);
	assert_int_equal(pkt.payload_off, 14);
	assert_int_equal(pkt.l3_off, 0);
	/* 802.3 with a length: the same. */
	raw((const uint8_t *)"\x00\x03\x42\x42\x03", 5);
	assert_int_equal(parse(), VSW_DROP_NONE);
	assert_int_equal(pkt.l3, PKT_L3_OTHER);
}

static void ipv4_that_lies_is_refused(void **state)
{
	struct frame_spec s = spec(4, IPPROTO_TCP, 10);
	struct {
		unsigned int off, bytes;
		uint16_t value;
	} lie[] = {
		{0, 1, 0x55}, /* version */
		{0, 1, 0x44}, /* header shorter than 20 */
		{0, 1, 0x4f}, /* header longer, the TCP header has no room */
		{2, 2, 19},   /* total shorter than the header */
		{2, 2, 39},   /* no room for TCP */
		{2, 2, 51},   /* one more than the frame */
		{2, 2, 0},     {2, 2, 0xffff}, {32, 1, 0x40}, /* TCP header below 20 */
		{32, 1, 0xf0},				      /* TCP header beyond the packet */
	};

	(void)state;
	for (unsigned int i = 0; i < sizeof(lie) / sizeof(lie[0]); i++) {
		frame_build(&f, &s);
		if (lie[i].bytes == 1)
			f.data[14 + lie[i].off] = (uint8_t)lie[i].value;
		else
			be16_store(f.data + 14 + lie[i].off, lie[i].value);
		assert_int_equal(parse(), VSW_DROP_MALFORMED);
	}
	/* Cut at every byte. */
	for (uint32_t len = 14; len < 64; len++) {
		frame_build(&f, &s);
		assert_int_equal(f.len, 64);
		f.len = len;
		assert_int_equal(parse(), VSW_DROP_MALFORMED);
	}
	/* Padding behind the packet is no lie. */
	frame_build(&f, &s);
	memset(f.data + f.len, 0, 20);
	f.len += 20;
	assert_int_equal(parse(), VSW_DROP_NONE);
	assert_int_equal(pkt.ip_len, f.len - 20 - f.l3);
}

static void udp_and_icmp_that_lie_are_refused(void **state)
{
	struct frame_spec s = spec(4, IPPROTO_UDP, 10);

	(void)state;
	frame_build(&f, &s);
	for (unsigned int ulen = 0; ulen < 30; ulen++) {
		be16_store(f.data + f.l4 + 4, (uint16_t)ulen);
		assert_int_equal(parse(),
				 ulen >= 8 && ulen <= 18 ? VSW_DROP_NONE : VSW_DROP_MALFORMED);
	}
	frame_build(&f, &s);
	be16_store(f.data + f.l3 + 2, 20 + 7);
	assert_int_equal(parse(), VSW_DROP_MALFORMED);
	s = spec(4, IPPROTO_ICMP, 0);
	frame_build(&f, &s);
	be16_store(f.data + f.l3 + 2, 20 + 3);
	assert_int_equal(parse(), VSW_DROP_MALFORMED);
	s = spec(6, IPPROTO_ICMPV6, 0);
	frame_build(&f, &s);
	be16_store(f.data + f.l3 + 4, 3);
	assert_int_equal(parse(), VSW_DROP_MALFORMED);
}

static void fragments_have_no_l4(void **state)
{
	static const uint16_t frag[] = {0x2000, 0x0001, 0x1fff, 0x2005, 0x6000};
	struct frame_spec s = spec(4, IPPROTO_TCP, 10);
	struct frame_spec s6 = spec(6, IPPROTO_FRAGMENT, 8 + 5);

	(void)state;
	for (unsigned int i = 0; i < 5; i++) {
		s.frag = frag[i];
		frame_build(&f, &s);
		assert_int_equal(parse(), VSW_DROP_NONE);
		assert_true(pkt.fragment);
		assert_int_equal(pkt.l4, PKT_L4_NONE);
		assert_int_equal(pkt.l4_proto, IPPROTO_TCP);
		/* Five bytes of TCP are fine in a fragment. */
		be16_store(f.data + f.l3 + 2, 25);
		assert_int_equal(parse(), VSW_DROP_NONE);
	}
	s.frag = 0x4000;
	frame_build(&f, &s);
	assert_int_equal(parse(), VSW_DROP_NONE);
	assert_false(pkt.fragment);

	frame_build(&f, &s6);
	f.data[f.l4] = IPPROTO_UDP;
	assert_int_equal(parse(), VSW_DROP_NONE);
	assert_true(pkt.fragment);
	assert_int_equal(pkt.l4, PKT_L4_NONE);
	assert_int_equal(pkt.l4_proto, IPPROTO_UDP);
	assert_int_equal(pkt.l4_off, f.l4 + 8);
	/* Cut inside the fragment header. */
	be16_store(f.data + f.l3 + 4, 7);
	assert_int_equal(parse(), VSW_DROP_MALFORMED);
}

/* An IPv6 frame whose payload is the @n bytes of @chain, which begin with header @first. */
static void ip6_chain(uint8_t first, const uint8_t *chain, uint32_t n)
{
	struct frame_spec s = spec(6, first, n);

	frame_build(&f, &s);
	memcpy(f.data + f.l4, chain, n);
}

static void ipv6_extension_headers_are_walked(void **state)
{
	uint8_t c[256] = {0};

	(void)state;
	/* Hop by hop (16 bytes), destination options (8), UDP. */
	c[0] = IPPROTO_DSTOPTS;
	c[1] = 1;
	c[2] = 1;
	c[3] = 12;
	c[16] = IPPROTO_UDP;
	c[18] = 1;
	c[19] = 4;
	be16_store(c + 28, 8);
	ip6_chain(IPPROTO_HOPOPTS, c, 32);
	assert_int_equal(parse(), VSW_DROP_NONE);
	assert_int_equal(pkt.l4, PKT_L4_UDP);
	assert_int_equal(pkt.l4_off, 14 + 40 + 24);
	/* The chain is cut at every byte: never anything but a refusal. */
	for (uint32_t n = 0; n < 32; n++) {
		be16_store(f.data + f.l3 + 4, (uint16_t)n);
		assert_int_equal(parse(), VSW_DROP_MALFORMED);
	}
	/* An extension header longer than the packet. */
	c[1] = 200;
	ip6_chain(IPPROTO_HOPOPTS, c, 32);
	assert_int_equal(parse(), VSW_DROP_MALFORMED);
	/* Payload length beyond the frame, wrong version. */
	c[1] = 1;
	ip6_chain(IPPROTO_HOPOPTS, c, 32);
	be16_store(f.data + f.l3 + 4, 33);
	assert_int_equal(parse(), VSW_DROP_MALFORMED);
	be16_store(f.data + f.l3 + 4, 32);
	f.data[f.l3] = 0x40;
	assert_int_equal(parse(), VSW_DROP_MALFORMED);
	f.data[f.l3] = 0x60;
	f.len = f.l3 + 39u;
	assert_int_equal(parse(), VSW_DROP_MALFORMED);
	/* No next header, ESP, authentication: opaque. */
	ip6_chain(IPPROTO_NONE, c, 0);
	assert_int_equal(parse(), VSW_DROP_NONE);
	assert_int_equal(pkt.l4, PKT_L4_OTHER);
	ip6_chain(IPPROTO_AH, c, 32);
	assert_int_equal(parse(), VSW_DROP_NONE);
	assert_int_equal(pkt.l4, PKT_L4_OTHER);
}

static void what_lies_beyond_the_copied_bytes_is_opaque(void **state)
{
	uint8_t c[1024] = {0};

	(void)state;
	/* 248 bytes of hop-by-hop options: TCP begins behind PKT_HDR_MAX. */
	c[0] = IPPROTO_TCP;
	c[1] = 30;
	ip6_chain(IPPROTO_HOPOPTS, c, 300);
	assert_int_equal(parse(), VSW_DROP_NONE);
	assert_int_equal(pkt.l3, PKT_L3_IPV6);
	assert_int_equal(pkt.l4, PKT_L4_OTHER);
	assert_true(pkt.payload_off <= pkt.hdr_len);
	assert_int_equal(parse_with(PKT_CSUM_L4, 0), VSW_DROP_MALFORMED);
	assert_int_equal(parse_with(PKT_GSO_TCP, 1000), VSW_DROP_MALFORMED);
	pkt.flags = 0;
	/* Thirty empty destination options: more than anybody sends. */
	for (unsigned int i = 0; i < 30; i++)
		c[8 * i] = IPPROTO_DSTOPTS, c[8 * i + 1] = 0, c[8 * i + 2] = 1, c[8 * i + 3] = 4;
	ip6_chain(IPPROTO_DSTOPTS, c, 260);
	assert_int_equal(parse(), VSW_DROP_NONE);
	assert_int_equal(pkt.l4, PKT_L4_OTHER);
	/* A sender that copies little: everything behind is opaque, nothing is read. */
	ip6_chain(IPPROTO_UDP, (const uint8_t *)"\0\1\0\2\0\x8\0\0", 8);
	for (uint16_t n = 14; n < f.len; n++) {
		struct iovec iov = {f.data, f.len};

		assert_int_equal(pkt_from_iov(&pkt, &iov, 1), 0);
		memset(pkt.hdr + n, 0xff, sizeof(pkt.hdr) - n);
		pkt.hdr_len = n;
		pkt.n_pieces = 1;
		pkt.piece[0] = (struct pkt_piece){f.data + n, f.len - n};
		assert_int_equal(pkt_parse(&pkt), VSW_DROP_NONE);
		assert_int_equal(pkt.l3, n < 54 ? PKT_L3_OTHER : PKT_L3_IPV6);
		assert_int_equal(pkt.l4 == PKT_L4_UDP, n >= 62);
		assert_true(pkt.payload_off <= n);
	}
}

static void the_pseudo_header_follows_routing_and_home_address(void **state)
{
	uint8_t c[128] = {0};
	unsigned int base = 14 + 40;

	(void)state;
	/* Type 0, two addresses, one segment left: the last address is where it ends. */
	c[0] = IPPROTO_UDP;
	c[1] = 4;
	c[3] = 1;
	be16_store(c + 40 + 4, 8);
	ip6_chain(IPPROTO_ROUTING, c, 48);
	assert_int_equal(parse(), VSW_DROP_NONE);
	assert_int_equal(pkt.l4, PKT_L4_UDP);
	assert_int_equal(pkt.dst_off, base + 8 + 16);
	assert_int_equal(pkt.src_off, 14 + 8);
	/* Segment routing runs backwards. */
	c[2] = 4;
	ip6_chain(IPPROTO_ROUTING, c, 48);
	assert_int_equal(parse(), VSW_DROP_NONE);
	assert_int_equal(pkt.dst_off, base + 8);
	/* No segments left: the address in the IP header. */
	c[3] = 0;
	ip6_chain(IPPROTO_ROUTING, c, 48);
	assert_int_equal(parse(), VSW_DROP_NONE);
	assert_int_equal(pkt.dst_off, 14 + 24);
	/* More segments left than there are; a type we do not know: no telling. */
	c[3] = 3;
	ip6_chain(IPPROTO_ROUTING, c, 48);
	assert_int_equal(parse(), VSW_DROP_NONE);
	assert_int_equal(pkt.l4, PKT_L4_OTHER);
	c[2] = 3;
	c[3] = 1;
	ip6_chain(IPPROTO_ROUTING, c, 48);
	assert_int_equal(parse(), VSW_DROP_NONE);
	assert_int_equal(pkt.l4, PKT_L4_OTHER);
	/* A routing header without any address. */
	memset(c, 0, sizeof(c));
	c[0] = IPPROTO_UDP;
	c[3] = 1;
	be16_store(c + 8 + 4, 8);
	ip6_chain(IPPROTO_ROUTING, c, 16);
	assert_int_equal(parse(), VSW_DROP_NONE);
	assert_int_equal(pkt.l4, PKT_L4_OTHER);

	/* Home address option: Pad1, Pad1, PadN(0), then 16 bytes, then PadN(0). */
	memset(c, 0, sizeof(c));
	c[0] = IPPROTO_UDP;
	c[1] = 2;
	c[4] = 1;
	c[6] = 0xc9;
	c[7] = 16;
	be16_store(c + 24 + 4, 8);
	ip6_chain(IPPROTO_DSTOPTS, c, 32);
	assert_int_equal(parse(), VSW_DROP_NONE);
	assert_int_equal(pkt.l4, PKT_L4_UDP);
	assert_int_equal(pkt.src_off, base + 8);
	/* One that runs over the header's end is not believed. */
	c[7] = 17;
	ip6_chain(IPPROTO_DSTOPTS, c, 32);
	assert_int_equal(parse(), VSW_DROP_NONE);
	assert_int_equal(pkt.src_off, 14 + 8);
	c[6] = 1;
	c[7] = 255;
	ip6_chain(IPPROTO_DSTOPTS, c, 32);
	assert_int_equal(parse(), VSW_DROP_NONE);
}

static void debts_that_nobody_can_pay_are_refused(void **state)
{
	struct frame_spec tcp = spec(4, IPPROTO_TCP, 5000), udp = spec(6, IPPROTO_UDP, 5000);
	struct frame_spec sctp = spec(4, 132, 100), arp = {.eth_type = 0x806, .payload_len = 28};

	(void)state;
	frame_build(&f, &tcp);
	assert_int_equal(parse_with(PKT_CSUM_L4 | PKT_CSUM_IP, 0), VSW_DROP_NONE);
	assert_int_equal(parse_with(PKT_GSO_TCP, 1000), VSW_DROP_NONE);
	assert_int_equal(parse_with(PKT_GSO_TCP, 0), VSW_DROP_MALFORMED);
	assert_int_equal(parse_with(PKT_GSO_UDP, 1000), VSW_DROP_MALFORMED);
	assert_int_equal(parse_with(PKT_GSO_TCP | PKT_GSO_UDP, 1000), VSW_DROP_MALFORMED);
	/* More segments than PKT_MAX_SEGS. */
	assert_int_equal(parse_with(PKT_GSO_TCP, 1), VSW_DROP_MALFORMED);
	assert_int_equal(parse_with(PKT_GSO_TCP, 2), VSW_DROP_NONE);
	/* The length fields of a large packet hold anything. */
	be16_store(f.data + f.l3 + 2, 0);
	assert_int_equal(parse_with(PKT_GSO_TCP, 1000), VSW_DROP_NONE);
	assert_int_equal(pkt.ip_len, f.len - f.l3);
	assert_int_equal(parse_with(0, 0), VSW_DROP_MALFORMED);

	frame_build(&f, &udp);
	assert_int_equal(parse_with(PKT_GSO_UDP, 1000), VSW_DROP_NONE);
	assert_int_equal(parse_with(PKT_GSO_TCP, 1000), VSW_DROP_MALFORMED);
	be16_store(f.data + f.l4 + 4, 0);
	assert_int_equal(parse_with(PKT_GSO_UDP, 1000), VSW_DROP_NONE);

	frame_build(&f, &sctp);
	assert_int_equal(parse_with(PKT_CSUM_L4, 0), VSW_DROP_MALFORMED);
	assert_int_equal(parse_with(PKT_CSUM_IP, 0), VSW_DROP_NONE);
	frame_build(&f, &arp);
	assert_int_equal(parse_with(PKT_CSUM_L4, 0), VSW_DROP_MALFORMED);
	/* Linux's mana driver asks for an IP checksum of whatever it sends. */
	assert_int_equal(parse_with(PKT_CSUM_IP, 0), VSW_DROP_NONE);
	/* Part of an L4 packet: no sum, no cutting. */
	tcp.frag = 0x2000;
	frame_build(&f, &tcp);
	assert_int_equal(parse_with(PKT_CSUM_L4, 0), VSW_DROP_NONE);
	assert_int_equal(parse_with(PKT_GSO_TCP, 1000), VSW_DROP_MALFORMED);
	/* A segment that its own length field could not describe. */
	tcp.frag = 0;
	tcp.payload_len = 70000;
	frame_build(&f, &tcp);
	assert_int_equal(parse_with(PKT_GSO_TCP, 65535), VSW_DROP_MALFORMED);
	assert_int_equal(parse_with(PKT_GSO_TCP, 65495), VSW_DROP_NONE);
}

static void a_packet_whose_pieces_do_not_add_up_is_refused(void **state)
{
	(void)state;
	frame_udp(&f, 1, 2, 1000);
	pkt_of_frame(&pkt, &f, 100);
	assert_int_equal(pkt_parse(&pkt), VSW_DROP_NONE);
	pkt.len++;
	assert_int_equal(pkt_parse(&pkt), VSW_DROP_MALFORMED);
	pkt.len -= 2;
	assert_int_equal(pkt_parse(&pkt), VSW_DROP_MALFORMED);
	pkt_of_frame(&pkt, &f, 100);
	pkt.n_pieces = PKT_MAX_PIECES + 1;
	assert_int_equal(pkt_parse(&pkt), VSW_DROP_MALFORMED);
	pkt_of_frame(&pkt, &f, 100);
	pkt.hdr_len = PKT_HDR_MAX + 1;
	assert_int_equal(pkt_parse(&pkt), VSW_DROP_MALFORMED);
	pkt_of_frame(&pkt, &f, 100);
	pkt.hdr_len = pkt.len = 13;
	pkt.n_pieces = 0;
	assert_int_equal(pkt_parse(&pkt), VSW_DROP_MALFORMED);
}

static void a_packet_is_made_from_pieces_of_any_size(void **state)
{
	static uint8_t big[PKT_MAX_LEN + 1];
	struct iovec iov[PKT_MAX_PIECES + 8];

	(void)state;
	frame_udp(&f, 1, 2, 1000);
	for (uint32_t split = 30; split < 300; split++) {
		uint32_t at;

		pkt_of_frame(&pkt, &f, split);
		assert_int_equal(pkt.len, f.len);
		assert_int_equal(pkt.hdr_len, PKT_HDR_MAX);
		assert_memory_equal(pkt.hdr, f.data, PKT_HDR_MAX);
		at = pkt.hdr_len;
		for (unsigned int i = 0; i < pkt.n_pieces; i++) {
			assert_ptr_equal(pkt.piece[i].ptr, f.data + at);
			at += pkt.piece[i].len;
		}
		assert_int_equal(at, f.len);
	}
	iov[0] = (struct iovec){big, 13};
	assert_int_equal(pkt_from_iov(&pkt, iov, 1), -EMSGSIZE);
	iov[0].iov_len = PKT_MAX_LEN;
	assert_int_equal(pkt_from_iov(&pkt, iov, 1), 0);
	iov[0].iov_len = PKT_MAX_LEN + 1;
	assert_int_equal(pkt_from_iov(&pkt, iov, 1), -EMSGSIZE);
	iov[0].iov_len = SIZE_MAX;
	assert_int_equal(pkt_from_iov(&pkt, iov, 1), -EMSGSIZE);
	iov[0].iov_len = PKT_HDR_MAX;
	for (unsigned int i = 1; i <= PKT_MAX_PIECES + 1; i++)
		iov[i] = (struct iovec){big, 1};
	assert_int_equal(pkt_from_iov(&pkt, iov, PKT_MAX_PIECES + 1), 0);
	assert_int_equal(pkt_from_iov(&pkt, iov, PKT_MAX_PIECES + 2), -E2BIG);
}

/* Rubbish of every kind: offsets stay inside, whatever the verdict. */
static void random_bytes_never_lead_out_of_the_header(void **state)
{
	static const uint8_t types[][2] = {{8, 0}, {0x86, 0xdd}, {0x81, 0}, {0x88, 0xa8}};
	struct rng r = {.s = 77};

	(void)state;
	for (unsigned int i = 0; i < 200000; i++) {
		struct iovec iov = {f.data, 14 + rng_below(&r, 400)};

		rng_fill(&r, f.data, iov.iov_len);
		memcpy(f.data + 12, types[rng_below(&r, 4)], 2);
		if (iov.iov_len > 20 && rng_below(&r, 2)) {
			f.data[14] = f.data[13] ? 0x60 : 0x45;
			f.data[16] = 0;
			f.data[18] = 0;
			f.data[20] = (uint8_t)(rng_below(&r, 2) ? 0 : 60);
		}
		assert_int_equal(pkt_from_iov(&pkt, &iov, 1), 0);
		pkt.flags = (uint32_t)rng_u64(&r) & 0xff;
		pkt.gso_size = (uint16_t)rng_u64(&r);
		if (pkt_parse(&pkt) != VSW_DROP_NONE)
			continue;
		assert_true(pkt.payload_off >= 14 && pkt.payload_off <= pkt.hdr_len);
		assert_true(pkt.l4_off <= pkt.payload_off &&
			    pkt.l3_off <= pkt.l4_off + !pkt.l4_off * 256);
		if (pkt.l3) {
			uint32_t n = pkt.l3 == PKT_L3_IPV4 ? 4 : 16;

			assert_true(pkt.src_off + n <= pkt.hdr_len &&
				    pkt.dst_off + n <= pkt.hdr_len);
			assert_true(pkt.l3_off + pkt.ip_len <= pkt.len);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(ipv4_headers_are_found, fresh),
		cmocka_unit_test_setup(stacked_vlan_tags_are_walked, fresh),
		cmocka_unit_test_setup(other_ether_types_are_opaque, fresh),
		cmocka_unit_test_setup(ipv4_that_lies_is_refused, fresh),
		cmocka_unit_test_setup(udp_and_icmp_that_lie_are_refused, fresh),
		cmocka_unit_test_setup(fragments_have_no_l4, fresh),
		cmocka_unit_test_setup(ipv6_extension_headers_are_walked, fresh),
		cmocka_unit_test_setup(what_lies_beyond_the_copied_bytes_is_opaque, fresh),
		cmocka_unit_test_setup(the_pseudo_header_follows_routing_and_home_address, fresh),
		cmocka_unit_test_setup(debts_that_nobody_can_pay_are_refused, fresh),
		cmocka_unit_test_setup(a_packet_whose_pieces_do_not_add_up_is_refused, fresh),
		cmocka_unit_test_setup(a_packet_is_made_from_pieces_of_any_size, fresh),
		cmocka_unit_test_setup(random_bytes_never_lead_out_of_the_header, fresh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
