/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the way of a packet through the router: delivery into one interface, sending out of another.
 *
 * Theory of operation
 *
 * A packet that is passed on is changed in place, in the header bytes that belong to its view: two
 * MACs, the TTL and its checksum. It is sent from the other interface's port within the delivery
 * (its bytes may still be the sender's), and put right again afterwards, since its sender may have
 * to offer it again, and captures show what it sent. Large packets go whole; their debts stay.
 *
 * Packets in a row that leave by one interface are sent in one call.
 *
 * Waiting. When a receiver behind the router has no buffer the sender must wait for the router's
 * port. The interface then waits for that receiver in the name of the sender's worker (each worker
 * has a struct rt_waiter of its own, since wake-ups come on the worker that registered), and passes
 * the wake-up on. A worker that waits for one receiver cannot wait for a second one: packets to
 * that do not wait.
 *
 * Depth. Sending within a delivery nests. Each router takes one from the TTL, so a loop of routers
 * ends, but after 255 calls: at RT_MAX_DEPTH the packet is dropped as if its TTL had ended.
 */
#include <string.h>

#include "base/util.h"
#include "base/wire.h"
#include "vswitch/fdb.h"
#include "vswitch/ports/router_internal.h"

#define BURST	 64
#define TYPE_ARP 0x0806
#define RETRIES	 4

static _Thread_local unsigned int depth;

/* What was changed of a packet, to put it right. */
struct undo {
	uint8_t macs[12];
	uint8_t ttl[4]; /* IPv4: TTL, protocol, checksum; IPv6: the first is the hop limit */
	bool no_wait;
};

/* Packets that leave by one interface: pkts[first, first + n). */
struct batch {
	struct router_if *in, *out;
	struct pkt **pkts;
	unsigned int first, n;
	struct undo undo[BURST];
	uint64_t packets, bytes;
};

/* ---- waiting ---- */

static void woken(struct vsw_waiter *w)
{
	struct rt_waiter *rw = w->arg;

	vsw_port_wake(&rw->i->port);
}

void rt_waiters_init(struct router_if *i)
{
	for (unsigned int k = 0; k < RT_WAITERS; k++) {
		i->waiter[k].i = i;
		i->waiter[k].w = (struct vsw_waiter){.wake = woken, .arg = &i->waiter[k]};
	}
}

static void cancel(void *arg)
{
	vsw_wait_cancel(arg);
}

void rt_waiters_cancel(struct router_if *i)
{
	for (unsigned int k = 0; k < RT_WAITERS; k++)
		if (atomic_load(&i->waiter[k].owner))
			worker_call(atomic_load(&i->waiter[k].owner), cancel, &i->waiter[k].w);
}

static struct rt_waiter *waiter_of(struct router_if *i)
{
	struct worker *self = worker_self();

	for (unsigned int k = 0; self && k < RT_WAITERS; k++) {
		struct worker *none = NULL;

		if (atomic_load(&i->waiter[k].owner) == self)
			return &i->waiter[k];
		if (atomic_compare_exchange_strong(&i->waiter[k].owner, &none, self)) {
			i->waiter[k].w.worker = self;
			return &i->waiter[k];
		}
	}
	return NULL;
}

/* True: the sender will be woken. *@again: things have changed, try again at once. */
static bool wait_for(struct router_if *i, struct vsw_port *on, bool *again)
{
	struct rt_waiter *rw = waiter_of(i);
	struct vsw_port *now;

	*again = false;
	if (!rw || !on)
		return false;
	now = atomic_load(&rw->w.on);
	if (now)
		return now == on;
	if (vsw_wait(&rw->w, on))
		return true;
	*again = true;
	return false;
}

/* ---- changing, and putting right ---- */

static void change(struct batch *b, struct pkt *pkt, uint64_t mac)
{
	struct undo *u = &b->undo[b->n];
	uint8_t *ip = pkt->hdr + pkt->l3_off;

	memcpy(u->macs, pkt->hdr, 12);
	u->no_wait = pkt->flags & PKT_NO_WAIT;
	rt_mac_bytes(pkt->hdr, mac);
	memcpy(pkt->hdr + 6, b->out->port.mac, 6);
	if (pkt->l3 == PKT_L3_IPV4)
		memcpy(u->ttl, ip + 8, 4);
	else
		u->ttl[0] = ip[7];
	rt_count_down(ip);
}

