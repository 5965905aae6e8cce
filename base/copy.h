/* SPDX-License-Identifier: BSD-2-Clause */
/* A copy of headers: short, of a size known only at run time. */
#ifndef HVLAB_BASE_COPY_H
#define HVLAB_BASE_COPY_H

#include <stdint.h>
#include <string.h>

#include "base/util.h"

/*
 * memcpy() for some hundred bytes at most. In blocks of fixed size, the last of which overlaps
 * the one before. gcc makes "rep movsq" of a memcpy() that it knows to be short, but not how
 * short, and that takes longer to start than this takes to end.
 */
static inline void copy_short(void *to, const void *from, uint32_t n)
{
	const uint8_t *f = from;
	uint8_t *t = to;
	uint32_t at;

	if (likely(n >= 64)) {
		for (at = 0; at + 64 <= n; at += 64)
			memcpy(t + at, f + at, 64);
		if (at < n)
			memcpy(t + n - 64, f + n - 64, 64);
	} else if (n >= 16) {
		memcpy(t, f, 16);
		if (n > 32) {
			memcpy(t + 16, f + 16, 16);
			memcpy(t + n - 32, f + n - 32, 16);
		}
		memcpy(t + n - 16, f + n - 16, 16);
	} else {
		for (at = 0; at < n; at++)
			t[at] = f[at];
	}
}

#endif
