/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the NICs of a lab that is up: made, added, changed, removed.
 *
 * Adding and removing are goals of a slot (adding, removing) that run_nic_step() pursues: it looks
 * at what QEMU has, asks for the next thing, and is called again when that has happened, when
 * QEMU's monitor comes up, or when QEMU ends. So a goal survives its deadline, a reboot of the
 * guest and a restart of the VM. Who waits for it is a struct nic_op beside it, and may be
 * answered long before the goal is reached.
 */
#define LOG_TAG "nic"
#include "host/run_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/run_capture.h"
#include "host/lab_rate.h"
#include "host/run_fabric.h"
#include "host/run_nic.h"
#include "host/run_policy.h"

#define ADD_DEADLINE 30000
#define DEL_DEADLINE 10000
#define DEL_NATIVE   30000 /* the guest waits five seconds for each of two devices */
#define AGAIN_MS     1000

enum nic_op_kind { OP_ADD, OP_DEL, OP_SET };

/* Somebody waits. @rc, @why: how it ended, once @now has been fired. */
struct nic_op {
	struct run_nic *rn;
	enum nic_op_kind kind;
	enum run_nic_until until;
	run_nic_done_fn done;
	void *arg;
	uint64_t start_ns;
	json_t *steps;
	struct event *deadline, *now;
	int rc;
	char why[200];
};

static int refuse(char *why, size_t size, int rc, const char *fmt, ...) PRINTF_LIKE(4, 5);

static int refuse(char *why, size_t size, int rc, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, size, fmt, ap);
	va_end(ap);
	return rc;
}

void run_nic_tell(struct run_nic *rn, const char *name, json_t *data)
{
	data = data ? data : json_object();
	json_object_set_new(data, "vnic", json_string(vnic_id(rn->vnic)));
	json_object_set_new(data, "vm", json_string(rn->rv->lab->name));
	json_object_set_new(data, "slot", json_integer(rn->slot));
	json_object_set_new(data, "time_ns", json_integer((json_int_t)now_ns()));
	control_event(rn->rv->run->d->control, name, data);
}

/* ---- who waits ---- */

static void op_free(struct nic_op *op)
{
	if (op->deadline)
		event_free(op->deadline);
	if (op->now)
		event_free(op->now);
	json_decref(op->steps);
	free(op);
}

/* The NIC may be gone, or have another waiter, afterwards. */
static void op_end(struct run_nic *rn, int rc, const char *why)
{
	struct nic_op *op = rn->op;

	if (!op)
		return;
	rn->op = NULL;
	if (op->done)
		op->done(op->arg, rc, why, op->steps, rn->vnic ? rn : NULL);
	op_free(op);
}

/* The same, but not before the function that began it has returned. */
static void op_end_later(struct run_nic *rn, int rc, const char *why)
{
	if (!rn->op)
		return;
	rn->op->rc = rc;
	snprintf(rn->op->why, sizeof(rn->op->why), "%s", why);
	event_active(rn->op->now, EV_TIMEOUT, 1);
}

static void on_now(evutil_socket_t fd, short what, void *arg)
{
	struct nic_op *op = arg;
	char why[sizeof(op->why)];

	(void)fd;
	(void)what;
	snprintf(why, sizeof(why), "%s", op->why);
	op_end(op->rn, op->rc, why);
}

static void on_op_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct nic_op *op = arg;

	(void)fd;
	(void)what;
	op_end(op->rn, -ETIMEDOUT,
	       op->kind == OP_DEL	      ? "the guest has not let it go in time"
	       : op->until == RUN_NIC_PLUGGED ? "QEMU does not have it in time"
					      : "the guest does not drive it in time");
}

static struct nic_op *op_new(struct run_nic *rn, enum nic_op_kind kind, unsigned int deadline_ms,
			     run_nic_done_fn done, void *arg)
{
	struct event_base *base = rn->rv->run->d->base;
	struct timeval tv = ms_tv(deadline_ms);
	struct nic_op *op = calloc(1, sizeof(*op));

	if (!op)
		return NULL;
	*op = (struct nic_op){.rn = rn, .kind = kind, .done = done, .arg = arg};
	op->start_ns = now_ns();
	op->steps = json_array();
	op->now = evtimer_new(base, on_now, op);
	op->deadline = evtimer_new(base, on_op_deadline, op);
	if (!op->steps || !op->now || !op->deadline ||
	    (deadline_ms && evtimer_add(op->deadline, &tv))) {
		op_free(op);
		return NULL;
	}
	rn->op = op;
	return op;
}

