/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns "hvlab nic": NICs added to guests, removed, changed and listed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/cli/commands.h"
#include "host/cli/words.h"

enum {
	OPT_NETWORK = 256,
	OPT_NAME,
	OPT_MAC,
	OPT_IP,
	OPT_IP6,
	OPT_QUEUES,
	OPT_MTU,
	OPT_VF,
	OPT_SYNTHETIC,
	OPT_WEIGHT,
	OPT_MODERATION,
	OPT_LINK,
	OPT_COUNT,
	OPT_WAIT,
	OPT_ORDER,
	OPT_ORDER_GAP,
	OPT_VLAN,
	OPT_MAC_SPOOFING,
	OPT_DHCP_GUARD,
	OPT_ROUTER_GUARD,
	OPT_MIRROR,
	OPT_STORM_PPS,
	OPT_MAX_MBPS,
	OPT_MIN_MBPS,
	OPT_MIN_WEIGHT,
	OPT_OFFLOAD,
	OPT_OFFLOAD_FLOWS,
};

#define FEATURES                                                                                   \
	"vlan mac-spoofing dhcp-guard router-guard mirror storm-pps max-mbps min-mbps "            \
	"min-weight offload offload-flows"
#define MAX_COUNT   16
#define MAX_TARGETS 64

static struct {
	json_t *args; /* what the options said, under the protocol's names */
	struct cli_wait wait;
	long count;
	bool named; /* an option that fits one NIC only */
} opts;

static void put(const char *key, json_t *value)
{
	json_object_set_new(opts.args, key, value);
}

static json_t *on_off(struct cli *cli, const char *what, const char *text, const char *yes,
		      const char *values)
{
	cli_one_of(cli, what, text, values);
	return json_boolean(!strcmp(text, yes));
}

/* Of the NIC's port at the switch. The daemon knows best what a VLAN setting is. */
static void feature_option(struct cli *cli, int opt)
{
	switch (opt) {
	case OPT_VLAN:
		put("vlan", json_string(optarg));
		break;
	case OPT_MAC_SPOOFING:
		put("mac_spoofing", on_off(cli, "--mac-spoofing", optarg, "on", "on|off"));
		break;
	case OPT_DHCP_GUARD:
		put("dhcp_guard", on_off(cli, "--dhcp-guard", optarg, "on", "on|off"));
		break;
	case OPT_ROUTER_GUARD:
		put("router_guard", on_off(cli, "--router-guard", optarg, "on", "on|off"));
		break;
	case OPT_MIRROR:
		cli_one_of(cli, "--mirror", optarg, "none|source|destination");
		put("mirror", json_string(optarg));
		break;
	case OPT_STORM_PPS:
		put("storm_pps",
		    json_integer(cli_number(cli, "--storm-pps", optarg, 0, UINT32_MAX)));
		break;
	case OPT_MAX_MBPS:
		put("max_mbps",
		    json_integer(cli_number(cli, "--max-mbps", optarg, 0, LAB_RATE_MAX)));
		break;
	case OPT_MIN_MBPS:
		put("min_mbps",
		    json_integer(cli_number(cli, "--min-mbps", optarg, 0, LAB_RATE_MAX)));
		break;
	case OPT_MIN_WEIGHT:
		put("min_weight",
		    json_integer(cli_number(cli, "--min-weight", optarg, 0, LAB_SHARE_MAX)));
		break;
	case OPT_OFFLOAD:
		put("offload", on_off(cli, "--offload", optarg, "on", "on|off"));
		break;
	case OPT_OFFLOAD_FLOWS:
		put("offload_flows",
		    json_integer(cli_number(cli, "--offload-flows", optarg, 1, 1 << 20)));
		break;
	}
}

