/* SPDX-License-Identifier: BSD-2-Clause */
/* Claims about vswitch/policy/: which rule a walk obeys, what it composes, what replies see. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy_rig.h"
#include "vswitch/packet.h"
#include "vswitch/parse.h"

#define GUEST  0x0a000004u
#define PEER   0x0a000005u
#define PUBLIC 0xc0000201u /* 192.0.2.1 */

static const struct policy_range ssh[] = {{22, 22}}, low[] = {{0, 1023}}, web[] = {{80, 80}};
static const uint8_t tcp_only[] = {IPPROTO_TCP};

static struct policy *make(const struct policy_layer *layers, uint32_t n)
{
	const struct policy_spec s = {.layers = layers, .n_layers = n};
	struct policy_error err;
	struct policy *p = policy_new(&s, NULL, &err);

	if (!p)
		print_message("refused: %s\n", err.reason);
	assert_non_null(p);
	return p;
}

/* One layer of one group. */
static struct policy *one(enum policy_dir dir, const struct policy_rule *rules, uint32_t n)
{
	const struct policy_group g = {.name = "g", .dir = dir, .rules = rules, .n_rules = n};
	const struct policy_layer l = {.name = "l", .groups = &g, .n_groups = 1};

	return make(&l, 1);
}

static struct policy_fields tcp(uint32_t src, uint32_t dst, uint16_t sport, uint16_t dport)
{
	return fields4(IPPROTO_TCP, src, dst, sport, dport);
}

static enum policy_verdict ask(const struct policy *p, enum policy_dir dir, struct policy_fields f,
			       struct policy_result *res)
{
	policy_walk(p, dir, &f, res, NULL);
	return res->verdict;
}

#define assert_rule(p, res, what)                                                                  \
	assert_string_equal(policy_rule_name(p, (res).layer, (res).group, (res).rule), what)

static uint32_t addr4(const uint8_t addr[16])
{
	return (uint32_t)addr[12] << 24 | (uint32_t)addr[13] << 16 | (uint32_t)addr[14] << 8 |
	       addr[15];
}

/* ---- Rules and groups ---------------------------------------------------------------------- */

static void lowest_number_wins(void **state)
{
	const struct policy_rule rules[] = {
		{.name = "deny-all", .priority = 900, .match = MATCH(), DENIES},
		{.name = "ssh",
		 .priority = 100,
		 .match = MATCH(OF(proto, tcp_only), OF(dport, ssh))},
		{.name = "never", .priority = UINT32_MAX, .match = MATCH()},
		{.name = "first", .priority = 0, .match = MATCH(OF(dport, web)), DENIES},
	};
	struct policy *p = one(POLICY_IN, rules, ARRAY_SIZE(rules));
	struct policy_result res;

	(void)state;
	assert_int_equal(policy_n_rules(p), 4);
	assert_int_equal(ask(p, POLICY_IN, tcp(PEER, GUEST, 4000, 22), &res), POLICY_ALLOW);
	assert_int_equal(res.rule, 1);
	assert_rule(p, res, "ssh");
	assert_int_equal(ask(p, POLICY_IN, tcp(PEER, GUEST, 4000, 23), &res), POLICY_DENY);
	assert_rule(p, res, "deny-all");
	assert_false(res.no_nat_port);
	assert_int_equal(ask(p, POLICY_IN, tcp(PEER, GUEST, 4000, 80), &res), POLICY_DENY);
	assert_rule(p, res, "first");
	/* The other direction has no group: nothing is said. */
	assert_int_equal(ask(p, POLICY_OUT, tcp(GUEST, PEER, 4000, 23), &res), POLICY_ALLOW);
	assert_int_equal(res.rule, POLICY_NO_RULE);
	assert_string_equal(policy_rule_name(p, 0, 0, res.rule), "");
	policy_put(p);
}

