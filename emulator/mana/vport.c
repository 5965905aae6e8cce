/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns vPorts and their work queue objects, and answers MANA's own requests about them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "emulator/mana/mana_internal.h"

#define ETH_HEADER 14

/* The bandwidth clamp is the path's maximum at the switch, beside what the host allows the vNIC. */
static void clamp(struct mana_vport *vp, uint32_t mbps)
{
	vp->clamp_mbps = mbps;
	vsw_port_shape_set(&vp->port, &(struct shape_conf){.max_mbps = mbps});
	for (uint32_t i = 0; i < vp->conf.max_queues; i++)
		if (vp->sq[i].active)
			tx_undelay(&vp->sq[i]);
}

int vport_init(struct mana *m, uint32_t index, const struct mana_vport_conf *conf)
{
	struct mana_vport *vp = &m->vport[index];
	char name[sizeof(m->name) + 12];

	vp->m = m;
	vp->index = index;
	vp->conf = *conf;
	if (!vp->conf.max_queues)
		vp->conf.max_queues = 16;
	if (!vp->conf.mtu)
		vp->conf.mtu = 9000;
	if (!vp->conf.link_mbps)
		vp->conf.link_mbps = 200000;
	snprintf(name, sizeof(name), index ? "%s.%u" : "%s", m->name, index);
	vsw_port_init(&vp->port, &mana_port_ops, name, vp->conf.mac);
	vp->port.mtu = vp->conf.mtu;
	vp->port.hold_ms = vp->m->conf.hold_ms;
	atomic_store(&vp->port.caps, MANA_RX_CAPS);
	atomic_store(&vp->port.link, true);
	atomic_store(&vp->port.receiving, false);
	vp->port.delays = true;
	vp->sq = calloc(vp->conf.max_queues, sizeof(*vp->sq));
	vp->rxq = calloc(vp->conf.max_queues, sizeof(*vp->rxq));
	if (!vp->sq || !vp->rxq)
		return -ENOMEM;
	vp->offered = vp->offered_next = vp->conf.max_queues;
	for (uint32_t i = 0; i < vp->conf.max_queues; i++) {
		vp->sq[i].vp = vp;
		vp->sq[i].index = i;
		vp->rxq[i].vp = vp;
		vp->rxq[i].index = i;
		pthread_mutex_init(&vp->rxq[i].lock, NULL);
	}
	for (uint32_t i = 0; i < MANA_INDIRECT_TABLE_MAX_SIZE; i++)
		atomic_init(&vp->steer.indir[i], STEER_NONE);
	steer_reset(vp);
	vp->id = (uint32_t)ids_add(&m->vport_ids, vp);
	return flowtab_resize(&vp->flows, &vp->port, conf->max_flows);
}

void vport_fini(struct mana_vport *vp)
{
	for (uint32_t i = 0; vp->rxq && i < vp->conf.max_queues; i++)
		pthread_mutex_destroy(&vp->rxq[i].lock);
	flowtab_resize(&vp->flows, &vp->port, 0);
	free(vp->sq);
	free(vp->rxq);
	vp->sq = NULL;
	vp->rxq = NULL;
}

struct mana_vport *vport_by_handle(struct mana *m, uint64_t handle)
{
	uint32_t id;

	return ids_by_handle(&m->vport_ids, handle, &id);
}

/* ---- Work queue objects ------------------------------------------------------------------ */

static void queue_pair_gone(struct mana *m, struct mana_wq *wq, struct mana_cq *cq, uint32_t obj)
{
	if (cq->eq)
		cq->eq->n_cqs--;
	cq->eq = NULL;
	ids_del(&m->cqs, cq->id);
	ids_del(&m->wqs, wq->id);
	ids_del(&m->objs, obj);
	ring_fini(&wq->ring);
	ring_fini(&cq->ring);
}

static void sq_destroy(struct mana_sq *sq)
{
	struct mana_vport *vp = sq->vp;

	tx_stop(sq);
	queue_pair_gone(vp->m, &sq->wq, &sq->cq, sq->obj);
	vp->n_sq--;
}

static void rxq_destroy(struct mana_rxq *q)
{
	struct mana_vport *vp = q->vp;

	steer_forget(vp, q->index);
	pthread_mutex_lock(&q->lock);
	rx_stop(q);
	queue_pair_gone(vp->m, &q->wq, &q->cq, q->obj);
	pthread_mutex_unlock(&q->lock);
	vp->n_rq--;
	/* Who waits for its buffers has to be steered anew. */
	vsw_port_wake(&vp->port);
}

