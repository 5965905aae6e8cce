/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns networks and addresses: which subnets are possible, and who gets which address.
 *
 * Both families are handled as 16 bytes, an IPv4 address in the last four, so that "inside",
 * "overlap" and "the n-th host" are written once. A NIC's host number is the same in both
 * families: the first NIC on a network in the order of the file has number 4 (a cloud keeps
 * the first three for itself), the next 5, and so on; numbers that a given address uses up are
 * left out. Subnets of fewer than 16 addresses start at 1.
 */
#include "host/lab_internal.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_HOST	4
#define SMALL_HOST_BITS 4    /* below this many host bits, host numbers start at 1 */
#define TOP_MAX		4094 /* looking from above for a free number starts here in a large subnet */
#define IPV6_MIN_MTU	1280 /* RFC 8200 section 5 */

struct addr {
	uint8_t b[16];
};

static struct addr addr_from4(struct in_addr a)
{
	struct addr r = {{0}};

	memcpy(r.b + 12, &a, 4);
	return r;
}

static struct addr addr_from6(struct in6_addr a)
{
	struct addr r;

	memcpy(r.b, &a, 16);
	return r;
}

/* The lowest @bits bits of @a as a number, as far as 64 bits hold it. */
static uint64_t addr_low(const struct addr *a, unsigned int bits)
{
	uint64_t v = 0;

	for (int i = 8; i < 16; i++)
		v = v << 8 | a->b[i];
	return bits >= 64 ? v : v & ((1ull << bits) - 1);
}

/* True when the first 128 - @bits bits are equal. */
static bool addr_same_net(const struct addr *a, const struct addr *b, unsigned int bits)
{
	unsigned int whole = (128 - bits) / 8, rest = (128 - bits) % 8;

	return memcmp(a->b, b->b, whole) == 0 &&
	       (!rest || (a->b[whole] ^ b->b[whole]) >> (8 - rest) == 0);
}

static bool addr_low_is_zero(const struct addr *a, unsigned int bits)
{
	for (unsigned int i = 0; i < bits; i++)
		if (a->b[15 - i / 8] & 1u << i % 8)
			return false;
	return true;
}

/* @a with its lowest @bits bits cleared and @host there instead (host < 2^32). */
static struct addr addr_with_low(struct addr a, unsigned int bits, uint64_t host)
{
	for (unsigned int i = 0; i < bits; i++) {
		uint8_t mask = (uint8_t)(1u << i % 8);

		a.b[15 - i / 8] &= (uint8_t)~mask;
		if (i < 64 && host & 1ull << i)
			a.b[15 - i / 8] |= mask;
	}
	return a;
}

static void addr_print(int family, const struct addr *a, char *buf, socklen_t size)
{
	inet_ntop(family, family == AF_INET ? a->b + 12 : a->b, buf, size);
}

static int addr_parse(int family, const char *text, struct addr *a)
{
	memset(a, 0, sizeof(*a));
	return inet_pton(family, text, family == AF_INET ? a->b + 12 : a->b) == 1 ? 0 : -EINVAL;
}

/* One family's view of a network, so that the code below is for both. */
struct subnet {
	int family;
	bool on;
	struct addr addr;
	unsigned int bits; /* host bits */
};

static struct subnet subnet_of(const struct lab_net *net, int family)
{
	if (family == AF_INET)
		return (struct subnet){family, net->has4, addr_from4(net->subnet4),
				       32 - net->prefix4};
	return (struct subnet){family, net->has6, addr_from6(net->subnet6), 128 - net->prefix6};
}

static void subnet_set(struct lab_net *net, const struct subnet *s)
{
	unsigned int prefix = (s->family == AF_INET ? 32 : 128) - s->bits;
	char text[INET6_ADDRSTRLEN];

	addr_print(s->family, &s->addr, text, sizeof(text));
	if (s->family == AF_INET) {
		net->has4 = true;
		memcpy(&net->subnet4, s->addr.b + 12, 4);
		net->prefix4 = prefix;
		snprintf(net->cidr4, sizeof(net->cidr4), "%.15s/%u", text, prefix);
	} else {
		net->has6 = true;
		memcpy(&net->subnet6, s->addr.b, 16);
		net->prefix6 = prefix;
		snprintf(net->cidr6, sizeof(net->cidr6), "%s/%u", text, prefix);
	}
}

