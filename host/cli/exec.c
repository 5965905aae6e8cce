/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns "hvlab exec": a program in a guest, with its input, outputs and exit status. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/base64.h"
#include "host/cli/commands.h"

#define MAX_STDIN (8u << 20) /* what vm-exec takes */

/* All of stdin as base64, *@text the caller's; NULL when there is none. 0, or -1 with a message. */
static int read_stdin(char **text)
{
	char *buf = malloc(MAX_STDIN + 1);
	size_t len = 0;
	ssize_t n = 1;

	*text = NULL;
	while (buf && n > 0 && len <= MAX_STDIN) {
		n = read(STDIN_FILENO, buf + len, MAX_STDIN + 1 - len);
		if (n < 0 && errno == EINTR)
			n = 1;
		else if (n > 0)
			len += (size_t)n;
	}
	if (!buf || (n < 0 && errno != EBADF)) {
		cli_error(NULL, "cannot read stdin: %s", strerror(errno));
	} else if (len > MAX_STDIN) {
		cli_error("send a file through the network, or run the command in pieces",
			  "stdin is larger than the 8 MiB that the guest's agent can take");
	} else {
		if (len)
			*text = base64_encode(buf, len);
		free(buf);
		return 0;
	}
	free(buf);
	return -1;
}

/* One output of the program, to the same descriptor here. False: it could not be written. */
static bool write_out(const json_t *answer, const char *name, int fd)
{
	const char *text = json_string_value(json_object_get(answer, name));
	size_t size = 0, done = 0;
	char *data;

	if (!text || !*text)
		return true;
	data = base64_decode(text, &size);
	if (!data) {
		cli_error(NULL, "the daemon's answer is damaged: %s", name);
		return false;
	}
	while (done < size) {
		ssize_t n = write(fd, data + done, size - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break;
		done += (size_t)n;
	}
	if (done < size && errno != EPIPE)
		cli_error(NULL, "cannot write the program's %s: %s", name, strerror(errno));
	free(data);
	return done == size;
}

static int finish(const char *vm, const json_t *answer)
{
	static const char *const names[] = {"stdout", "stderr"};
	bool ok = write_out(answer, "stdout", STDOUT_FILENO);
	const json_t *sig = json_object_get(answer, "signal");

	ok = write_out(answer, "stderr", STDERR_FILENO) && ok;
	for (unsigned int i = 0; i < ARRAY_SIZE(names); i++) {
		char key[32];

		snprintf(key, sizeof(key), "%s_truncated", names[i]);
		if (json_is_true(json_object_get(answer, key)))
			cli_error("write to a file in the guest and read it in pieces",
				  "%s: the guest's agent cut the program's %s at 16 MiB", vm,
				  names[i]);
	}
	if (json_is_integer(sig))
		return 128 + (int)json_integer_value(sig);
	if (!json_is_integer(json_object_get(answer, "exitcode"))) {
		cli_error(NULL, "%s: the answer has no exit status", vm);
		return CLI_GUEST;
	}
	return ok ? (int)out_int(answer, "exitcode") : CLI_GUEST;
}

static int run(struct cli *cli, int argc, char **argv)
{
	static const struct option longs[] = {
		{"timeout", required_argument, NULL, 't'},
		{"env", required_argument, NULL, 'e'},
		{"no-stdin", no_argument, NULL, 'n'},
		{0},
	};
	json_t *env = NULL, *words, *args, *answer;
	bool with_stdin = !isatty(STDIN_FILENO);
	char *input = NULL;
	const char *vm;
	int opt, timeout_ms = 0;

	/* "exec VM --timeout 5 -- CMD" too: options may stand on both sides of VM. */
	vm = NULL;
	for (;;) {
		while ((opt = cli_getopt(cli, argc, argv, "nt:e:", longs)) != -1) {
			if (opt == 't') {
				timeout_ms = cli_seconds(cli, "--timeout", optarg);
			} else if (opt == 'n') {
				with_stdin = false;
			} else {
				if (optarg[0] == '=' || !strchr(optarg, '='))
					cli_usage(cli, "--env: \"%s\" is not NAME=VALUE", optarg);
				env = env ? env : json_array();
				json_array_append_new(env, json_string(optarg));
			}
		}
		if (vm || optind >= argc)
			break;
		vm = argv[optind++];
	}
	if (!vm)
		cli_usage(cli, "VM missing");
	if (optind >= argc)
		cli_usage(cli, "the command to run in %s is missing", vm);
	words = json_array();
	for (int i = optind; i < argc; i++)
		if (json_array_append_new(words, json_string(argv[i])) < 0)
			cli_usage(cli, "an argument is not UTF-8 text: %s", argv[i]);
	if (cli_connect(cli) < 0 || (with_stdin && read_stdin(&input) < 0)) {
		json_decref(words);
		json_decref(env);
		return CLI_GUEST;
	}
	args = json_pack("{s:s, s:o, s:o*, s:s*}", "vm", vm, "argv", words, "env", env, "stdin",
			 input);
	free(input);
	if (timeout_ms)
		json_object_set_new(args, "timeout_ms", json_integer(timeout_ms));
	answer = cli_call_slow(cli, "vm-exec", args);
	if (!answer)
		return CLI_GUEST;
	opt = finish(vm, answer);
	json_decref(answer);
	return opt;
}

const struct cli_command cmd_exec = {
	.name = "exec",
	.args = "VM [-n] [--timeout S] [--env NAME=VALUE] [--] CMD [ARGS...]",
	.summary = "Run a program in a guest, with its input, outputs and exit status",
	.help = "Stdin is sent along unless it is a terminal (at most 8 MiB, read to its end\n"
		"first). Stdout and stderr come when the program has ended. No shell is involved:\n"
		"use sh -c for pipes and variables.\n\n"
		"Options:\n"
		"  -n, --no-stdin          do not read stdin\n"
		"  -t, --timeout S         give up after S seconds; the program is not ended\n"
		"  -e, --env NAME=VALUE    set a variable; may be given again\n\n"
		"Exit status: the program's; 128+N when signal N ended it; 255 when there is none,\n"
		"with a message: no lab, no such VM, the guest is dead, no such program, time-out.\n\n"
		"Examples:\n"
		"  hvlab exec a -- ping -c 3 b\n"
		"  hvlab exec a -- sh -c 'dmesg | grep mana'\n"
		"  tar c files | hvlab exec a --timeout 30 -- tar x -C /tmp\n",
	.first = true,
	.run = run,
};
