/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns "hvlab reset": the reset button of a VM. */
#include "host/cli/commands.h"

static int run(struct cli *cli, int argc, char **argv)
{
	json_t *ret;

	while (cli_getopt(cli, argc, argv, NULL, NULL) != -1)
		;
	cli_args(cli, argc, 1, "VM");
	ret = cli_call(cli, "vm-reset", json_pack("{s:s}", "vm", argv[optind]));
	json_decref(ret);
	return ret ? CLI_OK : CLI_FAILED;
}

const struct cli_command cmd_reset = {
	.name = "reset",
	.args = "VM",
	.summary = "Press the reset button of a VM (QEMU's system_reset)",
	.help = "The guest is not asked. Its devices are reset and it boots again.\n\n"
		"Example:\n"
		"  hvlab reset a\n",
	.run = run,
};
