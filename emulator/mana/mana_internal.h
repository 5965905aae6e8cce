/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the MANA model share.
 *
 * Threads and locks. A device belongs to one worker, the owner: registers, HWC, transmit and
 * every object's life happen there. Other workers come in through one door, rx_deliver(), and
 * touch only: a vPort's steering (relaxed atomics, see struct mana_steer), one receive queue at a
 * time with its CQ (under rxq->lock), and that CQ's EQ (under eq->lock). They hold the guest
 * memory's read lock meanwhile; the owner needs none.
 *
 * Lock order: guest memory's read lock, rxq->lock, eq->lock.
 *
 * Receive queues and send queues live in arrays that stay as long as the device, so that whoever
 * found one through the steering table may always take its lock and look whether it is active.
 */
#ifndef HVLAB_EMULATOR_MANA_MANA_INTERNAL_H
#define HVLAB_EMULATOR_MANA_MANA_INTERNAL_H

#ifndef LOG_TAG
#define LOG_TAG "mana"
#endif

#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include "base/guest_mem.h"
#include "base/log.h"
#include "base/util.h"
#include "emulator/mana/flowtab.h"
#include "emulator/mana/mana.h"
#include "emulator/mana/mana_defs.h"

/* ---- Layout of BAR 0 ------------------------------------------------------------------------ */

#define MANA_BAR0_SIZE	0x10000u
#define MANA_SHM_OFF	0x400u
#define MANA_DB_OFF	0x1000u
#define MANA_DB_SIZE	0x1000u
#define MANA_N_DB_PAGES ((MANA_BAR0_SIZE - MANA_DB_OFF) / MANA_DB_SIZE)
#define MANA_DB_HWC	0u /* EQE 129 says so */
#define MANA_DB_MANA	1u /* REGISTER_DEVICE says so */

#define MANA_BAR4_SIZE	  0x8000u
#define MANA_MSIX_PBA_OFF 0x4000u
#define MANA_MAX_MSIX	  (MANA_MSIX_PBA_OFF / 16u)

/* Identities that the guest has to hand back. */
#define MANA_HWC_PDID	  1u
#define MANA_HWC_MKEY	  0x11u
#define MANA_PDID	  2u
#define MANA_GPA_MKEY	  0x2200u
#define MANA_DEV_INSTANCE 1u

#define MANA_MAX_QSIZE	      (16u << 20) /* bytes of one ring */
#define MANA_INDIR_SIZE	      128u	  /* what QUERY_VPORT_CONFIG offers */
#define MANA_SPARE_EQS	      15u	  /* beyond one per queue pair, or 64 */
#define MANA_MAX_REGIONS      4096u
#define MANA_PAGES_PER_QP     2048u /* DMA pages a guest may register, per queue pair ... */
#define MANA_PAGES_BASE	      8192u /* ... and beside that */
#define MANA_MAX_REGION_PAGES 65536u
#define MANA_TX_BURST	      32u
#define MANA_TX_BUDGET	      128u /* WQEs of one SQ before it is another's turn */

/* ---- Ids and handles, resource.c ------------------------------------------------------------ */

/*
 * Slots handed out in turn, so that an id is reused as late as possible. A handle is the id with
 * a kind and the slot's generation: one that outlived its object is caught.
 */
struct mana_ids {
	struct mana_id_slot {
		void *obj;
		uint32_t gen;
	} * slot;
	uint32_t n;	/* slots; ids are first..n-1 */
	uint32_t first; /* smallest id given out */
	uint32_t limit; /* most objects at a time */
	uint32_t used, next;
	uint8_t kind; /* tag in handles, 1..255 */
};

int ids_init(struct mana_ids *t, uint8_t kind, uint32_t first, uint32_t limit);
void ids_fini(struct mana_ids *t);
/* Id >= 0, or -ENOSPC. */
int ids_add(struct mana_ids *t, void *obj);
void ids_del(struct mana_ids *t, uint32_t id);
void *ids_get(const struct mana_ids *t, uint32_t id); /* NULL: no such object */
uint64_t ids_handle(const struct mana_ids *t, uint32_t id);
void *ids_by_handle(const struct mana_ids *t, uint64_t handle, uint32_t *id);
static inline bool ids_full(const struct mana_ids *t)
{
	return t->used >= t->limit;
}

/* ---- DMA regions, dma_region.c ----------------------------------------------------------------
 */

