/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the front end for tests: messages of the socket, rings of the driver. */
#include "tests/vhost/vu_client.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"
#include "tests/lib/wait.h"

#define HDR	  sizeof(struct virtio_net_hdr)
#define MAX_TABLE 64 /* entries of an indirect table */

/* ---- Messages ------------------------------------------------------------------------------ */

int vu_send(struct vu *c, uint32_t request, uint32_t flags, const void *body, uint32_t size,
	    const int *fds, unsigned int n_fds)
{
	struct vhost_user_hdr h = {request, flags | VHOST_USER_VERSION, size};
	struct iovec iov[2] = {{&h, sizeof(h)}, {(void *)(uintptr_t)body, size}};
	ssize_t n = fd_send(c->sock, iov, size ? 2 : 1, fds, n_fds, 0);

	if (n == -EPIPE)
		return -ECONNRESET;
	return n < 0 ? (int)n : n == (ssize_t)(sizeof(h) + size) ? 0 : -EIO;
}

static int readable(int fd, int ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	int rc;

	do
		rc = poll(&p, 1, ms);
	while (rc < 0 && errno == EINTR);
	return rc < 0 ? -errno : rc ? 0 : -ETIMEDOUT;
}

static int read_all(struct vu *c, void *to, size_t want, int *fd)
{
	size_t have = 0;

	while (have < want) {
		int fds[1];
		unsigned int n_fds = 1;
		int rc = readable(c->sock, VU_TIMEOUT_MS);
		ssize_t n;

		if (rc)
			return rc;
		n = fd_recv(c->sock, (uint8_t *)to + have, want - have, fds, &n_fds, 0);
		if (n <= 0)
			return n == 0 || n == -ECONNRESET ? -ECONNRESET : (int)n;
		if (n_fds) {
			if (fd && *fd < 0)
				*fd = fds[0];
			else
				close(fds[0]);
		}
		have += (size_t)n;
	}
	return 0;
}

int vu_recv(struct vu *c, uint32_t request, void *body, uint32_t *size, int *fd)
{
	struct vhost_user_hdr h;
	int rc;

	if (fd)
		*fd = -1;
	rc = read_all(c, &h, sizeof(h), fd);
	if (rc)
		return rc;
	if (h.request != request || h.flags != (VHOST_USER_VERSION | VHOST_USER_REPLY) ||
	    h.size > *size)
		return -EPROTO;
	*size = h.size;
	return h.size ? read_all(c, body, h.size, fd) : 0;
}

int vu_ack(struct vu *c, uint32_t request, const void *body, uint32_t size, const int *fds,
	   unsigned int n_fds)
{
	uint64_t value = 0;
	uint32_t room = sizeof(value);
	int rc = vu_send(c, request, VHOST_USER_NEED_REPLY, body, size, fds, n_fds);

	if (!rc)
		rc = vu_recv(c, request, &value, &room, NULL);
	if (rc)
		return rc;
	return room != sizeof(value) ? -EPROTO : value ? -EREMOTEIO : 0;
}

int vu_ack_u64(struct vu *c, uint32_t request, uint64_t value)
{
	return vu_ack(c, request, &value, sizeof(value), NULL, 0);
}

int vu_ack_state(struct vu *c, uint32_t request, uint32_t index, uint32_t num)
{
	struct vhost_vring_state s = {index, num};

	return vu_ack(c, request, &s, sizeof(s), NULL, 0);
}

int vu_get_u64(struct vu *c, uint32_t request, uint64_t *value)
{
	uint32_t room = sizeof(*value);
	int rc = vu_send(c, request, 0, NULL, 0, NULL, 0);

	if (!rc)
		rc = vu_recv(c, request, value, &room, NULL);
	return rc ? rc : room == sizeof(*value) ? 0 : -EPROTO;
}

int vu_sync(struct vu *c)
{
	return vu_get_u64(c, VHOST_USER_GET_FEATURES, &c->offered);
}

bool vu_closed(struct vu *c)
{
	uint8_t buf[256];
	ssize_t n;

	do {
		if (readable(c->sock, VU_TIMEOUT_MS))
			return false;
		n = recv(c->sock, buf, sizeof(buf), 0);
	} while (n > 0 || (n < 0 && errno == EINTR));
	return true;
}

/* ---- Memory ------------------------------------------------------------------------------- */

