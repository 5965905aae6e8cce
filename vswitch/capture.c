/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns captures: the packets of a port, or of one path of a vNIC, written as pcapng to a
 * descriptor.
 *
 * Theory of operation
 *
 * A worker that meets a captured port makes a copy of the packet, settled as a capture wants it,
 * builds its block outside any lock and hands it to a queue of bounded size. A thread per capture
 * writes the queue out. A reader that is slow fills the queue, and what does not fit is counted
 * and lost; no worker ever waits for it.
 *
 * What is captured. Sent by the port's guest (outbound): the packet as the guest sent it, a large
 * TCP or UDP packet in one piece, as tcpdump on a host shows it, but with lengths and checksums
 * filled in and a tag beside the frame put into it: what the wire would carry, before cutting.
 * Received (inbound): as the guest receives it, so cut into segments unless the port takes
 * large packets. A dropped packet appears once, with a comment "drop: <reason>": outbound when
 * the switch dropped it, inbound when the receiving port did. One that could not be parsed
 * appears byte for byte.
 *
 * Paths. Captures of a vNIC and of its paths hang on the vNIC's port in one list, so the way of
 * packets asks one pointer whether anybody captures, as for a plain port. That of a path takes what
 * its guest sends and receives there, and knows the path by its name: it goes on when another
 * device of that name takes its place, after a migration. That of the vNIC takes everything, and
 * gives each path an interface of its own in the file when it first sees it. What no path is to
 * blame for is the vNIC's own, interface 0.
 *
 * The copy for a capture reads the sender's memory once more: a guest that rewrites a packet
 * while it is sent can make a capture show something else than was delivered.
 *
 * Writing must not block for ever either, since stopping waits for the thread: the descriptor is
 * polled and written without blocking, in bites that a pipe takes whole (PIPE_BUF), and what the
 * reader has not taken STOP_PATIENCE_MS after the stop is lost. The descriptor's flags are left
 * alone, since its other end may share them with somebody's terminal.
 */
#define LOG_TAG "capture"
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/util.h"
#include "vswitch/offload.h"
#include "vswitch/pcapng.h"
#include "vswitch/rcu.h"
#include "vswitch/switch_internal.h"

#define QUEUE_BYTES	 (8u << 20)
#define DEFAULT_SNAPLEN	 262144u
#define STOP_PATIENCE_MS 2000
#define READER_CHECK_MS	 500
#define MAX_PATHS	 8 /* names of paths in one file; more are the vNIC's own */

struct record {
	struct record *next;
	size_t len;
	uint8_t data[];
};

struct capture {
	_Atomic(struct capture *) next; /* of the same vNIC; control thread writes */
	int fd;
	bool is_socket, is_pipe, is_file;
	bool one_path; /* of that name */
	uint32_t snaplen;
	uint64_t start_ns; /* CLOCK_REALTIME */
	char name[VSW_NAME_SIZE];
	pthread_t thread;
	_Atomic uint64_t received, lost;
	_Atomic bool dead; /* the reader is gone */
	pthread_mutex_t lock;
	pthread_cond_t more;
	/* under the lock: */
	struct record *first, **last;
	size_t queued;			     /* bytes */
	char path[MAX_PATHS][VSW_NAME_SIZE]; /* interfaces 1 and up */
	unsigned int n_paths;
	bool stop;
	uint64_t stop_by; /* now_ns() */
};

static uint64_t wall_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

/* Under the lock. */
static void append(struct capture *cap, struct record *rec)
{
	rec->next = NULL;
	*cap->last = rec;
	cap->last = &rec->next;
	cap->queued += rec->len;
}

/* The number of the path's interface, which is written before its first packet. Under the lock. */
static uint32_t interface_of(struct capture *cap, const struct vsw_port *path)
{
	struct record *rec;

	if (!path || cap->one_path)
		return 0;
	for (uint32_t i = 0; i < cap->n_paths; i++)
		if (!strcmp(cap->path[i], path->name))
			return i + 1;
	rec = cap->n_paths < MAX_PATHS ? malloc(sizeof(*rec) + PCAPNG_ROOM) : NULL;
	if (!rec)
		return 0;
	memcpy(cap->path[cap->n_paths++], path->name, VSW_NAME_SIZE);
	rec->len = pcapng_interface(rec->data, path->name, cap->snaplen);
	append(cap, rec);
	return cap->n_paths;
}

