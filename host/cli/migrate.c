/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns "hvlab migrate": a VM moved to a second QEMU while it runs. */
#include <string.h>

#include "host/cli/commands.h"
#include "host/cli/words.h"

static void show(struct output *out, const json_t *v)
{
	cli_show_steps(out, v);
}

static int run(struct cli *cli, int argc, char **argv)
{
	static const struct option longs[] = {
		{"vf", required_argument, NULL, 'f'},
		{"cancel", no_argument, NULL, 'c'},
		{"wait", optional_argument, NULL, 'w'},
		{0},
	};
	struct cli_wait wait = {0};
	bool cancel = false;
	json_t *args = json_object(), *v;
	int opt;

	while ((opt = cli_getopt(cli, argc, argv, NULL, longs)) != -1) {
		if (opt == 'f') {
			cli_one_of(cli, "--vf", optarg, "refuse|failover|manager");
			json_object_set_new(args, "vf", json_string(optarg));
		} else if (opt == 'w') {
			cli_wait_set(cli, &wait, optarg);
		} else {
			cancel = true;
		}
	}
	cli_args(cli, argc, 1, "VM");
	if (cancel && (wait.wait || json_object_size(args)))
		cli_usage(cli, "--cancel stands alone");
	json_object_set_new(args, "vm", json_string(argv[optind]));
	if (!cancel)
		json_object_set_new(args, "wait", json_boolean(wait.wait));
	if (wait.ms)
		json_object_set_new(args, "timeout_ms", json_integer(wait.ms));
	v = cli_call_slow(cli, cancel ? "vm-migrate-cancel" : "vm-migrate", args);
	if (!v)
		return CLI_FAILED;
	if (wait.wait || cli->out.json)
		out_result(&cli->out, v, show);
	json_decref(v);
	return CLI_OK;
}

const struct cli_command cmd_migrate = {
	.name = "migrate",
	.args = "VM [--vf refuse|failover|manager] [--wait[=SECONDS]] [--json]\n"
		"       hvlab migrate VM --cancel",
	.summary = "Move a VM to a second QEMU on this host while it runs",
	.help = "The guest, its memory and its synthetic NICs move; VFs do not, they are taken away\n"
		"before and given back behind. Until the guest runs on the destination everything\n"
		"can be undone, and is when something fails.\n\n"
		"Options:\n"
		"  --vf V      what becomes of VFs: refuse (default) to migrate with one; failover: QEMU\n"
		"              takes those away that the guest has paired; manager: hvlab revokes them\n"
		"  --wait[=S]  until the guest runs there and has its VFs again, and print the time that\n"
		"              each step took; at most S seconds (60) until it runs there\n"
		"  --cancel    cancel a migration under way\n"
		"  --json      as in docs/protocol.md\n\n"
		"Example:\n"
		"  hvlab migrate a --vf failover --wait\n",
	.json = true,
	.run = run,
};
