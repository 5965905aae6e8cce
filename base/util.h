/* SPDX-License-Identifier: BSD-2-Clause */
/* Small things every room needs and that carry no meaning of their own. */
#ifndef HVLAB_BASE_UTIL_H
#define HVLAB_BASE_UTIL_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define ARRAY_SIZE(a)	       (sizeof(a) / sizeof((a)[0]))
#define CONTAINER_OF(p, t, m)  ((t *)((char *)(p)-offsetof(t, m)))
#define ALIGN_UP(x, a)	       (((x) + (a)-1) & ~((__typeof__(x))(a)-1))
#define MIN(a, b)	       ((a) < (b) ? (a) : (b))
#define MAX(a, b)	       ((a) > (b) ? (a) : (b))
#define likely(x)	       __builtin_expect(!!(x), 1)
#define unlikely(x)	       __builtin_expect(!!(x), 0)
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

/* The line at @p will be written. Without -mprfchw gcc's own prefetch asks for it to be read. */
static inline void prefetch_write(const void *p)
{
#ifdef __x86_64__
	__asm__ volatile("prefetchw %0" : : "m"(*(const char *)p));
#else
	__builtin_prefetch(p, 1);
#endif
}

#define NSEC_PER_USEC 1000ull
#define NSEC_PER_MSEC 1000000ull
#define NSEC_PER_SEC  1000000000ull

/* Nanoseconds of CLOCK_MONOTONIC: the one clock of timers, events and time-outs. */
static inline uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

#endif
