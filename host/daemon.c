/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the making and unmaking of the daemon's parts, its signals and its end. */
#define LOG_TAG "daemon"
#include "host/daemon.h"

#include <errno.h>
#include <event2/thread.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <urcu/urcu-memb.h>

#include "base/fd.h"
#include "base/log.h"
#include "host/drops.h"
#include "host/run.h"
#include "host/sampler.h"

#define MAX_WORKERS 64
#define LOG_FILE    "hvlabd.log"

static const struct control_cmd *const tables[] = {commands_flows,
						   commands_daemon, commands_vm, commands_vnic,
						   commands_nic,    commands_vf,     commands_policy, commands_explain, commands_migrate, commands_sampler,    commands_fabric};

struct worker *daemon_pick_worker(struct daemon *d)
{
	return d->workers[d->next_worker++ % d->n_workers];
}

static void on_mail(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	mailbox_run(((struct daemon *)arg)->mail);
}

static void on_quit(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	event_base_loopbreak(((struct daemon *)arg)->base);
}

void daemon_quit(struct daemon *d, const char *reason)
{
	if (!d->quitting) {
		log_info("ends: %s", reason);
		control_event(d->control, "QUIT", json_pack("{s:s}", "reason", reason));
	}
	d->quitting = true;
	if (d->run)
		run_down(d->run, NULL, false, 0);
	else
		event_active(d->quit_ev, EV_TIMEOUT, 1);
}

void daemon_idle(struct daemon *d)
{
	if (d->quitting)
		event_active(d->quit_ev, EV_TIMEOUT, 1);
	else if (d->exit_when_idle)
		daemon_quit(d, "the lab is down");
}

static void on_signal(evutil_socket_t sig, short what, void *arg)
{
	struct daemon *d = arg;

	(void)what;
	if (d->n_signals++ && d->run)
		run_kill_all(d->run);
	daemon_quit(d, sig == SIGINT ? "SIGINT" : "SIGTERM");
}

/* Connections age whether their packets come or not. */
static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	vsw_tick(((struct daemon *)arg)->vsw);
}

static int open_log(struct daemon *d)
{
	char old[RUNTIME_PATH_MAX];
	int fd;

	runtime_path(&d->rt, LOG_FILE, d->log_path);
	runtime_path(&d->rt, LOG_FILE ".1", old);
	rename(d->log_path, old);
	fd = open(d->log_path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW,
		  0600);
	if (fd < 0)
		return -errno;
	d->log_fd = fd;
	log_set_fd(fd);
	return 0;
}

static int start_workers(struct daemon *d, const struct daemon_conf *conf)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned int n = conf->workers ? conf->workers : cpus > 3 ? (unsigned int)cpus / 2 : 1;

	n = MIN(n, MAX_WORKERS);
	d->workers = calloc(n, sizeof(*d->workers));
	if (!d->workers)
		return -ENOMEM;
	for (; d->n_workers < n; d->n_workers++) {
		char name[16];
		struct worker_conf wc = {.name = name, .spin_ns = conf->spin_us * NSEC_PER_USEC};

		snprintf(name, sizeof(name), "hvlab-w%u", d->n_workers);
		d->workers[d->n_workers] = worker_new(&wc);
		if (!d->workers[d->n_workers])
			return -errno;
	}
	return 0;
}

static int watch(struct daemon *d)
{
	const struct timeval tick = {.tv_usec = VSW_TICK_MS * 1000};

	d->mail = mailbox_new();
	if (!d->mail)
		return -ENOMEM;
	d->mail_ev = event_new(d->base, mailbox_fd(d->mail), EV_READ | EV_PERSIST, on_mail, d);
	d->quit_ev = evtimer_new(d->base, on_quit, d);
	d->tick_ev = event_new(d->base, -1, EV_PERSIST, on_tick, d);
	d->sigs[0] = evsignal_new(d->base, SIGTERM, on_signal, d);
	d->sigs[1] = evsignal_new(d->base, SIGINT, on_signal, d);
	if (!d->mail_ev || !d->quit_ev || !d->tick_ev || event_add(d->tick_ev, &tick) ||
	    !d->sigs[0] || !d->sigs[1] ||
	    event_add(d->mail_ev, NULL) || event_add(d->sigs[0], NULL) ||
	    event_add(d->sigs[1], NULL))
		return -ENOMEM;
	return 0;
}

