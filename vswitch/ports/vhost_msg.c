/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns what each message means: one handler each, and the table that says what a message must look
 * like. QEMU docs/interop/vhost-user.rst.
 *
 * A handler checks everything, then changes. It changes what the front end has told us and leaves
 * it to vh_refresh() to start and halt rings; what a delivery on another worker may look at is
 * changed under the locks of the receive rings.
 */
#include "vswitch/ports/vhost_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/fd.h"

#define PROTOCOL_FEATURES                                                                          \
	(VH_BIT(VHOST_USER_PROTOCOL_F_MQ) | VH_BIT(VHOST_USER_PROTOCOL_F_LOG_SHMFD) |              \
	 VH_BIT(VHOST_USER_PROTOCOL_F_RARP) | VH_BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK) |            \
	 VH_BIT(VHOST_USER_PROTOCOL_F_MTU) | VH_BIT(VHOST_USER_PROTOCOL_F_CONFIG) |                \
	 VH_BIT(VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD) |                                            \
	 VH_BIT(VHOST_USER_PROTOCOL_F_RESET_DEVICE) |                                              \
	 VH_BIT(VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS) | VH_BIT(VHOST_USER_PROTOCOL_F_STATUS))

/* What may change while rings run. */
#define LIVE_FEATURES VH_BIT(VHOST_F_LOG_ALL)

#define MTU_MIN	       68
#define MTU_MAX	       65535
#define INFLIGHT_ALIGN 64u

/* The descriptor of this message, now the caller's; -1: it has none. */
static int take_fd(struct vhost *v)
{
	int fd = v->conn.n_fds ? v->conn.fds[0] : -1;

	if (v->conn.n_fds)
		v->conn.fds[0] = -1;
	return fd;
}

static struct vring *ring_of(struct vhost *v, uint64_t index)
{
	return index < v->n_rings ? &v->ring[index] : NULL;
}

static bool any_started(const struct vhost *v)
{
	for (unsigned int i = 0; i < v->n_rings; i++)
		if (v->ring[i].started)
			return true;
	return false;
}

static int answer_u64(struct vhost *v, uint32_t *len, uint64_t value)
{
	v->conn.body.u64 = value;
	*len = sizeof(value);
	return 0;
}

/* ---- Features ------------------------------------------------------------------------------ */

static int get_features(struct vhost *v, uint32_t *len, int *fd)
{
	(void)fd;
	return answer_u64(v, len, v->offered);
}

static int set_features(struct vhost *v, uint32_t *len, int *fd)
{
	uint64_t want = v->conn.body.u64, now = atomic_load(&v->features);

	(void)len;
	(void)fd;
	if (want & ~v->offered)
		return -EINVAL;
	if (any_started(v) && v->have_features && (want ^ now) & ~LIVE_FEATURES)
		return -EBUSY;
	vh_lock_all(v);
	atomic_store(&v->features, want);
	for (unsigned int i = 0; i < v->n_rings; i++)
		v->ring[i].logs = want & VH_BIT(VHOST_F_LOG_ALL);
	vh_unlock_all(v);
	v->have_features = true;
	/* A front end that does not know SET_VRING_ENABLE gets its rings enabled. */
	for (unsigned int i = 0; !(want & VH_BIT(VHOST_USER_F_PROTOCOL_FEATURES)) && i < v->n_rings;
	     i++)
		v->ring[i].enabled = true;
	vh_refresh(v);
	return 0;
}

static int get_protocol_features(struct vhost *v, uint32_t *len, int *fd)
{
	(void)fd;
	return answer_u64(v, len, PROTOCOL_FEATURES);
}

static int set_protocol_features(struct vhost *v, uint32_t *len, int *fd)
{
	(void)len;
	(void)fd;
	if (v->conn.body.u64 & ~PROTOCOL_FEATURES)
		return -EINVAL;
	v->protocol_features = v->conn.body.u64;
	return 0;
}

static int set_owner(struct vhost *v, uint32_t *len, int *fd)
{
	(void)v;
	(void)len;
	(void)fd;
	return 0;
}

static int get_queue_num(struct vhost *v, uint32_t *len, int *fd)
{
	(void)fd;
	return answer_u64(v, len, v->n_rings / 2);
}

