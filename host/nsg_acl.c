/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the sections of a policy file that are no security groups: Hyper-V's port ACLs, address
 * translation, meters and tunnels.
 */
#include "host/nsg_internal.h"

#include <stdio.h>
#include <string.h>

static const char *const directions[] = {"outbound", "inbound", "both", NULL};

static void read_direction(struct nsg_node map, bool *in, bool *out)
{
	int w = nsg_word(nsg_get(map, "direction"), directions);

	*out = w != POLICY_IN;
	*in = w != POLICY_OUT;
}

static void about(struct nsg_node v, const char *what, const char *name)
{
	snprintf(v.d->about, sizeof(v.d->about), "%s \"%.79s\": ", what, name);
}

/* The name of an entry, or one made of its place. */
static const char *name_of(struct nsg_node v, const char *what, uint32_t i)
{
	const char *name = nsg_name(nsg_get(v, "name"), "the name");
	char made[32];

	if (name)
		return name;
	snprintf(made, sizeof(made), "%s%u", what, i + 1);
	name = arena_strdup(&v.d->file->mem, made);
	return name ? name : "";
}

static void read_side(struct nsg_node map, const char *end, struct nsg_side *side)
{
	char key[24];

	nsg_read_addrs(nsg_get(map, end), side);
	snprintf(key, sizeof(key), "%s_ports", end);
	nsg_read_ports(nsg_get(map, key), side);
}

/* ---- port ACLs ---- */

static bool read_mac(struct nsg_node v, uint8_t mac[6])
{
	const char *s = nsg_text(v);

	if (!s)
		return false;
	if (lab_parse_mac(s, mac) == 0)
		return true;
	nsg_error(v, "write six bytes in hex: 00:15:5d:01:02:03", "\"%.40s\" is not a MAC address",
		  s);
	return false;
}

static void read_extended(struct nsg_node v, struct nsg_acl_rule *r)
{
	static const char *const keys[] = {"name",   "action",	    "direction",    "local",
					   "remote", "local_ports", "remote_ports", "protocol",
					   "weight", "stateful",    "idle_timeout", NULL};
	struct nsg_node stateful = nsg_get(v, "stateful"), idle = nsg_get(v, "idle_timeout");

	nsg_keys(v, keys);
	if (!nsg_get(v, "weight").n)
		nsg_missing(v, "weight");
	nsg_number(nsg_get(v, "weight"), 0, ACL_WEIGHT_MAX, &r->weight);
	nsg_read_proto(nsg_get(v, "protocol"), &r->proto);
	read_side(v, "local", &r->local);
	read_side(v, "remote", &r->remote);
	nsg_check_ports(nsg_get(v, "protocol"), &r->proto, &r->local, &r->remote);
	r->stateful = nsg_bool(stateful, false);
	r->idle_s = ACL_IDLE_DEFAULT;
	nsg_number(idle, 1, ACL_IDLE_MAX, &r->idle_s);
	if (r->stateful && r->action == NSG_ACL_DENY)
		nsg_error(stateful, "remove it", "a rule that denies cannot be stateful");
	if (idle.n && !r->stateful)
		nsg_error(idle, "add \"stateful: yes\", or remove it",
			  "only what a stateful rule let in has an idle time-out");
}

