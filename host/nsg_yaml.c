/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns our own form of a policy file: groups with rules, where they apply, and what is expected. */
#include "host/nsg_internal.h"

#include <stdio.h>
#include <string.h>

void nsg_check_group(struct nsg_node at, const struct nsg *g)
{
	struct nsg_node v = nsg_get(at, "name");

	for (uint32_t i = 0; i < g->n_rules; i++)
		for (uint32_t j = 0; j < i; j++) {
			const struct nsg_rule *a = &g->rules[j], *b = &g->rules[i];

			if (a->priority == b->priority && a->dir == b->dir) {
				lab_errors_add(
					at.d->ld.errs, b->line, 1, v.path.s,
					"give each rule of a direction a priority of its own",
					"rule \"%s\": priority %u %s is already that of "
					"rule \"%s\" (line %u)",
					b->name, b->priority, nsg_directions[b->dir], a->name,
					a->line);
				break;
			}
			if (strcasecmp(a->name, b->name) == 0) {
				lab_errors_add(at.d->ld.errs, b->line, 1, v.path.s,
					       "give each rule of a group a name of its own",
					       "rule \"%s\": the name is taken (line %u)", b->name,
					       a->line);
				break;
			}
		}
}

/* One end of a rule: addresses, groups and ports, under "source..." or "destination...". */
static void read_side(struct nsg_node map, const char *end, struct nsg_side *side)
{
	char key[40];
	struct nsg_node addrs = nsg_get(map, end), asgs;

	snprintf(key, sizeof(key), "%s_asgs", end);
	asgs = nsg_get(map, key);
	nsg_read_addrs(addrs, side);
	if (addrs.n && asgs.n && !side->n_addrs)
		nsg_error(asgs, "remove one of them", "%s is any address, and groups are given too",
			  end);
	nsg_read_asgs(asgs, side, false);
	snprintf(key, sizeof(key), "%s_ports", end);
	nsg_read_ports(nsg_get(map, key), side);
}

static void read_rule(struct nsg_node v, struct nsg_rule *r)
{
	static const char *const keys[] = {
		"name",	       "priority",	   "direction",		"access",
		"protocol",    "source",	   "source_asgs",	"source_ports",
		"destination", "destination_asgs", "destination_ports", "description",
		NULL};

	r->name = "";
	r->line = nsg_line(v);
	if (!nsg_need_map(v))
		return;
	r->name = nsg_name(nsg_get(v, "name"), "the rule's name");
	snprintf(v.d->about, sizeof(v.d->about),
		 r->name ? "rule \"%.79s\": " : "a rule: ", r->name);
	if (!r->name) {
		if (!nsg_get(v, "name").n)
			nsg_missing(v, "name");
		r->name = "";
	}
	nsg_keys(v, keys);
	nsg_read_decision(v, NSG_PRIORITY_MIN, NSG_PRIORITY_MAX, r);
	nsg_read_proto(nsg_get(v, "protocol"), &r->proto);
	read_side(v, "source", &r->src);
	read_side(v, "destination", &r->dst);
	nsg_check_ports(nsg_get(v, "protocol"), &r->proto, &r->src, &r->dst);
	r->description = nsg_keep(nsg_get(v, "description"));
	v.d->about[0] = '\0';
}

static void read_group(struct nsg_node v, struct nsg *g)
{
	static const char *const keys[] = {"name", "rules", NULL};
	struct nsg_node rules;

	g->name = "";
	g->line = nsg_line(v);
	if (!nsg_need_map(v))
		return;
	nsg_keys(v, keys);
	if (!nsg_get(v, "name").n)
		nsg_missing(v, "name");
	g->name = nsg_name(nsg_get(v, "name"), "the group's name");
	g->name = g->name ? g->name : "";
	rules = nsg_get(v, "rules");
	if (!nsg_need_list(rules, NSG_MAX_RULES))
		return;
	for (uint32_t i = 0; i < nsg_count(rules); i++) {
		struct nsg_rule *r = nsg_append(v.d, &g->rules, &g->n_rules, sizeof(*r));

		if (!r)
			return;
		read_rule(nsg_at(rules, i), r);
	}
	nsg_check_group(v, g);
}

static void read_apply(struct nsg_node map, struct nsg_apply **list, uint32_t *n)
{
	if (!nsg_need_map(map))
		return;
	for (uint32_t i = 0; i < nsg_n_pairs(map); i++) {
		const char *key, *nsg;
		struct nsg_node v = nsg_pair(map, i, &key);
		struct nsg_apply *a;

		nsg = nsg_keep(v);
		if (!nsg)
			continue;
		for (uint32_t k = 0; k < *n; k++)
			if (strcmp((*list)[k].target, key) == 0)
				nsg_error(v, "keep one of them", "%s stands here twice", key);
		a = nsg_append(map.d, list, n, sizeof(*a));
		if (!a)
			return;
		a->target = arena_strdup(&map.d->file->mem, key);
		a->nsg = nsg;
		a->line = nsg_line(v);
	}
}

