/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the start of a lab and its undoing when something fails. */
#define LOG_TAG "lab"
#include "host/run_internal.h"
#include "host/run_uplink.h"
#include "host/run_policy.h"
#include "host/run_fabric.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UP_TIMEOUT 120000
#define FLEET_MACS 16384 /* of a network that others share */

static void fail(struct run *run, enum control_class cls, json_t *extra, const char *hint,
		 const char *fmt, ...) PRINTF_LIKE(5, 6);

/* Note what lab-up will say, and undo all of it. The first failure counts. */
static void fail(struct run *run, enum control_class cls, json_t *extra, const char *hint,
		 const char *fmt, ...)
{
	va_list ap;

	if (run->failed) {
		json_decref(extra);
		return;
	}
	run->failed = true;
	run->fail_class = cls;
	run->fail_extra = extra;
	run->fail_hint = hint;
	va_start(ap, fmt);
	vsnprintf(run->fail_text, sizeof(run->fail_text), fmt, ap);
	va_end(ap);
	run_stop(run);
}

static void up_answer(struct run *run)
{
	json_t *vms = json_array();

	for (unsigned int i = 0; i < run->lab->n_vms; i++)
		json_array_append_new(vms,
				      json_pack("{s:s, s:s}", "name", run->vms[i].lab->name,
						"state", vm_state_name(vm_state(run->vms[i].vm))));
	control_return(run->up_req, json_pack("{s:s, s:o}", "name", run->lab->name, "vms", vms));
	run->up_req = NULL;
	run_event_drop(&run->up_timer);
}

/* The lab did not come up: roll back, or leave it for a look. */
static void up_failed(struct run *run, enum control_class cls, json_t *extra, const char *text)
{
	if (!run->keep_failed) {
		fail(run, cls, extra, "with keep_failed a lab that fails stays up for a look", "%s",
		     text);
		return;
	}
	control_fail_with(run->up_req, cls, extra, "lab-down takes the lab down", "%s", text);
	run->up_req = NULL;
	run_event_drop(&run->up_timer);
	run_poke(run);
}

void run_check_up(struct run *run)
{
	bool running = true, ready = true;
	char text[sizeof(run->fail_text)];

	for (unsigned int i = 0; i < run->lab->n_vms; i++) {
		struct vm *vm = run->vms[i].vm;
		enum vm_state s = vm_state(vm);

		running = running && s != VM_STARTING;
		ready = ready && s == VM_READY;
		if (vm_state_is_down(s) && run->up_req) {
			snprintf(text, sizeof(text), "VM %s %s: %s", run->vms[i].lab->name,
				 vm_state_name(s), vm_reason(vm));
			up_failed(run, CTL_GUEST_DEAD, run_console_extra(&run->vms[i]), text);
			return;
		}
	}
	if (running && run->state == RUN_STARTING) {
		run->state = RUN_RUNNING;
		run_tell_state(run, "running");
	}
	if (run->up_req && (run->up_ready ? ready : running))
		up_answer(run);
}

static void on_up_timeout(evutil_socket_t fd, short what, void *arg)
{
	struct run *run = arg;
	char text[200];

	(void)fd;
	(void)what;
	for (unsigned int i = 0; run->up_req && i < run->lab->n_vms; i++) {
		enum vm_state s = vm_state(run->vms[i].vm);

		if (s == VM_READY || (!run->up_ready && s != VM_STARTING))
			continue;
		snprintf(text, sizeof(text), "VM %s is not ready in time, it is %s",
			 run->vms[i].lab->name, vm_state_name(s));
		up_failed(run, CTL_TIMEOUT, run_console_extra(&run->vms[i]), text);
		return;
	}
}

/* Before any port gets its policy. */
static void set_flows(const struct lab_flows *f)
{
	const struct vsw_flow_conf conf = {.max = f->max,
					   .embryonic_ms = f->embryonic_s * 1000,
					   .established_ms = f->established_s * 1000,
					   .time_wait_ms = f->time_wait_s * 1000,
					   .reset_ms = f->reset_s * 1000,
					   .other_ms = f->other_s * 1000};

	vsw_flow_configure(&conf);
}

