/* SPDX-License-Identifier: BSD-2-Clause */
/* Every HWC message: right once, then with its format spoilt in every way, by one table. */
#include "tests/driver/rig.h"

#define BUF 4096

struct ctx {
	struct rig *r;
	struct drv *d;
	struct drv_queue eq;
	uint64_t vport;
};

/**
 * struct msg - A message in its right form
 * @size:	Of the request as Linux sends it (with a list of one where there is a list)
 * @resp:	Of the response
 * @list:	Ends with a list, so a longer one is not wrong by its length alone
 * @fill:	Fills the body so that the message succeeds now
 * @undo:	Takes the success back (the response is given)
 */
struct msg {
	const char *name;
	uint32_t code, size, resp;
	bool list;
	uint16_t version, resp_version;
	void (*fill)(struct ctx *c, void *req);
	void (*undo)(struct ctx *c, const void *resp);
};

/* ---- Bodies ------------------------------------------------------------------------------ */

static void fill_none(struct ctx *c, void *req)
{
	(void)c;
	(void)req;
}

static void fill_verify(struct ctx *c, void *req)
{
	struct gdma_verify_ver_req *q = req;

	(void)c;
	q->protocol_ver_min = q->protocol_ver_max = le64_make(GDMA_PROTOCOL_V1);
	q->gd_drv_cap_flags1 = le64_make(DRV_CAPS_72);
	q->os_type = le32_make(GDMA_OS_TYPE_LINUX);
}

static void fill_dev(struct ctx *c, void *req)
{
	((struct gdma_req_hdr *)req)->dev_id = c->d->mana;
}

static void fill_register(struct ctx *c, void *req)
{
	/* Registered already: register again must work after a deregister. */
	assert_int_equal(drv_deregister(c->d), 0);
	fill_dev(c, req);
}

static void undo_register(struct ctx *c, const void *resp)
{
	const struct gdma_register_device_resp *r = resp;

	c->d->pdid = le32_get(r->pdid);
	c->d->mkey = le32_get(r->gpa_mkey);
	c->d->db_page = le32_get(r->db_id);
}

static void undo_deregister(struct ctx *c, const void *resp)
{
	(void)resp;
	assert_int_equal(drv_register(c->d), 0);
}

static void need_eq(struct ctx *c)
{
	if (!c->eq.ring)
		assert_int_equal(drv_eq_create(c->d, &c->eq, 4096, 1), 0);
}

static void fill_test_eqe(struct ctx *c, void *req)
{
	struct gdma_generate_test_event_req *q = req;

	need_eq(c);
	fill_dev(c, req);
	q->queue_index = le32_make(c->eq.id);
}

static void fill_create_queue(struct ctx *c, void *req)
{
	struct gdma_create_queue_req *q = req;
	struct drv_queue tmp;

	assert_int_equal(drv_queue_init(c->d, &tmp, GDMA_EQ, 4096), 0);
	fill_dev(c, req);
	q->type = le32_make(GDMA_EQ);
	q->pdid = le32_make(c->d->pdid);
	q->doolbell_id = le32_make(c->d->db_page);
	q->gdma_region = le64_make(tmp.region);
	q->queue_size = le32_make(4096);
	q->log2_throttle_limit = le32_make(3);
	q->eq_pci_msix_index = le32_make(1);
}

static void undo_create_queue(struct ctx *c, const void *resp)
{
	const struct gdma_create_queue_resp *r = resp;

	assert_int_equal(drv_disable_queue(c->d, GDMA_EQ, le32_get(r->queue_index)), 0);
}

static void fill_disable_queue(struct ctx *c, void *req)
{
	struct gdma_disable_queue_req *q = req;

	need_eq(c);
	fill_dev(c, req);
	q->type = le32_make(GDMA_EQ);
	q->queue_index = le32_make(c->eq.id);
	q->alloc_res_id_on_creation = le32_make(1);
}

static void undo_disable_queue(struct ctx *c, const void *resp)
{
	(void)resp;
	drv_queue_fini(&c->eq);
}

