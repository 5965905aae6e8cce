/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns what ports of kernel interfaces have in common.
 *
 * From the kernel: a batch of packets at a time, on the worker. A packet that has to wait for its
 * receiver stays where it is, those behind it too, and nothing more is read; after HOLD_MS it is
 * offered as one that does not wait. What the kernel has queued meanwhile is the kernel's to drop.
 *
 * To the kernel: any worker, under the port's lock, frames of a delivery collected and written in
 * batches. A short frame, or one that we sum, is put together in a stage of ours; of a large one
 * only the headers are, the kernel reads the payload where the sender has it, and so it is copied
 * once instead of twice. When the kernel has no room for more the delivery ends there, and its
 * sender waits as for a guest's buffers; the descriptor becomes writable, and senders are woken.
 */
#include "vswitch/ports/kport.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/util.h"

#define BUDGET	 64 /* packets per turn */
#define HOLD_MS	 20
#define RETRIES	 4
#define COPY_MAX 2048 /* up to this many bytes a copy is cheaper than pieces */

/* ---- from the kernel ---- */

void kport_take(struct kport *k, unsigned int i, const struct virtio_net_hdr *h, uint8_t *frame,
		uint32_t len, uint32_t flags, int tci)
{
	const uint32_t all = VSW_CAP_TSO4 | VSW_CAP_TSO6 | VSW_CAP_USO;
	struct iovec iov = {frame, len};
	struct pkt *pkt = &k->in[i];

	if (len < PKT_MIN_LEN) {
		/* The kernel has none so short, but what is counted must be a packet. */
		memset(frame + len, 0, PKT_MIN_LEN - len);
		iov.iov_len = PKT_MIN_LEN;
	}
	if (pkt_from_iov(pkt, &iov, 1) || len < PKT_MIN_LEN) {
		vnet_hdr_malformed(pkt);
		return;
	}
	if (tci >= 0) {
		pkt->flags |= PKT_VLAN;
		pkt->vlan_tci = (uint16_t)tci;
	}
	if (h->flags & VIRTIO_NET_HDR_F_DATA_VALID && !(flags & KPORT_NO_CSUM) &&
	    !(h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
		pkt->flags |= PKT_L4_GOOD;
	if (!vnet_hdr_take(pkt, h, all))
		vnet_hdr_malformed(pkt);
}

static void sent(struct kport *k, unsigned int n)
{
	k->first += n;
	if (n && k->ops->release)
		k->ops->release(k, n);
}

/* Offers what was read. False: a packet waits. */
static bool offer(struct kport *k)
{
	struct pkt *p[KPORT_BATCH];
	unsigned int tries = 0, n;

	for (unsigned int i = k->first; i < k->n_in; i++) {
		p[i] = &k->in[i];
		if (k->stuck)
			p[i]->flags |= PKT_NO_WAIT;
	}
	while (k->first < k->n_in) {
		n = vsw_send(&k->port, p + k->first, k->n_in - k->first);
		sent(k, n);
		if (k->first == k->n_in)
			break;
		tries = n ? 0 : tries + 1;
		if (tries > RETRIES) {
			p[k->first]->flags |= PKT_NO_WAIT;
		} else if (vsw_wait(&k->waiter, p[k->first]->waits_for)) {
			k->waiting = true;
			worker_timer_arm(k->worker, &k->hold, now_ns() + HOLD_MS * NSEC_PER_MSEC);
			return false;
		}
	}
	k->first = k->n_in = 0;
	return true;
}

static void set_events(struct kport *k)
{
	if (!k->gone)
		worker_fd_set_events(&k->wfd,
				     (k->waiting ? 0u : (uint32_t)EPOLLIN) |
					     (atomic_load(&k->full) ? (uint32_t)EPOLLOUT : 0u));
}

static bool on_ready(struct worker_fd *wfd, uint32_t revents)
{
	struct kport *k = wfd->arg;
	bool worked = false;

	if (revents & EPOLLERR && k->ops->error)
		k->ops->error(k);
	if (revents & (EPOLLOUT | EPOLLERR | EPOLLHUP) && atomic_exchange(&k->full, false)) {
		set_events(k);
		vsw_port_wake(&k->port);
	}
	for (unsigned int done = 0; done < BUDGET && !k->waiting && !k->gone; done += k->n_in) {
		k->n_in = k->ops->read(k);
		if (!k->n_in)
			break;
		worked = true;
		if (!offer(k))
			set_events(k);
	}
	return worked;
}

static void go_on(struct kport *k)
{
	worker_timer_cancel(&k->hold);
	k->waiting = false;
	offer(k);
	set_events(k);
}

static void woken(struct vsw_waiter *w)
{
	struct kport *k = w->arg;

	k->stuck = false;
	go_on(k);
}

/* It took too long. The waiter stays: until it is woken this port waits for nobody. */
static void hold_over(struct worker_timer *timer)
{
	struct kport *k = timer->arg;

	k->stuck = true;
	go_on(k);
}

void kport_gone(struct kport *k)
{
	k->gone = true;
	worker_fd_del(&k->wfd);
}

/* ---- to the kernel ---- */

/* Puts a settled frame together: what write() sends. */
static enum vsw_drop put_frame(struct kport_out *o)
{
	const uint32_t hdr = VIRTIO_NET_HDR_SHORT;
	struct iovec room = {o->stage + hdr, sizeof(o->stage) - hdr};
	struct vsw_frame *f = &o->f;
	struct virtio_net_hdr h;
	uint32_t facts = 0;
	int n = 0;

	if (f->len > KPORT_MAX_FRAME)
		return VSW_DROP_TOO_BIG;
	f->sum_verify = false;
	if (f->len > COPY_MAX && !f->sum_owed)
		n = vsw_frame_payload(f, o->iov + 1, ARRAY_SIZE(o->iov) - 1);
	if (n > 0) {
		memcpy(o->stage + hdr, f->hdr, f->hdr_len);
		facts = f->flags & PKT_L4_GOOD;
		o->iov[0].iov_len = hdr + f->hdr_len;
	} else if (f->len > room.iov_len) {
		return VSW_DROP_TOO_BIG;
	} else {
		facts = vsw_frame_copy(f, &room, 1);
		o->iov[0].iov_len = hdr + f->len;
		n = 0;
	}
	vnet_hdr_make(&h, f, facts);
	memcpy(o->stage, &h, hdr);
	o->iov[0].iov_base = o->stage;
	o->n_iov = 1 + (unsigned int)n;
	return VSW_DROP_NONE;
}

static enum vsw_drop why_not(int error)
{
	switch (error) {
	case ENOMEM:
	case ENOBUFS:
		return VSW_DROP_NO_BUFFER;
	case EMSGSIZE:
		return VSW_DROP_TOO_BIG;
	case EINVAL:
	case EFAULT:
		return VSW_DROP_RX_ERROR;
	default:
		return VSW_DROP_LINK_DOWN;
	}
}

static void look_for_room(void *arg)
{
	set_events(arg);
}

struct tally {
	uint64_t packets, bytes;
};

/*
 * Writes what was put together. False: the kernel has no room, k->out[*@stopped] is the first that
 * was not written.
 */
static bool flush(struct kport *k, struct tally *t, unsigned int *stopped)
{
	unsigned int at = 0;

	while (at < k->n_out) {
		int error = 0;
		unsigned int n = k->ops->write(k, at, &error);

		for (; n; n--, at++) {
			t->packets++;
			t->bytes += k->out[at].f.len;
		}
		if (at == k->n_out)
			break;
		if (error == EAGAIN) {
			*stopped = at;
			k->n_out = 0;
			if (!atomic_exchange(&k->full, true) &&
			    worker_post(k->worker, look_for_room, k))
				atomic_store(&k->full, false); /* the next one tries again */
			return false;
		}
		vsw_port_drop_frame(&k->port, &k->out[at].f, why_not(error));
		at++;
	}
	k->n_out = 0;
	return true;
}

static uint32_t mtu_of(struct kport *k)
{
	uint32_t net = vsw_port_mtu(&k->port), own = atomic_load(&k->mtu);

	return !own ? net : !net ? own : MIN(own, net);
}

/* Collects the frames of @pkt. False: no room, *@stopped is the one to go on with. */
static bool put_packet(struct kport *k, struct pkt *pkt, unsigned int i, uint32_t mtu,
		       struct tally *t, unsigned int *stopped)
{
	struct vsw_port *port = &k->port;
	struct vsw_settle s;
	enum vsw_drop why = vsw_settle_begin(&s, pkt, atomic_load(&port->caps), mtu);

	/* What is dropped must not be offered again: first all before it. */
	if (why != VSW_DROP_NONE) {
		if (!flush(k, t, stopped))
			return false;
		vsw_port_drop(port, pkt, why);
		return true;
	}
	while (vsw_settle_next(&s, &k->out[k->n_out].f)) {
		struct kport_out *o = &k->out[k->n_out];

		o->pkt = i;
		o->seg = pkt->seg_done - 1;
		why = put_frame(o);
		k->n_out += why == VSW_DROP_NONE;
		if ((why != VSW_DROP_NONE || k->n_out == KPORT_BATCH) && !flush(k, t, stopped))
			return false;
		if (why != VSW_DROP_NONE)
			vsw_port_drop_frame(port, &o->f, why);
	}
	return true;
}

static unsigned int deliver(struct vsw_port *port, struct pkt **pkts, unsigned int n)
{
	struct kport *k = CONTAINER_OF(port, struct kport, port);
	struct tally t = {0};
	unsigned int i, at;
	bool room = true;

	pthread_mutex_lock(&k->lock);
	for (i = 0; room && i < n; i++)
		room = put_packet(k, pkts[i], i, mtu_of(k), &t, &at);
	if (room)
		room = flush(k, &t, &at);
	if (!room) {
		/* Frames behind it were not written either: their packets start anew. */
		for (unsigned int later = k->out[at].pkt; later < i; later++)
			pkts[later]->seg_done = 0;
		n = k->out[at].pkt;
		pkts[n]->seg_done = k->out[at].seg;
	}
	pthread_mutex_unlock(&k->lock);
	if (t.packets)
		vsw_port_received(port, t.packets, t.bytes);
	return n;
}

static const struct vsw_port_ops port_ops = {.deliver = deliver};

/* ---- making and ending ---- */

uint32_t kport_caps(uint32_t flags, bool uso)
{
	if (flags & KPORT_NO_CSUM)
		return 0;
	if (flags & KPORT_NO_TSO)
		return VSW_CAP_CSUM;
	return VSW_CAP_CSUM | VSW_CAP_TSO4 | VSW_CAP_TSO6 | (uso ? VSW_CAP_USO : 0);
}

struct start {
	struct kport *k;
	int rc;
};

static void start(void *arg)
{
	struct start *s = arg;

	s->rc = worker_fd_add(s->k->worker, &s->k->wfd);
}

static void stop(void *arg)
{
	struct kport *k = arg;

	worker_fd_del(&k->wfd);
	vsw_wait_cancel(&k->waiter);
	worker_timer_cancel(&k->hold);
}

int kport_start(struct kport *k, const struct kport_ops *ops, struct worker *w, const char *name,
		const uint8_t mac[6], int fd, uint32_t caps)
{
	struct start s = {.k = k};

	vsw_port_init(&k->port, &port_ops, name, mac);
	atomic_store(&k->port.caps, caps);
	atomic_store(&k->port.receiving, true);
	pthread_mutex_init(&k->lock, NULL);
	k->ops = ops;
	k->worker = w;
	k->waiter = (struct vsw_waiter){.wake = woken, .arg = k, .worker = w};
	k->hold = (struct worker_timer){.fn = hold_over, .arg = k};
	k->wfd = (struct worker_fd){.fd = fd, .events = EPOLLIN, .fn = on_ready, .arg = k};
	worker_call(w, start, &s);
	if (s.rc)
		pthread_mutex_destroy(&k->lock);
	return s.rc;
}

void kport_set_link(struct kport *k, bool up)
{
	atomic_store(&k->port.link, up);
	vsw_port_wake(&k->port);
}

void kport_stop(struct kport *k)
{
	worker_call(k->worker, stop, k);
	pthread_mutex_destroy(&k->lock);
}
