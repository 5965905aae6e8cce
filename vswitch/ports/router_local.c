/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns what the router says itself: ARP, neighbour discovery, pings, ICMP errors, and the letters
 * by which its worker sends them.
 *
 * A frame that answers is made in the delivery that asked for it and sent by the router's worker,
 * so that nobody sends from an interface while a table is locked, and an answer to an answer does
 * not nest. RT_MAX_LETTERS may be on their way; what is more is not said.
 *
 * Neighbour discovery is believed only with hop limit 255, code 0 and a right checksum (RFC 4861,
 * 7.1). As a proxy the router does not answer who asks whether an address is free (ARP probes, RFC
 * 5227; duplicate address detection), or a guest could not take an address that has just left
 * another host.
 */
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "base/util.h"
#include "base/wire.h"
#include "vswitch/checksum.h"
#include "vswitch/fdb.h"
#include "vswitch/neighbour.h"
#include "vswitch/ports/router_internal.h"

#define ETH	    14
#define ECHO4	    8
#define ECHO4_REPLY 0
#define OPT_SOURCE  1 /* link-layer address options, RFC 4861, 4.6.1 */
#define OPT_TARGET  2

static const uint8_t zero[16];

void rt_src(const struct pkt *pkt, uint8_t addr[16])
{
	const uint8_t *ip = pkt->hdr + pkt->l3_off;

	if (pkt->l3 == PKT_L3_IPV4)
		addr_from_4(addr, ip + 12);
	else
		memcpy(addr, ip + 8, 16);
}

/* As in the IP header: a routing header's last address is not where the packet goes now. */
void rt_dst(const struct pkt *pkt, uint8_t addr[16])
{
	const uint8_t *ip = pkt->hdr + pkt->l3_off;

	if (pkt->l3 == PKT_L3_IPV4)
		addr_from_4(addr, ip + 16);
	else
		memcpy(addr, ip + 24, 16);
}

void rt_count_down(uint8_t *ip)
{
	uint16_t old, new, field;
	uint64_t sum;

	if (ip[0] >> 4 != 4) {
		ip[7]--;
		return;
	}
	memcpy(&old, ip + 8, 2);
	ip[8]--;
	memcpy(&new, ip + 8, 2);
	memcpy(&field, ip + 10, 2);
	/* RFC 1624, equation 3 */
	sum = (uint64_t)(uint16_t)~field + (uint16_t)~old + new;
	field = (uint16_t)~cksum_fold(sum);
	memcpy(ip + 10, &field, 2);
}

/* ---- letters ---- */

struct rt_letter *rt_letter_new(struct router_if *out, uint32_t len)
{
	struct router *r = out->r;
	struct rt_letter *l;

	if (atomic_load(&r->n_letters) >= RT_MAX_LETTERS)
		return NULL;
	l = malloc(sizeof(*l) + len);
	if (l)
		*l = (struct rt_letter){.out = out, .len = len};
	return l;
}

void rt_letter_free(struct rt_letter *l)
{
	free(l);
}

static void send_letter(void *arg)
{
	struct rt_letter *l = arg;
	struct iovec iov = {l->frame, l->len};
	struct pkt pkt, *p = &pkt;

	atomic_fetch_sub(&l->out->r->n_letters, 1);
	if (pkt_from_iov(p, &iov, 1) == 0) {
		p->flags = l->flags | PKT_NO_WAIT;
		p->gso_size = l->gso_size;
		vsw_send(&l->out->port, &p, 1);
	}
	free(l);
}

void rt_letter_post(struct rt_letter *l)
{
	struct router *r = l->out->r;

	atomic_fetch_add(&r->n_letters, 1);
	if (worker_post(r->worker, send_letter, l)) {
		atomic_fetch_sub(&r->n_letters, 1);
		free(l);
	}
}

/* ---- ICMP errors ---- */