static bool overlap(const struct subnet *a, const struct subnet *b)
{
	return a->on && b->on && addr_same_net(&a->addr, &b->addr, MAX(a->bits, b->bits));
}

/* Why no guest can live there, or NULL. */
static const char *unusable(const struct subnet *s)
{
	static const struct {
		int family;
		const char *net;
		unsigned int bits;
		const char *why;
	} table[] = {
		{AF_INET, "0.0.0.0", 24, "0.0.0.0/8 means \"this host\""},
		{AF_INET, "127.0.0.0", 24, "127.0.0.0/8 is loopback"},
		{AF_INET, "224.0.0.0", 28, "224.0.0.0/4 is multicast"},
		{AF_INET, "240.0.0.0", 28, "240.0.0.0/4 is reserved"},
		{AF_INET6, "::", 120, "::/8 is reserved"},
		{AF_INET6, "fe80::", 118, "fe80::/10 is link-local: every NIC has such an address"},
		{AF_INET6, "ff00::", 120, "ff00::/8 is multicast"},
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(table); i++) {
		struct subnet t = {table[i].family, true, {{0}}, table[i].bits};

		addr_parse(t.family, table[i].net, &t.addr);
		if (t.family == s->family && overlap(&t, s))
			return table[i].why;
	}
	return NULL;
}

/* A given subnet. True when it is usable and stored in @s. */
static bool check_subnet(struct lab_doc *ld, const char *path, const char *text, struct subnet *s)
{
	unsigned int width = s->family == AF_INET ? 32 : 128, most = width - 2;
	const char *example = s->family == AF_INET ? "10.0.0.0/24" : "fd00::/64";
	const char *slash = strchr(text, '/'), *why;
	char host[INET6_ADDRSTRLEN], remedy[128];
	unsigned int prefix;

	snprintf(remedy, sizeof(remedy), "write it like %s, or none", example);
	if (!slash) {
		lab_doc_error(ld, path, remedy, "\"%s\" has no prefix length", text);
		return false;
	}
	if (slash - text >= (long)sizeof(host)) {
		lab_doc_error(ld, path, remedy, "\"%s\" is not a subnet", text);
		return false;
	}
	snprintf(host, sizeof(host), "%.*s", (int)(slash - text), text);
	if (addr_parse(s->family, host, &s->addr) < 0) {
		lab_doc_error(ld, path, remedy, "\"%s\" is not an IPv%d address", host,
			      s->family == AF_INET ? 4 : 6);
		return false;
	}
	if (!slash[1] || strspn(slash + 1, "0123456789") != strlen(slash + 1) ||
	    strlen(slash + 1) > 3 || (prefix = (unsigned int)atoi(slash + 1)) > width) {
		lab_doc_error(ld, path, remedy, "\"%s\" is not a prefix length", slash + 1);
		return false;
	}
	if (prefix < 8 || prefix > most) {
		snprintf(remedy, sizeof(remedy), "use a prefix length from 8 to %u", most);
		lab_doc_error(ld, path, remedy, "/%u leaves %s", prefix,
			      prefix < 8 ? "more addresses than a lab can mean"
					 : "no room for two guests");
		return false;
	}
	s->bits = width - prefix;
	if (!addr_low_is_zero(&s->addr, s->bits)) {
		struct addr net = addr_with_low(s->addr, s->bits, 0);

		addr_print(s->family, &net, host, sizeof(host));
		snprintf(remedy, sizeof(remedy), "write %s/%u", host, prefix);
		lab_doc_error(ld, path, remedy, "%s has host bits set", text);
		return false;
	}
	s->on = true;
	why = unusable(s);
	if (why) {
		snprintf(remedy, sizeof(remedy), "take a private one like %s", example);
		lab_doc_error(ld, path, remedy, "%s cannot be a subnet: %s", text, why);
		return false;
	}
	return true;
}

