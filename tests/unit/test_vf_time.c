/* SPDX-License-Identifier: BSD-2-Clause */
/* Claims about what a VF does in time: drains, repeats, deadlines, delays, alarms. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "host/vf_internal.h"
#include "vf_rig.h"

static bool has_ended(struct rig *r)
{
	return r->begun == r->ended;
}

static bool has_asked(struct rig *r)
{
	return r->unplugs >= 1;
}

static bool is_pending(struct rig *r)
{
	return vf_is_pending(r->vf);
}

static bool is_alarmed(struct rig *r)
{
	return rig_told(r, "VF_NOT_DRIVEN") > 0;
}

static bool is_on_synthetic(struct rig *r)
{
	return r->receive == VF_RX_SYNTHETIC;
}

static bool is_linked(struct rig *r)
{
	return r->link;
}

static bool is_driven(struct rig *r)
{
	return vf_state(r->vf) == VF_DRIVEN;
}

static void start(struct rig *r)
{
	rig_init(r);
	vf_on_synthetic(r->vf, true);
	vf_on_connected(r->vf);
	vf_on_driven(r->vf);
}

static void start_revoked(struct rig *r)
{
	start(r);
	assert_int_equal(rig_revoke(r, &(struct vf_revoke_opts){.way = VF_ABRUPT}), 0);
	vf_on_unplugged(r->vf);
}

static void start_pending(struct rig *r)
{
	const struct vf_revoke_opts opts = {.way = VF_ABRUPT, .deadline_ms = 5};

	start(r);
	assert_int_equal(rig_revoke(r, &opts), 0);
	assert_true(rig_run(r, has_ended));
}

/* libevent's clock is coarse: a timer may be early by a jiffy. */
#define EARLY 11

/* When step @name of the last operation was, ms since it began. */
static double when(const struct rig *r, const char *name)
{
	const json_t *o;
	size_t i;

	json_array_foreach (r->steps, i, o)
		if (!strcmp(json_string_value(json_object_get(o, "step")), name))
			return json_real_value(json_object_get(o, "ms"));
	fail_msg("no step %s", name);
	return 0;
}

/* ---- graceful ---- */

static void graceful_waits_until_the_guest_stops_sending(void **state)
{
	const struct vf_revoke_opts opts = {.quiet_ms = 8, .drain_ms = 5000};
	struct rig r;

	(void)state;
	start(&r);
	r.tx_flows = 6; /* sent on between six looks at the counter */
	assert_int_equal(rig_revoke(&r, &opts), 0);
	assert_false(r.link);
	assert_int_equal(r.receive, VF_RX_VF);
	assert_int_equal(r.unplugs, 0);
	assert_true(rig_run(&r, has_asked));
	assert_int_equal(r.tx_flows, 0);
	assert_int_equal(r.receive, VF_RX_VF);
	vf_on_released(r.vf);
	vf_on_unplugged(r.vf);
	assert_string_equal(rig_steps(&r),
			    "link-down drained unplug receive-off released unplugged done");
	assert_true(when(&r, "drained") >= 8 + 5 * 2 - EARLY);
	assert_true(r.link);
	rig_fini(&r);
}

static void a_guest_that_never_stops_sending_is_unplugged_at_the_limit(void **state)
{
	const struct vf_revoke_opts opts = {.quiet_ms = 8, .drain_ms = 30};
	struct rig r;

	(void)state;
	start(&r);
	r.tx_flows = 1u << 30;
	assert_int_equal(rig_revoke(&r, &opts), 0);
	assert_true(rig_run(&r, has_asked));
	vf_on_unplugged(r.vf);
	assert_string_equal(rig_steps(&r), "link-down drain-limit unplug unplugged done");
	assert_true(when(&r, "drain-limit") >= 30 - EARLY);
	rig_fini(&r);
}

/* Linux before 6.17: waiting for it would be waiting for nothing. */
static void a_guest_that_does_not_hear_of_links_is_not_drained(void **state)
{
	const struct vf_revoke_opts opts = {.quiet_ms = 3600000, .drain_ms = 3600000};
	struct rig r;

	(void)state;
	start(&r);
	r.deaf = true;
	r.tx_flows = 1u << 30;
	assert_int_equal(rig_revoke(&r, &opts), 0);
	assert_int_equal(r.receive, VF_RX_VF);
	assert_true(rig_run(&r, has_asked));
	vf_on_released(r.vf);
	vf_on_unplugged(r.vf);
	assert_string_equal(rig_steps(&r),
			    "link-down no-drain unplug receive-off released unplugged done");
	assert_true(r.link);
	rig_fini(&r);
}

