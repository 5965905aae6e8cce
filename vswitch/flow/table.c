/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the table of one port's connections: making, finding, removing, expiring.
 *
 * Theory. A bucket is a cache line of seven slots, each a record's address with 16 bits of its
 * hash; what does not fit goes into a chained bucket, which is rare with one bucket for four
 * records. The number of buckets is fixed by the most records the table may have: no look-up ever
 * meets a table that grows, and pages that no connection touches are never there.
 *
 * Readers take no lock. A record is filled in before its slot is stored. A removed one leaves its
 * slots, then waits on a list until all readers have gone by (flow_table_tick()), and only then is
 * it used again; its chunk stays.
 *
 * Buckets and most records lie in huge pages if the kernel has some: each packet of another
 * connection touches three lines at places that say nothing about each other, and with 4 KB pages
 * each of them costs a walk of the page tables too (100 k connections: 15 % of all of vsw_send()).
 *
 * Expiry sweeps: a tick looks at part of the chunks, so that all are seen within SWEEP_MS.
 * A wheel would know the due ones, but each packet would then have to move its record in it, or
 * each due one be looked at and put back; a record looked at costs the sweep 5 ns.
 */
#include "vswitch/flow/flow.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "vswitch/rcu.h"

#define CHUNK_FLOWS 128
#define HUGE	    (2u << 20)
#define FEW_CHUNKS  16 /* these many are allocated one by one, more in huge pages */
#define SWEEP_TICKS 4  /* ticks that see the whole table */

struct flow_chunk {
	struct flow flow[CHUNK_FLOWS];
};

static const struct flow_timeouts defaults = {
	.embryonic = 5000,
	.established = 8000000,
	.time_wait = 120000,
	.reset = 5000,
	.other = 60000,
};

/* Aligned for what is in it; not cleared. A whole number of huge pages from one on. */
static void *alloc_lines(size_t size)
{
	void *p;

	if (size < HUGE)
		return aligned_alloc(64, size);
	size = ALIGN_UP(size, (size_t)HUGE);
	p = aligned_alloc(HUGE, size);
	if (p)
		madvise(p, size, MADV_HUGEPAGE);
	return p;
}

struct flow_table *flow_table_new(uint32_t max, const struct flow_timeouts *timeouts)
{
	struct flow_table *t = calloc(1, sizeof(*t));
	uint32_t n = 16;

	if (!t)
		return NULL;
	t->max = max ? MIN(max, FLOW_MAX) : FLOW_DEFAULT_MAX;
	/* A connection with an alias takes two slots. */
	while (n < t->max / 4)
		n *= 2;
	t->mask = n - 1;
	t->buckets = alloc_lines(n * sizeof(*t->buckets));
	if (!t->buckets) {
		free(t);
		errno = ENOMEM;
		return NULL;
	}
	memset(t->buckets, 0, n * sizeof(*t->buckets));
	t->timeouts = timeouts ? *timeouts : defaults;
	if (!t->timeouts.embryonic)
		t->timeouts.embryonic = defaults.embryonic;
	if (!t->timeouts.established)
		t->timeouts.established = defaults.established;
	if (!t->timeouts.time_wait)
		t->timeouts.time_wait = defaults.time_wait;
	if (!t->timeouts.reset)
		t->timeouts.reset = defaults.reset;
	if (!t->timeouts.other)
		t->timeouts.other = defaults.other;
	t->stats.max = t->max;
	pthread_mutex_init(&t->lock, NULL);
	return t;
}

/* ---- Extras -------------------------------------------------------------------------------- */

struct flow_extra *flow_extra_new(void)
{
	return calloc(1, sizeof(struct flow_extra));
}

void flow_extra_free(struct flow_extra *x)
{
	if (!x)
		return;
	for (unsigned int dir = 0; dir < POLICY_N_DIRS; dir++) {
		for (unsigned int i = 0; i < x->half[dir].n_limits; i++)
			policy_limit_put(x->half[dir].limits[i]);
		for (unsigned int i = 0; i < x->half[dir].n_meters; i++)
			policy_meter_put(x->half[dir].meters[i]);
	}
	free(x);
}

