/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the rules of a VF's life.
 *
 * Theory. Two kinds of things are kept apart: facts (struct vf: plugged, connected, driven, held,
 * cut, asked) that the vf_on_*() functions note down, and the state, which is decided from them.
 * Facts come on two ways: what the device sees through a worker's mailbox, what QEMU says through
 * QMP. DEVICE_DELETED may be here before the device's last words and after. So no handler relies
 * on another having been called before, and a fact that fits no rule is noted and changes nothing.
 *
 * Where received frames go follows from state and facts alone, in wanted(), and is set in one
 * place, vf_choose(). The order that keeps a net_failover guest from losing frames on the way to
 * the synthetic path: it takes frames on the VF until its driver turns receive off (driven falls);
 * then it throws away what comes on the standby until its failover has forgotten the VF, which
 * it does when the netdev goes, before the driver deregisters from the device (held falls). In
 * between frames are parked. On the way back it throws away what comes on the standby once the
 * VF's driver is open, so the switch itself goes over to the VF before that (vsw_nic_await()),
 * when we want it (awaited()), and vf_choose() follows.
 *
 * After a cut "receive off" and "released" may come from the device's own reset, not from the
 * guest. Only DEVICE_DELETED tells then that the guest has let go.
 *
 * A VM's VF whose connection ends unasked while QEMU goes on is dead for good: QEMU does not
 * connect again, and the guest sees a device that answers 0xff. Only its removal helps, so after a
 * moment in which news of QEMU's death or of a removal could come, removal is asked for as if
 * it had been cut.
 *
 * Revocation and restoration are in vf_op.c. vf_op_end() and what calls it may end the vf's life:
 * it is always the last thing a handler does.
 */
#define LOG_TAG "vf"
#include "host/vf_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/util.h"

#define UNDRIVEN_MS 30000
#define RETRY_MS    1000
#define SETTLE_MS   500

enum vf_state vf_state(const struct vf *vf)
{
	return vf->state;
}

bool vf_is_pending(const struct vf *vf)
{
	return vf->pending;
}

bool vf_is_busy(const struct vf *vf)
{
	return vf->op.kind || vf->failover;
}

enum vf_receive vf_receive(const struct vf *vf)
{
	return vf->receive;
}

/* ---- what follows from state and facts ---- */

static enum vf_receive wanted(const struct vf *vf)
{
	enum vf_receive other = vf->synthetic ? VF_RX_SYNTHETIC : VF_RX_NOBODY;

	switch (vf->state) {
	case VF_DRIVEN:
		return VF_RX_VF;
	case VF_OFFERED:
		return vf->settling ? VF_RX_PARK : other;
	case VF_DRAINING:
		if (vf->driven)
			return VF_RX_VF;
		return vf->held ? VF_RX_PARK : other;
	case VF_ABSENT:
	case VF_REVOKED:
	case VF_RESTORING:
	case VF_N_STATES:
		break;
	}
	return other;
}

/* Would frames go to the VF if its guest turned receive on now? */
static bool awaited(const struct vf *vf)
{
	const struct vf_op *op = &vf->op;

	if (vf->cut)
		return false;
	if (vf->state == VF_REVOKED)
		return vf->failover;
	return vf->state != VF_RESTORING || !op->restore.hold_ms || op->hold_over;
}

void vf_choose(struct vf *vf)
{
	enum vf_receive prev = vf->receive, now = wanted(vf);

	vf->ops->await(vf->arg, awaited(vf));
	if (now == prev)
		return;
	vf->receive = now;
	vf->ops->receive(vf->arg, now);
	vf_tell_receive(vf, prev);
}

static void unsettle(struct vf *vf)
{
	vf->settling = false;
	evtimer_del(vf->settle);
}

void vf_set_state(struct vf *vf, enum vf_state s, const char *reason)
{
	enum vf_state prev = vf->state;

	if (s != VF_OFFERED)
		unsettle(vf);
	vf->state = s;
	vf_choose(vf);
	if (s == prev)
		return;
	vf->since_ns = now_ns();
	vf->alarmed = false;
	evtimer_del(vf->alarm);
	if (s == VF_OFFERED)
		vf_arm(vf->alarm, vf->undriven_ms);
	vf_tell_state(vf, prev, reason);
}

