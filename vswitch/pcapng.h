/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Blocks of a pcapng file (draft-ietf-opsawg-pcapng), in this host's byte order as the format
 * wants it. Each function writes one whole block at @out and returns its bytes, a multiple of 4.
 */
#ifndef HVLAB_VSWITCH_PCAPNG_H
#define HVLAB_VSWITCH_PCAPNG_H

#include <stddef.h>
#include <stdint.h>

#define PCAPNG_IN  1u /* epb_flags, direction */
#define PCAPNG_OUT 2u

/* Room that is enough for any block but a packet, and for a packet around its bytes. */
#define PCAPNG_ROOM 512

size_t pcapng_section(uint8_t *out, const char *application);
/* Ethernet, nanoseconds. @name is cut at 100 bytes. */
size_t pcapng_interface(uint8_t *out, const char *name, uint32_t snaplen);
/*
 * The packet's @cap_len bytes are at @out + PCAPNG_DATA already, with room for PCAPNG_ROOM bytes
 * in all around them. @comment may be NULL; cut at 200 bytes.
 */
#define PCAPNG_DATA 28
size_t pcapng_packet(uint8_t *out, uint64_t time_ns, uint32_t cap_len, uint32_t len,
		     uint32_t direction, const char *comment);
/* A packet that was written as of interface 0 is of this one: interfaces count as they come. */
void pcapng_packet_interface(uint8_t *block, uint32_t number);
/* Of all packets. @received: packets seen; @dropped: of these not in the file. Times in ns since 1970. */
size_t pcapng_statistics(uint8_t *out, uint64_t start_ns, uint64_t now_ns, uint64_t received,
			 uint64_t dropped);

#endif
