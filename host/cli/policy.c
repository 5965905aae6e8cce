/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns "hvlab policy": policy files applied, shown, compared, tested and removed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/cli/commands.h"
#include "host/cli/words.h"
#include "host/policy_eval.h"

enum { OPT_FLUSH = 256, OPT_ONLY, OPT_NSG, OPT_NETWORK, OPT_NIC, OPT_LAB, OPT_ALL, OPT_RULES };

static json_t *change_args; /* what the options said, under the protocol's names */
static const char *lab_file;
static bool all, rules;

static void add_to(const char *key, const char *value)
{
	json_t *list = json_object_get(change_args, key);

	if (!list) {
		list = json_array();
		json_object_set_new(change_args, key, list);
	}
	json_array_append_new(list, json_string(value));
}

static void option(int opt)
{
	switch (opt) {
	case OPT_FLUSH:
		json_object_set_new(change_args, "flush", json_true());
		break;
	case OPT_ONLY:
		json_object_set_new(change_args, "only", json_true());
		break;
	case OPT_NSG:
		json_object_set_new(change_args, "nsg", json_string(optarg));
		break;
	case OPT_NETWORK:
		add_to("networks", optarg);
		break;
	case OPT_NIC:
		add_to("nics", optarg);
		break;
	case OPT_LAB:
		lab_file = optarg;
		break;
	case OPT_ALL:
		all = true;
		break;
	case OPT_RULES:
		rules = true;
		break;
	}
}

/* ---- files ---- */

static void print_errors(const struct lab_errors *errs, int ret)
{
	unsigned int n = errs->n + errs->n_more;
	char line[1024];

	for (unsigned int i = 0; i < errs->n; i++) {
		lab_error_format(errs, &errs->list[i], line, sizeof(line));
		fprintf(stderr, "%s\n", line);
	}
	if (!n)
		fprintf(stderr, "%s: %s\n", errs->file, strerror(-ret));
	fprintf(stderr, "hvlab: %s: %u mistake%s\n", errs->file, n ? n : 1, n > 1 ? "s" : "");
}

/*
 * A file's name in the daemon: its path from the root, as lab files have it, so that it replaces
 * itself wherever one stands. The caller's.
 */
static char *name_of(const char *file)
{
	char *real = realpath(file, NULL);

	return real ? real : strdup(file);
}

static void add_text(json_t *texts, const char *file, const char *text, size_t size)
{
	char *name = name_of(file);

	if (name)
		json_object_set_new(texts, name, json_stringn(text, size));
	free(name);
}

/* The files named, checked each on its own; false: with all that is wrong printed. */
static bool read_files(struct cli *cli, int argc, char **argv, json_t *texts)
{
	bool ok = true;

	if (optind == argc)
		cli_usage(cli, "name a policy file");
	for (int i = optind; i < argc; i++) {
		struct lab_errors errs = {0};
		struct nsg_file *f = NULL;
		char *text = NULL;
		size_t size;
		int ret = nsg_load_file(argv[i], &f, &errs);

		if (!ret)
			ret = nsg_read_text(argv[i], &text, &size);
		if (ret)
			print_errors(&errs, ret);
		else
			add_text(texts, argv[i], text, size);
		ok = ok && !ret;
		free(text);
		nsg_free(f);
		lab_errors_free(&errs);
	}
	return ok;
}

static int call(struct cli *cli, const char *command, json_t *args,
		void (*show)(struct output *out, const json_t *v))
{
	json_t *v = cli_call_slow(cli, command, args);

	if (!v)
		return CLI_FAILED;
	out_result(&cli->out, v, show);
	json_decref(v);
	return CLI_OK;
}

/* ---- show ---- */

static const char *text_of(const json_t *v, const char *key)
{
	const char *s = json_string_value(json_object_get(v, key));

	return s ? s : "-";
}

static void show_rule(struct output *out, const json_t *r)
{
	static const char *const keys[] = {"protocol", "source", "source_ports", "destination",
					   "destination_ports"};

	out_text(out, "    %5lld %-8s %-5s %-30s", out_int(r, "priority"), text_of(r, "direction"),
		 text_of(r, "access"), text_of(r, "name"));
	for (unsigned int i = 0; i < ARRAY_SIZE(keys); i++) {
		const json_t *v = json_object_get(r, keys[i]);

		if (json_is_string(v) && strcmp(json_string_value(v), "any") != 0)
			out_text(out, " %s %s", keys[i], json_string_value(v));
		for (size_t k = 0; k < json_array_size(v); k++)
			if (k)
				out_text(out, ",%s", json_string_value(json_array_get(v, k)));
			else
				out_text(out, " %s %s", keys[i],
					 json_string_value(json_array_get(v, k)));
	}
	out_text(out, "\n");
}

