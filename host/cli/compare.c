/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns "hvlab compare": the two paths of a pair of NICs side by side. */
#include "host/cli/compare.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/cli/commands.h"
#include "host/cli/drill_check.h"

struct compare {
	struct drill d;
	unsigned int rounds, seconds;
	bool threads;
	/* figures[measure][path]: arrays */
	json_t *figures[16][COMPARE_N_PATHS];
	json_t *invalid;
};

/* A NIC with both paths, in a ready VM. */
static int find(struct compare *c, const json_t *status, const char *name, struct drill_vm *to,
		char *network, size_t size)
{
	json_t *vm, *nic = NULL;
	size_t i;

	json_array_foreach (json_object_get(status, "vms"), i, vm) {
		const char *text;

		nic = drill_find_nic(vm, name);
		if (!nic)
			continue;
		if (strcmp(out_str(vm, "state", ""), "ready") != 0)
			return drill_fail(&c->d, -EINVAL, "VM %s is %s, not ready",
					  out_str(vm, "name", "?"), out_str(vm, "state", "?"));
		if (!drill_has_vf(nic) || !drill_has_synthetic(nic))
			return drill_fail(
				&c->d, -EINVAL,
				"%s has no %s: two paths are to be compared (lab file: vf, "
				"synthetic)",
				name, drill_has_vf(nic) ? "synthetic path" : "VF");
		text = json_string_value(json_array_get(json_object_get(nic, "addresses"), 0));
		if (!text)
			return drill_fail(&c->d, -EINVAL, "%s has no address in the lab file",
					  name);
		snprintf(to->name, sizeof(to->name), "%s", out_str(vm, "name", ""));
		snprintf(to->vnic, sizeof(to->vnic), "%s", name);
		snprintf(to->mac, sizeof(to->mac), "%s", out_str(nic, "mac", ""));
		snprintf(to->address, sizeof(to->address), "%.*s", (int)strcspn(text, "/"), text);
		snprintf(network, size, "%s", out_str(nic, "network", ""));
		return 0;
	}
	return drill_fail(&c->d, -ENOENT, "there is no NIC %s", name);
}

static int check(struct compare *c, const char *a, const char *b)
{
	char nets[2][DRILL_NAME];
	json_t *status;
	int ret;

	if (!drill_can(&c->d, "vf-revoke") || !drill_can(&c->d, "sampler-start"))
		return drill_fail(&c->d, -ENOSYS, "this daemon cannot switch paths");
	ret = drill_status(&c->d, &status);
	if (ret)
		return ret;
	ret = find(c, status, a, &c->d.target, nets[0], sizeof(nets[0]));
	if (!ret)
		ret = find(c, status, b, &c->d.peer, nets[1], sizeof(nets[1]));
	json_decref(status);
	if (!ret && !strcmp(c->d.target.name, c->d.peer.name))
		ret = drill_fail(&c->d, -EINVAL, "%s and %s are of one VM", a, b);
	if (!ret && strcmp(nets[0], nets[1]) != 0)
		ret = drill_fail(&c->d, -EINVAL, "%s is on network %s, %s on %s", a, nets[0], b,
				 nets[1]);
	return ret;
}

static int measure_path(struct compare *c, enum compare_path path, unsigned int round)
{
	int ret = compare_force(&c->d, path);

	for (size_t m = 0; !ret && m < compare_n_measures; m++) {
		const struct compare_measure *cm = &compare_measures[m];
		json_t *figure;
		char text[400];

		ret = compare_measure(&c->d, cm, path, c->seconds, &figure);
		if (ret)
			return ret;
		fprintf(stderr, "round %u, %s path, %s: %.3g %s%s%s\n", round,
			compare_path_names[path], cm->name,
			json_number_value(json_object_get(figure, "value")), cm->unit,
			*out_str(figure, "why", "") ? ", INVALID: " : "",
			out_str(figure, "why", ""));
		if (*out_str(figure, "why", "")) {
			snprintf(text, sizeof(text), "%s, %s path, round %u: %s", cm->name,
				 compare_path_names[path], round, out_str(figure, "why", ""));
			json_array_append_new(c->invalid, json_string(text));
		}
		json_array_append_new(c->figures[m][path], figure);
	}
	return ret;
}

/* Every other round begins with the other path: what drifts meets both alike. */
static int measure(struct compare *c)
{
	int ret = compare_serve(&c->d, true);

	for (unsigned int r = 1; !ret && r <= c->rounds; r++) {
		enum compare_path first = r % 2 ? COMPARE_VF : COMPARE_SYNTHETIC;

		ret = measure_path(c, first, r);
		if (!ret)
			ret = measure_path(c, !first, r);
	}
	return ret;
}

static void clean_up(struct compare *c)
{
	char why[sizeof(c->d.why)];

	memcpy(why, c->d.why, sizeof(why));
	drill_signals_end(&c->d);
	if (c->d.sampling)
		drill_sampler_stop(&c->d, NULL);
	compare_serve(&c->d, false);
	compare_force(&c->d, COMPARE_VF);
	memcpy(c->d.why, why, sizeof(why));
}

