/* SPDX-License-Identifier: BSD-2-Clause */
/* Claims about vswitch/nic.c: one address, several paths, one of which receives. */
#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "nic_rig.h"

/* ---- One address, several paths ----------------------------------------------------------- */

static void a_path_sends_in_the_name_of_its_vnic(void **state)
{
	struct vsw_fdb_entry e[8];
	bool found = false;
	size_t n;

	(void)state;
	for (unsigned int i = 0; i < 2; i++)
		send_one(&path[i], NIC, PEER, i);
	expect_numbers(&peer, 0, 2);
	assert_int_equal(atomic_load(&outer->stats.tx_packets), 2);
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(atomic_load(&path[i].port.stats.tx_packets), 1);
		assert_int_equal(atomic_load(&path[i].port.stats.tx_bytes), peer.frame[i].len);
	}
	/* Another source address behind a path is learned behind the vNIC. */
	send_one(&path[1], 77, PEER, 2);
	n = vsw_net_fdb(net, e, ARRAY_SIZE(e));
	for (size_t i = 0; i < n && i < ARRAY_SIZE(e); i++)
		found |= !e[i].fixed && !strcmp(e[i].port, "vm2/eth0");
	assert_true(found);
	send_one(&peer, PEER, 77, 3);
	expect_numbers(&path[0], 3, 1);
	assert_int_equal(kept(&path[1]), 0);
}

static void only_the_chosen_path_receives(void **state)
{
	(void)state;
	send_numbers(0, 2);
	vsw_nic_receive(nic, &path[1].port, false);
	send_numbers(2, 3);
	vsw_nic_receive(nic, &path[0].port, false);
	send_numbers(5, 1);
	assert_int_equal(kept(&path[0]), 3);
	assert_int_equal(number_of(&path[0], 2), 5);
	expect_numbers(&path[1], 2, 3);
	assert_int_equal(atomic_load(&outer->stats.rx_packets), 6);
	assert_int_equal(atomic_load(&path[0].port.stats.rx_packets), 3);
	assert_int_equal(atomic_load(&path[1].port.stats.rx_packets), 3);
	assert_int_equal(atomic_load(&outer->stats.rx_bytes),
			 atomic_load(&path[0].port.stats.rx_bytes) +
				 atomic_load(&path[1].port.stats.rx_bytes));
	assert_int_equal(info().switches, 3);
	assert_ptr_equal(info().path, &path[0].port);
	assert_int_equal(info().parked, 0);
}

static void a_flood_reaches_the_chosen_path_and_never_its_own_vnic(void **state)
{
	(void)state;
	send_one(&peer, PEER, 0, 0);
	expect_numbers(&path[0], 0, 1);
	assert_int_equal(kept(&path[1]), 0);
	/* Sent by the path that does not receive: the other one must not get it. */
	send_one(&path[1], NIC, 0, 1);
	assert_int_equal(kept(&path[0]), 1);
	assert_int_equal(kept(&peer), 1);
	assert_int_equal(kept(&other), 2);
}

static void a_frame_to_the_own_vnic_is_same_port(void **state)
{
	(void)state;
	send_one(&path[1], NIC, NIC, 0);
	assert_int_equal(kept(&path[0]), 0);
	assert_int_equal(tx_drops(outer, VSW_DROP_SAME_PORT), 1);
	assert_int_equal(tx_drops(&path[1].port, VSW_DROP_SAME_PORT), 1);
	assert_int_equal(tx_drops(&path[0].port, VSW_DROP_SAME_PORT), 0);
}

static void an_invalid_source_is_refused_on_a_path_too(void **state)
{
	struct frame f;
	struct pkt pkt, *p = &pkt;

	(void)state;
	frame_udp(&f, NIC, PEER, 20);
	f.data[6] |= 1;
	pkt_of_frame(&pkt, &f, 0);
	assert_int_equal(vsw_send(&path[0].port, &p, 1), 1);
	assert_int_equal(tx_drops(outer, VSW_DROP_SRC_INVALID), 1);
	assert_int_equal(kept(&peer), 0);
}

