/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the etcd registry: what this host writes under its lease, and what it hears of the others.
 *
 *	log in --> lease --> write --> read all --> watch --> SYNCED
 *	   ^      (kept or    (what is           (from the revision that was read)
 *	   |       granted)    not there yet)
 *	   \---- after a while, at the next endpoint ---- any failure: LOST
 *
 * While SYNCED a beat each third of the lease keeps it, and writes what has changed here. A watch
 * that etcd ends because the revision was compacted, and one that ended as streams do, leads back
 * to "read all". Everything else is a failure.
 *
 * All of our keys hang on the lease. A key that another host has written since hangs on its lease,
 * and is neither deleted by the end of ours nor by us: deletions compare the lease.
 *
 * After a failure the registry may have lost more than we have. So what is missing when it is back
 * is kept for as long as its host needs to come back too.
 */
#define LOG_TAG "fabric"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "host/base64.h"
#include "host/etcd.h"
#include "host/fabric_internal.h"

#define CALL_MS	       3000
#define BACKOFF_MIN_MS 500
#define BACKOFF_MAX_MS 8000
#define OPS_MAX	       64 /* of one transaction; etcd allows 128 */
#define PASSWORD_MAX   256
#define LEASE_TEXT     24

struct session {
	struct fabric *f;
	const struct lab_etcd *conf;
	struct etcd *http;
	unsigned int endpoint, backoff_ms;
	struct event *retry, *beat;
	struct etcd_call *call, *watch;
	char lease[LEASE_TEXT]; /* "": none */
	int64_t revision;	/* all up to it is known */
	bool synced_once, watching, dirty;
	json_t *written;  /* {key: value} under our lease, as far as we know */
	json_t *writing;  /* {key: value, or null for a deletion} of the transaction under way */
	uint64_t ignored; /* keys and values that mean nothing */
	uint64_t resyncs;
	bool doubled; /* another daemon says that it is this host */
};

static void step_login(struct session *s);
static void step_lease(struct session *s);
static void step_write(struct session *s);
static void step_read(struct session *s);

static struct timeval ms_tv(unsigned int ms)
{
	return (struct timeval){.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
}

/* ---- failure ---- */

static void drop_calls(struct session *s)
{
	etcd_cancel(s->call);
	etcd_cancel(s->watch);
	s->call = s->watch = NULL;
	s->watching = false;
	evtimer_del(s->beat);
	json_decref(s->writing);
	s->writing = NULL;
}

static void fail(struct session *s, const char *why)
{
	struct timeval tv;

	drop_calls(s);
	fabric_set_state(s->f, s->synced_once ? FABRIC_LOST : FABRIC_CONNECTING, why,
			 s->backoff_ms);
	tv = ms_tv(s->backoff_ms);
	evtimer_add(s->retry, &tv);
	s->backoff_ms = MIN(s->backoff_ms * 2, BACKOFF_MAX_MS);
	s->endpoint = (s->endpoint + 1) % s->conf->n_endpoints;
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
	struct session *s = arg;

	(void)fd;
	(void)what;
	step_login(s);
}

/* One call at a time; the watch runs beside it. */
static void post(struct session *s, const char *path, json_t *body, etcd_done_fn done)
{
	s->call = body ? etcd_post(s->http, path, body, CALL_MS, done, s) : NULL;
	if (!s->call)
		fail(s, "out of memory");
}

/* The call is over. True: it went well. */
static bool answered(struct session *s, int rc, const char *why)
{
	s->call = NULL;
	if (rc == -EACCES)
		etcd_set_token(s->http, NULL);
	if (rc)
		fail(s, why);
	return !rc;
}

/* Of a key behind the prefix. */
static json_t *key_json(const struct session *s, const char *key)
{
	char full[LAB_ETCD_PREFIX_MAX + FABRIC_KEY_MAX];

	snprintf(full, sizeof(full), "%s%s", s->conf->prefix, key);
	return etcd_bytes(full);
}

/* ---- log in ---- */

static void on_login(void *arg, int rc, json_t *answer, const char *why)
{
	const char *token = json_string_value(json_object_get(answer, "token"));
	struct session *s = arg;

	if (!answered(s, rc, why))
		return;
	if (!token || strlen(token) > 4096 || strpbrk(token, "\r\n") ||
	    etcd_set_token(s->http, token)) {
		fail(s, "etcd gave no token");
		return;
	}
	step_lease(s);
}

static int read_password(const char *path, char out[PASSWORD_MAX])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	ssize_t n = fd < 0 ? -1 : read(fd, out, PASSWORD_MAX - 1);
	int rc = n < 0 ? -errno : 0;

