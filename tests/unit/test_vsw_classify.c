/* SPDX-License-Identifier: BSD-2-Clause */
/* Claims about vswitch/policy/classify.c: which of many matches a packet's fields satisfy first. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy_rig.h"
#include "tests/lib/rng.h"
#include "vswitch/policy/classify.h"

#define NONE POLICY_NO_RULE

static struct classifier *make(const struct policy_match *m, uint32_t n)
{
	const struct policy_match **list = calloc(n + 1, sizeof(const struct policy_match *));
	struct classifier *c;

	assert_non_null(list);
	for (uint32_t i = 0; i < n; i++)
		list[i] = &m[i];
	c = classifier_new(list, n);
	free(list);
	return c;
}

/* Of one match: does it hold? */
static bool holds(const struct policy_match *m, struct policy_fields f)
{
	struct classifier *c = make(m, 1);
	uint32_t first;

	assert_non_null(c);
	first = classifier_first(c, &f);
	classifier_free(c);
	assert_true(first == 0 || first == NONE);
	return first == 0;
}

static struct policy_fields tcp(uint32_t src, uint32_t dst, uint16_t sport, uint16_t dport)
{
	return fields4(IPPROTO_TCP, src, dst, sport, dport);
}

/* An ARP frame: no address, no protocol, no port that a rule could ask about. */
static struct policy_fields arp(void)
{
	return (struct policy_fields){.eth_type = 0x0806,
				      .vni = POLICY_ANY_VNI,
				      .src_mac = 0x020000000001,
				      .dst_mac = 0xffffffffffff};
}

/* ---- Nothing, everything ------------------------------------------------------------------- */

static void no_matches_match_nothing(void **state)
{
	struct classifier *c = make(NULL, 0);
	struct policy_fields f = tcp(1, 2, 3, 4);

	(void)state;
	assert_non_null(c);
	assert_int_equal(classifier_first(c, &f), NONE);
	classifier_free(c);
	classifier_free(NULL);
}

static void empty_lists_match_everything(void **state)
{
	const struct policy_match any = MATCH();

	(void)state;
	assert_true(holds(&any, tcp(1, 2, 3, 4)));
	assert_true(holds(&any, fields6(0, v6(0, 0, 0), v6(0xffff, 0xffff, 0), 0, 0)));
	assert_true(holds(&any, arp()));
}

static void first_of_several_is_found(void **state)
{
	const struct policy_range low[] = {{0, 1023}}, ssh[] = {{22, 22}};
	const struct policy_match m[] = {MATCH(OF(dport, ssh)), MATCH(OF(dport, low)),
					 MATCH(OF(sport, low)), MATCH()};
	struct classifier *c = make(m, ARRAY_SIZE(m));
	struct policy_fields f = tcp(1, 2, 4000, 22);

	(void)state;
	assert_int_equal(classifier_first(c, &f), 0);
	f.dport = 23;
	assert_int_equal(classifier_first(c, &f), 1);
	f.dport = 1024;
	assert_int_equal(classifier_first(c, &f), 3);
	f.sport = 1023;
	assert_int_equal(classifier_first(c, &f), 2);
	classifier_free(c);
}

/* ---- Fields a packet does not have --------------------------------------------------------- */

static void absent_fields_match_only_empty_lists(void **state)
{
	const struct policy_prefix all4[] = {v4(0, 0)}, all[] = {{.len = 0}};
	const struct policy_range ports[] = {{0, 65535}};
	const uint8_t protos[] = {0, IPPROTO_TCP};
	const struct policy_match by_src = MATCH(OF(src, all4)), by_dst = MATCH(OF(dst, all4)),
				  any_src = MATCH(OF(src, all)), by_sport = MATCH(OF(sport, ports)),
				  by_dport = MATCH(OF(dport, ports)),
				  by_proto = MATCH(OF(proto, protos));
	struct policy_fields no_ports = tcp(1, 2, 0, 0);

	(void)state;
	no_ports.has_ports = false;
	assert_false(holds(&by_src, arp()));
	assert_false(holds(&by_dst, arp()));
	assert_false(holds(&any_src, arp()));
	assert_false(holds(&by_sport, arp()));
	assert_false(holds(&by_dport, arp()));
	assert_false(holds(&by_proto, arp()));
	assert_true(holds(&by_src, no_ports));
	assert_true(holds(&by_proto, no_ports));
	assert_false(holds(&by_sport, no_ports));
	assert_false(holds(&by_dport, no_ports));
}

