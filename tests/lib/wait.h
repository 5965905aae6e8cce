/* SPDX-License-Identifier: BSD-2-Clause */
/* Waiting for a condition, with a deadline, without sleeping for luck. */
#ifndef HVLAB_TESTS_LIB_WAIT_H
#define HVLAB_TESTS_LIB_WAIT_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "base/util.h"

/* Sanitizers and two shared cores: generous; only a failing test waits this long. */
#define WAIT_MS 20000

/* Lets other threads run: first by yielding, later by short naps. */
static inline void wait_breathe(unsigned int round)
{
	struct timespec ts = {.tv_nsec = round < 64 ? 0 : 50000};

	nanosleep(&ts, NULL);
}

/*
 * Evaluates @cond until it holds or @ms milliseconds have passed; the value is whether it held.
 *	assert_true(wait_until(drv_cq_ready(cq), WAIT_MS));
 */
#define wait_until(cond, ms)                                                                       \
	({                                                                                         \
		uint64_t wait_end_ = now_ns() + (uint64_t)(ms)*NSEC_PER_MSEC;                      \
		unsigned int wait_round_ = 0;                                                      \
		bool wait_held_;                                                                   \
		while (!(wait_held_ = (cond)) && now_ns() < wait_end_)                             \
			wait_breathe(wait_round_++);                                               \
		wait_held_ || (cond);                                                              \
	})

#endif
