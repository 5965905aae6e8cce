/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Claims about VFs as a client of the daemon sees them, with a fake QEMU whose guest drives its
 * NICs for real (fake_nics.c): revoked, restored, kept, refused, lost, killed in the middle.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "guest_lab.h"
#include "tests/lib/wait.h"

static json_t *by_way(const char *id, const char *way)
{
	return json_pack("{s:s, s:s}", "vnic", id, "way", way);
}

/* Sends it without taking the answer. */
static void send_req(struct ctl *c, const char *command, json_t *args, int id)
{
	json_t *msg = json_pack("{s:s, s:o, s:i}", "execute", command, "arguments", args, "id", id);
	char *text = json_dumps(msg, JSON_COMPACT);

	ctl_send(c, text);
	ctl_send(c, "\n");
	free(text);
	json_decref(msg);
}

/* The answer to that request. */
static json_t *answer(struct ctl *c, int id)
{
	for (;;) {
		json_t *v = ctl_next(c);

		assert_non_null(v);
		if (json_integer_value(json_object_get(v, "id")) == id)
			return v;
		json_decref(v);
	}
}

static void assert_error(json_t *v, const char *class, const char *words)
{
	json_t *e = json_object_get(v, "error");

	assert_non_null(e);
	assert_string_equal(json_string_value(json_object_get(e, "class")), class);
	if (!strstr(json_string_value(json_object_get(e, "desc")), words))
		fail_msg("%s: no '%s' in it", json_string_value(json_object_get(e, "desc")), words);
	json_decref(v);
}

/* Path of the next PATH_SWITCHED of @id. */
static void expect_path(struct ctl *c, const char *path)
{
	json_t *v = ctl_event(c, "PATH_SWITCHED", NULL), *d = json_object_get(v, "data");

	assert_string_equal(json_string_value(json_object_get(d, "path")), path);
	assert_true(json_integer_value(json_object_get(d, "time_ns")) > 0);
	json_decref(v);
}

static void revoke_and_restore(void **state)
{
	struct ctl c, ev;
	json_t *v;

	ctl_open(&c, *state);
	guest_lab_up(&c);
	ctl_open(&ev, *state);
	json_decref(ctl_ok(&ev, "events-subscribe", NULL));
	v = ctl_ok(&c, "vf-revoke", guest_vnic("a/eth0"));
	assert_string_equal(json_string_value(json_object_get(v, "state")), "revoked");
	assert_true(json_is_false(json_object_get(v, "pending")));
	assert_string_equal(guest_steps(v),
			    "link-down drained unplug receive-off released unplugged done");
	json_decref(v);
	json_decref(ctl_event(&ev, "VF_STATE", "draining"));
	expect_path(&ev, "park");
	expect_path(&ev, "synthetic");
	json_decref(ctl_event(&ev, "VF_STATE", "revoked"));
	v = guest_vf(&c, "a/eth0");
	assert_string_equal(json_string_value(json_object_get(v, "receive")), "synthetic");
	json_decref(v);
	v = ctl_ok(&c, "vf-restore", guest_vnic("a/eth0"));
	assert_string_equal(json_string_value(json_object_get(v, "state")), "driven");
	json_decref(v);
	json_decref(ctl_event(&ev, "VF_STATE", "restoring"));
	expect_path(&ev, "vf");
	json_decref(ctl_event(&ev, "VF_STATE", "driven"));
	v = guest_vf(&c, "a/eth0");
	assert_int_equal(json_integer_value(json_object_get(v, "revocations")), 1);
	assert_int_equal(json_integer_value(json_object_get(v, "restorations")), 1);
	assert_string_equal(json_string_value(json_object_get(v, "receive")), "vf");
	json_decref(v);
	ctl_close(&ev);
	ctl_close(&c);
}

