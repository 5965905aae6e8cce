/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Claims about vswitch/explain.c: what is explained is what happens, it is told by whom, and
 * explaining changes nothing.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "flow_rig.h"
#include "vswitch/explain.h"

static struct vsw_explain e;

static void explain_to(unsigned int from, unsigned int to, unsigned int only,
		       struct frame_spec spec)
{
	struct pkt pkt;

	vsw_explain_fini(&e);
	pkt_of_frame(&pkt, frame_of(from, to, spec), 0);
	assert_int_equal(vsw_explain(only ? NULL : &port[from].port, only ? &port[only].port : NULL,
				     &pkt, &e),
			 0);
}

static void explain(unsigned int from, unsigned int to, struct frame_spec spec)
{
	explain_to(from, to, 0, spec);
}

static struct frame_spec tcp_spec(uint16_t sport, uint16_t dport, uint8_t flags)
{
	return (struct frame_spec){
		.ip = 4, .proto = IPPROTO_TCP, .sport = sport, .dport = dport, .tcp_flags = flags};
}

static struct frame_spec udp_spec(uint16_t sport, uint16_t dport)
{
	return (struct frame_spec){
		.ip = 4, .proto = IPPROTO_UDP, .sport = sport, .dport = dport, .payload_len = 10};
}

static const struct vsw_explain_step *decider(const struct vsw_explain_stop *s)
{
	const struct vsw_explain_step *found = NULL;

	for (unsigned int i = 0; i < s->n_steps; i++) {
		if (!s->steps[i].decides)
			continue;
		assert_null(found);
		found = &s->steps[i];
	}
	return found;
}

static int teardown(void **state)
{
	vsw_explain_fini(&e);
	return flow_teardown(state);
}

static void a_way_without_policies_is_short(void **state)
{
	(void)state;
	explain(1, 2, udp_spec(7, 8));
	assert_int_equal(e.why, VSW_DROP_NONE);
	assert_int_equal(e.way, VSW_WAY_PORT);
	assert_true(e.has_out);
	assert_false(e.out.policy);
	assert_string_equal(e.out.port, "vm1/eth0");
	assert_int_equal(e.n_in, 1);
	assert_false(e.in[0].policy);
	assert_string_equal(e.in[0].port, "vm2/eth0");
	assert_int_equal(e.in[0].before.dport, 8);
}

static void who_denies_is_named(void **state)
{
	(void)state;
	give(2, ssh_only(), false);
	explain(1, 2, tcp_spec(40000, 23, TCP_SYN));
	assert_int_equal(e.why, VSW_DROP_POLICY);
	assert_string_equal(e.at, "vm2/eth0");
	assert_int_equal(e.n_in, 1);
	assert_int_equal(e.in[0].dir, POLICY_IN);
	assert_true(e.in[0].policy);
	assert_int_equal(e.in[0].why, VSW_DROP_POLICY);
	assert_int_equal(e.in[0].n_steps, 1);
	assert_non_null(decider(&e.in[0]));
	assert_string_equal(decider(&e.in[0])->rule, "deny-all");
	assert_string_equal(decider(&e.in[0])->group, "g");
	assert_string_equal(decider(&e.in[0])->layer, "l");
}

static void who_allows_is_named_too(void **state)
{
	(void)state;
	give(1, ssh_only(), false);
	give(2, ssh_only(), false);
	explain(1, 2, tcp_spec(40000, 22, TCP_SYN));
	assert_int_equal(e.why, VSW_DROP_NONE);
	assert_string_equal(decider(&e.out)->rule, "allow-all");
	assert_string_equal(decider(&e.in[0])->rule, "ssh");
	assert_int_equal(e.out.conn, VSW_CONN_FIRST);
	assert_int_equal(e.in[0].conn, VSW_CONN_FIRST);
	assert_int_equal(e.out.gen, 1);
}

static void explaining_changes_nothing(void **state)
{
	struct vsw_fdb_entry fdb[8];
	struct pkt pkt;

	(void)state;
	give(1, policy_of_rules(&allow_all, 1, &deny_all, 1), false);
	give(2, ssh_only(), false);
	explain(1, 2, tcp_spec(40000, 23, TCP_SYN));
	explain(1, 2, tcp_spec(40000, 22, TCP_SYN));
	/* From an address that is not the port's own. */
	vsw_explain_fini(&e);
	pkt_of_frame(&pkt, frame_of(9, 2, udp_spec(1, 2)), 0);
	assert_int_equal(vsw_explain(&port[1].port, NULL, &pkt, &e), 0);
	assert_int_equal(stats_of(1).n, 0);
	assert_int_equal(stats_of(2).n, 0);
	assert_int_equal(stats_of(1).denied[POLICY_OUT], 0);
	assert_int_equal(stats_of(2).denied[POLICY_IN], 0);
	assert_int_equal(TX_DROPS(1, POLICY), 0);
	assert_int_equal(RX_DROPS(2, POLICY), 0);
	assert_int_equal(atomic_load(&port[1].port.stats.tx_packets), 0);
	assert_int_equal(port[2].frames, 0);
	assert_int_equal(vsw_net_fdb(net, fdb, 8), 3);
}

