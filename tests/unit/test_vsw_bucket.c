/* SPDX-License-Identifier: BSD-2-Clause */
/* Claims about vswitch/bucket: what passes in a time is the rate times the time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "vswitch/bucket.h"

/* Sends @frame bytes whenever allowed, sleeping as told, for @ns. Bytes that passed. */
static uint64_t run(struct bucket *b, uint64_t rate, uint32_t frame, uint64_t ns)
{
	uint64_t now = 1000000, end = now + ns, sent = 0;

	bucket_set(b, rate, (int64_t)MAX(rate / 1000, 16384u), now);
	while (now < end) {
		if (bucket_refill(b, now) > 0) {
			b->tokens -= frame;
			sent += frame;
		} else {
			uint64_t delay = bucket_wait(b, b->cap / 2);

			assert_true(delay > 0);
			now += delay;
		}
	}
	return sent;
}

static void the_rate_is_kept_at_every_frame_size(void **state)
{
	const uint64_t rates[] = {1, 10, 100, 1000, 10000, 200000}; /* Mbit/s */
	const uint32_t frames[] = {60, 1514, 9014, 65536};
	struct bucket b;

	(void)state;
	for (size_t r = 0; r < ARRAY_SIZE(rates); r++) {
		for (size_t f = 0; f < ARRAY_SIZE(frames); f++) {
			uint64_t ns = rates[r] > 1000 ? NSEC_PER_SEC / 50 : NSEC_PER_SEC * 2;
			uint64_t sent = run(&b, rates[r] * 125000, frames[f], ns);
			uint64_t want = rates[r] * 125 * (ns / 1000) / 1000;
			/* The bucket, one frame in debt, and the last sleep. */
			uint64_t slack = (uint64_t)b.cap + frames[f];

			assert_true(sent <= want + 2 * slack);
			assert_true(sent + 2 * slack >= want);
		}
	}
}

static void fractions_of_a_token_are_not_lost(void **state)
{
	struct bucket b;
	uint64_t now = 0;

	(void)state;
	bucket_set(&b, 125000, 16384, 0); /* 0.000125 bytes per ns */
	b.tokens = 0;
	for (int i = 0; i < 1000000; i++)
		bucket_refill(&b, now += 100);
	/* 100 ms at 125000 bytes per second, all of it in steps of 0.0125 bytes. */
	assert_in_range(b.tokens, 12400, 12500);
}

static void a_long_rest_earns_one_bucket(void **state)
{
	struct bucket b;

	(void)state;
	bucket_set(&b, 125000000, 125000, 0);
	b.tokens = -1000000;
	assert_int_equal(bucket_refill(&b, 1000 * NSEC_PER_SEC), b.cap);
	bucket_set(&b, 500000000000, 500000000, 0);
	b.tokens = -1;
	assert_int_equal(bucket_refill(&b, UINT64_MAX), b.cap);
}

/* Two threads read the clock and come in the other order. */
static void a_clock_that_seems_to_go_back_earns_nothing(void **state)
{
	struct bucket b;

	(void)state;
	bucket_set(&b, 125000000, 125000, 1000000);
	b.tokens = 0;
	assert_int_equal(bucket_refill(&b, 999000), 0);
	assert_int_equal(bucket_refill(&b, 1000000), 0);
	assert_int_equal(bucket_refill(&b, 1001000), 125);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_rate_is_kept_at_every_frame_size),
		cmocka_unit_test(fractions_of_a_token_are_not_lost),
		cmocka_unit_test(a_long_rest_earns_one_bucket),
		cmocka_unit_test(a_clock_that_seems_to_go_back_earns_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
