/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns a conversation with one QEMU's monitor. */
#define LOG_TAG "qmp"
#include "host/qmp.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "host/lines.h"

#define MAX_LINE (16u << 20) /* bytes; QEMU's longest answers are far below */

struct pending {
	struct qmp *q;
	json_int_t id;
	char command[40];
	qmp_reply_fn fn;
	void *arg;
	struct event *timer;
	struct pending *next;
};

struct qmp {
	struct event_base *base;
	struct bufferevent *bev;
	const struct qmp_ops *ops;
	void *arg;
	struct pending *pending;
	json_int_t next_id;
	bool ready;
	bool closed;
	char version[32];
	size_t searched;
};

enum qmp_kind qmp_parse(const char *line, size_t len, struct qmp_msg *msg)
{
	json_t *v, *e;

	memset(msg, 0, sizeof(*msg));
	msg->kind = QMP_BAD;
	msg->id = -1;
	msg->root = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object(msg->root))
		goto bad;
	v = json_object_get(msg->root, "id");
	if (json_is_integer(v))
		msg->id = json_integer_value(v);
	if ((v = json_object_get(msg->root, "QMP")) && json_is_object(v)) {
		msg->kind = QMP_GREETING;
		msg->value = v;
	} else if ((v = json_object_get(msg->root, "return"))) {
		msg->kind = QMP_RETURN;
		msg->value = v;
	} else if ((e = json_object_get(msg->root, "error")) && json_is_object(e)) {
		msg->kind = QMP_ERROR;
		msg->error_class = json_string_value(json_object_get(e, "class"));
		msg->desc = json_string_value(json_object_get(e, "desc"));
		if (!msg->desc)
			msg->desc = "no description";
	} else if ((v = json_object_get(msg->root, "event")) && json_is_string(v)) {
		msg->kind = QMP_EVENT;
		msg->name = json_string_value(v);
		msg->value = json_object_get(msg->root, "data");
		if (msg->value && !json_is_object(msg->value))
			goto bad;
	} else {
		goto bad;
	}
	return msg->kind;
bad:
	json_decref(msg->root);
	memset(msg, 0, sizeof(*msg));
	msg->id = -1;
	return msg->kind = QMP_BAD;
}

void qmp_version(const json_t *greeting, char *out, size_t size)
{
	const json_t *v = json_object_get(json_object_get(greeting, "version"), "qemu");

	snprintf(out, size, "%d.%d.%d", (int)json_integer_value(json_object_get(v, "major")),
		 (int)json_integer_value(json_object_get(v, "minor")),
		 (int)json_integer_value(json_object_get(v, "micro")));
}

static struct pending *take(struct qmp *q, json_int_t id)
{
	for (struct pending **at = &q->pending; *at; at = &(*at)->next) {
		struct pending *p = *at;

		if (p->id == id) {
			*at = p->next;
			return p;
		}
	}
	return NULL;
}

static void finish(struct pending *p, int rc, json_t *ret, const char *desc)
{
	if (p->fn)
		p->fn(p->arg, rc, ret, desc);
	else if (rc && rc != -ECANCELED && rc != -ECONNRESET)
		log_warn("%s: %s", p->command, desc);
	if (p->timer)
		event_free(p->timer);
	free(p);
}

static void fail_all(struct qmp *q, int rc, const char *why)
{
	while (q->pending) {
		struct pending *p = q->pending;

		q->pending = p->next;
		finish(p, rc, NULL, why);
	}
}

static void on_timeout(evutil_socket_t fd, short what, void *arg)
{
	struct pending *p = arg;
	char desc[96];

	(void)fd;
	(void)what;
	take(p->q, p->id);
	snprintf(desc, sizeof(desc), "QEMU did not answer %s in time", p->command);
	finish(p, -ETIMEDOUT, NULL, desc);
}

static void close_now(struct qmp *q, const char *why)
{
	if (q->closed)
		return;
	q->closed = true;
	q->ready = false;
	bufferevent_disable(q->bev, EV_READ | EV_WRITE);
	fail_all(q, -ECONNRESET, why);
	q->ops->closed(q->arg, why);
}

static int send_line(struct qmp *q, const char *command, json_t *args, json_int_t id)
{
	json_t *root =
		args ? json_pack("{s:s, s:o, s:I}", "execute", command, "arguments", args, "id", id)
		     : json_pack("{s:s, s:I}", "execute", command, "id", id);
	char *text = root ? json_dumps(root, JSON_COMPACT) : NULL;
	int rc = -ENOMEM;

	if (text && bufferevent_write(q->bev, text, strlen(text)) == 0 &&
	    bufferevent_write(q->bev, "\n", 1) == 0)
		rc = 0;
	free(text);
	json_decref(root);
	return rc;
}

