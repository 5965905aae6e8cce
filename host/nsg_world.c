/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns what the names in policy files mean: service tags and application security groups as lists
 * of prefixes.
 *
 * VirtualNetwork is the subnets of the lab's networks, all of them (peered) or a NIC's own, what
 * the files add to them, and the platform's address, as Azure's effective rules show it. Internet
 * is what is left of the public addresses: IPv4 without the blocks that IANA's special-purpose
 * registry (RFC 6890) keeps from being routed between networks, and IPv6's global unicast 2000::/3
 * (RFC 4291), both without VirtualNetwork. Addresses for documentation and benchmarks count as
 * Internet, so that a lab can use them to stand for it.
 */
#include "host/nsg_compile.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

/* In the form of struct policy_prefix: IPv4 lengths count from 96. */
#define V4(a, b, c, d, l)                                                                          \
	{                                                                                          \
		{[10] = 0xff, 0xff, a, b, c, d}, 96 + (l)                                          \
	}

static const struct policy_prefix all4 = V4(0, 0, 0, 0, 0);
static const struct policy_prefix global6 = {{0x20}, 3};
static const struct policy_prefix platform = V4(168, 63, 129, 16, 32);
static const struct policy_prefix special[] = {
	V4(0, 0, 0, 0, 8),	/* "this network", RFC 791 */
	V4(10, 0, 0, 0, 8),	/* private, RFC 1918 */
	V4(100, 64, 0, 0, 10),	/* shared between carrier and customer, RFC 6598 */
	V4(127, 0, 0, 0, 8),	/* loopback, RFC 1122 */
	V4(169, 254, 0, 0, 16), /* link-local, RFC 3927 */
	V4(172, 16, 0, 0, 12),	/* private */
	V4(192, 168, 0, 0, 16), /* private */
	V4(224, 0, 0, 0, 4),	/* multicast, RFC 5771 */
	V4(240, 0, 0, 0, 4),	/* reserved, RFC 1112; broadcast, RFC 919 */
};

struct list {
	struct policy_prefix *p;
	uint32_t n;
};

struct asg {
	const char *name;
	struct list list;
};

struct nsg_world {
	struct arena mem;
	uint32_t
		n_views; /* 1, or with networks that are not peered one of each, the last of none */
	struct list *vnet, *internet;
	struct list lb;
	struct asg *asgs;
	uint32_t n_asgs;
};

static void push(struct arena *mem, struct list *l, struct policy_prefix p)
{
	struct policy_prefix *more;

	for (uint32_t i = 0; i < l->n; i++)
		if (memcmp(&l->p[i], &p, sizeof(p)) == 0)
			return;
	more = arena_grow(mem, l->p, l->n, sizeof(*more));
	if (!more)
		return;
	l->p = more;
	l->p[l->n++] = p;
}

/* Is @in a part of @of, or all of it? */
static bool covers(const struct policy_prefix *of, const struct policy_prefix *in)
{
	unsigned int whole = of->len / 8, rest = of->len % 8;

	return of->len <= in->len && memcmp(of->addr, in->addr, whole) == 0 &&
	       (!rest || (of->addr[whole] ^ in->addr[whole]) >> (8 - rest) == 0);
}

/* Add what is in @p and in none of @holes: @p whole, nothing, or what its halves have to add. */
static void push_without(struct arena *mem, struct list *l, struct policy_prefix p,
			 const struct policy_prefix *holes, uint32_t n)
{
	bool touched = false;

	for (uint32_t i = 0; i < n; i++) {
		if (covers(&holes[i], &p))
			return;
		touched = touched || covers(&p, &holes[i]);
	}
	if (!touched) {
		push(mem, l, p);
		return;
	}
	p.len++;
	push_without(mem, l, p, holes, n);
	p.addr[(p.len - 1) / 8] |= (uint8_t)(0x80u >> (p.len - 1) % 8);
	push_without(mem, l, p, holes, n);
}

static void push_subnet(struct arena *mem, struct list *l, const struct lab_net *net)
{
	struct policy_prefix p = all4;

	if (net->has4) {
		memcpy(p.addr + 12, &net->subnet4, 4);
		p.len = (uint8_t)(96 + net->prefix4);
		push(mem, l, p);
	}
	if (net->has6) {
		memcpy(p.addr, &net->subnet6, 16);
		p.len = (uint8_t)net->prefix6;
		push(mem, l, p);
	}
}

static bool is_peered(const struct nsg_set *set)
{
	for (uint32_t i = 0; i < set->n; i++)
		if (!set->files[i]->peered)
			return false;
	return true;
}

