/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns DMA regions: lists of guest pages that a queue will be laid over. A region is created with
 * some or all of its pages (CREATE_DMA_REGION), completed by ADD_PAGES, and dies when it is
 * destroyed or when a queue takes its pages over.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/checked.h"
#include "emulator/mana/mana_internal.h"

/*
 * 4 KiB << 9 = 2 MiB. Linux uses larger ones only with a PF that says GDMA_PAGES_4MB_1GB_2GB; the
 * look whether a page is mapped takes longer the larger it is.
 */
#define MAX_PAGE_TYPE 9

static void region_free(struct mana *m, uint32_t id, struct mana_region *r)
{
	m->region_pages -= r->n_pages;
	ids_del(&m->regions, id);
	free(r->page);
	free(r);
}

/* Appends the list behind @list_off of the message. Nothing changes on failure. */
static uint32_t take_pages(struct mana *m, struct mana_region *r, const uint8_t *msg, uint32_t size,
			   uint32_t list_off, uint32_t n)
{
	uint64_t page_size = 1ull << r->page_shift;

	if ((uint64_t)n * sizeof(le64_t) > size - list_off)
		return GDMA_STATUS_BAD_SIZE;
	if (n > r->n_pages - r->n_have)
		return GDMA_STATUS_BAD_PARAM;
	for (uint32_t i = 0; i < n; i++) {
		uint64_t addr = le64_load(msg + list_off + i * sizeof(le64_t)), end;

		if (addr & (page_size - 1) || !checked_add(addr, page_size - 1, &end))
			return GDMA_STATUS_BAD_PARAM;
		if (!guest_mem_covers(m->mem, addr, page_size, GUEST_MEM_R))
			return GDMA_STATUS_BAD_MEMORY;
		r->page[r->n_have + i] = addr;
	}
	r->n_have += n;
	return r->n_have < r->n_pages ? GDMA_STATUS_MORE_ENTRIES : GDMA_STATUS_SUCCESS;
}

uint32_t region_create(struct mana *m, const uint8_t *msg, uint32_t size, uint64_t *handle)
{
	const struct gdma_create_dma_region_req *req = (const void *)msg;
	uint64_t length = le64_get(req->length);
	uint32_t offset = le32_get(req->offset_in_page), type = le32_get(req->gdma_page_type);
	uint32_t n = le32_get(req->page_count), n_now = le32_get(req->page_addr_list_len);
	struct mana_region *r;
	uint64_t want, end;
	uint32_t status;
	int id;

	if (type > MAX_PAGE_TYPE || !length || !n || n > MANA_MAX_REGION_PAGES)
		return GDMA_STATUS_BAD_PARAM;
	if (offset >= (uint64_t)MANA_PAGE_SIZE << type || !checked_add(length, offset, &end))
		return GDMA_STATUS_BAD_PARAM;
	want = (end - 1) >> (MANA_PAGE_SHIFT + type);
	if (want + 1 != n)
		return GDMA_STATUS_BAD_PARAM;
	if (ids_full(&m->regions) || n > m->max_region_pages - m->region_pages)
		return GDMA_STATUS_NO_RESOURCE;

	r = calloc(1, sizeof(*r));
	if (!r)
		return GDMA_STATUS_NO_RESOURCE;
	*r = (struct mana_region){
		.length = length,
		.offset = offset,
		.page_shift = MANA_PAGE_SHIFT + type,
		.n_pages = n,
		.page = calloc(n, sizeof(*r->page)),
	};
	status = r->page ? take_pages(m, r, msg, size, sizeof(*req), n_now)
			 : GDMA_STATUS_NO_RESOURCE;
	if (status != GDMA_STATUS_SUCCESS && status != GDMA_STATUS_MORE_ENTRIES) {
		free(r->page);
		free(r);
		return status;
	}
	id = ids_add(&m->regions, r);
	m->region_pages += n;
	*handle = ids_handle(&m->regions, (uint32_t)id);
	return status;
}

uint32_t region_add_pages(struct mana *m, const uint8_t *msg, uint32_t size)
{
	const struct gdma_dma_region_add_pages_req *req = (const void *)msg;
	uint32_t id;
	struct mana_region *r = ids_by_handle(&m->regions, le64_get(req->dma_region_handle), &id);

	if (!r)
		return GDMA_STATUS_BAD_HANDLE;
	/* CREATE may carry no page, ADD_PAGES has to get on. */
	if (!le32_get(req->page_addr_list_len))
		return GDMA_STATUS_BAD_PARAM;
	return take_pages(m, r, msg, size, sizeof(*req), le32_get(req->page_addr_list_len));
}

uint32_t region_destroy(struct mana *m, uint64_t handle)
{
	uint32_t id;
	struct mana_region *r = ids_by_handle(&m->regions, handle, &id);

	if (!r)
		return GDMA_STATUS_BAD_HANDLE;
	region_free(m, id, r);
	return GDMA_STATUS_SUCCESS;
}

void region_free_all(struct mana *m)
{
	for (uint32_t i = 0; i < m->regions.n; i++) {
		struct mana_region *r = ids_get(&m->regions, i);

		if (r)
			region_free(m, i, r);
	}
}

uint32_t region_check_queue(struct mana *m, uint64_t handle, uint32_t size)
{
	uint32_t id;
	const struct mana_region *r = ids_by_handle(&m->regions, handle, &id);

	if (!r)
		return GDMA_STATUS_BAD_HANDLE;
	if (size < MANA_MIN_QSIZE || size > MANA_MAX_QSIZE || size & (size - 1))
		return GDMA_STATUS_BAD_PARAM;
	if (r->n_have != r->n_pages)
		return GDMA_STATUS_BAD_STATE;
	if (r->length != size || r->offset % MANA_PAGE_SIZE)
		return GDMA_STATUS_BAD_PARAM;
	return GDMA_STATUS_SUCCESS;
}

int ring_from_region(struct mana *m, struct mana_ring *r, uint64_t handle, unsigned int prot)
{
	uint32_t id;
	struct mana_region *reg = ids_by_handle(&m->regions, handle, &id);
	uint32_t n = (uint32_t)(reg->length >> MANA_PAGE_SHIFT);
	struct mana_ring_unit *unit = calloc(n, sizeof(*unit));

	if (!unit)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++) {
		uint64_t off = reg->offset + ((uint64_t)i << MANA_PAGE_SHIFT);

		unit[i].addr =
			reg->page[off >> reg->page_shift] + (off & ((1ull << reg->page_shift) - 1));
		unit[i].gen = UINT64_MAX;
	}
	*r = (struct mana_ring){
		.mem = m->mem,
		.size = (uint32_t)reg->length,
		.mask = (uint32_t)reg->length - 1,
		.prot = prot,
		.n_units = n,
		.unit = unit,
	};
	return 0;
}
