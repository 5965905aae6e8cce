/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the making of random packets for the comparison with the kernel. */
#include "gen.h"

#include <netinet/in.h>
#include <string.h>

#include "base/util.h"
#include "base/wire.h"
#include "vswitch/packet.h"

static bool one_in(struct rng *r, uint32_t n)
{
	return rng_below(r, n) == 0;
}

static void put16(struct gen *g, uint16_t v)
{
	be16_store(g->frame + g->len, v);
	g->len += 2;
}

static void link_header(struct gen *g, struct rng *r)
{
	static const uint8_t macs[12] = {0x02, 0, 0, 0, 0, 2, 0x02, 0, 0, 0, 0, 1};

	memcpy(g->frame, macs, 12);
	g->len = 12;
	g->n_tags = (uint8_t)(one_in(r, 3) ? 1 + rng_below(r, 2) : 0);
	for (unsigned int i = g->n_tags; i; i--) {
		put16(g, i == 2 ? 0x88a8 : 0x8100);
		put16(g, (uint16_t)rng_u64(r));
	}
	put16(g, g->v6 ? 0x86dd : 0x0800);
	g->l3 = (uint16_t)g->len;
}

static void ip4_header(struct gen *g, struct rng *r)
{
	uint8_t *h = g->frame + g->l3;
	uint32_t options = one_in(r, 4) ? 4 * (1 + rng_below(r, 10)) : 0;

	memset(h, 0, 20);
	h[0] = (uint8_t)(0x45 + options / 4);
	h[1] = (uint8_t)rng_u64(r);
	/* Near the wrap now and then. */
	be16_store(h + 4,
		   one_in(r, 4) ? (uint16_t)(0xfff8 + rng_below(r, 8)) : (uint16_t)rng_u64(r));
	if (one_in(r, 2))
		be16_store(h + 6, 0x4000);
	h[8] = 64;
	h[9] = g->proto;
	rng_fill(r, h + 12, 8);
	h[12] = 10;
	h[16] = 10;
	/* No-operation options: the kernel looks at none of them here. */
	memset(h + 20, 1, options);
	memcpy(g->src, h + 12, 4);
	memcpy(g->dst, h + 16, 4);
	g->options = options;
	g->len += 20 + options;
}

/* An options header: hop by hop, or for the destination. */
static void ip6_options(struct gen *g, struct rng *r, uint8_t **next, uint8_t type)
{
	uint8_t *h = g->frame + g->len;
	uint32_t size = 8 * (1 + rng_below(r, 3));

	**next = type;
	*next = h;
	h[1] = (uint8_t)(size / 8 - 1);
	h[2] = 1; /* PadN over all of it */
	h[3] = (uint8_t)(size - 4);
	memset(h + 4, 0, size - 4);
	g->len += size;
}

static void ip6_routing(struct gen *g, struct rng *r, uint8_t **next)
{
	uint8_t *h = g->frame + g->len;
	uint32_t n = 1 + rng_below(r, 3);

	**next = IPPROTO_ROUTING;
	*next = h;
	memset(h, 0, 8);
	h[1] = (uint8_t)(2 * n);
	h[2] = one_in(r, 2) ? 4 : 0;
	h[3] = (uint8_t)rng_below(r, n + 1);
	if (h[2] == 4)
		h[4] = (uint8_t)(n - 1);
	rng_fill(r, h + 8, 16 * n);
	if (h[3])
		memcpy(g->dst, h[2] == 4 ? h + 8 : h + 8 + 16 * (n - 1), 16);
	g->len += 8 + 16 * n;
}

