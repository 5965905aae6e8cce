/* SPDX-License-Identifier: BSD-2-Clause */
/* Claims about vswitch/policy/policy.c: what is refused and how it is told, what one policy hands
 * on to the next, limits and meters. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy_rig.h"

static const struct policy_rule any[] = {{.name = "any", .priority = 1, .match = MATCH()}};
static const struct policy_rule deny[] = {
	{.name = "deny", .priority = 1, .match = MATCH(), DENIES}};

#define GROUP(n, d, r)                                                                             \
	{                                                                                          \
		.name = (n), .dir = (d), .rules = (r), .n_rules = ARRAY_SIZE(r)                    \
	}
#define LAYER(n, g)                                                                                \
	{                                                                                          \
		.name = (n), .groups = (g), .n_groups = ARRAY_SIZE(g)                              \
	}

static struct policy *make(const struct policy_layer *layers, uint32_t n, struct policy_error *err)
{
	const struct policy_spec s = {.layers = layers, .n_layers = n};

	errno = 0;
	return policy_new(&s, NULL, err);
}

static void refused(const struct policy_spec *s, int why, int layer, int group, int rule,
		    const char *reason)
{
	struct policy_error err;

	errno = 0;
	assert_null(policy_new(s, NULL, &err));
	assert_int_equal(errno, why);
	if (!strstr(err.reason, reason))
		print_message("\"%s\" is not in \"%s\"\n", reason, err.reason);
	assert_non_null(strstr(err.reason, reason));
	assert_int_equal(err.layer, layer);
	assert_int_equal(err.group, group);
	assert_int_equal(err.rule, rule);
	errno = 0;
	assert_null(policy_new(s, NULL, NULL));
	assert_int_equal(errno, why);
}

/* The rule is the third of the second group of the second layer. */
static void rule_refused(enum policy_dir dir, const struct policy_rule *bad, const char *reason)
{
	const struct policy_rule rules[] = {
		{.priority = 7, .match = MATCH()}, {.priority = 3, .match = MATCH()}, *bad};
	const struct policy_group groups[] = {GROUP("a", POLICY_IN, any), GROUP("b", dir, rules)};
	const struct policy_layer layers[] = {LAYER("first", groups), LAYER("second", groups)};
	const struct policy_layer only[] = {{.name = "fine"}, layers[1]};
	const struct policy_spec s = {.layers = only, .n_layers = 2};

	refused(&s, EINVAL, 1, 1, 2, reason);
}

static enum policy_verdict ask(const struct policy *p, enum policy_dir dir,
			       struct policy_result *res)
{
	struct policy_fields f = fields4(IPPROTO_TCP, 1, 2, 3, 4);

	policy_walk(p, dir, &f, res, NULL);
	return res->verdict;
}

/* ---- Refusals ------------------------------------------------------------------------------ */

static void bad_rules_are_named(void **state)
{
	const struct policy_prefix wide[] = {{.len = 129}};
	const struct policy_range down[] = {{1, 2}, {3, 2}};
	const struct policy_rule bad_src = {.match = MATCH(OF(src, wide))},
				 bad_dst = {.match = MATCH(OF(dst, wide))},
				 bad_sport = {.match = MATCH(OF(sport, down))},
				 bad_dport = {.match = MATCH(OF(dport, down))},
				 meter = {.match = MATCH(), .action = {.meter = 1}},
				 same = {.priority = 3, .match = MATCH()};

	(void)state;
	rule_refused(POLICY_IN, &bad_src, "prefix of 129");
	rule_refused(POLICY_IN, &bad_dst, "prefix of 129");
	rule_refused(POLICY_IN, &bad_sport, "from 3 to 2");
	rule_refused(POLICY_IN, &bad_dport, "from 3 to 2");
	rule_refused(POLICY_IN, &meter, "no meter 1");
	rule_refused(POLICY_IN, &same, "priority 3");
}