	fd_close(&fd);
	if (rc)
		return rc;
	out[n] = '\0';
	out[strcspn(out, "\r\n")] = '\0';
	return *out ? 0 : -ENODATA;
}

static void step_login(struct session *s)
{
	char password[PASSWORD_MAX], why[ETCD_WHY_SIZE];
	int rc;

	etcd_set_endpoint(s->http, s->conf->endpoints[s->endpoint]);
	if (!*s->conf->user) {
		step_lease(s);
		return;
	}
	rc = read_password(s->conf->password_file, password);
	if (rc) {
		snprintf(why, sizeof(why), "password_file %.120s: %s", s->conf->password_file,
			 rc == -ENODATA ? "it is empty" : strerror(-rc));
		fail(s, why);
		return;
	}
	etcd_set_token(s->http, NULL);
	post(s, "/v3/auth/authenticate",
	     json_pack("{s:s, s:s}", "name", s->conf->user, "password", password), on_login);
	explicit_bzero(password, sizeof(password));
}

/* ---- the lease ---- */

static void forget_lease(struct session *s)
{
	s->lease[0] = '\0';
	json_object_clear(s->written);
}

static void on_grant(void *arg, int rc, json_t *answer, const char *why)
{
	struct session *s = arg;

	if (!answered(s, rc, why))
		return;
	if (etcd_number(answer, "ID") <= 0) {
		fail(s, "etcd granted no lease");
		return;
	}
	snprintf(s->lease, sizeof(s->lease), "%lld", (long long)etcd_number(answer, "ID"));
	step_write(s);
}

static void grant(struct session *s)
{
	char ttl[16];

	snprintf(ttl, sizeof(ttl), "%u", s->conf->lease_seconds);
	post(s, "/v3/lease/grant", json_pack("{s:s}", "TTL", ttl), on_grant);
}

static void on_kept(void *arg, int rc, json_t *answer, const char *why)
{
	const json_t *result = json_object_get(answer, "result");
	struct session *s = arg;

	if (!answered(s, rc, why))
		return;
	/* An ended lease has no TTL. We were away for too long, and the others took us for dead. */
	if (etcd_number(result, "TTL") <= 0) {
		log_warn("the lease of this host had ended: it registers again");
		forget_lease(s);
		grant(s);
		return;
	}
	step_write(s);
}

static void step_lease(struct session *s)
{
	if (*s->lease)
		post(s, "/v3/lease/keepalive", json_pack("{s:s}", "ID", s->lease), on_kept);
	else
		grant(s);
}

static void on_beat(evutil_socket_t fd, short what, void *arg)
{
	struct session *s = arg;

	(void)fd;
	(void)what;
	if (!s->watching && s->watch)
		fail(s, "etcd did not begin to tell of changes");
	else if (!s->call)
		step_lease(s);
}

/* ---- what we write ---- */

static int want(json_t *all, char *key, char *value)
{
	int rc = key && value ? json_object_set_new(all, key, json_string(value)) : -1;

	free(key);
	free(value);
	return rc;
}

/* {key: value} of all that is here; NULL: out of memory. */
static json_t *wanted(const struct session *s)
{
	const struct lab *lab = fabric_conf(s->f)->lab;
	const char *host = lab->fabric.hosts[lab->here].name;
	json_t *all = json_object();
	const struct fabric_guest *own;
	unsigned int n;
	int rc;

	own = fabric_own(s->f, &n);
	rc = want(all, fabric_host_key(host), fabric_host_value(lab));
	for (unsigned int i = 0; !rc && i < n; i++)
		rc = want(all, fabric_guest_key(lab, &own[i]), fabric_guest_value(host, &own[i]));
	if (!rc)
		return all;
	json_decref(all);
	return NULL;
}

/* One that is written and no longer wanted; NULL: none. */
static const char *surplus(const struct session *s, const json_t *all)
{
	const char *key;
	json_t *v;

	json_object_foreach (s->written, key, v)
		if (!json_object_get(all, key))
			return key;
	return NULL;
}

static json_t *put_op(const struct session *s, const char *key, const char *value)
{
	return json_pack("{s:{s:o, s:o, s:s}}", "requestPut", "key", key_json(s, key), "value",
			 etcd_bytes(value), "lease", s->lease);
}