static void fill_change_msix(struct ctx *c, void *req)
{
	struct gdma_change_msix_for_eq_req *q = req;

	need_eq(c);
	fill_dev(c, req);
	q->queue_index = le32_make(c->eq.id);
	q->msix = le32_make(2);
}

static void fill_region(struct ctx *c, void *req)
{
	struct gdma_create_dma_region_req *q = req;
	uint64_t gpa;

	assert_non_null(drv_alloc(c->d, DRV_PAGE, &gpa));
	q->length = le64_make(DRV_PAGE);
	q->page_count = le32_make(1);
	q->page_addr_list_len = le32_make(1);
	le64_store(q + 1, gpa);
}

static void undo_region(struct ctx *c, const void *resp)
{
	const struct gdma_create_dma_region_resp *r = resp;

	assert_int_equal(drv_region_destroy(c->d, le64_get(r->dma_region_handle)), 0);
}

static void fill_add_pages(struct ctx *c, void *req)
{
	struct gdma_dma_region_add_pages_req *q = req;
	struct gdma_create_dma_region_req cr = {0};
	struct gdma_create_dma_region_resp resp;
	uint64_t gpa;
	uint8_t buf[sizeof(cr) + 8];
	uint32_t status;

	assert_non_null(drv_alloc(c->d, 2 * DRV_PAGE, &gpa));
	cr.length = le64_make(2 * DRV_PAGE);
	cr.page_count = le32_make(2);
	cr.page_addr_list_len = le32_make(1);
	drv_hdr(c->d, &cr, GDMA_CREATE_DMA_REGION, sizeof(buf), sizeof(resp));
	memcpy(buf, &cr, sizeof(cr));
	le64_store(buf + sizeof(cr), gpa);
	assert_int_equal(drv_hwc_request(c->d, buf, sizeof(buf), &resp, sizeof(resp), &status), 0);
	assert_int_equal(status, GDMA_STATUS_MORE_ENTRIES);
	q->dma_region_handle = resp.dma_region_handle;
	q->page_addr_list_len = le32_make(1);
	le64_store(q + 1, gpa + DRV_PAGE);
}

static void fill_destroy_region(struct ctx *c, void *req)
{
	struct gdma_destroy_dma_region_req *q = req;
	uint64_t gpa, handle;

	assert_non_null(drv_alloc(c->d, DRV_PAGE, &gpa));
	assert_int_equal(drv_region_of(c->d, gpa, DRV_PAGE, &handle), 0);
	q->dma_region_handle = le64_make(handle);
}

static void fill_alloc_range(struct ctx *c, void *req)
{
	struct gdma_allocate_resource_range_req *q = req;

	fill_dev(c, req);
	q->resource_type = le32_make(GDMA_RESOURCE_DOORBELL_PAGE);
	q->num_resources = le32_make(1);
	q->alignment = le32_make(1);
}

static void undo_alloc_range(struct ctx *c, const void *resp)
{
	const struct gdma_allocate_resource_range_resp *r = resp;
	struct gdma_destroy_resource_range_req q = {0};
	struct gdma_general_resp rr;
	uint32_t status;

	drv_hdr(c->d, &q, GDMA_DESTROY_RESOURCE_RANGE, sizeof(q), sizeof(rr));
	fill_dev(c, &q);
	q.resource_type = le32_make(GDMA_RESOURCE_DOORBELL_PAGE);
	q.num_resources = le32_make(1);
	q.allocated_resources = r->allocated_resources;
	assert_int_equal(drv_hwc_request(c->d, &q, sizeof(q), &rr, sizeof(rr), &status), 0);
	assert_int_equal(status, 0);
}

static void fill_destroy_range(struct ctx *c, void *req)
{
	struct gdma_destroy_resource_range_req *q = req;
	struct gdma_allocate_resource_range_req a = {0};
	struct gdma_allocate_resource_range_resp resp;
	uint32_t status;

	drv_hdr(c->d, &a, GDMA_ALLOCATE_RESOURCE_RANGE, sizeof(a), sizeof(resp));
	fill_alloc_range(c, &a);
	assert_int_equal(drv_hwc_request(c->d, &a, sizeof(a), &resp, sizeof(resp), &status), 0);
	assert_int_equal(status, 0);
	fill_dev(c, req);
	q->resource_type = le32_make(GDMA_RESOURCE_DOORBELL_PAGE);
	q->num_resources = le32_make(1);
	q->allocated_resources = resp.allocated_resources;
}

