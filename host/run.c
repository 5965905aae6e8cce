/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the lab that is up. */
#define LOG_TAG "lab"
#include "host/run.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "host/vm_exec.h"

#define QUIT_MS	      2000 /* for QEMU to end when asked, before it is killed */
#define POLL_MS	      500  /* between looks at captures and logs */
#define CONSOLE_LINES 30   /* in errors and events */
#define UP_TIMEOUT    120000

static const char *const state_names[] = {
	[RUN_STARTING] = "starting",
	[RUN_RUNNING] = "running",
	[RUN_STOPPING] = "stopping",
};

const char *run_state_name(enum run_state s)
{
	return state_names[s];
}

static struct timeval ms_tv(unsigned int ms)
{
	return (struct timeval){.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
}

static void tell_state(struct run *run, const char *state)
{
	log_info("%s: %s", run->lab->name, state);
	control_event(run->d->control, "LAB_STATE",
		      json_pack("{s:s, s:s}", "name", run->lab->name, "state", state));
}

json_t *run_console_extra(const struct run_vm *rv)
{
	return json_pack("{s:o}", "console", vm_console_tail(rv->vm, CONSOLE_LINES));
}

struct run_vm *run_find_vm(struct run *run, const char *name)
{
	for (unsigned int i = 0; run && i < run->lab->n_vms; i++)
		if (!strcmp(run->vms[i].lab->name, name))
			return &run->vms[i];
	return NULL;
}

struct run_nic *run_find_nic(struct run *run, const char *id)
{
	for (unsigned int i = 0; run && i < run->lab->n_vms; i++)
		for (unsigned int k = 0; k < run->vms[i].lab->n_nics; k++)
			if (run->vms[i].nics[k].vnic &&
			    !strcmp(vnic_id(run->vms[i].nics[k].vnic), id))
				return &run->vms[i].nics[k];
	return NULL;
}

/* Look at everything again, from the event loop. */
static void poke(struct run *run)
{
	if (run->step)
		event_active(run->step, EV_TIMEOUT, 1);
}

/* ---- waiting requests ---- */

static void wait_drop(struct run *run, struct run_wait *w)
{
	for (struct run_wait **at = &run->waits; *at; at = &(*at)->next) {
		if (*at == w) {
			*at = w->next;
			break;
		}
	}
	if (w->timer)
		event_free(w->timer);
	free(w);
}

static void on_wait_expired(evutil_socket_t fd, short what, void *arg)
{
	struct run_wait *w = arg;

	(void)fd;
	(void)what;
	w->expired(w);
	wait_drop(w->vm->run, w);
}

void run_wait(struct run *run, const struct run_wait *wait, unsigned int timeout_ms)
{
	struct run_wait *w = malloc(sizeof(*w));
	struct timeval tv = ms_tv(timeout_ms);

	if (!w) {
		control_fail(wait->req, CTL_SYSTEM_ERROR, NULL, "out of memory");
		return;
	}
	*w = *wait;
	w->timer = NULL;
	w->next = run->waits;
	run->waits = w;
	if (w->check(w)) {
		wait_drop(run, w);
		return;
	}
	if (timeout_ms) {
		w->timer = evtimer_new(run->d->base, on_wait_expired, w);
		if (!w->timer || evtimer_add(w->timer, &tv)) {
			control_fail(w->req, CTL_SYSTEM_ERROR, NULL, "out of memory");
			wait_drop(run, w);
		}
	}
}

static void check_waits(struct run *run)
{
	struct run_wait *w, *next;

	for (w = run->waits; w; w = next) {
		next = w->next;
		if (w->check(w))
			wait_drop(run, w);
	}
}

static void cancel_waits(struct run *run)
{
	while (run->waits) {
		control_fail(run->waits->req, CTL_CANCELLED, NULL, "the lab is going down");
		wait_drop(run, run->waits);
	}
}

/* ---- what VMs and vNICs report ---- */

static void on_vm_state(void *arg, struct vm *vm, enum vm_state prev)
{
	struct run_vm *rv = arg;
	enum vm_state now = vm_state(vm);
	json_t *data = json_pack("{s:s, s:s, s:s}", "vm", rv->lab->name, "state",
				 vm_state_name(now), "previous", vm_state_name(prev));

	if (vm_state_is_down(now)) {
		json_t *extra = run_console_extra(rv);

		json_object_set_new(data, "reason", json_string(vm_reason(vm)));
		json_object_update(data, extra);
		json_decref(extra);
	}
	control_event(rv->run->d->control, "VM_STATE", data);
	poke(rv->run);
}

static void on_vm_reboot(void *arg, struct vm *vm, bool by_guest)
{
	struct run_vm *rv = arg;

	control_event(rv->run->d->control, "VM_REBOOT",
		      json_pack("{s:s, s:i, s:s}", "vm", rv->lab->name, "boots", (int)vm_boots(vm),
				"by", by_guest ? "guest" : "host"));
	poke(rv->run);
}

static void on_agent_silent(void *arg, struct vm *vm, bool silent, unsigned int ms)
{
	struct run_vm *rv = arg;

	(void)vm;
	control_event(rv->run->d->control, silent ? "VM_AGENT_SILENT" : "VM_AGENT_BACK",
		      json_pack("{s:s, s:i}", "vm", rv->lab->name, "silent_ms", (int)ms));
}

static void on_vm_process(void *arg, struct vm *vm)
{
	struct runtime_proc procs[LAB_MAX_VMS];
	struct run *run = ((struct run_vm *)arg)->run;
	size_t n = 0;
	int rc;

	(void)vm;
	for (unsigned int i = 0; i < run->lab->n_vms; i++) {
		const struct vm *v = run->vms[i].vm;

		if (v && vm_pid(v))
			procs[n++] = (struct runtime_proc){vm_pid(v), vm_pid_start(v),
							   run->vms[i].lab->name};
	}
	rc = runtime_record(&run->d->rt, procs, n);
	if (rc)
		log_warn("%s/qemu.pids: %s: after a crash QEMUs may be left behind%s",
			 run->d->rt.dir, strerror(-rc),
			 rc == -ENOSPC ? "; free some space there" : "");
	poke(run);
}

static const struct vm_ops vm_ops = {
	.state = on_vm_state,
	.reboot = on_vm_reboot,
	.agent_silent = on_agent_silent,
	.process = on_vm_process,
};

static void on_vnic_state(void *arg, struct vnic *v, enum vnic_state prev)
{
	struct run *run = arg;

	control_event(run->d->control, "VNIC_STATE",
		      json_pack("{s:s, s:s, s:s}", "vnic", vnic_id(v), "state",
				vnic_state_name(vnic_state(v)), "previous", vnic_state_name(prev)));
}

static void on_vnic_event(void *arg, struct vnic *v, enum mana_event_type type, const char *text,
			  unsigned int suppressed)
{
	struct run *run = arg;
	const char *name = type == MANA_EV_DRIVER  ? "VNIC_DRIVER"
			   : type == MANA_EV_RESET ? "VNIC_RESET"
						   : "VNIC_GUEST_ERROR";
	json_t *data = json_pack("{s:s}", "vnic", vnic_id(v)), *str = json_string(text);

	if (!str || *text)
		json_object_set_new(data, "text", str ? str : json_string("(not UTF-8)"));
	if (suppressed)
		json_object_set_new(data, "suppressed", json_integer(suppressed));
	control_event(run->d->control, name, data);
}

static const struct vnic_ops vnic_ops = {
	.state = on_vnic_state,
	.event = on_vnic_event,
};

/* Captures end by themselves when their reader goes away; guests print as much as they like. */
static void on_poll(evutil_socket_t fd, short what, void *arg)
{
	struct run *run = arg;

	(void)fd;
	(void)what;
	for (unsigned int i = 0; i < run->lab->n_vms; i++) {
		if (run->vms[i].vm)
			vm_trim_logs(run->vms[i].vm);
		for (unsigned int k = 0; k < run->vms[i].lab->n_nics; k++) {
			struct run_nic *rn = &run->vms[i].nics[k];

			if (!rn->vnic || !rn->capturing || vsw_capture_active(vnic_port(rn->vnic)))
				continue;
			rn->capturing = false;
			vsw_capture_stop(vnic_port(rn->vnic));
			control_event(run->d->control, "CAPTURE_STOPPED",
				      json_pack("{s:s}", "vnic", vnic_id(rn->vnic)));
		}
	}
}

/* ---- the end ---- */

static void free_parts(struct run *run)
{
	for (unsigned int i = 0; run->vms && i < run->lab->n_vms; i++) {
		struct run_vm *rv = &run->vms[i];

		vm_free(rv->vm);
		for (unsigned int k = 0; k < LAB_MAX_NICS; k++)
			vnic_free(rv->nics[k].vnic);
		if (rv->lab)
			runtime_vm_remove(&run->d->rt, rv->lab->name);
	}
	for (unsigned int i = 0; run->nets && i < run->lab->n_nets; i++)
		if (run->nets[i] && vsw_net_del(run->nets[i]))
			log_err("network %s is still in use", run->lab->nets[i].name);
	free(run->nets);
	free(run->vms);
}

static void event_drop(struct event **ev)
{
	if (*ev)
		event_free(*ev);
	*ev = NULL;
}

/* Nothing runs any more. */
static void run_finish(struct run *run)
{
	struct daemon *d = run->d;
	unsigned int n_vms = run->lab->n_vms;

	event_drop(&run->step);
	event_drop(&run->kill_timer);
	event_drop(&run->poll);
	event_drop(&run->up_timer);
	event_drop(&run->graceful);
	free_parts(run);
	d->run = NULL;
	tell_state(run, "down");
	if (run->up_req && run->failed)
		control_fail_with(run->up_req, run->fail_class, run->fail_extra, run->fail_hint,
				  "%s", run->fail_text);
	else if (run->up_req)
		control_fail(run->up_req, CTL_CANCELLED, NULL, "the lab went down");
	for (unsigned int i = 0; i < run->n_down_reqs; i++)
		control_return(run->down_reqs[i], json_pack("{s:i}", "vms", (int)n_vms));
	json_decref(run->parts);
	free(run->file);
	lab_free(run->lab);
	free(run);
	daemon_idle(d);
}

static bool all_ended(const struct run *run)
{
	for (unsigned int i = 0; run->vms && i < run->lab->n_vms; i++)
		if (run->vms[i].vm && vm_pid(run->vms[i].vm))
			return false;
	return true;
}

void run_kill_all(struct run *run)
{
	for (unsigned int i = 0; run->vms && i < run->lab->n_vms; i++)
		if (run->vms[i].vm)
			vm_kill(run->vms[i].vm, "the lab went down", false);
}

static void on_kill_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	run_kill_all(arg);
}

