/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns a fake etcd: a store of keys, leases, watchers, and the HTTP around them. */
#include "tests/lib/fake_etcd.h"

#include <arpa/inet.h>
#include <assert.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "host/base64.h"

#define MAX_CONNS 64
#define MAX_PATHS 8

struct conn {
	struct fake_etcd *e;
	struct bufferevent *bev;
	bool watching;
};

struct path {
	char name[48];
	unsigned int calls;
	bool rude, keep;
	void *bytes;
	size_t size;
};

struct fake_etcd {
	struct event_base *base;
	struct evconnlistener *listener;
	char url[48], token[64];
	struct conn conns[MAX_CONNS];
	struct path paths[MAX_PATHS];
	unsigned int n_paths;
	json_t *keys; /* {key: {"value", "rev", "lease"}} */
	int64_t revision, lease, next_lease;
};

static struct path *path_of(const struct fake_etcd *ce, const char *name)
{
	struct fake_etcd *e = (struct fake_etcd *)ce;

	for (unsigned int i = 0; i < e->n_paths; i++)
		if (!strcmp(e->paths[i].name, name))
			return &e->paths[i];
	assert(e->n_paths < MAX_PATHS);
	snprintf(e->paths[e->n_paths].name, sizeof(e->paths[0].name), "%s", name);
	return &e->paths[e->n_paths++];
}

static json_t *text64(const char *text)
{
	char *code = base64_encode(text, strlen(text));
	json_t *o = json_string(code);

	free(code);
	return o;
}

static json_t *number(int64_t n)
{
	char text[24];

	snprintf(text, sizeof(text), "%lld", (long long)n);
	return json_string(text);
}

static int64_t to_number(const json_t *o, const char *key)
{
	const char *text = json_string_value(json_object_get(o, key));

	return text ? strtoll(text, NULL, 10) : 0;
}

static json_t *header(const struct fake_etcd *e)
{
	return json_pack("{s:o}", "revision", number(e->revision));
}

static json_t *kv(const char *key, const json_t *entry, int64_t rev)
{
	return json_pack("{s:o, s:o, s:o, s:o}", "key", text64(key), "value",
			 text64(json_string_value(json_object_get(entry, "value"))), "lease",
			 number(json_integer_value(json_object_get(entry, "lease"))),
			 "mod_revision", number(rev));
}

/* ---- the store ---- */

void fake_etcd_say(struct fake_etcd *e, const char *text)
{
	for (unsigned int i = 0; i < MAX_CONNS; i++)
		if (e->conns[i].bev && e->conns[i].watching)
			evbuffer_add_printf(bufferevent_get_output(e->conns[i].bev),
					    "%zx\r\n%s\r\n", strlen(text), text);
}

static void say_object(struct fake_etcd *e, json_t *o)
{
	char *text = json_dumps(o, JSON_COMPACT), *line = malloc(strlen(text) + 2);

	sprintf(line, "%s\n", text);
	fake_etcd_say(e, line);
	free(line);
	free(text);
	json_decref(o);
}

int64_t fake_etcd_put(struct fake_etcd *e, const char *key, const char *value, int64_t lease)
{
	json_t *entry = json_pack("{s:s, s:I, s:I}", "value", value, "rev",
				  (json_int_t)++e->revision, "lease", (json_int_t)lease);

	json_object_set_new(e->keys, key, entry);
	say_object(e, json_pack("{s:{s:o, s:[{s:o}]}}", "result", "header", header(e), "events",
				"kv", kv(key, entry, e->revision)));
	return e->revision;
}

int64_t fake_etcd_del(struct fake_etcd *e, const char *key)
{
	if (json_object_del(e->keys, key))
		return e->revision;
	e->revision++;
	say_object(e, json_pack("{s:{s:o, s:[{s:s, s:{s:o, s:o}}]}}", "result", "header", header(e),
				"events", "type", "DELETE", "kv", "key", text64(key),
				"mod_revision", number(e->revision)));
	return e->revision;
}

const char *fake_etcd_get(const struct fake_etcd *e, const char *key)
{
	return json_string_value(json_object_get(json_object_get(e->keys, key), "value"));
}

size_t fake_etcd_keys(const struct fake_etcd *e)
{
	return json_object_size(e->keys);
}

void fake_etcd_expire(struct fake_etcd *e, int64_t lease)
{
	const char *key;
	json_t *entry;
	void *next;

	if (e->lease == lease)
		e->lease = 0;
	json_object_foreach_safe(e->keys, next, key, entry) if (json_integer_value(json_object_get(
									entry, "lease")) == lease)
	{
		char *copy = strdup(key);

		fake_etcd_del(e, copy);
		free(copy);
	}
}