static void option(struct cli *cli, int opt)
{
	switch (opt) {
	case OPT_NETWORK:
		put("network", json_string(optarg));
		break;
	case OPT_NAME:
		put("name", json_string(optarg));
		opts.named = true;
		break;
	case OPT_MAC:
		put("mac", json_string(optarg));
		opts.named = true;
		break;
	case OPT_IP:
		put("ip", json_string(optarg));
		opts.named = opts.named || strcmp(optarg, "none");
		break;
	case OPT_IP6:
		put("ip6", json_string(optarg));
		opts.named = opts.named || strcmp(optarg, "none");
		break;
	case OPT_QUEUES:
		put("queues", json_integer(cli_number(cli, "--queues", optarg, 1, 64)));
		break;
	case OPT_MTU:
		put("mtu", json_integer(cli_number(cli, "--mtu", optarg, 68, 9000)));
		break;
	case OPT_VF:
		put("vf", on_off(cli, "--vf", optarg, "on", "on|off"));
		break;
	case OPT_SYNTHETIC:
		cli_one_of(cli, "--synthetic", optarg, "virtio|none");
		put("synthetic", json_string(optarg));
		break;
	case OPT_WEIGHT:
		put("weight", json_integer(cli_number(cli, "--weight", optarg, 0, 100)));
		break;
	case OPT_MODERATION:
		cli_one_of(cli, "--moderation", optarg, "off|low|medium|high|adaptive");
		put("moderation", json_string(optarg));
		break;
	case OPT_LINK:
		put("link", on_off(cli, "--link", optarg, "up", "up|down"));
		break;
	case OPT_COUNT:
		opts.count = cli_number(cli, "--count", optarg, 1, MAX_COUNT);
		break;
	case OPT_ORDER:
		cli_one_of(cli, "--order", optarg, "synthetic-first|vf-first|together");
		put("order", json_string(optarg));
		break;
	case OPT_ORDER_GAP:
		put("order_gap_ms", json_integer(cli_number(cli, "--order-gap", optarg, 0, 20000)));
		break;
	case OPT_WAIT:
		cli_wait_set(cli, &opts.wait, optarg);
		break;
	default:
		feature_option(cli, opt);
		break;
	}
}

/* ---- add ---- */

static void show_added(struct output *out, const json_t *answer)
{
	const json_t *nic = json_object_get(answer, "nic"), *ip;
	size_t i;

	out_text(out, "%s added: network %s, MAC %s", out_str(nic, "id", "?"),
		 out_str(nic, "network", "?"), out_str(nic, "mac", "?"));
	json_array_foreach(json_object_get(nic, "addresses"), i, ip)
		out_text(out, ", %s", json_string_value(ip) ? json_string_value(ip) : "?");
	out_text(out, "\n");
	cli_show_steps(out, answer);
}

static void show_all_added(struct output *out, const json_t *answers)
{
	const json_t *answer;
	size_t i;

	json_array_foreach((json_t *)answers, i, answer)
		show_added(out, answer);
}

/* Drops what failed (and has been reported); true when nothing did. */
static bool only_done(json_t *answers, size_t wanted)
{
	for (size_t i = json_array_size(answers); i-- > 0;)
		if (json_is_null(json_array_get(answers, i)))
			json_array_remove(answers, i);
	return json_array_size(answers) == wanted;
}

static int run_add(struct cli *cli, int argc, char **argv)
{
	json_t *requests = json_array(), *answers;
	long count = opts.count ? opts.count : 1;
	bool all;

	cli_args(cli, argc, 1, "VM");
	if (count > 1 && opts.named)
		cli_usage(cli, "--name, --mac and addresses fit one NIC, not --count %ld", count);
	put("vm", json_string(argv[optind]));
	put("wait", json_boolean(opts.wait.wait));
	if (opts.wait.ms)
		put("timeout_ms", json_integer(opts.wait.ms));
	for (long i = 0; i < count; i++)
		json_array_append(requests, opts.args);
	answers = cli_call_all(cli, "nic-add", requests);
	all = answers && only_done(answers, (size_t)count);
	if (json_array_size(answers) && !opts.count)
		out_result(&cli->out, json_array_get(answers, 0), show_added);
	else if (json_array_size(answers))
		out_result(&cli->out, answers, show_all_added);
	json_decref(answers);
	return all ? CLI_OK : CLI_FAILED;
}