void *vu_alloc(struct vu *c, size_t size, size_t align)
{
	size_t at = ALIGN_UP(c->used, align), half = c->mem_size / 2;

	/* Nothing of ours lies across the seam. */
	if (at < half && size > half - at)
		at = half;
	if (at > c->mem_size || size > c->mem_size - at)
		return NULL;
	c->used = at + size;
	return c->mem + at;
}

uint64_t vu_gpa(const struct vu *c, const void *p)
{
	size_t off = (size_t)((const uint8_t *)p - c->mem), half = c->mem_size / 2;

	return off < half ? VU_GPA0 + off : VU_GPA1 + (off - half);
}

uint64_t vu_user(const struct vu *c, const void *p)
{
	return VU_USER + (uint64_t)((const uint8_t *)p - c->mem);
}

/* ---- Life --------------------------------------------------------------------------------- */

int vu_open(struct vu *c, int sock, const struct vu_conf *conf)
{
	memset(c, 0, sizeof(*c));
	c->sock = sock;
	c->mem_fd = c->log_fd = -1;
	if (sock < 0)
		return sock;
	if (conf)
		c->conf = *conf;
	if (!c->conf.features)
		c->conf.features = VU_FEATURES;
	if (!c->conf.pairs)
		c->conf.pairs = 1;
	if (!c->conf.ring_size)
		c->conf.ring_size = 256;
	if (!c->conf.rx_buf)
		c->conf.rx_buf = 2048;
	if (!c->conf.rx_chain)
		c->conf.rx_chain = 1;
	if (!c->conf.tx_slot)
		c->conf.tx_slot = 72 * 1024;
	c->mem_size = c->conf.mem_size ? c->conf.mem_size : 64u << 20;
	c->n_rings = 2 * c->conf.pairs;
	for (unsigned int i = 0; i < 2 * VU_MAX_PAIRS; i++)
		c->ring[i].kick = c->ring[i].call = c->ring[i].err = -1;
	c->mem_fd = memfd_create("vu-client", MFD_CLOEXEC);
	if (c->mem_fd < 0 || ftruncate(c->mem_fd, (off_t)c->mem_size) < 0)
		return -errno;
	c->mem = mmap(NULL, c->mem_size, PROT_READ | PROT_WRITE, MAP_SHARED, c->mem_fd, 0);
	if (c->mem == MAP_FAILED) {
		c->mem = NULL;
		return -errno;
	}
	/* Address zero is never given out. */
	c->used = 4096;
	return 0;
}

void vu_reopen(struct vu *c, int sock)
{
	fd_close(&c->sock);
	c->sock = sock;
}

void vu_close(struct vu *c)
{
	fd_close(&c->sock);
	for (unsigned int i = 0; i < 2 * VU_MAX_PAIRS; i++) {
		struct vu_ring *q = &c->ring[i];

		if (!q->desc)
			continue;
		fd_close(&q->kick);
		fd_close(&q->call);
		fd_close(&q->err);
		free(q->free);
		free(q->chain);
		free(q->slot);
	}
	if (c->mem)
		munmap(c->mem, c->mem_size);
	if (c->log)
		munmap(c->log, c->log_size);
	fd_close(&c->mem_fd);
	fd_close(&c->log_fd);
	memset(c, 0, sizeof(*c));
	c->sock = c->mem_fd = c->log_fd = -1;
}

int vu_handshake(struct vu *c)
{
	int rc = vu_get_u64(c, VHOST_USER_GET_FEATURES, &c->offered);

	if (rc)
		return rc;
	c->features = c->offered & c->conf.features;
	if (c->features & VU_BIT(VHOST_USER_F_PROTOCOL_FEATURES)) {
		rc = vu_get_u64(c, VHOST_USER_GET_PROTOCOL_FEATURES, &c->offered_protocol);
		if (rc)
			return rc;
		c->protocol = c->offered_protocol;
		rc = vu_send(c, VHOST_USER_SET_PROTOCOL_FEATURES, 0, &c->protocol,
			     sizeof(c->protocol), NULL, 0);
		if (rc)
			return rc;
	}
	rc = vu_send(c, VHOST_USER_SET_OWNER, 0, NULL, 0, NULL, 0);
	if (rc)
		return rc;
	return vu_send(c, VHOST_USER_SET_FEATURES, 0, &c->features, sizeof(c->features), NULL, 0);
}