/* What the absent field does to one match must not reach the one behind it. */
static void absent_field_leaves_the_others(void **state)
{
	const struct policy_prefix net[] = {v4(0x0a000000, 8)};
	const struct policy_range ports[] = {{0, 65535}};
	const struct policy_match m[] = {MATCH(OF(src, net)), MATCH(OF(dport, ports)), MATCH()};
	struct classifier *c = make(m, ARRAY_SIZE(m));
	struct policy_fields f = arp();

	(void)state;
	assert_int_equal(classifier_first(c, &f), 2);
	f = tcp(0x0b000001, 2, 3, 4);
	assert_int_equal(classifier_first(c, &f), 1);
	f.has_ports = false;
	assert_int_equal(classifier_first(c, &f), 2);
	f = tcp(0x0a000001, 2, 3, 4);
	assert_int_equal(classifier_first(c, &f), 0);
	classifier_free(c);
}

/* ---- Addresses ----------------------------------------------------------------------------- */

static void families_are_apart(void **state)
{
	const struct policy_prefix all4[] = {v4(0, 0)}, all[] = {{.len = 0}},
				   low6[] = {v6(0, 0, 1)}, any6[] = {v6(0, 0, 1), v6(0x8000, 0, 1)};
	const struct policy_match m4 = MATCH(OF(src, all4)), m = MATCH(OF(src, all)),
				  mlow = MATCH(OF(src, low6)), m6 = MATCH(OF(src, any6));
	const struct policy_fields f4 = tcp(0, 2, 3, 4), top4 = tcp(0xffffffff, 2, 3, 4),
				   f6 = fields6(6, v6(0, 0, 0), v6(0, 1, 0), 3, 4),
				   top6 = fields6(6, v6(0xffff, 0xffff, 0), v6(0, 1, 0), 3, 4);

	(void)state;
	/* 0.0.0.0/0 is IPv4, all of it; ::/0 is both. */
	assert_true(holds(&m4, f4));
	assert_true(holds(&m4, top4));
	assert_false(holds(&m4, f6));
	assert_false(holds(&m4, top6));
	assert_true(holds(&m, f4));
	assert_true(holds(&m, top4));
	assert_true(holds(&m, f6));
	assert_true(holds(&m, top6));
	/* A shorter IPv6 prefix that holds ::ffff:0:0/96 by its bits does not mean IPv4. */
	assert_false(holds(&mlow, f4));
	assert_true(holds(&mlow, f6));
	assert_false(holds(&mlow, top6));
	assert_true(holds(&m6, top6));
	assert_false(holds(&m6, top4));
}

