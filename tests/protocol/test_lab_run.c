/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Claims about labs as the daemon runs them, with a program in QEMU's place that misbehaves to
 * order (fake_qemu.c): every failure is named, and undone.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "fake_words.h"
#include "hvlabd_rig.h"
#include "tests/lib/wait.h"

static const char pair[] = "networks: [{name: blue, dhcp: off}]\n"
			   "vms:\n"
			   "  - {name: a, nics: [{network: blue}]}\n"
			   "  - {name: b, nics: [{network: blue}]}\n";

/* lab-up's arguments; the kernel is any file, nobody boots it. */
static json_t *up_args(const char *mode, const char *wait)
{
	json_t *image = json_pack("{s:s}", "kernel", FAKE_QEMU);
	json_t *args =
		json_pack("{s:s, s:s, s:s, s:{s:{s:s, s:s, s:[s]}, s:{s:O, s:O}}}", "content", pair,
			  "file", "pair.yaml", "wait", wait, "parts", "qemu", "path", FAKE_QEMU,
			  "version", "11.1.3", "args", mode, "images", "a", image, "b", image);

	json_decref(image);
	assert_non_null(args);
	return args;
}

static json_t *with(json_t *args, const char *key, json_t *value)
{
	json_object_set_new(args, key, value);
	return args;
}

static json_t *vm_arg(const char *vm)
{
	return json_pack("{s:s}", "vm", vm);
}

static void assert_nothing_is_up(struct ctl *c, const struct hvlabd *d)
{
	json_t *v = ctl_ok(c, "query-status", NULL);
	char path[64];

	assert_true(json_is_null(json_object_get(v, "lab")));
	json_decref(v);
	snprintf(path, sizeof(path), "%s/vm/a", d->dir);
	assert_int_equal(access(path, F_OK), -1);
	snprintf(path, sizeof(path), "%s/vm/b", d->dir);
	assert_int_equal(access(path, F_OK), -1);
}

static pid_t vm_pid_of(struct ctl *c, size_t index)
{
	json_t *v = ctl_ok(c, "query-status", NULL);
	pid_t pid = (pid_t)json_integer_value(
		json_object_get(json_array_get(json_object_get(v, "vms"), index), "pid"));

	json_decref(v);
	assert_true(pid > 0);
	return pid;
}

static void up_exec_down(void **state)
{
	struct hvlabd *d = *state;
	struct ctl c;
	json_t *v;

	ctl_open(&c, d);
	json_decref(ctl_ok(&c, "events-subscribe", NULL));
	v = ctl_ok(&c, "lab-up", up_args("run", "ready"));
	assert_string_equal(json_string_value(json_object_get(v, "name")), "pair");
	assert_int_equal(json_array_size(json_object_get(v, "vms")), 2);
	json_decref(v);
	json_decref(ctl_event(&c, "VM_STATE", "ready"));
	v = ctl_ok(&c, "vm-exec", json_pack("{s:s, s:[s]}", "vm", "a", "argv", "true"));
	assert_int_equal(json_integer_value(json_object_get(v, "exitcode")), 7);
	assert_string_equal(json_string_value(json_object_get(v, "stdout")), "aGk=");
	assert_string_equal(json_string_value(json_object_get(v, "stderr")), "");
	json_decref(v);
	v = ctl_ok(&c, "stats", NULL);
	assert_int_equal(json_array_size(json_object_get(v, "vnics")), 2);
	json_decref(v);
	v = ctl_ok(&c, "query-fdb", json_pack("{s:s}", "network", "blue"));
	assert_int_equal(json_array_size(v), 2);
	json_decref(v);
	ctl_refused(&c, "lab-up", up_args("run", "ready"), "InvalidState",
		    "lab pair is up already");
	v = ctl_ok(&c, "lab-down", NULL);
	assert_int_equal(json_integer_value(json_object_get(v, "vms")), 2);
	json_decref(v);
	assert_nothing_is_up(&c, d);
	/* And once more: nothing of the first is in the way. */
	json_decref(ctl_ok(&c, "lab-up", up_args("run", "ready")));
	ctl_close(&c);
}

