/* SPDX-License-Identifier: BSD-2-Clause */
/* A VF between fake operations: what it asked for is counted, what it told is kept. */
#ifndef HVLAB_TESTS_UNIT_VF_RIG_H
#define HVLAB_TESTS_UNIT_VF_RIG_H

#include "host/vf.h"

struct rig {
	struct event_base *base;
	struct vf *vf;
	/* what the fakes answer */
	int plug_rc, unplug_rc;
	uint64_t tx;
	unsigned int tx_flows; /* polls during which the guest still sends */
	/* what they saw */
	unsigned int plugs, unplugs, cuts;
	bool link, dead;
	bool deaf; /* its driver does not hear of its link */
	enum vf_receive receive;
	bool awaited;
	json_t *told; /* [{"name", "data"}] */
	/* how operations ended */
	unsigned int begun, ended;
	int rc;
	char why[200];
	json_t *steps;
	void (*then)(struct rig *r); /* called at the end of one, once */
};

/* Short times: undriven 60 ms, retry 20, settle 30. */
void rig_init(struct rig *r);
void rig_fini(struct rig *r);
int rig_revoke(struct rig *r, const struct vf_revoke_opts *opts);
int rig_restore(struct rig *r, const struct vf_restore_opts *opts);
/* Runs the loop until @cond(r), at most WAIT_MS. */
bool rig_run(struct rig *r, bool (*cond)(struct rig *r));
/* Runs it for a time: for claims that something does not happen. */
void rig_run_ms(struct rig *r, unsigned int ms);
/* Events by that name so far. */
unsigned int rig_told(const struct rig *r, const char *name);
/* The last event by that name; NULL: none. Borrowed. */
const json_t *rig_last(const struct rig *r, const char *name);
/* "plug plugged driven done" of the last operation that ended. */
const char *rig_steps(const struct rig *r);
/* No illegal state: what state, operation, receive and link have to do with each other. */
void rig_check(const struct rig *r);

#endif
