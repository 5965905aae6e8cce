/* SPDX-License-Identifier: BSD-2-Clause */
/* The fabric of the lab that is up; all of it does nothing for a lab without one. Control thread.
 */
#ifndef HVLAB_HOST_RUN_FABRIC_H
#define HVLAB_HOST_RUN_FABRIC_H

#include <jansson.h>

#include "host/run.h"

/* When the networks are there and before the VMs start. 0; -errno with @why and @hint. */
int run_fabric_start(struct run *run, char *why, size_t why_size, const char **hint);
/* NICs have come or gone. */
void run_fabric_announce(struct run *run);
/* The lab is going down. */
void run_fabric_leave(struct run *run);
/* Before the networks go. */
void run_fabric_free(struct run *run);
/* What query-fabric answers; NULL: the lab has no fabric. */
json_t *run_fabric_json(const struct run *run, bool guests);

#endif
