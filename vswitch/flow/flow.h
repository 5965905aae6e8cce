/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Connections of one port: what the policy has decided once, found again with one look-up.
 *
 * A record is one connection in both directions, keyed as the guest behind the port sees it: local
 * is the guest. Where an address translation changes that, the key as the network sees it finds the
 * record too. A record holds per direction whether it was judged, what is to be done to its packets
 * (struct flow_extra; most need nothing), and counters.
 *
 * Threads. flow_find(), flow_touch(): any worker, in a read section, no lock. Making, removing,
 * changing a record: any thread, under the table's lock, taken inside. Counters of one direction
 * are written by the worker of whoever sends in that direction: one, or a count may be lost.
 * flow_table_tick() and all that lists: the control thread.
 *
 * Times are milliseconds of vsw_now_ms(), cut to 32 bits.
 */
#ifndef HVLAB_VSWITCH_FLOW_FLOW_H
#define HVLAB_VSWITCH_FLOW_FLOW_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/util.h"
#include "vswitch/policy/policy.h"

/* ---- Keys: key.c --------------------------------------------------------------------------- */

/**
 * struct flow_key - One connection
 * @lport, @rport:	Ports in host order; of an ICMP query its identifier, twice
 * @zone:	VLAN id in the switch
 */
struct flow_key {
	uint8_t local[16], remote[16]; /* IPv4 as ::ffff:a.b.c.d */
	uint16_t lport, rport;
	uint8_t proto, zero;
	uint16_t zone;
};

/* An IPv6 packet (parsed) from or to an IPv4 address: not to be let through. */
bool flow_is_disguised(const struct pkt *pkt);
/*
 * The key from the sender's side. False: the packet belongs to no connection (no IP, a group
 * address, a fragment, ICMP that is no query).
 */
bool flow_key_from(struct flow_key *key, const struct pkt *pkt, uint16_t zone);
/* The same connection from the other side. */
void flow_key_turn(struct flow_key *to, const struct flow_key *from);
/* The same for both sides. Seeded at start-up: a guest cannot aim at a bucket. */
uint32_t flow_hash(const struct flow_key *key);
/* Both at once, for each packet. */
bool flow_key_hash_from(struct flow_key *key, uint32_t *hash, const struct pkt *pkt, uint16_t zone);

static inline uint64_t flow_key_word(const struct flow_key *key, unsigned int i)
{
	uint64_t word;

	memcpy(&word, (const uint8_t *)key + i * sizeof(word), sizeof(word));
	return word;
}

/* 0: the words are the same. */
static inline uint64_t flow_key_diff(const struct flow_key *a, unsigned int i,
				     const struct flow_key *b, unsigned int k)
{
	return flow_key_word(a, i) ^ flow_key_word(b, k);
}

static inline bool flow_key_same(const struct flow_key *a, const struct flow_key *b)
{
	return !(flow_key_diff(a, 0, b, 0) | flow_key_diff(a, 1, b, 1) | flow_key_diff(a, 2, b, 2) |
		 flow_key_diff(a, 3, b, 3) | flow_key_diff(a, 4, b, 4));
}

/* Are they the two ends' keys of one connection? */
static inline bool flow_key_turned(const struct flow_key *a, const struct flow_key *b)
{
	return !(flow_key_diff(a, 0, b, 2) | flow_key_diff(a, 1, b, 3) | flow_key_diff(a, 2, b, 0) |
		 flow_key_diff(a, 3, b, 1)) &&
	       a->lport == b->rport && a->rport == b->lport && a->proto == b->proto &&
	       a->zone == b->zone;
}

/* ---- Records ------------------------------------------------------------------------------- */

/**
 * enum flow_state - How far a connection is; decides how long it may be idle
 *
 * TCP: NEW until the other side answered, REPLIED until the first one confirmed. A first packet
 * that is no SYN (a connection older than the policy) is PICKED and becomes ESTABLISHED with the
 * first answer. Everything else: NEW, then ESTABLISHED with the first answer.
 */
enum flow_state {
	FLOW_NEW,
	FLOW_REPLIED,
	FLOW_PICKED,
	FLOW_ESTABLISHED,
	FLOW_CLOSING,	/* one side has sent its FIN */
	FLOW_TIME_WAIT, /* both have */
	FLOW_RESET,	/* one sent RST */
	/*
	 * A policy has cut it. The record stays for a while and lets nothing through, or what the
	 * other side still sends would be taken for a connection of its own, and let in the
	 * answers.
	 */
	FLOW_CUT,
	FLOW_N_STATES
};
const char *flow_state_name(enum flow_state s);

