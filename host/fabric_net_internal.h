/* SPDX-License-Identifier: BSD-2-Clause */
/* Between the fabric_net*.c files: one network's port to the other hosts. Control thread. */
#ifndef HVLAB_HOST_FABRIC_NET_INTERNAL_H
#define HVLAB_HOST_FABRIC_NET_INTERNAL_H

#include "host/fabric_internal.h"
#include "host/fabric_net.h"
#include "vswitch/ports/vxlan.h"

/* What keeps a port from being made. */
struct fabric_trouble {
	char *why;
	size_t size;
	const char *hint;
};
int fabric_trouble(struct fabric_trouble *t, int rc, const char *hint, const char *fmt, ...)
	PRINTF_LIKE(4, 5);

/* ---- fabric_vxlan.c ---- */

struct fabric_vxlan;

/* 0 or -errno. */
int fabric_tunnel_new(const struct fabric_net_conf *conf, struct vxlan_tunnel **tunnel,
		      struct fabric_trouble *trouble);
json_t *fabric_tunnel_json(struct vxlan_tunnel *tunnel);
/* NULL with errno. */
struct fabric_vxlan *fabric_vxlan_new(const struct fabric_net_conf *conf, unsigned int net,
				      struct vxlan_tunnel *tunnel, struct fabric_trouble *trouble);
void fabric_vxlan_free(struct fabric_vxlan *v);
void fabric_vxlan_apply(struct fabric_vxlan *v, const struct fabric *f);
json_t *fabric_vxlan_json(const struct fabric_vxlan *v);

/* ---- fabric_routed.c ---- */

struct fabric_routed;

/* NULL with errno. @conf outlives it. */
struct fabric_routed *fabric_routed_new(const struct fabric_net_conf *conf, unsigned int net,
					struct fabric_trouble *trouble);
void fabric_routed_free(struct fabric_routed *r);
void fabric_routed_apply(struct fabric_routed *r, const struct fabric *f);
json_t *fabric_routed_json(const struct fabric_routed *r);

#endif
