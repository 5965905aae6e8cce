/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns sums: what the guest's statistics queries and the host's are told. */
#include <string.h>

#include "emulator/mana/mana_internal.h"

static void traffic_add(struct mana_traffic *sum, const struct mana_traffic *t)
{
	for (unsigned int i = 0; i < N_CAST; i++) {
		sum->packets[i] += t->packets[i];
		sum->bytes[i] += t->bytes[i];
	}
}

void tx_stats_add(struct mana_tx_stats *sum, const struct mana_tx_stats *s)
{
	traffic_add(&sum->traffic, &s->traffic);
	sum->wqes += s->wqes;
	sum->tso += s->tso;
	sum->errors += s->errors;
	sum->held_ns += s->held_ns;
	sum->doorbells += s->doorbells;
	sum->cqes += s->cqes;
	sum->eqes += s->eqes;
	for (unsigned int i = 0; i < MANA_N_TX_ERR; i++)
		sum->err[i] += s->err[i];
}

void rx_stats_add(struct mana_rx_stats *sum, const struct mana_rx_stats *s)
{
	traffic_add(&sum->traffic, &s->traffic);
	sum->wqes += s->wqes;
	sum->no_buffer += s->no_buffer;
	sum->errors += s->errors;
	sum->coalesced += s->coalesced;
	sum->disabled += s->disabled;
	sum->doorbells += s->doorbells;
	sum->cqes += s->cqes;
	sum->eqes += s->eqes;
}

/* On the owner. */
static void sq_stats(const struct mana_sq *sq, struct mana_tx_stats *s)
{
	*s = sq->stats;
	if (!sq->active)
		return;
	s->cqes = sq->cq.cqes;
	s->eqes = sq->cq.eqes;
	if (sq->waiting)
		s->held_ns += now_ns() - sq->wait_since;
}

static void rxq_stats(struct mana_rxq *q, struct mana_rx_stats *s)
{
	pthread_mutex_lock(&q->lock);
	*s = q->stats;
	if (q->active) {
		s->cqes = q->cq.cqes;
		s->eqes = q->cq.eqes;
	}
	pthread_mutex_unlock(&q->lock);
}

static void vport_sums(struct mana_vport *vp, struct mana_tx_stats *tx, struct mana_rx_stats *rx)
{
	struct mana_tx_stats t;
	struct mana_rx_stats r;

	tx_stats_add(tx, &vp->tx_past);
	rx_stats_add(rx, &vp->rx_past);
	for (uint32_t i = 0; i < vp->conf.max_queues; i++) {
		sq_stats(&vp->sq[i], &t);
		tx_stats_add(tx, &t);
		rxq_stats(&vp->rxq[i], &r);
		rx_stats_add(rx, &r);
	}
}

static uint64_t no_buffer_drops(const struct mana_vport *vp)
{
	return atomic_load_explicit(&vp->port.stats.drops[VSW_DROP_NO_BUFFER],
				    memory_order_relaxed);
}

/* ---- The guest's queries: sums over the function ------------------------------------------- */