static void bad_translations_are_named(void **state)
{
	const struct policy_action nat = {.nat = POLICY_NAT_REWRITE};
	struct policy_rule r = {.match = MATCH(), .stateful = true, DENIES};

	(void)state;
	rule_refused(POLICY_OUT, &r, "neither keep state nor translate");
	r.stateful = false;
	r.action.nat = POLICY_NAT_REWRITE;
	rule_refused(POLICY_OUT, &r, "neither keep state nor translate");
	r.action = nat;
	rule_refused(POLICY_OUT, &r, "must be stateful");
	r.stateful = true;
	r.action.nat_port = (struct policy_range){2, 1};
	rule_refused(POLICY_OUT, &r, "from 2 to 1");
	r.action.nat_port = (struct policy_range){1, 2};
	rule_refused(POLICY_IN, &r, "not a range");
}

static void one_layer_translates(void **state)
{
	const struct policy_rule nat[] = {{.priority = 1,
					   .match = MATCH(),
					   .stateful = true,
					   .action = {.nat = POLICY_NAT_REWRITE}}};
	const struct policy_group both[] = {GROUP("out", POLICY_OUT, nat),
					    GROUP("in", POLICY_IN, nat)};
	const struct policy_layer layers[] = {LAYER("a", both), {.name = "b"}, LAYER("c", both)};
	const struct policy_spec s = {.layers = layers, .n_layers = 3}, one = {layers, 2, NULL, 0};
	struct policy *p = policy_new(&one, NULL, NULL);

	(void)state;
	assert_non_null(p);
	policy_put(p);
	refused(&s, EINVAL, 2, -1, -1, "layer a translates already");
}

static void bad_groups_are_named(void **state)
{
	static struct policy_rule many[POLICY_MAX_RULES + 1];
	const struct policy_range down[] = {{3, 2}};
	const struct policy_match when = MATCH(OF(sport, down));
	const struct policy_group dir[] = {GROUP("ok", POLICY_IN, any),
					   {.name = "dir", .dir = POLICY_N_DIRS}};
	const struct policy_group cond[] = {GROUP("ok", POLICY_IN, any),
					    {.name = "when", .dir = POLICY_OUT, .when = &when}};
	const struct policy_group full[] = {GROUP("ok", POLICY_IN, any),
					    GROUP("full", POLICY_IN, many)};
	const struct policy_layer layers[] = {LAYER("d", dir), LAYER("w", cond), LAYER("f", full)};
	struct policy_spec s = {.n_layers = 1};

	(void)state;
	s.layers = &layers[0];
	refused(&s, EINVAL, 0, 1, -1, "no direction 2");
	s.layers = &layers[1];
	refused(&s, EINVAL, 0, 1, -1, "from 3 to 2");
	s.layers = &layers[2];
	refused(&s, E2BIG, 0, 1, -1, "4097 rules");
}

static void too_much_is_refused(void **state)
{
	struct policy_group groups[2 * POLICY_MAX_GROUPS + 1];
	struct policy_layer layers[POLICY_MAX_LAYERS + 1];
	const char *meters[POLICY_MAX_METERS + 1];
	struct policy_spec s = {.layers = layers};
	struct policy *p;

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(groups); i++)
		groups[i] = (struct policy_group)GROUP("g", i % 2 ? POLICY_IN : POLICY_OUT, any);
	for (unsigned int i = 0; i < ARRAY_SIZE(layers); i++)
		layers[i] = (struct policy_layer){"l", groups, 2 * POLICY_MAX_GROUPS};
	for (unsigned int i = 0; i < ARRAY_SIZE(meters); i++)
		meters[i] = "m";
	s.n_layers = POLICY_MAX_LAYERS;
	s.meters = meters;
	s.n_meters = POLICY_MAX_METERS;
	p = policy_new(&s, NULL, NULL);
	assert_non_null(p);
	assert_int_equal(policy_n_rules(p), POLICY_MAX_LAYERS * 2 * POLICY_MAX_GROUPS);
	policy_put(p);
	s.n_meters++;
	refused(&s, E2BIG, -1, -1, -1, "65 meters");
	s.n_meters = 0;
	s.n_layers++;
	refused(&s, E2BIG, -1, -1, -1, "17 layers");
	s.n_layers = 2;
	layers[1].n_groups++;
	refused(&s, E2BIG, 1, 2 * POLICY_MAX_GROUPS, -1, "more than 16 groups outbound");
}

