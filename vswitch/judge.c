/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the judging of packets at a port with policy, beyond the usual case of a known connection in
 * a steady state (judge.h).
 *
 * Theory. A packet of a known connection is let through without asking any rule. What is left:
 *
 * - No record: the layers are walked. Denied: dropped, nothing is kept. Allowed: a record is made,
 *   with its other direction open but not yet judged.
 * - A record, but this direction was not judged: the first answer. The layers that let the first
 *   packet pass with a stateful rule are skipped, one that translated is undone, others are asked.
 * - A record that an earlier policy judged: its first direction is judged anew, by what its key
 * says. Allowed: its answers are open again. Denied, or translated otherwise: an existing
 * connection stays as it is, unless the policy came with a flush; then it is cut. Only so many a
 * tick are judged anew, others go on as before meanwhile, so that a change of policy costs no burst
 * of walks. With a flush there is no such limit.
 * - No connection (ARP, groups, ICMP errors): walked each time. An ICMP error about a known
 * connection passes, and a later fragment of a packet whose first one did.
 */
#include "vswitch/judge.h"

#include <netinet/in.h>

#include "base/wire.h"
#include "vswitch/icmp.h"

/* ---- Results -------------------------------------------------------------------------------- */

static enum vsw_drop denied(struct judging *j, const struct policy_result *res)
{
	if (!j->trace)
		atomic_fetch_add_explicit(&j->pp->denied[j->dir], 1, memory_order_relaxed);
	j->flow = NULL;
	j->layer = res->layer;
	j->group = res->group;
	j->rule = res->rule;
	return res->no_nat_port ? VSW_DROP_NAT_PORTS : VSW_DROP_POLICY;
}

static bool half_is_plain(const struct policy_result *res)
{
	return !res->xpose.flags && !res->n_limits && !res->n_meters && !res->mirror && !res->mark;
}

/* References to limits and meters are the caller's to take: see hold_half(). */
static void fill_half(struct flow_half *h, const struct policy *p, const struct policy_result *res)
{
	h->xpose = res->xpose;
	h->n_limits = res->n_limits;
	h->n_meters = res->n_meters;
	for (unsigned int i = 0; i < res->n_limits; i++)
		h->limits[i] = res->limits[i];
	for (unsigned int i = 0; i < res->n_meters; i++)
		h->meters[i] = policy_meter(p, res->meters[i]);
	h->mirror = res->mirror;
	h->mark = res->mark;
}

static void hold_half(struct flow_half *h)
{
	for (unsigned int i = 0; i < h->n_limits; i++)
		policy_limit_get(h->limits[i]);
	for (unsigned int i = 0; i < h->n_meters; i++)
		policy_meter_get(h->meters[i]);
}

/* ---- Address translation -------------------------------------------------------------------- */

static bool is_icmp(uint8_t proto)
{
	return proto == IPPROTO_ICMP || proto == IPPROTO_ICMPV6;
}

static void set_local_port(struct flow_key *key, uint16_t port)
{
	key->lport = port;
	if (is_icmp(key->proto))
		key->rport = port;
}

/* Who asks for a port. */
struct port_search {
	const struct flow_table *flows;
	const struct flow_key *key;
	uint32_t hash;
	const struct flow_extra *now; /* of a connection that has one; else NULL */
	const struct flow *gone;      /* its port counts as free */
};

/* A port of the range such that the connection's key outside is nobody else's. */
static bool choose_port(void *arg, const struct policy_action *a, const struct policy_fields *f,
			uint16_t *port)
{
	const struct port_search *s = arg;
	struct flow_key alias = *s->key;
	const struct flow *other;
	uint32_t n = (uint32_t)a->nat_port.hi - a->nat_port.lo + 1;

	(void)f;
	memcpy(alias.local, a->nat_addr, 16);
	if (s->now && !memcmp(s->now->alias.local, a->nat_addr, 16) &&
	    s->now->alias.lport >= a->nat_port.lo && s->now->alias.lport <= a->nat_port.hi) {
		*port = s->now->alias.lport;
		return true;
	}
	for (uint32_t i = 0; i < n; i++) {
		*port = (uint16_t)(a->nat_port.lo + (s->hash + i) % n);
		set_local_port(&alias, *port);
		other = flow_find(s->flows, &alias, flow_hash(&alias), POLICY_IN);
		if (!other || other == s->gone)
			return true;
	}
	return false;
}

