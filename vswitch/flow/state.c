/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns how connections live: from the flags of their packets to their state. */
#include <assert.h>
#include <netinet/in.h>

#include "vswitch/flow/flow.h"

/* clang-format off */
static const char *const names[] = {
	[FLOW_NEW] = "new",
	[FLOW_REPLIED] = "replied",
	[FLOW_PICKED] = "picked-up",
	[FLOW_ESTABLISHED] = "established",
	[FLOW_CLOSING] = "closing",
	[FLOW_TIME_WAIT] = "time-wait",
	[FLOW_RESET] = "reset",
	[FLOW_CUT] = "cut",
};
/* clang-format on */
static_assert(ARRAY_SIZE(names) == FLOW_N_STATES, "a name for each state");

const char *flow_state_name(enum flow_state s)
{
	return names[s];
}

enum flow_state flow_first_state(uint8_t proto, uint8_t tcp_flags)
{
	if (proto != IPPROTO_TCP)
		return FLOW_NEW;
	if (tcp_flags & FLOW_TCP_RST)
		return FLOW_RESET;
	return (tcp_flags & (FLOW_TCP_SYN | FLOW_TCP_ACK)) == FLOW_TCP_SYN ? FLOW_NEW : FLOW_PICKED;
}

/* Neither FIN nor RST. */
static enum flow_state next_open(enum flow_state s, bool answer, uint8_t tcp_flags)
{
	switch (s) {
	case FLOW_NEW:
		if (!answer)
			return s;
		return (tcp_flags & (FLOW_TCP_SYN | FLOW_TCP_ACK)) == (FLOW_TCP_SYN | FLOW_TCP_ACK)
			       ? FLOW_REPLIED
			       : s;
	case FLOW_REPLIED:
		return !answer && (tcp_flags & FLOW_TCP_ACK) ? FLOW_ESTABLISHED : s;
	case FLOW_PICKED:
		return answer ? FLOW_ESTABLISHED : s;
	case FLOW_ESTABLISHED:
	case FLOW_CLOSING:
	case FLOW_TIME_WAIT:
	case FLOW_RESET:
	case FLOW_CUT:
	case FLOW_N_STATES:
		break;
	}
	return s;
}

void flow_step(struct flow *f, enum policy_dir dir, uint8_t tcp_flags)
{
	enum flow_state s = atomic_load_explicit(&f->state, memory_order_relaxed), to;
	bool answer = (uint8_t)dir != f->origin;

	if (s == FLOW_CUT)
		return;
	if (f->key.proto != IPPROTO_TCP) {
		if (s == FLOW_NEW && answer)
			atomic_store_explicit(&f->state, FLOW_ESTABLISHED, memory_order_relaxed);
		return;
	}
	if (tcp_flags & FLOW_TCP_RST) {
		to = FLOW_RESET;
	} else if (tcp_flags & FLOW_TCP_FIN) {
		uint8_t fin = (uint8_t)(FLOW_FIN_OUT << dir), both = FLOW_FIN_OUT | FLOW_FIN_IN;
		uint8_t flags = atomic_fetch_or(&f->flags, fin) | fin;

		to = s == FLOW_RESET ? s : (flags & both) == both ? FLOW_TIME_WAIT : FLOW_CLOSING;
	} else {
		to = next_open(s, answer, tcp_flags);
	}
	if (to != s)
		atomic_store_explicit(&f->state, to, memory_order_relaxed);
}

bool flow_is_reopened(const struct flow *f, uint8_t tcp_flags)
{
	enum flow_state s = atomic_load_explicit(&f->state, memory_order_relaxed);

	return (s == FLOW_TIME_WAIT || s == FLOW_RESET || s == FLOW_CUT) &&
	       (tcp_flags & (FLOW_TCP_SYN | FLOW_TCP_ACK)) == FLOW_TCP_SYN;
}
