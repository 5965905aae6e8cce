/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A client of the QEMU guest agent: finds out when it is there, asks it one thing at a time,
 * notices when it falls silent. Requests as in QEMU docs/interop/qemu-ga-ref.
 *
 *	CLOSED --agent_opened()--> SYNCING --its answer--> UP
 *	any --agent_closed()--> CLOSED: pending calls fail
 *
 * The agent has no connection of its own to end, so what an earlier boot left in the channel is
 * passed over by guest-sync-delimited: its answer follows a byte 0xff and repeats our number.
 * Control thread. Callbacks must not free the client they come from.
 */
#ifndef HVLAB_HOST_AGENT_H
#define HVLAB_HOST_AGENT_H

#include <event2/event.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "host/qmp.h"

struct agent;

#define AGENT_PING_MS	5000  /* between questions to an idle agent */
#define AGENT_SILENT_MS 15000 /* without an answer: reported */

struct agent_ops {
	void (*up)(void *arg);				   /* it has answered */
	void (*silent)(void *arg, unsigned int silent_ms); /* once per silence */
	void (*back)(void *arg, unsigned int silent_ms);
};

/* Talks on @fd (taken). NULL with errno. */
struct agent *agent_new(struct event_base *base, int fd, const struct agent_ops *ops, void *arg);
/* Pending calls fail with -ECANCELED. NULL is fine. */
void agent_free(struct agent *a);

/* The guest opened or closed its end of the port, or was reset (QMP VSERPORT_CHANGE, RESET). */
void agent_opened(struct agent *a);
void agent_closed(struct agent *a, const char *why);
bool agent_is_up(const struct agent *a);
/* How long the oldest question waits for its answer; 0: none does. */
unsigned int agent_silent_ms(const struct agent *a);

/*
 * Ask. @args is stolen. @fn as in qmp.h, with -EREMOTEIO for a refusal of the agent. Calls are
 * asked in order, the next after the answer to the one before. @timeout_ms counts from now; 0:
 * none. 0, -ENOTCONN (not up), -ENOMEM.
 */
int agent_call(struct agent *a, const char *command, json_t *args, unsigned int timeout_ms,
	       qmp_reply_fn fn, void *arg);
/*
 * The same for a command that is answered only when it fails (guest-shutdown): a ping follows it,
 * and the ping's answer says that it was accepted.
 */
int agent_tell(struct agent *a, const char *command, json_t *args, unsigned int timeout_ms,
	       qmp_reply_fn fn, void *arg);

#endif
