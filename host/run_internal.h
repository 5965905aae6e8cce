/* SPDX-License-Identifier: BSD-2-Clause */
/* Between the run*.c files. Control thread. */
#ifndef HVLAB_HOST_RUN_INTERNAL_H
#define HVLAB_HOST_RUN_INTERNAL_H

#include <sys/time.h>

#include "base/log.h"
#include "host/run.h"

static inline struct timeval ms_tv(unsigned int ms)
{
	return (struct timeval){.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
}

/* ---- run.c: the life of a run ---- */

/* The timers of a new run; run_timers_free() also after a failure. 0 or -ENOMEM. */
int run_timers_new(struct run *run);
void run_timers_free(struct run *run);
void run_event_drop(struct event **ev);
/* LAB_STATE. */
void run_tell_state(struct run *run, const char *state);
/* Look at everything again, from the event loop. */
void run_poke(struct run *run);
/* Everything down, now. Calling it again changes nothing. */
void run_stop(struct run *run);

extern const struct vm_ops run_vm_ops;	   /* @arg: struct run_vm */
extern const struct vnic_ops run_vnic_ops; /* @arg: struct run */

/* ---- run_up.c: the start ---- */

/* A VM changed its state while somebody waits for the start. */
void run_check_up(struct run *run);

/* ---- run_wait.c: requests that wait ---- */

void run_check_waits(struct run *run);
void run_cancel_waits(struct run *run);

#endif