static void check_given(struct lab_doc *ld, unsigned int n, const struct file_net *f, int family,
			struct lab *lab)
{
	const char *text = family == AF_INET ? f->subnet : f->subnet6;
	struct lab_path path = lab_path("networks[%u].subnet%s", n, family == AF_INET ? "" : "6");
	struct subnet s = {.family = family};

	if (!text || strcmp(text, "none") == 0 || !check_subnet(ld, path.s, text, &s))
		return;
	for (unsigned int o = 0; o < n; o++) {
		struct subnet other = subnet_of(&lab->nets[o], family);

		if (!overlap(&s, &other))
			continue;
		lab_doc_error(ld, path.s, "choose another",
			      "%s overlaps %s of network %s (line %u)", text,
			      family == AF_INET ? lab->nets[o].cidr4 : lab->nets[o].cidr6,
			      lab->nets[o].name,
			      lab_doc_line(ld, lab_path("networks[%u].subnet%s", o,
							family == AF_INET ? "" : "6")
						       .s));
	}
	if (family == AF_INET6 && lab->nets[n].mtu < IPV6_MIN_MTU)
		lab_doc_error(ld, path.s, "raise the mtu to 1280, or write subnet6: none",
			      "IPv6 needs an MTU of 1280 and this network has %u",
			      lab->nets[n].mtu);
	subnet_set(&lab->nets[n], &s);
}

/* 10.0.N.0/24 and fd00:0:0:N::/64, N being the network's place, or the next that is free. */
static void assign_subnet(struct lab *lab, unsigned int n, int family)
{
	struct subnet s = {.family = family, .on = true, .bits = family == AF_INET ? 8 : 64};
	unsigned int o;

	for (unsigned int k = 0; k < 256; k++) {
		unsigned int third = (n + k) % 256;

		addr_parse(family, family == AF_INET ? "10.0.0.0" : "fd00::", &s.addr);
		s.addr.b[family == AF_INET ? 14 : 7] = (uint8_t)third;
		for (o = 0; o < lab->n_nets; o++) {
			struct subnet other = subnet_of(&lab->nets[o], family);

			if (overlap(&s, &other))
				break;
		}
		if (o == lab->n_nets) {
			subnet_set(&lab->nets[n], &s);
			return;
		}
	}
}

/* As DNS has them: labels of letters, digits and hyphens, joined by dots (RFC 1035 2.3.1). */
static bool domain_is_legal(const char *s)
{
	size_t label = 0;

	for (; *s; s++) {
		if (*s == '.') {
			if (!label || s[-1] == '-')
				return false;
			label = 0;
		} else if (isascii(*s) && (isalnum(*s) || (label && strchr("-_", *s)))) {
			label++;
		} else {
			return false;
		}
	}
	return label && s[-1] != '-';
}

static void check_domain(struct lab_doc *ld, unsigned int n, const char *domain, struct lab *lab)
{
	struct lab_path path = lab_path("networks[%u].domain", n);
	struct lab_net *net = &lab->nets[n];

	snprintf(net->domain, sizeof(net->domain), "%s", lab->name);
	if (!domain)
		return;
	if (strlen(domain) > LAB_DOMAIN_MAX)
		lab_doc_error(ld, path.s, "shorten it", "a domain has at most %d characters",
			      LAB_DOMAIN_MAX);
	else if (!domain_is_legal(domain))
		lab_doc_error(ld, path.s, "write it like lab or lab.example",
			      "\"%s\" is not a domain", domain);
	else
		snprintf(net->domain, sizeof(net->domain), "%s", domain);
}

/* What keeps @a from being a host's address of subnet @s. */
static bool no_host(const struct subnet *s, const struct addr *a)
{
	return !s->on || !addr_same_net(a, &s->addr, s->bits) || addr_low_is_zero(a, s->bits) ||
	       (s->family == AF_INET && addr_low(a, s->bits) == (1ull << s->bits) - 1);
}

