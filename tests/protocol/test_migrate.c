/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Claims about live migration as a client of the daemon sees it, between two fake QEMUs whose guest
 * drives its NICs (fake_nics.c).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_words.h"
#include "guest_lab.h"
#include "tests/lib/wait.h"

static json_t *by(const char *vm, const char *vf)
{
	return json_pack("{s:s, s:s}", "vm", vm, "vf", vf);
}

static long long pid_of(struct ctl *c, const char *vm)
{
	json_t *v = ctl_ok(c, "query-status", NULL), *o;
	long long pid = 0;
	size_t i;

	json_array_foreach (json_object_get(v, "vms"), i, o)
		if (!strcmp(json_string_value(json_object_get(o, "name")), vm))
			pid = json_integer_value(json_object_get(o, "pid"));
	json_decref(v);
	return pid;
}

static void assert_ready(struct ctl *c, const char *vm)
{
	json_t *v = ctl_ok(c, "query-status", NULL), *o;
	size_t i;

	json_array_foreach (json_object_get(v, "vms"), i, o)
		if (!strcmp(json_string_value(json_object_get(o, "name")), vm))
			assert_string_equal(json_string_value(json_object_get(o, "state")),
					    "ready");
	json_decref(v);
}

/* Until an event tells that step of a migration. */
static void wait_step(struct ctl *ev, const char *step)
{
	bool there = false;

	while (!there) {
		json_t *v = ctl_event(ev, "MIGRATION", NULL);
		const json_t *data = json_object_get(v, "data");

		there = !strcmp(json_string_value(json_object_get(data, "step")), step);
		json_decref(v);
	}
}

static void there_and_back(struct ctl *c, const char *mode)
{
	for (unsigned int i = 0; i < 3; i++) {
		long long pid = pid_of(c, "a");
		json_t *v = ctl_ok(c, "vm-migrate", by("a", mode));

		assert_non_null(strstr(guest_steps(v), "runs-on-destination source-ended done"));
		json_decref(v);
		assert_int_not_equal(pid_of(c, "a"), pid);
		guest_assert_vf(c, "a/eth0", "driven");
		assert_ready(c, "a"); /* without waiting */
		v = guest_nic(c, "a/eth0");
		assert_string_equal(json_string_value(json_object_get(
					    json_object_get(v, "synthetic"), "state")),
				    "driven");
		json_decref(v);
		json_decref(ctl_ok(c, "vf-revoke", json_pack("{s:s}", "vnic", "a/eth0")));
		json_decref(ctl_ok(c, "vf-restore", json_pack("{s:s}", "vnic", "a/eth0")));
	}
}

static void the_manager_takes_vfs_away_and_brings_them_back(void **state)
{
	struct ctl c;

	ctl_open(&c, *state);
	guest_lab_up(&c);
	there_and_back(&c, "manager");
	/* And NICs still come and go there. */
	json_decref(ctl_ok(&c, "nic-add",
			   json_pack("{s:s, s:s, s:b}", "vm", "a", "network", "blue", "wait", 1)));
	json_decref(ctl_ok(&c, "nic-del", guest_vnic("a/eth1")));
	ctl_close(&c);
}

static void failover_takes_vfs_away_by_itself(void **state)
{
	struct ctl c;

	ctl_open(&c, *state);
	guest_lab_up(&c);
	there_and_back(&c, "failover");
	ctl_close(&c);
}

static void with_a_vf_attached_it_is_refused(void **state)
{
	struct ctl c;

	ctl_open(&c, *state);
	guest_lab_up(&c);
	ctl_refused(&c, "vm-migrate", json_pack("{s:s}", "vm", "a"), "InvalidState",
		    "the VF of a/eth0 is attached");
	ctl_refused(&c, "vm-migrate", by("b", "failover"), "InvalidState", "b/eth2 is no failover");
	ctl_refused(&c, "vm-migrate", by("z", "manager"), "NotFound", "'z'");
	ctl_refused(&c, "vm-migrate-cancel", json_pack("{s:s}", "vm", "a"), "InvalidState",
		    "no migration");
	guest_assert_vf(&c, "a/eth0", "driven");
	/* Without VFs it needs no word. */
	json_decref(ctl_ok(&c, "vf-revoke", guest_vnic("a/eth0")));
	json_decref(ctl_ok(&c, "vm-migrate", json_pack("{s:s}", "vm", "a")));
	guest_assert_vf(&c, "a/eth0", "revoked");
	ctl_close(&c);
}

