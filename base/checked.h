/* SPDX-License-Identifier: BSD-2-Clause */
/* Overflow-checked arithmetic for sizes and ranges that a guest or a peer chose. */
#ifndef HVLAB_BASE_CHECKED_H
#define HVLAB_BASE_CHECKED_H

#include <stdbool.h>
#include <stdint.h>

/* *@res = @a + @b or @a * @b; false (and *@res undefined) when it does not fit. */
#define checked_add(a, b, res) (!__builtin_add_overflow((a), (b), (res)))
#define checked_sub(a, b, res) (!__builtin_sub_overflow((a), (b), (res)))
#define checked_mul(a, b, res) (!__builtin_mul_overflow((a), (b), (res)))

/* True when [off, off + len) lies inside an object of @size bytes. Cannot overflow. */
static inline bool range_ok(uint64_t off, uint64_t len, uint64_t size)
{
	return off <= size && len <= size - off;
}

#endif
