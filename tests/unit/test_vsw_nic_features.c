/* SPDX-License-Identifier: BSD-2-Clause */
/* Features of a vNIC's port: both paths have them, also over parking, and while packets run. */
#include "nic_rig.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "base/util.h"
#include "base/wire.h"
#include "vswitch/port_features.h"

static void have(struct vsw_port *port, struct vsw_features f)
{
	assert_int_equal(vsw_port_set_features(port, &f), 0);
}

static int tag_of(const struct test_port *t, unsigned int i)
{
	const uint8_t *data = t->frame[i].data;

	return be16_load(data + 12) == 0x8100 ? be16_load(data + 14) : -1;
}

static void both_paths_are_guarded(void **state)
{
	(void)state;
	have(outer, (struct vsw_features){.guards = GUARD_MAC});
	for (unsigned int i = 0; i < 2; i++) {
		send_one(&path[i], NIC, PEER, 1);
		send_one(&path[i], 77, PEER, 2);
		assert_int_equal(tx_drops(&path[i].port, VSW_DROP_SPOOF), 1);
	}
	assert_int_equal(tx_drops(outer, VSW_DROP_SPOOF), 2);
	assert_int_equal(kept(&peer), 2);
}

static void a_path_has_none_of_its_own(void **state)
{
	struct vsw_features f = {.guards = GUARD_MAC};

	(void)state;
	assert_int_equal(vsw_port_set_features(&path[0].port, &f), -EINVAL);
}

static void both_paths_are_in_the_vlan(void **state)
{
	(void)state;
	have(outer, (struct vsw_features){.vlan = {.mode = VLAN_ACCESS, .vid = 10}});
	have(&other.port, (struct vsw_features){.vlan = {.mode = VLAN_ACCESS, .vid = 10}});
	for (unsigned int i = 0; i < 2; i++) {
		send_one(&path[i], NIC, PEER, 1);
		assert_int_equal(tag_of(&peer, i), 10);
		vsw_nic_receive(nic, &path[i].port, false);
		send_one(&other, 3, NIC, 1);
		assert_int_equal(tag_of(&path[i], 0), -1);
	}
	send_one(&peer, PEER, NIC, 1); /* untagged: another VLAN */
	assert_int_equal(tx_drops(&peer.port, VSW_DROP_VLAN), 1);
}

/* What is parked is what would have been delivered: without the tag. */
static void parked_packets_have_their_tag_off(void **state)
{
	static const uint16_t vid = 10;
	struct vsw_features trunk = {.vlan = {.mode = VLAN_TRUNK, .vid = vid}};

	(void)state;
	have(outer, (struct vsw_features){.vlan = {.mode = VLAN_ACCESS, .vid = vid}});
	vlan_allow(&trunk.vlan, 11);
	have(&peer.port, trunk);
	vsw_nic_receive(nic, NULL, true);
	send_numbers(0, 3); /* of the native VLAN: no tag to take off */
	{
		static struct frame f;
		static struct pkt pkt;
		struct pkt *p = &pkt;

		frame_udp(&f, PEER, NIC, 23);
		pkt_of_frame(&pkt, &f, 0);
		pkt.flags |= PKT_VLAN;
		pkt.vlan_tci = vid;
		assert_int_equal(vsw_send(&peer.port, &p, 1), 1);
	}
	assert_int_equal(info().parked_now, 4);
	vsw_nic_receive(nic, &path[1].port, true);
	expect_numbers(&path[1], 0, 4);
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(tag_of(&path[1], i), -1);
}

/* --- while packets run --- */

#define BURST 8

static _Atomic bool stop;
static uint64_t sent;

static void *sender(void *arg)
{
	static struct frame f[2];
	static struct pkt pkt[BURST];
	struct pkt *pkts[BURST];

	(void)arg;
	test_thread_register();
	frame_udp(&f[0], NIC, PEER, 40);
	frame_udp(&f[1], NIC, 0, 40);
	for (unsigned int i = 0; i < BURST; i++) {
		pkt_of_frame(&pkt[i], &f[i & 1], 0);
		pkts[i] = &pkt[i];
	}
	while (!atomic_load(&stop)) {
		unsigned int n = vsw_send(&path[0].port, pkts, BURST);

		assert(n == BURST);
		sent += n;
	}
	test_thread_unregister();
	return NULL;
}

/* Each packet goes by one setting or the next: it arrives or is counted as a drop, never lost. */
static void features_come_and_go_under_load(void **state)
{
	static const struct vsw_features all[] = {
		{.guards = GUARD_MAC | GUARD_DHCP | GUARD_ROUTER},
		{.vlan = {.mode = VLAN_ACCESS, .vid = 10}},
		{.mirror = VSW_MIRROR_SOURCE, .storm_pps = 3},
		{.mirror = VSW_MIRROR_NONE},
		{.vlan = {.mode = VLAN_UNTAGGED}, .storm_pps = 1000000},
	};
	struct vsw_features dest = {.mirror = VSW_MIRROR_DESTINATION};
	uint64_t lost = 0;
	pthread_t t;

	(void)state;
	peer.keep = other.keep = false;
	atomic_store(&stop, false);
	sent = 0;
	assert_int_equal(pthread_create(&t, NULL, sender, NULL), 0);
	for (unsigned int i = 0; i < 300; i++) {
		have(outer, all[i % ARRAY_SIZE(all)]);
		if (i % 7 == 0)
			assert_int_equal(vsw_port_set_features(&other.port, i & 1 ? &dest : NULL),
					 0);
	}
	atomic_store(&stop, true);
	pthread_join(t, NULL);
	for (unsigned int why = 0; why < VSW_N_DROPS; why++)
		lost += tx_drops(outer, why);
	assert_int_equal(lost, tx_drops(outer, VSW_DROP_STORM));
	assert_int_equal(peer.frames + lost, sent);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(both_paths_are_guarded),	    T(a_path_has_none_of_its_own),
		T(both_paths_are_in_the_vlan),	    T(parked_packets_have_their_tag_off),
		T(features_come_and_go_under_load),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
