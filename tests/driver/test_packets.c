/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two devices talk: bytes are equal, and what the device promised to sum, cut or tag is compared
 * byte for byte with the slow way of tests/lib/frame.c.
 */
#include "tests/driver/rig.h"

static int setup(void **state)
{
	/* A long hold: a test that runs slowly is no starving receiver. */
	*state = rig_start(&(struct rig_conf){.lab = {.conf = {.hold_ms = 10000}},
					      .vport = {.rx_bufs = 256, .rx_buf_size = 9216}});
	return 0;
}

static int teardown(void **state)
{
	rig_stop(*state);
	return 0;
}

/* The flags of a packet whose sums are good, as mana_rx_skb() reads them. */
static void assert_sums_told(const struct frame *f, const struct drv_rx *rx)
{
	if (f->ip && (f->proto == IPPROTO_TCP || f->proto == IPPROTO_UDP)) {
		uint32_t ok = f->proto == IPPROTO_TCP ? MANA_RX_TCP_CSUM_SUCCEED
						      : MANA_RX_UDP_CSUM_SUCCEED;

		assert_true(rx->flags & MANA_RX_IPHDR_CSUM_SUCCEED);
		assert_true(rx->flags & ok);
	}
	assert_false(rx->flags &
		     (MANA_RX_IPHDR_CSUM_FAIL | MANA_RX_TCP_CSUM_FAIL | MANA_RX_UDP_CSUM_FAIL));
	assert_false(rx->flags & MANA_RX_VLANTAG_PRESENT);
}

static void plain_frames_arrive_as_they_were_sent(void **state)
{
	struct rig *r = *state;
	const uint32_t sizes[] = {0, 1, 2, 3, 17, 18, 46, 63, 64, 65, 500, 1471, 1472, 4000, 8900};
	const uint8_t protos[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP, IPPROTO_ICMPV6, 50};

	for (int ip = 0; ip <= 6; ip += ip ? 2 : 4) {
		for (size_t p = 0; p < ARRAY_SIZE(protos); p++) {
			for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
				struct frame_spec s = rig_spec(r, i & 1, !(i & 1), (uint8_t)ip,
							       protos[p], sizes[i]);
				struct drv_rx rx;

				frame_build(&r->f, &s);
				rig_send(r, i & 1, &r->f, NULL);
				rig_expect(r, !(i & 1), &r->f, &rx);
				assert_int_equal(rx.cqe_type, CQE_RX_OKAY);
				if (ip && s.proto != IPPROTO_ICMP && s.proto != IPPROTO_ICMPV6)
					assert_sums_told(&r->f, &rx);
			}
		}
	}
}

static void wrong_sums_arrive_and_are_not_called_right(void **state)
{
	struct rig *r = *state;

	for (int ip = 4; ip <= 6; ip += 2) {
		for (int udp = 0; udp < 2; udp++) {
			struct frame_spec s = rig_spec(r, 0, 1, (uint8_t)ip,
						       udp ? IPPROTO_UDP : IPPROTO_TCP, 333);
			struct drv_rx rx;

			frame_build(&r->f, &s);
			r->f.data[r->f.len - 1] ^= 0x40;
			rig_send(r, 0, &r->f, NULL);
			rig_expect(r, 1, &r->f, &rx);
			assert_false(rx.flags &
				     (MANA_RX_TCP_CSUM_SUCCEED | MANA_RX_UDP_CSUM_SUCCEED));
			if (ip != 4)
				continue;
			frame_build(&r->f, &s);
			r->f.data[r->f.l3 + 10] ^= 1;
			rig_send(r, 0, &r->f, NULL);
			rig_expect(r, 1, &r->f, &rx);
			assert_false(rx.flags & MANA_RX_IPHDR_CSUM_SUCCEED);
		}
	}
}

static void a_udp_packet_without_sum_is_passed_on(void **state)
{
	struct rig *r = *state;
	struct frame_spec s = rig_spec(r, 0, 1, 4, IPPROTO_UDP, 100);

	s.udp_no_sum = true;
	frame_build(&r->f, &s);
	rig_send(r, 0, &r->f, NULL);
	rig_expect(r, 1, &r->f, NULL);
}

