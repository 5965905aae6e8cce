/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns receive: from the switch's packets to the guest's buffers.
 *
 * Theory. vh_deliver() runs on the sender's worker, whichever that is. It steers each packet, takes
 * that ring's lock and keeps it as long as packets go to the same ring. Before the first copy the
 * buffers that the run will need are looked up and asked for (struct plan), so that the misses
 * overlap. A frame that owes nothing and fits the next buffer is stored at once. Everything else
 * goes through the settlement (vswitch/offload.h) and, with mergeable buffers, over as many
 * buffers as it takes. Before the lock is let go the used index is published and the guest
 * interrupted, at most once.
 *
 * What nobody vouches for is not summed here: the guest is told nothing of it (no DATA_VALID) and
 * verifies for itself, as behind a NIC that cannot.
 *
 * No buffers: the packet stays with its sender, who waits for vsw_port_wake(). The ring is marked
 * starved, and watched: by the worker while it is awake, by a notification while it sleeps.
 * Otherwise a guest that posts receive buffers need not tell anybody. A packet that would not fit
 * even if the guest gave all it can is dropped: nobody can wait for that.
 */
#include "vswitch/ports/vhost_internal.h"

#include <string.h>

#include "base/copy.h"
#include "vswitch/offload.h"

#define RX_MAX_IOV     512 /* pieces of one frame */
#define RX_STEER_TRIES 4

/* The buffer of a head, looked up before it is needed. */
struct plan_entry {
	uint8_t *p; /* NULL: not one plain buffer; goes the long way */
	uint64_t gpa;
	uint32_t len;
	uint16_t head;
};

struct rx_run {
	struct vhost *v;
	struct vring *q; /* locked, or NULL */
	uint32_t caps, mtu;
	uint16_t avail;		  /* heads that may be used, from last_avail on */
	uint16_t plan_at, plan_n; /* plan[plan_at] is last_avail's */
	uint64_t packets, bytes;
	struct plan_entry plan[VH_BURST];
};

enum rx_result { RX_DONE, RX_NO_BUFFER, RX_STOPPED };

static _Thread_local struct {
	struct iovec iov[RX_MAX_IOV];
	uint64_t gpa[RX_MAX_IOV];
	uint32_t len[RX_MAX_IOV]; /* of the chain of each head */
} room;

/* ---- Buffers --------------------------------------------------------------------------------- */

/* False: the ring is broken. */
static bool look(struct rx_run *run)
{
	int ready = vh_ring_ready(run->q);

	if (unlikely(ready < 0)) {
		vh_ring_broken(run->q, "the available index runs ahead");
		return false;
	}
	run->avail = (uint16_t)ready;
	return true;
}

/* Looks up the next @want buffers and asks for their memory. */
static void plan(struct rx_run *run, unsigned int want)
{
	struct vring *q = run->q;
	unsigned int n = MIN(MIN(want, (unsigned int)run->avail), (unsigned int)VH_BURST);

	run->plan_at = 0;
	run->plan_n = (uint16_t)n;
	for (unsigned int i = 0; i < n; i++)
		run->plan[i].head = vh_ring_head(q, (uint16_t)i);
	for (unsigned int i = 0; i < n; i++) {
		struct plan_entry *e = &run->plan[i];
		uint64_t avail = 0;
		struct vring_desc d;

		e->p = NULL;
		if (unlikely(e->head >= q->num))
			continue;
		vh_desc_load(&q->desc[e->head], &d);
		e->len = le32_get(d.len);
		if (unlikely(le16_get(d.flags) != VRING_DESC_F_WRITE || e->len < q->hdr_size))
			continue;
		e->gpa = le64_get(d.addr);
		e->p = vh_ring_ptr(q, e->gpa, e->len, &avail);
		if (unlikely(avail != e->len)) {
			e->p = NULL;
			continue;
		}
		prefetch_write(e->p);
		prefetch_write(e->p + 64);
	}
}

static inline void used(struct rx_run *run, uint16_t head, uint32_t len)
{
	vh_ring_put_used(run->q, head, len);
	run->avail--;
	if (run->plan_at < run->plan_n)
		run->plan_at++;
}

/* ---- Storing --------------------------------------------------------------------------------- */

