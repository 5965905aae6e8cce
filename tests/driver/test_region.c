/* SPDX-License-Identifier: BSD-2-Clause */
/* DMA regions: page lists in one message and many, and every list that does not add up. */
#include "tests/driver/rig.h"

static int setup(void **state)
{
	*state = rig_start(&(struct rig_conf){.level = RIG_DEV, .lab = {.n_devs = 1}});
	return 0;
}

static int teardown(void **state)
{
	rig_stop(*state);
	return 0;
}

/* CREATE_DMA_REGION with any numbers; the status. */
static uint32_t create(struct drv *d, uint64_t length, uint32_t offset, uint32_t type,
		       uint32_t count, uint32_t listed, uint32_t sent, const uint64_t *pages,
		       uint64_t *handle)
{
	uint8_t buf[HW_CHANNEL_MAX_REQUEST_SIZE] = {0};
	struct gdma_create_dma_region_req *q = (void *)buf;
	struct gdma_create_dma_region_resp resp;
	uint32_t len = (uint32_t)sizeof(*q) + sent * 8, status = 0;

	drv_hdr(d, q, GDMA_CREATE_DMA_REGION, len, sizeof(resp));
	q->length = le64_make(length);
	q->offset_in_page = le32_make(offset);
	q->gdma_page_type = le32_make(type);
	q->page_count = le32_make(count);
	q->page_addr_list_len = le32_make(listed);
	for (uint32_t i = 0; i < sent; i++)
		le64_store(buf + sizeof(*q) + i * 8, pages[i]);
	assert_int_equal(drv_hwc_request(d, q, len, &resp, sizeof(resp), &status), 0);
	if (handle)
		*handle = le64_get(resp.dma_region_handle);
	return status;
}

static uint32_t add(struct drv *d, uint64_t handle, uint32_t listed, uint32_t sent,
		    const uint64_t *pages)
{
	uint8_t buf[HW_CHANNEL_MAX_REQUEST_SIZE] = {0};
	struct gdma_dma_region_add_pages_req *q = (void *)buf;
	struct gdma_general_resp resp;
	uint32_t len = (uint32_t)sizeof(*q) + sent * 8, status = 0;

	drv_hdr(d, q, GDMA_DMA_REGION_ADD_PAGES, len, sizeof(resp));
	q->dma_region_handle = le64_make(handle);
	q->page_addr_list_len = le32_make(listed);
	for (uint32_t i = 0; i < sent; i++)
		le64_store(buf + sizeof(*q) + i * 8, pages[i]);
	assert_int_equal(drv_hwc_request(d, q, len, &resp, sizeof(resp), &status), 0);
	return status;
}

static uint32_t n_regions(struct rig *r)
{
	struct mana_info info;

	return lab_info(&r->lab, 0, &info)->n_dma_regions;
}

static void page_list(struct drv *d, uint64_t *pages, uint32_t n)
{
	uint64_t gpa;

	assert_non_null(drv_alloc(d, (size_t)n * DRV_PAGE, &gpa));
	for (uint32_t i = 0; i < n; i++)
		pages[i] = gpa + (uint64_t)i * DRV_PAGE;
}

static void lists_that_do_not_add_up_are_refused(void **state)
{
	struct rig *r = *state;
	struct drv *d = &r->d[0];
	uint32_t before = n_regions(r);
	uint64_t pages[500], h;

	page_list(d, pages, 500);
	struct {
		const char *why;
		uint64_t length;
		uint32_t offset, type, count, listed, sent;
	} bad[] = {
		{"no pages", 4096, 0, 0, 0, 0, 0},
		{"length 0", 0, 0, 0, 1, 1, 1},
		{"longer than its pages", 8193, 0, 0, 2, 2, 2},
		{"offset makes it longer than its pages", 8192, 1, 0, 2, 2, 2},
		{"offset beyond the page", 4096, 4096, 0, 2, 2, 2},
		{"offset near 4 GiB", 4096, UINT32_MAX, 0, 1, 1, 1},
		{"length near 2^64", UINT64_MAX, 0, 0, 1, 1, 1},
		{"length + offset wraps", UINT64_MAX - 10, 2048, 0, 2, 2, 2},
		{"lists more than it sends", 8192, 0, 0, 2, 2, 1},
		{"lists 2^32 - 1", 4096, 0, 0, 1, UINT32_MAX, 1},
		{"lists 2^29 + 1 (times 8 wraps)", 4096, 0, 0, 1, 0x20000001, 1},
		{"lists more than its count", 4096, 0, 0, 1, 2, 2},
		{"2^32 - 1 pages", 4096, 0, 0, UINT32_MAX, 1, 1},
		{"a million pages", 1000000ull * 4096, 0, 0, 1000000, 1, 1},
		{"an unknown page type", 4096, 0, 7, 1, 1, 1},
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		uint32_t st = create(d, bad[i].length, bad[i].offset, bad[i].type, bad[i].count,
				     bad[i].listed, bad[i].sent, pages, &h);

		if (st == 0 || st == GDMA_STATUS_MORE_ENTRIES)
			fail_msg("a region with %s was accepted", bad[i].why);
		assert_int_equal(n_regions(r), before);
	}
}