/* flags */
#define FLOW_OUT_OK  0x01u /* judged and allowed in that direction: 1 << enum policy_dir */
#define FLOW_IN_OK   0x02u
#define FLOW_ALIAS   0x04u /* extra->alias is its key as the network sees it */
#define FLOW_KEPT    0x08u /* a later policy would not have let it in */
#define FLOW_FIN_OUT 0x10u /* 0x10 << enum policy_dir */
#define FLOW_FIN_IN  0x20u
#define FLOW_LIVE    0x40u

/* What one direction's packets need beyond being let through. */
struct flow_half {
	struct vsw_xpose xpose; /* flags 0: none */
	uint8_t n_limits, n_meters;
	struct policy_limit *limits[POLICY_MAX_LIMITS];
	struct policy_meter *meters[POLICY_MAX_LIMITS];
	uint32_t mirror, mark; /* as policy_action has them */
};

/* Immutable once it is seen; replaced whole. */
struct flow_extra {
	struct flow_extra *next; /* of those to be freed */
	struct flow_half half[POLICY_N_DIRS];
	struct flow_key alias;
	uint32_t alias_hash;
};

struct flow_count {
	_Atomic uint64_t packets, bytes;
	_Atomic uint32_t last_ms;
} __attribute__((aligned(64)));

/**
 * struct flow - One connection of one port
 * @gen:	of the policy that judged it
 * @origin:	direction of its first packet
 * @conn_stateful, @nat_layer: see struct policy_conn
 * @layer, @group, @rule:	whose word let it in, as policy_result has them, under @gen
 * @share:	who it is charged to beside the port, see flow_insert()
 * @offload:	a NIC has it in its table: see vsw_fast_taken()
 */
struct flow {
	struct flow_key key;
	uint32_t hash;
	_Atomic uint32_t gen;
	_Atomic uint8_t state, flags;
	uint8_t origin, share;
	_Atomic uint32_t serial; /* of the record's use: another connection has another */
	_Atomic(struct flow_extra *) extra;

	struct flow_count count[POLICY_N_DIRS];

	struct flow *next; /* free or dead */
	uint64_t created_ms;
	uint16_t conn_stateful;
	int8_t nat_layer;
	uint8_t layer, group;
	uint32_t rule;
	uint32_t idle_ms; /* 0: by state */
	_Atomic bool offload;
} __attribute__((aligned(64)));

/* ---- Tables: table.c ----------------------------------------------------------------------- */

#define FLOW_SLOTS 7

/* A slot: upper 16 bits of the hash, 48 bits of the record's address. 0: empty. */
struct flow_bucket {
	_Atomic uint64_t slot[FLOW_SLOTS];
	_Atomic(struct flow_bucket *) more;
} __attribute__((aligned(64)));

#define FLOW_SHARES	 64
#define FLOW_DEFAULT_MAX (128u << 10)
#define FLOW_MAX	 (4u << 20)

/* ms; 0: the default, which are OPTE's. */
struct flow_timeouts {
	uint32_t embryonic;   /* TCP not yet established; 5000 */
	uint32_t established; /* TCP; 8000000 */
	uint32_t time_wait;   /* 120000 */
	uint32_t reset;	      /* 5000 */
	uint32_t other;	      /* 60000; also TCP while it closes or was picked up */
};

struct flow_table_stats {
	uint32_t n, max;
	uint64_t made, expired, cut; /* cut: by a policy that was applied with flush */
	uint64_t full;		     /* packets that found no room for a record */
	uint64_t full_share;	     /* of these: because their sender had its share */
};

struct flow_table {
	struct flow_bucket *buckets;
	uint32_t mask;
	uint32_t max;
	struct flow_timeouts timeouts;
	pthread_mutex_t lock; /* all below */
	_Atomic uint32_t n;   /* read without */
	uint32_t by_share[FLOW_SHARES];
	struct flow *free, *dead;
	struct flow_extra *dead_extra;
	struct flow_chunk **chunks;
	uint32_t n_chunks, next_chunk;
	void **slabs; /* what chunks lie in */
	uint32_t n_slabs, left_in_slab;
	struct flow_chunk *next_in_slab;
	struct flow_table_stats stats;
};

