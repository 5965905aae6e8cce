/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the device: its life, what it offers, its turn on the worker, and what it tells its host.
 *
 * Work. Transmit rings that have had work lately are hot: they are looked at in every turn of the
 * worker, and their guests need not notify us. When the worker is about to sleep (it spins before,
 * as it was told), notifications are asked for, the rings looked at once more, and nothing is hot
 * any more. A receive ring that has let a sender down is looked at in the same way.
 */
#define LOG_TAG "vhost"
#include "vswitch/ports/vhost_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"

#define OFFER                                                                                      \
	(VH_BIT(VIRTIO_NET_F_CSUM) | VH_BIT(VIRTIO_NET_F_GUEST_CSUM) | VH_BIT(VIRTIO_NET_F_MAC) |  \
	 VH_BIT(VIRTIO_NET_F_GUEST_TSO4) | VH_BIT(VIRTIO_NET_F_GUEST_TSO6) |                       \
	 VH_BIT(VIRTIO_NET_F_GUEST_ECN) | VH_BIT(VIRTIO_NET_F_HOST_TSO4) |                         \
	 VH_BIT(VIRTIO_NET_F_HOST_TSO6) | VH_BIT(VIRTIO_NET_F_HOST_ECN) |                          \
	 VH_BIT(VIRTIO_NET_F_MRG_RXBUF) | VH_BIT(VIRTIO_NET_F_STATUS) |                            \
	 VH_BIT(VIRTIO_NET_F_CTRL_VQ) | VH_BIT(VIRTIO_NET_F_CTRL_RX) |                             \
	 VH_BIT(VIRTIO_NET_F_GUEST_ANNOUNCE) | VH_BIT(VIRTIO_NET_F_MQ) | VH_BIT(VHOST_F_LOG_ALL) | \
	 VH_BIT(VIRTIO_RING_F_INDIRECT_DESC) | VH_BIT(VIRTIO_RING_F_EVENT_IDX) |                   \
	 VH_BIT(VIRTIO_F_ANY_LAYOUT) | VH_BIT(VHOST_USER_F_PROTOCOL_FEATURES) |                    \
	 VH_BIT(VIRTIO_F_VERSION_1) | VH_BIT(VIRTIO_F_IN_ORDER) |                                  \
	 VH_BIT(VIRTIO_NET_F_GUEST_USO4) | VH_BIT(VIRTIO_NET_F_GUEST_USO6) |                       \
	 VH_BIT(VIRTIO_NET_F_HOST_USO))

uint64_t vh_offer(const struct vhost_conf *conf)
{
	uint64_t f = OFFER & ~conf->features_off;

	return conf->mtu ? f | (VH_BIT(VIRTIO_NET_F_MTU) & ~conf->features_off) : f;
}

/* ---- Events and errors -------------------------------------------------------------------- */

void vh_event(struct vhost *v, enum vhost_event_type type, const char *text)
{
	struct vhost_event ev = {.type = type, .time_ns = now_ns(), .text = text};

	if (v->conf.event)
		v->conf.event(v->conf.event_arg, &ev);
}

struct error_letter {
	struct vhost *v;
	char text[160];
};

static void tell_error(void *arg)
{
	struct error_letter *l = arg;

	vh_event(l->v, VHOST_EV_GUEST_ERROR, l->text);
	free(l);
}

void vh_guest_error(struct vhost *v, const char *fmt, ...)
{
	struct error_letter *l = malloc(sizeof(*l));
	char text[sizeof(l->text)];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	atomic_fetch_add(&v->guest_errors, 1);
	log_warn_rl("%s: %s", v->name, text);
	pthread_mutex_lock(&v->error_lock);
	memcpy(v->last_error, text, sizeof(text));
	pthread_mutex_unlock(&v->error_lock);
	if (!l)
		return;
	l->v = v;
	memcpy(l->text, text, sizeof(text));
	if (worker_post(v->worker, tell_error, l))
		free(l);
}

/* ---- State that follows ------------------------------------------------------------------- */