uint32_t stats_query_gf(struct mana *m, struct hwc_msg *msg)
{
	const struct mana_query_gf_stat_req *req = (const void *)msg->data;
	struct mana_query_gf_stat_resp *resp = (void *)msg->resp;
	struct mana_tx_stats tx = {0};
	struct mana_rx_stats rx = {0};
	uint64_t no_wqe = 0;

	if (m->stats_silent) {
		msg->no_answer = true;
		m->hwc_unanswered++;
		return GDMA_STATUS_SUCCESS;
	}
	for (uint32_t i = 0; i < m->n_vports; i++) {
		vport_sums(&m->vport[i], &tx, &rx);
		no_wqe += no_buffer_drops(&m->vport[i]);
	}
#define TX_ERR(kind) le64_make(tx.err[CQE_TX_##kind - CQE_TX_OKAY])
	resp->reported_stats = le64_make(le64_get(req->req_stats) & STATISTICS_FLAGS_ALL);
	resp->rx_discards_nowqe = le64_make(no_wqe);
	resp->rx_err_vport_disabled = le64_make(rx.disabled);
	resp->hc_rx_bytes = le64_make(traffic_bytes(&rx.traffic));
	resp->hc_rx_ucast_pkts = le64_make(rx.traffic.packets[CAST_UCAST]);
	resp->hc_rx_ucast_bytes = le64_make(rx.traffic.bytes[CAST_UCAST]);
	resp->hc_rx_bcast_pkts = le64_make(rx.traffic.packets[CAST_BCAST]);
	resp->hc_rx_bcast_bytes = le64_make(rx.traffic.bytes[CAST_BCAST]);
	resp->hc_rx_mcast_pkts = le64_make(rx.traffic.packets[CAST_MCAST]);
	resp->hc_rx_mcast_bytes = le64_make(rx.traffic.bytes[CAST_MCAST]);
	resp->tx_err_gf_disabled = TX_ERR(VF_DISABLED);
	resp->tx_err_vport_disabled = TX_ERR(VPORT_DISABLED);
	resp->tx_err_inval_vport_offset_pkt = TX_ERR(VPORT_IDX_OUT_OF_RANGE);
	resp->tx_err_vlan_enforcement = TX_ERR(VLAN_TAGGING_VIOLATION);
	resp->tx_err_ethtype_enforcement = TX_ERR(INVALID_ETH_TYPE);
	resp->tx_err_SA_enforcement = TX_ERR(SA_DROP);
	resp->tx_err_mtu_violation = TX_ERR(MTU_DROP);
	resp->tx_err_inval_oob = le64_make(tx.err[CQE_TX_INVALID_OOB - CQE_TX_OKAY] +
					   tx.err[CQE_TX_HDR_PROCESSING_ERROR - CQE_TX_OKAY]);
	resp->hc_tx_bytes = le64_make(traffic_bytes(&tx.traffic));
	resp->hc_tx_ucast_pkts = le64_make(tx.traffic.packets[CAST_UCAST]);
	resp->hc_tx_ucast_bytes = le64_make(tx.traffic.bytes[CAST_UCAST]);
	resp->hc_tx_bcast_pkts = le64_make(tx.traffic.packets[CAST_BCAST]);
	resp->hc_tx_bcast_bytes = le64_make(tx.traffic.bytes[CAST_BCAST]);
	resp->hc_tx_mcast_pkts = le64_make(tx.traffic.packets[CAST_MCAST]);
	resp->hc_tx_mcast_bytes = le64_make(tx.traffic.bytes[CAST_MCAST]);
	resp->tx_err_gdma = TX_ERR(GDMA_ERR);
#undef TX_ERR
	return GDMA_STATUS_SUCCESS;
}

/* One traffic class; there is no wire that could pause. */
uint32_t stats_query_phy(struct mana *m, struct hwc_msg *msg)
{
	const struct mana_query_phy_stat_req *req = (const void *)msg->data;
	struct mana_query_phy_stat_resp *resp = (void *)msg->resp;
	struct mana_tx_stats tx = {0};
	struct mana_rx_stats rx = {0};
	uint64_t rx_drops = 0, tx_drops = 0;

	for (uint32_t i = 0; i < m->n_vports; i++) {
		struct mana_vport *vp = &m->vport[i];

		vport_sums(vp, &tx, &rx);
		for (unsigned int d = 0; d < VSW_N_DROPS; d++) {
			rx_drops += atomic_load_explicit(&vp->port.stats.drops[d],
							 memory_order_relaxed);
			tx_drops += atomic_load_explicit(&vp->port.stats.tx_drops[d],
							 memory_order_relaxed);
		}
	}
	resp->reported_stats = req->req_stats;
	resp->rx_pkt_drop_phy = le64_make(rx_drops);
	resp->tx_pkt_drop_phy = le64_make(tx_drops);
	resp->pkt_tc[0].rx = le64_make(traffic_packets(&rx.traffic));
	resp->pkt_tc[0].tx = le64_make(traffic_packets(&tx.traffic));
	resp->byte_tc[0].rx = le64_make(traffic_bytes(&rx.traffic));
	resp->byte_tc[0].tx = le64_make(traffic_bytes(&tx.traffic));
	return GDMA_STATUS_SUCCESS;
}

/* ---- The host's ------------------------------------------------------------------------------ */

