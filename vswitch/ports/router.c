/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns routers, their interfaces, addresses and routes: what the control thread makes and changes.
 *
 * A hop (struct rt_hop) is constant and replaced whole; the table waits for a grace period, so what
 * it hands back can be freed. What an interface answers for (struct rt_known) is published the same
 * way. Prefixes of interfaces are in the same table as routes and do not count against max_routes.
 */
#define LOG_TAG "router"
#include "vswitch/ports/router.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/util.h"
#include "vswitch/fdb.h"
#include "vswitch/ports/router_internal.h"

#define DEFAULT_ROUTES	   1024
#define DEFAULT_NEIGHBOURS 1024
#define DEFAULT_ERRORS	   100

/* clang-format off */
static const char *const kind_names[] = {
	[ROUTER_ROUTE_VIA] = "via",
	[ROUTER_ROUTE_MAC] = "mac",
	[ROUTER_ROUTE_UNREACHABLE] = "unreachable",
	[ROUTER_ROUTE_BLACKHOLE] = "blackhole",
};
static_assert(ARRAY_SIZE(kind_names) == ROUTER_ROUTE_N_KINDS, "a name for each");

static const char *const state_names[] = {
	[ROUTER_NEIGHBOUR_ASKED] = "asked",
	[ROUTER_NEIGHBOUR_FRESH] = "fresh",
	[ROUTER_NEIGHBOUR_STALE] = "stale",
	[ROUTER_NEIGHBOUR_FAILED] = "failed",
	[ROUTER_NEIGHBOUR_SET] = "set",
};
static_assert(ARRAY_SIZE(state_names) == ROUTER_NEIGHBOUR_N_STATES, "a name for each");
/* clang-format on */

const char *router_route_kind_name(enum router_route_kind kind)
{
	return (unsigned int)kind < ARRAY_SIZE(kind_names) ? kind_names[kind] : "unknown";
}

const char *router_neighbour_state_name(enum router_neighbour_state state)
{
	return (unsigned int)state < ARRAY_SIZE(state_names) ? state_names[state] : "unknown";
}

/* ---- routers ---- */

struct router *router_new(struct worker *w, const struct router_conf *conf)
{
	struct router *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	snprintf(r->name, sizeof(r->name), "%s", conf->name);
	r->worker = w;
	r->max_routes = conf->max_routes ? conf->max_routes : DEFAULT_ROUTES;
	r->max_neigh = conf->max_neighbours ? conf->max_neighbours : DEFAULT_NEIGHBOURS;
	r->table = route_table_new(UINT32_MAX);
	if (!r->table) {
		free(r);
		errno = ENOMEM;
		return NULL;
	}
	reply_limit_init(&r->limit, conf->errors_per_s ? conf->errors_per_s : DEFAULT_ERRORS);
	pthread_mutex_init(&r->lock, NULL);
	r->timer = (struct worker_timer){.fn = rt_neigh_tick, .arg = r};
	return r;
}

static void free_hop(const struct route_prefix *prefix, void *value, void *arg)
{
	(void)prefix;
	(void)arg;
	free(value);
}

static void stop(void *arg)
{
	struct router *r = arg;

	worker_timer_cancel(&r->timer);
}

