/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Claims about bandwidth as a MANA driver has it: SET_BW_CLAMP, and the limit of the vNIC beside
 * it. How much may have passed is exact, however slow the machine is; how much must have is not.
 */
#include <sys/uio.h>

#include "tests/driver/rig.h"
#include "vswitch/nic.h"
#include "vswitch/policy/policy.h"
#include "vswitch/vswitch.h"

#define MBIT 125000ull

/* A bucket: 20 ms at the rate, at least 16 KiB; the last packet may go into debt. */
static uint64_t most(uint32_t mbps, uint64_t ns, uint32_t packet)
{
	uint64_t bucket = MAX(mbps * MBIT / 50, 16384u);

	return (uint64_t)((double)(mbps * MBIT) * (double)ns / 1e9) + bucket + packet;
}

static int setup(void **state)
{
	static const struct rig_conf c = {.vport = {.n_queues = 2, .rx_bufs = 256}};

	*state = rig_start(&c);
	return 0;
}

static int teardown(void **state)
{
	rig_stop(*state);
	return 0;
}

static uint64_t received(struct rig *r);

/* What was sent under the clamp before has been received when this returns. */
static void clamp(struct rig *r, uint32_t mbps)
{
	assert_int_equal(drv_bw_clamp(&r->d[0], r->vp[0].handle,
				      mbps ? TRI_STATE_TRUE : TRI_STATE_FALSE, mbps, NULL),
			 0);
	received(r);
}

/* What device 1 has received so far, on any queue. */
static uint64_t received(struct rig *r)
{
	uint64_t bytes = 0;
	struct drv_rx rx;

	for (unsigned int i = 0; i < 2; i++) {
		while (drv_rx_poll(&r->vp[1].rx[i], &rx) == 1)
			bytes += rx.len;
		drv_cq_ring(&r->vp[1].rx[i].cq, false);
	}
	return bytes;
}

/* Offers @r->f on @n queues for @ns. Bytes that arrived; *@took: how long it was, at least. */
static uint64_t flood(struct rig *r, unsigned int n, const struct drv_tx *tx, uint64_t ns,
		      uint64_t *took)
{
	uint64_t t0 = now_ns(), bytes = 0;

	while (now_ns() - t0 < ns) {
		for (unsigned int i = 0; i < n; i++) {
			struct drv_txq *q = &r->vp[0].tx[i];

			while (drv_tx_frame(q, r->f.data, r->f.len, tx) == 0)
				drv_tx_ring(q);
			while (drv_tx_poll(q) > 0)
				;
			drv_cq_ring(&q->cq, false);
		}
		bytes += received(r);
		wait_breathe(64);
	}
	*took = now_ns() - t0;
	return bytes;
}

/* Everything that was offered has gone out. */
static void drain(struct rig *r, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		while (r->vp[0].tx[i].pend_head != r->vp[0].tx[i].pend_tail) {
			received(r);
			assert_true(drv_tx_wait(&r->vp[0].tx[i], 20) != -1);
		}
	drv_barrier(&r->d[1]);
	received(r);
}

static uint64_t tx_stat(struct rig *r, enum vsw_drop why)
{
	return atomic_load(&mana_port(r->lab.mana[0], 0)->stats.tx_drops[why]);
}

/* Rates that a slow machine can reach, so that there is something to hold back. */
static void a_clamp_holds_at_every_step(void **state)
{
	struct rig *r = *state;
	struct frame_spec s = rig_spec(r, 0, 1, 4, IPPROTO_UDP, 1400);
	struct vsw_port *port = mana_port(r->lab.mana[0], 0);

	frame_build(&r->f, &s);
	for (uint32_t mbps = 10; mbps <= 40; mbps += 10) {
		uint64_t took, bytes, delayed = atomic_load(&port->stats.tx_delayed);

		clamp(r, mbps);
		bytes = flood(r, 2, NULL, NSEC_PER_SEC / 2, &took);
		printf("%u Mbit/s: %.1f\n", mbps, (double)bytes * 8e3 / (double)took);
		assert_true(bytes <= most(mbps, took, r->f.len));
		assert_true(bytes > MBIT);
		assert_true(atomic_load(&port->stats.tx_delayed) > delayed);
	}
	/* Held back, not lost. */
	assert_int_equal(tx_stat(r, VSW_DROP_RATE), 0);
	assert_int_equal(tx_stat(r, VSW_DROP_NO_BUFFER), 0);
	assert_true(atomic_load(&port->stats.tx_delayed_ns) > 0);
	clamp(r, 0);
	drain(r, 2);
	rig_alive(r, 0, 1);
}

/* A packet may be larger than the bucket: its debt is paid before the next. */
static void large_segments_are_clamped_as_frames(void **state)
{
	struct rig *r = *state;
	struct frame_spec s = rig_spec(r, 0, 1, 4, IPPROTO_TCP, 30 * 1000);
	struct drv_tx tx = {.mss = 1000, .ip_csum = true, .tcp_csum = true, .v4 = true};
	uint64_t took, bytes;

	frame_build(&r->f, &s);
	tx.hdr_len = r->f.payload;
	tx.trans_off = r->f.l4;
	frame_make_partial(&r->f, true);
	clamp(r, 20);
	bytes = flood(r, 1, &tx, NSEC_PER_SEC, &took);
	/* The headers of all thirty frames count. */
	assert_true(bytes <= most(20, took, r->f.len + 29u * r->f.payload));
	assert_true(bytes > 30 * 1000);
	clamp(r, 0);
	drain(r, 1);
	rig_alive(r, 0, 1);
}

