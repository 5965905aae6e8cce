/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The port: where a device model and the switch meet. A NIC model includes this header and
 * packet.h (and offload.h to receive), nothing else of the switch.
 *
 * A device embeds a struct vsw_port, sends with vsw_send() from its own worker, and receives
 * through ops->deliver, which any worker may call at any time between attach and the return of
 * vsw_port_detach(). Detaching waits for such calls to end.
 */
#ifndef HVLAB_VSWITCH_PORT_H
#define HVLAB_VSWITCH_PORT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/worker.h"
#include "vswitch/packet.h"
#include "vswitch/shape.h"

/* Bytes of a port's name with its end: "vm/nic/path", 24 + 15 + 3 characters and two slashes. */
#define VSW_NAME_SIZE 48

struct vsw_net;
struct vsw_nic;
struct capture;
struct port_policy;
struct vsw_fast;
struct vsw_fast_key;
struct port_features;

/* What a port takes on receive without payment; everything else is settled before. */
#define VSW_CAP_CSUM	   0x1u /* takes PKT_CSUM_*: its guest completes them or trusts them */
#define VSW_CAP_TSO4	   0x2u
#define VSW_CAP_TSO6	   0x4u
#define VSW_CAP_USO	   0x8u
#define VSW_CAP_VLAN	   0x10u /* takes PKT_VLAN beside the frame */
/* Wants the outermost 802.1Q tag of a frame beside it too: "VLAN strip". With VSW_CAP_VLAN. */
#define VSW_CAP_VLAN_STRIP 0x20u

struct vsw_port_ops {
	/**
	 * deliver() - Store packets in the receiver
	 * @pkts:	@n packets of one sender, parsed; settle each with offload.h
	 *
	 * Any worker. Takes its queue's short lock once per call, copies, completes, interrupts
	 * at most once per queue. A packet that the receiver does not want or cannot take for
	 * good is consumed and counted (vsw_port_drop()).
	 *
	 * Return: packets consumed; fewer than @n means that pkts[ret] found no buffer (its
	 * seg_done says how far it got) and may be tried again after vsw_port_wake(). The same
	 * when the port has stopped receiving meanwhile: the switch looks at port->receiving, and
	 * drops or parks (vswitch/nic.h) what is left instead of waiting.
	 */
	unsigned int (*deliver)(struct vsw_port *port, struct pkt **pkts, unsigned int n);
	/*
	 * Has the guest taken out everything delivered so far? NULL: cannot be known, and counts
	 * as yes. Any worker.
	 */
	bool (*emptied)(struct vsw_port *port);
	/*
	 * NULL: no flow table. A flow that the NIC may take into it (vswitch/fastpath.h); both are
	 * valid during the call. Asked only while port->takes_flows. Worker of the port, inside
	 * vsw_send().
	 */
	void (*program)(struct vsw_port *port, const struct vsw_fast_key *key, uint32_t hash,
			const struct vsw_fast *fast);
};

struct vsw_port_stats {
	/* From the guest's view: tx left the guest, rx reached it. Frames, after segmentation. */
	_Atomic uint64_t tx_packets, tx_bytes, rx_packets, rx_bytes;
	_Atomic uint64_t tx_gso;		/* packets that came with a segmentation debt */
	_Atomic uint64_t tx_waits;		/* times this port's sender was told to wait */
	/* Packets that waited for bandwidth at the head of their queue, and how long in all. */
	_Atomic uint64_t tx_delayed, tx_delayed_ns;
	_Atomic uint64_t drops[VSW_N_DROPS];	/* by reason; of frames to this port */
	_Atomic uint64_t tx_drops[VSW_N_DROPS]; /* of frames from this port that reached nobody */
};

/* A sender's wish to hear when a port has buffers again. One per queue; zeroed before use. */
struct vsw_waiter {
	void (*wake)(struct vsw_waiter *w); /* on @worker */
	void *arg;
	struct worker *worker;
	/* the switch's own: */
	struct vsw_waiter *prev, *next;
	_Atomic(struct vsw_port *) on; /* registered at this port; NULL: not waiting */
	struct vsw_wakeup *posted;     /* a wake that is on its way to @worker */
	bool charged;		       /* the time counts against the receiver's patience */
};

/* How long a receiver without buffers may keep senders waiting, see wait.c. */
#define VSW_HOLD_MS 200

