/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the driver's vPort: queue pairs, transmit, receive, as Linux mana_en.c. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "tests/driver/mana_drv.h"
#include "tests/lib/wait.h"

/* ---- Bring-up ------------------------------------------------------------------------------ */

static uint32_t pow2(uint32_t v)
{
	uint32_t p = DRV_PAGE;

	while (p < v)
		p <<= 1;
	return p;
}

static int wq_create(struct drv_vport *vp, enum gdma_queue_type type, struct drv_queue *wq,
		     uint32_t wq_size, struct drv_queue *cq, uint32_t cq_size,
		     const struct drv_queue *eq, uint64_t *obj)
{
	struct mana_create_wqobj_resp resp;
	struct mana_create_wqobj_req req = {0};
	int rc = drv_queue_init(vp->d, wq, type, wq_size);

	if (!rc)
		rc = drv_queue_init(vp->d, cq, GDMA_CQ, cq_size);
	if (rc)
		return rc;
	req.vport = le64_make(vp->handle);
	req.wq_type = le32_make(type);
	req.wq_gdma_region = le64_make(wq->region);
	req.cq_gdma_region = le64_make(cq->region);
	req.wq_size = le32_make(wq_size);
	req.cq_size = le32_make(cq_size);
	req.cq_parent_qid = le32_make(eq ? eq->id : GDMA_CQ_NO_EQ);
	rc = drv_create_wqobj(vp->d, &req, &resp);
	if (rc)
		return rc;
	wq->id = le32_get(resp.wq_id);
	cq->id = le32_get(resp.cq_id);
	*obj = le64_get(resp.wq_obj);
	wq->region = cq->region = GDMA_INVALID_DMA_REGION;
	if (cq->id >= vp->d->hwc_max_cqs)
		return -EINVAL;
	return 0;
}

int drv_tx_create(struct drv_vport *vp, struct drv_txq *q, const struct drv_queue *eq)
{
	uint32_t cq = vp->conf.cq_size ? vp->conf.cq_size
				       : pow2(vp->conf.tx_ring / GDMA_WQE_BU_SIZE * GDMA_CQE_SIZE);
	int rc;

	memset(q, 0, sizeof(*q));
	q->vp = vp;
	q->obj = INVALID_MANA_HANDLE;
	rc = wq_create(vp, GDMA_SQ, &q->wq, vp->conf.tx_ring, &q->cq, cq, eq, &q->obj);
	if (!rc)
		drv_cq_ring(&q->cq, true);
	return rc;
}

int drv_rx_create(struct drv_vport *vp, struct drv_rxq *q, const struct drv_queue *eq)
{
	uint32_t ring = pow2(vp->conf.rx_bufs * GDMA_WQE_BU_SIZE);
	uint32_t cq = vp->conf.cq_size ? vp->conf.cq_size : pow2((vp->conf.rx_bufs + 16) * 64);
	int rc;

	memset(q, 0, sizeof(*q));
	q->vp = vp;
	q->obj = INVALID_MANA_HANDLE;
	q->n_buf = vp->conf.rx_bufs;
	q->buf_size = vp->conf.rx_buf_size;
	q->manual = vp->conf.manual_rx;
	q->buf = drv_alloc(vp->d, (size_t)q->n_buf * q->buf_size, &q->buf_gpa);
	if (!q->buf)
		return -ENOMEM;
	rc = wq_create(vp, GDMA_RQ, &q->wq, ring, &q->cq, cq, eq, &q->obj);
	if (rc)
		return rc;
	if (!vp->conf.no_rx_fill)
		drv_rx_fill(q, q->n_buf);
	drv_cq_ring(&q->cq, true);
	return 0;
}

void drv_vport_steer(const struct drv_vport *vp, struct drv_steer *s)
{
	memset(s, 0, sizeof(*s));
	s->vport = vp->handle;
	s->rx = TRI_STATE_TRUE;
	s->rss = vp->conf.rss ? TRI_STATE_TRUE : TRI_STATE_FALSE;
	s->set_default = true;
	s->def_obj = vp->rx[0].obj;
	s->set_key = s->set_tab = true;
	memcpy(s->key, vp->conf.key, sizeof(s->key));
	s->coalesce = vp->conf.coalesce;
	s->n_tab = (uint16_t)vp->n_indir;
	for (uint32_t i = 0; i < vp->n_indir; i++)
		s->tab[i] = vp->rx[i % vp->nq].obj;
}

