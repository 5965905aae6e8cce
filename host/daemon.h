/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the daemon consists of while it runs: event loop, workers, switch, control server, and
 * the lab that is up. Made in order, unmade in reverse. Control thread.
 */
#ifndef HVLAB_HOST_DAEMON_H
#define HVLAB_HOST_DAEMON_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/mailbox.h"
#include "base/worker.h"
#include "host/control.h"
#include "host/kvm_probe.h"
#include "host/runtime.h"
#include "vswitch/vswitch.h"

struct drops;
struct run;

struct daemon_conf {
	const char *runtime_dir; /* NULL: the default */
	const char *kvm_device;	 /* NULL: /dev/kvm */
	unsigned int workers;	 /* 0: one per two CPUs, at least one */
	unsigned int spin_us;
	bool exit_when_idle;
	bool log_to_stderr; /* else to hvlabd.log */
};

struct daemon {
	struct runtime rt;
	int log_fd;
	char log_path[RUNTIME_PATH_MAX]; /* "" for stderr */
	struct kvm_probe kvm;
	struct event_base *base;
	struct event *sigs[2], *mail_ev, *quit_ev, *tick_ev;
	struct mailbox *mail; /* letters from workers */
	struct worker **workers;
	unsigned int n_workers, next_worker;
	struct vsw *vsw;
	struct control *control;
	struct run *run; /* the lab that is up, or NULL */
	struct drops *drops; /* drops.c's own */
	uint64_t start_ns;
	bool exit_when_idle, quitting;
	unsigned int n_signals;
};

/* All of it, ready to serve. NULL: @why says what failed and what to do. */
struct daemon *daemon_new(const struct daemon_conf *conf, char *why, size_t why_size);
/* Serves until quit. */
void daemon_loop(struct daemon *d);
void daemon_free(struct daemon *d);

/* Take the lab down, then leave daemon_loop(). Again: in a hurry. */
void daemon_quit(struct daemon *d, const char *reason);
/* The lab is gone: called by run.c. */
void daemon_idle(struct daemon *d);
/* The worker for the next device. */
struct worker *daemon_pick_worker(struct daemon *d);

/* The commands' tables (commands*.c), each ended by an entry without name; @arg is the daemon. */
extern const struct control_cmd commands_flows[];
/* At the end: requests that are under way are answered. */
void commands_flows_fini(void);
extern const struct control_cmd commands_daemon[], commands_vm[], commands_vnic[], commands_nic[],
	commands_vf[], commands_policy[], commands_explain[], commands_migrate[], commands_sampler[], commands_fabric[];

#endif
