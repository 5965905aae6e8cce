/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the programs that run in guests on behalf of vm-exec.
 *
 * The agent keeps what a program printed until somebody asks after its end. So a program whose
 * request timed out is still asked after, only slower, and then forgotten.
 */
#define LOG_TAG "exec"
#include "host/vm_exec.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "host/base64.h"

#define POLL_FIRST_MS 5
#define POLL_MAX_MS   200
#define POLL_GONE_MS  2000 /* when nobody waits for the result */

struct exec {
	struct run_vm *rv;
	struct control_req *req; /* NULL: answered */
	json_int_t pid;
	bool asking; /* a call is with the agent: its callback comes */
	bool cancelled;
	unsigned int interval;
	struct event *poll, *deadline;
	struct exec *next;
};

static struct exec *all;

static void exec_free(struct exec *e)
{
	for (struct exec **at = &all; *at; at = &(*at)->next) {
		if (*at == e) {
			*at = e->next;
			break;
		}
	}
	if (e->poll)
		event_free(e->poll);
	if (e->deadline)
		event_free(e->deadline);
	free(e);
}

static struct control_req *take_req(struct exec *e)
{
	struct control_req *req = e->req;

	e->req = NULL;
	return req;
}

void vm_exec_no_agent(const struct run_vm *rv, struct control_req *req)
{
	enum vm_state s = vm_state(rv->vm);

	if (vm_state_is_down(s))
		control_fail_with(req, CTL_GUEST_DEAD, run_console_extra(rv),
				  "hvlab log shows its console; vm-start starts it again",
				  "VM %s is %s: %s", rv->lab->name, vm_state_name(s),
				  vm_reason(rv->vm));
	else
		control_fail(req, CTL_AGENT_UNAVAILABLE, "vm-wait waits for it",
			     "VM %s is %s, its agent does not answer", rv->lab->name,
			     vm_state_name(s));
}

/* The agent refused, or is no more. */
static void exec_failed(struct exec *e, int rc, const char *desc)
{
	struct control_req *req = take_req(e);

	if (!req)
		return;
	if (rc == -EREMOTEIO)
		control_fail(req, CTL_GENERIC, NULL, "VM %s: %s", e->rv->lab->name, desc);
	else
		vm_exec_no_agent(e->rv, req);
}

static void copy_text(json_t *to, const char *to_key, const json_t *from, const char *from_key)
{
	json_t *v = json_object_get(from, from_key);

	json_object_set_new(to, to_key, json_is_string(v) ? json_incref(v) : json_string(""));
}

static void exec_ended(struct exec *e, const json_t *status)
{
	json_t *v, *o = json_object();

	if ((v = json_object_get(status, "signal")) && json_is_integer(v))
		json_object_set(o, "signal", v);
	else if ((v = json_object_get(status, "exitcode")) && json_is_integer(v))
		json_object_set(o, "exitcode", v);
	copy_text(o, "stdout", status, "out-data");
	copy_text(o, "stderr", status, "err-data");
	if (json_is_true(json_object_get(status, "out-truncated")))
		json_object_set_new(o, "stdout_truncated", json_true());
	if (json_is_true(json_object_get(status, "err-truncated")))
		json_object_set_new(o, "stderr_truncated", json_true());
	if (e->req)
		control_return(take_req(e), o);
	else
		json_decref(o);
}

static void arm_poll(struct exec *e)
{
	unsigned int ms = e->req ? e->interval : POLL_GONE_MS;
	struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

	evtimer_add(e->poll, &tv);
	e->interval = MIN(2 * e->interval, POLL_MAX_MS);
}

static void on_status(void *arg, int rc, json_t *ret, const char *desc)
{
	struct exec *e = arg;

	e->asking = false;
	if (rc || e->cancelled) {
		if (!e->cancelled)
			exec_failed(e, rc, desc);
		exec_free(e);
	} else if (json_is_true(json_object_get(ret, "exited"))) {
		exec_ended(e, ret);
		exec_free(e);
	} else {
		arm_poll(e);
	}
}

static void on_poll(evutil_socket_t fd, short what, void *arg)
{
	struct exec *e = arg;
	int rc;

	(void)fd;
	(void)what;
	e->asking = true;
	rc = agent_call(vm_agent(e->rv->vm), "guest-exec-status", json_pack("{s:I}", "pid", e->pid),
			0, on_status, e);
	if (rc)
		on_status(e, rc, NULL, strerror(-rc));
}

