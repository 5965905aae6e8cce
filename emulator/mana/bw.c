/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the token bucket behind SET_BW_CLAMP. Pure: the caller brings the time. */
#include "emulator/mana/mana_internal.h"

#define BW_CAP_NS    (1 * NSEC_PER_MSEC) /* how much the bucket holds, as time at full rate */
#define BW_MIN_CAP   (16 * 1024)
#define BW_FORGET_NS NSEC_PER_SEC /* no more than this is ever credited: keeps sums in range */

void bw_set(struct mana_bw *bw, uint64_t mbps, uint64_t now)
{
	*bw = (struct mana_bw){.mbps = mbps, .rate = mbps * 125000, .last_ns = now};
	bw->cap = MAX((int64_t)(bw->rate / (NSEC_PER_SEC / BW_CAP_NS)), (int64_t)BW_MIN_CAP);
	bw->tokens = bw->cap;
}

int64_t bw_refill(struct mana_bw *bw, uint64_t now)
{
	uint64_t ns = now - bw->last_ns, earned;

	if (ns >= BW_FORGET_NS) {
		earned = bw->rate;
		bw->last_ns = now;
	} else {
		/* What is less than a byte stays on the clock. */
		earned = (uint64_t)((unsigned __int128)ns * bw->rate / NSEC_PER_SEC);
		bw->last_ns += (uint64_t)((unsigned __int128)earned * NSEC_PER_SEC / bw->rate);
	}
	bw->tokens = MIN(bw->tokens + (int64_t)earned, bw->cap);
	return bw->tokens;
}

uint64_t bw_delay(const struct mana_bw *bw)
{
	int64_t want = bw->cap / 2 - bw->tokens;

	return want > 0 ? (uint64_t)((unsigned __int128)want * NSEC_PER_SEC / bw->rate) + 1 : 0;
}
