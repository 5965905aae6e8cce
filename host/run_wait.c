/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the requests that wait for something about a VM. */
#include "host/run_internal.h"

#include <stdlib.h>

static void wait_drop(struct run *run, struct run_wait *w)
{
	for (struct run_wait **at = &run->waits; *at; at = &(*at)->next) {
		if (*at == w) {
			*at = w->next;
			break;
		}
	}
	if (w->timer)
		event_free(w->timer);
	free(w);
}

static void on_wait_expired(evutil_socket_t fd, short what, void *arg)
{
	struct run_wait *w = arg;

	(void)fd;
	(void)what;
	w->expired(w);
	wait_drop(w->vm->run, w);
}

void run_wait(struct run *run, const struct run_wait *wait, unsigned int timeout_ms)
{
	struct run_wait *w = malloc(sizeof(*w));
	struct timeval tv = ms_tv(timeout_ms);

	if (!w) {
		control_fail(wait->req, CTL_SYSTEM_ERROR, NULL, "out of memory");
		return;
	}
	*w = *wait;
	w->timer = NULL;
	w->next = run->waits;
	run->waits = w;
	if (w->check(w)) {
		wait_drop(run, w);
		return;
	}
	if (timeout_ms) {
		w->timer = evtimer_new(run->d->base, on_wait_expired, w);
		if (!w->timer || evtimer_add(w->timer, &tv)) {
			control_fail(w->req, CTL_SYSTEM_ERROR, NULL, "out of memory");
			wait_drop(run, w);
		}
	}
}

void run_check_waits(struct run *run)
{
	struct run_wait *w, *next;

	for (w = run->waits; w; w = next) {
		next = w->next;
		if (w->check(w))
			wait_drop(run, w);
	}
}

void run_cancel_waits(struct run *run)
{
	while (run->waits) {
		control_fail(run->waits->req, CTL_CANCELLED, NULL, "the lab is going down");
		wait_drop(run, run->waits);
	}
}
