/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the commands about the daemon and about the lab as a whole (docs/protocol.md). */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "host/drops.h"
#include "host/run.h"

#define DAY_MS (24 * 3600 * 1000)

static void query_commands(void *arg, struct control_req *req, const json_t *args)
{
	struct daemon *d = arg;

	(void)args;
	control_return(req, control_list(d->control));
}

static const struct arg_spec schema_args[] = {
	{.name = "command", .type = ARG_STRING, .doc = "only this one"},
};

static void query_schema(void *arg, struct control_req *req, const json_t *args)
{
	const char *name = args_str(args, "command", NULL);
	struct daemon *d = arg;
	json_t *schema = control_schema(d->control, name);

	if (schema)
		control_return(req, schema);
	else
		control_fail(req, CTL_NOT_FOUND, "query-commands lists them",
			     "no command is called '%.40s'", name);
}

static void query_version(void *arg, struct control_req *req, const json_t *args)
{
	(void)arg;
	(void)args;
	control_return(req, json_pack("{s:s, s:i, s:i}", "version", HVLAB_VERSION, "protocol",
				      CONTROL_PROTOCOL, "pid", (int)getpid()));
}

static void query_status(void *arg, struct control_req *req, const json_t *args)
{
	(void)args;
	control_return(req, report_status(arg));
}

static const struct arg_spec log_level_args[] = {
	{.name = "level",
	 .type = ARG_STRING,
	 .values = "err|warn|info|debug",
	 .doc = "lines above it are dropped; absent: only ask"},
};

static void log_level(void *arg, struct control_req *req, const json_t *args)
{
	static const char *const names[] = {"err", "warn", "info", "debug"};
	const char *level = args_str(args, "level", NULL);

	(void)arg;
	if (level)
		log_set_level((enum log_level)log_level_parse(level));
	control_return(req, json_pack("{s:s}", "level", names[log_get_level()]));
}

static const struct arg_spec subscribe_args[] = {
	{.name = "events", .type = ARG_STRINGS, .doc = "names; absent: all"},
};

static void events_subscribe(void *arg, struct control_req *req, const json_t *args)
{
	control_subscribe(req, true, json_object_get(args, "events"));
	drops_check(arg);
	control_return(req, NULL);
}

static void events_unsubscribe(void *arg, struct control_req *req, const json_t *args)
{
	(void)arg;
	(void)args;
	control_subscribe(req, false, NULL);
	control_return(req, NULL);
}

static void quit(void *arg, struct control_req *req, const json_t *args)
{
	(void)args;
	control_return(req, NULL);
	daemon_quit(arg, "quit");
}

static const struct arg_spec lab_up_args[] = {
	{.name = "content", .type = ARG_STRING, .doc = "the lab file's text"},
	{.name = "path", .type = ARG_STRING, .doc = "absolute path of the lab file"},
	{.name = "file", .type = ARG_STRING, .doc = "with content: the file's name for messages"},
	{.name = "parts",
	 .type = ARG_OBJECT,
	 .required = true,
	 .doc = "{qemu: scripts/parts qemu --json, images: {VM: scripts/parts image --json}}"},
	{.name = "wait",
	 .type = ARG_STRING,
	 .values = "started|ready",
	 .doc = "answer when all run, or when all agents answer"},
	{.name = "timeout_ms", .type = ARG_INT, .min = 1, .max = DAY_MS, .doc = "for wait"},
	{.name = "keep_failed", .type = ARG_BOOL, .doc = "leave a lab up that is not ready"},
	{.name = "host", .type = ARG_STRING, .doc = "with a fabric: which of its hosts this is"},
	{.name = "accel", .type = ARG_STRING, .values = "auto|kvm|tcg", .doc = "accelerator"},
	{.name = "msix",
	 .type = ARG_STRING,
	 .values = "auto|native|masquerade",
	 .doc = "how interrupts reach the guest"},
};

static void lab_up(void *arg, struct control_req *req, const json_t *args)
{
	const char *path = args_str(args, "path", NULL);

	if (path && path[0] != '/')
		control_fail(req, CTL_INVALID_ARGUMENT, NULL, "'path' must be absolute");
	else
		run_up(arg, req, args);
}

static const struct arg_spec lab_down_args[] = {
	{.name = "graceful", .type = ARG_BOOL, .doc = "ask the guests to power off first"},
	{.name = "timeout_ms", .type = ARG_INT, .min = 1, .max = DAY_MS, .doc = "for graceful"},
};

static void lab_down(void *arg, struct control_req *req, const json_t *args)
{
	struct daemon *d = arg;

	if (!d->run)
		control_fail(req, CTL_INVALID_STATE, NULL, "no lab is up");
	else
		run_down(d->run, req, args_bool(args, "graceful", false),
			 (unsigned int)args_int(args, "timeout_ms", 30000));
}

#define ARGS(a) .specs = (a), .n_specs = ARRAY_SIZE(a)

const struct control_cmd commands_daemon[] = {
	{.name = "query-commands",
	 .doc = "all commands",
	 .returns = "[{name, doc}]",
	 .fn = query_commands},
	{.name = "query-schema",
	 .doc = "what commands take and give",
	 .returns = "[{name, doc, arguments, returns, slow, fd}]",
	 ARGS(schema_args),
	 .fn = query_schema},
	{.name = "query-version",
	 .doc = "version of the daemon and the protocol",
	 .returns = "{version, protocol, pid}",
	 .fn = query_version},
	{.name = "query-status",
	 .doc = "daemon, lab, networks, VMs, vNICs",
	 .returns = "{version, ..., lab, networks, vms}",
	 .fn = query_status},
	{.name = "log-level",
	 .doc = "how much is logged",
	 .returns = "{level}",
	 ARGS(log_level_args),
	 .fn = log_level},
	{.name = "events-subscribe",
	 .doc = "send events to this connection",
	 .returns = "{}",
	 ARGS(subscribe_args),
	 .fn = events_subscribe},
	{.name = "events-unsubscribe",
	 .doc = "send no events any more",
	 .returns = "{}",
	 .fn = events_unsubscribe},
	{.name = "quit",
	 .doc = "take the lab down and end the daemon",
	 .returns = "{}",
	 .fn = quit},
	{.name = "lab-up",
	 .doc = "start a lab",
	 .returns = "{name, vms: [{name, state}]}",
	 .slow = true,
	 ARGS(lab_up_args),
	 .fn = lab_up},
	{.name = "lab-down",
	 .doc = "end the lab and remove all of it",
	 .returns = "{vms}",
	 .slow = true,
	 ARGS(lab_down_args),
	 .fn = lab_down},
	{0},
};
