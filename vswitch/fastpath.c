/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns what the switch does for NICs with a flow table: offering flows, and packets of such flows.
 *
 * Theory. An offer is made when a packet has gone through both its ports' policies to one receiver,
 * and nothing is left that the next one would need a rule for: the connection is in a steady state
 * at both, neither port has VLANs. It holds pointers to the receiver and to the two connections,
 * with what tells that they are still the same: the topology's count (a port or a connection's
 * table that goes changes it first, and waits for read sections), the generations of both policies,
 * the serial numbers of both records. Checking them is all that a packet costs beside its delivery
 * and the counters of its connections, which therefore know of it at once.
 */
#include "vswitch/fastpath.h"

#include <assert.h>
#include <netinet/in.h>

#include "vswitch/port_features_internal.h"
#include "vswitch/parse.h"
#include "vswitch/rcu.h"
#include "vswitch/send_internal.h"

#define LEARNED_MS 1000 /* a receiver that was learned is asked for again after that */

static_assert(sizeof(struct flow_key) == sizeof(((struct vsw_fast_key *)0)->conn), "the key fits");
static_assert(sizeof(struct vsw_fast_key) == 56, "no gaps: compared as bytes");

static bool key_from(struct vsw_fast_key *key, uint32_t *hash, const struct pkt *pkt)
{
	struct flow_key conn;
	uint16_t type = be16_load(pkt->hdr + 12);

	if (!flow_key_from(&conn, pkt, (uint16_t)send_vlan_id(pkt)))
		return false;
	memcpy(key->conn, &conn, sizeof(conn));
	memcpy(key->macs, pkt->hdr, 12);
	key->tci = key->tagged = 0;
	if (unlikely(pkt->flags & PKT_VLAN)) {
		key->tagged = 1;
		key->tci = pkt->vlan_tci;
	} else if (unlikely(type == TYPE_VLAN || type == TYPE_8021AD)) {
		key->tagged = 2;
		key->tci = be16_load(pkt->hdr + 14);
	}
	*hash = flow_hash(&conn);
	return true;
}

bool vsw_fast_key_from(struct vsw_fast_key *key, uint32_t *hash, struct pkt *pkt)
{
	return pkt_parse(pkt) == VSW_DROP_NONE && key_from(key, hash, pkt);
}

/* ---- Offers --------------------------------------------------------------------------------- */

/* Would the next packet of that kind be judged the same, without a look at the rules? */
static bool is_steady(const struct flow *f, enum policy_dir dir, const struct pkt *pkt)
{
	if (pkt->l4 == PKT_L4_TCP)
		return judge_is_steady(f, judge_tcp_flags(pkt));
	return (uint8_t)dir == f->origin || judge_is_steady(f, 0);
}

/* The connection's part of an offer. False: not now. */
static bool offer_stop(struct vsw_fast *fast, enum policy_dir dir, const struct stop *stop,
		       const struct policy_version *v, const struct pkt *pkt)
{
	const struct flow *f = stop->flow;

	if (!v)
		return true;
	if (!f || atomic_load(&f->gen) != v->gen || !is_steady(f, dir, pkt))
		return false;
	if (stop->half && (stop->half->mirror || !xpose_compose(&fast->xpose, &stop->half->xpose)))
		return false;
	fast->flow[dir] = stop->flow;
	fast->serial[dir] = atomic_load(&f->serial);
	fast->gen[dir] = v->gen;
	return true;
}

static bool has_vlans(const struct vsw_port *port)
{
	const struct port_features *f = features_of(port);

	return f && f->conf.vlan.mode != VLAN_NONE;
}

/* A guard of the sender's port that looks beyond the key. */
static bool is_guarded(const struct vsw_port *from, const struct pkt *pkt)
{
	const struct port_features *f = features_of(from);

	return f && guard_each_packet(f->conf.guards, pkt);
}

void fast_offer(struct burst *b, unsigned int i)
{
	struct special *s = b->special;
	const struct visitor *at = &s->at[i];
	struct vsw_port *to = at->way.to;
	struct vsw_fast fast = {.to = to, .topology = atomic_load(&vsw_topology)};
	const struct policy_version *v;
	struct vsw_fast_key key;
	struct port_policy *pp;
	uint32_t hash;

	if (at->way.verdict != UNICAST || !at->has_key)
		return;
	v = policy_of(to, s->epoch, &pp);
	if ((!s->v && !v) || has_vlans(b->from) || has_vlans(to))
		return;
	if (is_guarded(b->from, b->sent[i]) || !key_from(&key, &hash, b->sent[i]))
		return;
	if (!offer_stop(&fast, POLICY_OUT, &at->stop[POLICY_OUT], s->v, b->sent[i]) ||
	    !offer_stop(&fast, POLICY_IN, &at->stop[POLICY_IN], v, b->sent[i]))
		return;
	if (!to->nic)
		fast.until_ms = s->now_ms + LEARNED_MS;
	s->program->ops->program(s->program, &key, hash, &fast);
}

