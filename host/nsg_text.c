/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns policy files as JSON, in the form that our YAML has, and what differs between two of them.
 */
#include "host/nsg_internal.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static json_t *prefix_json(const struct policy_prefix *p)
{
	char text[INET6_ADDRSTRLEN + 8];

	nsg_prefix_print(p, text, sizeof(text));
	return json_string(text);
}

/* An empty list is "any": then the key is left out. */
static void put_addrs(json_t *o, const char *key, const struct nsg_side *s)
{
	json_t *list;

	if (!s->n_addrs)
		return;
	list = json_array();
	for (uint32_t i = 0; i < s->n_addrs; i++) {
		const struct nsg_addr *a = &s->addrs[i];

		json_array_append_new(list, a->kind == NSG_ADDR_PREFIX ? prefix_json(&a->prefix)
					    : a->kind == NSG_ADDR_ASG
						    ? json_sprintf("asg:%s", a->asg)
						    : json_string(nsg_tag_name(a->kind)));
	}
	json_object_set_new(o, key, list);
}

static json_t *range_json(const struct policy_range *r)
{
	return r->lo == r->hi ? json_sprintf("%u", r->lo) : json_sprintf("%u-%u", r->lo, r->hi);
}

static void put_ports(json_t *o, const char *key, const struct nsg_side *s)
{
	json_t *list;

	if (!s->n_ports)
		return;
	list = json_array();
	for (uint32_t i = 0; i < s->n_ports; i++)
		json_array_append_new(list, range_json(&s->ports[i]));
	json_object_set_new(o, key, list);
}

static void put_proto(json_t *o, const struct nsg_proto *p)
{
	char text[16];

	nsg_proto_print(p, text, sizeof(text));
	json_object_set_new(o, "protocol", json_string(text));
}

json_t *nsg_rule_to_json(const struct nsg_rule *r)
{
	json_t *o =
		json_pack("{s:s, s:i, s:s, s:s}", "name", r->name, "priority", (int)r->priority,
			  "direction", nsg_directions[r->dir], "access", nsg_verdicts[r->verdict]);

	put_proto(o, &r->proto);
	put_addrs(o, "source", &r->src);
	put_ports(o, "source_ports", &r->src);
	put_addrs(o, "destination", &r->dst);
	put_ports(o, "destination_ports", &r->dst);
	return o;
}

static json_t *group_json(const struct nsg *g)
{
	json_t *rules = json_array();

	for (uint32_t i = 0; i < g->n_rules; i++)
		json_array_append_new(rules, nsg_rule_to_json(&g->rules[i]));
	return json_pack("{s:s, s:o}", "name", g->name, "rules", rules);
}

static void put_names(json_t *o, const char *key, const char *const *names, uint32_t n)
{
	json_t *list;

	if (!n)
		return;
	list = json_array();
	for (uint32_t i = 0; i < n; i++)
		json_array_append_new(list, json_string(names[i]));
	json_object_set_new(o, key, list);
}

static void put_scope(json_t *o, const struct nsg_scope *s)
{
	put_names(o, "nics", s->nics, s->n_nics);
	put_names(o, "networks", s->networks, s->n_networks);
}

static void put_mac(json_t *o, const char *key, bool has, const uint8_t *m)
{
	if (has)
		json_object_set_new(o, key,
				    json_sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2],
						 m[3], m[4], m[5]));
}

static const char *direction(bool in, bool out)
{
	return in && out ? "both" : nsg_directions[in ? POLICY_IN : POLICY_OUT];
}

static json_t *acl_rule_json(const struct nsg_acl_rule *r, bool basic)
{
	static const char *const actions[] = {"allow", "deny", "meter"};
	json_t *o = json_pack("{s:s, s:s, s:s}", "name", r->name, "action", actions[r->action],
			      "direction", direction(r->in, r->out));

	put_addrs(o, "local", &r->local);
	put_addrs(o, "remote", &r->remote);
	if (basic) {
		put_mac(o, "local_mac", r->has_local_mac, r->local_mac);
		put_mac(o, "remote_mac", r->has_remote_mac, r->remote_mac);
		/* One of them must stand there. */
		if (!r->has_local_mac && !r->has_remote_mac && !r->local.n_addrs &&
		    !r->remote.n_addrs)
			json_object_set_new(o, "remote", json_string("any"));
		if (r->action == NSG_ACL_METER)
			json_object_set_new(o, "meter", json_string(r->meter));
		return o;
	}
	put_proto(o, &r->proto);
	put_ports(o, "local_ports", &r->local);
	put_ports(o, "remote_ports", &r->remote);
	json_object_set_new(o, "weight", json_integer(r->weight));
	json_object_set_new(o, "stateful", json_boolean(r->stateful));
	if (r->stateful)
		json_object_set_new(o, "idle_timeout", json_integer(r->idle_s));
	return o;
}

