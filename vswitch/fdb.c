/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the forwarding database.
 *
 * Theory of operation
 *
 * A hash table of chains, sized once. Readers walk chains under RCU. Three things change:
 * entries come (at the head of a chain), go (unlinked, freed a grace period later) or are
 * updated in place (port, time last seen: atomics).
 *
 * Nothing runs to age entries. An entry older than the ageing time is not found, and is swept
 * out when its room is wanted: when the table or a port's share of it is full, the whole table
 * is swept, but not again before an eighth of the ageing time has passed. Until then a port
 * that sends from ever new addresses is turned away by two loads: a flood of sources costs its
 * sender nothing more than not being known, and costs others nothing.
 *
 * Time last seen is written at most once per sixteenth of the ageing time, so that busy sources
 * do not bounce a cache line between workers. An address may be forgotten that much too early.
 *
 * Keys. A fixed entry matches any VLAN: it is found under (address, ANY_VID), which is looked up
 * first. The hash is seeded, so that a guest cannot aim at one chain.
 */
#include "vswitch/fdb.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/util.h"
#include "vswitch/rcu.h"

#define ANY_VID	  0xffffull
#define VID_SHIFT 48

struct entry {
	_Atomic(struct entry *) next;
	uint64_t key; /* address | vid << 48 */
	_Atomic(struct vsw_port *) port;
	_Atomic uint64_t seen; /* ms */
	struct entry *dead_next;
	struct rcu_head rcu;
};

struct fdb {
	uint32_t max, max_per_port, ageing;
	unsigned int shift; /* 64 - log2 of buckets */
	uint64_t seed, mult;
	pthread_mutex_t lock;
	uint32_t n;	     /* learned entries, under the lock */
	uint64_t next_sweep; /* ms, under the lock */
	struct entry *dead;  /* unlinked, for fdb_reap() */
	_Atomic(struct entry *) bucket[];
};

static uint64_t key_of(uint64_t mac, uint64_t vid)
{
	return mac | vid << VID_SHIFT;
}

static bool is_fixed(const struct entry *e)
{
	return e->key >> VID_SHIFT == ANY_VID;
}

static inline _Atomic(struct entry *) *chain(struct fdb *fdb, uint64_t key)
{
	return &fdb->bucket[((key ^ fdb->seed) * fdb->mult) >> fdb->shift];
}

static inline struct entry *find(struct fdb *fdb, uint64_t key)
{
	struct entry *e = atomic_load_explicit(chain(fdb, key), memory_order_acquire);

	while (e && e->key != key)
		e = atomic_load_explicit(&e->next, memory_order_acquire);
	return e;
}

struct fdb *fdb_new(uint32_t max, uint32_t max_per_port, uint32_t ageing_ms)
{
	unsigned int bits = 6;
	struct fdb *fdb;

	while (bits < 20 && (1u << bits) < max)
		bits++;
	fdb = calloc(1, sizeof(*fdb) + (sizeof(fdb->bucket[0]) << bits));
	if (!fdb)
		return NULL;
	fdb->max = max;
	fdb->max_per_port = max_per_port;
	fdb->ageing = ageing_ms;
	fdb->shift = 64 - bits;
	if (getrandom(&fdb->seed, sizeof(fdb->seed), 0) != sizeof(fdb->seed) ||
	    getrandom(&fdb->mult, sizeof(fdb->mult), 0) != sizeof(fdb->mult)) {
		free(fdb);
		return NULL;
	}
	fdb->mult |= 1;
	pthread_mutex_init(&fdb->lock, NULL);
	return fdb;
}

void fdb_free(struct fdb *fdb)
{
	struct entry *e, *next;

	if (!fdb)
		return;
	fdb_reap(fdb);
	for (size_t i = 0; i < (size_t)1 << (64 - fdb->shift); i++) {
		for (e = atomic_load(&fdb->bucket[i]); e; e = next) {
			next = atomic_load(&e->next);
			free(e);
		}
	}
	pthread_mutex_destroy(&fdb->lock);
	free(fdb);
}

static bool expired(const struct fdb *fdb, const struct entry *e, uint64_t now)
{
	uint64_t seen = atomic_load_explicit(&e->seen, memory_order_relaxed);

	/* Another worker may have read its clock after us. */
	return now > seen && now - seen >= fdb->ageing;
}