static inline void copy_flat(uint8_t *to, const struct pkt *pkt)
{
	copy_short(to, pkt->hdr, pkt->hdr_len);
	to += pkt->hdr_len;
	for (unsigned int i = 0; i < pkt->n_pieces; i++) {
		memcpy(to, pkt->piece[i].ptr, pkt->piece[i].len);
		to += pkt->piece[i].len;
	}
}

/*
 * The header of a frame in one buffer, from registers: one made in memory field by field would be
 * read back in one piece, which waits for all stores before it, the last frame's among them.
 */
static inline void put_plain_header(uint8_t *to, uint8_t flags, uint32_t size)
{
	const uint64_t front = htole64(flags);
	const uint32_t back = htole32(1u << 16); /* no csum_offset, num_buffers 1 */

	memcpy(to, &front, 8);
	if (likely(size == sizeof(struct virtio_net_hdr)))
		memcpy(to + 8, &back, 4);
	else
		memset(to + 8, 0, VIRTIO_NET_HDR_SHORT - 8);
}

/* A packet without debts into the next buffer. False: it takes the long way. */
static inline bool store_plain(struct rx_run *run, const struct pkt *pkt)
{
	struct vring *q = run->q;
	const struct plan_entry *e = &run->plan[run->plan_at];
	uint32_t len = pkt->len + q->hdr_size;
	bool good;

	if (unlikely(pkt->flags & ~(PKT_IP_GOOD | PKT_L4_GOOD | PKT_NO_WAIT)))
		return false;
	if (unlikely(run->plan_at >= run->plan_n || !e->p || e->len < len))
		return false;
	if (unlikely(run->mtu && pkt->len - (pkt->l3 ? pkt->l3_off : pkt->payload_off) > run->mtu))
		return false;
	good = pkt->flags & PKT_L4_GOOD && run->caps & VSW_CAP_CSUM;
	put_plain_header(e->p, good ? VIRTIO_NET_HDR_F_DATA_VALID : 0, q->hdr_size);
	copy_flat(e->p + q->hdr_size, pkt);
	if (unlikely(q->logs))
		vh_log_range(run->v, e->gpa, len);
	used(run, e->head, len);
	vh_ring_advance(q, 1);
	q->stats.packets++;
	q->stats.bytes += pkt->len;
	run->packets++;
	run->bytes += pkt->len;
	return true;
}

