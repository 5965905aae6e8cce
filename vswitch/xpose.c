/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns what a transposition does to a packet.
 *
 * Theory of operation
 *
 * The copy is made first, then the tags (they shift everything behind them), then the fields. A
 * field is written through put(), which adds "old out, new in" to the difference of each checksum
 * that covers it; at the end each sum that is no debt gets its difference (RFC 1624, equation 3:
 * HC' = ~(~HC + ~m + m')). Which sums those are depends on where the field is:
 *
 *	IPv4 header	its own checksum
 *	addresses	also the L4 checksum, when the pseudo header has them: behind a routing
 *			header or home address option it has others (pkt.src_off, dst_off)
 *	ports, id	the L4 checksum
 *
 * A packet quoted by an ICMP error is changed by the same code, with source and destination of the
 * transposition swapped. What that changed, its sums included, is payload of the error: the
 * difference of the quoted bytes goes into the ICMP checksum.
 */
#include "vswitch/xpose.h"

#include <netinet/in.h>
#include <string.h>

#include "base/util.h"
#include "base/wire.h"
#include "vswitch/checksum.h"
#include "vswitch/icmp.h"

#define TYPE_VLAN   0x8100
#define TYPE_8021AD 0x88a8
#define TAG_LEN	    4
#define VID_MASK    0x0fff
#define MAX_POP	    16 /* more tags than any packet that we look at has */
#define NO_SUM	    0xff

/* The fields of one IP packet and the places they go to: a packet, or the quoted one in it. */
struct change {
	const uint8_t *src, *dst; /* NULL: stays */
	const uint16_t *sport, *dport;
};

struct place {
	uint8_t *hdr;
	uint8_t l3, proto;
	bool fragment, later; /* @later: not the first, no L4 header */
	bool quoted;
	bool l3_debt, l4_debt;
	uint16_t l3_off, l4_off, src_off, dst_off;
	uint32_t have; /* bytes in @hdr */
	uint32_t end;  /* of the IP packet, may be behind @have */
	uint64_t l3_diff, l4_diff;
	bool l3_changed, l4_changed;
};

/* --- composing --- */

static void vlan_done(struct vsw_xpose *x)
{
	if (x->vlan.pop || x->vlan.push || x->vlan.set)
		x->flags |= XPOSE_VLAN;
	else
		x->flags &= ~XPOSE_VLAN;
}

void xpose_vlan_pop(struct vsw_xpose *x)
{
	struct xpose_vlan *v = &x->vlan;

	if (v->push) {
		v->tci[--v->push] = 0;
	} else {
		/* A tag that was set is the one taken off, whether it was there before or not. */
		v->set = false;
		v->vid = 0;
		v->pop = (uint8_t)MIN(v->pop + 1, MAX_POP);
	}
	vlan_done(x);
}

void xpose_vlan_set(struct vsw_xpose *x, uint16_t vid)
{
	struct xpose_vlan *v = &x->vlan;

	vid &= VID_MASK;
	if (v->push) {
		uint16_t *tci = &v->tci[v->push - 1];

		*tci = (uint16_t)((*tci & ~VID_MASK) | vid);
	} else {
		v->set = true;
		v->vid = vid;
	}
	vlan_done(x);
}

bool xpose_vlan_push(struct vsw_xpose *x, uint16_t tci)
{
	struct xpose_vlan *v = &x->vlan;

	if (v->push == XPOSE_MAX_TAGS)
		return false;
	v->tci[v->push++] = tci;
	vlan_done(x);
	return true;
}

static bool compose_vlan(struct vsw_xpose *to, const struct xpose_vlan *next)
{
	struct vsw_xpose x = *to;

	for (unsigned int i = 0; i < next->pop; i++)
		xpose_vlan_pop(&x);
	if (next->set)
		xpose_vlan_set(&x, next->vid);
	for (unsigned int i = 0; i < next->push; i++)
		if (!xpose_vlan_push(&x, next->tci[i]))
			return false;
	*to = x;
	return true;
}

