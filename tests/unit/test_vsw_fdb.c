/* SPDX-License-Identifier: BSD-2-Clause */
/* Claims about vswitch/fdb.c, on a clock of the test's own. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "tests/lib/rng.h"
#include "vsw_fixture.h"
#include "vswitch/fdb.h"
#include "vswitch/rcu.h"

#define AGEING 1000

static struct fdb *fdb;
static struct test_port a, b;
static uint64_t clock_ms;
static unsigned int clock_reads;

static uint64_t read_clock(void)
{
	clock_reads++;
	return clock_ms;
}

static struct vsw_port *lookup(uint64_t mac, uint16_t vid)
{
	struct vsw_port *port;
	uint64_t now = 0;

	vsw_read_lock();
	port = fdb_lookup(fdb, mac, vid, &now, read_clock);
	vsw_read_unlock();
	return port;
}

static bool learn(uint64_t mac, uint16_t vid, struct test_port *t)
{
	bool known;

	vsw_read_lock();
	known = fdb_learn(fdb, mac, vid, &t->port, clock_ms);
	vsw_read_unlock();
	return known;
}

static int setup(void **state)
{
	(void)state;
	test_thread_register();
	fdb = fdb_new(64, 16, AGEING);
	test_port_init(&a, 1);
	test_port_init(&b, 2);
	/* Attached, as far as the FDB can tell. */
	atomic_store(&a.port.net, (struct vsw_net *)&a);
	atomic_store(&b.port.net, (struct vsw_net *)&b);
	clock_ms = 5000;
	clock_reads = 0;
	return fdb ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	vsw_synchronize();
	fdb_free(fdb);
	test_thread_unregister();
	return 0;
}

static void a_source_is_found_as_a_destination(void **state)
{
	(void)state;
	assert_null(lookup(0x020000000001, 0));
	assert_true(learn(0x020000000001, 0, &a));
	assert_ptr_equal(lookup(0x020000000001, 0), &a.port);
	/* On its VLAN only. */
	assert_null(lookup(0x020000000001, 7));
	assert_true(learn(0x020000000001, 7, &b));
	assert_ptr_equal(lookup(0x020000000001, 7), &b.port);
	assert_ptr_equal(lookup(0x020000000001, 0), &a.port);
	assert_int_equal(fdb_count(fdb), 2);
}

static void an_address_moves_with_its_station(void **state)
{
	(void)state;
	learn(0x020000000001, 0, &a);
	assert_true(learn(0x020000000001, 0, &b));
	assert_ptr_equal(lookup(0x020000000001, 0), &b.port);
	assert_int_equal(fdb_count(fdb), 1);
	assert_int_equal(a.port.n_macs, 0);
	assert_int_equal(b.port.n_macs, 1);
}

static void an_address_that_is_silent_is_forgotten(void **state)
{
	(void)state;
	learn(0x020000000001, 0, &a);
	clock_ms += AGEING - 1;
	assert_ptr_equal(lookup(0x020000000001, 0), &a.port);
	clock_ms += 1;
	assert_null(lookup(0x020000000001, 0));
	/* It speaks again. */
	assert_true(learn(0x020000000001, 0, &a));
	assert_ptr_equal(lookup(0x020000000001, 0), &a.port);
	/* Speaking keeps it. */
	for (unsigned int i = 0; i < 50; i++) {
		clock_ms += AGEING / 2;
		assert_true(learn(0x020000000001, 0, &a));
		assert_ptr_equal(lookup(0x020000000001, 0), &a.port);
	}
	assert_int_equal(fdb_count(fdb), 1);
}

