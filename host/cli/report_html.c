/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns a drill's report as one HTML page that needs nothing else. */
#include "host/cli/report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MANY 60 /* cycles; a longer table is folded */

static double number(const json_t *o, const char *path)
{
	return json_number_value(out_path(o, path));
}

static bool passed(const json_t *o)
{
	return !strcmp(out_str(o, "verdict", ""), "pass");
}

static const char style[] =
	":root{color-scheme:light dark;--bg:#fff;--fg:#1c2330;--dim:#5b6575;--line:#d9dee7;"
	"--soft:#f4f6fa;--vf:#2563eb;--syn:#d97706;--all:#64748b;--ok:#15803d;--bad:#dc2626;"
	"--park:#9333ea}"
	"@media(prefers-color-scheme:dark){:root{--bg:#11151c;--fg:#e6eaf2;--dim:#9aa5b8;"
	"--line:#2c3442;--soft:#1a202b;--vf:#6ea8fe;--syn:#fbb040;--all:#94a3b8;--ok:#4ade80;"
	"--bad:#f87171;--park:#c084fc}}"
	"*{box-sizing:border-box}body{margin:0 auto;padding:28px 24px 60px;max-width:1120px;"
	"background:var(--bg);color:var(--fg);font:15px/1.5 system-ui,-apple-system,'Segoe UI',"
	"Roboto,'DejaVu Sans',sans-serif}"
	"h1{font-size:24px;margin:0 0 2px;display:flex;gap:14px;align-items:center}"
	"h2{font-size:17px;margin:34px 0 10px}p{margin:4px 0}.dim{color:var(--dim)}"
	".badge{font-size:13px;font-weight:700;letter-spacing:.06em;padding:3px 12px;"
	"border-radius:99px;color:#fff}.ok{background:#15803d}.fail{background:#dc2626}"
	".w-ok{color:var(--ok);font-weight:600}.w-bad{color:var(--bad);font-weight:600}"
	"dl{display:grid;grid-template-columns:max-content 1fr;gap:3px 18px;margin:14px 0}"
	"dt{color:var(--dim)}dd{margin:0;overflow-wrap:anywhere}"
	".wrap{overflow-x:auto}table{border-collapse:collapse;font-size:13.5px;width:100%;"
	"font-variant-numeric:tabular-nums}th{color:var(--dim);font-weight:600;text-align:right;"
	"white-space:nowrap}th,td{padding:4px 10px;border-bottom:1px solid var(--line);"
	"vertical-align:top}td{text-align:right}th.l,td.l{text-align:left}"
	"ul.why{margin:8px 0;padding-left:22px;color:var(--bad)}"
	".pic{border:1px solid var(--line);border-radius:8px;padding:10px 6px 4px;margin:8px 0;"
	"overflow-x:auto}svg{display:block;width:100%;min-width:720px;height:auto}"
	"svg text{fill:var(--fg);font:11px system-ui,'DejaVu Sans',sans-serif}"
	"svg .h{paint-order:stroke;stroke:var(--bg);stroke-width:3px;stroke-linejoin:round}"
	"svg .l{font-size:12px}svg .b{font-weight:600}svg .s{font-size:10px;fill:var(--dim)}"
	".grid{stroke:var(--line);stroke-width:1;fill:none}.axis{stroke:var(--dim);stroke-width:.7;"
	"fill:none}.lane{fill:var(--soft)}.op{fill:var(--vf);fill-opacity:.18;stroke:var(--vf);"
	"stroke-width:1}.op.bad{fill:var(--bad);stroke:var(--bad)}.step{stroke:var(--fg);"
	"stroke-width:1;fill:none}.c-vf{fill:var(--vf)}.c-syn{fill:var(--syn)}"
	".c-all{fill:var(--all)}path.r{fill-opacity:.55}.flow{fill:var(--line)}"
	".gap{fill:var(--bad);fill-opacity:.85}svg text.g{fill:#fff;font-size:10px}"
	"svg rect.b{fill:var(--all);fill-opacity:.25}svg rect.b-driven,svg "
	"rect.b-vf{fill:var(--vf);"
	"fill-opacity:.38}svg rect.b-revoked,svg rect.b-synthetic{fill:var(--syn);fill-opacity:.38}"
	"svg rect.b-draining,svg rect.b-restoring{fill:var(--syn);fill-opacity:.2}"
	"svg rect.b-park{fill:var(--park);fill-opacity:.45}.key{display:flex;flex-wrap:wrap;"
	"gap:4px 18px;font-size:13px;color:var(--dim)}.key i{display:inline-block;width:12px;"
	"height:12px;border-radius:3px;margin-right:6px;vertical-align:-1px}"
	"details{margin:6px 0}summary{cursor:pointer;color:var(--dim);font-size:13.5px}"
	"pre{background:var(--soft);padding:10px;border-radius:6px;overflow-x:auto;font-size:12px}";

