/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns what a tunnel sends: delivery into a VXLAN port.
 *
 * Theory of operation
 *
 * A delivery takes a scratch (struct vx_tx) of the tunnel's, so any number of workers can be inside
 * at once; sockets need no lock. Each packet is settled without any capability (the far end is
 * another host: all debts are paid, large packets are cut), and each frame is stored once, behind
 * its VXLAN header, in the scratch. A message is what one entry of sendmmsg() sends: a run of
 * datagrams that lie one behind the other, go to the same host from the same source port and have
 * one size, the last excepted. With more than one datagram it is sent by UDP_SEGMENT: the kernel,
 * or the NIC, cuts it. So the segments of a large packet, which are equal, go through the kernel's
 * stack as one. A flood is stored once and has a message per host.
 *
 * The kernel makes no UDP_SEGMENT batch without a UDP checksum (-EINVAL for SO_NO_CHECK sockets),
 * see enum vxlan_sum. When it refuses batches for another reason (-EIO: the way out cannot sum;
 * -EINVAL: too old), the same datagrams are sent one by one, and so are all later ones of the
 * tunnel.
 *
 * Too big. What is larger than the path to its host, as far as the kernel has told, is dropped
 * before it is stored; what the kernel refuses (EMSGSIZE) makes us ask it for the path's MTU. Both
 * ways the sender gets an ICMP message in the name of the packet's destination, made here, sent
 * from the tunnel's worker. gso_size is the sender's choice: cutting smaller would make segments
 * that the sender's TCP knows nothing of, and for UDP other datagrams; so it is told instead.
 */
#include <errno.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "base/wire.h"
#include "vswitch/fdb.h"
#include "vswitch/icmp.h"
#include "vswitch/offload.h"
#include "vswitch/ports/vxlan_internal.h"

#define TX_BYTES     (256 * 1024)
#define TX_MSGS	     64
#define TX_DGRAMS    512
#define BATCH_DGRAMS 64	   /* UDP_MAX_SEGMENTS of Linux before 6.9 */
#define BATCH_BYTES  65000 /* UDP payload of one message: 65507 and 65527 at most */

struct tx_dgram {
	struct pkt *pkt;
	uint32_t off, len; /* in bytes[] */
	bool first;	   /* not a copy of a flood that counts already */
};

struct tx_msg {
	struct vx_remote *to;
	unsigned int flow;
	unsigned int dgram, n;
	uint32_t len, size;
	bool sent;
};

union tx_ctl {
	struct cmsghdr align;
	char room[CMSG_SPACE(sizeof(uint16_t))];
};

struct vx_tx {
	struct vx_tx *next;
	struct vxlan_port *p;
	unsigned int n_msgs, n_dgrams;
	uint32_t used;
	bool open; /* the last message can be added to */
	uint64_t packets, bytes;
	struct tx_msg msg[TX_MSGS];
	struct tx_dgram dgram[TX_DGRAMS];
	struct mmsghdr mm[TX_MSGS];
	struct iovec iov[TX_MSGS];
	union tx_ctl ctl[TX_MSGS];
	unsigned int which[TX_MSGS]; /* message of each mm[] */
	uint8_t data[TX_BYTES];
};

/* ---- scratch ---- */

static struct vx_tx *tx_take(struct vxlan_tunnel *t)
{
	struct vx_tx *x;

	pthread_mutex_lock(&t->lock);
	x = t->idle;
	if (x)
		t->idle = x->next;
	pthread_mutex_unlock(&t->lock);
	return x ? x : malloc(sizeof(*x));
}

static void tx_give(struct vxlan_tunnel *t, struct vx_tx *x)
{
	pthread_mutex_lock(&t->lock);
	x->next = t->idle;
	t->idle = x;
	pthread_mutex_unlock(&t->lock);
}

void vx_tx_free_all(struct vxlan_tunnel *t)
{
	struct vx_tx *x;

	while ((x = t->idle)) {
		t->idle = x->next;
		free(x);
	}
}

/* ---- "too big" to the sender ---- */

struct reply {
	struct vxlan_port *p;
	uint32_t len;
	uint8_t frame[ICMP_ERROR_MAX];
};

/* On the tunnel's worker. The port is still there: vxlan_port_free() waits for letters. */
static void send_reply(void *arg)
{
	struct reply *r = arg;
	struct iovec iov = {r->frame, r->len};
	struct pkt pkt, *p = &pkt;

	if (pkt_from_iov(p, &iov, 1) == 0) {
		p->flags |= PKT_NO_WAIT;
		vsw_send(&r->p->port, &p, 1);
	}
	free(r);
}

