/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the driver's side of the shared-memory channel and the hardware channel. */
#include <errno.h>
#include <string.h>

#include "tests/driver/mana_drv.h"
#include "tests/lib/wait.h"

/* ---- Shared-memory channel: shm_channel.c ---------------------------------------------- */

int drv_smc_poll(struct drv *d, uint32_t *last)
{
	uint64_t end = now_ns() + WAIT_MS * NSEC_PER_MSEC;

	do {
		int rc = drv_rd(d, d->shm_off + SMC_LAST_DWORD_OFF, last, 4);

		if (rc)
			return rc;
		if (!(*last & SMC_HDR_OWNER_IS_PF))
			return 0;
	} while (now_ns() < end);
	return -ETIMEDOUT;
}

int drv_smc_write_establish(struct drv *d, uint64_t eq, uint64_t cq, uint64_t rq, uint64_t sq,
			    uint16_t msix, uint32_t hdr)
{
	const uint64_t frame[4] = {eq, cq, rq, sq};
	uint8_t buf[SMC_APERTURE_SIZE] = {0};
	uint16_t high = 0;

	for (unsigned int i = 0; i < 4; i++) {
		for (unsigned int b = 0; b < 6; b++)
			buf[i * 6 + b] = (uint8_t)(frame[i] >> (8 * b));
		high |= (uint16_t)((frame[i] >> 48 & 0xf) << (4 * i));
	}
	le16_store(buf + 24, high);
	le16_store(buf + 26, msix);
	le32_store(buf + 28, hdr);
	for (unsigned int i = 0; i < SMC_APERTURE_SIZE; i += 4) {
		int rc = drv_wr(d, d->shm_off + i, buf + i, 4);

		if (rc)
			return rc;
	}
	return 0;
}

static int smc_response(struct drv *d, uint32_t type)
{
	uint32_t last;
	int rc = drv_smc_poll(d, &last);

	if (rc)
		return rc;
	if ((last & SMC_HDR_TYPE_MASK) != type || !(last & SMC_HDR_RESPONSE) ||
	    (last >> SMC_HDR_VERSION_SHIFT & SMC_HDR_VERSION_MASK) != 0)
		return -EPROTO;
	return (int)(last >> SMC_HDR_STATUS_SHIFT & 0xff);
}

int drv_smc_teardown(struct drv *d, bool reset_vf)
{
	uint32_t last, hdr = SMC_MSG_TYPE_DESTROY_HWC | (reset_vf ? SMC_HDR_RESET_VF : 0);
	int rc = drv_smc_poll(d, &last);

	if (!rc)
		rc = drv_wr(d, d->shm_off + SMC_LAST_DWORD_OFF, &hdr, 4);
	return rc ? rc : smc_response(d, SMC_MSG_TYPE_DESTROY_HWC);
}

/* ---- Events --------------------------------------------------------------------------------- */

static void hwc_init_data(struct drv *d, uint32_t word)
{
	uint32_t val = word & HWC_INIT_VALUE_MASK;

	switch (word >> HWC_INIT_TYPE_SHIFT) {
	case HWC_INIT_DATA_CQID:
		d->hwc_cq.id = val;
		break;
	case HWC_INIT_DATA_RQID:
		d->hwc_rq.id = val;
		break;
	case HWC_INIT_DATA_SQID:
		d->hwc_sq.id = val;
		break;
	case HWC_INIT_DATA_QUEUE_DEPTH:
		d->hwc_depth = val & 0xffff;
		break;
	case HWC_INIT_DATA_MAX_REQUEST:
		d->hwc_max_req = val;
		break;
	case HWC_INIT_DATA_MAX_RESPONSE:
		d->hwc_max_resp = val;
		break;
	case HWC_INIT_DATA_MAX_NUM_CQS:
		d->hwc_max_cqs = val;
		break;
	case HWC_INIT_DATA_PDID:
		d->hwc_pdid = val;
		break;
	case HWC_INIT_DATA_GPA_MKEY:
		d->hwc_mkey = val;
		break;
	}
}

static void hwc_post_rx(struct drv *d)
{
	const struct drv_sge sge = {.gpa = d->hwc_resp_gpa, .len = HW_CHANNEL_MAX_RESPONSE_SIZE};
	const struct drv_wqe w = {
		.sge = &sge, .num_sge = 1, .oob_size = INLINE_OOB_SMALL_SIZE, .mkey = d->hwc_mkey};

	if (drv_wqe_post(&d->hwc_rq, &w) < 0)
		drv_violation(d, "HWC RQ: no room");
	drv_wq_ring(&d->hwc_rq);
}