/* ---- Packets -------------------------------------------------------------------------------- */

/* Is that end of the flow as it was? In a read section, with the right topology. */
static bool end_is_valid(const struct vsw_fast *fast, enum policy_dir dir,
			 const struct vsw_port *port, unsigned int epoch)
{
	const struct policy_version *v;
	const struct flow *f = fast->flow[dir];
	struct port_policy *pp;

	v = policy_of(port, epoch, &pp);
	if (!v || !f)
		return !v && !f;
	return v->gen == fast->gen[dir] && atomic_load(&f->serial) == fast->serial[dir] &&
	       atomic_load_explicit(&f->gen, memory_order_acquire) == v->gen &&
	       (atomic_load_explicit(&f->flags, memory_order_relaxed) & FLOW_LIVE);
}

static bool is_valid(const struct vsw_fast *fast, const struct vsw_port *from, unsigned int epoch)
{
	return fast->topology == atomic_load_explicit(&vsw_topology, memory_order_acquire) &&
	       end_is_valid(fast, POLICY_OUT, from, epoch) &&
	       end_is_valid(fast, POLICY_IN, fast->to, epoch);
}

/* What a connection's packets need, as it is now. */
static void fill_stop(struct stop *stop, struct flow *f, enum policy_dir dir)
{
	const struct flow_extra *x =
		f ? atomic_load_explicit(&f->extra, memory_order_acquire) : NULL;

	*stop = (struct stop){.flow = f, .half = x ? &x->half[dir] : NULL};
}

/* False: over a limit at either end; then nothing is paid. */
static bool pay(struct visitor *at, uint64_t now_ns)
{
	const struct flow_half *out = at->stop[POLICY_OUT].half, *in = at->stop[POLICY_IN].half;

	if (out && !special_pay(out, at->bytes, now_ns))
		return false;
	if (!in || special_pay(in, at->bytes, now_ns))
		return true;
	if (out)
		special_pay_back(out, at->bytes);
	return false;
}

/* False: its entry does not hold for it. */
static bool fill(struct burst *b, unsigned int i, const struct vsw_fast *fast)
{
	struct special *s = b->special;
	struct visitor *at = &s->at[i];
	struct pkt *pkt = b->sent[i];

	if ((fast->until_ms && (int32_t)(s->now_ms - fast->until_ms) >= 0) ||
	    !is_valid(fast, b->from, s->epoch))
		return false;
	for (unsigned int dir = 0; dir < POLICY_N_DIRS; dir++)
		if (fast->flow[dir] && !is_steady(fast->flow[dir], (enum policy_dir)dir, pkt))
			return false;
	at->has_key = at->storm = at->to_mirrors = false;
	at->vid = at->fdb_vid = 0;
	at->packets = 1;
	at->bytes = pkt->len;
	if (unlikely(pkt->flags & (PKT_GSO | PKT_VLAN))) {
		at->packets = pkt_n_segs(pkt);
		at->bytes = pkt_wire_bytes(pkt);
	}
	at->way = (struct run){.verdict = UNICAST, .to = fast->to};
	for (unsigned int dir = 0; dir < POLICY_N_DIRS; dir++)
		fill_stop(&at->stop[dir], fast->flow[dir], (enum policy_dir)dir);
	s->view[i] = pkt;
	if (unlikely(!pay(at, s->now_ns))) {
		memset(at->stop, 0, sizeof(at->stop));
		run_drop(&at->way, VSW_DROP_RATE, NULL);
	} else if (fast->xpose.flags) {
		enum vsw_drop why = VSW_DROP_NO_BUFFER;
		struct pkt *out = special_scratch();

		if (out)
			why = xpose_apply(&fast->xpose, pkt, out);
		if (why == VSW_DROP_NONE)
			s->view[i] = out;
		else
			run_drop(&at->way, why, NULL);
	}
	return true;
}

