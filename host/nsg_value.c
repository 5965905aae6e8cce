/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the values of policy files: addresses, tags, ports and protocols, as they are written. */
#include "host/nsg_internal.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const nsg_directions[] = {"outbound", "inbound", NULL};
static_assert(ARRAY_SIZE(nsg_directions) == POLICY_N_DIRS + 1, "every direction has a name");
static_assert(POLICY_OUT == 0 && POLICY_IN == 1, "in this order");
const char *const nsg_verdicts[] = {"allow", "deny", NULL};
static_assert(POLICY_ALLOW == 0 && POLICY_DENY == 1, "in this order");

static const char *const tags[] = {
	[NSG_ADDR_PREFIX] = "",
	[NSG_ADDR_VNET] = "VirtualNetwork",
	[NSG_ADDR_LB] = "AzureLoadBalancer",
	[NSG_ADDR_INTERNET] = "Internet",
	[NSG_ADDR_ASG] = "",
};
static_assert(ARRAY_SIZE(tags) == NSG_N_ADDR_KINDS, "every kind has an entry");

const char *nsg_tag_name(enum nsg_addr_kind kind)
{
	return tags[kind];
}

static const struct {
	const char *word;
	uint8_t n, protos[2];
} protocols[] = {
	{"any", 0, {0}},
	{"*", 0, {0}},
	{"tcp", 1, {IPPROTO_TCP}},
	{"udp", 1, {IPPROTO_UDP}},
	{"icmp", 2, {IPPROTO_ICMP, IPPROTO_ICMPV6}},
	{"esp", 1, {IPPROTO_ESP}},
	{"ah", 1, {IPPROTO_AH}},
};

/* ---- addresses ---- */

static const uint8_t mapped[12] = {[10] = 0xff, 0xff};

static bool has_host_bits(const struct policy_prefix *p)
{
	for (unsigned int i = p->len; i < 128; i++)
		if (p->addr[i / 8] & 0x80u >> i % 8)
			return true;
	return false;
}

static void clear_host_bits(struct policy_prefix *p)
{
	for (unsigned int i = p->len; i < 128; i++)
		p->addr[i / 8] &= (uint8_t) ~(0x80u >> i % 8);
}

void nsg_prefix_print(const struct policy_prefix *p, char *buf, size_t size)
{
	bool four = p->len >= 96 && memcmp(p->addr, mapped, sizeof(mapped)) == 0;
	char text[INET6_ADDRSTRLEN];
	unsigned int len = four ? p->len - 96u : p->len, full = four ? 32 : 128;

	inet_ntop(four ? AF_INET : AF_INET6, p->addr + (four ? 12 : 0), text, sizeof(text));
	if (len == full)
		snprintf(buf, size, "%s", text);
	else
		snprintf(buf, size, "%s/%u", text, len);
}

int nsg_parse_prefix(const char *text, struct policy_prefix *p, char *why, size_t why_size,
		     char *remedy, size_t remedy_size)
{
	char host[INET6_ADDRSTRLEN + 1], fixed[INET6_ADDRSTRLEN + 8];
	const char *slash = strchr(text, '/');
	size_t n = slash ? (size_t)(slash - text) : strlen(text);
	unsigned int width, len;

	memset(p, 0, sizeof(*p));
	snprintf(remedy, remedy_size, "write 10.0.0.0/24, 10.0.0.4, fd00::/64 or fd00::4");
	snprintf(why, why_size, "\"%.60s\" is not an address", text);
	if (n >= sizeof(host))
		return -EINVAL;
	snprintf(host, sizeof(host), "%.*s", (int)n, text);
	if (inet_pton(AF_INET, host, p->addr + 12) == 1) {
		memcpy(p->addr, mapped, sizeof(mapped));
		width = 32;
	} else if (inet_pton(AF_INET6, host, p->addr) == 1) {
		width = 128;
	} else {
		return -EINVAL;
	}
	if (width == 128 && memcmp(p->addr, mapped, sizeof(mapped)) == 0) {
		snprintf(remedy, remedy_size, "write it as an IPv4 address");
		return -EINVAL;
	}
	len = width;
	if (slash) {
		if (!slash[1] || strlen(slash + 1) > 3 ||
		    strspn(slash + 1, "0123456789") != strlen(slash + 1) ||
		    (len = (unsigned int)atoi(slash + 1)) > width) {
			snprintf(why, why_size, "\"%.40s\" is not a prefix length", slash + 1);
			snprintf(remedy, remedy_size,
				 "write a number from 0 to %u behind the slash", width);
			return -EINVAL;
		}
	}
	p->len = (uint8_t)(len + 128 - width);
	if (!has_host_bits(p))
		return 0;
	clear_host_bits(p);
	nsg_prefix_print(p, fixed, sizeof(fixed));
	snprintf(why, why_size, "%.60s has host bits set", text);
	snprintf(remedy, remedy_size, "write %s, or %s for that one address", fixed, host);
	return -EINVAL;
}