/* Everything down, now. Calling it again changes nothing. */
static void stop(struct run *run)
{
	struct timeval tv = ms_tv(QUIT_MS);

	if (run->state == RUN_STOPPING)
		return;
	run->state = RUN_STOPPING;
	tell_state(run, "stopping");
	cancel_waits(run);
	vm_exec_cancel_all();
	for (unsigned int i = 0; run->vms && i < run->lab->n_vms; i++)
		if (run->vms[i].vm && vm_quit(run->vms[i].vm, "the lab went down"))
			vm_kill(run->vms[i].vm, "the lab went down", false);
	evtimer_add(run->kill_timer, &tv);
	poke(run);
}

static void on_graceful_over(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	stop(arg);
}

void run_down(struct run *run, struct control_req *req, bool graceful, unsigned int graceful_ms)
{
	struct timeval tv = ms_tv(graceful_ms);

	if (req && run->n_down_reqs == ARRAY_SIZE(run->down_reqs)) {
		control_fail(req, CTL_BUSY, NULL, "too many clients wait for the lab to go down");
		return;
	}
	if (req)
		run->down_reqs[run->n_down_reqs++] = req;
	if (!graceful || run->state != RUN_RUNNING) {
		stop(run);
		return;
	}
	for (unsigned int i = 0; i < run->lab->n_vms; i++) {
		struct agent *a = vm_agent(run->vms[i].vm);

		if (a)
			agent_tell(a, "guest-shutdown", json_pack("{s:s}", "mode", "powerdown"), 0,
				   NULL, NULL);
	}
	event_drop(&run->graceful);
	run->graceful = evtimer_new(run->d->base, on_graceful_over, run);
	if (!run->graceful || evtimer_add(run->graceful, &tv))
		stop(run);
}