static void put_right(const struct batch *b)
{
	for (unsigned int k = 0; k < b->n; k++) {
		struct pkt *pkt = b->pkts[b->first + k];
		const struct undo *u = &b->undo[k];
		uint8_t *ip = pkt->hdr + pkt->l3_off;

		memcpy(pkt->hdr, u->macs, 12);
		if (pkt->l3 == PKT_L3_IPV4)
			memcpy(ip + 8, u->ttl, 4);
		else
			ip[7] = u->ttl[0];
		if (!u->no_wait)
			pkt->flags &= ~PKT_NO_WAIT;
	}
}

/* Sends the batch. False: b->first is a packet that waits, and those behind it were not sent. */
static bool send_batch(struct batch *b)
{
	struct pkt **pkts = b->pkts + b->first;
	unsigned int done = 0, tries = 0, n = b->n;

	depth++;
	while (done < n) {
		bool again;

		done += vsw_send(&b->out->port, pkts + done, n - done);
		if (done == n || wait_for(b->in, pkts[done]->waits_for, &again))
			break;
		if (!again || ++tries > RETRIES)
			pkts[done]->flags |= PKT_NO_WAIT;
	}
	depth--;
	put_right(b);
	for (unsigned int k = 0; k < done; k++) {
		b->packets += pkt_n_segs(pkts[k]);
		b->bytes += pkt_wire_bytes(pkts[k]);
		rt_count(&b->in->r->c.forwarded);
	}
	b->first += done;
	b->n = 0;
	return done == n;
}

/* ---- deciding ---- */

/* Not to be passed on, whatever the table says (RFC 1122, 3.2.1.3; RFC 4291, 2.5.6). */
static bool stays_here(const uint8_t addr[16])
{
	if (addr_is_4(addr)) {
		const uint8_t *a = addr + 12;

		return a[0] == 0 || a[0] == 127 || a[0] >= 224 || (a[0] == 169 && a[1] == 254);
	}
	for (unsigned int i = 0; i < 15; i++)
		if (addr[i])
			return addr[0] == 0xff || (addr[0] == 0xfe && (addr[1] & 0xc0) == 0x80);
	return addr[15] <= 1;
}

static uint32_t ip_bytes(const struct pkt *pkt)
{
	uint32_t headers = pkt->payload_off - pkt->l3_off, payload = pkt->len - pkt->payload_off;

	if (!(pkt->flags & PKT_GSO))
		return pkt->ip_len;
	return headers + MIN(payload, (uint32_t)pkt->gso_size);
}

static void refuse(struct router_if *i, const struct pkt *pkt, enum vsw_drop why,
		   _Atomic uint64_t *counter)
{
	vsw_port_drop(&i->port, pkt, why);
	rt_count(counter);
}

static bool is_ours(const struct router_if *i, const struct pkt *pkt)
{
	return !memcmp(pkt->hdr, i->port.mac, 6);
}

/* Tagged frames are not the router's. */
static bool is_plain(const struct pkt *pkt)
{
	return !(pkt->flags & PKT_VLAN) &&
	       (pkt->l3 ? pkt->l3_off : pkt->payload_off) == PKT_MIN_LEN;
}

static uint8_t ttl_of(const struct pkt *pkt)
{
	return pkt->hdr[pkt->l3_off + (pkt->l3 == PKT_L3_IPV4 ? 8 : 7)];
}

static const uint8_t *next_hop(const struct rt_hop *hop, const uint8_t dst[16])
{
	static const uint8_t none[16];

	return memcmp(hop->route.via, none, 16) != 0 ? hop->route.via : dst;
}

static bool fits(const struct router_if *out, const struct pkt *pkt, uint32_t *mtu)
{
	*mtu = vsw_port_mtu(&out->port);
	return !*mtu || ip_bytes(pkt) <= *mtu;
}

/* The usual case, which has no effects: true when the packet can go out at once. */
static bool go_at_once(struct router_if *i, const struct pkt *pkt, struct router_if **out,
		       uint64_t *mac)
{
	uint8_t src[16], dst[16];
	const struct rt_hop *hop;
	uint32_t mtu;

	if (pkt->l3 == PKT_L3_OTHER || !is_ours(i, pkt) || !is_plain(pkt) || ttl_of(pkt) <= 1 ||
	    depth >= RT_MAX_DEPTH)
		return false;
	rt_src(pkt, src);
	rt_dst(pkt, dst);
	if (stays_here(src) || stays_here(dst) || rt_is_own(i, dst))
		return false;
	hop = route_lookup(i->r->table, dst);
	if (!hop || hop->route.kind >= ROUTER_ROUTE_UNREACHABLE)
		return false;
	*out = hop->route.out;
	if (!fits(*out, pkt, &mtu))
		return false;
	if (hop->route.kind == ROUTER_ROUTE_VIA)
		return rt_mac_of(*out, next_hop(hop, dst), mac);
	*mac = fdb_mac(hop->route.mac);
	return true;
}

