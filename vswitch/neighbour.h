/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Frames by which addresses are asked for and told: ARP (RFC 826) and neighbour discovery (RFC
 * 4861). Whole frames without tags, sums filled in. Any thread.
 */
#ifndef HVLAB_VSWITCH_NEIGHBOUR_H
#define HVLAB_VSWITCH_NEIGHBOUR_H

#include <stdbool.h>
#include <stdint.h>

struct pkt;

#define NEIGH_ETH	   14
#define NEIGH_ARP_SIZE	   (NEIGH_ETH + 28)
#define NEIGH_ND_SIZE	   (NEIGH_ETH + 40 + 32) /* solicitation or advertisement, with one option */
#define NEIGH_ARP_REQUEST  1
#define NEIGH_ARP_REPLY	   2
#define NEIGH_NA_ROUTER	   0x80
#define NEIGH_NA_SOLICITED 0x40
#define NEIGH_NA_OVERRIDE  0x20

/* All of it but the destination address. @spa, @tpa: 4 bytes. */
void neigh_put_arp(uint8_t *frame, const uint8_t mac[6], uint16_t op, const uint8_t *spa,
		   const uint8_t tha[6], const uint8_t *tpa);
/* Asks @group (solicited-node, or who is asked again) for @target. */
void neigh_put_solicit(uint8_t *frame, const uint8_t dmac[6], const uint8_t mac[6],
		       const uint8_t src[16], const uint8_t group[16], const uint8_t target[16]);
/*
 * Tells @asker, a source address, that @mac has @target; all nodes when it is the unspecified one.
 * @flags: NEIGH_NA_* but SOLICITED, which follows from the asker.
 */
void neigh_put_advert(uint8_t *frame, const uint8_t dmac[6], const uint8_t mac[6],
		      const uint8_t asker[16], const uint8_t target[16], uint8_t flags);

/*
 * Is @pkt (parsed, untagged in its bytes) a question for the address of *@target (IPv4 as
 * ::ffff:a.b.c.d), and not one whether that address is free?
 */
bool neigh_is_question(const struct pkt *pkt, uint8_t target[16]);
/* The answer to such a question, into @frame of NEIGH_ND_SIZE bytes; its length. */
uint32_t neigh_answer(const struct pkt *question, const uint8_t mac[6], uint8_t *frame);

#endif
