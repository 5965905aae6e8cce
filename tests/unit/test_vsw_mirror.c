/* SPDX-License-Identifier: BSD-2-Clause */
/* Claims about vswitch/mirror.c and storm.c through vsw_send(). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <netinet/in.h>

#include "base/util.h"
#include "base/wire.h"
#include "features_rig.h"
#include "vswitch/policy/policy.h"

static void mirror(unsigned int p, enum vsw_mirror m)
{
	have(p, (struct vsw_features){.mirror = m});
}

/* --- mirror: 1 is a source, 5 a destination --- */

static int mirror_setup(void **state)
{
	int rc = rig_setup(state);

	mirror(1, VSW_MIRROR_SOURCE);
	mirror(5, VSW_MIRROR_DESTINATION);
	return rc;
}

static void both_directions_of_a_source_are_copied(void **state)
{
	(void)state;
	send_udp(1, 2, 0);
	assert_int_equal(port[5].n, 1);
	assert_memory_equal(port[5].frame[0].data, frame.data, frame.len);
	assert_int_equal(got(5) + got(2), 2);
	send_udp(2, 1, 0);
	assert_memory_equal(port[5].frame[0].data, frame.data, frame.len);
	assert_int_equal(got(5) + got(1), 2);
	send_udp(2, 3, 0);
	assert_int_equal(got(5), 0);
	assert_int_equal(got(4), 0);
}

static void a_packet_is_copied_once(void **state)
{
	(void)state;
	mirror(2, VSW_MIRROR_SOURCE);
	send_udp(1, 2, 0);
	assert_int_equal(got(5), 1);
	/* What it gets anyway is not copied to it again. */
	send_udp(1, 0, 0);
	assert_int_equal(got(5), 1);
	send_udp(1, 5, 0);
	assert_int_equal(got(5), 1);
	/* Nor what it has sent itself. */
	send_udp(5, 1, 0);
	assert_int_equal(got(5), 0);
	send_udp(3, 0, 0);
	assert_int_equal(got(5), 1);
}

static void each_destination_gets_a_copy(void **state)
{
	(void)state;
	mirror(4, VSW_MIRROR_DESTINATION);
	send_udp(1, 2, 0);
	assert_int_equal(got(4), 1);
	assert_int_equal(got(5), 1);
	mirror(4, VSW_MIRROR_NONE);
	send_udp(1, 2, 0);
	assert_int_equal(got(4), 0);
	assert_int_equal(got(5), 1);
}

static void a_copy_is_not_copied(void **state)
{
	(void)state;
	mirror(2, VSW_MIRROR_SOURCE);
	mirror(4, VSW_MIRROR_DESTINATION);
	send_udp(1, 2, 0);
	assert_int_equal(got(2), 1);
	assert_int_equal(got(4), 1);
	assert_int_equal(got(5), 1);
	send_udp(1, 4, 0);
	assert_int_equal(got(4), 1);
	assert_int_equal(got(5), 1);
}

/* Of a flood in a VLAN that the destination is not in, it gets a copy. */
static void a_flood_past_the_destination_is_copied(void **state)
{
	(void)state;
	have(5, (struct vsw_features){.mirror = VSW_MIRROR_DESTINATION,
				      .vlan = {.mode = VLAN_ACCESS, .vid = 9}});
	send_udp(1, 0, 0);
	assert_int_equal(got(5), 1);
	send_udp(2, 0, 0); /* the source hears it */
	assert_int_equal(got(5), 1);
	have(1, (struct vsw_features){.mirror = VSW_MIRROR_SOURCE,
				      .vlan = {.mode = VLAN_ACCESS, .vid = 8}});
	send_udp(2, 0, 0); /* it does not */
	assert_int_equal(got(5), 0);
}

static void what_is_dropped_is_not_copied(void **state)
{
	(void)state;
	have(1, (struct vsw_features){.mirror = VSW_MIRROR_SOURCE, .guards = GUARD_MAC});
	make(9, 2, 0);
	go(1);
	assert_int_equal(got(5), 0);
	atomic_store(&port[2].port.receiving, false);
	send_udp(1, 2, 0);
	assert_int_equal(got(5), 0);
}