static void fill_dev_cfg(struct ctx *c, void *req)
{
	struct mana_query_device_cfg_req *q = req;

	(void)c;
	q->proto_minor_ver = le32_make(MANA_MINOR_VERSION);
	q->proto_micro_ver = le32_make(MANA_MICRO_VERSION);
}

static void fill_stats(struct ctx *c, void *req)
{
	(void)c;
	((struct mana_query_gf_stat_req *)req)->req_stats = le64_make(STATISTICS_FLAGS_ALL);
}

/* Messages whose body starts with the vPort's handle. */
static void fill_vport(struct ctx *c, void *req)
{
	le64_store((uint8_t *)req + sizeof(struct gdma_req_hdr), c->vport);
}

static void fill_vport_tx(struct ctx *c, void *req)
{
	struct mana_config_vport_req *q = req;

	fill_vport(c, req);
	q->pdid = le32_make(c->d->pdid);
	q->doorbell_pageid = le32_make(c->d->db_page);
}

static void fill_create_obj(struct ctx *c, void *req)
{
	struct mana_create_wqobj_req *q = req;
	struct mana_config_vport_resp tx;
	struct drv_queue wq, cq;

	need_eq(c);
	assert_int_equal(drv_config_vport_tx(c->d, c->vport, &tx), 0);
	assert_int_equal(drv_queue_init(c->d, &wq, GDMA_RQ, 4096), 0);
	assert_int_equal(drv_queue_init(c->d, &cq, GDMA_CQ, 4096), 0);
	fill_vport(c, req);
	q->wq_type = le32_make(GDMA_RQ);
	q->wq_gdma_region = le64_make(wq.region);
	q->cq_gdma_region = le64_make(cq.region);
	q->wq_size = q->cq_size = le32_make(4096);
	q->cq_parent_qid = le32_make(c->eq.id);
}

static void undo_create_obj(struct ctx *c, const void *resp)
{
	const struct mana_create_wqobj_resp *r = resp;

	assert_int_equal(drv_destroy_wqobj(c->d, GDMA_RQ, le64_get(r->wq_obj)), 0);
}

static uint64_t an_object(struct ctx *c)
{
	struct mana_create_wqobj_req q = {0};
	struct mana_create_wqobj_resp resp;

	fill_create_obj(c, &q);
	assert_int_equal(drv_create_wqobj(c->d, &q, &resp), 0);
	return le64_get(resp.wq_obj);
}

static void fill_destroy_obj(struct ctx *c, void *req)
{
	struct mana_destroy_wqobj_req *q = req;

	q->wq_type = le32_make(GDMA_RQ);
	q->wq_obj_handle = le64_make(an_object(c));
}

static void fill_fence(struct ctx *c, void *req)
{
	((struct mana_fence_rq_req *)req)->wq_obj_handle = le64_make(an_object(c));
}

static void fill_steer(struct ctx *c, void *req)
{
	struct mana_cfg_rx_steer_req_v2 *q = req;

	fill_vport(c, req);
	q->num_indir_entries = le16_make(0);
	q->indir_tab_offset = le16_make(sizeof(*q));
	q->rx_enable = le32_make(TRI_STATE_FALSE);
	q->rss_enable = le32_make(TRI_STATE_FALSE);
}

static void fill_clamp(struct ctx *c, void *req)
{
	struct mana_set_bw_clamp_req *q = req;

	fill_vport(c, req);
	q->enable_clamping = le32_make(TRI_STATE_FALSE);
}

#define M(code, req, resp, ...)                                                                    \
	{                                                                                          \
#code, code, (uint32_t)(req), (uint32_t)(resp), __VA_ARGS__                        \
	}
#define RH sizeof(struct gdma_resp_hdr)
#define QH sizeof(struct gdma_req_hdr)