static void refused_after_the_drain_gives_the_vf_back_with_its_link(void **state)
{
	const struct vf_revoke_opts opts = {.quiet_ms = 1};
	struct rig r;

	(void)state;
	start(&r);
	r.unplug_rc = -ENOTCONN;
	assert_int_equal(rig_revoke(&r, &opts), 0);
	assert_true(rig_run(&r, has_ended));
	assert_int_equal(r.rc, -EIO);
	assert_int_equal(vf_state(r.vf), VF_DRIVEN);
	assert_true(r.link);
	assert_string_equal(rig_steps(&r), "link-down drained failed");
	rig_check(&r);
	rig_fini(&r);
}

/* ---- DEVICE_DELETED that does not come ---- */

/* Whoever carries it out repeats what was lost: two who repeat ask for more than one removal. */
static void removal_is_asked_for_once(void **state)
{
	struct rig r;

	(void)state;
	start(&r);
	assert_int_equal(rig_revoke(&r, &(struct vf_revoke_opts){.way = VF_ABRUPT}), 0);
	rig_run_ms(&r, 100); /* retry_ms is 20 */
	assert_int_equal(r.unplugs, 1);
	assert_int_equal(vf_state(r.vf), VF_DRAINING);
	vf_on_unplugged(r.vf);
	assert_int_equal(r.rc, 0);
	assert_string_equal(rig_steps(&r), "unplug unplugged done");
	rig_fini(&r);
}

static void a_guest_that_does_not_let_go_is_cut_off(void **state)
{
	const struct vf_revoke_opts opts = {.way = VF_ABRUPT, .deadline_ms = 50};
	struct rig r;

	(void)state;
	start(&r);
	assert_int_equal(rig_revoke(&r, &opts), 0);
	assert_true(rig_run(&r, has_ended));
	assert_int_equal(r.rc, 0);
	assert_int_equal(r.cuts, 1);
	assert_false(r.dead); /* it goes on answering its driver */
	assert_true(when(&r, "cut") >= 50 - EARLY);
	assert_int_equal(vf_state(r.vf), VF_REVOKED);
	assert_true(vf_is_pending(r.vf));
	assert_false(vf_is_busy(r.vf));
	assert_int_equal(r.receive, VF_RX_SYNTHETIC);
	assert_int_equal(rig_restore(&r, NULL), -EINPROGRESS);
	/* It stays asked for, and when it happens the VF can be restored. */
	rig_run_ms(&r, 60);
	assert_int_equal(r.unplugs, 1);
	vf_on_unplugged(r.vf);
	assert_false(vf_is_pending(r.vf));
	assert_true(json_is_false(json_object_get(rig_last(&r, "VF_STATE"), "pending")));
	r.unplugs = 0;
	rig_run_ms(&r, 60);
	assert_int_equal(r.unplugs, 0);
	assert_int_equal(rig_restore(&r, NULL), 0);
	rig_check(&r);
	rig_fini(&r);
}

static void a_pending_removal_that_is_refused_is_asked_for_again_ever_more_rarely(void **state)
{
	struct rig r;

	(void)state;
	start_pending(&r);
	r.unplugs = 0;
	vf_on_unplug_failed(r.vf, "migration is active");
	assert_true(rig_run(&r, has_asked));
	r.unplugs = 0;
	r.unplug_rc = -ENOTCONN;
	vf_on_unplug_failed(r.vf, "migration is active");
	rig_run_ms(&r, 250); /* 40, 80: at 40, 120, and 280 not yet */
	assert_in_range(r.unplugs, 1, 3);
	r.unplug_rc = 0;
	r.unplugs = 0;
	assert_true(rig_run(&r, has_asked));
	rig_run_ms(&r, 100);
	assert_int_equal(r.unplugs, 1);
	vf_on_unplug_failed(r.vf, "migration is active");
	vf_on_vm_down(r.vf);
	r.unplugs = 0;
	rig_run_ms(&r, 400);
	assert_int_equal(r.unplugs, 0);
	rig_fini(&r);
}

