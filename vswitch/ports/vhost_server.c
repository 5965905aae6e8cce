/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the socket: listening, one connection, framing, replies.
 *
 * A message is read in two steps, header and payload, each exactly: so the descriptors that come
 * are this message's. There is no hurry here, the packets take another way.
 *
 * What a front end can do wrong costs it the connection: a wrong version, a size or a number of
 * descriptors that the message cannot have, a message that was not negotiated or is not known. What
 * is well formed but cannot be done is answered so, if it asked for an answer (REPLY_ACK);
 * otherwise the connection ends too, since the front end would go on in the belief that it is done.
 * A front end that does not read its replies loses the connection.
 */
#define LOG_TAG "vhost"
#include "vswitch/ports/vhost_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"

#define MAX_MESSAGES 64 /* in one turn */

static bool on_readable(struct worker_fd *wfd, uint32_t revents);

void vh_conn_init(struct vhost *v)
{
	v->conn.fd = -1;
	v->listen_fd = -1;
}

int vh_conn_open(struct vhost *v, int fd)
{
	struct vh_conn *c = &v->conn;
	int rc = fd_set_nonblock(fd);

	if (rc)
		return rc;
	c->fd = fd;
	c->have = 0;
	c->n_fds = 0;
	c->wfd = (struct worker_fd){.fd = fd, .events = EPOLLIN, .fn = on_readable, .arg = v};
	rc = worker_fd_add(v->worker, &c->wfd);
	if (rc) {
		c->fd = -1;
		return rc;
	}
	v->connects++;
	vh_event(v, VHOST_EV_CONNECTED, NULL);
	return 0;
}

void vh_conn_close(struct vhost *v, const char *why)
{
	struct vh_conn *c = &v->conn;

	if (c->fd < 0)
		return;
	worker_fd_del(&c->wfd);
	fd_close_all(c->fds, c->n_fds);
	c->n_fds = 0;
	fd_close(&c->fd);
	vh_session_end(v);
	vh_event(v, VHOST_EV_DISCONNECTED, why);
}

static bool send_reply(struct vhost *v, uint32_t len, int fd)
{
	struct vh_conn *c = &v->conn;
	struct vhost_user_hdr h = {.request = c->hdr.request,
				   .flags = VHOST_USER_VERSION | VHOST_USER_REPLY,
				   .size = len};
	struct iovec iov[2] = {{&h, sizeof(h)}, {c->body.raw, len}};
	ssize_t n = fd_send(c->fd, iov, 2, &fd, fd >= 0, MSG_DONTWAIT);

	return n == (ssize_t)(sizeof(h) + len);
}

