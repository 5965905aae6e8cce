/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A vPort's flow table: what the adapter sends by itself, without the switch's rules (the hardware
 * half of vswitch/fastpath.h; AccelNet's GFT). Owner.
 *
 * The guest's driver knows nothing of it. Azure's adapter has one; it is not part of what the
 * driver sees (Linux drivers/net/ethernet/microsoft/mana has no word of it).
 */
#ifndef HVLAB_EMULATOR_MANA_FLOWTAB_H
#define HVLAB_EMULATOR_MANA_FLOWTAB_H

#include "vswitch/fastpath.h"

#define FLOWTAB_MAX (1u << 20)

struct flowtab_stats {
	uint32_t n, max;
	uint64_t hits, exceptions; /* packets while the table was not off */
	uint64_t added, removed;
	uint64_t refused; /* offers that found the table full */
};

struct flowtab {
	struct vsw_port *port;
	struct flowtab_entry *entry;
	uint32_t *head; /* by hash: 1 + entry; 0: none */
	uint32_t mask;	/* of @head */
	uint32_t free;	/* 1 + entry */
	uint32_t hand;	/* the next one to be looked at */
	uint32_t changes;
	struct flowtab_stats stats; /* max 0: off */
};

/* @max 0: off. 0, or -ENOMEM, and then it is as before. Entries are forgotten in any case but that.
 */
int flowtab_resize(struct flowtab *t, struct vsw_port *port, uint32_t max);
void flowtab_clear(struct flowtab *t);
/* vsw_port_ops.program */
void flowtab_add(struct flowtab *t, const struct vsw_fast_key *key, uint32_t hash,
		 const struct vsw_fast *fast);
/* As vsw_send(): by itself what it can. */
unsigned int flowtab_send(struct flowtab *t, struct pkt **pkts, unsigned int n);
/* Entries that are of no use any more go. */
void flowtab_sweep(struct flowtab *t);

#endif
