/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns "hvlab log": what a guest's console, its QEMU or the daemon wrote. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/fd.h"
#include "host/cli/commands.h"

#define TAIL_BYTES (4u << 20) /* of the daemon's log, looked at for the last lines */

/* Bytes as they come, without their control characters. */
static void print_bytes(const char *buf, ssize_t n)
{
	for (ssize_t i = 0; i < n; i++) {
		unsigned char ch = (unsigned char)buf[i];

		if (ch == '\r')
			continue;
		putchar((ch < 0x20 && ch != '\t' && ch != '\n') || ch == 0x7f ? '?' : ch);
	}
}

/* The last @lines lines of a file, as a JSON array; the position behind them in *@end. */
static json_t *tail(const char *path, long lines, off_t *end)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	off_t size = fd < 0 ? -1 : lseek(fd, 0, SEEK_END), from;
	json_t *list = NULL;
	char *buf = NULL, *line, *save;
	ssize_t n;

	if (size < 0) {
		cli_error(NULL, "cannot read %s: %s", path, strerror(errno));
		goto out;
	}
	from = size > (off_t)TAIL_BYTES ? size - (off_t)TAIL_BYTES : 0;
	buf = malloc((size_t)(size - from) + 1);
	n = buf ? pread(fd, buf, (size_t)(size - from), from) : -1;
	if (n < 0) {
		cli_error(NULL, "cannot read %s: %s", path, strerror(errno));
		goto out;
	}
	buf[n] = '\0';
	*end = from + n;
	list = json_array();
	for (line = strtok_r(buf, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		for (char *c = line; *c; c++)
			if ((unsigned char)*c < 0x20 || (unsigned char)*c >= 0x7f)
				*c = '?';
		json_array_append_new(list, json_string(line));
		if (json_array_size(list) > (size_t)lines)
			json_array_remove(list, 0);
	}
out:
	free(buf);
	fd_close(&fd);
	return list;
}

/* Print what is added to a file until Ctrl-C or the daemon's end. */
static int follow(struct cli *cli, const char *path, off_t from)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	struct pollfd pfds[3] = {{.fd = watch, .events = POLLIN},
				 {.fd = cli_signals(), .events = POLLIN},
				 {.fd = client_fd(cli->client), .events = POLLIN}};
	char buf[65536];
	bool more = true;
	int ret = 0;

	if (fd < 0 || watch < 0 || inotify_add_watch(watch, path, IN_MODIFY) < 0) {
		cli_error(NULL, "cannot follow %s: %s", path, strerror(errno));
		ret = -1;
	}
	while (!ret && more) {
		ssize_t n;

		while ((n = pread(fd, buf, sizeof(buf), from)) > 0) {
			print_bytes(buf, n);
			from += n;
		}
		if (out_broken())
			break;
		/* What came before the end is printed by one more turn. */
		more = !pfds[1].revents && !pfds[2].revents;
		if (!more || poll(pfds, 3, -1) <= 0)
			continue;
		while (read(watch, buf, sizeof(buf)) > 0)
			;
		if (pfds[2].revents && client_dispatch(cli->client) == 0)
			pfds[2].revents = 0;
	}
	fd_close(&fd);
	fd_close(&watch);
	return ret;
}

static void show(struct output *out, const json_t *v)
{
	json_t *line;
	size_t i;

	json_array_foreach(json_object_get(v, "lines"), i, line)
		out_line(out, json_is_string(line) ? json_string_value(line) : "");
}

/* {"path", "lines"} of the daemon's own log. */
static json_t *daemon_log(struct cli *cli, long lines, off_t *end)
{
	json_t *status = cli_call(cli, "query-status", NULL), *list;
	char *path;

	if (!status)
		return NULL;
	path = strdup(out_str(status, "log", ""));
	json_decref(status);
	if (!*path) {
		cli_error(NULL, "this daemon writes its log to its standard error");
		free(path);
		return NULL;
	}
	list = tail(path, lines, end);
	status = list ? json_pack("{s:s, s:o}", "path", path, "lines", list) : NULL;
	free(path);
	return status;
}

static int run(struct cli *cli, int argc, char **argv)
{
	static const struct option longs[] = {
		{"lines", required_argument, NULL, 'n'},
		{"follow", no_argument, NULL, 'f'},
		{"qemu", no_argument, NULL, 'q'},
		{0},
	};
	bool do_follow = false, qemu = false;
	const char *path;
	off_t end = -1;
	long lines = 50;
	json_t *v;
	int opt;

	while ((opt = cli_getopt(cli, argc, argv, "n:fq", longs)) != -1) {
		if (opt == 'n')
			lines = cli_number(cli, "--lines", optarg, 1, 10000);
		else if (opt == 'f')
			do_follow = true;
		else
			qemu = true;
	}
	if (optind < argc)
		cli_args(cli, argc, 1, "VM");
	else if (qemu)
		cli_usage(cli, "--qemu needs a VM");
	if (do_follow && cli->out.json)
		cli_usage(cli, "--follow prints text, not JSON");
	if (optind < argc)
		v = cli_call(cli, "vm-log",
			     json_pack("{s:s, s:i, s:s}", "vm", argv[optind], "lines", (int)lines,
				       "source", qemu ? "qemu" : "console"));
	else
		v = daemon_log(cli, lines, &end);
	if (!v)
		return CLI_FAILED;
	path = out_str(v, "path", "");
	if (end < 0 && do_follow) {
		/* What is added while the lines are printed may be shown twice, never lost. */
		json_t *unused = tail(path, 1, &end);

		json_decref(unused);
	}
	out_result(&cli->out, v, show);
	opt = do_follow && end >= 0 ? follow(cli, path, end) : 0;
	json_decref(v);
	return opt < 0 || (do_follow && end < 0) ? CLI_FAILED : CLI_OK;
}

const struct cli_command cmd_log = {
	.name = "log",
	.args = "[VM [--qemu]] [-n N] [-f] [--json]",
	.summary = "Print the end of a guest's console, of its QEMU's messages, or of the daemon's log",
	.help = "Without VM: the daemon's log. Control characters are printed as '?'.\n\n"
		"Options:\n"
		"  -n, --lines N    how many lines; default 50, at most 10000\n"
		"  -f, --follow     go on with what is added, until Ctrl-C or the end of the lab\n"
		"  -q, --qemu       QEMU's messages instead of the console\n"
		"  --json           {\"path\": PATH, \"lines\": [...]}\n\n"
		"Examples:\n"
		"  hvlab log a -n 200\n"
		"  hvlab log a -f\n"
		"  hvlab log | grep warn\n",
	.json = true,
	.run = run,
};
