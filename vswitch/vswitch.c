/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns networks and who is attached to them.
 *
 * All functions here are the control thread's. What workers see is published: the net of a port,
 * the port list of a net, the list of all attached ports (for waiters, whose port may be gone),
 * FDB entries. Detaching takes them away, waits until no worker can still be inside, and only
 * then frees: that wait is also the wait for deliveries under way, since vsw_send() is one read
 * section.
 */
#define LOG_TAG "switch"
#include "vswitch/vswitch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/util.h"
#include "vswitch/port_features_internal.h"
#include "vswitch/judge.h"
#include "vswitch/rcu.h"
#include "vswitch/switch_internal.h"

#define DEFAULT_MTU	  1500
#define DEFAULT_AGEING_MS 300000
#define DEFAULT_MACS	  4096
#define DEFAULT_PORT_MACS 256

struct vsw {
	struct vsw_net *nets;
};

#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
char vsw_rcu_order;
#endif

/* Every attached port of the process. */
static _Atomic(struct port_list *) attached;
static uint32_t last_id;
_Atomic uint32_t vsw_topology;

uint64_t vsw_now_ms(void)
{
	return now_ns() / NSEC_PER_MSEC + 1;
}

struct vsw *vsw_new(void)
{
	return calloc(1, sizeof(struct vsw));
}

void vsw_free(struct vsw *vsw)
{
	if (!vsw)
		return;
	if (vsw->nets)
		log_err("freed with network %s still there", vsw->nets->name);
	free(vsw);
}

struct vsw_net *vsw_net_find(struct vsw *vsw, const char *name)
{
	for (struct vsw_net *net = vsw->nets; net; net = net->next)
		if (!strcmp(net->name, name))
			return net;
	return NULL;
}

struct vsw_net *vsw_net_add(struct vsw *vsw, const struct vsw_net_conf *conf)
{
	struct vsw_net *net;

	if (!conf->name || !*conf->name) {
		errno = EINVAL;
		return NULL;
	}
	if (vsw_net_find(vsw, conf->name)) {
		errno = EEXIST;
		return NULL;
	}
	net = calloc(1, sizeof(*net));
	if (!net)
		return NULL;
	net->vsw = vsw;
	net->mtu = conf->mtu ? conf->mtu : DEFAULT_MTU;
	net->name = strdup(conf->name);
	net->fdb = fdb_new(conf->max_macs ? conf->max_macs : DEFAULT_MACS,
			   conf->max_macs_per_port ? conf->max_macs_per_port : DEFAULT_PORT_MACS,
			   conf->ageing_ms ? conf->ageing_ms : DEFAULT_AGEING_MS);
	atomic_store(&net->ports, calloc(1, sizeof(struct port_list)));
	shape_net_init(&net->shape);
	if (!net->name || !net->fdb || !atomic_load(&net->ports)) {
		free(net->name);
		fdb_free(net->fdb);
		free(atomic_load(&net->ports));
		shape_net_fini(&net->shape);
		free(net);
		errno = ENOMEM;
		return NULL;
	}
	net->next = vsw->nets;
	vsw->nets = net;
	return net;
}

int vsw_net_del(struct vsw_net *net)
{
	struct vsw_net **at = &net->vsw->nets;

	if (atomic_load(&net->ports)->n)
		return -EBUSY;
	while (*at != net)
		at = &(*at)->next;
	*at = net->next;
	fdb_free(net->fdb);
	free(atomic_load(&net->ports));
	shape_net_fini(&net->shape);
	free(net->name);
	free(net);
	return 0;
}

const char *vsw_net_name(const struct vsw_net *net)
{
	return net->name;
}

uint32_t vsw_net_mtu(const struct vsw_net *net)
{
	return net->mtu;
}

size_t vsw_net_fdb(struct vsw_net *net, struct vsw_fdb_entry *out, size_t max)
{
	return fdb_list(net->fdb, vsw_now_ms(), out, max);
}

void vsw_port_init(struct vsw_port *port, const struct vsw_port_ops *ops, const char *name,
		   const uint8_t mac[6])
{
	size_t len = strlen(name);

	port->ops = ops;
	len = MIN(len, sizeof(port->name) - 1);
	memcpy(port->name, name, len);
	port->name[len] = '\0';
	if (mac)
		memcpy(port->mac, mac, 6);
	pthread_mutex_init(&port->waiters_lock, NULL);
	shape_init(&port->shape);
}

