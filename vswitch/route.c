/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the table of prefixes.
 *
 * Theory of operation
 *
 * A table is a snapshot: built whole, published under RCU, replaced by each change. It holds the
 * prefixes sorted by length, longest first, and for each length that occurs a hash table. A lookup
 * tries the lengths that occur, longest first: two to five in practice, whatever the number of
 * prefixes. Changes cost a rebuild, which for the few thousand prefixes that a host has is some
 * hundred microseconds, and they come from people and from a registry, not from packets.
 *
 * IPv4 lives in the same table as ::ffff:0:0/96. An IPv4 address stops at length 96, so that an
 * IPv6 default route is none for it.
 */
#include "vswitch/route.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "vswitch/rcu.h"

#define BITS_4 96

struct entry {
	struct route_prefix prefix;
	void *value;
};

/* Entries [first, first + n) have this length; slots [slot, slot + mask] hold their index + 1. */
struct length {
	uint8_t len;
	uint32_t first, n, slot, mask;
};

struct snapshot {
	uint32_t n, n_lengths;
	struct length length[129];
	struct entry *entry;
	uint32_t *slot;
};

struct route_table {
	uint32_t max;
	_Atomic(struct snapshot *) now;
};

/* ---- prefixes ---- */

static void mask_addr(uint8_t out[16], const uint8_t addr[16], unsigned int len)
{
	memset(out, 0, 16);
	memcpy(out, addr, len / 8);
	if (len % 8)
		out[len / 8] = (uint8_t)(addr[len / 8] & (0xff00u >> (len % 8)));
}

static bool valid(const struct route_prefix *p)
{
	uint8_t masked[16];

	if (p->len > 128)
		return false;
	mask_addr(masked, p->addr, p->len);
	return !memcmp(masked, p->addr, 16);
}

int addr_parse(uint8_t addr[16], const char *text)
{
	uint8_t ip4[4];

	if (inet_pton(AF_INET, text, ip4) == 1) {
		addr_from_4(addr, ip4);
		return 0;
	}
	return inet_pton(AF_INET6, text, addr) == 1 ? 0 : -EINVAL;
}

int route_prefix_parse(struct route_prefix *p, const char *text)
{
	const char *slash = strchr(text, '/');
	size_t n = slash ? (size_t)(slash - text) : strlen(text);
	char addr[ROUTE_PREFIX_TEXT], *end;
	unsigned long len, base;

	if (n >= sizeof(addr))
		return -EINVAL;
	memcpy(addr, text, n);
	addr[n] = '\0';
	if (addr_parse(p->addr, addr))
		return -EINVAL;
	base = addr_is_4(p->addr) && !strchr(addr, ':') ? BITS_4 : 0;
	len = 128 - base;
	if (slash) {
		if (slash[1] < '0' || slash[1] > '9')
			return -EINVAL;
		len = strtoul(slash + 1, &end, 10);
		if (*end || len > 128 - base)
			return -EINVAL;
	}
	p->len = (uint8_t)(base + len);
	return valid(p) ? 0 : -EINVAL;
}

const char *addr_text(const uint8_t addr[16], char out[ROUTE_PREFIX_TEXT])
{
	bool v4 = addr_is_4(addr);

	if (!inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? addr + 12 : addr, out, ROUTE_PREFIX_TEXT))
		out[0] = '\0';
	return out;
}

const char *route_prefix_text(const struct route_prefix *p, char out[ROUTE_PREFIX_TEXT])
{
	bool v4 = addr_is_4(p->addr) && p->len >= BITS_4;
	size_t n;

	addr_text(p->addr, out);
	n = strlen(out);
	snprintf(out + n, ROUTE_PREFIX_TEXT - n, "/%d", v4 ? p->len - BITS_4 : p->len);
	return out;
}

bool route_prefix_has(const struct route_prefix *p, const uint8_t addr[16])
{
	uint8_t masked[16];

	if (p->len < BITS_4 && addr_is_4(addr))
		return false;
	mask_addr(masked, addr, p->len);
	return !memcmp(masked, p->addr, 16);
}

/* ---- snapshots ---- */

static uint32_t hash(const uint8_t addr[16])
{
	uint64_t a, b;

	memcpy(&a, addr, 8);
	memcpy(&b, addr + 8, 8);
	a = (a * 0x9e3779b97f4a7c15ull) ^ b;
	a *= 0xbf58476d1ce4e5b9ull;
	return (uint32_t)(a >> 32);
}

static void snapshot_free(struct snapshot *s)
{
	if (!s)
		return;
	free(s->entry);
	free(s->slot);
	free(s);
}

static uint32_t slots_for(uint32_t n)
{
	uint32_t size = 4;

	while (size < 2 * n)
		size *= 2;
	return size;
}

