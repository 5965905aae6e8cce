/* SPDX-License-Identifier: BSD-2-Clause */
/* Claims about emulator/mana/bw: what passes in a time is the rate times the time. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "emulator/mana/mana_internal.h"

/* Sends @frame bytes whenever allowed, sleeping as told, for @ns. Bytes that passed. */
static uint64_t run(struct mana_bw *bw, uint64_t mbps, uint32_t frame, uint64_t ns)
{
	uint64_t now = 1000000, end = now + ns, sent = 0;

	bw_set(bw, mbps, now);
	while (now < end) {
		if (bw_refill(bw, now) > 0) {
			bw->tokens -= frame;
			sent += frame;
		} else {
			uint64_t delay = bw_delay(bw);

			assert_true(delay > 0);
			now += delay;
		}
	}
	return sent;
}

static void the_rate_is_kept_at_every_frame_size(void **state)
{
	const uint64_t rates[] = {1, 10, 100, 1000, 10000, 200000};
	const uint32_t frames[] = {60, 1514, 9014, 65536};
	struct mana_bw bw;

	(void)state;
	for (size_t r = 0; r < ARRAY_SIZE(rates); r++) {
		for (size_t f = 0; f < ARRAY_SIZE(frames); f++) {
			uint64_t ns = rates[r] > 1000 ? NSEC_PER_SEC / 50 : NSEC_PER_SEC * 2;
			uint64_t sent = run(&bw, rates[r], frames[f], ns);
			uint64_t want = rates[r] * 125 * (ns / 1000) / 1000;
			/* The bucket, one frame in debt, and the last sleep. */
			uint64_t slack = (uint64_t)bw.cap + frames[f];

			assert_true(sent <= want + 2 * slack);
			assert_true(sent + 2 * slack >= want);
		}
	}
}

static void fractions_of_a_byte_are_not_lost(void **state)
{
	struct mana_bw bw;
	uint64_t now = 0;

	(void)state;
	bw_set(&bw, 1, 0); /* 0.000125 bytes per ns */
	bw.tokens = 0;
	for (int i = 0; i < 1000000; i++)
		bw_refill(&bw, now += 100);
	/* 100 ms at 125000 bytes per second, all of it in steps of 0.0125 bytes. */
	assert_in_range(bw.tokens, 12400, 12500);
}

static void a_long_rest_earns_one_bucket(void **state)
{
	struct mana_bw bw;

	(void)state;
	bw_set(&bw, 1000, 0);
	bw.tokens = -1000000;
	assert_int_equal(bw_refill(&bw, 1000 * NSEC_PER_SEC), bw.cap);
	bw_set(&bw, 4000000, 0);
	bw.tokens = -1;
	assert_int_equal(bw_refill(&bw, UINT64_MAX), bw.cap);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_rate_is_kept_at_every_frame_size),
		cmocka_unit_test(fractions_of_a_byte_are_not_lost),
		cmocka_unit_test(a_long_rest_earns_one_bucket),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
