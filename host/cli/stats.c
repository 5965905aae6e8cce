/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns "hvlab stats": the figures of vNICs, their queues, and why packets were dropped. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/cli/commands.h"

static const struct out_column vnic_cols[] = {
	{.title = "NIC", .path = "id"},
	{.title = "TX-PKTS", .path = "port.tx_packets", .right = true},
	{.title = "TX-BYTES", .path = "port.tx_bytes", .right = true},
	{.title = "TX-TSO", .path = "port.tx_gso", .right = true},
	{.title = "RX-PKTS", .path = "port.rx_packets", .right = true},
	{.title = "RX-BYTES", .path = "port.rx_bytes", .right = true},
	{.title = "DROPS", .path = "drops", .right = true},
	{.title = "DOORBELLS", .path = "mana.doorbells", .right = true},
	{.title = "IRQS", .path = "vfio_user.irqs", .right = true},
};

static const struct out_column queue_cols[] = {
	{.title = "NIC", .path = "id"},
	{.title = "QUEUE", .path = "index", .right = true},
	{.title = "TX-PKTS", .path = "tx_packets", .right = true},
	{.title = "TX-BYTES", .path = "tx_bytes", .right = true},
	{.title = "RX-PKTS", .path = "rx_packets", .right = true},
	{.title = "RX-BYTES", .path = "rx_bytes", .right = true},
	{.title = "NO-BUFFER", .path = "rx_no_buffer", .right = true},
};

/* Named from the lab's side: in came from the interface, out left by it. */
static const struct out_column uplink_cols[] = {
	{.title = "UPLINK", .path = "id"},
	{.title = "INTERFACE", .path = "interface"},
	{.title = "IN-PKTS", .path = "port.tx_packets", .right = true},
	{.title = "IN-BYTES", .path = "port.tx_bytes", .right = true},
	{.title = "IN-TSO", .path = "port.tx_gso", .right = true},
	{.title = "OUT-PKTS", .path = "port.rx_packets", .right = true},
	{.title = "OUT-BYTES", .path = "port.rx_bytes", .right = true},
	{.title = "KERNEL-DROPS", .path = "kernel_drops", .right = true},
};

static bool want_queues, want_all;

/* Reasons with drops, "a/eth0: tx no-port 5"; every reason with --all. Returns the sum. */
static json_int_t drops(struct output *out, const json_t *vnic, const char *side, bool print)
{
	char path[32];
	json_int_t sum = 0;
	const char *reason;
	json_t *count;

	snprintf(path, sizeof(path), "port.%s_drops", side);
	json_object_foreach((json_t *)out_path(vnic, path), reason, count) {
		sum += json_integer_value(count);
		if (print && (want_all || json_integer_value(count)))
			out_text(out, "%s: %s drops, %s: %lld\n", out_str(vnic, "id", "?"), side,
				 reason, (long long)json_integer_value(count));
	}
	return sum;
}

static void show_all(struct output *out, const json_t *vnic)
{
	static const char *const groups[] = {"port", "flows", "mana", "vfio_user"};
	const char *key;
	json_t *value;

	for (unsigned int i = 0; i < ARRAY_SIZE(groups); i++) {
		out_text(out, "\n");
		json_object_foreach((json_t *)out_path(vnic, groups[i]), key, value) {
			char *text;

			if (json_is_object(value))
				continue;
			text = json_dumps(value, JSON_ENCODE_ANY);
			out_text(out, "%s: %s %s: %s\n", out_str(vnic, "id", "?"), groups[i], key,
				 text ? text : "?");
			free(text);
		}
	}
}

static void show_uplinks(struct output *out, json_t *uplinks)
{
	json_t *up;
	size_t i;

	if (!json_array_size(uplinks))
		return;
	json_array_foreach(uplinks, i, up)
		json_object_set_new(up, "id", json_sprintf("%s/uplink", out_str(up, "network", "?")));
	out_text(out, "\n");
	out_table(out, uplinks, uplink_cols, ARRAY_SIZE(uplink_cols));
	json_array_foreach(uplinks, i, up) {
		drops(out, up, "tx", true);
		drops(out, up, "rx", true);
	}
}