/* ---- del, set ---- */

static void show_steps(struct output *out, const json_t *answers)
{
	const json_t *answer;
	size_t i;

	json_array_foreach((json_t *)answers, i, answer) {
		const char *id = out_str(answer, "vnic", NULL);

		if (id)
			out_text(out, "%s:\n", id);
		cli_show_steps(out, answer);
	}
}

/* The same command for every TARGET, at once; prints what came back. */
static int run_targets(struct cli *cli, int argc, char **argv, const char *command)
{
	json_t *requests, *answers, *ids;
	bool all;
	int n = argc - optind;

	if (n < 1)
		cli_usage(cli, "TARGET missing");
	if (n > MAX_TARGETS)
		cli_usage(cli, "at most %d TARGETs at once", MAX_TARGETS);
	put("wait", json_boolean(opts.wait.wait));
	requests = json_array();
	ids = json_array();
	for (; optind < argc; optind++) {
		char *id = cli_vnic(cli, argv[optind]);
		json_t *args = json_copy(opts.args);

		if (!id) {
			json_decref(args);
			json_decref(requests);
			json_decref(ids);
			return CLI_FAILED;
		}
		json_object_set_new(args, "vnic", json_string(id));
		json_array_append_new(ids, json_string(id));
		json_array_append_new(requests, args);
		free(id);
	}
	answers = cli_call_all(cli, command, requests);
	for (size_t i = 0; i < json_array_size(answers); i++)
		if (json_is_object(json_array_get(answers, i)))
			json_object_set(json_array_get(answers, i), "vnic", json_array_get(ids, i));
	json_decref(ids);
	all = answers && only_done(answers, (size_t)n);
	if (cli->out.json && n == 1 && json_array_size(answers))
		out_result(&cli->out, json_array_get(answers, 0), show_steps);
	else if (answers && (cli->out.json || opts.wait.wait))
		out_result(&cli->out, answers, show_steps);
	json_decref(answers);
	return all ? CLI_OK : CLI_FAILED;
}

static int run_del(struct cli *cli, int argc, char **argv)
{
	if (opts.wait.ms)
		put("timeout_ms", json_integer(opts.wait.ms));
	return run_targets(cli, argc, argv, "nic-del");
}

static int run_set(struct cli *cli, int argc, char **argv)
{
	if (!json_object_size(opts.args))
		cli_usage(cli, "nothing to set");
	if (opts.wait.ms)
		cli_usage(cli, "--wait of set takes no number of seconds");
	return run_targets(cli, argc, argv, "nic-set");
}

/* ---- list ---- */

static void show_list(struct output *out, const json_t *v)
{
	static const struct out_column cols[] = {
		{.title = "NIC", .path = "id"},
		{.title = "NETWORK", .path = "network"},
		{.title = "MAC", .path = "mac"},
		{.title = "VF", .path = "vf.state"},
		{.title = "SYNTHETIC", .path = "synthetic.state"},
		{.title = "RECEIVES ON", .path = "receive"},
		{.title = "LINK", .path = "link", .format = out_fmt_link},
		{.title = "WEIGHT", .path = "weight", .right = true},
		{.title = "QUEUES", .path = "queues", .right = true},
		{.title = "MODERATION", .path = "moderation"},
		{.title = "VLAN", .path = "vlan"},
		{.title = "MAX", .path = "max_mbps", .right = true},
		{.title = "MIN", .path = "min_mbps", .right = true},
		{.title = "SHARE", .path = "min_weight", .right = true},
		{.title = "MTU", .path = "mtu", .right = true},
		{.title = "ADDRESSES", .path = "addresses"},
	};

	out_table(out, json_object_get(v, "nics"), cols, ARRAY_SIZE(cols));
}

