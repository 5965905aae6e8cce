/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The only way between threads: a queue of calls to make, any thread in, one thread out, in
 * order per sender. The receiver waits on the eventfd and runs what has come.
 */
#ifndef HVLAB_BASE_MAILBOX_H
#define HVLAB_BASE_MAILBOX_H

#include <stdbool.h>

struct mailbox;

struct mailbox *mailbox_new(void);
/* Letters still inside are run by nobody: run the box dry first. */
void mailbox_free(struct mailbox *mb);
/* Readable when letters wait; for poll only. */
int mailbox_fd(const struct mailbox *mb);
/* Any thread. @fn runs later on the receiving thread. 0 or -ENOMEM. */
int mailbox_post(struct mailbox *mb, void (*fn)(void *arg), void *arg);
/* Receiving thread: run all that came. True when something ran. */
bool mailbox_run(struct mailbox *mb);
/*
 * The same after the descriptor was reported readable. A receiver that looks into the box by itself
 * may have taken the letter before its sender signalled: there is nothing then, and the descriptor
 * would stay readable.
 */
bool mailbox_woken(struct mailbox *mb);
/* Receiving thread: something waits. Cheap. */
bool mailbox_pending(const struct mailbox *mb);

#endif