/*
 * The connection's two keys: @inside as the guest has it, @alias as the network has it. @key: the
 * packet's before the walk. True: they differ.
 */
static bool two_keys(const struct flow_key *key, enum policy_dir dir,
		     const struct policy_result *res, struct flow_key *inside,
		     struct flow_key *alias)
{
	const struct vsw_xpose *x = &res->xpose;
	struct flow_key *other = dir == POLICY_OUT ? alias : inside;

	*inside = *alias = *key;
	if (res->conn.nat_layer < 0)
		return false;
	if (dir == POLICY_OUT) {
		if (x->flags & XPOSE_IP_SRC)
			memcpy(other->local, x->ip_src, 16);
		if (x->flags & XPOSE_L4_SRC)
			set_local_port(other, x->l4_src);
	} else {
		if (x->flags & XPOSE_IP_DST)
			memcpy(other->local, x->ip_dst, 16);
		if (x->flags & XPOSE_L4_DST)
			set_local_port(other, x->l4_dst);
	}
	return !flow_key_same(inside, alias);
}

/* What undoes the translation of @f on a packet against its first direction. */
static void undo_of(const struct flow *f, const struct flow_extra *x, struct policy_conn *conn)
{
	bool out = f->origin == POLICY_OUT;
	struct vsw_xpose *b = &conn->back;
	const struct flow_key *to;

	*conn = (struct policy_conn){.stateful = f->conn_stateful, .nat_layer = f->nat_layer};
	if (!x || !(atomic_load(&f->flags) & FLOW_ALIAS)) {
		conn->nat_layer = -1;
		return;
	}
	to = out ? &f->key : &x->alias;
	b->flags = out ? XPOSE_IP_DST : XPOSE_IP_SRC;
	memcpy(out ? b->ip_dst : b->ip_src, to->local, 16);
	if (f->key.lport == x->alias.lport)
		return;
	b->flags |= out ? XPOSE_L4_DST : XPOSE_L4_SRC;
	*(out ? &b->l4_dst : &b->l4_src) = to->lport;
}

/* ---- Records ------------------------------------------------------------------------------- */

static enum vsw_drop make_record(struct judging *j, const struct pkt *pkt,
				 const struct policy_result *res)
{
	struct flow_new n = {.gen = j->v->gen,
			     .idle_ms = res->idle_ms,
			     .origin = j->dir,
			     .state = flow_first_state(pkt->l4_proto, judge_tcp_flags(pkt)),
			     .share = j->share,
			     .share_max = j->share_max,
			     .conn_stateful = res->conn.stateful,
			     .nat_layer = res->conn.nat_layer,
			     .layer = res->layer,
			     .group = res->group,
			     .rule = res->rule};
	struct flow_key alias;
	struct flow_extra *x;
	bool made;

	n.alias = two_keys(&j->key, j->dir, res, &n.key, &alias);
	if (n.alias || !half_is_plain(res)) {
		n.extra = x = flow_extra_new();
		if (!x)
			return VSW_DROP_FLOWS;
		fill_half(&x->half[j->dir], j->v->policy, res);
		hold_half(&x->half[j->dir]);
		x->alias = alias;
		x->alias_hash = flow_hash(&alias);
	}
	j->flow = flow_insert(j->pp->flows, &n, j->now_ms, &made);
	if (!j->flow)
		return VSW_DROP_FLOWS;
	x = atomic_load_explicit(&j->flow->extra, memory_order_acquire);
	j->half = x ? &x->half[j->dir] : NULL;
	return VSW_DROP_NONE;
}

static void walk(struct judging *j, const struct pkt *pkt, struct policy_fields *f,
		 struct policy_result *res, const struct policy_conn *reply)
{
	struct port_search s = {
		.flows = j->pp->flows, .key = &j->key, .hash = j->hash, .gone = j->gone};
	const struct policy_ctx ctx = {.reply = reply,
				       .nat_port = j->has_key ? choose_port : NULL,
				       .arg = &s,
				       .trace = j->trace};