static void a_fixed_address_is_found_on_every_vlan_and_never_learned_away(void **state)
{
	(void)state;
	learn(0x020000000001, 3, &b);
	assert_int_equal(fdb_add_fixed(fdb, 0x020000000001, &a.port), 0);
	/* What was learned of it before is gone. */
	assert_int_equal(fdb_count(fdb), 0);
	assert_int_equal(b.port.n_macs, 0);
	assert_ptr_equal(lookup(0x020000000001, 0), &a.port);
	assert_ptr_equal(lookup(0x020000000001, 3), &a.port);
	assert_ptr_equal(lookup(0x020000000001, 4094), &a.port);
	assert_false(learn(0x020000000001, 0, &b));
	assert_false(learn(0x020000000001, 3, &b));
	assert_ptr_equal(lookup(0x020000000001, 3), &a.port);
	assert_true(learn(0x020000000001, 0, &a));
	assert_int_equal(fdb_count(fdb), 0);
	clock_ms += 100 * AGEING;
	assert_ptr_equal(lookup(0x020000000001, 0), &a.port);
	assert_int_equal(fdb_add_fixed(fdb, 0x020000000001, &b.port), -EEXIST);
	assert_int_equal(fdb_add_fixed(fdb, 0x020000000001, &a.port), -EEXIST);
	/* Such lookups read no clock. */
	assert_int_equal(clock_reads, 0);
}

static void one_port_cannot_fill_the_table(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < 16; i++)
		assert_true(learn(0x020000000100 + i, 0, &a));
	for (uint64_t i = 16; i < 1000; i++)
		assert_false(learn(0x020000000100 + i, 0, &a));
	assert_int_equal(fdb_count(fdb), 16);
	assert_int_equal(a.port.n_macs, 16);
	assert_null(lookup(0x020000000100 + 20, 0));
	/* Others are not concerned, and its known addresses live on. */
	assert_true(learn(0x020000000500, 0, &b));
	assert_true(learn(0x020000000100, 0, &a));
	/* Nor can it take over somebody else's address while it is full. */
	assert_false(learn(0x020000000500, 0, &a));
	assert_ptr_equal(lookup(0x020000000500, 0), &b.port);
}

static void expired_addresses_make_room(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < 16; i++)
		learn(0x020000000100 + i, 0, &a);
	assert_false(learn(0x020000000200, 0, &a));
	clock_ms += AGEING;
	for (uint64_t i = 0; i < 16; i++)
		assert_true(learn(0x020000000200 + i, 0, &a));
	assert_false(learn(0x020000000300, 0, &a));
	assert_int_equal(fdb_count(fdb), 16);
	for (uint64_t i = 0; i < 16; i++) {
		assert_null(lookup(0x020000000100 + i, 0));
		assert_ptr_equal(lookup(0x020000000200 + i, 0), &a.port);
	}
}

static void the_whole_table_has_a_limit_too(void **state)
{
	static struct test_port many[8];
	unsigned int known = 0;

	(void)state;
	for (unsigned int p = 0; p < 8; p++) {
		test_port_init(&many[p], 10 + p);
		atomic_store(&many[p].port.net, (struct vsw_net *)&a);
		for (uint64_t i = 0; i < 16; i++)
			known += learn(0x020000000000 + p * 0x100 + i, 0, &many[p]);
	}
	assert_int_equal(known, 64);
	assert_int_equal(fdb_count(fdb), 64);
}

static void a_full_port_sweeps_seldom(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < 16; i++)
		learn(0x020000000100 + i, 0, &a);
	/* Turned away, with a time before which it need not ask again. */
	assert_false(learn(0x020000000200, 0, &a));
	assert_true(atomic_load(&a.port.learn_again_ms) > clock_ms);
	assert_true(atomic_load(&a.port.learn_again_ms) <= clock_ms + AGEING / 8);
	clock_ms = atomic_load(&a.port.learn_again_ms);
	assert_false(learn(0x020000000200, 0, &a));
	assert_true(atomic_load(&a.port.learn_again_ms) > clock_ms);
}

