/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Claims about policy files as a client of the daemon sees them, with a fake QEMU whose guests
 * drive their NICs (fake_nics.c).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "guest_lab.h"
#include "tests/lib/wait.h"

static const char lab_text[] =
	"networks: [{name: blue, subnet: 10.0.0.0/24}, {name: red, subnet: 10.0.1.0/24}]\n"
	"vms:\n"
	"  - {name: a, labels: [web], spare_nics: 4, nics: [{network: blue}]}\n"
	"  - {name: b, labels: [db], nics: [{network: blue}, {network: red}]}\n";

static const char policy[] =
	"nsgs:\n"
	"  - name: g\n"
	"    rules:\n"
	"      - {name: WebToDb, priority: 100, direction: inbound, access: allow,\n"
	"         protocol: tcp, source_asgs: [web], destination_ports: 5432}\n"
	"      - {name: Rest, priority: 200, direction: inbound, access: deny}\n"
	"apply: {networks: {blue: g}}\n";

static json_t *up_args(const char *text)
{
	json_t *image = json_pack("{s:s}", "kernel", FAKE_QEMU), *o;

	o = json_pack("{s:s, s:s, s:s, s:{s:{s:s, s:s, s:[s]}, s:{s:O, s:O}}}", "content", text,
		      "file", "lab.yaml", "wait", "ready", "parts", "qemu", "path", FAKE_QEMU,
		      "version", "11.1.3", "args", "guest", "images", "a", image, "b", image);
	json_decref(image);
	return o;
}

static void lab_up(struct ctl *c, struct hvlabd *d)
{
	ctl_open(c, d);
	json_decref(ctl_ok(c, "lab-up", up_args(lab_text)));
	guest_wait_vf(c, "a/eth0", "driven", false);
	guest_wait_vf(c, "b/eth0", "driven", false);
	guest_wait_vf(c, "b/eth1", "driven", false);
}

static json_t *file(const char *name, const char *text)
{
	return json_pack("{s:s, s:s}", "content", text, "file", name);
}

/* What explain says about @packet of @vnic: "pass" or "deny", and by which rule. */
static void explains(struct ctl *c, const char *vnic, const char *packet, const char *verdict,
		     const char *rule)
{
	json_t *v = ctl_ok(c, "explain", json_pack("{s:s, s:s}", "vnic", vnic, "packet", packet));
	const char *got = json_string_value(json_object_get(v, "verdict")), *by = NULL;
	json_t *stop;
	size_t i;

	json_array_foreach (json_object_get(v, "path"), i, stop) {
		const json_t *one = json_object_get(stop, "decided_by");

		if (one)
			by = json_string_value(json_object_get(one, "rule"));
	}
	if (strcmp(got, verdict) || (rule && (!by || strcmp(by, rule))))
		fail_msg("%s: %s by %s, not %s by %s", packet, got, by ? by : "none", verdict,
			 rule ? rule : "any");
	json_decref(v);
}

static void nothing_is_applied_at_first(void **state)
{
	struct ctl c;
	json_t *v;

	ctl_open(&c, *state);
	ctl_refused(&c, "policy-show", NULL, "InvalidState", "no lab is up");
	ctl_close(&c);
	lab_up(&c, *state);
	v = ctl_ok(&c, "policy-show", NULL);
	assert_int_equal(json_array_size(json_object_get(v, "files")), 0);
	json_decref(v);
	explains(&c, "b/eth0", "tcp a:22", "pass", NULL);
	ctl_close(&c);
}

static void a_file_is_applied_shown_and_removed(void **state)
{
	struct ctl c, ev;
	json_t *v, *nic;

	lab_up(&c, *state);
	ctl_open(&ev, *state);
	json_decref(ctl_ok(&ev, "events-subscribe", NULL));
	v = ctl_ok(&c, "policy-apply", file("p.yaml", policy));
	assert_int_equal(json_integer_value(json_object_get(v, "changed")), 2);
	assert_true(json_is_false(json_object_get(v, "flushed")));
	json_decref(v);
	json_decref(ctl_event(&ev, "POLICY_CHANGED", NULL));
	v = ctl_ok(&c, "policy-show", json_pack("{s:b}", "full", true));
	nic = json_array_get(json_object_get(v, "nics"), 0);
	assert_string_equal(json_string_value(json_object_get(nic, "vnic")), "a/eth0");
	assert_string_equal(json_string_value(json_object_get(nic, "subnet_nsg")), "g");
	assert_int_equal(
		json_array_size(json_object_get(
			json_object_get(json_array_get(json_object_get(v, "files"), 0), "content"),
			"nsgs")),
		1);
	assert_int_equal(json_array_size(json_object_get(json_object_get(v, "asgs"), "web")), 2);
	json_decref(v);
	explains(&c, "a/eth0", "tcp b:5432", "pass", "WebToDb");
	explains(&c, "a/eth0", "tcp b:22", "deny", "Rest");
	explains(&c, "b/eth0", "tcp a:5432", "deny", "Rest");
	explains(&c, "a/eth0", "udp 192.168.7.7:5", "deny", "DenyAllOutBound");
	explains(&c, "a/eth0", "arp b", "pass", NULL);
	/* Again the same: nobody changes. */
	v = ctl_ok(&c, "policy-apply", file("p.yaml", policy));
	assert_int_equal(json_integer_value(json_object_get(v, "changed")), 0);
	json_decref(v);
	ctl_refused(&c, "policy-remove", json_pack("{s:[s]}", "files", "q.yaml"), "NotFound",
		    "q.yaml");
	v = ctl_ok(&c, "policy-remove", json_pack("{s:[s]}", "files", "p.yaml"));
	assert_int_equal(json_integer_value(json_object_get(v, "changed")), 2);
	json_decref(v);
	explains(&c, "a/eth0", "tcp b:22", "pass", NULL);
	ctl_close(&ev);
	ctl_close(&c);
}