static struct vhost_user_region region(const struct vu *c, unsigned int i)
{
	uint64_t half = c->mem_size / 2;

	return (struct vhost_user_region){.guest_addr = i ? VU_GPA1 : VU_GPA0,
					  .size = half,
					  .user_addr = VU_USER + i * half,
					  .mmap_offset = i * half};
}

int vu_set_mem(struct vu *c)
{
	int fds[2] = {c->mem_fd, c->mem_fd};
	struct vhost_user_mem m = {.n_regions = 2, .region = {region(c, 0), region(c, 1)}};

	if (c->conf.mem_slots) {
		for (unsigned int i = 0; i < 2; i++) {
			struct vhost_user_mem_reg r = {.region = region(c, i)};
			int rc = vu_ack(c, VHOST_USER_ADD_MEM_REG, &r, sizeof(r), fds, 1);

			if (rc)
				return rc;
		}
		return 0;
	}
	return vu_send(
		c, VHOST_USER_SET_MEM_TABLE, 0, &m,
		(uint32_t)(offsetof(struct vhost_user_mem, region) + 2 * sizeof(m.region[0])), fds,
		2);
}

int vu_ring_make(struct vu *c, unsigned int index, uint32_t off)
{
	struct vu_ring *q = &c->ring[index];
	uint16_t n = c->conf.ring_size;
	bool rx = !(index & 1);

	q->c = c;
	q->index = index;
	q->num = n;
	q->desc = (void *)((uint8_t *)vu_alloc(c, n * 16u + off, 16) + (off & ~15u));
	q->avail = (void *)((uint8_t *)vu_alloc(c, 6 + n * 2u + off, 16) + (off & ~1u));
	q->used = (void *)((uint8_t *)vu_alloc(c, 6 + n * 8u + off, 16) + (off & ~3u));
	q->slot_size = rx ? c->conf.rx_buf : c->conf.tx_slot;
	q->slots = vu_alloc(c, (size_t)n * q->slot_size, 4096);
	q->tables = vu_alloc(c, n * MAX_TABLE * 16u, 16);
	q->free = calloc(n, sizeof(*q->free));
	q->chain = calloc(n, sizeof(*q->chain));
	q->slot = calloc(n, sizeof(*q->slot));
	if (!q->slots || !q->tables || !q->free || !q->chain || !q->slot)
		return -ENOMEM;
	for (uint16_t i = 0; i < n; i++)
		q->free[i] = (uint16_t)(n - 1 - i);
	q->n_free = n;
	q->avail_idx = q->last_used = q->kicked = c->conf.base;
	q->avail->idx = q->used->idx = c->conf.base;
	q->kick = c->conf.no_kick_fd ? -1 : eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	q->call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	q->err = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return q->call < 0 || q->err < 0 ? -EMFILE : 0;
}

int vu_ring_addr(struct vu_ring *q, uint32_t flags)
{
	struct vhost_vring_addr a = {.index = q->index,
				     .flags = flags,
				     .desc = vu_user(q->c, q->desc),
				     .used = vu_user(q->c, q->used),
				     .avail = vu_user(q->c, q->avail),
				     .log = vu_gpa(q->c, q->used)};

	return vu_send(q->c, VHOST_USER_SET_VRING_ADDR, 0, &a, sizeof(a), NULL, 0);
}

static int send_fd(struct vu_ring *q, uint32_t request, int fd)
{
	uint64_t word = q->index | (fd < 0 ? VHOST_USER_VRING_NOFD : 0);

	return vu_send(q->c, request, 0, &word, sizeof(word), &fd, fd >= 0);
}

int vu_ring_start(struct vu_ring *q, uint16_t base)
{
	struct vhost_vring_state num = {q->index, q->num}, idx = {q->index, base};
	int rc = vu_send(q->c, VHOST_USER_SET_VRING_NUM, 0, &num, sizeof(num), NULL, 0);

	if (!rc)
		rc = vu_send(q->c, VHOST_USER_SET_VRING_BASE, 0, &idx, sizeof(idx), NULL, 0);
	if (!rc)
		rc = vu_ring_addr(q, 0);
	if (!rc)
		rc = send_fd(q, VHOST_USER_SET_VRING_CALL, q->call);
	if (!rc)
		rc = send_fd(q, VHOST_USER_SET_VRING_ERR, q->err);
	return rc ? rc : send_fd(q, VHOST_USER_SET_VRING_KICK, q->kick);
}

