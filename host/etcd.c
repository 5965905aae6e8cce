/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns HTTP to an etcd: one connection per call, by libevent's client.
 *
 * A call may be ended from inside its own callbacks, where libevent still uses the connection. So
 * ending only marks it, and an event of our own frees what is marked. The same event tells of a
 * call that failed before it was even made, which libevent does at once.
 */
#include "host/etcd.h"

#include <arpa/inet.h>
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/dns.h>
#include <event2/http.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "host/base64.h"

#define MAX_HEADERS 16384
#define STREAM_MS   (30u * 24 * 3600 * 1000) /* a watch is silent for as long as nothing happens */
#define HOST_MAX    256

struct etcd {
	struct event_base *base;
	struct evdns_base *dns; /* for names; made when the first is needed */
	struct event *reap;
	struct etcd_call *calls;
	char host[HOST_MAX], authority[HOST_MAX + 8], *token;
	uint16_t port;
};

struct etcd_call {
	struct etcd *e;
	struct etcd_call *next;
	struct evhttp_connection *conn;
	etcd_object_fn object; /* NULL: no stream */
	etcd_done_fn done;
	void *arg;
	bool dead;
	bool starting, early; /* it failed within start(), with early_rc and early_why */
	int early_rc;
	char early_why[ETCD_WHY_SIZE];
	enum evhttp_request_error error;
	bool failed, too_long;
	char authority[HOST_MAX + 8];
	struct evbuffer *line; /* of a stream, what came of the next object */
};

/* ---- life ---- */

static void call_free(struct etcd_call *c)
{
	evhttp_connection_free(c->conn);
	if (c->line)
		evbuffer_free(c->line);
	free(c);
}

static void on_reap(evutil_socket_t fd, short what, void *arg)
{
	struct etcd *e = arg;

	(void)fd;
	(void)what;
	for (struct etcd_call *c = e->calls; c;) {
		if (c->early && !c->dead) {
			c->dead = true;
			c->done(c->arg, c->early_rc, NULL, c->early_why);
			c = e->calls; /* it may have made others */
		} else {
			c = c->next;
		}
	}
	for (struct etcd_call **at = &e->calls; *at;) {
		struct etcd_call *c = *at;

		if (!c->dead) {
			at = &c->next;
			continue;
		}
		*at = c->next;
		call_free(c);
	}
}

struct etcd *etcd_new(struct event_base *base)
{
	struct etcd *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->base = base;
	e->reap = evtimer_new(base, on_reap, e);
	if (e->reap)
		return e;
	free(e);
	errno = ENOMEM;
	return NULL;
}

void etcd_free(struct etcd *e)
{
	if (!e)
		return;
	while (e->calls) {
		struct etcd_call *c = e->calls;

		e->calls = c->next;
		call_free(c);
	}
	event_free(e->reap);
	if (e->dns)
		evdns_base_free(e->dns, 0);
	free(e->token);
	free(e);
}

int etcd_set_endpoint(struct etcd *e, const char *url)
{
	const char *at = url + strlen("http://"), *colon = strrchr(url, ':');
	bool six = strncmp(url, "http://[", 8) == 0;
	size_t len;
	long port;

	if (strncmp(url, "http://", strlen("http://")) != 0 || !colon || colon < at)
		return -EINVAL;
	len = (size_t)(colon - at) - (six ? 2 : 0);
	port = strtol(colon + 1, NULL, 10);
	if (!len || len >= sizeof(e->host) || port < 1 || port > 65535)
		return -EINVAL;
	snprintf(e->host, sizeof(e->host), "%.*s", (int)len, at + six);
	snprintf(e->authority, sizeof(e->authority), "%.*s", (int)sizeof(e->authority) - 1, at);
	e->port = (uint16_t)port;
	return 0;
}

int etcd_set_token(struct etcd *e, const char *token)
{
	char *copy = token ? strdup(token) : NULL;

	if (token && !copy)
		return -ENOMEM;
	free(e->token);
	e->token = copy;
	return 0;
}

void etcd_cancel(struct etcd_call *c)
{
	if (!c || c->dead)
		return;
	c->dead = true;
	event_active(c->e->reap, EV_TIMEOUT, 1);
}

/* ---- answers ---- */

static void finish(struct etcd_call *c, int rc, json_t *answer, const char *fmt, ...)
	PRINTF_LIKE(4, 5);

