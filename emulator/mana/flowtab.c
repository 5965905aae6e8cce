/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the flow table of a vPort: an exact-match table that the switch fills with what it has
 * judged.
 *
 * Theory. A fixed number of entries in chains by hash. A packet that finds a valid entry is sent
 * with the entry's action. Any other is an exception: it goes to the switch, which may offer its
 * flow. A full table refuses, and the flow stays with the switch. Entries that went stale are
 * removed when a packet meets them; so that those which no packet meets any more leave room too,
 * each offer looks at a few others, and an entry that no packet used since the hand came by last is
 * given up.
 */
#include "emulator/mana/flowtab.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/util.h"

#define LOOK_AT 4  /* entries, at each offer */
#define AT_ONCE 64 /* packets */
#define HUGE	(2u << 20)

struct flowtab_entry {
	struct vsw_fast_key key;
	uint32_t hash, next; /* next of the chain, or of the free ones: 1 + entry */
	bool used, seen;     /* seen: by a packet, since the hand was here */
	struct vsw_fast fast;
} __attribute__((aligned(64)));

static struct flowtab_entry *find(const struct flowtab *t, const struct vsw_fast_key *key,
				  uint32_t hash)
{
	for (uint32_t i = t->head[hash & t->mask]; i; i = t->entry[i - 1].next)
		if (t->entry[i - 1].hash == hash && vsw_fast_key_same(&t->entry[i - 1].key, key))
			return &t->entry[i - 1];
	return NULL;
}

static void remove_entry(struct flowtab *t, struct flowtab_entry *e)
{
	uint32_t *at = &t->head[e->hash & t->mask], id = (uint32_t)(e - t->entry) + 1;

	while (*at != id)
		at = &t->entry[*at - 1].next;
	*at = e->next;
	vsw_fast_removed(&e->fast);
	e->used = false;
	e->next = t->free;
	t->free = id;
	t->stats.n--;
	t->stats.removed++;
	t->changes++;
}

static void free_all(struct flowtab *t)
{
	memset(t->head, 0, (t->mask + 1) * sizeof(*t->head));
	t->free = 0;
	for (uint32_t i = t->stats.max; i--;) {
		t->entry[i].used = false;
		t->entry[i].next = t->free;
		t->free = i + 1;
	}
	t->stats.n = 0;
	t->hand = 0;
	t->changes++;
}

void flowtab_clear(struct flowtab *t)
{
	for (uint32_t i = 0; i < t->stats.max && t->stats.n; i++)
		if (t->entry[i].used)
			remove_entry(t, &t->entry[i]);
}

/* Zeroed. In huge pages, if there are any: packets meet entries in no order. */
static void *alloc_table(size_t size)
{
	size_t align = size < HUGE ? 64 : HUGE;
	void *p;

	size = ALIGN_UP(size, align);
	p = aligned_alloc(align, size);
	if (!p)
		return NULL;
	if (align == HUGE)
		madvise(p, size, MADV_HUGEPAGE);
	return memset(p, 0, size);
}

int flowtab_resize(struct flowtab *t, struct vsw_port *port, uint32_t max)
{
	struct flowtab_entry *entry = NULL;
	uint32_t *head = NULL, n = 1;

	t->port = port;
	max = MIN(max, FLOWTAB_MAX);
	while (n < max)
		n *= 2;
	if (max) {
		entry = alloc_table(max * sizeof(*entry));
		head = alloc_table(n * sizeof(*head));
		if (!entry || !head) {
			free(entry);
			free(head);
			return -ENOMEM;
		}
	}
	flowtab_clear(t);
	free(t->entry);
	free(t->head);
	t->entry = entry;
	t->head = head;
	t->mask = n - 1;
	t->stats.max = max;
	if (max)
		free_all(t);
	atomic_store(&port->takes_flows, max > 0);
	return 0;
}

/* The hand goes on over @n entries: stale ones and unused ones leave. */
static void move_hand(struct flowtab *t, uint32_t n)
{
	while (n--) {
		struct flowtab_entry *e = &t->entry[t->hand];

		t->hand = (t->hand + 1) % t->stats.max;
		if (e->used && (!e->seen || !vsw_fast_is_valid(t->port, &e->fast)))
			remove_entry(t, e);
		e->seen = false;
	}
}

void flowtab_sweep(struct flowtab *t)
{
	for (uint32_t i = 0; i < t->stats.max && t->stats.n; i++)
		if (t->entry[i].used && !vsw_fast_is_valid(t->port, &t->entry[i].fast))
			remove_entry(t, &t->entry[i]);
}