static int vport_start(struct drv_vport *vp)
{
	struct drv_steer s;
	int rc;

	if (vp->conf.no_steer)
		return 0;
	drv_vport_steer(vp, &s);
	rc = drv_steer(vp->d, &s);
	if (rc)
		return rc;
	for (unsigned int i = 0; i < vp->nq; i++) {
		rc = drv_fence(vp->d, vp->rx[i].obj);
		if (!rc && !drv_rx_wait_fence(&vp->rx[i], WAIT_MS))
			rc = -ETIMEDOUT;
		if (rc)
			return rc;
	}
	return 0;
}

static void defaults(struct drv_vport_conf *c)
{
	c->n_queues = c->n_queues ? c->n_queues : 1;
	c->tx_ring = c->tx_ring ? c->tx_ring : 8192;
	c->rx_bufs = c->rx_bufs ? c->rx_bufs : 64;
	c->rx_buf_size = c->rx_buf_size ? c->rx_buf_size : 2048;
	c->eq_size = c->eq_size ? c->eq_size : 8 * DRV_PAGE;
}

int drv_vport_up(struct drv *d, struct drv_vport *vp, uint32_t index,
		 const struct drv_vport_conf *conf)
{
	struct mana_query_vport_cfg_resp cfg;
	struct mana_config_vport_resp tx;
	int rc;

	memset(vp, 0, sizeof(*vp));
	vp->d = d;
	vp->index = index;
	if (conf)
		vp->conf = *conf;
	defaults(&vp->conf);
	rc = drv_query_vport(d, index, &cfg);
	if (rc)
		return rc;
	vp->handle = le64_get(cfg.vport);
	memcpy(vp->mac, cfg.mac_addr, 6);
	vp->max_sq = le32_get(cfg.max_num_sq);
	vp->max_rq = le32_get(cfg.max_num_rq);
	vp->n_indir = le32_get(cfg.num_indirection_ent);
	if (!vp->n_indir || vp->n_indir > MANA_INDIRECT_TABLE_MAX_SIZE ||
	    (vp->n_indir & (vp->n_indir - 1)))
		return -EPROTO;
	vp->nq = vp->conf.n_queues;
	vp->eq = calloc(vp->nq, sizeof(*vp->eq));
	vp->tx = calloc(vp->nq, sizeof(*vp->tx));
	vp->rx = calloc(vp->nq, sizeof(*vp->rx));
	if (!vp->eq || !vp->tx || !vp->rx)
		return -ENOMEM;
	rc = drv_config_vport_tx(d, vp->handle, &tx);
	for (unsigned int i = 0; i < vp->nq && !rc; i++)
		rc = drv_eq_create(d, &vp->eq[i], vp->conf.eq_size,
				   d->n_vectors > 1 ? 1 + i % (d->n_vectors - 1) : 0);
	if (rc)
		return rc;
	vp->vp_offset = le16_get(tx.tx_vport_offset);
	vp->short_ok = tx.short_form_allowed;
	for (unsigned int i = 0; i < vp->nq && !rc; i++)
		rc = drv_tx_create(vp, &vp->tx[i], &vp->eq[i]);
	for (unsigned int i = 0; i < vp->nq && !rc; i++)
		rc = drv_rx_create(vp, &vp->rx[i], &vp->eq[i]);
	return rc ? rc : vport_start(vp);
}

static void keep(int *rc, int got)
{
	if (!*rc)
		*rc = got;
}

int drv_vport_down(struct drv_vport *vp)
{
	struct drv_steer s = {.vport = vp->handle, .rx = TRI_STATE_FALSE, .rss = TRI_STATE_FALSE};
	int rc = 0;

	for (unsigned int i = 0; i < vp->nq; i++)
		while (vp->tx[i].pend_head != vp->tx[i].pend_tail)
			if (drv_tx_wait(&vp->tx[i], WAIT_MS) <= 0)
				return -ETIMEDOUT;
	s.n_tab = (uint16_t)vp->n_indir;
	keep(&rc, drv_steer(vp->d, &s));
	for (unsigned int i = 0; i < vp->nq; i++) {
		keep(&rc, drv_fence(vp->d, vp->rx[i].obj));
		keep(&rc, drv_rx_wait_fence(&vp->rx[i], WAIT_MS) ? 0 : -ETIMEDOUT);
	}
	for (unsigned int i = 0; i < vp->nq; i++)
		keep(&rc, drv_destroy_wqobj(vp->d, GDMA_RQ, vp->rx[i].obj));
	for (unsigned int i = 0; i < vp->nq; i++)
		keep(&rc, drv_destroy_wqobj(vp->d, GDMA_SQ, vp->tx[i].obj));
	for (unsigned int i = 0; i < vp->nq; i++)
		keep(&rc, drv_eq_destroy(&vp->eq[i]));
	drv_vport_forget(vp);
	return rc;
}

