/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the Toeplitz hash. The key is unfolded into a table: for each half byte of input, what
 * each of its 16 values adds (exclusive or) to the hash.
 *
 * The hash and its test vectors: "Verifying the RSS hash calculation" of Microsoft's driver
 * documentation; inputs in network order: source address, destination address, ports.
 */
#include "emulator/mana/mana_internal.h"

void rss_set_key(struct mana_rss *rss, const uint8_t key[MANA_HASH_KEY_SIZE])
{
	for (uint32_t nib = 0; nib < RSS_INPUT_MAX * 2; nib++) {
		uint32_t add[4]; /* of each input bit, highest first */

		for (uint32_t b = 0; b < 4; b++) {
			uint32_t bit = nib * 4 + b, at = bit / 8, sh = bit % 8;
			uint64_t window = 0;

			for (uint32_t i = 0; i < 5; i++)
				window = window << 8 |
					 (at + i < MANA_HASH_KEY_SIZE ? key[at + i] : 0);
			add[b] = (uint32_t)(window >> (8 - sh));
		}
		for (uint32_t v = 0; v < 16; v++)
			atomic_store_explicit(&rss->tab[nib][v],
					      (v & 8 ? add[0] : 0) ^ (v & 4 ? add[1] : 0) ^
						      (v & 2 ? add[2] : 0) ^ (v & 1 ? add[3] : 0),
					      memory_order_relaxed);
	}
}

/* Hash contribution of @len bytes that stand at byte @pos of the input. */
uint32_t rss_hash(const struct mana_rss *rss, const uint8_t *in, uint32_t pos, uint32_t len)
{
	uint32_t h = 0;

	for (uint32_t i = 0; i < len; i++, pos++) {
		h ^= atomic_load_explicit(&rss->tab[pos * 2ul][in[i] >> 4], memory_order_relaxed);
		h ^= atomic_load_explicit(&rss->tab[pos * 2ul + 1][in[i] & 0xf],
					  memory_order_relaxed);
	}
	return h;
}

uint32_t rss_hash_pkt(const struct mana_rss *rss, const struct pkt *pkt, uint32_t *hash)
{
	bool v4 = pkt->l3 == PKT_L3_IPV4;
	uint32_t addrs = v4 ? 8 : 32, off = pkt->l3_off + (v4 ? 12u : 8u);
	uint32_t type = v4 ? NDIS_HASH_IPV4 : NDIS_HASH_IPV6;

	*hash = 0;
	if (pkt->l3 == PKT_L3_OTHER || off + addrs > pkt->hdr_len)
		return 0;
	*hash = rss_hash(rss, pkt->hdr + off, 0, addrs);
	if (!pkt->fragment && (pkt->l4 == PKT_L4_TCP || pkt->l4 == PKT_L4_UDP) && pkt->l4_off &&
	    pkt->l4_off + 4u <= pkt->hdr_len) {
		*hash ^= rss_hash(rss, pkt->hdr + pkt->l4_off, addrs, 4);
		if (pkt->l4 == PKT_L4_TCP)
			type = v4 ? NDIS_HASH_TCP_IPV4 : NDIS_HASH_TCP_IPV6;
		else
			type = v4 ? NDIS_HASH_UDP_IPV4 : NDIS_HASH_UDP_IPV6;
	}
	return type;
}
