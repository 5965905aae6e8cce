/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns transmit: from what the guest made available to packets in the switch, and back.
 *
 * Theory. A turn of a ring takes up to VH_TX_BUDGET heads in bursts of VH_BURST. A burst is read in
 * three steps, so that a miss of the cache is paid once and not per packet: heads and descriptors,
 * then addresses (and their memory is asked for), then headers. The frame's memory becomes a view
 * (struct pkt): the first bytes copied, once, the rest read by the receiver's copy. vsw_send()
 * takes the burst; what it took is given back to the guest, in order, with one store of the index
 * and at most one interrupt.
 *
 * The virtio header says what the driver left undone. Checksums are a place and an offset there,
 * and a debt of known headers here: where both mean the same field they become PKT_CSUM_L4. Where
 * they do not (an inner header of a tunnel, a protocol the parser does not know) the sum is made at
 * once, as the header says. A segmentation that does not fit the headers found is malformed.
 * Malformed packets go to the switch with debts that cannot be paid, and are counted there.
 *
 * Waiting for a receiver, or for bandwidth, is as in emulator/mana/tx.c: the packet stays where it is, in the guest's
 * ring; when our patience with that receiver is over (vswitch/wait.c) it is offered once more as
 * one that does not wait.
 */
#include "vswitch/ports/vhost_internal.h"

#include <string.h>

#include "base/copy.h"

#define TX_WAIT_RETRIES 4
/* A chain may have more than a packet can: the virtio header may take pieces of its own. */
#define TX_MAX_IOV	(PKT_MAX_PIECES + 4)

/* Too large for the stack of every worker, used by one turn at a time. */
static _Thread_local struct pkt burst[VH_BURST];

static void woken(struct vsw_waiter *w);
static void hold_over(struct worker_timer *t);
static void delay_over(struct worker_timer *t);

void vh_tx_init(struct vring *q)
{
	q->tx.waiter = (struct vsw_waiter){.wake = woken, .arg = q, .worker = q->v->worker};
	q->tx.hold = (struct worker_timer){.fn = hold_over, .arg = q};
	q->tx.delay_timer = (struct worker_timer){.fn = delay_over, .arg = q};
}

/* ---- Waiting for a receiver ------------------------------------------------------------------ */

static void resume(struct vring *q)
{
	if (atomic_load(&q->running))
		q->v->hot |= VH_BIT(q->index / 2);
}

static void wait_ended(struct vring *q)
{
	if (!q->tx.waiting)
		return;
	q->tx.waiting = false;
	q->stats.held_ns += now_ns() - q->tx.wait_since;
	worker_timer_cancel(&q->tx.hold);
}

static void woken(struct vsw_waiter *w)
{
	struct vring *q = w->arg;

	wait_ended(q);
	q->tx.stuck = false;
	resume(q);
}

/* It took too long: the first packet waits no more. Those behind it may, for other receivers. */
static void hold_over(struct worker_timer *t)
{
	struct vring *q = t->arg;

	vsw_wait_cancel(&q->tx.waiter);
	wait_ended(q);
	q->tx.stuck = true;
	resume(q);
}

/* False: buffers have come meanwhile. */
static bool wait_for(struct vring *q, struct vsw_port *on)
{
	struct vhost *v = q->v;
	uint64_t until;

	if (!vsw_wait_patiently(&q->tx.waiter, on, &v->port, &until))
		return false;
	q->tx.waiting = true;
	q->tx.wait_since = now_ns();
	worker_timer_arm(v->worker, &q->tx.hold, until);
	v->hot &= ~VH_BIT(q->index / 2);
	return true;
}

/* ---- Waiting for bandwidth ------------------------------------------------------------------- */

static void delay_over(struct worker_timer *t)
{
	struct vring *q = t->arg;

	q->tx.delayed = false;
	resume(q);
}

static void delay(struct vring *q, const struct pkt *pkt)
{
	q->tx.delay = pkt->delay;
	q->tx.delayed = true;
	worker_timer_arm(q->v->worker, &q->tx.delay_timer, q->tx.delay.until);
	q->v->hot &= ~VH_BIT(q->index / 2);
}

/* ---- From chain to packet -------------------------------------------------------------------- */

static void pkt_init(struct pkt *pkt, uint32_t len)
{
	pkt->flags = 0;
	pkt->len = len;
	pkt->gso_size = 0;
	pkt->vlan_tci = 0;
	pkt->n_pieces = 0;
	pkt->seg_done = 0;
	pkt->waits_for = NULL;
	pkt->delay.since = 0;
	pkt->delay.at = PKT_DELAY_NOWHERE;
	pkt->tag = 0;
	pkt->tun.set = false;
}