void vport_clear(struct mana_vport *vp)
{
	struct mana *m = vp->m;

	steer_enable(vp, false);
	steer_reset(vp);
	for (uint32_t i = 0; i < vp->conf.max_queues; i++) {
		if (vp->sq[i].active)
			sq_destroy(&vp->sq[i]);
		if (vp->rxq[i].active)
			rxq_destroy(&vp->rxq[i]);
	}
	flowtab_clear(&vp->flows);
	if (vp->clamp_mbps)
		clamp(vp, 0);
	if (vp->tx_configured)
		m->db[vp->db_page].users--;
	vp->tx_configured = false;
}

/* ---- The flow table: the host's wish ------------------------------------------------------ */

struct flows_call {
	struct mana_vport *vp;
	uint32_t max;
	int rc;
};

static void do_flows_set(void *arg)
{
	struct flows_call *c = arg;

	c->rc = flowtab_resize(&c->vp->flows, &c->vp->port, c->max);
}

int mana_flows_set(struct mana *m, unsigned int vport, uint32_t max)
{
	struct flows_call c = {.vp = &m->vport[vport], .max = max};

	if (vport >= m->n_vports)
		return -EINVAL;
	worker_call(m->worker, do_flows_set, &c);
	return c.rc;
}

static uint32_t create_wq_obj(struct mana *m, struct hwc_msg *msg)
{
	const struct mana_create_wqobj_req *req = (const void *)msg->data;
	struct mana_create_wqobj_resp *resp = (void *)msg->resp;
	struct mana_vport *vp = vport_by_handle(m, le64_get(req->vport));
	uint64_t wq_region = le64_get(req->wq_gdma_region),
		 cq_region = le64_get(req->cq_gdma_region);
	uint32_t type = le32_get(req->wq_type), eq_id = le32_get(req->cq_parent_qid);
	uint32_t wq_size = le32_get(req->wq_size), slot = 0, status;
	struct mana_ring wq_ring = {0}, cq_ring = {0};
	struct mana_eq *eq = NULL;
	struct mana_wq *wq;
	struct mana_cq *cq;
	bool rx = type == GDMA_RQ;

	if (!vp)
		return GDMA_STATUS_BAD_HANDLE;
	if (type != GDMA_SQ && type != GDMA_RQ)
		return GDMA_STATUS_BAD_PARAM;
	if (!vp->tx_configured)
		return GDMA_STATUS_BAD_STATE;
	if (eq_id != GDMA_CQ_NO_EQ) {
		eq = ids_get(&m->eqs, eq_id);
		if (!eq || eq->hwc)
			return GDMA_STATUS_BAD_HANDLE;
	}
	status = region_check_queue(m, wq_region, wq_size);
	if (status == GDMA_STATUS_SUCCESS)
		status = region_check_queue(m, cq_region, le32_get(req->cq_size));
	if (status != GDMA_STATUS_SUCCESS)
		return status;
	if (wq_region == cq_region)
		return GDMA_STATUS_BAD_PARAM;
	while (slot < vp->offered && (rx ? vp->rxq[slot].active : vp->sq[slot].active))
		slot++;
	if (slot == vp->offered || ids_full(&m->wqs) || ids_full(&m->cqs) || ids_full(&m->objs))
		return GDMA_STATUS_NO_RESOURCE;
	if (ring_from_region(m, &wq_ring, wq_region, GUEST_MEM_R) ||
	    ring_from_region(m, &cq_ring, cq_region, GUEST_MEM_RW)) {
		status = GDMA_STATUS_NO_RESOURCE;
		goto fail;
	}
	if (!ring_reachable(&wq_ring) || !ring_reachable(&cq_ring)) {
		status = GDMA_STATUS_BAD_MEMORY;
		goto fail;
	}

	region_destroy(m, wq_region);
	region_destroy(m, cq_region);
	wq = rx ? &vp->rxq[slot].wq : &vp->sq[slot].wq;
	cq = rx ? &vp->rxq[slot].cq : &vp->sq[slot].cq;
	if (rx)
		pthread_mutex_lock(&vp->rxq[slot].lock);
	*wq = (struct mana_wq){.type = type, .db_page = vp->db_page, .ring = wq_ring};
	cq->ring = cq_ring;
	cq->eq = eq;
	if (eq)
		eq->n_cqs++;
	wq->id = (uint32_t)ids_add(&m->wqs, wq);
	cq->id = (uint32_t)ids_add(&m->cqs, cq);
	cq_start(cq, wq_size, rx);
	if (rx) {
		struct mana_rxq *q = &vp->rxq[slot];

		cq->owner = q;
		q->obj = (uint32_t)ids_add(&m->objs, wq);
		rx_start(q);
		pthread_mutex_unlock(&q->lock);
		vp->n_rq++;
		resp->wq_obj = le64_make(ids_handle(&m->objs, q->obj));
	} else {
		struct mana_sq *sq = &vp->sq[slot];

		cq->owner = sq;
		sq->obj = (uint32_t)ids_add(&m->objs, wq);
		tx_start(sq);
		vp->n_sq++;
		resp->wq_obj = le64_make(ids_handle(&m->objs, sq->obj));
	}
	resp->wq_id = le32_make(wq->id);
	resp->cq_id = le32_make(cq->id);
	return GDMA_STATUS_SUCCESS;

fail:
	ring_fini(&wq_ring);
	ring_fini(&cq_ring);
	return status;
}

