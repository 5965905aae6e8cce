/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A port that sends back what it gets, with the two addresses swapped: for tests and for
 * measuring a device both ways. The packet goes back as it came, with its debts, from the
 * original sender's memory, on the original sender's worker, before that one's vsw_send()
 * returns. It never waits: what finds no buffer is dropped.
 */
#ifndef HVLAB_VSWITCH_PORTS_LOOP_H
#define HVLAB_VSWITCH_PORTS_LOOP_H

#include "vswitch/port.h"

struct loop_port {
	struct vsw_port port;
};

/* Fills a zeroed port, with link and receiving on. Attach and detach @l->port. Control thread. */
void loop_port_init(struct loop_port *l, const char *name, const uint8_t mac[6]);

#endif
