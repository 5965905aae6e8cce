/* SPDX-License-Identifier: BSD-2-Clause */
/* What the commands about labs, VMs, NICs and VFs share. Control thread. */
#ifndef HVLAB_HOST_COMMANDS_UTIL_H
#define HVLAB_HOST_COMMANDS_UTIL_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/run.h"
#include "host/run_nic.h"

#define DAY_MS (24 * 3600 * 1000)
#define ID_MAX (LAB_NAME_MAX + LAB_NIC_NAME_MAX + 2) /* of a vNIC's name with its NUL */

#define VNIC_ARG                                                                                   \
	{                                                                                          \
		.name = "vnic", .type = ARG_STRING, .required = true, .doc = "VM/NIC, as a/eth0"   \
	}
#define MS_ARG(arg_name, arg_doc)                                                                  \
	{                                                                                          \
		.name = (arg_name), .type = ARG_INT, .min = 1, .max = DAY_MS, .doc = (arg_doc)     \
	}
#define VM_FILTER_ARG                                                                              \
	{                                                                                          \
		.name = "vm", .type = ARG_STRING, .doc = "only this VM's"                          \
	}

/* What a request is about; NULL: @req has been refused. */
struct run *need_lab(struct daemon *d, struct control_req *req);
struct run_vm *need_vm(struct daemon *d, struct control_req *req, const char *name);
struct run_nic *need_nic(struct daemon *d, struct control_req *req, const json_t *args);
/* The same, and it has a VF. */
struct run_nic *need_vf(struct daemon *d, struct control_req *req, const json_t *args);
/* Its devices may come and go. False: it migrates, @req has been refused. */
bool need_at_home(struct control_req *req, const struct run_vm *rv);
/* For lists: *@vm is the VM_FILTER_ARG or NULL. False: @req has been refused. */
bool need_list(struct daemon *d, struct control_req *req, const json_t *args, const char **vm);

/* Every vNIC of query-status (of VM @vm unless NULL) with "vm" added; a new reference. */
json_t *nics_json(struct daemon *d, const char *vm);

/**
 * struct pending - A request whose operation is under way
 * @id:		of the vNIC; "VM/" while it is being made
 * @verb:	"revoking the VF"; outlives it
 */
struct pending {
	struct daemon *d;
	struct control_req *req;
	char id[ID_MAX];
	const char *verb;
};

/* NULL: @req has been refused. free() it when the request is answered. */
struct pending *pending_new(struct daemon *d, struct control_req *req, const char *id,
			    const char *verb);
/*
 * Refuse the request of an operation that failed, and free @p. @rc and @why as run_nic_done_fn and
 * vf_done_fn have them; @steps is borrowed; @timeout_hint goes with -ETIMEDOUT.
 */
void pending_fail(struct pending *p, int rc, const char *why, json_t *steps,
		  const char *timeout_hint);

#endif
