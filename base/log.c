/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns how a log line looks, where it goes, and how many of a kind get through. */
#define LOG_TAG "log"
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LIMIT_BURST 10 /* lines per call site and second */

static _Atomic int log_level_now = LOG_INFO;
static _Atomic int log_fd = STDERR_FILENO;

static const char *const level_names[] = {
	[LOG_ERR] = "err",
	[LOG_WARN] = "warn",
	[LOG_INFO] = "info",
	[LOG_DEBUG] = "debug",
};

void log_set_level(enum log_level level)
{
	atomic_store(&log_level_now, (int)level);
}

enum log_level log_get_level(void)
{
	return (enum log_level)atomic_load_explicit(&log_level_now, memory_order_relaxed);
}

int log_level_parse(const char *name)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(level_names); i++)
		if (strcmp(name, level_names[i]) == 0)
			return (int)i;
	return -EINVAL;
}

void log_set_fd(int fd)
{
	atomic_store(&log_fd, fd);
}

void log_line(enum log_level level, const char *tag, const char *fmt, ...)
{
	int saved = errno;
	char line[1024];
	struct timespec ts;
	struct tm tm;
	va_list ap;
	int n;

	if (level > log_get_level())
		return;
	clock_gettime(CLOCK_REALTIME, &ts);
	gmtime_r(&ts.tv_sec, &tm);
	n = snprintf(line, sizeof(line), "%04d-%02d-%02dT%02d:%02d:%02d.%06ldZ %-5s %s: ",
		     tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
		     tm.tm_sec, ts.tv_nsec / 1000, level_names[level], tag);
	va_start(ap, fmt);
	errno = saved; /* for %m */
	n += vsnprintf(line + n, sizeof(line) - (size_t)n, fmt, ap);
	va_end(ap);
	if (n > (int)sizeof(line) - 2)
		n = (int)sizeof(line) - 2;
	/* A guest's bytes must not forge a second line. */
	for (int i = 0; i < n; i++)
		if ((unsigned char)line[i] < 0x20)
			line[i] = '?';
	line[n++] = '\n';
	while (write(atomic_load(&log_fd), line, (size_t)n) < 0 && errno == EINTR)
		;
	errno = saved;
}

bool log_limit_ok(struct log_limit *l, uint32_t *lost)
{
	uint64_t sec = now_ns() / NSEC_PER_SEC + 1; /* 0 = never used */
	uint64_t seen = atomic_load_explicit(&l->window, memory_order_relaxed);

	if (seen != sec && atomic_compare_exchange_strong(&l->window, &seen, sec))
		atomic_store(&l->used, 0);
	if (atomic_fetch_add(&l->used, 1) >= LIMIT_BURST) {
		atomic_fetch_add(&l->lost, 1);
		return false;
	}
	*lost = atomic_exchange(&l->lost, 0);
	return true;
}