static void reply_too_big(struct vxlan_port *p, const struct pkt *pkt, uint32_t mtu)
{
	struct vxlan_tunnel *t = p->t;
	struct reply *r;
	int len;

	if (pkt->l3 == PKT_L3_OTHER)
		return;
	if (!reply_limit_ok(&t->limit, pkt, vx_now_ms())) {
		vx_count(&t->c.replies_limited, 1);
		return;
	}
	r = malloc(sizeof(*r));
	if (!r)
		return;
	len = icmp_error(pkt, ICMP_ERROR_TOOBIG, mtu, NULL, r->frame, sizeof(r->frame));
	if (len < 0) {
		free(r);
		return;
	}
	r->p = p;
	r->len = (uint32_t)len;
	if (worker_post(t->worker, send_reply, r)) {
		free(r);
		return;
	}
	vx_count(&t->c.replies, 1);
}

/* ---- to the kernel ---- */

static int fd_of(const struct vxlan_tunnel *t, const struct tx_msg *m)
{
	bool none = !t->ip6 &&
		    (t->sum == VXLAN_SUM_NEVER || (t->sum == VXLAN_SUM_DEFAULT && m->n == 1));

	return t->s.tx[m->flow][none];
}

static void prepare(struct vx_tx *x, unsigned int at, unsigned int which)
{
	const struct tx_msg *m = &x->msg[which];
	struct msghdr *h = &x->mm[at].msg_hdr;

	x->which[at] = which;
	x->iov[at] = (struct iovec){x->data + x->dgram[m->dgram].off, m->len};
	memset(h, 0, sizeof(*h));
	h->msg_name = &m->to->to;
	h->msg_namelen = m->to->to_len;
	h->msg_iov = &x->iov[at];
	h->msg_iovlen = 1;
	if (m->n > 1) {
		struct cmsghdr *c;
		uint16_t size = (uint16_t)m->size;

		memset(&x->ctl[at], 0, sizeof(x->ctl[at]));
		h->msg_control = &x->ctl[at];
		h->msg_controllen = sizeof(x->ctl[at].room);
		c = CMSG_FIRSTHDR(h);
		c->cmsg_level = SOL_UDP;
		c->cmsg_type = UDP_SEGMENT;
		c->cmsg_len = CMSG_LEN(sizeof(size));
		memcpy(CMSG_DATA(c), &size, sizeof(size));
	}
}

static void count_sent(struct vx_tx *x, const struct tx_msg *m)
{
	struct vxlan_counters *c = &x->p->t->c;

	vx_count(&c->tx, m->n);
	vx_count(&c->tx_bytes, m->len);
	if (m->n > 1)
		vx_count(&c->tx_batches, 1);
	for (unsigned int i = m->dgram; i < m->dgram + m->n; i++) {
		if (!x->dgram[i].first)
			continue;
		x->packets++;
		x->bytes += x->dgram[i].len - VX_HDR_SIZE;
	}
}

static enum vsw_drop reason(int err)
{
	switch (err) {
	case EMSGSIZE:
		return VSW_DROP_TOO_BIG;
	case EAGAIN:
	case ENOBUFS:
	case ENOMEM:
		return VSW_DROP_NO_BUFFER;
	default: /* no route, no link, no source address, forbidden by a filter */
		return VSW_DROP_NO_ROUTE;
	}
}

/* A message that the kernel does not want. */
static void lost(struct vx_tx *x, const struct tx_msg *m, int err)
{
	struct vxlan_tunnel *t = x->p->t;
	const struct pkt *told = NULL;
	uint32_t mtu = 0;

	if (err == EMSGSIZE) {
		mtu = vx_remote_probe(t, m->to);
		mtu = mtu > vx_overhead(t) ? mtu - vx_overhead(t) : 0;
	}
	for (unsigned int i = m->dgram; i < m->dgram + m->n; i++) {
		struct vsw_frame f = {.pkt = x->dgram[i].pkt};

		vx_count(err == EMSGSIZE ? &t->c.too_big : &t->c.tx_errors, 1);
		if (!x->dgram[i].first)
			continue;
		vsw_port_drop_frame(&x->p->port, &f, reason(err));
		if (mtu && f.pkt != told)
			reply_too_big(x->p, f.pkt, mtu);
		told = f.pkt;
	}
}

/* The kernel cuts no batches: each datagram by itself, now and from now on. */
static void send_singly(struct vx_tx *x, const struct tx_msg *m)
{
	struct vxlan_tunnel *t = x->p->t;

	atomic_store(&t->no_batch, true);
	for (unsigned int i = 0; i < m->n; i++) {
		struct tx_msg one = *m;
		const struct tx_dgram *d = &x->dgram[m->dgram + i];

		one.dgram = m->dgram + i;
		one.n = 1;
		one.len = d->len;
		if (sendto(fd_of(t, &one), x->data + d->off, d->len, MSG_DONTWAIT, &m->to->to.sa,
			   m->to->to_len) < 0)
			lost(x, &one, errno);
		else
			count_sent(x, &one);
	}
}

