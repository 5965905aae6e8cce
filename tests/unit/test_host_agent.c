/* SPDX-License-Identifier: BSD-2-Clause */
/* Claims about the guest agent's client, against a scripted agent. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/agent.h"

struct talk {
	struct event_base *base;
	struct agent *a;
	int peer;
	unsigned int n_up, n_replies;
	int rc[8];
	char text[8][64];
};

static void on_up(void *arg)
{
	((struct talk *)arg)->n_up++;
}

static void on_silence(void *arg, unsigned int ms)
{
	(void)arg;
	(void)ms;
}

static const struct agent_ops ops = {.up = on_up, .silent = on_silence, .back = on_silence};

static void on_reply(void *arg, int rc, json_t *ret, const char *desc)
{
	struct talk *t = arg;
	const char *s = json_string_value(ret);

	t->rc[t->n_replies] = rc;
	snprintf(t->text[t->n_replies++], sizeof(t->text[0]), "%s", s ? s : desc ? desc : "");
}

static void begin(struct talk *t)
{
	int fds[2];

	memset(t, 0, sizeof(*t));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	t->base = event_base_new();
	t->peer = fds[1];
	t->a = agent_new(t->base, fds[0], &ops, t);
	assert_non_null(t->a);
}

static void end(struct talk *t)
{
	agent_free(t->a);
	event_base_free(t->base);
	close(t->peer);
}

static void turn(struct talk *t)
{
	for (int i = 0; i < 5; i++)
		event_base_loop(t->base, EVLOOP_NONBLOCK);
}

static void say(struct talk *t, const char *text)
{
	assert_int_equal(write(t->peer, text, strlen(text)), strlen(text));
	turn(t);
}

/* What the agent was told since the last look. */
static const char *heard(struct talk *t)
{
	static char buf[2048];
	ssize_t n;

	turn(t);
	n = recv(t->peer, buf, sizeof(buf) - 1, MSG_DONTWAIT);
	buf[n > 0 ? n : 0] = '\0';
	return buf;
}

/* The number in the question of guest-sync-delimited. */
static long long sync_number(struct talk *t)
{
	const char *text = heard(t), *at = strstr(text, "\"id\":");

	assert_int_equal((unsigned char)text[0], 0xff);
	assert_non_null(strstr(text, "guest-sync-delimited"));
	assert_non_null(at);
	return atoll(at + 5);
}

static void come_up(struct talk *t)
{
	char line[64];

	agent_opened(t->a);
	snprintf(line, sizeof(line), "\xff{\"return\": %lld}\n", sync_number(t));
	say(t, line);
	assert_true(agent_is_up(t->a));
}

static void nothing_is_asked_before_the_port_is_open(void **state)
{
	struct talk t;

	(void)state;
	begin(&t);
	assert_string_equal(heard(&t), "");
	assert_int_equal(agent_call(t.a, "guest-ping", NULL, 0, on_reply, &t), -ENOTCONN);
	end(&t);
}

static void leftovers_of_an_earlier_boot_are_passed_over(void **state)
{
	struct talk t;
	char line[128];
	long long n;

	(void)state;
	begin(&t);
	agent_opened(t.a);
	n = sync_number(&t);
	say(&t, "{\"return\": {\"pid\": 4711}}\n{\"return\": {\"ex");
	assert_false(agent_is_up(t.a));
	snprintf(line, sizeof(line), "\xff{\"return\": %lld}\n", n - 1);
	say(&t, line);
	assert_false(agent_is_up(t.a));
	snprintf(line, sizeof(line), "half a line\xff{\"return\": %lld}\n", n);
	say(&t, line);
	assert_true(agent_is_up(t.a));
	assert_int_equal(t.n_up, 1);
	end(&t);
}

static void one_question_at_a_time_answers_in_order(void **state)
{
	struct talk t;

	(void)state;
	begin(&t);
	come_up(&t);
	assert_int_equal(agent_call(t.a, "one", NULL, 0, on_reply, &t), 0);
	assert_int_equal(agent_call(t.a, "two", NULL, 0, on_reply, &t), 0);
	assert_string_equal(heard(&t), "{\"execute\":\"one\"}\n");
	say(&t, "{\"return\": \"first\"}\n");
	assert_string_equal(heard(&t), "{\"execute\":\"two\"}\n");
	say(&t, "{\"error\": {\"class\": \"GenericError\", \"desc\": \"second\"}}\n");
	assert_int_equal(t.n_replies, 2);
	assert_string_equal(t.text[0], "first");
	assert_int_equal(t.rc[1], -EREMOTEIO);
	assert_string_equal(t.text[1], "second");
	end(&t);
}

