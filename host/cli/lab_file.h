/* SPDX-License-Identifier: BSD-2-Clause */
/* How a lab file's mistakes are printed; shared by check and up. */
#ifndef HVLAB_HOST_CLI_LAB_FILE_H
#define HVLAB_HOST_CLI_LAB_FILE_H

#include "host/lab.h"

/* On stderr, one line each, and how many there are. @ret: what lab_load_file() returned. */
void cli_lab_errors(const struct lab_errors *errs, int ret);

#endif