static void empty_policies_allow(void **state)
{
	const struct policy_group none = {.name = "none", .dir = POLICY_IN};
	const struct policy_layer layers[] = {{.name = "bare"},
					      {.name = "l", .groups = &none, .n_groups = 1}};
	struct policy *p = make(NULL, 0), *q = make(layers, 2);
	struct policy_result res;

	(void)state;
	assert_int_equal(ask(p, POLICY_IN, tcp(PEER, GUEST, 1, 2), &res), POLICY_ALLOW);
	assert_int_equal(ask(q, POLICY_IN, tcp(PEER, GUEST, 1, 2), &res), POLICY_ALLOW);
	assert_int_equal(res.rule, POLICY_NO_RULE);
	assert_int_equal(res.xpose.flags, 0);
	assert_int_equal(res.conn.nat_layer, -1);
	policy_put(p);
	policy_put(q);
	policy_put(NULL);
}

/* Of one layer's groups the last with a match has the word, unless a terminating rule matches. */
static void last_group_or_terminating(void **state)
{
	const struct policy_rule first[] = {
		{.name = "ssh", .priority = 1, .terminating = true, .match = MATCH(OF(dport, ssh))},
		{.name = "low", .priority = 2, .match = MATCH(OF(dport, low))},
	};
	const struct policy_rule second[] = {
		{.name = "not-web", .priority = 1, .match = MATCH(OF(dport, web)), DENIES},
		{.name = "no-ssh", .priority = 2, .match = MATCH(OF(dport, ssh)), DENIES},
	};
	const struct policy_group groups[] = {
		{.name = "a", .dir = POLICY_IN, .rules = first, .n_rules = 2},
		{.name = "b", .dir = POLICY_IN, .rules = second, .n_rules = 2},
	};
	const struct policy_layer l = {.name = "l", .groups = groups, .n_groups = 2};
	struct policy *p = make(&l, 1);
	struct policy_result res;

	(void)state;
	assert_int_equal(ask(p, POLICY_IN, tcp(PEER, GUEST, 1, 22), &res), POLICY_ALLOW);
	assert_rule(p, res, "ssh");
	assert_int_equal(res.group, 0);
	assert_int_equal(ask(p, POLICY_IN, tcp(PEER, GUEST, 1, 80), &res), POLICY_DENY);
	assert_rule(p, res, "not-web");
	assert_int_equal(res.group, 1);
	/* The second has no match: the first one's word stays. */
	assert_int_equal(ask(p, POLICY_IN, tcp(PEER, GUEST, 1, 25), &res), POLICY_ALLOW);
	assert_rule(p, res, "low");
	assert_int_equal(ask(p, POLICY_IN, tcp(PEER, GUEST, 1, 5000), &res), POLICY_ALLOW);
	assert_int_equal(res.rule, POLICY_NO_RULE);
	policy_put(p);
}

static void group_condition(void **state)
{
	const struct policy_prefix peer[] = {v4(PEER, 32)};
	const struct policy_match when = MATCH(OF(src, peer));
	const struct policy_rule deny[] = {{.name = "no", .priority = 1, .match = MATCH(), DENIES}};
	const struct policy_group g = {
		.name = "g", .dir = POLICY_IN, .when = &when, .rules = deny, .n_rules = 1};
	const struct policy_layer l = {.name = "l", .groups = &g, .n_groups = 1};
	struct policy *p = make(&l, 1);
	struct policy_result res;

	(void)state;
	assert_int_equal(ask(p, POLICY_IN, tcp(PEER, GUEST, 1, 2), &res), POLICY_DENY);
	assert_int_equal(ask(p, POLICY_IN, tcp(PEER + 1, GUEST, 1, 2), &res), POLICY_ALLOW);
	policy_put(p);
}

/* ---- Layers -------------------------------------------------------------------------------- */

