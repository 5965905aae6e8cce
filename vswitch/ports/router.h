/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A router: the gateway of networks, and the way to other hosts in routed ("host-gw") mode.
 *
 * It has interfaces, each a port of one network with a MAC and addresses of its own, and one route
 * table. A network's gateway is an interface; the way between two networks is a router with an
 * interface in each; the way to other hosts is an interface in the network of the uplink and one
 * route per host: prefix, next hop (the other router's address there).
 *
 * An interface answers ARP and neighbour solicitations for its own addresses and, as a proxy, for
 * addresses in its proxy prefixes that live elsewhere: that the route table sends out by another
 * interface. It answers ping. It resolves next hops by its own ARP and neighbour discovery; what
 * the caller sets needs no resolution.
 *
 * A packet that is passed on gets new MACs and one less TTL or hop limit, and nothing else; large
 * ones stay whole. What cannot be passed on is answered with ICMP time exceeded, unreachable or too
 * big, as many as the limit lets through. Nothing is fragmented.
 *
 * Addresses are 16 bytes, IPv4 as ::ffff:a.b.c.d; prefixes as in vswitch/route.h.
 *
 * Threads. Making, freeing, addresses, routes, neighbours: the control thread. Lists and figures:
 * the same. Packets: any worker.
 */
#ifndef HVLAB_VSWITCH_PORTS_ROUTER_H
#define HVLAB_VSWITCH_PORTS_ROUTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/worker.h"
#include "vswitch/port.h"
#include "vswitch/route.h"

struct router;
struct router_if;

/**
 * struct router_conf
 * @name:	for messages; copied
 * @max_routes:	routes that router_route_set() takes; 0: 1024. Prefixes of interfaces do not count
 * @max_neighbours: per interface, resolved or set; 0: 1024
 * @errors_per_s: ICMP errors; 0: 100. One source gets a tenth of it at most
 */
struct router_conf {
	const char *name;
	uint32_t max_routes, max_neighbours, errors_per_s;
};

/* NULL with errno. @w: timers, and packets that waited for a neighbour. */
struct router *router_new(struct worker *w, const struct router_conf *conf);
/* No interfaces left. NULL is fine. */
void router_free(struct router *r);

/*
 * The interface has the MAC and addresses of the running kernel's own (an uplink that passes no
 * other MAC): it resolves with them, and leaves answering for them to the kernel.
 */
#define ROUTER_IF_SHARED 0x1u

/**
 * struct router_if_conf
 * @name:	of the vsw_port, "blue/gw"; copied
 * @mtu:	of what leaves here; 0: the network's
 * @flags:	ROUTER_IF_*
 */
struct router_if_conf {
	const char *name;
	uint8_t mac[6];
	uint32_t mtu;
	uint32_t flags;
};

/* NULL with errno. It has the link-local address of its MAC. */
struct router_if *router_if_new(struct router *r, const struct router_if_conf *conf);
/* The port must be detached before. Routes and neighbours by it go. NULL is fine. */
void router_if_free(struct router_if *i);
struct vsw_port *router_if_port(struct router_if *i);

/*
 * An address of the interface's own; @len: of the prefix that is reached there, 96 to 128 for IPv4.
 * 0; -EEXIST: another interface has the address or prefix; -ENOSPC: 16 addresses; -EINVAL; -ENOMEM.
 */
int router_addr_add(struct router_if *i, const uint8_t addr[16], uint8_t len);
int router_addr_del(struct router_if *i, const uint8_t addr[16]);
/* Answer for what lies in @prefix and is routed elsewhere. 0; -ENOSPC: 64 prefixes; -EINVAL. */
int router_proxy_add(struct router_if *i, const struct route_prefix *prefix);
int router_proxy_del(struct router_if *i, const struct route_prefix *prefix);

enum router_route_kind {
	ROUTER_ROUTE_VIA, /* out by @out, to @via, or to the destination when @via is zero */
	ROUTER_ROUTE_MAC, /* out by @out, to @mac; nothing is resolved */
	ROUTER_ROUTE_UNREACHABLE, /* nowhere, and the sender is told */
	ROUTER_ROUTE_BLACKHOLE,	  /* nowhere */
	ROUTER_ROUTE_N_KINDS
};
/* "via", "mac", "unreachable", "blackhole". */
const char *router_route_kind_name(enum router_route_kind kind);

struct router_route {
	struct route_prefix prefix;
	enum router_route_kind kind;
	struct router_if *out;
	uint8_t via[16]; /* the prefix's family; all zero: none */
	uint8_t mac[6];
};

/**
 * router_route_set() - Add a route, or replace the one with that prefix
 * @err:	a message on failure; may be NULL
 *
 * Return: 0; -ENOSPC: max_routes are there, the message names the limit; -EEXIST: the prefix is an
 * interface's own; -EINVAL; -ENOMEM
 */
int router_route_set(struct router *r, const struct router_route *route, char *err,
		     size_t err_size);
/* -ENOENT */
int router_route_del(struct router *r, const struct route_prefix *prefix);
/* Up to @max, longest prefixes first, without the interfaces' own; returns how many there are. */
size_t router_routes(struct router *r, struct router_route *out, size_t max);

/* @addr is at @mac: never asked for, never forgotten. 0; -ENOSPC: max_neighbours; -ENOMEM. */
int router_neighbour_set(struct router_if *i, const uint8_t addr[16], const uint8_t mac[6]);
/* Forgets it, set or resolved. -ENOENT. */
int router_neighbour_del(struct router_if *i, const uint8_t addr[16]);

enum router_neighbour_state {
	ROUTER_NEIGHBOUR_ASKED,	 /* no answer yet */
	ROUTER_NEIGHBOUR_FRESH,	 /* answered within 30 s */
	ROUTER_NEIGHBOUR_STALE,	 /* used, and asked again when it is */
	ROUTER_NEIGHBOUR_FAILED, /* three questions, no answer */
	ROUTER_NEIGHBOUR_SET,	 /* by the caller */
	ROUTER_NEIGHBOUR_N_STATES
};
const char *router_neighbour_state_name(enum router_neighbour_state state);

struct router_neighbour {
	uint8_t addr[16], mac[6];
	enum router_neighbour_state state;
};
size_t router_neighbours(struct router_if *i, struct router_neighbour *out, size_t max);

/**
 * struct router_stats - Packets
 * @held:	waited for a neighbour; @held_lost: in vain
 * @errors:	ICMP errors sent; @errors_limited: not sent, there were too many
 */
struct router_stats {
	uint64_t forwarded, ttl, no_route, too_big, unreachable;
	uint64_t held, held_lost, errors, errors_limited;
	uint64_t arp_answers, nd_answers, proxy_answers, pings;
};
void router_get_stats(struct router *r, struct router_stats *st);

#endif
