/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The first of many matches that a packet's fields satisfy. Immutable once made; any thread.
 */
#ifndef HVLAB_VSWITCH_POLICY_CLASSIFY_H
#define HVLAB_VSWITCH_POLICY_CLASSIFY_H

#include "vswitch/policy/policy.h"

struct classifier;

/*
 * @matches: @n of them, at most POLICY_MAX_RULES, in the order of their priority; not kept. NULL
 * with errno: ENOMEM, E2BIG (the tables would take more than CLASSIFIER_MAX_BYTES).
 */
struct classifier *classifier_new(const struct policy_match *const *matches, uint32_t n);
void classifier_free(struct classifier *c);
/* Index of the first that matches; POLICY_NO_RULE: none does. */
uint32_t classifier_first(const struct classifier *c, const struct policy_fields *f);

#define CLASSIFIER_MAX_BYTES (256u << 20)

#endif
