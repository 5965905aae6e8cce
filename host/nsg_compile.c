/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the making of a NIC's policy out of policy files.
 *
 * An empty list means "any" to the switch, and a list that has come out empty, such as a group that
 * nobody is in, means "nothing": a rule with such a list is left out.
 */
#include "host/nsg_compile.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/nsg_internal.h"

enum layer {
	LAYER_ACL_METER,
	LAYER_ACL_BASIC,
	LAYER_ACL_EXTENDED,
	LAYER_NSG_NIC,
	LAYER_NSG_SUBNET,
	LAYER_NAT,
	LAYER_METER,
	LAYER_TUNNEL,
	N_LAYERS
};
static const char *const layer_names[] = {
	[LAYER_ACL_METER] = "acl-meter",
	[LAYER_ACL_BASIC] = "acl-basic",
	[LAYER_ACL_EXTENDED] = "acl-extended",
	[LAYER_NSG_NIC] = "nsg-nic",
	[LAYER_NSG_SUBNET] = "nsg-subnet",
	[LAYER_NAT] = "nat",
	[LAYER_METER] = "meter",
	[LAYER_TUNNEL] = "tunnel",
};
static_assert(ARRAY_SIZE(layer_names) == N_LAYERS, "every layer has a name");

/* Priorities within a group of what is not the user's. */
#define PLATFORM_PRIORITY 1

struct rules {
	struct policy_rule *r;
	uint32_t n;
};

struct build {
	struct arena *mem;
	const struct nsg_world *w;
	const struct lab *lab;
	int net;
	struct rules rules[N_LAYERS][POLICY_N_DIRS];
	const char *group[N_LAYERS]; /* its name */
	const char **meters;
	uint32_t n_meters;
};

static const uint16_t ip_types[] = {0x0800, 0x86dd};
static const uint8_t with_ports[] = {IPPROTO_TCP, IPPROTO_UDP};
static const struct policy_match only_ip = {
	.eth_type = ip_types, .n_eth_type = 2, .vni = POLICY_ANY_VNI};
static const struct policy_prefix mapped = {{[10] = 0xff, 0xff}, 96};

/* ---- lists ---- */

struct prefixes {
	struct policy_prefix *p;
	uint32_t n;
};

static void add_prefix(struct build *b, struct prefixes *l, const struct policy_prefix *p)
{
	struct policy_prefix *more = arena_grow(b->mem, l->p, l->n, sizeof(*more));

	if (!more)
		return;
	l->p = more;
	l->p[l->n++] = *p;
}

/* All of IPv6 in two halves: as one it would be all of IPv4 too. */
static void add_all6(struct build *b, struct prefixes *l)
{
	add_prefix(b, l, &(struct policy_prefix){.len = 1});
	add_prefix(b, l, &(struct policy_prefix){.addr = {0x80}, .len = 1});
}

static void add_addr(struct build *b, struct prefixes *l, const struct nsg_addr *a)
{
	struct nsg_list list;

	if (a->kind == NSG_ADDR_PREFIX) {
		if (a->prefix.len)
			add_prefix(b, l, &a->prefix);
		else
			add_all6(b, l);
		return;
	}
	list = a->kind == NSG_ADDR_ASG ? nsg_world_asg(b->w, a->asg)
				       : nsg_world_tag(b->w, a->kind, b->net);
	for (uint32_t i = 0; i < list.n; i++)
		add_prefix(b, l, &list.prefixes[i]);
}

/* False: it can match nothing. */
static bool addresses(struct build *b, const struct nsg_side *s, const struct policy_prefix **out,
		      uint32_t *n)
{
	struct prefixes l = {0};
	struct nsg_list tag;

	*out = NULL;
	*n = 0;
	if (!s->n_addrs)
		return true;
	/* The usual case: the tag's own list will do. */
	if (s->n_addrs == 1 && s->addrs->kind != NSG_ADDR_PREFIX &&
	    s->addrs->kind != NSG_ADDR_ASG) {
		tag = nsg_world_tag(b->w, s->addrs->kind, b->net);
		*out = tag.prefixes;
		*n = tag.n;
		return tag.n > 0;
	}
	for (uint32_t i = 0; i < s->n_addrs; i++)
		add_addr(b, &l, &s->addrs[i]);
	*out = l.p;
	*n = l.n;
	return l.n > 0;
}

