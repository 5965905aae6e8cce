/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns what to look at for each reason of drops. */
#include "host/cli/drops_words.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "vswitch/packet.h"

/* clang-format off */
static const char *const hints[] = {
	[VSW_DROP_NONE] = "",
	[VSW_DROP_MALFORMED] = "the sender's driver: headers that lie about lengths; see hvlab capture",
	[VSW_DROP_TOO_BIG] = "the MTU of both NICs (hvlab status)",
	[VSW_DROP_NO_BUFFER] = "the receiver's load and ring size (ethtool -g in the guest)",
	[VSW_DROP_LINK_DOWN] = "is the receiver up: hvlab nic list, ip link in its guest",
	[VSW_DROP_NO_PORT] = "nobody else in the network takes packets: hvlab status",
	[VSW_DROP_SAME_PORT] = "the sender's routes: the destination is behind itself",
	[VSW_DROP_SRC_INVALID] = "the sender's MAC address: it is a group's, or zero",
	[VSW_DROP_RX_FILTER] = "promiscuous mode and VLANs of the receiver's guest",
	[VSW_DROP_RX_ERROR] = "the receiver's driver: its queue is broken (hvlab log)",
	[VSW_DROP_RATE] = "bandwidth limits: hvlab policy show",
	[VSW_DROP_NO_ROUTE] = "routes: of the router's table, of the running kernel",
	[VSW_DROP_NO_NEIGHBOUR] = "is the next hop up? It does not answer ARP or ND",
	[VSW_DROP_NO_REMOTE] = "hvlab fabric show: no host is known for the address",
	[VSW_DROP_TTL] = "a loop of routes, or traceroute at work",
	[VSW_DROP_POLICY] = "which rule: hvlab drops --follow; why: hvlab explain",
	[VSW_DROP_FLOWS] = "room for connections: hvlab flows --count; flows.max of the lab file",
	[VSW_DROP_NAT_PORTS] = "the rule's range of ports is used up: hvlab flows",
	[VSW_DROP_VLAN] = "VLANs of both NICs (hvlab nic list)",
	[VSW_DROP_SPOOF] = "the guest sends from another MAC address: mac_spoofing of the NIC",
	[VSW_DROP_DHCP_GUARD] = "the guest answers DHCP: dhcp_guard of the NIC",
	[VSW_DROP_ROUTER_GUARD] = "the guest poses as a router: router_guard of the NIC",
	[VSW_DROP_STORM] = "broadcast beyond storm_pps of the NIC; a loop?",
	[VSW_DROP_REWRITE] = "translation of fragments, or of headers too long to change",
};
/* clang-format on */
static_assert(ARRAY_SIZE(hints) == VSW_N_DROPS, "a hint for each reason");

static unsigned int find(const char *reason)
{
	for (unsigned int i = VSW_DROP_NONE + 1; i < VSW_N_DROPS; i++)
		if (!strcmp(vsw_drop_name((enum vsw_drop)i), reason))
			return i;
	return VSW_DROP_NONE;
}

const char *drops_hint(const char *reason)
{
	return hints[find(reason)];
}

int drops_is_reason(const char *reason)
{
	return find(reason) != VSW_DROP_NONE;
}

const char *drops_reasons(void)
{
	static char all[VSW_N_DROPS * 24];
	size_t len = 0;

	for (unsigned int i = VSW_DROP_NONE + 1; i < VSW_N_DROPS; i++)
		len += (size_t)snprintf(all + len, sizeof(all) - len, "%s%s", len ? ", " : "",
					vsw_drop_name((enum vsw_drop)i));
	return all;
}
