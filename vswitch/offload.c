/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the settlement: what a receiver gets of a packet with debts.
 *
 * Theory of operation
 *
 * A packet arrives as headers (ours, copied) and payload (still in the sender's memory), with
 * debts in its flags. A receiver says what it can take (VSW_CAP_*). The settlement turns the
 * packet into frames: one, or one per segment. A frame is a private copy of the headers, made
 * right, and a range of the payload. Nothing of the payload is touched before vsw_frame_copy(),
 * which reads each byte once, stores it once and adds it up on the way where a sum is wanted:
 *
 *	sum_owed	the sender left the checksum to us and the receiver will not do it:
 *			computed while copying, written into the receiver's memory afterwards
 *	sum_verify	there is a checksum that nobody vouches for: added up while copying, and
 *			the verdict is in the return value
 *	neither		known good, or a fragment, or nothing with a checksum: a plain copy
 *
 * So a frame whose checksum we computed always matches the bytes the receiver got, even when
 * the sender rewrites its memory meanwhile.
 *
 * IPv4 header checksums are always paid here: sixty bytes at most, and no virtual NIC can say
 * "partial" of them. A debt on a packet that has no such field (Linux's mana driver asks for the
 * IP checksum of IPv6 packets too) is no debt. Fragments keep the L4 checksum they came with.
 *
 * Zero. A UDP checksum of zero means "none", so a computed zero is sent as 0xffff. Linux writes
 * 0xffff for TCP and ICMPv6 too when it completes a single packet (skb_checksum_help()), but
 * leaves zero in a TCP segment it cut (gso_make_checksum()). Both are right by RFC 1071; we do
 * the same, so that the two can be compared byte for byte.
 *
 * A large packet goes whole to a receiver that takes its kind, with lengths filled in, and is
 * cut otherwise. It is also cut when its length does not fit the 16 bits of the IP header, or
 * when some of its segments were already delivered before it had to wait.
 */
#include "vswitch/offload.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/util.h"
#include "base/wire.h"
#include "vswitch/checksum.h"
#include "vswitch/gso.h"
#include "vswitch/port.h"

#define TAG_LEN	  4
#define TYPE_VLAN 0x8100

static const uint8_t sum_at[] = {[PKT_L4_TCP] = 16, [PKT_L4_UDP] = 6, [PKT_L4_ICMPV6] = 2};

static uint32_t l2_len(const struct pkt *pkt)
{
	return pkt->l3 ? pkt->l3_off : pkt->payload_off;
}

enum vsw_drop vsw_settle_begin(struct vsw_settle *s, struct pkt *pkt, uint32_t caps, uint32_t mtu)
{
	uint32_t headers, payload, want;

	s->pkt = pkt;
	s->caps = caps;
	s->max_len = mtu;
	s->seg = pkt->seg_done;
	s->n_segs = 1;
	s->whole = true;
	s->done = false;
	s->piece = 0;
	s->piece_off = 0;
	s->piece_sum = 0;
	if (!(pkt->flags & PKT_GSO)) {
		/* A tag beside the frame is not part of the MTU, nor are tags in it. */
		if (mtu && pkt->len - l2_len(pkt) > mtu)
			return VSW_DROP_TOO_BIG;
		return VSW_DROP_NONE;
	}
	if (pkt->l4 != PKT_L4_TCP && pkt->l4 != PKT_L4_UDP)
		return VSW_DROP_MALFORMED;

	headers = pkt->payload_off - pkt->l3_off;
	payload = pkt->len - pkt->payload_off;
	if (mtu && headers + MIN(payload, (uint32_t)pkt->gso_size) > mtu)
		return VSW_DROP_TOO_BIG;
	if (payload <= pkt->gso_size)
		return VSW_DROP_NONE;
	want = pkt->l3 == PKT_L3_IPV4 ? VSW_CAP_TSO4 : VSW_CAP_TSO6;
	if (pkt->flags & PKT_GSO_UDP)
		want = VSW_CAP_USO;
	if ((caps & want) && pkt->ip_len <= 0xffff && !pkt->seg_done)
		return VSW_DROP_NONE;
	s->whole = false;
	s->n_segs = pkt_n_segs(pkt);
	return VSW_DROP_NONE;
}

/* The headers with tags where this receiver wants them. */
static void frame_headers(struct vsw_frame *f, const struct pkt *pkt, uint32_t caps)
{
	uint32_t n = pkt->payload_off, from = 12;
	int shift = 0;
	uint8_t *to = f->hdr + 12;

	if (likely(!(pkt->flags & PKT_VLAN) && !(caps & VSW_CAP_VLAN_STRIP))) {
		memcpy(f->hdr, pkt->hdr, n);
	} else {
		memcpy(f->hdr, pkt->hdr, 12);
		if (pkt->flags & PKT_VLAN) {
			f->vlan_tci = pkt->vlan_tci;
			if (caps & VSW_CAP_VLAN) {
				f->flags |= PKT_VLAN;
			} else {
				be16_store(to, TYPE_VLAN);
				be16_store(to + 2, pkt->vlan_tci);
				to += TAG_LEN;
				shift = TAG_LEN;
			}
		} else if (n >= 14 + TAG_LEN && be16_load(pkt->hdr + 12) == TYPE_VLAN) {
			f->vlan_tci = be16_load(pkt->hdr + 14);
			f->flags |= PKT_VLAN;
			from += TAG_LEN;
			shift = -TAG_LEN;
		}
		memcpy(to, pkt->hdr + from, n - from);
	}
	f->hdr_len = (uint16_t)((int)n + shift);
	f->l3_off = (uint16_t)(pkt->l3 ? pkt->l3_off + shift : 0);
	f->l4_off = (uint16_t)(pkt->l4_off ? pkt->l4_off + shift : 0);
}

static void settle_ip4(struct vsw_frame *f, const struct pkt *pkt, bool changed)
{
	uint8_t *ip = f->hdr + f->l3_off;
	uint32_t size = (uint32_t)(ip[0] & 0xf) * 4;
	uint16_t sum;

	if (changed || (pkt->flags & PKT_CSUM_IP)) {
		memset(ip + 10, 0, 2);
		sum = (uint16_t)~cksum_fold(cksum_short(0, ip, size));
		memcpy(ip + 10, &sum, 2);
		f->flags |= PKT_IP_GOOD;
	} else if ((pkt->flags & PKT_IP_GOOD) || cksum_fold(cksum_short(0, ip, size)) == 0xffff) {
		f->flags |= PKT_IP_GOOD;
	}
}

/* The addresses come from the packet: the frame's headers may have been shifted. */
static uint64_t pseudo_sum(const struct pkt *pkt, uint32_t l4_len)
{
	uint32_t n = pkt->l3 == PKT_L3_IPV4 ? 4 : 16;
	uint64_t sum = (uint64_t)htonl(l4_len) + htonl(pkt->l4_proto);

	sum = cksum_short(sum, pkt->hdr + pkt->src_off, n);
	return cksum_short(sum, pkt->hdr + pkt->dst_off, n);
}

static void settle_l4(struct vsw_frame *f, const struct pkt *pkt, uint32_t caps, uint32_t ip_len,
		      bool cut)
{
	bool debt = cut || (pkt->flags & (PKT_CSUM_L4 | PKT_GSO));
	uint16_t field;
	uint8_t *at;

	f->sum_off = (uint16_t)(f->l4_off + sum_at[pkt->l4]);
	at = f->hdr + f->sum_off;
	f->l4_len = ip_len - (uint32_t)(f->l4_off - f->l3_off);
	if (pkt->l4 == PKT_L4_UDP)
		f->l4_len = be16_load(f->hdr + f->l4_off + 4);
	if (debt) {
		f->pseudo = pseudo_sum(pkt, f->l4_len);
		if (!cut && (caps & VSW_CAP_CSUM)) {
			field = cksum_fold(f->pseudo);
			memcpy(at, &field, 2);
			f->flags |= PKT_CSUM_L4;
			return;
		}
		memset(at, 0, 2);
		f->sum_owed = true;
		f->sum_not_zero = !cut || pkt->l4 == PKT_L4_UDP;
		return;
	}
	if (pkt->flags & PKT_L4_GOOD) {
		f->flags |= PKT_L4_GOOD;
		return;
	}
	/* A UDP sender may leave the sum out; then there is nothing to vouch for. */
	memcpy(&field, at, 2);
	if (pkt->l4 == PKT_L4_UDP && !field)
		return;
	f->pseudo = pseudo_sum(pkt, f->l4_len);
	f->sum_verify = true;
}

/* Segments follow each other: go on from where the last one began. */
static void find_payload(struct vsw_settle *s, const struct pkt *pkt, uint32_t in_pieces)
{
	uint32_t ahead;

	if (in_pieces < s->piece_sum) {
		s->piece = 0;
		s->piece_off = 0;
		s->piece_sum = 0;
	}
	ahead = in_pieces - s->piece_sum;
	while (s->piece < pkt->n_pieces && ahead >= pkt->piece[s->piece].len - s->piece_off) {
		ahead -= pkt->piece[s->piece].len - s->piece_off;
		s->piece++;
		s->piece_off = 0;
	}
	s->piece_off += ahead;
	s->piece_sum = in_pieces;
}

bool vsw_settle_next(struct vsw_settle *s, struct vsw_frame *f)
{
	struct pkt *pkt = s->pkt;
	uint32_t payload = pkt->len - pkt->payload_off, off = 0, ip_len = pkt->ip_len;
	bool cut = !s->whole, gso = pkt->flags & PKT_GSO;

	if (s->done || s->seg >= s->n_segs) {
		s->done = true;
		pkt->seg_done = 0;
		return false;
	}
	f->flags = 0;
	f->gso_size = 0;
	f->vlan_tci = 0;
	f->l3 = pkt->l3;
	f->l4 = pkt->l4;
	f->sum_owed = f->sum_verify = f->sum_not_zero = false;
	f->pkt = pkt;
	if (cut) {
		off = s->seg * pkt->gso_size;
		payload = MIN(payload - off, (uint32_t)pkt->gso_size);
	}
	f->payload_off = pkt->payload_off + off;
	f->payload_len = payload;
	frame_headers(f, pkt, s->caps);
	f->len = f->hdr_len + payload;

	if (gso) {
		if (cut) {
			gso_headers(f, s->seg, s->n_segs, pkt->gso_size);
		} else {
			gso_lengths(f);
			/* What fits one segment is an ordinary packet. */
			if (payload > pkt->gso_size) {
				f->flags |= pkt->flags & PKT_GSO;
				f->gso_size = pkt->gso_size;
			}
		}
		ip_len = f->len - f->l3_off;
	}
	if (pkt->l3 == PKT_L3_IPV4)
		settle_ip4(f, pkt, gso);
	if (!pkt->fragment &&
	    (pkt->l4 == PKT_L4_TCP || pkt->l4 == PKT_L4_UDP || pkt->l4 == PKT_L4_ICMPV6))
		settle_l4(f, pkt, s->caps, ip_len, cut);

	/* Payload begins in the copied bytes, then in the pieces. */
	if (f->payload_off > pkt->hdr_len)
		find_payload(s, pkt, f->payload_off - pkt->hdr_len);
	f->piece = s->piece;
	f->piece_off = s->piece_off;
	pkt->seg_done = ++s->seg;
	return true;
}

void vsw_settle_stop(struct vsw_settle *s)
{
	if (s->seg)
		s->seg--;
	s->pkt->seg_done = s->seg;
}

/* Where the next byte of the receiver's goes. */
struct cursor {
	const struct iovec *iov, *end;
	size_t off; /* in *iov */
};

/*
 * @len bytes from @src, added to @sum when @at is given: the offset of @src in the summed range,
 * advanced.
 */
static uint64_t store(struct cursor *c, const uint8_t *src, size_t len, uint64_t sum, uint32_t *at)
{
	while (len && c->iov < c->end) {
		size_t n = MIN(len, c->iov->iov_len - c->off);
		uint8_t *dst = (uint8_t *)c->iov->iov_base + c->off;

		if (n && !at) {
			memcpy(dst, src, n);
		} else if (n) {
			if (*at & 1)
				sum = cksum_plus(sum, cksum_odd(cksum->copy(0, dst, src, n)));
			else
				sum = cksum->copy(sum, dst, src, n);
			*at += (uint32_t)n;
		}
		src += n;
		len -= n;
		c->off += n;
		if (c->off == c->iov->iov_len) {
			c->iov++;
			c->off = 0;
		}
	}
	return sum;
}

static void store_field(const struct iovec *iov, unsigned int n_iov, size_t off, uint16_t field)
{
	struct cursor c = {.iov = iov, .end = iov + n_iov};

	while (c.iov < c.end && off >= c.iov->iov_len)
		off -= c.iov++->iov_len;
	c.off = off;
	store(&c, (const uint8_t *)&field, 2, 0, NULL);
}

/* The next stretch of payload that lies in one place, at most @want bytes. 0: there is no more. */
struct source {
	const struct pkt *pkt;
	uint32_t off, piece, piece_off;
};

static inline uint32_t next_stretch(struct source *s, uint32_t want, const uint8_t **src)
{
	const struct pkt *pkt = s->pkt;
	uint32_t n;

	if (s->off < pkt->hdr_len) {
		*src = pkt->hdr + s->off;
		n = MIN(want, pkt->hdr_len - s->off);
		s->off += n;
		return n;
	}
	for (; s->piece < pkt->n_pieces; s->piece++, s->piece_off = 0) {
		n = pkt->piece[s->piece].len - s->piece_off;
		if (!n)
			continue;
		n = MIN(want, n);
		*src = pkt->piece[s->piece].ptr + s->piece_off;
		s->piece_off += n;
		return n;
	}
	return 0;
}

uint32_t vsw_frame_copy(const struct vsw_frame *f, const struct iovec *iov, unsigned int n_iov)
{
	struct source src = {f->pkt, f->payload_off, f->piece, f->piece_off};
	struct cursor c = {.iov = iov, .end = iov + n_iov};
	uint32_t facts = f->flags & (PKT_IP_GOOD | PKT_L4_GOOD);
	uint32_t left = f->payload_len, summed = 0, at = 0, n;
	bool flat = likely(n_iov && iov->iov_len >= f->len);
	uint8_t *dst = flat ? iov->iov_base : NULL;
	const uint8_t *from;
	uint64_t sum = 0;
	uint16_t field;

	if (f->sum_owed || f->sum_verify) {
		at = (uint32_t)(f->hdr_len - f->l4_off);
		sum = cksum_short(f->pseudo, f->hdr + f->l4_off, at);
		/* Behind the L4 packet a short frame has padding, which does not count. */
		summed = f->l4_len > at ? MIN(f->l4_len - at, left) : 0;
	}
	if (flat) {
		memcpy(dst, f->hdr, f->hdr_len);
		dst += f->hdr_len;
	} else {
		store(&c, f->hdr, f->hdr_len, 0, NULL);
	}
	left -= summed;
	while (summed && (n = next_stretch(&src, summed, &from))) {
		if (!flat) {
			sum = store(&c, from, n, sum, &at);
		} else {
			if (at & 1)
				sum = cksum_plus(sum, cksum_odd(cksum->copy(0, dst, from, n)));
			else
				sum = cksum->copy(sum, dst, from, n);
			at += n;
			dst += n;
		}
		summed -= n;
	}
	while (left && (n = next_stretch(&src, left, &from))) {
		if (flat) {
			memcpy(dst, from, n);
			dst += n;
		} else {
			store(&c, from, n, 0, NULL);
		}
		left -= n;
	}
	if (f->sum_owed) {
		field = (uint16_t)~cksum_fold(sum);
		if (!field && f->sum_not_zero)
			field = 0xffff;
		if (flat)
			memcpy((uint8_t *)iov->iov_base + f->sum_off, &field, 2);
		else
			store_field(iov, n_iov, f->sum_off, field);
		facts |= PKT_L4_GOOD;
	} else if (f->sum_verify) {
		if (cksum_fold(sum) == 0xffff)
			facts |= PKT_L4_GOOD;
	} else if (f->flags & PKT_CSUM_L4) {
		facts |= PKT_L4_GOOD;
	}
	return facts;
}

int vsw_frame_payload(const struct vsw_frame *f, struct iovec *iov, unsigned int max)
{
	struct source src = {f->pkt, f->payload_off, f->piece, f->piece_off};
	uint32_t left = f->payload_len, n;
	const uint8_t *from;
	unsigned int i = 0;

	for (; left && (n = next_stretch(&src, left, &from)); left -= n) {
		if (i == max)
			return -1;
		iov[i++] = (struct iovec){(void *)from, n};
	}
	return (int)i;
}
