/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns what a vNIC says of itself in query-status and stats. */
#include "host/vnic_internal.h"

#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "host/flows.h"

json_t *vnic_guest_string(const char *s)
{
	json_t *str = json_string(s);
	char buf[VNIC_TEXT_SIZE];

	if (str)
		return str;
	snprintf(buf, sizeof(buf), "%s", s);
	for (char *p = buf; *p; p++)
		if ((unsigned char)*p >= 0x80)
			*p = '?';
	return json_string(buf);
}

/*
 * Linux include/net/mana/gdma.h: os_type of GDMA_VERIFY_VF_DRIVER_VERSION is 0x10 for Linux; others
 * are Windows 0x20 and "other" 0x30 by the same file.
 */
static const char *os_name(uint32_t type)
{
	switch (type) {
	case 0x10:
		return "Linux";
	case 0x20:
		return "Windows";
	}
	return "other";
}

static json_t *driver_json(const struct mana_info *info)
{
	char version[64];
	json_t *strings;

	if (!info->os_type && !info->os_ver_major)
		return json_null();
	snprintf(version, sizeof(version), "%u.%u.%u", info->os_ver_major, info->os_ver_minor,
		 info->os_ver_build);
	strings = json_array();
	for (unsigned int i = 0; i < ARRAY_SIZE(info->os_ver_str); i++)
		if (info->os_ver_str[i][0])
			json_array_append_new(strings, vnic_guest_string(info->os_ver_str[i]));
	return json_pack("{s:I, s:s, s:s, s:b, s:o}", "os_type", (json_int_t)info->os_type, "os",
			 os_name(info->os_type), "version", version, "link_aware",
			 info->link_aware, "strings", strings);
}

json_t *vnic_vf_json(const struct vnic *v)
{
	static struct mana_info info; /* large; control thread only */
	const struct mana_vport_info *vp = &info.vports[0];
	json_t *o;

	if (!v->mana)
		return json_null();
	mana_get_info(v->mana, &info);
	o = v->vf ? vf_json(v->vf) : json_pack("{s:s}", "state", "absent");
	json_object_update_new(
		o,
		json_pack("{s:s, s:b, s:s, s:o, s:I, s:o}", "guest", vnic_state_name(v->state),
			  "link", vp->link, "msix",
			  v->msix == VFUSER_MSIX_NATIVE ? "native" : "masquerade", "driver",
			  driver_json(&info), "queues", (json_int_t)vp->n_txq, "last_error",
			  info.last_error[0] ? vnic_guest_string(info.last_error) : json_null()));
	return o;
}

json_t *vnic_synthetic_json(const struct vnic *v)
{
	struct vhost_info info;

	if (!v->vhost)
		return json_null();
	vhost_get_info(v->vhost, &info);
	return json_pack("{s:s, s:s, s:I, s:b, s:o}", "kind", lab_synthetic_name(v->lab->synthetic),
			 "state", vnic_synthetic_state(v), "queues", (json_int_t)info.n_txq,
			 "migrating", info.logging, "last_error",
			 info.last_error[0] ? vnic_guest_string(info.last_error) : json_null());
}

static void set(json_t *o, const char *key, uint64_t value)
{
	json_object_set_new(o, key, json_integer((json_int_t)value));
}

static json_t *drops_json(const _Atomic uint64_t drops[VSW_N_DROPS])
{
	json_t *o = json_object();

	for (unsigned int i = VSW_DROP_NONE + 1; i < VSW_N_DROPS; i++)
		set(o, vsw_drop_name((enum vsw_drop)i), atomic_load(&drops[i]));
	return o;
}

