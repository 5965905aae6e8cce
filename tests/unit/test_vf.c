/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Claims about the states of a VF: every situation times everything that can happen in it is a
 * cell of a table, and no row of events, however mad, ends in an illegal state. Time is in
 * test_vf_time.c.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "tests/lib/rng.h"
#include "vf_rig.h"

/* ---- what can happen ---- */

static void do_connected(struct rig *r)
{
	vf_on_connected(r->vf);
}

static void do_disconnected(struct rig *r)
{
	vf_on_disconnected(r->vf);
}

static void do_driven(struct rig *r)
{
	vf_on_driven(r->vf);
}

static void do_undriven(struct rig *r)
{
	vf_on_undriven(r->vf);
}

static void do_released(struct rig *r)
{
	vf_on_released(r->vf);
}

static void do_plugged(struct rig *r)
{
	vf_on_plugged(r->vf);
}

static void do_plug_failed(struct rig *r)
{
	vf_on_plug_failed(r->vf, "QEMU says no");
}

static void do_unplugged(struct rig *r)
{
	vf_on_unplugged(r->vf);
}

static void do_unplug_failed(struct rig *r)
{
	vf_on_unplug_failed(r->vf, "QEMU says no");
}

static void do_vm_down(struct rig *r)
{
	vf_on_vm_down(r->vf);
}

static void do_failover_unplug(struct rig *r)
{
	vf_on_failover_unplug(r->vf);
}

static void do_failover_replug(struct rig *r)
{
	vf_on_failover_replug(r->vf);
}

static void do_synthetic_off(struct rig *r)
{
	vf_on_synthetic(r->vf, false);
}

static void do_synthetic_on(struct rig *r)
{
	vf_on_synthetic(r->vf, true);
}

static int last_call;

static void do_graceful(struct rig *r)
{
	last_call = rig_revoke(r, NULL);
}

static void do_abrupt(struct rig *r)
{
	last_call = rig_revoke(r, &(struct vf_revoke_opts){.way = VF_ABRUPT});
}

static void do_surprise(struct rig *r)
{
	last_call = rig_revoke(r, &(struct vf_revoke_opts){.way = VF_SURPRISE});
}

static void do_restore(struct rig *r)
{
	last_call = rig_restore(r, NULL);
}

static void do_free(struct rig *r)
{
	vf_free(r->vf);
	r->vf = NULL;
}

static const struct {
	const char *name;
	void (*fn)(struct rig *r);
} happenings[] = {
	{"connected", do_connected},
	{"disconnected", do_disconnected},
	{"driven", do_driven},
	{"undriven", do_undriven},
	{"released", do_released},
	{"plugged", do_plugged},
	{"plug failed", do_plug_failed},
	{"unplugged", do_unplugged},
	{"unplug failed", do_unplug_failed},
	{"VM down", do_vm_down},
	{"failover unplug", do_failover_unplug},
	{"failover replug", do_failover_replug},
	{"synthetic off", do_synthetic_off},
	{"graceful", do_graceful},
	{"abrupt", do_abrupt},
	{"surprise", do_surprise},
	{"restore", do_restore},
	{"free", do_free},
};
#define N_HAPPENINGS ARRAY_SIZE(happenings)

/* ---- the situations: every state, and what makes a difference within it ---- */

static void go_absent(struct rig *r)
{
	vf_on_synthetic(r->vf, true);
}

static void go_offered(struct rig *r)
{
	go_absent(r);
	vf_on_connected(r->vf);
}

static void go_driven(struct rig *r)
{
	go_offered(r);
	vf_on_driven(r->vf);
}

static void go_lost(struct rig *r)
{
	go_driven(r);
	vf_on_disconnected(r->vf);
}

static void go_settling(struct rig *r)
{
	go_driven(r);
	vf_on_undriven(r->vf);
}

static void go_draining(struct rig *r)
{
	go_driven(r);
	assert_int_equal(rig_revoke(r, NULL), 0);
}

static void go_unplugging(struct rig *r)
{
	go_driven(r);
	assert_int_equal(rig_revoke(r, &(struct vf_revoke_opts){.way = VF_ABRUPT}), 0);
}

