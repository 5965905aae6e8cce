/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns memory that is given back all at once. */
#include "host/arena.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

#define BLOCK_SIZE 16384

struct arena_block {
	struct arena_block *next;
	size_t used, size;
	alignas(max_align_t) unsigned char data[];
};

void *arena_alloc(struct arena *a, size_t size)
{
	struct arena_block *b = a->blocks;
	void *p;

	if (size > SIZE_MAX / 4)
		goto fail;
	size = ALIGN_UP(size ? size : 1, alignof(max_align_t));
	if (!b || b->size - b->used < size) {
		size_t room = MAX(size, (size_t)BLOCK_SIZE);

		b = calloc(1, sizeof(*b) + room);
		if (!b)
			goto fail;
		b->size = room;
		b->next = a->blocks;
		a->blocks = b;
	}
	p = b->data + b->used;
	b->used += size;
	return p;
fail:
	a->failed = true;
	return NULL;
}

void *arena_calloc(struct arena *a, size_t n, size_t size)
{
	if (size && n > SIZE_MAX / 4 / size) {
		a->failed = true;
		return NULL;
	}
	return arena_alloc(a, n * size);
}

void *arena_copy(struct arena *a, const void *p, size_t size)
{
	void *copy = arena_alloc(a, size);

	if (copy && size)
		memcpy(copy, p, size);
	return copy;
}

char *arena_strdup(struct arena *a, const char *s)
{
	return arena_copy(a, s, strlen(s) + 1);
}

void *arena_grow(struct arena *a, void *list, uint32_t n, size_t size)
{
	void *more;

	/* Full at 0, 4, 8, 16, ... */
	if (n && (n < 4 || (n & (n - 1))))
		return list;
	more = arena_calloc(a, n ? 2 * (size_t)n : 4, size);
	if (more && n)
		memcpy(more, list, n * size);
	return more;
}

void arena_free(struct arena *a)
{
	while (a->blocks) {
		struct arena_block *b = a->blocks;

		a->blocks = b->next;
		free(b);
	}
	a->failed = false;
}