/* When the subnets are known. */
static void check_gateway(struct lab_doc *ld, unsigned int n, const char *text, struct lab *lab)
{
	struct lab_path path = lab_path("networks[%u].gateway", n);
	struct lab_net *net = &lab->nets[n];
	struct subnet s = subnet_of(net, AF_INET);
	char remedy[128];
	struct addr a;

	if (!text || !strcmp(text, "none"))
		return;
	if (addr_parse(AF_INET, text, &a) < 0) {
		lab_doc_error(ld, path.s, "write an address, or none",
			      "\"%s\" is not an IPv4 address", text);
	} else if (no_host(&s, &a)) {
		snprintf(remedy, sizeof(remedy), "choose one in %s",
			 s.on ? net->cidr4 : "a subnet");
		lab_doc_error(ld, path.s, remedy, "%s is no host's address on network %s", text,
			      net->name);
	} else {
		addr_print(AF_INET, &a, net->gateway4, sizeof(net->gateway4));
	}
}

int lab_check_nets(struct lab_doc *ld, const struct file_lab *f, struct lab *lab)
{
	static const struct file_net one = {.name = (char *)"default"};
	const struct file_net *nets = f->networks_count ? f->networks : &one;

	lab->n_nets = f->networks_count ? f->networks_count : 1;
	lab->nets = calloc(lab->n_nets, sizeof(*lab->nets));
	if (!lab->nets)
		return -ENOMEM;
	for (unsigned int n = 0; n < lab->n_nets; n++) {
		struct lab_path path = lab_path("networks[%u].name", n);
		struct lab_net *net = &lab->nets[n];
		unsigned int o = 0;

		if (lab_check_name(ld, path.s, "the network's name", nets[n].name, LAB_NAME_MAX)) {
			while (o < n && strcmp(nets[o].name, nets[n].name) != 0)
				o++;
			if (o < n)
				lab_doc_error(ld, path.s, "give each network a name of its own",
					      "the network name \"%s\" is taken (line %u)",
					      nets[n].name,
					      lab_doc_line(ld, lab_path("networks[%u].name", o).s));
			snprintf(net->name, sizeof(net->name), "%s", nets[n].name);
		}
		net->mtu = lab_check_range(ld, lab_path("networks[%u].mtu", n).s, nets[n].mtu,
					   LAB_MTU_MIN, LAB_MTU_MAX, LAB_MTU_DEFAULT, "");
		net->dhcp = !nets[n].dhcp || *nets[n].dhcp == FILE_ON;
		check_domain(ld, n, nets[n].domain, lab);
		check_given(ld, n, &nets[n], AF_INET, lab);
		check_given(ld, n, &nets[n], AF_INET6, lab);
	}
	/* After the given ones, so that a default never takes what somebody asked for. */
	for (unsigned int n = 0; n < lab->n_nets; n++) {
		if (!nets[n].subnet)
			assign_subnet(lab, n, AF_INET);
		if (!nets[n].subnet6 && lab->nets[n].mtu >= IPV6_MIN_MTU)
			assign_subnet(lab, n, AF_INET6);
		check_gateway(ld, n, nets[n].gateway, lab);
	}
	return 0;
}

/* ---- addresses of NICs ---- */

static char *nic_ip(struct lab_nic *nic, int family, socklen_t *size)
{
	*size = family == AF_INET ? sizeof(nic->ip4) : sizeof(nic->ip6);
	return family == AF_INET ? nic->ip4 : nic->ip6;
}

static const char *file_ip(const struct file_lab *f, unsigned int v, unsigned int i, int family)
{
	if (!f->vms[v].nics)
		return NULL;
	return family == AF_INET ? f->vms[v].nics[i].ip : f->vms[v].nics[i].ip6;
}

/* Who before vms[v].nics[i] has the address, for the message; NULL: nobody. */
static struct lab_vm *taken(struct lab *lab, unsigned int v, unsigned int i, int family,
			    const char *ip, struct lab_nic **who)
{
	unsigned int net = lab->vms[v].nics[i].net;
	socklen_t size;

	for (unsigned int ov = 0; ov <= v; ov++)
		for (unsigned int oi = 0; oi < lab->vms[ov].n_nics; oi++) {
			struct lab_nic *o = &lab->vms[ov].nics[oi];

			if (ov == v && oi == i)
				return NULL;
			if (o->net == net && strcmp(nic_ip(o, family, &size), ip) == 0) {
				*who = o;
				return &lab->vms[ov];
			}
		}
	return NULL;
}

