/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns what the router knows of its neighbours: which MAC an address has, and packets that wait to
 * know it.
 *
 * Theory of operation
 *
 * Found under RCU, changed under the router's lock. An entry has a MAC when it is FRESH, STALE or
 * SET. FRESH lasts FRESH_MS from when it was heard of; then it is still used, and asked about again
 * with the next packet: three questions a second apart, then it has FAILED. A new one is ASKED the
 * same way, and meanwhile up to HELD_MAX packets are kept for it, copied; that they are few is why
 * TCP's first packet is not lost, and that is all they are for. FAILED lasts FAILED_MS, in which
 * packets are refused at once.
 *
 * Who scans a prefix makes ASKED entries. They may be half of the table, and go when others need
 * the room.
 *
 * Questions are put, and held packets sent, by the router's worker, by letters (router_local.c).
 * Its timer runs only while a question is open.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "base/util.h"
#include "vswitch/fdb.h"
#include "vswitch/parse.h"
#include "vswitch/ports/router_internal.h"

#define FRESH_MS   30000
#define ASK_MS	   1000
#define ASKS	   3
#define FAILED_MS  3000
#define TICK_MS	   100
#define HELD_MAX   8
#define HELD_BYTES (1 << 20) /* of a router */

static _Atomic(struct rt_neigh *) *chain(struct router_if *i, const uint8_t addr[16])
{
	uint64_t a, b;

	memcpy(&a, addr, 8);
	memcpy(&b, addr + 8, 8);
	a = (a ^ b) * 0x9e3779b97f4a7c15ull;
	return &i->neigh[(a ^ b >> 32) >> 32 & (RT_NEIGH_BUCKETS - 1)];
}

static struct rt_neigh *find(struct router_if *i, const uint8_t addr[16])
{
	struct rt_neigh *e = atomic_load_explicit(chain(i, addr), memory_order_acquire);

	while (e && memcmp(e->addr, addr, 16) != 0)
		e = atomic_load_explicit(&e->next, memory_order_acquire);
	return e;
}

static bool is_fresh(const struct rt_neigh *e, uint64_t now)
{
	uint64_t heard = atomic_load_explicit(&e->heard_ms, memory_order_relaxed);

	return now < heard || now - heard < FRESH_MS;
}

/* ---- under the lock ---- */

static void freed(struct rcu_head *head)
{
	vsw_rcu_note_grace();
	free(CONTAINER_OF(head, struct rt_neigh, rcu));
}

static struct rt_letter *take_held(struct router *r, struct rt_neigh *e)
{
	struct rt_letter *l = e->held;

	for (struct rt_letter *at = l; at; at = at->next)
		r->held_bytes -= at->len;
	e->held = NULL;
	e->held_end = &e->held;
	e->n_held = 0;
	return l;
}

static void close_question(struct router_if *i, struct rt_neigh *e)
{
	if (e->asked)
		i->n_open--;
	e->asked = 0;
	atomic_store(&e->asking, false);
}

static void lose_held(struct router *r, struct rt_neigh *e)
{
	struct rt_letter *l = take_held(r, e), *next;

	for (; l; l = next) {
		next = l->next;
		rt_count(&r->c.held_lost);
		rt_letter_free(l);
	}
}

static void unlink_neigh(struct router_if *i, struct rt_neigh *e)
{
	_Atomic(struct rt_neigh *) *at = chain(i, e->addr);

	while (atomic_load(at) != e)
		at = &atomic_load(at)->next;
	atomic_store_explicit(at, atomic_load(&e->next), memory_order_release);
	close_question(i, e);
	lose_held(i->r, e);
	i->n_neigh--;
	vsw_free_later(&e->rcu, freed);
}

/* Somebody who can be missed: the first without an answer, else the one not heard of longest. */
static struct rt_neigh *victim(struct router_if *i, uint64_t now)
{
	struct rt_neigh *oldest = NULL;

	for (unsigned int k = 0; k < RT_NEIGH_BUCKETS; k++) {
		for (struct rt_neigh *e = atomic_load(&i->neigh[k]); e; e = atomic_load(&e->next)) {
			int state = atomic_load(&e->state);

			if (state == ROUTER_NEIGHBOUR_ASKED || state == ROUTER_NEIGHBOUR_FAILED)
				return e;
			if (state == ROUTER_NEIGHBOUR_SET || is_fresh(e, now))
				continue;
			if (!oldest || atomic_load(&e->heard_ms) < atomic_load(&oldest->heard_ms))
				oldest = e;
		}
	}
	return oldest;
}

