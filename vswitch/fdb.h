/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The forwarding database of one network: which port an address lives behind.
 *
 * Two kinds of entry. Fixed: a port's own address, on every VLAN; wins always, and is not
 * learned away. Learned: address and VLAN id seen as a source; forgotten after the ageing time.
 *
 * Threads. fdb_lookup() and the usual case of fdb_learn() take no lock; callers are in an RCU
 * read section. Changes are made under one lock, by any thread. Addresses are 48 bits in host
 * order, see fdb_mac(). Times are milliseconds of any clock that does not run backwards; the
 * caller brings them.
 */
#ifndef HVLAB_VSWITCH_FDB_H
#define HVLAB_VSWITCH_FDB_H

#include <stdint.h>

#include "vswitch/port.h"
#include "vswitch/vswitch.h"

struct fdb;

static inline uint64_t fdb_mac(const uint8_t mac[6])
{
	return (uint64_t)mac[0] << 40 | (uint64_t)mac[1] << 32 | (uint64_t)mac[2] << 24 |
	       (uint64_t)mac[3] << 16 | (uint64_t)mac[4] << 8 | mac[5];
}

/* NULL with errno. */
struct fdb *fdb_new(uint32_t max, uint32_t max_per_port, uint32_t ageing_ms);
/* No reader and no port is left. */
void fdb_free(struct fdb *fdb);

/*
 * The port, or NULL. @now_ms is asked for only when a learned entry is met: a burst for fixed
 * addresses reads no clock. It keeps the time in *@now (0: not read yet).
 */
struct vsw_port *fdb_lookup(struct fdb *fdb, uint64_t mac, uint16_t vid, uint64_t *now,
			    uint64_t (*now_ms)(void));
/* @mac was seen as a source on @port. True when it is known there (now). */
bool fdb_learn(struct fdb *fdb, uint64_t mac, uint16_t vid, struct vsw_port *port, uint64_t now);

/* -EEXIST: another port has it. Learned entries of that address go. */
int fdb_add_fixed(struct fdb *fdb, uint64_t mac, struct vsw_port *port);
/*
 * All entries of @port leave the table. The memory of what any call removed is freed by
 * fdb_reap(), after a grace period of the caller's.
 */
void fdb_forget_port(struct fdb *fdb, struct vsw_port *port);
void fdb_reap(struct fdb *fdb);

size_t fdb_list(struct fdb *fdb, uint64_t now, struct vsw_fdb_entry *out, size_t max);
/* Entries, expired but not yet removed ones too. */
uint32_t fdb_count(struct fdb *fdb);

#endif
