/* SPDX-License-Identifier: BSD-2-Clause */
/* Claims about the control socket of a real daemon: rude clients, its own start and end. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
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
#include "hvlabd_rig.h"
#include "tests/lib/wait.h"

static int dial(const struct hvlabd *d)
{
	int fd = fd_unix_connect(d->sock);

	assert_true(fd >= 0);
	return fd;
}

static void the_socket_is_its_owners_alone(void **state)
{
	struct hvlabd *d = *state;
	struct stat st;

	assert_int_equal(stat(d->sock, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(stat(d->dir, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
}

static void half_a_line_and_gone(void **state)
{
	const char *text = "{\"execute\":\"query-status\",\"id\":1}\n";
	struct hvlabd *d = *state;
	unsigned int before = hvlabd_n_fds(d);

	for (size_t len = 0; len <= strlen(text); len++) {
		int fd = dial(d);

		assert_true(send(fd, text, len, MSG_NOSIGNAL) == (ssize_t)len);
		close(fd);
	}
	assert_serves(d);
	assert_true(wait_until(hvlabd_n_fds(d) == before, WAIT_MS));
}

static void noise_is_answered_with_errors(void **state)
{
	struct hvlabd *d = *state;
	struct ctl c;
	char noise[4096];

	ctl_open(&c, d);
	srand(1);
	for (size_t i = 0; i < sizeof(noise) - 2; i++)
		noise[i] = (char)(1 + rand() % 255);
	noise[sizeof(noise) - 2] = '\n';
	noise[sizeof(noise) - 1] = '\0';
	ctl_send(&c, noise);
	for (const char *p = noise; (p = strchr(p, '\n')); p++) {
		json_t *v;
		const char *line = p;

		while (line > noise && line[-1] != '\n')
			line--;
		if (strspn(line, " \t\r") >= (size_t)(p - line))
			continue; /* empty lines have no answer */
		v = ctl_next(&c);
		assert_non_null(json_object_get(v, "error"));
		json_decref(v);
	}
	json_decref(ctl_ok(&c, "query-version", NULL));
	ctl_close(&c);
}

static void a_deep_nest_is_no_way_to_the_stack(void **state)
{
	struct hvlabd *d = *state;
	size_t depth = 1 << 20;
	char *text = malloc(depth + 64);
	struct ctl c;
	json_t *v;

	ctl_open(&c, d);
	memset(text, '[', depth);
	text[depth] = '\n';
	text[depth + 1] = '\0';
	ctl_send(&c, text);
	v = ctl_next(&c);
	assert_non_null(json_object_get(v, "error"));
	json_decref(v);
	ctl_close(&c);
	free(text);
	assert_serves(d);
}

static void an_endless_line_ends_the_connection(void **state)
{
	struct hvlabd *d = *state;
	size_t size = 1 << 20, sent = 0;
	char *text = malloc(size);
	int fd = dial(d);
	ssize_t n;

	memset(text, 'x', size);
	while (sent < (64u << 20) && (n = send(fd, text, size, MSG_NOSIGNAL)) > 0)
		sent += (size_t)n;
	assert_true(sent < (20u << 20)); /* the daemon takes 16 MiB and what sockets buffer */
	close(fd);
	free(text);
	assert_serves(d);
}

static void who_asks_without_listening_is_cut_off(void **state)
{
	const char *text = "{\"execute\":\"query-schema\"}\n";
	struct hvlabd *d = *state;
	int fd = dial(d);
	unsigned long asked = 0;

	/* One schema is some 10 KB: thousands of them do not fit the limit of 64 MiB. */
	while (asked < 100000 && send(fd, text, strlen(text), MSG_NOSIGNAL) > 0)
		asked++;
	assert_true(asked < 100000);
	close(fd);
	assert_serves(d);
}

