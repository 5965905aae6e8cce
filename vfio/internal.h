/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of this folder share and nobody else sees. */
#ifndef HVLAB_VFIO_INTERNAL_H
#define HVLAB_VFIO_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/util.h"
#include "vfio/proto.h"
#include "vfio/vfuser.h"

#define VFU_MAX_FDS	16  /* per message; what we tell the client */
#define VFU_MAX_OUT	(8u << 20) /* bytes a client may leave unread before it loses us */
#define VFU_MAX_DMA_OPS 64  /* server-initiated DMA under way */
#define VFU_N_REGIONS	VFIO_PCI_NUM_REGIONS
#define VFU_N_IRQS	VFIO_PCI_NUM_IRQS
#define VFU_CFG_SIZE	4096u

/* transport.c ------------------------------------------------------------------------------ */

/* A message that could not be sent at once. */
struct vfu_out {
	struct vfu_out *next;
	size_t len, off;
	unsigned int n_fds; /* sent with the first byte */
	int fds[VFU_MAX_FDS]; /* duplicates of our own */
	uint8_t data[];
};

/*
 * One connection. Receiving is the owner's; sending is under @tx_lock, because interrupts come
 * from any thread. Lock order: irq.lock, then tx_lock.
 */
struct vfu_conn {
	int fd; /* changes under tx_lock */
	struct worker_fd wfd;
	uint8_t *rx;
	size_t rx_room, rx_start, rx_end;
	uint64_t rx_pos; /* stream offset of rx_end */
	int fds[VFU_MAX_FDS];
	unsigned int n_fds;
	uint64_t fds_end; /* stream offset where the read that brought them ended */
	pthread_mutex_t tx_lock;
	struct vfu_out *out_first, **out_last;
	size_t out_bytes;
};

/* One whole message as it lies in the receive buffer. */
struct vfu_msg {
	struct vfio_user_hdr hdr;
	const uint8_t *body;
	size_t len; /* of @body */
	int *fds;   /* set an entry to -1 to keep the descriptor */
	unsigned int n_fds;
};

void conn_init(struct vfu_conn *c);
void conn_open(struct vfu_conn *c, int fd);
void conn_close(struct vfu_conn *c);
void conn_fini(struct vfu_conn *c);
/* Reads once. >0 bytes, 0 end of file, -EAGAIN, other -errno: the connection is lost. */
ssize_t conn_fill(struct vfu_conn *c, size_t max_msg);
/* The next whole message. 1, 0 (not there yet), -EPROTO (framing broken). */
int conn_next(struct vfu_conn *c, size_t max_msg, struct vfu_msg *m);
/* Done with the message of conn_next(): frees it and closes the descriptors it did not keep. */
void conn_done(struct vfu_conn *c, struct vfu_msg *m);
/* Owner: queued when the socket is full. 0, -ENOBUFS (client does not read), -errno. */
int conn_send(struct vfu_conn *c, const struct iovec *iov, unsigned int n_iov, const int *fds,
	      unsigned int n_fds);
/* Any thread: all now or not at all. 0, -EAGAIN, -ENOTCONN, -errno. */
int conn_try_send(struct vfu_conn *c, const void *buf, size_t len);
/* Owner, socket writable. 0 drained, -EAGAIN more is left, -errno. */
int conn_flush(struct vfu_conn *c);
bool conn_has_out(struct vfu_conn *c);

/* irq.c ------------------------------------------------------------------------------------ */

struct vfu_vector {
	uint8_t entry[16]; /* MSI-X table entry, little endian as in the BAR */
	int fd;				     /* native: eventfd, -1 none */
	bool pending;			     /* raised while masked */
	bool unsent;			     /* raised, the socket was full */
};

struct vfu_irq {
	pthread_mutex_t lock;
	enum vfuser_msix_mode mode; /* of this client: never AUTO */
	unsigned int n;		    /* vectors: MSI-X, or MSI when there is no MSI-X */
	bool visible;		    /* masquerade: the guest sees the capability */
	bool enabled, func_mask;
	bool bus_master;
	bool intx_level, intx_masked;
	int intx_fd;
	struct vfu_vector *v;
	bool any_unsent;
};

int irq_init(struct vfuser *vu);
void irq_fini(struct vfuser *vu);
/* A new client: everything off, masked, masquerade armed. */
void irq_new_client(struct vfuser *vu);
void irq_drop_client(struct vfuser *vu);
/* Client's DEVICE_RESET: masquerade shows MSI-X, enable and table cleared. */
void irq_device_reset(struct vfuser *vu);
/* Message control as the guest sees it, and its writes. */
void irq_set_control(struct vfuser *vu, bool enabled, bool func_mask);
void irq_set_bus_master(struct vfuser *vu, bool on);
void irq_table_access(struct vfuser *vu, uint32_t off, void *buf, size_t size, bool write);
void irq_pba_read(struct vfuser *vu, uint32_t off, void *buf, size_t size);
int irq_get_info(struct vfuser *vu, uint32_t index, uint32_t *flags, uint32_t *count);
int irq_set(struct vfuser *vu, const struct vfio_irq_set *set, const uint8_t *data, size_t len,
	    int *fds, unsigned int n_fds);
