/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Between send.c, which owns the way of a burst, and send_special.c, which owns what ports with a
 * policy add to it.
 */
#ifndef HVLAB_VSWITCH_SEND_INTERNAL_H
#define HVLAB_VSWITCH_SEND_INTERNAL_H

#include "base/util.h"
#include "base/wire.h"
#include "vswitch/dropmon.h"
#include "vswitch/judge.h"
#include "vswitch/switch_internal.h"

#define TYPE_VLAN   0x8100
#define TYPE_8021AD 0x88a8
#define VID_MASK    0x0fff

enum verdict { UNICAST, FLOOD, DROP };

/* A run: pkts[first, first + n), all with this verdict. */
struct run {
	enum verdict verdict;
	enum vsw_drop why;
	struct vsw_port *to;
	unsigned int first, n;
};

struct special;

/**
 * struct send_watch - Somebody wants to know a packet's way, and nothing is to happen: explain.c
 * @trace:	of the next stop
 * @stopped:	@j has been judged: @why, and @out is what became of @in. Lasts no longer
 * @arrives:	it would be given to @to; or, of a flood, dropped there
 */
struct send_watch {
	struct policy_trace trace;
	void (*stopped)(struct send_watch *w, const struct judging *j, enum vsw_drop why,
			const struct pkt *in, const struct pkt *out);
	void (*arrives)(struct send_watch *w, struct vsw_port *to, enum vsw_drop why,
			struct pkt *pkt);
};

/**
 * struct burst - What one vsw_send() is about
 * @from:	the sender; of a path its vNIC's port, and @path is the port that sent. Else NULL
 * @pkts:	as they go on; @sent: as the sender gave them. The same but where a policy changes
 * one
 * @special:	NULL: no port of the network has a policy or features
 * @watch:	NULL but for a packet that is only explained
 */
struct burst {
	struct vsw_port *from;
	struct vsw_port *path;
	struct vsw_net *net;
	struct capture *capture;
	struct pkt **pkts, **sent;
	struct special *special;
	struct send_watch *watch;
	uint64_t own, now;	     /* sender's address; clock, when it was read */
	uint64_t last_mac, last_src; /* of the packet before: destination, source */
	uint32_t last_vid;
	struct run last;
	uint64_t packets, bytes, gso; /* consumed */
};

/* Tagged beside or inside the frame; a priority tag is VLAN 0, like none. */
static inline uint32_t send_vlan_id(const struct pkt *pkt)
{
	uint16_t type;

	if (unlikely(pkt->flags & PKT_VLAN))
		return pkt->vlan_tci & VID_MASK;
	type = be16_load(pkt->hdr + 12);
	if (unlikely(type == TYPE_VLAN || type == TYPE_8021AD) && pkt->hdr_len >= 16)
		return be16_load(pkt->hdr + 14) & VID_MASK;
	return 0;
}

static inline void run_drop(struct run *r, enum vsw_drop why, struct vsw_port *to)
{
	r->verdict = DROP;
	r->why = why;
	r->to = to;
}

/* Does a packet with @next belong to @run? */
static inline bool run_goes_on(const struct run *run, const struct run *next)
{
	return next->verdict == run->verdict && next->to == run->to && next->why == run->why;
}

/* send.c. Hand a run over. False: it could not be finished; @r then says what is left. */
bool send_run_end(struct burst *b, struct run *r);
/* Where @pkt goes, whose addresses are known under VLAN @vid; learns its source. */
void send_find_way(struct burst *b, const struct pkt *pkt, uint32_t vid, struct run *r);
/* Copies of a flood to one port, which nobody waits for. */
void send_flood_to(struct vsw_port *to, struct pkt **pkts, unsigned int n);
/* vsw_port_drop() of a packet that @by denied; NULL: nobody did. */
void send_drop_at(struct vsw_port *port, const struct pkt *pkt, enum vsw_drop why,
		  const struct vsw_denier *by);

#define SPECIAL_CHUNK 64 /* more on their way at once than 32; what a vhost port sends in one */

/* One packet's stops. */
struct stop {
	struct flow *flow;
	const struct flow_half *half;
};

struct visitor {
	struct flow_key key; /* as the sender's port sees it */
	struct flow *guess;  /* its record in the table that is asked next, most likely */
	uint32_t hash;
	bool has_key;
	uint16_t vid, fdb_vid; /* its VLAN, and the one its addresses are known under */
	bool storm;	       /* counted by the sender's storm limit */
	bool to_mirrors;       /* a rule wants copies, or a mirror's source got it of a flood */
	uint64_t packets, bytes; /* on the wire */
	struct run way;
	struct port_policy *to_pp; /* with @to_v: of the one receiver; NULL: none */
	const struct policy_version *to_v;
	struct stop stop[POLICY_N_DIRS];
	struct vsw_denier denied;
};

/**
 * struct special - What a burst needs beyond struct burst
 * @v:		of the sender's policy; NULL: it has none
 * @features:	of the sender's port, or NULL
 * @program:	the port that sent, when its NIC has a flow table (fastpath.h), else NULL
 */
struct special {
	unsigned int epoch;
	struct port_policy *pp;
	const struct policy_version *v;
	struct port_features *features;
	struct vsw_port *program;
	uint64_t now_ns;
	uint32_t now_ms;
	struct pkt *view[SPECIAL_CHUNK];
	struct visitor at[SPECIAL_CHUNK];
};

/* What was on the caller's stack is no more. */
static inline void special_end(struct burst *b)
{
	b->special = NULL;
	b->pkts = b->sent = NULL;
}

/* send_special.c. A whole burst; returns packets consumed. */
unsigned int special_burst(struct burst *b, unsigned int n);
/* Packet @i of the burst is through. */
void special_consumed(struct burst *b, unsigned int i, enum vsw_drop why);
/* As send_flood_to(), by what the port wants. */
void special_flood(struct burst *b, struct vsw_port *to, struct pkt **pkts, unsigned int n);
/* Who denied packet @i of the burst. */
const struct vsw_denier *special_denier(const struct burst *b, unsigned int i);
/*
 * The way of one packet, told to @b->watch and not gone: *@way says where it would go. @to: it is
 * about to be given to that port; NULL: it comes from the sender. Where no port has a policy other
 * packets do not come here, and get to the same end.
 */
void special_watch(struct burst *b, struct vsw_port *to, struct pkt *pkt, struct run *way);

/*
 * The first @n packets of b->special, judged, are handed over in runs. Returns how many were
 * consumed; what the others have paid is theirs again.
 */
unsigned int special_hand_over(struct burst *b, unsigned int n);
/* A packet to be changed; NULL: there is no room. Until special_leave(). */
struct pkt *special_scratch(void);
unsigned int special_enter(void);
void special_leave(unsigned int mark);
/* False: over a limit. Charges all of @h's limits, or none. */
bool special_pay(const struct flow_half *h, uint64_t bytes, uint64_t now_ns);
void special_pay_back(const struct flow_half *h, uint64_t bytes);

/* send.c. What was consumed is counted as sent by @port. */
void send_count(const struct burst *b, struct vsw_port *port);

/* fastpath.c. Packet @i is through: its flow may be one for the sender's NIC. */
void fast_offer(struct burst *b, unsigned int i);

#endif