/* As the facts say, when no operation rules: DRIVEN or OFFERED. */
void vf_set_shown(struct vf *vf, const char *reason)
{
	vf_set_state(vf, vf->driven ? VF_DRIVEN : VF_OFFERED, reason);
}

/* QEMU has the device no more. */
static void forget_device(struct vf *vf)
{
	vf->plugged = vf->connected = vf->driven = vf->held = false;
	vf->lost = vf->cut = vf->asked = vf->failover = false;
	if (vf->pending)
		evtimer_del(vf->tick);
	vf->pending = false;
}

/* ---- what the device sees ---- */

void vf_on_connected(struct vf *vf)
{
	bool lost = vf->lost;

	vf_arrived(vf);
	if (vf->state == VF_ABSENT || (vf->state == VF_REVOKED && !vf->failover)) {
		if (lost || vf->pending)
			evtimer_del(vf->tick);
		vf->pending = false;
		vf_set_shown(vf, NULL);
	}
}

void vf_on_disconnected(struct vf *vf)
{
	bool was = vf->connected, was_driven = vf->driven;

	vf->connected = vf->driven = false;
	/* QEMU finalizes a device after the guest has let it go; when we cut it says nothing. */
	if (!vf->cut)
		vf->held = false;
	switch (vf->state) {
	case VF_OFFERED:
	case VF_DRIVEN:
	case VF_RESTORING:
		if (!was)
			break;
		/* A device_add that fails connects and disconnects first and says so itself. */
		if (vf->op.kind == VF_OP_RESTORE && was_driven)
			vf_restore_undriven(vf);
		if (vf->op.kind == VF_OP_RESTORE && !vf->plugged)
			break;
		/* QEMU ended, the guest ejected it, or it broke: which, is known in a moment. */
		vf->lost = vf->plugged;
		if (vf->lost)
			vf_arm(vf->tick, vf->retry_ms);
		if (vf->op.kind != VF_OP_RESTORE)
			vf_set_state(vf, VF_ABSENT, "the device's connection ended");
		break;
	case VF_DRAINING:
		if (vf->failover) {
			vf_set_state(vf, VF_REVOKED, "failover");
			break;
		}
		vf->cut = true; /* whoever did it */
		vf_choose(vf);
		vf_drain_lost(vf);
		break;
	case VF_ABSENT:
	case VF_REVOKED:
	case VF_N_STATES:
		break;
	}
}

void vf_on_driven(struct vf *vf)
{
	/* The last words of a device that was cut or removed. */
	if (vf->cut || (vf->state == VF_REVOKED && !vf->failover) || vf->driven)
		return;
	vf_arrived(vf);
	vf->driven = vf->held = true;
	switch (vf->state) {
	case VF_ABSENT:
	case VF_OFFERED:
		evtimer_del(vf->tick);
		vf_set_state(vf, VF_DRIVEN, NULL);
		break;
	case VF_REVOKED:
		vf->failover = false;
		vf_set_state(vf, VF_DRIVEN, "failover");
		break;
	case VF_DRAINING:
		vf_choose(vf);
		break;
	case VF_RESTORING:
		vf_step(vf, "driven", NULL);
		vf_restore_check(vf);
		break;
	case VF_DRIVEN:
	case VF_N_STATES:
		break;
	}
}

