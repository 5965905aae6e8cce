/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The adapter's flow table: first packets are exceptions that visit the switch, the rest are sent by
 * the adapter itself, until the switch's mind changes.
 */
#include "tests/driver/rig.h"
#include "vswitch/policy/policy.h"
#include "vswitch/port_features.h"
#include "vswitch/vswitch.h"

#define ENTRIES 8

static void set_flows(struct rig *r, unsigned int dev, uint32_t n)
{
	assert_int_equal(mana_flows_set(r->lab.mana[dev], 0, n), 0);
}

static struct mana_vport_info info(struct rig *r, unsigned int dev)
{
	static struct mana_info i;

	mana_get_info(r->lab.mana[dev], &i);
	return i.vports[0];
}

/* All may go out; in only what @in lets in. */
static struct policy *policy_of(const struct policy_rule *out, const struct policy_rule *in)
{
	const struct policy_group groups[] = {
		{.name = "out", .dir = POLICY_OUT, .rules = out, .n_rules = 1},
		{.name = "in", .dir = POLICY_IN, .rules = in, .n_rules = 1},
	};
	const struct policy_layer layer = {.name = "l", .groups = groups, .n_groups = 2};
	const struct policy_spec spec = {.layers = &layer, .n_layers = 1};
	struct policy *p = policy_new(&spec, NULL, NULL);

	assert_non_null(p);
	return p;
}

static const struct policy_rule allow = {
	.name = "allow", .priority = 1, .stateful = true, .match = {.vni = POLICY_ANY_VNI}};
static const struct policy_rule deny = {.name = "deny",
					.priority = 1,
					.match = {.vni = POLICY_ANY_VNI},
					.action = {.verdict = POLICY_DENY}};

static void give(struct rig *r, unsigned int dev, struct policy *p, bool flush)
{
	assert_int_equal(vsw_port_set_policy(mana_port(r->lab.mana[dev], 0), p, flush), 0);
	policy_put(p);
}

static int setup(void **state)
{
	struct rig *r = rig_start(&(struct rig_conf){.lab = {.conf = {.hold_ms = 10000}},
						     .vport = {.rx_bufs = 256,
							       .rx_buf_size = 9216}});

	set_flows(r, 0, ENTRIES);
	set_flows(r, 1, ENTRIES);
	give(r, 0, policy_of(&allow, &allow), false);
	give(r, 1, policy_of(&allow, &allow), false);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	rig_stop(*state);
	return 0;
}

static void udp(struct rig *r, unsigned int from, uint16_t sport, uint16_t dport)
{
	struct frame_spec s = rig_spec(r, from, !from, 4, IPPROTO_UDP, 100);

	s.sport = sport;
	s.dport = dport;
	frame_build(&r->f, &s);
	rig_send(r, from, &r->f, NULL);
}

static void passes(struct rig *r, unsigned int from, uint16_t sport, uint16_t dport)
{
	udp(r, from, sport, dport);
	rig_expect(r, !from, &r->f, NULL);
}

static void stays_out(struct rig *r, unsigned int from, uint16_t sport, uint16_t dport)
{
	uint64_t before = atomic_load(
		&mana_port(r->lab.mana[from], 0)->stats.tx_drops[VSW_DROP_POLICY]);

	udp(r, from, sport, dport);
	assert_int_equal(
		atomic_load(&mana_port(r->lab.mana[from], 0)->stats.tx_drops[VSW_DROP_POLICY]),
		before + 1);
}

static void only_the_first_packet_visits_the_switch(void **state)
{
	struct rig *r = *state;
	struct mana_vport_info i;

	for (unsigned int k = 0; k < 10; k++)
		passes(r, 0, 1000, 53);
	i = info(r, 0);
	assert_int_equal(i.flow_exceptions, 1);
	assert_int_equal(i.flow_hits, 9);
	assert_int_equal(i.flows, 1);
	/* Its answers are the other adapter's. */
	for (unsigned int k = 0; k < 5; k++)
		passes(r, 1, 53, 1000);
	i = info(r, 1);
	assert_int_equal(i.flow_exceptions, 1);
	assert_int_equal(i.flow_hits, 4);
}

/* DHCP of a guest: a request, or what only a server says. */
static void dhcp(struct rig *r, uint8_t op)
{
	struct frame_spec s = rig_spec(r, 0, 1, 4, IPPROTO_UDP, 240);

	s.sport = s.dport = 67;
	frame_build(&r->f, &s);
	r->f.data[r->f.payload] = op;
	frame_sum(&r->f);
	rig_send(r, 0, &r->f, NULL);
}

