/* SPDX-License-Identifier: BSD-2-Clause */
/* Claims about a NIC's port features in the lab file, and about how VLAN settings are written. */
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
#include "vswitch/vlan.h"

static struct lab *load(const char *text)
{
	struct lab_errors errs = {0};
	struct lab *lab = NULL;

	assert_int_equal(lab_load_text("/labs/pair.yaml", text, strlen(text), &lab, &errs), 0);
	lab_errors_free(&errs);
	return lab;
}

static void by_default_there_is_none(void **state)
{
	struct lab *lab = load("vms: [{name: a}]\n");
	const struct lab_features *f = &lab->vms[0].nics[0].features;

	(void)state;
	assert_string_equal(f->vlan, "none");
	assert_true(f->mac_spoofing);
	assert_false(f->dhcp_guard || f->router_guard);
	assert_int_equal(f->mirror, LAB_MIRROR_NONE);
	assert_int_equal(f->storm_pps, 0);
	assert_true(f->offload);
	assert_int_equal(f->offload_flows, 4096);
	lab_free(lab);
}

/* What is told of a lab is a lab file again: the daemon is sent it. */
static void all_of_it_can_be_given_and_read_again(void **state)
{
	struct lab *lab = load("vms:\n"
			       "  - name: a\n"
			       "    nics:\n"
			       "      - {vlan: 10, mac_spoofing: off, dhcp_guard: on}\n"
			       "      - {vlan: 'trunk 20-30,7 native 5', router_guard: on,\n"
			       "         mirror: source, storm_pps: 100}\n"
			       "      - {vlan: untagged, mirror: destination, offload: off,\n"
			       "         offload_flows: 10}\n");
	json_t *json = lab_to_json(lab);
	char *text = json_dumps(json, 0);
	struct lab *again = load(text);

	(void)state;
	for (unsigned int i = 0; i < 3; i++)
		assert_memory_equal(&lab->vms[0].nics[i].features,
				    &again->vms[0].nics[i].features, sizeof(struct lab_features));
	assert_string_equal(lab->vms[0].nics[0].features.vlan, "access 10");
	assert_false(lab->vms[0].nics[0].features.mac_spoofing);
	assert_true(lab->vms[0].nics[0].features.dhcp_guard);
	assert_string_equal(lab->vms[0].nics[1].features.vlan, "trunk 7,20-30 native 5");
	assert_true(lab->vms[0].nics[1].features.router_guard);
	assert_int_equal(lab->vms[0].nics[1].features.mirror, LAB_MIRROR_SOURCE);
	assert_int_equal(lab->vms[0].nics[1].features.storm_pps, 100);
	assert_int_equal(lab->vms[0].nics[2].features.mirror, LAB_MIRROR_DESTINATION);
	assert_false(lab->vms[0].nics[2].features.offload);
	assert_int_equal(lab->vms[0].nics[2].features.offload_flows, 10);
	free(text);
	json_decref(json);
	lab_free(again);
	lab_free(lab);
}

