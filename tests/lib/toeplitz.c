/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the slow Toeplitz hash and the published vectors. */
#include "tests/lib/toeplitz.h"

#include <string.h>

const uint8_t toeplitz_ms_key[40] = {
	0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
	0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3,
	0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
};

/* clang-format off */
const struct toeplitz_vector toeplitz_ms[] = {
	{4, {161, 142, 100, 80}, {66, 9, 149, 187}, 1766, 2794, 0x323e8fc2, 0x51ccc178},
	{4, {65, 69, 140, 83}, {199, 92, 111, 2}, 4739, 14230, 0xd718262a, 0xc626b0ea},
	{4, {12, 22, 207, 184}, {24, 19, 198, 95}, 38024, 12898, 0xd2d0a5de, 0x5c2b394a},
	{4, {209, 142, 163, 6}, {38, 27, 205, 30}, 2217, 48228, 0x82989176, 0xafc7327f},
	{4, {202, 188, 127, 2}, {153, 39, 163, 191}, 1303, 44251, 0x5d1809c5, 0x10e828a2},
	{6, {0x3f, 0xfe, 0x25, 0x01, 0x02, 0x00, 0x00, 0x03, 0, 0, 0, 0, 0, 0, 0, 1},
	    {0x3f, 0xfe, 0x25, 0x01, 0x02, 0x00, 0x1f, 0xff, 0, 0, 0, 0, 0, 0, 0, 7},
	    1766, 2794, 0x2cc18cd5, 0x40207d3d},
	{6, {0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1},
	    {0x3f, 0xfe, 0x05, 0x01, 0x00, 0x08, 0, 0, 0x02, 0x60, 0x97, 0xff, 0xfe, 0x40, 0xef, 0xab},
	    4739, 14230, 0x0f0c461c, 0xdde51bbf},
	{6, {0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0x02, 0x00, 0xf8, 0xff, 0xfe, 0x21, 0x67, 0xcf},
	    {0x3f, 0xfe, 0x19, 0x00, 0x45, 0x45, 0x00, 0x03, 0x02, 0x00, 0xf8, 0xff, 0xfe, 0x21, 0x67, 0xcf},
	    38024, 44251, 0x4b61e985, 0x02d1feef},
};
/* clang-format on */
const size_t toeplitz_n_ms = sizeof(toeplitz_ms) / sizeof(toeplitz_ms[0]);

uint32_t toeplitz(const uint8_t key[40], const uint8_t *in, size_t len)
{
	uint32_t hash = 0;

	for (size_t bit = 0; bit < len * 8; bit++) {
		if (!(in[bit / 8] & (0x80u >> (bit % 8))))
			continue;
		for (size_t k = 0; k < 32; k++) {
			size_t kb = bit + k;

			if (key[kb / 8] & (0x80u >> (kb % 8)))
				hash ^= 0x80000000u >> k;
		}
	}
	return hash;
}

uint32_t toeplitz_frame(const uint8_t key[40], const struct frame *f, int l4)
{
	const uint8_t *ip = f->data + f->l3;
	uint8_t in[36];
	size_t n;

	if (f->ip == 4) {
		memcpy(in, ip + 12, 8);
		n = 8;
	} else {
		memcpy(in, ip + 8, 32);
		n = 32;
	}
	if (l4) {
		memcpy(in + n, f->data + f->l4, 4);
		n += 4;
	}
	return toeplitz(key, in, n);
}
