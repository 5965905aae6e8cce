/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the search for the first rule that a packet matches.
 *
 * Theory: aggregated bit vectors (Lakshman and Stiliadis 1998; Baboescu and Varghese 2001).
 *
 * Each field that any rule asks about is cut into intervals at the ends of the rules' own prefixes
 * and ranges. In one interval the same rules match, so an interval has a set of rules: one bit
 * each, in the order of priority. A look-up finds the interval of each field by binary search, ANDs
 * the sets, and takes the lowest bit. A set begins with a summary, one bit for each 64 rules; the
 * summaries are ANDed first, so that of 4096 rules only those words are read in which every field
 * has a candidate.
 *
 * Why this and not tuple-space search: a rule of a network security group is a list of prefixes
 * times a list of ports times a list of protocols. Here it stays one bit, whatever the lists hold;
 * in a tuple space it is their product. Ranges need no cutting into prefixes, and the first match
 * falls out without asking for longer ones. The price is paid by whoever makes a policy: sets are
 * shared, equal ones are kept once, and their sum is bounded.
 *
 * Cost of a look-up with n rules of m prefixes each: 2 log2(2nm) steps for the addresses, log2 of
 * the ranges for each other field, and n/4096 + (candidate words) ANDs.
 */
#include "vswitch/policy/classify.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "base/wire.h"

__extension__ typedef unsigned __int128 u128;

/* IPv4 addresses have tables of their own: shorter keys, and no IPv6 prefix but ::/0 holds them. */
enum dim_id {
	DIM_SRC4,
	DIM_DST4,
	DIM_SRC6,
	DIM_DST6,
	DIM_SPORT,
	DIM_DPORT,
	DIM_PROTO,
	DIM_ETH_TYPE,
	DIM_SRC_MAC,
	DIM_DST_MAC,
	DIM_VNI,
	N_DIMS
};

/**
 * struct dim - One field
 * @n:		Intervals; 0: no rule asks about this field
 * @start:	Their first values, ascending, the first is 0. @wide: the same for IPv6
 * @set:	Their sets of rules
 * @absent:	Those of a packet without the field
 */
struct dim {
	uint32_t n;
	uint64_t *start;
	u128 *wide;
	const uint64_t **set;
	const uint64_t *absent;
};

/* A set: a summary, then @words words. */
struct classifier {
	uint32_t n, words;
	struct dim dim[N_DIMS];
	/* All sets, each once; the table is only needed while it is built. */
	uint64_t **sets;
	uint32_t n_sets, max_sets;
	uint32_t *hash;
	size_t bytes;
};

/* ---- Sets ---------------------------------------------------------------------------------- */

static uint64_t set_hash(const struct classifier *c, const uint64_t *set)
{
	uint64_t h = 0x9e3779b97f4a7c15u;

	for (uint32_t i = 0; i <= c->words; i++) {
		h = (h ^ set[i]) * 0xff51afd7ed558ccdu;
		h ^= h >> 32;
	}
	return h;
}

static size_t set_size(const struct classifier *c)
{
	return (c->words + 1) * sizeof(uint64_t);
}

static int grow(struct classifier *c)
{
	uint32_t max = c->max_sets ? c->max_sets * 2 : 64, *hash;
	uint64_t **sets = realloc(c->sets, max * sizeof(*sets));

	if (!sets)
		return -ENOMEM;
	c->sets = sets;
	hash = calloc((size_t)max * 2, sizeof(*hash));
	if (!hash)
		return -ENOMEM;
	for (uint32_t i = 0; i < c->n_sets; i++) {
		uint64_t at = set_hash(c, c->sets[i]);

		while (hash[at & (max * 2 - 1)])
			at++;
		hash[at & (max * 2 - 1)] = i + 1;
	}
	free(c->hash);
	c->hash = hash;
	c->max_sets = max;
	return 0;
}

/* The one kept copy of @set, with its summary filled in; NULL with errno. */
static const uint64_t *keep_set(struct classifier *c, uint64_t *set)
{
	uint64_t at, *copy;

	set[0] = 0;
	for (uint32_t w = 0; w < c->words; w++)
		set[0] |= (uint64_t)(set[w + 1] != 0) << w;
	if (c->n_sets == c->max_sets && grow(c)) {
		errno = ENOMEM;
		return NULL;
	}
	for (at = set_hash(c, set); c->hash[at & (c->max_sets * 2 - 1)]; at++) {
		copy = c->sets[c->hash[at & (c->max_sets * 2 - 1)] - 1];
		if (!memcmp(copy, set, set_size(c)))
			return copy;
	}
	c->bytes += set_size(c);
	if (c->bytes > CLASSIFIER_MAX_BYTES) {
		errno = E2BIG;
		return NULL;
	}
	copy = malloc(set_size(c));
	if (!copy)
		return NULL;
	memcpy(copy, set, set_size(c));
	c->sets[c->n_sets] = copy;
	c->hash[at & (c->max_sets * 2 - 1)] = ++c->n_sets;
	return copy;
}