json_t *vnic_port_json(const struct vsw_port *port)
{
	const struct vsw_port_stats *st = &port->stats;
	json_t *o = json_object();

	set(o, "tx_packets", atomic_load(&st->tx_packets));
	set(o, "tx_bytes", atomic_load(&st->tx_bytes));
	set(o, "rx_packets", atomic_load(&st->rx_packets));
	set(o, "rx_bytes", atomic_load(&st->rx_bytes));
	set(o, "tx_gso", atomic_load(&st->tx_gso));
	set(o, "tx_waits", atomic_load(&st->tx_waits));
	set(o, "tx_delayed", atomic_load(&st->tx_delayed));
	set(o, "tx_delayed_ns", atomic_load(&st->tx_delayed_ns));
	json_object_set_new(o, "rx_drops", drops_json(st->drops));
	json_object_set_new(o, "tx_drops", drops_json(st->tx_drops));
	return o;
}

static json_t *mana_json(const struct mana_info *info)
{
	const struct mana_vport_info *vp = &info->vports[0];
	const struct {
		const char *name;
		uint64_t value;
	} figures[] = {
		{"eqs", info->n_eq},
		{"cqs", info->n_cq},
		{"wqs", info->n_wq},
		{"dma_regions", info->n_dma_regions},
		{"hwc_requests", info->hwc_requests},
		{"hwc_errors", info->hwc_errors},
		{"guest_errors", info->guest_errors},
		{"resets", info->resets},
		{"flrs", info->flrs},
		{"irqs_put_off", info->irqs_put_off},
		{"txqs", vp->n_txq},
		{"rxqs", vp->n_rxq},
		{"mtu", vp->mtu},
		{"indir_size", vp->indir_size},
		{"bw_limit_mbps", vp->bw_limit_mbps},
		{"tx_packets", vp->tx_packets},
		{"tx_bytes", vp->tx_bytes},
		{"rx_packets", vp->rx_packets},
		{"rx_bytes", vp->rx_bytes},
		{"tx_tso", vp->tx_tso},
		{"tx_errors", vp->tx_errors},
		{"tx_held_ns", vp->tx_held_ns},
		{"rx_no_buffer", vp->rx_no_buffer},
		{"rx_errors", vp->rx_errors},
		{"rx_coalesced", vp->rx_coalesced},
		{"tx_wqes", vp->tx_wqes},
		{"rx_wqes", vp->rx_wqes},
		{"cqes", vp->cqes},
		{"eqes", vp->eqes},
		{"doorbells", vp->doorbells},
		{"offload_flows", vp->flows},
		{"offload_max_flows", vp->max_flows},
		{"offload_hits", vp->flow_hits},
		{"offload_exceptions", vp->flow_exceptions},
		{"offload_added", vp->flows_added},
		{"offload_removed", vp->flows_removed},
		{"offload_refused", vp->flows_refused},
	};
	json_t *o = json_pack("{s:b, s:b, s:b, s:b, s:b}", "connected", info->connected, "hwc",
			      info->hwc_up, "driven", vp->driven, "link", vp->link, "rss", vp->rss);

	for (unsigned int i = 0; i < ARRAY_SIZE(figures); i++)
		set(o, figures[i].name, figures[i].value);
	return o;
}

static json_t *queue_json(unsigned int index, uint64_t tx_packets, uint64_t tx_bytes,
			  uint64_t rx_packets, uint64_t rx_bytes, uint64_t rx_no_buffer)
{
	json_t *o = json_object();

	set(o, "index", index);
	set(o, "tx_packets", tx_packets);
	set(o, "tx_bytes", tx_bytes);
	set(o, "rx_packets", rx_packets);
	set(o, "rx_bytes", rx_bytes);
	set(o, "rx_no_buffer", rx_no_buffer);
	return o;
}

/* The @offered first ones: more exist, but no driver can have them. */
static json_t *queues_json(struct mana *m, size_t offered)
{
	static struct mana_queue_info q[MANA_MAX_QUEUES * MANA_MAX_VPORTS];
	size_t n = MIN(mana_get_queues(m, q, ARRAY_SIZE(q)), offered);
	json_t *list = json_array();

	for (size_t i = 0; i < MIN(n, ARRAY_SIZE(q)); i++)
		json_array_append_new(list, queue_json(q[i].index, q[i].tx_packets, q[i].tx_bytes,
						       q[i].rx_packets, q[i].rx_bytes,
						       q[i].rx_no_buffer));
	return list;
}

