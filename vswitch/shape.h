/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bandwidth of what guests send: a maximum for a port, and a network's bandwidth that its ports
 * share. Pure: the caller brings the time (now_ns()); each call takes short locks of its own.
 *
 * Bytes are pkt_wire_bytes(): frames as they are after segmentation, with Ethernet header and VLAN
 * tags, without preamble, FCS and gap. A Mbit/s is 125000 of them a second.
 *
 * Nothing is dropped here. A queue whose first packet is refused is told when to come again and
 * keeps that packet where it is; queues of one port are served in the order in which they came.
 *
 * A packet goes when everybody over it has tokens: the path that it leaves by (the VF's bandwidth
 * clamp), the vNIC's maximum, and the vNIC's share of its network. It may be larger than what is
 * there; the debt is paid before the next.
 *
 * Shares. Of what a network earns each port first gets its absolute minimum, and the rest is
 * divided by weight. A port takes tokens until it has enough of them: what one does not use goes to
 * those who want more, again by weight (as the rate of a class and the borrowing of Linux'
 * tc-htb(8), and Hyper-V's minimum bandwidth). A network without a bandwidth has no shares.
 */
#ifndef HVLAB_VSWITCH_SHAPE_H
#define HVLAB_VSWITCH_SHAPE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "vswitch/bucket.h"
#include "vswitch/packet.h"

#define SHAPE_MAX_MBPS	 4000000u
#define SHAPE_MAX_WEIGHT 100u

/**
 * struct shape_conf
 * @max_mbps:	0: no limit
 * @min_mbps:	of the network's bandwidth; without effect in a network that has none
 * @min_weight:	1..SHAPE_MAX_WEIGHT, share in the rest of it; 0: 1
 */
struct shape_conf {
	uint32_t max_mbps, min_mbps, min_weight;
};

struct shape_net;

/* Queues that wait, by number: next_ticket - serving of them. */
struct shape_line {
	uint32_t next, serving;
	uint64_t seen_ns; /* when the one whose turn it is was here last */
};

struct shape {
	pthread_mutex_t lock; /* of this block; before the network's */
	struct shape_conf conf;
	struct bucket max;
	struct shape_line line;
	struct shape_net *net; /* NULL: in none */
	/* under net->lock */
	TAILQ_ENTRY(shape) link;
	int64_t balance;
	uint64_t min_rate; /* bytes a second */
	uint32_t weight;
	bool hungry; /* queues wait for tokens */
};

struct shape_net {
	pthread_mutex_t lock;
	struct bucket clock; /* its rate; tokens: earned and not given to anybody yet */
	TAILQ_HEAD(shape_list, shape) members;
};

void shape_init(struct shape *s);
/* The queues that wait stand in line anew. */
void shape_set(struct shape *s, const struct shape_conf *conf, uint64_t now);
struct shape_conf shape_get(struct shape *s);
/* Has it a maximum, or a share of something? */
bool shape_is_limited(struct shape *s);

void shape_net_init(struct shape_net *net);
void shape_net_fini(struct shape_net *net); /* no members */
/* 0: no limit. */
void shape_net_set(struct shape_net *net, uint32_t mbps, uint64_t now);
uint32_t shape_net_get(struct shape_net *net);
void shape_join(struct shape_net *net, struct shape *s);
void shape_leave(struct shape *s);

/**
 * shape_admit() - How many of a queue's packets may go now
 * @path:	of the path they leave by, or NULL
 * @own:	of the port they leave in the name of
 * @waits:	the queue can wait: with 0 pkts[0]->delay is filled in, it keeps that for the packet
 *		and offers it again at delay.until. False: it stands in no line
 *
 * A packet that has begun (seg_done), or is exempt, goes at once.
 */
unsigned int shape_admit(struct shape *path, struct shape *own, struct pkt **pkts, unsigned int n,
			 bool waits, uint64_t now);
/* What was sent of it. */
void shape_charge(struct shape *path, struct shape *own, uint64_t bytes);

#endif
