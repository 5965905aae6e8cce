/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the driver's HWC messages: one function each, as Linux sends them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "tests/driver/mana_drv.h"

static _Thread_local uint32_t last_status;

uint32_t drv_last_status(void)
{
	return last_status;
}

static int call(struct drv *d, void *req, uint32_t req_len, void *resp, uint32_t resp_len)
{
	int rc = drv_hwc_request(d, req, req_len, resp, resp_len, &last_status);

	return rc ? rc : last_status ? -EREMOTEIO : 0;
}

/* As call(), and the response must be at least @resp_len long (mana_verify_resp_hdr()). */
static int call_full(struct drv *d, void *req, uint32_t req_len, void *resp, uint32_t resp_len)
{
	const struct gdma_resp_hdr *r = resp;
	int rc = call(d, req, req_len, resp, resp_len);

	return rc ? rc : le32_get(r->response.msg_size) < resp_len ? -EPROTO : 0;
}

int drv_verify_version(struct drv *d, uint64_t caps, struct gdma_verify_ver_resp *resp)
{
	struct gdma_verify_ver_req req = {0};
	struct gdma_verify_ver_resp r;
	int rc;

	drv_hdr(d, &req, GDMA_VERIFY_VF_DRIVER_VERSION, sizeof(req), sizeof(r));
	req.protocol_ver_min = le64_make(GDMA_PROTOCOL_V1);
	req.protocol_ver_max = le64_make(GDMA_PROTOCOL_V1);
	req.gd_drv_cap_flags1 = le64_make(caps);
	req.os_type = le32_make(GDMA_OS_TYPE_LINUX);
	req.os_ver_major = le32_make(7);
	req.os_ver_minor = le32_make(2);
	req.os_ver_build = le32_make(13);
	strcpy((char *)req.os_ver_str1, "Linux");
	strcpy((char *)req.os_ver_str2, "7.2.13-test");
	strcpy((char *)req.os_ver_str3, "#1 SMP test driver");
	rc = call(d, &req, sizeof(req), &r, sizeof(r));
	if (resp)
		*resp = r;
	return rc;
}

int drv_query_max(struct drv *d, struct gdma_query_max_resources_resp *resp)
{
	struct gdma_general_req req = {0};

	drv_hdr(d, &req, GDMA_QUERY_MAX_RESOURCES, sizeof(req), sizeof(*resp));
	return call(d, &req, sizeof(req), resp, sizeof(*resp));
}

int drv_list_devices(struct drv *d, struct gdma_list_devices_resp *resp)
{
	struct gdma_general_req req = {0};
	int rc;

	drv_hdr(d, &req, GDMA_LIST_DEVICES, sizeof(req), sizeof(*resp));
	rc = call(d, &req, sizeof(req), resp, sizeof(*resp));
	if (rc)
		return rc;
	/* mana_gd_detect_devices(): holes are zero entries */
	for (uint32_t i = 0; i < MIN(GDMA_DEV_LIST_SIZE, le32_get(resp->num_of_devs)); i++)
		if (le16_get(resp->devs[i].type) == GDMA_DEVICE_MANA)
			d->mana = resp->devs[i];
	return le16_get(d->mana.type) ? 0 : -ENODEV;
}

int drv_register(struct drv *d)
{
	struct gdma_register_device_resp resp;
	struct gdma_general_req req = {0};
	int rc;

	drv_hdr(d, &req, GDMA_REGISTER_DEVICE, sizeof(req), sizeof(resp));
	req.hdr.dev_id = d->mana;
	rc = call(d, &req, sizeof(req), &resp, sizeof(resp));
	if (rc)
		return rc;
	if (d->db_off + (uint64_t)d->db_size * (le32_get(resp.db_id) + 1ull) > d->bar0_size)
		return -EPROTO;
	d->pdid = le32_get(resp.pdid);
	d->mkey = le32_get(resp.gpa_mkey);
	d->db_page = le32_get(resp.db_id);
	return 0;
}

int drv_deregister(struct drv *d)
{
	struct gdma_general_resp resp;
	struct gdma_general_req req = {0};

	drv_hdr(d, &req, GDMA_DEREGISTER_DEVICE, sizeof(req), sizeof(resp));
	req.hdr.dev_id = d->mana;
	return call(d, &req, sizeof(req), &resp, sizeof(resp));
}

