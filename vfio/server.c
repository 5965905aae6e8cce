/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the life of a server: listening, the one client, the handshake, and which handler gets
 * which message.
 *
 * A message is checked against the table of commands (version first, payload size, number of
 * descriptors) before its handler sees it. A handler returns 0 when it replied itself, or -errno,
 * which becomes the error reply. Breaking the framing, or not reading replies, ends the
 * connection; nothing else does.
 */
#define LOG_TAG "vfio"
#include "vfio/vfuser.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/util.h"
#include "vfio/internal.h"

#define READS_PER_TURN 4 /* then the other devices of this worker get their turn */
#define DEFAULT_XFER   (1u << 20)
#define MAX_XFER       (4u << 20) /* a reply of it must fit what may wait, VFU_MAX_OUT */
#define VFU_MAJOR      0
#define VFU_MINOR      0

static void drop_client(struct vfuser *vu, const char *why);

int vfu_reply(struct vfuser *vu, const struct vfu_msg *m, const struct iovec *iov,
	      unsigned int n_iov, const int *fds, unsigned int n_fds)
{
	struct vfio_user_hdr h = {
		.id = m->hdr.id, .cmd = m->hdr.cmd, .size = sizeof(h), .flags = VFIO_USER_F_REPLY};
	struct iovec v[4];

	if (m->hdr.flags & VFIO_USER_F_NO_REPLY)
		return 0;
	v[0] = (struct iovec){&h, sizeof(h)};
	for (unsigned int i = 0; i < n_iov; i++) {
		v[i + 1] = iov[i];
		h.size += (uint32_t)iov[i].iov_len;
	}
	if (conn_send(&vu->conn, v, n_iov + 1, fds, n_fds)) {
		vu->kick = true;
		return -EPIPE;
	}
	if (conn_has_out(&vu->conn))
		worker_fd_set_events(&vu->conn.wfd, EPOLLIN | EPOLLOUT);
	return 0;
}

static void reply_error(struct vfuser *vu, const struct vfu_msg *m, int err)
{
	struct vfio_user_hdr h = {.id = m->hdr.id,
				  .cmd = m->hdr.cmd,
				  .size = sizeof(h),
				  .flags = VFIO_USER_F_REPLY | VFIO_USER_F_ERROR,
				  .error = (uint32_t)err};
	struct iovec v = {&h, sizeof(h)};

	STAT_INC_OWNER(vu, rejected);
	log_debug("%s: command %u: %s", vu->name, m->hdr.cmd, strerror(err));
	if (m->hdr.flags & VFIO_USER_F_NO_REPLY)
		return;
	if (conn_send(&vu->conn, &v, 1, NULL, 0))
		vu->kick = true;
	else if (conn_has_out(&vu->conn))
		worker_fd_set_events(&vu->conn.wfd, EPOLLIN | EPOLLOUT);
}

/* --- handshake ------------------------------------------------------------------------------ */

/*
 * Our capabilities as JSON that fits @room with its NUL, NULL when none does: then defaults hold,
 * since the reply may not be larger than the request. Only what the client proposed is answered.
 */
static char *our_caps(const struct vfuser *vu, const json_t *theirs, size_t room)
{
	const struct {
		const char *name;
		json_t *value;
	} all[] = {
		{"max_msg_fds", json_integer(VFU_MAX_FDS)},
		{"max_data_xfer_size", json_integer((json_int_t)vu->max_xfer)},
		{"max_dma_maps", json_integer(vu->conf.max_dma_maps)},
		{"pgsizes", json_integer(4096)},
		{"write_multiple", json_true()},
	};
	json_t *caps = json_object(), *top = json_object();
	char *s = NULL;

	for (unsigned int i = 0; i < ARRAY_SIZE(all); i++) {
		if (json_object_get(theirs, all[i].name))
			json_object_set(caps, all[i].name, all[i].value);
		json_decref(all[i].value);
	}
	if (!json_object_set_new(top, "capabilities", caps))
		s = json_dumps(top, JSON_COMPACT);
	json_decref(top);
	if (s && strlen(s) + 1 > room) {
		free(s);
		s = NULL;
	}
	return s;
}

