/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the GDMA layer's requests: version, resources, devices, EQs, DMA regions, doorbell pages. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "emulator/mana/mana_internal.h"

#define HWC_TIMEOUT_DEFAULT_MS 30000u

static void keep_os_string(char *dst, size_t size, const uint8_t *src)
{
	size_t n = 0;

	while (n < size - 1 && src[n]) {
		dst[n] = isprint(src[n]) ? (char)src[n] : '?';
		n++;
	}
	dst[n] = '\0';
}

static uint32_t verify_version(struct mana *m, struct hwc_msg *msg)
{
	const struct gdma_verify_ver_req *req = (const void *)msg->data;
	struct gdma_verify_ver_resp *resp = (void *)msg->resp;
	char text[320];

	if (le64_get(req->protocol_ver_min) > GDMA_PROTOCOL_V1 ||
	    le64_get(req->protocol_ver_max) < GDMA_PROTOCOL_V1)
		return GDMA_STATUS_BAD_VERSION;
	m->driver_caps[0] = le64_get(req->gd_drv_cap_flags1);
	m->driver_caps[1] = le64_get(req->gd_drv_cap_flags2);
	m->driver_caps[2] = le64_get(req->gd_drv_cap_flags3);
	m->driver_caps[3] = le64_get(req->gd_drv_cap_flags4);
	m->os_type = le32_get(req->os_type);
	m->os_ver_major = le32_get(req->os_ver_major);
	m->os_ver_minor = le32_get(req->os_ver_minor);
	m->os_ver_build = le32_get(req->os_ver_build);
	m->os_ver_platform = le32_get(req->os_ver_platform);
	keep_os_string(m->os_ver_str[0], sizeof(m->os_ver_str[0]), req->os_ver_str1);
	keep_os_string(m->os_ver_str[1], sizeof(m->os_ver_str[1]), req->os_ver_str2);
	keep_os_string(m->os_ver_str[2], sizeof(m->os_ver_str[2]), req->os_ver_str3);
	keep_os_string(m->os_ver_str[3], sizeof(m->os_ver_str[3]), req->os_ver_str4);
	resp->gdma_protocol_ver = le64_make(GDMA_PROTOCOL_V1);
	/* Makes Linux 7.2 ask for the time-out; only who knows the message is told. */
	resp->pf_cap_flags1 =
		le64_make(m->driver_caps[0] & GDMA_DRV_CAP_FLAG_1_HWC_TIMEOUT_RECONFIG);
	snprintf(text, sizeof(text), "%s %s", m->os_ver_str[0], m->os_ver_str[1]);
	mana_emit(m, MANA_EV_DRIVER, 0, text);
	return GDMA_STATUS_SUCCESS;
}

static uint32_t query_max_resources(struct mana *m, struct hwc_msg *msg)
{
	struct gdma_query_max_resources_resp *resp = (void *)msg->resp;

	resp->max_sq = le32_make(m->n_qps);
	resp->max_rq = le32_make(m->n_qps);
	resp->max_cq = le32_make(m->cqs.limit - 1);
	resp->max_eq = le32_make(m->eqs.limit - 1);
	resp->max_db = le32_make(MANA_N_DB_PAGES);
	resp->max_mst = le32_make(MANA_MAX_REGIONS);
	resp->max_msix = le32_make(m->n_msix);
	return GDMA_STATUS_SUCCESS;
}

/*
 * Whether the driver is shown an RDMA function beside the Ethernet one. There is none, but mana_ib
 * up to Linux 6.15 registers it without looking whether it was listed, through a null pointer when
 * it was not (6.12: mana_ib_probe(), mana_gd_register_device()). So those drivers find one that
 * can be registered and supports nothing else, and mana_ib gives up with an error. Later ones look
 * (mana_rdma_probe()); drivers with the reset capability are surely later.
 */
static bool lists_rdma(const struct mana *m)
{
	return !(m->driver_caps[0] & GDMA_DRV_CAP_FLAG_1_SELF_RESET_ON_EQE);
}

static bool names_rdma(const struct mana *m, const struct hwc_msg *msg)
{
	return lists_rdma(m) && msg->dev_type == GDMA_DEVICE_MANA_IB &&
	       msg->dev_instance == MANA_DEV_INSTANCE;
}

