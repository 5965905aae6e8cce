/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the port of a TAP interface.
 *
 * From the kernel: one packet at a time into a buffer of ours, on the worker. The vnet header says
 * what the kernel left undone; where that is what pkt_parse() finds it becomes a debt, else (a
 * checksum within a tunnel) the sum is made here, in our own buffer. A packet that has to wait for
 * its receiver stays in the buffer and nothing more is read; after HOLD_MS it is offered as one
 * that does not wait. What the kernel has queued behind it is the kernel's to drop.
 *
 * To the kernel: any worker, under the port's lock, one write per frame. The kernel takes large and
 * unsummed packets always, and verifies what we do not vouch for.
 *
 * When the interface goes away (its namespace ended) reading fails for good; the port then takes
 * frames and drops them.
 */
#define LOG_TAG "tap"
#include "vswitch/ports/tap.h"

#include <endian.h>
#include <errno.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "vswitch/checksum.h"
#include "vswitch/offload.h"
#include "vswitch/parse.h"

#define HDR_SIZE  ((int)sizeof(struct virtio_net_hdr))
#define MAX_FRAME (65536 + 64) /* a large packet with its link header and tags */
#define BUDGET	  64	       /* packets per turn */
#define HOLD_MS	  20
#define RETRIES	  4

/* UDP segmentation, Linux 6.2; Debian 12's headers do not have it. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

/* Debts that no packet has: vsw_send() counts it as malformed. */
#define MALFORMED PKT_GSO

struct tap {
	struct vsw_port port;
	struct worker *worker;
	struct worker_fd wfd;
	int fd;
	/* From the kernel, worker only: */
	struct vsw_waiter waiter;
	struct worker_timer hold;
	bool held;  /* @pkt has not been sent */
	bool stuck; /* it will not wait any more */
	bool gone;  /* nothing more will come: @wfd is deleted */
	struct pkt pkt;
	uint8_t in[HDR_SIZE + MAX_FRAME];
	/* To the kernel: */
	pthread_mutex_t lock;
	uint8_t out[HDR_SIZE + MAX_FRAME];
};

/* ---- from the kernel ---- */

static uint32_t sum_offset(const struct pkt *pkt)
{
	switch (pkt->l4) {
	case PKT_L4_TCP:
		return 16;
	case PKT_L4_UDP:
		return 6;
	case PKT_L4_ICMPV6:
		return 2;
	default:
		return UINT32_MAX;
	}
}

/* The sum over [@start, @len), where the field holds that of the pseudo header. */
static bool sum_here(uint8_t *frame, uint32_t len, uint32_t start, uint32_t offset)
{
	uint16_t sum;

	if (start >= len || offset + 2 > len - start)
		return false;
	sum = (uint16_t)~cksum_fold(cksum->add(0, frame + start, len - start));
	if (!sum)
		sum = 0xffff;
	memcpy(frame + start + offset, &sum, 2);
	return true;
}

static int view(struct tap *t, uint8_t *frame, uint32_t len)
{
	struct iovec iov = {frame, len};

	return pkt_from_iov(&t->pkt, &iov, 1);
}

/* The debts that the header tells of. False: they are not what a packet can have. */
static bool take_debts(struct tap *t, const struct virtio_net_hdr *h, uint8_t *frame, uint32_t len)
{
	uint8_t gso = h->gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;
	uint32_t start = le16toh(h->csum_start), offset = le16toh(h->csum_offset);
	struct pkt *pkt = &t->pkt;

	if (!(h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)) {
		if (h->flags & VIRTIO_NET_HDR_F_DATA_VALID)
			pkt->flags |= PKT_L4_GOOD;
		return gso == VIRTIO_NET_HDR_GSO_NONE;
	}
	if (gso != VIRTIO_NET_HDR_GSO_NONE) {
		pkt->flags |= gso == VIRTIO_NET_HDR_GSO_UDP_L4 ? PKT_GSO_UDP : PKT_GSO_TCP;
		pkt->gso_size = le16toh(h->gso_size);
	}
	if (pkt_parse(pkt) != VSW_DROP_NONE)
		return false;
	if (pkt->l4_off && !pkt->fragment && start == pkt->l4_off && offset == sum_offset(pkt)) {
		pkt->flags |= PKT_CSUM_L4;
		return gso == VIRTIO_NET_HDR_GSO_NONE || gso == VIRTIO_NET_HDR_GSO_UDP_L4 ||
		       (gso == VIRTIO_NET_HDR_GSO_TCPV4 && pkt->l3 == PKT_L3_IPV4) ||
		       (gso == VIRTIO_NET_HDR_GSO_TCPV6 && pkt->l3 == PKT_L3_IPV6);
	}
	return gso == VIRTIO_NET_HDR_GSO_NONE && sum_here(frame, len, start, offset) &&
	       view(t, frame, len) == 0;
}