static int make_nets(struct run *run)
{
	set_flows(&run->lab->flows);
	for (unsigned int i = 0; i < run->lab->n_nets; i++) {
		struct vsw_net_conf nc = {.name = run->lab->nets[i].name,
					  .mtu = run->lab->nets[i].mtu};

		/* All guests of the other hosts are behind one port, or all of a LAN. */
		if (run->lab->fabric.on || run->lab->nets[i].type == LAB_NET_EXTERNAL) {
			nc.max_macs = FLEET_MACS;
			nc.max_macs_per_port = FLEET_MACS / 2;
		}
		run->nets[i] = vsw_net_add(run->d->vsw, &nc);
		if (!run->nets[i]) {
			fail(run, CTL_SYSTEM_ERROR, NULL, NULL, "network %s: %s", nc.name,
			     strerror(errno));
			return -1;
		}
		vsw_net_rate_set(run->nets[i], run->lab->nets[i].mbps);
	}
	return 0;
}

static int start_uplinks(struct run *run)
{
	char why[400];
	int rc = run_uplinks_start(run, why, sizeof(why));

	if (!rc)
		return 0;
	fail(run,
	     rc == -EBUSY		      ? CTL_BUSY
	     : rc == -ENODEV || rc == -ENOENT ? CTL_NOT_FOUND
					      : CTL_SYSTEM_ERROR,
	     NULL, NULL, "%s", why);
	return -1;
}

static void on_service(void *arg, const char *name, json_t *data)
{
	struct run *run = arg;

	control_event(run->d->control, name, data);
}

/* Guests work without them: what goes wrong here is told, and is no reason to stop. */
static void start_services(struct run *run)
{
	for (unsigned int i = 0; i < run->lab->n_nets; i++) {
		char dir[RUNTIME_PATH_MAX], sub[LAB_NAME_MAX + 8];
		struct netsvc_conf nc = {.dir = dir,
					 .lab = run->lab,
					 .net = i,
					 .base = run->d->base,
					 .port_net = run->nets[i],
					 .worker = daemon_pick_worker(run->d),
					 .event = on_service,
					 .arg = run};

		if (!run->lab->nets[i].dhcp)
			continue;
		snprintf(sub, sizeof(sub), "net/%s", run->lab->nets[i].name);
		runtime_path(&run->d->rt, sub, dir);
		run->services[i] = netsvc_start(&nc);
		if (!run->services[i])
			log_err("network %s: no services: %s", run->lab->nets[i].name,
				strerror(errno));
	}
}

static int make_vm(struct run *run, struct run_vm *rv)
{
	const char *name = rv->lab->name, *base, *what = "memory";
	json_t *image = json_object_get(json_object_get(run->parts, "images"), name);
	struct vm_conf vc = {.kvm = run->kvm,
			     .cpus = rv->lab->cpus,
			     .memory_mb = rv->lab->memory_mb,
			     .hotplug = rv->lab->hotplug,
			     .n_slots = rv->lab->n_nics + rv->lab->spare_nics};
	struct runtime *rt = &run->d->rt;
	int rc = runtime_vm_make(rt, name);

	if (rc) {
		fail(run, CTL_SYSTEM_ERROR, NULL,
		     rc == -ENOSPC ? "free some space there, or choose another --runtime-dir"
				   : NULL,
		     "%s/vm/%s: %s", rt->dir, name, strerror(-rc));
		return -1;
	}
	snprintf(vc.name, sizeof(vc.name), "%s", name);
	runtime_vm_path(rt, name, "console.log", vc.console_log);
	runtime_vm_path(rt, name, "console.sock", vc.console_sock);
	runtime_vm_path(rt, name, "qemu.log", vc.qemu_log);
	rc = run_nic_init(rv);
	for (unsigned int k = 0; !rc && k < rv->lab->n_nics; k++)
		rc = run_nic_make(&rv->nics[k], &rv->lab->nics[k], &what);
	if (rc) {
		fail(run, rc == -EADDRINUSE ? CTL_BUSY : CTL_SYSTEM_ERROR, NULL, NULL,
		     "VM %s: NICs: %s: %s", name, what, strerror(-rc));
		return -1;
	}
	base = json_string_value(json_object_get(image, "cmdline"));
	vc.cmdline = vm_cmdline(run->lab, rv->lab, base ? base : "console=ttyS0");
	if (!vc.cmdline) {
		fail(run, CTL_LAB_INVALID, NULL, "shorten 'append' or use fewer NICs",
		     "VM %s: the kernel command line is longer than %d bytes", name,
		     VM_CMDLINE_MAX - 1);
		return -1;
	}
	vc.qemu = json_incref(json_object_get(run->parts, "qemu"));
	vc.image = json_incref(image);
	rv->vm = vm_new(run->d->base, &vc, &run_vm_ops, rv);
	if (rv->vm)
		return 0;
	fail(run, CTL_SYSTEM_ERROR, NULL, NULL, "VM %s: %s", name, strerror(errno));
	return -1;
}

