/* SPDX-License-Identifier: BSD-2-Clause */
/* What a drill is to do and whether it can: options and preconditions. */
#ifndef HVLAB_HOST_CLI_DRILL_CHECK_H
#define HVLAB_HOST_CLI_DRILL_CHECK_H

#include "host/cli/drill.h"

extern const char drill_help[];
/* "tcp", "udp", "ping", "iperf3" by the number of their bit; NULL-terminated. */
extern const char *const drill_loads[];

/* Fills in kind and options; the target's name, borrowed. Ends the process on wrong usage. */
const char *drill_parse(struct drill *d, int argc, char **argv);
/* Finds target and peer; they are in a state in which the drill can begin. 0, or why. */
int drill_check(struct drill *d, const char *target);
/* Who takes part, into the report. */
void drill_describe(struct drill *d);

/* Of a VM's object in query-status. Borrowed, NULL: none. */
json_t *drill_find_nic(const json_t *vm, const char *id);
/* The NIC has (or should have) a VF. */
bool drill_has_vf(const json_t *nic);
/* It has a synthetic path. */
bool drill_has_synthetic(const json_t *nic);

#endif