/* ---- rules ---- */

static bool match(struct build *b, const struct nsg_proto *proto, const struct nsg_side *src,
		  const struct nsg_side *dst, struct policy_match *m)
{
	*m = (struct policy_match){.vni = POLICY_ANY_VNI};
	if (!addresses(b, src, &m->src, &m->n_src) || !addresses(b, dst, &m->dst, &m->n_dst))
		return false;
	m->sport = src->ports;
	m->n_sport = src->n_ports;
	m->dport = dst->ports;
	m->n_dport = dst->n_ports;
	m->proto = proto->protos;
	m->n_proto = proto->n_protos;
	/* A port is TCP's or UDP's; to the switch ICMP's type is one too. */
	if (!proto->n_protos && (src->n_ports || dst->n_ports)) {
		m->proto = with_ports;
		m->n_proto = ARRAY_SIZE(with_ports);
	}
	return true;
}

/* A zeroed rule at the end of a group; NULL: no memory. */
static struct policy_rule *add_rule(struct build *b, enum layer layer, enum policy_dir dir,
				    const char *name)
{
	struct rules *g = &b->rules[layer][dir];
	struct policy_rule *r = arena_grow(b->mem, g->r, g->n, sizeof(*r));

	if (!r)
		return NULL;
	g->r = r;
	r = &g->r[g->n];
	*r = (struct policy_rule){.name = name,
				  .priority = g->n,
				  .terminating = true,
				  .match = {.vni = POLICY_ANY_VNI}};
	g->n++;
	return r;
}

static uint32_t meter_index(struct build *b, const char *name)
{
	const char **more;

	for (uint32_t i = 0; i < b->n_meters; i++)
		if (strcmp(b->meters[i], name) == 0)
			return i + 1;
	more = arena_grow(b->mem, b->meters, b->n_meters, sizeof(*more));
	if (!more)
		return 0;
	b->meters = more;
	b->meters[b->n_meters++] = name;
	return b->n_meters;
}

/* ---- the platform: what works under every group ---- */

static const uint8_t udp[] = {IPPROTO_UDP}, icmp6[] = {IPPROTO_ICMPV6};
static const struct policy_range dhcp_client = {68, 68}, dhcp_server = {67, 67};
static const struct policy_range dhcp6_client = {546, 546}, dhcp6_server = {547, 547};
static const struct policy_range dns = {53, 53};
static const struct policy_prefix link_local6 = {{0xfe, 0x80}, 10};
/* Types: a guest's own queries and answers; and what routers and neighbours tell it. RFC 4861, 3810
 */
static const struct policy_range nd_out[] = {{131, 133}, {135, 136}, {143, 143}};
static const struct policy_range nd_in[] = {{130, 130}, {134, 137}};

static struct policy_rule *platform_rule(struct build *b, enum layer layer, enum policy_dir dir,
					 const char *name, const uint8_t *proto,
					 const struct policy_range *sport,
					 const struct policy_range *dport)
{
	struct policy_rule *r = add_rule(b, layer, dir, name);

	if (!r)
		return NULL;
	r->priority = PLATFORM_PRIORITY + b->rules[layer][dir].n - 1;
	r->match.proto = proto;
	r->match.n_proto = 1;
	r->match.sport = sport;
	r->match.n_sport = sport != NULL;
	r->match.dport = dport;
	r->match.n_dport = dport != NULL;
	return r;
}

/* The addresses of a network's own services, at most two. */
static uint32_t services(struct build *b, struct policy_prefix **list)
{
	const struct lab_net *net = b->lab && b->net >= 0 ? &b->lab->nets[b->net] : NULL;
	struct policy_prefix *p = arena_calloc(b->mem, 2, sizeof(*p));
	uint32_t n = 0;

	*list = p;
	if (!p || !net || !net->dhcp)
		return 0;
	p[0] = p[1] = mapped;
	if (inet_pton(AF_INET, net->service4, p[0].addr + 12) == 1)
		p[n++].len = 128;
	if (inet_pton(AF_INET6, net->service6, p[n].addr) == 1)
		p[n++].len = 128;
	return n;
}

