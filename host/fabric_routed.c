/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns a routed network's way to other hosts: a router with an interface in the network, the
 *guests' gateway, and one on the link between the hosts, with one route per other host and family.
 *
 *	guests -- network -- [gw] router [up] -- NAME/link -- packet socket -- eth0 -- other hosts
 *
 * "up" has the MAC and the address of the host's own interface: the packet socket sends in its
 * name, and takes only what is for this host's part of the subnet, and ARP and neighbour discovery,
 * which the kernel answers. Each routed network has a router, a link network and a socket of its
 * own, so that they do not reach each other, and each has its own limit of routes.
 */
#define LOG_TAG "fabric"
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netpacket/packet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "host/fabric_net_internal.h"
#include "host/netdev.h"
#include "vswitch/ports/packet.h"
#include "vswitch/ports/router.h"

#define MAX_ROUTES LAB_ROUTES_MAX

/* The interface between the hosts: what this host has there. */
struct underlay {
	char ifname[IFNAMSIZ];
	uint8_t mac[6];
	uint8_t addr[2][16];	     /* this host's, by family */
	struct route_prefix link[2]; /* what it reaches there without a router */
	bool has[2];
};

struct entry {
	struct route_prefix prefix;
	uint8_t via[16];
	unsigned int host; /* in fabric_hosts() */
};

struct fabric_routed {
	const struct fabric_net_conf *conf;
	unsigned int net;
	const char *name;
	struct underlay under;
	struct router *router;
	struct router_if *gw, *up;
	struct vsw_net *link;
	struct packet *packet;
	struct netdev *nd;
	bool gw_on, up_on, packet_on; /* attached */
	struct entry *routes;	      /* that are set, sorted */
	unsigned int n_routes, failed;
	char reason[240]; /* of the first that failed */
};

/* ---- the interface ---- */

static unsigned int mask_bits(const struct sockaddr *mask)
{
	const uint8_t *b = mask->sa_family == AF_INET
				   ? (const uint8_t *)&((const struct sockaddr_in *)mask)->sin_addr
				   : ((const struct sockaddr_in6 *)mask)->sin6_addr.s6_addr;
	unsigned int size = mask->sa_family == AF_INET ? 4 : 16, n = 0;

	for (unsigned int i = 0; i < size; i++)
		n += (unsigned int)__builtin_popcount(b[i]);
	return n;
}

static bool is_address(const struct ifaddrs *ifa, const uint8_t addr[16])
{
	uint8_t its[16];

	if (!ifa->ifa_addr || !ifa->ifa_netmask)
		return false;
	if (ifa->ifa_addr->sa_family == AF_INET)
		addr_from_4(its, &((const struct sockaddr_in *)ifa->ifa_addr)->sin_addr);
	else if (ifa->ifa_addr->sa_family == AF_INET6)
		memcpy(its, &((const struct sockaddr_in6 *)ifa->ifa_addr)->sin6_addr, 16);
	else
		return false;
	return !memcmp(its, addr, 16);
}

static void set_link(struct underlay *u, int family, const uint8_t addr[16], unsigned int len)
{
	struct route_prefix *link = &u->link[family];

	memcpy(u->addr[family], addr, 16);
	memcpy(link->addr, addr, 16);
	for (unsigned int i = len; i < 128; i++)
		link->addr[i / 8] &= (uint8_t) ~(0x80u >> i % 8);
	link->len = (uint8_t)len;
	u->has[family] = true;
}

/* Who has @addr, and how long its prefix is. */
static int find_address(const struct ifaddrs *list, const char *text, struct underlay *u)
{
	uint8_t addr[16];
	int family;

	if (!*text)
		return 0;
	if (fabric_addr_parse(addr, text))
		return -EINVAL;
	family = !addr_is_4(addr);
	for (const struct ifaddrs *ifa = list; ifa; ifa = ifa->ifa_next) {
		if (!is_address(ifa, addr) || (*u->ifname && strcmp(u->ifname, ifa->ifa_name)))
			continue;
		snprintf(u->ifname, sizeof(u->ifname), "%s", ifa->ifa_name);
		set_link(u, family, addr, mask_bits(ifa->ifa_netmask) + (family ? 0 : 96));
		return 0;
	}
	return -EADDRNOTAVAIL;
}