/* All rings stop and forget, features are to be negotiated anew. Memory and log stay. */
static int reset_device(struct vhost *v, uint32_t *len, int *fd)
{
	(void)len;
	(void)fd;
	for (unsigned int i = 0; i < v->n_rings; i++)
		vh_ring_reset(&v->ring[i]);
	vh_lock_all(v);
	atomic_store(&v->features, 0);
	vh_unlock_all(v);
	v->have_features = false;
	v->status = 0;
	vh_refresh(v);
	return 0;
}

static int set_status(struct vhost *v, uint32_t *len, int *fd)
{
	if (v->conn.body.u64 > 0xff)
		return -EINVAL;
	v->status = (uint8_t)v->conn.body.u64;
	/* Zero is a reset of the device; its rings have been stopped by then. */
	return v->status ? 0 : reset_device(v, len, fd);
}

static int get_status(struct vhost *v, uint32_t *len, int *fd)
{
	(void)fd;
	return answer_u64(v, len, v->status);
}

/* ---- Memory, log --------------------------------------------------------------------------- */

/* The table has changed; under the locks of all rings. */
static void resolve_all(struct vhost *v)
{
	for (unsigned int i = 0; i < v->n_rings; i++) {
		struct vring *q = &v->ring[i];

		if (atomic_load(&q->running) && vh_ring_resolve(q))
			vh_ring_broken(q, "its memory was taken away");
		q->hot = &vh_nowhere;
	}
}

static int set_mem_table(struct vhost *v, uint32_t *len, int *fd)
{
	const struct vhost_user_mem *t = &v->conn.body.mem;
	struct vh_mem *m, *old;
	int rc = 0;

	(void)len;
	(void)fd;
	if (!t->n_regions || t->n_regions > VHOST_USER_MAX_TABLE || v->conn.n_fds != t->n_regions ||
	    v->conn.hdr.size <
		    offsetof(struct vhost_user_mem, region) + t->n_regions * sizeof(t->region[0]))
		return -EINVAL;
	m = vh_mem_new();
	if (!m)
		return -errno;
	for (uint32_t i = 0; i < t->n_regions && !rc; i++)
		rc = vh_mem_add(m, &t->region[i], v->conn.fds[i]);
	if (rc) {
		vh_mem_free(m);
		return rc;
	}
	vh_lock_all(v);
	old = v->mem;
	v->mem = m;
	resolve_all(v);
	vh_unlock_all(v);
	vh_mem_free(old);
	vh_refresh(v);
	return 0;
}

static int get_max_mem_slots(struct vhost *v, uint32_t *len, int *fd)
{
	(void)fd;
	return answer_u64(v, len, VH_MAX_REGIONS);
}

static int add_mem_reg(struct vhost *v, uint32_t *len, int *fd)
{
	int rc;

	(void)len;
	(void)fd;
	vh_lock_all(v);
	if (!v->mem)
		v->mem = vh_mem_new();
	rc = v->mem ? vh_mem_add(v->mem, &v->conn.body.mem_reg.region, v->conn.fds[0]) : -ENOMEM;
	vh_unlock_all(v);
	vh_refresh(v);
	return rc;
}

static int rem_mem_reg(struct vhost *v, uint32_t *len, int *fd)
{
	int rc = -ENOENT;

	(void)len;
	(void)fd;
	vh_lock_all(v);
	if (v->mem)
		rc = vh_mem_del(v->mem, &v->conn.body.mem_reg.region);
	if (!rc)
		resolve_all(v);
	vh_unlock_all(v);
	return rc;
}

static int set_log_base(struct vhost *v, uint32_t *len, int *fd)
{
	const struct vhost_user_log *l = &v->conn.body.log;
	struct vh_area a = {0}, old;
	int rc;

	(void)fd;
	rc = vh_area_map(&a, v->conn.fds[0], l->mmap_offset, l->mmap_size);
	if (rc)
		return rc;
	vh_lock_all(v);
	old = v->log;
	v->log = a;
	vh_unlock_all(v);
	vh_area_drop(&old);
	/* An answer is expected always; the text does not say with what. */
	return answer_u64(v, len, 0);
}