/* NULL: no room. */
static struct rt_neigh *make(struct router_if *i, const uint8_t addr[16],
			     enum router_neighbour_state state, uint64_t now)
{
	_Atomic(struct rt_neigh *) *at = chain(i, addr);
	struct rt_neigh *e;

	if (state == ROUTER_NEIGHBOUR_ASKED && i->n_open >= i->r->max_neigh / 2 + 1)
		return NULL;
	if (i->n_neigh >= i->r->max_neigh) {
		e = victim(i, now);
		if (!e)
			return NULL;
		unlink_neigh(i, e);
	}
	e = calloc(1, sizeof(*e));
	if (!e)
		return NULL;
	memcpy(e->addr, addr, 16);
	e->held_end = &e->held;
	atomic_store(&e->state, state);
	atomic_store(&e->heard_ms, now);
	atomic_store_explicit(&e->next, atomic_load(at), memory_order_relaxed);
	atomic_store_explicit(at, e, memory_order_release);
	i->n_neigh++;
	return e;
}

/* ---- questions ---- */

static void arm(void *arg)
{
	struct router *r = arg;

	if (!r->timer.armed)
		worker_timer_arm(r->worker, &r->timer, now_ns() + TICK_MS * NSEC_PER_MSEC);
}

static void open_question(struct router_if *i, struct rt_neigh *e, uint64_t now)
{
	struct router *r = i->r;

	i->n_open++;
	e->asked = 1;
	e->ask_ms = now + ASK_MS;
	atomic_store(&e->asking, true);
	rt_ask(i, e->addr);
	/* Once is enough, until the timer has seen that nothing is open. */
	if (!atomic_exchange(&r->timer_wanted, true) && worker_post(r->worker, arm, r))
		atomic_store(&r->timer_wanted, false);
}

/* A copy of @pkt is kept until the answer. It is IP without tags. */
static bool hold(struct router_if *out, struct rt_neigh *e, struct router_if *in,
		 const struct pkt *pkt)
{
	struct router *r = out->r;
	struct rt_letter *l;
	uint8_t *to;

	if (e->n_held >= HELD_MAX || r->held_bytes + pkt->len > HELD_BYTES)
		return false;
	l = malloc(sizeof(*l) + pkt->len);
	if (!l)
		return false;
	*l = (struct rt_letter){.out = out,
				.in = in,
				.flags = pkt->flags & ~PKT_NO_WAIT,
				.len = pkt->len,
				.gso_size = pkt->gso_size};
	/* Lengths were checked by pkt_parse(). */
	memcpy(l->frame, pkt->hdr, pkt->hdr_len);
	to = l->frame + pkt->hdr_len;
	for (unsigned int k = 0; k < pkt->n_pieces; k++) {
		memcpy(to, pkt->piece[k].ptr, pkt->piece[k].len);
		to += pkt->piece[k].len;
	}
	*e->held_end = l;
	e->held_end = &l->next;
	e->n_held++;
	r->held_bytes += l->len;
	rt_count(&r->c.held);
	return true;
}

bool rt_mac_of(struct router_if *out, const uint8_t addr[16], uint64_t *mac)
{
	struct rt_neigh *e = find(out, addr);
	int state;

	if (!e)
		return false;
	state = atomic_load_explicit(&e->state, memory_order_acquire);
	*mac = atomic_load_explicit(&e->mac, memory_order_relaxed);
	if (state == ROUTER_NEIGHBOUR_SET)
		return true;
	return state == ROUTER_NEIGHBOUR_FRESH &&
	       (is_fresh(e, rt_now_ms()) || atomic_load_explicit(&e->asking, memory_order_relaxed));
}

enum rt_resolved rt_resolve(struct router_if *out, const uint8_t addr[16], uint64_t *mac,
			    struct router_if *in, const struct pkt *pkt)
{
	enum rt_resolved result = RT_UNREACHABLE;
	uint64_t now = rt_now_ms();
	struct rt_neigh *e;