static int find_underlay(const struct lab_host *host, struct underlay *u,
			 struct fabric_trouble *trouble)
{
	struct ifaddrs *list;
	int rc = getifaddrs(&list) ? -errno : 0;

	if (rc)
		return fabric_trouble(trouble, rc, NULL, "interfaces: %s", strerror(-rc));
	rc = find_address(list, host->address, u);
	if (!rc)
		rc = find_address(list, host->address6, u);
	for (const struct ifaddrs *ifa = list; !rc && ifa; ifa = ifa->ifa_next)
		if (ifa->ifa_addr && ifa->ifa_addr->sa_family == AF_PACKET &&
		    !strcmp(ifa->ifa_name, u->ifname))
			memcpy(u->mac, ((const struct sockaddr_ll *)ifa->ifa_addr)->sll_addr, 6);
	freeifaddrs(list);
	if (!rc)
		return 0;
	return fabric_trouble(
		trouble, rc,
		"fabric.hosts has another address than this machine, or --host names the wrong one",
		"host %s: %s%s%s is not an address of one interface of this machine", host->name,
		host->address, *host->address6 ? " with " : "", host->address6);
}

/* ---- making ---- */

static void gw_mac(const struct lab *lab, const char *net, uint8_t mac[6])
{
	const char *words[] = {lab->name, net, lab->fabric.hosts[lab->here].name};
	uint32_t h = 0x811c9dc5u;

	for (unsigned int i = 0; i < ARRAY_SIZE(words); i++)
		for (const char *c = words[i];; c++) {
			h = (h ^ (unsigned char)*c) * 0x01000193u;
			if (!*c)
				break;
		}
	memcpy(mac, (uint8_t[]){0x02, 0x16}, 2);
	for (unsigned int i = 0; i < 4; i++)
		mac[2 + i] = (uint8_t)(h >> 8 * (3 - i));
}

static int add_address(struct router_if *i, const char *text, unsigned int bits)
{
	uint8_t addr[16];
	int rc = fabric_addr_parse(addr, text);

	return rc ? rc : router_addr_add(i, addr, (uint8_t)(bits + (addr_is_4(addr) ? 96 : 0)));
}

/* The guests' side. */
static int make_gateway(struct fabric_routed *r)
{
	const struct lab_net *net = &r->conf->lab->nets[r->net];
	const struct lab_net *whole = &lab_nets_at(r->conf->lab, -1)[r->net];
	struct router_if_conf ic = {.mtu = net->mtu};
	char name[VSW_NAME_SIZE];
	struct route_prefix all;
	int rc = 0;

	snprintf(name, sizeof(name), "%s/gw", net->name);
	ic.name = name;
	gw_mac(r->conf->lab, net->name, ic.mac);
	r->gw = router_if_new(r->router, &ic);
	if (!r->gw)
		return -errno;
	if (net->has4)
		rc = add_address(r->gw, net->gateway4, net->prefix4);
	if (!rc && net->has6)
		rc = add_address(r->gw, net->gateway6, net->prefix6);
	/* Guests have the other hosts' parts of IPv6 on their link. */
	if (!rc && net->has6)
		rc = route_prefix_parse(&all, whole->cidr6);
	if (!rc && net->has6)
		rc = router_proxy_add(r->gw, &all);
	if (!rc)
		rc = vsw_port_attach(r->conf->nets[r->net], router_if_port(r->gw));
	r->gw_on = !rc;
	return rc;
}

