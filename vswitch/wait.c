/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the waiting of senders for receivers' buffers.
 *
 * Theory of operation
 *
 * A delivery finds no buffer; the sender's queue stops and wants to hear of new ones. The guest
 * may post buffers between the failed delivery and the registration, and no wake-up may be lost
 * in between. Each port counts its wakes. vsw_send() reads the count before it tries to deliver
 * and notes it when the delivery fails (per thread: a sender registers on the thread that sent).
 * vsw_wait() makes itself visible, then looks at the count again:
 *
 *	receiver				sender
 *	buffers are there			n_waiters++
 *	wakes++					wakes == noted? wait : try again
 *	n_waiters? wake them
 *
 * Both sides write, then read the other's word, all sequentially consistent: at least one sees
 * the other. A note that is missing (another queue of this worker failed elsewhere in between)
 * counts as changed: the sender tries once more, which makes a fresh note.
 *
 * Patience. A queue that waits for one receiver keeps its other packets waiting, so a receiver must
 * not make its senders wait at will: neither one that never gives buffers nor one that gives one
 * at a time. Each receiver has an account. It is charged with the time during which anybody waits
 * for it, and earns EARN_NS for every frame it takes, up to a full account of hold_ms. While the
 * account is empty senders are not told to wait: packets that find no buffer are dropped at once.
 * So whoever takes 800 frames a second may brake its senders for ever, one that has taken nothing
 * for hold_ms costs them no more time until it takes something, and a guest whose CPU slept that
 * long and then takes a ring of frames has a full account again. Time alone mends nothing.
 *
 * Life times. A waiter is its owner's memory; a wake that is under way to the worker is a letter
 * of its own that points to the waiter, and vsw_wait_cancel() makes it point nowhere. Both run
 * on the sender's worker. A port may be detached and freed while somebody waits on it or is about
 * to: who uses the pointer is in a read section and has found it in the list of attached ports
 * or in its own registration, which detaching clears before the last grace period.
 */
#define LOG_TAG "switch"
#include <stdlib.h>

#include "base/log.h"
#include "base/util.h"
#include "vswitch/rcu.h"
#include "vswitch/switch_internal.h"

#define EARN_NS (1250ull * 1000) /* per frame taken */

struct vsw_wakeup {
	struct vsw_waiter
		*w; /* NULL: cancelled. The worker's, and under the port's lock at first */
};

static _Thread_local struct {
	const struct vsw_port *on; /* only compared */
	uint32_t id;
	uint64_t wakes;
} note;

void wait_note_failure(struct vsw_port *on, uint64_t wakes)
{
	/* An older note about the same port is still open: keep it, it is the safer one. */
	if (note.on == on && note.id == on->id)
		return;
	note.on = on;
	note.id = on->id;
	note.wakes = wakes;
}

static uint64_t hold_of(const struct vsw_port *port)
{
	return (port->hold_ms ? port->hold_ms : VSW_HOLD_MS) * NSEC_PER_MSEC;
}

/* Brings the account up to date. Under the lock. */
static void settle(struct vsw_port *on)
{
	uint64_t rx = atomic_load_explicit(&on->stats.rx_packets, memory_order_relaxed);
	uint64_t spent = atomic_load_explicit(&on->spent_ns, memory_order_relaxed);
	uint64_t now = now_ns(), taken = rx - on->charged_rx;

	spent -= MIN(spent, taken > spent / EARN_NS ? spent : taken * EARN_NS);
	if (on->n_charged)
		spent = MIN(spent + (now - on->charged_at), on->hold_ns);
	on->charged_rx = rx;
	on->charged_at = now;
	atomic_store_explicit(&on->spent_ns, spent, memory_order_relaxed);
}

bool wait_is_worth(struct vsw_port *on, const struct vsw_port *from)
{
	uint64_t hold = hold_of(from);

	if (likely(atomic_load_explicit(&on->spent_ns, memory_order_relaxed) < hold))
		return true;
	pthread_mutex_lock(&on->waiters_lock);
	settle(on);
	pthread_mutex_unlock(&on->waiters_lock);
	return atomic_load_explicit(&on->spent_ns, memory_order_relaxed) < hold;
}

static void unlink_waiter(struct vsw_port *on, struct vsw_waiter *w)
{
	if (w->charged) {
		settle(on);
		on->n_charged--;
		w->charged = false;
	}
	if (w->prev)
		w->prev->next = w->next;
	else
		on->waiters = w->next;
	if (w->next)
		w->next->prev = w->prev;
	w->prev = w->next = NULL;
	atomic_store(&w->on, NULL);
	atomic_fetch_sub(&on->n_waiters, 1);
}

