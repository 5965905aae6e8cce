/* SPDX-License-Identifier: BSD-2-Clause */
/* Claims about vswitch/wait.c: no wake-up is lost, none comes too late. Real workers. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "base/worker.h"
#include "tests/lib/rng.h"
#include "tests/lib/wait.h"
#include "vsw_fixture.h"

#define N_WORKERS 2

static struct vsw *vsw;
static struct vsw_net *net;
static struct worker *worker[N_WORKERS];
static struct test_port *rx;

/**
 * struct sender - One transmit queue, as a device has it
 * @left:	Packets still to be sent
 * @wakes:	Wake-ups that came
 */
struct sender {
	struct test_port port;
	struct worker *worker;
	struct vsw_waiter waiter;
	struct frame frame;
	struct pkt pkt;
	_Atomic unsigned int left, wakes, waits, again;
	bool keep_going; /* send on when woken */
	bool got;
	uint64_t until; /* its patience is over then */
};
static struct sender tx[N_WORKERS];

static void pump(void *arg)
{
	struct sender *s = arg;
	struct pkt *p = &s->pkt;

	while (atomic_load(&s->left)) {
		if (vsw_send(&s->port.port, &p, 1) == 1) {
			atomic_fetch_sub(&s->left, 1);
			continue;
		}
		if (vsw_wait(&s->waiter, p->waits_for)) {
			atomic_fetch_add(&s->waits, 1);
			return;
		}
		atomic_fetch_add(&s->again, 1);
	}
}

static void woken(struct vsw_waiter *w)
{
	struct sender *s = w->arg;

	assert_true(worker_is_self(s->worker));
	atomic_fetch_add(&s->wakes, 1);
	if (s->keep_going)
		pump(s);
}

static void new_receiver(int room)
{
	rx = calloc(1, sizeof(*rx));
	test_port_init(rx, 9);
	rx->room = room;
	rx->keep = false;
	assert_int_equal(vsw_port_attach(net, &rx->port), 0);
}