int vu_ring_enable(struct vu_ring *q, bool on)
{
	struct vhost_vring_state s = {q->index, on};

	return vu_send(q->c, VHOST_USER_SET_VRING_ENABLE, 0, &s, sizeof(s), NULL, 0);
}

int vu_ring_stop(struct vu_ring *q, uint16_t *base)
{
	struct vhost_vring_state s = {q->index, 0};
	uint32_t room = sizeof(s);
	int rc = vu_send(q->c, VHOST_USER_GET_VRING_BASE, 0, &s, sizeof(s), NULL, 0);

	if (!rc)
		rc = vu_recv(q->c, VHOST_USER_GET_VRING_BASE, &s, &room, NULL);
	if (rc)
		return rc;
	if (room != sizeof(s) || s.index != q->index || s.num > 0xffff)
		return -EPROTO;
	*base = (uint16_t)s.num;
	return 0;
}

int vu_up(struct vu *c, int sock, const struct vu_conf *conf)
{
	int rc = vu_open(c, sock, conf);

	if (!rc)
		rc = vu_handshake(c);
	if (!rc)
		rc = vu_set_mem(c);
	for (unsigned int i = 0; i < c->n_rings && !rc; i++) {
		rc = vu_ring_make(c, i, 0);
		if (!rc && !(i & 1) && !c->conf.no_fill)
			vu_rx_fill(&c->ring[i], c->conf.ring_size);
		if (!rc)
			rc = vu_ring_start(&c->ring[i], c->conf.base);
		if (!rc && c->features & VU_BIT(VHOST_USER_F_PROTOCOL_FEATURES))
			rc = vu_ring_enable(&c->ring[i], true);
	}
	return rc ? rc : vu_sync(c);
}

int vu_log_start(struct vu *c)
{
	struct vhost_user_log l = {0};
	uint64_t answer, features = c->features | VU_BIT(VHOST_F_LOG_ALL);
	uint32_t room = sizeof(answer);
	int rc;

	c->log_size = (VU_GPA1 + c->mem_size) / 4096 / 8 + 1;
	c->log_fd = memfd_create("vu-log", MFD_CLOEXEC);
	if (c->log_fd < 0 || ftruncate(c->log_fd, (off_t)c->log_size) < 0)
		return -errno;
	c->log = mmap(NULL, c->log_size, PROT_READ | PROT_WRITE, MAP_SHARED, c->log_fd, 0);
	if (c->log == MAP_FAILED) {
		c->log = NULL;
		return -errno;
	}
	l.mmap_size = c->log_size;
	rc = vu_send(c, VHOST_USER_SET_LOG_BASE, 0, &l, sizeof(l), &c->log_fd, 1);
	if (!rc)
		rc = vu_recv(c, VHOST_USER_SET_LOG_BASE, &answer, &room, NULL);
	if (!rc)
		rc = vu_ack_u64(c, VHOST_USER_SET_FEATURES, features);
	for (unsigned int i = 0; i < c->n_rings && !rc; i++)
		rc = vu_ring_addr(&c->ring[i], VHOST_VRING_F_LOG);
	return rc ? rc : vu_get_u64(c, VHOST_USER_GET_FEATURES, &answer);
}

bool vu_log_test(const struct vu *c, uint64_t gpa)
{
	uint64_t page = gpa / 4096;

	return page / 8 < c->log_size &&
	       __atomic_load_n(&c->log[page / 8], __ATOMIC_SEQ_CST) >> (page % 8) & 1;
}

/* ---- Driver
 * --------------------------------------------------------------------------------------- */

static bool has(const struct vu_ring *q, unsigned int bit)
{
	return q->c->features & VU_BIT(bit);
}

void vu_post(struct vu_ring *q, uint16_t head)
{
	q->avail->ring[q->avail_idx & (q->num - 1)] = head;
	q->avail_idx++;
	__atomic_store_n(&q->avail->idx, q->avail_idx, __ATOMIC_RELEASE);
}

