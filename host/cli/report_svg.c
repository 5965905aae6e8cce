/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the picture of a cycle: one time axis; on it the operations with their steps, the VF's
 * states, what each path carried (up: left the guest, down: reached it), and where flows stood
 * still. Counts of packets are spread over the pixels of their step and drawn as packets per
 * millisecond, all paths to one scale, so that areas can be compared; bursts are cut.
 */
#include "host/cli/report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LEFT	  132 /* px of labels */
#define PLOT	  880
#define WIDTH	  (LEFT + PLOT + 12)
#define OPS_H	  74
#define BAND_H	  22
#define PATH_H	  92
#define FLOW_H	  17
#define SHORT	  20 /* ms; shorter standstills are not drawn */
#define MAX_PATHS 6
#define MAX_FLOWS 40
#define MAX_TICKS 64

struct picture {
	FILE *to;
	const json_t *report, *cycle, *samples;
	double t0, t1; /* ns */
	double y;
};

struct lane {
	char name[64], class[8];
	double tx[PLOT], rx[PLOT];
	double n_tx, n_rx;
	bool used;
};

static double number(const json_t *o, const char *path)
{
	return json_number_value(out_path(o, path));
}

static double x_of(const struct picture *p, double ns)
{
	double x = (ns - p->t0) / (p->t1 - p->t0) * PLOT;

	return LEFT + (x < 0 ? 0 : x > PLOT ? PLOT : x);
}

static bool inside(const struct picture *p, double ns)
{
	return ns >= p->t0 && ns <= p->t1;
}

static void label(struct picture *p, double y, const char *class, const char *text)
{
	fprintf(p->to, "<text class=\"%s\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">", class,
		LEFT - 8, y);
	report_escape(p->to, text);
	fputs("</text>\n", p->to);
}

/* ---- operations and steps ---- */

/* Marks, each with its name in the first of three rows that has room; then only the mark. */
static void draw_steps(struct picture *p, const json_t *steps, double start, double y,
		       double free_at[3])
{
	int rows[MAX_TICKS];
	json_t *step;
	size_t k;

	json_array_foreach ((json_t *)steps, k, step) {
		double x = x_of(p, start + number(step, "ms") * 1e6);

		if (k >= MAX_TICKS)
			break;
		rows[k] = -1;
		for (int r = 0; r < 3 && rows[k] < 0; r++)
			if (free_at[r] <= x)
				rows[k] = r;
		if (rows[k] >= 0)
			free_at[rows[k]] = x + 8 + 5.4 * (double)strlen(out_str(step, "step", "?"));
		fprintf(p->to, "<g><title>");
		report_escape(p->to, out_str(step, "step", "?"));
		fprintf(p->to,
			" at %.1f ms</title><path class=\"step\" d=\"M%.1f %.1fV%.1f\"/></g>\n",
			number(step, "ms"), x, y + 20,
			rows[k] < 0 ? y + 25 : y + 27 + 13 * rows[k]);
	}
	/* The names lie above the marks. */
	json_array_foreach ((json_t *)steps, k, step) {
		const char *name = out_str(step, "step", "?");
		double x = x_of(p, start + number(step, "ms") * 1e6);
		bool flip = x + 8 + 5.4 * (double)strlen(name) > WIDTH;

		if (k >= MAX_TICKS)
			break;
		if (rows[k] < 0)
			continue;
		fprintf(p->to, "<text class=\"s h\" x=\"%.1f\" y=\"%.1f\"%s>", flip ? x - 3 : x + 3,
			y + 32 + 13 * rows[k], flip ? " text-anchor=\"end\"" : "");
		report_escape(p->to, name);
		fputs("</text>\n", p->to);
	}
}

static void draw_operations(struct picture *p)
{
	double y = p->y + 4, free_at[3] = {0, 0, 0};
	json_t *op;
	size_t i;

	label(p, y + 14, "l", "operations");
	json_array_foreach (json_object_get(p->cycle, "operations"), i, op) {
		double start = number(op, "start_ns"), end = start + number(op, "ms") * 1e6;
		double x = x_of(p, start), w = x_of(p, end) - x;

		if (end < p->t0 || start > p->t1)
			continue;
		fprintf(p->to, "<g><title>");
		report_escape(p->to, out_str(op, "op", "?"));
		fprintf(p->to,
			" %.1f ms</title><rect class=\"op%s\" x=\"%.1f\" y=\"%.1f\" "
			"width=\"%.1f\" height=\"20\" rx=\"3\"/>",
			number(op, "ms"), out_str(op, "error", NULL) ? " bad" : "", x, y,
			fmax(w, 2));
		fprintf(p->to, "<text class=\"t\" x=\"%.1f\" y=\"%.1f\">", x + 6, y + 14);
		report_escape(p->to, out_str(op, "op", "?"));
		fprintf(p->to, " %.0f ms</text></g>\n", number(op, "ms"));
		draw_steps(p, json_object_get(op, "steps"), start, y, free_at);
	}
	p->y += OPS_H;
}

