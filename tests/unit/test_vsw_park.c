/* SPDX-License-Identifier: BSD-2-Clause */
/* Claims about vswitch/nic.c: what comes while no path receives is parked. A real worker hands
 * over. */
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "nic_rig.h"

/* ---- Parking ------------------------------------------------------------------------------ */

static void parked_frames_come_first_and_in_order(void **state)
{
	struct vsw_nic_info i;

	(void)state;
	vsw_nic_receive(nic, NULL, true);
	assert_true(vsw_port_takes(outer));
	send_numbers(0, 40);
	i = info();
	assert_int_equal(i.parked, 40);
	assert_int_equal(i.parked_now, 40);
	assert_true(i.parked_bytes_now > 40 * 60);
	assert_int_equal(atomic_load(&outer->stats.rx_packets), 0);
	vsw_nic_receive(nic, &path[1].port, true);
	send_numbers(40, 40);
	expect_numbers(&path[1], 0, 80);
	assert_int_equal(kept(&path[0]), 0);
	assert_true(wait_until(!info().parked_now, WAIT_MS));
	i = info();
	assert_int_equal(i.parked_bytes_now, 0);
	assert_int_equal(i.park_lost, 0);
	assert_true(i.park_longest_ns > 0);
	assert_int_equal(atomic_load(&outer->stats.rx_packets), 80);
	assert_int_equal(atomic_load(&path[1].port.stats.rx_packets), 80);
	assert_int_equal(drops(outer, VSW_DROP_LINK_DOWN), 0);
	/* From here on nothing is copied any more. */
	test_port_clear(&path[1]);
	send_numbers(80, 1);
	assert_int_equal(kept(&path[1]), 1);
}

static void parked_frames_go_when_the_chosen_path_begins_to_receive(void **state)
{
	(void)state;
	atomic_store(&path[0].port.receiving, false);
	vsw_nic_receive(nic, &path[0].port, true);
	send_numbers(0, 3);
	flush();
	assert_int_equal(kept(&path[0]), 0);
	/* As a device does it: the word, then the wake. */
	atomic_store(&path[0].port.receiving, true);
	vsw_port_wake(&path[0].port);
	expect_numbers(&path[0], 0, 3);
}

static void a_flood_is_parked_too(void **state)
{
	(void)state;
	vsw_nic_receive(nic, NULL, true);
	send_one(&peer, PEER, 0, 0);
	send_one(&path[0], NIC, 0, 1); /* its own: not */
	assert_int_equal(info().parked_now, 1);
	vsw_nic_receive(nic, &path[0].port, false);
	expect_numbers(&path[0], 0, 1);
}

static void receive_turned_off_in_a_delivery_parks_the_rest(void **state)
{
	(void)state;
	vsw_nic_receive(nic, &path[0].port, true);
	path[0].stop_after = 2;
	send_numbers(0, 5);
	expect_numbers(&path[0], 0, 2);
	assert_int_equal(info().parked, 3);
	assert_int_equal(atomic_load(&peer.port.stats.tx_waits), 0);
	vsw_nic_receive(nic, &path[1].port, true);
	expect_numbers(&path[1], 2, 3);
	assert_int_equal(atomic_load(&outer->stats.rx_packets), 5);
}

static void the_worker_waits_for_buffers(void **state)
{
	(void)state;
	vsw_nic_receive(nic, NULL, true);
	send_numbers(0, 50);
	path[0].room = 0;
	vsw_nic_receive(nic, &path[0].port, true);
	for (unsigned int n = 0; n < 50; n += 5) {
		flush();
		assert_int_equal(kept(&path[0]), n);
		test_port_refill(&path[0], 5);
		assert_true(wait_until(kept(&path[0]) == n + 5, WAIT_MS));
	}
	expect_numbers(&path[0], 0, 50);
	/* A sender that comes meanwhile stays behind. */
	vsw_nic_receive(nic, NULL, true);
	send_numbers(50, 1);
	vsw_nic_receive(nic, &path[0].port, false);
	flush();
	send_numbers(51, 1);
	assert_int_equal(info().parked_now, 2);
	test_port_refill(&path[0], 10);
	expect_numbers(&path[0], 0, 52);
}