static void add_platform(struct build *b, enum layer layer)
{
	struct policy_prefix *service;
	uint32_t n = services(b, &service);
	struct policy_rule *r;

	platform_rule(b, layer, POLICY_OUT, "PlatformDhcp", udp, &dhcp_client, &dhcp_server);
	platform_rule(b, layer, POLICY_OUT, "PlatformDhcpV6", udp, &dhcp6_client, &dhcp6_server);
	r = platform_rule(b, layer, POLICY_OUT, "PlatformNeighbourOut", icmp6, nd_out, NULL);
	if (r)
		r->match.n_sport = ARRAY_SIZE(nd_out);
	r = platform_rule(b, layer, POLICY_IN, "PlatformNeighbourIn", icmp6, nd_in, NULL);
	if (r)
		r->match.n_sport = ARRAY_SIZE(nd_in);
	r = platform_rule(b, layer, POLICY_IN, "PlatformDhcpV6", udp, &dhcp6_server, &dhcp6_client);
	if (r) {
		r->match.src = &link_local6;
		r->match.n_src = 1;
	}
	if (!n)
		return;
	r = platform_rule(b, layer, POLICY_IN, "PlatformDhcp", udp, &dhcp_server, &dhcp_client);
	if (r) {
		r->match.src = service;
		r->match.n_src = n;
	}
	r = platform_rule(b, layer, POLICY_OUT, "PlatformDns", with_ports, NULL, &dns);
	if (r) {
		r->match.n_proto = ARRAY_SIZE(with_ports);
		r->match.dst = service;
		r->match.n_dst = n;
		r->stateful = true;
	}
}

/* ---- network security groups ---- */

static void add_nsg_rule(struct build *b, enum layer layer, const struct nsg_rule *from)
{
	struct policy_rule *r;
	struct policy_match m;

	if (!match(b, &from->proto, &from->src, &from->dst, &m))
		return;
	r = add_rule(b, layer, from->dir, from->name);
	if (!r)
		return;
	r->priority = from->priority;
	r->match = m;
	r->action.verdict = from->verdict;
	r->stateful = from->verdict == POLICY_ALLOW;
}

static void add_nsg(struct build *b, enum layer layer, const struct nsg *g)
{
	b->group[layer] = g->name;
	add_platform(b, layer);
	for (uint32_t i = 0; i < g->n_rules; i++)
		add_nsg_rule(b, layer, &g->rules[i]);
	for (uint32_t i = 0; i < NSG_N_DEFAULTS; i++)
		add_nsg_rule(b, layer, &nsg_defaults()[i]);
}

/* ---- port ACLs ---- */

/* Local is the source of what the guest sends, and the destination of what comes to it. */
static bool match_sides(struct build *b, enum policy_dir dir, const struct nsg_proto *proto,
			const struct nsg_side *local, const struct nsg_side *remote,
			struct policy_match *m)
{
	return dir == POLICY_OUT ? match(b, proto, local, remote, m)
				 : match(b, proto, remote, local, m);
}

static void add_extended(struct build *b, enum policy_dir dir, const struct nsg_acl_rule *from)
{
	struct policy_rule *r;
	struct policy_match m;

	if (!match_sides(b, dir, &from->proto, &from->local, &from->remote, &m))
		return;
	m.eth_type = ip_types;
	m.n_eth_type = ARRAY_SIZE(ip_types);
	r = add_rule(b, LAYER_ACL_EXTENDED, dir, from->name);
	if (!r)
		return;
	/* The weight stays readable in the priority: see sort_rules() for equal ones. */
	r->priority = ACL_WEIGHT_MAX - from->weight;
	r->match = m;
	r->action.verdict = from->action == NSG_ACL_DENY ? POLICY_DENY : POLICY_ALLOW;
	r->stateful = from->stateful;
	r->idle_ms = from->stateful ? from->idle_s * 1000 : 0;
}