static void check_ip(struct lab_doc *ld, struct lab *lab, unsigned int v, unsigned int i,
		     int family, const char *text)
{
	struct lab_path path =
		lab_path("vms[%u].nics[%u].ip%s", v, i, family == AF_INET ? "" : "6");
	struct lab_nic *nic = &lab->vms[v].nics[i], *who;
	const struct lab_net *net = &lab->nets[nic->net];
	struct subnet s = subnet_of(net, family);
	const char *cidr = family == AF_INET ? net->cidr4 : net->cidr6;
	const struct lab_vm *owner;
	char remedy[128];
	struct addr a;
	socklen_t size;
	char *ip = nic_ip(nic, family, &size);
	uint64_t host;

	if (strchr(text, '/')) {
		lab_doc_error(ld, path.s, "write the address alone",
			      "\"%s\" has a prefix length, which is the network's", text);
		return;
	}
	if (addr_parse(family, text, &a) < 0) {
		lab_doc_error(ld, path.s, "write an address, or none",
			      "\"%s\" is not an IPv%d address", text, family == AF_INET ? 4 : 6);
		return;
	}
	if (!s.on) {
		lab_doc_error(ld, path.s, "give the network a subnet, or remove this key",
			      "network %s has no IPv%d subnet", net->name,
			      family == AF_INET ? 4 : 6);
		return;
	}
	if (!addr_same_net(&a, &s.addr, s.bits)) {
		snprintf(remedy, sizeof(remedy), "choose one in %s", cidr);
		lab_doc_error(ld, path.s, remedy, "%s is not in the subnet of network %s", text,
			      net->name);
		return;
	}
	host = addr_low(&a, s.bits);
	if (addr_low_is_zero(&a, s.bits) || (family == AF_INET && host == (1ull << s.bits) - 1)) {
		lab_doc_error(ld, path.s, "choose one between them", "%s is the %s address of %s",
			      text, host ? "broadcast" : "network's own", cidr);
		return;
	}
	if (family == AF_INET6 && nic->mtu < IPV6_MIN_MTU)
		lab_doc_error(ld, path.s, "raise the mtu to 1280, or remove this key",
			      "IPv6 needs an MTU of 1280 and this NIC has %u", nic->mtu);
	addr_print(family, &a, ip, size);
	owner = taken(lab, v, i, family, ip, &who);
	if (owner)
		lab_doc_error(ld, path.s, "choose another, or leave the key out",
			      "%s is already the address of %s/%s", ip, owner->name, who->name);
}

/* Is the address with this host number a NIC's, the gateway's, or the services'? */
static bool host_taken(struct lab *lab, unsigned int n, int family, uint64_t host)
{
	const struct lab_net *net = &lab->nets[n];
	struct subnet s = subnet_of(net, family);
	struct addr a = addr_with_low(s.addr, s.bits, host);
	char text[INET6_ADDRSTRLEN];
	socklen_t size;

	if (!s.on)
		return false;
	addr_print(family, &a, text, sizeof(text));
	if (!strcmp(text, family == AF_INET ? net->service4 : net->service6) ||
	    (family == AF_INET && !strcmp(text, net->gateway4)))
		return true;
	for (unsigned int v = 0; v < lab->n_vms; v++)
		for (unsigned int i = 0; i < lab->vms[v].n_nics; i++) {
			struct lab_nic *nic = &lab->vms[v].nics[i];

			if (nic->net == n && !strcmp(nic_ip(nic, family, &size), text))
				return true;
		}
	return false;
}

/* In either family: a NIC has the same number in both. */
static bool host_used(struct lab *lab, unsigned int net, uint64_t host)
{
	return host_taken(lab, net, AF_INET, host) || host_taken(lab, net, AF_INET6, host);
}

