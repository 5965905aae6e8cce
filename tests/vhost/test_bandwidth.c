/* SPDX-License-Identifier: BSD-2-Clause */
/* Claims about bandwidth as a virtio driver has it: what is too much waits in its ring. */
#include "tests/vhost/vu_rig.h"

#include "base/wire.h"

#define N 60 /* frames; 1 Mbit/s lets sixteen go at once, and all of them in 0.4 s */

static const struct shape_conf slow = {.max_mbps = 1};

/* N numbered frames from port 0 to port 1 are in the ring, and the first that may not go waits. */
static struct rig *start(void)
{
	struct rig *r = rig_start(NULL);
	struct vu_ring *tx = vu_txq(&r->c[0], 0);
	struct frame_spec s = rig_spec(0, 1, 4, IPPROTO_UDP, 1000);

	vsw_port_shape_set(vhost_port(r->v[0]), &slow);
	for (unsigned int i = 0; i < N; i++) {
		s.sport = (uint16_t)(1000 + i);
		frame_build(&r->f, &s);
		assert_int_equal(vu_tx_post(tx, r->f.data, r->f.len, NULL), 0);
	}
	vu_kick(tx, false);
	assert_true(wait_until(atomic_load(&vhost_port(r->v[0])->stats.tx_delayed), WAIT_MS));
	return r;
}

static void expect(struct rig *r, unsigned int from, unsigned int to)
{
	struct vu_ring *rx = vu_rxq(&r->c[1], 0);

	for (unsigned int i = from; i < to; i++) {
		assert_true(vu_rx_wait(rx, r->g.data, FRAME_MAX, NULL, WAIT_MS) > 0);
		assert_int_equal(be16_load(r->g.data + 34), 1000 + i);
	}
}

static void finish(struct rig *r)
{
	assert_int_equal(vu_rx_poll(vu_rxq(&r->c[1], 0), r->g.data, FRAME_MAX, NULL, NULL), 0);
	for (unsigned int why = 0; why < VSW_N_DROPS; why++)
		assert_int_equal(rig_tx_drops(r, 0, (enum vsw_drop)why), 0);
	rig_stop(r);
}

static void what_is_too_much_waits_in_the_ring(void **state)
{
	struct rig *r = start();
	struct vu_ring *tx = vu_txq(&r->c[0], 0);
	struct vsw_port *port = vhost_port(r->v[0]);
	unsigned int gone = 0;

	(void)state;
	/* A kick does not help it. */
	vu_kick(tx, true);
	assert_true(atomic_load(&port->stats.tx_packets) < N);
	expect(r, 0, N);
	assert_true(wait_until((gone += (unsigned int)vu_tx_reap(tx)) == N, WAIT_MS));
	assert_true(atomic_load(&port->stats.tx_delayed_ns) > 0);
	finish(r);
}

/* Whoever takes the ring over finds what has not gone, and nothing else. */
static void a_ring_that_stops_keeps_what_waits(void **state)
{
	struct rig *r = start();
	struct vu_ring *tx = vu_txq(&r->c[0], 0);
	uint16_t base = 0;

	(void)state;
	assert_int_equal(vu_ring_stop(tx, &base), 0);
	assert_in_range(base, 16, N - 1);
	expect(r, 0, base);
	vsw_port_shape_set(vhost_port(r->v[0]), &(struct shape_conf){0});
	assert_int_equal(vu_ring_start(tx, base), 0);
	vu_kick(tx, true);
	expect(r, base, N);
	finish(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_too_much_waits_in_the_ring),
		cmocka_unit_test(a_ring_that_stops_keeps_what_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
