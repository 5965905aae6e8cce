/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A QMP client: greeting, capabilities, commands with their answers, events. QEMU
 * docs/interop/qmp-spec.rst.
 *
 * Control thread. Callbacks may send commands; they must not free the client they come from.
 */
#ifndef HVLAB_HOST_QMP_H
#define HVLAB_HOST_QMP_H

#include <event2/event.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct qmp;

struct qmp_ops {
	/* Commands may be sent. @version: "11.1.3". */
	void (*ready)(void *arg, const char *version);
	void (*event)(void *arg, const char *name, json_t *data);
	/* QEMU closed or broke the connection; every pending command has been failed before. */
	void (*closed)(void *arg, const char *why);
};

/*
 * Talks on @fd (taken, made non-blocking; closed too when this fails). NULL with errno.
 */
struct qmp *qmp_new(struct event_base *base, int fd, const struct qmp_ops *ops, void *arg);
/* Pending commands are failed with -ECANCELED. NULL is fine. */
void qmp_free(struct qmp *q);

/**
 * qmp_reply_fn - How a command ended
 * @rc:		0; -EREMOTEIO QEMU refused (@desc says why); -ETIMEDOUT; -ECONNRESET; -ECANCELED
 * @ret:	The return value with @rc 0, borrowed
 */
typedef void (*qmp_reply_fn)(void *arg, int rc, json_t *ret, const char *desc);

/**
 * qmp_send() - Send a command
 * @args:	Its arguments, stolen; NULL: none
 * @fn:		Called once, not before this returned; NULL: nobody cares
 * @timeout_ms:	0: none
 *
 * Return: 0, -ENOTCONN (not ready or closed), -ENOMEM
 */
int qmp_send(struct qmp *q, const char *command, json_t *args, unsigned int timeout_ms,
	     qmp_reply_fn fn, void *arg);
bool qmp_is_ready(const struct qmp *q);

/* What one line of QMP is. */
enum qmp_kind { QMP_GREETING, QMP_RETURN, QMP_ERROR, QMP_EVENT, QMP_BAD };

/**
 * struct qmp_msg - One parsed message; everything points into @root
 * @value:	Return value, event data ({} when absent), or the greeting's QMP object
 */
struct qmp_msg {
	enum qmp_kind kind;
	json_t *root, *value;
	json_int_t id;	  /* of RETURN and ERROR; -1: none */
	const char *name; /* event */
	const char *error_class, *desc;
};

/* Parse a line of @len bytes; @msg->root is the caller's to decref (NULL with QMP_BAD). */
enum qmp_kind qmp_parse(const char *line, size_t len, struct qmp_msg *msg);
/* "11.1.3" out of a greeting's value. */
void qmp_version(const json_t *greeting, char *out, size_t size);

#endif
