/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the keys of connections: which packets have one, and their hash. */
#include <netinet/in.h>
#include <sys/random.h>

#include "base/wire.h"
#include "vswitch/flow/flow.h"

__extension__ typedef unsigned __int128 u128;

static uint64_t seed[4];

__attribute__((constructor)) static void draw_seed(void)
{
	if (getrandom(seed, sizeof(seed), GRND_NONBLOCK) != sizeof(seed))
		/* Before the kernel's pool is ready: different in each process at least. */
		for (unsigned int i = 0; i < ARRAY_SIZE(seed); i++)
			seed[i] ^= now_ns() * 0x9e3779b97f4a7c15u + (uintptr_t)&seed[i];
	for (unsigned int i = 0; i < ARRAY_SIZE(seed); i++)
		seed[i] |= 1;
}

static void map_v4(uint8_t to[16], const uint8_t *from)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	memcpy(to, mapped, sizeof(mapped));
	memcpy(to + 12, from, 4);
}

/* Echo requests and replies; the others are too rare to have a record. */
static bool is_echo(const struct pkt *pkt)
{
	uint8_t type = pkt->hdr[pkt->l4_off];

	return pkt->l4 == PKT_L4_ICMP ? type == 0 || type == 8 : type == 128 || type == 129;
}

bool flow_key_from(struct flow_key *key, const struct pkt *pkt, uint16_t zone)
{
	const uint8_t *l4 = pkt->hdr + pkt->l4_off;

	if (pkt->l3 == PKT_L3_OTHER || pkt->fragment || (pkt->hdr[0] & 1))
		return false;
	key->lport = key->rport = 0;
	switch ((enum pkt_l4)pkt->l4) {
	case PKT_L4_TCP:
	case PKT_L4_UDP:
		key->lport = be16_load(l4);
		key->rport = be16_load(l4 + 2);
		break;
	case PKT_L4_ICMP:
	case PKT_L4_ICMPV6:
		if (!is_echo(pkt))
			return false;
		key->lport = key->rport = be16_load(l4 + 4);
		break;
	case PKT_L4_OTHER:
		break;
	case PKT_L4_NONE:
		return false;
	}
	if (pkt->l3 == PKT_L3_IPV4) {
		map_v4(key->local, pkt->hdr + pkt->src_off);
		map_v4(key->remote, pkt->hdr + pkt->dst_off);
	} else {
		memcpy(key->local, pkt->hdr + pkt->src_off, 16);
		memcpy(key->remote, pkt->hdr + pkt->dst_off, 16);
	}
	key->proto = pkt->l4_proto;
	key->zero = 0;
	key->zone = zone;
	return true;
}

void flow_key_turn(struct flow_key *to, const struct flow_key *from)
{
	memcpy(to->local, from->remote, 16);
	memcpy(to->remote, from->local, 16);
	to->lport = from->rport;
	to->rport = from->lport;
	to->proto = from->proto;
	to->zero = 0;
	to->zone = from->zone;
}

static inline uint64_t fold(uint64_t a, uint64_t b)
{
	u128 m = (u128)a * b;

	return (uint64_t)m ^ (uint64_t)(m >> 64);
}

static inline uint64_t end_hash(const uint8_t addr[16], uint16_t port)
{
	uint64_t hi, lo;

	memcpy(&hi, addr, 8);
	memcpy(&lo, addr + 8, 8);
	return fold(lo ^ seed[0], hi ^ seed[1] ^ (uint64_t)port << 32);
}

uint32_t flow_hash(const struct flow_key *key)
{
	/* A sum, so that both sides get the same. */
	uint64_t h = end_hash(key->local, key->lport) + end_hash(key->remote, key->rport);

	h = fold(h ^ seed[2], ((uint64_t)key->zone << 8 | key->proto) ^ seed[3]);
	return (uint32_t)(h ^ h >> 32);
}
