/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A packet as people write it, for explain and for the tests in policy files:
 *
 *	tcp|udp SOURCE[:PORT] DESTINATION:PORT	ports of TCP and UDP; the source's is 49152 by
 *default icmp SOURCE DESTINATION [TYPE[/CODE]]	echo request by default; ICMPv6 by the addresses
 *	esp|ah|PROTOCOL SOURCE DESTINATION	any other IP protocol, by number
 *	arp SOURCE DESTINATION			a request
 *
 * An end is an IPv4 address, an IPv6 address (in brackets when a port follows), a VM's name (its
 * first NIC) or VM/NIC. SOURCE may be left out where the sender is known.
 */
#ifndef HVLAB_HOST_NSG_PACKET_H
#define HVLAB_HOST_NSG_PACKET_H

#include "host/lab.h"
#include "vswitch/policy/policy.h"

#define NSG_PACKET_MAX 255 /* bytes of such a text */

/* @vm, @nic: whose address it is in the lab; NULL: nobody's. @text: as "10.0.0.4" or "a/eth0". */
struct nsg_end {
	const struct lab_vm *vm;
	const struct lab_nic *nic;
	char text[64];
};

/* @src_ip4, @dst_ip4: of ARP, which has no addresses that rules look at. */
struct nsg_packet {
	struct policy_fields f;
	uint8_t src_ip4[4], dst_ip4[4];
	struct nsg_end src, dst;
};

/*
 * @lab: for names and for whose address it is; may be NULL. @self: the sender when SOURCE is left
 * out; NULL: it must be there. 0; -EINVAL with @why.
 */
int nsg_packet_parse(const char *text, const struct lab *lab, const struct lab_nic *self,
		     struct nsg_packet *out, char *why, size_t why_size);
/* "tcp 10.0.0.4:40000 -> 10.0.0.5:22". */
void nsg_fields_print(const struct policy_fields *f, char *buf, size_t size);
/* "10.0.0.4", "fd00::4". */
void nsg_ip_print(const uint8_t ip[16], char *buf, size_t size);

#endif
