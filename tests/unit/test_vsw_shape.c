/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Claims about vswitch/shape: rates, shares and turns, to the byte. Time is a number here: each
 * sender comes when it was told to (or as much later as the test says) and sends until it is
 * refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "vswitch/shape.h"

#define MBIT	    125000ull
#define BURST	    16
#define MAX_SENDERS 8

/**
 * struct sender - One queue
 * @len:	bytes of each of its packets
 * @late:	it comes so much later than told, ns
 * @mbps:	what it wants to send; 0: all it can
 * @from, @to:	when it does, ns
 */
struct sender {
	struct shape *path, *own;
	uint32_t len;
	uint64_t late, mbps, from, to;
	uint64_t next, sent, refusals;
	struct pkt_delay delay;
};

static struct {
	struct sender sender[MAX_SENDERS];
	unsigned int n;
	uint64_t now;
} sim;

static struct pkt burst[BURST];

static void sim_reset(void)
{
	memset(&sim, 0, sizeof(sim));
	sim.now = NSEC_PER_SEC;
}

static struct sender *add(struct shape *path, struct shape *own, uint32_t len)
{
	struct sender *s = &sim.sender[sim.n++];

	assert_true(sim.n <= MAX_SENDERS);
	*s = (struct sender){.path = path, .own = own, .len = len, .to = UINT64_MAX};
	return s;
}

/* Bytes that it has to send by now, beyond what it has sent. */
static uint64_t backlog(const struct sender *s)
{
	uint64_t end = MIN(sim.now, s->to), all;

	if (sim.now < s->from || sim.now >= s->to)
		return 0;
	if (!s->mbps)
		return UINT64_MAX;
	all = (end - s->from) * s->mbps / 8000;
	return all > s->sent ? all - s->sent : 0;
}

/* The sender's turn: true when it sent something. */
static bool turn(struct sender *s)
{
	unsigned int n = (unsigned int)MIN(backlog(s) / s->len, BURST), ok;
	struct pkt *pkts[BURST];

	if (!n) {
		s->next = sim.now + (s->mbps ? s->len * 8000 / s->mbps : NSEC_PER_MSEC);
		return false;
	}
	for (unsigned int i = 0; i < n; i++) {
		pkts[i] = &burst[i];
		burst[i].len = s->len;
		burst[i].seg_done = 0;
		burst[i].delay = (struct pkt_delay){0};
	}
	burst[0].delay = s->delay;
	ok = shape_admit(s->path, s->own, pkts, n, true, sim.now);
	assert_true(ok <= n);
	s->delay = (struct pkt_delay){0};
	if (!ok) {
		s->delay = burst[0].delay;
		s->refusals++;
		/* Soon enough to feel that the limits have changed. */
		assert_in_range(s->delay.until, sim.now + 1, sim.now + 5 * NSEC_PER_MSEC);
		assert_in_range(s->delay.since, 1, sim.now);
		s->next = s->delay.until + s->late;
		return false;
	}
	shape_charge(s->path, s->own, (uint64_t)ok * s->len);
	s->sent += (uint64_t)ok * s->len;
	return true;
}

static void run(uint64_t ns)
{
	uint64_t end = sim.now + ns;

	for (;;) {
		struct sender *first = &sim.sender[0];

		for (unsigned int i = 1; i < sim.n; i++)
			if (sim.sender[i].next < first->next)
				first = &sim.sender[i];
		if (first->next >= end)
			break;
		sim.now = MAX(sim.now, first->next);
		while (turn(first))
			;
	}
	sim.now = end;
}

/* Bytes in @ns at so many Mbit/s. */
static uint64_t at(double mbps, uint64_t ns)
{
	return (uint64_t)(mbps * (double)MBIT * ((double)ns / 1e9));
}

static void assert_near(const char *what, uint64_t got, uint64_t want, double percent)
{
	double off = ((double)got - (double)want) * 100 / (double)want;

	if (off > percent || off < -percent)
		fail_msg("%s: %llu instead of %llu bytes, %.2f %% off", what,
			 (unsigned long long)got, (unsigned long long)want, off);
}

static void set(struct shape *s, uint32_t max, uint32_t min, uint32_t weight)
{
	const struct shape_conf conf = {.max_mbps = max, .min_mbps = min, .min_weight = weight};

	shape_set(s, &conf, sim.now);
}