	pthread_mutex_lock(&out->r->lock);
	e = find(out, addr);
	if (!e)
		e = make(out, addr, ROUTER_NEIGHBOUR_ASKED, now);
	if (!e)
		goto out;
	switch (atomic_load(&e->state)) {
	case ROUTER_NEIGHBOUR_ASKED:
		if (!e->asked)
			open_question(out, e, now);
		result = RT_HELD;
		if (!hold(out, e, in, pkt)) {
			rt_count(&out->r->c.held_lost);
			vsw_port_drop(&in->port, pkt, VSW_DROP_NO_NEIGHBOUR);
		}
		break;
	case ROUTER_NEIGHBOUR_FAILED:
		break;
	default:
		*mac = atomic_load(&e->mac);
		result = RT_RESOLVED;
		if (atomic_load(&e->state) != ROUTER_NEIGHBOUR_SET && !is_fresh(e, now) &&
		    !e->asked)
			open_question(out, e, now);
	}
out:
	pthread_mutex_unlock(&out->r->lock);
	return result;
}

/* ---- answers ---- */

/* What was held for a neighbour goes, now that its MAC is known. */
static void release(struct rt_letter *l, uint64_t mac)
{
	struct rt_letter *next;

	for (; l; l = next) {
		next = l->next;
		l->next = NULL;
		rt_mac_bytes(l->frame, mac);
		memcpy(l->frame + 6, l->out->port.mac, 6);
		rt_count_down(l->frame + PKT_MIN_LEN);
		rt_count(&l->out->r->c.forwarded);
		rt_letter_post(l);
	}
}

void rt_heard(struct router_if *i, const uint8_t addr[16], uint64_t mac, bool make_it)
{
	struct rt_letter *held = NULL;
	uint64_t now = rt_now_ms();
	struct rt_neigh *e;

	if (!mac || mac >> 40 & 1)
		return;
	pthread_mutex_lock(&i->r->lock);
	e = find(i, addr);
	if (!e && make_it)
		e = make(i, addr, ROUTER_NEIGHBOUR_FRESH, now);
	if (e && atomic_load(&e->state) != ROUTER_NEIGHBOUR_SET) {
		atomic_store(&e->mac, mac);
		atomic_store(&e->heard_ms, now);
		close_question(i, e);
		atomic_store_explicit(&e->state, ROUTER_NEIGHBOUR_FRESH, memory_order_release);
		held = take_held(i->r, e);
	}
	pthread_mutex_unlock(&i->r->lock);
	release(held, mac);
}

/* ---- time ---- */

/* No answer: what was held is refused. Outside the lock, in a read section. */
static void refuse_held(struct rt_letter *l)
{
	struct rt_letter *next;

	for (; l; l = next) {
		struct iovec iov = {l->frame, l->len};
		struct pkt pkt;

		next = l->next;
		rt_count(&l->out->r->c.held_lost);
		if (pkt_from_iov(&pkt, &iov, 1) == 0) {
			pkt.flags = l->flags;
			pkt.gso_size = l->gso_size;
			if (pkt_parse(&pkt) == VSW_DROP_NONE)
				rt_error(l->in, &pkt, ICMP_ERROR_HOST, 0);
			vsw_port_drop(&l->in->port, &pkt, VSW_DROP_NO_NEIGHBOUR);
			rt_count(&l->out->r->c.unreachable);
		}
		rt_letter_free(l);
	}
}

/* Under the lock. What is due at one neighbour; returns what was held in vain. */
static struct rt_letter *tick_one(struct router_if *i, struct rt_neigh *e, uint64_t now, bool *open)
{
	struct rt_letter *lost = NULL;

	if (atomic_load(&e->state) == ROUTER_NEIGHBOUR_FAILED) {
		if (now >= e->ask_ms)
			unlink_neigh(i, e);
		else
			*open = true;
		return NULL;
	}
	if (!e->asked)
		return NULL;
	*open = true;
	if (now < e->ask_ms)
		return NULL;
	if (e->asked < ASKS) {
		e->asked++;
		e->ask_ms = now + ASK_MS;
		rt_ask(i, e->addr);
		return NULL;
	}
	close_question(i, e);
	atomic_store(&e->state, ROUTER_NEIGHBOUR_FAILED);
	e->ask_ms = now + FAILED_MS;
	lost = take_held(i->r, e);
	return lost;
}

