/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the operations on a VF: revocation and restoration, from the request to its end. The facts
 * that move them come in through vf.c, which also has the theory.
 *
 * An operation ends in vf_op_end(), which calls back and after which the vf may be gone: it is
 * always the last thing a handler does.
 */
#define LOG_TAG "vf"
#include "host/vf_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"

#define RETRY_MAX	 16 /* times retry_ms between requests that are refused while pending */
#define DRAIN_MS	 1000
#define QUIET_MS	 20
#define REVOKE_DEADLINE	 10000
#define RESTORE_DEADLINE 30000

void vf_arm(struct event *ev, unsigned int ms)
{
	struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000};

	evtimer_add(ev, &tv);
}

static void link_set(struct vf *vf, bool up)
{
	if (vf->link_down == !up)
		return;
	vf->link_down = !up;
	vf->ops->link(vf->arg, up);
}

static void op_begin(struct vf *vf, enum vf_op_kind kind, vf_done_fn done, void *done_arg)
{
	vf->op = (struct vf_op){.kind = kind,
				.from = vf->state,
				.done = done,
				.done_arg = done_arg,
				.start_ns = now_ns(),
				.steps = json_array()};
	evtimer_del(vf->tick);
}

/* It never was: the first step failed. */
static void op_undo(struct vf *vf)
{
	json_decref(vf->op.steps);
	vf->op = (struct vf_op){0};
	link_set(vf, true);
}

/* The last thing of whoever calls it: @vf may be gone afterwards. @why is "" with @rc 0. */
void vf_op_end(struct vf *vf, int rc, const char *why)
{
	struct vf_op op = vf->op;

	if (!op.kind)
		return;
	vf_step(vf, rc ? "failed" : "done", why);
	vf->op = (struct vf_op){0};
	if (op.kind == VF_OP_REVOKE && !vf->pending)
		evtimer_del(vf->tick);
	evtimer_del(vf->deadline);
	evtimer_del(vf->link);
	evtimer_del(vf->hold);
	link_set(vf, true);
	if (rc)
		vf->failures++;
	else if (op.kind == VF_OP_REVOKE)
		vf->revocations++;
	else
		vf->restorations++;
	json_decref(vf->last);
	vf->last = json_pack("{s:s, s:i, s:s, s:O}", "operation", vf_op_name(op.kind), "rc", rc,
			     "why", why, "steps", op.steps);
	if (op.done)
		op.done(op.done_arg, rc, why, op.steps);
	json_decref(op.steps);
}

static const char *errno_why(int rc, char *buf, size_t size)
{
	snprintf(buf, size, "removal could not be asked for: %s", strerror(-rc));
	return buf;
}

/* ---- revocation ---- */

static void cut(struct vf *vf, bool dead)
{
	if (vf->cut)
		return;
	vf->cut = true;
	vf->driven = false;
	vf->ops->cut(vf->arg, dead);
	vf_step(vf, "cut", NULL);
	vf_choose(vf);
}

/*
 * Ask for the removal of a device that is dead. Whoever carries it out repeats what the guest may
 * not have heard (host/plug.c); here only what was refused is asked for again.
 */
static void pend_ask(struct vf *vf)
{
	vf->asked = !vf->ops->unplug(vf->arg);
	if (vf->asked)
		evtimer_del(vf->tick);
	else
		vf_unplug_later(vf);
}

/* The device is dead and QEMU still has it. The caller ends the operation after this. */
static void pend(struct vf *vf, const char *reason)
{
	vf->pending = true;
	vf->pending_ms = vf->retry_ms;
	vf_set_state(vf, VF_REVOKED, reason);
	if (!vf->asked)
		pend_ask(vf);
}

/* Refused, and nobody else asks: again in a moment. */
void vf_unplug_later(struct vf *vf)
{
	vf->asked = false;
	vf_arm(vf->tick, vf->pending ? vf->pending_ms : vf->retry_ms);
	if (vf->pending)
		vf->pending_ms = MIN(vf->pending_ms * 2, vf->retry_ms * RETRY_MAX);
}

/* The VF stays with the guest. */
void vf_revoke_give_up(struct vf *vf, int rc, const char *why)
{
	vf_set_shown(vf, why);
	vf_op_end(vf, rc, why);
}

static void ask_unplug(struct vf *vf)
{
	char why[VF_WHY_SIZE];
	int rc;

	vf->op.unplugging = true;
	vf->op.n_unplugs++;
	rc = vf->ops->unplug(vf->arg);
	vf->asked = !rc;
	if (!rc || vf->cut || vf->op.n_unplugs > 1) {
		vf_step(vf, vf->op.n_unplugs > 1 ? "unplug-again" : "unplug",
			rc ? errno_why(rc, why, sizeof(why)) : NULL);
		if (rc)
			vf_unplug_later(vf);
		return;
	}
	vf_revoke_give_up(vf, -EIO, errno_why(rc, why, sizeof(why)));
}