static void pages_outside_guest_memory_or_crooked_are_refused(void **state)
{
	struct rig *r = *state;
	struct drv *d = &r->d[0];
	const uint64_t bad[] = {0,
				d->mem_gpa - DRV_PAGE,
				d->mem_gpa + d->mem_size,
				UINT64_MAX,
				UINT64_MAX - 4095,
				1ull << 63,
				d->mem_gpa + 1,
				d->mem_gpa + 2048};
	uint64_t pages[3], h;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		for (int where = 0; where < 3; where++) {
			struct gdma_create_queue_req req = {0};
			struct gdma_create_queue_resp resp;
			uint32_t st;

			page_list(d, pages, 3);
			pages[where] = bad[i];
			st = create(d, 3 * DRV_PAGE, 0, 0, 3, 3, 3, pages, &h);
			if (st)
				continue;
			/* Taken on trust: then the queue made of it must be refused or harmless. */
			drv_hdr(d, &req, GDMA_CREATE_QUEUE, sizeof(req), sizeof(resp));
			req.hdr.dev_id = d->mana;
			req.type = le32_make(GDMA_EQ);
			req.pdid = le32_make(d->pdid);
			req.doolbell_id = le32_make(d->db_page);
			req.gdma_region = le64_make(h);
			req.queue_size = le32_make(8192);
			req.eq_pci_msix_index = le32_make(1);
			assert_int_equal(
				drv_hwc_request(d, &req, sizeof(req), &resp, sizeof(resp), &st), 0);
			if (!st) {
				uint32_t id = le32_get(resp.queue_index);

				for (int k = 0; k < 1100; k++)
					drv_test_eqe(d, id);
				assert_int_equal(drv_disable_queue(d, GDMA_EQ, id), 0);
			} else {
				assert_int_equal(drv_region_destroy(d, h), 0);
			}
		}
	}
	rig_hwc_alive(r, 0);
}

static void pages_come_in_as_many_messages_as_the_guest_likes(void **state)
{
	struct rig *r = *state;
	struct drv *d = &r->d[0];
	const uint32_t per_msg[] = {1, 2, 3, 7, 255, 256};
	uint64_t pages[256], h;

	for (size_t i = 0; i < ARRAY_SIZE(per_msg); i++) {
		page_list(d, pages, 256);
		assert_int_equal(
			drv_region_create(d, pages, 256, 256 * DRV_PAGE, 0, per_msg[i], &h), 0);
		assert_int_equal(drv_region_destroy(d, h), 0);
		drv_free(d, pages[0], 256 * DRV_PAGE);
	}
	/* The first message may carry none. */
	page_list(d, pages, 2);
	assert_int_equal(create(d, 2 * DRV_PAGE, 0, 0, 2, 0, 0, pages, &h),
			 GDMA_STATUS_MORE_ENTRIES);
	assert_int_equal(add(d, h, 2, 2, pages), 0);
	assert_int_equal(drv_region_destroy(d, h), 0);
}

