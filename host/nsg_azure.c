/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns Azure's own form of network security groups.
 *
 * Four shapes of the same thing: what REST answers (a group with "properties"), what "az network
 * nsg show" prints (the same without that wrapper), a list of either (also under "value"), and a
 * template (groups among its "resources"). Rules come with and without the wrapper too. What Azure
 * adds of its own (ids, etags, states) has no meaning here and is left aside; a key of a rule that
 * is not known is a mistake, since leaving it aside could open what was meant to be closed.
 */
#include "host/nsg_internal.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define NSG_TYPE "Microsoft.Network/networkSecurityGroups"

bool nsg_is_azure(struct nsg_node root)
{
	return nsg_is_list(root) || nsg_get(root, "securityRules").n ||
	       nsg_get(root, "properties").n || nsg_get(root, "resources").n ||
	       nsg_get(root, "value").n || nsg_get(root, "defaultSecurityRules").n;
}

/* What may stand beside "properties", or among them. */
static struct nsg_node inner(struct nsg_node v)
{
	struct nsg_node p = nsg_get(v, "properties");

	return p.n ? p : v;
}

/* A template's expressions are computed by Azure, not here. */
static bool is_expression(const char *s)
{
	return *s == '[' && s[strlen(s) - 1] == ']';
}

static const char *name_of(struct nsg_node v, const char *what)
{
	struct nsg_node n = nsg_get(v, "name");
	const char *s = nsg_text(n);

	if (!n.n)
		nsg_missing(v, "name");
	if (!s)
		return "";
	if (is_expression(s)) {
		nsg_error(n, "deploy it and take what az network nsg show prints",
			  "%s is a template expression", what);
		return "";
	}
	s = nsg_name(n, what);
	return s ? s : "";
}

/* ---- one side of a rule ---- */

/* Azure prints unused keys as null, "" or []. */
static struct nsg_node used(struct nsg_node v)
{
	if (nsg_is_list(v) ? !nsg_count(v)
			   : v.n && v.n->type == YAML_SCALAR_NODE && !v.n->data.scalar.length)
		v.n = NULL;
	return v;
}

/* The singular or the plural key: exactly one of them, unless @optional. */
static struct nsg_node either(struct nsg_node p, const char *end, const char *one, const char *many,
			      bool optional)
{
	char key[48], keys[48];
	struct nsg_node a, b;

	snprintf(key, sizeof(key), "%s%s", end, one);
	snprintf(keys, sizeof(keys), "%s%s", end, many);
	a = used(nsg_get(p, key));
	b = used(nsg_get(p, keys));
	if (a.n && b.n)
		nsg_error(b, "keep one of them", "both %s and %s are given", key, keys);
	else if (!a.n && !b.n && !optional)
		nsg_missing(p, key);
	return b.n ? b : a;
}

static void read_side(struct nsg_node p, const char *end, struct nsg_side *side)
{
	struct nsg_node asgs, addrs;
	char key[48];

	snprintf(key, sizeof(key), "%sApplicationSecurityGroups", end);
	asgs = used(nsg_get(p, key));
	addrs = either(p, end, "AddressPrefix", "AddressPrefixes", asgs.n != NULL);
	nsg_read_addrs(addrs, side);
	if (asgs.n && addrs.n)
		nsg_error(asgs, "keep one of them",
			  "a rule has addresses or application security groups, not both");
	nsg_read_asgs(asgs, side, true);
	nsg_read_ports(either(p, end, "PortRange", "PortRanges", false), side);
}

static void check_keys(struct nsg_node v, struct nsg_node p)
{
	static const char *const outer[] = {"name",	     "id",   "etag",	   "type",
					    "resourceGroup", "kind", "properties", NULL};
	static const char *const keys[] = {"description",
					   "protocol",
					   "sourcePortRange",
					   "sourcePortRanges",
					   "destinationPortRange",
					   "destinationPortRanges",
					   "sourceAddressPrefix",
					   "sourceAddressPrefixes",
					   "sourceApplicationSecurityGroups",
					   "destinationAddressPrefix",
					   "destinationAddressPrefixes",
					   "destinationApplicationSecurityGroups",
					   "access",
					   "priority",
					   "direction",
					   "provisioningState",
					   "name",
					   "id",
					   "etag",
					   "type",
					   "resourceGroup",
					   NULL};

	if (p.n != v.n)
		nsg_keys(v, outer);
	nsg_keys(p, keys);
}