static const struct msg table[] = {
	M(GDMA_VERIFY_VF_DRIVER_VERSION, sizeof(struct gdma_verify_ver_req),
	  sizeof(struct gdma_verify_ver_resp), .fill = fill_verify),
	M(GDMA_QUERY_MAX_RESOURCES, QH, sizeof(struct gdma_query_max_resources_resp),
	  .fill = fill_none),
	M(GDMA_LIST_DEVICES, QH, sizeof(struct gdma_list_devices_resp), .fill = fill_none),
	M(GDMA_REGISTER_DEVICE, QH, sizeof(struct gdma_register_device_resp), .fill = fill_register,
	  .undo = undo_register),
	M(GDMA_DEREGISTER_DEVICE, QH, RH, .fill = fill_dev, .undo = undo_deregister),
	M(GDMA_GENERATE_TEST_EQE, sizeof(struct gdma_generate_test_event_req), RH,
	  .fill = fill_test_eqe),
	M(GDMA_CREATE_QUEUE, sizeof(struct gdma_create_queue_req),
	  sizeof(struct gdma_create_queue_resp), .fill = fill_create_queue,
	  .undo = undo_create_queue),
	M(GDMA_CHANGE_MSIX_FOR_EQ, sizeof(struct gdma_change_msix_for_eq_req), RH,
	  .fill = fill_change_msix),
	M(GDMA_DISABLE_QUEUE, sizeof(struct gdma_disable_queue_req), RH, .fill = fill_disable_queue,
	  .undo = undo_disable_queue),
	M(GDMA_ALLOCATE_RESOURCE_RANGE, sizeof(struct gdma_allocate_resource_range_req),
	  sizeof(struct gdma_allocate_resource_range_resp), .fill = fill_alloc_range,
	  .undo = undo_alloc_range),
	M(GDMA_DESTROY_RESOURCE_RANGE, sizeof(struct gdma_destroy_resource_range_req), RH,
	  .fill = fill_destroy_range),
	M(GDMA_CREATE_DMA_REGION, sizeof(struct gdma_create_dma_region_req) + 8,
	  sizeof(struct gdma_create_dma_region_resp), .list = true, .fill = fill_region,
	  .undo = undo_region),
	M(GDMA_DMA_REGION_ADD_PAGES, sizeof(struct gdma_dma_region_add_pages_req) + 8, RH,
	  .list = true, .fill = fill_add_pages),
	M(GDMA_DESTROY_DMA_REGION, sizeof(struct gdma_destroy_dma_region_req), RH,
	  .fill = fill_destroy_region),
	M(GDMA_QUERY_HWC_TIMEOUT, sizeof(struct gdma_query_hwc_timeout_req),
	  sizeof(struct gdma_query_hwc_timeout_resp), .fill = fill_none),
	M(MANA_QUERY_DEV_CONFIG, sizeof(struct mana_query_device_cfg_req),
	  sizeof(struct mana_query_device_cfg_resp), .resp_version = 3, .fill = fill_dev_cfg),
	M(MANA_QUERY_GF_STAT, sizeof(struct mana_query_gf_stat_req),
	  sizeof(struct mana_query_gf_stat_resp), .resp_version = 2, .fill = fill_stats),
	M(MANA_QUERY_PHY_STAT, sizeof(struct mana_query_phy_stat_req),
	  sizeof(struct mana_query_phy_stat_resp), .fill = fill_stats),
	M(MANA_QUERY_VPORT_CONFIG, sizeof(struct mana_query_vport_cfg_req),
	  sizeof(struct mana_query_vport_cfg_resp), .fill = fill_none),
	M(MANA_CONFIG_VPORT_TX, sizeof(struct mana_config_vport_req),
	  sizeof(struct mana_config_vport_resp), .fill = fill_vport_tx),
	M(MANA_CREATE_WQ_OBJ, sizeof(struct mana_create_wqobj_req),
	  sizeof(struct mana_create_wqobj_resp), .fill = fill_create_obj, .undo = undo_create_obj),
	M(MANA_DESTROY_WQ_OBJ, sizeof(struct mana_destroy_wqobj_req), RH, .fill = fill_destroy_obj),
	M(MANA_FENCE_RQ, sizeof(struct mana_fence_rq_req), RH, .fill = fill_fence),
	M(MANA_CONFIG_VPORT_RX, sizeof(struct mana_cfg_rx_steer_req_v2),
	  sizeof(struct mana_cfg_rx_steer_resp), .list = true, .version = 2, .resp_version = 2,
	  .fill = fill_steer),
	M(MANA_QUERY_LINK_CONFIG, sizeof(struct mana_query_link_config_req),
	  sizeof(struct mana_query_link_config_resp), .resp_version = 2, .fill = fill_vport),
	M(MANA_SET_BW_CLAMP, sizeof(struct mana_set_bw_clamp_req),
	  sizeof(struct mana_set_bw_clamp_resp), .fill = fill_clamp),
};