void rt_error(struct router_if *i, const struct pkt *pkt, enum icmp_error_kind kind, uint32_t mtu)
{
	struct router *r = i->r;
	uint8_t to[16], from[16];
	struct rt_letter *l;
	int len;

	rt_src(pkt, to);
	if (!rt_address_for(i, to, from))
		return;
	if (!reply_limit_ok(&r->limit, pkt, rt_now_ms())) {
		rt_count(&r->c.errors_limited);
		return;
	}
	l = rt_letter_new(i, ICMP_ERROR_MAX);
	if (!l)
		return;
	len = icmp_error(pkt, kind, mtu, addr_is_4(from) ? from + 12 : from, l->frame, l->len);
	if (len < 0) {
		rt_letter_free(l);
		return;
	}
	l->len = (uint32_t)len;
	rt_count(&r->c.errors);
	rt_letter_post(l);
}

/* ---- ARP ---- */

/* Answers for somebody else: the table sends it out elsewhere. */
static bool is_elsewhere(struct router_if *i, const uint8_t addr[16])
{
	const struct rt_hop *hop;

	if (!rt_is_proxied(i, addr))
		return false;
	hop = route_lookup(i->r->table, addr);
	return hop && hop->route.out && hop->route.out != i;
}

static void answer_arp(struct router_if *i, const uint8_t *arp, const uint8_t *tpa)
{
	struct rt_letter *l = rt_letter_new(i, NEIGH_ARP_SIZE);

	if (!l)
		return;
	memcpy(l->frame, arp + 8, 6);
	neigh_put_arp(l->frame, i->port.mac, NEIGH_ARP_REPLY, tpa, arp + 8, arp + 14);
	rt_letter_post(l);
}

void rt_arp(struct router_if *i, const struct pkt *pkt)
{
	static const uint8_t kinds[6] = {0, 1, 8, 0, 6, 4};
	const uint8_t *arp = pkt->hdr + ETH, *spa = arp + 14, *tpa = arp + 24;
	uint8_t sender[16], target[16];
	uint16_t op = be16_load(arp + 6);
	bool own;

	if (pkt->hdr_len < NEIGH_ARP_SIZE || memcmp(arp, kinds, sizeof(kinds)) != 0 || (arp[8] & 1))
		return;
	addr_from_4(sender, spa);
	addr_from_4(target, tpa);
	own = rt_is_own(i, target);
	/* RFC 826: who speaks is known, and remembered when it was to us. */
	if (memcmp(spa, zero, 4) != 0 && rt_on_link(i, sender) && !rt_is_own(i, sender))
		rt_heard(i, sender, fdb_mac(arp + 8), own && op == NEIGH_ARP_REQUEST);
	if (op != NEIGH_ARP_REQUEST || !memcmp(spa, tpa, 4))
		return;
	if (own) {
		if (i->flags & ROUTER_IF_SHARED)
			return;
		rt_count(&i->r->c.arp_answers);
	} else {
		if (!memcmp(spa, zero, 4) || !is_elsewhere(i, target))
			return;
		rt_count(&i->r->c.proxy_answers);
	}
	answer_arp(i, arp, tpa);
}

/* ---- neighbour discovery ---- */

/* The MAC in an option of that type, or NULL. */
static const uint8_t *find_option(const uint8_t *icmp, uint32_t len, uint32_t at, uint8_t type)
{
	while (len - at >= 8 && icmp[at + 1] && icmp[at + 1] * 8u <= len - at) {
		if (icmp[at] == type)
			return icmp + at + 2;
		at += icmp[at + 1] * 8u;
	}
	return NULL;
}

static void advertise(struct router_if *i, const struct pkt *pkt, const uint8_t target[16],
		      bool own)
{
	struct rt_letter *l = rt_letter_new(i, NEIGH_ND_SIZE);
	uint8_t src[16];

	if (!l)
		return;
	rt_src(pkt, src);
	neigh_put_advert(l->frame, pkt->hdr + 6, i->port.mac, src, target,
			 NEIGH_NA_ROUTER | (own ? NEIGH_NA_OVERRIDE : 0));
	rt_letter_post(l);
}