static void go_letting_go(struct rig *r)
{
	go_unplugging(r);
	vf_on_undriven(r->vf);
}

static void go_let_go(struct rig *r)
{
	go_letting_go(r);
	vf_on_released(r->vf);
}

static void go_cut(struct rig *r)
{
	go_driven(r);
	assert_int_equal(rig_revoke(r, &(struct vf_revoke_opts){.way = VF_SURPRISE}), 0);
}

static void go_taking(struct rig *r)
{
	go_driven(r);
	vf_on_failover_unplug(r->vf);
}

static void go_taken(struct rig *r)
{
	go_taking(r);
	vf_on_released(r->vf);
}

static void go_revoked(struct rig *r)
{
	go_unplugging(r);
	vf_on_unplugged(r->vf);
}

static bool has_ended(struct rig *r)
{
	return r->begun == r->ended;
}

static void go_pending(struct rig *r)
{
	const struct vf_revoke_opts opts = {.way = VF_ABRUPT, .deadline_ms = 1};

	go_driven(r);
	assert_int_equal(rig_revoke(r, &opts), 0);
	assert_true(rig_run(r, has_ended));
	assert_int_equal(r->rc, 0);
	assert_true(vf_is_pending(r->vf));
}

static void go_restoring(struct rig *r)
{
	go_revoked(r);
	assert_int_equal(rig_restore(r, NULL), 0);
}

static void go_unanswered(struct rig *r)
{
	go_restoring(r);
	vf_on_driven(r->vf);
}

static void go_arrived(struct rig *r)
{
	go_restoring(r);
	vf_on_connected(r->vf);
	vf_on_plugged(r->vf);
}

static void go_held(struct rig *r)
{
	go_revoked(r);
	assert_int_equal(rig_restore(r, &(struct vf_restore_opts){.hold_ms = 10000}), 0);
	vf_on_connected(r->vf);
	vf_on_plugged(r->vf);
	vf_on_driven(r->vf);
}

static void go_no_link(struct rig *r)
{
	go_revoked(r);
	assert_int_equal(rig_restore(r, &(struct vf_restore_opts){.link_delay_ms = 10000}), 0);
	vf_on_connected(r->vf);
	vf_on_plugged(r->vf);
	vf_on_driven(r->vf);
}

/*
 * A cell is what is so afterwards: the state (A absent, O offered, V driven, D draining, R revoked,
 * P revoked with removal pending, S restoring), where frames go (n nobody, s synthetic, v VF, p
 * parked), and how the operation that was under way ended (. it did not, or there was none; 0 well;
 * I -EIO, C -ECANCELED). For what is called: a fourth letter, what it returned (0, B -EBUSY, Y
 * -EALREADY, N -ENODEV, G -EINPROGRESS).
 */
struct situation {
	const char *name;
	void (*go)(struct rig *r);
	const char *cells[N_HAPPENINGS];
};

/* clang-format off */
/*
 * In the order of happenings[]:
 *  connected disconnected driven undriven released plugged
 *  plug-failed unplugged unplug-failed VM-down failover-unplug failover-replug synthetic-off
 *  graceful abrupt surprise restore free
 */
