/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A policy as it is handed to the switch: layers, groups, rules, actions, as plain data.
 *
 * The terms are VFP's (NSDI'17): a layer is one controller's part (ACL, NAT, metering ...). What a
 * guest sends walks the layers from the first to the last (OUT), what comes to it from the last to
 * the first (IN). In a layer the groups of that direction are asked in order; in a group the
 * matching rule with the highest priority, that is the lowest number, is found. A terminating rule
 * ends the layer's walk; otherwise the last group with a match has the word. A layer without a
 * match lets the packet pass unchanged. A later layer sees what an earlier one made of the packet.
 *
 * The caller owns everything here; policy_new() copies what it keeps. Host order but for addresses.
 */
#ifndef HVLAB_VSWITCH_POLICY_SPEC_H
#define HVLAB_VSWITCH_POLICY_SPEC_H

#include <stdbool.h>
#include <stdint.h>

#include "vswitch/xpose.h"

#define POLICY_MAX_LAYERS 16
#define POLICY_MAX_GROUPS 16   /* of a layer, in one direction */
#define POLICY_MAX_RULES  4096 /* of a group; a summary of 64 x 64 bits, see classify.c */
#define POLICY_NAME_MAX	  80   /* bytes of a layer's, group's or rule's name; longer is cut */
#define POLICY_MAX_METERS 64   /* of a policy */
#define POLICY_MAX_LIMITS 4    /* layers, in one direction, with limits; the same with meters */

enum policy_dir {
	POLICY_OUT, /* from the guest */
	POLICY_IN,  /* to the guest */
	POLICY_N_DIRS
};
const char *policy_dir_name(enum policy_dir dir); /* "outbound", "inbound" */

/*
 * IPv4 as ::ffff:a.b.c.d, length 96..128. Length 0: any, of both families. Lengths 1..95 are IPv6's
 * and hold no IPv4 address.
 */
struct policy_prefix {
	uint8_t addr[16];
	uint8_t len;
};

struct policy_range {
	uint16_t lo, hi; /* both belong to it */
};

/*
 * All of what is given must hold. An empty list: anything. A packet without the field (a port of
 * ARP, an address of a non-IP frame) matches only an empty list.
 *
 * Ports of ICMP and ICMPv6: the source port is the type, the destination port the code; an echo's
 * identifier is none.
 */
struct policy_match {
	const struct policy_prefix *src, *dst;
	uint32_t n_src, n_dst;
	const struct policy_range *sport, *dport;
	uint32_t n_sport, n_dport;
	const uint8_t *proto; /* IP protocol numbers; 58 is ICMPv6 */
	uint32_t n_proto;
	const uint16_t *eth_type; /* behind VLAN tags */
	uint32_t n_eth_type;
	const uint8_t (*src_mac)[6], (*dst_mac)[6];
	uint32_t n_src_mac, n_dst_mac;
	uint32_t vni; /* of the tunnel it came through; POLICY_ANY_VNI: whatever */
};
#define POLICY_ANY_VNI UINT32_MAX

enum policy_verdict {
	POLICY_ALLOW,
	POLICY_DENY,
};

/* Address translation of a rule. */
enum policy_nat {
	POLICY_NAT_NONE,
	/*
	 * OUT: the source address (and port, when nat_port.lo is not 0) becomes nat_addr. With a
	 * range of ports each connection gets a free one. IN: the destination becomes nat_addr (and
	 * nat_port.lo). Stateful: replies are translated back, whatever the other direction says.
	 * A fragment has no port to be seen: where one would have to change it is dropped as
	 * `rewrite`.
	 */
	POLICY_NAT_REWRITE,
};

/**
 * struct policy_action - What a rule does
 * @verdict:	DENY ends the walk of all layers: the packet is dropped
 * @xpose:	header changes beyond NAT, the tunnel key among them (xpose.h); NULL: none
 * @meter:	1 + index into policy_spec.meters; 0: none
 * @limit_mbps:	wire bytes of all packets of this rule together, in this port; more is dropped as
 *		`rate`; 0: no limit
 * @mirror:	not 0: what passes is copied to the network's mirror destinations (port_features.h)
 * @mark:	1 + a number that lists of connections and explanations show; 0: none
 */
struct policy_action {
	enum policy_verdict verdict;
	enum policy_nat nat;
	uint8_t nat_addr[16];
	struct policy_range nat_port;
	const struct vsw_xpose *xpose;
	uint32_t meter;
	uint32_t limit_mbps;
	uint32_t mirror;
	uint32_t mark;
};

/**
 * struct policy_rule
 * @name:	for explain and drops: "AllowSsh"
 * @priority:	0..2^32-1, lower first; unique in its group
 * @terminating: ends the layer's walk when it matches
 * @stateful:	the other direction of a connection that it let in needs no rule. ALLOW only
 * @idle_ms:	of connections it made; 0: the switch's own
 */
struct policy_rule {
	const char *name;
	uint32_t priority;
	bool terminating;
	bool stateful;
	uint32_t idle_ms;
	struct policy_match match;
	struct policy_action action;
};

/**
 * struct policy_group - What is replaced as one
 * @dir:	direction it is asked in
 * @when:	condition on all of it; NULL: always
 */
struct policy_group {
	const char *name;
	enum policy_dir dir;
	const struct policy_match *when;
	const struct policy_rule *rules;
	uint32_t n_rules;
};

struct policy_layer {
	const char *name;
	const struct policy_group *groups;
	uint32_t n_groups;
};

struct policy_spec {
	const struct policy_layer *layers; /* from the guest outwards */
	uint32_t n_layers;
	const char *const *meters; /* names */
	uint32_t n_meters;
};

#endif