/* More than a walk's result has room for would silently not be applied. */
static void layers_with_limits_are_counted(void **state)
{
	static const char *const names[] = {"m"};
	const struct policy_rule limit[] = {
		{.priority = 1, .match = MATCH(), .action = {.limit_mbps = 1}}};
	const struct policy_rule meter[] = {
		{.priority = 1, .match = MATCH(), .action = {.meter = 1}}};
	const struct policy_group lo[] = {GROUP("o", POLICY_OUT, limit)},
				  li[] = {GROUP("i", POLICY_IN, limit)},
				  mi[] = {GROUP("i", POLICY_IN, meter)};
	struct policy_layer layers[2 * POLICY_MAX_LIMITS + 1];
	struct policy_spec s = {layers, 2 * POLICY_MAX_LIMITS, names, 1};
	struct policy_result res;
	struct policy *p;

	(void)state;
	for (unsigned int i = 0; i < POLICY_MAX_LIMITS; i++) {
		layers[2 * i] = (struct policy_layer)LAYER("l", lo);
		layers[2 * i + 1] = (struct policy_layer)LAYER("l", li);
	}
	p = policy_new(&s, NULL, NULL);
	assert_non_null(p);
	ask(p, POLICY_OUT, &res);
	assert_int_equal(res.n_limits, POLICY_MAX_LIMITS);
	policy_put(p);
	layers[s.n_layers++] = (struct policy_layer)LAYER("l", li);
	refused(&s, E2BIG, 8, -1, -1, "inbound, 4 layers have limits");
	for (unsigned int i = 0; i < 5; i++)
		layers[i] = (struct policy_layer)LAYER("l", mi);
	s.n_layers = 5;
	refused(&s, E2BIG, 4, -1, -1, "inbound, 4 layers have meters");
}

/* ---- Replacing one group ------------------------------------------------------------------- */

static void group_is_replaced_and_the_rest_shared(void **state)
{
	const struct policy_rule limit[] = {
		{.priority = 1, .match = MATCH(), .action = {.limit_mbps = 1}}};
	const struct policy_group near[] = {GROUP("g", POLICY_OUT, any),
					    GROUP("g", POLICY_IN, any)},
				  far[] = {GROUP("g", POLICY_OUT, limit)},
				  with = GROUP("g", POLICY_OUT, deny);
	const struct policy_layer layers[] = {LAYER("near", near), LAYER("far", far)};
	struct policy_result before, res;
	struct policy_error err;
	struct policy *p = make(layers, 2, NULL), *q;

	(void)state;
	assert_non_null(p);
	ask(p, POLICY_OUT, &before);
	q = policy_replace_group(p, "near", &with, &err);
	assert_non_null(q);
	/* The old one is as it was; the new one denies out, not in. */
	assert_int_equal(ask(p, POLICY_OUT, &res), POLICY_ALLOW);
	assert_int_equal(ask(q, POLICY_OUT, &res), POLICY_DENY);
	assert_string_equal(policy_rule_name(q, res.layer, res.group, res.rule), "deny");
	assert_int_equal(ask(q, POLICY_IN, &res), POLICY_ALLOW);
	policy_put(q);
	/* The limit of the other layer is the same one, and lives on without the old policy. */
	q = policy_replace_group(p, "near", &near[0], NULL);
	policy_put(p);
	ask(q, POLICY_OUT, &res);
	assert_int_equal(res.n_limits, 1);
	assert_ptr_equal(res.limits[0], before.limits[0]);
	policy_put(q);
}

