/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A worker: one thread, one io_uring loop, and the devices it owns. Everything that changes a
 * device and everything that moves its packets runs here, so that neither needs a lock against
 * the other.
 *
 * The loop turns: letters, timers, descriptors, turn hooks; then it sleeps in io_uring until
 * something happens. After a turn that did work it may spin for spin_ns, calling the
 * callbacks of the descriptors marked .spin itself instead of asking the kernel which is ready.
 * A sleeping worker costs nothing.
 *
 * Functions without "any thread" in their comment are for the worker's own thread: reach it with
 * worker_post() or worker_call().
 */
#ifndef HVLAB_BASE_WORKER_H
#define HVLAB_BASE_WORKER_H

#include <stdbool.h>
#include <stdint.h>

struct worker;

struct worker_conf {
	const char *name;     /* thread name, 15 bytes shown; copied */
	uint64_t spin_ns;     /* how long to look for more work before sleeping; 0: never */
	unsigned int entries; /* io_uring size; 0: default */
};

/* Starts the thread. NULL with errno; ENOSYS or EPERM: this kernel or sandbox has no io_uring. */
struct worker *worker_new(const struct worker_conf *conf);
/* Runs what was posted, stops the thread, frees. Not from a worker. NULL is fine. */
void worker_free(struct worker *w);
const char *worker_name(const struct worker *w);
/* True on the worker's own thread. Any thread. */
bool worker_is_self(const struct worker *w);
/* The worker whose thread this is, or NULL. Any thread. */
struct worker *worker_self(void);
/* Any thread. Takes effect at the next turn. */
void worker_set_spin(struct worker *w, uint64_t spin_ns);

/* Any thread: run @fn(@arg) on the worker, later, in order. 0 or -ENOMEM. */
int worker_post(struct worker *w, void (*fn)(void *arg), void *arg);
/* Any thread but another worker's: run and wait. On the worker itself: run now. */
void worker_call(struct worker *w, void (*fn)(void *arg), void *arg);

/**
 * struct worker_fd - A watched descriptor; memory is the caller's, zeroed before use
 * @fd:		Descriptor, non-blocking
 * @events:	EPOLLIN and/or EPOLLOUT (values of sys/epoll.h, equal to poll's)
 * @spin:	May be called without having been reported ready
 * @fn:		Called when ready, level-triggered: what is left will be reported again. May
 *		delete any worker_fd, its own too. Returns true when it did work.
 */
struct worker_fd {
	int fd;
	uint32_t events;
	bool spin;
	bool (*fn)(struct worker_fd *wfd, uint32_t revents);
	void *arg;
	/* the worker's own: */
	struct worker *w;
	struct worker_fd *prev, *next;
	struct worker_slot *slot;
};

int worker_fd_add(struct worker *w, struct worker_fd *wfd);
void worker_fd_set_events(struct worker_fd *wfd, uint32_t events);
/* After this no callback comes; the descriptor is still open. Deleting twice is fine. */
void worker_fd_del(struct worker_fd *wfd);

/**
 * struct worker_timer - One-shot; memory is the caller's, zeroed before use
 * @fn:	Called once at or after the time. May arm itself again.
 */
struct worker_timer {
	void (*fn)(struct worker_timer *t);
	void *arg;
	/* the worker's own: */
	struct worker *w;
	struct worker_timer *prev, *next;
	uint64_t when;
	bool armed;
};

/* @when_ns on the clock of now_ns(). Arming an armed timer moves it. */
void worker_timer_arm(struct worker *w, struct worker_timer *t, uint64_t when_ns);
void worker_timer_cancel(struct worker_timer *t);

/**
 * struct worker_turn - Called at the end of every turn, before the loop may sleep
 * @fn:		Returns true when it did work (the loop then does not sleep yet).
 * @sleep:	May be NULL. Called when the loop is about to sleep, spinning over: the place to
 *		ask a peer for notifications that polling made needless. Returns true when there
 *		is work after all; the loop then goes on.
 */
struct worker_turn {
	bool (*fn)(struct worker_turn *t);
	bool (*sleep)(struct worker_turn *t);
	void *arg;
	/* the worker's own: */
	struct worker *w;
	struct worker_turn *prev, *next;
};

void worker_turn_add(struct worker *w, struct worker_turn *t);
void worker_turn_del(struct worker_turn *t);

/* Nanoseconds this worker slept and worked since it started; turns it made. Any thread. */
struct worker_stats {
	uint64_t busy_ns, idle_ns, turns, sleeps;
};
void worker_get_stats(const struct worker *w, struct worker_stats *st);

#endif