void run_nic_note(struct run_nic *rn, const char *step)
{
	struct nic_op *op = rn->op;

	if (op && op->kind != OP_SET)
		json_array_append_new(op->steps,
				      json_pack("{s:s, s:f}", "step", step, "ms",
						(double)(now_ns() - op->start_ns) / NSEC_PER_MSEC));
}

/* A step that is noted when first seen. */
static void note_once(struct run_nic *rn, const char *step)
{
	json_t *o;
	size_t i;

	if (!rn->op)
		return;
	json_array_foreach (rn->op->steps, i, o)
		if (!strcmp(json_string_value(json_object_get(o, "step")), step))
			return;
	run_nic_note(rn, step);
}

/* ---- making ---- */

static void on_again(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	run_nic_step(arg);
}

int run_nic_init(struct run_vm *rv)
{
	rv->plug = plug_new(rv->run->d->base, &run_plug_ops, rv);
	if (!rv->plug)
		return -errno;
	for (unsigned int k = 0; k < LAB_VM_NICS; k++) {
		struct run_nic *rn = &rv->nics[k];

		rn->rv = rv;
		rn->slot = k;
		rn->again = evtimer_new(rv->run->d->base, on_again, rn);
		if (!rn->again)
			return -ENOMEM;
	}
	return 0;
}

int run_nic_make(struct run_nic *rn, const struct lab_nic *nic, const char **what)
{
	struct run *run = rn->rv->run;
	struct vm_nic_conf qemu;
	struct vnic_conf conf = {
		.vm = rn->rv->lab->name,
		.nic = &rn->conf,
		.net = run->nets[nic->net],
		.worker = daemon_pick_worker(run->d),
		.mail = run->d->mail,
		.msix = run->msix,
		.socket = qemu.socket,
		.vhost = qemu.vhost,
		/* As many as the guest could ever use: a NIC's own number may change. */
		.synthetic_queues = MIN(rn->rv->lab->cpus, (uint32_t)VHOST_MAX_QUEUES),
		.base = run->d->base,
		.ops = &run_vnic_ops,
		.arg = rn,
	};

	rn->conf = *nic;
	rn->lab = &rn->conf;
	rn->capturing = 0;
	rn->paired = rn->adding = rn->removing = rn->vf_asked = false;
	run_path_conf(rn, &qemu);
	rn->vnic = vnic_new(&conf, what);
	if (!rn->vnic)
		return -errno;
	run_fabric_announce(run);
	return 0;
}

void run_nic_unmake(struct run_nic *rn)
{
	struct vnic *v = rn->vnic;

	if (rn->again)
		event_free(rn->again);
	rn->again = NULL;
	rn->vnic = NULL;
	if (v)
		run_fabric_announce(rn->rv->run);
	vnic_free(v);
	op_end(rn, -ECANCELED, "the lab is going down");
}

static struct netsvc *service_of(const struct run_nic *rn)
{
	return rn->rv->run->services[rn->lab->net];
}

/* Its address by DHCP and its name in DNS, before the guest sees it. */
static void service_add(struct run_nic *rn)
{
	struct netsvc_host host = {.ip4 = rn->lab->ip4,
				   .ip6 = rn->lab->ip6,
				   .mtu = rn->lab->mtu,
				   .vm = rn->rv->lab->name,
				   .nic = rn->lab->name};
	int rc = 0;

	memcpy(host.mac, rn->lab->mac, sizeof(host.mac));
	if (service_of(rn))
		rc = netsvc_host_add(service_of(rn), &host);
	if (rc)
		log_warn("%s: not known to the network's services: %s", vnic_id(rn->vnic),
			 strerror(-rc));
}