/* Has the guest's traffic left the VF? */
static void drain(struct vf *vf)
{
	const struct vf_revoke_opts *o = &vf->op.revoke;
	uint64_t now = now_ns(), tx = vf->ops->tx_packets(vf->arg);

	if (vf->op.deaf) {
		/* It goes on sending whatever we wait. */
		vf_step(vf, "no-drain", "the driver does not know of links");
		ask_unplug(vf);
		return;
	}
	if (tx != vf->op.last_tx) {
		vf->op.last_tx = tx;
		vf->op.last_tx_ns = now;
	}
	if (now - vf->op.last_tx_ns >= o->quiet_ms * NSEC_PER_MSEC) {
		vf_step(vf, "drained", NULL);
		ask_unplug(vf);
	} else if (now - vf->op.start_ns >= o->drain_ms * NSEC_PER_MSEC) {
		vf_step(vf, "drain-limit", NULL);
		ask_unplug(vf);
	} else {
		vf_arm(vf->tick, MAX(1u, o->quiet_ms / 4));
	}
}

/* A device that broke while QEMU had it, and a restoration with it. May end the operation. */
static void bury(struct vf *vf)
{
	static const char why[] = "the device's connection ended while QEMU had it";

	vf->lost = false;
	vf->cut = true;
	pend(vf, why);
	vf_op_end(vf, -EIO, why);
}

void vf_timer_tick(evutil_socket_t fd, short what, void *arg)
{
	struct vf *vf = arg;

	(void)fd;
	(void)what;
	if (vf->pending)
		pend_ask(vf);
	else if (vf->op.kind == VF_OP_REVOKE && vf->op.unplugging)
		ask_unplug(vf);
	else if (vf->op.kind == VF_OP_REVOKE)
		drain(vf);
	else if (vf->lost)
		bury(vf);
}

/* The guest sends nothing more over the VF: no need to wait for that. May end the operation. */
void vf_drain_over(struct vf *vf)
{
	if (vf->op.kind == VF_OP_REVOKE && !vf->op.unplugging)
		ask_unplug(vf);
}

/* QEMU ends, or the device broke: ask only when the former has not been heard for a moment. */
void vf_drain_lost(struct vf *vf)
{
	if (vf->op.kind != VF_OP_REVOKE || vf->op.unplugging)
		return;
	vf->op.unplugging = true;
	vf_arm(vf->tick, vf->retry_ms);
}

static void revoke_deadline(struct vf *vf)
{
	static const char late[] = "the guest did not let the device go in time";

	if (!vf->op.revoke.no_escalate) {
		cut(vf, false);
		pend(vf, late);
		vf_op_end(vf, 0, "");
	} else if (vf->cut) {
		pend(vf, late);
		vf_op_end(vf, -ETIMEDOUT, late);
	} else {
		vf_revoke_give_up(vf, -ETIMEDOUT, late);
	}
}

int vf_revoke(struct vf *vf, const struct vf_revoke_opts *opts, vf_done_fn done, void *done_arg)
{
	struct vf_revoke_opts *o = &vf->op.revoke;
	int rc;

	if (vf_is_busy(vf))
		return -EBUSY;
	if (vf->state == VF_ABSENT)
		return -ENODEV;
	if (vf->state == VF_REVOKED)
		return -EALREADY;
	op_begin(vf, VF_OP_REVOKE, done, done_arg);
	if (opts)
		*o = *opts;
	o->drain_ms = o->drain_ms ? o->drain_ms : DRAIN_MS;
	o->quiet_ms = o->quiet_ms ? o->quiet_ms : QUIET_MS;
	o->deadline_ms = o->deadline_ms ? o->deadline_ms : REVOKE_DEADLINE;
	if (o->way == VF_GRACEFUL && vf->driven) {
		vf_set_state(vf, VF_DRAINING, vf_way_name(o->way));
		link_set(vf, false);
		vf_step(vf, "link-down", NULL);
		vf->op.last_tx = vf->ops->tx_packets(vf->arg);
		vf->op.last_tx_ns = now_ns();
		vf->op.deaf = !vf->ops->hears_link(vf->arg);
		vf_arm(vf->tick, vf->op.deaf ? 0 : MAX(1u, o->quiet_ms / 4));
	} else {
		/* What cannot even be asked for leaves no trace; a device that was cut does. */
		if (o->way != VF_SURPRISE) {
			rc = vf->ops->unplug(vf->arg);
			if (rc) {
				op_undo(vf);
				return rc;
			}
		}
		vf_set_state(vf, VF_DRAINING, vf_way_name(o->way));
		if (o->way == VF_SURPRISE) {
			cut(vf, true);
			ask_unplug(vf);
		} else {
			vf->asked = true;
			vf->op.unplugging = true;
			vf->op.n_unplugs = 1;
			vf_step(vf, "unplug", NULL);
		}
	}
	vf_arm(vf->deadline, o->deadline_ms);
	return 0;
}

/* ---- restoration ---- */

/* QEMU has the device: the guest can see it. */
void vf_arrived(struct vf *vf)
{
	if (vf->connected)
		return;
	vf->connected = true;
	vf->lost = vf->cut = vf->asked = false;
	if (vf->op.kind != VF_OP_RESTORE) {
		vf->plugged = true;
		return;
	}
	/* Plugged is what device_add says: it may still fail and take the connection back. */
	vf_step(vf, "connected", NULL);
	if (vf->op.restore.link_delay_ms)
		vf_arm(vf->link, vf->op.restore.link_delay_ms);
}