/* A number of the client's capabilities in [min, max], or its default. */
static int cap_number(const json_t *caps, const char *name, json_int_t min, json_int_t max,
		      json_int_t *v)
{
	const json_t *j = json_object_get(caps, name);

	if (!j)
		return 0;
	if (!json_is_integer(j) || json_integer_value(j) < min)
		return -EINVAL;
	*v = MIN(json_integer_value(j), max);
	return 0;
}

/* Section "VFIO_USER_VERSION": defaults are one descriptor and 1 MiB. */
static int read_caps(struct vfuser *vu, const json_t *caps)
{
	json_int_t fds = 1, xfer = DEFAULT_XFER;

	if (cap_number(caps, "max_msg_fds", 0, VFU_MAX_FDS, &fds) ||
	    cap_number(caps, "max_data_xfer_size", 1, MAX_XFER, &xfer))
		return -EINVAL;
	vu->peer_fds = (unsigned int)fds;
	vu->peer_xfer = (size_t)xfer;
	return 0;
}

static int on_version(struct vfuser *vu, const struct vfu_msg *m)
{
	struct vfio_user_version v;
	size_t len = m->len - sizeof(v);
	const char *text = (const char *)m->body + sizeof(v);
	json_t *j = NULL, *theirs = NULL;
	struct iovec iov[2];
	char *caps;
	int rc = -EINVAL;

	memcpy(&v, m->body, sizeof(v));
	if (vu->negotiated)
		return -EINVAL;
	if (v.major != VFU_MAJOR)
		return -EOPNOTSUPP;
	if (len) {
		if (text[len - 1])
			return -EINVAL;
		j = json_loads(text, 0, NULL);
		theirs = json_object_get(j, "capabilities");
		if (!json_is_object(j) || (theirs && !json_is_object(theirs)))
			goto out;
	}
	rc = read_caps(vu, theirs);
	if (rc)
		goto out;
	v.minor = MIN(v.minor, (uint16_t)VFU_MINOR);
	caps = our_caps(vu, theirs, len);
	iov[0] = (struct iovec){&v, sizeof(v)};
	iov[1] = (struct iovec){caps, caps ? strlen(caps) + 1 : 0};
	vu->negotiated = true;
	rc = vfu_reply(vu, m, iov, caps ? 2 : 1, NULL, 0);
	free(caps);
out:
	json_decref(j);
	return rc;
}

static int on_device_info(struct vfuser *vu, const struct vfu_msg *m)
{
	struct vfio_user_device_info i;
	struct iovec iov = {&i, sizeof(i)};

	memcpy(&i, m->body, sizeof(i));
	if (i.argsz < sizeof(i))
		return -EINVAL;
	i.argsz = sizeof(i);
	i.flags = VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET;
	i.num_regions = VFU_N_REGIONS;
	i.num_irqs = VFU_N_IRQS;
	return vfu_reply(vu, m, &iov, 1, NULL, 0);
}

static int on_irq_info(struct vfuser *vu, const struct vfu_msg *m)
{
	struct vfio_irq_info i;
	struct iovec iov = {&i, sizeof(i)};
	int rc;

	memcpy(&i, m->body, sizeof(i));
	if (i.argsz < sizeof(i))
		return -EINVAL;
	rc = irq_get_info(vu, i.index, &i.flags, &i.count);
	if (rc)
		return rc;
	i.argsz = sizeof(i);
	return vfu_reply(vu, m, &iov, 1, NULL, 0);
}

static int on_set_irqs(struct vfuser *vu, const struct vfu_msg *m)
{
	struct vfio_irq_set set;
	int rc;

	memcpy(&set, m->body, sizeof(set));
	if (set.argsz < sizeof(set))
		return -EINVAL;
	rc = irq_set(vu, &set, m->body + sizeof(set), m->len - sizeof(set), m->fds, m->n_fds);
	return rc ? rc : vfu_reply(vu, m, NULL, 0, NULL, 0);
}

