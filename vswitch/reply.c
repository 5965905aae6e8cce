/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the limit on ICMP errors: token buckets, one for all and one for each group of sources. */
#include "vswitch/reply.h"

#include <string.h>
#include <sys/random.h>

#include "base/util.h"

#define MILLI 1000u
#define SHARE 10u

void reply_limit_init(struct reply_limit *l, uint32_t per_s)
{
	memset(l, 0, sizeof(*l));
	pthread_mutex_init(&l->lock, NULL);
	l->per_s = MAX(per_s, 1u);
	/* Without a seed a source can choose whose account it uses up: no more than that. */
	if (getrandom(&l->seed, sizeof(l->seed), 0) != sizeof(l->seed))
		l->seed = now_ns();
}

void reply_limit_fini(struct reply_limit *l)
{
	pthread_mutex_destroy(&l->lock);
}

static unsigned int account_of(const struct reply_limit *l, const struct pkt *pkt)
{
	uint64_t a = 0, b = 0;

	if (pkt->l3 == PKT_L3_IPV4) {
		memcpy(&a, pkt->hdr + pkt->l3_off + 12, 4);
	} else if (pkt->l3 == PKT_L3_IPV6) {
		memcpy(&a, pkt->hdr + pkt->l3_off + 8, 8);
		memcpy(&b, pkt->hdr + pkt->l3_off + 16, 8);
	}
	a = (a ^ l->seed) * 0x9e3779b97f4a7c15ull;
	b = (b ^ a ^ a >> 29) * 0xbf58476d1ce4e5b9ull;
	return (unsigned int)(b >> 58) % REPLY_ACCOUNTS;
}

/* What has come in since is added, up to a second's worth. */
static void fill(struct reply_account *a, uint32_t per_s, uint64_t now_ms)
{
	uint64_t since = now_ms > a->at_ms ? now_ms - a->at_ms : 0;
	uint64_t milli = a->milli + MIN(since, 1000u) * per_s;

	if (!a->at_ms)
		milli = per_s * (uint64_t)MILLI;
	a->milli = (uint32_t)MIN(milli, per_s * (uint64_t)MILLI);
	a->at_ms = MAX(now_ms, a->at_ms);
}

bool reply_limit_ok(struct reply_limit *l, const struct pkt *pkt, uint64_t now_ms)
{
	struct reply_account *a = &l->source[account_of(l, pkt)];
	bool ok;

	pthread_mutex_lock(&l->lock);
	fill(&l->all, l->per_s, now_ms);
	fill(a, MAX(l->per_s / SHARE, 1u), now_ms);
	ok = l->all.milli >= MILLI && a->milli >= MILLI;
	if (ok) {
		l->all.milli -= MILLI;
		a->milli -= MILLI;
	}
	pthread_mutex_unlock(&l->lock);
	return ok;
}