static void read_basic(struct nsg_node v, struct nsg_acl_rule *r)
{
	static const char *const keys[] = {"name",	 "action", "direction",
					   "local",	 "remote", "local_mac",
					   "remote_mac", "meter",  NULL};
	struct nsg_node meter = nsg_get(v, "meter");

	nsg_keys(v, keys);
	nsg_read_addrs(nsg_get(v, "local"), &r->local);
	nsg_read_addrs(nsg_get(v, "remote"), &r->remote);
	r->has_local_mac = read_mac(nsg_get(v, "local_mac"), r->local_mac);
	r->has_remote_mac = read_mac(nsg_get(v, "remote_mac"), r->remote_mac);
	if (r->has_local_mac + r->has_remote_mac + (nsg_get(v, "local").n != NULL) +
		    (nsg_get(v, "remote").n != NULL) !=
	    1)
		nsg_error(v, "make one rule of each",
			  "a basic rule has exactly one of local, remote, local_mac, remote_mac");
	if (r->action == NSG_ACL_METER && (r->has_local_mac || r->has_remote_mac))
		nsg_error(v, "meter by local or remote", "a meter is by IP addresses, not by MAC");
	r->meter = nsg_name(meter, "the meter's name");
	if (r->meter && r->action != NSG_ACL_METER)
		nsg_error(meter, "write action: meter, or remove it",
			  "a meter's name with another action");
	if (!r->meter)
		r->meter = r->name;
}

static void read_acl_rule(struct nsg_node v, uint32_t i, bool basic, struct nsg_acl_rule *r)
{
	static const char *const extended_words[] = {"allow", "deny", NULL};
	static const char *const basic_words[] = {"allow", "deny", "meter", NULL};
	int w;

	r->name = "";
	r->line = nsg_line(v);
	if (!nsg_need_map(v))
		return;
	r->name = name_of(v, "rule", i);
	about(v, "rule", r->name);
	w = nsg_word(nsg_get(v, "action"), basic ? basic_words : extended_words);
	if (w == -1)
		nsg_missing(v, "action");
	r->action = w < 0 ? NSG_ACL_DENY : (enum nsg_acl_action)w;
	if (!nsg_get(v, "direction").n)
		nsg_missing(v, "direction");
	read_direction(v, &r->in, &r->out);
	if (basic)
		read_basic(v, r);
	else
		read_extended(v, r);
	v.d->about[0] = '\0';
}

static void check_weights(struct nsg_node at, const struct nsg_acl *acl)
{
	for (uint32_t i = 0; i < acl->n_rules; i++)
		for (uint32_t j = 0; j < i; j++) {
			const struct nsg_acl_rule *a = &acl->rules[j], *b = &acl->rules[i];

			if (a->weight != b->weight || !((a->in && b->in) || (a->out && b->out)))
				continue;
			lab_errors_add(at.d->ld.errs, b->line, 1, at.path.s,
				       "give each rule of a direction a weight of its own",
				       "rule \"%s\": weight %u is already that of rule \"%s\" "
				       "(line %u)",
				       b->name, b->weight, a->name, a->line);
			break;
		}
}

static void read_acl(struct nsg_node v, uint32_t i, struct nsg_acl *acl)
{
	static const char *const keys[] = {"name", "type", "nics", "networks", "rules", NULL};
	static const char *const types[] = {"extended", "basic", NULL};
	struct nsg_node rules;

	acl->name = "";
	if (!nsg_need_map(v))
		return;
	nsg_keys(v, keys);
	acl->name = name_of(v, "acl", i);
	acl->basic = nsg_word(nsg_get(v, "type"), types) == 1;
	nsg_read_scope(v, &acl->scope);
	rules = nsg_get(v, "rules");
	if (!rules.n)
		nsg_missing(v, "rules");
	if (!nsg_need_list(rules, NSG_MAX_RULES))
		return;
	for (uint32_t k = 0; k < nsg_count(rules); k++) {
		struct nsg_acl_rule *r = nsg_append(v.d, &acl->rules, &acl->n_rules, sizeof(*r));

		if (!r)
			return;
		read_acl_rule(nsg_at(rules, k), k, acl->basic, r);
	}
	if (!acl->basic)
		check_weights(v, acl);
}

void nsg_read_acls(struct nsg_node v)
{
	struct nsg_file *f = v.d->file;

	if (!nsg_need_list(v, NSG_MAX_LISTS))
		return;
	for (uint32_t i = 0; i < nsg_count(v); i++) {
		struct nsg_acl *acl = nsg_append(v.d, &f->acls, &f->n_acls, sizeof(*acl));

		if (!acl)
			return;
		read_acl(nsg_at(v, i), i, acl);
	}
}

