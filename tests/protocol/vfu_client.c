/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the client's side of vfio-user for tests: requests, replies, serving the server's DMA. */
#include "tests/protocol/vfu_client.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"

#define RX_ROOM (2u << 20)

static const char client_caps[] =
	"{\"capabilities\":{\"max_msg_fds\":16,\"max_data_xfer_size\":1048576,"
	"\"max_dma_maps\":65535,\"pgsizes\":4096,\"write_multiple\":true,"
	"\"migration\":{\"max_bitmap_size\":268435456,\"pgsize\":4096}}}";

struct vfu_client *vfu_client_new(int fd)
{
	struct vfu_client *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->rx = malloc(RX_ROOM);
	if (!c->rx) {
		free(c);
		return NULL;
	}
	c->rx_room = RX_ROOM;
	c->fd = fd;
	c->answer_dma = true;
	c->timeout_ms = VFU_CLIENT_TIMEOUT_MS;
	return c;
}

struct vfu_client *vfu_client_connect(const char *path)
{
	int fd = fd_unix_connect(path);
	struct vfu_client *c;

	if (fd < 0) {
		errno = -fd;
		return NULL;
	}
	c = vfu_client_new(fd);
	if (!c)
		close(fd);
	return c;
}

void vfu_client_free(struct vfu_client *c)
{
	if (!c)
		return;
	fd_close_all(c->rx_fds, c->n_rx_fds);
	fd_close(&c->fd);
	free(c->rx);
	free(c);
}

int vfu_client_raw(struct vfu_client *c, const void *bytes, size_t size, const int *fds,
		   unsigned int n_fds)
{
	struct iovec iov = {(void *)(uintptr_t)bytes, size};

	while (iov.iov_len) {
		ssize_t n = fd_send(c->fd, &iov, 1, fds, n_fds, 0);

		if (n < 0)
			return (int)n;
		iov.iov_base = (uint8_t *)iov.iov_base + n;
		iov.iov_len -= (size_t)n;
		n_fds = 0;
	}
	return 0;
}

/* Reads until a whole message lies in c->rx. */
static int fill(struct vfu_client *c, uint64_t deadline)
{
	for (;;) {
		struct pollfd p = {.fd = c->fd, .events = POLLIN};
		unsigned int n_fds = ARRAY_SIZE(c->rx_fds) - c->n_rx_fds;
		uint64_t now = now_ns();
		struct vfio_user_hdr h;
		ssize_t n;

		if (c->rx_len >= sizeof(h)) {
			memcpy(&h, c->rx, sizeof(h));
			if (h.size < sizeof(h) || h.size > c->rx_room)
				return -EPROTO;
			if (c->rx_len >= h.size)
				return 0;
		}
		n = fd_recv(c->fd, c->rx + c->rx_len, c->rx_room - c->rx_len,
			    c->rx_fds + c->n_rx_fds, &n_fds, MSG_DONTWAIT);
		if (n > 0) {
			c->rx_len += (size_t)n;
			c->n_rx_fds += n_fds;
			continue;
		}
		if (n == 0)
			return -ECONNRESET;
		if (n != -EAGAIN)
			return (int)n;
		if (now >= deadline)
			return -ETIMEDOUT;
		if (poll(&p, 1, (int)((deadline - now) / NSEC_PER_MSEC) + 1) < 0 && errno != EINTR)
			return -errno;
	}
}

static void consume(struct vfu_client *c, size_t size)
{
	memmove(c->rx, c->rx + size, c->rx_len - size);
	c->rx_len -= size;
}

static uint8_t *find(struct vfu_client *c, uint64_t addr, uint64_t size)
{
	for (unsigned int i = 0; i < c->n_maps; i++) {
		const struct vfu_client_map *m = &c->maps[i];

		if (m->ptr && addr >= m->addr && size <= m->size &&
		    addr - m->addr <= m->size - size)
			return m->ptr + (addr - m->addr);
	}
	return NULL;
}

