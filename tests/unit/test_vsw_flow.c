/* SPDX-License-Identifier: BSD-2-Clause */
/* Claims about connections: vswitch/{judge,port_policy,send_special}.c and vswitch/flow/. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/util.h"
#include "base/wire.h"
#include "flow_rig.h"
#include "tests/lib/wait.h"

static const char *state_of_first;

static bool note_state(void *arg, const struct vsw_flow_info *f)
{
	unsigned int *n = arg;

	state_of_first = f->state;
	(*n)++;
	return true;
}

static const char *state_at(unsigned int host)
{
	unsigned int n = 0;

	vsw_port_flows(&port[host].port, note_state, &n);
	return n == 1 ? state_of_first : n ? "many" : "none";
}

static void a_port_without_policy_keeps_no_connections(void **state)
{
	struct vsw_flow_stats s;

	(void)state;
	assert_true(connects(1, 2, 40000, 22));
	assert_false(vsw_port_flow_stats(&port[1].port, &s));
	assert_null(vsw_port_policy(&port[1].port));
}

static void what_no_rule_allows_does_not_arrive(void **state)
{
	(void)state;
	give(2, ssh_only(), false);
	assert_false(tcp(1, 2, 40000, 23, TCP_SYN));
	assert_false(udp(1, 2, 40000, 22));
	assert_int_equal(TX_DROPS(1, POLICY), 2);
	assert_int_equal(RX_DROPS(2, POLICY), 2);
	assert_int_equal(stats_of(2).denied[POLICY_IN], 2);
	assert_int_equal(stats_of(2).n, 0);
	assert_true(connects(1, 2, 40000, 22));
	assert_int_equal(stats_of(2).n, 1);
}

static void answers_need_no_rule_and_strangers_do(void **state)
{
	(void)state;
	give(2, nothing_in(), false);
	assert_false(udp(1, 2, 53, 1000));
	assert_true(udp(2, 1, 1000, 53));
	assert_true(udp(1, 2, 53, 1000));
	assert_false(udp(1, 2, 54, 1000));
	assert_false(udp(3, 2, 53, 1000));
	assert_true(ping(2, 1, 8, 7));
	assert_true(ping(1, 2, 0, 7));
	assert_false(ping(1, 2, 0, 8));
	assert_false(ping(1, 2, 8, 9));
	assert_true(connects(2, 3, 40000, 80));
	assert_false(tcp(3, 2, 40000, 80, TCP_SYN));
	assert_int_equal(stats_of(2).n, 3);
}

static void a_stateless_rule_lets_no_answer_pass(void **state)
{
	struct policy_rule out = allow_all;

	(void)state;
	out.stateful = false;
	give(2, policy_of_rules(&out, 1, &deny_all, 1), false);
	assert_true(udp(2, 1, 1000, 53));
	assert_false(udp(1, 2, 53, 1000));
}

static void both_ports_of_a_packet_judge_it(void **state)
{
	(void)state;
	give(1, policy_of_rules(&deny_all, 1, &deny_all, 1), false);
	give(2, ssh_only(), false);
	assert_false(tcp(1, 2, 40000, 22, TCP_SYN));
	assert_int_equal(TX_DROPS(1, POLICY), 1);
	/* Denied where it left: the receiver never heard of it. */
	assert_int_equal(RX_DROPS(2, POLICY), 0);
	give(1, policy_of_rules(&allow_all, 1, &deny_all, 1), false);
	assert_true(connects(1, 2, 40000, 22));
	assert_false(tcp(1, 2, 40000, 23, TCP_SYN));
	assert_int_equal(RX_DROPS(2, POLICY), 1);
}

static void a_rule_that_goes_leaves_connections_unless_flushed(void **state)
{
	(void)state;
	give(2, ssh_only(), false);
	assert_true(connects(1, 2, 40000, 22));
	give(2, nothing_in(), false);
	assert_true(tcp(1, 2, 40000, 22, TCP_ACK));
	assert_true(tcp(2, 1, 22, 40000, TCP_ACK));
	assert_false(tcp(1, 2, 40001, 22, TCP_SYN));
	assert_int_equal(stats_of(2).kept, 1);
	assert_int_equal(stats_of(2).n, 1);
	give(2, nothing_in(), true);
	assert_false(tcp(1, 2, 40000, 22, TCP_ACK));
	assert_int_equal(stats_of(2).cut, 1);
	assert_string_equal(state_at(2), "cut");
}

