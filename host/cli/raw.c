/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns "hvlab raw": any command of the control protocol. */
#include <stdio.h>
#include <string.h>

#include "host/cli/commands.h"

/* The request's command and arguments, however it was written. */
static json_t *parse(struct cli *cli, const char *text, const char *args_text)
{
	json_error_t err;
	json_t *msg, *args;

	if (strcmp(text, "-") == 0)
		msg = json_loadf(stdin, 0, &err);
	else if (strchr(text, '{'))
		msg = json_loads(text, 0, &err);
	else
		msg = json_pack("{s:s}", "execute", text);
	if (!msg)
		cli_usage(cli, "not valid JSON: %s (line %d, column %d)", err.text, err.line,
			  err.column);
	if (!json_is_string(json_object_get(msg, "execute")))
		cli_usage(cli, "the request has no \"execute\": a command's name");
	if (args_text) {
		args = json_loads(args_text, 0, &err);
		if (!args)
			cli_usage(cli, "the arguments are not valid JSON: %s (column %d)", err.text,
				  err.column);
		json_object_set_new(msg, "arguments", args);
	}
	return msg;
}

static int run(struct cli *cli, int argc, char **argv)
{
	struct client_answer a;
	json_t *msg;
	int ret;

	while (cli_getopt(cli, argc, argv, NULL, NULL) != -1)
		;
	if (argc - optind != 2)
		cli_args(cli, argc, 1, "JSON");
	msg = parse(cli, argv[optind], argc - optind == 2 ? argv[optind + 1] : NULL);
	if (cli_connect(cli) < 0) {
		json_decref(msg);
		return CLI_FAILED;
	}
	ret = client_call(cli->client, out_str(msg, "execute", ""),
			  json_incref(json_object_get(msg, "arguments")), &a);
	json_decref(msg);
	cli->out.json = true;
	if (ret)
		cli_report(ret, NULL);
	else
		out_result(&cli->out, a.error ? a.error : a.value, NULL);
	ret = ret || a.error ? CLI_FAILED : CLI_OK;
	client_answer_fini(&a);
	return ret;
}

const struct cli_command cmd_raw = {
	.name = "raw",
	.args = "JSON | - | COMMAND [ARGUMENTS]",
	.summary = "Send one command of the control protocol and print the answer",
	.help = "JSON is a request of docs/protocol.md: {\"execute\": ..., \"arguments\": ...}; -\n"
		"reads it from stdin. A bare COMMAND may be followed by its arguments as JSON.\n"
		"The answer's value is printed as JSON; a refusal too, with exit status 1.\n"
		"hvlab raw query-schema describes every command.\n\n"
		"Examples:\n"
		"  hvlab raw query-commands\n"
		"  hvlab raw vm-kill '{\"vm\": \"a\"}'\n"
		"  hvlab raw '{\"execute\": \"query-fdb\", \"arguments\": {\"network\": \"blue\"}}'\n",
	.run = run,
};
