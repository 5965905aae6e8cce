/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns a conversation with one guest's agent. */
#define LOG_TAG "agent"
#include "host/agent.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/util.h"
#include "host/lines.h"

#define MAX_LINE     (64u << 20) /* bytes; guest-exec-status holds two streams of 16 MiB as base64 */
#define SYNC_AGAIN   5000	 /* ms */
#define DELIMITER    0xff	 /* not in JSON: the agent drops what it had before it */
#define DELIMITER_ST "\xff"

static const char ping[] = "{\"execute\":\"guest-ping\"}\n";

enum agent_state { AGENT_CLOSED, AGENT_SYNCING, AGENT_UP };

struct call {
	struct agent *a;
	char *line;
	bool tell; /* a ping goes with it */
	qmp_reply_fn fn;
	void *arg;
	struct event *timer;
	struct call *next;
};

struct agent {
	struct event_base *base;
	struct bufferevent *bev;
	const struct agent_ops *ops;
	void *arg;
	enum agent_state state;
	struct call *calls; /* the first is with the agent, when state is UP */
	uint64_t asked_ns;  /* when the first was sent */
	bool told_silent;
	bool skip; /* the next answer is a ping's that nobody waits for */
	json_int_t sync_id;
	size_t searched;
	struct event *timer;
};

static struct timeval ms_tv(unsigned int ms)
{
	return (struct timeval){.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
}

static void arm(struct agent *a, unsigned int ms)
{
	struct timeval tv = ms_tv(ms);

	evtimer_add(a->timer, &tv);
}

static void call_free(struct call *c)
{
	if (c->timer)
		event_free(c->timer);
	free(c->line);
	free(c);
}

static void finish(struct call *c, int rc, json_t *ret, const char *desc)
{
	if (c->fn)
		c->fn(c->arg, rc, ret, desc);
	call_free(c);
}

static void fail_all(struct agent *a, int rc, const char *why)
{
	struct call *c = a->calls;

	a->calls = NULL;
	while (c) {
		struct call *next = c->next;

		finish(c, rc, NULL, why);
		c = next;
	}
}

static void ask_first(struct agent *a)
{
	struct call *c = a->calls;

	if (!c || a->state != AGENT_UP)
		return;
	a->asked_ns = now_ns();
	bufferevent_write(a->bev, c->line, strlen(c->line));
	if (c->tell)
		bufferevent_write(a->bev, ping, strlen(ping));
	arm(a, AGENT_PING_MS);
}

static void sync_ask(struct agent *a)
{
	char text[128];
	int n;

	n = snprintf(text, sizeof(text),
		     DELIMITER_ST
		     "{\"execute\":\"guest-sync-delimited\",\"arguments\":{\"id\":%lld}}\n",
		     (long long)++a->sync_id);
	bufferevent_write(a->bev, text, (size_t)n);
	arm(a, SYNC_AGAIN);
}

unsigned int agent_silent_ms(const struct agent *a)
{
	if (!a || a->state != AGENT_UP || !a->calls)
		return 0;
	return (unsigned int)((now_ns() - a->asked_ns) / NSEC_PER_MSEC);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct agent *a = arg;
	unsigned int silent = agent_silent_ms(a);

	(void)fd;
	(void)what;
	if (a->state == AGENT_SYNCING) {
		sync_ask(a);
	} else if (a->state == AGENT_UP) {
		if (!a->calls)
			agent_call(a, "guest-ping", NULL, 0, NULL, NULL);
		else
			arm(a, 1000);
		if (silent >= AGENT_SILENT_MS && !a->told_silent) {
			a->told_silent = true;
			a->ops->silent(a->arg, silent);
		}
	}
}

void agent_opened(struct agent *a)
{
	agent_closed(a, "the agent was started again");
	a->state = AGENT_SYNCING;
	sync_ask(a);
}

void agent_closed(struct agent *a, const char *why)
{
	if (!a)
		return;
	a->state = AGENT_CLOSED;
	a->told_silent = false;
	a->skip = false;
	evtimer_del(a->timer);
	fail_all(a, -ECONNRESET, why);
}

bool agent_is_up(const struct agent *a)
{
	return a && a->state == AGENT_UP;
}

static void answered(struct agent *a, struct qmp_msg *msg)
{
	struct call *c = a->calls;
	unsigned int silent = agent_silent_ms(a);

	if (a->skip) {
		a->skip = false;
		return;
	}
	if (!c)
		return; /* nobody asked: a stray answer of an earlier boot */
	a->skip = c->tell && msg->kind == QMP_ERROR;
	a->calls = c->next;
	if (a->told_silent) {
		a->told_silent = false;
		a->ops->back(a->arg, silent);
	}
	ask_first(a);
	if (!a->calls)
		arm(a, AGENT_PING_MS);
	finish(c, msg->kind == QMP_ERROR ? -EREMOTEIO : 0, msg->value, msg->desc);
}

static void handle(struct agent *a, char *line, size_t len)
{
	char *mark = memrchr(line, DELIMITER, len);
	struct qmp_msg msg;

	if (mark) {
		len -= (size_t)(mark + 1 - line);
		line = mark + 1;
	}
	if (!len || a->state == AGENT_CLOSED)
		return;
	qmp_parse(line, len, &msg);
	if (a->state == AGENT_SYNCING) {
		/* Everything but our number is left over. */
		if (msg.kind == QMP_RETURN && json_is_integer(msg.value) &&
		    json_integer_value(msg.value) == a->sync_id) {
			a->state = AGENT_UP;
			arm(a, AGENT_PING_MS);
			a->ops->up(a->arg);
		}
	} else if (msg.kind == QMP_RETURN || msg.kind == QMP_ERROR) {
		answered(a, &msg);
	} else {
		log_warn_rl("the agent sent a line that is no answer");
	}
	json_decref(msg.root);
}

static void on_read(struct bufferevent *bev, void *arg)
{
	struct evbuffer *in = bufferevent_get_input(bev);
	struct agent *a = arg;
	size_t len;
	char *line;

	while ((line = lines_next(in, &a->searched, &len))) {
		handle(a, line, len);
		free(line);
	}
	if (evbuffer_get_length(in) > MAX_LINE) {
		evbuffer_drain(in, evbuffer_get_length(in));
		a->searched = 0;
		agent_opened(a);
	}
}

/* QEMU ends. Pending calls stay so until agent_free(): by then the owner knows why it ended. */
static void on_event(struct bufferevent *bev, short what, void *arg)
{
	(void)arg;
	if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR))
		bufferevent_disable(bev, EV_READ | EV_WRITE);
}

