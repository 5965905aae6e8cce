/* SPDX-License-Identifier: BSD-2-Clause */
/* Claims about the table of prefixes, and about the limit on ICMP errors. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "tests/lib/rng.h"
#include "vsw_fixture.h"
#include "vswitch/parse.h"
#include "vswitch/rcu.h"
#include "vswitch/reply.h"
#include "vswitch/route.h"

static struct route_prefix prefix(const char *text)
{
	struct route_prefix p;

	if (route_prefix_parse(&p, text))
		fail_msg("%s", text);
	return p;
}

static void put(struct route_table *t, const char *text, void *value)
{
	struct route_prefix p = prefix(text);
	void *old;

	assert_int_equal(route_table_set(t, &p, value, &old), 0);
	assert_null(old);
}

static const char *look(struct route_table *t, const char *text)
{
	uint8_t addr[16];
	const char *found;

	assert_int_equal(addr_parse(addr, text), 0);
	vsw_read_lock();
	found = route_lookup(t, addr);
	vsw_read_unlock();
	return found ? found : "none";
}

static void test_text(void **state)
{
	static const char *const good[][2] = {
		{"10.1.0.0/16", "10.1.0.0/16"},
		{"10.1.2.3", "10.1.2.3/32"},
		{"0.0.0.0/0", "0.0.0.0/0"},
		{"fd00::/8", "fd00::/8"},
		{"::/0", "::/0"},
		{"fe80::1", "fe80::1/128"},
	};
	static const char *const bad[] = {
		"10.1.0.1/16", "10.1.0.0/33", "10.1/16", "fd00::1/64",	"fd00::/129", "",
		"/8",	       "10.0.0.0/",   "a",	 "10.0.0.0/8x", "10.0.0.0/-1"};
	char text[ROUTE_PREFIX_TEXT];
	struct route_prefix p;

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(good); i++) {
		assert_int_equal(route_prefix_parse(&p, good[i][0]), 0);
		assert_string_equal(route_prefix_text(&p, text), good[i][1]);
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++)
		if (route_prefix_parse(&p, bad[i]) != -EINVAL)
			fail_msg("%s was taken", bad[i]);
}

static void test_longest(void **state)
{
	struct route_table *t = route_table_new(8);

	(void)state;
	assert_string_equal(look(t, "10.0.0.1"), "none");
	put(t, "10.0.0.0/8", "eight");
	put(t, "10.1.0.0/16", "sixteen");
	put(t, "10.1.2.3/32", "host");
	put(t, "::/0", "six");
	assert_string_equal(look(t, "10.1.2.3"), "host");
	assert_string_equal(look(t, "10.1.2.4"), "sixteen");
	assert_string_equal(look(t, "10.2.2.4"), "eight");
	/* The default route of one family is none of the other's. */
	assert_string_equal(look(t, "11.0.0.1"), "none");
	assert_string_equal(look(t, "fd00::1"), "six");
	put(t, "0.0.0.0/0", "four");
	assert_string_equal(look(t, "11.0.0.1"), "four");
	assert_string_equal(look(t, "fd00::1"), "six");
	route_table_free(t);
}

static void test_bound(void **state)
{
	struct route_table *t = route_table_new(2);
	struct route_prefix p = prefix("10.3.0.0/16");
	void *old;

	(void)state;
	put(t, "10.1.0.0/16", "a");
	put(t, "10.2.0.0/16", "b");
	assert_int_equal(route_table_set(t, &p, "c", &old), -ENOSPC);
	p = prefix("10.2.0.0/16");
	assert_int_equal(route_table_set(t, &p, "B", &old), 0);
	assert_string_equal(old, "b");
	assert_int_equal(route_table_count(t), 2);
	assert_string_equal(route_table_get(t, &p), "B");
	assert_string_equal(route_table_del(t, &p), "B");
	assert_null(route_table_del(t, &p));
	assert_string_equal(look(t, "10.2.0.1"), "none");
	put(t, "10.3.0.0/16", "c");
	/* Bits behind the prefix are a mistake. */
	p.addr[15] = 1;
	assert_int_equal(route_table_set(t, &p, "d", &old), -EINVAL);
	route_table_free(t);
}