/* The hosts' side. */
static int make_uplink(struct fabric_routed *r)
{
	struct router_if_conf ic = {.mtu = r->conf->lab->fabric.mtu, .flags = ROUTER_IF_SHARED};
	char name[VSW_NAME_SIZE];
	struct vsw_net_conf nc = {.name = name, .mtu = r->conf->lab->fabric.mtu};
	int rc = 0;

	snprintf(name, sizeof(name), "%s/link", r->name);
	r->link = vsw_net_add(r->conf->vsw, &nc);
	if (!r->link)
		return -errno;
	snprintf(name, sizeof(name), "%s/up", r->name);
	ic.name = name;
	memcpy(ic.mac, r->under.mac, 6);
	r->up = router_if_new(r->router, &ic);
	if (!r->up)
		return -errno;
	for (unsigned int k = 0; !rc && k < 2; k++)
		if (r->under.has[k])
			rc = router_addr_add(r->up, r->under.addr[k], r->under.link[k].len);
	if (!rc)
		rc = vsw_port_attach(r->link, router_if_port(r->up));
	r->up_on = !rc;
	return rc;
}

static int set_filter(struct fabric_routed *r)
{
	const struct lab *lab = r->conf->lab;
	struct fabric_part *parts = calloc(lab->n_nets, sizeof(*parts));
	struct packet_prefix list[2];
	unsigned int n = 0;
	int rc;

	if (!parts)
		return -ENOMEM;
	fabric_lab_parts(lab, (unsigned int)lab->here, parts);
	for (unsigned int k = 0; k < 2; k++) {
		const struct route_prefix *p = &parts[r->net].prefix[k];

		if (!parts[r->net].has[k])
			continue;
		memset(&list[n], 0, sizeof(list[n]));
		list[n].family = k ? AF_INET6 : AF_INET;
		memcpy(list[n].addr, k ? p->addr : p->addr + 12, k ? 16 : 4);
		list[n++].len = p->len - (k ? 0u : 96u);
	}
	rc = packet_filter(r->packet, list, n);
	free(parts);
	return rc;
}

static void on_link(void *arg)
{
	struct fabric_routed *r = arg;
	const struct netdev_info *info = netdev_info(r->nd);

	packet_set_link(r->packet, info->index && info->up && info->carrier);
	packet_set_mtu(r->packet, info->mtu);
}

static int make_socket(struct fabric_routed *r)
{
	int fd = packet_open(r->under.ifname, PACKET_OWN), rc;
	char name[VSW_NAME_SIZE];

	if (fd < 0)
		return fd;
	snprintf(name, sizeof(name), "%s/underlay", r->name);
	r->packet = packet_new(r->conf->pick(r->conf->arg), name, fd, NULL, PACKET_OWN);
	if (!r->packet)
		return -errno;
	rc = set_filter(r);
	if (!rc)
		rc = vsw_port_attach(r->link, packet_port(r->packet));
	r->packet_on = !rc;
	if (rc)
		return rc;
	r->nd = netdev_new(r->conf->base, "", r->under.ifname, on_link, r);
	if (!r->nd)
		return -errno;
	on_link(r);
	return 0;
}

struct fabric_routed *fabric_routed_new(const struct fabric_net_conf *conf, unsigned int net,
					struct fabric_trouble *trouble)
{
	const struct lab_host *host = &conf->lab->fabric.hosts[conf->lab->here];
	struct fabric_routed *r = calloc(1, sizeof(*r));
	uint32_t max = conf->lab->nets[net].max_routes;
	struct router_conf rc_conf = {.name = conf->lab->nets[net].name,
				      .max_routes = max ? max : MAX_ROUTES};
	const char *what = "memory";
	int rc;

