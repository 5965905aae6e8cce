/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns what changes in the headers from segment to segment.
 *
 * The result is what Linux makes of the same packet when the wire takes no large ones
 * (net/ipv4/tcp_offload.c tcp_gso_segment(), udp_offload.c __udp_gso_segment(), af_inet.c
 * inet_gso_segment(), net/ipv6/ip6_offload.c ipv6_gso_segment()), byte for byte; tests/kernel
 * compares:
 *
 *	IPv4	total length; id counts up by one, also with DF set; options repeated
 *	IPv6	payload length; extension headers repeated
 *	TCP	sequence number; FIN and PSH on the last segment only, CWR on the first only;
 *		URG, its pointer and the options repeated
 *	UDP	length
 */
#include "vswitch/gso.h"

#include "base/wire.h"

#define TCP_FIN 0x01
#define TCP_PSH 0x08
#define TCP_CWR 0x80

void gso_lengths(struct vsw_frame *f)
{
	uint8_t *l3 = f->hdr + f->l3_off;
	uint32_t len = f->hdr_len + f->payload_len;

	if (f->l3 == PKT_L3_IPV4)
		be16_store(l3 + 2, (uint16_t)(len - f->l3_off));
	else
		be16_store(l3 + 4, (uint16_t)(len - f->l3_off - 40));
	if (f->l4 == PKT_L4_UDP)
		be16_store(f->hdr + f->l4_off + 4, (uint16_t)(len - f->l4_off));
}

void gso_headers(struct vsw_frame *f, uint32_t seg, uint32_t n_segs, uint32_t gso_size)
{
	uint8_t *l3 = f->hdr + f->l3_off, *l4 = f->hdr + f->l4_off;

	gso_lengths(f);
	if (f->l3 == PKT_L3_IPV4)
		be16_store(l3 + 4, (uint16_t)(be16_load(l3 + 4) + seg));
	if (f->l4 == PKT_L4_TCP) {
		be32_store(l4 + 4, be32_load(l4 + 4) + seg * gso_size);
		if (seg + 1 < n_segs)
			l4[13] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
		if (seg)
			l4[13] &= (uint8_t)~TCP_CWR;
	}
}