static void start_vms(struct run *run)
{
	for (unsigned int i = 0; i < run->lab->n_vms; i++) {
		int rc = vm_start(run->vms[i].vm);

		if (rc) {
			fail(run, CTL_SYSTEM_ERROR, NULL,
			     rc == -ENOSPC ? "free some space in the runtime directory" : NULL,
			     "VM %s: QEMU not started: %s", run->vms[i].lab->name, strerror(-rc));
			return;
		}
	}
}

static int start_fabric(struct run *run)
{
	const char *hint = NULL;
	char why[300] = "";
	int rc = run_fabric_start(run, why, sizeof(why), &hint);

	if (!rc)
		return 0;
	fail(run, rc == -EADDRINUSE ? CTL_BUSY : CTL_SYSTEM_ERROR, NULL, hint, "%s", why);
	return -1;
}

/* Before a guest runs. */
static int start_policy(struct run *run)
{
	json_t *extra;
	char why[400];
	int rc = run_policy_start(run, &extra, why, sizeof(why));

	if (rc)
		fail(run, rc == -EINVAL ? CTL_POLICY_INVALID : CTL_SYSTEM_ERROR, extra,
		     "hvlab policy test FILE checks a policy file", "%s", why);
	return rc;
}

static bool load_lab(struct control_req *req, const json_t *args, struct lab **lab)
{
	const char *content = args_str(args, "content", NULL), *path = args_str(args, "path", NULL);
	struct lab_errors errs = {0};
	char text[512] = "the lab file is wrong";
	json_t *extra;
	int rc;

	if (!content == !path) {
		control_fail(req, CTL_INVALID_ARGUMENT, NULL,
			     "exactly one of 'content' and 'path' is needed");
		return false;
	}
	if (content)
		rc = lab_load_text(args_str(args, "file", "lab.yaml"), content, strlen(content),
				   lab, &errs);
	else
		rc = lab_load_file(path, lab, &errs);
	if (rc) {
		if (errs.n)
			lab_error_format(&errs, &errs.list[0], text, sizeof(text));
		extra = json_pack("{s:o}", "errors", lab_errors_to_json(&errs));
		if (errs.n)
			json_object_update(extra,
					   json_array_get(json_object_get(extra, "errors"), 0));
		control_fail_with(req, CTL_LAB_INVALID, extra, "hvlab check FILE checks a lab file",
				  "%s", text);
	}
	lab_errors_free(&errs);
	if (rc || !lab_choose_host(*lab, args_str(args, "host", NULL), text, sizeof(text)))
		return rc == 0;
	control_fail(req, CTL_INVALID_ARGUMENT, NULL, "%s", text);
	lab_free(*lab);
	return false;
}

/* Parts and accelerator, before anything is made. */
static bool check_parts(struct daemon *d, struct control_req *req, const json_t *args,
			const struct lab *lab)
{
	const json_t *parts = json_object_get(args, "parts");
	const json_t *qemu = json_object_get(parts, "qemu");
	const char *hint;
	char why[400];

	if (!json_is_object(qemu)) {
		control_fail(req, CTL_INVALID_ARGUMENT, NULL, "'parts' has no object 'qemu'");
		return false;
	}
	if (!vm_check_qemu(qemu, why, sizeof(why), &hint)) {
		control_fail(req, CTL_PART_MISSING, hint, "%s", why);
		return false;
	}
	for (unsigned int i = 0; i < lab->n_vms; i++) {
		const char *name = lab->vms[i].name;

		if (!vm_check_image(json_object_get(json_object_get(parts, "images"), name), name,
				    why, sizeof(why), &hint)) {
			control_fail(req, CTL_PART_MISSING, hint, "%s", why);
			return false;
		}
	}
	if (!strcmp(args_str(args, "accel", "auto"), "kvm") && !d->kvm.usable) {
		control_fail(req, CTL_PART_MISSING, "use accel auto or tcg",
			     "KVM is not usable: %s", d->kvm.reason);
		return false;
	}
	return true;
}

