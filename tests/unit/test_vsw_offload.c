/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Claims about vswitch/offload.c and gso.c: what a receiver gets. The reference is tests/lib's
 * frame.c, which sums byte by byte; tests/kernel compares with Linux.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include <cmocka.h>
#include <netinet/in.h>

#include "base/util.h"
#include "base/wire.h"
#include "tests/lib/rng.h"
#include "vsw_fixture.h"
#include "vswitch/parse.h"

#define TAKES_LARGE (VSW_CAP_CSUM | VSW_CAP_TSO4 | VSW_CAP_TSO6 | VSW_CAP_USO)

static struct frame f, want;
static struct pkt pkt;
static uint8_t got[FRAME_MAX];

static struct frame_spec spec(uint8_t ip, uint8_t proto, uint32_t payload)
{
	struct frame_spec s = {.ip = ip,
			       .proto = proto,
			       .payload_len = payload,
			       .seed = payload,
			       .tcp_flags = 0x99,
			       .ip_id = 0xfffe,
			       .seq = 0xfffff000};

	frame_addr(&s, 1, 2);
	return s;
}

/* Into buffers of @scatter bytes, each its own allocation: one byte too many is seen. */
static uint32_t copy(const struct vsw_frame *fr, uint32_t scatter)
{
	struct iovec iov[1024];
	unsigned int n = 0;
	uint32_t facts, off = 0;

	assert_true(fr->len <= sizeof(got));
	while (off < fr->len) {
		uint32_t part = MIN(n < 1023 && scatter ? scatter : fr->len, fr->len - off);

		iov[n++] = (struct iovec){malloc(part), part};
		off += part;
	}
	facts = vsw_frame_copy(fr, iov, n);
	off = 0;
	for (unsigned int i = 0; i < n; i++) {
		memcpy(got + off, iov[i].iov_base, iov[i].iov_len);
		off += (uint32_t)iov[i].iov_len;
		free(iov[i].iov_base);
	}
	return facts;
}

static void make(uint32_t flags, uint16_t gso_size, uint32_t split)
{
	pkt_of_frame(&pkt, &f, split);
	pkt.flags = flags;
	pkt.gso_size = gso_size;
	assert_int_equal(pkt_parse(&pkt), VSW_DROP_NONE);
}

/* The packet becomes one frame. */
static uint32_t one(struct vsw_frame *fr, uint32_t caps, uint32_t scatter)
{
	struct vsw_settle s;
	struct vsw_frame end;
	uint32_t facts;

	assert_int_equal(vsw_settle_begin(&s, &pkt, caps, 0), VSW_DROP_NONE);
	assert_true(vsw_settle_next(&s, fr));
	facts = copy(fr, scatter);
	assert_int_equal(pkt.seg_done, 1);
	assert_false(vsw_settle_next(&s, &end));
	assert_int_equal(pkt.seg_done, 0);
	return facts;
}

static void spoil(const struct frame *truth)
{
	if (truth->ip == 4)
		be16_store(f.data + f.l3 + 10, 0xdead);
	switch (truth->proto) {
	case IPPROTO_TCP:
		be16_store(f.data + f.l4 + 16, 0xbeef);
		break;
	case IPPROTO_UDP:
		be16_store(f.data + f.l4 + 6, 0xbeef);
		break;
	case IPPROTO_ICMPV6:
		be16_store(f.data + f.l4 + 2, 0xbeef);
		break;
	}
}

