/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the tables of ids and handles that stand for a guest's objects. */
#include <errno.h>
#include <stdlib.h>

#include "emulator/mana/mana_internal.h"

/* Handle: generation [63:32], kind [31:24], id [23:0]. Never 0 (kind), never all ones (id). */
#define HANDLE_KIND_SHIFT 24
#define HANDLE_GEN_SHIFT  32
#define HANDLE_ID_MASK	  0x00ffffffu

int ids_init(struct mana_ids *t, uint8_t kind, uint32_t first, uint32_t limit)
{
	*t = (struct mana_ids){
		/* Twice the room: an id rests for a while before it comes back. */
		.n = first + limit * 2, .first = first, .limit = limit, .next = first, .kind = kind,
	};
	t->slot = calloc(t->n, sizeof(*t->slot));
	return t->slot ? 0 : -ENOMEM;
}

void ids_fini(struct mana_ids *t)
{
	free(t->slot);
	t->slot = NULL;
	t->n = 0;
}

int ids_add(struct mana_ids *t, void *obj)
{
	if (ids_full(t))
		return -ENOSPC;
	/* Ends: used < limit < slots. */
	while (t->slot[t->next].obj)
		t->next = t->next + 1 < t->n ? t->next + 1 : t->first;
	t->slot[t->next].obj = obj;
	t->used++;
	{
		uint32_t id = t->next;

		t->next = id + 1 < t->n ? id + 1 : t->first;
		return (int)id;
	}
}

void ids_del(struct mana_ids *t, uint32_t id)
{
	t->slot[id].obj = NULL;
	t->slot[id].gen++;
	t->used--;
}

void *ids_get(const struct mana_ids *t, uint32_t id)
{
	return id < t->n ? t->slot[id].obj : NULL;
}

uint64_t ids_handle(const struct mana_ids *t, uint32_t id)
{
	return (uint64_t)t->slot[id].gen << HANDLE_GEN_SHIFT |
	       (uint32_t)t->kind << HANDLE_KIND_SHIFT | id;
}

void *ids_by_handle(const struct mana_ids *t, uint64_t handle, uint32_t *id)
{
	uint32_t i = (uint32_t)handle & HANDLE_ID_MASK;

	if (!ids_get(t, i) || ids_handle(t, i) != handle)
		return NULL;
	*id = i;
	return t->slot[i].obj;
}
