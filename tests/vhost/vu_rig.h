/* SPDX-License-Identifier: BSD-2-Clause */
/* What every vhost test stands on: workers, a switch, vhost ports, a client each. */
#ifndef HVLAB_TESTS_VHOST_VU_RIG_H
#define HVLAB_TESTS_VHOST_VU_RIG_H

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "tests/lib/frame.h"
#include "tests/lib/rng.h"
#include "tests/lib/wait.h"
#include "tests/vhost/vu_client.h"
#include "vswitch/ports/vhost.h"
#include "vswitch/vswitch.h"

#define RIG_MAX 4

/**
 * struct rig_conf - Zero means the default
 * @n:		Ports: 2; port i has address frame_mac(i + 1)
 * @workers:	1; port i lives on worker i % workers
 * @connect:	Clients are up; else nobody is connected
 */
struct rig_conf {
	unsigned int n, workers;
	uint64_t spin_ns;
	uint32_t net_mtu;
	bool no_connect;
	struct vhost_conf port;
	struct vu_conf client;
};

struct rig {
	struct rig_conf conf;
	struct worker *worker[RIG_MAX];
	struct vsw *vsw;
	struct vsw_net *net;
	struct vhost *v[RIG_MAX];
	struct vu c[RIG_MAX];
	bool open[RIG_MAX];
	char dir[64], path[RIG_MAX][96];
	_Atomic unsigned int events[RIG_MAX][VHOST_EV_GUEST_ERROR + 1];
	struct frame f, g; /* scratch */
};

/* Asserts. @conf may be NULL. */
struct rig *rig_start(const struct rig_conf *conf);
void rig_stop(struct rig *r);
int rig_connect(struct rig *r, unsigned int i);
/* Client @i up (again). */
void rig_up(struct rig *r, unsigned int i, const struct vu_conf *conf);
void rig_down(struct rig *r, unsigned int i);
struct vhost_info rig_info(struct rig *r, unsigned int i);
/* Counted at port @i: drops as receiver, drops as sender. */
uint64_t rig_drops(struct rig *r, unsigned int i, enum vsw_drop why);
uint64_t rig_tx_drops(struct rig *r, unsigned int i, enum vsw_drop why);

struct frame_spec rig_spec(unsigned int from, unsigned int to, uint8_t ip, uint8_t proto,
			   uint32_t payload);
/* The next frame of @to must be @f, byte for byte. */
void rig_expect(struct rig *r, unsigned int to, const struct frame *f, struct virtio_net_hdr *h);
void rig_same_bytes(const uint8_t *got, uint32_t got_len, const uint8_t *want, uint32_t want_len);
/* One small frame each way: everything works. */
void rig_alive(struct rig *r, unsigned int a, unsigned int b);

#endif