static int on_region_read(struct vfuser *vu, const struct vfu_msg *m)
{
	struct vfio_user_region_access a;
	struct iovec iov[2];
	int rc;

	memcpy(&a, m->body, sizeof(a));
	if (a.count > vu->max_xfer)
		return -EINVAL;
	rc = region_access(vu, &a, vu->scratch, false);
	if (rc)
		return rc;
	iov[0] = (struct iovec){&a, sizeof(a)};
	iov[1] = (struct iovec){vu->scratch, a.count};
	return vfu_reply(vu, m, iov, 2, NULL, 0);
}

static int on_region_write(struct vfuser *vu, const struct vfu_msg *m)
{
	struct vfio_user_region_access a;
	struct iovec iov = {&a, sizeof(a)};
	int rc;

	memcpy(&a, m->body, sizeof(a));
	if (a.count != m->len - sizeof(a))
		return -EINVAL;
	rc = region_access(vu, &a, (void *)(uintptr_t)(m->body + sizeof(a)), true);
	if (rc)
		return rc;
	return vfu_reply(vu, m, &iov, 1, NULL, 0);
}

static int on_reset(struct vfuser *vu, const struct vfu_msg *m)
{
	vu->reset_seen = true;
	irq_device_reset(vu);
	pci_device_reset(vu);
	if (vu->conf.ops->reset)
		vu->conf.ops->reset(vu->conf.dev, VFUSER_RESET_DEVICE);
	return vfu_reply(vu, m, NULL, 0, NULL, 0);
}

static int on_unsupported(struct vfuser *vu, const struct vfu_msg *m)
{
	(void)vu;
	(void)m;
	return -EOPNOTSUPP;
}

/* Payload size, descriptors, handler of every command a client may send. */
static const struct command {
	uint32_t min, max; /* bytes behind the header */
	unsigned int max_fds;
	int (*fn)(struct vfuser *vu, const struct vfu_msg *m);
} commands[VFIO_USER_N_CMDS] = {
	[VFIO_USER_VERSION] = {4, 64 * 1024, 0, on_version},
	[VFIO_USER_DMA_MAP] = {32, 32, 1, dma_map},
	[VFIO_USER_DMA_UNMAP] = {24, 64, 0, dma_unmap},
	[VFIO_USER_DEVICE_GET_INFO] = {16, 16, 0, on_device_info},
	[VFIO_USER_DEVICE_GET_REGION_INFO] = {sizeof(struct vfio_region_info), 64 * 1024, 0,
					      region_get_info},
	[VFIO_USER_DEVICE_GET_REGION_IO_FDS] = {16, 64 * 1024, 0, region_get_io_fds},
	[VFIO_USER_DEVICE_GET_IRQ_INFO] = {sizeof(struct vfio_irq_info), 64, 0, on_irq_info},
	[VFIO_USER_DEVICE_SET_IRQS] = {sizeof(struct vfio_irq_set), 64 * 1024, VFU_MAX_FDS,
				       on_set_irqs},
	[VFIO_USER_REGION_READ] = {16, 16, 0, on_region_read},
	[VFIO_USER_REGION_WRITE] = {16, UINT32_MAX, 0, on_region_write},
	[VFIO_USER_DMA_READ] = {0, UINT32_MAX, 0, on_unsupported},
	[VFIO_USER_DMA_WRITE] = {0, UINT32_MAX, 0, on_unsupported},
	[VFIO_USER_DEVICE_RESET] = {0, 0, 0, on_reset},
	[VFIO_USER_DIRTY_PAGES] = {0, UINT32_MAX, 0, on_unsupported},
	[VFIO_USER_REGION_WRITE_MULTI] = {8, 64 * 1024, 0, region_write_multi},
	[VFIO_USER_DEVICE_FEATURE] = {0, UINT32_MAX, 0, on_unsupported},
	[VFIO_USER_MIG_DATA_READ] = {0, UINT32_MAX, 0, on_unsupported},
	[VFIO_USER_MIG_DATA_WRITE] = {0, UINT32_MAX, 0, on_unsupported},
};

