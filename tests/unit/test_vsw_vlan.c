/* SPDX-License-Identifier: BSD-2-Clause */
/* Claims about vswitch/vlan.c through vsw_send(): who gets a packet, and with which tag. */
#include <errno.h>
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

#define NONE -1

/* Who of 1..5 got the last packet, as bits. */
static unsigned int receivers(void)
{
	unsigned int who = 0;

	for (unsigned int i = 1; i <= RIG_PORTS; i++)
		who |= got(i) ? 1u << i : 0;
	return who;
}

#define WHO(...) who_of((const unsigned int[]){__VA_ARGS__, 0})

static unsigned int who_of(const unsigned int *p)
{
	unsigned int who = 0;

	for (; *p; p++)
		who |= 1u << *p;
	return who;
}

static void ids_are_checked(void **state)
{
	struct vlan_conf v = {0};

	(void)state;
	assert_true(vlan_conf_ok(&v));
	v.mode = VLAN_ACCESS;
	assert_false(vlan_conf_ok(&v));
	v.vid = 4095;
	assert_false(vlan_conf_ok(&v));
	v.vid = 4094;
	assert_true(vlan_conf_ok(&v));
	v.mode = VLAN_TRUNK;
	assert_false(vlan_conf_ok(&v));
	vlan_allow(&v, 7);
	assert_true(vlan_conf_ok(&v));
	vlan_allow(&v, 0);
	assert_false(vlan_conf_ok(&v));
	v = (struct vlan_conf){.mode = VLAN_ISOLATED, .vid = 5, .secondary = 5};
	assert_false(vlan_conf_ok(&v));
	v.secondary = 6;
	assert_true(vlan_conf_ok(&v));
	v = (struct vlan_conf){.mode = VLAN_PROMISCUOUS, .vid = 5};
	assert_false(vlan_conf_ok(&v));
	vlan_allow(&v, 5);
	assert_false(vlan_conf_ok(&v));
	assert_int_equal(vsw_port_set_features(&port[1].port, &(struct vsw_features){.vlan = v}),
			 -EINVAL);
	for (unsigned int m = 0; m < VLAN_N_MODES; m++)
		assert_true(strlen(vlan_mode_name(m)) > 3);
}

static void without_settings_tags_pass_as_they_are(void **state)
{
	(void)state;
	send_udp(1, 2, 0x600a);
	assert_int_equal(tag_got(2), 0x600a);
	assert_int_equal(receivers(), WHO(2));
	/* The same when somebody else has settings. */
	have_vlan(5, VLAN_ACCESS, 10, 0);
	send_udp(1, 2, 0x600a);
	assert_int_equal(tag_got(2), 0x600a);
	send_udp(1, 2, 0xe000);
	assert_int_equal(tag_got(2), 0xe000);
	have_vlan(5, VLAN_NONE, 0, 0);
}

static void access_ports_of_one_vlan_reach_each_other_untagged(void **state)
{
	(void)state;
	have_vlan(1, VLAN_ACCESS, 10, 0);
	have_vlan(2, VLAN_ACCESS, 10, 0);
	have_vlan(3, VLAN_ACCESS, 20, 0);
	have_vlan(4, VLAN_UNTAGGED, 0, 0);
	send_udp(1, 2, 0);
	assert_int_equal(tag_got(2), NONE);
	assert_int_equal(receivers(), WHO(2));
	/* To everybody: those of the VLAN, and the one without settings. */
	send_udp(1, 0, 0);
	assert_int_equal(tag_got(5), 10);
	assert_int_equal(receivers(), WHO(2, 5));
	send_udp(5, 0, 0);
	assert_int_equal(receivers(), WHO(4));
	send_udp(5, 0, 20);
	assert_int_equal(tag_got(3), NONE);
	assert_int_equal(receivers(), WHO(3));
	/* A priority tag keeps its priority on the way to a tag. */
	send_udp(1, 5, 0xe000);
	assert_int_equal(tag_got(5), 0xe00a);
}

static void another_vlan_is_not_reached_by_its_address(void **state)
{
	(void)state;
	have_vlan(1, VLAN_ACCESS, 10, 0);
	have_vlan(3, VLAN_ACCESS, 20, 0);
	have_vlan(4, VLAN_UNTAGGED, 0, 0);
	send_udp(1, 3, 0);
	send_udp(1, 4, 0);
	send_udp(4, 1, 0);
	assert_int_equal(receivers(), 0);
	assert_int_equal(TX_DROPS(1, VLAN), 2);
	assert_int_equal(TX_DROPS(4, VLAN), 1);
	assert_int_equal(RX_DROPS(3, VLAN), 0);
}

static void an_access_port_may_not_tag(void **state)
{
	(void)state;
	have_vlan(1, VLAN_ACCESS, 10, 0);
	have_vlan(2, VLAN_ACCESS, 10, 0);
	send_udp(1, 2, 10);
	send_udp(1, 2, 20);
	assert_int_equal(TX_DROPS(1, VLAN), 2);
	/* Beside the frame as well as in it. */
	make(1, 2, 0);
	pkt_of_frame(&pkt[0], &frame, 0);
	pkt[0].flags = PKT_VLAN;
	pkt[0].vlan_tci = 20;
	assert_int_equal(vsw_send(&port[1].port, (struct pkt *[]){&pkt[0]}, 1), 1);
	assert_int_equal(TX_DROPS(1, VLAN), 3);
	assert_int_equal(receivers(), 0);
}

