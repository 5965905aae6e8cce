/* SPDX-License-Identifier: BSD-2-Clause */
/* What happens over a device's life: fences, statistics, pressure, limits, events, resets. */
#include "tests/driver/rig.h"

static int setup(void **state)
{
	*state = rig_start(NULL);
	return 0;
}

static int teardown(void **state)
{
	rig_stop(*state);
	return 0;
}

static void a_fence_comes_behind_every_packet_before_it(void **state)
{
	struct rig *r = *state;
	struct drv_rxq *q = &r->vp[1].rx[0];
	struct frame_spec s = rig_spec(r, 0, 1, 4, IPPROTO_UDP, 100);
	struct drv_rx rx;

	frame_build(&r->f, &s);
	for (int n = 0; n < 20; n++) {
		unsigned int got = 0;

		for (int i = 0; i < n; i++)
			rig_send(r, 0, &r->f, NULL);
		assert_int_equal(drv_fence(&r->d[1], q->obj), 0);
		/* All packets are in the CQ before the fence: read up to it. */
		assert_true(wait_until((got += (unsigned int)drv_rx_poll(q, &rx), q->fences > 0),
				       WAIT_MS));
		assert_int_equal(got, n);
		assert_int_equal(q->fences, 1);
		q->fences = 0;
	}
	/* It used no receive buffer. */
	assert_int_equal(q->posted, q->n_buf);
	assert_int_equal(drv_fence(&r->d[1], r->vp[1].tx[0].obj), -EREMOTEIO);
}

static void figures_add_up(void **state)
{
	struct rig *r = *state;
	struct mana_query_gf_stat_resp tx0, rx0, tx1, rx1;
	struct mana_info a, b;
	uint64_t bytes = 0;
	uint32_t n_uc = 37, n_bc = 5, n_mc = 3;

	assert_int_equal(drv_gf_stat(&r->d[0], &tx0), 0);
	assert_int_equal(drv_gf_stat(&r->d[1], &rx0), 0);
	for (uint32_t i = 0; i < n_uc + n_bc + n_mc; i++) {
		struct frame_spec s = rig_spec(r, 0, 1, 4, IPPROTO_UDP, 100 + i);

		if (i >= n_uc)
			memset(s.dst, 0xff, 6);
		if (i >= n_uc + n_bc)
			memcpy(s.dst, "\1\0\x5e\1\2\3", 6);
		frame_build(&r->f, &s);
		bytes += r->f.len;
		rig_send(r, 0, &r->f, NULL);
		rig_expect(r, 1, &r->f, NULL);
	}
	assert_int_equal(drv_gf_stat(&r->d[0], &tx1), 0);
	assert_int_equal(drv_gf_stat(&r->d[1], &rx1), 0);
#define DELTA(after, before, f) (le64_get((after).f) - le64_get((before).f))
	assert_int_equal(DELTA(tx1, tx0, hc_tx_ucast_pkts), n_uc);
	assert_int_equal(DELTA(tx1, tx0, hc_tx_bcast_pkts), n_bc);
	assert_int_equal(DELTA(tx1, tx0, hc_tx_mcast_pkts), n_mc);
	assert_int_equal(DELTA(tx1, tx0, hc_tx_bytes), bytes);
	assert_int_equal(DELTA(tx1, tx0, hc_tx_ucast_bytes) + DELTA(tx1, tx0, hc_tx_bcast_bytes) +
				 DELTA(tx1, tx0, hc_tx_mcast_bytes),
			 bytes);
	assert_int_equal(DELTA(rx1, rx0, hc_rx_ucast_pkts), n_uc);
	assert_int_equal(DELTA(rx1, rx0, hc_rx_bcast_pkts), n_bc);
	assert_int_equal(DELTA(rx1, rx0, hc_rx_mcast_pkts), n_mc);
	assert_int_equal(DELTA(rx1, rx0, hc_rx_bytes), bytes);
	assert_int_equal(DELTA(rx1, rx0, rx_discards_nowqe), 0);
	assert_int_equal(le64_get(tx1.reported_stats) & STATISTICS_FLAGS_HC_TX_BYTES,
			 STATISTICS_FLAGS_HC_TX_BYTES);
	lab_info(&r->lab, 0, &a);
	lab_info(&r->lab, 1, &b);
	assert_int_equal(a.vports[0].tx_packets, n_uc + n_bc + n_mc);
	assert_int_equal(a.vports[0].tx_bytes, bytes);
	assert_int_equal(b.vports[0].rx_packets, n_uc + n_bc + n_mc);
	assert_int_equal(b.vports[0].rx_bytes, bytes);
	/* Errors are counted where they belong. */
	struct drv_sge bad = {1ull << 55, 100};

	assert_int_equal(drv_tx_sges(&r->vp[0].tx[0], &bad, 1, NULL), 0);
	drv_tx_ring(&r->vp[0].tx[0]);
	assert_true(drv_tx_wait(&r->vp[0].tx[0], WAIT_MS) != CQE_TX_OKAY);
	assert_int_equal(lab_info(&r->lab, 0, &b)->vports[0].tx_errors, a.vports[0].tx_errors + 1);
	assert_int_equal(b.vports[0].tx_packets, a.vports[0].tx_packets);
	/* TSO: frames after segmentation. */
	struct frame_spec s = rig_spec(r, 0, 1, 4, IPPROTO_TCP, 10000);
	struct drv_tx tx = {.mss = 1000, .tcp_csum = true, .ip_csum = true, .v4 = true};

	frame_build(&r->f, &s);
	tx.hdr_len = r->f.payload;
	tx.trans_off = r->f.l4;
	rig_send(r, 0, &r->f, &tx);
	lab_info(&r->lab, 0, &a);
	assert_int_equal(a.vports[0].tx_tso, b.vports[0].tx_tso + 1);
	assert_int_equal(a.vports[0].tx_packets, b.vports[0].tx_packets + 10);
	assert_int_equal(a.vports[0].tx_bytes, b.vports[0].tx_bytes + 10 * (54 + 1000));
	drv_rx_wait_fence(&r->vp[1].rx[0], 1); /* drains */
}

