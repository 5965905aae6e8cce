/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a guest may not send, as Hyper-V's port settings have it.
 *
 *	MAC	its Ethernet source must be the NIC's own. Only that is looked at, as by Hyper-V:
 *		addresses inside ARP and neighbour discovery are not
 *	DHCP	nothing that a DHCP server or relay says to clients, of IPv4 and IPv6
 *	router	no router advertisements and no redirects, of IPv6 and IPv4 (RFC 1256)
 *
 * A message that is hidden from us behind extension headers, or cut by fragmentation before we can
 * tell, is dropped as what it could be (RFC 7113).
 */
#ifndef HVLAB_VSWITCH_GUARD_H
#define HVLAB_VSWITCH_GUARD_H

#include <stdbool.h>
#include <stdint.h>

#include "vswitch/packet.h"

#define GUARD_MAC    0x1u
#define GUARD_DHCP   0x2u
#define GUARD_ROUTER 0x4u

/* Must each packet of this connection be looked at, since the first says nothing of the next? */
bool guard_each_packet(unsigned int guards, const struct pkt *pkt);

/* @mac: the port's own. @pkt: parsed. VSW_DROP_NONE, _SPOOF, _DHCP_GUARD or _ROUTER_GUARD. */
enum vsw_drop guard_check(unsigned int guards, const uint8_t mac[6], const struct pkt *pkt);

#endif