static int setup(void **state)
{
	struct vsw_net_conf conf = {.name = "blue"};

	(void)state;
	vsw = vsw_new();
	net = vsw_net_add(vsw, &conf);
	for (unsigned int i = 0; i < N_WORKERS; i++) {
		struct worker_conf wc = {.name = i ? "w1" : "w0"};
		struct sender *s = &tx[i];

		worker[i] = worker_new(&wc);
		if (!worker[i])
			return -1;
		memset(s, 0, sizeof(*s));
		test_port_init(&s->port, 1 + i);
		s->port.keep = false;
		s->worker = worker[i];
		s->waiter = (struct vsw_waiter){.wake = woken, .arg = s, .worker = worker[i]};
		frame_udp(&s->frame, 1 + i, 9, 40);
		pkt_of_frame(&s->pkt, &s->frame, 0);
		assert_int_equal(vsw_port_attach(net, &s->port.port), 0);
	}
	new_receiver(0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	if (rx) {
		vsw_port_detach(&rx->port);
		free(rx);
		rx = NULL;
	}
	for (unsigned int i = 0; i < N_WORKERS; i++) {
		vsw_port_detach(&tx[i].port.port);
		worker_free(worker[i]);
	}
	assert_int_equal(vsw_net_del(net), 0);
	vsw_free(vsw);
	return 0;
}

static void start(struct sender *s, unsigned int packets)
{
	atomic_store(&s->left, packets);
	worker_call(s->worker, pump, s);
}

static void cancel(void *arg)
{
	vsw_wait_cancel(&((struct sender *)arg)->waiter);
}

/* Wait for everything that was posted to a worker so far. */
static void nothing(void *arg)
{
	(void)arg;
}

static void flush(unsigned int w)
{
	worker_call(worker[w], nothing, NULL);
}

static void a_waiting_sender_is_woken_once(void **state)
{
	(void)state;
	start(&tx[0], 1);
	assert_int_equal(atomic_load(&tx[0].waits), 1);
	assert_int_equal(atomic_load(&rx->port.n_waiters), 1);
	vsw_port_wake(&rx->port);
	vsw_port_wake(&rx->port);
	flush(0);
	assert_int_equal(atomic_load(&tx[0].wakes), 1);
	assert_int_equal(atomic_load(&rx->port.n_waiters), 0);
	/* Its packet is still there. */
	test_port_refill(rx, 1);
	start(&tx[0], 1);
	assert_int_equal(atomic_load(&tx[0].left), 0);
	assert_int_equal(rx->frames, 1);
}

static void wake_before_wait(void *arg)
{
	struct sender *s = arg;
	struct pkt *p = &s->pkt;

	assert_int_equal(vsw_send(&s->port.port, &p, 1), 0);
	vsw_port_wake(&rx->port);
	s->got = vsw_wait(&s->waiter, p->waits_for);
}

static void a_wake_between_the_failure_and_the_wait_is_noticed(void **state)
{
	(void)state;
	worker_call(worker[0], wake_before_wait, &tx[0]);
	assert_false(tx[0].got);
	assert_int_equal(atomic_load(&rx->port.n_waiters), 0);
	flush(0);
	assert_int_equal(atomic_load(&tx[0].wakes), 0);
}

static void wait_without_failure(void *arg)
{
	struct sender *s = arg;

	s->got = vsw_wait(&s->waiter, &rx->port);
}

static void waiting_without_a_failed_delivery_is_refused(void **state)
{
	(void)state;
	worker_call(worker[0], wait_without_failure, &tx[0]);
	assert_false(tx[0].got);
	assert_int_equal(atomic_load(&rx->port.n_waiters), 0);
}

static void two_failures(void *arg)
{
	struct sender *s = arg;
	struct pkt *p = &s->pkt;

	/* Two queues of one worker: the older count is the one that holds. */
	assert_int_equal(vsw_send(&s->port.port, &p, 1), 0);
	vsw_port_wake(&rx->port);
	assert_int_equal(vsw_send(&s->port.port, &p, 1), 0);
	s->got = vsw_wait(&s->waiter, p->waits_for);
}

static void an_older_failure_is_not_forgotten(void **state)
{
	(void)state;
	worker_call(worker[0], two_failures, &tx[0]);
	assert_false(tx[0].got);
}

static void wake_and_cancel(void *arg)
{
	/* The wake is a letter to this very thread: it runs after us. */
	vsw_port_wake(&rx->port);
	cancel(arg);
}

static void no_wake_comes_after_a_cancel(void **state)
{
	(void)state;
	start(&tx[0], 1);
	worker_call(worker[0], cancel, &tx[0]);
	assert_int_equal(atomic_load(&rx->port.n_waiters), 0);
	vsw_port_wake(&rx->port);
	flush(0);
	assert_int_equal(atomic_load(&tx[0].wakes), 0);

	start(&tx[0], 1);
	assert_int_equal(atomic_load(&tx[0].waits), 2);
	worker_call(worker[0], wake_and_cancel, &tx[0]);
	flush(0);
	assert_int_equal(atomic_load(&tx[0].wakes), 0);
	/* Cancelling twice, or what never waited, is fine. */
	worker_call(worker[0], cancel, &tx[0]);
	worker_call(worker[1], cancel, &tx[1]);
}

static void a_port_that_goes_wakes_its_waiters(void **state)
{
	(void)state;
	start(&tx[0], 1);
	start(&tx[1], 1);
	assert_int_equal(atomic_load(&rx->port.n_waiters), 2);
	vsw_port_detach(&rx->port);
	free(rx);
	rx = NULL;
	flush(0);
	flush(1);
	assert_int_equal(atomic_load(&tx[0].wakes), 1);
	assert_int_equal(atomic_load(&tx[1].wakes), 1);
	/* The packet goes on: the address is a stranger's now, nobody waits for that. */
	start(&tx[0], 1);
	assert_int_equal(atomic_load(&tx[0].left), 0);
}

/* ---- Patience ------------------------------------------------------------------------------ */

/* A queue that waits as long as it has patience, and then gives that packet up. */
static void pump_patiently(void *arg)
{
	struct sender *s = arg;
	struct pkt *p = &s->pkt;

	while (atomic_load(&s->left)) {
		uint64_t until = 0;

		if (vsw_send(&s->port.port, &p, 1) == 1) {
			p->flags &= ~PKT_NO_WAIT;
			atomic_fetch_sub(&s->left, 1);
		} else if (vsw_wait_patiently(&s->waiter, p->waits_for, &s->port.port, &until)) {
			atomic_fetch_add(&s->waits, 1);
			s->until = until;
			return;
		}
	}
}

/* As a device's timer does it. */
static void give_up(void *arg)
{
	struct sender *s = arg;

	vsw_wait_cancel(&s->waiter);
	s->pkt.flags |= PKT_NO_WAIT;
	pump_patiently(s);
}

static void woken_patiently(struct vsw_waiter *w)
{
	pump_patiently(w->arg);
}

static void start_patiently(struct sender *s, unsigned int packets, uint32_t hold_ms)
{
	s->port.port.hold_ms = hold_ms;
	s->waiter.wake = woken_patiently;
	atomic_store(&s->left, packets);
	worker_call(s->worker, pump_patiently, s);
}

static uint64_t no_buffer(void)
{
	return atomic_load(&rx->port.stats.drops[VSW_DROP_NO_BUFFER]);
}

/* Patience is spent as time passes: until there is none the sender waits for its timer. */
static void wait_it_out(struct sender *s)
{
	assert_true(wait_until(now_ns() >= s->until, WAIT_MS));
	worker_call(s->worker, give_up, s);
}

static void a_receiver_that_takes_nothing_is_waited_for_once(void **state)
{
	uint64_t t = now_ns();

	(void)state;
	start_patiently(&tx[0], 500, 100);
	assert_int_equal(atomic_load(&tx[0].waits), 1);
	assert_true(tx[0].until >= t + 100 * NSEC_PER_MSEC);
	assert_int_equal(no_buffer(), 0);
	wait_it_out(&tx[0]);
	/* One packet has waited for all of them, and nobody else waits either. */
	assert_int_equal(atomic_load(&tx[0].left), 0);
	assert_int_equal(atomic_load(&tx[0].waits), 1);
	assert_int_equal(no_buffer(), 500);
	start_patiently(&tx[1], 500, 100);
	assert_int_equal(atomic_load(&tx[1].waits), 0);
	assert_int_equal(no_buffer(), 1000);
	/* Time alone mends nothing, nor does a wake without buffers. */
	test_port_refill(rx, 0);
	start_patiently(&tx[0], 10, 100);
	assert_int_equal(atomic_load(&tx[0].waits), 1);
	assert_int_equal(no_buffer(), 1010);
}

static void a_receiver_that_shows_life_is_waited_for_again(void **state)
{
	uint64_t t;

	(void)state;
	start_patiently(&tx[0], 1, 100);
	wait_it_out(&tx[0]);
	/* A ring of buffers, as a guest posts them whose CPU slept. */
	test_port_refill(rx, 256);
	start_patiently(&tx[0], 300, 100);
	assert_int_equal(atomic_load(&tx[0].waits), 2);
	assert_int_equal(atomic_load(&tx[0].left), 44);
	assert_int_equal(no_buffer(), 1);
	t = now_ns();
	assert_true(tx[0].until > t);
	test_port_refill(rx, 44);
	assert_true(wait_until(!atomic_load(&tx[0].left), WAIT_MS));
	assert_int_equal(no_buffer(), 1);
}

/*
 * A hostile guest that gives one buffer whenever its senders are about to lose their patience. The
 * time it costs them is what its frames have earned, and no more.
 */
static void a_receiver_that_drips_gets_little_patience(void **state)
{
	uint64_t waited = 0;

	(void)state;
	start_patiently(&tx[0], 1, 100);
	wait_it_out(&tx[0]);
	for (unsigned int i = 0; i < 20; i++) {
		test_port_refill(rx, 1);
		/* The first takes the buffer, the second waits for what that has earned. */
		start_patiently(&tx[0], 2, 100);
		if (atomic_load(&tx[0].left)) {
			uint64_t now = now_ns();

			waited += tx[0].until > now ? tx[0].until - now : 0;
			wait_it_out(&tx[0]);
		}
		assert_int_equal(atomic_load(&tx[0].left), 0);
	}
	/* 1.25 ms a frame: 25 ms, where it had asked for 2 s. */
	assert_true(waited <= 20 * 1250000ull);
	assert_int_equal(no_buffer(), 21);
}

static void two_that_wait_at_once_spend_their_time_together(void **state)
{
	(void)state;
	start_patiently(&tx[0], 1, 100);
	start_patiently(&tx[1], 1, 100);
	assert_int_equal(atomic_load(&tx[0].waits), 1);
	assert_int_equal(atomic_load(&tx[1].waits), 1);
	/* The second one's wait ends with the first one's, not 100 ms after it began. */
	assert_true(tx[1].until <= tx[0].until + NSEC_PER_MSEC);
	wait_it_out(&tx[0]);
	wait_it_out(&tx[1]);
	assert_int_equal(no_buffer(), 2);
}

static void other_receivers_are_still_waited_for(void **state)
{
	struct test_port *other = calloc(1, sizeof(*other));

	(void)state;
	test_port_init(other, 8);
	other->room = 0;
	other->keep = false;
	assert_int_equal(vsw_port_attach(net, &other->port), 0);
	start_patiently(&tx[0], 1, 100);
	wait_it_out(&tx[0]);
	frame_udp(&tx[0].frame, 1, 8, 40);
	pkt_of_frame(&tx[0].pkt, &tx[0].frame, 0);
	start_patiently(&tx[0], 3, 100);
	assert_int_equal(atomic_load(&tx[0].waits), 2);
	assert_int_equal(atomic_load(&tx[0].left), 3);
	test_port_refill(other, 3);
	assert_true(wait_until(!atomic_load(&tx[0].left), WAIT_MS));
	assert_int_equal(atomic_load(&other->port.stats.drops[VSW_DROP_NO_BUFFER]), 0);
	vsw_port_detach(&other->port);
	free(other);
}

static void fail_only(void *arg)
{
	struct sender *s = arg;
	struct pkt *p = &s->pkt;

	assert_int_equal(vsw_send(&s->port.port, &p, 1), 0);
}

static void wait_for_the_departed(void *arg)
{
	struct sender *s = arg;

	s->got = vsw_wait(&s->waiter, s->pkt.waits_for);
}

static void a_port_that_went_meanwhile_is_not_waited_for(void **state)
{
	(void)state;
	worker_call(worker[0], fail_only, &tx[0]);
	vsw_port_detach(&rx->port);
	free(rx);
	rx = NULL;
	/* The pointer dangles by now; nothing may look behind it. */
	worker_call(worker[0], wait_for_the_departed, &tx[0]);
	assert_false(tx[0].got);

	/* Another port at the same place is another port. */
	new_receiver(0);
	worker_call(worker[0], fail_only, &tx[0]);
	vsw_port_detach(&rx->port);
	assert_int_equal(vsw_port_attach(net, &rx->port), 0);
	worker_call(worker[0], wait_for_the_departed, &tx[0]);
	assert_false(tx[0].got);
}

/*
 * Two workers send to a receiver whose guest posts buffers only when all are used up, a few at a
 * time, and wakes once for each posting. A single lost wake-up stops it for ever.
 */
#define PACKETS 20000

static _Atomic bool stop;

static void *guest(void *arg)
{
	struct rng r = {.s = 5};

	(void)arg;
	while (!atomic_load(&stop)) {
		bool empty;

		pthread_mutex_lock(&rx->lock);
		empty = rx->room == 0;
		pthread_mutex_unlock(&rx->lock);
		if (empty)
			test_port_refill(rx, 1 + (int)rng_below(&r, 4));
		else
			sched_yield();
	}
	return NULL;
}

static void no_wake_up_is_lost_between_two_workers(void **state)
{
	pthread_t t;

	(void)state;
	atomic_store(&stop, false);
	for (unsigned int i = 0; i < N_WORKERS; i++) {
		tx[i].keep_going = true;
		atomic_store(&tx[i].left, PACKETS);
		worker_post(worker[i], pump, &tx[i]);
	}
	assert_int_equal(pthread_create(&t, NULL, guest, NULL), 0);
	assert_true(wait_until(!atomic_load(&tx[0].left) && !atomic_load(&tx[1].left), 60000));
	atomic_store(&stop, true);
	pthread_join(t, NULL);
	for (unsigned int i = 0; i < N_WORKERS; i++) {
		flush(i);
		worker_call(worker[i], cancel, &tx[i]);
		assert_int_equal(atomic_load(&tx[i].wakes), atomic_load(&tx[i].waits));
	}
	assert_int_equal(rx->frames, 2 * PACKETS);
	assert_int_equal(atomic_load(&rx->port.stats.rx_packets), 2 * PACKETS);
	assert_true(atomic_load(&tx[0].waits) + atomic_load(&tx[1].waits) > 0);
}

/* Ports come and go while others send to them and wait for them. */
static void receivers_may_go_at_any_time(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < N_WORKERS; i++)
		tx[i].keep_going = true;
	for (unsigned int round = 0; round < 200; round++) {
		for (unsigned int i = 0; i < N_WORKERS; i++) {
			/* Only this thread starts the queues, and only when they are done. */
			assert_true(wait_until(!atomic_load(&tx[i].left), WAIT_MS));
			flush(i);
			atomic_store(&tx[i].left, 50);
			worker_post(worker[i], pump, &tx[i]);
		}
		test_port_refill(rx, 20);
		vsw_port_detach(&rx->port);
		free(rx);
		new_receiver((int)(round % 3));
		test_port_refill(rx, 100);
		assert_true(wait_until(!atomic_load(&tx[0].left) && !atomic_load(&tx[1].left),
				       WAIT_MS));
	}
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_waiting_sender_is_woken_once),
		T(a_wake_between_the_failure_and_the_wait_is_noticed),
		T(waiting_without_a_failed_delivery_is_refused),
		T(an_older_failure_is_not_forgotten),
		T(no_wake_comes_after_a_cancel),
		T(a_port_that_goes_wakes_its_waiters),
		T(a_port_that_went_meanwhile_is_not_waited_for),
		T(a_receiver_that_takes_nothing_is_waited_for_once),
		T(a_receiver_that_shows_life_is_waited_for_again),
		T(a_receiver_that_drips_gets_little_patience),
		T(two_that_wait_at_once_spend_their_time_together),
		T(other_receivers_are_still_waited_for),
		T(no_wake_up_is_lost_between_two_workers),
		T(receivers_may_go_at_any_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
