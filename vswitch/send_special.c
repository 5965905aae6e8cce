/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the way of packets in a network in which any port has a policy or features.
 *
 * Theory. The same way as in send.c, with a stop at the sender's port (direction OUT) before the
 * way is found, and one at the receiver's (IN) behind it. A burst goes in stages, each over all of
 * up to SPECIAL_CHUNK packets, so that memory that one stage needs was fetched while the stage
 * before was busy with the other packets: parse and key, the sender's bucket; the sender's record;
 * judge OUT, find the way, the receiver's bucket; the receiver's record; judge IN, and hand over in
 * runs. Without a policy at the sender's port the way is found with the key.
 *
 * A packet that is to be changed is copied (struct pkt, not its bytes) to scratch of the thread,
 * and the copy goes on. The sender's own stays as it is: it offers it again when it has to wait. A
 * delivery may send in turn (a router's port), so scratch is a stack.
 *
 * Features (port_features.h) are asked for at the edges: what the sender's guest may send before
 * its policy, tags as the receiver has them behind the receiver's. Copies for mirrors are made when
 * a packet is through.
 *
 * Counting is done when a packet is through, since one that waits comes by again.
 */
#include <stdlib.h>
#include <sys/uio.h>

#include "vswitch/port_features_internal.h"
#include "vswitch/dropmon.h"
#include "vswitch/judge.h"
#include "vswitch/neighbour.h"
#include "vswitch/parse.h"
#include "vswitch/rcu.h"
#include "vswitch/send_internal.h"

#define SCRATCH_MAX 512 /* packets: SPECIAL_CHUNK at two ports, four sends deep */

/* ---- Scratch -------------------------------------------------------------------------------- */

static pthread_key_t scratch_key;
static pthread_once_t scratch_once = PTHREAD_ONCE_INIT;
static _Thread_local struct pkt *scratch;
static _Thread_local unsigned int scratch_used;

static void make_key(void)
{
	if (pthread_key_create(&scratch_key, free))
		abort();
}

struct pkt *special_scratch(void)
{
	if (unlikely(!scratch)) {
		pthread_once(&scratch_once, make_key);
		scratch = aligned_alloc(64, ALIGN_UP(SCRATCH_MAX * sizeof(*scratch), (size_t)64));
		if (!scratch || pthread_setspecific(scratch_key, scratch))
			return NULL;
	}
	return scratch_used < SCRATCH_MAX ? &scratch[scratch_used++] : NULL;
}

unsigned int special_enter(void)
{
	return scratch_used;
}

void special_leave(unsigned int mark)
{
	scratch_used = mark;
}

/* ---- One packet at one port ------------------------------------------------------------------ */

static void who_pays(const struct burst *b, struct judging *j)
{
	uint32_t max = j->pp->flows->max;

	j->share = (uint8_t)(b->from->id % FLOW_SHARES);
	/* At its own port a sender is bounded by the table alone. */
	if (j->dir == POLICY_IN)
		j->share_max = b->from->nic ? max / 4 : max / 4 * 3;
}

bool special_pay(const struct flow_half *h, uint64_t bytes, uint64_t now_ns)
{
	for (unsigned int i = 0; i < h->n_limits; i++) {
		if (policy_limit_take(h->limits[i], bytes, now_ns))
			continue;
		while (i--)
			policy_limit_give(h->limits[i], bytes);
		return false;
	}
	return true;
}

void special_pay_back(const struct flow_half *h, uint64_t bytes)
{
	for (unsigned int i = 0; i < h->n_limits; i++)
		policy_limit_give(h->limits[i], bytes);
}

/* Limits are paid and the header is changed. @quote: it is an ICMP error. */
static enum vsw_drop pass_half(const struct burst *b, const struct flow_half *h, bool quote,
			       uint64_t bytes, struct pkt **view)
{
	enum vsw_drop why = VSW_DROP_NO_BUFFER;
	struct pkt *in = *view, *out;

	if (h->n_limits && !b->watch && !special_pay(h, bytes, b->special->now_ns))
		return VSW_DROP_RATE;
	if (!h->xpose.flags)
		return VSW_DROP_NONE;
	out = special_scratch();
	if (out)
		why = quote ? xpose_apply_icmp_error(&h->xpose, in, out)
			    : xpose_apply(&h->xpose, in, out);
	if (why == VSW_DROP_NONE)
		*view = out;
	else if (!b->watch)
		special_pay_back(h, bytes);
	return why;
}

static enum vsw_drop judge_and_change(const struct burst *b, struct judging *j, struct visitor *at,
				      struct pkt **view)
{
	enum vsw_drop why = judge_packet(j, *view);
	bool own;

	if (unlikely(why != VSW_DROP_NONE)) {
		at->denied = (struct vsw_denier){
			.v = j->v, .layer = j->layer, .group = j->group, .rule = j->rule};
		return why;
	}
	own = j->half == j->own_half;
	if (unlikely(j->half != NULL)) {
		why = pass_half(b, j->half, j->quote, at->bytes, view);
		if (why != VSW_DROP_NONE)
			return why;
		at->to_mirrors |= j->half->mirror;
		/* What has no connection has no half that outlives this: counted at once. */
		if (own && !b->watch)
			judge_count(j->half, NULL, j->dir, at->packets, at->bytes,
				    b->special->now_ms);
	}
	at->stop[j->dir] =
		(struct stop){.flow = j->quote ? NULL : j->flow, .half = own ? NULL : j->half};
	return VSW_DROP_NONE;
}

/* Everything but the usual case. */
static enum vsw_drop stop_long(const struct burst *b, struct port_policy *pp,
			       const struct policy_version *v, enum policy_dir dir,
			       struct visitor *at, bool may_make, struct pkt **view)
	__attribute__((noinline));
static enum vsw_drop stop_long(const struct burst *b, struct port_policy *pp,
			       const struct policy_version *v, enum policy_dir dir,
			       struct visitor *at, bool may_make, struct pkt **view)
{
	struct special *s = b->special;
	struct flow_half own;
	struct judging j = {.pp = pp,
			    .v = v,
			    .dir = dir,
			    .has_key = at->has_key,
			    .may_make = may_make && !b->watch,
			    .now_ms = s->now_ms,
			    .trace = b->watch ? &b->watch->trace : NULL,
			    .rule = POLICY_NO_RULE,
			    .own_half = &own};
	const struct pkt *in = *view;
	enum vsw_drop why;

	if (dir == POLICY_OUT)
		j.key = at->key;
	else
		flow_key_turn(&j.key, &at->key);
	j.hash = at->hash;
	who_pays(b, &j);
	why = judge_and_change(b, &j, at, view);
	if (unlikely(b->watch != NULL))
		b->watch->stopped(b->watch, &j, why, in, *view);
	return why;
}

/*
 * @view: the packet, then what has become of it. @at->stop is filled in. @may_make: see struct
 * judging.
 */
static inline enum vsw_drop stop_at(const struct burst *b, struct port_policy *pp,
				    const struct policy_version *v, enum policy_dir dir,
				    struct visitor *at, bool may_make, struct pkt **view)
{
	const struct flow_half *half;
	struct flow_extra *x;
	struct flow *f = NULL;
	enum vsw_drop why;

	if (likely(at->has_key && !b->watch))
		f = judge_known(pp, v, dir, &at->key, at->hash, may_make ? at->guess : NULL, *view);
	if (unlikely(!f))
		return stop_long(b, pp, v, dir, at, may_make, view);
	x = atomic_load_explicit(&f->extra, memory_order_acquire);
	if (likely(!x)) {
		at->stop[dir].flow = f;
		return VSW_DROP_NONE;
	}
	half = &x->half[dir];
	why = pass_half(b, half, false, at->bytes, view);
	if (why != VSW_DROP_NONE)
		return why;
	at->to_mirrors |= half->mirror;
	at->stop[dir] = (struct stop){f, half};
	return VSW_DROP_NONE;
}

/* The key of what a packet has become on the way. */
static void new_key(struct visitor *at, const struct pkt *pkt)
{
	at->has_key = flow_key_hash_from(&at->key, &at->hash, pkt, at->vid);
	if (unlikely(!at->has_key))
		at->key.zone = at->vid;
}

/* ---- Stages ---------------------------------------------------------------------------------- */

static inline void fetch_bucket(const struct port_policy *pp, const struct visitor *at)
{
	if (pp && at->has_key)
		__builtin_prefetch(flow_bucket(pp->flows, at->hash));
}

/* The record of the first slot with the right part of the hash: almost always the one. */
static inline void fetch_record(const struct port_policy *pp, struct visitor *at,
				enum policy_dir dir)
{
	const struct flow_bucket *bucket;

	at->guess = NULL;
	if (!pp || !at->has_key)
		return;
	bucket = flow_bucket(pp->flows, at->hash);
	for (unsigned int i = 0; i < FLOW_SLOTS; i++) {
		uint64_t slot = atomic_load_explicit(&bucket->slot[i], memory_order_acquire);
		struct flow *f = flow_of_slot(slot);

		/* Acquired, since what is found here is looked into without a second look-up. */
		if (slot >> 48 != at->hash >> 16 || !f)
			continue;
		__builtin_prefetch(f);
		__builtin_prefetch(&f->count[dir], 1);
		at->guess = f;
		return;
	}
}

static void parse_one(struct burst *b, unsigned int i)
{
	struct special *s = b->special;
	struct visitor *at = &s->at[i];
	struct pkt *pkt = b->sent[i];
	enum vsw_drop why;

	s->view[i] = pkt;
	memset(at->stop, 0, sizeof(at->stop));
	at->denied.v = NULL;
	at->to_v = NULL;
	at->to_pp = NULL;
	at->way = (struct run){.n = 0};
	at->has_key = at->storm = at->to_mirrors = false;
	why = pkt_parse(pkt);
	if (likely(why == VSW_DROP_NONE)) {
		at->vid = at->fdb_vid = (uint16_t)send_vlan_id(pkt);
		if (unlikely(s->features != NULL))
			why = features_ingress(s->features, b->from, pkt, &at->vid, &at->fdb_vid);
		if (unlikely(flow_is_disguised(pkt)))
			why = VSW_DROP_SRC_INVALID;
	}
	if (unlikely(why != VSW_DROP_NONE)) {
		run_drop(&at->way, why, NULL);
		return;
	}
	at->packets = 1;
	at->bytes = pkt->len;
	if (unlikely(pkt->flags & (PKT_GSO | PKT_VLAN))) {
		at->packets = pkt_n_segs(pkt);
		at->bytes = pkt_wire_bytes(pkt);
	}
	new_key(at, pkt);
}

static const struct policy_version *policy_at(const struct burst *b, const struct vsw_port *to,
					      struct port_policy **pp)
{
	return policy_of(to, b->special->epoch, pp);
}

/* A policy that changes the tag moves the packet to another VLAN. */
static void new_vlan(struct visitor *at, const struct pkt *sent, const struct pkt *view)
{
	uint32_t vid = send_vlan_id(view);

	if (vid != send_vlan_id(sent))
		at->vid = at->fdb_vid = (uint16_t)vid;
}

/* Is the way open to a packet of this VLAN, and within the storm limit? */
static void may_go(struct burst *b, struct visitor *at)
{
	struct special *s = b->special;
	struct port_features *f = s->features;

	if (at->way.verdict == UNICAST) {
		const struct port_features *to = features_of(at->way.to);

		if (unlikely(to != NULL) && !vlan_may(features_vlan(f), features_vlan(to), at->vid))
			run_drop(&at->way, VSW_DROP_VLAN, NULL);
	} else if (at->way.verdict == FLOOD && f && f->conf.storm_pps && likely(!b->watch)) {
		at->storm = storm_take(&f->storm, (uint32_t)at->packets, s->now_ns);
		if (!at->storm)
			run_drop(&at->way, VSW_DROP_STORM, NULL);
	}
}

/* Where it goes, and what is to be asked there. */
static inline void find_receiver(struct burst *b, struct visitor *at, const struct pkt *view)
{
	send_find_way(b, view, at->fdb_vid, &at->way);
	may_go(b, at);
	if (at->way.verdict != UNICAST)
		return;
	at->to_v = policy_at(b, at->way.to, &at->to_pp);
	fetch_bucket(at->to_pp, at);
}

/* Without a policy at the sender's port nothing comes between this and the way. */
static void parse_stage(struct burst *b, unsigned int n)
{
	struct special *s = b->special;

	for (unsigned int i = 0; i < n; i++) {
		struct visitor *at = &s->at[i];

		if (i + 1 < n)
			__builtin_prefetch(b->sent[i + 1]->hdr);
		parse_one(b, i);
		if (s->v)
			fetch_bucket(s->pp, at);
		else if (likely(at->way.verdict != DROP && !b->watch))
			find_receiver(b, at, s->view[i]);
	}
}

/* Tags as @to has them. */
static enum vsw_drop retag(const struct visitor *at, const struct port_features *f,
			   struct pkt **view)
{
	struct vsw_xpose x = {0};
	struct pkt *out;

	if (!vlan_egress(features_vlan(f), at->vid, *view, &x))
		return VSW_DROP_NONE;
	out = special_scratch();
	if (!out)
		return VSW_DROP_NO_BUFFER;
	if (xpose_apply(&x, *view, out) != VSW_DROP_NONE)
		return VSW_DROP_REWRITE;
	*view = out;
	return VSW_DROP_NONE;
}

static inline enum vsw_drop retag_if_asked(const struct special *s, const struct visitor *at,
					   const struct vsw_port *to, struct pkt **view)
{
	const struct port_features *f = features_of(to);

	return likely(!f && !s->features) ? VSW_DROP_NONE : retag(at, f, view);
}

/* See JUDGE_AGAIN. */
static void start_again(struct burst *b, unsigned int i)
{
	struct special *s = b->special;
	const struct flow_half *paid = s->at[i].stop[POLICY_OUT].half;

	if (paid)
		special_pay_back(paid, s->at[i].bytes);
	s->epoch = atomic_load_explicit(&vsw_policy_epoch, memory_order_acquire);
	s->v = policy_of(b->from, s->epoch, &s->pp);
	s->at[i].guess = NULL;
	parse_one(b, i);
}

static void out_one(struct burst *b, unsigned int i)
{
	struct special *s = b->special;
	struct visitor *at = &s->at[i];
	enum vsw_drop why = VSW_DROP_NONE;

	if (at->way.verdict == DROP)
		return;
	while (s->v &&
	       (why = stop_at(b, s->pp, s->v, POLICY_OUT, at, true, &s->view[i])) == JUDGE_AGAIN)
		start_again(b, i);
	if (unlikely(why != VSW_DROP_NONE)) {
		run_drop(&at->way, why, NULL);
		return;
	}
	if (unlikely(s->view[i] != b->sent[i])) {
		new_vlan(at, b->sent[i], s->view[i]);
		new_key(at, s->view[i]);
	}
	find_receiver(b, at, s->view[i]);
}

/* Where the sender's port has a policy, or every step is watched. */
static void out_stage(struct burst *b, unsigned int n)
{
	struct special *s = b->special;

	/* All at once: as many lines as the core can ask for are on their way together. */
	for (unsigned int i = 0; s->v && i < n; i++)
		fetch_record(s->pp, &s->at[i], POLICY_OUT);
	for (unsigned int i = 0; i < n; i++)
		out_one(b, i);
}

static inline void in_one(struct burst *b, unsigned int i)
{
	struct special *s = b->special;
	struct visitor *at = &s->at[i];
	enum vsw_drop why = VSW_DROP_NONE;

	while (at->way.verdict == UNICAST && at->to_v &&
	       (why = stop_at(b, at->to_pp, at->to_v, POLICY_IN, at, true, &s->view[i])) ==
		       JUDGE_AGAIN) {
		start_again(b, i);
		out_one(b, i);
		why = VSW_DROP_NONE;
	}
	if (at->way.verdict != UNICAST)
		return;
	if (likely(why == VSW_DROP_NONE))
		why = retag_if_asked(s, at, at->way.to, &s->view[i]);
	if (unlikely(why != VSW_DROP_NONE))
		run_drop(&at->way, why, at->way.to);
}

static void in_stage(struct burst *b, unsigned int n)
{
	struct special *s = b->special;

	for (unsigned int i = 0; i < n; i++)
		fetch_record(s->at[i].to_pp, &s->at[i], POLICY_IN);
	for (unsigned int i = 0; i < n; i++)
		in_one(b, i);
}

/* What was paid for packets that were not consumed, which come by again. */
static void pay_back(struct special *s, unsigned int from, unsigned int n)
{
	for (unsigned int i = from; i < n; i++) {
		if (s->at[i].storm)
			storm_give(&s->features->storm, (uint32_t)s->at[i].packets, s->now_ns);
		for (unsigned int dir = 0; dir < POLICY_N_DIRS; dir++) {
			const struct flow_half *h = s->at[i].stop[dir].half;

			if (h)
				special_pay_back(h, s->at[i].bytes);
		}
	}
}

unsigned int special_hand_over(struct burst *b, unsigned int n)
{
	struct special *s = b->special;
	struct run run = {.n = 0};

	for (unsigned int i = 0; i < n; i++) {
		const struct run *next = &s->at[i].way;

		if (run.n && run_goes_on(&run, next)) {
			run.n++;
			continue;
		}
		if (!send_run_end(b, &run))
			goto out;
		run = *next;
		run.first = i;
		run.n = 1;
	}
	send_run_end(b, &run);
out:
	if (unlikely(run.first < n))
		pay_back(s, run.first, n);
	return run.first;
}

/* Up to SPECIAL_CHUNK packets; returns how many were consumed. */
static unsigned int special_chunk(struct burst *b, unsigned int n)
{
	unsigned int mark = special_enter(), done;

	parse_stage(b, n);
	if (b->special->v)
		out_stage(b, n);
	in_stage(b, n);
	done = special_hand_over(b, n);
	special_leave(mark);
	return done;
}

static void begin(struct burst *b, struct special *s)
{
	s->epoch = atomic_load_explicit(&vsw_policy_epoch, memory_order_acquire);
	s->v = policy_of(b->from, s->epoch, &s->pp);
	s->features = features_of(b->from);
	s->program = b->path ? b->path : b->from;
	if (b->watch || !atomic_load_explicit(&s->program->takes_flows, memory_order_relaxed))
		s->program = NULL;
	s->now_ns = now_ns();
	s->now_ms = (uint32_t)(s->now_ns / NSEC_PER_MSEC + 1);
	b->special = s;
	b->pkts = s->view;
}

unsigned int special_burst(struct burst *b, unsigned int n)
{
	struct pkt **sent = b->sent;
	struct special s;
	unsigned int done = 0;

	begin(b, &s);
	while (done < n) {
		unsigned int want = MIN(n - done, SPECIAL_CHUNK), got;

		b->sent = sent + done;
		got = special_chunk(b, want);
		done += got;
		if (got < want)
			break;
	}
	special_end(b);
	return done;
}

/* One copy, whichever end is a source: as it was sent, if that is one. */
static void copy_to_mirrors(struct burst *b, unsigned int i)
{
	struct special *s = b->special;
	const struct visitor *at = &s->at[i];
	const struct vsw_port *to = at->way.verdict == UNICAST ? at->way.to : NULL;
	bool sent = mirror_is_source(s->features);

	if (sent || at->to_mirrors || (to && mirror_is_source(features_of(to))))
		mirror_packet(b->net, b->from, to, features_vlan(s->features), at->vid,
			      sent ? b->sent[i] : s->view[i]);
}

void special_consumed(struct burst *b, unsigned int i, enum vsw_drop why)
{
	struct special *s = b->special;
	const struct visitor *at = &s->at[i];

	if (why == VSW_DROP_NONE)
		copy_to_mirrors(b, i);
	if (at->stop[POLICY_OUT].flow)
		judge_count(at->stop[POLICY_OUT].half, at->stop[POLICY_OUT].flow, POLICY_OUT,
			    at->packets, at->bytes, s->now_ms);
	if (at->stop[POLICY_IN].flow && why == VSW_DROP_NONE)
		judge_count(at->stop[POLICY_IN].half, at->stop[POLICY_IN].flow, POLICY_IN,
			    at->packets, at->bytes, s->now_ms);
	if (unlikely(s->program) && why == VSW_DROP_NONE)
		fast_offer(b, i);
}

/* ---- Floods ---------------------------------------------------------------------------------- */

static void flood_to(struct burst *b, struct vsw_port *to, struct pkt **pkts, unsigned int n)
{
	if (likely(!b->watch))
		send_flood_to(to, pkts, n);
	else
		b->watch->arrives(b->watch, to, VSW_DROP_NONE, pkts[0]);
}

/* Not to @to after all. */
static void flood_drop(struct burst *b, struct vsw_port *to, struct pkt *pkt, enum vsw_drop why,
		       const struct vsw_denier *by)
{
	if (likely(!b->watch))
		send_drop_at(to, pkt, why, by);
	else
		b->watch->arrives(b->watch, to, why, pkt);
}

/*
 * Somebody asks for an address that only @to's policy gives @to's guest, which knows nothing of it:
 * the switch answers for it.
 */
static void answer_for(struct burst *b, const struct vsw_port *to, const struct policy *p,
		       const struct pkt *question)
{
	uint8_t target[16], frame[NEIGH_ND_SIZE];
	struct pkt *answer;
	struct iovec iov;

	if (b->watch || !neigh_is_question(question, target) || !policy_owns(p, target))
		return;
	answer = special_scratch();
	iov = (struct iovec){frame, neigh_answer(question, to->mac, frame)};
	if (!answer || pkt_from_iov(answer, &iov, 1) || pkt_parse(answer) != VSW_DROP_NONE)
		return;
	if (question->flags & PKT_VLAN) {
		answer->flags |= PKT_VLAN;
		answer->vlan_tci = question->vlan_tci;
	}
	if (vsw_port_takes(b->from))
		send_flood_to(b->from, &answer, 1);
}

void special_flood(struct burst *b, struct vsw_port *to, struct pkt **pkts, unsigned int n)
{
	struct special *s = b->special;
	struct port_policy *pp;
	const struct policy_version *v = policy_at(b, to, &pp);
	const struct port_features *f = features_of(to);
	unsigned int mark = scratch_used;

	if (!v && !f && !s->features) {
		flood_to(b, to, pkts, n);
		return;
	}
	for (unsigned int i = 0; i < n; i++) {
		struct visitor *visitor = &s->at[pkts - s->view + i], at = *visitor;
		struct pkt *view = pkts[i];
		enum vsw_drop why = VSW_DROP_NONE;

		/* Not a loss: it is not there. */
		if (!vlan_may(features_vlan(s->features), features_vlan(f), at.vid))
			continue;
		if (v) {
			answer_for(b, to, v->policy, view);
			why = stop_at(b, pp, v, POLICY_IN, &at, false, &view);
		}
		if (why == VSW_DROP_NONE)
			why = retag_if_asked(s, &at, to, &view);
		if (why == VSW_DROP_NONE) {
			visitor->to_mirrors |= at.to_mirrors || mirror_is_source(f);
			flood_to(b, to, &view, 1);
			if (likely(!b->watch))
				judge_count(at.stop[POLICY_IN].half, at.stop[POLICY_IN].flow,
					    POLICY_IN, at.packets, at.bytes, s->now_ms);
		} else {
			flood_drop(b, to, view, why, &at.denied);
		}
		scratch_used = mark;
	}
}

/* ---- What is told --------------------------------------------------------------------------- */

const struct vsw_denier *special_denier(const struct burst *b, unsigned int i)
{
	return &b->special->at[i].denied;
}

static void watch_flood(struct burst *b)
{
	const struct port_list *l = atomic_load_explicit(&b->net->ports, memory_order_acquire);

	for (unsigned int i = 0; i < l->n; i++)
		if (l->port[i] != b->from && vsw_port_takes(l->port[i]))
			special_flood(b, l->port[i], b->pkts, 1);
}

void special_watch(struct burst *b, struct vsw_port *to, struct pkt *pkt, struct run *way)
{
	unsigned int mark = scratch_used;
	struct special s;

	begin(b, &s);
	b->sent = &pkt;
	parse_stage(b, 1);
	if (to && s.at[0].way.verdict != DROP) {
		s.at[0].way = (struct run){.verdict = UNICAST, .to = to};
		s.at[0].to_v = policy_at(b, to, &s.at[0].to_pp);
	} else {
		out_stage(b, 1);
	}
	*way = s.at[0].way;
	if (way->verdict == FLOOD) {
		watch_flood(b);
	} else if (way->verdict == UNICAST) {
		in_one(b, 0);
		b->watch->arrives(b->watch, way->to, s.at[0].way.why, s.view[0]);
	}
	special_end(b);
	scratch_used = mark;
}