/* Nobody waits for a copy, and a sender that waits for the receiver is copied once. */
static void a_full_destination_misses_copies(void **state)
{
	struct pkt *one = &pkt[0];

	(void)state;
	port[5].room = 0;
	send_udp(1, 2, 0);
	assert_int_equal(got(2), 1);
	assert_int_equal(RX_DROPS(5, NO_BUFFER), 1);
	port[5].room = -1;
	port[2].room = 0;
	make(1, 2, 0);
	pkt_of_frame(one, &frame, 0);
	assert_int_equal(vsw_send(&port[1].port, &one, 1), 0);
	assert_int_equal(got(5), 0);
	port[2].room = -1;
	assert_int_equal(vsw_send(&port[1].port, &one, 1), 1);
	assert_int_equal(got(5), 1);
}

static void a_large_packet_is_copied_whole(void **state)
{
	struct frame_spec s = {.ip = 4, .proto = IPPROTO_TCP, .payload_len = 5000};
	struct pkt *one = &pkt[0];

	(void)state;
	frame_addr(&s, 1, 2);
	frame_build(&frame, &s);
	frame_make_partial(&frame, true);
	pkt_of_frame(one, &frame, 0);
	one->flags = PKT_GSO_TCP;
	one->gso_size = 1000;
	atomic_store(&port[2].port.caps, VSW_CAP_TSO4 | VSW_CAP_CSUM);
	assert_int_equal(vsw_send(&port[1].port, &one, 1), 1);
	assert_int_equal(got(2), 1);
	assert_int_equal(port[5].n, 5);
	for (unsigned int i = 0; i < 5; i++)
		assert_true(port[5].frame[i].facts & PKT_L4_GOOD);
}

/* Port 2's policy lets everything in, and wants copies of UDP to @dport. */
static void mirror_by_rule(uint16_t dport)
{
	const struct policy_range range = {dport, dport};
	const uint8_t proto = IPPROTO_UDP;
	const struct policy_rule rules[] = {
		{.name = "watched",
		 .priority = 1,
		 .terminating = true,
		 .stateful = true,
		 .match = {.vni = POLICY_ANY_VNI,
			   .proto = &proto,
			   .n_proto = 1,
			   .dport = &range,
			   .n_dport = 1},
		 .action = {.mirror = 1}},
		{.name = "rest",
		 .priority = 2,
		 .stateful = true,
		 .match = {.vni = POLICY_ANY_VNI}},
	};
	const struct policy_group group = {
		.name = "in", .dir = POLICY_IN, .rules = rules, .n_rules = 2};
	const struct policy_layer layer = {.name = "l", .groups = &group, .n_groups = 1};
	const struct policy_spec spec = {.layers = &layer, .n_layers = 1};
	struct policy *p = policy_new(&spec, NULL, NULL);

	assert_non_null(p);
	assert_int_equal(vsw_port_set_policy(&port[2].port, p, false), 0);
	policy_put(p);
}

/* A connection's first packet and those after it, and packets that belong to none. */
static void a_rule_of_a_policy_can_ask_for_copies(void **state)
{
	(void)state;
	mirror(1, VSW_MIRROR_NONE);
	have(5, (struct vsw_features){.mirror = VSW_MIRROR_DESTINATION,
				      .vlan = {.mode = VLAN_ACCESS, .vid = 9}});
	mirror_by_rule(7); /* the port of send_udp() */
	for (unsigned int i = 0; i < 4; i++) {
		send_udp(1, 2, 0);
		assert_int_equal(got(2), 1);
		assert_int_equal(got(5), 1);
	}
	send_udp(1, 0, 0);
	assert_int_equal(got(2), 1);
	assert_int_equal(got(5), 1);
	mirror_by_rule(8);
	vsw_port_set_policy(&port[2].port, NULL, false);
	mirror_by_rule(8);
	send_udp(1, 2, 0);
	assert_int_equal(got(2), 1);
	assert_int_equal(got(5), 0);
	assert_int_equal(vsw_port_set_policy(&port[2].port, NULL, false), 0);
}

static void mirrors_have_names(void **state)
{
	(void)state;
	assert_string_equal(vsw_mirror_name(VSW_MIRROR_NONE), "none");
	assert_string_equal(vsw_mirror_name(VSW_MIRROR_SOURCE), "source");
	assert_string_equal(vsw_mirror_name(VSW_MIRROR_DESTINATION), "destination");
}

/* --- storm limit --- */

