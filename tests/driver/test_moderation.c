/* SPDX-License-Identifier: BSD-2-Clause */
/* Interrupt moderation: not too often, and never lost. */
#include "emulator/mana/mana_internal.h"
#include "tests/driver/rig.h"

static const struct {
	enum mana_moderation mode;
	uint64_t gap_ns;
} fixed[] = {
	{MANA_MODERATION_LOW, 20000},
	{MANA_MODERATION_MEDIUM, 64000},
	{MANA_MODERATION_HIGH, 200000},
};

/* A device without packets and one event queue, armed. */
static struct rig *one_eq(enum mana_moderation mode, struct drv_queue *eq)
{
	const struct rig_conf c = {.level = RIG_DEV,
				   .lab = {.n_devs = 1, .conf = {.moderation = mode}}};
	struct rig *r = rig_start(&c);

	assert_int_equal(drv_eq_create(&r->d[0], eq, 4096, 2), 0);
	return r;
}

static uint64_t put_off(struct rig *r, unsigned int dev)
{
	struct mana_info info;

	return lab_info(&r->lab, dev, &info)->irqs_put_off;
}

/* Reads what is there and arms. */
static void read_and_arm(struct drv_queue *eq)
{
	struct drv_event ev;

	while (drv_eq_read(eq, &ev) == 1)
		assert_int_equal(ev.type, GDMA_EQE_TEST_EVENT);
	drv_eq_ring(eq, true);
}

static void two_interrupts_are_no_closer_than_the_mode_says(void **state)
{
	(void)state;
	for (unsigned int m = 0; m < ARRAY_SIZE(fixed); m++) {
		struct drv_queue eq;
		struct rig *r = one_eq(fixed[m].mode, &eq);
		struct drv *d = &r->d[0];
		uint64_t last = 0, start;

		for (unsigned int i = 0; i < 200; i++) {
			start = now_ns();
			assert_int_equal(drv_test_eqe(d, eq.id), 0);
			assert_true(drv_irq_wait(d, eq.msix, WAIT_MS));
			/* The one before came after @last, this one has come by now. */
			assert_true(now_ns() - last >= fixed[m].gap_ns);
			last = start;
			read_and_arm(&eq);
		}
		drv_eq_destroy(&eq);
		rig_stop(r);
	}
}

static void without_moderation_nothing_is_put_off(void **state)
{
	struct drv_queue eq;
	struct rig *r = one_eq(MANA_MODERATION_OFF, &eq);
	struct mana_conf bad = {.name = "x", .n_vports = 1, .moderation = MANA_N_MODERATIONS};

	(void)state;
	for (unsigned int i = 0; i < 200; i++) {
		assert_int_equal(drv_test_eqe(&r->d[0], eq.id), 0);
		assert_true(drv_irq_wait(&r->d[0], eq.msix, WAIT_MS));
		read_and_arm(&eq);
	}
	assert_int_equal(put_off(r, 0), 0);
	assert_int_equal(mana_moderation_set(r->lab.mana[0], MANA_N_MODERATIONS), -EINVAL);
	assert_null(mana_new(r->lab.worker[0], &bad));
	drv_eq_destroy(&eq);
	rig_stop(r);
}

/* ThreadSanitizer's build needs longer for a request than any mode puts an interrupt off. */
#ifdef __SANITIZE_THREAD__
#define NEVER_IN_TIME true
#define TRIES	      50
#else
#define NEVER_IN_TIME false
#define TRIES	      20000
#endif

static void a_driver_that_has_seen_everything_is_not_interrupted(void **state)
{
	struct drv_queue eq;
	struct rig *r = one_eq(MANA_MODERATION_HIGH, &eq);
	struct drv *d = &r->d[0];
	unsigned int quiet = 0;

	(void)state;
	/* It depends on the machine how often the driver is in time. */
	for (unsigned int i = 0; i < TRIES && quiet < 3; i++) {
		uint64_t was;

		drv_test_eqe(d, eq.id);
		assert_true(drv_irq_wait(d, eq.msix, WAIT_MS));
		read_and_arm(&eq);
		was = put_off(r, 0);
		drv_test_eqe(d, eq.id);
		/* Polls: reads and arms before the interrupt is due. */
		read_and_arm(&eq);
		drv_barrier(d);
		if (put_off(r, 0) == was || drv_irq_take(d, eq.msix))
			continue;
		if (!drv_irq_wait(d, eq.msix, 2))
			quiet++;
	}
	assert_true(quiet == 3 || NEVER_IN_TIME);
	/* It is armed: the next event is told. */
	drv_test_eqe(d, eq.id);
	assert_true(drv_irq_wait(d, eq.msix, WAIT_MS));
	drv_eq_destroy(&eq);
	rig_stop(r);
}