bool xpose_compose(struct vsw_xpose *to, const struct vsw_xpose *next)
{
	if ((next->flags & XPOSE_VLAN) && !compose_vlan(to, &next->vlan))
		return false;
	to->flags |= next->flags & ~(XPOSE_VLAN | XPOSE_TUN_SET | XPOSE_TUN_CLEAR);
	if (next->flags & XPOSE_ETH_SRC)
		memcpy(to->eth_src, next->eth_src, 6);
	if (next->flags & XPOSE_ETH_DST)
		memcpy(to->eth_dst, next->eth_dst, 6);
	if (next->flags & XPOSE_IP_SRC)
		memcpy(to->ip_src, next->ip_src, 16);
	if (next->flags & XPOSE_IP_DST)
		memcpy(to->ip_dst, next->ip_dst, 16);
	if (next->flags & XPOSE_L4_SRC)
		to->l4_src = next->l4_src;
	if (next->flags & XPOSE_L4_DST)
		to->l4_dst = next->l4_dst;
	if (next->flags & XPOSE_TTL)
		to->ttl_dec = (uint8_t)MIN(to->ttl_dec + next->ttl_dec, 255);
	if (next->flags & XPOSE_DSCP)
		to->dscp = next->dscp;
	if (next->flags & (XPOSE_TUN_SET | XPOSE_TUN_CLEAR)) {
		to->flags &= ~(XPOSE_TUN_SET | XPOSE_TUN_CLEAR);
		to->flags |= next->flags & (XPOSE_TUN_SET | XPOSE_TUN_CLEAR);
		to->tun = next->tun;
	}
	return true;
}

/* --- the copy and its tags --- */

static void copy_view(struct pkt *out, const struct pkt *in)
{
	memcpy(out, in, offsetof(struct pkt, hdr) + in->hdr_len);
	memcpy(out->piece, in->piece, in->n_pieces * sizeof(in->piece[0]));
}

static void shift_offsets(struct pkt *p, int by)
{
	p->len = (uint32_t)((int)p->len + by);
	p->payload_off = (uint16_t)(p->payload_off + by);
	if (p->l3_off) {
		p->l3_off = (uint16_t)(p->l3_off + by);
		p->src_off = (uint16_t)(p->src_off + by);
		p->dst_off = (uint16_t)(p->dst_off + by);
	}
	if (p->l4_off)
		p->l4_off = (uint16_t)(p->l4_off + by);
}

static bool has_tag_bytes(const struct pkt *p)
{
	uint16_t type = be16_load(p->hdr + 12);

	return (type == TYPE_VLAN || type == TYPE_8021AD) && p->hdr_len >= 14 + TAG_LEN;
}

static void pop_tag(struct pkt *p)
{
	if (p->flags & PKT_VLAN) {
		p->flags &= ~PKT_VLAN;
		p->vlan_tci = 0;
	} else if (has_tag_bytes(p)) {
		memmove(p->hdr + 12, p->hdr + 12 + TAG_LEN, p->hdr_len - 12u - TAG_LEN);
		p->hdr_len -= TAG_LEN;
		shift_offsets(p, -TAG_LEN);
	}
}

static void set_vid(struct pkt *p, uint16_t vid)
{
	if (p->flags & PKT_VLAN) {
		p->vlan_tci = (uint16_t)((p->vlan_tci & ~VID_MASK) | vid);
	} else if (has_tag_bytes(p)) {
		be16_store(p->hdr + 14, (uint16_t)((be16_load(p->hdr + 14) & ~VID_MASK) | vid));
	} else {
		p->flags |= PKT_VLAN;
		p->vlan_tci = vid;
	}
}

/*
 * The last @n header bytes of @p become part of its pieces. They are payload, and the same as the
 * last of @in that are not in a piece yet: there they lie still.
 */
static bool spill(struct pkt *p, const struct pkt *in, uint32_t n)
{
	const uint8_t *end = in->hdr + in->hdr_len;
	bool again = p->n_pieces > in->n_pieces;

	if (p->payload_off + n > p->hdr_len)
		return false;
	if (again) {
		p->piece[0].ptr -= n;
		p->piece[0].len += n;
	} else {
		if (p->n_pieces == PKT_MAX_PIECES)
			return false;
		memmove(p->piece + 1, p->piece, p->n_pieces * sizeof(p->piece[0]));
		p->piece[0] = (struct pkt_piece){end - n, n};
		p->n_pieces++;
	}
	p->hdr_len = (uint16_t)(p->hdr_len - n);
	return true;
}