static void solicited(struct router_if *i, const struct pkt *pkt, const uint8_t *icmp, uint32_t len)
{
	const uint8_t *target = icmp + 8, *mac = find_option(icmp, len, 24, OPT_SOURCE);
	bool own = rt_is_own(i, target), probe;
	uint8_t src[16];

	rt_src(pkt, src);
	probe = !memcmp(src, zero, 16);
	if (mac && !probe && !rt_is_own(i, src))
		rt_heard(i, src, fdb_mac(mac), own);
	if (own) {
		if (i->flags & ROUTER_IF_SHARED)
			return;
		rt_count(&i->r->c.nd_answers);
	} else {
		if (probe || !is_elsewhere(i, target))
			return;
		rt_count(&i->r->c.proxy_answers);
	}
	advertise(i, pkt, target, own);
}

/* Nobody vouches: add it up. What is not wholly in the copied bytes counts as wrong. */
static bool icmp6_sum_right(const struct pkt *pkt, uint32_t len)
{
	uint64_t sum = (uint64_t)htobe32(len) + htobe32(IPPROTO_ICMPV6);

	if (pkt->flags & (PKT_L4_GOOD | PKT_CSUM_L4))
		return true;
	sum = cksum_short(sum, pkt->hdr + pkt->src_off, 16);
	sum = cksum_short(sum, pkt->hdr + pkt->dst_off, 16);
	return cksum_fold(cksum_short(sum, pkt->hdr + pkt->l4_off, len)) == 0xffff;
}

/* True: it was neighbour discovery, right or wrong. */
static bool neighbour_discovery(struct router_if *i, const struct pkt *pkt)
{
	const uint8_t *icmp = pkt->hdr + pkt->l4_off, *mac;
	uint32_t len = pkt->ip_len - (uint32_t)(pkt->l4_off - pkt->l3_off);

	if (icmp[0] != ND_NEIGHBOR_SOLICIT && icmp[0] != ND_NEIGHBOR_ADVERT)
		return false;
	if (pkt->hdr[pkt->l3_off + 7] != 255 || icmp[1] || len < 24 ||
	    pkt->l4_off + len > pkt->hdr_len || icmp[8] == 0xff || !icmp6_sum_right(pkt, len))
		return true;
	if (icmp[0] == ND_NEIGHBOR_SOLICIT) {
		solicited(i, pkt, icmp, len);
		return true;
	}
	mac = find_option(icmp, len, 24, OPT_TARGET);
	if (mac && !rt_is_own(i, icmp + 8))
		rt_heard(i, icmp + 8, fdb_mac(mac), false);
	return true;
}

/* ---- questions ---- */

static void ask4(struct router_if *i, const uint8_t addr[16], const uint8_t own[16])
{
	struct rt_letter *l = rt_letter_new(i, NEIGH_ARP_SIZE);

	if (!l)
		return;
	memset(l->frame, 0xff, 6);
	neigh_put_arp(l->frame, i->port.mac, NEIGH_ARP_REQUEST, own + 12, zero, addr + 12);
	rt_letter_post(l);
}

static void ask6(struct router_if *i, const uint8_t addr[16], const uint8_t own[16])
{
	struct rt_letter *l = rt_letter_new(i, NEIGH_ND_SIZE);
	uint8_t group[16] = {0xff, 2, [11] = 1, [12] = 0xff}, mac[6] = {0x33, 0x33, 0xff};

	if (!l)
		return;
	/* The solicited-node group, RFC 4291, 2.7.1 */
	memcpy(group + 13, addr + 13, 3);
	memcpy(mac + 3, addr + 13, 3);
	neigh_put_solicit(l->frame, mac, i->port.mac, own, group, addr);
	rt_letter_post(l);
}

