/* SPDX-License-Identifier: BSD-2-Clause */
/* Claims about the verdicts of drills. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "host/cli/drill.h"

static const struct drill_limits strict = {.gap_ms = 100, .op_ms = 1000};
static const struct drill_limits loose = {-1, -1, -1, -1, -1, -1};

/* A cycle in which all went well. */
static json_t *good_cycle(void)
{
	json_t *c = json_loads(
		"{\"n\": 1, \"operations\": [{\"op\": \"revoke\", \"ms\": 900.0, \"error\": null},"
		"{\"op\": \"restore\", \"ms\": 1000.0, \"error\": null}],"
		"\"gaps\": [{\"flow\": \"tcp a>b\", \"ms\": 60.0}, {\"flow\": \"udp a>b\", \"ms\": "
		"100.0}], \"connections_lost\": [], \"lost\": 0, \"changed\": 0,"
		"\"dropped\": {}, \"complaints\": []}",
		0, NULL);

	assert_non_null(c);
	return c;
}

/* The cycle fails, and the first reason has these words; @words NULL: it passes. Frees it. */
static void assert_verdict(json_t *c, const struct drill_limits *l, const char *words)
{
	const char *why;

	judge_cycle(c, l);
	why = json_string_value(json_array_get(json_object_get(c, "why"), 0));
	if (!words) {
		assert_null(why);
		assert_string_equal(out_str(c, "verdict", ""), "pass");
	} else {
		assert_string_equal(out_str(c, "verdict", ""), "fail");
		assert_non_null(why);
		if (!strstr(why, words))
			fail_msg("\"%s\" does not say \"%s\"", why, words);
	}
	json_decref(c);
}

static void put(json_t *c, const char *key, const char *json)
{
	json_t *v = json_loads(json, JSON_DECODE_ANY, NULL);

	assert_non_null(v);
	json_object_set_new(c, key, v);
}

static void a_cycle_at_its_limits_passes(void **state)
{
	(void)state;
	assert_verdict(good_cycle(), &strict, NULL);
}

