/* SPDX-License-Identifier: BSD-2-Clause */
/* Features of ports, as the way of a burst asks for them. Inside the switch; in a read section. */
#ifndef HVLAB_VSWITCH_PORT_FEATURES_INTERNAL_H
#define HVLAB_VSWITCH_PORT_FEATURES_INTERNAL_H

#include "base/util.h"
#include "vswitch/port_features.h"

static inline struct port_features *features_of(const struct vsw_port *port)
{
	return atomic_load_explicit(&port->features, memory_order_acquire);
}

static inline const struct vlan_conf *features_vlan(const struct port_features *f)
{
	return f ? &f->conf.vlan : NULL;
}

/*
 * May @port's guest, which has @f, send this? Its VLAN and the one its addresses are known under.
 * VSW_DROP_NONE, _VLAN, or of the guards.
 */
enum vsw_drop features_ingress(const struct port_features *f, const struct vsw_port *port,
			       const struct pkt *pkt, uint16_t *vid, uint16_t *fdb);

/* mirror.c. Is anything at this port copied to others? */
static inline bool mirror_is_source(const struct port_features *f)
{
	return unlikely(f != NULL) && f->conf.mirror == VSW_MIRROR_SOURCE;
}

/**
 * mirror_packet() - Copies to the destinations of @net
 * @from, @to:	who sent it and who got it: they get no copy. @to NULL: a flood
 * @from_vlan, @vid: of a flood: a destination that got it anyway gets no copy
 *
 * Nobody waits for a copy. A copy is never copied.
 */
void mirror_packet(struct vsw_net *net, const struct vsw_port *from, const struct vsw_port *to,
		   const struct vlan_conf *from_vlan, uint16_t vid, struct pkt *pkt);

/* The port is detached. Control thread. */
void features_forget_port(struct vsw_port *port);

#endif