static void a_good_packet_passes_unchanged_and_is_vouched_for(void **state)
{
	static const uint8_t protos[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMPV6};
	struct vsw_frame fr;

	(void)state;
	for (unsigned int ip = 4; ip <= 6; ip += 2) {
		for (unsigned int p = 0; p < 3; p++) {
			struct frame_spec s = spec((uint8_t)ip, protos[p], 999);

			if (ip == 4 && protos[p] == IPPROTO_ICMPV6)
				continue;
			frame_build(&f, &s);
			make(0, 0, 0);
			assert_int_equal(one(&fr, 0, 0) & PKT_L4_GOOD, PKT_L4_GOOD);
			assert_int_equal(!!(fr.flags & PKT_IP_GOOD), ip == 4);
			assert_true(fr.sum_verify);
			assert_int_equal(fr.len, f.len);
			assert_memory_equal(got, f.data, f.len);
			/* One bit of the payload, and of the header. */
			f.data[f.len - 1] ^= 0x10;
			make(0, 0, 0);
			assert_int_equal(one(&fr, 0, 0) & PKT_L4_GOOD, 0);
			assert_memory_equal(got, f.data, f.len);
			f.data[f.len - 1] ^= 0x10;
			f.data[f.l4 + 1] ^= 1;
			make(0, 0, 0);
			assert_int_equal(one(&fr, 0, 0) & PKT_L4_GOOD, 0);
			/* Known good is believed, not computed. */
			make(PKT_L4_GOOD, 0, 0);
			assert_int_equal(one(&fr, 0, 0) & PKT_L4_GOOD, PKT_L4_GOOD);
			assert_false(fr.sum_verify || fr.sum_owed);
		}
	}
}

static void a_wrong_ip_header_sum_is_not_vouched_for(void **state)
{
	struct frame_spec s = spec(4, IPPROTO_UDP, 10);
	struct vsw_frame fr;

	(void)state;
	frame_build(&f, &s);
	f.data[f.l3 + 10] ^= 1;
	make(0, 0, 0);
	assert_int_equal(one(&fr, 0, 0) & (PKT_IP_GOOD | PKT_L4_GOOD), PKT_L4_GOOD);
	assert_memory_equal(got, f.data, f.len);
	make(PKT_IP_GOOD, 0, 0);
	assert_int_equal(one(&fr, 0, 0) & PKT_IP_GOOD, PKT_IP_GOOD);
	make(PKT_CSUM_IP, 0, 0);
	assert_int_equal(one(&fr, 0, 0) & PKT_IP_GOOD, PKT_IP_GOOD);
	frame_build(&want, &s);
	assert_memory_equal(got, want.data, want.len);
}

static void debts_are_paid_for_every_split_and_scatter(void **state)
{
	static const uint8_t protos[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMPV6};
	struct rng r = {.s = 3};
	struct vsw_frame fr;

	(void)state;
	for (unsigned int i = 0; i < 4000; i++) {
		struct frame_spec s = spec(rng_below(&r, 2) ? 4 : 6, protos[rng_below(&r, 3)],
					   rng_below(&r, rng_below(&r, 4) ? 300 : 3000));

		if (s.ip == 4 && s.proto == IPPROTO_ICMPV6)
			continue;
		s.vlan = rng_below(&r, 3) ? 0 : 0x6123;
		s.opt4 = (uint8_t)(4 * rng_below(&r, 11));
		s.tcp_opt = (uint8_t)(4 * rng_below(&r, 11));
		s.ext6 = rng_below(&r, 2);
		s.seed = rng_u64(&r);
		frame_build(&want, &s);
		f = want;
		spoil(&want);
		make(PKT_CSUM_IP | PKT_CSUM_L4, 0, rng_below(&r, 2) ? 0 : 1 + rng_below(&r, f.len));
		assert_true(one(&fr, 0, rng_below(&r, 3) ? 1 + rng_below(&r, 200) : 0) &
			    PKT_L4_GOOD);
		assert_int_equal(fr.len, want.len);
		assert_memory_equal(got, want.data, want.len);
		assert_int_equal(fr.flags & PKT_CSUM_L4, 0);
	}
}

