/* SPDX-License-Identifier: BSD-2-Clause */
/* Captures of a running lab: of a vNIC as a whole, or of one of its paths. Control thread. */
#ifndef HVLAB_HOST_RUN_CAPTURE_H
#define HVLAB_HOST_RUN_CAPTURE_H

#include "host/run.h"

/* What is captured: a path, or all of the vNIC. */
#define CAPTURE_ALL ((enum plug_path)PLUG_N_PATHS)

/* Takes @fd. 0; -ENODEV no such path; as vsw_capture_start(). */
int run_capture_start(struct run_nic *rn, enum plug_path path, int fd, uint32_t snaplen);
/* 0; -ENOENT there is none. */
int run_capture_stop(struct run_nic *rn, enum plug_path path);
/* Is one under way, as far as we know? */
bool run_capturing(const struct run_nic *rn, enum plug_path path);
/* Ends those that ended by themselves, since their reader went away. */
void run_capture_reap(struct run_nic *rn);
/* The vNIC is about to be freed, which ends them all. */
void run_capture_end(struct run_nic *rn);

#endif
