/* SPDX-License-Identifier: BSD-2-Clause */
/* A packet in words as bytes: for asking the switch about it. */
#ifndef HVLAB_HOST_NSG_FRAME_H
#define HVLAB_HOST_NSG_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "host/nsg_packet.h"

#define NSG_FRAME_MAX 128

/*
 * A frame with the headers that the words say, checksums left out: the first packet of a connection
 * for TCP (SYN). Returns its length.
 */
size_t nsg_frame(const struct nsg_packet *p, uint8_t frame[NSG_FRAME_MAX]);

#endif
