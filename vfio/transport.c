/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the byte stream of one connection: framing, descriptors, and what could not be sent yet.
 *
 * One read brings many messages. The kernel ends a read behind the segment that carried
 * descriptors, and a client passes them with the sendmsg() that begins the message; so they
 * belong to the last message that begins in that read, which is the one that reaches its end.
 */
#define LOG_TAG "vfio"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <fcntl.h>

#include "base/fd.h"
#include "base/util.h"
#include "vfio/internal.h"

#define RX_ROOM 65536u

void conn_init(struct vfu_conn *c)
{
	c->fd = -1;
	pthread_mutex_init(&c->tx_lock, NULL);
	c->out_last = &c->out_first;
}

void conn_open(struct vfu_conn *c, int fd)
{
	c->rx_start = c->rx_end = 0;
	c->rx_pos = 0;
	c->n_fds = 0;
	pthread_mutex_lock(&c->tx_lock);
	c->fd = fd;
	pthread_mutex_unlock(&c->tx_lock);
}

static void out_free(struct vfu_out *o)
{
	fd_close_all(o->fds, o->n_fds);
	free(o);
}

/*
 * With words of the client's unread, close() would be a reset (ECONNRESET) to the client instead of
 * an end. QEMU 11.1.3 aborts on that. After shutdown() nothing more can come in.
 */
static void hear_out(int fd)
{
	uint8_t rest[4096];

	shutdown(fd, SHUT_RDWR);
	while (recv(fd, rest, sizeof(rest), MSG_DONTWAIT) > 0)
		;
}

void conn_close(struct vfu_conn *c)
{
	struct vfu_out *o;

	pthread_mutex_lock(&c->tx_lock);
	if (c->fd >= 0)
		hear_out(c->fd);
	fd_close(&c->fd);
	while ((o = c->out_first)) {
		c->out_first = o->next;
		out_free(o);
	}
	c->out_last = &c->out_first;
	c->out_bytes = 0;
	pthread_mutex_unlock(&c->tx_lock);
	fd_close_all(c->fds, c->n_fds);
	c->n_fds = 0;
	/* A client's big messages must not cost memory after it left. */
	free(c->rx);
	c->rx = NULL;
	c->rx_room = 0;
}

void conn_fini(struct vfu_conn *c)
{
	conn_close(c);
	pthread_mutex_destroy(&c->tx_lock);
}

/* Size of the message that lies at rx_start, 0 when its header is not there yet. */
static size_t head_size(const struct vfu_conn *c)
{
	struct vfio_user_hdr h;

	if (c->rx_end - c->rx_start < sizeof(h))
		return 0;
	memcpy(&h, c->rx + c->rx_start, sizeof(h));
	return h.size;
}

ssize_t conn_fill(struct vfu_conn *c, size_t max_msg)
{
	int fds[VFU_MAX_FDS + 1];
	unsigned int n_fds = ARRAY_SIZE(fds);
	size_t want;
	ssize_t n;

	if (!c->rx) {
		c->rx = malloc(RX_ROOM);
		if (!c->rx)
			return -ENOMEM;
		c->rx_room = RX_ROOM;
	}
	if (c->rx_start == c->rx_end) {
		c->rx_start = c->rx_end = 0;
	} else if (c->rx_start) {
		memmove(c->rx, c->rx + c->rx_start, c->rx_end - c->rx_start);
		c->rx_end -= c->rx_start;
		c->rx_start = 0;
	}
	want = MIN(head_size(c), max_msg);
	if (want > c->rx_room) {
		uint8_t *p = realloc(c->rx, want);

		if (!p)
			return -ENOMEM;
		c->rx = p;
		c->rx_room = want;
	}
	n = fd_recv(c->fd, c->rx + c->rx_end, c->rx_room - c->rx_end, fds, &n_fds, MSG_DONTWAIT);
	if (n <= 0)
		return n;
	c->rx_end += (size_t)n;
	c->rx_pos += (uint64_t)n;
	if (n_fds) {
		/* More than one message may bring, or a second set before the first was used. */
		if (n_fds > VFU_MAX_FDS - c->n_fds) {
			fd_close_all(fds, n_fds);
			return -EPROTO;
		}
		memcpy(c->fds + c->n_fds, fds, n_fds * sizeof(int));
		c->n_fds += n_fds;
		c->fds_end = c->rx_pos;
	}
	return n;
}

int conn_next(struct vfu_conn *c, size_t max_msg, struct vfu_msg *m)
{
	size_t have = c->rx_end - c->rx_start;
	uint64_t end;

	if (have < sizeof(m->hdr))
		return 0;
	memcpy(&m->hdr, c->rx + c->rx_start, sizeof(m->hdr));
	if (m->hdr.size < sizeof(m->hdr) || m->hdr.size > max_msg)
		return -EPROTO;
	if (have < m->hdr.size)
		return 0;
	m->body = c->rx + c->rx_start + sizeof(m->hdr);
	m->len = m->hdr.size - sizeof(m->hdr);
	m->fds = c->fds;
	m->n_fds = 0;
	end = c->rx_pos - (have - m->hdr.size);
	if (unlikely(c->n_fds) && end >= c->fds_end)
		m->n_fds = c->n_fds;
	return 1;
}