static uint32_t destroy_wq_obj(struct mana *m, struct hwc_msg *msg)
{
	const struct mana_destroy_wqobj_req *req = (const void *)msg->data;
	uint32_t id;
	struct mana_wq *wq = ids_by_handle(&m->objs, le64_get(req->wq_obj_handle), &id);

	if (!wq || wq->type != le32_get(req->wq_type))
		return GDMA_STATUS_BAD_HANDLE;
	if (wq->type == GDMA_RQ)
		rxq_destroy(CONTAINER_OF(wq, struct mana_rxq, wq));
	else
		sq_destroy(CONTAINER_OF(wq, struct mana_sq, wq));
	return GDMA_STATUS_SUCCESS;
}

/* Everything delivered before has its CQE before the fence's; nothing by older rules comes after.
 */
static uint32_t fence_rq(struct mana *m, struct hwc_msg *msg)
{
	const struct mana_fence_rq_req *req = (const void *)msg->data;
	struct mana_rxcomp_oob oob = {
		.cqe_hdr = le32_make(CQE_RX_OBJECT_FENCE | MANA_CQE_COMPLETION
								   << MANA_CQE_CLIENT_TYPE_SHIFT),
	};
	uint32_t id, status = GDMA_STATUS_SUCCESS;
	struct mana_wq *wq = ids_by_handle(&m->objs, le64_get(req->wq_obj_handle), &id);
	struct gdma_cqe cqe;
	struct mana_rxq *q;
	int vector = -1;

	if (!wq || wq->type != GDMA_RQ)
		return GDMA_STATUS_BAD_HANDLE;
	q = CONTAINER_OF(wq, struct mana_rxq, wq);
	pthread_mutex_lock(&q->lock);
	if (cq_room(&q->cq)) {
		memcpy(cqe.cqe_data, &oob, sizeof(cqe.cqe_data));
		cqe.cqe_info = le32_make(wq->id);
		cq_post(&q->cq, &cqe);
		cq_notify(&q->cq, &vector);
	} else {
		status = GDMA_STATUS_BAD_STATE;
	}
	pthread_mutex_unlock(&q->lock);
	if (vector >= 0)
		vfuser_irq_raise(m->vu, (unsigned int)vector);
	return status;
}

/* ---- Queries and the rest ------------------------------------------------------------------- */

static uint32_t query_dev_config(struct mana *m, struct hwc_msg *msg)
{
	struct mana_query_device_cfg_resp *resp = (void *)msg->resp;
	uint32_t mtu = 0;
	uint64_t mbps = 0;

	for (uint32_t i = 0; i < m->n_vports; i++) {
		mtu = MAX(mtu, m->vport[i].conf.mtu);
		mbps = MAX(mbps, m->vport[i].conf.link_mbps);
	}
	resp->max_num_vports = le16_make((uint16_t)m->n_vports);
	resp->max_num_eqs = le32_make(m->eqs.limit - 1);
	if (msg->resp_version < GDMA_MESSAGE_V2) {
		msg->resp_size = MANA_QUERY_DEV_CONFIG_RESP_V1_SIZE;
		return GDMA_STATUS_SUCCESS;
	}
	resp->adapter_mtu = le16_make((uint16_t)(mtu + ETH_HEADER));
	if (msg->resp_version >= GDMA_MESSAGE_V4)
		resp->adapter_link_speed_mbps = le32_make((uint32_t)MIN(mbps, UINT32_MAX));
	return GDMA_STATUS_SUCCESS;
}

