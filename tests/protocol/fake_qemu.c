/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A program that the daemon takes for QEMU: speaks QMP on descriptor 3 and the guest agent's
 * language on 4, and misbehaves as its first argument says. For tests of the daemon alone.
 *
 *	run		does what it is told
 *	die		prints a line and ends with status 3
 *	die-long	the same with a long line (fake_words.h); die-endless: with one nobody keeps
 *	mute		never says anything
 *	noise		says what is not QMP, and stays
 *	stubborn	does not end when told to
 *	panic		reports a panic once it runs
 *	poweroff	the guest powers off once it runs
 *	crash		abort()s once it runs
 *	exec-die	abort()s when asked how a program ended
 *	exec-hang	programs never end
 *	guest		as run, and there is a guest that drives its NICs (fake_nics.h); the program
 *			"behave" run in it says how.
 *	guest-dest-dies	as guest, but one that is started for a migration ends as die-long
 */
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fake_nics.h"
#include "fake_words.h"

#define QMP   3
#define AGENT 4

static const char *mode;

static void say(int fd, const char *text)
{
	if (write(fd, text, strlen(text)) < 0)
		_exit(0);
}

/* The number behind "id": in a request. */
static long long id_of(const char *line)
{
	const char *at = strstr(line, "\"id\":");

	return at ? atoll(at + 5) : 0;
}

static void say_qmp(const char *line)
{
	say(QMP, line);
}

static void on_running(void)
{
	if (!strcmp(mode, "guest"))
		nics_boot();
	if (!strcmp(mode, "panic")) {
		say(QMP, "{\"event\": \"GUEST_PANICKED\", \"data\": {\"action\": \"pause\"}}\r\n");
	} else if (!strcmp(mode, "poweroff")) {
		say(QMP, "{\"event\": \"SHUTDOWN\", \"data\": {\"guest\": true, "
			 "\"reason\": \"guest-shutdown\"}}\r\n");
		_exit(0);
	} else if (!strcmp(mode, "crash")) {
		abort();
	} else {
		say(QMP, "{\"event\": \"VSERPORT_CHANGE\", \"data\": {\"open\": true, "
			 "\"id\": \"agent0\"}}\r\n");
	}
}

static void on_qmp(const char *line)
{
	json_t *msg = json_loads(line, 0, NULL);
	const char *command = json_string_value(json_object_get(msg, "execute"));
	/* The request's own: the arguments may have an "id", too. */
	long long id = json_integer_value(json_object_get(msg, "id"));
	const char *error = NULL;
	char answer[256];

	if (!strcmp(mode, "guest") && command)
		nics_qmp(command, json_object_get(msg, "arguments"), &error);
	if (error)
		snprintf(answer, sizeof(answer),
			 "{\"error\": {\"class\": \"%s\", \"desc\": \"%s\"}, \"id\": %lld}\r\n",
			 strstr(error, "not found") ? "DeviceNotFound" : "GenericError", error, id);
	else
		snprintf(answer, sizeof(answer), "{\"return\": {}, \"id\": %lld}\r\n", id);
	if (!command || !nics_silent(command))
		say(QMP, answer);
	nics_after();
	json_decref(msg);
	if (strstr(line, "\"query-status\"") && !nics_incoming())
		on_running();
	else if (strstr(line, "\"quit\"") && strcmp(mode, "stubborn"))
		_exit(0);
}

/* Was it "behave" that is to be run? */
static void behave(const char *line)
{
	json_t *msg = json_loads(line, 0, NULL), *args = json_object_get(msg, "arguments");
	const char *path = json_string_value(json_object_get(args, "path"));
	const json_t *argv = json_object_get(args, "arg");
	const char *word = json_string_value(json_array_get(argv, 0));
	bool known = path && !strcmp(path, "behave");

	if (known && (!word || !nics_behave(word, json_string_value(json_array_get(argv, 1)))))
		exit(9); /* a test that says what is not understood must not pass */
	json_decref(msg);
}

static void on_agent(const char *line)
{
	char answer[64];

	if (strstr(line, "guest-sync-delimited")) {
		snprintf(answer, sizeof(answer), "\xff{\"return\": %lld}\n", id_of(line));
		say(AGENT, answer);
	} else if (strstr(line, "guest-exec-status")) {
		if (!strcmp(mode, "exec-die"))
			abort();
		say(AGENT, strcmp(mode, "exec-hang")
				   ? "{\"return\": {\"exited\": true, \"exitcode\": 7, "
				     "\"out-data\": \"aGk=\"}}\n"
				   : "{\"return\": {\"exited\": false}}\n");
	} else if (strstr(line, "guest-exec")) {
		behave(line);
		say(AGENT, "{\"return\": {\"pid\": 42}}\n");
	} else {
		say(AGENT, "{\"return\": {}}\n");
	}
}

/* Lines of one descriptor; false at its end. */
static bool pump(int fd, char *buf, size_t size, size_t *have, void (*fn)(const char *line))
{
	ssize_t n = read(fd, buf + *have, size - 1 - *have);
	char *nl;

	if (n <= 0)
		return false;
	*have += (size_t)n;
	buf[*have] = '\0';
	while ((nl = memchr(buf, '\n', *have))) {
		size_t len = (size_t)(nl + 1 - buf);

		*nl = '\0';
		fn(buf);
		memmove(buf, nl + 1, *have - len + 1);
		*have -= len;
	}
	return true;
}

/* False: it is not to die. */
static bool last_words(void)
{
	if (!strcmp(mode, "die")) {
		fprintf(stderr, "fake: could not set up host forwarding rule\n");
	} else if (!strcmp(mode, "die-long")) {
		fprintf(stderr, "%s\n", FAKE_LONG_WORDS);
	} else if (!strcmp(mode, "die-endless")) {
		fputs(FAKE_ENDLESS_HEAD, stderr);
		for (unsigned int i = 0; i < FAKE_ENDLESS_N; i++)
			fputs(FAKE_ENDLESS_CHAR, stderr);
		fputs("\n", stderr);
	} else {
		return false;
	}
	return true;
}

int main(int argc, char **argv)
{
	static char qmp[65536], agent[65536];
	struct pollfd p[2] = {{.fd = QMP, .events = POLLIN}, {.fd = AGENT, .events = POLLIN}};
	size_t n_qmp = 0, n_agent = 0;

	mode = argc > 1 ? argv[1] : "run";
	nics_init(argc, argv, say_qmp);
	signal(SIGTERM, SIG_IGN);
	if (!strcmp(mode, "guest-dest-dies"))
		mode = nics_incoming() ? "die-long" : "guest";
	if (last_words())
		return 3;
	if (!strcmp(mode, "noise"))
		say(QMP, "this is not QMP\n");
	else if (strcmp(mode, "mute"))
		say(QMP, "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 3, \"minor\": 1, "
			 "\"major\": 11}, \"package\": \"\"}, \"capabilities\": []}}\r\n");
	if (!strcmp(mode, "noise") || !strcmp(mode, "mute"))
		while (1)
			pause();
	while (poll(p, 2, nics_timeout()) >= 0) {
		nics_due();
		if (p[0].revents && !pump(QMP, qmp, sizeof(qmp), &n_qmp, on_qmp))
			return 0;
		if (p[1].revents && !pump(AGENT, agent, sizeof(agent), &n_agent, on_agent))
			return 0;
	}
	return 0;
}