/* The slot is free again. */
static void slot_free(struct run_nic *rn, const char *reason)
{
	struct vnic *v = rn->vnic;
	char why[sizeof(rn->op->why)] = "";
	int rc = 0;

	evtimer_del(rn->again);
	run_capture_end(rn);
	run_nic_tell(rn, "NIC_REMOVED",
		     reason && *reason ? json_pack("{s:s}", "reason", reason) : NULL);
	log_info("%s: removed", vnic_id(v));
	if (service_of(rn))
		netsvc_host_del(service_of(rn), rn->lab->mac);
	lab_nic_del(rn->rv->lab, rn->lab->name);
	rn->vnic = NULL;
	rn->adding = rn->removing = false;
	vnic_free(v);
	run_policy_nic_gone(rn->rv->run);
	if (rn->op && rn->op->kind == OP_ADD) {
		rc = rn->op->rc;
		snprintf(why, sizeof(why), "%s", rn->op->why);
	}
	op_end(rn, rc, why);
}

/* ---- goals ---- */

static bool path_there(const struct run_nic *rn, enum plug_path path)
{
	return plug_state(rn->rv->plug, rn->slot, path) == PLUG_THERE;
}

static bool wants_vf(const struct run_nic *rn)
{
	return rn->lab->vf && rn->lab->weight;
}

static bool wants_synthetic(const struct run_nic *rn)
{
	return rn->lab->synthetic == LAB_SYNTHETIC_VIRTIO;
}

/* Everything plugged is what @adding waits for, and what else is there what the waiter wants. */
static void check_added(struct run_nic *rn)
{
	bool plugged = true, driven = true;

	if (wants_synthetic(rn)) {
		plugged = path_there(rn, PLUG_SYNTHETIC);
		driven = vnic_synthetic_driven(rn->vnic);
		if (driven)
			note_once(rn, "synthetic-driven");
	}
	if (wants_vf(rn)) {
		bool vf = vnic_vf(rn->vnic) && vf_state(vnic_vf(rn->vnic)) == VF_DRIVEN;

		plugged = plugged && path_there(rn, PLUG_VF);
		driven = driven && vf;
		if (vf)
			note_once(rn, "vf-driven");
	}
	if (plugged)
		rn->adding = false;
	if (rn->op && rn->op->kind == OP_ADD && plugged &&
	    (driven || rn->op->until == RUN_NIC_PLUGGED))
		op_end(rn, 0, "");
}

static void on_vf_restored(void *arg, int rc, const char *why, json_t *steps)
{
	struct run_nic *rn = arg;

	(void)steps;
	if (!rn->vnic || rn->removing || rc == -ECANCELED)
		return;
	if (rc == -EIO && rn->adding)
		run_nic_add_failed(rn, rc, why);
	else if (rc == -EIO && rn->op && rn->op->kind == OP_ADD)
		op_end(rn, rc, why);
	else
		run_nic_step(rn);
}

/* The one path goes first, the other follows when QEMU has it and the gap is over. */
static bool may_come(struct run_nic *rn, enum plug_path path)
{
	enum plug_path first = rn->order == RUN_NIC_VF_FIRST ? PLUG_VF : PLUG_SYNTHETIC;
	uint64_t gap = rn->order_gap_ms * NSEC_PER_MSEC, now = now_ns();
	struct timeval tv;

	if (path == first || rn->order == RUN_NIC_TOGETHER || !wants_vf(rn) || !wants_synthetic(rn))
		return true;
	if (!path_there(rn, first))
		return false;
	if (!rn->first_ns)
		rn->first_ns = now;
	if (now - rn->first_ns >= gap)
		return true;
	tv = ms_tv((unsigned int)((gap - (now - rn->first_ns)) / NSEC_PER_MSEC) + 1);
	evtimer_add(rn->again, &tv);
	return false;
}

static void step_add(struct run_nic *rn)
{
	struct plug *plug = rn->rv->plug;
	int rc = 0;

	if (rn->adding && wants_vf(rn) && !rn->vf_asked && may_come(rn, PLUG_VF)) {
		rc = vf_restore(vnic_vf(rn->vnic), NULL, on_vf_restored, rn);
		rn->vf_asked = !rc;
	}
	if (!rc && rn->adding && wants_synthetic(rn) &&
	    plug_state(plug, rn->slot, PLUG_SYNTHETIC) == PLUG_NONE && may_come(rn, PLUG_SYNTHETIC))
		rc = run_path_add(rn, PLUG_SYNTHETIC);
	/* The monitor is not there yet: run_nic_on_monitor(). */
	if (rc && rc != -ENOTCONN)
		run_nic_add_failed(rn, rc, strerror(-rc));
	else
		check_added(rn);
}

