/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A compiled policy: immutable, counted, published per port. See spec.h for the model.
 *
 * Threads. policy_new(), policy_replace_group(), policy_put(): the control thread (any thread, one
 * at a time per policy). policy_walk(): any thread that holds a reference or is in a read section.
 */
#ifndef HVLAB_VSWITCH_POLICY_POLICY_H
#define HVLAB_VSWITCH_POLICY_POLICY_H

#include <stdatomic.h>
#include <stddef.h>

#include "vswitch/policy/spec.h"

struct policy;
struct pkt;

/**
 * struct policy_error - Why a policy was refused
 * @layer, @group, @rule:	indices into the spec; -1: none meant
 */
struct policy_error {
	int layer, group, rule;
	char reason[160];
};

/*
 * @old: the policy before, or NULL: meters of one name go on counting.
 * NULL with errno and @err: EINVAL (two rules of one priority, a range upside down, ...), E2BIG,
 * ENOMEM.
 */
struct policy *policy_new(const struct policy_spec *spec, const struct policy *old,
			  struct policy_error *err);
/*
 * @old with one group of one layer replaced, everything else shared. The group is found by layer
 * name, direction and group name; -ENOENT.
 */
struct policy *policy_replace_group(struct policy *old, const char *layer,
				    const struct policy_group *group, struct policy_error *err);
struct policy *policy_get(struct policy *p);
/* The last one frees; no reader may be left (the switch waits for them). NULL is fine. */
void policy_put(struct policy *p);
size_t policy_n_rules(const struct policy *p);
/*
 * Does an address translation give the guest that address: as the source of what it sends, or as the
 * destination (a single one) of what is sent to it? Nobody else answers for it.
 */
bool policy_owns(const struct policy *p, const uint8_t addr[16]);

/**
 * struct policy_fields - What rules look at, of one packet
 *
 * Taken from a parsed packet by policy_fields_from(); changed by the layers as they go.
 */
struct policy_fields {
	uint8_t src[16], dst[16];
	uint16_t sport, dport; /* of ICMP: type and code */
	uint16_t ident;	       /* of an ICMP query: what address translation uses as its port */
	uint16_t eth_type;
	uint8_t proto;
	bool has_ip, has_ports, has_ident;
	uint32_t vni;		   /* POLICY_ANY_VNI: came through no tunnel */
	uint64_t src_mac, dst_mac; /* fdb_mac() */
};
void policy_fields_from(struct policy_fields *f, const struct pkt *pkt);

/* One step of a walk, for those who want to see it. */
struct policy_step {
	uint8_t layer, group; /* in the order of the spec; POLICY_NO_GROUP: see @stateful */
	uint32_t rule; /* in the order of the spec; POLICY_NO_RULE: none of the group matched */
	bool stateful; /* the layer let it pass as a reply, and asked no group */
};
#define POLICY_NO_RULE	UINT32_MAX
#define POLICY_NO_GROUP UINT8_MAX

struct policy_trace {
	unsigned int n, max; /* @n may be above @max: some were not kept */
	struct policy_step *steps;
};

/**
 * struct policy_conn - What the first packet of a connection left for its other direction
 * @stateful:	layers, a bit each, whose rule for it was a stateful one: they let replies pass
 * @nat_layer:	the layer that translated; -1: none did
 * @back:	what undoes that, on a reply
 */
struct policy_conn {
	uint16_t stateful;
	int8_t nat_layer;
	struct vsw_xpose back;
};

/**
 * struct policy_ctx - What a walk may need beside the packet; all zero is fine
 * @reply:	the packet belongs to this connection, in the direction against its first packet
 * @nat_port:	chooses a port for a rule that has a range of them. @fields as that rule sees them.
 *		False: there is none left. NULL: the first of the range
 * @trace:	wants to see the steps
 */
struct policy_ctx {
	const struct policy_conn *reply;
	bool (*nat_port)(void *arg, const struct policy_action *action,
			 const struct policy_fields *fields, uint16_t *port);
	void *arg;
	struct policy_trace *trace;
};

/**
 * struct policy_result - What all layers together say
 * @verdict:	DENY also when no port was left for a translation (@no_nat_port)
 * @xpose:	composed header changes; flags 0: none
 * @conn:	for replies
 * @layer, @group, @rule: who decided: the rule that denied, else the last that matched. @rule is
 *		POLICY_NO_RULE when none did
 * @idle_ms:	least of those the matching rules gave; 0: none
 * @meters:	@n_meters indices into the policy's, each once
 * @limits:	@n_limits, in the order of the layers
 */
struct policy_result {
	enum policy_verdict verdict;
	bool no_nat_port;
	struct vsw_xpose xpose;
	struct policy_conn conn;
	uint8_t layer, group;
	uint32_t rule;
	uint32_t idle_ms;
	uint32_t mirror, mark;
	uint8_t n_meters, n_limits;
	uint8_t meters[POLICY_MAX_LIMITS];
	struct policy_limit *limits[POLICY_MAX_LIMITS];
};

/* @fields is changed on the way. @ctx may be NULL. */
void policy_walk(const struct policy *p, enum policy_dir dir, struct policy_fields *fields,
		 struct policy_result *res, const struct policy_ctx *ctx);

/* ---- Limits and meters: live longer than the policy that made them ------------------------- */

struct policy_limit *policy_limit_get(struct policy_limit *l);
void policy_limit_put(struct policy_limit *l);
/* May @bytes pass now (ns of now_ns())? Any thread. */
bool policy_limit_take(struct policy_limit *l, uint64_t bytes, uint64_t now);
/* They did not, after all. */
void policy_limit_give(struct policy_limit *l, uint64_t bytes);

struct policy_meter {
	_Atomic unsigned int refs;
	char name[POLICY_NAME_MAX];
	_Atomic uint64_t packets[POLICY_N_DIRS], bytes[POLICY_N_DIRS];
};
unsigned int policy_n_meters(const struct policy *p);
struct policy_meter *policy_meter(const struct policy *p, unsigned int i);
struct policy_meter *policy_meter_get(struct policy_meter *m);
void policy_meter_put(struct policy_meter *m);

/* Names, for texts. Valid while the policy is. */
const char *policy_layer_name(const struct policy *p, unsigned int layer);
const char *policy_group_name(const struct policy *p, unsigned int layer, unsigned int group);
const char *policy_rule_name(const struct policy *p, unsigned int layer, unsigned int group,
			     uint32_t rule);

#endif