static bool is_empty(void);

static void what_was_cut_stays_cut(void **state)
{
	const struct vsw_flow_conf conf = {.time_wait_ms = 20, .reset_ms = 20};

	(void)state;
	vsw_flow_configure(&conf);
	give(2, ssh_only(), false);
	assert_true(connects(1, 2, 40000, 22));
	give(2, nothing_in(), true);
	assert_false(tcp(1, 2, 40000, 22, TCP_ACK));
	/* What its guest still sends is no connection of its own, which would let the answers in. */
	assert_false(tcp(2, 1, 22, 40000, TCP_ACK));
	assert_false(tcp(1, 2, 40000, 22, TCP_ACK));
	/* A new one by the same ports is asked anew, and so is everything by another policy. */
	assert_false(tcp(1, 2, 40000, 22, TCP_SYN));
	assert_true(tcp(2, 1, 22, 40000, TCP_SYN));
	assert_true(connects(2, 1, 41000, 80));
	give(2, policy_of_rules(&deny_all, 1, &deny_all, 1), true);
	assert_false(tcp(2, 1, 41000, 80, TCP_ACK));
	give(2, nothing_in(), false);
	assert_true(tcp(2, 1, 41000, 80, TCP_ACK));
	/* And it is forgotten in the end. */
	give(2, policy_of_rules(&deny_all, 1, &deny_all, 1), true);
	assert_false(tcp(2, 1, 41000, 80, TCP_ACK));
	assert_false(tcp(2, 1, 22, 40000, TCP_ACK));
	assert_true(wait_until(is_empty(), WAIT_MS));
}

static void disguised_ipv4_is_not_let_through(void **state)
{
	struct frame_spec s = {.ip = 6,
			       .proto = IPPROTO_UDP,
			       .sport = 1000,
			       .dport = 53,
			       .payload_len = 10,
			       .saddr = {[10] = 0xff, 0xff, 10, 0, 0, 1}};

	(void)state;
	give(2, policy_of_rules(&allow_all, 1, &allow_all, 1), false);
	assert_false(sent_by(1, 2, s));
	assert_int_equal(TX_DROPS(1, SRC_INVALID), 1);
	memset(s.saddr, 0, 16);
	assert_true(sent_by(1, 2, s));
}

static void a_flush_cuts_from_either_side(void **state)
{
	(void)state;
	give(2, ssh_only(), false);
	assert_true(connects(1, 2, 40000, 22));
	give(2, nothing_in(), true);
	/* An answer is judged by what its connection's first packet was. */
	assert_false(tcp(2, 1, 22, 40000, TCP_ACK));
	assert_string_equal(state_at(2), "cut");
}

static void a_flush_spares_what_is_still_allowed(void **state)
{
	(void)state;
	give(2, ssh_only(), false);
	assert_true(connects(1, 2, 40000, 22));
	give(2, ssh_only(), true);
	assert_true(tcp(2, 1, 22, 40000, TCP_ACK));
	assert_true(tcp(1, 2, 40000, 22, TCP_ACK));
	assert_int_equal(stats_of(2).cut, 0);
	assert_int_equal(stats_of(2).resimulated, 1);
}

static void few_are_judged_anew_at_once(void **state)
{
	enum { N = 6000 };
	struct vsw_flow_stats s;

	(void)state;
	give(2, nothing_in(), false);
	for (unsigned int i = 0; i < N; i++)
		assert_true(udp(2, 1, (uint16_t)(1000 + i), 53));
	give(2, nothing_in(), false);
	for (unsigned int i = 0; i < N; i++)
		assert_true(udp(1, 2, 53, (uint16_t)(1000 + i)));
	s = stats_of(2);
	/* All went on; the rest is for the next ticks. */
	assert_in_range(s.resimulated, 1, N - 1);
	vsw_tick(vsw);
	for (unsigned int i = 0; i < N; i++)
		assert_true(udp(1, 2, 53, (uint16_t)(1000 + i)));
	assert_int_equal(stats_of(2).resimulated, N);
}

static void without_policy_again_everything_passes(void **state)
{
	(void)state;
	give(2, nothing_in(), false);
	assert_false(udp(1, 2, 1, 2));
	assert_int_equal(vsw_port_set_policy(&port[2].port, NULL, false), 0);
	assert_true(udp(1, 2, 1, 2));
	assert_null(vsw_port_policy(&port[2].port));
}