/* ---- address translation ---- */

static bool is_v4(const struct policy_prefix *p)
{
	return p->len >= 96 && p->addr[10] == 0xff && p->addr[11] == 0xff && !p->addr[0];
}

static void check_family(struct nsg_node v, const struct policy_prefix *a,
			 const struct policy_prefix *b)
{
	if (is_v4(a) != is_v4(b))
		nsg_error(v, "translate IPv4 to IPv4 and IPv6 to IPv6",
			  "an address of one family cannot become one of the other");
}

static bool read_port(struct nsg_node v, uint16_t *port)
{
	uint32_t n;

	if (!nsg_number(v, 1, 65535, &n))
		return false;
	*port = (uint16_t)n;
	return true;
}

static void read_nat_port(struct nsg_node v, const struct nsg_nat *nat, struct nsg_nat_port *p)
{
	static const char *const keys[] = {"protocol", "port", "inside", "inside_port", NULL};

	if (!nsg_need_map(v))
		return;
	nsg_keys(v, keys);
	nsg_read_proto(nsg_get(v, "protocol"), &p->proto);
	if (p->proto.n_protos != 1 || (p->proto.protos[0] != 6 && p->proto.protos[0] != 17))
		nsg_error(v, "write protocol: tcp, or udp", "a port mapping is of tcp or udp");
	if (!read_port(nsg_get(v, "port"), &p->outside) && !nsg_get(v, "port").n)
		nsg_missing(v, "port");
	p->inside = p->outside;
	read_port(nsg_get(v, "inside_port"), &p->inside);
	if (nsg_read_address(nsg_get(v, "inside"), &p->addr))
		check_family(nsg_get(v, "inside"), &p->addr, &nat->outside);
	else if (!nsg_get(v, "inside").n)
		nsg_missing(v, "inside");
}

static void read_nat(struct nsg_node v, uint32_t i, struct nsg_nat *nat)
{
	static const char *const keys[] = {"name",  "nics",	    "networks", "outside", "inside",
					   "ports", "source_ports", "remote",	NULL};
	struct nsg_node ports, source, inside;
	const char *s;

	nat->name = "";
	nat->line = nsg_line(v);
	if (!nsg_need_map(v))
		return;
	nsg_keys(v, keys);
	nat->name = name_of(v, "nat", i);
	about(v, "nat", nat->name);
	nsg_read_scope(v, &nat->scope);
	if (!nsg_read_address(nsg_get(v, "outside"), &nat->outside) && !nsg_get(v, "outside").n)
		nsg_missing(v, "outside");
	inside = nsg_get(v, "inside");
	nsg_read_prefixes(inside, &nat->inside, &nat->n_inside);
	for (uint32_t k = 0; k < nat->n_inside; k++)
		check_family(inside, &nat->inside[k], &nat->outside);
	nsg_read_addrs(nsg_get(v, "remote"), &nat->remote);
	source = nsg_get(v, "source_ports");
	s = nsg_text(source);
	if (s && (nsg_parse_range(s, &nat->source_ports) < 0 || !nat->source_ports.lo))
		nsg_error(source, "write a range like 20000-29999",
			  "\"%.40s\" is not a range of ports", s);
	ports = nsg_get(v, "ports");
	if (nsg_need_list(ports, NSG_MAX_PORTS))
		for (uint32_t k = 0; k < nsg_count(ports); k++) {
			struct nsg_nat_port *p =
				nsg_append(v.d, &nat->ports, &nat->n_ports, sizeof(*p));

			if (!p)
				return;
			read_nat_port(nsg_at(ports, k), nat, p);
		}
	if (!nat->n_inside && (source.n || !ports.n))
		nsg_missing(v, "inside");
	if (!ports.n && !source.n && nat->n_inside &&
	    (nat->n_inside > 1 || nat->inside->len != 128))
		nsg_error(inside, "write one address, or add source_ports",
			  "one address outside for several inside needs ports to tell them apart");
	v.d->about[0] = '\0';
}