void flowtab_add(struct flowtab *t, const struct vsw_fast_key *key, uint32_t hash,
		 const struct vsw_fast *fast)
{
	struct flowtab_entry *e;
	uint32_t id;

	if (!t->stats.max)
		return;
	e = find(t, key, hash);
	if (e) {
		vsw_fast_removed(&e->fast);
	} else {
		/* Only when there is need: an entry that waits for its next packet is worth more.
		 */
		if (!t->free)
			move_hand(t, MIN(t->stats.max, LOOK_AT));
		id = t->free;
		if (!id) {
			t->stats.refused++;
			return;
		}
		e = &t->entry[id - 1];
		t->free = e->next;
		e->key = *key;
		e->hash = hash;
		e->next = t->head[hash & t->mask];
		t->head[hash & t->mask] = id;
		t->stats.n++;
		t->stats.added++;
	}
	e->used = e->seen = true;
	e->fast = *fast;
	t->changes++;
	vsw_fast_taken(fast);
}

/* Their entries, and the actions in them; NULL: exceptions. */
struct found {
	struct vsw_fast_key key[AT_ONCE];
	uint32_t hash[AT_ONCE];
	bool has_key[AT_ONCE];
	struct flowtab_entry *entry[AT_ONCE];
	const struct vsw_fast *fast[AT_ONCE];
};

static void look_up(struct flowtab *t, struct found *f, unsigned int from, unsigned int n)
{
	for (unsigned int i = from; i < n; i++) {
		f->entry[i] = f->has_key[i] ? find(t, &f->key[i], f->hash[i]) : NULL;
		f->fast[i] = f->entry[i] ? &f->entry[i]->fast : NULL;
	}
}

static void take_keys(struct flowtab *t, struct found *f, struct pkt **pkts, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		f->has_key[i] = vsw_fast_key_from(&f->key[i], &f->hash[i], pkts[i]);
		if (f->has_key[i])
			__builtin_prefetch(&t->head[f->hash[i] & t->mask]);
	}
	for (unsigned int i = 0; i < n; i++) {
		uint32_t id = f->has_key[i] ? t->head[f->hash[i] & t->mask] : 0;

		if (!id)
			continue;
		/* The second line has what is needed of @fast when nothing is changed. */
		__builtin_prefetch(&t->entry[id - 1]);
		__builtin_prefetch(&t->entry[id - 1].fast);
	}
	look_up(t, f, 0, n);
}

/* A run of packets with entries. *@turned: the next one is an exception now. */
static unsigned int send_hits(struct flowtab *t, struct found *f, struct pkt **pkts,
			      unsigned int from, unsigned int n, bool *turned)
{
	unsigned int end = from, got;
	struct flowtab_entry *e;

	for (; end < n && f->entry[end]; end++)
		if (unlikely(!f->entry[end]->seen))
			f->entry[end]->seen = true;
	got = vsw_fast_send(t->port, f->fast + from, pkts + from, end - from, turned);
	t->stats.hits += got;
	if (!*turned)
		return got;
	e = f->entry[from + got];
	f->entry[from + got] = NULL;
	if (vsw_fast_is_valid(t->port, &e->fast))
		return got;
	remove_entry(t, e);
	for (unsigned int i = from + got; i < n; i++)
		if (f->entry[i] == e)
			f->entry[i] = NULL;
	return got;
}

static unsigned int send_exceptions(struct flowtab *t, struct found *f, struct pkt **pkts,
				    unsigned int from, unsigned int n, bool *whole)
{
	uint32_t changes = t->changes;
	unsigned int end = from, got;

	while (end < n && !f->entry[end])
		end++;
	got = vsw_send(t->port, pkts + from, end - from);
	t->stats.exceptions += got;
	*whole = got == end - from;
	/* The switch may have offered flows, of packets behind these too, and old ones have gone.
	 */
	if (t->changes != changes)
		look_up(t, f, end, n);
	return got;
}

/* Up to AT_ONCE packets. */
static unsigned int send_some(struct flowtab *t, struct pkt **pkts, unsigned int n)
{
	unsigned int done = 0;
	bool go_on = true;
	struct found f;

	take_keys(t, &f, pkts, n);
	while (done < n && go_on) {
		unsigned int end = done;

		if (!f.entry[done]) {
			done += send_exceptions(t, &f, pkts, done, n, &go_on);
			continue;
		}
		while (end < n && f.entry[end])
			end++;
		done += send_hits(t, &f, pkts, done, n, &go_on);
		go_on |= done == end;
	}
	return done;
}

unsigned int flowtab_send(struct flowtab *t, struct pkt **pkts, unsigned int n)
{
	unsigned int done = 0, want, got;

	if (!t->stats.max)
		return vsw_send(t->port, pkts, n);
	if (!t->stats.n) {
		done = vsw_send(t->port, pkts, n);
		t->stats.exceptions += done;
		return done;
	}
	do {
		want = MIN(n - done, AT_ONCE);
		got = send_some(t, pkts + done, want);
		done += got;
	} while (done < n && got == want);
	return done;
}