/* The sampler knows every port of the lab, one runs at a time, and a lab's end does not hurt it. */
static void the_sampler_follows_a_lab(void **state)
{
	struct hvlabd *d = *state;
	json_t *v, *paths, *p;
	bool found = false;
	struct ctl c;
	size_t i;

	ctl_open(&c, d);
	ctl_refused(&c, "sampler-start", NULL, "InvalidState", "no lab is up");
	ctl_refused(&c, "sampler-stop", NULL, "InvalidState", "no sampler was started");
	json_decref(ctl_ok(&c, "lab-up", up_args("run", "ready")));
	ctl_refused(&c, "sampler-start", json_pack("{s:[s]}", "vnics", "a/eth9"), "NotFound",
		    "'a/eth9'");
	ctl_refused(&c, "sampler-start", json_pack("{s:i}", "step_us", 99), "InvalidArgument",
		    "'step_us'");
	json_decref(ctl_ok(&c, "sampler-start", json_pack("{s:[s]}", "vnics", "a/eth0")));
	ctl_refused(&c, "sampler-start", NULL, "Busy", "runs already");
	v = ctl_ok(&c, "sampler-stop", NULL);
	paths = json_object_get(v, "paths");
	json_array_foreach (paths, i, p) {
		const char *port = json_string_value(json_object_get(p, "port"));

		assert_memory_equal(port, "a/eth0", 6); /* b/eth0 was not asked for */
		found = found || !strcmp(port, "a/eth0");
	}
	assert_true(found);
	json_decref(v);
	json_decref(ctl_ok(&c, "sampler-start", NULL));
	json_decref(ctl_ok(&c, "lab-down", NULL));
	v = ctl_ok(&c, "sampler-stop", NULL);
	json_array_foreach (json_object_get(v, "paths"), i, p)
		assert_true(json_is_integer(json_object_get(p, "until_ns")));
	assert_true(i >= 2);
	json_decref(v);
	ctl_close(&c);
}

static void what_cannot_be_found_is_named(void **state)
{
	struct ctl c;

	ctl_open(&c, *state);
	json_decref(ctl_ok(&c, "lab-up", up_args("run", "ready")));
	ctl_refused(&c, "vm-reset", vm_arg("z"), "NotFound", "'z'");
	ctl_refused(&c, "vm-exec", json_pack("{s:s, s:[]}", "vm", "a", "argv"), "InvalidArgument",
		    "'argv'");
	ctl_refused(&c, "vm-exec",
		    json_pack("{s:s, s:[s], s:s}", "vm", "a", "argv", "x", "stdin", "no base64!"),
		    "InvalidArgument", "'stdin'");
	ctl_refused(&c, "vm-exec",
		    json_pack("{s:s, s:[s], s:[s]}", "vm", "a", "argv", "x", "env", "-i"),
		    "InvalidArgument", "'env'");
	ctl_refused(&c, "stats", json_pack("{s:s}", "vnic", "a/eth9"), "NotFound", "'a/eth9'");
	ctl_refused(&c, "query-fdb", json_pack("{s:s}", "network", "red"), "NotFound", "'red'");
	ctl_refused(&c, "mana-event", json_pack("{s:s, s:i}", "vnic", "a/eth0", "type", 133),
		    "InvalidArgument", "132 or 135");
	ctl_refused(&c, "mana-event", json_pack("{s:s, s:i}", "vnic", "a/eth0", "type", 132),
		    "InvalidState", "a/eth0");
	ctl_refused(&c, "capture-start", json_pack("{s:s}", "vnic", "a/eth0"), "InvalidArgument",
		    "no file descriptor");
	ctl_refused(&c, "capture-stop", json_pack("{s:s}", "vnic", "a/eth0"), "InvalidState",
		    "not being captured");
	ctl_close(&c);
}

