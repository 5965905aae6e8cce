/* SPDX-License-Identifier: BSD-2-Clause */
/* Claims about bandwidth at ports: what vsw_send() does with a sender that has too much. */
#include "nic_rig.h"

#include <string.h>
#include <time.h>

#include "base/util.h"
#include "vswitch/ports/loop.h"

#define N   64
#define LEN 1000 /* of payload; a frame has 42 bytes more */

static struct frame frame[N];
static struct pkt pkt[N], *pkts[N];

/* 1 Mbit/s: sixteen frames are the bucket, and all of them take a third of a second. */
static const struct shape_conf slow = {.max_mbps = 1};

static void make(unsigned int from, unsigned int to)
{
	for (unsigned int i = 0; i < N; i++) {
		frame_udp(&frame[i], from, to, LEN);
		pkt_of_frame(&pkt[i], &frame[i], 0);
		pkts[i] = &pkt[i];
	}
}

static uint64_t delayed(struct vsw_port *p)
{
	return atomic_load(&p->stats.tx_delayed);
}

static uint64_t delayed_ns(struct vsw_port *p)
{
	return atomic_load(&p->stats.tx_delayed_ns);
}

/* Comes again when it was told to, until all has gone. How often it was refused. */
static unsigned int send_the_rest(struct vsw_port *port, unsigned int done)
{
	unsigned int refused = 0;

	while (done < N) {
		unsigned int n = vsw_send(port, pkts + done, N - done);

		done += n;
		if (done == N)
			break;
		assert_null(pkt[done].waits_for);
		assert_true(pkt[done].delay.until);
		refused++;
		while (now_ns() < pkt[done].delay.until)
			nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
	}
	return refused;
}

static void what_is_too_much_waits_and_is_not_lost(void **state)
{
	unsigned int n;

	(void)state;
	peer.port.delays = true;
	vsw_port_shape_set(&peer.port, &slow);
	assert_int_equal(vsw_port_shape(&peer.port).max_mbps, 1);
	make(PEER, NIC);
	n = vsw_send(&peer.port, pkts, N);
	assert_in_range(n, 16, N - 1);
	assert_null(pkt[n].waits_for);
	assert_true(pkt[n].delay.until);
	assert_int_equal(delayed(&peer.port), 1);
	assert_int_equal(delayed_ns(&peer.port), 0);
	assert_int_equal(atomic_load(&peer.port.stats.tx_packets), n);
	assert_true(send_the_rest(&peer.port, n) >= 1);
	assert_int_equal(path[0].frames, N);
	assert_int_equal(atomic_load(&peer.port.stats.tx_packets), N);
	assert_int_equal(tx_drops(&peer.port, VSW_DROP_RATE), 0);
	/* It was refused again and again, but is one packet. */
	assert_in_range(delayed(&peer.port), 1, N);
	assert_true(delayed_ns(&peer.port) > 0);
	/* Nobody waits for a receiver. */
	assert_int_equal(atomic_load(&peer.port.stats.tx_waits), 0);
}

static void without_a_limit_nothing_is_asked(void **state)
{
	(void)state;
	peer.port.delays = true;
	assert_false(atomic_load(&peer.port.shaped));
	vsw_port_shape_set(&peer.port, &slow);
	assert_true(atomic_load(&peer.port.shaped));
	vsw_port_shape_set(&peer.port, &(struct shape_conf){0});
	assert_false(atomic_load(&peer.port.shaped));
	make(PEER, NIC);
	assert_int_equal(vsw_send(&peer.port, pkts, N), N);
	assert_int_equal(delayed(&peer.port), 0);
}

static void who_cannot_wait_loses_it(void **state)
{
	uint64_t lost;

	(void)state;
	vsw_port_shape_set(&peer.port, &slow);
	make(PEER, NIC);
	assert_int_equal(vsw_send(&peer.port, pkts, N), N);
	lost = tx_drops(&peer.port, VSW_DROP_RATE);
	assert_in_range(lost, 1, N - 16);
	assert_int_equal(path[0].frames, N - lost);
	assert_int_equal(delayed(&peer.port), 0);
	/* Counted as sent, like everything that left its guest. */
	assert_int_equal(atomic_load(&peer.port.stats.tx_packets), N);
}