static void bury_extra(struct flow_table *t, struct flow_extra *x)
{
	if (!x)
		return;
	x->next = t->dead_extra;
	t->dead_extra = x;
}

/* ---- Slots: under the lock ----------------------------------------------------------------- */

static uint64_t slot_of(const struct flow *f, uint32_t hash)
{
	return (uint64_t)(hash >> 16) << 48 | (uint64_t)(uintptr_t)f;
}

static int put_slot(struct flow_table *t, const struct flow *f, uint32_t hash)
{
	struct flow_bucket *b = flow_bucket(t, hash), *last;

	do {
		for (unsigned int i = 0; i < FLOW_SLOTS; i++) {
			if (atomic_load_explicit(&b->slot[i], memory_order_relaxed))
				continue;
			atomic_store_explicit(&b->slot[i], slot_of(f, hash), memory_order_release);
			return 0;
		}
		last = b;
		b = atomic_load_explicit(&b->more, memory_order_relaxed);
	} while (b);
	b = aligned_alloc(64, sizeof(*b));
	if (!b)
		return -ENOMEM;
	memset(b, 0, sizeof(*b));
	atomic_store_explicit(&b->slot[0], slot_of(f, hash), memory_order_relaxed);
	atomic_store_explicit(&last->more, b, memory_order_release);
	return 0;
}

/* A chained bucket stays where it is, though it be empty: a reader may be in it. */
static void clear_slot(struct flow_table *t, const struct flow *f, uint32_t hash)
{
	for (struct flow_bucket *b = flow_bucket(t, hash); b;
	     b = atomic_load_explicit(&b->more, memory_order_relaxed))
		for (unsigned int i = 0; i < FLOW_SLOTS; i++)
			if (atomic_load_explicit(&b->slot[i], memory_order_relaxed) ==
			    slot_of(f, hash))
				atomic_store_explicit(&b->slot[i], 0, memory_order_relaxed);
}

/* ---- Making and removing ------------------------------------------------------------------- */

/* Room for one more element of one of the table's lists. False: no memory. */
static bool more_room(void ***list, uint32_t n)
{
	void **longer = realloc(*list, (n + 1) * sizeof(void *));

	if (longer)
		*list = longer;
	return longer != NULL;
}

/* Memory for chunks: one, or as many as a huge page holds. */
static bool add_slab(struct flow_table *t)
{
	bool few = t->n_chunks < FEW_CHUNKS;
	void *slab;

	if (!more_room(&t->slabs, t->n_slabs))
		return false;
	slab = alloc_lines(few ? sizeof(struct flow_chunk) : HUGE);
	if (!slab)
		return false;
	t->slabs[t->n_slabs++] = slab;
	t->next_in_slab = slab;
	t->left_in_slab = few ? 1 : HUGE / sizeof(struct flow_chunk);
	return true;
}

static bool add_chunk(struct flow_table *t)
{
	struct flow_chunk *c;

	if (!more_room((void ***)&t->chunks, t->n_chunks) || (!t->left_in_slab && !add_slab(t)))
		return false;
	c = t->next_in_slab++;
	t->left_in_slab--;
	memset(c, 0, sizeof(*c));
	t->chunks[t->n_chunks++] = c;
	for (unsigned int i = CHUNK_FLOWS; i--;) {
		c->flow[i].next = t->free;
		t->free = &c->flow[i];
	}
	return true;
}

static struct flow *take_free(struct flow_table *t)
{
	struct flow *f;

	if (!t->free && !add_chunk(t))
		return NULL;
	f = t->free;
	t->free = f->next;
	return f;
}

static bool has_room(struct flow_table *t, const struct flow_new *want)
{
	if (atomic_load_explicit(&t->n, memory_order_relaxed) >= t->max) {
		t->stats.full++;
		return false;
	}
	if (want->share_max && t->by_share[want->share] >= want->share_max) {
		t->stats.full++;
		t->stats.full_share++;
		return false;
	}
	return true;
}

