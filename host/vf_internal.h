/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a vf consists of, between vf.c (facts and states), vf_op.c (revocation and restoration) and
 * vf_report.c (what is told). Control thread.
 */
#ifndef HVLAB_HOST_VF_INTERNAL_H
#define HVLAB_HOST_VF_INTERNAL_H

#include "host/vf.h"

#define VF_WHY_SIZE  200
#define VF_MAX_STEPS 64 /* kept of one operation; a guest that never lets go makes many */

enum vf_op_kind { VF_OP_NONE, VF_OP_REVOKE, VF_OP_RESTORE };

/**
 * struct vf_op - What was asked for and has not ended
 * @from:	state to go back to when it fails
 * @unplugging:	revoke: the drain is over, removal has been asked for
 * @n_unplugs:	requests so far; more than one when the first was refused
 * @deaf:	revoke: the guest's driver did not hear that the link is down
 * @holding:	restore: driven, but receive has not moved yet
 * @hold_over:	restore: it has been held long enough
 */
struct vf_op {
	enum vf_op_kind kind;
	enum vf_state from;
	union {
		struct vf_revoke_opts revoke;
		struct vf_restore_opts restore;
	};
	vf_done_fn done;
	void *done_arg;
	uint64_t start_ns;
	json_t *steps;
	bool unplugging;
	unsigned int n_unplugs;
	bool deaf, holding, hold_over;
	uint64_t last_tx, last_tx_ns;
};

/**
 * struct vf - One VF
 * @plugged:	QEMU has the device, as far as we know
 * @connected:	its connection is there
 * @driven:	the guest's driver takes packets
 * @held:	the guest has driven it and not let it go since; its failover may cling to it
 * @lost:	its connection ended and nobody wanted it
 * @cut:	it was taken off the network: what the device says of the guest means nothing now
 * @asked:	removal has been asked for and has neither happened nor been refused
 * @failover:	QEMU's failover is taking the primary (DRAINING) or has it (REVOKED)
 * @settling:	receive was turned off a moment ago
 * @alarmed:	VF_NOT_DRIVEN was raised since the VF was offered
 * @link_down:	we hold the link down
 */
struct vf {
	struct event_base *base;
	char *id;
	const struct vf_ops *ops;
	void *arg;
	unsigned int undriven_ms, retry_ms, settle_ms;

	enum vf_state state;
	enum vf_receive receive;
	uint64_t since_ns;
	bool plugged, connected, driven, held, lost, cut, asked;
	bool pending, failover, synthetic, settling, alarmed, link_down;
	unsigned int pending_ms; /* to the next request when one is refused while pending */

	struct vf_op op;
	struct event *tick, *deadline, *link, *hold, *alarm, *settle;

	uint64_t revocations, restorations, failures;
	json_t *last; /* how the last operation ended, or NULL */
};

/* vf.c */
void vf_choose(struct vf *vf);
void vf_set_state(struct vf *vf, enum vf_state s, const char *reason);
/* As the facts say when no operation rules: DRIVEN or OFFERED. */
void vf_set_shown(struct vf *vf, const char *reason);

/*
 * vf_op.c. Those that may end the operation, and with it the vf's life, are to be the last thing
 * of whoever calls them: vf_op_end(), vf_revoke_give_up(), vf_drain_over(), vf_restore_check(),
 * vf_restore_ejected(), vf_restore_failed().
 */
void vf_arm(struct event *ev, unsigned int ms);
void vf_op_end(struct vf *vf, int rc, const char *why); /* @why is "" with @rc 0 */
void vf_revoke_give_up(struct vf *vf, int rc, const char *why);
void vf_drain_over(struct vf *vf);
void vf_drain_lost(struct vf *vf);
void vf_unplug_later(struct vf *vf);
void vf_arrived(struct vf *vf);
void vf_restore_check(struct vf *vf);
void vf_restore_undriven(struct vf *vf);
void vf_restore_ejected(struct vf *vf);
void vf_restore_failed(struct vf *vf, enum vf_state to, const char *why);
void vf_timer_tick(evutil_socket_t fd, short what, void *arg);
void vf_timer_deadline(evutil_socket_t fd, short what, void *arg);
void vf_timer_link(evutil_socket_t fd, short what, void *arg);
void vf_timer_hold(evutil_socket_t fd, short what, void *arg);

/* vf_report.c */
const char *vf_op_name(enum vf_op_kind kind);
/* An event with "vnic" and "time_ns" added; @data is stolen. */
void vf_tell(struct vf *vf, const char *name, json_t *data);
void vf_tell_state(struct vf *vf, enum vf_state prev, const char *reason);
void vf_tell_receive(struct vf *vf, enum vf_receive prev);
void vf_tell_not_driven(struct vf *vf, uint64_t ms);
/* Note a step of the operation under way and tell it; @why may be NULL. */
void vf_step(struct vf *vf, const char *step, const char *why);

#endif
