/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A vhost-user front end and the driver's side of its rings, for tests: what QEMU and a guest's
 * virtio_net do together, without either. Polite when asked, rude when wanted: everything in the
 * structs may be changed by a test.
 *
 * One thread per client. Memory is one memfd, shown to the back end as two regions that do not
 * follow each other in guest addresses, with a seam in the middle of it that buffers can lie
 * across only by accident of the client's own addresses (user addresses do follow each other).
 * Functions return 0 or -errno; -ECONNRESET: the back end closed; -EREMOTEIO: it answered "no".
 */
#ifndef HVLAB_TESTS_VHOST_VU_CLIENT_H
#define HVLAB_TESTS_VHOST_VU_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vswitch/ports/vhost_proto.h"

#define VU_TIMEOUT_MS 10000
#define VU_MAX_PAIRS  64
#define VU_GPA0	      0x100000ull	/* of the first region */
#define VU_GPA1	      0x100000000ull	/* of the second */
#define VU_USER	      0x7f0000000000ull /* the front end's own addresses */
#define VU_BIT(n)     (1ull << (n))

/* What a Linux guest behind QEMU 11 accepts. */
#define VU_FEATURES                                                                                \
	(VU_BIT(VIRTIO_NET_F_CSUM) | VU_BIT(VIRTIO_NET_F_GUEST_CSUM) |                             \
	 VU_BIT(VIRTIO_NET_F_GUEST_TSO4) | VU_BIT(VIRTIO_NET_F_GUEST_TSO6) |                       \
	 VU_BIT(VIRTIO_NET_F_GUEST_ECN) | VU_BIT(VIRTIO_NET_F_HOST_TSO4) |                         \
	 VU_BIT(VIRTIO_NET_F_HOST_TSO6) | VU_BIT(VIRTIO_NET_F_HOST_ECN) |                          \
	 VU_BIT(VIRTIO_NET_F_MRG_RXBUF) | VU_BIT(VIRTIO_NET_F_MQ) |                                \
	 VU_BIT(VIRTIO_RING_F_INDIRECT_DESC) | VU_BIT(VIRTIO_RING_F_EVENT_IDX) |                   \
	 VU_BIT(VHOST_USER_F_PROTOCOL_FEATURES) | VU_BIT(VIRTIO_F_VERSION_1) |                     \
	 VU_BIT(VIRTIO_NET_F_GUEST_USO4) | VU_BIT(VIRTIO_NET_F_GUEST_USO6) |                       \
	 VU_BIT(VIRTIO_NET_F_HOST_USO))
/* Nothing but frames. */
#define VU_PLAIN (VU_BIT(VIRTIO_F_VERSION_1) | VU_BIT(VHOST_USER_F_PROTOCOL_FEATURES))

/**
 * struct vu_conf - Zero means the default
 * @features:	Wanted, of those offered: VU_FEATURES
 * @pairs:	1
 * @ring_size:	256
 * @rx_buf:	Bytes of a receive buffer, header included: 2048
 * @rx_chain:	Descriptors per receive buffer: 1
 * @tx_slot:	Bytes of a transmit slot: 72 KiB
 * @mem_size:	64 MiB
 * @no_fill:	Post no receive buffers
 * @mem_slots:	Tell the memory by ADD_MEM_REG
 * @no_kick_fd:	Rings without kick descriptors: the back end polls
 * @base:	First index of the rings
 */
struct vu_conf {
	uint64_t features;
	unsigned int pairs;
	uint16_t ring_size;
	uint32_t rx_buf;
	uint32_t rx_chain;
	uint32_t tx_slot;
	size_t mem_size;
	bool no_fill;
	bool mem_slots;
	bool no_kick_fd;
	uint16_t base;
};

struct vu;

/* A ring from the driver's side. */
struct vu_ring {
	struct vu *c;
	unsigned int index;
	uint16_t num;
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	uint16_t avail_idx, last_used;
	uint16_t *free; /* descriptors */
	uint16_t n_free;
	uint16_t *chain; /* by head: descriptors of its chain, 0: not in use */
	uint8_t **slot;	 /* by head: its buffer */
	uint8_t *slots;	 /* all of them */
	uint32_t slot_size;
	uint8_t *tables; /* an indirect table per descriptor */
	int kick, call, err;
	uint16_t kicked; /* avail_idx at the last kick */
	uint64_t kicks, calls;
};

struct vu {
	int sock;
	struct vu_conf conf;
	uint64_t offered, features, offered_protocol, protocol;
	int mem_fd;
	uint8_t *mem;
	size_t mem_size, used;
	struct vu_ring ring[2 * VU_MAX_PAIRS];
	unsigned int n_rings;
	int log_fd;
	uint8_t *log;
	size_t log_size;
};

/* ---- Messages ------------------------------------------------------------------------------ */

/* Any bytes as a message: header made here. */
int vu_send(struct vu *c, uint32_t request, uint32_t flags, const void *body, uint32_t size,
	    const int *fds, unsigned int n_fds);
