/* SPDX-License-Identifier: BSD-2-Clause */
/* Claims about base/worker and base/mailbox: order, readiness, timers, deletion at any moment. */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/mailbox.h"
#include "base/util.h"
#include "base/worker.h"

static struct worker *w;

static int setup(void **state)
{
	static const struct worker_conf sleeper = {.name = "sleeper"};
	static const struct worker_conf spinner = {.name = "spinner", .spin_ns = 50000};

	w = worker_new(*state ? &spinner : &sleeper);
	return w ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	worker_free(w);
	return 0;
}

static void until(_Atomic int *what, int value)
{
	uint64_t deadline = now_ns() + 10 * NSEC_PER_SEC;

	while (atomic_load(what) < value && now_ns() < deadline)
		usleep(100);
	assert_int_equal(atomic_load(what), value);
}

static int order[64];
static _Atomic int n_order;

static void note(void *arg)
{
	order[atomic_load(&n_order)] = (int)(intptr_t)arg;
	atomic_fetch_add(&n_order, 1);
}

static void nothing(void *arg)
{
	(void)arg;
}

static void letters_run_in_order_on_the_worker(void **state)
{
	(void)state;
	atomic_store(&n_order, 0);
	for (intptr_t i = 0; i < 64; i++)
		assert_int_equal(worker_post(w, note, (void *)i), 0);
	worker_call(w, nothing, NULL); /* behind all of them */
	assert_int_equal(atomic_load(&n_order), 64);
	for (int i = 0; i < 64; i++)
		assert_int_equal(order[i], i);
	assert_null(worker_self());
}

static void what_was_posted_before_free_is_run(void **state)
{
	static const struct worker_conf conf = {.name = "short"};
	struct worker *s = worker_new(&conf);

	(void)state;
	atomic_store(&n_order, 0);
	for (intptr_t i = 0; i < 10; i++)
		worker_post(s, note, (void *)i);
	worker_free(s);
	assert_int_equal(atomic_load(&n_order), 10);
}

struct sock {
	struct worker_fd wfd;
	int peer;
	unsigned int chunk; /* bytes read per callback */
	_Atomic int bytes, eof, deleted;
};

static bool on_sock(struct worker_fd *wfd, uint32_t revents)
{
	struct sock *s = wfd->arg;
	char buf[64];
	ssize_t n = recv(wfd->fd, buf, s->chunk, MSG_DONTWAIT);

	(void)revents;
	if (n > 0)
		atomic_fetch_add(&s->bytes, (int)n);
	if (n == 0) {
		worker_fd_del(wfd);
		atomic_store(&s->eof, 1);
	}
	return n >= 0;
}

static void add_sock(void *arg)
{
	struct sock *s = arg;

	assert_int_equal(worker_fd_add(w, &s->wfd), 0);
}

static void del_sock(void *arg)
{
	struct sock *s = arg;

	worker_fd_del(&s->wfd);
	worker_fd_del(&s->wfd); /* twice is fine */
	fd_close(&s->wfd.fd);
	atomic_store(&s->deleted, 1);
}

static void open_sock(struct sock *s, unsigned int chunk, bool spin)
{
	int sv[2];

	memset(s, 0, sizeof(*s));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sv), 0);
	s->peer = sv[0];
	s->chunk = chunk;
	s->wfd = (struct worker_fd){
		.fd = sv[1], .events = EPOLLIN, .spin = spin, .fn = on_sock, .arg = s};
	worker_call(w, add_sock, s);
}

static void what_is_left_is_reported_again(void **state)
{
	struct sock s;

	(void)state;
	open_sock(&s, 1, false);
	assert_int_equal(write(s.peer, "abcdefgh", 8), 8);
	until(&s.bytes, 8);
	assert_int_equal(write(s.peer, "ij", 2), 2);
	until(&s.bytes, 10);
	close(s.peer);
	until(&s.eof, 1);
	worker_call(w, del_sock, &s);
}

static void a_deleted_descriptor_is_let_go_by_the_kernel(void **state)
{
	struct sock s;
	char c;
	uint64_t deadline = now_ns() + 10 * NSEC_PER_SEC;
	ssize_t n;

	(void)state;
	open_sock(&s, 16, false);
	worker_call(w, nothing, NULL); /* a turn has passed: the poll is armed */
	worker_call(w, del_sock, &s);
	/* The peer sees the end only when no poll holds the file any more. */
	do
		n = recv(s.peer, &c, 1, MSG_DONTWAIT);
	while (n < 0 && errno == EAGAIN && now_ns() < deadline);
	assert_int_equal(n, 0);
	close(s.peer);
}

static void many_descriptors_come_and_go_under_traffic(void **state)
{
	struct sock s[16];

	(void)state;
	for (int round = 0; round < 20; round++) {
		for (unsigned int i = 0; i < ARRAY_SIZE(s); i++)
			open_sock(&s[i], 7, i & 1);
		for (unsigned int i = 0; i < ARRAY_SIZE(s); i++)
			assert_int_equal(write(s[i].peer, "0123456789", 10), 10);
		for (unsigned int i = 0; i < ARRAY_SIZE(s); i += 2)
			until(&s[i].bytes, 10);
		for (unsigned int i = 0; i < ARRAY_SIZE(s); i++) {
			worker_call(w, del_sock, &s[i]);
			close(s[i].peer);
		}
	}
}

