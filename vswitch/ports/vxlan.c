/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the making and ending of tunnels and of their ports. */
#define LOG_TAG "vxlan"
#include "vswitch/ports/vxlan.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/log.h"
#include "base/util.h"
#include "vswitch/ports/vxlan_internal.h"

#define DEFAULT_REMOTES	  1024
#define DEFAULT_MACS	  4096
#define DEFAULT_AGEING_MS 300000
#define REPLIES_PER_S	  100
#define TICK_MS		  1000

/* clang-format off */
static const char *const sum_names[] = {
	[VXLAN_SUM_DEFAULT] = "default",
	[VXLAN_SUM_ALWAYS] = "always",
	[VXLAN_SUM_NEVER] = "never",
};
/* clang-format on */
static_assert(ARRAY_SIZE(sum_names) == VXLAN_SUM_NEVER + 1, "a name for each");

int vxlan_sum_parse(const char *name)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(sum_names); i++)
		if (!strcmp(sum_names[i], name))
			return (int)i;
	return -EINVAL;
}

const char *vxlan_sum_name(enum vxlan_sum sum)
{
	return (unsigned int)sum < ARRAY_SIZE(sum_names) ? sum_names[sum] : "unknown";
}

/* ---- tunnels ---- */

static void tick(struct worker_timer *timer)
{
	struct vxlan_tunnel *t = timer->arg;

	vx_table_tick(t, vx_now_ms());
	worker_timer_arm(t->worker, &t->tick, now_ns() + TICK_MS * NSEC_PER_MSEC);
}

struct start {
	struct vxlan_tunnel *t;
	int rc;
};

static void start(void *arg)
{
	struct start *s = arg;

	s->rc = vx_rx_start(s->t);
	if (!s->rc)
		worker_timer_arm(s->t->worker, &s->t->tick, now_ns() + TICK_MS * NSEC_PER_MSEC);
}

static void stop(void *arg)
{
	struct vxlan_tunnel *t = arg;

	vx_rx_stop(t);
	worker_timer_cancel(&t->tick);
}

struct vxlan_tunnel *vxlan_tunnel_new(struct worker *w, const struct vxlan_tunnel_conf *conf)
{
	struct vxlan_tunnel *t = calloc(1, sizeof(*t));
	struct start s = {.t = t};

	if (!t) {
		vxlan_sockets_close(conf->sockets);
		errno = ENOMEM;
		return NULL;
	}
	snprintf(t->name, sizeof(t->name), "%s", conf->name);
	t->worker = w;
	t->s = *conf->sockets;
	conf->sockets->rx = conf->sockets->probe = -1;
	memset(conf->sockets->tx, 0xff, sizeof(conf->sockets->tx));
	t->ip6 = t->s.local.ss_family == AF_INET6;
	t->port = conf->port ? conf->port : VXLAN_UDP_PORT;
	t->sum = conf->sum;
	t->known_only = conf->known_only;
	t->max_remotes = conf->max_remotes ? conf->max_remotes : DEFAULT_REMOTES;
	if (getrandom(&t->seed, sizeof(t->seed), 0) != sizeof(t->seed))
		t->seed = now_ns();
	reply_limit_init(&t->limit, REPLIES_PER_S);
	pthread_mutex_init(&t->lock, NULL);
	t->tick = (struct worker_timer){.fn = tick, .arg = t};
	worker_call(w, start, &s);
	if (!s.rc)
		return t;
	vxlan_tunnel_free(t);
	errno = -s.rc;
	return NULL;
}

