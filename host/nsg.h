/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Policy files: what users write of the switch's policy, in our own YAML form or in Azure's JSON,
 * as a checked model. nsg_compile.h makes of it what the switch takes.
 *
 * The model keeps names (tags, application security groups, networks, NICs) as they were written;
 * what they mean depends on a lab and is looked up when it is compiled. Everything in a struct
 * nsg_file is valid once nsg_load_*() returned 0, as far as one file can say: see nsg_set_check()
 * for what concerns several.
 *
 * Any thread; no global state. Everything belongs to the file's arena.
 */
#ifndef HVLAB_HOST_NSG_H
#define HVLAB_HOST_NSG_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host/arena.h"
#include "host/lab.h"
#include "vswitch/policy/spec.h"

#define NSG_MAX_TEXT	 (8u << 20) /* bytes of a policy file */
#define NSG_MAX_NSGS	 64	    /* of a file */
#define NSG_MAX_RULES	 1000	    /* of an NSG, both directions together */
#define NSG_MAX_PREFIXES 4000	    /* of one side of a rule */
#define NSG_MAX_PORTS	 1000	    /* port ranges of one side of a rule */
#define NSG_MAX_LISTS	 256	    /* entries of acls, nat, meters, tunnels, tests of a file */
#define NSG_MAX_ITEMS	 1000000    /* addresses and port ranges of a file, all together */
#define NSG_MAX_FILES	 16	    /* applied together */
#define NSG_NAME_MAX	 79	    /* bytes of a name; POLICY_NAME_MAX with its end */

#define NSG_PRIORITY_MIN 100
#define NSG_PRIORITY_MAX 4096
#define ACL_WEIGHT_MAX	 65535
#define ACL_IDLE_DEFAULT 255 /* seconds, as Hyper-V has it */
#define ACL_IDLE_MAX	 86400

/* Virtual address of the platform in every Azure network: load balancer probes come from it. */
#define NSG_PLATFORM_IP "168.63.129.16"

enum nsg_addr_kind {
	NSG_ADDR_PREFIX,
	NSG_ADDR_VNET,	   /* VirtualNetwork */
	NSG_ADDR_LB,	   /* AzureLoadBalancer */
	NSG_ADDR_INTERNET, /* Internet */
	NSG_ADDR_ASG,	   /* an application security group, by name */
	NSG_N_ADDR_KINDS
};
/* "VirtualNetwork"; "" for prefixes and groups. */
const char *nsg_tag_name(enum nsg_addr_kind kind);

struct nsg_addr {
	enum nsg_addr_kind kind;
	struct policy_prefix prefix;
	const char *asg;
};

/* Addresses and ports of one end. An empty list: any. */
struct nsg_side {
	struct nsg_addr *addrs;
	struct policy_range *ports;
	uint32_t n_addrs, n_ports;
};

/* @n_protos 0: any. ICMP as a word is both 1 and 58. */
struct nsg_proto {
	uint8_t protos[2];
	uint8_t n_protos;
};

struct nsg_rule {
	const char *name, *description;
	uint32_t priority;
	enum policy_dir dir;
	enum policy_verdict verdict;
	struct nsg_proto proto;
	struct nsg_side src, dst;
	unsigned int line;
};

struct nsg {
	const char *name;
	bool flush_connection; /* Azure's property: established connections are judged anew */
	struct nsg_rule *rules;
	uint32_t n_rules;
	unsigned int line;
};

/* Who gets it. Nothing given: every NIC. */
struct nsg_scope {
	const char **nics, **networks;
	uint32_t n_nics, n_networks;
	unsigned int line;
};

/*
 * Hyper-V's extended port ACL: the rule with the highest weight wins; no match: allowed. @mac ones
 * belong to basic ACLs only, where the most specific rule wins and Meter counts.
 */
enum nsg_acl_action { NSG_ACL_ALLOW, NSG_ACL_DENY, NSG_ACL_METER };

struct nsg_acl_rule {
	const char *name;
	enum nsg_acl_action action;
	bool in, out;
	uint32_t weight;
	bool stateful;
	uint32_t idle_s;
	const char *meter;
	struct nsg_proto proto;
	struct nsg_side local, remote;
	bool has_local_mac, has_remote_mac;
	uint8_t local_mac[6], remote_mac[6];
	unsigned int line;
};

struct nsg_acl {
	const char *name;
	bool basic;
	struct nsg_scope scope;
	struct nsg_acl_rule *rules;
	uint32_t n_rules;
};

struct nsg_nat_port {
	struct nsg_proto proto;
	uint16_t outside, inside;
	struct policy_prefix addr;
};

/**
 * struct nsg_nat
 * @outside:	the address that others see
 * @inside:	1:1: one address. With @source_ports: what is translated to @outside when it leaves
 * @ports:	port mappings of the address @outside
 * @source_ports: source NAT with a port of this range; lo 0: none
 * @remote:	only with these peers; empty: all
 */