void rt_ask(struct router_if *i, const uint8_t addr[16])
{
	uint8_t own[16];

	if (!rt_address_for(i, addr, own))
		return;
	if (addr_is_4(addr))
		ask4(i, addr, own);
	else
		ask6(i, addr, own);
}

/* ---- pings ---- */

/* The type of an echo goes from @request to @reply in the sum, too. */
static void echo_sum(uint8_t *icmp, uint8_t request, uint8_t reply)
{
	uint16_t old, new, field;

	memcpy(&old, ((uint8_t[]){request, 0}), 2);
	memcpy(&new, ((uint8_t[]){reply, 0}), 2);
	memcpy(&field, icmp + 2, 2);
	field = (uint16_t)~cksum_fold((uint64_t)(uint16_t)~field + (uint16_t)~old + new);
	memcpy(icmp + 2, &field, 2);
	icmp[0] = reply;
}

static void pong(struct router_if *i, const struct pkt *pkt)
{
	bool v4 = pkt->l3 == PKT_L3_IPV4;
	uint32_t n = v4 ? 4 : 16;
	struct rt_letter *l = rt_letter_new(i, pkt->len);
	uint8_t *ip, *to;
	uint16_t sum;

	if (!l)
		return;
	memcpy(l->frame, pkt->hdr, pkt->hdr_len);
	to = l->frame + pkt->hdr_len;
	for (unsigned int k = 0; k < pkt->n_pieces; k++) {
		memcpy(to, pkt->piece[k].ptr, pkt->piece[k].len);
		to += pkt->piece[k].len;
	}
	memcpy(l->frame, pkt->hdr + 6, 6);
	memcpy(l->frame + 6, i->port.mac, 6);
	ip = l->frame + pkt->l3_off;
	memcpy(l->frame + pkt->src_off, pkt->hdr + pkt->dst_off, n);
	memcpy(l->frame + pkt->dst_off, pkt->hdr + pkt->src_off, n);
	l->flags = pkt->flags & (PKT_CSUM_L4 | PKT_L4_GOOD);
	echo_sum(l->frame + pkt->l4_off, v4 ? ECHO4 : ICMP6_ECHO_REQUEST,
		 v4 ? ECHO4_REPLY : ICMP6_ECHO_REPLY);
	if (v4) {
		ip[8] = 64;
		memset(ip + 10, 0, 2);
		sum = (uint16_t)~cksum_fold(cksum_short(0, ip, (ip[0] & 0xfu) * 4));
		memcpy(ip + 10, &sum, 2);
	} else {
		ip[7] = 64;
	}
	rt_count(&i->r->c.pings);
	rt_letter_post(l);
}

/* For an address of the interface's own, in a frame for its MAC. */
static void for_us(struct router_if *i, const struct pkt *pkt)
{
	const uint8_t *l4 = pkt->hdr + pkt->l4_off;

	if ((i->flags & ROUTER_IF_SHARED) || pkt->fragment)
		return;
	if ((pkt->l4 == PKT_L4_ICMP && l4[0] == ECHO4) ||
	    (pkt->l4 == PKT_L4_ICMPV6 && l4[0] == ICMP6_ECHO_REQUEST)) {
		/* Options of the sender's would have to be turned round: not worth it. */
		if (!(pkt->flags & PKT_GSO) &&
		    pkt->l4_off - pkt->l3_off == (pkt->l3 == PKT_L3_IPV4 ? 20 : 40))
			pong(i, pkt);
	} else if (pkt->l4 == PKT_L4_UDP) {
		rt_error(i, pkt, ICMP_ERROR_PORT, 0);
	}
}

bool rt_local(struct router_if *i, struct pkt *pkt)
{
	uint8_t dst[16];

	if (pkt->l4 == PKT_L4_ICMPV6 && !pkt->fragment && neighbour_discovery(i, pkt))
		return true;
	rt_dst(pkt, dst);
	if (!rt_is_own(i, dst))
		return false;
	if (!memcmp(pkt->hdr, i->port.mac, 6))
		for_us(i, pkt);
	return true;
}