static void cell(FILE *to, bool left, const char *text)
{
	fputs(left ? "<td class=\"l\">" : "<td>", to);
	report_escape(to, text);
	fputs("</td>", to);
}

static void cell_ms(FILE *to, double ms)
{
	fprintf(to, ms >= 100 || ms == 0 ? "<td>%.0f</td>" : "<td>%.1f</td>", ms);
}

static void cell_int(FILE *to, long long v, bool bad)
{
	fprintf(to, bad ? "<td class=\"w-bad\">%lld</td>" : "<td>%lld</td>", v);
}

static void entry(FILE *to, const char *key, const char *value)
{
	fprintf(to, "<dt>%s</dt><dd>", key);
	report_escape(to, value);
	fputs("</dd>", to);
}

static void why_list(FILE *to, const json_t *why)
{
	json_t *v;
	size_t i;

	if (!json_array_size(why))
		return;
	fputs("<ul class=\"why\">", to);
	json_array_foreach ((json_t *)why, i, v) {
		fputs("<li>", to);
		report_escape(to, json_string_value(v));
		fputs("</li>", to);
	}
	fputs("</ul>\n", to);
}

static void limit_text(char *buf, size_t size, const json_t *report)
{
	static const struct {
		const char *key, *name, *unit;
	} all[] = {
		{"gap_ms", "gap", " ms"},
		{"lost", "lost", ""},
		{"dropped", "dropped", ""},
		{"connections", "connections lost", ""},
		{"complaints", "kernel warnings", ""},
		{"op_ms", "operation", " ms"},
	};
	const json_t *l = json_object_get(report, "limits");
	size_t len = 0;

	buf[0] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(all) && len < size; i++) {
		long long v = out_int(l, all[i].key);

		if (v < 0)
			len += (size_t)snprintf(buf + len, size - len, "%s%s any", i ? ", " : "",
						all[i].name);
		else
			len += (size_t)snprintf(buf + len, size - len, "%s%s \xe2\x89\xa4 %lld%s",
						i ? ", " : "", all[i].name, v, all[i].unit);
	}
}

