/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns a drill's report as text and as JUnit XML, and escaping. */
#include "host/cli/report.h"

#include <stdlib.h>
#include <string.h>

static double number(const json_t *o, const char *path)
{
	return json_number_value(out_path(o, path));
}

/* ---- text ---- */

static void fmt_ms(const json_t *v, char *buf, size_t size)
{
	snprintf(buf, size, "%.0f", json_number_value(v));
}

static void fmt_limit(char *buf, size_t size, const json_t *limits, const char *key)
{
	long long v = out_int(limits, key);

	if (v < 0)
		snprintf(buf, size, "any");
	else
		snprintf(buf, size, "%lld", v);
}

static void text_limits(struct output *out, const json_t *report)
{
	const json_t *l = json_object_get(report, "limits");
	char gap[24], lost[24], dropped[24], conns[24], lines[24], op[24];

	fmt_limit(gap, sizeof(gap), l, "gap_ms");
	fmt_limit(lost, sizeof(lost), l, "lost");
	fmt_limit(dropped, sizeof(dropped), l, "dropped");
	fmt_limit(conns, sizeof(conns), l, "connections");
	fmt_limit(lines, sizeof(lines), l, "complaints");
	fmt_limit(op, sizeof(op), l, "op_ms");
	out_text(out,
		 "limits  gap %s ms, lost %s, dropped %s, connections lost %s, kernel warnings "
		 "%s, operation %s ms\n",
		 gap, lost, dropped, conns, lines, op);
}

static void text_head(struct output *out, const json_t *report)
{
	const json_t *loads = out_path(report, "options.load");
	json_t *v;
	size_t i;

	out_text(out, "drill   %s of %s, ", out_str(report, "drill", "?"),
		 out_str(report, "target", "?"));
	if (out_str(report, "how", NULL))
		out_text(out, "%s, ", out_str(report, "how", ""));
	out_text(out, "%lld cycle%s\n", out_int(report, "options.cycles"),
		 out_int(report, "options.cycles") == 1 ? "" : "s");
	out_text(out, "guest   %s, kernel %s, %s\n", out_str(report, "target_vm.vm", "?"),
		 out_str(report, "target_vm.kernel", "?"), out_str(report, "target_vm.accel", "?"));
	out_text(out, "load    ");
	json_array_foreach ((json_t *)loads, i, v)
		out_text(out, "%s%s", i ? ", " : "", json_string_value(v));
	if (json_array_size(loads))
		out_text(out, ", %lld records a second, peer %s\n", out_int(report, "options.rate"),
			 out_str(report, "peer_vm.vm", "?"));
	else
		out_text(out, "none\n");
	text_limits(out, report);
}

static const json_t *longest_gap(const json_t *gaps)
{
	const json_t *worst = NULL;
	json_t *g;
	size_t i;

	json_array_foreach ((json_t *)gaps, i, g)
		if (!worst || number(g, "ms") > number(worst, "ms"))
			worst = g;
	return worst;
}

static void text_steps(struct output *out, const json_t *cycle)
{
	json_t *op, *step;
	size_t i, k;

	json_array_foreach (json_object_get(cycle, "operations"), i, op) {
		const char *error = out_str(op, "error", NULL);

		out_text(out, "  %-9s %7.0f ms ", out_str(op, "op", "?"), number(op, "ms"));
		json_array_foreach (json_object_get(op, "steps"), k, step)
			out_text(out, "%s%s %.0f", k ? ", " : " ", out_str(step, "step", "?"),
				 number(step, "ms"));
		if (error) {
			out_text(out, "  ");
			out_line(out, error);
		} else {
			out_text(out, "\n");
		}
	}
}