static void a_path_belongs_to_one_place_at_a_time(void **state)
{
	struct vsw_nic_conf conf = nic_conf(9);
	struct test_port more[3];
	struct vsw_nic *second;

	(void)state;
	second = vsw_nic_new(&conf);
	assert_non_null(second);
	assert_int_equal(vsw_nic_path_add(second, &path[0].port), -EBUSY);
	assert_int_equal(vsw_nic_path_add(second, &peer.port), -EBUSY);
	assert_int_equal(vsw_nic_path_add(second, outer), -EBUSY);
	assert_int_equal(vsw_port_attach(net, &path[0].port), -EBUSY);
	for (unsigned int i = 0; i < 3; i++) {
		test_port_init(&more[i], NIC);
		assert_int_equal(vsw_nic_path_add(nic, &more[i].port), i < 2 ? 0 : -ENOSPC);
	}
	assert_ptr_equal(vsw_nic_of(&more[0].port), nic);
	assert_null(vsw_nic_of(&more[2].port));
	vsw_nic_path_del(nic, &more[0].port);
	vsw_nic_path_del(nic, &more[1].port);
	assert_null(vsw_nic_of(&more[0].port));
	/* Free again for somebody else. */
	assert_int_equal(vsw_nic_path_add(second, &more[0].port), 0);
	vsw_nic_path_del(second, &more[0].port);
	vsw_nic_free(second);
	vsw_nic_free(NULL);
}

static void a_bad_configuration_is_refused(void **state)
{
	struct vsw_nic_conf conf = nic_conf(9);

	(void)state;
	conf.name = "";
	assert_null(vsw_nic_new(&conf));
	assert_int_equal(errno, EINVAL);
	conf = nic_conf(9);
	conf.name = NULL;
	assert_null(vsw_nic_new(&conf));
	conf = nic_conf(9);
	conf.worker = NULL;
	assert_null(vsw_nic_new(&conf));
	conf = nic_conf(9);
	conf.mac[0] |= 1;
	assert_null(vsw_nic_new(&conf));
}

static void set_mtu(struct vsw_nic_conf *conf)
{
	conf->mtu = 1300;
}

static void a_path_without_an_mtu_has_the_vnics(void **state)
{
	(void)state;
	assert_int_equal(vsw_port_mtu(&path[0].port), 1400);
	drop_nic();
	make_nic(set_mtu);
	assert_int_equal(vsw_port_mtu(&path[0].port), 1300);
	path[1].port.mtu = 9000;
	assert_int_equal(vsw_port_mtu(&path[1].port), 9000);
}

static void a_path_that_was_removed_sends_to_nobody(void **state)
{
	(void)state;
	vsw_nic_path_del(nic, &path[0].port);
	assert_null(info().path);
	send_one(&path[0], NIC, PEER, 0);
	assert_int_equal(kept(&peer), 0);
	assert_int_equal(tx_drops(&path[0].port, VSW_DROP_NO_PORT), 1);
	assert_int_equal(atomic_load(&outer->stats.tx_packets), 0);
	/* It was the receiving one. */
	send_numbers(0, 1);
	assert_int_equal(kept(&path[0]), 0);
	assert_int_equal(drops(outer, VSW_DROP_LINK_DOWN), 1);
}

/* ---- Links and nobody --------------------------------------------------------------------- */

static void the_vnics_link_stops_both_ways_on_all_paths(void **state)
{
	(void)state;
	vsw_nic_link_set(nic, false);
	assert_false(vsw_port_takes(outer));
	for (unsigned int i = 0; i < 2; i++)
		send_one(&path[i], NIC, PEER, i);
	send_numbers(0, 1);
	send_one(&peer, PEER, 0, 1);
	assert_int_equal(kept(&peer), 0);
	assert_int_equal(kept(&path[0]), 0);
	assert_int_equal(tx_drops(outer, VSW_DROP_LINK_DOWN), 2);
	assert_int_equal(drops(outer, VSW_DROP_LINK_DOWN), 1);
	vsw_nic_link_set(nic, true);
	send_numbers(0, 1);
	expect_numbers(&path[0], 0, 1);
}

static void a_paths_own_link_stops_neither_way(void **state)
{
	(void)state;
	atomic_store(&path[0].port.link, false);
	vsw_port_wake(&path[0].port);
	send_numbers(0, 1);
	expect_numbers(&path[0], 0, 1);
	send_one(&path[0], NIC, PEER, 0);
	expect_numbers(&peer, 0, 1);
}