struct vsw_port {
	const struct vsw_port_ops *ops;
	char name[VSW_NAME_SIZE]; /* "a/eth0", of a path "a/eth0/vf" */
	uint8_t mac[6];		  /* the vNIC's own address; all zero: none (learned only) */
	uint32_t mtu;		  /* largest IP packet it takes; 0: the network's */
	uint32_t hold_ms;	  /* as a sender: its patience with one receiver; 0: VSW_HOLD_MS */
	_Atomic uint32_t caps;	  /* VSW_CAP_* now in force on receive */
	/* As a sender it can wait for bandwidth; false: what is too much is dropped. Constant. */
	bool delays;
	/*
	 * Both are the device's to write, and followed by vsw_port_wake(). A path of a vNIC
	 * (vswitch/nic.h) is not stopped by its own link, only by the vNIC's. A vNIC's own port
	 * leaves receiving alone: vsw_port_takes() looks at its paths.
	 */
	_Atomic bool link;	/* false: nothing is delivered, sends are dropped */
	_Atomic bool receiving; /* the guest's driver takes packets; false: not a destination */
	_Atomic bool takes_flows; /* the device's to write: its flow table is on */
	struct vsw_port_stats stats;
	/* the switch's own: */
	_Atomic(struct vsw_net *) net;	  /* NULL: not attached */
	_Atomic(struct vsw_port *) outer; /* the vNIC's port this is a path of, or NULL */
	struct vsw_nic *nic;		  /* this is that vNIC's own port; constant */
	uint32_t id;			  /* unique while the process lives; 0: never attached */
	uint32_t n_macs;		  /* learned behind it; under the FDB's lock */
	_Atomic uint64_t learn_again_ms;  /* no room for more addresses before that */
	_Atomic(struct capture *) capture; /* a list: its own and its paths' */
	_Atomic(struct port_policy *) policy; /* NULL: none; see judge.h */
	_Atomic(struct port_features *) features; /* NULL: none; see port_features.h */
	_Atomic bool shaped; /* it, or a path of it, has had a limit: @shape counts */
	struct shape shape;
	_Atomic uint64_t wakes; /* counts vsw_port_wake() */
	_Atomic unsigned int n_waiters;
	_Atomic uint64_t spent_ns; /* of its senders' patience; written under the lock */
	pthread_mutex_t waiters_lock;
	struct vsw_waiter *waiters;
	unsigned int n_charged;
	uint64_t charged_at, charged_rx, hold_ns;
};

/* Fill in the fixed parts of a zeroed port. */
void vsw_port_init(struct vsw_port *port, const struct vsw_port_ops *ops, const char *name,
		   const uint8_t mac[6]);
/* The port's own MTU, else its vNIC's, else its network's; 0: none. Any thread, while attached. */
uint32_t vsw_port_mtu(const struct vsw_port *port);

/*
 * Would a packet for this port be taken now, delivered or parked? For a path: is its guest's driver
 * receiving. Any thread, while attached.
 */
bool vsw_port_takes(const struct vsw_port *port);

/**
 * vsw_send() - A port's guest sends
 * @port:	The sender, on its owner's worker
 * @pkts:	Views with debts; parsed here
 *
 * Return: packets consumed, delivered or dropped (counted). Fewer than @n: pkts[ret] waits for
 * pkts[ret]->waits_for; register with vsw_wait(), keep its seg_done, offer it again later from
 * there on. With PKT_NO_WAIT set it is never made to wait. Broadcasts never wait.
 * When waits_for is NULL it waits for bandwidth (only if port->delays, whatever its flags): keep its
 * delay too, and offer it again at delay.until.
 */
unsigned int vsw_send(struct vsw_port *port, struct pkt **pkts, unsigned int n);

/*
 * Register @w at @on. @w->wake runs on @w->worker once after the next vsw_port_wake(@on) (or
 * because @on goes away). False: @on has changed since, try again at once. Sender's worker.
 */
bool vsw_wait(struct vsw_waiter *w, struct vsw_port *on);
/*
 * The same for a guest's queue, which cannot wait for ever: *@until says when @port's patience with
 * @on is over. Cancel then, and send that one packet with PKT_NO_WAIT.
 */
bool vsw_wait_patiently(struct vsw_waiter *w, struct vsw_port *on, const struct vsw_port *port,
			uint64_t *until);
/* Sender's worker: no wake comes after this. */
void vsw_wait_cancel(struct vsw_waiter *w);
/* Receiver, any thread: buffers have come, or the reason to wait is gone. Cheap if nobody waits. */
void vsw_port_wake(struct vsw_port *port);

/*
 * Bandwidth of what the port's guest sends (shape.h). Of a vNIC's own port: on all its paths; of a
 * path: there alone. Any thread. A queue that waits feels it within 5 ms.
 */
void vsw_port_shape_set(struct vsw_port *port, const struct shape_conf *conf);
struct shape_conf vsw_port_shape(struct vsw_port *port);

/*
 * Counting, during deliver(). @port is the receiver; what a path counts its vNIC counts too. A
 * drop counts the frames of @pkt from seg_done on.
 */
void vsw_port_drop(struct vsw_port *port, const struct pkt *pkt, enum vsw_drop why);
void vsw_port_received(struct vsw_port *port, uint64_t packets, uint64_t bytes);

#endif
