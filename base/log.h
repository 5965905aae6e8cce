/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Log lines: level, tag, "object: fact". A file defines LOG_TAG before it includes this header.
 * Any thread; one line is one write(2). The data path counts and does not log; what a guest can
 * cause goes through the _rl variants, which let through a burst and then count.
 */
#ifndef HVLAB_BASE_LOG_H
#define HVLAB_BASE_LOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/util.h"

enum log_level { LOG_ERR, LOG_WARN, LOG_INFO, LOG_DEBUG };

#ifndef LOG_TAG
#define LOG_TAG "hvlab"
#endif

/* Lines above @level are dropped. Default LOG_INFO. */
void log_set_level(enum log_level level);
enum log_level log_get_level(void);
/* "err", "warn", "info", "debug" to a level; -EINVAL otherwise. */
int log_level_parse(const char *name);
/* Where lines go (default: stderr). The fd stays the caller's and must outlive its use. */
void log_set_fd(int fd);

void log_line(enum log_level level, const char *tag, const char *fmt, ...) PRINTF_LIKE(3, 4);

/**
 * struct log_limit - Lets @burst lines through per second, then counts
 * Zero-initialised; one per call site (see log_*_rl()). Any thread.
 */
struct log_limit {
	_Atomic uint64_t window; /* second of CLOCK_MONOTONIC */
	_Atomic uint32_t used;	 /* lines seen in it */
	_Atomic uint32_t lost;	 /* lines swallowed since the last one shown */
};

/* True when the line may be shown; *@lost is then the count swallowed before it. */
bool log_limit_ok(struct log_limit *l, uint32_t *lost);

#define log_rl_(level, fmt, ...)                                                                   \
	do {                                                                                       \
		static struct log_limit limit_;                                                    \
		uint32_t lost_;                                                                    \
		if (log_limit_ok(&limit_, &lost_)) {                                               \
			if (lost_)                                                                 \
				log_line(level, LOG_TAG, fmt " (%u like it not shown)",            \
					 ##__VA_ARGS__, lost_);                                    \
			else                                                                       \
				log_line(level, LOG_TAG, fmt, ##__VA_ARGS__);                      \
		}                                                                                  \
	} while (0)

#define log_err(fmt, ...)     log_line(LOG_ERR, LOG_TAG, fmt, ##__VA_ARGS__)
#define log_warn(fmt, ...)    log_line(LOG_WARN, LOG_TAG, fmt, ##__VA_ARGS__)
#define log_info(fmt, ...)    log_line(LOG_INFO, LOG_TAG, fmt, ##__VA_ARGS__)
#define log_debug(fmt, ...)                                                                        \
	do {                                                                                       \
		if (log_get_level() >= LOG_DEBUG)                                                  \
			log_line(LOG_DEBUG, LOG_TAG, fmt, ##__VA_ARGS__);                          \
	} while (0)
#define log_err_rl(fmt, ...)  log_rl_(LOG_ERR, fmt, ##__VA_ARGS__)
#define log_warn_rl(fmt, ...) log_rl_(LOG_WARN, fmt, ##__VA_ARGS__)
#define log_info_rl(fmt, ...) log_rl_(LOG_INFO, fmt, ##__VA_ARGS__)

#endif
