/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One vNIC: its port in a network (struct vsw_nic, "a/eth0"), and up to two paths to the guest: the
 * VF (struct mana, "a/eth0/vf") with its life (struct vf), and the synthetic NIC (struct vhost,
 * "a/eth0/syn"). What the VF's life asks for is done here or handed to the owner (vnic_ops).
 *
 * Device events come on a worker and are carried to the control thread by number, not by
 * pointer: the vNIC may be gone when they arrive. Control thread.
 */
#ifndef HVLAB_HOST_VNIC_H
#define HVLAB_HOST_VNIC_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/mailbox.h"
#include "base/worker.h"
#include "emulator/mana/mana.h"
#include "host/lab.h"
#include "host/plug.h"
#include "host/runtime.h"
#include "host/vf.h"
#include "vswitch/nic.h"
#include "vswitch/ports/vhost.h"
#include "vswitch/vswitch.h"

/**
 * enum vnic_state - What the guest knows of the VF
 *
 * Moved by device events alone. Packets flow only while DRIVEN.
 */
enum vnic_state {
	VNIC_ABSENT,  /* no client shows the device to a guest */
	VNIC_OFFERED, /* a client does; the guest's driver has not turned receive on */
	VNIC_DRIVEN,  /* it has */
	VNIC_N_STATES
};
const char *vnic_state_name(enum vnic_state s);

struct vnic;

struct vnic_ops {
	void (*state)(void *arg, struct vnic *v, enum vnic_state prev);
	/* DRIVER, RESET, GUEST_ERROR of enum mana_event_type; @text "" when there is none. */
	void (*event)(void *arg, struct vnic *v, enum mana_event_type type, const char *text,
		      unsigned int suppressed);
	/* vf_ops.plug and .unplug: put the VF into QEMU, take it out; vf_on_*() tell the rest. */
	int (*plug)(void *arg, struct vnic *v);
	int (*unplug)(void *arg, struct vnic *v);
	/* VF_STATE and the others of vf.h, SYNTHETIC_STATE, ...; @data is stolen. */
	void (*tell)(void *arg, struct vnic *v, const char *name, json_t *data);
	/* A path began or ceased to take packets. */
	void (*driven)(void *arg, struct vnic *v);
};

struct vnic_conf {
	const char *vm;
	const struct lab_nic *nic;
	struct vsw_net *net;
	struct worker *worker;
	struct mailbox *mail; /* of the control thread */
	enum vfuser_msix_mode msix;
	const char *socket; /* of the VF */
	const char *vhost;  /* socket of the synthetic path */
	unsigned int synthetic_queues;
	struct event_base *base;
	const struct vnic_ops *ops;
	void *arg;
};

/* Makes the device, attaches it, listens. NULL with errno; *@what: the step that failed. */
struct vnic *vnic_new(const struct vnic_conf *conf, const char **what);
void vnic_free(struct vnic *v);

const char *vnic_id(const struct vnic *v); /* "a/eth0" */
enum vnic_state vnic_state(const struct vnic *v);
struct vsw_port *vnic_port(const struct vnic *v); /* of the vNIC as a whole */
/* Its parts; NULL: it has no such path. */
struct mana *vnic_mana(const struct vnic *v);
struct vf *vnic_vf(const struct vnic *v);
struct vhost *vnic_vhost(const struct vnic *v);
struct vsw_nic *vnic_nic(const struct vnic *v);
/* Where received frames go. */
enum vf_receive vnic_receive(const struct vnic *v);
bool vnic_synthetic_driven(const struct vnic *v);
/* "absent" (no front end), "offered", "driven". */
const char *vnic_synthetic_state(const struct vnic *v);
/* May QEMU connect to the VF? The VF's life shows it before it plugs. 0 or -errno. */
int vnic_show_vf(struct vnic *v, bool shown);
/* The VF's queue count as the lab has it now, for the next driver. 0 or -errno. */
int vnic_renew_vf(struct vnic *v);
/* At once: VLANs, guards, mirroring, storm limit. 0 or -errno. */
int vnic_features_set(struct vnic *v, const struct lab_features *f);
/* At once. 0 or -errno. */
int vnic_moderation_set(struct vnic *v, enum lab_moderation mode);
/* It is being removed: no traffic, and the VF's life is over. */
void vnic_retire(struct vnic *v);
/* The link that the guest shall see on both paths, and the switch; default up. 0 or -errno. */
int vnic_link_set(struct vnic *v, bool up);
bool vnic_link(const struct vnic *v);
/*
 * The link of one path that it has, under the vNIC's. That of the synthetic path is only noted
 * here: QEMU shows it (run_nic.h). 0 or -errno.
 */
int vnic_path_link_set(struct vnic *v, enum plug_path path, bool up);
/* What the guest shall see there, the VF's life apart. */
bool vnic_path_link(const struct vnic *v, enum plug_path path);
/*
 * Live migration: a second synthetic device at @path, for the QEMU that the guest goes to. Received
 * frames wait while the guest runs in neither, and go to the twin when it takes packets. 0 or
 * -errno. Then either it takes the place of the first, whose QEMU has ended, or it goes.
 */
int vnic_twin_make(struct vnic *v, const char *path);
bool vnic_twin_driven(const struct vnic *v);
const char *vnic_twin_path(const struct vnic *v); /* NULL: there is none */
void vnic_twin_adopt(struct vnic *v);
void vnic_twin_drop(struct vnic *v);
/* Where the synthetic device listens; NULL: there is none. */
const char *vnic_vhost_path(const struct vnic *v);
/* QEMU is gone: both paths are down. */
void vnic_on_vm_down(struct vnic *v);

/* For query-status and stats; new references. */
json_t *vnic_vf_json(const struct vnic *v);	   /* null: it has none */
json_t *vnic_synthetic_json(const struct vnic *v); /* the same */
/* The figures of a port, as in there. */
json_t *vnic_port_json(const struct vsw_port *port);
json_t *vnic_stats_json(const struct vnic *v);

#endif
