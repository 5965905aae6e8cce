/* SPDX-License-Identifier: BSD-2-Clause */
/* Claims about a drill's pages: hostile text stays text, and the picture shows what was sampled. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "host/cli/drill.h"
#include "host/cli/report.h"

static const struct drill_limits limits = {.gap_ms = 1000, .op_ms = 15000};

/* What a guest may put into its kernel log, a device's name, an agent's error. */
static const char hostile[] =
	"</text></svg><script>alert('x')</script> & \"q\" ]]> \x01\x1b[31m \xff";

static char *rendered(void (*render)(FILE *to, const json_t *report), const json_t *report)
{
	char *text = NULL;
	size_t size = 0;
	FILE *to = open_memstream(&text, &size);

	assert_non_null(to);
	render(to, report);
	fclose(to);
	return text;
}

static void assert_escaped(const char *text, const char *want)
{
	char *out = NULL;
	size_t size = 0;
	FILE *to = open_memstream(&out, &size);

	report_escape(to, text);
	fclose(to);
	assert_string_equal(out, want);
	free(out);
}

static void text_is_escaped_for_xml(void **state)
{
	(void)state;
	assert_escaped("a<b>&\"c'", "a&lt;b&gt;&amp;&quot;c&#39;");
	assert_escaped("tab\tline\n", "tab\tline\n");
	assert_escaped("\x01\x1b\x7f", "\xef\xbf\xbd\xef\xbf\xbd\x7f");
	assert_escaped("gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f");
	assert_escaped("\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80");
	/* Not UTF-8: a lone byte, a cut character, an overlong '<', a surrogate, U+FFFE. */
	assert_escaped("\xff|", "\xef\xbf\xbd|");
	assert_escaped("\xc3", "\xef\xbf\xbd");
	assert_escaped("\xc0\xbc", "\xef\xbf\xbd\xef\xbf\xbd");
	assert_escaped("\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
	assert_escaped("\xef\xbf\xbe", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
	assert_escaped(NULL, "");
}

/* A string that jansson takes although it is no UTF-8: what came from a guest. */
static json_t *raw(const char *text)
{
	return json_string_nocheck(text);
}

/*
 * One cycle of a second: 0..400 ms over the VF, then over the synthetic path; a gap of 60 ms
 * between. All text is hostile.
 */
static json_t *report(void)
{
	json_t *r = json_loads(
		"{\"drill\": \"revoke\", \"target\": \"a/eth0\", \"version\": \"0.1.0\","
		"\"date\": \"2026-01-01T00:00:00Z\", \"summary\": \"s\", \"start_ns\": 1000000000,"
		"\"end_ns\": 3000000000, \"options\": {\"cycles\": 1, \"load\": [\"tcp\"], \"way\":"
		"\"graceful\", \"rate\": 100}, \"limits\": {\"gap_ms\": 50, \"lost\": -1},"
		"\"baseline\": {\"ms\": 2000, \"gaps\": []},"
		"\"final\": {\"ok\": true}, \"flows\": [{\"flow\": \"tcp a>b\", \"kind\": \"tcp\","
		"\"sent\": 10, \"received\": 10, \"longest\": {\"ms\": 60.0, \"own_ms\": 1.0}}],"
		"\"cycles\": [{\"n\": 1, \"start_ns\": 1000000000, \"end_ns\": 2000000000,"
		"\"operations\": [{\"op\": \"revoke\", \"start_ns\": 1300000000, \"ms\": 250.0,"
		"\"error\": null, \"steps\": [{\"step\": \"drained\", \"ms\": 100.0},"
		"{\"step\": \"unplugged\", \"ms\": 249.0}]}],"
		"\"gaps\": [{\"flow\": \"tcp a>b\", \"ms\": 60.0, \"raw_ms\": 70.0, \"own_ms\": "
		"0.0,"
		"\"end_ns\": 1460000000}], \"lost\": 0, \"changed\": 0, \"dropped\": {},"
		"\"connections_lost\": [], \"complaints\": []}],"
		"\"events\": [{\"event\": \"VF_STATE\", \"vnic\": \"a/eth0\", \"state\": "
		"\"draining\","
		"\"previous\": \"driven\", \"time_ns\": 1300000000},"
		"{\"event\": \"VF_STATE\", \"vnic\": \"b/eth0\", \"state\": \"nobody\","
		"\"previous\": \"driven\", \"time_ns\": 1350000000},"
		"{\"event\": \"VF_STATE\", \"vnic\": \"a/eth0\", \"state\": \"revoked\","
		"\"previous\": \"draining\", \"time_ns\": 1549000000}],"
		"\"samples\": [{\"n\": 1, \"step_us\": 1000, \"start_ns\": 1000000000,"
		"\"end_ns\": 2000000000, \"looks\": 1000, \"late\": 0, \"longest_ns\": 1000000,"
		"\"cpu_ns\": 1, \"paths\": [{\"port\": \"a/eth0/vf\", \"rows\":"
		"[[0, 400000, 400, 4000, 800, 8000]]}, {\"port\": \"a/eth0/syn\", \"rows\":"
		"[[460000, 540000, 54, 540, 54, 540]]}, {\"port\": \"a/eth0\", \"rows\":"
		"[[0, 1000000, 5, 5, 5, 5]]}, {\"port\": \"b/eth0/vf\", \"rows\": []}]}]}",
		0, NULL);
	json_t *c;

	assert_non_null(r);
	c = json_array_get(json_object_get(r, "cycles"), 0);
	judge_cycle(c, &limits);
	judge_report(r, &limits);
	return r;
}

static json_t *hostile_report(void)
{
	json_t *r = report(), *c = json_array_get(json_object_get(r, "cycles"), 0);
	json_t *op = json_array_get(json_object_get(c, "operations"), 0);

	json_array_append_new(json_object_get(c, "complaints"), raw(hostile));
	json_array_append_new(json_object_get(c, "connections_lost"), raw(hostile));
	json_object_set_new(op, "error", raw(hostile));
	json_object_set_new(json_array_get(json_object_get(op, "steps"), 0), "step", raw(hostile));
	json_object_set_new(json_array_get(json_object_get(c, "gaps"), 0), "flow", raw(hostile));
	json_object_set_new(json_array_get(json_object_get(r, "flows"), 0), "connection_lost",
			    raw(hostile));
	json_object_set_new(json_array_get(json_object_get(r, "events"), 0), "state", raw(hostile));
	json_object_set_new(r, "target_vm",
			    json_pack("{s:o, s:o}", "vm", raw(hostile), "kernel", raw(hostile)));
	json_object_set_new(r, "saved", raw(hostile));
	judge_cycle(c, &limits);
	judge_report(r, &limits);
	return r;
}

static void assert_no_hostile_text(const char *page)
{
	assert_null(strstr(page, "<script"));
	assert_null(strstr(page, "</script"));
	assert_null(strstr(page, "alert('x')"));
	assert_null(strchr(page, '\x01'));
	assert_null(strchr(page, '\x1b'));
	assert_null(strchr(page, '\xff'));
}

static void hostile_text_stays_text(void **state)
{
	json_t *r = hostile_report();
	char *page = rendered(report_html, r);

	(void)state;
	assert_no_hostile_text(page);
	assert_non_null(strstr(page, "&lt;script&gt;"));
	/* Nothing from elsewhere, and the page says so itself. */
	assert_null(strstr(page, "src="));
	assert_null(strstr(page, "href="));
	assert_null(strstr(page, "url("));
	assert_non_null(strstr(page, "default-src 'none'"));
	free(page);
	page = rendered(report_junit, r);
	assert_no_hostile_text(page);
	assert_null(strstr(page, "]]>"));
	free(page);
	json_decref(r);
}

/* How often a word is in a text. */
static unsigned int count(const char *text, const char *word)
{
	unsigned int n = 0;

	while ((text = strstr(text, word))) {
		n++;
		text += strlen(word);
	}
	return n;
}

static void junit_has_a_case_per_cycle_and_one_for_all(void **state)
{
	json_t *r = report();
	char *page = rendered(report_junit, r);

	(void)state;
	assert_non_null(strstr(page, "tests=\"2\" failures=\"0\""));
	assert_int_equal(count(page, "<testcase "), 2);
	assert_int_equal(count(page, "</testcase>"), 2);
	assert_non_null(strstr(page, "name=\"cycle 1\" time=\"1.000\""));
	assert_int_equal(count(page, "<failure"), 0);
	free(page);
	json_decref(r);
	r = hostile_report(); /* a connection lost, an operation failed: both cases fail */
	page = rendered(report_junit, r);
	assert_non_null(strstr(page, "tests=\"2\" failures=\"2\""));
	assert_int_equal(count(page, "<failure message=\""), 2);
	free(page);
	json_decref(r);
}

static void the_picture_shows_what_was_sampled(void **state)
{
	json_t *r = report();
	char *page = rendered(report_html, r);

	(void)state;
	assert_non_null(strstr(page, "PASS"));
	assert_int_equal(count(page, "<svg"), 1);
	assert_int_equal(count(page, "</svg>"), 1);
	/* Both paths of the target, nobody else's; their sums. */
	assert_non_null(strstr(page, "sent 400"));
	assert_non_null(strstr(page, "received 800"));
	assert_int_equal(count(page, "sent 54"), 1);
	assert_null(strstr(page, "sent 5<"));
	/* 800 packets in 400 ms are 2 in a millisecond. */
	assert_non_null(strstr(page, "peak 2.0"));
	/* The VF's column begins at the left edge and ends at 400 of 1000 ms: 352 of 880 px. */
	assert_non_null(strstr(page, "<path class=\"c-vf\" d=\"M132 "));
	assert_non_null(strstr(page, "h352v"));
	/* The states: driven 300 ms, draining 249 ms, revoked to the end; nothing of other NICs. */
	assert_non_null(strstr(page, "driven for 300.0 ms"));
	assert_non_null(strstr(page, "draining for 249.0 ms"));
	assert_non_null(strstr(page, "revoked for 451.0 ms"));
	assert_null(strstr(page, "nobody"));
	assert_non_null(strstr(page, "tcp a&gt;b stood still for 60.0 ms"));
	assert_non_null(strstr(page, "drained at 100.0 ms"));
	free(page);
	json_decref(r);
}

static void an_empty_report_is_a_page_too(void **state)
{
	json_t *r = json_pack("{s:s, s:s}", "drill", "revoke", "target", "a/eth0");
	char *page;

	(void)state;
	judge_report(r, &limits);
	page = rendered(report_html, r);
	assert_non_null(strstr(page, "</html>"));
	free(page);
	page = rendered(report_junit, r);
	assert_non_null(strstr(page, "tests=\"1\""));
	free(page);
	json_decref(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_is_escaped_for_xml),
		cmocka_unit_test(hostile_text_stays_text),
		cmocka_unit_test(junit_has_a_case_per_cycle_and_one_for_all),
		cmocka_unit_test(the_picture_shows_what_was_sampled),
		cmocka_unit_test(an_empty_report_is_a_page_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