struct mana_region {
	uint64_t length;
	uint32_t offset;     /* in the first page */
	uint32_t page_shift; /* 12 + gdma_page_type */
	uint32_t n_pages;    /* in all */
	uint32_t n_have;     /* so far: complete when equal */
	uint64_t *page;	     /* device addresses */
};

struct mana;
uint32_t region_create(struct mana *m, const uint8_t *msg, uint32_t size, uint64_t *handle);
uint32_t region_add_pages(struct mana *m, const uint8_t *msg, uint32_t size);
uint32_t region_destroy(struct mana *m, uint64_t handle);
void region_free_all(struct mana *m);
/* For queues: complete, page-aligned, exactly @size bytes long? GDMA status. */
uint32_t region_check_queue(struct mana *m, uint64_t handle, uint32_t size);

/* ---- Rings, queue.c ----------------------------------------------------------------------------
 */

/*
 * Queue memory in 4-KiB units. The pointer of a unit is good for one generation of the guest's
 * DMA table and looked up again after a change: an access costs a compare, not a search. Units
 * are written by whoever may use the ring (see the locks above).
 */
struct mana_ring {
	struct guest_mem *mem;
	uint32_t size, mask; /* bytes, a power of two */
	unsigned int prot;
	uint32_t n_units;
	struct mana_ring_unit {
		uint64_t addr; /* device address */
		uint8_t *ptr;  /* NULL: not reachable */
		uint64_t gen;
	} * unit;
};

/* Takes the region's pages (the region's handle dies). All checks are the caller's. 0, -ENOMEM. */
int ring_from_region(struct mana *m, struct mana_ring *r, uint64_t handle, unsigned int prot);
/* One page (HWC). */
int ring_from_page(struct mana *m, struct mana_ring *r, uint64_t addr, unsigned int prot);
/* Every unit reachable now? */
bool ring_reachable(struct mana_ring *r);
void ring_fini(struct mana_ring *r);
uint8_t *ring_unit_resolve(struct mana_ring *r, struct mana_ring_unit *u, uint64_t gen);

/* Pointer to byte @off (masked); good up to the end of its 4-KiB unit. NULL: memory is gone. */
static inline uint8_t *ring_at(struct mana_ring *r, uint32_t off)
{
	struct mana_ring_unit *u = &r->unit[(off & r->mask) >> MANA_PAGE_SHIFT];
	uint64_t gen = guest_mem_generation(r->mem);
	uint8_t *p = likely(u->gen == gen) ? u->ptr : ring_unit_resolve(r, u, gen);

	return likely(p) ? p + (off & (MANA_PAGE_SIZE - 1)) : NULL;
}
/* Copies out of the ring, wrapping. False: memory is gone. */
bool ring_copy_out(struct mana_ring *r, uint32_t off, void *dst, uint32_t len);

/* ---- Event queues -------------------------------------------------------------------------------
 */

struct mana_eq {
	struct mana *m;
	pthread_mutex_t lock; /* everything below it */
	struct mana_ring ring;
	uint32_t n, log2n;
	uint32_t head; /* next to write, modulo n << OWNER_BITS; starts at n (owner bits 1) */
	uint32_t tail; /* the driver's, as its doorbells told */
	uint32_t msix;
	bool armed;
	bool starved; /* a CQ's event found it full */
	uint64_t eqes;
	/* moderation */
	bool put_off;		  /* an interrupt is due at quiet_until */
	uint64_t quiet_until;	  /* ns */
	uint64_t work;		  /* completions told since rate_since */
	uint64_t rate_since, gap; /* ns; adaptive */
	/* owner only */
	uint32_t id, db_page;
	uint32_t n_cqs; /* CQs that report here */
	bool hwc;
	bool of_function; /* made before any vPort was set up: see eq_goes() of gdma.c */
	bool tested;	  /* GENERATE_TEST_EQE has been asked for */
};

struct mana_eq *eq_new(struct mana *m, uint32_t msix, uint32_t db_page);
void eq_free(struct mana_eq *eq);
/* Once it has its ring. */
void eq_start(struct mana_eq *eq);
/*
 * *@vector: to raise, or -1. @work: completions that this event tells. 0, -ENOSPC (full), -EFAULT
 * (memory gone).
 */
int eq_post(struct mana_eq *eq, uint32_t type, uint32_t d0, uint32_t work, int *vector);
/* The same, and raises. */
int eq_post_raise(struct mana *m, struct mana_eq *eq, uint32_t type, uint32_t d0);

/* ---- Completion queues
 * ---------------------------------------------------------------------------- */