static void a_wrong_file_changes_nothing(void **state)
{
	static const char bad[] =
		"nsgs:\n"
		"  - name: g\n"
		"    rules:\n"
		"      - {name: X, priority: 1, direction: inbound, access: deny}\n"
		"      - {name: Y, priority: 200, direction: inbound, access: no}\n";
	struct ctl c;
	json_t *v, *e;

	lab_up(&c, *state);
	json_decref(ctl_ok(&c, "policy-apply", file("p.yaml", policy)));
	v = ctl_call(&c, "policy-apply", file("p.yaml", bad));
	e = json_object_get(v, "error");
	assert_string_equal(json_string_value(json_object_get(e, "class")), "PolicyInvalid");
	assert_int_equal(json_integer_value(json_object_get(e, "line")), 4);
	assert_string_equal(json_string_value(json_object_get(e, "file")), "p.yaml");
	assert_non_null(strstr(json_string_value(json_object_get(e, "reason")), "rule \"X\""));
	assert_int_equal(json_array_size(json_object_get(e, "errors")), 2);
	json_decref(v);
	ctl_refused(&c, "policy-apply", file("q.yaml", "apply: {networks: {green: g}}\n"),
		    "PolicyInvalid", "there is no network \"green\"");
	ctl_refused(&c, "policy-apply", file("q.yaml", "apply: {networks: {blue: g}}\n"),
		    "PolicyInvalid", "blue has a group already");
	ctl_refused(&c, "policy-apply", json_object(), "InvalidArgument", "exactly one");
	ctl_refused(&c, "policy-apply", json_pack("{s:s}", "path", "p.yaml"), "InvalidArgument",
		    "absolute");
	ctl_refused(&c, "policy-apply", json_pack("{s:{s:i}}", "files", "x", 5), "InvalidArgument",
		    "a text");
	explains(&c, "a/eth0", "tcp b:5432", "pass", "WebToDb");
	explains(&c, "a/eth0", "tcp b:22", "deny", "Rest");
	ctl_close(&c);
}

static void several_files_at_once_and_differences(void **state)
{
	static const char group[] = "nsgs: [{name: h}]\n";
	static const char given[] = "apply: {nics: {b/eth1: h}}\n";
	struct ctl c;
	json_t *v;

	lab_up(&c, *state);
	ctl_refused(&c, "policy-apply", file("given.yaml", given), "PolicyInvalid",
		    "there is no group \"h\"");
	v = ctl_ok(&c, "policy-diff",
		   json_pack("{s:{s:s, s:s}}", "files", "group.yaml", group, "given.yaml", given));
	assert_int_equal(json_array_size(json_object_get(v, "changes")), 2);
	json_decref(v);
	v = ctl_ok(&c, "policy-show", NULL);
	assert_int_equal(json_array_size(json_object_get(v, "files")), 0);
	json_decref(v);
	v = ctl_ok(&c, "policy-apply",
		   json_pack("{s:{s:s, s:s}}", "files", "group.yaml", group, "given.yaml", given));
	assert_int_equal(json_integer_value(json_object_get(v, "changed")), 1);
	json_decref(v);
	/* A group given by the request; then this file alone. */
	v = ctl_ok(&c, "policy-apply",
		   json_pack("{s:s, s:s, s:[s], s:b}", "content", "nsgs: [{name: k}]\n", "file",
			     "k.yaml", "nics", "a/eth0", "only", true));
	assert_int_equal(json_array_size(json_object_get(v, "files")), 1);
	assert_int_equal(json_integer_value(json_object_get(v, "changed")), 2);
	json_decref(v);
	ctl_refused(&c, "policy-apply",
		    json_pack("{s:s, s:[s]}", "content", "nsgs: [{name: x}, {name: y}]\n",
			      "networks", "blue"),
		    "PolicyInvalid", "say which one is meant");
	v = ctl_ok(&c, "policy-remove", NULL);
	assert_int_equal(json_array_size(json_object_get(v, "files")), 0);
	json_decref(v);
	ctl_close(&c);
}

/* Groups by label follow the NICs that come and go, and a new NIC is under policy from the start.
 */
