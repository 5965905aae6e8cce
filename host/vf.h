/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The life of a VF: its states, who may move them, and what traffic does in each.
 *
 * The only file that decides about it. It knows no QMP, no MANA and no switch: what happens comes
 * in through vf_on_*(), what is to be done goes out through struct vf_ops, so all of it is tested
 * without either. Control thread.
 *
 *	            vf_on_connected          vf_on_driven
 *	ABSENT ------------------> OFFERED ----------------> DRIVEN
 *	                              ^  |                    |  ^
 *	                              |  |    vf_revoke()     |  | vf_on_driven
 *	                              |  +-----> DRAINING <---+  |
 *	                              |             | unplugged  |
 *	                 never driven |             v            |
 *	                              +---------- REVOKED --> RESTORING
 *	                                              vf_restore()
 */
#ifndef HVLAB_HOST_VF_H
#define HVLAB_HOST_VF_H

#include <event2/event.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/**
 * enum vf_state
 *
 * "Synthetic" stands for the other path, or for nobody when the vNIC has none or its driver takes
 * no packets there. The facts that come in (vf_on_*) are allowed in every state, in any order:
 * they travel on different ways (a worker's mailbox, QMP) and may overtake each other.
 */
enum vf_state {
	/* QEMU shows the device to nobody: VM down, the VF is off, or a failover primary that the
	 * guest has not asked for yet. Traffic: synthetic. Allowed: vf_restore(). Left by
	 * vf_on_connected(). */
	VF_ABSENT,
	/* QEMU has it, the guest's driver has not turned receive on. Traffic: synthetic; within
	 * vf_conf.settle_ms after the guest turned it off, parked: a driver that changes its
	 * rings is back in a moment. Allowed: vf_revoke(). Beyond vf_conf.undriven_ms it raises
	 * VF_NOT_DRIVEN, once. */
	VF_OFFERED,
	/* The guest's driver takes packets. Traffic: VF. Allowed: vf_revoke(), unless a
	 * restoration still waits for its link delay (-EBUSY). */
	VF_DRIVEN,
	/* Being taken away. Received traffic stays on the VF until the guest stops it, is parked
	 * until the guest has let the device go (a net_failover guest throws away what comes on
	 * the standby before that), then goes to the synthetic path. Nothing else is allowed
	 * (-EBUSY). */
	VF_DRAINING,
	/* Taken away on purpose. Traffic: synthetic. With @pending QEMU still has the device: the
	 * guest never let it go, and it was cut off; its removal stays asked for, and vf_restore()
	 * is refused until it has happened. Else vf_restore() is allowed. */
	VF_REVOKED,
	/* Plugged again, not driven yet (or held, vf_restore_opts.hold_ms). Traffic: synthetic.
	 * Nothing else is allowed: a vf_revoke() is refused with -EBUSY and not kept for later,
	 * since who asks for both at once does not know what he wants. */
	VF_RESTORING,
	VF_N_STATES
};
const char *vf_state_name(enum vf_state s);

/*
 * Where received frames go. With the VF and the synthetic path what the path does not take at the
 * moment is parked as well (vsw_nic_receive(path, park true)), so that nothing is lost between the
 * guest's turning receive off and our hearing of it.
 */
enum vf_receive {
	VF_RX_NOBODY, /* dropped as link-down */
	VF_RX_SYNTHETIC,
	VF_RX_VF,
	VF_RX_PARK, /* to neither, kept */
	VF_N_RECEIVE
};
const char *vf_receive_name(enum vf_receive r); /* "none", "synthetic", "vf", "park" */

enum vf_way {
	VF_GRACEFUL, /* link down, wait until the guest's traffic has left, unplug */
	VF_ABRUPT,   /* unplug first */
	VF_SURPRISE, /* the device dies, then unplug */
	VF_N_WAYS
};
/* "graceful", "abrupt", "surprise". */
const char *vf_way_name(enum vf_way way);

struct vf;

/*
 * What the machine asks for; @arg of vf_new(); all are needed. None may call back into the vf
 * before it returned. plug and unplug return 0 when they have begun, and then end in
 * vf_on_plugged() and vf_on_unplugged(), or in the _failed ones; else -errno.
 */
struct vf_ops {
	int (*plug)(void *arg);
	/*
	 * Asked once, and for as long as it takes: what the guest may not have heard is repeated
	 * behind it (host/plug.c), and only a refusal ends it, after which it may be called again.
	 * QEMU's "not found" is vf_on_unplugged().
	 */
	int (*unplug)(void *arg);
	/*
	 * The device is taken off the network under its driver, for good. @dead: it answers nothing
	 * any more, as a device does that broke; else it carries nothing any more but goes on
	 * answering, so that a guest that listens at last is rid of it at once.
	 */
	void (*cut)(void *arg, bool dead);
	/*
	 * As the guest sees the VF. Down must not keep frames from it: a net_failover guest sends
	 * on the standby then but still takes what comes on the VF alone. The user's own wish
	 * about the link is ANDed by the implementation.
	 */
	void (*link)(void *arg, bool up);
	/* Does the guest's driver hear of its link? That of Linux before 6.17 does not. */
	bool (*hears_link)(void *arg);
	void (*receive)(void *arg, enum vf_receive where);
	/*
	 * Should the guest turn receive on now, frames go to the VF without waiting for receive():
	 * a net_failover guest loses those that come on its standby from then on. Told again and
	 * again.
	 */
	void (*await)(void *arg, bool on);
	uint64_t (*tx_packets)(void *arg); /* sent by the guest over the VF, ever */
	/* @data is stolen; "vnic" and "time_ns" (CLOCK_MONOTONIC) are in it. */
	void (*event)(void *arg, const char *name, json_t *data);
};

/*
 * The events:
 *	VF_STATE	{"vnic", "state", "previous", "pending", "reason"?, "time_ns"}
 *	VF_STEP		{"vnic", "op": "revoke"|"restore", "step", "ms", "why"?, "time_ns"}
 *	VF_NOT_DRIVEN	{"vnic", "ms", "time_ns"}
 *	PATH_SWITCHED	{"vnic", "path": vf_receive_name(), "previous", "time_ns"}
 *
 * The steps of a revocation: link-down, drained, drain-limit or no-drain, cut, unplug, unplug-again,
 * receive-off, released, unplugged; of a restoration: plug, plugged, connected, driven, held,
 * link-up. Each ends with done or failed.
 */

/**
 * struct vf_conf - Zero means the default
 * @undriven_ms:	30000
 * @retry_ms:		until an unplug that was refused is asked for again: 1000; doubles while
 *			pending
 * @settle_ms:		parking after the guest turned receive off by itself: 500
 */
struct vf_conf {
	const char *id; /* "a/eth0"; copied */
	unsigned int undriven_ms, retry_ms, settle_ms;
};

/* NULL with errno. */
struct vf *vf_new(struct event_base *base, const struct vf_conf *conf, const struct vf_ops *ops,
		  void *arg);
/* An operation under way ends with -ECANCELED. NULL is fine. */
void vf_free(struct vf *vf);
enum vf_state vf_state(const struct vf *vf);
bool vf_is_pending(const struct vf *vf);
/* A revocation or restoration is under way, or QEMU's failover has the VF. */
bool vf_is_busy(const struct vf *vf);
enum vf_receive vf_receive(const struct vf *vf);

/**
 * struct vf_revoke_opts - Zero means the default
 * @drain_ms:	graceful: longest wait for the guest's traffic to leave: 1000
 * @quiet_ms:	graceful: without a packet from the VF for that long it has left: 20
 * @deadline_ms: until the guest must have let go; then the device is cut and the VF is revoked
 *		with removal pending (the operation succeeds, its last step is "cut"): 10000
 * @no_escalate: at the deadline give up instead (-ETIMEDOUT), the VF goes back to what it was;
 *		should the guest let go later all the same, it is revoked then
 */
struct vf_revoke_opts {
	enum vf_way way;
	unsigned int drain_ms, quiet_ms, deadline_ms;
	bool no_escalate;
};

/**
 * struct vf_restore_opts - Zero means the default
 * @link_delay_ms: the VF's link stays down that long after it arrived (race window)
 * @hold_ms:	received traffic stays on the synthetic path that long after the VF is driven, so
 *		that both are visible (race window)
 * @deadline_ms: until the guest must drive it: 30000. A VF that it does not drive stays, offered
 */
struct vf_restore_opts {
	unsigned int link_delay_ms, hold_ms, deadline_ms;
};

/*
 * How an operation ended. @rc: 0; -ETIMEDOUT; -ECANCELED (VM down, vf_free()); -EIO QEMU refused,
 * @why says what ("" with @rc 0). @steps: [{"step", "ms"}] since it began, borrowed. Not called
 * before vf_revoke() or vf_restore() returned 0; not called when they did not. It may begin the
 * next operation or free the vf.
 */
typedef void (*vf_done_fn)(void *arg, int rc, const char *why, json_t *steps);

/*
 * 0; -EALREADY it is in that state; -EBUSY another operation, or QEMU's failover has it; -ENODEV
 * not there to revoke; -EINPROGRESS removal is pending (restore); -errno of the first step. @opts
 * NULL: the defaults; @done may be NULL.
 */
int vf_revoke(struct vf *vf, const struct vf_revoke_opts *opts, vf_done_fn done, void *done_arg);
int vf_restore(struct vf *vf, const struct vf_restore_opts *opts, vf_done_fn done, void *done_arg);

/* ---- what happens ---- */
void vf_on_connected(struct vf *vf);	/* QEMU has opened the device */
void vf_on_disconnected(struct vf *vf); /* it has closed it, or was killed */
void vf_on_driven(struct vf *vf);	/* receive on */
void vf_on_undriven(struct vf *vf);	/* receive off */
void vf_on_released(struct vf *vf);	/* the guest's driver has given the device up */
void vf_on_plugged(struct vf *vf);	/* QMP: device_add returned */
void vf_on_plug_failed(struct vf *vf, const char *why);
void vf_on_unplugged(struct vf *vf);			  /* QMP: DEVICE_DELETED */
void vf_on_unplug_failed(struct vf *vf, const char *why); /* refused, or guest-unplug-error */
void vf_on_synthetic(struct vf *vf, bool driven);	  /* the other path takes packets or not */
void vf_on_vm_down(struct vf *vf);			  /* QEMU is gone */
/*
 * QEMU's failover takes the primary away by itself (event UNPLUG_PRIMARY), without an end to its
 * connection and without DEVICE_DELETED; and it has put it back (migration cancelled or failed).
 */
void vf_on_failover_unplug(struct vf *vf);
void vf_on_failover_replug(struct vf *vf);
/* The guest runs in another QEMU now, which does not have the device: it can be restored there. */
void vf_on_migrated(struct vf *vf);

/*
 * {"state", "pending", "busy", "receive", "since_ms", "operation": "revoke"|"restore"|null,
 *  "not_driven", "revocations", "restorations", "failures",
 *  "last": null or {"operation", "rc", "why", "steps"}}; a new reference.
 */
json_t *vf_json(const struct vf *vf);

#endif