static const struct situation situations[] = {
	{"absent", go_absent,
	 {"Os.", "As.", "Vv.", "As.", "As.", "Os.",
	  "As.", "As.", "As.", "An.", "As.", "As.", "An.",
	  "As.N", "As.N", "As.N", "Ss.0", "--."}},
	{"absent, connection lost", go_lost,
	 {"Os.", "As.", "Vv.", "As.", "As.", "As.",
	  "As.", "As.", "As.", "An.", "As.", "As.", "An.",
	  "As.N", "As.N", "As.N", "As.G", "--."}},
	{"offered", go_offered,
	 {"Os.", "As.", "Vv.", "Os.", "Os.", "Os.",
	  "Os.", "As.", "Os.", "An.", "Rs.", "Os.", "On.",
	  "Ds.0", "Ds.0", "Ds.0", "Os.Y", "--."}},
	{"offered, receive off just now", go_settling,
	 {"Op.", "As.", "Vv.", "Op.", "Os.", "Op.",
	  "Op.", "As.", "Op.", "An.", "Dp.", "Op.", "Op.",
	  "Dp.0", "Dp.0", "Dp.0", "Op.Y", "--."}},
	{"driven", go_driven,
	 {"Vv.", "As.", "Vv.", "Op.", "Os.", "Vv.",
	  "Vv.", "As.", "Vv.", "An.", "Dv.", "Vv.", "Vv.",
	  "Dv.0", "Dv.0", "Dp.0", "Vv.Y", "--."}},
	{"driven, link delayed", go_no_link,
	 {"Vv.", "Ss.", "Vv.", "Ss.", "Ss.", "Vv.",
	  "Vv.", "RsI", "Vv.", "AnC", "Vv.", "Vv.", "Vv.",
	  "Vv.B", "Vv.B", "Vv.B", "Vv.B", "--C"}},
	{"driven, device_add not answered", go_unanswered,
	 {"Vv.", "Ss.", "Vv.", "Ss.", "Ss.", "Vv0",
	  "RsI", "RsI", "Vv.", "AnC", "Vv.", "Vv.", "Vv.",
	  "Vv.B", "Vv.B", "Vv.B", "Vv.B", "--C"}},
	{"draining, traffic leaves", go_draining,
	 {"Dv.", "Ds.", "Dv.", "Dp.", "Ds.", "Dv.",
	  "Dv.", "Rs0", "Dv.", "AnC", "Dv.", "Dv.", "Dv.",
	  "Dv.B", "Dv.B", "Dv.B", "Dv.B", "--C"}},
	{"draining, unplug asked", go_unplugging,
	 {"Dv.", "Ds.", "Dv.", "Dp.", "Ds.", "Dv.",
	  "Dv.", "Rs0", "VvI", "AnC", "Dv.", "Dv.", "Dv.",
	  "Dv.B", "Dv.B", "Dv.B", "Dv.B", "--C"}},
	{"draining, receive off", go_letting_go,
	 {"Dp.", "Ds.", "Dv.", "Dp.", "Ds.", "Dp.",
	  "Dp.", "Rs0", "OsI", "AnC", "Dp.", "Dp.", "Dp.",
	  "Dp.B", "Dp.B", "Dp.B", "Dp.B", "--C"}},
	{"draining, released", go_let_go,
	 {"Ds.", "Ds.", "Dv.", "Ds.", "Ds.", "Ds.",
	  "Ds.", "Rs0", "OsI", "AnC", "Ds.", "Ds.", "Dn.",
	  "Ds.B", "Ds.B", "Ds.B", "Ds.B", "--C"}},
	{"draining, cut", go_cut,
	 {"Dp.", "Dp.", "Dp.", "Dp.", "Dp.", "Dp.",
	  "Dp.", "Rs0", "Dp.", "AnC", "Dp.", "Dp.", "Dp.",
	  "Dp.B", "Dp.B", "Dp.B", "Dp.B", "--C"}},
	{"draining, by failover", go_taking,
	 {"Dv.", "Rs.", "Dv.", "Dp.", "Rs.", "Dv.",
	  "Dv.", "Rs.", "Dv.", "An.", "Dv.", "Vv.", "Dv.",
	  "Dv.B", "Dv.B", "Dv.B", "Dv.B", "--."}},
	{"revoked", go_revoked,
	 {"Os.", "Rs.", "Rs.", "Rs.", "Rs.", "Os.",
	  "Rs.", "Rs.", "Rs.", "An.", "Rs.", "Rs.", "Rn.",
	  "Rs.Y", "Rs.Y", "Rs.Y", "Ss.0", "--."}},
	{"revoked, pending", go_pending,
	 {"Os.", "Ps.", "Ps.", "Ps.", "Ps.", "Ps.",
	  "Ps.", "Rs.", "Ps.", "An.", "Ps.", "Ps.", "Pn.",
	  "Ps.Y", "Ps.Y", "Ps.Y", "Ps.G", "--."}},
	{"revoked, by failover", go_taken,
	 {"Rs.", "Rs.", "Vv.", "Rs.", "Rs.", "Rs.",
	  "Rs.", "Rs.", "Rs.", "An.", "Rs.", "Os.", "Rn.",
	  "Rs.B", "Rs.B", "Rs.B", "Rs.B", "--."}},
	{"restoring, plugging", go_restoring,
	 {"Ss.", "Ss.", "Vv.", "Ss.", "Ss.", "Ss.",
	  "RsI", "Ss.", "Ss.", "AnC", "Ss.", "Ss.", "Sn.",
	  "Ss.B", "Ss.B", "Ss.B", "Ss.B", "--C"}},
	{"restoring, arrived", go_arrived,
	 {"Ss.", "Ss.", "Vv0", "Ss.", "Ss.", "Ss.",
	  "Ss.", "Ss.", "Ss.", "AnC", "Ss.", "Ss.", "Sn.",
	  "Ss.B", "Ss.B", "Ss.B", "Ss.B", "--C"}},
	{"restoring, held", go_held,
	 {"Ss.", "Ss.", "Ss.", "Ss.", "Ss.", "Ss.",
	  "Ss.", "Ss.", "Ss.", "AnC", "Ss.", "Ss.", "Sn.",
	  "Ss.B", "Ss.B", "Ss.B", "Ss.B", "--C"}},
};
/* clang-format on */

