/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns what commands of several words share. */
#include "host/cli/words.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/lab_internal.h"

#define MAX_WORDS 8

const struct cli_word *cli_word(struct cli *cli, int argc, char **argv,
				const struct cli_word *words)
{
	const char *names[MAX_WORDS + 1] = {NULL}, *near;
	char all[128] = "";
	size_t len = 0;

	for (unsigned int i = 0; i < MAX_WORDS && words[i].name; i++) {
		names[i] = words[i].name;
		len += (size_t)snprintf(all + len, sizeof(all) - len, "%s%s", i ? ", " : "",
					words[i].name);
	}
	if (optind >= argc)
		cli_usage(cli, "one of %s missing", all);
	for (; words->name; words++)
		if (!strcmp(words->name, argv[optind])) {
			optind++;
			return words;
		}
	near = lab_nearest(argv[optind], names);
	if (near)
		cli_usage(cli, "unknown \"%s\"; did you mean \"%s\"?", argv[optind], near);
	cli_usage(cli, "\"%s\" is none of %s", argv[optind], all);
}

/* Is @word one of @list's words, which @sep separates? */
static bool listed(const char *list, const char *word, char sep)
{
	size_t len = strlen(word);

	for (const char *at = list; (at = strstr(at, word)); at++)
		if ((at == list || at[-1] == sep) && (at[len] == sep || !at[len]))
			return len > 0;
	return false;
}

void cli_word_takes(struct cli *cli, const struct cli_word *word, const char *option)
{
	if (!listed(word->options, option, ' '))
		cli_usage(cli, "--%s does not go with %s", option, word->name);
}

void cli_one_of(struct cli *cli, const char *what, const char *text, const char *values)
{
	char shown[128];
	size_t len = 0;

	if (listed(values, text, '|') && !strchr(text, '|'))
		return;
	for (; *values && len < sizeof(shown) - 3; values++) {
		shown[len++] = *values == '|' ? ',' : *values;
		if (*values == '|')
			shown[len++] = ' ';
	}
	shown[len] = '\0';
	cli_usage(cli, "%s: \"%s\" is none of %s", what, text, shown);
}

void cli_wait_set(struct cli *cli, struct cli_wait *w, const char *text)
{
	w->wait = true;
	w->ms = text ? cli_seconds(cli, "--wait", text) : 0;
}

void cli_show_steps(struct output *out, const json_t *answer)
{
	json_t *step;
	size_t i;

	json_array_foreach(json_object_get(answer, "steps"), i, step)
		out_text(out, "%10.1f ms  %s\n", json_number_value(json_object_get(step, "ms")),
			 out_str(step, "step", "?"));
}

json_t *cli_call_all(struct cli *cli, const char *command, json_t *requests)
{
	size_t n = json_array_size(requests), i;
	json_t *answers = json_array();
	int *ids, ret = 0;

	if (cli_connect(cli) < 0 || !(ids = calloc(n + 1, sizeof(*ids)))) {
		json_decref(requests);
		json_decref(answers);
		return NULL;
	}
	for (i = 0; i < n; i++)
		ids[i] = client_send(cli->client, command,
				     json_incref(json_array_get(requests, i)), -1);
	for (i = 0; i < n; i++) {
		struct client_answer a = {NULL, NULL};

		if (ret == 0)
			ret = ids[i] > 0 ? client_wait(cli->client, ids[i], -1, &a) : ids[i];
		if (ret || a.error) {
			cli_report(ret, &a);
			client_answer_fini(&a);
			json_array_append_new(answers, json_null());
			if (ret)
				break; /* the connection is gone: once is enough */
			continue;
		}
		json_array_append_new(answers, a.value);
	}
	free(ids);
	json_decref(requests);
	return answers;
}