static void an_event_queue_may_go_with_its_interrupt_put_off(void **state)
{
	struct drv_queue eq;
	struct rig *r = one_eq(MANA_MODERATION_HIGH, &eq);
	struct drv *d = &r->d[0];

	(void)state;
	for (unsigned int i = 0; i < 50; i++) {
		drv_test_eqe(d, eq.id);
		drv_eq_ring(&eq, true);
		drv_test_eqe(d, eq.id);
		drv_eq_destroy(&eq);
		assert_int_equal(drv_eq_create(d, &eq, 4096, 2), 0);
	}
	assert_int_equal(drv_flr(d), 0);
	drv_free(d, eq.gpa, eq.size);
	rig_forget(r, 0);
	rig_up(r, 0, RIG_DEV);
	rig_hwc_alive(r, 0);
	rig_stop(r);
}

/* ---- Traffic that is seen only by interrupts ------------------------------------------------ */

/* As Linux: the interrupt, the EQ's entries, then the CQs until they are empty, then arms. */
static void on_interrupt(struct drv_vport *vp, uint32_t *got)
{
	struct drv_queue *eq = &vp->eq[0];
	struct drv_event ev;
	struct drv_rx rx;

	while (drv_eq_read(eq, &ev) == 1)
		assert_int_equal(ev.type, GDMA_EQE_COMPLETION);
	while (drv_rx_poll(&vp->rx[0], &rx) == 1)
		(*got)++;
	drv_cq_ring(&vp->rx[0].cq, true);
	drv_eq_ring(eq, true);
}

static void everything_is_told(enum mana_moderation mode, bool change, unsigned int n_workers)
{
	const struct rig_conf c = {.lab = {.n_workers = n_workers, .conf = {.moderation = mode}}};
	struct rig *r = rig_start(&c);
	struct frame_spec s = rig_spec(r, 0, 1, 4, IPPROTO_UDP, 64);
	struct drv_txq *q = &r->vp[0].tx[0];
	struct rng rng = {.s = 3};
	uint32_t sent = 0, got = 0;

	frame_build(&r->f, &s);
	for (unsigned int round = 0; round < 300; round++) {
		uint32_t n = 1 + rng_below(&rng, 40);

		if (change)
			assert_int_equal(mana_moderation_set(r->lab.mana[1],
							     rng_below(&rng, MANA_N_MODERATIONS)),
					 0);
		for (uint32_t i = 0; i < n; i++) {
			while (drv_tx_frame(q, r->f.data, r->f.len, NULL) == -EBUSY)
				assert_int_equal(drv_tx_wait(q, WAIT_MS), CQE_TX_OKAY);
			if (!rng_below(&rng, 4))
				drv_tx_ring(q);
		}
		drv_tx_ring(q);
		sent += n;
		/* No look at the queues without an interrupt. */
		while (got < sent) {
			assert_true(drv_irq_wait(&r->d[1], r->vp[1].eq[0].msix, WAIT_MS));
			on_interrupt(&r->vp[1], &got);
		}
		assert_int_equal(got, sent);
	}
	if (mode == MANA_MODERATION_HIGH)
		assert_true(put_off(r, 1) > 0);
	while (q->pend_head != q->pend_tail)
		assert_int_equal(drv_tx_wait(q, WAIT_MS), CQE_TX_OKAY);
	rig_stop(r);
}

static void the_last_event_gets_its_interrupt(void **state)
{
	(void)state;
	for (unsigned int n = 1; n <= 2; n++) {
		everything_is_told(MANA_MODERATION_LOW, false, n);
		everything_is_told(MANA_MODERATION_HIGH, false, n);
		everything_is_told(MANA_MODERATION_ADAPTIVE, false, n);
	}
}

static void the_mode_may_change_at_any_time(void **state)
{
	(void)state;
	for (unsigned int n = 1; n <= 2; n++)
		everything_is_told(MANA_MODERATION_OFF, true, n);
}

static void adaptive_goes_by_the_rate(void **state)
{
	(void)state;
	assert_int_equal(moderate_gap(0), 0);
	assert_int_equal(moderate_gap(20000), 0);
	assert_int_equal(moderate_gap(20001), 20000);
	assert_int_equal(moderate_gap(100000), 20000);
	assert_int_equal(moderate_gap(100001), 64000);
	assert_int_equal(moderate_gap(400000), 64000);
	assert_int_equal(moderate_gap(400001), 200000);
	assert_int_equal(moderate_gap(UINT64_MAX), 200000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_interrupts_are_no_closer_than_the_mode_says),
		cmocka_unit_test(without_moderation_nothing_is_put_off),
		cmocka_unit_test(a_driver_that_has_seen_everything_is_not_interrupted),
		cmocka_unit_test(an_event_queue_may_go_with_its_interrupt_put_off),
		cmocka_unit_test(the_last_event_gets_its_interrupt),
		cmocka_unit_test(the_mode_may_change_at_any_time),
		cmocka_unit_test(adaptive_goes_by_the_rate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