/* An eventfd to be signalled when the log is written to: no front end waits for that. */
static int set_log_fd(struct vhost *v, uint32_t *len, int *fd)
{
	(void)len;
	(void)fd;
	return vh_eventfd_ok(v->conn.fds[0]) ? 0 : -EINVAL;
}

/* ---- Rings ----------------------------------------------------------------------------------- */

static int set_vring_num(struct vhost *v, uint32_t *len, int *fd)
{
	const struct vhost_vring_state *s = &v->conn.body.state;
	struct vring *q = ring_of(v, s->index);

	(void)len;
	(void)fd;
	if (!q || !s->num || s->num > VRING_MAX_SIZE || s->num & (s->num - 1))
		return -EINVAL;
	if (q->started && q->want_num != s->num)
		return -EBUSY;
	q->want_num = s->num;
	return 0;
}

static int set_vring_addr(struct vhost *v, uint32_t *len, int *fd)
{
	const struct vhost_vring_addr *a = &v->conn.body.addr;
	struct vring *q = ring_of(v, a->index);
	struct vhost_vring_addr old;
	int rc = 0;

	(void)len;
	(void)fd;
	if (!q || a->flags & ~VHOST_VRING_F_LOG || a->desc & 15 || a->avail & 1 || a->used & 3)
		return -EINVAL;
	pthread_mutex_lock(&q->lock);
	old = q->addr;
	q->addr = *a;
	if (q->want_num && v->mem)
		rc = vh_ring_resolve(q);
	if (rc) {
		q->addr = old;
		if (atomic_load(&q->running))
			vh_ring_resolve(q);
	} else {
		q->have_addr = true;
		q->log_used = a->flags & VHOST_VRING_F_LOG;
		q->log_addr = a->log;
	}
	pthread_mutex_unlock(&q->lock);
	vh_refresh(v);
	return rc;
}

static int set_vring_base(struct vhost *v, uint32_t *len, int *fd)
{
	const struct vhost_vring_state *s = &v->conn.body.state;
	struct vring *q = ring_of(v, s->index);

	(void)len;
	(void)fd;
	if (!q || s->num > 0xffff)
		return -EINVAL;
	if (atomic_load(&q->running))
		return -EBUSY;
	q->last_avail = (uint16_t)s->num;
	return 0;
}

static int get_vring_base(struct vhost *v, uint32_t *len, int *fd)
{
	struct vhost_vring_state *s = &v->conn.body.state;
	struct vring *q = ring_of(v, s->index);

	(void)fd;
	if (!q)
		return -EINVAL;
	vh_ring_halt(q);
	vh_ring_set_kick(q, -1);
	q->started = false;
	vh_refresh(v);
	s->num = q->last_avail;
	*len = sizeof(*s);
	return 0;
}

/* The ring and the descriptor (-1: none) of SET_VRING_KICK, _CALL, _ERR. */
static int vring_fd(struct vhost *v, struct vring **q, int *fd)
{
	uint64_t word = v->conn.body.u64;
	bool none = word & VHOST_USER_VRING_NOFD;

	*q = ring_of(v, word & VHOST_USER_VRING_INDEX);
	if (!*q || word & ~(VHOST_USER_VRING_INDEX | VHOST_USER_VRING_NOFD) ||
	    v->conn.n_fds != !none)
		return -EINVAL;
	if (!none && !vh_eventfd_ok(v->conn.fds[0]))
		return -EINVAL;
	*fd = take_fd(v);
	return 0;
}

static int set_vring_kick(struct vhost *v, uint32_t *len, int *reply_fd)
{
	struct vring *q;
	int fd, rc = vring_fd(v, &q, &fd);

	(void)len;
	(void)reply_fd;
	if (rc)
		return rc;
	/* A ring that has to be started anew: it may have broken meanwhile. */
	if (atomic_exchange(&q->broken, false))
		vh_ring_halt(q);
	rc = vh_ring_set_kick(q, fd);
	q->started = true;
	vh_refresh(v);
	return rc;
}