static void prefixes_end_where_they_should(void **state)
{
	const struct policy_prefix net[] = {v4(0x0a010200, 24)}, host[] = {v4(0xffffffff, 32)},
				   zero[] = {v4(0, 32)}, half[] = {v4(0x80000000, 1)},
				   odd[] = {v4(0x0a0102ff, 24)}; /* bits behind the prefix */
	const struct policy_match m = MATCH(OF(dst, net)), mh = MATCH(OF(dst, host)),
				  mz = MATCH(OF(dst, zero)), mhalf = MATCH(OF(dst, half)),
				  modd = MATCH(OF(dst, odd));

	(void)state;
	assert_false(holds(&m, tcp(1, 0x0a0101ff, 3, 4)));
	assert_true(holds(&m, tcp(1, 0x0a010200, 3, 4)));
	assert_true(holds(&m, tcp(1, 0x0a0102ff, 3, 4)));
	assert_false(holds(&m, tcp(1, 0x0a010300, 3, 4)));
	assert_true(holds(&mh, tcp(1, 0xffffffff, 3, 4)));
	assert_false(holds(&mh, tcp(1, 0xfffffffe, 3, 4)));
	assert_false(holds(&mh, tcp(1, 0, 3, 4)));
	assert_true(holds(&mz, tcp(1, 0, 3, 4)));
	assert_false(holds(&mz, tcp(1, 1, 3, 4)));
	assert_false(holds(&mhalf, tcp(1, 0x7fffffff, 3, 4)));
	assert_true(holds(&mhalf, tcp(1, 0x80000000, 3, 4)));
	assert_true(holds(&mhalf, tcp(1, 0xffffffff, 3, 4)));
	assert_true(holds(&modd, tcp(1, 0x0a010200, 3, 4)));
}

static void ipv6_prefixes(void **state)
{
	const struct policy_prefix net[] = {v6(0x2001, 0, 64), v6(0xfe80, 0, 10)},
				   host[] = {v6(0x2001, 0xffff, 128)},
				   top[] = {v6(0xffff, 0xffff, 16)};
	const struct policy_match m = MATCH(OF(src, net)), mh = MATCH(OF(src, host)),
				  mt = MATCH(OF(src, top));
	struct policy_fields f = fields6(6, v6(0x2001, 0xffff, 0), v6(0, 1, 0), 1, 2);

	(void)state;
	assert_true(holds(&m, f));
	assert_true(holds(&mh, f));
	f.src[7] = 1; /* in the network's half */
	assert_false(holds(&m, f));
	assert_false(holds(&mh, f));
	assert_true(holds(&m, fields6(6, v6(0xfebf, 9, 0), v6(0, 1, 0), 1, 2)));
	assert_false(holds(&m, fields6(6, v6(0xfec0, 9, 0), v6(0, 1, 0), 1, 2)));
	memset(f.src, 0xff, 16);
	assert_true(holds(&mt, f));
	assert_false(holds(&mt, tcp(0xffffffff, 2, 3, 4)));
}

/* Lists that overlap, touch, repeat and nest are the union of what they hold. */
static void overlapping_lists_are_a_union(void **state)
{
	const struct policy_prefix nested[] = {v4(0x0a000000, 8), v4(0x0a010000, 16),
					       v4(0x0a010000, 16), v4(0x0b000000, 8)};
	const struct policy_range touching[] = {{10, 20}, {21, 30}, {15, 25}, {40, 40}, {30, 30}};
	const struct policy_match m = MATCH(OF(src, nested), OF(dport, touching));

	(void)state;
	assert_true(holds(&m, tcp(0x0a010203, 2, 3, 10)));
	assert_true(holds(&m, tcp(0x0a020000, 2, 3, 21)));
	assert_true(holds(&m, tcp(0x0bffffff, 2, 3, 30)));
	assert_true(holds(&m, tcp(0x0a000000, 2, 3, 40)));
	assert_false(holds(&m, tcp(0x0c000000, 2, 3, 20)));
	assert_false(holds(&m, tcp(0x09ffffff, 2, 3, 20)));
	assert_false(holds(&m, tcp(0x0a000000, 2, 3, 9)));
	assert_false(holds(&m, tcp(0x0a000000, 2, 3, 31)));
	assert_false(holds(&m, tcp(0x0a000000, 2, 3, 41)));
}

/* ---- Other fields -------------------------------------------------------------------------- */