struct nsg_nat {
	const char *name;
	struct nsg_scope scope;
	struct policy_prefix outside;
	struct policy_prefix *inside;
	uint32_t n_inside;
	struct nsg_nat_port *ports;
	uint32_t n_ports;
	struct policy_range source_ports;
	struct nsg_side remote;
	unsigned int line;
};

/* An entry of meters or tunnels: a match, and what is done to what matches. First match wins. */
struct nsg_extra {
	const char *name;
	struct nsg_scope scope;
	bool in, out;
	struct nsg_proto proto;
	struct nsg_side local, remote;
	const char *meter;   /* NULL: none */
	uint32_t limit_mbps; /* 0: none */
	bool has_mark;
	uint32_t mark;
	bool mirror; /* copies to the network's mirror destinations */
	bool encap; /* a tunnel: */
	uint32_t vni;
	struct policy_prefix vtep;
	unsigned int line;
};

struct nsg_apply {
	const char *target; /* a network's or a NIC's name */
	const char *nsg;
	unsigned int line;
};

/* A static application security group: addresses beside those of guests with that label. */
struct nsg_asg {
	const char *name;
	struct policy_prefix *prefixes;
	uint32_t n_prefixes;
	unsigned int line;
};

/**
 * struct nsg_expect - An entry of tests
 * @packet:	as explain takes it
 * @nsg:	only this group, in @dir; NULL: the lab decides which groups judge it
 * @rule:	a rule that must have had a say; NULL: any
 */
struct nsg_expect {
	const char *packet, *nsg, *rule;
	enum policy_dir dir;
	enum policy_verdict verdict;
	unsigned int line;
};

struct nsg_file {
	struct arena mem;
	const char *name; /* as it was given */
	bool azure;
	struct nsg *nsgs;
	struct nsg_apply *networks, *nics;
	struct nsg_acl *acls;
	struct nsg_nat *nats;
	struct nsg_extra *meters, *tunnels;
	struct nsg_asg *asgs;
	struct nsg_expect *tests;
	uint32_t n_nsgs, n_networks, n_nics, n_acls, n_nats, n_meters, n_tunnels, n_asgs, n_tests;
	bool peered;		    /* VirtualNetwork is all networks of the lab */
	struct policy_prefix *vnet; /* and these */
	uint32_t n_vnet;
	uint32_t n_items;
};

/**
 * nsg_load_text() - Read and check a policy file
 * @name:	for messages
 * @file:	Out: the caller's, nsg_free(); NULL on failure
 * @errs:	Out: everything found wrong; lab_errors_free() in any case
 *
 * Return: 0; -EINVAL when the content is wrong; -ENOMEM
 */
int nsg_load_text(const char *name, const char *text, size_t size, struct nsg_file **file,
		  struct lab_errors *errs);
/* The same from a file; also -errno of open or read, with an entry in @errs. */
int nsg_load_file(const char *path, struct nsg_file **file, struct lab_errors *errs);
void nsg_free(struct nsg_file *file);
/* A file's text, at most one byte more than NSG_MAX_TEXT; the caller's. 0 or -errno. */
int nsg_read_text(const char *path, char **text, size_t *size);

/* The rules that every group has, in the order of their priority: 3 of each direction. */
#define NSG_N_DEFAULTS 6
const struct nsg_rule *nsg_defaults(void);

/* Files that are in force together. The caller owns the list. */
struct nsg_set {
	struct nsg_file **files;
	uint32_t n;
};

const struct nsg *nsg_find(const struct nsg_set *set, const char *name);
/*
 * What one file cannot know: names that two files give away, groups that no file has, networks and
 * NICs that @lab (NULL: none) does not have. @errs: one per file. 0 or -EINVAL.
 */
int nsg_set_check(const struct nsg_set *set, const struct lab *lab, struct lab_errors *errs);
/* Is @scope for this NIC ("a/eth0") on this network? */
bool nsg_scope_has(const struct nsg_scope *scope, const char *nic, const char *network);

/* ---- as text and JSON ---- */

void nsg_prefix_print(const struct policy_prefix *p, char *buf, size_t size);
/* "tcp", "icmp", "any", "47". */
void nsg_proto_print(const struct nsg_proto *p, char *buf, size_t size);
/* Everything in the form that our YAML has; new references. */
json_t *nsg_rule_to_json(const struct nsg_rule *r);
json_t *nsg_file_to_json(const struct nsg_file *f);
/*
 * [{what: "nsg"|"acl"|..., name, change: "added"|"removed"|"changed", rules: [{name, change,
 * before, after}]}]: what differs between two states; either may be empty. A new reference.
 */
json_t *nsg_diff(const struct nsg_set *before, const struct nsg_set *after);

#endif
