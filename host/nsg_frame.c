/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the bytes of a packet that was given in words. */
#include "host/nsg_frame.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "base/wire.h"

#define ETH_LEN	    14
#define IP4_LEN	    20
#define IP6_LEN	    40
#define PAYLOAD	    18 /* what stands behind the headers, so that no frame is a runt */
#define TTL	    64
#define SYN	    0x02
#define TCP_OFF	    0x50 /* five words of header */
#define IP4_VERSION 0x45

static void put_mac(uint8_t *at, uint64_t mac)
{
	for (int i = 0; i < 6; i++)
		at[i] = (uint8_t)(mac >> (40 - 8 * i));
}

static size_t l4_len(const struct policy_fields *f)
{
	switch (f->proto) {
	case IPPROTO_TCP:
		return 20;
	case IPPROTO_UDP:
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return 8;
	default:
		return 0;
	}
}

static void put_l4(const struct policy_fields *f, uint8_t *at, size_t len)
{
	if (f->proto == IPPROTO_ICMP || f->proto == IPPROTO_ICMPV6) {
		at[0] = (uint8_t)f->sport;
		at[1] = (uint8_t)f->dport;
		return;
	}
	if (f->proto != IPPROTO_TCP && f->proto != IPPROTO_UDP)
		return;
	be16_store(at, f->sport);
	be16_store(at + 2, f->dport);
	if (f->proto == IPPROTO_UDP) {
		be16_store(at + 4, (uint16_t)len);
		return;
	}
	at[12] = TCP_OFF;
	at[13] = SYN;
}

static size_t put_arp(const struct nsg_packet *p, uint8_t *at)
{
	static const uint8_t head[] = {0, 1, 8, 0, 6, 4, 0, 1}; /* Ethernet, IPv4, a request */

	memcpy(at, head, sizeof(head));
	put_mac(at + 8, p->f.src_mac);
	memcpy(at + 14, p->src_ip4, 4);
	memcpy(at + 24, p->dst_ip4, 4);
	return 28;
}

size_t nsg_frame(const struct nsg_packet *p, uint8_t frame[NSG_FRAME_MAX])
{
	size_t l4 = l4_len(&p->f) + PAYLOAD;
	uint8_t *ip = frame + ETH_LEN;

	memset(frame, 0, NSG_FRAME_MAX);
	put_mac(frame, p->f.dst_mac);
	put_mac(frame + 6, p->f.src_mac);
	be16_store(frame + 12, p->f.eth_type);
	if (!p->f.has_ip)
		return ETH_LEN + put_arp(p, ip);
	if (p->f.eth_type == 0x86dd) {
		ip[0] = 0x60;
		be16_store(ip + 4, (uint16_t)l4);
		ip[6] = p->f.proto;
		ip[7] = TTL;
		memcpy(ip + 8, p->f.src, 16);
		memcpy(ip + 24, p->f.dst, 16);
		put_l4(&p->f, ip + IP6_LEN, l4);
		return ETH_LEN + IP6_LEN + l4;
	}
	ip[0] = IP4_VERSION;
	be16_store(ip + 2, (uint16_t)(IP4_LEN + l4));
	ip[8] = TTL;
	ip[9] = p->f.proto;
	memcpy(ip + 12, p->f.src + 12, 4);
	memcpy(ip + 16, p->f.dst + 12, 4);
	put_l4(&p->f, ip + IP4_LEN, l4);
	return ETH_LEN + IP4_LEN + l4;
}