static struct run *run_new(struct daemon *d, struct lab *lab, const json_t *args)
{
	struct run *run = calloc(1, sizeof(*run));
	const char *msix = args_str(args, "msix", "auto");
	const char *accel = args_str(args, "accel", "auto");
	json_t *qemu;

	if (!run)
		return NULL;
	run->d = d;
	run->lab = lab;
	run->start_ns = now_ns();
	run->parts = json_deep_copy(json_object_get(args, "parts"));
	run->file = strdup(args_str(args, "path", args_str(args, "file", "")));
	run->nets = calloc(lab->n_nets, sizeof(struct vsw_net *));
	run->services = calloc(lab->n_nets, sizeof(struct netsvc *));
	run->vms = calloc(lab->n_vms, sizeof(*run->vms));
	run->up_timer = evtimer_new(d->base, on_up_timeout, run);
	run->policy = policy_set_new(run);
	if (!run->policy || !run->parts || !run->file || !run->nets || !run->services || !run->vms ||
	    !run->up_timer || run_timers_new(run)) {
		run_timers_free(run);
		json_decref(run->parts);
		free(run->file);
		free(run->nets);
		free(run->services);
		free(run->vms);
		policy_set_free(run->policy);
		free(run);
		return NULL;
	}
	qemu = json_object_get(run->parts, "qemu");
	run->qemu_path = json_string_value(json_object_get(qemu, "path"));
	run->qemu_version = json_string_value(json_object_get(qemu, "version"));
	run->kvm = !strcmp(accel, "kvm") || (!strcmp(accel, "auto") && d->kvm.usable);
	run->msix = !strcmp(msix, "native")	  ? VFUSER_MSIX_NATIVE
		    : !strcmp(msix, "masquerade") ? VFUSER_MSIX_MASQUERADE
						  : vm_msix_mode(run->qemu_version);
	for (unsigned int i = 0; i < lab->n_vms; i++)
		run->vms[i] = (struct run_vm){.run = run, .lab = &lab->vms[i]};
	return run;
}

void run_up(struct daemon *d, struct control_req *req, const json_t *args)
{
	struct timeval tv = ms_tv((unsigned int)args_int(args, "timeout_ms", UP_TIMEOUT));
	struct lab *lab = NULL;
	struct run *run;
	bool ok;

	if (d->run || d->quitting) {
		control_fail(req, CTL_INVALID_STATE,
			     d->run ? "hvlab down takes it down; a second lab needs a daemon with "
				      "another --runtime-dir"
				    : NULL,
			     d->run ? "lab %s is up already" : "the daemon is ending%s",
			     d->run ? d->run->lab->name : "");
		return;
	}
	if (!load_lab(req, args, &lab))
		return;
	if (!check_parts(d, req, args, lab)) {
		lab_free(lab);
		return;
	}
	run = run_new(d, lab, args);
	if (!run) {
		lab_free(lab);
		control_fail(req, CTL_SYSTEM_ERROR, NULL, "out of memory");
		return;
	}
	d->run = run;
	run->up_req = req;
	run->up_ready = !strcmp(args_str(args, "wait", "started"), "ready");
	run->keep_failed = args_bool(args, "keep_failed", false);
	evtimer_add(run->up_timer, &tv);
	run_tell_state(run, "starting");
	log_info("%s: %s (%s), MSI-X %s", lab->name, run->kvm ? "KVM" : "TCG", d->kvm.reason,
		 run->msix == VFUSER_MSIX_NATIVE ? "native" : "masquerade");
	ok = make_nets(run) == 0 && start_uplinks(run) == 0;
	for (unsigned int i = 0; ok && i < lab->n_vms; i++)
		ok = make_vm(run, &run->vms[i]) == 0;
	ok = ok && start_policy(run) == 0;
	if (!ok || start_fabric(run))
		return;
	start_services(run);
	start_vms(run);
	/* A host of a fabric need not have VMs. */
	run_poke(run);
}
