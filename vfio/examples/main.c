/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the example program: serves one copier on a socket until a signal comes. */
#define LOG_TAG "copier"
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "vfio/examples/copier.h"

struct start {
	struct copier *cp;
	const char *path;
	int rc;
};

static void do_listen(void *arg)
{
	struct start *s = arg;

	s->rc = vfuser_listen(copier_server(s->cp), s->path);
}

static void do_free(void *arg)
{
	copier_free(arg);
}

static void usage(FILE *f)
{
	fputs("usage: copier [--native | --masquerade] [--log err|warn|info|debug] SOCKET\n"
	      "Serves a PCI device that copies guest memory to a QEMU:\n"
	      "  -device '{\"driver\":\"vfio-user-pci\",\"socket\":{\"type\":\"unix\","
	      "\"path\":\"SOCKET\"}}'\n",
	      f);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"native", no_argument, NULL, 'n'},
						{"masquerade", no_argument, NULL, 'm'},
						{"log", required_argument, NULL, 'l'},
						{"help", no_argument, NULL, 'h'},
						{NULL, 0, NULL, 0}};
	static const struct worker_conf wc = {.name = "copier"};
	enum vfuser_msix_mode mode = VFUSER_MSIX_AUTO;
	struct start s = {NULL, NULL, 0};
	struct worker *w;
	sigset_t set;
	int c, sig;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'n') {
			mode = VFUSER_MSIX_NATIVE;
		} else if (c == 'm') {
			mode = VFUSER_MSIX_MASQUERADE;
		} else if (c == 'l' && log_level_parse(optarg) >= 0) {
			log_set_level((enum log_level)log_level_parse(optarg));
		} else {
			usage(c == 'h' ? stdout : stderr);
			return c == 'h' ? 0 : 2;
		}
	}
	if (argc - optind != 1) {
		usage(stderr);
		return 2;
	}
	s.path = argv[optind];
	/* Blocked before the worker starts, so that only sigwait() gets them. */
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	w = worker_new(&wc);
	if (!w) {
		log_err("no worker: %s", strerror(errno));
		return 1;
	}
	s.cp = copier_new(w, "copier", mode);
	if (!s.cp) {
		log_err("no device: %s", strerror(errno));
		worker_free(w);
		return 1;
	}
	worker_call(w, do_listen, &s);
	if (s.rc) {
		log_err("%s: %s", s.path, strerror(-s.rc));
	} else {
		log_info("serving at %s", s.path);
		while (sigwait(&set, &sig) && errno == EINTR)
			;
	}
	worker_call(w, do_free, s.cp);
	worker_free(w);
	return s.rc ? 1 : 0;
}
