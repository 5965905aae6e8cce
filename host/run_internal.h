/* SPDX-License-Identifier: BSD-2-Clause */
/* Between the run*.c files. Control thread. */
#ifndef HVLAB_HOST_RUN_INTERNAL_H
#define HVLAB_HOST_RUN_INTERNAL_H

#include <sys/time.h>

#include "base/log.h"
#include "host/run.h"
#include "host/run_nic.h"

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

/* A QEMU began or ended: write the list of them anew. */
void run_record(struct run *run);
extern const struct vm_ops run_vm_ops; /* @arg: struct run_vm */

/* ---- run_nic.c, run_path.c: NICs ---- */

/* What plugging of a VM's NICs needs. 0 or -errno. */
int run_nic_init(struct run_vm *rv);
/* Make the vNIC of a free slot. 0; -errno, with the step that failed in *@what. */
int run_nic_make(struct run_nic *rn, const struct lab_nic *nic, const char **what);
/* Free the slot, at once: QEMU must not have the devices. */
void run_nic_unmake(struct run_nic *rn);
/* QEMU is about to start: what it shall have from the beginning. */
void run_nic_prepare(struct run_vm *rv, struct vm_conf *conf);
/* Its monitor answers. */
void run_nic_on_monitor(struct run_vm *rv);
/* It has ended. */
void run_nic_on_vm_down(struct run_vm *rv);

/* Go on with whatever is under way for a NIC. */
void run_nic_step(struct run_nic *rn);
/* A step of it, for who waits. */
void run_nic_note(struct run_nic *rn, const char *step);
/* QEMU refused a path of a NIC that is being added: take all of it away. */
void run_nic_add_failed(struct run_nic *rn, int rc, const char *why);
/* An event about it; @data (may be NULL) is stolen, "vnic", "vm", "slot" and "time_ns" are added.
 */
void run_nic_tell(struct run_nic *rn, const char *name, json_t *data);

/* run_path.c: its paths in QEMU. */
extern const struct vnic_ops run_vnic_ops; /* @arg: struct run_nic */
extern const struct plug_ops run_plug_ops; /* @arg: struct run_vm */
/* As plug_add() and plug_del(); what follows is run_nic_step(). */
int run_path_add(struct run_nic *rn, enum plug_path path);
int run_path_del(struct run_nic *rn, enum plug_path path);
/* The synthetic path's link, as it shall be. */
void run_path_show_link(struct run_nic *rn);
/* What QEMU needs to know of its devices. */
void run_path_conf(const struct run_nic *rn, struct vm_nic_conf *out);

/* ---- run_up.c: the start ---- */

/* A VM changed its state while somebody waits for the start. */
void run_check_up(struct run *run);

/* ---- run_wait.c: requests that wait ---- */

void run_check_waits(struct run *run);
void run_cancel_waits(struct run *run);

#endif
