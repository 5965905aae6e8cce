/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns "hvlab up": from a lab file to guests that answer and drive their NICs.
 *
 * Check the file; obtain the parts; start the daemon unless one runs; hand it the lab; show what
 * happens; wait. Whatever goes wrong, and on Ctrl-C at any moment, everything that this run
 * started is taken down again, and the daemon's end is waited for as the proof.
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/cli/commands.h"
#include "host/cli/lab_file.h"
#include "host/lab.h"

#define DEFAULT_TIMEOUT_MS 180000
#define DRIVEN_TURN_MS	   1000	 /* between looks at the state, should an event be lost */
#define DOWN_MS		   30000 /* for everything to be gone */

struct up {
	struct cli *cli;
	struct lab *lab;
	char file[PATH_MAX];
	int sigfd;
	uint64_t start, deadline; /* now_ns() */
	bool wait, keep;
	const char *accel, *msix, *host;
	json_t *parts;
	pid_t daemon; /* the one we started, or 0 */
	bool ours;    /* a lab of ours may be up */
};

/* A line of progress with the time since the start. */
static void say(const struct up *up, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void say(const struct up *up, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	for (char *c = text; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
	fprintf(stderr, "%6.1f s  %s\n", (double)(now_ns() - up->start) / 1e9, text);
}

static void on_event(void *arg, const json_t *event)
{
	const struct up *up = arg;
	const char *name = out_str(event, "event", "");
	const json_t *data = json_object_get(event, "data");
	const char *vm = out_str(data, "vm", "?"), *vnic = out_str(data, "vnic", "?");
	const char *state = out_str(data, "state", "?"), *reason = out_str(data, "reason", NULL);

	if (strcmp(name, "VM_STATE") == 0)
		say(up, "%s: %s%s%s", vm, state, reason ? ": " : "", reason ? reason : "");
	else if (strcmp(name, "VNIC_STATE") == 0)
		say(up, "%s: VF %s", vnic, state);
	else if (strcmp(name, "VM_REBOOT") == 0)
		say(up, "%s: rebooted", vm);
	else if (strcmp(name, "FABRIC_STATE") == 0)
		say(up, "fabric: %s%s%s", state, reason ? ": " : "", reason ? reason : "");
	else if (strcmp(name, "VNIC_GUEST_ERROR") == 0)
		say(up, "%s: %s", vnic, out_str(data, "text", "?"));
}

static int left_ms(const struct up *up)
{
	uint64_t now = now_ns();

	return now >= up->deadline ? 0 : (int)((up->deadline - now) / NSEC_PER_MSEC + 1);
}

/* ---- parts ---- */

/* Does an earlier VM boot the same image? Its part then; borrowed. */
static json_t *same_image(const struct up *up, const json_t *images, unsigned int v)
{
	const struct lab_vm *vm = &up->lab->vms[v];

	for (unsigned int i = 0; i < v; i++) {
		const struct lab_vm *o = &up->lab->vms[i];

		if (strcmp(vm->kernel, o->kernel) == 0 && !vm->bzimage == !o->bzimage &&
		    (!vm->bzimage || strcmp(vm->bzimage, o->bzimage) == 0) &&
		    !vm->modules == !o->modules &&
		    (!vm->modules || strcmp(vm->modules, o->modules) == 0))
			return json_object_get(images, o->name);
	}
	return NULL;
}

static json_t *get_image(struct up *up, const struct lab_vm *vm, bool *interrupted)
{
	const char *argv[8] = {"image", "--json"};
	int n = 2;

	if (vm->bzimage) {
		argv[n++] = "--bzimage";
		argv[n++] = vm->bzimage;
		if (vm->modules) {
			argv[n++] = "--modules";
			argv[n++] = vm->modules;
		}
	} else {
		argv[n++] = vm->kernel;
	}
	return cli_parts(up->cli, argv, up->sigfd, interrupted);
}

/* 0; CLI_FAILED or CLI_INTERRUPTED with a message. */
static int get_parts(struct up *up)
{
	static const char *const qemu_argv[] = {"qemu", "--json", NULL};
	json_t *images = json_object(), *qemu;
	bool interrupted = false;

	qemu = cli_parts(up->cli, qemu_argv, up->sigfd, &interrupted);
	for (unsigned int v = 0; qemu && v < up->lab->n_vms; v++) {
		const struct lab_vm *vm = &up->lab->vms[v];
		json_t *image = json_incref(same_image(up, images, v));

		if (!image)
			image = get_image(up, vm, &interrupted);
		if (!image) {
			json_decref(qemu);
			qemu = NULL;
			break;
		}
		json_object_set_new(images, vm->name, image);
	}
	if (!qemu) {
		json_decref(images);
		if (interrupted)
			fprintf(stderr, "hvlab: interrupted; nothing was started\n");
		return interrupted ? CLI_INTERRUPTED : CLI_FAILED;
	}
	say(up, "parts: QEMU %s and the guests' images are here", out_str(qemu, "version", "?"));
	up->parts = json_pack("{s:o, s:o}", "qemu", qemu, "images", images);
	return 0;
}

/* ---- down again ---- */

static void take_down(struct up *up, const char *why)
{
	struct client *c = up->cli->client;
	struct client_answer a;
	int ret = -EPIPE, id;

	if (why)
		fprintf(stderr, "hvlab: %s; taking everything down\n", why);
	if (c) {
		client_on_event(c, NULL, NULL);
		id = client_send(c, up->daemon ? "quit" : "lab-down", NULL, -1);
		ret = id < 0 ? id : client_wait(c, id, DOWN_MS, &a);
		if (!ret)
			client_answer_fini(&a);
		/* A daemon of ours ends with its lab: its end of file is the end of everything. */
		while (up->daemon && !ret)
			ret = client_wait(c, 0, DOWN_MS, NULL);
	}
	if (ret == -EINTR || ret == -ETIMEDOUT) {
		cli_error("run hvlab down", "%s before everything was down",
			  ret == -EINTR ? "interrupted again" : "gave up waiting");
		if (up->daemon)
			kill(up->daemon, SIGTERM);
		return;
	}
	if (up->daemon)
		cli_reap(up->daemon);
}

/* The signal that woke us is taken, so that the next one is a second one. */
static void eat_signal(int sigfd)
{
	char buf[1024];

	while (read(sigfd, buf, sizeof(buf)) > 0)
		;
}

static int failed(struct up *up, int ret)
{
	if (ret == -EINTR)
		eat_signal(up->sigfd);
	else if (up->keep && up->ours) {
		fprintf(stderr, "hvlab: left as it is for a look; hvlab down takes it down\n");
		return CLI_FAILED;
	}
	if (up->ours || up->daemon)
		take_down(up, ret == -EINTR ? "interrupted" : NULL);
	fprintf(stderr, "hvlab: %snothing is left running\n",
		ret == -EINTR ? "interrupted; " : "");
	return ret == -EINTR ? CLI_INTERRUPTED : CLI_FAILED;
}

/* ---- up ---- */

/* Is there a daemon with a lab already? 0; 1 with a message. */
static int already_up(struct up *up)
{
	struct cli *cli = up->cli;
	json_t *status;
	int ret = client_open(cli->dir, &cli->client);

	if (ret == -ENOENT || ret == -ECONNREFUSED)
		return 0;
	if (ret)
		return cli_connect(cli) < 0; /* it says why */
	status = cli_call(cli, "query-status", NULL);
	if (status && json_is_object(json_object_get(status, "lab"))) {
		cli_error("take it down with: hvlab down", "the lab %s (%s) is up already",
			  out_str(status, "lab.name", "?"), out_str(status, "lab.file", "?"));
		ret = 1;
	}
	json_decref(status);
	return ret || !status;
}

static int connect_daemon(struct up *up)
{
	struct cli *cli = up->cli;
	pid_t pid;

	if (!cli->client) {
		pid = cli_start_daemon(cli, up->sigfd);
		if (pid == -2)
			return -EINTR;
		if (pid < 0)
			return -EIO;
		up->daemon = pid;
		say(up, "hvlabd: started, pid %d", (int)pid);
		if (cli_connect(cli) < 0) {
			kill(pid, SIGTERM);
			cli_reap(pid);
			up->daemon = 0;
			return -EIO;
		}
	}
	client_wake_on(cli->client, up->sigfd);
	client_on_event(cli->client, on_event, up);
	return 0;
}

/* Send and wait; 0, -EINTR, or another negative with a message. */
static int call(struct up *up, const char *command, json_t *args, json_t **value)
{
	struct client_answer a;
	int ret = client_call(up->cli->client, command, args, &a);

	if (ret == -EINTR)
		return ret;
	if (ret || a.error) {
		cli_report(ret, &a);
		client_answer_fini(&a);
		return ret ? ret : -EIO;
	}
	if (value)
		*value = a.value;
	else
		client_answer_fini(&a);
	return 0;
}

static bool lab_is_up(struct up *up)
{
	struct client_answer a;
	bool is_up = client_call(up->cli->client, "query-status", NULL, &a) == 0 &&
		     json_is_object(json_object_get(a.value, "lab"));

	client_answer_fini(&a);
	return is_up;
}

static int send_lab(struct up *up)
{
	json_t *lab = lab_to_json(up->lab), *args;
	char *text = json_dumps(lab, JSON_INDENT(2));
	int ret;

	json_decref(lab);
	args = json_pack("{s:s, s:s, s:O, s:s, s:b, s:I, s:s*, s:s*, s:s*}", "content", text, "file",
			 up->file, "parts", up->parts, "wait", up->wait ? "ready" : "started",
			 "keep_failed", up->keep, "timeout_ms", (json_int_t)left_ms(up) + 1, "accel",
			 up->accel, "msix", up->msix, "host",
			 up->lab->fabric.on ? up->lab->fabric.hosts[up->lab->here].name : NULL);
	free(text);
	ret = call(up, "events-subscribe", NULL, NULL);
	if (ret) {
		json_decref(args);
		return ret;
	}
	up->ours = true;
	ret = call(up, "lab-up", args, NULL);
	/* A refused lab-up has undone itself, unless it was told to keep what failed. */
	if (ret && ret != -EINTR && !(up->keep && lab_is_up(up)))
		up->ours = false;
	return ret;
}

/* The path of a NIC that no driver runs; NULL: each that it has now is driven. */
static const char *idle_path(const json_t *nic)
{
	const json_t *weight = json_object_get(nic, "weight"); /* 0: the VF is off for now */

	if (json_is_object(json_object_get(nic, "synthetic")) &&
	    strcmp(out_str(nic, "synthetic.state", ""), "driven") != 0)
		return "synthetic";
	if (json_is_object(json_object_get(nic, "vf")) && (!weight || json_integer_value(weight)) &&
	    strcmp(out_str(nic, "vf.state", ""), "driven") != 0)
		return "vf";
	return NULL;
}

/* The first NIC with such a path, or the first VM that is down; NULL: all is well. */
static const json_t *not_driven(const json_t *status, const json_t **dead)
{
	const json_t *first = NULL;
	json_t *vm, *nic;
	size_t v, n;

	*dead = NULL;
	json_array_foreach(json_object_get(status, "vms"), v, vm) {
		const char *state = out_str(vm, "state", "");

		if (!*dead && (strcmp(state, "panicked") == 0 || strcmp(state, "exited") == 0 ||
			       strcmp(state, "failed") == 0))
			*dead = vm;
		json_array_foreach(json_object_get(vm, "vnics"), n, nic)
			if (!first && idle_path(nic))
				first = nic;
	}
	return first;
}

/* Until every NIC is driven. *@status is the state then. 0, -EINTR, or negative with a message. */
static int wait_driven(struct up *up, json_t **status)
{
	for (;;) {
		const json_t *nic, *dead;
		int ret = call(up, "query-status", NULL, status);

		if (ret)
			return ret;
		nic = up->wait ? not_driven(*status, &dead) : NULL;
		if (!nic)
			return 0;
		if (dead) {
			cli_error("look at it with --keep and hvlab log",
				  "VM %s is %s: %s", out_str(dead, "name", "?"),
				  out_str(dead, "state", "?"), out_str(dead, "reason", "?"));
			ret = -EIO;
		} else if (left_ms(up) == 0) {
			bool vf = strcmp(idle_path(nic), "vf") == 0;

			cli_error("does that kernel have the driver? Look at it with --keep and "
				  "hvlab log",
				  "%s: no driver runs the %s (it is %s)", out_str(nic, "id", "?"),
				  vf ? "VF" : "synthetic path",
				  out_str(nic, vf ? "vf.state" : "synthetic.state", "?"));
			ret = -ETIMEDOUT;
		}
		json_decref(*status);
		*status = NULL;
		if (ret)
			return ret;
		ret = client_wait(up->cli->client, 0, MIN(left_ms(up), DRIVEN_TURN_MS), NULL);
		if (ret && ret != -ETIMEDOUT) {
			if (ret != -EINTR)
				cli_report(ret, NULL);
			return ret;
		}
	}
}

static void load(struct up *up, const char *file)
{
	struct lab_errors errs = {0};
	int ret = lab_load_file(file, &up->lab, &errs);
	char why[320];

	if (ret)
		cli_lab_errors(&errs, ret);
	lab_errors_free(&errs);
	if (!ret && lab_choose_host(up->lab, up->host, why, sizeof(why))) {
		cli_error(NULL, "%s", why);
		lab_free(up->lab);
		up->lab = NULL;
		return;
	}
	if (!ret && !realpath(file, up->file))
		snprintf(up->file, sizeof(up->file), "%s", file);
}

static int bring_up(struct up *up)
{
	json_t *status = NULL;
	int ret;

	if (cli_runtime(up->cli) < 0 || already_up(up))
		return CLI_FAILED;
	up->sigfd = cli_signals();
	ret = get_parts(up);
	if (ret)
		return ret;
	/* The parts may have been downloaded: the time-out is for the guests. */
	ret = connect_daemon(up);
	up->deadline += now_ns() - up->start;
	if (!ret)
		ret = send_lab(up);
	if (!ret)
		ret = wait_driven(up, &status);
	if (ret)
		return failed(up, ret);
	say(up, "%s is %s", up->lab->name, up->wait ? "up" : "started");
	out_result(&up->cli->out, status, cli_show_status);
	json_decref(status);
	return CLI_OK;
}

static const char *one_of(struct cli *cli, const char *what, const char *text, const char *a,
			  const char *b, const char *c)
{
	if (strcmp(text, a) && strcmp(text, b) && strcmp(text, c))
		cli_usage(cli, "%s: \"%s\" is none of %s, %s, %s", what, text, a, b, c);
	return text;
}

static int run(struct cli *cli, int argc, char **argv)
{
	static const struct option longs[] = {
		{"wait", no_argument, NULL, 'w'},	{"no-wait", no_argument, NULL, 'W'},
		{"timeout", required_argument, NULL, 't'}, {"keep", no_argument, NULL, 'k'},
		{"accel", required_argument, NULL, 'a'},	{"msix", required_argument, NULL, 'm'},
		{"host", required_argument, NULL, 'H'},
		{0},
	};
	struct up up = {.cli = cli, .wait = true, .sigfd = -1, .start = now_ns()};
	int opt, status, timeout_ms = DEFAULT_TIMEOUT_MS;

	while ((opt = cli_getopt(cli, argc, argv, "wt:k", longs)) != -1) {
		switch (opt) {
		case 'w':
			up.wait = true;
			break;
		case 'W':
			up.wait = false;
			break;
		case 't':
			timeout_ms = cli_seconds(cli, "--timeout", optarg);
			break;
		case 'k':
			up.keep = true;
			break;
		case 'a':
			up.accel = one_of(cli, "--accel", optarg, "auto", "kvm", "tcg");
			break;
		case 'H':
			up.host = optarg;
			break;
		case 'm':
			up.msix = one_of(cli, "--msix", optarg, "auto", "native", "masquerade");
			break;
		}
	}
	cli_args(cli, argc, 1, "FILE");
	up.deadline = up.start + (uint64_t)timeout_ms * NSEC_PER_MSEC;
	load(&up, argv[optind]);
	status = up.lab ? bring_up(&up) : CLI_FAILED;
	json_decref(up.parts);
	lab_free(up.lab);
	return status;
}

const struct cli_command cmd_up = {
	.name = "up",
	.args = "FILE [--host NAME] [--no-wait] [--timeout S] [--keep] [--json]",
	.summary = "Start the guests of a lab file and wait until they answer",
	.help = "Checks the file, obtains QEMU and guest images where they are missing, starts the\n"
		"daemon unless one runs, and starts the guests. Returns when every guest's agent has\n"
		"answered and every NIC is run by the guest's driver. When that fails, and on Ctrl-C,\n"
		"everything is taken down again.\n\n"
		"Options:\n"
		"      --host NAME    of a lab with a fabric: start what runs on that host. Default: the\n"
		"                     lab file's fabric.host, else the host called as this machine\n"
		"  -w, --wait         wait for the guests (this is so without it too)\n"
		"      --no-wait      return as soon as every QEMU runs\n"
		"  -t, --timeout S    how long to wait for the guests; default 180\n"
		"  -k, --keep         when a guest fails, leave everything up for a look\n"
		"      --accel A      auto (default), kvm or tcg\n"
		"      --msix M       auto (default), native or masquerade: docs/architecture.md\n"
		"      --json         print the state as JSON: query-status in docs/protocol.md\n\n"
		"Environment:\n"
		"  HVLAB_PARTS        another scripts/parts\n"
		"  HVLAB_DAEMON       another hvlabd\n\n"
		"Examples:\n"
		"  hvlab up examples/pair.yaml\n"
		"  hvlab up lab.yaml --timeout 60 --json > state.json\n",
	.json = true,
	.run = run,
};
