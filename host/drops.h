/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Dropped packets as events (docs/protocol.md, DROP), while a client wants them. Nobody has to say
 * that he wants them no more: a client that is gone wants nothing. Control thread.
 */
#ifndef HVLAB_HOST_DROPS_H
#define HVLAB_HOST_DROPS_H

struct daemon;
struct drops;

/* A client's wishes have changed. Starts at once; the end is noticed by itself. */
void drops_check(struct daemon *d);
/* At the daemon's end. NULL is fine. */
void drops_free(struct drops *drops);

#endif
