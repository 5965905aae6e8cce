/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the worker thread and its io_uring loop.
 *
 * Readiness is asked for with one-shot polls. A poll is armed (again) only right before the
 * loop may sleep, in the same system call that sleeps, so a descriptor that is always busy costs
 * no extra call, and arming checks readiness first, which makes the whole level-triggered. While
 * the loop spins, descriptors marked .spin are simply tried. A loop that has no time to sleep arms
 * the others now and then, or a busy device would keep every other one from being heard.
 *
 * A poll in the kernel must not point at memory of the caller's, who may free his worker_fd at
 * any time: it points at a slot, which lives until its last completion has come.
 */
#define LOG_TAG "worker"
#include "base/worker.h"

#include <errno.h>
#include <liburing.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <urcu/urcu-memb.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mailbox.h"

#define DEFAULT_ENTRIES 256
#define CQE_BATCH	64
#define LOOK_TURNS	16 /* turns without sleep, then descriptors are armed all the same */

struct worker_slot {
	struct worker_fd *wfd; /* NULL: deleted, waiting for the last completion */
	bool armed;	       /* a poll is in the kernel */
	bool cancel;	       /* its removal still has to be submitted */
	uint32_t armed_events;
	struct worker_slot *prev, *next;
};

struct worker {
	char name[32];
	pthread_t thread;
	sem_t started;
	int start_rc;
	unsigned int entries;
	struct io_uring ring;
	struct mailbox *mail;
	struct worker_fd mail_fd;
	struct worker_fd *fds;
	struct worker_slot *slots;
	struct worker_timer *timers; /* soonest first */
	struct worker_turn *turns;
	struct worker_fd *next_fd; /* survives deletions while the list is walked */
	struct worker_turn *next_turn;
	bool stop;
	_Atomic uint64_t spin_ns;
	_Atomic uint64_t busy_ns, idle_ns, n_turns, n_sleeps;
};

static _Thread_local struct worker *self;

#define LIST_PUSH(head, item)                                                                      \
	do {                                                                                       \
		(item)->prev = NULL;                                                               \
		(item)->next = (head);                                                             \
		if (head)                                                                          \
			(head)->prev = (item);                                                     \
		(head) = (item);                                                                   \
	} while (0)
#define LIST_DROP(head, item)                                                                      \
	do {                                                                                       \
		if ((item)->prev)                                                                  \
			(item)->prev->next = (item)->next;                                         \
		else                                                                               \
			(head) = (item)->next;                                                     \
		if ((item)->next)                                                                  \
			(item)->next->prev = (item)->prev;                                         \
		(item)->prev = (item)->next = NULL;                                                \
	} while (0)

static struct io_uring_sqe *get_sqe(struct worker *w)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&w->ring);

	if (!sqe) {
		io_uring_submit(&w->ring);
		sqe = io_uring_get_sqe(&w->ring);
	}
	return sqe;
}

static void slot_free(struct worker *w, struct worker_slot *s)
{
	LIST_DROP(w->slots, s);
	free(s);
}

/*
 * Arm what is not armed, drop what was deleted: called right before sleeping. @spinning: leave
 * out what is tried anyway.
 */
static void arm_polls(struct worker *w, bool spinning)
{
	struct worker_slot *s, *next;

	for (s = w->slots; s; s = next) {
		struct io_uring_sqe *sqe;

		next = s->next;
		if (!s->wfd && !s->armed) {
			slot_free(w, s);
			continue;
		}
		if (s->armed && (!s->wfd || s->armed_events != s->wfd->events) && !s->cancel) {
			sqe = get_sqe(w);
			if (!sqe)
				return;
			io_uring_prep_poll_remove(sqe, (uint64_t)(uintptr_t)s);
			io_uring_sqe_set_data(sqe, NULL);
			s->cancel = true;
		} else if (!s->armed && s->wfd->events && !(spinning && s->wfd->spin)) {
			sqe = get_sqe(w);
			if (!sqe)
				return;
			io_uring_prep_poll_add(sqe, s->wfd->fd, s->wfd->events);
			io_uring_sqe_set_data(sqe, s);
			s->armed = true;
			s->armed_events = s->wfd->events;
		}
	}
}