void fake_etcd_wipe(struct fake_etcd *e)
{
	json_object_clear(e->keys);
	e->revision = 1;
	e->lease = 0;
}

int64_t fake_etcd_lease(const struct fake_etcd *e)
{
	return e->lease;
}

/* ---- calls ---- */

static char *decode(const json_t *o, const char *key)
{
	const char *text = json_string_value(json_object_get(o, key));
	size_t size;

	return base64_decode(text ? text : "", &size);
}

/* What the transaction asks to compare is the lease of a key. */
static bool compares(const struct fake_etcd *e, const json_t *body)
{
	json_t *c, *list = json_object_get(body, "compare");
	bool equal = true;
	size_t i;

	json_array_foreach (list, i, c) {
		char *key = decode(c, "key");
		const json_t *entry = json_object_get(e->keys, key);

		equal = equal && json_integer_value(json_object_get(entry, "lease")) ==
					 to_number(c, "lease");
		free(key);
	}
	return equal;
}

static json_t *txn(struct fake_etcd *e, const json_t *body)
{
	json_t *op;
	size_t i;

	if (!compares(e, body))
		return json_pack("{s:o}", "header", header(e));
	json_array_foreach (json_object_get(body, "success"), i, op) {
		const json_t *put = json_object_get(op, "requestPut");
		const json_t *del = json_object_get(op, "requestDeleteRange");
		char *key = decode(put ? put : del, "key"), *value = decode(put, "value");

		if (put && to_number(put, "lease") != e->lease) {
			free(key);
			free(value);
			return NULL;
		}
		if (put)
			fake_etcd_put(e, key, value, to_number(put, "lease"));
		else
			fake_etcd_del(e, key);
		free(key);
		free(value);
	}
	return json_pack("{s:o, s:b}", "header", header(e), "succeeded", true);
}

static json_t *range(const struct fake_etcd *e)
{
	json_t *list = json_array(), *entry;
	const char *key;

	json_object_foreach (e->keys, key, entry)
		json_array_append_new(
			list, kv(key, entry, json_integer_value(json_object_get(entry, "rev"))));
	return json_pack("{s:o, s:o}", "header", header(e), "kvs", list);
}

static json_t *answer(struct fake_etcd *e, const char *path, const json_t *body)
{
	if (!strcmp(path, "/v3/auth/authenticate"))
		return json_pack("{s:s}", "token", "key.1");
	if (!strcmp(path, "/v3/lease/grant")) {
		e->lease = ++e->next_lease;
		return json_pack("{s:o, s:s}", "ID", number(e->lease), "TTL", "2");
	}
	if (!strcmp(path, "/v3/lease/keepalive"))
		return to_number(body, "ID") == e->lease && e->lease
			       ? json_pack("{s:{s:o, s:s}}", "result", "ID", number(e->lease),
					   "TTL", "2")
			       : json_pack("{s:{s:o}}", "result", "ID",
					   number(to_number(body, "ID")));
	if (!strcmp(path, "/v3/lease/revoke")) {
		fake_etcd_expire(e, to_number(body, "ID"));
		return json_object();
	}
	if (!strcmp(path, "/v3/kv/txn"))
		return txn(e, body);
	return range(e);
}

/* ---- HTTP ---- */

static void drop(struct conn *c)
{
	if (c->bev)
		bufferevent_free(c->bev);
	c->bev = NULL;
	c->watching = false;
}

static void on_sent(struct bufferevent *bev, void *arg)
{
	(void)bev;
	drop(arg);
}

static void end(struct conn *c)
{
	bufferevent_setcb(c->bev, NULL, on_sent, NULL, c);
}