uint32_t vsw_port_mtu(const struct vsw_port *port)
{
	const struct vsw_net *net;
	const struct vsw_port *outer;
	uint32_t mtu = port->mtu;

	if (mtu)
		return mtu;
	vsw_read_lock();
	outer = atomic_load_explicit(&port->outer, memory_order_acquire);
	port = outer ? outer : port;
	net = atomic_load_explicit(&port->net, memory_order_acquire);
	mtu = port->mtu ? port->mtu : net ? net->mtu : 0;
	vsw_read_unlock();
	return mtu;
}

bool vsw_port_is_attached(const struct vsw_port *port, uint32_t id)
{
	const struct port_list *l = atomic_load_explicit(&attached, memory_order_acquire);

	for (unsigned int i = 0; l && i < l->n; i++)
		if (l->port[i] == port)
			return port->id == id;
	return false;
}

/* A copy of @old (may be NULL) with @add and without @del (either may be NULL). */
static struct port_list *list_copy(const struct port_list *old, struct vsw_port *add,
				   const struct vsw_port *del)
{
	unsigned int n = old ? old->n : 0;
	struct port_list *l = calloc(1, sizeof(*l) + (n + 1) * sizeof(void *));

	if (!l)
		return NULL;
	for (unsigned int i = 0; i < n; i++)
		if (old->port[i] != del)
			l->port[l->n++] = old->port[i];
	if (add)
		l->port[l->n++] = add;
	return l;
}

int vsw_port_attach(struct vsw_net *net, struct vsw_port *port)
{
	struct port_list *old_ports = atomic_load(&net->ports), *old_all = atomic_load(&attached);
	struct port_list *ports, *all;
	int rc = -ENOMEM;

	if (atomic_load(&port->net) || atomic_load(&port->outer))
		return -EBUSY;
	ports = list_copy(old_ports, port, NULL);
	all = list_copy(old_all, port, NULL);
	if (!ports || !all)
		goto err;
	port->id = ++last_id;
	port->n_macs = 0;
	atomic_store(&port->learn_again_ms, 0);
	atomic_store(&port->net, net);
	if (fdb_mac(port->mac)) {
		rc = fdb_add_fixed(net->fdb, fdb_mac(port->mac), port);
		if (rc)
			goto err_net;
	}
	if (port->nic)
		shape_join(&net->shape, &port->shape);
	pace_refresh(port);
	atomic_store_explicit(&attached, all, memory_order_release);
	atomic_store_explicit(&net->ports, ports, memory_order_release);
	atomic_fetch_add(&vsw_topology, 1);
	vsw_synchronize();
	fdb_reap(net->fdb);
	free(old_ports);
	free(old_all);
	return 0;

err_net:
	atomic_store(&port->net, NULL);
	/* The sender may already have seen its network. */
	fdb_forget_port(net->fdb, port);
	vsw_synchronize();
	fdb_reap(net->fdb);
err:
	free(ports);
	free(all);
	return rc;
}

void vsw_port_detach(struct vsw_port *port)
{
	struct vsw_net *net = atomic_load(&port->net);
	struct port_list *old_ports, *old_all, *ports, *all;

	if (!net)
		return;
	old_ports = atomic_load(&net->ports);
	old_all = atomic_load(&attached);
	/* A list that shrinks: memory for it is a few hundred bytes, and there is no way back. */
	while (!(ports = list_copy(old_ports, NULL, port)))
		log_err_rl("port %s: no memory to detach, trying again", port->name);
	while (!(all = list_copy(old_all, NULL, port)))
		log_err_rl("port %s: no memory to detach, trying again", port->name);
	capture_stop_all(port);
	/* NICs that have flows to it learn of it before they go. */
	atomic_fetch_add(&vsw_topology, 1);
	policy_forget_port(port);
	features_forget_port(port);
	atomic_store(&port->net, NULL);
	shape_leave(&port->shape);
	atomic_store_explicit(&net->ports, ports, memory_order_release);
	atomic_store_explicit(&attached, all, memory_order_release);
	fdb_forget_port(net->fdb, port);
	/* After this nobody delivers here, and nobody new waits here. */
	vsw_synchronize();
	fdb_reap(net->fdb);
	free(old_ports);
	free(old_all);
	wait_release_all(port);
	/* After this nobody who still saw itself waiting here is at our lock. */
	vsw_synchronize();
}
