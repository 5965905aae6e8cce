/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns "hvlab capture": packets of a NIC or of one of its paths as pcapng into a file or a pipe.
 *
 * The daemon writes to a pipe that we read, not to the file itself: we can then count packets,
 * stop after a number of them, and end the capture cleanly, at a block's end, however it ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "host/cli/commands.h"

#define PIPE_SIZE    (1 << 20)
#define EPB_TYPE     6 /* draft-ietf-opsawg-pcapng section 4.3, Enhanced Packet Block */
#define MAX_BLOCK    (16u << 20)
#define STOP_WAIT_MS 5000

struct capture {
	char *vnic;	  /* "a/eth0" */
	const char *path; /* of it, as the protocol calls it; NULL: all */
	int in, out;
	const char *out_name;
	long want, count; /* packets; want -1: no limit */
	char *buf;
	size_t len, size;
	bool full;  /* as many as wanted */
	bool taken; /* nobody reads what we write any more */
};

static int put(struct capture *c, const char *buf, size_t n)
{
	while (n) {
		ssize_t done = write(c->out, buf, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0) {
			c->taken = errno == EPIPE;
			return -errno;
		}
		buf += done;
		n -= (size_t)done;
	}
	return 0;
}

/* Whole blocks in the buffer go out; 0 or -errno. */
static int put_blocks(struct capture *c)
{
	size_t at = 0;
	int ret = 0;

	while (!ret && c->len - at >= 8) {
		uint32_t type, size; /* of this host's order: the daemon is on it too */

		memcpy(&type, c->buf + at, 4);
		memcpy(&size, c->buf + at + 4, 4);
		if (size < 12 || size % 4 || size > MAX_BLOCK)
			return -EPROTO;
		if (size > c->len - at)
			break;
		if (type != EPB_TYPE || !c->full) {
			ret = put(c, c->buf + at, size);
			c->count += type == EPB_TYPE;
			c->full = c->want >= 0 && c->count >= c->want;
		}
		at += size;
	}
	c->len -= at;
	memmove(c->buf, c->buf + at, c->len);
	return ret;
}

/* Read once. 1: something came, 0: end of file or nothing there, -errno. */
static int take(struct capture *c)
{
	ssize_t n;
	int ret;

	if (c->size - c->len < PIPE_SIZE) {
		char *buf = realloc(c->buf, c->size + 2 * PIPE_SIZE);

		if (!buf)
			return -ENOMEM;
		c->buf = buf;
		c->size += 2 * PIPE_SIZE;
	}
	n = read(c->in, c->buf + c->len, c->size - c->len);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 1 : -errno;
	if (n == 0)
		return 0;
	c->len += (size_t)n;
	ret = put_blocks(c);
	return ret ? ret : 1;
}

/* Until enough packets, the time, Ctrl-C, the capture's end by itself, or an error. */
static int relay(struct cli *cli, struct capture *c, int sigfd, int duration_ms, const char **why)
{
	uint64_t end = duration_ms ? now_ns() + (uint64_t)duration_ms * NSEC_PER_MSEC : 0;
	struct pollfd pfds[4] = {{.fd = c->in, .events = POLLIN},
				 {.fd = sigfd, .events = POLLIN},
				 {.fd = client_fd(cli->client), .events = POLLIN},
				 {.fd = c->out, .events = 0}}; /* POLLERR: no reader left */
	int ret = 1;

	while (ret > 0 && !c->full) {
		uint64_t now = now_ns();
		int ms = !end ? -1 : now >= end ? 0 : (int)((end - now) / NSEC_PER_MSEC + 1);

		if (end && now >= end) {
			*why = "the time is over";
			return 0;
		}
		if (poll(pfds, 4, ms) < 0 && errno != EINTR)
			return -errno;
		if (pfds[1].revents) {
			*why = "stopped";
			return 0;
		}
		if (pfds[3].revents & POLLERR) {
			c->taken = true;
			return 0;
		}
		if (pfds[0].revents)
			ret = take(c);
		else if (pfds[2].revents)
			ret = client_dispatch(cli->client) == 0 ? 1 : 0;
	}
	*why = c->full ? "enough packets" : "the NIC or the daemon is gone";
	return ret < 0 ? ret : 0;
}