static void a_late_answer_belongs_to_its_own_question(void **state)
{
	struct talk t;

	(void)state;
	begin(&t);
	come_up(&t);
	assert_int_equal(agent_call(t.a, "slow", NULL, 20, on_reply, &t), 0);
	assert_int_equal(agent_call(t.a, "never asked", NULL, 20, on_reply, &t), 0);
	while (t.n_replies < 2)
		event_base_loop(t.base, EVLOOP_ONCE);
	assert_int_equal(t.rc[0], -ETIMEDOUT);
	assert_int_equal(t.rc[1], -ETIMEDOUT);
	assert_int_equal(agent_call(t.a, "next", NULL, 0, on_reply, &t), 0);
	say(&t, "{\"return\": \"late\"}\n");
	assert_int_equal(t.n_replies, 2);
	say(&t, "{\"return\": \"mine\"}\n");
	assert_int_equal(t.n_replies, 3);
	assert_string_equal(t.text[2], "mine");
	assert_null(strstr(heard(&t), "never"));
	end(&t);
}

static void a_command_without_answer_is_done_with_the_ping_behind_it(void **state)
{
	struct talk t;

	(void)state;
	begin(&t);
	come_up(&t);
	assert_int_equal(agent_tell(t.a, "guest-shutdown", NULL, 0, on_reply, &t), 0);
	assert_string_equal(heard(&t),
			    "{\"execute\":\"guest-shutdown\"}\n{\"execute\":\"guest-ping\"}\n");
	say(&t, "{\"return\": {}}\n");
	assert_int_equal(t.n_replies, 1);
	assert_int_equal(t.rc[0], 0);
	end(&t);
}

static void its_refusal_does_not_shift_the_answers(void **state)
{
	struct talk t;

	(void)state;
	begin(&t);
	come_up(&t);
	assert_int_equal(agent_tell(t.a, "guest-shutdown", NULL, 0, on_reply, &t), 0);
	assert_int_equal(agent_call(t.a, "next", NULL, 0, on_reply, &t), 0);
	say(&t, "{\"error\": {\"class\": \"GenericError\", \"desc\": \"no\"}}\n");
	say(&t, "{\"return\": {}}\n"); /* the ping's */
	say(&t, "{\"return\": \"mine\"}\n");
	assert_int_equal(t.n_replies, 2);
	assert_int_equal(t.rc[0], -EREMOTEIO);
	assert_string_equal(t.text[1], "mine");
	end(&t);
}

static void a_reset_fails_what_is_pending_and_starts_over(void **state)
{
	struct talk t;

	(void)state;
	begin(&t);
	come_up(&t);
	assert_int_equal(agent_call(t.a, "guest-exec", NULL, 0, on_reply, &t), 0);
	agent_closed(t.a, "the guest was reset");
	assert_int_equal(t.rc[0], -ECONNRESET);
	assert_string_equal(t.text[0], "the guest was reset");
	heard(&t);
	come_up(&t);
	assert_int_equal(t.n_up, 2);
	end(&t);
}

static void an_agent_that_prints_rubbish_costs_nothing(void **state)
{
	struct talk t;

	(void)state;
	begin(&t);
	say(&t, "unasked\n\xff\xff\n{}\n");
	come_up(&t);
	say(&t, "{\"return\": 1}\n{\"QMP\": {}}\n\xc3\x28\n");
	assert_true(agent_is_up(t.a));
	assert_int_equal(agent_call(t.a, "next", NULL, 0, on_reply, &t), 0);
	say(&t, "rubbish\n{\"return\": \"mine\"}\n");
	assert_string_equal(t.text[0], "mine");
	end(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_asked_before_the_port_is_open),
		cmocka_unit_test(leftovers_of_an_earlier_boot_are_passed_over),
		cmocka_unit_test(one_question_at_a_time_answers_in_order),
		cmocka_unit_test(a_late_answer_belongs_to_its_own_question),
		cmocka_unit_test(a_command_without_answer_is_done_with_the_ping_behind_it),
		cmocka_unit_test(its_refusal_does_not_shift_the_answers),
		cmocka_unit_test(a_reset_fails_what_is_pending_and_starts_over),
		cmocka_unit_test(an_agent_that_prints_rubbish_costs_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
