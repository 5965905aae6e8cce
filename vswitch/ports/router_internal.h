/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of the router share: router.c, router_fwd.c, router_local.c, router_neigh.c. */
#ifndef HVLAB_VSWITCH_PORTS_ROUTER_INTERNAL_H
#define HVLAB_VSWITCH_PORTS_ROUTER_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "vswitch/icmp.h"
#include "vswitch/ports/router.h"
#include "vswitch/rcu.h"
#include "vswitch/reply.h"

#define RT_MAX_ADDRS	 16
#define RT_MAX_PROXIES	 64
#define RT_MAX_IFS	 64
#define RT_NEIGH_BUCKETS 256
#define RT_MAX_LETTERS	 256 /* frames of our own on their way to the worker */
#define RT_WAITERS	 16  /* workers that can wait for receivers behind one interface */
#define RT_MAX_DEPTH	 3   /* routers in a row within one send */

/* Where a prefix leads. Constant once published. */
struct rt_hop {
	struct router_route route;
	bool own; /* an interface's prefix */
};

/* What an interface answers for: published whole. */
struct rt_known {
	unsigned int n_addrs, n_proxies;
	struct route_prefix addr[RT_MAX_ADDRS]; /* whole addresses, with the length of the prefix */
	struct route_prefix proxy[RT_MAX_PROXIES];
};

/**
 * struct rt_letter - A frame that the router's worker sends from an interface
 * @flags:	debts of a packet that was held
 * @in:		of a held packet: where it came from
 */
struct rt_letter {
	struct rt_letter *next;
	struct router_if *out, *in;
	uint32_t flags, len;
	uint16_t gso_size;
	uint8_t frame[];
};

/**
 * struct rt_neigh - A neighbour
 * @mac:	as in fdb_mac(); meaningful when the state has one
 * @state:	enum router_neighbour_state; STALE and FRESH are told apart by @heard_ms
 * @asked:	questions since the last answer; 0: none is open
 * @ask_ms:	when the next one is due, or of FAILED when it is forgotten
 */
struct rt_neigh {
	_Atomic(struct rt_neigh *) next;
	uint8_t addr[16];
	_Atomic uint64_t mac, heard_ms;
	_Atomic int state;
	_Atomic bool asking;
	uint32_t asked;
	uint64_t ask_ms;
	struct rt_letter *held, **held_end;
	uint32_t n_held;
	struct rcu_head rcu;
};

struct rt_waiter {
	struct vsw_waiter w;
	_Atomic(struct worker *) owner;
	struct router_if *i;
};

struct router_if {
	struct vsw_port port;
	struct router *r;
	uint32_t flags;
	uint8_t link_local[16];
	_Atomic(struct rt_known *) known;
	struct rt_waiter waiter[RT_WAITERS];
	/* Under the router's lock; chains are read under RCU. */
	uint32_t n_neigh, n_open;
	_Atomic(struct rt_neigh *) neigh[RT_NEIGH_BUCKETS];
};

struct router_counters {
	_Atomic uint64_t forwarded, ttl, no_route, too_big, unreachable;
	_Atomic uint64_t held, held_lost, errors, errors_limited;
	_Atomic uint64_t arp_answers, nd_answers, proxy_answers, pings;
};

struct router {
	char name[VSW_NAME_SIZE];
	struct worker *worker;
	uint32_t max_routes, max_neigh;
	uint32_t n_routes; /* control thread */
	struct route_table *table;
	struct reply_limit limit;
	struct router_counters c;
	_Atomic uint32_t n_letters;
	pthread_mutex_t lock;
	struct router_if *ifs[RT_MAX_IFS]; /* under the lock */
	unsigned int n_ifs;
	uint64_t held_bytes; /* under the lock */
	/* worker */
	struct worker_timer timer;
	_Atomic bool timer_wanted;
};

static inline void rt_count(_Atomic uint64_t *c)
{
	atomic_fetch_add_explicit(c, 1, memory_order_relaxed);
}

static inline uint64_t rt_now_ms(void)
{
	return now_ns() / NSEC_PER_MSEC + 1;
}

static inline void rt_mac_bytes(uint8_t out[6], uint64_t mac)
{
	for (unsigned int i = 0; i < 6; i++)
		out[i] = (uint8_t)(mac >> (40 - 8 * i));
}

/* One step less to live, of an IPv4 or IPv6 header. */
void rt_count_down(uint8_t *ip);
/* The addresses of a parsed IP packet as 16 bytes. */
void rt_src(const struct pkt *pkt, uint8_t addr[16]);
void rt_dst(const struct pkt *pkt, uint8_t addr[16]);

/* router.c. In a read section. */
bool rt_is_own(const struct router_if *i, const uint8_t addr[16]);
bool rt_is_proxied(const struct router_if *i, const uint8_t addr[16]);
/* @addr lies in a prefix of the interface's own. */
bool rt_on_link(const struct router_if *i, const uint8_t addr[16]);
/* The interface's address to speak to @to with; its family's. False: it has none. */
bool rt_address_for(const struct router_if *i, const uint8_t to[16], uint8_t out[16]);

/*
 * router_local.c. An ICMP error about @pkt, which came in by @i; counted, limited. In a read
 * section.
 */
void rt_error(struct router_if *i, const struct pkt *pkt, enum icmp_error_kind kind, uint32_t mtu);
/* What is for the router itself. True: it was, and is done with. In a read section. */
bool rt_local(struct router_if *i, struct pkt *pkt);
/* ARP, of a frame that is ARP by its type. */
void rt_arp(struct router_if *i, const struct pkt *pkt);
/* A question about @addr, broadcast; of the interface's own address. In a read section. */
void rt_ask(struct router_if *i, const uint8_t addr[16]);
/* A letter for a frame of @len bytes, or NULL: too many, or no memory. Posting gives it away. */
struct rt_letter *rt_letter_new(struct router_if *out, uint32_t len);
void rt_letter_post(struct rt_letter *l);
void rt_letter_free(struct rt_letter *l);

enum rt_resolved { RT_RESOLVED, RT_HELD, RT_UNREACHABLE };
/*
 * router_neigh.c. The MAC of @addr at @out. When it must be asked for, a copy of @pkt, which came
 * in by @in, is held. In a read section; takes the lock.
 */
enum rt_resolved rt_resolve(struct router_if *out, const uint8_t addr[16], uint64_t *mac,
			    struct router_if *in, const struct pkt *pkt);
/* The same without effects. False: not known, or it is time to ask again. In a read section. */
bool rt_mac_of(struct router_if *out, const uint8_t addr[16], uint64_t *mac);
/* @addr was heard of at @mac. @make: also when nobody asked. In a read section; takes the lock. */
void rt_heard(struct router_if *i, const uint8_t addr[16], uint64_t mac, bool make);
/* The worker's timer. */
void rt_neigh_tick(struct worker_timer *timer);
/* All neighbours of @i go, and held packets that came in by it. No reader is left. */
void rt_neigh_clear(struct router_if *i);

/* router_fwd.c */
unsigned int rt_deliver(struct vsw_port *port, struct pkt **pkts, unsigned int n);
void rt_waiters_init(struct router_if *i);
void rt_waiters_cancel(struct router_if *i);

#endif
