/* SPDX-License-Identifier: BSD-2-Clause */
/* The registers and the shared-memory channel: bring-up, tear-down, and everything but those. */
#include "tests/driver/rig.h"

static int setup(void **state)
{
	const struct rig_conf c = {.level = RIG_BUS, .lab = {.n_devs = 1}};

	*state = rig_start(&c);
	return 0;
}

static int teardown(void **state)
{
	rig_stop(*state);
	return 0;
}

/* Status of an establish with these frames and vector; -1 when the header is not a response. */
static int establish(struct drv *d, const uint64_t frame[4], uint16_t msix, uint32_t hdr)
{
	uint32_t last;

	assert_int_equal(
		drv_smc_write_establish(d, frame[0], frame[1], frame[2], frame[3], msix, hdr), 0);
	assert_int_equal(drv_smc_poll(d, &last), 0);
	if (!(last & SMC_HDR_RESPONSE))
		return -1;
	return (int)(last >> SMC_HDR_STATUS_SHIFT & 0xff);
}

static void good_frames(struct drv *d, uint64_t frame[4])
{
	for (int i = 0; i < 4; i++) {
		uint64_t gpa;

		assert_non_null(drv_alloc(d, DRV_PAGE, &gpa));
		frame[i] = gpa >> 12;
	}
}

static void registers_are_where_linux_looks(void **state)
{
	struct rig *r = *state;
	struct drv *d = &r->d[0];
	uint32_t v32;
	uint64_t v64;

	/* drv_open() made the checks of mana_gd_init_vf_regs(); these are of the widths. */
	assert_int_equal(drv_rd(d, GDMA_REG_DB_PAGE_SIZE, &v32, 4), 0);
	assert_int_equal(v32 & 0xffff, d->db_size);
	assert_int_equal(drv_rd(d, GDMA_REG_DB_PAGE_OFFSET + 4, &v32, 4), 0);
	assert_int_equal(v32, d->db_off >> 32);
	assert_int_equal(drv_rd(d, GDMA_REG_SHM_OFFSET, &v64, 8), 0);
	assert_int_equal(v64, d->shm_off);
	/* Odd sizes and places do not upset it. */
	for (uint64_t off = 0; off < 64; off++) {
		uint8_t b[16];

		for (size_t n = 1; n <= sizeof(b); n++)
			drv_rd(d, off, b, n);
	}
	/* Registers cannot be written. */
	v64 = ~0ull;
	drv_wr(d, GDMA_REG_SHM_OFFSET, &v64, 8);
	drv_wr(d, GDMA_REG_DB_PAGE_OFFSET, &v64, 8);
	assert_int_equal(drv_rd(d, GDMA_REG_SHM_OFFSET, &v64, 8), 0);
	assert_int_equal(v64, d->shm_off);
	assert_int_equal(drv_rd(d, GDMA_REG_DB_PAGE_OFFSET, &v64, 8), 0);
	assert_int_equal(v64, d->db_off);
}

static void the_channel_comes_up_and_goes_down_many_times(void **state)
{
	struct rig *r = *state;

	for (int i = 0; i < 20; i++) {
		assert_int_equal(drv_hwc_up(&r->d[0]), 0);
		assert_int_equal(r->d[0].hwc_depth, 1);
		assert_int_equal(r->d[0].hwc_max_req, HW_CHANNEL_MAX_REQUEST_SIZE);
		assert_int_equal(r->d[0].hwc_max_resp, HW_CHANNEL_MAX_RESPONSE_SIZE);
		rig_hwc_alive(r, 0);
		drv_hwc_down(&r->d[0]);
	}
}

static void frames_outside_guest_memory_are_refused(void **state)
{
	struct rig *r = *state;
	struct drv *d = &r->d[0];
	const uint64_t bad[] = {0, 0xfffffffffffffull, 0x8000000000000ull,
				(d->mem_gpa + d->mem_size) >> 12, (d->mem_gpa >> 12) - 1};
	struct mana_info info;

	for (int which = 0; which < 4; which++) {
		for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
			uint64_t frame[4];

			good_frames(d, frame);
			frame[which] = bad[i];
			assert_true(establish(d, frame, 0, SMC_MSG_TYPE_ESTABLISH_HWC) > 0);
			assert_false(lab_info(&r->lab, 0, &info)->hwc_up);
		}
	}
	/* None of it is in the way of a right one. */
	assert_int_equal(drv_hwc_up(d), 0);
}

