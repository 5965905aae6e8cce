/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A token bucket. Pure: the caller brings the time (now_ns()) and the lock.
 *
 * A token is a byte, or whatever the caller counts. Taking may leave a debt, which is paid before
 * anything is allowed again: so a packet larger than the bucket passes, and the rate holds.
 */
#ifndef HVLAB_VSWITCH_BUCKET_H
#define HVLAB_VSWITCH_BUCKET_H

#include <stdint.h>

/**
 * struct bucket
 * @rate:	tokens per second; 0: no limit, and the rest means nothing
 * @tokens:	left; allowed while positive
 * @cap:	most it holds
 */
struct bucket {
	uint64_t rate;
	int64_t tokens, cap;
	uint64_t last_ns;
};

/* Full. @cap at least 1. */
void bucket_set(struct bucket *b, uint64_t rate, int64_t cap, uint64_t now);
/*
 * Tokens that time has brought since the last call, a second's at most; the caller adds them.
 * Fractions stay on the clock.
 */
uint64_t bucket_earn(struct bucket *b, uint64_t now);
/* The same, and adds them. Returns what there is. */
int64_t bucket_refill(struct bucket *b, uint64_t now);
/* Nanoseconds from the last refill until there are @want; 0: there are. */
uint64_t bucket_wait(const struct bucket *b, int64_t want);

#endif
