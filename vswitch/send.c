/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the way of packets through the switch: vsw_send().
 *
 * Theory of operation
 *
 * A burst is walked once, in order. Each packet is parsed and judged, its source learned, its
 * destination looked up; packets in a row with the same destination form a run and are handed
 * over in one deliver() call. Everything up to a packet that must wait is consumed, nothing
 * behind it: a packet that is dropped therefore ends the run before it is counted.
 *
 * No lock is taken here. One RCU read section spans the burst, deliveries included, which is
 * what lets vsw_port_detach() wait for them.
 *
 * A burst between two ports with fixed addresses, the usual one, costs per packet a parse, a
 * comparison of the source with the port's own address, and a comparison of the destination with
 * that of the packet before; per burst a lookup, a call, and four counters. The clock is read
 * only when a learned address is met.
 *
 * Counting. tx of the sender is everything that left its guest, also what is dropped later.
 * drops is counted at the receiver a frame was meant for, tx_drops at the sender when the switch
 * itself found nobody to give it to, or the one receiver had no buffer.
 *
 * vNICs (nic.c). A path sends in its vNIC's name: here the vNIC's port is the sender, and the
 * path's own port only counts too. A receiver is always a vNIC's port or a plain one; nic.c picks
 * the path.
 */
#include <assert.h>

#include "base/util.h"
#include "base/wire.h"
#include "vswitch/dropmon.h"
#include "vswitch/offload.h"
#include "vswitch/parse.h"
#include "vswitch/rcu.h"
#include "vswitch/send_internal.h"

/* Set while a delivery to a captured port is under way: was its packet dropped or parked there? */
static _Thread_local bool dropped_there;
/* The path that has counted a delivery last; read while that delivery is under way. */
static _Thread_local const struct vsw_port *received_by;

/* Frames of a packet that will not arrive. One that could not be parsed counts as one. */
static uint32_t n_lost(const struct pkt *pkt, enum vsw_drop why)
{
	uint32_t all = why == VSW_DROP_MALFORMED ? 1 : pkt_n_segs(pkt);

	return all > pkt->seg_done ? all - pkt->seg_done : all;
}

static void count_drop(struct vsw_port *port, enum vsw_drop why, uint32_t n)
{
	struct vsw_port *outer = atomic_load_explicit(&port->outer, memory_order_acquire);

	atomic_fetch_add_explicit(&port->stats.drops[why], n, memory_order_relaxed);
	if (outer)
		atomic_fetch_add_explicit(&outer->stats.drops[why], n, memory_order_relaxed);
}

static void capture_drop(struct vsw_port *port, const struct pkt *pkt, enum vsw_drop why)
{
	struct vsw_port *outer = atomic_load_explicit(&port->outer, memory_order_acquire);
	const struct vsw_port *path = outer ? port : NULL;
	struct capture *cap;

	port = outer ? outer : port;
	cap = atomic_load_explicit(&port->capture, memory_order_acquire);
	dropped_there = true;
	if (likely(!cap))
		return;
	vsw_read_lock();
	cap = atomic_load_explicit(&port->capture, memory_order_acquire);
	if (cap)
		capture_packet(cap, path, pkt, CAPTURE_RX, why, 0);
	vsw_read_unlock();
}

void send_drop_at(struct vsw_port *port, const struct pkt *pkt, enum vsw_drop why,
		  const struct vsw_denier *by)
{
	count_drop(port, why, n_lost(pkt, why));
	capture_drop(port, pkt, why);
	if (dropmon_on())
		dropmon_report(port, POLICY_IN, why, NULL, port, pkt, n_lost(pkt, why), by);
}

void vsw_port_drop(struct vsw_port *port, const struct pkt *pkt, enum vsw_drop why)
{
	send_drop_at(port, pkt, why, NULL);
}

void vsw_port_drop_frame(struct vsw_port *port, const struct vsw_frame *f, enum vsw_drop why)
{
	count_drop(port, why, 1);
	/* A capture shows the packet once, with its first lost frame. */
	if (!dropped_there)
		capture_drop(port, f->pkt, why);
	if (dropmon_on())
		dropmon_report(port, POLICY_IN, why, NULL, port, f->pkt, 1, NULL);
}

