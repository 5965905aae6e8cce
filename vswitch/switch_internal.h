/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of the switch's core share: networks, port lists, waiting, capture hooks. */
#ifndef HVLAB_VSWITCH_SWITCH_INTERNAL_H
#define HVLAB_VSWITCH_SWITCH_INTERNAL_H

#include "vswitch/fdb.h"
#include "vswitch/vswitch.h"

/* Published whole, replaced whole: readers under RCU, one writer (the control thread). */
struct port_list {
	unsigned int n;
	struct vsw_port *port[];
};

/**
 * struct vsw_net - One network
 * @ports:	Attached ports, where floods go
 * @shape:	The bandwidth that the vNICs among them share
 */
struct vsw_net {
	struct vsw *vsw;
	struct vsw_net *next; /* control thread */
	char *name;
	uint32_t mtu;
	struct fdb *fdb;
	_Atomic(struct port_list *) ports;
	_Atomic int n_special; /* ports with a policy or features: bursts go send_special.c's way */
	struct shape_net shape;
};

/*
 * Counts changes of who is where in the whole switch: ports, their features. What was found out under
 * another count may point at a port that is no more. Changed before a grace period, read in a read
 * section.
 */
extern _Atomic uint32_t vsw_topology;

/* Milliseconds of now_ns(), never 0. */
uint64_t vsw_now_ms(void);

/*
 * True when @port with that id is attached, to any network. In a read section: the port then
 * stays until its end.
 */
bool vsw_port_is_attached(const struct vsw_port *port, uint32_t id);

/* wait.c. A delivery into @on failed for want of buffers; @wakes is its count from before. */
void wait_note_failure(struct vsw_port *on, uint64_t wakes);
/* Has @from patience left with @on, which had no buffer just now? */
bool wait_is_worth(struct vsw_port *on, const struct vsw_port *from);
/* Detaching: nobody may wait here any more. */
void wait_release_all(struct vsw_port *port);

/*
 * send.c. In a read section: deliver into @to what a capture of @shown is to see. The same as
 * to->ops->deliver(). switch_parked(): the packet now being delivered is not received yet.
 */
unsigned int switch_deliver(struct vsw_port *shown, struct vsw_port *to, struct pkt **pkts,
			    unsigned int n);
void switch_parked(void);

/*
 * pace.c. In a read section: how many of the packets may go now; 0: see vsw_send() about waits_for.
 * @path: that sent, when it is a path of @from; else NULL. Then what was sent.
 */
unsigned int pace_admit(struct vsw_port *from, struct vsw_port *path, struct pkt **pkts,
			unsigned int n);
void pace_charge(struct vsw_port *from, struct vsw_port *path, uint64_t bytes);
/* A port has come to a network, a path to its vNIC: it may be limited from now on. */
void pace_refresh(struct vsw_port *port);

/* nic.c. In a read section. */
bool nic_takes(const struct vsw_nic *nic);
struct vsw_port *nic_chosen(const struct vsw_nic *nic); /* may be NULL */

/* capture.c. The first in a read section, on any thread. */
enum capture_dir { CAPTURE_TX, CAPTURE_RX };
/* @list: a port's. @path: of that vNIC, which the packet came from or went to; may be NULL. */
void capture_packet(struct capture *list, const struct vsw_port *path, const struct pkt *pkt,
		    enum capture_dir dir, enum vsw_drop why, uint32_t caps);
/* Control thread: ends those of the port and of its paths. */
void capture_stop_all(struct vsw_port *port);

#endif
