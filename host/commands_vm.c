/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the commands about one VM (docs/protocol.md). */
#include <errno.h>
#include <string.h>

#include "host/run.h"
#include "host/tail.h"
#include "host/vm_exec.h"

#define DAY_MS	  (24 * 3600 * 1000)
#define MAX_ARGV  1024
#define MAX_LINES 10000

#define VM_ARG                                                                                     \
	{                                                                                          \
		.name = "vm", .type = ARG_STRING, .required = true, .doc = "its name"              \
	}
#define WAIT_ARG                                                                                   \
	{                                                                                          \
		.name = "wait", .type = ARG_BOOL, .doc = "answer when it has happened"             \
	}
#define TIMEOUT_ARG                                                                                \
	{                                                                                          \
		.name = "timeout_ms", .type = ARG_INT, .min = 1, .max = DAY_MS,                    \
		.doc = "how long to wait"                                                          \
	}

static struct run_vm *need_vm(struct daemon *d, struct control_req *req, const json_t *args)
{
	const char *name = args_str(args, "vm", "");
	struct run_vm *rv;

	if (!d->run || d->run->state == RUN_STOPPING) {
		control_fail(req, CTL_INVALID_STATE, "hvlab up FILE starts one",
			     d->run ? "the lab is going down" : "no lab is up");
		return NULL;
	}
	rv = run_find_vm(d->run, name);
	if (!rv || !rv->vm) {
		control_fail(req, CTL_NOT_FOUND, "hvlab status lists them",
			     "no VM is called '%.40s'", name);
		return NULL;
	}
	return rv;
}

static const struct arg_spec exec_args[] = {
	VM_ARG,
	{.name = "argv",
	 .type = ARG_STRINGS,
	 .required = true,
	 .min = 1,
	 .max = MAX_ARGV,
	 .doc = "program and arguments"},
	{.name = "env", .type = ARG_STRINGS, .doc = "NAME=value, added to the agent's environment"},
	{.name = "stdin", .type = ARG_STRING, .doc = "base64, at most 8 MiB decoded"},
	{.name = "timeout_ms", .type = ARG_INT, .min = 0, .max = DAY_MS, .doc = "0: none"},
};

static void exec_cmd(void *arg, struct control_req *req, const json_t *args)
{
	struct run_vm *rv = need_vm(arg, req, args);

	if (rv)
		vm_exec(rv, req, args);
}

static const struct arg_spec vm_args_only[] = {VM_ARG};

static void console_cmd(void *arg, struct control_req *req, const json_t *args)
{
	struct run_vm *rv = need_vm(arg, req, args);

	if (rv)
		control_return(req, json_pack("{s:s, s:s}", "log", vm_conf(rv->vm)->console_log,
					      "socket", vm_conf(rv->vm)->console_sock));
}

static const struct arg_spec log_args[] = {
	VM_ARG,
	{.name = "lines", .type = ARG_INT, .min = 1, .max = MAX_LINES, .doc = "default 50"},
	{.name = "source",
	 .type = ARG_STRING,
	 .values = "console|qemu",
	 .doc = "the guest's serial console, or what QEMU itself printed"},
};

static void log_cmd(void *arg, struct control_req *req, const json_t *args)
{
	bool console = !strcmp(args_str(args, "source", "console"), "console");
	unsigned int lines = (unsigned int)args_int(args, "lines", 50);
	struct run_vm *rv = need_vm(arg, req, args);
	const char *path;

	if (!rv)
		return;
	path = console ? vm_conf(rv->vm)->console_log : vm_conf(rv->vm)->qemu_log;
	control_return(req,
		       json_pack("{s:s, s:o}", "path", path, "lines", tail_lines(path, 0, lines)));
}

/* ---- waiting ---- */

static bool wait_check(struct run_wait *w)
{
	enum vm_state s = vm_state(w->vm->vm);
	bool down = vm_state_is_down(s), there;

	if (!strcmp(w->name, "running"))
		there = s == VM_RUNNING || s == VM_READY;
	else if (!strcmp(w->name, "down"))
		there = down;
	else
		there = !strcmp(w->name, vm_state_name(s));
	if (there) {
		control_return(w->req, json_pack("{s:s}", "state", vm_state_name(s)));
	} else if (down && (!strcmp(w->name, "ready") || !strcmp(w->name, "running"))) {
		vm_exec_no_agent(w->vm, w->req);
		there = true;
	}
	return there;
}

