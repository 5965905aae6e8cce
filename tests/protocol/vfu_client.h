/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vfu_client: a synchronous vfio-user client for tests and load generators: what QEMU does, in
 * plain calls, and every rude thing QEMU does not do.
 *
 * One thread uses one client. Every call that expects a reply sends its request, then waits for
 * the reply with its message id; what the server sends meanwhile (interrupt messages, DMA
 * requests) is handled on the way, as vfu_set_dma_policy() says. Nothing waits longer than the
 * client's time-out (default 5000 ms): -ETIMEDOUT.
 *
 * Return values: 0 or a count; -errno as the server's error reply says; -ECONNRESET when the
 * server closed the connection; -EPROTO when a reply is malformed.
 *
 * Protocol: QEMU docs/interop/vfio-user.rst; constants of linux/vfio.h and vfio/proto.h.
 */
#ifndef HVLAB_TESTS_PROTOCOL_VFU_CLIENT_H
#define HVLAB_TESTS_PROTOCOL_VFU_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <linux/vfio.h>

struct vfu_client;

/* The client's socket buffers at most this many bytes of one message. */
#define VFU_MAX_MSG (2u * 1024 * 1024)
#define VFU_MAX_FDS 64u

/* ---- connection ---------------------------------------------------------------------------- */

/* Connects only; retries until somebody listens or 5 s passed. NULL with errno. */
struct vfu_client *vfu_connect(const char *path);
/* Takes a connected stream socket (socketpair with vfuser_attach()). NULL with errno. */
struct vfu_client *vfu_from_fd(int fd);
/*
 * vfu_connect() and then what QEMU does while it plugs the device: VERSION, GET_INFO, every
 * region's info, DEVICE_RESET. NULL with errno.
 */
struct vfu_client *vfu_open(const char *path);
/* The part of vfu_open() after connecting. */
int vfu_start(struct vfu_client *c);
/* Closes and frees. NULL is fine. */
void vfu_close(struct vfu_client *c);

int vfu_fd(const struct vfu_client *c); /* stays the client's; poll it, or close-test with it */
void vfu_set_timeout(struct vfu_client *c, unsigned int ms);
/* Bounded wait for the server's close: 0 when it came, -ETIMEDOUT. Data before it is handled. */
int vfu_wait_closed(struct vfu_client *c);

/* @json: capabilities text, or NULL for what QEMU 11.1 sends. The NUL is sent too. */
int vfu_version(struct vfu_client *c, uint16_t major, uint16_t minor, const char *json);
/* The JSON of the server's last VERSION reply ("" before). */
const char *vfu_version_json(const struct vfu_client *c);

/* ---- questions ------------------------------------------------------------------------------ */

int vfu_get_info(struct vfu_client *c, struct vfio_device_info *info);
/*
 * @buf receives the reply payload, struct vfio_region_info and capabilities, at most @argsz
 * bytes, which is also the argsz sent. @fds: room for *@n_fds; out: how many came.
 * Return: payload bytes.
 */
ssize_t vfu_region_info_raw(struct vfu_client *c, uint32_t index, void *buf, uint32_t argsz,
			    int *fds, unsigned int *n_fds);
int vfu_region_info(struct vfu_client *c, uint32_t index, struct vfio_region_info *info);
int vfu_irq_info(struct vfu_client *c, uint32_t index, struct vfio_irq_info *info);

/* ---- regions -------------------------------------------------------------------------------- */

int vfu_read(struct vfu_client *c, uint32_t region, uint64_t off, void *buf, uint32_t size);
/* Waits for the reply. */
int vfu_write(struct vfu_client *c, uint32_t region, uint64_t off, const void *buf,
	      uint32_t size);
/* NO_REPLY: one send() of one message, nothing waits. @size <= 64. */
int vfu_post(struct vfu_client *c, uint32_t region, uint64_t off, const void *buf, uint32_t size);
int vfu_post32(struct vfu_client *c, uint32_t region, uint64_t off, uint32_t v);
int vfu_post64(struct vfu_client *c, uint32_t region, uint64_t off, uint64_t v);

struct vfu_wr {
	uint64_t off;
	uint32_t region;
	uint32_t size; /* 1..8 */
	uint64_t data;
};
/* @n posted writes as @n messages in one send(). */
int vfu_post_many(struct vfu_client *c, const struct vfu_wr *wr, unsigned int n);
/* One REGION_WRITE_MULTI. */
int vfu_write_multi(struct vfu_client *c, const struct vfu_wr *wr, unsigned int n, bool no_reply);

uint32_t vfu_read32(struct vfu_client *c, uint32_t region, uint64_t off); /* ~0 on error */
uint64_t vfu_read64(struct vfu_client *c, uint32_t region, uint64_t off); /* ~0 on error */

/* Configuration space; sizes 1, 2, 4; synchronous, as QEMU does it. Reads give ~0 on error. */
uint32_t vfu_cfg_read(struct vfu_client *c, unsigned int off, unsigned int size);
int vfu_cfg_write(struct vfu_client *c, unsigned int off, uint32_t v, unsigned int size);
/* Offset of a capability in configuration space, or 0. */
unsigned int vfu_find_cap(struct vfu_client *c, uint8_t id);
/* COMMAND: memory space and bus mastering on. */
int vfu_bus_master(struct vfu_client *c);

int vfu_reset(struct vfu_client *c);
/* Function level reset through the PCIe capability. -ENOENT without one. */
int vfu_flr(struct vfu_client *c);

/* ---- memory --------------------------------------------------------------------------------- */

#define VFU_R 1u
#define VFU_W 2u

