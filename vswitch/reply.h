/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How many ICMP errors may be sent: so many a second in all, and a tenth of that to one source, so
 * that one guest cannot use up what others need. Sources share 64 accounts by hash. Any thread.
 */
#ifndef HVLAB_VSWITCH_REPLY_H
#define HVLAB_VSWITCH_REPLY_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "vswitch/packet.h"

#define REPLY_ACCOUNTS 64

/**
 * struct reply_account - Unspent replies, in thousandths, and when that was
 */
struct reply_account {
	uint64_t at_ms;
	uint32_t milli;
};

struct reply_limit {
	pthread_mutex_t lock;
	uint32_t per_s;
	uint64_t seed;
	struct reply_account all, source[REPLY_ACCOUNTS];
};

/* @per_s: at least 1; as many may come at once. */
void reply_limit_init(struct reply_limit *l, uint32_t per_s);
void reply_limit_fini(struct reply_limit *l);
/* May an error be sent about this packet (parsed, IP)? Takes it from the accounts if so. */
bool reply_limit_ok(struct reply_limit *l, const struct pkt *pkt, uint64_t now_ms);

#endif