/* The connections of all of them are on their way before the first is looked at. */
static void fetch_flows(const struct vsw_fast *const *fast, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		for (unsigned int dir = 0; dir < POLICY_N_DIRS; dir++) {
			struct flow *f = fast[i]->flow[dir];

			if (!f)
				continue;
			__builtin_prefetch(f);
			__builtin_prefetch(&f->count[dir], 1);
		}
}

static unsigned int send_fast(struct burst *b, const struct vsw_fast *const *fast,
			      struct pkt **pkts, unsigned int n, bool *stale)
{
	struct special s;
	unsigned int done = 0;

	s.epoch = atomic_load_explicit(&vsw_policy_epoch, memory_order_acquire);
	s.v = NULL;
	s.features = features_of(b->from);
	s.program = NULL;
	s.now_ns = now_ns();
	s.now_ms = (uint32_t)(s.now_ns / NSEC_PER_MSEC + 1);
	b->special = &s;
	b->pkts = s.view;
	while (done < n && !*stale) {
		unsigned int mark = special_enter(), want = 0, got;

		b->sent = pkts + done;
		fetch_flows(fast + done, MIN(n - done, SPECIAL_CHUNK));
		while (done + want < n && want < SPECIAL_CHUNK && fill(b, want, fast[done + want]))
			want++;
		*stale = done + want < n && want < SPECIAL_CHUNK;
		got = special_hand_over(b, want);
		special_leave(mark);
		done += got;
		if (got < want) {
			*stale = false;
			break;
		}
	}
	special_end(b);
	return done;
}

/* As far as the sender's bandwidth goes: pace.c. */
static unsigned int send_shaped(struct burst *b, const struct vsw_fast *const *fast,
				struct pkt **pkts, unsigned int n, bool *stale)
{
	unsigned int done = 0, ok, got;

	while (done < n && (ok = pace_admit(b->from, b->path, pkts + done, n - done))) {
		uint64_t before = b->bytes;

		got = send_fast(b, fast + done, pkts + done, ok, stale);
		pace_charge(b->from, b->path, b->bytes - before);
		done += got;
		if (got < ok)
			return done;
	}
	/* vsw_send() knows what to do with it. */
	*stale = done < n && !(b->path ? b->path : b->from)->delays;
	return done;
}

unsigned int vsw_fast_send(struct vsw_port *port, const struct vsw_fast *const *fast,
			   struct pkt **pkts, unsigned int n, bool *stale)
{
	struct burst b = {.from = port, .last_mac = UINT64_MAX};
	struct vsw_port *outer;
	unsigned int done = 0;

	*stale = false;
	vsw_read_lock();
	outer = atomic_load_explicit(&port->outer, memory_order_acquire);
	if (outer) {
		b.from = outer;
		b.path = port;
	}
	b.net = atomic_load_explicit(&b.from->net, memory_order_acquire);
	b.capture = atomic_load_explicit(&b.from->capture, memory_order_acquire);
	if (unlikely(!b.net || !atomic_load_explicit(&b.from->link, memory_order_relaxed)))
		*stale = true;
	else if (unlikely(atomic_load_explicit(&b.from->shaped, memory_order_relaxed)))
		done = send_shaped(&b, fast, pkts, n, stale);
	else
		done = send_fast(&b, fast, pkts, n, stale);
	if (done) {
		send_count(&b, port);
		if (outer)
			send_count(&b, outer);
	}
	vsw_read_unlock();
	return done;
}

bool vsw_fast_is_valid(struct vsw_port *port, const struct vsw_fast *fast)
{
	struct vsw_port *outer;
	bool valid;

	vsw_read_lock();
	outer = atomic_load_explicit(&port->outer, memory_order_acquire);
	valid = is_valid(fast, outer ? outer : port, atomic_load(&vsw_policy_epoch)) &&
		(!fast->until_ms || (int32_t)((uint32_t)vsw_now_ms() - fast->until_ms) < 0);
	vsw_read_unlock();
	return valid;
}

static void mark(const struct vsw_fast *fast, bool taken)
{
	vsw_read_lock();
	if (fast->topology == atomic_load_explicit(&vsw_topology, memory_order_acquire))
		for (unsigned int dir = 0; dir < POLICY_N_DIRS; dir++) {
			struct flow *f = fast->flow[dir];

			if (f && atomic_load(&f->serial) == fast->serial[dir])
				atomic_store(&f->offload, taken);
		}
	vsw_read_unlock();
}

void vsw_fast_taken(const struct vsw_fast *fast)
{
	mark(fast, true);
}

void vsw_fast_removed(const struct vsw_fast *fast)
{
	mark(fast, false);
}