static void refused(struct vx_tx *x, const struct tx_msg *m, int err)
{
	if (m->n > 1 && (err == EINVAL || err == EIO || err == EOPNOTSUPP))
		send_singly(x, m);
	else
		lost(x, m, err);
}

static void send_all(struct vx_tx *x, int fd, unsigned int n)
{
	unsigned int at = 0;

	while (at < n) {
		int done = sendmmsg(fd, x->mm + at, n - at, MSG_DONTWAIT);

		if (done < 0 && errno == EINTR)
			continue;
		for (int i = 0; i < done; i++)
			count_sent(x, &x->msg[x->which[at++]]);
		if (done < 0)
			refused(x, &x->msg[x->which[at++]], errno);
	}
}

/* Everything in the scratch goes, a system call per socket. */
static void flush(struct vx_tx *x)
{
	for (unsigned int i = 0; i < x->n_msgs; i++) {
		unsigned int n = 0;
		int fd;

		if (x->msg[i].sent)
			continue;
		fd = fd_of(x->p->t, &x->msg[i]);
		for (unsigned int j = i; j < x->n_msgs; j++) {
			if (x->msg[j].sent || fd_of(x->p->t, &x->msg[j]) != fd)
				continue;
			prepare(x, n++, j);
			x->msg[j].sent = true;
		}
		send_all(x, fd, n);
	}
	x->n_msgs = x->n_dgrams = 0;
	x->used = 0;
	x->open = false;
}

/* ---- from the switch ---- */

static inline uint64_t mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * 0x9e3779b97f4a7c15ull;
	return h ^ h >> 32;
}

/* Of the inner addresses and ports: which source port the flow has (RFC 7348, 5). */
static unsigned int flow_of(const struct vxlan_tunnel *t, const struct pkt *pkt)
{
	uint64_t h = t->seed, v = 0;
	uint32_t n = pkt->l3 == PKT_L3_IPV6 ? 16 : 4;

	if (pkt->l3 == PKT_L3_OTHER) {
		memcpy(&v, pkt->hdr, 8);
		h = mix(h, v);
		memcpy(&v, pkt->hdr + 6, 8);
		return (unsigned int)((mix(h, v) >> 32) % t->s.n_flows);
	}
	for (uint32_t i = 0; i < 2 * n; i += 4) {
		memcpy(&v, pkt->hdr + (i < n ? pkt->src_off + i : pkt->dst_off + i - n), 4);
		h = mix(h, v);
	}
	v = pkt->l4_proto;
	if ((pkt->l4 == PKT_L4_TCP || pkt->l4 == PKT_L4_UDP) && !pkt->fragment) {
		uint32_t ports;

		memcpy(&ports, pkt->hdr + pkt->l4_off, 4);
		v |= (uint64_t)ports << 8;
	}
	return (unsigned int)((mix(h, v) >> 32) % t->s.n_flows);
}

/* Where a packet goes: hosts, and in which network. */
struct target {
	struct vx_remote *one;
	struct vx_remote *const *list;
	unsigned int n;
	uint32_t vni;
};

static enum vsw_drop find_target(struct vxlan_port *p, const struct pkt *pkt, uint64_t *now,
				 struct target *to)
{
	uint64_t mac = be64_load(pkt->hdr) >> 16;
	const struct vx_list *l;

	to->vni = p->vni;
	to->n = 1;
	to->list = &to->one;
	to->one = NULL;
	if (unlikely(pkt->tun.set && !pkt->tun.received)) {
		to->vni = pkt->tun.vni & 0xffffff;
		to->one = vx_remote_want(p->t, pkt->tun.remote);
		return to->one ? VSW_DROP_NONE : VSW_DROP_NO_REMOTE;
	}
	if (!(pkt->hdr[0] & 1)) {
		to->one = vx_mac_find(p, mac, now);
		if (to->one)
			return VSW_DROP_NONE;
		if (p->drop_unknown)
			return VSW_DROP_NO_REMOTE;
	}
	l = atomic_load_explicit(&p->flood, memory_order_acquire);
	if (!l || !l->n)
		return VSW_DROP_NO_REMOTE;
	to->list = l->remote;
	to->n = l->n;
	return VSW_DROP_NONE;
}

/* The largest IP packet that goes to one host at least; 0: no limit. */
static uint32_t limit_of(const struct vxlan_port *p, const struct target *to, uint32_t port_mtu)
{
	uint32_t over = vx_overhead(p->t), best = 0;

	for (unsigned int i = 0; i < to->n; i++) {
		uint32_t path = atomic_load_explicit(&to->list[i]->path_mtu, memory_order_relaxed);

		/* No route known: the kernel shall say so itself. */
		if (path <= over)
			return port_mtu;
		best = MAX(best, path - over);
	}
	return port_mtu ? MIN(best, port_mtu) : best;
}

