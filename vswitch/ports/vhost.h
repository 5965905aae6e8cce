/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A virtio-net device's data path served over vhost-user: the synthetic NIC. QEMU (or any other
 * front end) connects to our socket; descriptors become packets, packets fill descriptors.
 *
 * Sources: the vhost-user protocol as QEMU documents it (docs/interop/vhost-user), the virtio 1.2
 * specification for rings and the net device, linux/virtio_net.h and linux/vhost_types.h for the
 * constants.
 *
 * Threads. A device belongs to one worker: its socket, its kicks, its transmit rings. Any worker
 * delivers into it. The functions here are for any thread but another worker's.
 */
#ifndef HVLAB_VSWITCH_PORTS_VHOST_H
#define HVLAB_VSWITCH_PORTS_VHOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/worker.h"
#include "vswitch/port.h"

struct vhost;

#define VHOST_MAX_QUEUES 64 /* pairs */

enum vhost_event_type {
	VHOST_EV_CONNECTED, /* a front end (QEMU) */
	VHOST_EV_DISCONNECTED,
	VHOST_EV_DRIVEN,      /* the guest's driver takes packets: a receive ring is started and
			       * enabled and the driver has accepted features */
	VHOST_EV_UNDRIVEN,    /* it no longer does: stopped, disabled, reset or client gone */
	VHOST_EV_ANNOUNCE,    /* SEND_RARP: the guest has arrived here (end of a migration) */
	VHOST_EV_GUEST_ERROR, /* a malformed ring or message: see text */
};

/* Called on the device's worker: post elsewhere, do not block. */
struct vhost_event {
	enum vhost_event_type type;
	uint64_t time_ns; /* now_ns() */
	const char *text; /* valid during the call; may be NULL */
};

/**
 * struct vhost_conf
 * @name:	"a/eth0/syn"; copied
 * @max_queues:	queue pairs offered, 1..VHOST_MAX_QUEUES; 0: 1
 * @mtu:	offered as VIRTIO_NET_F_MTU; 0: not offered
 * @features_off: bits 1ull << VIRTIO_NET_F_* (or VIRTIO_F_*, VIRTIO_RING_F_*) not to offer
 * @hold_ms:	how long the guest is made to wait for one receiver (vswitch/wait.c); 0: VSW_HOLD_MS
 */
struct vhost_conf {
	const char *name;
	uint8_t mac[6];
	uint32_t max_queues;
	uint32_t mtu;
	uint64_t features_off;
	uint32_t hold_ms;
	void (*event)(void *arg, const struct vhost_event *ev);
	void *event_arg;
};

/* NULL with errno. Does not listen yet. */
struct vhost *vhost_new(struct worker *w, const struct vhost_conf *conf);
/* The port must be detached (vsw_port_detach() or vsw_nic_path_del()) before. NULL is fine. */
void vhost_free(struct vhost *v);
int vhost_listen(struct vhost *v, const char *socket_path);
/* Serve a connected socket (tests). Takes the fd. */
int vhost_attach_fd(struct vhost *v, int fd);

/* Lives as long as the device. */
struct vsw_port *vhost_port(struct vhost *v);
/* Drop the front end, as a crash of ours would look to it; it may connect again. */
void vhost_disconnect(struct vhost *v);

struct vhost_info {
	bool connected, driven;
	uint64_t features;	    /* negotiated VIRTIO_* bits */
	uint64_t protocol_features; /* negotiated VHOST_USER_PROTOCOL_F_* bits */
	uint32_t n_txq, n_rxq;	    /* rings running */
	bool logging;		    /* dirty pages are being logged (a migration runs) */
	uint64_t messages, rejected, guest_errors, announces, connects, refused;
	uint64_t kicks, calls;	 /* notifications from and to the guest */
	uint64_t tx_tso, rx_gso; /* packets with a segmentation debt, from and to the guest */
	uint64_t tx_held_ns, rx_no_buffer;
	char last_error[160];
};
void vhost_get_info(struct vhost *v, struct vhost_info *info);

struct vhost_queue_info {
	unsigned int index; /* pair */
	uint64_t tx_packets, tx_bytes, rx_packets, rx_bytes, rx_no_buffer;
};
/* Up to @max queue pairs; returns how many there are. */
size_t vhost_get_queues(struct vhost *v, struct vhost_queue_info *out, size_t max);

#endif
