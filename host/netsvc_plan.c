/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns what a network's dnsmasq is told: addresses, its command line, lines of its files. */
#include "host/netsvc_internal.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

#define MAX_ARGS       64
#define POOL_MAX       128 /* addresses for strangers: a guest cannot use up the lease table */
#define LEASES_MAX     4096
#define SMALL_BITS     4    /* below this many host bits guests start at number 1 (lab_net.c) */
#define TOP_MAX	       4094 /* looking for a free number starts here in a large subnet */
#define RA_INTERVAL_S  600
#define ENTERPRISE_DOC 32473 /* IANA's number for documentation, RFC 5612 */

/* FNV-1a, 32 bits. */
static uint32_t hash(uint32_t h, const char *s)
{
	do {
		h ^= (unsigned char)*s;
		h *= 0x01000193u;
	} while (*s++);
	return h;
}

/* ---- addresses ---- */

/* The @host-th address of a subnet (host < 2^bits). */
static struct in_addr host4(const struct lab_net *net, uint32_t host)
{
	return (struct in_addr){htonl(ntohl(net->subnet4.s_addr) + host)};
}

static struct in6_addr host6(const struct lab_net *net, uint32_t host)
{
	struct in6_addr a = net->subnet6;

	for (unsigned int i = 0; i < 4; i++)
		a.s6_addr[15 - i] |= (uint8_t)(host >> 8 * i);
	return a;
}

static bool host_free(const struct lab *lab, unsigned int net, int family, uint32_t host)
{
	char text[INET6_ADDRSTRLEN];
	struct in_addr a4 = host4(&lab->nets[net], host);
	struct in6_addr a6 = host6(&lab->nets[net], host);

	inet_ntop(family, family == AF_INET ? (void *)&a4 : (void *)&a6, text, sizeof(text));
	for (unsigned int v = 0; v < lab->n_vms; v++)
		for (unsigned int i = 0; i < lab->vms[v].n_nics; i++) {
			const struct lab_nic *nic = &lab->vms[v].nics[i];

			if (nic->net == net &&
			    !strcmp(family == AF_INET ? nic->ip4 : nic->ip6, text))
				return false;
		}
	return true;
}

/*
 * A number for the services: 2, 3 or 1, which the lab gives to no guest by itself, in a subnet so
 * small that it does the last that is free. 0: none.
 */
static uint32_t pick(const struct lab *lab, unsigned int net, int family)
{
	static const uint32_t wanted[] = {2, 3, 1};
	const struct lab_net *n = &lab->nets[net];
	unsigned int bits = family == AF_INET ? 32 - n->prefix4 : 128 - n->prefix6;
	uint32_t top = bits >= 12 ? TOP_MAX : (1u << bits) - (family == AF_INET ? 2 : 1);

	if (bits >= SMALL_BITS)
		for (unsigned int i = 0; i < ARRAY_SIZE(wanted); i++)
			if (host_free(lab, net, family, wanted[i]))
				return wanted[i];
	while (top && !host_free(lab, net, family, top))
		top--;
	return top;
}

static void plan_pool(const struct lab_net *net, struct netsvc_plan *plan)
{
	unsigned int bits = 32 - net->prefix4;
	uint32_t base = ntohl(net->subnet4.s_addr), n;

	if (bits < SMALL_BITS)
		return;
	/* The upper half, or its end: guests are numbered from below. */
	n = MIN(POOL_MAX, 1u << (bits - 1));
	plan->pool4 = true;
	plan->last4 = base + (uint32_t)((1ull << bits) - 2);
	plan->first4 = plan->last4 - n + 2;
}