void vsw_port_received(struct vsw_port *port, uint64_t packets, uint64_t bytes)
{
	struct vsw_port *outer = atomic_load_explicit(&port->outer, memory_order_acquire);

	atomic_fetch_add_explicit(&port->stats.rx_packets, packets, memory_order_relaxed);
	atomic_fetch_add_explicit(&port->stats.rx_bytes, bytes, memory_order_relaxed);
	if (outer) {
		received_by = port;
		atomic_fetch_add_explicit(&outer->stats.rx_packets, packets, memory_order_relaxed);
		atomic_fetch_add_explicit(&outer->stats.rx_bytes, bytes, memory_order_relaxed);
	}
}

/* The receiver had no buffer: counted there, at the path that should have had one too. */
static void drop_no_buffer(struct vsw_port *to, const struct pkt *pkt)
{
	struct vsw_port *path = to->nic ? nic_chosen(to->nic) : NULL;

	if (path && atomic_load_explicit(&path->receiving, memory_order_acquire))
		to = path; /* counts for both, see count_drop() */
	vsw_port_drop(to, pkt, VSW_DROP_NO_BUFFER);
}

static void tx_drop(struct burst *b, const struct pkt *pkt, enum vsw_drop why)
{
	uint32_t n = n_lost(pkt, why);

	atomic_fetch_add_explicit(&b->from->stats.tx_drops[why], n, memory_order_relaxed);
	if (b->path)
		atomic_fetch_add_explicit(&b->path->stats.tx_drops[why], n, memory_order_relaxed);
}

/* The same for one that no receiver counts. @by: who denied it; may be NULL. */
static void tx_drop_alone(struct burst *b, const struct pkt *pkt, enum vsw_drop why,
			  const struct vsw_denier *by)
{
	tx_drop(b, pkt, why);
	if (dropmon_on())
		dropmon_report(b->path ? b->path : b->from, POLICY_OUT, why, b->from, NULL, pkt,
			       n_lost(pkt, why), by);
}

/* A packet is through, one way or another: as far as its sender goes, it has left. */
static inline void consumed(struct burst *b, unsigned int i, enum vsw_drop why)
{
	struct pkt *pkt = b->sent[i];

	pkt->seg_done = 0;
	if (unlikely(pkt->flags & (PKT_GSO | PKT_VLAN)) && why != VSW_DROP_MALFORMED) {
		b->packets += pkt_n_segs(pkt);
		b->bytes += pkt_wire_bytes(pkt);
		b->gso += !!(pkt->flags & PKT_GSO);
	} else {
		b->packets++;
		b->bytes += pkt->len;
	}
	if (unlikely(b->special))
		special_consumed(b, i, why);
	if (unlikely(b->capture))
		capture_packet(b->capture, b->path, pkt, CAPTURE_TX, why, 0);
}

static inline bool takes_packets(const struct vsw_port *port)
{
	if (!atomic_load_explicit(&port->link, memory_order_relaxed))
		return false;
	return port->nic ? nic_takes(port->nic)
			 : atomic_load_explicit(&port->receiving, memory_order_acquire);
}

bool vsw_port_takes(const struct vsw_port *port)
{
	bool takes;

	vsw_read_lock();
	if (atomic_load_explicit(&port->outer, memory_order_acquire))
		takes = atomic_load_explicit(&port->receiving, memory_order_acquire);
	else
		takes = takes_packets(port);
	vsw_read_unlock();
	return takes;
}

void switch_parked(void)
{
	dropped_there = true;
}

/* One deliver() call, with what captures of the receiver want to see. @path: @to, when it is one.
 */