static void show(struct output *out, const json_t *v)
{
	json_t *queues = json_array(), *vnic, *q;
	size_t i, k;

	json_array_foreach(json_object_get(v, "vnics"), i, vnic) {
		json_object_set_new(vnic, "drops",
				    json_integer(drops(out, vnic, "tx", false) +
						 drops(out, vnic, "rx", false)));
		json_array_foreach(json_object_get(vnic, "queues"), k, q) {
			json_object_set(q, "id", json_object_get(vnic, "id"));
			json_array_append(queues, q);
		}
	}
	out_table(out, json_object_get(v, "vnics"), vnic_cols, ARRAY_SIZE(vnic_cols));
	if (want_queues) {
		out_text(out, "\n");
		out_table(out, queues, queue_cols, ARRAY_SIZE(queue_cols));
	}
	json_decref(queues);
	json_array_foreach(json_object_get(v, "vnics"), i, vnic) {
		drops(out, vnic, "tx", true);
		drops(out, vnic, "rx", true);
	}
	show_uplinks(out, json_object_get(v, "uplinks"));
	if (want_all)
		json_array_foreach(json_object_get(v, "vnics"), i, vnic)
			show_all(out, vnic);
}

/* Keep the vNICs of one VM. False when there is none. */
static bool only_vm(json_t *v, const char *vm)
{
	json_t *vnics = json_object_get(v, "vnics");

	json_array_clear(json_object_get(v, "uplinks"));
	for (size_t i = json_array_size(vnics); i-- > 0;)
		if (strcmp(out_str(json_array_get(vnics, i), "vm", ""), vm) != 0)
			json_array_remove(vnics, i);
	return json_array_size(vnics) > 0;
}

static int run(struct cli *cli, int argc, char **argv)
{
	static const struct option longs[] = {
		{"queues", no_argument, NULL, 'q'},
		{"all", no_argument, NULL, 'a'},
		{0},
	};
	json_t *args = NULL, *v;
	const char *target;
	int opt;

	while ((opt = cli_getopt(cli, argc, argv, "qa", longs)) != -1) {
		want_queues |= opt == 'q';
		want_all |= opt == 'a';
	}
	if (optind < argc)
		cli_args(cli, argc, 1, "TARGET");
	target = optind < argc ? argv[optind] : NULL;
	if (target && strchr(target, '/'))
		args = json_pack("{s:s}", "vnic", target);
	v = cli_call(cli, "stats", args);
	if (!v)
		return CLI_FAILED;
	if (target && !args && !only_vm(v, target)) {
		cli_error("hvlab status lists the VMs and their NICs",
			  "there is no VM \"%s\" with a NIC", target);
		json_decref(v);
		return CLI_FAILED;
	}
	out_result(&cli->out, v, show);
	json_decref(v);
	return CLI_OK;
}

const struct cli_command cmd_stats = {
	.name = "stats",
	.args = "[TARGET] [--queues] [--all] [--json]",
	.summary = "Print packets, bytes and drops of NICs",
	.help = "TARGET is VM/NIC or VM; without it all NICs are shown. Directions are the guest's:\n"
		"tx left it, rx reached it. Drops follow by reason. Without TARGET uplinks too: in came\n"
		"from their interface, out left by it.\n\n"
		"Options:\n"
		"  -q, --queues    a line for each queue too\n"
		"  -a, --all       every figure there is, also those at zero\n"
		"  --json          as in docs/protocol.md, stats\n\n"
		"Examples:\n"
		"  hvlab stats\n"
		"  hvlab stats a/eth0 --queues\n"
		"  hvlab stats --json | jq '.vnics[].port.rx_drops'\n",
	.json = true,
	.run = run,
};
