/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A client of the control socket (docs/protocol.md): requests, answers in any order, events.
 * Blocking, one thread, no loop of its own: who waits for other descriptors as well polls
 * client_fd() and calls client_dispatch().
 */
#ifndef HVLAB_HOST_CLIENT_H
#define HVLAB_HOST_CLIENT_H

#include <jansson.h>
#include <stdbool.h>

struct client;

/**
 * client_open() - Connect to the daemon of a runtime directory and read its greeting
 *
 * Return: 0; -ENOENT or -ECONNREFUSED: nobody serves there; -EPROTO: somebody does, but not
 * hvlabd or not this protocol; -ETIMEDOUT: it does not greet; -errno (-EACCES)
 */
int client_open(const char *runtime_dir, struct client **client);
/* NULL is fine. */
void client_close(struct client *c);
int client_fd(const struct client *c);
/* The greeting's "hvlab" object; borrowed. */
const json_t *client_greeting(const struct client *c);

/* Called for every event that comes while something is waited for; @event is borrowed. */
void client_on_event(struct client *c, void (*fn)(void *arg, const json_t *event), void *arg);
/* While waiting, also return (-EINTR) when this descriptor is readable. -1: none. */
void client_wake_on(struct client *c, int fd);

/* @args is stolen, NULL: none; @fd is passed along, -1: none. The request's id or -errno. */
int client_send(struct client *c, const char *command, json_t *args, int fd);

/**
 * struct client_answer - What a request led to; client_answer_fini() frees it
 * @value:	what came as "return", or NULL
 * @error:	what came as "error", or NULL
 */
struct client_answer {
	json_t *value, *error;
};

void client_answer_fini(struct client_answer *a);
/* Members of an error, "" when absent. */
const char *client_error_class(const struct client_answer *a);
const char *client_error_desc(const struct client_answer *a);
const char *client_error_hint(const struct client_answer *a);

/**
 * client_wait() - Wait for the answer to a request
 * @id:		What client_send() returned; 0: return as soon as something came (@answer unused)
 * @timeout_ms:	-1: for ever
 *
 * Return: 0: @answer is filled; -ETIMEDOUT; -EINTR (client_wake_on()); -EPIPE: the daemon closed
 * the connection; -EPROTO: it sent nonsense; -errno
 */
int client_wait(struct client *c, int id, int timeout_ms, struct client_answer *answer);
/* Read what is there and call back for events; never blocks. 0, -EPIPE, -EPROTO, -errno. */
int client_dispatch(struct client *c);

/* Send and wait for ever. As client_wait(). */
int client_call(struct client *c, const char *command, json_t *args, struct client_answer *answer);

#endif