static void ip6_header(struct gen *g, struct rng *r)
{
	uint8_t *h = g->frame + g->l3, *next = h + 6;

	memset(h, 0, 40);
	be32_store(h, 0x60000000u | (uint32_t)(rng_u64(r) & 0x0fffffff));
	h[7] = 64;
	rng_fill(r, h + 8, 32);
	h[8] = h[24] = 0xfd;
	memcpy(g->src, h + 8, 16);
	memcpy(g->dst, h + 24, 16);
	g->len += 40;
	if (one_in(r, 4)) {
		g->options = true;
		if (one_in(r, 2))
			ip6_options(g, r, &next, IPPROTO_HOPOPTS);
		if (one_in(r, 2))
			ip6_routing(g, r, &next);
		if (one_in(r, 2))
			ip6_options(g, r, &next, IPPROTO_DSTOPTS);
	}
	*next = g->proto;
}

static void l4_header(struct gen *g, struct rng *r)
{
	uint8_t *h = g->frame + g->len;
	uint32_t size = 8;

	g->l4 = (uint16_t)g->len;
	if (g->proto == IPPROTO_TCP) {
		uint32_t options = one_in(r, 2) ? 4 * rng_below(r, 11) : 12;

		size = 20 + options;
		rng_fill(r, h, size);
		h[12] = (uint8_t)((size / 4) << 4);
		g->sum_off = 16;
		/* The sequence number wraps now and then. */
		if (one_in(r, 4))
			be32_store(h + 4, 0xffffffffu - rng_below(r, 4000));
	} else if (g->proto == IPPROTO_UDP) {
		rng_fill(r, h, 4);
		g->sum_off = 6;
	} else {
		h[0] = 128;
		h[1] = 0;
		g->sum_off = 2;
		/* Four bytes are what pkt_parse() calls the header; the rest is payload. */
		size = 4;
	}
	memset(h + g->sum_off, 0, 2);
	g->len += size;
	g->payload_off = g->len;
}

static uint32_t payload_len(struct gen *g, enum gen_kind kind, struct rng *r)
{
	uint32_t room = 65535 - (g->len - g->l3), n;

	if (kind == GEN_CSUM)
		return rng_below(r, one_in(r, 3) ? 64 : 9000);
	/* No UDP socket sends more in one piece, and the kernel refuses it (UDP_MAX_SEGMENTS). */
	if (kind == GEN_USO && room > 128u * g->gso_size)
		room = 128u * g->gso_size;
	switch (rng_below(r, 4)) {
	case 0: /* about one segment */
		return g->gso_size - 3 + rng_below(r, 7);
	case 1: /* a whole number of them */
		n = g->gso_size * (1 + rng_below(r, 20));
		return MIN(room, n);
	case 2:
		return 1 + rng_below(r, room);
	default:
		return 1 + rng_below(r, MIN(room, 10000u));
	}
}

static void lengths(struct gen *g)
{
	uint8_t *h = g->frame + g->l3;
	uint32_t sum = 0;

	if (g->proto == IPPROTO_UDP)
		be16_store(g->frame + g->l4 + 4, (uint16_t)(g->len - g->l4));
	if (g->v6) {
		be16_store(h + 4, (uint16_t)(g->len - g->l3 - 40));
		return;
	}
	be16_store(h + 2, (uint16_t)(g->len - g->l3));
	be16_store(h + 10, 0);
	for (unsigned int i = 0; i < (h[0] & 15u) * 4; i += 2)
		sum += be16_load(h + i);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	be16_store(h + 10, (uint16_t)~sum);
}

void gen_packet(struct gen *g, enum gen_kind kind, struct rng *r)
{
	uint32_t n;

	g->len = g->payload_off = 0;
	g->options = g->fragment = false;
	g->gso_size = 0;
	g->v6 = one_in(r, 2);
	g->flags = PKT_CSUM_IP | PKT_CSUM_L4;
	g->proto = kind == GEN_TCP ? IPPROTO_TCP : IPPROTO_UDP;
	if (kind == GEN_CSUM && one_in(r, 2))
		g->proto = IPPROTO_TCP;
	if (kind == GEN_CSUM && g->v6 && one_in(r, 4))
		g->proto = IPPROTO_ICMPV6;
	if (kind != GEN_CSUM) {
		g->flags = kind == GEN_TCP ? PKT_GSO_TCP : PKT_GSO_UDP;
		g->gso_size =
			(uint16_t)(one_in(r, 8) ? 64 + rng_below(r, 64)
						: 500 + rng_below(r, one_in(r, 4) ? 8500 : 960));
	}
	link_header(g, r);
	if (g->v6)
		ip6_header(g, r);
	else
		ip4_header(g, r);
	l4_header(g, r);
	n = payload_len(g, kind, r);
	rng_fill(r, g->frame + g->len, n);
	g->len += n;
	lengths(g);
}

