/* SPDX-License-Identifier: BSD-2-Clause */
/* The headers of the segments that a large packet is cut into. Called by offload.c alone. */
#ifndef HVLAB_VSWITCH_GSO_H
#define HVLAB_VSWITCH_GSO_H

#include "vswitch/offload.h"

/**
 * gso_headers() - Make a copy of the packet's headers those of one segment
 * @f:		hdr, hdr_len, l3, l4, l3_off, l4_off and payload_len set; changed: lengths, IP
 *		id, sequence number and TCP flags. Checksums are left to the caller.
 * @seg:	Which segment, of @n_segs
 * @gso_size:	Payload of each but the last
 */
void gso_headers(struct vsw_frame *f, uint32_t seg, uint32_t n_segs, uint32_t gso_size);
/* The length fields only: for a packet that goes uncut, whose sender left them open. */
void gso_lengths(struct vsw_frame *f);

#endif