static void added_pages_are_counted(void **state)
{
	struct rig *r = *state;
	struct drv *d = &r->d[0];
	struct gdma_create_queue_req req = {0};
	struct gdma_create_queue_resp resp;
	uint64_t pages[16], h;
	uint32_t st, id;

	page_list(d, pages, 16);
	assert_int_equal(create(d, 8 * DRV_PAGE, 0, 0, 8, 2, 2, pages, &h),
			 GDMA_STATUS_MORE_ENTRIES);
	assert_int_not_equal(add(d, h, 7, 7, pages + 2), 0);	  /* too many */
	assert_int_not_equal(add(d, h, 3, 1, pages + 2), 0);	  /* fewer than it says */
	assert_int_not_equal(add(d, h, UINT32_MAX, 1, pages), 0); /* absurd */
	assert_int_not_equal(add(d, h + 1000, 1, 1, pages), 0);	  /* not a region */
	/* A region with pages missing makes no queue. */
	drv_hdr(d, &req, GDMA_CREATE_QUEUE, sizeof(req), sizeof(resp));
	req.hdr.dev_id = d->mana;
	req.type = le32_make(GDMA_EQ);
	req.pdid = le32_make(d->pdid);
	req.doolbell_id = le32_make(d->db_page);
	req.gdma_region = le64_make(h);
	req.queue_size = le32_make(8 * DRV_PAGE);
	req.eq_pci_msix_index = le32_make(1);
	assert_int_equal(drv_hwc_request(d, &req, sizeof(req), &resp, sizeof(resp), &st), 0);
	assert_int_not_equal(st, 0);
	assert_int_equal(add(d, h, 5, 5, pages + 2), GDMA_STATUS_MORE_ENTRIES);
	assert_int_equal(add(d, h, 1, 1, pages + 7), 0);
	assert_int_not_equal(add(d, h, 1, 1, pages + 8), 0); /* it was complete */
	assert_int_equal(drv_hwc_request(d, &req, sizeof(req), &resp, sizeof(resp), &st), 0);
	assert_int_equal(st, 0);
	id = le32_get(resp.queue_index);
	/* The queue owns it now: the guest can neither add to it nor destroy it nor reuse it. */
	assert_int_not_equal(add(d, h, 1, 1, pages + 8), 0);
	assert_int_equal(drv_region_destroy(d, h), -EREMOTEIO);
	assert_int_equal(drv_hwc_request(d, &req, sizeof(req), &resp, sizeof(resp), &st), 0);
	assert_int_not_equal(st, 0);
	assert_int_equal(drv_disable_queue(d, GDMA_EQ, id), 0);
}

static void an_unfinished_region_can_be_destroyed(void **state)
{
	struct rig *r = *state;
	struct drv *d = &r->d[0];
	uint32_t before = n_regions(r);
	uint64_t pages[4], h;

	page_list(d, pages, 4);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(create(d, 4 * DRV_PAGE, 0, 0, 4, 1, 1, pages, &h),
				 GDMA_STATUS_MORE_ENTRIES);
		assert_int_equal(drv_region_destroy(d, h), 0);
		assert_int_not_equal(add(d, h, 3, 3, pages + 1), 0);
	}
	assert_int_equal(n_regions(r), before);
}

static void the_table_of_regions_has_an_end(void **state)
{
	struct rig *r = *state;
	struct drv *d = &r->d[0];
	uint64_t page, *h = calloc(100000, sizeof(*h));
	uint32_t n, st = 0;

	assert_non_null(h);
	page_list(d, &page, 1);
	for (n = 0; n < 100000; n++) {
		st = create(d, DRV_PAGE, 0, 0, 1, 1, 1, &page, &h[n]);
		if (st)
			break;
	}
	assert_int_not_equal(st, 0);
	assert_true(n >= 64 * 5); /* 64 queue pairs' worth */
	while (n--)
		assert_int_equal(drv_region_destroy(d, h[n]), 0);
	free(h);
}

static void scattered_pages_make_one_ring(void **state)
{
	struct rig *r = *state;
	struct drv *d = &r->d[0];
	struct gdma_create_queue_req req = {0};
	struct gdma_create_queue_resp resp;
	const uint32_t n = 4096 / GDMA_EQE_SIZE;
	uint64_t pages[4], tmp[7], h;
	uint32_t st, id;

	/* Every second page, in reverse order: entries go where the list says. */
	page_list(d, tmp, 7);
	for (int i = 0; i < 4; i++)
		pages[i] = tmp[6 - 2 * i];
	assert_int_equal(create(d, 4 * DRV_PAGE, 0, 0, 4, 4, 4, pages, &h), 0);
	drv_hdr(d, &req, GDMA_CREATE_QUEUE, sizeof(req), sizeof(resp));
	req.hdr.dev_id = d->mana;
	req.type = le32_make(GDMA_EQ);
	req.pdid = le32_make(d->pdid);
	req.doolbell_id = le32_make(d->db_page);
	req.gdma_region = le64_make(h);
	req.queue_size = le32_make(4 * DRV_PAGE);
	req.eq_pci_msix_index = le32_make(1);
	assert_int_equal(drv_hwc_request(d, &req, sizeof(req), &resp, sizeof(resp), &st), 0);
	assert_int_equal(st, 0);
	id = le32_get(resp.queue_index);
	for (uint32_t i = 0; i < 4 * n + 3; i++) {
		uint32_t owner = 1 + i / (4 * n), at = i % (4 * n);
		const uint8_t *eqe = drv_ptr(d, pages[at / n] + at % n * GDMA_EQE_SIZE);

		assert_int_equal(drv_test_eqe(d, id), 0);
		assert_int_equal(eqe[12], GDMA_EQE_TEST_EVENT);
		assert_int_equal(eqe[15] >> 5, owner);
		drv_db(d, d->db_page, GDMA_EQ, id, (i + 1 + 4 * n) % (4 * n * 8), 0);
	}
	/* The holes between were not touched. */
	for (int i = 1; i < 7; i += 2) {
		const uint8_t *hole = drv_ptr(d, tmp[i]);

		for (uint32_t b = 0; b < DRV_PAGE; b++)
			assert_int_equal(hole[b], 0);
	}
	assert_int_equal(drv_disable_queue(d, GDMA_EQ, id), 0);
}

