/* SPDX-License-Identifier: BSD-2-Clause */
/* How a driver lets go of a VF and what the host learns; a VF as a path of a vNIC. */
#include <sys/uio.h>

#include "tests/driver/rig.h"
#include "vswitch/nic.h"
#include "vswitch/parse.h"

/* What device @dev has said since @from: the types, then RELEASED's text. */
static void expect_story(struct rig *r, unsigned int dev, unsigned int from, const char *text,
			 const enum mana_event_type *types, unsigned int n)
{
	struct lab_story *s = &r->lab.story[dev];

	assert_true(wait_until(atomic_load(&s->n) >= from + n, WAIT_MS));
	assert_int_equal(atomic_load(&s->n), from + n);
	for (unsigned int i = 0; i < n; i++) {
		assert_int_equal(s->ev[from + i].type, types[i]);
		if (types[i] == MANA_EV_RELEASED)
			assert_string_equal(s->ev[from + i].text, text);
	}
}

#define STORY(r, dev, from, text, ...)                                                             \
	do {                                                                                       \
		const enum mana_event_type types_[] = {__VA_ARGS__};                               \
                                                                                                   \
		expect_story(r, dev, from, text, types_, ARRAY_SIZE(types_));                      \
	} while (0)

static unsigned int said(struct rig *r, unsigned int dev)
{
	return atomic_load(&r->lab.story[dev].n);
}

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

/* ---- Released ----------------------------------------------------------------------------- */

static void deregistering_releases_and_the_rest_of_the_life_does_not(void **state)
{
	struct rig *r = *state;
	unsigned int at;

	/* The orderly way of Linux: receive off, then the function, then the channel. */
	at = said(r, 0);
	assert_int_equal(drv_vport_down(&r->vp[0]), 0);
	STORY(r, 0, at, "", MANA_EV_UNDRIVEN);
	assert_int_equal(drv_deregister(&r->d[0]), 0);
	STORY(r, 0, at, "deregistered", MANA_EV_UNDRIVEN, MANA_EV_RELEASED);
	drv_hwc_down(&r->d[0]);
	rig_drop(r, 0);
	STORY(r, 0, at, "deregistered", MANA_EV_UNDRIVEN, MANA_EV_RELEASED, MANA_EV_DISCONNECTED);
}

static void deregistering_while_driven_tells_both(void **state)
{
	struct rig *r = *state;
	unsigned int at = said(r, 0);

	assert_int_equal(drv_deregister(&r->d[0]), 0);
	STORY(r, 0, at, "deregistered", MANA_EV_UNDRIVEN, MANA_EV_RELEASED);
	drv_vport_forget(&r->vp[0]);
}

/* As Linux 6.1 and 6.12 do it: the EQs are the function's, older than any vPort's queues. */
static void event_queues_given_back_release(void **state)
{
	struct rig *r = *state;
	struct drv_queue eq;
	unsigned int at;

	rig_down(r, 0);
	rig_up(r, 0, RIG_DEV);
	assert_int_equal(drv_eq_create(&r->d[0], &eq, 4096, 1), 0);
	at = said(r, 0);
	assert_int_equal(drv_test_eqe(&r->d[0], eq.id), 0);
	for (int i = 0; i < 2; i++) { /* the interface goes up and down */
		assert_int_equal(drv_vport_up(&r->d[0], &r->vp[0], 0, &r->conf.vport), 0);
		assert_int_equal(drv_test_eqe(&r->d[0], eq.id), 0);
		assert_int_equal(drv_vport_down(&r->vp[0]), 0);
	}
	STORY(r, 0, at, "", MANA_EV_DRIVEN, MANA_EV_UNDRIVEN, MANA_EV_DRIVEN, MANA_EV_UNDRIVEN);
	at = said(r, 0);
	assert_int_equal(drv_test_eqe(&r->d[0], eq.id), 0);
	STORY(r, 0, at, "event queues given back", MANA_EV_RELEASED);
	assert_int_equal(drv_eq_destroy(&eq), 0);
	assert_int_equal(drv_deregister(&r->d[0]), 0);
	STORY(r, 0, at, "event queues given back", MANA_EV_RELEASED);
	/* One that does not test them first. */
	rig_down(r, 0);
	rig_up(r, 0, RIG_DEV);
	assert_int_equal(drv_eq_create(&r->d[0], &eq, 4096, 1), 0);
	at = said(r, 0);
	assert_int_equal(drv_eq_destroy(&eq), 0);
	STORY(r, 0, at, "event queues given back", MANA_EV_RELEASED);
}