static void hwc_rx(struct drv *d, const struct drv_comp *c)
{
	const struct hwc_rx_oob *oob = (const void *)c->data;
	uint32_t off = le32_get(oob->wqe_offset);
	const struct gdma_wqe *wqe;
	const struct gdma_sge *sge;
	uint32_t oob_div4;

	if (c->wq_num != d->hwc_rq.id) {
		drv_violation(d, "HWC RX: queue %u", c->wq_num);
		return;
	}
	wqe = (const void *)(d->hwc_rq.ring + (off & (d->hwc_rq.size - 1)));
	oob_div4 = le32_get(wqe->flags) >> GDMA_WQE_INLINE_OOB_SIZE_SHIFT &
		   GDMA_WQE_INLINE_OOB_SIZE_MASK;
	sge = (const void *)((const uint8_t *)wqe + 8 + oob_div4 * 4);
	if (le64_get(sge->address) != d->hwc_resp_gpa) {
		drv_violation(d, "HWC RX: WQE offset %u is not a posted buffer", off);
		return;
	}
	d->hwc_resp_len = le32_get(oob->tx_oob_data_size);
	d->hwc_rq.tail++;
	d->hwc_got = true;
	/* The buffer is posted again by the next request: its content stays for the caller. */
}

static void hwc_comp(struct drv *d)
{
	struct drv_comp c;
	int rc, n = 0;

	while ((rc = drv_cq_read(&d->hwc_cq, &c)) > 0) {
		n++;
		if (!c.is_sq)
			hwc_rx(d, &c);
		else if (c.wq_num != d->hwc_sq.id)
			drv_violation(d, "HWC TX: queue %u", c.wq_num);
		else
			d->hwc_sq.tail = d->hwc_sq.head; /* depth 1 */
	}
	if (rc < 0)
		drv_violation(d, "HWC CQ overflow");
	if (n)
		drv_cq_ring(&d->hwc_cq, true);
}

static void hwc_event(struct drv *d, const struct drv_event *ev)
{
	switch (ev->type) {
	case GDMA_EQE_COMPLETION:
		if ((ev->details[0] & GDMA_EQE_COMP_CQ_MASK) == d->hwc_cq.id)
			hwc_comp(d);
		else
			drv_violation(d, "HWC EQ: completion of CQ %u", ev->details[0]);
		break;
	case GDMA_EQE_TEST_EVENT:
		d->test_eq = d->hwc_eq.id;
		break;
	case GDMA_EQE_HWC_INIT_EQ_ID_DB:
		d->hwc_eq.id = ev->details[0] & HWC_INIT_EQ_ID_MASK;
		d->hwc_db = ev->details[0] >> HWC_INIT_DB_SHIFT;
		d->hwc_eq.db_page = d->hwc_cq.db_page = d->hwc_db;
		d->hwc_rq.db_page = d->hwc_sq.db_page = d->hwc_db;
		break;
	case GDMA_EQE_HWC_INIT_DATA:
		hwc_init_data(d, ev->details[0]);
		break;
	case GDMA_EQE_HWC_INIT_DONE:
		d->hwc_init_done = true;
		break;
	default:
		if (d->n_events < DRV_MAX_EVENTS)
			d->events[d->n_events++] = *ev;
		break;
	}
}

bool drv_hwc_events(struct drv *d)
{
	struct drv_event ev;
	int i, rc = 0;

	for (i = 0; i < 5 && (rc = drv_eq_read(&d->hwc_eq, &ev)) > 0; i++)
		hwc_event(d, &ev);
	if (rc < 0)
		drv_violation(d, "HWC EQ overflow");
	if (i)
		drv_eq_ring(&d->hwc_eq, true);
	return i > 0;
}

/* One step of waiting: an interrupt, then the EQ until it is empty. */
static bool hwc_step(struct drv *d)
{
	bool any = false;

	if (!drv_irq_take(d, d->hwc_eq.msix))
		return false;
	while (drv_hwc_events(d))
		any = true;
	return any;
}

