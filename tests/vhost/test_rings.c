/* SPDX-License-Identifier: BSD-2-Clause */
/* Notifications both ways, waiting for buffers, several queues. */
#include "tests/vhost/vu_rig.h"

static void build(struct rig *r, uint32_t n)
{
	struct frame_spec s = rig_spec(0, 1, 4, IPPROTO_UDP, 100);

	frame_build(&r->f, &s);
	le32_store(r->f.data + 60, n);
}

/* ---- Notifications ------------------------------------------------------------------------ */

/* The worker sleeps between frames: each has to wake it, and each reply has to wake us. */
static void no_notification_is_lost_when_everybody_sleeps(void **state)
{
	static const uint64_t features[] = {VU_FEATURES, VU_PLAIN};
	static const uint64_t spins[] = {0, 20000};

	(void)state;
	for (unsigned int k = 0; k < 4; k++) {
		struct rig_conf conf = {
			.workers = 2, .spin_ns = spins[k / 2], .client.features = features[k & 1]};
		struct rig *r = rig_start(&conf);
		struct vu_ring *tx = vu_txq(&r->c[0], 0);

		for (uint32_t i = 0; i < 2000; i++) {
			build(r, i);
			assert_int_equal(vu_tx_post(tx, r->f.data, r->f.len, NULL), 0);
			vu_kick(tx, false);
			rig_expect(r, 1, &r->f, NULL);
			assert_true(wait_until(vu_tx_reap(tx), WAIT_MS));
		}
		rig_stop(r);
	}
}

static void a_burst_costs_few_notifications(void **state)
{
	static const uint64_t features[] = {VU_FEATURES, VU_PLAIN};

	(void)state;
	for (unsigned int k = 0; k < 2; k++) {
		struct rig_conf conf = {.client.features = features[k]};
		struct rig *r = rig_start(&conf);
		struct vu_ring *tx = vu_txq(&r->c[0], 0);
		struct vhost_info info;

		vu_irq(vu_rxq(&r->c[1], 0), true);
		vu_irq(tx, false);
		fd_event_drain(tx->call);
		for (uint32_t i = 0; i < 100; i++) {
			build(r, i);
			assert_int_equal(vu_tx_post(tx, r->f.data, r->f.len, NULL), 0);
		}
		vu_kick(tx, false);
		assert_true(wait_until((vu_tx_reap(tx), tx->n_free == tx->num), WAIT_MS));
		info = rig_info(r, 1);
		/* With event indexes only the first entry was asked for. */
		assert_true(info.calls >= 1 && info.calls <= 4);
		/* Ours, and one of the receive ring from before it ran. */
		assert_in_range(rig_info(r, 0).kicks, 1, 2);
		/* Nobody wanted to hear of these. */
		assert_int_equal(rig_info(r, 0).calls, 0);
		assert_int_equal(read(tx->call, &(uint64_t){0}, 8), -1);
		rig_stop(r);
	}
}

static void a_guest_that_wants_no_interrupts_gets_none(void **state)
{
	static const uint64_t features[] = {VU_FEATURES, VU_PLAIN};

	(void)state;
	for (unsigned int k = 0; k < 2; k++) {
		struct rig_conf conf = {.client.features = features[k]};
		struct rig *r = rig_start(&conf);

		for (uint32_t i = 0; i < 50; i++) {
			vu_irq(vu_rxq(&r->c[1], 0), false);
			build(r, i);
			assert_int_equal(vu_tx(vu_txq(&r->c[0], 0), r->f.data, r->f.len, NULL), 0);
		}
		assert_int_equal(rig_info(r, 1).calls, 0);
		rig_stop(r);
	}
}

/* The guest names the entry it wants to hear of. */
static void the_used_event_is_kept_to_the_entry(void **state)
{
	struct rig *r = rig_start(NULL);
	struct vu_ring *rx = vu_rxq(&r->c[1], 0);

	(void)state;
	rx->avail->ring[rx->num] = 9;
	for (uint32_t i = 0; i < 20; i++) {
		build(r, i);
		assert_int_equal(vu_tx(vu_txq(&r->c[0], 0), r->f.data, r->f.len, NULL), 0);
		assert_int_equal(rig_info(r, 1).calls, i >= 9);
	}
	rig_stop(r);
}

