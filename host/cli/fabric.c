/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns "hvlab fabric": hosts, and which guest is behind which of them. */
#include <stdio.h>
#include <string.h>

#include "host/cli/commands.h"
#include "host/cli/words.h"

static void fmt_age(const json_t *value, char *buf, size_t size)
{
	if (json_is_integer(value))
		out_fmt_ms(value, buf, size);
	else
		snprintf(buf, size, "-");
}

static void fmt_routes(const json_t *value, char *buf, size_t size)
{
	size_t len = 0, i;
	json_t *r;

	snprintf(buf, size, "-");
	json_array_foreach ((json_t *)value, i, r)
		if (len < size)
			len += (size_t)snprintf(buf + len, size - len, "%s%s by %s", i ? ", " : "",
						out_str(r, "prefix", "?"), out_str(r, "via", "?"));
}

static void show_registry(struct output *out, const json_t *f)
{
	const char *state = out_str(f, "state", "?"), *reason = out_str(f, "reason", NULL);
	char age[32], heard[32];

	fmt_age(json_object_get(f, "since_ms"), age, sizeof(age));
	fmt_age(json_object_get(f, "heard_ms"), heard, sizeof(heard));
	if (strcmp(state, "static") == 0) {
		out_text(out, "Host %s, registry static: what the lab file says\n",
			 out_str(f, "host", "?"));
		return;
	}
	out_text(out, "Host %s, registry %s at %s: %s for %s, last heard of %s ago%s%s\n",
		 out_str(f, "host", "?"), out_str(f, "registry", "?"),
		 out_str(f, "etcd.endpoint", "?"), state, age, heard, reason ? ": " : "",
		 reason ? reason : "");
	if (strcmp(state, "lost") == 0)
		out_text(out, "Packets go by the last that was known.\n");
}

static void show(struct output *out, const json_t *f)
{
	static const struct out_column hosts[] = {
		{.title = "HOST", .path = "name"},
		{.title = "ADDRESS", .path = "address"},
		{.title = "STATE", .path = "state"},
		{.title = "SINCE", .path = "since_ms", .format = fmt_age, .right = true},
		{.title = "NICS", .path = "guests", .right = true},
	};
	static const struct out_column nets[] = {
		{.title = "NETWORK", .path = "name"},
		{.title = "MODE", .path = "mode"},
		{.title = "VNI", .path = "vni", .right = true},
		{.title = "MACS", .path = "macs", .right = true},
		{.title = "FLOODS TO", .path = "floods"},
		{.title = "GATEWAY", .path = "gateway"},
		{.title = "ROUTES", .path = "routes", .format = fmt_routes},
		{.title = "MISSING", .path = "missing", .right = true},
	};
	static const struct out_column guests[] = {
		{.title = "NIC", .path = "id"},	 {.title = "NETWORK", .path = "network"},
		{.title = "MAC", .path = "mac"}, {.title = "IP", .path = "ip"},
		{.title = "IP6", .path = "ip6"}, {.title = "HOST", .path = "host"},
	};
	json_t *rows = json_array(), *g;
	size_t i;

	show_registry(out, f);
	out_text(out, "\n");
	out_table(out, json_object_get(f, "hosts"), hosts, ARRAY_SIZE(hosts));
	out_text(out, "\n");
	out_table(out, json_object_get(f, "networks"), nets, ARRAY_SIZE(nets));
	json_array_foreach (json_object_get(f, "guests"), i, g) {
		json_t *row = json_copy(g);

		json_object_set_new(
			row, "id",
			json_sprintf("%s/%s", out_str(g, "vm", ""), out_str(g, "nic", "")));
		json_array_append_new(rows, row);
	}
	if (json_array_size(rows)) {
		out_text(out, "\n");
		out_table(out, rows, guests, ARRAY_SIZE(guests));
	}
	json_decref(rows);
}

static const struct cli_word words[] = {{.name = "show", .options = ""}, {0}};

static int run(struct cli *cli, int argc, char **argv)
{
	json_t *f;

	while (cli_getopt(cli, argc, argv, NULL, NULL) != -1)
		;
	if (optind < argc)
		cli_word(cli, argc, argv, words);
	cli_args(cli, argc, 0, "");
	f = cli_call(cli, "query-fabric", NULL);
	if (!f)
		return CLI_FAILED;
	out_result(&cli->out, f, show);
	json_decref(f);
	return CLI_OK;
}

const struct cli_command cmd_fabric = {
	.name = "fabric",
	.args = "[show] [--json]",
	.summary = "Show the hosts of the lab, and which guest is behind which",
	.help = "A host is here (this one), assumed (the lab file names it), unseen (it has not\n"
		"registered itself yet), alive, or dead (its lease has ended). The registry is "
		"static\n"
		"(the lab file), or etcd: connecting, synced, or lost; then packets go by the "
		"last\n"
		"that was known.\n\n"
		"Options:\n"
		"  --json  query-fabric in docs/protocol.md\n\n"
		"Examples:\n"
		"  hvlab fabric\n"
		"  hvlab fabric --json | jq -r '.guests[] | .vm + \" \" + .host'\n",
	.json = true,
	.run = run,
};