/* Guarded by the lock of the receive queue it belongs to, else the owner's. */
struct mana_cq {
	uint32_t id;
	uint32_t n, log2n;
	struct mana_ring ring;
	uint32_t head; /* as in struct mana_eq */
	uint32_t tail;
	bool armed;
	bool fresh;	    /* entries since the last event */
	bool held;	    /* its work queue stopped because it was full */
	bool owed;	    /* its event found the EQ full: again when the EQ has room */
	bool lost;	    /* memory was gone when an entry was due: told once */
	bool bounded;	    /* has an entry for every WQE its work queue can hold */
	struct mana_eq *eq; /* NULL: reports nowhere */
	uint64_t cqes, eqes;
	uint64_t told; /* of cqes, when the last event was made */
	void *owner;   /* struct mana_sq, struct mana_rxq or NULL (HWC) */
	bool is_rx;
};

void cq_start(struct mana_cq *cq, uint32_t wq_size, bool is_rx);

/*
 * Entries that may be written now. The driver tells how far it read only by doorbells, and Linux
 * rings one as late as 4 times around. A bounded CQ cannot overflow as long as the driver reads
 * an entry before it reuses the WQE, so there it is only the doorbell's modulus that limits; any
 * other waits for the doorbell (Linux rings when it finds the CQ empty, so this ends).
 */
static inline uint32_t cq_room(const struct mana_cq *cq)
{
	uint32_t lag = (cq->head - cq->tail) & ((cq->n << GDMA_CQE_OWNER_BITS) - 1);
	uint32_t most = cq->bounded ? cq->n * 7 : cq->n;

	return lag < most ? most - lag : 0;
}
/* @cqe's info without owner bits. Caller saw room. */
void cq_post(struct mana_cq *cq, const struct gdma_cqe *cqe);
/*
 * The same for an entry whose bytes 24..55 are zero, from registers: building it in memory first
 * costs two stalls of the store buffer, a tenth of a packet. @last: bytes 56..59.
 */
void cq_post_words(struct mana_cq *cq, uint64_t w0, uint64_t w1, uint64_t w2, uint32_t last,
		   uint32_t info);
/* Ends a batch: one event if armed. *@vector as in eq_post(). */
void cq_notify(struct mana_cq *cq, int *vector);
/* Its EQ goes away. Takes the receive queue's lock. */
void cq_detach(struct mana_cq *cq);
/* Doorbell. Returns false when the tail made no sense. */
bool cq_doorbell(struct mana_cq *cq, uint32_t tail, bool arm, int *vector);
bool eq_doorbell(struct mana_eq *eq, uint32_t tail, bool arm, int *vector, bool *feed);

/* ---- Work queues
 * ------------------------------------------------------------------------------------ */

struct mana_wq {
	enum gdma_queue_type type;
	uint32_t id, db_page;
	bool hwc;
	struct mana_ring ring;
	uint32_t tail;	 /* driver: posted so far, bytes, free-running */
	uint32_t cursor; /* ours: consumed so far */
};

/* A doorbell's tail that a driver can have meant: at most one ring ahead, whole basic units. */
static inline bool wq_tail_ok(const struct mana_wq *wq, uint32_t tail)
{
	return !(tail % GDMA_WQE_BU_SIZE) && tail - wq->cursor <= wq->ring.size &&
	       tail - wq->cursor >= wq->tail - wq->cursor;
}

/* Parsed head of a WQE, wqe.c. Pure. */
enum wqe_err { WQE_OK, WQE_BAD_OOB, WQE_NO_SGE, WQE_TOO_BIG, WQE_CUT };
struct mana_wqe {
	uint32_t size; /* bytes in the ring, a multiple of 32; set on errors too */
	uint16_t sgl_off;
	uint16_t data_unit;
	uint8_t n_sge;
	uint8_t oob_size;
	bool oob_in_sgl;
};
/* @head: the first 8 bytes; @avail: bytes up to the tail. */
enum wqe_err wqe_parse(const uint8_t *head, uint32_t avail, enum gdma_queue_type type,
		       struct mana_wqe *w);

struct mana_tx_meta {
	uint32_t flags; /* PKT_* */
	uint32_t vcq;
	uint16_t vp_offset;
	uint16_t vsq_frame;
	uint16_t vlan_tci;
	bool suppress_cqe;
};
/* Transmit OOB (8 or 24 bytes) to debts. CQE_TX_OKAY or the error to complete with. */
enum mana_cqe_type wqe_tx_oob(const uint8_t *oob, const struct mana_wqe *w,
			      struct mana_tx_meta *meta);

