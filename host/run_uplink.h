/* SPDX-License-Identifier: BSD-2-Clause */
/* The uplinks of the lab that is up. Control thread. */
#ifndef HVLAB_HOST_RUN_UPLINK_H
#define HVLAB_HOST_RUN_UPLINK_H

#include "host/run.h"
#include "host/uplink.h"

/* When the networks are made. 0; -errno with @why, and what was made is run_uplinks_stop()'s. */
int run_uplinks_start(struct run *run, char *why, size_t size);
void run_uplinks_stop(struct run *run);

/* Of network @i, null: private. New references. */
json_t *run_uplink_json(const struct run *run, unsigned int i);
json_t *run_uplinks_stats_json(const struct run *run);

#endif