static void handle(struct vfuser *vu, const struct vfu_msg *m)
{
	const struct command *c;
	int rc;

	STAT_INC_OWNER(vu, messages);
	if ((m->hdr.flags & VFIO_USER_F_TYPE) == VFIO_USER_F_REPLY) {
		dma_reply(vu, m);
		return;
	}
	if (m->hdr.flags & VFIO_USER_F_NO_REPLY)
		STAT_INC_OWNER(vu, posted);
	c = m->hdr.cmd < VFIO_USER_N_CMDS ? &commands[m->hdr.cmd] : NULL;
	if ((m->hdr.flags & VFIO_USER_F_TYPE) != VFIO_USER_F_COMMAND)
		rc = -EINVAL;
	else if (!c || !c->fn)
		rc = -EOPNOTSUPP;
	else if (!vu->negotiated && m->hdr.cmd != VFIO_USER_VERSION)
		rc = -EINVAL;
	else if (m->len < c->min || m->len > c->max || m->n_fds > c->max_fds)
		rc = -EINVAL;
	else
		rc = c->fn(vu, m);
	if (rc && !vu->kick)
		reply_error(vu, m, -rc);
}

static bool on_conn(struct worker_fd *wfd, uint32_t revents)
{
	struct vfuser *vu = wfd->arg;
	bool worked = false;

	/* A worker that spins asks for nothing but input: then trying is the way to know. */
	if ((revents | wfd->events) & EPOLLOUT) {
		int rc = conn_flush(&vu->conn);

		if (!rc) {
			worker_fd_set_events(wfd, EPOLLIN);
			irq_flush_unsent(vu);
		} else if (rc != -EAGAIN) {
			drop_client(vu, strerror(-rc));
			return true;
		}
	}
	for (unsigned int i = 0; i < READS_PER_TURN; i++) {
		ssize_t n = conn_fill(&vu->conn, vu->max_msg);
		struct vfu_msg m;
		int rc;

		if (n == -EAGAIN)
			break;
		worked = true;
		if (n <= 0) {
			drop_client(vu, n == 0 ? "end of connection" : strerror((int)-n));
			return true;
		}
		vu->in_device = true;
		while ((rc = conn_next(&vu->conn, vu->max_msg, &m)) > 0 && !vu->kick) {
			handle(vu, &m);
			conn_done(&vu->conn, &m);
		}
		STAT_INC_OWNER(vu, batches);
		if (vu->conf.ops->batch_end)
			vu->conf.ops->batch_end(vu->conf.dev);
		vu->in_device = false;
		if (rc < 0 || vu->kick) {
			drop_client(vu, rc < 0 ? "broken framing" : "connection given up");
			return true;
		}
	}
	return worked;
}

/* --- clients come and go -------------------------------------------------------------------- */

void vfu_warn_no_reset(struct vfuser *vu)
{
	if (vu->reset_seen || vu->told_no_reset || vu->irq.mode != VFUSER_MSIX_MASQUERADE)
		return;
	vu->told_no_reset = true;
	log_warn("%s: the client sent no DEVICE_RESET: its guest sees no MSI-X; with a client that "
		 "sends none use native MSI-X",
		 vu->name);
}

static void drop_client(struct vfuser *vu, const char *why)
{
	if (!atomic_load(&vu->connected))
		return;
	log_info("%s: client gone: %s", vu->name, why);
	if (vu->negotiated)
		vfu_warn_no_reset(vu);
	atomic_store(&vu->connected, false);
	worker_fd_del(&vu->conn.wfd);
	irq_drop_client(vu);
	conn_close(&vu->conn);
	dma_drop_client(vu);
	if (vu->conf.ops->disconnected)
		vu->conf.ops->disconnected(vu->conf.dev);
	guest_mem_unmap_all(vu->mem);
	pci_new_client(vu); /* nobody masters the bus */
	vu->negotiated = false;
	vu->kick = false;
}

