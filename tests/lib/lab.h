/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A lab inside the test's process: workers, one switch with one network, and MANA devices that
 * listen on real sockets in a private directory.
 */
#ifndef HVLAB_TESTS_LIB_LAB_H
#define HVLAB_TESTS_LIB_LAB_H

#include <stdbool.h>
#include <stdint.h>

#include "emulator/mana/mana.h"
#include "vswitch/vswitch.h"

#define LAB_MAX_DEVS	8
#define LAB_MAX_STORY	64
#define LAB_MAX_WORKERS 4

/**
 * struct lab_conf - Zero means the default
 * @n_devs:	Devices: 2; device i has vPorts with addresses frame_mac(i * 16 + vport + 1)
 * @n_workers:	1; device i lives on worker i % n
 * @spin_ns:	How long a worker spins: 0
 * @net_mtu:	Of the network: 9000
 * @conf:	Template of a device: n_vports (1), max_queues, mtu, hold_ms, msix_mode ...
 */
struct lab_conf {
	unsigned int n_devs, n_workers;
	uint64_t spin_ns;
	uint32_t net_mtu;
	struct mana_conf conf;
};

/* What a device said, in order. */
struct lab_story {
	struct lab *lab;
	_Atomic unsigned int n; /* of them the first LAB_MAX_STORY are kept */
	struct {
		enum mana_event_type type;
		char text[40];
	} ev[LAB_MAX_STORY];
};

struct lab {
	struct lab_conf conf;
	struct worker *worker[LAB_MAX_WORKERS];
	struct vsw *vsw;
	struct vsw_net *net;
	struct mana *mana[LAB_MAX_DEVS];
	char dir[64];
	char path[LAB_MAX_DEVS][96];
	/* Events of all devices, counted by type. */
	_Atomic unsigned int events[MANA_EV_GUEST_ERROR + 1];
	struct lab_story story[LAB_MAX_DEVS];
};

/* Starts everything. 0 or -errno; lab_stop() in either case. */
int lab_start(struct lab *lab, const struct lab_conf *conf);
void lab_stop(struct lab *lab);
/* A connection to a device's socket; -errno. */
int lab_connect(struct lab *lab, unsigned int dev);
/* Number of the vPort's address for frame_addr(). */
unsigned int lab_host(unsigned int dev, unsigned int vport);
struct mana_info *lab_info(struct lab *lab, unsigned int dev, struct mana_info *info);

#endif