	policy_fields_from(f, pkt);
	policy_walk(j->v->policy, j->dir, f, res, &ctx);
}

static enum vsw_drop first_packet(struct judging *j, const struct pkt *pkt)
{
	struct policy_result res;
	struct policy_fields f;

	walk(j, pkt, &f, &res, NULL);
	if (res.verdict == POLICY_DENY)
		return denied(j, &res);
	if (j->has_key && j->may_make)
		return make_record(j, pkt, &res);
	if (!half_is_plain(&res)) {
		fill_half(j->own_half, j->v->policy, &res);
		j->half = j->own_half;
	}
	return VSW_DROP_NONE;
}

/* A copy of what @f needs, with its references; half @dir is left empty. NULL: no memory. */
static struct flow_extra *copy_extra(const struct flow_extra *old, enum policy_dir dir)
{
	enum policy_dir other = dir == POLICY_OUT ? POLICY_IN : POLICY_OUT;
	struct flow_extra *x = flow_extra_new();

	if (x && old) {
		x->half[other] = old->half[other];
		hold_half(&x->half[other]);
		x->alias = old->alias;
		x->alias_hash = old->alias_hash;
	}
	return x;
}

/* The first packet in a direction that was not judged yet. */
static enum vsw_drop first_answer(struct judging *j, const struct pkt *pkt)
{
	struct flow_change c = {.gen = j->v->gen, .set = (uint8_t)(FLOW_OUT_OK << j->dir)};
	struct flow *flow = j->flow;
	struct flow_extra *old = atomic_load_explicit(&flow->extra, memory_order_acquire), *x;
	struct policy_result res;
	struct policy_fields f;
	struct policy_conn conn;

	undo_of(flow, old, &conn);
	walk(j, pkt, &f, &res, (uint8_t)j->dir == flow->origin ? NULL : &conn);
	if (res.verdict == POLICY_DENY)
		return denied(j, &res);
	if (old || !half_is_plain(&res)) {
		c.replace = true;
		c.extra = copy_extra(old, j->dir);
		if (!c.extra)
			return VSW_DROP_FLOWS;
		fill_half(&c.extra->half[j->dir], j->v->policy, &res);
		hold_half(&c.extra->half[j->dir]);
	}
	/* Its gen stays: somebody may be judging it anew for another one. */
	c.gen = atomic_load(&flow->gen);
	flow_change(j->pp->flows, flow, &c);
	x = atomic_load_explicit(&flow->extra, memory_order_acquire);
	j->half = x ? &x->half[j->dir] : NULL;
	return VSW_DROP_NONE;
}

/* ---- Judging anew --------------------------------------------------------------------------- */

static bool must_be_now(const struct judging *j, uint32_t gen)
{
	return (int32_t)(gen - j->v->flush_gen) < 0;
}

/* What rules would have seen of the connection's first packet. */
static void first_fields(const struct flow *f, const struct flow_extra *x, const struct judging *j,
			 const struct pkt *pkt, struct policy_fields *to)
{
	bool out = f->origin == POLICY_OUT, same = (uint8_t)j->dir == f->origin;
	bool alias = x && (atomic_load(&f->flags) & FLOW_ALIAS);
	const struct flow_key *key = !out && alias ? &x->alias : &f->key;
	struct policy_fields now;

	policy_fields_from(&now, pkt);
	*to = now;
	to->src_mac = same ? now.src_mac : now.dst_mac;
	to->dst_mac = same ? now.dst_mac : now.src_mac;
	memcpy(to->src, out ? key->local : key->remote, 16);
	memcpy(to->dst, out ? key->remote : key->local, 16);
	to->sport = out ? key->lport : key->rport;
	to->dport = out ? key->rport : key->lport;
	if (is_icmp(key->proto)) {
		to->has_ident = true;
		to->ident = key->lport;
		to->sport = key->proto == IPPROTO_ICMP ? 8 : 128;
		to->dport = 0;
	}
}

static bool is_later(const struct flow *f, const struct judging *j)
{
	return (int32_t)(atomic_load_explicit(&f->gen, memory_order_acquire) - j->v->gen) > 0;
}