static json_t *result(struct compare *c)
{
	json_t *rows = json_array();
	size_t bad = json_array_size(c->invalid);

	for (size_t m = 0; m < compare_n_measures; m++) {
		const struct compare_measure *cm = &compare_measures[m];
		json_t *vf = compare_summary(c->figures[m][COMPARE_VF]);
		json_t *syn = compare_summary(c->figures[m][COMPARE_SYNTHETIC]);
		double a = json_number_value(json_object_get(vf, "median"));
		double b = json_number_value(json_object_get(syn, "median"));

		json_array_append_new(
			rows,
			json_pack("{s:s, s:s, s:b, s:o, s:o, s:o, s:O, s:O}", "measure", cm->name,
				  "unit", cm->unit, "less_is_better", cm->less, "vf", vf,
				  "synthetic", syn, "ratio", b > 0 ? json_real(a / b) : json_null(),
				  "vf_figures", c->figures[m][COMPARE_VF], "synthetic_figures",
				  c->figures[m][COMPARE_SYNTHETIC]));
	}
	return json_pack("{s:s, s:s, s:s, s:i, s:i, s:b, s:O, s:o}", "version", HVLAB_VERSION, "a",
			 c->d.target.vnic, "b", c->d.peer.vnic, "rounds", (int)c->rounds, "seconds",
			 (int)c->seconds, "valid", bad == 0, "invalid", c->invalid, "rows", rows);
}

static void fmt_path(const json_t *v, char *buf, size_t size)
{
	double mid = json_number_value(json_object_get(v, "median"));
	int digits = mid >= 100 ? 0 : mid >= 10 ? 1 : 2;

	if (!json_object_get(v, "median"))
		snprintf(buf, size, "invalid");
	else
		snprintf(buf, size, "%.*f (%.*f..%.*f)%s", digits, mid, digits,
			 json_number_value(json_object_get(v, "min")), digits,
			 json_number_value(json_object_get(v, "max")),
			 json_is_true(json_object_get(v, "valid")) ? "" : " !");
}

static void fmt_cpu(const json_t *v, char *buf, size_t size)
{
	snprintf(buf, size, "%.0f + %.0f %%", 100 * json_number_value(json_object_get(v, "daemon")),
		 100 * json_number_value(json_object_get(v, "qemu")));
}

static void fmt_ratio(const json_t *v, char *buf, size_t size)
{
	snprintf(buf, size, "%.2f", json_number_value(v));
}

static void fmt_percent(const json_t *v, char *buf, size_t size)
{
	if (v)
		snprintf(buf, size, "%.1f", 100 * json_number_value(v));
	else
		snprintf(buf, size, "-");
}

#define THREAD_SHOWN 0.01 /* cores */

/* A row for each measure and thread that used something on either path. */
static void show_threads(struct output *out, const json_t *r)
{
	static const struct out_column cols[] = {
		{.title = "MEASURE", .path = "measure"},
		{.title = "THREAD", .path = "thread"},
		{.title = "VF", .path = "vf", .format = fmt_percent, .right = true},
		{.title = "SYNTHETIC", .path = "synthetic", .format = fmt_percent, .right = true},
	};
	json_t *rows = json_array(), *row, *v;
	const char *name;
	size_t i;

	json_array_foreach (json_object_get(r, "rows"), i, row) {
		json_t *vf = (json_t *)out_path(row, "vf.cpu.threads");
		json_t *syn = (json_t *)out_path(row, "synthetic.cpu.threads");
		json_t *all = json_object();
		const char *measure = out_str(row, "measure", "?");

		json_object_update(all, vf);
		json_object_update(all, syn);
		json_object_foreach (all, name, v) {
			const json_t *a = json_object_get(vf, name);
			const json_t *b = json_object_get(syn, name);
			json_t *line;

			if (json_number_value(a) < THREAD_SHOWN &&
			    json_number_value(b) < THREAD_SHOWN)
				continue;
			line = json_pack("{s:s, s:s}", "measure", measure, "thread", name);
			measure = "";
			if (a)
				json_object_set(line, "vf", (json_t *)a);
			if (b)
				json_object_set(line, "synthetic", (json_t *)b);
			json_array_append_new(rows, line);
		}
		json_decref(all);
	}
	out_text(out, "\nCPU by thread, percent of one CPU, medians; those under 1 %% on both "
		      "paths left out:\n\n");
	out_table(out, rows, cols, ARRAY_SIZE(cols));
	json_decref(rows);
}

