/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns which policy a port has: giving ports policies, their connections' care, and what is told of
 * them.
 *
 * Theory. A port has two places for its policy. The switch has one counter, the epoch, whose parity
 * says which place counts; a burst reads it once. To change the policies of several ports, the new
 * ones are put into the places that do not count, the epoch goes up, and when no burst of the old
 * one is left the other places follow. So the change is one store for all ports.
 */
#define LOG_TAG "switch"
#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "vswitch/judge.h"
#include "vswitch/rcu.h"
#include "vswitch/switch_internal.h"

#define RESIM_PER_TICK 5000

_Atomic unsigned int vsw_policy_epoch;

/* Control thread. */
static struct port_policy *all;
static struct vsw_flow_conf flow_conf;

static uint32_t now32(void)
{
	return (uint32_t)vsw_now_ms();
}

void vsw_flow_configure(const struct vsw_flow_conf *conf)
{
	flow_conf = *conf;
}

static struct port_policy *port_policy_new(struct vsw_port *port)
{
	const struct flow_timeouts t = {.embryonic = flow_conf.embryonic_ms,
					.established = flow_conf.established_ms,
					.time_wait = flow_conf.time_wait_ms,
					.reset = flow_conf.reset_ms,
					.other = flow_conf.other_ms};
	struct port_policy *pp = calloc(1, sizeof(*pp));

	if (!pp)
		return NULL;
	pp->port = port;
	pp->flows = flow_table_new(flow_conf.max, &t);
	if (!pp->flows) {
		free(pp);
		return NULL;
	}
	pthread_mutex_init(&pp->frags.lock, NULL);
	atomic_store(&pp->resim, RESIM_PER_TICK);
	pp->next = all;
	all = pp;
	atomic_store_explicit(&port->policy, pp, memory_order_release);
	return pp;
}

static void version_free(struct policy_version *v)
{
	if (v)
		policy_put(v->policy);
	free(v);
}

static unsigned int parity(void)
{
	return atomic_load(&vsw_policy_epoch) & 1;
}

static struct policy_version *version_now(const struct port_policy *pp)
{
	return atomic_load(&pp->version[parity()]);
}

/* The next version of @pp; NULL without policy is right, so the error is in *@rc. */
static struct policy_version *version_new(struct port_policy *pp, struct policy *policy, bool flush,
					  int *rc)
{
	const struct policy_version *now = version_now(pp);
	struct policy_version *v;

	if (!policy)
		return NULL;
	v = calloc(1, sizeof(*v));
	if (!v) {
		*rc = -ENOMEM;
		return NULL;
	}
	v->policy = policy_get(policy);
	v->gen = ++pp->gen;
	v->flush_gen = flush || !now ? v->gen : now->flush_gen;
	return v;
}

/* How many ports of a network ask more than plain forwarding. */
static void note_special(struct vsw_port *port, int change)
{
	struct vsw_net *net = atomic_load(&port->net);

	if (net && change)
		atomic_fetch_add(&net->n_special, change);
}

static bool takes_policy(const struct vsw_port *port)
{
	return atomic_load(&port->net) && !atomic_load(&port->outer);
}

int vsw_policy_publish(const struct vsw_policy_change *changes, unsigned int n, bool flush)
{
	struct policy_version **made = calloc(n + 1, sizeof(*made));
	unsigned int next = !parity();
	int rc = made ? 0 : -ENOMEM;

	for (unsigned int i = 0; !rc && i < n; i++) {
		struct vsw_port *port = changes[i].port;
		struct port_policy *pp = atomic_load(&port->policy);

		if (!takes_policy(port))
			rc = -EINVAL;
		else if (!pp && changes[i].policy && !(pp = port_policy_new(port)))
			rc = -ENOMEM;
		else if (pp)
			made[i] = version_new(pp, changes[i].policy, flush, &rc);
	}
	if (rc) {
		for (unsigned int i = 0; made && i < n; i++)
			version_free(made[i]);
		free(made);
		return rc;
	}
	for (unsigned int i = 0; i < n; i++) {
		struct port_policy *pp = atomic_load(&changes[i].port->policy);

		if (!pp)
			continue;
		/* Before a burst may meet it; bursts of this epoch then only look longer. */
		if (made[i] && !version_now(pp))
			note_special(changes[i].port, 1);
		atomic_store_explicit(&pp->version[next], made[i], memory_order_release);
	}
	atomic_fetch_add(&vsw_policy_epoch, 1);
	vsw_synchronize();
	for (unsigned int i = 0; i < n; i++) {
		struct port_policy *pp = atomic_load(&changes[i].port->policy);
		struct policy_version *old;

		if (!pp)
			continue;
		old = atomic_exchange(&pp->version[!next], made[i]);
		if (old && !made[i])
			note_special(changes[i].port, -1);
		if (old != made[i])
			version_free(old);
	}
	free(made);
	return 0;
}

