/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the slow answer of a policy. */
#include "tests/lib/ref_policy.h"

#include <string.h>

#define TCP    6
#define UDP    17
#define ICMP   1
#define ICMPV6 58

static bool bit(const uint8_t *a, unsigned int i)
{
	return a[i / 8] >> (7 - i % 8) & 1;
}

static bool is_v4(const uint8_t *a)
{
	for (int i = 0; i < 10; i++)
		if (a[i])
			return false;
	return a[10] == 0xff && a[11] == 0xff;
}

/* IPv4 is in prefixes of IPv4, and in that of length 0. */
static bool in_prefix(const struct policy_prefix *p, const uint8_t *addr)
{
	if (p->len && p->len < 96 && is_v4(addr))
		return false;
	for (unsigned int i = 0; i < p->len; i++)
		if (bit(p->addr, i) != bit(addr, i))
			return false;
	return true;
}

static bool in_prefixes(const struct policy_prefix *list, uint32_t n, const uint8_t *addr, bool has)
{
	if (!n)
		return true;
	for (uint32_t i = 0; has && i < n; i++)
		if (in_prefix(&list[i], addr))
			return true;
	return false;
}

static bool in_ranges(const struct policy_range *list, uint32_t n, uint16_t port, bool has)
{
	if (!n)
		return true;
	for (uint32_t i = 0; has && i < n; i++)
		if (list[i].lo <= port && port <= list[i].hi)
			return true;
	return false;
}

static bool in_macs(const uint8_t (*list)[6], uint32_t n, uint64_t mac)
{
	if (!n)
		return true;
	for (uint32_t i = 0; i < n; i++) {
		uint64_t m = 0;

		for (int k = 0; k < 6; k++)
			m = m << 8 | list[i][k];
		if (m == mac)
			return true;
	}
	return false;
}

bool ref_matches(const struct policy_match *m, const struct policy_fields *f)
{
	bool proto = !m->n_proto, type = !m->n_eth_type;

	for (uint32_t i = 0; i < m->n_proto; i++)
		proto = proto || (f->has_ip && m->proto[i] == f->proto);
	for (uint32_t i = 0; i < m->n_eth_type; i++)
		type = type || m->eth_type[i] == f->eth_type;
	return proto && type && in_prefixes(m->src, m->n_src, f->src, f->has_ip) &&
	       in_prefixes(m->dst, m->n_dst, f->dst, f->has_ip) &&
	       in_ranges(m->sport, m->n_sport, f->sport, f->has_ports) &&
	       in_ranges(m->dport, m->n_dport, f->dport, f->has_ports) &&
	       in_macs(m->src_mac, m->n_src_mac, f->src_mac) &&
	       in_macs(m->dst_mac, m->n_dst_mac, f->dst_mac) &&
	       (m->vni == POLICY_ANY_VNI || m->vni == f->vni);
}

static int find(const struct policy_group *g, const struct policy_fields *f)
{
	int best = -1;

	for (uint32_t i = 0; i < g->n_rules; i++)
		if (ref_matches(&g->rules[i].match, f) &&
		    (best < 0 || g->rules[i].priority < g->rules[best].priority))
			best = (int)i;
	return best;
}

static const struct policy_rule *ask(const struct policy_layer *l, enum policy_dir dir,
				     const struct policy_fields *f, struct ref_result *out)
{
	const struct policy_rule *word = NULL;

	for (uint32_t k = 0; k < l->n_groups; k++) {
		const struct policy_group *g = &l->groups[k];
		int i;

		if (g->dir != dir || (g->when && !ref_matches(g->when, f)))
			continue;
		i = find(g, f);
		if (i < 0)
			continue;
		word = &g->rules[i];
		out->group = (int)k;
		out->rule = i;
		if (word->terminating)
			break;
	}
	return word;
}

/* The field that stands for a port: of ICMP queries the identifier. */
static uint16_t *port_of(struct policy_fields *f, bool src)
{
	if (f->proto == ICMP || f->proto == ICMPV6)
		return f->has_ident ? &f->ident : NULL;
	if ((f->proto != TCP && f->proto != UDP) || !f->has_ports)
		return NULL;
	return src ? &f->sport : &f->dport;
}

static void translate(const struct policy_action *a, int layer, bool out, struct policy_fields *f,
		      struct ref_result *r)
{
	uint8_t *addr = out ? f->src : f->dst;
	uint16_t *port = port_of(f, out);

	if (!f->has_ip || is_v4(addr) != is_v4(a->nat_addr))
		return;
	r->nat_layer = layer;
	memcpy(r->was_ip, addr, 16);
	memcpy(addr, a->nat_addr, 16);
	r->port_changed = a->nat_port.lo && port;
	if (!r->port_changed)
		return;
	r->was_port = *port;
	*port = a->nat_port.lo;
}

/* A reply goes the other way: what was the source is its destination. */
static void undo(const struct ref_result *first, bool first_was_out, struct policy_fields *f)
{
	uint16_t *port = port_of(f, !first_was_out);

	memcpy(first_was_out ? f->dst : f->src, first->was_ip, 16);
	if (first->port_changed && port)
		*port = first->was_port;
}

void ref_walk(const struct policy_spec *spec, enum policy_dir dir, struct policy_fields *f,
	      const struct ref_result *first, struct ref_result *out)
{
	memset(out, 0, sizeof(*out));
	out->verdict = POLICY_ALLOW;
	out->layer = out->group = out->rule = out->nat_layer = -1;
	for (uint32_t n = 0; n < spec->n_layers; n++) {
		int i = (int)(dir == POLICY_OUT ? n : spec->n_layers - 1 - n);
		const struct policy_rule *r;

		if (first && first->stateful >> i & 1) {
			if (first->nat_layer == i)
				undo(first, dir == POLICY_IN, f);
			continue;
		}
		r = ask(&spec->layers[i], dir, f, out);
		if (!r)
			continue;
		out->layer = i;
		if (r->action.verdict == POLICY_DENY) {
			out->verdict = POLICY_DENY;
			return;
		}
		if (r->action.nat != POLICY_NAT_NONE)
			translate(&r->action, i, dir == POLICY_OUT, f, out);
		if (r->stateful)
			out->stateful |= 1u << i;
		if (r->idle_ms && (!out->idle_ms || r->idle_ms < out->idle_ms))
			out->idle_ms = r->idle_ms;
		if (r->action.meter)
			out->meters |= 1ull << (r->action.meter - 1);
		if (r->action.mark)
			out->mark = r->action.mark;
		if (r->action.mirror)
			out->mirror = r->action.mirror;
	}
}
