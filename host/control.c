/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the control socket and its clients.
 *
 * A client is freed only from its own read and write callbacks, never while a command handler
 * runs: answering appends to the output and asks for the write callback. A request that outlives
 * its client keeps a NULL in place of it.
 */
#define LOG_TAG "control"
#include "host/control.h"

#include <assert.h>
#include <errno.h>
#include <event2/buffer.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "host/lines.h"

#define READ_SIZE	(64u << 10)
#define READ_TURNS	8 /* reads of one client before the others have their turn */
#define ACCEPT_AGAIN_MS 1000

struct client {
	struct control *c;
	int fd;
	unsigned int number;
	struct event *rd, *wr;
	struct evbuffer *in, *out;
	size_t searched; /* bytes of @in known to hold no newline */
	int fds[CONTROL_MAX_FDS];
	unsigned int n_fds;
	struct control_req *reqs;
	unsigned int n_reqs;
	bool subscribed;
	json_t *wanted; /* array of names; NULL: all */
	unsigned int lost;
	bool eof;     /* it sends no more */
	bool hang_up; /* close when the output is out */
	struct client *next, *prev;
};

struct control_req {
	struct client *cl; /* NULL: gone */
	json_t *root, *id;
	const struct control_cmd *cmd;
	struct control_req *next, *prev;
};

struct control {
	struct event_base *base;
	int fd;
	char path[108];
	struct event *ev, *accept_again;
	const struct control_cmd *const *cmds;
	size_t n_cmds;
	void *arg;
	struct client *clients;
	unsigned int n_clients, next_number;
};

static const char *const class_names[] = {
	[CTL_COMMAND_NOT_FOUND] = "CommandNotFound",
	[CTL_INVALID_ARGUMENT] = "InvalidArgument",
	[CTL_LAB_INVALID] = "LabInvalid",
	[CTL_POLICY_INVALID] = "PolicyInvalid",
	[CTL_NOT_FOUND] = "NotFound",
	[CTL_INVALID_STATE] = "InvalidState",
	[CTL_GUEST_DEAD] = "GuestDead",
	[CTL_AGENT_UNAVAILABLE] = "AgentUnavailable",
	[CTL_TIMEOUT] = "Timeout",
	[CTL_PART_MISSING] = "PartMissing",
	[CTL_BUSY] = "Busy",
	[CTL_SYSTEM_ERROR] = "SystemError",
	[CTL_CANCELLED] = "Cancelled",
	[CTL_GENERIC] = "GenericError",
};
static_assert(ARRAY_SIZE(class_names) == CTL_N_CLASSES, "every class has a name");

const char *control_class_name(enum control_class cls)
{
	return class_names[cls];
}

static const struct control_cmd *find_cmd(const struct control *c, const char *name)
{
	for (size_t i = 0; i < c->n_cmds; i++)
		for (const struct control_cmd *cmd = c->cmds[i]; cmd->name; cmd++)
			if (!strcmp(cmd->name, name))
				return cmd;
	return NULL;
}

/* Appends one message; @root is stolen. */
static void put(struct client *cl, json_t *root)
{
	char *text = root ? json_dumps(root, JSON_COMPACT) : NULL;

	json_decref(root);
	if (!text || evbuffer_add(cl->out, text, strlen(text)) || evbuffer_add(cl->out, "\n", 1)) {
		log_err("client %u: out of memory for an answer", cl->number);
		cl->hang_up = true;
	}
	free(text);
	event_add(cl->wr, NULL);
	/* Who does not read never becomes writable: have the callback run all the same. */
	if (evbuffer_get_length(cl->out) > CONTROL_MAX_OUTPUT)
		event_active(cl->wr, EV_WRITE, 1);
}

static void drop_fds(struct client *cl)
{
	fd_close_all(cl->fds, cl->n_fds);
	cl->n_fds = 0;
}

static void client_free(struct client *cl)
{
	struct control *c = cl->c;

	for (struct control_req *r = cl->reqs; r; r = r->next)
		r->cl = NULL;
	if (cl->prev)
		cl->prev->next = cl->next;
	else
		c->clients = cl->next;
	if (cl->next)
		cl->next->prev = cl->prev;
	c->n_clients--;
	log_debug("client %u: gone", cl->number);
	drop_fds(cl);
	if (cl->rd)
		event_free(cl->rd);
	if (cl->wr)
		event_free(cl->wr);
	if (cl->in)
		evbuffer_free(cl->in);
	if (cl->out)
		evbuffer_free(cl->out);
	json_decref(cl->wanted);
	fd_close(&cl->fd);
	free(cl);
}