/* ---- Pressure ---------------------------------------------------------------------------------
 */

static void a_sender_waits_for_buffers_and_nothing_is_lost(void **state)
{
	const struct rig_conf c = {.lab = {.conf = {.hold_ms = 10000}},
				   .vport = {.manual_rx = true, .rx_bufs = 16}};
	struct rig *r = rig_start(&c);
	struct drv_txq *q = &r->vp[0].tx[0];
	struct frame_spec s = rig_spec(r, 0, 1, 4, IPPROTO_UDP, 100);
	struct mana_info info;

	(void)state;
	for (int round = 0; round < 5; round++) {
		for (uint32_t i = 0; i < 40; i++) {
			s.seed = i;
			frame_build(&r->f, &s);
			assert_int_equal(drv_tx_frame(q, r->f.data, r->f.len, NULL), 0);
		}
		drv_tx_ring(q);
		for (uint32_t i = 0; i < 40; i++) {
			s.seed = i;
			frame_build(&r->f, &s);
			rig_expect(r, 1, &r->f, NULL);
			if (i % 16 == 15) {
				/* Sixteen buffers are used up: the seventeenth packet waits. */
				assert_int_equal(r->vp[1].rx[0].posted, 0);
				assert_true(drv_recv_none(&r->vp[1]));
				drv_rx_fill(&r->vp[1].rx[0], 16);
			}
		}
		for (uint32_t i = 0; i < 40; i++)
			assert_int_equal(drv_tx_wait(q, WAIT_MS), CQE_TX_OKAY);
		drv_rx_fill(&r->vp[1].rx[0], 16);
	}
	lab_info(&r->lab, 1, &info);
	assert_int_equal(info.vports[0].rx_no_buffer, 0);
	assert_true(lab_info(&r->lab, 0, &info)->vports[0].tx_held_ns > 0);
	rig_stop(r);
}

