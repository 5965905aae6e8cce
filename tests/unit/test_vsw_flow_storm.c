/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Policies change while two threads send: no packet sees half of a change, no connection is lost that
 * should stay, and what ThreadSanitizer says of it is nothing.
 */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "flow_rig.h"

#define CHANGES 400

static _Atomic bool stop;

struct sender {
	pthread_t thread;
	unsigned int from, to;
	uint16_t ports; /* source ports in use, one after the other */
	_Atomic uint64_t sent;
	struct frame *frame;
};

/* frame_of() has one buffer for all; here each thread has its own. */
static void *send_on(void *arg)
{
	struct sender *s = arg;
	struct frame_spec spec = {.ip = 4, .proto = IPPROTO_UDP, .dport = 53, .payload_len = 8};
	struct pkt pkt, *pkts = &pkt;

	test_thread_register();
	frame_addr(&spec, s->from, s->to);
	for (uint16_t i = 0; !atomic_load(&stop); i++) {
		spec.sport = (uint16_t)(1000 + i % s->ports);
		frame_build(s->frame, &spec);
		pkt_of_frame(&pkt, s->frame, 0);
		vsw_send(&port[s->from].port, &pkts, 1);
		atomic_fetch_add(&s->sent, 1);
	}
	test_thread_unregister();
	return NULL;
}

static void start(struct sender *s, unsigned int from, unsigned int to, uint16_t ports)
{
	*s = (struct sender){.from = from, .to = to, .ports = ports};
	s->frame = malloc(sizeof(*s->frame));
	assert_non_null(s->frame);
	assert_int_equal(pthread_create(&s->thread, NULL, send_on, s), 0);
}

static void end(struct sender *s)
{
	pthread_join(s->thread, NULL);
	free(s->frame);
}

/* Some packets were sent since: what was published has been met. */
static void wait_for_packets(struct sender *s)
{
	uint64_t want = atomic_load(&s->sent) + 3;

	while (atomic_load(&s->sent) < want)
		sched_yield();
}

static struct policy *of(bool out, bool in)
{
	struct policy_rule plain = allow_all;

	plain.stateful = false;
	return policy_of_rules(out ? &plain : &deny_all, 1, in ? &plain : &deny_all, 1);
}

static void publish(struct policy *at_one, struct policy *at_two, bool flush)
{
	const struct vsw_policy_change c[] = {{&port[1].port, at_one}, {&port[2].port, at_two}};

	assert_int_equal(vsw_policy_publish(c, 2, flush), 0);
}

/*
 * Of two policies one forbids what leaves, the other what arrives: under neither anything gets
 * through, under half of each it does.
 */
static void no_packet_sees_half_of_a_change(void **state)
{
	struct policy *yes = of(true, true), *no = of(false, false);
	struct sender s[2];

	(void)state;
	publish(yes, no, true);
	start(&s[0], 1, 2, 50);
	start(&s[1], 1, 2, 50);
	for (unsigned int i = 0; i < CHANGES; i++) {
		if (i & 1)
			publish(yes, no, true);
		else
			publish(no, yes, true);
		wait_for_packets(&s[i & 1]);
		if (i % 16 == 0)
			vsw_tick(vsw);
	}
	atomic_store(&stop, true);
	end(&s[0]);
	end(&s[1]);
	atomic_store(&stop, false);
	assert_int_equal(port[2].frames, 0);
	assert_true(TX_DROPS(1, POLICY) > CHANGES);
	policy_put(yes);
	policy_put(no);
}

/* Both guests send in the same connections, while rules that let them in come and go. */
static void connections_outlive_their_rules(void **state)
{
	struct policy *nothing = nothing_in(), *all = policy_of_rules(&allow_all, 1, &allow_all, 1);
	struct sender s[2];

	(void)state;
	publish(all, all, false);
	for (uint16_t i = 0; i < 20; i++) {
		assert_true(udp(1, 2, (uint16_t)(1000 + i), 53));
		assert_true(udp(2, 1, 53, (uint16_t)(1000 + i)));
	}
	start(&s[0], 1, 2, 20);
	start(&s[1], 2, 1, 1); /* one of another kind: its rule is there all the time */
	for (unsigned int i = 0; i < CHANGES / 4; i++) {
		publish(i & 1 ? all : nothing, i & 1 ? all : nothing, false);
		wait_for_packets(&s[0]);
		vsw_tick(vsw);
	}
	atomic_store(&stop, true);
	end(&s[0]);
	end(&s[1]);
	atomic_store(&stop, false);
	assert_int_equal(port[2].frames, atomic_load(&s[0].sent) + 20);
	assert_true(stats_of(1).resimulated > 0);
	policy_put(nothing);
	policy_put(all);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, flow_setup, flow_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(no_packet_sees_half_of_a_change),
		TEST(connections_outlive_their_rules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