/* True when a NIC is to be given an address of this family. */
static bool wants(const struct file_lab *f, const struct lab *lab, unsigned int v, unsigned int i,
		  int family)
{
	const struct lab_nic *nic = &lab->vms[v].nics[i];
	const struct lab_net *net = &lab->nets[nic->net];

	if (file_ip(f, v, i, family))
		return false;
	return family == AF_INET ? net->has4 : net->has6 && nic->mtu >= IPV6_MIN_MTU;
}

static bool host_fits(const struct lab_net *net, int family, uint64_t host)
{
	struct subnet s = subnet_of(net, family);

	return s.bits >= 63 || host < (1ull << s.bits) - (family == AF_INET ? 1 : 0);
}

static void set_host(struct lab *lab, struct lab_nic *nic, int family, uint64_t host)
{
	struct subnet s = subnet_of(&lab->nets[nic->net], family);
	struct addr a = addr_with_low(s.addr, s.bits, host);
	socklen_t size;
	char *ip = nic_ip(nic, family, &size);

	addr_print(family, &a, ip, size);
}

static uint64_t first_host(const struct lab_net *net)
{
	struct subnet s4 = subnet_of(net, AF_INET), s6 = subnet_of(net, AF_INET6);

	if ((s4.on && s4.bits < SMALL_HOST_BITS) || (s6.on && s6.bits < SMALL_HOST_BITS))
		return 1;
	return FIRST_HOST;
}

static void too_small(struct lab_doc *ld, const struct lab *lab, unsigned int n, int family)
{
	const struct lab_net *net = &lab->nets[n];
	struct lab_path path = lab_path("networks[%u].subnet%s", n, family == AF_INET ? "" : "6");
	unsigned int guests = 0;

	for (unsigned int v = 0; v < lab->n_vms; v++)
		for (unsigned int i = 0; i < lab->vms[v].n_nics; i++)
			guests += lab->vms[v].nics[i].net == n;
	lab_doc_error(ld, path.s, "use a shorter prefix length, or fewer NICs on this network",
		      "%s is too small for the %u NICs on network %s",
		      family == AF_INET ? net->cidr4 : net->cidr6, guests, net->name);
}

static void assign_net(struct lab_doc *ld, const struct file_lab *f, struct lab *lab,
		       unsigned int n)
{
	static const int families[] = {AF_INET, AF_INET6};
	uint64_t host = first_host(&lab->nets[n]);
	bool full[2] = {false, false};

	for (unsigned int v = 0; v < lab->n_vms; v++)
		for (unsigned int i = 0; i < lab->vms[v].n_nics; i++) {
			struct lab_nic *nic = &lab->vms[v].nics[i];

			if (nic->net != n ||
			    (!wants(f, lab, v, i, AF_INET) && !wants(f, lab, v, i, AF_INET6)))
				continue;
			while (host_used(lab, n, host))
				host++;
			for (unsigned int k = 0; k < 2; k++) {
				if (!wants(f, lab, v, i, families[k]))
					continue;
				if (host_fits(&lab->nets[n], families[k], host))
					set_host(lab, nic, families[k], host);
				else if (!full[k])
					too_small(ld, lab, n, families[k]);
				full[k] |= !host_fits(&lab->nets[n], families[k], host);
			}
			host++;
		}
}

/*
 * The services' own address: host number 2, 3 or 1, which no guest gets by itself; in a subnet so
 * small that guests get those too, the last that is free.
 */
static void give_service(struct lab *lab, unsigned int n, int family)
{
	static const uint64_t wanted[] = {2, 3, 1};
	struct lab_net *net = &lab->nets[n];
	struct subnet s = subnet_of(net, family);
	uint64_t host = 0, top = s.bits >= 12 ? TOP_MAX : (1ull << s.bits) - 1;
	struct addr a;

	if (!s.on)
		return;
	for (unsigned int i = 0; s.bits >= SMALL_HOST_BITS && !host && i < ARRAY_SIZE(wanted); i++)
		if (!host_taken(lab, n, family, wanted[i]))
			host = wanted[i];
	for (; !host && top; top--)
		if (host_fits(net, family, top) && !host_taken(lab, n, family, top))
			host = top;
	if (!host)
		return;
	a = addr_with_low(s.addr, s.bits, host);
	if (family == AF_INET)
		addr_print(family, &a, net->service4, sizeof(net->service4));
	else
		addr_print(family, &a, net->service6, sizeof(net->service6));
}