static void replacing_refuses(void **state)
{
	const struct policy_rule nat[] = {{.priority = 1,
					   .match = MATCH(),
					   .stateful = true,
					   .action = {.nat = POLICY_NAT_REWRITE}}};
	const struct policy_rule same[] = {any[0], any[0]};
	const struct policy_rule meter[] = {
		{.priority = 1, .match = MATCH(), .action = {.meter = 1}}};
	const struct policy_group here[] = {GROUP("g", POLICY_OUT, any)},
				  trans[] = {GROUP("t", POLICY_OUT, nat)};
	const struct policy_layer layers[] = {LAYER("l", here), LAYER("n", trans)};
	const struct policy_group other_dir = GROUP("g", POLICY_IN, any),
				  other_name = GROUP("h", POLICY_OUT, any),
				  unnamed = GROUP(NULL, POLICY_OUT, any),
				  twice = GROUP("g", POLICY_OUT, same),
				  metered = GROUP("g", POLICY_OUT, meter),
				  second_nat = GROUP("g", POLICY_OUT, nat),
				  no_dir = {.name = "g", .dir = POLICY_N_DIRS};
	const struct {
		const char *layer;
		const struct policy_group *with;
		int why, rule;
		const char *reason;
	} cases[] = {
		{"m", &here[0], ENOENT, -1, "layer m has no outbound group g"},
		{"l", &other_dir, ENOENT, -1, "layer l has no inbound group g"},
		{"l", &other_name, ENOENT, -1, "layer l has no outbound group h"},
		{"l", &unnamed, ENOENT, -1, "layer l has no outbound group "},
		{"l", &no_dir, EINVAL, -1, "no direction 2"},
		{"l", &twice, EINVAL, 1, "priority 1"},
		{"l", &metered, EINVAL, 0, "no meter 1"},
		{"l", &second_nat, EINVAL, -1, "translates already"},
	};
	struct policy *p = make(layers, 2, NULL);
	struct policy_result res;

	(void)state;
	assert_non_null(p);
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct policy_error err;

		errno = 0;
		assert_null(policy_replace_group(p, cases[i].layer, cases[i].with, &err));
		assert_int_equal(errno, cases[i].why);
		assert_int_equal(err.rule, cases[i].rule);
		assert_non_null(strstr(err.reason, cases[i].reason));
		assert_null(policy_replace_group(p, cases[i].layer, cases[i].with, NULL));
	}
	assert_int_equal(ask(p, POLICY_OUT, &res), POLICY_ALLOW);
	policy_put(p);
}

static void long_names_are_cut_and_found(void **state)
{
	char name[POLICY_NAME_MAX + 20];
	const struct policy_group g[] = {GROUP(name, POLICY_OUT, any)},
				  with = GROUP(name, POLICY_OUT, deny);
	const struct policy_layer l[] = {LAYER(name, g)};
	struct policy_result res;
	struct policy *p, *q;

	(void)state;
	memset(name, 'x', sizeof(name));
	name[sizeof(name) - 1] = 0;
	p = make(l, 1, NULL);
	assert_non_null(p);
	assert_int_equal(strlen(policy_layer_name(p, 0)), POLICY_NAME_MAX - 1);
	q = policy_replace_group(p, name, &with, NULL);
	assert_non_null(q);
	assert_int_equal(ask(q, POLICY_OUT, &res), POLICY_DENY);
	policy_put(p);
	policy_put(q);
}

/* ---- Meters and limits --------------------------------------------------------------------- */

