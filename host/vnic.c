/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the vNICs: their parts, and the traffic between parts and the VF's life.
 *
 * Devices speak on their worker. What they say is put into a letter with the vNIC's number and
 * read on the control thread, in the order it was said. There it becomes a fact for the VF's
 * life (host/vf.c), whose wishes come back through vf_ops. A vNIC without a VF has no life to ask:
 * it receives on the synthetic path while the guest's driver is there.
 *
 * The VF's socket is hidden (renamed) while QEMU shall not have the device. QEMU's failover keeps
 * the arguments of a primary that was removed and plugs it again by itself when the guest
 * negotiates anew, after a reboot for instance; it must not get it back that way.
 */
#define LOG_TAG "vnic"
#include "host/vnic_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "host/sampler.h"
#include "vfio/vfuser.h"

/*
 * As long as a revocation takes by default before the device is cut. A guest with little CPU was
 * seen to need 2.1 s between receive off and its driver's letting go.
 */
#define PARK_MS 10000

/* An event on its way from a worker. */
struct letter {
	uint64_t number;
	uint64_t synthetic; /* whose: the number of a struct vnic_syn; 0: the mana's */
	union {
		enum mana_event_type mana;
		enum vhost_event_type vhost;
	} type;
	uint32_t suppressed;
	char text[VNIC_TEXT_SIZE];
};

static struct vnic *all; /* control thread */
static uint64_t last_number, last_syn;

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
	log_info("%s: VF %s", v->id, vnic_state_name(s));
	v->ops->state(v->arg, v, prev);
}

/* Where the guest is. */
static struct vsw_port *synthetic_port(struct vnic *v)
{
	return vhost_port(v->twin && v->twin->driven ? v->twin->vhost : v->vhost);
}

static void receive(struct vnic *v, enum vf_receive where)
{
	struct vsw_port *path = where == VF_RX_VF	   ? mana_port(v->mana, 0)
				: where == VF_RX_SYNTHETIC ? synthetic_port(v)
							   : NULL;

	v->receive = where;
	vsw_nic_receive(v->nic, path, where != VF_RX_NOBODY);
}

/* ---- what the VF's life asks for ---- */

static int on_plug(void *arg);

static int on_unplug(void *arg)
{
	struct vnic *v = arg;

	return v->ops->unplug(v->arg, v);
}

static void on_cut(void *arg, bool dead)
{
	struct vnic *v = arg;

	if (dead)
		mana_disconnect(v->mana);
	else
		mana_isolate(v->mana);
}

/* Without a driver the setting is kept all the same. */
static int show_vf_link(struct vnic *v)
{
	return mana_link_set(v->mana, 0, v->vf_link && vnic_path_link(v, PLUG_VF));
}

static void on_link(void *arg, bool up)
{
	struct vnic *v = arg;

	v->vf_link = up;
	show_vf_link(v);
}

static bool on_hears_link(void *arg)
{
	struct vnic *v = arg;
	struct mana_info info;

	mana_get_info(v->mana, &info);
	return info.link_aware;
}

static void on_receive(void *arg, enum vf_receive where)
{
	receive(arg, where);
}

static void on_await(void *arg, bool on)
{
	struct vnic *v = arg;

	vsw_nic_await(v->nic, on && v->mana ? mana_port(v->mana, 0) : NULL);
}

static uint64_t on_tx_packets(void *arg)
{
	struct vnic *v = arg;

	return atomic_load(&mana_port(v->mana, 0)->stats.tx_packets);
}

static void on_tell(void *arg, const char *name, json_t *data)
{
	struct vnic *v = arg;

	v->ops->tell(v->arg, v, name, data);
}

static const struct vf_ops vf_ops = {
	.plug = on_plug,
	.unplug = on_unplug,
	.cut = on_cut,
	.link = on_link,
	.hears_link = on_hears_link,
	.receive = on_receive,
	.await = on_await,
	.tx_packets = on_tx_packets,
	.event = on_tell,
};

/* ---- what devices say ---- */

