/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns ICMP errors: the packet that one quotes, and the making of one. */
#include "vswitch/icmp.h"

#include <assert.h>
#include <errno.h>
#include <net/ethernet.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <string.h>

#include "base/util.h"
#include "base/wire.h"
#include "vswitch/checksum.h"

#define ICMP_HEAD     8 /* type, code, checksum, and four bytes that depend on them */
#define IP4_HEAD      20
#define IP6_HEAD      40
#define IP4_QUOTE_MAX 576
#define IP6_QUOTE_MAX 1280
#define HOPS	      64
#define TOS_CONTROL   0xc0 /* internetwork control, RFC 1812, 4.3.2.5 */

bool icmp_type_is_query(uint8_t proto, uint8_t type, bool *request)
{
	if (proto == IPPROTO_ICMPV6) {
		*request = type == ICMP6_ECHO_REQUEST;
		return type == ICMP6_ECHO_REQUEST || type == ICMP6_ECHO_REPLY;
	}
	if (proto != IPPROTO_ICMP)
		return false;
	switch (type) {
	case ICMP_ECHO:
	case ICMP_TIMESTAMP:
	case ICMP_INFO_REQUEST:
	case ICMP_ADDRESS:
		*request = true;
		return true;
	case ICMP_ECHOREPLY:
	case ICMP_TIMESTAMPREPLY:
	case ICMP_INFO_REPLY:
	case ICMP_ADDRESSREPLY:
		*request = false;
		return true;
	default:
		return false;
	}
}

/* Bytes of the IP packet that we hold, as an end offset into pkt->hdr. */
static uint32_t end_in_hdr(const struct pkt *pkt)
{
	return MIN(pkt->hdr_len, pkt->l3_off + pkt->ip_len);
}

bool icmp_query(const struct pkt *pkt, bool *request)
{
	if (pkt->l4 != PKT_L4_ICMP && pkt->l4 != PKT_L4_ICMPV6)
		return false;
	return pkt->l4_off + 6u <= end_in_hdr(pkt) &&
	       icmp_type_is_query(pkt->l4_proto, pkt->hdr[pkt->l4_off], request);
}

/* Errors that quote a packet of a connection. A redirect is about a route of the next hop's. */
static bool is_error(const struct pkt *pkt)
{
	uint8_t type = pkt->hdr[pkt->l4_off];

	if (pkt->l4 == PKT_L4_ICMP)
		return type == ICMP_DEST_UNREACH || type == ICMP_SOURCE_QUENCH ||
		       type == ICMP_TIME_EXCEEDED || type == ICMP_PARAMETERPROB;
	return pkt->l4 == PKT_L4_ICMPV6 && type >= ICMP6_DST_UNREACH && type <= ICMP6_PARAM_PROB;
}

static bool quote_ip4(const uint8_t *h, struct icmp_quote *q)
{
	uint32_t size;

	h += q->l3_off;
	if (q->l3_off + IP4_HEAD > q->end || h[0] >> 4 != 4)
		return false;
	size = (uint32_t)(h[0] & 0xf) * 4;
	if (size < IP4_HEAD || q->l3_off + size > q->end)
		return false;
	q->src_off = (uint16_t)(q->l3_off + 12);
	q->dst_off = (uint16_t)(q->l3_off + 16);
	q->l4_off = (uint16_t)(q->l3_off + size);
	q->proto = h[9];
	q->later = be16_load(h + 6) & 0x1fff;
	return true;
}

/*
 * Extension headers as far as they are quoted. One that is cut off, and a routing header with
 * segments left (the final destination is another), stays the protocol at l4_off.
 */
static bool quote_ip6(const uint8_t *h, struct icmp_quote *q)
{
	uint32_t at = q->l3_off + IP6_HEAD;

	if (at > q->end || h[q->l3_off] >> 4 != 6)
		return false;
	q->src_off = (uint16_t)(q->l3_off + 8);
	q->dst_off = (uint16_t)(q->l3_off + 24);
	q->proto = h[q->l3_off + 6];
	while (!q->later && at + 8 <= q->end) {
		const uint8_t *e = h + at;
		uint32_t size = (e[1] + 1u) * 8;

		if (q->proto == IPPROTO_FRAGMENT) {
			size = 8;
			q->later = be16_load(e + 2) >> 3;
		} else if (q->proto == IPPROTO_ROUTING && e[3]) {
			break;
		} else if (q->proto != IPPROTO_HOPOPTS && q->proto != IPPROTO_ROUTING &&
			   q->proto != IPPROTO_DSTOPTS) {
			break;
		}
		if (at + size > q->end)
			break;
		q->proto = e[0];
		at += size;
	}
	q->l4_off = (uint16_t)at;
	return true;
}