/* Signals are the control thread's: workers are born with all of them blocked. */
static int start_threads(struct daemon *d, const struct daemon_conf *conf)
{
	sigset_t all, old;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = start_workers(d, conf);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return rc;
}

struct daemon *daemon_new(const struct daemon_conf *conf, char *why, size_t why_size)
{
	char dir[RUNTIME_DIR_MAX + 1], path[RUNTIME_PATH_MAX];
	struct daemon *d = calloc(1, sizeof(*d));
	int rc;

	if (!d) {
		snprintf(why, why_size, "out of memory");
		return NULL;
	}
	d->rt.lock_fd = d->log_fd = -1;
	d->exit_when_idle = conf->exit_when_idle;
	d->start_ns = now_ns();
	urcu_memb_register_thread();
	rc = runtime_dir_find(conf->runtime_dir, dir);
	if (rc) {
		snprintf(why, why_size,
			 "the runtime directory must be an absolute path of at most %d bytes "
			 "(--runtime-dir, HVLAB_RUNTIME_DIR, XDG_RUNTIME_DIR)",
			 RUNTIME_DIR_MAX);
		goto err;
	}
	if (runtime_open(&d->rt, dir, why, why_size))
		goto err;
	if (!conf->log_to_stderr && (rc = open_log(d))) {
		snprintf(why, why_size, "%s: %s", d->log_path, strerror(-rc));
		goto err;
	}
	log_info("hvlabd " HVLAB_VERSION " in %s, process %d", dir, (int)getpid());
	if (d->rt.killed)
		log_warn("ended %u QEMUs that a crashed daemon left", d->rt.killed);
	kvm_probe(conf->kvm_device ? conf->kvm_device : "/dev/kvm", &d->kvm);
	log_info("KVM is %s: %s", d->kvm.usable ? "usable" : "not usable", d->kvm.reason);
	rc = start_threads(d, conf);
	if (rc) {
		snprintf(why, why_size, "cannot start workers: %s%s", strerror(-rc),
			 rc == -EPERM || rc == -ENOSYS
				 ? "; they need io_uring: see sysctl kernel.io_uring_disabled and "
				   "the container's seccomp profile"
				 : "");
		goto err;
	}
	d->base = event_base_new();
	d->vsw = vsw_new();
	if (!d->base || !d->vsw || watch(d)) {
		snprintf(why, why_size, "out of memory");
		goto err;
	}
	runtime_path(&d->rt, "control.sock", path);
	d->control = control_new(d->base, path, tables, ARRAY_SIZE(tables), d);
	if (!d->control) {
		snprintf(why, why_size, "%s: %s", path, strerror(errno));
		goto err;
	}
	return d;
err:
	daemon_free(d);
	return NULL;
}

void daemon_loop(struct daemon *d)
{
	event_base_dispatch(d->base);
}

void daemon_free(struct daemon *d)
{
	if (!d)
		return;
	commands_flows_fini();
	drops_free(d->drops);
	sampler_fini();
	/* Clients see the end of the connection when nothing is left but the lock. */
	for (unsigned int i = 0; i < d->n_workers; i++)
		worker_free(d->workers[i]);
	free(d->workers);
	while (d->mail && mailbox_run(d->mail))
		;
	if (d->vsw)
		vsw_free(d->vsw);
	control_free(d->control);
	for (unsigned int i = 0; i < ARRAY_SIZE(d->sigs); i++)
		if (d->sigs[i])
			event_free(d->sigs[i]);
	if (d->mail_ev)
		event_free(d->mail_ev);
	if (d->quit_ev)
		event_free(d->quit_ev);
	if (d->tick_ev)
		event_free(d->tick_ev);
	mailbox_free(d->mail);
	if (d->base)
		event_base_free(d->base);
	runtime_close(&d->rt);
	urcu_memb_unregister_thread();
	log_set_fd(STDERR_FILENO);
	fd_close(&d->log_fd);
	free(d);
}