static void html_head(FILE *to, const json_t *report)
{
	char text[400], loads[100] = "";
	json_t *v;
	size_t i, len = 0;

	json_array_foreach ((json_t *)out_path(report, "options.load"), i, v)
		if (len < sizeof(loads))
			len += (size_t)snprintf(loads + len, sizeof(loads) - len, "%s%s",
						i ? ", " : "", json_string_value(v));
	fputs("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
	      "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
	      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
	      "style-src 'unsafe-inline'\"><title>",
	      to);
	snprintf(text, sizeof(text), "%s of %s: %s", out_str(report, "drill", "?"),
		 out_str(report, "target", "?"), passed(report) ? "PASS" : "FAIL");
	report_escape(to, text);
	fprintf(to, "</title><style>%s</style></head><body>\n<h1>", style);
	snprintf(text, sizeof(text), "Drill: %s of %s", out_str(report, "drill", "?"),
		 out_str(report, "target", "?"));
	report_escape(to, text);
	fprintf(to, " <span class=\"badge %s\">%s</span></h1>\n<p class=\"dim\">",
		passed(report) ? "ok" : "fail", passed(report) ? "PASS" : "FAIL");
	report_escape(to, out_str(report, "summary", ""));
	fputs("</p>\n", to);
	why_list(to, json_object_get(report, "why"));
	fputs("<dl>", to);
	snprintf(text, sizeof(text), "%s%s%lld of %lld cycles, %s, hvlab %s",
		 out_str(report, "how", ""), out_str(report, "how", NULL) ? ", " : "",
		 (long long)json_array_size(json_object_get(report, "cycles")),
		 out_int(report, "options.cycles"), out_str(report, "date", "?"),
		 out_str(report, "version", "?"));
	entry(to, "Run", text);
	snprintf(text, sizeof(text), "%s, kernel %s, %s", out_str(report, "target_vm.vm", "?"),
		 out_str(report, "target_vm.kernel", "?"), out_str(report, "target_vm.accel", "?"));
	entry(to, "Guest", text);
	snprintf(text, sizeof(text), "%s%s%s", *loads ? loads : "none", *loads ? ", peer " : "",
		 *loads ? out_str(report, "peer_vm.vm", "?") : "");
	entry(to, "Load", text);
	limit_text(text, sizeof(text), report);
	entry(to, "Limits", text);
	if (json_object_get(report, "baseline")) {
		double worst = 0;

		json_array_foreach ((json_t *)out_path(report, "baseline.gaps"), i, v)
			worst = fmax(worst, number(v, "ms"));
		snprintf(text, sizeof(text),
			 "in %lld ms with no drill the longest gap was %.0f ms; "
			 "the guests' clocks are known to %.0f ms",
			 out_int(report, "baseline.ms"), worst,
			 fmax(number(report, "clock.target_error_ms"),
			      number(report, "clock.peer_error_ms")));
		entry(to, "Noise", text);
	}
	if (out_str(report, "saved", NULL))
		entry(to, "Saved", out_str(report, "saved", ""));
	fputs("</dl>\n", to);
}

static double longest(const json_t *cycle, const char **flow)
{
	double ms = 0;
	json_t *g;
	size_t i;

	*flow = "";
	json_array_foreach (json_object_get(cycle, "gaps"), i, g) {
		if (number(g, "ms") > ms) {
			ms = number(g, "ms");
			*flow = out_str(g, "flow", "");
		}
	}
	return ms;
}

/* Longest gap of each cycle as a row of bars; failed ones in another colour. */
static void html_overview(FILE *to, const json_t *report)
{
	const json_t *cycles = json_object_get(report, "cycles");
	size_t n = json_array_size(cycles), i;
	double top = 10, limit = number(report, "limits.gap_ms");
	const char *flow;
	json_t *c;

	if (n < 2)
		return;
	json_array_foreach ((json_t *)cycles, i, c)
		top = fmax(top, longest(c, &flow));
	fprintf(to,
		"<h2>Longest gap of each cycle</h2><div class=\"pic\"><svg viewBox=\"0 0 1024 "
		"150\" role=\"img\" aria-label=\"longest gap of each cycle\">"
		"<text class=\"s\" x=\"56\" y=\"14\" text-anchor=\"end\">%.0f ms</text>"
		"<text class=\"s\" x=\"56\" y=\"129\" text-anchor=\"end\">0</text>"
		"<path class=\"axis\" d=\"M64 126h948\"/>\n",
		top);
	json_array_foreach ((json_t *)cycles, i, c) {
		double ms = longest(c, &flow), w = 948.0 / (double)n, h = fmax(ms / top * 114, 1);

		fprintf(to, "<g><title>cycle %lld: %.0f ms ", out_int(c, "n"), ms);
		report_escape(to, flow);
		fprintf(to,
			"</title><rect class=\"%s\" x=\"%.2f\" y=\"%.1f\" width=\"%.2f\" "
			"height=\"%.1f\"/></g>\n",
			passed(c) ? "c-vf" : "gap", 64 + w * (double)i, 126 - h,
			fmax(w - (w > 3 ? 1 : 0), 0.3), h);
	}
	if (limit > 0 && limit <= top)
		fprintf(to,
			"<path class=\"step\" stroke-dasharray=\"4 3\" d=\"M64 %.1fh948\"/>"
			"<text class=\"s\" x=\"1010\" y=\"%.1f\" "
			"text-anchor=\"end\">limit</text>\n",
			126 - limit / top * 114, 122 - limit / top * 114);
	fprintf(to,
		"<text class=\"s\" x=\"64\" y=\"143\">cycle 1</text><text class=\"s\" x=\"1012\" "
		"y=\"143\" text-anchor=\"end\">cycle %zu</text></svg></div>\n",
		n);
}