static unsigned int deliver_shown(struct capture *cap, struct vsw_port *to,
				  const struct vsw_port *path, struct pkt **pkts, unsigned int n)
{
	unsigned int done;

	/* One by one, so that a drop can be told to be this packet's. */
	for (done = 0; done < n; done++) {
		const struct vsw_port *by = received_by, *at;
		bool outer = dropped_there;
		unsigned int ok;

		dropped_there = false;
		received_by = NULL;
		ok = to->ops->deliver(to, pkts + done, 1);
		at = to->nic ? received_by : path;
		/* What its guest sent on at once has gone elsewhere meanwhile (loop.c). */
		if (at && to->nic && atomic_load(&at->outer) != to)
			at = NULL;
		if (ok && !dropped_there)
			capture_packet(cap, at, pkts[done], CAPTURE_RX, VSW_DROP_NONE,
				       atomic_load_explicit(at ? &at->caps : &to->caps,
							    memory_order_relaxed));
		dropped_there = outer;
		received_by = by;
		if (!ok)
			break;
	}
	return done;
}

static inline unsigned int deliver(struct vsw_port *to, struct pkt **pkts, unsigned int n)
{
	struct capture *cap = atomic_load_explicit(&to->capture, memory_order_acquire);

	return likely(!cap) ? to->ops->deliver(to, pkts, n) : deliver_shown(cap, to, NULL, pkts, n);
}

unsigned int switch_deliver(struct vsw_port *shown, struct vsw_port *to, struct pkt **pkts,
			    unsigned int n)
{
	struct capture *cap = atomic_load_explicit(&shown->capture, memory_order_acquire);

	return likely(!cap) ? to->ops->deliver(to, pkts, n) : deliver_shown(cap, to, to, pkts, n);
}

/* The rest of a run goes nowhere: counted at the sender, and at @to when there is a receiver. */
static void drop_run(struct burst *b, struct run *r, struct vsw_port *to, enum vsw_drop why)
{
	for (; r->n; r->n--) {
		const struct vsw_denier *by = b->special ? special_denier(b, r->first) : NULL;
		struct pkt *pkt = b->pkts[r->first];

		if (to) {
			send_drop_at(to, pkt, why, by);
			tx_drop(b, pkt, why);
		} else {
			tx_drop_alone(b, pkt, why, by);
		}
		consumed(b, r->first++, why);
	}
}

static void count_wait(struct burst *b)
{
	atomic_fetch_add_explicit(&b->from->stats.tx_waits, 1, memory_order_relaxed);
	if (b->path)
		atomic_fetch_add_explicit(&b->path->stats.tx_waits, 1, memory_order_relaxed);
}

/* False: the run could not be finished; r->first and r->n then say what is left. */
static bool run_unicast(struct burst *b, struct run *r)
{
	struct vsw_port *to = r->to;

	assert(to);
	while (r->n) {
		/* Before the try: a wake that comes meanwhile must not be lost, see wait.c. */
		uint64_t wakes = atomic_load(&to->wakes);
		unsigned int got = deliver(to, b->pkts + r->first, r->n);
		struct pkt *pkt;

		for (unsigned int i = 0; i < got; i++)
			consumed(b, r->first + i, VSW_DROP_NONE);
		r->first += got;
		r->n -= got;
		if (likely(!r->n))
			break;
		if (!takes_packets(to)) {
			drop_run(b, r, to, VSW_DROP_LINK_DOWN);
			break;
		}
		pkt = b->pkts[r->first];
		if (!(pkt->flags & PKT_NO_WAIT) && wait_is_worth(to, b->path ? b->path : b->from)) {
			b->sent[r->first]->waits_for = to;
			b->sent[r->first]->seg_done = pkt->seg_done;
			wait_note_failure(to, wakes);
			count_wait(b);
			return false;
		}
		drop_no_buffer(to, pkt);
		tx_drop(b, pkt, VSW_DROP_NO_BUFFER);
		consumed(b, r->first++, VSW_DROP_NO_BUFFER);
		r->n--;
	}
	return true;
}

