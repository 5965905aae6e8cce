/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the vhost-user port share.
 *
 * Threads. Everything is the worker's, with one exception: a receive ring is worked on by whoever
 * delivers, under its lock. So the worker takes the locks of all receive rings (vh_lock_all())
 * before it changes what a delivery looks at: the ring, the memory table, the log, the features.
 * Transmit rings are worked on by the worker alone and have no lock. Nobody holds a receive
 * ring's lock while he takes another's but the worker, which takes them in order.
 */
#ifndef HVLAB_VSWITCH_PORTS_VHOST_INTERNAL_H
#define HVLAB_VSWITCH_PORTS_VHOST_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/guest_mem.h"
#include "base/util.h"
#include "base/worker.h"
#include "vswitch/port.h"
#include "vswitch/ports/vhost.h"
#include "vswitch/ports/vhost_proto.h"

#define VH_MAX_REGIONS 64
#define VH_MAX_RINGS   (2 * VHOST_MAX_QUEUES)
#define VH_MAX_FDS     8
#define VH_BURST       64  /* packets in one vsw_send() */
#define VH_TX_BUDGET   256 /* of one ring in one turn */

#define VH_BIT(n) (1ull << (n))

/* ---- Memory (vhost_mem.c) ------------------------------------------------------------------- */

struct vh_region {
	uint64_t gpa, size, user;
	uint8_t *ptr;
};

/* The guest's memory. Changed by the worker, between vh_lock_all() and vh_unlock_all(). */
struct vh_mem {
	struct guest_mem *gm; /* holds the mappings and catches SIGBUS */
	unsigned int n;
	struct vh_region region[VH_MAX_REGIONS];
};

/* A file of the front end's that we write to: the dirty log, the in-flight area. */
struct vh_area {
	struct guest_mem *gm;
	uint8_t *ptr; /* NULL: none */
	uint64_t size;
};

/* Where nothing is found. */
extern const struct vh_region vh_nowhere;

/* NULL with errno. */
struct vh_mem *vh_mem_new(void);
void vh_mem_free(struct vh_mem *m);
/* @fd stays the caller's. -EEXIST: overlaps another region, by guest or by user address. */
int vh_mem_add(struct vh_mem *m, const struct vhost_user_region *r, int fd);
/* -ENOENT unless there is exactly this region. */
int vh_mem_del(struct vh_mem *m, const struct vhost_user_region *r);
/* [user, user + len) wholly in one region, or NULL. */
uint8_t *vh_mem_user(const struct vh_mem *m, uint64_t user, uint64_t len);

int vh_area_map(struct vh_area *a, int fd, uint64_t offset, uint64_t size);
void vh_area_drop(struct vh_area *a);

/* ---- Rings (vhost_ring.c) -------------------------------------------------------------------- */

/* Transmit: what the sending side remembers between turns. The worker's. */
struct vh_tx {
	uint32_t seg_done; /* segments of the next packet that have been delivered */
	bool waiting;	   /* for a receiver; the hold timer runs */
	bool stuck;	   /* waited too long: the first packet does not wait again */
	bool delayed;	   /* its packet waits for bandwidth, with @delay */
	struct pkt_delay delay;
	uint64_t wait_since;
	struct vsw_waiter waiter;
	struct worker_timer hold, delay_timer;
};

struct vh_ring_stats {
	uint64_t packets, bytes, gso, no_buffer, kicks, calls, held_ns;
};

/**
 * struct vring - One ring. Even index: receive (the guest receives); odd: transmit
 * @lock:	Receive: held by whoever works on it or changes it
 * @running:	May be worked on: started, enabled, its addresses resolved, not broken
 * @last_avail:	Next entry of the available ring
 * @used_idx:	Next entry of the used ring; published with vh_ring_publish()
 * @published:	used_idx as the guest sees it
 * @signalled:	used_idx when the guest was last told of it
 * @owed:	It goes on where another stopped: what the guest was told last is unknown, so it is
 *		told of the next packet whatever it asked for
 * @notify_on:	We have asked the guest to notify us
 * @starved:	Receive: a delivery found no buffer; @starved_at: the available index it saw
 * @redo:	Heads taken by a back end that died with them (in-flight area), to be done first
 */