static bool reap(struct worker *w)
{
	struct io_uring_cqe *cqes[CQE_BATCH];
	bool worked = false;
	unsigned int n;

	n = io_uring_peek_batch_cqe(&w->ring, cqes, CQE_BATCH);
	for (unsigned int i = 0; i < n; i++) {
		struct worker_slot *s = io_uring_cqe_get_data(cqes[i]);
		int res = cqes[i]->res;

		if (!s)
			continue;
		s->armed = false;
		s->cancel = false;
		/* A slot whose owner is gone is freed by arm_polls(). */
		if (res == -ECANCELED || !s->wfd)
			continue;
		worked |= s->wfd->fn(s->wfd, res < 0 ? EPOLLERR : (uint32_t)res);
	}
	io_uring_cq_advance(&w->ring, n);
	return worked;
}

static bool try_spinners(struct worker *w)
{
	bool worked = false;

	for (struct worker_fd *f = w->fds; f; f = w->next_fd) {
		w->next_fd = f->next;
		if (f->spin && (f->events & EPOLLIN))
			worked |= f->fn(f, EPOLLIN);
	}
	w->next_fd = NULL;
	return worked;
}

static bool run_timers(struct worker *w)
{
	bool worked = false;
	uint64_t now;

	if (!w->timers)
		return false;
	now = now_ns();
	while (w->timers && w->timers->when <= now) {
		struct worker_timer *t = w->timers;

		worker_timer_cancel(t);
		t->fn(t);
		worked = true;
	}
	return worked;
}

static bool run_turns(struct worker *w)
{
	bool worked = false;

	for (struct worker_turn *t = w->turns; t; t = w->next_turn) {
		w->next_turn = t->next;
		worked |= t->fn(t);
	}
	w->next_turn = NULL;
	return worked;
}

/* False: somebody still has work. */
static bool may_sleep(struct worker *w)
{
	bool work = false;

	for (struct worker_turn *t = w->turns; t; t = w->next_turn) {
		w->next_turn = t->next;
		if (t->sleep)
			work |= t->sleep(t);
	}
	w->next_turn = NULL;
	return !work;
}

static void sleep_until_something(struct worker *w)
{
	struct __kernel_timespec ts, *tsp = NULL;
	struct io_uring_cqe *cqe;
	uint64_t now = now_ns();
	int rc;

	arm_polls(w, false);
	if (w->timers) {
		uint64_t d = w->timers->when > now ? w->timers->when - now : 0;

		ts.tv_sec = (long long)(d / NSEC_PER_SEC);
		ts.tv_nsec = (long long)(d % NSEC_PER_SEC);
		tsp = &ts;
	}
	atomic_fetch_add_explicit(&w->n_sleeps, 1, memory_order_relaxed);
	rc = io_uring_submit_and_wait_timeout(&w->ring, &cqe, 1, tsp, NULL);
	if (rc < 0 && rc != -ETIME && rc != -EINTR && rc != -EAGAIN && rc != -EBUSY)
		log_err_rl("%s: io_uring: %s", w->name, strerror(-rc));
}

/* The loop turns on without sleeping: every so often see to those that nobody tries. */
static void look_round(struct worker *w, unsigned int *awake, bool spinning)
{
	if (++*awake % LOOK_TURNS)
		return;
	arm_polls(w, spinning);
	if (io_uring_sq_ready(&w->ring))
		io_uring_submit(&w->ring);
}