/*
 * Done when the guest takes packets, nothing is held, the link is up, and device_add has returned
 * (before that the device could not be taken away again). May end the operation.
 */
void vf_restore_check(struct vf *vf)
{
	struct vf_op *op = &vf->op;

	if (!vf->driven)
		return;
	if (vf->plugged)
		evtimer_del(vf->deadline);
	if (op->holding)
		return;
	if (op->restore.hold_ms && !op->hold_over) {
		op->holding = true;
		vf_arm(vf->hold, op->restore.hold_ms);
		return;
	}
	vf_set_state(vf, VF_DRIVEN, NULL);
	if (!vf->link_down && vf->plugged)
		vf_op_end(vf, 0, "");
}

/* The guest turned receive off before the end: it has the whole time again. */
void vf_restore_undriven(struct vf *vf)
{
	vf->op.holding = vf->op.hold_over = false;
	evtimer_del(vf->hold);
	vf_arm(vf->deadline, vf->op.restore.deadline_ms);
	vf_set_state(vf, VF_RESTORING, "receive off");
	vf_step(vf, "receive-off", NULL);
}

/*
 * A guest that was slow to let the old device go may have been asked twice, and takes the second
 * request, which it finds now, for the new device. There is no third: plug again. May end the
 * operation.
 */
void vf_restore_ejected(struct vf *vf)
{
	static const char why[] = "the guest ejected it";
	struct vf_op *op = &vf->op;
	int rc;

	op->holding = op->hold_over = false;
	evtimer_del(vf->hold);
	evtimer_del(vf->link);
	link_set(vf, !op->restore.link_delay_ms);
	vf_step(vf, "ejected", why);
	rc = vf->ops->plug(vf->arg);
	if (rc)
		vf_restore_failed(vf, op->from, why);
	else
		vf_step(vf, "plug", NULL);
}

void vf_restore_failed(struct vf *vf, enum vf_state to, const char *why)
{
	vf_set_state(vf, to, why);
	vf_op_end(vf, -EIO, why);
}

static void restore_deadline(struct vf *vf)
{
	static const char undriven[] = "the guest's driver did not turn receive on in time";
	static const char unplugged[] = "QEMU did not answer in time";
	bool there = vf->plugged || vf->connected;

	if (vf->lost) {
		bury(vf);
		return;
	}
	if (vf->driven) {
		/* QEMU owes an answer, but the guest has what it was to get. */
		vf->plugged = true;
		vf_restore_check(vf);
		return;
	}
	/* Should device_add succeed later all the same, vf_on_plugged() makes it OFFERED. */
	vf_set_state(vf, there ? VF_OFFERED : vf->op.from, there ? undriven : unplugged);
	if (there) {
		evtimer_del(vf->alarm);
		vf->alarmed = true;
		vf_tell_not_driven(vf, vf->op.restore.deadline_ms);
	}
	vf_op_end(vf, -ETIMEDOUT, there ? undriven : unplugged);
}

void vf_timer_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct vf *vf = arg;

	(void)fd;
	(void)what;
	if (vf->op.kind == VF_OP_REVOKE)
		revoke_deadline(vf);
	else if (vf->op.kind == VF_OP_RESTORE)
		restore_deadline(vf);
}

void vf_timer_link(evutil_socket_t fd, short what, void *arg)
{
	struct vf *vf = arg;

	(void)fd;
	(void)what;
	link_set(vf, true);
	vf_step(vf, "link-up", NULL);
	vf_restore_check(vf);
}

void vf_timer_hold(evutil_socket_t fd, short what, void *arg)
{
	struct vf *vf = arg;

	(void)fd;
	(void)what;
	vf->op.holding = false;
	vf->op.hold_over = true;
	vf_step(vf, "held", NULL);
	vf_restore_check(vf);
}

int vf_restore(struct vf *vf, const struct vf_restore_opts *opts, vf_done_fn done, void *done_arg)
{
	struct vf_restore_opts *o = &vf->op.restore;
	int rc;

	if (vf_is_busy(vf))
		return -EBUSY;
	if (vf->state == VF_OFFERED || vf->state == VF_DRIVEN)
		return -EALREADY;
	if (vf->pending || vf->plugged)
		return -EINPROGRESS;
	op_begin(vf, VF_OP_RESTORE, done, done_arg);
	if (opts)
		*o = *opts;
	o->deadline_ms = o->deadline_ms ? o->deadline_ms : RESTORE_DEADLINE;
	link_set(vf, !o->link_delay_ms);
	vf->lost = vf->cut = vf->asked = vf->connected = vf->driven = vf->held = false;
	rc = vf->ops->plug(vf->arg);
	if (rc) {
		op_undo(vf);
		return rc;
	}
	vf_set_state(vf, VF_RESTORING, NULL);
	vf_step(vf, "plug", NULL);
	vf_arm(vf->deadline, o->deadline_ms);
	return 0;
}