static void layers_go_out_in_order_and_in_reversed(void **state)
{
	static const char *const names[] = {"near", "middle", "far"};
	const struct policy_rule any[] = {{.name = "any", .priority = 1, .match = MATCH()}};
	const struct policy_group groups[] = {
		{.name = "out", .dir = POLICY_OUT, .rules = any, .n_rules = 1},
		{.name = "in", .dir = POLICY_IN, .rules = any, .n_rules = 1},
	};
	struct policy_layer layers[3];
	struct policy_step steps[8];
	struct policy_trace trace = {.max = 8, .steps = steps};
	const struct policy_ctx ctx = {.trace = &trace};
	struct policy_fields f = tcp(GUEST, PEER, 1, 2);
	struct policy_result res;
	struct policy *p;

	(void)state;
	for (unsigned int i = 0; i < 3; i++)
		layers[i] = (struct policy_layer){names[i], groups, 2};
	p = make(layers, 3);
	policy_walk(p, POLICY_OUT, &f, &res, &ctx);
	assert_int_equal(trace.n, 3);
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(steps[i].layer, i);
		assert_int_equal(steps[i].group, 0);
		assert_int_equal(steps[i].rule, 0);
	}
	assert_int_equal(res.layer, 2);
	trace.n = 0;
	policy_walk(p, POLICY_IN, &f, &res, &ctx);
	assert_int_equal(trace.n, 3);
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(steps[i].layer, 2 - i);
		assert_int_equal(steps[i].group, 1);
	}
	assert_int_equal(res.layer, 0);
	assert_string_equal(policy_layer_name(p, 2), "far");
	assert_string_equal(policy_layer_name(p, 3), "");
	assert_string_equal(policy_group_name(p, 2, 1), "in");
	assert_string_equal(policy_group_name(p, 2, 2), "");
	/* More steps than there is room for are counted. */
	trace = (struct policy_trace){.max = 1, .steps = steps};
	policy_walk(p, POLICY_IN, &f, &res, &ctx);
	assert_int_equal(trace.n, 3);
	policy_put(p);
}

/* The first layer that denies ends it: nobody behind it is asked. */
static void denial_ends_the_walk(void **state)
{
	const struct policy_rule deny[] = {{.name = "no", .priority = 1, .match = MATCH(), DENIES}};
	const struct policy_group g = {.name = "g", .dir = POLICY_OUT, .rules = deny, .n_rules = 1};
	const struct policy_layer layers[] = {{"first", &g, 1}, {"second", &g, 1}};
	struct policy_step steps[4];
	struct policy_trace trace = {.max = 4, .steps = steps};
	const struct policy_ctx ctx = {.trace = &trace};
	struct policy_fields f = tcp(GUEST, PEER, 1, 2);
	struct policy *p = make(layers, 2);
	struct policy_result res;

	(void)state;
	policy_walk(p, POLICY_OUT, &f, &res, &ctx);
	assert_int_equal(res.verdict, POLICY_DENY);
	assert_int_equal(res.layer, 0);
	assert_int_equal(trace.n, 1);
	policy_put(p);
}

/* Each field that a transposition changes is what the next layer's rules look at. */
static void later_layers_see_changes(void **state)
{
	struct vsw_xpose x = {.flags = XPOSE_ETH_DST | XPOSE_IP_DST | XPOSE_L4_DST | XPOSE_TUN_SET,
			      .eth_dst = {2, 9, 9, 9, 9, 9},
			      .l4_dst = 8080,
			      .tun = {.set = true, .vni = 77}};
	static const uint8_t macs[][6] = {{2, 9, 9, 9, 9, 9}};
	const struct policy_prefix moved[] = {v4(PEER + 1, 32)};
	const struct policy_range port[] = {{8080, 8080}};
	const struct policy_rule change[] = {
		{.name = "change", .priority = 1, .match = MATCH(), .action = {.xpose = &x}}};
	const struct policy_rule look[] = {
		{.name = "changed",
		 .priority = 1,
		 .match = {OF(dst_mac, macs), OF(dst, moved), OF(dport, port), .vni = 77}},
		{.name = "unchanged", .priority = 2, .match = MATCH(), DENIES}};
	const struct policy_group a = {
		.name = "a", .dir = POLICY_OUT, .rules = change, .n_rules = 1};
	const struct policy_group b = {.name = "b", .dir = POLICY_OUT, .rules = look, .n_rules = 2};
	const struct policy_layer layers[] = {{"change", &a, 1}, {"look", &b, 1}};
	struct policy_result res;
	struct policy *p;

	(void)state;
	memcpy(x.ip_dst, moved[0].addr, 16);
	p = make(layers, 2);
	memset(&x, 0, sizeof(x)); /* it was copied */
	assert_int_equal(ask(p, POLICY_OUT, tcp(GUEST, PEER, 1, 80), &res), POLICY_ALLOW);
	assert_rule(p, res, "changed");
	assert_int_equal(res.xpose.l4_dst, 8080);
	assert_int_equal(addr4(res.xpose.ip_dst), PEER + 1);
	assert_int_equal(res.xpose.tun.vni, 77);
	policy_put(p);
}

