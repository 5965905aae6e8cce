/* SPDX-License-Identifier: BSD-2-Clause */
/* Claims about the QMP client: what a line is, and a conversation with a scripted QEMU. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/qmp.h"

#define GREETING                                                                                   \
	"{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 3, \"minor\": 1, \"major\": 11}, "         \
	"\"package\": \"Debian\"}, \"capabilities\": [\"oob\"]}}"

static enum qmp_kind parse(const char *line, struct qmp_msg *msg)
{
	return qmp_parse(line, strlen(line), msg);
}

static void a_greeting_tells_the_version(void **state)
{
	struct qmp_msg m;
	char v[32];

	(void)state;
	assert_int_equal(parse(GREETING, &m), QMP_GREETING);
	qmp_version(m.value, v, sizeof(v));
	assert_string_equal(v, "11.1.3");
	json_decref(m.root);
}

static void answers_errors_and_events_are_told_apart(void **state)
{
	struct qmp_msg m;

	(void)state;
	assert_int_equal(parse("{\"return\": {\"a\": 1}, \"id\": 7}", &m), QMP_RETURN);
	assert_int_equal(m.id, 7);
	assert_int_equal(json_integer_value(json_object_get(m.value, "a")), 1);
	json_decref(m.root);
	assert_int_equal(parse("{\"error\": {\"class\": \"GenericError\", \"desc\": \"no\"}}", &m),
			 QMP_ERROR);
	assert_int_equal(m.id, -1);
	assert_string_equal(m.error_class, "GenericError");
	assert_string_equal(m.desc, "no");
	json_decref(m.root);
	assert_int_equal(parse("{\"event\": \"RESET\", \"data\": {\"guest\": true}, "
			       "\"timestamp\": {\"seconds\": 1, \"microseconds\": 2}}",
			       &m),
			 QMP_EVENT);
	assert_string_equal(m.name, "RESET");
	assert_true(json_is_true(json_object_get(m.value, "guest")));
	json_decref(m.root);
	assert_int_equal(parse("{\"event\": \"STOP\"}", &m), QMP_EVENT);
	assert_null(m.value);
	json_decref(m.root);
}

static void what_is_not_qmp_is_bad(void **state)
{
	static const char *const lines[] = {
		"",
		"{",
		"[]",
		"1",
		"{}",
		"{\"event\": 1}",
		"{\"event\": \"X\", \"data\": []}",
		"{\"error\": \"text\"}",
		"{\"QMP\": 1}",
		"{\"return\": 1, \"return\": 2}",
		"\xff\xfe",
	};
	struct qmp_msg m;

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		assert_int_equal(parse(lines[i], &m), QMP_BAD);
		assert_null(m.root);
	}
}

/* ---- a conversation ---- */

struct talk {
	struct event_base *base;
	struct qmp *q;
	int peer;
	unsigned int n_ready, n_closed, n_events;
	char event[32], version[32], why[100];
	int rc[4];
	unsigned int n_replies;
	char desc[100];
};

static void on_ready(void *arg, const char *version)
{
	struct talk *t = arg;

	t->n_ready++;
	strncpy(t->version, version, sizeof(t->version) - 1);
}

static void on_event(void *arg, const char *name, json_t *data)
{
	struct talk *t = arg;

	(void)data;
	t->n_events++;
	strncpy(t->event, name, sizeof(t->event) - 1);
}

static void on_closed(void *arg, const char *why)
{
	struct talk *t = arg;

	t->n_closed++;
	strncpy(t->why, why, sizeof(t->why) - 1);
}

static const struct qmp_ops ops = {.ready = on_ready, .event = on_event, .closed = on_closed};

static void on_reply(void *arg, int rc, json_t *ret, const char *desc)
{
	struct talk *t = arg;

	(void)ret;
	t->rc[t->n_replies++ % 4] = rc;
	strncpy(t->desc, desc ? desc : "", sizeof(t->desc) - 1);
}

static void begin(struct talk *t)
{
	int fds[2];

	memset(t, 0, sizeof(*t));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	t->base = event_base_new();
	t->peer = fds[1];
	t->q = qmp_new(t->base, fds[0], &ops, t);
	assert_non_null(t->q);
}

static void end(struct talk *t)
{
	qmp_free(t->q);
	event_base_free(t->base);
	if (t->peer >= 0)
		close(t->peer);
}

static void say(struct talk *t, const char *line)
{
	assert_int_equal(write(t->peer, line, strlen(line)), strlen(line));
	assert_int_equal(write(t->peer, "\r\n", 2), 2);
}

static void turn(struct talk *t)
{
	for (int i = 0; i < 5; i++)
		event_base_loop(t->base, EVLOOP_NONBLOCK);
}