/* A request of the server's lies at the front of c->rx. */
static int serve(struct vfu_client *c)
{
	struct vfio_user_dma_access a;
	struct vfio_user_hdr h, r;
	struct iovec iov[3];
	unsigned int n = 1;
	uint8_t *p, *data;
	int rc = 0;

	memcpy(&h, c->rx, sizeof(h));
	if (h.size < sizeof(h) + sizeof(a) ||
	    (h.cmd != VFIO_USER_DMA_READ && h.cmd != VFIO_USER_DMA_WRITE))
		return -EPROTO;
	memcpy(&a, c->rx + sizeof(h), sizeof(a));
	data = c->rx + sizeof(h) + sizeof(a);
	c->last_dma_id = h.id;
	c->last_dma_cmd = h.cmd;
	r = (struct vfio_user_hdr){.id = h.id, .cmd = h.cmd, .flags = VFIO_USER_F_REPLY};
	iov[0] = (struct iovec){&r, sizeof(r)};
	p = find(c, a.addr, a.count);
	if (h.cmd == VFIO_USER_DMA_WRITE) {
		if (h.size != sizeof(h) + sizeof(a) + a.count)
			return -EPROTO;
		c->dma_writes++;
		if (p)
			memcpy(p, data, a.count);
		if (c->on_dma_write)
			c->on_dma_write(c->arg, a.addr, data, a.count);
		if (!p && (!(h.flags & VFIO_USER_F_NO_REPLY) || c->refuse_msi))
			r.error = EFAULT;
		else
			iov[n++] = (struct iovec){&a, sizeof(a)};
	} else {
		c->dma_reads++;
		if (p) {
			iov[n++] = (struct iovec){&a, sizeof(a)};
			iov[n++] = (struct iovec){p, a.count};
		} else {
			r.error = EFAULT;
		}
	}
	if (r.error)
		r.flags |= VFIO_USER_F_ERROR;
	/* Like QEMU: silent about a NO_REPLY write that went well, not about one that failed. */
	if (c->answer_dma && (r.error || !(h.flags & VFIO_USER_F_NO_REPLY))) {
		for (unsigned int i = 0; i < n; i++)
			r.size += (uint32_t)iov[i].iov_len;
		if (fd_send(c->fd, iov, n, NULL, 0, 0) != (ssize_t)r.size)
			rc = -EIO;
	}
	consume(c, h.size);
	return rc;
}

static bool is_reply(const struct vfu_client *c)
{
	struct vfio_user_hdr h;

	memcpy(&h, c->rx, sizeof(h));
	return (h.flags & VFIO_USER_F_TYPE) == VFIO_USER_F_REPLY;
}

int vfu_client_reply(struct vfu_client *c, struct vfio_user_hdr *h, void *body, size_t room)
{
	uint64_t deadline = now_ns() + c->timeout_ms * NSEC_PER_MSEC;

	for (;;) {
		int rc = fill(c, deadline);

		if (rc)
			return rc;
		if (is_reply(c))
			break;
		rc = serve(c);
		if (rc)
			return rc;
	}
	memcpy(h, c->rx, sizeof(*h));
	if (room)
		memcpy(body, c->rx + sizeof(*h), MIN(room, h->size - sizeof(*h)));
	consume(c, h->size);
	return 0;
}

int vfu_client_poll(struct vfu_client *c, unsigned int ms)
{
	uint64_t deadline = now_ns() + ms * NSEC_PER_MSEC;
	int served = 0;

	for (;;) {
		int rc = fill(c, served ? 0 : deadline);

		if (rc == -ETIMEDOUT)
			return served;
		if (rc)
			return rc;
		if (is_reply(c))
			return served;
		rc = serve(c);
		if (rc)
			return rc;
		served++;
	}
}

bool vfu_client_closed(struct vfu_client *c, unsigned int ms)
{
	uint64_t deadline = now_ns() + ms * NSEC_PER_MSEC;

	for (;;) {
		int rc = fill(c, deadline);
		struct vfio_user_hdr h;

		if (rc == -ETIMEDOUT)
			return false;
		if (rc)
			return true;
		memcpy(&h, c->rx, sizeof(h));
		consume(c, h.size);
	}
}

