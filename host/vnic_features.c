/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns how a vNIC's port features, as the lab has them, come into force in the switch. */
#include <assert.h>
#include <errno.h>

#include "host/vnic_internal.h"
#include "vswitch/nic.h"
#include "vswitch/port_features.h"

static_assert(LAB_RATE_MAX == SHAPE_MAX_MBPS && LAB_SHARE_MAX == SHAPE_MAX_WEIGHT,
	      "what can be written can be had");

uint32_t vnic_max_flows(const struct lab_features *f)
{
	return f->offload ? f->offload_flows : 0;
}

int vnic_features_set(struct vnic *v, const struct lab_features *f)
{
	struct vsw_features to = {.mirror = f->mirror == LAB_MIRROR_SOURCE ? VSW_MIRROR_SOURCE
					    : f->mirror == LAB_MIRROR_DESTINATION
						    ? VSW_MIRROR_DESTINATION
						    : VSW_MIRROR_NONE,
				  .storm_pps = f->storm_pps};
	const struct shape_conf rate = {
		.max_mbps = f->max_mbps, .min_mbps = f->min_mbps, .min_weight = f->min_weight};
	struct mana_info info;
	char why[160];
	int rc;

	if (lab_vlan_parse(f->vlan, &to.vlan, NULL, why, sizeof(why)))
		return -EINVAL;
	if (!f->mac_spoofing)
		to.guards |= GUARD_MAC;
	if (f->dhcp_guard)
		to.guards |= GUARD_DHCP;
	if (f->router_guard)
		to.guards |= GUARD_ROUTER;
	rc = vsw_port_set_features(vsw_nic_port(v->nic), &to);
	if (rc)
		return rc;
	vsw_port_shape_set(vsw_nic_port(v->nic), &rate);
	if (!v->mana)
		return 0;
	/* A change of size empties the table, so only when it is one. */
	mana_get_info(v->mana, &info);
	return info.vports[0].max_flows == vnic_max_flows(f)
		       ? 0
		       : mana_flows_set(v->mana, 0, vnic_max_flows(f));
}