struct tick {
	struct worker_timer t;
	uint64_t due, fired;
	int id;
	_Atomic int count;
	int again;
};

static _Atomic int ticks;
static int tick_order[8];

static void on_tick(struct worker_timer *t)
{
	struct tick *k = t->arg;

	k->fired = now_ns();
	atomic_fetch_add(&k->count, 1);
	if (k->again-- > 0) {
		worker_timer_arm(w, t, now_ns() + NSEC_PER_MSEC);
		return;
	}
	tick_order[atomic_load(&ticks)] = k->id;
	atomic_fetch_add(&ticks, 1);
}

static void arm(void *arg)
{
	struct tick *k = arg;

	k->t.fn = on_tick;
	k->t.arg = k;
	worker_timer_arm(w, &k->t, k->due);
}

static void disarm(void *arg)
{
	worker_timer_cancel(&((struct tick *)arg)->t);
}

static void timers_fire_in_order_and_never_early(void **state)
{
	uint64_t t0 = now_ns();
	struct tick k[4] = {
		{.id = 0, .due = t0 + 30 * NSEC_PER_MSEC},
		{.id = 1, .due = t0 + 10 * NSEC_PER_MSEC},
		{.id = 2, .due = t0 + 20 * NSEC_PER_MSEC, .again = 3},
		{.id = 3, .due = t0 + 15 * NSEC_PER_MSEC},
	};

	(void)state;
	atomic_store(&ticks, 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(k); i++)
		worker_call(w, arm, &k[i]);
	worker_call(w, disarm, &k[3]);
	until(&ticks, 3);
	assert_int_equal(tick_order[0], 1);
	assert_int_equal(atomic_load(&k[2].count), 4);
	assert_int_equal(atomic_load(&k[3].count), 0);
	assert_true(k[0].fired >= k[0].due && k[1].fired >= k[1].due);
}

static void rearm_soonest_and_latest(void *arg)
{
	struct tick *k = arg;
	uint64_t t0 = now_ns();

	/* Each is in turn the soonest, the latest and in between. */
	for (unsigned int i = 0; i < 6; i++) {
		for (unsigned int j = 0; j < 3; j++)
			k[j].due = t0 + (5 + (i + j) % 3) * NSEC_PER_MSEC;
		for (unsigned int j = 0; j < 3; j++)
			arm(&k[j]);
		arm(&k[i % 3]);
	}
}

static void a_timer_that_is_armed_can_be_moved(void **state)
{
	struct tick k[3] = {{.id = 0}, {.id = 1}, {.id = 2}};

	(void)state;
	atomic_store(&ticks, 0);
	/* Alone. */
	k[0].due = now_ns() + 3600 * NSEC_PER_SEC;
	worker_call(w, arm, &k[0]);
	k[0].due = now_ns() + NSEC_PER_MSEC;
	worker_call(w, arm, &k[0]);
	until(&ticks, 1);
	assert_true(k[0].fired >= k[0].due);
	/* Among others: all fire, once each, soonest first. */
	atomic_store(&ticks, 0);
	worker_call(w, rearm_soonest_and_latest, k);
	until(&ticks, 3);
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(atomic_load(&k[i].count), i ? 1 : 2);
	for (unsigned int i = 0; i + 1 < 3; i++)
		assert_true(k[tick_order[i]].due <= k[tick_order[i + 1]].due);
}

struct burst {
	struct worker_turn t;
	_Atomic int left, calls, hidden;
};

static bool on_turn(struct worker_turn *t)
{
	struct burst *b = t->arg;

	atomic_fetch_add(&b->calls, 1);
	if (atomic_load(&b->left) == 0)
		return false;
	atomic_fetch_sub(&b->left, 1);
	return true;
}

static void add_turn(void *arg)
{
	struct burst *b = arg;

	b->t.fn = on_turn;
	b->t.arg = b;
	worker_turn_add(w, &b->t);
}

static void del_turn(void *arg)
{
	worker_turn_del(&((struct burst *)arg)->t);
}

/* Work that shows only when the loop wants to sleep, as behind a notification that was off. */
static bool on_sleep(struct worker_turn *t)
{
	struct burst *b = t->arg;

	if (atomic_load(&b->hidden) == 0)
		return false;
	atomic_store(&b->left, 1);
	atomic_fetch_sub(&b->hidden, 1);
	return true;
}

static void work_found_before_sleeping_keeps_the_loop_awake(void **state)
{
	struct burst b = {.hidden = 1000, .t.sleep = on_sleep};
	uint64_t deadline = now_ns() + 10 * NSEC_PER_SEC;

	(void)state;
	worker_call(w, add_turn, &b);
	while ((atomic_load(&b.hidden) || atomic_load(&b.left)) && now_ns() < deadline)
		usleep(100);
	assert_int_equal(atomic_load(&b.hidden), 0);
	assert_int_equal(atomic_load(&b.left), 0);
	worker_call(w, del_turn, &b);
}

