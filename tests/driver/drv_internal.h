/* SPDX-License-Identifier: BSD-2-Clause */
/* Between the driver's own files. */
#ifndef HVLAB_TESTS_DRIVER_DRV_INTERNAL_H
#define HVLAB_TESTS_DRIVER_DRV_INTERNAL_H

#include "tests/driver/mana_drv.h"

int drv_mem_init(struct drv *d);
void drv_mem_fini(struct drv *d);

#endif