/* One reply; *@size is room and then bytes. -ETIMEDOUT, -ECONNRESET, -EPROTO. */
int vu_recv(struct vu *c, uint32_t request, void *body, uint32_t *size, int *fd);
/* With NEED_REPLY. 0, -EREMOTEIO. */
int vu_ack(struct vu *c, uint32_t request, const void *body, uint32_t size, const int *fds,
	   unsigned int n_fds);
int vu_ack_u64(struct vu *c, uint32_t request, uint64_t value);
int vu_ack_state(struct vu *c, uint32_t request, uint32_t index, uint32_t num);
int vu_get_u64(struct vu *c, uint32_t request, uint64_t *value);
/* An answer: everything sent before has been done. */
int vu_sync(struct vu *c);
/* True when the back end closes the connection within the time limit. */
bool vu_closed(struct vu *c);

/* ---- Life ----------------------------------------------------------------------------------- */

/* Memory and fields; @sock is taken. No message is sent. */
int vu_open(struct vu *c, int sock, const struct vu_conf *conf);
/* A new connection for a client that lost its own. Rings keep their memory and indexes. */
void vu_reopen(struct vu *c, int sock);
void vu_close(struct vu *c);
/* Features, protocol features, owner. */
int vu_handshake(struct vu *c);
int vu_set_mem(struct vu *c);
/* Lays the ring out in memory, at the alignment virtio demands plus @off bytes. */
int vu_ring_make(struct vu *c, unsigned int index, uint32_t off);
/* NUM, BASE (@base), ADDR, CALL, ERR, KICK. */
int vu_ring_start(struct vu_ring *q, uint16_t base);
int vu_ring_addr(struct vu_ring *q, uint32_t flags);
int vu_ring_enable(struct vu_ring *q, bool on);
/* GET_VRING_BASE */
int vu_ring_stop(struct vu_ring *q, uint16_t *base);
/* All of it; receive rings are filled. */
int vu_up(struct vu *c, int sock, const struct vu_conf *conf);
/* SET_LOG_BASE, SET_FEATURES with LOG_ALL, SET_VRING_ADDR with the flag: as QEMU starts a log. */
int vu_log_start(struct vu *c);
/* Is the page of @gpa dirty? */
bool vu_log_test(const struct vu *c, uint64_t gpa);

static inline struct vu_ring *vu_rxq(struct vu *c, unsigned int pair)
{
	return &c->ring[2 * pair];
}

static inline struct vu_ring *vu_txq(struct vu *c, unsigned int pair)
{
	return &c->ring[2 * pair + 1];
}

/* ---- Memory -----------------------------------------------------------------------------------
 */

/* Never freed but with the client. NULL when there is none left. */
void *vu_alloc(struct vu *c, size_t size, size_t align);
uint64_t vu_gpa(const struct vu *c, const void *p);
uint64_t vu_user(const struct vu *c, const void *p);

/* ---- Driver ------------------------------------------------------------------------------------
 */

/**
 * struct vu_tx - How to send; zero: header and frame in one descriptor
 * @pieces:	Spread over that many descriptors; the first has the header alone when @split_hdr
 * @indirect:	... in an indirect table
 * @gap:	Bytes between the pieces: apart, they cannot be taken for one
 */
struct vu_tx {
	struct virtio_net_hdr hdr;
	unsigned int pieces, gap;
	bool indirect, split_hdr;
};

/* Makes @head available: a chain the test has written itself. */
void vu_post(struct vu_ring *q, uint16_t head);
/* Tells the back end of what was posted if it wants to know; @force: in any case. */
void vu_kick(struct vu_ring *q, bool force);
/* Copies a frame to a slot and posts it; no kick. -ENOSPC: no descriptors. */
int vu_tx_post(struct vu_ring *q, const void *frame, uint32_t len, const struct vu_tx *tx);
/* Takes back what is used; count. -EPROTO: the used ring lies. */
int vu_tx_reap(struct vu_ring *q);
/* Posts, kicks, waits until it is used. */
int vu_tx(struct vu_ring *q, const void *frame, uint32_t len, const struct vu_tx *tx);
/* Posts as many receive buffers as there are descriptors for (at most @max); kicks. Count. */
int vu_rx_fill(struct vu_ring *q, unsigned int max);
/*
 * The next frame, over as many buffers as it took: its length, 0: none, -EPROTO. Its buffers are
 * free then, not posted again. @n_buffers may be NULL.
 */
int vu_rx_poll(struct vu_ring *q, void *frame, uint32_t room, struct virtio_net_hdr *hdr,
	       unsigned int *n_buffers);
/* ... waits for it: on the call descriptor first, so that a lost interrupt shows. */
int vu_rx_wait(struct vu_ring *q, void *frame, uint32_t room, struct virtio_net_hdr *hdr,
	       unsigned int ms);
/* Asks for (or not) interrupts. */
void vu_irq(struct vu_ring *q, bool on);

#endif
