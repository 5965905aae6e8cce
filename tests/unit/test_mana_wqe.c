/* SPDX-License-Identifier: BSD-2-Clause */
/* Claims about emulator/mana/wqe: what a work queue entry's bytes mean, and which mean nothing. */
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

static void head(uint8_t b[8], uint32_t n_sge, uint32_t oob, uint32_t more)
{
	le32_store(b, 0);
	le32_store(b + 4, n_sge | oob / 4 << GDMA_WQE_INLINE_OOB_SIZE_SHIFT | more);
}

/* Linux mana_gd_post_work_request(): ALIGN(8 + oob + 16 * n, 32). */
static void sizes_are_linuxs(void **state)
{
	const struct {
		uint32_t n_sge, oob, size;
	} good[] = {{1, 8, 32},	 {2, 8, 64},   {1, 24, 64},  {2, 24, 64},
		    {3, 24, 96}, {30, 8, 512}, {29, 24, 512}};
	struct mana_wqe w;
	uint8_t b[8];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		head(b, good[i].n_sge, good[i].oob, 0);
		assert_int_equal(wqe_parse(b, 4096, GDMA_SQ, &w), WQE_OK);
		assert_int_equal(w.size, good[i].size);
		assert_int_equal(w.n_sge, good[i].n_sge);
		assert_int_equal(w.sgl_off, 8 + good[i].oob);
	}
	head(b, 15, 8, 0);
	assert_int_equal(wqe_parse(b, 4096, GDMA_RQ, &w), WQE_OK);
	assert_int_equal(w.size, 256);
}

static void malformed_entries_are_told_with_their_size(void **state)
{
	struct mana_wqe w;
	uint8_t b[8];

	(void)state;
	head(b, 0, 8, 0);
	assert_int_equal(wqe_parse(b, 4096, GDMA_SQ, &w), WQE_NO_SGE);
	assert_int_equal(w.size, 32);
	head(b, 31, 24, 0);
	assert_int_equal(wqe_parse(b, 4096, GDMA_SQ, &w), WQE_TOO_BIG);
	head(b, 16, 8, 0);
	assert_int_equal(wqe_parse(b, 4096, GDMA_RQ, &w), WQE_TOO_BIG);
	head(b, 1, 24, 0); /* a receive entry has 8 bytes */
	assert_int_equal(wqe_parse(b, 4096, GDMA_RQ, &w), WQE_BAD_OOB);
	for (uint32_t oob = 0; oob <= 28; oob += 4) {
		if (oob == 8 || oob == 24)
			continue;
		head(b, 1, oob, 0);
		assert_int_equal(wqe_parse(b, 4096, GDMA_SQ, &w), WQE_BAD_OOB);
	}
	head(b, 1, 8, GDMA_WQE_SGL_DIRECT);
	assert_int_equal(wqe_parse(b, 4096, GDMA_SQ, &w), WQE_BAD_OOB);
	/* Longer than what was posted: all of that is consumed. */
	head(b, 30, 8, 0);
	assert_int_equal(wqe_parse(b, 96, GDMA_SQ, &w), WQE_CUT);
	assert_int_equal(w.size, 96);
}

static void any_bytes_give_a_size_that_gets_on(void **state)
{
	struct rng rng = {.s = 11};
	struct mana_wqe w;
	uint8_t b[8];

	(void)state;
	for (int i = 0; i < 100000; i++) {
		uint32_t avail = (rng_below(&rng, 512) + 1) * 32;
		enum wqe_err err;

		rng_fill(&rng, b, sizeof(b));
		err = wqe_parse(b, avail, i & 1 ? GDMA_SQ : GDMA_RQ, &w);
		assert_true(w.size >= 32 && w.size <= avail && w.size % 32 == 0);
		if (err == WQE_OK)
			assert_true(w.sgl_off + w.n_sge * 16u <= w.size &&
				    w.size <= GDMA_MAX_SQE_SIZE);
	}
}

/* ---- Transmit OOB -------------------------------------------------------------------------- */

static enum mana_cqe_type oob(uint32_t s0, uint32_t s1, uint32_t l0, uint32_t l1, bool large,
			      uint16_t unit, struct mana_tx_meta *meta)
{
	uint8_t b[24] = {0};
	struct mana_wqe w = {
		.oob_size = large ? 24 : 8, .oob_in_sgl = unit != 0, .data_unit = unit};

	le32_store(b, s0);
	le32_store(b + 4, s1);
	le32_store(b + 8, l0);
	le32_store(b + 12, l1);
	return wqe_tx_oob(b, &w, meta);
}