/* ---- Building a field ---------------------------------------------------------------------- */

/* At @at the rule's count of ranges that hold the value goes up or down. */
struct edge {
	u128 at;
	uint32_t rule;
	int step;
};

/* Everything about one field while it is built. */
struct builder {
	struct classifier *c;
	struct edge *edge;
	size_t n, max;
	u128 top;	 /* largest value of the field */
	uint64_t *any;	 /* rules that do not ask about it, as a set */
	uint32_t *count; /* by rule: ranges that hold the value where the sweep is */
	uint64_t *now;	 /* the set there */
	bool asked;	 /* by any rule */
};

static int add_edge(struct builder *b, u128 at, uint32_t rule, int step)
{
	if (b->n == b->max) {
		size_t max = b->max ? b->max * 2 : 256;
		struct edge *e = realloc(b->edge, max * sizeof(*e));

		if (!e)
			return -ENOMEM;
		b->edge = e;
		b->max = max;
	}
	b->edge[b->n++] = (struct edge){.at = at, .rule = rule, .step = step};
	return 0;
}

static int add_range(struct builder *b, uint32_t rule, u128 lo, u128 hi)
{
	int rc = add_edge(b, lo, rule, 1);

	if (!rc && hi < b->top)
		rc = add_edge(b, hi + 1, rule, -1);
	return rc;
}

static u128 load_addr(const uint8_t addr[16])
{
	return (u128)be64_load(addr) << 64 | be64_load(addr + 8);
}

static bool is_v4(const uint8_t addr[16])
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	return !memcmp(addr, mapped, sizeof(mapped));
}

static int add_prefixes(struct builder *b, uint32_t rule, const struct policy_prefix *p, uint32_t n,
			bool v4)
{
	int rc = 0;

	for (uint32_t i = 0; !rc && i < n; i++) {
		u128 mask = p[i].len ? ~(u128)0 << (128 - p[i].len) : 0,
		     lo = load_addr(p[i].addr) & mask;

		if (!p[i].len)
			rc = add_range(b, rule, 0, b->top);
		else if (v4 == (p[i].len >= 96 && is_v4(p[i].addr)))
			rc = v4 ? add_range(b, rule, (uint32_t)lo, (uint32_t)(lo | ~mask))
				: add_range(b, rule, lo, lo | ~mask);
	}
	return rc;
}

static int add_ranges(struct builder *b, uint32_t rule, const struct policy_range *r, uint32_t n)
{
	int rc = 0;

	for (uint32_t i = 0; !rc && i < n; i++)
		rc = add_range(b, rule, r[i].lo, r[i].hi);
	return rc;
}

static int add_macs(struct builder *b, uint32_t rule, const uint8_t (*mac)[6], uint32_t n)
{
	int rc = 0;

	for (uint32_t i = 0; !rc && i < n; i++) {
		uint64_t m = 0;

		for (unsigned int k = 0; k < 6; k++)
			m = m << 8 | mac[i][k];
		rc = add_range(b, rule, m, m);
	}
	return rc;
}

static uint32_t how_many(const struct policy_match *m, enum dim_id id)
{
	switch (id) {
	case DIM_SRC4:
	case DIM_SRC6:
		return m->n_src;
	case DIM_DST4:
	case DIM_DST6:
		return m->n_dst;
	case DIM_SPORT:
		return m->n_sport;
	case DIM_DPORT:
		return m->n_dport;
	case DIM_PROTO:
		return m->n_proto;
	case DIM_ETH_TYPE:
		return m->n_eth_type;
	case DIM_SRC_MAC:
		return m->n_src_mac;
	case DIM_DST_MAC:
		return m->n_dst_mac;
	case DIM_VNI:
		return m->vni != POLICY_ANY_VNI;
	case N_DIMS:
		break;
	}
	return 0;
}

