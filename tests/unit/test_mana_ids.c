/* SPDX-License-Identifier: BSD-2-Clause */
/* Claims about emulator/mana/resource: ids that rest, handles that die with their object. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "emulator/mana/mana_internal.h"

static int obj[64];

static void an_id_is_reused_as_late_as_possible(void **state)
{
	struct mana_ids t;
	int first, second;

	(void)state;
	assert_int_equal(ids_init(&t, 9, 1, 4), 0);
	first = ids_add(&t, &obj[0]);
	assert_int_equal(first, 1);
	ids_del(&t, 1);
	second = ids_add(&t, &obj[1]);
	assert_int_equal(second, 2);
	assert_null(ids_get(&t, 1));
	assert_ptr_equal(ids_get(&t, 2), &obj[1]);
	for (int i = 0; i < 7; i++) {
		ids_del(&t, (uint32_t)second);
		second = ids_add(&t, &obj[1]);
	}
	/* Once around: eight slots for four objects. */
	assert_int_equal(second, 1);
	ids_fini(&t);
}

static void the_limit_holds_and_every_id_is_one_object(void **state)
{
	struct mana_ids t;
	bool seen[64] = {false};

	(void)state;
	assert_int_equal(ids_init(&t, 9, 0, 10), 0);
	for (int i = 0; i < 10; i++) {
		int id = ids_add(&t, &obj[i]);

		assert_in_range(id, 0, 19);
		assert_false(seen[id]);
		seen[id] = true;
		assert_ptr_equal(ids_get(&t, (uint32_t)id), &obj[i]);
	}
	assert_true(ids_full(&t));
	assert_int_equal(ids_add(&t, &obj[10]), -ENOSPC);
	ids_del(&t, 3);
	assert_false(ids_full(&t));
	assert_int_equal(ids_add(&t, &obj[10]), 10);
	ids_fini(&t);
}

static void a_handle_dies_with_its_object(void **state)
{
	struct mana_ids t;
	uint64_t handle, second;
	uint32_t id;

	(void)state;
	assert_int_equal(ids_init(&t, 9, 0, 1), 0);
	id = (uint32_t)ids_add(&t, &obj[0]);
	handle = ids_handle(&t, id);
	assert_ptr_equal(ids_by_handle(&t, handle, &id), &obj[0]);
	ids_del(&t, id);
	assert_null(ids_by_handle(&t, handle, &id));
	/* Two slots: the same id comes back, the handle does not. */
	ids_add(&t, &obj[1]);
	ids_del(&t, 1);
	id = (uint32_t)ids_add(&t, &obj[2]);
	assert_int_equal(id, 0);
	second = ids_handle(&t, id);
	assert_int_not_equal(handle, second);
	assert_null(ids_by_handle(&t, handle, &id));
	assert_ptr_equal(ids_by_handle(&t, second, &id), &obj[2]);
	ids_fini(&t);
}

static void nonsense_is_no_handle(void **state)
{
	struct mana_ids t, other;
	uint64_t handle;
	uint32_t id;

	(void)state;
	assert_int_equal(ids_init(&t, 9, 0, 4), 0);
	assert_int_equal(ids_init(&other, 10, 0, 4), 0);
	ids_add(&t, &obj[0]);
	ids_add(&other, &obj[1]);
	handle = ids_handle(&t, 0);
	assert_int_not_equal(handle, 0);
	assert_int_not_equal(handle, UINT64_MAX);
	assert_null(ids_by_handle(&t, 0, &id));
	assert_null(ids_by_handle(&t, UINT64_MAX, &id));
	for (int bit = 0; bit < 64; bit++)
		assert_null(ids_by_handle(&t, handle ^ 1ull << bit, &id));
	/* Of another kind of object. */
	assert_null(ids_by_handle(&t, ids_handle(&other, 0), &id));
	assert_null(ids_get(&t, 1000));
	ids_fini(&t);
	ids_fini(&other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_id_is_reused_as_late_as_possible),
		cmocka_unit_test(the_limit_holds_and_every_id_is_one_object),
		cmocka_unit_test(a_handle_dies_with_its_object),
		cmocka_unit_test(nonsense_is_no_handle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
