/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Calls of an etcd's v3 JSON gateway: an object posted, an object or a stream of them back. What
 * they mean is elsewhere (fabric_etcd.c).
 *
 * The other side may be rude: answers are bounded, parsed as a whole, and what is wrong with them
 * becomes a line of text. Control thread.
 */
#ifndef HVLAB_HOST_ETCD_H
#define HVLAB_HOST_ETCD_H

#include <event2/event.h>
#include <jansson.h>
#include <stdint.h>

#define ETCD_MAX_ANSWER (16u << 20) /* bytes */
#define ETCD_MAX_LINE	(4u << 20)  /* of one object of a stream */
#define ETCD_MAX_STREAM (64u << 20) /* then it ends, and is begun again */
#define ETCD_WHY_SIZE	200

struct etcd;
struct etcd_call;

/*
 * @answer: NULL when rc is not 0; borrowed. @rc: 0; -ETIMEDOUT; -ECONNREFUSED no connection;
 * -ECONNRESET it ended early; -EMSGSIZE; -EPROTO not what a gateway answers; -EREMOTEIO refused,
 * @why has its words; -EACCES it wants other credentials. @why: names the endpoint; "" with rc 0.
 */
typedef void (*etcd_done_fn)(void *arg, int rc, json_t *answer, const char *why);
/* One object of a stream; borrowed. */
typedef void (*etcd_object_fn)(void *arg, json_t *object);

struct etcd *etcd_new(struct event_base *base);
/* Ends all calls without a word. Not from inside one. NULL is fine. */
void etcd_free(struct etcd *e);

/*
 * Where the next calls go: "http://HOST:PORT", and the token they carry, or NULL. 0 or -EINVAL.
 */
int etcd_set_endpoint(struct etcd *e, const char *url);
int etcd_set_token(struct etcd *e, const char *token);

/* @body is stolen. @done is called once, from the event loop. NULL with errno. */
struct etcd_call *etcd_post(struct etcd *e, const char *path, json_t *body, unsigned int timeout_ms,
			    etcd_done_fn done, void *arg);
/* The same, and each object goes to @object; @done at its end, with rc 0 and no answer at an end
 * that is no failure. */
struct etcd_call *etcd_stream(struct etcd *e, const char *path, json_t *body, etcd_object_fn object,
			      etcd_done_fn done, void *arg);
/* The gateway's JSON: a number of 64 bits is a string. -1: the member is none, or negative. */
int64_t etcd_number(const json_t *o, const char *key);
/* And bytes are base64; a new reference, NULL: out of memory. */
json_t *etcd_bytes(const char *text);
/* Nothing is called any more. Also from inside its own callbacks. NULL is fine. */
void etcd_cancel(struct etcd_call *call);

#endif
