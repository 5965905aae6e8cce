/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the hardware channel: its four queues and the dispatch of requests.
 *
 * Theory. A request is a WQE on the channel's SQ; the answer goes into the buffer of the next WQE
 * on its RQ. Each gives a CQE on the one CQ, request first; then the CQ's event. Requests are
 * handled inside the doorbell that brings them, in order, after the transmits that were rung
 * before: a driver in its reset path stops waiting for answers and reuses the one buffer, so a
 * request looked at later would be another one (Linux mana_serv_reset()). For the same reason an
 * answer that finds no RQ buffer is lost, not kept. One request may be put off, with everything
 * behind it: receive on, see steer.c. It stays in m->hwc_req and is not read again.
 *
 * A command is a row of gdma_commands[] or mana_commands[]: versions, sizes, what must have
 * happened before. Everything is checked here before a handler sees the message; a handler checks
 * the fields, and changes nothing unless it succeeds.
 */
#include <errno.h>
#include <string.h>

#include "emulator/mana/mana_internal.h"

#define AGAIN_NS       200000 /* to the next try of a request that was put off */
#define TX_TURNS_FIRST 4 /* of every dirty queue before a request is handled */

/* ---- Up and down -------------------------------------------------------------------------- */

static void init_event(struct mana *m, uint32_t type, uint32_t value)
{
	eq_post_raise(m, m->hwc.eq, GDMA_EQE_HWC_INIT_DATA,
		      type << HWC_INIT_TYPE_SHIFT | (value & HWC_INIT_VALUE_MASK));
}

static void again(struct worker_timer *t);

int hwc_establish(struct mana *m, uint64_t eq_addr, uint64_t cq_addr, uint64_t rq_addr,
		  uint64_t sq_addr, uint32_t msix)
{
	struct mana_hwc *h = &m->hwc;
	struct mana_eq *eq;
	int rc = -ENOMEM;

	if (msix >= m->n_msix)
		return -EINVAL;
	eq = eq_new(m, msix, MANA_DB_HWC);
	if (!eq || ring_from_page(m, &eq->ring, eq_addr, GUEST_MEM_RW) ||
	    ring_from_page(m, &h->cq.ring, cq_addr, GUEST_MEM_RW) ||
	    ring_from_page(m, &h->rq.ring, rq_addr, GUEST_MEM_R) ||
	    ring_from_page(m, &h->sq.ring, sq_addr, GUEST_MEM_R))
		goto fail;
	rc = -EFAULT;
	if (!ring_reachable(&eq->ring) || !ring_reachable(&h->cq.ring) ||
	    !ring_reachable(&h->rq.ring) || !ring_reachable(&h->sq.ring))
		goto fail;

	eq->hwc = true;
	eq_start(eq);
	eq->id = (uint32_t)ids_add(&m->eqs, eq);
	h->eq = eq;
	h->cq.eq = eq;
	h->cq.owner = NULL;
	eq->n_cqs = 1;
	cq_start(&h->cq, MANA_PAGE_SIZE, false);
	h->cq.armed = true;
	h->cq.id = (uint32_t)ids_add(&m->cqs, &h->cq);
	h->rq.type = GDMA_RQ;
	h->sq.type = GDMA_SQ;
	h->rq.hwc = h->sq.hwc = true;
	h->rq.db_page = h->sq.db_page = MANA_DB_HWC;
	h->rq.tail = h->rq.cursor = h->sq.tail = h->sq.cursor = 0;
	h->rq.id = (uint32_t)ids_add(&m->wqs, &h->rq);
	h->sq.id = (uint32_t)ids_add(&m->wqs, &h->sq);
	h->again = (struct worker_timer){.fn = again, .arg = m};
	h->up = m->held = true;
	for (uint32_t i = 0; i < m->n_vports; i++)
		m->vport[i].offered = m->vport[i].offered_next;

	eq_post_raise(m, eq, GDMA_EQE_HWC_INIT_EQ_ID_DB, eq->id | MANA_DB_HWC << HWC_INIT_DB_SHIFT);
	init_event(m, HWC_INIT_DATA_CQID, h->cq.id);
	init_event(m, HWC_INIT_DATA_RQID, h->rq.id);
	init_event(m, HWC_INIT_DATA_SQID, h->sq.id);
	init_event(m, HWC_INIT_DATA_QUEUE_DEPTH, HW_CHANNEL_VF_BOOTSTRAP_QUEUE_DEPTH);
	init_event(m, HWC_INIT_DATA_MAX_REQUEST, HW_CHANNEL_MAX_REQUEST_SIZE);
	init_event(m, HWC_INIT_DATA_MAX_RESPONSE, HW_CHANNEL_MAX_RESPONSE_SIZE);
	init_event(m, HWC_INIT_DATA_MAX_NUM_CQS, m->cqs.n);
	init_event(m, HWC_INIT_DATA_PDID, MANA_HWC_PDID);
	init_event(m, HWC_INIT_DATA_GPA_MKEY, MANA_HWC_MKEY);
	eq_post_raise(m, eq, GDMA_EQE_HWC_INIT_DONE, 0);
	return 0;

fail:
	eq_free(eq);
	ring_fini(&h->cq.ring);
	ring_fini(&h->rq.ring);
	ring_fini(&h->sq.ring);
	return rc;
}