static void checksums_are_filled_in(void **state)
{
	struct rig *r = *state;
	const uint32_t sizes[] = {0, 1, 2, 3, 5, 63, 64, 1001, 1460, 8000, 8001};

	for (int variant = 0; variant < 32; variant++) {
		bool v6 = variant & 1, udp = variant & 2, ext = variant & 4, in_vlan = variant & 8;
		bool split = variant & 16;

		for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
			struct frame_spec s = rig_spec(r, 0, 1, v6 ? 6 : 4,
						       udp ? IPPROTO_UDP : IPPROTO_TCP, sizes[i]);
			struct drv_tx tx = {.v4 = !v6, .v6 = v6, .pieces = split ? 5 : 1};
			struct drv_rx rx;

			s.opt4 = ext && !v6 ? 12 : 0;
			s.ext6 = ext && v6;
			s.tcp_opt = ext ? 12 : 0;
			s.vlan = in_vlan ? 0x2064 : 0;
			frame_build(&r->g, &s); /* what must arrive */
			memcpy(&r->f, &r->g, sizeof(r->f));
			frame_make_partial(&r->f, false);
			/* Linux gives the transport offset for TCP, and 0 for UDP. */
			if (udp) {
				tx.udp_csum = true;
			} else {
				tx.tcp_csum = true;
				tx.trans_off = r->f.l4;
			}
			if (i & 1 && !v6) {
				memset(r->f.data + r->f.l3 + 10, 0xee, 2);
				tx.ip_csum = true;
			}
			rig_send(r, 0, &r->f, &tx);
			if (!in_vlan) {
				rig_expect(r, 1, &r->g, &rx);
				assert_sums_told(&r->g, &rx);
				continue;
			}
			/* A tag inside the frame is stripped into the completion, or left. */
			assert_true(drv_recv(&r->vp[1], &rx, WAIT_MS));
			if (rx.flags & MANA_RX_VLANTAG_PRESENT) {
				assert_int_equal(rx.flags & MANA_RX_VLAN_ID_MASK, 0x064);
				memmove(r->g.data + 12, r->g.data + 16, r->g.len - 16);
				r->g.len -= 4;
			}
			rig_same_bytes(rx.data, rx.len, r->g.data, r->g.len);
		}
	}
}

static void a_sum_that_comes_out_as_zero_is_right(void **state)
{
	struct rig *r = *state;
	struct frame_spec s = rig_spec(r, 0, 1, 4, IPPROTO_UDP, 2);
	struct drv_tx tx = {.v4 = true, .udp_csum = true};
	unsigned int zeros = 0;

	/* Choose the payload so that the sum of the rest is complemented to zero: UDP sends ffff.
	 */
	for (uint32_t v = 0; v < 0x10000; v++) {
		frame_build(&r->g, &s);
		be16_store(r->g.data + r->g.payload, (uint16_t)v);
		frame_sum(&r->g);
		if (be16_load(r->g.data + r->g.l4 + 6) != 0xffff)
			continue;
		zeros++;
		memcpy(&r->f, &r->g, sizeof(r->f));
		frame_make_partial(&r->f, false);
		rig_send(r, 0, &r->f, &tx);
		rig_expect(r, 1, &r->g, NULL);
	}
	assert_true(zeros > 0);
}

/* Sends @r->f with TSO and compares every segment. */
static void tso(struct rig *r, uint32_t mss, uint32_t pieces, const uint16_t *vlan)
{
	struct drv_tx tx = {.mss = mss,
			    .hdr_len = r->f.payload,
			    .pieces = pieces,
			    .ip_csum = true,
			    .tcp_csum = true,
			    .trans_off = r->f.l4,
			    .v4 = r->f.ip == 4,
			    .v6 = r->f.ip == 6};
	struct frame *want = malloc(sizeof(*want));
	struct drv_rx rx;

	assert_non_null(want);
	if (vlan) {
		tx.has_vlan = true;
		tx.vlan = *vlan;
	}
	memcpy(&r->g, &r->f, sizeof(r->f));
	frame_make_partial(&r->f, true);
	assert_int_equal(drv_tx_frame(&r->vp[0].tx[0], r->f.data, r->f.len, &tx), 0);
	drv_tx_ring(&r->vp[0].tx[0]);
	for (uint32_t i = 0; frame_segment(&r->g, mss, i, want); i++) {
		if (!drv_recv(&r->vp[1], &rx, WAIT_MS))
			fail_msg("segment %u of %u bytes at MSS %u did not come (completion %d)", i,
				 r->g.len, mss, drv_tx_poll(&r->vp[0].tx[0]));
		rig_same_bytes(rx.data, rx.len, want->data, want->len);
		assert_true(rx.flags & MANA_RX_IPHDR_CSUM_SUCCEED);
		assert_true(rx.flags & MANA_RX_TCP_CSUM_SUCCEED);
		if (vlan)
			assert_int_equal(rx.flags &
						 (MANA_RX_VLANTAG_PRESENT | MANA_RX_VLAN_ID_MASK),
					 MANA_RX_VLANTAG_PRESENT | (*vlan & 0xfff));
	}
	assert_int_equal(drv_tx_wait(&r->vp[0].tx[0], WAIT_MS), CQE_TX_OKAY);
	assert_true(drv_recv_none(&r->vp[1]));
	free(want);
}

