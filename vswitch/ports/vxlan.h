/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A port of an overlay network: frames to and from other hosts in VXLAN (RFC 7348), over UDP
 * sockets of the running kernel. The kernel does routes, ARP, fragmentation rules and path MTU.
 *
 * A struct vxlan_tunnel is the sockets: one local address, one UDP port, any number of networks. A
 * struct vxlan_port is one network (VNI) on it, and a vsw_port to attach.
 *
 * Addresses of other hosts ("remotes", VTEPs) are 16 bytes, IPv4 as ::ffff:a.b.c.d, as in struct
 * pkt_tunnel. All of a tunnel are of one family.
 *
 * Which host a MAC lives behind: what the caller set wins; else learned from what comes, with
 * ageing and a bound. Groups, and addresses that nobody knows, go to each host of the flood list
 * (head-end replication). A packet with a tunnel key that is an order (tun.set, not tun.received)
 * goes where the key says, in the key's VNI.
 *
 * MTU. An inner IP packet may be as large as the path to its host minus VXLAN_OVERHEAD4 or 6. One
 * that is larger is dropped as too-big, and its sender gets "fragmentation needed" or "packet too
 * big" in the name of the destination. docs/tunnels.md.
 *
 * Threads. Making and freeing: the control thread. Setting, listing, figures: any thread that is
 * not inside vsw_send() of a port on this tunnel. Delivery: any worker; what comes is sent on from
 * the tunnel's worker.
 */
#ifndef HVLAB_VSWITCH_PORTS_VXLAN_H
#define HVLAB_VSWITCH_PORTS_VXLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/worker.h"
#include "vswitch/port.h"

#define VXLAN_UDP_PORT	4789
#define VXLAN_MAX_FLOWS 32
/* What the tunnel takes of the path's MTU: inner Ethernet 14, VXLAN 8, UDP 8, IP 20 or 40. */
#define VXLAN_OVERHEAD4 50
#define VXLAN_OVERHEAD6 70

struct vxlan_tunnel;
struct vxlan_port;

/**
 * struct vxlan_sockets - What a tunnel speaks through; -1: not open
 * @rx:		bound to the tunnel's address and UDP port; receives
 * @probe:	asked for the path's MTU
 * @tx:		[i][0] sends with a UDP checksum, [i][1] without (IPv4 only); both have one source
 *		port. A flow always uses the same i, so that the underlay can spread flows
 * @local:	the address and port of @rx
 */
struct vxlan_sockets {
	int rx, probe;
	unsigned int n_flows;
	int tx[VXLAN_MAX_FLOWS][2];
	struct sockaddr_storage local;
};

/**
 * vxlan_sockets_open() - Open them in the calling thread's network namespace
 * @local:	address to send from and receive at, and the UDP port (0: VXLAN_UDP_PORT). The
 *		any-address of either family is fine
 * @n_flows:	source ports, 1 to VXLAN_MAX_FLOWS; 0: 8
 *
 * Needs no privileges. The sockets stay in that namespace, whoever uses them. 0 or -errno
 * (-EADDRINUSE: somebody has the port, perhaps the kernel's own vxlan; -EADDRNOTAVAIL).
 */
int vxlan_sockets_open(struct vxlan_sockets *s, const struct sockaddr_storage *local,
		       unsigned int n_flows);
void vxlan_sockets_close(struct vxlan_sockets *s);

/**
 * enum vxlan_sum - The outer UDP checksum that IPv4 sends; IPv6 always has one
 * @VXLAN_SUM_DEFAULT:	zero, as RFC 7348 wants it, in single datagrams; batches that the kernel
 *			cuts (UDP_SEGMENT) have one, since it makes none without
 * @VXLAN_SUM_ALWAYS:	computed
 * @VXLAN_SUM_NEVER:	zero, and so no batches: slower
 */
enum vxlan_sum { VXLAN_SUM_DEFAULT, VXLAN_SUM_ALWAYS, VXLAN_SUM_NEVER };
/* "default", "always", "never"; -EINVAL. */
int vxlan_sum_parse(const char *name);
const char *vxlan_sum_name(enum vxlan_sum sum);

/**
 * struct vxlan_tunnel_conf
 * @name:	for messages; copied
 * @sockets:	taken, on failure too
 * @port:	UDP port that remotes listen at; 0: VXLAN_UDP_PORT
 * @known_only:	what comes from a host that nobody set (vxlan_mac_set(), vxlan_flood_add(),
 *		vxlan_peer_add()) is dropped
 * @max_remotes: hosts known at a time; 0: 1024
 */
struct vxlan_tunnel_conf {
	const char *name;
	struct vxlan_sockets *sockets;
	uint16_t port;
	enum vxlan_sum sum;
	bool known_only;
	uint32_t max_remotes;
};