static json_t *acl_json(const struct nsg_acl *acl)
{
	json_t *rules = json_array(), *o;

	for (uint32_t i = 0; i < acl->n_rules; i++)
		json_array_append_new(rules, acl_rule_json(&acl->rules[i], acl->basic));
	o = json_pack("{s:s, s:s, s:o}", "name", acl->name, "type",
		      acl->basic ? "basic" : "extended", "rules", rules);
	put_scope(o, &acl->scope);
	return o;
}

static json_t *nat_json(const struct nsg_nat *nat)
{
	json_t *o =
		json_pack("{s:s, s:o}", "name", nat->name, "outside", prefix_json(&nat->outside));
	json_t *list = json_array();
	char proto[16];

	put_scope(o, &nat->scope);
	for (uint32_t i = 0; i < nat->n_inside; i++)
		json_array_append_new(list, prefix_json(&nat->inside[i]));
	json_object_set_new(o, "inside", list);
	if (nat->source_ports.lo)
		json_object_set_new(o, "source_ports", range_json(&nat->source_ports));
	put_addrs(o, "remote", &nat->remote);
	if (!nat->n_ports)
		return o;
	list = json_array();
	for (uint32_t i = 0; i < nat->n_ports; i++) {
		const struct nsg_nat_port *p = &nat->ports[i];

		nsg_proto_print(&p->proto, proto, sizeof(proto));
		json_array_append_new(list,
				      json_pack("{s:s, s:i, s:o, s:i}", "protocol", proto, "port",
						(int)p->outside, "inside", prefix_json(&p->addr),
						"inside_port", (int)p->inside));
	}
	json_object_set_new(o, "ports", list);
	return o;
}

static json_t *extra_json(const struct nsg_extra *e)
{
	json_t *o = json_pack("{s:s}", "name", e->name);

	put_scope(o, &e->scope);
	put_proto(o, &e->proto);
	put_addrs(o, "local", &e->local);
	put_ports(o, "local_ports", &e->local);
	put_addrs(o, "remote", &e->remote);
	put_ports(o, "remote_ports", &e->remote);
	if (e->encap) {
		json_object_set_new(o, "vni", json_integer(e->vni));
		json_object_set_new(o, "vtep", prefix_json(&e->vtep));
		return o;
	}
	json_object_set_new(o, "direction", json_string(direction(e->in, e->out)));
	if (e->meter)
		json_object_set_new(o, "meter", json_string(e->meter));
	if (e->limit_mbps)
		json_object_set_new(o, "limit_mbps", json_integer(e->limit_mbps));
	if (e->has_mark)
		json_object_set_new(o, "mark", json_integer(e->mark));
	if (e->mirror)
		json_object_set_new(o, "mirror", json_true());
	return o;
}

static json_t *apply_json(const struct nsg_apply *list, uint32_t n)
{
	json_t *o = json_object();

	for (uint32_t i = 0; i < n; i++)
		json_object_set_new(o, list[i].target, json_string(list[i].nsg));
	return o;
}

static json_t *prefixes_json(const struct policy_prefix *p, uint32_t n)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < n; i++)
		json_array_append_new(list, prefix_json(&p[i]));
	return list;
}

json_t *nsg_file_to_json(const struct nsg_file *f)
{
	json_t *nsgs = json_array(), *acls = json_array(), *nats = json_array();
	json_t *meters = json_array(), *tunnels = json_array(), *asgs = json_object(), *o;

	for (uint32_t i = 0; i < f->n_nsgs; i++)
		json_array_append_new(nsgs, group_json(&f->nsgs[i]));
	for (uint32_t i = 0; i < f->n_acls; i++)
		json_array_append_new(acls, acl_json(&f->acls[i]));
	for (uint32_t i = 0; i < f->n_nats; i++)
		json_array_append_new(nats, nat_json(&f->nats[i]));
	for (uint32_t i = 0; i < f->n_meters; i++)
		json_array_append_new(meters, extra_json(&f->meters[i]));
	for (uint32_t i = 0; i < f->n_tunnels; i++)
		json_array_append_new(tunnels, extra_json(&f->tunnels[i]));
	for (uint32_t i = 0; i < f->n_asgs; i++)
		json_object_set_new(asgs, f->asgs[i].name,
				    prefixes_json(f->asgs[i].prefixes, f->asgs[i].n_prefixes));
	o = json_pack("{s:o, s:{s:o, s:o}, s:o, s:{s:b, s:o}}", "nsgs", nsgs, "apply", "networks",
		      apply_json(f->networks, f->n_networks), "nics",
		      apply_json(f->nics, f->n_nics), "asgs", asgs, "virtual_network", "peered",
		      f->peered, "also", prefixes_json(f->vnet, f->n_vnet));
	json_object_set_new(o, "acls", acls);
	json_object_set_new(o, "nat", nats);
	json_object_set_new(o, "meters", meters);
	json_object_set_new(o, "tunnels", tunnels);
	return o;
}