static void a_failure_brings_the_vf_back_on_the_source(void **state)
{
	static const char *const modes[] = {"manager", "failover"};
	struct ctl c;
	long long pid;

	ctl_open(&c, *state);
	guest_lab_up(&c);
	pid = pid_of(&c, "a");
	for (unsigned int i = 0; i < 2; i++) {
		guest_behave(&c, "a", "mig-fail", NULL);
		ctl_refused(&c, "vm-migrate", by("a", modes[i]), "GenericError",
			    "the migration failed");
		guest_wait_vf(&c, "a/eth0", "driven", false);
		assert_int_equal(pid_of(&c, "a"), pid);
	}
	guest_behave(&c, "a", "good", NULL);
	there_and_back(&c, "manager");
	ctl_close(&c);
}

static void a_destination_that_dies_is_quoted(void **state)
{
	struct ctl c;

	ctl_open(&c, *state);
	guest_lab_up_as(&c, "guest-dest-dies");
	ctl_refused(&c, "vm-migrate", by("a", "manager"), "GenericError",
		    "the destination's QEMU: QEMU ended with status 3: " FAKE_LONG_WORDS);
	guest_wait_vf(&c, "a/eth0", "driven", false);
	assert_ready(&c, "a");
	ctl_close(&c);
}

static void a_cancelled_one_brings_the_vf_back_on_the_source(void **state)
{
	static const char *const modes[] = {"manager", "failover"};
	struct ctl c;
	long long pid;

	ctl_open(&c, *state);
	guest_lab_up(&c);
	pid = pid_of(&c, "a");
	for (unsigned int i = 0; i < 2; i++) {
		struct ctl ev;

		ctl_open(&ev, *state);
		json_decref(ctl_ok(&ev, "events-subscribe", NULL));
		guest_behave(&c, "a", "mig-hang", NULL);
		json_decref(ctl_ok(&c, "vm-migrate",
				   guest_with(by("a", modes[i]), "wait", json_false())));
		wait_step(&ev, "active");
		ctl_refused(&c, "vm-migrate", by("a", modes[i]), "Busy", "migrating already");
		ctl_refused(&c, "vf-restore", guest_vnic("a/eth0"), "Busy", "is migrating");
		ctl_refused(&c, "vf-revoke", guest_vnic("a/eth0"), "Busy", "is migrating");
		ctl_refused(&c, "nic-del", guest_vnic("a/eth0"), "Busy", "is migrating");
		ctl_refused(&c, "nic-add", json_pack("{s:s, s:s}", "vm", "a", "network", "blue"),
			    "Busy", "is migrating");
		ctl_refused(&c, "nic-set",
			    guest_with(guest_vnic("a/eth0"), "weight", json_integer(0)), "Busy",
			    "is migrating");
		json_decref(ctl_ok(&c, "vm-migrate-cancel", json_pack("{s:s}", "vm", "a")));
		guest_wait_vf(&c, "a/eth0", "driven", false);
		assert_int_equal(pid_of(&c, "a"), pid);
		ctl_close(&ev);
	}
	ctl_close(&c);
}

/* Those of VM @vm that the daemon would have ended after a crash of its own. */
static unsigned int n_listed(const struct hvlabd *d, const char *vm, long long pid)
{
	char path[64], name[64];
	unsigned long long start;
	unsigned int n = 0;
	bool there = false;
	FILE *f;
	int p;

	snprintf(path, sizeof(path), "%s/qemu.pids", d->dir);
	f = fopen(path, "re");
	assert_non_null(f);
	while (fscanf(f, "%d %llu %63s", &p, &start, name) == 3) {
		n += !strcmp(name, vm);
		there = there || p == pid;
	}
	fclose(f);
	assert_true(there);
	return n;
}