static void show_groups(struct output *out, const json_t *files)
{
	json_t *file, *group, *rule;
	size_t f, g, r;

	json_array_foreach ((json_t *)files, f, file) {
		json_array_foreach (json_object_get(json_object_get(file, "content"), "nsgs"), g,
				    group) {
			out_text(out, "\n");
			out_heading(out, text_of(group, "name"));
			json_array_foreach (json_object_get(group, "rules"), r, rule)
				show_rule(out, rule);
		}
	}
}

static void show_meters(struct output *out, const json_t *nics)
{
	static const struct out_column cols[] = {
		{.title = "NIC", .path = "vnic"},
		{.title = "METER", .path = "name"},
		{.title = "PACKETS OUT", .path = "out_packets", .right = true},
		{.title = "BYTES OUT", .path = "out_bytes", .format = out_fmt_bytes, .right = true},
		{.title = "PACKETS IN", .path = "in_packets", .right = true},
		{.title = "BYTES IN", .path = "in_bytes", .format = out_fmt_bytes, .right = true},
	};
	json_t *rows = json_array(), *nic, *meter;
	size_t n, m;

	json_array_foreach ((json_t *)nics, n, nic) {
		json_array_foreach (json_object_get(nic, "meters"), m, meter) {
			json_t *row = json_copy(meter);

			json_object_set(row, "vnic", json_object_get(nic, "vnic"));
			json_array_append_new(rows, row);
		}
	}
	if (json_array_size(rows)) {
		out_text(out, "\n");
		out_table(out, rows, cols, ARRAY_SIZE(cols));
	}
	json_decref(rows);
}

static void show(struct output *out, const json_t *v)
{
	static const struct out_column files[] = {
		{.title = "FILE", .path = "name"},
		{.title = "FORM", .path = "form"},
		{.title = "GROUPS", .path = "groups"},
		{.title = "ACLS", .path = "acls", .right = true},
		{.title = "NAT", .path = "nat", .right = true},
		{.title = "METERS", .path = "meters", .right = true},
		{.title = "TUNNELS", .path = "tunnels", .right = true},
	};
	static const struct out_column nics[] = {
		{.title = "NIC", .path = "vnic"},
		{.title = "NETWORK", .path = "network"},
		{.title = "NIC'S GROUP", .path = "nic_nsg"},
		{.title = "SUBNET'S GROUP", .path = "subnet_nsg"},
		{.title = "RULES", .path = "rules", .right = true},
		{.title = "CONNECTIONS", .path = "connections", .right = true},
		{.title = "DENIED OUT", .path = "denied_out", .right = true},
		{.title = "DENIED IN", .path = "denied_in", .right = true},
	};
	const json_t *list = json_object_get(v, "files");
	json_t *f, *g;
	size_t i, k;

	if (!json_array_size(list)) {
		out_text(out, "no policy is applied: everything may pass\n");
		return;
	}
	json_array_foreach ((json_t *)list, i, f) {
		json_t *names = json_array();

		json_array_foreach (json_object_get(f, "nsgs"), k, g)
			json_array_append(names, json_object_get(g, "name"));
		json_object_set_new(f, "groups", names);
	}
	out_table(out, list, files, ARRAY_SIZE(files));
	out_text(out, "\n");
	out_table(out, json_object_get(v, "nics"), nics, ARRAY_SIZE(nics));
	show_meters(out, json_object_get(v, "nics"));
	show_groups(out, list);
}

static void show_change(struct output *out, const json_t *v)
{
	out_text(out, "%lld NIC%s changed%s\n", out_int(v, "changed"),
		 out_int(v, "changed") == 1 ? "" : "s",
		 json_is_true(json_object_get(v, "flushed"))
			 ? "; connections that the rules would not let in end"
			 : "; connections that exist stay");
}

static int run_show(struct cli *cli, int argc, char **argv)
{
	(void)argv;
	cli_args(cli, argc, 0, "nothing");
	return call(cli, "policy-show", json_pack("{s:b}", "full", rules), show);
}

