/* SPDX-License-Identifier: BSD-2-Clause */
/* Commands of several words ("hvlab nic add"): the second word, and which options go with it. */
#ifndef HVLAB_HOST_CLI_WORDS_H
#define HVLAB_HOST_CLI_WORDS_H

#include "host/cli/cli.h"

/**
 * struct cli_word - A second word
 * @options:	The options that go with it beside those of every command, as one string: "network
 *		name mac"; whole words
 */
struct cli_word {
	const char *name;
	const char *options;
	int (*run)(struct cli *cli, int argc, char **argv);
};

/*
 * The word at argv[optind], which is stepped over. None or an unknown one ends the process with
 * status 2. @words ends with a zero entry.
 */
const struct cli_word *cli_word(struct cli *cli, int argc, char **argv,
				const struct cli_word *words);
/* @option (without dashes) was given: does it go with @word? Else wrong usage. */
void cli_word_takes(struct cli *cli, const struct cli_word *word, const char *option);
/* One of "a|b|c", else wrong usage. @what: "--way". */
void cli_one_of(struct cli *cli, const char *what, const char *text, const char *values);

/**
 * struct cli_wait - --wait[=SECONDS] of the commands that begin something in a guest
 */
struct cli_wait {
	bool wait;
	int ms; /* 0: the daemon's default */
};
void cli_wait_set(struct cli *cli, struct cli_wait *w, const char *text);

/* "  12.3 ms  plugged" for each of an answer's steps. */
void cli_show_steps(struct output *out, const json_t *answer);

/*
 * Ask the same command several times at once, with each of @requests (an array of arguments,
 * stolen), and collect the answers in the order of the requests. What fails is reported and null
 * in the result. NULL with a message when the daemon cannot be reached.
 */
json_t *cli_call_all(struct cli *cli, const char *command, json_t *requests);

#endif