void run_nic_add_failed(struct run_nic *rn, int rc, const char *why)
{
	log_err("%s: not added: %s", vnic_id(rn->vnic), why);
	rn->adding = false;
	rn->removing = true;
	if (rn->op) {
		evtimer_del(rn->op->deadline);
		rn->op->rc = rc == -ETIMEDOUT ? rc : -EIO;
		snprintf(rn->op->why, sizeof(rn->op->why), "%s", why);
	}
	vnic_retire(rn->vnic);
	/* From the event loop: the caller may be in the middle of adding it. */
	event_active(rn->again, EV_TIMEOUT, 1);
}

static void step_del(struct run_nic *rn)
{
	static const enum plug_path order[] = {PLUG_VF, PLUG_SYNTHETIC};
	struct timeval tv = ms_tv(AGAIN_MS);
	int rc;

	for (unsigned int i = 0; vm_pid(rn->rv->vm) && i < ARRAY_SIZE(order); i++) {
		switch (plug_state(rn->rv->plug, rn->slot, order[i])) {
		case PLUG_NONE:
			break;
		case PLUG_ADDING: /* what then comes, comes here */
			return;
		case PLUG_THERE:
		case PLUG_REMOVING:
			rc = run_path_del(rn, order[i]);
			if (rc)
				log_debug("%s: %s", vnic_id(rn->vnic), strerror(-rc));
			/* plug.c repeats what is lost; this is for what is refused, not at once. */
			evtimer_add(rn->again, &tv);
			return;
		}
	}
	slot_free(rn, rn->op && rn->op->kind == OP_ADD ? rn->op->why : NULL);
}

void run_nic_step(struct run_nic *rn)
{
	if (!rn->vnic)
		return;
	if (rn->removing)
		step_del(rn);
	else if (rn->adding || (rn->op && rn->op->kind == OP_ADD))
		step_add(rn);
}

/* ---- the VM's life ---- */

void run_nic_prepare(struct run_vm *rv, struct vm_conf *conf)
{
	const json_t *image = conf->image;
	const char *base = json_string_value(json_object_get(image, "cmdline"));
	char *cmdline;

	plug_on_vm_down(rv->plug);
	for (unsigned int k = 0; k < LAB_VM_NICS; k++) {
		struct run_nic *rn = &rv->nics[k];

		memset(&conf->nics[k], 0, sizeof(conf->nics[k]));
		if (!rn->vnic)
			continue;
		run_path_conf(rn, &conf->nics[k]);
		rn->paired = rn->adding = rn->vf_asked = false;
		if (vnic_renew_vf(rn->vnic) || vnic_show_vf(rn->vnic, conf->nics[k].vf))
			log_err("%s: the VF cannot be shown", vnic_id(rn->vnic));
		if (conf->nics[k].synthetic)
			plug_assume(rv->plug, k, PLUG_SYNTHETIC);
		if (conf->nics[k].vf)
			plug_assume(rv->plug, k, PLUG_VF);
	}
	/* NICs have come and gone since the last start; too many of them keep the old words. */
	cmdline = vm_cmdline(rv->run->lab, rv->lab, base ? base : "console=ttyS0");
	if (cmdline) {
		free(conf->cmdline);
		conf->cmdline = cmdline;
	} else {
		log_warn("%s: the kernel command line does not hold all NICs", rv->lab->name);
	}
}

void run_nic_on_monitor(struct run_vm *rv)
{
	for (unsigned int k = 0; k < LAB_VM_NICS; k++) {
		struct run_nic *rn = &rv->nics[k];

		if (rn->vnic && !vnic_path_link(rn->vnic, PLUG_SYNTHETIC))
			run_path_show_link(rn);
		run_nic_step(rn);
	}
}