/* ---- Statistics
 * -------------------------------------------------------------------------------------- */

enum mana_cast { CAST_UCAST, CAST_MCAST, CAST_BCAST, N_CAST };
static inline enum mana_cast mac_cast(const uint8_t *mac)
{
	if (!(mac[0] & 1))
		return CAST_UCAST;
	return (mac[0] & mac[1] & mac[2] & mac[3] & mac[4] & mac[5]) == 0xff ? CAST_BCAST
									     : CAST_MCAST;
}

/* Frames after segmentation, Ethernet header counted, FCS not. */
struct mana_traffic {
	uint64_t packets[N_CAST], bytes[N_CAST];
};
static inline uint64_t traffic_packets(const struct mana_traffic *t)
{
	return t->packets[CAST_UCAST] + t->packets[CAST_MCAST] + t->packets[CAST_BCAST];
}
static inline uint64_t traffic_bytes(const struct mana_traffic *t)
{
	return t->bytes[CAST_UCAST] + t->bytes[CAST_MCAST] + t->bytes[CAST_BCAST];
}

#define MANA_N_TX_ERR (CQE_TX_GDMA_ERR - CQE_TX_OKAY + 1)

struct mana_tx_stats {
	struct mana_traffic traffic;
	uint64_t wqes, tso, errors, held_ns, doorbells, cqes, eqes;
	uint64_t err[MANA_N_TX_ERR]; /* by CQE type - CQE_TX_OKAY */
};
struct mana_rx_stats {
	struct mana_traffic traffic;
	uint64_t wqes, no_buffer, errors, coalesced, disabled, doorbells, cqes, eqes;
};
void tx_stats_add(struct mana_tx_stats *sum, const struct mana_tx_stats *s);
void rx_stats_add(struct mana_rx_stats *sum, const struct mana_rx_stats *s);

/* ---- Send queues, tx.c
 * --------------------------------------------------------------------------------- */

struct mana_vport;

/* Owner only. */
struct mana_sq {
	struct mana_wq wq;
	struct mana_cq cq;
	struct mana_vport *vp;
	uint32_t index; /* in the vPort */
	uint32_t obj;	/* id in m->objs */
	bool active;
	bool dirty;	/* on m->dirty */
	/*
	 * A WQE whose packet was told to wait is not consumed and not kept: it is read again when
	 * its receiver woke us (waiting), going on at seg_done. When our patience with that
	 * receiver is over the queue is stuck: this packet does not wait again.
	 */
	bool waiting, stuck;
	bool delayed; /* its packet waits for bandwidth, with @delay */
	uint32_t seg_done;
	struct pkt_delay delay;
	uint64_t wait_since;
	struct vsw_waiter waiter;
	struct worker_timer hold, delay_timer;
	TAILQ_ENTRY(mana_sq) link;
	struct mana_tx_stats stats;
};

void tx_start(struct mana_sq *sq);
void tx_stop(struct mana_sq *sq);
void tx_kick(struct mana_sq *sq); /* new tail, room or bandwidth: put it on the list */
/* The limits have changed: who waits for bandwidth asks again. */
void tx_undelay(struct mana_sq *sq);
/* One turn for every dirty queue. True when there is more to do at once. */
bool tx_run(struct mana *m);

/* ---- Receive side, rss.c, steer.c, rx.c
 * ---------------------------------------------------------------------- */

/* The guest gets whole frames with finished checksums; the tag goes into the completion. */
#define MANA_RX_CAPS (VSW_CAP_VLAN | VSW_CAP_VLAN_STRIP)

/* Toeplitz, four bits of input at a time. Written by the owner, read by anyone. */
#define RSS_INPUT_MAX 36 /* bytes: two IPv6 addresses, two ports */
struct mana_rss {
	_Atomic uint32_t tab[RSS_INPUT_MAX * 2][16];
};
void rss_set_key(struct mana_rss *rss, const uint8_t key[MANA_HASH_KEY_SIZE]);
uint32_t rss_hash(const struct mana_rss *rss, const uint8_t *in, uint32_t pos, uint32_t len);
/* NDIS_HASH_* of what was hashed, 0: none (and hash 0). @pkt is parsed. */
uint32_t rss_hash_pkt(const struct mana_rss *rss, const struct pkt *pkt, uint32_t *hash);

/*
 * Which queue a packet goes to. Readers take no lock; they note gen first and look again once
 * they hold the queue's lock. The owner changes the words, then gen, then takes each queue's
 * lock (FENCE_RQ does): after that nothing arrives by the old rules.
 */
