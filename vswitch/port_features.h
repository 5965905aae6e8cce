/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Features of a port beyond policy, as Hyper-V's switch has them: VLANs, guards, mirroring, storm
 * limit. A port without any has none of this (port->features is NULL).
 */
#ifndef HVLAB_VSWITCH_PORT_FEATURES_H
#define HVLAB_VSWITCH_PORT_FEATURES_H

#include "vswitch/guard.h"
#include "vswitch/port.h"
#include "vswitch/storm.h"
#include "vswitch/vlan.h"

/*
 * What is sent and received at a source is copied to each destination of the network. A guest that
 * is to see it has to be promiscuous.
 */
enum vsw_mirror { VSW_MIRROR_NONE, VSW_MIRROR_SOURCE, VSW_MIRROR_DESTINATION, VSW_N_MIRRORS };
const char *vsw_mirror_name(enum vsw_mirror m); /* "none", "source", "destination" */

/**
 * struct vsw_features - What a port is to have; all zero: nothing
 * @guards:	GUARD_*
 * @storm_pps:	see storm.h; 0: no limit
 */
struct vsw_features {
	struct vlan_conf vlan;
	unsigned int guards;
	enum vsw_mirror mirror;
	uint32_t storm_pps;
};

/* What is published: @conf does not change any more. */
struct port_features {
	struct vsw_features conf;
	struct storm storm;
};

/**
 * vsw_port_set_features() - Give a port its features, instead of those it had
 * @port:	attached; a vNIC's own port or a plain one, never a path
 * @f:		copied; NULL: none
 *
 * Waits for bursts under way, which may still go by the old ones. Control thread.
 * Return: 0; -EINVAL: not attached, a path, VLAN ids that are none, a guard of the MAC of a port
 * that has none; -ENOMEM
 */
int vsw_port_set_features(struct vsw_port *port, const struct vsw_features *f);
/* Copy of those in force. Control thread. */
void vsw_port_get_features(const struct vsw_port *port, struct vsw_features *f);

#endif