/* What becomes of a packet for somebody else. True: send it out by *@out, to *@mac. */
static bool find_way(struct router_if *i, struct pkt *pkt, struct router_if **out, uint64_t *mac)
{
	struct router *r = i->r;
	uint8_t src[16], dst[16];
	const struct rt_hop *hop;
	uint32_t mtu;

	rt_src(pkt, src);
	rt_dst(pkt, dst);
	if (stays_here(src) || stays_here(dst)) {
		refuse(i, pkt, VSW_DROP_NO_ROUTE, &r->c.no_route);
		return false;
	}
	if (ttl_of(pkt) <= 1 || depth >= RT_MAX_DEPTH) {
		rt_error(i, pkt, ICMP_ERROR_TTL, 0);
		refuse(i, pkt, VSW_DROP_TTL, &r->c.ttl);
		return false;
	}
	hop = route_lookup(r->table, dst);
	if (!hop || hop->route.kind >= ROUTER_ROUTE_UNREACHABLE) {
		if (!hop || hop->route.kind == ROUTER_ROUTE_UNREACHABLE)
			rt_error(i, pkt, ICMP_ERROR_NET, 0);
		refuse(i, pkt, VSW_DROP_NO_ROUTE, &r->c.no_route);
		return false;
	}
	*out = hop->route.out;
	if (!fits(*out, pkt, &mtu)) {
		rt_error(i, pkt, ICMP_ERROR_TOOBIG, mtu);
		refuse(i, pkt, VSW_DROP_TOO_BIG, &r->c.too_big);
		return false;
	}
	if (hop->route.kind == ROUTER_ROUTE_MAC) {
		*mac = fdb_mac(hop->route.mac);
		return true;
	}
	switch (rt_resolve(*out, next_hop(hop, dst), mac, i, pkt)) {
	case RT_RESOLVED:
		return true;
	case RT_HELD:
		return false;
	case RT_UNREACHABLE:
		break;
	}
	rt_error(i, pkt, ICMP_ERROR_HOST, 0);
	refuse(i, pkt, VSW_DROP_NO_NEIGHBOUR, &r->c.unreachable);
	return false;
}

/* All else. True: to be passed on. False: done with. */
static bool decide(struct router_if *i, struct pkt *pkt, struct router_if **out, uint64_t *mac)
{
	/* Others' frames come by when nobody knows where they belong. */
	if ((!is_ours(i, pkt) && !(pkt->hdr[0] & 1)) || !is_plain(pkt))
		return false;
	if (pkt->eth_type == TYPE_ARP) {
		rt_arp(i, pkt);
		return false;
	}
	if (pkt->l3 == PKT_L3_OTHER || rt_local(i, pkt) || !is_ours(i, pkt))
		return false;
	return find_way(i, pkt, out, mac);
}

unsigned int rt_deliver(struct vsw_port *port, struct pkt **pkts, unsigned int n)
{
	struct batch b = {.in = CONTAINER_OF(port, struct router_if, port), .pkts = pkts};

	for (unsigned int i = 0; i < n; i++) {
		struct router_if *out = NULL;
		uint64_t mac = 0;
		bool go = go_at_once(b.in, pkts[i], &out, &mac);

		/* Before anything is done that cannot be undone: what is ahead may have to wait. */
		if (b.n && (!go || out != b.out || b.n == BURST) && !send_batch(&b))
			goto out;
		if (!go && !decide(b.in, pkts[i], &out, &mac)) {
			b.packets += pkt_n_segs(pkts[i]);
			b.bytes += pkt_wire_bytes(pkts[i]);
			b.first = i + 1;
			continue;
		}
		if (!b.n)
			b.first = i;
		b.out = out;
		change(&b, pkts[i], mac);
		b.n++;
	}
	if (b.n)
		send_batch(&b);
	else
		b.first = n;
out:
	if (b.packets)
		vsw_port_received(port, b.packets, b.bytes);
	return b.first;
}
