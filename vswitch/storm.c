/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the counting of a storm limit. */
#include "vswitch/storm.h"

#include "base/util.h"

static uint64_t interval_of(uint64_t now)
{
	return now / NSEC_PER_SEC << 32;
}

bool storm_take(struct storm *s, uint32_t frames, uint64_t now)
{
	uint64_t old = atomic_load_explicit(&s->state, memory_order_relaxed), new;

	if (!s->pps)
		return true;
	do {
		/* A clock read before another's is of its interval: none is opened twice. */
		uint64_t base = MAX(interval_of(now), old & ~0xffffffffull);

		new = base == (old & ~0xffffffffull) ? old : base;
		if ((new & 0xffffffffu) + frames > s->pps)
			return false;
		new += frames;
	} while (!atomic_compare_exchange_weak_explicit(&s->state, &old, new, memory_order_relaxed,
							memory_order_relaxed));
	return true;
}

void storm_give(struct storm *s, uint32_t frames, uint64_t now)
{
	uint64_t old = atomic_load_explicit(&s->state, memory_order_relaxed);

	if (!s->pps)
		return;
	do {
		if ((old & ~0xffffffffull) != interval_of(now) || (old & 0xffffffffu) < frames)
			return;
	} while (!atomic_compare_exchange_weak_explicit(
		&s->state, &old, old - frames, memory_order_relaxed, memory_order_relaxed));
}
