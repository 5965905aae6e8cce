/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns what every command does the same way: options, messages, the connection, signals. */
#include "host/cli/cli.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "host/lab_internal.h"

#define CALL_MS	    30000 /* for an answer that needs no guest */

enum { OPT_RUNTIME_DIR = 1000, OPT_JSON };

static const struct option common[] = {
	{"help", no_argument, NULL, 'h'},
	{"verbose", no_argument, NULL, 'v'},
	{"runtime-dir", required_argument, NULL, OPT_RUNTIME_DIR},
	{"json", no_argument, NULL, OPT_JSON}, /* last: left out where a command has none */
};

void cli_usage(struct cli *cli, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "hvlab%s%s: ", cli->cmd ? " " : "", cli->cmd ? cli->cmd->name : "");
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	if (cli->cmd)
		fprintf(stderr, "\nusage: hvlab %s %s\nSee: hvlab help %s\n", cli->cmd->name,
			cli->cmd->args, cli->cmd->name);
	else
		fprintf(stderr, "\nSee: hvlab help\n");
	exit(CLI_USAGE);
}

static void bad_option(struct cli *cli, const char *arg, const struct option *longs)
{
	const char *words[CLI_MAX_OPTIONS] = {NULL};
	char name[64];
	const char *near;
	int n = 0;

	/* optopt is 0 or the option's value for a long one. */
	for (const struct option *o = longs; o->name; o++)
		words[n++] = o->name;
	if (arg[0] != '-' || arg[1] != '-')
		cli_usage(cli, "unknown option -%c", optopt);
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(arg + 2, "="), arg + 2);
	for (n = 0; words[n]; n++)
		if (strcmp(words[n], name) == 0)
			cli_usage(cli, "--%s takes no value", name);
	near = lab_nearest(name, words);
	if (near)
		cli_usage(cli, "unknown option --%s; did you mean --%s?", name, near);
	cli_usage(cli, "unknown option --%s", name);
}

int cli_getopt(struct cli *cli, int argc, char **argv, const char *shorts,
	       const struct option *longs)
{
	struct option all[CLI_MAX_OPTIONS] = {{0}};
	size_t n = 0, n_common = ARRAY_SIZE(common) - !(cli->cmd && cli->cmd->json);
	bool first = !cli->cmd || cli->cmd->first;
	char opts[64];
	int opt;

	for (; longs && longs->name && n < CLI_MAX_OPTIONS - 1 - n_common; longs++)
		all[n++] = *longs;
	memcpy(all + n, common, n_common * sizeof(*common));
	snprintf(opts, sizeof(opts), "%s:%shv", first ? "+" : "", shorts ? shorts : "");
	opterr = 0;
	for (;;) {
		opt = getopt_long(argc, argv, opts, all, NULL);
		switch (opt) {
		case 'h':
			if (cli->cmd)
				cli_print_help(cli->cmd);
			else
				cli_print_overview();
			exit(out_finish(CLI_OK));
		case 'v':
			cli->verbose = true;
			break;
		case OPT_RUNTIME_DIR:
			cli->dir_wanted = optarg;
			break;
		case OPT_JSON:
			cli->out.json = true;
			break;
		case ':':
			cli_usage(cli, "%s needs a value", argv[optind - 1]);
		case '?':
			bad_option(cli, argv[optind - 1], all);
			break;
		default:
			return opt;
		}
	}
}

void cli_args(struct cli *cli, int argc, int want, const char *what)
{
	int have = argc - optind;

	if (have < want)
		cli_usage(cli, "%s missing", what);
	if (have > want)
		cli_usage(cli, "%d argument%s too many", have - want, have - want > 1 ? "s" : "");
}

long cli_number(struct cli *cli, const char *what, const char *text, long min, long max)
{
	char *end;
	long v;

	errno = 0;
	v = strtol(text, &end, 10);
	if (errno || end == text || *end || v < min || v > max)
		cli_usage(cli, "%s: \"%s\" is not a number from %ld to %ld", what, text, min, max);
	return v;
}

int cli_seconds(struct cli *cli, const char *what, const char *text)
{
	char *end;
	double v = strtod(text, &end);

	if (end == text || *end || !isfinite(v) || v <= 0 || v > 1e6)
		cli_usage(cli, "%s: \"%s\" is not a number of seconds above 0", what, text);
	return v < 0.001 ? 1 : (int)(v * 1000);
}

/* On stderr, whatever the text came from. */
static void print_clean(const char *s)
{
	for (; *s; s++)
		fputc(((unsigned char)*s < 0x20 && *s != '\t') || *s == 0x7f ? '?' : *s, stderr);
}

void cli_error(const char *remedy, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	fflush(stdout);
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fputs("hvlab: ", stderr);
	print_clean(text);
	fputc('\n', stderr);
	if (remedy && *remedy) {
		fputs("hvlab: remedy: ", stderr);
		print_clean(remedy);
		fputc('\n', stderr);
	}
}

