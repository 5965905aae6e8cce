/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the commands of hvlab share. A command is a struct cli_command in a file of its own; its
 * run() parses its options with cli_getopt(), talks to the daemon and returns the exit status.
 * Results go to stdout through output.h, everything else to stderr.
 *
 * Exit status: 0 done; 1 failed, with a message; 2 wrong usage; 130 stopped by Ctrl-C before it
 * was done. exec passes the program's own status on and has 255 for everything that kept it from
 * having one.
 */
#ifndef HVLAB_HOST_CLI_CLI_H
#define HVLAB_HOST_CLI_CLI_H

#include <getopt.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/util.h"
#include "host/client.h"
#include "host/output.h"
#include "host/runtime.h"

#define CLI_OK		0
#define CLI_FAILED	1
#define CLI_USAGE	2
#define CLI_INTERRUPTED 130
#define CLI_GUEST	255 /* exec: there is no status of a program */

#define CLI_MAX_OPTIONS 40 /* of one command, with those of every command and an end */

struct cli {
	const struct cli_command *cmd;
	const char *dir_wanted; /* --runtime-dir, or NULL */
	char dir[RUNTIME_DIR_MAX + 1];
	bool verbose;
	struct output out;
	struct client *client; /* after cli_connect() */
};

/**
 * struct cli_command - One command
 * @args:	Usage after the name: "VM [--timeout S] -- CMD [ARGS...]"
 * @summary:	One line for the list
 * @help:	Options and examples, whole lines
 * @json:	Takes --json
 * @first:	Options end at the first argument (what follows is not ours)
 */
struct cli_command {
	const char *name, *args, *summary, *help;
	bool json, first;
	int (*run)(struct cli *cli, int argc, char **argv);
};

/* The table, NULL-terminated. hvlab.c. */
extern const struct cli_command *const cli_commands[];
const struct cli_command *cli_find(const char *name);
void cli_print_help(const struct cli_command *cmd);
void cli_print_overview(void);

/*
 * getopt_long() with the options of every command (--help, --verbose, --runtime-dir, --json where
 * the command has it) handled. Unknown options and missing values end the process with status 2.
 * @longs ends with a zero entry. -1 at the end; then the arguments start at optind.
 */
int cli_getopt(struct cli *cli, int argc, char **argv, const char *shorts,
	       const struct option *longs);
/* Wrong usage: message, where to read, exit(2). */
void cli_usage(struct cli *cli, const char *fmt, ...) PRINTF_LIKE(2, 3)
	__attribute__((noreturn));
/* Exactly so many arguments are left, else wrong usage. */
void cli_args(struct cli *cli, int argc, int want, const char *what);
/* A number in a range, else wrong usage. @what: "--timeout". */
long cli_number(struct cli *cli, const char *what, const char *text, long min, long max);
/* Seconds, fractions allowed, in milliseconds. */
int cli_seconds(struct cli *cli, const char *what, const char *text);

/* "hvlab: ..." on stderr. @remedy may be NULL. */
void cli_error(const char *remedy, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* With -v only. */
void cli_verbose(struct cli *cli, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Find the runtime directory. 0, or -1 with a message. */
int cli_runtime(struct cli *cli);
/* Connect to the daemon. 0, or -1 with a message that says how to start one. */
int cli_connect(struct cli *cli);
/*
 * Call; the answer's value, or NULL with a message. Connects when need be. @args is stolen.
 * cli_call() gives up after 30 s; cli_call_slow() waits as long as it takes.
 */
json_t *cli_call(struct cli *cli, const char *command, json_t *args);
json_t *cli_call_slow(struct cli *cli, const char *command, json_t *args);
/* Report why a request failed: client_wait()'s return, or the answer's error. */
void cli_report(int ret, const struct client_answer *a);

/*
 * "a/eth0", or "a" when that VM has one NIC, to a vNIC's name; the caller's. NULL with a message.
 */
char *cli_vnic(struct cli *cli, const char *target);

/*
 * From now on SIGINT, SIGTERM and SIGHUP make this descriptor readable (a signalfd) instead of
 * ending the process.
 */
int cli_signals(void);
/* In a child: as they were. */
void cli_signals_reset(void);

/* ---- parts.c: programs that we start ---- */

/* scripts/parts with @argv (after the program); its JSON, or NULL with a message. @sigfd: as
 * above; *@interrupted is set when that ended it. */
json_t *cli_parts(struct cli *cli, const char *const *argv, int sigfd, bool *interrupted);
/* Start hvlabd and wait until it serves. Its pid; -1 with a message; -2: interrupted. */
pid_t cli_start_daemon(struct cli *cli, int sigfd);

/* Wait for a child that was told to end; one that does not is killed after 30 s. */
void cli_reap(pid_t pid);

/* ---- events.c: what happens, as it happens ---- */

/*
 * Calls @fn for each of those events (@names as events-subscribe has them, stolen; NULL: all) until
 * Ctrl-C, the daemon's end, the reader's end, @timeout_ms (-1: never), or *@left is 0. CLI_OK, or
 * CLI_FAILED with a message.
 */
int cli_watch(struct cli *cli, json_t *names, void (*fn)(void *arg, const json_t *event),
	      void *arg, const long *left, int timeout_ms);

/* ---- show.c: views of the daemon's state that several commands print ---- */

void cli_show_status(struct output *out, const json_t *status);

#endif
