/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A synchronous vfio-user client for tests and benchmarks: polite when asked, rude when wanted.
 *
 * One thread per client. Every wait is bounded (VFU_CLIENT_TIMEOUT_MS). Functions return 0 or
 * -errno: the errno of the server's error reply, -ETIMEDOUT, -EPROTO for a reply that does not
 * match, -ECONNRESET when the server closed.
 *
 * Messages that the server starts (DMA_READ, DMA_WRITE; interrupts in the masquerade are such)
 * are served whenever the client waits for something, or by vfu_client_poll(): reads and writes
 * go to the memory given to vfu_client_dma_map(), then ->on_dma_write is called.
 */
#ifndef HVLAB_TESTS_PROTOCOL_VFU_CLIENT_H
#define HVLAB_TESTS_PROTOCOL_VFU_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vfio/proto.h"

#define VFU_CLIENT_TIMEOUT_MS 10000
#define VFU_CLIENT_MAX_MAPS   64

struct vfu_client_map {
	uint64_t addr, size;
	uint8_t *ptr; /* the caller's mapping of it, NULL: DMA there is answered with EFAULT */
};

struct vfu_client {
	int fd;
	uint16_t next_id;
	struct vfu_client_map maps[VFU_CLIENT_MAX_MAPS];
	unsigned int n_maps;
	/* A DMA_WRITE came to an address outside of all maps (an MSI message, say) or inside. */
	void (*on_dma_write)(void *arg, uint64_t addr, const void *data, size_t size);
	void *arg;
	bool answer_dma;	/* false: leave requests of the server unanswered */
	bool refuse_msi;	/* answer NO_REPLY writes outside of maps with an error */
	uint64_t dma_writes, dma_reads;
	uint16_t last_dma_id;	/* id and command of the server's last request */
	uint16_t last_dma_cmd;
	uint16_t server_major, server_minor;
	char server_caps[1024];
	uint8_t *rx;
	size_t rx_room, rx_len;
	int rx_fds[16];
	unsigned int n_rx_fds;
	unsigned int timeout_ms;
};

/* A client for a connected socket (taken) or a path. NULL with errno. No message is sent. */
struct vfu_client *vfu_client_new(int fd);
struct vfu_client *vfu_client_connect(const char *path);
/* Closes and frees; NULL is fine. */
void vfu_client_free(struct vfu_client *c);

/* VERSION 0.0 with capabilities as QEMU sends them. */
int vfu_client_version(struct vfu_client *c);
/* VERSION, DEVICE_GET_INFO, every region's info, DEVICE_RESET: what QEMU does before it runs. */
int vfu_client_hello(struct vfu_client *c);

int vfu_client_device_info(struct vfu_client *c, struct vfio_user_device_info *info);
/* @info->argsz and ->index are inputs; up to @size bytes of reply. *@fd: -1 or received (yours). */
int vfu_client_region_info(struct vfu_client *c, struct vfio_region_info *info, size_t size,
			   int *fd);
int vfu_client_irq_info(struct vfu_client *c, uint32_t index, struct vfio_irq_info *info);

int vfu_client_read(struct vfu_client *c, uint32_t region, uint64_t off, void *buf, uint32_t size);
int vfu_client_write(struct vfu_client *c, uint32_t region, uint64_t off, const void *buf,
		     uint32_t size);
/* Posted: one send(), no reply. Blocks only while the socket is full. */
int vfu_client_post(struct vfu_client *c, uint32_t region, uint64_t off, const void *buf,
		    uint32_t size);
/* Little-endian values of 1, 2, 4 bytes in configuration space. *@rc may be NULL. */
uint32_t vfu_client_cfg_read(struct vfu_client *c, uint32_t off, unsigned int size, int *rc);
int vfu_client_cfg_write(struct vfu_client *c, uint32_t off, uint32_t value, unsigned int size);
/* Offset of the first capability with @id, 0 when there is none. */
uint32_t vfu_client_find_cap(struct vfu_client *c, uint8_t id);

/* @fd -1: no descriptor. @ptr: see struct vfu_client_map. @flags: VFIO_USER_DMA_*_OK. */
int vfu_client_dma_map(struct vfu_client *c, uint64_t addr, uint64_t size, int fd, uint64_t offset,
		       uint32_t flags, void *ptr);
int vfu_client_dma_unmap(struct vfu_client *c, uint64_t addr, uint64_t size);

/* @fds: @count eventfds or NULL (DATA_NONE). @flags: VFIO_IRQ_SET_*. */
int vfu_client_set_irqs(struct vfu_client *c, uint32_t index, uint32_t flags, uint32_t start,
			uint32_t count, const int *fds);
int vfu_client_reset(struct vfu_client *c);

/*
 * Any request: header made here, @body and @fds sent, reply awaited. *@reply_size in: room, out:
 * bytes behind the header. Received descriptors are in c->rx_fds afterwards.
 */
int vfu_client_request(struct vfu_client *c, uint16_t cmd, const void *body, size_t size,
		       const int *fds, unsigned int n_fds, void *reply, size_t *reply_size);
/* Any bytes with any descriptors, as they are. 0 or -errno. */
int vfu_client_raw(struct vfu_client *c, const void *bytes, size_t size, const int *fds,
		   unsigned int n_fds);
/* The next message that is a reply, with the whole body up to @room. 0, -ETIMEDOUT, -ECONNRESET. */
int vfu_client_reply(struct vfu_client *c, struct vfio_user_hdr *h, void *body, size_t room);
/* Serve what the server started; waits up to @ms for the first. Messages served, or -errno. */
int vfu_client_poll(struct vfu_client *c, unsigned int ms);
/* True when the server has closed the connection within @ms. */
bool vfu_client_closed(struct vfu_client *c, unsigned int ms);

#endif
