/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the port that sends everything back.
 *
 * The packets belong to their sender, who may look at them afterwards: what is changed for the
 * way back is put right again. A loop does not answer to a group address (the answer would come
 * from one), nor to another loop's answer (it would not end).
 */
#include "vswitch/ports/loop.h"

#include <string.h>

#include "base/util.h"

#define BURST 64

static _Thread_local bool inside;

static void swap_macs(struct pkt *pkt)
{
	uint8_t mac[6];

	memcpy(mac, pkt->hdr, 6);
	memcpy(pkt->hdr, pkt->hdr + 6, 6);
	memcpy(pkt->hdr + 6, mac, 6);
}

static void send_back(struct vsw_port *port, struct pkt **pkts, unsigned int n)
{
	bool no_wait[BURST];

	for (unsigned int i = 0; i < n; i++) {
		no_wait[i] = pkts[i]->flags & PKT_NO_WAIT;
		pkts[i]->flags |= PKT_NO_WAIT;
		swap_macs(pkts[i]);
	}
	inside = true;
	vsw_send(port, pkts, n);
	inside = false;
	for (unsigned int i = 0; i < n; i++) {
		if (!no_wait[i])
			pkts[i]->flags &= ~PKT_NO_WAIT;
		swap_macs(pkts[i]);
	}
}

static unsigned int loop_deliver(struct vsw_port *port, struct pkt **pkts, unsigned int n)
{
	uint64_t packets = 0, bytes = 0;
	unsigned int first = 0, i;

	for (i = 0; i < n; i++) {
		if (inside || (pkts[i]->hdr[0] & 1)) {
			if (i > first)
				send_back(port, pkts + first, i - first);
			vsw_port_drop(port, pkts[i], VSW_DROP_RX_FILTER);
			first = i + 1;
			continue;
		}
		packets += pkt_n_segs(pkts[i]);
		bytes += pkt_wire_bytes(pkts[i]);
		if (i + 1 - first == BURST) {
			send_back(port, pkts + first, BURST);
			first = i + 1;
		}
	}
	if (n > first)
		send_back(port, pkts + first, n - first);
	if (packets)
		vsw_port_received(port, packets, bytes);
	return n;
}

static const struct vsw_port_ops loop_ops = {.deliver = loop_deliver};

void loop_port_init(struct loop_port *l, const char *name, const uint8_t mac[6])
{
	vsw_port_init(&l->port, &loop_ops, name, mac);
	atomic_store(&l->port.link, true);
	atomic_store(&l->port.receiving, true);
}
