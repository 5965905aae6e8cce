/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest's network stack in small, on a port of the switch: DHCP, DHCPv6, router solicitation
 * and DNS by hand. Answers ARP and neighbour solicitations for its addresses while it waits.
 */
#ifndef HVLAB_TESTS_KERNEL_STATION_H
#define HVLAB_TESTS_KERNEL_STATION_H

#include <event2/event.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "tests/unit/vsw_fixture.h"

struct station {
	struct test_port port;
	struct event_base *base; /* runs while it waits */
	uint8_t mac[6], server_mac[6];
	struct in_addr ip4;
	struct in6_addr ip6, link_local;
	uint32_t seq;
	uint32_t iaid; /* DHCPv6: of its one address; changes with a restart of some clients */
};

/* Attached to @net. The calling thread is an RCU reader. */
void station_init(struct station *s, struct event_base *base, struct vsw_net *net,
		  const uint8_t mac[6]);
void station_fini(struct station *s);
/* Runs the loop once, answers who asks for our addresses. */
void station_pump(struct station *s);

/* What DHCPACK said; zero or "" for what it did not. */
struct station_lease {
	struct in_addr ip, mask, server, router, dns;
	uint16_t mtu;
	char domain[64];
	uint32_t seconds;
};
/* DISCOVER to ACK, repeated until an answer or @ms. @host: the name it claims, or NULL. */
bool station_dhcp4(struct station *s, const char *host, struct station_lease *lease, int ms);
/* SOLICIT to REPLY; false too when the server answers without an address. */
bool station_dhcp6(struct station *s, struct in6_addr *ip, struct in6_addr *dns, int ms);

struct station_ra {
	uint8_t flags;
	uint16_t lifetime;
	uint32_t mtu;
	struct in6_addr prefix;
	uint8_t prefix_len, prefix_flags;
};
bool station_router(struct station *s, struct station_ra *ra, int ms);

/*
 * One question over UDP to @server from our address, repeated until an answer or @ms.
 * Return: the number of addresses found, the first in @out; -rcode of an answer without (NXDOMAIN
 * 3; -100 for "no such type"); -1000: no answer.
 */
int station_dns(struct station *s, const void *server, int family, const char *name, int wanted,
		void *out, int ms);

#endif
