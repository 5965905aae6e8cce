/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the start and end of a daemon under test and the plain client. */
#include "hvlabd_rig.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "tests/lib/wait.h"

static unsigned int last_id;

void hvlabd_start(struct hvlabd *d)
{
	char fd_text[16];
	size_t n = 0;
	int p[2];
	ssize_t got;

	assert_int_equal(pipe(p), 0);
	d->pid = fork();
	assert_true(d->pid >= 0);
	if (d->pid == 0) {
		close(p[0]);
		snprintf(fd_text, sizeof(fd_text), "%d", p[1]);
		execl(HVLABD, "hvlabd", "--runtime-dir", d->dir, "--ready-fd", fd_text,
		      "--log-level", "debug", NULL);
		_exit(127);
	}
	close(p[1]);
	while (n < sizeof(d->ready) - 1 &&
	       (got = read(p[0], d->ready + n, sizeof(d->ready) - 1 - n)) > 0)
		n += (size_t)got;
	d->ready[n] = '\0';
	close(p[0]);
}

static void need_program(const char *path)
{
	if (access(path, X_OK))
		fail_msg("%s: %s: the build has not made it, or it was taken away", path,
			 strerror(errno));
}

int hvlabd_setup(void **state)
{
	struct hvlabd *d;

	need_program(HVLABD);
	need_program(FAKE_QEMU);
	d = calloc(1, sizeof(*d));
	signal(SIGPIPE, SIG_IGN);
	strcpy(d->dir, "/tmp/hvlabd-XXXXXX");
	assert_non_null(mkdtemp(d->dir));
	snprintf(d->sock, sizeof(d->sock), "%s/control.sock", d->dir);
	hvlabd_start(d);
	assert_string_equal(d->ready, "ready\n");
	*state = d;
	return 0;
}

int hvlabd_wait(struct hvlabd *d)
{
	int status = 0;

	assert_true(wait_until(waitpid(d->pid, &status, WNOHANG) == d->pid, WAIT_MS));
	d->pid = 0;
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

/* Every file of the directory but the logs. */
static unsigned int n_left(const char *dir)
{
	DIR *dp = opendir(dir);
	unsigned int n = 0;
	struct dirent *e;

	while (dp && (e = readdir(dp))) {
		if (e->d_name[0] == '.' || !strncmp(e->d_name, "hvlabd.log", 10))
			continue;
		print_message("left behind: %s/%s\n", dir, e->d_name);
		n++;
	}
	if (dp)
		closedir(dp);
	return n;
}

int hvlabd_teardown(void **state)
{
	struct hvlabd *d = *state;
	char cmd[64];

	if (d->pid) {
		kill(d->pid, SIGTERM);
		assert_int_equal(hvlabd_wait(d), 0);
	}
	assert_int_equal(n_left(d->dir), 0);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", d->dir);
	assert_int_equal(system(cmd), 0);
	free(d);
	return 0;
}

unsigned int hvlabd_n_fds(const struct hvlabd *d)
{
	unsigned int n = 0;
	char path[64];
	DIR *dp;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)d->pid);
	dp = opendir(path);
	assert_non_null(dp);
	while (readdir(dp))
		n++;
	closedir(dp);
	return n;
}

void ctl_open(struct ctl *c, const struct hvlabd *d)
{
	json_t *greeting;

	memset(c, 0, sizeof(*c));
	c->events = json_array();
	c->fd = fd_unix_connect(d->sock);
	assert_true(c->fd >= 0);
	greeting = ctl_next(c);
	assert_int_equal(
		json_integer_value(json_object_get(json_object_get(greeting, "hvlab"), "pid")),
		d->pid);
	json_decref(greeting);
}

void ctl_close(struct ctl *c)
{
	fd_close(&c->fd);
	free(c->buf);
	json_decref(c->events);
}

void ctl_send(struct ctl *c, const char *line)
{
	size_t len = strlen(line), off = 0;

	while (off < len) {
		ssize_t n = send(c->fd, line + off, len - off, MSG_NOSIGNAL);

		assert_true(n > 0);
		off += (size_t)n;
	}
}

json_t *ctl_next(struct ctl *c)
{
	struct pollfd p = {.fd = c->fd, .events = POLLIN};
	char *nl;

	while (!c->have || !(nl = memchr(c->buf, '\n', c->have))) {
		ssize_t n;

		if (c->size - c->have < 65536) {
			c->size = 2 * c->size + 65536;
			c->buf = realloc(c->buf, c->size);
			assert_non_null(c->buf);
		}
		assert_int_equal(poll(&p, 1, WAIT_MS), 1);
		n = recv(c->fd, c->buf + c->have, c->size - c->have, 0);
		if (n <= 0)
			return NULL;
		c->have += (size_t)n;
	}
	{
		json_t *v = json_loadb(c->buf, (size_t)(nl - c->buf), 0, NULL);

		assert_non_null(v);
		c->have -= (size_t)(nl + 1 - c->buf);
		memmove(c->buf, nl + 1, c->have);
		return v;
	}
}

json_t *ctl_call(struct ctl *c, const char *command, json_t *args)
{
	unsigned int id = ++last_id;
	json_t *root = json_pack("{s:s, s:o, s:i}", "execute", command, "arguments",
				 args ? args : json_object(), "id", (int)id);
	char *text = json_dumps(root, JSON_COMPACT);
	json_t *v;

	ctl_send(c, text);
	ctl_send(c, "\n");
	free(text);
	json_decref(root);
	while ((v = ctl_next(c))) {
		if (!json_object_get(v, "event")) {
			assert_int_equal(json_integer_value(json_object_get(v, "id")), id);
			return v;
		}
		json_array_append_new(c->events, v);
	}
	fail_msg("%s: no answer, the connection ended", command);
	return NULL;
}

json_t *ctl_ok(struct ctl *c, const char *command, json_t *args)
{
	json_t *v = ctl_call(c, command, args), *ret = json_object_get(v, "return");

	if (!ret)
		fail_msg("%s: %s", command, json_dumps(v, 0));
	json_incref(ret);
	json_decref(v);
	return ret;
}

void ctl_refused(struct ctl *c, const char *command, json_t *args, const char *class,
		 const char *words)
{
	json_t *v = ctl_call(c, command, args), *e = json_object_get(v, "error");
	const char *desc = json_string_value(json_object_get(e, "desc"));

	assert_non_null(e);
	if (strcmp(json_string_value(json_object_get(e, "class")), class) || !strstr(desc, words))
		fail_msg("%s: %s", command, json_dumps(v, 0));
	json_decref(v);
}

static bool is_event(const json_t *v, const char *name, const char *state)
{
	const char *n = json_string_value(json_object_get(v, "event"));
	const char *s = json_string_value(json_object_get(json_object_get(v, "data"), "state"));

	return n && !strcmp(n, name) && (!state || (s && !strcmp(s, state)));
}

json_t *ctl_event(struct ctl *c, const char *name, const char *state)
{
	json_t *v;
	size_t i;

	json_array_foreach (c->events, i, v) {
		if (is_event(v, name, state)) {
			json_incref(v);
			json_array_remove(c->events, i);
			return v;
		}
	}
	while ((v = ctl_next(c))) {
		if (is_event(v, name, state))
			return v;
		json_array_append_new(c->events, v);
	}
	fail_msg("no event %s %s before the end of the connection", name, state ? state : "");
	return NULL;
}

void assert_serves(const struct hvlabd *d)
{
	struct ctl c;

	ctl_open(&c, d);
	json_decref(ctl_ok(&c, "query-version", NULL));
	ctl_close(&c);
}