int drv_query_dev_cfg(struct drv *d, uint16_t resp_ver, struct mana_query_device_cfg_resp *resp)
{
	struct mana_query_device_cfg_req req = {0};

	drv_hdr(d, &req, MANA_QUERY_DEV_CONFIG, sizeof(req),
		resp_ver == 1 ? MANA_QUERY_DEV_CONFIG_RESP_V1_SIZE : sizeof(*resp));
	req.hdr.resp.msg_version = le16_make(resp_ver);
	req.proto_major_ver = le32_make(MANA_MAJOR_VERSION);
	req.proto_minor_ver = le32_make(MANA_MINOR_VERSION);
	req.proto_micro_ver = le32_make(MANA_MICRO_VERSION);
	return call(d, &req, sizeof(req), resp, sizeof(*resp));
}

int drv_query_vport(struct drv *d, uint32_t index, struct mana_query_vport_cfg_resp *resp)
{
	struct mana_query_vport_cfg_req req = {0};

	drv_hdr(d, &req, MANA_QUERY_VPORT_CONFIG, sizeof(req), sizeof(*resp));
	req.vport_index = le32_make(index);
	return call_full(d, &req, sizeof(req), resp, sizeof(*resp));
}

int drv_config_vport_tx(struct drv *d, uint64_t vport, struct mana_config_vport_resp *resp)
{
	struct mana_config_vport_req req = {0};

	drv_hdr(d, &req, MANA_CONFIG_VPORT_TX, sizeof(req), sizeof(*resp));
	req.vport = le64_make(vport);
	req.pdid = le32_make(d->pdid);
	req.doorbell_pageid = le32_make(d->db_page);
	return call_full(d, &req, sizeof(req), resp, sizeof(*resp));
}

/* ---- DMA regions --------------------------------------------------------------------------- */

static int region_add(struct drv *d, uint64_t handle, const uint64_t *pages, uint32_t n, bool last)
{
	uint8_t buf[HW_CHANNEL_MAX_REQUEST_SIZE] = {0};
	struct gdma_dma_region_add_pages_req *req = (void *)buf;
	struct gdma_general_resp resp;
	uint32_t len = (uint32_t)sizeof(*req) + n * 8, status;
	int rc;

	drv_hdr(d, req, GDMA_DMA_REGION_ADD_PAGES, len, sizeof(resp));
	req->dma_region_handle = le64_make(handle);
	req->page_addr_list_len = le32_make(n);
	for (uint32_t i = 0; i < n; i++)
		le64_store(buf + sizeof(*req) + i * 8, pages[i]);
	rc = drv_hwc_request(d, req, len, &resp, sizeof(resp), &status);
	last_status = status;
	if (rc)
		return rc;
	return status == (last ? GDMA_STATUS_SUCCESS : GDMA_STATUS_MORE_ENTRIES) ? 0 : -EREMOTEIO;
}

int drv_region_create(struct drv *d, const uint64_t *pages, uint32_t n, uint64_t length,
		      uint32_t offset, uint32_t per_msg, uint64_t *handle)
{
	uint8_t buf[HW_CHANNEL_MAX_REQUEST_SIZE] = {0};
	struct gdma_create_dma_region_req *req = (void *)buf;
	struct gdma_create_dma_region_resp resp;
	uint32_t room = (HW_CHANNEL_MAX_REQUEST_SIZE - (uint32_t)sizeof(*req)) / 8;
	uint32_t first, len, status, sent;
	int rc;

	if (!per_msg || per_msg > room)
		per_msg = room;
	first = MIN(n, per_msg);
	len = (uint32_t)sizeof(*req) + first * 8;
	drv_hdr(d, req, GDMA_CREATE_DMA_REGION, len, sizeof(resp));
	req->length = le64_make(length);
	req->offset_in_page = le32_make(offset);
	req->gdma_page_type = le32_make(GDMA_PAGE_TYPE_4K);
	req->page_count = le32_make(n);
	req->page_addr_list_len = le32_make(first);
	for (uint32_t i = 0; i < first; i++)
		le64_store(buf + sizeof(*req) + i * 8, pages[i]);
	rc = drv_hwc_request(d, req, len, &resp, sizeof(resp), &status);
	last_status = status;
	if (rc)
		return rc;
	if (status != (first < n ? GDMA_STATUS_MORE_ENTRIES : GDMA_STATUS_SUCCESS))
		return -EREMOTEIO;
	*handle = le64_get(resp.dma_region_handle);
	if (*handle == GDMA_INVALID_DMA_REGION)
		return -EPROTO;
	for (sent = first; sent < n; sent += first) {
		first = MIN(n - sent, per_msg);
		rc = region_add(d, *handle, pages + sent, first, sent + first == n);
		if (rc)
			return rc;
	}
	return 0;
}

