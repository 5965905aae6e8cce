/* SPDX-License-Identifier: BSD-2-Clause */
/* The Toeplitz hash bit by bit, and Microsoft's published verification vectors. */
#ifndef HVLAB_TESTS_LIB_TOEPLITZ_H
#define HVLAB_TESTS_LIB_TOEPLITZ_H

#include <stddef.h>
#include <stdint.h>

#include "tests/lib/frame.h"

/* The key of "Verifying the RSS hash calculation" (Windows driver documentation). */
extern const uint8_t toeplitz_ms_key[40];

struct toeplitz_vector {
	uint8_t ip;
	uint8_t daddr[16], saddr[16];
	uint16_t dport, sport;
	uint32_t hash_ip, hash_l4;
};
extern const struct toeplitz_vector toeplitz_ms[];
extern const size_t toeplitz_n_ms;

uint32_t toeplitz(const uint8_t key[40], const uint8_t *in, size_t len);
/* Of a parsed frame: addresses, and ports when @l4. */
uint32_t toeplitz_frame(const uint8_t key[40], const struct frame *f, int l4);

#endif