static void every_piece_boundary_and_buffer_size_gives_the_same_frame(void **state)
{
	struct frame_spec s = spec(4, IPPROTO_TCP, 401);
	struct vsw_frame fr;

	(void)state;
	frame_build(&want, &s);
	for (uint32_t split = 10; split <= 256; split++) {
		f = want;
		spoil(&want);
		make(PKT_CSUM_IP | PKT_CSUM_L4, 0, split);
		one(&fr, 0, 0);
		assert_memory_equal(got, want.data, want.len);
	}
	/* Down to one byte each: the sum field itself is torn apart. */
	for (uint32_t scatter = 1; scatter <= 80; scatter++) {
		one(&fr, 0, scatter);
		assert_memory_equal(got, want.data, want.len);
	}
	/* Empty pieces and buffers are nothing. */
	pkt.n_pieces = 4;
	pkt.piece[1] = pkt.piece[0];
	pkt.piece[1].len = 77;
	pkt.piece[3] = pkt.piece[0];
	pkt.piece[3].ptr += 77;
	pkt.piece[3].len -= 77;
	pkt.piece[0].len = pkt.piece[2].len = 0;
	one(&fr, 0, 0);
	assert_memory_equal(got, want.data, want.len);
}

static void large_packets_are_cut(void **state)
{
	struct rng r = {.s = 4};
	struct vsw_settle st;
	struct vsw_frame fr;

	(void)state;
	for (unsigned int i = 0; i < 300; i++) {
		struct frame_spec s = spec(rng_below(&r, 2) ? 4 : 6, IPPROTO_TCP,
					   1 + rng_below(&r, i % 10 ? 9000 : 64000));
		uint16_t mss = (uint16_t)(100 + rng_below(&r, 1400));
		uint32_t n = 0;

		s.vlan = rng_below(&r, 2) ? 0 : 0x0007;
		s.tcp_opt = (uint8_t)(4 * rng_below(&r, 11));
		s.opt4 = (uint8_t)(4 * rng_below(&r, 11));
		s.tcp_flags = (uint8_t)rng_u64(&r);
		frame_build(&f, &s);
		if (s.payload_len / mss + 1 > 700)
			continue;
		want = f;
		frame_make_partial(&f, true);
		make(PKT_GSO_TCP, mss, rng_below(&r, 2) ? 0 : 700 + rng_below(&r, 5000));
		f = want;
		assert_int_equal(pkt_n_segs(&pkt), (s.payload_len + mss - 1) / mss);
		/* Segments are complete also for a receiver that would take sums. */
		assert_int_equal(
			vsw_settle_begin(&st, &pkt, s.payload_len > mss ? VSW_CAP_CSUM : 0, 1620),
			VSW_DROP_NONE);
		/* frame_make_partial() spoilt the memory the pieces point at: f is it again. */
		for (; vsw_settle_next(&st, &fr); n++) {
			static struct frame seg;

			assert_true(frame_segment(&want, mss, n, &seg));
			copy(&fr, rng_below(&r, 2) ? 0 : 64);
			assert_int_equal(fr.len, seg.len);
			assert_memory_equal(got, seg.data, seg.len);
			assert_int_equal(fr.flags & (PKT_GSO | PKT_CSUM_L4), 0);
		}
		assert_int_equal(n, pkt_n_segs(&pkt));
	}
}