/* @max 0: FLOW_DEFAULT_MAX. NULL with errno. */
struct flow_table *flow_table_new(uint32_t max, const struct flow_timeouts *timeouts);
/* No reader is left. NULL is fine. */
void flow_table_free(struct flow_table *t);

static inline struct flow *flow_of_slot(uint64_t slot)
{
	return (struct flow *)(uintptr_t)(slot & 0xffffffffffffu);
}

static inline struct flow_bucket *flow_bucket(const struct flow_table *t, uint32_t hash)
{
	return &t->buckets[hash & t->mask];
}

/* Has @f this key, for packets that travel @dir? */
static inline bool flow_is(const struct flow *f, const struct flow_key *key, enum policy_dir dir)
{
	const struct flow_extra *x;

	if (likely(dir == POLICY_OUT ||
		   !(atomic_load_explicit(&f->flags, memory_order_relaxed) & FLOW_ALIAS)))
		return flow_key_same(&f->key, key);
	x = atomic_load_explicit(&f->extra, memory_order_acquire);
	return x && flow_key_same(&x->alias, key);
}

/* The same with the key as the sender's port has it. */
static inline bool flow_is_sent(const struct flow *f, const struct flow_key *key,
				enum policy_dir dir)
{
	const struct flow_extra *x;

	if (dir == POLICY_OUT)
		return flow_key_same(&f->key, key);
	if (likely(!(atomic_load_explicit(&f->flags, memory_order_relaxed) & FLOW_ALIAS)))
		return flow_key_turned(&f->key, key);
	x = atomic_load_explicit(&f->extra, memory_order_acquire);
	return x && flow_key_turned(&x->alias, key);
}

/* @key: as seen at this port, @dir: where the packet travels. NULL: no record. */
static inline struct flow *flow_find(const struct flow_table *t, const struct flow_key *key,
				     uint32_t hash, enum policy_dir dir)
{
	const struct flow_bucket *b = flow_bucket(t, hash);
	uint64_t tag = hash >> 16;

	do {
		for (unsigned int i = 0; i < FLOW_SLOTS; i++) {
			uint64_t slot = atomic_load_explicit(&b->slot[i], memory_order_acquire);
			struct flow *f = flow_of_slot(slot);

			if (slot >> 48 == tag && f && flow_is(f, key, dir))
				return f;
		}
		b = atomic_load_explicit(&b->more, memory_order_acquire);
	} while (unlikely(b != NULL));
	return NULL;
}

/* The same for the key as the sender's port has it, also where the receiver's table is asked. */
static inline struct flow *flow_find_sent(const struct flow_table *t, const struct flow_key *key,
					  uint32_t hash, enum policy_dir dir)
{
	const struct flow_bucket *b = flow_bucket(t, hash);
	uint64_t tag = hash >> 16;

	do {
		for (unsigned int i = 0; i < FLOW_SLOTS; i++) {
			uint64_t slot = atomic_load_explicit(&b->slot[i], memory_order_acquire);
			struct flow *f = flow_of_slot(slot);

			if (slot >> 48 == tag && f && flow_is_sent(f, key, dir))
				return f;
		}
		b = atomic_load_explicit(&b->more, memory_order_acquire);
	} while (unlikely(b != NULL));
	return NULL;
}

/**
 * struct flow_new - A record to be
 * @share:	0..FLOW_SHARES - 1: who is charged, so that one sender cannot fill another's table
 * @share_max:	the most records of that share; 0: the table's max
 * @extra:	taken when it is used; NULL: none
 */
struct flow_new {
	struct flow_key key;
	uint32_t gen, idle_ms;
	enum policy_dir origin;
	enum flow_state state;
	uint8_t share;
	uint32_t share_max;
	struct flow_extra *extra;
	bool alias;
	uint16_t conn_stateful;
	int8_t nat_layer;
	uint8_t layer, group;
	uint32_t rule;
};

/*
 * The record of that key: a new one (*@made), or one that somebody else has just made. NULL: there
 * is no room (counted), or the alias is another connection's.
 */
struct flow *flow_insert(struct flow_table *t, const struct flow_new *want, uint32_t now_ms,
			 bool *made);
/* It is found no more. Memory is freed by a later tick. @cut: counted as such. */
void flow_remove(struct flow_table *t, struct flow *f, bool cut);
struct flow_change;
/*
 * It becomes FLOW_CUT, by policy @c->gen and the rule in @c, unless it was judged by another policy
 * than @gen meanwhile: false.
 */