void irq_flush_unsent(struct vfuser *vu);

/* pci.c ------------------------------------------------------------------------------------ */

struct vfu_pci {
	uint8_t cfg[VFU_CFG_SIZE];
	uint8_t wmask[VFU_CFG_SIZE]; /* bits a write may change */
	uint8_t pm, pcie, msi, msix; /* offsets of capabilities, 0: absent */
};

int pci_init(struct vfuser *vu);
void pci_new_client(struct vfuser *vu);
void pci_device_reset(struct vfuser *vu);
void pci_read(struct vfuser *vu, uint32_t off, void *buf, size_t size);
void pci_write(struct vfuser *vu, uint32_t off, const void *buf, size_t size);

/* region.c, dma.c -------------------------------------------------------------------------- */

uint64_t region_size(const struct vfuser *vu, uint32_t index);
int region_access(struct vfuser *vu, const struct vfio_user_region_access *a, void *buf,
		  bool write);
int region_get_info(struct vfuser *vu, const struct vfu_msg *m);
int region_get_io_fds(struct vfuser *vu, const struct vfu_msg *m);
int region_write_multi(struct vfuser *vu, const struct vfu_msg *m);

int dma_map(struct vfuser *vu, const struct vfu_msg *m);
int dma_unmap(struct vfuser *vu, const struct vfu_msg *m);
void dma_reply(struct vfuser *vu, const struct vfu_msg *m);
void dma_drop_client(struct vfuser *vu);
/* When the guest begins to use the device: says so if its memory is not the one we mapped. */
void dma_check_shared(struct vfuser *vu);

/* server.c --------------------------------------------------------------------------------- */

struct dma_op {
	vfuser_dma_done done; /* NULL: free */
	void *arg;
	void *buf; /* read: where it goes */
	size_t size;
};

/* A second client on its way out. wfd.fd -1: the place is free. */
struct vfu_guest {
	struct worker_fd wfd;
	struct worker_timer timer;
};

#define VFU_MAX_GUESTS 8
#define VFU_GUEST_NS   (2 * NSEC_PER_SEC) /* time it has for its first message */

struct vfuser {
	char name[64];
	struct vfuser_conf conf;
	struct worker *worker;
	struct guest_mem *mem;
	size_t max_xfer, max_msg;
	struct vfu_conn conn;
	bool negotiated;	  /* VERSION done */
	size_t peer_xfer;	  /* most data of one DMA message that the client takes */
	unsigned int peer_fds;	  /* most descriptors of one message that it takes */
	bool told_no_reset;	  /* "no DEVICE_RESET" said once per client */
	bool reset_seen;	  /* DEVICE_RESET since the connect */
	bool in_device;		  /* inside a callback: a kick waits */
	bool kick;
	_Atomic bool connected;
	struct vfu_guest guests[VFU_MAX_GUESTS];
	int listen_fd;
	struct worker_fd listen_wfd;
	char *path;
	struct vfu_irq irq;
	struct vfu_pci pci;
	struct dma_op ops[VFU_MAX_DMA_OPS];
	unsigned int ops_next;
	bool told_no_fd; /* "share=on" said once per client */
	bool checked_shared;
	uint8_t *scratch; /* max_xfer bytes: replies of region reads */
	_Atomic bool flush_posted;
	struct {
		_Atomic uint64_t messages, posted, batches, rejected, irqs, irqs_deferred,
			irqs_lost, connects, refused;
	} stats;
};

/* Once per client: this guest has no interrupts, for want of a DEVICE_RESET. */
void vfu_warn_no_reset(struct vfuser *vu);
/* Reply to @m with @iov behind the header. 0 or -errno of the connection. */
int vfu_reply(struct vfuser *vu, const struct vfu_msg *m, const struct iovec *iov,
	      unsigned int n_iov, const int *fds, unsigned int n_fds);
/* Any thread: have the owner send what is waiting. */
void vfu_request_flush(struct vfuser *vu);

#define STAT_INC(vu, f) atomic_fetch_add_explicit(&(vu)->stats.f, 1, memory_order_relaxed)
/* For figures that only the owner changes: no locked instruction on the doorbell path. */
#define STAT_INC_OWNER(vu, f)                                                                      \
	atomic_store_explicit(&(vu)->stats.f,                                                      \
			      atomic_load_explicit(&(vu)->stats.f, memory_order_relaxed) + 1,      \
			      memory_order_relaxed)

#endif
