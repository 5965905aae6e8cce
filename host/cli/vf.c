/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns "hvlab vf": VFs taken away from guests, given back, and listed. */
#include <stdlib.h>
#include <string.h>

#include "host/cli/commands.h"
#include "host/cli/words.h"

enum {
	OPT_WAY = 256,
	OPT_DRAIN,
	OPT_QUIET,
	OPT_DEADLINE,
	OPT_NO_ESCALATE,
	OPT_LINK_DELAY,
	OPT_HOLD,
	OPT_WAIT,
};

#define DAY_MS (24 * 3600 * 1000)

static json_t *vf_args; /* what the options said, under the protocol's names */
static struct cli_wait vf_wait;

static void ms(struct cli *cli, const char *key, const char *option)
{
	json_object_set_new(vf_args, key,
			    json_integer(cli_number(cli, option, optarg, 1, DAY_MS)));
}

static void option(struct cli *cli, int opt)
{
	switch (opt) {
	case OPT_WAY:
		cli_one_of(cli, "--way", optarg, "graceful|abrupt|surprise");
		json_object_set_new(vf_args, "way", json_string(optarg));
		break;
	case OPT_DRAIN:
		ms(cli, "drain_ms", "--drain");
		break;
	case OPT_QUIET:
		ms(cli, "quiet_ms", "--quiet");
		break;
	case OPT_DEADLINE:
		ms(cli, "deadline_ms", "--deadline");
		break;
	case OPT_NO_ESCALATE:
		json_object_set_new(vf_args, "no_escalate", json_true());
		break;
	case OPT_LINK_DELAY:
		ms(cli, "link_delay_ms", "--link-delay");
		break;
	case OPT_HOLD:
		ms(cli, "hold_ms", "--hold");
		break;
	case OPT_WAIT:
		cli_wait_set(cli, &vf_wait, optarg);
		break;
	}
}

static void show_end(struct output *out, const json_t *v)
{
	out_text(out, "the VF is %s\n", out_str(v, "state", "?"));
	cli_show_steps(out, v);
	if (json_is_true(json_object_get(v, "pending")))
		out_text(out, "QEMU still has the device: the guest did not let it go, so it was "
			      "cut off; hvlab vf list shows when it is gone\n");
}

static int operate(struct cli *cli, int argc, char **argv, const char *command)
{
	json_t *v;
	char *id;

	cli_args(cli, argc, 1, "TARGET");
	id = cli_vnic(cli, argv[optind]);
	if (!id)
		return CLI_FAILED;
	json_object_set_new(vf_args, "vnic", json_string(id));
	free(id);
	json_object_set_new(vf_args, "wait", json_boolean(vf_wait.wait));
	if (vf_wait.ms && !json_object_get(vf_args, "deadline_ms"))
		json_object_set_new(vf_args, "deadline_ms", json_integer(vf_wait.ms));
	v = cli_call_slow(cli, command, json_incref(vf_args));
	if (!v)
		return CLI_FAILED;
	if (vf_wait.wait || cli->out.json)
		out_result(&cli->out, v, show_end);
	json_decref(v);
	return CLI_OK;
}

static int run_revoke(struct cli *cli, int argc, char **argv)
{
	return operate(cli, argc, argv, "vf-revoke");
}

static int run_restore(struct cli *cli, int argc, char **argv)
{
	return operate(cli, argc, argv, "vf-restore");
}

static void show_list(struct output *out, const json_t *v)
{
	static const struct out_column cols[] = {
		{.title = "NIC", .path = "vnic"},
		{.title = "STATE", .path = "state"},
		{.title = "SINCE", .path = "since_ms", .format = out_fmt_ms, .right = true},
		{.title = "OPERATION", .path = "operation"},
		{.title = "PENDING", .path = "pending", .format = out_fmt_bool},
		{.title = "RECEIVES ON", .path = "receive"},
		{.title = "SYNTHETIC", .path = "synthetic"},
		{.title = "REVOKED", .path = "revocations", .right = true},
		{.title = "RESTORED", .path = "restorations", .right = true},
		{.title = "FAILED", .path = "failures", .right = true},
	};
	const json_t *vfs = json_object_get(v, "vfs"), *vf;
	size_t i;

	out_table(out, vfs, cols, ARRAY_SIZE(cols));
	json_array_foreach((json_t *)vfs, i, vf) {
		const char *why = out_str(vf, "last.why", "");

		if (json_is_true(json_object_get(vf, "not_driven")))
			out_text(out, "%s: the guest sees the VF and does not drive it\n",
				 out_str(vf, "vnic", "?"));
		if (*why) {
			out_text(out, "%s: the last %s failed: ", out_str(vf, "vnic", "?"),
				 out_str(vf, "last.operation", "operation"));
			out_line(out, why);
		}
	}
}