static void a_path_takes_no_policy(void **state)
{
	struct policy *p = nothing_in();
	struct test_port loose;

	(void)state;
	test_port_init(&loose, 9);
	assert_int_equal(vsw_port_set_policy(&loose.port, p, false), -EINVAL);
	policy_put(p);
}

/* ---- Life of a connection -------------------------------------------------------------------- */

static void tcp_goes_through_its_states(void **state)
{
	(void)state;
	give(2, ssh_only(), false);
	assert_true(tcp(1, 2, 40000, 22, TCP_SYN));
	assert_string_equal(state_at(2), "new");
	assert_true(tcp(2, 1, 22, 40000, TCP_SYN | TCP_ACK));
	assert_string_equal(state_at(2), "replied");
	assert_true(tcp(1, 2, 40000, 22, TCP_ACK));
	assert_string_equal(state_at(2), "established");
	assert_true(tcp(1, 2, 40000, 22, TCP_FIN | TCP_ACK));
	assert_string_equal(state_at(2), "closing");
	assert_true(tcp(2, 1, 22, 40000, TCP_FIN | TCP_ACK));
	assert_string_equal(state_at(2), "time-wait");
	assert_true(tcp(1, 2, 40000, 22, TCP_ACK));
	assert_string_equal(state_at(2), "time-wait");
	/* The same ports again: a new connection, asked anew. */
	assert_true(tcp(1, 2, 40000, 22, TCP_SYN));
	assert_string_equal(state_at(2), "new");
	assert_true(tcp(2, 1, 22, 40000, TCP_RST | TCP_ACK));
	assert_string_equal(state_at(2), "reset");
	assert_int_equal(stats_of(2).made, 2);
}

static void a_connection_older_than_the_policy_is_picked_up(void **state)
{
	(void)state;
	assert_true(connects(1, 2, 40000, 22));
	give(2, ssh_only(), false);
	assert_true(tcp(1, 2, 40000, 22, TCP_ACK));
	assert_string_equal(state_at(2), "picked-up");
	assert_true(tcp(2, 1, 22, 40000, TCP_ACK));
	assert_string_equal(state_at(2), "established");
}

static bool is_empty(void)
{
	ticks();
	return !stats_of(2).n;
}

static void idle_connections_expire(void **state)
{
	const struct vsw_flow_conf conf = {
		.embryonic_ms = 20, .established_ms = 40, .time_wait_ms = 20, .other_ms = 30};

	(void)state;
	vsw_flow_configure(&conf);
	give(2, ssh_only(), false);
	assert_true(connects(1, 2, 40000, 22));
	assert_true(tcp(1, 2, 40001, 22, TCP_SYN));
	assert_true(ping(2, 1, 8, 1));
	assert_int_equal(stats_of(2).n, 3);
	assert_true(wait_until(is_empty(), WAIT_MS));
	assert_int_equal(stats_of(2).expired, 3);
	/* And their answers are strangers now. */
	assert_false(ping(1, 2, 0, 1));
}

static void a_rule_has_an_idle_time_of_its_own(void **state)
{
	struct policy_rule out = allow_all;

	(void)state;
	out.idle_ms = 20;
	give(2, policy_of_rules(&out, 1, &deny_all, 1), false);
	assert_true(udp(2, 1, 1000, 53));
	assert_true(udp(1, 2, 53, 1000));
	assert_true(wait_until(is_empty(), WAIT_MS));
}

static void many_connections_come_and_go(void **state)
{
	enum { N = 100000 };
	const struct vsw_flow_conf conf = {.other_ms = 1};
	struct vsw_flow_stats s;

	(void)state;
	vsw_flow_configure(&conf);
	give(2, nothing_in(), false);
	for (unsigned int i = 0; i < N; i++)
		assert_true(udp(2, 1, (uint16_t)(i % 50000 + 1), (uint16_t)(i / 50000 + 1)));
	s = stats_of(2);
	assert_int_equal(s.n, N);
	assert_int_equal(s.made, N);
	assert_int_equal(s.full, 0);
	assert_true(wait_until(is_empty(), WAIT_MS));
	assert_int_equal(stats_of(2).expired, N);
}

