/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the tests of vNICs stand on: a network with two plain ports and a vNIC of two paths, of
 * which the first receives; a worker that hands over what is parked. Frames carry a number, by
 * their length.
 */
#ifndef HVLAB_TESTS_UNIT_NIC_RIG_H
#define HVLAB_TESTS_UNIT_NIC_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/worker.h"
#include "tests/lib/wait.h"
#include "vsw_fixture.h"
#include "vswitch/nic.h"

#define PEER 1 /* a plain port's number, for frame_mac() */
#define NIC  2 /* the vNIC's, and its two paths' */

extern struct vsw_net *net;
extern struct worker *worker;
extern struct vsw_nic *nic;
extern struct vsw_port *outer; /* the vNIC's own */
extern struct test_port peer, path[2], other;

int nic_setup(void **state);
int nic_teardown(void **state);
struct vsw_nic_conf nic_conf(unsigned int host);
/* Another one in its place; @adjust changes its configuration before it is made. */
void make_nic(void (*adjust)(struct vsw_nic_conf *conf));
void drop_nic(void);

/* One frame; returns what vsw_send() did. */
unsigned int send_flags(struct test_port *from, unsigned int src, unsigned int dst, uint32_t number,
			uint32_t flags);
void send_one(struct test_port *from, unsigned int src, unsigned int dst, uint32_t number);
/* Numbers [first, first + n) from the peer to the vNIC. */
void send_numbers(uint32_t first, uint32_t n);
unsigned int kept(struct test_port *t);
uint32_t number_of(const struct test_port *t, unsigned int i);
/* @t gets exactly the numbers [first, first + n), in order. */
void expect_numbers(struct test_port *t, uint32_t first, uint32_t n);
struct vsw_nic_info info(void);
/* Everything that was posted to the worker so far has run. */
void flush(void);
uint64_t drops(struct vsw_port *p, enum vsw_drop why);
uint64_t tx_drops(struct vsw_port *p, enum vsw_drop why);

#define T(name) cmocka_unit_test_setup_teardown(name, nic_setup, nic_teardown)

#endif