static int serve(struct vfuser *vu, int fd)
{
	int rc = fd_set_nonblock(fd);

	if (rc) {
		close(fd);
		return rc;
	}
	vu->negotiated = vu->reset_seen = vu->kick = vu->told_no_fd = false;
	vu->told_no_reset = vu->checked_shared = false;
	vu->peer_xfer = DEFAULT_XFER;
	vu->peer_fds = 1;
	conn_open(&vu->conn, fd);
	irq_new_client(vu);
	pci_new_client(vu);
	vu->conn.wfd = (struct worker_fd){
		.fd = fd, .events = EPOLLIN, .spin = true, .fn = on_conn, .arg = vu};
	rc = worker_fd_add(vu->worker, &vu->conn.wfd);
	if (rc)
		return rc;
	atomic_store(&vu->connected, true);
	STAT_INC_OWNER(vu, connects);
	log_info("%s: client connected", vu->name);
	if (vu->conf.ops->connected)
		vu->conf.ops->connected(vu->conf.dev);
	return 0;
}

/*
 * A second client is told EBUSY in the reply to its first message, and then left: QEMU aborts on
 * a connection that is accepted and closed without a word. It has a moment to say that message;
 * until then it costs a descriptor and a timer, and there are only so many places.
 */
static void guest_leaves(struct vfu_guest *g)
{
	worker_timer_cancel(&g->timer);
	worker_fd_del(&g->wfd);
	fd_close(&g->wfd.fd);
}

static bool on_guest(struct worker_fd *wfd, uint32_t revents)
{
	struct vfu_guest *g = wfd->arg;
	struct vfio_user_hdr h;
	struct iovec iov = {&h, sizeof(h)};
	uint8_t rest[4096];
	int reads = 0;
	ssize_t n = recv(wfd->fd, &h, sizeof(h), MSG_DONTWAIT);

	(void)revents;
	if (n < 0 && errno == EAGAIN)
		return false;
	if (n == (ssize_t)sizeof(h)) {
		/* Unread data would turn our close into a reset; but this is not a sink. */
		while (reads++ < 64 &&
		       recv(wfd->fd, rest, sizeof(rest), MSG_DONTWAIT) == (ssize_t)sizeof(rest))
			;
		h.size = sizeof(h);
		h.flags = VFIO_USER_F_REPLY | VFIO_USER_F_ERROR;
		h.error = EBUSY;
		fd_send(wfd->fd, &iov, 1, NULL, 0, MSG_DONTWAIT);
	}
	guest_leaves(g);
	return true;
}

static void on_guest_timer(struct worker_timer *t)
{
	guest_leaves(t->arg);
}

static void refuse(struct vfuser *vu, int fd)
{
	struct vfu_guest *g = NULL;

	STAT_INC_OWNER(vu, refused);
	log_warn_rl("%s: a second client was refused: the device is in use", vu->name);
	for (unsigned int i = 0; i < VFU_MAX_GUESTS && !g; i++)
		if (vu->guests[i].wfd.fd < 0)
			g = &vu->guests[i];
	if (!g || fd_set_nonblock(fd)) {
		close(fd);
		return;
	}
	g->wfd = (struct worker_fd){.fd = fd, .events = EPOLLIN, .fn = on_guest, .arg = g};
	g->timer = (struct worker_timer){.fn = on_guest_timer, .arg = g};
	if (worker_fd_add(vu->worker, &g->wfd)) {
		fd_close(&g->wfd.fd);
		return;
	}
	worker_timer_arm(vu->worker, &g->timer, now_ns() + VFU_GUEST_NS);
}

static bool on_listen(struct worker_fd *wfd, uint32_t revents)
{
	struct vfuser *vu = wfd->arg;
	int fd = accept4(vu->listen_fd, NULL, NULL, SOCK_CLOEXEC);

	(void)revents;
	if (fd < 0) {
		if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR)
			log_err_rl("%s: cannot accept a client: %s", vu->name, strerror(errno));
		return false;
	}
	/* The old client may be gone without our having read its last words and end yet. */
	for (int i = 0; i < 4 && atomic_load(&vu->connected); i++)
		if (!on_conn(&vu->conn.wfd, EPOLLIN))
			break;
	if (atomic_load(&vu->connected)) {
		refuse(vu, fd);
	} else {
		int rc = serve(vu, fd);

		if (rc) {
			log_err("%s: cannot serve a client: %s", vu->name, strerror(-rc));
			conn_close(&vu->conn);
		}
	}
	return true;
}