static void a_table_has_an_end_and_says_so(void **state)
{
	const struct vsw_flow_conf conf = {.max = 100};

	(void)state;
	vsw_flow_configure(&conf);
	give(2, nothing_in(), false);
	for (unsigned int i = 0; i < 100; i++)
		assert_true(udp(2, 1, (uint16_t)(1000 + i), 53));
	assert_false(udp(2, 1, 999, 53));
	assert_int_equal(TX_DROPS(2, FLOWS), 1);
	assert_int_equal(stats_of(2).full, 1);
	/* Those that are there go on. */
	assert_true(udp(1, 2, 53, 1000));
	assert_true(udp(2, 1, 1000, 53));
}

static void a_sender_cannot_fill_anothers_table(void **state)
{
	const struct vsw_flow_conf conf = {.max = 400};
	unsigned int ok = 0;

	(void)state;
	vsw_flow_configure(&conf);
	give(2, policy_of_rules(&allow_all, 1, &allow_all, 1), false);
	for (unsigned int i = 0; i < 400; i++)
		ok += udp(3, 2, (uint16_t)(1000 + i), 53);
	assert_int_equal(ok, 300);
	assert_int_equal(RX_DROPS(2, FLOWS), 100);
	assert_int_equal(TX_DROPS(3, FLOWS), 100);
	assert_int_equal(stats_of(2).full_share, 100);
	/* Its own guest, and others, still can. */
	assert_true(udp(2, 1, 1000, 53));
	assert_true(udp(1, 2, 1000, 54));
}

/* ---- What belongs to no connection ------------------------------------------------------------ */

static void errors_about_a_connection_pass(void **state)
{
	struct frame_spec s = {.ip = 4, .proto = IPPROTO_ICMP, .payload_len = 60};
	static struct frame inner, f;
	struct pkt pkt, *pkts = &pkt;

	(void)state;
	give(2, nothing_in(), false);
	assert_true(udp(2, 1, 1000, 53));
	inner = *frame_of(2, 1,
			  (struct frame_spec){.ip = 4,
					      .proto = IPPROTO_UDP,
					      .sport = 1000,
					      .dport = 53,
					      .payload_len = 10});
	for (unsigned int about_it = 0; about_it < 2; about_it++) {
		uint64_t before = port[2].frames;

		f = *frame_of(1, 2, s);
		f.data[f.l4] = 3;
		f.data[f.l4 + 1] = 3;
		memcpy(f.data + f.l4 + 8, inner.data + inner.l3, 28);
		/* About a port that was never spoken of. */
		if (!about_it)
			f.data[f.l4 + 8 + 20 + 3] = 99;
		frame_sum(&f);
		pkt_of_frame(&pkt, &f, 0);
		assert_int_equal(vsw_send(&port[1].port, &pkts, 1), 1);
		assert_int_equal(port[2].frames - before, about_it);
	}
	assert_int_equal(stats_of(2).n, 1);
}

static bool fragment(unsigned int from, unsigned int to, uint16_t ports, uint16_t id, uint16_t frag)
{
	struct frame_spec s = {.ip = 4,
			       .proto = IPPROTO_UDP,
			       .sport = ports,
			       .dport = ports,
			       .ip_id = id,
			       .frag = frag,
			       .payload_len = 64};

	return sent_by(from, to, s);
}

static void later_fragments_follow_their_first(void **state)
{
	struct policy_rule in[] = {allow_all, deny_all};
	const struct policy_range dns = {53, 53};

	(void)state;
	in[0].match.dport = &dns;
	in[0].match.n_dport = 1;
	give(2, policy_of_rules(&allow_all, 1, in, 2), false);
	/* Nobody knows yet whose it is. */
	assert_false(fragment(1, 2, 53, 7, 9));
	assert_true(fragment(1, 2, 53, 7, 0x2000));
	assert_true(fragment(1, 2, 0, 7, 0x2009));
	assert_true(fragment(1, 2, 0, 7, 18));
	/* Another packet's, another sender's, and of one that was not let in. */
	assert_false(fragment(1, 2, 0, 8, 9));
	assert_false(fragment(3, 2, 0, 7, 9));
	assert_false(fragment(1, 2, 54, 9, 0x2000));
	assert_false(fragment(1, 2, 0, 9, 9));
	assert_int_equal(stats_of(2).n, 1);
	/* Answers in fragments need no rule either. */
	assert_true(fragment(2, 1, 53, 70, 0x2000));
	assert_true(fragment(2, 1, 0, 70, 9));
}