void hwc_down(struct mana *m)
{
	struct mana_hwc *h = &m->hwc;

	if (!h->up)
		return;
	h->up = h->waits = false;
	h->waits_since = 0;
	worker_timer_cancel(&h->again);
	ids_del(&m->wqs, h->sq.id);
	ids_del(&m->wqs, h->rq.id);
	ids_del(&m->cqs, h->cq.id);
	ids_del(&m->eqs, h->eq->id);
	eq_free(h->eq);
	h->eq = NULL;
	ring_fini(&h->cq.ring);
	ring_fini(&h->rq.ring);
	ring_fini(&h->sq.ring);
}

/* ---- Dispatch -------------------------------------------------------------------------------- */

static const struct hwc_command *find_command(uint32_t type)
{
	for (unsigned int i = 0; i < n_gdma_commands; i++)
		if (gdma_commands[i].type == type)
			return &gdma_commands[i];
	for (unsigned int i = 0; i < n_mana_commands; i++)
		if (mana_commands[i].type == type)
			return &mana_commands[i];
	return NULL;
}

static uint32_t check_and_handle(struct mana *m, const struct hwc_command *cmd,
				 const struct gdma_req_hdr *hdr, struct hwc_msg *msg)
{
	uint16_t resp_version = le16_get(hdr->resp.msg_version);

	if (le32_get(hdr->req.hdr_type) != GDMA_STANDARD_HEADER_TYPE ||
	    le32_get(hdr->resp.hdr_type) != GDMA_STANDARD_HEADER_TYPE || !msg->version ||
	    msg->version > cmd->max_version)
		return GDMA_STATUS_BAD_VERSION;
	if (msg->size < cmd->min_size || msg->size > cmd->max_size)
		return GDMA_STATUS_BAD_SIZE;
	if (cmd->mana &&
	    (msg->dev_type != GDMA_DEVICE_MANA || msg->dev_instance != MANA_DEV_INSTANCE))
		return GDMA_STATUS_BAD_HANDLE;
	if (cmd->registered && !m->registered)
		return GDMA_STATUS_BAD_STATE;
	/* An older driver gets the older answer, a newer one the newest there is. */
	msg->resp_version = MIN(resp_version ? resp_version : 1, cmd->max_resp_version);
	msg->resp_size = cmd->resp_size;
	memset(msg->resp, 0, cmd->resp_size);
	return cmd->handler(m, msg);
}