/* The frame at the end of the data becomes a datagram of the last message, or of a new one. */
static void add_dgram(struct vx_tx *x, struct vx_remote *to, unsigned int flow, struct pkt *pkt,
		      uint32_t off, uint32_t len, bool first)
{
	const struct vxlan_tunnel *t = x->p->t;
	struct tx_msg *m = x->n_msgs ? &x->msg[x->n_msgs - 1] : NULL;

	x->dgram[x->n_dgrams] =
		(struct tx_dgram){.pkt = pkt, .off = off, .len = len, .first = first};
	if (x->open && m->to == to && m->flow == flow && len <= m->size && first &&
	    m->n < BATCH_DGRAMS && m->len + len <= BATCH_BYTES) {
		m->n++;
		m->len += len;
		x->open = len == m->size;
	} else {
		x->msg[x->n_msgs++] = (struct tx_msg){.to = to,
						      .flow = flow,
						      .dgram = x->n_dgrams,
						      .n = 1,
						      .len = len,
						      .size = len};
		x->open = (t->ip6 || t->sum != VXLAN_SUM_NEVER) &&
			  !atomic_load_explicit(&t->no_batch, memory_order_relaxed);
	}
	x->n_dgrams++;
}

static void store_frame(struct vx_tx *x, struct vsw_frame *f, const struct target *to,
			unsigned int flow, struct pkt *pkt)
{
	uint32_t len = VX_HDR_SIZE + f->len, off;
	struct iovec iov;

	if (x->used + len > sizeof(x->data))
		flush(x);
	off = x->used;
	iov = (struct iovec){x->data + off + VX_HDR_SIZE, f->len};
	be32_store(x->data + off, (uint32_t)VX_FLAG_VNI << 24);
	be32_store(x->data + off + 4, to->vni << 8);
	/* The far end verifies what it does not trust. */
	f->sum_verify = false;
	vsw_frame_copy(f, &iov, 1);
	x->used += len;
	for (unsigned int i = 0; i < to->n; i++) {
		if (x->n_msgs == TX_MSGS || x->n_dgrams == TX_DGRAMS) {
			/* The frame stays: more hosts of a flood want it. */
			uint8_t *from = x->data + off;

			flush(x);
			memmove(x->data, from, len);
			off = 0;
			x->used = len;
		}
		add_dgram(x, to->list[i], flow, pkt, off, len, !i);
	}
}

static void send_one(struct vx_tx *x, struct pkt *pkt, uint32_t port_mtu, uint64_t *now)
{
	struct vxlan_port *p = x->p;
	struct target to;
	struct vsw_settle s;
	struct vsw_frame f;
	uint32_t limit;
	unsigned int flow;
	enum vsw_drop why = find_target(p, pkt, now, &to);

	if (why != VSW_DROP_NONE) {
		vsw_port_drop(&p->port, pkt, why);
		return;
	}
	limit = limit_of(p, &to, port_mtu);
	why = vsw_settle_begin(&s, pkt, 0, limit);
	if (why != VSW_DROP_NONE) {
		vsw_port_drop(&p->port, pkt, why);
		if (why == VSW_DROP_TOO_BIG) {
			vx_count(&p->t->c.too_big, pkt_n_segs(pkt));
			reply_too_big(p, pkt, limit);
		}
		return;
	}
	flow = flow_of(p->t, pkt);
	while (vsw_settle_next(&s, &f)) {
		if (f.len > BATCH_BYTES)
			vsw_port_drop_frame(&p->port, &f, VSW_DROP_TOO_BIG);
		else
			store_frame(x, &f, &to, flow, pkt);
	}
	if (to.list == &to.one)
		atomic_store_explicit(&to.one->used_ms, *now ? *now : (*now = vx_now_ms()),
				      memory_order_relaxed);
}

unsigned int vx_deliver(struct vsw_port *port, struct pkt **pkts, unsigned int n)
{
	struct vxlan_port *p = CONTAINER_OF(port, struct vxlan_port, port);
	struct vx_tx *x = tx_take(p->t);
	uint32_t mtu = vsw_port_mtu(port);
	uint64_t now = 0;

	if (!x) {
		for (unsigned int i = 0; i < n; i++)
			vsw_port_drop(port, pkts[i], VSW_DROP_NO_BUFFER);
		return n;
	}
	x->p = p;
	x->n_msgs = x->n_dgrams = 0;
	x->used = 0;
	x->open = false;
	x->packets = x->bytes = 0;
	for (unsigned int i = 0; i < n; i++)
		send_one(x, pkts[i], mtu, &now);
	flush(x);
	if (x->packets)
		vsw_port_received(port, x->packets, x->bytes);
	tx_give(p->t, x);
	return n;
}