/* ---- the start ---- */

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
	stop(run);
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
	event_drop(&run->up_timer);
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
	event_drop(&run->up_timer);
	poke(run);
}

static void check_up(struct run *run)
{
	bool running = true, ready = true;
	char text[320];

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
		tell_state(run, "running");
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

static void on_step(evutil_socket_t fd, short what, void *arg)
{
	struct run *run = arg;
	bool idle = true;

	(void)fd;
	(void)what;
	if (run->state == RUN_STOPPING) {
		if (all_ended(run))
			run_finish(run);
		return;
	}
	check_up(run);
	check_waits(run);
	for (unsigned int i = 0; i < run->lab->n_vms; i++)
		idle = idle && vm_state_is_down(vm_state(run->vms[i].vm));
	if (run->graceful && idle)
		stop(run);
}

static int make_nets(struct run *run)
{
	for (unsigned int i = 0; i < run->lab->n_nets; i++) {
		struct vsw_net_conf nc = {.name = run->lab->nets[i].name,
					  .mtu = run->lab->nets[i].mtu};

		run->nets[i] = vsw_net_add(run->d->vsw, &nc);
		if (!run->nets[i]) {
			fail(run, CTL_SYSTEM_ERROR, NULL, NULL, "network %s: %s", nc.name,
			     strerror(errno));
			return -1;
		}
	}
	return 0;
}

static int make_nic(struct run *run, struct run_vm *rv, unsigned int k, struct vm_conf *vc)
{
	const struct lab_nic *nic = &rv->lab->nics[k];
	char file[LAB_NIC_NAME_MAX + 8];
	const char *what;
	struct vnic_conf conf = {
		.vm = rv->lab->name,
		.nic = nic,
		.net = run->nets[nic->net],
		.worker = daemon_pick_worker(run->d),
		.mail = run->d->mail,
		.msix = run->msix,
		.socket = vc->nics[k].socket,
		.ops = &vnic_ops,
		.arg = run,
	};

	snprintf(file, sizeof(file), "%s.vfio", nic->name);
	snprintf(vc->nics[k].name, sizeof(vc->nics[k].name), "%s", nic->name);
	runtime_vm_path(&run->d->rt, rv->lab->name, file, vc->nics[k].socket);
	rv->nics[k].lab = nic;
	rv->nics[k].vnic = vnic_new(&conf, &what);
	if (rv->nics[k].vnic)
		return 0;
	fail(run, errno == EADDRINUSE ? CTL_BUSY : CTL_SYSTEM_ERROR, NULL, NULL,
	     "vNIC %s/%s: %s: %s", rv->lab->name, nic->name, what, strerror(errno));
	return -1;
}

static int make_vm(struct run *run, struct run_vm *rv)
{
	const char *name = rv->lab->name, *base;
	json_t *image = json_object_get(json_object_get(run->parts, "images"), name);
	struct vm_conf vc = {.kvm = run->kvm,
			     .cpus = rv->lab->cpus,
			     .memory_mb = rv->lab->memory_mb,
			     .n_nics = rv->lab->n_nics};
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
	for (unsigned int k = 0; k < rv->lab->n_nics; k++)
		if (make_nic(run, rv, k, &vc))
			return -1;
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
	rv->vm = vm_new(run->d->base, &vc, &vm_ops, rv);
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
	return rc == 0;
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
	struct timeval poll = ms_tv(POLL_MS);
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
	run->vms = calloc(lab->n_vms, sizeof(*run->vms));
	run->step = evtimer_new(d->base, on_step, run);
	run->kill_timer = evtimer_new(d->base, on_kill_timer, run);
	run->up_timer = evtimer_new(d->base, on_up_timeout, run);
	run->poll = event_new(d->base, -1, EV_PERSIST, on_poll, run);
	if (!run->parts || !run->file || !run->nets || !run->vms || !run->step ||
	    !run->kill_timer || !run->up_timer || !run->poll || event_add(run->poll, &poll)) {
		event_drop(&run->step);
		event_drop(&run->kill_timer);
		event_drop(&run->up_timer);
		event_drop(&run->poll);
		json_decref(run->parts);
		free(run->file);
		free(run->nets);
		free(run->vms);
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
	tell_state(run, "starting");
	log_info("%s: %s (%s), MSI-X %s", lab->name, run->kvm ? "KVM" : "TCG", d->kvm.reason,
		 run->msix == VFUSER_MSIX_NATIVE ? "native" : "masquerade");
	ok = make_nets(run) == 0;
	for (unsigned int i = 0; ok && i < lab->n_vms; i++)
		ok = make_vm(run, &run->vms[i]) == 0;
	if (ok)
		start_vms(run);
}