void vh_lock_all(struct vhost *v)
{
	for (unsigned int i = 0; i < v->n_rings; i += 2)
		pthread_mutex_lock(&v->ring[i].lock);
}

void vh_unlock_all(struct vhost *v)
{
	for (unsigned int i = 0; i < v->n_rings; i += 2)
		pthread_mutex_unlock(&v->ring[i].lock);
}

static uint32_t caps_of(const struct vhost *v)
{
	uint32_t caps = 0;

	if (!vh_has(v, VIRTIO_NET_F_GUEST_CSUM))
		return 0;
	caps = VSW_CAP_CSUM;
	if (vh_has(v, VIRTIO_NET_F_GUEST_TSO4))
		caps |= VSW_CAP_TSO4;
	if (vh_has(v, VIRTIO_NET_F_GUEST_TSO6))
		caps |= VSW_CAP_TSO6;
	if (vh_has(v, VIRTIO_NET_F_GUEST_USO4) && vh_has(v, VIRTIO_NET_F_GUEST_USO6))
		caps |= VSW_CAP_USO;
	return caps;
}

void vh_refresh(struct vhost *v)
{
	bool driven, changed;

	atomic_store(&v->port.caps, caps_of(v));
	for (unsigned int i = 0; i < v->n_rings; i++)
		vh_ring_update(&v->ring[i]);
	changed = vh_steer_update(v);
	driven = atomic_load(&v->steer.n);
	atomic_store(&v->port.receiving, driven);
	/* Who waits for a ring that is gone has to look for another. */
	if (changed)
		vsw_port_wake(&v->port);
	if (driven == v->driven)
		return;
	v->driven = driven;
	vh_event(v, driven ? VHOST_EV_DRIVEN : VHOST_EV_UNDRIVEN, NULL);
}

void vh_session_end(struct vhost *v)
{
	struct vh_mem *mem = v->mem;

	for (unsigned int i = 0; i < v->n_rings; i++)
		vh_ring_forget(&v->ring[i]);
	vh_lock_all(v);
	v->mem = NULL;
	atomic_store(&v->features, 0);
	vh_unlock_all(v);
	vh_mem_free(mem);
	vh_area_drop(&v->log);
	vh_area_drop(&v->inflight);
	v->protocol_features = 0;
	v->have_features = false;
	v->status = 0;
	atomic_store(&v->rx_mtu, 0);
	for (unsigned int i = 0; i < VH_FLOWS; i++)
		atomic_store_explicit(&v->steer.flow[i], 0, memory_order_relaxed);
	vh_refresh(v);
}

/* ---- The turn ----------------------------------------------------------------------------- */

/* A file was truncated under us: what we see instead are zeroes. */
static void check_memory(struct vhost *v)
{
	if (likely(!v->mem || !guest_mem_poisoned(v->mem->gm)))
		return;
	for (unsigned int i = 0; i < v->n_rings; i++)
		if (atomic_load(&v->ring[i].running))
			vh_ring_broken(&v->ring[i], "memory was truncated");
}

static bool on_turn(struct worker_turn *t)
{
	struct vhost *v = t->arg;
	bool worked = false;

	for (uint64_t left = v->hot; left; left &= left - 1) {
		struct vring *q = vh_tx_ring(v, (unsigned int)__builtin_ctzll(left));

		if (atomic_load_explicit(&q->running, memory_order_relaxed))
			worked |= vh_tx_turn(q);
	}
	for (uint64_t left = v->starved; left; left &= left - 1) {
		struct vring *q = vh_rx_ring(v, (unsigned int)__builtin_ctzll(left));

		/* One that has broken may have no memory any more. */
		if (atomic_load_explicit(&q->running, memory_order_relaxed) &&
		    le16toh(__atomic_load_n(&q->avail->idx, __ATOMIC_RELAXED)) ==
			    atomic_load_explicit(&q->starved_at, memory_order_relaxed))
			continue;
		v->starved &= ~VH_BIT(q->index / 2);
		vsw_port_wake(&v->port);
		worked = true;
	}
	if (worked)
		check_memory(v);
	return worked;
}