/* ---- The claims ---------------------------------------------------------------------------- */

static void prepare(struct ctx *c, const struct msg *m, uint8_t req[BUF])
{
	struct gdma_req_hdr *h = (void *)req;

	memset(req, 0, BUF);
	m->fill(c, req);
	drv_hdr(c->d, req, m->code, m->size, m->resp);
	if (m->version)
		h->req.msg_version = le16_make(m->version);
	if (m->resp_version)
		h->resp.msg_version = le16_make(m->resp_version);
	h->activity_id = le32_make(++c->d->activity);
}

/* Sends @len bytes as they are. The status, or -1 when the device had nothing to say. */
static int64_t raw(struct ctx *c, const void *req, uint32_t len)
{
	const struct gdma_resp_hdr *resp = (void *)c->d->hwc_resp;

	assert_int_equal(drv_hwc_post(c->d, req, len), 0);
	/* Requests are handled in the order of doorbells: what is to come is there by now. */
	drv_barrier(c->d);
	if (drv_hwc_wait(c->d, 20))
		return -1;
	if (c->d->hwc_resp_len < sizeof(*resp))
		return -1;
	return le32_get(resp->status);
}

static void refused(struct ctx *c, const struct msg *m, const void *req, uint32_t len,
		    const char *why)
{
	int64_t st = raw(c, req, len);

	if (st == 0 || (st < 0 && len >= QH))
		fail_msg("%s, %s (%u bytes): status %lld", m->name, why, len, (long long)st);
	if (m->code == GDMA_REGISTER_DEVICE) /* fill_register() took the device away */
		drv_register(c->d);
}

static struct ctx *start(void **state)
{
	struct ctx *c = *state;
	struct mana_query_vport_cfg_resp cfg;

	if (c->r)
		return c;
	c->r = rig_start(&(struct rig_conf){.level = RIG_DEV, .lab = {.n_devs = 1}});
	c->d = &c->r->d[0];
	assert_int_equal(drv_query_vport(c->d, 0, &cfg), 0);
	c->vport = le64_get(cfg.vport);
	return c;
}

static int setup(void **state)
{
	*state = calloc(1, sizeof(struct ctx));
	return *state ? 0 : -1;
}

static int teardown(void **state)
{
	struct ctx *c = *state;

	if (c->r)
		rig_stop(c->r);
	free(c);
	return 0;
}

static void every_message_succeeds_in_its_right_form(void **state)
{
	struct ctx *c = start(state);
	uint8_t req[BUF], resp[BUF];
	const struct gdma_resp_hdr *r = (void *)resp;

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		const struct msg *m = &table[i];
		uint32_t status;
		int rc;

		prepare(c, m, req);
		rc = drv_hwc_request(c->d, req, m->size, resp, m->resp, &status);
		if (rc || status || c->d->hwc_resp_len != m->resp ||
		    le32_get(r->response.msg_size) != m->resp)
			fail_msg("%s: rc %d, status %#x, %u bytes of %u (msg_size %u)", m->name, rc,
				 status, c->d->hwc_resp_len, m->resp,
				 le32_get(r->response.msg_size));
		if (m->undo)
			m->undo(c, resp);
	}
}

