/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the driver's rings: doorbells, work queue entries, event and completion entries. */
#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "base/util.h"
#include "tests/driver/mana_drv.h"

/* mana_gd_ring_doorbell() */
void drv_db(struct drv *d, uint32_t page, enum gdma_queue_type type, uint32_t id, uint32_t tail,
	    uint8_t cnt)
{
	uint64_t off = d->db_off + (uint64_t)d->db_size * page, e;

	switch (type) {
	case GDMA_EQ:
		e = (id & GDMA_DB_EQ_ID_MASK) |
		    (uint64_t)(tail & GDMA_DB_CEQ_TAIL_MASK) << GDMA_DB_TAIL_SHIFT |
		    (cnt ? GDMA_DB_ARM : 0);
		off += DOORBELL_OFFSET_EQ;
		break;
	case GDMA_CQ:
		e = (id & GDMA_DB_ID_MASK) |
		    (uint64_t)(tail & GDMA_DB_CEQ_TAIL_MASK) << GDMA_DB_TAIL_SHIFT |
		    (cnt ? GDMA_DB_ARM : 0);
		off += DOORBELL_OFFSET_CQ;
		break;
	case GDMA_RQ:
		e = (id & GDMA_DB_ID_MASK) | (uint64_t)cnt << GDMA_DB_RQ_CNT_SHIFT |
		    (uint64_t)tail << GDMA_DB_TAIL_SHIFT;
		off += DOORBELL_OFFSET_RQ;
		break;
	default:
		e = (id & GDMA_DB_ID_MASK) | (uint64_t)tail << GDMA_DB_TAIL_SHIFT;
		off += DOORBELL_OFFSET_SQ;
		break;
	}
	e = htole64(e);
	/* The ring entries before the doorbell; the device's side is the read of the message. */
	atomic_thread_fence(memory_order_release);
	drv_wr(d, off, &e, sizeof(e));
}

void drv_wq_ring(struct drv_queue *q)
{
	drv_db(q->d, q->db_page, q->type, q->id, q->head * GDMA_WQE_BU_SIZE, 0);
}

void drv_cq_ring(struct drv_queue *q, bool arm)
{
	uint32_t n = q->size / GDMA_CQE_SIZE;

	q->unrung = 0;
	drv_db(q->d, q->db_page, GDMA_CQ, q->id, q->head % (n << GDMA_CQE_OWNER_BITS), arm);
}

void drv_eq_ring(struct drv_queue *q, bool arm)
{
	uint32_t n = q->size / GDMA_EQE_SIZE;

	drv_db(q->d, q->db_page, GDMA_EQ, q->id, q->head % (n << GDMA_EQE_OWNER_BITS), arm);
}

/* 1 new, 0 old, -EOVERFLOW neither. */
static int owner(uint32_t info, uint32_t head, uint32_t n)
{
	uint32_t bits = info >> GDMA_CQE_INFO_OWNER_SHIFT;

	if (bits == ((head / n - 1) & GDMA_CQE_OWNER_MASK))
		return 0;
	return bits == ((head / n) & GDMA_CQE_OWNER_MASK) ? 1 : -EOVERFLOW;
}

static uint32_t load32(const void *p)
{
	return le32toh(__atomic_load_n((const uint32_t *)p, __ATOMIC_ACQUIRE));
}

int drv_cq_read(struct drv_queue *cq, struct drv_comp *c)
{
	uint32_t n = cq->size / GDMA_CQE_SIZE;
	const uint8_t *cqe = cq->ring + (cq->head % n) * GDMA_CQE_SIZE;
	uint32_t info = load32(cqe + GDMA_COMP_DATA_SIZE); /* acquire: the rest comes after */
	int rc = owner(info, cq->head, n);

	if (rc <= 0)
		return rc;
	memcpy(c->data, cqe, GDMA_COMP_DATA_SIZE);
	c->wq_num = info & GDMA_CQE_INFO_WQ_NUM_MASK;
	c->is_sq = info & GDMA_CQE_INFO_IS_SQ;
	cq->head++;
	cq->unrung++;
	return 1;
}

void drv_cq_keep_up(struct drv_queue *cq)
{
	uint32_t every = cq->ring_every ? cq->ring_every : cq->size / GDMA_CQE_SIZE / 2;

	if (cq->unrung >= every)
		drv_cq_ring(cq, false);
}

int drv_eq_read(struct drv_queue *eq, struct drv_event *ev)
{
	uint32_t n = eq->size / GDMA_EQE_SIZE;
	const uint8_t *eqe = eq->ring + (eq->head % n) * GDMA_EQE_SIZE;
	uint32_t info = load32(eqe + GDMA_EVENT_DATA_SIZE);
	int rc = owner(info, eq->head, n);

	if (rc <= 0)
		return rc;
	ev->type = info & GDMA_EQE_INFO_TYPE_MASK;
	memcpy(ev->details, eqe, sizeof(ev->details));
	eq->head++;
	return 1;
}

uint32_t drv_wq_avail(const struct drv_queue *wq)
{
	return wq->size - (wq->head - wq->tail) * GDMA_WQE_BU_SIZE;
}