/* @gen: what it was judged by before. */
static enum vsw_drop cut_or_keep(struct judging *j, const struct policy_result *res, uint32_t gen)
{
	const struct flow_change keep = {.gen = j->v->gen, .set = FLOW_KEPT};
	const struct flow_change cut = {
		.gen = j->v->gen, .layer = res->layer, .group = res->group, .rule = res->rule};
	struct flow *f = j->flow;

	if (must_be_now(j, gen))
		return flow_cut(j->pp->flows, f, gen, &cut, j->now_ms) || !is_later(f, j)
			       ? denied(j, res)
			       : JUDGE_AGAIN;
	if (flow_change(j->pp->flows, f, &keep))
		atomic_fetch_add_explicit(&j->pp->kept, 1, memory_order_relaxed);
	return is_later(f, j) ? JUDGE_AGAIN : VSW_DROP_NONE;
}

/* @res allows: is the translation the one that it has? */
static bool same_alias(const struct flow *f, const struct flow_extra *x,
		       const struct policy_result *res)
{
	bool has = atomic_load(&f->flags) & FLOW_ALIAS;
	struct flow_key inside, alias;
	bool two = two_keys(f->origin == POLICY_OUT || !has ? &f->key : &x->alias,
			    (enum policy_dir)f->origin, res, &inside, &alias);

	if (two != has)
		return false;
	return !has || (flow_key_same(&inside, &f->key) && flow_key_same(&alias, &x->alias));
}

/* The connection under today's policy. VSW_DROP_NONE: it goes on. */
static enum vsw_drop judge_anew(struct judging *j, const struct pkt *pkt, uint32_t gen)
{
	struct flow *f = j->flow;
	enum policy_dir origin = (enum policy_dir)f->origin;
	struct flow_extra *old = atomic_load_explicit(&f->extra, memory_order_acquire);
	struct port_search s = {.flows = j->pp->flows, .key = &f->key, .hash = f->hash, .now = old};
	const struct policy_ctx ctx = {.nat_port = choose_port, .arg = &s};
	uint8_t ok = (uint8_t)(FLOW_OUT_OK << origin);
	struct policy_result res;
	struct policy_fields fields;
	struct flow_change c;

	atomic_fetch_add_explicit(&j->pp->resimulated, 1, memory_order_relaxed);
	first_fields(f, old, j, pkt, &fields);
	policy_walk(j->v->policy, origin, &fields, &res, &ctx);
	if (res.verdict == POLICY_DENY || !same_alias(f, old, &res))
		return cut_or_keep(j, &res, gen);
	c = (struct flow_change){.gen = j->v->gen,
				 .set = ok,
				 .clear = (FLOW_OUT_OK | FLOW_IN_OK | FLOW_KEPT) & ~ok,
				 .replace = true,
				 .conn_stateful = res.conn.stateful,
				 .nat_layer = res.conn.nat_layer,
				 .idle_ms = res.idle_ms,
				 .layer = res.layer,
				 .group = res.group,
				 .rule = res.rule,
				 .new_rule = true};
	if ((atomic_load(&f->flags) & FLOW_ALIAS) || !half_is_plain(&res)) {
		c.extra = flow_extra_new();
		if (!c.extra)
			return VSW_DROP_NONE; /* as before; the next packet tries again */
		fill_half(&c.extra->half[origin], j->v->policy, &res);
		hold_half(&c.extra->half[origin]);
		if (old) {
			c.extra->alias = old->alias;
			c.extra->alias_hash = old->alias_hash;
		}
	}
	flow_change(j->pp->flows, f, &c);
	return is_later(f, j) ? JUDGE_AGAIN : VSW_DROP_NONE;
}

/* ---- Everything else ------------------------------------------------------------------------ */

/* The connection that an ICMP error is about, as this port sees it. */
static struct flow *quoted_flow(const struct judging *j, const struct pkt *pkt)
{
	const uint8_t *h = pkt->hdr;
	struct flow_key key, seen;
	struct icmp_quote q;