struct agent *agent_new(struct event_base *base, int fd, const struct agent_ops *ops, void *arg)
{
	struct agent *a = calloc(1, sizeof(*a));

	if (a) {
		a->timer = evtimer_new(base, on_timer, a);
		if (a->timer && fd_set_nonblock(fd) == 0)
			a->bev = bufferevent_socket_new(
				base, fd, BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
	}
	if (!a || !a->bev) {
		fd_close(&fd);
		if (a && a->timer)
			event_free(a->timer);
		free(a);
		errno = ENOMEM;
		return NULL;
	}
	a->base = base;
	a->ops = ops;
	a->arg = arg;
	/* A boot's numbers differ from the last one's. */
	a->sync_id = (json_int_t)(now_ns() & 0x7fffffff);
	bufferevent_setcb(a->bev, on_read, NULL, on_event, a);
	bufferevent_enable(a->bev, EV_READ | EV_WRITE);
	return a;
}

void agent_free(struct agent *a)
{
	if (!a)
		return;
	a->state = AGENT_CLOSED;
	fail_all(a, -ECANCELED, "given up");
	event_free(a->timer);
	bufferevent_free(a->bev);
	free(a);
}

static void on_call_timeout(evutil_socket_t fd, short what, void *arg)
{
	struct call *c = arg, **at;
	struct agent *a = c->a;
	qmp_reply_fn fn = c->fn;
	void *fn_arg = c->arg;

	(void)fd;
	(void)what;
	c->fn = NULL;
	if (c != a->calls) { /* not asked yet: forget it; else its answer is still to come */
		for (at = &a->calls; *at != c; at = &(*at)->next)
			;
		*at = c->next;
		call_free(c);
	}
	if (fn)
		fn(fn_arg, -ETIMEDOUT, NULL, "the guest's agent did not answer in time");
}

static char *call_line(const char *command, json_t *args)
{
	json_t *root = args ? json_pack("{s:s, s:o}", "execute", command, "arguments", args)
			    : json_pack("{s:s}", "execute", command);
	char *text = root ? json_dumps(root, JSON_COMPACT) : NULL, *line = NULL;

	if (text && asprintf(&line, "%s\n", text) < 0)
		line = NULL;
	free(text);
	json_decref(root);
	return line;
}

static int submit(struct agent *a, const char *command, json_t *args, unsigned int timeout_ms,
		  bool tell, qmp_reply_fn fn, void *arg)
{
	struct timeval tv = ms_tv(timeout_ms);
	struct call *c, **at;

	if (!agent_is_up(a)) {
		json_decref(args);
		return -ENOTCONN;
	}
	c = calloc(1, sizeof(*c));
	if (!c) {
		json_decref(args);
		return -ENOMEM;
	}
	c->a = a;
	c->fn = fn;
	c->arg = arg;
	c->tell = tell;
	c->line = call_line(command, args);
	if (c->line && timeout_ms) {
		c->timer = evtimer_new(a->base, on_call_timeout, c);
		if (c->timer)
			evtimer_add(c->timer, &tv);
	}
	if (!c->line || (timeout_ms && !c->timer)) {
		call_free(c);
		return -ENOMEM;
	}
	for (at = &a->calls; *at; at = &(*at)->next)
		;
	*at = c;
	if (a->calls == c)
		ask_first(a);
	return 0;
}

int agent_call(struct agent *a, const char *command, json_t *args, unsigned int timeout_ms,
	       qmp_reply_fn fn, void *arg)
{
	return submit(a, command, args, timeout_ms, false, fn, arg);
}

int agent_tell(struct agent *a, const char *command, json_t *args, unsigned int timeout_ms,
	       qmp_reply_fn fn, void *arg)
{
	return submit(a, command, args, timeout_ms, true, fn, arg);
}