static bool on_sleep(struct worker_turn *t)
{
	struct vhost *v = t->arg;
	bool work = false;

	for (uint64_t left = v->hot; left; left &= left - 1) {
		struct vring *q = vh_tx_ring(v, (unsigned int)__builtin_ctzll(left));

		if (atomic_load_explicit(&q->running, memory_order_relaxed)) {
			vh_ring_notify_on(q, q->last_avail);
			if (vh_ring_ready(q)) {
				work = true;
				continue;
			}
		}
		v->hot &= ~VH_BIT(q->index / 2);
	}
	for (uint64_t left = v->starved; left; left &= left - 1) {
		struct vring *q = vh_rx_ring(v, (unsigned int)__builtin_ctzll(left));
		uint16_t seen;

		pthread_mutex_lock(&q->lock);
		if (atomic_load_explicit(&q->running, memory_order_relaxed)) {
			seen = atomic_load_explicit(&q->starved_at, memory_order_relaxed);
			vh_ring_notify_on(q, seen);
			if (le16toh(__atomic_load_n(&q->avail->idx, __ATOMIC_ACQUIRE)) != seen) {
				vh_ring_notify_off(q);
				work = true;
			}
		}
		pthread_mutex_unlock(&q->lock);
		v->starved &= ~VH_BIT(q->index / 2);
	}
	if (work)
		vsw_port_wake(&v->port);
	check_memory(v);
	return work;
}

/* ---- Life --------------------------------------------------------------------------------- */

static void do_new(void *arg)
{
	struct vhost *v = arg;

	worker_turn_add(v->worker, &v->turn);
}

struct vhost *vhost_new(struct worker *w, const struct vhost_conf *conf)
{
	unsigned int pairs = conf->max_queues ? conf->max_queues : 1;
	struct vhost *v;

	if (pairs > VHOST_MAX_QUEUES || !conf->name) {
		errno = EINVAL;
		return NULL;
	}
	v = calloc(1, sizeof(*v));
	if (!v)
		return NULL;
	v->n_rings = 2 * pairs;
	v->ring = aligned_alloc(64, ALIGN_UP(v->n_rings * sizeof(*v->ring), (size_t)64));
	if (!v->ring) {
		free(v);
		errno = ENOMEM;
		return NULL;
	}
	memset(v->ring, 0, v->n_rings * sizeof(*v->ring));
	v->worker = w;
	v->conf = *conf;
	snprintf(v->name, sizeof(v->name), "%s", conf->name);
	v->conf.name = v->name;
	v->offered = vh_offer(conf);
	pthread_mutex_init(&v->error_lock, NULL);
	vsw_port_init(&v->port, &vhost_port_ops, v->name, conf->mac);
	v->port.delays = true;
	v->port.mtu = conf->mtu;
	v->port.hold_ms = conf->hold_ms;
	atomic_store(&v->port.link, true);
	for (unsigned int i = 0; i < v->n_rings; i++)
		vh_ring_init(&v->ring[i], v, i);
	vh_conn_init(v);
	v->turn = (struct worker_turn){.fn = on_turn, .sleep = on_sleep, .arg = v};
	worker_call(w, do_new, v);
	return v;
}

static void do_free(void *arg)
{
	struct vhost *v = arg;

	vh_unlisten(v);
	vh_conn_close(v, "the device goes");
	worker_turn_del(&v->turn);
	for (unsigned int i = 0; i < v->n_rings; i++)
		vh_ring_fini(&v->ring[i]);
}

static void nothing(void *arg)
{
	(void)arg;
}

void vhost_free(struct vhost *v)
{
	if (!v)
		return;
	worker_call(v->worker, do_free, v);
	/* Letters that the end itself has posted are read by now. */
	worker_call(v->worker, nothing, NULL);
	pthread_mutex_destroy(&v->error_lock);
	free(v->ring);
	free(v);
}

struct vsw_port *vhost_port(struct vhost *v)
{
	return &v->port;
}