static void who_forbids_the_cut_gets_the_vf_back_at_the_deadline(void **state)
{
	const struct vf_revoke_opts opts = {
		.way = VF_GRACEFUL, .quiet_ms = 1, .deadline_ms = 50, .no_escalate = true};
	struct rig r;

	(void)state;
	start(&r);
	assert_int_equal(rig_revoke(&r, &opts), 0);
	assert_true(rig_run(&r, has_ended));
	assert_int_equal(r.rc, -ETIMEDOUT);
	assert_int_equal(r.cuts, 0);
	assert_int_equal(vf_state(r.vf), VF_DRIVEN);
	assert_int_equal(r.receive, VF_RX_VF);
	assert_true(r.link);
	/* The guest wakes up and lets it go after all: it was asked to. */
	vf_on_undriven(r.vf);
	vf_on_released(r.vf);
	vf_on_disconnected(r.vf);
	vf_on_unplugged(r.vf);
	assert_int_equal(vf_state(r.vf), VF_REVOKED);
	assert_false(vf_is_pending(r.vf));
	rig_check(&r);
	rig_fini(&r);
}

static void a_surprise_that_the_guest_ignores_ends_pending_either_way(void **state)
{
	for (unsigned int no_escalate = 0; no_escalate < 2; no_escalate++) {
		const struct vf_revoke_opts opts = {
			.way = VF_SURPRISE, .deadline_ms = 30, .no_escalate = no_escalate};
		struct rig r;

		start(&r);
		assert_int_equal(rig_revoke(&r, &opts), 0);
		assert_true(rig_run(&r, has_ended));
		assert_int_equal(r.rc, no_escalate ? -ETIMEDOUT : 0);
		assert_int_equal(r.cuts, 1);
		assert_true(r.dead);
		assert_true(vf_is_pending(r.vf));
		rig_check(&r);
		rig_fini(&r);
	}
	(void)state;
}

/* A refused unplug of a device that is dead already is no reason to give it back. */
static void a_surprise_is_not_undone_by_a_refusal(void **state)
{
	struct rig r;

	(void)state;
	start(&r);
	r.unplug_rc = -ENOTCONN;
	assert_int_equal(rig_revoke(&r, &(struct vf_revoke_opts){.way = VF_SURPRISE}), 0);
	vf_on_unplug_failed(r.vf, "migration is active");
	assert_int_equal(vf_state(r.vf), VF_DRAINING);
	r.unplugs = 0;
	r.unplug_rc = 0;
	assert_true(rig_run(&r, has_asked));
	rig_run_ms(&r, 60);
	assert_int_equal(r.unplugs, 1);
	vf_on_unplugged(r.vf);
	assert_int_equal(r.rc, 0);
	rig_fini(&r);
}

/* ---- a device that dies by itself ---- */

static void a_lost_connection_ends_in_a_removal(void **state)
{
	struct rig r;

	(void)state;
	start(&r);
	vf_on_disconnected(r.vf);
	assert_int_equal(vf_state(r.vf), VF_ABSENT);
	assert_int_equal(r.unplugs, 0);
	assert_true(rig_run(&r, is_pending));
	assert_true(rig_run(&r, has_asked));
	vf_on_unplugged(r.vf);
	assert_int_equal(vf_state(r.vf), VF_REVOKED);
	assert_int_equal(rig_restore(&r, NULL), 0);
	rig_fini(&r);
}

/* Who waits hears why: QEMU went, or the device broke. */
static void a_connection_lost_while_restoring_is_told_when_it_is_known(void **state)
{
	for (unsigned int with_qemu = 0; with_qemu < 2; with_qemu++) {
		struct rig r;

		start_revoked(&r);
		assert_int_equal(rig_restore(&r, NULL), 0);
		vf_on_connected(r.vf);
		vf_on_plugged(r.vf);
		vf_on_disconnected(r.vf);
		assert_int_equal(vf_state(r.vf), VF_RESTORING);
		if (with_qemu)
			vf_on_vm_down(r.vf);
		assert_true(rig_run(&r, has_ended));
		assert_int_equal(r.rc, with_qemu ? -ECANCELED : -EIO);
		assert_int_equal(vf_state(r.vf), with_qemu ? VF_ABSENT : VF_REVOKED);
		assert_int_equal(vf_is_pending(r.vf), !with_qemu);
		rig_check(&r);
		rig_fini(&r);
	}
	(void)state;
}

