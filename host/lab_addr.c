/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns addresses and subnets of both families in one form. */
#include "host/lab_addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"

static struct lab_addr addr_from4(struct in_addr a)
{
	struct lab_addr r = {{0}};

	memcpy(r.b + 12, &a, 4);
	return r;
}

static struct lab_addr addr_from6(struct in6_addr a)
{
	struct lab_addr r;

	memcpy(r.b, &a, 16);
	return r;
}

/* The lowest @bits bits of @a as a number, as far as 64 bits hold it. */
uint64_t lab_addr_low(const struct lab_addr *a, unsigned int bits)
{
	uint64_t v = 0;

	for (int i = 8; i < 16; i++)
		v = v << 8 | a->b[i];
	return bits >= 64 ? v : v & ((1ull << bits) - 1);
}

/* True when the first 128 - @bits bits are equal. */
bool lab_addr_same_net(const struct lab_addr *a, const struct lab_addr *b, unsigned int bits)
{
	unsigned int whole = (128 - bits) / 8, rest = (128 - bits) % 8;

	return memcmp(a->b, b->b, whole) == 0 &&
	       (!rest || (a->b[whole] ^ b->b[whole]) >> (8 - rest) == 0);
}

bool lab_addr_low_is_zero(const struct lab_addr *a, unsigned int bits)
{
	for (unsigned int i = 0; i < bits; i++)
		if (a->b[15 - i / 8] & 1u << i % 8)
			return false;
	return true;
}

/* @a with its lowest @bits bits cleared and @host there instead (host < 2^32). */
struct lab_addr lab_addr_with_low(struct lab_addr a, unsigned int bits, uint64_t host)
{
	for (unsigned int i = 0; i < bits; i++) {
		uint8_t mask = (uint8_t)(1u << i % 8);

		a.b[15 - i / 8] &= (uint8_t)~mask;
		if (i < 64 && host & 1ull << i)
			a.b[15 - i / 8] |= mask;
	}
	return a;
}

void lab_addr_print(int family, const struct lab_addr *a, char *buf, socklen_t size)
{
	inet_ntop(family, family == AF_INET ? a->b + 12 : a->b, buf, size);
}

int lab_addr_parse(int family, const char *text, struct lab_addr *a)
{
	memset(a, 0, sizeof(*a));
	return inet_pton(family, text, family == AF_INET ? a->b + 12 : a->b) == 1 ? 0 : -EINVAL;
}

struct lab_subnet lab_subnet_of(const struct lab_net *net, int family)
{
	if (family == AF_INET)
		return (struct lab_subnet){family, net->has4, addr_from4(net->subnet4),
					   32 - net->prefix4};
	return (struct lab_subnet){family, net->has6, addr_from6(net->subnet6), 128 - net->prefix6};
}

void lab_subnet_print(const struct lab_subnet *s, char *buf, size_t size)
{
	char text[INET6_ADDRSTRLEN];

	lab_addr_print(s->family, &s->addr, text, sizeof(text));
	snprintf(buf, size, "%s/%u", text, (s->family == AF_INET ? 32 : 128) - s->bits);
}

void lab_subnet_set(struct lab_net *net, const struct lab_subnet *s)
{
	unsigned int prefix = (s->family == AF_INET ? 32 : 128) - s->bits;

	if (s->family == AF_INET) {
		net->has4 = true;
		memcpy(&net->subnet4, s->addr.b + 12, 4);
		net->prefix4 = prefix;
		lab_subnet_print(s, net->cidr4, sizeof(net->cidr4));
	} else {
		net->has6 = true;
		memcpy(&net->subnet6, s->addr.b, 16);
		net->prefix6 = net->link6 = prefix;
		lab_subnet_print(s, net->cidr6, sizeof(net->cidr6));
	}
}

bool lab_subnet_overlap(const struct lab_subnet *a, const struct lab_subnet *b)
{
	return a->on && b->on && lab_addr_same_net(&a->addr, &b->addr, MAX(a->bits, b->bits));
}

/* What keeps @a from being a host's address of subnet @s. */
bool lab_subnet_no_host(const struct lab_subnet *s, const struct lab_addr *a)
{
	return !s->on || !lab_addr_same_net(a, &s->addr, s->bits) ||
	       lab_addr_low_is_zero(a, s->bits) ||
	       (s->family == AF_INET && lab_addr_low(a, s->bits) == (1ull << s->bits) - 1);
}