/* A reply is let through by its connection, not by a rule, and the layer says so. */
static void a_known_connection_is_told(void **state)
{
	struct vsw_flow_stats before;

	(void)state;
	give(2, nothing_in(), false);
	assert_true(udp(2, 1, 1000, 53));
	before = stats_of(2);
	explain(1, 2, udp_spec(53, 1000));
	assert_int_equal(e.why, VSW_DROP_NONE);
	assert_int_equal(e.in[0].conn, VSW_CONN_KNOWN);
	assert_int_equal(e.in[0].flow.lport, 1000);
	assert_int_equal(e.in[0].flow.rport, 53);
	assert_int_equal(e.in[0].flow.packets[POLICY_OUT], 1);
	assert_string_equal(e.in[0].flow.rule, "allow-all");
	assert_int_equal(e.in[0].n_steps, 1);
	assert_true(e.in[0].steps[0].reply);
	assert_null(decider(&e.in[0]));
	assert_string_equal(e.in[0].flow.state, "new");
	explain(1, 2, udp_spec(54, 1000));
	assert_int_equal(e.why, VSW_DROP_POLICY);
	assert_int_equal(e.in[0].conn, VSW_CONN_FIRST);
	/* Neither looked at as an answer, nor counted. */
	assert_true(udp(1, 2, 53, 1000));
	explain(1, 2, udp_spec(53, 1000));
	assert_string_equal(e.in[0].flow.state, "established");
	assert_int_equal(e.in[0].flow.packets[POLICY_IN], 1);
	assert_int_equal(stats_of(2).n, before.n);
}

static void a_new_policy_is_explained_before_its_packets_come(void **state)
{
	(void)state;
	give(2, ssh_only(), false);
	assert_true(connects(1, 2, 40000, 22));
	give(2, nothing_in(), false);
	/* Kept: it was there before. */
	explain(1, 2, tcp_spec(40000, 22, TCP_ACK));
	assert_int_equal(e.why, VSW_DROP_NONE);
	assert_int_equal(e.in[0].conn, VSW_CONN_KNOWN);
	assert_true(e.in[0].flow.stale);
	assert_string_equal(decider(&e.in[0])->rule, "deny-all");
	assert_int_equal(stats_of(2).resimulated, 0);
	assert_true(tcp(1, 2, 40000, 22, TCP_ACK));
	/* With a flush it is cut, from either side. */
	give(2, nothing_in(), true);
	explain(1, 2, tcp_spec(40000, 22, TCP_ACK));
	assert_int_equal(e.why, VSW_DROP_POLICY);
	assert_int_equal(e.in[0].conn, VSW_CONN_KNOWN);
	explain(2, 1, tcp_spec(22, 40000, TCP_ACK));
	assert_int_equal(e.why, VSW_DROP_POLICY);
	assert_int_equal(e.out.conn, VSW_CONN_KNOWN);
	assert_int_equal(stats_of(2).cut, 0);
	assert_int_equal(stats_of(2).n, 1);
	assert_false(tcp(2, 1, 22, 40000, TCP_ACK));
	/* One that is still allowed is let through, from either side. */
	give(2, ssh_only(), true);
	assert_true(connects(1, 2, 40001, 22));
	give(2, ssh_only(), true);
	explain(1, 2, tcp_spec(40001, 22, TCP_ACK));
	assert_int_equal(e.why, VSW_DROP_NONE);
	explain(2, 1, tcp_spec(22, 40001, TCP_ACK));
	assert_int_equal(e.why, VSW_DROP_NONE);
	assert_int_equal(stats_of(2).resimulated, 2);
}

static void a_first_packet_on_an_old_connection_is_a_first_one(void **state)
{
	(void)state;
	give(2, ssh_only(), false);
	assert_true(connects(1, 2, 40000, 22));
	assert_true(tcp(1, 2, 40000, 22, TCP_RST));
	explain(1, 2, tcp_spec(40000, 22, TCP_SYN));
	assert_int_equal(e.in[0].conn, VSW_CONN_FIRST);
	explain(1, 2, tcp_spec(40000, 22, TCP_ACK));
	assert_int_equal(e.in[0].conn, VSW_CONN_KNOWN);
}