static void a_connection_lost_before_the_deadline_is_no_vf_to_keep(void **state)
{
	struct rig r;

	(void)state;
	start_revoked(&r);
	assert_int_equal(rig_restore(&r, &(struct vf_restore_opts){.deadline_ms = 5}), 0);
	vf_on_connected(r.vf);
	vf_on_plugged(r.vf);
	vf_on_disconnected(r.vf);
	assert_true(rig_run(&r, has_ended));
	assert_int_equal(r.rc, -EIO);
	assert_true(vf_is_pending(r.vf));
	rig_fini(&r);
}

static void a_connection_that_ends_with_qemu_is_no_loss(void **state)
{
	struct rig r;

	(void)state;
	start(&r);
	vf_on_disconnected(r.vf);
	vf_on_vm_down(r.vf);
	rig_run_ms(&r, 50);
	assert_int_equal(vf_state(r.vf), VF_ABSENT);
	assert_int_equal(r.unplugs, 0);
	/* Nor is an eject by the guest. */
	vf_on_connected(r.vf);
	vf_on_driven(r.vf);
	vf_on_disconnected(r.vf);
	vf_on_unplugged(r.vf);
	rig_run_ms(&r, 50);
	assert_int_equal(vf_state(r.vf), VF_ABSENT);
	assert_int_equal(r.unplugs, 0);
	rig_fini(&r);
}

static void a_connection_lost_while_draining_is_a_removal_to_wait_for(void **state)
{
	const struct vf_revoke_opts opts = {
		.drain_ms = 5000, .quiet_ms = 5000, .deadline_ms = 60, .no_escalate = true};
	struct rig r;

	(void)state;
	start(&r);
	assert_int_equal(rig_revoke(&r, &opts), 0);
	vf_on_disconnected(r.vf);
	assert_int_equal(r.unplugs, 0);
	assert_true(rig_run(&r, has_asked));
	assert_true(rig_run(&r, has_ended));
	assert_int_equal(r.rc, -ETIMEDOUT);
	assert_true(vf_is_pending(r.vf)); /* a dead device is not given back */
	rig_fini(&r);
}

/* ---- restoration ---- */

static void a_guest_that_does_not_drive_it_is_reported_and_keeps_it(void **state)
{
	struct rig r;

	(void)state;
	start_revoked(&r);
	assert_int_equal(rig_restore(&r, &(struct vf_restore_opts){.deadline_ms = 30}), 0);
	vf_on_connected(r.vf);
	vf_on_plugged(r.vf);
	assert_true(rig_run(&r, has_ended));
	assert_int_equal(r.rc, -ETIMEDOUT);
	assert_int_equal(vf_state(r.vf), VF_OFFERED);
	assert_int_equal(rig_told(&r, "VF_NOT_DRIVEN"), 1);
	rig_run_ms(&r, 100);
	assert_int_equal(rig_told(&r, "VF_NOT_DRIVEN"), 1);
	vf_on_driven(r.vf);
	assert_int_equal(vf_state(r.vf), VF_DRIVEN);
	rig_fini(&r);
}

static void a_qemu_that_does_not_answer_leaves_it_revoked(void **state)
{
	struct rig r;

	(void)state;
	start_revoked(&r);
	assert_int_equal(rig_restore(&r, &(struct vf_restore_opts){.deadline_ms = 20}), 0);
	assert_true(rig_run(&r, has_ended));
	assert_int_equal(r.rc, -ETIMEDOUT);
	assert_int_equal(vf_state(r.vf), VF_REVOKED);
	vf_on_plugged(r.vf); /* at last */
	assert_int_equal(vf_state(r.vf), VF_OFFERED);
	rig_fini(&r);
}

static void a_qemu_that_owes_an_answer_does_not_keep_a_driven_vf_waiting(void **state)
{
	const struct vf_restore_opts opts = {.deadline_ms = 30, .hold_ms = 60};
	struct rig r;

	(void)state;
	start_revoked(&r);
	assert_int_equal(rig_restore(&r, &opts), 0);
	vf_on_driven(r.vf);
	assert_true(rig_run(&r, has_ended));
	assert_int_equal(r.rc, 0);
	assert_int_equal(vf_state(r.vf), VF_DRIVEN);
	assert_true(when(&r, "held") >= 60 - EARLY);
	vf_on_plugged(r.vf);
	assert_int_equal(vf_state(r.vf), VF_DRIVEN);
	rig_fini(&r);
}