int vfuser_attach(struct vfuser *vu, int fd)
{
	int rc;

	if (atomic_load(&vu->connected)) {
		close(fd);
		return -EBUSY;
	}
	rc = serve(vu, fd);
	if (rc)
		conn_close(&vu->conn);
	return rc;
}

int vfuser_listen(struct vfuser *vu, const char *path)
{
	int rc;

	if (vu->listen_fd >= 0)
		return -EALREADY;
	rc = fd_unix_listen(path, 8);
	if (rc < 0)
		return rc;
	vu->listen_fd = rc;
	vu->path = strdup(path);
	vu->listen_wfd =
		(struct worker_fd){.fd = rc, .events = EPOLLIN, .fn = on_listen, .arg = vu};
	rc = vu->path ? worker_fd_add(vu->worker, &vu->listen_wfd) : -ENOMEM;
	if (rc) {
		unlink(path);
		fd_close(&vu->listen_fd);
		free(vu->path);
		vu->path = NULL;
	}
	return rc;
}

void vfuser_kick(struct vfuser *vu)
{
	if (vu->in_device)
		vu->kick = true; /* when the callback has returned */
	else
		drop_client(vu, "dropped by the host");
}

void vfuser_close(struct vfuser *vu)
{
	drop_client(vu, "device closed");
	for (unsigned int i = 0; i < VFU_MAX_GUESTS; i++)
		guest_leaves(&vu->guests[i]);
	worker_fd_del(&vu->listen_wfd);
	fd_close(&vu->listen_fd);
	if (vu->path)
		unlink(vu->path);
	free(vu->path);
	vu->path = NULL;
}

/* --- sending from other threads ------------------------------------------------------------- */

static void do_flush(void *arg)
{
	struct vfuser *vu = arg;

	if (atomic_load(&vu->connected))
		worker_fd_set_events(&vu->conn.wfd, EPOLLIN | EPOLLOUT);
	/* Last: vfuser_free() waits for it. */
	atomic_store(&vu->flush_posted, false);
}

void vfu_request_flush(struct vfuser *vu)
{
	if (!atomic_exchange(&vu->flush_posted, true) && worker_post(vu->worker, do_flush, vu))
		atomic_store(&vu->flush_posted, false);
}

/* --- making and ending ---------------------------------------------------------------------- */

static const char *conf_error(const struct vfuser_conf *c)
{
	const struct vfuser_bar *msix = &c->bars[c->msix_bar % VFUSER_N_BARS];

	for (unsigned int i = 0; i < VFUSER_N_BARS; i++) {
		const struct vfuser_bar *b = &c->bars[i];

		if (!b->size)
			continue;
		if (b->size < 4096 || (b->size & (b->size - 1)))
			return "BAR size: a power of two from 4096";
		if (b->is_64bit && (i == VFUSER_N_BARS - 1 || c->bars[i + 1].size))
			return "64-bit BAR: needs the next BAR's place";
		if (!b->is_64bit && b->size > UINT32_MAX / 2)
			return "BAR size: needs a 64-bit BAR";
		for (unsigned int k = 0; k < b->n_mmap_areas; k++)
			if (b->mmap_fd < 0 || (b->mmap_areas[k].offset & 4095) ||
			    !b->mmap_areas[k].size || (b->mmap_areas[k].size & 4095) ||
			    !range_ok(b->mmap_areas[k].offset, b->mmap_areas[k].size, b->size))
				return "mmap_areas: whole pages inside the BAR, and an mmap_fd";
		if (b->n_mmap_areas > 1024)
			return "n_mmap_areas: at most 1024";
		if (b->n_io_fds > VFU_MAX_FDS)
			return "n_io_fds: at most 16";
		for (unsigned int k = 0; k < b->n_io_fds; k++)
			if (b->io_fds[k].fd < 0 ||
			    !range_ok(b->io_fds[k].offset, b->io_fds[k].size, b->size))
				return "io_fds: inside the BAR, with a descriptor";
	}
	if (!c->ops || !c->ops->region_read || !c->ops->region_write)
		return "ops: region_read and region_write";
	if (c->n_msix > 2048)
		return "n_msix: at most 2048";
	if (c->n_msix &&
	    (c->msix_bar >= VFUSER_N_BARS || (c->msix_table_offset & 7) ||
	     (c->msix_pba_offset & 7) ||
	     !(c->msix_table_offset + c->n_msix * 16ull <= msix->size) ||
	     !(c->msix_pba_offset + (c->n_msix + 63) / 64 * 8ull <= msix->size) ||
	     (c->msix_table_offset < c->msix_pba_offset + (c->n_msix + 63) / 64 * 8ull &&
	      c->msix_pba_offset < c->msix_table_offset + c->n_msix * 16ull)))
		return "MSI-X: table and PBA must be 8-byte aligned, inside the BAR, apart";
	if (c->n_msi > 32 || (c->n_msi & (c->n_msi - 1)))
		return "n_msi: 0, 1, 2, 4, 8, 16 or 32";
	if (c->cap_vendor_size > 64 || (c->cap_vendor_size && !c->cap_vendor))
		return "cap_vendor_size: at most 64, and cap_vendor";
	if (c->max_data_xfer && (c->max_data_xfer < 4096 || c->max_data_xfer > MAX_XFER))
		return "max_data_xfer: 4 KiB to 4 MiB";
	return NULL;
}

