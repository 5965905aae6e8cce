/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns live migrations.
 *
 * The order of things. VFs go first (revoked by us, or by QEMU's failover once the migration runs).
 * Each vNIC gets a twin of its synthetic device, the destination's QEMU is started on the twins and
 * waits. When both sides say "completed" the guest stands still on both; "cont" on the
 * destination lets it run, frames parked meanwhile go to the twin that its driver drives. Then the
 * destination is the VM, the source is asked to end, and when it has ended the twins take the place
 * of the first devices and the VFs are restored. It is over when the guest's agent is heard through
 * the destination too, if it was heard before: whoever waited can go on at once.
 *
 * Until "cont" has been answered everything can be undone: the destination is killed, the twins go,
 * the source runs on (or is told to), the VFs come back.
 */
#define LOG_TAG "migrate"
#include "host/migrate.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/run_internal.h"

#define QMP_MS	   10000
#define QUIT_MS	   3000 /* for the source to end when asked */
#define TIMEOUT_MS 60000
#define READY_MS   60000 /* for the guest's agent to be heard again */

enum phase {
	M_REVOKING,  /* we take the VFs away */
	M_STARTING,  /* the destination's QEMU comes up */
	M_RUNNING,   /* the state is on its way */
	M_SWITCHING, /* "cont" was sent */
	M_LEAVING,   /* the guest runs there, the source ends */
	M_RESTORING, /* VFs come back, and the agent's voice */
	M_UNDOING,   /* the destination ends, then VFs come back */
	M_OVER,
};

struct migrate {
	struct run_vm *rv;
	enum migrate_vf mode;
	enum phase phase;
	struct vm *dest, *old; /* until it is the VM; what was the VM before */
	char uri[RUNTIME_PATH_MAX + 8];
	bool had_vf[LAB_VM_NICS];
	unsigned int n_vfs; /* operations under way */
	bool sending;	    /* "migrate" was sent, and the source has not told its end */
	bool src_completed, dest_completed;
	bool want_ready; /* its agent was heard, and will be again */
	migrate_done_fn done;
	void *arg;
	uint64_t start_ns;
	json_t *steps;
	struct event *deadline, *step, *quit;
	int rc;
	char why[VM_REASON_SIZE + 32];
};

static void step(struct migrate *m, const char *name)
{
	double ms = (double)(now_ns() - m->start_ns) / (double)NSEC_PER_MSEC;

	log_info("%s: %s", m->rv->lab->name, name);
	json_array_append_new(m->steps, json_pack("{s:s, s:f}", "step", name, "ms", ms));
	control_event(m->rv->run->d->control, "MIGRATION",
		      json_pack("{s:s, s:s, s:f, s:I}", "vm", m->rv->lab->name, "step", name, "ms",
				ms, "time_ns", (json_int_t)now_ns()));
}

static void note_failure(struct migrate *m, int rc, const char *why)
{
	if (m->rc)
		return;
	m->rc = rc;
	snprintf(m->why, sizeof(m->why), "%s", why);
}

static void poke(struct migrate *m)
{
	event_active(m->step, EV_TIMEOUT, 1);
}

/* ---- VFs ---- */

static struct vf *vf_of(struct run_nic *rn)
{
	return rn->vnic ? vnic_vf(rn->vnic) : NULL;
}

static void on_revoked(void *arg, int rc, const char *why, json_t *steps)
{
	struct migrate *m = arg;

	(void)steps;
	m->n_vfs--;
	if (rc)
		note_failure(m, rc == -ECANCELED ? rc : -EIO, why);
	poke(m);
}

static void on_restored(void *arg, int rc, const char *why, json_t *steps)
{
	struct migrate *m = arg;

	(void)steps;
	m->n_vfs--;
	if (rc && !m->rc)
		note_failure(m, rc == -ECANCELED ? rc : -ENOENT, why);
	poke(m);
}

static void restore_vfs(struct migrate *m)
{
	for (unsigned int k = 0; k < LAB_VM_NICS; k++) {
		struct run_nic *rn = &m->rv->nics[k];
		struct vf *vf = m->had_vf[k] ? vf_of(rn) : NULL;
		int rc;

		if (!vf || rn->removing || !rn->lab->weight)
			continue;
		rc = vf_restore(vf, NULL, on_restored, m);
		if (!rc)
			m->n_vfs++;
		else if (rc != -EALREADY)
			note_failure(m, -ENOENT, strerror(-rc));
	}
}

/* ---- undoing ---- */

static void on_src_cont(void *arg, int rc, json_t *ret, const char *desc)
{
	const struct run_vm *rv = arg;

	(void)ret;
	if (rc && rc != -ECANCELED && rc != -ECONNRESET)
		log_err("%s: the source does not run on: %s", rv->lab->name, desc);
}

/* A source that has sent everything stands still until it is told. */
static void src_goes_on(struct migrate *m)
{
	vm_qmp(m->rv->vm, "cont", NULL, QMP_MS, on_src_cont, m->rv);
}

static void undo(struct migrate *m, int rc, const char *why)
{
	struct timeval tv = ms_tv(QMP_MS);

	note_failure(m, rc, why);
	if (m->phase >= M_LEAVING)
		return;
	step(m, "undo");
	m->phase = M_UNDOING;
	evtimer_add(m->deadline, &tv);
	if (m->sending)
		vm_qmp(m->rv->vm, "migrate_cancel", NULL, QMP_MS, NULL, NULL);
	if (m->src_completed)
		src_goes_on(m);
	if (m->dest)
		vm_kill(m->dest, "the migration was undone", false);
	poke(m);
}

/* The destination has ended, and the source migrates no more: devices may come and go again. */
static void undone(struct migrate *m)
{
	struct run_vm *rv = m->rv;

	evtimer_del(m->deadline);
	vm_free(m->dest);
	m->dest = NULL;
	for (unsigned int k = 0; k < LAB_VM_NICS; k++)
		if (rv->nics[k].vnic)
			vnic_twin_drop(rv->nics[k].vnic);
	for (unsigned int k = 0; m->mode == MIGRATE_VF_FAILOVER && k < LAB_VM_NICS; k++)
		if (m->had_vf[k] && vf_of(&rv->nics[k]))
			vf_on_failover_replug(vf_of(&rv->nics[k]));
	m->phase = M_RESTORING;
	if (m->mode == MIGRATE_VF_MANAGER && vm_pid(rv->vm))
		restore_vfs(m);
	poke(m);
}

/* ---- the conversation ---- */

static void on_cont(void *arg, int rc, json_t *ret, const char *desc);

static void check_completed(struct migrate *m)
{
	if (m->phase != M_RUNNING || !m->src_completed || !m->dest_completed)
		return;
	m->phase = M_SWITCHING;
	if (vm_qmp(m->dest, "cont", NULL, QMP_MS, on_cont, m))
		undo(m, -EIO, "the destination's QEMU has ended");
}

static void on_sent(void *arg, int rc, json_t *ret, const char *desc)
{
	struct migrate *m = arg;

	(void)ret;
	if (!rc)
		return;
	m->sending = false;
	if (m->phase == M_RUNNING)
		undo(m, -EIO, desc);
	else
		poke(m);
}

static void on_incoming(void *arg, int rc, json_t *ret, const char *desc)
{
	struct migrate *m = arg;

	(void)ret;
	if (m->phase != M_STARTING)
		return;
	m->phase = M_RUNNING;
	if (rc) {
		undo(m, -EIO, desc);
		return;
	}
	step(m, "destination-ready");
	m->sending = true;
	if (vm_qmp(m->rv->vm, "migrate", json_pack("{s:s}", "uri", m->uri), QMP_MS, on_sent, m))
		undo(m, -EIO, "QEMU has ended");
}

/* MIGRATION events are a capability. */
static int want_events(struct vm *vm)
{
	return vm_qmp(
		vm, "migrate-set-capabilities",
		json_pack("{s:[{s:s, s:b}]}", "capabilities", "capability", "events", "state", 1),
		QMP_MS, NULL, NULL);
}

static void dest_up(struct migrate *m)
{
	if (want_events(m->dest) || want_events(m->rv->vm) ||
	    vm_qmp(m->dest, "migrate-incoming",
		   json_pack("{s:s, s:b}", "uri", m->uri, "exit-on-error", 0), QMP_MS, on_incoming,
		   m))
		undo(m, -EIO, "QEMU has ended");
}

void migrate_on_event(struct run_vm *rv, const char *name, json_t *data)
{
	const char *status = json_string_value(json_object_get(data, "status"));
	struct migrate *m = rv->migrate;

	if (!m || strcmp(name, "MIGRATION") || !status)
		return;
	if (m->phase == M_RUNNING)
		step(m, status);
	if (!strcmp(status, "completed")) {
		m->src_completed = true;
		if (m->phase == M_UNDOING) /* the cancellation came too late for it */
			src_goes_on(m);
		check_completed(m);
	} else if (!strcmp(status, "failed")) {
		undo(m, -EIO, "the migration failed: hvlab log VM --qemu says why");
	} else if (!strcmp(status, "cancelled")) {
		undo(m, -ECANCELED, "it was cancelled");
	} else {
		return;
	}
	m->sending = false;
	poke(m);
}

/* ---- the destination ---- */

static void on_dest_state(void *arg, struct vm *vm, enum vm_state prev)
{
	struct migrate *m = arg;
	char why[sizeof(m->why)];

	(void)prev;
	if (vm_state(vm) == VM_RUNNING && m->phase == M_STARTING) {
		dest_up(m);
	} else if (vm_state_is_down(vm_state(vm)) && m->phase < M_LEAVING) {
		snprintf(why, sizeof(why), "the destination's QEMU: %s", vm_reason(vm));
		undo(m, -EIO, why);
	}
}

static void on_dest_reboot(void *arg, struct vm *vm, bool by_guest)
{
	(void)arg;
	(void)vm;
	(void)by_guest;
}

static void on_dest_silent(void *arg, struct vm *vm, bool silent, unsigned int ms)
{
	(void)arg;
	(void)vm;
	(void)silent;
	(void)ms;
}

static void on_dest_process(void *arg, struct vm *vm)
{
	struct run *run = ((struct migrate *)arg)->rv->run;

	(void)vm;
	poke(arg);
	run_record(run);
	run_poke(run);
}

static void on_dest_prepare(void *arg, struct vm *vm, struct vm_conf *conf)
{
	struct migrate *m = arg;

	(void)vm;
	for (unsigned int k = 0; k < LAB_VM_NICS; k++) {
		struct run_nic *rn = &m->rv->nics[k];

		memset(&conf->nics[k], 0, sizeof(conf->nics[k]));
		if (!rn->vnic)
			continue;
		run_path_conf(rn, &conf->nics[k]);
		conf->nics[k].vf = false; /* it comes when the guest is there */
		if (vnic_twin_path(rn->vnic))
			snprintf(conf->nics[k].vhost, sizeof(conf->nics[k].vhost), "%s",
				 vnic_twin_path(rn->vnic));
	}
}

static void on_dest_event(void *arg, struct vm *vm, const char *name, json_t *data)
{
	const char *status = json_string_value(json_object_get(data, "status"));
	struct migrate *m = arg;

	if (vm != m->dest || strcmp(name, "MIGRATION") || !status)
		return;
	if (!strcmp(status, "completed")) {
		m->dest_completed = true;
		check_completed(m);
	} else if (!strcmp(status, "failed")) {
		undo(m, -EIO, "the destination's QEMU could not take the guest over");
	}
}

/* Of the destination before it is the VM, and of the source after that. */
static const struct vm_ops side_ops = {
	.state = on_dest_state,
	.reboot = on_dest_reboot,
	.agent_silent = on_dest_silent,
	.process = on_dest_process,
	.prepare = on_dest_prepare,
	.qmp_event = on_dest_event,
};

/* Files of the two sides take turns. */
static void other_path(const char *path, char out[RUNTIME_PATH_MAX])
{
	size_t len = strlen(path);

	if (len && path[len - 1] == '2')
		snprintf(out, RUNTIME_PATH_MAX, "%.*s", (int)len - 1, path);
	else
		snprintf(out, RUNTIME_PATH_MAX, "%s2", path);
}

static int start_dest(struct migrate *m)
{
	const struct vm_conf *from = vm_conf(m->rv->vm);
	struct vm_conf conf = *from;
	char path[RUNTIME_PATH_MAX];
	int rc;

	for (unsigned int k = 0; k < LAB_VM_NICS; k++) {
		struct vnic *v = m->rv->nics[k].vnic;

		if (!v || !vnic_vhost_path(v))
			continue;
		other_path(vnic_vhost_path(v), path);
		rc = vnic_twin_make(v, path);
		if (rc)
			return rc;
	}
	json_incref(conf.qemu);
	json_incref(conf.image);
	conf.cmdline = strdup(from->cmdline);
	conf.incoming = true;
	other_path(from->console_sock, conf.console_sock);
	other_path(from->qemu_log, conf.qemu_log);
	m->dest = vm_new(m->rv->run->d->base, &conf, &side_ops, m);
	if (!m->dest)
		return -errno;
	m->phase = M_STARTING;
	step(m, "start-destination");
	return vm_start(m->dest);
}

/* ---- the switch ---- */

static void on_cont(void *arg, int rc, json_t *ret, const char *desc)
{
	struct migrate *m = arg;
	struct run_vm *rv = m->rv;
	struct timeval tv = ms_tv(QUIT_MS);

	(void)ret;
	if (m->phase != M_SWITCHING)
		return;
	if (rc) {
		undo(m, -EIO, desc);
		return;
	}
	step(m, "runs-on-destination");
	m->phase = M_LEAVING;
	evtimer_del(m->deadline);
	m->old = rv->vm;
	m->want_ready = vm_state(m->old) == VM_READY;
	rv->vm = m->dest;
	m->dest = NULL;
	vm_set_ops(m->old, &side_ops, m);
	vm_adopt(rv->vm, m->old, &run_vm_ops, rv);
	/* What is known of devices is the destination's now. */
	plug_on_vm_down(rv->plug);
	for (unsigned int k = 0; k < LAB_VM_NICS; k++)
		if (rv->nics[k].vnic && vnic_vhost(rv->nics[k].vnic))
			plug_assume(rv->plug, k, PLUG_SYNTHETIC);
	run_vm_ops.process(rv, rv->vm);
	if (vm_quit(m->old, "the guest has migrated"))
		vm_kill(m->old, "the guest has migrated", false);
	evtimer_add(m->quit, &tv);
	run_poke(rv->run);
}

static void on_quit(evutil_socket_t fd, short what, void *arg)
{
	struct migrate *m = arg;

	(void)fd;
	(void)what;
	if (m->old)
		vm_kill(m->old, "the guest has migrated", false);
}

/*
 * A process that has ended may still hold a device, as its server sees it: one that connects then
 * is refused as the second.
 */
static bool holds_a_vf(const struct migrate *m)
{
	const struct run_nic *nics = m->rv->nics;
	bool any = false;

	for (unsigned int k = 0; k < LAB_VM_NICS; k++)
		any = any ||
		      (m->had_vf[k] && nics[k].vnic && vnic_state(nics[k].vnic) != VNIC_ABSENT);
	return any;
}

/* The source has ended. */
static void left(struct migrate *m)
{
	struct timeval tv = ms_tv(READY_MS);
	struct run_vm *rv = m->rv;

	evtimer_del(m->quit);
	vm_free(m->old);
	m->old = NULL;
	step(m, "source-ended");
	for (unsigned int k = 0; k < LAB_VM_NICS; k++) {
		struct run_nic *rn = &rv->nics[k];

		if (!rn->vnic)
			continue;
		vnic_twin_adopt(rn->vnic);
		if (m->had_vf[k] && vf_of(rn))
			vf_on_migrated(vf_of(rn));
	}
	m->phase = M_RESTORING;
	restore_vfs(m);
	evtimer_add(m->deadline, &tv);
	poke(m);
}

/* ---- the end ---- */

/* Nothing is under way any more. */
static bool settled(const struct migrate *m)
{
	enum vm_state s = vm_state(m->rv->vm);

	return !m->n_vfs && (!m->want_ready || s == VM_READY || vm_state_is_down(s));
}

static void over(struct migrate *m)
{
	struct run_vm *rv = m->rv;
	char path[RUNTIME_PATH_MAX];

	m->phase = M_OVER;
	step(m, m->rc ? "failed" : "done");
	runtime_vm_path(&rv->run->d->rt, rv->lab->name, "migrate.sock", path);
	unlink(path);
	rv->migrate = NULL;
	if (m->done)
		m->done(m->arg, m->rc, m->rc ? m->why : "", m->steps);
	m->done = NULL;
	event_free(m->deadline);
	event_free(m->step);
	event_free(m->quit);
	json_decref(m->steps);
	free(m);
	run_poke(rv->run);
}

static void on_step(evutil_socket_t fd, short what, void *arg)
{
	struct migrate *m = arg;
	int rc;

	(void)fd;
	(void)what;
	switch (m->phase) {
	case M_REVOKING:
		if (m->n_vfs)
			break;
		rc = m->rc ? m->rc : start_dest(m);
		if (rc)
			undo(m, rc, strerror(-rc));
		break;
	case M_LEAVING:
		if (m->old && !vm_pid(m->old) && !holds_a_vf(m))
			left(m);
		break;
	case M_UNDOING:
		if (!m->n_vfs && !m->sending && (!m->dest || !vm_pid(m->dest)))
			undone(m);
		break;
	case M_RESTORING:
		if (settled(m))
			over(m);
		break;
	case M_STARTING:
	case M_RUNNING:
	case M_SWITCHING:
	case M_OVER:
		break;
	}
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct migrate *m = arg;

	(void)fd;
	(void)what;
	if (m->phase < M_LEAVING) {
		undo(m, -ETIMEDOUT, "it took too long");
	} else if (m->phase == M_UNDOING) {
		m->sending = false; /* a monitor that says nothing any more */
		poke(m);
	} else if (m->phase == M_RESTORING && m->want_ready) {
		step(m, "agent-silent"); /* the guest is busy with itself */
		m->want_ready = false;
		poke(m);
	}
}

void migrate_on_state(struct run_vm *rv)
{
	if (rv->migrate)
		poke(rv->migrate);
}

static int refuse(char *why, size_t size, int rc, const char *fmt, ...) PRINTF_LIKE(4, 5);

static int refuse(char *why, size_t size, int rc, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, size, fmt, ap);
	va_end(ap);
	return rc;
}

