/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Storm limit of a port: so many frames a second of broadcast, multicast and unknown unicast, all
 * together. As Hyper-V has it: beyond the limit they are dropped until that one-second interval is
 * over. Any thread.
 */
#ifndef HVLAB_VSWITCH_STORM_H
#define HVLAB_VSWITCH_STORM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/**
 * struct storm
 * @pps:	frames a second; 0: no limit
 * @state:	number of the interval in the upper half, frames of it in the lower
 */
struct storm {
	uint32_t pps;
	_Atomic uint64_t state;
};

/* May @frames more go? Then they are counted; a packet that is cut goes whole or not at all. */
bool storm_take(struct storm *s, uint32_t frames, uint64_t now_ns);
/* They did not go after all. */
void storm_give(struct storm *s, uint32_t frames, uint64_t now_ns);

#endif
