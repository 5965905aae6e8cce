/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the names of the reasons why packets die. */
#include <assert.h>

#include "base/util.h"
#include "vswitch/packet.h"

/* clang-format off */
static const char *const names[] = {
	[VSW_DROP_NONE] = "none",
	[VSW_DROP_MALFORMED] = "malformed",
	[VSW_DROP_TOO_BIG] = "too-big",
	[VSW_DROP_NO_BUFFER] = "no-buffer",
	[VSW_DROP_LINK_DOWN] = "link-down",
	[VSW_DROP_NO_PORT] = "no-port",
	[VSW_DROP_SAME_PORT] = "same-port",
	[VSW_DROP_SRC_INVALID] = "src-invalid",
	[VSW_DROP_RX_FILTER] = "rx-filter",
	[VSW_DROP_RX_ERROR] = "rx-error",
	[VSW_DROP_RATE] = "rate",
	[VSW_DROP_NO_ROUTE] = "no-route",
	[VSW_DROP_NO_NEIGHBOUR] = "no-neighbour",
	[VSW_DROP_NO_REMOTE] = "no-remote",
	[VSW_DROP_TTL] = "ttl-expired",
	[VSW_DROP_POLICY] = "policy",
	[VSW_DROP_FLOWS] = "flow-limit",
	[VSW_DROP_NAT_PORTS] = "nat-ports",
	[VSW_DROP_VLAN] = "vlan",
	[VSW_DROP_SPOOF] = "spoof",
	[VSW_DROP_DHCP_GUARD] = "dhcp-guard",
	[VSW_DROP_ROUTER_GUARD] = "router-guard",
	[VSW_DROP_STORM] = "storm",
	[VSW_DROP_REWRITE] = "rewrite",
};
/* clang-format on */
static_assert(ARRAY_SIZE(names) == VSW_N_DROPS, "a name for each reason");

const char *vsw_drop_name(enum vsw_drop why)
{
	return (unsigned int)why < VSW_N_DROPS ? names[why] : "unknown";
}
