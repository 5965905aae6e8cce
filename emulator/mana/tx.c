/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns transmit: from a send queue's entries to packets in the switch and completions.
 *
 * Theory. A doorbell only moves the tail and puts the queue on the device's list of dirty queues.
 * When the batch of messages that brought it is done, tx_run() gives every dirty queue a turn: up
 * to MANA_TX_BUDGET entries in bursts of MANA_TX_BURST. What is left stays on the list and is
 * gone on with at the end of the worker's turn, so one queue can delay another by one budget only.
 *
 * A burst: entries are copied from the ring, once, and parsed; their memory becomes a view (struct
 * pkt), headers copied, once; vsw_send() takes the burst; then a completion each, in order, and one
 * event. A malformed entry ends a burst and is completed with an error: the driver counts on one
 * completion per entry, and its queue is stuck without.
 *
 * Why a queue may stop before its tail: its CQ is full (cq.held; the CQ's doorbell goes on), the
 * next packet is to wait for bandwidth (delayed; a timer goes on), or its receiver has no buffers
 * (waiting; see struct mana_sq).
 *
 * Everything here is the owner's. The copies that reach other workers' receivers happen inside
 * vsw_send(), on this thread.
 */
#include <string.h>

#include "emulator/mana/mana_internal.h"

#define TX_VLAN_TAGS	4u /* bytes of a tag in the frame that do not count as MTU, twice */
#define TX_WAIT_RETRIES 4

static void hold_over(struct worker_timer *t);
static void delay_over(struct worker_timer *t);
static void woken(struct vsw_waiter *w);

void tx_start(struct mana_sq *sq)
{
	sq->seg_done = 0;
	sq->dirty = sq->delayed = sq->waiting = sq->stuck = false;
	sq->delay = (struct pkt_delay){0};
	sq->waiter = (struct vsw_waiter){.wake = woken, .arg = sq, .worker = sq->vp->m->worker};
	sq->hold = (struct worker_timer){.fn = hold_over, .arg = sq};
	sq->delay_timer = (struct worker_timer){.fn = delay_over, .arg = sq};
	memset(&sq->stats, 0, sizeof(sq->stats));
	sq->active = true;
}

void tx_stop(struct mana_sq *sq)
{
	struct mana *m = sq->vp->m;

	vsw_wait_cancel(&sq->waiter);
	worker_timer_cancel(&sq->hold);
	worker_timer_cancel(&sq->delay_timer);
	if (sq->dirty)
		TAILQ_REMOVE(&m->dirty, sq, link);
	sq->dirty = sq->active = false;
	sq->stats.cqes = sq->cq.cqes;
	sq->stats.eqes = sq->cq.eqes;
	tx_stats_add(&sq->vp->tx_past, &sq->stats);
	memset(&sq->stats, 0, sizeof(sq->stats));
}

void tx_kick(struct mana_sq *sq)
{
	if (sq->dirty || sq->waiting || sq->delayed || sq->wq.cursor == sq->wq.tail)
		return;
	sq->dirty = true;
	TAILQ_INSERT_TAIL(&sq->vp->m->dirty, sq, link);
}

/* ---- Waiting for a receiver ---------------------------------------------------------------- */

static void wait_ended(struct mana_sq *sq)
{
	if (!sq->waiting)
		return;
	sq->waiting = false;
	sq->stats.held_ns += now_ns() - sq->wait_since;
	worker_timer_cancel(&sq->hold);
}

static void woken(struct vsw_waiter *w)
{
	struct mana_sq *sq = w->arg;

	wait_ended(sq);
	sq->stuck = false;
	tx_kick(sq);
}

/* It took too long: the first packet waits no more. Those behind it may, for other receivers. */
static void hold_over(struct worker_timer *t)
{
	struct mana_sq *sq = t->arg;

	vsw_wait_cancel(&sq->waiter);
	wait_ended(sq);
	sq->stuck = true;
	tx_kick(sq);
}

/* False: buffers have come meanwhile. */
static bool wait_for(struct mana_sq *sq, struct vsw_port *on)
{
	uint64_t until;

	if (!vsw_wait_patiently(&sq->waiter, on, &sq->vp->port, &until))
		return false;
	sq->waiting = true;
	sq->wait_since = now_ns();
	worker_timer_arm(sq->vp->m->worker, &sq->hold, until);
	return true;
}

/* ---- Waiting for bandwidth ----------------------------------------------------------------- */

static void delay_over(struct worker_timer *t)
{
	struct mana_sq *sq = t->arg;

	sq->delayed = false;
	tx_kick(sq);
}

static void delay(struct mana_sq *sq, const struct pkt *pkt)
{
	sq->delay = pkt->delay;
	sq->delayed = true;
	worker_timer_arm(sq->vp->m->worker, &sq->delay_timer, sq->delay.until);
}

void tx_undelay(struct mana_sq *sq)
{
	if (!sq->delayed)
		return;
	worker_timer_cancel(&sq->delay_timer);
	delay_over(&sq->delay_timer);
}

/* ---- From entry to packet ------------------------------------------------------------------- */

/* The packet's memory as pieces; headers are copied later, by tx_copy_header(). */
static enum mana_cqe_type add_sges(struct mana *m, struct pkt *pkt, const uint8_t *sgl,
				   uint32_t n_sge)
{
	uint32_t n = 0, len = 0;

	for (uint32_t i = 0; i < n_sge; i++, sgl += sizeof(struct gdma_sge)) {
		uint64_t addr = le64_load(sgl + offsetof(struct gdma_sge, address));
		uint32_t size = le32_load(sgl + offsetof(struct gdma_sge, size));

		if (le32_load(sgl + offsetof(struct gdma_sge, mem_key)) != MANA_GPA_MKEY)
			return CQE_TX_GDMA_ERR;
		if (size > PKT_MAX_LEN - len)
			return CQE_TX_MTU_DROP;
		len += size;
		while (size) {
			uint64_t avail = 0;
			const uint8_t *p = guest_mem_ptr(m->mem, addr, size, &avail, GUEST_MEM_R);

			if (!p || n == PKT_MAX_PIECES)
				return CQE_TX_GDMA_ERR;
			pkt->piece[n++] = (struct pkt_piece){.ptr = p, .len = (uint32_t)avail};
			addr += avail;
			size -= (uint32_t)avail;
		}
	}
	pkt->len = len;
	pkt->n_pieces = (uint16_t)n;
	return CQE_TX_OKAY;
}

/* Moves the first bytes of the pieces into the header. */
static void copy_header(struct pkt *pkt)
{
	uint32_t want = MIN(pkt->len, (uint32_t)PKT_HDR_MAX), have = 0, gone = 0;

	while (have < want) {
		struct pkt_piece *pc = &pkt->piece[gone];
		uint32_t n = MIN(want - have, pc->len);

		memcpy(pkt->hdr + have, pc->ptr, n);
		have += n;
		pc->ptr += n;
		pc->len -= n;
		if (!pc->len)
			gone++;
	}
	pkt->hdr_len = (uint16_t)want;
	if (gone) {
		pkt->n_pieces -= (uint16_t)gone;
		memmove(pkt->piece, pkt->piece + gone, pkt->n_pieces * sizeof(*pkt->piece));
	}
}

/* Reads the entry at @pos. Error kinds leave @pkt undefined. @slot->size is always set. */
static void read_entry(struct mana_sq *sq, uint32_t pos, struct pkt *pkt,
		       struct mana_burst_slot *slot)
{
	uint8_t raw[GDMA_MAX_SQE_SIZE] __attribute__((aligned(32)));
	struct mana_vport *vp = sq->vp;
	struct mana *m = vp->m;
	const uint8_t *head = ring_at(&sq->wq.ring, pos);
	struct mana_tx_meta meta;
	struct mana_wqe wqe;
	enum wqe_err err;

	slot->suppress = false;
	if (unlikely(!head)) {
		slot->size = sq->wq.tail - pos;
		slot->cqe = CQE_TX_GDMA_ERR;
		guest_error(m, vp->index, "sq %u: ring memory is gone", sq->wq.id);
		return;
	}
	/* A basic unit never crosses a page; most entries are one or two. */
	memcpy(raw, head, GDMA_WQE_BU_SIZE);
	err = wqe_parse(raw, sq->wq.tail - pos, GDMA_SQ, &wqe);
	slot->size = wqe.size;
	if (unlikely(err != WQE_OK)) {
		slot->cqe = CQE_TX_INVALID_OOB;
		guest_error(m, vp->index, "sq %u: malformed WQE at %u (%d)", sq->wq.id, pos, err);
		return;
	}
	if (wqe.size > GDMA_WQE_BU_SIZE &&
	    unlikely(!ring_copy_out(&sq->wq.ring, pos + GDMA_WQE_BU_SIZE, raw + GDMA_WQE_BU_SIZE,
				    wqe.size - GDMA_WQE_BU_SIZE))) {
		slot->cqe = CQE_TX_GDMA_ERR;
		guest_error(m, vp->index, "sq %u: ring memory is gone", sq->wq.id);
		return;
	}
	slot->cqe = wqe_tx_oob(raw + sizeof(struct gdma_wqe), &wqe, &meta);
	if (unlikely(slot->cqe == CQE_TX_OKAY && meta.vcq != sq->cq.id))
		slot->cqe = CQE_TX_INVALID_OOB;
	if (unlikely(slot->cqe == CQE_TX_OKAY && meta.vp_offset != vp->index))
		slot->cqe = CQE_TX_VPORT_IDX_OUT_OF_RANGE;
	if (likely(slot->cqe == CQE_TX_OKAY))
		slot->cqe = add_sges(m, pkt, raw + wqe.sgl_off, wqe.n_sge);
	if (unlikely(slot->cqe != CQE_TX_OKAY)) {
		guest_error(m, vp->index, "sq %u: WQE at %u rejected, CQE type %u", sq->wq.id, pos,
			    slot->cqe);
		return;
	}
	if (unlikely(pkt->len < PKT_MIN_LEN)) {
		slot->cqe = CQE_TX_HDR_PROCESSING_ERROR;
		guest_error(m, vp->index, "sq %u: frame of %u bytes", sq->wq.id, pkt->len);
		return;
	}
	if (unlikely(!wqe.data_unit && pkt->len > vp->conf.mtu + PKT_MIN_LEN + 2 * TX_VLAN_TAGS)) {
		slot->cqe = CQE_TX_MTU_DROP;
		guest_error(m, vp->index, "sq %u: frame of %u bytes, MTU %u", sq->wq.id, pkt->len,
			    vp->conf.mtu);
		return;
	}
	__builtin_prefetch(pkt->piece[0].ptr);
	slot->suppress = meta.suppress_cqe;
	pkt->flags = meta.flags;
	pkt->gso_size = wqe.data_unit;
	pkt->vlan_tci = meta.vlan_tci;
	pkt->l3_off = pkt->l4_off = pkt->payload_off = 0;
	pkt->eth_type = 0;
	pkt->l3 = PKT_L3_OTHER;
	pkt->l4 = PKT_L4_NONE;
	pkt->l4_proto = 0;
	pkt->fragment = false;
	pkt->seg_done = 0;
	pkt->waits_for = NULL;
	pkt->delay.since = 0;
	pkt->delay.at = PKT_DELAY_NOWHERE;
	pkt->tag = 0;
	pkt->tun.set = false;
}

/* ---- Completions ------------------------------------------------------------------------------
 */

static void complete(struct mana_sq *sq, const struct mana_burst_slot *slot, uint32_t pos)
{
	sq->stats.wqes++;
	if (slot->suppress && slot->cqe == CQE_TX_OKAY)
		return;
	/* struct mana_tx_comp_oob, as words */
	cq_post_words(&sq->cq, slot->cqe | MANA_CQE_COMPLETION << MANA_CQE_CLIENT_TYPE_SHIFT,
		      (uint32_t)((pos & sq->wq.ring.mask) / GDMA_WQE_BU_SIZE
				 << MANA_TX_COMP_WQE_OFFSET_SHIFT),
		      0, 0, sq->wq.id | GDMA_CQE_INFO_IS_SQ);
}

static void fail(struct mana_sq *sq, const struct mana_burst_slot *slot, uint32_t pos)
{
	sq->stats.errors++;
	if (slot->cqe >= CQE_TX_OKAY && slot->cqe <= CQE_TX_GDMA_ERR)
		sq->stats.err[slot->cqe - CQE_TX_OKAY]++;
	complete(sq, slot, pos);
}

/* Frames and bytes as they are after segmentation; the switch has parsed the packet. */
static void count_sent(struct mana_sq *sq, const struct pkt *pkt)
{
	enum mana_cast cast = mac_cast(pkt->hdr);
	uint64_t frames = 1, bytes = pkt->len;

	if (pkt->gso_size) {
		uint32_t hdr = pkt->payload_off;

		sq->stats.tso++;
		if (hdr && pkt->len > hdr) {
			frames = (pkt->len - hdr + pkt->gso_size - 1) / pkt->gso_size;
			bytes += (frames - 1) * hdr;
		}
	}
	sq->stats.traffic.packets[cast] += frames;
	sq->stats.traffic.bytes[cast] += bytes;
}

/* ---- The queue's turn
 * ---------------------------------------------------------------------------- */

/*
 * Reads entries from the cursor on into m->burst and m->slot: at most @max. A malformed entry is
 * the last. Returns how many, at least one.
 */
static uint32_t fill_burst(struct mana_sq *sq, uint32_t max)
{
	struct mana *m = sq->vp->m;
	uint32_t pos = sq->wq.cursor, n = 0;

	while (n < max && pos != sq->wq.tail) {
		struct mana_burst_slot *slot = &m->slot[n];
		struct pkt *pkt = &m->burst[n++];

		read_entry(sq, pos, pkt, slot);
		pos += slot->size;
		if (slot->cqe != CQE_TX_OKAY)
			break;
	}
	return n;
}

/* A function that was isolated goes on completing, so that its driver can let go. */
static uint32_t drop_isolated(struct mana_vport *vp, struct pkt **pkts, uint32_t n)
{
	uint64_t frames = 0;

	for (uint32_t i = 0; i < n; i++)
		frames += pkt_n_segs(pkts[i]);
	atomic_fetch_add_explicit(&vp->port.stats.tx_drops[VSW_DROP_LINK_DOWN], frames,
				  memory_order_relaxed);
	return n;
}

/* True: there is more to do at once. */
static bool queue_turn(struct mana_sq *sq)
{
	struct mana_vport *vp = sq->vp;
	struct mana *m = vp->m;
	uint32_t budget = MANA_TX_BUDGET, retries = 0;
	struct pkt *pkts[MANA_TX_BURST];
	int vector;

	while (budget && sq->wq.cursor != sq->wq.tail) {
		uint32_t n = MIN(MIN(budget, MANA_TX_BURST), cq_room(&sq->cq)), ok, sent = 0;

		if (!n) {
			sq->cq.held = true;
			break;
		}
		n = fill_burst(sq, n);
		ok = m->slot[n - 1].cqe == CQE_TX_OKAY ? n : n - 1;
		for (uint32_t i = 0; i < ok; i++) {
			copy_header(&m->burst[i]);
			pkts[i] = &m->burst[i];
		}
		if (ok) {
			pkts[0]->seg_done = sq->seg_done;
			pkts[0]->delay = sq->delay;
			if (unlikely(sq->stuck))
				pkts[0]->flags |= PKT_NO_WAIT;
			sent = likely(!m->isolated) ? flowtab_send(&vp->flows, pkts, ok)
						    : drop_isolated(vp, pkts, ok);
		}
		sq->seg_done = 0;
		sq->delay = (struct pkt_delay){0};
		sq->stuck = sq->stuck && !sent;
		for (uint32_t i = 0; i < sent; i++) {
			count_sent(sq, pkts[i]);
			complete(sq, &m->slot[i], sq->wq.cursor);
			sq->wq.cursor += m->slot[i].size;
		}
		budget -= sent;
		if (sent < ok) {
			struct pkt *next = pkts[sent];

			sq->seg_done = next->seg_done;
			if (unlikely(!next->waits_for)) {
				delay(sq, next);
				break;
			}
			if (wait_for(sq, next->waits_for))
				break;
			if (++retries == TX_WAIT_RETRIES)
				break;
			continue;
		}
		if (ok < n) {
			fail(sq, &m->slot[ok], sq->wq.cursor);
			sq->wq.cursor += m->slot[ok].size;
			budget--;
		}
	}
	cq_notify(&sq->cq, &vector);
	if (vector >= 0)
		vfuser_irq_raise(m->vu, (unsigned int)vector);
	if (unlikely(sq->cq.lost)) {
		sq->cq.lost = false;
		guest_error(m, vp->index, "cq %u: ring memory is gone", sq->cq.id);
	}
	return sq->wq.cursor != sq->wq.tail && !sq->waiting && !sq->delayed && !sq->cq.held;
}

bool tx_run(struct mana *m)
{
	struct mana_sq *sq, *last = TAILQ_LAST(&m->dirty, mana_dirty);

	if (!last)
		return false;
	do {
		sq = TAILQ_FIRST(&m->dirty);
		TAILQ_REMOVE(&m->dirty, sq, link);
		sq->dirty = false;
		if (queue_turn(sq)) {
			sq->dirty = true;
			TAILQ_INSERT_TAIL(&m->dirty, sq, link);
		}
	} while (sq != last && !TAILQ_EMPTY(&m->dirty));
	return !TAILQ_EMPTY(&m->dirty);
}
