/* SPDX-License-Identifier: BSD-2-Clause */
/* Claims about the control server: dispatch, argument checks, answers, events, descriptors. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "host/control.h"

/* ---- the table under test ---- */

static struct control_req *held[8];
static unsigned int n_held;
static int got_fd = -1;

static void cmd_echo(void *arg, struct control_req *req, const json_t *args)
{
	(void)arg;
	control_return(req, json_deep_copy(args));
}

static void cmd_hold(void *arg, struct control_req *req, const json_t *args)
{
	(void)arg;
	(void)args;
	held[n_held++] = req;
}

static void cmd_fail(void *arg, struct control_req *req, const json_t *args)
{
	(void)arg;
	(void)args;
	control_fail_with(req, CTL_GUEST_DEAD, json_pack("{s:i, s:s}", "extra", 1, "class", "mine"),
			  "a hint", "desc %d", 7);
}

static void cmd_fd(void *arg, struct control_req *req, const json_t *args)
{
	(void)arg;
	(void)args;
	got_fd = control_take_fd(req);
	control_return(req, json_boolean(got_fd >= 0));
}

static void cmd_subscribe(void *arg, struct control_req *req, const json_t *args)
{
	(void)arg;
	control_subscribe(req, true, json_object_get(args, "events"));
	control_return(req, NULL);
}

static const struct arg_spec specs[] = {
	{.name = "s", .type = ARG_STRING, .doc = "s"},
	{.name = "short", .type = ARG_STRING, .min = 1, .max = 4, .doc = "s"},
	{.name = "choice", .type = ARG_STRING, .values = "one|two|three", .doc = "c"},
	{.name = "i", .type = ARG_INT, .min = -5, .max = 10, .doc = "i"},
	{.name = "b", .type = ARG_BOOL, .doc = "b"},
	{.name = "o", .type = ARG_OBJECT, .doc = "o"},
	{.name = "list", .type = ARG_STRINGS, .min = 1, .max = 3, .doc = "l"},
	{.name = "must", .type = ARG_INT, .required = true, .doc = "m"},
};
static const struct arg_spec subscribe_specs[] = {{.name = "events", .type = ARG_STRINGS}};

static const struct control_cmd cmds[] = {
	{.name = "echo", .doc = "e", .returns = "r", .specs = specs, .n_specs = 8, .fn = cmd_echo},
	{.name = "hold", .doc = "h", .returns = "r", .slow = true, .fn = cmd_hold},
	{.name = "fail", .doc = "f", .returns = "r", .fn = cmd_fail},
	{.name = "fd", .doc = "d", .returns = "r", .fd = true, .fn = cmd_fd},
	{.name = "subscribe",
	 .doc = "s",
	 .returns = "r",
	 .specs = subscribe_specs,
	 .n_specs = 1,
	 .fn = cmd_subscribe},
	{0},
};
static const struct control_cmd *const tables[] = {cmds};

/* ---- a server and a client in one thread ---- */

struct rig {
	struct event_base *base;
	struct control *c;
	char dir[32], path[64];
	int fd;
	char in[1 << 16];
	size_t n_in;
};

static void turn(struct rig *r)
{
	for (int i = 0; i < 4; i++)
		event_base_loop(r->base, EVLOOP_NONBLOCK);
}

static int dial(struct rig *r)
{
	int fd = fd_unix_connect(r->path);

	assert_true(fd >= 0);
	turn(r);
	return fd;
}

/* The next message on @fd; NULL: none has come. One line at a time, unbuffered. */
static json_t *next_on(struct rig *r, int fd)
{
	size_t n = 0;
	json_t *v;

	turn(r);
	while (n < sizeof(r->in) && recv(fd, r->in + n, 1, MSG_DONTWAIT) == 1)
		if (r->in[n++] == '\n')
			break;
	if (!n)
		return NULL;
	v = json_loadb(r->in, n, 0, NULL);
	assert_non_null(v);
	return v;
}

static json_t *next(struct rig *r)
{
	return next_on(r, r->fd);
}