static bool take_event(struct drv *d, uint32_t type, struct drv_event *ev)
{
	hwc_step(d);
	for (unsigned int i = 0; i < d->n_events; i++) {
		if (d->events[i].type != type)
			continue;
		if (ev)
			*ev = d->events[i];
		memmove(&d->events[i], &d->events[i + 1],
			(d->n_events - i - 1) * sizeof(d->events[0]));
		d->n_events--;
		return true;
	}
	return false;
}

bool drv_hwc_wait_event(struct drv *d, uint32_t type, struct drv_event *ev, unsigned int ms)
{
	return wait_until(take_event(d, type, ev), ms);
}

/* ---- Bring-up: mana_hwc_create_channel() ---------------------------------------------------- */

static int hwc_ring(struct drv *d, struct drv_queue *q, enum gdma_queue_type type)
{
	memset(q, 0, sizeof(*q));
	q->d = d;
	q->type = type;
	q->size = MANA_MIN_QSIZE;
	q->id = UINT32_MAX;
	q->ring = drv_alloc(d, q->size, &q->gpa);
	if (!q->ring)
		return -ENOMEM;
	if (type == GDMA_EQ)
		q->head = q->size / GDMA_EQE_SIZE;
	else if (type == GDMA_CQ)
		q->head = q->size / GDMA_CQE_SIZE;
	return 0;
}

static int hwc_init_complete(struct drv *d)
{
	const uint32_t id[] = {d->hwc_eq.id, d->hwc_cq.id, d->hwc_rq.id, d->hwc_sq.id};

	for (size_t i = 0; i < ARRAY_SIZE(id); i++)
		if (id[i] == UINT32_MAX)
			return -EPROTO;
	return d->hwc_depth && d->hwc_max_req && d->hwc_max_resp && d->hwc_cq.id < d->hwc_max_cqs
		       ? 0
		       : -EPROTO;
}

int drv_hwc_up(struct drv *d)
{
	uint32_t last;
	int rc;

	if (hwc_ring(d, &d->hwc_eq, GDMA_EQ) || hwc_ring(d, &d->hwc_cq, GDMA_CQ) ||
	    hwc_ring(d, &d->hwc_rq, GDMA_RQ) || hwc_ring(d, &d->hwc_sq, GDMA_SQ))
		return -ENOMEM;
	d->hwc_req = drv_alloc(d, HW_CHANNEL_MAX_REQUEST_SIZE, &d->hwc_req_gpa);
	d->hwc_resp = drv_alloc(d, HW_CHANNEL_MAX_RESPONSE_SIZE, &d->hwc_resp_gpa);
	if (!d->hwc_req || !d->hwc_resp)
		return -ENOMEM;
	d->hwc_init_done = false;
	d->n_events = 0;
	d->hwc_up = true; /* from here on there is something to tear down */
	d->hwc_timeout_ms = WAIT_MS;
	rc = drv_smc_poll(d, &last);
	if (!rc)
		rc = drv_smc_write_establish(d, d->hwc_eq.gpa >> 12, d->hwc_cq.gpa >> 12,
					     d->hwc_rq.gpa >> 12, d->hwc_sq.gpa >> 12,
					     (uint16_t)d->hwc_eq.msix, SMC_MSG_TYPE_ESTABLISH_HWC);
	if (!rc)
		rc = smc_response(d, SMC_MSG_TYPE_ESTABLISH_HWC);
	if (rc)
		return rc;
	if (!wait_until((hwc_step(d), d->hwc_init_done), WAIT_MS))
		return -ETIMEDOUT;
	rc = hwc_init_complete(d);
	if (rc)
		return rc;
	hwc_post_rx(d);
	d->test_eq = UINT32_MAX;
	rc = drv_test_eqe(d, d->hwc_eq.id);
	if (rc)
		return rc;
	return wait_until((hwc_step(d), d->test_eq == d->hwc_eq.id), WAIT_MS) ? 0 : -ETIMEDOUT;
}

void drv_hwc_forget(struct drv *d)
{
	struct drv_queue *q[] = {&d->hwc_eq, &d->hwc_cq, &d->hwc_rq, &d->hwc_sq};

	for (size_t i = 0; i < ARRAY_SIZE(q); i++) {
		if (q[i]->ring)
			drv_free(d, q[i]->gpa, q[i]->size);
		q[i]->ring = NULL;
	}
	if (d->hwc_req)
		drv_free(d, d->hwc_req_gpa, HW_CHANNEL_MAX_REQUEST_SIZE);
	if (d->hwc_resp)
		drv_free(d, d->hwc_resp_gpa, HW_CHANNEL_MAX_RESPONSE_SIZE);
	d->hwc_req = d->hwc_resp = NULL;
	d->hwc_up = false;
}