static void mistakes_name_key_and_remedy(void **state)
{
	static const struct {
		const char *nic, *key, *reason, *remedy;
	} c[] = {
		{"vlan: 4095", "vlan", "\"4095\" is no VLAN setting", "access 10"},
		{"vlan: trunk", "vlan", "a list of VLAN ids", "trunk 10-20"},
		{"mac_spoofing: maybe", "mac_spoofing", "not possible here", "on, off"},
		{"dhcp_guard: 7", "dhcp_guard", "not possible here", "on, off"},
		{"router_guard: none", "router_guard", "not possible here", "on, off"},
		{"mirror: both", "mirror", "not possible here", "destination"},
		{"storm_pps: -1", "storm_pps", "not a whole number", ""},
		{"offload: maybe", "offload", "not possible here", "on, off"},
		{"offload_flows: 0", "offload_flows", "", ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(c); i++) {
		struct lab_errors errs = {0};
		struct lab *lab;
		char text[256], key[64];

		snprintf(text, sizeof(text), "vms:\n  - name: a\n    nics:\n      - %s\n", c[i].nic);
		snprintf(key, sizeof(key), "vms[0].nics[0].%s", c[i].key);
		assert_int_equal(lab_load_text("l.yaml", text, strlen(text), &lab, &errs), -EINVAL);
		assert_int_equal(errs.n, 1);
		assert_int_equal(errs.list[0].line, 4);
		assert_string_equal(errs.list[0].key, key);
		assert_non_null(strstr(errs.list[0].reason, c[i].reason));
		assert_non_null(strstr(errs.list[0].remedy, c[i].remedy));
		lab_errors_free(&errs);
	}
}

static void a_vlan_setting_has_one_way_of_writing(void **state)
{
	static const char *const c[][2] = {
		{"none", "none"},
		{"  untagged ", "untagged"},
		{"10", "access 10"},
		{"access 4094", "access 4094"},
		{"trunk 1", "trunk 1"},
		{"trunk 3,1,2,9-12,11-14", "trunk 1-3,9-14"},
		{"trunk 1-4094 native 1", "trunk 1-4094 native 1"},
		{"isolated 100 101", "isolated 100 101"},
		{"community\t100 102", "community 100 102"},
		{"promiscuous 100 101,102,110", "promiscuous 100 101-102,110"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(c); i++) {
		char text[LAB_VLAN_TEXT], again[LAB_VLAN_TEXT], why[160];

		assert_int_equal(lab_vlan_parse(c[i][0], NULL, text, why, sizeof(why)), 0);
		assert_string_equal(text, c[i][1]);
		assert_int_equal(lab_vlan_parse(text, NULL, again, why, sizeof(why)), 0);
		assert_string_equal(again, text);
	}
}

static void a_vlan_setting_means_what_it_says(void **state)
{
	struct vlan_conf v;
	char why[160];

	(void)state;
	assert_int_equal(lab_vlan_parse("trunk 10-12,20 native 5", &v, NULL, why, sizeof(why)), 0);
	assert_int_equal(v.mode, VLAN_TRUNK);
	assert_int_equal(v.vid, 5);
	for (unsigned int i = 0; i < 4096; i++)
		assert_int_equal(vlan_allows(&v, i), (i >= 10 && i <= 12) || i == 20);
	assert_int_equal(lab_vlan_parse("community 100 102", &v, NULL, why, sizeof(why)), 0);
	assert_int_equal(v.mode, VLAN_COMMUNITY);
	assert_int_equal(v.vid, 100);
	assert_int_equal(v.secondary, 102);
	assert_int_equal(lab_vlan_parse("promiscuous 100 102", &v, NULL, why, sizeof(why)), 0);
	assert_int_equal(v.mode, VLAN_PROMISCUOUS);
	assert_true(vlan_allows(&v, 102));
}

static void what_is_no_vlan_setting_is_refused_with_a_reason(void **state)
{
	static const char *const c[][2] = {
		{"", "it is empty"},
		{"   ", "it is empty"},
		{"0", "\"0\" is no VLAN setting"},
		{"acces 10", "\"acces\" is no VLAN setting"},
		{"none 10", "none stands alone"},
		{"access", "one VLAN id"},
		{"access 1 2", "one VLAN id"},
		{"access 4095", "\"4095\" is not a VLAN id"},
		{"access -1", "\"-1\" is not a VLAN id"},
		{"access 1x", "\"1x\" is not a VLAN id"},
		{"access 00010", "\"00010\" is not a VLAN id"},
		{"trunk 1,", "\"\" is neither"},
		{"trunk 5-1", "\"5-1\" is neither"},
		{"trunk 1-", "\"1-\" is neither"},
		{"trunk 1 native", "\"native\" and one"},
		{"trunk 1 nativ 2", "\"native\" and one"},
		{"trunk 1 native 0", "\"0\" is not a VLAN id"},
		{"isolated 100", "primary VLAN id and the secondary"},
		{"isolated 100 100", "the secondary VLAN is the primary one, 100"},
		{"promiscuous 100", "a list of secondaries"},
		{"promiscuous 100 99-101", "100, is among the secondaries"},
		{"trunk 1 native 2 3", "too many words"},
	};
	char why[160], big[2 * LAB_VLAN_TEXT];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(c); i++) {
		assert_int_equal(lab_vlan_parse(c[i][0], NULL, NULL, why, sizeof(why)), -EINVAL);
		assert_non_null(strstr(why, c[i][1]));
	}
	memset(big, '1', sizeof(big));
	big[sizeof(big) - 1] = '\0';
	assert_int_equal(lab_vlan_parse(big, NULL, NULL, why, sizeof(why)), -EINVAL);
	assert_non_null(strstr(why, "longer than 255"));
}

static void mirrors_have_words(void **state)
{
	(void)state;
	for (int m = 0; m < LAB_N_MIRRORS; m++)
		assert_int_equal(lab_mirror_parse(lab_mirror_name(m)), m);
	assert_int_equal(lab_mirror_parse("both"), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(by_default_there_is_none),
		cmocka_unit_test(all_of_it_can_be_given_and_read_again),
		cmocka_unit_test(mistakes_name_key_and_remedy),
		cmocka_unit_test(a_vlan_setting_has_one_way_of_writing),
		cmocka_unit_test(a_vlan_setting_means_what_it_says),
		cmocka_unit_test(what_is_no_vlan_setting_is_refused_with_a_reason),
		cmocka_unit_test(mirrors_have_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