static void fill(struct flow *f, const struct flow_new *want, uint32_t now_ms)
{
	uint8_t flags = FLOW_LIVE | (uint8_t)(FLOW_OUT_OK << want->origin);

	uint32_t serial = atomic_load(&f->serial) + 1;

	memset(f, 0, sizeof(*f));
	atomic_store(&f->serial, serial);
	f->key = want->key;
	f->hash = flow_hash(&want->key);
	f->origin = (uint8_t)want->origin;
	f->share = want->share;
	f->idle_ms = want->idle_ms;
	f->conn_stateful = want->conn_stateful;
	f->nat_layer = want->nat_layer;
	f->layer = want->layer;
	f->group = want->group;
	f->rule = want->rule;
	f->created_ms = now_ns() / NSEC_PER_MSEC;
	for (unsigned int dir = 0; dir < POLICY_N_DIRS; dir++)
		atomic_store_explicit(&f->count[dir].last_ms, now_ms, memory_order_relaxed);
	atomic_store_explicit(&f->gen, want->gen, memory_order_relaxed);
	atomic_store_explicit(&f->state, want->state, memory_order_relaxed);
	atomic_store_explicit(&f->extra, want->extra, memory_order_relaxed);
	atomic_store_explicit(&f->flags, flags | (want->alias ? FLOW_ALIAS : 0),
			      memory_order_release);
}

/* Under the lock. NULL: no memory. */
static struct flow *insert(struct flow_table *t, const struct flow_new *want, uint32_t now_ms)
{
	struct flow *f = take_free(t);

	if (!f)
		return NULL;
	fill(f, want, now_ms);
	if (put_slot(t, f, f->hash) || (want->alias && put_slot(t, f, want->extra->alias_hash))) {
		clear_slot(t, f, f->hash);
		/* Somebody may have found it; the extra is the caller's again, who frees it. */
		atomic_store(&f->flags, 0);
		atomic_store(&f->extra, NULL);
		f->next = t->dead;
		t->dead = f;
		return NULL;
	}
	atomic_fetch_add(&t->n, 1);
	t->by_share[f->share]++;
	t->stats.made++;
	return f;
}

struct flow *flow_insert(struct flow_table *t, const struct flow_new *want, uint32_t now_ms,
			 bool *made)
{
	struct flow *f;

	*made = false;
	pthread_mutex_lock(&t->lock);
	f = flow_find(t, &want->key, flow_hash(&want->key), POLICY_OUT);
	if (!f && !(want->alias && flow_alias_taken(t, &want->extra->alias)) && has_room(t, want)) {
		f = insert(t, want, now_ms);
		*made = f != NULL;
	}
	pthread_mutex_unlock(&t->lock);
	if (!*made)
		flow_extra_free(want->extra);
	return f;
}

/* Under the lock. */
static void remove_locked(struct flow_table *t, struct flow *f)
{
	struct flow_extra *x = atomic_load_explicit(&f->extra, memory_order_relaxed);
	uint8_t flags = atomic_exchange(&f->flags, 0);

	if (!(flags & FLOW_LIVE))
		return;
	clear_slot(t, f, f->hash);
	if (flags & FLOW_ALIAS)
		clear_slot(t, f, x->alias_hash);
	atomic_fetch_sub(&t->n, 1);
	t->by_share[f->share]--;
	f->next = t->dead;
	t->dead = f;
}

void flow_remove(struct flow_table *t, struct flow *f, bool cut)
{
	pthread_mutex_lock(&t->lock);
	if (atomic_load(&f->flags) & FLOW_LIVE) {
		remove_locked(t, f);
		t->stats.cut += cut;
	}
	pthread_mutex_unlock(&t->lock);
}