static void on_mana_letter(struct vnic *v, const struct letter *l)
{
	switch (l->type.mana) {
	case MANA_EV_CONNECTED:
		set_state(v, VNIC_OFFERED);
		if (v->vf)
			vf_on_connected(v->vf);
		break;
	case MANA_EV_DISCONNECTED:
		set_state(v, VNIC_ABSENT);
		if (v->vf)
			vf_on_disconnected(v->vf);
		v->ops->driven(v->arg, v);
		break;
	case MANA_EV_DRIVEN:
		set_state(v, VNIC_DRIVEN);
		if (v->vf)
			vf_on_driven(v->vf);
		v->ops->driven(v->arg, v);
		break;
	case MANA_EV_UNDRIVEN:
		if (v->state == VNIC_DRIVEN)
			set_state(v, VNIC_OFFERED);
		if (v->vf)
			vf_on_undriven(v->vf);
		v->ops->driven(v->arg, v);
		break;
	case MANA_EV_RELEASED:
		if (v->vf)
			vf_on_released(v->vf);
		break;
	case MANA_EV_DRIVER:
	case MANA_EV_RESET:
	case MANA_EV_GUEST_ERROR:
		v->ops->event(v->arg, v, l->type.mana, l->text, l->suppressed);
		break;
	}
}

static void tell_synthetic(struct vnic *v, const char *name)
{
	v->ops->tell(v->arg, v, name,
		     json_pack("{s:s, s:s, s:I}", "vnic", v->id, "state", vnic_synthetic_state(v),
			       "time_ns", (json_int_t)now_ns()));
}

/* As vf.c does it, where there is a VF. */
static void switch_alone(struct vnic *v, enum vf_receive where)
{
	enum vf_receive prev = v->receive;

	receive(v, where);
	v->ops->tell(v->arg, v, "PATH_SWITCHED",
		     json_pack("{s:s, s:s, s:s, s:I}", "vnic", v->id, "path",
			       vf_receive_name(where), "previous", vf_receive_name(prev), "time_ns",
			       (json_int_t)now_ns()));
}

static void synthetic_driven(struct vnic *v, bool driven)
{
	if (v->syn_driven == driven)
		return;
	v->syn_driven = driven;
	tell_synthetic(v, "SYNTHETIC_STATE");
	if (v->vf)
		vf_on_synthetic(v->vf, driven);
	else
		switch_alone(v, driven ? VF_RX_SYNTHETIC : VF_RX_NOBODY);
	v->ops->driven(v->arg, v);
}

static void synthetic_connected(struct vnic *v, bool connected)
{
	if (v->syn_connected == connected)
		return;
	v->syn_connected = connected;
	tell_synthetic(v, "SYNTHETIC_STATE");
}

/* Of the first device, or of its twin while the guest migrates. */
static void on_syn_driven(struct vnic *v, struct vnic_syn *s, bool driven)
{
	s->driven = driven;
	if (!v->twin) {
		synthetic_driven(v, driven);
		return;
	}
	/*
	 * The guest has stopped here and not yet begun there: nobody is told, frames wait in the
	 * switch for the path that is chosen.
	 */
	if (s == v->twin && driven) {
		tell_synthetic(v, "SYNTHETIC_ARRIVED");
		if (v->receive == VF_RX_SYNTHETIC)
			receive(v, VF_RX_SYNTHETIC);
		v->ops->driven(v->arg, v);
	}
}

static void on_vhost_letter(struct vnic *v, const struct letter *l)
{
	struct vnic_syn *s = v->syn && v->syn->number == l->synthetic	  ? v->syn
			     : v->twin && v->twin->number == l->synthetic ? v->twin
									  : NULL;
	json_t *data;

	if (!s)
		return; /* it is gone */
	switch (l->type.vhost) {
	case VHOST_EV_CONNECTED:
		if (s == v->syn)
			synthetic_connected(v, true);
		break;
	case VHOST_EV_DISCONNECTED:
		on_syn_driven(v, s, false);
		if (s == v->syn && !v->twin)
			synthetic_connected(v, false);
		break;
	case VHOST_EV_DRIVEN:
		on_syn_driven(v, s, true);
		break;
	case VHOST_EV_UNDRIVEN:
		on_syn_driven(v, s, false);
		break;
	case VHOST_EV_ANNOUNCE:
		tell_synthetic(v, "SYNTHETIC_ANNOUNCE");
		break;
	case VHOST_EV_GUEST_ERROR:
		data = json_pack("{s:s, s:s, s:o}", "vnic", v->id, "path", "synthetic", "text",
				 vnic_guest_string(l->text));
		if (l->suppressed)
			json_object_set_new(data, "suppressed", json_integer(l->suppressed));
		v->ops->tell(v->arg, v, "VNIC_GUEST_ERROR", data);
		break;
	}
}

