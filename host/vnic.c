/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the vNICs: making, state, figures. */
#define LOG_TAG "vnic"
#include "host/vnic.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/util.h"
#include "vfio/vfuser.h"

#define EVENTS_PER_SECOND 10 /* of the guest's making, carried to the control thread */
#define TEXT_SIZE	  160

struct vnic {
	uint64_t number; /* never used twice */
	char id[LAB_NAME_MAX + LAB_NIC_NAME_MAX + 2];
	enum vnic_state state;
	enum vfuser_msix_mode msix;
	struct mana *mana;
	struct vsw_port *port;
	bool attached;
	struct mailbox *mail;
	const struct vnic_ops *ops;
	void *arg;
	struct vnic *next;

	/* the worker's */
	struct log_limit limit;
};

/* An event on its way from a worker. */
struct letter {
	uint64_t number;
	enum mana_event_type type;
	uint32_t suppressed;
	char text[TEXT_SIZE];
};

static struct vnic *all; /* control thread */
static uint64_t last_number;

static const char *const state_names[] = {
	[VNIC_ABSENT] = "absent",
	[VNIC_OFFERED] = "offered",
	[VNIC_DRIVEN] = "driven",
};
static_assert(ARRAY_SIZE(state_names) == VNIC_N_STATES, "every state has a name");

const char *vnic_state_name(enum vnic_state s)
{
	return state_names[s];
}

static void set_state(struct vnic *v, enum vnic_state s)
{
	enum vnic_state prev = v->state;

	if (prev == s)
		return;
	v->state = s;
	log_info("%s: %s", v->id, vnic_state_name(s));
	v->ops->state(v->arg, v, prev);
}

static void on_letter(void *arg)
{
	struct letter *l = arg;
	struct vnic *v = all;

	while (v && v->number != l->number)
		v = v->next;
	if (!v)
		goto out;
	switch (l->type) {
	case MANA_EV_CONNECTED:
		set_state(v, VNIC_OFFERED);
		break;
	case MANA_EV_DISCONNECTED:
		set_state(v, VNIC_ABSENT);
		break;
	case MANA_EV_DRIVEN:
		set_state(v, VNIC_DRIVEN);
		break;
	case MANA_EV_UNDRIVEN:
		if (v->state == VNIC_DRIVEN)
			set_state(v, VNIC_OFFERED);
		break;
	case MANA_EV_DRIVER:
	case MANA_EV_RESET:
	case MANA_EV_GUEST_ERROR:
		v->ops->event(v->arg, v, l->type, l->text, l->suppressed);
		break;
	}
out:
	free(l);
}

/* On the device's worker. */
static void on_mana_event(void *arg, const struct mana_event *ev)
{
	bool state = ev->type == MANA_EV_CONNECTED || ev->type == MANA_EV_DISCONNECTED ||
		     ev->type == MANA_EV_DRIVEN || ev->type == MANA_EV_UNDRIVEN;
	struct vnic *v = arg;
	uint32_t lost = 0;
	struct letter *l;

	/* States must arrive; of the rest a guest can make as many as it likes. */
	if (!state && !log_limit_ok(&v->limit, &lost))
		return;
	l = calloc(1, sizeof(*l));
	if (!l)
		return;
	l->number = v->number;
	l->type = ev->type;
	l->suppressed = lost;
	if (ev->text)
		snprintf(l->text, sizeof(l->text), "%s", ev->text);
	if (mailbox_post(v->mail, on_letter, l))
		free(l);
}

struct vnic *vnic_new(const struct vnic_conf *conf, const char **what)
{
	const struct lab_nic *nic = conf->nic;
	struct vnic *v = calloc(1, sizeof(*v));
	struct mana_conf mc = {
		.n_vports = 1,
		.vports[0] = {.max_queues = nic->queues,
			      .mtu = nic->mtu,
			      .link_mbps = nic->link_mbps},
		.msix_mode = conf->msix,
		.event = on_mana_event,
		.event_arg = v,
	};
	int rc;

	*what = "memory";
	if (!v)
		return NULL;
	snprintf(v->id, sizeof(v->id), "%s/%s", conf->vm, nic->name);
	v->number = ++last_number;
	v->msix = conf->msix;
	v->mail = conf->mail;
	v->ops = conf->ops;
	v->arg = conf->arg;
	mc.name = v->id;
	memcpy(mc.vports[0].mac, nic->mac, sizeof(nic->mac));
	*what = "making the device";
	v->mana = mana_new(conf->worker, &mc);
	if (!v->mana) {
		rc = -errno;
		goto err;
	}
	*what = "attaching it to its network";
	v->port = mana_port(v->mana, 0);
	rc = vsw_port_attach(conf->net, v->port);
	if (rc)
		goto err;
	v->attached = true;
	v->next = all;
	all = v;
	*what = conf->socket;
	rc = mana_listen(v->mana, conf->socket);
	if (rc)
		goto err;
	return v;
err:
	vnic_free(v);
	errno = -rc;
	return NULL;
}

