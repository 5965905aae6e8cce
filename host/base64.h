/* SPDX-License-Identifier: BSD-2-Clause */
/* Base64 of RFC 4648 section 4, for binary data inside JSON. */
#ifndef HVLAB_HOST_BASE64_H
#define HVLAB_HOST_BASE64_H

#include <stddef.h>

/* NUL-terminated text, the caller's to free(); NULL when out of memory. */
char *base64_encode(const void *data, size_t size);
/*
 * The bytes, the caller's to free(), with a NUL behind them that *@size does not count. NULL with
 * errno: EINVAL not base64 (strict: no white space, padding required, spare bits zero), ENOMEM.
 */
void *base64_decode(const char *text, size_t *size);

#endif