static void say(struct rig *r, const char *text)
{
	size_t len = strlen(text), off = 0;

	while (off < len) {
		ssize_t n = send(r->fd, text + off, len - off, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n > 0)
			off += (size_t)n;
		turn(r);
	}
}

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	json_t *greeting;

	signal(SIGPIPE, SIG_IGN);
	n_held = 0;
	got_fd = -1;
	strcpy(r->dir, "/tmp/hvlab-ctl-XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	snprintf(r->path, sizeof(r->path), "%s/s", r->dir);
	r->base = event_base_new();
	r->c = control_new(r->base, r->path, tables, 1, r);
	assert_non_null(r->c);
	r->fd = dial(r);
	greeting = next(r);
	assert_string_equal(
		json_string_value(json_object_get(json_object_get(greeting, "hvlab"), "version")),
		HVLAB_VERSION);
	json_decref(greeting);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;
	struct stat st;

	if (r->fd >= 0)
		close(r->fd);
	control_free(r->c);
	event_base_free(r->base);
	assert_int_equal(stat(r->path, &st), -1); /* the socket goes with the server */
	rmdir(r->dir);
	free(r);
	return 0;
}

/* Says a request and checks class and words of the refusal. */
static void refused(struct rig *r, const char *request, const char *class, const char *words)
{
	json_t *v, *e;

	say(r, request);
	say(r, "\n");
	v = next(r);
	e = json_object_get(v, "error");
	assert_non_null(e);
	assert_string_equal(json_string_value(json_object_get(e, "class")), class);
	assert_non_null(strstr(json_string_value(json_object_get(e, "desc")), words));
	json_decref(v);
	assert_null(next(r));
}

/* ---- claims ---- */

static void an_answer_carries_the_id_whatever_it_is(void **state)
{
	struct rig *r = *state;
	json_t *v;

	say(r, "{\"execute\":\"echo\",\"arguments\":{\"must\":1,\"s\":\"\\u00e4\"},"
	       "\"id\":{\"a\":[1]}}\n");
	v = next(r);
	assert_string_equal(json_string_value(json_object_get(json_object_get(v, "return"), "s")),
			    "\xc3\xa4");
	assert_true(json_is_object(json_object_get(v, "id")));
	json_decref(v);
	say(r, "  \r\n\n{\"execute\":\"echo\",\"arguments\":{\"must\":2}}\r\n");
	v = next(r);
	assert_null(json_object_get(v, "id"));
	assert_non_null(json_object_get(v, "return"));
	json_decref(v);
}

static void requests_may_come_in_pieces_or_many_at_once(void **state)
{
	struct rig *r = *state;
	const char *text = "{\"execute\":\"echo\",\"arguments\":{\"must\":1},\"id\":1}\n"
			   "{\"execute\":\"echo\",\"arguments\":{\"must\":1},\"id\":2}\n";
	json_t *v;

	for (const char *p = text; *p; p++) {
		assert_int_equal(write(r->fd, p, 1), 1);
		turn(r);
	}
	say(r, text);
	for (int i = 0; i < 4; i++) {
		v = next(r);
		assert_int_equal(json_integer_value(json_object_get(v, "id")), i % 2 + 1);
		json_decref(v);
	}
	assert_null(next(r));
}

static void wrong_requests_are_refused(void **state)
{
	struct rig *r = *state;

	refused(r, "[]", "InvalidArgument", "not a JSON object");
	refused(r, "{", "InvalidArgument", "not a JSON object");
	refused(r, "\xff\xfe", "InvalidArgument", "not a JSON object");
	refused(r, "{}", "InvalidArgument", "a request is");
	refused(r, "{\"execute\":1}", "InvalidArgument", "a request is");
	refused(r, "{\"execute\":\"echo\",\"arguments\":[]}", "InvalidArgument", "a request is");
	refused(r, "{\"execute\":\"echo\",\"extra\":1}", "InvalidArgument", "'extra'");
	refused(r, "{\"execute\":\"echo\",\"execute\":\"fail\"}", "InvalidArgument", "duplicate");
	refused(r, "{\"execute\":\"nonsense\"}", "CommandNotFound", "'nonsense'");
	refused(r, "{\"execute\":\"\"}", "CommandNotFound", "''");
}