uint16_t gen_sum(const struct gen *g, const uint8_t *l4, uint32_t len)
{
	uint32_t n = g->v6 ? 16 : 4;
	uint64_t sum = len + g->proto;

	for (uint32_t i = 0; i < n; i += 2)
		sum += be16_load(g->src + i) + be16_load(g->dst + i);
	for (uint32_t i = 0; l4 && i < len; i += 2)
		sum += (uint64_t)l4[i] << 8 | (i + 1 < len ? l4[i + 1] : 0);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

void gen_for_kernel(const struct gen *g, uint8_t *frame, struct virtio_net_hdr *h)
{
	memset(h, 0, sizeof(*h));
	h->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	h->csum_start = g->l4;
	h->csum_offset = g->sum_off;
	h->hdr_len = (uint16_t)g->payload_off;
	/*
	 * What fits one segment is no large packet. A driver asks no segmentation for it, and the
	 * kernel drops it when it has TCP options (tcp_gso_segment() wants more than one segment,
	 * virtio_net_hdr_to_skb() counts the options as payload).
	 */
	if (g->len - g->payload_off > g->gso_size && (g->flags & PKT_GSO)) {
		h->gso_size = g->gso_size;
		h->gso_type = VIRTIO_NET_HDR_GSO_UDP_L4;
		if (g->flags & PKT_GSO_TCP) {
			h->gso_type = g->v6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4;
			if (g->frame[g->l4 + 13] & 0x80)
				h->gso_type |= VIRTIO_NET_HDR_GSO_ECN;
		}
	}
	memcpy(frame, g->frame, g->len);
	be16_store(frame + g->l4 + g->sum_off, gen_sum(g, NULL, g->len - g->l4));
}

void gen_for_nic(const struct gen *g, uint8_t *frame, struct rng *r)
{
	memcpy(frame, g->frame, g->len);
	rng_fill(r, frame + g->l4 + g->sum_off, 2);
	if (!g->v6)
		rng_fill(r, frame + g->l3 + 10, 2);
	if (g->flags & PKT_GSO)
		rng_fill(r, frame + g->l3 + (g->v6 ? 4 : 2), 2);
	if (g->flags & PKT_GSO_UDP)
		rng_fill(r, frame + g->l4 + 4, 2);
}

void gen_make_sum_zero(struct gen *g)
{
	uint32_t payload = g->len - g->payload_off, len;
	uint8_t l4[20 + 40 + 65536], *bend;
	uint16_t sum;

	if (g->gso_size && payload > g->gso_size)
		payload = g->gso_size;
	if (payload < 2)
		return;
	/* The first frame as it will be on the wire, without its sum. */
	len = g->payload_off - g->l4 + payload;
	memcpy(l4, g->frame + g->l4, len);
	if (g->proto == IPPROTO_UDP)
		be16_store(l4 + 4, (uint16_t)len);
	if (g->proto == IPPROTO_TCP && g->len - g->payload_off > payload)
		l4[13] &= (uint8_t)~0x09;
	bend = g->frame + g->payload_off;
	be16_store(bend, 0);
	memset(l4 + (g->payload_off - g->l4), 0, 2);
	sum = gen_sum(g, l4, len);
	be16_store(bend, (uint16_t)~sum);
}