static long long total(const json_t *o)
{
	long long sum = 0;
	const char *key;
	json_t *v;

	json_object_foreach ((json_t *)o, key, v)
		sum += json_integer_value(v);
	return sum;
}

static void html_cycles(FILE *to, const json_t *report)
{
	const json_t *cycles = json_object_get(report, "cycles");
	size_t n = json_array_size(cycles), i, k;
	json_t *c, *op;

	fputs("<h2>Cycles</h2>", to);
	if (n > MANY)
		fprintf(to, "<details><summary>all %zu</summary>", n);
	fputs("<div class=\"wrap\"><table><tr><th>#</th><th class=\"l\">verdict</th>"
	      "<th class=\"l\">operations, ms</th><th>longest gap, ms</th><th class=\"l\">of</th>"
	      "<th>lost</th><th>dropped</th><th>connections lost</th><th>warnings</th></tr>\n",
	      to);
	json_array_foreach ((json_t *)cycles, i, c) {
		size_t dead = json_array_size(json_object_get(c, "connections_lost"));
		size_t lines = json_array_size(json_object_get(c, "complaints"));
		const char *flow;
		double ms = longest(c, &flow);

		fprintf(to, "<tr><td>%lld</td><td class=\"l %s\">%s</td><td class=\"l\">",
			out_int(c, "n"), passed(c) ? "w-ok" : "w-bad", passed(c) ? "pass" : "FAIL");
		json_array_foreach (json_object_get(c, "operations"), k, op) {
			fputs(k ? ", " : "", to);
			report_escape(to, out_str(op, "op", "?"));
			fprintf(to, " %.0f", number(op, "ms"));
		}
		fputs("</td>", to);
		cell_ms(to, ms);
		cell(to, true, flow);
		cell_int(to, out_int(c, "lost"), false);
		cell_int(to, total(json_object_get(c, "dropped")), false);
		cell_int(to, (long long)dead, dead > 0);
		cell_int(to, (long long)lines, lines > 0);
		fputs("</tr>\n", to);
	}
	fputs(n > MANY ? "</table></div></details>\n" : "</table></div>\n", to);
}

static void html_flows(FILE *to, const json_t *report)
{
	const json_t *flows = json_object_get(report, "flows");
	json_t *f;
	size_t i;

	if (!json_array_size(flows))
		return;
	fputs("<h2>Flows, over the whole drill</h2><div class=\"wrap\"><table><tr>"
	      "<th "
	      "class=\"l\">flow</th><th>sent</th><th>arrived</th><th>missing</th><th>doubled</th>"
	      "<th>reordered</th><th>changed</th><th>longest gap, ms</th><th>of it own, ms</th>"
	      "<th class=\"l\">connection</th></tr>\n",
	      to);
	json_array_foreach ((json_t *)flows, i, f) {
		const char *dead = out_str(f, "connection_lost", NULL);

		fputs("<tr>", to);
		cell(to, true, out_str(f, "flow", "?"));
		cell_int(to, out_int(f, "sent"), false);
		cell_int(to, out_int(f, "received"), false);
		cell_int(to, out_int(f, "missing"), false);
		cell_int(to, out_int(f, "doubled"), false);
		cell_int(to, out_int(f, "reordered"), false);
		cell_int(to, out_int(f, "changed"), out_int(f, "changed") > 0);
		cell_ms(to, number(f, "longest.ms"));
		cell_ms(to, number(f, "longest.own_ms"));
		fprintf(to, "<td class=\"l %s\">", dead ? "w-bad" : "");
		report_escape(to, dead ? dead : "kept");
		fputs("</td></tr>\n", to);
	}
	fputs("</table></div>\n<p class=\"dim\">A gap is the time between two arrivals beyond the "
	      "flow's pace, less what is the load's own: the time its programs did not run.</p>\n",
	      to);
}

