/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * As much of an etcd's JSON gateway as hosts use, in the test's own event loop, and any rude answer
 * instead. Keys and values are plain text here.
 */
#ifndef HVLAB_TESTS_LIB_FAKE_ETCD_H
#define HVLAB_TESTS_LIB_FAKE_ETCD_H

#include <event2/event.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fake_etcd;

struct fake_etcd *fake_etcd_new(struct event_base *base);
void fake_etcd_free(struct fake_etcd *e);
/* "http://127.0.0.1:PORT" */
const char *fake_etcd_url(const struct fake_etcd *e);

/* As another client of the etcd; watchers hear of it. The revision it has then. */
int64_t fake_etcd_put(struct fake_etcd *e, const char *key, const char *value, int64_t lease);
int64_t fake_etcd_del(struct fake_etcd *e, const char *key);
/* The value of a key, NULL: none. */
const char *fake_etcd_get(const struct fake_etcd *e, const char *key);
size_t fake_etcd_keys(const struct fake_etcd *e);

/* The lease and its keys go. */
void fake_etcd_expire(struct fake_etcd *e, int64_t lease);
/* All is lost, and revisions begin anew. */
void fake_etcd_wipe(struct fake_etcd *e);
/* The last one granted; 0: none, or it was revoked. */
int64_t fake_etcd_lease(const struct fake_etcd *e);

/*
 * Answer calls of @path with these bytes and the connection's end; NULL: as an etcd would. @keep:
 * leave the connection open behind them.
 */
void fake_etcd_answer(struct fake_etcd *e, const char *path, const void *bytes, size_t size,
		      bool keep);
/* To every watcher, as it is: a chunk of the stream. */
void fake_etcd_say(struct fake_etcd *e, const char *text);
/* The watchers' connections end. */
void fake_etcd_hang_up(struct fake_etcd *e);
unsigned int fake_etcd_watchers(const struct fake_etcd *e);
/* Nobody can connect, and all connections end; or again. */
void fake_etcd_stop(struct fake_etcd *e, bool stop);
/* How often @path was called; its last body and token. */
unsigned int fake_etcd_calls(const struct fake_etcd *e, const char *path);
const char *fake_etcd_token(const struct fake_etcd *e);

#endif