static int run_list(struct cli *cli, int argc, char **argv)
{
	json_t *v;

	if (optind < argc) {
		cli_args(cli, argc, 1, "VM");
		put("vm", json_string(argv[optind]));
	}
	v = cli_call(cli, "nic-list", json_incref(opts.args));
	if (!v)
		return CLI_FAILED;
	out_result(&cli->out, v, show_list);
	json_decref(v);
	return CLI_OK;
}

static int run(struct cli *cli, int argc, char **argv)
{
	static const struct cli_word words[] = {
		{"add",
		 "network name mac ip ip6 queues mtu vf synthetic weight moderation order "
		 "order-gap count " FEATURES " wait",
		 run_add},
		{"del", "wait", run_del},
		{"set", "weight queues moderation vf link " FEATURES " wait", run_set},
		{"list", "", run_list},
		{0},
	};
	static const struct option longs[] = {
		{"network", required_argument, NULL, OPT_NETWORK},
		{"name", required_argument, NULL, OPT_NAME},
		{"mac", required_argument, NULL, OPT_MAC},
		{"ip", required_argument, NULL, OPT_IP},
		{"ip6", required_argument, NULL, OPT_IP6},
		{"queues", required_argument, NULL, OPT_QUEUES},
		{"mtu", required_argument, NULL, OPT_MTU},
		{"vf", required_argument, NULL, OPT_VF},
		{"synthetic", required_argument, NULL, OPT_SYNTHETIC},
		{"weight", required_argument, NULL, OPT_WEIGHT},
		{"moderation", required_argument, NULL, OPT_MODERATION},
		{"link", required_argument, NULL, OPT_LINK},
		{"count", required_argument, NULL, OPT_COUNT},
		{"wait", optional_argument, NULL, OPT_WAIT},
		{"order", required_argument, NULL, OPT_ORDER},
		{"order-gap", required_argument, NULL, OPT_ORDER_GAP},
		{"vlan", required_argument, NULL, OPT_VLAN},
		{"mac-spoofing", required_argument, NULL, OPT_MAC_SPOOFING},
		{"dhcp-guard", required_argument, NULL, OPT_DHCP_GUARD},
		{"router-guard", required_argument, NULL, OPT_ROUTER_GUARD},
		{"mirror", required_argument, NULL, OPT_MIRROR},
		{"storm-pps", required_argument, NULL, OPT_STORM_PPS},
		{"max-mbps", required_argument, NULL, OPT_MAX_MBPS},
		{"min-mbps", required_argument, NULL, OPT_MIN_MBPS},
		{"min-weight", required_argument, NULL, OPT_MIN_WEIGHT},
		{"offload", required_argument, NULL, OPT_OFFLOAD},
		{"offload-flows", required_argument, NULL, OPT_OFFLOAD_FLOWS},
		{0},
	};
	const char *given[ARRAY_SIZE(longs)];
	const struct cli_word *word;
	unsigned int n_given = 0;
	int opt, ret;

	opts.args = json_object();
	while ((opt = cli_getopt(cli, argc, argv, NULL, longs)) != -1) {
		option(cli, opt);
		for (unsigned int i = 0; longs[i].name && n_given < ARRAY_SIZE(given); i++)
			if (longs[i].val == opt)
				given[n_given++] = longs[i].name;
	}
	word = cli_word(cli, argc, argv, words);
	for (unsigned int i = 0; i < n_given; i++)
		cli_word_takes(cli, word, given[i]);
	ret = word->run(cli, argc, argv);
	json_decref(opts.args);
	return ret;
}