/* Fills @pkt. False: nothing there, or no more ever (@wfd is deleted then). */
static bool read_packet(struct tap *t)
{
	struct virtio_net_hdr h;
	uint8_t *frame = t->in + HDR_SIZE;
	ssize_t n = read(t->fd, t->in, sizeof(t->in));
	uint32_t len;

	if (n < 0) {
		if (errno != EAGAIN && errno != EINTR) {
			log_debug("%s: %s", t->port.name, strerror(errno));
			t->gone = true;
			worker_fd_del(&t->wfd);
		}
		return false;
	}
	memcpy(&h, t->in, sizeof(h));
	len = n > HDR_SIZE ? (uint32_t)(n - HDR_SIZE) : 0;
	if (len < PKT_MIN_LEN) {
		/* The kernel has none so short, but what is counted must be a packet. */
		memset(frame + len, 0, PKT_MIN_LEN - len);
		view(t, frame, PKT_MIN_LEN);
		t->pkt.flags = MALFORMED;
	} else if (view(t, frame, len) || !take_debts(t, &h, frame, len)) {
		t->pkt.flags = MALFORMED;
		t->pkt.gso_size = 0;
	}
	return true;
}

/* False: the packet waits. */
static bool send_packet(struct tap *t)
{
	struct pkt *p = &t->pkt;

	if (t->stuck)
		p->flags |= PKT_NO_WAIT;
	for (unsigned int i = 0; i < RETRIES; i++) {
		if (vsw_send(&t->port, &p, 1) == 1) {
			t->held = false;
			return true;
		}
		if (vsw_wait(&t->waiter, p->waits_for)) {
			worker_timer_arm(t->worker, &t->hold, now_ns() + HOLD_MS * NSEC_PER_MSEC);
			return false;
		}
	}
	p->flags |= PKT_NO_WAIT;
	vsw_send(&t->port, &p, 1);
	t->held = false;
	return true;
}

static bool on_readable(struct worker_fd *wfd, uint32_t revents)
{
	struct tap *t = wfd->arg;
	bool worked = false;

	(void)revents;
	for (unsigned int i = 0; i < BUDGET && !t->held; i++) {
		if (!read_packet(t))
			break;
		worked = true;
		t->held = true;
		if (!send_packet(t))
			worker_fd_set_events(&t->wfd, 0);
	}
	return worked;
}

static void go_on(struct tap *t)
{
	worker_timer_cancel(&t->hold);
	if (t->held && !send_packet(t))
		return;
	if (!t->gone)
		worker_fd_set_events(&t->wfd, EPOLLIN);
}

static void woken(struct vsw_waiter *w)
{
	struct tap *t = w->arg;

	t->stuck = false;
	go_on(t);
}

/* It took too long. The waiter stays: until it is woken this port waits for nobody. */
static void hold_over(struct worker_timer *timer)
{
	struct tap *t = timer->arg;

	t->stuck = true;
	go_on(t);
}

/* ---- to the kernel ---- */

static void make_header(struct virtio_net_hdr *h, const struct vsw_frame *f, uint32_t facts)
{
	memset(h, 0, sizeof(*h));
	if (f->flags & PKT_CSUM_L4) {
		h->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		h->csum_start = htole16(f->l4_off);
		h->csum_offset = htole16(f->l4 == PKT_L4_TCP ? 16 : f->l4 == PKT_L4_UDP ? 6 : 2);
	} else if (facts & PKT_L4_GOOD) {
		h->flags = VIRTIO_NET_HDR_F_DATA_VALID;
	}
	if (!(f->flags & PKT_GSO))
		return;
	h->hdr_len = htole16(f->hdr_len);
	h->gso_size = htole16(f->gso_size);
	if (f->flags & PKT_GSO_UDP) {
		h->gso_type = VIRTIO_NET_HDR_GSO_UDP_L4;
		return;
	}
	h->gso_type = f->l3 == PKT_L3_IPV4 ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_TCPV6;
	/* CWR stays on the first segment alone, which is what ECN means here. */
	if (f->hdr[f->l4_off + 13] & 0x80)
		h->gso_type |= VIRTIO_NET_HDR_GSO_ECN;
}

/* 0 or why not. */
static enum vsw_drop write_frame(struct tap *t, struct vsw_frame *f)
{
	struct iovec iov = {t->out + HDR_SIZE, MAX_FRAME};
	struct virtio_net_hdr h;
	uint32_t facts;

