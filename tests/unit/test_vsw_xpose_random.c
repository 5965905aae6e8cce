/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vswitch/xpose.c with random packets and changes, compared with the same change made byte by byte
 * in the complete frame and summed afresh (tests/lib/frame.h).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include <cmocka.h>
#include <netinet/in.h>

#include "base/util.h"
#include "base/wire.h"
#include "tests/lib/frame.h"
#include "tests/lib/rng.h"
#include "xpose_rig.h"
#include "vswitch/icmp.h"
#include "vswitch/parse.h"
#include "vswitch/xpose.h"

static struct frame want, got;
static struct pkt in, out;

static struct vsw_xpose random_xpose(struct rng *r, bool ip6)
{
	struct vsw_xpose x = {.flags = (uint32_t)rng_u64(r) & XPOSE_ALL};

	if (!rng_below(r, 4))
		x.flags &= XPOSE_IP_SRC | XPOSE_L4_SRC;
	x.flags &= ~(XPOSE_VLAN | (rng_below(r, 2) ? XPOSE_TUN_SET : XPOSE_TUN_CLEAR));
	if (x.flags & XPOSE_ETH_SRC)
		frame_mac(x.eth_src, rng_below(r, 1000));
	if (x.flags & XPOSE_ETH_DST)
		frame_mac(x.eth_dst, rng_below(r, 1000));
	if (x.flags & XPOSE_IP_SRC)
		rng_fill(r, x.ip_src, 16);
	if (x.flags & XPOSE_IP_DST)
		rng_fill(r, x.ip_dst, 16);
	if (!ip6) {
		if (x.flags & XPOSE_IP_SRC)
			ip4(x.ip_src, (uint32_t)rng_u64(r));
		if (x.flags & XPOSE_IP_DST)
			ip4(x.ip_dst, (uint32_t)rng_u64(r));
	}
	if (x.flags & XPOSE_L4_SRC)
		x.l4_src = (uint16_t)rng_u64(r);
	if (x.flags & XPOSE_L4_DST)
		x.l4_dst = (uint16_t)rng_u64(r);
	if (x.flags & XPOSE_TTL)
		x.ttl_dec = (uint8_t)rng_below(r, 40);
	if (x.flags & XPOSE_DSCP)
		x.dscp = (uint8_t)rng_below(r, 64);
	if (x.flags & XPOSE_TUN_SET)
		x.tun = (struct pkt_tunnel){.set = true, .vni = rng_below(r, 1u << 24)};
	for (unsigned int n = rng_below(r, 4); n; n--) {
		switch (rng_below(r, 3)) {
		case 0:
			xpose_vlan_pop(&x);
			break;
		case 1:
			xpose_vlan_set(&x, (uint16_t)rng_below(r, 4096));
			break;
		case 2:
			xpose_vlan_push(&x, (uint16_t)rng_u64(r));
			break;
		}
	}
	return x;
}

static struct frame_spec random_spec(struct rng *r)
{
	static const uint8_t protos[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP, IPPROTO_SCTP};
	struct frame_spec s = {.ip = rng_below(r, 2) ? 4 : 6};

	s.proto = protos[rng_below(r, 4)];
	if (s.ip == 6 && s.proto == IPPROTO_ICMP)
		s.proto = IPPROTO_ICMPV6;
	frame_addr(&s, 1 + rng_below(r, 60000), 1 + rng_below(r, 60000));
	s.vlan = (uint16_t)(rng_below(r, 3) ? 0 : rng_u64(r));
	s.opt4 = (uint8_t)(rng_below(r, 3) ? 0 : 4 * rng_below(r, 11));
	s.tcp_opt = (uint8_t)(4 * rng_below(r, 11));
	s.ext6 = !rng_below(r, 3);
	s.udp_no_sum = !rng_below(r, 4) && s.ip == 4;
	s.tcp_flags = (uint8_t)rng_u64(r);
	s.ip_id = (uint16_t)rng_u64(r);
	s.sport = (uint16_t)rng_u64(r);
	s.dport = (uint16_t)rng_u64(r);
	s.payload_len = rng_below(r, rng_below(r, 2) ? 40 : 3000);
	s.seed = rng_u64(r);
	return s;
}