/* One rule per address, so that the longest prefix can win. */
static void add_basic_one(struct build *b, enum policy_dir dir, const struct nsg_acl_rule *from,
			  const struct policy_prefix *p, bool local)
{
	bool meter = from->action == NSG_ACL_METER;
	struct policy_rule *r =
		add_rule(b, meter ? LAYER_ACL_METER : LAYER_ACL_BASIC, dir, from->name);

	if (!r)
		return;
	r->match.eth_type = ip_types;
	r->match.n_eth_type = ARRAY_SIZE(ip_types);
	if (p && local == (dir == POLICY_OUT)) {
		r->match.src = arena_copy(b->mem, p, sizeof(*p));
		r->match.n_src = 1;
	} else if (p) {
		r->match.dst = arena_copy(b->mem, p, sizeof(*p));
		r->match.n_dst = 1;
	}
	r->priority = p ? 128u - p->len : 129;
	r->action.verdict = from->action == NSG_ACL_DENY ? POLICY_DENY : POLICY_ALLOW;
	if (meter)
		r->action.meter = meter_index(b, from->meter);
}

static void add_basic_mac(struct build *b, enum policy_dir dir, const struct nsg_acl_rule *from)
{
	bool local = from->has_local_mac;
	const uint8_t(*mac)[6] = local ? &from->local_mac : &from->remote_mac;
	struct policy_rule *r = add_rule(b, LAYER_ACL_BASIC, dir, from->name);

	if (!r)
		return;
	if (local == (dir == POLICY_OUT)) {
		r->match.src_mac = mac;
		r->match.n_src_mac = 1;
	} else {
		r->match.dst_mac = mac;
		r->match.n_dst_mac = 1;
	}
	r->priority = 0;
	r->action.verdict = from->action == NSG_ACL_DENY ? POLICY_DENY : POLICY_ALLOW;
}

static void add_basic(struct build *b, enum policy_dir dir, const struct nsg_acl_rule *from)
{
	const struct nsg_side *side = from->local.n_addrs ? &from->local : &from->remote;
	struct prefixes l = {0};

	if (from->has_local_mac || from->has_remote_mac) {
		add_basic_mac(b, dir, from);
		return;
	}
	for (uint32_t i = 0; i < side->n_addrs; i++)
		add_addr(b, &l, &side->addrs[i]);
	for (uint32_t i = 0; i < l.n; i++)
		add_basic_one(b, dir, from, &l.p[i], side == &from->local);
	if (!side->n_addrs)
		add_basic_one(b, dir, from, NULL, false);
}

static void add_acl(struct build *b, const struct nsg_acl *acl)
{
	for (uint32_t i = 0; i < acl->n_rules; i++) {
		const struct nsg_acl_rule *r = &acl->rules[i];

		for (enum policy_dir dir = POLICY_OUT; dir < POLICY_N_DIRS; dir++) {
			if (!(dir == POLICY_OUT ? r->out : r->in))
				continue;
			if (acl->basic)
				add_basic(b, dir, r);
			else
				add_extended(b, dir, r);
		}
	}
}

/* ---- translation, meters, tunnels ---- */

static struct policy_rule *add_nat_rule(struct build *b, enum policy_dir dir,
					const struct nsg_nat *nat, const struct policy_prefix *to)
{
	struct policy_rule *r;
	struct policy_match m;

	if (!match_sides(b, dir, &(struct nsg_proto){0}, &(struct nsg_side){0}, &nat->remote, &m))
		return NULL;
	r = add_rule(b, LAYER_NAT, dir, nat->name);
	if (!r)
		return NULL;
	r->match = m;
	r->stateful = true;
	r->action.nat = POLICY_NAT_REWRITE;
	memcpy(r->action.nat_addr, to->addr, sizeof(r->action.nat_addr));
	return r;
}