/* IPv4 addresses go into IPv4 packets only, ports into those that have some. */
static void changes_that_do_not_apply(void **state)
{
	struct vsw_xpose x = {.flags = XPOSE_IP_SRC | XPOSE_L4_SRC, .l4_src = 9};
	const struct policy_prefix to[] = {v4(PUBLIC, 32)};
	const struct policy_range nine[] = {{9, 9}};
	const struct policy_rule change[] = {
		{.name = "change", .priority = 1, .match = MATCH(), .action = {.xpose = &x}}};
	const struct policy_rule look[] = {
		{.name = "addr", .priority = 1, .match = MATCH(OF(src, to)), DENIES},
		{.name = "port", .priority = 2, .match = MATCH(OF(sport, nine)), DENIES}};
	const struct policy_group a = {
		.name = "a", .dir = POLICY_OUT, .rules = change, .n_rules = 1};
	const struct policy_group b = {.name = "b", .dir = POLICY_OUT, .rules = look, .n_rules = 2};
	const struct policy_layer layers[] = {{"change", &a, 1}, {"look", &b, 1}};
	struct policy_fields f =
		fields6(IPPROTO_ICMPV6, v6(0x2001, 1, 0), v6(0x2001, 2, 0), 128, 0);
	struct policy_result res;
	struct policy *p;

	(void)state;
	memcpy(x.ip_src, to[0].addr, 16);
	p = make(layers, 2);
	f.has_ident = true; /* what a port is to an echo; its type stays */
	assert_int_equal(ask(p, POLICY_OUT, f, &res), POLICY_ALLOW);
	f = tcp(GUEST, PEER, 1, 2);
	assert_int_equal(ask(p, POLICY_OUT, f, &res), POLICY_DENY);
	assert_rule(p, res, "addr");
	policy_put(p);
}

static void too_many_tags_go_nowhere(void **state)
{
	struct vsw_xpose x = {0};
	const struct policy_rule push[] = {
		{.name = "push", .priority = 1, .match = MATCH(), .action = {.xpose = &x}}};
	const struct policy_group g = {.name = "g", .dir = POLICY_OUT, .rules = push, .n_rules = 1};
	const struct policy_layer layers[] = {{"a", &g, 1}, {"b", &g, 1}};
	struct policy_result res;
	struct policy *p;

	(void)state;
	assert_true(xpose_vlan_push(&x, 1));
	p = make(layers, 2);
	assert_int_equal(ask(p, POLICY_OUT, tcp(GUEST, PEER, 1, 2), &res), POLICY_ALLOW);
	policy_put(p);
	assert_true(xpose_vlan_push(&x, 2));
	p = make(layers, 2);
	assert_int_equal(ask(p, POLICY_OUT, tcp(GUEST, PEER, 1, 2), &res), POLICY_DENY);
	assert_int_equal(res.layer, 1);
	policy_put(p);
}

/* ---- What a rule leaves in the result ------------------------------------------------------ */

static void results_are_gathered(void **state)
{
	static const char *const meters[] = {"m0", "m1"};
	const struct policy_rule near[] = {
		{.name = "near",
		 .priority = 1,
		 .idle_ms = 5000,
		 .match = MATCH(),
		 .action = {.meter = 2, .mirror = 3, .mark = 4, .limit_mbps = 10}}};
	const struct policy_rule far[] = {{.name = "far",
					   .priority = 1,
					   .idle_ms = 700,
					   .stateful = true,
					   .match = MATCH(),
					   .action = {.meter = 2, .mark = 9}}};
	const struct policy_group gn = {
		.name = "g", .dir = POLICY_OUT, .rules = near, .n_rules = 1};
	const struct policy_group gf = {.name = "g", .dir = POLICY_OUT, .rules = far, .n_rules = 1};
	const struct policy_layer layers[] = {{"near", &gn, 1}, {"far", &gf, 1}};
	const struct policy_spec s = {
		.layers = layers, .n_layers = 2, .meters = meters, .n_meters = 2};
	struct policy *p = policy_new(&s, NULL, NULL);
	struct policy_result res;

	(void)state;
	assert_non_null(p);
	ask(p, POLICY_OUT, tcp(GUEST, PEER, 1, 2), &res);
	assert_int_equal(res.idle_ms, 700);
	assert_int_equal(res.mirror, 3);
	assert_int_equal(res.mark, 9);
	assert_int_equal(res.n_limits, 1);
	assert_int_equal(res.n_meters, 1); /* each once */
	assert_int_equal(res.meters[0], 1);
	assert_int_equal(res.conn.stateful, 1u << 1);
	policy_put(p);
}

