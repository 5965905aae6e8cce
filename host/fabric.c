/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the model of the fabric: hosts, the guests behind them, how fresh that is.
 *
 * Hosts keep their place once they are known, so that guests name them by index; guests are in a
 * hash table by network and MAC. A registry puts and deletes; whoever uses the model hears once
 * from the event loop after any number of changes.
 */
#define LOG_TAG "fabric"
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "host/fabric_internal.h"

#define BUCKETS 4096 /* a power of two */

static const char *const states[] = {
	[FABRIC_STATIC] = "static",
	[FABRIC_CONNECTING] = "connecting",
	[FABRIC_SYNCED] = "synced",
	[FABRIC_LOST] = "lost",
};
static_assert(ARRAY_SIZE(states) == FABRIC_N_STATES, "every state has a name");

static const char *const host_states[] = {
	[FABRIC_HOST_HERE] = "here",	 [FABRIC_HOST_ASSUMED] = "assumed",
	[FABRIC_HOST_UNSEEN] = "unseen", [FABRIC_HOST_ALIVE] = "alive",
	[FABRIC_HOST_DEAD] = "dead",
};
static_assert(ARRAY_SIZE(host_states) == FABRIC_HOST_N_STATES, "every state of a host has a name");

struct entry {
	struct fabric_guest g; /* first: a guest's pointer is its entry's */
	struct entry *next;
	unsigned int bucket;
};

struct fabric {
	struct fabric_conf conf;
	const struct fabric_registry *registry;
	void *private;
	enum fabric_state state;
	char reason[200];
	unsigned int retry_ms;
	uint64_t since_ns, heard_ns; /* of the state; of the last news of the registry */
	struct fabric_host *hosts;
	unsigned int n_hosts, n_guests;
	struct entry *guests[BUCKETS];
	struct fabric_guest *own;
	unsigned int n_own;
	bool left;
	struct event *changed, *sweep;
	uint64_t refused; /* there were too many */
};

const char *fabric_state_name(enum fabric_state s)
{
	return states[s];
}

const char *fabric_host_state_name(enum fabric_host_state s)
{
	return host_states[s];
}

bool fabric_host_reachable(const struct fabric_host *h)
{
	return h->state == FABRIC_HOST_ASSUMED || h->state == FABRIC_HOST_ALIVE;
}

const uint8_t *fabric_host_next(const struct fabric_host *h, unsigned int family)
{
	static const uint8_t none[16];

	if (addr_is_4(h->addr) == !family)
		return h->addr;
	return family && memcmp(h->addr6, none, 16) != 0 ? h->addr6 : NULL;
}

const struct fabric_conf *fabric_conf(const struct fabric *f)
{
	return &f->conf;
}

void **fabric_private(struct fabric *f)
{
	return &f->private;
}

const struct fabric_guest *fabric_own(const struct fabric *f, unsigned int *n)
{
	*n = f->n_own;
	return f->own;
}

static void tell(struct fabric *f, const char *name, json_t *data)
{
	if (f->conf.event)
		f->conf.event(f->conf.arg, name, data);
	else
		json_decref(data);
}

static void touch(struct fabric *f)
{
	event_active(f->changed, EV_TIMEOUT, 1);
}

static void on_changed(evutil_socket_t fd, short what, void *arg)
{
	struct fabric *f = arg;

	(void)fd;
	(void)what;
	if (f->conf.changed)
		f->conf.changed(f->conf.arg);
}

/* ---- state ---- */

void fabric_set_state(struct fabric *f, enum fabric_state state, const char *reason,
		      unsigned int retry_ms)
{
	enum fabric_state prev = f->state;
	json_t *data;

	if (state == FABRIC_SYNCED)
		f->heard_ns = now_ns();
	f->retry_ms = retry_ms;
	if (state == prev && !strcmp(f->reason, reason ? reason : ""))
		return;
	snprintf(f->reason, sizeof(f->reason), "%s", reason ? reason : "");
	if (state == FABRIC_LOST || state == FABRIC_CONNECTING)
		log_warn("registry %s: %s", states[state], f->reason);
	else
		log_info("registry %s", states[state]);
	if (state != prev)
		f->since_ns = now_ns();
	f->state = state;
	data = json_pack("{s:s, s:s}", "state", states[state], "previous", states[prev]);
	if (reason)
		json_object_set_new(data, "reason", json_string(f->reason));
	if (retry_ms)
		json_object_set_new(data, "retry_ms", json_integer(retry_ms));
	tell(f, "FABRIC_STATE", data);
}