static void enqueue(struct capture *cap, const struct vsw_port *path, struct record *rec)
{
	bool ok;

	pthread_mutex_lock(&cap->lock);
	ok = !cap->stop && cap->queued + rec->len <= QUEUE_BYTES;
	if (ok) {
		pcapng_packet_interface(rec->data, interface_of(cap, path));
		append(cap, rec);
		pthread_cond_signal(&cap->more);
	}
	pthread_mutex_unlock(&cap->lock);
	if (!ok) {
		atomic_fetch_add(&cap->lost, 1);
		free(rec);
	}
}

static struct record *record_new(struct capture *cap, size_t room)
{
	struct record *rec;

	atomic_fetch_add(&cap->received, 1);
	if (atomic_load(&cap->dead))
		return NULL;
	rec = malloc(sizeof(*rec) + PCAPNG_ROOM + room);
	if (!rec)
		atomic_fetch_add(&cap->lost, 1);
	return rec;
}

static void finish(struct capture *cap, const struct vsw_port *path, struct record *rec,
		   uint32_t len, enum capture_dir dir, enum vsw_drop why)
{
	char comment[64] = "drop: ";

	strncat(comment, vsw_drop_name(why), sizeof(comment) - sizeof("drop: "));
	rec->len = pcapng_packet(rec->data, wall_ns(), MIN(len, cap->snaplen), len,
				 dir == CAPTURE_TX ? PCAPNG_OUT : PCAPNG_IN,
				 why == VSW_DROP_NONE ? NULL : comment);
	enqueue(cap, path, rec);
}

static void capture_raw(struct capture *cap, const struct vsw_port *path, const struct pkt *pkt,
			enum capture_dir dir, enum vsw_drop why)
{
	struct record *rec;
	uint8_t *to;
	uint32_t n, len = MIN(pkt->len, (uint32_t)PKT_MAX_LEN), left = len;

	rec = record_new(cap, len);
	if (!rec)
		return;
	to = rec->data + PCAPNG_DATA;
	n = MIN(left, (uint32_t)MIN(pkt->hdr_len, PKT_HDR_MAX));
	memcpy(to, pkt->hdr, n);
	for (unsigned int i = 0; i < MIN(pkt->n_pieces, PKT_MAX_PIECES); i++) {
		to += n;
		left -= n;
		n = MIN(left, pkt->piece[i].len);
		if (n)
			memcpy(to, pkt->piece[i].ptr, n);
	}
	left -= n;
	finish(cap, path, rec, len - left, dir, why);
}

static void capture_one(struct capture *cap, const struct vsw_port *path, const struct pkt *pkt,
			enum capture_dir dir, enum vsw_drop why, uint32_t caps)
{
	const uint32_t large = VSW_CAP_TSO4 | VSW_CAP_TSO6 | VSW_CAP_USO;
	/* Settling notes its progress in the packet, which is between two owners just now. */
	struct pkt *p = (struct pkt *)pkt;
	uint32_t seg_done = p->seg_done;
	struct vsw_settle s;
	struct vsw_frame f;

	if (why == VSW_DROP_MALFORMED) {
		capture_raw(cap, path, pkt, dir, why);
		return;
	}
	caps = dir == CAPTURE_TX || why != VSW_DROP_NONE ? large : caps & large;
	p->seg_done = 0;
	if (vsw_settle_begin(&s, p, caps, 0) == VSW_DROP_NONE) {
		while (vsw_settle_next(&s, &f)) {
			struct record *rec = record_new(cap, f.len);
			struct iovec iov;

			if (!rec)
				continue;
			iov.iov_base = rec->data + PCAPNG_DATA;
			iov.iov_len = f.len;
			vsw_frame_copy(&f, &iov, 1);
			finish(cap, path, rec, f.len, dir, why);
		}
	}
	p->seg_done = seg_done;
}