void send_flood_to(struct vsw_port *to, struct pkt **pkts, unsigned int n)
{
	unsigned int done = 0;

	for (;;) {
		done += deliver(to, pkts + done, n - done);
		if (done == n)
			break;
		if (takes_packets(to))
			drop_no_buffer(to, pkts[done]);
		else
			vsw_port_drop(to, pkts[done], VSW_DROP_LINK_DOWN);
		pkts[done++]->seg_done = 0;
	}
}

/* To everybody else. Nobody waits for a flood: a receiver without buffers misses it. */
static void run_flood(struct burst *b, struct run *r)
{
	const struct port_list *l = atomic_load_explicit(&b->net->ports, memory_order_acquire);
	struct pkt **pkts = b->pkts + r->first;
	/* The first may have begun as a unicast, to somebody who has gone since. */
	uint32_t seg_done = pkts[0]->seg_done;
	enum vsw_drop why = VSW_DROP_NO_PORT;

	for (unsigned int i = 0; i < l->n; i++) {
		struct vsw_port *to = l->port[i];

		if (to == b->from || !takes_packets(to))
			continue;
		why = VSW_DROP_NONE;
		if (unlikely(b->special))
			special_flood(b, to, pkts, r->n);
		else
			send_flood_to(to, pkts, r->n);
		pkts[0]->seg_done = seg_done;
	}
	for (unsigned int i = 0; i < r->n; i++) {
		if (why != VSW_DROP_NONE)
			tx_drop_alone(b, pkts[i], why, NULL);
		consumed(b, r->first + i, why);
	}
	r->first += r->n;
	r->n = 0;
}

bool send_run_end(struct burst *b, struct run *r)
{
	bool done = true;

	if (!r->n)
		return true;
	if (likely(r->verdict == UNICAST)) {
		done = run_unicast(b, r);
	} else if (r->verdict == FLOOD) {
		run_flood(b, r);
	} else {
		/* A receiver that is there but does not take packets counts them too. */
		drop_run(b, r, r->to, r->why);
	}
	return done;
}

/* The eight bytes at @p, of which the upper six are the address. */
static inline uint64_t load_mac(const uint8_t *p)
{
	return be64_load(p) >> 16;
}

static inline void find_way(struct burst *b, const struct pkt *pkt, uint32_t vid, struct run *r)
{
	uint64_t dst = load_mac(pkt->hdr), src = load_mac(pkt->hdr + 6);
	struct vsw_port *to;

	if (likely(dst == b->last_mac && src == b->last_src && vid == b->last_vid)) {
		*r = b->last;
		return;
	}
	b->last_mac = dst;
	b->last_src = src;
	b->last_vid = vid;
	r->to = NULL;
	r->why = VSW_DROP_NONE;
	if (unlikely(!src || (src >> 40 & 1))) {
		run_drop(r, VSW_DROP_SRC_INVALID, NULL);
		goto out;
	}
	if (src != b->own && likely(!b->watch)) {
		if (!b->now)
			b->now = vsw_now_ms();
		fdb_learn(b->net->fdb, src, (uint16_t)vid, b->from, b->now);
	}
	r->verdict = FLOOD;
	if (dst >> 40 & 1)
		goto out;
	to = fdb_lookup(b->net->fdb, dst, (uint16_t)vid, &b->now, vsw_now_ms);
	if (unlikely(b->watch) && !to && dst == src)
		to = b->from; /* as it would just have been learned */
	if (to) {
		r->to = to;
		r->verdict = UNICAST;
		if (to == b->from)
			run_drop(r, VSW_DROP_SAME_PORT, NULL);
		else if (!takes_packets(to))
			run_drop(r, VSW_DROP_LINK_DOWN, to);
	}
out:
	b->last = *r;
}

void send_find_way(struct burst *b, const struct pkt *pkt, uint32_t vid, struct run *r)
{
	find_way(b, pkt, vid, r);
}

static unsigned int drop_all(struct burst *b, unsigned int n, enum vsw_drop why)
{
	for (unsigned int i = 0; i < n; i++) {
		enum vsw_drop bad = pkt_parse(b->pkts[i]);

		tx_drop_alone(b, b->pkts[i], bad ? bad : why, NULL);
		consumed(b, i, bad ? bad : why);
	}
	return n;
}