#define N 400

/* The slow way: every prefix, the longest that has the address. */
static const void *slow(const struct route_prefix *p, const bool *there, const uint8_t addr[16])
{
	const struct route_prefix *best = NULL;

	for (unsigned int i = 0; i < N; i++)
		if (there[i] && route_prefix_has(&p[i], addr) && (!best || p[i].len > best->len))
			best = &p[i];
	return best;
}

static void random_prefix(struct rng *r, struct route_prefix *p)
{
	bool v4 = rng_below(r, 2);
	unsigned int base = v4 ? 96 : 0;

	memset(p, 0, sizeof(*p));
	p->len = (uint8_t)(base + rng_below(r, 129 - base));
	if (v4)
		addr_from_4(p->addr, "\0\0\0\0");
	/* Few different bits, so that prefixes lie in each other. */
	for (unsigned int bit = base; bit < p->len; bit++)
		if (!rng_below(r, 5))
			p->addr[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
}

static void test_random(void **state)
{
	static struct route_prefix p[N];
	static bool there[N];
	struct route_table *t = route_table_new(N);
	struct rng r = {7};
	void *old;

	(void)state;
	for (unsigned int i = 0; i < N; i++)
		random_prefix(&r, &p[i]);
	for (unsigned int round = 0; round < 2000; round++) {
		unsigned int i = rng_below(&r, N);

		if (there[i]) {
			void *was = route_table_del(t, &p[i]);

			assert_ptr_equal(was, &p[i]);
			there[i] = false;
		} else if (!route_table_get(t, &p[i])) {
			assert_int_equal(route_table_set(t, &p[i], &p[i], &old), 0);
			there[i] = true;
		}
		for (unsigned int k = 0; k < 20; k++) {
			struct route_prefix a;

			random_prefix(&r, &a);
			vsw_read_lock();
			old = route_lookup(t, a.addr);
			vsw_read_unlock();
			assert_ptr_equal(old, slow(p, there, a.addr));
		}
	}
	route_table_free(t);
}

/* ---- how many errors ---- */

static void packet_from(struct pkt *pkt, unsigned int host)
{
	static struct frame f;

	frame_udp(&f, host, 1, 10);
	pkt_of_frame(pkt, &f, 0);
	assert_int_equal(pkt_parse(pkt), VSW_DROP_NONE);
}

static unsigned int granted(struct reply_limit *l, unsigned int host, unsigned int n, uint64_t now)
{
	static struct pkt pkt;
	unsigned int ok = 0;

	packet_from(&pkt, host);
	while (n--)
		ok += reply_limit_ok(l, &pkt, now);
	return ok;
}

static void test_replies(void **state)
{
	struct reply_limit l;
	unsigned int all = 0;

	(void)state;
	reply_limit_init(&l, 100);
	/* One source has a tenth, at once and each second. */
	assert_int_equal(granted(&l, 1, 50, 1000), 10);
	assert_int_equal(granted(&l, 1, 50, 1500), 5);
	assert_int_equal(granted(&l, 1, 50, 9000), 10);
	/* All together have what there is. */
	for (unsigned int host = 1; host < 100; host++)
		all += granted(&l, host, 10, 20000);
	assert_int_equal(all, 100);
	assert_int_equal(granted(&l, 101, 10, 20000), 0);
	reply_limit_fini(&l);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),	cmocka_unit_test(test_longest),
		cmocka_unit_test(test_bound),	cmocka_unit_test(test_random),
		cmocka_unit_test(test_replies),
	};
	int rc;

	test_thread_register();
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	test_thread_unregister();
	return rc;
}