static void big_tcp_packets_are_cut(void **state)
{
	struct rig *r = *state;
	const struct {
		uint32_t payload, mss;
	} cases[] = {{1, 1448},	    {1448, 1448},  {1449, 1448},  {2896, 1448}, {2897, 1448},
		     {65000, 1448}, {65000, 1460}, {65000, 8960}, {65000, 536}, {8960, 8960},
		     {17000, 999},  {17001, 1000}, {5000, 7},	  {64000, 4321}};

	for (int variant = 0; variant < 8; variant++) {
		for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
			struct frame_spec s = rig_spec(r, 0, 1, variant & 1 ? 6 : 4, IPPROTO_TCP,
						       cases[i].payload);

			s.tcp_opt = variant & 2 ? 12 : 0;
			s.opt4 = variant & 4 && !(variant & 1) ? 8 : 0;
			s.ext6 = variant & 4 && variant & 1;
			s.seq = 0xfffff000; /* wraps inside */
			s.tcp_flags = 0x99; /* CWR, ACK, PSH, FIN */
			if (cases[i].payload == 65000 && variant & 1)
				s.payload_len = 64900;
			frame_build(&r->f, &s);
			tso(r, MIN(cases[i].mss, 9014u - r->f.payload), 2 + (uint32_t)i, NULL);
		}
	}
}

static void a_tag_beside_a_big_packet_is_on_every_segment(void **state)
{
	struct rig *r = *state;
	const uint16_t tci[] = {100, 0x0001, 0x0fff, 0x4abc};

	for (size_t i = 0; i < ARRAY_SIZE(tci); i++) {
		struct frame_spec s = rig_spec(r, 0, 1, i & 1 ? 6 : 4, IPPROTO_TCP, 20000);

		frame_build(&r->f, &s);
		tso(r, 1400, 3, &tci[i]);
	}
}

static void a_vlan_tag_is_inserted_and_stripped(void **state)
{
	struct rig *r = *state;

	for (uint32_t tci = 1; tci < 0x10000; tci = tci * 2 + 1) {
		struct frame_spec s =
			rig_spec(r, 0, 1, tci & 2 ? 6 : 4, IPPROTO_UDP, 64 + tci % 90);
		struct drv_tx tx = {.has_vlan = true, .vlan = (uint16_t)tci};
		struct drv_rx rx;

		frame_build(&r->f, &s);
		rig_send(r, 0, &r->f, &tx);
		rig_expect(r, 1, &r->f, &rx); /* stripped: the bytes are the untagged frame's */
		assert_true(rx.flags & MANA_RX_VLANTAG_PRESENT);
		assert_int_equal(rx.flags & MANA_RX_VLAN_ID_MASK, tci & 0xfff);
	}
}

static void every_mtu_up_to_the_adapters_passes_and_no_more(void **state)
{
	struct rig *r = *state;

	for (uint32_t ip_len = 68; ip_len <= 9000; ip_len += ip_len < 200 ? 1 : 293) {
		struct frame_spec s = rig_spec(r, 0, 1, 4, IPPROTO_UDP, ip_len - 28);

		frame_build(&r->f, &s);
		assert_int_equal(r->f.len, 14 + ip_len);
		rig_send(r, 0, &r->f, NULL);
		rig_expect(r, 1, &r->f, NULL);
	}
	struct frame_spec s = rig_spec(r, 0, 1, 4, IPPROTO_UDP, 9000 - 28);
	struct drv_tx tagged = {.has_vlan = true, .vlan = 5};
	struct drv_rx rx;

	frame_build(&r->f, &s);
	rig_send(r, 0, &r->f, &tagged); /* a tag is not counted */
	rig_expect(r, 1, &r->f, &rx);
	s.payload_len = 9001 - 28;
	frame_build(&r->f, &s);
	assert_true(drv_send(&r->vp[0].tx[0], r->f.data, r->f.len, NULL) > 0);
	s.payload_len = 30000;
	frame_build(&r->f, &s);
	assert_true(drv_send(&r->vp[0].tx[0], r->f.data, r->f.len, NULL) > 0);
	assert_true(drv_recv_none(&r->vp[1]));
	rig_alive(r, 0, 1);
}