static void hold_keeps_both_paths_visible(void **state)
{
	struct rig r;

	(void)state;
	start_revoked(&r);
	assert_int_equal(rig_restore(&r, &(struct vf_restore_opts){.hold_ms = 40}), 0);
	vf_on_connected(r.vf);
	vf_on_plugged(r.vf);
	vf_on_driven(r.vf);
	assert_int_equal(r.receive, VF_RX_SYNTHETIC);
	assert_int_equal(vf_state(r.vf), VF_RESTORING);
	assert_true(rig_run(&r, has_ended));
	assert_int_equal(r.receive, VF_RX_VF);
	assert_int_equal(vf_state(r.vf), VF_DRIVEN);
	assert_string_equal(rig_steps(&r), "plug connected plugged driven held done");
	assert_true(when(&r, "held") >= 40 - EARLY);
	rig_fini(&r);
}

static void hold_begins_anew_when_the_guest_takes_receive_back(void **state)
{
	struct rig r;

	(void)state;
	start_revoked(&r);
	assert_int_equal(rig_restore(&r, &(struct vf_restore_opts){.hold_ms = 20}), 0);
	vf_on_connected(r.vf);
	vf_on_plugged(r.vf);
	vf_on_driven(r.vf);
	vf_on_undriven(r.vf);
	rig_run_ms(&r, 40);
	assert_int_equal(vf_state(r.vf), VF_RESTORING);
	vf_on_driven(r.vf);
	assert_int_equal(vf_state(r.vf), VF_RESTORING);
	assert_true(rig_run(&r, has_ended));
	assert_int_equal(r.rc, 0);
	rig_fini(&r);
}

static void the_link_may_come_later_than_the_vf(void **state)
{
	struct rig r;

	(void)state;
	start_revoked(&r);
	assert_int_equal(rig_restore(&r, &(struct vf_restore_opts){.link_delay_ms = 40}), 0);
	assert_false(r.link);
	vf_on_connected(r.vf);
	vf_on_plugged(r.vf);
	vf_on_driven(r.vf);
	assert_int_equal(vf_state(r.vf), VF_DRIVEN);
	assert_int_equal(r.receive, VF_RX_VF);
	assert_true(vf_is_busy(r.vf));
	assert_true(rig_run(&r, has_ended));
	assert_int_equal(r.rc, 0);
	assert_true(r.link);
	assert_string_equal(rig_steps(&r), "plug connected plugged driven link-up done");
	assert_true(when(&r, "link-up") >= 40 - EARLY);
	rig_fini(&r);
}

static void the_link_may_come_before_the_driver(void **state)
{
	struct rig r;

	(void)state;
	start_revoked(&r);
	assert_int_equal(rig_restore(&r, &(struct vf_restore_opts){.link_delay_ms = 5}), 0);
	vf_on_connected(r.vf);
	assert_true(rig_run(&r, is_linked));
	assert_int_equal(vf_state(r.vf), VF_RESTORING);
	vf_on_driven(r.vf);
	assert_int_equal(vf_state(r.vf), VF_DRIVEN);
	assert_false(has_ended(&r)); /* until device_add has returned it cannot be unplugged */
	vf_on_plugged(r.vf);
	assert_true(has_ended(&r));
	assert_int_equal(r.rc, 0);
	assert_int_equal(vf_state(r.vf), VF_DRIVEN);
	rig_fini(&r);
}

/* ---- without an operation ---- */

static void a_vf_that_nobody_drives_raises_one_alarm_per_stay(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r);
	vf_on_connected(r.vf);
	assert_true(rig_run(&r, is_alarmed));
	assert_true(json_integer_value(json_object_get(rig_last(&r, "VF_NOT_DRIVEN"), "ms")) >= 60);
	rig_run_ms(&r, 100);
	assert_int_equal(rig_told(&r, "VF_NOT_DRIVEN"), 1);
	vf_on_driven(r.vf);
	vf_on_undriven(r.vf);
	json_array_clear(r.told);
	assert_true(rig_run(&r, is_alarmed));
	rig_fini(&r);
}

