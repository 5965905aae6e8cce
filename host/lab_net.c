/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns networks: which subnets are possible, their defaults, domains and gateways. */
#include "host/lab_internal.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/lab_addr.h"

/* Why no guest can live there, or NULL. */
static const char *unusable(const struct lab_subnet *s)
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
		struct lab_subnet t = {table[i].family, true, {{0}}, table[i].bits};

		lab_addr_parse(t.family, table[i].net, &t.addr);
		if (t.family == s->family && lab_subnet_overlap(&t, s))
			return table[i].why;
	}
	return NULL;
}

/* A given subnet. True when it is usable and stored in @s. */
bool lab_check_subnet(struct lab_doc *ld, const char *path, const char *text, struct lab_subnet *s)
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
	if (lab_addr_parse(s->family, host, &s->addr) < 0) {
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
	if (!lab_addr_low_is_zero(&s->addr, s->bits)) {
		struct lab_addr net = lab_addr_with_low(s->addr, s->bits, 0);

		lab_addr_print(s->family, &net, host, sizeof(host));
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
	struct lab_subnet s = {.family = family};

	if (!text || strcmp(text, "none") == 0 || !lab_check_subnet(ld, path.s, text, &s))
		return;
	for (unsigned int o = 0; o < n; o++) {
		struct lab_subnet other = lab_subnet_of(&lab->nets[o], family);

		if (!lab_subnet_overlap(&s, &other))
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
	lab_subnet_set(&lab->nets[n], &s);
}

/*
 * 10.0.N.0/24 and fd00:0:0:N::/64, N being the network's place, or the next that is free. Of a
 * routed network each host has a part: 10.100+N.0.0/16.
 */
static void assign_subnet(struct lab *lab, unsigned int n, int family)
{
	bool parts = family == AF_INET && lab->nets[n].mode == LAB_MODE_ROUTED;
	struct lab_subnet s = {.family = family, .on = true, .bits = family == AF_INET ? 8 : 64};
	unsigned int o;

	if (parts)
		s.bits = 16;

	for (unsigned int k = 0; k < 256; k++) {
		unsigned int number = (n + k) % 256;

		lab_addr_parse(family, family == AF_INET ? "10.0.0.0" : "fd00::", &s.addr);
		if (parts)
			s.addr.b[13] = (uint8_t)(100 + number);
		else
			s.addr.b[family == AF_INET ? 14 : 7] = (uint8_t)number;
		for (o = 0; o < lab->n_nets; o++) {
			struct lab_subnet other = lab_subnet_of(&lab->nets[o], family);

			if (lab_subnet_overlap(&s, &other))
				break;
		}
		if (o == lab->n_nets) {
			lab_subnet_set(&lab->nets[n], &s);
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

/* When the subnets are known. */
static void check_gateway(struct lab_doc *ld, unsigned int n, const char *text, struct lab *lab)
{
	struct lab_path path = lab_path("networks[%u].gateway", n);
	struct lab_net *net = &lab->nets[n];
	struct lab_subnet s = lab_subnet_of(net, AF_INET);
	char remedy[128];
	struct lab_addr a;

	if (!text || !strcmp(text, "none"))
		return;
	if (lab_addr_parse(AF_INET, text, &a) < 0) {
		lab_doc_error(ld, path.s, "write an address, or none",
			      "\"%s\" is not an IPv4 address", text);
	} else if (lab_subnet_no_host(&s, &a)) {
		snprintf(remedy, sizeof(remedy), "choose one in %s",
			 s.on ? net->cidr4 : "a subnet");
		lab_doc_error(ld, path.s, remedy, "%s is no host's address on network %s", text,
			      net->name);
	} else {
		lab_addr_print(AF_INET, &a, net->gateway4, sizeof(net->gateway4));
	}
}

static void check_mtu(struct lab_doc *ld, unsigned int n, const uint32_t *given, struct lab *lab)
{
	struct lab_path path = lab_path("networks[%u].mtu", n);
	struct lab_net *net = &lab->nets[n];
	uint32_t most = lab_mode_mtu(lab, net);
	char remedy[96];

	net->mtu = lab_check_range(ld, path.s, given, LAB_MTU_MIN, LAB_MTU_MAX,
				   MIN(most, LAB_MTU_DEFAULT), "");
	if (net->mode != LAB_MODE_VXLAN || net->mtu <= most)
		return;
	snprintf(remedy, sizeof(remedy), "lower it to %u, or raise fabric.mtu", most);
	lab_doc_error(ld, path.s, remedy,
		      "packets of %u bytes do not fit into VXLAN between hosts with an MTU of %u",
		      net->mtu, lab->fabric.mtu);
}

int lab_check_nets(struct lab_doc *ld, const struct file_lab *f, struct lab *lab)
{
	static const struct file_net one = {.name = (char *)"default"};
	const struct file_net *nets = f->networks_count ? f->networks : &one;

	lab->n_nets = f->networks_count ? f->networks_count : 1;
	lab->views = calloc((size_t)(1 + lab->fabric.n_hosts) * lab->n_nets, sizeof(*lab->nets));
	if (!lab->views)
		return -ENOMEM;
	lab_view(lab, -1);
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
		lab_check_mode(ld, f, n, lab);
		check_mtu(ld, n, nets[n].mtu, lab);
		lab_check_type(ld, f, n, lab);
		/* On somebody's LAN others would get their addresses from us. */
		net->dhcp = nets[n].dhcp ? *nets[n].dhcp == FILE_ON
					 : net->type != LAB_NET_EXTERNAL;
		net->mbps = lab_check_range(ld, lab_path("networks[%u].mbps", n).s, nets[n].mbps, 0,
					    LAB_RATE_MAX, 0, " Mbit/s");
		check_domain(ld, n, nets[n].domain, lab);
		check_given(ld, n, &nets[n], AF_INET, lab);
		check_given(ld, n, &nets[n], AF_INET6, lab);
	}
	/* After the given ones, so that a default never takes what somebody asked for. */
	for (unsigned int n = 0; n < lab->n_nets; n++) {
		if (!nets[n].subnet && lab_mode_has(lab, &lab->nets[n], AF_INET))
			assign_subnet(lab, n, AF_INET);
		if (!nets[n].subnet6 && lab->nets[n].mtu >= IPV6_MIN_MTU &&
		    lab_mode_has(lab, &lab->nets[n], AF_INET6))
			assign_subnet(lab, n, AF_INET6);
		if (lab->nets[n].mode != LAB_MODE_ROUTED)
			check_gateway(ld, n, nets[n].gateway, lab);
		lab_check_uplink(ld, f, n, lab);
	}
	lab_check_parts(ld, f, lab);
	return 0;
}
