/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A vNIC at the switch: one address, one port, several paths to the guest behind it.
 *
 * The vNIC's own port (vsw_nic_port()) is what networks, the FDB, captures and counters know. A
 * path is a port too (a MANA vPort, a vhost-user back end), but belongs to the vNIC instead of a
 * network: what its guest sends leaves in the vNIC's name, and it is never in an FDB or a flood of
 * its own. So two paths with one address need no exception anywhere.
 *
 * Sending is open on every path at all times. Receiving is on one path, the one the host chose
 * with vsw_nic_receive(). While that path does not take packets, or none is chosen, frames are
 * parked: copied, kept in order, and handed over when a path takes them. Parking is bounded
 * (vsw_nic_conf.park_bytes; then senders wait as for buffers) and only on when the host says so,
 * since for a NIC that nobody will drive it is a drop with a delay.
 *
 * A path's own link (port->link) is what the guest is shown there. It stops neither direction, so
 * that traffic can leave a path whose link was taken down; the vNIC's link stops both.
 *
 * Threads. Making, freeing, paths: the control thread. vsw_nic_receive(), vsw_nic_link_set(),
 * vsw_nic_get_info(): any thread. Delivery: any worker.
 */
#ifndef HVLAB_VSWITCH_NIC_H
#define HVLAB_VSWITCH_NIC_H

#include <stdbool.h>
#include <stdint.h>

#include "vswitch/port.h"

#define VSW_NIC_MAX_PATHS 4 /* VF and synthetic, twice while a guest migrates */

struct vsw_nic;

/**
 * struct vsw_nic_conf
 * @name:	"a/eth0"; copied
 * @mtu:	of the vNIC; 0: the network's
 * @worker:	hands over what was parked
 * @park_bytes:	memory for parked packets, book-keeping counted; 0: 4 MiB
 * @park_ms:	longest stay of a parked packet, then it is dropped: as link-down, or as no-buffer
 *		when a path takes packets but has no buffers; 0: 2000
 */
struct vsw_nic_conf {
	const char *name;
	uint8_t mac[6];
	uint32_t mtu;
	struct worker *worker;
	uint32_t park_bytes, park_ms;
};

/* NULL with errno. */
struct vsw_nic *vsw_nic_new(const struct vsw_nic_conf *conf);
/* Not attached to a network, no paths left. NULL is fine. */
void vsw_nic_free(struct vsw_nic *nic);
/* For vsw_port_attach(), stats, captures. Detaching it drops what is parked. */
struct vsw_port *vsw_nic_port(struct vsw_nic *nic);
/* The vNIC's link, up at first: down stops both directions on all paths; parked packets stay. */
void vsw_nic_link_set(struct vsw_nic *nic, bool up);

/*
 * From here on what @path's guest sends leaves in the vNIC's name. 0; -ENOSPC VSW_NIC_MAX_PATHS
 * reached; -EBUSY the port is attached elsewhere.
 */
int vsw_nic_path_add(struct vsw_nic *nic, struct vsw_port *path);
/*
 * After this returned no delivery into @path is under way or will come (vsw_port_detach()'s
 * promise). When it was the receiving one, none is chosen.
 */
void vsw_nic_path_del(struct vsw_nic *nic, struct vsw_port *path);
/* The vNIC whose path @port is, or NULL. */
struct vsw_nic *vsw_nic_of(const struct vsw_port *port);

/**
 * vsw_nic_receive() - Choose where frames for the vNIC go
 * @path:	One of its paths; NULL: none
 * @park:	Keep what cannot be delivered now, because no path is chosen or it does not
 *		receive; false: drop it as link-down, also what is parked
 *
 * Packets parked before go first, in order. Nothing is delivered twice. A delivery into the path
 * chosen before may still be under way for a moment (vsw_nic_path_del() waits for such).
 */
void vsw_nic_receive(struct vsw_nic *nic, struct vsw_port *path, bool park);

/**
 * vsw_nic_await() - Choose @path by itself as soon as its guest takes packets there
 * @path:	NULL: no longer
 *
 * As vsw_nic_receive(nic, path, true) at that moment, but on the path's own worker, before the
 * guest's driver is told that receive is on. A net_failover guest throws away what comes on its
 * standby from the moment on in which that driver says that it is open, so a choice that takes the
 * way over the control thread comes too late for some. Stays in force.
 */
void vsw_nic_await(struct vsw_nic *nic, struct vsw_port *path);
/*
 * For a path that is about to set port->receiving, on its worker, in no read section. False: not
 * yet, ask again in a moment: the guest has not taken out what was delivered to the path that
 * received before. Frames are parked meanwhile. Who asks decides how long; true once and for all
 * when the path is not awaited, or not a vNIC's.
 */
bool vsw_nic_take_over(struct vsw_port *path);
/* It asked, and will not receive after all: the path before has its frames again. Its worker. */
void vsw_nic_take_back(struct vsw_port *path);

struct vsw_nic_info {
	struct vsw_port *path; /* chosen; NULL: none */
	bool park;
	uint64_t switches; /* changes of the chosen path */
	uint64_t parked;   /* packets, ever */
	uint64_t parked_now, parked_bytes_now;
	uint64_t park_lost;	  /* packets parked, then dropped; counted as drops too */
	uint64_t park_longest_ns; /* longest stay so far */
};
void vsw_nic_get_info(struct vsw_nic *nic, struct vsw_nic_info *info);

#endif