static json_t *vfuser_json(struct mana *m)
{
	struct vfuser_stats st;
	json_t *o = json_object();

	vfuser_get_stats(mana_vfuser(m), &st);
	set(o, "messages", st.messages);
	set(o, "posted", st.posted);
	set(o, "batches", st.batches);
	set(o, "rejected", st.rejected);
	set(o, "irqs", st.irqs);
	set(o, "irqs_deferred", st.irqs_deferred);
	set(o, "irqs_lost", st.irqs_lost);
	set(o, "connects", st.connects);
	set(o, "refused", st.refused);
	return o;
}

static json_t *vhost_json(struct vhost *vh)
{
	struct vhost_info info;
	json_t *o;

	vhost_get_info(vh, &info);
	o = json_pack("{s:b, s:b, s:b, s:I, s:I}", "connected", info.connected, "driven",
		      info.driven, "logging", info.logging, "features", (json_int_t)info.features,
		      "protocol_features", (json_int_t)info.protocol_features);
	set(o, "txqs", info.n_txq);
	set(o, "rxqs", info.n_rxq);
	set(o, "messages", info.messages);
	set(o, "rejected", info.rejected);
	set(o, "guest_errors", info.guest_errors);
	set(o, "announces", info.announces);
	set(o, "connects", info.connects);
	set(o, "refused", info.refused);
	set(o, "kicks", info.kicks);
	set(o, "calls", info.calls);
	set(o, "tx_tso", info.tx_tso);
	set(o, "rx_gso", info.rx_gso);
	set(o, "tx_held_ns", info.tx_held_ns);
	set(o, "rx_no_buffer", info.rx_no_buffer);
	return o;
}

static json_t *vhost_queues_json(struct vhost *vh)
{
	static struct vhost_queue_info q[VHOST_MAX_QUEUES];
	size_t n = vhost_get_queues(vh, q, ARRAY_SIZE(q));
	json_t *list = json_array();

	for (size_t i = 0; i < MIN(n, ARRAY_SIZE(q)); i++)
		json_array_append_new(list, queue_json(q[i].index, q[i].tx_packets, q[i].tx_bytes,
						       q[i].rx_packets, q[i].rx_bytes,
						       q[i].rx_no_buffer));
	return list;
}

static json_t *park_json(struct vsw_nic *nic)
{
	struct vsw_nic_info info;
	json_t *o = json_object();

	vsw_nic_get_info(nic, &info);
	set(o, "switches", info.switches);
	set(o, "parked", info.parked);
	set(o, "parked_now", info.parked_now);
	set(o, "parked_bytes_now", info.parked_bytes_now);
	set(o, "park_lost", info.park_lost);
	set(o, "park_longest_ns", info.park_longest_ns);
	return o;
}

json_t *vnic_stats_json(const struct vnic *v)
{
	static struct mana_info info;
	json_t *o = json_pack("{s:s, s:o, s:o}", "id", v->id, "port",
			      vnic_port_json(vsw_nic_port(v->nic)), "receive", park_json(v->nic));
	json_t *paths = json_object();

	if (v->mana) {
		mana_get_info(v->mana, &info);
		json_object_set_new(paths, "vf", vnic_port_json(mana_port(v->mana, 0)));
		json_object_set_new(o, "mana", mana_json(&info));
		json_object_set_new(o, "queues", queues_json(v->mana, info.vports[0].max_queues));
		json_object_set_new(o, "vfio_user", vfuser_json(v->mana));
	}
	if (v->vhost) {
		json_object_set_new(paths, "synthetic", vnic_port_json(vhost_port(v->vhost)));
		json_object_set_new(o, "vhost", vhost_json(v->vhost));
		json_object_set_new(o, "synthetic_queues", vhost_queues_json(v->vhost));
	}
	json_object_set_new(o, "paths", paths);
	json_object_set_new(o, "flows", flow_stats_json(vsw_nic_port(v->nic)));
	return o;
}