static void describe(struct rig *r, bool was_busy, unsigned int ended, bool call, char *out)
{
	static const char states[] = "AOVDRS", paths[] = "nsvp";

	*out++ = !r->vf ? '-' : vf_is_pending(r->vf) ? 'P' : states[vf_state(r->vf)];
	*out++ = !r->vf ? '-' : paths[vf_receive(r->vf)];
	if (was_busy && r->ended > ended)
		*out++ = r->rc == 0 ? '0' : r->rc == -EIO ? 'I' : r->rc == -ECANCELED ? 'C' : '?';
	else
		*out++ = '.';
	if (call)
		*out++ = last_call == 0		     ? '0'
			 : last_call == -EBUSY	     ? 'B'
			 : last_call == -EALREADY    ? 'Y'
			 : last_call == -ENODEV	     ? 'N'
			 : last_call == -EINPROGRESS ? 'G'
						     : '?';
	*out = 0;
}

static bool is_call(size_t h)
{
	return happenings[h].fn == do_graceful || happenings[h].fn == do_abrupt ||
	       happenings[h].fn == do_surprise || happenings[h].fn == do_restore;
}

static void every_pair_of_situation_and_event_is_as_the_table_says(void **state)
{
	bool show = getenv("VF_SHOW_TABLE"); /* to see what is, when writing a row */
	unsigned int wrong = 0;

	(void)state;
	for (size_t s = 0; s < ARRAY_SIZE(situations); s++) {
		if (show)
			fprintf(stderr, "%s:", situations[s].name);
		for (size_t h = 0; h < N_HAPPENINGS; h++) {
			const char *want = situations[s].cells[h];
			unsigned int ended;
			struct rig r;
			char got[8];
			bool busy;

			rig_init(&r);
			situations[s].go(&r);
			rig_check(&r);
			busy = r.begun != r.ended;
			ended = r.ended;
			happenings[h].fn(&r);
			describe(&r, busy, ended, is_call(h), got);
			if (show)
				fprintf(stderr, " \"%s\",", got);
			if (!want || strcmp(got, want)) {
				wrong++;
				if (!show)
					print_error("%s, %s: %s, not %s\n", situations[s].name,
						    happenings[h].name, got, want ? want : "NULL");
			}
			if (r.vf)
				rig_check(&r);
			rig_fini(&r);
		}
		if (show)
			fprintf(stderr, "\n");
	}
	assert_int_equal(wrong, 0);
}

/* Every two events after every situation, every three after one of each state. */
static void no_three_events_end_in_an_illegal_state(void **state)
{
	static void (*const thorough[])(struct rig * r) = {go_absent,	  go_offered, go_driven,
							   go_letting_go, go_revoked, go_arrived};
	const size_t n_events = N_HAPPENINGS - 1; /* all but free */

	(void)state;
	for (size_t s = 0; s < ARRAY_SIZE(situations); s++) {
		size_t runs = n_events * n_events;
		unsigned int depth = 2;

		for (size_t i = 0; i < ARRAY_SIZE(thorough); i++)
			if (situations[s].go == thorough[i])
				depth = 3;
		if (depth == 3)
			runs *= n_events;
		for (size_t n = 0; n < runs; n++) {
			struct rig r;
			size_t left = n;

			rig_init(&r);
			situations[s].go(&r);
			for (unsigned int i = 0; i < depth; i++, left /= n_events) {
				happenings[left % n_events].fn(&r);
				rig_check(&r);
			}
			rig_fini(&r);
		}
	}
}