static struct nsg_addr *add_addr(struct nsg_node v, struct nsg_side *side, enum nsg_addr_kind kind)
{
	struct nsg_addr *a;

	if (side->n_addrs == NSG_MAX_PREFIXES) {
		nsg_error(v, "split the rule", "more than the %d addresses that a rule can have",
			  NSG_MAX_PREFIXES);
		return NULL;
	}
	a = nsg_append(v.d, &side->addrs, &side->n_addrs, sizeof(*a));
	if (a)
		a->kind = kind;
	return a;
}

static enum nsg_addr_kind tag_of(const char *s)
{
	static const struct {
		const char *word;
		enum nsg_addr_kind kind;
	} words[] = {
		{"VirtualNetwork", NSG_ADDR_VNET},  {"VIRTUAL_NETWORK", NSG_ADDR_VNET},
		{"AzureLoadBalancer", NSG_ADDR_LB}, {"AZURE_LOADBALANCER", NSG_ADDR_LB},
		{"Internet", NSG_ADDR_INTERNET},
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(words); i++)
		if (strcasecmp(words[i].word, s) == 0)
			return words[i].kind;
	return NSG_ADDR_PREFIX;
}

/* What stands for nothing else: a word that begins with a letter and has no colon. */
static bool looks_like_tag(const char *s)
{
	return ((*s | 0x20) >= 'a' && (*s | 0x20) <= 'z') && !strchr(s, ':');
}

static void read_addr(struct nsg_node v, const char *s, struct nsg_side *side)
{
	enum nsg_addr_kind kind = tag_of(s);
	char why[160], remedy[160];
	struct policy_prefix p;
	struct nsg_addr *a;

	if (kind != NSG_ADDR_PREFIX) {
		add_addr(v, side, kind);
		return;
	}
	if (strncmp(s, "asg:", 4) == 0 && s[4]) {
		a = add_addr(v, side, NSG_ADDR_ASG);
		if (a)
			a->asg = arena_strdup(&v.d->file->mem, s + 4);
		return;
	}
	if (nsg_parse_prefix(s, &p, why, sizeof(why), remedy, sizeof(remedy)) == 0) {
		a = add_addr(v, side, NSG_ADDR_PREFIX);
		if (a)
			a->prefix = p;
		return;
	}
	if (looks_like_tag(s))
		nsg_error(v,
			  "write VirtualNetwork, AzureLoadBalancer, Internet, or the prefixes "
			  "that it stands for",
			  "the service tag \"%.80s\" is not known here", s);
	else
		nsg_error(v, remedy, "%s", why);
}

static bool is_any(const char *s)
{
	return strcmp(s, "*") == 0 || strcasecmp(s, "any") == 0;
}