struct path_call {
	struct vhost *v;
	const char *path;
	int fd, rc;
};

static void do_listen(void *arg)
{
	struct path_call *c = arg;

	c->rc = vh_listen(c->v, c->path);
}

int vhost_listen(struct vhost *v, const char *socket_path)
{
	struct path_call c = {.v = v, .path = socket_path};

	worker_call(v->worker, do_listen, &c);
	return c.rc;
}

static void do_attach(void *arg)
{
	struct path_call *c = arg;

	c->rc = c->v->conn.fd >= 0 ? -EBUSY : vh_conn_open(c->v, c->fd);
}

int vhost_attach_fd(struct vhost *v, int fd)
{
	struct path_call c = {.v = v, .fd = fd};

	worker_call(v->worker, do_attach, &c);
	if (c.rc)
		close(fd);
	return c.rc;
}

static void do_disconnect(void *arg)
{
	vh_conn_close(arg, "dropped by the host");
}

void vhost_disconnect(struct vhost *v)
{
	worker_call(v->worker, do_disconnect, v);
}

/* ---- Figures ------------------------------------------------------------------------------ */

struct info_call {
	struct vhost *v;
	struct vhost_info *info;
	struct vhost_queue_info *out;
	size_t max;
};

static void do_info(void *arg)
{
	struct info_call *c = arg;
	struct vhost_info *info = c->info;
	struct vhost *v = c->v;

	memset(info, 0, sizeof(*info));
	info->connected = v->conn.fd >= 0;
	info->driven = v->driven;
	info->features = atomic_load(&v->features);
	info->protocol_features = v->protocol_features;
	info->logging = vh_has(v, VHOST_F_LOG_ALL) && v->log.ptr;
	info->messages = v->messages;
	info->rejected = v->rejected;
	info->guest_errors = atomic_load(&v->guest_errors);
	info->announces = v->announces;
	info->connects = v->connects;
	info->refused = v->refused;
	for (unsigned int i = 0; i < v->n_rings; i++) {
		struct vring *q = &v->ring[i];

		pthread_mutex_lock(&q->lock);
		info->kicks += q->stats.kicks;
		info->calls += q->stats.calls;
		if (vh_is_rx(q)) {
			info->n_rxq += atomic_load(&q->running);
			info->rx_gso += q->stats.gso;
			info->rx_no_buffer += q->stats.no_buffer;
		} else {
			info->n_txq += atomic_load(&q->running);
			info->tx_tso += q->stats.gso;
			info->tx_held_ns += q->stats.held_ns;
		}
		pthread_mutex_unlock(&q->lock);
	}
	pthread_mutex_lock(&v->error_lock);
	memcpy(info->last_error, v->last_error, sizeof(info->last_error));
	pthread_mutex_unlock(&v->error_lock);
}

void vhost_get_info(struct vhost *v, struct vhost_info *info)
{
	struct info_call c = {.v = v, .info = info};

	worker_call(v->worker, do_info, &c);
}

static void do_queues(void *arg)
{
	struct info_call *c = arg;
	struct vhost *v = c->v;

	for (unsigned int i = 0; i < v->n_rings / 2 && i < c->max; i++) {
		struct vring *rx = vh_rx_ring(v, i), *tx = vh_tx_ring(v, i);

		pthread_mutex_lock(&rx->lock);
		c->out[i] = (struct vhost_queue_info){
			.index = i,
			.tx_packets = tx->stats.packets,
			.tx_bytes = tx->stats.bytes,
			.rx_packets = rx->stats.packets,
			.rx_bytes = rx->stats.bytes,
			.rx_no_buffer = rx->stats.no_buffer,
		};
		pthread_mutex_unlock(&rx->lock);
	}
}

size_t vhost_get_queues(struct vhost *v, struct vhost_queue_info *out, size_t max)
{
	struct info_call c = {.v = v, .out = out, .max = max};

	worker_call(v->worker, do_queues, &c);
	return v->n_rings / 2;
}