/* @fd < 0: without descriptor. */
int vfu_dma_map(struct vfu_client *c, uint64_t addr, uint64_t size, int fd, uint64_t offset,
		uint32_t flags);
int vfu_dma_unmap(struct vfu_client *c, uint64_t addr, uint64_t size, uint32_t flags);

/**
 * struct vfu_mem - Memory of the pretended guest, mapped by both sides
 * @ptr:	Where this process sees it
 */
struct vfu_mem {
	uint64_t addr, size;
	uint8_t *ptr;
	int fd;
	bool shared; /* the server got @fd */
	struct vfu_mem *next;
};

/*
 * A memfd of @size bytes, zeroed, mapped at guest address @addr. !@share: DMA_MAP without the
 * descriptor, so that the server has to ask with DMA_READ and DMA_WRITE, which this client then
 * answers from @ptr. NULL with errno. Freed by vfu_mem_free() or vfu_close().
 */
struct vfu_mem *vfu_mem_new(struct vfu_client *c, uint64_t addr, uint64_t size, bool share);
/* DMA_UNMAP and munmap. */
int vfu_mem_free(struct vfu_client *c, struct vfu_mem *m);

/* ---- interrupts ----------------------------------------------------------------------------- */

/* SET_IRQS. @bools: @count bytes for VFIO_IRQ_SET_DATA_BOOL. */
int vfu_set_irqs(struct vfu_client *c, uint32_t index, uint32_t flags, uint32_t start,
		 uint32_t count, const uint8_t *bools, const int *fds, unsigned int n_fds);

/*
 * MSI-X vectors 0..n-1, in the way the device offers them: with id 0x11 in the capability list
 * before DEVICE_RESET eventfds (native), else the table is written (masquerade) with messages
 * that vfu_msix_wait() knows. Also turns on MSI-X and bus mastering. After vfu_start().
 */
int vfu_msix_enable(struct vfu_client *c, unsigned int n);
void vfu_msix_disable(struct vfu_client *c);
bool vfu_msix_native(const struct vfu_client *c); /* valid after vfu_start() */
/* Number of the MSI-X table's entries; 0 without MSI-X. After vfu_start(). */
unsigned int vfu_msix_vectors(const struct vfu_client *c);
/*
 * Waits until @vector was raised since the last call for it; how often (>= 1), -ETIMEDOUT.
 * @timeout_ms 0 only looks. Eventfds add up, so do messages.
 */
int vfu_msix_wait(struct vfu_client *c, unsigned int vector, unsigned int timeout_ms);
/* A vector that was raised and not yet waited for, or -ETIMEDOUT. Does not consume it. */
int vfu_msix_any(struct vfu_client *c, unsigned int timeout_ms);
/* Mask or unmask one vector in the table (32-bit write of its control word). */
int vfu_msix_mask(struct vfu_client *c, unsigned int vector, bool mask);
/* Function mask in the capability's message control. */
int vfu_msix_mask_all(struct vfu_client *c, bool mask);
/* The vector's pending bit. */
bool vfu_msix_pending(struct vfu_client *c, unsigned int vector);

/* ---- what the server asks ------------------------------------------------------------------- */

enum vfu_dma_policy {
	VFU_DMA_SERVE,	/* answered from vfu_mem_new() memory; elsewhere EFAULT. Default. */
	VFU_DMA_HOLD,	/* kept for vfu_dma_next() and vfu_dma_reply() */
	VFU_DMA_REFUSE, /* everything gets an error reply, NO_REPLY messages too */
};

/* Interrupt messages (4 bytes to 0xfeexxxxx) are counted as vectors under SERVE only. */
void vfu_set_dma_policy(struct vfu_client *c, enum vfu_dma_policy p);

struct vfu_dma_req {
	uint16_t id;
	bool write, no_reply;
	uint64_t addr, count;
	uint8_t *data; /* of a write; the client's, until the next vfu_dma_next() */
};

/* Oldest held request. 0 or -ETIMEDOUT. */
int vfu_dma_next(struct vfu_client *c, struct vfu_dma_req *req, unsigned int timeout_ms);
/* @rc 0 or errno. @data of a read. */
int vfu_dma_reply(struct vfu_client *c, const struct vfu_dma_req *req, int rc, const void *data);

/* Receives and handles what the server sent, for at most @timeout_ms. Messages handled. */
int vfu_poll(struct vfu_client *c, unsigned int timeout_ms);

/* ---- rudeness ------------------------------------------------------------------------------- */

struct vfu_hdr {
	uint16_t id, cmd;
	uint32_t size, flags, error;
};

/* Bytes as they are, with descriptors. 0 or -errno (-EPIPE: the server hung up). */
int vfu_send_raw(struct vfu_client *c, const void *buf, size_t size, const int *fds,
		 unsigned int n_fds);
/* A whole message with a correct header; *@id (may be NULL) gets its id. */
int vfu_send_msg(struct vfu_client *c, uint16_t cmd, uint32_t flags, const void *payload,
		 size_t size, const int *fds, unsigned int n_fds, uint16_t *id);
/*
 * The reply to @id: payload into @buf (at most @size), descriptors into @fds. Payload bytes, or
 * the -errno of an error reply.
 */
ssize_t vfu_recv_reply(struct vfu_client *c, uint16_t id, void *buf, size_t size, int *fds,
		       unsigned int *n_fds);
/* Both: one command and its reply. */
ssize_t vfu_call(struct vfu_client *c, uint16_t cmd, const void *payload, size_t size, void *reply,
		 size_t reply_size);
/* Header of the last reply received. */
struct vfu_hdr vfu_last_hdr(const struct vfu_client *c);

#endif
