/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns interrupt moderation: no event queue interrupts the guest twice within a given time.
 *
 * Theory. An event queue that is armed wants to raise its vector once. With moderation that
 * happens at once when the last time is long enough ago (quiet_until), and else is put off until
 * then: put_off says so, and stays until the owner's timer has raised it. Further events need
 * nothing, since the queue is armed no more and the guest will find them when the interrupt comes.
 * Only a driver that tells, by its doorbell, that it has read everything makes the interrupt
 * needless (it polled); so the last event always gets one or is known to be seen.
 *
 * Events come on any worker, under the queue's lock; the timer is the owner's. Another worker
 * that puts an interrupt off posts a letter, one at a time for the device.
 *
 * Adaptive chooses the time anew every few milliseconds by the completions per second that the
 * queue's events told: few are told at once, many in batches.
 */
#include <errno.h>

#include "emulator/mana/mana_internal.h"

#define WINDOW_NS (5 * NSEC_PER_MSEC)

static const uint64_t fixed_gap[] = {
	[MANA_MODERATION_OFF] = 0,
	[MANA_MODERATION_LOW] = 20 * NSEC_PER_USEC,
	[MANA_MODERATION_MEDIUM] = 64 * NSEC_PER_USEC,
	[MANA_MODERATION_HIGH] = 200 * NSEC_PER_USEC,
};

/* Completions a second up to which a mode is chosen. */
static const uint64_t up_to[] = {
	[MANA_MODERATION_OFF] = 20000,
	[MANA_MODERATION_LOW] = 100000,
	[MANA_MODERATION_MEDIUM] = 400000,
};

uint64_t moderate_gap(uint64_t rate)
{
	unsigned int mode = MANA_MODERATION_OFF;

	while (mode < ARRAY_SIZE(up_to) && rate > up_to[mode])
		mode++;
	return fixed_gap[mode];
}

static uint64_t adaptive_gap(struct mana_eq *eq, uint64_t now)
{
	uint64_t span = now - eq->rate_since, rate;

	if (span < WINDOW_NS)
		return eq->gap;
	/* Within a second a queue tells far fewer than 2^32. */
	rate = span < NSEC_PER_SEC ? eq->work * NSEC_PER_SEC / span : 0;
	eq->gap = moderate_gap(rate);
	eq->work = 0;
	eq->rate_since = now;
	return eq->gap;
}

/* Under the lock: an interrupt is raised now; how long no other may follow. */
static void raised(struct mana_eq *eq, int mode, uint64_t now)
{
	uint64_t gap = mode == MANA_MODERATION_ADAPTIVE ? adaptive_gap(eq, now) : fixed_gap[mode];

	eq->quiet_until = now + gap;
	eq->put_off = false;
}

/* Owner: raises what is due, and comes back for what is not. */
static void look_after(struct mana *m)
{
	int mode = atomic_load(&m->moderation);
	uint64_t next = UINT64_MAX;

	for (uint32_t i = 0; i < m->eqs.n; i++) {
		struct mana_eq *eq = ids_get(&m->eqs, i);
		uint64_t now = now_ns();
		int vector = -1;

		if (!eq)
			continue;
		pthread_mutex_lock(&eq->lock);
		if (eq->put_off && (mode == MANA_MODERATION_OFF || now >= eq->quiet_until)) {
			vector = (int)eq->msix;
			raised(eq, mode, now);
		} else if (eq->put_off) {
			next = MIN(next, eq->quiet_until);
		}
		pthread_mutex_unlock(&eq->lock);
		if (vector >= 0)
			vfuser_irq_raise(m->vu, (unsigned int)vector);
	}
	if (next != UINT64_MAX)
		worker_timer_arm(m->worker, &m->mod_timer, next);
}

static void time_is_up(struct worker_timer *t)
{
	look_after(t->arg);
}

static void run_look_after(void *arg)
{
	struct mana *m = arg;

	/* First: what is put off from here on posts anew. */
	atomic_store(&m->mod_posted, false);
	look_after(m);
}

/* False: nobody will come at @when. */
static bool remind_owner(struct mana *m, uint64_t when)
{
	if (worker_is_self(m->worker)) {
		if (!m->mod_timer.armed || m->mod_timer.when > when)
			worker_timer_arm(m->worker, &m->mod_timer, when);
		return true;
	}
	if (atomic_exchange(&m->mod_posted, true))
		return true;
	if (!worker_post(m->worker, run_look_after, m))
		return true;
	atomic_store(&m->mod_posted, false);
	return false;
}

int moderate_irq(struct mana_eq *eq)
{
	int mode = atomic_load_explicit(&eq->m->moderation, memory_order_relaxed);
	uint64_t now;

	if (likely(mode == MANA_MODERATION_OFF) || eq->hwc)
		return (int)eq->msix;
	now = now_ns();
	if (now < eq->quiet_until && (eq->put_off || remind_owner(eq->m, eq->quiet_until))) {
		eq->put_off = true;
		atomic_fetch_add_explicit(&eq->m->irqs_put_off, 1, memory_order_relaxed);
		return -1;
	}
	raised(eq, mode, now);
	return (int)eq->msix;
}

void moderate_init(struct mana *m)
{
	atomic_store(&m->moderation, (int)m->conf.moderation);
	m->mod_timer = (struct worker_timer){.fn = time_is_up, .arg = m};
}

void moderate_fini(struct mana *m)
{
	worker_timer_cancel(&m->mod_timer);
}

struct moderation_call {
	struct mana *m;
	enum mana_moderation mode;
};

static void do_moderation_set(void *arg)
{
	struct moderation_call *c = arg;

	atomic_store(&c->m->moderation, (int)c->mode);
	look_after(c->m);
}

int mana_moderation_set(struct mana *m, enum mana_moderation mode)
{
	struct moderation_call c = {.m = m, .mode = mode};

	if ((unsigned int)mode >= MANA_N_MODERATIONS)
		return -EINVAL;
	worker_call(m->worker, do_moderation_set, &c);
	return 0;
}
