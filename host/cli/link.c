/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns "hvlab link": the link of a NIC, or of one of its paths, taken down and up. */
#include <stdlib.h>
#include <string.h>

#include "host/cli/commands.h"
#include "host/cli/words.h"

static bool is_word(const char *text)
{
	return !strcmp(text, "up") || !strcmp(text, "down");
}

static void show_nothing(struct output *out, const json_t *v)
{
	(void)out;
	(void)v;
}

static int run(struct cli *cli, int argc, char **argv)
{
	static const struct option longs[] = {
		{"path", required_argument, NULL, 'p'},
		{0},
	};
	const char *path = NULL, *word, *target;
	json_t *args, *ret;
	char *vnic;
	int opt;

	while ((opt = cli_getopt(cli, argc, argv, "p:", longs)) != -1) {
		cli_one_of(cli, "--path", optarg, "vf|synthetic");
		path = optarg;
	}
	cli_args(cli, argc, 2, "TARGET or up|down");
	/* Either order: a VM may be called "up" only behind the word. */
	word = is_word(argv[optind]) ? argv[optind] : argv[optind + 1];
	target = word == argv[optind] ? argv[optind + 1] : argv[optind];
	if (!is_word(word))
		cli_usage(cli, "\"%s\" is neither up nor down", word);
	vnic = cli_vnic(cli, target);
	if (!vnic)
		return CLI_FAILED;
	args = json_pack("{s:s, s:b}", "vnic", vnic, "up", !strcmp(word, "up"));
	free(vnic);
	if (path)
		json_object_set_new(args, "path", json_string(path));
	ret = cli_call(cli, "link-set", args);
	if (!ret)
		return CLI_FAILED;
	out_result(&cli->out, ret, show_nothing);
	json_decref(ret);
	return CLI_OK;
}

const struct cli_command cmd_link = {
	.name = "link",
	.args = "up|down TARGET [--path vf|synthetic] [--json]",
	.summary = "Take the link of a NIC down or up, as the guest sees it",
	.help = "TARGET is VM/NIC, or VM when it has one NIC; it may stand before the word as well.\n"
		"The mana driver of kernel 7.2 follows the VF's link; those of 6.1 and 6.12 ignore it.\n"
		"While the NIC's link is down the switch delivers nothing to it.\n\n"
		"Options:\n"
		"  -p, --path P  the link of one path only, vf or synthetic; the other keeps its own,\n"
		"                and the switch goes on delivering\n"
		"  --json        as in docs/protocol.md\n\n"
		"Examples:\n"
		"  hvlab link down a/eth0\n"
		"  hvlab link up a --path vf\n",
	.json = true,
	.run = run,
};