/* The request leaves its client's list and its memory. */
static void req_free(struct control_req *req)
{
	struct client *cl = req->cl;

	if (cl) {
		if (req->prev)
			req->prev->next = req->next;
		else
			cl->reqs = req->next;
		if (req->next)
			req->next->prev = req->prev;
		cl->n_reqs--;
	}
	json_decref(req->root);
	free(req);
}

static void answer(struct control_req *req, const char *what, json_t *value)
{
	json_t *root;

	if (req->cl) {
		root = json_pack("{s:o}", what, value);
		if (root && req->id)
			json_object_set(root, "id", req->id);
		put(req->cl, root);
	} else {
		json_decref(value);
	}
	req_free(req);
}

void control_return(struct control_req *req, json_t *value)
{
	answer(req, "return", value ? value : json_object());
}

static json_t *error_object(enum control_class cls, json_t *extra, const char *hint,
			    const char *desc)
{
	json_t *e = json_pack("{s:s}", "class", class_names[cls]);
	json_t *text = json_string(desc);

	/* What a guest or a file said may not be UTF-8. */
	json_object_set_new(e, "desc", text ? text : json_string("(not UTF-8)"));
	if (hint)
		json_object_set_new(e, "hint", json_string(hint));
	if (extra)
		json_object_update_missing(e, extra);
	json_decref(extra);
	return e;
}

void control_fail_with(struct control_req *req, enum control_class cls, json_t *extra,
		       const char *hint, const char *fmt, ...)
{
	char *desc = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&desc, fmt, ap) < 0)
		desc = NULL;
	va_end(ap);
	log_info("%s: %s: %s", req->cmd ? req->cmd->name : "request", class_names[cls],
		 desc ? desc : "");
	answer(req, "error", error_object(cls, extra, hint, desc ? desc : "out of memory"));
	free(desc);
}

int control_take_fd(struct control_req *req)
{
	struct client *cl = req->cl;
	int fd;

	if (!cl || !cl->n_fds)
		return -1;
	fd = cl->fds[0];
	cl->n_fds--;
	memmove(cl->fds, cl->fds + 1, cl->n_fds * sizeof(cl->fds[0]));
	return fd;
}

void control_subscribe(struct control_req *req, bool on, const json_t *names)
{
	struct client *cl = req->cl;

	if (!cl)
		return;
	cl->subscribed = on;
	json_decref(cl->wanted);
	cl->wanted = names ? json_deep_copy(names) : NULL;
}

/* Sent to those only who name it: having it costs. */
static bool must_be_named(const char *name)
{
	return !strcmp(name, "DROP");
}

static bool wants(const struct client *cl, const char *name)
{
	size_t i;
	json_t *v;

	if (!cl->subscribed)
		return false;
	if (!cl->wanted)
		return !must_be_named(name);
	json_array_foreach (cl->wanted, i, v)
		if (!strcmp(json_string_value(v), name))
			return true;
	return false;
}

bool control_is_wanted(const struct control *c, const char *name)
{
	for (const struct client *cl = c->clients; cl; cl = cl->next)
		if (wants(cl, name))
			return true;
	return false;
}

void control_event(struct control *c, const char *name, json_t *data)
{
	struct timeval tv;
	json_t *ev;

	gettimeofday(&tv, NULL);
	for (struct client *cl = c->clients; cl; cl = cl->next) {
		if (!wants(cl, name))
			continue;
		if (evbuffer_get_length(cl->out) > CONTROL_MAX_EVENTS) {
			cl->lost++;
			continue;
		}
		ev = json_pack("{s:s, s:O, s:{s:I, s:I}}", "event", name, "data", data, "timestamp",
			       "seconds", (json_int_t)tv.tv_sec, "microseconds",
			       (json_int_t)tv.tv_usec);
		if (ev && cl->lost)
			json_object_set_new(ev, "lost", json_integer(cl->lost));
		cl->lost = 0;
		put(cl, ev);
	}
	json_decref(data);
}

/* A refusal before there is a command. */
static void refuse(struct client *cl, json_t *id, enum control_class cls, const char *hint,
		   const char *desc)
{
	json_t *root = json_pack("{s:o}", "error", error_object(cls, NULL, hint, desc));

	if (root && id)
		json_object_set(root, "id", id);
	put(cl, root);
}

static bool known_member(const char *key)
{
	return !strcmp(key, "execute") || !strcmp(key, "arguments") || !strcmp(key, "id");
}

