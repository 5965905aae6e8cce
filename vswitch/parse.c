/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the finding of headers.
 *
 * Two rules. Nothing is read beyond hdr_len, the bytes we copied. Nothing is believed about
 * lengths: what a header says must fit into what it is inside of, the outermost being the frame.
 * A header that claims more than there is makes the packet malformed. A header that we do not
 * know, or that lies too far inside, makes it opaque from there on.
 */
#include "vswitch/parse.h"

#include <arpa/inet.h>
#include <net/ethernet.h>
#include <netinet/in.h>

#include "base/util.h"
#include "base/wire.h"

#define MAX_VLAN_TAGS 8 /* as many as Linux looks through, if_vlan.h VLAN_MAX_DEPTH */
#define MAX_IP6_EXTS  16

#define TYPE_8021AD 0x88a8

#define IP4_FRAG_MASK	0x3fff /* offset and "more fragments" */
#define IP6_OPT_PAD1	0x00
#define IP6_OPT_HOME	0xc9 /* RFC 6275, 6.3 */
#define IP6_RH_TYPE0	0
#define IP6_RH_MOBILE	2 /* RFC 6275, 6.4 */
#define IP6_RH_SEGMENTS 4 /* RFC 8754 */

static bool in_hdr(const struct pkt *pkt, uint32_t off, uint32_t len)
{
	return off + len <= pkt->hdr_len;
}

/*
 * An L4 header of @len bytes at least, in an IP payload of @have bytes. False: too short (the
 * frame lies). Beyond the bytes we copied: opaque.
 */
static enum vsw_drop parse_l4(struct pkt *pkt, uint32_t off, uint8_t proto, uint32_t have)
{
	const uint8_t *h = pkt->hdr + off;
	uint32_t size;

	pkt->l4_off = (uint16_t)off;
	pkt->payload_off = (uint16_t)off;
	pkt->l4_proto = proto;
	pkt->l4 = PKT_L4_OTHER;
	switch (proto) {
	case IPPROTO_TCP:
		if (have < 20)
			return VSW_DROP_MALFORMED;
		if (!in_hdr(pkt, off, 20))
			return VSW_DROP_NONE;
		size = (uint32_t)(h[12] >> 4) * 4;
		if (size < 20 || size > have)
			return VSW_DROP_MALFORMED;
		if (!in_hdr(pkt, off, size))
			return VSW_DROP_NONE;
		pkt->l4 = PKT_L4_TCP;
		break;
	case IPPROTO_UDP:
		size = 8;
		if (have < size)
			return VSW_DROP_MALFORMED;
		if (!in_hdr(pkt, off, size))
			return VSW_DROP_NONE;
		if (!(pkt->flags & PKT_GSO)) {
			uint16_t ulen = be16_load(h + 4);

			if (ulen < size || ulen > have)
				return VSW_DROP_MALFORMED;
		}
		pkt->l4 = PKT_L4_UDP;
		break;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		if ((proto == IPPROTO_ICMP) != (pkt->l3 == PKT_L3_IPV4))
			return VSW_DROP_NONE;
		size = 4; /* type, code, checksum: what all have in common */
		if (have < size)
			return VSW_DROP_MALFORMED;
		if (!in_hdr(pkt, off, size))
			return VSW_DROP_NONE;
		pkt->l4 = proto == IPPROTO_ICMP ? PKT_L4_ICMP : PKT_L4_ICMPV6;
		break;
	default:
		return VSW_DROP_NONE;
	}
	pkt->payload_off = (uint16_t)(off + size);
	return VSW_DROP_NONE;
}

static void opaque_l4(struct pkt *pkt, uint32_t off, uint8_t proto, enum pkt_l4 kind)
{
	pkt->l4 = (uint8_t)kind;
	pkt->l4_proto = proto;
	pkt->l4_off = (uint16_t)off;
	pkt->payload_off = (uint16_t)off;
}

static enum vsw_drop parse_ip4(struct pkt *pkt, uint32_t off)
{
	const uint8_t *h = pkt->hdr + off;
	uint32_t have = pkt->len - off, size, total;