	if (!icmp_quote(pkt, &q) || q.later || !(q.has_ports || q.has_id))
		return NULL;
	memset(&key, 0, sizeof(key));
	if (q.l3 == PKT_L3_IPV4) {
		key.local[10] = key.local[11] = key.remote[10] = key.remote[11] = 0xff;
		memcpy(key.local + 12, h + q.src_off, 4);
		memcpy(key.remote + 12, h + q.dst_off, 4);
	} else {
		memcpy(key.local, h + q.src_off, 16);
		memcpy(key.remote, h + q.dst_off, 16);
	}
	key.proto = q.proto;
	key.zone = j->key.zone;
	if (q.has_id) {
		key.lport = key.rport = be16_load(h + q.l4_off + 4);
	} else {
		key.lport = be16_load(h + q.l4_off);
		key.rport = be16_load(h + q.l4_off + 2);
	}
	/* The quoted packet travelled against the error: outbound for an error that comes in. */
	seen = key;
	if (j->dir == POLICY_OUT)
		flow_key_turn(&seen, &key);
	return flow_find(j->pp->flows, &seen, flow_hash(&seen), j->dir);
}

static enum vsw_drop without_connection(struct judging *j, const struct pkt *pkt)
{
	const struct flow_extra *x;
	struct flow *f = NULL;

	if (pkt->l4 == PKT_L4_ICMP || pkt->l4 == PKT_L4_ICMPV6) {
		f = quoted_flow(j, pkt);
		j->quote = f != NULL;
	} else if (pkt_is_later_fragment(pkt)) {
		f = flow_frag_find(&j->pp->frags, flow_frag_id(pkt, j->key.zone, j->dir),
				   j->now_ms);
	}
	if (!f)
		return first_packet(j, pkt);
	j->flow = f;
	x = atomic_load_explicit(&f->extra, memory_order_acquire);
	j->half = x ? &x->half[j->dir] : NULL;
	return VSW_DROP_NONE;
}

/* What judge_anew() would come to, and nothing is changed. False: it would not let it in. */
static bool explain_anew(struct judging *j, const struct pkt *pkt, struct policy_result *res)
{
	struct flow *f = j->flow;
	struct flow_extra *x = atomic_load_explicit(&f->extra, memory_order_acquire);
	struct port_search s = {.flows = j->pp->flows, .key = &f->key, .hash = f->hash, .now = x};
	const struct policy_ctx ctx = {.nat_port = choose_port, .arg = &s, .trace = j->trace};
	struct policy_fields fields;

	first_fields(f, x, j, pkt, &fields);
	policy_walk(j->v->policy, (enum policy_dir)f->origin, &fields, res, &ctx);
	return res->verdict != POLICY_DENY && same_alias(f, x, res);
}

/* What first_answer() would come to. @conn: as the policy now in force has it. */
static enum vsw_drop explain_answer(struct judging *j, const struct pkt *pkt,
				    const struct policy_conn *conn)
{
	struct flow *f = j->flow;
	struct policy_result res;
	struct policy_fields fields;
	enum vsw_drop why = VSW_DROP_NONE;

	j->trace->n = 0;
	walk(j, pkt, &fields, &res, (uint8_t)j->dir == f->origin ? NULL : conn);
	if (res.verdict == POLICY_DENY)
		why = denied(j, &res);
	fill_half(j->own_half, j->v->policy, &res);
	j->half = j->own_half;
	j->flow = f;
	return why;
}

/*
 * What a packet of a known connection would meet, and nothing is changed. The trace is of the walk
 * that decides, or would, were the connection not there.
 */
static enum vsw_drop explain_known(struct judging *j, const struct pkt *pkt)
{
	struct flow *f = j->flow;
	const struct flow_extra *x = atomic_load_explicit(&f->extra, memory_order_acquire);
	uint32_t gen = atomic_load_explicit(&f->gen, memory_order_acquire);
	bool judged = atomic_load(&f->flags) >> j->dir & 1, stale = gen != j->v->gen;
	struct policy_result res;
	struct policy_conn conn;
	enum vsw_drop why;