/* A long walk in which timers fire as well, and each end of an operation may begin the next. */
static void no_long_walk_ends_in_an_illegal_state(void **state)
{
	struct rng rng = {.s = 20261121};
	struct rig r;

	(void)state;
	rig_init(&r);
	for (unsigned int i = 0; i < 60000; i++) {
		struct vf_revoke_opts revoke = {.way = rng_below(&rng, VF_N_WAYS),
						.drain_ms = 1,
						.quiet_ms = 1,
						.deadline_ms = 1 + rng_below(&rng, 3),
						.no_escalate = rng_below(&rng, 2)};
		struct vf_restore_opts restore = {.link_delay_ms = rng_below(&rng, 2),
						  .hold_ms = rng_below(&rng, 2),
						  .deadline_ms = 1 + rng_below(&rng, 3)};
		size_t h = rng_below(&rng, N_HAPPENINGS + 3);

		r.unplug_rc = rng_below(&rng, 8) ? 0 : -ENOTCONN;
		r.plug_rc = rng_below(&rng, 8) ? 0 : -ENOTCONN;
		if (h < N_HAPPENINGS - 1)
			happenings[h].fn(&r);
		else if (h == N_HAPPENINGS)
			rig_revoke(&r, &revoke);
		else if (h == N_HAPPENINGS + 1)
			rig_restore(&r, &restore);
		else
			do_synthetic_on(&r);
		rig_check(&r);
		if (!rng_below(&rng, 30))
			rig_run_ms(&r, 1);
		else
			event_base_loop(r.base, EVLOOP_NONBLOCK);
		rig_check(&r);
		json_array_clear(r.told);
	}
	/* Whatever it was: a VM that goes down and comes up has its VF again. */
	vf_on_vm_down(r.vf);
	assert_int_equal(vf_state(r.vf), VF_ABSENT);
	assert_false(vf_is_busy(r.vf));
	assert_true(r.link);
	vf_on_connected(r.vf);
	vf_on_driven(r.vf);
	assert_int_equal(vf_state(r.vf), VF_DRIVEN);
	assert_int_equal(r.receive, VF_RX_VF);
	rig_fini(&r);
}

/* ---- stories ---- */

static void refused_first_steps_leave_no_trace(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r);
	r.plug_rc = -ENOTCONN;
	assert_int_equal(rig_restore(&r, &(struct vf_restore_opts){.link_delay_ms = 5}), -ENOTCONN);
	assert_int_equal(vf_state(r.vf), VF_ABSENT);
	rig_check(&r);
	vf_on_connected(r.vf);
	vf_on_driven(r.vf);
	r.unplug_rc = -ENOTCONN;
	assert_int_equal(rig_revoke(&r, &(struct vf_revoke_opts){.way = VF_ABRUPT}), -ENOTCONN);
	assert_int_equal(vf_state(r.vf), VF_DRIVEN);
	rig_check(&r);
	rig_fini(&r);
}

/* DEVICE_DELETED overtakes what the device has to say, and a restoration follows at once. */
static void late_words_of_the_old_device_do_not_touch_the_new_one(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r);
	go_unplugging(&r);
	vf_on_unplugged(r.vf);
	assert_int_equal(rig_restore(&r, NULL), 0);
	vf_on_undriven(r.vf);
	vf_on_released(r.vf);
	vf_on_disconnected(r.vf);
	assert_int_equal(vf_state(r.vf), VF_RESTORING);
	assert_int_equal(r.ended, 1);
	vf_on_connected(r.vf);
	vf_on_plugged(r.vf);
	vf_on_driven(r.vf);
	assert_int_equal(vf_state(r.vf), VF_DRIVEN);
	assert_int_equal(r.rc, 0);
	assert_string_equal(rig_steps(&r), "plug connected plugged driven done");
	rig_fini(&r);
}