int netsvc_plan(const struct lab *lab, unsigned int net, struct netsvc_plan *plan)
{
	const struct lab_net *n = &lab->nets[net];
	uint32_t id = hash(hash(0x811c9dc5u, lab->name), n->name), host;
	static const char *const reserved[] = {"lo", "all", "default"};

	memset(plan, 0, sizeof(*plan));
	snprintf(plan->ifname, sizeof(plan->ifname), "%.15s", n->name);
	for (unsigned int i = 0; i < ARRAY_SIZE(reserved); i++)
		if (!strcmp(n->name, reserved[i]))
			snprintf(plan->ifname, sizeof(plan->ifname), "net-%.11s", n->name);
	memcpy(plan->mac, (uint8_t[]){0x02, 0x15}, 2);
	for (unsigned int i = 0; i < 4; i++)
		plan->mac[2 + i] = (uint8_t)(id >> 8 * (3 - i));
	plan->mtu = n->mtu;
	snprintf(plan->domain, sizeof(plan->domain), "%s", n->domain);
	if (!n->has4 && !n->has6)
		return -EDESTADDRREQ;
	if (n->has4) {
		host = pick(lab, net, AF_INET);
		if (!host)
			return -EADDRNOTAVAIL;
		plan->has4 = true;
		plan->ip4 = host4(n, host);
		plan->subnet4 = n->subnet4;
		plan->prefix4 = n->prefix4;
		plan_pool(n, plan);
	}
	if (n->has6) {
		host = pick(lab, net, AF_INET6);
		if (!host)
			return -EADDRNOTAVAIL;
		plan->has6 = true;
		plan->ip6 = host6(n, host);
		plan->subnet6 = n->subnet6;
		plan->prefix6 = n->prefix6;
	}
	return 0;
}

/* ---- the command line ---- */

struct args {
	char **v;
	unsigned int n;
	bool failed;
};

static void add(struct args *a, const char *fmt, ...) PRINTF_LIKE(2, 3);

static void add(struct args *a, const char *fmt, ...)
{
	va_list ap;

	if (a->failed || a->n + 1 >= MAX_ARGS) {
		a->failed = true;
		return;
	}
	va_start(ap, fmt);
	if (vasprintf(&a->v[a->n], fmt, ap) < 0) {
		a->v[a->n] = NULL;
		a->failed = true;
	} else {
		a->n++;
	}
	va_end(ap);
}

static void args_dhcp4(struct args *a, const struct netsvc_plan *p)
{
	struct in_addr first = {htonl(p->first4)}, last = {htonl(p->last4)};
	struct in_addr mask = {htonl(~0u << (32 - p->prefix4))};
	char subnet[INET_ADDRSTRLEN], netmask[INET_ADDRSTRLEN];
	char from[INET_ADDRSTRLEN], to[INET_ADDRSTRLEN];

	inet_ntop(AF_INET, &p->subnet4, subnet, sizeof(subnet));
	inet_ntop(AF_INET, &mask, netmask, sizeof(netmask));
	inet_ntop(AF_INET, &first, from, sizeof(from));
	inet_ntop(AF_INET, &last, to, sizeof(to));
	if (p->pool4)
		add(a, "--dhcp-range=%s,%s,%s,1h", from, to, netmask);
	else
		add(a, "--dhcp-range=%s,static,%s,1h", subnet, netmask);
	add(a, "--dhcp-option=option:mtu,%u", p->mtu);
	/* Without this line dnsmasq names itself, and it forwards nothing. */
	add(a, "--dhcp-option=option:router");
}

static void args_dhcp6(struct args *a, const struct netsvc_plan *p)
{
	char subnet[INET6_ADDRSTRLEN];

	inet_ntop(AF_INET6, &p->subnet6, subnet, sizeof(subnet));
	/* No "slaac": a guest has the address that the lab says, and no second one. */
	add(a, "--dhcp-range=%s,static,%u,infinite", subnet, p->prefix6);
	/* Strangers get no answer, so that a refusal always means a guest (netsvc.c). */
	add(a, "--dhcp-ignore=tag:dhcpv6,tag:!known");
	add(a, "--enable-ra");
	/* The MTU option; a router lifetime of 0: no default route. */
	add(a, "--ra-param=%s,mtu:%u,%d,0", p->ifname, p->mtu, RA_INTERVAL_S);
	/* The same after a restart, else clients would not know the server again. */
	add(a, "--dhcp-duid=%d,%02x:%02x:%02x:%02x:%02x:%02x", ENTERPRISE_DOC, p->mac[0], p->mac[1],
	    p->mac[2], p->mac[3], p->mac[4], p->mac[5]);
}