static void broadcasts_are_judged_for_each_receiver(void **state)
{
	static struct frame f;
	struct pkt pkt, *pkts = &pkt;

	(void)state;
	give(2, nothing_in(), false);
	frame_udp(&f, 1, 0, 20);
	pkt_of_frame(&pkt, &f, 0);
	assert_int_equal(vsw_send(&port[1].port, &pkts, 1), 1);
	assert_int_equal(port[2].frames, 0);
	assert_int_equal(port[3].frames, 1);
	assert_int_equal(RX_DROPS(2, POLICY), 1);
	assert_int_equal(stats_of(2).n, 0);
}

/* ---- What is done to packets ------------------------------------------------------------------ */

static const struct policy_prefix vip = {.addr = {[10] = 0xff, 0xff, 192, 0, 2, 1}, .len = 128};

static struct frame last_at(unsigned int host)
{
	struct frame f = {0};

	assert_int_equal(port[host].n, 1);
	f.len = port[host].frame[0].len;
	memcpy(f.data, port[host].frame[0].data, f.len);
	assert_true(frame_parse(&f));
	assert_true(frame_ip_sum_ok(&f) && frame_l4_sum_ok(&f));
	test_port_clear(&port[host]);
	return f;
}

static struct policy *source_nat(uint16_t lo, uint16_t hi)
{
	struct policy_rule out = allow_all;

	out.action.nat = POLICY_NAT_REWRITE;
	memcpy(out.action.nat_addr, vip.addr, 16);
	out.action.nat_port = (struct policy_range){lo, hi};
	return policy_of_rules(&out, 1, &deny_all, 1);
}

static void a_translated_connection_works_both_ways(void **state)
{
	struct frame_spec back = {.ip = 4, .proto = IPPROTO_UDP, .payload_len = 10};
	struct frame f, inside;

	(void)state;
	port[1].keep = port[2].keep = true;
	give(2, source_nat(5000, 5001), false);
	inside = *frame_of(2, 1, (struct frame_spec){.ip = 4});
	assert_true(udp(2, 1, 1000, 53));
	f = last_at(1);
	assert_memory_equal(f.data + f.l3 + 12, vip.addr + 12, 4);
	assert_in_range(be16_load(f.data + f.l4), 5000, 5001);
	back.sport = 53;
	back.dport = be16_load(f.data + f.l4);
	memcpy(back.daddr, vip.addr + 12, 4);
	assert_true(sent_by(1, 2, back));
	f = last_at(2);
	assert_memory_equal(f.data + f.l3 + 16, inside.data + inside.l3 + 12, 4);
	assert_int_equal(be16_load(f.data + f.l4 + 2), 1000);
	/* Two ports: two connections to one place, and no third. */
	assert_true(udp(2, 1, 1001, 53));
	test_port_clear(&port[1]);
	assert_false(udp(2, 1, 1002, 53));
	assert_int_equal(TX_DROPS(2, NAT_PORTS), 1);
	/* The same port may serve towards another place. */
	assert_true(udp(2, 1, 1002, 54));
	/* The guest's own address is not what the network knows. */
	test_port_clear(&port[1]);
	assert_false(udp(1, 2, 53, 1000));
}

