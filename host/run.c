/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the lab that is up. */
#define LOG_TAG "lab"
#include "host/run_internal.h"
#include "host/migrate.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/run_capture.h"
#include "host/run_uplink.h"
#include "host/run_fabric.h"
#include "host/vm_exec.h"

#define QUIT_MS	      2000 /* for QEMU to end when asked, before it is killed */
#define POLL_MS	      500  /* between looks at captures and logs */
#define CONSOLE_LINES 30   /* in errors and events */

static const char *const state_names[] = {
	[RUN_STARTING] = "starting",
	[RUN_RUNNING] = "running",
	[RUN_STOPPING] = "stopping",
};

const char *run_state_name(enum run_state s)
{
	return state_names[s];
}

void run_tell_state(struct run *run, const char *state)
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
		for (unsigned int k = 0; k < LAB_VM_NICS; k++)
			if (run->vms[i].nics[k].vnic &&
			    !strcmp(vnic_id(run->vms[i].nics[k].vnic), id))
				return &run->vms[i].nics[k];
	return NULL;
}

/* Look at everything again, from the event loop. */
void run_poke(struct run *run)
{
	if (run->step)
		event_active(run->step, EV_TIMEOUT, 1);
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
	plug_on_guest(rv->plug, now == VM_READY);
	if (prev == VM_STARTING && now == VM_RUNNING)
		run_nic_on_monitor(rv);
	migrate_on_state(rv);
	run_poke(rv->run);
}

static void on_vm_reboot(void *arg, struct vm *vm, bool by_guest)
{
	struct run_vm *rv = arg;

	control_event(rv->run->d->control, "VM_REBOOT",
		      json_pack("{s:s, s:i, s:s}", "vm", rv->lab->name, "boots", (int)vm_boots(vm),
				"by", by_guest ? "guest" : "host"));
	run_poke(rv->run);
}

static void on_agent_silent(void *arg, struct vm *vm, bool silent, unsigned int ms)
{
	struct run_vm *rv = arg;

	(void)vm;
	control_event(rv->run->d->control, silent ? "VM_AGENT_SILENT" : "VM_AGENT_BACK",
		      json_pack("{s:s, s:i}", "vm", rv->lab->name, "silent_ms", (int)ms));
}

void run_record(struct run *run)
{
	struct runtime_proc procs[LAB_MAX_VMS * (1 + MIGRATE_PROCS)];
	size_t n = 0;
	int rc;

	for (unsigned int i = 0; i < run->lab->n_vms; i++) {
		const struct vm *v = run->vms[i].vm;

		if (v && vm_pid(v))
			procs[n++] = (struct runtime_proc){vm_pid(v), vm_pid_start(v),
							   run->vms[i].lab->name};
		n += migrate_processes(&run->vms[i], procs + n);
	}
	rc = runtime_record(&run->d->rt, procs, n);
	if (rc)
		log_warn("%s/qemu.pids: %s: after a crash QEMUs may be left behind%s",
			 run->d->rt.dir, strerror(-rc),
			 rc == -ENOSPC ? "; free some space there" : "");
}

static void on_vm_process(void *arg, struct vm *vm)
{
	struct run_vm *rv = arg;

	if (!vm_pid(vm)) {
		migrate_on_vm_down(rv);
		run_nic_on_vm_down(rv);
	}
	run_record(rv->run);
	run_poke(rv->run);
}

static void on_vm_prepare(void *arg, struct vm *vm, struct vm_conf *conf)
{
	(void)vm;
	run_nic_prepare(arg, conf);
}

static void on_qmp_event(void *arg, struct vm *vm, const char *name, json_t *data)
{
	struct run_vm *rv = arg;

	(void)vm;
	plug_on_event(rv->plug, name, data);
	migrate_on_event(rv, name, data);
}

const struct vm_ops run_vm_ops = {
	.state = on_vm_state,
	.reboot = on_vm_reboot,
	.agent_silent = on_agent_silent,
	.process = on_vm_process,
	.prepare = on_vm_prepare,
	.qmp_event = on_qmp_event,
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
		for (unsigned int k = 0; k < LAB_VM_NICS; k++) {
			struct run_nic *rn = &run->vms[i].nics[k];

			if (rn->vnic)
				run_capture_reap(rn);
		}
	}
}