/* The NIC that is the target, or one of the VM that is. */
static bool is_target(const struct picture *p, const char *vnic)
{
	const char *target = out_str(p->report, "target", "");
	size_t len = strlen(target);

	return !strncmp(vnic, target, len) &&
	       (!vnic[len] || (vnic[len] == '/' && !strchr(target, '/')));
}

/* ---- bands: who is what from when to when ---- */

static void band(struct picture *p, const char *name, double from, double to, double y)
{
	double x = x_of(p, from), w = x_of(p, to) - x;

	if (to <= p->t0 || from >= p->t1 || w <= 0)
		return;
	fprintf(p->to, "<g><title>");
	report_escape(p->to, name);
	fprintf(p->to, " for %.1f ms</title><rect class=\"b b-", (to - from) / 1e6);
	report_escape(p->to, name);
	fprintf(p->to, "\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%d\"/>", x, y, w,
		BAND_H - 4);
	if (w > 8 + 6.2 * (double)strlen(name)) {
		fprintf(p->to, "<text class=\"t\" x=\"%.1f\" y=\"%.1f\">", x + 5, y + 13);
		report_escape(p->to, name);
		fputs("</text>", p->to);
	}
	fputs("</g>\n", p->to);
}

/* From events named @event: what was in force, by their member @key, before it by "previous". */
static void draw_band(struct picture *p, const char *title, const char *event, const char *key)
{
	const char *now = NULL;
	double since = p->t0;
	json_t *e;
	size_t i;

	json_array_foreach (json_object_get(p->report, "events"), i, e) {
		double at = number(e, "time_ns");

		if (strcmp(out_str(e, "event", ""), event) != 0 ||
		    !is_target(p, out_str(e, "vnic", "")))
			continue;
		if (at >= p->t1)
			break;
		if (!now)
			now = out_str(e, "previous", NULL);
		if (now && at > p->t0)
			band(p, now, since, at, p->y);
		now = out_str(e, key, "?");
		since = fmax(at, p->t0);
	}
	if (!now)
		return;
	label(p, p->y + 13, "l", title);
	band(p, now, since, p->t1, p->y);
	p->y += BAND_H;
}

/* ---- paths ---- */

/* @count packets between two times, spread over the pixels there. */
static void spread(const struct picture *p, double *px, double from, double to, double count)
{
	double scale = PLOT / (p->t1 - p->t0), a = (from - p->t0) * scale, b = (to - p->t0) * scale;
	double width = fmax(b - a, 1e-9);

	for (int i = (int)fmax(0, floor(a)); i < PLOT && i < b; i++) {
		double part = fmin(b, i + 1) - fmax(a, i);

		if (part > 0)
			px[i] += count * part / width;
	}
}

/* "a/eth0/vf" is the VF of target a/eth0, of target a the VF of eth0. */
static void lane_label(const struct picture *p, const struct lane *l, char *buf, size_t size)
{
	const char *nic =
		strchr(out_str(p->report, "target", ""), '/') ? NULL : strchr(l->name, '/');
	int len = nic ? (int)strcspn(nic + 1, "/") : 0;

	snprintf(buf, size, "%.*s%s%s", len, nic ? nic + 1 : "", nic ? " " : "",
		 !strcmp(l->class, "vf")    ? "VF"
		 : !strcmp(l->class, "syn") ? "synthetic"
					    : l->name);
}

static struct lane *lane_of(struct lane lanes[MAX_PATHS], const char *name)
{
	for (int i = 0; i < MAX_PATHS; i++) {
		if (!lanes[i].used) {
			lanes[i].used = true;
			snprintf(lanes[i].name, sizeof(lanes[i].name), "%s", name);
			snprintf(lanes[i].class, sizeof(lanes[i].class), "%s",
				 strstr(name, "/vf")	? "vf"
				 : strstr(name, "/syn") ? "syn"
							: "all");
		}
		if (!strcmp(lanes[i].name, name))
			return &lanes[i];
	}
	return NULL;
}