static int set_vring_call(struct vhost *v, uint32_t *len, int *reply_fd)
{
	struct vring *q;
	int fd, rc = vring_fd(v, &q, &fd);

	(void)len;
	(void)reply_fd;
	if (rc)
		return rc;
	pthread_mutex_lock(&q->lock);
	fd_close(&q->call_fd);
	q->call_fd = fd;
	/* What was signalled on the one before may have been read by nobody. */
	if (fd >= 0 && atomic_load(&q->running) && q->used_idx)
		fd_event_signal(fd);
	pthread_mutex_unlock(&q->lock);
	return 0;
}

static int set_vring_err(struct vhost *v, uint32_t *len, int *reply_fd)
{
	struct vring *q;
	int fd, rc = vring_fd(v, &q, &fd);

	(void)len;
	(void)reply_fd;
	if (rc)
		return rc;
	fd_close(&q->err_fd);
	q->err_fd = fd;
	return 0;
}

static int set_vring_enable(struct vhost *v, uint32_t *len, int *fd)
{
	const struct vhost_vring_state *s = &v->conn.body.state;
	struct vring *q = ring_of(v, s->index);

	(void)len;
	(void)fd;
	if (!q || s->num > 1)
		return -EINVAL;
	q->enabled = s->num;
	vh_refresh(v);
	return 0;
}

/* ---- The net device ----------------------------------------------------------------------- */

static int send_rarp(struct vhost *v, uint32_t *len, int *fd)
{
	/* RFC 903: a request that asks for nothing new, so that switches learn where we are. */
	static const uint8_t head[] = {0x80, 0x35, 0, 1, 8, 0, 6, 4, 0, 3};
	struct pkt pkt = {.len = 60, .hdr_len = 60, .flags = PKT_NO_WAIT}, *p = &pkt;
	const uint8_t *mac = v->conn.body.raw;
	char text[32];

	(void)len;
	(void)fd;
	v->announces++;
	snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
		 mac[3], mac[4], mac[5]);
	pkt.delay.at = PKT_DELAY_EXEMPT;
	memset(pkt.hdr, 0xff, 6);
	memcpy(pkt.hdr + 6, mac, 6);
	memcpy(pkt.hdr + 12, head, sizeof(head));
	memcpy(pkt.hdr + 22, mac, 6); /* sender, target; protocol addresses stay zero */
	memcpy(pkt.hdr + 32, mac, 6);
	vh_event(v, VHOST_EV_ANNOUNCE, text);
	vsw_send(&v->port, &p, 1);
	return 0;
}

static int net_set_mtu(struct vhost *v, uint32_t *len, int *fd)
{
	uint64_t mtu = v->conn.body.u64;

	(void)len;
	(void)fd;
	if (mtu < MTU_MIN || mtu > MTU_MAX || (v->conf.mtu && mtu > v->conf.mtu))
		return -EINVAL;
	atomic_store(&v->rx_mtu, (uint32_t)mtu);
	return 0;
}

static int get_config(struct vhost *v, uint32_t *len, int *fd)
{
	struct vhost_user_config *c = &v->conn.body.config;
	uint32_t head = offsetof(struct vhost_user_config, data);
	struct virtio_net_config conf = {
		.status = le16_make(VIRTIO_NET_S_LINK_UP),
		.max_virtqueue_pairs = le16_make((uint16_t)(v->n_rings / 2)),
		.mtu = le16_make((uint16_t)v->conf.mtu),
	};
	uint8_t space[VHOST_USER_MAX_CONFIG] = {0};

	(void)fd;
	/* "Zero length indicates an error to the front-end." */
	*len = 0;
	if (!range_ok(c->offset, c->size, sizeof(space)) || v->conn.hdr.size != head + c->size)
		return 0;
	memcpy(conf.mac, v->conf.mac, 6);
	memcpy(space, &conf, sizeof(conf));
	memcpy(c->data, space + c->offset, c->size);
	*len = head + c->size;
	return 0;
}

/* Nothing in the net device's configuration can be written. */
static int set_config(struct vhost *v, uint32_t *len, int *fd)
{
	(void)v;
	(void)len;
	(void)fd;
	return -EPERM;
}

/* ---- In-flight area ----------------------------------------------------------------------- */

