/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns receive: from the switch's packets to a guest's buffers and completions.
 *
 * Theory. rx_deliver() runs on the sender's worker, whichever that is. It steers each packet
 * (no lock, see struct mana_steer), takes that queue's lock, keeps it as long as packets go to
 * the same queue, and lets the switch's settlement cut and sum: what comes out are frames. A
 * frame takes one receive WQE and gives one CQE, or shares one with up to three others when the
 * driver asked for coalescing and the words they share are equal. Before the lock is let go the
 * pending CQE is written and an armed CQ speaks, once.
 *
 * A queue without buffers or completion entries ends the call: the sender keeps the packet and
 * waits for vsw_port_wake(), which every doorbell of a receive queue or its CQ does. So does a
 * driver that turns receive off meanwhile: the switch then finds the port not receiving, and
 * parks what is left or drops it.
 *
 * A WQE that cannot be used (malformed, memory not the guest's) is consumed and completed as
 * truncated, since Linux counts WQEs by completions; the frame is lost.
 */
#include <string.h>

#include "emulator/mana/mana_internal.h"
#include "vswitch/offload.h"

#define RX_MAX_IOV 32

void rx_start(struct mana_rxq *q)
{
	memset(&q->stats, 0, sizeof(q->stats));
	q->n_pend = 0;
	q->enabled = q->vp->steer.rx_enabled;
	q->coalesce = q->vp->steer.coalesce;
	q->active = true;
}

void rx_stop(struct mana_rxq *q)
{
	q->active = q->enabled = false;
	q->n_pend = 0;
	q->stats.cqes = q->cq.cqes;
	q->stats.eqes = q->cq.eqes;
	rx_stats_add(&q->vp->rx_past, &q->stats);
	memset(&q->stats, 0, sizeof(q->stats));
}

/* ---- Completions --------------------------------------------------------------------------- */

void rxq_flush(struct mana_rxq *q)
{
	struct gdma_cqe cqe __attribute__((aligned(64)));
	uint32_t n = q->n_pend;

	if (!n)
		return;
	if (n < MANA_RXCOMP_OOB_NUM_PPI)
		memset(&q->pend.ppi[n], 0, (MANA_RXCOMP_OOB_NUM_PPI - n) * sizeof(q->pend.ppi[0]));
	q->pend.cqe_hdr = le32_make((n > 1 ? CQE_RX_COALESCED_4 : CQE_RX_OKAY) |
				    MANA_CQE_COMPLETION << MANA_CQE_CLIENT_TYPE_SHIFT);
	memcpy(cqe.cqe_data, &q->pend, sizeof(cqe.cqe_data));
	cqe.cqe_info = le32_make(q->wq.id);
	cq_post(&q->cq, &cqe);
	if (n > 1)
		q->stats.coalesced += n;
	q->n_pend = 0;
}

static void post_truncated(struct mana_rxq *q, uint32_t pos)
{
	struct mana_rxcomp_oob oob = {
		.cqe_hdr = le32_make(CQE_RX_TRUNCATED | MANA_CQE_COMPLETION
								<< MANA_CQE_CLIENT_TYPE_SHIFT),
		.rx_wqe_offset = le32_make(pos & q->wq.ring.mask),
	};
	struct gdma_cqe cqe;

	memcpy(cqe.cqe_data, &oob, sizeof(cqe.cqe_data));
	cqe.cqe_info = le32_make(q->wq.id);
	rxq_flush(q);
	cq_post(&q->cq, &cqe);
}

static uint32_t oob_flags(const struct vsw_frame *f, uint32_t facts, uint32_t hash_type)
{
	uint32_t flags = hash_type << MANA_RX_HASHTYPE_SHIFT;
	bool l4_known = f->sum_owed || f->sum_verify || facts & PKT_L4_GOOD;

	if (f->flags & PKT_VLAN)
		flags |= MANA_RX_VLANTAG_PRESENT | (f->vlan_tci & MANA_RX_VLAN_ID_MASK);
	/* Linux trusts TCP and UDP bits only beside this one, for IPv6 too. */
	if (f->l3 == PKT_L3_IPV6 || (f->l3 == PKT_L3_IPV4 && facts & PKT_IP_GOOD))
		flags |= MANA_RX_IPHDR_CSUM_SUCCEED;
	else if (f->l3 == PKT_L3_IPV4)
		flags |= MANA_RX_IPHDR_CSUM_FAIL;
	if (f->l4 == PKT_L4_TCP && l4_known)
		flags |= facts & PKT_L4_GOOD ? MANA_RX_TCP_CSUM_SUCCEED : MANA_RX_TCP_CSUM_FAIL;
	else if (f->l4 == PKT_L4_UDP && l4_known)
		flags |= facts & PKT_L4_GOOD ? MANA_RX_UDP_CSUM_SUCCEED : MANA_RX_UDP_CSUM_FAIL;
	return flags;
}

static void post_frame(struct mana_rxq *q, uint32_t pos, uint32_t len, uint32_t flags,
		       uint32_t hash)
{
	if (!q->coalesce && !q->n_pend) {
		/* struct mana_rxcomp_oob with one packet, as words */
		cq_post_words(&q->cq,
			      CQE_RX_OKAY | MANA_CQE_COMPLETION << MANA_CQE_CLIENT_TYPE_SHIFT |
				      (uint64_t)flags << 32,
			      (uint16_t)len, hash, pos & q->wq.ring.mask, q->wq.id);
		return;
	}
	if (q->n_pend && (!q->coalesce || le32_get(q->pend.flags) != flags))
		rxq_flush(q);
	if (!q->n_pend) {
		q->pend.flags = le32_make(flags);
		q->pend.rx_wqe_offset = le32_make(pos & q->wq.ring.mask);
	}
	q->pend.ppi[q->n_pend++] = (struct mana_rxcomp_perpkt_info){
		.pkt_len = le16_make((uint16_t)len), .pkt_hash = le32_make(hash)};
	if (!q->coalesce || q->n_pend == MANA_RXCOMP_OOB_NUM_PPI)
		rxq_flush(q);
}

/* ---- Buffers -------------------------------------------------------------------------------- */

/*
 * The buffers of the WQE at the cursor: pieces of at least @len bytes into @iov, its size into
 * *@wqe_size. Count of pieces; 0: too small; -1: unusable.
 */
static int rx_buffers(struct mana_rxq *q, uint32_t len, struct iovec *iov, uint32_t *wqe_size)
{
	uint8_t raw[GDMA_MAX_RQE_SIZE] __attribute__((aligned(32)));
	const uint8_t *head = ring_at(&q->wq.ring, q->wq.cursor), *sge;
	struct mana_wqe wqe;
	uint32_t room = 0;
	int n = 0;

	if (unlikely(!head)) {
		*wqe_size = q->wq.tail - q->wq.cursor;
		return -1;
	}
	memcpy(raw, head, GDMA_WQE_BU_SIZE);
	if (unlikely(wqe_parse(raw, q->wq.tail - q->wq.cursor, GDMA_RQ, &wqe) != WQE_OK)) {
		*wqe_size = wqe.size;
		return -1;
	}
	*wqe_size = wqe.size;
	if (wqe.size > GDMA_WQE_BU_SIZE &&
	    !ring_copy_out(&q->wq.ring, q->wq.cursor + GDMA_WQE_BU_SIZE, raw + GDMA_WQE_BU_SIZE,
			   wqe.size - GDMA_WQE_BU_SIZE))
		return -1;
	sge = raw + wqe.sgl_off;
	for (uint32_t i = 0; i < wqe.n_sge && room < len; i++, sge += sizeof(struct gdma_sge)) {
		uint32_t size = le32_load(sge + offsetof(struct gdma_sge, size));
		int rc;

		if (le32_load(sge + offsetof(struct gdma_sge, mem_key)) != MANA_GPA_MKEY)
			return -1;
		size = MIN(size, len - room);
		if (!size)
			continue;
		rc = guest_mem_iov(q->wq.ring.mem,
				   le64_load(sge + offsetof(struct gdma_sge, address)), size,
				   GUEST_MEM_W, iov + n, (unsigned int)(RX_MAX_IOV - n));
		if (rc < 0)
			return -1;
		n += rc;
		room += size;
	}
	return room < len ? 0 : n;
}

/* ---- One packet, under the queue's lock --------------------------------------------------------
 */

enum rx_result { RX_DONE, RX_NO_BUFFER };

struct rx_run {
	struct mana_vport *vp;
	struct mana_rxq *q; /* locked, or NULL */
	uint64_t packets, bytes;
};

static enum rx_result store_frame(struct rx_run *run, struct vsw_frame *f, uint32_t hash,
				  uint32_t hash_type)
{
	struct mana_rxq *q = run->q;
	struct iovec iov[RX_MAX_IOV];
	uint32_t pos = q->wq.cursor, size, facts;
	enum mana_cast cast;
	int n;

	/* One entry for the frame, one for what may have to be written before it. */
	if (unlikely(pos == q->wq.tail)) {
		q->stats.no_buffer++;
		return RX_NO_BUFFER;
	}
	if (unlikely(cq_room(&q->cq) < 1u + (q->n_pend != 0))) {
		q->cq.held = true;
		return RX_NO_BUFFER;
	}
	n = rx_buffers(q, f->len, iov, &size);
	q->wq.cursor += size;
	q->stats.wqes++;
	if (unlikely(n <= 0)) {
		post_truncated(q, pos);
		q->stats.errors++;
		if (n < 0)
			guest_error(run->vp->m, run->vp->index, "rq %u: unusable WQE at %u",
				    q->wq.id, pos);
		vsw_port_drop_frame(&run->vp->port, f,
				    n < 0 ? VSW_DROP_RX_ERROR : VSW_DROP_TOO_BIG);
		return RX_DONE;
	}
	facts = vsw_frame_copy(f, iov, (unsigned int)n);
	cast = mac_cast(f->hdr);
	q->stats.traffic.packets[cast]++;
	q->stats.traffic.bytes[cast] += f->len;
	run->packets++;
	run->bytes += f->len;
	post_frame(q, pos, f->len, oob_flags(f, facts, hash_type), hash);
	return RX_DONE;
}

static enum rx_result store_packet(struct rx_run *run, struct pkt *pkt, uint32_t hash,
				   uint32_t hash_type)
{
	struct vsw_port *port = &run->vp->port;
	struct vsw_settle s;
	struct vsw_frame f;
	enum vsw_drop why = vsw_settle_begin(&s, pkt, MANA_RX_CAPS, port->mtu);

	if (unlikely(why != VSW_DROP_NONE)) {
		vsw_port_drop(port, pkt, why);
		return RX_DONE;
	}
	while (vsw_settle_next(&s, &f)) {
		if (unlikely(store_frame(run, &f, hash, hash_type) == RX_NO_BUFFER)) {
			vsw_settle_stop(&s);
			return RX_NO_BUFFER;
		}
	}
	return RX_DONE;
}

/* ---- The door
 * ------------------------------------------------------------------------------------ */

static void run_end(struct rx_run *run)
{
	struct mana_rxq *q = run->q;
	struct mana *m = run->vp->m;
	uint32_t cq_id;
	bool lost;
	int vector;

	if (!q)
		return;
	rxq_flush(q);
	cq_notify(&q->cq, &vector);
	lost = q->cq.lost;
	q->cq.lost = false;
	cq_id = q->cq.id;
	pthread_mutex_unlock(&q->lock);
	run->q = NULL;
	if (vector >= 0)
		vfuser_irq_raise(m->vu, (unsigned int)vector);
	if (unlikely(lost))
		guest_error(m, run->vp->index, "cq %u: ring memory is gone", cq_id);
}

/* Receive queue index or STEER_NONE. */
static int steer(const struct mana_steer *st, const struct pkt *pkt, uint32_t *hash, uint32_t *type)
{
	uint32_t n = atomic_load_explicit(&st->n_indir, memory_order_relaxed);
	int idx = STEER_NONE;

	*hash = *type = 0;
	if (atomic_load_explicit(&st->rss, memory_order_relaxed)) {
		*type = rss_hash_pkt(&st->hash, pkt, hash);
		if (*type && n)
			idx = atomic_load_explicit(&st->indir[*hash & (n - 1)],
						   memory_order_relaxed);
	}
	if (idx == STEER_NONE)
		idx = atomic_load_explicit(&st->def, memory_order_relaxed);
	return idx;
}

/* The adapter takes its own address, broadcast and multicast. */
static bool wanted(const struct mana_vport *vp, const struct pkt *pkt)
{
	return pkt->hdr[0] & 1 || memcmp(pkt->hdr, vp->conf.mac, 6) == 0;
}

static unsigned int rx_deliver(struct vsw_port *port, struct pkt **pkts, unsigned int n)
{
	struct mana_vport *vp = port_to_vport(port);
	struct rx_run run = {.vp = vp};
	bool foreign = !worker_is_self(vp->m->worker);
	unsigned int i;

	if (foreign)
		guest_mem_read_lock(vp->m->mem);
	for (i = 0; i < n; i++) {
		struct pkt *pkt = pkts[i];
		uint32_t hash, type, gen;
		int idx;

		if (i + 1 < n)
			__builtin_prefetch(pkts[i + 1]->hdr);
		if (unlikely(!wanted(vp, pkt))) {
			vsw_port_drop(port, pkt, VSW_DROP_RX_FILTER);
			continue;
		}
	again:
		gen = atomic_load_explicit(&vp->steer.gen, memory_order_acquire);
		idx = steer(&vp->steer, pkt, &hash, &type);
		if (unlikely(idx == STEER_NONE)) {
			if (!atomic_load(&port->receiving))
				break;
			vsw_port_drop(port, pkt, VSW_DROP_RX_ERROR);
			continue;
		}
		if (run.q != &vp->rxq[idx]) {
			run_end(&run);
			run.q = &vp->rxq[idx];
			pthread_mutex_lock(&run.q->lock);
		}
		if (unlikely(atomic_load_explicit(&vp->steer.gen, memory_order_acquire) != gen))
			goto again;
		if (unlikely(!run.q->enabled)) {
			if (!atomic_load(&port->receiving))
				break;
			run.q->stats.disabled++;
			vsw_port_drop(port, pkt, VSW_DROP_RX_FILTER);
			continue;
		}
		if (store_packet(&run, pkt, hash, type) == RX_NO_BUFFER)
			break;
	}
	run_end(&run);
	if (foreign)
		guest_mem_read_unlock(vp->m->mem);
	if (run.packets)
		vsw_port_received(port, run.packets, run.bytes);
	return i;
}

/* Beside receive, and on the other side of the adapter: see flowtab.h. */
static void program(struct vsw_port *port, const struct vsw_fast_key *key, uint32_t hash,
		    const struct vsw_fast *fast)
{
	flowtab_add(&CONTAINER_OF(port, struct mana_vport, port)->flows, key, hash, fast);
}

const struct vsw_port_ops mana_port_ops = {.deliver = rx_deliver, .program = program};
