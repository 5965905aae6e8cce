/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The Internet checksum (RFC 1071) and the copy that takes it along.
 *
 * A sum is a 64-bit one's complement accumulator of the words as they lie in memory; it is
 * turned into the 16 bits on the wire by cksum_fold() and stored with memcpy(), never
 * byte-swapped. A piece that starts at an odd offset of the summed range goes through
 * cksum_odd(). Any thread.
 */
#ifndef HVLAB_VSWITCH_CHECKSUM_H
#define HVLAB_VSWITCH_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t cksum_plus(uint64_t a, uint64_t b)
{
	a += b;
	return a + (a < b);
}

/* 16 bits in memory order, not complemented. */
static inline uint16_t cksum_fold(uint64_t sum)
{
	sum = (sum & 0xffffffffu) + (sum >> 32);
	sum = (sum & 0xffffffffu) + (sum >> 32);
	sum = (sum & 0xffffu) + (sum >> 16);
	sum = (sum & 0xffffu) + (sum >> 16);
	return (uint16_t)((sum & 0xffffu) + (sum >> 16));
}

/* The sum of a piece as it counts when the piece lies at an odd offset. */
static inline uint64_t cksum_odd(uint64_t sum)
{
	return __builtin_bswap16(cksum_fold(sum));
}

/* Headers: short, in our own memory. An odd last byte counts as followed by zero. */
static inline uint64_t cksum_short(uint64_t sum, const void *data, size_t len)
{
	const uint8_t *p = data;
	uint64_t v;
	uint32_t w;
	uint16_t h;

	for (; len >= 8; len -= 8, p += 8) {
		memcpy(&v, p, 8);
		sum = cksum_plus(sum, v);
	}
	if (len & 4) {
		memcpy(&w, p, 4);
		sum = cksum_plus(sum, w);
		p += 4;
	}
	if (len & 2) {
		memcpy(&h, p, 2);
		sum = cksum_plus(sum, h);
		p += 2;
	}
	if (len & 1) {
		const uint8_t last[2] = {*p, 0};

		memcpy(&h, last, 2);
		sum = cksum_plus(sum, h);
	}
	return sum;
}

/**
 * struct cksum_impl - One way to do the long ones
 * @add:	Sum of @len bytes, of any alignment
 * @copy:	The same while copying them; reads each source byte once
 */
struct cksum_impl {
	const char *name;
	int (*usable)(void);
	uint64_t (*add)(uint64_t sum, const void *data, size_t len);
	uint64_t (*copy)(uint64_t sum, void *dst, const void *src, size_t len);
};

/* Best first; the last is plain C and always usable. For tests and benchmarks. */
extern const struct cksum_impl cksum_impls[];
extern const unsigned int cksum_n_impls;
/* The best one this CPU can run, chosen at start-up. */
extern const struct cksum_impl *cksum;

#endif