static void make_view(struct nsg_world *w, const struct nsg_set *set, const struct lab *lab,
		      uint32_t view, bool peered)
{
	struct list *vnet = &w->vnet[view], holes = {0};

	for (unsigned int i = 0; lab && i < lab->n_nets; i++)
		if (peered || i == view)
			push_subnet(&w->mem, vnet, &lab_nets_at(lab, -1)[i]);
	for (uint32_t i = 0; i < set->n; i++)
		for (uint32_t k = 0; k < set->files[i]->n_vnet; k++)
			push(&w->mem, vnet, set->files[i]->vnet[k]);
	push(&w->mem, vnet, platform);
	for (unsigned int i = 0; i < ARRAY_SIZE(special); i++)
		push(&w->mem, &holes, special[i]);
	for (uint32_t i = 0; i < vnet->n; i++)
		push(&w->mem, &holes, vnet->p[i]);
	push_without(&w->mem, &w->internet[view], all4, holes.p, holes.n);
	push_without(&w->mem, &w->internet[view], global6, holes.p, holes.n);
}

static struct asg *asg_of(struct nsg_world *w, const char *name)
{
	struct asg *more;

	for (uint32_t i = 0; i < w->n_asgs; i++)
		if (strcmp(w->asgs[i].name, name) == 0)
			return &w->asgs[i];
	more = arena_grow(&w->mem, w->asgs, w->n_asgs, sizeof(*more));
	if (!more)
		return NULL;
	w->asgs = more;
	w->asgs[w->n_asgs] = (struct asg){.name = name};
	return &w->asgs[w->n_asgs++];
}

static void push_address(struct nsg_world *w, struct asg *a, const char *text)
{
	struct policy_prefix p = all4;

	p.len = 128;
	if (*text &&
	    (inet_pton(AF_INET, text, p.addr + 12) == 1 || inet_pton(AF_INET6, text, p.addr) == 1))
		push(&w->mem, &a->list, p);
}

static void make_asgs(struct nsg_world *w, const struct nsg_set *set, const struct lab *lab)
{
	for (uint32_t i = 0; i < set->n; i++)
		for (uint32_t k = 0; k < set->files[i]->n_asgs; k++) {
			const struct nsg_asg *from = &set->files[i]->asgs[k];
			struct asg *a = asg_of(w, from->name);

			for (uint32_t j = 0; a && j < from->n_prefixes; j++)
				push(&w->mem, &a->list, from->prefixes[j]);
		}
	for (unsigned int v = 0; lab && v < lab->n_all; v++)
		for (unsigned int k = 0; k < lab->vms[v].n_labels; k++) {
			struct asg *a = asg_of(w, lab->vms[v].labels[k]);

			for (unsigned int i = 0; a && i < lab->vms[v].n_nics; i++) {
				push_address(w, a, lab->vms[v].nics[i].ip4);
				push_address(w, a, lab->vms[v].nics[i].ip6);
			}
		}
}

struct nsg_world *nsg_world_new(const struct nsg_set *set, const struct lab *lab)
{
	struct nsg_world *w = calloc(1, sizeof(*w));
	bool peered = is_peered(set);

	if (!w)
		return NULL;
	w->n_views = peered || !lab ? 1 : lab->n_nets + 1;
	w->vnet = arena_calloc(&w->mem, w->n_views, sizeof(*w->vnet));
	w->internet = arena_calloc(&w->mem, w->n_views, sizeof(*w->internet));
	push(&w->mem, &w->lb, platform);
	for (uint32_t i = 0; !w->mem.failed && i < w->n_views; i++)
		make_view(w, set, lab, i, peered);
	make_asgs(w, set, lab);
	if (!w->mem.failed)
		return w;
	nsg_world_free(w);
	return NULL;
}

void nsg_world_free(struct nsg_world *w)
{
	if (!w)
		return;
	arena_free(&w->mem);
	free(w);
}

struct nsg_list nsg_world_tag(const struct nsg_world *w, enum nsg_addr_kind kind, int net)
{
	uint32_t view = w->n_views == 1 ? 0 : net < 0 ? w->n_views - 1 : (uint32_t)net;
	const struct list *l = kind == NSG_ADDR_VNET	   ? &w->vnet[view]
			       : kind == NSG_ADDR_INTERNET ? &w->internet[view]
							   : &w->lb;

	return (struct nsg_list){l->p, l->n};
}

struct nsg_list nsg_world_asg(const struct nsg_world *w, const char *name)
{
	for (uint32_t i = 0; i < w->n_asgs; i++)
		if (strcmp(w->asgs[i].name, name) == 0)
			return (struct nsg_list){w->asgs[i].list.p, w->asgs[i].list.n};
	return (struct nsg_list){NULL, 0};
}

json_t *nsg_world_asgs_json(const struct nsg_world *w)
{
	json_t *o = json_object();

	for (uint32_t i = 0; i < w->n_asgs; i++) {
		json_t *list = json_array();

		for (uint32_t k = 0; k < w->asgs[i].list.n; k++) {
			char text[INET6_ADDRSTRLEN + 8];

			nsg_prefix_print(&w->asgs[i].list.p[k], text, sizeof(text));
			json_array_append_new(list, json_string(text));
		}
		json_object_set_new(o, w->asgs[i].name, list);
	}
	return o;
}
