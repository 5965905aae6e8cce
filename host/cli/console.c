/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns "hvlab console": a terminal on a guest's serial console. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/fd.h"
#include "host/cli/commands.h"

#define ESCAPE 0x1d /* Ctrl-] */

static int write_all(int fd, const char *buf, size_t n)
{
	while (n) {
		ssize_t done = write(fd, buf, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0 && errno == EAGAIN) {
			struct pollfd pfd = {.fd = fd, .events = POLLOUT};

			poll(&pfd, 1, -1);
			continue;
		}
		if (done < 0)
			return -errno;
		buf += done;
		n -= (size_t)done;
	}
	return 0;
}

/* Between terminal and guest until Ctrl-], the end of stdin, the guest's end or a signal. */
static int relay(int sock, int sigfd, bool tty, const char **why)
{
	struct pollfd pfds[3] = {{.fd = STDIN_FILENO, .events = POLLIN},
				 {.fd = sock, .events = POLLIN},
				 {.fd = sigfd, .events = POLLIN}};
	char buf[4096];

	for (;;) {
		ssize_t n;

		if (poll(pfds, 3, -1) < 0 && errno != EINTR)
			return -errno;
		if (pfds[2].revents) {
			*why = "interrupted";
			return -EINTR;
		}
		if (pfds[1].revents) {
			n = read(sock, buf, sizeof(buf));
			if (n <= 0 && !(n < 0 && (errno == EINTR || errno == EAGAIN))) {
				*why = "the guest's console was closed";
				return 0;
			}
			if (n > 0 && write_all(STDOUT_FILENO, buf, (size_t)n) < 0)
				return -EPIPE;
		}
		if (pfds[0].revents) {
			char *esc;

			n = read(STDIN_FILENO, buf, sizeof(buf));
			if (n <= 0 && !(n < 0 && errno == EINTR)) {
				*why = "end of input";
				return 0;
			}
			esc = tty && n > 0 ? memchr(buf, ESCAPE, (size_t)n) : NULL;
			if (esc)
				n = esc - buf;
			if (n > 0 && write_all(sock, buf, (size_t)n) < 0)
				return -EPIPE;
			if (esc) {
				*why = "left";
				return 0;
			}
		}
	}
}

static int print_log(const char *vm, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char buf[65536];
	ssize_t n;

	if (fd < 0) {
		cli_error(NULL, "%s: cannot read %s: %s", vm, path, strerror(errno));
		return CLI_FAILED;
	}
	while ((n = read(fd, buf, sizeof(buf))) > 0)
		if (fwrite(buf, 1, (size_t)n, stdout) < (size_t)n)
			break;
	fd_close(&fd);
	return CLI_OK;
}

static int attach(const char *vm, const char *path)
{
	bool tty = isatty(STDIN_FILENO);
	int sock = fd_unix_connect(path), sigfd, ret;
	struct termios old, raw;
	const char *why = "";

	if (sock < 0) {
		cli_error(sock == -ECONNREFUSED ? "hvlab status shows whether the VM runs" : NULL,
			  "%s: cannot reach the console: %s", vm, strerror(-sock));
		return CLI_FAILED;
	}
	sigfd = cli_signals();
	if (tty) {
		fprintf(stderr, "hvlab: console of %s, leave with Ctrl-]\n", vm);
		tcgetattr(STDIN_FILENO, &old);
		raw = old;
		cfmakeraw(&raw);
		tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
	}
	ret = relay(sock, sigfd, tty, &why);
	if (tty) {
		tcsetattr(STDIN_FILENO, TCSADRAIN, &old);
		fprintf(stderr, "\nhvlab: console of %s: %s\n", vm, why);
	}
	fd_close(&sock);
	fd_close(&sigfd);
	if (ret == -EINTR)
		return CLI_INTERRUPTED;
	if (ret && ret != -EPIPE)
		cli_error(NULL, "%s: %s", vm, strerror(-ret));
	return ret ? CLI_FAILED : CLI_OK;
}

static int run(struct cli *cli, int argc, char **argv)
{
	static const struct option longs[] = {
		{"log", no_argument, NULL, 'l'},
		{0},
	};
	bool log = false;
	json_t *v;
	int opt;

	while ((opt = cli_getopt(cli, argc, argv, "l", longs)) != -1)
		log = true;
	cli_args(cli, argc, 1, "VM");
	v = cli_call(cli, "vm-console", json_pack("{s:s}", "vm", argv[optind]));
	if (!v)
		return CLI_FAILED;
	if (log)
		opt = print_log(argv[optind], out_str(v, "log", ""));
	else
		opt = attach(argv[optind], out_str(v, "socket", ""));
	json_decref(v);
	return opt;
}

const struct cli_command cmd_console = {
	.name = "console",
	.args = "VM [--log]",
	.summary = "Open a guest's serial console; leave it with Ctrl-]",
	.help = "Enter starts a shell. One terminal at a time can be attached.\n"
		"Everything that was printed before is in the log.\n\n"
		"Options:\n"
		"  -l, --log    print what the console showed since the VM started, raw\n\n"
		"Examples:\n"
		"  hvlab console a\n"
		"  hvlab console a --log | less -R\n",
	.run = run,
};
