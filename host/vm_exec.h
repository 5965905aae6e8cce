/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Programs run in a guest through its agent: started, asked after until they end, reported to
 * the request that wanted them. Control thread.
 */
#ifndef HVLAB_HOST_VM_EXEC_H
#define HVLAB_HOST_VM_EXEC_H

#include <jansson.h>

#include "host/run.h"

#define VM_EXEC_MAX_STDIN (8u << 20) /* bytes, decoded */

/* The command vm-exec with checked @args; answers @req in any case. */
void vm_exec(struct run_vm *rv, struct control_req *req, const json_t *args);
/* The lab goes down: every program's request is answered, nothing of them is left. */
void vm_exec_cancel_all(void);

/* Answer @req with GuestDead, or with AgentUnavailable when the guest lives. */
void vm_exec_no_agent(const struct run_vm *rv, struct control_req *req);

#endif