static void on_started(void *arg, int rc, json_t *ret, const char *desc)
{
	struct exec *e = arg;
	json_t *pid = json_object_get(ret, "pid");

	e->asking = false;
	if (!rc && !json_is_integer(pid)) {
		rc = -EREMOTEIO;
		desc = "the agent gave no process id";
	}
	if (rc || e->cancelled) {
		if (!e->cancelled)
			exec_failed(e, rc, desc);
		exec_free(e);
		return;
	}
	e->pid = json_integer_value(pid);
	arm_poll(e);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct exec *e = arg;

	(void)fd;
	(void)what;
	if (e->req)
		control_fail(take_req(e), CTL_TIMEOUT, NULL,
			     "VM %s: the program has not ended in time; it runs on",
			     e->rv->lab->name);
}

void vm_exec_cancel_all(void)
{
	struct exec *e, *next;

	for (e = all; e; e = next) {
		next = e->next;
		if (e->req)
			control_fail(take_req(e), CTL_CANCELLED, NULL, "the lab is going down");
		/* With a call under way its callback, which the agent's end brings, frees it. */
		e->cancelled = true;
		if (!e->asking)
			exec_free(e);
	}
}

/* NAME=value, and nothing that env(1) takes for an option. */
static bool env_ok(const json_t *env)
{
	json_t *v;
	size_t i;

	json_array_foreach ((json_t *)env, i, v) {
		const char *s = json_string_value(v);

		if (!strchr(s, '=') || s[0] == '=' || s[0] == '-')
			return false;
	}
	return true;
}

/* What guest-exec takes. With variables env(1) sets them: the agent would drop all others. */
static json_t *exec_args(const json_t *args)
{
	json_t *argv = json_object_get(args, "argv"), *env = json_object_get(args, "env");
	const char *in = args_str(args, "stdin", NULL);
	json_t *rest = json_array(), *o, *v;
	bool with_env = json_array_size(env) > 0;
	size_t i;

	json_array_foreach (env, i, v)
		json_array_append(rest, v);
	json_array_foreach (argv, i, v)
		if (i || with_env)
			json_array_append(rest, v);
	o = json_pack("{s:s, s:o, s:b}", "path",
		      with_env ? "env" : json_string_value(json_array_get(argv, 0)), "arg", rest,
		      "capture-output", 1);
	if (in)
		json_object_set_new(o, "input-data", json_string(in));
	return o;
}

static bool stdin_ok(struct control_req *req, const json_t *args)
{
	const char *in = args_str(args, "stdin", NULL);
	size_t size = 0;
	void *data = in ? base64_decode(in, &size) : NULL;
	bool ok = !in || (data && size <= VM_EXEC_MAX_STDIN);

	free(data);
	if (!ok)
		control_fail(req, CTL_INVALID_ARGUMENT, NULL,
			     "argument 'stdin' must be base64 of at most %u bytes",
			     VM_EXEC_MAX_STDIN);
	return ok;
}

void vm_exec(struct run_vm *rv, struct control_req *req, const json_t *args)
{
	unsigned int timeout = (unsigned int)args_int(args, "timeout_ms", 0);
	struct timeval tv = {.tv_sec = timeout / 1000, .tv_usec = timeout % 1000 * 1000};
	struct event_base *base = rv->run->d->base;
	struct exec *e;
	int rc;

	if (!env_ok(json_object_get(args, "env"))) {
		control_fail(req, CTL_INVALID_ARGUMENT, NULL,
			     "argument 'env' must hold NAME=value");
		return;
	}
	if (!stdin_ok(req, args))
		return;
	if (!vm_agent(rv->vm)) {
		vm_exec_no_agent(rv, req);
		return;
	}
	e = calloc(1, sizeof(*e));
	if (e) {
		e->rv = rv;
		e->interval = POLL_FIRST_MS;
		e->poll = evtimer_new(base, on_poll, e);
		e->deadline = evtimer_new(base, on_deadline, e);
		e->next = all;
		all = e;
	}
	if (!e || !e->poll || !e->deadline || (timeout && evtimer_add(e->deadline, &tv))) {
		if (e)
			exec_free(e);
		control_fail(req, CTL_SYSTEM_ERROR, NULL, "out of memory");
		return;
	}
	e->req = req;
	e->asking = true;
	rc = agent_call(vm_agent(rv->vm), "guest-exec", exec_args(args), 0, on_started, e);
	if (rc)
		on_started(e, rc, NULL, strerror(-rc));
}
