/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns what limits the senders at ports: setting it, and asking on the way through vsw_send(). */
#include "base/util.h"
#include "vswitch/rcu.h"
#include "vswitch/switch_internal.h"

void pace_refresh(struct vsw_port *port)
{
	bool on = shape_is_limited(&port->shape);
	struct vsw_port *outer;

	/* Of a vNIC's own port it stays: it stands for its paths too. */
	if (on || !port->nic)
		atomic_store(&port->shaped, on);
	if (!on)
		return;
	vsw_read_lock();
	/* Whoever makes it a path looks after he has made it one. */
	outer = atomic_load(&port->outer);
	if (outer)
		atomic_store(&outer->shaped, true);
	vsw_read_unlock();
}

void vsw_port_shape_set(struct vsw_port *port, const struct shape_conf *conf)
{
	shape_set(&port->shape, conf, now_ns());
	pace_refresh(port);
}

struct shape_conf vsw_port_shape(struct vsw_port *port)
{
	return shape_get(&port->shape);
}

void vsw_net_rate_set(struct vsw_net *net, uint32_t mbps)
{
	const struct port_list *l = atomic_load(&net->ports);

	shape_net_set(&net->shape, mbps, now_ns());
	for (unsigned int i = 0; i < l->n; i++)
		pace_refresh(l->port[i]);
}

uint32_t vsw_net_rate(struct vsw_net *net)
{
	return shape_net_get(&net->shape);
}

static void count(struct vsw_port *port, uint64_t packets, uint64_t ns)
{
	if (!port)
		return;
	atomic_fetch_add_explicit(&port->stats.tx_delayed, packets, memory_order_relaxed);
	atomic_fetch_add_explicit(&port->stats.tx_delayed_ns, ns, memory_order_relaxed);
}

static struct shape *of_path(struct vsw_port *path)
{
	if (!path || !atomic_load_explicit(&path->shaped, memory_order_relaxed))
		return NULL;
	return &path->shape;
}

unsigned int pace_admit(struct vsw_port *from, struct vsw_port *path, struct pkt **pkts,
			unsigned int n)
{
	struct pkt_delay *d = &pkts[0]->delay;
	uint64_t since = d->since, now = now_ns();
	bool waits = path ? path->delays : from->delays;
	unsigned int ok = shape_admit(of_path(path), &from->shape, pkts, n, waits, now);

	if (ok && since) {
		d->since = 0;
		count(from, 0, now - since);
		count(path, 0, now - since);
	} else if (!ok && waits) {
		pkts[0]->waits_for = NULL;
		count(from, !since, 0);
		count(path, !since, 0);
	}
	return ok;
}

void pace_charge(struct vsw_port *from, struct vsw_port *path, uint64_t bytes)
{
	shape_charge(of_path(path), &from->shape, bytes);
}
