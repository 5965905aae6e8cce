/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns what a VF tells: names, events, steps, its state as JSON. */
#define LOG_TAG "vf"
#include "host/vf_internal.h"

#include <assert.h>

#include "base/log.h"
#include "base/util.h"

static const char *const state_names[] = {
	[VF_ABSENT] = "absent",	    [VF_OFFERED] = "offered", [VF_DRIVEN] = "driven",
	[VF_DRAINING] = "draining", [VF_REVOKED] = "revoked", [VF_RESTORING] = "restoring",
};
static_assert(ARRAY_SIZE(state_names) == VF_N_STATES, "every state has a name");

static const char *const receive_names[] = {
	[VF_RX_NOBODY] = "none",
	[VF_RX_SYNTHETIC] = "synthetic",
	[VF_RX_VF] = "vf",
	[VF_RX_PARK] = "park",
};
static_assert(ARRAY_SIZE(receive_names) == VF_N_RECEIVE, "every path has a name");

static const char *const way_names[] = {
	[VF_GRACEFUL] = "graceful",
	[VF_ABRUPT] = "abrupt",
	[VF_SURPRISE] = "surprise",
};
static_assert(ARRAY_SIZE(way_names) == VF_N_WAYS, "every way has a name");

const char *vf_state_name(enum vf_state s)
{
	return state_names[s];
}

const char *vf_receive_name(enum vf_receive r)
{
	return receive_names[r];
}

const char *vf_way_name(enum vf_way way)
{
	return way_names[way];
}

const char *vf_op_name(enum vf_op_kind kind)
{
	return kind == VF_OP_REVOKE ? "revoke" : "restore";
}

void vf_tell(struct vf *vf, const char *name, json_t *data)
{
	json_object_set_new(data, "vnic", json_string(vf->id));
	json_object_set_new(data, "time_ns", json_integer((json_int_t)now_ns()));
	vf->ops->event(vf->arg, name, data);
}

void vf_tell_state(struct vf *vf, enum vf_state prev, const char *reason)
{
	json_t *data = json_pack("{s:s, s:s, s:b}", "state", vf_state_name(vf->state), "previous",
				 vf_state_name(prev), "pending", vf->pending);

	if (reason && *reason)
		json_object_set_new(data, "reason", json_string(reason));
	log_info("%s: %s, was %s%s%s%s", vf->id, vf_state_name(vf->state), vf_state_name(prev),
		 vf->pending ? ", removal pending" : "", reason && *reason ? ": " : "",
		 reason ? reason : "");
	vf_tell(vf, "VF_STATE", data);
}

void vf_tell_receive(struct vf *vf, enum vf_receive prev)
{
	vf_tell(vf, "PATH_SWITCHED",
		json_pack("{s:s, s:s}", "path", vf_receive_name(vf->receive), "previous",
			  vf_receive_name(prev)));
}

void vf_tell_not_driven(struct vf *vf, uint64_t ms)
{
	log_warn("%s: the guest has not driven its VF for %llu ms", vf->id, (unsigned long long)ms);
	vf_tell(vf, "VF_NOT_DRIVEN", json_pack("{s:I}", "ms", (json_int_t)ms));
}

void vf_step(struct vf *vf, const char *step, const char *why)
{
	double ms = (double)(now_ns() - vf->op.start_ns) / (double)NSEC_PER_MSEC;
	json_t *data;

	if (!vf->op.kind)
		return;
	if (json_array_size(vf->op.steps) < VF_MAX_STEPS)
		json_array_append_new(vf->op.steps,
				      json_pack("{s:s, s:f}", "step", step, "ms", ms));
	data = json_pack("{s:s, s:s, s:f}", "op", vf_op_name(vf->op.kind), "step", step, "ms", ms);
	if (why && *why)
		json_object_set_new(data, "why", json_string(why));
	vf_tell(vf, "VF_STEP", data);
}

json_t *vf_json(const struct vf *vf)
{
	json_t *o = json_pack("{s:s, s:b, s:b, s:s, s:I, s:b}", "state", vf_state_name(vf->state),
			      "pending", vf->pending, "busy", vf_is_busy(vf), "receive",
			      vf_receive_name(vf->receive), "since_ms",
			      (json_int_t)((now_ns() - vf->since_ns) / NSEC_PER_MSEC), "not_driven",
			      vf->alarmed);

	json_object_set_new(o, "operation",
			    vf->op.kind ? json_string(vf_op_name(vf->op.kind)) : json_null());
	json_object_set_new(o, "revocations", json_integer((json_int_t)vf->revocations));
	json_object_set_new(o, "restorations", json_integer((json_int_t)vf->restorations));
	json_object_set_new(o, "failures", json_integer((json_int_t)vf->failures));
	json_object_set_new(o, "last", vf->last ? json_incref(vf->last) : json_null());
	return o;
}