static void add_nat(struct build *b, const struct nsg_nat *nat)
{
	bool one_to_one = !nat->n_ports && !nat->source_ports.lo;
	struct policy_rule *r;

	for (uint32_t i = 0; i < nat->n_ports; i++) {
		const struct nsg_nat_port *p = &nat->ports[i];
		struct policy_range *port = arena_alloc(b->mem, sizeof(*port));

		r = add_nat_rule(b, POLICY_IN, nat, &p->addr);
		if (!r || !port)
			continue;
		*port = (struct policy_range){p->outside, p->outside};
		r->match.dst = &nat->outside;
		r->match.n_dst = 1;
		r->match.proto = p->proto.protos;
		r->match.n_proto = 1;
		r->match.dport = port;
		r->match.n_dport = 1;
		r->action.nat_port = (struct policy_range){p->inside, p->inside};
	}
	if (nat->source_ports.lo || one_to_one) {
		r = add_nat_rule(b, POLICY_OUT, nat, &nat->outside);
		if (r) {
			r->match.src = nat->inside;
			r->match.n_src = nat->n_inside;
			r->action.nat_port = nat->source_ports;
		}
	}
	if (one_to_one) {
		r = add_nat_rule(b, POLICY_IN, nat, nat->inside);
		if (r) {
			r->match.dst = &nat->outside;
			r->match.n_dst = 1;
		}
	}
}

static void add_extra(struct build *b, const struct nsg_extra *e)
{
	for (enum policy_dir dir = POLICY_OUT; dir < POLICY_N_DIRS; dir++) {
		struct policy_rule *r;
		struct policy_match m;

		if (!(dir == POLICY_OUT ? e->out : e->in) ||
		    !match_sides(b, dir, &e->proto, &e->local, &e->remote, &m))
			continue;
		r = add_rule(b, e->encap ? LAYER_TUNNEL : LAYER_METER, dir, e->name);
		if (!r)
			return;
		r->match = m;
		r->action.limit_mbps = e->limit_mbps;
		r->action.mark = e->has_mark ? e->mark + 1 : 0;
		r->action.mirror = e->mirror;
		r->action.meter = e->meter ? meter_index(b, e->meter) : 0;
		if (e->encap) {
			struct vsw_xpose *x = arena_alloc(b->mem, sizeof(*x));

			if (!x)
				return;
			x->flags = XPOSE_TUN_SET;
			x->tun.set = true;
			x->tun.vni = e->vni;
			memcpy(x->tun.remote, e->vtep.addr, sizeof(x->tun.remote));
			r->action.xpose = x;
		}
	}
}

/* ---- all of it ---- */

/*
 * By priority; equal ones in the order of the files, of basic ACLs those that deny first. Where
 * priorities are ours they are then numbered: they must be unique in a group.
 */
static int by_priority(const void *va, const void *vb)
{
	const struct policy_rule *const *a = va, *const *b = vb;
	int deny = ((*b)->action.verdict == POLICY_DENY) - ((*a)->action.verdict == POLICY_DENY);

	if ((*a)->priority != (*b)->priority)
		return (*a)->priority < (*b)->priority ? -1 : 1;
	return deny ? deny : *a < *b ? -1 : *a > *b;
}

static void sort_rules(struct build *b, struct rules *g)
{
	const struct policy_rule **order = arena_calloc(b->mem, g->n, sizeof(*order));
	struct policy_rule *sorted = arena_calloc(b->mem, g->n, sizeof(*sorted));

	if (!order || !sorted)
		return;
	for (uint32_t i = 0; i < g->n; i++)
		order[i] = &g->r[i];
	qsort(order, g->n, sizeof(*order), by_priority);
	for (uint32_t i = 0; i < g->n; i++) {
		sorted[i] = *order[i];
		sorted[i].priority = i;
	}
	g->r = sorted;
}

