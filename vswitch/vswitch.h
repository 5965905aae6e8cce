/* SPDX-License-Identifier: BSD-2-Clause */
/* The switch as the host sees it: networks, attaching ports, look-ups, captures. Control thread. */
#ifndef HVLAB_VSWITCH_VSWITCH_H
#define HVLAB_VSWITCH_VSWITCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vswitch/policy/policy.h"
#include "vswitch/port.h"

struct vsw;

struct vsw *vsw_new(void);
/* All networks must be gone. */
void vsw_free(struct vsw *vsw);

struct vsw_net_conf {
	const char *name;
	uint32_t mtu;		    /* 0: 1500 */
	uint32_t ageing_ms;	    /* learned addresses; 0: 300000 */
	uint32_t max_macs;	    /* size of the FDB; 0: 4096 */
	uint32_t max_macs_per_port; /* 0: 256: a guest cannot fill the table for others */
};

/* NULL with errno: EEXIST, EINVAL, ENOMEM. */
struct vsw_net *vsw_net_add(struct vsw *vsw, const struct vsw_net_conf *conf);
/* 0, -EBUSY while ports are attached. */
int vsw_net_del(struct vsw_net *net);
struct vsw_net *vsw_net_find(struct vsw *vsw, const char *name);
const char *vsw_net_name(const struct vsw_net *net);
uint32_t vsw_net_mtu(const struct vsw_net *net);
/*
 * The bandwidth that its vNICs share (shape.h), Mbit/s; 0: no limit. At run time too. What other
 * ports send (uplinks, services, tunnels) has no part in it.
 */
void vsw_net_rate_set(struct vsw_net *net, uint32_t mbps);
uint32_t vsw_net_rate(struct vsw_net *net);

/* The port's fixed address goes into the FDB. -EEXIST: that address is there already. */
int vsw_port_attach(struct vsw_net *net, struct vsw_port *port);
/* After this returned no delivery into the port is under way or will come. Not on a worker that
 * is inside vsw_send(). */
void vsw_port_detach(struct vsw_port *port);

struct vsw_fdb_entry {
	uint8_t mac[6];
	uint16_t vid;
	char port[VSW_NAME_SIZE];
	bool fixed;
	uint64_t age_ms; /* since last seen */
};
/* Up to @max entries; returns how many there are. */
size_t vsw_net_fdb(struct vsw_net *net, struct vsw_fdb_entry *out, size_t max);

/**
 * vsw_capture_start() - pcapng of a port, written to @fd
 * @port:	attached to a network, or a path of a vNIC that is: then what its guest sends and
 *		receives there. One each at a time
 * @fd:		Pipe, file or socket; taken. A slow reader loses packets (counted in the
 *		interface statistics block), never slows the switch.
 * @snaplen:	bytes per packet, 0: 262144
 *
 * Frames as the wire would carry them: debts paid, dropped ones with a comment that says why.
 * Both directions, told apart by the flags option. Of a vNIC each path is an interface of its own
 * in the file. One of a path goes by its name: it lives until it is stopped or the vNIC is detached,
 * also when the path is replaced by another one of that name.
 * Return: 0, -EBUSY, -ENOTCONN, -errno.
 */
int vsw_capture_start(struct vsw_port *port, int fd, uint32_t snaplen);
/* Stops, flushes, closes. @port: as above, or another path of that name. */
void vsw_capture_stop(struct vsw_port *port);
bool vsw_capture_active(struct vsw_port *port);

/* ---- Policy: port_policy.c ------------------------------------------------------------------ */

/**
 * struct vsw_policy_change - One port's new policy
 * @port:	attached; a vNIC's own port, or a plain one; never a path
 * @policy:	NULL: none. The port takes a reference of its own
 */
struct vsw_policy_change {
	struct vsw_port *port;
	struct policy *policy;
};

/**
 * vsw_policy_publish() - Give ports their policies, all at one moment
 * @flush:	connections that the new policy would not have let in are cut with their next packet;
 *		else they stay
 *
 * A burst is judged by what was in force when it began, at all its ports: no packet sees half of it.
 * Waits for bursts under way. Control thread.
 * Return: 0; -ENOMEM, -EINVAL (a path, or not attached): then nothing has changed.
 */
int vsw_policy_publish(const struct vsw_policy_change *changes, unsigned int n, bool flush);
/* One port's. */
int vsw_port_set_policy(struct vsw_port *port, struct policy *policy, bool flush);
/* The policy in force, borrowed until the next change; NULL: none. */
struct policy *vsw_port_policy(const struct vsw_port *port);

struct vsw_flow_conf {
	uint32_t max; /* connections of one port; 0: 131072 */
	uint32_t embryonic_ms, established_ms, time_wait_ms, reset_ms, other_ms; /* 0: the default */
};
/* Of ports that get their first policy after it. Control thread. */
void vsw_flow_configure(const struct vsw_flow_conf *conf);

/* To be called each VSW_TICK_MS by the control thread: expiry of connections. */
#define VSW_TICK_MS 250
void vsw_tick(struct vsw *vsw);

struct vsw_flow_stats {
	uint32_t n, max;
	uint64_t made, expired, cut;
	uint64_t full, full_share; /* packets without room; of these: for their sender's share */
	uint64_t denied[POLICY_N_DIRS];
	uint64_t resimulated, kept; /* judged anew; of these: kept though denied */
};
/* False: the port never had a policy. */
bool vsw_port_flow_stats(const struct vsw_port *port, struct vsw_flow_stats *s);

/**
 * struct vsw_flow_info - One connection, as its port sees it
 * @outside_ip, @outside_port: the guest's address as the network sees it, when @translated
 * @rule:	layer/group/rule that let it in; "" when a policy has come since
 */
struct vsw_flow_info {
	uint8_t proto;
	uint16_t vid;
	uint8_t local[16], remote[16], outside[16];
	uint16_t lport, rport, outside_port;
	bool translated, offloaded, kept, stale;
	enum policy_dir origin;
	const char *state;
	uint64_t packets[POLICY_N_DIRS], bytes[POLICY_N_DIRS];
	uint64_t age_ms, idle_ms, expires_ms;
	uint32_t mark;
	const char *layer, *group, *rule; /* "": no rule, or one of a policy before */
};
/* Each connection; @fn must be short and gets texts that live no longer. False ends it. */
void vsw_port_flows(struct vsw_port *port, bool (*fn)(void *arg, const struct vsw_flow_info *f),
		    void *arg);
/* Ends those that @fn picks: their next packet is judged as a first one. Returns how many. */
size_t vsw_port_flows_cut(struct vsw_port *port,
			  bool (*fn)(void *arg, const struct vsw_flow_info *f), void *arg);
/*
 * The same a piece at a time, for tables of a million: @max records are looked at, from number *@at
 * (0: the first) on; *@at is then where to go on. True: there is more. Records that come meanwhile
 * may be met or not; one that stays is met once. *@n grows by those that were ended.
 */
bool vsw_port_flows_some(struct vsw_port *port, uint32_t *at, uint32_t max,
			 bool (*fn)(void *arg, const struct vsw_flow_info *f), void *arg);
bool vsw_port_flows_cut_some(struct vsw_port *port, uint32_t *at, uint32_t max,
			     bool (*fn)(void *arg, const struct vsw_flow_info *f), void *arg,
			     size_t *n);

#endif