static void a_wrong_lab_file_starts_nothing(void **state)
{
	struct hvlabd *d = *state;
	struct ctl c;
	json_t *v, *e;

	ctl_open(&c, d);
	v = ctl_call(&c, "lab-up",
		     with(up_args("run", "started"), "content",
			  json_string("vms:\n  - name: a\n    cpus: many\n")));
	e = json_object_get(v, "error");
	assert_string_equal(json_string_value(json_object_get(e, "class")), "LabInvalid");
	assert_int_equal(json_integer_value(json_object_get(e, "line")), 3);
	assert_non_null(strstr(json_string_value(json_object_get(e, "desc")), "pair.yaml:3"));
	assert_true(json_array_size(json_object_get(e, "errors")) >= 1);
	json_decref(v);
	ctl_refused(&c, "lab-up",
		    with(up_args("run", "started"), "path", json_string("/nonexistent.yaml")),
		    "InvalidArgument", "exactly one");
	v = with(up_args("run", "started"), "path", json_string("/nonexistent.yaml"));
	json_object_del(v, "content");
	ctl_refused(&c, "lab-up", v, "LabInvalid", "/nonexistent.yaml");
	assert_nothing_is_up(&c, d);
	ctl_close(&c);
}

static void a_missing_part_starts_nothing(void **state)
{
	struct hvlabd *d = *state;
	struct ctl c;
	json_t *args = up_args("run", "started"), *parts = json_object_get(args, "parts");

	ctl_open(&c, d);
	json_object_del(json_object_get(parts, "images"), "b");
	ctl_refused(&c, "lab-up", args, "PartMissing", "VM b: no image");
	args = up_args("run", "started");
	json_object_set_new(json_object_get(json_object_get(args, "parts"), "qemu"), "path",
			    json_string("/nonexistent/qemu"));
	ctl_refused(&c, "lab-up", args, "PartMissing", "/nonexistent/qemu: No such file");
	assert_nothing_is_up(&c, d);
	ctl_close(&c);
}

/* Every way to fail at the start: the reason is told, all is undone, the next lab comes up. */
static void a_failed_start_is_explained_and_undone(void **state)
{
	static const struct {
		const char *mode, *wait, *class, *words;
		int timeout_ms;
	} cases[] = {
		{"die", "started", "GuestDead", "status 3: fake: could not set up host forwarding",
		 20000},
		{"die-long", "started", "GuestDead", "status 3: " FAKE_LONG_WORDS, 20000},
		{"die-endless", "started", "GuestDead", "status 3: " FAKE_ENDLESS_HEAD, 20000},
		{"noise", "started", "GuestDead", "ended by signal 9", 20000},
		{"mute", "started", "Timeout", "is starting", 300},
		{"panic", "ready", "GuestDead", "panicked: the guest's kernel panicked", 20000},
		{"poweroff", "ready", "GuestDead", "the guest powered off", 20000},
		{"crash", "ready", "GuestDead", "ended by signal 6", 20000},
	};
	struct hvlabd *d = *state;
	unsigned int before;
	struct ctl c;

	ctl_open(&c, d);
	before = hvlabd_n_fds(d);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		ctl_refused(&c, "lab-up",
			    with(up_args(cases[i].mode, cases[i].wait), "timeout_ms",
				 json_integer(cases[i].timeout_ms)),
			    cases[i].class, cases[i].words);
		assert_nothing_is_up(&c, d);
		assert_true(wait_until(hvlabd_n_fds(d) == before, WAIT_MS));
	}
	json_decref(ctl_ok(&c, "lab-up", up_args("run", "ready")));
	ctl_close(&c);
}

