/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns "hvlab down": the lab and its daemon taken down, and nothing left of them. */
#include <errno.h>
#include <string.h>

#include "host/cli/commands.h"

#define EXIT_MS 15000 /* for a daemon that said it ends */

static void on_event(void *arg, const json_t *event)
{
	if (strcmp(out_str(event, "event", ""), "QUIT") == 0)
		*(bool *)arg = true;
}

static void show(struct output *out, const json_t *v)
{
	if (json_is_true(json_object_get(v, "was_up")))
		out_text(out, "%lld VM%s down\n", out_int(v, "vms"),
			 out_int(v, "vms") == 1 ? "" : "s");
	else
		out_text(out, "no lab is up\n");
}

/* Down for a daemon that has a lab. The number of VMs, or -1 with a message. */
static int take_down(struct cli *cli, bool graceful, int timeout_ms)
{
	json_t *args = json_pack("{s:b}", "graceful", graceful), *value;
	struct client_answer a;
	bool quits = false;
	int vms, ret;

	if (graceful && timeout_ms)
		json_object_set_new(args, "timeout_ms", json_integer(timeout_ms));
	client_on_event(cli->client, on_event, &quits);
	json_decref(cli_call(cli, "events-subscribe", json_pack("{s:[s]}", "events", "QUIT")));
	value = cli_call_slow(cli, "lab-down", args);
	if (!value)
		return -1;
	vms = (int)out_int(value, "vms");
	json_decref(value);
	/*
	 * A daemon that was started for this lab alone says QUIT right behind its answer, before
	 * it reads anything more. Its end of file is the proof that all is gone.
	 */
	ret = client_call(cli->client, "query-version", NULL, &a);
	client_answer_fini(&a);
	if (!ret && !quits)
		return vms; /* it stays */
	while (!ret)
		ret = client_wait(cli->client, 0, EXIT_MS, NULL);
	if (ret == -ETIMEDOUT) {
		cli_error("look at its log", "the lab is down, but the daemon (pid %lld) does not end",
			  out_int(client_greeting(cli->client), "pid"));
		return -1;
	}
	return vms;
}

static int run(struct cli *cli, int argc, char **argv)
{
	static const struct option longs[] = {
		{"graceful", no_argument, NULL, 'g'},
		{"timeout", required_argument, NULL, 't'},
		{0},
	};
	bool graceful = false, was_up;
	json_t *status, *result;
	int opt, vms = 0, timeout_ms = 0;

	while ((opt = cli_getopt(cli, argc, argv, "gt:", longs)) != -1) {
		if (opt == 'g')
			graceful = true;
		else
			timeout_ms = cli_seconds(cli, "--timeout", optarg);
	}
	cli_args(cli, argc, 0, "");
	if (timeout_ms && !graceful)
		cli_usage(cli, "--timeout goes with --graceful");
	if (cli_runtime(cli) < 0)
		return CLI_FAILED;
	opt = client_open(cli->dir, &cli->client);
	if (opt == -ENOENT || opt == -ECONNREFUSED) {
		was_up = false;
	} else {
		if (opt && cli_connect(cli) < 0)
			return CLI_FAILED;
		status = cli_call(cli, "query-status", NULL);
		if (!status)
			return CLI_FAILED;
		was_up = json_is_object(json_object_get(status, "lab"));
		json_decref(status);
		if (was_up)
			vms = take_down(cli, graceful, timeout_ms);
		if (vms < 0)
			return CLI_FAILED;
	}
	result = json_pack("{s:b, s:i}", "was_up", was_up, "vms", vms);
	out_result(&cli->out, result, show);
	json_decref(result);
	return CLI_OK;
}

const struct cli_command cmd_down = {
	.name = "down",
	.args = "[--graceful [--timeout S]] [--json]",
	.summary = "Take the lab down: guests, devices, networks, and the daemon that up started",
	.help = "The guests are ended at once, unless they are asked first with --graceful. No lab\n"
		"being up is no error.\n\n"
		"Options:\n"
		"  -g, --graceful     ask the guests to power off first\n"
		"  -t, --timeout S    how long they have for it; default 30\n"
		"  --json             {\"was_up\": BOOL, \"vms\": N}\n\n"
		"Examples:\n"
		"  hvlab down\n"
		"  hvlab down --graceful --timeout 60\n",
	.json = true,
	.run = run,
};