static void each_wrong_argument_is_named(void **state)
{
	static const struct {
		const char *args, *words;
	} wrong[] = {
		{"", "'must' is missing"},
		{"\"must\":1,\"nope\":1", "unknown argument 'nope'"},
		{"\"must\":\"1\"", "'must' must be an integer"},
		{"\"must\":1.0", "'must' must be an integer"},
		{"\"must\":null", "'must' must be an integer"},
		{"\"must\":99999999999999999999", "not a JSON object"},
		{"\"must\":1,\"s\":1", "'s' must be a string"},
		{"\"must\":1,\"s\":\"a\\u0000b\"", "NUL"},
		{"\"must\":1,\"short\":\"\"", "from 1 to 4 bytes, not 0"},
		{"\"must\":1,\"short\":\"12345\"", "not 5"},
		{"\"must\":1,\"choice\":\"on\"", "one of one|two|three"},
		{"\"must\":1,\"choice\":\"one|two\"", "one of one|two|three"},
		{"\"must\":1,\"choice\":\"\"", "one of one|two|three"},
		{"\"must\":1,\"i\":11", "from -5 to 10, not 11"},
		{"\"must\":1,\"i\":-6", "from -5 to 10, not -6"},
		{"\"must\":1,\"b\":1", "'b' must be a boolean"},
		{"\"must\":1,\"o\":[]", "'o' must be an object"},
		{"\"must\":1,\"list\":\"a\"", "'list' must be an array of strings"},
		{"\"must\":1,\"list\":[1]", "'list' must be an array of strings"},
		{"\"must\":1,\"list\":[\"a\\u0000\"]", "NUL"},
		{"\"must\":1,\"list\":[]", "not 0"},
		{"\"must\":1,\"list\":[\"\",\"\",\"\",\"\"]", "from 1 to 3 elements, not 4"},
	};
	struct rig *r = *state;
	char text[256];

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		snprintf(text, sizeof(text), "{\"execute\":\"echo\",\"arguments\":{%s}}",
			 wrong[i].args);
		refused(r, text, "InvalidArgument", wrong[i].words);
	}
}

static void limits_belong_to_the_range(void **state)
{
	struct rig *r = *state;
	json_t *v;

	say(r, "{\"execute\":\"echo\",\"arguments\":{\"must\":1,\"i\":10,\"short\":\"1234\","
	       "\"choice\":\"three\",\"list\":[\"\",\"\",\"\"],\"b\":false,\"o\":{}}}\n");
	v = next(r);
	assert_int_equal(json_object_size(json_object_get(v, "return")), 7);
	json_decref(v);
}

static void an_error_has_hint_and_extras_but_keeps_its_class(void **state)
{
	struct rig *r = *state;
	json_t *v, *e;

	say(r, "{\"execute\":\"fail\",\"id\":\"x\"}\n");
	v = next(r);
	e = json_object_get(v, "error");
	assert_string_equal(json_string_value(json_object_get(e, "class")), "GuestDead");
	assert_string_equal(json_string_value(json_object_get(e, "desc")), "desc 7");
	assert_string_equal(json_string_value(json_object_get(e, "hint")), "a hint");
	assert_int_equal(json_integer_value(json_object_get(e, "extra")), 1);
	assert_string_equal(json_string_value(json_object_get(v, "id")), "x");
	json_decref(v);
}

static void slow_answers_overtake_nothing_and_are_overtaken(void **state)
{
	struct rig *r = *state;
	json_t *v;

	say(r, "{\"execute\":\"hold\",\"id\":1}\n"
	       "{\"execute\":\"echo\",\"arguments\":{\"must\":1},\"id\":2}\n");
	v = next(r);
	assert_int_equal(json_integer_value(json_object_get(v, "id")), 2);
	json_decref(v);
	control_return(held[0], NULL);
	v = next(r);
	assert_int_equal(json_integer_value(json_object_get(v, "id")), 1);
	json_decref(v);
}

static void an_answer_to_a_client_that_left_goes_nowhere(void **state)
{
	struct rig *r = *state;

	say(r, "{\"execute\":\"hold\"}\n{\"execute\":\"hold\"}\n");
	turn(r);
	assert_int_equal(n_held, 2);
	shutdown(r->fd, SHUT_RDWR);
	close(r->fd);
	r->fd = -1;
	turn(r);
	control_return(held[0], json_string("nobody"));
	turn(r);
	control_fail(held[1], CTL_TIMEOUT, NULL, "nobody");
	turn(r);
	assert_int_equal(control_n_clients(r->c), 0);
}

