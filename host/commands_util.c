/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns what several commands do: finding what a request names, ending long ones. */
#include "host/commands_util.h"

struct run *need_lab(struct daemon *d, struct control_req *req)
{
	if (d->run && d->run->state != RUN_STOPPING)
		return d->run;
	control_fail(req, CTL_INVALID_STATE, "hvlab up FILE starts one",
		     d->run ? "the lab is going down" : "no lab is up");
	return NULL;
}

struct run_vm *need_vm(struct daemon *d, struct control_req *req, const char *name)
{
	struct run *run = need_lab(d, req);
	struct run_vm *rv = run ? run_find_vm(run, name) : NULL;

	if (run && (!rv || !rv->vm)) {
		control_fail(req, CTL_NOT_FOUND, "hvlab status lists them",
			     "no VM is called '%.40s'", name);
		return NULL;
	}
	return rv;
}

struct run_nic *need_nic(struct daemon *d, struct control_req *req, const json_t *args)
{
	const char *id = args_str(args, "vnic", "");
	struct run *run = need_lab(d, req);
	struct run_nic *rn = run ? run_find_nic(run, id) : NULL;

	if (run && !rn)
		control_fail(req, CTL_NOT_FOUND, "hvlab nic list lists them",
			     "no vNIC is called '%.60s'; a vNIC is named VM/NIC, as in a/eth0", id);
	return rn;
}

struct run_nic *need_vf(struct daemon *d, struct control_req *req, const json_t *args)
{
	struct run_nic *rn = need_nic(d, req, args);

	if (!rn || vnic_vf(rn->vnic))
		return rn;
	if (rn->removing) {
		control_fail(req, CTL_INVALID_STATE, "hvlab nic list shows when it is gone",
			     "%s is being removed", vnic_id(rn->vnic));
		return NULL;
	}
	control_fail(req, CTL_INVALID_STATE, "its lab file or its nic-add says vf: off, for life",
		     "%s has no VF", vnic_id(rn->vnic));
	return NULL;
}

bool need_at_home(struct control_req *req, const struct run_vm *rv)
{
	if (rv->migrate)
		control_fail(req, CTL_BUSY, "hvlab migrate VM --cancel cancels it",
			     "VM %s is migrating: its devices stay as they are", rv->lab->name);
	return !rv->migrate;
}

bool need_list(struct daemon *d, struct control_req *req, const json_t *args, const char **vm)
{
	*vm = args_str(args, "vm", NULL);
	return *vm ? need_vm(d, req, *vm) != NULL : need_lab(d, req) != NULL;
}

/* Whose VM is it, when it is still there? */
static struct run_vm *vm_of(struct daemon *d, const char *id)
{
	char name[LAB_NAME_MAX + 1];

	snprintf(name, sizeof(name), "%.*s", (int)strcspn(id, "/"), id);
	return d->run ? run_find_vm(d->run, name) : NULL;
}

struct pending *pending_new(struct daemon *d, struct control_req *req, const char *id,
			    const char *verb)
{
	struct pending *p = calloc(1, sizeof(*p));

	if (!p) {
		control_fail(req, CTL_SYSTEM_ERROR, NULL, "out of memory");
		return NULL;
	}
	*p = (struct pending){.d = d, .req = req, .verb = verb};
	snprintf(p->id, sizeof(p->id), "%s", id);
	return p;
}

static json_t *steps_extra(json_t *steps)
{
	return json_pack("{s:O}", "steps", steps);
}

/* Ended because something else did: the lab, the VM, the vNIC. */
static void pending_cancelled(struct pending *p, const char *why, json_t *steps)
{
	struct run_vm *rv;
	json_t *extra = steps_extra(steps), *console;

	/* While the lab goes down VMs and vNICs are being freed: do not look at them. */
	if (!p->d->run || p->d->run->state == RUN_STOPPING) {
		control_fail_with(p->req, CTL_CANCELLED, extra, NULL, "%s: %s: the lab went down",
				  p->id, p->verb);
		return;
	}
	rv = vm_of(p->d, p->id);
	/* Its vNICs hear of the end of the process before its state says so. */
	if (rv && rv->vm && (!vm_pid(rv->vm) || vm_state_is_down(vm_state(rv->vm)))) {
		console = run_console_extra(rv);
		json_object_update(extra, console);
		json_decref(console);
		control_fail_with(p->req, CTL_GUEST_DEAD, extra, "hvlab status says how it ended",
				  "%s: %s: VM %s went down", p->id, p->verb, rv->lab->name);
		return;
	}
	control_fail_with(p->req, CTL_CANCELLED, extra, NULL, "%s: %s: %s", p->id, p->verb, why);
}

void pending_fail(struct pending *p, int rc, const char *why, json_t *steps,
		  const char *timeout_hint)
{
	if (rc == -ECANCELED)
		pending_cancelled(p, why, steps);
	else if (rc == -ETIMEDOUT)
		control_fail_with(p->req, CTL_TIMEOUT, steps_extra(steps), timeout_hint,
				  "%s: %s: %s", p->id, p->verb, why);
	else
		control_fail_with(p->req, CTL_GENERIC, steps_extra(steps), NULL, "%s: %s: %s",
				  p->id, p->verb, why);
	free(p);
}

json_t *nics_json(struct daemon *d, const char *vm_name)
{
	json_t *status = report_status(d), *list = json_array(), *vm, *nic;
	size_t v, n;

	json_array_foreach (json_object_get(status, "vms"), v, vm) {
		const char *name = json_string_value(json_object_get(vm, "name"));

		if (vm_name && strcmp(name, vm_name))
			continue;
		json_array_foreach (json_object_get(vm, "vnics"), n, nic) {
			json_object_set_new(nic, "vm", json_string(name));
			json_array_append(list, nic);
		}
	}
	json_decref(status);
	return list;
}