static void a_lab_that_is_not_ready_can_be_kept_for_a_look(void **state)
{
	struct ctl c;
	json_t *v;
	pid_t pid;

	ctl_open(&c, *state);
	ctl_refused(&c, "lab-up", with(up_args("panic", "ready"), "keep_failed", json_true()),
		    "GuestDead", "panicked");
	json_decref(ctl_ok(&c, "vm-wait", json_pack("{s:s, s:s}", "vm", "a", "state", "panicked")));
	json_decref(ctl_ok(&c, "vm-wait", json_pack("{s:s, s:s}", "vm", "b", "state", "panicked")));
	v = ctl_ok(&c, "query-status", NULL);
	assert_string_equal(json_string_value(json_object_get(json_object_get(v, "lab"), "state")),
			    "running");
	json_decref(v);
	ctl_refused(&c, "vm-exec", json_pack("{s:s, s:[s]}", "vm", "a", "argv", "true"),
		    "GuestDead", "panicked");
	/* Started again while its paused QEMU is still there; it panics again. */
	pid = vm_pid_of(&c, 0);
	json_decref(ctl_ok(&c, "vm-start", vm_arg("a")));
	json_decref(ctl_ok(&c, "vm-wait", json_pack("{s:s, s:s}", "vm", "a", "state", "panicked")));
	assert_int_not_equal(vm_pid_of(&c, 0), pid);
	json_decref(ctl_ok(&c, "vm-kill", vm_arg("a")));
	ctl_close(&c);
}

static void a_vm_that_dies_takes_only_its_own_requests_along(void **state)
{
	struct ctl c;
	json_t *v;

	ctl_open(&c, *state);
	json_decref(ctl_ok(&c, "events-subscribe", NULL));
	json_decref(ctl_ok(&c, "lab-up", up_args("exec-die", "ready")));
	ctl_refused(&c, "vm-exec", json_pack("{s:s, s:[s]}", "vm", "a", "argv", "true"),
		    "GuestDead", "VM a is failed: QEMU was ended by signal 6");
	v = ctl_event(&c, "VM_STATE", "failed");
	assert_non_null(json_object_get(json_object_get(v, "data"), "console"));
	json_decref(v);
	v = ctl_ok(&c, "vm-wait", json_pack("{s:s, s:s}", "vm", "b", "state", "ready"));
	json_decref(v);
	json_decref(ctl_ok(&c, "vm-start", vm_arg("a")));
	json_decref(ctl_ok(&c, "vm-wait", json_pack("{s:s, s:s}", "vm", "a", "state", "ready")));
	ctl_close(&c);
}

/* query-status, once it has the first VM's reason: the other one may have been the first to end. */
static json_t *status_with_reason(struct ctl *c)
{
	json_t *v = NULL, *o;

	assert_true(wait_until(
		(json_decref(v), v = ctl_ok(c, "query-status", NULL),
		 o = json_array_get(json_object_get(v, "vms"), 0),
		 json_string_value(json_object_get(o, "reason")) != NULL),
		WAIT_MS));
	return v;
}

/* Whole in every place that tells them; the cut of an endless line leaves whole characters. */
static void what_qemu_says_last_is_told(void **state)
{
	static const char *const modes[] = {"die-long", "die-endless"};
	struct ctl c;

	ctl_open(&c, *state);
	for (unsigned int i = 0; i < ARRAY_SIZE(modes); i++) {
		const char *reason;
		json_t *v, *o;

		ctl_refused(&c, "lab-up",
			    with(up_args(modes[i], "started"), "keep_failed", json_true()),
			    "GuestDead", "status 3: ");
		v = status_with_reason(&c);
		o = json_array_get(json_object_get(v, "vms"), 0);
		reason = json_string_value(json_object_get(o, "reason"));
		if (i == 0) {
			assert_string_equal(reason, "QEMU ended with status 3: " FAKE_LONG_WORDS);
			ctl_refused(&c, "vm-exec",
				    json_pack("{s:s, s:[s]}", "vm", "a", "argv", "true"),
				    "GuestDead", FAKE_LONG_WORDS);
		} else {
			assert_true(strlen(reason) > 300);
			reason = strstr(reason, FAKE_ENDLESS_HEAD FAKE_ENDLESS_CHAR);
			assert_non_null(reason);
			for (reason++; *reason && *reason != '.'; reason += 2)
				assert_memory_equal(reason, FAKE_ENDLESS_CHAR, 2);
			assert_string_equal(reason, "...");
		}
		json_decref(v);
		json_decref(ctl_ok(&c, "lab-down", NULL));
	}
	ctl_close(&c);
}