void capture_packet(struct capture *list, const struct vsw_port *path, const struct pkt *pkt,
		    enum capture_dir dir, enum vsw_drop why, uint32_t caps)
{
	for (struct capture *cap = list; cap;
	     cap = atomic_load_explicit(&cap->next, memory_order_acquire))
		if (!cap->one_path || (path && !strcmp(path->name, cap->name)))
			capture_one(cap, path, pkt, dir, why, caps);
}

/* Milliseconds to go on waiting for the reader: -1 for ever, 0 no more. */
static int patience(struct capture *cap)
{
	uint64_t now = now_ns();
	int ms = -1;

	pthread_mutex_lock(&cap->lock);
	if (cap->stop)
		ms = now < cap->stop_by ? (int)((cap->stop_by - now) / NSEC_PER_MSEC) + 1 : 0;
	pthread_mutex_unlock(&cap->lock);
	return ms;
}

/* 0, or an error after which nothing more can be written. */
static int write_out(struct capture *cap, const uint8_t *data, size_t len)
{
	while (len) {
		struct pollfd p = {.fd = cap->fd, .events = POLLOUT};
		size_t bite = cap->is_pipe ? MIN(len, (size_t)PIPE_BUF) : len;
		int ms = patience(cap);
		ssize_t n;

		if (!ms && !cap->is_file)
			return -ETIMEDOUT;
		/* A stop that comes while we wait must be noticed. */
		if (poll(&p, 1, ms < 0 ? 100 : ms) == 0)
			continue;
		n = cap->is_socket ? send(cap->fd, data, bite, MSG_DONTWAIT | MSG_NOSIGNAL)
				   : write(cap->fd, data, bite);
		if (n < 0) {
			if (errno == EINTR || errno == EAGAIN)
				continue;
			return -errno;
		}
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

static void count_lost(struct capture *cap, struct record *rec)
{
	for (struct record *next; rec; rec = next) {
		next = rec->next;
		free(rec);
		atomic_fetch_add(&cap->lost, 1);
	}
}

static int write_head(struct capture *cap)
{
	uint8_t buf[2 * PCAPNG_ROOM];
	size_t len = pcapng_section(buf, "hvlab " HVLAB_VERSION);

	len += pcapng_interface(buf + len, cap->name, cap->snaplen);
	return write_out(cap, buf, len);
}

/* Under the lock. A reader may go while there is nothing to write: look now and then. */
static int wait_for_more(struct capture *cap)
{
	struct pollfd p = {.fd = cap->fd};
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += READER_CHECK_MS * (long)NSEC_PER_MSEC;
	until.tv_sec += until.tv_nsec / (long)NSEC_PER_SEC;
	until.tv_nsec %= (long)NSEC_PER_SEC;
	if (pthread_cond_timedwait(&cap->more, &cap->lock, &until) == ETIMEDOUT &&
	    poll(&p, 1, 0) == 1 && (p.revents & (POLLERR | POLLHUP | POLLNVAL)))
		return -EPIPE;
	return 0;
}

static void *writer(void *arg)
{
	struct capture *cap = arg;
	struct record *list, *rec;
	uint8_t buf[PCAPNG_ROOM];
	bool stop = false;
	sigset_t pipe_gone;
	int rc;

	/* A reader that goes away is a return value here, not a signal. */
	sigemptyset(&pipe_gone);
	sigaddset(&pipe_gone, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &pipe_gone, NULL);
	rc = write_head(cap);
	while (!stop) {
		pthread_mutex_lock(&cap->lock);
		while (!cap->first && !cap->stop && !rc)
			rc = wait_for_more(cap);
		if (rc)
			atomic_store(&cap->dead, true);
		while (!cap->first && !cap->stop)
			pthread_cond_wait(&cap->more, &cap->lock);
		list = cap->first;
		cap->first = NULL;
		cap->last = &cap->first;
		stop = cap->stop;
		pthread_mutex_unlock(&cap->lock);
		while ((rec = list)) {
			if (!rc)
				rc = write_out(cap, rec->data, rec->len);
			if (rc) {
				atomic_store(&cap->dead, true);
				count_lost(cap, list);
				break;
			}
			list = rec->next;
			/* Only what is written makes room. */
			pthread_mutex_lock(&cap->lock);
			cap->queued -= rec->len;
			pthread_mutex_unlock(&cap->lock);
			free(rec);
		}
	}
	if (!rc)
		rc = write_out(cap, buf,
			       pcapng_statistics(buf, cap->start_ns, wall_ns(),
						 atomic_load(&cap->received),
						 atomic_load(&cap->lost)));
	if (rc)
		log_info("%s: capture ended early: %s", cap->name,
			 rc == -ETIMEDOUT ? "the reader takes nothing" : strerror(-rc));
	return NULL;
}

/* Where captures of @port hang. */
static struct vsw_port *home_of(struct vsw_port *port)
{
	struct vsw_port *outer = atomic_load(&port->outer);

	return outer ? outer : port;
}

/* The place of @port's own capture in its home's list, or that list's end. */
static _Atomic(struct capture *) *place_of(struct vsw_port *port)
{
	struct vsw_port *home = home_of(port);
	_Atomic(struct capture *) *at = &home->capture;
	struct capture *cap;

	while ((cap = atomic_load(at)) &&
	       (cap->one_path != (home != port) || strcmp(cap->name, port->name) != 0))
		at = &cap->next;
	return at;
}

int vsw_capture_start(struct vsw_port *port, int fd, uint32_t snaplen)
{
	struct vsw_port *home = home_of(port);
	struct capture *cap;
	struct stat st;
	int rc;

	if (vsw_capture_active(port)) {
		rc = -EBUSY;
		goto err;
	}
	/* One whose reader has gone makes room. */
	vsw_capture_stop(port);
	if (!atomic_load(&home->net)) {
		rc = -ENOTCONN;
		goto err;
	}
	if (fstat(fd, &st)) {
		rc = -errno;
		goto err;
	}
	cap = calloc(1, sizeof(*cap));
	if (!cap) {
		rc = -ENOMEM;
		goto err;
	}
	cap->fd = fd;
	cap->is_socket = S_ISSOCK(st.st_mode);
	cap->is_file = S_ISREG(st.st_mode);
	cap->is_pipe = S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode);
	cap->one_path = home != port;
	cap->snaplen = snaplen ? snaplen : DEFAULT_SNAPLEN;
	cap->start_ns = wall_ns();
	cap->last = &cap->first;
	memcpy(cap->name, port->name, sizeof(cap->name));
	pthread_mutex_init(&cap->lock, NULL);
	pthread_cond_init(&cap->more, NULL);
	rc = -pthread_create(&cap->thread, NULL, writer, cap);
	if (rc) {
		free(cap);
		goto err;
	}
	atomic_store(&cap->next, atomic_load(&home->capture));
	atomic_store_explicit(&home->capture, cap, memory_order_release);
	return 0;
err:
	fd_close(&fd);
	return rc;
}

/* The capture at @at leaves its list and ends. */
static void end(_Atomic(struct capture *) *at)
{
	struct capture *cap = atomic_load(at);

	atomic_store(at, atomic_load(&cap->next));
	/* Nobody puts in anything after this. */
	vsw_synchronize();
	pthread_mutex_lock(&cap->lock);
	cap->stop = true;
	cap->stop_by = now_ns() + STOP_PATIENCE_MS * NSEC_PER_MSEC;
	pthread_cond_signal(&cap->more);
	pthread_mutex_unlock(&cap->lock);
	pthread_join(cap->thread, NULL);
	count_lost(cap, cap->first);
	pthread_mutex_destroy(&cap->lock);
	pthread_cond_destroy(&cap->more);
	fd_close(&cap->fd);
	free(cap);
}

void vsw_capture_stop(struct vsw_port *port)
{
	_Atomic(struct capture *) *at = place_of(port);

	if (atomic_load(at))
		end(at);
}

void capture_stop_all(struct vsw_port *port)
{
	while (atomic_load(&port->capture))
		end(&port->capture);
}

bool vsw_capture_active(struct vsw_port *port)
{
	struct capture *cap = atomic_load(place_of(port));

	return cap && !atomic_load(&cap->dead);
}