struct vsw_port *fdb_lookup(struct fdb *fdb, uint64_t mac, uint16_t vid, uint64_t *now,
			    uint64_t (*now_ms)(void))
{
	struct entry *e = find(fdb, key_of(mac, ANY_VID));

	if (e)
		return atomic_load_explicit(&e->port, memory_order_acquire);
	e = find(fdb, key_of(mac, vid));
	if (!e)
		return NULL;
	if (!*now)
		*now = now_ms();
	if (expired(fdb, e, *now))
		return NULL;
	return atomic_load_explicit(&e->port, memory_order_acquire);
}

static void free_entry(struct rcu_head *head)
{
	vsw_rcu_note_grace();
	free(CONTAINER_OF(head, struct entry, rcu));
}

/* Under the lock. */
static void unlink_entry(struct fdb *fdb, struct entry *e)
{
	_Atomic(struct entry *) *at = chain(fdb, e->key);

	while (atomic_load_explicit(at, memory_order_relaxed) != e)
		at = &atomic_load_explicit(at, memory_order_relaxed)->next;
	atomic_store_explicit(at, atomic_load_explicit(&e->next, memory_order_relaxed),
			      memory_order_release);
	if (!is_fixed(e)) {
		fdb->n--;
		atomic_load_explicit(&e->port, memory_order_relaxed)->n_macs--;
	}
}

/* Under the lock, on a worker: nobody waits for a grace period here. */
static void sweep(struct fdb *fdb, uint64_t now)
{
	struct entry *e, *next;

	if (now < fdb->next_sweep)
		return;
	fdb->next_sweep = now + MAX(fdb->ageing / 8, 1u);
	for (size_t i = 0; i < (size_t)1 << (64 - fdb->shift); i++) {
		for (e = atomic_load_explicit(&fdb->bucket[i], memory_order_relaxed); e; e = next) {
			next = atomic_load_explicit(&e->next, memory_order_relaxed);
			if (is_fixed(e) || !expired(fdb, e, now))
				continue;
			unlink_entry(fdb, e);
			urcu_memb_call_rcu(&e->rcu, free_entry);
		}
	}
}

/* Under the lock. */
static bool room_for(struct fdb *fdb, const struct vsw_port *port)
{
	return fdb->n < fdb->max && port->n_macs < fdb->max_per_port;
}

static void insert(struct fdb *fdb, struct entry *e)
{
	_Atomic(struct entry *) *at = chain(fdb, e->key);

	atomic_store_explicit(&e->next, atomic_load_explicit(at, memory_order_relaxed),
			      memory_order_relaxed);
	atomic_store_explicit(at, e, memory_order_release);
}

static struct entry *entry_new(uint64_t key, struct vsw_port *port, uint64_t now)
{
	struct entry *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->key = key;
	atomic_store_explicit(&e->port, port, memory_order_relaxed);
	atomic_store_explicit(&e->seen, now, memory_order_relaxed);
	return e;
}

/* An address that is new, or has moved here from another port. */
static bool learn_slow(struct fdb *fdb, uint64_t key, struct vsw_port *port, uint64_t now)
{
	struct vsw_port *old;
	struct entry *e;
	bool known = false;

	pthread_mutex_lock(&fdb->lock);
	/* The port may be on its way out: then it must not come back in. */
	if (!atomic_load(&port->net))
		goto out;
	e = find(fdb, key);
	if (!e || atomic_load_explicit(&e->port, memory_order_relaxed) != port) {
		if (port->n_macs >= fdb->max_per_port || (!e && fdb->n >= fdb->max)) {
			sweep(fdb, now);
			e = find(fdb, key);
		}
		if (port->n_macs >= fdb->max_per_port || (!e && !room_for(fdb, port))) {
			atomic_store_explicit(&port->learn_again_ms, fdb->next_sweep,
					      memory_order_relaxed);
			goto out;
		}
	}
	if (e) {
		old = atomic_load_explicit(&e->port, memory_order_relaxed);
		old->n_macs--;
		port->n_macs++;
		atomic_store_explicit(&e->port, port, memory_order_release);
		atomic_store_explicit(&e->seen, now, memory_order_relaxed);
	} else {
		e = entry_new(key, port, now);
		if (!e)
			goto out;
		insert(fdb, e);
		fdb->n++;
		port->n_macs++;
	}
	known = true;
out:
	pthread_mutex_unlock(&fdb->lock);
	return known;
}

