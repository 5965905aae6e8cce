/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Flows that a NIC handles by itself: what AccelNet calls GFT. A NIC model that has a flow table
 * includes this beside port.h.
 *
 * The first packets of a flow are exceptions: the NIC hands them to vsw_send(), which judges them
 * and offers the flow with port->ops->program(). From then on the NIC finds the flow in its own
 * table, by all the header fields that the verdict hangs on, and hands the packet to
 * vsw_fast_send(): the composed action is applied and the packet delivered, no rule is asked, no
 * forwarding table, no connection looked up.
 *
 * An entry goes stale when the policy of either port, a connection, a port's features or the ports
 * themselves change: the next packet is an exception again. So are packets that change a TCP
 * connection's state.
 *
 * All on the worker of the sending port.
 */
#ifndef HVLAB_VSWITCH_FASTPATH_H
#define HVLAB_VSWITCH_FASTPATH_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "vswitch/port.h"
#include "vswitch/xpose.h"

struct flow;

/* What a packet is found by: addresses, tag, and the connection's key. Compared as bytes. */
struct vsw_fast_key {
	uint8_t conn[40];
	uint8_t macs[12];
	uint16_t tci;
	uint16_t tagged; /* 0: no tag; 1: beside the frame; 2: in it */
};

static inline bool vsw_fast_key_same(const struct vsw_fast_key *a, const struct vsw_fast_key *b)
{
	uint64_t x, y, diff = 0;

	for (unsigned int i = 0; i < sizeof(*a); i += sizeof(x)) {
		memcpy(&x, (const uint8_t *)a + i, sizeof(x));
		memcpy(&y, (const uint8_t *)b + i, sizeof(y));
		diff |= x ^ y;
	}
	return !diff;
}

/*
 * Parses @pkt. False: it is malformed or belongs to no flow that a NIC could have: vsw_send() it.
 * @hash: of the key.
 */
bool vsw_fast_key_from(struct vsw_fast_key *key, uint32_t *hash, struct pkt *pkt);

/**
 * struct vsw_fast - What is to be done with a flow's packets; the switch's own, copied by the NIC
 * @topology:	of the switch, when it was made
 * @gen:	of the policies at the sender (0) and the receiver (1); 0: no policy there
 * @until_ms:	the receiver was learned: it is asked for again then. 0: it is fixed
 */
struct vsw_fast {
	struct vsw_port *to;
	struct flow *flow[2];
	uint32_t serial[2], gen[2];
	uint32_t topology;
	uint32_t until_ms;
	struct vsw_xpose xpose;
};

/**
 * vsw_fast_send() - A port's guest sends packets of flows that are in its NIC's table
 * @fast:	of each packet
 * @pkts:	parsed (vsw_fast_key_from())
 *
 * Return: packets consumed, as vsw_send() does. Fewer than @n: pkts[ret] is to wait, as there; or,
 * with *@stale, its entry is not valid for it: vsw_send() that packet. The entry is to be removed
 * when !vsw_fast_is_valid().
 */
unsigned int vsw_fast_send(struct vsw_port *port, const struct vsw_fast *const *fast,
			   struct pkt **pkts, unsigned int n, bool *stale);
/* False: it will never be valid again. In no read section of the caller's. */
bool vsw_fast_is_valid(struct vsw_port *port, const struct vsw_fast *fast);
/* The NIC has taken an entry, or has removed it: for `hvlab flows`. */
void vsw_fast_taken(const struct vsw_fast *fast);
void vsw_fast_removed(const struct vsw_fast *fast);

#endif