void conn_done(struct vfu_conn *c, struct vfu_msg *m)
{
	c->rx_start += m->hdr.size;
	if (unlikely(m->n_fds)) {
		fd_close_all(c->fds, c->n_fds);
		c->n_fds = 0;
	}
}

/* Under tx_lock. Keeps what is left of @iov behind @skip bytes. */
static int out_add(struct vfu_conn *c, const struct iovec *iov, unsigned int n_iov, size_t skip,
		   const int *fds, unsigned int n_fds)
{
	struct vfu_out *o;
	size_t len = 0, at = 0;

	for (unsigned int i = 0; i < n_iov; i++)
		len += iov[i].iov_len;
	if (len - skip > VFU_MAX_OUT - c->out_bytes)
		return -ENOBUFS;
	o = malloc(sizeof(*o) + len);
	if (!o)
		return -ENOMEM;
	*o = (struct vfu_out){.len = len, .off = skip};
	for (unsigned int i = 0; i < n_iov; i++) {
		memcpy(o->data + at, iov[i].iov_base, iov[i].iov_len);
		at += iov[i].iov_len;
	}
	for (; o->n_fds < n_fds; o->n_fds++) {
		o->fds[o->n_fds] = fcntl(fds[o->n_fds], F_DUPFD_CLOEXEC, 0);
		if (o->fds[o->n_fds] < 0) {
			int rc = -errno;

			out_free(o);
			return rc;
		}
	}
	*c->out_last = o;
	c->out_last = &o->next;
	c->out_bytes += len - skip;
	return 0;
}

/*
 * Under tx_lock, after @sent of @iov's bytes went out: keeps the rest. When that fails behind a
 * message's first byte the stream is of no use any more, and the owner shall find its end.
 */
static int out_rest(struct vfu_conn *c, const struct iovec *iov, unsigned int n_iov, size_t sent,
		    const int *fds, unsigned int n_fds)
{
	int rc = out_add(c, iov, n_iov, sent, fds, sent ? 0 : n_fds);

	if (rc && sent) {
		shutdown(c->fd, SHUT_RDWR);
		rc = -EPIPE;
	}
	return rc;
}

int conn_send(struct vfu_conn *c, const struct iovec *iov, unsigned int n_iov, const int *fds,
	      unsigned int n_fds)
{
	size_t len = 0;
	ssize_t n = 0;
	int rc = 0;

	for (unsigned int i = 0; i < n_iov; i++)
		len += iov[i].iov_len;
	pthread_mutex_lock(&c->tx_lock);
	if (c->fd < 0) {
		rc = -ENOTCONN;
	} else {
		if (!c->out_first)
			n = fd_send(c->fd, iov, n_iov, fds, n_fds, MSG_DONTWAIT);
		if (n == -EAGAIN)
			n = 0;
		if (n < 0)
			rc = (int)n;
		else if ((size_t)n < len)
			rc = out_rest(c, iov, n_iov, (size_t)n, fds, n_fds);
	}
	pthread_mutex_unlock(&c->tx_lock);
	return rc;
}

int conn_try_send(struct vfu_conn *c, const void *buf, size_t len)
{
	struct iovec iov = {.iov_base = (void *)(uintptr_t)buf, .iov_len = len};
	ssize_t n;
	int rc = 0;

	pthread_mutex_lock(&c->tx_lock);
	if (c->fd < 0) {
		rc = -ENOTCONN;
	} else if (c->out_first) {
		rc = -EAGAIN;
	} else {
		n = fd_send(c->fd, &iov, 1, NULL, 0, MSG_DONTWAIT);
		if (n < 0)
			rc = (int)n;
		else if ((size_t)n < len)
			rc = out_rest(c, &iov, 1, (size_t)n, NULL, 0);
	}
	pthread_mutex_unlock(&c->tx_lock);
	return rc;
}

int conn_flush(struct vfu_conn *c)
{
	int rc = 0;

	pthread_mutex_lock(&c->tx_lock);
	while (c->out_first && c->fd >= 0) {
		struct vfu_out *o = c->out_first;
		struct iovec iov = {o->data + o->off, o->len - o->off};
		ssize_t n = fd_send(c->fd, &iov, 1, o->fds, o->n_fds, MSG_DONTWAIT);

		if (n < 0) {
			rc = (int)n;
			break;
		}
		fd_close_all(o->fds, o->n_fds);
		o->n_fds = 0;
		o->off += (size_t)n;
		c->out_bytes -= (size_t)n;
		if (o->off < o->len)
			continue;
		c->out_first = o->next;
		if (!c->out_first)
			c->out_last = &c->out_first;
		free(o);
	}
	pthread_mutex_unlock(&c->tx_lock);
	return rc;
}

bool conn_has_out(struct vfu_conn *c)
{
	bool r;

	pthread_mutex_lock(&c->tx_lock);
	r = c->out_first != NULL;
	pthread_mutex_unlock(&c->tx_lock);
	return r;
}
