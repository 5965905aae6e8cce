/* SPDX-License-Identifier: BSD-2-Clause */
/* Claims about the proof and the summary of "hvlab compare". */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/cli/compare.h"

static void a_figure_needs_both_sides_witness(void **state)
{
	static const struct {
		const char *host, *guest;
		enum compare_path path;
		const char *words; /* NULL: proven */
	} cases[] = {
		{"{\"a/eth0/vf\": 9000, \"b/eth0/vf\": 9000}",
		 "{\"a\": {\"mana\": 9000}, \"b\": {\"mana\": 9000, \"virtio_net\": 3}}",
		 COMPARE_VF, NULL},
		{"{\"a/eth0/syn\": 9000, \"b/eth0/syn\": 9000, \"a/eth0/vf\": 2}",
		 "{\"a\": {\"virtio_net\": 9000}, \"b\": {\"virtio_net\": 9000}}",
		 COMPARE_SYNTHETIC, NULL},
		/* The switch saw it elsewhere. */
		{"{\"a/eth0/syn\": 9000, \"b/eth0/vf\": 9000}",
		 "{\"a\": {\"mana\": 9000}, \"b\": {\"mana\": 9000}}", COMPARE_VF,
		 "the switch, for a/eth0, counted no packet on the vf path"},
		{"{\"a/eth0/vf\": 9000, \"b/eth0/vf\": 9000, \"b/eth0/syn\": 500}",
		 "{\"a\": {\"mana\": 9000}, \"b\": {\"mana\": 9000}}", COMPARE_VF,
		 "the switch, for b/eth0, counted 9000 packets on the vf path and 500 beside it"},
		/* A guest did. */
		{"{\"a/eth0/vf\": 9000, \"b/eth0/vf\": 9000}",
		 "{\"a\": {\"mana\": 9000}, \"b\": {\"virtio_net\": 9000}}", COMPARE_VF,
		 "guest b counted no packet on the vf path"},
		{"{\"a/eth0/syn\": 9000, \"b/eth0/syn\": 9000}",
		 "{\"a\": {\"virtio_net\": 9000, \"mana\": 4000}, \"b\": {\"virtio_net\": 9000}}",
		 COMPARE_SYNTHETIC, "guest a counted 9000 packets on the synthetic path and 4000"},
		{"{}", "{}", COMPARE_VF, "counted no packet"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		json_t *host = json_loads(cases[i].host, 0, NULL);
		json_t *guest = json_loads(cases[i].guest, 0, NULL);
		char why[300];
		bool ok = compare_proof(host, guest, cases[i].path, "a/eth0", "b/eth0", why,
					sizeof(why));

		assert_int_equal(ok, !cases[i].words);
		if (cases[i].words && !strstr(why, cases[i].words))
			fail_msg("\"%s\" does not say \"%s\"", why, cases[i].words);
		json_decref(host);
		json_decref(guest);
	}
}

static void the_median_of_ping_is_of_its_lines(void **state)
{
	static const char text[] =
		"PING 10.0.0.2 (10.0.0.2) 56(84) bytes of data.\n"
		"64 bytes from 10.0.0.2: icmp_seq=1 ttl=64 time=9.50 ms\n"
		"64 bytes from 10.0.0.2: icmp_seq=2 ttl=64 time=1.00 ms\n"
		"64 bytes from 10.0.0.2: icmp_seq=3 ttl=64 time=2 ms\n"
		"3 packets transmitted, 3 received, 0% packet loss, time 2003ms\n"
		"rtt min/avg/max/mdev = 1.000/4.166/9.500/3.8 ms\n";

	(void)state;
	assert_float_equal(compare_median_ping(text), 2, 1e-9);
	assert_true(compare_median_ping("0 received, time 2003ms") < 0);
}

static json_t *figure(double value, bool valid)
{
	return json_pack("{s:f, s:b, s:{s:f, s:f}}", "value", value, "valid", valid, "cpu",
			 "daemon", value / 10, "qemu", 1.0);
}

static void invalid_figures_are_counted_and_not_used(void **state)
{
	json_t *f = json_array(), *s;

	(void)state;
	json_array_append_new(f, figure(30, true));
	json_array_append_new(f, figure(10, true));
	json_array_append_new(f, figure(20, true));
	s = compare_summary(f);
	assert_float_equal(json_number_value(json_object_get(s, "median")), 20, 1e-9);
	assert_float_equal(json_number_value(json_object_get(s, "min")), 10, 1e-9);
	assert_float_equal(json_number_value(json_object_get(s, "max")), 30, 1e-9);
	assert_float_equal(json_number_value(out_path(s, "cpu.daemon")), 2, 1e-9);
	assert_true(json_is_true(json_object_get(s, "valid")));
	json_decref(s);
	json_array_append_new(f, figure(1000, false));
	s = compare_summary(f);
	assert_float_equal(json_number_value(json_object_get(s, "max")), 30, 1e-9);
	assert_int_equal(out_int(s, "invalid"), 1);
	assert_true(json_is_false(json_object_get(s, "valid")));
	json_decref(s);
	json_decref(f);
	f = json_array();
	s = compare_summary(f); /* none at all is not valid either */
	assert_true(json_is_false(json_object_get(s, "valid")));
	assert_null(json_object_get(s, "median"));
	json_decref(s);
	json_decref(f);
}

/* Two figures, of which the second does not name a thread. */
static void threads_have_medians_of_their_own(void **state)
{
	json_t *f = json_array(), *s;
	const json_t *threads;

	(void)state;
	for (unsigned int i = 0; i < 3; i++) {
		json_t *one = figure(10, i < 2);

		json_object_set_new(json_object_get(one, "cpu"), "threads",
				    json_pack("{s:f}", i ? "a/CPU 1/TCG" : "hvlabd/w0", 0.4));
		json_array_append_new(f, one);
	}
	s = compare_summary(f);
	threads = out_path(s, "cpu.threads");
	assert_int_equal(json_object_size(threads), 2);
	assert_float_equal(json_number_value(json_object_get(threads, "hvlabd/w0")), 0.2, 1e-9);
	/* That of the invalid figure does not count. */
	assert_float_equal(json_number_value(json_object_get(threads, "a/CPU 1/TCG")), 0.2, 1e-9);
	json_decref(s);
	json_decref(f);
}

static void cpu_time_is_found_behind_any_name(void **state)
{
	char name[COMPARE_THREAD_NAME];
	double tick = (double)sysconf(_SC_CLK_TCK);

	(void)state;
	assert_float_equal(
		compare_cpu_stat("7 (CPU 0/TCG) S 1 7 7 0 -1 64 9 0 0 0 250 50 0 0 20", name),
		300 / tick, 1e-9);
	assert_string_equal(name, "CPU 0/TCG");
	assert_float_equal(compare_cpu_stat("7 (x) R (y) S 1 7 7 0 -1 64 9 0 0 0 1 2 0 0 20", name),
			   3 / tick, 1e-9);
	assert_string_equal(name, "x) R (y");
	assert_true(compare_cpu_stat("", name) < 0);
	assert_true(compare_cpu_stat(") 7 (", name) < 0);
	assert_true(compare_cpu_stat("7 (x) S 1 7", name) < 0);
}

static void cpu_time_between_two_looks_is_in_cores(void **state)
{
	json_t *from = json_loads("{\"at\": 1000000000, \"daemon\": 1.0, \"qemu\": 10.0, "
				  "\"threads\": {\"hvlabd/w0\": 1.0, \"a/IO\": 5.0}}",
				  0, NULL);
	json_t *to = json_loads("{\"at\": 3000000000, \"daemon\": 2.0, \"qemu\": 13.0, "
				"\"threads\": {\"hvlabd/w0\": 2.0, \"a/IO\": 5.0, \"b/new\": 0.5}}",
				0, NULL);
	json_t *cpu = compare_cpu_between(from, to);

	(void)state;
	assert_float_equal(json_number_value(out_path(cpu, "daemon")), 0.5, 1e-9);
	assert_float_equal(json_number_value(out_path(cpu, "qemu")), 1.5, 1e-9);
	assert_int_equal(json_object_size(out_path(cpu, "threads")), 2);
	assert_float_equal(
		json_number_value(json_object_get(out_path(cpu, "threads"), "hvlabd/w0")), 0.5,
		1e-9);
	assert_float_equal(json_number_value(json_object_get(out_path(cpu, "threads"), "b/new")),
			   0.25, 1e-9);
	json_decref(from);
	json_decref(to);
	json_decref(cpu);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_figure_needs_both_sides_witness),
		cmocka_unit_test(the_median_of_ping_is_of_its_lines),
		cmocka_unit_test(invalid_figures_are_counted_and_not_used),
		cmocka_unit_test(threads_have_medians_of_their_own),
		cmocka_unit_test(cpu_time_is_found_behind_any_name),
		cmocka_unit_test(cpu_time_between_two_looks_is_in_cores),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
