/* SPDX-License-Identifier: BSD-2-Clause */
/* Claims about emulator/mana/rss: the adapter's hash is the published one. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "emulator/mana/mana_internal.h"
#include "tests/lib/rng.h"
#include "tests/lib/toeplitz.h"

static struct mana_rss rss;

/* A parsed packet with these addresses and ports. */
static struct pkt packet(const struct toeplitz_vector *v, enum pkt_l4 l4)
{
	bool v4 = v->ip == 4;
	uint32_t n = v4 ? 4 : 16;
	struct pkt pkt = {
		.l3 = v4 ? PKT_L3_IPV4 : PKT_L3_IPV6,
		.l4 = l4,
		.l3_off = 14,
		.l4_off = v4 ? 34 : 54,
		.hdr_len = 100,
	};

	memcpy(pkt.hdr + 14 + (v4 ? 12 : 8), v->saddr, n);
	memcpy(pkt.hdr + 14 + (v4 ? 16 : 24), v->daddr, n);
	be16_store(pkt.hdr + pkt.l4_off, v->sport);
	be16_store(pkt.hdr + pkt.l4_off + 2, v->dport);
	return pkt;
}

static void the_published_vectors_come_out(void **state)
{
	(void)state;
	rss_set_key(&rss, toeplitz_ms_key);
	for (size_t i = 0; i < toeplitz_n_ms; i++) {
		const struct toeplitz_vector *v = &toeplitz_ms[i];
		bool v4 = v->ip == 4;
		struct pkt pkt = packet(v, PKT_L4_TCP);
		uint32_t hash;

		assert_int_equal(rss_hash_pkt(&rss, &pkt, &hash),
				 v4 ? NDIS_HASH_TCP_IPV4 : NDIS_HASH_TCP_IPV6);
		assert_int_equal(hash, v->hash_l4);
		pkt.l4 = PKT_L4_UDP;
		assert_int_equal(rss_hash_pkt(&rss, &pkt, &hash),
				 v4 ? NDIS_HASH_UDP_IPV4 : NDIS_HASH_UDP_IPV6);
		assert_int_equal(hash, v->hash_l4);
		pkt.l4 = PKT_L4_ICMP;
		assert_int_equal(rss_hash_pkt(&rss, &pkt, &hash),
				 v4 ? NDIS_HASH_IPV4 : NDIS_HASH_IPV6);
		assert_int_equal(hash, v->hash_ip);
	}
}

static void a_fragment_and_a_cut_header_have_no_ports(void **state)
{
	struct pkt pkt = packet(&toeplitz_ms[0], PKT_L4_TCP);
	uint32_t hash;

	(void)state;
	rss_set_key(&rss, toeplitz_ms_key);
	pkt.fragment = true;
	assert_int_equal(rss_hash_pkt(&rss, &pkt, &hash), NDIS_HASH_IPV4);
	assert_int_equal(hash, toeplitz_ms[0].hash_ip);
	pkt.fragment = false;
	pkt.hdr_len = 37;
	assert_int_equal(rss_hash_pkt(&rss, &pkt, &hash), NDIS_HASH_IPV4);
	pkt.hdr_len = 33;
	assert_int_equal(rss_hash_pkt(&rss, &pkt, &hash), 0);
	assert_int_equal(hash, 0);
}

static void what_is_not_ip_has_no_hash(void **state)
{
	struct pkt pkt = {.l3 = PKT_L3_OTHER, .hdr_len = 100};
	uint32_t hash = 7;

	(void)state;
	assert_int_equal(rss_hash_pkt(&rss, &pkt, &hash), 0);
	assert_int_equal(hash, 0);
}

static void any_key_and_input_agree_with_the_bitwise_hash(void **state)
{
	struct rng rng = {.s = 3};
	uint8_t key[MANA_HASH_KEY_SIZE], in[RSS_INPUT_MAX];

	(void)state;
	for (int i = 0; i < 500; i++) {
		uint32_t len = rng_below(&rng, RSS_INPUT_MAX) + 1, cut = rng_below(&rng, len);

		rng_fill(&rng, key, sizeof(key));
		rng_fill(&rng, in, sizeof(in));
		rss_set_key(&rss, key);
		assert_int_equal(rss_hash(&rss, in, 0, len), toeplitz(key, in, len));
		/* In two parts: linear. */
		assert_int_equal(rss_hash(&rss, in, 0, cut) ^
					 rss_hash(&rss, in + cut, cut, len - cut),
				 toeplitz(key, in, len));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_published_vectors_come_out),
		cmocka_unit_test(a_fragment_and_a_cut_header_have_no_ports),
		cmocka_unit_test(what_is_not_ip_has_no_hash),
		cmocka_unit_test(any_key_and_input_agree_with_the_bitwise_hash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