/* May this NIC migrate? Notes in @had whether it has a VF. */
static int check_nic(struct run_nic *rn, enum migrate_vf mode, bool *had, char *why, size_t size)
{
	struct vf *vf = vf_of(rn);
	const char *id = vnic_id(rn->vnic);

	if (rn->adding || rn->removing || rn->op)
		return refuse(why, size, -EBUSY, "%s is being changed", id);
	if (!vf)
		return 0;
	if (vf_is_busy(vf) || vf_is_pending(vf))
		return refuse(why, size, -EBUSY, "the VF of %s is %s", id,
			      vf_state_name(vf_state(vf)));
	*had = vf_state(vf) != VF_ABSENT && vf_state(vf) != VF_REVOKED;
	if (*had && mode == MIGRATE_VF_REFUSE)
		return refuse(why, size, -EPERM, "the VF of %s is attached, and VFs do not migrate",
			      id);
	if (*had && mode == MIGRATE_VF_FAILOVER && !rn->paired)
		return refuse(why, size, -EINVAL,
			      "%s is no failover pair: the guest has not paired it, or it has one "
			      "path",
			      id);
	return 0;
}

int migrate_start(struct run_vm *rv, enum migrate_vf mode, unsigned int timeout_ms,
		  migrate_done_fn done, void *arg, char *why, size_t why_size)
{
	struct event_base *base = rv->run->d->base;
	struct timeval tv = ms_tv(timeout_ms ? timeout_ms : TIMEOUT_MS);
	char path[RUNTIME_PATH_MAX];
	struct migrate *m;
	int rc;

	if (rv->migrate)
		return refuse(why, why_size, -EBUSY, "it is migrating already");
	if (rv->run->state != RUN_RUNNING ||
	    (vm_state(rv->vm) != VM_RUNNING && vm_state(rv->vm) != VM_READY))
		return refuse(why, why_size, -ENOTCONN, "it is %s",
			      vm_state_name(vm_state(rv->vm)));
	m = calloc(1, sizeof(*m));
	if (!m)
		return refuse(why, why_size, -ENOMEM, "out of memory");
	for (unsigned int k = 0; k < LAB_VM_NICS; k++) {
		rc = rv->nics[k].vnic ? check_nic(&rv->nics[k], mode, &m->had_vf[k], why, why_size)
				      : 0;
		if (rc) {
			free(m);
			return rc;
		}
	}
	m->rv = rv;
	m->mode = mode;
	m->done = done;
	m->arg = arg;
	m->start_ns = now_ns();
	m->steps = json_array();
	m->deadline = evtimer_new(base, on_deadline, m);
	m->step = evtimer_new(base, on_step, m);
	m->quit = evtimer_new(base, on_quit, m);
	runtime_vm_path(&rv->run->d->rt, rv->lab->name, "migrate.sock", path);
	snprintf(m->uri, sizeof(m->uri), "unix:%s", path);
	rv->migrate = m;
	evtimer_add(m->deadline, &tv);
	m->phase = M_REVOKING;
	for (unsigned int k = 0; mode == MIGRATE_VF_MANAGER && k < LAB_VM_NICS; k++) {
		if (!m->had_vf[k])
			continue;
		rc = vf_revoke(vf_of(&rv->nics[k]), NULL, on_revoked, m);
		if (rc)
			note_failure(m, -EIO, strerror(-rc));
		else
			m->n_vfs++;
	}
	poke(m);
	return 0;
}