static void a_receiver_of_large_packets_gets_them_whole(void **state)
{
	struct frame_spec s = spec(4, IPPROTO_TCP, 30000), s6 = spec(6, IPPROTO_TCP, 30000);
	struct frame_spec su = spec(6, IPPROTO_UDP, 30000);
	struct vsw_frame fr;
	struct frame_spec *all[] = {&s, &s6, &su};
	static const uint32_t cap[] = {VSW_CAP_TSO4, VSW_CAP_TSO6, VSW_CAP_USO};

	(void)state;
	for (unsigned int i = 0; i < 3; i++) {
		uint32_t kind = i == 2 ? PKT_GSO_UDP : PKT_GSO_TCP;
		struct vsw_settle st;

		frame_build(&want, all[i]);
		f = want;
		spoil(&want);
		be16_store(f.data + f.l3 + (i ? 4 : 2), 0);
		if (i == 2)
			be16_store(f.data + f.l4 + 4, 0);
		make(kind, 1400, 0);
		/* With sums left to it: the field holds the pseudo header's. */
		assert_true(one(&fr, cap[i] | VSW_CAP_CSUM, 0) & PKT_L4_GOOD);
		assert_int_equal(fr.flags & (PKT_GSO | PKT_CSUM_L4), kind | PKT_CSUM_L4);
		assert_int_equal(fr.gso_size, 1400);
		frame_make_partial(&want, false);
		assert_memory_equal(got, want.data, want.len);
		/* Without: a complete checksum over the whole. */
		frame_build(&want, all[i]);
		one(&fr, cap[i], 0);
		assert_int_equal(fr.flags & PKT_CSUM_L4, 0);
		assert_memory_equal(got, want.data, want.len);
		/* The other kinds of large are no help. */
		assert_int_equal(vsw_settle_begin(&st, &pkt, TAKES_LARGE & ~cap[i], 0),
				 VSW_DROP_NONE);
		assert_int_equal(st.n_segs, pkt_n_segs(&pkt));
	}
}

static void what_fits_one_segment_is_an_ordinary_packet(void **state)
{
	struct frame_spec s = spec(6, IPPROTO_TCP, 1400);
	struct vsw_frame fr;

	(void)state;
	frame_build(&want, &s);
	f = want;
	frame_make_partial(&f, true);
	make(PKT_GSO_TCP, 1400, 0);
	one(&fr, 0, 0);
	assert_memory_equal(got, want.data, want.len);
	one(&fr, TAKES_LARGE, 0);
	assert_int_equal(fr.flags & PKT_GSO, 0);
	assert_int_equal(fr.gso_size, 0);
	/* Nothing but headers: still one frame. */
	s.payload_len = 0;
	frame_build(&want, &s);
	f = want;
	frame_make_partial(&f, true);
	make(PKT_GSO_TCP, 1400, 0);
	one(&fr, 0, 0);
	assert_memory_equal(got, want.data, want.len);
}

static void a_packet_too_long_for_its_length_field_is_cut_anyway(void **state)
{
	struct frame_spec s = spec(4, IPPROTO_TCP, 66000);
	struct vsw_settle st;
	struct vsw_frame fr;
	unsigned int n = 0;

	(void)state;
	frame_build(&f, &s);
	make(PKT_GSO_TCP, 1460, 0);
	assert_int_equal(vsw_settle_begin(&st, &pkt, TAKES_LARGE, 0), VSW_DROP_NONE);
	while (vsw_settle_next(&st, &fr))
		n++;
	assert_int_equal(n, 46);
}

static void a_sum_left_to_the_receiver_is_the_pseudo_headers(void **state)
{
	struct frame_spec s = spec(4, IPPROTO_UDP, 100);
	struct vsw_frame fr;

	(void)state;
	frame_build(&f, &s);
	want = f;
	frame_make_partial(&want, false);
	make(PKT_CSUM_L4, 0, 0);
	assert_true(one(&fr, VSW_CAP_CSUM, 0) & PKT_L4_GOOD);
	assert_int_equal(fr.flags & PKT_CSUM_L4, PKT_CSUM_L4);
	assert_memory_equal(got, want.data, want.len);
}

