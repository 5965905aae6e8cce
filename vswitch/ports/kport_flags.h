/* SPDX-License-Identifier: BSD-2-Clause */
/* What can be switched off at a port of a kernel's interface: tap.h, packet.h. */
#ifndef HVLAB_VSWITCH_PORTS_KPORT_FLAGS_H
#define HVLAB_VSWITCH_PORTS_KPORT_FLAGS_H

#define KPORT_NO_TSO  0x1u /* "a NIC without TSO": the port cuts large packets itself */
#define KPORT_NO_CSUM 0x2u /* "without checksum": sums too, and trusts no sum; no TSO either */

#endif