void drv_vport_forget(struct drv_vport *vp)
{
	for (unsigned int i = 0; vp->d && i < vp->nq; i++) {
		struct drv_queue *q[] = {&vp->eq[i], &vp->tx[i].wq, &vp->tx[i].cq, &vp->rx[i].wq,
					 &vp->rx[i].cq};

		for (size_t k = 0; k < ARRAY_SIZE(q); k++)
			if (q[k]->ring)
				drv_free(vp->d, q[k]->gpa, q[k]->size);
		if (vp->rx[i].buf)
			drv_free(vp->d, vp->rx[i].buf_gpa,
				 (size_t)vp->rx[i].n_buf * vp->rx[i].buf_size);
		while (vp->tx[i].pend_head != vp->tx[i].pend_tail) {
			int8_t slot = vp->tx[i].pend[vp->tx[i].pend_tail++ % DRV_TX_PENDING].slot;

			if (slot >= 0)
				vp->d->tx_free |= 1ull << slot;
		}
	}
	free(vp->eq);
	free(vp->tx);
	free(vp->rx);
	vp->eq = NULL;
	vp->tx = NULL;
	vp->rx = NULL;
	vp->nq = 0;
}

/* ---- Transmit: mana_start_xmit(), mana_poll_tx_cq() -------------------------------------------
 */

uint32_t drv_tx_oob(const struct drv_txq *q, const struct drv_tx *tx, struct mana_tx_oob *oob)
{
	uint32_t vp = q->vp->vp_offset + (uint32_t)tx->vp_offset_add;
	bool is_long = tx->long_oob || tx->has_vlan || vp > MANA_SHORT_VPORT_OFFSET_MAX;
	/* gdma_txq_id's bits 10..23 are the vSQ frame: union in struct mana_txq */
	uint32_t vsq = q->wq.id >> 10 & MANA_TX_S_VSQ_FRAME_MASK;
	uint32_t s, l = 0, l_vp = 0;

	s = is_long ? MANA_LONG_PKT_FMT : MANA_SHORT_PKT_FMT;
	s |= tx->v4 ? MANA_TX_S_IS_OUTER_IPV4 : 0;
	s |= tx->v6 ? MANA_TX_S_IS_OUTER_IPV6 : 0;
	s |= tx->ip_csum ? MANA_TX_S_COMP_IPHDR_CSUM : 0;
	s |= tx->tcp_csum ? MANA_TX_S_COMP_TCP_CSUM : 0;
	s |= tx->udp_csum ? MANA_TX_S_COMP_UDP_CSUM : 0;
	s |= q->cq.id << MANA_TX_S_VCQ_NUM_SHIFT;
	oob->s_oob.flags_vcq = le32_make(s);
	s = (tx->trans_off & MANA_TX_S_TRANS_OFF_MASK) | vsq << MANA_TX_S_VSQ_FRAME_SHIFT;
	if (vp > MANA_SHORT_VPORT_OFFSET_MAX)
		l_vp = vp << MANA_TX_L_VP_OFFSET_SHIFT;
	else
		s |= vp << MANA_TX_S_VP_OFFSET_SHIFT;
	oob->s_oob.trans_vsq_vp = le32_make(s);
	if (tx->has_vlan)
		l = MANA_TX_L_INJECT_VLAN_PRI_TAG |
		    (uint32_t)(tx->vlan >> 13) << MANA_TX_L_PCP_SHIFT |
		    (tx->vlan & 0x1000 ? MANA_TX_L_DEI : 0) |
		    (uint32_t)(tx->vlan & 0xfff) << MANA_TX_L_VLAN_ID_SHIFT;
	oob->l_oob =
		(struct mana_tx_long_oob){.flags_vlan = le32_make(l), .inner_vp = le32_make(l_vp)};
	return is_long ? INLINE_OOB_LARGE_SIZE : INLINE_OOB_SMALL_SIZE;
}

static int tx_post(struct drv_txq *q, const struct drv_sge *sge, uint32_t n,
		   const struct drv_tx *tx, int slot)
{
	static const struct drv_tx plain;
	struct mana_tx_oob oob;
	struct drv_wqe w = {.sge = sge, .num_sge = n, .oob = &oob};
	int bytes;

	if (!tx)
		tx = &plain;
	w.oob_size = drv_tx_oob(q, tx, &oob);
	w.data_unit = tx->mss;
	if (tx->mss) {
		w.oob_in_sgl = true;
		w.last_vbytes = sge[0].len & 0xff;
	}
	if (q->pend_head - q->pend_tail >= DRV_TX_PENDING)
		return -ENOSPC;
	bytes = drv_wqe_post(&q->wq, &w);
	if (bytes < 0)
		return bytes;
	q->pend[q->pend_head++ % DRV_TX_PENDING] =
		(struct drv_pend){.bu = (uint16_t)(bytes / GDMA_WQE_BU_SIZE), .slot = (int8_t)slot};
	return 0;
}

