/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the reading of the end of logs whose bytes a guest chose. */
#define LOG_TAG "tail"
#include "host/tail.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/util.h"

#define MAX_LINES_BYTES (4 << 20)
#define MAX_SEARCH	(64 << 10)
#define ESC		0x1b

/* At most @max bytes from the end of the file, none before @from. NULL: no file, no memory. */
static char *read_end(const char *path, off_t from, size_t max, size_t *size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	char *buf = NULL;
	struct stat st;
	size_t got = 0;

	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
		off_t start = from < st.st_size ? from : st.st_size;

		if (st.st_size - start > (off_t)max)
			start = st.st_size - (off_t)max;
		*size = (size_t)(st.st_size - start);
		buf = malloc(*size + 1);
		while (buf && got < *size) {
			ssize_t n = pread(fd, buf + got, *size - got, start + (off_t)got);

			if (n < 0 && errno == EINTR)
				continue;
			if (n <= 0)
				break;
			got += (size_t)n;
		}
		*size = got;
	}
	close(fd);
	return buf;
}

/* Bytes of the escape sequence at @s (ECMA-48: ESC [ parameters final, or ESC and one more). */
static size_t escape_len(const char *s, size_t left)
{
	size_t i = 2;

	if (left < 2)
		return left;
	if (s[1] != '[')
		return 2;
	while (i < left && (unsigned char)s[i] < 0x40)
		i++;
	return i < left ? i + 1 : left;
}

/* In place: what a terminal would act on goes or becomes '?'. Returns the new length. */
static size_t clean_line(char *s, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len;) {
		unsigned char c = (unsigned char)s[i];

		if (c == ESC) {
			i += escape_len(s + i, len - i);
			continue;
		}
		i++;
		if (c == '\r')
			continue;
		s[n++] = c == '\t' ? ' ' : c < 0x20 || c == 0x7f ? '?' : (char)c;
	}
	return n;
}

static json_t *line_json(char *s, size_t len)
{
	json_t *str = json_stringn(s, len);

	if (str)
		return str;
	for (size_t i = 0; i < len; i++) /* not UTF-8 */
		if ((unsigned char)s[i] >= 0x80)
			s[i] = '?';
	return json_stringn(s, len);
}

json_t *tail_lines(const char *path, off_t from, unsigned int n)
{
	json_t *lines = json_array();
	char *buf, *p, *end;
	unsigned int seen = 0;
	size_t size = 0;

	buf = read_end(path, from, MAX_LINES_BYTES, &size);
	if (!buf || !lines) {
		free(buf);
		return lines;
	}
	end = buf + size;
	if (end > buf && end[-1] == '\n')
		end--;
	for (p = end; p > buf; p--)
		if (p[-1] == '\n' && ++seen == n)
			break;
	while (n && p < end) {
		char *nl = memchr(p, '\n', (size_t)(end - p));
		size_t len = nl ? (size_t)(nl - p) : (size_t)(end - p);

		json_array_append_new(lines, line_json(p, clean_line(p, len)));
		p += len + 1;
	}
	free(buf);
	return lines;
}

bool tail_find(const char *path, off_t from, const char *text, char *rest, size_t rest_size)
{
	size_t size = 0, len = strlen(text);
	char *buf = read_end(path, from, MAX_SEARCH, &size), *at, *last = NULL;

	for (at = buf; at && (at = memmem(at, size - (size_t)(at - buf), text, len)); at += len)
		last = at + len;
	if (last) {
		size_t n = (size_t)(buf + size - last);
		char *nl = memchr(last, '\n', n);

		n = clean_line(last, nl ? (size_t)(nl - last) : n);
		n = n < rest_size ? n : rest_size - 1;
		for (size_t i = 0; i < n; i++)
			rest[i] = (unsigned char)last[i] < 0x80 ? last[i] : '?';
		rest[n] = '\0';
	}
	free(buf);
	return last != NULL;
}

off_t tail_size(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? st.st_size : 0;
}

bool tail_trim(const char *path, off_t max, size_t keep)
{
	size_t size = 0;
	char *buf;
	int fd;

	if (tail_size(path) <= max)
		return false;
	buf = read_end(path, 0, keep, &size);
	fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
	/* Emptied even when the rest cannot be kept: it is the space that matters. */
	if (fd >= 0 && ftruncate(fd, 0) == 0 && buf && write(fd, buf, size) < 0)
		log_warn("%s: its last lines are lost: %m", path);
	if (fd >= 0)
		close(fd);
	free(buf);
	return true;
}
