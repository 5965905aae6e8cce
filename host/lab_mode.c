/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the networks' modes, and how each host of the fabric sees the networks.
 *
 * A host's view of a network is a struct lab_net like any other. A direct or vxlan network is the
 * same everywhere but for the addresses of its services, of which each host has its own. Of a
 * routed network each host has a part of the subnet, and its router has the part's first address:
 * the guests' gateway by IPv4. By IPv6 a gateway has to advertise itself, so there the guests have
 * all parts on their link, and the router answers neighbour solicitations for the other hosts'.
 * Parts that the file does not give are pieces of equal length, in the order of the hosts; so a
 * host that is added behind changes nothing.
 */
#include "host/lab_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/lab_addr.h"

#define PIECE4	    24 /* bits of a part's prefix, where the subnet leaves room */
#define PIECE_BITS  8  /* else: 256 parts */
#define PIECE4_MAX  28
#define PIECE6_MAX  120
#define LINK6_MIN   64 /* shorter prefixes cannot be told by router advertisements */
#define ROUTER_HOST 1
/* Behind the outer Ethernet header: IP, UDP, VXLAN, and the inner Ethernet header (RFC 7348). */
#define VXLAN_OVER4 (20 + 8 + 8 + 14)
#define VXLAN_OVER6 (40 + 8 + 8 + 14)

static const char *const modes[] = {
	[LAB_MODE_DIRECT] = "direct",
	[LAB_MODE_ROUTED] = "routed",
	[LAB_MODE_VXLAN] = "vxlan",
};
static_assert(ARRAY_SIZE(modes) == LAB_N_MODES, "every mode has a name");

const char *lab_mode_name(enum lab_mode m)
{
	return modes[m];
}

/* ---- keys of a network ---- */

static void only_for(struct lab_doc *ld, unsigned int n, const char *key, const void *given,
		     const char *mode)
{
	char remedy[64];

	snprintf(remedy, sizeof(remedy), "write mode: %s, or remove this key", mode);
	if (given)
		lab_doc_error(ld, lab_path("networks[%u].%s", n, key).s, remedy,
			      "%s is a key of %s networks", key, mode);
}

static void check_vni(struct lab_doc *ld, unsigned int n, const uint32_t *given, struct lab *lab)
{
	struct lab_path path = lab_path("networks[%u].vni", n);
	struct lab_net *net = &lab->nets[n];

	net->vni = lab_check_range(ld, path.s, given, 1, LAB_VNI_MAX, LAB_VNI_FIRST + n, "");
	for (unsigned int o = 0; o < n; o++)
		if (lab->nets[o].mode == LAB_MODE_VXLAN && lab->nets[o].vni == net->vni)
			lab_doc_error(ld, path.s, "give each network a number of its own",
				      "the VNI %u is already that of network %s (line %u)",
				      net->vni, lab->nets[o].name,
				      lab_doc_line(ld, lab_path("networks[%u].vni", o).s));
}

void lab_check_mode(struct lab_doc *ld, const struct file_lab *f, unsigned int n, struct lab *lab)
{
	static const struct file_net none;
	const struct file_net *fn = f->networks_count ? &f->networks[n] : &none;
	struct lab_path path = lab_path("networks[%u].mode", n);
	struct lab_net *net = &lab->nets[n];

	net->mode = fn->mode ? *fn->mode : LAB_MODE_DIRECT;
	if (net->mode != LAB_MODE_DIRECT && !lab->fabric.on)
		lab_doc_error(ld, path.s, "add fabric: with its hosts, or write mode: direct",
			      "mode %s needs hosts to reach, and the lab has none",
			      lab_mode_name(net->mode));
	if (net->mode == LAB_MODE_VXLAN)
		check_vni(ld, n, fn->vni, lab);
	else
		only_for(ld, n, "vni", fn->vni, "vxlan");
	if (net->mode == LAB_MODE_ROUTED) {
		net->max_routes = lab_check_range(ld, lab_path("networks[%u].max_routes", n).s,
						  fn->max_routes, 1, LAB_ROUTES_MAX, 0, " routes");
		if (fn->gateway)
			lab_doc_error(ld, lab_path("networks[%u].gateway", n).s, "remove this key",
				      "a routed network is its guests' gateway itself");
	} else {
		only_for(ld, n, "max_routes", fn->max_routes, "routed");
		only_for(ld, n, "parts", fn->parts_count ? fn->parts : NULL, "routed");
	}
}