bool flow_cut(struct flow_table *t, struct flow *f, uint32_t gen, const struct flow_change *c,
	      uint32_t now_ms)
{
	bool same;

	pthread_mutex_lock(&t->lock);
	same = atomic_load(&f->gen) == gen;
	if (same && (atomic_load(&f->flags) & FLOW_LIVE)) {
		atomic_fetch_and(&f->flags, (uint8_t) ~(FLOW_OUT_OK | FLOW_IN_OK | FLOW_KEPT));
		atomic_store(&f->state, FLOW_CUT);
		atomic_store(&f->count[0].last_ms, now_ms);
		f->layer = c->layer;
		f->group = c->group;
		f->rule = c->rule;
		atomic_store_explicit(&f->gen, c->gen, memory_order_release);
		t->stats.cut++;
	}
	pthread_mutex_unlock(&t->lock);
	return same;
}

bool flow_alias_taken(const struct flow_table *t, const struct flow_key *alias)
{
	return flow_find(t, alias, flow_hash(alias), POLICY_IN) != NULL;
}

bool flow_change(struct flow_table *t, struct flow *f, const struct flow_change *c)
{
	int32_t later;
	bool ok;

	pthread_mutex_lock(&t->lock);
	later = (int32_t)(c->gen - atomic_load(&f->gen));
	ok = (atomic_load(&f->flags) & FLOW_LIVE) && (later > 0 || (!later && !c->new_rule));
	if (ok) {
		if (c->replace) {
			bury_extra(t, atomic_load(&f->extra));
			atomic_store_explicit(&f->extra, c->extra, memory_order_release);
		}
		if (c->new_rule) {
			f->conn_stateful = c->conn_stateful;
			f->nat_layer = c->nat_layer;
			f->idle_ms = c->idle_ms;
			f->layer = c->layer;
			f->group = c->group;
			f->rule = c->rule;
		}
		atomic_fetch_and(&f->flags, (uint8_t)~c->clear);
		atomic_fetch_or(&f->flags, c->set);
		atomic_store_explicit(&f->gen, c->gen, memory_order_release);
	}
	pthread_mutex_unlock(&t->lock);
	if (!ok && c->replace)
		flow_extra_free(c->extra);
	return ok;
}

/* ---- Expiry: the control thread ------------------------------------------------------------- */

uint32_t flow_timeout(const struct flow_table *t, const struct flow *f)
{
	const struct flow_timeouts *o = &t->timeouts;
	bool tcp = f->key.proto == IPPROTO_TCP;

	switch ((enum flow_state)atomic_load_explicit(&f->state, memory_order_relaxed)) {
	case FLOW_NEW:
		return tcp ? o->embryonic : f->idle_ms ? f->idle_ms : o->other;
	case FLOW_REPLIED:
		return o->embryonic;
	case FLOW_ESTABLISHED:
		return f->idle_ms ? f->idle_ms : tcp ? o->established : o->other;
	case FLOW_TIME_WAIT:
		return o->time_wait;
	case FLOW_RESET:
		return o->reset;
	case FLOW_CUT:
		/* TCP repeats itself for minutes, and each time counts from here; see judge.c. */
		return tcp ? o->time_wait : o->reset;
	case FLOW_PICKED:
	case FLOW_CLOSING:
	case FLOW_N_STATES:
		break;
	}
	return o->other;
}

static bool is_idle(const struct flow_table *t, const struct flow *f, uint32_t now_ms)
{
	uint32_t out = now_ms - atomic_load_explicit(&f->count[0].last_ms, memory_order_relaxed);
	uint32_t in = now_ms - atomic_load_explicit(&f->count[1].last_ms, memory_order_relaxed);
	uint32_t idle = MIN(out, in);

	/* A packet of this moment may be ahead of the caller's clock. */
	return idle < UINT32_MAX / 2 && idle >= flow_timeout(t, f);
}

static void sweep_chunk(struct flow_table *t, struct flow_chunk *c, uint32_t now_ms)
{
	pthread_mutex_lock(&t->lock);
	for (unsigned int i = 0; i < CHUNK_FLOWS; i++) {
		struct flow *f = &c->flow[i];

		if (!(atomic_load_explicit(&f->flags, memory_order_relaxed) & FLOW_LIVE) ||
		    likely(!is_idle(t, f, now_ms)))
			continue;
		remove_locked(t, f);
		t->stats.expired++;
	}
	pthread_mutex_unlock(&t->lock);
}

