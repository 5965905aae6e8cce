/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the keys "type" and "uplink" of a network: who is on it beside its guests. */
#include "host/lab_internal.h"

#include <arpa/inet.h>
#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "host/lab_addr.h"

#define NETNS_DIR  "/run/netns/" /* where ip netns keeps them */
#define TAP_PREFIX "hv-"

static const char *const types[] = {
	[LAB_NET_PRIVATE] = "private",
	[LAB_NET_INTERNAL] = "internal",
	[LAB_NET_EXTERNAL] = "external",
};
static_assert(ARRAY_SIZE(types) == LAB_N_NET_TYPES, "every type has a name");

const char *lab_net_type_name(enum lab_net_type t)
{
	return types[t];
}

static struct lab_path at(unsigned int n, const char *key)
{
	return *key ? lab_path("networks[%u].uplink.%s", n, key)
		    : lab_path("networks[%u].uplink", n);
}

/* As Linux's dev_valid_name() has it. */
static bool ifname_is_legal(const char *s)
{
	size_t len = strlen(s);

	if (!len || len > LAB_IFNAME_MAX || !strcmp(s, ".") || !strcmp(s, ".."))
		return false;
	for (; *s; s++)
		if (*s == '/' || *s == ':' || isspace((unsigned char)*s))
			return false;
	return true;
}

/* A key that belongs to the other type. */
static void not_here(struct lab_doc *ld, unsigned int n, const char *key, const void *given,
		     enum lab_net_type type)
{
	char remedy[80];

	if (!given)
		return;
	snprintf(remedy, sizeof(remedy), "write type: %s, or remove this key", types[type]);
	lab_doc_error(ld, at(n, key).s, remedy, "%s is a key of %s networks", key, types[type]);
}

static void check_ifname(struct lab_doc *ld, unsigned int n, const char *key, const char *name,
			 struct lab *lab)
{
	struct lab_uplink *up = &lab->nets[n].uplink;

	if (!ifname_is_legal(name)) {
		lab_doc_error(ld, at(n, key).s, "see ip link for the names that there are",
			      "\"%s\" is no interface's name", name);
		return;
	}
	snprintf(up->ifname, sizeof(up->ifname), "%s", name);
	for (unsigned int o = 0; o < n; o++)
		if (!strcmp(lab->nets[o].uplink.ifname, up->ifname) &&
		    !strcmp(lab->nets[o].uplink.netns, up->netns))
			lab_doc_error(ld, at(n, key).s, "give each network an interface of its own",
				      "%s is already the uplink of network %s (line %u)", name,
				      lab->nets[o].name, lab_doc_line(ld, at(o, "").s));
}

static void check_netns(struct lab_doc *ld, unsigned int n, const char *text, struct lab_uplink *up)
{
	int len = 0;

	if (!text)
		return;
	if (*text == '/')
		len = snprintf(up->netns, sizeof(up->netns), "%s", text);
	else if (*text && !strchr(text, '/'))
		len = snprintf(up->netns, sizeof(up->netns), NETNS_DIR "%s", text);
	else
		lab_doc_error(ld, at(n, "netns").s,
			      "write a name of ip netns, or an absolute path like " NETNS_DIR
			      "blue",
			      "\"%s\" is no network namespace", text);
	if (len > LAB_NETNS_MAX)
		lab_doc_error(ld, at(n, "netns").s, "shorten it",
			      "a namespace's path has at most %d characters", LAB_NETNS_MAX);
}

static enum lab_net_type type_of(const struct file_net *f)
{
	if (f->type)
		return *f->type;
	if (!f->uplink)
		return LAB_NET_PRIVATE;
	return f->uplink->interface ? LAB_NET_EXTERNAL : LAB_NET_INTERNAL;
}

static void check_internal(struct lab_doc *ld, unsigned int n, const struct file_uplink *f,
			   struct lab *lab)
{
	char name[sizeof(TAP_PREFIX) + LAB_NAME_MAX];

	not_here(ld, n, "interface", f->interface, LAB_NET_EXTERNAL);
	snprintf(name, sizeof(name), TAP_PREFIX "%s", lab->nets[n].name);
	name[LAB_IFNAME_MAX] = '\0';
	check_ifname(ld, n, f->tap ? "tap" : "", f->tap ? f->tap : name, lab);
}

static void check_external(struct lab_doc *ld, unsigned int n, const struct file_uplink *f,
			   struct lab *lab)
{
	const struct lab_net *net = &lab->nets[n];