static void on_letter(void *arg)
{
	struct letter *l = arg;
	struct vnic *v = all;

	while (v && v->number != l->number)
		v = v->next;
	if (v && !v->retired && l->synthetic)
		on_vhost_letter(v, l);
	else if (v && !v->retired)
		on_mana_letter(v, l);
	free(l);
}

/* On the devices' worker. States must arrive; of the rest a guest can make as many as it likes. */
static void post(struct vnic *v, bool state, const char *text, struct letter letter)
{
	struct letter *l;
	uint32_t lost = 0;

	if (!state && !log_limit_ok(&v->limit, &lost))
		return;
	l = malloc(sizeof(*l));
	if (!l)
		return;
	*l = letter;
	l->number = v->number;
	l->suppressed = lost;
	snprintf(l->text, sizeof(l->text), "%s", text ? text : "");
	if (mailbox_post(v->mail, on_letter, l))
		free(l);
}

static void on_mana_event(void *arg, const struct mana_event *ev)
{
	bool state = ev->type != MANA_EV_DRIVER && ev->type != MANA_EV_RESET &&
		     ev->type != MANA_EV_GUEST_ERROR;

	post(arg, state, ev->text, (struct letter){.type.mana = ev->type});
}

static void on_vhost_event(void *arg, const struct vhost_event *ev)
{
	bool state = ev->type != VHOST_EV_GUEST_ERROR && ev->type != VHOST_EV_ANNOUNCE;
	struct vnic_syn *s = arg;

	post(s->v, state, ev->text,
	     (struct letter){.synthetic = s->number, .type.vhost = ev->type});
}

/* ---- parts ---- */

static void hidden_path(const struct vnic *v, char out[VNIC_HIDDEN_MAX])
{
	snprintf(out, VNIC_HIDDEN_MAX, "%s" VNIC_HIDDEN, v->socket);
}

int vnic_show_vf(struct vnic *v, bool shown)
{
	char hidden[VNIC_HIDDEN_MAX];

	if (!v->mana || v->shown == shown)
		return 0;
	hidden_path(v, hidden);
	if (shown ? rename(hidden, v->socket) : rename(v->socket, hidden))
		return -errno;
	v->shown = shown;
	return 0;
}

static void drop_mana(struct vnic *v)
{
	char hidden[VNIC_HIDDEN_MAX];

	if (!v->mana)
		return;
	sampler_unwatch(mana_port(v->mana, 0));
	vsw_nic_path_del(v->nic, mana_port(v->mana, 0));
	mana_free(v->mana);
	v->mana = NULL;
	hidden_path(v, hidden);
	unlink(hidden);
}

static const enum mana_moderation moderations[] = {
	[LAB_MODERATION_OFF] = MANA_MODERATION_OFF,
	[LAB_MODERATION_LOW] = MANA_MODERATION_LOW,
	[LAB_MODERATION_MEDIUM] = MANA_MODERATION_MEDIUM,
	[LAB_MODERATION_HIGH] = MANA_MODERATION_HIGH,
	[LAB_MODERATION_ADAPTIVE] = MANA_MODERATION_ADAPTIVE,
};
static_assert(ARRAY_SIZE(moderations) == LAB_N_MODERATIONS, "every moderation has one");

int vnic_moderation_set(struct vnic *v, enum lab_moderation mode)
{
	return v->mana ? mana_moderation_set(v->mana, moderations[mode]) : 0;
}

/* With its socket shown. 0 or -errno. */
static int make_mana(struct vnic *v, const char **what)
{
	const struct lab_nic *nic = v->lab;
	char name[sizeof(v->id) + 4];
	struct mana_conf mc = {
		.name = name,
		.n_vports = 1,
		.vports[0] = {.max_queues = LAB_QUEUES_MAX, /* mana_queues_set() below */
			      .mtu = nic->mtu,
			      .link_mbps = nic->link_mbps,
			      .max_flows = vnic_max_flows(&nic->features)},
		.msix_mode = v->msix,
		.moderation = moderations[nic->moderation],
		.event = on_mana_event,
		.event_arg = v,
	};
	int rc;

	snprintf(name, sizeof(name), "%s/vf", v->id);
	memcpy(mc.vports[0].mac, nic->mac, sizeof(nic->mac));
	*what = "making the VF";
	v->mana = mana_new(v->worker, &mc);
	if (!v->mana)
		return -errno;
	mana_queues_set(v->mana, 0, nic->queues);
	rc = vsw_nic_path_add(v->nic, mana_port(v->mana, 0));
	if (rc) {
		mana_free(v->mana);
		v->mana = NULL;
		return rc;
	}
	sampler_watch(mana_port(v->mana, 0));
	*what = v->socket;
	rc = mana_listen(v->mana, v->socket);
	v->shown = !rc;
	show_vf_link(v);
	return rc;
}

