/* SPDX-License-Identifier: BSD-2-Clause */
/* ICMP errors: what one is about, and making one. Any thread. */
#ifndef HVLAB_VSWITCH_ICMP_H
#define HVLAB_VSWITCH_ICMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vswitch/packet.h"

/**
 * struct icmp_quote - The packet that an ICMP error quotes
 * @l3:		enum pkt_l3: the error's own family
 * @proto:	what is at @l4_off, behind extension headers
 * @later:	a fragment that is not the first: no L4 header
 * @has_ports:	TCP, UDP, UDP-Lite, DCCP or SCTP, with its ports quoted
 * @has_id:	an ICMP query (see XPOSE_L4_SRC), with its identifier quoted
 * @request:	with @has_id: a request, whose identifier counts as source port; else a reply
 * @l3_off:	offsets into pkt->hdr
 * @end:	first byte behind what is quoted and in pkt->hdr
 *
 * Nothing is believed about lengths: a quotation is cut off somewhere.
 */
struct icmp_quote {
	uint8_t l3, proto;
	bool later, has_ports, has_id, request;
	uint16_t l3_off, l4_off;
	uint16_t src_off, dst_off;
	uint16_t end;
};

/* False: @pkt (parsed) is no ICMP error, or quotes no whole IP header. */
bool icmp_quote(const struct pkt *pkt, struct icmp_quote *q);
/* Is it an ICMP query (echo, timestamp, ...) with an identifier? At l4_off + 4. @pkt: parsed. */
bool icmp_query(const struct pkt *pkt, bool *request);
/* The same by protocol and ICMP type. */
bool icmp_type_is_query(uint8_t proto, uint8_t type, bool *request);

enum icmp_error_kind {
	ICMP_ERROR_NET,	   /* no route: 3/0; ICMPv6 1/0 */
	ICMP_ERROR_HOST,   /* host, or its link-layer address, not reached: 3/1; 1/3 */
	ICMP_ERROR_PORT,   /* 3/3; 1/4 */
	ICMP_ERROR_ADMIN,  /* forbidden by policy: 3/13; 1/1 */
	ICMP_ERROR_TOOBIG, /* fragmentation needed and DF set: 3/4; packet too big: 2/0 */
	ICMP_ERROR_TTL,	   /* TTL or hop limit exceeded in transit: 11/0; 3/0 */
	ICMP_ERROR_N_KINDS
};

/* Bytes that every error fits in: IPv6's least MTU behind Ethernet and tags. */
#define ICMP_ERROR_MAX (14 + 9 * 4 + 1280)

/**
 * icmp_error() - Make an error about a packet
 * @offending:	parsed; IPv4 or IPv6. Its bytes are read, also in the sender's memory
 * @mtu:	with ICMP_ERROR_TOOBIG: bytes of IP packet that would go
 * @src:	who it is from, 4 or 16 bytes by the packet's family; NULL: in the name of the
 *packet's destination
 * @out:	the frame, with all sums: from the packet's destination MAC to its source MAC, with
 *		its tags
 *
 * As much is quoted as fits into 576 bytes of IPv4 (RFC 1812, 4.3.2.3) or 1280 of IPv6 (RFC 4443,
 * 2.4 (c)). A large packet (PKT_GSO_*) is quoted with the length fields of its first segment.
 * How many are sent is the caller's business.
 *
 * Return: bytes written; -ENOMSG: none may be sent about this packet (not IP, an error itself, a
 * redirect, not the first fragment, to or from a group or broadcast or no address; RFC 1122, 3.2.2,
 * RFC 4443, 2.4 (e)); -ENOSPC: @size is too small.
 */
int icmp_error(const struct pkt *offending, enum icmp_error_kind kind, uint32_t mtu,
	       const uint8_t *src, uint8_t *out, size_t size);

#endif
