/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns what lies between a NIC's paths and QEMU: what the devices and the VF's life say and ask,
 * and what QEMU says of them.
 */
#define LOG_TAG "nic"
#include "host/run_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "host/migrate.h"

#define LINK_MS 10000 /* for QEMU to answer set_link */

void run_path_conf(const struct run_nic *rn, struct vm_nic_conf *out)
{
	const struct runtime *rt = &rn->rv->run->d->rt;
	const struct lab_nic *nic = rn->lab;
	char file[LAB_NIC_NAME_MAX + 8];

	*out = (struct vm_nic_conf){
		.vf = nic->vf && nic->weight,
		.synthetic = nic->synthetic == LAB_SYNTHETIC_VIRTIO,
		.queues = MIN(nic->queues, rn->rv->lab->cpus),
		.mtu = nic->mtu,
	};
	/* Also with a weight of 0: the VF may come later, the standby cannot become one then. */
	out->failover = nic->vf && out->synthetic;
	memcpy(out->mac, nic->mac, sizeof(out->mac));
	snprintf(out->name, sizeof(out->name), "%s", nic->name);
	snprintf(file, sizeof(file), "%s.vfio", nic->name);
	runtime_vm_path(rt, rn->rv->lab->name, file, out->socket);
	snprintf(file, sizeof(file), "%s.vhost", nic->name);
	runtime_vm_path(rt, rn->rv->lab->name, file, out->vhost);
	/* After a migration it is where the QEMU of today found it. */
	if (rn->vnic && vnic_vhost_path(rn->vnic))
		snprintf(out->vhost, sizeof(out->vhost), "%s", vnic_vhost_path(rn->vnic));
}

/* ---- plugging ---- */

static void on_synthetic_plugged(void *arg, int rc, const char *why)
{
	struct run_nic *rn = arg;

	if (!rn->vnic || rc == -ECANCELED)
		return;
	if (!rc) {
		run_nic_note(rn, "synthetic-plugged");
		run_path_show_link(rn);
	} else if (!rn->removing) {
		run_nic_add_failed(rn, rc, why);
		return;
	}
	run_nic_step(rn);
}

static void on_vf_plugged(void *arg, int rc, const char *why)
{
	struct run_nic *rn = arg;
	struct vf *vf = rn->vnic ? vnic_vf(rn->vnic) : NULL;

	if (!rn->vnic || rc == -ECANCELED)
		return;
	if (!rc)
		run_nic_note(rn, "vf-plugged");
	else
		vnic_show_vf(rn->vnic, false);
	if (vf && !rc)
		vf_on_plugged(vf);
	else if (vf)
		vf_on_plug_failed(vf, why);
	if (rn->vnic)
		run_nic_step(rn);
}

int run_path_add(struct run_nic *rn, enum plug_path path)
{
	struct vm_nic_conf conf;

	run_path_conf(rn, &conf);
	return plug_add(rn->rv->plug, rn->slot, path, &conf,
			path == PLUG_VF ? on_vf_plugged : on_synthetic_plugged, rn);
}

/* A path of a NIC that goes altogether. */
static void on_path_gone(struct run_nic *rn, const char *step, int rc, const char *why)
{
	if (!rn->vnic || rc == -ECANCELED)
		return;
	if (rc) {
		/* In a second: step_del() of run_nic.c has seen to it. */
		log_warn("%s: %s; asked again", vnic_id(rn->vnic), why);
		return;
	}
	run_nic_note(rn, step);
	run_nic_step(rn);
}

static void on_vf_gone(void *arg, int rc, const char *why)
{
	on_path_gone(arg, "vf-unplugged", rc, why);
}

static void on_synthetic_gone(void *arg, int rc, const char *why)
{
	on_path_gone(arg, "synthetic-unplugged", rc, why);
}

int run_path_del(struct run_nic *rn, enum plug_path path)
{
	return plug_del(rn->rv->plug, rn->slot, path, 0,
			path == PLUG_VF ? on_vf_gone : on_synthetic_gone, rn);
}

static void on_vf_unplugged(void *arg, int rc, const char *why)
{
	struct run_nic *rn = arg;
	struct vf *vf = rn->vnic ? vnic_vf(rn->vnic) : NULL;

	if (!rn->vnic || rc == -ECANCELED)
		return;
	if (!rc)
		vnic_show_vf(rn->vnic, false);
	if (vf && !rc)
		vf_on_unplugged(vf);
	else if (vf)
		vf_on_unplug_failed(vf, why);
	if (rn->vnic)
		run_nic_step(rn);
}

/* Nobody asked for it, or nobody waits any more. */
static void on_gone(void *arg, unsigned int slot, enum plug_path path)
{
	struct run_vm *rv = arg;
	struct run_nic *rn = &rv->nics[slot];

	if (!rn->vnic)
		return;
	if (path == PLUG_VF)
		on_vf_unplugged(rn, 0, "");
	else
		run_nic_step(rn);
}

static void on_failover_unplug(void *arg, unsigned int slot)
{
	struct run_nic *rn = &((struct run_vm *)arg)->nics[slot];

	if (rn->vnic && vnic_vf(rn->vnic))
		vf_on_failover_unplug(vnic_vf(rn->vnic));
}

