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
static inline uint64_t mapped_v4(const uint8_t *from)
{
	uint32_t addr;

	memcpy(&addr, from, 4);
	return htole64((uint64_t)le32toh(addr) << 32 | 0xffff0000u);
}

/* An address as two words. */
static inline void set_addr(uint8_t to[16], uint64_t hi, uint64_t lo)
{
	memcpy(to, &hi, 8);
	memcpy(to + 8, &lo, 8);
}

/* The last word of a key. */
static inline void set_tail(struct flow_key *key, uint16_t lport, uint16_t rport, uint8_t proto,
			    uint16_t zone)
{
	const uint64_t le =
		(uint64_t)zone << 48 | (uint64_t)proto << 32 | (uint64_t)rport << 16 | lport;
	const uint64_t be =
		(uint64_t)lport << 48 | (uint64_t)rport << 32 | (uint64_t)proto << 24 | zone;
	const uint64_t word = htole16(1) == 1 ? le : be;

	static_assert(offsetof(struct flow_key, lport) == 32 && sizeof(*key) == 40, "one word");
	memcpy((uint8_t *)key + 32, &word, 8);
}

/*
 * An IPv6 packet with addresses that are IPv4's: nothing honest sends it (Linux drops it in
 * ip6_rcv_core()), and it would be taken for an IPv4 connection's.
 */
bool flow_is_disguised(const struct pkt *pkt)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	return pkt->l3 == PKT_L3_IPV6 && (!memcmp(pkt->hdr + pkt->src_off, mapped, 12) ||
					  !memcmp(pkt->hdr + pkt->dst_off, mapped, 12));
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

	if (pkt->l3 == PKT_L3_OTHER || (pkt->hdr[0] & 1) || flow_is_disguised(pkt))
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
		set_addr(key->local, 0, mapped_v4(pkt->hdr + pkt->src_off));
		set_addr(key->remote, 0, mapped_v4(pkt->hdr + pkt->dst_off));
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

static inline uint64_t end_hash(uint64_t hi, uint64_t lo, uint16_t port)
{
	return fold(lo ^ seed[0], hi ^ seed[1] ^ (uint64_t)port << 32);
}

/* @ends: a sum, so that both sides get the same. */
static inline uint32_t hash_of(uint64_t ends, uint16_t zone, uint8_t proto)
{
	uint64_t h = fold(ends ^ seed[2], ((uint64_t)zone << 8 | proto) ^ seed[3]);

	return (uint32_t)(h ^ h >> 32);
}

uint32_t flow_hash(const struct flow_key *key)
{
	return hash_of(end_hash(flow_key_word(key, 0), flow_key_word(key, 1), key->lport) +
			       end_hash(flow_key_word(key, 2), flow_key_word(key, 3), key->rport),
		       key->zone, key->proto);
}

bool flow_key_hash_from(struct flow_key *key, uint32_t *hash, const struct pkt *pkt, uint16_t zone)
{
	const uint8_t *h = pkt->hdr;
	uint16_t lport, rport;
	uint64_t local, remote;

	if (unlikely(pkt->l3 != PKT_L3_IPV4 || pkt->fragment || (h[0] & 1) ||
		     (pkt->l4 != PKT_L4_TCP && pkt->l4 != PKT_L4_UDP))) {
		if (!flow_key_from(key, pkt, zone))
			return false;
		*hash = flow_hash(key);
		return true;
	}
	/* The usual kind: what flow_key_from() and flow_hash() do, in registers. */
	local = mapped_v4(h + pkt->src_off);
	remote = mapped_v4(h + pkt->dst_off);
	lport = be16_load(h + pkt->l4_off);
	rport = be16_load(h + pkt->l4_off + 2);
	set_addr(key->local, 0, local);
	set_addr(key->remote, 0, remote);
	set_tail(key, lport, rport, pkt->l4_proto, zone);
	*hash = hash_of(end_hash(0, local, lport) + end_hash(0, remote, rport), zone,
			pkt->l4_proto);
	return true;
}