static int submit(struct qmp *q, const char *command, json_t *args, unsigned int timeout_ms,
		  qmp_reply_fn fn, void *arg)
{
	struct timeval tv = {.tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000};
	struct pending *p = calloc(1, sizeof(*p));
	int rc;

	if (!p) {
		json_decref(args);
		return -ENOMEM;
	}
	p->q = q;
	p->id = ++q->next_id;
	snprintf(p->command, sizeof(p->command), "%s", command);
	p->fn = fn;
	p->arg = arg;
	if (timeout_ms) {
		p->timer = evtimer_new(q->base, on_timeout, p);
		if (!p->timer || evtimer_add(p->timer, &tv)) {
			json_decref(args);
			rc = -ENOMEM;
			goto err;
		}
	}
	rc = send_line(q, command, args, p->id);
	if (rc)
		goto err;
	p->next = q->pending;
	q->pending = p;
	return 0;
err:
	if (p->timer)
		event_free(p->timer);
	free(p);
	return rc;
}

int qmp_send(struct qmp *q, const char *command, json_t *args, unsigned int timeout_ms,
	     qmp_reply_fn fn, void *arg)
{
	if (!q || !q->ready) {
		json_decref(args);
		return -ENOTCONN;
	}
	return submit(q, command, args, timeout_ms, fn, arg);
}

bool qmp_is_ready(const struct qmp *q)
{
	return q && q->ready;
}

static void capable(void *arg, int rc, json_t *ret, const char *desc)
{
	struct qmp *q = arg;

	(void)ret;
	if (rc == -ECANCELED || rc == -ECONNRESET)
		return;
	if (rc) {
		close_now(q, desc);
		return;
	}
	q->ready = true;
	q->ops->ready(q->arg, q->version);
}

static void handle(struct qmp *q, const char *line, size_t len)
{
	struct qmp_msg msg;
	struct pending *p;

	switch (qmp_parse(line, len, &msg)) {
	case QMP_GREETING:
		qmp_version(msg.value, q->version, sizeof(q->version));
		if (submit(q, "qmp_capabilities", NULL, 0, capable, q))
			close_now(q, "out of memory");
		break;
	case QMP_RETURN:
	case QMP_ERROR:
		/* An answer whose request timed out has no entry any more. */
		p = take(q, msg.id);
		if (p)
			finish(p, msg.kind == QMP_ERROR ? -EREMOTEIO : 0, msg.value, msg.desc);
		break;
	case QMP_EVENT:
		q->ops->event(q->arg, msg.name, msg.value);
		break;
	case QMP_BAD:
		close_now(q, "QEMU sent something that is not QMP");
		break;
	}
	json_decref(msg.root);
}

static void on_read(struct bufferevent *bev, void *arg)
{
	struct evbuffer *in = bufferevent_get_input(bev);
	struct qmp *q = arg;
	size_t len;
	char *line;

	while (!q->closed && (line = lines_next(in, &q->searched, &len))) {
		if (len)
			handle(q, line, len);
		free(line);
	}
	if (!q->closed && evbuffer_get_length(in) > MAX_LINE)
		close_now(q, "QEMU sent a line without end");
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
	(void)bev;
	if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR))
		close_now(arg, "QEMU closed its monitor");
}

struct qmp *qmp_new(struct event_base *base, int fd, const struct qmp_ops *ops, void *arg)
{
	struct qmp *q = calloc(1, sizeof(*q));

	if (q && fd_set_nonblock(fd) == 0)
		q->bev = bufferevent_socket_new(base, fd,
						BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
	if (!q || !q->bev) {
		fd_close(&fd);
		free(q);
		errno = ENOMEM;
		return NULL;
	}
	q->base = base;
	q->ops = ops;
	q->arg = arg;
	bufferevent_setcb(q->bev, on_read, NULL, on_event, q);
	bufferevent_enable(q->bev, EV_READ | EV_WRITE);
	return q;
}

void qmp_free(struct qmp *q)
{
	if (!q)
		return;
	q->closed = true;
	q->ready = false;
	fail_all(q, -ECANCELED, "given up");
	bufferevent_free(q->bev);
	free(q);
}