static void a_wrong_header_type_or_version_is_refused(void **state)
{
	struct ctx *c = start(state);
	uint8_t req[BUF];
	struct gdma_req_hdr *h = (void *)req;

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		const struct msg *m = &table[i];

		prepare(c, m, req);
		h->req.hdr_type = le32_make(1);
		refused(c, m, req, m->size, "header type 1");
		h->req.hdr_type = le32_make(GDMA_STANDARD_HEADER_TYPE);
		h->req.msg_version = le16_make(0);
		refused(c, m, req, m->size, "version 0");
		h->req.msg_version = le16_make(0xffff);
		refused(c, m, req, m->size, "version 0xffff");
	}
	rig_hwc_alive(c->r, 0);
}

static void a_message_too_short_is_refused(void **state)
{
	struct ctx *c = start(state);
	uint8_t req[BUF];
	struct gdma_req_hdr *h = (void *)req;

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		const struct msg *m = &table[i];
		const uint32_t len[] = {m->size - 1, m->size - 4, m->size - 8, QH + 4, QH};

		for (size_t k = 0; k < ARRAY_SIZE(len); k++) {
			if (len[k] >= m->size || len[k] < QH)
				continue;
			prepare(c, m, req);
			h->req.msg_size = le32_make(len[k]);
			refused(c, m, req, len[k], "short");
			h->req.msg_size = le32_make(m->size);
			refused(c, m, req, len[k], "short, and says it is not");
		}
		for (uint32_t n = 1; n < QH; n += 13) {
			prepare(c, m, req);
			refused(c, m, req, n, "not even a header");
		}
		rig_hwc_alive(c->r, 0);
	}
}

static void a_message_too_long_is_refused(void **state)
{
	struct ctx *c = start(state);
	uint8_t req[BUF];
	struct gdma_req_hdr *h = (void *)req;

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		const struct msg *m = &table[i];

		prepare(c, m, req);
		h->req.msg_size = le32_make(BUF + 8);
		refused(c, m, req, m->size, "says more than there is");
		h->req.msg_size = le32_make(UINT32_MAX);
		refused(c, m, req, m->size, "says 4 GiB");
		if (m->list)
			continue;
		h->req.msg_size = le32_make(m->size + 4);
		refused(c, m, req, m->size + 4, "4 bytes more");
		h->req.msg_size = le32_make(BUF);
		refused(c, m, req, BUF, "a whole page");
	}
	rig_hwc_alive(c->r, 0);
}

static void a_response_stays_within_what_was_offered(void **state)
{
	struct ctx *c = start(state);
	uint8_t req[BUF];
	struct gdma_req_hdr *h = (void *)req;

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		const struct msg *m = &table[i];
		const uint32_t room[] = {0, 1, RH - 1, RH, m->resp - 1, m->resp};

		for (size_t k = 0; k < ARRAY_SIZE(room); k++) {
			/* Half-made objects of answered-but-unseen creations are the device's. */
			prepare(c, m, req);
			h->resp.msg_size = le32_make(room[k]);
			memset(c->d->hwc_resp, 0xa5, BUF);
			raw(c, req, m->size);
			for (uint32_t b = MAX(room[k], (uint32_t)RH); b < BUF; b++)
				if (c->d->hwc_resp[b] != 0xa5)
					fail_msg("%s: room %u, byte %u written", m->name, room[k],
						 b);
			if (m->code == GDMA_DEREGISTER_DEVICE)
				drv_register(c->d);
			if (m->code == GDMA_REGISTER_DEVICE) {
				drv_deregister(c->d);
				assert_int_equal(drv_register(c->d), 0);
			}
			if (m->code == GDMA_DISABLE_QUEUE) {
				drv_disable_queue(c->d, GDMA_EQ, c->eq.id);
				drv_queue_fini(&c->eq);
			}
		}
		/* Start anew: what succeeded above unseen has used up the device's tables. */
		rig_down(c->r, 0);
		memset(&c->eq, 0, sizeof(c->eq));
		rig_up(c->r, 0, RIG_DEV);
	}
}