static int open_output(struct cli *cli, const char *file)
{
	int fd;

	if (!file && isatty(STDOUT_FILENO))
		cli_usage(cli, "-w FILE missing; or pipe the output: | wireshark -k -i -");
	if (!file || strcmp(file, "-") == 0) {
		if (isatty(STDOUT_FILENO)) {
			cli_error("give -w FILE, or pipe it: hvlab capture ... | wireshark -k -i -",
				  "pcapng is binary and stdout is a terminal");
			return -1;
		}
		return STDOUT_FILENO;
	}
	fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (fd < 0)
		cli_error(NULL, "cannot write %s: %s", file, strerror(errno));
	return fd;
}

/* "a/eth0/vf" into vNIC and path. 0, or -1 with a message. */
static int take_target(struct cli *cli, struct capture *c, const char *target)
{
	const char *slash = strchr(target, '/');
	const char *word = slash ? strchr(slash + 1, '/') : NULL;

	if (!word) {
		c->vnic = cli_vnic(cli, target);
		return c->vnic ? 0 : -1;
	}
	if (!strcmp(word, "/vf"))
		c->path = "vf";
	else if (!strcmp(word, "/syn") || !strcmp(word, "/synthetic"))
		c->path = "synthetic";
	else
		cli_usage(cli, "\"%s\": a path is vf or syn, as in a/eth0/vf", target);
	c->vnic = strndup(target, (size_t)(word - target));
	return c->vnic ? 0 : -1;
}

static json_t *request(const struct capture *c)
{
	json_t *args = json_pack("{s:s}", "vnic", c->vnic);

	if (c->path)
		json_object_set_new(args, "path", json_string(c->path));
	return args;
}

static int start(struct cli *cli, struct capture *c, uint32_t snaplen)
{
	json_t *args = request(c);
	struct client_answer a;
	int fds[2], id, ret;

	if (snaplen)
		json_object_set_new(args, "snaplen", json_integer(snaplen));
	if (pipe2(fds, O_CLOEXEC) < 0) {
		cli_error(NULL, "pipe: %s", strerror(errno));
		json_decref(args);
		return -1;
	}
	fcntl(fds[1], F_SETPIPE_SZ, PIPE_SIZE); /* as large as this account may */
	fd_set_nonblock(fds[0]);
	id = client_send(cli->client, "capture-start", args, fds[1]);
	close(fds[1]);
	c->in = fds[0];
	ret = id < 0 ? id : client_wait(cli->client, id, -1, &a);
	if (ret) {
		cli_report(ret, NULL);
		return -1;
	}
	if (a.error) {
		cli_report(0, &a);
		client_answer_fini(&a);
		return -1;
	}
	client_answer_fini(&a);
	return 0;
}

/* Ask the daemon to stop and take what it still writes. */
static int stop(struct cli *cli, struct capture *c)
{
	struct client_answer a;
	int ret = client_call(cli->client, "capture-stop", request(c), &a);
	struct pollfd pfd = {.fd = c->in, .events = POLLIN};

	client_answer_fini(&a);
	/* An error only says that it has stopped already. The pipe's end tells that all is out. */
	while (ret >= 0 && !c->taken && poll(&pfd, 1, STOP_WAIT_MS) > 0) {
		ret = take(c);
		if (ret <= 0)
			break;
	}
	return ret == -EPIPE ? 0 : ret;
}