static void a_client_that_only_listens_still_gets_its_answer(void **state)
{
	struct rig *r = *state;
	char rest[8];
	json_t *v;

	say(r, "{\"execute\":\"hold\",\"id\":5}\n");
	shutdown(r->fd, SHUT_WR);
	turn(r);
	assert_int_equal(control_n_clients(r->c), 1);
	control_return(held[0], NULL);
	v = next(r);
	assert_int_equal(json_integer_value(json_object_get(v, "id")), 5);
	json_decref(v);
	turn(r);
	assert_int_equal(recv(r->fd, rest, sizeof(rest), 0), 0);
	assert_int_equal(control_n_clients(r->c), 0);
}

static void events_go_to_who_wants_them(void **state)
{
	struct rig *r = *state;
	int other = dial(r);
	json_t *v;

	json_decref(next_on(r, other));
	control_event(r->c, "EARLY", json_object());
	say(r, "{\"execute\":\"subscribe\",\"arguments\":{\"events\":[\"WANTED\"]}}\n");
	json_decref(next(r));
	control_event(r->c, "OTHER", json_object());
	control_event(r->c, "WANTED", json_pack("{s:i}", "n", 3));
	v = next(r);
	assert_string_equal(json_string_value(json_object_get(v, "event")), "WANTED");
	assert_int_equal(json_integer_value(json_object_get(json_object_get(v, "data"), "n")), 3);
	assert_true(json_integer_value(
			    json_object_get(json_object_get(v, "timestamp"), "seconds")) > 0);
	json_decref(v);
	assert_null(next(r));
	assert_null(next_on(r, other));
	close(other);
}

static void who_does_not_read_loses_events_and_is_told(void **state)
{
	struct rig *r = *state;
	unsigned int seen = 0;
	json_int_t lost = 0;
	char *big = malloc(10001);
	json_t *v;

	memset(big, 'x', 10000);
	big[10000] = '\0';
	say(r, "{\"execute\":\"subscribe\"}\n");
	json_decref(next(r));
	for (int i = 0; i < 1000; i++)
		control_event(r->c, "E", json_pack("{s:s}", "big", big));
	while ((v = next(r))) {
		seen++;
		json_decref(v);
	}
	assert_true(seen < 1000);
	control_event(r->c, "E", json_object());
	v = next(r);
	lost = json_integer_value(json_object_get(v, "lost"));
	json_decref(v);
	assert_int_equal(seen + lost, 1000);
	free(big);
}

