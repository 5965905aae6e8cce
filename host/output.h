/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a command prints on stdout: text for people or JSON for scripts, behind one interface. A
 * command makes one JSON value and says how it looks as text; which of the two is printed is not
 * its business. Text that came from a guest is printed without its control characters.
 */
#ifndef HVLAB_HOST_OUTPUT_H
#define HVLAB_HOST_OUTPUT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/util.h"

struct output {
	bool json;
	bool colour; /* stdout is a terminal and NO_COLOR is not set */
};

void out_init(struct output *out, bool json);

/* The result of a command: @value as JSON, or text(@out, @value). */
void out_result(struct output *out, const json_t *value,
		void (*text)(struct output *out, const json_t *value));
/* One JSON value on one line, flushed: for streams. */
void out_json_line(const json_t *value);

/**
 * struct out_column - A column of a table of objects
 * @title:	Heading
 * @path:	Member of the row, "vf.state" for a member of a member
 * @format:	NULL: as it is (an array of strings is joined by spaces, absent and null are "-")
 * @right:	Numbers: aligned right
 */
struct out_column {
	const char *title, *path;
	void (*format)(const json_t *value, char *buf, size_t size);
	bool right;
};

/* Rows are the objects of @rows; columns are as wide as their widest cell. */
void out_table(struct output *out, const json_t *rows, const struct out_column *cols, size_t n);
/* printf() of plain text. */
void out_text(struct output *out, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* A guest's or a file's text: control characters become '?', tab stays. With a newline. */
void out_line(struct output *out, const char *text);
/* Bold on a terminal. */
void out_heading(struct output *out, const char *text);

/* Formatters for out_column. */
void out_fmt_ms(const json_t *value, char *buf, size_t size);	 /* 91234 -> "91.2 s" */
void out_fmt_bytes(const json_t *value, char *buf, size_t size); /* 536870912 -> "512 MiB" */
void out_fmt_bool(const json_t *value, char *buf, size_t size);	 /* "yes", "no" */
void out_fmt_link(const json_t *value, char *buf, size_t size);	 /* "up", "down" */

/* The member at a path, NULL when there is none. Borrowed. */
const json_t *out_path(const json_t *value, const char *path);
/* Text at a path, @def when it is no text. */
const char *out_str(const json_t *value, const char *path, const char *def);
long long out_int(const json_t *value, const char *path);

/* True when stdout takes no more: a stream should end. Flushes. */
bool out_broken(void);

/*
 * At the end of main(): flush stdout. Returns @status, or 1 with a message when something could
 * not be written; a reader that went away ends the process by SIGPIPE as it does other tools.
 */
int out_finish(int status);

#endif
