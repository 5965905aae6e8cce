/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Addresses and subnets of both families behind one form, so that "inside", "overlap" and "the n-th
 * host" are written once: 16 bytes, an IPv4 address in the last four. Any thread; no state.
 */
#ifndef HVLAB_HOST_LAB_ADDR_H
#define HVLAB_HOST_LAB_ADDR_H

#include <stdbool.h>
#include <stdint.h>

#include "host/lab.h"

struct lab_addr {
	uint8_t b[16];
};

/* One family's view of a network; @bits: host bits. */
struct lab_subnet {
	int family;
	bool on;
	struct lab_addr addr;
	unsigned int bits;
};

/* The lowest @bits bits of @a as a number, as far as 64 bits hold it. */
uint64_t lab_addr_low(const struct lab_addr *a, unsigned int bits);
/* True when the first 128 - @bits bits are equal. */
bool lab_addr_same_net(const struct lab_addr *a, const struct lab_addr *b, unsigned int bits);
bool lab_addr_low_is_zero(const struct lab_addr *a, unsigned int bits);
/* @a with its lowest @bits bits cleared and @host there instead. */
struct lab_addr lab_addr_with_low(struct lab_addr a, unsigned int bits, uint64_t host);
void lab_addr_print(int family, const struct lab_addr *a, char *buf, socklen_t size);
/* 0 or -EINVAL. */
int lab_addr_parse(int family, const char *text, struct lab_addr *a);

struct lab_subnet lab_subnet_of(const struct lab_net *net, int family);
/* Into the network's fields of that family. */
void lab_subnet_set(struct lab_net *net, const struct lab_subnet *s);
/* "10.0.0.0/24" */
void lab_subnet_print(const struct lab_subnet *s, char *buf, size_t size);
bool lab_subnet_overlap(const struct lab_subnet *a, const struct lab_subnet *b);
/* What keeps @a from being a host's address of subnet @s. */
bool lab_subnet_no_host(const struct lab_subnet *s, const struct lab_addr *a);

#endif
