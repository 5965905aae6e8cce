/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the telling of what would become of a packet.
 *
 * The packet goes through send_special.c as any other, with a watch in the burst: that code then
 * leaves out what would last (deliveries, counts, learned addresses, connections, limits) and tells
 * the watch each port that judged, and each that the packet would be given to.
 */
#include "vswitch/explain.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vswitch/judge.h"
#include "vswitch/parse.h"
#include "vswitch/rcu.h"
#include "vswitch/send_internal.h"

/* Groups of one walk. */
#define MAX_STEPS (POLICY_MAX_LAYERS * POLICY_MAX_GROUPS)

static const char *const conn_names[] = {
	[VSW_CONN_NONE] = "none",
	[VSW_CONN_FIRST] = "first",
	[VSW_CONN_KNOWN] = "known",
	[VSW_CONN_ERROR] = "icmp-error",
};
static_assert(ARRAY_SIZE(conn_names) == VSW_N_CONNS, "a name for each");

static const char *const way_names[] = {
	[VSW_WAY_NOWHERE] = "nowhere",
	[VSW_WAY_PORT] = "port",
	[VSW_WAY_FLOOD] = "flood",
};
static_assert(ARRAY_SIZE(way_names) == VSW_N_WAYS, "a name for each");

const char *vsw_explain_conn_name(enum vsw_explain_conn conn)
{
	return (unsigned int)conn < VSW_N_CONNS ? conn_names[conn] : "unknown";
}

const char *vsw_explain_way_name(enum vsw_explain_way way)
{
	return (unsigned int)way < VSW_N_WAYS ? way_names[way] : "unknown";
}

struct watcher {
	struct send_watch w;
	struct vsw_explain *e;
	bool no_memory;
	struct policy_step steps[MAX_STEPS];
};

/* ---- One stop ------------------------------------------------------------------------------- */

/* A further receiver's, all zero; NULL: no memory. */
static struct vsw_explain_stop *add_in(struct watcher *w)
{
	struct vsw_explain *e = w->e;
	struct vsw_explain_stop *in = realloc(e->in, (e->n_in + 1) * sizeof(*in));

	if (!in) {
		w->no_memory = true;
		return NULL;
	}
	e->in = in;
	memset(&in[e->n_in], 0, sizeof(*in));
	return &in[e->n_in++];
}

static void put_steps(struct watcher *w, const struct policy *p, struct vsw_explain_stop *to)
{
	struct policy_trace *t = &w->w.trace;
	unsigned int n = MIN(t->n, t->max);
	int word = -1;

	t->n = 0;
	if (!n)
		return;
	to->steps = calloc(n, sizeof(*to->steps));
	if (!to->steps) {
		w->no_memory = true;
		return;
	}
	to->n_steps = n;
	for (unsigned int i = 0; i < n; i++) {
		const struct policy_step *s = &w->steps[i];
		bool asked = s->group != POLICY_NO_GROUP;

		to->steps[i] = (struct vsw_explain_step){
			.layer = policy_layer_name(p, s->layer),
			.group = asked ? policy_group_name(p, s->layer, s->group) : "",
			.rule = asked ? policy_rule_name(p, s->layer, s->group, s->rule) : "",
			.matched = s->rule != POLICY_NO_RULE,
			.reply = s->stateful};
		if (s->rule != POLICY_NO_RULE)
			word = (int)i;
	}
	/* A layer's last match has its word, and the last layer's that has one is the policy's. */
	if (word >= 0)
		to->steps[word].decides = true;
}

static void put_half(struct vsw_explain_stop *to, const struct flow_half *half)
{
	to->xpose = half->xpose;
	to->n_limits = half->n_limits;
	to->n_meters = half->n_meters;
	for (unsigned int i = 0; i < half->n_meters; i++)
		to->meters[i] = half->meters[i]->name;
	to->mirror = half->mirror;
	to->mark = half->mark;
}

static enum vsw_explain_conn conn_of(const struct judging *j)
{
	if (j->quote)
		return VSW_CONN_ERROR;
	if (j->flow)
		return VSW_CONN_KNOWN;
	return j->has_key ? VSW_CONN_FIRST : VSW_CONN_NONE;
}

static void on_stopped(struct send_watch *watch, const struct judging *j, enum vsw_drop why,
		       const struct pkt *in, const struct pkt *out)
{
	struct watcher *w = CONTAINER_OF(watch, struct watcher, w);
	struct vsw_explain_stop *to;

	to = j->dir == POLICY_OUT ? &w->e->out : add_in(w);
	if (!to)
		return;
	w->e->has_out |= j->dir == POLICY_OUT;
	memcpy(to->port, j->pp->port->name, sizeof(to->port));
	to->dir = j->dir;
	to->policy = true;
	to->gen = j->v->gen;
	to->why = why;
	to->conn = conn_of(j);
	if (j->flow)
		policy_flow_info(j->pp, j->flow, j->now_ms, &to->flow);
	put_steps(w, j->v->policy, to);
	if (j->half)
		put_half(to, j->half);
	policy_fields_from(&to->before, in);
	if (why == VSW_DROP_NONE)
		policy_fields_from(&to->after, out);
	else
		to->after = to->before;
}