static void a_vector_that_does_not_exist_is_refused(void **state)
{
	struct rig *r = *state;
	struct drv *d = &r->d[0];
	uint64_t frame[4];

	good_frames(d, frame);
	assert_true(establish(d, frame, 0xffff, SMC_MSG_TYPE_ESTABLISH_HWC) > 0);
	assert_true(establish(d, frame, 2048, SMC_MSG_TYPE_ESTABLISH_HWC) > 0);
	assert_int_equal(drv_hwc_up(d), 0);
}

static void establishing_twice_leaves_one_channel_that_works(void **state)
{
	struct rig *r = *state;
	struct drv *d = &r->d[0];
	uint64_t frame[4];
	int status;

	assert_int_equal(drv_hwc_up(d), 0);
	good_frames(d, frame);
	status = establish(d, frame, 0, SMC_MSG_TYPE_ESTABLISH_HWC);
	assert_true(status >= 0);
	if (status > 0) {
		rig_hwc_alive(r, 0); /* refused: the first is untouched */
	} else {
		/* Replaced (a kernel after a crash does this): the new EQ got its init events. */
		const uint8_t *eqe = drv_ptr(d, frame[0] << 12);

		assert_true(wait_until(eqe[12] == GDMA_EQE_HWC_INIT_EQ_ID_DB, WAIT_MS));
		drv_hwc_down(d);
		assert_int_equal(drv_hwc_up(d), 0);
	}
	rig_hwc_alive(r, 0);
}

static void destroying_nothing_is_answered(void **state)
{
	struct rig *r = *state;

	assert_true(drv_smc_teardown(&r->d[0], false) >= 0);
	assert_true(drv_smc_teardown(&r->d[0], false) >= 0);
	assert_int_equal(drv_hwc_up(&r->d[0]), 0);
	assert_int_equal(drv_smc_teardown(&r->d[0], false), 0);
	assert_true(drv_smc_teardown(&r->d[0], false) >= 0);
	drv_hwc_forget(&r->d[0]);
	assert_int_equal(drv_hwc_up(&r->d[0]), 0);
}

static void doorbells_of_a_dead_channel_do_nothing(void **state)
{
	struct rig *r = *state;
	struct drv *d = &r->d[0];
	uint8_t *before;

	assert_int_equal(drv_hwc_up(d), 0);
	assert_int_equal(drv_smc_teardown(d, false), 0);
	before = malloc(d->mem_size);
	assert_non_null(before);
	drv_barrier(d);
	memcpy(before, d->mem, d->mem_size);
	for (uint32_t i = 1; i < 64; i++) {
		drv_db(d, d->hwc_db, GDMA_SQ, d->hwc_sq.id, i * 64, 0);
		drv_db(d, d->hwc_db, GDMA_RQ, d->hwc_rq.id, i * 32, 0);
		drv_db(d, d->hwc_db, GDMA_CQ, d->hwc_cq.id, i, 1);
		drv_db(d, d->hwc_db, GDMA_EQ, d->hwc_eq.id, i, 1);
	}
	drv_barrier(d);
	assert_memory_equal(before, d->mem, d->mem_size);
	free(before);
	drv_hwc_forget(d);
}

static void a_destroy_may_ask_for_a_reset(void **state)
{
	struct rig *r = *state;
	struct drv *d = &r->d[0];
	uint32_t hdr = SMC_MSG_TYPE_DESTROY_HWC | SMC_HDR_RESET_VF, last;

	assert_int_equal(drv_hwc_up(d), 0);
	assert_int_equal(drv_wr(d, d->shm_off + SMC_LAST_DWORD_OFF, &hdr, 4), 0);
	/* mana_smc_poll_register(): all ones in the reset case, or a response */
	assert_true(wait_until(drv_rd(d, d->shm_off + SMC_LAST_DWORD_OFF, &last, 4) == 0 &&
				       (last == UINT32_MAX || !(last & SMC_HDR_OWNER_IS_PF)),
			       WAIT_MS));
	drv_hwc_forget(d);
	assert_true(wait_until(drv_rd(d, d->shm_off + SMC_LAST_DWORD_OFF, &last, 4) == 0 &&
				       !(last & SMC_HDR_OWNER_IS_PF),
			       WAIT_MS));
	assert_int_equal(drv_hwc_up(d), 0);
}