/* Receive off; with @released the driver has given the whole device up. */
static void let_go(struct vf *vf, bool released)
{
	bool was_driven = vf->driven, was_held = vf->held;

	vf->driven = false;
	if (released)
		vf->held = false;
	if (vf->op.kind == VF_OP_RESTORE) {
		if (was_driven)
			vf_restore_undriven(vf);
		return;
	}
	switch (vf->state) {
	case VF_DRIVEN:
		/* Its failover clings to it until it is released; or it is back in a moment. */
		if (!released) {
			vf->settling = true;
			vf_arm(vf->settle, vf->settle_ms);
		}
		vf_set_state(vf, VF_OFFERED, released ? "released" : "receive off");
		break;
	case VF_OFFERED:
		if (released) {
			unsettle(vf);
			vf_choose(vf);
		}
		break;
	case VF_DRAINING:
		if (was_driven)
			vf_step(vf, "receive-off", NULL);
		if (was_held && released)
			vf_step(vf, "released", NULL);
		vf_choose(vf);
		if (vf->failover && released)
			vf_set_state(vf, VF_REVOKED, "failover");
		else if (was_driven)
			vf_drain_over(vf);
		break;
	case VF_ABSENT:
	case VF_REVOKED:
	case VF_RESTORING:
	case VF_N_STATES:
		break;
	}
}

void vf_on_undriven(struct vf *vf)
{
	if (!vf->cut)
		let_go(vf, false);
}

void vf_on_released(struct vf *vf)
{
	if (!vf->cut)
		let_go(vf, true);
}

void vf_on_synthetic(struct vf *vf, bool driven)
{
	vf->synthetic = driven;
	vf_choose(vf);
}

static void on_settle(evutil_socket_t fd, short what, void *arg)
{
	struct vf *vf = arg;

	(void)fd;
	(void)what;
	vf->settling = false;
	vf_choose(vf);
}

static void on_alarm(evutil_socket_t fd, short what, void *arg)
{
	struct vf *vf = arg;
	uint64_t ms = (now_ns() - vf->since_ns) / NSEC_PER_MSEC;

	(void)fd;
	(void)what;
	if (vf->state != VF_OFFERED || vf->alarmed)
		return;
	/* libevent's clock is coarse: its timers may be early by some milliseconds. */
	if (ms < vf->undriven_ms) {
		vf_arm(vf->alarm, vf->undriven_ms - (unsigned int)ms);
		return;
	}
	vf->alarmed = true;
	vf_tell_not_driven(vf, ms);
}

/* ---- what QEMU says ---- */

void vf_on_plugged(struct vf *vf)
{
	bool news = !vf->plugged;

	vf->plugged = true;
	if (vf->op.kind == VF_OP_RESTORE) {
		vf_step(vf, "plugged", NULL);
		vf_restore_check(vf);
	} else if (news && !vf->pending && !vf->failover &&
		   (vf->state == VF_ABSENT || vf->state == VF_REVOKED)) {
		vf_set_shown(vf, "device_add returned late");
	}
}

void vf_on_plug_failed(struct vf *vf, const char *why)
{
	enum vf_state from = vf->op.from;

	if (vf->op.kind != VF_OP_RESTORE || vf->plugged) {
		log_warn("%s: plugging failed, unexpected now: %s", vf->id, why);
		return;
	}
	forget_device(vf);
	vf_restore_failed(vf, from, why);
}

void vf_on_unplugged(struct vf *vf)
{
	static const char late[] = "the guest let it go late";
	bool ours = vf->asked, was_pending = vf->pending, was_failover = vf->failover;

	forget_device(vf);
	switch (vf->state) {
	case VF_ABSENT:
		evtimer_del(vf->tick);
		if (ours)
			vf_set_state(vf, VF_REVOKED, late);
		break;
	case VF_OFFERED:
	case VF_DRIVEN:
		if (vf->op.kind == VF_OP_RESTORE) {
			vf_restore_failed(vf, vf->op.from, "QEMU removed the device");
			break;
		}
		/* Asked for by a revocation that gave up; else the guest ejected it. */
		vf_set_state(vf, ours ? VF_REVOKED : VF_ABSENT,
			     ours ? late : "the guest ejected it");
		break;
	case VF_DRAINING:
		vf_step(vf, "unplugged", NULL);
		vf_set_state(vf, VF_REVOKED, was_failover ? "failover" : NULL);
		vf_op_end(vf, 0, "");
		break;
	case VF_REVOKED:
		if (was_pending)
			vf_tell_state(vf, VF_REVOKED, late);
		break;
	case VF_RESTORING:
		vf_restore_ejected(vf);
		break;
	case VF_N_STATES:
		break;
	}
}