void lab_assign_addresses(struct lab_doc *ld, const struct file_lab *f, struct lab *lab)
{
	static const int families[] = {AF_INET, AF_INET6};

	for (unsigned int v = 0; v < lab->n_vms; v++)
		for (unsigned int i = 0; i < lab->vms[v].n_nics; i++)
			for (unsigned int k = 0; k < 2; k++) {
				const char *text = file_ip(f, v, i, families[k]);

				if (text && strcmp(text, "none") != 0)
					check_ip(ld, lab, v, i, families[k], text);
			}
	for (unsigned int n = 0; n < lab->n_nets; n++) {
		assign_net(ld, f, lab, n);
		if (lab->nets[n].dhcp)
			for (unsigned int k = 0; k < 2; k++)
				give_service(lab, n, families[k]);
	}
}

/* ---- a NIC more ---- */

static bool address_taken(struct lab *lab, const struct lab_nic *nic, int family, const char *ip)
{
	socklen_t size;

	for (unsigned int v = 0; v < lab->n_vms; v++)
		for (unsigned int i = 0; i < lab->vms[v].n_nics; i++) {
			struct lab_nic *o = &lab->vms[v].nics[i];

			if (o->net == nic->net && !strcmp(nic_ip(o, family, &size), ip))
				return true;
		}
	return false;
}

static int give_address(struct lab *lab, struct lab_nic *nic, int family, const char *text,
			uint64_t host, char *why, size_t why_size)
{
	const struct lab_net *net = &lab->nets[nic->net];
	struct subnet s = subnet_of(net, family);
	int version = family == AF_INET ? 4 : 6;
	struct addr a;
	socklen_t size;
	char *ip = nic_ip(nic, family, &size);

	ip[0] = '\0';
	if (text && !strcmp(text, "none"))
		return 0;
	if (!text) {
		if (!s.on || (family == AF_INET6 && nic->mtu < IPV6_MIN_MTU))
			return 0;
		if (!host_fits(net, family, host)) {
			snprintf(why, why_size, "no IPv%d address is left on network %s", version,
				 net->name);
			return -ENOSPC;
		}
		set_host(lab, nic, family, host);
		return 0;
	}
	if (addr_parse(family, text, &a) < 0) {
		snprintf(why, why_size, "\"%.60s\" is not an IPv%d address", text, version);
		return -EINVAL;
	}
	if (no_host(&s, &a)) {
		snprintf(why, why_size, "%s is no host's address on network %s", text, net->name);
		return -EINVAL;
	}
	if (family == AF_INET6 && nic->mtu < IPV6_MIN_MTU) {
		snprintf(why, why_size, "IPv6 needs an MTU of 1280 and this NIC has %u", nic->mtu);
		return -EINVAL;
	}
	addr_print(family, &a, ip, size);
	if (address_taken(lab, nic, family, ip)) {
		snprintf(why, why_size, "%s is another NIC's address", ip);
		return -EEXIST;
	}
	if (!strcmp(ip, family == AF_INET ? net->service4 : net->service6)) {
		snprintf(why, why_size, "%s is the address of network %s's services", ip,
			 net->name);
		return -EEXIST;
	}
	return 0;
}

int lab_give_addresses(struct lab *lab, struct lab_nic *nic, const char *ip4, const char *ip6,
		       char *why, size_t why_size)
{
	uint64_t host = first_host(&lab->nets[nic->net]);
	int rc;

	while (host_used(lab, nic->net, host))
		host++;
	rc = give_address(lab, nic, AF_INET, ip4, host, why, why_size);
	return rc ? rc : give_address(lab, nic, AF_INET6, ip6, host, why, why_size);
}
