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
#define SMALL_BITS     4 /* below this many host bits there are no strangers */
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
	uint32_t id = hash(hash(0x811c9dc5u, lab->name), n->name);
	struct in6_addr link6 = n->subnet6;
	static const char *const reserved[] = {"lo", "all", "default"};

	memset(plan, 0, sizeof(*plan));
	plan->shared = lab->fabric.on && n->mode != LAB_MODE_ROUTED;
	if (lab->fabric.on)
		id = hash(id, lab->fabric.hosts[lab->here].name);
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
		if (inet_pton(AF_INET, n->service4, &plan->ip4) != 1)
			return -EADDRNOTAVAIL;
		plan->has4 = true;
		snprintf(plan->gateway4, sizeof(plan->gateway4), "%s", n->gateway4);
		plan->subnet4 = n->subnet4;
		plan->prefix4 = n->prefix4;
		if (!plan->shared)
			plan_pool(n, plan);
	}
	if (n->has6) {
		if (inet_pton(AF_INET6, n->service6, &plan->ip6) != 1)
			return -EADDRNOTAVAIL;
		plan->has6 = true;
		/* What guests have on their link, which may be more than what is given here. */
		for (unsigned int i = n->link6; i < 128; i++)
			link6.s6_addr[i / 8] &= (uint8_t)~(0x80u >> i % 8);
		plan->subnet6 = link6;
		plan->prefix6 = n->link6;
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
	/* Without the empty one dnsmasq names itself, and it forwards nothing. */
	if (*p->gateway4)
		add(a, "--dhcp-option=tag:!router,option:router,%s", p->gateway4);
	add(a, "--dhcp-option=%soption:router", *p->gateway4 ? "tag:router," : "");
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
	add(a, "--dhcp-duid=%d,%02x:%02x:%02x:%02x:%02x:%02x", ENTERPRISE_DOC, p->mac[0], p->mac[1],
	    p->mac[2], p->mac[3], p->mac[4], p->mac[5]);
}

/* As --dhcp-duid makes it: RFC 8415 11.3, DUID-EN. */
void netsvc_duid(const struct netsvc_plan *p, uint8_t duid[NETSVC_DUID_SIZE])
{
	const uint32_t number = htonl(ENTERPRISE_DOC);

	memcpy(duid, (uint8_t[]){0, 2}, 2);
	memcpy(duid + 2, &number, 4);
	memcpy(duid + 6, p->mac, 6);
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
	/* Its standard input, for us to read. */
	add(&a, "--dhcp-leasefile=/proc/self/fd/0");
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
	add(&a, "--hostsdir=%s/" NETSVC_DNS, NETSVC_HOME);
	add(&a, "--domain=%s", p->domain);
	add(&a, "--expand-hosts");
	/* What is not in the files does not exist: there is nobody to ask. */
	add(&a, "--address=/#/");
	/* Names are the lab's to give, not a guest's. */
	add(&a, "--dhcp-ignore-names");

	add(&a, "--dhcp-hostsdir=%s/" NETSVC_DHCP, NETSVC_HOME);
	add(&a, "--dhcp-optsdir=%s/" NETSVC_OPTS, NETSVC_HOME);
	/* Also: a lease it forgot at a restart is given again when its holder asks. */
	add(&a, "--dhcp-authoritative");
	add(&a, "--dhcp-lease-max=%d", LEASES_MAX);
	if (p->shared)
		add(&a, "--dhcp-ignore=tag:!known");
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
	e->mtu = host->mtu;
	e->elsewhere = host->elsewhere;
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
	char tag[40] = "";
	int n = 0;

	out[0] = '\0';
	if (e->elsewhere || (!*e->ip4 && !*e->ip6 && !e->mtu))
		return;
	if (e->mtu)
		n = snprintf(tag, sizeof(tag), ",set:mtu%u", e->mtu);
	if (e->router)
		snprintf(tag + n, sizeof(tag) - (size_t)n, ",set:router");
	snprintf(out, size, "%02x:%02x:%02x:%02x:%02x:%02x%s%s%s%s%s%s%s\n", m[0], m[1], m[2], m[3],
		 m[4], m[5], tag, *e->ip4 ? "," : "", e->ip4, *e->ip6 ? ",[" : "", e->ip6,
		 *e->ip6 ? "]" : "", *e->ip4 || *e->ip6 ? ",infinite" : "");
}

void netsvc_mtu_line(const struct netsvc_entry *e, char *out, size_t size)
{
	out[0] = '\0';
	if (e->mtu && !e->elsewhere)
		snprintf(out, size, "tag:mtu%u,option:mtu,%u\n", e->mtu, e->mtu);
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