static void kill_and_start_again(void **state)
{
	struct ctl c;
	pid_t pid;
	json_t *v;

	ctl_open(&c, *state);
	json_decref(ctl_ok(&c, "lab-up", up_args("run", "ready")));
	pid = vm_pid_of(&c, 0);
	ctl_refused(&c, "vm-start", vm_arg("a"), "InvalidState", "is ready already");
	json_decref(ctl_ok(&c, "vm-kill", vm_arg("a")));
	assert_int_equal(kill(pid, 0), -1);
	v = ctl_ok(&c, "vm-wait", json_pack("{s:s, s:s}", "vm", "a", "state", "exited"));
	json_decref(v);
	ctl_refused(&c, "vm-kill", vm_arg("a"), "InvalidState", "is exited");
	ctl_refused(&c, "vm-wait", json_pack("{s:s, s:s}", "vm", "a", "state", "ready"),
		    "GuestDead", "killed by vm-kill");
	json_decref(ctl_ok(&c, "vm-start", vm_arg("a")));
	json_decref(ctl_ok(&c, "vm-wait", json_pack("{s:s, s:s}", "vm", "a", "state", "ready")));
	assert_int_not_equal(vm_pid_of(&c, 0), pid);
	ctl_close(&c);
}

static void a_program_that_does_not_end_times_out_or_is_cancelled(void **state)
{
	struct ctl c;
	json_t *v;

	ctl_open(&c, *state);
	json_decref(ctl_ok(&c, "lab-up", up_args("exec-hang", "ready")));
	ctl_refused(&c, "vm-exec",
		    json_pack("{s:s, s:[s], s:i}", "vm", "a", "argv", "x", "timeout_ms", 100),
		    "Timeout", "runs on");
	ctl_refused(&c, "vm-wait",
		    json_pack("{s:s, s:s, s:i}", "vm", "a", "state", "panicked", "timeout_ms", 100),
		    "Timeout", "not panicked in time");
	ctl_send(&c, "{\"execute\":\"vm-exec\",\"arguments\":{\"vm\":\"a\",\"argv\":[\"x\"]},"
		     "\"id\":\"e\"}\n"
		     "{\"execute\":\"vm-wait\",\"arguments\":{\"vm\":\"a\",\"state\":\"down\"},"
		     "\"id\":\"w\"}\n"
		     "{\"execute\":\"lab-down\",\"id\":\"d\"}\n");
	for (int i = 0; i < 2; i++) {
		v = ctl_next(&c);
		assert_string_not_equal(json_string_value(json_object_get(v, "id")), "d");
		assert_string_equal(
			json_string_value(json_object_get(json_object_get(v, "error"), "class")),
			"Cancelled");
		json_decref(v);
	}
	v = ctl_next(&c);
	assert_string_equal(json_string_value(json_object_get(v, "id")), "d");
	assert_non_null(json_object_get(v, "return"));
	json_decref(v);
	ctl_close(&c);
}

static void who_does_not_end_when_told_is_killed(void **state)
{
	struct ctl c;
	pid_t pid;

	ctl_open(&c, *state);
	json_decref(ctl_ok(&c, "lab-up", up_args("stubborn", "ready")));
	pid = vm_pid_of(&c, 1);
	json_decref(ctl_ok(&c, "lab-down", NULL));
	assert_int_equal(kill(pid, 0), -1);
	ctl_close(&c);
}