/* Receiving from the start. NULL with errno. */
struct vxlan_tunnel *vxlan_tunnel_new(struct worker *w, const struct vxlan_tunnel_conf *conf);
/* No ports left. NULL is fine. */
void vxlan_tunnel_free(struct vxlan_tunnel *t);

/**
 * struct vxlan_port_conf
 * @name:	of the vsw_port, "blue/vxlan"; copied
 * @vni:	1 to 0xffffff
 * @mtu:	inner MTU at most, beside the network's and the path's; 0: these only
 * @learn:	learn which host an address lives behind
 * @drop_unknown: a unicast that nobody knows is dropped as no-remote and not flooded: right when
 *		all addresses are set
 * @max_macs:	learned and set addresses; 0: 4096
 * @ageing_ms:	of learned ones; 0: 300000
 */
struct vxlan_port_conf {
	const char *name;
	uint32_t vni;
	uint32_t mtu;
	bool learn, drop_unknown;
	uint32_t max_macs, ageing_ms;
};

/* NULL with errno: EEXIST the tunnel has that VNI, EINVAL, ENOMEM. */
struct vxlan_port *vxlan_port_new(struct vxlan_tunnel *t, const struct vxlan_port_conf *conf);
/* The port must be detached before. NULL is fine. */
void vxlan_port_free(struct vxlan_port *p);
struct vsw_port *vxlan_port_port(struct vxlan_port *p);
uint32_t vxlan_port_vni(const struct vxlan_port *p);

/*
 * @mac lives behind @remote; replaces what was set or learned. 0; -EAFNOSUPPORT: not the tunnel's
 * family; -EINVAL: a group address; -ENOSPC: max_macs or max_remotes reached; -ENOMEM.
 */
int vxlan_mac_set(struct vxlan_port *p, const uint8_t mac[6], const uint8_t remote[16]);
/* Forgets it, learned or set. -ENOENT. */
int vxlan_mac_del(struct vxlan_port *p, const uint8_t mac[6]);
/* Hosts that floods go to. 0 (also when it is there already), -ENOSPC, -EAFNOSUPPORT, -ENOMEM. */
int vxlan_flood_add(struct vxlan_port *p, const uint8_t remote[16]);
int vxlan_flood_del(struct vxlan_port *p, const uint8_t remote[16]);
/* A host that may send to us (known_only), of which nothing else is known. */
int vxlan_peer_add(struct vxlan_port *p, const uint8_t remote[16]);
int vxlan_peer_del(struct vxlan_port *p, const uint8_t remote[16]);
/* A host is gone: its addresses, its place in the flood list, its right to send. Of this network.
 */
void vxlan_remote_forget(struct vxlan_port *p, const uint8_t remote[16]);

struct vxlan_mac {
	uint8_t mac[6];
	bool set; /* false: learned */
	uint8_t remote[16];
	uint64_t age_ms; /* learned: since last seen */
};
/* Up to @max entries; returns how many there are. */
size_t vxlan_macs(struct vxlan_port *p, struct vxlan_mac *out, size_t max);
/* The flood list. */
size_t vxlan_floods(struct vxlan_port *p, uint8_t (*out)[16], size_t max);

struct vxlan_remote_info {
	uint8_t remote[16];
	bool known;	    /* somebody set it, for any network */
	uint32_t path_mtu;  /* outer; 0: the kernel has no route */
	uint32_t inner_mtu; /* for IP packets of a guest */
};
size_t vxlan_remotes(struct vxlan_tunnel *t, struct vxlan_remote_info *out, size_t max);

/**
 * struct vxlan_stats - Of a tunnel; datagrams
 * @tx_batches:	UDP_SEGMENT sends; their datagrams are in @tx too
 * @tx_errors:	the kernel refused: no route, no buffer
 * @rx_short:	no VXLAN and Ethernet header in it
 * @rx_flags:	the I flag is not set
 * @rx_vni:	of a network that is not here
 * @rx_peer:	known_only: from a host that nobody set
 * @rx_waits:	times a receiving guest had no buffer and the tunnel waited for it
 * @too_big:	packets larger than the path
 * @replies:	"too big" messages sent; @replies_limited: not sent, there were too many
 * @table_full:	addresses and hosts not learned for want of room
 */
struct vxlan_stats {
	uint64_t tx, tx_bytes, tx_batches, tx_errors;
	uint64_t rx, rx_bytes, rx_short, rx_flags, rx_vni, rx_peer, rx_waits;
	uint64_t too_big, replies, replies_limited, table_full;
};
void vxlan_get_stats(struct vxlan_tunnel *t, struct vxlan_stats *st);

#endif
