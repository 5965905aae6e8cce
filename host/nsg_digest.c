/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the number that tells whether a NIC's policy is still the same: a policy that is handed to
 * the switch again makes it judge every connection again.
 */
#include <string.h>

#include "host/nsg_compile.h"

/* FNV-1a, 64 bits. */
static uint64_t bytes(uint64_t h, const void *p, size_t n)
{
	const unsigned char *c = p;

	while (n--)
		h = (h ^ *c++) * 0x100000001b3ull;
	return h;
}

static uint64_t number(uint64_t h, uint64_t v)
{
	return bytes(h, &v, sizeof(v));
}

static uint64_t text(uint64_t h, const char *s)
{
	return bytes(h, s, strlen(s) + 1);
}

static uint64_t match(uint64_t h, const struct policy_match *m)
{
	h = number(h, (uint64_t)m->n_src << 32 | m->n_dst);
	for (uint32_t i = 0; i < m->n_src; i++)
		h = bytes(h, &m->src[i], sizeof(m->src[i]));
	for (uint32_t i = 0; i < m->n_dst; i++)
		h = bytes(h, &m->dst[i], sizeof(m->dst[i]));
	h = number(h, (uint64_t)m->n_sport << 32 | m->n_dport);
	h = bytes(h, m->sport, m->n_sport * sizeof(*m->sport));
	h = bytes(h, m->dport, m->n_dport * sizeof(*m->dport));
	h = number(h, (uint64_t)m->n_proto << 32 | m->n_eth_type);
	h = bytes(h, m->proto, m->n_proto);
	h = bytes(h, m->eth_type, m->n_eth_type * sizeof(*m->eth_type));
	h = number(h, (uint64_t)m->n_src_mac << 32 | m->n_dst_mac);
	h = bytes(h, m->src_mac, m->n_src_mac * sizeof(*m->src_mac));
	h = bytes(h, m->dst_mac, m->n_dst_mac * sizeof(*m->dst_mac));
	return number(h, m->vni);
}

static uint64_t action(uint64_t h, const struct policy_action *a)
{
	h = number(h, (uint64_t)a->verdict << 32 | (uint32_t)a->nat);
	h = bytes(h, a->nat_addr, sizeof(a->nat_addr));
	h = number(h, (uint64_t)a->nat_port.lo << 16 | a->nat_port.hi);
	h = number(h, (uint64_t)a->meter << 32 | a->limit_mbps);
	h = number(h, (uint64_t)a->mirror << 32 | a->mark);
	if (a->xpose) {
		h = number(h, (uint64_t)a->xpose->flags << 32 | a->xpose->tun.vni);
		h = bytes(h, a->xpose->tun.remote, sizeof(a->xpose->tun.remote));
	}
	return h;
}

static uint64_t group(uint64_t h, const struct policy_group *g)
{
	h = text(number(h, g->dir), g->name);
	for (uint32_t i = 0; i < g->n_rules; i++) {
		const struct policy_rule *r = &g->rules[i];

		h = text(number(h, r->priority), r->name);
		h = number(h,
			   (uint64_t)r->idle_ms << 2 | (uint64_t)r->terminating << 1 | r->stateful);
		h = action(match(h, &r->match), &r->action);
	}
	return h;
}

uint64_t nsg_spec_digest(const struct nsg_spec *s)
{
	uint64_t h = 0xcbf29ce484222325ull;

	for (uint32_t l = 0; l < s->spec.n_layers; l++) {
		h = text(h, s->spec.layers[l].name);
		for (uint32_t g = 0; g < s->spec.layers[l].n_groups; g++)
			h = group(h, &s->spec.layers[l].groups[g]);
	}
	for (uint32_t i = 0; i < s->spec.n_meters; i++)
		h = text(h, s->spec.meters[i]);
	return h;
}
