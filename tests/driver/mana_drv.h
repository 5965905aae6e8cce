/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A small MANA driver for tests: the guest's side, over vfio-user, without a guest.
 *
 * It does what Linux drivers/net/ethernet/microsoft/mana does, from those sources and not from
 * the emulator's: ring arithmetic, owner bits, the order of bring-up, what is checked in a
 * completion. Where Linux would WARN, drv.violations counts and says what; a test ends with
 * drv_no_violations().
 *
 * One thread per driver. Functions return 0 or -errno where not said otherwise. Everything in
 * the structs may be looked at and, by tests that mean harm, changed.
 */
#ifndef HVLAB_TESTS_DRIVER_MANA_DRV_H
#define HVLAB_TESTS_DRIVER_MANA_DRV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "emulator/mana/gdma_defs.h"
#include "emulator/mana/mana_defs.h"

struct vfu_client;

#define DRV_PAGE	4096u
#define DRV_MAX_VECTORS 128
#define DRV_MAX_EVENTS	64
#define DRV_BAR		0 /* vfio-user region of the registers */
#define DRV_CONFIG	7 /* vfio-user region of the configuration space */
#define DRV_TX_SLOTS	64
#define DRV_TX_SLOT_SZ	(72u * 1024)

/* Linux 7.2's GDMA_DRV_CAP_FLAGS1 */
#define DRV_CAPS_72 0x27e686dull

/**
 * struct drv_conf - How the driver is set up; zero means the default
 * @mem_size:	Bytes of guest memory: 32 MiB
 * @mem_gpa:	Where it starts: 1 MiB
 * @n_maps:	Sent as that many adjacent DMA_MAPs: 2, so that buffers can span two
 * @masquerade:	Expect the MSI-X masquerade (vectors as DMA_WRITE) instead of eventfds
 * @no_fd:	Map memory without its descriptor (share=off): nothing works, nothing breaks
 */
struct drv_conf {
	size_t mem_size;
	uint64_t mem_gpa;
	unsigned int n_maps;
	bool masquerade;
	bool no_fd;
};

struct drv;

/**
 * struct drv_queue - A ring, as Linux struct gdma_queue
 * @head:	SQ, RQ: posted, in basic units. CQ, EQ: consumed, in entries, starting at the
 *		number of entries (owner bits 1)
 * @tail:	SQ, RQ: completed, in basic units
 * @region:	DMA region handle while the driver still owns it
 * @unrung:	CQ: entries consumed since its last doorbell
 * @ring_every:	CQ: the doorbell (without arming) comes after that many; 0: half the entries.
 *		Linux rings when it finds a CQ empty, and at the latest after 4 times its entries.
 */
struct drv_queue {
	struct drv *d;
	enum gdma_queue_type type;
	uint32_t id;
	uint32_t db_page;
	uint8_t *ring;
	uint64_t gpa;
	uint32_t size;
	uint32_t head, tail;
	uint64_t region;
	uint32_t msix;
	uint32_t unrung, ring_every;
};

struct drv_event {
	uint32_t type;
	uint32_t details[3];
};

struct drv_comp {
	uint32_t data[GDMA_COMP_DATA_SIZE / 4];
	uint32_t wq_num;
	bool is_sq;
};

