/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory that is given back all at once: for models that are read, used and thrown away whole. */
#ifndef HVLAB_HOST_ARENA_H
#define HVLAB_HOST_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena_block;

/* Zero it before use. @failed: an allocation failed; everything since is to be thrown away. */
struct arena {
	struct arena_block *blocks;
	bool failed;
};

/* Zeroed; NULL: no memory, and @failed is set. Aligned for any type. */
void *arena_alloc(struct arena *a, size_t size);
void *arena_calloc(struct arena *a, size_t n, size_t size);
char *arena_strdup(struct arena *a, const char *s);
void *arena_copy(struct arena *a, const void *p, size_t size);
/*
 * Room for one more in a list of @n elements: the list, moved when it was full. Lists grow by
 * doubling. NULL: no memory; the old list is as it was.
 */
void *arena_grow(struct arena *a, void *list, uint32_t n, size_t size);
void arena_free(struct arena *a);

#endif