/* The tag that was a debt goes into the frame: a new one will lie over it. */
static bool pay_tag(struct pkt *p, const struct pkt *in)
{
	if (p->hdr_len + TAG_LEN > PKT_HDR_MAX && !spill(p, in, p->hdr_len + TAG_LEN - PKT_HDR_MAX))
		return false;
	memmove(p->hdr + 12 + TAG_LEN, p->hdr + 12, p->hdr_len - 12u);
	be16_store(p->hdr + 12, TYPE_VLAN);
	be16_store(p->hdr + 14, p->vlan_tci);
	p->hdr_len += TAG_LEN;
	shift_offsets(p, TAG_LEN);
	p->flags &= ~PKT_VLAN;
	return true;
}

static bool change_tags(const struct xpose_vlan *v, const struct pkt *in, struct pkt *out)
{
	for (unsigned int i = 0; i < v->pop; i++)
		pop_tag(out);
	if (v->set)
		set_vid(out, v->vid);
	for (unsigned int i = 0; i < v->push; i++) {
		if ((out->flags & PKT_VLAN) && !pay_tag(out, in))
			return false;
		out->flags |= PKT_VLAN;
		out->vlan_tci = v->tci[i];
	}
	return true;
}

/* --- fields and sums --- */

static uint64_t differ(uint64_t diff, const uint8_t *old, const uint8_t *new, uint32_t n)
{
	diff = cksum_plus(diff, (uint16_t)~cksum_fold(cksum_short(0, old, n)));
	return cksum_short(diff, new, n);
}

/* @n bytes at @off, even both by their header. Which sums have them? */
static void put(struct place *p, uint32_t off, const uint8_t *new, uint32_t n, bool in_l3,
		bool in_l4)
{
	uint8_t *at = p->hdr + off;

	if (!memcmp(at, new, n))
		return;
	if (in_l3) {
		p->l3_diff = differ(p->l3_diff, at, new, n);
		p->l3_changed = true;
	}
	if (in_l4) {
		p->l4_diff = differ(p->l4_diff, at, new, n);
		p->l4_changed = true;
	}
	memcpy(at, new, n);
}

static void adjust(uint8_t *at, uint64_t diff, bool zero_is_none)
{
	uint16_t sum;

	memcpy(&sum, at, 2);
	if (zero_is_none && !sum)
		return;
	sum = (uint16_t)~cksum_fold(cksum_plus(diff, (uint16_t)~sum));
	if (zero_is_none && !sum)
		sum = 0xffff;
	memcpy(at, &sum, 2);
}

/* Where in its header a protocol has the checksum. NO_SUM: none, or none that we know. */
static uint8_t sum_at(uint8_t proto)
{
	switch (proto) {
	case IPPROTO_TCP:
		return 16;
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE:
	case IPPROTO_DCCP:
		return 6;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return 2;
	default:
		return NO_SUM;
	}
}

static bool has_ports(uint8_t proto)
{
	return proto == IPPROTO_TCP || proto == IPPROTO_UDP || proto == IPPROTO_UDPLITE ||
	       proto == IPPROTO_DCCP;
}

/* Behind it there may be ports, and a sum that has the addresses, but we cannot tell where. */
static bool is_extension(uint8_t proto)
{
	return proto == IPPROTO_HOPOPTS || proto == IPPROTO_ROUTING || proto == IPPROTO_FRAGMENT ||
	       proto == IPPROTO_DSTOPTS;
}

static void put_addr(struct place *p, const uint8_t *addr, bool source)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	bool ip4 = !memcmp(addr, mapped, 12);
	uint32_t off = p->l3_off;

	if (ip4 != (p->l3 == PKT_L3_IPV4))
		return;
	if (ip4)
		off += source ? 12 : 16;
	else
		off += source ? 8 : 24;
	/* ICMP has no pseudo header. */
	put(p, off, ip4 ? addr + 12 : addr, ip4 ? 4 : 16, ip4,
	    off == (source ? p->src_off : p->dst_off) && p->proto != IPPROTO_ICMP);
}