struct vfuser *vfuser_new(struct worker *w, const struct vfuser_conf *conf)
{
	const char *bad = conf_error(conf);
	struct vfuser *vu;
	int rc = -ENOMEM;

	if (bad) {
		log_err("%s: %s", conf->name ? conf->name : "device", bad);
		errno = EINVAL;
		return NULL;
	}
	vu = calloc(1, sizeof(*vu));
	if (!vu)
		return NULL;
	snprintf(vu->name, sizeof(vu->name), "%s", conf->name ? conf->name : "device");
	vu->conf = *conf;
	vu->worker = w;
	vu->listen_fd = -1;
	for (unsigned int i = 0; i < VFU_MAX_GUESTS; i++)
		vu->guests[i].wfd.fd = -1;
	conn_init(&vu->conn);
	if (!vu->conf.max_dma_maps)
		vu->conf.max_dma_maps = 65535;
	vu->max_xfer = conf->max_data_xfer ? conf->max_data_xfer : DEFAULT_XFER;
	vu->max_msg = vu->max_xfer + 4096;
	vu->scratch = malloc(vu->max_xfer);
	vu->mem = guest_mem_new(vu->conf.max_dma_maps);
	if (vu->scratch && vu->mem)
		rc = irq_init(vu);
	if (!rc)
		rc = pci_init(vu);
	if (rc) {
		vfuser_free(vu);
		errno = -rc;
		return NULL;
	}
	return vu;
}

static void nothing(void *arg)
{
	(void)arg;
}

/* A do_flush() may still be in the worker's box; it must run before the memory goes. */
static void free_server(void *arg)
{
	struct vfuser *vu = arg;

	while (atomic_load(&vu->flush_posted)) {
		if (!worker_is_self(vu->worker))
			worker_call(vu->worker, nothing, NULL);
		else if (!worker_post(vu->worker, free_server, vu))
			return; /* behind that letter */
	}
	irq_fini(vu);
	conn_fini(&vu->conn);
	guest_mem_free(vu->mem);
	free(vu->scratch);
	free(vu);
}

void vfuser_free(struct vfuser *vu)
{
	if (!vu)
		return;
	vfuser_close(vu);
	free_server(vu);
}

/* --- what is there to see ------------------------------------------------------------------- */

bool vfuser_connected(const struct vfuser *vu)
{
	return atomic_load(&vu->connected);
}

struct guest_mem *vfuser_mem(struct vfuser *vu)
{
	return vu->mem;
}

enum vfuser_msix_mode vfuser_msix_mode(const struct vfuser *vu)
{
	return vu->irq.mode;
}

void vfuser_get_stats(const struct vfuser *vu, struct vfuser_stats *st)
{
#define GET(f) st->f = atomic_load_explicit(&vu->stats.f, memory_order_relaxed)
	GET(messages);
	GET(posted);
	GET(batches);
	GET(rejected);
	GET(irqs);
	GET(irqs_deferred);
	GET(irqs_lost);
	GET(connects);
	GET(refused);
#undef GET
}