static void insert_tag(struct frame *fr, uint16_t tci)
{
	memmove(fr->data + 16, fr->data + 12, fr->len - 12);
	be16_store(fr->data + 12, 0x8100);
	be16_store(fr->data + 14, tci);
	fr->len += 4;
}

static void remove_tag(struct frame *fr)
{
	if (be16_load(fr->data + 12) != 0x8100)
		return;
	memmove(fr->data + 12, fr->data + 16, fr->len - 16);
	fr->len -= 4;
}

/* What must come of a complete frame: changed byte by byte, summed afresh. */
static void slow(struct frame *fr, const struct vsw_xpose *x, bool no_sum)
{
	uint8_t *ip, *l4;
	bool v4;

	for (unsigned int i = 0; (x->flags & XPOSE_VLAN) && i < x->vlan.pop; i++)
		remove_tag(fr);
	if ((x->flags & XPOSE_VLAN) && x->vlan.set) {
		if (be16_load(fr->data + 12) != 0x8100)
			insert_tag(fr, 0);
		fr->data[14] = (uint8_t)((fr->data[14] & 0xf0) | x->vlan.vid >> 8);
		fr->data[15] = (uint8_t)x->vlan.vid;
	}
	for (unsigned int i = 0; (x->flags & XPOSE_VLAN) && i < x->vlan.push; i++)
		insert_tag(fr, x->vlan.tci[i]);
	if (x->flags & XPOSE_ETH_DST)
		memcpy(fr->data, x->eth_dst, 6);
	if (x->flags & XPOSE_ETH_SRC)
		memcpy(fr->data + 6, x->eth_src, 6);
	assert_true(frame_parse(fr));
	ip = fr->data + fr->l3;
	l4 = fr->data + fr->l4;
	v4 = fr->ip == 4;
	if (x->flags & XPOSE_IP_SRC)
		memcpy(ip + (v4 ? 12 : 8), x->ip_src + (v4 ? 12 : 0), v4 ? 4 : 16);
	if (x->flags & XPOSE_IP_DST)
		memcpy(ip + (v4 ? 16 : 24), x->ip_dst + (v4 ? 12 : 0), v4 ? 4 : 16);
	if (x->flags & XPOSE_TTL)
		ip[v4 ? 8 : 7] = (uint8_t)(ip[v4 ? 8 : 7] - x->ttl_dec);
	if (x->flags & XPOSE_DSCP) {
		uint8_t tos = (uint8_t)(v4 ? ip[1] : ip[0] << 4 | ip[1] >> 4);

		tos = (uint8_t)((tos & 3) | x->dscp << 2);
		if (v4)
			ip[1] = tos;
		else
			be16_store(ip, (uint16_t)(0x6000 | tos << 4 | (ip[1] & 0xf)));
	}
	if (fr->proto == IPPROTO_TCP || fr->proto == IPPROTO_UDP) {
		if (x->flags & XPOSE_L4_SRC)
			be16_store(l4, x->l4_src);
		if (x->flags & XPOSE_L4_DST)
			be16_store(l4 + 2, x->l4_dst);
	} else if (fr->proto != IPPROTO_SCTP && (x->flags & XPOSE_L4_SRC)) {
		be16_store(l4 + 4, x->l4_src); /* the builder makes echo requests */
	}
	frame_sum(fr);
	if (no_sum)
		memset(l4 + 6, 0, 2);
}

/* 0 and 0xffff are the same sum, but for UDP. */
static void same_sum(struct frame *fr)
{
	uint8_t *sum = fr->data + fr->l4 + (fr->proto == IPPROTO_TCP ? 16 : 2);

	if ((fr->proto == IPPROTO_TCP || fr->proto == IPPROTO_ICMPV6 ||
	     fr->proto == IPPROTO_ICMP) &&
	    be16_load(sum) == 0xffff)
		memset(sum, 0, 2);
}

static void assert_same_frame(struct frame *a, struct frame *b)
{
	assert_int_equal(a->len, b->len);
	assert_true(frame_parse(a) && frame_parse(b));
	same_sum(a);
	same_sum(b);
	assert_memory_equal(a->data, b->data, a->len);
}

