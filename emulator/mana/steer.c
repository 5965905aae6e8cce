/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns a vPort's receive steering: MANA_CONFIG_VPORT_RX.
 *
 * Receive on is answered when the guest has emptied the path that received before, or after
 * mana_conf.take_over_ms: with the answer a net_failover guest forgets about what is left there, see
 * vswitch/nic.h.
 */
#include <string.h>

#include "base/checked.h"
#include "emulator/mana/mana_internal.h"
#include "vswitch/nic.h"

#define TAKE_OVER_MS 100

static void set(struct mana_steer *st, uint32_t n)
{
	atomic_store_explicit(&st->n_indir, n, memory_order_relaxed);
}

static void publish(struct mana_steer *st)
{
	atomic_fetch_add_explicit(&st->gen, 1, memory_order_acq_rel);
}

void steer_reset(struct mana_vport *vp)
{
	static const uint8_t no_key[MANA_HASH_KEY_SIZE];
	struct mana_steer *st = &vp->steer;

	set(st, 0);
	atomic_store_explicit(&st->rss, false, memory_order_relaxed);
	atomic_store_explicit(&st->def, STEER_NONE, memory_order_relaxed);
	rss_set_key(&st->hash, no_key);
	st->coalesce = false;
	publish(st);
}

/* The queue is gone: what was steered there goes to the default queue, if that is another. */
void steer_forget(struct mana_vport *vp, uint32_t rxq_index)
{
	struct mana_steer *st = &vp->steer;

	for (uint32_t i = 0; i < MANA_INDIRECT_TABLE_MAX_SIZE; i++)
		if (atomic_load_explicit(&st->indir[i], memory_order_relaxed) == (int16_t)rxq_index)
			atomic_store_explicit(&st->indir[i], STEER_NONE, memory_order_relaxed);
	if (atomic_load_explicit(&st->def, memory_order_relaxed) == (int16_t)rxq_index)
		atomic_store_explicit(&st->def, STEER_NONE, memory_order_relaxed);
	publish(st);
}

static void apply_to_queues(struct mana_vport *vp)
{
	for (uint32_t i = 0; i < vp->conf.max_queues; i++) {
		struct mana_rxq *q = &vp->rxq[i];

		pthread_mutex_lock(&q->lock);
		if (q->active) {
			q->enabled = vp->steer.rx_enabled;
			q->coalesce = vp->steer.coalesce;
		}
		pthread_mutex_unlock(&q->lock);
	}
}

void steer_enable(struct mana_vport *vp, bool on)
{
	bool was = vp->steer.rx_enabled;

	vp->steer.rx_enabled = on;
	/* Off: stop the switch first, then the queues. On: the other way around. */
	if (!on)
		atomic_store(&vp->port.receiving, false);
	apply_to_queues(vp);
	if (on)
		atomic_store(&vp->port.receiving, true);
	if (!on && vp->taking_over)
		vsw_nic_take_back(&vp->port);
	vp->taking_over = false;
	if (on)
		vp->m->held = true; /* again, if it seemed to have been given up */
	if (was == on)
		return;
	/* Who waits for buffers here waits in vain, or need not any more. */
	vsw_port_wake(&vp->port);
	mana_emit(vp->m, on ? MANA_EV_DRIVEN : MANA_EV_UNDRIVEN, vp->index, NULL);
}

/* Receive queue index of an object handle of this vPort; STEER_NONE: no such. */
static int16_t rxq_of(struct mana_vport *vp, uint64_t handle)
{
	uint32_t id;
	struct mana_wq *wq = ids_by_handle(&vp->m->objs, handle, &id);
	struct mana_rxq *q;

	if (!wq || wq->type != GDMA_RQ)
		return STEER_NONE;
	q = CONTAINER_OF(wq, struct mana_rxq, wq);
	return (int16_t)(q->vp == vp ? (int)q->index : STEER_NONE);
}

static bool tri_state_ok(uint32_t v)
{
	return v == TRI_STATE_FALSE || v == TRI_STATE_TRUE || v == TRI_STATE_UNKNOWN;
}