/* ---- A maximum ---------------------------------------------------------------------------- */

static void a_maximum_is_kept_at_every_step_of_100_mbit(void **state)
{
	const uint32_t lens[] = {60, 1514, 65550};
	char what[60];

	(void)state;
	for (uint32_t mbps = 100; mbps <= 1000; mbps += 100) {
		for (unsigned int i = 0; i < ARRAY_SIZE(lens); i++) {
			struct shape own;
			struct sender *s;

			sim_reset();
			shape_init(&own);
			set(&own, mbps, 0, 0);
			s = add(NULL, &own, lens[i]);
			run((lens[i] < 100 ? 1 : 10) * NSEC_PER_SEC);
			snprintf(what, sizeof(what), "%u Mbit/s in packets of %u", mbps, lens[i]);
			/* A bucket of 20 ms is allowed at the start. */
			assert_near(what, s->sent,
				    at(mbps, sim.now - NSEC_PER_SEC + 10 * NSEC_PER_MSEC),
				    lens[i] < 100 ? 1.2 : 0.3);
		}
	}
}

static void slow_and_fast_maxima_are_kept(void **state)
{
	const uint32_t rates[] = {1, 10, 10000, 100000};
	struct shape own;
	struct sender *s;

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(rates); i++) {
		sim_reset();
		shape_init(&own);
		set(&own, rates[i], 0, 0);
		s = add(NULL, &own, rates[i] > 1000 ? 65550 : 1514);
		run(rates[i] > 1000 ? NSEC_PER_SEC : 20 * NSEC_PER_SEC);
		assert_near("rate", s->sent, at(rates[i], sim.now - NSEC_PER_SEC), 2.5);
	}
}

/* On a busy machine a worker comes late, each time. */
static void a_late_worker_loses_nothing(void **state)
{
	struct shape own;
	struct sender *s;

	(void)state;
	for (uint64_t late = 10; late <= 160; late += 50) {
		sim_reset();
		shape_init(&own);
		set(&own, 100, 0, 0);
		s = add(NULL, &own, 1514);
		s->late = late * NSEC_PER_MSEC;
		run(10 * NSEC_PER_SEC);
		assert_near("late", s->sent, at(100, 10 * NSEC_PER_SEC), 2);
	}
}

static void a_debt_is_paid_before_the_next_packet(void **state)
{
	struct shape own;
	struct sender *s;

	(void)state;
	sim_reset();
	shape_init(&own);
	set(&own, 8, 0, 0); /* a million bytes a second, a bucket of 20000 */
	s = add(NULL, &own, 256 * 1024);
	run(20 * NSEC_PER_MSEC);
	assert_int_equal(s->sent, 256 * 1024);
	run(200 * NSEC_PER_MSEC); /* 242144 bytes of debt: until 242 ms */
	assert_int_equal(s->sent, 256 * 1024);
	run(30 * NSEC_PER_MSEC);
	assert_int_equal(s->sent, 2 * 256 * 1024);
}

static void the_path_and_the_port_both_hold(void **state)
{
	struct shape path, own;
	struct sender *vf, *syn;

	(void)state;
	sim_reset();
	shape_init(&path);
	shape_init(&own);
	set(&path, 50, 0, 0);
	set(&own, 100, 0, 0);
	vf = add(&path, &own, 1514);
	run(10 * NSEC_PER_SEC);
	assert_near("path alone", vf->sent, at(50, 10 * NSEC_PER_SEC), 0.5);
	syn = add(NULL, &own, 1514);
	syn->next = sim.now;
	vf->sent = 0;
	run(10 * NSEC_PER_SEC);
	assert_near("both", vf->sent + syn->sent, at(100, 10 * NSEC_PER_SEC), 0.5);
	assert_true(vf->sent <= at(50.5, 10 * NSEC_PER_SEC));
	assert_true(syn->sent >= at(45, 10 * NSEC_PER_SEC));
	set(&own, 30, 0, 0);
	vf->sent = syn->sent = 0;
	run(10 * NSEC_PER_SEC);
	assert_near("less than the path's", vf->sent + syn->sent, at(30, 10 * NSEC_PER_SEC), 0.5);
	/* The path's clamp does not brake the other path. */
	set(&path, 1, 0, 0);
	set(&own, 0, 0, 0);
	set(&own, 200, 0, 0);
	vf->sent = syn->sent = 0;
	run(10 * NSEC_PER_SEC);
	assert_near("clamped", vf->sent, at(1, 10 * NSEC_PER_SEC), 3);
	assert_near("the other", syn->sent, at(199, 10 * NSEC_PER_SEC), 1);
}

