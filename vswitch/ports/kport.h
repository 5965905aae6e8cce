/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What ports of the running kernel's interfaces have in common (tap.c, packet.c): packets read in
 * batches on the port's worker and offered to the switch, frames written by any worker.
 */
#ifndef HVLAB_VSWITCH_PORTS_KPORT_H
#define HVLAB_VSWITCH_PORTS_KPORT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/worker.h"
#include "vswitch/offload.h"
#include "vswitch/port.h"
#include "vswitch/ports/kport_flags.h"
#include "vswitch/ports/vnet_hdr.h"

#define KPORT_BATCH	32
#define KPORT_MAX_FRAME (65536 + 64) /* a large packet with its link header and tags */
#define KPORT_STAGE	12288	     /* vnet header and all of a frame that is not gathered */

struct kport;

struct kport_ops {
	/*
	 * Packets into k->in[] from 0 on, at most KPORT_BATCH, with their debts: how many. 0: there
	 * are none now. May call kport_gone(). Worker.
	 */
	unsigned int (*read)(struct kport *k);
	/* The bytes of the oldest @n packets read are not needed any more. May be NULL. Worker. */
	void (*release)(struct kport *k, unsigned int n);
	/*
	 * Frames k->out[@from] up to k->n_out, in order, until one fails: how many were written.
	 * Fewer: *@error is that one's errno. Under the port's lock.
	 */
	unsigned int (*write)(struct kport *k, unsigned int from, int *error);
	/* The descriptor has an error. May be NULL. Worker. */
	void (*error)(struct kport *k);
};

/**
 * struct kport_out - A frame on its way to the kernel
 * @iov:	@stage (vnet header and Ethernet frame) and, of a large one, payload at its sender
 * @pkt, @seg:	where it comes from: index into the delivery, and segment of that packet
 */
struct kport_out {
	struct iovec iov[2 + PKT_MAX_PIECES];
	unsigned int n_iov, pkt;
	uint32_t seg;
	struct vsw_frame f;
	uint8_t stage[KPORT_STAGE] __attribute__((aligned(64)));
};

struct kport {
	struct vsw_port port;
	const struct kport_ops *ops;
	struct worker *worker;
	struct worker_fd wfd;
	_Atomic uint32_t mtu; /* the interface's; 0: not known */
	/* From the kernel, worker only: */
	struct pkt in[KPORT_BATCH];
	unsigned int first, n_in; /* in[first..n_in) have not been sent */
	struct vsw_waiter waiter;
	struct worker_timer hold;
	bool waiting; /* in[first] waits; nothing is read meanwhile */
	bool stuck;   /* it took too long: nobody is waited for until the waiter is woken */
	bool gone;    /* nothing more will come: @wfd is deleted */
	/* To the kernel: */
	pthread_mutex_t lock;
	atomic_bool full; /* the kernel took no more; @wfd looks out for room */
	unsigned int n_out;
	struct kport_out out[KPORT_BATCH];
};

/*
 * Fills in a zeroed port and starts reading @fd (non-blocking, the caller's to close after
 * kport_stop()). @caps: what the kernel takes from us. Link down, receiving. 0 or -errno. Any
 * thread but another worker's.
 */
int kport_start(struct kport *k, const struct kport_ops *ops, struct worker *w, const char *name,
		const uint8_t mac[6], int fd, uint32_t caps);
/* The port must be detached before. */
void kport_stop(struct kport *k);

/* As the interface is. Any thread. */
void kport_set_link(struct kport *k, bool up);

/* Nothing more will come from the kernel. Worker. */
void kport_gone(struct kport *k);

/**
 * kport_take() - A frame that was read becomes k->in[@i]
 * @h:		its vnet header, VIRTIO_NET_HDR_SHORT bytes
 * @flags:	KPORT_NO_CSUM: no sum is trusted
 * @tci:	its VLAN tag when it was taken out, or -1
 *
 * A frame that makes no sense becomes a packet that the switch counts as malformed.
 */
void kport_take(struct kport *k, unsigned int i, const struct virtio_net_hdr *h, uint8_t *frame,
		uint32_t len, uint32_t flags, int tci);

/* What the kernel takes of us when it takes vnet headers at all. */
uint32_t kport_caps(uint32_t flags, bool uso);

#endif
