/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vfuser: a vfio-user server library for any PCI device.
 *
 * A device describes itself (struct vfuser_conf: PCI identity, BARs, capabilities, vectors) and
 * gives callbacks. The library serves one client (a QEMU with vfio-user-pci, or any other) on a
 * Unix socket: it answers the protocol, keeps the client's DMA table, the PCI configuration
 * space and the interrupts. The device never sees a message.
 *
 * Threads. A server is owned by one worker (base/worker.h). Every callback runs there. Functions
 * are for that thread, except those marked "any thread". A device may raise interrupts and read
 * the client's memory from other threads (guest_mem_read_lock()).
 *
 * Blame. What a client sends is checked before it is used; a wrong request is answered with an
 * errno and changes nothing; a client that breaks the framing loses its connection, and the
 * device is told through ->disconnected. A second client is told EBUSY in its VERSION reply.
 *
 * Protocol: vfio-user 0.0 as QEMU's docs/interop/vfio-user.rst specifies it and QEMU 11.1 speaks
 * it; constants of linux/vfio.h.
 */
#ifndef HVLAB_VFIO_VFUSER_H
#define HVLAB_VFIO_VFUSER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/guest_mem.h"
#include "base/worker.h"

struct vfuser; /* one server: one device, one socket, at most one client */

#define VFUSER_N_BARS 6

/* How a vector reaches the guest. */
enum vfuser_msix_mode {
	/*
	 * By the client's own words: vectors as eventfds from clients that are not QEMU or whose
	 * device removal is sound, else the masquerade. Without such knowledge: masquerade.
	 */
	VFUSER_MSIX_AUTO,
	VFUSER_MSIX_NATIVE,	/* SET_IRQS with eventfds */
	VFUSER_MSIX_MASQUERADE, /* table served by us, vectors raised with DMA_WRITE */
};

/* Why the device is being reset. */
enum vfuser_reset {
	VFUSER_RESET_DEVICE, /* DEVICE_RESET message */
	VFUSER_RESET_FLR,    /* initiate function level reset in the PCIe capability */
	VFUSER_RESET_PM,     /* D3hot to D0 without "no soft reset" */
};

struct vfuser_ops {
	/*
	 * Region access inside [0, region size), already checked against it, @size 1..max transfer.
	 * 0 or -errno (goes into the reply; ignored for posted writes). A write that the client
	 * posted is reported the same way.
	 */
	int (*region_read)(void *dev, unsigned int region, uint64_t off, void *buf, size_t size);
	int (*region_write)(void *dev, unsigned int region, uint64_t off, const void *buf,
			    size_t size);
	/* All messages that one read of the socket brought are handled: work on what is pending. */
	void (*batch_end)(void *dev);
	void (*connected)(void *dev);
	/* The client is gone. Its memory is still mapped during this call, unmapped after it. */
	void (*disconnected)(void *dev);
	/* COMMAND, BARs and MSI-X survive VFUSER_RESET_FLR and are the library's business. */
	void (*reset)(void *dev, enum vfuser_reset why);
	/* A range was added to the table. */
	void (*dma_added)(void *dev, uint64_t addr, uint64_t size);
	/* Drop every pointer into [addr, addr + size) before returning. */
	void (*dma_removing)(void *dev, uint64_t addr, uint64_t size);
	/* Bus mastering went on or off: optional. Off without a word at a disconnect. */
	void (*bus_master)(void *dev, bool on);
};

/* One BAR. size 0: absent; else a power of two >= 4096 (memory BARs). */
struct vfuser_bar {
	uint64_t size;
	bool is_64bit; /* takes the next BAR's place too */
	bool prefetchable;
	/*
	 * Optional: the client may map these parts itself (sparse mmap), backed by @mmap_fd at
	 * @mmap_offset. QEMU stops posting writes to the whole device once any region is mappable.
	 */
	int mmap_fd; /* -1 when absent; used only when n_mmap_areas > 0 */
	uint64_t mmap_offset;
	unsigned int n_mmap_areas;
	const struct vfuser_area {
		uint64_t offset, size;
	} *mmap_areas;
	/* Optional region io-fds (VFIO_USER_DEVICE_GET_REGION_IO_FDS): eventfds per doorbell. */
	unsigned int n_io_fds;
	const struct vfuser_io_fd {
		uint64_t offset, size;
		int fd;		/* eventfd; stays the device's */
		uint32_t flags; /* VFIO_USER_IO_FD_* of proto.h */
		uint64_t datamatch;
	} *io_fds;
};

