/* SPDX-License-Identifier: BSD-2-Clause */
/* Claims about the connections' part of the lab file. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "host/lab.h"

#define VMS "vms: [{name: a}]\n"

static struct lab *load(const char *text)
{
	struct lab_errors errs = {0};
	struct lab *lab;

	assert_int_equal(lab_load_text("/labs/l.yaml", text, strlen(text), &lab, &errs), 0);
	lab_errors_free(&errs);
	return lab;
}

static void the_defaults_are_the_switchs(void **state)
{
	struct lab *lab = load(VMS);

	(void)state;
	assert_int_equal(lab->flows.max, LAB_FLOWS_DEFAULT);
	assert_int_equal(lab->flows.embryonic_s, 5);
	assert_int_equal(lab->flows.established_s, 8000);
	assert_int_equal(lab->flows.time_wait_s, 120);
	assert_int_equal(lab->flows.reset_s, 5);
	assert_int_equal(lab->flows.other_s, 60);
	lab_free(lab);
}

static void what_is_given_counts_and_comes_back(void **state)
{
	struct lab *lab = load(VMS "flows: {max: 1000000, embryonic_s: 1, established_s: 604800,\n"
				   "        time_wait_s: 2, reset_s: 3, other_s: 4}\n");
	json_t *one = lab_to_json(lab), *two;
	char *text = json_dumps(one, 0);

	(void)state;
	lab_free(lab);
	lab = load(text);
	assert_int_equal(lab->flows.max, 1000000);
	assert_int_equal(lab->flows.embryonic_s, 1);
	assert_int_equal(lab->flows.established_s, 604800);
	assert_int_equal(lab->flows.time_wait_s, 2);
	assert_int_equal(lab->flows.reset_s, 3);
	assert_int_equal(lab->flows.other_s, 4);
	two = lab_to_json(lab);
	assert_true(json_equal(one, two));
	json_decref(one);
	json_decref(two);
	free(text);
	lab_free(lab);
}

static void refused(const char *text, const char *key, unsigned int line, const char *remedy)
{
	struct lab_errors errs = {0};
	struct lab *lab;

	assert_int_equal(lab_load_text("/labs/l.yaml", text, strlen(text), &lab, &errs), -EINVAL);
	assert_int_equal(errs.n, 1);
	assert_string_equal(errs.list[0].key, key);
	assert_int_equal(errs.list[0].line, line);
	if (!strstr(errs.list[0].remedy, remedy))
		fail_msg("\"%s\" is not in \"%s\"", remedy, errs.list[0].remedy);
	lab_errors_free(&errs);
}

static void mistakes_have_a_line_and_a_remedy(void **state)
{
	(void)state;
	refused(VMS "flows: {max: 0}\n", "flows.max", 2, "from 1 to 4194304");
	refused(VMS "flows:\n  max: 4194305\n", "flows.max", 3, "from 1 to 4194304");
	refused(VMS "flows: {other_s: 604801}\n", "flows.other_s", 2, "from 1 to 604800");
	refused(VMS "flows: {established_s: 0}\n", "flows.established_s", 2, "604800");
	refused(VMS "flows: {idle: 3}\n", "flows.idle", 2, "");
	refused(VMS "flows: 5\n", "flows", 2, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_defaults_are_the_switchs),
		cmocka_unit_test(what_is_given_counts_and_comes_back),
		cmocka_unit_test(mistakes_have_a_line_and_a_remedy),
	};

	return cmocka_run_group_tests_name("lab_flows", tests, NULL, NULL);
}