/* What was removed, and what it pointed to: readers that saw it have gone by. */
static void reap(struct flow_table *t)
{
	struct flow_extra *x, *extras;
	struct flow *dead, *f;

	pthread_mutex_lock(&t->lock);
	dead = t->dead;
	extras = t->dead_extra;
	t->dead = NULL;
	t->dead_extra = NULL;
	pthread_mutex_unlock(&t->lock);
	if (!dead && !extras)
		return;
	vsw_synchronize();
	while ((x = extras)) {
		extras = x->next;
		flow_extra_free(x);
	}
	for (f = dead; f; f = f->next)
		flow_extra_free(atomic_exchange(&f->extra, NULL));
	pthread_mutex_lock(&t->lock);
	while ((f = dead)) {
		dead = f->next;
		f->next = t->free;
		t->free = f;
	}
	pthread_mutex_unlock(&t->lock);
}

/* The chunk of that number, or NULL. The list may move while workers add to it. */
static struct flow_chunk *chunk_at(struct flow_table *t, uint32_t i)
{
	struct flow_chunk *c;

	pthread_mutex_lock(&t->lock);
	c = i < t->n_chunks ? t->chunks[i] : NULL;
	pthread_mutex_unlock(&t->lock);
	return c;
}

void flow_table_tick(struct flow_table *t, uint32_t now_ms)
{
	uint32_t n;

	pthread_mutex_lock(&t->lock);
	n = (t->n_chunks + SWEEP_TICKS - 1) / SWEEP_TICKS;
	pthread_mutex_unlock(&t->lock);
	while (n--) {
		struct flow_chunk *c = chunk_at(t, t->next_chunk);

		if (!c)
			c = chunk_at(t, t->next_chunk = 0);
		if (!c)
			break;
		t->next_chunk++;
		sweep_chunk(t, c, now_ms);
	}
	reap(t);
}

void flow_table_stats(struct flow_table *t, struct flow_table_stats *s)
{
	pthread_mutex_lock(&t->lock);
	*s = t->stats;
	s->n = atomic_load(&t->n);
	pthread_mutex_unlock(&t->lock);
}

bool flow_table_some(struct flow_table *t, uint32_t *at, uint32_t max,
		     bool (*fn)(void *arg, struct flow *f), void *arg)
{
	struct flow_chunk *c;
	bool more = true;

	while (more && max && (c = chunk_at(t, *at / CHUNK_FLOWS))) {
		pthread_mutex_lock(&t->lock);
		do {
			struct flow *f = &c->flow[(*at)++ % CHUNK_FLOWS];

			if (atomic_load(&f->flags) & FLOW_LIVE)
				more = fn(arg, f);
		} while (more && --max && *at % CHUNK_FLOWS);
		pthread_mutex_unlock(&t->lock);
	}
	return chunk_at(t, *at / CHUNK_FLOWS) != NULL;
}

void flow_table_each(struct flow_table *t, bool (*fn)(void *arg, struct flow *f), void *arg)
{
	uint32_t at = 0;

	flow_table_some(t, &at, UINT32_MAX, fn, arg);
}

void flow_table_free(struct flow_table *t)
{
	struct flow_bucket *b, *more;

	if (!t)
		return;
	for (uint32_t i = 0; i < t->n_chunks; i++) {
		for (unsigned int k = 0; k < CHUNK_FLOWS; k++)
			flow_extra_free(atomic_load(&t->chunks[i]->flow[k].extra));
	}
	for (uint32_t i = 0; i < t->n_slabs; i++)
		free(t->slabs[i]);
	while (t->dead_extra) {
		struct flow_extra *x = t->dead_extra;

		t->dead_extra = x->next;
		flow_extra_free(x);
	}
	for (uint32_t i = 0; i <= t->mask; i++) {
		for (b = atomic_load(&t->buckets[i].more); b; b = more) {
			more = atomic_load(&b->more);
			free(b);
		}
	}
	free(t->slabs);
	free(t->chunks);
	free(t->buckets);
	pthread_mutex_destroy(&t->lock);
	free(t);
}
