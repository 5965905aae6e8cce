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
 * "Synthetic" stands for the other path, or for nobody when the vNIC has none.
 */
enum vf_state {
	/* QEMU does not have the device: VM down, or the VF is off. Traffic: synthetic. Left by
	 * vf_on_connected(). */
	VF_ABSENT,
	/* QEMU has it, the guest's driver has not turned receive on. Traffic: synthetic. Beyond
	 * vf_conf.undriven_ms it raises VF_NOT_DRIVEN, once. */
	VF_OFFERED,
	/* The guest's driver takes packets. Traffic: VF. */
	VF_DRIVEN,
	/* Being taken away. Received traffic stays on the VF until the guest stops it, is parked
	 * until the guest has let the device go (a net_failover guest throws away what comes on
	 * the standby before that), then goes to the synthetic path. */
	VF_DRAINING,
	/* Taken away on purpose. Traffic: synthetic. With @pending QEMU still has the device: the
	 * guest never let it go and it was cut off. */
	VF_REVOKED,
	/* Plugged again, not driven yet. Traffic: synthetic. */
	VF_RESTORING,
	VF_N_STATES
};
const char *vf_state_name(enum vf_state s);

/* Where received frames go. */
enum vf_receive { VF_RX_NOBODY, VF_RX_SYNTHETIC, VF_RX_VF, VF_RX_PARK };

enum vf_way {
	VF_GRACEFUL, /* link down, wait until the guest's traffic has left, unplug */
	VF_ABRUPT,   /* unplug first */
	VF_SURPRISE, /* the device dies (connection cut), then unplug */
};

struct vf;

/*
 * What the machine asks for; @arg of vf_new(). plug and unplug return 0 when they have begun, and
 * then end in vf_on_plugged() and vf_on_unplugged(), or in the _failed ones; else -errno.
 */
struct vf_ops {
	int (*plug)(void *arg);
	/* May be called again while one is under way: device_del is lost on a guest that boots. */
	int (*unplug)(void *arg);
	void (*cut)(void *arg);			/* close the device's connection under QEMU */
	void (*link)(void *arg, bool up);	/* as the guest sees the VF */
	void (*receive)(void *arg, enum vf_receive where);
	uint64_t (*tx_packets)(void *arg);	/* sent by the guest over the VF, ever */
	/* VF_STATE, VF_STEP, VF_NOT_DRIVEN, VF_RECEIVE ... @data is stolen. */
	void (*event)(void *arg, const char *name, json_t *data);
};

/**
 * struct vf_conf - Zero means the default
 * @undriven_ms:	30000
 * @retry_ms:		between repeated unplug requests: 1000
 */
struct vf_conf {
	const char *id; /* "a/eth0"; copied */
	unsigned int undriven_ms, retry_ms;
};

/* NULL with errno. */
struct vf *vf_new(struct event_base *base, const struct vf_conf *conf, const struct vf_ops *ops,
		  void *arg);
/* Operations under way end with -ECANCELED. NULL is fine. */
void vf_free(struct vf *vf);
enum vf_state vf_state(const struct vf *vf);
bool vf_is_pending(const struct vf *vf);
bool vf_is_busy(const struct vf *vf); /* a revocation or restoration is under way */
enum vf_receive vf_receive(const struct vf *vf);

/**
 * struct vf_revoke_opts - Zero means the default
 * @drain_ms:	graceful: longest wait for the guest's traffic to leave: 1000
 * @quiet_ms:	graceful: without a packet from the VF for that long it has left: 20
 * @deadline_ms: until the guest must have let go; then the device is cut: 10000
 * @no_escalate: at the deadline give up instead (-ETIMEDOUT), the VF goes back to what it was
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
 * @deadline_ms: until the guest must drive it: 30000
 */
struct vf_restore_opts {
	unsigned int link_delay_ms, hold_ms, deadline_ms;
};

/*
 * How an operation ended. @rc: 0; -ETIMEDOUT; -ECANCELED (VM down, vf_free()); -EIO QEMU refused,
 * @why says what. @steps: [{"step", "ms"}] since it began, borrowed. Not called before
 * vf_revoke() or vf_restore() returned.
 */
typedef void (*vf_done_fn)(void *arg, int rc, const char *why, json_t *steps);

/*
 * 0; -EALREADY it is in that state; -EBUSY another operation; -ENODEV not there to revoke;
 * -EINPROGRESS pending removal (restore); -errno of the first step. @done may be NULL.
 */
int vf_revoke(struct vf *vf, const struct vf_revoke_opts *opts, vf_done_fn done, void *done_arg);
int vf_restore(struct vf *vf, const struct vf_restore_opts *opts, vf_done_fn done, void *done_arg);

/* ---- what happens ---- */
void vf_on_connected(struct vf *vf);    /* QEMU has opened the device */
void vf_on_disconnected(struct vf *vf); /* it has closed it, or was killed */
void vf_on_driven(struct vf *vf);	/* receive on */
void vf_on_undriven(struct vf *vf);	/* receive off */
void vf_on_released(struct vf *vf);	/* the guest's driver has given the device up */
void vf_on_plugged(struct vf *vf);	/* QMP: device_add returned */
void vf_on_plug_failed(struct vf *vf, const char *why);
void vf_on_unplugged(struct vf *vf);	/* QMP: DEVICE_DELETED */
void vf_on_unplug_failed(struct vf *vf, const char *why); /* refused, or guest-unplug-error */
void vf_on_synthetic(struct vf *vf, bool driven); /* the other path takes packets or not */
void vf_on_vm_down(struct vf *vf);	/* QEMU is gone */
/* QEMU's failover took the primary away by itself (UNPLUG_PRIMARY), and put it back. */
void vf_on_failover_unplug(struct vf *vf);

/* {"state", "pending", "busy", "receive", "since_ms", "revocations", "restorations"...} */
json_t *vf_json(const struct vf *vf);

#endif