enum fabric_state fabric_state(const struct fabric *f)
{
	return f->state;
}

/* ---- hosts ---- */

static int find_host(const struct fabric *f, const char *name)
{
	for (unsigned int h = 0; h < f->n_hosts; h++)
		if (!strcmp(f->hosts[h].name, name))
			return (int)h;
	return -ENOENT;
}

/* By name, a new one when need be; -ENOSPC, -ENOMEM. */
static int get_host(struct fabric *f, const char *name)
{
	unsigned int n_nets = f->conf.lab->n_nets;
	int h = find_host(f, name);
	struct fabric_host *more;

	if (h >= 0)
		return h;
	if (f->n_hosts == FABRIC_MAX_HOSTS) {
		f->refused++;
		return -ENOSPC;
	}
	more = realloc(f->hosts, (f->n_hosts + 1) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	f->hosts = more;
	more = &f->hosts[f->n_hosts];
	memset(more, 0, sizeof(*more));
	more->parts = calloc(n_nets, sizeof(*more->parts));
	if (!more->parts)
		return -ENOMEM;
	snprintf(more->name, sizeof(more->name), "%s", name);
	more->state = FABRIC_HOST_UNSEEN;
	more->since_ns = now_ns();
	return (int)f->n_hosts++;
}

static void host_state(struct fabric *f, unsigned int h, enum fabric_host_state state)
{
	struct fabric_host *host = &f->hosts[h];
	enum fabric_host_state prev = host->state;
	char addr[ROUTE_PREFIX_TEXT];

	if (state == prev)
		return;
	host->state = state;
	host->since_ns = now_ns();
	if (state != FABRIC_HOST_ASSUMED)
		log_info("host %s: %s", host->name, host_states[state]);
	tell(f, "FABRIC_HOST",
	     json_pack("{s:s, s:s, s:s, s:s}", "host", host->name, "state", host_states[state],
		       "previous", host_states[prev], "address", addr_text(host->addr, addr)));
	touch(f);
}

int fabric_host_put(struct fabric *f, const char *name, const uint8_t addr[16],
		    const uint8_t addr6[16], const struct fabric_part *parts,
		    enum fabric_host_state state, uint64_t rev)
{
	size_t size = f->conf.lab->n_nets * sizeof(*parts);
	struct fabric_host *host;
	int h = get_host(f, name);

	if (h < 0)
		return h;
	host = &f->hosts[h];
	if (host->state == FABRIC_HOST_HERE)
		return -EEXIST;
	f->heard_ns = now_ns();
	host->unseen = false;
	if (rev && rev < host->rev)
		return 0;
	host->rev = rev;
	if (memcmp(host->addr, addr, 16) != 0 || memcmp(host->addr6, addr6, 16) != 0 ||
	    memcmp(host->parts, parts, size) != 0)
		touch(f);
	memcpy(host->addr, addr, 16);
	memcpy(host->addr6, addr6, 16);
	memcpy(host->parts, parts, size);
	host_state(f, (unsigned int)h, state);
	return 0;
}

void fabric_host_del(struct fabric *f, const char *name, uint64_t rev)
{
	int h = find_host(f, name);

	if (h < 0 || f->hosts[h].state == FABRIC_HOST_HERE || (rev && rev < f->hosts[h].rev))
		return;
	f->heard_ns = now_ns();
	f->hosts[h].rev = rev;
	if (f->hosts[h].state != FABRIC_HOST_UNSEEN)
		host_state(f, (unsigned int)h, FABRIC_HOST_DEAD);
}

const struct fabric_host *fabric_hosts(const struct fabric *f, unsigned int *n)
{
	*n = f->n_hosts;
	return f->hosts;
}

/* ---- guests ---- */

static unsigned int bucket_of(unsigned int net, const uint8_t mac[6])
{
	uint32_t h = 0x811c9dc5u ^ net;

	for (unsigned int i = 0; i < 6; i++)
		h = (h ^ mac[i]) * 0x01000193u;
	return (h ^ h >> 16) & (BUCKETS - 1);
}

static struct entry **find_guest(struct fabric *f, unsigned int net, const uint8_t mac[6])
{
	struct entry **at = &f->guests[bucket_of(net, mac)];

	while (*at && ((*at)->g.net != net || memcmp((*at)->g.mac, mac, 6) != 0))
		at = &(*at)->next;
	return at;
}

static void tell_moved(struct fabric *f, const struct fabric_guest *g, unsigned int from)
{
	log_info("%s/%s: moved from host %s to %s", g->vm, g->nic, f->hosts[from].name,
		 f->hosts[g->host].name);
	tell(f, "FABRIC_MOVED",
	     json_pack("{s:s++, s:s, s:s, s:s}", "guest", g->vm, "/", g->nic, "network",
		       f->conf.lab->nets[g->net].name, "host", f->hosts[g->host].name, "previous",
		       f->hosts[from].name));
}

/* True when they mean the same to who sends packets. */
static bool same(const struct fabric_guest *a, const struct fabric_guest *b)
{
	return a->host == b->host && !strcmp(a->vm, b->vm) && !strcmp(a->nic, b->nic) &&
	       !strcmp(a->ip4, b->ip4) && !strcmp(a->ip6, b->ip6);
}

int fabric_guest_put(struct fabric *f, const struct fabric_guest *g, const char *host)
{
	struct entry **at = find_guest(f, g->net, g->mac), *e = *at;
	struct fabric_guest new = *g;
	int h = get_host(f, host);
	unsigned int from;

	if (h < 0)
		return h;
	f->heard_ns = now_ns();
	new.host = (unsigned int)h;
	new.unseen = false;
	if (e && g->rev && g->rev < e->g.rev) {
		e->g.unseen = false;
		return 0;
	}
	if (!e) {
		if (f->n_guests == FABRIC_MAX_GUESTS) {
			f->refused++;
			return -ENOSPC;
		}
		e = calloc(1, sizeof(*e));
		if (!e)
			return -ENOMEM;
		e->bucket = bucket_of(g->net, g->mac);
		e->g = new;
		*at = e;
		f->n_guests++;
		f->hosts[h].n_guests++;
		touch(f);
		return 0;
	}
	from = e->g.host;
	if (!same(&e->g, &new))
		touch(f);
	e->g = new;
	if (from != new.host) {
		f->hosts[from].n_guests--;
		f->hosts[h].n_guests++;
		tell_moved(f, &e->g, from);
	}
	return 0;
}

static void drop_guest(struct fabric *f, struct entry **at)
{
	struct entry *e = *at;

	*at = e->next;
	f->hosts[e->g.host].n_guests--;
	f->n_guests--;
	free(e);
	touch(f);
}

void fabric_guest_del(struct fabric *f, unsigned int net, const uint8_t mac[6], uint64_t rev)
{
	struct entry **at = find_guest(f, net, mac);

	f->heard_ns = now_ns();
	if (*at && (!rev || rev >= (*at)->g.rev))
		drop_guest(f, at);
}

const struct fabric_guest *fabric_next_guest(const struct fabric *f,
					     const struct fabric_guest *prev)
{
	const struct entry *e = (const struct entry *)prev;
	unsigned int b = e ? e->bucket + 1 : 0;

	if (e && e->next)
		return &e->next->g;
	while (b < BUCKETS && !f->guests[b])
		b++;
	return b < BUCKETS ? &f->guests[b]->g : NULL;
}

/* ---- a sync ---- */

void fabric_sync_begin(struct fabric *f)
{
	evtimer_del(f->sweep);
	for (unsigned int h = 0; h < f->n_hosts; h++) {
		f->hosts[h].unseen = true;
		f->hosts[h].rev = 0;
	}
	for (unsigned int b = 0; b < BUCKETS; b++)
		for (struct entry *e = f->guests[b]; e; e = e->next) {
			e->g.unseen = true;
			e->g.rev = 0;
		}
}

static void on_sweep(evutil_socket_t fd, short what, void *arg)
{
	struct fabric *f = arg;

	(void)fd;
	(void)what;
	for (unsigned int h = 0; h < f->n_hosts; h++)
		if (f->hosts[h].unseen && f->hosts[h].state == FABRIC_HOST_ALIVE)
			host_state(f, h, FABRIC_HOST_DEAD);
	for (unsigned int b = 0; b < BUCKETS; b++) {
		struct entry **at = &f->guests[b];

		while (*at) {
			if ((*at)->g.unseen)
				drop_guest(f, at);
			else
				at = &(*at)->next;
		}
	}
}

void fabric_sync_end(struct fabric *f, unsigned int grace_ms)
{
	struct timeval tv = {.tv_sec = grace_ms / 1000, .tv_usec = grace_ms % 1000 * 1000};

	f->heard_ns = now_ns();
	if (grace_ms && !evtimer_add(f->sweep, &tv))
		return;
	on_sweep(-1, 0, f);
}

/* ---- what is here ---- */

int fabric_announce(struct fabric *f, const struct fabric_guest *own, unsigned int n)
{
	struct fabric_guest *copy = calloc(n ? n : 1, sizeof(*copy));
	int h = f->conf.lab->here;

	if (!copy)
		return -ENOMEM;
	if (n)
		memcpy(copy, own, n * sizeof(*copy));
	for (unsigned int i = 0; i < n; i++)
		copy[i].host = (unsigned int)h;
	free(f->own);
	f->own = copy;
	f->n_own = n;
	f->hosts[h].n_guests = n;
	if (!f->left)
		f->registry->announce(f);
	return 0;
}

void fabric_leave(struct fabric *f)
{
	if (!f || f->left)
		return;
	f->left = true;
	f->registry->leave(f);
}

/* ---- life ---- */

/* The hosts of the file have the same places in the model. */
static int add_lab_hosts(struct fabric *f)
{
	const struct lab *lab = f->conf.lab;

	for (unsigned int h = 0; h < lab->fabric.n_hosts; h++) {
		int rc = get_host(f, lab->fabric.hosts[h].name);

		if (rc < 0)
			return rc;
		rc = fabric_addr_parse(f->hosts[h].addr, lab->fabric.hosts[h].address);
		if (rc)
			return rc;
		fabric_lab_addr6(&lab->fabric.hosts[h], f->hosts[h].addr6);
		fabric_lab_parts(lab, h, f->hosts[h].parts);
	}
	f->hosts[lab->here].state = FABRIC_HOST_HERE;
	return 0;
}

struct fabric *fabric_new(const struct fabric_conf *conf)
{
	struct fabric *f = calloc(1, sizeof(*f));
	int rc;

	if (!f)
		return NULL;
	f->conf = *conf;
	f->since_ns = now_ns();
	f->registry =
		conf->lab->fabric.registry == LAB_REGISTRY_ETCD ? &fabric_etcd : &fabric_static;
	f->state = f->registry == &fabric_etcd ? FABRIC_CONNECTING : FABRIC_STATIC;
	f->changed = evtimer_new(conf->base, on_changed, f);
	f->sweep = evtimer_new(conf->base, on_sweep, f);
	rc = f->changed && f->sweep ? add_lab_hosts(f) : -ENOMEM;
	if (!rc)
		rc = f->registry->start(f);
	if (!rc)
		return f;
	fabric_free(f);
	errno = -rc;
	return NULL;
}

void fabric_free(struct fabric *f)
{
	if (!f)
		return;
	f->registry->stop(f);
	for (unsigned int b = 0; b < BUCKETS; b++)
		while (f->guests[b]) {
			struct entry *e = f->guests[b];

			f->guests[b] = e->next;
			free(e);
		}
	for (unsigned int h = 0; h < f->n_hosts; h++)
		free(f->hosts[h].parts);
	free(f->hosts);
	free(f->own);
	if (f->changed)
		event_free(f->changed);
	if (f->sweep)
		event_free(f->sweep);
	free(f);
}

/* ---- JSON ---- */

static json_t *guest_json(const struct fabric *f, const struct fabric_guest *g, const char *host)
{
	const uint8_t *m = g->mac;
	char mac[18];

	snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4],
		 m[5]);
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "vm", g->vm, "nic", g->nic,
			 "network", f->conf.lab->nets[g->net].name, "mac", mac, "ip", g->ip4, "ip6",
			 g->ip6, "host", host);
}