static void read_asgs(struct nsg_node map)
{
	struct nsg_file *f = map.d->file;

	if (!nsg_need_map(map))
		return;
	for (uint32_t i = 0; i < nsg_n_pairs(map); i++) {
		const char *key;
		struct nsg_node v = nsg_pair(map, i, &key);
		struct nsg_asg *a = nsg_append(map.d, &f->asgs, &f->n_asgs, sizeof(*a));

		if (!a)
			return;
		a->name = arena_strdup(&f->mem, key);
		a->line = nsg_line(v);
		nsg_read_prefixes(v, &a->prefixes, &a->n_prefixes);
	}
}

static void read_vnet(struct nsg_node map)
{
	static const char *const keys[] = {"peered", "also", NULL};
	struct nsg_file *f = map.d->file;

	if (!nsg_need_map(map))
		return;
	nsg_keys(map, keys);
	f->peered = nsg_bool(nsg_get(map, "peered"), true);
	nsg_read_prefixes(nsg_get(map, "also"), &f->vnet, &f->n_vnet);
}

static void read_test(struct nsg_node v, struct nsg_expect *t)
{
	static const char *const keys[] = {"packet", "nsg", "direction", "expect", "rule", NULL};
	int w;

	t->line = nsg_line(v);
	t->packet = "";
	if (!nsg_need_map(v))
		return;
	nsg_keys(v, keys);
	t->packet = nsg_keep(nsg_get(v, "packet"));
	if (!t->packet) {
		if (!nsg_get(v, "packet").n)
			nsg_missing(v, "packet");
		t->packet = "";
	}
	t->nsg = nsg_keep(nsg_get(v, "nsg"));
	t->rule = nsg_keep(nsg_get(v, "rule"));
	w = nsg_word(nsg_get(v, "direction"), nsg_directions);
	if (w == -1 && t->nsg)
		nsg_missing(v, "direction");
	else if (w >= 0 && !t->nsg)
		nsg_error(nsg_get(v, "direction"), "add \"nsg: NAME\", or remove it",
			  "a direction belongs to a group; without one the packet meets all that "
			  "the lab has on its way");
	t->dir = w < 0 ? POLICY_IN : (enum policy_dir)w;
	w = nsg_word(nsg_get(v, "expect"), nsg_verdicts);
	if (w == -1)
		nsg_missing(v, "expect");
	t->verdict = w < 0 ? POLICY_DENY : (enum policy_verdict)w;
}

static void read_tests(struct nsg_node v)
{
	struct nsg_file *f = v.d->file;

	if (!nsg_need_list(v, 10 * NSG_MAX_LISTS))
		return;
	for (uint32_t i = 0; i < nsg_count(v); i++) {
		struct nsg_expect *t = nsg_append(v.d, &f->tests, &f->n_tests, sizeof(*t));

		if (!t)
			return;
		read_test(nsg_at(v, i), t);
	}
}

static void read_groups(struct nsg_node v)
{
	struct nsg_file *f = v.d->file;

	if (!nsg_need_list(v, NSG_MAX_NSGS))
		return;
	for (uint32_t i = 0; i < nsg_count(v); i++) {
		struct nsg *g = nsg_append(v.d, &f->nsgs, &f->n_nsgs, sizeof(*g));

		if (!g)
			return;
		read_group(nsg_at(v, i), g);
	}
}

static void read_list(struct nsg_node v, const char ***list, uint32_t *n)
{
	uint32_t count = nsg_count(v);

	for (uint32_t i = 0; i < count && i < NSG_MAX_LISTS; i++) {
		const char *s = nsg_keep(nsg_at(v, i)), **slot;

		if (!s)
			continue;
		slot = nsg_append(v.d, list, n, sizeof(*slot));
		if (!slot)
			return;
		*slot = s;
	}
	if (count > NSG_MAX_LISTS)
		nsg_error(v, "split it", "%u names, at most %d are possible", count, NSG_MAX_LISTS);
	else if (v.n && !count)
		nsg_error(v, "name one, or remove the key: then all are meant",
			  "the list is empty");
}

void nsg_read_scope(struct nsg_node map, struct nsg_scope *scope)
{
	scope->line = nsg_line(map);
	read_list(nsg_get(map, "nics"), &scope->nics, &scope->n_nics);
	read_list(nsg_get(map, "networks"), &scope->networks, &scope->n_networks);
}

void nsg_read_yaml(struct nsg_node root)
{
	static const char *const keys[] = {"nsgs", "apply",  "asgs",	"virtual_network", "acls",
					   "nat",  "meters", "tunnels", "tests",	   NULL};
	static const char *const apply_keys[] = {"networks", "nics", NULL};
	struct nsg_file *f = root.d->file;
	struct nsg_node apply;

	if (!nsg_need_map(root))
		return;
	nsg_keys(root, keys);
	read_groups(nsg_get(root, "nsgs"));
	apply = nsg_get(root, "apply");
	if (nsg_need_map(apply)) {
		nsg_keys(apply, apply_keys);
		read_apply(nsg_get(apply, "networks"), &f->networks, &f->n_networks);
		read_apply(nsg_get(apply, "nics"), &f->nics, &f->n_nics);
	}
	read_asgs(nsg_get(root, "asgs"));
	read_vnet(nsg_get(root, "virtual_network"));
	nsg_read_acls(nsg_get(root, "acls"));
	nsg_read_nats(nsg_get(root, "nat"));
	nsg_read_extras(nsg_get(root, "meters"), false);
	nsg_read_extras(nsg_get(root, "tunnels"), true);
	read_tests(nsg_get(root, "tests"));
}