int vsw_port_set_policy(struct vsw_port *port, struct policy *policy, bool flush)
{
	const struct vsw_policy_change c = {.port = port, .policy = policy};

	return vsw_policy_publish(&c, 1, flush);
}

struct policy *vsw_port_policy(const struct vsw_port *port)
{
	const struct port_policy *pp = atomic_load(&port->policy);
	const struct policy_version *v = pp ? version_now(pp) : NULL;

	return v ? v->policy : NULL;
}

void policy_forget_port(struct vsw_port *port)
{
	struct port_policy *pp = atomic_load(&port->policy), **at = &all;

	if (!pp)
		return;
	if (version_now(pp))
		note_special(port, -1);
	atomic_store(&port->policy, NULL);
	vsw_synchronize();
	while (*at != pp)
		at = &(*at)->next;
	*at = pp->next;
	version_free(version_now(pp));
	flow_table_free(pp->flows);
	pthread_mutex_destroy(&pp->frags.lock);
	free(pp);
}

void vsw_tick(struct vsw *vsw)
{
	(void)vsw;
	for (struct port_policy *pp = all; pp; pp = pp->next) {
		atomic_store_explicit(&pp->resim, RESIM_PER_TICK, memory_order_relaxed);
		flow_table_tick(pp->flows, now32());
	}
}

/* ---- What is told --------------------------------------------------------------------------- */

bool vsw_port_flow_stats(const struct vsw_port *port, struct vsw_flow_stats *s)
{
	struct port_policy *pp = atomic_load(&port->policy);
	struct flow_table_stats t;

	if (!pp)
		return false;
	flow_table_stats(pp->flows, &t);
	*s = (struct vsw_flow_stats){.n = t.n,
				     .max = t.max,
				     .made = t.made,
				     .expired = t.expired,
				     .cut = t.cut,
				     .full = t.full,
				     .full_share = t.full_share,
				     .resimulated = atomic_load(&pp->resimulated),
				     .kept = atomic_load(&pp->kept)};
	for (unsigned int dir = 0; dir < POLICY_N_DIRS; dir++)
		s->denied[dir] = atomic_load(&pp->denied[dir]);
	return true;
}

/* Somebody looks at all connections of a port. */
struct visit {
	struct port_policy *pp;
	bool (*fn)(void *arg, const struct vsw_flow_info *f);
	void *arg;
	uint32_t now_ms;
	bool cut;
	/* those that were picked, to be removed when the table's lock is free again */
	struct flow **picked;
	size_t n, max;
};

void policy_flow_info(const struct port_policy *pp, const struct flow *f, uint32_t now_ms,
		      struct vsw_flow_info *to)
{
	const struct policy_version *ver = version_now(pp);
	const struct flow_extra *x = atomic_load(&f->extra);
	uint8_t flags = atomic_load(&f->flags);
	uint32_t out = now_ms - atomic_load(&f->count[POLICY_OUT].last_ms);
	uint32_t in = now_ms - atomic_load(&f->count[POLICY_IN].last_ms);
	uint32_t idle = MIN(out, in), limit = flow_timeout(pp->flows, f);