static void finish(struct etcd_call *c, int rc, json_t *answer, const char *fmt, ...)
{
	char text[ETCD_WHY_SIZE] = "", why[ETCD_WHY_SIZE] = "";
	va_list ap;

	if (c->dead)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (rc)
		snprintf(why, sizeof(why), "%.60s: %.130s", c->authority, text);
	/* Foreign words. */
	for (char *p = why; *p; p++)
		if (!isascii(*p) || !isprint(*p))
			*p = '?';
	if (c->starting) {
		c->early = true;
		c->early_rc = rc;
		memcpy(c->early_why, why, sizeof(c->early_why));
		event_active(c->e->reap, EV_TIMEOUT, 1);
		return;
	}
	etcd_cancel(c);
	c->done(c->arg, rc, answer, why);
}

static void broken(struct etcd_call *c)
{
	static const struct {
		enum evhttp_request_error error;
		int rc;
		const char *text;
	} table[] = {
		{EVREQ_HTTP_TIMEOUT, -ETIMEDOUT, "no answer in time"},
		{EVREQ_HTTP_EOF, -ECONNRESET, "the connection ended before the answer"},
		{EVREQ_HTTP_INVALID_HEADER, -EPROTO, "the answer is not HTTP"},
		{EVREQ_HTTP_BUFFER_ERROR, -ECONNRESET, "the connection broke"},
		{EVREQ_HTTP_DATA_TOO_LONG, -EMSGSIZE, "the answer is too long"},
	};

	if (c->object && c->error == EVREQ_HTTP_DATA_TOO_LONG && c->failed && !c->too_long) {
		finish(c, 0, NULL, "%s", "");
		return;
	}
	for (unsigned int i = 0; c->failed && i < ARRAY_SIZE(table); i++)
		if (table[i].error == c->error) {
			finish(c, table[i].rc, NULL, "%s", table[i].text);
			return;
		}
	finish(c, -ECONNREFUSED, NULL, "no connection");
}

/* The gateway's error object, {"error": TEXT, "code": N} or {"error": {"message": TEXT}}. */
static void refused(struct etcd_call *c, int status, const json_t *o)
{
	const json_t *error = json_object_get(o, "error");
	const char *text = json_string_value(json_object_get(o, "message"));

	if (json_is_string(error))
		text = json_string_value(error);
	else if (json_is_object(error))
		text = json_string_value(json_object_get(error, "message"));
	finish(c, status == 401 || (text && strstr(text, "auth token")) ? -EACCES : -EREMOTEIO,
	       NULL, "%s (HTTP status %d)", text ? text : "refused", status);
}

static json_t *parse(struct evbuffer *buf, size_t size, json_error_t *err)
{
	const char *data = size ? (const char *)evbuffer_pullup(buf, (ev_ssize_t)size) : "";

	/* The gateway ends each object with a line feed; what follows the first is not wanted. */
	return data ? json_loadb(data, size, JSON_DISABLE_EOF_CHECK, err) : NULL;
}

static void on_done(struct evhttp_request *req, void *arg)
{
	struct etcd_call *c = arg;
	int status = req ? evhttp_request_get_response_code(req) : 0;
	struct evbuffer *body;
	json_error_t err = {0};
	json_t *o;

	if (c->dead)
		return;
	if (!req || !status || c->failed) {
		broken(c);
		return;
	}
	if (c->object && status == 200) {
		finish(c, 0, NULL, "%s", "");
		return;
	}
	body = evhttp_request_get_input_buffer(req);
	o = parse(body, evbuffer_get_length(body), &err);
	if (status != 200)
		refused(c, status, o);
	else if (!json_is_object(o))
		finish(c, -EPROTO, NULL, "the answer is not JSON: %s",
		       o ? "not an object" : err.text);
	else if (json_object_get(o, "error"))
		refused(c, status, o);
	else
		finish(c, 0, o, "%s", "");
	json_decref(o);
}

static void on_error(enum evhttp_request_error error, void *arg)
{
	struct etcd_call *c = arg;

	c->error = error;
	c->failed = true;
}

/* A stream: take out whole lines. */
static void on_chunk(struct evhttp_request *req, void *arg)
{
	struct evbuffer *in = evhttp_request_get_input_buffer(req);
	struct etcd_call *c = arg;
	json_error_t err = {0};

	if (c->dead || evhttp_request_get_response_code(req) != 200)
		return; /* kept for on_done() */
	if (evbuffer_add_buffer(c->line, in)) {
		finish(c, -ENOMEM, NULL, "out of memory");
		return;
	}
	while (!c->dead) {
		struct evbuffer_ptr eol = evbuffer_search_eol(c->line, NULL, NULL, EVBUFFER_EOL_LF);
		json_t *o;

		if (eol.pos < 0 && evbuffer_get_length(c->line) > ETCD_MAX_LINE)
			finish(c, -EMSGSIZE, NULL, "a line of the stream is too long");
		if (eol.pos < 0)
			return;
		o = parse(c->line, (size_t)eol.pos, &err);
		evbuffer_drain(c->line, (size_t)eol.pos + 1);
		if (!json_is_object(o))
			finish(c, -EPROTO, NULL, "the stream is not JSON: %s",
			       o ? "not an object" : err.text);
		else if (json_object_get(o, "error"))
			refused(c, 200, o);
		else
			c->object(c->arg, o);
		json_decref(o);
	}
}