/* ---- Translation --------------------------------------------------------------------------- */

struct ports {
	uint16_t next, last;
	unsigned int asked;
	struct policy_fields seen;
};

static bool give_port(void *arg, const struct policy_action *a, const struct policy_fields *f,
		      uint16_t *port)
{
	struct ports *p = arg;

	assert_int_equal(a->nat, POLICY_NAT_REWRITE);
	p->asked++;
	p->seen = *f;
	if (p->next > p->last)
		return false;
	*port = p->next++;
	return true;
}

/* Layers: acl (stateful), nat (source becomes PUBLIC, port @lo..@hi), tail (stateless). */
static struct policy *source_nat(uint16_t lo, uint16_t hi)
{
	struct policy_prefix to = v4(PUBLIC, 32);
	const struct policy_prefix pub[] = {to}, guest[] = {v4(GUEST, 32)};
	const struct policy_rule acl_out[] = {
		{.name = "acl", .priority = 1, .stateful = true, .match = MATCH(OF(src, guest))}};
	const struct policy_rule acl_in[] = {
		{.name = "closed", .priority = 1, .match = MATCH(), DENIES}};
	struct policy_rule nat[] = {{.name = "nat",
				     .priority = 1,
				     .stateful = true,
				     .match = MATCH(OF(src, guest)),
				     .action = {.nat = POLICY_NAT_REWRITE, .nat_port = {lo, hi}}}};
	const struct policy_rule tail_out[] = {
		{.name = "public", .priority = 1, .match = MATCH(OF(src, pub))},
		{.name = "other", .priority = 2, .match = MATCH(), DENIES}};
	const struct policy_rule tail_in[] = {
		{.name = "to-public", .priority = 1, .match = MATCH(OF(dst, pub))},
		{.name = "other", .priority = 2, .match = MATCH(), DENIES}};
	const struct policy_group acl_g[] = {
		{.name = "out", .dir = POLICY_OUT, .rules = acl_out, .n_rules = 1},
		{.name = "in", .dir = POLICY_IN, .rules = acl_in, .n_rules = 1}};
	const struct policy_group nat_g[] = {
		{.name = "out", .dir = POLICY_OUT, .rules = nat, .n_rules = 1}};
	const struct policy_group tail_g[] = {
		{.name = "out", .dir = POLICY_OUT, .rules = tail_out, .n_rules = 2},
		{.name = "in", .dir = POLICY_IN, .rules = tail_in, .n_rules = 2}};
	const struct policy_layer layers[] = {
		{"acl", acl_g, 2}, {"nat", nat_g, 1}, {"tail", tail_g, 2}};

	memcpy(nat[0].action.nat_addr, to.addr, 16);
	return make(layers, 3);
}

