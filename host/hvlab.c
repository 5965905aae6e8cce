/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the command line's main(): the table of commands, global options, help. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/cli/cli.h"
#include "host/cli/commands.h"
#include "host/lab_internal.h"

const struct cli_command *const cli_commands[] = {
	&cmd_up,      &cmd_down, &cmd_check, &cmd_status, &cmd_exec,  &cmd_console, &cmd_log,
	&cmd_policy,  &cmd_explain,
	&cmd_stats,   &cmd_capture, &cmd_events, &cmd_nic, &cmd_vf, &cmd_link, &cmd_migrate, &cmd_fabric, &cmd_reset, &cmd_raw,
	&cmd_flows, &cmd_drops,
	&cmd_version, &cmd_drill, &cmd_compare, &cmd_help, NULL,
};

const struct cli_command *cli_find(const char *name)
{
	for (unsigned int i = 0; cli_commands[i]; i++)
		if (strcmp(cli_commands[i]->name, name) == 0)
			return cli_commands[i];
	return NULL;
}

void cli_print_overview(void)
{
	printf("usage: hvlab [--runtime-dir DIR] [-v] COMMAND [ARGS...]\n\n"
	       "Guests whose NICs are an emulated Microsoft Azure Network Adapter (MANA), on any "
	       "Linux machine.\n\nCommands:\n");
	for (unsigned int i = 0; cli_commands[i]; i++)
		printf("  %-9s %s\n", cli_commands[i]->name, cli_commands[i]->summary);
	printf("\nOptions:\n"
	       "  --runtime-dir DIR  where the daemon's socket is; default $HVLAB_RUNTIME_DIR, then\n"
	       "                     $XDG_RUNTIME_DIR/hvlab, /run/hvlab for root, /tmp/hvlab-UID\n"
	       "  -v, --verbose      say what is done\n"
	       "  -h, --help         this; hvlab help COMMAND or hvlab COMMAND --help for more\n\n"
	       "Exit status: 0 done, 1 failed, 2 wrong usage, 130 stopped by Ctrl-C; hvlab exec: "
	       "that of\nthe guest's program, 255 when there is none.\n\n"
	       "Examples:\n"
	       "  hvlab up examples/pair.yaml\n"
	       "  hvlab exec a -- ping -c 3 b\n"
	       "  hvlab capture a/eth0 -w - | wireshark -k -i -\n"
	       "  hvlab down\n");
}

void cli_print_help(const struct cli_command *cmd)
{
	printf("usage: hvlab %s %s\n\n%s.\n\n%s", cmd->name, cmd->args, cmd->summary, cmd->help);
}

static int unknown(struct cli *cli, const char *name)
{
	const char *words[32] = {NULL};
	const char *near;

	for (unsigned int i = 0; cli_commands[i] && i < ARRAY_SIZE(words) - 1; i++)
		words[i] = cli_commands[i]->name;
	near = lab_nearest(name, words);
	if (near)
		cli_usage(cli, "unknown command \"%s\"; did you mean \"%s\"?", name, near);
	cli_usage(cli, "unknown command \"%s\"", name);
}

static int run_help(struct cli *cli, int argc, char **argv)
{
	const struct cli_command *cmd;

	while (cli_getopt(cli, argc, argv, NULL, NULL) != -1)
		;
	if (optind == argc) {
		cli_print_overview();
		return CLI_OK;
	}
	cli_args(cli, argc, 1, "COMMAND");
	cmd = cli_find(argv[optind]);
	if (!cmd)
		return unknown(cli, argv[optind]);
	cli_print_help(cmd);
	return CLI_OK;
}

const struct cli_command cmd_help = {
	.name = "help",
	.args = "[COMMAND]",
	.summary = "Explain hvlab or one of its commands",
	.help = "Example:\n"
		"  hvlab help up\n",
	.run = run_help,
};

int main(int argc, char **argv)
{
	struct cli cli = {0};
	int status;

	/* A reader that went away shows in the write; see out_finish(). */
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stderr, NULL, _IOLBF, 0);
	out_init(&cli.out, false);
	while (cli_getopt(&cli, argc, argv, NULL, NULL) != -1)
		;
	if (optind == argc) {
		cli_print_overview();
		return out_finish(CLI_USAGE);
	}
	cli.cmd = cli_find(argv[optind]);
	if (!cli.cmd)
		return unknown(&cli, argv[optind]);
	argc -= optind;
	argv += optind;
	optind = 0; /* GNU: start over with the new vector */
	status = cli.cmd->run(&cli, argc, argv);
	client_close(cli.client);
	return out_finish(status);
}