static void a_port_that_leaves_takes_its_addresses_along(void **state)
{
	struct vsw_fdb_entry e[8];

	(void)state;
	assert_int_equal(fdb_add_fixed(fdb, 0x0200000000aa, &a.port), 0);
	learn(0x020000000001, 0, &a);
	learn(0x020000000002, 9, &a);
	learn(0x020000000003, 0, &b);
	clock_ms += 10;
	assert_int_equal(fdb_list(fdb, clock_ms, e, 8), 4);
	atomic_store(&a.port.net, NULL);
	fdb_forget_port(fdb, &a.port);
	vsw_synchronize();
	fdb_reap(fdb);
	assert_null(lookup(0x020000000001, 0));
	assert_null(lookup(0x020000000002, 9));
	assert_null(lookup(0x0200000000aa, 0));
	assert_int_equal(a.port.n_macs, 0);
	/* Nor does it come back by a packet that was under way. */
	assert_false(learn(0x020000000001, 0, &a));
	assert_int_equal(fdb_list(fdb, clock_ms, e, 8), 1);
	assert_string_equal(e[0].port, "vm2/eth0");
	assert_memory_equal(e[0].mac, "\x02\0\0\0\0\x3", 6);
	assert_int_equal(e[0].vid, 0);
	assert_int_equal(e[0].age_ms, 10);
	assert_false(e[0].fixed);
	assert_int_equal(fdb_list(fdb, clock_ms, e, 0), 1);
	clock_ms += AGEING;
	assert_int_equal(fdb_list(fdb, clock_ms, e, 8), 0);
}

/* Lookups run while addresses come, move, expire and go. */
static _Atomic bool stop;

static void *reader(void *arg)
{
	struct rng r = {.s = (uintptr_t)arg};
	uint64_t found = 0;

	test_thread_register();
	while (!atomic_load(&stop)) {
		uint64_t now = 1;
		struct vsw_port *p;

		vsw_read_lock();
		p = fdb_lookup(fdb, 0x020000000000 + rng_below(&r, 40), 0, &now, read_clock);
		if (p) {
			assert_true(p == &a.port || p == &b.port);
			assert_int_equal(p->name[0], 'v');
			found++;
		}
		vsw_read_unlock();
	}
	test_thread_unregister();
	return (void *)(uintptr_t)found;
}

static void readers_run_beside_changes(void **state)
{
	struct rng r = {.s = 99};
	pthread_t t;
	void *found;

	(void)state;
	atomic_store(&stop, false);
	assert_int_equal(pthread_create(&t, NULL, reader, (void *)1), 0);
	for (unsigned int i = 0; i < 30000; i++) {
		struct test_port *p = rng_below(&r, 2) ? &a : &b;

		clock_ms += rng_below(&r, AGEING / 8);
		learn(0x020000000000 + rng_below(&r, 40), 0, p);
		if (i % 1000 == 999) {
			atomic_store(&p->port.net, NULL);
			fdb_forget_port(fdb, &p->port);
			vsw_synchronize();
			fdb_reap(fdb);
			atomic_store(&p->port.learn_again_ms, 0);
			atomic_store(&p->port.net, (struct vsw_net *)&a);
		}
	}
	atomic_store(&stop, true);
	pthread_join(t, &found);
	assert_true(found != NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_source_is_found_as_a_destination, setup,
						teardown),
		cmocka_unit_test_setup_teardown(an_address_moves_with_its_station, setup, teardown),
		cmocka_unit_test_setup_teardown(an_address_that_is_silent_is_forgotten, setup,
						teardown),
		cmocka_unit_test_setup_teardown(
			a_fixed_address_is_found_on_every_vlan_and_never_learned_away, setup,
			teardown),
		cmocka_unit_test_setup_teardown(one_port_cannot_fill_the_table, setup, teardown),
		cmocka_unit_test_setup_teardown(expired_addresses_make_room, setup, teardown),
		cmocka_unit_test_setup_teardown(the_whole_table_has_a_limit_too, setup, teardown),
		cmocka_unit_test_setup_teardown(a_full_port_sweeps_seldom, setup, teardown),
		cmocka_unit_test_setup_teardown(a_port_that_leaves_takes_its_addresses_along, setup,
						teardown),
		cmocka_unit_test_setup_teardown(readers_run_beside_changes, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