void run_nic_on_vm_down(struct run_vm *rv)
{
	plug_on_vm_down(rv->plug);
	for (unsigned int k = 0; k < LAB_VM_NICS; k++) {
		struct run_nic *rn = &rv->nics[k];

		if (!rn->vnic)
			continue;
		vnic_on_vm_down(rn->vnic);
		if (rn->removing) {
			slot_free(rn, rn->op && rn->op->kind == OP_ADD ? rn->op->why : NULL);
			continue;
		}
		/* It gets the rest at the next start. */
		rn->adding = rn->vf_asked = false;
		if (rn->op && rn->op->kind == OP_ADD)
			op_end(rn, -ECANCELED, "the VM went down");
	}
}

/* ---- requests ---- */

void run_nic_spec_init(struct run_nic_spec *spec)
{
	*spec = (struct run_nic_spec){.vf = true,
				      .synthetic = LAB_SYNTHETIC_VIRTIO,
				      .queues = LAB_QUEUES_DEFAULT,
				      .link_mbps = LAB_LINK_DEFAULT,
				      .weight = LAB_WEIGHT_MAX,
				      .moderation = LAB_MODERATION_OFF};
	lab_features_init(&spec->features);
}

static bool name_taken(const struct run_vm *rv, const char *name)
{
	for (unsigned int i = 0; i < rv->lab->n_nics; i++)
		if (!strcmp(rv->lab->nics[i].name, name))
			return true;
	return false;
}

static bool slot_is_free(const struct run_vm *rv, unsigned int slot)
{
	return !rv->nics[slot].vnic && plug_state(rv->plug, slot, PLUG_VF) == PLUG_NONE &&
	       plug_state(rv->plug, slot, PLUG_SYNTHETIC) == PLUG_NONE;
}

/* The slot that @name (NULL: any) belongs to, or the lowest that is free; NULL: none. */
static struct run_nic *pick_slot(struct run_vm *rv, const char *name)
{
	unsigned int n = vm_conf(rv->vm)->n_slots;
	char eth[16];

	for (unsigned int i = 0; i < n; i++) {
		snprintf(eth, sizeof(eth), "eth%u", i);
		if (slot_is_free(rv, i) && (name ? !strcmp(name, eth) : !name_taken(rv, eth)))
			return &rv->nics[i];
	}
	for (unsigned int i = 0; name && i < n; i++)
		if (slot_is_free(rv, i))
			return &rv->nics[i];
	return NULL;
}

static int find_net(const struct run *run, const char *name, unsigned int *net, char *why,
		    size_t why_size)
{
	if (!name && run->lab->n_nets > 1)
		return refuse(why, why_size, -EINVAL, "there are %u networks: which one?",
			      run->lab->n_nets);
	for (*net = 0; name && *net < run->lab->n_nets; ++*net)
		if (!strcmp(run->lab->nets[*net].name, name))
			return 0;
	if (!name)
		return 0;
	return refuse(why, why_size, -ENOENT, "there is no network \"%.40s\"", name);
}

/* Does its bandwidth fit its network? @nic: its name; "": it is new. */
static int check_rate(const struct run_vm *rv, const char *nic, unsigned int net,
		      const struct lab_features *f, char *why, size_t why_size)
{
	const char *key, *remedy;
	char what[160];

	remedy = lab_rate_check(rv->run->lab, rv->lab, nic, net, f, &key, what, sizeof(what));
	return remedy ? refuse(why, why_size, -EINVAL, "%s: %s; %s", key, what, remedy) : 0;
}