void nsg_read_addrs(struct nsg_node v, struct nsg_side *side)
{
	uint32_t n = nsg_count(v);

	if (!nsg_budget(v, n))
		return;
	for (uint32_t i = 0; i < n; i++) {
		struct nsg_node item = nsg_at(v, i);
		const char *s = nsg_text(item);

		if (!s)
			continue;
		if (!is_any(s)) {
			read_addr(item, s, side);
			if (side->n_addrs == NSG_MAX_PREFIXES && i + 1 < n) {
				add_addr(item, side, NSG_ADDR_PREFIX);
				return;
			}
		} else if (n > 1) {
			nsg_error(item, "remove the others, or this",
				  "\"%s\" among other addresses", s);
		}
	}
}

/* "/subscriptions/.../applicationSecurityGroups/web" is "web". */
static const char *last_part(const char *id)
{
	const char *slash = strrchr(id, '/');

	return slash ? slash + 1 : id;
}

void nsg_read_asgs(struct nsg_node v, struct nsg_side *side, bool ids)
{
	uint32_t n = nsg_count(v);

	if (!nsg_budget(v, n))
		return;
	for (uint32_t i = 0; i < n; i++) {
		struct nsg_node item = nsg_at(v, i);
		const char *s;
		struct nsg_addr *a;

		if (ids && nsg_is_map(item)) {
			if (!nsg_get(item, "id").n) {
				nsg_missing(item, "id");
				continue;
			}
			item = nsg_get(item, "id");
		}
		s = nsg_text(item);
		if (!s)
			continue;
		s = ids ? last_part(s) : s;
		if (!*s || strchr("[(", *s) || strpbrk(s, "()'\"")) {
			nsg_error(item, "name the group", "\"%.80s\" is not the name of a group",
				  s);
			continue;
		}
		a = add_addr(item, side, NSG_ADDR_ASG);
		if (!a)
			return;
		a->asg = arena_strdup(&v.d->file->mem, s);
	}
}

bool nsg_read_address(struct nsg_node v, struct policy_prefix *p)
{
	const char *s = nsg_text(v);
	char why[160], remedy[160];

	if (!s)
		return false;
	if (nsg_parse_prefix(s, p, why, sizeof(why), remedy, sizeof(remedy)) < 0) {
		nsg_error(v, remedy, "%s", why);
		return false;
	}
	if (p->len == 128)
		return true;
	nsg_error(v, "write one address, without a prefix length", "%.60s is a prefix", s);
	return false;
}

void nsg_read_prefixes(struct nsg_node v, struct policy_prefix **list, uint32_t *n)
{
	uint32_t count = nsg_count(v);

	if (count > NSG_MAX_PREFIXES) {
		nsg_error(v, "write larger prefixes", "%u addresses, at most %d are possible",
			  count, NSG_MAX_PREFIXES);
		return;
	}
	for (uint32_t i = 0; nsg_budget(v, 1) && i < count; i++) {
		struct nsg_node item = nsg_at(v, i);
		const char *s = nsg_text(item);
		char why[160], remedy[160];
		struct policy_prefix p, *slot;

		if (!s)
			continue;
		if (nsg_parse_prefix(s, &p, why, sizeof(why), remedy, sizeof(remedy)) < 0) {
			nsg_error(item, remedy, "%s", why);
			continue;
		}
		slot = nsg_append(v.d, list, n, sizeof(*slot));
		if (!slot)
			return;
		*slot = p;
		/* All of IPv6 in two halves: a length of 0 would be all of IPv4 too. */
		if (p.len)
			continue;
		slot->len = 1;
		slot = nsg_append(v.d, list, n, sizeof(*slot));
		if (!slot)
			return;
		*slot = (struct policy_prefix){.addr = {0x80}, .len = 1};
	}
}

/* ---- ports and protocols ---- */

int nsg_parse_range(const char *text, struct policy_range *r)
{
	const char *dash = strchr(text, '-');
	size_t n = strspn(text, "0123456789");
	unsigned long lo, hi;

	if (!n || n > 5 || (dash ? text + n != dash : text[n]))
		return -EINVAL;
	lo = hi = strtoul(text, NULL, 10);
	if (dash) {
		n = strspn(dash + 1, "0123456789");
		if (!n || n > 5 || dash[1 + n])
			return -EINVAL;
		hi = strtoul(dash + 1, NULL, 10);
	}
	if (hi > 65535 || lo > hi)
		return -EINVAL;
	*r = (struct policy_range){(uint16_t)lo, (uint16_t)hi};
	return 0;
}