static void wait_expired(struct run_wait *w)
{
	control_fail(w->req, CTL_TIMEOUT, NULL, "VM %s is %s, not %s in time", w->vm->lab->name,
		     vm_state_name(vm_state(w->vm->vm)), w->name);
}

static const struct arg_spec wait_args[] = {
	VM_ARG,
	{.name = "state",
	 .type = ARG_STRING,
	 .required = true,
	 .values = "running|ready|panicked|exited|down",
	 .doc = "to wait for; down: panicked, exited or failed"},
	TIMEOUT_ARG,
};

/* The same name in memory that outlives the request. */
static const char *lasting(const char *name)
{
	static const char *const names[] = {"running", "ready", "panicked", "exited", "down"};

	for (unsigned int i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(names[i], name))
			return names[i];
	return NULL;
}

static void wait_cmd(void *arg, struct control_req *req, const json_t *args)
{
	struct run_vm *rv = need_vm(arg, req, args);
	struct run_wait w = {.req = req,
			     .vm = rv,
			     .check = wait_check,
			     .expired = wait_expired,
			     .name = lasting(args_str(args, "state", ""))};

	if (rv)
		run_wait(rv->run, &w, (unsigned int)args_int(args, "timeout_ms", 120000));
}

/* ---- reset, reboot, shutdown, kill, start ---- */

static void reset_done(void *arg, int rc, json_t *ret, const char *desc)
{
	struct control_req *req = arg;

	(void)ret;
	if (!rc)
		control_return(req, NULL);
	else if (rc == -ECONNRESET || rc == -ECANCELED)
		control_fail(req, CTL_GUEST_DEAD, NULL, "QEMU ended");
	else
		control_fail(req, rc == -ETIMEDOUT ? CTL_TIMEOUT : CTL_GENERIC, NULL, "%s", desc);
}

static void reset_cmd(void *arg, struct control_req *req, const json_t *args)
{
	struct run_vm *rv = need_vm(arg, req, args);

	if (rv && vm_reset(rv->vm, reset_done, req))
		vm_exec_no_agent(rv, req);
}

static bool reboot_check(struct run_wait *w)
{
	enum vm_state s = vm_state(w->vm->vm);

	if (vm_state_is_down(s)) {
		vm_exec_no_agent(w->vm, w->req);
		return true;
	}
	if (s != VM_READY || vm_boots(w->vm->vm) < w->number)
		return false;
	control_return(w->req, json_pack("{s:i}", "boots", (int)vm_boots(w->vm->vm)));
	return true;
}

static bool shutdown_check(struct run_wait *w)
{
	if (vm_state(w->vm->vm) != VM_EXITED && !vm_state_is_down(vm_state(w->vm->vm)))
		return false;
	if (vm_state(w->vm->vm) == VM_EXITED)
		control_return(w->req, NULL);
	else
		vm_exec_no_agent(w->vm, w->req);
	return true;
}

/* Without wait: answered once the agent has taken the request. */
static void asked(void *arg, int rc, json_t *ret, const char *desc)
{
	struct control_req *req = arg;

	(void)ret;
	/* The guest may go down before it answers: that is what was asked for. */
	if (!rc || rc == -ECONNRESET || rc == -ECANCELED)
		control_return(req, NULL);
	else
		control_fail(req, CTL_GENERIC, NULL, "%s", desc);
}

static void ask_guest(struct daemon *d, struct control_req *req, const json_t *args,
		      const char *mode, unsigned int default_ms, bool (*check)(struct run_wait *w))
{
	struct run_vm *rv = need_vm(d, req, args);
	bool wait = args_bool(args, "wait", true);
	struct run_wait w = {.req = req,
			     .vm = rv,
			     .check = check,
			     .expired = wait_expired,
			     .name = check == reboot_check ? "ready again" : "exited"};

	if (!rv)
		return;
	w.number = vm_boots(rv->vm) + 1;
	if (!vm_agent(rv->vm) ||
	    agent_tell(vm_agent(rv->vm), "guest-shutdown", json_pack("{s:s}", "mode", mode), 0,
		       wait ? NULL : asked, req))
		vm_exec_no_agent(rv, req);
	else if (wait)
		run_wait(rv->run, &w, (unsigned int)args_int(args, "timeout_ms", default_ms));
}

static const struct arg_spec ask_args[] = {VM_ARG, WAIT_ARG, TIMEOUT_ARG};

