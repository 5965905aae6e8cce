/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What would become of a packet: the way of vsw_send(), walked by the same code, while nothing is
 * sent, learned, counted or remembered. Control thread.
 */
#ifndef HVLAB_VSWITCH_EXPLAIN_H
#define HVLAB_VSWITCH_EXPLAIN_H

#include <stddef.h>

#include "vswitch/vswitch.h"

/**
 * struct vsw_explain_step - One group of rules that was asked
 * @group, @rule:	"" with @reply
 * @matched:	false: none of the group's rules did
 * @reply:	the layer lets it pass because it let the connection's first packet in; no group of
 *		it was asked
 * @decides:	its rule has the last word (also when that is a denial)
 */
struct vsw_explain_step {
	const char *layer, *group, *rule;
	bool matched, reply, decides;
};

enum vsw_explain_conn {
	VSW_CONN_NONE,	/* it belongs to no connection: the rules are asked for each packet */
	VSW_CONN_FIRST, /* it would be the first of one */
	VSW_CONN_KNOWN, /* of one that exists */
	VSW_CONN_ERROR, /* an ICMP error about one that exists: it passes */
	VSW_N_CONNS
};
const char *vsw_explain_conn_name(enum vsw_explain_conn conn);

/**
 * struct vsw_explain_stop - One port that has a say
 * @dir:	out of, or into, its guest
 * @policy:	it has one. Without, of what follows only @why, @before and @after mean something
 * @why:	VSW_DROP_NONE: it passes here
 * @flow:	with VSW_CONN_KNOWN and VSW_CONN_ERROR
 * @steps:	@n_steps. Of a known connection: what would be asked, were it not there
 * @before, @after: the packet, when it came and when it had passed
 * @xpose:	what is changed; flags 0: nothing. vsw_xpose_words() says it in words
 * @meters:	names; @n_limits: bandwidth limits, which are not asked here
 */
struct vsw_explain_stop {
	char port[VSW_NAME_SIZE];
	enum policy_dir dir;
	bool policy;
	uint32_t gen;
	enum vsw_drop why;
	enum vsw_explain_conn conn;
	struct vsw_flow_info flow;
	unsigned int n_steps;
	struct vsw_explain_step *steps;
	struct policy_fields before, after;
	struct vsw_xpose xpose;
	unsigned int n_limits, n_meters;
	const char *meters[POLICY_MAX_LIMITS];
	uint32_t mirror, mark;
};

enum vsw_explain_way {
	VSW_WAY_NOWHERE, /* dropped before there was a receiver */
	VSW_WAY_PORT,	 /* to one port */
	VSW_WAY_FLOOD,	 /* to all others: a group, or an address that nobody is known to have */
	VSW_N_WAYS
};
const char *vsw_explain_way_name(enum vsw_explain_way way);

/**
 * struct vsw_explain - The whole way
 * @why:	VSW_DROP_NONE: it arrives, at one port at least; else why it does not
 * @at:		the port where it is dropped
 * @out:	the sender's stop; @has_out false: there was no sender, or it did not get so far
 * @in:		@n_in stops of receivers: one, or those of a flood
 *
 * Texts in it live until a policy changes: use it before the event loop runs again.
 */
struct vsw_explain {
	enum vsw_drop why;
	char at[VSW_NAME_SIZE];
	bool has_out;
	struct vsw_explain_stop out;
	enum vsw_explain_way way;
	unsigned int n_in;
	struct vsw_explain_stop *in;
};

/**
 * vsw_explain() - What would become of a packet
 * @from:	who sends it: attached, or a path of a vNIC that is. NULL: it comes from outside the
 *		lab, to @to
 * @to:		NULL: where its address leads. Else only this port's stop is asked, whatever the
 *		address; attached
 * @pkt:	as its sender would give it; parsed here, otherwise not changed
 *
 * Return: 0 with @e to be freed by vsw_explain_fini(); -EINVAL: neither port is given; -ENOMEM.
 */
int vsw_explain(struct vsw_port *from, struct vsw_port *to, struct pkt *pkt, struct vsw_explain *e);
void vsw_explain_fini(struct vsw_explain *e);

/* "source becomes 192.0.2.1:1024, TTL less 1"; "" for no change. Returns @buf. */
const char *vsw_xpose_words(const struct vsw_xpose *x, char *buf, size_t size);

#endif
