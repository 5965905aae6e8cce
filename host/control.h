/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The server of the control protocol (docs/protocol.md): connections, lines, dispatch by table,
 * answers, events. What the commands do is elsewhere.
 *
 * Control thread. A handler answers its request exactly once, now or later; a request whose
 * client has gone is answered all the same, into nothing.
 */
#ifndef HVLAB_HOST_CONTROL_H
#define HVLAB_HOST_CONTROL_H

#include <event2/event.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/util.h"
#include "host/control_args.h"

#define CONTROL_PROTOCOL    1
#define CONTROL_MAX_LINE    (16u << 20) /* bytes of a request */
#define CONTROL_MAX_CLIENTS 64
#define CONTROL_MAX_PENDING 256		/* requests of one client under way */
#define CONTROL_MAX_FDS	    8		/* received and not yet used, of one client */
#define CONTROL_MAX_EVENTS  (1u << 20)	/* bytes waiting for a client beyond which events are lost \
					 */
#define CONTROL_MAX_OUTPUT  (64u << 20) /* bytes waiting beyond which it is cut off */

struct control;
struct control_req;

enum control_class {
	CTL_COMMAND_NOT_FOUND,
	CTL_INVALID_ARGUMENT,
	CTL_LAB_INVALID,
	CTL_POLICY_INVALID,
	CTL_NOT_FOUND,
	CTL_INVALID_STATE,
	CTL_GUEST_DEAD,
	CTL_AGENT_UNAVAILABLE,
	CTL_TIMEOUT,
	CTL_PART_MISSING,
	CTL_BUSY,
	CTL_SYSTEM_ERROR,
	CTL_CANCELLED,
	CTL_GENERIC,
	CTL_N_CLASSES
};
const char *control_class_name(enum control_class cls);

/**
 * struct control_cmd - One command
 * @fn:		@args fits @specs; borrowed, valid while the request is
 * @slow:	may answer later
 * @fd:		takes one descriptor, control_take_fd()
 */
struct control_cmd {
	const char *name;
	const char *doc;
	const char *returns;
	const struct arg_spec *specs;
	size_t n_specs;
	bool slow, fd;
	void (*fn)(void *arg, struct control_req *req, const json_t *args);
};

/*
 * Listens on @path. @cmds: @n tables ended by an entry without name; they and @arg outlive the
 * server. NULL with errno; EADDRINUSE: somebody serves there.
 */
struct control *control_new(struct event_base *base, const char *path,
			    const struct control_cmd *const *cmds, size_t n, void *arg);
/* Closes all connections, after one try to send what waits; unlinks the socket. NULL is fine. */
void control_free(struct control *c);

/* Answers; end the request's life. @value is stolen; NULL: {}. */
void control_return(struct control_req *req, json_t *value);
/*
 * @extra: members to stand beside class and desc, stolen, or NULL; @hint may be NULL.
 */
void control_fail_with(struct control_req *req, enum control_class cls, json_t *extra,
		       const char *hint, const char *fmt, ...) PRINTF_LIKE(5, 6);
#define control_fail(req, cls, hint, ...) control_fail_with(req, cls, NULL, hint, __VA_ARGS__)

/* The descriptor that came with the request, the caller's; -1 when none did. */
int control_take_fd(struct control_req *req);
/*
 * Wanted events of the request's client: @names an array of strings or NULL: all but those that
 * cost the daemon something while they are wanted (DROP); false: none.
 */
void control_subscribe(struct control_req *req, bool on, const json_t *names);
/* To every client that wants it. @data is stolen. */
void control_event(struct control *c, const char *name, json_t *data);

/* For query-commands and query-schema (@name NULL: all). New references; NULL: no such command. */
json_t *control_list(const struct control *c);
json_t *control_schema(const struct control *c, const char *name);
/* Does any client want that event now? */
bool control_is_wanted(const struct control *c, const char *name);
unsigned int control_n_clients(const struct control *c);

#endif
