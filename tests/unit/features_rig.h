/* SPDX-License-Identifier: BSD-2-Clause */
/* A network of five ports for tests of port features: what one sends, and who gets it how. */
#ifndef HVLAB_TESTS_UNIT_FEATURES_RIG_H
#define HVLAB_TESTS_UNIT_FEATURES_RIG_H

#include "vsw_fixture.h"
#include "vswitch/port_features.h"

#define RIG_PORTS 5
#define RIG_BURST 64

extern struct vsw *vsw;
extern struct vsw_net *net;
extern struct test_port port[RIG_PORTS + 1]; /* 1.. are hosts 1.. */
extern struct frame frame;		     /* of the last packet made */
extern struct pkt pkt[RIG_BURST];

int rig_setup(void **state);
int rig_teardown(void **state);

/* All features of a port. */
void have(unsigned int p, struct vsw_features f);
void have_vlan(unsigned int p, enum vlan_mode mode, uint16_t vid, uint16_t secondary);
/* The same with a list of @n allowed ids. */
void have_vlans(unsigned int p, enum vlan_mode mode, uint16_t vid, const uint16_t *list,
		unsigned int n);

/* frame: UDP from host to host, 0: to everybody; @tag 0: none. */
void make(unsigned int from, unsigned int to, uint16_t tag);
/* frame goes, as one packet. */
void go(unsigned int from);
void send_udp(unsigned int from, unsigned int to, uint16_t tag);

/* Frames that a port has got since the last look; @tag: of the last one, -1: none. */
unsigned int got(unsigned int p);
int tag_got(unsigned int p);
void forget(void);

#define TX_DROPS(p, why) atomic_load(&port[p].port.stats.tx_drops[VSW_DROP_##why])
#define RX_DROPS(p, why) atomic_load(&port[p].port.stats.drops[VSW_DROP_##why])

#endif