int vfu_client_request(struct vfu_client *c, uint16_t cmd, const void *body, size_t size,
		       const int *fds, unsigned int n_fds, void *reply, size_t *reply_size)
{
	struct vfio_user_hdr h = {
		.id = c->next_id++ & 0x7fff, .cmd = cmd, .size = (uint32_t)(sizeof(h) + size)};
	struct iovec iov[2] = {{&h, sizeof(h)}, {(void *)(uintptr_t)body, size}};
	size_t room = reply_size ? *reply_size : 0;
	struct vfio_user_hdr r;
	ssize_t n;
	int rc;

	fd_close_all(c->rx_fds, c->n_rx_fds);
	c->n_rx_fds = 0;
	n = fd_send(c->fd, iov, size ? 2 : 1, fds, n_fds, 0);
	if (n < 0)
		return (int)n;
	if ((size_t)n < h.size) {
		/* A blocking socket takes the rest; it began inside the body. */
		rc = vfu_client_raw(c, (const uint8_t *)body + (n - (ssize_t)sizeof(h)),
				    h.size - (size_t)n, NULL, 0);
		if (rc)
			return rc;
	}
	rc = vfu_client_reply(c, &r, reply, room);
	if (rc)
		return rc;
	if (r.id != h.id || r.cmd != cmd)
		return -EPROTO;
	if (r.flags & VFIO_USER_F_ERROR)
		return r.error ? -(int)r.error : -EPROTO;
	if (reply_size)
		*reply_size = r.size - sizeof(r);
	return 0;
}

int vfu_client_version(struct vfu_client *c)
{
	struct {
		struct vfio_user_version v;
		char caps[sizeof(client_caps)];
	} q = {.v = {0, 0}}, r = {.v = {0xffff, 0xffff}};
	size_t n = sizeof(r);
	int rc;

	memcpy(q.caps, client_caps, sizeof(client_caps));
	rc = vfu_client_request(c, VFIO_USER_VERSION, &q, sizeof(q), NULL, 0, &r, &n);
	if (rc)
		return rc;
	if (n < sizeof(r.v) || n > sizeof(q))
		return -EPROTO;
	c->server_major = r.v.major;
	c->server_minor = r.v.minor;
	memcpy(c->server_caps, r.caps, n - sizeof(r.v));
	c->server_caps[n - sizeof(r.v)] = 0;
	return 0;
}

int vfu_client_device_info(struct vfu_client *c, struct vfio_user_device_info *info)
{
	size_t n = sizeof(*info);
	int rc;

	*info = (struct vfio_user_device_info){.argsz = sizeof(*info)};
	rc = vfu_client_request(c, VFIO_USER_DEVICE_GET_INFO, info, sizeof(*info), NULL, 0, info,
				&n);
	return rc ? rc : n == sizeof(*info) ? 0 : -EPROTO;
}

int vfu_client_region_info(struct vfu_client *c, struct vfio_region_info *info, size_t size,
			   int *fd)
{
	size_t n = size;
	int rc = vfu_client_request(c, VFIO_USER_DEVICE_GET_REGION_INFO, info, sizeof(*info), NULL,
				    0, info, &n);

	if (fd)
		*fd = -1;
	if (!rc && fd && c->n_rx_fds) {
		*fd = c->rx_fds[0];
		c->rx_fds[0] = -1;
	}
	return rc;
}

int vfu_client_irq_info(struct vfu_client *c, uint32_t index, struct vfio_irq_info *info)
{
	size_t n = sizeof(*info);

	*info = (struct vfio_irq_info){.argsz = sizeof(*info), .index = index};
	return vfu_client_request(c, VFIO_USER_DEVICE_GET_IRQ_INFO, info, sizeof(*info), NULL, 0,
				  info, &n);
}

int vfu_client_hello(struct vfu_client *c)
{
	struct vfio_user_device_info info;
	int rc = vfu_client_version(c);

	if (!rc)
		rc = vfu_client_device_info(c, &info);
	for (uint32_t i = 0; !rc && i < info.num_regions; i++) {
		struct vfio_region_info r = {.argsz = sizeof(r), .index = i};

		rc = vfu_client_region_info(c, &r, sizeof(r), NULL);
	}
	return rc ? rc : vfu_client_reset(c);
}

int vfu_client_read(struct vfu_client *c, uint32_t region, uint64_t off, void *buf, uint32_t size)
{
	struct vfio_user_region_access a = {.offset = off, .region = region, .count = size};
	size_t n = sizeof(a) + size;
	uint8_t *reply = malloc(n);
	int rc;

	if (!reply)
		return -ENOMEM;
	rc = vfu_client_request(c, VFIO_USER_REGION_READ, &a, sizeof(a), NULL, 0, reply, &n);
	if (!rc && n != sizeof(a) + size)
		rc = -EPROTO;
	if (!rc)
		memcpy(buf, reply + sizeof(a), size);
	free(reply);
	return rc;
}

