/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns one connection to the control socket. */
#include "host/client.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"

#define PROTOCOL    1
#define GREETING_MS 5000
#define READ_SIZE   65536u
#define MAX_LINE    (256u << 20) /* an exec's two outputs of 16 MiB, base64, with room */

struct client {
	int fd, wake_fd;
	char *buf; /* what came and is not yet a whole line */
	size_t len, size, searched;
	int last_id;
	json_t *greeting;
	json_t *answers; /* came, but nobody has asked for them yet: id as text -> message */
	void (*event)(void *arg, const json_t *event);
	void *event_arg;
};

static int handle(struct client *c, const char *line, size_t len)
{
	json_t *msg = json_loadb(line, len, JSON_ALLOW_NUL, NULL), *hello, *id;
	char key[24];

	if (!json_is_object(msg)) {
		json_decref(msg);
		return -EPROTO;
	}
	hello = json_object_get(msg, "hvlab");
	id = json_object_get(msg, "id");
	if (hello && !c->greeting) {
		c->greeting = json_incref(hello);
	} else if (json_object_get(msg, "event")) {
		if (c->event)
			c->event(c->event_arg, msg);
	} else if (json_is_integer(id)) {
		snprintf(key, sizeof(key), "%" JSON_INTEGER_FORMAT, json_integer_value(id));
		json_object_set(c->answers, key, msg);
	}
	json_decref(msg);
	return 0;
}

/* Every whole line in the buffer. */
static int handle_lines(struct client *c)
{
	char *nl;
	int ret;

	while ((nl = memchr(c->buf + c->searched, '\n', c->len - c->searched))) {
		size_t line = (size_t)(nl - c->buf);

		ret = line ? handle(c, c->buf, line) : 0;
		if (ret)
			return ret;
		c->len -= line + 1;
		c->searched = 0;
		memmove(c->buf, nl + 1, c->len);
	}
	c->searched = c->len;
	return c->len > MAX_LINE ? -EPROTO : 0;
}

int client_dispatch(struct client *c)
{
	ssize_t n;
	int ret;

	for (;;) {
		if (c->size - c->len < READ_SIZE) {
			size_t size = c->size ? c->size * 2 : 2 * READ_SIZE;
			char *buf = realloc(c->buf, size);

			if (!buf)
				return -ENOMEM;
			c->buf = buf;
			c->size = size;
		}
		n = fd_recv(c->fd, c->buf + c->len, c->size - c->len, NULL, NULL, MSG_DONTWAIT);
		if (n == -EAGAIN)
			return 0;
		if (n <= 0)
			return n == 0 || n == -ECONNRESET ? -EPIPE : (int)n;
		c->len += (size_t)n;
		ret = handle_lines(c);
		if (ret)
			return ret;
	}
}

/* One turn of waiting: something was read. @deadline on now_ns(), 0: for ever. */
static int pump(struct client *c, uint64_t deadline)
{
	struct pollfd pfds[2] = {{.fd = c->fd, .events = POLLIN},
				 {.fd = c->wake_fd, .events = POLLIN}};
	uint64_t now = now_ns();
	int ms = -1, n;

	if (deadline)
		ms = deadline <= now ? 0 : (int)MIN((deadline - now) / NSEC_PER_MSEC + 1, 1u << 30);
	do
		n = poll(pfds, c->wake_fd >= 0 ? 2 : 1, ms);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (n == 0)
		return -ETIMEDOUT;
	if (c->wake_fd >= 0 && pfds[1].revents)
		return -EINTR;
	return client_dispatch(c);
}

static bool take(struct client *c, int id, struct client_answer *a)
{
	json_t *msg;
	char key[24];

	snprintf(key, sizeof(key), "%d", id);
	msg = json_object_get(c->answers, key);
	if (!msg)
		return false;
	a->value = json_incref(json_object_get(msg, "return"));
	a->error = json_incref(json_object_get(msg, "error"));
	json_object_del(c->answers, key);
	return true;
}