static int by_name(const void *a, const void *b)
{
	const struct fabric_guest *x = *(const struct fabric_guest *const *)a;
	const struct fabric_guest *y = *(const struct fabric_guest *const *)b;
	int c = strcmp(x->vm, y->vm);

	return c ? c : strcmp(x->nic, y->nic);
}

static json_t *guests_json(const struct fabric *f)
{
	const struct fabric_guest **all = calloc(f->n_own + f->n_guests + 1, sizeof(*all));
	json_t *list = json_array();
	unsigned int n = 0;

	for (unsigned int i = 0; all && i < f->n_own; i++)
		all[n++] = &f->own[i];
	for (const struct fabric_guest *g = NULL; all && (g = fabric_next_guest(f, g));)
		all[n++] = g;
	if (n)
		qsort(all, n, sizeof(*all), by_name);
	for (unsigned int i = 0; i < n; i++)
		json_array_append_new(list, guest_json(f, all[i], f->hosts[all[i]->host].name));
	free(all);
	return list;
}

static json_t *parts_json(const struct fabric *f, const struct fabric_host *h)
{
	json_t *all = json_object();

	for (unsigned int n = 0; n < f->conf.lab->n_nets; n++) {
		json_t *list;
		char text[ROUTE_PREFIX_TEXT];

		if (f->conf.lab->nets[n].mode != LAB_MODE_ROUTED)
			continue;
		list = json_array();
		for (unsigned int k = 0; k < 2; k++)
			if (h->parts[n].has[k])
				json_array_append_new(list, json_string(route_prefix_text(
								    &h->parts[n].prefix[k], text)));
		json_object_set_new(all, f->conf.lab->nets[n].name, list);
	}
	return all;
}