static void a_change_is_felt_at_once(void **state)
{
	struct shape own;
	struct sender *s;

	(void)state;
	sim_reset();
	shape_init(&own);
	set(&own, 1, 0, 0);
	s = add(NULL, &own, 65550);
	run(100 * NSEC_PER_MSEC);
	s->sent = 0;
	set(&own, 1000, 0, 0);
	run(6 * NSEC_PER_MSEC);
	assert_true(s->sent >= 65550);
	set(&own, 100, 0, 0);
	s->sent = 0;
	run(10 * NSEC_PER_SEC);
	assert_near("after it", s->sent, at(100, 10 * NSEC_PER_SEC), 0.5);
	assert_int_equal(shape_get(&own).max_mbps, 100);
}

/* ---- Shares of a network ------------------------------------------------------------------ */

static struct shape_net net;
static struct shape member[4];

static void net_up(uint32_t mbps, unsigned int n)
{
	sim_reset();
	shape_net_init(&net);
	shape_net_set(&net, mbps, sim.now);
	for (unsigned int i = 0; i < n; i++) {
		shape_init(&member[i]);
		shape_join(&net, &member[i]);
	}
}

static void net_down(unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		shape_leave(&member[i]);
	shape_net_fini(&net);
}

static void fresh(void)
{
	for (unsigned int i = 0; i < sim.n; i++)
		sim.sender[i].sent = 0;
}

static void shares_follow_the_weights(void **state)
{
	(void)state;
	net_up(100, 3);
	set(&member[0], 0, 0, 10);
	set(&member[1], 0, 0, 20);
	set(&member[2], 0, 0, 50);
	add(NULL, &member[0], 1514);
	add(NULL, &member[1], 65550); /* whatever the size of their packets */
	add(NULL, &member[2], 1514)->late = 3 * NSEC_PER_MSEC;
	run(10 * NSEC_PER_SEC);
	assert_near("10 of 80", sim.sender[0].sent, at(12.5, 10 * NSEC_PER_SEC), 1.5);
	assert_near("20 of 80", sim.sender[1].sent, at(25, 10 * NSEC_PER_SEC), 1.5);
	assert_near("50 of 80", sim.sender[2].sent, at(62.5, 10 * NSEC_PER_SEC), 1.5);
	net_down(3);
}

static void without_weights_all_are_equal(void **state)
{
	(void)state;
	net_up(400, 4);
	for (unsigned int i = 0; i < 4; i++)
		add(NULL, &member[i], 1514)->late = i * NSEC_PER_MSEC;
	run(10 * NSEC_PER_SEC);
	for (unsigned int i = 0; i < 4; i++)
		assert_near("a quarter", sim.sender[i].sent, at(100, 10 * NSEC_PER_SEC), 1);
	net_down(4);
}

static void what_one_does_not_use_goes_to_the_others(void **state)
{
	struct sender *small, *a, *b;

	(void)state;
	net_up(100, 3);
	set(&member[0], 0, 0, 98);
	set(&member[1], 0, 0, 1);
	set(&member[2], 0, 0, 3);
	small = add(NULL, &member[0], 1514);
	small->mbps = 20;
	small->from = sim.now;
	a = add(NULL, &member[1], 1514);
	b = add(NULL, &member[2], 1514);
	run(10 * NSEC_PER_SEC);
	assert_near("all it wants", small->sent, at(20, 10 * NSEC_PER_SEC), 0.1);
	assert_int_equal(small->refusals, 0);
	assert_near("1 of 4 of the rest", a->sent, at(20, 10 * NSEC_PER_SEC), 1.5);
	assert_near("3 of 4 of the rest", b->sent, at(60, 10 * NSEC_PER_SEC), 1.5);
	/* One that has its maximum leaves the rest too. */
	small->to = sim.now;
	set(&member[2], 10, 0, 3);
	fresh();
	run(10 * NSEC_PER_SEC);
	assert_near("its maximum", b->sent, at(10, 10 * NSEC_PER_SEC), 1);
	assert_near("the rest", a->sent, at(90, 10 * NSEC_PER_SEC), 1);
	net_down(3);
}

