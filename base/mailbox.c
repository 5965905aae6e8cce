/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the queue of calls from other threads to one thread. */
#include "base/mailbox.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"

struct letter {
	struct letter *next;
	void (*fn)(void *arg);
	void *arg;
};

/* A stack that the receiver takes whole and turns round: order per sender, no lock. */
struct mailbox {
	_Atomic(struct letter *) top;
	int fd;
};

struct mailbox *mailbox_new(void)
{
	struct mailbox *mb = calloc(1, sizeof(*mb));

	if (!mb)
		return NULL;
	mb->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (mb->fd < 0) {
		free(mb);
		return NULL;
	}
	return mb;
}

void mailbox_free(struct mailbox *mb)
{
	struct letter *l, *next;

	if (!mb)
		return;
	for (l = atomic_load(&mb->top); l; l = next) {
		next = l->next;
		free(l);
	}
	fd_close(&mb->fd);
	free(mb);
}

int mailbox_fd(const struct mailbox *mb)
{
	return mb->fd;
}

int mailbox_post(struct mailbox *mb, void (*fn)(void *arg), void *arg)
{
	struct letter *l = malloc(sizeof(*l)), *top;

	if (!l)
		return -ENOMEM;
	l->fn = fn;
	l->arg = arg;
	top = atomic_load_explicit(&mb->top, memory_order_relaxed);
	do
		l->next = top;
	while (!atomic_compare_exchange_weak_explicit(&mb->top, &top, l, memory_order_release,
						      memory_order_relaxed));
	/* Only the letter that finds the box empty wakes the receiver: it takes all at once. */
	if (!top)
		fd_event_signal(mb->fd);
	return 0;
}

bool mailbox_woken(struct mailbox *mb)
{
	fd_event_drain(mb->fd);
	return mailbox_run(mb);
}

bool mailbox_run(struct mailbox *mb)
{
	struct letter *l, *next, *first = NULL;

	if (!mailbox_pending(mb))
		return false;
	/* Drain before taking: a letter that comes in between signals again. */
	fd_event_drain(mb->fd);
	for (l = atomic_exchange_explicit(&mb->top, NULL, memory_order_acquire); l; l = next) {
		next = l->next;
		l->next = first;
		first = l;
	}
	for (l = first; l; l = next) {
		next = l->next;
		l->fn(l->arg);
		free(l);
	}
	return true;
}

bool mailbox_pending(const struct mailbox *mb)
{
	return atomic_load_explicit(&mb->top, memory_order_acquire) != NULL;
}