static void make_header(const struct vhost *v, struct virtio_net_hdr *h, const struct vsw_frame *f,
			uint32_t facts)
{
	vnet_hdr_make(h, f, vh_has(v, VIRTIO_NET_F_GUEST_CSUM) ? facts : 0);
	if (!vh_has(v, VIRTIO_NET_F_GUEST_ECN))
		h->gso_type &= (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;
}

/*
 * Gathers buffers for @need bytes into room: count of heads in *@n_heads. RX_DONE also when the
 * frame cannot be stored at all, *@n_heads is 0 then.
 */
static enum rx_result gather(struct rx_run *run, uint64_t need, struct vh_chain *c,
			     unsigned int *n_heads)
{
	struct vring *q = run->q;
	bool merge = vh_has(run->v, VIRTIO_NET_F_MRG_RXBUF);
	unsigned int n = 0;

	*n_heads = 0;
	while (c->len < need) {
		uint64_t before = c->len;
		bool too_many = false;
		const char *bad;

		if (n && !merge)
			return RX_DONE;
		/* All that the ring can hold, or we, is not enough: no use in waiting. */
		if (n == q->num || n == RX_MAX_IOV)
			return RX_DONE;
		if (n >= run->avail) {
			if (!look(run))
				return RX_STOPPED;
			if (n >= run->avail)
				return RX_NO_BUFFER;
		}
		bad = vh_ring_chain(q, vh_ring_head(q, (uint16_t)n), true, c, &too_many);
		if (unlikely(bad != NULL)) {
			vh_ring_broken(q, bad);
			return RX_STOPPED;
		}
		if (too_many && c->len < need)
			return RX_DONE;
		room.len[n++] = (uint32_t)MIN(c->len - before, UINT32_MAX);
		if (too_many)
			break;
	}
	/* The pieces that were kept must hold the frame. */
	{
		uint64_t have = 0;

		for (unsigned int i = 0; i < c->n; i++)
			have += c->iov[i].iov_len;
		if (have < need)
			return RX_DONE;
	}
	*n_heads = n;
	return RX_DONE;
}

static void put_header(struct vh_chain *c, const struct virtio_net_hdr *h, uint32_t size)
{
	const uint8_t *from = (const uint8_t *)h;

	for (unsigned int i = 0; size; i++) {
		uint32_t n = (uint32_t)MIN(size, c->iov[i].iov_len);

		memcpy(c->iov[i].iov_base, from, n);
		from += n;
		size -= n;
	}
}

/* The piece that holds byte @skip, and how far into it that is. */
static unsigned int behind(const struct vh_chain *c, uint32_t *skip)
{
	unsigned int i = 0;

	while (i + 1 < c->n && *skip >= c->iov[i].iov_len)
		*skip -= (uint32_t)c->iov[i++].iov_len;
	return i;
}

static void log_pieces(const struct rx_run *run, const struct vh_chain *c, uint64_t len)
{
	for (unsigned int i = 0; i < c->n && len; i++) {
		uint64_t n = MIN(len, c->iov[i].iov_len);

		vh_log_range(run->v, c->gpa[i], n);
		len -= n;
	}
}

static enum rx_result store_frame(struct rx_run *run, struct vsw_frame *f)
{
	struct vring *q = run->q;
	struct vh_chain c = {.iov = room.iov, .gpa = room.gpa, .max = RX_MAX_IOV};
	uint32_t need = f->len + q->hdr_size, left = need, facts;
	uint32_t skip = q->hdr_size;
	struct virtio_net_hdr h;
	struct iovec whole;
	unsigned int heads, at;
	enum rx_result rc = gather(run, need, &c, &heads);

	if (unlikely(rc != RX_DONE))
		return rc;
	if (unlikely(!heads)) {
		vsw_port_drop_frame(&run->v->port, f, VSW_DROP_TOO_BIG);
		return RX_DONE;
	}
	/* Told nothing, the guest verifies by itself. */
	f->sum_verify = false;
	/* The frame lies behind the header, which is known last. */
	at = behind(&c, &skip);
	whole = c.iov[at];
	c.iov[at] = (struct iovec){(uint8_t *)whole.iov_base + skip, whole.iov_len - skip};
	facts = vsw_frame_copy(f, c.iov + at, c.n - at);
	c.iov[at] = whole;
	make_header(run->v, &h, f, facts);
	h.num_buffers = le16_make((uint16_t)heads);
	put_header(&c, &h, q->hdr_size);
	if (unlikely(q->logs))
		log_pieces(run, &c, need);
	for (unsigned int i = 0; i < heads; i++) {
		uint32_t n = MIN(left, room.len[i]);

		used(run, vh_ring_head(q, (uint16_t)i), n);
		left -= n;
	}
	vh_ring_advance(q, (uint16_t)heads);
	q->stats.packets++;
	q->stats.bytes += f->len;
	q->stats.gso += !!(f->flags & PKT_GSO);
	run->packets++;
	run->bytes += f->len;
	return RX_DONE;
}

static enum rx_result store_settled(struct rx_run *run, struct pkt *pkt)
{
	struct vsw_port *port = &run->v->port;
	struct vsw_settle s;
	struct vsw_frame f;
	enum vsw_drop why = vsw_settle_begin(&s, pkt, run->caps, run->mtu);

	if (unlikely(why != VSW_DROP_NONE)) {
		vsw_port_drop(port, pkt, why);
		return RX_DONE;
	}
	while (vsw_settle_next(&s, &f)) {
		enum rx_result rc = store_frame(run, &f);

		if (unlikely(rc != RX_DONE)) {
			vsw_settle_stop(&s);
			return rc;
		}
	}
	return RX_DONE;
}

/* ---- The door ----------------------------------------------------------------------------- */

/* The ring has too few buffers: see to it that somebody hears of more. Under its lock. */
static bool starve(struct rx_run *run)
{
	struct vhost *v = run->v;
	struct vring *q = run->q;
	uint16_t seen = (uint16_t)(q->last_avail + run->avail);

	if (worker_is_self(v->worker)) {
		atomic_store_explicit(&q->starved_at, seen, memory_order_relaxed);
		atomic_store_explicit(&q->starved, true, memory_order_relaxed);
		v->starved |= VH_BIT(q->index / 2);
		return true;
	}
	/* The owner may be asleep. */
	vh_ring_notify_on(q, seen);
	if (le16toh(__atomic_load_n(&q->avail->idx, __ATOMIC_ACQUIRE)) == seen)
		return true;
	vh_ring_notify_off(q);
	return false;
}

static void run_end(struct rx_run *run)
{
	struct vring *q = run->q;

	if (!q)
		return;
	if (likely(atomic_load_explicit(&q->running, memory_order_relaxed))) {
		vh_ring_publish(q);
		vh_ring_call(q);
	}
	pthread_mutex_unlock(&q->lock);
	run->q = NULL;
}

/* Takes the lock of the ring for @pkt. False: no ring runs. */
static bool run_begin(struct rx_run *run, const struct pkt *pkt, unsigned int left)
{
	struct vhost *v = run->v;

	for (unsigned int i = 0; i < RX_STEER_TRIES; i++) {
		unsigned int pair = 0;
		struct vring *q;

		if (!atomic_load_explicit(&v->steer.n, memory_order_acquire))
			return false;
		if (vh_steer_wants(v))
			pair = vh_steer_pick(v, pkt);
		else
			pair = atomic_load_explicit(&v->steer.map[0], memory_order_relaxed);
		q = vh_rx_ring(v, pair);
		if (run->q == q)
			return true;
		run_end(run);
		pthread_mutex_lock(&q->lock);
		if (likely(atomic_load_explicit(&q->running, memory_order_relaxed))) {
			run->q = q;
			run->plan_at = run->plan_n = 0;
			if (unlikely(!look(run))) {
				pthread_mutex_unlock(&q->lock);
				run->q = NULL;
				continue;
			}
			plan(run, left);
			return true;
		}
		pthread_mutex_unlock(&q->lock);
	}
	return false;
}

static unsigned int vh_deliver(struct vsw_port *port, struct pkt **pkts, unsigned int n)
{
	struct vhost *v = port_to_vhost(port);
	struct rx_run run;
	uint32_t wish = atomic_load_explicit(&v->rx_mtu, memory_order_relaxed);
	unsigned int i;

	run.v = v;
	run.q = NULL;
	run.packets = run.bytes = 0;
	run.caps = atomic_load_explicit(&port->caps, memory_order_relaxed);
	run.mtu = vsw_port_mtu(port);
	if (wish && (!run.mtu || wish < run.mtu))
		run.mtu = wish;
	for (i = 0; i < n; i++) {
		enum rx_result rc;

		if (i + 1 < n)
			__builtin_prefetch(pkts[i + 1]->hdr);
		if (unlikely(!run_begin(&run, pkts[i], n - i)))
			break;
		if (unlikely(run.plan_at == run.plan_n)) {
			if (!run.avail && !look(&run))
				break;
			plan(&run, n - i);
		}
		if (likely(store_plain(&run, pkts[i])))
			continue;
	again:
		rc = store_settled(&run, pkts[i]);
		if (likely(rc == RX_DONE))
			continue;
		if (rc == RX_NO_BUFFER) {
			run.q->stats.no_buffer++;
			/* What has been stored is shown before anybody waits: it may be all. */
			vh_ring_publish(run.q);
			if (!starve(&run) && look(&run))
				goto again;
		}
		break;
	}
	run_end(&run);
	if (run.packets)
		vsw_port_received(port, run.packets, run.bytes);
	return i;
}

/*
 * With event indices a driver that has taken out everything and waits for more asks to be told of
 * the next entry: used_event is our used index then (Linux drivers/virtio/virtio_ring.c,
 * virtqueue_enable_cb_prepare()). Without them it cannot be known.
 */
static bool emptied(struct vring *q)
{
	bool yes = true;

	pthread_mutex_lock(&q->lock);
	if (atomic_load(&q->running) && q->event_idx)
		yes = le16toh(__atomic_load_n(&q->avail->ring[q->num], __ATOMIC_ACQUIRE)) ==
		      q->published;
	pthread_mutex_unlock(&q->lock);
	return yes;
}

static bool vh_emptied(struct vsw_port *port)
{
	struct vhost *v = port_to_vhost(port);

	for (unsigned int i = 0; i < v->n_rings; i += 2)
		if (!emptied(&v->ring[i]))
			return false;
	return true;
}

const struct vsw_port_ops vhost_port_ops = {.deliver = vh_deliver, .emptied = vh_emptied};