	if (!r)
		return NULL;
	r->conf = conf;
	r->net = net;
	r->name = conf->lab->nets[net].name;
	rc = find_underlay(host, &r->under, trouble);
	if (rc)
		goto err;
	what = "router";
	r->router = router_new(conf->pick(conf->arg), &rc_conf);
	rc = r->router ? 0 : -errno;
	if (!rc) {
		what = "gateway";
		rc = make_gateway(r);
	}
	if (!rc) {
		what = "interface to the hosts' link";
		rc = make_uplink(r);
	}
	if (!rc) {
		what = "packet socket";
		rc = make_socket(r);
	}
	if (!rc)
		return r;
	fabric_trouble(trouble, rc,
		       rc == -EPERM ? "a packet socket needs CAP_NET_RAW: run hvlabd as root"
				    : NULL,
		       "network %s: %s at %s: %s", r->name, what, r->under.ifname, strerror(-rc));
err:
	fabric_routed_free(r);
	errno = -rc;
	return NULL;
}

void fabric_routed_free(struct fabric_routed *r)
{
	if (!r)
		return;
	netdev_free(r->nd);
	if (r->packet_on)
		vsw_port_detach(packet_port(r->packet));
	packet_free(r->packet);
	if (r->up_on)
		vsw_port_detach(router_if_port(r->up));
	if (r->gw_on)
		vsw_port_detach(router_if_port(r->gw));
	router_if_free(r->up);
	router_if_free(r->gw);
	router_free(r->router);
	if (r->link && vsw_net_del(r->link))
		log_err("network %s/link is still in use", r->name);
	free(r->routes);
	free(r);
}

/* ---- routes ---- */

static int by_prefix(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	int c = memcmp(x->prefix.addr, y->prefix.addr, 16);

	return c ? c : (int)x->prefix.len - (int)y->prefix.len;
}

/* What the model wants; *@n of them. NULL: out of memory. */
static struct entry *wishes(const struct fabric_routed *r, const struct fabric *f, unsigned int *n)
{
	unsigned int n_hosts;
	const struct fabric_host *hosts = fabric_hosts(f, &n_hosts);
	struct entry *list = calloc(2 * (size_t)n_hosts, sizeof(*list));

	*n = 0;
	for (unsigned int h = 0; list && h < n_hosts; h++)
		for (unsigned int k = 0; k < 2; k++) {
			const struct fabric_part *part = &hosts[h].parts[r->net];
			const uint8_t *via = fabric_host_next(&hosts[h], k);

			if (!part->has[k] || !via || !fabric_host_reachable(&hosts[h]))
				continue;
			list[*n].prefix = part->prefix[k];
			memcpy(list[*n].via, via, 16);
			list[(*n)++].host = h;
		}
	if (list)
		qsort(list, *n, sizeof(*list), by_prefix);
	return list;
}

static int set_route(struct fabric_routed *r, const struct entry *e, char *why, size_t size)
{
	struct router_route route = {.prefix = e->prefix, .kind = ROUTER_ROUTE_VIA, .out = r->up};
	unsigned int k = !addr_is_4(e->via);
	char text[ROUTE_PREFIX_TEXT];

	if (!r->under.has[k] || !route_prefix_has(&r->under.link[k], e->via)) {
		snprintf(why, size,
			 "its address %s is not on the link of %s: routed mode needs that",
			 addr_text(e->via, text), r->under.ifname);
		return -ENETUNREACH;
	}
	memcpy(route.via, e->via, 16);
	return router_route_set(r->router, &route, why, size);
}

/* Once per change: the count says how many, the reason is the first's. */
static void tell_failed(struct fabric_routed *r, unsigned int failed, const char *reason)
{
	bool news = failed != r->failed || strcmp(reason, r->reason) != 0;

	r->failed = failed;
	snprintf(r->reason, sizeof(r->reason), "%s", reason);
	if (!news)
		return;
	if (failed)
		log_warn("network %s: %u routes are missing: %s", r->name, failed, reason);
	if (r->conf->event)
		r->conf->event(r->conf->arg, "FABRIC_ROUTES",
			       json_pack("{s:s, s:i, s:i, s:o}", "network", r->name, "routes",
					 (int)r->n_routes, "missing", (int)failed, "reason",
					 failed ? json_string(reason) : json_null()));
}