static void dispatch(struct client *cl, json_t *root)
{
	json_t *id = json_object_get(root, "id"), *args = json_object_get(root, "arguments"), *v;
	const char *name = json_string_value(json_object_get(root, "execute")), *key;
	const struct control_cmd *cmd;
	struct control_req *req;
	char why[200];

	json_object_foreach (root, key, v) {
		if (!known_member(key)) {
			snprintf(why, sizeof(why), "unknown member '%.40s' in the request", key);
			refuse(cl, id, CTL_INVALID_ARGUMENT, NULL, why);
			return;
		}
	}
	if (!name || (args && !json_is_object(args))) {
		refuse(cl, id, CTL_INVALID_ARGUMENT, NULL,
		       "a request is {\"execute\": string, \"arguments\": object, \"id\": any}");
		return;
	}
	cmd = find_cmd(cl->c, name);
	if (!cmd) {
		snprintf(why, sizeof(why), "no command is called '%.40s'", name);
		refuse(cl, id, CTL_COMMAND_NOT_FOUND, "query-commands lists them", why);
		return;
	}
	if (!args) {
		args = json_object();
		json_object_set_new(root, "arguments", args);
	}
	if (!args_check(cmd->specs, cmd->n_specs, args, why, sizeof(why))) {
		refuse(cl, id, CTL_INVALID_ARGUMENT, "query-schema describes the arguments", why);
		return;
	}
	req = cl->n_reqs < CONTROL_MAX_PENDING ? calloc(1, sizeof(*req)) : NULL;
	if (!req) {
		refuse(cl, id, CTL_BUSY, "wait for answers", "too many requests are under way");
		return;
	}
	req->cl = cl;
	req->root = json_incref(root);
	req->id = id;
	req->cmd = cmd;
	req->next = cl->reqs;
	if (req->next)
		req->next->prev = req;
	cl->reqs = req;
	cl->n_reqs++;
	log_debug("client %u: %s", cl->number, cmd->name);
	cmd->fn(cl->c->arg, req, args);
}

static void handle_line(struct client *cl, const char *line, size_t len)
{
	json_error_t err;
	char why[300];
	json_t *root;

	if (strspn(line, " \t\r") >= len)
		return;
	root = json_loadb(line, len, JSON_REJECT_DUPLICATES, &err);
	if (json_is_object(root)) {
		dispatch(cl, root);
	} else {
		snprintf(why, sizeof(why), "not a JSON object: %s",
			 root ? "another kind of value" : err.text);
		refuse(cl, NULL, CTL_INVALID_ARGUMENT, NULL, why);
	}
	json_decref(root);
}

static void handle_input(struct client *cl)
{
	char *line;
	size_t len;

	while (!cl->hang_up && (line = lines_next(cl->in, &cl->searched, &len))) {
		handle_line(cl, line, len);
		free(line);
	}
	if (evbuffer_get_length(cl->in) > CONTROL_MAX_LINE) {
		refuse(cl, NULL, CTL_INVALID_ARGUMENT, NULL, "the line is longer than 16 MiB");
		cl->hang_up = true;
	}
	/* Descriptors belong to a request that is here or half here. */
	if (!evbuffer_get_length(cl->in))
		drop_fds(cl);
}

/* Done with a client that will send nothing more. */
static bool finished(const struct client *cl)
{
	if (evbuffer_get_length(cl->out))
		return false;
	return cl->hang_up || (cl->eof && !cl->n_reqs);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct client *cl = arg;

	(void)what;
	while (evbuffer_get_length(cl->out)) {
		int n = evbuffer_write(cl->out, fd);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		if (n <= 0) {
			client_free(cl);
			return;
		}
	}
	if (evbuffer_get_length(cl->out) > CONTROL_MAX_OUTPUT) {
		log_warn("client %u: does not read, cut off", cl->number);
		client_free(cl);
		return;
	}
	if (finished(cl))
		client_free(cl);
	else if (evbuffer_get_length(cl->out))
		event_add(cl->wr, NULL);
}

static void take_fds(struct client *cl, const int *fds, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		if (cl->n_fds < CONTROL_MAX_FDS) {
			cl->fds[cl->n_fds++] = fds[i];
		} else {
			close(fds[i]);
			cl->hang_up = true;
		}
	}
	if (cl->hang_up)
		log_warn("client %u: sent too many descriptors, cut off", cl->number);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct client *cl = arg;
	char *buf = malloc(READ_SIZE);
	ssize_t n = -EAGAIN;

	(void)what;
	for (unsigned int i = 0; buf && i < READ_TURNS && !cl->hang_up; i++) {
		int fds[CONTROL_MAX_FDS];
		unsigned int n_fds = CONTROL_MAX_FDS;

		n = fd_recv(fd, buf, READ_SIZE, fds, &n_fds, MSG_DONTWAIT);
		take_fds(cl, fds, n < 0 ? 0 : n_fds);
		if (n <= 0 || evbuffer_add(cl->in, buf, (size_t)n))
			break;
		handle_input(cl);
	}
	free(buf);
	if (n == -EAGAIN && !cl->hang_up)
		return;
	if (n <= 0 || cl->hang_up)
		event_del(cl->rd);
	cl->eof = n <= 0;
	if (n < 0 && n != -EAGAIN)
		client_free(cl);
	else if (finished(cl))
		client_free(cl);
	else
		event_add(cl->wr, NULL); /* notices the end when the output is out */
}