void drv_wq_put(struct drv_queue *wq, uint32_t off, const void *src, uint32_t len)
{
	const uint8_t *p = src;

	while (len) {
		uint32_t at = off & (wq->size - 1), n = MIN(len, wq->size - at);

		memcpy(wq->ring + at, p, n);
		off += n;
		p += n;
		len -= n;
	}
}

/* mana_gd_post_work_request() */
int drv_wqe_post(struct drv_queue *wq, const struct drv_wqe *w)
{
	uint32_t off = wq->head * GDMA_WQE_BU_SIZE, bytes;
	uint32_t claim = w->claim_sge ? w->claim_sge : w->num_sge;
	uint8_t oob[INLINE_OOB_LARGE_SIZE + 8] = {0};
	struct gdma_wqe h;

	if (w->oob_size > sizeof(oob))
		return -EMSGSIZE;
	bytes = ALIGN_UP(8u + w->oob_size + w->num_sge * (uint32_t)sizeof(struct gdma_sge),
			 (uint32_t)GDMA_WQE_BU_SIZE);
	if (bytes > drv_wq_avail(wq))
		return -ENOSPC;
	h.reserved_vbytes = le32_make(w->last_vbytes << GDMA_WQE_LAST_VBYTES_SHIFT);
	h.flags = le32_make((claim & GDMA_WQE_NUM_SGE_MASK) |
			    (w->oob_size / 4 & GDMA_WQE_INLINE_OOB_SIZE_MASK)
				    << GDMA_WQE_INLINE_OOB_SIZE_SHIFT |
			    (w->oob_in_sgl ? GDMA_WQE_CLIENT_OOB_IN_SGL : 0) |
			    (w->data_unit & GDMA_WQE_CLIENT_DATA_UNIT_MASK)
				    << GDMA_WQE_CLIENT_DATA_UNIT_SHIFT);
	drv_wq_put(wq, off, &h, sizeof(h));
	if (w->oob)
		memcpy(oob, w->oob, w->oob_size);
	drv_wq_put(wq, off + 8, oob, w->oob_size);
	off += 8 + w->oob_size;
	for (uint32_t i = 0; i < w->num_sge; i++, off += sizeof(struct gdma_sge)) {
		struct gdma_sge s = {
			.address = le64_make(w->sge[i].gpa),
			.mem_key = le32_make(w->mkey ? w->mkey : wq->d->mkey),
			.size = le32_make(w->sge[i].len),
		};

		drv_wq_put(wq, off, &s, sizeof(s));
	}
	wq->head += bytes / GDMA_WQE_BU_SIZE;
	return (int)bytes;
}

int drv_queue_init(struct drv *d, struct drv_queue *q, enum gdma_queue_type type, uint32_t size)
{
	memset(q, 0, sizeof(*q));
	q->d = d;
	q->type = type;
	q->size = size;
	q->id = UINT32_MAX;
	q->db_page = d->db_page;
	q->ring = drv_alloc(d, size, &q->gpa);
	if (!q->ring)
		return -ENOMEM;
	if (type == GDMA_EQ)
		q->head = size / GDMA_EQE_SIZE;
	else if (type == GDMA_CQ)
		q->head = size / GDMA_CQE_SIZE;
	return drv_region_of(d, q->gpa, size, &q->region);
}

void drv_queue_fini(struct drv_queue *q)
{
	if (!q->ring)
		return;
	if (q->region != GDMA_INVALID_DMA_REGION)
		drv_region_destroy(q->d, q->region);
	drv_free(q->d, q->gpa, q->size);
	q->ring = NULL;
}

/* mana_gd_create_mana_eq() */
int drv_eq_create(struct drv *d, struct drv_queue *eq, uint32_t size, uint32_t msix)
{
	struct gdma_create_queue_req req = {0};
	struct gdma_create_queue_resp resp;
	uint32_t status;
	int rc = drv_queue_init(d, eq, GDMA_EQ, size);

	if (rc)
		return rc;
	eq->msix = msix;
	drv_hdr(d, &req, GDMA_CREATE_QUEUE, sizeof(req), sizeof(resp));
	req.hdr.dev_id = d->mana;
	req.type = le32_make(GDMA_EQ);
	req.pdid = le32_make(d->pdid);
	req.doolbell_id = le32_make(d->db_page);
	req.gdma_region = le64_make(eq->region);
	req.queue_size = le32_make(size);
	req.log2_throttle_limit = le32_make(3);
	req.eq_pci_msix_index = le32_make(msix);
	rc = drv_hwc_request(d, &req, sizeof(req), &resp, sizeof(resp), &status);
	if (!rc && status)
		rc = -EREMOTEIO;
	if (rc) {
		drv_queue_fini(eq);
		return rc;
	}
	eq->id = le32_get(resp.queue_index);
	eq->region = GDMA_INVALID_DMA_REGION; /* the device's now */
	return 0;
}

int drv_eq_destroy(struct drv_queue *eq)
{
	int rc = 0;

	if (!eq->ring)
		return 0;
	if (eq->id != UINT32_MAX)
		rc = drv_disable_queue(eq->d, GDMA_EQ, eq->id);
	drv_queue_fini(eq);
	return rc;
}