static void every_way_works_again_and_again(void **state)
{
	static const char *const ways[] = {"graceful", "abrupt", "surprise"};
	struct ctl c;
	json_t *v;

	ctl_open(&c, *state);
	guest_lab_up(&c);
	for (unsigned int i = 0; i < 12; i++) {
		/* The fake's driver is one thread: when it answers it has driven the VF. */
		guest_behave(&c, "a", "good", NULL);
		v = ctl_ok(&c, "vf-revoke", by_way("a/eth0", ways[i % 3]));
		if (json_is_true(json_object_get(v, "pending")))
			fail_msg("%s: %s", ways[i % 3], guest_steps(v));
		assert_string_equal(json_string_value(json_object_get(v, "state")), "revoked");
		json_decref(v);
		v = ctl_ok(&c, "vf-restore", guest_vnic("a/eth0"));
		assert_string_equal(json_string_value(json_object_get(v, "state")), "driven");
		json_decref(v);
	}
	/* The VF that is alone, too. */
	json_decref(ctl_ok(&c, "vf-revoke", guest_vnic("b/eth2")));
	json_decref(ctl_ok(&c, "vf-restore", guest_vnic("b/eth2")));
	guest_wait_vf(&c, "b/eth2", "driven", false);
	ctl_close(&c);
}

static void without_wait_the_answer_comes_at_once(void **state)
{
	struct ctl c;

	ctl_open(&c, *state);
	guest_lab_up(&c);
	guest_behave(&c, "a", "del-slow", NULL);
	json_decref(ctl_ok(&c, "vf-revoke",
			   guest_with(by_way("a/eth0", "abrupt"), "wait", json_false())));
	guest_assert_vf(&c, "a/eth0", "draining");
	ctl_refused(&c, "vf-revoke", guest_vnic("a/eth0"), "Busy", "draining");
	ctl_refused(&c, "vf-restore", guest_vnic("a/eth0"), "Busy", "draining");
	guest_wait_vf(&c, "a/eth0", "revoked", false);
	ctl_refused(&c, "vf-revoke", guest_vnic("a/eth0"), "InvalidState", "revoked already");
	json_decref(
		ctl_ok(&c, "vf-restore", guest_with(guest_vnic("a/eth0"), "wait", json_false())));
	guest_wait_vf(&c, "a/eth0", "driven", false);
	ctl_refused(&c, "vf-restore", guest_vnic("a/eth0"), "InvalidState", "driven already");
	ctl_close(&c);
}

static void what_cannot_be_revoked_is_named(void **state)
{
	struct ctl c;

	ctl_open(&c, *state);
	ctl_refused(&c, "vf-list", NULL, "InvalidState", "no lab is up");
	guest_lab_up(&c);
	ctl_refused(&c, "vf-revoke", guest_vnic("a/eth9"), "NotFound", "'a/eth9'");
	ctl_refused(&c, "vf-revoke", guest_vnic("b/eth1"), "InvalidState", "b/eth1 has no VF");
	ctl_refused(&c, "vf-restore", guest_vnic("b/eth1"), "InvalidState", "b/eth1 has no VF");
	ctl_refused(&c, "vf-revoke", by_way("a/eth0", "rude"), "InvalidArgument", "'way'");
	ctl_refused(&c, "vf-list", json_pack("{s:s}", "vm", "z"), "NotFound", "'z'");
	ctl_refused(&c, "link-set",
		    json_pack("{s:s, s:b, s:s}", "vnic", "b/eth1", "up", 0, "path", "vf"),
		    "InvalidState", "b/eth1 has no vf path");
	ctl_refused(&c, "link-set",
		    json_pack("{s:s, s:b, s:s}", "vnic", "b/eth2", "up", 0, "path", "synthetic"),
		    "InvalidState", "b/eth2 has no synthetic path");
	ctl_close(&c);
}