static bool names_mana(const struct hwc_msg *msg)
{
	return msg->dev_type == GDMA_DEVICE_MANA && msg->dev_instance == MANA_DEV_INSTANCE;
}

static uint32_t list_devices(struct mana *m, struct hwc_msg *msg)
{
	struct gdma_list_devices_resp *resp = (void *)msg->resp;

	resp->num_of_devs = le32_make(lists_rdma(m) ? 3 : 2);
	resp->devs[0].type = le16_make(GDMA_DEVICE_HWC);
	resp->devs[1].type = le16_make(GDMA_DEVICE_MANA);
	resp->devs[1].instance = le16_make(MANA_DEV_INSTANCE);
	if (lists_rdma(m)) {
		resp->devs[2].type = le16_make(GDMA_DEVICE_MANA_IB);
		resp->devs[2].instance = le16_make(MANA_DEV_INSTANCE);
	}
	return GDMA_STATUS_SUCCESS;
}

static uint32_t register_device(struct mana *m, struct hwc_msg *msg)
{
	struct gdma_register_device_resp *resp = (void *)msg->resp;

	if (names_mana(msg))
		m->registered = m->held = true;
	else if (!names_rdma(m, msg))
		return GDMA_STATUS_BAD_HANDLE;
	resp->pdid = le32_make(MANA_PDID);
	resp->gpa_mkey = le32_make(MANA_GPA_MKEY);
	resp->db_id = le32_make(MANA_DB_MANA);
	return GDMA_STATUS_SUCCESS;
}

/* ---- Event queues -------------------------------------------------------------------------- */

/* @eq: NULL when there is none by the number that the guest gave. */
static uint32_t eq_event(struct mana *m, struct mana_eq *eq, uint32_t type, uint32_t data)
{
	if (!eq)
		return GDMA_STATUS_BAD_HANDLE;
	switch (eq_post_raise(m, eq, type, data)) {
	case 0:
		return GDMA_STATUS_SUCCESS;
	case -ENOSPC:
		return GDMA_STATUS_NO_RESOURCE;
	default:
		return GDMA_STATUS_BAD_MEMORY;
	}
}

static bool any_vport_set_up(const struct mana *m)
{
	for (uint32_t i = 0; i < m->n_vports; i++)
		if (m->vport[i].tx_configured)
			return true;
	return false;
}

static bool any_vport_has_queues(const struct mana *m)
{
	for (uint32_t i = 0; i < m->n_vports; i++)
		if (m->vport[i].n_sq || m->vport[i].n_rq)
			return true;
	return false;
}

/*
 * The drivers of Linux 6.1 and 6.12 make the EQs before they set up a vPort (mana_create_eq() in
 * mana_probe()), keep them while the interface goes down and up, and give them back in mana_remove()
 * once they have unregistered it: the earliest sign that the function is given up. That of 7.2 makes
 * and destroys them with the vPort's queues, where this would be too early. A driver that goes on all
 * the same holds the function again when it sets up a vPort: config_vport_tx().
 */
static void eq_goes(struct mana *m, const struct mana_eq *eq)
{
	if (eq->of_function && !any_vport_has_queues(m))
		device_released(m, "event queues given back");
}

/* Linux tests each EQ twice: when it has made it, and before it destroys it. */
static uint32_t generate_test_eqe(struct mana *m, struct hwc_msg *msg)
{
	const struct gdma_generate_test_event_req *req = (const void *)msg->data;
	struct mana_eq *eq = ids_get(&m->eqs, le32_get(req->queue_index));
	uint32_t status = eq_event(m, eq, GDMA_EQE_TEST_EVENT, 0);

	if (status != GDMA_STATUS_SUCCESS)
		return status;
	if (eq->tested)
		eq_goes(m, eq);
	eq->tested = true;
	return GDMA_STATUS_SUCCESS;
}

static uint32_t generate_reset_eqe(struct mana *m, struct hwc_msg *msg)
{
	const struct gdma_generate_reset_event_req *req = (const void *)msg->data;
	struct mana_eq *eq = ids_get(&m->eqs, le32_get(req->queue_index));

	return eq_event(m, eq, GDMA_EQE_HWC_RESET_REQUEST, le32_get(req->data));
}