static void a_thousand_connections_leave_nothing(void **state)
{
	struct hvlabd *d = *state;
	unsigned int before = hvlabd_n_fds(d);

	for (int i = 0; i < 1000; i++)
		close(dial(d));
	assert_serves(d);
	assert_true(wait_until(hvlabd_n_fds(d) == before, WAIT_MS));
}

static void descriptors_nobody_asked_for_are_closed(void **state)
{
	const char *text = "{\"execute\":\"query-version\"}\n";
	struct iovec iov = {.iov_base = (void *)text, .iov_len = strlen(text)};
	struct hvlabd *d = *state;
	unsigned int before;
	struct ctl c;
	int fds[8];

	ctl_open(&c, d);
	before = hvlabd_n_fds(d);
	for (int i = 0; i < 8; i++)
		fds[i] = c.fd;
	for (int i = 0; i < 50; i++) {
		assert_true(fd_send(c.fd, &iov, 1, fds, 8, 0) > 0);
		json_decref(ctl_next(&c));
	}
	assert_true(wait_until(hvlabd_n_fds(d) == before, WAIT_MS));
	ctl_close(&c);
}

static void a_flood_of_descriptors_costs_its_sender_the_connection(void **state)
{
	struct iovec iov = {.iov_base = (void *)" ", .iov_len = 1};
	struct hvlabd *d = *state;
	unsigned int before = hvlabd_n_fds(d);
	int fd = dial(d), fds[100];

	for (int i = 0; i < 100; i++)
		fds[i] = fd;
	for (int i = 0; i < 100 && fd_send(fd, &iov, 1, fds, 100, 0) > 0; i++)
		;
	assert_true(wait_until(fd_send(fd, &iov, 1, NULL, 0, 0) < 0, WAIT_MS));
	close(fd);
	assert_true(wait_until(hvlabd_n_fds(d) == before, WAIT_MS));
	assert_serves(d);
}

static void without_a_lab_commands_say_so(void **state)
{
	static const char *const about_vms[] = {"vm-console",  "vm-log",  "vm-reset", "vm-reboot",
						"vm-shutdown", "vm-kill", "vm-start"};
	struct ctl c;
	json_t *v;

	ctl_open(&c, *state);
	for (size_t i = 0; i < ARRAY_SIZE(about_vms); i++)
		ctl_refused(&c, about_vms[i], json_pack("{s:s}", "vm", "a"), "InvalidState",
			    "no lab is up");
	ctl_refused(&c, "vm-exec", json_pack("{s:s, s:[s]}", "vm", "a", "argv", "true"),
		    "InvalidState", "no lab is up");
	ctl_refused(&c, "stats", NULL, "InvalidState", "no lab is up");
	ctl_refused(&c, "lab-down", NULL, "InvalidState", "no lab is up");
	ctl_refused(&c, "capture-start", json_pack("{s:s}", "vnic", "a/eth0"), "InvalidState",
		    "no lab is up");
	v = ctl_ok(&c, "query-status", NULL);
	assert_true(json_is_null(json_object_get(v, "lab")));
	assert_int_equal(json_array_size(json_object_get(v, "vms")), 0);
	assert_true(strlen(json_string_value(
			    json_object_get(json_object_get(v, "accel"), "reason"))) > 0);
	json_decref(v);
	ctl_close(&c);
}

/* docs/protocol.md is what people write clients from. */
static void every_command_is_in_the_schema_and_in_the_page(void **state)
{
	static char page[1 << 16];
	FILE *f = fopen(PROTOCOL_MD, "r");
	json_t *list, *schema, *cmd, *arg;
	size_t i, k;
	struct ctl c;

	assert_non_null(f);
	page[fread(page, 1, sizeof(page) - 1, f)] = '\0';
	fclose(f);
	ctl_open(&c, *state);
	list = ctl_ok(&c, "query-commands", NULL);
	schema = ctl_ok(&c, "query-schema", NULL);
	assert_int_equal(json_array_size(list), json_array_size(schema));
	json_array_foreach (schema, i, cmd) {
		const char *name = json_string_value(json_object_get(cmd, "name"));
		char want[64], *at;

		snprintf(want, sizeof(want), "\n**%s**", name);
		at = strstr(page, want);
		if (!at)
			fail_msg("%s is not described in docs/protocol.md", name);
		json_array_foreach (json_object_get(cmd, "arguments"), k, arg) {
			const char *a = json_string_value(json_object_get(arg, "name"));

			snprintf(want, sizeof(want), "`%s`", a);
			if (strcmp(a, "vm") && !strstr(at, want))
				fail_msg("%s: argument %s is not described", name, a);
		}
	}
	ctl_refused(&c, "query-schema", json_pack("{s:s}", "command", "nope"), "NotFound", "nope");
	json_decref(list);
	json_decref(schema);
	ctl_close(&c);
}