	undo_of(f, x, &conn);
	if (stale && !explain_anew(j, pkt, &res)) {
		if (must_be_now(j, gen)) {
			why = denied(j, &res);
			j->flow = f;
			return why;
		}
	} else if (stale && (uint8_t)j->dir == f->origin) {
		fill_half(j->own_half, j->v->policy, &res);
		j->half = j->own_half;
		return VSW_DROP_NONE;
	} else if (stale) {
		judged = false; /* its answers are open again */
		conn.stateful = res.conn.stateful;
	}
	if (!stale || !judged) {
		why = explain_answer(j, pkt, &conn);
		if (!judged)
			return why;
	}
	j->half = x ? &x->half[j->dir] : NULL;
	return VSW_DROP_NONE;
}

/* A copy of a flood, whose others went by this policy already. */
static enum vsw_drop by_rules_alone(struct judging *j, const struct pkt *pkt)
{
	j->flow = NULL;
	return first_packet(j, pkt);
}

/* It is cut, by this policy. Who of TCP goes on sending keeps it so. */
static enum vsw_drop cut_off(struct judging *j)
{
	struct flow *f = j->flow;

	if (f->key.proto == IPPROTO_TCP && !j->trace)
		atomic_store_explicit(&f->count[j->dir].last_ms, j->now_ms, memory_order_relaxed);
	atomic_fetch_add_explicit(&j->pp->denied[j->dir], !j->trace, memory_order_relaxed);
	j->layer = f->layer;
	j->group = f->group;
	j->rule = f->rule;
	j->flow = NULL;
	return VSW_DROP_POLICY;
}

/* Is the record at an end, so that the packet is a first one? */
static bool is_over(const struct judging *j, uint8_t tcp_flags)
{
	const struct flow *f = j->flow;

	if (flow_is_reopened(f, tcp_flags))
		return true;
	/* What an earlier policy has cut a later one may let in. */
	return atomic_load_explicit(&f->state, memory_order_relaxed) == FLOW_CUT &&
	       (int32_t)(j->v->gen - atomic_load_explicit(&f->gen, memory_order_acquire)) > 0;
}

static enum vsw_drop judge(struct judging *j, const struct pkt *pkt)
{
	uint8_t tcp_flags = judge_tcp_flags(pkt);
	const struct flow_extra *x;
	enum vsw_drop why;
	uint32_t gen;

	if (!j->has_key)
		return without_connection(j, pkt);
	if (j->flow && is_over(j, tcp_flags)) {
		if (!j->trace)
			flow_remove(j->pp->flows, j->flow, false);
		else
			j->gone = j->flow;
		j->flow = NULL;
	}
	if (!j->flow)
		return first_packet(j, pkt);
	if (atomic_load_explicit(&j->flow->state, memory_order_relaxed) == FLOW_CUT &&
	    atomic_load_explicit(&j->flow->gen, memory_order_acquire) == j->v->gen)
		return cut_off(j);
	if (j->trace)
		return explain_known(j, pkt);
	gen = atomic_load_explicit(&j->flow->gen, memory_order_acquire);
	if (unlikely((int32_t)(gen - j->v->gen) > 0))
		return j->may_make ? JUDGE_AGAIN : by_rules_alone(j, pkt);
	if (gen != j->v->gen &&
	    (must_be_now(j, gen) ||
	     atomic_fetch_sub_explicit(&j->pp->resim, 1, memory_order_relaxed) > 0)) {
		why = judge_anew(j, pkt, gen);
		if (why == JUDGE_AGAIN && !j->may_make)
			return by_rules_alone(j, pkt);
		if (why != VSW_DROP_NONE)
			return why;
	}
	if (!(atomic_load(&j->flow->flags) >> j->dir & 1)) {
		why = first_answer(j, pkt);
		if (why != VSW_DROP_NONE)
			return why;
	} else {
		x = atomic_load_explicit(&j->flow->extra, memory_order_acquire);
		j->half = x ? &x->half[j->dir] : NULL;
	}
	flow_step(j->flow, j->dir, tcp_flags);
	return VSW_DROP_NONE;
}

enum vsw_drop judge_slow(struct judging *j, const struct pkt *pkt)
{
	enum vsw_drop why = judge(j, pkt);

	if (unlikely(pkt->fragment) && why == VSW_DROP_NONE && j->has_key && j->flow && !j->trace)
		flow_frag_note(&j->pp->frags, flow_frag_id(pkt, j->key.zone, j->dir), j->flow,
			       j->now_ms);
	return why;
}