/* A TCP packet of 10 segments from the peer to the vNIC; @f stays its memory. */
static void big_packet(struct frame *f, struct pkt *pkt)
{
	struct frame_spec s = {.ip = 4,
			       .proto = IPPROTO_TCP,
			       .sport = 1,
			       .dport = 2,
			       .payload_len = 10000,
			       .tcp_flags = 0x18};

	frame_addr(&s, PEER, NIC);
	frame_build(f, &s);
	pkt_of_frame(pkt, f, 999);
	pkt->flags = PKT_GSO_TCP;
	pkt->gso_size = 1000;
}

/* The segments [first, last) of @f lie in @t from @at on. */
static void expect_segments(struct test_port *t, unsigned int at, const struct frame *f,
			    uint32_t first, uint32_t last)
{
	static struct frame seg;

	for (uint32_t i = first; i < last; i++, at++) {
		assert_true(frame_segment(f, 1000, i, &seg));
		assert_true(wait_until(kept(t) > at, WAIT_MS));
		assert_int_equal(t->frame[at].len, seg.len);
		assert_memory_equal(t->frame[at].data, seg.data, seg.len);
	}
}

static void debts_survive_parking(void **state)
{
	static struct frame f;
	struct pkt pkt, *p = &pkt;

	(void)state;
	big_packet(&f, &pkt);
	vsw_nic_receive(nic, NULL, true);
	assert_int_equal(vsw_send(&peer.port, &p, 1), 1);
	/* The sender has its memory back. */
	memset(f.data, 0xee, f.len);
	big_packet(&f, &pkt);
	pkt.flags |= PKT_VLAN;
	pkt.vlan_tci = 0x2005;
	assert_int_equal(vsw_send(&peer.port, &p, 1), 1);
	atomic_store(&path[0].port.caps, VSW_CAP_VLAN);
	vsw_nic_receive(nic, &path[0].port, false);
	expect_segments(&path[0], 0, &f, 0, 10);
	expect_segments(&path[0], 10, &f, 0, 10);
	assert_int_equal(path[0].frame[9].flags & PKT_VLAN, 0);
	assert_int_equal(path[0].frame[10].flags & PKT_VLAN, PKT_VLAN);
	assert_int_equal(path[0].frame[10].vlan_tci, 0x2005);
	/* One that takes large packets gets it whole. */
	vsw_nic_receive(nic, NULL, true);
	big_packet(&f, &pkt);
	assert_int_equal(vsw_send(&peer.port, &p, 1), 1);
	atomic_store(&path[1].port.caps, VSW_CAP_CSUM | VSW_CAP_TSO4);
	vsw_nic_receive(nic, &path[1].port, false);
	assert_true(wait_until(kept(&path[1]) == 1, WAIT_MS));
	assert_int_equal(path[1].frame[0].len, f.len);
	assert_int_equal(path[1].frame[0].gso_size, 1000);
}

static void a_packet_delivered_in_part_goes_on_elsewhere(void **state)
{
	static struct frame f;
	struct pkt pkt, *p = &pkt;

	(void)state;
	big_packet(&f, &pkt);
	vsw_nic_receive(nic, &path[0].port, true);
	path[0].stop_after = 3;
	assert_int_equal(vsw_send(&peer.port, &p, 1), 1);
	expect_segments(&path[0], 0, &f, 0, 3);
	/* Then from the park: three to the other one, which has no more buffers, then back. */
	path[1].room = 3;
	vsw_nic_receive(nic, &path[1].port, true);
	expect_segments(&path[1], 0, &f, 3, 6);
	flush();
	atomic_store(&path[0].port.receiving, true);
	vsw_nic_receive(nic, &path[0].port, true);
	expect_segments(&path[0], 3, &f, 6, 10);
	assert_int_equal(kept(&path[0]), 7);
	assert_int_equal(kept(&path[1]), 3);
	assert_int_equal(atomic_load(&outer->stats.rx_packets), 10);
	assert_int_equal(atomic_load(&peer.port.stats.tx_packets), 10);
}

