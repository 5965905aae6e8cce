/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the commands about VFs and links (docs/protocol.md). The rules of a VF are in vf.c. */
#include "host/commands_util.h"

static const struct arg_spec list_args[] = {VM_FILTER_ARG};

static void vf_list(void *arg, struct control_req *req, const json_t *args)
{
	json_t *nics, *nic, *vfs;
	const char *vm;
	size_t i;

	if (!need_list(arg, req, args, &vm))
		return;
	nics = nics_json(arg, vm);
	vfs = json_array();
	json_array_foreach (nics, i, nic) {
		const char *id = json_string_value(json_object_get(nic, "id"));
		const struct run_nic *rn = run_find_nic(((struct daemon *)arg)->run, id);
		json_t *o;

		if (!rn || !vnic_vf(rn->vnic))
			continue;
		o = vf_json(vnic_vf(rn->vnic));
		json_object_set_new(o, "vnic", json_string(id));
		json_object_set(o, "mac", json_object_get(nic, "mac"));
		json_object_set_new(o, "synthetic",
				    vnic_vhost(rn->vnic)
					    ? json_string(vnic_synthetic_driven(rn->vnic)
								  ? "driven"
								  : "undriven")
					    : json_null());
		json_array_append_new(vfs, o);
	}
	json_decref(nics);
	control_return(req, json_pack("{s:o}", "vfs", vfs));
}

/* ---- vf-revoke, vf-restore ---- */

static const struct arg_spec revoke_args[] = {
	VNIC_ARG,
	{.name = "way",
	 .type = ARG_STRING,
	 .values = "graceful|abrupt|surprise",
	 .doc = "drain and unplug (default), unplug, or cut the device and unplug"},
	MS_ARG("drain_ms", "graceful: longest wait for the guest's traffic to leave; default 1000"),
	MS_ARG("quiet_ms", "graceful: silence that counts as having left; default 20"),
	MS_ARG("deadline_ms", "for the guest to let go, then the device is cut; default 10000"),
	{.name = "no_escalate",
	 .type = ARG_BOOL,
	 .doc = "give up at the deadline instead: the guest keeps the VF"},
	{.name = "wait",
	 .type = ARG_BOOL,
	 .doc = "answer at the end (default), else when it has begun"},
};

static const struct arg_spec restore_args[] = {
	VNIC_ARG,
	MS_ARG("link_delay_ms", "the VF's link stays down that long after it arrived"),
	MS_ARG("hold_ms", "packets stay on the other path that long after the guest drives it"),
	MS_ARG("deadline_ms", "for the guest to drive it; default 30000"),
	{.name = "wait",
	 .type = ARG_BOOL,
	 .doc = "answer at the end (default), else when it has begun"},
};

static void on_vf_done(void *arg, int rc, const char *why, json_t *steps)
{
	struct pending *p = arg;
	const struct run_nic *rn;

	if (rc) {
		pending_fail(p, rc, why, steps,
			     strcmp(p->verb, "revoking the VF")
				     ? "the guest has the VF: is mana loaded, the interface set up "
				       "(ip link set NAME up)?"
				     : "without no_escalate the device is cut at the deadline");
		return;
	}
	rn = run_find_nic(p->d->run, p->id);
	control_return(p->req, json_pack("{s:s, s:b, s:O}", "state",
					 rn ? vf_state_name(vf_state(vnic_vf(rn->vnic))) : "absent",
					 "pending", rn && vf_is_pending(vnic_vf(rn->vnic)), "steps",
					 steps));
	free(p);
}

static void fail_vf(struct control_req *req, const struct run_nic *rn, int rc, const char *verb)
{
	const char *id = vnic_id(rn->vnic);
	const struct vf *vf = vnic_vf(rn->vnic);

	switch (rc) {
	case -EALREADY:
		control_fail(req, CTL_INVALID_STATE, NULL, "%s: the VF is %s already", id,
			     vf_state_name(vf_state(vf)));
		break;
	case -EBUSY:
		control_fail(req, CTL_BUSY, "hvlab vf list shows when it is over",
			     "%s: the VF is %s: another operation is under way", id,
			     vf_state_name(vf_state(vf)));
		break;
	case -ENODEV:
		control_fail(req, CTL_INVALID_STATE,
			     "hvlab vf restore plugs it; with a synthetic path it comes when the "
			     "guest's virtio_net asks for it",
			     "%s: the VF is absent: there is nothing to revoke", id);
		break;
	case -EINPROGRESS:
		control_fail(req, CTL_BUSY,
			     "the guest must let the old device go first; it is asked again and "
			     "again",
			     "%s: QEMU still has the VF that was taken away", id);
		break;
	case -ENOTCONN:
		control_fail(req, CTL_INVALID_STATE, "hvlab status says how it is",
			     "%s: %s: the VM does not run", id, verb);
		break;
	default:
		control_fail(req, CTL_SYSTEM_ERROR, NULL, "%s: %s: %s", id, verb, strerror(-rc));
		break;
	}
}

