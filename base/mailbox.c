/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the queue of calls from other threads to one thread. */
#include "base/mailbox.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <urcu/wfcqueue.h>

#include "base/fd.h"
#include "base/util.h"

struct letter {
	struct cds_wfcq_node node;
	void (*fn)(void *arg);
	void *arg;
};

struct mailbox {
	struct cds_wfcq_head head;
	struct cds_wfcq_tail tail;
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
	cds_wfcq_init(&mb->head, &mb->tail);
	return mb;
}

void mailbox_free(struct mailbox *mb)
{
	struct cds_wfcq_node *n;

	if (!mb)
		return;
	while ((n = __cds_wfcq_dequeue_blocking(&mb->head, &mb->tail)))
		free(CONTAINER_OF(n, struct letter, node));
	cds_wfcq_destroy(&mb->head, &mb->tail);
	fd_close(&mb->fd);
	free(mb);
}

int mailbox_fd(const struct mailbox *mb)
{
	return mb->fd;
}

int mailbox_post(struct mailbox *mb, void (*fn)(void *arg), void *arg)
{
	struct letter *l = malloc(sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->fn = fn;
	l->arg = arg;
	cds_wfcq_node_init(&l->node);
	/* Only the letter that finds the box empty wakes the receiver: it takes all at once. */
	if (!cds_wfcq_enqueue(&mb->head, &mb->tail, &l->node))
		fd_event_signal(mb->fd);
	return 0;
}

bool mailbox_run(struct mailbox *mb)
{
	struct cds_wfcq_head head;
	struct cds_wfcq_tail tail;
	struct cds_wfcq_node *n;

	if (cds_wfcq_empty(&mb->head, &mb->tail))
		return false;
	fd_event_drain(mb->fd);
	cds_wfcq_init(&head, &tail);
	__cds_wfcq_splice_blocking(&head, &tail, &mb->head, &mb->tail);
	while ((n = __cds_wfcq_dequeue_blocking(&head, &tail))) {
		struct letter *l = CONTAINER_OF(n, struct letter, node);

		l->fn(l->arg);
		free(l);
	}
	return true;
}

bool mailbox_pending(const struct mailbox *mb)
{
	return !cds_wfcq_empty((struct cds_wfcq_head *)&mb->head,
			       (struct cds_wfcq_tail *)&mb->tail);
}