static void both_qemus_are_on_the_list_for_the_cleaning(void **state)
{
	const struct hvlabd *d = *state;
	struct ctl c, ev;

	ctl_open(&c, d);
	ctl_open(&ev, d);
	guest_lab_up(&c);
	json_decref(ctl_ok(&ev, "events-subscribe", NULL));
	guest_behave(&c, "a", "mig-hang", NULL);
	json_decref(ctl_ok(&c, "vm-migrate", guest_with(by("a", "manager"), "wait", json_false())));
	wait_step(&ev, "active");
	assert_int_equal(n_listed(d, "a", pid_of(&c, "a")), 2);
	assert_int_equal(n_listed(d, "b", pid_of(&c, "b")), 1);
	json_decref(ctl_ok(&c, "vm-migrate-cancel", json_pack("{s:s}", "vm", "a")));
	guest_wait_vf(&c, "a/eth0", "driven", false);
	assert_int_equal(n_listed(d, "a", pid_of(&c, "a")), 1);
	guest_behave(&c, "a", "good", NULL);
	json_decref(ctl_ok(&c, "vm-migrate", by("a", "manager")));
	assert_int_equal(n_listed(d, "a", pid_of(&c, "a")), 1);
	ctl_close(&ev);
	ctl_close(&c);
}

/* The wish comes when QEMU has sent everything: its guest stands still until it is told to go on.
 */
static void a_late_cancellation_leaves_no_guest_standing(void **state)
{
	static const char *const modes[] = {"manager", "failover"};
	struct ctl c;

	ctl_open(&c, *state);
	guest_lab_up(&c);
	for (unsigned int i = 0; i < 2; i++) {
		guest_behave(&c, "a", "mig-late", NULL);
		ctl_refused(&c, "vm-migrate",
			    guest_with(by("a", modes[i]), "timeout_ms", json_integer(1000)),
			    "Timeout", "too long");
		guest_wait_vf(&c, "a/eth0", "driven", false);
	}
	guest_behave(&c, "a", "good", NULL);
	there_and_back(&c, "manager");
	ctl_close(&c);
}

static void it_may_take_too_long(void **state)
{
	struct ctl c;

	ctl_open(&c, *state);
	guest_lab_up(&c);
	guest_behave(&c, "a", "mig-hang", NULL);
	ctl_refused(&c, "vm-migrate",
		    guest_with(by("a", "manager"), "timeout_ms", json_integer(1000)), "Timeout",
		    "too long");
	guest_wait_vf(&c, "a/eth0", "driven", false);
	ctl_close(&c);
}

static void the_lab_or_the_vm_may_go_down_in_the_middle(void **state)
{
	struct ctl c;

	ctl_open(&c, *state);
	guest_lab_up(&c);
	guest_behave(&c, "a", "mig-hang", NULL);
	json_decref(
		ctl_ok(&c, "vm-migrate", guest_with(by("a", "failover"), "wait", json_false())));
	json_decref(ctl_ok(&c, "vm-kill", json_pack("{s:s}", "vm", "a")));
	json_decref(ctl_ok(&c, "vm-start", json_pack("{s:s}", "vm", "a")));
	guest_wait_vf(&c, "a/eth0", "driven", false);
	json_decref(ctl_ok(&c, "vm-wait", json_pack("{s:s, s:s}", "vm", "a", "state", "ready")));
	guest_behave(&c, "a", "mig-hang", NULL);
	json_decref(
		ctl_ok(&c, "vm-migrate", guest_with(by("a", "failover"), "wait", json_false())));
	json_decref(ctl_ok(&c, "lab-down", NULL));
	guest_lab_up(&c);
	ctl_close(&c);
}

#define T(f) cmocka_unit_test_setup_teardown(f, hvlabd_setup, hvlabd_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(the_manager_takes_vfs_away_and_brings_them_back),
		T(failover_takes_vfs_away_by_itself),
		T(with_a_vf_attached_it_is_refused),
		T(a_failure_brings_the_vf_back_on_the_source),
		T(a_destination_that_dies_is_quoted),
		T(a_cancelled_one_brings_the_vf_back_on_the_source),
		T(both_qemus_are_on_the_list_for_the_cleaning),
		T(a_late_cancellation_leaves_no_guest_standing),
		T(it_may_take_too_long),
		T(the_lab_or_the_vm_may_go_down_in_the_middle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