	if (f->len > MAX_FRAME)
		return VSW_DROP_TOO_BIG;
	f->sum_verify = false;
	facts = vsw_frame_copy(f, &iov, 1);
	make_header(&h, f, facts);
	memcpy(t->out, &h, sizeof(h));
	if (write(t->fd, t->out, HDR_SIZE + f->len) >= 0)
		return VSW_DROP_NONE;
	return errno == EAGAIN || errno == ENOMEM || errno == ENOBUFS ? VSW_DROP_NO_BUFFER
	       : errno == EINVAL				      ? VSW_DROP_RX_ERROR
								      : VSW_DROP_LINK_DOWN;
}

static unsigned int deliver(struct vsw_port *port, struct pkt **pkts, unsigned int n)
{
	struct tap *t = CONTAINER_OF(port, struct tap, port);
	uint64_t packets = 0, bytes = 0;

	pthread_mutex_lock(&t->lock);
	for (unsigned int i = 0; i < n; i++) {
		struct vsw_settle s;
		struct vsw_frame f;
		enum vsw_drop why =
			vsw_settle_begin(&s, pkts[i], atomic_load(&port->caps), vsw_port_mtu(port));

		if (why != VSW_DROP_NONE) {
			vsw_port_drop(port, pkts[i], why);
			continue;
		}
		while (vsw_settle_next(&s, &f)) {
			why = write_frame(t, &f);
			if (why != VSW_DROP_NONE) {
				vsw_port_drop_frame(port, &f, why);
				continue;
			}
			packets++;
			bytes += f.len;
		}
	}
	pthread_mutex_unlock(&t->lock);
	if (packets)
		vsw_port_received(port, packets, bytes);
	return n;
}

static const struct vsw_port_ops ops = {.deliver = deliver};

/* ---- making and ending ---- */

/* *@caps: what the kernel takes; it may leave the same to us. */
static int set_up(int fd, uint32_t *caps)
{
	const unsigned int tso = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
	const short wanted = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
	struct ifreq ifr = {0};
	int size = HDR_SIZE, little = 1;

	if (ioctl(fd, TUNGETIFF, &ifr) < 0)
		return -EBADFD;
	if ((ifr.ifr_flags & (wanted | IFF_TUN)) != wanted)
		return -EINVAL;
	if (ioctl(fd, TUNSETVNETHDRSZ, &size) < 0 || ioctl(fd, TUNSETVNETLE, &little) < 0)
		return -errno;
	*caps = VSW_CAP_CSUM | VSW_CAP_TSO4 | VSW_CAP_TSO6;
	/* What it may leave to us. It works without, at the kernel's cost. */
	if (ioctl(fd, TUNSETOFFLOAD, tso | TUN_F_USO4 | TUN_F_USO6) == 0)
		*caps |= VSW_CAP_USO;
	else if (ioctl(fd, TUNSETOFFLOAD, tso) < 0)
		log_debug("TUNSETOFFLOAD: %s", strerror(errno));
	return fd_set_nonblock(fd);
}

struct start {
	struct tap *t;
	int rc;
};

static void start(void *arg)
{
	struct start *s = arg;

	s->rc = worker_fd_add(s->t->worker, &s->t->wfd);
}

static void stop(void *arg)
{
	struct tap *t = arg;

	worker_fd_del(&t->wfd);
	vsw_wait_cancel(&t->waiter);
	worker_timer_cancel(&t->hold);
}

struct tap *tap_new(struct worker *w, const char *name, int fd, const uint8_t mac[6])
{
	struct tap *t = calloc(1, sizeof(*t));
	struct start s = {.t = t};
	uint32_t caps = 0;

	s.rc = t ? set_up(fd, &caps) : -ENOMEM;
	if (!s.rc) {
		vsw_port_init(&t->port, &ops, name, mac);
		atomic_store(&t->port.caps, caps);
		atomic_store(&t->port.link, true);
		atomic_store(&t->port.receiving, true);
		pthread_mutex_init(&t->lock, NULL);
		t->fd = fd;
		t->worker = w;
		t->waiter = (struct vsw_waiter){.wake = woken, .arg = t, .worker = w};
		t->hold = (struct worker_timer){.fn = hold_over, .arg = t};
		t->wfd = (struct worker_fd){
			.fd = fd, .events = EPOLLIN, .fn = on_readable, .arg = t};
		worker_call(w, start, &s);
		if (!s.rc)
			return t;
		pthread_mutex_destroy(&t->lock);
	}
	fd_close(&fd);
	free(t);
	errno = -s.rc;
	return NULL;
}

void tap_free(struct tap *t)
{
	if (!t)
		return;
	worker_call(t->worker, stop, t);
	fd_close(&t->fd);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

struct vsw_port *tap_port(struct tap *t)
{
	return &t->port;
}

int tap_inject(struct tap *t, const void *frame, size_t size)
{
	static const uint8_t plain[HDR_SIZE];
	struct iovec iov[] = {{(void *)plain, sizeof(plain)}, {(void *)frame, size}};

	return writev(t->fd, iov, 2) < 0 ? -errno : 0;
}