#define STEER_NONE (-1)
struct mana_steer {
	_Atomic uint32_t gen;
	_Atomic bool rss;
	_Atomic uint32_t n_indir;			     /* power of two, or 0 */
	_Atomic int16_t indir[MANA_INDIRECT_TABLE_MAX_SIZE]; /* receive queue index or STEER_NONE */
	_Atomic int16_t def;
	struct mana_rss hash;
	/* owner only */
	bool rx_enabled, coalesce;
};

/* Under lock where not said otherwise. */
struct mana_rxq {
	pthread_mutex_t lock;
	struct mana_wq wq;
	struct mana_cq cq;
	struct mana_vport *vp; /* constant */
	uint32_t index;	       /* constant */
	uint32_t obj;	       /* owner only */
	bool active;	       /* has rings */
	bool enabled;	       /* the vPort's receive is on */
	bool coalesce;
	uint32_t n_pend; /* packets stored whose CQE is not written yet */
	struct mana_rxcomp_oob pend;
	struct mana_rx_stats stats;
};

extern const struct vsw_port_ops mana_port_ops;
/* Under lock: the CQE of what has been stored. */
void rxq_flush(struct mana_rxq *q);
void rx_start(struct mana_rxq *q);
void rx_stop(struct mana_rxq *q);

void steer_reset(struct mana_vport *vp);
void steer_forget(struct mana_vport *vp, uint32_t rxq_index);
/* Receive on or off for every queue of the vPort, and all that hangs on it. */
void steer_enable(struct mana_vport *vp, bool on);

/* ---- vPorts
 * ----------------------------------------------------------------------------------------------------
 */

struct mana_vport {
	struct vsw_port port;
	struct mana *m;
	uint32_t index;
	struct mana_vport_conf conf; /* defaults filled in */
	uint32_t id;		     /* in m->vport_ids */
	bool tx_configured;
	bool taking_over; /* receive on was put off */
	uint32_t db_page;
	struct mana_sq *sq; /* conf.max_queues of each */
	struct mana_rxq *rxq;
	uint32_t n_sq, n_rq;
	uint32_t offered, offered_next; /* queue pairs: to this driver, to the next */
	struct mana_steer steer;
	uint32_t clamp_mbps; /* SET_BW_CLAMP; 0: none */
	struct flowtab flows;
	/* Of queues that are gone. */
	struct mana_tx_stats tx_past;
	struct mana_rx_stats rx_past;
};

/* ---- The device
 * --------------------------------------------------------------------------------------------------
 */

struct mana_hwc {
	bool up;
	struct mana_eq *eq;
	struct mana_cq cq;
	struct mana_wq sq, rq;
	/* The request in hwc_req was put off until the timer fires, and those behind it. */
	bool waits;
	uint32_t pos, got;    /* of that request: WQE, bytes */
	uint64_t waits_since; /* ns; 0: not */
	struct worker_timer again;
};

enum mana_db_state { DB_FREE, DB_FIXED, DB_RANGE };
struct mana_db_page {
	enum mana_db_state state;
	uint32_t users; /* EQs and vPorts */
};

struct mana_burst_slot {
	uint32_t size;
	enum mana_cqe_type cqe;
	bool suppress;
};

TAILQ_HEAD(mana_dirty, mana_sq);

struct mana {
	char name[VSW_NAME_SIZE];
	struct worker *worker;
	struct vfuser *vu;
	struct guest_mem *mem;
	struct mana_conf conf;
	uint32_t n_msix;
	uint32_t n_vports, n_qps; /* queue pairs, all vPorts */
	struct mana_vport vport[MANA_MAX_VPORTS];

	uint8_t shm[SMC_APERTURE_SIZE];
	uint64_t db_low_off; /* first half of a doorbell written in two */
	uint32_t db_low;

	struct mana_hwc hwc;
	struct mana_db_page db[MANA_N_DB_PAGES];
	struct mana_ids eqs, cqs, wqs, objs, regions, vport_ids;
	uint64_t region_pages, max_region_pages;
	uint8_t hwc_req[HW_CHANNEL_MAX_REQUEST_SIZE] __attribute__((aligned(8)));
	uint8_t hwc_resp[HW_CHANNEL_MAX_RESPONSE_SIZE] __attribute__((aligned(8)));

	struct mana_dirty dirty;
	struct worker_turn turn;
	struct mana_burst_slot slot[MANA_TX_BURST];
	struct pkt burst[MANA_TX_BURST];