static void an_alarm_that_fires_early_waits_for_its_time(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r);
	vf_on_connected(r.vf);
	event_active(r.vf->alarm, EV_TIMEOUT, 0);
	assert_int_equal(event_base_loop(r.base, EVLOOP_NONBLOCK), 0);
	assert_int_equal(rig_told(&r, "VF_NOT_DRIVEN"), 0);
	assert_true(rig_run(&r, is_alarmed));
	assert_true(json_integer_value(json_object_get(rig_last(&r, "VF_NOT_DRIVEN"), "ms")) >= 60);
	rig_fini(&r);
}

static void a_vf_that_is_driven_in_time_raises_none(void **state)
{
	struct rig r;

	(void)state;
	start(&r);
	rig_run_ms(&r, 100);
	assert_int_equal(rig_told(&r, "VF_NOT_DRIVEN"), 0);
	assert_true(is_driven(&r));
	rig_fini(&r);
}

/* Set down by hand and staying down: parked for a moment, then to the synthetic path. */
static void receive_off_parks_for_a_moment_only(void **state)
{
	struct rig r;

	(void)state;
	start(&r);
	vf_on_undriven(r.vf);
	assert_int_equal(r.receive, VF_RX_PARK);
	assert_true(rig_run(&r, is_on_synthetic));
	assert_int_equal(vf_state(r.vf), VF_OFFERED);
	rig_fini(&r);
}

static void freeing_ends_what_is_under_way(void **state)
{
	struct rig r;

	(void)state;
	start(&r);
	assert_int_equal(rig_revoke(&r, NULL), 0);
	vf_free(r.vf);
	r.vf = NULL;
	assert_int_equal(r.rc, -ECANCELED);
	rig_run_ms(&r, 50);
	assert_int_equal(r.unplugs, 0);
	rig_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(graceful_waits_until_the_guest_stops_sending),
		cmocka_unit_test(a_guest_that_never_stops_sending_is_unplugged_at_the_limit),
		cmocka_unit_test(a_guest_that_does_not_hear_of_links_is_not_drained),
		cmocka_unit_test(refused_after_the_drain_gives_the_vf_back_with_its_link),
		cmocka_unit_test(removal_is_asked_for_once),
		cmocka_unit_test(a_guest_that_does_not_let_go_is_cut_off),
		cmocka_unit_test(
			a_pending_removal_that_is_refused_is_asked_for_again_ever_more_rarely),
		cmocka_unit_test(who_forbids_the_cut_gets_the_vf_back_at_the_deadline),
		cmocka_unit_test(a_surprise_that_the_guest_ignores_ends_pending_either_way),
		cmocka_unit_test(a_surprise_is_not_undone_by_a_refusal),
		cmocka_unit_test(a_lost_connection_ends_in_a_removal),
		cmocka_unit_test(a_connection_lost_while_restoring_is_told_when_it_is_known),
		cmocka_unit_test(a_connection_lost_before_the_deadline_is_no_vf_to_keep),
		cmocka_unit_test(a_connection_that_ends_with_qemu_is_no_loss),
		cmocka_unit_test(a_connection_lost_while_draining_is_a_removal_to_wait_for),
		cmocka_unit_test(a_guest_that_does_not_drive_it_is_reported_and_keeps_it),
		cmocka_unit_test(a_qemu_that_does_not_answer_leaves_it_revoked),
		cmocka_unit_test(a_qemu_that_owes_an_answer_does_not_keep_a_driven_vf_waiting),
		cmocka_unit_test(hold_keeps_both_paths_visible),
		cmocka_unit_test(hold_begins_anew_when_the_guest_takes_receive_back),
		cmocka_unit_test(the_link_may_come_later_than_the_vf),
		cmocka_unit_test(the_link_may_come_before_the_driver),
		cmocka_unit_test(a_vf_that_nobody_drives_raises_one_alarm_per_stay),
		cmocka_unit_test(an_alarm_that_fires_early_waits_for_its_time),
		cmocka_unit_test(a_vf_that_is_driven_in_time_raises_none),
		cmocka_unit_test(receive_off_parks_for_a_moment_only),
		cmocka_unit_test(freeing_ends_what_is_under_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