/* ---- the end ---- */

static void free_parts(struct run *run)
{
	run_fabric_free(run);
	for (unsigned int i = 0; run->vms && i < run->lab->n_vms; i++) {
		struct run_vm *rv = &run->vms[i];

		migrate_free(rv);
		/* The VM first: commands under way to its monitor are answered then. */
		vm_free(rv->vm);
		for (unsigned int k = 0; k < LAB_VM_NICS; k++)
			run_nic_unmake(&rv->nics[k]);
		plug_free(rv->plug);
		if (rv->lab)
			runtime_vm_remove(&run->d->rt, rv->lab->name);
	}
	for (unsigned int i = 0; run->services && i < run->lab->n_nets; i++)
		netsvc_stop(run->services[i]);
	run_uplinks_stop(run);
	for (unsigned int i = 0; run->nets && i < run->lab->n_nets; i++)
		if (run->nets[i] && vsw_net_del(run->nets[i]))
			log_err("network %s is still in use", run->lab->nets[i].name);
	policy_set_free(run->policy);
	free(run->nets);
	free(run->services);
	free(run->vms);
}

void run_event_drop(struct event **ev)
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

	run_timers_free(run);
	free_parts(run);
	d->run = NULL;
	run_tell_state(run, "down");
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
	struct runtime_proc procs[MIGRATE_PROCS];

	for (unsigned int i = 0; run->vms && i < run->lab->n_vms; i++)
		if ((run->vms[i].vm && vm_pid(run->vms[i].vm)) ||
		    migrate_processes(&run->vms[i], procs))
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
void run_stop(struct run *run)
{
	struct timeval tv = ms_tv(QUIT_MS);

	if (run->state == RUN_STOPPING)
		return;
	run->state = RUN_STOPPING;
	run_tell_state(run, "stopping");
	run_cancel_waits(run);
	run_fabric_leave(run);
	vm_exec_cancel_all();
	for (unsigned int i = 0; run->vms && i < run->lab->n_vms; i++)
		migrate_stop(&run->vms[i]);
	for (unsigned int i = 0; run->vms && i < run->lab->n_vms; i++)
		if (run->vms[i].vm && vm_quit(run->vms[i].vm, "the lab went down"))
			vm_kill(run->vms[i].vm, "the lab went down", false);
	evtimer_add(run->kill_timer, &tv);
	run_poke(run);
}

static void on_graceful_over(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	run_stop(arg);
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
		run_stop(run);
		return;
	}
	for (unsigned int i = 0; i < run->lab->n_vms; i++) {
		struct agent *a = vm_agent(run->vms[i].vm);

		if (a)
			agent_tell(a, "guest-shutdown", json_pack("{s:s}", "mode", "powerdown"), 0,
				   NULL, NULL);
	}
	run_event_drop(&run->graceful);
	run->graceful = evtimer_new(run->d->base, on_graceful_over, run);
	if (!run->graceful || evtimer_add(run->graceful, &tv))
		run_stop(run);
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
	run_check_up(run);
	run_check_waits(run);
	for (unsigned int i = 0; i < run->lab->n_vms; i++)
		idle = idle && vm_state_is_down(vm_state(run->vms[i].vm));
	if (run->graceful && idle)
		run_stop(run);
}

int run_timers_new(struct run *run)
{
	struct event_base *base = run->d->base;
	struct timeval poll = ms_tv(POLL_MS);

	run->step = evtimer_new(base, on_step, run);
	run->kill_timer = evtimer_new(base, on_kill_timer, run);
	run->poll = event_new(base, -1, EV_PERSIST, on_poll, run);
	if (!run->step || !run->kill_timer || !run->poll || event_add(run->poll, &poll))
		return -ENOMEM;
	return 0;
}

void run_timers_free(struct run *run)
{
	run_event_drop(&run->step);
	run_event_drop(&run->kill_timer);
	run_event_drop(&run->poll);
	run_event_drop(&run->up_timer);
	run_event_drop(&run->graceful);
}
