/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the commands about live migration (docs/protocol.md). */
#include "host/commands_util.h"
#include "host/migrate.h"

#define VM_ARG                                                                                     \
	{                                                                                          \
		.name = "vm", .type = ARG_STRING, .required = true, .doc = "its name"              \
	}

static const struct arg_spec migrate_args[] = {
	VM_ARG,
	{.name = "vf",
	 .type = ARG_STRING,
	 .values = "refuse|failover|manager",
	 .doc = "what becomes of VFs: none may be attached (default), QEMU's failover takes them "
		"away, or they are revoked before"},
	MS_ARG("timeout_ms", "until the guest must run on the destination; default 60000"),
	{.name = "wait",
	 .type = ARG_BOOL,
	 .doc = "answer at the end (default), else when it has begun"},
};

static void on_migrated(void *arg, int rc, const char *why, json_t *steps)
{
	struct pending *p = arg;

	if (rc) {
		pending_fail(p, rc, why, steps, "the guest runs on where it was");
		return;
	}
	control_return(p->req, json_pack("{s:O}", "steps", steps));
	free(p);
}

static void migrate_cmd(void *arg, struct control_req *req, const json_t *args)
{
	struct run_vm *rv = need_vm(arg, req, args_str(args, "vm", ""));
	const char *vf = args_str(args, "vf", "refuse");
	enum migrate_vf mode = !strcmp(vf, "failover")	? MIGRATE_VF_FAILOVER
			       : !strcmp(vf, "manager") ? MIGRATE_VF_MANAGER
							: MIGRATE_VF_REFUSE;
	bool wait = args_bool(args, "wait", true);
	struct pending *p = NULL;
	char id[ID_MAX], why[320] = "";
	int rc;

	if (!rv)
		return;
	snprintf(id, sizeof(id), "%s", rv->lab->name);
	if (wait) {
		p = pending_new(arg, req, id, "migrating");
		if (!p)
			return;
	}
	rc = migrate_start(rv, mode, (unsigned int)args_int(args, "timeout_ms", 0),
			   wait ? on_migrated : NULL, p, why, sizeof(why));
	if (!rc && !wait)
		control_return(req, NULL);
	if (!rc)
		return;
	free(p);
	control_fail(req,
		     rc == -EBUSY					? CTL_BUSY
		     : rc == -EPERM || rc == -EINVAL || rc == -ENOTCONN ? CTL_INVALID_STATE
									: CTL_SYSTEM_ERROR,
		     rc == -EPERM    ? "vf: failover or manager takes it away and brings it back"
		     : rc == -EINVAL ? "vf: manager needs no pair"
				     : NULL,
		     "VM %s: %s", id, *why ? why : strerror(-rc));
}

static const struct arg_spec cancel_args[] = {VM_ARG};

static void cancel_cmd(void *arg, struct control_req *req, const json_t *args)
{
	struct run_vm *rv = need_vm(arg, req, args_str(args, "vm", ""));
	int rc = rv ? migrate_cancel(rv) : 0;

	if (!rv)
		return;
	if (!rc)
		control_return(req, NULL);
	else
		control_fail(req, CTL_INVALID_STATE, NULL, "VM %s: %s", rv->lab->name,
			     rc == -ENOENT ? "no migration is under way"
					   : "it is too late to cancel the migration");
}

#define ARGS(a) .specs = (a), .n_specs = ARRAY_SIZE(a)

const struct control_cmd commands_migrate[] = {
	{.name = "vm-migrate",
	 .doc = "migrate a VM to a second QEMU, live",
	 .returns = "{steps}",
	 .slow = true,
	 ARGS(migrate_args),
	 .fn = migrate_cmd},
	{.name = "vm-migrate-cancel",
	 .doc = "cancel that",
	 .returns = "{}",
	 ARGS(cancel_args),
	 .fn = cancel_cmd},
	{0},
};
