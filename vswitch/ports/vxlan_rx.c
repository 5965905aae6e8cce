/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns what comes from other hosts: from the socket into the networks.
 *
 * Theory of operation
 *
 * All on the tunnel's worker. recvmmsg() fills up to RX_MSGS messages; with UDP_GRO one message is
 * many datagrams of one flow, of equal size but the last. They are taken in order. A run of
 * datagrams for one network becomes a burst of packets, which is sent from that network's port.
 *
 * A datagram is believed nothing. It needs room for a VXLAN and an Ethernet header, the I flag, and
 * a VNI that is here; reserved bits are ignored (RFC 7348, 5). With known_only its outer source
 * must be a host that somebody set. What is inside is parsed by the switch like a guest's packet:
 * it has no debts, nobody vouches for its checksums, and its source address is learned like any
 * other's, so that it cannot take a local guest's.
 *
 * A burst that has to wait for a receiver's buffers stays where it is and nothing more is read:
 * what the kernel has queued is its to drop. As with the TAP that lasts HOLD_MS at most, then what
 * waits goes as packets that do not wait.
 */
#include <errno.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/util.h"
#include "base/wire.h"
#include "vswitch/packet.h"
#include "vswitch/ports/vxlan_internal.h"

#define RX_MSGS	 16
#define RX_BYTES 65536 /* more than a UDP datagram can be */
#define RX_BURST 64
#define BUDGET	 4 /* reads per turn */
#define HOLD_MS	 20
#define RETRIES	 4

union rx_ctl {
	struct cmsghdr align;
	char room[CMSG_SPACE(sizeof(int))];
};

/* The message that is being taken apart. */
struct rx_cursor {
	const uint8_t *data;
	uint32_t len, size, off;
	uint8_t from[16];
};

struct vx_rx {
	struct vxlan_tunnel *t;
	struct vsw_waiter waiter;
	struct worker_timer hold;
	bool held, stuck;
	unsigned int n_msgs, at_msg;
	struct rx_cursor cur;
	/* The burst: packets [at, n) are still to be sent, by this port. */
	struct vxlan_port *port;
	unsigned int n, at;
	struct pkt *list[RX_BURST];
	struct pkt pkt[RX_BURST];
	struct mmsghdr mm[RX_MSGS];
	struct iovec iov[RX_MSGS];
	struct sockaddr_storage name[RX_MSGS];
	union rx_ctl ctl[RX_MSGS];
	uint8_t data[RX_MSGS][RX_BYTES];
};

/* ---- taking apart ---- */

/* The network of the datagram, or NULL: counted. In a read section. */
static struct vxlan_port *judge(struct vxlan_tunnel *t, const uint8_t *d, uint32_t len)
{
	struct vxlan_port *p;

	if (len < VX_HDR_SIZE + PKT_MIN_LEN) {
		vx_count(&t->c.rx_short, 1);
		return NULL;
	}
	if (!(d[0] & VX_FLAG_VNI)) {
		vx_count(&t->c.rx_flags, 1);
		return NULL;
	}
	p = vx_port_find(t, be32_load(d + 4) >> 8);
	if (!p)
		vx_count(&t->c.rx_vni, 1);
	return p;
}

static void add_packet(struct vx_rx *x, struct vxlan_port *p, const uint8_t *d, uint32_t len)
{
	struct iovec iov = {(void *)(d + VX_HDR_SIZE), len - VX_HDR_SIZE};
	struct pkt *pkt = &x->pkt[x->n];

	if (pkt_from_iov(pkt, &iov, 1))
		return;
	pkt->tun.set = pkt->tun.received = true;
	pkt->tun.vni = p->vni;
	memcpy(pkt->tun.remote, x->cur.from, 16);
	if (p->learn)
		vx_mac_learn(p, be64_load(pkt->hdr + 6) >> 16, x->cur.from, vx_now_ms());
	x->list[x->n++] = pkt;
	x->port = p;
}