bool icmp_quote(const struct pkt *pkt, struct icmp_quote *q)
{
	uint32_t left;

	if ((pkt->l4 != PKT_L4_ICMP && pkt->l4 != PKT_L4_ICMPV6) || !is_error(pkt))
		return false;
	*q = (struct icmp_quote){
		.l3 = pkt->l3,
		.l3_off = (uint16_t)(pkt->l4_off + ICMP_HEAD),
		.end = (uint16_t)end_in_hdr(pkt),
	};
	if (q->l3_off > q->end)
		return false;
	if (!(pkt->l3 == PKT_L3_IPV4 ? quote_ip4(pkt->hdr, q) : quote_ip6(pkt->hdr, q)))
		return false;
	left = q->later ? 0 : q->end - q->l4_off;
	switch (q->proto) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE:
	case IPPROTO_DCCP:
	case IPPROTO_SCTP:
		q->has_ports = left >= 4;
		break;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		q->has_id =
			left >= 6 && icmp_type_is_query(q->proto, pkt->hdr[q->l4_off], &q->request);
		break;
	}
	return true;
}

/* --- making one --- */

struct what {
	uint8_t type4, code4, type6, code6;
};

static const struct what what[] = {
	[ICMP_ERROR_NET] = {ICMP_DEST_UNREACH, ICMP_NET_UNREACH, ICMP6_DST_UNREACH,
			    ICMP6_DST_UNREACH_NOROUTE},
	[ICMP_ERROR_HOST] = {ICMP_DEST_UNREACH, ICMP_HOST_UNREACH, ICMP6_DST_UNREACH,
			     ICMP6_DST_UNREACH_ADDR},
	[ICMP_ERROR_PORT] = {ICMP_DEST_UNREACH, ICMP_PORT_UNREACH, ICMP6_DST_UNREACH,
			     ICMP6_DST_UNREACH_NOPORT},
	[ICMP_ERROR_ADMIN] = {ICMP_DEST_UNREACH, ICMP_PKT_FILTERED, ICMP6_DST_UNREACH,
			      ICMP6_DST_UNREACH_ADMIN},
	[ICMP_ERROR_TOOBIG] = {ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED, ICMP6_PACKET_TOO_BIG, 0},
	[ICMP_ERROR_TTL] = {ICMP_TIME_EXCEEDED, ICMP_EXC_TTL, ICMP6_TIME_EXCEEDED,
			    ICMP6_TIME_EXCEED_TRANSIT},
};
static_assert(ARRAY_SIZE(what) == ICMP_ERROR_N_KINDS, "a type and code for each kind");

/* No address, loopback, group, broadcast. */
static bool ip4_not_one_host(const uint8_t *a)
{
	return a[0] == 0 || a[0] == 127 || a[0] >= 224;
}

static bool ip6_not_one_host(const uint8_t *a)
{
	static const uint8_t loopback[16] = {[15] = 1}, none[16];

	return a[0] == 0xff || !memcmp(a, loopback, 16) || !memcmp(a, none, 16);
}

static bool may_answer(const struct pkt *p)
{
	const uint8_t *h = p->hdr + p->l3_off;

	if (p->l3 == PKT_L3_OTHER || (p->hdr[0] & 1))
		return false;
	if (pkt_is_later_fragment(p))
		return false;
	if (p->l3 == PKT_L3_IPV4) {
		if (ip4_not_one_host(h + 12) || ip4_not_one_host(h + 16))
			return false;
	} else {
		if (ip6_not_one_host(h + 8) || ip6_not_one_host(h + 24))
			return false;
	}
	if (p->l4_proto != (p->l3 == PKT_L3_IPV4 ? IPPROTO_ICMP : IPPROTO_ICMPV6))
		return true;
	/* An error, or we cannot tell. */
	if (p->l4_off + 1u > end_in_hdr(p))
		return false;
	if (p->l3 == PKT_L3_IPV4) {
		uint8_t type = p->hdr[p->l4_off];
		bool request;

		return icmp_type_is_query(IPPROTO_ICMP, type, &request);
	}
	return p->hdr[p->l4_off] >= 128 && p->hdr[p->l4_off] != ND_REDIRECT;
}

/* @n bytes of the packet from @off on, which may lie in its pieces. */
static void read_bytes(const struct pkt *p, uint32_t off, uint8_t *to, uint32_t n)
{
	uint32_t take;

	if (off < p->hdr_len) {
		take = MIN(n, (uint32_t)p->hdr_len - off);
		memcpy(to, p->hdr + off, take);
		to += take;
		n -= take;
		off = 0;
	} else {
		off -= p->hdr_len;
	}
	for (unsigned int i = 0; n && i < p->n_pieces; i++) {
		if (off >= p->piece[i].len) {
			off -= p->piece[i].len;
			continue;
		}
		take = MIN(n, p->piece[i].len - off);
		memcpy(to, p->piece[i].ptr + off, take);
		to += take;
		n -= take;
		off = 0;
	}
}

