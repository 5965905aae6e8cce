/* SPDX-License-Identifier: BSD-2-Clause */
/* A port that takes everything and keeps nothing: for tests and for measuring the switch. */
#ifndef HVLAB_VSWITCH_PORTS_NULL_H
#define HVLAB_VSWITCH_PORTS_NULL_H

#include "vswitch/port.h"

struct null_port {
	struct vsw_port port;
};

/* Fills a zeroed port, with link and receiving on. Attach and detach @n->port. Control thread. */
void null_port_init(struct null_port *n, const char *name, const uint8_t mac[6]);

#endif
