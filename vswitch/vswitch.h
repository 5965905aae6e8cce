/* SPDX-License-Identifier: BSD-2-Clause */
/* The switch as the host sees it: networks, attaching ports, look-ups, captures. Control thread. */
#ifndef HVLAB_VSWITCH_VSWITCH_H
#define HVLAB_VSWITCH_VSWITCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vswitch/port.h"

struct vsw;

struct vsw *vsw_new(void);
/* All networks must be gone. */
void vsw_free(struct vsw *vsw);

struct vsw_net_conf {
	const char *name;
	uint32_t mtu;		    /* 0: 1500 */
	uint32_t ageing_ms;	    /* learned addresses; 0: 300000 */
	uint32_t max_macs;	    /* size of the FDB; 0: 4096 */
	uint32_t max_macs_per_port; /* 0: 256: a guest cannot fill the table for others */
};

/* NULL with errno: EEXIST, EINVAL, ENOMEM. */
struct vsw_net *vsw_net_add(struct vsw *vsw, const struct vsw_net_conf *conf);
/* 0, -EBUSY while ports are attached. */
int vsw_net_del(struct vsw_net *net);
struct vsw_net *vsw_net_find(struct vsw *vsw, const char *name);
const char *vsw_net_name(const struct vsw_net *net);
uint32_t vsw_net_mtu(const struct vsw_net *net);

/* The port's fixed address goes into the FDB. -EEXIST: that address is there already. */
int vsw_port_attach(struct vsw_net *net, struct vsw_port *port);
/* After this returned no delivery into the port is under way or will come. Not on a worker that
 * is inside vsw_send(). */
void vsw_port_detach(struct vsw_port *port);

struct vsw_fdb_entry {
	uint8_t mac[6];
	uint16_t vid;
	char port[VSW_NAME_SIZE];
	bool fixed;
	uint64_t age_ms; /* since last seen */
};
/* Up to @max entries; returns how many there are. */
size_t vsw_net_fdb(struct vsw_net *net, struct vsw_fdb_entry *out, size_t max);

/**
 * vsw_capture_start() - pcapng of a port, written to @fd
 * @port:	attached to a network, or a path of a vNIC that is: then what its guest sends and
 *		receives there. One each at a time
 * @fd:		Pipe, file or socket; taken. A slow reader loses packets (counted in the
 *		interface statistics block), never slows the switch.
 * @snaplen:	bytes per packet, 0: 262144
 *
 * Frames as the wire would carry them: debts paid, dropped ones with a comment that says why.
 * Both directions, told apart by the flags option. Of a vNIC each path is an interface of its own
 * in the file. One of a path goes by its name: it lives until it is stopped or the vNIC is detached,
 * also when the path is replaced by another one of that name.
 * Return: 0, -EBUSY, -ENOTCONN, -errno.
 */
int vsw_capture_start(struct vsw_port *port, int fd, uint32_t snaplen);
/* Stops, flushes, closes. @port: as above, or another path of that name. */
void vsw_capture_stop(struct vsw_port *port);
bool vsw_capture_active(struct vsw_port *port);

#endif