/* An Ethernet function makes EQs only; its other queues come as work queue objects. */
static uint32_t create_queue(struct mana *m, struct hwc_msg *msg)
{
	const struct gdma_create_queue_req *req = (const void *)msg->data;
	struct gdma_create_queue_resp *resp = (void *)msg->resp;
	uint32_t size = le32_get(req->queue_size), msix = le32_get(req->eq_pci_msix_index);
	uint32_t db = le32_get(req->doolbell_id), status;
	uint64_t region = le64_get(req->gdma_region);
	struct mana_eq *eq;

	if (le32_get(req->type) != GDMA_EQ || le32_get(req->pdid) != MANA_PDID ||
	    msix >= m->n_msix || db >= MANA_N_DB_PAGES || db == MANA_DB_HWC ||
	    m->db[db].state == DB_FREE)
		return GDMA_STATUS_BAD_PARAM;
	status = region_check_queue(m, region, size);
	if (status != GDMA_STATUS_SUCCESS)
		return status;
	if (ids_full(&m->eqs))
		return GDMA_STATUS_NO_RESOURCE;
	eq = eq_new(m, msix, db);
	if (!eq || ring_from_region(m, &eq->ring, region, GUEST_MEM_RW)) {
		eq_free(eq);
		return GDMA_STATUS_NO_RESOURCE;
	}
	if (!ring_reachable(&eq->ring)) {
		eq_free(eq);
		return GDMA_STATUS_BAD_MEMORY;
	}
	region_destroy(m, region);
	eq->of_function = !any_vport_set_up(m);
	eq_start(eq);
	eq->id = (uint32_t)ids_add(&m->eqs, eq);
	m->db[db].users++;
	resp->queue_index = le32_make(eq->id);
	return GDMA_STATUS_SUCCESS;
}

/* CQs that reported there stay, silent: Linux in its reset path may lose their destruction. */
static void eq_destroy(struct mana *m, struct mana_eq *eq)
{
	for (uint32_t i = 0; eq->n_cqs && i < m->cqs.n; i++) {
		struct mana_cq *cq = ids_get(&m->cqs, i);

		if (cq && cq->eq == eq)
			cq_detach(cq);
	}
	m->db[eq->db_page].users--;
	ids_del(&m->eqs, eq->id);
	eq_free(eq);
}

static uint32_t disable_queue(struct mana *m, struct hwc_msg *msg)
{
	const struct gdma_disable_queue_req *req = (const void *)msg->data;
	struct mana_eq *eq = ids_get(&m->eqs, le32_get(req->queue_index));

	if (le32_get(req->type) != GDMA_EQ)
		return GDMA_STATUS_BAD_PARAM;
	if (!eq || eq->hwc)
		return GDMA_STATUS_BAD_HANDLE;
	eq_goes(m, eq);
	eq_destroy(m, eq);
	return GDMA_STATUS_SUCCESS;
}

/* Takes what the function still has with it: queues, EQs, settings of the vPorts. */
static uint32_t deregister_device(struct mana *m, struct hwc_msg *msg)
{
	if (names_rdma(m, msg))
		return GDMA_STATUS_SUCCESS;
	if (!names_mana(msg))
		return GDMA_STATUS_BAD_HANDLE;
	for (uint32_t i = 0; i < m->n_vports; i++)
		vport_clear(&m->vport[i]);
	for (uint32_t i = 0; i < m->eqs.n; i++) {
		struct mana_eq *eq = ids_get(&m->eqs, i);

		if (eq && !eq->hwc)
			eq_destroy(m, eq);
	}
	m->registered = false;
	device_released(m, "deregistered");
	return GDMA_STATUS_SUCCESS;
}

static uint32_t change_msix(struct mana *m, struct hwc_msg *msg)
{
	const struct gdma_change_msix_for_eq_req *req = (const void *)msg->data;
	struct mana_eq *eq = ids_get(&m->eqs, le32_get(req->queue_index));
	uint32_t msix = le32_get(req->msix);

	if (!eq)
		return GDMA_STATUS_BAD_HANDLE;
	if (msix >= m->n_msix)
		return GDMA_STATUS_BAD_PARAM;
	pthread_mutex_lock(&eq->lock);
	eq->msix = msix;
	pthread_mutex_unlock(&eq->lock);
	return GDMA_STATUS_SUCCESS;
}