/* Fills the burst from the message. In a read section. */
static void fill_burst(struct vx_rx *x)
{
	struct vxlan_tunnel *t = x->t;
	struct rx_cursor *c = &x->cur;

	x->n = x->at = 0;
	x->port = NULL;
	while (c->off < c->len && x->n < RX_BURST) {
		uint32_t len = MIN(c->size, c->len - c->off);
		const uint8_t *d = c->data + c->off;
		struct vxlan_port *p = judge(t, d, len);

		if (p && x->port && p != x->port)
			break;
		c->off += len;
		vx_count(&t->c.rx, 1);
		vx_count(&t->c.rx_bytes, len);
		if (p)
			add_packet(x, p, d, len);
	}
}

/* In a read section. False: from nobody we know, and the whole message is dropped. */
static bool known(struct vxlan_tunnel *t, const struct rx_cursor *c)
{
	const struct vx_remote *r;
	uint64_t n = (c->len + c->size - 1) / c->size;

	if (!t->known_only)
		return true;
	r = vx_remote_find(t, c->from);
	if (r && atomic_load_explicit(&r->known, memory_order_relaxed))
		return true;
	vx_count(&t->c.rx, n);
	vx_count(&t->c.rx_bytes, c->len);
	vx_count(&t->c.rx_peer, n);
	return false;
}

static void begin(struct vx_rx *x, const uint8_t *data, uint32_t len, uint32_t size)
{
	x->cur.data = data;
	x->cur.len = len;
	x->cur.size = size ? size : len;
	x->cur.off = 0;
	if (!len) {
		vx_count(&x->t->c.rx, 1);
		vx_count(&x->t->c.rx_short, 1);
		return;
	}
	if (!known(x->t, &x->cur))
		x->cur.off = len;
}

static uint32_t gro_size(struct msghdr *h)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
		int size;

		if (c->cmsg_level != SOL_UDP || c->cmsg_type != UDP_GRO)
			continue;
		memcpy(&size, CMSG_DATA(c), sizeof(size));
		return size > 0 ? (uint32_t)size : 0;
	}
	return 0;
}

/* ---- sending on ---- */

/* False: the rest of the burst waits. */
static bool send_burst(struct vx_rx *x)
{
	for (unsigned int tries = 0; x->at < x->n; tries++) {
		struct pkt *first;

		if (x->stuck || tries >= RETRIES)
			x->list[x->at]->flags |= PKT_NO_WAIT;
		x->at += vsw_send(&x->port->port, x->list + x->at, x->n - x->at);
		if (x->at == x->n)
			break;
		first = x->list[x->at];
		if (x->stuck || !vsw_wait(&x->waiter, first->waits_for))
			continue;
		vx_count(&x->t->c.rx_waits, 1);
		worker_timer_arm(x->t->worker, &x->hold, now_ns() + HOLD_MS * NSEC_PER_MSEC);
		return false;
	}
	return true;
}

/* What was read, as far as it goes. False: something waits. */
static bool work_off(struct vx_rx *x)
{
	for (;;) {
		if (!send_burst(x))
			return false;
		if (x->cur.off == x->cur.len) {
			struct msghdr *h;

			if (x->at_msg == x->n_msgs)
				return true;
			h = &x->mm[x->at_msg].msg_hdr;
			vx_addr_of(x->cur.from, &x->name[x->at_msg]);
			vsw_read_lock();
			begin(x, x->data[x->at_msg], x->mm[x->at_msg].msg_len, gro_size(h));
			vsw_read_unlock();
			x->at_msg++;
		}
		vsw_read_lock();
		fill_burst(x);
		vsw_read_unlock();
	}
}