static void a_loop_answers_with_what_it_may(void **state)
{
	struct loop_port loop = {0};
	uint8_t mac[6];
	uint64_t lost;

	(void)state;
	frame_mac(mac, 9);
	loop_port_init(&loop, "loop", mac);
	assert_int_equal(vsw_port_attach(net, &loop.port), 0);
	vsw_port_shape_set(&loop.port, &slow);
	make(PEER, 9);
	assert_int_equal(vsw_send(&peer.port, pkts, N), N);
	lost = tx_drops(&loop.port, VSW_DROP_RATE);
	assert_in_range(lost, 1, N - 16);
	assert_int_equal(peer.frames, N - lost);
	vsw_port_detach(&loop.port);
}

/* A vNIC's limit holds on each of its paths, and both count. */
static void a_vnic_has_one_limit_for_all_paths(void **state)
{
	unsigned int first, n;

	(void)state;
	path[0].port.delays = path[1].port.delays = true;
	vsw_port_shape_set(outer, &slow);
	make(NIC, PEER);
	first = vsw_send(&path[0].port, pkts, N);
	assert_in_range(first, 16, N - 1);
	/* The other path has nothing left, and stands behind the first. */
	make(NIC, PEER);
	n = vsw_send(&path[1].port, pkts, N);
	assert_true(n < N - first);
	assert_int_equal(delayed(outer), 2);
	assert_int_equal(delayed(&path[0].port), 1);
	assert_int_equal(delayed(&path[1].port), 1);
	/* Removed, and who waited goes on. */
	vsw_port_shape_set(outer, &(struct shape_conf){0});
	assert_int_equal(vsw_send(&path[1].port, pkts + n, N - n), N - n);
}

static void a_path_may_have_a_limit_of_its_own(void **state)
{
	static struct test_port third;
	unsigned int n;

	(void)state;
	path[0].port.delays = path[1].port.delays = true;
	assert_false(atomic_load(&outer->shaped));
	vsw_port_shape_set(&path[0].port, &slow);
	assert_true(atomic_load(&outer->shaped));
	make(NIC, PEER);
	n = vsw_send(&path[0].port, pkts, N);
	assert_in_range(n, 16, N - 1);
	make(NIC, PEER);
	assert_int_equal(vsw_send(&path[1].port, pkts, N), N);
	/* One that brings its limit along. */
	drop_nic();
	test_port_init(&third, NIC);
	third.port.delays = true;
	vsw_port_shape_set(&third.port, &slow);
	make_nic(NULL);
	assert_false(atomic_load(&outer->shaped));
	assert_int_equal(vsw_nic_path_add(nic, &third.port), 0);
	make(NIC, PEER);
	assert_in_range(vsw_send(&third.port, pkts, N), 16, N - 1);
	vsw_nic_path_del(nic, &third.port);
	test_port_clear(&third);
}

static void a_network_has_a_bandwidth_for_its_vnics(void **state)
{
	unsigned int n;

	(void)state;
	path[0].port.delays = true;
	vsw_net_rate_set(net, 1);
	assert_int_equal(vsw_net_rate(net), 1);
	make(NIC, PEER);
	n = vsw_send(&path[0].port, pkts, N);
	assert_true(n < N);
	assert_int_equal(delayed(outer), 1);
	/* What comes from elsewhere is nobody's share. */
	assert_false(atomic_load(&peer.port.shaped));
	make(PEER, NIC);
	assert_int_equal(vsw_send(&peer.port, pkts, N), N);
	/* Who comes later is limited too, and who leaves is not. */
	vsw_port_detach(outer);
	assert_int_equal(vsw_net_rate(net), 1);
	assert_int_equal(vsw_port_attach(net, outer), 0);
	make(NIC, PEER);
	assert_true(vsw_send(&path[0].port, pkts, N) < N);
	vsw_net_rate_set(net, 0);
	make(NIC, PEER);
	assert_int_equal(vsw_send(&path[0].port, pkts, N), N);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(what_is_too_much_waits_and_is_not_lost),
		T(without_a_limit_nothing_is_asked),
		T(who_cannot_wait_loses_it),
		T(a_loop_answers_with_what_it_may),
		T(a_vnic_has_one_limit_for_all_paths),
		T(a_path_may_have_a_limit_of_its_own),
		T(a_network_has_a_bandwidth_for_its_vnics),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
