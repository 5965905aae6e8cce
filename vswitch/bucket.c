/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the arithmetic of token buckets. */
#include "vswitch/bucket.h"

#include "base/util.h"

#define FORGET_NS NSEC_PER_SEC /* no more than this is ever credited: keeps sums in range */

void bucket_set(struct bucket *b, uint64_t rate, int64_t cap, uint64_t now)
{
	*b = (struct bucket){.rate = rate, .tokens = cap, .cap = cap, .last_ns = now};
}

uint64_t bucket_earn(struct bucket *b, uint64_t now)
{
	uint64_t ns = now - b->last_ns, earned;

	/* Another thread may have read the clock later and come earlier. */
	if (now <= b->last_ns)
		return 0;
	if (ns >= FORGET_NS) {
		b->last_ns = now;
		return b->rate;
	}
	/* What is less than a token stays on the clock. */
	earned = (uint64_t)((unsigned __int128)ns * b->rate / NSEC_PER_SEC);
	b->last_ns += (uint64_t)((unsigned __int128)earned * NSEC_PER_SEC / b->rate);
	return earned;
}

int64_t bucket_refill(struct bucket *b, uint64_t now)
{
	b->tokens += (int64_t)bucket_earn(b, now);
	b->tokens = MIN(b->tokens, b->cap);
	return b->tokens;
}

uint64_t bucket_wait(const struct bucket *b, int64_t want)
{
	int64_t lack = MIN(want, b->cap) - b->tokens;

	return lack > 0 ? (uint64_t)((unsigned __int128)lack * NSEC_PER_SEC / b->rate) + 1 : 0;
}
