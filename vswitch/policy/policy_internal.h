/* SPDX-License-Identifier: BSD-2-Clause */
/* Between policy.c and walk.c: what a compiled policy is. */
#ifndef HVLAB_VSWITCH_POLICY_POLICY_INTERNAL_H
#define HVLAB_VSWITCH_POLICY_POLICY_INTERNAL_H

#include "vswitch/policy/classify.h"
#include "vswitch/policy/policy.h"

/* @index: in the order of the spec. @action.xpose points at @xpose, or is NULL. */
struct rule {
	char name[POLICY_NAME_MAX];
	uint32_t priority, index;
	bool terminating, stateful;
	uint32_t idle_ms;
	struct policy_action action;
	struct vsw_xpose xpose;
	struct policy_limit *limit;
};

/* @rules: in the order of priority, as @find counts them. What any of them does: @translates, ... */
struct group {
	_Atomic unsigned int refs;
	char name[POLICY_NAME_MAX];
	enum policy_dir dir;
	struct classifier *when; /* NULL: always asked */
	struct classifier *find;
	struct rule *rules;
	uint32_t *place; /* in @rules, by the index in the spec */
	uint32_t n;
	bool translates, limits, meters;
	uint8_t (*owned)[16]; /* addresses that its translations give the guest */
	uint32_t n_owned;
};

struct layer {
	char name[POLICY_NAME_MAX];
	struct group **groups; /* both directions, in the order of the spec */
	uint32_t n;
};

struct policy {
	_Atomic unsigned int refs;
	struct layer layers[POLICY_MAX_LAYERS];
	uint32_t n_layers;
	struct policy_meter *meters[POLICY_MAX_METERS];
	uint32_t n_meters;
};

#endif