void vu_kick(struct vu_ring *q, bool force)
{
	uint16_t old = q->kicked, now = q->avail_idx, event;
	bool want;

	q->kicked = now;
	if (q->kick < 0 || (old == now && !force))
		return;
	/* Pairs with the barrier in vh_ring_notify_on(). */
	__sync_synchronize();
	if (has(q, VIRTIO_RING_F_EVENT_IDX)) {
		event = __atomic_load_n((uint16_t *)&q->used->ring[q->num], __ATOMIC_RELAXED);
		want = (uint16_t)(now - event - 1) < (uint16_t)(now - old);
	} else {
		want = !(__atomic_load_n(&q->used->flags, __ATOMIC_RELAXED) &
			 VRING_USED_F_NO_NOTIFY);
	}
	if (!want && !force)
		return;
	q->kicks++;
	fd_event_signal(q->kick);
}

void vu_irq(struct vu_ring *q, bool on)
{
	uint16_t *event = &q->avail->ring[q->num];

	if (has(q, VIRTIO_RING_F_EVENT_IDX))
		__atomic_store_n(event, on ? q->last_used : (uint16_t)(q->last_used - 1),
				 __ATOMIC_RELAXED);
	else
		__atomic_store_n(&q->avail->flags, on ? 0 : VRING_AVAIL_F_NO_INTERRUPT,
				 __ATOMIC_RELAXED);
	__sync_synchronize();
}

static void set_desc(struct vring_desc *d, uint64_t addr, uint32_t len, uint16_t flags,
		     uint16_t next)
{
	d->addr = le64_make(addr);
	d->len = le32_make(len);
	d->flags = le16_make(flags);
	d->next = le16_make(next);
}

static uint32_t hdr_size(const struct vu_ring *q)
{
	return has(q, VIRTIO_F_VERSION_1) || has(q, VIRTIO_NET_F_MRG_RXBUF) ? HDR
									    : VIRTIO_NET_HDR_SHORT;
}

int vu_tx_post(struct vu_ring *q, const void *frame, uint32_t len, const struct vu_tx *tx)
{
	static const struct vu_tx plain;
	uint32_t hdr = hdr_size(q), all = len + hdr, done = 0;
	unsigned int pieces;
	uint16_t used_desc, head;
	struct vring_desc *table;
	uint8_t *slot, *at;

	tx = tx ? tx : &plain;
	pieces = tx->pieces ? tx->pieces : 1;
	used_desc = (uint16_t)(tx->indirect ? 1 : pieces);
	if (pieces > MAX_TABLE || all + pieces * tx->gap > q->slot_size)
		return -EINVAL;
	if (q->n_free < used_desc)
		return -ENOSPC;
	head = q->free[q->n_free - 1];
	slot = q->slots + (size_t)head * q->slot_size;
	memcpy(slot, &tx->hdr, hdr);
	memcpy(slot + hdr, frame, len);
	table = (struct vring_desc *)(q->tables + (size_t)head * MAX_TABLE * 16);
	for (unsigned int i = 0; i < pieces; i++) {
		uint32_t n = i + 1 == pieces ? all - done : MAX(all / pieces, 1u);
		bool more = i + 1 < pieces;

		if (tx->split_hdr && !i && more)
			n = hdr;
		at = slot + done + i * tx->gap;
		/* What is left moves on by a gap. */
		if (tx->gap && i)
			memmove(slot + done + i * tx->gap, slot + done + (i - 1) * tx->gap,
				all - done);
		if (tx->indirect)
			set_desc(&table[i], vu_gpa(q->c, at), n, more ? VRING_DESC_F_NEXT : 0,
				 (uint16_t)(i + 1));
		else
			set_desc(&q->desc[q->free[q->n_free - 1 - i]], vu_gpa(q->c, at), n,
				 more ? VRING_DESC_F_NEXT : 0,
				 more ? q->free[q->n_free - 2 - i] : 0);
		done += n;
	}
	if (tx->indirect)
		set_desc(&q->desc[head], vu_gpa(q->c, table), pieces * 16, VRING_DESC_F_INDIRECT,
			 0);
	q->n_free -= used_desc;
	q->chain[head] = used_desc;
	vu_post(q, head);
	return 0;
}

/* Its descriptors are free again. They were taken from the top of the list, head first. */
static void put_chain(struct vu_ring *q, uint16_t head)
{
	uint16_t n = q->chain[head], at = head;

	q->chain[head] = 0;
	while (n--) {
		uint16_t next = le16_get(q->desc[at].next);

		q->free[q->n_free++] = at;
		at = next;
	}
}