static int finish(struct build *b, struct nsg_spec *out, char *why, size_t size)
{
	struct policy_layer *layers = arena_calloc(b->mem, N_LAYERS, sizeof(*layers));

	for (enum layer l = 0; layers && l < N_LAYERS; l++) {
		struct policy_group *groups = arena_calloc(b->mem, POLICY_N_DIRS, sizeof(*groups));
		uint32_t n = 0;

		for (enum policy_dir dir = POLICY_OUT; groups && dir < POLICY_N_DIRS; dir++) {
			struct rules *g = &b->rules[l][dir];

			if (!g->n)
				continue;
			if (g->n > POLICY_MAX_RULES) {
				snprintf(why, size,
					 "layer %s: %u rules %s, at most %d are possible",
					 layer_names[l], g->n, nsg_directions[dir],
					 POLICY_MAX_RULES);
				return -E2BIG;
			}
			if (l <= LAYER_ACL_EXTENDED)
				sort_rules(b, g);
			groups[n++] = (struct policy_group){
				.name = b->group[l] ? b->group[l] : layer_names[l],
				.dir = dir,
				.when = l == LAYER_NSG_NIC || l == LAYER_NSG_SUBNET ? &only_ip
										    : NULL,
				.rules = g->r,
				.n_rules = g->n};
			out->n_rules += g->n;
		}
		if (n)
			layers[out->spec.n_layers++] = (struct policy_layer){
				.name = layer_names[l], .groups = groups, .n_groups = n};
	}
	out->spec.layers = layers;
	out->spec.meters = b->meters;
	out->spec.n_meters = b->n_meters;
	return b->mem->failed ? -ENOMEM : 0;
}

static const char *given(const struct nsg_set *set, const char *target, bool nic)
{
	for (uint32_t i = 0; i < set->n; i++) {
		const struct nsg_file *f = set->files[i];
		const struct nsg_apply *list = nic ? f->nics : f->networks;

		for (uint32_t k = 0; k < (nic ? f->n_nics : f->n_networks); k++)
			if (strcmp(list[k].target, target) == 0)
				return list[k].nsg;
	}
	return NULL;
}

int nsg_compile(const struct nsg_set *set, const struct nsg_world *w, const struct nsg_target *t,
		struct nsg_spec *out, char *why, size_t why_size)
{
	const char *net = t->lab && t->net >= 0 ? t->lab->nets[t->net].name : "";
	struct build b = {.mem = &out->mem, .w = w, .lab = t->lab, .net = t->net};
	const struct nsg *nic, *subnet;

	memset(out, 0, sizeof(*out));
	out->nic_nsg = given(set, t->nic, true);
	out->subnet_nsg = given(set, net, false);
	nic = out->nic_nsg ? nsg_find(set, out->nic_nsg) : NULL;
	subnet = out->subnet_nsg ? nsg_find(set, out->subnet_nsg) : NULL;
	if (nic)
		add_nsg(&b, LAYER_NSG_NIC, nic);
	if (subnet)
		add_nsg(&b, LAYER_NSG_SUBNET, subnet);
	for (uint32_t i = 0; i < set->n; i++) {
		const struct nsg_file *f = set->files[i];

		for (uint32_t k = 0; k < f->n_acls; k++)
			if (nsg_scope_has(&f->acls[k].scope, t->nic, net))
				add_acl(&b, &f->acls[k]);
		for (uint32_t k = 0; k < f->n_nats; k++)
			if (nsg_scope_has(&f->nats[k].scope, t->nic, net))
				add_nat(&b, &f->nats[k]);
		for (uint32_t k = 0; k < f->n_meters; k++)
			if (nsg_scope_has(&f->meters[k].scope, t->nic, net))
				add_extra(&b, &f->meters[k]);
		for (uint32_t k = 0; k < f->n_tunnels; k++)
			if (nsg_scope_has(&f->tunnels[k].scope, t->nic, net))
				add_extra(&b, &f->tunnels[k]);
	}
	return finish(&b, out, why, why_size);
}

int nsg_compile_group(const struct nsg_world *w, const struct nsg *g, const struct lab *lab,
		      int net, struct nsg_spec *out, char *why, size_t why_size)
{
	struct build b = {.mem = &out->mem, .w = w, .lab = lab, .net = net};

	memset(out, 0, sizeof(*out));
	out->nic_nsg = g->name;
	add_nsg(&b, LAYER_NSG_NIC, g);
	return finish(&b, out, why, why_size);
}

void nsg_spec_free(struct nsg_spec *s)
{
	arena_free(&s->mem);
	memset(s, 0, sizeof(*s));
}
