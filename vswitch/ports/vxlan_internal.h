/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of the VXLAN port share: vxlan.c, vxlan_sock.c, vxlan_table.c, vxlan_tx.c,
 * vxlan_rx.c. */
#ifndef HVLAB_VSWITCH_PORTS_VXLAN_INTERNAL_H
#define HVLAB_VSWITCH_PORTS_VXLAN_INTERNAL_H

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>

#include "vswitch/ports/vxlan.h"
#include "vswitch/rcu.h"
#include "vswitch/reply.h"

#define VX_HDR_SIZE  8
#define VX_FLAG_VNI  0x08 /* RFC 7348, 5: the I flag */
#define VX_MAX_FLOOD 1024

/**
 * struct vx_remote - Another host, for all networks of a tunnel
 * @refs:	table entries, flood lists and peer lists that name it; under the tunnel's lock
 * @known:	of these, those that a caller set
 * @path_mtu:	as the kernel told last; 0: it has no route
 * @used_ms:	last sent to or learned from; without refs it is forgotten some time after
 */
struct vx_remote {
	_Atomic(struct vx_remote *) next;
	uint8_t addr[16];
	union {
		struct sockaddr sa;
		struct sockaddr_in in4;
		struct sockaddr_in6 in6;
	} to;
	socklen_t to_len;
	uint32_t refs;
	_Atomic uint32_t known, path_mtu;
	_Atomic uint64_t used_ms;
	struct rcu_head rcu;
};

/* An address of a network's table. */
struct vx_mac {
	_Atomic(struct vx_mac *) next;
	uint64_t mac;
	_Atomic(struct vx_remote *) remote;
	_Atomic uint64_t seen_ms;
	_Atomic bool set;
	struct rcu_head rcu;
};

/* Published whole, replaced whole. */
struct vx_list {
	struct rcu_head rcu;
	unsigned int n;
	struct vx_remote *remote[];
};

struct vxlan_port {
	struct vsw_port port;
	struct vxlan_tunnel *t;
	_Atomic(struct vxlan_port *) next; /* of the tunnel's; under its lock, read under RCU */
	uint32_t vni, max_macs, ageing_ms;
	bool learn, drop_unknown;
	/* Under the tunnel's lock; chains and lists are read under RCU. */
	_Atomic(struct vx_list *) flood;
	struct vx_list *peers;
	uint32_t n_macs;
	unsigned int shift; /* 64 - log2 of the buckets */
	_Atomic(struct vx_mac *) bucket[];
};

#define VX_REMOTE_BUCKETS 256
#define VX_VNI_BUCKETS	  64

struct vx_tx; /* scratch of one delivery, vxlan_tx.c */
struct vx_rx; /* vxlan_rx.c */

struct vxlan_counters {
	_Atomic uint64_t tx, tx_bytes, tx_batches, tx_errors;
	_Atomic uint64_t rx, rx_bytes, rx_short, rx_flags, rx_vni, rx_peer, rx_waits;
	_Atomic uint64_t too_big, replies, replies_limited, table_full;
};

struct vxlan_tunnel {
	char name[VSW_NAME_SIZE];
	struct worker *worker;
	struct vxlan_sockets s;
	bool ip6;
	uint16_t port;
	enum vxlan_sum sum;
	bool known_only;
	_Atomic bool no_batch; /* this kernel, or the way out, cuts no UDP */
	uint32_t max_remotes;
	uint64_t seed;
	struct vxlan_counters c;
	struct reply_limit limit;
	struct worker_fd wfd;
	struct worker_timer tick;
	uint64_t next_probe_ms;
	struct vx_rx *rx;
	pthread_mutex_t lock;
	uint32_t n_remotes, n_ports;
	struct vx_tx *idle; /* a stack */
	_Atomic(struct vxlan_port *) vni[VX_VNI_BUCKETS];
	_Atomic(struct vx_remote *) remote[VX_REMOTE_BUCKETS];
};

static inline void vx_count(_Atomic uint64_t *c, uint64_t n)
{
	atomic_fetch_add_explicit(c, n, memory_order_relaxed);
}

static inline uint64_t vx_now_ms(void)
{
	return now_ns() / NSEC_PER_MSEC + 1;
}

static inline uint32_t vx_overhead(const struct vxlan_tunnel *t)
{
	return t->ip6 ? VXLAN_OVERHEAD6 : VXLAN_OVERHEAD4;
}

/* vxlan_sock.c. The kernel's path MTU to a host; 0: no route. Under the tunnel's lock. */
uint32_t vx_probe(struct vxlan_tunnel *t, const struct vx_remote *r);

/*
 * vxlan_table.c. Finding: in an RCU read section. The rest: under the tunnel's lock, or takes it.
 */
struct vxlan_port *vx_port_find(struct vxlan_tunnel *t, uint32_t vni);
struct vx_remote *vx_remote_find(struct vxlan_tunnel *t, const uint8_t addr[16]);
/* Makes it when it is not there. In a read section, takes the lock. NULL: no room. */
struct vx_remote *vx_remote_want(struct vxlan_tunnel *t, const uint8_t addr[16]);
/* NULL: not known. *@now as in fdb_lookup(). */
struct vx_remote *vx_mac_find(struct vxlan_port *p, uint64_t mac, uint64_t *now);
/* On the tunnel's worker, in a read section. */
void vx_mac_learn(struct vxlan_port *p, uint64_t mac, const uint8_t remote[16], uint64_t now);
/* Asks the kernel again. Takes the lock. Returns the new path MTU. */
uint32_t vx_remote_probe(struct vxlan_tunnel *t, struct vx_remote *r);
/* What is too old goes; path MTUs are asked for again when it is time. Takes the lock. */
void vx_table_tick(struct vxlan_tunnel *t, uint64_t now);
/* The port's entries and lists. No reader is left. */
void vx_port_clear(struct vxlan_port *p);
/* All hosts. No reader and no port is left. */
void vx_remotes_clear(struct vxlan_tunnel *t);

/* vxlan_tx.c */
unsigned int vx_deliver(struct vsw_port *port, struct pkt **pkts, unsigned int n);
void vx_tx_free_all(struct vxlan_tunnel *t);

/* vxlan_rx.c. All on the tunnel's worker. */
int vx_rx_start(struct vxlan_tunnel *t);
void vx_rx_stop(struct vxlan_tunnel *t);
/* What is held for that port goes. */
void vx_rx_forget(struct vxlan_tunnel *t, const struct vxlan_port *p);
/* One message of the socket: datagrams of @size bytes, the last may be shorter. Sent with
 * PKT_NO_WAIT: for tests. */
void vx_rx_message(struct vxlan_tunnel *t, const uint8_t *data, uint32_t len, uint32_t size,
		   const uint8_t from[16]);

/* 16 bytes from what recvmsg() told, and back. */
void vx_addr_of(uint8_t addr[16], const struct sockaddr_storage *ss);

#endif
