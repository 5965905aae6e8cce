/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the frames of ARP and neighbour discovery. */
#include "vswitch/neighbour.h"

#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <string.h>

#include "base/wire.h"
#include "vswitch/checksum.h"
#include "vswitch/packet.h"

#define TYPE_ARP   0x0806
#define TYPE_IP6   0x86dd
#define OPT_SOURCE 1 /* link-layer address options, RFC 4861, 4.6.1 */
#define OPT_TARGET 2

static const uint8_t kinds[6] = {0, 1, 8, 0, 6, 4}; /* ARP: Ethernet, IPv4, their sizes */
static const uint8_t zero[16];

void neigh_put_arp(uint8_t *frame, const uint8_t mac[6], uint16_t op, const uint8_t *spa,
		   const uint8_t tha[6], const uint8_t *tpa)
{
	uint8_t *arp = frame + NEIGH_ETH;

	memcpy(frame + 6, mac, 6);
	be16_store(frame + 12, TYPE_ARP);
	memcpy(arp, kinds, 6);
	be16_store(arp + 6, op);
	memcpy(arp + 8, mac, 6);
	memcpy(arp + 14, spa, 4);
	memcpy(arp + 18, tha, 6);
	memcpy(arp + 24, tpa, 4);
}

/* The message of 32 bytes is there but for its sum: the headers before it. */
static void finish_icmp6(uint8_t *frame, const uint8_t dmac[6], const uint8_t mac[6],
			 const uint8_t src[16], const uint8_t dst[16])
{
	uint8_t *ip = frame + NEIGH_ETH, *icmp = ip + 40;
	uint64_t sum;
	uint16_t field;

	memcpy(frame, dmac, 6);
	memcpy(frame + 6, mac, 6);
	be16_store(frame + 12, TYPE_IP6);
	be32_store(ip, 0x60000000);
	be16_store(ip + 4, 32);
	ip[6] = IPPROTO_ICMPV6;
	ip[7] = 255;
	memcpy(ip + 8, src, 16);
	memcpy(ip + 24, dst, 16);
	memset(icmp + 2, 0, 2);
	sum = (uint64_t)htobe32(32) + htobe32(IPPROTO_ICMPV6);
	sum = cksum_short(sum, ip + 8, 32);
	field = (uint16_t)~cksum_fold(cksum_short(sum, icmp, 32));
	memcpy(icmp + 2, &field, 2);
}

static uint8_t *put_message(uint8_t *frame, uint8_t type, uint8_t flags, const uint8_t target[16],
			    uint8_t option, const uint8_t mac[6])
{
	uint8_t *icmp = frame + NEIGH_ETH + 40;

	memset(icmp, 0, 32);
	icmp[0] = type;
	icmp[4] = flags;
	memcpy(icmp + 8, target, 16);
	icmp[24] = option;
	icmp[25] = 1;
	memcpy(icmp + 26, mac, 6);
	return icmp;
}

void neigh_put_solicit(uint8_t *frame, const uint8_t dmac[6], const uint8_t mac[6],
		       const uint8_t src[16], const uint8_t group[16], const uint8_t target[16])
{
	put_message(frame, ND_NEIGHBOR_SOLICIT, 0, target, OPT_SOURCE, mac);
	finish_icmp6(frame, dmac, mac, src, group);
}

void neigh_put_advert(uint8_t *frame, const uint8_t dmac[6], const uint8_t mac[6],
		      const uint8_t asker[16], const uint8_t target[16], uint8_t flags)
{
	static const uint8_t all_nodes[16] = {0xff, 2, [15] = 1};
	static const uint8_t all_nodes_mac[6] = {0x33, 0x33, 0, 0, 0, 1};
	bool probe = !memcmp(asker, zero, 16);

	put_message(frame, ND_NEIGHBOR_ADVERT, flags | (probe ? 0 : NEIGH_NA_SOLICITED), target,
		    OPT_TARGET, mac);
	finish_icmp6(frame, probe ? all_nodes_mac : dmac, mac, target, probe ? all_nodes : asker);
}

bool neigh_is_question(const struct pkt *pkt, uint8_t target[16])
{
	const uint8_t *arp = pkt->hdr + NEIGH_ETH, *icmp = pkt->hdr + pkt->l4_off;

	if (pkt->eth_type == TYPE_ARP) {
		if (pkt->hdr_len < NEIGH_ARP_SIZE || be16_load(pkt->hdr + 12) != TYPE_ARP ||
		    memcmp(arp, kinds, sizeof(kinds)) != 0 ||
		    be16_load(arp + 6) != NEIGH_ARP_REQUEST || (arp[8] & 1) ||
		    !memcmp(arp + 14, zero, 4) || !memcmp(arp + 14, arp + 24, 4))
			return false;
		memset(target, 0, 10);
		target[10] = target[11] = 0xff;
		memcpy(target + 12, arp + 24, 4);
		return true;
	}
	/* RFC 4861, 7.1.1; who asks with another sum only harms himself. */
	if (pkt->l4 != PKT_L4_ICMPV6 || pkt->l3_off != NEIGH_ETH ||
	    pkt->hdr_len < pkt->l4_off + 24 || pkt->ip_len < pkt->l4_off - NEIGH_ETH + 24u ||
	    icmp[0] != ND_NEIGHBOR_SOLICIT || icmp[1] || pkt->hdr[pkt->l3_off + 7] != 255 ||
	    !memcmp(pkt->hdr + pkt->l3_off + 8, zero, 16))
		return false;
	memcpy(target, icmp + 8, 16);
	return true;
}

uint32_t neigh_answer(const struct pkt *question, const uint8_t mac[6], uint8_t *frame)
{
	const uint8_t *arp = question->hdr + NEIGH_ETH, *ip = question->hdr + question->l3_off;

	if (question->eth_type == TYPE_ARP) {
		memcpy(frame, arp + 8, 6);
		neigh_put_arp(frame, mac, NEIGH_ARP_REPLY, arp + 24, arp + 8, arp + 14);
		return NEIGH_ARP_SIZE;
	}
	neigh_put_advert(frame, question->hdr + 6, mac, ip + 8,
			 question->hdr + question->l4_off + 8, NEIGH_NA_OVERRIDE);
	return NEIGH_ND_SIZE;
}