/* False: it would have to be changed and cannot. */
static bool put_ports(struct place *p, const struct change *c)
{
	bool ports = has_ports(p->proto), request = false;
	uint32_t at = p->l4_off;
	uint8_t new[2];

	if (!c->sport && !c->dport)
		return true;
	if (!ports && p->proto != IPPROTO_ICMP && p->proto != IPPROTO_ICMPV6)
		return p->quoted || !is_extension(p->proto);
	/* Nobody knows of a later fragment what the first one's ports are. */
	if (p->fragment && !p->quoted)
		return false;
	if (p->later || at >= p->end)
		return true;
	if (at + (ports ? 4 : 6) > MIN(p->end, p->have))
		return at + (ports ? 4 : 6) > p->end; /* cut off, or out of reach */
	if (ports) {
		if (c->sport) {
			be16_store(new, *c->sport);
			put(p, at, new, 2, false, true);
		}
		if (c->dport) {
			be16_store(new, *c->dport);
			put(p, at + 2, new, 2, false, true);
		}
	} else if (icmp_type_is_query(p->proto, p->hdr[at], &request) &&
		   (request ? c->sport : c->dport)) {
		be16_store(new, request ? *c->sport : *c->dport);
		put(p, at + 4, new, 2, false, true);
	}
	return true;
}

static bool settle_l4_sum(struct place *p)
{
	uint32_t at = sum_at(p->proto);

	if (!p->l4_changed || p->l4_debt || p->later)
		return true;
	if (at == NO_SUM)
		return p->quoted || !is_extension(p->proto);
	at += p->l4_off;
	if (at + 2 <= MIN(p->end, p->have)) {
		adjust(p->hdr + at, p->l4_diff,
		       p->proto == IPPROTO_UDP || p->proto == IPPROTO_UDPLITE);
		return true;
	}
	/* A quotation may end before it. */
	return p->quoted && at + 2 > p->end;
}

static bool change_place(struct place *p, const struct change *c)
{
	if (c->src)
		put_addr(p, c->src, true);
	if (c->dst)
		put_addr(p, c->dst, false);
	if (!put_ports(p, c) || !settle_l4_sum(p))
		return false;
	if (p->l3_changed && !p->l3_debt)
		adjust(p->hdr + p->l3_off + 10, p->l3_diff, false);
	return true;
}

static struct place place_of(struct pkt *p)
{
	return (struct place){
		.hdr = p->hdr,
		.l3 = p->l3,
		.proto = p->l4_proto,
		.fragment = p->fragment,
		.later = pkt_is_later_fragment(p),
		.l3_debt = p->flags & (PKT_CSUM_IP | PKT_GSO),
		/* A debt on part of an L4 packet is none. */
		.l4_debt = (p->flags & (PKT_CSUM_L4 | PKT_GSO)) && !p->fragment,
		.l3_off = p->l3_off,
		.l4_off = p->l4_off,
		.src_off = p->src_off,
		.dst_off = p->dst_off,
		.have = p->hdr_len,
		.end = p->l3_off + p->ip_len,
	};
}

/* TTL and DSCP: no L4 sum has them. */
static enum vsw_drop change_hops(const struct vsw_xpose *x, struct place *p)
{
	bool ip4 = p->l3 == PKT_L3_IPV4;
	const uint8_t *h = p->hdr + p->l3_off;
	uint8_t new[2];

	if (x->flags & XPOSE_TTL) {
		uint32_t off = ip4 ? 8 : 6;

		memcpy(new, h + off, 2);
		if (new[!ip4] <= x->ttl_dec)
			return VSW_DROP_TTL;
		new[!ip4] = (uint8_t)(new[!ip4] - x->ttl_dec);
		put(p, p->l3_off + off, new, 2, ip4, false);
	}
	if (x->flags & XPOSE_DSCP) {
		uint16_t word = be16_load(h);

		if (ip4)
			word = (uint16_t)((word & 0xff03) | (x->dscp & 0x3f) << 2);
		else
			word = (uint16_t)((word & 0xf03f) | (x->dscp & 0x3f) << 6);
		be16_store(new, word);
		put(p, p->l3_off, new, 2, ip4, false);
	}
	return VSW_DROP_NONE;
}