/* The next used entry; 1, 0: none, -EPROTO. */
static int next_used(struct vu_ring *q, struct vring_used_elem *e)
{
	uint16_t idx = __atomic_load_n(&q->used->idx, __ATOMIC_ACQUIRE);

	if (idx == q->last_used)
		return 0;
	if ((uint16_t)(idx - q->last_used) > q->num)
		return -EPROTO;
	*e = q->used->ring[q->last_used & (q->num - 1)];
	q->last_used++;
	return e->id >= q->num || !q->chain[e->id] ? -EPROTO : 1;
}

int vu_tx_reap(struct vu_ring *q)
{
	struct vring_used_elem e;
	int n = 0, rc;

	while ((rc = next_used(q, &e)) > 0) {
		put_chain(q, (uint16_t)e.id);
		n++;
	}
	return rc < 0 ? rc : n;
}

int vu_tx(struct vu_ring *q, const void *frame, uint32_t len, const struct vu_tx *tx)
{
	int rc = vu_tx_post(q, frame, len, tx), n = 0;

	if (rc)
		return rc;
	vu_kick(q, false);
	if (!wait_until((n = vu_tx_reap(q)) != 0, VU_TIMEOUT_MS))
		return -ETIMEDOUT;
	return n < 0 ? n : 0;
}

int vu_rx_fill(struct vu_ring *q, unsigned int max)
{
	unsigned int chain = q->c->conf.rx_chain, n = 0;

	for (; n < max && q->n_free >= chain; n++) {
		uint16_t head = q->free[q->n_free - 1];
		uint8_t *slot = q->slots + (size_t)head * q->slot_size;
		uint32_t part = q->slot_size / chain, done = 0;

		for (unsigned int i = 0; i < chain; i++) {
			bool more = i + 1 < chain;

			set_desc(&q->desc[q->free[q->n_free - 1 - i]], vu_gpa(q->c, slot + done),
				 more ? part : q->slot_size - done,
				 VRING_DESC_F_WRITE | (more ? VRING_DESC_F_NEXT : 0),
				 more ? q->free[q->n_free - 2 - i] : 0);
			done += part;
		}
		q->n_free = (uint16_t)(q->n_free - chain);
		q->chain[head] = (uint16_t)chain;
		vu_post(q, head);
	}
	if (n)
		vu_kick(q, false);
	return (int)n;
}

int vu_rx_poll(struct vu_ring *q, void *frame, uint32_t room, struct virtio_net_hdr *hdr,
	       unsigned int *n_buffers)
{
	uint32_t size = hdr_size(q), len = 0;
	struct virtio_net_hdr h = {0};
	struct vring_used_elem e;
	unsigned int want = 1;

	for (unsigned int i = 0; i < want; i++) {
		const uint8_t *slot;
		uint32_t skip = i ? 0 : size;
		int rc = next_used(q, &e);

		if (rc <= 0)
			return rc ? rc : i ? -EPROTO : 0;
		slot = q->slots + (size_t)e.id * q->slot_size;
		if (e.len > q->slot_size || e.len < skip || e.len - skip > room - len)
			return -EPROTO;
		if (!i) {
			memcpy(&h, slot, size);
			if (has(q, VIRTIO_NET_F_MRG_RXBUF))
				want = le16_get(h.num_buffers);
			if (!want)
				return -EPROTO;
		}
		memcpy((uint8_t *)frame + len, slot + skip, e.len - skip);
		len += e.len - skip;
		put_chain(q, (uint16_t)e.id);
	}
	if (hdr)
		*hdr = h;
	if (n_buffers)
		*n_buffers = want;
	return (int)len;
}

int vu_rx_wait(struct vu_ring *q, void *frame, uint32_t room, struct virtio_net_hdr *hdr,
	       unsigned int ms)
{
	uint64_t end = now_ns() + ms * NSEC_PER_MSEC;
	int n;

	for (;;) {
		vu_irq(q, true);
		n = vu_rx_poll(q, frame, room, hdr, NULL);
		if (n)
			return n;
		if (now_ns() >= end)
			return 0;
		if (!readable(q->call, (int)((end - now_ns()) / NSEC_PER_MSEC) + 1)) {
			fd_event_drain(q->call);
			q->calls++;
		} else {
			return 0;
		}
	}
}