int run_nic_add(struct run_vm *rv, const struct run_nic_spec *spec, enum run_nic_until until,
		unsigned int deadline_ms, run_nic_done_fn done, void *arg, struct run_nic **out,
		char *why, size_t why_size)
{
	struct run_nic *rn = pick_slot(rv, spec->name);
	struct run *run = rv->run;
	struct lab_nic wish = {.vf = spec->vf,
			       .synthetic = spec->synthetic,
			       .weight = spec->weight,
			       .moderation = spec->moderation,
			       .queues = spec->queues,
			       .link_mbps = spec->link_mbps,
			       .features = spec->features};
	const char *what;
	char policy[320];
	int rc;

	if (run->state == RUN_STOPPING)
		return refuse(why, why_size, -ECANCELED, "the lab is going down");
	rc = find_net(run, spec->network, &wish.net, why, why_size);
	if (rc)
		return rc;
	rc = check_rate(rv, "", wish.net, &spec->features, why, why_size);
	if (rc)
		return rc;
	if (!rn)
		return refuse(why, why_size, -ENOSPC,
			      "VM %s has no slot left for a NIC, it has %u: see spare_nics in the "
			      "lab file",
			      rv->lab->name, vm_conf(rv->vm)->n_slots);
	if (spec->name && strlen(spec->name) > LAB_NIC_NAME_MAX)
		return refuse(why, why_size, -EINVAL, "the name %.32s... is too long", spec->name);
	if (spec->name)
		snprintf(wish.name, sizeof(wish.name), "%s", spec->name);
	else
		snprintf(wish.name, sizeof(wish.name), "eth%u", rn->slot);
	wish.mtu = spec->mtu ? spec->mtu : run->lab->nets[wish.net].mtu;
	rc = lab_nic_add(run->lab, rv->lab, &wish, spec->mac, spec->ip, spec->ip6, why, why_size);
	if (rc)
		return rc;
	rc = run_nic_make(rn, &rv->lab->nics[rv->lab->n_nics - 1], &what);
	if (!rc) {
		what = policy;
		rc = run_policy_nic_added(run, policy, sizeof(policy));
	}
	if (!rc) {
		struct nic_op *op =
			op_new(rn, OP_ADD, deadline_ms ? deadline_ms : ADD_DEADLINE, done, arg);

		what = "memory";
		rc = op ? 0 : -ENOMEM;
		if (op)
			op->until = until;
	}
	if (rc) {
		struct vnic *v = rn->vnic;

		rn->vnic = NULL;
		vnic_free(v);
		lab_nic_del(rv->lab, wish.name);
		return refuse(why, why_size, rc, "%s: %s", what, strerror(-rc));
	}
	log_info("%s: added, slot %u, %s", vnic_id(rn->vnic), rn->slot, rn->lab->mac_text);
	run_nic_tell(rn, "NIC_ADDED",
		     json_pack("{s:s, s:s, s:s}", "name", rn->lab->name, "mac", rn->lab->mac_text,
			       "network", run->lab->nets[wish.net].name));
	service_add(rn);
	/* Hidden until the VF's life shows it, or the VM starts with it. */
	vnic_show_vf(rn->vnic, false);
	*out = rn;
	if (!vm_pid(rv->vm)) {
		op_end_later(rn, 0, "");
		return 0;
	}
	rn->adding = true;
	rn->order = spec->order;
	rn->order_gap_ms = spec->order_gap_ms;
	rn->first_ns = 0;
	event_active(rn->again, EV_TIMEOUT, 1);
	return 0;
}

int run_nic_del(struct run_nic *rn, unsigned int deadline_ms, run_nic_done_fn done, void *arg,
		char *why, size_t why_size)
{
	if (rn->removing && rn->op)
		return refuse(why, why_size, -EALREADY, "%s is being removed", vnic_id(rn->vnic));
	op_end(rn, -ECANCELED, "the NIC is being removed");
	if (!deadline_ms)
		deadline_ms =
			rn->rv->lab->hotplug == LAB_HOTPLUG_NATIVE ? DEL_NATIVE : DEL_DEADLINE;
	if (!op_new(rn, OP_DEL, deadline_ms, done, arg))
		return refuse(why, why_size, -ENOMEM, "out of memory");
	rn->adding = false;
	if (!rn->removing)
		vnic_retire(rn->vnic);
	rn->removing = true;
	event_active(rn->again, EV_TIMEOUT, 1);
	return 0;
}

/* ---- changes ---- */

const struct lab_features *run_nic_features(const struct run_nic *rn)
{
	return &rn->lab->features;
}

/* Also in the lab, where a restart looks. */
static void update_lab(struct run_nic *rn)
{
	for (unsigned int i = 0; i < rn->rv->lab->n_nics; i++)
		if (!strcmp(rn->rv->lab->nics[i].name, rn->lab->name))
			rn->rv->lab->nics[i] = rn->conf;
}

static void on_weight_done(void *arg, int rc, const char *why, json_t *steps)
{
	struct run_nic *rn = arg;

	if (!rn->op || rn->op->kind != OP_SET)
		return;
	json_array_extend(rn->op->steps, steps);
	op_end(rn, rc, why);
}