static void client_new(struct control *c, int fd)
{
	struct client *cl = calloc(1, sizeof(*cl));

	if (!cl) {
		close(fd);
		return;
	}
	cl->c = c;
	cl->fd = fd;
	cl->number = ++c->next_number;
	cl->next = c->clients;
	if (cl->next)
		cl->next->prev = cl;
	c->clients = cl;
	c->n_clients++;
	cl->in = evbuffer_new();
	cl->out = evbuffer_new();
	cl->rd = event_new(c->base, fd, EV_READ | EV_PERSIST, on_readable, cl);
	cl->wr = event_new(c->base, fd, EV_WRITE, on_writable, cl);
	if (!cl->in || !cl->out || !cl->rd || !cl->wr) {
		client_free(cl);
		return;
	}
	log_debug("client %u: connected", cl->number);
	put(cl, json_pack("{s:{s:s, s:i, s:i}}", "hvlab", "version", HVLAB_VERSION, "protocol",
			  CONTROL_PROTOCOL, "pid", (int)getpid()));
	if (c->n_clients > CONTROL_MAX_CLIENTS) {
		refuse(cl, NULL, CTL_BUSY, "close a connection", "too many connections");
		cl->hang_up = true;
		return;
	}
	event_add(cl->rd, NULL);
}

static void on_accept(evutil_socket_t fd, short what, void *arg)
{
	struct timeval tv = {.tv_sec = ACCEPT_AGAIN_MS / 1000};
	struct control *c = arg;
	int s = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)what;
	if (s >= 0) {
		client_new(c, s);
	} else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
		/* The connection stays in the queue: look again later, not at once and for ever. */
		log_err_rl("accept: %m");
		event_del(c->ev);
		evtimer_add(c->accept_again, &tv);
	}
}

static void on_accept_again(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	event_add(((struct control *)arg)->ev, NULL);
}

struct control *control_new(struct event_base *base, const char *path,
			    const struct control_cmd *const *cmds, size_t n, void *arg)
{
	struct control *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->base = base;
	c->cmds = cmds;
	c->n_cmds = n;
	c->arg = arg;
	c->fd = fd_unix_listen(path, CONTROL_MAX_CLIENTS);
	if (c->fd < 0) {
		errno = -c->fd;
		free(c);
		return NULL;
	}
	snprintf(c->path, sizeof(c->path), "%s", path);
	c->ev = event_new(base, c->fd, EV_READ | EV_PERSIST, on_accept, c);
	c->accept_again = evtimer_new(base, on_accept_again, c);
	if (!c->ev || !c->accept_again || event_add(c->ev, NULL)) {
		control_free(c);
		errno = ENOMEM;
		return NULL;
	}
	return c;
}

void control_free(struct control *c)
{
	if (!c)
		return;
	while (c->clients) {
		struct client *cl = c->clients;

		while (evbuffer_get_length(cl->out) && evbuffer_write(cl->out, cl->fd) > 0)
			;
		client_free(cl);
	}
	if (c->ev)
		event_free(c->ev);
	if (c->accept_again)
		event_free(c->accept_again);
	fd_close(&c->fd);
	unlink(c->path);
	free(c);
}

static json_t *describe(const struct control_cmd *cmd)
{
	return json_pack("{s:s, s:s, s:o, s:s, s:b, s:b}", "name", cmd->name, "doc", cmd->doc,
			 "arguments", args_schema(cmd->specs, cmd->n_specs), "returns",
			 cmd->returns, "slow", cmd->slow, "fd", cmd->fd);
}

json_t *control_list(const struct control *c)
{
	json_t *list = json_array();

	for (size_t i = 0; i < c->n_cmds; i++)
		for (const struct control_cmd *cmd = c->cmds[i]; cmd->name; cmd++)
			json_array_append_new(
				list, json_pack("{s:s, s:s}", "name", cmd->name, "doc", cmd->doc));
	return list;
}

json_t *control_schema(const struct control *c, const char *name)
{
	const struct control_cmd *one = name ? find_cmd(c, name) : NULL;
	json_t *list;

	if (name && !one)
		return NULL;
	list = json_array();
	if (one) {
		json_array_append_new(list, describe(one));
		return list;
	}
	for (size_t i = 0; i < c->n_cmds; i++)
		for (const struct control_cmd *cmd = c->cmds[i]; cmd->name; cmd++)
			json_array_append_new(list, describe(cmd));
	return list;
}

unsigned int control_n_clients(const struct control *c)
{
	return c->n_clients;
}