static void the_rest_of_a_packet_that_is_dropped_is_counted_in_frames(void **state)
{
	static struct frame f;
	struct pkt pkt, *p = &pkt;

	(void)state;
	big_packet(&f, &pkt);
	vsw_nic_receive(nic, &path[0].port, true);
	path[0].stop_after = 3;
	assert_int_equal(vsw_send(&peer.port, &p, 1), 1);
	vsw_nic_receive(nic, NULL, false);
	assert_true(wait_until(drops(outer, VSW_DROP_LINK_DOWN) == 7, WAIT_MS));
	assert_int_equal(info().park_lost, 1);
}

static void small_park(struct vsw_nic_conf *conf)
{
	conf->park_bytes = 4096;
}

static void small_and_short(struct vsw_nic_conf *conf)
{
	conf->park_bytes = 4096;
	conf->park_ms = 700;
}

/*
 * A frame of which the parser had only the Ethernet header: opaque, so it passed. The parked copy
 * shows all of it, and its IP header lies.
 */
static void send_with_a_hidden_lie(void)
{
	static struct frame f;
	static struct pkt pkt;
	struct pkt *pkts[] = {&pkt};

	frame_udp(&f, PEER, NIC, 200);
	f.data[14] = 0x35;
	pkt_of_frame(&pkt, &f, 0);
	pkt.hdr_len = 14;
	pkt.piece[0] = (struct pkt_piece){f.data + 14, f.len - 14};
	pkt.n_pieces = 1;
	assert_int_equal(vsw_send(&peer.port, pkts, 1), 1);
}

static void a_parked_frame_that_turns_out_malformed_is_dropped(void **state)
{
	(void)state;
	vsw_nic_receive(nic, NULL, true);
	send_with_a_hidden_lie();
	send_numbers(0, 3);
	send_with_a_hidden_lie();
	send_with_a_hidden_lie();
	send_numbers(3, 20);
	assert_int_equal(info().parked_now, 26);
	vsw_nic_receive(nic, &path[0].port, true);
	expect_numbers(&path[0], 0, 23);
	assert_true(wait_until(!info().parked_now, WAIT_MS));
	assert_int_equal(drops(outer, VSW_DROP_MALFORMED), 3);
	assert_int_equal(info().park_lost, 3);
	assert_int_equal(info().parked_bytes_now, 0);
	/* The same when it is dropped anyway. */
	vsw_nic_receive(nic, NULL, true);
	send_with_a_hidden_lie();
	vsw_nic_receive(nic, NULL, false);
	assert_true(wait_until(!info().parked_now, WAIT_MS));
	flush();
	assert_int_equal(drops(outer, VSW_DROP_MALFORMED), 4);
}

static void a_full_park_makes_the_sender_wait(void **state)
{
	uint32_t n = 0;

	(void)state;
	drop_nic();
	make_nic(small_park);
	vsw_nic_receive(nic, NULL, true);
	while (send_flags(&peer, PEER, NIC, n, 0) == 1 && n < 100)
		n++;
	assert_true(n > 10 && n < 100);
	assert_true(info().parked_bytes_now <= 4096);
	assert_int_equal(atomic_load(&peer.port.stats.tx_waits), 1);
	/* Who does not wait is dropped, at the vNIC: no path had a say. */
	assert_int_equal(send_flags(&peer, PEER, NIC, n, PKT_NO_WAIT), 1);
	assert_int_equal(drops(outer, VSW_DROP_NO_BUFFER), 1);
	assert_int_equal(drops(&path[0].port, VSW_DROP_NO_BUFFER), 0);
	assert_int_equal(info().parked_now, n);
	vsw_nic_receive(nic, &path[0].port, true);
	expect_numbers(&path[0], 0, n);
}

struct waiting {
	struct vsw_waiter w;
	struct test_port port;
	_Atomic unsigned int wakes, sent;
	bool waits;
};

static void count_wake(struct vsw_waiter *w)
{
	atomic_fetch_add(&((struct waiting *)w->arg)->wakes, 1);
}

/* On the worker: sends to the vNIC until it is told to wait, then waits. */
static void send_and_wait(void *arg)
{
	struct waiting *x = arg;

	while (send_flags(&x->port, 5, NIC, atomic_load(&x->sent), 0) == 1)
		atomic_fetch_add(&x->sent, 1);
	x->waits = vsw_wait(&x->w, outer);
}

static void cancel_wait(void *arg)
{
	vsw_wait_cancel(&((struct waiting *)arg)->w);
}