static void text_cycle(struct output *out, const json_t *cycle)
{
	const json_t *gap = longest_gap(json_object_get(cycle, "gaps"));
	json_t *v;
	const char *key;
	size_t i;

	out_text(out, "\ncycle %lld: %s\n", out_int(cycle, "n"),
		 strcmp(out_str(cycle, "verdict", ""), "pass") ? "FAIL" : "PASS");
	text_steps(out, cycle);
	if (gap)
		out_text(out, "  longest gap %.0f ms (%s), %zu gaps of 20 ms or more\n",
			 number(gap, "ms"), out_str(gap, "flow", "?"),
			 json_array_size(json_object_get(cycle, "gaps")));
	else
		out_text(out, "  no gap of 20 ms\n");
	if (out_int(cycle, "lost"))
		out_text(out, "  %lld datagrams or echoes lost\n", out_int(cycle, "lost"));
	if (out_int(cycle, "parked"))
		out_text(out, "  %lld frames waited in the switch for a path\n",
			 out_int(cycle, "parked"));
	json_object_foreach (json_object_get(cycle, "dropped"), key, v)
		out_text(out, "  %s: %lld frames dropped\n", key, json_integer_value(v));
	json_array_foreach (json_object_get(cycle, "why"), i, v) {
		out_text(out, "  FAIL: ");
		out_line(out, json_string_value(v));
	}
	json_array_foreach (json_object_get(cycle, "complaints"), i, v) {
		out_text(out, "  ");
		out_line(out, json_string_value(v));
	}
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Median and worst of a figure over all cycles. */
static void text_spread(struct output *out, const char *what, double *v, size_t n)
{
	if (!n)
		return;
	qsort(v, n, sizeof(*v), compare_doubles);
	out_text(out, "  %-12s median %7.0f ms, 90%% %7.0f ms, longest %7.0f ms\n", what, v[n / 2],
		 v[(9 * n + 9) / 10 - 1], v[n - 1]);
}

static void text_summary(struct output *out, const json_t *report)
{
	const json_t *cycles = json_object_get(report, "cycles");
	size_t n = json_array_size(cycles), i, k;
	double *gaps = calloc(n + 1, sizeof(*gaps)), *ops[2];
	size_t n_ops[2] = {0, 0};
	const char *names[2] = {NULL, NULL};
	json_t *cycle, *op;

	ops[0] = calloc(n + 1, sizeof(double));
	ops[1] = calloc(n + 1, sizeof(double));
	json_array_foreach ((json_t *)cycles, i, cycle) {
		gaps[i] = number(longest_gap(json_object_get(cycle, "gaps")), "ms");
		json_array_foreach (json_object_get(cycle, "operations"), k, op) {
			if (k >= 2 || n_ops[k] > i)
				continue;
			names[k] = out_str(op, "op", "?");
			ops[k][n_ops[k]++] = number(op, "ms");
		}
	}
	out_text(out, "\n%zu cycles, %lld failed\n", n, out_int(report, "failed"));
	for (k = 0; k < 2; k++)
		if (names[k])
			text_spread(out, names[k], ops[k], n_ops[k]);
	text_spread(out, "longest gap", gaps, n);
	free(gaps);
	free(ops[0]);
	free(ops[1]);
}

static void text_flows(struct output *out, const json_t *report)
{
	static const struct out_column cols[] = {
		{.title = "FLOW", .path = "flow"},
		{.title = "SENT", .path = "sent", .right = true},
		{.title = "ARRIVED", .path = "received", .right = true},
		{.title = "MISSING", .path = "missing", .right = true},
		{.title = "DOUBLED", .path = "doubled", .right = true},
		{.title = "REORDERED", .path = "reordered", .right = true},
		{.title = "CHANGED", .path = "changed", .right = true},
		{.title = "GAP-MS", .path = "longest.ms", .format = fmt_ms, .right = true},
		{.title = "OWN-MS", .path = "longest.own_ms", .format = fmt_ms, .right = true},
		{.title = "CONNECTION", .path = "connection_lost"},
	};
	const json_t *flows = json_object_get(report, "flows");

	if (!json_array_size(flows))
		return;
	out_text(out, "\n");
	out_table(out, flows, cols, ARRAY_SIZE(cols));
	out_text(out,
		 "GAP-MS is the longest standstill in the cycles, beyond the flow's pace and "
		 "OWN-MS, in which the\nload's own programs did not run; with no drill, in %lld ms "
		 "before the first cycle, it was %.0f ms.\n",
		 out_int(report, "baseline.ms"),
		 number(longest_gap(out_path(report, "baseline.gaps")), "ms"));
}

void report_text(struct output *out, const json_t *report)
{
	const json_t *cycles = json_object_get(report, "cycles");
	size_t n = json_array_size(cycles), i;
	json_t *v;

	text_head(out, report);
	/* Of many only the failed ones are told one by one. */
	json_array_foreach ((json_t *)cycles, i, v)
		if (n <= 10 || strcmp(out_str(v, "verdict", ""), "pass") != 0)
			text_cycle(out, v);
	if (n > 1)
		text_summary(out, report);
	text_flows(out, report);
	if (out_str(report, "saved", NULL))
		out_text(out, "\neverything about it is in %s\n", out_str(report, "saved", ""));
	out_text(out, "\n");
	out_heading(out, strcmp(out_str(report, "verdict", ""), "pass") ? "FAIL" : "PASS");
	json_array_foreach (json_object_get(report, "why"), i, v) {
		out_text(out, "  ");
		out_line(out, json_string_value(v));
	}
}

/* ---- escaping ---- */

/*
 * Length of the UTF-8 character at @s that XML 1.0 allows (section 2.2: tab, newline, return,
 * U+0020..U+D7FF, U+E000..U+FFFD, U+10000..U+10FFFF), 0: none.
 */
static unsigned int xml_char(const unsigned char *s)
{
	unsigned int n = s[0] < 0x80   ? 1
			 : s[0] < 0xc2 ? 0
			 : s[0] < 0xe0 ? 2
			 : s[0] < 0xf0 ? 3
			 : s[0] < 0xf5 ? 4
				       : 0;
	unsigned long c = s[0];

	if (n == 1)
		return c >= 0x20 || c == '\t' || c == '\n' || c == '\r';
	if (!n)
		return 0;
	c &= 0xffu >> (n + 1);
	for (unsigned int i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	if ((n == 3 && c < 0x800) || (n == 4 && (c < 0x10000 || c > 0x10ffff)) ||
	    (c >= 0xd800 && c < 0xe000) || c == 0xfffe || c == 0xffff)
		return 0;
	return n;
}

void report_escape(FILE *to, const char *text)
{
	const unsigned char *s = (const unsigned char *)(text ? text : "");

	while (*s) {
		unsigned int n = xml_char(s);

		switch (n == 1 ? *s : 0) {
		case '&':
			fputs("&amp;", to);
			break;
		case '<':
			fputs("&lt;", to);
			break;
		case '>':
			fputs("&gt;", to);
			break;
		case '"':
			fputs("&quot;", to);
			break;
		case '\'':
			fputs("&#39;", to);
			break;
		default:
			if (n)
				fwrite(s, 1, n, to);
			else
				fputs("\xef\xbf\xbd", to);
		}
		s += n ? n : 1;
	}
}

/* ---- JUnit ---- */

static double seconds(const json_t *o)
{
	return (double)(out_int(o, "end_ns") - out_int(o, "start_ns")) / 1e9;
}

static void junit_failure(FILE *to, const json_t *why)
{
	json_t *v;
	size_t i;

	if (!json_array_size(why))
		return;
	fputs("      <failure message=\"", to);
	report_escape(to, json_string_value(json_array_get(why, 0)));
	fputs("\">", to);
	json_array_foreach ((json_t *)why, i, v) {
		report_escape(to, json_string_value(v));
		fputc('\n', to);
	}
	fputs("</failure>\n", to);
}

static void junit_cycle(FILE *to, const json_t *cycle, const char *class)
{
	const json_t *gap = longest_gap(json_object_get(cycle, "gaps"));
	json_t *v, *step;
	size_t i, k;

	fprintf(to, "    <testcase classname=\"%s\" name=\"cycle %lld\" time=\"%.3f\">\n", class,
		out_int(cycle, "n"), seconds(cycle));
	junit_failure(to, json_object_get(cycle, "why"));
	fputs("      <system-out>", to);
	json_array_foreach (json_object_get(cycle, "operations"), i, v) {
		report_escape(to, out_str(v, "op", "?"));
		fprintf(to, " %.1f ms:", number(v, "ms"));
		json_array_foreach (json_object_get(v, "steps"), k, step) {
			fputc(' ', to);
			report_escape(to, out_str(step, "step", "?"));
			fprintf(to, " %.1f", number(step, "ms"));
		}
		fputc('\n', to);
	}
	fprintf(to, "longest gap %.1f ms ", number(gap, "ms"));
	report_escape(to, out_str(gap, "flow", ""));
	fprintf(to, "\nlost %lld\n", out_int(cycle, "lost"));
	json_array_foreach (json_object_get(cycle, "complaints"), i, v) {
		report_escape(to, json_string_value(v));
		fputc('\n', to);
	}
	fputs("</system-out>\n    </testcase>\n", to);
}

void report_junit(FILE *to, const json_t *report)
{
	const json_t *cycles = json_object_get(report, "cycles");
	bool pass = !strcmp(out_str(report, "verdict", ""), "pass");
	char class[80];
	json_t *v;
	size_t i;

	snprintf(class, sizeof(class), "hvlab.drill.%.32s", out_str(report, "drill", "?"));
	fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  <testsuite name=\"hvlab "
	      "drill ",
	      to);
	report_escape(to, out_str(report, "drill", "?"));
	fputc(' ', to);
	report_escape(to, out_str(report, "target", "?"));
	fprintf(to, "\" tests=\"%zu\" failures=\"%lld\" errors=\"0\" time=\"%.3f\" timestamp=\"",
		json_array_size(cycles) + 1, out_int(report, "failed") + !pass, seconds(report));
	report_escape(to, out_str(report, "date", ""));
	fputs("\">\n", to);
	json_array_foreach ((json_t *)cycles, i, v)
		junit_cycle(to, v, class);
	fprintf(to, "    <testcase classname=\"%s\" name=\"verdict\" time=\"%.3f\">\n", class,
		seconds(report));
	junit_failure(to, json_object_get(report, "why"));
	fputs("    </testcase>\n  </testsuite>\n</testsuites>\n", to);
}