/* Debts of the IP header, paid in the quotation; those of the rest need all of the packet. */
static void pay_quote(const struct pkt *p, uint8_t *ip)
{
	uint32_t len = p->ip_len, size = (uint32_t)(ip[0] & 0xf) * 4;
	uint16_t sum;

	if (p->flags & PKT_GSO) {
		uint32_t payload = p->len - p->payload_off;

		len = p->payload_off - p->l3_off + MIN(payload, (uint32_t)p->gso_size);
		if (p->l4 == PKT_L4_UDP)
			be16_store(ip + (p->l4_off - p->l3_off) + 4,
				   (uint16_t)(len - (uint32_t)(p->l4_off - p->l3_off)));
	}
	if (p->l3 == PKT_L3_IPV6) {
		if (p->flags & PKT_GSO)
			be16_store(ip + 4, (uint16_t)(len - IP6_HEAD));
		return;
	}
	if (!(p->flags & (PKT_GSO | PKT_CSUM_IP)))
		return;
	be16_store(ip + 2, (uint16_t)len);
	memset(ip + 10, 0, 2);
	sum = (uint16_t)~cksum_fold(cksum_short(0, ip, size));
	memcpy(ip + 10, &sum, 2);
}

/* Addresses swapped, the tags of the packet. Bytes written. */
static uint32_t ether(const struct pkt *p, uint8_t *out)
{
	uint32_t at = 12, rest = p->l3_off - 12u;

	memcpy(out, p->hdr + 6, 6);
	memcpy(out + 6, p->hdr, 6);
	if (p->flags & PKT_VLAN) {
		be16_store(out + 12, ETHERTYPE_VLAN);
		be16_store(out + 14, p->vlan_tci);
		at += 4;
	}
	memcpy(out + at, p->hdr + 12, rest);
	return at + rest;
}

static void head_ip4(const struct pkt *p, const uint8_t *src, uint8_t *ip, uint32_t len)
{
	const uint8_t *about = p->hdr + p->l3_off;
	uint16_t sum;

	memset(ip, 0, IP4_HEAD);
	ip[0] = 0x45;
	ip[1] = TOS_CONTROL;
	be16_store(ip + 2, (uint16_t)len);
	be16_store(ip + 6, 0x4000); /* never longer than 576: no need for an id */
	ip[8] = HOPS;
	ip[9] = IPPROTO_ICMP;
	memcpy(ip + 12, src ? src : about + 16, 4);
	memcpy(ip + 16, about + 12, 4);
	sum = (uint16_t)~cksum_fold(cksum_short(0, ip, IP4_HEAD));
	memcpy(ip + 10, &sum, 2);
}

static void head_ip6(const struct pkt *p, const uint8_t *src, uint8_t *ip, uint32_t len)
{
	const uint8_t *about = p->hdr + p->l3_off;

	memset(ip, 0, IP6_HEAD);
	be32_store(ip, 0x60000000u | (uint32_t)TOS_CONTROL << 20);
	be16_store(ip + 4, (uint16_t)(len - IP6_HEAD));
	ip[6] = IPPROTO_ICMPV6;
	ip[7] = HOPS;
	memcpy(ip + 8, src ? src : about + 24, 16);
	memcpy(ip + 24, about + 8, 16);
}

int icmp_error(const struct pkt *offending, enum icmp_error_kind kind, uint32_t mtu,
	       const uint8_t *src, uint8_t *out, size_t size)
{
	const struct pkt *p = offending;
	bool ip4 = p->l3 == PKT_L3_IPV4;
	uint32_t head = ip4 ? IP4_HEAD : IP6_HEAD, max = ip4 ? IP4_QUOTE_MAX : IP6_QUOTE_MAX;
	uint32_t quote = MIN(p->ip_len, max - head - ICMP_HEAD), len, l2;
	uint64_t sum = 0;
	uint8_t *icmp;
	uint16_t field;

	if (!may_answer(p))
		return -ENOMSG;
	len = head + ICMP_HEAD + quote;
	if (p->l3_off + (p->flags & PKT_VLAN ? 4u : 0) + len > size)
		return -ENOSPC;
	l2 = ether(p, out);
	out += l2;
	icmp = out + head;
	memset(icmp, 0, ICMP_HEAD);
	icmp[0] = ip4 ? what[kind].type4 : what[kind].type6;
	icmp[1] = ip4 ? what[kind].code4 : what[kind].code6;
	if (kind == ICMP_ERROR_TOOBIG && ip4)
		be16_store(icmp + 6, (uint16_t)MIN(mtu, 0xffffu));
	else if (kind == ICMP_ERROR_TOOBIG)
		be32_store(icmp + 4, mtu);
	read_bytes(p, p->l3_off, icmp + ICMP_HEAD, quote);
	pay_quote(p, icmp + ICMP_HEAD);
	if (ip4) {
		head_ip4(p, src, out, len);
	} else {
		head_ip6(p, src, out, len);
		sum = cksum_short((uint64_t)htonl(ICMP_HEAD + quote) + htonl(IPPROTO_ICMPV6),
				  out + 8, 32);
	}
	field = (uint16_t)~cksum_fold(cksum_short(sum, icmp, ICMP_HEAD + quote));
	memcpy(icmp + 2, &field, 2);
	return (int)(l2 + len);
}