static void reboot_cmd(void *arg, struct control_req *req, const json_t *args)
{
	ask_guest(arg, req, args, "reboot", 120000, reboot_check);
}

static void shutdown_cmd(void *arg, struct control_req *req, const json_t *args)
{
	ask_guest(arg, req, args, "powerdown", 30000, shutdown_check);
}

static void kill_cmd(void *arg, struct control_req *req, const json_t *args)
{
	struct run_vm *rv = need_vm(arg, req, args);
	struct run_wait w = {.req = req,
			     .vm = rv,
			     .check = shutdown_check,
			     .expired = wait_expired,
			     .name = "exited"};

	if (!rv)
		return;
	if (!vm_pid(rv->vm)) {
		control_fail(req, CTL_INVALID_STATE, NULL, "VM %s does not run, it is %s",
			     rv->lab->name, vm_state_name(vm_state(rv->vm)));
		return;
	}
	vm_kill(rv->vm, "killed by vm-kill", false);
	/* A panicked VM counts as down already: wait for the process. */
	w.check = vm_state(rv->vm) == VM_PANICKED ? wait_check : shutdown_check;
	run_wait(rv->run, &w, 10000);
}

static bool started_check(struct run_wait *w)
{
	if (vm_state_is_down(vm_state(w->vm->vm)))
		return false;
	control_return(w->req, NULL);
	return true;
}

static void start_cmd(void *arg, struct control_req *req, const json_t *args)
{
	struct run_vm *rv = need_vm(arg, req, args);
	struct run_wait w = {.req = req,
			     .vm = rv,
			     .check = started_check,
			     .expired = wait_expired,
			     .name = "starting"};
	int rc;

	if (!rv)
		return;
	if (!vm_state_is_down(vm_state(rv->vm))) {
		control_fail(req, CTL_INVALID_STATE, "vm-reset or vm-kill", "VM %s is %s already",
			     rv->lab->name, vm_state_name(vm_state(rv->vm)));
		return;
	}
	if (vm_pid(rv->vm)) {
		vm_kill(rv->vm, "started again", true);
		run_wait(rv->run, &w, 10000);
		return;
	}
	rc = vm_start(rv->vm);
	if (rc)
		control_fail(req, CTL_SYSTEM_ERROR, NULL, "VM %s: QEMU not started: %s",
			     rv->lab->name, strerror(-rc));
	else
		control_return(req, NULL);
}

#define ARGS(a) .specs = (a), .n_specs = ARRAY_SIZE(a)

const struct control_cmd commands_vm[] = {
	{.name = "vm-exec",
	 .doc = "run a program in the guest through its agent",
	 .returns = "{exitcode or signal, stdout, stderr}",
	 .slow = true,
	 ARGS(exec_args),
	 .fn = exec_cmd},
	{.name = "vm-console",
	 .doc = "where the serial console is",
	 .returns = "{log, socket}",
	 ARGS(vm_args_only),
	 .fn = console_cmd},
	{.name = "vm-log",
	 .doc = "last lines of the console, or of QEMU's own output",
	 .returns = "{path, lines}",
	 ARGS(log_args),
	 .fn = log_cmd},
	{.name = "vm-wait",
	 .doc = "wait for a state",
	 .returns = "{state}",
	 .slow = true,
	 ARGS(wait_args),
	 .fn = wait_cmd},
	{.name = "vm-reset",
	 .doc = "reset as with a button",
	 .returns = "{}",
	 ARGS(vm_args_only),
	 .fn = reset_cmd},
	{.name = "vm-reboot",
	 .doc = "ask the guest to reboot",
	 .returns = "{boots}",
	 .slow = true,
	 ARGS(ask_args),
	 .fn = reboot_cmd},
	{.name = "vm-shutdown",
	 .doc = "ask the guest to power off",
	 .returns = "{}",
	 .slow = true,
	 ARGS(ask_args),
	 .fn = shutdown_cmd},
	{.name = "vm-kill",
	 .doc = "end QEMU at once",
	 .returns = "{}",
	 .slow = true,
	 ARGS(vm_args_only),
	 .fn = kill_cmd},
	{.name = "vm-start",
	 .doc = "start a VM that is panicked, exited or failed again",
	 .returns = "{}",
	 .slow = true,
	 ARGS(vm_args_only),
	 .fn = start_cmd},
	{0},
};