/* 0: done; 1: under way; -errno. */
static int set_weight(struct run_nic *rn, unsigned int weight)
{
	struct vf *vf = vnic_vf(rn->vnic);
	enum vf_state s = vf_state(vf);
	int rc = 0;

	if (!vm_pid(rn->rv->vm) || !weight == !rn->lab->weight)
		return 0;
	if (vf_is_busy(vf))
		return -EBUSY;
	if (weight) {
		rc = s == VF_ABSENT || s == VF_REVOKED ? vf_restore(vf, NULL, on_weight_done, rn)
						       : -EALREADY;
	} else if (s == VF_ABSENT) {
		/* Nothing to revoke. A primary that QEMU holds back must not come later. */
		vnic_show_vf(rn->vnic, false);
		if (path_there(rn, PLUG_VF))
			run_path_del(rn, PLUG_VF);
	} else {
		rc = vf_revoke(vf, NULL, on_weight_done, rn);
	}
	if (rc == -EALREADY || (!rc && s == VF_ABSENT && !weight))
		return 0;
	return rc ? rc : 1;
}

int run_nic_set(struct run_nic *rn, const struct run_nic_change *c, run_nic_done_fn done, void *arg,
		char *why, size_t why_size)
{
	const unsigned int vf_only =
		RUN_NIC_SET_WEIGHT | RUN_NIC_SET_QUEUES | RUN_NIC_SET_MODERATION;
	int rc = 0;

	if (rn->removing || rn->op)
		return refuse(why, why_size, -EBUSY, "%s is being %s", vnic_id(rn->vnic),
			      rn->removing ? "removed" : "changed");
	if ((c->what & RUN_NIC_SET_WEIGHT && c->weight > LAB_WEIGHT_MAX) ||
	    (c->what & RUN_NIC_SET_QUEUES && (c->queues < 1 || c->queues > LAB_QUEUES_MAX)))
		return refuse(why, why_size, -EINVAL, "weight 0 to %d, queues 1 to %d are possible",
			      LAB_WEIGHT_MAX, LAB_QUEUES_MAX);
	if (c->what & vf_only && !vnic_vf(rn->vnic))
		return refuse(why, why_size, -EINVAL, "%s has no VF", vnic_id(rn->vnic));
	if (c->what & RUN_NIC_SET_FEATURES) {
		rc = check_rate(rn->rv, rn->lab->name, rn->lab->net, &c->features, why, why_size);
		if (rc)
			return rc;
		rc = vnic_features_set(rn->vnic, &c->features);
	}
	if (rc)
		return refuse(why, why_size, rc, "its port's features: %s", strerror(-rc));
	if (c->what & RUN_NIC_SET_FEATURES)
		rn->conf.features = c->features;
	if (!op_new(rn, OP_SET, 0, done, arg))
		return refuse(why, why_size, -ENOMEM, "out of memory");
	if (c->what & RUN_NIC_SET_WEIGHT)
		rc = set_weight(rn, c->weight);
	if (rc < 0) {
		op_free(rn->op);
		rn->op = NULL;
		return refuse(why, why_size, rc, "%s: VF %s: %s", vnic_id(rn->vnic),
			      vf_state_name(vf_state(vnic_vf(rn->vnic))), strerror(-rc));
	}
	if (c->what & RUN_NIC_SET_WEIGHT)
		rn->conf.weight = c->weight;
	if (c->what & RUN_NIC_SET_QUEUES)
		rn->conf.queues = c->queues;
	if (c->what & RUN_NIC_SET_MODERATION)
		rn->conf.moderation = c->moderation;
	if (c->what & RUN_NIC_SET_MODERATION)
		vnic_moderation_set(rn->vnic, c->moderation);
	update_lab(rn);
	if (c->what & RUN_NIC_SET_LINK)
		run_nic_link(rn, c->link);
	run_nic_tell(rn, "NIC_CHANGED",
		     json_pack("{s:i, s:i, s:s, s:b}", "weight", (int)rn->lab->weight, "queues",
			       (int)rn->lab->queues, "moderation",
			       lab_moderation_name(rn->lab->moderation), "link",
			       vnic_link(rn->vnic)));
	if (rc == 0)
		op_end_later(rn, 0, "");
	return 0;
}