/* ---- differences ---- */

/* All of a set in one: {"nsg": {name: value}, "acl": ..., "apply": {target: nsg}, ...}. */
static void gather(json_t *all, const char *what, const json_t *list)
{
	json_t *of = json_object_get(all, what), *item;
	size_t i;

	if (!of) {
		of = json_object();
		json_object_set_new(all, what, of);
	}
	json_array_foreach ((json_t *)list, i, item)
		json_object_set(of, json_string_value(json_object_get(item, "name")), item);
}

static void gather_map(json_t *all, const char *what, const json_t *map)
{
	json_t *of = json_object_get(all, what);

	if (of)
		json_object_update(of, (json_t *)map);
	else
		json_object_set_new(all, what, json_copy((json_t *)map));
}

static json_t *flatten(const struct nsg_set *set)
{
	json_t *all = json_object();

	for (uint32_t i = 0; i < set->n; i++) {
		json_t *f = nsg_file_to_json(set->files[i]);
		const json_t *apply = json_object_get(f, "apply");

		gather(all, "nsg", json_object_get(f, "nsgs"));
		gather(all, "acl", json_object_get(f, "acls"));
		gather(all, "nat", json_object_get(f, "nat"));
		gather(all, "meter", json_object_get(f, "meters"));
		gather(all, "tunnel", json_object_get(f, "tunnels"));
		gather_map(all, "asg", json_object_get(f, "asgs"));
		gather_map(all, "network", json_object_get(apply, "networks"));
		gather_map(all, "nic", json_object_get(apply, "nics"));
		json_decref(f);
	}
	return all;
}

/* Entries of @after that @before lacks or has otherwise, then those that are gone. */
static void compare(json_t *out, const char *what, const json_t *before, const json_t *after);

static json_t *by_name(const json_t *list)
{
	json_t *o = json_object(), *item;
	size_t i;

	json_array_foreach ((json_t *)list, i, item)
		json_object_set(o, json_string_value(json_object_get(item, "name")), item);
	return o;
}

static json_t *change(const char *what, const char *name, const json_t *before, const json_t *after)
{
	const json_t *rules[2] = {json_object_get(before, "rules"),
				  json_object_get(after, "rules")};
	json_t *o = json_pack("{s:s, s:s, s:s, s:o*, s:o*}", "what", what, "name", name, "change",
			      !before  ? "added"
			      : !after ? "removed"
				       : "changed",
			      "before", before ? json_deep_copy(before) : NULL, "after",
			      after ? json_deep_copy(after) : NULL);

	if (rules[0] || rules[1]) {
		json_t *sub = json_array(), *a = by_name(rules[0]), *b = by_name(rules[1]);

		compare(sub, "rule", a, b);
		json_decref(a);
		json_decref(b);
		json_object_set_new(o, "rules", sub);
		json_object_del(o, "before");
		json_object_del(o, "after");
	}
	return o;
}

static void compare(json_t *out, const char *what, const json_t *before, const json_t *after)
{
	const char *name;
	json_t *v;

	json_object_foreach ((json_t *)after, name, v) {
		const json_t *old = json_object_get(before, name);

		if (!old || !json_equal(old, v))
			json_array_append_new(out, change(what, name, old, v));
	}
	json_object_foreach ((json_t *)before, name, v)
		if (!json_object_get(after, name))
			json_array_append_new(out, change(what, name, v, NULL));
}

json_t *nsg_diff(const struct nsg_set *before, const struct nsg_set *after)
{
	static const char *const parts[] = {"nsg",    "acl", "nat",	"meter",
					    "tunnel", "asg", "network", "nic"};
	json_t *a = flatten(before), *b = flatten(after), *out = json_array();

	for (unsigned int i = 0; i < ARRAY_SIZE(parts); i++) {
		json_t *x = json_object_get(a, parts[i]), *y = json_object_get(b, parts[i]);
		json_t *none = json_object();

		compare(out, parts[i], x ? x : none, y ? y : none);
		json_decref(none);
	}
	json_decref(a);
	json_decref(b);
	return out;
}