/* ---- calls ---- */

/* Name servers are asked only where a name was given. */
static struct evdns_base *resolver(struct etcd *e)
{
	struct in6_addr a;

	if (inet_pton(AF_INET, e->host, &a) == 1 || inet_pton(AF_INET6, e->host, &a) == 1)
		return NULL;
	if (!e->dns)
		e->dns = evdns_base_new(e->base, EVDNS_BASE_INITIALIZE_NAMESERVERS |
							 EVDNS_BASE_DISABLE_WHEN_INACTIVE);
	return e->dns;
}

static struct evhttp_request *make_request(struct etcd_call *c, const char *text)
{
	struct evhttp_request *req = evhttp_request_new(on_done, c);
	struct evkeyvalq *headers;
	struct etcd *e = c->e;

	if (!req)
		return NULL;
	evhttp_request_set_error_cb(req, on_error);
	if (c->object)
		evhttp_request_set_chunked_cb(req, on_chunk);
	headers = evhttp_request_get_output_headers(req);
	if (evhttp_add_header(headers, "Host", e->authority) ||
	    evhttp_add_header(headers, "Content-Type", "application/json") ||
	    evhttp_add_header(headers, "Connection", "close") ||
	    (e->token && evhttp_add_header(headers, "Authorization", e->token)) ||
	    evbuffer_add(evhttp_request_get_output_buffer(req), text, strlen(text))) {
		evhttp_request_free(req);
		return NULL;
	}
	return req;
}

static struct etcd_call *call_new(struct etcd *e, unsigned int timeout_ms, etcd_object_fn object,
				  etcd_done_fn done, void *arg)
{
	struct timeval tv = {.tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000};
	struct etcd_call *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	*c = (struct etcd_call){.e = e, .object = object, .done = done, .arg = arg};
	snprintf(c->authority, sizeof(c->authority), "%s", e->authority);
	c->line = object ? evbuffer_new() : NULL;
	c->conn = object && !c->line
			  ? NULL
			  : evhttp_connection_base_new(e->base, resolver(e), e->host, e->port);
	if (!c->conn) {
		if (c->line)
			evbuffer_free(c->line);
		free(c);
		return NULL;
	}
	evhttp_connection_set_timeout_tv(c->conn, &tv);
	evhttp_connection_set_max_headers_size(c->conn, MAX_HEADERS);
	evhttp_connection_set_max_body_size(c->conn, object ? ETCD_MAX_STREAM : ETCD_MAX_ANSWER);
	return c;
}

static struct etcd_call *start(struct etcd *e, const char *path, json_t *body,
			       unsigned int timeout_ms, etcd_object_fn object, etcd_done_fn done,
			       void *arg)
{
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	struct etcd_call *c = text ? call_new(e, timeout_ms, object, done, arg) : NULL;
	struct evhttp_request *req = c ? make_request(c, text) : NULL;

	json_decref(body);
	free(text);
	/* It is in the list first: a failure may call back at once, and mark it. */
	if (c) {
		c->next = e->calls;
		e->calls = c;
	}
	if (c)
		c->starting = true;
	if (req && !evhttp_make_request(c->conn, req, EVHTTP_REQ_POST, path)) {
		c->starting = false;
		return c;
	}
	if (c) {
		c->dead = true;
		event_active(e->reap, EV_TIMEOUT, 1);
	}
	errno = ENOMEM;
	return NULL;
}

struct etcd_call *etcd_post(struct etcd *e, const char *path, json_t *body, unsigned int timeout_ms,
			    etcd_done_fn done, void *arg)
{
	return start(e, path, body, timeout_ms, NULL, done, arg);
}

struct etcd_call *etcd_stream(struct etcd *e, const char *path, json_t *body, etcd_object_fn object,
			      etcd_done_fn done, void *arg)
{
	return start(e, path, body, STREAM_MS, object, done, arg);
}

/* ---- words of the gateway's JSON ---- */

int64_t etcd_number(const json_t *o, const char *key)
{
	const char *text = json_string_value(json_object_get(o, key));
	char *end;
	long long v;

	if (!text)
		return -1;
	errno = 0;
	v = strtoll(text, &end, 10);
	return *text && !*end && !errno && v >= 0 ? v : -1;
}

json_t *etcd_bytes(const char *text)
{
	char *code = base64_encode(text, strlen(text));
	json_t *o = code ? json_string(code) : NULL;

	free(code);
	return o;
}