static void without_parking_what_nobody_takes_is_link_down(void **state)
{
	(void)state;
	vsw_nic_receive(nic, NULL, false);
	assert_false(vsw_port_takes(outer));
	send_numbers(0, 2);
	vsw_nic_receive(nic, &path[1].port, false);
	atomic_store(&path[1].port.receiving, false);
	assert_false(vsw_port_takes(&path[1].port));
	send_numbers(2, 1);
	assert_int_equal(drops(outer, VSW_DROP_LINK_DOWN), 3);
	assert_int_equal(tx_drops(&peer.port, VSW_DROP_LINK_DOWN), 3);
	assert_int_equal(drops(&path[1].port, VSW_DROP_LINK_DOWN), 0);
	assert_int_equal(info().parked, 0);
	/* A flood goes past it. */
	send_one(&peer, PEER, 0, 4);
	assert_int_equal(drops(outer, VSW_DROP_LINK_DOWN), 3);
	assert_int_equal(kept(&other), 1);
}

static void receive_turned_off_in_a_delivery_drops_the_rest_as_link_down(void **state)
{
	struct frame f[4];
	struct pkt pkt[4], *p[4];

	(void)state;
	for (unsigned int i = 0; i < 4; i++) {
		frame_udp(&f[i], PEER, NIC, 20 + i);
		pkt_of_frame(&pkt[i], &f[i], 0);
		p[i] = &pkt[i];
	}
	path[0].stop_after = 2;
	/* The sender is not made to wait for what will not come. */
	assert_int_equal(vsw_send(&peer.port, p, 4), 4);
	expect_numbers(&path[0], 0, 2);
	assert_int_equal(drops(outer, VSW_DROP_LINK_DOWN), 2);
	assert_int_equal(tx_drops(&peer.port, VSW_DROP_LINK_DOWN), 2);
	/* The same for a port that is no vNIC, and for floods. */
	for (unsigned int i = 0; i < 4; i++)
		frame_mac(pkt[i].hdr, 3);
	other.stop_after = 1;
	assert_int_equal(vsw_send(&peer.port, p, 4), 4);
	assert_int_equal(kept(&other), 1);
	assert_int_equal(drops(&other.port, VSW_DROP_LINK_DOWN), 3);
	atomic_store(&other.port.receiving, true);
	for (unsigned int i = 0; i < 4; i++)
		memset(pkt[i].hdr, 0xff, 6);
	other.stop_after = 1;
	assert_int_equal(vsw_send(&peer.port, p, 4), 4);
	assert_int_equal(drops(&other.port, VSW_DROP_LINK_DOWN), 6);
	assert_int_equal(drops(&other.port, VSW_DROP_NO_BUFFER), 0);
}

static void no_buffer_is_counted_once_at_path_and_vnic(void **state)
{
	(void)state;
	path[0].room = 0;
	assert_int_equal(send_flags(&peer, PEER, NIC, 0, PKT_NO_WAIT), 1);
	send_one(&peer, PEER, 0, 1);
	assert_int_equal(drops(&path[0].port, VSW_DROP_NO_BUFFER), 2);
	assert_int_equal(drops(outer, VSW_DROP_NO_BUFFER), 2);
	assert_int_equal(drops(&path[1].port, VSW_DROP_NO_BUFFER), 0);
	assert_int_equal(send_flags(&peer, PEER, NIC, 0, 0), 0);
	assert_int_equal(atomic_load(&peer.port.stats.tx_waits), 1);
}

/* ---- Taking over -------------------------------------------------------------------------- */

/* Path 0 receives; path 1 will, and is awaited. */
static void await_second(void)
{
	atomic_store(&path[1].port.receiving, false);
	vsw_nic_await(nic, &path[1].port);
}

static void begins_to_receive(struct test_port *t)
{
	atomic_store(&t->port.receiving, true);
	vsw_port_wake(&t->port);
}

static void an_awaited_path_takes_over_when_the_other_is_empty(void **state)
{
	(void)state;
	await_second();
	atomic_store(&path[0].full, true);
	send_numbers(0, 2);
	assert_false(vsw_nic_take_over(&path[1].port));
	send_numbers(2, 2);
	assert_false(vsw_nic_take_over(&path[1].port));
	expect_numbers(&path[0], 0, 2);
	assert_int_equal(info().parked_now, 2);
	atomic_store(&path[0].full, false);
	assert_true(vsw_nic_take_over(&path[1].port));
	begins_to_receive(&path[1]);
	send_numbers(4, 1);
	expect_numbers(&path[1], 2, 3);
	expect_numbers(&path[0], 0, 2);
	/* It stays awaited: the next time too. */
	atomic_store(&path[1].port.receiving, false);
	vsw_nic_receive(nic, &path[0].port, true);
	assert_false(vsw_nic_take_over(&path[1].port));
	assert_true(vsw_nic_take_over(&path[1].port));
	assert_ptr_equal(info().path, &path[1].port);
}