static void a_client_that_leaves_during_lab_up_stops_nothing(void **state)
{
	struct hvlabd *d = *state;
	uint64_t end = now_ns() + WAIT_MS * NSEC_PER_MSEC;
	struct ctl c, other;
	json_t *req =
		json_pack("{s:s, s:o}", "execute", "lab-up", "arguments", up_args("run", "ready"));
	char *text = json_dumps(req, JSON_COMPACT);

	ctl_open(&c, d);
	ctl_open(&other, d);
	ctl_send(&c, text);
	ctl_send(&c, "\n");
	ctl_close(&c);
	free(text);
	json_decref(req);
	/* The request may not have been read yet. */
	for (;;) {
		json_t *v = ctl_call(&other, "vm-wait",
				     json_pack("{s:s, s:s}", "vm", "b", "state", "ready"));
		bool up = json_object_get(v, "return") != NULL;

		if (!up && now_ns() > end) {
			text = json_dumps(v, JSON_COMPACT);
			fail_msg("b is not ready: %s", text);
		}
		json_decref(v);
		if (up)
			break;
	}
	ctl_close(&other);
}

static void signals_take_the_lab_down(void **state)
{
	struct hvlabd *d = *state;
	struct ctl c;
	pid_t pid;

	ctl_open(&c, d);
	json_decref(ctl_ok(&c, "lab-up", up_args("run", "ready")));
	pid = vm_pid_of(&c, 0);
	kill(d->pid, SIGINT);
	assert_int_equal(hvlabd_wait(d), 0);
	assert_int_equal(kill(pid, 0), -1);
	ctl_close(&c);
}

static void a_killed_daemon_takes_its_guests_along(void **state)
{
	struct hvlabd *d = *state;
	struct ctl c;
	pid_t pid;

	ctl_open(&c, d);
	json_decref(ctl_ok(&c, "lab-up", up_args("stubborn", "ready")));
	pid = vm_pid_of(&c, 0);
	kill(d->pid, SIGKILL);
	assert_int_equal(hvlabd_wait(d), -SIGKILL);
	assert_true(wait_until(kill(pid, 0) < 0, WAIT_MS));
	ctl_close(&c);
	hvlabd_start(d);
	assert_string_equal(d->ready, "ready\n");
}

static void a_capture_goes_to_the_descriptor_that_came_along(void **state)
{
	const char *text = "{\"execute\":\"capture-start\",\"arguments\":{\"vnic\":\"a/eth0\"}}\n";
	struct iovec iov = {.iov_base = (void *)text, .iov_len = strlen(text)};
	unsigned char head[4];
	struct ctl c;
	json_t *v;
	int p[2];

	ctl_open(&c, *state);
	json_decref(ctl_ok(&c, "lab-up", up_args("run", "ready")));
	assert_int_equal(pipe(p), 0);
	assert_true(fd_send(c.fd, &iov, 1, &p[1], 1, 0) > 0);
	v = ctl_next(&c);
	assert_non_null(json_object_get(v, "return"));
	json_decref(v);
	assert_true(fd_send(c.fd, &iov, 1, &p[1], 1, 0) > 0);
	v = ctl_next(&c);
	assert_string_equal(
		json_string_value(json_object_get(json_object_get(v, "error"), "class")), "Busy");
	json_decref(v);
	close(p[1]);
	/* Section header block of pcapng. */
	assert_int_equal(read(p[0], head, sizeof(head)), 4);
	assert_memory_equal(head, "\x0a\x0d\x0d\x0a", 4);
	json_decref(ctl_ok(&c, "capture-stop", json_pack("{s:s}", "vnic", "a/eth0")));
	while (read(p[0], head, sizeof(head)) > 0)
		;
	close(p[0]); /* the daemon has closed its end, or the read above would wait */
	ctl_close(&c);
}