/* 10.0.0.2 becomes 192.0.2.9 on its way out. */
static struct policy *nat(void)
{
	const struct policy_rule out = {.name = "snat",
					.priority = 1,
					.stateful = true,
					.match = {.vni = POLICY_ANY_VNI},
					.action = {.nat = POLICY_NAT_REWRITE,
						   .nat_addr = {[10] = 0xff, 0xff, 192, 0, 2, 9},
						   .nat_port = {5000, 5003}}};

	return policy_of_rules(&out, 1, &deny_all, 1);
}

static void what_becomes_of_it_is_told(void **state)
{
	const uint8_t outside[16] = {[10] = 0xff, 0xff, 192, 0, 2, 9};
	char words[200];

	(void)state;
	give(1, nat(), false);
	explain(1, 2, udp_spec(7, 8));
	assert_int_equal(e.why, VSW_DROP_NONE);
	assert_int_equal(e.out.before.sport, 7);
	assert_in_range(e.out.after.sport, 5000, 5003);
	assert_memory_equal(e.out.after.src, outside, 16);
	assert_memory_equal(e.in[0].before.src, outside, 16);
	vsw_xpose_words(&e.out.xpose, words, sizeof(words));
	assert_memory_equal(words, "source becomes 192.0.2.9:500", 28);
	assert_int_equal(stats_of(1).n, 0);
}

static void a_flood_is_told_port_by_port(void **state)
{
	(void)state;
	give(2, nothing_in(), false);
	explain(1, 0, udp_spec(7, 8));
	assert_int_equal(e.why, VSW_DROP_NONE);
	assert_int_equal(e.way, VSW_WAY_FLOOD);
	assert_int_equal(e.n_in, 2);
	assert_string_equal(e.in[0].port, "vm2/eth0");
	assert_int_equal(e.in[0].why, VSW_DROP_POLICY);
	assert_string_equal(e.in[1].port, "vm3/eth0");
	assert_int_equal(e.in[1].why, VSW_DROP_NONE);
	/* An address nobody has goes the same way. */
	explain(1, 77, udp_spec(7, 8));
	assert_int_equal(e.way, VSW_WAY_FLOOD);
	assert_int_equal(e.in[0].conn, VSW_CONN_NONE);
	give(3, nothing_in(), false);
	explain(1, 77, udp_spec(7, 8));
	assert_int_equal(e.why, VSW_DROP_POLICY);
	assert_string_equal(e.at, "vm2/eth0");
}

static void what_goes_nowhere_says_why(void **state)
{
	(void)state;
	atomic_store(&port[2].port.link, false);
	explain(1, 2, udp_spec(7, 8));
	assert_int_equal(e.why, VSW_DROP_LINK_DOWN);
	assert_string_equal(e.at, "vm2/eth0");
	assert_int_equal(e.way, VSW_WAY_NOWHERE);
	atomic_store(&port[2].port.link, true);
	explain(1, 1, udp_spec(7, 8));
	assert_int_equal(e.why, VSW_DROP_SAME_PORT);
	atomic_store(&port[1].port.link, false);
	explain(1, 2, udp_spec(7, 8));
	assert_int_equal(e.why, VSW_DROP_LINK_DOWN);
	assert_string_equal(e.at, "vm1/eth0");
	atomic_store(&port[1].port.link, true);
	atomic_store(&port[2].port.receiving, false);
	atomic_store(&port[3].port.receiving, false);
	explain(1, 0, udp_spec(7, 8));
	assert_int_equal(e.why, VSW_DROP_NO_PORT);
	give(1, policy_of_rules(&deny_all, 1, &allow_all, 1), false);
	explain(1, 2, udp_spec(7, 8));
	assert_int_equal(e.why, VSW_DROP_POLICY);
	assert_string_equal(e.at, "vm1/eth0");
	assert_int_equal(e.n_in, 0);
}

/* To itself from an address that is not known yet: a sent one would be learned first. */
static void to_an_address_of_its_own(void **state)
{
	struct frame *f = frame_of(50, 50, udp_spec(7, 8));
	struct pkt pkt, *pkts = &pkt;

	(void)state;
	pkt_of_frame(&pkt, f, 0);
	assert_int_equal(vsw_explain(&port[1].port, NULL, &pkt, &e), 0);
	assert_int_equal(e.why, VSW_DROP_SAME_PORT);
	pkt_of_frame(&pkt, f, 0);
	assert_int_equal(vsw_send(&port[1].port, &pkts, 1), 1);
	assert_int_equal(TX_DROPS(1, SAME_PORT), 1);
}

