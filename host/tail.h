/* SPDX-License-Identifier: BSD-2-Clause */
/* The last lines of a log that a guest wrote. */
#ifndef HVLAB_HOST_TAIL_H
#define HVLAB_HOST_TAIL_H

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

/*
 * The last @n lines of the file from offset @from on as a JSON array of strings, the caller's to
 * decref; an empty array when there is no such file. Reads at most 4 MiB. Escape sequences are
 * left out, other control characters and what is not UTF-8 become '?'.
 */
json_t *tail_lines(const char *path, off_t from, unsigned int n);
/*
 * What stands behind the last @text in the file's last 64 KiB from offset @from on, up to the end
 * of its line, cleaned like tail_lines(). False when @text is not there.
 */
bool tail_find(const char *path, off_t from, const char *text, char *rest, size_t rest_size);
/*
 * When the file has grown beyond @max bytes, cut it down to its last @keep. Whoever else writes it
 * must append (O_APPEND). True when it was cut.
 */
bool tail_trim(const char *path, off_t max, size_t keep);
/* Bytes in the file now, 0 when there is none. */
off_t tail_size(const char *path);

#endif