void vxlan_tunnel_free(struct vxlan_tunnel *t)
{
	if (!t)
		return;
	if (t->n_ports)
		log_err("%s: freed with %u networks on it", t->name, t->n_ports);
	worker_call(t->worker, stop, t);
	vx_remotes_clear(t);
	vx_tx_free_all(t);
	vxlan_sockets_close(&t->s);
	reply_limit_fini(&t->limit);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

void vxlan_get_stats(struct vxlan_tunnel *t, struct vxlan_stats *st)
{
	const struct vxlan_counters *c = &t->c;

	*st = (struct vxlan_stats){
		.tx = atomic_load(&c->tx),
		.tx_bytes = atomic_load(&c->tx_bytes),
		.tx_batches = atomic_load(&c->tx_batches),
		.tx_errors = atomic_load(&c->tx_errors),
		.rx = atomic_load(&c->rx),
		.rx_bytes = atomic_load(&c->rx_bytes),
		.rx_short = atomic_load(&c->rx_short),
		.rx_flags = atomic_load(&c->rx_flags),
		.rx_vni = atomic_load(&c->rx_vni),
		.rx_peer = atomic_load(&c->rx_peer),
		.rx_waits = atomic_load(&c->rx_waits),
		.too_big = atomic_load(&c->too_big),
		.replies = atomic_load(&c->replies),
		.replies_limited = atomic_load(&c->replies_limited),
		.table_full = atomic_load(&c->table_full),
	};
}

/* ---- ports ---- */

static const struct vsw_port_ops ops = {.deliver = vx_deliver};

/* 0, or -EEXIST. */
static int port_publish(struct vxlan_tunnel *t, struct vxlan_port *p)
{
	_Atomic(struct vxlan_port *) *at = &t->vni[p->vni % VX_VNI_BUCKETS];
	int rc = 0;

	pthread_mutex_lock(&t->lock);
	if (vx_port_find(t, p->vni)) {
		rc = -EEXIST;
	} else {
		atomic_store(&p->next, atomic_load(at));
		atomic_store_explicit(at, p, memory_order_release);
		t->n_ports++;
	}
	pthread_mutex_unlock(&t->lock);
	return rc;
}

struct vxlan_port *vxlan_port_new(struct vxlan_tunnel *t, const struct vxlan_port_conf *conf)
{
	uint32_t max = conf->max_macs ? conf->max_macs : DEFAULT_MACS;
	unsigned int bits = 6;
	struct vxlan_port *p;
	int rc;

	if (!conf->vni || conf->vni > 0xffffff) {
		errno = EINVAL;
		return NULL;
	}
	while (bits < 16 && (1u << bits) < max)
		bits++;
	p = calloc(1, sizeof(*p) + (sizeof(p->bucket[0]) << bits));
	if (!p)
		return NULL;
	vsw_port_init(&p->port, &ops, conf->name, NULL);
	p->t = t;
	p->vni = conf->vni;
	p->port.mtu = conf->mtu;
	p->max_macs = max;
	p->ageing_ms = conf->ageing_ms ? conf->ageing_ms : DEFAULT_AGEING_MS;
	p->learn = conf->learn;
	p->drop_unknown = conf->drop_unknown;
	p->shift = 64 - bits;
	atomic_store(&p->port.link, true);
	atomic_store(&p->port.receiving, true);
	rc = port_publish(t, p);
	if (rc) {
		free(p);
		errno = -rc;
		return NULL;
	}
	return p;
}

/* On the worker: also behind all letters that replies were sent by. */
static void forget(void *arg)
{
	struct vxlan_port *p = arg;

	vx_rx_forget(p->t, p);
}

void vxlan_port_free(struct vxlan_port *p)
{
	_Atomic(struct vxlan_port *) *at;

	if (!p)
		return;
	pthread_mutex_lock(&p->t->lock);
	at = &p->t->vni[p->vni % VX_VNI_BUCKETS];
	while (atomic_load(at) != p)
		at = &atomic_load(at)->next;
	atomic_store_explicit(at, atomic_load(&p->next), memory_order_release);
	p->t->n_ports--;
	pthread_mutex_unlock(&p->t->lock);
	vsw_synchronize();
	worker_call(p->t->worker, forget, p);
	vx_port_clear(p);
	free(p);
}

struct vsw_port *vxlan_port_port(struct vxlan_port *p)
{
	return &p->port;
}

uint32_t vxlan_port_vni(const struct vxlan_port *p)
{
	return p->vni;
}