void drv_hwc_down(struct drv *d)
{
	if (!d->hwc_up)
		return;
	if (drv_smc_teardown(d, false))
		drv_violation(d, "SMC teardown failed");
	drv_hwc_forget(d);
}

/* ---- Requests: mana_hwc_send_request() ------------------------------------------------------ */

int drv_hwc_post(struct drv *d, const void *req, uint32_t len)
{
	const struct drv_sge sge = {.gpa = d->hwc_req_gpa, .len = len};
	struct hwc_tx_oob oob = {
		.vscq_id_flags = le32_make(d->hwc_cq.id & HWC_TX_OOB_ID_MASK),
		.vsq_id = le32_make(d->hwc_sq.id & HWC_TX_OOB_ID_MASK),
	};
	const struct drv_wqe w = {.sge = &sge,
				  .num_sge = 1,
				  .oob_size = sizeof(oob),
				  .oob = &oob,
				  .mkey = d->hwc_mkey};
	int rc;

	if (len > HW_CHANNEL_MAX_REQUEST_SIZE)
		return -EMSGSIZE;
	if (d->hwc_rq.head == d->hwc_rq.tail) /* its buffer was taken by the last response */
		hwc_post_rx(d);
	memcpy(d->hwc_req, req, len);
	d->hwc_got = false;
	rc = drv_wqe_post(&d->hwc_sq, &w);
	if (rc < 0)
		return rc;
	drv_wq_ring(&d->hwc_sq);
	return 0;
}

int drv_hwc_wait(struct drv *d, unsigned int ms)
{
	return wait_until((hwc_step(d), d->hwc_got), ms) ? 0 : -ETIMEDOUT;
}

void drv_hdr(struct drv *d, void *req, uint32_t code, uint32_t req_size, uint32_t resp_size)
{
	struct gdma_req_hdr *h = req;

	h->req.hdr_type = le32_make(GDMA_STANDARD_HEADER_TYPE);
	h->req.msg_type = le32_make(code);
	h->req.msg_version = le16_make(GDMA_MESSAGE_V1);
	h->req.msg_size = le32_make(req_size);
	h->resp.hdr_type = le32_make(GDMA_STANDARD_HEADER_TYPE);
	h->resp.msg_type = le32_make(code);
	h->resp.msg_version = le16_make(GDMA_MESSAGE_V1);
	h->resp.msg_size = le32_make(resp_size);
	if (code > 0x20000) /* gdma_mana_send_request() */
		h->dev_id = d->mana;
}

int drv_hwc_request(struct drv *d, void *req, uint32_t req_len, void *resp, uint32_t resp_len,
		    uint32_t *status)
{
	struct gdma_req_hdr *h = req;
	const struct gdma_resp_hdr *r = (const void *)d->hwc_resp;
	int rc;

	/* Depth 1: the only id Linux uses is 0. */
	if (!le32_get(h->activity_id))
		h->activity_id = le32_make(++d->activity);
	rc = drv_hwc_post(d, req, req_len);
	if (!rc)
		rc = drv_hwc_wait(d, d->hwc_timeout_ms);
	if (rc)
		return rc;
	/* mana_hwc_verify_resp_msg(), gdma_mana_send_request(), mana_verify_resp_hdr() */
	if (d->hwc_resp_len < sizeof(*r) || d->hwc_resp_len > resp_len)
		return -EPROTO;
	if (le16_get(r->response.hwc_msg_id) != le16_get(h->req.hwc_msg_id) ||
	    le32_get(r->response.msg_type) != le32_get(h->req.msg_type) ||
	    memcmp(&r->dev_id, &h->dev_id, sizeof(r->dev_id)) ||
	    le32_get(r->activity_id) != le32_get(h->activity_id))
		return -EPROTO;
	memset(resp, 0, resp_len);
	memcpy(resp, d->hwc_resp, d->hwc_resp_len);
	*status = le32_get(r->status);
	if (!*status && (le16_get(r->response.msg_version) < GDMA_MESSAGE_V1 ||
			 le32_get(r->response.msg_size) < sizeof(*r)))
		return -EPROTO;
	return 0;
}