/* A function without queues, whose only EQ has just been given back. Its vPort's handle. */
static uint64_t seem_to_go(struct rig *r)
{
	struct mana_query_vport_cfg_resp cfg;
	struct drv_queue eq;
	unsigned int at;

	rig_down(r, 0);
	rig_up(r, 0, RIG_DEV);
	assert_int_equal(drv_eq_create(&r->d[0], &eq, 4096, 1), 0);
	at = said(r, 0);
	assert_int_equal(drv_eq_destroy(&eq), 0);
	STORY(r, 0, at, "event queues given back", MANA_EV_RELEASED);
	assert_int_equal(drv_query_vport(&r->d[0], 0, &cfg), 0);
	return le64_get(cfg.vport);
}

/* It gave an EQ back and was not on its way out: what it does at its end is told all the same. */
static void a_driver_that_goes_on_is_released_when_it_goes(void **state)
{
	struct rig *r = *state;
	struct drv_steer steer = {.rx = TRI_STATE_TRUE, .rss = TRI_STATE_UNKNOWN};
	struct mana_config_vport_resp tx;
	unsigned int at;
	uint64_t vport;

	seem_to_go(r);
	at = said(r, 0);
	assert_int_equal(drv_vport_up(&r->d[0], &r->vp[0], 0, &r->conf.vport), 0);
	rig_alive(r, 0, 1);
	assert_int_equal(drv_vport_down(&r->vp[0]), 0);
	assert_int_equal(drv_deregister(&r->d[0]), 0);
	STORY(r, 0, at, "deregistered", MANA_EV_DRIVEN, MANA_EV_UNDRIVEN, MANA_EV_RELEASED);
	/* To set a vPort up is enough. */
	vport = seem_to_go(r);
	at = said(r, 0);
	assert_int_equal(drv_config_vport_tx(&r->d[0], vport, &tx), 0);
	assert_int_equal(drv_deregister(&r->d[0]), 0);
	STORY(r, 0, at, "deregistered", MANA_EV_RELEASED);
	/* So is to turn receive on. */
	steer.vport = seem_to_go(r);
	at = said(r, 0);
	assert_int_equal(drv_steer(&r->d[0], &steer), 0);
	assert_int_equal(drv_deregister(&r->d[0]), 0);
	STORY(r, 0, at, "deregistered", MANA_EV_DRIVEN, MANA_EV_UNDRIVEN, MANA_EV_RELEASED);
}

static void the_channel_going_down_releases(void **state)
{
	struct rig *r = *state;
	unsigned int at = said(r, 0);

	assert_int_equal(drv_smc_teardown(&r->d[0], false), 0);
	STORY(r, 0, at, "hardware channel down", MANA_EV_UNDRIVEN, MANA_EV_RELEASED);
	/* Twice is fine, and says nothing. */
	assert_int_equal(drv_smc_teardown(&r->d[0], false), 0);
	STORY(r, 0, at, "hardware channel down", MANA_EV_UNDRIVEN, MANA_EV_RELEASED);
	rig_forget(r, 0);
	/* The next driver's life ends on its own. */
	rig_up(r, 0, RIG_VPORT);
	at = said(r, 0);
	assert_int_equal(drv_flr(&r->d[0]), 0);
	STORY(r, 0, at, "FLR", MANA_EV_UNDRIVEN, MANA_EV_RELEASED, MANA_EV_RESET);
	rig_forget(r, 0);
	rig_up(r, 0, RIG_VPORT);
	at = said(r, 0);
	assert_int_equal(drv_device_reset(&r->d[0]), 0);
	STORY(r, 0, at, "device reset", MANA_EV_UNDRIVEN, MANA_EV_RELEASED, MANA_EV_RESET);
	/* A reset without a driver releases nothing. */
	rig_forget(r, 0);
	at = said(r, 0);
	assert_int_equal(drv_device_reset(&r->d[0]), 0);
	STORY(r, 0, at, "", MANA_EV_RESET);
	rig_up(r, 0, RIG_VPORT);
	rig_alive(r, 0, 1);
}