	if (have < 20)
		return VSW_DROP_MALFORMED;
	if (!in_hdr(pkt, off, 20))
		return VSW_DROP_NONE;
	size = (uint32_t)(h[0] & 0xf) * 4;
	if (h[0] >> 4 != 4 || size < 20 || size > have)
		return VSW_DROP_MALFORMED;
	if (!in_hdr(pkt, off, size))
		return VSW_DROP_NONE;
	total = pkt->flags & PKT_GSO ? have : be16_load(h + 2);
	if (total < size || total > have)
		return VSW_DROP_MALFORMED;

	pkt->l3 = PKT_L3_IPV4;
	pkt->l3_off = (uint16_t)off;
	pkt->ip_len = total;
	pkt->src_off = (uint16_t)(off + 12);
	pkt->dst_off = (uint16_t)(off + 16);
	if (be16_load(h + 6) & IP4_FRAG_MASK) {
		pkt->fragment = true;
		opaque_l4(pkt, off + size, h[9], PKT_L4_NONE);
		return VSW_DROP_NONE;
	}
	return parse_l4(pkt, off + size, h[9], total - size);
}

/*
 * The pseudo header has the final destination (RFC 8200, 8.1), which is not the one in the IP
 * header while segments are left. False: a routing header whose end we cannot tell.
 */
static bool routing_header(struct pkt *pkt, uint32_t off, uint32_t size)
{
	const uint8_t *h = pkt->hdr + off;
	uint32_t n = (size - 8) / 16, last;

	if (!h[3])
		return true;
	switch (h[2]) {
	case IP6_RH_TYPE0:
		last = n - 1;
		break;
	case IP6_RH_MOBILE:
	case IP6_RH_SEGMENTS: /* the list runs backwards */
		last = 0;
		break;
	default:
		return false;
	}
	if (!n || h[3] > n)
		return false;
	pkt->dst_off = (uint16_t)(off + 8 + last * 16);
	return true;
}

/* The home address option names the source that the pseudo header has (RFC 6275, 11.3.1). */
static void dest_options(struct pkt *pkt, uint32_t off, uint32_t size)
{
	uint32_t at = off + 2, end = off + size;

	while (at < end) {
		if (pkt->hdr[at] == IP6_OPT_PAD1) {
			at++;
			continue;
		}
		if (at + 2 > end || at + 2 + pkt->hdr[at + 1] > end)
			return;
		if (pkt->hdr[at] == IP6_OPT_HOME && pkt->hdr[at + 1] == 16)
			pkt->src_off = (uint16_t)(at + 2);
		at += 2u + pkt->hdr[at + 1];
	}
}

static enum vsw_drop parse_ip6(struct pkt *pkt, uint32_t off)
{
	const uint8_t *h = pkt->hdr + off;
	uint32_t have = pkt->len - off, total, at = off + 40, end;
	uint8_t next;

	if (have < 40)
		return VSW_DROP_MALFORMED;
	if (!in_hdr(pkt, off, 40))
		return VSW_DROP_NONE;
	if (h[0] >> 4 != 6)
		return VSW_DROP_MALFORMED;
	total = pkt->flags & PKT_GSO ? have : be16_load(h + 4) + 40u;
	if (total > have)
		return VSW_DROP_MALFORMED;

	pkt->l3 = PKT_L3_IPV6;
	pkt->l3_off = (uint16_t)off;
	pkt->ip_len = total;
	pkt->src_off = (uint16_t)(off + 8);
	pkt->dst_off = (uint16_t)(off + 24);
	end = off + total;
	next = h[6];
	for (unsigned int n = 0; n < MAX_IP6_EXTS; n++) {
		uint32_t size = 8;

		if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING && next != IPPROTO_DSTOPTS &&
		    next != IPPROTO_FRAGMENT)
			return parse_l4(pkt, at, next, end - at);
		if (end - at < 8)
			return VSW_DROP_MALFORMED;
		if (!in_hdr(pkt, at, 8))
			break;
		h = pkt->hdr + at;
		if (next == IPPROTO_FRAGMENT) {
			pkt->fragment = true;
			opaque_l4(pkt, at + 8, h[0], PKT_L4_NONE);
			return VSW_DROP_NONE;
		}
		size = (h[1] + 1u) * 8;
		if (size > end - at)
			return VSW_DROP_MALFORMED;
		if (!in_hdr(pkt, at, size))
			break;
		if (next == IPPROTO_ROUTING && !routing_header(pkt, at, size)) {
			opaque_l4(pkt, at, next, PKT_L4_OTHER);
			return VSW_DROP_NONE;
		}
		if (next == IPPROTO_DSTOPTS)
			dest_options(pkt, at, size);
		next = h[0];
		at += size;
	}
	opaque_l4(pkt, at, next, PKT_L4_OTHER);
	return VSW_DROP_NONE;
}