static void a_turn_hook_that_works_keeps_the_loop_awake(void **state)
{
	struct burst b = {.left = 1000};
	uint64_t deadline = now_ns() + 10 * NSEC_PER_SEC;

	(void)state;
	worker_call(w, add_turn, &b);
	/* Nothing else happens to this worker: it gets to 0 by itself or not at all. */
	while (atomic_load(&b.left) && now_ns() < deadline)
		usleep(100);
	assert_int_equal(atomic_load(&b.left), 0);
	worker_call(w, del_turn, &b);
	assert_true(atomic_load(&b.calls) > 1000);
}

static bool always_busy(struct worker_fd *wfd, uint32_t revents)
{
	(void)wfd;
	(void)revents;
	return true;
}

static _Atomic int heard;

static bool hear(struct worker_fd *wfd, uint32_t revents)
{
	(void)revents;
	fd_event_drain(wfd->fd);
	atomic_fetch_add(&heard, 1);
	return true;
}

static void add_fd(void *arg)
{
	assert_int_equal(worker_fd_add(w, arg), 0);
}

static void del_fd(void *arg)
{
	worker_fd_del(arg);
}

static void a_busy_loop_hears_the_others(void **state)
{
	int a = eventfd(0, EFD_NONBLOCK), b = eventfd(0, EFD_NONBLOCK);
	struct worker_fd busy = {.fd = a, .events = EPOLLIN, .spin = true, .fn = always_busy};
	struct worker_fd quiet = {.fd = b, .events = EPOLLIN, .fn = hear};
	struct burst turn = {.left = INT_MAX};

	atomic_store(&heard, 0);
	if (*state)
		worker_call(w, add_fd, &busy);
	else
		worker_call(w, add_turn, &turn);
	worker_call(w, add_fd, &quiet);
	for (int i = 1; i <= 20; i++) {
		fd_event_signal(b);
		until(&heard, i);
	}
	worker_call(w, del_fd, &quiet);
	if (*state)
		worker_call(w, del_fd, &busy);
	else
		worker_call(w, del_turn, &turn);
	close(a);
	close(b);
}

static void a_sleeping_worker_does_not_turn(void **state)
{
	struct worker_stats a, b;
	uint64_t deadline = now_ns() + 10 * NSEC_PER_SEC;

	if (*state) {
		/* A spinner has to come to rest as well, after its spin time. */
		worker_set_spin(w, 1000);
	}
	/* At rest: no turn for 20 ms, seen at least once before the deadline. */
	do {
		worker_get_stats(w, &a);
		usleep(20000);
		worker_get_stats(w, &b);
	} while (a.turns != b.turns && now_ns() < deadline);
	assert_int_equal(a.turns, b.turns);
}

static void a_signal_behind_its_letter_is_forgotten(void **state)
{
	struct mailbox *mb = mailbox_new();
	struct pollfd p = {.events = POLLIN};
	_Atomic int *count = &n_order;

	(void)state;
	assert_non_null(mb);
	p.fd = mailbox_fd(mb);
	atomic_store(count, 0);
	assert_int_equal(mailbox_post(mb, note, NULL), 0);
	assert_true(mailbox_run(mb));
	/* The sender comes to signal only now. */
	fd_event_signal(p.fd);
	assert_int_equal(poll(&p, 1, 0), 1);
	assert_false(mailbox_woken(mb));
	assert_int_equal(poll(&p, 1, 0), 0);
	/* And a letter is still heard of. */
	assert_int_equal(mailbox_post(mb, note, NULL), 0);
	assert_int_equal(poll(&p, 1, 0), 1);
	assert_true(mailbox_woken(mb));
	assert_int_equal(atomic_load(count), 2);
	assert_int_equal(poll(&p, 1, 0), 0);
	mailbox_free(mb);
}

int main(void)
{
	static int spin = 1;
#define BOTH(f)                                                                                    \
	cmocka_unit_test_setup_teardown(f, setup, teardown),                                       \
	{                                                                                          \
#f " (spinning)", f, setup, teardown, &spin                                        \
	}
	const struct CMUnitTest tests[] = {
		BOTH(letters_run_in_order_on_the_worker),
		BOTH(what_is_left_is_reported_again),
		BOTH(a_deleted_descriptor_is_let_go_by_the_kernel),
		BOTH(many_descriptors_come_and_go_under_traffic),
		BOTH(timers_fire_in_order_and_never_early),
		BOTH(a_timer_that_is_armed_can_be_moved),
		BOTH(a_turn_hook_that_works_keeps_the_loop_awake),
		BOTH(work_found_before_sleeping_keeps_the_loop_awake),
		BOTH(a_busy_loop_hears_the_others),
		BOTH(a_sleeping_worker_does_not_turn),
		cmocka_unit_test(what_was_posted_before_free_is_run),
		cmocka_unit_test(a_signal_behind_its_letter_is_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