/* Handles the request in m->hwc_req; bytes of the answer in m->hwc_resp, 0: none. */
static uint32_t handle_request(struct mana *m, uint32_t got)
{
	const struct gdma_req_hdr *hdr = (const void *)m->hwc_req;
	struct gdma_resp_hdr *resp = (void *)m->hwc_resp;
	struct hwc_msg msg = {
		.type = le32_get(hdr->req.msg_type),
		.size = le32_get(hdr->req.msg_size),
		.version = le16_get(hdr->req.msg_version),
		.resp_version = le16_get(hdr->resp.msg_version),
		.dev_type = le16_get(hdr->dev_id.type),
		.dev_instance = le16_get(hdr->dev_id.instance),
		.data = m->hwc_req,
		.resp = m->hwc_resp,
	};
	const struct hwc_command *cmd = find_command(msg.type);
	uint32_t room = le32_get(hdr->resp.msg_size), len, status;

	if (msg.size < sizeof(*hdr) || msg.size > got || room < sizeof(*resp))
		status = GDMA_STATUS_BAD_SIZE;
	else if (!cmd || !cmd->handler)
		status = GDMA_STATUS_CMD_UNSUPPORTED;
	else
		status = check_and_handle(m, cmd, hdr, &msg);
	m->hwc.waits = msg.again;
	if (msg.no_answer || msg.again)
		return 0;
	if (status == GDMA_STATUS_SUCCESS || status == GDMA_STATUS_MORE_ENTRIES) {
		len = MIN(msg.resp_size, room);
		log_debug("%s: %s", m->name, cmd->name);
	} else {
		len = sizeof(*resp);
		m->hwc_errors++;
		if (status != GDMA_STATUS_CMD_UNSUPPORTED)
			guest_error(m, 0, "%s (0x%x, %u bytes, version %u): status 0x%x",
				    cmd ? cmd->name : "request", msg.type, msg.size, msg.version,
				    status);
		else
			log_info_rl("%s: request 0x%x is not supported", m->name, msg.type);
	}
	*resp = (struct gdma_resp_hdr){
		.response = hdr->resp,
		.dev_id = hdr->dev_id,
		.activity_id = hdr->activity_id,
		.status = le32_make(status),
	};
	resp->response.hdr_type = le32_make(GDMA_STANDARD_HEADER_TYPE);
	resp->response.msg_type = hdr->req.msg_type;
	resp->response.msg_version = le16_make(msg.resp_version);
	resp->response.hwc_msg_id = hdr->req.hwc_msg_id;
	resp->response.msg_size = le32_make(len);
	return len;
}

/* ---- The channel's queues ----------------------------------------------------------------------
 */

static void post_cqe(struct mana *m, const struct mana_wq *wq, uint32_t pos, uint32_t size)
{
	struct hwc_rx_oob oob = {
		.type_flags = le32_make(HWC_RX_OOB_SOM | HWC_RX_OOB_EOM),
		.wqe_offset = le32_make(pos & wq->ring.mask),
		.tx_oob_data_size = le32_make(size),
	};
	struct gdma_cqe cqe = {0};

	memcpy(cqe.cqe_data, &oob, sizeof(oob));
	cqe.cqe_info = le32_make(wq->id | (wq->type == GDMA_SQ ? GDMA_CQE_INFO_IS_SQ : 0));
	cq_post(&m->hwc.cq, &cqe);
}

/* Moves between @buf and the SGEs of @raw. Bytes moved, or -EFAULT. */
static int move_sges(struct mana *m, const uint8_t *raw, const struct mana_wqe *wqe, uint8_t *buf,
		     uint32_t len, bool to_guest)
{
	const uint8_t *sge = raw + wqe->sgl_off;
	uint32_t done = 0;

	for (uint32_t i = 0; i < wqe->n_sge && done < len; i++, sge += sizeof(struct gdma_sge)) {
		uint64_t addr = le64_load(sge + offsetof(struct gdma_sge, address));
		uint32_t n = MIN(le32_load(sge + offsetof(struct gdma_sge, size)), len - done);
		int rc;

		if (le32_load(sge + offsetof(struct gdma_sge, mem_key)) != MANA_HWC_MKEY)
			return -EFAULT;
		rc = to_guest ? guest_mem_write(m->mem, addr, buf + done, n)
			      : guest_mem_read(m->mem, addr, buf + done, n);
		if (rc)
			return rc;
		done += n;
	}
	return (int)done;
}

/* Takes the entry at the cursor. False: malformed; it is consumed all the same. */
static bool take_entry(struct mana *m, struct mana_wq *wq, uint8_t raw[GDMA_MAX_SQE_SIZE],
		       struct mana_wqe *wqe, uint32_t *pos)
{
	enum wqe_err err;

	*pos = wq->cursor;
	if (!ring_copy_out(&wq->ring, *pos, raw, GDMA_WQE_BU_SIZE)) {
		wq->cursor = wq->tail;
		guest_error(m, 0, "hwc: ring memory is gone");
		return false;
	}
	err = wqe_parse(raw, wq->tail - *pos, wq->type, wqe);
	wq->cursor += wqe->size;
	if (err == WQE_OK && !ring_copy_out(&wq->ring, *pos, raw, wqe->size))
		err = WQE_CUT;
	if (err != WQE_OK)
		guest_error(m, 0, "hwc: malformed WQE (%d)", err);
	return err == WQE_OK;
}