/* The next transaction, its meaning in s->writing. NULL: nothing is to be written. */
static json_t *next_txn(struct session *s, json_t *all)
{
	json_t *ops = json_array(), *v;
	const char *key = surplus(s, all);

	s->writing = json_object();
	if (key) {
		json_object_set_new(s->writing, key, json_null());
		json_array_append_new(
			ops, json_pack("{s:{s:o}}", "requestDeleteRange", "key", key_json(s, key)));
		return json_pack("{s:[{s:s, s:s, s:o, s:s}], s:o}", "compare", "target", "LEASE",
				 "result", "EQUAL", "key", key_json(s, key), "lease", s->lease,
				 "success", ops);
	}
	json_object_foreach (all, key, v) {
		if (json_array_size(ops) == OPS_MAX)
			break;
		if (json_equal(json_object_get(s->written, key), v))
			continue;
		json_object_set(s->writing, key, v);
		json_array_append_new(ops, put_op(s, key, json_string_value(v)));
	}
	if (json_array_size(ops))
		return json_pack("{s:o}", "success", ops);
	json_decref(ops);
	json_decref(s->writing);
	s->writing = NULL;
	return NULL;
}

static void on_written(void *arg, int rc, json_t *answer, const char *why)
{
	struct session *s = arg;
	const char *key;
	json_t *v;

	/* Our lease may have ended between the beat and this. */
	if (rc == -EREMOTEIO && strstr(why, "lease not found"))
		forget_lease(s);
	if (!answered(s, rc, why))
		return;
	(void)answer;
	json_object_foreach (s->writing, key, v) {
		if (json_is_null(v))
			json_object_del(s->written, key);
		else
			json_object_set(s->written, key, v);
	}
	json_decref(s->writing);
	s->writing = NULL;
	step_write(s);
}

static void rest(struct session *s)
{
	struct timeval tv = ms_tv(s->conf->lease_seconds * 1000 / 3);

	fabric_set_state(s->f, FABRIC_SYNCED, NULL, 0);
	evtimer_add(s->beat, &tv);
}

static void step_write(struct session *s)
{
	json_t *all = wanted(s), *txn;

	s->dirty = false;
	if (!all) {
		fail(s, "out of memory");
		return;
	}
	txn = next_txn(s, all);
	json_decref(all);
	if (txn)
		post(s, "/v3/kv/txn", txn, on_written);
	else if (s->watching)
		rest(s);
	else
		step_read(s);
}

static void announce(struct fabric *f)
{
	struct session *s = *fabric_private(f);

	if (!s)
		return;
	s->dirty = true;
	/* Else what is under way comes to it: step_write() looks at all. */
	if (s->watching && !s->call) {
		evtimer_del(s->beat);
		step_write(s);
	}
}

/* ---- what the others write ---- */

static void ignore(struct session *s, const char *key, const char *why)
{
	s->ignored++;
	log_warn_rl("etcd key %.200s%.200s: %s", s->conf->prefix, key, why);
}

static void take_host(struct session *s, const char *name, const char *value, size_t size,
		      uint64_t rev, bool ours)
{
	const struct lab *lab = fabric_conf(s->f)->lab;
	struct fabric_part *parts = calloc(lab->n_nets, sizeof(*parts));
	char why[200] = "out of memory";
	uint8_t addr[16], addr6[16];
	int rc = -ENOMEM;

	if (!strcmp(name, lab->fabric.hosts[lab->here].name)) {
		if (!ours && !s->doubled)
			log_err("another daemon has registered itself as host %s", name);
		s->doubled = !ours;
		free(parts);
		return;
	}
	if (parts)
		rc = fabric_host_parse(lab, value, size, addr, addr6, parts, why, sizeof(why));
	if (!rc)
		rc = fabric_host_put(s->f, name, addr, addr6, parts, FABRIC_HOST_ALIVE, rev);
	if (rc)
		ignore(s, name, rc == -ENOSPC ? "there are too many hosts" : why);
	free(parts);
}