static void padding_is_copied_and_not_summed(void **state)
{
	struct frame_spec s = spec(4, IPPROTO_UDP, 5);
	struct vsw_frame fr;
	uint32_t len;

	(void)state;
	frame_build(&want, &s);
	len = want.len;
	memset(want.data + len, 0xee, 13);
	want.len += 13;
	f = want;
	make(0, 0, 0);
	assert_true(one(&fr, 0, 0) & PKT_L4_GOOD);
	spoil(&want);
	make(PKT_CSUM_IP | PKT_CSUM_L4, 0, 0);
	for (uint32_t scatter = 1; scatter < 70; scatter++) {
		assert_true(one(&fr, 0, scatter) & PKT_L4_GOOD);
		assert_int_equal(fr.len, want.len);
		assert_memory_equal(got, want.data, want.len);
	}
	/* Also behind UDP, inside the IP packet. */
	frame_build(&f, &s);
	memset(f.data + f.len, 0xee, 4);
	f.len += 4;
	be16_store(f.data + f.l3 + 2, (uint16_t)(f.len - f.l3));
	make(PKT_CSUM_IP, 0, 0);
	assert_true(one(&fr, 0, 0) & PKT_L4_GOOD);
}

static void a_udp_sum_of_zero_means_none(void **state)
{
	struct frame_spec s = spec(4, IPPROTO_UDP, 100);
	struct vsw_frame fr;
	uint16_t field;

	(void)state;
	s.udp_no_sum = true;
	frame_build(&f, &s);
	make(0, 0, 0);
	assert_int_equal(one(&fr, 0, 0) & PKT_L4_GOOD, 0);
	assert_false(fr.sum_verify);
	assert_memory_equal(got, f.data, f.len);

	/* Bend the payload so that the sum is zero: 0xffff goes out. */
	for (unsigned int ip = 4; ip <= 6; ip += 2) {
		s = spec((uint8_t)ip, IPPROTO_UDP, 100);
		frame_build(&f, &s);
		field = be16_load(f.data + f.l4 + 6);
		be16_store(f.data + f.payload,
			   (uint16_t)~csum_fold((uint32_t)be16_load(f.data + f.payload) + field));
		make(PKT_CSUM_L4, 0, 0);
		one(&fr, 0, 0);
		assert_int_equal(be16_load(got + fr.l4_off + 6), 0xffff);
		memcpy(f.data, got, f.len);
		assert_true(frame_l4_sum_ok(&f));
		make(0, 0, 0);
		assert_true(one(&fr, 0, 0) & PKT_L4_GOOD);
	}
}

static void fragments_keep_the_sum_they_came_with(void **state)
{
	struct frame_spec s = spec(4, IPPROTO_UDP, 100);
	struct vsw_frame fr;

	(void)state;
	s.frag = 0x2000;
	frame_build(&f, &s);
	be16_store(f.data + f.l4 + 6, 0x1234);
	make(PKT_CSUM_L4 | PKT_CSUM_IP, 0, 0);
	assert_int_equal(one(&fr, 0, 0) & (PKT_L4_GOOD | PKT_IP_GOOD), PKT_IP_GOOD);
	assert_false(fr.sum_owed || fr.sum_verify);
	assert_memory_equal(got, f.data, f.len);
}

