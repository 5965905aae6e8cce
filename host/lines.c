/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the cutting of streams into lines. */
#include "host/lines.h"

char *lines_next(struct evbuffer *in, size_t *searched, size_t *len)
{
	struct evbuffer_ptr from, end;
	char *line;

	if (evbuffer_ptr_set(in, &from, *searched, EVBUFFER_PTR_SET))
		return NULL;
	end = evbuffer_search_eol(in, &from, NULL, EVBUFFER_EOL_LF);
	if (end.pos < 0) {
		*searched = evbuffer_get_length(in);
		return NULL;
	}
	*searched = 0;
	line = evbuffer_readln(in, len, EVBUFFER_EOL_LF);
	if (line && *len && line[*len - 1] == '\r')
		line[--*len] = '\0';
	return line;
}