static void take_guest(struct session *s, struct fabric_guest *g, const char *value, size_t size)
{
	const struct lab *lab = fabric_conf(s->f)->lab;
	char host[LAB_NAME_MAX + 1], why[200] = "";
	int rc = fabric_guest_parse(value, size, host, g, why, sizeof(why));

	if (!rc && !strcmp(host, lab->fabric.hosts[lab->here].name)) {
		fabric_guest_del(s->f, g->net, g->mac, g->rev);
		return;
	}
	if (!rc)
		rc = fabric_guest_put(s->f, g, host);
	if (rc)
		ignore(s, "/guests", rc == -ENOSPC ? "there are too many" : why);
}

/* A key-value of etcd, put or deleted. */
static void take(struct session *s, const json_t *kv, bool deleted)
{
	const struct lab *lab = fabric_conf(s->f)->lab;
	const char *key64 = json_string_value(json_object_get(kv, "key"));
	const char *value64 = json_string_value(json_object_get(kv, "value"));
	const char *lease = json_string_value(json_object_get(kv, "lease"));
	size_t prefix = strlen(s->conf->prefix), key_size = 0, size = 0;
	char *key = key64 ? base64_decode(key64, &key_size) : NULL;
	char *value = base64_decode(value64 ? value64 : "", &size);
	int64_t rev = etcd_number(kv, "mod_revision");
	char name[LAB_NAME_MAX + 1];
	struct fabric_guest g = {.rev = (uint64_t)MAX(rev, 0)};
	int kind = -EINVAL;

	if (key && value && rev > 0 && key_size > prefix && key_size < FABRIC_KEY_MAX &&
	    !memcmp(key, s->conf->prefix, prefix))
		kind = fabric_key_parse(lab, key + prefix, key_size - prefix, name, &g);
	if (kind == FABRIC_KEY_HOST && deleted)
		fabric_host_del(s->f, name, (uint64_t)rev);
	else if (kind == FABRIC_KEY_HOST)
		take_host(s, name, value, size, (uint64_t)rev, lease && !strcmp(lease, s->lease));
	else if (kind == FABRIC_KEY_GUEST && deleted)
		fabric_guest_del(s->f, g.net, g.mac, g.rev);
	else if (kind == FABRIC_KEY_GUEST)
		take_guest(s, &g, value, size);
	else if (kind != -ENOENT) /* a network that is not here is no mistake */
		ignore(s, "", "neither a host nor a guest");
	free(key);
	free(value);
}

/* ---- read all ---- */

static json_t *range_body(const struct session *s, const char *key, const char *end)
{
	char last[LAB_ETCD_PREFIX_MAX + 2];

	/* The end of a range of keys that begin with "PREFIX/": '0' comes after '/'. */
	snprintf(last, sizeof(last), "%s0", s->conf->prefix);
	return json_pack("{s:o, s:o}", key, key_json(s, "/"), end, etcd_bytes(last));
}

static void on_event(void *arg, json_t *object);
static void on_watch_end(void *arg, int rc, json_t *answer, const char *why);

static void start_watch(struct session *s)
{
	json_t *body = range_body(s, "key", "range_end");
	struct timeval limit = ms_tv(CALL_MS);
	char from[24];

	snprintf(from, sizeof(from), "%lld", (long long)s->revision + 1);
	json_object_set_new(body, "start_revision", json_string(from));
	json_object_set_new(body, "progress_notify", json_true());
	s->watch = etcd_stream(s->http, "/v3/watch", json_pack("{s:o}", "create_request", body),
			       on_event, on_watch_end, s);
	if (!s->watch)
		fail(s, "out of memory");
	else
		evtimer_add(s->beat, &limit); /* until it has begun */
}

static void on_read(void *arg, int rc, json_t *answer, const char *why)
{
	struct session *s = arg;
	int64_t revision;
	json_t *kv;
	size_t i;

	if (!answered(s, rc, why))
		return;
	revision = etcd_number(json_object_get(answer, "header"), "revision");
	if (revision < 0 || json_is_true(json_object_get(answer, "more"))) {
		fail(s, "etcd did not say all that there is");
		return;
	}
	s->revision = revision;
	fabric_sync_begin(s->f);
	json_array_foreach (json_object_get(answer, "kvs"), i, kv)
		take(s, kv, false);
	fabric_sync_end(s->f, s->synced_once ? s->conf->lease_seconds * 1000 + BACKOFF_MAX_MS : 0);
	start_watch(s);
}

static void step_read(struct session *s)
{
	post(s, "/v3/kv/range", range_body(s, "key", "range_end"), on_read);
}

/* ---- the watch ---- */

