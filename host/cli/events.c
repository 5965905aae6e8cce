/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns "hvlab events": what happens, as it happens. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "host/cli/commands.h"

struct watch {
	struct cli *cli;
	long left; /* events still wanted; -1: all */
};

static void print_value(const char *key, const json_t *value)
{
	char *text;

	if (json_is_string(value)) {
		const char *s = json_string_value(value);
		bool quote = strchr(s, ' ') || !*s;

		printf(quote ? "  %s=\"" : "  %s=", key);
		for (; *s; s++)
			putchar((unsigned char)*s < 0x20 || *s == 0x7f ? '?' : *s);
		if (quote)
			putchar('"');
		return;
	}
	text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
	printf("  %s=%s", key, text ? text : "?");
	free(text);
}

static void print_event(const json_t *event)
{
	time_t sec = (time_t)out_int(event, "timestamp.seconds");
	const json_t *console = out_path(event, "data.console");
	const char *key;
	json_t *value, *line;
	struct tm tm;
	size_t i;

	localtime_r(&sec, &tm);
	printf("%02d:%02d:%02d.%06lld  %s", tm.tm_hour, tm.tm_min, tm.tm_sec,
	       out_int(event, "timestamp.microseconds"), out_str(event, "event", "?"));
	json_object_foreach(json_object_get(event, "data"), key, value)
		if (value != console)
			print_value(key, value);
	if (json_object_get(event, "lost"))
		printf("  (%lld events before it were lost)", out_int(event, "lost"));
	putchar('\n');
	json_array_foreach((json_t *)console, i, line) {
		fputs("    ", stdout);
		out_line(NULL, json_is_string(line) ? json_string_value(line) : "");
	}
}

static void on_event(void *arg, const json_t *event)
{
	struct watch *w = arg;

	if (w->left == 0)
		return;
	if (w->cli->out.json)
		out_json_line(event);
	else
		print_event(event);
	fflush(stdout);
	if (w->left > 0)
		w->left--;
}

static int wait_for_events(struct cli *cli, const long *left, int timeout_ms)
{
	uint64_t end = timeout_ms < 0 ? 0 : now_ns() + (uint64_t)timeout_ms * NSEC_PER_MSEC;
	int ret = 0;

	while (!ret && *left != 0 && !out_broken()) {
		uint64_t now = now_ns();

		if (end && now >= end)
			return 0;
		ret = client_wait(cli->client, 0, end ? (int)((end - now) / NSEC_PER_MSEC) : -1,
				  NULL);
		ret = ret == -ETIMEDOUT ? 0 : ret;
	}
	return ret;
}

int cli_watch(struct cli *cli, json_t *names, void (*fn)(void *arg, const json_t *event),
	      void *arg, const long *left, int timeout_ms)
{
	json_t *args = names ? json_pack("{s:o}", "events", names) : NULL, *value;
	int ret;

	if (!cli->client && cli_connect(cli) < 0) {
		json_decref(args);
		return CLI_FAILED;
	}
	client_wake_on(cli->client, cli_signals());
	client_on_event(cli->client, fn, arg);
	value = cli_call(cli, "events-subscribe", args);
	if (!value)
		return CLI_FAILED;
	json_decref(value);
	ret = wait_for_events(cli, left, timeout_ms);
	/* The daemon's end is the end of its events, and Ctrl-C the usual way to stop. */
	if (ret && ret != -EPIPE && ret != -EINTR) {
		cli_report(ret, NULL);
		return CLI_FAILED;
	}
	return CLI_OK;
}

static int run(struct cli *cli, int argc, char **argv)
{
	static const struct option longs[] = {
		{"follow", no_argument, NULL, 'f'},
		{"count", required_argument, NULL, 'n'},
		{"timeout", required_argument, NULL, 't'},
		{0},
	};
	struct watch w = {.cli = cli, .left = -1};
	int opt, timeout_ms = -1;
	json_t *names = NULL;

	while ((opt = cli_getopt(cli, argc, argv, "fn:", longs)) != -1) {
		if (opt == 'n')
			w.left = cli_number(cli, "--count", optarg, 1, 1 << 30);
		else if (opt == 't')
			timeout_ms = cli_seconds(cli, "--timeout", optarg);
	}
	if (optind < argc)
		names = json_array();
	for (int i = optind; i < argc; i++)
		json_array_append_new(names, json_string(argv[i]));
	return cli_watch(cli, names, on_event, &w, &w.left, timeout_ms);
}

const struct cli_command cmd_events = {
	.name = "events",
	.args = "[EVENT...] [--json] [-f] [-n N] [--timeout S]",
	.summary = "Print what happens as it happens: states of VMs and NICs, resets, errors",
	.help = "Without EVENT all are printed but DROP, see hvlab drops. Ends with Ctrl-C or with the daemon.\n\n"
		"Options:\n"
		"  --json           one JSON object per line, as in docs/protocol.md\n"
		"  -f, --follow     go on until Ctrl-C (this is so without it too)\n"
		"  -n, --count N    end after N events\n"
		"  --timeout S      end after S seconds\n\n"
		"Examples:\n"
		"  hvlab events\n"
		"  hvlab events VM_STATE VNIC_STATE --json\n"
		"  hvlab events VNIC_RESET -n 1 --timeout 60\n",
	.json = true,
	.run = run,
};
