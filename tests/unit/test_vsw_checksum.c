/* SPDX-License-Identifier: BSD-2-Clause */
/* Claims about vswitch/checksum.c: the sum is RFC 1071's, and the copy is a copy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/wire.h"
#include "tests/lib/rng.h"
#include "vswitch/checksum.h"

/* Byte by byte, in network order. */
static uint16_t slow(const uint8_t *p, size_t len)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum += i & 1 ? p[i] : (uint64_t)p[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static uint16_t wire_order(uint64_t sum)
{
	uint16_t v = cksum_fold(sum);

	return be16_load(&v);
}

static void the_example_of_rfc_1071_comes_out(void **state)
{
	/* RFC 1071, section 3: "the sum is ddf2" */
	static const uint8_t data[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
	uint8_t to[8];

	(void)state;
	assert_int_equal(wire_order(cksum_short(0, data, 8)), 0xddf2);
	for (unsigned int i = 0; i < cksum_n_impls; i++) {
		if (!cksum_impls[i].usable())
			continue;
		assert_int_equal(wire_order(cksum_impls[i].add(0, data, 8)), 0xddf2);
		assert_int_equal(wire_order(cksum_impls[i].copy(0, to, data, 8)), 0xddf2);
		assert_memory_equal(to, data, 8);
	}
}

static void a_published_ipv4_header_has_its_sum(void **state)
{
	/* Wikipedia, "Internet checksum": sum field b861 in this header. */
	static const uint8_t ip[] = {0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11,
				     0x00, 0x00, 0xc0, 0xa8, 0x00, 0x01, 0xc0, 0xa8, 0x00, 0xc7};

	(void)state;
	assert_int_equal((uint16_t)~wire_order(cksum_short(0, ip, sizeof(ip))), 0xb861);
	assert_int_equal((uint16_t)~wire_order(cksum->add(0, ip, sizeof(ip))), 0xb861);
}

static void every_length_and_alignment_is_summed_and_copied(void **state)
{
	static uint8_t src[1024], dst[1024];
	struct rng r = {.s = 1};

	(void)state;
	rng_fill(&r, src, sizeof(src));
	for (unsigned int k = 0; k < cksum_n_impls; k++) {
		const struct cksum_impl *c = &cksum_impls[k];

		if (!c->usable())
			continue;
		for (unsigned int len = 0; len <= 400; len++) {
			unsigned int from = len % 33, to = (len / 7) % 31;
			uint16_t want = slow(src + from, len);

			memset(dst, 0xa5, sizeof(dst));
			assert_int_equal(wire_order(c->add(0, src + from, len)), want);
			assert_int_equal(wire_order(c->copy(0, dst + to, src + from, len)), want);
			assert_memory_equal(dst + to, src + from, len);
			/* Nothing beside it was touched. */
			assert_true(to == 0 || dst[to - 1] == 0xa5);
			assert_int_equal(dst[to + len], 0xa5);
		}
	}
}

static void a_sum_made_in_parts_is_the_sum_of_the_whole(void **state)
{
	static uint8_t src[600], dst[600];
	struct rng r = {.s = 2};

	(void)state;
	rng_fill(&r, src, sizeof(src));
	for (unsigned int cut = 0; cut <= 300; cut++) {
		uint64_t sum = cksum->copy(0, dst, src, cut);
		uint64_t rest = cksum->copy(0, dst + cut, src + cut, sizeof(src) - cut);

		sum = cksum_plus(sum, cut & 1 ? cksum_odd(rest) : rest);
		assert_int_equal(wire_order(sum), slow(src, sizeof(src)));
		assert_memory_equal(src, dst, sizeof(src));
	}
}

static void carries_are_not_lost(void **state)
{
	size_t len = 300 * 1024;
	uint8_t *ff = malloc(len);

	(void)state;
	memset(ff, 0xff, len);
	for (unsigned int k = 0; k < cksum_n_impls; k++) {
		if (!cksum_impls[k].usable())
			continue;
		assert_int_equal(wire_order(cksum_impls[k].add(0, ff, len)), 0xffff);
		assert_int_equal(wire_order(cksum_impls[k].add(UINT64_MAX, ff, len - 1)),
				 slow(ff, len - 1));
	}
	assert_int_equal(cksum_fold(UINT64_MAX), 0xffff);
	/* ffff + 0001 + ffff: two carries round the end. */
	assert_int_equal(cksum_fold(0xffff0001ffffull), 1);
	free(ff);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_example_of_rfc_1071_comes_out),
		cmocka_unit_test(a_published_ipv4_header_has_its_sum),
		cmocka_unit_test(every_length_and_alignment_is_summed_and_copied),
		cmocka_unit_test(a_sum_made_in_parts_is_the_sum_of_the_whole),
		cmocka_unit_test(carries_are_not_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