/* A driver that has taken out everything asks for the next entry: nothing is left in the port. */
static void a_port_is_emptied_when_its_guest_waits_for_more(void **state)
{
	static const uint64_t features[] = {VU_FEATURES, VU_PLAIN};

	(void)state;
	for (unsigned int k = 0; k < 2; k++) {
		struct rig_conf conf = {.client.features = features[k]};
		struct rig *r = rig_start(&conf);
		struct vu_ring *rx = vu_rxq(&r->c[1], 0);
		struct vsw_port *port = vhost_port(r->v[1]);
		bool known = features[k] & VU_BIT(VIRTIO_RING_F_EVENT_IDX);

		vu_irq(rx, true);
		assert_true(port->ops->emptied(port));
		build(r, k);
		assert_int_equal(vu_tx(vu_txq(&r->c[0], 0), r->f.data, r->f.len, NULL), 0);
		/* Delivered, and still there; without event indices nobody knows. */
		assert_int_equal(port->ops->emptied(port), !known);
		assert_true(wait_until(vu_rx_poll(rx, r->g.data, FRAME_MAX, NULL, NULL), WAIT_MS));
		vu_irq(rx, true);
		assert_true(port->ops->emptied(port));
		rig_stop(r);
	}
}

static void a_ring_without_a_call_descriptor_works(void **state)
{
	struct rig *r = rig_start(NULL);
	uint64_t word = VHOST_USER_VRING_NOFD;
	int n = 0;

	(void)state;
	assert_int_equal(vu_ack(&r->c[1], VHOST_USER_SET_VRING_CALL, &word, 8, NULL, 0), 0);
	build(r, 1);
	assert_int_equal(vu_tx(vu_txq(&r->c[0], 0), r->f.data, r->f.len, NULL), 0);
	assert_true(wait_until(
		(n = vu_rx_poll(vu_rxq(&r->c[1], 0), r->g.data, FRAME_MAX, NULL, NULL)) != 0,
		WAIT_MS));
	assert_int_equal(n, r->f.len);
	rig_stop(r);
}

/* ---- Waiting ------------------------------------------------------------------------------ */

static void a_receiver_without_buffers_makes_the_sender_wait(void **state)
{
	static const unsigned int workers[] = {1, 2};

	(void)state;
	for (unsigned int k = 0; k < 4; k++) {
		struct rig_conf conf = {.workers = workers[k & 1],
					.port.hold_ms = 60000,
					.client = {.ring_size = 64,
						   .tx_slot = 4096,
						   .features = k & 2 ? VU_PLAIN : VU_FEATURES}};
		struct rig *r = rig_start(&conf);
		struct vu_ring *tx = vu_txq(&r->c[0], 0), *rx = vu_rxq(&r->c[1], 0);
		uint8_t buf[2048];

		/* 64 fill the receiver; the next 40 wait in the sender's ring. */
		for (uint32_t i = 0; i < 104; i++) {
			build(r, i);
			assert_true(wait_until((vu_tx_reap(tx), tx->n_free), WAIT_MS));
			assert_int_equal(vu_tx_post(tx, r->f.data, r->f.len, NULL), 0);
			vu_kick(tx, false);
		}
		assert_true(wait_until((vu_tx_reap(tx), tx->n_free == 24), WAIT_MS));
		assert_true(
			wait_until(atomic_load(&vhost_port(r->v[0])->stats.tx_waits) > 0, WAIT_MS));
		/* One by one: each buffer that is posted lets one frame through. */
		for (uint32_t i = 0; i < 104; i++) {
			int n = vu_rx_wait(rx, buf, sizeof(buf), NULL, WAIT_MS);

			assert_true(n > 0);
			assert_int_equal(le32_load(buf + 60), i);
			assert_int_equal(vu_rx_fill(rx, 1), 1);
		}
		assert_true(wait_until((vu_tx_reap(tx), tx->n_free == 64), WAIT_MS));
		assert_int_equal(rig_drops(r, 1, VSW_DROP_NO_BUFFER), 0);
		/* Counted when the wait is over, which the worker finds out after the frame is out. */
		assert_true(wait_until(rig_info(r, 0).tx_held_ns > 0, WAIT_MS));
		rig_stop(r);
	}
}

