/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Network namespaces for tests: made, entered, wired with the ip command (iproute2), and tried with
 * pings and TCP. A namespace is a descriptor and lives until it is closed. All calls fail the
 * cmocka test they are in when something does not work, where not said otherwise.
 */
#ifndef HVLAB_TESTS_KERNEL_NETLAB_H
#define HVLAB_TESTS_KERNEL_NETLAB_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/util.h"

/* For main(): a namespace of the test's own. False, and said why: not allowed. */
bool netlab_begin(void);

/* With its loopback up. */
int ns_new(void);
void ns_close(int *ns);
/* The calling thread goes there and back. -1: the test's own. */
void ns_enter(int ns);
void ns_leave(void);
/* A shell command there. The second returns its exit status. */
void ns_run(int ns, const char *fmt, ...) PRINTF_LIKE(2, 3);
int ns_try(int ns, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* veth @a in @ns_a and @b in @ns_b, both up. */
void ns_veth(int ns_a, const char *a, int ns_b, const char *b);
/* A TAP there, for tap_new(); up, with @mac and @mtu. */
int ns_tap(int ns, const char *name, const char *mac, unsigned int mtu);
/* A packet socket on an interface: all that passes, in both directions. */
int ns_packet_socket(int ns, const char *ifname);

/* "192.0.2.1" or "2001:db8::1", port in host order. */
socklen_t netlab_addr(struct sockaddr_storage *ss, const char *text, uint16_t port);

/* True: answered within five seconds. @size: of the payload; @df: and never in fragments. */
bool ns_ping(int ns, const char *addr, unsigned int size, bool df);

/**
 * struct bulk - A TCP connection that carries a pattern
 * @mtu:	Out: what the sender's kernel holds the path for (IP_MTU)
 */
struct bulk {
	int from, to;	  /* namespaces */
	const char *addr; /* of the receiver */
	uint64_t bytes;
	unsigned int mtu;
};
/* True: all bytes came, in order and right, within a minute. */
bool ns_bulk(struct bulk *b);

#endif