/* Only the target's paths; when the daemon has none, its whole NIC. */
static void collect(const struct picture *p, struct lane lanes[MAX_PATHS], bool paths)
{
	double start = number(p->samples, "start_ns");
	json_t *port, *row;
	size_t i, k;

	json_array_foreach (json_object_get(p->samples, "paths"), i, port) {
		const char *name = out_str(port, "port", ""), *path = strchr(name, '/');
		char vnic[64];
		struct lane *l;

		path = path ? strchr(path + 1, '/') : NULL;
		snprintf(vnic, sizeof(vnic), "%.*s", path ? (int)(path - name) : 63, name);
		if (!is_target(p, vnic) || paths != (path != NULL))
			continue;
		l = lane_of(lanes, name);
		if (!l)
			continue;
		json_array_foreach (json_object_get(port, "rows"), k, row) {
			double at = start + json_number_value(json_array_get(row, 0)) * 1e3;
			double end = at + json_number_value(json_array_get(row, 1)) * 1e3;
			double tx = json_number_value(json_array_get(row, 2));
			double rx = json_number_value(json_array_get(row, 4));

			spread(p, l->tx, at, end, tx);
			spread(p, l->rx, at, end, rx);
			l->n_tx += tx;
			l->n_rx += rx;
		}
	}
}