/* A packet that needs many buffers waits for the last of them. */
static void a_packet_waits_for_all_its_buffers(void **state)
{
	struct rig_conf conf = {.workers = 2,
				.port.hold_ms = 60000,
				.net_mtu = 65535,
				.client = {.no_fill = true, .rx_buf = 1024}};
	struct rig *r = rig_start(&conf);
	struct vu_ring *tx = vu_txq(&r->c[0], 0), *rx = vu_rxq(&r->c[1], 0);
	struct frame_spec s = rig_spec(0, 1, 4, IPPROTO_UDP, 9000);
	unsigned int need;

	(void)state;
	frame_build(&r->f, &s);
	need = (r->f.len + 12 + 1023) / 1024;
	assert_int_equal(vu_tx_post(tx, r->f.data, r->f.len, NULL), 0);
	vu_kick(tx, false);
	for (unsigned int i = 0; i < need; i++) {
		assert_int_equal(vu_rx_poll(rx, r->g.data, FRAME_MAX, NULL, NULL), 0);
		assert_int_equal(vu_rx_fill(rx, 1), 1);
	}
	assert_true(vu_rx_wait(rx, r->g.data, FRAME_MAX, NULL, WAIT_MS) > 0);
	rig_same_bytes(r->g.data, r->f.len, r->f.data, r->f.len);
	rig_stop(r);
}

/* A large packet that is cut goes on with the segment it stopped at. */
static void a_packet_that_is_cut_waits_in_the_middle(void **state)
{
	struct rig_conf conf = {.port.hold_ms = 60000};
	struct vu_conf plain = {.features = VU_PLAIN, .no_fill = true};
	struct rig *r = rig_start(&conf);
	struct vu_ring *tx = vu_txq(&r->c[0], 0), *rx;
	struct frame_spec s = rig_spec(0, 1, 4, IPPROTO_TCP, 14000);
	struct vu_tx owed = {.hdr = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
				     .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
				     .gso_size = le16_make(1400),
				     .csum_start = le16_make(34),
				     .csum_offset = le16_make(16)}};

	(void)state;
	rig_down(r, 1);
	rig_up(r, 1, &plain);
	rx = vu_rxq(&r->c[1], 0);
	frame_build(&r->f, &s);
	r->g = r->f;
	frame_make_partial(&r->g, true);
	assert_int_equal(vu_tx_post(tx, r->g.data, r->g.len, &owed), 0);
	vu_kick(tx, false);
	for (uint32_t i = 0; i < 10; i++) {
		static struct frame want;
		int n;

		assert_int_equal(vu_tx_reap(tx), 0);
		assert_int_equal(vu_rx_fill(rx, 1), 1);
		n = vu_rx_wait(rx, r->g.data, FRAME_MAX, NULL, WAIT_MS);
		assert_true(n > 0);
		assert_true(frame_segment(&r->f, 1400, i, &want));
		rig_same_bytes(r->g.data, (uint32_t)n, want.data, want.len);
	}
	assert_true(wait_until(vu_tx_reap(tx) == 1, WAIT_MS));
	rig_stop(r);
}