static void source_nat_and_its_replies(void **state)
{
	struct ports ports = {.next = 50007, .last = 50007};
	struct policy_ctx ctx = {.nat_port = give_port, .arg = &ports};
	struct policy *p = source_nat(50000, 50100);
	struct policy_fields f = tcp(GUEST, PEER, 4000, 80);
	struct policy_step steps[8];
	struct policy_trace trace = {.max = 8, .steps = steps};
	struct policy_result res, back;

	(void)state;
	policy_walk(p, POLICY_OUT, &f, &res, &ctx);
	assert_int_equal(res.verdict, POLICY_ALLOW);
	assert_int_equal(ports.asked, 1);
	assert_int_equal(ports.seen.sport, 4000);
	assert_int_equal(addr4(ports.seen.src), GUEST);
	assert_int_equal(res.xpose.flags, XPOSE_IP_SRC | XPOSE_L4_SRC);
	assert_int_equal(addr4(res.xpose.ip_src), PUBLIC);
	assert_int_equal(res.xpose.l4_src, 50007);
	assert_int_equal(addr4(f.src), PUBLIC); /* as it leaves */
	assert_int_equal(f.sport, 50007);
	assert_int_equal(res.conn.nat_layer, 1);
	assert_int_equal(res.conn.stateful, 0x3);
	assert_rule(p, res, "public");

	/* The reply: tail is asked, nat undoes, acl lets it pass though it is closed inbound. */
	ctx = (struct policy_ctx){.reply = &res.conn, .trace = &trace};
	f = tcp(PEER, PUBLIC, 80, 50007);
	policy_walk(p, POLICY_IN, &f, &back, &ctx);
	assert_int_equal(back.verdict, POLICY_ALLOW);
	assert_int_equal(addr4(f.dst), GUEST);
	assert_int_equal(f.dport, 4000);
	assert_int_equal(back.xpose.flags, XPOSE_IP_DST | XPOSE_L4_DST);
	assert_int_equal(addr4(back.xpose.ip_dst), GUEST);
	assert_int_equal(back.xpose.l4_dst, 4000);
	assert_rule(p, back, "to-public");
	assert_int_equal(trace.n, 3);
	assert_int_equal(steps[0].layer, 2);
	assert_false(steps[0].stateful);
	assert_true(steps[1].stateful && steps[2].stateful);
	assert_int_equal(steps[1].group, POLICY_NO_GROUP);
	assert_int_equal(steps[1].rule, POLICY_NO_RULE);

	/* Stateless layers have their say also on replies. */
	f = tcp(PEER, PUBLIC + 1, 80, 50007);
	policy_walk(p, POLICY_IN, &f, &back, &ctx);
	assert_int_equal(back.verdict, POLICY_DENY);
	assert_int_equal(back.layer, 2);

	/* Without a connection inbound is closed. */
	f = tcp(PEER, PUBLIC, 80, 50007);
	policy_walk(p, POLICY_IN, &f, &back, NULL);
	assert_int_equal(back.verdict, POLICY_DENY);
	assert_int_equal(back.layer, 0);
	policy_put(p);
}

static void no_port_left(void **state)
{
	struct ports ports = {.next = 2, .last = 1};
	const struct policy_ctx ctx = {.nat_port = give_port, .arg = &ports};
	struct policy *p = source_nat(50000, 50100);
	struct policy_fields f = tcp(GUEST, PEER, 4000, 80);
	struct policy_result res;

	(void)state;
	policy_walk(p, POLICY_OUT, &f, &res, &ctx);
	assert_int_equal(res.verdict, POLICY_DENY);
	assert_true(res.no_nat_port);
	assert_rule(p, res, "nat");
	/* Nobody to ask: the first of the range. */
	f = tcp(GUEST, PEER, 4000, 80);
	policy_walk(p, POLICY_OUT, &f, &res, NULL);
	assert_int_equal(res.xpose.l4_src, 50000);
	policy_put(p);
	/* One port is no choice: nobody is asked. */
	p = source_nat(7, 7);
	ports.asked = 0;
	f = tcp(GUEST, PEER, 4000, 80);
	policy_walk(p, POLICY_OUT, &f, &res, &ctx);
	assert_int_equal(res.xpose.l4_src, 7);
	assert_int_equal(ports.asked, 0);
	policy_put(p);
	/* None: the port stays. */
	p = source_nat(0, 0);
	f = tcp(GUEST, PEER, 4000, 80);
	policy_walk(p, POLICY_OUT, &f, &res, &ctx);
	assert_int_equal(res.verdict, POLICY_ALLOW);
	assert_int_equal(res.xpose.flags, XPOSE_IP_SRC);
	assert_int_equal(res.conn.back.flags, XPOSE_IP_DST);
	policy_put(p);
}