struct vring {
	struct vhost *v;
	unsigned int index;
	pthread_mutex_t lock;
	_Atomic bool running;
	bool event_idx, indirect, logs, log_used, notify_on, owed;
	bool debts; /* transmit: the guest may leave checksums to us, and says so in the header */
	uint32_t hdr_size;
	uint16_t num, mask;
	uint16_t last_avail, used_idx, published, signalled;
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	const struct vh_region *hot; /* where the last address was found */
	uint64_t log_addr;
	_Atomic bool starved;
	_Atomic uint16_t starved_at;
	uint16_t *redo;
	uint16_t n_redo, redo_at;
	struct inflight_queue *inflight; /* in v->inflight, or NULL */
	uint32_t inflight_max;		 /* entries that it has room for */
	struct vh_ring_stats stats;
	struct vh_tx tx;
	/* As the front end told us; the worker's. */
	uint32_t want_num;
	struct vhost_vring_addr addr;
	bool have_addr, started, enabled;
	_Atomic bool broken;
	int kick_fd, call_fd, err_fd;
	struct worker_fd kick;
	struct worker_timer poll; /* a ring that has no kick descriptor is polled */
};

static inline bool vh_is_rx(const struct vring *q)
{
	return !(q->index & 1);
}

void vh_ring_init(struct vring *q, struct vhost *v, unsigned int index);
void vh_ring_fini(struct vring *q);
/* The device is reset: everything about the ring is to be told anew, but whom to call. */
void vh_ring_reset(struct vring *q);
/* The connection is gone. */
void vh_ring_forget(struct vring *q);
/* Starts or halts the ring as what is known about it demands. */
void vh_ring_update(struct vring *q);
/* Not running after this; nobody works on it. What was taken has been given back. */
void vh_ring_halt(struct vring *q);
/* Under its lock (receive): the guest has broken it. It halts when the worker gets to it. */
void vh_ring_broken(struct vring *q, const char *what);
/* Addresses again, after the memory table or they have changed. -EFAULT. Locked or the worker's. */
int vh_ring_resolve(struct vring *q);
/* Takes @fd; -1: the ring is polled. */
int vh_ring_set_kick(struct vring *q, int fd);

/* Entries that wait. Negative: the guest claims more than there can be. */
static inline int vh_ring_ready(const struct vring *q)
{
	uint16_t idx = __atomic_load_n(&q->avail->idx, __ATOMIC_ACQUIRE);
	uint16_t n = (uint16_t)(le16toh(idx) - q->last_avail);

	return n > q->num ? -1 : n;
}

/* The head at @pos entries from last_avail on; the caller checks it against num. */
static inline uint16_t vh_ring_head(const struct vring *q, uint16_t pos)
{
	if (unlikely(q->n_redo)) {
		uint16_t left = (uint16_t)(q->n_redo - q->redo_at);

		if (pos < left)
			return q->redo[q->redo_at + pos];
	}
	return le16toh(__atomic_load_n(&q->avail->ring[(uint16_t)(q->last_avail + pos) & q->mask],
				       __ATOMIC_RELAXED));
}

/* @n heads are done with. */
static inline void vh_ring_advance(struct vring *q, uint16_t n)
{
	q->last_avail = (uint16_t)(q->last_avail + n);
	if (unlikely(q->n_redo)) {
		q->redo_at = (uint16_t)(q->redo_at + n);
		if (q->redo_at >= q->n_redo)
			q->n_redo = q->redo_at = 0;
	}
}

static inline void vh_ring_put_used(struct vring *q, uint16_t head, uint32_t len)
{
	struct vring_used_elem e = {htole32(head), htole32(len)};

	memcpy(&q->used->ring[q->used_idx & q->mask], &e, sizeof(e));
	q->used_idx++;
}