static void the_log_level_can_be_changed(void **state)
{
	struct ctl c;
	json_t *v;

	ctl_open(&c, *state);
	json_decref(ctl_ok(&c, "log-level", json_pack("{s:s}", "level", "err")));
	v = ctl_ok(&c, "log-level", NULL);
	assert_string_equal(json_string_value(json_object_get(v, "level")), "err");
	json_decref(v);
	ctl_refused(&c, "log-level", json_pack("{s:s}", "level", "loud"), "InvalidArgument",
		    "err|warn|info|debug");
	ctl_close(&c);
}

static void a_second_daemon_is_told_who_lives_there(void **state)
{
	struct hvlabd *d = *state, second = *d;
	char pid[32];

	hvlabd_start(&second);
	snprintf(pid, sizeof(pid), "pid %d", (int)d->pid);
	assert_ptr_equal(strstr(second.ready, "error: "), second.ready);
	assert_non_null(strstr(second.ready, pid));
	assert_int_equal(hvlabd_wait(&second), 1);
	assert_serves(d);
}

static void quit_answers_first_and_the_end_is_the_end(void **state)
{
	struct hvlabd *d = *state;
	struct ctl c;
	json_t *v;

	ctl_open(&c, d);
	json_decref(ctl_ok(&c, "events-subscribe", NULL));
	json_decref(ctl_ok(&c, "quit", NULL));
	v = ctl_event(&c, "QUIT", NULL);
	json_decref(v);
	assert_null(ctl_next(&c));
	ctl_close(&c);
	assert_int_equal(hvlabd_wait(d), 0);
	assert_int_equal(access(d->sock, F_OK), -1);
}

static void after_a_kill_the_next_start_cleans_up(void **state)
{
	struct hvlabd *d = *state;
	char path[64];

	kill(d->pid, SIGKILL);
	assert_int_equal(hvlabd_wait(d), -SIGKILL);
	assert_int_equal(access(d->sock, F_OK), 0);
	snprintf(path, sizeof(path), "%s/vm", d->dir);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/vm/old", d->dir);
	assert_int_equal(mkdir(path, 0700), 0);
	hvlabd_start(d);
	assert_string_equal(d->ready, "ready\n");
	assert_int_equal(access(path, F_OK), -1);
	assert_serves(d);
}

#define T(f) cmocka_unit_test_setup_teardown(f, hvlabd_setup, hvlabd_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(the_socket_is_its_owners_alone),
		T(half_a_line_and_gone),
		T(noise_is_answered_with_errors),
		T(a_deep_nest_is_no_way_to_the_stack),
		T(an_endless_line_ends_the_connection),
		T(who_asks_without_listening_is_cut_off),
		T(a_thousand_connections_leave_nothing),
		T(descriptors_nobody_asked_for_are_closed),
		T(a_flood_of_descriptors_costs_its_sender_the_connection),
		T(without_a_lab_commands_say_so),
		T(every_command_is_in_the_schema_and_in_the_page),
		T(the_log_level_can_be_changed),
		T(a_second_daemon_is_told_who_lives_there),
		T(quit_answers_first_and_the_end_is_the_end),
		T(after_a_kill_the_next_start_cleans_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
