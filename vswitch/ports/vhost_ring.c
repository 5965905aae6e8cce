/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns a ring: when it runs, where it lies, what a chain of descriptors is, and who is notified.
 *
 * Theory. What the front end says about a ring (size, addresses, index, descriptors, enabled) is
 * kept as said. vh_ring_update() compares it with what is needed to run and starts or halts the
 * ring; so messages may come in any order. A ring is started by SET_VRING_KICK, as other back
 * ends do it: a receive ring has to work before its guest ever kicks.
 *
 * A disabled ring rests. The protocol's text wants packets of a disabled transmit ring discarded;
 * we leave them where they are, since a front end that disables a ring before it asks for its
 * index would lose them in a migration.
 *
 * Rings complete in order. So everything a ring has to remember is one index, the used index says
 * the same to the front end, and a back end that takes over needs nothing else.
 *
 * Notifications. While the worker is awake it looks at rings by itself; the guest is asked to
 * notify us only when it is about to sleep (vhost.c). After asking, the ring is looked at once
 * more, with a full barrier between: the guest does the same the other way round.
 *
 * Hostile guests. Every index is masked or compared with the size, a chain ends after as many
 * descriptors as the ring has or 1024, tables do not nest, and every address is looked up. What
 * breaks these rules breaks the ring: it halts until the front end starts it again.
 */
#define LOG_TAG "vhost"
#include "vswitch/ports/vhost_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/fd.h"
#include "base/log.h"

#define POLL_NS	  (200 * NSEC_PER_USEC)
#define MAX_CHAIN 1024u /* as QEMU's VIRTQUEUE_MAX_SIZE: a walk must end soon */

static bool on_kick(struct worker_fd *wfd, uint32_t revents);
static void on_poll(struct worker_timer *t);

void vh_ring_init(struct vring *q, struct vhost *v, unsigned int index)
{
	q->v = v;
	q->index = index;
	q->kick_fd = q->call_fd = q->err_fd = -1;
	q->hot = &vh_nowhere;
	pthread_mutex_init(&q->lock, NULL);
	q->poll = (struct worker_timer){.fn = on_poll, .arg = q};
	if (!vh_is_rx(q))
		vh_tx_init(q);
}

void vh_ring_reset(struct vring *q)
{
	vh_ring_halt(q);
	worker_timer_cancel(&q->poll);
	vh_ring_set_kick(q, -1);
	free(q->redo);
	q->redo = NULL;
	q->n_redo = q->redo_at = 0;
	q->want_num = 0;
	q->addr = (struct vhost_vring_addr){0};
	q->have_addr = q->started = q->enabled = false;
	q->last_avail = 0;
	atomic_store(&q->broken, false);
}

void vh_ring_forget(struct vring *q)
{
	vh_ring_reset(q);
	fd_close(&q->call_fd);
	fd_close(&q->err_fd);
	q->inflight = NULL;
	q->inflight_max = 0;
}

void vh_ring_fini(struct vring *q)
{
	vh_ring_forget(q);
	pthread_mutex_destroy(&q->lock);
}

/* ---- Running -------------------------------------------------------------------------------- */

int vh_ring_resolve(struct vring *q)
{
	const struct vh_mem *m = q->v->mem;
	uint64_t n = q->want_num;

	q->hot = &vh_nowhere;
	/* With the event words, whether they are negotiated or not. */
	q->desc = (struct vring_desc *)vh_mem_user(m, q->addr.desc, n * sizeof(*q->desc));
	q->avail = (struct vring_avail *)vh_mem_user(m, q->addr.avail, 6 + 2 * n);
	q->used =
		(struct vring_used *)vh_mem_user(m, q->addr.used, 6 + sizeof(q->used->ring[0]) * n);
	return q->desc && q->avail && q->used ? 0 : -EFAULT;
}