json_t *fabric_json(const struct fabric *f, bool guests)
{
	const struct lab *lab = f->conf.lab;
	json_t *hosts = json_array(), *o, *more;
	uint64_t now = now_ns();
	bool heard = f->heard_ns && f->state != FABRIC_STATIC;

	for (unsigned int h = 0; h < f->n_hosts; h++) {
		const struct fabric_host *host = &f->hosts[h];
		char addr[ROUTE_PREFIX_TEXT];

		json_array_append_new(
			hosts,
			json_pack("{s:s, s:s, s:s, s:I, s:i, s:o}", "name", host->name, "address",
				  addr_text(host->addr, addr), "state", host_states[host->state],
				  "since_ms", (json_int_t)((now - host->since_ns) / NSEC_PER_MSEC),
				  "guests", (int)host->n_guests, "parts", parts_json(f, host)));
	}
	o = json_pack("{s:s, s:s, s:s, s:o, s:I, s:o, s:o, s:i, s:I, s:o}", "host",
		      lab->fabric.hosts[lab->here].name, "registry",
		      lab_registry_name(lab->fabric.registry), "state", states[f->state], "reason",
		      *f->reason ? json_string(f->reason) : json_null(), "since_ms",
		      (json_int_t)((now - f->since_ns) / NSEC_PER_MSEC), "retry_ms",
		      f->retry_ms ? json_integer(f->retry_ms) : json_null(), "heard_ms",
		      heard ? json_integer((json_int_t)((now - f->heard_ns) / NSEC_PER_MSEC))
			    : json_null(),
		      "n_guests", (int)(f->n_guests + f->n_own), "refused", (json_int_t)f->refused,
		      "hosts", hosts);
	more = f->registry->json(f);
	json_object_update(o, more);
	json_decref(more);
	if (guests)
		json_object_set_new(o, "guests", guests_json(f));
	return o;
}