static uint32_t query_vport_config(struct mana *m, struct hwc_msg *msg)
{
	const struct mana_query_vport_cfg_req *req = (const void *)msg->data;
	struct mana_query_vport_cfg_resp *resp = (void *)msg->resp;
	uint32_t index = le32_get(req->vport_index);
	const struct mana_vport *vp;

	if (index >= m->n_vports)
		return GDMA_STATUS_BAD_HANDLE;
	vp = &m->vport[index];
	resp->max_num_sq = le32_make(vp->offered);
	resp->max_num_rq = le32_make(vp->offered);
	resp->num_indirection_ent =
		le32_make(m->driver_caps[0] & GDMA_DRV_CAP_FLAG_1_VARIABLE_INDIRECTION_TABLE_SUPPORT
				  ? MANA_INDIR_SIZE
				  : MANA_INDIRECT_TABLE_DEF_SIZE);
	memcpy(resp->mac_addr, vp->conf.mac, sizeof(resp->mac_addr));
	resp->vport = le64_make(ids_handle(&m->vport_ids, vp->id));
	return GDMA_STATUS_SUCCESS;
}

static uint32_t config_vport_tx(struct mana *m, struct hwc_msg *msg)
{
	const struct mana_config_vport_req *req = (const void *)msg->data;
	struct mana_config_vport_resp *resp = (void *)msg->resp;
	struct mana_vport *vp = vport_by_handle(m, le64_get(req->vport));
	uint32_t db = le32_get(req->doorbell_pageid);

	if (!vp)
		return GDMA_STATUS_BAD_HANDLE;
	if (le32_get(req->pdid) != MANA_PDID || db >= MANA_N_DB_PAGES || db == MANA_DB_HWC ||
	    m->db[db].state == DB_FREE)
		return GDMA_STATUS_BAD_PARAM;
	/* Queues carry the page they were made for. */
	if (vp->tx_configured && vp->db_page != db && (vp->n_sq || vp->n_rq))
		return GDMA_STATUS_BAD_STATE;
	if (vp->tx_configured)
		m->db[vp->db_page].users--;
	vp->tx_configured = true;
	m->held = true; /* again, if it seemed to have been given up */
	vp->db_page = db;
	m->db[db].users++;
	resp->tx_vport_offset = le16_make((uint16_t)vp->index);
	resp->short_form_allowed = 1;
	return GDMA_STATUS_SUCCESS;
}

/* Linux reads link_speed_mbps as the speed now and qos_speed_mbps as the most there can be. */
static uint32_t query_link_config(struct mana *m, struct hwc_msg *msg)
{
	const struct mana_query_link_config_req *req = (const void *)msg->data;
	struct mana_query_link_config_resp *resp = (void *)msg->resp;
	struct mana_vport *vp = vport_by_handle(m, le64_get(req->vport));
	uint64_t max;

	if (!vp)
		return GDMA_STATUS_BAD_HANDLE;
	max = MIN(vp->conf.link_mbps, UINT32_MAX);
	resp->qos_speed_mbps = le32_make((uint32_t)max);
	resp->link_speed_mbps = le32_make((uint32_t)(vp->clamp_mbps ? vp->clamp_mbps : max));
	return GDMA_STATUS_SUCCESS;
}

static uint32_t set_bw_clamp(struct mana *m, struct hwc_msg *msg)
{
	const struct mana_set_bw_clamp_req *req = (const void *)msg->data;
	struct mana_vport *vp = vport_by_handle(m, le64_get(req->vport));
	uint32_t enable = le32_get(req->enable_clamping), mbps = le32_get(req->link_speed_mbps);

	if (!vp)
		return GDMA_STATUS_BAD_HANDLE;
	if (enable != TRI_STATE_TRUE && enable != TRI_STATE_FALSE)
		return GDMA_STATUS_BAD_PARAM;
	if (enable == TRI_STATE_TRUE && (!mbps || mbps > vp->conf.link_mbps))
		return GDMA_STATUS_BAD_PARAM;
	clamp(vp, enable == TRI_STATE_TRUE ? mbps : 0);
	return GDMA_STATUS_SUCCESS;
}

