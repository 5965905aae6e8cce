/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Types for memory shared with a guest or a peer: explicit width, explicit byte order, and a
 * struct each, so that a host integer is never stored or compared by accident. Layout asserts
 * stand beside the struct they check.
 */
#ifndef HVLAB_BASE_WIRE_H
#define HVLAB_BASE_WIRE_H

#include <assert.h>
#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct { uint16_t raw; } __attribute__((packed)) le16_t;
typedef struct { uint32_t raw; } __attribute__((packed)) le32_t;
typedef struct { uint64_t raw; } __attribute__((packed)) le64_t;
typedef struct { uint16_t raw; } __attribute__((packed)) be16_t;
typedef struct { uint32_t raw; } __attribute__((packed)) be32_t;
typedef struct { uint64_t raw; } __attribute__((packed)) be64_t;

#define WIRE_ACCESSORS(type, host, to, from)                                                       \
	static inline host type##_get(type##_t v)                                                  \
	{                                                                                          \
		return from(v.raw);                                                                \
	}                                                                                          \
	static inline type##_t type##_make(host v)                                                 \
	{                                                                                          \
		return (type##_t){.raw = to(v)};                                                   \
	}                                                                                          \
	/* From and to a byte address of any alignment. */                                         \
	static inline host type##_load(const void *p)                                              \
	{                                                                                          \
		type##_t v;                                                                        \
		memcpy(&v, p, sizeof(v));                                                          \
		return type##_get(v);                                                              \
	}                                                                                          \
	static inline void type##_store(void *p, host v)                                           \
	{                                                                                          \
		type##_t w = type##_make(v);                                                       \
		memcpy(p, &w, sizeof(w));                                                          \
	}

WIRE_ACCESSORS(le16, uint16_t, htole16, le16toh)
WIRE_ACCESSORS(le32, uint32_t, htole32, le32toh)
WIRE_ACCESSORS(le64, uint64_t, htole64, le64toh)
WIRE_ACCESSORS(be16, uint16_t, htobe16, be16toh)
WIRE_ACCESSORS(be32, uint32_t, htobe32, be32toh)
WIRE_ACCESSORS(be64, uint64_t, htobe64, be64toh)

/* The last field of a wire struct, its offset, and the size of the whole. */
#define WIRE_LAYOUT(type, last, off, size)                                                         \
	static_assert(offsetof(type, last) == (off) && sizeof(type) == (size),                     \
		      "layout of " #type)

#endif
