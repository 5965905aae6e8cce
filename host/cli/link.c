/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns "hvlab link": a NIC's link taken down and up. */
#include <string.h>
#include <stdlib.h>

#include "host/cli/commands.h"

static int run(struct cli *cli, int argc, char **argv)
{
	json_t *ret;
	char *vnic;
	bool up;

	while (cli_getopt(cli, argc, argv, NULL, NULL) != -1)
		;
	cli_args(cli, argc, 2, "TARGET or up|down");
	up = strcmp(argv[optind + 1], "up") == 0;
	if (!up && strcmp(argv[optind + 1], "down") != 0)
		cli_usage(cli, "\"%s\" is neither up nor down", argv[optind + 1]);
	vnic = cli_vnic(cli, argv[optind]);
	if (!vnic)
		return CLI_FAILED;
	ret = cli_call(cli, "link-set", json_pack("{s:s, s:b}", "vnic", vnic, "up", up));
	free(vnic);
	json_decref(ret);
	return ret ? CLI_OK : CLI_FAILED;
}

const struct cli_command cmd_link = {
	.name = "link",
	.args = "TARGET up|down",
	.summary = "Take the link of a NIC down or up, as the guest sees it",
	.help = "TARGET is VM/NIC, or VM when it has one NIC. The mana driver of kernel 7.2 follows\n"
		"the link; those of 6.1 and 6.12 ignore it.\n\n"
		"Examples:\n"
		"  hvlab link a/eth0 down\n"
		"  hvlab link a up\n",
	.run = run,
};