static void a_big_packet_waits_in_its_middle(void **state)
{
	const struct rig_conf c = {.lab = {.conf = {.hold_ms = 10000}},
				   .vport = {.manual_rx = true, .rx_bufs = 8}};
	struct rig *r = rig_start(&c);
	struct frame_spec s = rig_spec(r, 0, 1, 6, IPPROTO_TCP, 60000);
	struct drv_tx tx = {.mss = 1440, .tcp_csum = true, .ip_csum = true, .v6 = true};

	(void)state;
	frame_build(&r->f, &s);
	tx.hdr_len = r->f.payload;
	tx.trans_off = r->f.l4;
	assert_int_equal(drv_tx_frame(&r->vp[0].tx[0], r->f.data, r->f.len, &tx), 0);
	drv_tx_ring(&r->vp[0].tx[0]);
	for (uint32_t i = 0; frame_segment(&r->f, 1440, i, &r->g); i++) {
		rig_expect(r, 1, &r->g, NULL);
		if (r->vp[1].rx[0].posted == 0) {
			drv_barrier(&r->d[0]);
			assert_int_equal(drv_tx_poll(&r->vp[0].tx[0]), 0); /* not completed yet */
			drv_rx_fill(&r->vp[1].rx[0], 3);		   /* a few at a time */
		}
	}
	assert_int_equal(drv_tx_wait(&r->vp[0].tx[0], WAIT_MS), CQE_TX_OKAY);
	rig_stop(r);
}

static void a_sender_does_not_wait_for_ever(void **state)
{
	const struct rig_conf c = {.lab = {.conf = {.hold_ms = 50}},
				   .vport = {.manual_rx = true, .rx_bufs = 4}};
	struct rig *r = rig_start(&c);
	struct drv_txq *q = &r->vp[0].tx[0];
	struct frame_spec s = rig_spec(r, 0, 1, 4, IPPROTO_UDP, 100);
	struct mana_query_gf_stat_resp st;
	struct mana_info info;
	uint64_t t0;

	(void)state;
	frame_build(&r->f, &s);
	for (int i = 0; i < 4; i++)
		rig_send(r, 0, &r->f, NULL);
	t0 = now_ns();
	assert_int_equal(drv_tx_frame(q, r->f.data, r->f.len, NULL), 0);
	drv_tx_ring(q);
	assert_true(drv_tx_wait(q, WAIT_MS) > 0);
	assert_true(now_ns() - t0 >= 40 * NSEC_PER_MSEC);
	/* Dropped and counted where the guest and the host look. */
	assert_int_equal(lab_info(&r->lab, 1, &info)->vports[0].rx_no_buffer, 1);
	assert_int_equal(drv_gf_stat(&r->d[1], &st), 0);
	assert_int_equal(le64_get(st.rx_discards_nowqe), 1);
	/* With buffers back the path works. */
	for (int i = 0; i < 4; i++)
		rig_expect(r, 1, &r->f, NULL);
	drv_rx_fill(&r->vp[1].rx[0], 4);
	drv_barrier(&r->d[1]); /* another socket than the sender's */
	rig_send(r, 0, &r->f, NULL);
	rig_expect(r, 1, &r->f, NULL);
	rig_stop(r);
}

static void one_starved_receiver_does_not_hold_up_another(void **state)
{
	const struct rig_conf c = {.lab = {.n_devs = 3, .conf = {.hold_ms = 300}},
				   .vport = {.n_queues = 2}};
	struct rig *r = rig_start(&c);
	struct frame_spec s = rig_spec(r, 0, 1, 4, IPPROTO_UDP, 100);
	struct drv_steer off;

	(void)state;
	/* Device 1 has receive on and no buffers: use them all up by hand. */
	for (unsigned int i = 0; i < 2; i++)
		r->vp[1].rx[i].manual = true;
	frame_build(&r->f, &s);
	while (r->vp[1].rx[0].posted) {
		struct drv_rx rx;

		rig_send(r, 0, &r->f, NULL);
		assert_true(drv_recv(&r->vp[1], &rx, WAIT_MS));
	}
	/* Queue 0 of device 0 now waits; queue 1 sends to device 2 meanwhile. */
	assert_int_equal(drv_tx_frame(&r->vp[0].tx[0], r->f.data, r->f.len, NULL), 0);
	drv_tx_ring(&r->vp[0].tx[0]);
	s = rig_spec(r, 0, 2, 4, IPPROTO_UDP, 100);
	for (int i = 0; i < 20; i++) {
		s.seed = (uint64_t)i;
		frame_build(&r->f, &s);
		assert_int_equal(drv_send(&r->vp[0].tx[1], r->f.data, r->f.len, NULL), CQE_TX_OKAY);
		rig_expect(r, 2, &r->f, NULL);
	}
	/* The held packet is dropped in the end; queue 0 goes on. */
	assert_true(drv_tx_wait(&r->vp[0].tx[0], WAIT_MS) > 0);
	rig_alive(r, 0, 2);
	/* Turning receive off frees whoever waits. */
	s = rig_spec(r, 0, 1, 4, IPPROTO_UDP, 100);
	frame_build(&r->f, &s);
	assert_int_equal(drv_tx_frame(&r->vp[0].tx[1], r->f.data, r->f.len, NULL), 0);
	drv_tx_ring(&r->vp[0].tx[1]);
	drv_barrier(&r->d[0]);
	off = (struct drv_steer){.vport = r->vp[1].handle,
				 .rx = TRI_STATE_FALSE,
				 .n_tab = (uint16_t)r->vp[1].n_indir};
	assert_int_equal(drv_steer(&r->d[1], &off), 0);
	assert_true(drv_tx_wait(&r->vp[0].tx[1], WAIT_MS) > 0);
	rig_stop(r);
}

