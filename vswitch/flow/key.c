/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the keys of connections: which packets have one, and their hash. */
#include <assert.h>
#include <endian.h>
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

/*
 * Keys are written in words of eight bytes, which is how they are read: a load of what several
 * smaller stores have just written waits for all of them to leave the store buffer.
 */
static inline void map_v4(uint8_t to[16], const uint8_t *from)
{
	uint64_t hi = 0, lo;
	uint32_t addr;

	memcpy(&addr, from, 4);
	lo = htole64((uint64_t)le32toh(addr) << 32 | 0xffff0000u);
	memcpy(to, &hi, 8);
	memcpy(to + 8, &lo, 8);
}

/* The last word of a key. */
static inline void set_tail(struct flow_key *key, uint16_t lport, uint16_t rport, uint8_t proto,
			    uint16_t zone)
{
	const uint64_t le = (uint64_t)zone << 48 | (uint64_t)proto << 32 | (uint64_t)rport << 16 |
			    lport;
	const uint64_t be = (uint64_t)lport << 48 | (uint64_t)rport << 32 | (uint64_t)proto << 24 |
			    zone;
	const uint64_t word = htole16(1) == 1 ? le : be;

	static_assert(offsetof(struct flow_key, lport) == 32 && sizeof(*key) == 40, "one word");
	memcpy((uint8_t *)key + 32, &word, 8);
}

/* Echo requests and replies; the others are too rare to have a record. */
static bool is_echo(const struct pkt *pkt)
{
	uint8_t type = pkt->hdr[pkt->l4_off];

	return pkt->l3 == PKT_L3_IPV4 ? type == 0 || type == 8 : type == 128 || type == 129;
}

bool flow_key_from(struct flow_key *key, const struct pkt *pkt, uint16_t zone)
{
	const uint8_t *l4 = pkt->hdr + pkt->l4_off;
	enum pkt_l4 kind = pkt_l4_in_sight(pkt);
	uint16_t lport = 0, rport = 0;

	if (pkt->l3 == PKT_L3_OTHER || (pkt->hdr[0] & 1))
		return false;
	switch (kind) {
	case PKT_L4_TCP:
	case PKT_L4_UDP:
		lport = be16_load(l4);
		rport = be16_load(l4 + 2);
		break;
	case PKT_L4_ICMP:
	case PKT_L4_ICMPV6:
		if (!is_echo(pkt))
			return false;
		lport = rport = be16_load(l4 + 4);
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
	set_tail(key, lport, rport, pkt->l4_proto, zone);
	return true;
}

void flow_key_turn(struct flow_key *to, const struct flow_key *from)
{
	memcpy(to->local, from->remote, 16);
	memcpy(to->remote, from->local, 16);
	set_tail(to, from->rport, from->lport, from->proto, from->zone);
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