static void a_service_behind_another_address(void **state)
{
	static const struct policy_range web = {80, 80};
	struct policy_rule in[2] = {allow_all, deny_all};
	struct frame_spec s = {
		.ip = 4, .proto = IPPROTO_TCP, .sport = 40000, .dport = 80, .tcp_flags = TCP_SYN};
	struct frame f, inside;

	(void)state;
	port[1].keep = port[2].keep = true;
	in[0].match = (struct policy_match){
		.dst = &vip, .n_dst = 1, .dport = &web, .n_dport = 1, .vni = POLICY_ANY_VNI};
	in[0].action.nat = POLICY_NAT_REWRITE;
	in[0].action.nat_port = (struct policy_range){8080, 8080};
	inside = *frame_of(1, 2, (struct frame_spec){.ip = 4});
	memcpy(in[0].action.nat_addr, (const uint8_t[12]){[10] = 0xff, 0xff}, 12);
	memcpy(in[0].action.nat_addr + 12, inside.data + inside.l3 + 16, 4);
	give(2, policy_of_rules(&deny_all, 1, in, 2), false);
	memcpy(s.daddr, vip.addr + 12, 4);
	assert_true(sent_by(1, 2, s));
	f = last_at(2);
	assert_int_equal(be16_load(f.data + f.l4 + 2), 8080);
	assert_memory_equal(f.data + f.l3 + 16, inside.data + inside.l3 + 16, 4);
	assert_true(tcp(2, 1, 8080, 40000, TCP_SYN | TCP_ACK));
	f = last_at(1);
	assert_int_equal(be16_load(f.data + f.l4), 80);
	assert_memory_equal(f.data + f.l3 + 12, vip.addr + 12, 4);
	/* A change of policy that leaves the translation leaves the connection. */
	give(2, policy_of_rules(&deny_all, 1, in, 2), true);
	assert_true(tcp(2, 1, 8080, 40000, TCP_ACK));
	f = last_at(1);
	assert_int_equal(be16_load(f.data + f.l4), 80);
	s.tcp_flags = TCP_ACK;
	assert_true(sent_by(1, 2, s));
	f = last_at(2);
	assert_int_equal(be16_load(f.data + f.l4 + 2), 8080);
	assert_int_equal(stats_of(2).cut, 0);
}

static void the_switch_answers_for_translated_addresses(void **state)
{
	struct frame_spec s = {.ip = 0, .eth_type = 0x0806, .payload_len = 28};
	static const uint8_t kinds[8] = {0, 1, 8, 0, 6, 4, 0, 1};
	struct pkt pkt, *pkts = &pkt;
	struct frame f;

	(void)state;
	port[1].keep = true;
	give(2, source_nat(5000, 5001), false);
	for (unsigned int theirs = 0; theirs < 2; theirs++) {
		uint8_t *arp;

		f = *frame_of(1, 2, s);
		memset(f.data, 0xff, 6);
		arp = f.data + 14;
		memcpy(arp, kinds, 8);
		memcpy(arp + 8, f.data + 6, 6);
		memcpy(arp + 14, (const uint8_t[4]){10, 0, 0, 1}, 4);
		memset(arp + 18, 0, 6);
		memcpy(arp + 24, vip.addr + 12, 4);
		arp[27] = (uint8_t)(arp[27] + theirs);
		pkt_of_frame(&pkt, &f, 0);
		assert_int_equal(vsw_send(&port[1].port, &pkts, 1), 1);
		assert_int_equal(port[1].n, theirs ? 0 : 1);
		if (theirs)
			break;
		/* That it is at the guest's own MAC. */
		assert_memory_equal(port[1].frame[0].data, f.data + 6, 6);
		assert_memory_equal(port[1].frame[0].data + 6, port[2].port.mac, 6);
		assert_int_equal(be16_load(port[1].frame[0].data + 20), 2);
		assert_memory_equal(port[1].frame[0].data + 22, port[2].port.mac, 6);
		assert_memory_equal(port[1].frame[0].data + 28, vip.addr + 12, 4);
		test_port_clear(&port[1]);
	}
}

static void a_sender_that_waits_keeps_its_packet_as_it_was(void **state)
{
	static struct frame f;
	struct pkt pkt, *pkts = &pkt;

	(void)state;
	port[1].room = 0;
	port[1].keep = true;
	give(2, source_nat(0, 0), false);
	f = *frame_of(2, 1, (struct frame_spec){.ip = 4, .proto = IPPROTO_UDP, .sport = 1, .dport = 2});
	pkt_of_frame(&pkt, &f, 0);
	assert_int_equal(vsw_send(&port[2].port, &pkts, 1), 0);
	assert_ptr_equal(pkt.waits_for, &port[1].port);
	assert_memory_equal(pkt.hdr, f.data, f.len);
	test_port_refill(&port[1], 1);
	assert_int_equal(vsw_send(&port[2].port, &pkts, 1), 1);
	f = last_at(1);
	assert_memory_equal(f.data + f.l3 + 12, vip.addr + 12, 4);
	assert_int_equal(stats_of(2).n, 1);
}

static bool sum_packets(void *arg, const struct vsw_flow_info *f)
{
	uint64_t *n = arg;

	n[POLICY_OUT] += f->packets[POLICY_OUT];
	n[POLICY_IN] += f->packets[POLICY_IN];
	return true;
}

