/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the port that takes everything and keeps nothing. */
#include "vswitch/ports/null.h"

static unsigned int null_deliver(struct vsw_port *port, struct pkt **pkts, unsigned int n)
{
	uint64_t packets = 0, bytes = 0;

	for (unsigned int i = 0; i < n; i++) {
		packets += pkt_n_segs(pkts[i]);
		bytes += pkt_wire_bytes(pkts[i]);
	}
	vsw_port_received(port, packets, bytes);
	return n;
}

static const struct vsw_port_ops null_ops = {.deliver = null_deliver};

void null_port_init(struct null_port *n, const char *name, const uint8_t mac[6])
{
	vsw_port_init(&n->port, &null_ops, name, mac);
	atomic_store(&n->port.link, true);
	atomic_store(&n->port.receiving, true);
}