int drv_tx_sges(struct drv_txq *q, const struct drv_sge *sge, uint32_t n, const struct drv_tx *tx)
{
	return tx_post(q, sge, n, tx, -1);
}

int drv_tx_frame(struct drv_txq *q, const void *data, uint32_t len, const struct drv_tx *tx)
{
	struct drv *d = q->vp->d;
	uint32_t pieces = tx ? tx->pieces : 0, first = tx ? tx->hdr_len : 0, n = 0;
	struct drv_sge sge[32];
	uint64_t gpa;
	int slot, rc;

	if (!d->tx_free)
		return -EBUSY;
	if (len > DRV_TX_SLOT_SZ)
		return -EMSGSIZE;
	slot = __builtin_ctzll(d->tx_free);
	gpa = d->tx_gpa + (uint64_t)slot * DRV_TX_SLOT_SZ;
	memcpy(d->tx_mem + (size_t)slot * DRV_TX_SLOT_SZ, data, len);
	if (!pieces)
		pieces = first ? 2 : 1;
	if (first) {
		sge[n++] = (struct drv_sge){gpa, MIN(first, len)};
		gpa += MIN(first, len);
		len -= MIN(first, len);
	}
	while (len && n < 31) {
		uint32_t left = pieces > n ? pieces - n : 1;
		uint32_t part = left == 1 ? len : MAX(1u, len / left);

		sge[n++] = (struct drv_sge){gpa, part};
		gpa += part;
		len -= part;
	}
	rc = tx_post(q, sge, n, tx, slot);
	if (!rc)
		d->tx_free &= ~(1ull << slot);
	return rc;
}

void drv_tx_ring(struct drv_txq *q)
{
	drv_wq_ring(&q->wq);
}

int drv_tx_poll(struct drv_txq *q)
{
	struct drv *d = q->vp->d;
	struct drv_comp c;
	struct drv_pend *p;
	int rc = drv_cq_read(&q->cq, &c);
	uint32_t hdr;

	if (rc == 0)
		return 0;
	hdr = rc < 0 ? 0 : le32toh(c.data[0]);
	if (rc < 0)
		drv_violation(d, "TX CQ %u overflow", q->cq.id);
	else if (!c.is_sq || c.wq_num != q->wq.id)
		drv_violation(d, "TX CQ %u: wq %u is_sq %d", q->cq.id, c.wq_num, c.is_sq);
	else if ((hdr >> MANA_CQE_CLIENT_TYPE_SHIFT & 3) != MANA_CQE_COMPLETION)
		drv_violation(d, "TX CQ %u: client type in %#x", q->cq.id, hdr);
	else if (q->pend_head == q->pend_tail)
		drv_violation(d, "TX CQ %u: completion of nothing", q->cq.id);
	else
		rc = 2;
	if (rc != 2)
		return -EPROTO;
	drv_cq_keep_up(&q->cq);
	p = &q->pend[q->pend_tail++ % DRV_TX_PENDING];
	q->wq.tail += p->bu;
	if (p->slot >= 0)
		d->tx_free |= 1ull << p->slot;
	return (int)(hdr & MANA_CQE_TYPE_MASK);
}

int drv_tx_wait(struct drv_txq *q, unsigned int ms)
{
	int type = 0;

	if (!wait_until((type = type ? type : drv_tx_poll(q)) != 0, ms))
		return -ETIMEDOUT;
	return type;
}

int drv_send(struct drv_txq *q, const void *data, uint32_t len, const struct drv_tx *tx)
{
	int rc = drv_tx_frame(q, data, len, tx);

	if (rc)
		return rc;
	drv_tx_ring(q);
	return drv_tx_wait(q, WAIT_MS);
}

/* ---- Receive: mana_process_rx_cqe() -----------------------------------------------------------
 */

void drv_rx_fill(struct drv_rxq *q, uint32_t n)
{
	for (; n && q->posted < q->n_buf; n--) {
		const struct drv_sge sge = {
			q->buf_gpa + (uint64_t)(q->next_buf % q->n_buf) * q->buf_size, q->buf_size};
		const struct drv_wqe w = {
			.sge = &sge, .num_sge = 1, .oob_size = INLINE_OOB_SMALL_SIZE};

		if (drv_wqe_post(&q->wq, &w) < 0)
			break;
		q->next_buf++;
		q->posted++;
	}
	drv_wq_ring(&q->wq);
}

