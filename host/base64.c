/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the coding of bytes as base64 text and back. */
#include "host/base64.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *base64_encode(const void *data, size_t size)
{
	const uint8_t *in = data;
	char *text, *out;

	if (size > SIZE_MAX / 2)
		return NULL;
	text = out = malloc((size + 2) / 3 * 4 + 1);
	if (!text)
		return NULL;
	for (; size >= 3; size -= 3, in += 3) {
		*out++ = alphabet[in[0] >> 2];
		*out++ = alphabet[(in[0] & 3) << 4 | in[1] >> 4];
		*out++ = alphabet[(in[1] & 15) << 2 | in[2] >> 6];
		*out++ = alphabet[in[2] & 63];
	}
	if (size) {
		uint8_t second = size == 2 ? in[1] : 0;

		*out++ = alphabet[in[0] >> 2];
		*out++ = alphabet[(in[0] & 3) << 4 | second >> 4];
		*out++ = size == 2 ? alphabet[(second & 15) << 2] : '=';
		*out++ = '=';
	}
	*out = '\0';
	return text;
}

static int value_of(char c)
{
	const char *at = c ? strchr(alphabet, c) : NULL;

	return at ? (int)(at - alphabet) : -1;
}

void *base64_decode(const char *text, size_t *size)
{
	size_t len = strlen(text), n = 0;
	uint8_t *out;

	if (len % 4) {
		errno = EINVAL;
		return NULL;
	}
	out = malloc(len / 4 * 3 + 1);
	if (!out)
		return NULL;
	for (size_t i = 0; i < len; i += 4) {
		unsigned int pad = 0;
		uint32_t bits = 0;

		if (i + 4 == len && text[i + 3] == '=')
			pad = text[i + 2] == '=' ? 2 : 1;
		for (unsigned int k = 0; k < 4; k++) {
			int v = k >= 4 - pad ? 0 : value_of(text[i + k]);

			if (v < 0)
				goto bad;
			bits = bits << 6 | (uint32_t)v;
		}
		/* Bits that no byte takes must be zero, or two texts would mean one thing. */
		if ((pad == 1 && (bits & 0xff)) || (pad == 2 && (bits & 0xffff)))
			goto bad;
		out[n++] = (uint8_t)(bits >> 16);
		if (pad < 2)
			out[n++] = (uint8_t)(bits >> 8);
		if (pad < 1)
			out[n++] = (uint8_t)bits;
	}
	out[n] = '\0';
	*size = n;
	return out;
bad:
	free(out);
	errno = EINVAL;
	return NULL;
}