static unsigned int send_burst(struct burst *b, unsigned int n)
{
	struct run run = {.n = 0};

	for (unsigned int i = 0; i < n; i++) {
		struct run next = {.n = 0};
		enum vsw_drop why;

		if (i + 1 < n)
			__builtin_prefetch(b->pkts[i + 1]->hdr);
		why = pkt_parse(b->pkts[i]);
		if (likely(why == VSW_DROP_NONE))
			find_way(b, b->pkts[i], send_vlan_id(b->pkts[i]), &next);
		else
			run_drop(&next, why, NULL);
		if (run.n && run_goes_on(&run, &next)) {
			run.n++;
			continue;
		}
		if (!send_run_end(b, &run))
			return run.first;
		run = next;
		run.first = i;
		run.n = 1;
	}
	send_run_end(b, &run);
	return run.first;
}

void send_count(const struct burst *b, struct vsw_port *port)
{
	atomic_fetch_add_explicit(&port->stats.tx_packets, b->packets, memory_order_relaxed);
	atomic_fetch_add_explicit(&port->stats.tx_bytes, b->bytes, memory_order_relaxed);
	if (b->gso)
		atomic_fetch_add_explicit(&port->stats.tx_gso, b->gso, memory_order_relaxed);
}

static inline unsigned int send_on(struct burst *b, unsigned int n)
{
	if (likely(!atomic_load_explicit(&b->net->n_special, memory_order_relaxed)))
		return send_burst(b, n);
	return special_burst(b, n);
}

/* As far as the sender's bandwidth goes: pace.c. */
static unsigned int send_shaped(struct burst *b, unsigned int n)
{
	struct pkt **pkts = b->sent;
	unsigned int done = 0, ok, got;

	while (done < n && (ok = pace_admit(b->from, b->path, pkts + done, n - done))) {
		uint64_t before = b->bytes;

		b->pkts = b->sent = pkts + done;
		b->special = NULL;
		got = send_on(b, ok);
		pace_charge(b->from, b->path, b->bytes - before);
		done += got;
		if (got < ok)
			return done;
	}
	if (done < n && !(b->path ? b->path : b->from)->delays) {
		b->pkts = b->sent = pkts + done;
		b->special = NULL;
		done += drop_all(b, n - done, VSW_DROP_RATE);
	}
	return done;
}

unsigned int vsw_send(struct vsw_port *port, struct pkt **pkts, unsigned int n)
{
	/* No packet has this destination: 48 bits. */
	struct burst b = {.from = port, .pkts = pkts, .sent = pkts, .last_mac = UINT64_MAX};
	const struct vsw_port *before = NULL;
	struct vsw_port *outer;
	unsigned int done;
	bool told;

	if (!n)
		return 0;
	vsw_read_lock();
	outer = atomic_load_explicit(&port->outer, memory_order_acquire);
	if (outer) {
		b.from = outer;
		b.path = port;
	}
	b.net = atomic_load_explicit(&b.from->net, memory_order_acquire);
	b.own = fdb_mac(b.from->mac);
	b.capture = atomic_load_explicit(&b.from->capture, memory_order_acquire);
	told = dropmon_on();
	if (unlikely(told))
		before = dropmon_sends(b.from);
	if (unlikely(!b.net))
		done = drop_all(&b, n, VSW_DROP_NO_PORT);
	else if (unlikely(!atomic_load_explicit(&b.from->link, memory_order_relaxed)))
		done = drop_all(&b, n, VSW_DROP_LINK_DOWN);
	else if (unlikely(atomic_load_explicit(&b.from->shaped, memory_order_relaxed)))
		done = send_shaped(&b, n);
	else
		done = send_on(&b, n);
	if (done) {
		send_count(&b, port);
		if (outer)
			send_count(&b, outer);
	}
	if (unlikely(told))
		dropmon_sends(before);
	vsw_read_unlock();
	return done;
}