int vfu_client_write(struct vfu_client *c, uint32_t region, uint64_t off, const void *buf,
		     uint32_t size)
{
	struct vfio_user_region_access a = {.offset = off, .region = region, .count = size};
	uint8_t *q = malloc(sizeof(a) + size);
	int rc;

	if (!q)
		return -ENOMEM;
	memcpy(q, &a, sizeof(a));
	memcpy(q + sizeof(a), buf, size);
	rc = vfu_client_request(c, VFIO_USER_REGION_WRITE, q, sizeof(a) + size, NULL, 0, NULL,
				NULL);
	free(q);
	return rc;
}

int vfu_client_post(struct vfu_client *c, uint32_t region, uint64_t off, const void *buf,
		    uint32_t size)
{
	struct {
		struct vfio_user_hdr h;
		struct vfio_user_region_access a;
		uint8_t data[64];
	} m = {
		.h = {.id = c->next_id++ & 0x7fff,
		      .cmd = VFIO_USER_REGION_WRITE,
		      .size = (uint32_t)offsetof(__typeof__(m), data) + size,
		      .flags = VFIO_USER_F_NO_REPLY},
		.a = {.offset = off, .region = region, .count = size},
	};
	ssize_t n;

	if (size > sizeof(m.data))
		return -EINVAL;
	memcpy(m.data, buf, size);
	do
		n = send(c->fd, &m, m.h.size, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return n == (ssize_t)m.h.size ? 0 : -EIO;
}

uint32_t vfu_client_cfg_read(struct vfu_client *c, uint32_t off, unsigned int size, int *rc)
{
	uint32_t v = 0;
	int r = vfu_client_read(c, VFIO_PCI_CONFIG_REGION_INDEX, off, &v, size);

	if (rc)
		*rc = r;
	return r ? ~0u : v;
}

int vfu_client_cfg_write(struct vfu_client *c, uint32_t off, uint32_t value, unsigned int size)
{
	return vfu_client_write(c, VFIO_PCI_CONFIG_REGION_INDEX, off, &value, size);
}

uint32_t vfu_client_find_cap(struct vfu_client *c, uint8_t id)
{
	uint32_t at = vfu_client_cfg_read(c, 0x34, 1, NULL);

	for (int i = 0; at >= 0x40 && at < 0x100 && i < 48; i++) {
		if (vfu_client_cfg_read(c, at, 1, NULL) == id)
			return at;
		at = vfu_client_cfg_read(c, at + 1, 1, NULL);
	}
	return 0;
}

int vfu_client_dma_map(struct vfu_client *c, uint64_t addr, uint64_t size, int fd, uint64_t offset,
		       uint32_t flags, void *ptr)
{
	struct vfio_user_dma_map d = {
		.argsz = sizeof(d), .flags = flags, .offset = offset, .addr = addr, .size = size};
	int rc;

	if (ptr && c->n_maps == VFU_CLIENT_MAX_MAPS)
		return -ENOSPC;
	rc = vfu_client_request(c, VFIO_USER_DMA_MAP, &d, sizeof(d), &fd, fd >= 0, NULL, NULL);
	if (!rc && ptr)
		c->maps[c->n_maps++] = (struct vfu_client_map){addr, size, ptr};
	return rc;
}

int vfu_client_dma_unmap(struct vfu_client *c, uint64_t addr, uint64_t size)
{
	struct vfio_user_dma_unmap d = {.argsz = sizeof(d), .addr = addr, .size = size};
	int rc = vfu_client_request(c, VFIO_USER_DMA_UNMAP, &d, sizeof(d), NULL, 0, NULL, NULL);

	if (rc)
		return rc;
	for (unsigned int i = 0; i < c->n_maps;) {
		if (c->maps[i].addr >= addr && c->maps[i].addr - addr <= size - c->maps[i].size)
			c->maps[i] = c->maps[--c->n_maps];
		else
			i++;
	}
	return 0;
}

int vfu_client_set_irqs(struct vfu_client *c, uint32_t index, uint32_t flags, uint32_t start,
			uint32_t count, const int *fds)
{
	struct vfio_irq_set s = {.argsz = sizeof(s),
				 .flags = flags,
				 .index = index,
				 .start = start,
				 .count = count};

	return vfu_client_request(c, VFIO_USER_DEVICE_SET_IRQS, &s, sizeof(s), fds,
				  fds ? count : 0, NULL, NULL);
}

int vfu_client_reset(struct vfu_client *c)
{
	return vfu_client_request(c, VFIO_USER_DEVICE_RESET, NULL, 0, NULL, 0, NULL, NULL);
}
