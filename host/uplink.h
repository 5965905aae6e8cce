/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The uplink of an internal or external network: a port of the switch on an interface of this
 * host, made anew when the interface comes back. docs/network.md.
 *
 *	uplink_start() --> UP <--> DOWN		as the interface's link is
 *	                    \-------\--> GONE	deleted, renamed, moved away
 *	                                  \--> UP ...	when it is there again; a TAP is made again
 *	                                   \--> FAILED	it is there and cannot be opened; tried
 *again
 *
 * A network without its uplink goes on: its guests reach each other.
 *
 * Control thread.
 */
#ifndef HVLAB_HOST_UPLINK_H
#define HVLAB_HOST_UPLINK_H

#include <event2/event.h>
#include <jansson.h>

#include "base/worker.h"
#include "host/lab.h"
#include "vswitch/vswitch.h"

struct uplink;

enum uplink_state { UPLINK_UP, UPLINK_DOWN, UPLINK_GONE, UPLINK_FAILED, UPLINK_N_STATES };
const char *uplink_state_name(enum uplink_state s);

/**
 * struct uplink_conf - All borrowed until uplink_stop()
 * @lab, @net:	the network, which is internal or external
 * @port_net:	the switch's network that the port is attached to
 * @worker:	serves the port
 * @event:	UPLINK_STATE, see docs/protocol.md; @data is stolen. Never within uplink_start()
 *		or uplink_stop()
 */
struct uplink_conf {
	const struct lab *lab;
	const struct lab_net *net;
	struct event_base *base;
	struct vsw_net *port_net;
	struct worker *worker;
	void (*event)(void *arg, const char *name, json_t *data);
	void *arg;
};

/*
 * The interface must be there, or with a TAP it must be possible to make it; later it may go and
 * come. NULL with errno and, in @why, what is wrong and what to do about it.
 */
struct uplink *uplink_start(const struct uplink_conf *conf, char *why, size_t size);
/* NULL is fine. A TAP goes. */
void uplink_stop(struct uplink *up);

enum uplink_state uplink_state(const struct uplink *up);
/* The port; NULL while there is none. */
struct vsw_port *uplink_port(const struct uplink *up);
/* For query-status and stats; new references. @up NULL: null. */
json_t *uplink_json(const struct uplink *up);
json_t *uplink_stats_json(struct uplink *up);

#endif