static void a_channel_that_replaces_another_releases_the_old_one(void **state)
{
	struct rig *r = *state;
	unsigned int at = said(r, 0);

	/* A kernel after a crash knows nothing of its predecessor's channel. */
	rig_forget(r, 0);
	assert_int_equal(drv_hwc_up(&r->d[0]), 0);
	STORY(r, 0, at, "hardware channel replaced", MANA_EV_UNDRIVEN, MANA_EV_RELEASED);
	drv_hwc_down(&r->d[0]);
	STORY(r, 0, at + 2, "hardware channel down", MANA_EV_RELEASED);
}

static void a_client_that_dies_releases(void **state)
{
	struct rig *r = *state;
	unsigned int at = said(r, 0);

	rig_drop(r, 0);
	STORY(r, 0, at, "client gone", MANA_EV_UNDRIVEN, MANA_EV_RELEASED, MANA_EV_DISCONNECTED);
	/* One that never had a channel releases nothing. */
	rig_up(r, 0, RIG_BUS);
	at = said(r, 0);
	rig_drop(r, 0);
	STORY(r, 0, at, "", MANA_EV_DISCONNECTED);
	/* One that never drove, but might have, does. */
	rig_up(r, 0, RIG_HWC);
	at = said(r, 0);
	rig_drop(r, 0);
	STORY(r, 0, at, "client gone", MANA_EV_RELEASED, MANA_EV_DISCONNECTED);
}

/* ---- Surprise removal, queues --------------------------------------------------------------- */

static void the_host_can_cut_the_connection(void **state)
{
	struct rig *r = *state;
	unsigned int at = said(r, 0);
	struct mana_info info;
	uint8_t byte;

	mana_disconnect(r->lab.mana[0]);
	/* It was over when the call returned. */
	assert_int_equal(said(r, 0), at + 3);
	STORY(r, 0, at, "client gone", MANA_EV_UNDRIVEN, MANA_EV_RELEASED, MANA_EV_DISCONNECTED);
	assert_false(lab_info(&r->lab, 0, &info)->connected);
	assert_true(drv_rd(&r->d[0], 0, &byte, 1) < 0);
	/* Without a client there is nothing to cut. */
	mana_disconnect(r->lab.mana[0]);
	assert_int_equal(said(r, 0), at + 3);
	rig_drop(r, 0);
	/* The next one is served. */
	rig_up(r, 0, RIG_VPORT);
	rig_alive(r, 0, 1);
}

static void an_isolated_function_carries_nothing_and_lets_its_driver_go(void **state)
{
	struct rig *r = *state;
	struct vsw_port *vf = mana_port(r->lab.mana[0], 0);
	struct frame_spec s = rig_spec(r, 0, 1, 4, IPPROTO_UDP, 100);
	unsigned int at = said(r, 0);

	rig_alive(r, 0, 1);
	mana_isolate(r->lab.mana[0]);
	frame_build(&r->f, &s);
	for (unsigned int i = 0; i < 3; i++)
		rig_send(r, 0, &r->f, NULL); /* it is told that they went out */
	assert_true(drv_recv_none(&r->vp[1]));
	assert_int_equal(atomic_load(&vf->stats.tx_drops[VSW_DROP_LINK_DOWN]), 3);
	rig_hwc_alive(r, 0);
	assert_int_equal(said(r, 0), at);
	assert_int_equal(drv_vport_down(&r->vp[0]), 0);
	assert_int_equal(drv_deregister(&r->d[0]), 0);
	STORY(r, 0, at, "deregistered", MANA_EV_UNDRIVEN, MANA_EV_RELEASED);
	/* The next driver of this client meets the same; the next client does not. */
	rig_forget(r, 0);
	rig_up(r, 0, RIG_VPORT);
	rig_send(r, 0, &r->f, NULL);
	assert_true(drv_recv_none(&r->vp[1]));
	rig_drop(r, 0);
	mana_isolate(r->lab.mana[0]); /* nobody is there */
	rig_up(r, 0, RIG_VPORT);
	rig_alive(r, 0, 1);
}