static void a_bandwidth_clamp_is_kept(void **state)
{
	struct rig *r = *state;
	struct drv_txq *q = &r->vp[0].tx[0];
	struct frame_spec s = rig_spec(r, 0, 1, 4, IPPROTO_UDP, 1000);
	const uint32_t mbps = 40;
	uint64_t t0, ns, bytes = 0;
	struct drv_rx rx;

	assert_int_equal(drv_bw_clamp(&r->d[0], r->vp[0].handle, TRI_STATE_TRUE, mbps, NULL), 0);
	frame_build(&r->f, &s);
	/* Offered for a second: at 40 Mbit/s that is 5 MB; a burst of half a MB is allowed. */
	t0 = now_ns();
	while (now_ns() - t0 < NSEC_PER_SEC) {
		while (drv_tx_frame(q, r->f.data, r->f.len, NULL) == 0)
			drv_tx_ring(q);
		while (drv_tx_poll(q) > 0)
			;
		while (drv_recv(&r->vp[1], &rx, 0))
			bytes += rx.len;
		drv_cq_ring(&q->cq, false);
		drv_cq_ring(&r->vp[1].rx[0].cq, false);
		wait_breathe(64);
	}
	ns = now_ns() - t0;
	assert_true(bytes * 8 <= (uint64_t)mbps * ns / 1000 + 4000000);
	assert_true(bytes * 8 * 4 >= (uint64_t)mbps * ns / 1000); /* and it is not a dam */
	assert_int_equal(drv_bw_clamp(&r->d[0], r->vp[0].handle, TRI_STATE_FALSE, 0, NULL), 0);
	while (q->pend_head != q->pend_tail)
		assert_true(drv_tx_wait(q, WAIT_MS) > 0);
	while (drv_recv(&r->vp[1], &rx, 20))
		;
	rig_alive(r, 0, 1);
}

/* ---- Events -----------------------------------------------------------------------------------
 */

static void link_changes_are_told(void **state)
{
	struct rig *r = *state;
	struct frame_spec s = rig_spec(r, 0, 1, 4, IPPROTO_UDP, 100);
	struct drv_event ev;

	frame_build(&r->f, &s);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(mana_link_set(r->lab.mana[1], 0, false), 0);
		assert_true(
			drv_hwc_wait_event(&r->d[1], GDMA_EQE_HWC_SOC_RECONFIG_DATA, &ev, WAIT_MS));
		assert_int_equal(ev.details[0] >> HWC_INIT_TYPE_SHIFT, HWC_DATA_HW_LINK_DISCONNECT);
		assert_true(drv_send(&r->vp[0].tx[0], r->f.data, r->f.len, NULL) > 0);
		assert_true(drv_recv_none(&r->vp[1]));
		assert_int_equal(mana_link_set(r->lab.mana[1], 0, true), 0);
		assert_true(
			drv_hwc_wait_event(&r->d[1], GDMA_EQE_HWC_SOC_RECONFIG_DATA, &ev, WAIT_MS));
		assert_int_equal(ev.details[0] >> HWC_INIT_TYPE_SHIFT, HWC_DATA_HW_LINK_CONNECT);
		rig_alive(r, 0, 1);
	}
}

