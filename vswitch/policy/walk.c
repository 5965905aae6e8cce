/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the walk of one packet through the layers of a policy: what the first packet of a flow
 * costs. */
#include <netinet/in.h>
#include <string.h>

#include "base/wire.h"
#include "vswitch/fdb.h"
#include "vswitch/policy/policy_internal.h"

static void map_v4(uint8_t to[16], const uint8_t *from)
{
	memset(to, 0, 10);
	to[10] = to[11] = 0xff;
	memcpy(to + 12, from, 4);
}

/* Queries and their replies: echo, timestamp, information, address mask (RFC 792, RFC 950). */
static bool has_ident(uint8_t l4, uint8_t type)
{
	if (l4 == PKT_L4_ICMPV6)
		return type == 128 || type == 129;
	return type == 0 || type == 8 || (type >= 13 && type <= 18);
}

void policy_fields_from(struct policy_fields *f, const struct pkt *pkt)
{
	const uint8_t *l4 = pkt->hdr + pkt->l4_off;
	enum pkt_l4 kind = pkt_l4_in_sight(pkt);
	bool seen = pkt->l4_off && pkt->hdr_len >= pkt->l4_off + 4;

	memset(f, 0, sizeof(*f));
	f->dst_mac = fdb_mac(pkt->hdr);
	f->src_mac = fdb_mac(pkt->hdr + 6);
	f->eth_type = pkt->eth_type;
	f->vni = pkt->tun.set ? pkt->tun.vni : POLICY_ANY_VNI;
	if (pkt->l3 == PKT_L3_OTHER)
		return;
	f->has_ip = true;
	f->proto = pkt->l4_proto;
	if (pkt->l3 == PKT_L3_IPV4) {
		map_v4(f->src, pkt->hdr + pkt->src_off);
		map_v4(f->dst, pkt->hdr + pkt->dst_off);
	} else {
		memcpy(f->src, pkt->hdr + pkt->src_off, 16);
		memcpy(f->dst, pkt->hdr + pkt->dst_off, 16);
	}
	if (seen && (kind == PKT_L4_TCP || kind == PKT_L4_UDP)) {
		f->has_ports = true;
		f->sport = be16_load(l4);
		f->dport = be16_load(l4 + 2);
	} else if (seen && (kind == PKT_L4_ICMP || kind == PKT_L4_ICMPV6)) {
		f->has_ports = true;
		f->sport = l4[0];
		f->dport = l4[1];
		f->has_ident = has_ident(kind, l4[0]) && pkt->hdr_len >= pkt->l4_off + 6;
		f->ident = f->has_ident ? be16_load(l4 + 4) : 0;
	}
}

static bool is_icmp(const struct policy_fields *f)
{
	return f->proto == IPPROTO_ICMP || f->proto == IPPROTO_ICMPV6;
}

static bool same_family(const uint8_t a[16], const uint8_t b[16])
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	return !memcmp(a, mapped, 12) == !memcmp(b, mapped, 12);
}

/* What later layers see. Identifiers of ICMP are not what rules call ports. */
static void change_fields(struct policy_fields *f, const struct vsw_xpose *x)
{
	if (x->flags & XPOSE_ETH_SRC)
		f->src_mac = fdb_mac(x->eth_src);
	if (x->flags & XPOSE_ETH_DST)
		f->dst_mac = fdb_mac(x->eth_dst);
	if ((x->flags & XPOSE_IP_SRC) && f->has_ip && same_family(f->src, x->ip_src))
		memcpy(f->src, x->ip_src, 16);
	if ((x->flags & XPOSE_IP_DST) && f->has_ip && same_family(f->dst, x->ip_dst))
		memcpy(f->dst, x->ip_dst, 16);
	if ((x->flags & XPOSE_L4_SRC) && f->has_ports)
		*(is_icmp(f) ? &f->ident : &f->sport) = x->l4_src;
	if ((x->flags & XPOSE_L4_DST) && f->has_ports)
		*(is_icmp(f) ? &f->ident : &f->dport) = x->l4_dst;
	if (x->flags & XPOSE_TUN_SET)
		f->vni = x->tun.vni;
	if (x->flags & XPOSE_TUN_CLEAR)
		f->vni = POLICY_ANY_VNI;
}

/* False: more VLAN tags than a transposition holds; the packet then goes nowhere. */
static bool change(struct policy_result *res, struct policy_fields *f, const struct vsw_xpose *x)
{
	if (!xpose_compose(&res->xpose, x))
		return false;
	change_fields(f, x);
	return true;
}

/*
 * It has ports or an identifier, but they are not in sight: a fragment. To change one then is what
 * xpose_apply() refuses; to change the address alone would send it off half translated.
 */
static bool port_hidden(const struct policy_fields *f)
{
	return !f->has_ports &&
	       (f->proto == IPPROTO_TCP || f->proto == IPPROTO_UDP || is_icmp(f));
}

