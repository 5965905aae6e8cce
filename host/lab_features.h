/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the switch does at a NIC's port, as a lab file or a request writes it: VLANs, guards,
 * mirroring, storm limit (vswitch/port_features.h), bandwidth (vswitch/shape.h). Any thread.
 */
#ifndef HVLAB_HOST_LAB_FEATURES_H
#define HVLAB_HOST_LAB_FEATURES_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vlan_conf;

#define LAB_VLAN_TEXT 256 /* bytes of a VLAN setting with its end */

enum lab_mirror { LAB_MIRROR_NONE, LAB_MIRROR_SOURCE, LAB_MIRROR_DESTINATION, LAB_N_MIRRORS };
const char *lab_mirror_name(enum lab_mirror m);
/* By name; -1: no such word. */
int lab_mirror_parse(const char *word);

#define LAB_RATE_MAX  4000000u /* Mbit/s */
#define LAB_SHARE_MAX 100u

/**
 * struct lab_features
 * @vlan:	as lab_vlan_parse() writes it
 * @mac_spoofing: the guest may send with other source addresses than the NIC's
 * @storm_pps:	0: no limit
 * @max_mbps:	most that its guest may send; 0: no limit
 * @min_mbps, @min_weight: its part of the network's bandwidth: absolute, and of the rest; 0: none, 1
 * @offload:	the VF sends flows by itself once the switch has judged their first packets
 * @offload_flows: how many it can hold, 1..LAB_OFFLOAD_FLOWS_MAX
 */
struct lab_features {
	char vlan[LAB_VLAN_TEXT];
	bool mac_spoofing, dhcp_guard, router_guard;
	enum lab_mirror mirror;
	uint32_t storm_pps;
	uint32_t max_mbps, min_mbps, min_weight;
	bool offload;
	uint32_t offload_flows;
};
#define LAB_OFFLOAD_FLOWS     4096
#define LAB_OFFLOAD_FLOWS_MAX (1u << 20)

/* The defaults: nothing of it, every source address. */
void lab_features_init(struct lab_features *f);
/* Into @o under the lab file's keys. @words: switches as on and off, else as booleans. */
void lab_features_to_json(const struct lab_features *f, json_t *o, bool words);

/**
 * lab_vlan_parse() - A VLAN setting
 * @text:	"none", "untagged", "10", "access 10", "trunk 10-20,30 native 5", "isolated 100 101",
 *		"community 100 102", "promiscuous 100 101,102"
 * @out:	may be NULL
 * @canonical:	the same setting in one way of writing; may be NULL
 *
 * Return: 0; -EINVAL with what is wrong in @why
 */
int lab_vlan_parse(const char *text, struct vlan_conf *out, char canonical[LAB_VLAN_TEXT],
		   char *why, size_t why_size);
/* For a remedy. */
#define LAB_VLAN_WORDS                                                                             \
	"none, untagged, access 10, trunk 10-20,30 native 5, isolated 100 101, "                   \
	"community 100 102 or promiscuous 100 101,102"

#endif