static void read_rule(struct nsg_node v, uint32_t min, uint32_t max, struct nsg_rule *r)
{
	struct nsg_node p;

	r->name = "";
	r->line = nsg_line(v);
	if (!nsg_need_map(v))
		return;
	p = inner(v);
	if (!nsg_need_map(p))
		return;
	r->name = name_of(v, "the rule's name");
	snprintf(v.d->about, sizeof(v.d->about), "rule \"%.79s\": ", r->name);
	check_keys(v, p);
	nsg_read_decision(p, min, max, r);
	if (!nsg_get(p, "protocol").n)
		nsg_missing(p, "protocol");
	nsg_read_proto(nsg_get(p, "protocol"), &r->proto);
	read_side(p, "source", &r->src);
	read_side(p, "destination", &r->dst);
	nsg_check_ports(nsg_get(p, "protocol"), &r->proto, &r->src, &r->dst);
	r->description = nsg_keep(nsg_get(p, "description"));
	v.d->about[0] = '\0';
}

/* ---- groups ---- */

static bool same_side(const struct nsg_side *a, const struct nsg_side *b)
{
	return a->n_addrs == b->n_addrs && !a->n_ports && !b->n_ports &&
	       (!a->n_addrs ||
		(a->addrs[0].kind == b->addrs[0].kind && a->addrs[0].kind != NSG_ADDR_PREFIX &&
		 a->addrs[0].kind != NSG_ADDR_ASG));
}

/* What Azure prints of the rules that every group has: the same as ours, or not to be believed. */
static void check_defaults(struct nsg_node list)
{
	const struct nsg_rule *ours = nsg_defaults();

	if (!nsg_need_list(list, NSG_MAX_RULES))
		return;
	for (uint32_t i = 0; i < nsg_count(list); i++) {
		struct nsg_node v = nsg_at(list, i);
		struct nsg_rule r = {0};
		unsigned int k = 0;

		read_rule(v, 0, 65535, &r);
		while (k < NSG_N_DEFAULTS &&
		       (r.priority != ours[k].priority || r.dir != ours[k].dir ||
			r.verdict != ours[k].verdict || r.proto.n_protos ||
			!same_side(&r.src, &ours[k].src) || !same_side(&r.dst, &ours[k].dst)))
			k++;
		if (k == NSG_N_DEFAULTS)
			nsg_error(v, "remove it; the default rules are always there",
				  "\"%.79s\" is not one of the default rules", r.name);
	}
}

static void read_group(struct nsg_node v)
{
	struct nsg_file *f = v.d->file;
	struct nsg_node p = inner(v), rules;
	struct nsg *g;

	if (f->n_nsgs == NSG_MAX_NSGS) {
		nsg_error(v, "split the file", "more than the %d groups of a file", NSG_MAX_NSGS);
		return;
	}
	g = nsg_append(v.d, &f->nsgs, &f->n_nsgs, sizeof(*g));
	if (!g)
		return;
	g->line = nsg_line(v);
	g->name = name_of(v, "the group's name");
	if (!nsg_need_map(p))
		return;
	g->flush_connection = nsg_bool(nsg_get(p, "flushConnection"), false);
	check_defaults(nsg_get(p, "defaultSecurityRules"));
	rules = nsg_get(p, "securityRules");
	if (!nsg_need_list(rules, NSG_MAX_RULES))
		return;
	for (uint32_t i = 0; i < nsg_count(rules); i++) {
		struct nsg_rule *r = nsg_append(v.d, &g->rules, &g->n_rules, sizeof(*r));

		if (!r)
			return;
		read_rule(nsg_at(rules, i), NSG_PRIORITY_MIN, NSG_PRIORITY_MAX, r);
	}
	nsg_check_group(v, g);
}

/* A template: groups among resources that are none of our business. */
static void read_template(struct nsg_node list)
{
	uint32_t before = list.d->file->n_nsgs;

	if (!nsg_need_list(list, 10 * NSG_MAX_RULES))
		return;
	for (uint32_t i = 0; i < nsg_count(list); i++) {
		struct nsg_node v = nsg_at(list, i), type = nsg_get(v, "type");
		const char *s = nsg_text(type);

		if (!s)
			continue;
		if (strcasecmp(s, NSG_TYPE) == 0)
			read_group(v);
		else if (strncasecmp(s, NSG_TYPE "/", strlen(NSG_TYPE) + 1) == 0)
			nsg_error(type, "put it into the group's securityRules",
				  "a rule that is a resource of its own is not read");
	}
	if (list.d->file->n_nsgs == before)
		nsg_error(list, NULL, "there is no resource of type " NSG_TYPE);
}

void nsg_read_azure(struct nsg_node root)
{
	struct nsg_node list = root;

	if (nsg_get(root, "resources").n) {
		read_template(nsg_get(root, "resources"));
		return;
	}
	if (nsg_get(root, "value").n)
		list = nsg_get(root, "value");
	if (nsg_is_list(list) && !nsg_count(list))
		nsg_error(list, NULL, "the list of groups is empty");
	for (uint32_t i = 0; i < nsg_count(list); i++)
		if (nsg_need_map(nsg_at(list, i)))
			read_group(nsg_at(list, i));
}