static void a_small_adapter_mtu_is_kept(void **state)
{
	const struct rig_conf c = {.lab = {.conf = {.vports = {{.mtu = 68}}}}};
	struct rig *r = rig_start(&c);
	struct mana_query_device_cfg_resp cfg;
	struct frame_spec s = rig_spec(r, 0, 1, 4, IPPROTO_UDP, 40);

	(void)state;
	assert_int_equal(drv_query_dev_cfg(&r->d[0], 2, &cfg), 0);
	assert_int_equal(le16_get(cfg.adapter_mtu), 68 + 14);
	frame_build(&r->f, &s);
	rig_send(r, 0, &r->f, NULL);
	rig_expect(r, 1, &r->f, NULL);
	s.payload_len = 41;
	frame_build(&r->f, &s);
	assert_true(drv_send(&r->vp[0].tx[0], r->f.data, r->f.len, NULL) > 0);
	assert_true(drv_recv_none(&r->vp[1]));
	rig_stop(r);
}

static void broadcast_and_multicast_reach_the_others_not_the_sender(void **state)
{
	struct rig *r = rig_start(&(struct rig_conf){.lab = {.n_devs = 4}});
	struct frame_spec s = rig_spec(r, 0, 1, 4, IPPROTO_UDP, 100);

	(void)state;
	for (int mc = 0; mc < 2; mc++) {
		memset(s.dst, 0xff, 6);
		if (mc)
			memcpy(s.dst, "\x33\x33\0\0\0\1", 6);
		frame_build(&r->f, &s);
		rig_send(r, 0, &r->f, NULL);
		for (unsigned int i = 1; i < 4; i++)
			rig_expect(r, i, &r->f, NULL);
		assert_true(drv_recv_none(&r->vp[0]));
	}
	/* Unicast reaches one. */
	s = rig_spec(r, 0, 2, 6, IPPROTO_TCP, 100);
	frame_build(&r->f, &s);
	rig_send(r, 0, &r->f, NULL);
	rig_expect(r, 2, &r->f, NULL);
	for (unsigned int i = 0; i < 4; i++)
		assert_true(drv_recv_none(&r->vp[i]));
	rig_stop(r);
}

static void what_the_device_says_about_tx_is_checked_when_two_workers_move_it(void **state)
{
	/* Two workers: sender and receiver on different threads (for the thread sanitizer). */
	struct rig *r = rig_start(&(struct rig_conf){
		.lab = {.n_workers = 2}, .vport = {.rx_bufs = 256, .rx_buf_size = 2048}});

	(void)state;
	for (uint32_t i = 0; i < 300; i++) {
		struct frame_spec s =
			rig_spec(r, i & 1, !(i & 1), i & 2 ? 6 : 4, IPPROTO_UDP, i * 4);

		frame_build(&r->f, &s);
		rig_send(r, i & 1, &r->f, NULL);
		rig_expect(r, !(i & 1), &r->f, NULL);
	}
	rig_stop(r);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(plain_frames_arrive_as_they_were_sent),
		T(wrong_sums_arrive_and_are_not_called_right),
		T(a_udp_packet_without_sum_is_passed_on),
		T(checksums_are_filled_in),
		T(a_sum_that_comes_out_as_zero_is_right),
		T(big_tcp_packets_are_cut),
		T(a_tag_beside_a_big_packet_is_on_every_segment),
		T(a_vlan_tag_is_inserted_and_stripped),
		T(every_mtu_up_to_the_adapters_passes_and_no_more),
		cmocka_unit_test(a_small_adapter_mtu_is_kept),
		cmocka_unit_test(broadcast_and_multicast_reach_the_others_not_the_sender),
		cmocka_unit_test(what_the_device_says_about_tx_is_checked_when_two_workers_move_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