static void on_negotiated(void *arg, unsigned int slot)
{
	struct run_nic *rn = &((struct run_vm *)arg)->nics[slot];

	if (!rn->vnic)
		return;
	rn->paired = true;
	log_info("%s: the guest pairs it", vnic_id(rn->vnic));
}

static int send_command(void *arg, const char *command, json_t *args, unsigned int timeout_ms,
			qmp_reply_fn fn, void *fn_arg)
{
	return vm_qmp(((struct run_vm *)arg)->vm, command, args, timeout_ms, fn, fn_arg);
}

const struct plug_ops run_plug_ops = {
	.send = send_command,
	.gone = on_gone,
	.failover_unplug = on_failover_unplug,
	.negotiated = on_negotiated,
};

/* ---- links ---- */

static void on_link_set(void *arg, int rc, json_t *ret, const char *desc)
{
	struct run_nic *rn = arg;

	(void)ret;
	if (rc && rc != -ECANCELED && rc != -ECONNRESET && rn->vnic)
		log_warn("%s: link of the synthetic path: %s", vnic_id(rn->vnic), desc);
}

void run_path_show_link(struct run_nic *rn)
{
	bool up = vnic_path_link(rn->vnic, PLUG_SYNTHETIC);
	char id[16];

	if (!vnic_vhost(rn->vnic) ||
	    plug_state(rn->rv->plug, rn->slot, PLUG_SYNTHETIC) != PLUG_THERE)
		return;
	snprintf(id, sizeof(id), "syn%u", rn->slot);
	/* While there is no monitor: run_nic_on_monitor() shows it. */
	vm_qmp(rn->rv->vm, "set_link", json_pack("{s:s, s:b}", "name", id, "up", up), LINK_MS,
	       on_link_set, rn);
}

int run_nic_link(struct run_nic *rn, bool up)
{
	int rc = vnic_link_set(rn->vnic, up);

	run_path_show_link(rn);
	/* Nobody drives the VF: it is shown when somebody does. The other path shows it now. */
	return rc == -ENOTCONN && vnic_vhost(rn->vnic) ? 0 : rc;
}

int run_nic_path_link(struct run_nic *rn, enum plug_path path, bool up)
{
	int rc;

	if (path == PLUG_VF ? !vnic_mana(rn->vnic) : !vnic_vhost(rn->vnic))
		return -ENODEV;
	rc = vnic_path_link_set(rn->vnic, path, up);
	if (path == PLUG_SYNTHETIC)
		run_path_show_link(rn);
	return rc;
}

/* ---- what vNICs say and ask ---- */

static void on_vnic_state(void *arg, struct vnic *v, enum vnic_state prev)
{
	struct run_nic *rn = arg;

	control_event(rn->rv->run->d->control, "VNIC_STATE",
		      json_pack("{s:s, s:s, s:s}", "vnic", vnic_id(v), "state",
				vnic_state_name(vnic_state(v)), "previous", vnic_state_name(prev)));
	migrate_on_state(rn->rv);
}

static void on_vnic_event(void *arg, struct vnic *v, enum mana_event_type type, const char *text,
			  unsigned int suppressed)
{
	struct run_nic *rn = arg;
	const char *name = type == MANA_EV_DRIVER  ? "VNIC_DRIVER"
			   : type == MANA_EV_RESET ? "VNIC_RESET"
						   : "VNIC_GUEST_ERROR";
	json_t *data = json_pack("{s:s}", "vnic", vnic_id(v)), *str = json_string(text);

	if (!str || *text)
		json_object_set_new(data, "text", str ? str : json_string("(not UTF-8)"));
	if (suppressed)
		json_object_set_new(data, "suppressed", json_integer(suppressed));
	control_event(rn->rv->run->d->control, name, data);
}

static void on_vnic_tell(void *arg, struct vnic *v, const char *name, json_t *data)
{
	struct run_nic *rn = arg;

	(void)v;
	control_event(rn->rv->run->d->control, name, data);
}

static int on_vnic_plug(void *arg, struct vnic *v)
{
	struct run_nic *rn = arg;

	(void)v;
	return vm_pid(rn->rv->vm) ? run_path_add(rn, PLUG_VF) : -ENOTCONN;
}

static int on_vnic_unplug(void *arg, struct vnic *v)
{
	struct run_nic *rn = arg;

	(void)v;
	return plug_del(rn->rv->plug, rn->slot, PLUG_VF, 0, on_vf_unplugged, rn);
}

static void on_vnic_driven(void *arg, struct vnic *v)
{
	struct run_nic *rn = arg;

	/* While it is being made there is nothing to go on with. */
	if (rn->vnic == v)
		run_nic_step(rn);
}

const struct vnic_ops run_vnic_ops = {
	.state = on_vnic_state,
	.event = on_vnic_event,
	.plug = on_vnic_plug,
	.unplug = on_vnic_unplug,
	.tell = on_vnic_tell,
	.driven = on_vnic_driven,
};