/* Answer into the next receive buffer. */
static void answer(struct mana *m, uint32_t len)
{
	uint8_t raw[GDMA_MAX_SQE_SIZE];
	struct mana_wq *rq = &m->hwc.rq;
	struct mana_wqe wqe;
	uint32_t pos;
	int n;

	if (rq->cursor == rq->tail) {
		m->hwc_unanswered++;
		log_info_rl("%s: hwc: no buffer for an answer", m->name);
		return;
	}
	if (!take_entry(m, rq, raw, &wqe, &pos))
		return;
	n = move_sges(m, raw, &wqe, m->hwc_resp, len, true);
	if (n < (int)sizeof(struct gdma_resp_hdr)) {
		guest_error(m, 0, "hwc: receive buffer of %d bytes", n);
		return;
	}
	post_cqe(m, rq, pos, (uint32_t)n);
}

/* Completes the request at @pos and answers with @len bytes of m->hwc_resp; 0: no answer. */
static void complete(struct mana *m, uint32_t pos, uint32_t len)
{
	int vector;

	if (cq_room(&m->hwc.cq) < 2) {
		guest_error(m, 0, "hwc: completion queue is full");
		return;
	}
	post_cqe(m, &m->hwc.sq, pos, 0);
	if (len)
		answer(m, len);
	cq_notify(&m->hwc.cq, &vector);
	if (vector >= 0)
		vfuser_irq_raise(m->vu, (unsigned int)vector);
	if (m->link_event_due) {
		m->link_event_due = false;
		link_send_state(m);
	}
}

/* The request of @got bytes in m->hwc_req, which stood at @pos. */
static void handle_or_wait(struct mana *m, uint32_t pos, uint32_t got)
{
	struct mana_hwc *h = &m->hwc;
	uint32_t len = handle_request(m, got);

	if (!h->waits) {
		h->waits_since = 0;
		complete(m, pos, len);
		return;
	}
	h->pos = pos;
	h->got = got;
	if (!h->waits_since)
		h->waits_since = now_ns();
	worker_timer_arm(m->worker, &h->again, now_ns() + AGAIN_NS);
}

static void one_request(struct mana *m)
{
	uint8_t raw[GDMA_MAX_SQE_SIZE];
	struct mana_wq *sq = &m->hwc.sq;
	struct mana_wqe wqe;
	int got = -EFAULT;
	uint32_t pos;

	m->hwc_requests++;
	if (take_entry(m, sq, raw, &wqe, &pos)) {
		got = move_sges(m, raw, &wqe, m->hwc_req, sizeof(m->hwc_req), false);
		if (got >= (int)sizeof(struct gdma_req_hdr)) {
			handle_or_wait(m, pos, (uint32_t)got);
			return;
		}
		m->hwc_errors++;
		guest_error(m, 0, "hwc: request of %d bytes", got);
	}
	complete(m, pos, 0);
}

static void requests(struct mana *m)
{
	struct mana_hwc *h = &m->hwc;

	while (h->up && !h->waits && h->sq.cursor != h->sq.tail)
		one_request(m);
}

static void again(struct worker_timer *t)
{
	struct mana *m = t->arg;

	handle_or_wait(m, m->hwc.pos, m->hwc.got);
	requests(m);
}

void hwc_sq_doorbell(struct mana *m, uint32_t tail)
{
	struct mana_wq *sq = &m->hwc.sq;

	if (!wq_tail_ok(sq, tail)) {
		guest_error(m, 0, "hwc sq: doorbell to %u at %u", tail, sq->cursor);
		return;
	}
	for (unsigned int i = 0; i < TX_TURNS_FIRST && tx_run(m); i++)
		;
	sq->tail = tail;
	requests(m);
}

void hwc_rq_doorbell(struct mana *m, uint32_t tail)
{
	struct mana_wq *rq = &m->hwc.rq;

	if (!wq_tail_ok(rq, tail))
		guest_error(m, 0, "hwc rq: doorbell to %u at %u", tail, rq->cursor);
	else
		rq->tail = tail;
}