static unsigned int overhead(const struct lab *lab, const struct lab_net *net)
{
	if (net->mode != LAB_MODE_VXLAN || !lab->fabric.n_hosts)
		return 0;
	return lab->fabric.hosts[0].family == AF_INET ? VXLAN_OVER4 : VXLAN_OVER6;
}

bool lab_mode_has(const struct lab *lab, const struct lab_net *net, int family)
{
	const struct lab_fabric *fb = &lab->fabric;

	if (net->mode != LAB_MODE_ROUTED || !fb->n_hosts || family == fb->hosts[0].family)
		return true;
	for (unsigned int h = 0; h < fb->n_hosts; h++)
		if (family == AF_INET || !*fb->hosts[h].address6)
			return false;
	return true;
}

uint32_t lab_mode_mtu(const struct lab *lab, const struct lab_net *net)
{
	return lab->fabric.on ? lab->fabric.mtu - overhead(lab, net) : LAB_MTU_DEFAULT;
}

/* ---- parts of a routed network ---- */

static unsigned int piece_bits(const struct lab_subnet *whole)
{
	bool four = whole->family == AF_INET;
	unsigned int width = four ? 32 : 128, prefix = width - whole->bits;
	unsigned int piece = prefix + PIECE_BITS;

	if (four && piece < PIECE4)
		piece = PIECE4;
	return width - MAX(MIN(piece, four ? PIECE4_MAX : PIECE6_MAX), prefix);
}

static const char *part_text(const struct file_net *f, const struct lab *lab, unsigned int h,
			     int family, unsigned int *index)
{
	for (unsigned int i = 0; i < f->parts_count; i++) {
		const struct file_part *p = &f->parts[i];

		*index = i;
		if (!strcmp(p->host, lab->fabric.hosts[h].name))
			return family == AF_INET ? p->subnet : p->subnet6;
	}
	return NULL;
}

static struct lab_net *at(const struct lab *lab, int h, unsigned int n)
{
	return &lab->views[(unsigned int)(h + 1) * lab->n_nets + n];
}

/* The host whose part @s overlaps, -1: none. */
static int overlapped(const struct lab *lab, unsigned int n, const struct lab_subnet *s, int not_me)
{
	for (int h = 0; h < (int)lab->fabric.n_hosts; h++) {
		struct lab_subnet other = lab_subnet_of(at(lab, h, n), s->family);

		if (h != not_me && lab_subnet_overlap(s, &other))
			return h;
	}
	return -1;
}

static void no_subnet(struct lab_net *net, int family)
{
	if (family == AF_INET) {
		net->has4 = false;
		net->cidr4[0] = '\0';
	} else {
		net->has6 = false;
		net->cidr6[0] = '\0';
	}
}

static void set_part(struct lab_net *net, const struct lab_subnet *part,
		     const struct lab_subnet *whole)
{
	lab_subnet_set(net, part);
	if (part->family == AF_INET6)
		net->link6 = 128 - whole->bits;
}

static void given_part(struct lab_doc *ld, const struct file_net *f, struct lab *lab,
		       unsigned int n, unsigned int h, int family)
{
	struct lab_subnet whole = lab_subnet_of(at(lab, -1, n), family), s = {.family = family};
	unsigned int i;
	const char *text = part_text(f, lab, h, family, &i);
	const char *key = family == AF_INET ? "subnet" : "subnet6";
	struct lab_path path;
	char remedy[128];
	int other;

	if (!text || !strcmp(text, "none"))
		return;
	path = lab_path("networks[%u].parts[%u].%s", n, i, key);
	if (!lab_check_subnet(ld, path.s, text, &s))
		return;
	if (!lab_subnet_overlap(&s, &whole) || s.bits > whole.bits) {
		snprintf(remedy, sizeof(remedy), "choose one in %s",
			 family == AF_INET ? at(lab, -1, n)->cidr4 : at(lab, -1, n)->cidr6);
		lab_doc_error(ld, path.s, whole.on ? remedy : "give the network a subnet",
			      "%s is not in the subnet of network %s", text, lab->nets[n].name);
		return;
	}
	other = overlapped(lab, n, &s, (int)h);
	if (other >= 0)
		lab_doc_error(ld, path.s, "choose another", "%s overlaps the part of host %s", text,
			      lab->fabric.hosts[other].name);
	set_part(at(lab, (int)h, n), &s, &whole);
}

