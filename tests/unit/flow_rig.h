/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A network of three hosts for tests of policy through vsw_send(): frames by a line, policies by a
 * list of rules.
 */
#ifndef HVLAB_TESTS_UNIT_FLOW_RIG_H
#define HVLAB_TESTS_UNIT_FLOW_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <netinet/in.h>

#include "vsw_fixture.h"
#include "vswitch/judge.h"

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10

extern struct vsw *vsw;
extern struct vsw_net *net;
extern struct test_port port[4]; /* 1..3 are hosts 1..3 */

int flow_setup(void **state);
int flow_teardown(void **state);

/* One frame of @from's guest to @to's; @spec's addresses are filled in where they are zero. */
struct frame *frame_of(unsigned int from, unsigned int to, struct frame_spec spec);
/* It is sent: did it arrive? @to's frames are kept by its test_port. */
bool sent_by(unsigned int from, unsigned int to, struct frame_spec spec);
/* TCP and UDP over IPv4 with those ports. */
bool tcp(unsigned int from, unsigned int to, uint16_t sport, uint16_t dport, uint8_t flags);
bool udp(unsigned int from, unsigned int to, uint16_t sport, uint16_t dport);
bool ping(unsigned int from, unsigned int to, uint8_t type, uint16_t id);

/* A three-way handshake: all of it arrived. */
bool connects(unsigned int from, unsigned int to, uint16_t sport, uint16_t dport);

/* One layer "l" with a group of rules each way. */
struct policy *policy_of_rules(const struct policy_rule *out, uint32_t n_out,
			       const struct policy_rule *in, uint32_t n_in);
/* @p is published and put; NULL: none. */
void give(unsigned int host, struct policy *p, bool flush);
struct vsw_flow_stats stats_of(unsigned int host);
/* vsw_tick() often enough to see every record. */
void ticks(void);

extern const struct policy_rule allow_all, deny_all;
/* Everything out, stateful; in nothing but TCP to port 22, stateful. */
struct policy *ssh_only(void);
/* Nothing in, and out everything that is stateful. */
struct policy *nothing_in(void);

#define TX_DROPS(p, why) atomic_load(&port[p].port.stats.tx_drops[VSW_DROP_##why])
#define RX_DROPS(p, why) atomic_load(&port[p].port.stats.drops[VSW_DROP_##why])

#endif