void rt_neigh_tick(struct worker_timer *timer)
{
	struct router *r = timer->arg;
	struct rt_letter *lost = NULL, **end = &lost;
	uint64_t now = rt_now_ms();
	bool open = false;

	vsw_read_lock();
	pthread_mutex_lock(&r->lock);
	atomic_store(&r->timer_wanted, false);
	for (unsigned int n = 0; n < r->n_ifs; n++) {
		struct router_if *i = r->ifs[n];

		for (unsigned int k = 0; k < RT_NEIGH_BUCKETS; k++) {
			struct rt_neigh *e = atomic_load(&i->neigh[k]), *next;

			for (; e; e = next) {
				next = atomic_load(&e->next);
				*end = tick_one(i, e, now, &open);
				while (*end)
					end = &(*end)->next;
			}
		}
	}
	if (open)
		atomic_store(&r->timer_wanted, true);
	pthread_mutex_unlock(&r->lock);
	refuse_held(lost);
	vsw_read_unlock();
	if (open)
		worker_timer_arm(r->worker, &r->timer, now_ns() + TICK_MS * NSEC_PER_MSEC);
}

/* ---- what callers set and see ---- */

int router_neighbour_set(struct router_if *i, const uint8_t addr[16], const uint8_t mac[6])
{
	struct rt_letter *held = NULL;
	struct rt_neigh *e;
	int rc = 0;

	if ((mac[0] & 1) || !fdb_mac(mac))
		return -EINVAL;
	pthread_mutex_lock(&i->r->lock);
	e = find(i, addr);
	if (!e)
		e = make(i, addr, ROUTER_NEIGHBOUR_SET, rt_now_ms());
	if (e) {
		atomic_store(&e->mac, fdb_mac(mac));
		close_question(i, e);
		atomic_store_explicit(&e->state, ROUTER_NEIGHBOUR_SET, memory_order_release);
		held = take_held(i->r, e);
	} else {
		rc = -ENOSPC;
	}
	pthread_mutex_unlock(&i->r->lock);
	release(held, fdb_mac(mac));
	return rc;
}

int router_neighbour_del(struct router_if *i, const uint8_t addr[16])
{
	struct rt_neigh *e;

	pthread_mutex_lock(&i->r->lock);
	e = find(i, addr);
	if (e)
		unlink_neigh(i, e);
	pthread_mutex_unlock(&i->r->lock);
	return e ? 0 : -ENOENT;
}

size_t router_neighbours(struct router_if *i, struct router_neighbour *out, size_t max)
{
	uint64_t now = rt_now_ms();
	size_t n = 0;

	pthread_mutex_lock(&i->r->lock);
	for (unsigned int k = 0; k < RT_NEIGH_BUCKETS; k++) {
		for (struct rt_neigh *e = atomic_load(&i->neigh[k]); e;
		     e = atomic_load(&e->next), n++) {
			if (n >= max)
				continue;
			memcpy(out[n].addr, e->addr, 16);
			rt_mac_bytes(out[n].mac, atomic_load(&e->mac));
			out[n].state = (enum router_neighbour_state)atomic_load(&e->state);
			if (out[n].state == ROUTER_NEIGHBOUR_FRESH && !is_fresh(e, now))
				out[n].state = ROUTER_NEIGHBOUR_STALE;
		}
	}
	pthread_mutex_unlock(&i->r->lock);
	return n;
}

/* Held packets, at any interface, that came in by @i. */
static void purge_held(struct router_if *at, const struct router_if *in)
{
	for (unsigned int k = 0; k < RT_NEIGH_BUCKETS; k++) {
		for (struct rt_neigh *e = atomic_load(&at->neigh[k]); e;
		     e = atomic_load(&e->next)) {
			for (const struct rt_letter *l = e->held; l; l = l->next) {
				if (l->in != in)
					continue;
				lose_held(at->r, e);
				break;
			}
		}
	}
}

void rt_neigh_clear(struct router_if *i)
{
	struct router *r = i->r;

	pthread_mutex_lock(&r->lock);
	for (unsigned int k = 0; k < RT_NEIGH_BUCKETS; k++) {
		struct rt_neigh *e;

		while ((e = atomic_load(&i->neigh[k])))
			unlink_neigh(i, e);
	}
	for (unsigned int n = 0; n < r->n_ifs; n++)
		purge_held(r->ifs[n], i);
	pthread_mutex_unlock(&r->lock);
}