	bool registered;     /* REGISTER_DEVICE */
	bool held;	     /* by a driver: MANA_EV_RELEASED is still to come */
	bool link_event_due; /* to be sent after the response under way */
	bool stats_silent;
	bool connected;
	bool isolated; /* by mana_isolate(), until the next client */

	/* Moderation. Read by any thread; the owner's: the timer. */
	_Atomic int moderation;
	_Atomic bool mod_posted; /* a letter to look after put-off interrupts is under way */
	_Atomic uint64_t irqs_put_off;
	struct worker_timer mod_timer;

	/* figures */
	uint64_t hwc_requests, hwc_errors, hwc_unanswered, resets, flrs;
	uint64_t driver_caps[4];
	uint32_t os_type, os_ver_major, os_ver_minor, os_ver_build, os_ver_platform;
	char os_ver_str[4][128];

	/* Any thread: guest errors. */
	pthread_mutex_t err_lock;
	uint64_t guest_errors;
	char last_error[160];
	struct log_limit err_limit;
	bool err_posted; /* a letter that reports it is under way */
	uint32_t err_vport;
};

static inline struct mana_vport *port_to_vport(struct vsw_port *port)
{
	return CONTAINER_OF(port, struct mana_vport, port);
}

/*
 * The guest did something wrong: counted, kept as last_error, and (so many a second) logged and
 * reported as an event. Any thread.
 */
void guest_error(struct mana *m, uint32_t vport, const char *fmt, ...) PRINTF_LIKE(3, 4);
void mana_emit(struct mana *m, enum mana_event_type type, uint32_t vport, const char *text);
/* Everything the guest's driver made is gone; identity and figures stay. @why: RELEASED's text. */
void device_clear(struct mana *m, const char *why);
/* The driver has given the function up. */
void device_released(struct mana *m, const char *why);

/* moderate.c. Under eq->lock, any thread: the vector to raise now, or -1: it comes later. */
int moderate_irq(struct mana_eq *eq);
/* Adaptive: nanoseconds between interrupts at that many completions a second. */
uint64_t moderate_gap(uint64_t rate);
void moderate_init(struct mana *m);
void moderate_fini(struct mana *m);

/* smc.c */
void smc_write(struct mana *m, uint32_t off, const uint8_t *buf, uint32_t size);

/* hwc.c */
int hwc_establish(struct mana *m, uint64_t eq, uint64_t cq, uint64_t rq, uint64_t sq,
		  uint32_t msix);
void hwc_down(struct mana *m);
void hwc_sq_doorbell(struct mana *m, uint32_t tail);
void hwc_rq_doorbell(struct mana *m, uint32_t tail);

/* One request, headers already checked. */
struct hwc_msg {
	uint32_t type;
	uint32_t size;	       /* of the message, headers included */
	uint16_t version;      /* of the request */
	uint16_t resp_version; /* that we answer with */
	uint16_t dev_type, dev_instance;
	const uint8_t *data; /* whole message */
	uint8_t *resp;	     /* zeroed, for the whole response */
	uint32_t resp_size;  /* of the response; a handler may make it smaller */
	bool no_answer;	     /* handler: stay silent */
	bool again;	     /* handler: nothing was done, call it again in a moment */
};

struct hwc_command {
	const char *name;
	uint32_t type;
	uint16_t max_version, max_resp_version;
	uint16_t min_size, max_size; /* of the request */
	uint16_t resp_size;
	bool registered; /* only after REGISTER_DEVICE */
	bool mana;	 /* dev_id must name the Ethernet function */
	/* NULL: unsupported */
	uint32_t (*handler)(struct mana *m, struct hwc_msg *msg);
};
extern const struct hwc_command gdma_commands[], mana_commands[];
extern const unsigned int n_gdma_commands, n_mana_commands;

/* vport.c */
int vport_init(struct mana *m, uint32_t index, const struct mana_vport_conf *conf);
void vport_fini(struct mana_vport *vp);
void vport_clear(struct mana_vport *vp);
struct mana_vport *vport_by_handle(struct mana *m, uint64_t handle);
uint32_t steer_configure(struct mana *m, struct hwc_msg *msg);

/* link.c */
/* Does the driver know of links? */
bool link_heard(const struct mana *m);
void link_send_state(struct mana *m);

/* stats.c */
uint32_t stats_query_gf(struct mana *m, struct hwc_msg *msg);
uint32_t stats_query_phy(struct mana *m, struct hwc_msg *msg);

#endif