static void a_sender_waits_only_so_long(void **state)
{
	struct rig_conf conf = {.port.hold_ms = 5};
	struct vu_conf empty = {.no_fill = true};
	struct rig *r = rig_start(&conf);

	(void)state;
	rig_down(r, 1);
	rig_up(r, 1, &empty);
	for (uint32_t i = 0; i < 3; i++) {
		build(r, i);
		assert_int_equal(vu_tx(vu_txq(&r->c[0], 0), r->f.data, r->f.len, NULL), 0);
		assert_int_equal(rig_drops(r, 1, VSW_DROP_NO_BUFFER), i + 1);
	}
	/* Buffers end that, and the sender is patient again. */
	vu_rx_fill(vu_rxq(&r->c[1], 0), 256);
	rig_alive(r, 0, 1);
	rig_stop(r);
}

/* The receiver goes while somebody waits for it. */
static void a_receiver_that_stops_lets_its_senders_go(void **state)
{
	struct rig_conf conf = {.workers = 2, .port.hold_ms = 60000};
	struct vu_conf empty = {.no_fill = true};

	(void)state;
	for (unsigned int k = 0; k < 4; k++) {
		struct rig *r = rig_start(&conf);
		struct vu_ring *tx = vu_txq(&r->c[0], 0);
		uint16_t base;

		rig_down(r, 1);
		rig_up(r, 1, &empty);
		build(r, 1);
		assert_int_equal(vu_tx_post(tx, r->f.data, r->f.len, NULL), 0);
		vu_kick(tx, false);
		assert_true(wait_until(atomic_load(&vhost_port(r->v[0])->stats.tx_waits), WAIT_MS));
		if (k == 0)
			assert_int_equal(vu_ring_stop(vu_rxq(&r->c[1], 0), &base), 0);
		else if (k == 1)
			assert_int_equal(vu_ring_enable(vu_rxq(&r->c[1], 0), false), 0);
		else if (k == 2)
			rig_down(r, 1);
		else
			vhost_disconnect(r->v[1]);
		assert_true(wait_until(vu_tx_reap(tx) == 1, WAIT_MS));
		assert_int_equal(rig_drops(r, 1, VSW_DROP_LINK_DOWN), 1);
		rig_stop(r);
	}
}

/* The sender goes while it waits. */
static void a_sender_that_waits_may_go(void **state)
{
	struct rig_conf conf = {.workers = 2, .port.hold_ms = 60000};
	struct vu_conf empty = {.no_fill = true};
	struct rig *r = rig_start(&conf);
	struct vu_ring *tx = vu_txq(&r->c[0], 0);
	uint16_t base;

	(void)state;
	rig_down(r, 1);
	rig_up(r, 1, &empty);
	build(r, 7);
	assert_int_equal(vu_tx_post(tx, r->f.data, r->f.len, NULL), 0);
	vu_kick(tx, false);
	assert_true(wait_until(atomic_load(&vhost_port(r->v[0])->stats.tx_waits), WAIT_MS));
	/* Its packet has not gone: the index says so, and whoever takes the ring over sends it. */
	assert_int_equal(vu_ring_stop(tx, &base), 0);
	assert_int_equal(base, 0);
	assert_int_equal(vu_tx_reap(tx), 0);
	vu_rx_fill(vu_rxq(&r->c[1], 0), 256);
	assert_int_equal(vu_ring_start(tx, base), 0);
	rig_expect(r, 1, &r->f, NULL);
	rig_down(r, 0);
	rig_stop(r);
}

/* ---- Several queues
 * ------------------------------------------------------------------------------ */

static void flow(struct rig *r, unsigned int from, unsigned int to, uint16_t sport, uint16_t dport)
{
	struct frame_spec s = rig_spec(from, to, 4, IPPROTO_UDP, 60);

	s.sport = sport;
	s.dport = dport;
	frame_build(&r->f, &s);
}

/* Which queue of @to got the frame. */
static unsigned int arrived(struct rig *r, unsigned int to)
{
	struct vu *c = &r->c[to];
	unsigned int pair = 0;
	int n = 0;

	assert_true(wait_until(({
				       for (pair = 0; pair < c->conf.pairs && !n; pair++)
					       n = vu_rx_poll(vu_rxq(c, pair), r->g.data, FRAME_MAX,
							      NULL, NULL);
				       n;
			       }),
			       WAIT_MS));
	assert_int_equal(n, r->f.len);
	pair--;
	vu_rx_fill(vu_rxq(c, pair), 1);
	return pair;
}

