/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Devices of a running QEMU that come and go: the QMP conversations that plug and unplug a NIC's
 * paths, and the undoing of what was half made. One struct plug per VM; slot i of it is the NIC at
 * root ports rs<i> (synthetic path) and rv<i> (VF).
 *
 * QEMU docs/interop/qmp-spec.rst, qapi/qdev.json (device_add, device_del, DEVICE_DELETED,
 * DEVICE_UNPLUG_GUEST_ERROR), qapi/net.json (FAILOVER_NEGOTIATED), qapi/migration.json
 * (UNPLUG_PRIMARY), qapi/machine.json (MEM_UNPLUG_ERROR).
 *
 * It knows no vNIC and no VM: commands leave through plug_ops.send, events come in through
 * plug_on_event(). Control thread.
 */
#ifndef HVLAB_HOST_PLUG_H
#define HVLAB_HOST_PLUG_H

#include <event2/event.h>
#include <jansson.h>
#include <stdbool.h>

#include "host/qmp.h"
#include "host/vm_args.h"

enum plug_path { PLUG_SYNTHETIC, PLUG_VF, PLUG_N_PATHS };
const char *plug_path_name(enum plug_path p); /* "synthetic", "vf" */

/**
 * enum plug_state - What QEMU has of one path of one slot
 */
enum plug_state {
	PLUG_NONE,     /* nothing. Left by plug_add(), plug_assume() */
	PLUG_ADDING,   /* commands under way; ends in THERE, or by undoing in NONE */
	PLUG_THERE,    /* the device is plugged (or held back until failover is negotiated) */
	PLUG_REMOVING, /* device_del was sent; until DEVICE_DELETED, then what is behind it goes */
};

struct plug;

struct plug_ops {
	/* As qmp_send(). */
	int (*send)(void *arg, const char *command, json_t *args, unsigned int timeout_ms,
		    qmp_reply_fn fn, void *fn_arg);
	/*
	 * A device went though nobody waits for it with plug_del(): after a timed out removal, by a
	 * reset of the machine, or unplugged by the guest.
	 */
	void (*gone)(void *arg, unsigned int slot, enum plug_path path);
	/* UNPLUG_PRIMARY: QEMU's failover asks the guest to let the VF of @slot go. */
	void (*failover_unplug)(void *arg, unsigned int slot);
	/* FAILOVER_NEGOTIATED: the guest's virtio_net of @slot is a standby. */
	void (*negotiated)(void *arg, unsigned int slot);
};

/**
 * plug_done_fn - How plugging or unplugging ended
 * @rc:	0; -EREMOTEIO QEMU refused; -ETIMEDOUT no answer (adding) or the guest keeps it (removing);
 *	-ECANCELED QEMU ended; -EPERM the guest refused to let it go
 * @why: what QEMU said, "" with @rc 0
 *
 * Never called before plug_add() or plug_del() returned.
 */
typedef void (*plug_done_fn)(void *arg, int rc, const char *why);

/* NULL with errno. */
struct plug *plug_new(struct event_base *base, const struct plug_ops *ops, void *arg);
/* What is under way ends with -ECANCELED. NULL is fine. */
void plug_free(struct plug *p);

enum plug_state plug_state(const struct plug *p, unsigned int slot, enum plug_path path);

/* The device is on QEMU's command line, or QEMU ended: no commands, only bookkeeping. */
void plug_assume(struct plug *p, unsigned int slot, enum plug_path path);
void plug_on_vm_down(struct plug *p);
/* The guest's system is up (its agent speaks) and hears what it is asked for, or it is not. */
void plug_on_guest(struct plug *p, bool up);
/* Every QMP event of the VM. */
void plug_on_event(struct plug *p, const char *name, json_t *data);

/**
 * plug_add() - Plug one path of a NIC
 * @nic:	read during the call only
 *
 * Synthetic: chardev-add, netdev_add, device_add; VF: device_add. What was made before a step
 * failed is taken away again before @done.
 * Return: 0; -EBUSY not PLUG_NONE; -ENOTCONN no monitor; -ENOMEM
 */
int plug_add(struct plug *p, unsigned int slot, enum plug_path path, const struct vm_nic_conf *nic,
	     plug_done_fn done, void *arg);

/**
 * plug_del() - Ask the guest for one path of a NIC, wait until QEMU has let it go
 * @deadline_ms: 0: none. Then @done with -ETIMEDOUT; the device stays PLUG_REMOVING, and ends in
 *	ops.gone
 *
 * To be called once: device_del is repeated here until the guest has heard it (plug.c says how that
 * is known), for as long as it takes. After an end that leaves the device PLUG_THERE, it may be
 * called again. Called while a removal is under way it asks for nothing; the new @done and deadline
 * take the place of the old ones, which hear nothing more.
 * Return: 0; -ENOENT PLUG_NONE; -EBUSY it is being added; -ENOTCONN; -ENOMEM
 */
int plug_del(struct plug *p, unsigned int slot, enum plug_path path, unsigned int deadline_ms,
	     plug_done_fn done, void *arg);

#endif