static void tags_are_put_where_the_receiver_wants_them(void **state)
{
	struct frame_spec s = spec(4, IPPROTO_TCP, 50), tagged = s;
	struct vsw_frame fr;

	(void)state;
	tagged.vlan = 0xa123;
	frame_build(&f, &s);
	make(PKT_VLAN | PKT_CSUM_L4 | PKT_CSUM_IP, 0, 0);
	pkt.vlan_tci = 0xa123;
	/* Into the frame. */
	frame_build(&want, &tagged);
	assert_true(one(&fr, 0, 7) & PKT_L4_GOOD);
	assert_int_equal(fr.len, want.len);
	assert_memory_equal(got, want.data, want.len);
	assert_int_equal(fr.flags & PKT_VLAN, 0);
	assert_int_equal(fr.l3_off, want.l3);
	assert_int_equal(fr.l4_off, want.l4);
	/* Beside it. */
	one(&fr, VSW_CAP_VLAN, 0);
	assert_int_equal(fr.flags & PKT_VLAN, PKT_VLAN);
	assert_int_equal(fr.vlan_tci, 0xa123);
	assert_int_equal(fr.len, f.len);
	assert_memory_equal(got, f.data, f.len);

	/* One that is in the frame stays there, or is taken out for a receiver that strips. */
	frame_build(&f, &tagged);
	make(0, 0, 0);
	one(&fr, VSW_CAP_VLAN, 0);
	assert_int_equal(fr.flags & PKT_VLAN, 0);
	assert_memory_equal(got, f.data, f.len);
	frame_build(&want, &s);
	for (uint32_t flags = 0; flags <= PKT_CSUM_L4; flags += PKT_CSUM_L4) {
		make(flags, 0, 0);
		assert_true(one(&fr, VSW_CAP_VLAN | VSW_CAP_VLAN_STRIP, 0) & PKT_L4_GOOD);
		assert_int_equal(fr.flags & PKT_VLAN, PKT_VLAN);
		assert_int_equal(fr.vlan_tci, 0xa123);
		assert_int_equal(fr.len, want.len);
		assert_int_equal(fr.l3_off, want.l3);
		assert_memory_equal(got, want.data, want.len);
	}
	/* Both: the outer one is beside the frame already. */
	make(PKT_VLAN, 0, 0);
	pkt.vlan_tci = 5;
	one(&fr, VSW_CAP_VLAN | VSW_CAP_VLAN_STRIP, 0);
	assert_int_equal(fr.vlan_tci, 5);
	assert_memory_equal(got, f.data, f.len);
	/* An untagged frame has none. */
	frame_build(&f, &s);
	make(0, 0, 0);
	one(&fr, VSW_CAP_VLAN | VSW_CAP_VLAN_STRIP, 0);
	assert_int_equal(fr.flags & PKT_VLAN, 0);
	assert_memory_equal(got, f.data, f.len);
}

static void the_receivers_mtu_holds_for_ip_packets(void **state)
{
	struct frame_spec s = spec(4, IPPROTO_UDP, 1500 - 28);
	struct vsw_settle st;

	(void)state;
	s.vlan = 5;
	frame_build(&f, &s);
	make(0, 0, 0);
	assert_int_equal(vsw_settle_begin(&st, &pkt, 0, 1500), VSW_DROP_NONE);
	assert_int_equal(vsw_settle_begin(&st, &pkt, 0, 1499), VSW_DROP_TOO_BIG);
	assert_int_equal(vsw_settle_begin(&st, &pkt, 0, 0), VSW_DROP_NONE);
	/* What is cut counts by its segments, whole or not. */
	s = spec(4, IPPROTO_TCP, 20000);
	frame_build(&f, &s);
	make(PKT_GSO_TCP, 1460, 0);
	assert_int_equal(vsw_settle_begin(&st, &pkt, 0, 1500), VSW_DROP_NONE);
	assert_int_equal(vsw_settle_begin(&st, &pkt, 0, 1499), VSW_DROP_TOO_BIG);
	assert_int_equal(vsw_settle_begin(&st, &pkt, TAKES_LARGE, 1499), VSW_DROP_TOO_BIG);
	/* Frames that are not IP: behind the Ethernet header. */
	s = (struct frame_spec){.eth_type = 0x88b5, .payload_len = 1000};
	frame_addr(&s, 1, 2);
	frame_build(&f, &s);
	make(0, 0, 0);
	assert_int_equal(vsw_settle_begin(&st, &pkt, 0, 1000), VSW_DROP_NONE);
	assert_int_equal(vsw_settle_begin(&st, &pkt, 0, 999), VSW_DROP_TOO_BIG);
}