static int inflight_size(const struct vhost *v, uint64_t *stride)
{
	const struct vhost_user_inflight *f = &v->conn.body.inflight;

	if (!f->n_queues || f->n_queues > v->n_rings || !f->queue_size ||
	    f->queue_size > VRING_MAX_SIZE)
		return -EINVAL;
	*stride = ALIGN_UP(sizeof(struct inflight_queue) +
				   (uint64_t)f->queue_size * sizeof(struct inflight_desc),
			   (uint64_t)INFLIGHT_ALIGN);
	return 0;
}

static int get_inflight_fd(struct vhost *v, uint32_t *len, int *fd)
{
	struct vhost_user_inflight *f = &v->conn.body.inflight;
	uint64_t stride;
	int rc = inflight_size(v, &stride);

	if (rc)
		return rc;
	*fd = memfd_create("hvlab-inflight", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (*fd < 0)
		return -errno;
	if (ftruncate(*fd, (off_t)(stride * f->n_queues)) < 0) {
		rc = -errno;
		fd_close(fd);
		return rc;
	}
	fcntl(*fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL);
	f->mmap_size = stride * f->n_queues;
	f->mmap_offset = 0;
	*len = v->conn.hdr.size;
	return 0;
}

static int set_inflight_fd(struct vhost *v, uint32_t *len, int *fd)
{
	const struct vhost_user_inflight *f = &v->conn.body.inflight;
	struct vh_area a = {0}, old;
	uint64_t stride;
	int rc = inflight_size(v, &stride);

	(void)len;
	(void)fd;
	if (rc)
		return rc;
	if (any_started(v))
		return -EBUSY;
	if (f->mmap_size < stride * f->n_queues || f->mmap_offset % INFLIGHT_ALIGN)
		return -EINVAL;
	rc = vh_area_map(&a, v->conn.fds[0], f->mmap_offset, f->mmap_size);
	if (rc)
		return rc;
	vh_lock_all(v);
	old = v->inflight;
	v->inflight = a;
	for (unsigned int i = 0; i < v->n_rings; i++) {
		struct vring *q = &v->ring[i];

		q->inflight =
			i < f->n_queues ? (struct inflight_queue *)(a.ptr + i * stride) : NULL;
		q->inflight_max = f->queue_size;
	}
	vh_unlock_all(v);
	vh_area_drop(&old);
	return 0;
}

/* ---- The table ---------------------------------------------------------------------------- */

#define U64	sizeof(uint64_t)
#define STATE	sizeof(struct vhost_vring_state)
#define ADDR	sizeof(struct vhost_vring_addr)
#define CONFIG	offsetof(struct vhost_user_config, data)
#define MEM	offsetof(struct vhost_user_mem, region)
#define MEM_REG sizeof(struct vhost_user_mem_reg)
#define P(bit)	VHOST_USER_PROTOCOL_F_##bit

/* clang-format off */
static const struct vh_message table[VHOST_USER_N_REQUESTS] = {
	[VHOST_USER_GET_FEATURES] = {"GET_FEATURES", 0, 0, 0, 0, true, -1, get_features},
	[VHOST_USER_SET_FEATURES] = {"SET_FEATURES", U64, U64, 0, 0, false, -1, set_features},
	[VHOST_USER_SET_OWNER] = {"SET_OWNER", 0, 0, 0, 0, false, -1, set_owner},
	[VHOST_USER_RESET_OWNER] = {"RESET_OWNER", 0, 0, 0, 0, false, -1, reset_device},
	[VHOST_USER_SET_MEM_TABLE] = {"SET_MEM_TABLE", MEM, sizeof(struct vhost_user_mem), 0,
				      VHOST_USER_MAX_TABLE, false, -1, set_mem_table},
	[VHOST_USER_SET_LOG_BASE] = {"SET_LOG_BASE", sizeof(struct vhost_user_log),
				     sizeof(struct vhost_user_log), 1, 1, true, P(LOG_SHMFD),
				     set_log_base},
	[VHOST_USER_SET_LOG_FD] = {"SET_LOG_FD", 0, U64, 1, 1, false, P(LOG_SHMFD), set_log_fd},
	[VHOST_USER_SET_VRING_NUM] = {"SET_VRING_NUM", STATE, STATE, 0, 0, false, -1,
				      set_vring_num},
	[VHOST_USER_SET_VRING_ADDR] = {"SET_VRING_ADDR", ADDR, ADDR, 0, 0, false, -1,
				       set_vring_addr},
	[VHOST_USER_SET_VRING_BASE] = {"SET_VRING_BASE", STATE, STATE, 0, 0, false, -1,
				       set_vring_base},
	[VHOST_USER_GET_VRING_BASE] = {"GET_VRING_BASE", STATE, STATE, 0, 0, true, -1,
				       get_vring_base},
	[VHOST_USER_SET_VRING_KICK] = {"SET_VRING_KICK", U64, U64, 0, 1, false, -1,
				       set_vring_kick},
	[VHOST_USER_SET_VRING_CALL] = {"SET_VRING_CALL", U64, U64, 0, 1, false, -1,
				       set_vring_call},
	[VHOST_USER_SET_VRING_ERR] = {"SET_VRING_ERR", U64, U64, 0, 1, false, -1, set_vring_err},
	[VHOST_USER_GET_PROTOCOL_FEATURES] = {"GET_PROTOCOL_FEATURES", 0, 0, 0, 0, true, -1,
					      get_protocol_features},
	[VHOST_USER_SET_PROTOCOL_FEATURES] = {"SET_PROTOCOL_FEATURES", U64, U64, 0, 0, false, -1,
					      set_protocol_features},
	[VHOST_USER_GET_QUEUE_NUM] = {"GET_QUEUE_NUM", 0, 0, 0, 0, true, P(MQ), get_queue_num},
	[VHOST_USER_SET_VRING_ENABLE] = {"SET_VRING_ENABLE", STATE, STATE, 0, 0, false, -1,
					 set_vring_enable},
	[VHOST_USER_SEND_RARP] = {"SEND_RARP", U64, U64, 0, 0, false, P(RARP), send_rarp},
	[VHOST_USER_NET_SET_MTU] = {"NET_SET_MTU", U64, U64, 0, 0, false, P(MTU), net_set_mtu},
	[VHOST_USER_GET_CONFIG] = {"GET_CONFIG", CONFIG, sizeof(struct vhost_user_config), 0, 0,
				   true, P(CONFIG), get_config},
	[VHOST_USER_SET_CONFIG] = {"SET_CONFIG", CONFIG, sizeof(struct vhost_user_config), 0, 0,
				   false, P(CONFIG), set_config},
	[VHOST_USER_GET_INFLIGHT_FD] = {"GET_INFLIGHT_FD", 20, 24, 0, 0, true, P(INFLIGHT_SHMFD),
					get_inflight_fd},
	[VHOST_USER_SET_INFLIGHT_FD] = {"SET_INFLIGHT_FD", 20, 24, 1, 1, false, P(INFLIGHT_SHMFD),
					set_inflight_fd},
	[VHOST_USER_RESET_DEVICE] = {"RESET_DEVICE", 0, 0, 0, 0, false, P(RESET_DEVICE),
				     reset_device},
	[VHOST_USER_GET_MAX_MEM_SLOTS] = {"GET_MAX_MEM_SLOTS", 0, 0, 0, 0, true,
					  P(CONFIGURE_MEM_SLOTS), get_max_mem_slots},
	[VHOST_USER_ADD_MEM_REG] = {"ADD_MEM_REG", MEM_REG, MEM_REG, 1, 1, false,
				    P(CONFIGURE_MEM_SLOTS), add_mem_reg},
	[VHOST_USER_REM_MEM_REG] = {"REM_MEM_REG", MEM_REG, MEM_REG, 0, 1, false,
				    P(CONFIGURE_MEM_SLOTS), rem_mem_reg},
	[VHOST_USER_SET_STATUS] = {"SET_STATUS", U64, U64, 0, 0, false, P(STATUS), set_status},
	[VHOST_USER_GET_STATUS] = {"GET_STATUS", 0, 0, 0, 0, true, P(STATUS), get_status},
};
/* clang-format on */

const struct vh_message *vh_message(uint32_t request)
{
	if (request >= ARRAY_SIZE(table) || !table[request].name)
		return NULL;
	return &table[request];
}
