/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rules for measuring, as scripts/bench switch writes them, a line each:
 *
 *	in|out PRIORITY allow|deny stateful|stateless PROTO|any PREFIX|any PREFIX|any LOW-HIGH|any
 *
 * Prefixes are the source's and the destination's, the range is of destination ports.
 */
#ifndef HVLAB_TESTS_BENCH_RULES_H
#define HVLAB_TESTS_BENCH_RULES_H

#include "vswitch/policy/policy.h"

/* One layer with a group of each direction. NULL after a message on stderr. */
struct policy *bench_policy_read(const char *path);

#endif