static void vport_info(struct mana_vport *vp, struct mana_vport_info *info)
{
	struct mana_tx_stats tx = {0};
	struct mana_rx_stats rx = {0};

	vport_sums(vp, &tx, &rx);
	flowtab_sweep(&vp->flows);
	*info = (struct mana_vport_info){
		.driven = vp->steer.rx_enabled,
		.link = atomic_load(&vp->port.link),
		.max_queues = vp->m->hwc.up ? vp->offered : vp->offered_next,
		.n_txq = vp->n_sq,
		.n_rxq = vp->n_rq,
		.mtu = vp->conf.mtu,
		.indir_size = atomic_load(&vp->steer.n_indir),
		.rss = atomic_load(&vp->steer.rss),
		.bw_limit_mbps = vp->clamp_mbps,
		.tx_packets = traffic_packets(&tx.traffic),
		.tx_bytes = traffic_bytes(&tx.traffic),
		.rx_packets = traffic_packets(&rx.traffic),
		.rx_bytes = traffic_bytes(&rx.traffic),
		.tx_tso = tx.tso,
		.tx_errors = tx.errors,
		.tx_held_ns = tx.held_ns,
		.rx_no_buffer = no_buffer_drops(vp),
		.rx_errors = rx.errors,
		.rx_coalesced = rx.coalesced,
		.tx_wqes = tx.wqes,
		.rx_wqes = rx.wqes,
		.cqes = tx.cqes + rx.cqes,
		.eqes = tx.eqes + rx.eqes,
		.doorbells = tx.doorbells + rx.doorbells,
		.flows = vp->flows.stats.n,
		.max_flows = vp->flows.stats.max,
		.flow_hits = vp->flows.stats.hits,
		.flow_exceptions = vp->flows.stats.exceptions,
		.flows_added = vp->flows.stats.added,
		.flows_removed = vp->flows.stats.removed,
		.flows_refused = vp->flows.stats.refused,
	};
}

struct info_call {
	struct mana *m;
	struct mana_info *info;
	struct mana_queue_info *queues;
	size_t max, n;
};

static void do_get_info(void *arg)
{
	struct info_call *c = arg;
	struct mana *m = c->m;
	struct mana_info *info = c->info;

	memset(info, 0, sizeof(*info));
	info->connected = m->connected;
	info->hwc_up = m->hwc.up;
	info->link_aware = link_heard(m);
	info->n_eq = m->eqs.used;
	info->n_cq = m->cqs.used;
	info->n_wq = m->wqs.used;
	info->n_dma_regions = m->regions.used;
	info->hwc_requests = m->hwc_requests;
	info->hwc_errors = m->hwc_errors;
	info->hwc_unanswered = m->hwc_unanswered;
	info->resets = m->resets;
	info->flrs = m->flrs;
	memcpy(info->driver_caps, m->driver_caps, sizeof(info->driver_caps));
	info->os_type = m->os_type;
	info->os_ver_major = m->os_ver_major;
	info->os_ver_minor = m->os_ver_minor;
	info->os_ver_build = m->os_ver_build;
	info->os_ver_platform = m->os_ver_platform;
	memcpy(info->os_ver_str, m->os_ver_str, sizeof(info->os_ver_str));
	pthread_mutex_lock(&m->err_lock);
	info->guest_errors = m->guest_errors;
	memcpy(info->last_error, m->last_error, sizeof(info->last_error));
	pthread_mutex_unlock(&m->err_lock);
	info->moderation = (enum mana_moderation)atomic_load(&m->moderation);
	info->irqs_put_off = atomic_load(&m->irqs_put_off);
	info->n_vports = m->n_vports;
	for (uint32_t i = 0; i < m->n_vports; i++)
		vport_info(&m->vport[i], &info->vports[i]);
}

void mana_get_info(struct mana *m, struct mana_info *info)
{
	struct info_call c = {.m = m, .info = info};

	worker_call(m->worker, do_get_info, &c);
}

static void do_get_queues(void *arg)
{
	struct info_call *c = arg;
	struct mana *m = c->m;

	for (uint32_t v = 0; v < m->n_vports; v++) {
		struct mana_vport *vp = &m->vport[v];

		for (uint32_t i = 0; i < vp->conf.max_queues; i++) {
			struct mana_tx_stats tx;
			struct mana_rx_stats rx;

			if (!vp->sq[i].active && !vp->rxq[i].active)
				continue;
			if (c->n++ >= c->max)
				continue;
			sq_stats(&vp->sq[i], &tx);
			rxq_stats(&vp->rxq[i], &rx);
			c->queues[c->n - 1] = (struct mana_queue_info){
				.vport = v,
				.index = i,
				.tx_packets = traffic_packets(&tx.traffic),
				.tx_bytes = traffic_bytes(&tx.traffic),
				.rx_packets = traffic_packets(&rx.traffic),
				.rx_bytes = traffic_bytes(&rx.traffic),
				.rx_no_buffer = rx.no_buffer,
			};
		}
	}
}

size_t mana_get_queues(struct mana *m, struct mana_queue_info *out, size_t max)
{
	struct info_call c = {.m = m, .queues = out, .max = max};

	worker_call(m->worker, do_get_queues, &c);
	return c.n;
}