/* A connection that began as a relay's does not carry a server's words past the guard. */
static void a_guard_looks_at_each_packet(void **state)
{
	struct rig *r = *state;
	struct vsw_port *port = mana_port(r->lab.mana[0], 0);
	struct vsw_features f = {.guards = GUARD_DHCP | GUARD_MAC};

	assert_int_equal(vsw_port_set_features(port, &f), 0);
	for (unsigned int k = 0; k < 4; k++) {
		dhcp(r, 1);
		rig_expect(r, 1, &r->f, NULL);
	}
	dhcp(r, 2);
	assert_int_equal(atomic_load(&port->stats.tx_drops[VSW_DROP_DHCP_GUARD]), 1);
	assert_int_equal(info(r, 0).flow_hits, 0);
	/* Other connections are the adapter's as before. */
	passes(r, 0, 1000, 53);
	passes(r, 0, 1000, 53);
	assert_int_equal(info(r, 0).flow_hits, 1);
}

struct counted {
	uint64_t packets[2];
	unsigned int n, offloaded;
};

static bool count(void *arg, const struct vsw_flow_info *f)
{
	struct counted *c = arg;

	c->n++;
	c->offloaded += f->offloaded;
	c->packets[0] += f->packets[0];
	c->packets[1] += f->packets[1];
	return true;
}

static void counters_flow_back(void **state)
{
	struct rig *r = *state;
	struct counted c = {0};

	for (unsigned int k = 0; k < 10; k++)
		passes(r, 0, 1000, 53);
	for (unsigned int k = 0; k < 5; k++)
		passes(r, 1, 53, 1000);
	vsw_port_flows(mana_port(r->lab.mana[0], 0), count, &c);
	assert_int_equal(c.n, 1);
	assert_int_equal(c.offloaded, 1);
	assert_int_equal(c.packets[POLICY_OUT], 10);
	assert_int_equal(c.packets[POLICY_IN], 5);
	assert_int_equal(atomic_load(&mana_port(r->lab.mana[0], 0)->stats.tx_packets), 10);
	assert_int_equal(atomic_load(&mana_port(r->lab.mana[0], 0)->stats.rx_packets), 5);
}

static void a_new_policy_makes_the_next_packet_an_exception(void **state)
{
	struct rig *r = *state;

	passes(r, 0, 1000, 53);
	passes(r, 0, 1000, 53);
	/* At the receiver's side, and without a flush: the connection stays. */
	give(r, 1, policy_of(&allow, &deny), false);
	passes(r, 0, 1000, 53);
	assert_int_equal(info(r, 0).flow_exceptions, 2);
	passes(r, 0, 1000, 53);
	assert_int_equal(info(r, 0).flow_exceptions, 2);
	stays_out(r, 0, 1001, 53);
	/* With one it is cut with its very next packet. */
	give(r, 1, policy_of(&allow, &deny), true);
	stays_out(r, 0, 1000, 53);
	assert_int_equal(info(r, 0).flows, 0);
}

static void a_connection_that_is_ended_is_no_flow_any_more(void **state)
{
	struct rig *r = *state;
	struct counted c = {0};

	passes(r, 0, 1000, 53);
	assert_int_equal(info(r, 0).flows, 1);
	assert_int_equal(vsw_port_flows_cut(mana_port(r->lab.mana[0], 0), count, &c), 1);
	assert_int_equal(info(r, 0).flows, 0);
	passes(r, 0, 1000, 53);
	assert_int_equal(info(r, 0).flow_exceptions, 2);
}

static void what_is_left_over_stays_with_the_switch(void **state)
{
	struct rig *r = *state;
	struct mana_vport_info i;

	for (unsigned int round = 0; round < 3; round++)
		for (uint16_t k = 0; k < ENTRIES + 1; k++)
			passes(r, 0, (uint16_t)(1000 + k), 53);
	i = info(r, 0);
	assert_int_equal(i.flows, ENTRIES);
	assert_true(i.flows_refused > 0);
	assert_true(i.flow_exceptions > ENTRIES);
	assert_true(i.flow_hits > 0);
	assert_int_equal(i.flow_hits + i.flow_exceptions, 3 * (ENTRIES + 1));
}

