/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An interface of the running kernel (a NIC, a veth, a VLAN device) as a port, by a packet socket
 * with vnet headers: big packets and unsummed ones pass whole in both directions, the kernel cuts
 * and sums what the interface cannot. Linux include/uapi/linux/if_packet.h, virtio_net.h.
 *
 *	fd = packet_open("eth1", 0);		in the network namespace of the interface
 *	p = packet_new(worker, "blue/uplink", fd, NULL, 0);
 *	vsw_port_attach(net, packet_port(p));
 *	packet_set_link(p, true);		as the interface is; host/netdev.h follows it
 *
 * What it gives to the switch: every frame that comes in on the interface, tags put back as
 * PKT_VLAN. What the host itself sends on the interface is not seen (PACKET_IGNORE_OUTGOING), so
 * guests behind the port and the host's own stack on the same interface do not reach each other.
 * The host's stack still gets what is addressed to the interface.
 *
 * A port that is not promiscuous (PACKET_OWN) is what a router wants: it sends frames with the
 * interface's own address as source, and gets those addressed to it, broadcasts, and multicasts
 * that the interface takes. packet_filter() narrows that to destinations it routes for.
 */
#ifndef HVLAB_VSWITCH_PORTS_PACKET_H
#define HVLAB_VSWITCH_PORTS_PACKET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/worker.h"
#include "vswitch/port.h"
#include "vswitch/ports/kport_flags.h"

struct packet;

/*
 * Flags: KPORT_NO_TSO, the port cuts large packets itself before it sends them; KPORT_NO_CSUM, it
 * sums them too and trusts no sum of what comes. What comes large is taken whole in any case.
 */
#define PACKET_OWN 0x100u /* not promiscuous: frames for the interface's own address */

/*
 * A packet socket on interface @ifname of the calling thread's network namespace. Needs
 * CAP_NET_RAW there. The descriptor, or -errno: -ENODEV no such interface; -EPERM; -EINVAL not an
 * Ethernet interface. One that is down is opened too.
 */
int packet_open(const char *ifname, uint32_t flags);

/**
 * packet_new() - The port of a socket
 * @fd:		of packet_open(); taken, on failure too
 * @mac:	the only address behind it, or NULL: addresses are learned, as behind an uplink
 *
 * Its link is down until packet_set_link(). NULL with errno. Any thread but another worker's.
 */
struct packet *packet_new(struct worker *w, const char *name, int fd, const uint8_t mac[6],
			  uint32_t flags);
/* The port must be detached before. NULL is fine. */
void packet_free(struct packet *p);
struct vsw_port *packet_port(struct packet *p);

/* As the interface is: carrier and up. Down: nothing is sent there. Any thread. */
void packet_set_link(struct packet *p, bool up);
/* The interface's; larger packets are dropped as too-big. 0: no limit but the network's. */
void packet_set_mtu(struct packet *p, uint32_t mtu);

/**
 * struct packet_prefix - Destinations that a filter lets through
 * @family:	AF_INET or AF_INET6
 * @addr:	4 or 16 bytes, network order
 * @len:	bits that count
 */
struct packet_prefix {
	int family;
	uint8_t addr[16];
	unsigned int len;
};

#define PACKET_MAX_PREFIXES 256

/*
 * Take only IP packets to these destinations, and ARP and neighbour discovery; the kernel throws
 * the rest away before it costs anything. @n 0: ARP and neighbour discovery alone. Replaces the
 * filter before. 0; -E2BIG more than PACKET_MAX_PREFIXES; -errno. Any thread.
 */
int packet_filter(struct packet *p, const struct packet_prefix *list, unsigned int n);

/*
 * Packets that came while all slots were full, or large in a way that no vnet header can tell of
 * (tunnels that the sender's kernel leaves to the NIC to cut), ever. Any thread.
 */
uint64_t packet_kernel_drops(struct packet *p);

#endif