/* Everything that is not in an IP packet. */
static bool change_frame(const struct vsw_xpose *x, const struct pkt *in, struct pkt *out)
{
	copy_view(out, in);
	if (unlikely(x->flags & XPOSE_VLAN) && !change_tags(&x->vlan, in, out))
		return false;
	if (x->flags & XPOSE_ETH_DST)
		memcpy(out->hdr, x->eth_dst, 6);
	if (x->flags & XPOSE_ETH_SRC)
		memcpy(out->hdr + 6, x->eth_src, 6);
	if (x->flags & XPOSE_TUN_SET) {
		out->tun = x->tun;
		out->tun.set = true;
		out->tun.received = false;
	} else if (x->flags & XPOSE_TUN_CLEAR) {
		out->tun.set = false;
	}
	return true;
}

#define XPOSE_L4 (XPOSE_L4_SRC | XPOSE_L4_DST)
#define XPOSE_IP (XPOSE_IP_SRC | XPOSE_IP_DST | XPOSE_TTL | XPOSE_DSCP)

enum vsw_drop xpose_apply(const struct vsw_xpose *x, const struct pkt *in, struct pkt *out)
{
	struct change c = {
		.src = x->flags & XPOSE_IP_SRC ? x->ip_src : NULL,
		.dst = x->flags & XPOSE_IP_DST ? x->ip_dst : NULL,
		.sport = x->flags & XPOSE_L4_SRC ? &x->l4_src : NULL,
		.dport = x->flags & XPOSE_L4_DST ? &x->l4_dst : NULL,
	};
	struct place p;
	enum vsw_drop why;

	if (!change_frame(x, in, out))
		return VSW_DROP_REWRITE;
	if (!(x->flags & (XPOSE_IP | XPOSE_L4)) || out->l3 == PKT_L3_OTHER)
		return VSW_DROP_NONE;
	p = place_of(out);
	why = change_hops(x, &p);
	if (why != VSW_DROP_NONE)
		return why;
	return change_place(&p, &c) ? VSW_DROP_NONE : VSW_DROP_REWRITE;
}

/* The quoted packet, against the direction of @x; and the difference it makes to the ICMP sum. */
static bool change_quote(const struct vsw_xpose *x, struct pkt *out, const struct icmp_quote *q)
{
	struct change c = {
		.src = x->flags & XPOSE_IP_DST ? x->ip_dst : NULL,
		.dst = x->flags & XPOSE_IP_SRC ? x->ip_src : NULL,
		.sport = x->flags & XPOSE_L4_DST ? &x->l4_dst : NULL,
		.dport = x->flags & XPOSE_L4_SRC ? &x->l4_src : NULL,
	};
	struct place p = {
		.hdr = out->hdr,
		.l3 = q->l3,
		.proto = q->proto,
		.later = q->later,
		.quoted = true,
		.l3_off = q->l3_off,
		.l4_off = q->l4_off,
		.src_off = q->src_off,
		.dst_off = q->dst_off,
		.have = q->end,
		.end = out->l3_off + out->ip_len,
	};
	uint8_t *at = out->hdr + q->l3_off, old[PKT_HDR_MAX];
	uint32_t n = q->end - q->l3_off;

	memcpy(old, at, n);
	if (!change_place(&p, &c))
		return false;
	if (!(out->flags & PKT_CSUM_L4))
		adjust(out->hdr + out->l4_off + 2, differ(0, old, at, n), false);
	return true;
}

enum vsw_drop xpose_apply_icmp_error(const struct vsw_xpose *x, const struct pkt *in,
				     struct pkt *out)
{
	struct vsw_xpose outer = *x;
	struct icmp_quote q;
	enum vsw_drop why;

	/* What looks like an identifier in an error is none; xpose_apply() knows, but be plain. */
	outer.flags &= ~XPOSE_L4;
	why = xpose_apply(&outer, in, out);
	if (why != VSW_DROP_NONE)
		return why;
	if (!icmp_quote(out, &q))
		return VSW_DROP_REWRITE;
	return change_quote(x, out, &q) ? VSW_DROP_NONE : VSW_DROP_REWRITE;
}