/* The segmentations that the driver may ask for. */
static uint32_t gso_caps(const struct vhost *v)
{
	return (vh_has(v, VIRTIO_NET_F_HOST_TSO4) ? VSW_CAP_TSO4 : 0) |
	       (vh_has(v, VIRTIO_NET_F_HOST_TSO6) ? VSW_CAP_TSO6 : 0) |
	       (vh_has(v, VIRTIO_NET_F_HOST_USO) ? VSW_CAP_USO : 0);
}

/* The debts of a packet whose header is not all zero. False: malformed. */
static bool take_debts(struct vring *q, struct pkt *pkt, const struct virtio_net_hdr *h)
{
	bool gso = h->gso_type & ~VIRTIO_NET_HDR_GSO_ECN;

	/* Section 5.1.6.2: not without a checksum. */
	if (gso && !(h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
		return false;
	if (!vnet_hdr_take(pkt, h, gso_caps(q->v)))
		return false;
	q->stats.gso += gso;
	return true;
}

static inline void take_header(struct vring *q, struct pkt *pkt, const struct virtio_net_hdr *h)
{
	if (unlikely(h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM || h->gso_type) &&
	    unlikely(!take_debts(q, pkt, h)))
		vnet_hdr_malformed(pkt);
}

/* A frame that lies in one piece behind its header: the usual one. */
static inline void build_flat(struct vring *q, struct pkt *pkt, const uint8_t *p, uint32_t len)
{
	uint32_t n = len - q->hdr_size, copy = MIN(n, (uint32_t)PKT_HDR_MAX);
	const uint8_t *data = p + q->hdr_size;
	struct virtio_net_hdr h;

	pkt_init(pkt, n);
	copy_short(pkt->hdr, data, copy);
	pkt->hdr_len = (uint16_t)copy;
	if (n > copy) {
		pkt->piece[0].ptr = data + copy;
		pkt->piece[0].len = n - copy;
		pkt->n_pieces = 1;
	}
	if (likely(q->debts)) {
		memcpy(&h, p, VIRTIO_NET_HDR_SHORT);
		take_header(q, pkt, &h);
	}
}

/* Copies @n bytes from the front of the pieces away. They have as many. */
static void take_front(struct iovec **iov, unsigned int *n_iov, void *to, size_t n)
{
	while (n) {
		size_t part = MIN(n, (*iov)->iov_len);

		if (to)
			memcpy(to, (*iov)->iov_base, part);
		to = to ? (uint8_t *)to + part : NULL;
		n -= part;
		(*iov)->iov_base = (uint8_t *)(*iov)->iov_base + part;
		(*iov)->iov_len -= part;
		if (!(*iov)->iov_len) {
			++*iov;
			--*n_iov;
		}
	}
}

/* Any chain. NULL, or how it breaks the ring. */
static const char *build_chain(struct vring *q, struct pkt *pkt, uint16_t head)
{
	struct iovec room[TX_MAX_IOV], *iov = room;
	struct vh_chain c = {.iov = room, .max = TX_MAX_IOV};
	struct virtio_net_hdr h;
	bool too_many = false;
	const char *bad = vh_ring_chain(q, head, false, &c, &too_many);
	uint32_t copy;

	if (bad)
		return bad;
	pkt_init(pkt, 0);
	pkt->hdr_len = 0;
	if (c.len < q->hdr_size + PKT_MIN_LEN || c.len > q->hdr_size + PKT_MAX_LEN || too_many) {
		vnet_hdr_malformed(pkt);
		return NULL;
	}
	take_front(&iov, &c.n, &h, VIRTIO_NET_HDR_SHORT);
	take_front(&iov, &c.n, NULL, q->hdr_size - VIRTIO_NET_HDR_SHORT);
	pkt->len = (uint32_t)c.len - q->hdr_size;
	copy = MIN(pkt->len, (uint32_t)PKT_HDR_MAX);
	take_front(&iov, &c.n, pkt->hdr, copy);
	pkt->hdr_len = (uint16_t)copy;
	if (c.n > PKT_MAX_PIECES) {
		vnet_hdr_malformed(pkt);
		return NULL;
	}
	for (unsigned int i = 0; i < c.n; i++)
		pkt->piece[i] = (struct pkt_piece){iov[i].iov_base, (uint32_t)iov[i].iov_len};
	pkt->n_pieces = (uint16_t)c.n;
	if (q->debts)
		take_header(q, pkt, &h);
	return NULL;
}

struct slot {
	uint16_t head;
	uint32_t len;
	const uint8_t *p; /* NULL: not one plain buffer */
};

/*
 * Reads up to @max heads into burst[] and @slot. Fewer, when the ring is broken behind them:
 * *@bad says how.
 */
static unsigned int fill(struct vring *q, struct slot *slot, unsigned int max, const char **bad)
{
	unsigned int n;

	for (n = 0; n < max; n++) {
		slot[n].head = vh_ring_head(q, (uint16_t)n);
		if (unlikely(slot[n].head >= q->num)) {
			*bad = "a head outside of the ring";
			break;
		}
	}
	for (unsigned int i = 0; i < n; i++) {
		uint64_t avail = 0;
		struct vring_desc d;

		vh_desc_load(&q->desc[slot[i].head], &d);
		slot[i].len = le32_get(d.len);
		slot[i].p = NULL;
		if (unlikely(le16_get(d.flags)) || slot[i].len < q->hdr_size + PKT_MIN_LEN ||
		    slot[i].len > PKT_MAX_LEN)
			continue;
		slot[i].p = vh_ring_ptr(q, le64_get(d.addr), slot[i].len, &avail);
		if (unlikely(avail != slot[i].len)) {
			slot[i].p = NULL;
		} else {
			/* The virtio header and the frame's begin in two lines as a rule. */
			if (q->debts)
				__builtin_prefetch(slot[i].p);
			__builtin_prefetch(slot[i].p + q->hdr_size);
		}
	}
	for (unsigned int i = 0; i < n; i++) {
		if (likely(slot[i].p != NULL)) {
			build_flat(q, &burst[i], slot[i].p, slot[i].len);
			continue;
		}
		*bad = build_chain(q, &burst[i], slot[i].head);
		if (*bad)
			return i;
	}
	return n;
}

/* ---- The ring's turn --------------------------------------------------------------------- */

static void give_back(struct vring *q, const struct slot *slot, unsigned int n)
{
	uint64_t bytes = 0;

	for (unsigned int i = 0; i < n; i++) {
		bytes += burst[i].len;
		vh_ring_put_used(q, slot[i].head, 0);
	}
	vh_ring_advance(q, (uint16_t)n);
	q->stats.packets += n;
	q->stats.bytes += bytes;
	vh_ring_publish(q);
	vh_ring_call(q);
}

bool vh_tx_turn(struct vring *q)
{
	uint32_t budget = VH_TX_BUDGET, retries = 0;
	struct pkt *pkts[VH_BURST];
	struct slot slot[VH_BURST];
	struct vhost *v = q->v;
	bool worked = false;

	while (budget && !q->tx.waiting && !q->tx.delayed) {
		int ready = vh_ring_ready(q);
		const char *bad = NULL;
		unsigned int n, sent;

		if (!ready)
			break;
		if (unlikely(ready < 0)) {
			vh_ring_broken(q, "the available index runs ahead");
			return true;
		}
		if (!worked)
			vh_ring_notify_off(q);
		worked = true;
		n = fill(q, slot, MIN(MIN((uint32_t)ready, budget), (uint32_t)VH_BURST), &bad);
		for (unsigned int i = 0; i < n; i++)
			pkts[i] = &burst[i];
		sent = 0;
		if (n) {
			burst[0].seg_done = q->tx.seg_done;
			q->tx.seg_done = 0;
			burst[0].delay = q->tx.delay;
			q->tx.delay = (struct pkt_delay){0};
			if (unlikely(q->tx.stuck))
				burst[0].flags |= PKT_NO_WAIT;
			sent = vsw_send(&v->port, pkts, n);
			q->tx.stuck = q->tx.stuck && !sent;
			if (vh_steer_wants(v))
				vh_steer_learn(v, pkts, sent, q->index / 2);
			give_back(q, slot, sent);
			budget -= sent;
		}
		if (unlikely(sent < n)) {
			q->tx.seg_done = pkts[sent]->seg_done;
			if (unlikely(!pkts[sent]->waits_for)) {
				delay(q, pkts[sent]);
				break;
			}
			if (wait_for(q, pkts[sent]->waits_for) || ++retries == TX_WAIT_RETRIES)
				break;
			continue;
		}
		if (unlikely(bad != NULL)) {
			vh_ring_broken(q, bad);
			break;
		}
	}
	return worked;
}

/*
 * A packet of which some segments have arrived must not be sent again by whoever takes the ring
 * over: the rest goes now, or never.
 */
static void finish_partial(struct vring *q)
{
	struct pkt *pkt = &burst[0];
	const char *bad = NULL;
	struct slot slot;

	if (vh_ring_ready(q) <= 0 || fill(q, &slot, 1, &bad) != 1)
		return;
	pkt->seg_done = q->tx.seg_done;
	pkt->flags |= PKT_NO_WAIT;
	vsw_send(&q->v->port, &pkt, 1);
	give_back(q, &slot, 1);
}

void vh_tx_halt(struct vring *q)
{
	vsw_wait_cancel(&q->tx.waiter);
	wait_ended(q);
	worker_timer_cancel(&q->tx.hold);
	worker_timer_cancel(&q->tx.delay_timer);
	q->tx.delayed = false;
	q->tx.delay = (struct pkt_delay){0};
	if (q->tx.seg_done && atomic_load(&q->running))
		finish_partial(q);
	q->tx.seg_done = 0;
	q->tx.stuck = false;
}