static void the_next_driver_is_offered_other_queues(void **state)
{
	const struct rig_conf c = {.lab = {.conf = {.vports = {{.max_queues = 8}}}},
				   .vport = {.n_queues = 2}};
	struct rig *r = rig_start(&c);
	struct mana *m = r->lab.mana[0];
	struct mana_query_vport_cfg_resp cfg;
	struct mana_info info;
	struct drv_rxq third;

	(void)state;
	assert_int_equal(r->vp[0].max_sq, 8);
	assert_int_equal(mana_queues_set(m, 0, 0), -EINVAL);
	assert_int_equal(mana_queues_set(m, 0, 9), -EINVAL);
	assert_int_equal(mana_queues_set(m, 1, 2), -EINVAL);
	assert_int_equal(mana_queues_set(m, 0, 2), 0);
	/* The driver that is there keeps what it was offered. */
	assert_int_equal(drv_query_vport(&r->d[0], 0, &cfg), 0);
	assert_int_equal(le32_get(cfg.max_num_sq), 8);
	assert_int_equal(lab_info(&r->lab, 0, &info)->vports[0].max_queues, 8);
	rig_down(r, 0);
	assert_int_equal(lab_info(&r->lab, 0, &info)->vports[0].max_queues, 2);
	rig_up(r, 0, RIG_VPORT);
	assert_int_equal(r->vp[0].max_sq, 2);
	assert_int_equal(r->vp[0].max_rq, 2);
	/* And gets no more, whatever it believes. */
	assert_int_equal(drv_rx_create(&r->vp[0], &third, NULL), -EREMOTEIO);
	assert_int_equal(drv_last_status(), GDMA_STATUS_NO_RESOURCE);
	rig_alive(r, 0, 1);
	assert_int_equal(mana_queues_set(m, 0, 8), 0);
	assert_int_equal(drv_flr(&r->d[0]), 0);
	rig_forget(r, 0);
	rig_up(r, 0, RIG_VPORT);
	assert_int_equal(r->vp[0].max_sq, 8);
	rig_stop(r);
}

static void a_long_name_is_whole(void **state)
{
	static const char name[] = "abcdefghijklmnopqrstuvwx/abcdefghijklmno/vf";
	struct rig *r = *state;
	struct mana_conf mc = {.name = name, .n_vports = 2};
	struct mana *m;

	mc.vports[0].mac[0] = mc.vports[1].mac[0] = 2;
	m = mana_new(r->lab.worker[0], &mc);
	assert_non_null(m);
	assert_string_equal(mana_port(m, 0)->name, name);
	assert_string_equal(mana_port(m, 1)->name, "abcdefghijklmnopqrstuvwx/abcdefghijklmno/vf.1");
	mana_free(m);
}

/* ---- A VF as a path of a vNIC --------------------------------------------------------------- */

/* Device 1's port becomes the only path of a vNIC. */
static struct vsw_nic *put_behind_a_vnic(struct rig *r)
{
	struct vsw_nic_conf conf = {.name = "b/eth0", .worker = r->lab.worker[0]};
	struct vsw_port *vf = mana_port(r->lab.mana[1], 0);
	struct vsw_nic *nic;

	memcpy(conf.mac, vf->mac, 6);
	vsw_port_detach(vf);
	nic = vsw_nic_new(&conf);
	assert_non_null(nic);
	assert_int_equal(vsw_nic_path_add(nic, vf), 0);
	assert_int_equal(vsw_port_attach(r->lab.net, vsw_nic_port(nic)), 0);
	vsw_nic_receive(nic, vf, true);
	return nic;
}

static void drop_vnic(struct rig *r, struct vsw_nic *nic)
{
	vsw_port_detach(vsw_nic_port(nic));
	vsw_nic_path_del(nic, mana_port(r->lab.mana[1], 0));
	vsw_nic_free(nic);
}