/* Offsets and kinds are what a fresh look finds. */
static void assert_parsed(const struct pkt *p)
{
	static struct pkt again;

	again = *p;
	assert_int_equal(pkt_parse(&again), VSW_DROP_NONE);
	assert_memory_equal(&again, p, offsetof(struct pkt, piece));
}

/* Half the packets have debts, and the fields hold anything. */
static void make_debts(struct rng *r, struct frame_spec *s, struct frame *sent)
{
	uint32_t flags = 0;

	if (rng_below(r, 2) && s->ip == 4) {
		flags |= PKT_CSUM_IP;
		rng_fill(r, sent->data + sent->l3 + 10, 2);
	}
	if (rng_below(r, 2) && !s->udp_no_sum &&
	    (s->proto == IPPROTO_TCP || s->proto == IPPROTO_UDP || s->proto == IPPROTO_ICMPV6)) {
		flags |= PKT_CSUM_L4;
		rng_fill(r,
			 sent->data + sent->l4 +
				 (s->proto == IPPROTO_TCP   ? 16
				  : s->proto == IPPROTO_UDP ? 6
							    : 2),
			 2);
	}
	pkt_of_frame(&in, sent, rng_below(r, 3) ? 0 : 60 + rng_below(r, 1000));
	in.flags = flags;
	if (!rng_below(r, 3)) {
		in.flags |= PKT_VLAN;
		in.vlan_tci = (uint16_t)rng_u64(r);
	}
	assert_int_equal(pkt_parse(&in), VSW_DROP_NONE);
}

static void as_if_made_byte_by_byte(void **state)
{
	struct rng r = {.s = 20};
	static struct frame sent;
	static struct pkt before;

	(void)state;
	for (unsigned int n = 0; n < 40000; n++) {
		struct frame_spec s = random_spec(&r);
		struct vsw_xpose x = random_xpose(&r, s.ip == 6);

		frame_build(&sent, &s);
		memcpy(&want, &sent, offsetof(struct frame, data) + sent.len);
		make_debts(&r, &s, &sent);
		if (in.flags & PKT_VLAN)
			insert_tag(&want, in.vlan_tci);
		memcpy(&before, &in, sizeof(in));
		assert_int_equal(xpose_apply(&x, &in, &out), VSW_DROP_NONE);
		assert_memory_equal(&before, &in, sizeof(in));
		assert_parsed(&out);
		flatten(&out, &got);
		slow(&want, &x, s.udp_no_sum && s.proto == IPPROTO_UDP);
		assert_same_frame(&got, &want);
	}
}

static void large_packets_whole(void **state)
{
	struct rng r = {.s = 21};
	static struct frame sent, seg;

	(void)state;
	for (unsigned int n = 0; n < 2000; n++) {
		struct frame_spec s = random_spec(&r);
		struct vsw_xpose x;
		struct vsw_settle st;
		struct vsw_frame fr;
		uint16_t mss = (uint16_t)(100 + rng_below(&r, 1400));
		uint32_t i = 0;

		s.proto = IPPROTO_TCP;
		s.payload_len = rng_below(&r, 20000);
		x = random_xpose(&r, s.ip == 6);
		frame_build(&sent, &s);
		memcpy(&want, &sent, offsetof(struct frame, data) + sent.len);
		slow(&want, &x, false);
		frame_make_partial(&sent, true);
		pkt_of_frame(&in, &sent, 0);
		in.flags = PKT_GSO_TCP;
		in.gso_size = mss;
		assert_int_equal(pkt_parse(&in), VSW_DROP_NONE);
		assert_int_equal(xpose_apply(&x, &in, &out), VSW_DROP_NONE);
		assert_int_equal(out.gso_size, mss);
		assert_parsed(&out);
		assert_int_equal(vsw_settle_begin(&st, &out, 0, 0), VSW_DROP_NONE);
		while (vsw_settle_next(&st, &fr)) {
			struct iovec iov = {got.data, sizeof(got.data)};

			vsw_frame_copy(&fr, &iov, 1);
			got.len = fr.len;
			assert_true(frame_segment(&want, mss, i++, &seg));
			assert_same_frame(&got, &seg);
		}
		assert_false(frame_segment(&want, mss, i, &seg));
	}
}