/* The first piece that is free. False: there is none, which has been said. */
static bool own_part(struct lab_doc *ld, const struct file_net *f, struct lab *lab, unsigned int n,
		     unsigned int h, int family)
{
	struct lab_subnet whole = lab_subnet_of(at(lab, -1, n), family), s = whole;
	unsigned int i, width;

	if (!whole.on || part_text(f, lab, h, family, &i))
		return true;
	s.bits = piece_bits(&whole);
	width = whole.bits - s.bits;
	for (uint64_t k = 0; k < 1ull << MIN(width, 16u); k++) {
		s.addr = whole.addr;
		for (unsigned int b = 0; b < width && b < 16; b++)
			if (k & 1ull << b)
				s.addr.b[15 - (s.bits + b) / 8] |=
					(uint8_t)(1u << (s.bits + b) % 8);
		if (overlapped(lab, n, &s, (int)h) < 0) {
			set_part(at(lab, (int)h, n), &s, &whole);
			return true;
		}
	}
	lab_doc_error(ld, lab_path("networks[%u].subnet%s", n, family == AF_INET ? "" : "6").s,
		      "use a shorter prefix length, or say parts: yourself",
		      "there is no part of %s left for host %s",
		      family == AF_INET ? at(lab, -1, n)->cidr4 : at(lab, -1, n)->cidr6,
		      lab->fabric.hosts[h].name);
	return false;
}

static void check_part_hosts(struct lab_doc *ld, const struct file_net *f, const struct lab *lab,
			     unsigned int n)
{
	for (unsigned int i = 0; i < f->parts_count; i++) {
		struct lab_path path = lab_path("networks[%u].parts[%u].host", n, i);
		unsigned int h = 0;

		while (h < lab->fabric.n_hosts &&
		       strcmp(lab->fabric.hosts[h].name, f->parts[i].host) != 0)
			h++;
		if (h == lab->fabric.n_hosts)
			lab_doc_error(ld, path.s, "name one of fabric.hosts",
				      "there is no host \"%s\"", f->parts[i].host);
		for (unsigned int o = 0; o < i; o++)
			if (!strcmp(f->parts[o].host, f->parts[i].host))
				lab_doc_error(
					ld, path.s, "give each host one part",
					"host %s has a part already (line %u)", f->parts[i].host,
					lab_doc_line(
						ld,
						lab_path("networks[%u].parts[%u].host", n, o).s));
	}
}

static void give_router(struct lab_net *net, int family)
{
	struct lab_subnet s = lab_subnet_of(net, family);
	struct lab_addr a = lab_addr_with_low(s.addr, s.bits, ROUTER_HOST);

	if (!s.on)
		return;
	if (family == AF_INET)
		lab_addr_print(family, &a, net->gateway4, sizeof(net->gateway4));
	else
		lab_addr_print(family, &a, net->gateway6, sizeof(net->gateway6));
}

/* A route to each other host's part; what the file alone makes must fit. */
static void check_routes(struct lab_doc *ld, const struct lab *lab, unsigned int n)
{
	const struct lab_net *net = at(lab, -1, n);
	unsigned int routes = (lab->fabric.n_hosts - 1) * (net->has4 + net->has6);

	if (net->max_routes && routes > net->max_routes)
		lab_doc_error(
			ld, lab_path("networks[%u].max_routes", n).s,
			"raise it, use fewer hosts, or one family (subnet6: none)",
			"%u routes to the other hosts are more than the %u that network %s may "
			"have",
			routes, net->max_routes, net->name);
}

static void check_families(struct lab_doc *ld, const struct lab *lab, unsigned int n)
{
	const struct lab_net *net = &lab->nets[n];

	if (net->has4 && !lab_mode_has(lab, net, AF_INET))
		lab_doc_error(ld, lab_path("networks[%u].subnet", n).s,
			      "write subnet: none, or give the hosts IPv4 addresses",
			      "the hosts have IPv6 addresses, and are no next hops of IPv4");
	if (net->has6 && !lab_mode_has(lab, net, AF_INET6))
		lab_doc_error(ld, lab_path("networks[%u].subnet6", n).s,
			      "write subnet6: none, or give each host an address6",
			      "the hosts have no IPv6 addresses to be next hops of IPv6");
}