static void service_events_arrive_and_the_driver_can_come_back(void **state)
{
	struct rig *r = *state;

	assert_int_equal(mana_service_event(r->lab.mana[0], GDMA_EQE_HWC_FPGA_RECONFIG), 0);
	assert_true(drv_hwc_wait_event(&r->d[0], GDMA_EQE_HWC_FPGA_RECONFIG, NULL, WAIT_MS));
	assert_int_equal(mana_service_event(r->lab.mana[0], GDMA_EQE_HWC_RESET_REQUEST), 0);
	assert_true(drv_hwc_wait_event(&r->d[0], GDMA_EQE_HWC_RESET_REQUEST, NULL, WAIT_MS));
	assert_true(mana_service_event(r->lab.mana[0], 200) < 0);
	/* mana_serv_reset(): detach, tear down, establish again. */
	for (int i = 0; i < 3; i++) {
		drv_vport_down(&r->vp[0]);
		drv_hwc_down(&r->d[0]);
		rig_up(r, 0, RIG_VPORT);
		rig_alive(r, 0, 1);
	}
	rig_down(r, 0);
	assert_int_equal(mana_service_event(r->lab.mana[0], GDMA_EQE_HWC_RESET_REQUEST), -ENOTCONN);
}

static void silenced_statistics_are_not_answered_and_nothing_else(void **state)
{
	struct rig *r = *state;
	struct mana_query_gf_stat_resp st;
	struct mana_query_gf_stat_req req = {0};

	assert_int_equal(mana_stats_silence(r->lab.mana[0], true), 0);
	drv_hdr(&r->d[0], &req, MANA_QUERY_GF_STAT, sizeof(req), sizeof(st));
	req.req_stats = le64_make(STATISTICS_FLAGS_ALL);
	assert_int_equal(drv_hwc_post(&r->d[0], &req, sizeof(req)), 0);
	drv_barrier(&r->d[0]);
	assert_int_equal(drv_hwc_wait(&r->d[0], 50), -ETIMEDOUT);
	rig_alive(r, 0, 1);
	/* mana_hwc_send_request() gives up; the driver resets itself. */
	assert_int_equal(mana_stats_silence(r->lab.mana[0], false), 0);
	drv_vport_forget(&r->vp[0]);
	drv_hwc_down(&r->d[0]);
	rig_up(r, 0, RIG_VPORT);
	assert_int_equal(drv_gf_stat(&r->d[0], &st), 0);
	rig_alive(r, 0, 1);
}

/* ---- Resets and losses in every state ---------------------------------------------------------
 */

enum blow { BLOW_RESET, BLOW_FLR, BLOW_GONE, BLOW_SMC, N_BLOWS };

static void strike(struct rig *r, enum blow blow)
{
	struct drv *d = &r->d[0];
	uint16_t cmd_before = 0, cmd = 0;

	switch (blow) {
	case BLOW_RESET:
		assert_int_equal(drv_device_reset(d), 0);
		break;
	case BLOW_FLR:
		/* What the driver does not restore must survive (7.2: pcie_flr on a stuck queue).
		 */
		drv_cfg_rd(d, 4, &cmd_before, 2);
		assert_int_equal(drv_flr(d), 0);
		drv_cfg_rd(d, 4, &cmd, 2);
		assert_int_equal(cmd, cmd_before);
		break;
	case BLOW_GONE:
		rig_drop(r, 0);
		return;
	default:
		assert_true(drv_smc_teardown(d, false) >= 0);
		break;
	}
	rig_forget(r, 0);
}