int drv_region_of(struct drv *d, uint64_t gpa, uint64_t length, uint64_t *handle)
{
	uint32_t n = (uint32_t)((length + DRV_PAGE - 1) / DRV_PAGE);
	uint64_t *pages = calloc(n, sizeof(*pages));
	int rc;

	if (!pages)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++)
		pages[i] = gpa + (uint64_t)i * DRV_PAGE;
	rc = drv_region_create(d, pages, n, length, 0, 0, handle);
	free(pages);
	return rc;
}

int drv_region_destroy(struct drv *d, uint64_t handle)
{
	struct gdma_destroy_dma_region_req req = {0};
	struct gdma_general_resp resp;

	drv_hdr(d, &req, GDMA_DESTROY_DMA_REGION, sizeof(req), sizeof(resp));
	req.dma_region_handle = le64_make(handle);
	return call(d, &req, sizeof(req), &resp, sizeof(resp));
}

/* ---- Queues -----------------------------------------------------------------------------------
 */

int drv_test_eqe(struct drv *d, uint32_t eq_id)
{
	struct gdma_generate_test_event_req req = {0};
	struct gdma_general_resp resp;

	drv_hdr(d, &req, GDMA_GENERATE_TEST_EQE, sizeof(req), sizeof(resp));
	if (d->hwc_eq.id == eq_id)
		req.hdr.dev_id.type = le16_make(GDMA_DEVICE_HWC);
	else
		req.hdr.dev_id = d->mana;
	req.queue_index = le32_make(eq_id);
	return call(d, &req, sizeof(req), &resp, sizeof(resp));
}

int drv_disable_queue(struct drv *d, enum gdma_queue_type type, uint32_t id)
{
	struct gdma_disable_queue_req req = {0};
	struct gdma_general_resp resp;

	drv_hdr(d, &req, GDMA_DISABLE_QUEUE, sizeof(req), sizeof(resp));
	req.hdr.dev_id = d->mana;
	req.type = le32_make(type);
	req.queue_index = le32_make(id);
	req.alloc_res_id_on_creation = le32_make(1);
	return call(d, &req, sizeof(req), &resp, sizeof(resp));
}

int drv_create_wqobj(struct drv *d, const struct mana_create_wqobj_req *from,
		     struct mana_create_wqobj_resp *resp)
{
	struct mana_create_wqobj_req req = *from;
	int rc;

	memset(&req.hdr, 0, sizeof(req.hdr));
	drv_hdr(d, &req, MANA_CREATE_WQ_OBJ, sizeof(req), sizeof(*resp));
	rc = call_full(d, &req, sizeof(req), resp, sizeof(*resp));
	if (!rc && le64_get(resp->wq_obj) == INVALID_MANA_HANDLE)
		rc = -EPROTO;
	return rc;
}

int drv_destroy_wqobj(struct drv *d, enum gdma_queue_type type, uint64_t handle)
{
	struct mana_destroy_wqobj_req req = {0};
	struct gdma_general_resp resp;

	drv_hdr(d, &req, MANA_DESTROY_WQ_OBJ, sizeof(req), sizeof(resp));
	req.wq_type = le32_make(type);
	req.wq_obj_handle = le64_make(handle);
	return call_full(d, &req, sizeof(req), &resp, sizeof(resp));
}

int drv_fence(struct drv *d, uint64_t handle)
{
	struct mana_fence_rq_req req = {0};
	struct gdma_general_resp resp;

	drv_hdr(d, &req, MANA_FENCE_RQ, sizeof(req), sizeof(resp));
	req.wq_obj_handle = le64_make(handle);
	return call_full(d, &req, sizeof(req), &resp, sizeof(resp));
}

/* ---- vPort -------------------------------------------------------------------------------------
 */