struct drv {
	struct vfu_client *vc;
	struct drv_conf conf;
	/* guest memory */
	int mem_fd;
	uint8_t *mem;
	size_t mem_size;
	uint64_t mem_gpa;
	uint8_t *page_used;
	uint32_t n_pages, page_hint;
	/* PCI */
	uint64_t bar0_size;
	uint16_t cap_msix; /* offset of the MSI-X capability, 0: not shown */
	uint32_t msix_bar, msix_table;
	uint64_t db_off, shm_off;
	uint32_t db_size;
	/* interrupts: one eventfd, or a count of DMA_WRITEs, per vector */
	uint32_t n_vectors;
	int irq_fd[DRV_MAX_VECTORS];
	uint64_t irq_count[DRV_MAX_VECTORS];
	uint64_t irq_unknown; /* DMA_WRITEs to no vector of ours */
	/* HWC */
	bool hwc_up, hwc_init_done;
	struct drv_queue hwc_eq, hwc_cq, hwc_rq, hwc_sq;
	uint32_t hwc_depth, hwc_max_req, hwc_max_resp, hwc_max_cqs, hwc_pdid, hwc_mkey, hwc_db;
	uint8_t *hwc_req, *hwc_resp;
	uint64_t hwc_req_gpa, hwc_resp_gpa;
	bool hwc_got;	       /* the response of the request under way has come */
	uint32_t hwc_resp_len; /* of the last response */
	uint32_t hwc_timeout_ms;
	uint16_t next_msg_id;
	uint32_t activity;
	uint32_t test_eq; /* EQ id of the last test event */
	struct drv_event
		events[DRV_MAX_EVENTS]; /* HWC events that are neither init nor completion */
	unsigned int n_events;
	/* the Ethernet function */
	struct gdma_dev_id mana;
	uint32_t pdid, mkey, db_page;
	/* transmit buffers */
	uint8_t *tx_mem;
	uint64_t tx_gpa;
	uint64_t tx_free; /* bit per slot */
	/* what Linux would have warned about */
	unsigned int violations;
	char violation[160];
};

/* ---- Memory -------------------------------------------------------------------------- */

/* Zeroed pages of guest memory, contiguous. NULL when there are none. */
void *drv_alloc(struct drv *d, size_t size, uint64_t *gpa);
void drv_free(struct drv *d, uint64_t gpa, size_t size);
void *drv_ptr(struct drv *d, uint64_t gpa);
uint64_t drv_gpa(struct drv *d, const void *ptr);
/* Device address of the seam between the first two DMA maps. */
uint64_t drv_seam(const struct drv *d);

/* ---- Bus ------------------------------------------------------------------------------- */

/* Takes a connected socket: VERSION, DMA_MAP, DEVICE_RESET, capabilities, vectors, registers. */
int drv_open(struct drv *d, int sock, const struct drv_conf *conf);
/* Closes the socket without a word to the device and frees everything. */
void drv_close(struct drv *d);
int drv_rd(struct drv *d, uint64_t off, void *buf, size_t size);
/* Posted write, as QEMU does for BARs. */
int drv_wr(struct drv *d, uint64_t off, const void *buf, size_t size);
/* Synchronous write. 0 or the server's errno. */
int drv_wr_sync(struct drv *d, uint64_t off, const void *buf, size_t size);
int drv_cfg_rd(struct drv *d, uint32_t off, void *buf, size_t size);
int drv_cfg_wr(struct drv *d, uint32_t off, const void *buf, size_t size);
int drv_dma_map(struct drv *d, uint64_t gpa, uint64_t size, uint64_t fd_off);
int drv_dma_unmap(struct drv *d, uint64_t gpa, uint64_t size);
int drv_device_reset(struct drv *d);
int drv_flr(struct drv *d);
/*
 * Everything written before has been seen by the device and what it does at once is done: three
 * synchronous reads, each in a batch of its own.
 */
