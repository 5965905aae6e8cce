/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns port mirroring: copies of what ports marked "source" send and get, to those marked
 * "destination". A copy is delivered, not sent: it is not judged, not forwarded, not learned from,
 * and not copied in turn.
 */
#include "vswitch/port_features_internal.h"
#include "vswitch/send_internal.h"

void mirror_packet(struct vsw_net *net, const struct vsw_port *from, const struct vsw_port *to,
		   const struct vlan_conf *from_vlan, uint16_t vid, struct pkt *pkt)
{
	const struct port_list *l = atomic_load_explicit(&net->ports, memory_order_acquire);

	for (unsigned int i = 0; i < l->n; i++) {
		struct vsw_port *port = l->port[i];
		const struct port_features *f = features_of(port);

		if (!f || f->conf.mirror != VSW_MIRROR_DESTINATION || port == from || port == to)
			continue;
		if (!to && vlan_may(from_vlan, &f->conf.vlan, vid))
			continue;
		if (vsw_port_takes(port))
			send_flood_to(port, &pkt, 1);
	}
}