/* ---- apply, diff, remove ---- */

static int run_change(struct cli *cli, int argc, char **argv, const char *command,
		      void (*text)(struct output *out, const json_t *v))
{
	json_t *texts = json_object();

	if (!read_files(cli, argc, argv, texts)) {
		json_decref(texts);
		return CLI_FAILED;
	}
	json_object_set_new(change_args, "files", texts);
	return call(cli, command, json_incref(change_args), text);
}

static int run_apply(struct cli *cli, int argc, char **argv)
{
	return run_change(cli, argc, argv, "policy-apply", show_change);
}

static char mark(const json_t *change)
{
	const char *s = text_of(change, "change");

	return *s == 'a' ? '+' : *s == 'r' ? '-' : '~';
}

static void show_value(struct output *out, const json_t *v, const char *sign)
{
	char *text = v && !json_is_null(v) ? json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;

	if (text)
		out_text(out, "      %s %s\n", sign, text);
	free(text);
}

static void show_diff(struct output *out, const json_t *v)
{
	json_t *change, *rule;
	size_t i, k;

	if (!json_array_size(json_object_get(v, "changes")))
		out_text(out, "nothing would change\n");
	json_array_foreach (json_object_get(v, "changes"), i, change) {
		out_text(out, "%c %s %s %s\n", mark(change), text_of(change, "what"),
			 text_of(change, "name"), text_of(change, "change"));
		json_array_foreach (json_object_get(change, "rules"), k, rule) {
			out_text(out, "    %c rule %s\n", mark(rule), text_of(rule, "name"));
			show_value(out, json_object_get(rule, "before"), "-");
			show_value(out, json_object_get(rule, "after"), "+");
		}
		show_value(out, json_object_get(change, "before"), "-");
		show_value(out, json_object_get(change, "after"), "+");
	}
}

static int run_diff(struct cli *cli, int argc, char **argv)
{
	return run_change(cli, argc, argv, "policy-diff", show_diff);
}

static int run_remove(struct cli *cli, int argc, char **argv)
{
	if (all == (optind < argc))
		cli_usage(cli, "name the files as policy show does, or give --all");
	for (int i = optind; i < argc; i++) {
		char *name = name_of(argv[i]);

		if (name)
			add_to("files", name);
		free(name);
	}
	return call(cli, "policy-remove", json_incref(change_args), show_change);
}

/* ---- test: here, without the daemon ---- */

static void show_test(struct output *out, const json_t *v)
{
	json_t *r;
	size_t i;

	json_array_foreach (json_object_get(v, "results"), i, r) {
		bool ok = json_is_true(json_object_get(r, "ok"));

		out_text(out, "%-4s %s:%lld: %s: %s%s%s\n", ok ? "ok" : "FAIL", text_of(r, "file"),
			 out_int(r, "line"), text_of(r, "packet"), text_of(r, "expect"),
			 ok ? "" : " expected, but ", ok ? "" : text_of(r, "why"));
	}
	out_text(out, "%lld passed, %lld failed\n", out_int(v, "passed"), out_int(v, "failed"));
}

static bool load_lab(struct lab **lab)
{
	struct lab_errors errs = {0};
	int ret = 0;

	*lab = NULL;
	if (lab_file)
		ret = lab_load_file(lab_file, lab, &errs);
	if (ret)
		print_errors(&errs, ret);
	lab_errors_free(&errs);
	return ret == 0;
}

static bool load_set(int argc, char **argv, const struct lab *lab, struct nsg_set *set)
{
	struct lab_errors errs[NSG_MAX_FILES] = {{.n = 0}};
	bool ok = true;

	for (int i = optind; i < argc; i++) {
		int ret = nsg_load_file(argv[i], &set->files[set->n], &errs[0]);

		set->n += ret == 0;
		ok = ok && !ret;
		if (ret)
			print_errors(&errs[0], ret);
		lab_errors_free(&errs[0]);
	}
	if (!ok || nsg_set_check(set, lab, errs) == 0)
		return ok;
	for (uint32_t i = 0; i < set->n; i++) {
		if (errs[i].n)
			print_errors(&errs[i], 0);
		lab_errors_free(&errs[i]);
	}
	return false;
}