static void a_refused_removal_leaves_the_vf_as_it_was(void **state)
{
	struct ctl c;
	json_t *v;

	ctl_open(&c, *state);
	guest_lab_up(&c);
	guest_behave(&c, "a", "del-refuse", NULL);
	v = ctl_call(&c, "vf-revoke", guest_vnic("a/eth0"));
	assert_string_equal(guest_steps(json_object_get(v, "error")),
			    "link-down drained unplug failed");
	assert_error(v, "GenericError", "not allowed while migrating");
	guest_assert_vf(&c, "a/eth0", "driven");
	v = guest_vf(&c, "a/eth0");
	assert_string_equal(json_string_value(json_object_get(v, "receive")), "vf");
	json_decref(v);
	guest_behave(&c, "a", "good", NULL);
	json_decref(ctl_ok(&c, "vf-revoke", guest_vnic("a/eth0")));
	ctl_close(&c);
}

static void a_guest_that_keeps_it_is_cut_off(void **state)
{
	struct ctl c;
	json_t *v;

	ctl_open(&c, *state);
	guest_lab_up(&c);
	guest_behave(&c, "a", "del-keep", NULL);
	v = ctl_ok(&c, "vf-revoke",
		   guest_with(by_way("a/eth0", "abrupt"), "deadline_ms", json_integer(200)));
	assert_string_equal(json_string_value(json_object_get(v, "state")), "revoked");
	assert_true(json_is_true(json_object_get(v, "pending")));
	assert_string_equal(guest_steps(v), "unplug cut done");
	json_decref(v);
	ctl_refused(&c, "vf-restore", guest_vnic("a/eth0"), "Busy", "still has the VF");
	guest_behave(&c, "a", "good", NULL);
	guest_wait_vf(&c, "a/eth0", "revoked", false);
	json_decref(ctl_ok(&c, "vf-restore", guest_vnic("a/eth0")));
	guest_assert_vf(&c, "a/eth0", "driven");
	ctl_close(&c);
}

static void who_forbids_the_cut_gets_a_timeout(void **state)
{
	struct ctl c;
	json_t *args = json_pack("{s:s, s:s, s:i, s:b}", "vnic", "a/eth0", "way", "abrupt",
				 "deadline_ms", 200, "no_escalate", 1);

	ctl_open(&c, *state);
	guest_lab_up(&c);
	guest_behave(&c, "a", "del-keep", NULL);
	ctl_refused(&c, "vf-revoke", args, "Timeout", "did not let the device go");
	guest_assert_vf(&c, "a/eth0", "driven");
	/* It lets go after all. */
	guest_behave(&c, "a", "good", NULL);
	guest_wait_vf(&c, "a/eth0", "revoked", false);
	ctl_close(&c);
}

static void a_refused_device_leaves_it_revoked(void **state)
{
	struct ctl c;

	ctl_open(&c, *state);
	guest_lab_up(&c);
	json_decref(ctl_ok(&c, "vf-revoke", guest_vnic("a/eth0")));
	guest_behave(&c, "a", "add-refuse", NULL);
	ctl_refused(&c, "vf-restore", guest_vnic("a/eth0"), "GenericError", "Bus 'rv9' not found");
	guest_assert_vf(&c, "a/eth0", "revoked");
	guest_behave(&c, "a", "good", NULL);
	json_decref(ctl_ok(&c, "vf-restore", guest_vnic("a/eth0")));
	ctl_close(&c);
}

static void a_vf_that_nobody_drives_is_reported(void **state)
{
	struct ctl c, ev;
	json_t *v;

	ctl_open(&c, *state);
	guest_lab_up(&c);
	ctl_open(&ev, *state);
	json_decref(ctl_ok(&ev, "events-subscribe", NULL));
	json_decref(ctl_ok(&c, "vf-revoke", guest_vnic("a/eth0")));
	guest_behave(&c, "a", "no-drive", NULL);
	ctl_refused(&c, "vf-restore",
		    guest_with(guest_vnic("a/eth0"), "deadline_ms", json_integer(300)), "Timeout",
		    "did not turn receive on");
	json_decref(ctl_event(&ev, "VF_NOT_DRIVEN", NULL));
	v = guest_vf(&c, "a/eth0");
	assert_string_equal(json_string_value(json_object_get(v, "state")), "offered");
	assert_true(json_is_true(json_object_get(v, "not_driven")));
	json_decref(v);
	guest_behave(&c, "a", "up", "0");
	guest_wait_vf(&c, "a/eth0", "driven", false);
	ctl_close(&ev);
	ctl_close(&c);
}

