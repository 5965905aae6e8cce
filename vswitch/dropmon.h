/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Dropped packets as they are dropped, for somebody who follows them. Who does not follow pays one
 * predictable branch per drop.
 *
 * A drop is told once, at the port that the reason belongs to: the receiver's, or the sender's when
 * there was none. Of one port, direction and reason VSW_DROPS_PER_S a second are told, the others
 * are counted (@repeated), so that a flood of drops costs the switch a counter each. What finds no
 * room until the control thread has looked is counted as lost.
 *
 * Threads. Following and looking: the control thread. Reporting: any worker.
 */
#ifndef HVLAB_VSWITCH_DROPMON_H
#define HVLAB_VSWITCH_DROPMON_H

#include "base/util.h"
#include "vswitch/policy/policy.h"
#include "vswitch/port.h"

#define VSW_DROPS_PER_S 25
#define VSW_DROPS_RING	512 /* told ones that wait for the control thread */
#define VSW_DROPS_BYTES 128 /* first bytes of a packet */

/**
 * struct vsw_drop_event - One packet that died, or how many more did
 * @time_ns:	CLOCK_REALTIME
 * @port:	where; @dir: on its way out of or into its guest
 * @path:	of that vNIC, when it is known; "" else
 * @from, @to:	sender and receiver; "" when unknown, or none
 * @frames:	that it would have been on the wire
 * @repeated:	of the same port, direction and reason, not told since the one before
 * @known:	@f says what it was; else it could not be parsed
 * @layer, @group, @rule: who denied it; "" for other reasons
 * @gen:	of the port's policy then; 0: no policy had a say
 * @len:	of the packet; 0: only @repeated is told
 */
struct vsw_drop_event {
	uint64_t time_ns;
	char port[VSW_NAME_SIZE], path[VSW_NAME_SIZE], from[VSW_NAME_SIZE], to[VSW_NAME_SIZE];
	enum policy_dir dir;
	enum vsw_drop why;
	uint64_t repeated;
	char layer[POLICY_NAME_MAX], group[POLICY_NAME_MAX], rule[POLICY_NAME_MAX];
	uint32_t gen;
	uint32_t len, frames;
	uint16_t vid;
	bool known;
	struct policy_fields f;
	uint16_t n_bytes;
	uint8_t bytes[VSW_DROPS_BYTES];
};

/* Control thread. 0 (also when it is on) or -ENOMEM. */
int vsw_drops_follow(void);
/* What was not looked at is gone. */
void vsw_drops_unfollow(void);
bool vsw_drops_followed(void);
/* The next one. False: there is none now. */
bool vsw_drops_next(struct vsw_drop_event *ev);
/* How many were lost since it was asked last. */
uint64_t vsw_drops_lost(void);

/* ---- For the switch ------------------------------------------------------------------------- */

struct policy_version;

/* Who denied a packet, when that is why it dies. In the read section it was denied in. */
struct vsw_denier {
	const struct policy_version *v;
	uint32_t rule;
	uint8_t layer, group;
};

struct dropmon;
extern _Atomic(struct dropmon *) vsw_dropmon;

static inline bool dropmon_on(void)
{
	return unlikely(atomic_load_explicit(&vsw_dropmon, memory_order_relaxed) != NULL);
}

/**
 * dropmon_report() - A packet dies
 * @port:	at that port, or at that path of a vNIC
 * @from:	NULL: whoever sends on this thread, see dropmon_sends()
 * @pkt:	parsed, as far as it could be
 * @by:		looked at when @why is a policy's; may be NULL
 */
void dropmon_report(const struct vsw_port *port, enum policy_dir dir, enum vsw_drop why,
		    const struct vsw_port *from, const struct vsw_port *to, const struct pkt *pkt,
		    uint32_t frames, const struct vsw_denier *by);
/* This thread delivers what @from sent. Returns who it was before, to be set again. */
const struct vsw_port *dropmon_sends(const struct vsw_port *from);

#endif
