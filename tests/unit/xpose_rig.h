/* SPDX-License-Identifier: BSD-2-Clause */
/* What tests of transpositions share: addresses, and frames as they come out. */
#ifndef HVLAB_TESTS_UNIT_XPOSE_RIG_H
#define HVLAB_TESTS_UNIT_XPOSE_RIG_H

#include "vsw_fixture.h"
#include "vswitch/icmp.h"
#include "vswitch/xpose.h"

/* ::ffff:a.b.c.d; @addr in host order. */
void ip4(uint8_t to[16], uint32_t addr);
/* All debts paid, one frame. */
void flatten(struct pkt *p, struct frame *to);
void assert_sums(const struct frame *fr);
/*
 * The error that a router sends about the frame, parsed into @in, which points into static memory.
 * @from: the router's address, or NULL.
 */
void error_about(struct frame *about, enum icmp_error_kind kind, const uint8_t *from,
		 struct pkt *in);

#endif