static void receive_is(struct rig *r, bool on)
{
	struct drv_steer s = {.vport = r->vp[1].handle,
			      .rx = on ? TRI_STATE_TRUE : TRI_STATE_FALSE,
			      .rss = TRI_STATE_UNKNOWN};

	assert_int_equal(drv_steer(&r->d[1], &s), 0);
}

static void frames_for_a_driver_that_does_not_receive_are_parked(void **state)
{
	struct rig *r = *state;
	struct vsw_nic *nic = put_behind_a_vnic(r);
	struct frame_spec s = rig_spec(r, 0, 1, 4, IPPROTO_UDP, 100);
	struct vsw_nic_info info;

	rig_alive(r, 0, 1);
	receive_is(r, false);
	for (uint32_t i = 0; i < 20; i++) {
		s.payload_len = 100 + i;
		frame_build(&r->f, &s);
		rig_send(r, 0, &r->f, NULL);
	}
	assert_true(drv_recv_none(&r->vp[1]));
	vsw_nic_get_info(nic, &info);
	assert_int_equal(info.parked, 20);
	receive_is(r, true);
	for (uint32_t i = 0; i < 20; i++) {
		s.payload_len = 100 + i;
		frame_build(&r->f, &s);
		rig_expect(r, 1, &r->f, NULL);
	}
	rig_alive(r, 0, 1);
	drop_vnic(r, nic);
}

/* A delivery that began before receive went off: what it finds then is the sender's still. */
static void a_delivery_ends_where_receive_was_turned_off(void **state)
{
	struct rig *r = *state;
	struct vsw_port *vf = mana_port(r->lab.mana[1], 0);
	struct frame_spec s = rig_spec(r, 0, 1, 4, IPPROTO_UDP, 100);
	struct pkt pkt, *p = &pkt;
	struct iovec iov;

	frame_build(&r->f, &s);
	iov = (struct iovec){r->f.data, r->f.len};
	assert_int_equal(pkt_from_iov(&pkt, &iov, 1), 0);
	assert_int_equal(pkt_parse(&pkt), VSW_DROP_NONE);
	receive_is(r, false);
	assert_int_equal(vf->ops->deliver(vf, &p, 1), 0);
	/* Also when the driver has taken its queues down. */
	assert_int_equal(drv_vport_down(&r->vp[1]), 0);
	assert_int_equal(vf->ops->deliver(vf, &p, 1), 0);
	for (unsigned int i = 0; i < VSW_N_DROPS; i++)
		assert_int_equal(atomic_load(&vf->stats.drops[i]), 0);
}

/* A sender waits for buffers; receive is turned off: what waited is parked, at once. */
static void receive_off_ends_the_wait_for_buffers(void **state)
{
	const struct rig_conf c = {.lab = {.conf = {.hold_ms = 3600000}},
				   .vport = {.manual_rx = true, .rx_bufs = 4}};
	struct rig *r = rig_start(&c);
	struct vsw_nic *nic = put_behind_a_vnic(r);
	struct drv_txq *q = &r->vp[0].tx[0];
	struct frame_spec s = rig_spec(r, 0, 1, 4, IPPROTO_UDP, 100);
	struct mana_info info;
	uint32_t done = 0;

	(void)state;
	for (uint32_t i = 0; i < 10; i++) {
		s.payload_len = 100 + i;
		frame_build(&r->f, &s);
		assert_int_equal(drv_tx_frame(q, r->f.data, r->f.len, NULL), 0);
	}
	drv_tx_ring(q);
	for (; done < 4; done++)
		assert_int_equal(drv_tx_wait(q, WAIT_MS), CQE_TX_OKAY);
	drv_barrier(&r->d[0]);
	assert_int_equal(drv_tx_poll(q), 0);
	receive_is(r, false);
	for (; done < 10; done++)
		assert_int_equal(drv_tx_wait(q, WAIT_MS), CQE_TX_OKAY);
	assert_int_equal(lab_info(&r->lab, 1, &info)->vports[0].rx_errors, 0);
	receive_is(r, true);
	for (uint32_t i = 0; i < 10; i++) {
		s.payload_len = 100 + i;
		frame_build(&r->f, &s);
		rig_expect(r, 1, &r->f, NULL);
		if (i == 3)
			drv_rx_fill(&r->vp[1].rx[0], 4);
		if (i == 7)
			drv_rx_fill(&r->vp[1].rx[0], 4);
	}
	drop_vnic(r, nic);
	rig_stop(r);
}