static void off_means_that_every_packet_visits_the_switch(void **state)
{
	struct rig *r = *state;

	set_flows(r, 0, 0);
	for (unsigned int k = 0; k < 4; k++)
		passes(r, 0, 1000, 53);
	assert_int_equal(info(r, 0).flow_hits, 0);
	assert_int_equal(info(r, 0).max_flows, 0);
}

static void tcp_is_taken_when_it_is_established(void **state)
{
	static const uint8_t flags[] = {0x02, 0x12, 0x10, 0x10, 0x10, 0x11};
	static const unsigned int from[] = {0, 1, 0, 0, 0, 0};
	static const uint64_t hits[] = {0, 0, 0, 1, 2, 2};
	struct rig *r = *state;

	for (unsigned int k = 0; k < ARRAY_SIZE(flags); k++) {
		struct frame_spec s = rig_spec(r, from[k], !from[k], 4, IPPROTO_TCP, 10);

		s.sport = from[k] ? 80 : 40000;
		s.dport = from[k] ? 40000 : 80;
		s.tcp_flags = flags[k];
		frame_build(&r->f, &s);
		rig_send(r, from[k], &r->f, NULL);
		rig_expect(r, !from[k], &r->f, NULL);
		assert_int_equal(info(r, 0).flow_hits, hits[k]);
	}
}

static void a_translation_is_part_of_the_action(void **state)
{
	static const uint8_t vip[16] = {[10] = 0xff, 0xff, 192, 0, 2, 1};
	struct rig *r = *state;
	struct policy_rule nat = allow;

	nat.action.nat = POLICY_NAT_REWRITE;
	memcpy(nat.action.nat_addr, vip, 16);
	nat.action.nat_port = (struct policy_range){5000, 5000};
	give(r, 0, policy_of(&nat, &deny), true);
	for (unsigned int k = 0; k < 3; k++) {
		udp(r, 0, 1000, 53);
		memcpy(r->f.data + r->f.l3 + 12, vip + 12, 4);
		r->f.data[r->f.l4] = 5000 >> 8;
		r->f.data[r->f.l4 + 1] = 5000 & 0xff;
		frame_sum(&r->f);
		rig_expect(r, 1, &r->f, NULL);
	}
	assert_int_equal(info(r, 0).flow_hits, 2);
}

static void the_same_ports_from_another_address_are_another_flow(void **state)
{
	struct rig *r = *state;
	struct frame_spec s;

	passes(r, 0, 1000, 53);
	passes(r, 0, 1000, 53);
	assert_int_equal(info(r, 0).flow_hits, 1);
	s = rig_spec(r, 0, 1, 4, IPPROTO_UDP, 100);
	s.sport = 1000;
	s.dport = 53;
	s.src[5] ^= 0x55;
	frame_build(&r->f, &s);
	rig_send(r, 0, &r->f, NULL);
	rig_expect(r, 1, &r->f, NULL);
	assert_int_equal(info(r, 0).flow_hits, 1);
}

static void a_receiver_that_went_is_not_sent_to(void **state)
{
	struct rig *r = *state;
	struct vsw_net *net = r->lab.net;

	passes(r, 0, 1000, 53);
	vsw_port_detach(mana_port(r->lab.mana[1], 0));
	udp(r, 0, 1000, 53);
	assert_int_equal(info(r, 0).flow_hits, 0);
	assert_int_equal(info(r, 0).flows, 0);
	assert_int_equal(vsw_port_attach(net, mana_port(r->lab.mana[1], 0)), 0);
	passes(r, 0, 1000, 53);
}

static void a_reset_empties_the_table(void **state)
{
	struct rig *r = *state;

	passes(r, 0, 1000, 53);
	assert_int_equal(info(r, 0).flows, 1);
	rig_down(r, 0);
	assert_int_equal(info(r, 0).flows, 0);
	rig_up(r, 0, RIG_VPORT);
	passes(r, 0, 1000, 53);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(only_the_first_packet_visits_the_switch),
		TEST(a_guard_looks_at_each_packet),
		TEST(counters_flow_back),
		TEST(a_new_policy_makes_the_next_packet_an_exception),
		TEST(a_connection_that_is_ended_is_no_flow_any_more),
		TEST(what_is_left_over_stays_with_the_switch),
		TEST(off_means_that_every_packet_visits_the_switch),
		TEST(tcp_is_taken_when_it_is_established),
		TEST(a_translation_is_part_of_the_action),
		TEST(the_same_ports_from_another_address_are_another_flow),
		TEST(a_receiver_that_went_is_not_sent_to),
		TEST(a_reset_empties_the_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