static void who_was_idle_has_its_share_at_once(void **state)
{
	struct sender *a, *b;

	(void)state;
	net_up(100, 2);
	set(&member[0], 0, 0, 1);
	set(&member[1], 0, 0, 9);
	a = add(NULL, &member[0], 1514);
	b = add(NULL, &member[1], 1514);
	b->from = sim.now + 5 * NSEC_PER_SEC;
	run(5 * NSEC_PER_SEC);
	assert_int_equal(b->sent, 0);
	assert_near("alone", a->sent, at(100, 5 * NSEC_PER_SEC), 1);
	fresh();
	run(100 * NSEC_PER_MSEC);
	assert_near("its share", b->sent, at(90, 100 * NSEC_PER_MSEC), 5);
	assert_near("what is left", a->sent, at(10, 100 * NSEC_PER_MSEC), 30);
	net_down(2);
}

static void absolute_minima_come_first(void **state)
{
	(void)state;
	net_up(100, 3);
	set(&member[0], 0, 60, 0);
	set(&member[1], 0, 0, 1);
	set(&member[2], 0, 0, 2);
	add(NULL, &member[0], 1514);
	add(NULL, &member[1], 1514);
	add(NULL, &member[2], 1514);
	run(10 * NSEC_PER_SEC);
	/* 60, and 40 by the weights 1, 1, 2 */
	assert_near("60 + 10", sim.sender[0].sent, at(70, 10 * NSEC_PER_SEC), 1.5);
	assert_near("10", sim.sender[1].sent, at(10, 10 * NSEC_PER_SEC), 2.5);
	assert_near("20", sim.sender[2].sent, at(20, 10 * NSEC_PER_SEC), 2.5);
	/* More than there is: what there is, by then nothing is left to divide. */
	set(&member[1], 0, 100, 1);
	fresh();
	run(10 * NSEC_PER_SEC);
	assert_near("all of it", sim.sender[0].sent + sim.sender[1].sent + sim.sender[2].sent,
		    at(100, 10 * NSEC_PER_SEC), 1);
	net_down(3);
}

static void members_come_and_go_and_rates_change(void **state)
{
	(void)state;
	net_up(0, 2);
	add(NULL, &member[0], 1514);
	assert_false(shape_is_limited(&member[0]));
	/* No limit: a burst is let through whole, always. */
	for (unsigned int i = 0; i < 1000; i++)
		assert_true(turn(&sim.sender[0]));
	assert_int_equal(sim.sender[0].sent, 1000 * BURST * 1514);
	shape_net_set(&net, 50, sim.now);
	assert_true(shape_is_limited(&member[0]));
	assert_int_equal(shape_net_get(&net), 50);
	fresh();
	run(5 * NSEC_PER_SEC);
	assert_near("alone", sim.sender[0].sent, at(50, 5 * NSEC_PER_SEC), 1);
	add(NULL, &member[1], 1514)->next = sim.now;
	fresh();
	run(5 * NSEC_PER_SEC);
	assert_near("half", sim.sender[0].sent, at(25, 5 * NSEC_PER_SEC), 1.5);
	sim.n = 1;
	shape_leave(&member[1]);
	assert_false(shape_is_limited(&member[1]));
	fresh();
	run(5 * NSEC_PER_SEC);
	assert_near("alone again", sim.sender[0].sent, at(50, 5 * NSEC_PER_SEC), 1);
	shape_net_set(&net, 0, sim.now);
	for (unsigned int i = 0; i < 1000; i++)
		assert_true(turn(&sim.sender[0]));
	net_down(1);
}

/* ---- Turns -------------------------------------------------------------------------------- */

/* In turn. With workers that are late all the time the rate is kept all the same, and nobody
 * starves. */
