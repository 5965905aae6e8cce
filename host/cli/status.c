/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns "hvlab status": what is up and how it is. */
#include "host/cli/commands.h"

static int run(struct cli *cli, int argc, char **argv)
{
	json_t *status;

	while (cli_getopt(cli, argc, argv, NULL, NULL) != -1)
		;
	cli_args(cli, argc, 0, "");
	status = cli_call(cli, "query-status", NULL);
	if (!status)
		return CLI_FAILED;
	out_result(&cli->out, status, cli_show_status);
	json_decref(status);
	return CLI_OK;
}

const struct cli_command cmd_status = {
	.name = "status",
	.args = "[--json]",
	.summary = "Show the lab, its VMs, their NICs and networks",
	.help = "A VM is starting, running, ready (its agent has answered), panicked, exited or\n"
		"failed. A VF is absent, offered (the guest sees the device) or driven (the guest's\n"
		"driver turned receive on).\n\n"
		"Options:\n"
		"  --json  the daemon's whole state: query-status in docs/protocol.md\n\n"
		"Examples:\n"
		"  hvlab status\n"
		"  hvlab status --json | jq -r '.vms[] | select(.state != \"ready\") | .name'\n",
	.json = true,
	.run = run,
};