static void every_limit_fails_alone(void **state)
{
	static const struct {
		const char *key, *value, *words;
	} cases[] = {
		{"gaps",
		 "[{\"flow\": \"udp a>b\", \"ms\": 50.0}, {\"flow\": \"ping a-b\", \"ms\": 101}]",
		 "ping a-b stood still for 101 ms, more than 100 ms"},
		{"lost", "1", "1 datagrams or echoes did not arrive, more than 0"},
		{"dropped", "{\"a/eth0 rx no-buffer\": 2, \"b/eth0 rx link-down\": 1}",
		 "dropped 3 frames"},
		{"connections_lost", "[\"tcp a>b: reset\"]", "connection lost: tcp a>b: reset"},
		{"complaints", "[\"a: [ 1.0] WARNING: x\", \"b: y\"]", "WARNING: x ..."},
		{"operations", "[{\"op\": \"revoke\", \"ms\": 1001.0, \"error\": null}]",
		 "revoke took 1001 ms, more than 1000 ms"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		json_t *c = good_cycle();

		put(c, cases[i].key, cases[i].value);
		assert_verdict(json_incref(c), &strict, cases[i].words);
		assert_int_equal(json_array_size(json_object_get(c, "why")), 1);
		/* Without limits the same is no failure. */
		assert_verdict(c, &loose, NULL);
	}
}

static void no_limit_excuses_what_is_broken(void **state)
{
	json_t *c = good_cycle();

	(void)state;
	put(c, "operations", "[{\"op\": \"revoke\", \"ms\": 5.0, \"error\": \"QEMU refused\"}]");
	assert_verdict(c, &loose, "revoke failed: QEMU refused");
	c = good_cycle();
	put(c, "broken", "\"VM a is panicked: x\"");
	assert_verdict(c, &loose, "VM a is panicked");
	c = good_cycle();
	put(c, "changed", "1");
	assert_verdict(c, &loose, "1 records arrived changed");
}

static json_t *load_flow(const char *json)
{
	json_t *o = json_loads(json, 0, NULL);

	assert_non_null(o);
	return o;
}

static void a_gap_is_judged_without_pace_and_own_delay(void **state)
{
	/* 300 ms between arrivals; 200 of them the load slept, 10 are the flow's pace. */
	json_t *tx =
		load_flow("{\"flow\": \"udp\", \"kind\": \"udp\", \"rate\": 100, \"sent\": 500}");
	json_t *rx =
		load_flow("{\"flow\": \"udp\", \"kind\": \"udp\", \"rate\": 100, \"sent\": 400,"
			  "\"connection_lost\": null, \"rx\": {\"packets\": 498, \"bytes\": 9,"
			  "\"lost\": 3, \"doubled\": 1, \"reordered\": 2, \"changed\": 0,"
			  "\"gap_ns\": 300000000, \"gap_end_ns\": 1000, \"gap_own_ns\": 200000000,"
			  "\"gaps\": [[300000000, 1000, 200000000], [20000000, 5000, 15000000]]}}");
	json_t *f = judge_flow("udp a>b", tx, rx, 77), *gaps = json_object_get(f, "gaps");

	(void)state;
	assert_float_equal(json_number_value(out_path(f, "longest.ms")), 90, 1e-6);
	assert_float_equal(json_number_value(out_path(f, "longest.raw_ms")), 300, 1e-6);
	assert_int_equal(out_int(f, "longest.end_ns"), 1077); /* the host's clock */
	assert_int_equal(json_array_size(gaps), 2);
	/* Never below zero. */
	assert_float_equal(json_number_value(json_object_get(json_array_get(gaps, 1), "ms")), 0,
			   1e-6);
	/* 500 sent, 497 different ones arrived. */
	assert_int_equal(out_int(f, "missing"), 3);
	assert_int_equal(out_int(f, "lost"), 3);
	assert_int_equal(out_int(f, "reordered"), 2);
	assert_true(json_is_null(json_object_get(f, "connection_lost")));
	json_decref(f);
	json_decref(tx);
	json_decref(rx);
}

static void either_end_tells_of_a_lost_connection(void **state)
{
	json_t *ok =
		load_flow("{\"flow\": \"tcp\", \"kind\": \"tcp\", \"rate\": 100, \"sent\": 5,"
			  "\"connection_lost\": null, \"rx\": {\"packets\": 5, \"gaps\": []}}");
	json_t *dead =
		load_flow("{\"flow\": \"tcp\", \"kind\": \"tcp\", \"rate\": 100, \"sent\": 5,"
			  "\"connection_lost\": \"reset\", \"rx\": {\"packets\": 4, \"gaps\":"
			  "[]}}");
	json_t *f;

	(void)state;
	f = judge_flow("x", ok, dead, 0);
	assert_string_equal(out_str(f, "connection_lost", ""), "reset");
	json_decref(f);
	f = judge_flow("x", dead, ok, 0);
	assert_string_equal(out_str(f, "connection_lost", ""), "reset");
	/* A stream's records on their way are not missing. */
	assert_int_equal(out_int(f, "missing"), 0);
	json_decref(f);
	json_decref(ok);
	json_decref(dead);
}

/* One passing cycle of as many as wanted. */
static json_t *good_report(int wanted)
{
	json_t *c = good_cycle(), *r;

	judge_cycle(c, &strict);
	r = json_pack("{s:{s:i}, s:[o], s:[], s:{s:b}}", "options", "cycles", wanted, "cycles", c,
		      "flows", "final", "ok", true);
	assert_non_null(r);
	return r;
}

static void assert_report(json_t *r, const char *words)
{
	const char *why;

	judge_report(r, &strict);
	why = json_string_value(json_array_get(json_object_get(r, "why"), 0));
	assert_string_equal(out_str(r, "verdict", ""), words ? "fail" : "pass");
	if (words && (!why || !strstr(why, words)))
		fail_msg("\"%s\" does not say \"%s\"", why ? why : "", words);
	json_decref(r);
}

static void the_whole_passes_only_whole(void **state)
{
	json_t *r;

	(void)state;
	assert_report(good_report(1), NULL);
	assert_report(good_report(2), "1 of 2 cycles were made");
	r = good_report(1);
	put(r, "error", "\"the daemon is gone\"");
	assert_report(r, "the daemon is gone");
	r = good_report(1);
	put(r, "final", "{\"ok\": false, \"why\": \"the VF of a/eth0 is offered, not driven\"}");
	assert_report(r, "at the end the VF of a/eth0 is offered");
	r = good_report(1);
	put(r, "flows",
	    "[{\"flow\": \"tcp a>b\", \"kind\": \"tcp\", \"sent\": 10, \"received\": 9}]");
	assert_report(r, "tcp a>b: 10 records sent, 9 arrived");
	r = good_report(1);
	put(json_array_get(json_object_get(r, "cycles"), 0), "lost", "7");
	judge_cycle(json_array_get(json_object_get(r, "cycles"), 0), &strict);
	assert_report(r, "cycle 1: 7 datagrams");
}

static void a_legal_state_is_told_from_others(void **state)
{
	static const struct {
		const char *vm, *vf, *netdevs;
		bool want_vf;
		const char *words; /* NULL: legal */
	} cases[] = {
		{"ready", "{\"state\": \"driven\", \"receive\": \"vf\"}",
		 "[{\"driver\": \"mana\"}]", true, NULL},
		{"ready", "{\"state\": \"revoked\"}", "[{\"driver\": \"virtio_net\"}]", false,
		 NULL},
		{"panicked", "{\"state\": \"driven\"}", "[]", true, "VM a is panicked"},
		{"ready", "{\"state\": \"offered\"}", "[]", true, "offered, not driven"},
		{"ready", "{\"state\": \"driven\", \"busy\": true}", "[]", true, "under way"},
		{"ready", "{\"state\": \"revoked\", \"pending\": true}", "[]", false, "pending"},
		{"ready", "{\"state\": \"driven\", \"receive\": \"synthetic\"}",
		 "[{\"driver\": \"mana\"}]", true, "not on its VF"},
		{"ready", "{\"state\": \"driven\", \"receive\": \"vf\"}", "[]", true,
		 "0 netdevs of the mana driver"},
		{"ready", "{\"state\": \"revoked\"}", "[{\"driver\": \"mana\"}]", false,
		 "1 netdevs of the mana driver"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		json_t *vm = json_pack("{s:s, s:s}", "name", "a", "state", cases[i].vm);
		json_t *vf = json_loads(cases[i].vf, 0, NULL);
		json_t *devs = json_loads(cases[i].netdevs, 0, NULL);
		json_t *nic = json_pack("{s:s, s:O}", "id", "a/eth0", "vf", vf);
		char why[200];
		bool legal = judge_state(vm, nic, devs, cases[i].want_vf, why, sizeof(why));

		assert_int_equal(legal, !cases[i].words);
		if (cases[i].words && !strstr(why, cases[i].words))
			fail_msg("\"%s\" does not say \"%s\"", why, cases[i].words);
		json_decref(vm);
		json_decref(vf);
		json_decref(devs);
		json_decref(nic);
	}
}

static void a_kernel_that_complains_is_heard(void **state)
{
	static const char *const alarms[] = {
		"[   12.3] WARNING: CPU: 0 PID: 7 at net/core/dev.c:1",
		"[   12.3] BUG: unable to handle page fault",
		"[   12.3] ------ Call Trace:",
		"[   12.3] watchdog: BUG: soft lockup - CPU#1 stuck",
		"[   12.3] INFO: task kworker:7 blocked for more than 120 seconds.",
		"[   12.3] unregister_netdevice: waiting for eth1 to become free",
	};
	static const char driver[] = "[   12.3] mana 0000:02:00.0: HWC: Failed hw_channel req: 0x1";
	static const char *const quiet[] = {
		"[   12.3] mana 0000:02:00.0 enp2s0: Configured vPort 0 PD 0 DB 1",
		"[   12.3] pcieport 0000:00:12.0: pciehp: Slot(2): Button press: will power off in "
		"5",
		"[   12.3] virtio_net virtio1 eth0: failover primary slave:eth1 unregistered",
		"[   12.3] DEBUG: the Oopsie is no word",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(alarms); i++)
		assert_true(judge_complains(alarms[i], false));
	assert_true(judge_complains(driver, true));
	assert_false(judge_complains(driver, false));
	for (size_t i = 0; i < ARRAY_SIZE(quiet); i++)
		assert_false(judge_complains(quiet[i], true));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_cycle_at_its_limits_passes),
		cmocka_unit_test(every_limit_fails_alone),
		cmocka_unit_test(no_limit_excuses_what_is_broken),
		cmocka_unit_test(a_gap_is_judged_without_pace_and_own_delay),
		cmocka_unit_test(either_end_tells_of_a_lost_connection),
		cmocka_unit_test(the_whole_passes_only_whole),
		cmocka_unit_test(a_legal_state_is_told_from_others),
		cmocka_unit_test(a_kernel_that_complains_is_heard),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