static void loop(struct worker *w)
{
	uint64_t mark = now_ns(), last_work = mark;
	unsigned int awake = 0; /* turns since the last sleep */

	while (!w->stop) {
		bool worked = mailbox_run(w->mail), more;
		uint64_t spin = atomic_load_explicit(&w->spin_ns, memory_order_relaxed);

		worked |= run_timers(w);
		worked |= reap(w);
		if (spin)
			worked |= try_spinners(w);
		more = run_turns(w);
		worked |= more;
		atomic_fetch_add_explicit(&w->n_turns, 1, memory_order_relaxed);
		if (more || mailbox_pending(w->mail) || w->stop) {
			look_round(w, &awake, spin);
			continue;
		}
		if (worked || spin) {
			uint64_t now = now_ns();

			if (worked)
				last_work = now;
			if (spin && now - last_work < spin) {
				__builtin_ia32_pause();
				look_round(w, &awake, spin);
				continue;
			}
		}
		if (!may_sleep(w)) {
			look_round(w, &awake, spin);
			continue;
		}
		{
			uint64_t t0 = now_ns(), t1;

			sleep_until_something(w);
			t1 = now_ns();
			atomic_fetch_add_explicit(&w->busy_ns, t0 - mark, memory_order_relaxed);
			atomic_fetch_add_explicit(&w->idle_ns, t1 - t0, memory_order_relaxed);
			mark = last_work = t1;
			awake = 0;
		}
	}
}

static bool on_mail(struct worker_fd *wfd, uint32_t revents)
{
	(void)revents;
	return mailbox_woken(((struct worker *)wfd->arg)->mail);
}

static int ring_init(struct worker *w)
{
	struct io_uring_params p = {.flags = IORING_SETUP_COOP_TASKRUN | IORING_SETUP_SUBMIT_ALL};
	int rc = io_uring_queue_init_params(w->entries, &w->ring, &p);

	if (rc == -EINVAL) /* kernels before 5.19 know neither flag */
		rc = io_uring_queue_init(w->entries, &w->ring, 0);
	return rc;
}

static void *thread_main(void *arg)
{
	struct worker *w = arg;
	struct worker_slot *s, *next;

	pthread_setname_np(pthread_self(), w->name);
	self = w;
	w->start_rc = ring_init(w);
	if (!w->start_rc) {
		w->mail_fd = (struct worker_fd){
			.fd = mailbox_fd(w->mail), .events = EPOLLIN, .fn = on_mail, .arg = w};
		w->start_rc = worker_fd_add(w, &w->mail_fd);
		if (w->start_rc)
			io_uring_queue_exit(&w->ring);
	}
	if (w->start_rc) {
		sem_post(&w->started);
		return NULL;
	}
	urcu_memb_register_thread();
	sem_post(&w->started);
	loop(w);
	while (mailbox_run(w->mail))
		;
	worker_fd_del(&w->mail_fd);
	urcu_memb_unregister_thread();
	io_uring_queue_exit(&w->ring);
	for (s = w->slots; s; s = next) {
		next = s->next;
		free(s);
	}
	return NULL;
}

struct worker *worker_new(const struct worker_conf *conf)
{
	struct worker *w = calloc(1, sizeof(*w));
	int rc;

	if (!w)
		return NULL;
	/* Linux shows 15 bytes of a thread's name and refuses longer ones. */
	snprintf(w->name, sizeof(w->name), "%.15s", conf->name ? conf->name : "worker");
	w->entries = conf->entries ? conf->entries : DEFAULT_ENTRIES;
	atomic_store(&w->spin_ns, conf->spin_ns);
	w->mail = mailbox_new();
	if (!w->mail) {
		free(w);
		errno = ENOMEM;
		return NULL;
	}
	sem_init(&w->started, 0, 0);
	rc = -pthread_create(&w->thread, NULL, thread_main, w);
	if (!rc) {
		while (sem_wait(&w->started) < 0 && errno == EINTR)
			;
		rc = w->start_rc;
		if (rc)
			pthread_join(w->thread, NULL);
	}
	if (rc) {
		mailbox_free(w->mail);
		sem_destroy(&w->started);
		free(w);
		errno = -rc;
		return NULL;
	}
	return w;
}

