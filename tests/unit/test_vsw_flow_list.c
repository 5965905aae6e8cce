/* SPDX-License-Identifier: BSD-2-Clause */
/* Claims about connections listed and ended a piece at a time (port_policy.c, flow/table.c). */
#include <string.h>

#include "base/util.h"
#include "flow_rig.h"

#define N 1000

static unsigned int seen[N];

static bool mark(void *arg, const struct vsw_flow_info *f)
{
	unsigned int *left = arg;

	seen[f->lport - 1000]++;
	return !left || --*left;
}

static bool low_ports(void *arg, const struct vsw_flow_info *f)
{
	(void)arg;
	return f->lport < 1000 + N / 4;
}

static int setup(void **state)
{
	int rc = flow_setup(state);

	if (rc)
		return rc;
	memset(seen, 0, sizeof(seen));
	give(2, nothing_in(), false);
	for (unsigned int i = 0; i < N; i++)
		assert_true(udp(2, 1, (uint16_t)(1000 + i), 53));
	return 0;
}

static void each_is_met_once_whatever_the_pieces(void **state)
{
	static const uint32_t sizes[] = {1, 7, 128, 300, UINT32_MAX};

	(void)state;
	for (unsigned int k = 0; k < ARRAY_SIZE(sizes); k++) {
		uint32_t at = 0, before, turns = 0;
		bool more;

		do {
			before = at;
			more = vsw_port_flows_some(&port[2].port, &at, sizes[k], mark, NULL);
			assert_true(at - before <= sizes[k]);
			turns++;
		} while (more);
		assert_true(turns >= N / sizes[k]);
		for (unsigned int i = 0; i < N; i++)
			assert_int_equal(seen[i], k + 1);
	}
}

static void who_has_enough_goes_on_there(void **state)
{
	unsigned int left = 3;
	uint32_t at = 0;

	(void)state;
	assert_true(vsw_port_flows_some(&port[2].port, &at, UINT32_MAX, mark, &left));
	assert_int_equal(left, 0);
	assert_int_equal(at, 3);
	while (vsw_port_flows_some(&port[2].port, &at, 50, mark, NULL))
		;
	for (unsigned int i = 0; i < N; i++)
		assert_int_equal(seen[i], 1);
}

static void records_keep_their_numbers(void **state)
{
	uint32_t at = 0;
	size_t cut = 0;

	(void)state;
	assert_true(vsw_port_flows_some(&port[2].port, &at, N / 2, mark, NULL));
	assert_int_equal(vsw_port_flows_cut(&port[2].port, low_ports, NULL), N / 4);
	ticks();
	/* Others take the places of those that went. */
	for (unsigned int i = 0; i < N / 8; i++)
		assert_true(udp(2, 1, (uint16_t)(5000 + i), 53));
	while (vsw_port_flows_cut_some(&port[2].port, &at, 100, low_ports, NULL, &cut))
		;
	assert_int_equal(cut, 0);
}

static void a_part_is_ended_in_pieces(void **state)
{
	uint32_t at = 0;
	size_t cut = 0;

	(void)state;
	while (vsw_port_flows_cut_some(&port[2].port, &at, 64, low_ports, NULL, &cut))
		;
	assert_int_equal(cut, N / 4);
	assert_int_equal(stats_of(2).n, N - N / 4);
	assert_int_equal(stats_of(2).cut, N / 4);
}

static void a_port_without_policy_has_none(void **state)
{
	uint32_t at = 0;
	size_t cut = 0;

	(void)state;
	assert_false(vsw_port_flows_some(&port[1].port, &at, 10, mark, NULL));
	assert_false(vsw_port_flows_cut_some(&port[1].port, &at, 10, low_ports, NULL, &cut));
	assert_int_equal(at + cut, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, flow_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(each_is_met_once_whatever_the_pieces),
		TEST(who_has_enough_goes_on_there),
		TEST(records_keep_their_numbers),
		TEST(a_part_is_ended_in_pieces),
		TEST(a_port_without_policy_has_none),
	};

	return cmocka_run_group_tests_name("vsw_flow_list", tests, NULL, NULL);
}
