/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a policy says, the slow way: every rule of vswitch/policy/spec.h held against the packet,
 * one after the other. Shares no code with the switch; it is what the switch's classifier is
 * compared with.
 */
#ifndef HVLAB_TESTS_LIB_REF_POLICY_H
#define HVLAB_TESTS_LIB_REF_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "vswitch/policy/policy.h"

/**
 * struct ref_result
 * @layer, @group, @rule: who decided, in the order of the spec; @rule -1: nobody
 * @stateful:	layers, a bit each, whose rule was a stateful one
 * @undo_nat:	layer that translated, -1: none; @was_ip, @was_port: before
 * @meters:	bits
 */
struct ref_result {
	enum policy_verdict verdict;
	int layer, group, rule;
	uint32_t stateful;
	int nat_layer;
	uint8_t was_ip[16];
	uint16_t was_port;
	bool port_changed;
	uint64_t meters;
	uint32_t mark, mirror, idle_ms;
};

bool ref_matches(const struct policy_match *m, const struct policy_fields *f);
/* @f is changed as the packet is. @first: of the packet that this one replies to, or NULL. */
void ref_walk(const struct policy_spec *spec, enum policy_dir dir, struct policy_fields *f,
	      const struct ref_result *first, struct ref_result *out);

#endif