void vnic_free(struct vnic *v)
{
	int saved = errno;

	if (!v)
		return;
	for (struct vnic **at = &all; *at; at = &(*at)->next) {
		if (*at == v) {
			*at = v->next;
			break;
		}
	}
	if (v->attached) {
		vsw_capture_stop(v->port);
		vsw_port_detach(v->port);
	}
	if (v->mana)
		mana_free(v->mana);
	free(v);
	errno = saved;
}

const char *vnic_id(const struct vnic *v)
{
	return v->id;
}

enum vnic_state vnic_state(const struct vnic *v)
{
	return v->state;
}

struct mana *vnic_mana(const struct vnic *v)
{
	return v->mana;
}

struct vsw_port *vnic_port(const struct vnic *v)
{
	return v->port;
}

/* A guest's string; what is not UTF-8 becomes '?'. */
static json_t *guest_string(const char *s)
{
	json_t *str = json_string(s);
	char buf[TEXT_SIZE];

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
			json_array_append_new(strings, guest_string(info->os_ver_str[i]));
	return json_pack("{s:I, s:s, s:s, s:o}", "os_type", (json_int_t)info->os_type, "os",
			 os_name(info->os_type), "version", version, "strings", strings);
}

json_t *vnic_vf_json(const struct vnic *v)
{
	static struct mana_info info; /* large; control thread only */
	const struct mana_vport_info *vp = &info.vports[0];

	mana_get_info(v->mana, &info);
	return json_pack("{s:s, s:b, s:s, s:o, s:I, s:o}", "state", vnic_state_name(v->state),
			 "link", vp->link, "msix",
			 v->msix == VFUSER_MSIX_NATIVE ? "native" : "masquerade", "driver",
			 driver_json(&info), "queues", (json_int_t)vp->n_txq, "last_error",
			 info.last_error[0] ? guest_string(info.last_error) : json_null());
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

static json_t *port_json(const struct vsw_port *port)
{
	const struct vsw_port_stats *st = &port->stats;
	json_t *o = json_object();

	set(o, "tx_packets", atomic_load(&st->tx_packets));
	set(o, "tx_bytes", atomic_load(&st->tx_bytes));
	set(o, "rx_packets", atomic_load(&st->rx_packets));
	set(o, "rx_bytes", atomic_load(&st->rx_bytes));
	set(o, "tx_gso", atomic_load(&st->tx_gso));
	set(o, "tx_waits", atomic_load(&st->tx_waits));
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
	};
	json_t *o = json_pack("{s:b, s:b, s:b, s:b, s:b}", "connected", info->connected, "hwc",
			      info->hwc_up, "driven", vp->driven, "link", vp->link, "rss", vp->rss);

	for (unsigned int i = 0; i < ARRAY_SIZE(figures); i++)
		set(o, figures[i].name, figures[i].value);
	return o;
}

static json_t *queues_json(struct mana *m)
{
	static struct mana_queue_info q[MANA_MAX_QUEUES * MANA_MAX_VPORTS];
	size_t n = mana_get_queues(m, q, ARRAY_SIZE(q));
	json_t *list = json_array();

	for (size_t i = 0; i < MIN(n, ARRAY_SIZE(q)); i++) {
		json_t *o = json_object();

		set(o, "index", q[i].index);
		set(o, "tx_packets", q[i].tx_packets);
		set(o, "tx_bytes", q[i].tx_bytes);
		set(o, "rx_packets", q[i].rx_packets);
		set(o, "rx_bytes", q[i].rx_bytes);
		set(o, "rx_no_buffer", q[i].rx_no_buffer);
		json_array_append_new(list, o);
	}
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

json_t *vnic_stats_json(const struct vnic *v)
{
	static struct mana_info info;

	mana_get_info(v->mana, &info);
	return json_pack("{s:s, s:o, s:o, s:o, s:o}", "id", v->id, "port", port_json(v->port),
			 "mana", mana_json(&info), "queues", queues_json(v->mana), "vfio_user",
			 vfuser_json(v->mana));
}