static void a_descriptor_comes_with_its_request(void **state)
{
	const char *text = "{\"execute\":\"fd\"}\n";
	struct iovec iov = {.iov_base = (void *)text, .iov_len = strlen(text)};
	struct rig *r = *state;
	int p[2];
	char c;
	json_t *v;

	assert_int_equal(pipe(p), 0);
	assert_true(fd_send(r->fd, &iov, 1, &p[1], 1, 0) > 0);
	v = next(r);
	assert_true(json_is_true(json_object_get(v, "return")));
	json_decref(v);
	assert_int_equal(write(got_fd, "x", 1), 1);
	assert_int_equal(read(p[0], &c, 1), 1);
	assert_int_equal(fcntl(got_fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	close(got_fd);
	close(p[0]);
	close(p[1]);
	say(r, text);
	v = next(r);
	assert_false(json_is_true(json_object_get(v, "return")));
	json_decref(v);
}

static void unwanted_descriptors_are_closed(void **state)
{
	const char *text = "{\"execute\":\"fail\"}\n";
	struct iovec iov = {.iov_base = (void *)text, .iov_len = strlen(text)};
	struct rig *r = *state;
	int p[2];
	char c;

	assert_int_equal(pipe(p), 0);
	assert_true(fd_send(r->fd, &iov, 1, &p[1], 1, 0) > 0);
	close(p[1]);
	json_decref(next(r));
	assert_int_equal(read(p[0], &c, 1), 0); /* end of file: nobody holds the other end */
	close(p[0]);
}

static void a_flood_of_descriptors_ends_the_connection(void **state)
{
	struct iovec iov = {.iov_base = (void *)"{", .iov_len = 1};
	struct rig *r = *state;
	int fds[CONTROL_MAX_FDS + 1], p[2];
	char c;

	assert_int_equal(pipe(p), 0);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = p[1];
	assert_true(fd_send(r->fd, &iov, 1, fds, CONTROL_MAX_FDS, 0) > 0);
	turn(r);
	assert_true(fd_send(r->fd, &iov, 1, fds, 1, 0) > 0);
	turn(r);
	assert_int_equal(recv(r->fd, &c, 1, 0), 0);
	close(p[1]);
	assert_int_equal(read(p[0], &c, 1), 0);
	close(p[0]);
}

static void a_line_without_end_is_cut_off(void **state)
{
	size_t size = CONTROL_MAX_LINE + (256u << 10);
	struct rig *r = *state;
	char *big = malloc(size), c;
	size_t off = 0;
	json_t *v;

	memset(big, ' ', size);
	while (off < size) {
		ssize_t n = send(r->fd, big + off, size - off, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno != EAGAIN)
			break;
		off += n > 0 ? (size_t)n : 0;
		turn(r);
	}
	v = next(r);
	assert_non_null(strstr(
		json_string_value(json_object_get(json_object_get(v, "error"), "desc")), "16 MiB"));
	json_decref(v);
	assert_true(recv(r->fd, &c, 1, 0) <= 0);
	free(big);
}

static void too_many_requests_are_refused_not_kept(void **state)
{
	static struct control_req *mine[CONTROL_MAX_PENDING];
	struct rig *r = *state;
	json_t *v;

	for (unsigned int i = 0; i < CONTROL_MAX_PENDING; i++) {
		n_held = 0;
		say(r, "{\"execute\":\"hold\"}\n");
		assert_int_equal(n_held, 1);
		mine[i] = held[0];
	}
	refused(r, "{\"execute\":\"hold\"}", "Busy", "too many");
	for (unsigned int i = 0; i < CONTROL_MAX_PENDING; i++)
		control_return(mine[i], NULL);
	while ((v = next(r)))
		json_decref(v);
}

static void too_many_clients_are_turned_away(void **state)
{
	int fds[CONTROL_MAX_CLIENTS], extra;
	struct rig *r = *state;
	json_t *v;

	for (unsigned int i = 0; i < CONTROL_MAX_CLIENTS - 1; i++)
		fds[i] = dial(r);
	extra = dial(r);
	json_decref(next_on(r, extra));
	v = next_on(r, extra);
	assert_string_equal(
		json_string_value(json_object_get(json_object_get(v, "error"), "class")), "Busy");
	json_decref(v);
	close(extra);
	for (unsigned int i = 0; i < CONTROL_MAX_CLIENTS - 1; i++)
		close(fds[i]);
	turn(r);
	assert_int_equal(control_n_clients(r->c), 1);
}

static void the_schema_describes_the_table(void **state)
{
	json_t *all = control_schema(((struct rig *)*state)->c, NULL), *echo, *arg;

	assert_int_equal(json_array_size(all), 5);
	echo = json_array_get(all, 0);
	assert_string_equal(json_string_value(json_object_get(echo, "name")), "echo");
	arg = json_array_get(json_object_get(echo, "arguments"), 2);
	assert_string_equal(json_string_value(json_object_get(arg, "type")), "string");
	assert_int_equal(json_array_size(json_object_get(arg, "values")), 3);
	assert_true(json_is_true(json_object_get(
		json_array_get(json_object_get(echo, "arguments"), 7), "required")));
	json_decref(all);
	assert_null(control_schema(((struct rig *)*state)->c, "nope"));
}

static void a_second_server_on_the_socket_is_refused(void **state)
{
	struct rig *r = *state;

	assert_null(control_new(r->base, r->path, tables, 1, r));
	assert_int_equal(errno, EADDRINUSE);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(an_answer_carries_the_id_whatever_it_is),
		T(requests_may_come_in_pieces_or_many_at_once),
		T(wrong_requests_are_refused),
		T(each_wrong_argument_is_named),
		T(limits_belong_to_the_range),
		T(an_error_has_hint_and_extras_but_keeps_its_class),
		T(slow_answers_overtake_nothing_and_are_overtaken),
		T(an_answer_to_a_client_that_left_goes_nowhere),
		T(a_client_that_only_listens_still_gets_its_answer),
		T(events_go_to_who_wants_them),
		T(who_does_not_read_loses_events_and_is_told),
		T(a_descriptor_comes_with_its_request),
		T(unwanted_descriptors_are_closed),
		T(a_flood_of_descriptors_ends_the_connection),
		T(a_line_without_end_is_cut_off),
		T(too_many_requests_are_refused_not_kept),
		T(too_many_clients_are_turned_away),
		T(the_schema_describes_the_table),
		T(a_second_server_on_the_socket_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