static void who_waits_for_a_vnic_is_woken_by(void (*what)(void))
{
	struct waiting *x = calloc(1, sizeof(*x));

	test_port_init(&x->port, 5);
	assert_int_equal(vsw_port_attach(net, &x->port.port), 0);
	x->w = (struct vsw_waiter){.wake = count_wake, .arg = x, .worker = worker};
	worker_call(worker, send_and_wait, x);
	assert_true(x->waits);
	flush();
	assert_int_equal(atomic_load(&x->wakes), 0);
	what();
	assert_true(wait_until(atomic_load(&x->wakes) == 1, WAIT_MS));
	worker_call(worker, cancel_wait, x);
	vsw_port_detach(&x->port.port);
	test_port_clear(&x->port);
	free(x);
}

static void new_buffers(void)
{
	test_port_refill(&path[0], 1);
}

static void another_path(void)
{
	vsw_nic_receive(nic, &path[1].port, true);
}

static void receive_off(void)
{
	atomic_store(&path[0].port.receiving, false);
	vsw_port_wake(&path[0].port);
}

static void just_time(void)
{
}

static void path_gone(void)
{
	vsw_nic_path_del(nic, &path[0].port);
}

static void link_down(void)
{
	vsw_nic_link_set(nic, false);
}

static void whatever_changes_wakes_waiting_senders(void **state)
{
	void (*const changes[])(void) = {new_buffers, another_path, receive_off, link_down,
					 path_gone};

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(changes); i++) {
		path[0].room = 3;
		path[0].keep = false;
		atomic_store(&path[0].port.receiving, true);
		vsw_nic_link_set(nic, true);
		vsw_nic_receive(nic, &path[0].port, false);
		who_waits_for_a_vnic_is_woken_by(changes[i]);
	}
}

static void room_in_the_park_wakes_waiting_senders(void **state)
{
	(void)state;
	drop_nic();
	make_nic(small_park);
	vsw_nic_receive(nic, NULL, true);
	who_waits_for_a_vnic_is_woken_by(another_path);
}

static void choose_then_send_and_wait(void *arg)
{
	vsw_nic_receive(nic, &path[0].port, true);
	send_and_wait(arg);
}

static void what_is_handed_over_makes_room(void **state)
{
	struct waiting *x = calloc(1, sizeof(*x));

	(void)state;
	drop_nic();
	make_nic(small_park);
	test_port_init(&x->port, 5);
	assert_int_equal(vsw_port_attach(net, &x->port.port), 0);
	x->w = (struct vsw_waiter){.wake = count_wake, .arg = x, .worker = worker};
	vsw_nic_receive(nic, NULL, true);
	worker_call(worker, send_and_wait, x);
	worker_call(worker, cancel_wait, x);
	/* Still full when it asks again, after the change of path: only the room is left to tell.
	 */
	worker_call(worker, choose_then_send_and_wait, x);
	assert_true(x->waits);
	assert_true(wait_until(atomic_load(&x->wakes) == 1, WAIT_MS));
	worker_call(worker, cancel_wait, x);
	assert_int_equal(kept(&path[0]), atomic_load(&x->sent));
	vsw_port_detach(&x->port.port);
	test_port_clear(&x->port);
	free(x);
}

static void time_makes_room_too(void **state)
{
	(void)state;
	drop_nic();
	make_nic(small_and_short);
	vsw_nic_receive(nic, NULL, true);
	who_waits_for_a_vnic_is_woken_by(just_time);
}

static void short_stay(struct vsw_nic_conf *conf)
{
	conf->park_ms = 5;
}

static void a_parked_frame_does_not_stay_for_ever(void **state)
{
	(void)state;
	drop_nic();
	make_nic(short_stay);
	vsw_nic_receive(nic, NULL, true);
	send_numbers(0, 3);
	assert_true(wait_until(drops(outer, VSW_DROP_LINK_DOWN) == 3, WAIT_MS));
	assert_int_equal(info().park_lost, 3);
	assert_int_equal(info().parked_now, 0);
	/* With a path that takes but has no buffer it is for want of one. */
	path[0].room = 0;
	send_numbers(3, 1);
	vsw_nic_receive(nic, &path[0].port, true);
	assert_true(wait_until(
		drops(outer, VSW_DROP_NO_BUFFER) + drops(outer, VSW_DROP_LINK_DOWN) == 4, WAIT_MS));
	assert_int_equal(info().park_lost, 4);
	/* And the way is free again. */
	test_port_refill(&path[0], 1);
	send_numbers(4, 1);
	expect_numbers(&path[0], 4, 1);
}