static void reject(struct vhost *v, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void reject(struct vhost *v, const char *fmt, ...)
{
	char text[120];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	v->rejected++;
	vh_guest_error(v, "message %u: %s", v->conn.hdr.request, text);
}

/* A message is complete. False: the connection ends. */
static bool handle(struct vhost *v)
{
	struct vh_conn *c = &v->conn;
	const struct vh_message *m = vh_message(c->hdr.request);
	bool ack = c->hdr.flags & VHOST_USER_NEED_REPLY &&
		   vh_has_protocol(v, VHOST_USER_PROTOCOL_F_REPLY_ACK);
	uint32_t len = 0;
	int fd = -1, rc;

	v->messages++;
	if (!m) {
		reject(v, "not known");
		return false;
	}
	if (c->hdr.size < m->min || c->hdr.size > m->max) {
		reject(v, "%s of %u bytes", m->name, c->hdr.size);
		return false;
	}
	if (c->n_fds < m->min_fds || c->n_fds > m->max_fds) {
		reject(v, "%s with %u descriptors", m->name, c->n_fds);
		return false;
	}
	if (m->needs >= 0 && !vh_has_protocol(v, (unsigned int)m->needs)) {
		reject(v, "%s was not negotiated", m->name);
		return false;
	}
	rc = m->fn(v, &len, &fd);
	if (rc) {
		reject(v, "%s: %s", m->name, strerror(-rc));
		if (m->answers || !ack)
			return false;
	}
	if (m->answers) {
		bool sent = send_reply(v, len, fd);

		fd_close(&fd);
		return sent;
	}
	if (!ack)
		return true;
	c->body.u64 = rc ? 1 : 0;
	return send_reply(v, sizeof(c->body.u64), -1);
}

/* -EAGAIN: not yet. 0: end of file. */
static ssize_t fill(struct vh_conn *c, void *to, size_t want)
{
	unsigned int room = VH_MAX_FDS - c->n_fds, n_fds = room + 1;
	int fds[VH_MAX_FDS + 1];
	ssize_t n = fd_recv(c->fd, to, want, fds, &n_fds, MSG_DONTWAIT);

	if (n <= 0)
		return n;
	if (n_fds > room) {
		fd_close_all(fds, n_fds);
		return -EPROTO;
	}
	memcpy(c->fds + c->n_fds, fds, n_fds * sizeof(*fds));
	c->n_fds += n_fds;
	c->have += (uint32_t)n;
	return n;
}

/* Reads and handles what has come. True: there was something. */
bool vh_conn_read(struct vhost *v)
{
	struct vh_conn *c = &v->conn;
	unsigned int messages = 0;
	bool worked = false;

	/* Others want their turn: what is left is reported again. */
	while (c->fd >= 0 && messages < MAX_MESSAGES) {
		uint32_t head = sizeof(c->hdr);
		ssize_t n;

		if (c->have < head)
			n = fill(c, (uint8_t *)&c->hdr + c->have, head - c->have);
		else
			n = fill(c, c->body.raw + (c->have - head), head + c->hdr.size - c->have);
		if (n == -EAGAIN)
			break;
		worked = true;
		if (n <= 0) {
			vh_conn_close(v, n ? strerror((int)-n) : "closed by the front end");
			break;
		}
		if (c->have < head)
			continue;
		if (c->have == head) {
			if ((c->hdr.flags & VHOST_USER_VERSION_MASK) != VHOST_USER_VERSION ||
			    c->hdr.flags & VHOST_USER_REPLY || c->hdr.size > sizeof(c->body)) {
				v->messages++;
				reject(v, "flags %#x, %u bytes", c->hdr.flags, c->hdr.size);
				vh_conn_close(v, "malformed message");
				break;
			}
			memset(&c->body, 0, sizeof(c->body));
			if (c->hdr.size)
				continue;
		}
		if (c->have < head + c->hdr.size)
			continue;
		c->have = 0;
		messages++;
		if (!handle(v)) {
			vh_conn_close(v, "message rejected");
			break;
		}
		fd_close_all(c->fds, c->n_fds);
		c->n_fds = 0;
	}
	return worked;
}

static bool on_readable(struct worker_fd *wfd, uint32_t revents)
{
	(void)revents;
	return vh_conn_read(wfd->arg);
}

/* ---- Listening ---------------------------------------------------------------------------- */

static bool on_accept(struct worker_fd *wfd, uint32_t revents)
{
	struct vhost *v = wfd->arg;
	int fd = accept4(v->listen_fd, NULL, NULL, SOCK_CLOEXEC);

	(void)revents;
	if (fd < 0)
		return false;
	/* The former client may be gone and we have not heard of it yet. */
	vh_conn_read(v);
	if (v->conn.fd >= 0) {
		v->refused++;
		log_warn_rl("%s: a second front end is refused", v->name);
		close(fd);
	} else if (vh_conn_open(v, fd)) {
		close(fd);
	}
	return true;
}

int vh_listen(struct vhost *v, const char *path)
{
	int rc;

	if (v->listen_fd >= 0)
		return -EBUSY;
	if (strlen(path) >= sizeof(v->path))
		return -ENAMETOOLONG;
	v->listen_fd = fd_unix_listen(path, 4);
	if (v->listen_fd < 0) {
		rc = v->listen_fd;
		v->listen_fd = -1;
		return rc;
	}
	snprintf(v->path, sizeof(v->path), "%s", path);
	v->listen = (struct worker_fd){
		.fd = v->listen_fd, .events = EPOLLIN, .fn = on_accept, .arg = v};
	rc = worker_fd_add(v->worker, &v->listen);
	if (rc)
		vh_unlisten(v);
	return rc;
}

void vh_unlisten(struct vhost *v)
{
	if (v->listen_fd < 0)
		return;
	worker_fd_del(&v->listen);
	fd_close(&v->listen_fd);
	unlink(v->path);
}

/*
 * Anything else that can be written to (a pipe, a file of a slow file system) could stop the
 * worker. Without /proc non-blocking has to do. A front end that undoes it later and fills its own
 * eventfd is beyond this.
 */
bool vh_eventfd_ok(int fd)
{
	static const char want[] = "anon_inode:[eventfd]";
	char link[40], what[sizeof(want)];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, what, sizeof(what));
	if (n >= 0 && (n != sizeof(want) - 1 || memcmp(what, want, (size_t)n) != 0))
		return false;
	return fd_set_nonblock(fd) == 0;
}
