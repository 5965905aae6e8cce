/* SPDX-License-Identifier: BSD-2-Clause */
/* The program by which the kernel picks the packets of a router's leg. Any thread. */
#ifndef HVLAB_VSWITCH_PORTS_PACKET_FILTER_H
#define HVLAB_VSWITCH_PORTS_PACKET_FILTER_H

#include <linux/filter.h>

#include "vswitch/ports/packet.h"

/* See packet_filter(). @prog->filter is malloc()ed. 0, -E2BIG, -EINVAL, -ENOMEM. */
int packet_filter_make(const struct packet_prefix *list, unsigned int n, struct sock_fprog *prog);

#endif
