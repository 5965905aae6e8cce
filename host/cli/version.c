/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns "hvlab version": this program's, and the daemon's when one runs. */
#include "host/cli/commands.h"

static void show(struct output *out, const json_t *v)
{
	out_text(out, "hvlab %s\n", out_str(v, "hvlab", "?"));
	if (json_is_object(json_object_get(v, "hvlabd")))
		out_text(out, "hvlabd %s, protocol %lld, pid %lld\n",
			 out_str(v, "hvlabd.version", "?"), out_int(v, "hvlabd.protocol"),
			 out_int(v, "hvlabd.pid"));
}

static int run(struct cli *cli, int argc, char **argv)
{
	json_t *v;

	while (cli_getopt(cli, argc, argv, NULL, NULL) != -1)
		;
	cli_args(cli, argc, 0, "");
	if (cli_runtime(cli) < 0)
		return CLI_FAILED;
	/* Nobody there is no error here. */
	if (client_open(cli->dir, &cli->client) < 0)
		cli->client = NULL;
	v = json_pack("{s:s, s:O*}", "hvlab", HVLAB_VERSION, "hvlabd",
		      cli->client ? client_greeting(cli->client) : NULL);
	out_result(&cli->out, v, show);
	json_decref(v);
	return CLI_OK;
}

const struct cli_command cmd_version = {
	.name = "version",
	.args = "[--json]",
	.summary = "Print the versions of hvlab and of the daemon that runs",
	.help = "Options:\n"
		"  --json  {\"hvlab\": VERSION, \"hvlabd\": {...} or absent}\n\n"
		"Example:\n"
		"  hvlab version\n",
	.json = true,
	.run = run,
};