static bool read_some(struct vx_rx *x)
{
	int n;

	for (unsigned int i = 0; i < RX_MSGS; i++) {
		x->iov[i] = (struct iovec){x->data[i], RX_BYTES};
		x->mm[i].msg_hdr = (struct msghdr){
			.msg_name = &x->name[i],
			.msg_namelen = sizeof(x->name[i]),
			.msg_iov = &x->iov[i],
			.msg_iovlen = 1,
			.msg_control = &x->ctl[i],
			.msg_controllen = sizeof(x->ctl[i].room),
		};
	}
	n = recvmmsg(x->t->s.rx, x->mm, RX_MSGS, MSG_DONTWAIT, NULL);
	x->n_msgs = n > 0 ? (unsigned int)n : 0;
	x->at_msg = 0;
	x->cur.off = x->cur.len = 0;
	x->n = x->at = 0;
	return n > 0;
}

static bool on_readable(struct worker_fd *wfd, uint32_t revents)
{
	struct vx_rx *x = wfd->arg;
	bool worked = false;

	(void)revents;
	for (unsigned int i = 0; i < BUDGET && !x->held; i++) {
		if (!read_some(x))
			break;
		worked = true;
		if (!work_off(x)) {
			x->held = true;
			worker_fd_set_events(wfd, 0);
		}
		if (x->n_msgs < RX_MSGS)
			break;
	}
	return worked;
}

static void go_on(struct vx_rx *x)
{
	worker_timer_cancel(&x->hold);
	if (!x->held || !work_off(x))
		return;
	x->held = false;
	worker_fd_set_events(&x->t->wfd, EPOLLIN);
}

static void woken(struct vsw_waiter *w)
{
	struct vx_rx *x = w->arg;

	x->stuck = false;
	go_on(x);
}

/* It took too long. The waiter stays: until it is woken this tunnel waits for nobody. */
static void hold_over(struct worker_timer *timer)
{
	struct vx_rx *x = timer->arg;

	x->stuck = true;
	go_on(x);
}

void vx_rx_message(struct vxlan_tunnel *t, const uint8_t *data, uint32_t len, uint32_t size,
		   const uint8_t from[16])
{
	struct vx_rx *x = t->rx;
	bool stuck = x->stuck;

	if (x->held)
		return;
	x->n_msgs = x->at_msg = 0;
	memcpy(x->cur.from, from, 16);
	x->stuck = true;
	x->n = x->at = 0;
	vsw_read_lock();
	begin(x, data, len, size);
	vsw_read_unlock();
	work_off(x);
	x->stuck = stuck;
}

/* ---- beginning and ending ---- */

int vx_rx_start(struct vxlan_tunnel *t)
{
	struct vx_rx *x = malloc(sizeof(*x));
	int rc;

	if (!x)
		return -ENOMEM;
	/* Not the data, which is large and written by the kernel. */
	memset(x, 0, offsetof(struct vx_rx, data));
	x->t = t;
	x->waiter = (struct vsw_waiter){.wake = woken, .arg = x, .worker = t->worker};
	x->hold = (struct worker_timer){.fn = hold_over, .arg = x};
	t->wfd = (struct worker_fd){.fd = t->s.rx, .events = EPOLLIN, .fn = on_readable, .arg = x};
	t->rx = x;
	rc = worker_fd_add(t->worker, &t->wfd);
	if (rc) {
		free(x);
		t->rx = NULL;
	}
	return rc;
}

void vx_rx_stop(struct vxlan_tunnel *t)
{
	if (!t->rx)
		return;
	worker_fd_del(&t->wfd);
	vsw_wait_cancel(&t->rx->waiter);
	worker_timer_cancel(&t->rx->hold);
	free(t->rx);
	t->rx = NULL;
}

void vx_rx_forget(struct vxlan_tunnel *t, const struct vxlan_port *p)
{
	struct vx_rx *x = t->rx;

	if (!x || x->port != p)
		return;
	x->n = x->at = 0;
	x->port = NULL;
	/* What was behind it goes on. */
	vsw_wait_cancel(&x->waiter);
	x->stuck = false;
	go_on(x);
}
