/* SPDX-License-Identifier: BSD-2-Clause */
/* The daemon's main(): options, the word to whoever waits for readiness, the loop. */
#define LOG_TAG "hvlabd"
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "host/daemon.h"

static const char usage[] =
	"usage: hvlabd [options]\n"
	"Serves labs of virtual machines; hvlab(1) is its command line.\n"
	"\n"
	"  --runtime-dir DIR   sockets, logs and lock (default: HVLAB_RUNTIME_DIR,\n"
	"                      $XDG_RUNTIME_DIR/hvlab, /run/hvlab, /tmp/hvlab-UID)\n"
	"  --ready-fd N        write \"ready\" or \"error: ...\" to descriptor N, then close it\n"
	"  --exit-when-idle    end when the lab has gone down\n"
	"  --workers N         threads that serve devices (default: one per two CPUs)\n"
	"  --spin-us N         look for more work that long before sleeping (default: 0)\n"
	"  --log-level LEVEL   err, warn, info (default), debug\n"
	"  --stderr            log to standard error instead of hvlabd.log\n"
	"  --kvm DEVICE        instead of /dev/kvm\n"
	"  --version, --help\n";

enum { OPT_DIR = 256, OPT_READY, OPT_IDLE, OPT_WORKERS, OPT_SPIN, OPT_LEVEL, OPT_STDERR, OPT_KVM };

static const struct option options[] = {
	{"runtime-dir", required_argument, NULL, OPT_DIR},
	{"ready-fd", required_argument, NULL, OPT_READY},
	{"exit-when-idle", no_argument, NULL, OPT_IDLE},
	{"workers", required_argument, NULL, OPT_WORKERS},
	{"spin-us", required_argument, NULL, OPT_SPIN},
	{"log-level", required_argument, NULL, OPT_LEVEL},
	{"stderr", no_argument, NULL, OPT_STDERR},
	{"kvm", required_argument, NULL, OPT_KVM},
	{"version", no_argument, NULL, 'V'},
	{"help", no_argument, NULL, 'h'},
	{0},
};

static void bad(const char *option, const char *value, const char *want)
{
	fprintf(stderr, "hvlabd: --%s %s: must be %s\n", option, value, want);
	exit(2);
}

static unsigned int number(const char *option, const char *text, unsigned int min, unsigned int max)
{
	char *end, want[64];
	unsigned long v;

	errno = 0;
	v = strtoul(text, &end, 10);
	if (errno || end == text || *end || text[0] == '-' || v < min || v > max) {
		snprintf(want, sizeof(want), "a number from %u to %u", min, max);
		bad(option, text, want);
	}
	return (unsigned int)v;
}

static void tell_ready(int fd, const char *text)
{
	if (fd < 0)
		return;
	dprintf(fd, "%s\n", text);
	close(fd);
}

int main(int argc, char **argv)
{
	struct daemon_conf conf = {0};
	char why[400] = "", text[420];
	int ready_fd = -1, level, opt;
	struct daemon *d;

	while ((opt = getopt_long(argc, argv, "Vh", options, NULL)) != -1) {
		switch (opt) {
		case OPT_DIR:
			conf.runtime_dir = optarg;
			break;
		case OPT_READY:
			ready_fd = (int)number("ready-fd", optarg, 0, 1 << 20);
			if (fcntl(ready_fd, F_SETFD, FD_CLOEXEC) < 0)
				bad("ready-fd", optarg, "an open descriptor");
			break;
		case OPT_IDLE:
			conf.exit_when_idle = true;
			break;
		case OPT_WORKERS:
			conf.workers = number("workers", optarg, 1, 64);
			break;
		case OPT_SPIN:
			conf.spin_us = number("spin-us", optarg, 0, 1000000);
			break;
		case OPT_LEVEL:
			level = log_level_parse(optarg);
			if (level < 0)
				bad("log-level", optarg, "err, warn, info or debug");
			log_set_level((enum log_level)level);
			break;
		case OPT_STDERR:
			conf.log_to_stderr = true;
			break;
		case OPT_KVM:
			conf.kvm_device = optarg;
			break;
		case 'V':
			printf("hvlabd %s\n", HVLAB_VERSION);
			return 0;
		case 'h':
			fputs(usage, stdout);
			return 0;
		default:
			fputs("hvlabd --help lists the options\n", stderr);
			return 2;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "hvlabd: unexpected argument %s\n", argv[optind]);
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	d = daemon_new(&conf, why, sizeof(why));
	if (!d) {
		snprintf(text, sizeof(text), "error: %s", why);
		tell_ready(ready_fd, text);
		fprintf(stderr, "hvlabd: %s\n", why);
		return 1;
	}
	tell_ready(ready_fd, "ready");
	daemon_loop(d);
	daemon_free(d);
	return 0;
}