static u128 top_of(enum dim_id id)
{
	static const uint8_t bits[N_DIMS] = {
		[DIM_SRC4] = 32,    [DIM_DST4] = 32,	[DIM_SPORT] = 16,
		[DIM_DPORT] = 16,   [DIM_PROTO] = 8,	[DIM_ETH_TYPE] = 16,
		[DIM_SRC_MAC] = 48, [DIM_DST_MAC] = 48, [DIM_VNI] = 32,
	};

	return bits[id] ? ((u128)1 << bits[id]) - 1 : ~(u128)0;
}

/* What rule @i asks of the field. */
static int add_rule(struct builder *b, enum dim_id id, uint32_t i, const struct policy_match *m)
{
	int rc = 0;

	if (!how_many(m, id)) {
		b->any[1 + i / 64] |= (uint64_t)1 << i % 64;
		return 0;
	}
	b->asked = true;
	switch (id) {
	case DIM_SRC4:
	case DIM_SRC6:
		return add_prefixes(b, i, m->src, m->n_src, id == DIM_SRC4);
	case DIM_DST4:
	case DIM_DST6:
		return add_prefixes(b, i, m->dst, m->n_dst, id == DIM_DST4);
	case DIM_SPORT:
		return add_ranges(b, i, m->sport, m->n_sport);
	case DIM_DPORT:
		return add_ranges(b, i, m->dport, m->n_dport);
	case DIM_PROTO:
		for (uint32_t k = 0; !rc && k < m->n_proto; k++)
			rc = add_range(b, i, m->proto[k], m->proto[k]);
		return rc;
	case DIM_ETH_TYPE:
		for (uint32_t k = 0; !rc && k < m->n_eth_type; k++)
			rc = add_range(b, i, m->eth_type[k], m->eth_type[k]);
		return rc;
	case DIM_SRC_MAC:
		return add_macs(b, i, m->src_mac, m->n_src_mac);
	case DIM_DST_MAC:
		return add_macs(b, i, m->dst_mac, m->n_dst_mac);
	case DIM_VNI:
		return add_range(b, i, m->vni, m->vni);
	case N_DIMS:
		break;
	}
	return 0;
}

static int by_place(const void *a, const void *b)
{
	const struct edge *x = a, *y = b;

	return (x->at > y->at) - (x->at < y->at);
}

static void step(struct builder *b, const struct edge *e)
{
	uint32_t had = b->count[e->rule];

	b->count[e->rule] = had + (uint32_t)e->step;
	if (!had != !b->count[e->rule])
		b->now[1 + e->rule / 64] ^= (uint64_t)1 << e->rule % 64;
}

/* One interval from each place where anything changes. */
static int sweep(struct builder *b, struct dim *d, bool wide)
{
	size_t i = 0, room = b->n + 1;

	if (b->n)
		qsort(b->edge, b->n, sizeof(*b->edge), by_place);
	d->set = calloc(room, sizeof(*d->set));
	if (wide)
		d->wide = aligned_alloc(16, room * sizeof(*d->wide));
	else
		d->start = malloc(room * sizeof(*d->start));
	if (!d->set || (!d->start && !d->wide))
		return -ENOMEM;
	memcpy(b->now, b->any, set_size(b->c));
	for (u128 at = 0;;) {
		const uint64_t *set;

		for (; i < b->n && b->edge[i].at == at; i++)
			step(b, &b->edge[i]);
		set = keep_set(b->c, b->now);
		if (!set)
			return -errno;
		/* An end that is another's beginning changes nothing. */
		if (!d->n || set != d->set[d->n - 1]) {
			if (wide)
				d->wide[d->n] = at;
			else
				d->start[d->n] = (uint64_t)at;
			d->set[d->n++] = set;
		}
		if (i == b->n)
			break;
		at = b->edge[i].at;
	}
	b->c->bytes += room * (sizeof(*d->set) + (wide ? sizeof(*d->wide) : sizeof(*d->start)));
	return b->c->bytes > CLASSIFIER_MAX_BYTES ? -E2BIG : 0;
}

static int build(struct classifier *c, enum dim_id id, const struct policy_match *const *matches)
{
	struct builder b = {.c = c, .top = top_of(id)};
	struct dim *d = &c->dim[id];
	int rc = -ENOMEM;

	b.any = calloc(1, set_size(c));
	b.now = calloc(1, set_size(c));
	b.count = calloc(c->n, sizeof(*b.count));
	if (!b.any || !b.now || !b.count)
		goto out;
	rc = 0;
	for (uint32_t i = 0; !rc && i < c->n; i++)
		rc = add_rule(&b, id, i, matches[i]);
	if (rc || !b.asked)
		goto out;
	d->absent = keep_set(c, b.any);
	rc = d->absent ? sweep(&b, d, id == DIM_SRC6 || id == DIM_DST6) : -errno;
out:
	free(b.any);
	free(b.now);
	free(b.count);
	free(b.edge);
	return rc;
}