static void port_ranges_hold_both_ends(void **state)
{
	const struct policy_range all[] = {{0, 65535}}, zero[] = {{0, 0}}, top[] = {{65535, 65535}},
				  two[] = {{5, 6}};
	const struct policy_match ma = MATCH(OF(sport, all)), mz = MATCH(OF(sport, zero)),
				  mt = MATCH(OF(dport, top)), m2 = MATCH(OF(sport, two));

	(void)state;
	assert_true(holds(&ma, tcp(1, 2, 0, 4)));
	assert_true(holds(&ma, tcp(1, 2, 65535, 4)));
	assert_true(holds(&mz, tcp(1, 2, 0, 4)));
	assert_false(holds(&mz, tcp(1, 2, 1, 4)));
	assert_true(holds(&mt, tcp(1, 2, 3, 65535)));
	assert_false(holds(&mt, tcp(1, 2, 3, 65534)));
	assert_false(holds(&mt, tcp(1, 2, 3, 0)));
	assert_false(holds(&m2, tcp(1, 2, 4, 5)));
	assert_true(holds(&m2, tcp(1, 2, 5, 4)));
	assert_true(holds(&m2, tcp(1, 2, 6, 4)));
	assert_false(holds(&m2, tcp(1, 2, 7, 4)));
}

static void protocols_and_types(void **state)
{
	const uint8_t protos[] = {0, 17, 255};
	const uint16_t types[] = {0x0806, 0xffff};
	const struct policy_match mp = MATCH(OF(proto, protos)), mt = MATCH(OF(eth_type, types));
	struct policy_fields f = arp();

	(void)state;
	assert_true(holds(&mp, fields4(0, 1, 2, 3, 4)));
	assert_true(holds(&mp, fields4(17, 1, 2, 3, 4)));
	assert_true(holds(&mp, fields4(255, 1, 2, 3, 4)));
	assert_false(holds(&mp, fields4(6, 1, 2, 3, 4)));
	assert_false(holds(&mp, fields4(254, 1, 2, 3, 4)));
	assert_true(holds(&mt, f));
	assert_false(holds(&mt, tcp(1, 2, 3, 4)));
	f.eth_type = 0xffff;
	assert_true(holds(&mt, f));
}