int vnic_renew_vf(struct vnic *v)
{
	return v->mana ? mana_queues_set(v->mana, 0, v->lab->queues) : 0;
}

static int on_plug(void *arg)
{
	struct vnic *v = arg;
	int rc = vnic_renew_vf(v);

	if (!rc)
		rc = vnic_show_vf(v, true);
	if (!rc)
		rc = v->ops->plug(v->arg, v);
	if (rc)
		vnic_show_vf(v, false);
	return rc;
}

static void syn_free(struct vnic *v, struct vnic_syn *s)
{
	if (!s)
		return;
	if (s->vhost) {
		sampler_unwatch(vhost_port(s->vhost));
		vsw_nic_path_del(v->nic, vhost_port(s->vhost));
		vhost_free(s->vhost);
	}
	free(s);
}

/* NULL with errno. */
static struct vnic_syn *syn_new(struct vnic *v, const char *path, const char **what)
{
	struct vnic_syn *s = calloc(1, sizeof(*s));
	char name[sizeof(v->id) + 5];
	struct vhost_conf hc = {
		.name = name,
		.max_queues = v->syn_queues,
		.mtu = v->lab->mtu,
		.event = on_vhost_event,
		.event_arg = s,
	};
	int rc;

	if (!s)
		return NULL;
	s->v = v;
	s->number = ++last_syn;
	snprintf(s->path, sizeof(s->path), "%s", path);
	snprintf(name, sizeof(name), "%s/syn", v->id);
	memcpy(hc.mac, v->lab->mac, sizeof(hc.mac));
	*what = "making the synthetic NIC";
	s->vhost = vhost_new(v->worker, &hc);
	if (!s->vhost) {
		free(s);
		return NULL;
	}
	rc = vsw_nic_path_add(v->nic, vhost_port(s->vhost));
	if (rc) {
		vhost_free(s->vhost);
		free(s);
		errno = -rc;
		return NULL;
	}
	sampler_watch(vhost_port(s->vhost));
	*what = s->path;
	rc = vhost_listen(s->vhost, s->path);
	if (!rc)
		return s;
	syn_free(v, s);
	errno = -rc;
	return NULL;
}

static int make_vhost(struct vnic *v, const struct vnic_conf *conf, const char **what)
{
	v->syn_queues = conf->synthetic_queues;
	v->syn = syn_new(v, conf->vhost, what);
	if (!v->syn)
		return -errno;
	v->vhost = v->syn->vhost;
	return 0;
}

int vnic_twin_make(struct vnic *v, const char *path)
{
	const char *what;

	v->twin = syn_new(v, path, &what);
	return v->twin ? 0 : -errno;
}

bool vnic_twin_driven(const struct vnic *v)
{
	return v->twin && v->twin->driven;
}

const char *vnic_twin_path(const struct vnic *v)
{
	return v->twin ? v->twin->path : NULL;
}

void vnic_twin_adopt(struct vnic *v)
{
	struct vnic_syn *old = v->syn;

	if (!v->twin)
		return;
	v->syn = v->twin;
	v->vhost = v->syn->vhost;
	v->twin = NULL;
	if (v->receive == VF_RX_SYNTHETIC)
		receive(v, VF_RX_SYNTHETIC);
	syn_free(v, old);
	synthetic_connected(v, true);
	synthetic_driven(v, v->syn->driven);
}

void vnic_twin_drop(struct vnic *v)
{
	struct vnic_syn *twin = v->twin;

	if (!twin)
		return;
	v->twin = NULL;
	if (v->receive == VF_RX_SYNTHETIC)
		receive(v, VF_RX_SYNTHETIC);
	syn_free(v, twin);
	synthetic_driven(v, v->syn->driven);
}

