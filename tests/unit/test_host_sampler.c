/* SPDX-License-Identifier: BSD-2-Clause */
/* Claims about the sampler: what moved is in the rows, once, however ports come and go. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "host/sampler.h"
#include "tests/lib/wait.h"

static const struct vsw_port_ops no_ops;

static void port_init(struct vsw_port *p, const char *name)
{
	static const uint8_t mac[6] = {2};

	memset(p, 0, sizeof(*p));
	vsw_port_init(p, &no_ops, name, mac);
}

static void rx(struct vsw_port *p, uint64_t packets, uint64_t bytes)
{
	atomic_fetch_add(&p->stats.rx_packets, packets);
	atomic_fetch_add(&p->stats.rx_bytes, bytes);
}

static void tx(struct vsw_port *p, uint64_t packets, uint64_t bytes)
{
	atomic_fetch_add(&p->stats.tx_packets, packets);
	atomic_fetch_add(&p->stats.tx_bytes, bytes);
}

static json_t *path_of(json_t *result, const char *name)
{
	json_t *p;
	size_t i;

	json_array_foreach (json_object_get(result, "paths"), i, p)
		if (!strcmp(json_string_value(json_object_get(p, "port")), name))
			return p;
	return NULL;
}

static json_int_t number(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

/* Sum of a column of a path's rows: 2 tx packets, 3 tx bytes, 4 rx packets, 5 rx bytes. */
static json_int_t column(json_t *path, size_t c)
{
	json_int_t sum = 0;
	json_t *row;
	size_t i;

	json_array_foreach (json_object_get(path, "rows"), i, row)
		sum += json_integer_value(json_array_get(row, c));
	return sum;
}

/* Rows of one path follow each other and lie between the run's ends. */
static void assert_in_order(json_t *result)
{
	json_int_t length = (number(result, "end_ns") - number(result, "start_ns")) / 1000 + 1;
	json_t *p, *row;
	size_t i, k;

	json_array_foreach (json_object_get(result, "paths"), i, p) {
		json_int_t end = 0;

		json_array_foreach (json_object_get(p, "rows"), k, row) {
			json_int_t at = json_integer_value(json_array_get(row, 0));

			assert_true(at >= end - 1); /* each of the two is cut to a microsecond */
			end = at + json_integer_value(json_array_get(row, 1));
		}
		assert_true(end <= length);
	}
}

/* Returns when it has looked at what is there now. A look under way may have been before that. */
static void let_it_look(void)
{
	uint64_t before = sampler_looks();

	assert_true(wait_until(sampler_looks() >= before + 2, WAIT_MS));
}

static void what_moved_is_there_once(void **state)
{
	struct vsw_port vf, syn;
	json_t *r, *p;

	(void)state;
	port_init(&vf, "a/eth0/vf");
	port_init(&syn, "a/eth0/syn");
	tx(&vf, 1000, 1000000); /* before: not ours */
	assert_int_equal(sampler_watch(&vf), 0);
	assert_int_equal(sampler_watch(&syn), 0);
	assert_int_equal(sampler_start(&(struct sampler_conf){0}), 0);
	assert_true(sampler_is_running());
	for (int i = 0; i < 20; i++) {
		tx(&vf, 3, 300);
		rx(&vf, 2, 3000);
		let_it_look();
	}
	r = sampler_stop();
	assert_false(sampler_is_running());
	p = path_of(r, "a/eth0/vf");
	assert_int_equal(column(p, 2), 60);
	assert_int_equal(column(p, 3), 6000);
	assert_int_equal(column(p, 4), 40);
	assert_int_equal(column(p, 5), 60000);
	assert_true(json_array_size(json_object_get(p, "rows")) >= 20);
	assert_true(json_array_size(json_object_get(p, "rows")) <= 40);
	/* Nothing moved: no rows at all. */
	assert_int_equal(json_array_size(json_object_get(path_of(r, "a/eth0/syn"), "rows")), 0);
	assert_true(number(r, "looks") > 20);
	assert_int_equal(number(r, "step_us"), 1000);
	assert_true(json_is_null(json_object_get(r, "full_ns")));
	assert_in_order(r);
	json_decref(r);
	assert_null(sampler_stop());
	sampler_unwatch(&vf);
	sampler_unwatch(&syn);
}