static void a_cut_packet_goes_on_where_it_stopped(void **state)
{
	struct frame_spec s = spec(6, IPPROTO_TCP, 10000);
	static struct frame seg;
	struct vsw_settle st;
	struct vsw_frame fr;
	unsigned int n = 0;

	(void)state;
	frame_build(&f, &s);
	make(PKT_GSO_TCP, 900, 333);
	/* Two frames at a time, the third found no buffer. */
	while (n < 12) {
		unsigned int stored = 0;

		/* A receiver that takes large ones by now still gets the rest in parts. */
		assert_int_equal(vsw_settle_begin(&st, &pkt, n ? TAKES_LARGE : 0, 0),
				 VSW_DROP_NONE);
		while (vsw_settle_next(&st, &fr)) {
			if (stored == 2) {
				vsw_settle_stop(&st);
				break;
			}
			assert_true(frame_segment(&f, 900, n, &seg));
			copy(&fr, 0);
			assert_int_equal(fr.len, seg.len);
			assert_memory_equal(got, seg.data, seg.len);
			stored++;
			n++;
		}
		assert_int_equal(pkt.seg_done, n < 12 ? n : 0);
	}
	/* A frame that was given back can be had again. */
	pkt.seg_done = 3;
	vsw_settle_begin(&st, &pkt, 0, 0);
	vsw_settle_next(&st, &fr);
	vsw_settle_stop(&st);
	assert_int_equal(pkt.seg_done, 3);
	vsw_settle_next(&st, &fr);
	assert_true(frame_segment(&f, 900, 3, &seg));
	copy(&fr, 0);
	assert_memory_equal(got, seg.data, seg.len);
	/* More done than there is to do: a sender changed its mind. Nothing is left. */
	pkt.seg_done = 50;
	assert_int_equal(vsw_settle_begin(&st, &pkt, 0, 0), VSW_DROP_NONE);
	assert_false(vsw_settle_next(&st, &fr));
	assert_int_equal(pkt.seg_done, 0);
}

/* While the copy runs the sender rewrites its memory: the sum must fit what was stored. */
static void the_sum_fits_the_stored_bytes_even_if_the_sender_rewrites_them(void **state)
{
	struct frame_spec s = spec(4, IPPROTO_TCP, 1000);
	struct vsw_settle st;
	struct vsw_frame fr;

	(void)state;
	frame_build(&f, &s);
	make(PKT_CSUM_L4 | PKT_CSUM_IP, 0, 0);
	assert_int_equal(vsw_settle_begin(&st, &pkt, 0, 0), VSW_DROP_NONE);
	assert_true(vsw_settle_next(&st, &fr));
	/* After the headers were copied everything changes, the headers too. */
	memset(f.data, 0x77, f.len);
	copy(&fr, 0);
	memcpy(want.data, got, fr.len);
	want.len = fr.len;
	assert_true(frame_parse(&want));
	assert_true(frame_l4_sum_ok(&want));
	assert_true(frame_ip_sum_ok(&want));
	assert_memory_equal(got, pkt.hdr, 24);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_good_packet_passes_unchanged_and_is_vouched_for),
		cmocka_unit_test(a_wrong_ip_header_sum_is_not_vouched_for),
		cmocka_unit_test(debts_are_paid_for_every_split_and_scatter),
		cmocka_unit_test(every_piece_boundary_and_buffer_size_gives_the_same_frame),
		cmocka_unit_test(large_packets_are_cut),
		cmocka_unit_test(a_receiver_of_large_packets_gets_them_whole),
		cmocka_unit_test(what_fits_one_segment_is_an_ordinary_packet),
		cmocka_unit_test(a_packet_too_long_for_its_length_field_is_cut_anyway),
		cmocka_unit_test(a_sum_left_to_the_receiver_is_the_pseudo_headers),
		cmocka_unit_test(padding_is_copied_and_not_summed),
		cmocka_unit_test(a_udp_sum_of_zero_means_none),
		cmocka_unit_test(fragments_keep_the_sum_they_came_with),
		cmocka_unit_test(tags_are_put_where_the_receiver_wants_them),
		cmocka_unit_test(the_receivers_mtu_holds_for_ip_packets),
		cmocka_unit_test(a_cut_packet_goes_on_where_it_stopped),
		cmocka_unit_test(the_sum_fits_the_stored_bytes_even_if_the_sender_rewrites_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