static void from_outside_only_the_receiver_is_asked(void **state)
{
	struct pkt pkt;

	(void)state;
	give(1, policy_of_rules(&deny_all, 1, &deny_all, 1), false);
	give(2, ssh_only(), false);
	explain_to(1, 2, 2, tcp_spec(40000, 22, TCP_SYN));
	assert_int_equal(e.why, VSW_DROP_NONE);
	assert_false(e.has_out);
	assert_int_equal(e.n_in, 1);
	assert_string_equal(decider(&e.in[0])->rule, "ssh");
	explain_to(1, 2, 2, tcp_spec(40000, 23, TCP_SYN));
	assert_int_equal(e.why, VSW_DROP_POLICY);
	pkt_of_frame(&pkt, frame_of(1, 2, udp_spec(1, 2)), 0);
	vsw_explain_fini(&e);
	assert_int_equal(vsw_explain(NULL, NULL, &pkt, &e), -EINVAL);
}

/* Policies come and go meanwhile, with flush and without; few ports, so that connections are met.
 */
static void what_is_explained_is_what_happens(void **state)
{
	struct policy *(*const kinds[])(void) = {ssh_only, nothing_in, nat};
	unsigned int passed = 0, dropped = 0, seed = 1;

	(void)state;
	for (unsigned int i = 0; i < 6000; i++) {
		unsigned int from = 1 + (unsigned int)rand_r(&seed) % 3;
		unsigned int to = 1 + (from + (unsigned int)rand_r(&seed) % 2) % 3;
		uint16_t sport = (uint16_t)(21 + rand_r(&seed) % 3);
		uint16_t dport = (uint16_t)(21 + rand_r(&seed) % 3);
		struct frame_spec spec = udp_spec(sport, dport);

		if (rand_r(&seed) % 2)
			spec = tcp_spec(sport, dport, (uint8_t)(rand_r(&seed) % 32));
		if (rand_r(&seed) % 64 == 0)
			give(1 + (unsigned int)rand_r(&seed) % 3, kinds[rand_r(&seed) % 3](),
			     rand_r(&seed) % 2);
		explain(from, to, spec);
		assert_int_equal(sent_by(from, to, spec), e.why == VSW_DROP_NONE);
		*(e.why == VSW_DROP_NONE ? &passed : &dropped) += 1;
	}
	assert_true(passed > 500 && dropped > 500);
}

static void a_change_reads_well(void **state)
{
	struct vsw_xpose x = {
		.flags = XPOSE_ETH_DST | XPOSE_IP_DST | XPOSE_L4_SRC | XPOSE_TTL | XPOSE_DSCP |
			 XPOSE_TUN_SET,
		.eth_dst = {2, 0, 0, 0, 0, 9},
		.ip_dst = {0xfd, [15] = 1},
		.l4_src = 7,
		.ttl_dec = 1,
		.dscp = 46,
		.tun = {.set = true, .vni = 5000, .remote = {[10] = 0xff, 0xff, 10, 1, 1, 1}}};
	char words[300], little[12];

	(void)state;
	assert_string_equal(vsw_xpose_words(&x, words, sizeof(words)),
			    "destination MAC becomes 02:00:00:00:00:09, source port becomes 7, "
			    "destination becomes fd00::1, TTL less 1, DSCP becomes 46, into a "
			    "tunnel to 10.1.1.1, VNI 5000");
	assert_string_equal(vsw_xpose_words(&x, little, sizeof(little)), "destination");
	x = (struct vsw_xpose){
		.flags = XPOSE_IP_DST | XPOSE_L4_DST, .ip_dst = {0xfd, [15] = 1}, .l4_dst = 80};
	assert_string_equal(vsw_xpose_words(&x, words, sizeof(words)),
			    "destination becomes [fd00::1]:80");
	x = (struct vsw_xpose){0};
	assert_string_equal(vsw_xpose_words(&x, words, sizeof(words)), "");
	xpose_vlan_pop(&x);
	xpose_vlan_push(&x, 7);
	assert_string_equal(vsw_xpose_words(&x, words, sizeof(words)),
			    "1 VLAN tag off, tag of VLAN 7 on");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, flow_setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_way_without_policies_is_short),
		TEST(who_denies_is_named),
		TEST(who_allows_is_named_too),
		TEST(explaining_changes_nothing),
		TEST(a_known_connection_is_told),
		TEST(a_new_policy_is_explained_before_its_packets_come),
		TEST(a_first_packet_on_an_old_connection_is_a_first_one),
		TEST(what_becomes_of_it_is_told),
		TEST(a_flood_is_told_port_by_port),
		TEST(what_goes_nowhere_says_why),
		TEST(to_an_address_of_its_own),
		TEST(from_outside_only_the_receiver_is_asked),
		TEST(what_is_explained_is_what_happens),
		TEST(a_change_reads_well),
	};

	return cmocka_run_group_tests_name("vsw_explain", tests, NULL, NULL);
}
