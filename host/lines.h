/* SPDX-License-Identifier: BSD-2-Clause */
/* Lines out of a stream whose sender may never end one. */
#ifndef HVLAB_HOST_LINES_H
#define HVLAB_HOST_LINES_H

#include <event2/buffer.h>
#include <stddef.h>

/*
 * The next line of @in without its "\n" or "\r\n", NUL-terminated, the caller's to free(); NULL:
 * none is complete. *@searched, 0 at first, remembers how far there is no end of line, so that a
 * long one is not searched again with each piece that comes.
 */
char *lines_next(struct evbuffer *in, size_t *searched, size_t *len);

#endif