static uint32_t query_hwc_timeout(struct mana *m, struct hwc_msg *msg)
{
	const struct gdma_query_hwc_timeout_req *req = (const void *)msg->data;
	struct gdma_query_hwc_timeout_resp *resp = (void *)msg->resp;
	uint32_t ms = le32_get(req->timeout_ms);

	(void)m;
	resp->timeout_ms = le32_make(ms ? ms : HWC_TIMEOUT_DEFAULT_MS);
	return GDMA_STATUS_SUCCESS;
}

/* ---- Doorbell pages -------------------------------------------------------------------------- */

static uint32_t allocate_range(struct mana *m, struct hwc_msg *msg)
{
	const struct gdma_allocate_resource_range_req *req = (const void *)msg->data;
	struct gdma_allocate_resource_range_resp *resp = (void *)msg->resp;
	uint32_t n = le32_get(req->num_resources), align = le32_get(req->alignment);
	uint32_t first = le32_get(req->allocated_resources);

	if (le32_get(req->resource_type) != GDMA_RESOURCE_DOORBELL_PAGE || !n ||
	    n > MANA_N_DB_PAGES || align > MANA_N_DB_PAGES || first >= MANA_N_DB_PAGES)
		return GDMA_STATUS_BAD_PARAM;
	align = align ? align : 1;
	for (uint32_t at = (first + align - 1) / align * align; at + n <= MANA_N_DB_PAGES;
	     at += align) {
		uint32_t i = 0;

		while (i < n && m->db[at + i].state == DB_FREE)
			i++;
		if (i < n)
			continue;
		for (i = 0; i < n; i++)
			m->db[at + i].state = DB_RANGE;
		resp->allocated_resources = le32_make(at);
		return GDMA_STATUS_SUCCESS;
	}
	return GDMA_STATUS_NO_RESOURCE;
}

static uint32_t destroy_range(struct mana *m, struct hwc_msg *msg)
{
	const struct gdma_destroy_resource_range_req *req = (const void *)msg->data;
	uint32_t n = le32_get(req->num_resources), first = le32_get(req->allocated_resources);

	if (le32_get(req->resource_type) != GDMA_RESOURCE_DOORBELL_PAGE || !n ||
	    n > MANA_N_DB_PAGES || first > MANA_N_DB_PAGES - n)
		return GDMA_STATUS_BAD_PARAM;
	for (uint32_t i = first; i < first + n; i++) {
		if (m->db[i].state != DB_RANGE)
			return GDMA_STATUS_BAD_HANDLE;
		if (m->db[i].users)
			return GDMA_STATUS_BAD_STATE;
	}
	for (uint32_t i = first; i < first + n; i++)
		m->db[i].state = DB_FREE;
	return GDMA_STATUS_SUCCESS;
}

/* ---- DMA regions -------------------------------------------------------------------------------
 */

static uint32_t create_dma_region(struct mana *m, struct hwc_msg *msg)
{
	struct gdma_create_dma_region_resp *resp = (void *)msg->resp;
	uint64_t handle = GDMA_INVALID_DMA_REGION;
	uint32_t status = region_create(m, msg->data, msg->size, &handle);

	resp->dma_region_handle = le64_make(handle);
	return status;
}

static uint32_t add_pages(struct mana *m, struct hwc_msg *msg)
{
	return region_add_pages(m, msg->data, msg->size);
}

static uint32_t destroy_dma_region(struct mana *m, struct hwc_msg *msg)
{
	const struct gdma_destroy_dma_region_req *req = (const void *)msg->data;

	return region_destroy(m, le64_get(req->dma_region_handle));
}

#define REQ(t)	.min_size = sizeof(struct t), .max_size = sizeof(struct t)
#define LIST(t) .min_size = sizeof(struct t), .max_size = HW_CHANNEL_MAX_REQUEST_SIZE
#define RESP(t) .resp_size = sizeof(struct t)