static void a_blow_in_any_state_leaves_a_device_that_comes_up(void **state)
{
	struct rig *r = rig_start(&(struct rig_conf){
		.level = RIG_LAB, .lab = {.n_devs = 3, .conf = {.hold_ms = 5000}}});
	struct mana_info info;

	(void)state;
	rig_up(r, 1, RIG_VPORT);
	rig_up(r, 2, RIG_VPORT);
	for (int blow = 0; blow < N_BLOWS; blow++) {
		for (int level = RIG_BUS; level >= RIG_VPORT; level--) {
			for (int traffic = 0; traffic < (level == RIG_VPORT ? 3 : 1); traffic++) {
				struct frame_spec s = rig_spec(r, 0, 1, 4, IPPROTO_UDP, 700);

				rig_up(r, 0, (enum rig_level)level);
				frame_build(&r->f, &s);
				/* 1: packets on their way from it; 2: it is held by a receiver. */
				if (traffic == 2)
					r->vp[1].rx[0].manual = true;
				for (int i = 0; traffic && i < 64; i++)
					if (drv_tx_frame(&r->vp[0].tx[0], r->f.data, r->f.len,
							 NULL) == 0 &&
					    i % 8 == 7)
						drv_tx_ring(&r->vp[0].tx[0]);
				if (traffic == 2) {
					struct drv_rx rx;
					int n = 0;

					/* More than the buffers there are. */
					while (drv_tx_frame(&r->vp[0].tx[0], r->f.data, r->f.len,
							    NULL) == 0)
						;
					drv_tx_ring(&r->vp[0].tx[0]);
					while (n < 64 && drv_recv(&r->vp[1], &rx, WAIT_MS))
						n++;
				}
				if (blow == BLOW_SMC && level == RIG_BUS)
					drv_barrier(&r->d[0]);
				strike(r, (enum blow)blow);
				lab_info(&r->lab, 0, &info);
				assert_false(info.hwc_up && blow != BLOW_GONE);
				/* Whoever else talks is not concerned. */
				if (traffic == 2) {
					struct drv_rx rx;

					r->vp[1].rx[0].manual = false;
					drv_rx_fill(&r->vp[1].rx[0], 64);
					while (drv_recv(&r->vp[1], &rx, 20))
						;
				} else if (traffic) {
					struct drv_rx rx;

					while (drv_recv(&r->vp[1], &rx, 20))
						;
				}
				rig_alive(r, 1, 2);
				rig_up(r, 0, RIG_VPORT);
				rig_alive(r, 0, 1);
				rig_down(r, 0);
				assert_true(wait_until(!lab_info(&r->lab, 0, &info)->connected,
						       WAIT_MS));
				assert_int_equal(
					info.n_eq | info.n_cq | info.n_wq | info.n_dma_regions, 0);
			}
		}
	}
	assert_true(r->lab.events[MANA_EV_CONNECTED] > 0);
	assert_int_equal(r->lab.events[MANA_EV_DRIVEN] > 0, 1);
	rig_stop(r);
}

static void the_host_hears_of_the_drivers_life(void **state)
{
	struct rig *r = *state;
	struct mana_info info;

	lab_info(&r->lab, 0, &info);
	assert_true(info.connected && info.hwc_up && info.vports[0].driven);
	assert_int_equal(info.driver_caps[0], DRV_CAPS_72);
	assert_int_equal(info.os_type, GDMA_OS_TYPE_LINUX);
	assert_int_equal(info.os_ver_major, 7);
	assert_string_equal(info.os_ver_str[0], "Linux");
	assert_true(r->lab.events[MANA_EV_DRIVEN] >= 2);
	assert_true(r->lab.events[MANA_EV_DRIVER] >= 2);
	rig_drop(r, 0);
	assert_true(wait_until(r->lab.events[MANA_EV_DISCONNECTED] == 1, WAIT_MS));
	assert_true(wait_until(r->lab.events[MANA_EV_UNDRIVEN] >= 1, WAIT_MS));
	assert_false(lab_info(&r->lab, 0, &info)->vports[0].driven);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_fence_comes_behind_every_packet_before_it),
		T(figures_add_up),
		cmocka_unit_test(a_sender_waits_for_buffers_and_nothing_is_lost),
		cmocka_unit_test(a_big_packet_waits_in_its_middle),
		cmocka_unit_test(a_sender_does_not_wait_for_ever),
		cmocka_unit_test(one_starved_receiver_does_not_hold_up_another),
		T(a_bandwidth_clamp_is_kept),
		T(link_changes_are_told),
		T(service_events_arrive_and_the_driver_can_come_back),
		T(silenced_statistics_are_not_answered_and_nothing_else),
		cmocka_unit_test(a_blow_in_any_state_leaves_a_device_that_comes_up),
		T(the_host_hears_of_the_drivers_life),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
