/* SPDX-License-Identifier: BSD-2-Clause */
/* A real daemon in a directory of its own, and plain clients of its control socket. */
#ifndef HVLAB_TESTS_PROTOCOL_HVLABD_RIG_H
#define HVLAB_TESTS_PROTOCOL_HVLABD_RIG_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct hvlabd {
	char dir[32], sock[64];
	char ready[512]; /* what it said on --ready-fd */
	pid_t pid;
};

/* cmocka fixtures: *state is a started struct hvlabd; at the end nothing of it may be left. */
int hvlabd_setup(void **state);
int hvlabd_teardown(void **state);
/* Start one (more) in d->dir; d->ready is filled. */
void hvlabd_start(struct hvlabd *d);
/* Wait for its end. Exit status, or minus the signal. */
int hvlabd_wait(struct hvlabd *d);
/* Open descriptors of the process. */
unsigned int hvlabd_n_fds(const struct hvlabd *d);

struct ctl {
	int fd;
	char *buf;
	size_t have, size;
	json_t *events; /* array of those that came on the way */
};

void ctl_open(struct ctl *c, const struct hvlabd *d); /* greeting checked */
void ctl_close(struct ctl *c);
void ctl_send(struct ctl *c, const char *line);
/* The next message; NULL at end of file. Fails the test after 20 s. */
json_t *ctl_next(struct ctl *c);
/*
 * Send a command with @args (stolen, may be NULL) and take its answer: {"return":...} or
 * {"error":...}; the caller's to decref.
 */
json_t *ctl_call(struct ctl *c, const char *command, json_t *args);
/* The same, and it must work: the return value. */
json_t *ctl_ok(struct ctl *c, const char *command, json_t *args);
/* The same, and it must be refused with this class and these words in its description. */
void ctl_refused(struct ctl *c, const char *command, json_t *args, const char *class,
		 const char *words);
/* Waits for an event of this name (and with this state in its data unless NULL). Caller's. */
json_t *ctl_event(struct ctl *c, const char *name, const char *state);
/* A short life on a connection of its own: the daemon still serves. */
void assert_serves(const struct hvlabd *d);

#endif