	not_here(ld, n, "tap", f->tap, LAB_NET_INTERNAL);
	not_here(ld, n, "address", f->address, LAB_NET_INTERNAL);
	not_here(ld, n, "address6", f->address6, LAB_NET_INTERNAL);
	if (f->interface)
		check_ifname(ld, n, "interface", f->interface, lab);
	else
		lab_doc_error(ld, at(n, "").s, "write uplink: {interface: eth1}",
			      "an external network needs an interface of this host");
	if (net->mode != LAB_MODE_DIRECT)
		lab_doc_error(ld, lab_path("networks[%u].type", n).s,
			      "write mode: direct, or type: private",
			      "a network of mode %s reaches the other hosts itself; with an uplink "
			      "frames would go in circles",
			      lab_mode_name(net->mode));
}

void lab_check_type(struct lab_doc *ld, const struct file_lab *f, unsigned int n, struct lab *lab)
{
	static const struct file_net no_net;
	static const struct file_uplink no_uplink;
	const struct file_net *fn = f->networks_count ? &f->networks[n] : &no_net;
	const struct file_uplink *fu = fn->uplink ? fn->uplink : &no_uplink;
	struct lab_net *net = &lab->nets[n];

	net->type = type_of(fn);
	if (net->type == LAB_NET_PRIVATE) {
		if (fn->uplink)
			lab_doc_error(ld, at(n, "").s, "write type: internal or external",
				      "a private network has no uplink");
		return;
	}
	net->uplink.csum = !fu->checksum || *fu->checksum == FILE_ON;
	net->uplink.tso = fu->tso ? *fu->tso == FILE_ON : net->uplink.csum;
	if (net->uplink.tso && !net->uplink.csum)
		lab_doc_error(ld, at(n, "tso").s, "write tso: off, or remove this key",
			      "without checksums there is no segmentation");
	check_netns(ld, n, fu->netns, &net->uplink);
	if (net->type == LAB_NET_INTERNAL)
		check_internal(ld, n, fu, lab);
	else
		check_external(ld, n, fu, lab);
}

static void check_address(struct lab_doc *ld, unsigned int n, const char *key, const char *text,
			  int family, struct lab *lab)
{
	struct lab_net *net = &lab->nets[n];
	struct lab_subnet s = lab_subnet_of(net, family);
	struct lab_addr a;
	char remedy[128];

	if (!text || !strcmp(text, "none"))
		return;
	snprintf(remedy, sizeof(remedy), "choose one in %s",
		 !s.on		     ? "a subnet"
		 : family == AF_INET ? net->cidr4
				     : net->cidr6);
	if (lab_addr_parse(family, text, &a) < 0)
		lab_doc_error(ld, at(n, key).s, "write an address without a prefix length, or none",
			      "\"%s\" is not an IPv%d address", text, family == AF_INET ? 4 : 6);
	else if (lab_subnet_no_host(&s, &a))
		lab_doc_error(ld, at(n, key).s, remedy, "%s is no host's address on network %s",
			      text, net->name);
	else if (lab->fabric.on && lab->fabric.n_hosts > 1)
		lab_doc_error(ld, at(n, key).s, "remove this key, and set it with ip address add",
			      "each of %u hosts would have the address %s", lab->fabric.n_hosts,
			      text);
	else if (family == AF_INET)
		lab_addr_print(family, &a, net->uplink.ip4, sizeof(net->uplink.ip4));
	else
		lab_addr_print(family, &a, net->uplink.ip6, sizeof(net->uplink.ip6));
}

void lab_check_uplink(struct lab_doc *ld, const struct file_lab *f, unsigned int n, struct lab *lab)
{
	const struct file_uplink *fu = f->networks_count ? f->networks[n].uplink : NULL;

	if (!fu || lab->nets[n].type != LAB_NET_INTERNAL)
		return;
	check_address(ld, n, "address", fu->address, AF_INET, lab);
	check_address(ld, n, "address6", fu->address6, AF_INET6, lab);
}

void lab_uplink_to_json(const struct lab *lab, unsigned int n, json_t *o)
{
	const struct lab_net *net = &lab_nets_at(lab, -1)[n];
	const struct lab_uplink *up = &net->uplink;
	json_t *u;

	json_object_set_new(o, "type", json_string(types[net->type]));
	if (net->type == LAB_NET_PRIVATE)
		return;
	u = json_pack("{s:s, s:s, s:s}", net->type == LAB_NET_INTERNAL ? "tap" : "interface",
		      up->ifname, "tso", up->tso ? "on" : "off", "checksum",
		      up->csum ? "on" : "off");
	if (*up->netns)
		json_object_set_new(u, "netns", json_string(up->netns));
	if (*up->ip4)
		json_object_set_new(u, "address", json_string(up->ip4));
	if (*up->ip6)
		json_object_set_new(u, "address6", json_string(up->ip6));
	json_object_set_new(o, "uplink", u);
}