/* The net_failover guest: VF until receive off, parked until released, then synthetic. */
static void frames_stay_on_the_vf_then_wait_then_go_to_the_synthetic_path(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r);
	go_unplugging(&r);
	assert_int_equal(r.receive, VF_RX_VF);
	vf_on_undriven(r.vf);
	assert_int_equal(r.receive, VF_RX_PARK);
	vf_on_released(r.vf);
	assert_int_equal(r.receive, VF_RX_SYNTHETIC);
	vf_on_disconnected(r.vf);
	vf_on_unplugged(r.vf);
	assert_int_equal(r.rc, 0);
	assert_string_equal(rig_steps(&r), "unplug receive-off released unplugged done");
	assert_int_equal(vf_state(r.vf), VF_REVOKED);
	rig_fini(&r);
}

/* After we cut, the device's reset says "receive off" and "released": the guest did not. */
static void a_cut_device_does_not_speak_for_the_guest(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r);
	go_cut(&r);
	assert_int_equal(r.cuts, 1);
	assert_int_equal(r.receive, VF_RX_PARK);
	vf_on_undriven(r.vf);
	vf_on_released(r.vf);
	vf_on_disconnected(r.vf);
	assert_int_equal(r.receive, VF_RX_PARK);
	assert_int_equal(vf_state(r.vf), VF_DRAINING);
	vf_on_unplugged(r.vf);
	assert_int_equal(r.receive, VF_RX_SYNTHETIC);
	assert_string_equal(rig_steps(&r), "cut unplug unplugged done");
	rig_fini(&r);
}

/* The driver goes and comes (rmmod, modprobe; new rings) without anybody's revocation. */
static void a_driver_may_come_and_go(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r);
	go_driven(&r);
	for (unsigned int i = 0; i < 4; i++) {
		vf_on_undriven(r.vf);
		assert_int_equal(vf_state(r.vf), VF_OFFERED);
		assert_int_equal(r.receive, VF_RX_PARK);
		if (i & 1) {
			vf_on_released(r.vf);
			assert_int_equal(r.receive, VF_RX_SYNTHETIC);
		}
		vf_on_driven(r.vf);
		assert_int_equal(vf_state(r.vf), VF_DRIVEN);
		assert_int_equal(r.receive, VF_RX_VF);
		rig_check(&r);
	}
	assert_int_equal(rig_told(&r, "VF_NOT_DRIVEN"), 0);
	rig_fini(&r);
}

/* A reset of the machine in the middle of a removal: QEMU carries it out then. */
static void a_guest_that_reboots_while_draining_loses_the_vf(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r);
	go_draining(&r);
	assert_int_equal(r.unplugs, 0);
	vf_on_undriven(r.vf);
	assert_int_equal(r.unplugs, 1); /* nothing left to drain */
	vf_on_released(r.vf);
	vf_on_unplugged(r.vf);
	vf_on_disconnected(r.vf);
	assert_int_equal(vf_state(r.vf), VF_REVOKED);
	assert_int_equal(r.rc, 0);
	assert_true(r.link);
	rig_fini(&r);
}

static void without_a_synthetic_path_frames_go_to_the_vf_or_to_nobody(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r);
	vf_on_connected(r.vf);
	assert_int_equal(r.receive, VF_RX_NOBODY);
	vf_on_driven(r.vf);
	assert_int_equal(r.receive, VF_RX_VF);
	assert_int_equal(rig_revoke(&r, &(struct vf_revoke_opts){.way = VF_ABRUPT}), 0);
	vf_on_released(r.vf);
	assert_int_equal(r.receive, VF_RX_NOBODY);
	vf_on_unplugged(r.vf);
	vf_on_synthetic(r.vf, true); /* its driver came late */
	assert_int_equal(r.receive, VF_RX_SYNTHETIC);
	vf_on_synthetic(r.vf, false);
	assert_int_equal(r.receive, VF_RX_NOBODY);
	rig_fini(&r);
}