/* An echo's identifier is its port; other ICMP keeps what it has; a fragment is refused. */
static void nat_of_echoes_and_fragments(void **state)
{
	struct ports ports = {.next = 50001, .last = 50009};
	const struct policy_ctx ctx = {.nat_port = give_port, .arg = &ports};
	struct policy *p = source_nat(50000, 50100);
	struct policy_fields f = fields4(IPPROTO_ICMP, GUEST, PEER, 8, 0);
	struct policy_result res;

	(void)state;
	f.has_ident = true;
	f.ident = 321;
	policy_walk(p, POLICY_OUT, &f, &res, &ctx);
	assert_int_equal(res.xpose.l4_src, 50001);
	assert_int_equal(res.conn.back.l4_dst, 321);
	assert_int_equal(f.ident, 50001);
	assert_int_equal(f.sport, 8); /* its type stays */
	f = fields4(IPPROTO_ICMP, GUEST, PEER, 3, 1);
	policy_walk(p, POLICY_OUT, &f, &res, &ctx);
	assert_int_equal(res.verdict, POLICY_ALLOW);
	assert_int_equal(res.xpose.flags, XPOSE_IP_SRC);
	f = fields4(IPPROTO_GRE, GUEST, PEER, 0, 0);
	f.has_ports = false;
	policy_walk(p, POLICY_OUT, &f, &res, &ctx);
	assert_int_equal(res.xpose.flags, XPOSE_IP_SRC);
	assert_int_equal(ports.asked, 1);
	/* It asks for a change that xpose_apply() refuses, instead of going half translated. */
	f = tcp(GUEST, PEER, 0, 0);
	f.has_ports = false;
	policy_walk(p, POLICY_OUT, &f, &res, &ctx);
	assert_int_equal(res.xpose.flags, XPOSE_IP_SRC | XPOSE_L4_SRC);
	assert_int_equal(ports.asked, 1);
	policy_put(p);
}

/* Inbound the destination, one port: a VIP. The reply's source goes back. */
static void destination_nat_and_its_replies(void **state)
{
	const struct policy_prefix to = v4(GUEST, 32), pub[] = {v4(PUBLIC, 32)};
	struct policy_rule vip[] = {
		{.name = "vip",
		 .priority = 1,
		 .stateful = true,
		 .match = MATCH(OF(dst, pub), OF(dport, web)),
		 .action = {.nat = POLICY_NAT_REWRITE, .nat_port = {8080, 8080}}}};
	struct policy_fields f = tcp(PEER, PUBLIC, 4000, 80);
	struct policy_result res, back;
	struct policy_ctx ctx = {.reply = &res.conn};
	struct policy *p;

	(void)state;
	memcpy(vip[0].action.nat_addr, to.addr, 16);
	p = one(POLICY_IN, vip, 1);
	policy_walk(p, POLICY_IN, &f, &res, NULL);
	assert_int_equal(res.verdict, POLICY_ALLOW);
	assert_int_equal(res.xpose.flags, XPOSE_IP_DST | XPOSE_L4_DST);
	assert_int_equal(addr4(f.dst), GUEST);
	assert_int_equal(f.dport, 8080);
	f = tcp(GUEST, PEER, 8080, 4000);
	policy_walk(p, POLICY_OUT, &f, &back, &ctx);
	assert_int_equal(addr4(f.src), PUBLIC);
	assert_int_equal(f.sport, 80);
	assert_int_equal(back.xpose.flags, XPOSE_IP_SRC | XPOSE_L4_SRC);
	/* IPv6 has no such destination. */
	f = fields6(IPPROTO_TCP, v6(0x2001, 1, 0), v6(0x2001, 2, 0), 1, 80);
	policy_walk(p, POLICY_IN, &f, &res, NULL);
	assert_int_equal(res.conn.nat_layer, -1);
	policy_put(p);
}

/* An address of the other family is no translation: the packet stays as it is. */
static void nat_of_the_other_family(void **state)
{
	const struct policy_prefix to = v4(PUBLIC, 32);
	struct policy_rule nat[] = {{.name = "nat",
				     .priority = 1,
				     .stateful = true,
				     .match = MATCH(),
				     .action = {.nat = POLICY_NAT_REWRITE}}};
	struct policy_fields f = fields6(IPPROTO_TCP, v6(0x2001, 1, 0), v6(0x2001, 2, 0), 1, 2);
	struct policy_result res;
	struct policy *p;

	(void)state;
	memcpy(nat[0].action.nat_addr, to.addr, 16);
	p = one(POLICY_OUT, nat, 1);
	policy_walk(p, POLICY_OUT, &f, &res, NULL);
	assert_int_equal(res.verdict, POLICY_ALLOW);
	assert_int_equal(res.xpose.flags, 0);
	assert_int_equal(res.conn.nat_layer, -1);
	assert_int_equal(res.conn.stateful, 1);
	policy_put(p);
}