int migrate_cancel(struct run_vm *rv)
{
	struct migrate *m = rv->migrate;

	if (!m)
		return -ENOENT;
	if (m->phase > M_RUNNING)
		return -EBUSY;
	undo(m, -ECANCELED, "it was cancelled");
	return 0;
}

void migrate_on_vm_down(struct run_vm *rv)
{
	struct migrate *m = rv->migrate;

	if (!m)
		return;
	if (m->phase < M_LEAVING)
		undo(m, -ECANCELED, "the VM went down");
	m->sending = false;
	poke(m);
}

/* ---- the lab's end ---- */

void migrate_stop(struct run_vm *rv)
{
	struct migrate *m = rv->migrate;

	if (!m)
		return;
	m->phase = M_OVER;
	if (m->dest)
		vm_kill(m->dest, "the lab went down", false);
	if (m->old)
		vm_kill(m->old, "the lab went down", false);
	if (m->done)
		m->done(m->arg, -ECANCELED, "the lab is going down", m->steps);
	m->done = NULL;
}

size_t migrate_processes(const struct run_vm *rv, struct runtime_proc *procs)
{
	const struct migrate *m = rv->migrate;
	const struct vm *const vms[] = {m ? m->dest : NULL, m ? m->old : NULL};
	size_t n = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(vms); i++)
		if (vms[i] && vm_pid(vms[i]))
			procs[n++] = (struct runtime_proc){vm_pid(vms[i]), vm_pid_start(vms[i]),
							   rv->lab->name};
	return n;
}

void migrate_free(struct run_vm *rv)
{
	struct migrate *m = rv->migrate;

	if (!m)
		return;
	rv->migrate = NULL;
	vm_free(m->dest);
	vm_free(m->old);
	event_free(m->deadline);
	event_free(m->step);
	event_free(m->quit);
	json_decref(m->steps);
	free(m);
}
