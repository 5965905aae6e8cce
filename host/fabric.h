/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The fabric: which hosts there are, and which guest lives behind which of them. A model that a
 * registry fills, and that fabric_net.h turns into what vxlan ports and routers know.
 *docs/fabric.md.
 *
 *	static	what the lab file says; nothing else happens
 *	etcd	each host writes itself and its guests under a lease, and watches what the others
 *		write. A host whose lease ends is dead; a guest that another host writes has moved
 *
 * A registry that cannot be reached changes nothing of what is known: packets go on by it, and the
 * state says so.
 *
 *	STATIC
 *	CONNECTING --all read--> SYNCED <--all read again-- LOST
 *	                            \----connection gone----^
 *
 * Addresses are 16 bytes, IPv4 as ::ffff:a.b.c.d; prefixes as in vswitch/route.h. Control thread.
 */
#ifndef HVLAB_HOST_FABRIC_H
#define HVLAB_HOST_FABRIC_H

#include <event2/event.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "host/lab.h"
#include "vswitch/route.h"

#define FABRIC_MAX_HOSTS  1024
#define FABRIC_MAX_GUESTS 65536

struct fabric;

enum fabric_state {
	FABRIC_STATIC,	   /* there is nobody to ask */
	FABRIC_CONNECTING, /* nothing is known yet */
	FABRIC_SYNCED,	   /* all is known, changes are heard of */
	FABRIC_LOST,	   /* the last that was known; tried again */
	FABRIC_N_STATES
};
const char *fabric_state_name(enum fabric_state s);

enum fabric_host_state {
	FABRIC_HOST_HERE,    /* this one */
	FABRIC_HOST_ASSUMED, /* the lab file names it, and nobody can say more */
	FABRIC_HOST_UNSEEN,  /* the lab file names it, and it has not registered itself yet */
	FABRIC_HOST_ALIVE,   /* registered */
	FABRIC_HOST_DEAD,    /* it was, and its lease has ended, or it has left */
	FABRIC_HOST_N_STATES
};
const char *fabric_host_state_name(enum fabric_host_state s);

/* A host's part of a routed network, by family (0: IPv4). */
struct fabric_part {
	bool has[2];
	struct route_prefix prefix[2];
};

/**
 * struct fabric_host
 * @addr6:	its IPv6 address beside an IPv4 one; zeros: none
 * @state:	packets are sent to those that are assumed or alive
 * @since_ns:	of the state
 * @parts:	by network of the lab
 */
struct fabric_host {
	char name[LAB_NAME_MAX + 1];
	uint8_t addr[16];
	uint8_t addr6[16];
	enum fabric_host_state state;
	uint64_t since_ns;
	uint64_t rev;
	unsigned int n_guests;
	bool unseen; /* since the last sync began; fabric.c's own */
	struct fabric_part *parts;
};
bool fabric_host_reachable(const struct fabric_host *h);
/* Its address as a next hop of a family (0: IPv4), NULL: none. */
const uint8_t *fabric_host_next(const struct fabric_host *h, unsigned int family);

/**
 * struct fabric_guest - One NIC of a guest
 * @net:	index into lab.nets
 * @host:	index of its host
 * @ip4, @ip6:	"" for none
 * @rev:	the registry's count of changes when it was written; 0: the lab file's
 */
struct fabric_guest {
	unsigned int net;
	uint8_t mac[6];
	char vm[LAB_NAME_MAX + 1], nic[LAB_NIC_NAME_MAX + 1];
	char ip4[INET_ADDRSTRLEN], ip6[INET6_ADDRSTRLEN];
	unsigned int host;
	uint64_t rev;
	bool unseen; /* fabric.c's own */
};

/**
 * struct fabric_conf
 * @lab:	with a fabric and a chosen host; borrowed until fabric_free()
 * @changed:	the model is another one; from the event loop, once for many changes
 * @event:	FABRIC_STATE, FABRIC_HOST, FABRIC_MOVED; @data is stolen
 */
struct fabric_conf {
	struct event_base *base;
	const struct lab *lab;
	void (*changed)(void *arg);
	void (*event)(void *arg, const char *name, json_t *data);
	void *arg;
};

/* Starts to ask. NULL with errno. */
struct fabric *fabric_new(const struct fabric_conf *conf);
/*
 * The lab is about to go: the others are told, if the registry answers before fabric_free(). The
 * state stays as it is, and nothing is announced any more. NULL is fine.
 */
void fabric_leave(struct fabric *f);
/* NULL is fine. */
void fabric_free(struct fabric *f);

/* The guests' NICs that are here, all of them. Copied. 0 or -ENOMEM. */
int fabric_announce(struct fabric *f, const struct fabric_guest *own, unsigned int n);

enum fabric_state fabric_state(const struct fabric *f);
/* Valid until the event loop goes on. */
const struct fabric_host *fabric_hosts(const struct fabric *f, unsigned int *n);
/* The next one after @prev, NULL: the first; in no order. Those of other hosts, and not @here's. */
const struct fabric_guest *fabric_next_guest(const struct fabric *f,
					     const struct fabric_guest *prev);
/*
 * What query-fabric answers, without what the ports know; docs/protocol.md. A new reference.
 * @guests: with a list of them.
 */
json_t *fabric_json(const struct fabric *f, bool guests);

#endif