/* A capture of @path begins; the end to read from. */
static int capture_path(struct ctl *c, const char *path)
{
	struct iovec iov = {0};
	char text[160];
	json_t *v;
	int p[2];

	snprintf(text, sizeof(text),
		 "{\"execute\":\"capture-start\",\"arguments\":{\"vnic\":\"a/eth0\",\"path\":\"%s\"}}\n",
		 path);
	iov.iov_base = text;
	iov.iov_len = strlen(text);
	assert_int_equal(pipe(p), 0);
	assert_true(fd_send(c->fd, &iov, 1, &p[1], 1, 0) > 0);
	close(p[1]);
	v = ctl_next(c);
	assert_non_null(json_object_get(v, "return"));
	json_decref(v);
	return p[0];
}

static bool captured(struct ctl *c, const char *path)
{
	json_t *st = ctl_ok(c, "query-status", NULL), *nic, *o;
	bool on;

	nic = json_array_get(
		json_object_get(json_array_get(json_object_get(st, "vms"), 0), "vnics"), 0);
	o = *path ? json_object_get(nic, path) : nic;
	assert_true(json_is_boolean(json_object_get(o, "capture")));
	on = json_is_true(json_object_get(o, "capture"));
	json_decref(st);
	return on;
}

static void a_path_is_captured_alone(void **state)
{
	unsigned char head[4];
	int vf, syn;
	struct ctl c;

	ctl_open(&c, *state);
	json_decref(ctl_ok(&c, "lab-up", up_args("run", "ready")));
	ctl_refused(&c, "capture-stop", json_pack("{s:s, s:s}", "vnic", "a/eth0", "path", "vf"),
		    "InvalidState", "a/eth0 (vf) is not being captured");
	vf = capture_path(&c, "vf");
	syn = capture_path(&c, "synthetic");
	assert_true(captured(&c, "vf"));
	assert_true(captured(&c, "synthetic"));
	assert_false(captured(&c, ""));
	json_decref(ctl_ok(&c, "capture-stop",
			   json_pack("{s:s, s:s}", "vnic", "a/eth0", "path", "vf")));
	assert_int_equal(read(vf, head, sizeof(head)), 4);
	assert_memory_equal(head, "\x0a\x0d\x0d\x0a", 4);
	while (read(vf, head, sizeof(head)) > 0)
		;
	close(vf);
	assert_false(captured(&c, "vf"));
	/* The daemon notices by itself that nobody reads any more. */
	close(syn);
	assert_true(wait_until(!captured(&c, "synthetic"), WAIT_MS));
	ctl_refused(&c, "capture-stop",
		    json_pack("{s:s, s:s}", "vnic", "a/eth0", "path", "both"), "InvalidArgument",
		    "path");
	ctl_close(&c);
}

#define T(f) cmocka_unit_test_setup_teardown(f, hvlabd_setup, hvlabd_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(up_exec_down),
		T(the_sampler_follows_a_lab),
		T(what_cannot_be_found_is_named),
		T(a_wrong_lab_file_starts_nothing),
		T(a_missing_part_starts_nothing),
		T(a_failed_start_is_explained_and_undone),
		T(a_lab_that_is_not_ready_can_be_kept_for_a_look),
		T(a_vm_that_dies_takes_only_its_own_requests_along),
		T(what_qemu_says_last_is_told),
		T(kill_and_start_again),
		T(a_program_that_does_not_end_times_out_or_is_cancelled),
		T(who_does_not_end_when_told_is_killed),
		T(a_client_that_leaves_during_lab_up_stops_nothing),
		T(signals_take_the_lab_down),
		T(a_killed_daemon_takes_its_guests_along),
		T(a_capture_goes_to_the_descriptor_that_came_along),
		T(a_path_is_captured_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