static void queues_of_a_port_take_turns(void **state)
{
	static const struct {
		uint64_t late;
		double least; /* Mbit/s of each; 25 is equal */
	} cases[] = {{0, 24.5}, {3 * NSEC_PER_MSEC, 21}, {12 * NSEC_PER_MSEC, 12}};
	struct shape own;

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t sum = 0;

		sim_reset();
		shape_init(&own);
		set(&own, 100, 0, 0);
		for (unsigned int k = 0; k < 4; k++)
			add(NULL, &own, 1514)->late = cases[i].late;
		run(10 * NSEC_PER_SEC);
		for (unsigned int k = 0; k < 4; k++) {
			sum += sim.sender[k].sent;
			assert_true(sim.sender[k].sent >= at(cases[i].least, 10 * NSEC_PER_SEC));
		}
		assert_near("all four", sum, at(100, 10 * NSEC_PER_SEC), 0.5);
	}
}

/* One that was stopped with a ticket in its hand holds the others up for a tenth of a second. */
static void who_does_not_come_back_is_passed_over(void **state)
{
	struct shape own;
	uint64_t before;

	(void)state;
	sim_reset();
	shape_init(&own);
	set(&own, 100, 0, 0);
	add(NULL, &own, 1514);
	add(NULL, &own, 1514);
	run(NSEC_PER_SEC);
	assert_true(sim.sender[0].refusals && sim.sender[1].refusals);
	sim.sender[0].next = UINT64_MAX;
	before = sim.sender[1].sent;
	run(130 * NSEC_PER_MSEC);
	assert_true(sim.sender[1].sent > before);
	fresh();
	run(10 * NSEC_PER_SEC);
	assert_near("all of it", sim.sender[1].sent, at(100, 10 * NSEC_PER_SEC), 1);
}

static void what_has_begun_goes_on_and_is_paid_for(void **state)
{
	struct pkt pkt = {.len = 1500}, *p = &pkt;
	struct shape own;

	(void)state;
	sim_reset();
	shape_init(&own);
	set(&own, 8, 0, 0);
	shape_charge(NULL, &own, 30000); /* 10000 more than the bucket */
	assert_int_equal(shape_admit(NULL, &own, &p, 1, true, sim.now), 0);
	pkt.delay = (struct pkt_delay){0};
	pkt.seg_done = 3;
	assert_int_equal(shape_admit(NULL, &own, &p, 1, true, sim.now), 1);
	pkt.seg_done = 0;
	pkt.delay.at = PKT_DELAY_EXEMPT;
	assert_int_equal(shape_admit(NULL, &own, &p, 1, true, sim.now), 1);
	assert_int_equal(shape_admit(NULL, &own, &p, 1, false, sim.now), 1);
}

/* Who cannot wait stands in no line, and takes what is there. */
static void who_cannot_wait_is_refused_without_a_ticket(void **state)
{
	struct pkt pkt = {.len = 1500}, *p = &pkt;
	struct shape own;

	(void)state;
	sim_reset();
	shape_init(&own);
	set(&own, 8, 0, 0);
	assert_int_equal(shape_admit(NULL, &own, &p, 1, false, sim.now), 1);
	shape_charge(NULL, &own, 30000);
	assert_int_equal(shape_admit(NULL, &own, &p, 1, false, sim.now), 0);
	assert_int_equal(pkt.delay.until, 0);
	assert_int_equal(own.line.next, own.line.serving);
	sim.now += 11 * NSEC_PER_MSEC;
	assert_int_equal(shape_admit(NULL, &own, &p, 1, false, sim.now), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_maximum_is_kept_at_every_step_of_100_mbit),
		cmocka_unit_test(slow_and_fast_maxima_are_kept),
		cmocka_unit_test(a_late_worker_loses_nothing),
		cmocka_unit_test(a_debt_is_paid_before_the_next_packet),
		cmocka_unit_test(the_path_and_the_port_both_hold),
		cmocka_unit_test(a_change_is_felt_at_once),
		cmocka_unit_test(shares_follow_the_weights),
		cmocka_unit_test(without_weights_all_are_equal),
		cmocka_unit_test(what_one_does_not_use_goes_to_the_others),
		cmocka_unit_test(who_was_idle_has_its_share_at_once),
		cmocka_unit_test(absolute_minima_come_first),
		cmocka_unit_test(members_come_and_go_and_rates_change),
		cmocka_unit_test(queues_of_a_port_take_turns),
		cmocka_unit_test(who_does_not_come_back_is_passed_over),
		cmocka_unit_test(what_has_begun_goes_on_and_is_paid_for),
		cmocka_unit_test(who_cannot_wait_is_refused_without_a_ticket),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
