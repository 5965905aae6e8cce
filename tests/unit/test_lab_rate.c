/* SPDX-License-Identifier: BSD-2-Clause */
/* Claims about bandwidth in a lab file, and about what a NIC may be given later. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "host/lab.h"
#include "host/lab_rate.h"

static const char shared[] = "networks: [{name: blue, mbps: 100}, {name: red}]\n"
			     "vms:\n"
			     "  - name: a\n"
			     "    nics:\n"
			     "      - {network: blue, max_mbps: 50, min_mbps: 20, min_weight: 7}\n"
			     "      - {network: red, max_mbps: 4000000}\n"
			     "  - name: b\n"
			     "    nics: [{network: blue, min_mbps: 60}]\n";

static struct lab *load(const char *text)
{
	struct lab_errors errs = {0};
	struct lab *lab = NULL;

	assert_int_equal(lab_load_text("/labs/pair.yaml", text, strlen(text), &lab, &errs), 0);
	lab_errors_free(&errs);
	return lab;
}

static void by_default_there_is_no_limit(void **state)
{
	struct lab *lab = load("vms: [{name: a}]\n");
	const struct lab_features *f = &lab->vms[0].nics[0].features;

	(void)state;
	assert_int_equal(lab->nets[0].mbps, 0);
	assert_int_equal(f->max_mbps, 0);
	assert_int_equal(f->min_mbps, 0);
	assert_int_equal(f->min_weight, 0);
	lab_free(lab);
}

static void what_is_told_of_it_is_the_same_again(void **state)
{
	struct lab *lab = load(shared), *again;
	json_t *json = lab_to_json(lab);
	char *text = json_dumps(json, 0);

	(void)state;
	again = load(text);
	for (unsigned int i = 0; i < 2; i++) {
		const struct lab *l = i ? again : lab;

		assert_int_equal(l->nets[0].mbps, 100);
		assert_int_equal(l->nets[1].mbps, 0);
		assert_int_equal(l->vms[0].nics[0].features.max_mbps, 50);
		assert_int_equal(l->vms[0].nics[0].features.min_mbps, 20);
		assert_int_equal(l->vms[0].nics[0].features.min_weight, 7);
		assert_int_equal(l->vms[0].nics[1].features.max_mbps, 4000000);
		assert_int_equal(l->vms[1].nics[0].features.min_mbps, 60);
	}
	free(text);
	json_decref(json);
	lab_free(again);
	lab_free(lab);
}

static void mistakes_name_key_and_remedy(void **state)
{
	static const struct {
		const char *nics, *key, *reason, *remedy;
	} c[] = {
		{"[{network: red, min_mbps: 1}]", "vms[0].nics[0].min_mbps",
		 "network red has no bandwidth", "give the network mbps"},
		{"[{network: red, min_weight: 1}]", "vms[0].nics[0].min_weight",
		 "network red has no bandwidth", "give the network mbps"},
		{"[{network: blue, max_mbps: 10, min_mbps: 11}]", "vms[0].nics[0].min_mbps",
		 "11 Mbit/s is more than the maximum of 10", "lower min_mbps"},
		{"[{network: blue, min_mbps: 60}, {network: blue, min_mbps: 41}]",
		 "vms[0].nics[1].min_mbps",
		 "41 Mbit/s do not fit: network blue has 100, of which "
		 "60 are promised",
		 "raise the network's mbps"},
		{"[{network: blue, max_mbps: 4000001}]", "vms[0].nics[0].max_mbps", "4000001", ""},
		{"[{network: blue, min_weight: 101}]", "vms[0].nics[0].min_weight", "101", ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(c); i++) {
		struct lab_errors errs = {0};
		struct lab *lab;
		char text[256];

		snprintf(text, sizeof(text),
			 "networks: [{name: blue, mbps: 100}, {name: red}]\n"
			 "vms: [{name: a, nics: %s}]\n",
			 c[i].nics);
		assert_int_equal(lab_load_text("l.yaml", text, strlen(text), &lab, &errs), -EINVAL);
		assert_int_equal(errs.n, 1);
		assert_string_equal(errs.list[0].key, c[i].key);
		if (!strstr(errs.list[0].reason, c[i].reason))
			fail_msg("%s", errs.list[0].reason);
		assert_non_null(strstr(errs.list[0].remedy, c[i].remedy));
		lab_errors_free(&errs);
	}
}

/* 80 of 100 are promised, 20 of them to a/eth0. */
static void later_what_it_has_already_does_not_count(void **state)
{
	struct lab *lab = load(shared);
	struct lab_features f = {.min_mbps = 40};
	const char *key;
	char why[160];

	(void)state;
	assert_null(lab_rate_check(lab, &lab->vms[0], "eth0", 0, &f, &key, why, sizeof(why)));
	assert_non_null(lab_rate_check(lab, &lab->vms[0], "", 0, &f, &key, why, sizeof(why)));
	assert_string_equal(key, "min_mbps");
	f.min_mbps = 41;
	assert_non_null(lab_rate_check(lab, &lab->vms[0], "eth0", 0, &f, &key, why, sizeof(why)));
	/* Nor does the NIC of that name in another VM stand for it. */
	f.min_mbps = 81;
	assert_non_null(lab_rate_check(lab, &lab->vms[1], "eth0", 0, &f, &key, why, sizeof(why)));
	f.min_mbps = 80;
	assert_null(lab_rate_check(lab, &lab->vms[1], "eth0", 0, &f, &key, why, sizeof(why)));
	lab_free(lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(by_default_there_is_no_limit),
		cmocka_unit_test(what_is_told_of_it_is_the_same_again),
		cmocka_unit_test(mistakes_name_key_and_remedy),
		cmocka_unit_test(later_what_it_has_already_does_not_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
