/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * RCU as the switch uses it: liburcu's memb flavour, readers are registered threads (a worker
 * registers itself). liburcu is not built with ThreadSanitizer, which therefore cannot see that
 * a grace period orders a reader's last access before what follows it: these wrappers say so.
 */
#ifndef HVLAB_VSWITCH_RCU_H
#define HVLAB_VSWITCH_RCU_H

#include <urcu/urcu-memb.h>

#ifndef __has_feature
#define __has_feature(x) 0
#endif

#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
void __tsan_acquire(void *addr);
void __tsan_release(void *addr);
extern char vsw_rcu_order;
#define vsw_rcu_note_left()  __tsan_release(&vsw_rcu_order)
#define vsw_rcu_note_grace() __tsan_acquire(&vsw_rcu_order)
#else
#define vsw_rcu_note_left()  ((void)0)
#define vsw_rcu_note_grace() ((void)0)
#endif

/* May be nested. */
static inline void vsw_read_lock(void)
{
	urcu_memb_read_lock();
}

static inline void vsw_read_unlock(void)
{
	vsw_rcu_note_left();
	urcu_memb_read_unlock();
}

/* Everything that readers could reach before is theirs no more. Never inside a read section. */
static inline void vsw_synchronize(void)
{
	urcu_memb_synchronize_rcu();
	vsw_rcu_note_grace();
}

/* @fn(@head) runs on a thread of liburcu's after a grace period, and begins with vsw_rcu_note_grace(). */
static inline void vsw_free_later(struct rcu_head *head, void (*fn)(struct rcu_head *head))
{
	vsw_rcu_note_left();
	urcu_memb_call_rcu(head, fn);
}

#endif