/* On the waiter's worker. */
static void run_wakeup(void *arg)
{
	struct vsw_wakeup *up = arg;
	struct vsw_waiter *w = up->w;

	free(up);
	if (!w)
		return;
	w->posted = NULL;
	w->wake(w);
}

/* Under the lock of @on. False: no memory; the waiter stays registered. */
static bool post(struct vsw_port *on, struct vsw_waiter *w)
{
	struct vsw_wakeup *up = malloc(sizeof(*up));
	struct worker *worker = w->worker;

	if (!up)
		return false;
	up->w = w;
	w->posted = up;
	unlink_waiter(on, w);
	/* From here @w may be gone at any time: its worker may cancel it. No way back. */
	while (worker_post(worker, run_wakeup, up))
		log_err_rl("port %s: no memory to wake a sender, trying again", on->name);
	return true;
}

/* Under the lock: the time counts from now on, until @hold_ns are spent. Returns when that is. */
static uint64_t charge(struct vsw_port *on, struct vsw_waiter *w, uint64_t hold_ns)
{
	uint64_t spent;

	settle(on);
	on->n_charged++;
	on->hold_ns = hold_ns;
	w->charged = true;
	spent = atomic_load_explicit(&on->spent_ns, memory_order_relaxed);
	return on->charged_at + hold_ns - MIN(spent, hold_ns);
}

/* @port NULL: without end. */
static bool wait_on(struct vsw_waiter *w, struct vsw_port *on, const struct vsw_port *port,
		    uint64_t *until)
{
	uint64_t wakes = note.wakes;
	uint32_t id = note.id;
	bool known = note.on == on, waiting = false;

	note.on = NULL;
	if (!known)
		return false;
	vsw_wait_cancel(w);
	vsw_read_lock();
	if (!vsw_port_is_attached(on, id))
		goto out;
	pthread_mutex_lock(&on->waiters_lock);
	w->prev = NULL;
	w->next = on->waiters;
	if (w->next)
		w->next->prev = w;
	on->waiters = w;
	atomic_store(&w->on, on);
	atomic_fetch_add(&on->n_waiters, 1);
	/* Pairs with vsw_port_wake(), which counts first and looks for waiters then. */
	waiting = atomic_load(&on->wakes) == wakes;
	if (!waiting)
		unlink_waiter(on, w);
	else if (port)
		*until = charge(on, w, hold_of(port));
	pthread_mutex_unlock(&on->waiters_lock);
out:
	vsw_read_unlock();
	return waiting;
}

bool vsw_wait(struct vsw_waiter *w, struct vsw_port *on)
{
	return wait_on(w, on, NULL, NULL);
}

bool vsw_wait_patiently(struct vsw_waiter *w, struct vsw_port *on, const struct vsw_port *port,
			uint64_t *until)
{
	return wait_on(w, on, port, until);
}

void vsw_wait_cancel(struct vsw_waiter *w)
{
	struct vsw_port *on;

	vsw_read_lock();
	on = atomic_load(&w->on);
	if (on) {
		pthread_mutex_lock(&on->waiters_lock);
		if (atomic_load(&w->on) == on)
			unlink_waiter(on, w);
		pthread_mutex_unlock(&on->waiters_lock);
	}
	vsw_read_unlock();
	/*
	 * Not registered now. Whoever took us off the list set @posted before he cleared @on,
	 * which we have read, or under the lock that we have held.
	 */
	if (w->posted) {
		w->posted->w = NULL;
		w->posted = NULL;
	}
}

static void wake(struct vsw_port *port)
{
	struct vsw_waiter *w, *next;

	atomic_fetch_add(&port->wakes, 1);
	/* Pairs with vsw_wait(), which registers first and looks at the count then. */
	if (likely(!atomic_load(&port->n_waiters)))
		return;
	pthread_mutex_lock(&port->waiters_lock);
	for (w = port->waiters; w; w = next) {
		next = w->next;
		if (!post(port, w))
			log_err_rl("port %s: no memory to wake a sender", port->name);
	}
	pthread_mutex_unlock(&port->waiters_lock);
}

void vsw_port_wake(struct vsw_port *port)
{
	struct vsw_port *outer = atomic_load_explicit(&port->outer, memory_order_acquire);

	if (!outer) {
		wake(port);
		return;
	}
	/* Who waits for a path waits at its vNIC. */
	vsw_read_lock();
	outer = atomic_load_explicit(&port->outer, memory_order_acquire);
	if (outer)
		wake(outer);
	vsw_read_unlock();
}

void wait_release_all(struct vsw_port *port)
{
	struct vsw_waiter *w;

	pthread_mutex_lock(&port->waiters_lock);
	while ((w = port->waiters))
		if (!post(port, w))
			log_err_rl("port %s: no memory to wake a sender, trying again", port->name);
	pthread_mutex_unlock(&port->waiters_lock);
}
