/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a NIC's policy says about a packet, told as JSON: for explain and for the tests in policy
 * files. It is the switch's own classifier that is asked, without sending anything; connections
 * that exist are not looked at, so it is the answer for a first packet.
 */
#ifndef HVLAB_HOST_POLICY_EVAL_H
#define HVLAB_HOST_POLICY_EVAL_H

#include <jansson.h>

#include "host/nsg_compile.h"
#include "host/nsg_packet.h"

/* A compiled NIC with what the switch makes of it; @policy NULL: nothing is said about it. */
struct policy_nic {
	struct nsg_spec spec;
	struct policy *policy;
};

/*
 * @old: the policy before, for the meters. 0; -ENOMEM, -E2BIG, -EINVAL with @why. Fini in any
 * case.
 */
int policy_nic_init(struct policy_nic *pn, const struct nsg_set *set, const struct nsg_world *w,
		    const struct nsg_target *t, const struct policy *old, char *why,
		    size_t why_size);
void policy_nic_fini(struct policy_nic *pn);

/**
 * policy_explain() - Ask one NIC
 * @f:		changed to what becomes of the packet
 * @verdict:	Out
 *
 * {policy, direction, verdict, decided_by: {layer, group, rule, priority} or null, steps: [{layer,
 * group, rule, priority, verdict}], changes, meters, mark, limit_mbps, tunnel}; a new reference.
 */
json_t *policy_explain(const struct policy_nic *pn, enum policy_dir dir, struct policy_fields *f,
		       enum policy_verdict *verdict);
/* Did rule @name have a say in @explained? */
bool policy_explained_by(const json_t *explained, const char *name);

/**
 * policy_test() - Check the expectations of a set of files
 * @lab:	for packets that meet all that is on their way; NULL: only those with a group
 *
 * {passed, failed, results: [{file, line, packet, expect, got, rule, by, ok, why}]}; a new
 * reference; NULL: no memory.
 */
json_t *policy_test(const struct nsg_set *set, const struct lab *lab);

#endif