/* Entries are there, sorted: the rest. False: no memory. */
static bool snapshot_index(struct snapshot *s)
{
	uint32_t slots = 0;

	for (uint32_t i = 0; i < s->n; i++) {
		struct length *l = s->n_lengths ? &s->length[s->n_lengths - 1] : NULL;

		if (!l || l->len != s->entry[i].prefix.len) {
			l = &s->length[s->n_lengths++];
			*l = (struct length){.len = s->entry[i].prefix.len, .first = i};
		}
		l->n++;
	}
	for (uint32_t i = 0; i < s->n_lengths; i++) {
		s->length[i].slot = slots;
		s->length[i].mask = slots_for(s->length[i].n) - 1;
		slots += s->length[i].mask + 1;
	}
	s->slot = calloc(slots ? slots : 1, sizeof(*s->slot));
	if (!s->slot)
		return false;
	for (uint32_t i = 0; i < s->n_lengths; i++) {
		const struct length *l = &s->length[i];

		for (uint32_t e = l->first; e < l->first + l->n; e++) {
			uint32_t at = hash(s->entry[e].prefix.addr);

			while (s->slot[l->slot + (at & l->mask)])
				at++;
			s->slot[l->slot + (at & l->mask)] = e + 1;
		}
	}
	return true;
}

static bool same(const struct route_prefix *a, const struct route_prefix *b)
{
	return a->len == b->len && !memcmp(a->addr, b->addr, 16);
}

/* A copy of @old without @out and with @in (values may be NULL: none). NULL: no memory. */
static struct snapshot *snapshot_copy(const struct snapshot *old, const struct route_prefix *out,
				      const struct entry *in)
{
	struct snapshot *s = calloc(1, sizeof(*s));
	bool placed = !in;

	if (!s)
		return NULL;
	s->entry = calloc(old->n + 1, sizeof(*s->entry));
	if (!s->entry)
		goto err;
	for (uint32_t i = 0; i < old->n; i++) {
		const struct entry *e = &old->entry[i];

		if (same(&e->prefix, out))
			continue;
		if (!placed && e->prefix.len < in->prefix.len) {
			s->entry[s->n++] = *in;
			placed = true;
		}
		s->entry[s->n++] = *e;
	}
	if (!placed)
		s->entry[s->n++] = *in;
	if (snapshot_index(s))
		return s;
err:
	snapshot_free(s);
	return NULL;
}

static void publish(struct route_table *t, struct snapshot *s)
{
	struct snapshot *old = atomic_load(&t->now);

	atomic_store_explicit(&t->now, s, memory_order_release);
	vsw_synchronize();
	snapshot_free(old);
}

/* ---- the table ---- */

struct route_table *route_table_new(uint32_t max)
{
	struct route_table *t = calloc(1, sizeof(*t));
	struct snapshot *s = calloc(1, sizeof(*s));

	if (!t || !s || !snapshot_index(s)) {
		free(t);
		snapshot_free(s);
		errno = ENOMEM;
		return NULL;
	}
	t->max = max;
	atomic_store(&t->now, s);
	return t;
}

void route_table_free(struct route_table *t)
{
	if (!t)
		return;
	snapshot_free(atomic_load(&t->now));
	free(t);
}

static struct entry *find(const struct snapshot *s, const struct route_prefix *prefix)
{
	for (uint32_t i = 0; i < s->n; i++)
		if (same(&s->entry[i].prefix, prefix))
			return &s->entry[i];
	return NULL;
}

int route_table_set(struct route_table *t, const struct route_prefix *prefix, void *value,
		    void **old)
{
	struct snapshot *now = atomic_load(&t->now), *s;
	struct entry in = {*prefix, value}, *was;

	*old = NULL;
	if (!valid(prefix) || !value)
		return -EINVAL;
	was = find(now, prefix);
	if (!was && now->n >= t->max)
		return -ENOSPC;
	if (was)
		*old = was->value;
	s = snapshot_copy(now, prefix, &in);
	if (!s) {
		*old = NULL;
		return -ENOMEM;
	}
	publish(t, s);
	return 0;
}

void *route_table_del(struct route_table *t, const struct route_prefix *prefix)
{
	struct snapshot *now = atomic_load(&t->now), *s;
	struct entry *was = find(now, prefix);
	void *value;

	if (!was)
		return NULL;
	value = was->value;
	s = snapshot_copy(now, prefix, NULL);
	if (!s)
		return NULL;
	publish(t, s);
	return value;
}

void *route_table_get(struct route_table *t, const struct route_prefix *prefix)
{
	struct entry *e = find(atomic_load(&t->now), prefix);

	return e ? e->value : NULL;
}

void *route_lookup(const struct route_table *t, const uint8_t addr[16])
{
	const struct snapshot *s = atomic_load_explicit(&t->now, memory_order_acquire);
	unsigned int least = addr_is_4(addr) ? BITS_4 : 0;

	for (uint32_t i = 0; i < s->n_lengths && s->length[i].len >= least; i++) {
		const struct length *l = &s->length[i];
		uint8_t masked[16];
		uint32_t at, e;

		mask_addr(masked, addr, l->len);
		for (at = hash(masked); (e = s->slot[l->slot + (at & l->mask)]); at++)
			if (!memcmp(s->entry[e - 1].prefix.addr, masked, 16))
				return s->entry[e - 1].value;
	}
	return NULL;
}

uint32_t route_table_count(const struct route_table *t)
{
	return atomic_load(&t->now)->n;
}

void route_table_each(struct route_table *t,
		      void (*fn)(const struct route_prefix *prefix, void *value, void *arg),
		      void *arg)
{
	const struct snapshot *s = atomic_load(&t->now);

	for (uint32_t i = 0; i < s->n; i++)
		fn(&s->entry[i].prefix, s->entry[i].value, arg);
}