int client_wait(struct client *c, int id, int timeout_ms, struct client_answer *a)
{
	uint64_t deadline = timeout_ms < 0 ? 0 : now_ns() + (uint64_t)timeout_ms * NSEC_PER_MSEC;
	int ret = 0;

	if (a)
		*a = (struct client_answer){NULL, NULL};
	if (!id)
		return pump(c, deadline);
	while (!ret && !take(c, id, a))
		ret = pump(c, deadline);
	/* An answer may have come together with the end of the connection. */
	if (ret == -EPIPE && take(c, id, a))
		ret = 0;
	if (!ret && !a->value && !a->error)
		ret = -EPROTO;
	return ret;
}

int client_send(struct client *c, const char *command, json_t *args, int fd)
{
	json_t *msg = json_pack("{s:s, s:i}", "execute", command, "id", c->last_id + 1);
	char *text = NULL;
	size_t len, done = 0;
	int ret = -ENOMEM;

	if (msg && args)
		json_object_set(msg, "arguments", args);
	json_decref(args);
	if (msg)
		text = json_dumps(msg, JSON_COMPACT);
	json_decref(msg);
	if (!text)
		return ret;
	len = strlen(text);
	text[len++] = '\n'; /* in place of the NUL */
	while (done < len) {
		struct iovec iov = {text + done, len - done};
		ssize_t n = fd_send(c->fd, &iov, 1, &fd, fd >= 0 && !done ? 1 : 0, 0);

		if (n < 0) {
			free(text);
			return n == -ECONNRESET ? -EPIPE : (int)n;
		}
		done += (size_t)n;
	}
	free(text);
	return ++c->last_id;
}

int client_call(struct client *c, const char *command, json_t *args, struct client_answer *a)
{
	int id = client_send(c, command, args, -1);

	*a = (struct client_answer){NULL, NULL};
	return id < 0 ? id : client_wait(c, id, -1, a);
}

int client_open(const char *runtime_dir, struct client **out)
{
	uint64_t deadline = now_ns() + GREETING_MS * NSEC_PER_MSEC;
	struct client *c;
	char path[160];
	int ret;

	*out = NULL;
	snprintf(path, sizeof(path), "%s/control.sock", runtime_dir);
	ret = fd_unix_connect(path);
	if (ret < 0)
		return ret == -ENOTDIR ? -ENOENT : ret;
	c = calloc(1, sizeof(*c));
	if (!c) {
		fd_close(&ret);
		return -ENOMEM;
	}
	c->fd = ret;
	c->wake_fd = -1;
	c->answers = json_object();
	ret = 0;
	while (!ret && !c->greeting)
		ret = pump(c, deadline);
	if (c->greeting &&
	    json_integer_value(json_object_get(c->greeting, "protocol")) == PROTOCOL) {
		*out = c;
		return 0;
	}
	client_close(c);
	return ret && ret != -EPIPE ? ret : -EPROTO;
}

void client_close(struct client *c)
{
	if (!c)
		return;
	fd_close(&c->fd);
	json_decref(c->greeting);
	json_decref(c->answers);
	free(c->buf);
	free(c);
}

int client_fd(const struct client *c)
{
	return c->fd;
}

const json_t *client_greeting(const struct client *c)
{
	return c->greeting;
}

void client_on_event(struct client *c, void (*fn)(void *arg, const json_t *event), void *arg)
{
	c->event = fn;
	c->event_arg = arg;
}

void client_wake_on(struct client *c, int fd)
{
	c->wake_fd = fd;
}

void client_answer_fini(struct client_answer *a)
{
	json_decref(a->value);
	json_decref(a->error);
	*a = (struct client_answer){NULL, NULL};
}

static const char *error_member(const struct client_answer *a, const char *key)
{
	const char *s = json_string_value(json_object_get(a->error, key));

	return s ? s : "";
}

const char *client_error_class(const struct client_answer *a)
{
	return error_member(a, "class");
}

const char *client_error_desc(const struct client_answer *a)
{
	return error_member(a, "desc");
}

const char *client_error_hint(const struct client_answer *a)
{
	return error_member(a, "hint");
}