static void check_routed(struct lab_doc *ld, const struct file_net *f, struct lab *lab,
			 unsigned int n)
{
	static const int families[] = {AF_INET, AF_INET6};

	check_part_hosts(ld, f, lab, n);
	check_families(ld, lab, n);
	if (lab->nets[n].has6 && lab->nets[n].prefix6 < LINK6_MIN)
		lab_doc_error(
			ld, lab_path("networks[%u].subnet6", n).s,
			"use a prefix length of 64 or more",
			"the guests of a routed network have %s on their link, which cannot be "
			"told them",
			lab->nets[n].cidr6);
	for (unsigned int k = 0; k < 2; k++) {
		for (unsigned int h = 0; h < lab->fabric.n_hosts; h++)
			no_subnet(at(lab, (int)h, n), families[k]);
		/* Given ones first, so that a default never takes what somebody asked for. */
		for (unsigned int h = 0; h < lab->fabric.n_hosts; h++)
			given_part(ld, f, lab, n, h, families[k]);
		for (unsigned int h = 0; h < lab->fabric.n_hosts; h++)
			if (!own_part(ld, f, lab, n, h, families[k]))
				break;
		for (unsigned int h = 0; h < lab->fabric.n_hosts; h++)
			give_router(at(lab, (int)h, n), families[k]);
	}
	check_routes(ld, lab, n);
}

void lab_check_parts(struct lab_doc *ld, const struct file_lab *f, struct lab *lab)
{
	for (unsigned int h = 0; h < lab->fabric.n_hosts; h++)
		memcpy(at(lab, (int)h, 0), at(lab, -1, 0), lab->n_nets * sizeof(*lab->nets));
	for (unsigned int n = 0; lab->fabric.on && n < lab->n_nets; n++)
		if (lab->nets[n].mode == LAB_MODE_ROUTED)
			check_routed(ld, &f->networks[n], lab, n);
}

/* The first guest on the network, and the first on another host than it; NULL: none. */
static const struct lab_vm *on_net(const struct lab *lab, unsigned int n,
				   const struct lab_vm *not_with)
{
	for (unsigned int v = 0; v < lab->n_all; v++)
		for (unsigned int i = 0; i < lab->vms[v].n_nics; i++)
			if (lab->vms[v].nics[i].net == n &&
			    (!not_with || lab->vms[v].host != not_with->host))
				return &lab->vms[v];
	return NULL;
}

void lab_check_reach(struct lab_doc *ld, const struct lab *lab)
{
	for (unsigned int n = 0; lab->fabric.on && n < lab->n_nets; n++) {
		const struct lab_net *net = &lab->nets[n];
		const struct lab_vm *a = on_net(lab, n, NULL), *b = a ? on_net(lab, n, a) : NULL;

		if (net->mode != LAB_MODE_DIRECT || net->type == LAB_NET_EXTERNAL || !b)
			continue;
		lab_doc_error(
			ld, lab_path("networks[%u]", n).s,
			"write mode: vxlan or mode: routed, or type: external with an uplink",
			"%s on %s and %s on %s do not reach each other on network %s, which has "
			"mode direct and no uplink",
			a->name, lab->fabric.hosts[a->host].name, b->name,
			lab->fabric.hosts[b->host].name, net->name);
	}
}

void lab_view(struct lab *lab, int h)
{
	lab->nets = at(lab, h, 0);
}

const struct lab_net *lab_nets_at(const struct lab *lab, int h)
{
	return at(lab, h, 0);
}

/* ---- JSON ---- */

void lab_mode_to_json(const struct lab *lab, unsigned int n, json_t *o)
{
	const struct lab_net *net = at(lab, -1, n);
	json_t *parts;

	json_object_set_new(o, "mode", json_string(lab_mode_name(net->mode)));
	if (net->mode == LAB_MODE_VXLAN)
		json_object_set_new(o, "vni", json_integer(net->vni));
	if (net->mode != LAB_MODE_ROUTED)
		return;
	parts = json_array();
	for (unsigned int h = 0; h < lab->fabric.n_hosts; h++) {
		const struct lab_net *part = at(lab, (int)h, n);

		json_array_append_new(parts, json_pack("{s:s, s:s, s:s}", "host",
						       lab->fabric.hosts[h].name, "subnet",
						       part->has4 ? part->cidr4 : "none", "subnet6",
						       part->has6 ? part->cidr6 : "none"));
	}
	json_object_set_new(o, "parts", parts);
	if (net->max_routes)
		json_object_set_new(o, "max_routes", json_integer(net->max_routes));
}