static void meters_go_on_by_name(void **state)
{
	static const char *const first[] = {"web", "db"}, *const second[] = {"other", "web"};
	const struct policy_rule rule[] = {
		{.priority = 1, .match = MATCH(), .action = {.meter = 1}}};
	const struct policy_group g[] = {GROUP("g", POLICY_OUT, rule)}, with = g[0];
	const struct policy_layer l[] = {LAYER("l", g)};
	const struct policy_spec a = {l, 1, first, 2}, b = {l, 1, second, 2};
	struct policy *p = policy_new(&a, NULL, NULL), *q = policy_new(&b, p, NULL), *r;
	struct policy_meter *kept;

	(void)state;
	assert_true(p && q);
	assert_int_equal(policy_n_meters(q), 2);
	assert_ptr_equal(policy_meter(q, 1), policy_meter(p, 0));
	assert_string_equal(policy_meter(q, 1)->name, "web");
	assert_ptr_not_equal(policy_meter(q, 0), policy_meter(p, 1));
	policy_meter(p, 0)->packets[POLICY_OUT] = 5;
	kept = policy_meter_get(policy_meter(p, 1));
	policy_put(p);
	assert_int_equal(policy_meter(q, 1)->packets[POLICY_OUT], 5);
	assert_string_equal(kept->name, "db"); /* a flow may hold it longer than any policy */
	policy_meter_put(kept);
	r = policy_replace_group(q, "l", &with, NULL);
	assert_non_null(r);
	assert_ptr_equal(policy_meter(r, 1), policy_meter(q, 1));
	policy_put(q);
	assert_int_equal(policy_meter(r, 1)->packets[POLICY_OUT], 5);
	policy_put(r);
}

static struct policy_limit *limit_of(uint32_t mbps)
{
	const struct policy_rule rule[] = {
		{.priority = 1, .match = MATCH(), .action = {.limit_mbps = mbps}}};
	const struct policy_group g[] = {GROUP("g", POLICY_OUT, rule)};
	const struct policy_layer l[] = {LAYER("l", g)};
	struct policy *p = make(l, 1, NULL);
	struct policy_limit *limit;
	struct policy_result res;

	assert_non_null(p);
	ask(p, POLICY_OUT, &res);
	assert_int_equal(res.n_limits, 1);
	limit = policy_limit_get(res.limits[0]);
	policy_put(p);
	return limit;
}

/* 100 Mbit/s are 12.5 kB in a millisecond; offered four times that for two seconds. */
static void limits_let_through_what_they_say(void **state)
{
	struct policy_limit *l = limit_of(100);
	const uint64_t start = 77 * NSEC_PER_SEC;
	uint64_t passed = 0, most = 12500u * 2050; /* and a burst of 50 ms */

	(void)state;
	for (uint64_t us = 0; us < 2000000; us += 20)
		if (policy_limit_take(l, 1000, start + us * NSEC_PER_USEC))
			passed += 1000;
	assert_in_range(passed, most - 2000, most + 2000);
	/* A pause gives one burst back, not more. */
	passed = 0;
	while (policy_limit_take(l, 1000, start + 100 * NSEC_PER_SEC))
		passed += 1000;
	assert_in_range(passed, 12500u * 50, 12500u * 50 + 2000);
	policy_limit_put(l);
}

/* The burst holds at least one packet, whatever its size and the rate. */
static void a_slow_limit_passes_large_packets(void **state)
{
	struct policy_limit *l = limit_of(1);
	uint64_t now = NSEC_PER_SEC;

	(void)state;
	assert_true(policy_limit_take(l, 65000, now)); /* 520 ms */
	assert_false(policy_limit_take(l, 1, now));
	assert_false(policy_limit_take(l, 1, now + 469 * NSEC_PER_MSEC));
	assert_true(policy_limit_take(l, 1, now + 470 * NSEC_PER_MSEC));
	policy_limit_put(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_rules_are_named),
		cmocka_unit_test(bad_translations_are_named),
		cmocka_unit_test(one_layer_translates),
		cmocka_unit_test(bad_groups_are_named),
		cmocka_unit_test(too_much_is_refused),
		cmocka_unit_test(layers_with_limits_are_counted),
		cmocka_unit_test(group_is_replaced_and_the_rest_shared),
		cmocka_unit_test(replacing_refuses),
		cmocka_unit_test(long_names_are_cut_and_found),
		cmocka_unit_test(meters_go_on_by_name),
		cmocka_unit_test(limits_let_through_what_they_say),
		cmocka_unit_test(a_slow_limit_passes_large_packets),
	};

	return cmocka_run_group_tests_name("vsw_policy_new", tests, NULL, NULL);
}