/* A port without policy has its stop too, and one that drops for another reason than policy. */
static void on_arrives(struct send_watch *watch, struct vsw_port *port, enum vsw_drop why,
		       struct pkt *pkt)
{
	struct watcher *w = CONTAINER_OF(watch, struct watcher, w);
	struct vsw_explain *e = w->e;
	struct vsw_explain_stop *in = e->n_in ? &e->in[e->n_in - 1] : NULL;

	if (!in || strcmp(in->port, port->name) != 0) {
		in = add_in(w);
		if (!in)
			return;
		memcpy(in->port, port->name, sizeof(in->port));
		in->dir = POLICY_IN;
		policy_fields_from(&in->before, pkt);
		in->after = in->before;
	}
	if (in->why == VSW_DROP_NONE)
		in->why = why;
}

/* ---- The way -------------------------------------------------------------------------------- */

static void ends(struct vsw_explain *e, enum vsw_drop why, const char *at)
{
	e->why = why;
	memcpy(e->at, at, sizeof(e->at));
}

static void sum_up(struct vsw_explain *e, const struct burst *b, const struct run *way)
{
	unsigned int passed = 0;

	if (way->verdict == DROP) {
		ends(e, way->why, way->to ? way->to->name : b->from->name);
		return;
	}
	e->way = way->verdict == FLOOD ? VSW_WAY_FLOOD : VSW_WAY_PORT;
	for (unsigned int i = 0; i < e->n_in; i++) {
		passed += e->in[i].why == VSW_DROP_NONE;
		/* Copies of a flood make none. */
		if (e->way == VSW_WAY_FLOOD && e->in[i].conn == VSW_CONN_FIRST)
			e->in[i].conn = VSW_CONN_NONE;
	}
	if (!e->n_in)
		ends(e, VSW_DROP_NO_PORT, b->from->name);
	else if (!passed)
		ends(e, e->in[0].why, e->in[0].port);
}

/* A sender without policy has a stop all the same. */
static void plain_out(struct vsw_explain *e, const struct burst *b, const struct pkt *pkt)
{
	memcpy(e->out.port, b->from->name, sizeof(e->out.port));
	e->out.dir = POLICY_OUT;
	policy_fields_from(&e->out.before, pkt);
	e->out.after = e->out.before;
	e->has_out = true;
}

static void walk(struct burst *b, struct vsw_port *from, struct vsw_port *to, struct pkt *pkt,
		 struct vsw_explain *e)
{
	enum vsw_drop why = pkt_parse(pkt);
	struct run way;

	if (why != VSW_DROP_NONE) {
		ends(e, why, b->from->name);
		return;
	}
	if (from && !to && !atomic_load_explicit(&b->from->link, memory_order_relaxed)) {
		ends(e, VSW_DROP_LINK_DOWN, b->from->name);
		return;
	}
	special_watch(b, to, pkt, &way);
	if (!to && !e->has_out)
		plain_out(e, b, pkt);
	sum_up(e, b, &way);
}

int vsw_explain(struct vsw_port *from, struct vsw_port *to, struct pkt *pkt, struct vsw_explain *e)
{
	struct watcher w = {.w = {.trace = {.max = MAX_STEPS, .steps = w.steps},
				  .stopped = on_stopped,
				  .arrives = on_arrives},
			    .e = e};
	struct burst b = {.watch = &w.w, .last_mac = UINT64_MAX};
	struct vsw_port *outer;

	memset(e, 0, sizeof(*e));
	if (!from && !to)
		return -EINVAL;
	vsw_read_lock();
	b.from = from ? from : to;
	outer = atomic_load_explicit(&b.from->outer, memory_order_acquire);
	b.from = outer ? outer : b.from;
	b.net = atomic_load_explicit(&b.from->net, memory_order_acquire);
	b.own = fdb_mac(b.from->mac);
	if (b.net)
		walk(&b, from, to, pkt, e);
	else
		ends(e, VSW_DROP_NO_PORT, b.from->name);
	vsw_read_unlock();
	if (!w.no_memory)
		return 0;
	vsw_explain_fini(e);
	return -ENOMEM;
}

void vsw_explain_fini(struct vsw_explain *e)
{
	free(e->out.steps);
	for (unsigned int i = 0; i < e->n_in; i++)
		free(e->in[i].steps);
	free(e->in);
	memset(e, 0, sizeof(*e));
}