void fabric_routed_apply(struct fabric_routed *r, const struct fabric *f)
{
	unsigned int n, n_hosts, kept = 0, failed = 0, k = 0;
	const struct fabric_host *hosts = fabric_hosts(f, &n_hosts);
	struct entry *want = wishes(r, f, &n);
	char why[200] = "", reason[240] = "";

	if (!want) {
		log_err("network %s: out of memory: routes stay as they were", r->name);
		return;
	}
	/* Those that go first: they make room. */
	for (unsigned int i = 0; i < r->n_routes; i++) {
		while (k < n && by_prefix(&want[k], &r->routes[i]) < 0)
			k++;
		if (k == n || by_prefix(&want[k], &r->routes[i]) != 0)
			router_route_del(r->router, &r->routes[i].prefix);
	}
	for (unsigned int i = 0; i < n; i++) {
		if (set_route(r, &want[i], why, sizeof(why))) {
			if (!failed++)
				snprintf(reason, sizeof(reason), "host %s: %s",
					 hosts[want[i].host].name, why);
			/* One of that prefix by another host would lead astray. */
			router_route_del(r->router, &want[i].prefix);
			continue;
		}
		want[kept++] = want[i];
	}
	free(r->routes);
	r->routes = want;
	r->n_routes = kept;
	tell_failed(r, failed, reason);
}

/* ---- JSON ---- */

json_t *fabric_routed_json(const struct fabric_routed *r)
{
	const struct lab_net *net = &r->conf->lab->nets[r->net];
	json_t *routes = json_array(), *neighbours = json_array(), *stats;
	struct router_neighbour list[LAB_MAX_HOSTS];
	char text[ROUTE_PREFIX_TEXT], via[ROUTE_PREFIX_TEXT];
	struct router_stats st;
	size_t n;

	for (unsigned int i = 0; i < r->n_routes; i++)
		json_array_append_new(routes,
				      json_pack("{s:s, s:s}", "prefix",
						route_prefix_text(&r->routes[i].prefix, text),
						"via", addr_text(r->routes[i].via, via)));
	n = router_neighbours(r->up, list, ARRAY_SIZE(list));
	for (size_t i = 0; i < MIN(n, ARRAY_SIZE(list)); i++)
		json_array_append_new(neighbours,
				      json_pack("{s:s, s:s}", "address",
						addr_text(list[i].addr, text), "state",
						router_neighbour_state_name(list[i].state)));
	router_get_stats(r->router, &st);
	stats = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
			  "forwarded", (json_int_t)st.forwarded, "ttl", (json_int_t)st.ttl,
			  "no_route", (json_int_t)st.no_route, "too_big", (json_int_t)st.too_big,
			  "unreachable", (json_int_t)st.unreachable, "held", (json_int_t)st.held,
			  "held_lost", (json_int_t)st.held_lost, "errors", (json_int_t)st.errors,
			  "errors_limited", (json_int_t)st.errors_limited, "arp_answers",
			  (json_int_t)st.arp_answers, "nd_answers", (json_int_t)st.nd_answers,
			  "proxy_answers", (json_int_t)st.proxy_answers, "pings",
			  (json_int_t)st.pings);
	return json_pack("{s:s, s:s, s:s, s:o, s:o, s:i, s:o, s:o, s:o}", "interface",
			 r->under.ifname, "gateway", net->gateway4, "gateway6", net->gateway6,
			 "max_routes",
			 net->max_routes ? json_integer(net->max_routes) : json_null(), "routes",
			 routes, "missing", (int)r->failed, "reason",
			 r->failed ? json_string(r->reason) : json_null(), "neighbours", neighbours,
			 "router", stats);
}