struct queues_call {
	struct mana_vport *vp;
	uint32_t n;
};

static void do_queues_set(void *arg)
{
	struct queues_call *c = arg;

	c->vp->offered_next = c->n;
}

int mana_queues_set(struct mana *m, unsigned int vport, uint32_t n)
{
	struct queues_call c = {.n = n};

	if (vport >= m->n_vports || !n || n > m->vport[vport].conf.max_queues)
		return -EINVAL;
	c.vp = &m->vport[vport];
	worker_call(m->worker, do_queues_set, &c);
	return 0;
}

#define REQ(t)	.min_size = sizeof(struct t), .max_size = sizeof(struct t)
#define RESP(t) .resp_size = sizeof(struct t)

const struct hwc_command mana_commands[] = {
	{"query_dev_config", MANA_QUERY_DEV_CONFIG, 1, 4, REQ(mana_query_device_cfg_req),
	 RESP(mana_query_device_cfg_resp), .mana = true, .handler = query_dev_config},
	{"query_gf_stat", MANA_QUERY_GF_STAT, 1, 2, REQ(mana_query_gf_stat_req),
	 RESP(mana_query_gf_stat_resp), .mana = true, .registered = true,
	 .handler = stats_query_gf},
	{"config_vport_tx", MANA_CONFIG_VPORT_TX, 1, 1, REQ(mana_config_vport_req),
	 RESP(mana_config_vport_resp), .mana = true, .registered = true,
	 .handler = config_vport_tx},
	{"create_wq_obj", MANA_CREATE_WQ_OBJ, 1, 1, REQ(mana_create_wqobj_req),
	 RESP(mana_create_wqobj_resp), .mana = true, .registered = true, .handler = create_wq_obj},
	{"destroy_wq_obj", MANA_DESTROY_WQ_OBJ, 1, 1, REQ(mana_destroy_wqobj_req),
	 RESP(gdma_resp_hdr), .mana = true, .registered = true, .handler = destroy_wq_obj},
	{"fence_rq", MANA_FENCE_RQ, 1, 1, REQ(mana_fence_rq_req), RESP(gdma_resp_hdr), .mana = true,
	 .registered = true, .handler = fence_rq},
	{"config_vport_rx", MANA_CONFIG_VPORT_RX, 2, 2, .min_size = MANA_CFG_RX_STEER_REQ_V1_SIZE,
	 .max_size = HW_CHANNEL_MAX_REQUEST_SIZE, RESP(mana_cfg_rx_steer_resp), .mana = true,
	 .registered = true, .handler = steer_configure},
	{"query_vport_config", MANA_QUERY_VPORT_CONFIG, 1, 1, REQ(mana_query_vport_cfg_req),
	 RESP(mana_query_vport_cfg_resp), .mana = true, .registered = true,
	 .handler = query_vport_config},
	{"query_link_config", MANA_QUERY_LINK_CONFIG, 1, 2, REQ(mana_query_link_config_req),
	 RESP(mana_query_link_config_resp), .mana = true, .registered = true,
	 .handler = query_link_config},
	{"set_bw_clamp", MANA_SET_BW_CLAMP, 1, 1, REQ(mana_set_bw_clamp_req),
	 RESP(mana_set_bw_clamp_resp), .mana = true, .registered = true, .handler = set_bw_clamp},
	{"query_phy_stat", MANA_QUERY_PHY_STAT, 1, 1, REQ(mana_query_phy_stat_req),
	 RESP(mana_query_phy_stat_resp), .mana = true, .registered = true,
	 .handler = stats_query_phy},
	/* For physical functions. */
	{.type = MANA_REGISTER_FILTER, .name = "register_filter"},
	{.type = MANA_DEREGISTER_FILTER, .name = "deregister_filter"},
	{.type = MANA_REGISTER_HW_PORT, .name = "register_hw_port"},
	{.type = MANA_DEREGISTER_HW_PORT, .name = "deregister_hw_port"},
};
const unsigned int n_mana_commands = ARRAY_SIZE(mana_commands);