	idle = idle > UINT32_MAX / 2 ? 0 : idle;
	*to = (struct vsw_flow_info){.proto = f->key.proto,
				     .vid = f->key.zone,
				     .lport = f->key.lport,
				     .rport = f->key.rport,
				     .translated = x && (flags & FLOW_ALIAS),
				     .offloaded = atomic_load(&f->offload),
				     .kept = flags & FLOW_KEPT,
				     .origin = (enum policy_dir)f->origin,
				     .state = flow_state_name(atomic_load(&f->state)),
				     .age_ms = now_ns() / NSEC_PER_MSEC - f->created_ms,
				     .idle_ms = idle,
				     .expires_ms = idle < limit ? limit - idle : 0,
				     .layer = "",
				     .group = "",
				     .rule = ""};
	memcpy(to->local, f->key.local, 16);
	memcpy(to->remote, f->key.remote, 16);
	if (to->translated) {
		memcpy(to->outside, x->alias.local, 16);
		to->outside_port = x->alias.lport;
	}
	for (unsigned int dir = 0; dir < POLICY_N_DIRS; dir++) {
		to->packets[dir] = atomic_load(&f->count[dir].packets);
		to->bytes[dir] = atomic_load(&f->count[dir].bytes);
		if (x && x->half[dir].mark)
			to->mark = x->half[dir].mark;
	}
	to->stale = !ver || ver->gen != atomic_load(&f->gen);
	if (!to->stale && !to->kept && f->rule != POLICY_NO_RULE) {
		to->layer = policy_layer_name(ver->policy, f->layer);
		to->group = policy_group_name(ver->policy, f->layer, f->group);
		to->rule = policy_rule_name(ver->policy, f->layer, f->group, f->rule);
	}
}

static void pick(struct visit *v, struct flow *f)
{
	if (v->n == v->max) {
		size_t max = v->max ? v->max * 2 : 256;
		struct flow **p = realloc(v->picked, max * sizeof(*p));

		if (!p)
			return;
		v->picked = p;
		v->max = max;
	}
	v->picked[v->n++] = f;
}

static bool visit_one(void *arg, struct flow *f)
{
	struct vsw_flow_info info;
	struct visit *v = arg;

	policy_flow_info(v->pp, f, v->now_ms, &info);
	if (!v->cut)
		return v->fn(v->arg, &info);
	if (v->fn(v->arg, &info))
		pick(v, f);
	return true;
}

bool vsw_port_flows_some(struct vsw_port *port, uint32_t *at, uint32_t max,
			 bool (*fn)(void *arg, const struct vsw_flow_info *f), void *arg)
{
	struct visit v = {
		.pp = atomic_load(&port->policy), .fn = fn, .arg = arg, .now_ms = now32()};

	return v.pp && flow_table_some(v.pp->flows, at, max, visit_one, &v);
}

void vsw_port_flows(struct vsw_port *port, bool (*fn)(void *arg, const struct vsw_flow_info *f),
		    void *arg)
{
	uint32_t at = 0;

	vsw_port_flows_some(port, &at, UINT32_MAX, fn, arg);
}

bool vsw_port_flows_cut_some(struct vsw_port *port, uint32_t *at, uint32_t max,
			     bool (*fn)(void *arg, const struct vsw_flow_info *f), void *arg,
			     size_t *n)
{
	struct visit v = {.pp = atomic_load(&port->policy),
			  .fn = fn,
			  .arg = arg,
			  .now_ms = now32(),
			  .cut = true};

	bool more;

	if (!v.pp)
		return false;
	more = flow_table_some(v.pp->flows, at, max, visit_one, &v);
	/* Records are used again only by a tick, which is this thread's too. */
	for (size_t i = 0; i < v.n; i++)
		flow_remove(v.pp->flows, v.picked[i], true);
	*n += v.n;
	free(v.picked);
	return more;
}

size_t vsw_port_flows_cut(struct vsw_port *port,
			  bool (*fn)(void *arg, const struct vsw_flow_info *f), void *arg)
{
	uint32_t at = 0;
	size_t n = 0;

	vsw_port_flows_cut_some(port, &at, UINT32_MAX, fn, arg, &n);
	return n;
}