static void do_stop(void *arg)
{
	((struct worker *)arg)->stop = true;
}

void worker_free(struct worker *w)
{
	if (!w)
		return;
	while (worker_post(w, do_stop, w))
		; /* out of memory: the thread must stop all the same */
	pthread_join(w->thread, NULL);
	mailbox_free(w->mail);
	sem_destroy(&w->started);
	free(w);
}

const char *worker_name(const struct worker *w)
{
	return w->name;
}

bool worker_is_self(const struct worker *w)
{
	return self == w;
}

struct worker *worker_self(void)
{
	return self;
}

void worker_set_spin(struct worker *w, uint64_t spin_ns)
{
	atomic_store(&w->spin_ns, spin_ns);
}

int worker_post(struct worker *w, void (*fn)(void *arg), void *arg)
{
	return mailbox_post(w->mail, fn, arg);
}

struct call {
	void (*fn)(void *arg);
	void *arg;
	sem_t done;
};

static void do_call(void *arg)
{
	struct call *c = arg;

	c->fn(c->arg);
	sem_post(&c->done);
}

void worker_call(struct worker *w, void (*fn)(void *arg), void *arg)
{
	struct call c = {.fn = fn, .arg = arg};

	if (worker_is_self(w)) {
		fn(arg);
		return;
	}
	sem_init(&c.done, 0, 0);
	while (worker_post(w, do_call, &c))
		;
	while (sem_wait(&c.done) < 0 && errno == EINTR)
		;
	sem_destroy(&c.done);
}

int worker_fd_add(struct worker *w, struct worker_fd *wfd)
{
	struct worker_slot *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->wfd = wfd;
	wfd->slot = s;
	wfd->w = w;
	LIST_PUSH(w->slots, s);
	LIST_PUSH(w->fds, wfd);
	return 0;
}

void worker_fd_set_events(struct worker_fd *wfd, uint32_t events)
{
	wfd->events = events;
}

void worker_fd_del(struct worker_fd *wfd)
{
	struct worker *w = wfd->w;

	if (!w || !wfd->slot)
		return;
	if (w->next_fd == wfd)
		w->next_fd = wfd->next;
	LIST_DROP(w->fds, wfd);
	wfd->slot->wfd = NULL;
	wfd->slot = NULL;
	wfd->w = NULL;
}

void worker_timer_arm(struct worker *w, struct worker_timer *t, uint64_t when_ns)
{
	struct worker_timer *at, *before = NULL;

	worker_timer_cancel(t);
	at = w->timers;
	t->w = w;
	t->when = when_ns;
	t->armed = true;
	while (at && at->when <= when_ns) {
		before = at;
		at = at->next;
	}
	t->prev = before;
	t->next = at;
	if (at)
		at->prev = t;
	if (before)
		before->next = t;
	else
		w->timers = t;
}

void worker_timer_cancel(struct worker_timer *t)
{
	if (!t->armed)
		return;
	LIST_DROP(t->w->timers, t);
	t->armed = false;
}

void worker_turn_add(struct worker *w, struct worker_turn *t)
{
	t->w = w;
	LIST_PUSH(w->turns, t);
}

void worker_turn_del(struct worker_turn *t)
{
	if (!t->w)
		return;
	if (t->w->next_turn == t)
		t->w->next_turn = t->next;
	LIST_DROP(t->w->turns, t);
	t->w = NULL;
}

void worker_get_stats(const struct worker *w, struct worker_stats *st)
{
	st->busy_ns = atomic_load_explicit(&w->busy_ns, memory_order_relaxed);
	st->idle_ns = atomic_load_explicit(&w->idle_ns, memory_order_relaxed);
	st->turns = atomic_load_explicit(&w->n_turns, memory_order_relaxed);
	st->sleeps = atomic_load_explicit(&w->n_sleeps, memory_order_relaxed);
}