char **netsvc_args(const struct netsvc_plan *p, const char *program)
{
	struct args a = {.v = calloc(MAX_ARGS, sizeof(char *))};

	if (!a.v)
		return NULL;
	add(&a, "%s", program);
	/* Nothing of the machine's own configuration, nothing left behind. */
	add(&a, "--conf-file=/dev/null");
	add(&a, "--keep-in-foreground");
	add(&a, "--pid-file=");
	add(&a, "--leasefile-ro");
	add(&a, "--log-facility=-");
	/* What a guest asks is no news. Of DHCPv6 the refusals are wanted (netsvc.c). */
	add(&a, "--quiet-dhcp");
	add(&a, "--quiet-ra");
	/* It is nobody already. These two exist everywhere; its defaults need not. */
	add(&a, "--user=root");
	add(&a, "--group=root");
	add(&a, "--interface=%s", p->ifname);
	add(&a, "--except-interface=lo");

	add(&a, "--no-resolv");
	add(&a, "--no-hosts");
	add(&a, "--hostsdir=%s/dns", NETSVC_HOME);
	add(&a, "--domain=%s", p->domain);
	add(&a, "--expand-hosts");
	/* What is not in the files does not exist: there is nobody to ask. */
	add(&a, "--address=/#/");
	/* Names are the lab's to give, not a guest's. */
	add(&a, "--dhcp-ignore-names");

	add(&a, "--dhcp-hostsdir=%s/dhcp", NETSVC_HOME);
	/* Also: a lease it forgot at a restart is given again when its holder asks. */
	add(&a, "--dhcp-authoritative");
	add(&a, "--dhcp-lease-max=%d", LEASES_MAX);
	if (p->has4)
		args_dhcp4(&a, p);
	if (p->has6)
		args_dhcp6(&a, p);
	if (!a.failed)
		return a.v;
	netsvc_args_free(a.v);
	return NULL;
}

void netsvc_args_free(char **argv)
{
	for (char **at = argv; at && *at; at++)
		free(*at);
	free(argv);
}

/* ---- the files ---- */

/* Copies an address in its one spelling. "" is none. */
static int copy_ip(int family, const char *text, char *out, socklen_t size)
{
	struct in6_addr a;

	out[0] = '\0';
	if (!text || !*text)
		return 0;
	if (inet_pton(family, text, &a) != 1)
		return -EINVAL;
	inet_ntop(family, &a, out, size);
	return 0;
}

static int copy_name(const char *text, char *out, size_t size)
{
	size_t n = text ? strlen(text) : 0;

	if (!n || n >= size)
		return -EINVAL;
	for (size_t i = 0; i < n; i++)
		if (!isascii(text[i]) || (!isalnum(text[i]) && !strchr("-_", text[i])))
			return -EINVAL;
	memcpy(out, text, n + 1);
	return 0;
}

int netsvc_entry_set(struct netsvc_entry *e, const struct netsvc_host *host)
{
	memset(e, 0, sizeof(*e));
	memcpy(e->mac, host->mac, sizeof(e->mac));
	if (copy_ip(AF_INET, host->ip4, e->ip4, sizeof(e->ip4)) ||
	    copy_ip(AF_INET6, host->ip6, e->ip6, sizeof(e->ip6)) ||
	    copy_name(host->vm, e->vm, sizeof(e->vm)) ||
	    copy_name(host->nic, e->nic, sizeof(e->nic)))
		return -EINVAL;
	return 0;
}

void netsvc_dhcp_line(const struct netsvc_entry *e, char *out, size_t size)
{
	const uint8_t *m = e->mac;

	out[0] = '\0';
	if (!*e->ip4 && !*e->ip6)
		return;
	snprintf(out, size, "%02x:%02x:%02x:%02x:%02x:%02x%s%s%s%s%s,infinite\n", m[0], m[1], m[2],
		 m[3], m[4], m[5], *e->ip4 ? "," : "", e->ip4, *e->ip6 ? ",[" : "", e->ip6,
		 *e->ip6 ? "]" : "");
}

void netsvc_dns_lines(const struct netsvc_entry *e, const char *domain, char *out, size_t size)
{
	const char *ips[] = {e->ip4, e->ip6};
	size_t at = 0;

	out[0] = '\0';
	for (unsigned int i = 0; i < ARRAY_SIZE(ips) && at < size; i++) {
		if (!*ips[i])
			continue;
		/* A name without a dot gets the domain too; one with a dot must be given twice. */
		at += (size_t)snprintf(out + at, size - at, "%s%s%s %s.%s.%s %s.%s\n", ips[i],
				       e->first ? " " : "", e->first ? e->vm : "", e->nic, e->vm,
				       domain, e->nic, e->vm);
	}
}