static void unknown_messages_are_refused(void **state)
{
	struct rig *r = *state;
	struct drv *d = &r->d[0];
	const uint32_t hdr[] = {0, 3, 5, 6, 7, 0x10000, 0x7f000000};
	struct mana_info info;

	for (size_t i = 0; i < ARRAY_SIZE(hdr); i++) {
		uint64_t frame[4];

		good_frames(d, frame);
		assert_true(establish(d, frame, 0, hdr[i]) != 0);
		assert_false(lab_info(&r->lab, 0, &info)->hwc_up);
	}
	/* The device's own bits in a request. */
	for (uint32_t bits = 0; bits < 4; bits++) {
		uint64_t frame[4];

		good_frames(d, frame);
		establish(d, frame, 0,
			  SMC_MSG_TYPE_ESTABLISH_HWC | (bits & 1 ? SMC_HDR_RESPONSE : 0) |
				  (bits & 2 ? 0xff00u : 0) | SMC_HDR_OWNER_IS_PF);
		drv_smc_teardown(d, false);
	}
	assert_int_equal(drv_hwc_up(d), 0);
}

static void odd_writes_to_the_channel_do_no_harm(void **state)
{
	struct rig *r = *state;
	struct drv *d = &r->d[0];
	struct rng rng = {.s = 7};
	uint32_t last;

	for (uint64_t off = 0; off < SMC_APERTURE_SIZE + 8; off++) {
		uint8_t b[16];

		for (size_t n = 1; n <= sizeof(b); n++) {
			rng_fill(&rng, b, n);
			drv_wr(d, d->shm_off + off, b, n);
			drv_rd(d, d->shm_off + off, b, n);
		}
	}
	assert_int_equal(drv_smc_poll(d, &last), 0);
	drv_smc_teardown(d, false);
	assert_int_equal(drv_hwc_up(d), 0);
}

static void memory_without_a_descriptor_is_told_so(void **state)
{
	const struct rig_conf c = {.level = RIG_BUS, .lab = {.n_devs = 1}, .drv = {.no_fd = true}};
	struct rig *r = rig_start(&c);
	struct drv *d = &r->d[0];
	uint64_t frame[4];

	(void)state;
	good_frames(d, frame);
	assert_true(establish(d, frame, 0, SMC_MSG_TYPE_ESTABLISH_HWC) > 0);
	rig_stop(r);
}

static void the_masquerade_brings_the_same_channel_up(void **state)
{
	const struct rig_conf c = {
		.level = RIG_BUS,
		.lab = {.n_devs = 1, .conf = {.msix_mode = VFUSER_MSIX_MASQUERADE}},
		.drv = {.masquerade = true}};
	struct rig *r = rig_start(&c);

	(void)state;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(drv_hwc_up(&r->d[0]), 0);
		rig_hwc_alive(r, 0);
		drv_hwc_down(&r->d[0]);
	}
	assert_int_equal(r->d[0].irq_unknown, 0);
	rig_stop(r);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(registers_are_where_linux_looks),
		T(the_channel_comes_up_and_goes_down_many_times),
		T(frames_outside_guest_memory_are_refused),
		T(a_vector_that_does_not_exist_is_refused),
		T(establishing_twice_leaves_one_channel_that_works),
		T(destroying_nothing_is_answered),
		T(doorbells_of_a_dead_channel_do_nothing),
		T(a_destroy_may_ask_for_a_reset),
		T(unknown_messages_are_refused),
		T(odd_writes_to_the_channel_do_no_harm),
		cmocka_unit_test(memory_without_a_descriptor_is_told_so),
		cmocka_unit_test(the_masquerade_brings_the_same_channel_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
