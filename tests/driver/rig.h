/* SPDX-License-Identifier: BSD-2-Clause */
/* What every driver test stands on: a lab, a driver per device, and short ways to say things. */
#ifndef HVLAB_TESTS_DRIVER_RIG_H
#define HVLAB_TESTS_DRIVER_RIG_H

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/driver/mana_drv.h"
#include "tests/lib/frame.h"
#include "tests/lib/lab.h"
#include "tests/lib/rng.h"
#include "tests/lib/wait.h"

/* How far rig_start() takes the drivers. */
enum rig_level {
	RIG_VPORT, /* vPort 0 passes packets */
	RIG_DEV,   /* registered */
	RIG_HWC,   /* hardware channel up */
	RIG_BUS,   /* connected, memory mapped, registers read */
	RIG_LAB,   /* nobody connected */
};

struct rig_conf {
	enum rig_level level;
	struct lab_conf lab;
	struct drv_conf drv;
	struct drv_vport_conf vport;
};

struct rig {
	struct lab lab;
	struct rig_conf conf;
	unsigned int n;
	struct drv d[LAB_MAX_DEVS];
	bool open[LAB_MAX_DEVS];
	struct drv_vport vp[LAB_MAX_DEVS]; /* vPort 0 of each */
	struct frame f, g;		   /* scratch */
};

/* Asserts. @conf may be NULL. */
struct rig *rig_start(const struct rig_conf *conf);
/* Takes one device up (again) to @level. */
void rig_up(struct rig *r, unsigned int dev, enum rig_level level);
/* Orderly: vPort down, deregister, HWC down, close. */
void rig_down(struct rig *r, unsigned int dev);
/* The connection is lost; the driver's side is freed. */
void rig_drop(struct rig *r, unsigned int dev);
/* The device was reset under the driver: free its side down to the bus. */
void rig_forget(struct rig *r, unsigned int dev);
/* Everything down; asserts that no driver saw a violation. */
void rig_stop(struct rig *r);

/* A frame from device @from's vPort 0 to @to's. */
struct frame_spec rig_spec(const struct rig *r, unsigned int from, unsigned int to, uint8_t ip,
			   uint8_t proto, uint32_t payload);
/* Sends on queue 0; asserts CQE_TX_OKAY. */
void rig_send(struct rig *r, unsigned int from, const struct frame *f, const struct drv_tx *tx);
/* The next packet of @to must be @f, byte for byte. Fills @rx when not NULL. */
void rig_expect(struct rig *r, unsigned int to, const struct frame *f, struct drv_rx *rx);
/* One small frame each way: everything works. */
void rig_alive(struct rig *r, unsigned int a, unsigned int b);
/* The HWC answers. */
void rig_hwc_alive(struct rig *r, unsigned int dev);
/* A frame with its first bytes changed shows where bytes differ. */
void rig_same_bytes(const uint8_t *got, uint32_t got_len, const uint8_t *want, uint32_t want_len);

#endif