const struct cli_command cmd_nic = {
	.name = "nic",
	.args = "add VM [--network NET] [--name N] [--mac M] [--ip A] [--ip6 A] [--queues N]\n"
		"           [--mtu N] [--vf on|off] [--synthetic virtio|none] [--weight W]\n"
		"           [--moderation M] [--order O] [--order-gap MS] [--count N]\n"
		"           [PORT FEATURES] [--wait[=SECONDS]] [--json]\n"
		"       hvlab nic del TARGET... [--wait[=SECONDS]] [--json]\n"
		"       hvlab nic set TARGET... [--weight W] [--vf on|off] [--queues N]\n"
		"           [--moderation M] [--link up|down] [PORT FEATURES] [--wait] [--json]\n"
		"       hvlab nic list [VM] [--json]",
	.summary = "Add NICs to a guest, remove, change and list them",
	.help = "add puts a NIC into a VM, running or not: its synthetic device, and a VF beside "
		"it.\n"
		"del takes it out: the VF first. set changes it, list shows what there is. TARGET "
		"is\n"
		"VM/NIC, or VM when it has one NIC.\n\n"
		"Options:\n"
		"  --network NET   of the lab; needed when it has several\n"
		"  --name N        default eth and the lowest free number\n"
		"  --mac M         default: made from the names, the same each time\n"
		"  --ip A, --ip6 A addresses, or none; default: free ones of the network\n"
		"  --queues N      most queue pairs, 1 to 64; set: from the VF's next restoration "
		"on\n"
		"  --mtu N         default: the network's\n"
		"  --vf on|off     add: off makes it synthetic for life; set: as --weight 100 or "
		"0\n"
		"  --synthetic S   virtio (default), or none: the VF alone\n"
		"  --weight W      0 to 100; 0: no VF until it is raised; default 100\n"
		"  --moderation M  of the VF's interrupts: off, low, medium, high, adaptive\n"
		"  --order O       which path QEMU gets first: synthetic-first (default), "
		"vf-first,\n"
		"                  together; --order-gap: milliseconds between them, 0 to 20000\n"
		"  --link up|down  of the NIC, both paths\n"
		"  --count N       add so many at once\n"
		"  --wait[=S]      add: until the guest takes packets on every path; del: until "
		"the\n"
		"                  guest has let all of it go; set: until it has come about. At "
		"most\n"
		"                  S seconds; default 30 (add), 10 (del). Without it add returns "
		"when\n"
		"                  QEMU has the NIC, the others when it has begun\n"
		"  --json          as in docs/protocol.md; an array with --count or several "
		"TARGETs\n\n"
		"Port features, what the switch does at the NIC's port:\n"
		"  --vlan V        none, untagged, access ID, trunk LIST [native ID], isolated\n"
		"                  PRIMARY SECONDARY, community PRIMARY SECONDARY, promiscuous\n"
		"                  PRIMARY LIST, as one word in quotes; LIST: 10-20,30\n"
		"  --mac-spoofing on|off  off: only the NIC's own source address may leave it\n"
		"  --dhcp-guard on|off    on: it may be no DHCP server\n"
		"  --router-guard on|off  on: it may be no router\n"
		"  --mirror M      source: its packets are copied to those of destination; none\n"
		"  --storm-pps N   most frames a second of broadcast, multicast and unknown unicast;\n"
		"                  0: any\n"
		"  --max-mbps N    most that its guest may send, on all paths together; 0: no limit\n"
		"  --min-mbps N    of the network's mbps, before all others; 0: none\n"
		"  --min-weight N  its part in the rest of it, 1 to 100\n"
		"  --offload on|off       the VF sends known flows by itself; off: each packet visits "
		"the\n"
		"                  switch\n"
		"  --offload-flows N      how many flows it can hold, 1 to 1048576; default 4096\n\n"
		"Examples:\n"
		"  hvlab nic add a --network blue --wait\n"
		"  hvlab nic add a --count 7 --wait=60 --json | jq -r '.[].nic.id'\n"
		"  hvlab nic set a/eth1 --weight 0 --wait\n"
		"  hvlab nic set a/eth1 --vlan 'trunk 10-20 native 1' --mac-spoofing off\n"
		"  hvlab nic del a/eth1 --wait\n",
	.json = true,
	.run = run,
};