static void hear(struct talk *t, const char *want)
{
	char buf[512];
	ssize_t n;

	turn(t);
	n = recv(t->peer, buf, sizeof(buf) - 1, MSG_DONTWAIT);
	assert_true(n > 0);
	buf[n] = '\0';
	assert_non_null(strstr(buf, want));
}

static void greet(struct talk *t)
{
	say(t, GREETING);
	hear(t, "\"execute\":\"qmp_capabilities\"");
	assert_int_equal(qmp_send(t->q, "query-status", NULL, 0, NULL, NULL), -ENOTCONN);
	say(t, "{\"return\": {}, \"id\": 1}");
	turn(t);
	assert_int_equal(t->n_ready, 1);
	assert_string_equal(t->version, "11.1.3");
}

static void commands_wait_for_capabilities(void **state)
{
	struct talk t;

	(void)state;
	begin(&t);
	greet(&t);
	end(&t);
}

static void answers_find_their_commands_in_any_order(void **state)
{
	struct talk t;

	(void)state;
	begin(&t);
	greet(&t);
	assert_int_equal(qmp_send(t.q, "stop", NULL, 0, on_reply, &t), 0);
	assert_int_equal(
		qmp_send(t.q, "device_del", json_pack("{s:s}", "id", "vf0"), 0, on_reply, &t), 0);
	hear(&t, "\"device_del\",\"arguments\":{\"id\":\"vf0\"},\"id\":3");
	say(&t, "{\"id\": 3, \"error\": {\"class\": \"DeviceNotFound\", \"desc\": \"gone\"}}");
	say(&t, "{\"event\": \"STOP\"}");
	say(&t, "{\"id\": 2, \"return\": {}}");
	say(&t, "{\"id\": 2, \"return\": {}}"); /* nobody asked twice: passed over */
	turn(&t);
	assert_int_equal(t.n_replies, 2);
	assert_int_equal(t.rc[0], -EREMOTEIO);
	assert_int_equal(t.rc[1], 0);
	assert_string_equal(t.event, "STOP");
	end(&t);
}

static void a_silent_qemu_times_out_and_its_late_answer_is_passed_over(void **state)
{
	struct talk t;

	(void)state;
	begin(&t);
	greet(&t);
	assert_int_equal(qmp_send(t.q, "system_reset", NULL, 20, on_reply, &t), 0);
	while (!t.n_replies)
		event_base_loop(t.base, EVLOOP_ONCE);
	assert_int_equal(t.rc[0], -ETIMEDOUT);
	assert_non_null(strstr(t.desc, "system_reset"));
	say(&t, "{\"id\": 2, \"return\": {}}");
	turn(&t);
	assert_int_equal(t.n_replies, 1);
	assert_int_equal(t.n_closed, 0);
	end(&t);
}

static void the_end_of_qemu_fails_what_is_pending(void **state)
{
	struct talk t;

	(void)state;
	begin(&t);
	greet(&t);
	assert_int_equal(qmp_send(t.q, "quit", NULL, 0, on_reply, &t), 0);
	say(&t, "{\"event\": \"SHUTDOWN\", \"data\": {\"guest\": false}}");
	close(t.peer);
	t.peer = -1;
	turn(&t);
	assert_string_equal(t.event, "SHUTDOWN"); /* the last words are heard first */
	assert_int_equal(t.rc[0], -ECONNRESET);
	assert_int_equal(t.n_closed, 1);
	assert_int_equal(qmp_send(t.q, "quit", NULL, 0, NULL, NULL), -ENOTCONN);
	end(&t);
}

static void garbage_closes_the_conversation(void **state)
{
	struct talk t;

	(void)state;
	begin(&t);
	say(&t, "this is not QMP");
	say(&t, GREETING);
	turn(&t);
	assert_int_equal(t.n_closed, 1);
	assert_int_equal(t.n_ready, 0);
	end(&t);
}

static void freeing_cancels(void **state)
{
	struct talk t;

	(void)state;
	begin(&t);
	greet(&t);
	assert_int_equal(qmp_send(t.q, "stop", NULL, 1000, on_reply, &t), 0);
	qmp_free(t.q);
	t.q = NULL;
	assert_int_equal(t.rc[0], -ECANCELED);
	assert_int_equal(t.n_closed, 0);
	end(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_greeting_tells_the_version),
		cmocka_unit_test(answers_errors_and_events_are_told_apart),
		cmocka_unit_test(what_is_not_qmp_is_bad),
		cmocka_unit_test(commands_wait_for_capabilities),
		cmocka_unit_test(answers_find_their_commands_in_any_order),
		cmocka_unit_test(a_silent_qemu_times_out_and_its_late_answer_is_passed_over),
		cmocka_unit_test(the_end_of_qemu_fails_what_is_pending),
		cmocka_unit_test(garbage_closes_the_conversation),
		cmocka_unit_test(freeing_cancels),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