static const struct rig_conf multi = {.port.max_queues = 8,
				      .client = {.pairs = 4, .ring_size = 64, .tx_slot = 4096}};

static void a_flow_comes_in_where_it_last_went_out(void **state)
{
	struct rig *r = rig_start(&multi);

	(void)state;
	for (uint16_t i = 0; i < 40; i++) {
		unsigned int pair = i % 4;

		/* Host 1 sends on this queue, host 0 answers. */
		flow(r, 1, 0, 1000 + i, 53);
		assert_int_equal(vu_tx(vu_txq(&r->c[1], pair), r->f.data, r->f.len, NULL), 0);
		arrived(r, 0);
		flow(r, 0, 1, 53, 1000 + i);
		for (unsigned int k = 0; k < 3; k++) {
			assert_int_equal(vu_tx(vu_txq(&r->c[0], k), r->f.data, r->f.len, NULL), 0);
			assert_int_equal(arrived(r, 1), pair);
		}
		/* It moves: so do the answers. */
		pair = (pair + 1) % 4;
		flow(r, 1, 0, 1000 + i, 53);
		assert_int_equal(vu_tx(vu_txq(&r->c[1], pair), r->f.data, r->f.len, NULL), 0);
		arrived(r, 0);
		flow(r, 0, 1, 53, 1000 + i);
		assert_int_equal(vu_tx(vu_txq(&r->c[0], 0), r->f.data, r->f.len, NULL), 0);
		assert_int_equal(arrived(r, 1), pair);
	}
	rig_stop(r);
}

static void flows_that_never_sent_spread_and_stay(void **state)
{
	struct rig *r = rig_start(&multi);
	unsigned int count[4] = {0};

	(void)state;
	for (uint16_t i = 0; i < 200; i++) {
		unsigned int pair;

		flow(r, 0, 1, i, 80);
		assert_int_equal(vu_tx(vu_txq(&r->c[0], i & 3), r->f.data, r->f.len, NULL), 0);
		pair = arrived(r, 1);
		count[pair]++;
		for (unsigned int k = 0; k < 3; k++) {
			assert_int_equal(vu_tx(vu_txq(&r->c[0], k), r->f.data, r->f.len, NULL), 0);
			assert_int_equal(arrived(r, 1), pair);
		}
	}
	for (unsigned int i = 0; i < 4; i++)
		assert_in_range(count[i], 25, 75);
	rig_stop(r);
}

static void only_running_queues_receive(void **state)
{
	struct rig *r = rig_start(&multi);

	(void)state;
	for (unsigned int off = 0; off < 4; off++) {
		unsigned int count[4] = {0};

		assert_int_equal(vu_ack_state(&r->c[1], VHOST_USER_SET_VRING_ENABLE, 2 * off, 0),
				 0);
		for (uint16_t i = 0; i < 60; i++) {
			flow(r, 0, 1, i, 80);
			assert_int_equal(vu_tx(vu_txq(&r->c[0], 0), r->f.data, r->f.len, NULL), 0);
			count[arrived(r, 1)]++;
		}
		for (unsigned int i = 0; i < 4; i++)
			assert_int_equal(count[i] == 0, i == off);
		assert_int_equal(vu_ack_state(&r->c[1], VHOST_USER_SET_VRING_ENABLE, 2 * off, 1),
				 0);
	}
	assert_int_equal(rig_info(r, 1).n_rxq, 4);
	rig_stop(r);
}