/* Where the outer tag is taken off, the inner one would count. */
static void a_tag_behind_a_priority_tag_is_refused(void **state)
{
	(void)state;
	have_vlan(1, VLAN_ACCESS, 10, 0);
	make(1, 0, 20);
	memmove(frame.data + 16, frame.data + 12, frame.len - 12);
	be32_store(frame.data + 12, 0x81000000);
	frame.len += 4;
	go(1);
	assert_int_equal(TX_DROPS(1, VLAN), 1);
	make(1, 0, 20);
	pkt_of_frame(&pkt[0], &frame, 0);
	pkt[0].flags = PKT_VLAN;
	pkt[0].vlan_tci = 0xe000;
	assert_int_equal(vsw_send(&port[1].port, (struct pkt *[]){&pkt[0]}, 1), 1);
	assert_int_equal(TX_DROPS(1, VLAN), 2);
	assert_int_equal(receivers(), 0);
}

static void a_trunk_carries_what_it_is_allowed_to(void **state)
{
	static const uint16_t list[] = {10, 11};

	(void)state;
	have_vlan(1, VLAN_ACCESS, 10, 0);
	have_vlan(2, VLAN_ACCESS, 12, 0);
	have_vlan(3, VLAN_ACCESS, 5, 0);
	have_vlans(4, VLAN_TRUNK, 5, list, 2);
	send_udp(1, 4, 0);
	assert_int_equal(tag_got(4), 10);
	send_udp(3, 4, 0); /* native */
	assert_int_equal(tag_got(4), NONE);
	forget();
	send_udp(4, 1, 10);
	assert_int_equal(tag_got(1), NONE);
	send_udp(4, 3, 0);
	send_udp(4, 3, 5);
	assert_int_equal(got(3), 2);
	forget();
	send_udp(4, 2, 12);
	assert_int_equal(TX_DROPS(4, VLAN), 1);
	send_udp(2, 4, 0);
	assert_int_equal(TX_DROPS(2, VLAN), 1);
	send_udp(4, 0, 12);
	assert_int_equal(TX_DROPS(4, VLAN), 2);
	assert_int_equal(receivers(), 0);
}

/* An outer tag of the native VLAN is not taken off a packet that has another one below. */
static void a_native_packet_with_two_tags_keeps_both(void **state)
{
	static const uint16_t list[] = {10, 20};

	(void)state;
	have_vlans(3, VLAN_TRUNK, 10, list, 2);
	have_vlans(4, VLAN_TRUNK, 10, list, 2);
	send_udp(3, 4, 10);
	assert_int_equal(tag_got(4), NONE);
	make(3, 4, 20);
	memmove(frame.data + 16, frame.data + 12, frame.len - 12);
	be32_store(frame.data + 12, 0x8100000a);
	frame.len += 4;
	go(3);
	assert_int_equal(tag_got(4), 10);
}

/* 1: promiscuous, 2 and 3: isolated, 4 and 5: community. Primary 100. */
static void private_vlan(void)
{
	static const uint16_t all[] = {101, 102};

	have_vlans(1, VLAN_PROMISCUOUS, 100, all, 2);
	have_vlan(2, VLAN_ISOLATED, 100, 101);
	have_vlan(3, VLAN_ISOLATED, 100, 101);
	have_vlan(4, VLAN_COMMUNITY, 100, 102);
	have_vlan(5, VLAN_COMMUNITY, 100, 102);
}

static void a_private_vlan_keeps_isolated_guests_apart(void **state)
{
	static const unsigned int may[RIG_PORTS + 1] = {
		[1] = 1u << 2 | 1u << 3 | 1u << 4 | 1u << 5,
		[2] = 1u << 1,
		[3] = 1u << 1,
		[4] = 1u << 1 | 1u << 5,
		[5] = 1u << 1 | 1u << 4,
	};

	(void)state;
	private_vlan();
	for (unsigned int from = 1; from <= RIG_PORTS; from++) {
		send_udp(from, 0, 0);
		assert_int_equal(receivers(), may[from]);
		for (unsigned int to = 1; to <= RIG_PORTS; to++) {
			if (to == from)
				continue;
			send_udp(from, to, 0);
			assert_int_equal(receivers(), may[from] & 1u << to);
		}
	}
}

static void a_promiscuous_port_reaches_only_its_secondaries(void **state)
{
	static const uint16_t one[] = {102};

	(void)state;
	private_vlan();
	have_vlans(1, VLAN_PROMISCUOUS, 100, one, 1);
	send_udp(1, 0, 0);
	assert_int_equal(receivers(), WHO(4, 5));
	send_udp(2, 1, 0);
	assert_int_equal(receivers(), 0);
	assert_int_equal(TX_DROPS(2, VLAN), 1);
}