/* May receive be turned on now? */
static bool taken_over(struct mana_vport *vp)
{
	uint64_t since = vp->m->hwc.waits_since;
	uint64_t ms = vp->m->conf.take_over_ms ? vp->m->conf.take_over_ms : TAKE_OVER_MS;

	vp->taking_over = !vsw_nic_take_over(&vp->port);
	return !vp->taking_over || (since && now_ns() - since >= ms * NSEC_PER_MSEC);
}

uint32_t steer_configure(struct mana *m, struct hwc_msg *msg)
{
	const struct mana_cfg_rx_steer_req_v2 *req = (const void *)msg->data;
	struct mana_vport *vp = vport_by_handle(m, le64_get(req->vport));
	uint32_t n = le16_get(req->num_indir_entries), off = le16_get(req->indir_tab_offset);
	uint32_t rx = le32_get(req->rx_enable), rss = le32_get(req->rss_enable);
	bool v2 = msg->version >= GDMA_MESSAGE_V2;
	int16_t tab[MANA_INDIRECT_TABLE_MAX_SIZE], def = STEER_NONE;
	struct mana_steer *st;

	if (!vp)
		return GDMA_STATUS_BAD_HANDLE;
	if (v2 && msg->size < sizeof(*req))
		return GDMA_STATUS_BAD_SIZE;
	if (!tri_state_ok(rx) || !tri_state_ok(rss))
		return GDMA_STATUS_BAD_PARAM;
	if (req->update_indir_tab) {
		if (!n || n > MANA_INDIRECT_TABLE_MAX_SIZE || n & (n - 1))
			return GDMA_STATUS_BAD_PARAM;
		if (off < (v2 ? sizeof(*req) : MANA_CFG_RX_STEER_REQ_V1_SIZE) ||
		    !range_ok(off, (uint64_t)n * sizeof(le64_t), msg->size))
			return GDMA_STATUS_BAD_SIZE;
		for (uint32_t i = 0; i < n; i++) {
			tab[i] = rxq_of(vp, le64_load(msg->data + off + i * sizeof(le64_t)));
			if (tab[i] == STEER_NONE)
				return GDMA_STATUS_BAD_HANDLE;
		}
	}
	if (req->update_default_rxobj && le64_get(req->default_rxobj) != INVALID_MANA_HANDLE) {
		def = rxq_of(vp, le64_get(req->default_rxobj));
		if (def == STEER_NONE)
			return GDMA_STATUS_BAD_HANDLE;
	}

	st = &vp->steer;
	if (rx == TRI_STATE_TRUE && !st->rx_enabled && !taken_over(vp)) {
		msg->again = true;
		return GDMA_STATUS_SUCCESS;
	}
	if (rss != TRI_STATE_UNKNOWN)
		atomic_store_explicit(&st->rss, rss == TRI_STATE_TRUE, memory_order_relaxed);
	if (req->update_default_rxobj)
		atomic_store_explicit(&st->def, def, memory_order_relaxed);
	if (req->update_hashkey)
		rss_set_key(&st->hash, req->hashkey);
	if (req->update_indir_tab) {
		for (uint32_t i = 0; i < n; i++)
			atomic_store_explicit(&st->indir[i], tab[i], memory_order_relaxed);
		set(st, n);
	}
	/* Linux fills the field in only when it turns receive on or leaves it. */
	if (rx != TRI_STATE_FALSE)
		st->coalesce = v2 && req->cqe_coalescing_enable;
	publish(st);
	steer_enable(vp, rx == TRI_STATE_UNKNOWN ? st->rx_enabled : rx == TRI_STATE_TRUE);
	m->link_event_due = rx == TRI_STATE_TRUE && !atomic_load(&vp->port.link);
	/* We coalesce what arrives in one batch and never wait for more: a time-out of 0 ns. */
	if (msg->resp_version < GDMA_MESSAGE_V2)
		msg->resp_size = sizeof(struct gdma_resp_hdr);
	return GDMA_STATUS_SUCCESS;
}
