/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From policy files to what the switch takes (vswitch/policy/spec.h), for one NIC.
 *
 * Layers, from the guest outwards: acl-meter, acl-basic, acl-extended, nsg-nic, nsg-subnet, nat,
 * meter, tunnel. What a guest sends meets them in this order, what comes to it in the reverse one:
 * so the group of the NIC is asked before that of the subnet on the way out and after it on the way
 * in, and groups see a guest's own address on both sides of a translation. Layers that have nothing
 * for a NIC are left out.
 *
 * Groups judge IPv4 and IPv6; ARP passes. Beside the user's rules and the default rules they have
 * those of the platform, at priorities below 100: DHCP, DNS and neighbour discovery work under
 * every group, as they do in Azure.
 */
#ifndef HVLAB_HOST_NSG_COMPILE_H
#define HVLAB_HOST_NSG_COMPILE_H

#include "host/nsg.h"

struct nsg_world;

/*
 * What names mean: the lab's subnets, the addresses of guests by label. @lab NULL: only what the
 * files say. Both outlive it; it is made anew when a NIC comes, goes or changes its address. NULL:
 * no memory.
 */
struct nsg_world *nsg_world_new(const struct nsg_set *set, const struct lab *lab);
void nsg_world_free(struct nsg_world *w);

struct nsg_list {
	const struct policy_prefix *prefixes;
	uint32_t n;
};
/* @net: of the lab the one it is looked at from; -1: none. */
struct nsg_list nsg_world_tag(const struct nsg_world *w, enum nsg_addr_kind kind, int net);
/* Addresses of a group; none: nobody is in it. */
struct nsg_list nsg_world_asg(const struct nsg_world *w, const char *name);
/* {name: [address]}, a new reference. */
json_t *nsg_world_asgs_json(const struct nsg_world *w);

/**
 * struct nsg_target - The NIC that it is for
 * @nic:	"a/eth0"
 * @net:	its network in the lab; -1 with @lab NULL
 */
struct nsg_target {
	const struct lab *lab;
	const char *nic;
	int net;
};

/**
 * struct nsg_spec - A compiled NIC
 * @spec:	n_layers 0: nothing is said about this NIC
 * @nic_nsg, @subnet_nsg: names of the groups in force, or NULL
 */
struct nsg_spec {
	struct arena mem;
	struct policy_spec spec;
	const char *nic_nsg, *subnet_nsg;
	uint32_t n_rules;
};

/* 0; -ENOMEM; -E2BIG with @why: more rules than the switch takes. nsg_spec_free() in any case. */
int nsg_compile(const struct nsg_set *set, const struct nsg_world *w, const struct nsg_target *t,
		struct nsg_spec *out, char *why, size_t why_size);
/* One group alone, as layer "nsg-nic" of a NIC on network @net. */
int nsg_compile_group(const struct nsg_world *w, const struct nsg *g, const struct lab *lab,
		      int net, struct nsg_spec *out, char *why, size_t why_size);
void nsg_spec_free(struct nsg_spec *s);
/* A number that is the same for equal specs, and hardly ever for others. */
uint64_t nsg_spec_digest(const struct nsg_spec *s);

#endif