static int run(struct cli *cli, int argc, char **argv)
{
	static const struct option longs[] = {
		{"write", required_argument, NULL, 'w'},
		{"snaplen", required_argument, NULL, 's'},
		{"duration", required_argument, NULL, 'd'},
		{"count", required_argument, NULL, 'c'},
		{0},
	};
	struct capture c = {.in = -1, .out = -1, .want = -1};
	const char *file = NULL, *why = "";
	int opt, sigfd, ret, duration_ms = 0, status = CLI_FAILED;
	uint32_t snaplen = 0;
	const char *target;

	while ((opt = cli_getopt(cli, argc, argv, "w:s:d:c:", longs)) != -1) {
		if (opt == 'w')
			file = optarg;
		else if (opt == 's')
			snaplen = (uint32_t)cli_number(cli, "--snaplen", optarg, 1, 262144);
		else if (opt == 'd')
			duration_ms = cli_seconds(cli, "--duration", optarg);
		else
			c.want = cli_number(cli, "--count", optarg, 1, 1l << 40);
	}
	cli_args(cli, argc, 1, "TARGET");
	if (!file && isatty(STDOUT_FILENO))
		cli_usage(cli, "-w FILE missing; or pipe the output: | wireshark -k -i -");
	if (cli_connect(cli) < 0)
		return CLI_FAILED;
	if (take_target(cli, &c, argv[optind]))
		return CLI_FAILED;
	target = strchr(argv[optind], '/') ? argv[optind] : c.vnic;
	c.out = open_output(cli, file);
	if (c.out < 0) {
		free(c.vnic);
		return CLI_FAILED;
	}
	sigfd = cli_signals();
	if (start(cli, &c, snaplen) == 0) {
		fprintf(stderr, "hvlab: capturing %s to %s%s\n", target, file ? file : "stdout",
			duration_ms || c.want >= 0 ? "" : ", Ctrl-C ends it");
		ret = relay(cli, &c, sigfd, duration_ms, &why);
		if (!ret)
			ret = stop(cli, &c);
		if (c.taken)
			why = "the reader went away";
		else if (ret == -EPROTO)
			cli_error(NULL, "%s: the daemon's capture is damaged", target);
		else if (ret)
			cli_error(NULL, "cannot write %s: %s", file ? file : "stdout",
				  strerror(-ret));
		fprintf(stderr, "hvlab: %ld packet%s captured%s%s\n", c.count,
			c.count == 1 ? "" : "s", *why ? ": " : "", why);
		status = ret && !c.taken ? CLI_FAILED : CLI_OK;
	}
	if (c.out != STDOUT_FILENO && close(c.out) < 0) {
		cli_error(NULL, "cannot write %s: %s", file, strerror(errno));
		status = CLI_FAILED;
	}
	fd_close(&c.in);
	fd_close(&sigfd);
	free(c.buf);
	free(c.vnic);
	return status;
}

const struct cli_command cmd_capture = {
	.name = "capture",
	.args = "TARGET [-w FILE|-] [--snaplen N] [--duration S] [--count N]",
	.summary = "Write packets of a NIC or a path as pcapng to a file or a pipe",
	.help = "TARGET is VM/NIC, or VM when it has one NIC: everything, each path an interface "
		"of its\n"
		"own in the file; or VM/NIC/vf, VM/NIC/syn: what the guest sends and receives on "
		"that\n"
		"path alone. Both directions, as the wire would carry them; dropped packets carry "
		"a\n"
		"comment that says why. Ends with Ctrl-C, after a time or a number of packets, or "
		"when\n"
		"the reader goes away. The file is complete however it ends.\n\n"
		"Options:\n"
		"  -w, --write FILE     where to; - or nothing is stdout, which must not be a "
		"terminal\n"
		"  -s, --snaplen N      keep N bytes of each packet\n"
		"  -d, --duration S     end after S seconds\n"
		"  -c, --count N        end after N packets\n\n"
		"Examples:\n"
		"  hvlab capture a/eth0 -w a.pcapng --duration 10\n"
		"  hvlab capture a/eth0 -w - | wireshark -k -i -\n"
		"  hvlab capture a/eth0/vf -w - | wireshark -k -i -\n"
		"  hvlab capture b -c 20 | tcpdump -n -r -\n",
	.run = run,
};
