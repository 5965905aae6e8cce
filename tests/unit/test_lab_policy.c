/* SPDX-License-Identifier: BSD-2-Clause */
/* What a lab file says of policy: labels of VMs, and policy files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "tests/unit/nsg_rig.h"

static void refused(const char *text, unsigned int line, const char *words)
{
	struct lab_errors errs = {0};
	struct lab *lab;

	assert_int_not_equal(lab_load_text("lab.yaml", text, strlen(text), &lab, &errs), 0);
	assert_int_equal(errs.n, 1);
	assert_int_equal(errs.list[0].line, line);
	if (!strstr(errs.list[0].reason, words))
		fail_msg("\"%s\" is not in \"%s\"", words, errs.list[0].reason);
	lab_errors_free(&errs);
}

static void test_labels(void **state)
{
	struct lab *lab = rig_lab("vms: [{name: a, labels: [web, back-end]}, {name: b}]\n");
	json_t *o = lab_to_json(lab), *vms = json_object_get(o, "vms");

	(void)state;
	assert_int_equal(lab->vms[0].n_labels, 2);
	assert_string_equal(lab->vms[0].labels[1], "back-end");
	assert_int_equal(lab->vms[1].n_labels, 0);
	assert_int_equal(json_array_size(json_object_get(json_array_get(vms, 0), "labels")), 2);
	assert_null(json_object_get(json_array_get(vms, 1), "labels"));
	json_decref(o);
	lab_free(lab);
	refused("vms:\n  - name: a\n    labels: [web,\n             web]\n", 4,
		"stands here twice");
	refused("vms:\n  - name: a\n    labels: [a b]\n", 3, "illegal character");
	refused("vms:\n  - name: a\n    labels: [a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q]\n", 3,
		"17 entries are more than the 16");
}

static void test_policy_files(void **state)
{
	char dir[] = "/tmp/hvlab-policy-XXXXXX", path[64], text[160];
	struct lab *lab;
	FILE *f;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/p.yaml", dir);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs("nsgs: []\n", f);
	fclose(f);
	snprintf(text, sizeof(text), "vms: [{name: a}]\npolicy: [%s/../%s/p.yaml]\n", dir, dir + 5);
	lab = rig_lab(text);
	assert_int_equal(lab->n_policies, 1);
	/* From the root: a daemon elsewhere finds it too. */
	assert_string_equal(lab->policies[0], path);
	lab_free(lab);
	unlink(path);
	refused(text, 2, "cannot read the policy file");
	snprintf(text, sizeof(text), "vms: [{name: a}]\npolicy: [%s]\n", dir);
	refused(text, 2, "is not a file");
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_labels),
		cmocka_unit_test(test_policy_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