/* One path for all columns: neighbours of one height are drawn as one. */
static void draw_columns(struct picture *p, const char *class, const double *px, double scale,
			 double most, double y0, double sign)
{
	bool any = false;

	for (int i = 0; i < PLOT; i++)
		any = any || px[i] > 0;
	if (!any)
		return;
	fprintf(p->to, "<path class=\"%s\" d=\"", class);
	for (int i = 0; i < PLOT;) {
		double h = fmin(most, fmax(px[i] * scale, px[i] > 0 ? 0.6 : 0));
		int run = 1;

		while (i + run < PLOT && fabs(px[i + run] - px[i]) * scale < 0.05)
			run++;
		if (h > 0)
			fprintf(p->to, "M%d %.1fv%.1fh%dv%.1fz", LEFT + i, y0, -sign * h, run,
				sign * h);
		i += run;
	}
	fputs("\"/>\n", p->to);
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Packets in a pixel at full height: one burst may go beyond, the rest is to be seen. */
static double full_height(const struct lane lanes[MAX_PATHS], double *peak)
{
	double *v = malloc(sizeof(*v) * 2 * MAX_PATHS * PLOT), top;
	size_t n = 0;

	*peak = 0;
	for (int l = 0; v && l < MAX_PATHS && lanes[l].used; l++)
		for (int i = 0; i < PLOT; i++) {
			if (lanes[l].tx[i] > 0)
				v[n++] = lanes[l].tx[i];
			if (lanes[l].rx[i] > 0)
				v[n++] = lanes[l].rx[i];
		}
	if (!n) {
		free(v);
		return 0;
	}
	qsort(v, n, sizeof(*v), compare_doubles);
	*peak = v[n - 1];
	top = fmin(*peak, 2 * v[(n - 1) * 95 / 100]);
	free(v);
	return top;
}

static void draw_paths(struct picture *p)
{
	struct lane *lanes = calloc(MAX_PATHS, sizeof(*lanes));
	double per_px = (p->t1 - p->t0) / 1e6 / PLOT, top, peak; /* ms; packets in a pixel */

	if (!lanes)
		return;
	collect(p, lanes, true);
	if (!lanes[0].used)
		collect(p, lanes, false);
	top = full_height(lanes, &peak);
	for (int l = 0; l < MAX_PATHS && lanes[l].used; l++) {
		double mid = p->y + PATH_H / 2.0, half = PATH_H / 2.0 - 8;
		double scale = top > 0 ? half / top : 0;
		char class[16], text[80];

		fprintf(p->to,
			"<rect class=\"lane\" x=\"%d\" y=\"%.1f\" width=\"%d\" height=\"%d\"/>\n",
			LEFT, p->y, PLOT, PATH_H - 6);
		mid -= 3;
		snprintf(class, sizeof(class), "c-%s", lanes[l].class);
		draw_columns(p, class, lanes[l].tx, scale, half + 4, mid, 1);
		snprintf(class, sizeof(class), "c-%s r", lanes[l].class);
		draw_columns(p, class, lanes[l].rx, scale, half + 4, mid, -1);
		fprintf(p->to, "<path class=\"axis\" d=\"M%d %.1fh%d\"/>\n", LEFT, mid, PLOT);
		lane_label(p, &lanes[l], text, sizeof(text));
		label(p, mid - 16, "l b", text);
		snprintf(text, sizeof(text), "sent %.0f", lanes[l].n_tx);
		label(p, mid - 2, "s", text);
		snprintf(text, sizeof(text), "received %.0f", lanes[l].n_rx);
		label(p, mid + 12, "s", text);
		if (!l) {
			snprintf(text, sizeof(text), "\xc2\xb1%.1f /ms, peak %.1f", top / per_px,
				 peak / per_px);
			label(p, mid + 28, "s", text);
		}
		p->y += PATH_H;
	}
	free(lanes);
}

/* ---- flows ---- */

static void draw_flows(struct picture *p)
{
	const char *names[MAX_FLOWS];
	json_t *gap;
	int n = 0, known;
	size_t i;

	/* Those of which there is something to see, the longest told first by the load. */
	json_array_foreach (json_object_get(p->cycle, "gaps"), i, gap) {
		const char *name = out_str(gap, "flow", "?");

		for (known = 0; known < n && strcmp(names[known], name) != 0; known++)
			;
		if (known == n && n < MAX_FLOWS && number(gap, "ms") >= SHORT)
			names[n++] = name;
	}
	if (n)
		p->y += 4;
	for (int f = 0; f < n; f++) {
		double free_at = 0;

		label(p, p->y + 11, "s", names[f]);
		fprintf(p->to,
			"<rect class=\"flow\" x=\"%d\" y=\"%.1f\" width=\"%d\" height=\"3\"/>\n",
			LEFT, p->y + 6, PLOT);
		json_array_foreach (json_object_get(p->cycle, "gaps"), i, gap) {
			double end = number(gap, "end_ns"), ms = number(gap, "ms");
			double from = end - number(gap, "raw_ms") * 1e6, x, w;

			if (strcmp(out_str(gap, "flow", "?"), names[f]) != 0 || ms < SHORT ||
			    (!inside(p, end) && !inside(p, from)))
				continue;
			x = x_of(p, from);
			w = fmax(x_of(p, end) - x, 1.5);
			fprintf(p->to, "<g><title>");
			report_escape(p->to, names[f]);
			fprintf(p->to,
				" stood still for %.1f ms (%.1f ms between arrivals, %.1f ms of it "
				"the load's own)</title><rect class=\"gap\" x=\"%.1f\" y=\"%.1f\" "
				"width=\"%.1f\" height=\"11\" rx=\"2\"/>",
				ms, number(gap, "raw_ms"), number(gap, "own_ms"), x, p->y + 2, w);
			/* Inside when there is room, else behind; not over the next one. */
			if (w > 46 || x - free_at > 46) {
				fprintf(p->to,
					"<text class=\"%s\" x=\"%.1f\" y=\"%.1f\">%.0f ms</text>",
					w > 46 ? "g" : "s h", w > 46 ? x + 4 : x + w + 3, p->y + 11,
					ms);
				free_at = x + w;
			}
			fputs("</g>\n", p->to);
		}
		p->y += FLOW_H;
	}
}

/* A round step that gives six to twelve marks. */
static double tick_ms(double ms)
{
	double step = 1;

	while (ms / step > 12)
		step *= ms / step > 60 ? 10 : ms / step > 24 ? 5 : 2;
	return step;
}

static void draw_axis(struct picture *p, double top)
{
	double ms = (p->t1 - p->t0) / 1e6, step = tick_ms(ms);

	for (double t = 0; t <= ms; t += step) {
		double x = LEFT + t / ms * PLOT;

		fprintf(p->to,
			"<path class=\"grid\" d=\"M%.1f %.1fV%.1f\"/><text class=\"s\" "
			"x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%g</text>\n",
			x, top, p->y + 4, x, p->y + 17, step >= 1000 ? t / 1000 : t);
	}
	fprintf(p->to, "<text class=\"s\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
		LEFT - 8, p->y + 17, step >= 1000 ? "seconds" : "milliseconds");
	p->y += 24;
}

static void draw(struct picture *p)
{
	p->y = 6;
	draw_operations(p);
	draw_band(p, "VF is", "VF_STATE", "state");
	draw_band(p, "receives on", "PATH_SWITCHED", "path");
	p->y += 6;
	draw_paths(p);
	draw_flows(p);
}

void report_svg(FILE *to, const json_t *report, const json_t *cycle, const json_t *samples)
{
	struct picture p = {.to = to, .report = report, .cycle = cycle, .samples = samples};
	char *body = NULL;
	size_t size = 0;

	p.t0 = number(samples ? samples : cycle, "start_ns");
	p.t1 = number(samples ? samples : cycle, "end_ns");
	if (p.t1 <= p.t0)
		return;
	/* The height is known when all is drawn; the grid lies below it. */
	p.to = open_memstream(&body, &size);
	if (!p.to)
		return;
	draw(&p);
	fclose(p.to);
	p.to = to;
	fprintf(to,
		"<svg viewBox=\"0 0 %d %.0f\" role=\"img\" aria-label=\"timeline of cycle %lld\" "
		"xmlns=\"http://www.w3.org/2000/svg\">\n",
		WIDTH, p.y + 26, out_int(cycle, "n"));
	draw_axis(&p, 6);
	fwrite(body, 1, size, to);
	fputs("</svg>\n", to);
	free(body);
}
