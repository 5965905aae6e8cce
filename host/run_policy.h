/* SPDX-License-Identifier: BSD-2-Clause */
/* The policy of a lab, at the moments of its life. Control thread. */
#ifndef HVLAB_HOST_RUN_POLICY_H
#define HVLAB_HOST_RUN_POLICY_H

#include "host/run.h"

/*
 * Put the lab file's policy files in force: when all vNICs are there, before a guest runs. 0;
 * -errno with @why, and {"errors": [...]} in *@extra (the caller's) when a file is wrong.
 */
int run_policy_start(struct run *run, json_t **extra, char *why, size_t why_size);
/* A vNIC has come. 0; -errno with @why: it must not stay, since it would be without policy. */
int run_policy_nic_added(struct run *run, char *why, size_t why_size);
/* One has gone. */
void run_policy_nic_gone(struct run *run);

#endif