int drv_gf_stat(struct drv *d, struct mana_query_gf_stat_resp *resp)
{
	struct mana_query_gf_stat_req req = {0};

	drv_hdr(d, &req, MANA_QUERY_GF_STAT, sizeof(req), sizeof(*resp));
	req.hdr.resp.msg_version = le16_make(GDMA_MESSAGE_V2);
	req.req_stats = le64_make(STATISTICS_FLAGS_ALL);
	return call_full(d, &req, sizeof(req), resp, sizeof(*resp));
}

int drv_bw_clamp(struct drv *d, uint64_t vport, uint32_t enable, uint32_t mbps,
		 uint8_t *unconfigured)
{
	struct mana_set_bw_clamp_req req = {0};
	struct mana_set_bw_clamp_resp resp;
	int rc;

	drv_hdr(d, &req, MANA_SET_BW_CLAMP, sizeof(req), sizeof(resp));
	req.vport = le64_make(vport);
	req.enable_clamping = le32_make(enable);
	req.link_speed_mbps = le32_make(mbps);
	rc = call_full(d, &req, sizeof(req), &resp, sizeof(resp));
	if (!rc && unconfigured)
		*unconfigured = resp.qos_unconfigured;
	return rc;
}

int drv_link_config(struct drv *d, uint64_t vport, struct mana_query_link_config_resp *resp)
{
	struct mana_query_link_config_req req = {0};

	drv_hdr(d, &req, MANA_QUERY_LINK_CONFIG, sizeof(req), sizeof(*resp));
	req.hdr.resp.msg_version = le16_make(GDMA_MESSAGE_V2);
	req.vport = le64_make(vport);
	return call_full(d, &req, sizeof(req), resp, sizeof(*resp));
}

int drv_steer(struct drv *d, const struct drv_steer *s)
{
	uint8_t buf[HW_CHANNEL_MAX_REQUEST_SIZE + 128] = {0};
	struct mana_cfg_rx_steer_req_v2 *req = (void *)buf;
	bool v1 = s->version == 1;
	/* mana_cfg_rx_steer_req of 6.1: no coalescing fields, response without the time */
	uint32_t base = v1 ? MANA_CFG_RX_STEER_REQ_V1_SIZE : (uint32_t)sizeof(*req);
	uint32_t len = base + s->n_tab * 8u;
	struct mana_cfg_rx_steer_resp resp;
	uint16_t ver = s->version ? s->version : GDMA_MESSAGE_V2;
	uint16_t resp_ver = s->resp_version ? s->resp_version : ver;
	uint32_t resp_len = resp_ver == 1 ? sizeof(struct gdma_resp_hdr) : sizeof(resp);

	if (len > HW_CHANNEL_MAX_REQUEST_SIZE + 128)
		return -EMSGSIZE;
	drv_hdr(d, req, MANA_CONFIG_VPORT_RX, len, resp_len);
	req->hdr.req.msg_version = le16_make(ver);
	req->hdr.resp.msg_version = le16_make(resp_ver);
	req->vport = le64_make(s->vport);
	req->num_indir_entries = le16_make(s->n_tab);
	req->indir_tab_offset = le16_make((uint16_t)base);
	req->rx_enable = le32_make(s->rx);
	req->rss_enable = le32_make(s->rss);
	req->update_default_rxobj = s->set_default;
	req->update_hashkey = s->set_key;
	req->update_indir_tab = s->set_tab;
	req->default_rxobj = le64_make(s->def_obj);
	if (s->set_key)
		memcpy(req->hashkey, s->key, sizeof(s->key));
	if (!v1)
		req->cqe_coalescing_enable = s->coalesce;
	if (s->set_tab)
		for (uint32_t i = 0; i < s->n_tab; i++)
			le64_store(buf + base + i * 8, s->tab[i]);
	return call_full(d, req, len, &resp, resp_len);
}

int drv_bring_up(struct drv *d)
{
	struct gdma_query_max_resources_resp max;
	struct mana_query_device_cfg_resp cfg;
	struct gdma_list_devices_resp list;
	struct gdma_verify_ver_resp ver;
	int rc;

	/* mana_gd_setup(), mana_probe() */
	rc = drv_hwc_up(d);
	if (!rc)
		rc = drv_verify_version(d, DRV_CAPS_72, &ver);
	if (!rc)
		rc = drv_list_devices(d, &list);
	if (!rc)
		rc = drv_query_max(d, &max);
	if (!rc)
		rc = drv_query_dev_cfg(d, GDMA_MESSAGE_V3, &cfg);
	if (!rc)
		rc = drv_register(d);
	return rc;
}