static void watched(struct session *s)
{
	s->watching = s->synced_once = true;
	s->backoff_ms = BACKOFF_MIN_MS;
	evtimer_del(s->beat);
	if (s->dirty)
		step_write(s);
	else
		rest(s);
}

static void resync(struct session *s)
{
	etcd_cancel(s->watch);
	s->watch = NULL;
	s->watching = false;
	s->resyncs++;
	evtimer_del(s->beat);
	if (!s->call)
		step_read(s);
}

/* {"result": {"header": {"revision"}, "created", "canceled", "compact_revision", "events"}} */
static void on_event(void *arg, json_t *object)
{
	const json_t *result = json_object_get(object, "result"), *events, *event;
	struct session *s = arg;
	int64_t revision = etcd_number(json_object_get(result, "header"), "revision");
	size_t i;

	if (json_is_true(json_object_get(result, "canceled"))) {
		const char *why = json_string_value(json_object_get(result, "cancel_reason"));

		if (etcd_number(result, "compact_revision") > 0)
			resync(s);
		else
			fail(s, why ? why : "etcd ended the watch");
		return;
	}
	events = json_object_get(result, "events");
	json_array_foreach (events, i, event) {
		const char *type = json_string_value(json_object_get(event, "type"));

		take(s, json_object_get(event, "kv"), type && !strcmp(type, "DELETE"));
	}
	/* The revision of the answer to "create" is the present one: we may be behind it. */
	if (json_array_size(events))
		s->revision = MAX(s->revision, revision);
	if (!s->watching && json_is_true(json_object_get(result, "created")))
		watched(s);
}

static void on_watch_end(void *arg, int rc, json_t *answer, const char *why)
{
	struct session *s = arg;

	(void)answer;
	s->watch = NULL;
	/* A stream that was cut for its length. Without knowing why it is taken for a failure. */
	if (!rc && s->watching && s->revision > 0) {
		resync(s);
		return;
	}
	fail(s, rc ? why : "the watch ended");
}

/* ---- life ---- */

static int start(struct fabric *f)
{
	struct session *s = calloc(1, sizeof(*s));
	struct event_base *base = fabric_conf(f)->base;
	struct timeval now = {0};

	if (!s)
		return -ENOMEM;
	*fabric_private(f) = s;
	s->f = f;
	s->conf = &fabric_conf(f)->lab->fabric.etcd;
	s->backoff_ms = BACKOFF_MIN_MS;
	s->http = etcd_new(base);
	s->retry = evtimer_new(base, on_retry, s);
	s->beat = evtimer_new(base, on_beat, s);
	s->written = json_object();
	return s->http && s->retry && s->beat && s->written && !evtimer_add(s->retry, &now)
		       ? 0
		       : -ENOMEM;
}

static void on_left(void *arg, int rc, json_t *answer, const char *why)
{
	struct session *s = arg;

	(void)answer;
	s->call = NULL;
	if (rc)
		log_warn("this host's lease has to end by itself: %s", why);
}

static void leave(struct fabric *f)
{
	struct session *s = *fabric_private(f);

	drop_calls(s);
	evtimer_del(s->retry);
	if (*s->lease)
		s->call = etcd_post(s->http, "/v3/lease/revoke", json_pack("{s:s}", "ID", s->lease),
				    CALL_MS, on_left, s);
	forget_lease(s);
}

static void stop(struct fabric *f)
{
	struct session *s = *fabric_private(f);

	if (!s)
		return;
	*fabric_private(f) = NULL;
	etcd_free(s->http);
	if (s->retry)
		event_free(s->retry);
	if (s->beat)
		event_free(s->beat);
	json_decref(s->written);
	json_decref(s->writing);
	free(s);
}

static json_t *json(const struct fabric *f)
{
	const struct session *s = *fabric_private((struct fabric *)f);

	return json_pack("{s:{s:s, s:s, s:o, s:I, s:I, s:I, s:b}}", "etcd", "endpoint",
			 s->conf->endpoints[s->endpoint], "prefix", s->conf->prefix, "lease",
			 *s->lease ? json_string(s->lease) : json_null(), "revision",
			 (json_int_t)s->revision, "ignored", (json_int_t)s->ignored, "resyncs",
			 (json_int_t)s->resyncs, "name_taken", s->doubled);
}

const struct fabric_registry fabric_etcd = {
	.start = start, .leave = leave, .stop = stop, .announce = announce, .json = json};
