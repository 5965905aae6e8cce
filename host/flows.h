/* SPDX-License-Identifier: BSD-2-Clause */
/* Connections of vNICs as users ask for them: which ones, and how they read. Control thread. */
#ifndef HVLAB_HOST_FLOWS_H
#define HVLAB_HOST_FLOWS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host/control_args.h"
#include "host/flow_words.h"
#include "vswitch/vswitch.h"

/* An end of a connection; @len 0: any address, @port -1: any. */
struct flow_end {
	uint8_t addr[16]; /* IPv4 as ::ffff:a.b.c.d, like the switch has it */
	unsigned int len;
	int port;
};

/* Which connections are meant. @proto, and the three below: -1: whatever. */
struct flow_filter {
	int proto;
	struct flow_end local, remote;
	const char *state; /* of flow_state_name(); NULL: any */
	int offloaded, stale, kept;
};

/* Arguments of the commands, for their tables. */
#define FLOW_FILTER_ARGS                                                                           \
	{.name = "vnic", .type = ARG_STRING, .doc = "VM/NIC; absent: all"},                        \
		{.name = "proto",                                                                  \
		 .type = ARG_STRING,                                                               \
		 .doc = "tcp, udp, icmp, icmpv6, or a protocol's number"},                         \
		{.name = "local", .type = ARG_STRING, .doc = "the guest's address or prefix"},     \
		{.name = "local_port",                                                             \
		 .type = ARG_INT,                                                                  \
		 .min = 0,                                                                         \
		 .max = 65535,                                                                     \
		 .doc = "its port"},                                                               \
		{.name = "remote",                                                                 \
		 .type = ARG_STRING,                                                               \
		 .doc = "the other end's address or prefix"},                                      \
		{.name = "remote_port",                                                            \
		 .type = ARG_INT,                                                                  \
		 .min = 0,                                                                         \
		 .max = 65535,                                                                     \
		 .doc = "its port"},                                                               \
		{.name = "state",                                                                  \
		 .type = ARG_STRING,                                                               \
		 .values = FLOW_STATE_VALUES,                                                      \
		 .doc = "how far it is"},                                                          \
		{.name = "offloaded", .type = ARG_BOOL, .doc = "is it in the VF's own table?"},    \
		{.name = "stale",                                                                  \
		 .type = ARG_BOOL,                                                                 \
		 .doc = "was it last judged by an earlier "                                        \
			"policy?"},                                                                \
	{                                                                                          \
		.name = "kept", .type = ARG_BOOL,                                                  \
		.doc = "is it there though the policy would not let it in now?"                    \
	}

/* From checked arguments, which must outlive it. False: *@why says what is wrong. */
bool flow_filter_from(struct flow_filter *f, const json_t *args, char *why, size_t why_size);
bool flow_filter_match(const struct flow_filter *f, const struct vsw_flow_info *i);

/* docs/protocol.md, query-flows: one connection of that vNIC. A new reference. */
json_t *flow_json(const char *vnic, const struct vsw_flow_info *i);
/* Counters of a port's connections; null when it never had a policy. A new reference. */
json_t *flow_stats_json(const struct vsw_port *port);
/* "tcp", "udp", "icmp", "icmpv6", "esp", "ah" or the number. */
const char *flow_proto_name(uint8_t proto, char buf[8]);
/* Of either family, as people write it. Returns @buf. */
const char *flow_ip_text(const uint8_t ip[16], char buf[46]);

#endif