static void the_windows_of_a_restoration_can_be_set(void **state)
{
	json_t *args = json_pack("{s:s, s:i, s:i}", "vnic", "a/eth0", "link_delay_ms", 300,
				 "hold_ms", 100);
	struct ctl c;
	json_t *v;

	ctl_open(&c, *state);
	guest_lab_up(&c);
	json_decref(ctl_ok(&c, "vf-revoke", guest_vnic("a/eth0")));
	v = ctl_ok(&c, "vf-restore", args);
	assert_non_null(strstr(guest_steps(v), "driven held link-up done"));
	json_decref(v);
	ctl_close(&c);
}

static void a_driver_reload_is_no_revocation(void **state)
{
	struct ctl c;
	json_t *v;

	ctl_open(&c, *state);
	guest_lab_up(&c);
	for (unsigned int i = 0; i < 4; i++) {
		guest_behave(&c, "a", "down", "0");
		guest_wait_vf(&c, "a/eth0", "offered", false);
		guest_behave(&c, "a", "up", "0");
		guest_wait_vf(&c, "a/eth0", "driven", false);
	}
	v = guest_vf(&c, "a/eth0");
	assert_int_equal(json_integer_value(json_object_get(v, "revocations")), 0);
	json_decref(v);
	ctl_close(&c);
}

static void a_vf_that_the_guest_ejects_can_be_restored(void **state)
{
	struct ctl c;

	ctl_open(&c, *state);
	guest_lab_up(&c);
	guest_behave(&c, "a", "eject", "0");
	guest_wait_vf(&c, "a/eth0", "absent", false);
	ctl_refused(&c, "vf-revoke", guest_vnic("a/eth0"), "InvalidState", "absent");
	json_decref(ctl_ok(&c, "vf-restore", guest_vnic("a/eth0")));
	guest_assert_vf(&c, "a/eth0", "driven");
	ctl_close(&c);
}

static void kill_and_start(struct ctl *c)
{
	json_decref(ctl_ok(c, "vm-kill", json_pack("{s:s}", "vm", "a")));
	guest_wait_vf(c, "a/eth0", "absent", false);
	ctl_refused(c, "vf-restore", guest_vnic("a/eth0"), "InvalidState", "does not run");
	json_decref(ctl_ok(c, "vm-start", json_pack("{s:s}", "vm", "a")));
	guest_wait_vf(c, "a/eth0", "driven", false);
	json_decref(ctl_ok(c, "vm-wait", json_pack("{s:s, s:s}", "vm", "a", "state", "ready")));
}

/* Whatever the VF was: after the end of its VM it is absent, after the next start driven. */
static void a_vm_may_be_killed_in_every_state(void **state)
{
	struct ctl c, other;

	ctl_open(&c, *state);
	ctl_open(&other, *state);
	guest_lab_up(&c);
	kill_and_start(&c); /* driven */

	guest_behave(&c, "a", "down", "0");
	guest_wait_vf(&c, "a/eth0", "offered", false);
	kill_and_start(&c);

	guest_behave(&c, "a", "del-keep", NULL);
	send_req(&other, "vf-revoke", by_way("a/eth0", "abrupt"), 1);
	assert_true(wait_until(({
				       json_t *v = guest_vf(&c, "a/eth0");
				       bool is = json_is_true(json_object_get(v, "busy"));

				       json_decref(v);
				       is;
			       }),
			       WAIT_MS));
	guest_assert_vf(&c, "a/eth0", "draining");
	kill_and_start(&c);
	assert_error(answer(&other, 1), "GuestDead", "revoking the VF");

	guest_behave(&c, "a", "del-keep", NULL);
	json_decref(
		ctl_ok(&c, "vf-revoke",
		       guest_with(by_way("a/eth0", "surprise"), "deadline_ms", json_integer(50))));
	kill_and_start(&c); /* pending */

	json_decref(ctl_ok(&c, "vf-revoke", guest_vnic("a/eth0")));
	kill_and_start(&c); /* revoked */

	json_decref(ctl_ok(&c, "vf-revoke", guest_vnic("a/eth0")));
	guest_behave(&c, "a", "no-drive", NULL);
	send_req(&other, "vf-restore", guest_vnic("a/eth0"), 2);
	guest_behave(&c, "a", "no-drive", NULL); /* the request before has been taken */
	guest_assert_vf(&c, "a/eth0", "restoring");
	kill_and_start(&c);
	assert_error(answer(&other, 2), "GuestDead", "restoring the VF");
	ctl_close(&other);
	ctl_close(&c);
}