/* The translation of @r, and what undoes it on a reply. */
static bool translate(unsigned int layer, const struct rule *r, enum policy_dir dir,
		      struct policy_fields *f, struct policy_result *res,
		      const struct policy_ctx *ctx)
{
	const struct policy_action *a = &r->action;
	bool out = dir == POLICY_OUT;
	const uint8_t *was = out ? f->src : f->dst;
	struct vsw_xpose x = {.flags = out ? XPOSE_IP_SRC : XPOSE_IP_DST};
	struct vsw_xpose *back = &res->conn.back;
	uint16_t port = a->nat_port.lo;

	if (!f->has_ip || !same_family(was, a->nat_addr))
		return true;
	*back = (struct vsw_xpose){.flags = out ? XPOSE_IP_DST : XPOSE_IP_SRC};
	memcpy(out ? x.ip_src : x.ip_dst, a->nat_addr, 16);
	memcpy(out ? back->ip_dst : back->ip_src, was, 16);
	if (a->nat_port.lo && port_hidden(f)) {
		x.flags |= out ? XPOSE_L4_SRC : XPOSE_L4_DST;
		*(out ? &x.l4_src : &x.l4_dst) = port;
	} else if (a->nat_port.lo && f->has_ports && (f->has_ident || !is_icmp(f))) {
		if (a->nat_port.lo != a->nat_port.hi && ctx && ctx->nat_port &&
		    !ctx->nat_port(ctx->arg, a, f, &port)) {
			res->no_nat_port = true;
			return false;
		}
		x.flags |= out ? XPOSE_L4_SRC : XPOSE_L4_DST;
		back->flags |= out ? XPOSE_L4_DST : XPOSE_L4_SRC;
		*(out ? &x.l4_src : &x.l4_dst) = port;
		*(out ? &back->l4_dst : &back->l4_src) = f->has_ident ? f->ident
							 : out	      ? f->sport
								      : f->dport;
	}
	res->conn.nat_layer = (int8_t)layer;
	return change(res, f, &x);
}

static void note(struct policy_trace *t, unsigned int layer, unsigned int group, uint32_t rule,
		 bool stateful)
{
	if (t && t->n < t->max)
		t->steps[t->n] = (struct policy_step){.layer = (uint8_t)layer,
						      .group = (uint8_t)group,
						      .rule = rule,
						      .stateful = stateful};
	if (t)
		t->n++;
}

/* The layer's word on the packet, or NULL. *@group: whose. */
static const struct rule *ask_layer(const struct policy *p, unsigned int layer, enum policy_dir dir,
				    const struct policy_fields *f, unsigned int *group,
				    struct policy_trace *trace)
{
	const struct layer *l = &p->layers[layer];
	const struct rule *word = NULL;

	for (unsigned int k = 0; k < l->n; k++) {
		const struct group *g = l->groups[k];
		uint32_t i;

		if (g->dir != dir || (g->when && classifier_first(g->when, f) == POLICY_NO_RULE))
			continue;
		i = classifier_first(g->find, f);
		note(trace, layer, k, i == POLICY_NO_RULE ? i : g->rules[i].index, false);
		if (i == POLICY_NO_RULE)
			continue;
		word = &g->rules[i];
		*group = k;
		if (word->terminating)
			break;
	}
	return word;
}

static void add_meter(struct policy_result *res, uint32_t meter)
{
	for (unsigned int i = 0; i < res->n_meters; i++)
		if (res->meters[i] == meter)
			return;
	if (res->n_meters < POLICY_MAX_LIMITS)
		res->meters[res->n_meters++] = (uint8_t)meter;
}

/* False: the walk is over, the packet is not let through. */
static bool obey(unsigned int layer, const struct rule *r, enum policy_dir dir,
		 struct policy_fields *f, struct policy_result *res, const struct policy_ctx *ctx)
{
	const struct policy_action *a = &r->action;

	if (a->verdict == POLICY_DENY)
		return false;
	if (a->nat != POLICY_NAT_NONE && !translate(layer, r, dir, f, res, ctx))
		return false;
	if (a->xpose && !change(res, f, a->xpose))
		return false;
	if (r->stateful)
		res->conn.stateful |= (uint16_t)(1u << layer);
	if (r->idle_ms && (!res->idle_ms || r->idle_ms < res->idle_ms))
		res->idle_ms = r->idle_ms;
	if (a->meter)
		add_meter(res, a->meter - 1);
	if (r->limit && res->n_limits < POLICY_MAX_LIMITS)
		res->limits[res->n_limits++] = r->limit;
	res->mirror = a->mirror ? a->mirror : res->mirror;
	res->mark = a->mark ? a->mark : res->mark;
	return true;
}

/* A reply in a layer that let the connection's first packet through. */
static bool reply_passes(unsigned int layer, struct policy_fields *f, struct policy_result *res,
			 const struct policy_conn *conn, struct policy_trace *trace)
{
	note(trace, layer, POLICY_NO_GROUP, POLICY_NO_RULE, true);
	return conn->nat_layer != (int)layer || change(res, f, &conn->back);
}

void policy_walk(const struct policy *p, enum policy_dir dir, struct policy_fields *fields,
		 struct policy_result *res, const struct policy_ctx *ctx)
{
	const struct policy_conn *reply = ctx ? ctx->reply : NULL;
	struct policy_trace *trace = ctx ? ctx->trace : NULL;
	unsigned int group = 0;

	memset(res, 0, sizeof(*res));
	res->verdict = POLICY_DENY;
	res->rule = POLICY_NO_RULE;
	res->conn.nat_layer = -1;
	for (unsigned int n = 0; n < p->n_layers; n++) {
		unsigned int i = dir == POLICY_OUT ? n : p->n_layers - 1 - n;
		const struct rule *r;

		if (reply && (reply->stateful >> i & 1)) {
			if (!reply_passes(i, fields, res, reply, trace))
				return;
			continue;
		}
		r = ask_layer(p, i, dir, fields, &group, trace);
		if (!r)
			continue;
		res->layer = (uint8_t)i;
		res->group = (uint8_t)group;
		res->rule = r->index;
		if (!obey(i, r, dir, fields, res, ctx))
			return;
	}
	res->verdict = POLICY_ALLOW;
}