/* What is sent to an address learned behind the promiscuous port goes there alone. */
static void a_private_vlan_learns_as_one(void **state)
{
	(void)state;
	private_vlan();
	make(1, 2, 0);
	frame_mac(frame.data + 6, 77); /* a router behind port 1 */
	go(1);
	assert_int_equal(receivers(), WHO(2));
	for (unsigned int from = 2; from <= 5; from++) {
		send_udp(from, 77, 0);
		assert_int_equal(receivers(), WHO(1));
	}
}

static void a_private_vlan_on_a_trunk(void **state)
{
	static const uint16_t all[] = {100, 101, 102};

	(void)state;
	private_vlan();
	have_vlans(5, VLAN_TRUNK, 0, all, 3);
	send_udp(2, 5, 0);
	assert_int_equal(tag_got(5), 101);
	send_udp(4, 5, 0);
	assert_int_equal(tag_got(5), 102);
	send_udp(1, 5, 0);
	assert_int_equal(tag_got(5), 100);
	forget();
	send_udp(5, 0, 101); /* of an isolated guest elsewhere */
	assert_int_equal(receivers(), WHO(1));
	send_udp(5, 0, 102);
	assert_int_equal(receivers(), WHO(1, 4));
	send_udp(5, 0, 100);
	assert_int_equal(receivers(), WHO(1, 2, 3, 4));
}

/* A tag that is put on does not cost a large packet its debts, nor a sender its place. */
static void a_large_packet_waits_and_goes_on_with_its_tag(void **state)
{
	struct frame_spec s = {.ip = 4, .proto = IPPROTO_TCP, .payload_len = 5000};
	struct pkt *one = &pkt[0];

	(void)state;
	have_vlan(1, VLAN_ACCESS, 10, 0);
	frame_addr(&s, 1, 2);
	frame_build(&frame, &s);
	frame_make_partial(&frame, true);
	pkt_of_frame(one, &frame, 0);
	one->flags = PKT_GSO_TCP;
	one->gso_size = 1000;
	port[2].room = 2;
	assert_int_equal(vsw_send(&port[1].port, &one, 1), 0);
	assert_ptr_equal(one->waits_for, &port[2].port);
	assert_int_equal(one->seg_done, 2);
	assert_int_equal(one->flags, PKT_GSO_TCP);
	port[2].room = -1;
	assert_int_equal(vsw_send(&port[1].port, &one, 1), 1);
	assert_int_equal(port[2].n, 5);
	for (unsigned int i = 0; i < 5; i++) {
		assert_int_equal(be32_load(port[2].frame[i].data + 12), 0x8100000a);
		assert_int_equal(be32_load(port[2].frame[i].data + 18 + 20 + 4), i * 1000);
		assert_true(port[2].frame[i].facts & PKT_L4_GOOD);
	}
}

static void settings_can_be_changed_and_taken_away(void **state)
{
	struct vsw_features f;

	(void)state;
	have_vlan(1, VLAN_ACCESS, 10, 0);
	send_udp(1, 2, 0);
	assert_int_equal(tag_got(2), 10);
	have_vlan(1, VLAN_ACCESS, 11, 0);
	send_udp(1, 2, 0);
	assert_int_equal(tag_got(2), 11);
	vsw_port_get_features(&port[1].port, &f);
	assert_int_equal(f.vlan.vid, 11);
	assert_int_equal(vsw_port_set_features(&port[1].port, NULL), 0);
	vsw_port_get_features(&port[1].port, &f);
	assert_int_equal(f.vlan.mode, VLAN_NONE);
	send_udp(1, 2, 0);
	assert_int_equal(tag_got(2), NONE);
}

static void a_port_that_is_not_attached_has_none(void **state)
{
	static struct test_port other;
	struct vsw_features f = {.storm_pps = 5};

	(void)state;
	test_port_init(&other, 9);
	assert_int_equal(vsw_port_set_features(&other.port, &f), -EINVAL);
	assert_int_equal(vsw_port_attach(net, &other.port), 0);
	assert_int_equal(vsw_port_set_features(&other.port, &f), 0);
	vsw_port_detach(&other.port);
	vsw_port_get_features(&other.port, &f);
	assert_int_equal(f.storm_pps, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(t) cmocka_unit_test_setup_teardown(t, rig_setup, rig_teardown)
		TEST(ids_are_checked),
		TEST(without_settings_tags_pass_as_they_are),
		TEST(access_ports_of_one_vlan_reach_each_other_untagged),
		TEST(another_vlan_is_not_reached_by_its_address),
		TEST(an_access_port_may_not_tag),
		TEST(a_tag_behind_a_priority_tag_is_refused),
		TEST(a_trunk_carries_what_it_is_allowed_to),
		TEST(a_native_packet_with_two_tags_keeps_both),
		TEST(a_private_vlan_keeps_isolated_guests_apart),
		TEST(a_promiscuous_port_reaches_only_its_secondaries),
		TEST(a_private_vlan_learns_as_one),
		TEST(a_private_vlan_on_a_trunk),
		TEST(a_large_packet_waits_and_goes_on_with_its_tag),
		TEST(settings_can_be_changed_and_taken_away),
		TEST(a_port_that_is_not_attached_has_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