void nsg_read_ports(struct nsg_node v, struct nsg_side *side)
{
	uint32_t n = nsg_count(v);

	if (!nsg_budget(v, n))
		return;
	if (n > NSG_MAX_PORTS) {
		nsg_error(v, "write larger ranges, or split the rule",
			  "%u port ranges, at most %d are possible", n, NSG_MAX_PORTS);
		return;
	}
	for (uint32_t i = 0; i < n; i++) {
		struct nsg_node item = nsg_at(v, i);
		const char *s = nsg_text(item);
		struct policy_range r, *slot;

		if (!s)
			continue;
		if (is_any(s)) {
			if (n > 1)
				nsg_error(item, "remove the others, or this",
					  "\"%s\" among other ports", s);
			continue;
		}
		if (nsg_parse_range(s, &r) < 0) {
			nsg_error(item, "write 22, 1000-2000 or \"*\"; ports are 0 to 65535",
				  "\"%.40s\" is not a port or a range of ports", s);
			continue;
		}
		slot = nsg_append(v.d, &side->ports, &side->n_ports, sizeof(*slot));
		if (!slot)
			return;
		*slot = r;
	}
}

void nsg_read_proto(struct nsg_node v, struct nsg_proto *proto)
{
	const char *s = nsg_text(v);
	size_t digits;

	memset(proto, 0, sizeof(*proto));
	if (!s)
		return;
	for (unsigned int i = 0; i < ARRAY_SIZE(protocols); i++)
		if (strcasecmp(protocols[i].word, s) == 0) {
			proto->n_protos = protocols[i].n;
			memcpy(proto->protos, protocols[i].protos, sizeof(proto->protos));
			return;
		}
	digits = strspn(s, "0123456789");
	if (digits && digits <= 3 && !s[digits] && atoi(s) <= 255) {
		proto->n_protos = 1;
		proto->protos[0] = (uint8_t)atoi(s);
		return;
	}
	nsg_error(v, "write tcp, udp, icmp, esp, ah, any, or a number from 0 to 255",
		  "\"%.40s\" is not a protocol", s);
}

void nsg_proto_print(const struct nsg_proto *p, char *buf, size_t size)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(protocols); i++)
		if (protocols[i].n == p->n_protos &&
		    memcmp(protocols[i].protos, p->protos, sizeof(p->protos)) == 0) {
			snprintf(buf, size, "%s", protocols[i].word);
			return;
		}
	snprintf(buf, size, "%u", p->protos[0]);
}

void nsg_check_ports(struct nsg_node v, const struct nsg_proto *proto, const struct nsg_side *a,
		     const struct nsg_side *b)
{
	char name[16];

	if (!a->n_ports && !b->n_ports)
		return;
	if (!proto->n_protos || proto->protos[0] == IPPROTO_TCP || proto->protos[0] == IPPROTO_UDP)
		return;
	nsg_proto_print(proto, name, sizeof(name));
	nsg_error(v, "write \"*\" for its ports, or tcp or udp",
		  "protocol %s has no ports, but some are given", name);
}

void nsg_read_decision(struct nsg_node v, uint32_t min, uint32_t max, struct nsg_rule *r)
{
	int w;

	if (!nsg_get(v, "priority").n)
		nsg_missing(v, "priority");
	nsg_number(nsg_get(v, "priority"), min, max, &r->priority);
	w = nsg_word(nsg_get(v, "direction"), nsg_directions);
	if (w == -1)
		nsg_missing(v, "direction");
	r->dir = w < 0 ? POLICY_IN : (enum policy_dir)w;
	w = nsg_word(nsg_get(v, "access"), nsg_verdicts);
	if (w == -1)
		nsg_missing(v, "access");
	r->verdict = w < 0 ? POLICY_DENY : (enum policy_verdict)w;
}
