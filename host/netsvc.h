/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The services of one network: DHCPv4, DHCPv6, router advertisements and DNS names of the guests,
 * by dnsmasq behind a TAP port. docs/network.md.
 *
 *	netsvc_start() --> STARTING --> RUNNING --ended--> WAITING --> STARTING ...
 *	                       \------------\--too often--> FAILED --ever more seldom--> STARTING
 *
 * A child of the daemon goes into a network namespace of its own, makes the TAP there, passes its
 * descriptor back and becomes dnsmasq. It dies with the daemon. A network's guests work without
 * it (those named on their kernel command line have their addresses from there), so no failure
 * here is a lab's: it is in netsvc_json() and in the event NETSVC_STATE.
 *
 * Control thread.
 */
#ifndef HVLAB_HOST_NETSVC_H
#define HVLAB_HOST_NETSVC_H

#include <event2/event.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/worker.h"
#include "host/lab.h"
#include "vswitch/vswitch.h"

struct netsvc;

enum netsvc_state {
	NETSVC_STARTING, /* the child makes its namespace and TAP */
	NETSVC_RUNNING,	 /* dnsmasq runs, the port is attached */
	NETSVC_WAITING,	 /* it ended; the next start is due */
	NETSVC_FAILED,	 /* it cannot be started, or ended too often; tried again later */
	NETSVC_N_STATES
};
const char *netsvc_state_name(enum netsvc_state s);

/**
 * struct netsvc_conf - All borrowed until netsvc_stop() but the texts, which are copied
 * @dir:	the network's folder, absolute; made (and emptied) at start, removed at stop
 * @lab:	of it @net, its addresses and its NICs: all of @net's NICs become hosts by
 *		themselves, those added later need netsvc_host_add()
 * @net:	index of the network in @lab
 * @port_net:	the switch's network that the TAP port is attached to
 * @worker:	serves the TAP
 * @dnsmasq:	path of the program; NULL: found in PATH, /usr/sbin, /usr/local/sbin
 * @retry_ms:	from a failure to the next try; doubles four times. 0: 30 s
 * @event:	NETSVC_STATE {"network", "state", "previous", "reason", "retry_ms"}; @data is
 *		stolen. May be called within netsvc_start(), never within netsvc_stop()
 */
struct netsvc_conf {
	const char *dir;
	const struct lab *lab;
	unsigned int net;
	struct event_base *base;
	struct vsw_net *port_net;
	struct worker *worker;
	const char *dnsmasq;
	unsigned int retry_ms;
	void (*event)(void *arg, const char *name, json_t *data);
	void *arg;
};

/*
 * Returns at once; the service comes up within the event loop. What keeps it from working (no
 * dnsmasq, no permission) is a state, not an error. NULL with errno: ENOMEM, ENAMETOOLONG.
 */
struct netsvc *netsvc_start(const struct netsvc_conf *conf);
/* Detaches the port, ends the child and waits for it, removes the folder. NULL is fine. */
void netsvc_stop(struct netsvc *ns);

/**
 * struct netsvc_host - A guest's NIC as the services know it
 * @mac:	what its DHCP requests come from
 * @ip4, @ip6:	its addresses; "" for none (then DHCPv4 gives one of the pool)
 * @mtu:	what DHCPv4 tells it; 0: the network's
 * @elsewhere:	on another host, whose services answer its requests: here it has names alone
 * @vm, @nic:	names in DNS: "nic.vm" always, and "vm" for the first NIC of that VM on this network
 */
struct netsvc_host {
	uint8_t mac[6];
	const char *ip4, *ip6;
	uint32_t mtu;
	const char *vm, *nic;
	bool elsewhere;
};

/*
 * In force at once, also while the service is not running. 0; -EEXIST the MAC or an address is
 * another host's; -EINVAL; -errno of the files. Before the NIC is plugged.
 */
int netsvc_host_add(struct netsvc *ns, const struct netsvc_host *host);
/* 0; -ENOENT. After the NIC is gone. */
int netsvc_host_del(struct netsvc *ns, const uint8_t mac[6]);

enum netsvc_state netsvc_state(const struct netsvc *ns);
/* The service's own port at the switch; NULL while it has none. For stats and captures. */
struct vsw_port *netsvc_port(struct netsvc *ns);
/*
 * {"state", "reason", "ip4", "ip6", "domain", "pid", "restarts", "retry_ms", "hosts", "refused"}; a
 * new reference. @ns may be NULL: {"state": "off", ...}.
 */
json_t *netsvc_json(const struct netsvc *ns);

#endif