void nsg_read_nats(struct nsg_node v)
{
	struct nsg_file *f = v.d->file;

	if (!nsg_need_list(v, NSG_MAX_LISTS))
		return;
	for (uint32_t i = 0; i < nsg_count(v); i++) {
		struct nsg_nat *nat = nsg_append(v.d, &f->nats, &f->n_nats, sizeof(*nat));

		if (!nat)
			return;
		read_nat(nsg_at(v, i), i, nat);
	}
}

/* ---- meters and tunnels ---- */

static void read_match(struct nsg_node v, struct nsg_extra *e)
{
	nsg_read_scope(v, &e->scope);
	read_direction(v, &e->in, &e->out);
	nsg_read_proto(nsg_get(v, "protocol"), &e->proto);
	read_side(v, "local", &e->local);
	read_side(v, "remote", &e->remote);
	nsg_check_ports(nsg_get(v, "protocol"), &e->proto, &e->local, &e->remote);
}

static void read_meter(struct nsg_node v, struct nsg_extra *e)
{
	static const char *const keys[] = {
		"name",	      "nics",	"networks",    "direction",    "protocol",
		"local",      "remote", "local_ports", "remote_ports", "meter",
		"limit_mbps", "mark",	"mirror",      NULL};

	nsg_keys(v, keys);
	read_match(v, e);
	e->meter = nsg_name(nsg_get(v, "meter"), "the meter's name");
	nsg_number(nsg_get(v, "limit_mbps"), 1, LAB_LINK_DEFAULT, &e->limit_mbps);
	e->has_mark = nsg_number(nsg_get(v, "mark"), 0, UINT32_MAX - 1, &e->mark);
	e->mirror = nsg_bool(nsg_get(v, "mirror"), false);
	if (!nsg_get(v, "meter").n && !nsg_get(v, "limit_mbps").n && !nsg_get(v, "mark").n &&
	    !e->mirror)
		nsg_error(v, "add meter: NAME, limit_mbps: N, mark: N or mirror: on",
			  "it does nothing");
}

static void read_tunnel(struct nsg_node v, struct nsg_extra *e)
{
	static const char *const keys[] = {"name",  "nics",   "networks",    "protocol",
					   "local", "remote", "local_ports", "remote_ports",
					   "vni",   "vtep",   NULL};

	nsg_keys(v, keys);
	read_match(v, e);
	e->encap = true;
	e->in = false; /* what comes out of a tunnel is unwrapped before it is judged */
	if (!nsg_number(nsg_get(v, "vni"), 0, 0xffffff, &e->vni) && !nsg_get(v, "vni").n)
		nsg_missing(v, "vni");
	if (!nsg_read_address(nsg_get(v, "vtep"), &e->vtep) && !nsg_get(v, "vtep").n)
		nsg_missing(v, "vtep");
}

void nsg_read_extras(struct nsg_node v, bool tunnels)
{
	struct nsg_file *f = v.d->file;
	struct nsg_extra **list = tunnels ? &f->tunnels : &f->meters;
	uint32_t *n = tunnels ? &f->n_tunnels : &f->n_meters;

	if (!nsg_need_list(v, NSG_MAX_LISTS))
		return;
	for (uint32_t i = 0; i < nsg_count(v); i++) {
		struct nsg_node item = nsg_at(v, i);
		struct nsg_extra *e = nsg_append(v.d, list, n, sizeof(*e));

		if (!e)
			return;
		e->name = "";
		e->line = nsg_line(item);
		if (!nsg_need_map(item))
			continue;
		e->name = name_of(item, tunnels ? "tunnel" : "meter", i);
		about(item, tunnels ? "tunnel" : "meter", e->name);
		if (tunnels)
			read_tunnel(item, e);
		else
			read_meter(item, e);
		v.d->about[0] = '\0';
	}
}
