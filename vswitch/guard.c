/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the guards of a port: what its guest may not send. */
#include "vswitch/guard.h"

#include <netinet/in.h>
#include <string.h>

#include "base/util.h"
#include "base/wire.h"

#define DHCP_SERVER  67
#define DHCP_CLIENT  68
#define DHCP6_CLIENT 546
#define DHCP6_SERVER 547
#define BOOTREQUEST  1

/* RFC 8415, 7.3 */
#define DHCP6_ADVERTISE	  2
#define DHCP6_REPLY	  7
#define DHCP6_RECONFIGURE 10
#define DHCP6_RELAY_REPL  13

#define ICMP4_REDIRECT	5
#define ICMP4_ADVERTISE 9 /* RFC 1256 */
#define ICMP6_ADVERTISE 134
#define ICMP6_REDIRECT	137

/* What of a packet's L4 header can be seen. */
enum sight {
	SEEN,	/* the byte asked for is there */
	HIDDEN, /* the packet has it, or may have it, where we do not look */
	NONE,	/* no L4 header of that kind: another protocol, a later fragment */
};

/* Behind it there may be anything. */
static bool is_extension(uint8_t proto)
{
	return proto == IPPROTO_HOPOPTS || proto == IPPROTO_ROUTING || proto == IPPROTO_FRAGMENT ||
	       proto == IPPROTO_DSTOPTS;
}

/* Byte @off of the L4 header of protocol @proto, also in a first fragment. */
static enum sight look(const struct pkt *p, uint8_t proto, uint32_t off, const uint8_t **at)
{
	uint32_t end = MIN((uint32_t)p->hdr_len, p->l3_off + p->ip_len);

	if (p->l3 == PKT_L3_OTHER || pkt_is_later_fragment(p))
		return NONE;
	if (p->l4_proto != proto)
		return is_extension(p->l4_proto) ? HIDDEN : NONE;
	if (p->l4_off + off >= end)
		return HIDDEN;
	*at = p->hdr + p->l4_off;
	return SEEN;
}

static bool any_of(uint16_t a, uint16_t b, uint16_t x, uint16_t y)
{
	return a == x || a == y || b == x || b == y;
}

/* In one of the families' ports. */
static bool is_dhcp(const struct pkt *p, const uint8_t *udp)
{
	uint16_t sport = be16_load(udp), dport = be16_load(udp + 2);

	return p->l3 == PKT_L3_IPV4 ? any_of(sport, dport, DHCP_SERVER, DHCP_CLIENT)
				    : any_of(sport, dport, DHCP6_SERVER, DHCP6_CLIENT);
}

bool guard_each_packet(unsigned int guards, const struct pkt *pkt)
{
	return (guards & GUARD_DHCP) && pkt->l4 == PKT_L4_UDP &&
	       is_dhcp(pkt, pkt->hdr + pkt->l4_off);
}

/*
 * Clients take answers from any port of the server's, some whatever port they are sent to: what has
 * one of the ports and is no client's request is a server's.
 */
static bool is_dhcp_server(const struct pkt *p)
{
	bool v4 = p->l3 == PKT_L3_IPV4;
	const uint8_t *udp;
	enum sight s = look(p, IPPROTO_UDP, 3, &udp);

	if (s != SEEN)
		return s == HIDDEN;
	if (!is_dhcp(p, udp))
		return false;
	if (look(p, IPPROTO_UDP, 8, &udp) != SEEN)
		return true;
	if (v4)
		return udp[8] != BOOTREQUEST;
	return udp[8] == DHCP6_ADVERTISE || udp[8] == DHCP6_REPLY || udp[8] == DHCP6_RECONFIGURE ||
	       udp[8] == DHCP6_RELAY_REPL;
}

static bool is_router(const struct pkt *p)
{
	bool v4 = p->l3 == PKT_L3_IPV4;
	const uint8_t *icmp;
	enum sight s = look(p, v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6, 0, &icmp);

	if (s != SEEN)
		return s == HIDDEN;
	if (v4)
		return *icmp == ICMP4_REDIRECT || *icmp == ICMP4_ADVERTISE;
	return *icmp == ICMP6_ADVERTISE || *icmp == ICMP6_REDIRECT;
}

enum vsw_drop guard_check(unsigned int guards, const uint8_t mac[6], const struct pkt *pkt)
{
	if ((guards & GUARD_MAC) && memcmp(pkt->hdr + 6, mac, 6) != 0)
		return VSW_DROP_SPOOF;
	if ((guards & GUARD_DHCP) && is_dhcp_server(pkt))
		return VSW_DROP_DHCP_GUARD;
	if ((guards & GUARD_ROUTER) && is_router(pkt))
		return VSW_DROP_ROUTER_GUARD;
	return VSW_DROP_NONE;
}