static void switching_parking_off_drops_what_is_parked(void **state)
{
	(void)state;
	vsw_nic_receive(nic, NULL, true);
	send_numbers(0, 3);
	vsw_nic_receive(nic, NULL, false);
	/* Meant for the bin, also when a path comes before the worker had a look. */
	vsw_nic_receive(nic, &path[0].port, true);
	assert_true(wait_until(drops(outer, VSW_DROP_LINK_DOWN) == 3, WAIT_MS));
	assert_int_equal(kept(&path[0]), 0);
	assert_int_equal(info().park_lost, 3);
	send_numbers(3, 2);
	expect_numbers(&path[0], 3, 2);
}

static void a_path_chosen_without_parking_still_gets_what_was_parked(void **state)
{
	(void)state;
	vsw_nic_receive(nic, NULL, true);
	send_numbers(0, 3);
	vsw_nic_receive(nic, &path[1].port, false);
	expect_numbers(&path[1], 0, 3);
	assert_int_equal(drops(outer, VSW_DROP_LINK_DOWN), 0);
}

static void removing_the_receiving_path_parks_on(void **state)
{
	(void)state;
	vsw_nic_receive(nic, &path[0].port, true);
	vsw_nic_path_del(nic, &path[0].port);
	assert_null(info().path);
	assert_true(info().park);
	send_numbers(0, 2);
	vsw_nic_receive(nic, &path[1].port, true);
	expect_numbers(&path[1], 0, 2);
	/* One that does not receive may go unnoticed. */
	assert_int_equal(vsw_nic_path_add(nic, &path[0].port), 0);
	vsw_nic_path_del(nic, &path[0].port);
	assert_ptr_equal(info().path, &path[1].port);
}

static void parked_frames_stay_while_the_vnics_link_is_down(void **state)
{
	(void)state;
	vsw_nic_receive(nic, NULL, true);
	send_numbers(0, 2);
	vsw_nic_link_set(nic, false);
	vsw_nic_receive(nic, &path[0].port, true);
	flush();
	assert_int_equal(kept(&path[0]), 0);
	vsw_nic_link_set(nic, true);
	expect_numbers(&path[0], 0, 2);
}

static void detaching_drops_what_is_parked(void **state)
{
	(void)state;
	vsw_nic_receive(nic, NULL, true);
	send_numbers(0, 3);
	vsw_port_detach(outer);
	assert_true(wait_until(drops(outer, VSW_DROP_LINK_DOWN) == 3, WAIT_MS));
	assert_int_equal(vsw_port_attach(net, outer), 0);
	vsw_nic_receive(nic, &path[0].port, true);
	send_numbers(3, 1);
	expect_numbers(&path[0], 3, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(parked_frames_come_first_and_in_order),
		T(parked_frames_go_when_the_chosen_path_begins_to_receive),
		T(a_flood_is_parked_too),
		T(receive_turned_off_in_a_delivery_parks_the_rest),
		T(the_worker_waits_for_buffers),
		T(debts_survive_parking),
		T(a_packet_delivered_in_part_goes_on_elsewhere),
		T(the_rest_of_a_packet_that_is_dropped_is_counted_in_frames),
		T(a_parked_frame_that_turns_out_malformed_is_dropped),
		T(a_full_park_makes_the_sender_wait),
		T(whatever_changes_wakes_waiting_senders),
		T(room_in_the_park_wakes_waiting_senders),
		T(what_is_handed_over_makes_room),
		T(time_makes_room_too),
		T(a_parked_frame_does_not_stay_for_ever),
		T(switching_parking_off_drops_what_is_parked),
		T(a_path_chosen_without_parking_still_gets_what_was_parked),
		T(removing_the_receiving_path_parks_on),
		T(parked_frames_stay_while_the_vnics_link_is_down),
		T(detaching_drops_what_is_parked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
