/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns which features a port has, and what of them meets a packet that its guest sends. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "vswitch/fdb.h"
#include "vswitch/port_features_internal.h"
#include "vswitch/rcu.h"
#include "vswitch/switch_internal.h"

static const char *const mirrors[] = {
	[VSW_MIRROR_NONE] = "none",
	[VSW_MIRROR_SOURCE] = "source",
	[VSW_MIRROR_DESTINATION] = "destination",
};
static_assert(ARRAY_SIZE(mirrors) == VSW_N_MIRRORS, "a name for each kind of mirror");

const char *vsw_mirror_name(enum vsw_mirror m)
{
	return mirrors[m];
}

static bool is_any(const struct vsw_features *f)
{
	return f && (f->vlan.mode != VLAN_NONE || f->guards || f->mirror != VSW_MIRROR_NONE ||
		     f->storm_pps);
}

/* Bursts of a network with such a port go the way that asks for features. */
static void note_special(struct vsw_port *port, int change)
{
	struct vsw_net *net = atomic_load(&port->net);

	if (net && change)
		atomic_fetch_add(&net->n_special, change);
}

static void replace(struct vsw_port *port, struct port_features *new)
{
	struct port_features *old = atomic_load(&port->features);

	/* Special as long as there is something to be found. */
	if (new && !old)
		note_special(port, 1);
	atomic_store_explicit(&port->features, new, memory_order_release);
	if (!new &&old)
		note_special(port, -1);
	if (!new && !old)
		return;
	atomic_fetch_add(&vsw_topology, 1);
	vsw_synchronize();
	free(old);
}

int vsw_port_set_features(struct vsw_port *port, const struct vsw_features *f)
{
	struct port_features *new = NULL;

	if (!atomic_load(&port->net) || atomic_load(&port->outer))
		return -EINVAL;
	if (f && (!vlan_conf_ok(&f->vlan) || (unsigned int)f->mirror >= VSW_N_MIRRORS ||
		  ((f->guards & GUARD_MAC) && !fdb_mac(port->mac))))
		return -EINVAL;
	if (is_any(f)) {
		new = calloc(1, sizeof(*new));
		if (!new)
			return -ENOMEM;
		new->conf = *f;
		new->storm.pps = f->storm_pps;
	}
	replace(port, new);
	return 0;
}

void vsw_port_get_features(const struct vsw_port *port, struct vsw_features *f)
{
	const struct port_features *now = atomic_load(&port->features);

	*f = now ? now->conf : (struct vsw_features){0};
}

void features_forget_port(struct vsw_port *port)
{
	replace(port, NULL);
}

enum vsw_drop features_ingress(const struct port_features *f, const struct vsw_port *port,
			       const struct pkt *pkt, uint16_t *vid, uint16_t *fdb)
{
	enum vsw_drop why = vlan_ingress(&f->conf.vlan, pkt, vid, fdb);

	if (why != VSW_DROP_NONE || !f->conf.guards)
		return why;
	return guard_check(f->conf.guards, port->mac, pkt);
}