/* Read once: the guest may change it at any time. */
static inline void vh_desc_load(const struct vring_desc *from, struct vring_desc *to)
{
	uint64_t w[2];

	memcpy(w, (const void *)from, sizeof(w));
	/* Nothing behind this may look at guest memory instead. */
	__asm__ volatile("" : "+r"(w[0]), "+r"(w[1]));
	memcpy(to, w, sizeof(w));
}

/* Guest address to pointer; *@avail: bytes that can be used there, up to @len. NULL: not memory. */
uint8_t *vh_ring_find(struct vring *q, uint64_t addr, uint64_t len, uint64_t *avail);

static inline uint8_t *vh_ring_ptr(struct vring *q, uint64_t addr, uint64_t len, uint64_t *avail)
{
	const struct vh_region *r = q->hot;
	uint64_t off = addr - r->gpa;

	if (likely(off < r->size)) {
		*avail = MIN(len, r->size - off);
		return r->ptr + off;
	}
	return vh_ring_find(q, addr, len, avail);
}

/**
 * struct vh_chain - The buffers of a chain
 * @gpa:	Guest address of each piece, for the log
 */
struct vh_chain {
	struct iovec *iov;
	uint64_t *gpa;
	unsigned int n, max;
	uint64_t len;
};

/*
 * Appends the buffers of the chain at @head to @c; all must be for the device to write (@write) or
 * to read. NULL, or what is wrong with it. Beyond c->max pieces: "-E2BIG" in *@too_many, and
 * c->len counts what would have come.
 */
const char *vh_ring_chain(struct vring *q, uint16_t head, bool write, struct vh_chain *c,
			  bool *too_many);

/* Used entries up to used_idx become visible. */
void vh_ring_publish(struct vring *q);
/* After publishing: tell the guest if it wants to know. */
void vh_ring_call(struct vring *q);
/* Ask the guest for a notification of the next entry behind @seen, or tell it that none is needed.
 */
void vh_ring_notify_on(struct vring *q, uint16_t seen);
void vh_ring_notify_off(struct vring *q);

/* ---- Transmit, receive, steering, log -------------------------------------------------------- */

void vh_tx_init(struct vring *q);
/* A turn of the ring. True: it did something. */
bool vh_tx_turn(struct vring *q);
/* The ring halts: nobody waits any more, and a packet that has gone in part goes or is dropped. */
void vh_tx_halt(struct vring *q);

extern const struct vsw_port_ops vhost_port_ops;

/* Receive queue by flow; see vhost_steer.c. */
#define VH_FLOWS 2048

struct vh_steer {
	_Atomic uint32_t n;		       /* receive rings running */
	_Atomic uint8_t map[VHOST_MAX_QUEUES]; /* their pairs */
	_Atomic uint64_t running;	       /* bit per pair */
	_Atomic uint64_t flow[VH_FLOWS];
};

/* After rings have started or halted. True: the set of those that run is another. */
bool vh_steer_update(struct vhost *v);
/* The guest has sent these on pair @pair; the switch has parsed them. */
void vh_steer_learn(struct vhost *v, struct pkt *const *pkts, unsigned int n, unsigned int pair);
/* The pair to deliver to. There is at least one running. */
unsigned int vh_steer_pick(struct vhost *v, const struct pkt *pkt);

/* Marks [gpa, gpa + len) dirty. Locked or the worker's. */
void vh_log_range(const struct vhost *v, uint64_t gpa, uint64_t len);

/* ---- The device ------------------------------------------------------------------------------ */

/* One connection; everything about it is the worker's. */
struct vh_conn {
	int fd;
	struct worker_fd wfd;
	struct vhost_user_hdr hdr;
	uint32_t have; /* bytes of header and payload so far */
	union {
		uint8_t raw[512];
		uint64_t u64;
		struct vhost_user_mem mem;
		struct vhost_user_mem_reg mem_reg;
		struct vhost_user_log log;
		struct vhost_vring_state state;
		struct vhost_vring_addr addr;
		struct vhost_user_config config;
		struct vhost_user_inflight inflight;
	} body;
	int fds[VH_MAX_FDS];
	unsigned int n_fds;
};