static void connections_count_what_went_through(void **state)
{
	uint64_t n[POLICY_N_DIRS] = {0};

	(void)state;
	give(2, nothing_in(), false);
	for (unsigned int i = 0; i < 5; i++)
		assert_true(udp(2, 1, 1000, 53));
	for (unsigned int i = 0; i < 3; i++)
		assert_true(udp(1, 2, 53, 1000));
	vsw_port_flows(&port[2].port, sum_packets, n);
	assert_int_equal(n[POLICY_OUT], 5);
	assert_int_equal(n[POLICY_IN], 3);
}

static bool all_of_them(void *arg, const struct vsw_flow_info *f)
{
	(void)arg;
	(void)f;
	return true;
}

static void connections_can_be_ended(void **state)
{
	(void)state;
	give(2, nothing_in(), false);
	assert_true(udp(2, 1, 1000, 53));
	assert_true(udp(2, 1, 1001, 53));
	assert_int_equal(vsw_port_flows_cut(&port[2].port, all_of_them, NULL), 2);
	assert_int_equal(stats_of(2).n, 0);
	assert_false(udp(1, 2, 53, 1000));
	ticks();
	assert_true(udp(2, 1, 1000, 53));
}

static void meters_and_limits_hold_on(void **state)
{
	static const char *const names[] = {"web"};
	struct policy_rule out = allow_all;
	const struct policy_group g = {.name = "g", .dir = POLICY_OUT, .rules = &out, .n_rules = 1};
	const struct policy_layer layer = {.name = "l", .groups = &g, .n_groups = 1};
	const struct policy_spec spec = {
		.layers = &layer, .n_layers = 1, .meters = names, .n_meters = 1};
	unsigned int ok = 0;
	struct policy *p;

	(void)state;
	out.action.meter = 1;
	out.action.limit_mbps = 1;
	p = policy_new(&spec, NULL, NULL);
	assert_non_null(p);
	give(2, policy_get(p), false);
	/* 50 ms of 1 Mbit/s are some 6250 bytes; each frame is 60 and 1000. */
	for (unsigned int i = 0; i < 1000; i++)
		ok += sent_by(2, 1,
			      (struct frame_spec){.ip = 4,
						  .proto = IPPROTO_UDP,
						  .sport = 1,
						  .dport = 2,
						  .payload_len = 1000});
	assert_in_range(ok, 5, 900);
	assert_int_equal(TX_DROPS(2, RATE), 1000 - ok);
	assert_int_equal(atomic_load(&policy_meter(p, 0)->packets[POLICY_OUT]), ok);
	policy_put(p);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, flow_setup, flow_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_port_without_policy_keeps_no_connections),
		TEST(what_no_rule_allows_does_not_arrive),
		TEST(answers_need_no_rule_and_strangers_do),
		TEST(a_stateless_rule_lets_no_answer_pass),
		TEST(both_ports_of_a_packet_judge_it),
		TEST(a_rule_that_goes_leaves_connections_unless_flushed),
		TEST(a_flush_cuts_from_either_side),
		TEST(what_was_cut_stays_cut),
		TEST(disguised_ipv4_is_not_let_through),
		TEST(a_flush_spares_what_is_still_allowed),
		TEST(few_are_judged_anew_at_once),
		TEST(without_policy_again_everything_passes),
		TEST(a_path_takes_no_policy),
		TEST(tcp_goes_through_its_states),
		TEST(a_connection_older_than_the_policy_is_picked_up),
		TEST(idle_connections_expire),
		TEST(a_rule_has_an_idle_time_of_its_own),
		TEST(many_connections_come_and_go),
		TEST(a_table_has_an_end_and_says_so),
		TEST(a_sender_cannot_fill_anothers_table),
		TEST(errors_about_a_connection_pass),
		TEST(later_fragments_follow_their_first),
		TEST(broadcasts_are_judged_for_each_receiver),
		TEST(a_translated_connection_works_both_ways),
		TEST(a_service_behind_another_address),
		TEST(the_switch_answers_for_translated_addresses),
		TEST(a_sender_that_waits_keeps_its_packet_as_it_was),
		TEST(connections_count_what_went_through),
		TEST(connections_can_be_ended),
		TEST(meters_and_limits_hold_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