/* ---- Fields of a packet -------------------------------------------------------------------- */

static void fields_of(struct policy_fields *f, const uint8_t *frame, uint32_t len)
{
	struct iovec iov = {(void *)frame, len};
	struct pkt pkt;

	assert_int_equal(pkt_from_iov(&pkt, &iov, 1), 0);
	assert_int_equal(pkt_parse(&pkt), VSW_DROP_NONE);
	policy_fields_from(f, &pkt);
}

static void fields_from_packets(void **state)
{
	uint8_t frame[64] = {2,	   0, 0,  0,  0, 2, 2,	  0,	0,  0,		 0, 1, 8,  0,
			     0x45, 0, 0,  50, 0, 0, 0,	  0,	64, IPPROTO_UDP, 0, 0, 10, 0,
			     0,	   4, 10, 0,  0, 5, 0x12, 0x34, 0,  53,		 0, 30};
	struct policy_fields f;

	(void)state;
	fields_of(&f, frame, sizeof(frame));
	assert_true(f.has_ip && f.has_ports && !f.has_ident);
	assert_int_equal(f.src_mac, 0x020000000001);
	assert_int_equal(f.dst_mac, 0x020000000002);
	assert_int_equal(f.eth_type, 0x0800);
	assert_int_equal(f.vni, POLICY_ANY_VNI);
	assert_int_equal(addr4(f.src), GUEST);
	assert_int_equal(addr4(f.dst), PEER);
	assert_int_equal(f.sport, 0x1234);
	assert_int_equal(f.dport, 53);
	frame[20] = 0x20; /* the first of several fragments has its ports */
	fields_of(&f, frame, sizeof(frame));
	assert_true(f.has_ip && f.has_ports);
	assert_int_equal(f.dport, 53);
	frame[21] = 8; /* a later one has none */
	fields_of(&f, frame, sizeof(frame));
	assert_true(f.has_ip && !f.has_ports);
	assert_int_equal(f.proto, IPPROTO_UDP);
	frame[20] = frame[21] = 0;
	frame[23] = IPPROTO_ICMP;
	frame[34] = 8;
	frame[35] = 0;
	frame[38] = 0xab;
	frame[39] = 0xcd;
	fields_of(&f, frame, sizeof(frame));
	assert_true(f.has_ports && f.has_ident);
	assert_int_equal(f.sport, 8);
	assert_int_equal(f.dport, 0);
	assert_int_equal(f.ident, 0xabcd);
	frame[34] = 3;
	fields_of(&f, frame, sizeof(frame));
	assert_true(f.has_ports && !f.has_ident);
	assert_int_equal(f.ident, 0);
	frame[13] = 6; /* ARP */
	fields_of(&f, frame, sizeof(frame));
	assert_true(!f.has_ip && !f.has_ports);
	assert_int_equal(f.eth_type, 0x0806);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lowest_number_wins),
		cmocka_unit_test(empty_policies_allow),
		cmocka_unit_test(last_group_or_terminating),
		cmocka_unit_test(group_condition),
		cmocka_unit_test(layers_go_out_in_order_and_in_reversed),
		cmocka_unit_test(denial_ends_the_walk),
		cmocka_unit_test(later_layers_see_changes),
		cmocka_unit_test(changes_that_do_not_apply),
		cmocka_unit_test(too_many_tags_go_nowhere),
		cmocka_unit_test(results_are_gathered),
		cmocka_unit_test(source_nat_and_its_replies),
		cmocka_unit_test(no_port_left),
		cmocka_unit_test(nat_of_echoes_and_fragments),
		cmocka_unit_test(destination_nat_and_its_replies),
		cmocka_unit_test(nat_of_the_other_family),
		cmocka_unit_test(fields_from_packets),
	};

	return cmocka_run_group_tests_name("vsw_policy", tests, NULL, NULL);
}