void vf_on_unplug_failed(struct vf *vf, const char *why)
{
	/*
	 * Refused outright: the guest does not know of it and keeps the VF. A request repeated in
	 * vain, or one for a dead device, changes nothing: the deadline decides.
	 */
	vf->asked = false;
	if (vf->op.kind == VF_OP_REVOKE && vf->op.n_unplugs == 1 && !vf->cut) {
		vf_revoke_give_up(vf, -EIO, why);
		return;
	}
	log_info("%s: removal refused: %s", vf->id, why);
	if (vf->pending || (vf->op.kind == VF_OP_REVOKE && vf->op.unplugging))
		vf_unplug_later(vf);
}

void vf_on_vm_down(struct vf *vf)
{
	static const char why[] = "the VM is down";

	forget_device(vf);
	evtimer_del(vf->tick);
	vf->synthetic = false;
	vf_set_state(vf, VF_ABSENT, why);
	vf_op_end(vf, -ECANCELED, why);
}

void vf_on_failover_unplug(struct vf *vf)
{
	/* During a revocation of ours the guest has been asked already. */
	if (vf->state != VF_OFFERED && vf->state != VF_DRIVEN)
		return;
	if (vf->op.kind) {
		log_warn("%s: QEMU's failover takes the VF in the middle of a restoration", vf->id);
		return;
	}
	vf->failover = true;
	vf_set_state(vf, VF_DRAINING, "failover");
	if (!vf->held)
		vf_set_state(vf, VF_REVOKED, "failover");
}

void vf_on_failover_replug(struct vf *vf)
{
	if (!vf->failover)
		return;
	vf->failover = false;
	vf_set_shown(vf, "failover");
}

void vf_on_migrated(struct vf *vf)
{
	static const char why[] = "the guest has migrated";

	forget_device(vf);
	evtimer_del(vf->tick);
	vf_set_state(vf, VF_REVOKED, why);
	vf_op_end(vf, -ECANCELED, why);
}

/* ---- making and freeing ---- */

struct vf *vf_new(struct event_base *base, const struct vf_conf *conf, const struct vf_ops *ops,
		  void *arg)
{
	struct vf *vf = calloc(1, sizeof(*vf));
	const struct {
		struct event **ev;
		event_callback_fn fn;
	} timers[] = {
		{&vf->tick, vf_timer_tick}, {&vf->deadline, vf_timer_deadline},
		{&vf->link, vf_timer_link}, {&vf->hold, vf_timer_hold},
		{&vf->alarm, on_alarm},	    {&vf->settle, on_settle},
	};
	bool ok;

	if (!vf)
		return NULL;
	vf->base = base;
	vf->id = strdup(conf->id);
	vf->ops = ops;
	vf->arg = arg;
	vf->undriven_ms = conf->undriven_ms ? conf->undriven_ms : UNDRIVEN_MS;
	vf->retry_ms = conf->retry_ms ? conf->retry_ms : RETRY_MS;
	vf->settle_ms = conf->settle_ms ? conf->settle_ms : SETTLE_MS;
	vf->since_ns = now_ns();
	ok = vf->id;
	for (unsigned int i = 0; i < ARRAY_SIZE(timers); i++) {
		*timers[i].ev = evtimer_new(base, timers[i].fn, vf);
		ok = ok && *timers[i].ev;
	}
	if (ok)
		return vf;
	vf_free(vf);
	errno = ENOMEM;
	return NULL;
}

static void timer_free(struct event *ev)
{
	if (ev)
		event_free(ev);
}

void vf_free(struct vf *vf)
{
	struct vf_op op;

	if (!vf)
		return;
	op = vf->op;
	timer_free(vf->tick);
	timer_free(vf->deadline);
	timer_free(vf->link);
	timer_free(vf->hold);
	timer_free(vf->alarm);
	timer_free(vf->settle);
	json_decref(vf->last);
	free(vf->id);
	free(vf);
	if (op.done)
		op.done(op.done_arg, -ECANCELED, "the vNIC goes away", op.steps);
	json_decref(op.steps);
}