bool fdb_learn(struct fdb *fdb, uint64_t mac, uint16_t vid, struct vsw_port *port, uint64_t now)
{
	struct entry *e = find(fdb, key_of(mac, ANY_VID));

	if (e)
		return atomic_load_explicit(&e->port, memory_order_relaxed) == port;
	e = find(fdb, key_of(mac, vid));
	if (e && atomic_load_explicit(&e->port, memory_order_relaxed) == port) {
		uint64_t seen = atomic_load_explicit(&e->seen, memory_order_relaxed);

		if (now > seen && now - seen >= fdb->ageing / 16)
			atomic_store_explicit(&e->seen, now, memory_order_relaxed);
		return true;
	}
	if (now < atomic_load_explicit(&port->learn_again_ms, memory_order_relaxed))
		return false;
	return learn_slow(fdb, key_of(mac, vid), port, now);
}

/* Under the lock. */
static void bury(struct fdb *fdb, struct entry *e)
{
	unlink_entry(fdb, e);
	e->dead_next = fdb->dead;
	fdb->dead = e;
}

int fdb_add_fixed(struct fdb *fdb, uint64_t mac, struct vsw_port *port)
{
	struct entry *e, *next, *fixed = entry_new(key_of(mac, ANY_VID), port, 0);

	if (!fixed)
		return -ENOMEM;
	pthread_mutex_lock(&fdb->lock);
	if (find(fdb, fixed->key)) {
		pthread_mutex_unlock(&fdb->lock);
		free(fixed);
		return -EEXIST;
	}
	for (size_t i = 0; i < (size_t)1 << (64 - fdb->shift); i++) {
		for (e = atomic_load_explicit(&fdb->bucket[i], memory_order_relaxed); e; e = next) {
			next = atomic_load_explicit(&e->next, memory_order_relaxed);
			if (e->key << 16 == mac << 16)
				bury(fdb, e);
		}
	}
	insert(fdb, fixed);
	pthread_mutex_unlock(&fdb->lock);
	return 0;
}

void fdb_forget_port(struct fdb *fdb, struct vsw_port *port)
{
	struct entry *e, *next;

	pthread_mutex_lock(&fdb->lock);
	for (size_t i = 0; i < (size_t)1 << (64 - fdb->shift); i++) {
		for (e = atomic_load_explicit(&fdb->bucket[i], memory_order_relaxed); e; e = next) {
			next = atomic_load_explicit(&e->next, memory_order_relaxed);
			if (atomic_load_explicit(&e->port, memory_order_relaxed) == port)
				bury(fdb, e);
		}
	}
	pthread_mutex_unlock(&fdb->lock);
}

void fdb_reap(struct fdb *fdb)
{
	struct entry *e;

	/* Only the control thread buries and reaps. */
	while ((e = fdb->dead)) {
		fdb->dead = e->dead_next;
		free(e);
	}
}

size_t fdb_list(struct fdb *fdb, uint64_t now, struct vsw_fdb_entry *out, size_t max)
{
	struct entry *e;
	size_t n = 0;

	pthread_mutex_lock(&fdb->lock);
	for (size_t i = 0; i < (size_t)1 << (64 - fdb->shift); i++) {
		for (e = atomic_load_explicit(&fdb->bucket[i], memory_order_relaxed); e;
		     e = atomic_load_explicit(&e->next, memory_order_relaxed)) {
			struct vsw_port *port;
			uint64_t seen;

			if (!is_fixed(e) && expired(fdb, e, now))
				continue;
			if (n++ >= max)
				continue;
			port = atomic_load_explicit(&e->port, memory_order_relaxed);
			seen = atomic_load_explicit(&e->seen, memory_order_relaxed);
			for (unsigned int b = 0; b < 6; b++)
				out->mac[b] = (uint8_t)(e->key >> (40 - 8 * b));
			out->fixed = is_fixed(e);
			out->vid = out->fixed ? 0 : (uint16_t)(e->key >> VID_SHIFT);
			out->age_ms = out->fixed || now < seen ? 0 : now - seen;
			memcpy(out->port, port->name, sizeof(out->port));
			out++;
		}
	}
	pthread_mutex_unlock(&fdb->lock);
	return n;
}

uint32_t fdb_count(struct fdb *fdb)
{
	uint32_t n;

	pthread_mutex_lock(&fdb->lock);
	n = fdb->n;
	pthread_mutex_unlock(&fdb->lock);
	return n;
}