static int run_test(struct cli *cli, int argc, char **argv)
{
	struct nsg_file *files[NSG_MAX_FILES];
	struct nsg_set set = {files, 0};
	int status = CLI_FAILED;
	struct lab *lab;
	json_t *v;

	if (optind == argc)
		cli_usage(cli, "name a policy file");
	if (argc - optind > NSG_MAX_FILES)
		cli_usage(cli, "at most %d files", NSG_MAX_FILES);
	if (!load_lab(&lab))
		return CLI_FAILED;
	if (load_set(argc, argv, lab, &set)) {
		v = policy_test(&set, lab);
		out_result(&cli->out, v, show_test);
		status = out_int(v, "failed") ? CLI_FAILED : CLI_OK;
		if (!out_int(v, "failed") && !out_int(v, "passed") && !cli->out.json)
			cli_error("write some under the key tests", "the files have no tests");
		json_decref(v);
	}
	for (uint32_t i = 0; i < set.n; i++)
		nsg_free(files[i]);
	lab_free(lab);
	return status;
}

/* ---- the command ---- */

static int run(struct cli *cli, int argc, char **argv)
{
	static const struct cli_word words[] = {
		{"apply", "flush only nsg network nic", run_apply},
		{"show", "rules", run_show},
		{"diff", "only nsg network nic", run_diff},
		{"test", "lab", run_test},
		{"remove", "flush all", run_remove},
		{0},
	};
	static const struct option longs[] = {
		{"flush", no_argument, NULL, OPT_FLUSH},
		{"only", no_argument, NULL, OPT_ONLY},
		{"nsg", required_argument, NULL, OPT_NSG},
		{"network", required_argument, NULL, OPT_NETWORK},
		{"nic", required_argument, NULL, OPT_NIC},
		{"lab", required_argument, NULL, OPT_LAB},
		{"all", no_argument, NULL, OPT_ALL},
		{"rules", no_argument, NULL, OPT_RULES},
		{0},
	};
	bool given[ARRAY_SIZE(longs)] = {false};
	const struct cli_word *word;
	int opt, ret;

	change_args = json_object();
	while ((opt = cli_getopt(cli, argc, argv, NULL, longs)) != -1) {
		option(opt);
		given[opt - OPT_FLUSH] = true;
	}
	word = cli_word(cli, argc, argv, words);
	for (unsigned int i = 0; longs[i].name; i++)
		if (given[longs[i].val - OPT_FLUSH])
			cli_word_takes(cli, word, longs[i].name);
	ret = word->run(cli, argc, argv);
	json_decref(change_args);
	return ret;
}

const struct cli_command cmd_policy = {
	.name = "policy",
	.args = "apply FILE... [--flush] [--only] [--nsg NAME] [--network NET]... [--nic NIC]...\n"
		"       hvlab policy show [--rules] [--json]\n"
		"       hvlab policy diff FILE... [--only] [--nsg NAME] [--network NET]... [--nic "
		"NIC]...\n"
		"       hvlab policy test FILE... [--lab LAB]\n"
		"       hvlab policy remove FILE...|--all [--flush]",
	.summary = "Security groups, ACLs, address translation and meters of the lab's NICs",
	.help = "A policy file is YAML as in hvlab-policy(5), or what az network nsg show, the "
		"REST\n"
		"interface or a template have in JSON. Files are in force together; one that is "
		"applied\n"
		"again replaces itself. A file with a mistake changes nothing. All NICs change at "
		"one\n"
		"moment. Connections that exist stay, unless --flush is given.\n\n"
		"test checks the expectations that files have under tests, without a lab: exit "
		"status\n"
		"1 when one is not met.\n\n"
		"Options:\n"
		"  --flush        connections that the new rules would not have let in end\n"
		"  --only         all other files go\n"
		"  --network NET  give the file's group to that network, as its subnet's group\n"
		"  --nic NIC      give the file's group to that NIC\n"
		"  --nsg NAME     which of the file's groups --network and --nic mean\n"
		"  --rules        show: all rules of the groups\n"
		"  --lab LAB      test: with the addresses and labels of that lab file\n"
		"  --all          remove: all files\n"
		"  --json         as in docs/protocol.md\n\n"
		"Examples:\n"
		"  hvlab policy apply web.nsg.yaml\n"
		"  az network nsg show -g rg -n web-nsg > web.json\n"
		"  hvlab policy apply web.json --network blue\n"
		"  hvlab policy diff web.nsg.yaml\n"
		"  hvlab policy test web.nsg.yaml --lab pair.yaml\n",
	.json = true,
	.run = run,
};