static void burst(unsigned int from, unsigned int to, unsigned int n)
{
	struct pkt *pkts[RIG_BURST];

	make(from, to, 0);
	for (unsigned int i = 0; i < n; i++) {
		pkt_of_frame(&pkt[i], &frame, 0);
		pkts[i] = &pkt[i];
	}
	/* One call, so one look at the clock. */
	assert_int_equal(vsw_send(&port[from].port, pkts, n), n);
}

static void a_storm_is_cut_off_for_its_second(void **state)
{
	(void)state;
	have(1, (struct vsw_features){.storm_pps = 20});
	burst(1, 0, 50);
	assert_int_equal(got(2), 20);
	assert_int_equal(TX_DROPS(1, STORM), 30);
}

static void an_unknown_address_is_a_storm_too_a_known_one_is_not(void **state)
{
	(void)state;
	have(1, (struct vsw_features){.storm_pps = 20});
	burst(1, 2, 50);
	assert_int_equal(got(2), 50);
	burst(1, 99, 50);
	assert_int_equal(got(2), 20);
	assert_int_equal(TX_DROPS(1, STORM), 30);
	/* Others are not bound by it. */
	burst(3, 0, 50);
	assert_int_equal(got(2), 50);
}

static void one_interval_after_the_other(void **state)
{
	struct storm s = {.pps = 10};
	uint64_t t = 100 * NSEC_PER_SEC;

	(void)state;
	assert_true(storm_take(&s, 10, t));
	assert_false(storm_take(&s, 1, t + NSEC_PER_SEC - 1));
	assert_true(storm_take(&s, 6, t + NSEC_PER_SEC));
	assert_false(storm_take(&s, 5, t + NSEC_PER_SEC));
	assert_true(storm_take(&s, 4, t + NSEC_PER_SEC));
	/* A clock that was read earlier counts in the interval that is open. */
	assert_false(storm_take(&s, 1, t));
	storm_give(&s, 3, t + NSEC_PER_SEC + 5);
	assert_true(storm_take(&s, 3, t + NSEC_PER_SEC + 6));
	assert_false(storm_take(&s, 1, t + NSEC_PER_SEC + 6));
	/* What was taken in another interval is gone. */
	storm_give(&s, 3, t);
	assert_false(storm_take(&s, 1, t + NSEC_PER_SEC + 6));
	s.pps = 0;
	assert_true(storm_take(&s, 1000000, t));
}

/* A flood behind a packet that has to wait is offered twice, and counted once. */
static void a_flood_that_comes_by_again_is_counted_once(void **state)
{
	struct pkt *pkts[2] = {&pkt[0], &pkt[1]};
	static struct frame flood;

	(void)state;
	have(1, (struct vsw_features){.storm_pps = 1});
	make(1, 0, 0);
	memcpy(&flood, &frame, sizeof(frame));
	pkt_of_frame(&pkt[1], &flood, 0);
	make(1, 2, 0);
	pkt_of_frame(&pkt[0], &frame, 0);
	port[2].room = 0;
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(vsw_send(&port[1].port, pkts, 2), 0);
	port[2].room = -1;
	assert_int_equal(vsw_send(&port[1].port, pkts, 2), 2);
	assert_int_equal(got(3), 1);
	assert_int_equal(TX_DROPS(1, STORM), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define MIRROR(t) cmocka_unit_test_setup_teardown(t, mirror_setup, rig_teardown)
#define STORM(t)  cmocka_unit_test_setup_teardown(t, rig_setup, rig_teardown)
		MIRROR(both_directions_of_a_source_are_copied),
		MIRROR(a_packet_is_copied_once),
		MIRROR(each_destination_gets_a_copy),
		MIRROR(a_copy_is_not_copied),
		MIRROR(a_flood_past_the_destination_is_copied),
		MIRROR(what_is_dropped_is_not_copied),
		MIRROR(a_full_destination_misses_copies),
		MIRROR(a_large_packet_is_copied_whole),
		MIRROR(a_rule_of_a_policy_can_ask_for_copies),
		cmocka_unit_test(mirrors_have_names),
		STORM(a_storm_is_cut_off_for_its_second),
		STORM(an_unknown_address_is_a_storm_too_a_known_one_is_not),
		cmocka_unit_test(one_interval_after_the_other),
		STORM(a_flood_that_comes_by_again_is_counted_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