struct classifier *classifier_new(const struct policy_match *const *matches, uint32_t n)
{
	struct classifier *c;
	int rc = 0;

	if (n > POLICY_MAX_RULES) {
		errno = E2BIG;
		return NULL;
	}
	c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	c->n = n;
	c->words = (n + 63) / 64;
	for (unsigned int id = 0; n && !rc && id < N_DIMS; id++)
		rc = build(c, (enum dim_id)id, matches);
	free(c->hash);
	c->hash = NULL;
	if (rc) {
		classifier_free(c);
		errno = -rc;
		return NULL;
	}
	return c;
}

void classifier_free(struct classifier *c)
{
	if (!c)
		return;
	for (unsigned int id = 0; id < N_DIMS; id++) {
		free(c->dim[id].start);
		free(c->dim[id].wide);
		free(c->dim[id].set);
	}
	for (uint32_t i = 0; i < c->n_sets; i++)
		free(c->sets[i]);
	free(c->sets);
	free(c->hash);
	free(c);
}

/* ---- Looking up ---------------------------------------------------------------------------- */

/* The last interval that begins at or below @v. */
static inline const uint64_t *find(const struct dim *d, uint64_t v)
{
	const uint64_t *base = d->start;
	uint32_t n = d->n;

	while (n > 1) {
		uint32_t half = n / 2;

		base += base[half] <= v ? half : 0;
		n -= half;
	}
	return d->set[base - d->start];
}

static const uint64_t *find_wide(const struct dim *d, const uint8_t addr[16])
{
	u128 v = load_addr(addr);
	const u128 *base = d->wide;
	uint32_t n = d->n;

	while (n > 1) {
		uint32_t half = n / 2;

		base += base[half] <= v ? half : 0;
		n -= half;
	}
	return d->set[base - d->wide];
}

static inline void take(const uint64_t **sets, unsigned int *n, const struct dim *d, bool has,
			uint64_t v)
{
	if (d->n)
		sets[(*n)++] = has ? find(d, v) : d->absent;
}

/*
 * IPv4 and IPv6 addresses are two fields of which a packet has at most one: the other's sets would
 * only say the same as far as rules without addresses go, and nothing of the rest.
 */
static void take_addr(const struct classifier *c, const uint64_t **sets, unsigned int *n,
		      const uint8_t addr[16], bool has, enum dim_id v4, enum dim_id v6)
{
	if (has && is_v4(addr))
		take(sets, n, &c->dim[v4], true, be32_load(addr + 12));
	else if (has && c->dim[v6].n)
		sets[(*n)++] = find_wide(&c->dim[v6], addr);
	else
		take(sets, n, &c->dim[v4], false, 0);
}

uint32_t classifier_first(const struct classifier *c, const struct policy_fields *f)
{
	const uint64_t *sets[N_DIMS];
	const struct dim *d = c->dim;
	unsigned int n = 0;
	uint64_t left = c->words ? ~(uint64_t)0 >> (64 - c->words) : 0;

	take_addr(c, sets, &n, f->src, f->has_ip, DIM_SRC4, DIM_SRC6);
	take_addr(c, sets, &n, f->dst, f->has_ip, DIM_DST4, DIM_DST6);
	take(sets, &n, &d[DIM_SPORT], f->has_ports, f->sport);
	take(sets, &n, &d[DIM_DPORT], f->has_ports, f->dport);
	take(sets, &n, &d[DIM_PROTO], f->has_ip, f->proto);
	take(sets, &n, &d[DIM_ETH_TYPE], true, f->eth_type);
	take(sets, &n, &d[DIM_SRC_MAC], true, f->src_mac);
	take(sets, &n, &d[DIM_DST_MAC], true, f->dst_mac);
	take(sets, &n, &d[DIM_VNI], true, f->vni);
	if (!n)
		return c->n ? 0 : POLICY_NO_RULE;
	for (unsigned int i = 0; i < n; i++)
		left &= sets[i][0];
	for (; left; left &= left - 1) {
		uint32_t w = (uint32_t)__builtin_ctzll(left);
		uint64_t bits = ~(uint64_t)0;

		for (unsigned int i = 0; i < n; i++)
			bits &= sets[i][1 + w];
		if (bits)
			return w * 64 + (uint32_t)__builtin_ctzll(bits);
	}
	return POLICY_NO_RULE;
}