struct vhost {
	struct worker *worker;
	struct vhost_conf conf;
	char name[VSW_NAME_SIZE];
	struct vsw_port port;
	unsigned int n_rings;
	struct vring *ring;
	/* the socket */
	int listen_fd;
	char path[108];
	struct worker_fd listen;
	struct vh_conn conn;
	/* the session */
	uint64_t offered;	   /* constant */
	_Atomic uint64_t features; /* accepted */
	uint64_t protocol_features;
	bool have_features;
	uint8_t status;
	struct vh_mem *mem;
	struct vh_area log;
	struct vh_area inflight;
	_Atomic uint32_t rx_mtu; /* the front end's wish; 0: none */
	bool driven;
	/* work */
	struct worker_turn turn;
	uint64_t hot;	  /* transmit rings, by pair, that are polled */
	uint64_t starved; /* receive rings, by pair, that somebody on this worker waits for */
	struct vh_steer steer;
	/* counters, the worker's */
	uint64_t messages, rejected, announces, connects, refused;
	_Atomic uint64_t guest_errors;
	pthread_mutex_t error_lock;
	char last_error[160];
};

static inline struct vhost *port_to_vhost(struct vsw_port *port)
{
	return CONTAINER_OF(port, struct vhost, port);
}

/* The rings of a queue pair. */
static inline struct vring *vh_rx_ring(struct vhost *v, unsigned int pair)
{
	return v->ring + (size_t)pair * 2;
}

static inline struct vring *vh_tx_ring(struct vhost *v, unsigned int pair)
{
	return vh_rx_ring(v, pair) + 1;
}

static inline bool vh_has(const struct vhost *v, unsigned int bit)
{
	return atomic_load_explicit(&v->features, memory_order_relaxed) & VH_BIT(bit);
}

static inline bool vh_has_protocol(const struct vhost *v, unsigned int bit)
{
	return v->protocol_features & VH_BIT(bit);
}

/* Is there a choice at all? */
static inline bool vh_steer_wants(const struct vhost *v)
{
	return atomic_load_explicit(&v->steer.n, memory_order_relaxed) > 1;
}

void vh_lock_all(struct vhost *v);
void vh_unlock_all(struct vhost *v);
void vh_event(struct vhost *v, enum vhost_event_type type, const char *text);
/* Any thread: counted, kept, logged; the event follows on the worker. */
void vh_guest_error(struct vhost *v, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Caps, steering, receiving and the DRIVEN events follow from rings and features. */
void vh_refresh(struct vhost *v);

/* Features offered, by configuration. */
uint64_t vh_offer(const struct vhost_conf *conf);

/* vhost_server.c */
void vh_conn_init(struct vhost *v);
int vh_conn_open(struct vhost *v, int fd);
void vh_conn_close(struct vhost *v, const char *why);
bool vh_conn_read(struct vhost *v);
int vh_listen(struct vhost *v, const char *path);
void vh_unlisten(struct vhost *v);
/* True when signalling @fd cannot make us wait: an eventfd, now non-blocking. */
bool vh_eventfd_ok(int fd);

/*
 * vhost_msg.c. The message in v->conn, checked for size and descriptors as its entry in the table
 * says. Descriptors that a handler keeps it takes out of conn.fds (sets them to -1).
 */
struct vh_message {
	const char *name;  /* NULL: not known */
	uint16_t min, max; /* bytes of payload */
	uint8_t min_fds, max_fds;
	bool answers; /* writes its own reply into conn.body */
	int8_t needs; /* protocol feature, or -1 */
	/* 0 or -errno. With @answers: *@len bytes of conn.body and *@fd (not closed) are sent. */
	int (*fn)(struct vhost *v, uint32_t *len, int *fd);
};
const struct vh_message *vh_message(uint32_t request);
/* The session is over. */
void vh_session_end(struct vhost *v);

#endif