static void memory_unmapped_under_a_queue_costs_that_queue(void **state)
{
	struct rig *r = *state;
	struct drv *d = &r->d[0];
	uint64_t seam = drv_seam(d), size = d->mem_gpa + d->mem_size - seam;
	struct drv_vport vp;

	/* All that follows is allocated behind the seam: the second DMA map. */
	d->page_hint = (uint32_t)((seam - d->mem_gpa) / DRV_PAGE);
	assert_int_equal(drv_vport_up(d, &vp, 0, NULL), 0);
	assert_true(vp.tx[0].wq.gpa >= seam && vp.rx[0].cq.gpa >= seam);
	assert_int_equal(drv_dma_unmap(d, seam, size), 0);
	for (uint32_t i = 0; i < 64; i++) {
		drv_db(d, d->db_page, GDMA_SQ, vp.tx[0].wq.id, i * 32, 0);
		drv_db(d, d->db_page, GDMA_RQ, vp.rx[0].wq.id, i * 32, 0);
		drv_db(d, d->db_page, GDMA_CQ, vp.rx[0].cq.id, i, 1);
		drv_db(d, d->db_page, GDMA_EQ, vp.eq[0].id, i, 1);
	}
	drv_barrier(d);
	drv_test_eqe(d, vp.eq[0].id);
	drv_fence(d, vp.rx[0].obj);
	rig_hwc_alive(r, 0);
	/* The orderly way down still answers, and with the memory back all is well. */
	drv_destroy_wqobj(d, GDMA_RQ, vp.rx[0].obj);
	drv_destroy_wqobj(d, GDMA_SQ, vp.tx[0].obj);
	drv_disable_queue(d, GDMA_EQ, vp.eq[0].id);
	drv_vport_forget(&vp);
	assert_int_equal(drv_dma_map(d, seam, size, seam - d->mem_gpa), 0);
	assert_int_equal(drv_vport_up(d, &vp, 0, NULL), 0);
	assert_int_equal(drv_vport_down(&vp), 0);
}

static void unmapping_the_hwc_itself_ends_in_a_channel_that_can_come_back(void **state)
{
	struct rig *r = *state;
	struct drv *d = &r->d[0];
	uint64_t seam = drv_seam(d);
	struct gdma_general_req req = {0};

	assert_int_equal(drv_dma_unmap(d, d->mem_gpa, seam - d->mem_gpa), 0);
	drv_hdr(d, &req, GDMA_LIST_DEVICES, sizeof(req), 4096);
	drv_hwc_post(d, &req, sizeof(req));
	drv_barrier(d);
	drv_barrier(d);
	assert_int_equal(drv_dma_map(d, d->mem_gpa, seam - d->mem_gpa, 0), 0);
	assert_true(drv_smc_teardown(d, false) >= 0);
	drv_hwc_forget(d);
	assert_int_equal(drv_bring_up(d), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(lists_that_do_not_add_up_are_refused),
		T(pages_outside_guest_memory_or_crooked_are_refused),
		T(pages_come_in_as_many_messages_as_the_guest_likes),
		T(added_pages_are_counted),
		T(an_unfinished_region_can_be_destroyed),
		T(the_table_of_regions_has_an_end),
		T(scattered_pages_make_one_ring),
		T(memory_unmapped_under_a_queue_costs_that_queue),
		T(unmapping_the_hwc_itself_ends_in_a_channel_that_can_come_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
