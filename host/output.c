/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns how results look on stdout. */
#include "host/output.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void out_init(struct output *out, bool json)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	out->json = json;
	out->colour = isatty(STDOUT_FILENO) && !(no && *no) && term && strcmp(term, "dumb") != 0;
}

static void dump(const json_t *value, size_t flags)
{
	char *text = json_dumps(value, flags | JSON_ENCODE_ANY);

	if (text)
		puts(text);
	free(text);
}

void out_result(struct output *out, const json_t *value,
		void (*text)(struct output *out, const json_t *value))
{
	if (out->json)
		dump(value, JSON_INDENT(2));
	else
		text(out, value);
}

void out_json_line(const json_t *value)
{
	dump(value, JSON_COMPACT);
	fflush(stdout);
}

const json_t *out_path(const json_t *value, const char *path)
{
	char key[64];

	while (value && *path) {
		size_t len = strcspn(path, ".");

		snprintf(key, sizeof(key), "%.*s", (int)len, path);
		value = json_object_get(value, key);
		path += len + (path[len] == '.');
	}
	return value;
}

const char *out_str(const json_t *value, const char *path, const char *def)
{
	const char *s = json_string_value(out_path(value, path));

	return s ? s : def;
}

long long out_int(const json_t *value, const char *path)
{
	return json_integer_value(out_path(value, path));
}

static void clean(char *s)
{
	for (; *s; s++)
		if (((unsigned char)*s < 0x20 && *s != '\t') || *s == 0x7f)
			*s = '?';
}

static void plain(const json_t *value, char *buf, size_t size)
{
	size_t len = 0, i;
	json_t *e;

	buf[0] = '\0';
	switch (value ? json_typeof(value) : JSON_NULL) {
	case JSON_STRING:
		snprintf(buf, size, "%s", json_string_value(value));
		break;
	case JSON_INTEGER:
		snprintf(buf, size, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
		break;
	case JSON_REAL:
		snprintf(buf, size, "%.3g", json_real_value(value));
		break;
	case JSON_TRUE:
	case JSON_FALSE:
		out_fmt_bool(value, buf, size);
		break;
	case JSON_ARRAY:
		json_array_foreach((json_t *)value, i, e)
			if (len < size)
				len += (size_t)snprintf(buf + len, size - len, "%s%s", i ? " " : "",
							json_is_string(e) ? json_string_value(e) :
									    "?");
		break;
	default:
		break;
	}
	clean(buf);
	if (!*buf)
		snprintf(buf, size, "-");
}

/* Columns on the screen: bytes that do not continue a UTF-8 character. */
static int width(const char *s)
{
	int n = 0;

	for (; *s; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

#define CELL 256

static void cell(const struct out_column *col, const json_t *row, char buf[CELL])
{
	const json_t *value = out_path(row, col->path);

	if (col->format && value && !json_is_null(value))
		col->format(value, buf, CELL);
	else
		plain(value, buf, CELL);
}

void out_table(struct output *out, const json_t *rows, const struct out_column *cols, size_t n)
{
	int widths[16] = {0};
	char buf[CELL];
	json_t *row;
	size_t r;

	n = MIN(n, ARRAY_SIZE(widths));
	for (size_t c = 0; c < n; c++) {
		widths[c] = width(cols[c].title);
		json_array_foreach((json_t *)rows, r, row) {
			cell(&cols[c], row, buf);
			widths[c] = MAX(widths[c], width(buf));
		}
	}
	if (out->colour)
		fputs("\033[1m", stdout);
	for (size_t c = 0; c < n; c++) {
		int pad = widths[c] - width(cols[c].title);

		printf("%s%*s%s%*s", c ? "  " : "", cols[c].right ? pad : 0, "", cols[c].title,
		       cols[c].right || c == n - 1 ? 0 : pad, "");
	}
	puts(out->colour ? "\033[0m" : "");
	json_array_foreach((json_t *)rows, r, row) {
		for (size_t c = 0; c < n; c++) {
			int pad;

			cell(&cols[c], row, buf);
			pad = widths[c] - width(buf);
			printf("%s%*s%s%*s", c ? "  " : "", cols[c].right ? pad : 0, "", buf,
			       cols[c].right || c == n - 1 ? 0 : pad, "");
		}
		putchar('\n');
	}
}

void out_text(struct output *out, const char *fmt, ...)
{
	va_list ap;

	(void)out;
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
}

void out_line(struct output *out, const char *text)
{
	(void)out;
	for (; *text; text++) {
		unsigned char ch = (unsigned char)*text;

		putchar((ch < 0x20 && ch != '\t') || ch == 0x7f ? '?' : ch);
	}
	putchar('\n');
}

void out_heading(struct output *out, const char *text)
{
	printf(out->colour ? "\033[1m%s\033[0m\n" : "%s\n", text);
}

void out_fmt_ms(const json_t *value, char *buf, size_t size)
{
	double s = json_number_value(value) / 1000.0;

	if (s < 600)
		snprintf(buf, size, "%.1f s", s);
	else if (s < 36000)
		snprintf(buf, size, "%.0f min", s / 60);
	else
		snprintf(buf, size, "%.1f h", s / 3600);
}

void out_fmt_bytes(const json_t *value, char *buf, size_t size)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	double v = json_number_value(value);
	size_t u = 0;

	while (v >= 1024 && u < ARRAY_SIZE(units) - 1) {
		v /= 1024;
		u++;
	}
	snprintf(buf, size, v >= 100 || v == (double)(long)v ? "%.0f %s" : "%.1f %s", v, units[u]);
}

void out_fmt_bool(const json_t *value, char *buf, size_t size)
{
	snprintf(buf, size, "%s", json_is_true(value) ? "yes" : "no");
}

void out_fmt_link(const json_t *value, char *buf, size_t size)
{
	snprintf(buf, size, "%s", json_is_true(value) ? "up" : "down");
}

bool out_broken(void)
{
	return fflush(stdout) != 0 || ferror(stdout);
}

int out_finish(int status)
{
	struct pollfd pfd = {.fd = STDOUT_FILENO, .events = POLLOUT};

	errno = 0;
	if (!out_broken())
		return status;
	/* The write that failed may be long ago; a pipe without a reader still shows it. */
	if (errno == EPIPE || (poll(&pfd, 1, 0) == 1 && pfd.revents & POLLERR)) {
		signal(SIGPIPE, SIG_DFL);
		raise(SIGPIPE);
	}
	fprintf(stderr, "hvlab: cannot write the output: %s\n",
		errno ? strerror(errno) : "write error");
	return 1;
}
