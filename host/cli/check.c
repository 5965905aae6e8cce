/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns "hvlab check": a lab file validated without starting anything. */
#include <stdio.h>
#include <stdlib.h>

#include "host/cli/commands.h"
#include "host/cli/lab_file.h"
#include "host/lab.h"

static void show(struct output *out, const json_t *result)
{
	static const struct out_column nets[] = {
		{.title = "NETWORK", .path = "name"},
		{.title = "SUBNET", .path = "subnet"},
		{.title = "SUBNET6", .path = "subnet6"},
		{.title = "MTU", .path = "mtu", .right = true},
		{.title = "MODE", .path = "mode"},
		{.title = "TYPE", .path = "type"},
	};
	static const struct out_column hosts[] = {
		{.title = "HOST", .path = "name"},
		{.title = "ADDRESS", .path = "address"},
	};
	static const struct out_column vms[] = {
		{.title = "VM", .path = "name"},
		{.title = "KERNEL", .path = "kernel"},
		{.title = "CPUS", .path = "cpus", .right = true},
		{.title = "MIB", .path = "memory", .right = true},
		{.title = "HOST", .path = "host"},
	};
	static const struct out_column nics[] = {
		{.title = "NIC", .path = "id"},
		{.title = "NETWORK", .path = "network"},
		{.title = "MAC", .path = "mac"},
		{.title = "MTU", .path = "mtu", .right = true},
		{.title = "QUEUES", .path = "queues", .right = true},
		{.title = "IP", .path = "ip"},
		{.title = "IP6", .path = "ip6"},
	};
	const json_t *lab = json_object_get(result, "lab");
	const json_t *fabric = json_object_get(lab, "fabric");
	json_t *rows = json_array(), *vm, *nic;
	size_t v, n;

	json_array_foreach(json_object_get(lab, "vms"), v, vm) {
		if (!json_object_get(vm, "kernel"))
			json_object_set(vm, "kernel", json_object_get(vm, "bzimage"));
		json_array_foreach(json_object_get(vm, "nics"), n, nic) {
			json_t *row = json_copy(nic);

			json_object_set_new(row, "id", json_sprintf("%s/%s", out_str(vm, "name", ""),
								    out_str(nic, "name", "")));
			json_array_append_new(rows, row);
		}
	}
	out_text(out, "%s: lab %s is valid\n\n", out_str(result, "file", ""),
		 out_str(lab, "name", ""));
	if (fabric) {
		out_table(out, json_object_get(fabric, "hosts"), hosts, ARRAY_SIZE(hosts));
		out_text(out, "\n");
	}
	out_table(out, json_object_get(lab, "networks"), nets, ARRAY_SIZE(nets));
	out_text(out, "\n");
	/* HOST is the last column. */
	out_table(out, json_object_get(lab, "vms"), vms, ARRAY_SIZE(vms) - !fabric);
	if (json_array_size(rows)) {
		out_text(out, "\n");
		out_table(out, rows, nics, ARRAY_SIZE(nics));
	}
	json_decref(rows);
}

static int run(struct cli *cli, int argc, char **argv)
{
	struct lab_errors errs = {0};
	struct lab *lab;
	json_t *result;
	int ret;

	while (cli_getopt(cli, argc, argv, NULL, NULL) != -1)
		;
	cli_args(cli, argc, 1, "FILE");
	ret = lab_load_file(argv[optind], &lab, &errs);
	result = json_pack("{s:s, s:b, s:o, s:o}", "file", argv[optind], "valid", ret == 0, "errors",
			   lab_errors_to_json(&errs), "lab", lab ? lab_to_json(lab) : json_null());
	if (ret && !cli->out.json)
		cli_lab_errors(&errs, ret);
	else
		out_result(&cli->out, result, show);
	json_decref(result);
	lab_errors_free(&errs);
	lab_free(lab);
	return ret ? CLI_FAILED : CLI_OK;
}

const struct cli_command cmd_check = {
	.name = "check",
	.args = "FILE [--json]",
	.summary = "Validate a lab file and show what it means, without starting anything",
	.help = "Every mistake is reported with its line, its key and what to do about it. A valid\n"
		"file is shown with everything that it left out filled in.\n\n"
		"Options:\n"
		"  --json  {\"valid\": BOOL, \"errors\": [...], \"lab\": {...}}\n\n"
		"Exit status: 0 the file is valid, 1 it is not.\n\n"
		"Examples:\n"
		"  hvlab check examples/pair.yaml\n"
		"  hvlab check pair.yaml --json | jq -r '.lab.vms[].nics[].mac'\n",
	.json = true,
	.run = run,
};