static void checksum_bits_become_debts(void **state)
{
	struct mana_tx_meta m;

	(void)state;
	assert_int_equal(oob(0x123 << 8, 0x42u << 24, 0, 0, false, 0, &m), CQE_TX_OKAY);
	assert_int_equal(m.flags, 0);
	assert_int_equal(m.vcq, 0x123);
	assert_int_equal(m.vp_offset, 0x42);
	oob(MANA_TX_S_COMP_TCP_CSUM | MANA_TX_S_IS_OUTER_IPV4, 34, 0, 0, false, 0, &m);
	assert_int_equal(m.flags, PKT_CSUM_L4);
	oob(MANA_TX_S_COMP_UDP_CSUM | MANA_TX_S_IS_OUTER_IPV6, 0, 0, 0, false, 0, &m);
	assert_int_equal(m.flags, PKT_CSUM_L4);
	oob(MANA_TX_S_COMP_IPHDR_CSUM | MANA_TX_S_IS_OUTER_IPV4, 0, 0, 0, false, 0, &m);
	assert_int_equal(m.flags, PKT_CSUM_IP);
	/* Linux sets it on IPv6 TSO too: there is no such checksum. */
	oob(MANA_TX_S_COMP_IPHDR_CSUM | MANA_TX_S_IS_OUTER_IPV6, 0, 0, 0, false, 0, &m);
	assert_int_equal(m.flags, 0);
	assert_int_equal(
		oob(MANA_TX_S_COMP_TCP_CSUM | MANA_TX_S_COMP_UDP_CSUM, 0, 0, 0, false, 0, &m),
		CQE_TX_INVALID_OOB);
}

static void a_data_unit_is_segmentation(void **state)
{
	const uint32_t tso = MANA_TX_S_COMP_IPHDR_CSUM | MANA_TX_S_COMP_TCP_CSUM;
	struct mana_tx_meta m;

	(void)state;
	assert_int_equal(oob(tso | MANA_TX_S_IS_OUTER_IPV4, 34, 0, 0, false, 1448, &m),
			 CQE_TX_OKAY);
	assert_int_equal(m.flags, PKT_GSO_TCP | PKT_CSUM_IP | PKT_CSUM_L4);
	assert_int_equal(oob(tso | MANA_TX_S_IS_OUTER_IPV6, 54, 0, 0, false, 1428, &m),
			 CQE_TX_OKAY);
	assert_int_equal(m.flags, PKT_GSO_TCP | PKT_CSUM_L4);
	assert_int_equal(
		oob(MANA_TX_S_COMP_UDP_CSUM | MANA_TX_S_IS_OUTER_IPV4, 34, 0, 0, false, 1000, &m),
		CQE_TX_OKAY);
	assert_int_equal(m.flags, PKT_GSO_UDP | PKT_CSUM_IP | PKT_CSUM_L4);
	/* Cut without a checksum to go with it. */
	assert_int_equal(oob(MANA_TX_S_IS_OUTER_IPV4, 34, 0, 0, false, 1000, &m),
			 CQE_TX_INVALID_OOB);
}

static void the_long_format_carries_the_tag(void **state)
{
	struct mana_tx_meta m;

	(void)state;
	assert_int_equal(oob(MANA_LONG_PKT_FMT, 0,
			     MANA_TX_L_INJECT_VLAN_PRI_TAG | 5 << MANA_TX_L_PCP_SHIFT |
				     MANA_TX_L_DEI | 0x123u << MANA_TX_L_VLAN_ID_SHIFT,
			     0x234 << MANA_TX_L_VP_OFFSET_SHIFT, true, 0, &m),
			 CQE_TX_OKAY);
	assert_int_equal(m.flags, PKT_VLAN);
	assert_int_equal(m.vlan_tci, 5 << 13 | 0x1000 | 0x123);
	assert_int_equal(m.vp_offset, 0x234);
	/* Without the inject bit the tag's fields mean nothing. */
	oob(MANA_LONG_PKT_FMT, 0, 0x123u << MANA_TX_L_VLAN_ID_SHIFT, 0, true, 0, &m);
	assert_int_equal(m.flags, 0);
	assert_int_equal(oob(MANA_LONG_PKT_FMT, 0, 0, 0, false, 0, &m), CQE_TX_INVALID_OOB);
	assert_int_equal(oob(2, 0, 0, 0, true, 0, &m), CQE_TX_INVALID_OOB);
	assert_int_equal(oob(3, 0, 0, 0, true, 0, &m), CQE_TX_INVALID_OOB);
	assert_int_equal(oob(MANA_LONG_PKT_FMT, 0, MANA_TX_L_IS_ENCAP, 0, true, 0, &m),
			 CQE_TX_INVALID_OOB);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_are_linuxs),
		cmocka_unit_test(malformed_entries_are_told_with_their_size),
		cmocka_unit_test(any_bytes_give_a_size_that_gets_on),
		cmocka_unit_test(checksum_bits_become_debts),
		cmocka_unit_test(a_data_unit_is_segmentation),
		cmocka_unit_test(the_long_format_carries_the_tag),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
