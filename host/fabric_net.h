/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the fabric knows, as entries of ports: of each vxlan network which host a MAC is behind and
 * where floods go, of each routed network a route to each other host's part.
 *
 *	fabric_net_new()	sockets and ports, attached to the lab's networks
 *	fabric_net_apply()	after every change of the model: what differs is set and deleted
 *
 * What does not fit (a route table that is full) is told by FABRIC_ROUTES and in the status, and
 * the rest works. Control thread.
 */
#ifndef HVLAB_HOST_FABRIC_NET_H
#define HVLAB_HOST_FABRIC_NET_H

#include <jansson.h>
#include <stddef.h>

#include "base/worker.h"
#include "host/fabric.h"
#include "vswitch/vswitch.h"

struct fabric_net;

/**
 * struct fabric_net_conf
 * @lab:	with a chosen host; borrowed until fabric_net_free(), as are the networks
 * @nets:	of the switch, as lab.nets
 * @pick:	the worker for the next port
 * @event:	as fabric_conf's
 */
struct fabric_net_conf {
	const struct lab *lab;
	struct event_base *base;
	struct vsw *vsw;
	struct vsw_net **nets;
	struct worker *(*pick)(void *arg);
	void (*event)(void *arg, const char *name, json_t *data);
	void *arg;
};

/* NULL: @why says what is in the way, and @hint (may be NULL) what to do. errno is set. */
struct fabric_net *fabric_net_new(const struct fabric_net_conf *conf, char *why, size_t why_size,
				  const char **hint);
/* Detaches the ports. Before the networks go. NULL is fine. */
void fabric_net_free(struct fabric_net *fn);
void fabric_net_apply(struct fabric_net *fn, const struct fabric *f);
/* {"networks": [...], "tunnel": {...}}, for query-fabric; a new reference. */
json_t *fabric_net_json(const struct fabric_net *fn);

#endif
