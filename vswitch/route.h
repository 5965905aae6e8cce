/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A table of prefixes with longest match, bounded, for IPv4 and IPv6 together.
 *
 * Addresses are 16 bytes, IPv4 as ::ffff:a.b.c.d, and a prefix length counts all 128 bits:
 * 10.0.0.0/8 is ::ffff:10.0.0.0/104. An IPv4 address never matches a prefix shorter than 96: the
 * default routes of the two families are ::ffff:0:0/96 and ::/0.
 *
 * Threads. route_lookup(): any, in an RCU read section. Changes: one at a time, outside of one;
 * what they replace is freed after a grace period, which they wait for.
 */
#ifndef HVLAB_VSWITCH_ROUTE_H
#define HVLAB_VSWITCH_ROUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define ROUTE_PREFIX_TEXT 64

/**
 * struct route_prefix
 * @len:	0 to 128; of IPv4 96 to 128
 */
struct route_prefix {
	uint8_t addr[16];
	uint8_t len;
};

static inline bool addr_is_4(const uint8_t addr[16])
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	return !memcmp(addr, mapped, sizeof(mapped));
}

static inline void addr_from_4(uint8_t addr[16], const void *ip4)
{
	memset(addr, 0, 10);
	addr[10] = addr[11] = 0xff;
	memcpy(addr + 12, ip4, 4);
}

/* "10.1.0.0/16", "fd00::/64", an address alone is a host's. -EINVAL, also for bits behind @len. */
int route_prefix_parse(struct route_prefix *p, const char *text);
/* "10.0.0.1", "fd00::1" into 16 bytes. -EINVAL. */
int addr_parse(uint8_t addr[16], const char *text);
/* Returns @out. */
const char *route_prefix_text(const struct route_prefix *p, char out[ROUTE_PREFIX_TEXT]);
const char *addr_text(const uint8_t addr[16], char out[ROUTE_PREFIX_TEXT]);
bool route_prefix_has(const struct route_prefix *p, const uint8_t addr[16]);

struct route_table;

/* @max: prefixes at most. NULL with errno. */
struct route_table *route_table_new(uint32_t max);
void route_table_free(struct route_table *t);
/*
 * @prefix leads to @value (not NULL); replaces, *@old is then what was there, else NULL. 0,
 * -ENOSPC: @max are there, -EINVAL, -ENOMEM.
 */
int route_table_set(struct route_table *t, const struct route_prefix *prefix, void *value,
		    void **old);
/* The value that was there, or NULL. Nobody uses it any more. */
void *route_table_del(struct route_table *t, const struct route_prefix *prefix);
/* Exactly this prefix. Changer's thread. */
void *route_table_get(struct route_table *t, const struct route_prefix *prefix);
/* The longest match, or NULL. */
void *route_lookup(const struct route_table *t, const uint8_t addr[16]);
uint32_t route_table_count(const struct route_table *t);
/* Calls @fn for each, longest prefixes first. Changer's thread. */
void route_table_each(struct route_table *t,
		      void (*fn)(const struct route_prefix *prefix, void *value, void *arg),
		      void *arg);

#endif