static void vf_revoke_cmd(void *arg, struct control_req *req, const json_t *args)
{
	struct run_nic *rn = need_vf(arg, req, args);
	const char *way = args_str(args, "way", "graceful");
	bool wait = args_bool(args, "wait", true);
	struct vf_revoke_opts opts = {
		.drain_ms = (unsigned int)args_int(args, "drain_ms", 0),
		.quiet_ms = (unsigned int)args_int(args, "quiet_ms", 0),
		.deadline_ms = (unsigned int)args_int(args, "deadline_ms", 0),
		.no_escalate = args_bool(args, "no_escalate", false),
	};
	struct pending *p = NULL;
	int rc;

	if (!rn || !need_at_home(req, rn->rv))
		return;
	while (strcmp(vf_way_name(opts.way), way))
		opts.way++;
	if (wait) {
		p = pending_new(arg, req, vnic_id(rn->vnic), "revoking the VF");
		if (!p)
			return;
	}
	rc = vf_revoke(vnic_vf(rn->vnic), &opts, wait ? on_vf_done : NULL, p);
	if (rc) {
		free(p);
		fail_vf(req, rn, rc, "revoking the VF");
	} else if (!wait) {
		control_return(req, NULL);
	}
}

static void vf_restore_cmd(void *arg, struct control_req *req, const json_t *args)
{
	struct run_nic *rn = need_vf(arg, req, args);
	bool wait = args_bool(args, "wait", true);
	const struct vf_restore_opts opts = {
		.link_delay_ms = (unsigned int)args_int(args, "link_delay_ms", 0),
		.hold_ms = (unsigned int)args_int(args, "hold_ms", 0),
		.deadline_ms = (unsigned int)args_int(args, "deadline_ms", 0),
	};
	struct pending *p = NULL;
	int rc;

	if (!rn || !need_at_home(req, rn->rv))
		return;
	if (!rn->lab->weight) {
		control_fail(req, CTL_INVALID_STATE, "raise it: hvlab nic set VM/NIC --weight 100",
			     "%s: its weight is 0: no VF", vnic_id(rn->vnic));
		return;
	}
	if (wait) {
		p = pending_new(arg, req, vnic_id(rn->vnic), "restoring the VF");
		if (!p)
			return;
	}
	rc = vf_restore(vnic_vf(rn->vnic), &opts, wait ? on_vf_done : NULL, p);
	if (rc) {
		free(p);
		fail_vf(req, rn, rc, "restoring the VF");
	} else if (!wait) {
		control_return(req, NULL);
	}
}

/* ---- link-set ---- */

static const struct arg_spec link_args[] = {
	VNIC_ARG,
	{.name = "up", .type = ARG_BOOL, .required = true, .doc = "false: no carrier"},
	{.name = "path",
	 .type = ARG_STRING,
	 .values = "vf|synthetic",
	 .doc = "only this path's; absent: the vNIC's, both paths and the switch"},
};

static void link_set(void *arg, struct control_req *req, const json_t *args)
{
	const char *path = args_str(args, "path", NULL);
	struct run_nic *rn = need_nic(arg, req, args);
	bool up = args_bool(args, "up", true);
	int rc;

	if (!rn)
		return;
	if (!path)
		rc = run_nic_link(rn, up);
	else
		rc = run_nic_path_link(rn, strcmp(path, "vf") ? PLUG_SYNTHETIC : PLUG_VF, up);
	if (!rc)
		control_return(req, NULL);
	else if (rc == -ENODEV)
		control_fail(req, CTL_INVALID_STATE, "hvlab nic list shows its paths",
			     "%s has no %s path", vnic_id(rn->vnic), path ? path : "such");
	else if (rc == -ENOTCONN)
		control_fail(req, CTL_INVALID_STATE,
			     "the setting is kept and shown when a driver asks",
			     "%s: link: no driver is there to hear it", vnic_id(rn->vnic));
	else
		control_fail(req, CTL_SYSTEM_ERROR, NULL, "%s: link: %s", vnic_id(rn->vnic),
			     strerror(-rc));
}

#define ARGS(a) .specs = (a), .n_specs = ARRAY_SIZE(a)

const struct control_cmd commands_vf[] = {
	{.name = "vf-revoke",
	 .doc = "take a VF away from the guest",
	 .returns = "{state, pending, steps}",
	 .slow = true,
	 ARGS(revoke_args),
	 .fn = vf_revoke_cmd},
	{.name = "vf-restore",
	 .doc = "give it back",
	 .returns = "{state, pending, steps}",
	 .slow = true,
	 ARGS(restore_args),
	 .fn = vf_restore_cmd},
	{.name = "vf-list",
	 .doc = "VFs and how their lives go",
	 .returns = "{vfs}",
	 ARGS(list_args),
	 .fn = vf_list},
	{.name = "link-set",
	 .doc = "link of a vNIC, or of one of its paths, as the guest sees it",
	 .returns = "{}",
	 ARGS(link_args),
	 .fn = link_set},
	{0},
};