/* The switch may go over to the VF by itself whenever we would follow, and only then. */
static void the_vf_is_awaited_unless_it_is_held_cut_or_gone(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r);
	vf_on_connected(r.vf);
	assert_true(r.awaited);
	go_revoked(&r);
	assert_false(r.awaited);
	assert_int_equal(rig_restore(&r, NULL), 0);
	assert_true(r.awaited);
	rig_fini(&r);

	rig_init(&r);
	go_cut(&r);
	assert_false(r.awaited);
	rig_fini(&r);

	rig_init(&r);
	go_revoked(&r);
	assert_int_equal(rig_restore(&r, &(struct vf_restore_opts){.hold_ms = 20}), 0);
	assert_false(r.awaited);
	vf_on_connected(r.vf);
	vf_on_plugged(r.vf);
	vf_on_driven(r.vf);
	assert_false(r.awaited);
	assert_true(rig_run(&r, has_ended));
	assert_int_equal(r.receive, VF_RX_VF);
	assert_true(r.awaited);
	rig_fini(&r);

	rig_init(&r);
	go_taken(&r);
	assert_true(r.awaited);
	rig_fini(&r);
}

static void migration_takes_the_primary_and_gives_it_back(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r);
	go_driven(&r);
	vf_on_failover_unplug(r.vf);
	assert_true(vf_is_busy(r.vf));
	vf_on_undriven(r.vf);
	assert_int_equal(r.receive, VF_RX_PARK);
	vf_on_released(r.vf);
	assert_int_equal(r.receive, VF_RX_SYNTHETIC);
	assert_int_equal(vf_state(r.vf), VF_REVOKED);
	assert_int_equal(rig_restore(&r, NULL), -EBUSY);
	/* Cancelled: QEMU puts it back, the guest's driver probes it again. */
	vf_on_failover_replug(r.vf);
	assert_int_equal(vf_state(r.vf), VF_OFFERED);
	vf_on_driven(r.vf);
	assert_int_equal(vf_state(r.vf), VF_DRIVEN);
	assert_false(vf_is_busy(r.vf));
	assert_int_equal(r.unplugs + r.plugs, 0);
	rig_fini(&r);
}

static void after_a_migration_the_vf_can_be_restored(void **state)
{
	void (*const from[])(struct rig *r) = {go_taken, go_taking, go_revoked, go_driven,
					       go_unplugging, go_restoring};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(from); i++) {
		struct rig r;

		rig_init(&r);
		from[i](&r);
		vf_on_migrated(r.vf);
		rig_check(&r);
		assert_int_equal(vf_state(r.vf), VF_REVOKED);
		assert_int_equal(r.receive, VF_RX_SYNTHETIC);
		assert_int_equal(rig_restore(&r, NULL), 0);
		vf_on_disconnected(r.vf); /* the source's last word */
		vf_on_connected(r.vf);
		vf_on_plugged(r.vf);
		vf_on_driven(r.vf);
		assert_int_equal(vf_state(r.vf), VF_DRIVEN);
		assert_int_equal(r.rc, 0);
		rig_fini(&r);
	}
}

static void restore_again(struct rig *r)
{
	assert_int_equal(rig_restore(r, NULL), 0);
}

static void free_it(struct rig *r)
{
	vf_free(r->vf);
	r->vf = NULL;
}

static void the_end_of_an_operation_may_begin_the_next_or_free_the_vf(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r);
	go_unplugging(&r);
	r.then = restore_again;
	vf_on_unplugged(r.vf);
	assert_int_equal(vf_state(r.vf), VF_RESTORING);
	rig_check(&r);
	r.then = free_it;
	vf_on_plug_failed(r.vf, "no");
	assert_null(r.vf);
	assert_int_equal(r.rc, -EIO);
	rig_fini(&r);
	vf_free(NULL);
}

static bool storm_over(struct rig *r)
{
	return r->ended >= 2000;
}

static void storm_step(struct rig *r)
{
	int rc;

	rig_check(r);
	json_array_clear(r->told);
	if (storm_over(r))
		return;
	r->then = storm_step;
	if (vf_state(r->vf) == VF_REVOKED)
		rc = rig_restore(r, NULL);
	else
		rc = rig_revoke(
			r, &(struct vf_revoke_opts){.way = r->ended % VF_N_WAYS, .quiet_ms = 1});
	assert_int_equal(rc, 0);
}