/* Takes the next completion apart; 1 when it carries packets or says "truncated". */
static int rx_comp(struct drv_rxq *q)
{
	struct drv *d = q->vp->d;
	const struct mana_rxcomp_oob *o = (const void *)q->comp.data;
	int rc = drv_cq_read(&q->cq, &q->comp);
	uint32_t type;

	if (rc < 0)
		drv_violation(d, "RX CQ %u overflow", q->cq.id);
	if (rc <= 0)
		return 0;
	if (q->comp.is_sq || q->comp.wq_num != q->wq.id) {
		drv_violation(d, "RX CQ %u: wq %u is_sq %d", q->cq.id, q->comp.wq_num,
			      q->comp.is_sq);
		return 0;
	}
	type = le32_get(o->cqe_hdr) & MANA_CQE_TYPE_MASK;
	q->comp_next = q->comp_n = 0;
	switch (type) {
	case CQE_RX_OBJECT_FENCE:
		q->fences++;
		return 0;
	case CQE_RX_TRUNCATED:
		q->truncated++;
		q->comp_n = 1;
		return 1;
	case CQE_RX_OKAY:
		q->comp_n = 1;
		break;
	case CQE_RX_COALESCED_4:
		while (q->comp_n < MANA_RXCOMP_OOB_NUM_PPI && le16_get(o->ppi[q->comp_n].pkt_len))
			q->comp_n++;
		break;
	default:
		drv_violation(d, "RX CQ %u: type %u", q->cq.id, type);
		return 0;
	}
	if (!q->comp_n || !le16_get(o->ppi[0].pkt_len))
		drv_violation(d, "RX CQ %u: packet of length 0", q->cq.id);
	if (q->comp_n <= MANA_RXCOMP_OOB_NUM_PPI)
		q->coalesced[q->comp_n]++;
	return 1;
}

int drv_rx_poll(struct drv_rxq *q, struct drv_rx *rx)
{
	struct drv *d = q->vp->d;
	const struct mana_rxcomp_oob *o = (const void *)q->comp.data;
	uint32_t at, i;

	if (q->owe_fill) {
		q->owe_fill = false;
		drv_rx_fill(q, 1);
	}
	while (q->comp_next == q->comp_n) {
		uint32_t before = q->cq.head;

		if (!rx_comp(q) && q->cq.head == before)
			return 0;
	}
	i = q->comp_next++;
	at = q->wq.tail; /* one basic unit per buffer */
	q->wq.tail++;
	if (q->posted)
		q->posted--;
	else
		drv_violation(d, "RX CQ %u: completion of nothing", q->cq.id);
	rx->queue = (unsigned int)(q - q->vp->rx);
	rx->cqe_type = le32_get(o->cqe_hdr) & MANA_CQE_TYPE_MASK;
	rx->len = le16_get(o->ppi[i].pkt_len);
	rx->flags = le32_get(o->flags);
	rx->hash = le32_get(o->ppi[i].pkt_hash);
	rx->coalesced = q->comp_n;
	rx->data = q->buf + (size_t)(at % q->n_buf) * q->buf_size;
	if (rx->len > q->buf_size)
		drv_violation(d, "RX CQ %u: %u bytes in a buffer of %u", q->cq.id, rx->len,
			      q->buf_size);
	drv_cq_keep_up(&q->cq);
	q->owe_fill = !q->manual;
	return 1;
}

static bool recv_any(struct drv_vport *vp, struct drv_rx *rx)
{
	for (unsigned int i = 0; i < vp->nq; i++)
		if (drv_rx_poll(&vp->rx[i], rx))
			return true;
	return false;
}

bool drv_recv(struct drv_vport *vp, struct drv_rx *rx, unsigned int ms)
{
	return wait_until(recv_any(vp, rx), ms);
}

bool drv_recv_none(struct drv_vport *vp)
{
	struct drv_rx rx;

	drv_barrier(vp->d);
	return !recv_any(vp, &rx);
}

static bool fence_step(struct drv_rxq *q)
{
	struct drv_rx rx;

	while (!q->fences && drv_rx_poll(q, &rx))
		;
	if (!q->fences)
		return false;
	q->fences--;
	return true;
}

bool drv_rx_wait_fence(struct drv_rxq *q, unsigned int ms)
{
	return wait_until(fence_step(q), ms);
}