static void a_nic_that_comes_is_under_policy(void **state)
{
	struct ctl c;
	json_t *v;

	lab_up(&c, *state);
	json_decref(ctl_ok(&c, "policy-apply", file("p.yaml", policy)));
	explains(&c, "a/eth0", "tcp 10.0.0.9:1 b:5432", "deny", NULL);
	json_decref(ctl_ok(&c, "nic-add",
			   json_pack("{s:s, s:s, s:s, s:b}", "vm", "a", "network", "blue", "ip",
				     "10.0.0.9", "wait", true)));
	explains(&c, "a/eth1", "tcp b:5432", "pass", "WebToDb");
	explains(&c, "b/eth0", "tcp 10.0.0.9:5432", "deny", "Rest");
	v = ctl_ok(&c, "policy-show", NULL);
	assert_int_equal(json_array_size(json_object_get(v, "nics")), 4);
	assert_int_equal(json_array_size(json_object_get(json_object_get(v, "asgs"), "web")), 4);
	json_decref(v);
	json_decref(ctl_ok(&c, "nic-del", json_pack("{s:s, s:b}", "vnic", "a/eth1", "wait", true)));
	v = ctl_ok(&c, "policy-show", NULL);
	assert_int_equal(json_array_size(json_object_get(v, "nics")), 3);
	assert_int_equal(json_array_size(json_object_get(json_object_get(v, "asgs"), "web")), 2);
	json_decref(v);
	ctl_close(&c);
}

static void tests_of_files(void **state)
{
	static const char text[] = "nsgs: [{name: g}]\n"
				   "apply: {networks: {blue: g}}\n"
				   "tests:\n"
				   "  - {packet: 'tcp a b:22', expect: allow}\n"
				   "  - {packet: 'tcp 8.8.8.8 b:22', expect: allow}\n";
	struct ctl c;
	json_t *v;

	lab_up(&c, *state);
	v = ctl_ok(&c, "policy-test", file("p.yaml", text));
	assert_int_equal(json_integer_value(json_object_get(v, "passed")), 1);
	assert_int_equal(json_integer_value(json_object_get(v, "failed")), 1);
	json_decref(v);
	ctl_refused(&c, "policy-test", file("p.yaml", "nsgs: 5\n"), "PolicyInvalid",
		    "must be a list");
	ctl_close(&c);
}

static void packets_that_cannot_be_are_refused(void **state)
{
	struct ctl c;
	json_t *v;

	lab_up(&c, *state);
	ctl_refused(&c, "explain", json_pack("{s:s, s:s}", "vnic", "a/eth0", "packet", "tcp b"),
		    "InvalidArgument", "the destination needs a port");
	ctl_refused(&c, "explain", json_pack("{s:s, s:s}", "vnic", "z/eth0", "packet", "tcp b:1"),
		    "NotFound", "z/eth0");
	v = ctl_ok(&c, "explain",
		   json_pack("{s:s, s:s, s:s}", "vnic", "b/eth0", "packet",
			     "tcp 8.8.8.8:5 10.0.0.5:22", "direction", "inbound"));
	assert_string_equal(json_string_value(json_object_get(v, "verdict")), "pass");
	assert_int_equal(json_array_size(json_object_get(v, "path")), 1);
	json_decref(v);
	ctl_close(&c);
}

/* ---- the lab file's own ---- */

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

static void a_lab_comes_up_with_its_policy_or_not_at_all(void **state)
{
	struct hvlabd *d = *state;
	char path[64], text[512];
	struct ctl c;
	json_t *v;

	snprintf(path, sizeof(path), "%s/p.yaml", d->dir);
	snprintf(text, sizeof(text), "%spolicy: [%s]\n", lab_text, path);
	ctl_open(&c, d);
	write_file(path, "nsgs: [{name: g, rules: [{name: X}]}]\n");
	ctl_refused(&c, "lab-up", up_args(text), "PolicyInvalid",
		    "the key \"priority\" is missing");
	v = ctl_ok(&c, "query-status", NULL);
	assert_true(json_is_null(json_object_get(v, "lab")));
	json_decref(v);
	write_file(path, policy);
	json_decref(ctl_ok(&c, "lab-up", up_args(text)));
	explains(&c, "a/eth0", "tcp b:22", "deny", "Rest");
	v = ctl_ok(&c, "policy-show", NULL);
	assert_string_equal(json_string_value(json_object_get(
				    json_array_get(json_object_get(v, "files"), 0), "name")),
			    path);
	json_decref(v);
	json_decref(ctl_ok(&c, "lab-down", NULL));
	unlink(path);
	ctl_close(&c);
}

#define T(name) cmocka_unit_test_setup_teardown(name, hvlabd_setup, hvlabd_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(nothing_is_applied_at_first),
		T(a_file_is_applied_shown_and_removed),
		T(a_wrong_file_changes_nothing),
		T(several_files_at_once_and_differences),
		T(a_nic_that_comes_is_under_policy),
		T(tests_of_files),
		T(packets_that_cannot_be_are_refused),
		T(a_lab_comes_up_with_its_policy_or_not_at_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
