/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Live migration of a VM of the lab that is up, on this host: from its QEMU to a second one.
 * Control thread.
 */
#ifndef HVLAB_HOST_MIGRATE_H
#define HVLAB_HOST_MIGRATE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "host/runtime.h"

struct run_vm;
struct migrate;

/* What becomes of VFs, which do not migrate. They come back on the destination. */
enum migrate_vf {
	MIGRATE_VF_REFUSE,   /* none may be attached */
	MIGRATE_VF_FAILOVER, /* QEMU's failover takes them away by itself: the guest's virtio_net
			      * must have paired them */
	MIGRATE_VF_MANAGER,  /* revoked before, by us */
};

/*
 * How it ended. @rc: 0; -ECANCELED (migrate_cancel(), VM or lab down); -ETIMEDOUT; -EIO, @why says
 * what. Unless the VM is down the guest runs: on the source when @rc is not 0. -ENOENT: it runs on
 * the destination, but a VF has not come back. Not called before migrate_start() returned.
 */
typedef void (*migrate_done_fn)(void *arg, int rc, const char *why, json_t *steps);

/* 0; -EBUSY, -EINVAL, -EPERM (a VF is attached), -ENOTCONN, -errno; *@why says more. */
int migrate_start(struct run_vm *rv, enum migrate_vf mode, unsigned int timeout_ms,
		  migrate_done_fn done, void *arg, char *why, size_t why_size);
/* 0; -ENOENT nothing to cancel; -EBUSY too late. */
int migrate_cancel(struct run_vm *rv);

/* ---- for run.c ---- */

/* An event of the VM's QEMU. */
void migrate_on_event(struct run_vm *rv, const char *name, json_t *data);
/* The VM's QEMU has ended. */
void migrate_on_vm_down(struct run_vm *rv);
/* The VM's state, or that of one of its VFs' devices, has changed. */
void migrate_on_state(struct run_vm *rv);
/* The lab goes down: answer, and end what we started. */
void migrate_stop(struct run_vm *rv);
/* QEMUs that run beside the VM's own, into @procs, which has room for MIGRATE_PROCS; how many. */
#define MIGRATE_PROCS 2
size_t migrate_processes(const struct run_vm *rv, struct runtime_proc *procs);
/* No process may be left. */
void migrate_free(struct run_vm *rv);

#endif
