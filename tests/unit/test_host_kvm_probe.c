/* SPDX-License-Identifier: BSD-2-Clause */
/* Claims about the KVM experiment: always an answer, always a reason, whatever the device is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/util.h"
#include "host/kvm_probe.h"

static void no_device_is_a_no_with_its_name(void **state)
{
	struct kvm_probe p;

	(void)state;
	kvm_probe("/nonexistent/kvm", &p);
	assert_false(p.usable);
	assert_string_equal(p.reason, "/nonexistent/kvm: open: No such file or directory");
}

static void another_device_is_a_no(void **state)
{
	struct kvm_probe p;

	(void)state;
	kvm_probe("/dev/null", &p);
	assert_false(p.usable);
	assert_string_equal(p.reason, "/dev/null is not the KVM interface");
}

static void this_machine_gets_an_answer_in_time_and_no_child_stays(void **state)
{
	uint64_t start = now_ns();
	struct kvm_probe p, again;

	(void)state;
	kvm_probe("/dev/kvm", &p);
	kvm_probe("/dev/kvm", &again);
	assert_true(now_ns() - start < 12 * NSEC_PER_SEC);
	assert_true(strlen(p.reason) > 0);
	assert_non_null(strstr(p.reason, "/dev/kvm"));
	assert_int_equal(p.usable, again.usable);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	print_message("usable %d: %s\n", p.usable, p.reason);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_device_is_a_no_with_its_name),
		cmocka_unit_test(another_device_is_a_no),
		cmocka_unit_test(this_machine_gets_an_answer_in_time_and_no_child_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