static void show(struct output *out, const json_t *r)
{
	static const struct out_column cols[] = {
		{.title = "MEASURE", .path = "measure"},
		{.title = "UNIT", .path = "unit"},
		{.title = "VF", .path = "vf", .format = fmt_path, .right = true},
		{.title = "SYNTHETIC", .path = "synthetic", .format = fmt_path, .right = true},
		{.title = "VF/SYN", .path = "ratio", .format = fmt_ratio, .right = true},
		{.title = "CPU-VF", .path = "vf.cpu", .format = fmt_cpu, .right = true},
		{.title = "CPU-SYN", .path = "synthetic.cpu", .format = fmt_cpu, .right = true},
	};
	json_t *v;
	size_t i;

	out_text(out, "A is %s, B is %s; %lld rounds of %lld s: median (range)\n\n",
		 out_str(r, "a", "?"), out_str(r, "b", "?"), out_int(r, "rounds"),
		 out_int(r, "seconds"));
	out_table(out, json_object_get(r, "rows"), cols, ARRAY_SIZE(cols));
	out_text(out, "\nCPU: hvlabd + both QEMUs, in percent of one CPU%s.\n",
		 json_is_true(json_object_get(r, "show_threads")) ? "" : "; --threads shows more");
	if (!json_array_size(json_object_get(r, "invalid")))
		out_text(out,
			 "Switch and guests counted the packets of every figure on the path it "
			 "names.\n");
	json_array_foreach (json_object_get(r, "invalid"), i, v) {
		out_text(out, "INVALID ");
		out_line(out, json_string_value(v));
	}
	if (json_is_true(json_object_get(r, "show_threads")))
		show_threads(out, r);
}

static int run(struct cli *cli, int argc, char **argv)
{
	static const struct option longs[] = {
		{"rounds", required_argument, NULL, 'r'},
		{"seconds", required_argument, NULL, 's'},
		{"threads", no_argument, NULL, 't'},
		{0},
	};
	struct compare c = {.d = {.cli = cli, .sigfd = -1}, .rounds = 3, .seconds = 3};
	char *names[2] = {NULL, NULL};
	int opt, ret = -ENOENT, status = CLI_FAILED;
	json_t *value;

	while ((opt = cli_getopt(cli, argc, argv, NULL, longs)) != -1) {
		if (opt == 'r')
			c.rounds = (unsigned int)cli_number(cli, "--rounds", optarg, 1, 100);
		else if (opt == 's')
			c.seconds = (unsigned int)cli_number(cli, "--seconds", optarg, 1, 600);
		else if (opt == 't')
			c.threads = true;
	}
	cli_args(cli, argc, 2, "A or B");
	if (cli_connect(cli) < 0)
		return CLI_FAILED;
	names[0] = cli_vnic(cli, argv[optind]);
	names[1] = names[0] ? cli_vnic(cli, argv[optind + 1]) : NULL;
	if (!names[1]) {
		free(names[0]);
		return CLI_FAILED;
	}
	for (size_t m = 0; m < compare_n_measures; m++)
		for (int p = 0; p < COMPARE_N_PATHS; p++)
			c.figures[m][p] = json_array();
	c.invalid = json_array();
	ret = check(&c, names[0], names[1]);
	if (!ret) {
		c.d.sigfd = cli_signals();
		client_wake_on(cli->client, c.d.sigfd);
		ret = measure(&c);
		clean_up(&c);
	}
	if (ret == -EINTR) {
		status = CLI_INTERRUPTED;
	} else if (ret) {
		cli_error(NULL, "%s", c.d.why);
	} else {
		value = result(&c);
		if (c.threads && !cli->out.json)
			json_object_set_new(value, "show_threads", json_true());
		out_result(&cli->out, value, show);
		json_decref(value);
		if (!json_array_size(c.invalid))
			status = CLI_OK;
		else
			cli_error(NULL, "%zu figures are invalid: their packets took another path",
				  json_array_size(c.invalid));
	}
	for (size_t m = 0; m < compare_n_measures; m++)
		for (int p = 0; p < COMPARE_N_PATHS; p++)
			json_decref(c.figures[m][p]);
	json_decref(c.invalid);
	free(names[0]);
	free(names[1]);
	return status;
}

const struct cli_command cmd_compare = {
	.name = "compare",
	.args = "A B [--rounds N] [--seconds N] [--threads] [--json]",
	.summary = "Measure two VMs' traffic on the VF path and on the synthetic path",
	.help = "A and B are VM/NIC, or VM when it has one NIC; both on one network, each with a "
		"VF\n"
		"and a synthetic path. Ping RTT, TCP with 1 and 4 streams, UDP and small UDP "
		"packets,\n"
		"both ways (iperf3 in the guests), and the CPU time of hvlabd and QEMU; on one "
		"path,\n"
		"then on the other, so many rounds; medians and ranges. The daemon takes the VFs "
		"away\n"
		"and gives them back. A figure counts only if the switch's and both guests' "
		"counters\n"
		"say that its packets took the path; else it is marked and the command fails.\n\n"
		"Options:\n"
		"  --rounds N    default 3\n"
		"  --seconds N   of each iperf3 run: default 3\n"
		"  --threads     the CPU time of each thread as well: hvlabd's workers, QEMU's "
		"vCPUs\n"
		"  --json        all figures, with counters and the CPU time of threads\n\n"
		"Examples:\n"
		"  hvlab compare a b\n"
		"  hvlab compare a/eth0 b/eth0 --rounds 5 --seconds 10 --json > paths.json\n",
	.json = true,
	.run = run,
};