static int by_counter(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/*
 * QEMU docs/interop/vhost-user.rst, "Inflight I/O tracking". Heads that are marked were taken and
 * not completed; they are done again, in the order they were taken. We mark none ourselves: what
 * we take is completed before anything else can happen to it, in order, so the used index says it
 * all. last_batch_head and used_idx belong to a completion that may have been cut short.
 */
static int take_inflight(struct vring *q)
{
	struct inflight_queue *f = q->inflight;
	struct {
		uint64_t counter;
		uint16_t head;
	} * list;
	uint16_t n = 0;

	if (f->version != INFLIGHT_VERSION || f->desc_num != q->num) {
		f->features = 0;
		f->version = INFLIGHT_VERSION;
		f->desc_num = q->num;
		f->last_batch_head = 0;
		f->used_idx = q->used_idx;
		memset(f->desc, 0, q->num * sizeof(f->desc[0]));
		return 0;
	}
	/* A batch that was published and not yet unmarked: its heads hang together by next. */
	for (uint16_t at = f->last_batch_head, i = 0, old = f->used_idx;
	     old != q->used_idx && i < q->num && at < q->num; i++, old++) {
		f->desc[at].inflight = 0;
		at = __atomic_load_n(&f->desc[at].next, __ATOMIC_RELAXED);
	}
	list = calloc(MAX(q->num, 1u), sizeof(*list));
	free(q->redo);
	q->redo = calloc(MAX(q->num, 1u), sizeof(*q->redo));
	if (!list || !q->redo) {
		free(list);
		return -ENOMEM;
	}
	for (uint16_t i = 0; i < q->num; i++) {
		if (!f->desc[i].inflight)
			continue;
		list[n].counter = f->desc[i].counter;
		list[n++].head = i;
		f->desc[i].inflight = 0;
	}
	qsort(list, n, sizeof(*list), by_counter);
	for (uint16_t i = 0; i < n; i++)
		q->redo[i] = list[i].head;
	free(list);
	q->n_redo = n;
	q->redo_at = 0;
	/* They are counted as taken already; see vh_ring_ready(). */
	q->last_avail = q->used_idx;
	f->used_idx = q->used_idx;
	return 0;
}

static void start(struct vring *q)
{
	struct vhost *v = q->v;
	bool ok;

	pthread_mutex_lock(&q->lock);
	ok = !vh_ring_resolve(q);
	if (ok) {
		q->num = (uint16_t)q->want_num;
		q->mask = (uint16_t)(q->num - 1);
		q->event_idx = vh_has(v, VIRTIO_RING_F_EVENT_IDX);
		q->indirect = vh_has(v, VIRTIO_RING_F_INDIRECT_DESC);
		q->debts = vh_has(v, VIRTIO_NET_F_CSUM);
		q->logs = vh_has(v, VHOST_F_LOG_ALL);
		q->log_used = q->addr.flags & VHOST_VRING_F_LOG;
		q->log_addr = q->addr.log;
		q->hdr_size = vh_has(v, VIRTIO_F_VERSION_1) || vh_has(v, VIRTIO_NET_F_MRG_RXBUF)
				      ? sizeof(struct virtio_net_hdr)
				      : VIRTIO_NET_HDR_SHORT;
		q->used_idx = le16toh(__atomic_load_n(&q->used->idx, __ATOMIC_RELAXED));
		if (q->inflight && q->num <= q->inflight_max && take_inflight(q))
			log_err_rl("%s: no memory for what is in flight", v->name);
		q->published = q->signalled = q->used_idx;
		q->owed = q->used_idx != 0;
		atomic_store(&q->starved, false);
		q->notify_on = true;
		vh_ring_notify_off(q);
		atomic_store(&q->running, true);
	}
	pthread_mutex_unlock(&q->lock);
	if (!ok) {
		vh_ring_broken(q, "its addresses are not in the memory table");
		return;
	}
	/* Whatever waits already: look. */
	if (vh_is_rx(q))
		vsw_port_wake(&v->port);
	else
		v->hot |= VH_BIT(q->index / 2);
	/* The guest may wait for an interrupt that a former back end owed it. */
	if (q->call_fd >= 0 && q->used_idx)
		fd_event_signal(q->call_fd);
	if (q->kick_fd < 0)
		worker_timer_arm(v->worker, &q->poll, now_ns() + POLL_NS);
}

void vh_ring_halt(struct vring *q)
{
	struct vhost *v = q->v;

	if (!vh_is_rx(q)) {
		vh_tx_halt(q);
		v->hot &= ~VH_BIT(q->index / 2);
		atomic_store(&q->running, false);
		return;
	}
	pthread_mutex_lock(&q->lock);
	atomic_store(&q->running, false);
	atomic_store(&q->starved, false);
	v->starved &= ~VH_BIT(q->index / 2);
	pthread_mutex_unlock(&q->lock);
}

void vh_ring_update(struct vring *q)
{
	bool want = q->v->have_features && q->started && q->enabled && q->have_addr &&
		    q->want_num && q->v->mem && !atomic_load(&q->broken);

	if (want == atomic_load(&q->running))
		return;
	if (want)
		start(q);
	else
		vh_ring_halt(q);
}

static void halt_broken(void *arg)
{
	struct vring *q = arg;

	if (!atomic_load(&q->broken))
		return; /* started anew meanwhile */
	vh_ring_halt(q);
	if (q->err_fd >= 0)
		fd_event_signal(q->err_fd);
	vh_refresh(q->v);
}

void vh_ring_broken(struct vring *q, const char *what)
{
	if (atomic_exchange(&q->broken, true))
		return;
	atomic_store(&q->running, false);
	vh_guest_error(q->v, "%s ring %u: %s", vh_is_rx(q) ? "receive" : "transmit", q->index / 2,
		       what);
	while (worker_post(q->v->worker, halt_broken, q))
		; /* out of memory: it must halt all the same */
}

/* ---- Chains ---------------------------------------------------------------------------------- */

uint8_t *vh_ring_find(struct vring *q, uint64_t addr, uint64_t len, uint64_t *avail)
{
	const struct vh_mem *m = q->v->mem;

	for (unsigned int i = 0; i < m->n; i++) {
		const struct vh_region *r = &m->region[i];

		if (addr - r->gpa < r->size) {
			q->hot = r;
			*avail = MIN(len, r->size - (addr - r->gpa));
			return r->ptr + (addr - r->gpa);
		}
	}
	return NULL;
}

static const char *add_buffer(struct vring *q, const struct vring_desc *d, bool write,
			      struct vh_chain *c, bool *too_many)
{
	uint64_t addr = le64_get(d->addr);
	uint32_t len = le32_get(d->len);

	if (!(le16_get(d->flags) & VRING_DESC_F_WRITE) != !write)
		return "a buffer of the wrong direction";
	/* Nothing to read there is odd; nothing to write there makes a chain that never ends. */
	if (write && !len)
		return "an empty receive buffer";
	c->len += len;
	while (len) {
		uint64_t avail = 0;
		uint8_t *p = vh_ring_ptr(q, addr, len, &avail);
		const struct iovec *last;

		if (!p)
			return "a buffer outside of memory";
		last = &c->iov[c->n ? c->n - 1 : 0];
		if (c->n && !c->gpa && (uint8_t *)last->iov_base + last->iov_len == p) {
			c->iov[c->n - 1].iov_len += avail;
		} else if (c->n == c->max) {
			*too_many = true;
		} else {
			if (c->gpa)
				c->gpa[c->n] = addr;
			c->iov[c->n++] = (struct iovec){p, avail};
		}
		addr += avail;
		len -= (uint32_t)avail;
	}
	return NULL;
}

/* The entries of an indirect table, which may lie across regions: each is read by itself. */
static const char *add_table(struct vring *q, const struct vring_desc *t, bool write,
			     struct vh_chain *c, bool *too_many)
{
	uint64_t base = le64_get(t->addr);
	uint32_t len = le32_get(t->len), n = len / sizeof(*t), at = 0;

	if (!q->indirect)
		return "an indirect table that was not negotiated";
	if (le16_get(t->flags) & VRING_DESC_F_NEXT)
		return "an indirect table with a next";
	if (!n || len % sizeof(*t))
		return "an indirect table of a wrong size";
	for (uint32_t i = 0; i < MIN(q->num, MAX_CHAIN); i++) {
		uint64_t addr = base + (uint64_t)at * sizeof(*t), avail = 0;
		struct vring_desc d;
		const char *bad;
		uint8_t *p;

		p = vh_ring_ptr(q, addr, sizeof(d), &avail);
		if (!p)
			return "an indirect table outside of memory";
		if (likely(avail == sizeof(d))) {
			vh_desc_load((const struct vring_desc *)p, &d);
		} else {
			uint64_t rest = 0;
			uint8_t *p2 = vh_ring_ptr(q, addr + avail, sizeof(d) - avail, &rest);

			if (!p2 || rest != sizeof(d) - avail)
				return "an indirect table outside of memory";
			memcpy(&d, p, avail);
			memcpy((uint8_t *)&d + avail, p2, rest);
		}
		if (le16_get(d.flags) & VRING_DESC_F_INDIRECT)
			return "an indirect table in an indirect table";
		bad = add_buffer(q, &d, write, c, too_many);
		if (bad)
			return bad;
		if (!(le16_get(d.flags) & VRING_DESC_F_NEXT))
			return NULL;
		at = le16_get(d.next);
		if (at >= n)
			return "a next outside of the indirect table";
	}
	return "a chain that is too long";
}

const char *vh_ring_chain(struct vring *q, uint16_t head, bool write, struct vh_chain *c,
			  bool *too_many)
{
	for (unsigned int i = 0; i < MIN(q->num, MAX_CHAIN); i++) {
		struct vring_desc d;
		const char *bad;

		if (head >= q->num)
			return i ? "a next outside of the ring" : "a head outside of the ring";
		vh_desc_load(&q->desc[head], &d);
		if (unlikely(le16_get(d.flags) & VRING_DESC_F_INDIRECT))
			return i ? "an indirect table behind another buffer"
				 : add_table(q, &d, write, c, too_many);
		bad = add_buffer(q, &d, write, c, too_many);
		if (bad)
			return bad;
		if (!(le16_get(d.flags) & VRING_DESC_F_NEXT))
			return NULL;
		head = le16_get(d.next);
	}
	return "a chain that is too long";
}

/* ---- Used ring and notifications ---------------------------------------------------------- */

/* Used entries [from, to) by free-running index, as the log sees them. */
static void log_used(struct vring *q, uint16_t from, uint16_t to)
{
	uint64_t ring = q->log_addr + offsetof(struct vring_used, ring);
	uint32_t n = MIN((uint16_t)(to - from), q->num), at = (uint16_t)(to - n) & q->mask;
	uint32_t first = MIN(n, q->num - at);

	vh_log_range(q->v, ring + at * sizeof(struct vring_used_elem),
		     first * sizeof(struct vring_used_elem));
	vh_log_range(q->v, ring, (n - first) * sizeof(struct vring_used_elem));
	vh_log_range(q->v, q->log_addr, 4);
}

void vh_ring_publish(struct vring *q)
{
	uint16_t old = q->published;

	if (q->used_idx == old)
		return;
	/* Pairs with the driver's read barrier between the index and the entries. */
	__atomic_store_n(&q->used->idx, htole16(q->used_idx), __ATOMIC_RELEASE);
	q->published = q->used_idx;
	if (unlikely(q->logs && q->log_used))
		log_used(q, old, q->used_idx);
	if (unlikely(q->inflight != NULL && q->num <= q->inflight_max))
		q->inflight->used_idx = q->used_idx;
}

void vh_ring_call(struct vring *q)
{
	uint16_t old = q->signalled, want;

	if (q->used_idx == old || q->call_fd < 0) {
		q->signalled = q->used_idx;
		return;
	}
	/* The index is visible before we look whether the guest wants to hear of it. */
	__sync_synchronize();
	q->signalled = q->used_idx;
	if (q->owed) {
		q->owed = false;
	} else if (q->event_idx) {
		want = le16toh(__atomic_load_n(&q->avail->ring[q->num], __ATOMIC_RELAXED));
		/* Has the index passed the entry that the guest named? */
		if ((uint16_t)(q->used_idx - want - 1) >= (uint16_t)(q->used_idx - old))
			return;
	} else if (le16toh(__atomic_load_n(&q->avail->flags, __ATOMIC_RELAXED)) &
		   VRING_AVAIL_F_NO_INTERRUPT) {
		return;
	}
	q->stats.calls++;
	fd_event_signal(q->call_fd);
}

static void set_flags(struct vring *q, uint16_t flags)
{
	__atomic_store_n(&q->used->flags, htole16(flags), __ATOMIC_RELAXED);
	if (unlikely(q->logs && q->log_used))
		vh_log_range(q->v, q->log_addr, 2);
}

static void set_event(struct vring *q, uint16_t idx)
{
	/* Behind the last entry of the ring: 4-byte aligned. */
	uint16_t *event = (uint16_t *)&q->used->ring[q->num];

	__atomic_store_n(event, htole16(idx), __ATOMIC_RELAXED);
	if (unlikely(q->logs && q->log_used))
		vh_log_range(q->v,
			     q->log_addr + offsetof(struct vring_used, ring) +
				     q->num * sizeof(struct vring_used_elem),
			     2);
}

void vh_ring_notify_on(struct vring *q, uint16_t seen)
{
	q->notify_on = true;
	if (q->event_idx)
		set_event(q, seen);
	else
		set_flags(q, 0);
	__sync_synchronize();
}

void vh_ring_notify_off(struct vring *q)
{
	if (!q->notify_on)
		return;
	q->notify_on = false;
	/* With event indexes an event that has passed is one that does not come. */
	if (!q->event_idx)
		set_flags(q, VRING_USED_F_NO_NOTIFY);
}

static bool kicked(struct vring *q)
{
	struct vhost *v = q->v;

	if (!atomic_load(&q->running))
		return false;
	if (!vh_is_rx(q)) {
		if (!q->tx.waiting && !q->tx.delayed)
			v->hot |= VH_BIT(q->index / 2);
		return true;
	}
	pthread_mutex_lock(&q->lock);
	vh_ring_notify_off(q);
	pthread_mutex_unlock(&q->lock);
	vsw_port_wake(&v->port);
	return true;
}

static bool on_kick(struct worker_fd *wfd, uint32_t revents)
{
	struct vring *q = wfd->arg;

	(void)revents;
	fd_event_drain(q->kick_fd);
	q->stats.kicks++;
	return kicked(q);
}

static void on_poll(struct worker_timer *t)
{
	struct vring *q = t->arg;

	if (!atomic_load(&q->running))
		return;
	kicked(q);
	worker_timer_arm(q->v->worker, &q->poll, now_ns() + POLL_NS);
}

int vh_ring_set_kick(struct vring *q, int fd)
{
	worker_fd_del(&q->kick);
	fd_close(&q->kick_fd);
	q->kick_fd = fd;
	if (fd < 0)
		return 0;
	q->kick = (struct worker_fd){.fd = fd, .events = EPOLLIN, .fn = on_kick, .arg = q};
	return worker_fd_add(q->v->worker, &q->kick);
}