const struct hwc_command gdma_commands[] = {
	{"verify_vf_driver_version", GDMA_VERIFY_VF_DRIVER_VERSION, 1, 1, REQ(gdma_verify_ver_req),
	 RESP(gdma_verify_ver_resp), .handler = verify_version},
	{"query_max_resources", GDMA_QUERY_MAX_RESOURCES, 1, 1, REQ(gdma_general_req),
	 RESP(gdma_query_max_resources_resp), .handler = query_max_resources},
	{"list_devices", GDMA_LIST_DEVICES, 1, 1, REQ(gdma_general_req),
	 RESP(gdma_list_devices_resp), .handler = list_devices},
	{"register_device", GDMA_REGISTER_DEVICE, 1, 1, REQ(gdma_general_req),
	 RESP(gdma_register_device_resp), .handler = register_device},
	{"deregister_device", GDMA_DEREGISTER_DEVICE, 1, 1, REQ(gdma_general_req),
	 RESP(gdma_resp_hdr), .registered = true, .handler = deregister_device},
	{"generate_test_eqe", GDMA_GENERATE_TEST_EQE, 1, 1, REQ(gdma_generate_test_event_req),
	 RESP(gdma_resp_hdr), .handler = generate_test_eqe},
	{"generate_reset_request_eqe", GDMA_GENERATE_RESET_REQUEST_EQE, 1, 1,
	 REQ(gdma_generate_reset_event_req), RESP(gdma_resp_hdr), .handler = generate_reset_eqe},
	{"create_queue", GDMA_CREATE_QUEUE, 1, 1, REQ(gdma_create_queue_req),
	 RESP(gdma_create_queue_resp), .registered = true, .handler = create_queue},
	{"disable_queue", GDMA_DISABLE_QUEUE, 1, 1, REQ(gdma_disable_queue_req),
	 RESP(gdma_resp_hdr), .handler = disable_queue},
	{"allocate_resource_range", GDMA_ALLOCATE_RESOURCE_RANGE, 1, 1,
	 REQ(gdma_allocate_resource_range_req), RESP(gdma_allocate_resource_range_resp),
	 .handler = allocate_range},
	{"destroy_resource_range", GDMA_DESTROY_RESOURCE_RANGE, 1, 1,
	 REQ(gdma_destroy_resource_range_req), RESP(gdma_resp_hdr), .handler = destroy_range},
	{"create_dma_region", GDMA_CREATE_DMA_REGION, 1, 1, LIST(gdma_create_dma_region_req),
	 RESP(gdma_create_dma_region_resp), .handler = create_dma_region},
	{"dma_region_add_pages", GDMA_DMA_REGION_ADD_PAGES, 1, 1,
	 LIST(gdma_dma_region_add_pages_req), RESP(gdma_resp_hdr), .handler = add_pages},
	{"destroy_dma_region", GDMA_DESTROY_DMA_REGION, 1, 1, REQ(gdma_destroy_dma_region_req),
	 RESP(gdma_resp_hdr), .handler = destroy_dma_region},
	{"change_msix_for_eq", GDMA_CHANGE_MSIX_FOR_EQ, 1, 1, REQ(gdma_change_msix_for_eq_req),
	 RESP(gdma_resp_hdr), .handler = change_msix},
	{"query_hwc_timeout", GDMA_QUERY_HWC_TIMEOUT, 1, 1, REQ(gdma_query_hwc_timeout_req),
	 RESP(gdma_query_hwc_timeout_resp), .handler = query_hwc_timeout},
	/* RDMA: there is no such function here. */
	{.type = GDMA_CREATE_PD, .name = "create_pd"},
	{.type = GDMA_DESTROY_PD, .name = "destroy_pd"},
	{.type = GDMA_CREATE_MR, .name = "create_mr"},
	{.type = GDMA_DESTROY_MR, .name = "destroy_mr"},
	{.type = GDMA_ALLOC_DM, .name = "alloc_dm"},
	{.type = GDMA_DESTROY_DM, .name = "destroy_dm"},
};
const unsigned int n_gdma_commands = ARRAY_SIZE(gdma_commands);
