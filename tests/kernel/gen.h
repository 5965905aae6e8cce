/* SPDX-License-Identifier: BSD-2-Clause */
/* Random packets with debts, in the form a kernel takes and in the form a guest's NIC gets. */
#ifndef HVLAB_TESTS_KERNEL_GEN_H
#define HVLAB_TESTS_KERNEL_GEN_H

#include <stdbool.h>
#include <stdint.h>
#include <linux/virtio_net.h>

#include "tests/lib/rng.h"

/* Linux 6.2; the headers of Debian 12 are older. */
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

#define GEN_MAX (66 * 1024)

enum gen_kind { GEN_TCP, GEN_CSUM, GEN_USO };

/**
 * struct gen - One packet
 * @frame:	As it is in truth: lengths right, IPv4 header sum right, L4 sum field empty
 * @flags:	PKT_* for the switch
 * @v6:		and the rest: what was chosen
 */
struct gen {
	uint8_t frame[GEN_MAX];
	uint32_t len, payload_off;
	uint16_t l3, l4, sum_off; /* sum_off: from l4 */
	uint16_t gso_size;
	uint32_t flags;
	bool v6, options, fragment;
	uint8_t proto, n_tags;
	uint8_t src[16], dst[16]; /* of the pseudo header */
};

void gen_packet(struct gen *g, enum gen_kind kind, struct rng *r);
/* The kernel's view: pseudo header sum in the field, and the header that goes with it. */
void gen_for_kernel(const struct gen *g, uint8_t *frame, struct virtio_net_hdr *h);
/* The NIC's view: fields that the device shall fill hold rubbish. */
void gen_for_nic(const struct gen *g, uint8_t *frame, struct rng *r);
/* Bend two payload bytes so that the first frame's L4 sum comes out as zero. */
void gen_make_sum_zero(struct gen *g);
/* RFC 1071 the slow way: 16-bit big-endian words. */
uint16_t gen_sum(const struct gen *g, const uint8_t *l4, uint32_t len);

#endif