static void a_small_receive_buffer_is_not_overrun(void **state)
{
	struct ctx *c = start(state);
	struct drv *d = c->d;
	const uint32_t size[] = {0, 1, 16, 31, 32, 40};

	for (size_t i = 0; i < ARRAY_SIZE(size); i++) {
		const struct drv_sge sge = {d->hwc_resp_gpa, size[i]};
		const struct drv_wqe w = {
			.sge = &sge, .num_sge = 1, .oob_size = 8, .mkey = d->hwc_mkey};
		struct gdma_general_req req = {0};

		drv_hdr(d, &req, GDMA_LIST_DEVICES, sizeof(req),
			sizeof(struct gdma_list_devices_resp));
		if (d->hwc_rq.head != d->hwc_rq.tail) {
			rig_hwc_alive(c->r, 0); /* consumes the posted buffer */
		}
		memset(d->hwc_resp, 0xa5, BUF);
		assert_true(drv_wqe_post(&d->hwc_rq, &w) > 0);
		drv_wq_ring(&d->hwc_rq);
		raw(c, &req, sizeof(req));
		for (uint32_t b = size[i]; b < BUF; b++)
			assert_int_equal(d->hwc_resp[b], 0xa5);
		if (!d->hwc_got)
			d->hwc_rq.tail = d->hwc_rq.head; /* it was consumed without an answer */
		rig_hwc_alive(c->r, 0);
	}
}

static void unsupported_commands_are_told_so(void **state)
{
	struct ctx *c = start(state);
	const uint32_t code[] = {GDMA_CREATE_PD,
				 GDMA_DESTROY_PD,
				 GDMA_CREATE_MR,
				 GDMA_DESTROY_MR,
				 GDMA_ALLOC_DM,
				 GDMA_DESTROY_DM,
				 MANA_REGISTER_FILTER,
				 MANA_DEREGISTER_FILTER,
				 MANA_REGISTER_HW_PORT,
				 MANA_DEREGISTER_HW_PORT,
				 0,
				 6,
				 1000,
				 0x20009,
				 0x2ffff,
				 UINT32_MAX};

	for (size_t i = 0; i < ARRAY_SIZE(code); i++) {
		uint8_t req[256] = {0};

		drv_hdr(c->d, req, code[i], sizeof(req), RH);
		if (raw(c, req, sizeof(req)) != GDMA_STATUS_CMD_UNSUPPORTED)
			fail_msg("command %#x", code[i]);
	}
	rig_hwc_alive(c->r, 0);
}

static void ids_of_the_request_come_back(void **state)
{
	struct ctx *c = start(state);
	struct gdma_general_req req = {0};
	const struct gdma_resp_hdr *resp = (void *)c->d->hwc_resp;

	drv_hdr(c->d, &req, GDMA_QUERY_MAX_RESOURCES, sizeof(req),
		sizeof(struct gdma_query_max_resources_resp));
	for (uint32_t i = 0; i < 300; i++) {
		req.hdr.req.hwc_msg_id = le16_make((uint16_t)(i * 219));
		req.hdr.dev_id.type = le16_make((uint16_t)(i * 7));
		req.hdr.dev_id.instance = le16_make((uint16_t)(i * 11));
		req.hdr.activity_id = le32_make(i * 0x1234567);
		assert_true(raw(c, &req, sizeof(req)) >= 0);
		assert_int_equal(le16_get(resp->response.hwc_msg_id), (uint16_t)(i * 219));
		assert_int_equal(le16_get(resp->dev_id.type), (uint16_t)(i * 7));
		assert_int_equal(le16_get(resp->dev_id.instance), (uint16_t)(i * 11));
		assert_int_equal(le32_get(resp->activity_id), i * 0x1234567);
	}
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(every_message_succeeds_in_its_right_form),
		T(a_wrong_header_type_or_version_is_refused),
		T(a_message_too_short_is_refused),
		T(a_message_too_long_is_refused),
		T(a_response_stays_within_what_was_offered),
		T(a_small_receive_buffer_is_not_overrun),
		T(unsupported_commands_are_told_so),
		T(ids_of_the_request_come_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