/* One after the other is the same as both at once. */
static void composed_is_one_after_the_other(void **state)
{
	struct rng r = {.s = 22};
	static struct frame sent;
	static struct pkt mid;

	(void)state;
	for (unsigned int n = 0; n < 40000; n++) {
		struct frame_spec s = random_spec(&r);
		struct vsw_xpose a = random_xpose(&r, s.ip == 6), b = random_xpose(&r, s.ip == 6);
		struct vsw_xpose both = a, kept = a;
		enum vsw_drop w1, w2;

		frame_build(&sent, &s);
		make_debts(&r, &s, &sent);
		if (!xpose_compose(&both, &b)) {
			assert_memory_equal(&both, &kept, sizeof(both));
			continue;
		}
		w1 = xpose_apply(&a, &in, &mid);
		if (w1 == VSW_DROP_NONE)
			w1 = xpose_apply(&b, &mid, &out);
		if (w1 == VSW_DROP_NONE)
			flatten(&out, &want);
		w2 = xpose_apply(&both, &in, &out);
		assert_int_equal(w1, w2);
		if (w1 != VSW_DROP_NONE)
			continue;
		assert_parsed(&out);
		flatten(&out, &got);
		assert_same_frame(&got, &want);
	}
}

/* --- errors about translated packets --- */

/*
 * A guest's packet goes out translated; the error about it comes in. The guest must see its own
 * packet quoted, byte for byte, and right sums.
 */
static void an_error_quotes_what_the_guest_sent(void **state)
{
	struct rng r = {.s = 23};
	static struct frame sent, there;
	static const uint8_t router4[4] = {198, 18, 0, 1}, router6[16] = {0xfd, 0x99, [15] = 1};

	(void)state;
	for (unsigned int n = 0; n < 20000; n++) {
		struct frame_spec s = random_spec(&r);
		struct vsw_xpose x = {.flags = XPOSE_IP_SRC | XPOSE_L4_SRC}, back;
		const uint8_t *q;
		uint32_t quoted;

		s.vlan = 0;
		x.l4_src = (uint16_t)rng_u64(&r);
		ip4(x.ip_src, 0xcb007100 + rng_below(&r, 200));
		if (s.ip == 6) {
			rng_fill(&r, x.ip_src, 16);
			x.ip_src[0] = 0x20;
		}
		frame_build(&sent, &s);
		pkt_of_frame(&in, &sent, 0);
		assert_int_equal(pkt_parse(&in), VSW_DROP_NONE);
		assert_int_equal(xpose_apply(&x, &in, &out), VSW_DROP_NONE);
		flatten(&out, &there);
		error_about(&there, rng_below(&r, ICMP_ERROR_N_KINDS),
			    s.ip == 4 ? router4 : router6, &in);
		if (rng_below(&r, 3) && s.ip == 6) {
			in.flags |= PKT_CSUM_L4;
			rng_fill(&r, in.hdr + in.l4_off + 2, 2);
		}
		back = (struct vsw_xpose){.flags = XPOSE_IP_DST | XPOSE_L4_DST, .l4_dst = s.sport};
		memcpy(back.ip_dst, s.saddr, 16);
		if (s.ip == 4)
			ip4(back.ip_dst, be32_load(s.saddr));
		assert_int_equal(xpose_apply_icmp_error(&back, &in, &out), VSW_DROP_NONE);
		assert_parsed(&out);
		flatten(&out, &got);
		assert_sums(&got);
		assert_memory_equal(got.data + got.l3 + (s.ip == 4 ? 16 : 24), s.saddr,
				    s.ip == 4 ? 4 : 16);
		q = got.data + got.l4 + 8;
		quoted = got.len - got.l4 - 8;
		/* An echo's sum that came out as zero is written as ffff, and back: the same sum.
		 */
		memcpy(want.data, sent.data, sent.len);
		want.len = sent.len;
		memcpy(want.data + sent.l3, q, quoted);
		if (quoted == sent.len - sent.l3)
			assert_same_frame(&want, &sent);
		else
			assert_memory_equal(q, sent.data + sent.l3, MIN(quoted, 28u));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_if_made_byte_by_byte),
		cmocka_unit_test(large_packets_whole),
		cmocka_unit_test(composed_is_one_after_the_other),
		cmocka_unit_test(an_error_quotes_what_the_guest_sent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