static void with_nobody_before_it_a_path_takes_over_at_once(void **state)
{
	(void)state;
	await_second();
	vsw_nic_receive(nic, NULL, true);
	atomic_store(&path[0].full, true);
	assert_true(vsw_nic_take_over(&path[1].port));
	assert_ptr_equal(info().path, &path[1].port);
	/* One whose guest has stopped receiving has nothing left to take out. */
	vsw_nic_receive(nic, &path[0].port, true);
	atomic_store(&path[0].port.receiving, false);
	assert_true(vsw_nic_take_over(&path[1].port));
	assert_ptr_equal(info().path, &path[1].port);
}

static void a_path_that_is_not_awaited_takes_nothing(void **state)
{
	(void)state;
	await_second();
	vsw_nic_await(nic, NULL);
	assert_true(vsw_nic_take_over(&path[1].port));
	assert_ptr_equal(info().path, &path[0].port);
	/* Nor does a port that is no path. */
	assert_true(vsw_nic_take_over(&peer.port));
	vsw_nic_take_back(&peer.port);
}

static void what_was_taken_over_can_be_given_back(void **state)
{
	(void)state;
	await_second();
	atomic_store(&path[0].full, true);
	assert_false(vsw_nic_take_over(&path[1].port));
	send_numbers(0, 3);
	assert_int_equal(kept(&path[0]), 0);
	vsw_nic_take_back(&path[1].port);
	expect_numbers(&path[0], 0, 3);
	/* Once it receives there is nothing to give back. */
	atomic_store(&path[0].full, false);
	assert_false(vsw_nic_take_over(&path[1].port));
	assert_true(vsw_nic_take_over(&path[1].port));
	begins_to_receive(&path[1]);
	vsw_nic_take_back(&path[1].port);
	assert_ptr_equal(info().path, &path[1].port);
}

static void the_hosts_choice_ends_a_take_over(void **state)
{
	(void)state;
	await_second();
	atomic_store(&path[0].full, true);
	assert_false(vsw_nic_take_over(&path[1].port));
	vsw_nic_await(nic, NULL);
	vsw_nic_receive(nic, &path[0].port, true);
	assert_true(vsw_nic_take_over(&path[1].port));
	assert_ptr_equal(info().path, &path[0].port);
	vsw_nic_take_back(&path[1].port);
	assert_ptr_equal(info().path, &path[0].port);
}

static void a_path_that_was_left_can_go(void **state)
{
	(void)state;
	await_second();
	atomic_store(&path[0].full, true);
	assert_false(vsw_nic_take_over(&path[1].port));
	vsw_nic_path_del(nic, &path[0].port);
	assert_true(vsw_nic_take_over(&path[1].port));
	vsw_nic_take_back(&path[1].port);
	assert_ptr_equal(info().path, &path[1].port);
	vsw_nic_path_del(nic, &path[1].port);
	assert_true(vsw_nic_take_over(&path[1].port));
	assert_null(info().path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_path_sends_in_the_name_of_its_vnic),
		T(only_the_chosen_path_receives),
		T(a_flood_reaches_the_chosen_path_and_never_its_own_vnic),
		T(a_frame_to_the_own_vnic_is_same_port),
		T(an_invalid_source_is_refused_on_a_path_too),
		T(a_path_belongs_to_one_place_at_a_time),
		T(a_bad_configuration_is_refused),
		T(a_path_without_an_mtu_has_the_vnics),
		T(a_path_that_was_removed_sends_to_nobody),
		T(the_vnics_link_stops_both_ways_on_all_paths),
		T(a_paths_own_link_stops_neither_way),
		T(without_parking_what_nobody_takes_is_link_down),
		T(receive_turned_off_in_a_delivery_drops_the_rest_as_link_down),
		T(no_buffer_is_counted_once_at_path_and_vnic),
		T(an_awaited_path_takes_over_when_the_other_is_empty),
		T(with_nobody_before_it_a_path_takes_over_at_once),
		T(a_path_that_is_not_awaited_takes_nothing),
		T(what_was_taken_over_can_be_given_back),
		T(the_hosts_choice_ends_a_take_over),
		T(a_path_that_was_left_can_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
