/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Policy at a port: what becomes of one packet there. Between send.c, which asks, and the policy
 * (vswitch/policy/) and connections (vswitch/flow/) of the port. Inside the switch.
 */
#ifndef HVLAB_VSWITCH_JUDGE_H
#define HVLAB_VSWITCH_JUDGE_H

#include "vswitch/flow/flow.h"
#include "vswitch/port.h"

/* Immutable; published whole. */
struct policy_version {
	struct policy *policy;
	uint32_t gen;	    /* of the port, counts up with each change */
	uint32_t flush_gen; /* connections judged before it must be judged anew, and may be cut */
};

/**
 * struct port_policy - A port's policy and connections
 * @version:	By parity of the epoch, so that all ports change at one moment: see
 *		vsw_policy_publish(). NULL: no policy
 * @resim:	connections that may still be judged anew before the next tick
 * @share:	who a record is charged to that this port's packets make at others
 */
struct port_policy {
	_Atomic(struct policy_version *) version[2];
	struct flow_table *flows;
	struct vsw_port *port;
	struct flow_frags frags;
	_Atomic int32_t resim;
	uint32_t gen; /* control thread: the last one given */
	_Atomic uint64_t denied[POLICY_N_DIRS], resimulated, kept;
	struct port_policy *next; /* of all; control thread */
};

/* Counts the changes of policy of the whole switch. A burst looks once. */
extern _Atomic unsigned int vsw_policy_epoch;

/* The port's policy of that epoch, or NULL. In a read section. */
static inline struct policy_version *policy_of(const struct vsw_port *port, unsigned int epoch,
					       struct port_policy **pp)
{
	*pp = atomic_load_explicit(&port->policy, memory_order_acquire);
	return *pp ? atomic_load_explicit(&(*pp)->version[epoch & 1], memory_order_acquire) : NULL;
}

/**
 * struct judging - One packet at one port
 * @key:	as this port sees it; @hash: of it. Without @has_key: no connection can be found
 * @share, @share_max: see struct flow_new; of the sender
 * @may_make:	false: a copy of a flood makes no connection
 * @trace:	NULL: none. Else it is only explained: nothing is changed or counted
 * @gone:	with @trace: a connection that would have been removed
 *
 * Filled in by judge_packet():
 * @flow:	its connection, NULL: none
 * @half:	what its packets need beyond being let through; NULL: nothing. Valid in the read
 *		section
 * @quote:	it is an ICMP error about @flow
 * @layer, @group, @rule: with VSW_DROP_POLICY: who denied it
 */
struct judging {
	struct port_policy *pp;
	const struct policy_version *v;
	enum policy_dir dir;
	struct flow_key key;
	uint32_t hash;
	bool has_key, may_make, quote;
	uint8_t share;
	uint32_t share_max;
	uint32_t now_ms;
	struct policy_trace *trace;
	const struct flow *gone;
	struct flow_half *own_half; /* room for that of a packet without connection */
	/* results */
	struct flow *flow;
	const struct flow_half *half;
	uint8_t layer, group;
	uint32_t rule;
};

/*
 * A policy that is younger than this burst's has judged the connection: the packet is to be judged by
 * that one, at both its ports. There can be but one such policy, since a second one waits for the end
 * of this burst.
 */
#define JUDGE_AGAIN ((enum vsw_drop)VSW_N_DROPS)

/* VSW_DROP_NONE: it may pass. JUDGE_AGAIN only with @may_make. Any worker, in a read section. @pkt: parsed. */
enum vsw_drop judge_slow(struct judging *j, const struct pkt *pkt);

/* Flags of a TCP packet; 0 for others. */
static inline uint8_t judge_tcp_flags(const struct pkt *pkt)
{
	return pkt->l4 == PKT_L4_TCP ? pkt->hdr[pkt->l4_off + 13] : 0;
}

/* May the state of @f stay as it is, whatever comes behind this packet? */
static inline bool judge_is_steady(const struct flow *f, uint8_t tcp_flags)
{
	return atomic_load_explicit(&f->state, memory_order_relaxed) == FLOW_ESTABLISHED &&
	       !(tcp_flags & (FLOW_TCP_SYN | FLOW_TCP_FIN | FLOW_TCP_RST));
}

/*
 * The usual case: the connection of a packet that passes without anything being asked or changed in
 * its record. NULL: judge_packet() says what is to be done. @key, @hash: as the sender's port has it.
 * @guess: a record of that table which it may be, or NULL.
 */
static inline struct flow *judge_known(const struct port_policy *pp, const struct policy_version *v,
				       enum policy_dir dir, const struct flow_key *key,
				       uint32_t hash, struct flow *guess,
				       const struct pkt *pkt)
{
	struct flow *f = guess;

	if (unlikely(!f || !flow_is_sent(f, key, dir)))
		f = flow_find_sent(pp->flows, key, hash, dir);
	if (unlikely(!f || pkt->fragment) ||
	    unlikely(atomic_load_explicit(&f->gen, memory_order_acquire) != v->gen) ||
	    unlikely(!(atomic_load_explicit(&f->flags, memory_order_relaxed) >> dir & 1)) ||
	    unlikely(!judge_is_steady(f, judge_tcp_flags(pkt))))
		return NULL;
	return f;
}

static inline enum vsw_drop judge_packet(struct judging *j, const struct pkt *pkt)
{
	const struct flow_extra *x;
	struct flow *f;

	j->half = NULL;
	j->quote = false;
	j->flow = f = j->has_key ? flow_find(j->pp->flows, &j->key, j->hash, j->dir) : NULL;
	if (unlikely(!f || j->trace || pkt->fragment) ||
	    unlikely(atomic_load_explicit(&f->gen, memory_order_acquire) != j->v->gen) ||
	    unlikely(!(atomic_load_explicit(&f->flags, memory_order_relaxed) >> j->dir & 1)) ||
	    !judge_is_steady(f, judge_tcp_flags(pkt)))
		return judge_slow(j, pkt);
	x = atomic_load_explicit(&f->extra, memory_order_acquire);
	if (unlikely(x != NULL))
		j->half = &x->half[j->dir];
	return VSW_DROP_NONE;
}

/* A packet that passed has gone: counts it. */
static inline void judge_count(const struct flow_half *half, struct flow *f, enum policy_dir dir,
			       uint64_t packets, uint64_t bytes, uint32_t now_ms)
{
	if (f)
		flow_touch(f, dir, packets, bytes, now_ms);
	for (unsigned int i = 0; half && i < half->n_meters; i++) {
		atomic_fetch_add_explicit(&half->meters[i]->packets[dir], packets,
					  memory_order_relaxed);
		atomic_fetch_add_explicit(&half->meters[i]->bytes[dir], bytes,
					  memory_order_relaxed);
	}
}

struct vsw_flow_info;
/* @f as users see it; control thread, @f cannot go meanwhile. Texts live as long as the policy. */
void policy_flow_info(const struct port_policy *pp, const struct flow *f, uint32_t now_ms,
		      struct vsw_flow_info *to);

/* The port is detached: its policy and connections go. Control thread. */
void policy_forget_port(struct vsw_port *port);

#endif