static void serve(struct conn *c, const char *name, const json_t *body)
{
	struct evbuffer *out = bufferevent_get_output(c->bev);
	struct path *path = path_of(c->e, name);
	json_t *o;
	char *text;

	path->calls++;
	if (path->rude) {
		evbuffer_add(out, path->bytes, path->size);
		if (!path->keep && !path->size)
			drop(c);
		else if (!path->keep)
			end(c);
		return;
	}
	if (!strcmp(name, "/v3/watch")) {
		evbuffer_add_printf(out, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
		c->watching = true;
		text = strdup("{\"result\":{\"header\":{\"revision\":\"1\"},\"created\":true}}\n");
		evbuffer_add_printf(out, "%zx\r\n%s\r\n", strlen(text), text);
		free(text);
		return;
	}
	o = answer(c->e, name, body);
	text = o ? json_dumps(o, JSON_COMPACT)
		 : strdup("{\"error\":\"etcdserver: requested lease not found\",\"code\":5}");
	evbuffer_add_printf(out, "HTTP/1.1 %s\r\nContent-Length: %zu\r\n\r\n%s",
			    o ? "200 OK" : "404 Not Found", strlen(text), text);
	free(text);
	json_decref(o);
	end(c);
}

static void on_read(struct bufferevent *bev, void *arg)
{
	struct evbuffer *in = bufferevent_get_input(bev);
	size_t size = evbuffer_get_length(in), length;
	struct conn *c = arg;
	char *text = malloc(size + 1), *end_of_head, *at, path[48];
	json_t *body;

	evbuffer_copyout(in, text, size);
	text[size] = '\0';
	end_of_head = strstr(text, "\r\n\r\n");
	at = end_of_head ? strstr(text, "Content-Length: ") : NULL;
	length = at ? strtoul(at + 16, NULL, 10) : 0;
	if (!end_of_head || size < (size_t)(end_of_head + 4 - text) + length) {
		free(text);
		return;
	}
	assert(sscanf(text, "POST %47s HTTP/1.1", path) == 1);
	at = strstr(text, "Authorization: ");
	c->e->token[0] = '\0';
	if (at)
		sscanf(at + 15, "%63[^\r]", c->e->token);
	body = json_loads(end_of_head + 4, 0, NULL);
	assert(body);
	evbuffer_drain(in, size);
	serve(c, path, body);
	json_decref(body);
	free(text);
}

static void on_end(struct bufferevent *bev, short what, void *arg)
{
	(void)bev;
	(void)what;
	drop(arg);
}

static void on_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *sa, int len,
		      void *arg)
{
	struct fake_etcd *e = arg;
	struct conn *c = NULL;

	(void)l;
	(void)sa;
	(void)len;
	for (unsigned int i = 0; i < MAX_CONNS && !c; i++)
		if (!e->conns[i].bev)
			c = &e->conns[i];
	assert(c);
	c->e = e;
	c->watching = false;
	c->bev = bufferevent_socket_new(e->base, fd, BEV_OPT_CLOSE_ON_FREE);
	bufferevent_setcb(c->bev, on_read, NULL, on_end, c);
	bufferevent_enable(c->bev, EV_READ | EV_WRITE);
}

/* ---- the test's side ---- */

void fake_etcd_answer(struct fake_etcd *e, const char *path, const void *bytes, size_t size,
		      bool keep)
{
	struct path *p = path_of(e, path);

	free(p->bytes);
	p->bytes = NULL;
	p->rude = bytes != NULL;
	p->size = size;
	p->keep = keep;
	if (bytes) {
		p->bytes = malloc(size ? size : 1);
		memcpy(p->bytes, bytes, size);
	}
}

void fake_etcd_hang_up(struct fake_etcd *e)
{
	for (unsigned int i = 0; i < MAX_CONNS; i++)
		if (e->conns[i].watching)
			drop(&e->conns[i]);
}

unsigned int fake_etcd_watchers(const struct fake_etcd *e)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < MAX_CONNS; i++)
		n += e->conns[i].watching;
	return n;
}

unsigned int fake_etcd_calls(const struct fake_etcd *e, const char *path)
{
	return path_of(e, path)->calls;
}

const char *fake_etcd_token(const struct fake_etcd *e)
{
	return e->token;
}

const char *fake_etcd_url(const struct fake_etcd *e)
{
	return e->url;
}

void fake_etcd_stop(struct fake_etcd *e, bool stop)
{
	struct sockaddr_in sin = {.sin_family = AF_INET};
	socklen_t len = sizeof(sin);

	if (stop) {
		evconnlistener_free(e->listener);
		e->listener = NULL;
		for (unsigned int i = 0; i < MAX_CONNS; i++)
			drop(&e->conns[i]);
		return;
	}
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (*e->url)
		sin.sin_port = htons((uint16_t)atoi(strrchr(e->url, ':') + 1));
	e->listener = evconnlistener_new_bind(e->base, on_accept, e,
					      LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE, 16,
					      (struct sockaddr *)&sin, sizeof(sin));
	assert(e->listener);
	getsockname(evconnlistener_get_fd(e->listener), (struct sockaddr *)&sin, &len);
	snprintf(e->url, sizeof(e->url), "http://127.0.0.1:%u", ntohs(sin.sin_port));
}

struct fake_etcd *fake_etcd_new(struct event_base *base)
{
	struct fake_etcd *e = calloc(1, sizeof(*e));

	e->base = base;
	e->keys = json_object();
	e->revision = 1;
	e->next_lease = 1000;
	fake_etcd_stop(e, false);
	return e;
}

void fake_etcd_free(struct fake_etcd *e)
{
	if (e->listener)
		fake_etcd_stop(e, true);
	for (unsigned int i = 0; i < e->n_paths; i++)
		free(e->paths[i].bytes);
	json_decref(e->keys);
	free(e);
}