void drv_barrier(struct drv *d);
/* Reads what the server sent on its own (DMA_WRITE). */
void drv_pump(struct drv *d);
/* True when @vector has fired since it was last asked; forgets it. */
bool drv_irq_take(struct drv *d, uint32_t vector);
bool drv_irq_wait(struct drv *d, uint32_t vector, unsigned int ms);
void drv_violation(struct drv *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* ---- Shared-memory channel and HWC -------------------------------------------------------- */

/* The eight writes of mana_smc_setup_hwc(); frames are page frame numbers. */
int drv_smc_write_establish(struct drv *d, uint64_t eq, uint64_t cq, uint64_t rq, uint64_t sq,
			    uint16_t msix, uint32_t hdr);
/* Last dword once the device has given the channel back; -ETIMEDOUT. */
int drv_smc_poll(struct drv *d, uint32_t *last);
/* 0, or the SMC status as a positive number, or -errno. */
int drv_smc_teardown(struct drv *d, bool reset_vf);

/* mana_hwc_create_channel(): rings, SMC, EQEs 129-131, receive WQE, test event. */
int drv_hwc_up(struct drv *d);
void drv_hwc_down(struct drv *d);
/* Frees the driver's side only: after a reset there is nobody to talk to. */
void drv_hwc_forget(struct drv *d);
/* Processes the HWC's EQ as mana_gd_process_eq_events() does. True when there was an entry. */
bool drv_hwc_events(struct drv *d);
/* Waits for an event that is neither init nor completion; false on time-out. */
bool drv_hwc_wait_event(struct drv *d, uint32_t type, struct drv_event *ev, unsigned int ms);

/* Post any bytes as a request, not waiting. */
int drv_hwc_post(struct drv *d, const void *req, uint32_t len);
/* Wait for the response to drv_hwc_post(); it lies in d->hwc_resp, d->hwc_resp_len bytes. */
int drv_hwc_wait(struct drv *d, unsigned int ms);
/*
 * A request whose headers are filled in here except what is already set (non-zero): hwc_msg_id,
 * activity_id. 0: *@status and @resp hold the answer. -EPROTO: the answer's header is not ours.
 */
int drv_hwc_request(struct drv *d, void *req, uint32_t req_len, void *resp, uint32_t resp_len,
		    uint32_t *status);
/* req.hdr of a message version 1, as mana_gd_init_req_hdr(). */
void drv_hdr(struct drv *d, void *req, uint32_t code, uint32_t req_size, uint32_t resp_size);

/* ---- Messages: 0, GDMA status as a positive number is not possible, so: -EREMOTEIO and *st -- */

/* The status of the last message helper below that returned -EREMOTEIO. */
uint32_t drv_last_status(void);

int drv_verify_version(struct drv *d, uint64_t caps, struct gdma_verify_ver_resp *resp);
int drv_query_max(struct drv *d, struct gdma_query_max_resources_resp *resp);
int drv_list_devices(struct drv *d, struct gdma_list_devices_resp *resp);
int drv_register(struct drv *d);
int drv_deregister(struct drv *d);
int drv_query_dev_cfg(struct drv *d, uint16_t resp_ver, struct mana_query_device_cfg_resp *resp);
int drv_query_vport(struct drv *d, uint32_t index, struct mana_query_vport_cfg_resp *resp);
int drv_config_vport_tx(struct drv *d, uint64_t vport, struct mana_config_vport_resp *resp);
/*
 * DMA region over @n pages at @pages, @per_msg page addresses per message (0: as many as fit).
 */
int drv_region_create(struct drv *d, const uint64_t *pages, uint32_t n, uint64_t length,
		      uint32_t offset, uint32_t per_msg, uint64_t *handle);
/* ... over contiguous guest memory. */
int drv_region_of(struct drv *d, uint64_t gpa, uint64_t length, uint64_t *handle);
int drv_region_destroy(struct drv *d, uint64_t handle);
int drv_test_eqe(struct drv *d, uint32_t eq_id);
int drv_disable_queue(struct drv *d, enum gdma_queue_type type, uint32_t id);
int drv_create_wqobj(struct drv *d, const struct mana_create_wqobj_req *req,
		     struct mana_create_wqobj_resp *resp);
int drv_destroy_wqobj(struct drv *d, enum gdma_queue_type type, uint64_t handle);
int drv_fence(struct drv *d, uint64_t handle);
int drv_gf_stat(struct drv *d, struct mana_query_gf_stat_resp *resp);
int drv_bw_clamp(struct drv *d, uint64_t vport, uint32_t enable, uint32_t mbps,
		 uint8_t *unconfigured);
int drv_link_config(struct drv *d, uint64_t vport, struct mana_query_link_config_resp *resp);

struct drv_steer {
	uint64_t vport;
	uint32_t rx, rss; /* TRI_STATE_* */
	bool set_default, set_key, set_tab;
	uint64_t def_obj;
	uint8_t key[MANA_HASH_KEY_SIZE];
	bool coalesce;
	uint16_t n_tab;
	uint64_t tab[MANA_INDIRECT_TABLE_MAX_SIZE];
	uint16_t version;      /* 0: 2 */
	uint16_t resp_version; /* 0: as version; 6.1 asks 2 and expects 1 */
};
int drv_steer(struct drv *d, const struct drv_steer *s);

/* verify, list, max, dev cfg, register: everything up to the queues, in 7.2's order. */
int drv_bring_up(struct drv *d);

/* ---- Rings -------------------------------------------------------------------------------- */

/* Memory and DMA region; the queue has no id yet. */
int drv_queue_init(struct drv *d, struct drv_queue *q, enum gdma_queue_type type, uint32_t size);
void drv_queue_fini(struct drv_queue *q);
/* EQ with its CREATE_QUEUE message. */
int drv_eq_create(struct drv *d, struct drv_queue *eq, uint32_t size, uint32_t msix);
int drv_eq_destroy(struct drv_queue *eq);
/* A raw doorbell; @cnt is the arm bit for CQ and EQ, wqe_cnt for RQ. */
void drv_db(struct drv *d, uint32_t page, enum gdma_queue_type type, uint32_t id, uint32_t tail,
	    uint8_t cnt);
void drv_wq_ring(struct drv_queue *q);
void drv_cq_ring(struct drv_queue *q, bool arm);
void drv_eq_ring(struct drv_queue *q, bool arm);
/* Consumes entries: rings a CQ that has not been rung for long. */
void drv_cq_keep_up(struct drv_queue *cq);
/* One entry; 1, 0 when empty, -EOVERFLOW when the owner bits are neither old nor new. */
int drv_cq_read(struct drv_queue *cq, struct drv_comp *c);
int drv_eq_read(struct drv_queue *eq, struct drv_event *ev);
uint32_t drv_wq_avail(const struct drv_queue *wq); /* bytes */
/* Ring memory at byte offset @off (free-running); wraps. */
void drv_wq_put(struct drv_queue *wq, uint32_t off, const void *src, uint32_t len);

struct drv_sge {
	uint64_t gpa;
	uint32_t len;
};

/**
 * struct drv_wqe - A WQE as its bits, so that tests can write any nonsense
 */
struct drv_wqe {
	const struct drv_sge *sge;
	uint32_t num_sge;
	uint32_t oob_size; /* 8 or 24; anything for tests of the impossible */
	const void *oob;
	uint32_t last_vbytes;
	bool oob_in_sgl;
	uint32_t data_unit;
	uint32_t mkey;	    /* 0: the right one */
	uint32_t claim_sge; /* 0: num_sge; else what the header claims */
};
/* Writes it and moves head; no doorbell. Bytes used, or -ENOSPC, -EMSGSIZE. */
int drv_wqe_post(struct drv_queue *wq, const struct drv_wqe *w);

/* ---- The vPort: queue pairs, packets --------------------------------------------------------- */

#define DRV_TX_PENDING 1024

struct drv_txq {
	struct drv_queue wq, cq;
	uint64_t obj;
	struct drv_vport *vp;
	uint32_t pend_head, pend_tail;
	struct drv_pend {
		uint16_t bu;
		int8_t slot;
	} pend[DRV_TX_PENDING];
};

struct drv_rxq {
	struct drv_queue wq, cq;
	uint64_t obj;
	struct drv_vport *vp;
	uint32_t n_buf, buf_size, next_buf;
	uint32_t posted; /* WQEs with the device */
	uint8_t *buf;
	uint64_t buf_gpa;
	bool manual;	      /* do not post again what was received: the test refills */
	struct drv_comp comp; /* of which packets are still to be taken */
	unsigned int comp_next, comp_n;
	bool owe_fill; /* the last packet's buffer is to be posted again */
	unsigned int fences, truncated;
	uint64_t coalesced[MANA_RXCOMP_OOB_NUM_PPI + 1]; /* completions by packets in them */
};

/* Zero: default. */
struct drv_vport_conf {
	unsigned int n_queues; /* 1 */
	uint32_t tx_ring;      /* bytes of a send queue: 8192 */
	uint32_t rx_bufs;      /* 64 */
	uint32_t rx_buf_size;  /* 2048 */
	uint32_t eq_size;      /* 32768 */
	uint32_t cq_size;      /* bytes; enough for the ring */
	bool manual_rx;	       /* struct drv_rxq manual */
	bool no_rx_fill;       /* post no receive buffers */
	bool no_steer;	       /* do not turn receive on */
	bool coalesce, rss;
	uint8_t key[MANA_HASH_KEY_SIZE];
};

struct drv_vport {
	struct drv *d;
	struct drv_vport_conf conf;
	uint32_t index;
	uint64_t handle;
	uint8_t mac[6];
	uint32_t max_sq, max_rq, n_indir;
	uint16_t vp_offset;
	bool short_ok;
	unsigned int nq;
	struct drv_queue *eq;
	struct drv_txq *tx;
	struct drv_rxq *rx;
};

/* mana_alloc_queues() of 7.2: vPort, EQs, send queues, receive queues, steering, fences. */
int drv_vport_up(struct drv *d, struct drv_vport *vp, uint32_t index,
		 const struct drv_vport_conf *conf);
/* mana_dealloc_queues() */
int drv_vport_down(struct drv_vport *vp);
/* Frees the driver's side only. */
void drv_vport_forget(struct drv_vport *vp);
int drv_rx_create(struct drv_vport *vp, struct drv_rxq *q, const struct drv_queue *eq);
int drv_tx_create(struct drv_vport *vp, struct drv_txq *q, const struct drv_queue *eq);
/* Fills the steering message for this vPort's state; indirection i -> queue i % nq. */
void drv_vport_steer(const struct drv_vport *vp, struct drv_steer *s);

/**
 * struct drv_tx - What to do with a packet; zero is a plain frame
 * @mss:	TSO: client_data_unit, and client_oob_in_sgl = 1
 * @hdr_len:	TSO: bytes of the first SGE
 * @pieces:	Spread the frame over that many SGEs (0: 1, or 2 with @hdr_len)
 * @vlan:	TCI to insert, with @has_vlan
 * @long_oob:	24-byte OOB although 8 would do
 */
struct drv_tx {
	uint32_t mss, hdr_len, pieces;
	bool ip_csum, tcp_csum, udp_csum, v4, v6;
	uint16_t trans_off;
	bool has_vlan, long_oob;
	uint16_t vlan;
	int vp_offset_add; /* added to the right vPort offset: tests */
};

/* The OOB that mana_start_xmit() would write. Returns its size. */
uint32_t drv_tx_oob(const struct drv_txq *q, const struct drv_tx *tx, struct mana_tx_oob *oob);
/* Copies the frame to a slot and posts; no doorbell. -EBUSY: no slot; -ENOSPC: ring full. */
int drv_tx_frame(struct drv_txq *q, const void *data, uint32_t len, const struct drv_tx *tx);
/* Posts SGEs as they are. */
int drv_tx_sges(struct drv_txq *q, const struct drv_sge *sge, uint32_t n, const struct drv_tx *tx);
void drv_tx_ring(struct drv_txq *q);
/* One completion: its CQE type, 0 when none has come. */
int drv_tx_poll(struct drv_txq *q);
int drv_tx_wait(struct drv_txq *q, unsigned int ms);
/* Frame, doorbell, completion; CQE type or -errno. */
int drv_send(struct drv_txq *q, const void *data, uint32_t len, const struct drv_tx *tx);

/**
 * struct drv_rx - A received packet
 */
struct drv_rx {
	unsigned int queue;
	uint32_t len;
	uint32_t flags; /* MANA_RX_* */
	uint32_t hash;
	uint32_t cqe_type;
	unsigned int coalesced; /* packets in its completion */
	uint8_t *data;		/* in guest memory; until the next poll of this queue */
};

/*
 * 1: *@rx, 0: nothing there. First posts the buffer of the packet before again and rings, unless
 * the queue is manual.
 */
int drv_rx_poll(struct drv_rxq *q, struct drv_rx *rx);
/* Any queue of the vPort. */
bool drv_recv(struct drv_vport *vp, struct drv_rx *rx, unsigned int ms);
/* Nothing is on its way to this vPort: barrier, then all queues empty. */
bool drv_recv_none(struct drv_vport *vp);
/* Post up to @n buffers and ring once. */
void drv_rx_fill(struct drv_rxq *q, uint32_t n);
/* Consumes completions until one fence has come. */
bool drv_rx_wait_fence(struct drv_rxq *q, unsigned int ms);

/* Fails the cmocka test when violations were counted. */
#define drv_no_violations(d)                                                                       \
	do {                                                                                       \
		if ((d)->violations)                                                               \
			print_error("%u violations, the first: %s\n", (d)->violations,             \
				    (d)->violation);                                               \
		assert_int_equal((d)->violations, 0);                                              \
	} while (0)

#endif