const char *vnic_vhost_path(const struct vnic *v)
{
	return v->syn ? v->syn->path : NULL;
}

static int make_parts(struct vnic *v, const struct vnic_conf *conf, const char **what)
{
	struct vsw_nic_conf nc = {
		.name = v->id, .mtu = v->lab->mtu, .worker = v->worker, .park_ms = PARK_MS};
	struct vf_conf vc = {.id = v->id};
	int rc;

	memcpy(nc.mac, v->lab->mac, sizeof(nc.mac));
	*what = "making the port";
	v->nic = vsw_nic_new(&nc);
	if (!v->nic)
		return -errno;
	*what = "attaching it to its network";
	rc = vsw_port_attach(conf->net, vsw_nic_port(v->nic));
	if (rc)
		return rc;
	v->attached = true;
	sampler_watch(vsw_nic_port(v->nic));
	*what = "its port's features";
	rc = vnic_features_set(v, &v->lab->features);
	if (rc)
		return rc;
	if (v->lab->vf) {
		rc = make_mana(v, what);
		if (rc)
			return rc;
		*what = "the VF's life";
		v->vf = vf_new(conf->base, &vc, &vf_ops, v);
		if (!v->vf)
			return -errno;
	}
	return v->lab->synthetic == LAB_SYNTHETIC_VIRTIO ? make_vhost(v, conf, what) : 0;
}

struct vnic *vnic_new(const struct vnic_conf *conf, const char **what)
{
	struct vnic *v = calloc(1, sizeof(*v));
	int rc;

	*what = "memory";
	if (!v)
		return NULL;
	snprintf(v->id, sizeof(v->id), "%s/%s", conf->vm, conf->nic->name);
	snprintf(v->socket, sizeof(v->socket), "%s", conf->socket);
	v->number = ++last_number;
	v->lab = conf->nic;
	v->msix = conf->msix;
	v->worker = conf->worker;
	v->mail = conf->mail;
	v->ops = conf->ops;
	v->arg = conf->arg;
	v->link = v->vf_link = v->path_link[PLUG_VF] = v->path_link[PLUG_SYNTHETIC] = true;
	v->next = all;
	all = v;
	rc = make_parts(v, conf, what);
	if (!rc)
		return v;
	vnic_free(v);
	errno = -rc;
	return NULL;
}

void vnic_retire(struct vnic *v)
{
	struct vf *vf = v->vf;

	v->retired = true;
	v->vf = NULL;
	vf_free(vf);
	receive(v, VF_RX_NOBODY);
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
	if (v->nic)
		vnic_retire(v);
	if (v->attached) {
		sampler_unwatch(vsw_nic_port(v->nic));
		vsw_capture_stop(vsw_nic_port(v->nic));
		vsw_port_detach(vsw_nic_port(v->nic));
	}
	drop_mana(v);
	syn_free(v, v->twin);
	syn_free(v, v->syn);
	vsw_nic_free(v->nic);
	free(v);
	errno = saved;
}

void vnic_on_vm_down(struct vnic *v)
{
	if (v->vf)
		vf_on_vm_down(v->vf);
}

int vnic_link_set(struct vnic *v, bool up)
{
	v->link = up;
	vsw_nic_link_set(v->nic, up);
	return v->mana ? show_vf_link(v) : 0;
}

int vnic_path_link_set(struct vnic *v, enum plug_path path, bool up)
{
	v->path_link[path] = up;
	return path == PLUG_VF ? show_vf_link(v) : 0;
}

bool vnic_path_link(const struct vnic *v, enum plug_path path)
{
	return v->link && v->path_link[path];
}

bool vnic_link(const struct vnic *v)
{
	return v->link;
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

struct vf *vnic_vf(const struct vnic *v)
{
	return v->vf;
}

struct vhost *vnic_vhost(const struct vnic *v)
{
	return v->vhost;
}

struct vsw_nic *vnic_nic(const struct vnic *v)
{
	return v->nic;
}

struct vsw_port *vnic_port(const struct vnic *v)
{
	return vsw_nic_port(v->nic);
}

enum vf_receive vnic_receive(const struct vnic *v)
{
	return v->receive;
}

bool vnic_synthetic_driven(const struct vnic *v)
{
	return v->syn_driven;
}

const char *vnic_synthetic_state(const struct vnic *v)
{
	return v->syn_driven ? "driven" : v->syn_connected ? "offered" : "absent";
}