static void the_lab_may_go_down_in_the_middle(void **state)
{
	struct ctl c, other;

	ctl_open(&c, *state);
	ctl_open(&other, *state);
	guest_lab_up(&c);
	guest_behave(&c, "a", "del-keep", NULL);
	send_req(&other, "vf-revoke", guest_vnic("a/eth0"), 1);
	json_decref(ctl_ok(&c, "vf-revoke", guest_vnic("b/eth2")));
	guest_behave(&c, "b", "no-drive", NULL);
	send_req(&other, "vf-restore", guest_vnic("b/eth2"), 2);
	json_decref(ctl_ok(&c, "query-version", NULL));
	json_decref(ctl_ok(&c, "lab-down", NULL));
	assert_error(answer(&other, 1), "Cancelled", "the lab went down");
	assert_error(answer(&other, 2), "Cancelled", "the lab went down");
	guest_lab_up(&c);
	ctl_close(&other);
	ctl_close(&c);
}

static void a_client_that_leaves_does_not_stop_it(void **state)
{
	struct ctl c, other;

	ctl_open(&c, *state);
	ctl_open(&other, *state);
	guest_lab_up(&c);
	guest_behave(&c, "a", "del-slow", NULL);
	send_req(&other, "vf-revoke", by_way("a/eth0", "abrupt"), 1);
	ctl_close(&other);
	guest_wait_vf(&c, "a/eth0", "revoked", false);
	ctl_close(&c);
}

static void links_of_both_paths_and_of_the_whole(void **state)
{
	static const char *const paths[] = {NULL, "vf", "synthetic"};
	struct ctl c;

	ctl_open(&c, *state);
	guest_lab_up(&c);
	for (unsigned int i = 0; i < 6; i++) {
		json_t *args = json_pack("{s:s, s:b}", "vnic", "a/eth0", "up", i & 1);

		if (paths[i / 2])
			json_object_set_new(args, "path", json_string(paths[i / 2]));
		json_decref(ctl_ok(&c, "link-set", args));
	}
	guest_assert_vf(&c, "a/eth0", "driven");
	ctl_close(&c);
}

#define T(f) cmocka_unit_test_setup_teardown(f, hvlabd_setup, hvlabd_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(revoke_and_restore),
		T(every_way_works_again_and_again),
		T(without_wait_the_answer_comes_at_once),
		T(what_cannot_be_revoked_is_named),
		T(a_refused_removal_leaves_the_vf_as_it_was),
		T(a_guest_that_keeps_it_is_cut_off),
		T(who_forbids_the_cut_gets_a_timeout),
		T(a_refused_device_leaves_it_revoked),
		T(a_vf_that_nobody_drives_is_reported),
		T(the_windows_of_a_restoration_can_be_set),
		T(a_driver_reload_is_no_revocation),
		T(a_vf_that_the_guest_ejects_can_be_restored),
		T(a_vm_may_be_killed_in_every_state),
		T(the_lab_may_go_down_in_the_middle),
		T(a_client_that_leaves_does_not_stop_it),
		T(links_of_both_paths_and_of_the_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