static void queues_are_counted_each(void **state)
{
	struct rig *r = rig_start(&multi);
	struct vhost_queue_info q[8];
	uint64_t rx = 0;

	(void)state;
	for (unsigned int k = 0; k < 4; k++)
		for (uint16_t i = 0; i <= k; i++) {
			flow(r, 0, 1, i, 80);
			assert_int_equal(vu_tx(vu_txq(&r->c[0], k), r->f.data, r->f.len, NULL), 0);
			arrived(r, 1);
		}
	assert_int_equal(vhost_get_queues(r->v[0], q, 8), 8);
	for (unsigned int k = 0; k < 8; k++) {
		assert_int_equal(q[k].index, k);
		assert_int_equal(q[k].tx_packets, k < 4 ? k + 1 : 0);
		assert_int_equal(q[k].tx_bytes, k < 4 ? (k + 1) * r->f.len : 0);
	}
	assert_int_equal(vhost_get_queues(r->v[1], q, 2), 8);
	vhost_get_queues(r->v[1], q, 8);
	for (unsigned int k = 0; k < 8; k++)
		rx += q[k].rx_packets;
	assert_int_equal(rx, 10);
	rig_stop(r);
}

/* Both directions, all queues, two workers, small rings. */
static void everything_at_once_loses_nothing(void **state)
{
	struct rig_conf conf = {.workers = 2,
				.port = {.max_queues = 4, .hold_ms = 60000},
				.client = {.pairs = 4, .ring_size = 16, .tx_slot = 4096}};
	struct rig *r = rig_start(&conf);
	unsigned int sent[2] = {0}, got[2] = {0}, n = 20000;
	uint64_t end = now_ns() + 100 * NSEC_PER_SEC;
	struct rng rng = {.s = 5};

	(void)state;
	while (got[0] < n || got[1] < n) {
		for (unsigned int i = 0; i < 2; i++) {
			unsigned int pair = rng_below(&rng, 4);
			struct vu_ring *tx = vu_txq(&r->c[i], pair);

			flow(r, i, !i, (uint16_t)rng_below(&rng, 50), 80);
			assert_true(vu_tx_reap(tx) >= 0);
			for (unsigned int k = 0; k < 8 && sent[i] < n; k++) {
				if (vu_tx_post(tx, r->f.data, r->f.len, NULL))
					break;
				sent[i]++;
			}
			vu_kick(tx, false);
			pair = rng_below(&rng, 4);
			for (;;) {
				struct vu_ring *rx = vu_rxq(&r->c[i], pair);
				int len = vu_rx_poll(rx, r->g.data, FRAME_MAX, NULL, NULL);

				assert_true(len >= 0);
				if (!len)
					break;
				assert_int_equal(len, r->f.len);
				got[i]++;
			}
			vu_rx_fill(vu_rxq(&r->c[i], pair), 16);
		}
		assert_true(now_ns() < end);
	}
	assert_int_equal(got[0], n);
	assert_int_equal(got[1], n);
	rig_stop(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_notification_is_lost_when_everybody_sleeps),
		cmocka_unit_test(a_burst_costs_few_notifications),
		cmocka_unit_test(a_guest_that_wants_no_interrupts_gets_none),
		cmocka_unit_test(the_used_event_is_kept_to_the_entry),
		cmocka_unit_test(a_port_is_emptied_when_its_guest_waits_for_more),
		cmocka_unit_test(a_ring_without_a_call_descriptor_works),
		cmocka_unit_test(a_receiver_without_buffers_makes_the_sender_wait),
		cmocka_unit_test(a_packet_waits_for_all_its_buffers),
		cmocka_unit_test(a_packet_that_is_cut_waits_in_the_middle),
		cmocka_unit_test(a_sender_waits_only_so_long),
		cmocka_unit_test(a_receiver_that_stops_lets_its_senders_go),
		cmocka_unit_test(a_sender_that_waits_may_go),
		cmocka_unit_test(a_flow_comes_in_where_it_last_went_out),
		cmocka_unit_test(flows_that_never_sent_spread_and_stay),
		cmocka_unit_test(only_running_queues_receive),
		cmocka_unit_test(queues_are_counted_each),
		cmocka_unit_test(everything_at_once_loses_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