/* Device 0's port as the only path of a vNIC. */
static struct vsw_nic *behind_a_vnic(struct rig *r)
{
	struct vsw_nic_conf conf = {.name = "a/eth0", .worker = r->lab.worker[0]};
	struct vsw_port *vf = mana_port(r->lab.mana[0], 0);
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

static void the_clamp_and_the_vnics_maximum_both_hold(void **state)
{
	static const struct {
		uint32_t clamp, max, least;
	} cases[] = {{20, 40, 20}, {40, 20, 20}, {0, 30, 30}, {30, 0, 30}};
	struct rig *r = *state;
	struct frame_spec s = rig_spec(r, 0, 1, 4, IPPROTO_UDP, 1400);
	struct vsw_nic *nic = behind_a_vnic(r);
	struct vsw_port *outer = vsw_nic_port(nic);

	frame_build(&r->f, &s);
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t took, bytes;

		/* Before what the case before has left in the rings may go. */
		clamp(r, cases[i].clamp);
		vsw_port_shape_set(outer, &(struct shape_conf){.max_mbps = cases[i].max});
		received(r);
		bytes = flood(r, 2, NULL, NSEC_PER_SEC / 2, &took);
		/* Where only one changes nothing limits for a moment: what fits a ring. */
		assert_true(bytes <= most(cases[i].least, took, r->f.len) +
					     (uint64_t)DRV_TX_SLOTS * r->f.len);
	}
	assert_true(atomic_load(&outer->stats.tx_delayed) > 0);
	assert_int_equal(tx_stat(r, VSW_DROP_RATE), 0);
	clamp(r, 0);
	vsw_port_shape_set(outer, &(struct shape_conf){0});
	drain(r, 2);
	rig_alive(r, 0, 1);
	vsw_port_detach(outer);
	vsw_nic_path_del(nic, mana_port(r->lab.mana[0], 0));
	vsw_nic_free(nic);
}

static void let_all_pass(struct vsw_port *port)
{
	static const struct policy_rule rule = {
		.name = "all", .priority = 1, .stateful = true, .match = {.vni = POLICY_ANY_VNI}};
	const struct policy_group groups[] = {
		{.name = "out", .dir = POLICY_OUT, .rules = &rule, .n_rules = 1},
		{.name = "in", .dir = POLICY_IN, .rules = &rule, .n_rules = 1},
	};
	const struct policy_layer layer = {.name = "l", .groups = groups, .n_groups = 2};
	const struct policy_spec spec = {.layers = &layer, .n_layers = 1};
	struct policy *p = policy_new(&spec, NULL, NULL);

	assert_non_null(p);
	assert_int_equal(vsw_port_set_policy(port, p, false), 0);
	policy_put(p);
}

/* What the adapter sends by its own table does not visit the switch, and is limited all the same.
 */
static void flows_in_the_adapters_table_are_clamped(void **state)
{
	struct rig *r = *state;
	struct frame_spec s = rig_spec(r, 0, 1, 4, IPPROTO_UDP, 1400);
	uint64_t took, bytes, delayed;
	struct mana_info info;

	assert_int_equal(mana_flows_set(r->lab.mana[0], 0, 8), 0);
	let_all_pass(mana_port(r->lab.mana[0], 0));
	let_all_pass(mana_port(r->lab.mana[1], 0));
	frame_build(&r->f, &s);
	clamp(r, 20);
	bytes = flood(r, 2, NULL, NSEC_PER_SEC / 2, &took);
	assert_true(bytes <= most(20, took, r->f.len));
	assert_true(bytes > MBIT);
	lab_info(&r->lab, 0, &info);
	assert_true(info.vports[0].flow_hits > 100);
	assert_true(info.vports[0].flow_exceptions < 100); /* the first burst */
	delayed = atomic_load(&mana_port(r->lab.mana[0], 0)->stats.tx_delayed);
	assert_true(delayed > 0);
	assert_int_equal(tx_stat(r, VSW_DROP_RATE), 0);
	clamp(r, 0);
	drain(r, 2);
	rig_alive(r, 0, 1);
}

/* What waits under a clamp goes with it, or dies with its queue. */
static void a_clamp_ends_with_its_driver(void **state)
{
	struct rig *r = *state;
	struct frame_spec s = rig_spec(r, 0, 1, 4, IPPROTO_UDP, 1400);
	struct drv_txq *q = &r->vp[0].tx[0];
	struct mana_info info;

	frame_build(&r->f, &s);
	clamp(r, 1);
	while (drv_tx_frame(q, r->f.data, r->f.len, NULL) == 0)
		drv_tx_ring(q);
	assert_true(
		wait_until(atomic_load(&mana_port(r->lab.mana[0], 0)->stats.tx_delayed), WAIT_MS));
	assert_int_equal(drv_flr(&r->d[0]), 0);
	rig_forget(r, 0);
	rig_up(r, 0, RIG_VPORT);
	assert_int_equal(lab_info(&r->lab, 0, &info)->vports[0].bw_limit_mbps, 0);
	assert_int_equal(vsw_port_shape(mana_port(r->lab.mana[0], 0)).max_mbps, 0);
	received(r);
	rig_alive(r, 0, 1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_clamp_holds_at_every_step),
		T(large_segments_are_clamped_as_frames),
		T(the_clamp_and_the_vnics_maximum_both_hold),
		T(flows_in_the_adapters_table_are_clamped),
		T(a_clamp_ends_with_its_driver),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