static const json_t *samples_of(const json_t *report, long long n)
{
	json_t *s;
	size_t i;

	json_array_foreach (json_object_get(report, "samples"), i, s)
		if (out_int(s, "n") == n)
			return s;
	return NULL;
}

static void html_details(FILE *to, const json_t *cycle, const json_t *samples)
{
	json_t *op, *step, *v;
	size_t i, k;

	fputs("<details><summary>steps and lines</summary><pre>", to);
	json_array_foreach (json_object_get(cycle, "operations"), i, op) {
		report_escape(to, out_str(op, "op", "?"));
		fprintf(to, "  %.1f ms  ", number(op, "ms"));
		report_escape(to, out_str(op, "error", ""));
		fputc('\n', to);
		json_array_foreach (json_object_get(op, "steps"), k, step) {
			fprintf(to, "%10.1f  ", number(step, "ms"));
			report_escape(to, out_str(step, "step", "?"));
			fputc('\n', to);
		}
	}
	json_array_foreach (json_object_get(cycle, "complaints"), i, v) {
		report_escape(to, json_string_value(v));
		fputc('\n', to);
	}
	if (samples)
		fprintf(to,
			"sampler: %lld looks every %lld us, %lld late, the longest step %.1f ms, "
			"%.1f ms of CPU\n",
			out_int(samples, "looks"), out_int(samples, "step_us"),
			out_int(samples, "late"), number(samples, "longest_ns") / 1e6,
			number(samples, "cpu_ns") / 1e6);
	fputs("</pre></details>\n", to);
}

static void html_pictures(FILE *to, const json_t *report)
{
	const json_t *cycles = json_object_get(report, "cycles");
	bool told = false;
	json_t *c;
	size_t i;

	json_array_foreach ((json_t *)cycles, i, c) {
		const json_t *samples = samples_of(report, out_int(c, "n"));

		if (!samples)
			continue;
		if (!told)
			fputs("<h2>What each path carried</h2><p class=\"key\"><span><i "
			      "style=\"background:var(--vf)\"></i>VF</span><span><i "
			      "style=\"background:"
			      "var(--syn)\"></i>synthetic path</span><span><i style=\"background:"
			      "var(--park)\"></i>kept in the switch</span><span><i "
			      "style=\"background:"
			      "var(--bad)\"></i>standstill of a flow</span><span>above the line: "
			      "left "
			      "the guest; below: reached it</span></p>\n",
			      to);
		told = true;
		fprintf(to, "<p>Cycle %lld <span class=\"%s\">%s</span></p>\n", out_int(c, "n"),
			passed(c) ? "w-ok" : "w-bad", passed(c) ? "pass" : "FAIL");
		why_list(to, json_object_get(c, "why"));
		fputs("<div class=\"pic\">", to);
		report_svg(to, report, c, samples);
		fputs("</div>\n", to);
		html_details(to, c, samples);
	}
}

void report_html(FILE *to, const json_t *report)
{
	html_head(to, report);
	html_overview(to, report);
	html_pictures(to, report);
	html_cycles(to, report);
	html_flows(to, report);
	fputs("</body></html>\n", to);
}