static void ports_come_and_go(void **state)
{
	struct vsw_port old, young;
	json_t *r, *p;

	(void)state;
	port_init(&old, "a/eth0/vf");
	port_init(&young, "a/eth0/vf");
	assert_int_equal(sampler_watch(&old), 0);
	/* So seldom that it never looks by itself while this test runs. */
	assert_int_equal(sampler_start(&(struct sampler_conf){.step_us = 1000000}), 0);
	rx(&old, 5, 500);
	sampler_unwatch(&old);
	memset(&old, 0xff, sizeof(old)); /* nobody reads it any more */
	rx(&young, 7, 700);		 /* before it is known: not counted */
	assert_int_equal(sampler_watch(&young), 0);
	rx(&young, 11, 1100);
	sampler_unwatch(&young);
	sampler_unwatch(&young); /* again is fine */
	r = sampler_stop();
	assert_int_equal(json_array_size(json_object_get(r, "paths")), 2);
	p = json_array_get(json_object_get(r, "paths"), 0);
	assert_int_equal(column(p, 4), 5);
	assert_true(number(p, "until_ns") >= number(p, "since_ns"));
	p = json_array_get(json_object_get(r, "paths"), 1);
	assert_int_equal(column(p, 4), 11);
	assert_true(number(p, "since_ns") >=
		    number(json_array_get(json_object_get(r, "paths"), 0), "until_ns"));
	assert_in_order(r);
	json_decref(r);
}

static void only_the_wanted_are_looked_at(void **state)
{
	json_t *only = json_pack("[s]", "a/eth1"), *r;
	struct vsw_port ports[4];
	static const char *const names[] = {"a/eth1", "a/eth1/vf", "a/eth10", "b/eth1"};

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(ports); i++) {
		port_init(&ports[i], names[i]);
		assert_int_equal(sampler_watch(&ports[i]), 0);
	}
	assert_int_equal(sampler_start(&(struct sampler_conf){.vnics = only}), 0);
	json_decref(only);
	r = sampler_stop();
	assert_int_equal(json_array_size(json_object_get(r, "paths")), 2);
	assert_non_null(path_of(r, "a/eth1"));
	assert_non_null(path_of(r, "a/eth1/vf"));
	json_decref(r);
	for (unsigned int i = 0; i < ARRAY_SIZE(ports); i++)
		sampler_unwatch(&ports[i]);
}

static void its_memory_is_bounded(void **state)
{
	struct vsw_port vf;
	json_t *r;

	(void)state;
	port_init(&vf, "a/eth0/vf");
	assert_int_equal(sampler_watch(&vf), 0);
	assert_int_equal(sampler_start(&(struct sampler_conf){.max_rows = 3}), 0);
	for (int i = 0; i < 10; i++) {
		rx(&vf, 1, 100);
		let_it_look();
	}
	r = sampler_stop();
	assert_int_equal(json_array_size(json_object_get(path_of(r, "a/eth0/vf"), "rows")), 3);
	/* It says since when it is incomplete. */
	assert_true(number(r, "full_ns") > number(r, "start_ns"));
	json_decref(r);
	sampler_unwatch(&vf);
}

static void it_ends_by_itself_and_keeps_what_it_has(void **state)
{
	struct vsw_port vf;
	json_t *r;

	(void)state;
	port_init(&vf, "a/eth0/vf");
	assert_int_equal(sampler_watch(&vf), 0);
	assert_int_equal(sampler_start(&(struct sampler_conf){.max_ms = 50}), 0);
	assert_int_equal(sampler_start(&(struct sampler_conf){0}), -EBUSY);
	rx(&vf, 4, 400);
	assert_true(wait_until(!sampler_is_running(), WAIT_MS));
	rx(&vf, 9, 900);      /* after the end */
	sampler_unwatch(&vf); /* and the port goes */
	r = sampler_stop();
	assert_int_equal(column(path_of(r, "a/eth0/vf"), 4), 4);
	assert_true(number(r, "end_ns") - number(r, "start_ns") >= 50000000);
	json_decref(r);
	/* What nobody fetches is in nobody's way. */
	assert_int_equal(sampler_start(&(struct sampler_conf){.max_ms = 1}), 0);
	assert_true(wait_until(!sampler_is_running(), WAIT_MS));
	assert_int_equal(sampler_start(&(struct sampler_conf){0}), 0);
	sampler_fini();
	assert_null(sampler_stop());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_moved_is_there_once),
		cmocka_unit_test(ports_come_and_go),
		cmocka_unit_test(only_the_wanted_are_looked_at),
		cmocka_unit_test(its_memory_is_bounded),
		cmocka_unit_test(it_ends_by_itself_and_keeps_what_it_has),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