static void macs_and_tunnels(void **state)
{
	static const uint8_t one[][6] = {{2, 0, 0, 0, 0, 1}}, two[][6] = {{2, 0, 0, 0, 0, 2}},
			     ends[][6] = {{0}, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
	const struct policy_match ms = MATCH(OF(src_mac, one)), md = MATCH(OF(dst_mac, two)),
				  me = MATCH(OF(dst_mac, ends)), vni = {.vni = 5000},
				  vni0 = {.vni = 0};
	struct policy_fields f = tcp(1, 2, 3, 4);

	(void)state;
	assert_true(holds(&ms, f));
	assert_true(holds(&md, f));
	assert_false(holds(&me, f));
	assert_true(holds(&me, arp()));
	f.src_mac = 0x020000000101;
	assert_false(holds(&ms, f));
	f.dst_mac = 0;
	assert_true(holds(&me, f));
	/* Through no tunnel: only those that do not ask. */
	assert_false(holds(&vni, f));
	assert_false(holds(&vni0, f));
	f.vni = 5000;
	assert_true(holds(&vni, f));
	assert_false(holds(&vni0, f));
	f.vni = 0;
	assert_true(holds(&vni0, f));
}

/* ---- Many ---------------------------------------------------------------------------------- */

/* One for each /32 of 10.0.0.0/20 and a port of its own; the last takes everything. */
static void every_one_of_4096_is_found(void **state)
{
	static struct policy_match m[POLICY_MAX_RULES + 1];
	static struct policy_prefix p[POLICY_MAX_RULES];
	static struct policy_range r[POLICY_MAX_RULES];
	struct classifier *c;
	struct policy_fields f;

	(void)state;
	for (uint32_t i = 0; i < POLICY_MAX_RULES; i++) {
		p[i] = v4(0x0a000000 + i, 32);
		r[i] = (struct policy_range){(uint16_t)(65535 - i), (uint16_t)(65535 - i)};
		m[i] = (struct policy_match)MATCH(.dst = &p[i], .n_dst = 1, .dport = &r[i],
						  .n_dport = 1);
	}
	m[POLICY_MAX_RULES - 1] = (struct policy_match)MATCH();
	c = make(m, POLICY_MAX_RULES);
	assert_non_null(c);
	for (uint32_t i = 0; i < POLICY_MAX_RULES; i++) {
		f = tcp(1, 0x0a000000 + i, 3, (uint16_t)(65535 - i));
		assert_int_equal(classifier_first(c, &f), i);
		f.dport ^= 1;
		assert_int_equal(classifier_first(c, &f), POLICY_MAX_RULES - 1);
	}
	classifier_free(c);
	errno = 0;
	assert_null(make(m, POLICY_MAX_RULES + 1));
	assert_int_equal(errno, E2BIG);
}

/* Numbers of rules around those where a set gets one more word. */
static void every_number_of_rules(void **state)
{
	static const uint32_t sizes[] = {1, 2, 63, 64, 65, 127, 128, 129, 4095, 4096};
	static struct policy_match m[POLICY_MAX_RULES];
	const struct policy_range ssh[] = {{22, 22}}, other[] = {{23, 23}};
	struct policy_fields f = tcp(1, 2, 3, 22);

	(void)state;
	for (unsigned int k = 0; k < ARRAY_SIZE(sizes); k++) {
		struct classifier *c;

		for (uint32_t i = 0; i < sizes[k]; i++)
			m[i] = (struct policy_match)MATCH(OF(dport, other));
		m[sizes[k] - 1] = (struct policy_match)MATCH(OF(dport, ssh));
		c = make(m, sizes[k]);
		assert_non_null(c);
		assert_int_equal(classifier_first(c, &f), sizes[k] - 1);
		classifier_free(c);
	}
}

/* Prefixes that lie in each other at random: nearly every interval has a set of its own. */
static void memory_is_bounded(void **state)
{
	enum { EACH = 96 };
	static struct policy_match m[POLICY_MAX_RULES];
	struct policy_prefix *p = calloc((size_t)POLICY_MAX_RULES * EACH * 2, sizeof(*p)), *at = p;
	struct rng rng = {.s = 1};

	(void)state;
	assert_non_null(p);
	for (uint32_t i = 0; i < POLICY_MAX_RULES; i++, at += 2 * EACH) {
		for (uint32_t k = 0; k < 2 * EACH; k++)
			at[k] = v4((uint32_t)rng_u64(&rng), 8 + rng_below(&rng, 25));
		m[i] = (struct policy_match)MATCH(.src = at, .n_src = EACH, .dst = at + EACH,
						  .n_dst = EACH);
	}
	errno = 0;
	assert_null(make(m, POLICY_MAX_RULES));
	assert_int_equal(errno, E2BIG);
	free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_matches_match_nothing),
		cmocka_unit_test(empty_lists_match_everything),
		cmocka_unit_test(first_of_several_is_found),
		cmocka_unit_test(absent_fields_match_only_empty_lists),
		cmocka_unit_test(absent_field_leaves_the_others),
		cmocka_unit_test(families_are_apart),
		cmocka_unit_test(prefixes_end_where_they_should),
		cmocka_unit_test(ipv6_prefixes),
		cmocka_unit_test(overlapping_lists_are_a_union),
		cmocka_unit_test(port_ranges_hold_both_ends),
		cmocka_unit_test(protocols_and_types),
		cmocka_unit_test(macs_and_tunnels),
		cmocka_unit_test(every_one_of_4096_is_found),
		cmocka_unit_test(every_number_of_rules),
		cmocka_unit_test(memory_is_bounded),
	};

	return cmocka_run_group_tests_name("vsw_classify", tests, NULL, NULL);
}