void cli_verbose(struct cli *cli, const char *fmt, ...)
{
	va_list ap;

	if (!cli->verbose)
		return;
	fputs("hvlab: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

int cli_runtime(struct cli *cli)
{
	int ret = runtime_dir_find(cli->dir_wanted, cli->dir);

	if (ret == -ENAMETOOLONG)
		cli_error("choose a shorter one with --runtime-dir DIR or HVLAB_RUNTIME_DIR",
			  "the runtime directory's path is longer than %d bytes, so its sockets "
			  "cannot be reached", RUNTIME_DIR_MAX);
	else if (ret)
		cli_error("choose one with --runtime-dir DIR or HVLAB_RUNTIME_DIR",
			  "the runtime directory must be an absolute path, not \"%s\"", cli->dir);
	return ret ? -1 : 0;
}

int cli_connect(struct cli *cli)
{
	int ret;

	if (cli->client)
		return 0;
	if (cli_runtime(cli) < 0)
		return -1;
	ret = client_open(cli->dir, &cli->client);
	cli_verbose(cli, "%s/control.sock: %s", cli->dir, ret ? strerror(-ret) : "connected");
	switch (ret) {
	case 0:
		return 0;
	case -ENOENT:
	case -ECONNREFUSED:
		cli_error("start a lab with: hvlab up FILE",
			  "no lab is up: nobody listens on %s/control.sock", cli->dir);
		break;
	case -EACCES:
		cli_error("use the account that ran hvlab up, or another --runtime-dir",
			  "%s/control.sock belongs to somebody else", cli->dir);
		break;
	case -EPROTO:
		cli_error("use the hvlab of the same version, or another --runtime-dir",
			  "what listens on %s/control.sock is not an hvlabd that this hvlab %s can "
			  "talk to", cli->dir, HVLAB_VERSION);
		break;
	case -ETIMEDOUT:
		cli_error("look at hvlabd.log in that directory",
			  "the daemon on %s/control.sock does not answer", cli->dir);
		break;
	default:
		cli_error(NULL, "%s/control.sock: %s", cli->dir, strerror(-ret));
		break;
	}
	return -1;
}

/* Several mistakes in files: each on a line, as check prints them. */
static void report_errors(const json_t *errors)
{
	json_t *e;
	size_t i;

	json_array_foreach((json_t *)errors, i, e) {
		char line[1024];
		const char *remedy = out_str(e, "remedy", "");

		snprintf(line, sizeof(line), "%s:%lld: %s%s%s", out_str(e, "file", "?"),
			 out_int(e, "line"), out_str(e, "reason", "?"), *remedy ? "; " : "", remedy);
		print_clean(line);
		fputc('\n', stderr);
	}
}

void cli_report(int ret, const struct client_answer *a)
{
	const json_t *console;
	json_t *line;
	size_t i;

	if (ret == -EPIPE) {
		cli_error("look at hvlabd.log in the runtime directory",
			  "the daemon closed the connection");
		return;
	}
	if (ret == -ETIMEDOUT) {
		cli_error("look at hvlabd.log in the runtime directory",
			  "the daemon has not answered for %d s", CALL_MS / 1000);
		return;
	}
	if (ret) {
		cli_error(NULL, "talking to the daemon: %s", strerror(-ret));
		return;
	}
	report_errors(json_object_get(a->error, "errors"));
	cli_error(client_error_hint(a), "%s", client_error_desc(a));
	console = json_object_get(a->error, "console");
	if (!json_array_size(console))
		return;
	fputs("hvlab: the last lines of its console:\n", stderr);
	json_array_foreach((json_t *)console, i, line) {
		fputs("    ", stderr);
		print_clean(json_is_string(line) ? json_string_value(line) : "");
		fputc('\n', stderr);
	}
}

static json_t *call(struct cli *cli, const char *command, json_t *args, int timeout_ms)
{
	struct client_answer a = {NULL, NULL};
	int ret;

	if (cli_connect(cli) < 0) {
		json_decref(args);
		return NULL;
	}
	ret = client_send(cli->client, command, args, -1);
	if (ret > 0)
		ret = client_wait(cli->client, ret, timeout_ms, &a);
	if (ret || a.error) {
		cli_report(ret, &a);
		client_answer_fini(&a);
		return NULL;
	}
	return a.value;
}

json_t *cli_call(struct cli *cli, const char *command, json_t *args)
{
	return call(cli, command, args, CALL_MS);
}

json_t *cli_call_slow(struct cli *cli, const char *command, json_t *args)
{
	return call(cli, command, args, -1);
}

char *cli_vnic(struct cli *cli, const char *target)
{
	json_t *status, *vm, *nic, *found = NULL;
	char names[256] = "", *name = NULL;
	size_t v, n, len = 0;

	if (strchr(target, '/'))
		return strdup(target);
	status = cli_call(cli, "query-status", NULL);
	if (!status)
		return NULL;
	json_array_foreach(json_object_get(status, "vms"), v, vm)
		if (strcmp(out_str(vm, "name", ""), target) == 0)
			found = vm;
	json_array_foreach(json_object_get(found, "vnics"), n, nic)
		if (len < sizeof(names))
			len += (size_t)snprintf(names + len, sizeof(names) - len, "%s%s",
						n ? ", " : "", out_str(nic, "id", "?"));
	if (!found)
		cli_error("hvlab status lists the VMs", "there is no VM \"%s\"", target);
	else if (json_array_size(json_object_get(found, "vnics")) == 1)
		name = strdup(names);
	else if (!*names)
		cli_error(NULL, "VM %s has no NIC", target);
	else
		cli_error(NULL, "VM %s has several NICs; name one of %s", target, names);
	json_decref(status);
	return name;
}

static sigset_t old_mask;

int cli_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, &old_mask);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

void cli_signals_reset(void)
{
	sigprocmask(SIG_SETMASK, &old_mask, NULL);
	signal(SIGPIPE, SIG_DFL);
}