/*
 * Receive goes off and on under traffic from another worker: every frame arrives, once and in
 * order, though the driver's receive is off half of the time.
 */
static void nothing_is_lost_while_receive_goes_off_and_on(void **state)
{
	const struct rig_conf c = {.lab = {.n_workers = 2}, .vport = {.tx_ring = 16384}};
	struct rig *r = rig_start(&c);
	struct vsw_nic *nic = put_behind_a_vnic(r);
	struct frame_spec s = rig_spec(r, 0, 1, 4, IPPROTO_UDP, 64);
	struct vsw_port *port = vsw_nic_port(nic);
	uint32_t sent = 0, got = 0;
	bool on = true;
	struct drv_rx rx;

	(void)state;
	for (unsigned int round = 0; round < 100; round++) {
		for (uint32_t i = 0; i < 30; i++) {
			s.sport = (uint16_t)(1000 + sent % 1000);
			frame_build(&r->f, &s);
			while (drv_tx_frame(&r->vp[0].tx[0], r->f.data, r->f.len, NULL) == -EBUSY)
				assert_int_equal(drv_tx_wait(&r->vp[0].tx[0], WAIT_MS),
						 CQE_TX_OKAY);
			sent++;
		}
		drv_tx_ring(&r->vp[0].tx[0]);
		on = !on;
		receive_is(r, on);
		while (drv_rx_poll(&r->vp[1].rx[0], &rx) == 1)
			assert_int_equal(be16_load(rx.data + r->f.l4), 1000 + got++ % 1000);
	}
	assert_true(on);
	while (got < sent) {
		assert_true(drv_recv(&r->vp[1], &rx, WAIT_MS));
		assert_int_equal(be16_load(rx.data + r->f.l4), 1000 + got++ % 1000);
	}
	assert_true(drv_recv_none(&r->vp[1]));
	for (unsigned int i = 0; i < VSW_N_DROPS; i++)
		assert_int_equal(atomic_load(&port->stats.drops[i]), 0);
	while (r->vp[0].tx[0].pend_head != r->vp[0].tx[0].pend_tail)
		assert_int_equal(drv_tx_wait(&r->vp[0].tx[0], WAIT_MS), CQE_TX_OKAY);
	drop_vnic(r, nic);
	rig_stop(r);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* ---- The path before ------------------------------------------------------------------------ */

/* A second path beside device 1's, whose guest needs @looks looks to empty it. */
static struct {
	struct vsw_port port;
	_Atomic unsigned int looks, left;
} before;

static unsigned int before_deliver(struct vsw_port *port, struct pkt **pkts, unsigned int n)
{
	(void)pkts;
	vsw_port_received(port, n, 0);
	return n;
}

static bool before_emptied(struct vsw_port *port)
{
	(void)port;
	atomic_fetch_add(&before.looks, 1);
	return !atomic_load(&before.left) || !atomic_fetch_sub(&before.left, 1);
}

static struct vsw_nic *two_paths(struct rig *r, unsigned int left)
{
	static const struct vsw_port_ops ops = {.deliver = before_deliver,
						.emptied = before_emptied};
	struct vsw_nic *nic = put_behind_a_vnic(r);
	struct vsw_port *vf = mana_port(r->lab.mana[1], 0);

	vsw_port_init(&before.port, &ops, "b/eth0/before", vf->mac);
	atomic_store(&before.port.link, true);
	atomic_store(&before.port.receiving, true);
	assert_int_equal(vsw_nic_path_add(nic, &before.port), 0);
	receive_is(r, false);
	vsw_nic_receive(nic, &before.port, true);
	vsw_nic_await(nic, vf);
	atomic_store(&before.looks, 0);
	atomic_store(&before.left, left);
	return nic;
}

static void drop_two_paths(struct rig *r, struct vsw_nic *nic)
{
	vsw_port_detach(vsw_nic_port(nic));
	vsw_nic_path_del(nic, &before.port);
	vsw_nic_path_del(nic, mana_port(r->lab.mana[1], 0));
	vsw_nic_free(nic);
	pthread_mutex_destroy(&before.port.waiters_lock);
}

static void receive_on_is_answered_when_the_path_before_is_empty(void **state)
{
	struct rig *r = *state;
	struct vsw_nic *nic = two_paths(r, 3);
	struct vsw_nic_info info;

	receive_is(r, true);
	assert_int_equal(atomic_load(&before.left), 0);
	assert_int_equal(atomic_load(&before.looks), 4);
	/* The host has not said a word. */
	vsw_nic_get_info(nic, &info);
	assert_ptr_equal(info.path, mana_port(r->lab.mana[1], 0));
	rig_alive(r, 0, 1);
	rig_hwc_alive(r, 1);
	drop_two_paths(r, nic);
}

/* A guest that never looks at its other path has its receive on all the same. */
static void the_path_before_is_not_waited_for_for_ever(void **state)
{
	struct rig *r = *state;
	struct vsw_nic *nic = two_paths(r, UINT32_MAX);

	receive_is(r, true);
	assert_true(atomic_load(&before.looks) > 1);
	rig_alive(r, 0, 1);
	/* The next request is not put off for it. */
	receive_is(r, true);
	rig_hwc_alive(r, 1);
	drop_two_paths(r, nic);
}

static void *cut_when_looked(void *arg)
{
	struct rig *r = arg;

	if (!wait_until(atomic_load(&before.looks), WAIT_MS))
		return NULL;
	mana_disconnect(r->lab.mana[1]);
	return r;
}

static void a_device_that_goes_meanwhile_leaves_the_path_before(void **state)
{
	const struct rig_conf c = {.lab = {.conf = {.take_over_ms = 3600000}}};
	struct rig *r = rig_start(&c);
	struct vsw_nic *nic = two_paths(r, UINT32_MAX);
	struct drv_steer s = {
		.vport = r->vp[1].handle, .rx = TRI_STATE_TRUE, .rss = TRI_STATE_UNKNOWN};
	struct vsw_nic_info info;
	pthread_t cutter;
	void *done;

	(void)state;
	r->d[1].hwc_timeout_ms = 100; /* there will be no answer */
	assert_int_equal(pthread_create(&cutter, NULL, cut_when_looked, r), 0);
	assert_true(drv_steer(&r->d[1], &s) < 0);
	pthread_join(cutter, &done);
	assert_non_null(done);
	vsw_nic_get_info(nic, &info);
	assert_ptr_equal(info.path, &before.port);
	rig_drop(r, 1);
	drop_two_paths(r, nic);
	rig_stop(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(deregistering_releases_and_the_rest_of_the_life_does_not),
		T(deregistering_while_driven_tells_both),
		T(event_queues_given_back_release),
		T(a_driver_that_goes_on_is_released_when_it_goes),
		T(the_channel_going_down_releases),
		T(a_channel_that_replaces_another_releases_the_old_one),
		T(a_client_that_dies_releases),
		T(the_host_can_cut_the_connection),
		T(an_isolated_function_carries_nothing_and_lets_its_driver_go),
		cmocka_unit_test(the_next_driver_is_offered_other_queues),
		T(a_long_name_is_whole),
		T(frames_for_a_driver_that_does_not_receive_are_parked),
		T(a_delivery_ends_where_receive_was_turned_off),
		cmocka_unit_test(receive_off_ends_the_wait_for_buffers),
		cmocka_unit_test(nothing_is_lost_while_receive_goes_off_and_on),
		T(receive_on_is_answered_when_the_path_before_is_empty),
		T(the_path_before_is_not_waited_for_for_ever),
		cmocka_unit_test(a_device_that_goes_meanwhile_leaves_the_path_before),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