void router_free(struct router *r)
{
	if (!r)
		return;
	if (r->n_ifs)
		log_err("%s: freed with %u interfaces", r->name, r->n_ifs);
	worker_call(r->worker, stop, r);
	route_table_each(r->table, free_hop, NULL);
	route_table_free(r->table);
	reply_limit_fini(&r->limit);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

void router_get_stats(struct router *r, struct router_stats *st)
{
	const struct router_counters *c = &r->c;

	*st = (struct router_stats){
		.forwarded = atomic_load(&c->forwarded),
		.ttl = atomic_load(&c->ttl),
		.no_route = atomic_load(&c->no_route),
		.too_big = atomic_load(&c->too_big),
		.unreachable = atomic_load(&c->unreachable),
		.held = atomic_load(&c->held),
		.held_lost = atomic_load(&c->held_lost),
		.errors = atomic_load(&c->errors),
		.errors_limited = atomic_load(&c->errors_limited),
		.arp_answers = atomic_load(&c->arp_answers),
		.nd_answers = atomic_load(&c->nd_answers),
		.proxy_answers = atomic_load(&c->proxy_answers),
		.pings = atomic_load(&c->pings),
	};
}

/* ---- interfaces ---- */

static const struct vsw_port_ops ops = {.deliver = rt_deliver};

struct router_if *router_if_new(struct router *r, const struct router_if_conf *conf)
{
	struct router_if *i;
	struct rt_known *k;

	if (!fdb_mac(conf->mac) || (conf->mac[0] & 1)) {
		errno = EINVAL;
		return NULL;
	}
	if (r->n_ifs == RT_MAX_IFS) {
		errno = ENOSPC;
		return NULL;
	}
	i = calloc(1, sizeof(*i));
	k = calloc(1, sizeof(*k));
	if (!i || !k) {
		free(i);
		free(k);
		errno = ENOMEM;
		return NULL;
	}
	vsw_port_init(&i->port, &ops, conf->name, conf->mac);
	i->port.mtu = conf->mtu;
	i->r = r;
	i->flags = conf->flags;
	/* RFC 4291, appendix A */
	memcpy(i->link_local, ((uint8_t[16]){0xfe, 0x80, [11] = 0xff, [12] = 0xfe}), 16);
	memcpy(i->link_local + 8, conf->mac, 3);
	i->link_local[8] ^= 2;
	memcpy(i->link_local + 13, conf->mac + 3, 3);
	atomic_store(&i->known, k);
	rt_waiters_init(i);
	atomic_store(&i->port.link, true);
	atomic_store(&i->port.receiving, true);
	pthread_mutex_lock(&r->lock);
	r->ifs[r->n_ifs++] = i;
	pthread_mutex_unlock(&r->lock);
	return i;
}

struct router_if_routes {
	const struct router_if *out;
	struct route_prefix prefix;
	bool found, own;
};

static void find_by_if(const struct route_prefix *prefix, void *value, void *arg)
{
	struct router_if_routes *f = arg;
	const struct rt_hop *hop = value;

	if (hop->route.out != f->out)
		return;
	f->prefix = *prefix;
	f->own = hop->own;
	f->found = true;
}

static void del_routes_of(struct router_if *i)
{
	for (;;) {
		struct router_if_routes f = {.out = i};

		route_table_each(i->r->table, find_by_if, &f);
		if (!f.found)
			return;
		if (!f.own)
			i->r->n_routes--;
		/* Only want of memory keeps a route, and there is no way back. */
		free(route_table_del(i->r->table, &f.prefix));
	}
}

static void nothing(void *arg)
{
	(void)arg;
}

void router_if_free(struct router_if *i)
{
	struct router *r;
	unsigned int at = 0;

	if (!i)
		return;
	r = i->r;
	del_routes_of(i);
	rt_neigh_clear(i);
	pthread_mutex_lock(&r->lock);
	while (r->ifs[at] != i)
		at++;
	r->ifs[at] = r->ifs[--r->n_ifs];
	pthread_mutex_unlock(&r->lock);
	/* Nobody is on the way to it any more; then no letter is. */
	vsw_synchronize();
	rt_neigh_clear(i);
	worker_call(r->worker, nothing, NULL);
	rt_waiters_cancel(i);
	free(atomic_load(&i->known));
	free(i);
}

struct vsw_port *router_if_port(struct router_if *i)
{
	return &i->port;
}

/* ---- what an interface answers for ---- */

static const struct rt_known *known(const struct router_if *i)
{
	return atomic_load_explicit(&i->known, memory_order_acquire);
}

bool rt_is_own(const struct router_if *i, const uint8_t addr[16])
{
	const struct rt_known *k = known(i);

	for (unsigned int n = 0; n < k->n_addrs; n++)
		if (!memcmp(k->addr[n].addr, addr, 16))
			return true;
	return !memcmp(i->link_local, addr, 16);
}

bool rt_is_proxied(const struct router_if *i, const uint8_t addr[16])
{
	const struct rt_known *k = known(i);

	for (unsigned int n = 0; n < k->n_proxies; n++)
		if (route_prefix_has(&k->proxy[n], addr))
			return true;
	return false;
}

static void prefix_of(struct route_prefix *out, const struct route_prefix *addr)
{
	memset(out->addr, 0, 16);
	out->len = addr->len;
	memcpy(out->addr, addr->addr, addr->len / 8);
	if (addr->len % 8)
		out->addr[addr->len / 8] =
			(uint8_t)(addr->addr[addr->len / 8] & (0xff00u >> (addr->len % 8)));
}

bool rt_on_link(const struct router_if *i, const uint8_t addr[16])
{
	const struct rt_known *k = known(i);

	for (unsigned int n = 0; n < k->n_addrs; n++) {
		struct route_prefix p;

		prefix_of(&p, &k->addr[n]);
		if (route_prefix_has(&p, addr))
			return true;
	}
	return false;
}

bool rt_address_for(const struct router_if *i, const uint8_t to[16], uint8_t out[16])
{
	const struct rt_known *k = known(i);
	bool v4 = addr_is_4(to), found = false;

	if (!v4)
		memcpy(out, i->link_local, 16);
	if (to[0] == 0xfe && (to[1] & 0xc0) == 0x80)
		return true;
	for (unsigned int n = 0; n < k->n_addrs; n++) {
		struct route_prefix p;

		if (addr_is_4(k->addr[n].addr) != v4)
			continue;
		prefix_of(&p, &k->addr[n]);
		if (found && !route_prefix_has(&p, to))
			continue;
		memcpy(out, k->addr[n].addr, 16);
		found = true;
		if (route_prefix_has(&p, to))
			break;
	}
	return found || !v4;
}

/* A copy to change, or NULL. */
static struct rt_known *known_copy(const struct router_if *i)
{
	struct rt_known *k = malloc(sizeof(*k));

	if (k)
		*k = *atomic_load(&i->known);
	return k;
}

static void known_publish(struct router_if *i, struct rt_known *k)
{
	struct rt_known *old = atomic_load(&i->known);

	atomic_store_explicit(&i->known, k, memory_order_release);
	vsw_synchronize();
	free(old);
}

static bool valid_len(const uint8_t addr[16], uint8_t len)
{
	return len <= 128 && (!addr_is_4(addr) || len >= 96);
}

/* 0; -EEXIST: the prefix is another's. */
static int own_prefix_add(struct router_if *i, const struct route_prefix *addr)
{
	struct route_prefix p;
	struct rt_hop *hop;
	void *old;
	int rc;

	prefix_of(&p, addr);
	hop = route_table_get(i->r->table, &p);
	if (hop)
		return hop->own && hop->route.out == i ? 0 : -EEXIST;
	hop = calloc(1, sizeof(*hop));
	if (!hop)
		return -ENOMEM;
	hop->own = true;
	hop->route = (struct router_route){.prefix = p, .kind = ROUTER_ROUTE_VIA, .out = i};
	rc = route_table_set(i->r->table, &p, hop, &old);
	if (rc)
		free(hop);
	return rc;
}

int router_addr_add(struct router_if *i, const uint8_t addr[16], uint8_t len)
{
	struct route_prefix a = {.len = len};
	struct rt_known *k;
	int rc;

	memcpy(a.addr, addr, 16);
	if (!valid_len(addr, len) || addr[0] == 0xff || (addr_is_4(addr) && addr[12] >= 224))
		return -EINVAL;
	for (unsigned int n = 0; n < i->r->n_ifs; n++)
		if (rt_is_own(i->r->ifs[n], addr))
			return -EEXIST;
	if (known(i)->n_addrs == RT_MAX_ADDRS)
		return -ENOSPC;
	k = known_copy(i);
	if (!k)
		return -ENOMEM;
	rc = own_prefix_add(i, &a);
	if (rc) {
		free(k);
		return rc;
	}
	k->addr[k->n_addrs++] = a;
	known_publish(i, k);
	return 0;
}

int router_addr_del(struct router_if *i, const uint8_t addr[16])
{
	struct route_prefix gone = {.len = 0}, p, q;
	struct rt_known *k = known_copy(i);
	bool shared = false, found = false;

	if (!k)
		return -ENOMEM;
	for (unsigned int n = 0; n < k->n_addrs && !found; n++) {
		if (memcmp(k->addr[n].addr, addr, 16) != 0)
			continue;
		gone = k->addr[n];
		k->addr[n] = k->addr[--k->n_addrs];
		found = true;
	}
	if (!found) {
		free(k);
		return -ENOENT;
	}
	prefix_of(&p, &gone);
	for (unsigned int n = 0; n < k->n_addrs; n++) {
		prefix_of(&q, &k->addr[n]);
		shared |= q.len == p.len && !memcmp(q.addr, p.addr, 16);
	}
	known_publish(i, k);
	if (!shared)
		free(route_table_del(i->r->table, &p));
	return 0;
}

int router_proxy_add(struct router_if *i, const struct route_prefix *prefix)
{
	struct route_prefix p;
	struct rt_known *k;

	if (prefix->len > 128)
		return -EINVAL;
	prefix_of(&p, prefix);
	if (memcmp(p.addr, prefix->addr, 16) != 0)
		return -EINVAL;
	if (known(i)->n_proxies == RT_MAX_PROXIES)
		return -ENOSPC;
	k = known_copy(i);
	if (!k)
		return -ENOMEM;
	k->proxy[k->n_proxies++] = p;
	known_publish(i, k);
	return 0;
}

int router_proxy_del(struct router_if *i, const struct route_prefix *prefix)
{
	struct rt_known *k = known_copy(i);

	if (!k)
		return -ENOMEM;
	for (unsigned int n = 0; n < k->n_proxies; n++) {
		if (k->proxy[n].len != prefix->len ||
		    memcmp(k->proxy[n].addr, prefix->addr, 16) != 0)
			continue;
		k->proxy[n] = k->proxy[--k->n_proxies];
		known_publish(i, k);
		return 0;
	}
	free(k);
	return -ENOENT;
}

/* ---- routes ---- */

static int refused(const struct router *r, const struct router_route *route, int rc, char *err,
		   size_t err_size, const char *why)
{
	char text[ROUTE_PREFIX_TEXT];

	if (err && err_size)
		snprintf(err, err_size, "router %s: route %s: %s", r->name,
			 route_prefix_text(&route->prefix, text), why);
	return rc;
}

static const char *fault_of(const struct router *r, const struct router_route *route)
{
	static const uint8_t none[16];
	bool via = memcmp(route->via, none, 16) != 0;

	if (!valid_len(route->prefix.addr, route->prefix.len))
		return "the length of the prefix is wrong";
	if ((unsigned int)route->kind >= ROUTER_ROUTE_N_KINDS)
		return "no such kind of route";
	if (route->kind >= ROUTER_ROUTE_UNREACHABLE)
		return NULL;
	if (!route->out || route->out->r != r)
		return "it needs an interface of this router to go out by";
	if (route->kind == ROUTER_ROUTE_MAC && (!fdb_mac(route->mac) || (route->mac[0] & 1)))
		return "the next hop's MAC is none";
	if (route->kind == ROUTER_ROUTE_VIA && via &&
	    addr_is_4(route->via) != addr_is_4(route->prefix.addr))
		return "the next hop is of another address family";
	return NULL;
}

int router_route_set(struct router *r, const struct router_route *route, char *err, size_t err_size)
{
	const char *fault = fault_of(r, route);
	struct rt_hop *hop, *was;
	char text[128];
	void *old;
	int rc;

	if (fault)
		return refused(r, route, -EINVAL, err, err_size, fault);
	was = route_table_get(r->table, &route->prefix);
	if (was && was->own)
		return refused(r, route, -EEXIST, err, err_size,
			       "an interface has this prefix; take its address away first");
	if (!was && r->n_routes >= r->max_routes) {
		snprintf(text, sizeof(text),
			 "the table holds %u of at most %u routes (max_routes); delete one, or "
			 "raise max_routes",
			 r->n_routes, r->max_routes);
		return refused(r, route, -ENOSPC, err, err_size, text);
	}
	hop = calloc(1, sizeof(*hop));
	if (!hop)
		return refused(r, route, -ENOMEM, err, err_size, "no memory");
	hop->route = *route;
	rc = route_table_set(r->table, &route->prefix, hop, &old);
	if (rc) {
		free(hop);
		return refused(r, route, rc, err, err_size,
			       rc == -EINVAL ? "bits are set behind the prefix" : "no memory");
	}
	if (!old)
		r->n_routes++;
	free(old);
	return 0;
}

int router_route_del(struct router *r, const struct route_prefix *prefix)
{
	struct rt_hop *hop = route_table_get(r->table, prefix);

	if (!hop || hop->own)
		return -ENOENT;
	hop = route_table_del(r->table, prefix);
	if (!hop)
		return -ENOMEM;
	r->n_routes--;
	free(hop);
	return 0;
}

struct listing {
	struct router_route *out;
	size_t n, max;
};

static void list_one(const struct route_prefix *prefix, void *value, void *arg)
{
	const struct rt_hop *hop = value;
	struct listing *l = arg;

	(void)prefix;
	if (hop->own)
		return;
	if (l->n < l->max)
		l->out[l->n] = hop->route;
	l->n++;
}

size_t router_routes(struct router *r, struct router_route *out, size_t max)
{
	struct listing l = {.out = out, .max = max};

	route_table_each(r->table, list_one, &l);
	return l.n;
}