bool flow_cut(struct flow_table *t, struct flow *f, uint32_t gen, const struct flow_change *c,
	      uint32_t now_ms);
/* Is there a connection with that key as the network sees it? For the choice of ports. */
bool flow_alias_taken(const struct flow_table *t, const struct flow_key *alias);
/*
 * Judged anew: @gen, flags (FLOW_OUT_OK, FLOW_IN_OK, FLOW_KEPT of @set go on, of @clear off), rule.
 * @extra (taken) takes the place of the one before when @replace. False: it is gone, or was judged
 * by @gen or a later one meanwhile; @extra was freed.
 */
struct flow_change {
	uint32_t gen;
	uint8_t set, clear;
	bool replace;
	struct flow_extra *extra;
	uint16_t conn_stateful;
	int8_t nat_layer;
	uint32_t idle_ms;
	uint8_t layer, group;
	uint32_t rule;
	bool new_rule; /* the six above count */
};
bool flow_change(struct flow_table *t, struct flow *f, const struct flow_change *c);
struct flow_extra *flow_extra_new(void);
void flow_extra_free(struct flow_extra *x);

/*
 * Removes what is idle for too long and frees what was removed before. Waits for readers when there
 * is something to free. True: something was.
 */
void flow_table_tick(struct flow_table *t, uint32_t now_ms);
void flow_table_stats(struct flow_table *t, struct flow_table_stats *s);
/*
 * Calls @fn for records from number *@at (0: the first) on, @max numbers at most, in pieces of the
 * table under its lock; @fn must be short, and false ends it. *@at is then where to go on; true:
 * there is more. A record keeps its number for life.
 */
bool flow_table_some(struct flow_table *t, uint32_t *at, uint32_t max,
		     bool (*fn)(void *arg, struct flow *f), void *arg);
/* The same for all of them. */
void flow_table_each(struct flow_table *t, bool (*fn)(void *arg, struct flow *f), void *arg);
/* Milliseconds until it would be removed, were it idle from now on. */
uint32_t flow_timeout(const struct flow_table *t, const struct flow *f);

/* ---- Fragments: frag.c ---------------------------------------------------------------------- */

#define FLOW_FRAGS   128
#define FLOW_FRAG_MS 5000

/**
 * struct flow_frags - Whose later fragments these are, which have no ports
 *
 * A first fragment leaves its connection here, by addresses, protocol and identification; one that
 * comes later is of that connection. Those that overtake the first one are judged by their
 * addresses alone.
 */
struct flow_frags {
	pthread_mutex_t lock;
	struct {
		uint64_t id;
		struct flow *flow;
		uint32_t serial, until_ms;
	} at[FLOW_FRAGS];
};

/* 0: @pkt is no fragment. @dir: where it travels. */
uint64_t flow_frag_id(const struct pkt *pkt, uint16_t zone, enum policy_dir dir);
void flow_frag_note(struct flow_frags *f, uint64_t id, struct flow *flow, uint32_t now_ms);
/* NULL: none is known. In a read section. */
struct flow *flow_frag_find(struct flow_frags *f, uint64_t id, uint32_t now_ms);

/* ---- Counting: every packet ----------------------------------------------------------------- */

static inline void flow_touch(struct flow *f, enum policy_dir dir, uint64_t packets, uint64_t bytes,
			      uint32_t now_ms)
{
	struct flow_count *c = &f->count[dir];

	atomic_store_explicit(&c->packets,
			      atomic_load_explicit(&c->packets, memory_order_relaxed) + packets,
			      memory_order_relaxed);
	atomic_store_explicit(&c->bytes,
			      atomic_load_explicit(&c->bytes, memory_order_relaxed) + bytes,
			      memory_order_relaxed);
	atomic_store_explicit(&c->last_ms, now_ms, memory_order_relaxed);
}

/* ---- States: state.c ------------------------------------------------------------------------ */

#define FLOW_TCP_FIN 0x01u
#define FLOW_TCP_SYN 0x02u
#define FLOW_TCP_RST 0x04u
#define FLOW_TCP_ACK 0x10u

/* The state of a connection after its first packet. @tcp_flags: 0 when it is not TCP. */
enum flow_state flow_first_state(uint8_t proto, uint8_t tcp_flags);
/* A packet goes by that may change the state. */
void flow_step(struct flow *f, enum policy_dir dir, uint8_t tcp_flags);
/* Is that packet the first one of another connection with the same key? */
bool flow_is_reopened(const struct flow *f, uint8_t tcp_flags);

#endif