struct vfuser_conf {
	const char *name; /* for log lines: "a/eth0"; copied */
	const struct vfuser_ops *ops;
	void *dev; /* first argument of every callback */

	uint16_t vendor, device, subsys_vendor, subsys;
	uint8_t revision;
	uint32_t class_code; /* 24 bits: 0x020000 Ethernet */
	struct vfuser_bar bars[VFUSER_N_BARS];

	unsigned int n_msix; /* vectors, 0 = none, <= 2048 */
	uint8_t msix_bar;
	uint32_t msix_table_offset, msix_pba_offset;
	enum vfuser_msix_mode msix_mode;
	unsigned int n_msi;   /* 0, 1, 2, 4 ... 32 */
	bool intx;	      /* has an INTx pin */
	bool cap_pm;	      /* power management capability */
	bool cap_pcie;	      /* PCIe endpoint capability with FLR */
	const void *cap_vendor; /* body of a vendor-specific capability, after its length byte */
	uint8_t cap_vendor_size;

	unsigned int max_dma_maps; /* 0: 65535 */
	size_t max_data_xfer;	   /* 0: 1 MiB; 4 KiB to 4 MiB */
};

/* A server that does not listen yet. NULL with errno; EINVAL: log says which field. */
struct vfuser *vfuser_new(struct worker *w, const struct vfuser_conf *conf);
/* Listens on @path (mode 0600) and serves. 0, -EADDRINUSE, -errno. On the owner. */
int vfuser_listen(struct vfuser *vu, const char *path);
/* Serves an already connected socket (tests, supervisors). Takes the fd. On the owner. */
int vfuser_attach(struct vfuser *vu, int fd);
/*
 * Disconnects the client, stops listening, unlinks the socket. On the owner, not from a callback
 * (vfuser_kick() is for that).
 */
void vfuser_close(struct vfuser *vu);
/* Closes too. On the owner, after the last vfuser_irq_raise() of any thread. NULL is fine. */
void vfuser_free(struct vfuser *vu);

bool vfuser_connected(const struct vfuser *vu);
/*
 * Drop the client: ->disconnected comes before this returns, or, when called from a callback,
 * when the batch is over.
 */
void vfuser_kick(struct vfuser *vu);

/* The client's memory. Lives as long as the server. Pointer: any thread. */
struct guest_mem *vfuser_mem(struct vfuser *vu);

/*
 * Interrupts. Any thread, never blocks. Pending while masked or disabled is kept as the PCI
 * specification wants it (PBA); a vector that nobody enabled is dropped. What cannot be sent
 * right now is sent later.
 */
void vfuser_irq_raise(struct vfuser *vu, unsigned int vector);
/* INTx level. Any thread. */
void vfuser_intx_set(struct vfuser *vu, bool level);
/* True when MSI-X is enabled and the vector not masked: for statistics and tests. */
bool vfuser_irq_enabled(struct vfuser *vu, unsigned int vector);
bool vfuser_bus_master(const struct vfuser *vu);
/* What was chosen for the client now connected (AUTO is resolved). */
enum vfuser_msix_mode vfuser_msix_mode(const struct vfuser *vu);

/*
 * Server-initiated DMA through messages, for memory that came without a descriptor. Owner thread.
 * @done runs there later with 0 or -errno (-ECONNRESET when the client went away). For a read
 * @buf is filled before @done and must live until then. 0, -EINVAL (size 0, or more than the
 * client takes in one message), -ENOTCONN, -ENOBUFS when too many are under way.
 */
typedef void (*vfuser_dma_done)(void *arg, int rc);
int vfuser_dma_read(struct vfuser *vu, uint64_t addr, void *buf, size_t size, vfuser_dma_done done,
		    void *arg);
int vfuser_dma_write(struct vfuser *vu, uint64_t addr, const void *buf, size_t size,
		     vfuser_dma_done done, void *arg);

struct vfuser_stats {
	uint64_t messages, posted, batches; /* received */
	uint64_t rejected;		    /* answered with an errno */
	uint64_t irqs, irqs_deferred;	    /* sent at once; kept for later */
	uint64_t irqs_lost;		    /* the client refused the DMA_WRITE */
	uint64_t connects, refused;	    /* clients served; second clients turned away */
};
/* Any thread; figures may be a moment old. */
void vfuser_get_stats(const struct vfuser *vu, struct vfuser_stats *st);

#endif