static int run_list(struct cli *cli, int argc, char **argv)
{
	json_t *v;

	if (optind < argc) {
		cli_args(cli, argc, 1, "VM");
		json_object_set_new(vf_args, "vm", json_string(argv[optind]));
	}
	v = cli_call(cli, "vf-list", json_incref(vf_args));
	if (!v)
		return CLI_FAILED;
	out_result(&cli->out, v, show_list);
	json_decref(v);
	return CLI_OK;
}

static int run(struct cli *cli, int argc, char **argv)
{
	static const struct cli_word words[] = {
		{"revoke", "way drain quiet deadline no-escalate wait", run_revoke},
		{"restore", "link-delay hold deadline wait", run_restore},
		{"list", "", run_list},
		{0},
	};
	static const struct option longs[] = {
		{"way", required_argument, NULL, OPT_WAY},
		{"drain", required_argument, NULL, OPT_DRAIN},
		{"quiet", required_argument, NULL, OPT_QUIET},
		{"deadline", required_argument, NULL, OPT_DEADLINE},
		{"no-escalate", no_argument, NULL, OPT_NO_ESCALATE},
		{"link-delay", required_argument, NULL, OPT_LINK_DELAY},
		{"hold", required_argument, NULL, OPT_HOLD},
		{"wait", optional_argument, NULL, OPT_WAIT},
		{0},
	};
	const char *given[ARRAY_SIZE(longs)];
	const struct cli_word *word;
	unsigned int n_given = 0;
	int opt, ret;

	vf_args = json_object();
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
	json_decref(vf_args);
	return ret;
}

const struct cli_command cmd_vf = {
	.name = "vf",
	.args = "revoke TARGET [--way graceful|abrupt|surprise] [--drain MS] [--quiet MS]\n"
		"           [--deadline MS] [--no-escalate] [--wait[=SECONDS]] [--json]\n"
		"       hvlab vf restore TARGET [--link-delay MS] [--hold MS] [--deadline MS]\n"
		"           [--wait[=SECONDS]] [--json]\n"
		"       hvlab vf list [VM] [--json]",
	.summary = "Take a VF away from a guest, give it back, list VFs",
	.help = "revoke takes the VF of a running guest away; the synthetic path, where there is one,\n"
		"carries the traffic until restore gives it back. TARGET is VM/NIC, or VM when it has\n"
		"one NIC. A VF that the guest does not let go is cut off at the deadline.\n\n"
		"Options:\n"
		"  --way W         graceful (default): link down, wait until the guest's traffic has\n"
		"                  left, unplug; abrupt: unplug; surprise: the device dies, then unplug\n"
		"  --drain MS      graceful: longest wait for the traffic to leave; default 1000\n"
		"  --quiet MS      graceful: silence that counts as having left; default 20\n"
		"  --deadline MS   revoke: for the guest to let go, default 10000; restore: to drive it,\n"
		"                  default 30000\n"
		"  --no-escalate   give up at the deadline: the guest keeps the VF\n"
		"  --link-delay MS the VF's link stays down that long after it arrived\n"
		"  --hold MS       packets stay on the synthetic path that long after the guest drives\n"
		"                  the VF, so that both are visible\n"
		"  --wait[=S]      until the guest has let it go, or drives it, and print the time that\n"
		"                  each step took; S seconds are the deadline unless --deadline says\n"
		"                  otherwise. Without it the command returns when it has begun\n"
		"  --json          as in docs/protocol.md\n\n"
		"Examples:\n"
		"  hvlab vf revoke a/eth0 --wait\n"
		"  hvlab vf restore a/eth0 --hold 200 --wait --json\n"
		"  hvlab vf list\n",
	.json = true,
	.run = run,
};