/* A thousand revocations and restorations, each begun by the end of the last. */
static void a_storm_counts_right(void **state)
{
	struct rig r;
	json_t *o;

	(void)state;
	rig_init(&r);
	go_driven(&r);
	storm_step(&r);
	while (!storm_over(&r)) {
		if (vf_state(r.vf) == VF_RESTORING) {
			vf_on_connected(r.vf);
			vf_on_plugged(r.vf);
			vf_on_driven(r.vf);
		} else {
			vf_on_undriven(r.vf);
			vf_on_released(r.vf);
			if (r.ended % 5)
				vf_on_disconnected(r.vf);
			vf_on_unplugged(r.vf);
		}
	}
	o = vf_json(r.vf);
	assert_int_equal(json_integer_value(json_object_get(o, "revocations")), 1000);
	assert_int_equal(json_integer_value(json_object_get(o, "restorations")), 1000);
	assert_int_equal(json_integer_value(json_object_get(o, "failures")), 0);
	assert_int_equal(vf_state(r.vf), VF_DRIVEN);
	json_decref(o);
	rig_fini(&r);
}

static void what_it_tells_is_complete(void **state)
{
	const json_t *ev;
	struct rig r;
	json_t *o;

	(void)state;
	rig_init(&r);
	go_unplugging(&r);
	ev = rig_last(&r, "VF_STATE");
	assert_string_equal(json_string_value(json_object_get(ev, "state")), "draining");
	assert_string_equal(json_string_value(json_object_get(ev, "previous")), "driven");
	assert_string_equal(json_string_value(json_object_get(ev, "reason")), "abrupt");
	assert_true(json_is_false(json_object_get(ev, "pending")));
	ev = rig_last(&r, "VF_STEP");
	assert_string_equal(json_string_value(json_object_get(ev, "op")), "revoke");
	assert_string_equal(json_string_value(json_object_get(ev, "step")), "unplug");
	vf_on_unplug_failed(r.vf, "Device 'vf0' is busy");
	assert_int_equal(r.rc, -EIO);
	assert_string_equal(r.why, "Device 'vf0' is busy");
	ev = rig_last(&r, "VF_STEP");
	assert_string_equal(json_string_value(json_object_get(ev, "why")), "Device 'vf0' is busy");
	o = vf_json(r.vf);
	ev = json_object_get(o, "last");
	assert_string_equal(json_string_value(json_object_get(ev, "operation")), "revoke");
	assert_int_equal(json_integer_value(json_object_get(ev, "rc")), -EIO);
	assert_int_equal(json_array_size(json_object_get(ev, "steps")), 2);
	assert_true(json_is_null(json_object_get(o, "operation")));
	json_decref(o);
	rig_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_pair_of_situation_and_event_is_as_the_table_says),
		cmocka_unit_test(no_three_events_end_in_an_illegal_state),
		cmocka_unit_test(no_long_walk_ends_in_an_illegal_state),
		cmocka_unit_test(refused_first_steps_leave_no_trace),
		cmocka_unit_test(late_words_of_the_old_device_do_not_touch_the_new_one),
		cmocka_unit_test(frames_stay_on_the_vf_then_wait_then_go_to_the_synthetic_path),
		cmocka_unit_test(a_cut_device_does_not_speak_for_the_guest),
		cmocka_unit_test(a_driver_may_come_and_go),
		cmocka_unit_test(a_guest_that_reboots_while_draining_loses_the_vf),
		cmocka_unit_test(without_a_synthetic_path_frames_go_to_the_vf_or_to_nobody),
		cmocka_unit_test(the_vf_is_awaited_unless_it_is_held_cut_or_gone),
		cmocka_unit_test(migration_takes_the_primary_and_gives_it_back),
		cmocka_unit_test(after_a_migration_the_vf_can_be_restored),
		cmocka_unit_test(the_end_of_an_operation_may_begin_the_next_or_free_the_vf),
		cmocka_unit_test(a_storm_counts_right),
		cmocka_unit_test(what_it_tells_is_complete),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