/* A debt is payable when everything it touches was found. */
static enum vsw_drop check_debts(const struct pkt *pkt)
{
	uint32_t gso = pkt->flags & PKT_GSO;
	uint32_t payload;

	if (!gso) {
		/* A sender that asks for a sum over part of an L4 packet gets none. */
		if (!(pkt->flags & PKT_CSUM_L4) || pkt->fragment)
			return VSW_DROP_NONE;
		return pkt->l4 == PKT_L4_TCP || pkt->l4 == PKT_L4_UDP || pkt->l4 == PKT_L4_ICMPV6
			       ? VSW_DROP_NONE
			       : VSW_DROP_MALFORMED;
	}
	if (gso == PKT_GSO || !pkt->gso_size)
		return VSW_DROP_MALFORMED;
	if (pkt->l4 != (gso == PKT_GSO_TCP ? PKT_L4_TCP : PKT_L4_UDP))
		return VSW_DROP_MALFORMED;
	payload = pkt->len - pkt->payload_off;
	/* The length fields of a segment have 16 bits. */
	if (pkt->payload_off - pkt->l3_off + MIN(payload, (uint32_t)pkt->gso_size) > 0xffff)
		return VSW_DROP_MALFORMED;
	return pkt_n_segs(pkt) <= PKT_MAX_SEGS ? VSW_DROP_NONE : VSW_DROP_MALFORMED;
}

static bool pieces_add_up(const struct pkt *pkt)
{
	uint64_t len = pkt->hdr_len;

	if (pkt->hdr_len > PKT_HDR_MAX || pkt->hdr_len < PKT_MIN_LEN ||
	    pkt->n_pieces > PKT_MAX_PIECES || pkt->len > PKT_MAX_LEN)
		return false;
	for (unsigned int i = 0; i < pkt->n_pieces; i++)
		len += pkt->piece[i].len;
	return len == pkt->len;
}

enum vsw_drop pkt_parse(struct pkt *pkt)
{
	uint32_t off = 12;
	enum vsw_drop why = VSW_DROP_NONE;
	uint16_t type;

	if (!pieces_add_up(pkt))
		return VSW_DROP_MALFORMED;
	pkt->l3 = PKT_L3_OTHER;
	pkt->l4 = PKT_L4_NONE;
	pkt->l4_proto = 0;
	pkt->fragment = false;
	pkt->l3_off = pkt->l4_off = 0;
	pkt->src_off = pkt->dst_off = 0;
	pkt->ip_len = 0;

	type = be16_load(pkt->hdr + off);
	off += 2;
	for (unsigned int n = 0; type == ETHERTYPE_VLAN || type == TYPE_8021AD; n++) {
		if (pkt->len - off < 4)
			return VSW_DROP_MALFORMED;
		if (n == MAX_VLAN_TAGS || !in_hdr(pkt, off, 4))
			break;
		type = be16_load(pkt->hdr + off + 2);
		off += 4;
	}
	pkt->eth_type = type;
	pkt->payload_off = (uint16_t)off;
	if (type == ETHERTYPE_IP)
		why = parse_ip4(pkt, off);
	else if (type == ETHERTYPE_IPV6)
		why = parse_ip6(pkt, off);
	if (why != VSW_DROP_NONE)
		return why;
	return pkt->flags & (PKT_GSO | PKT_CSUM_L4) ? check_debts(pkt) : VSW_DROP_NONE;
}
