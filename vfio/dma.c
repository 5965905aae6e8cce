/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the client's DMA table, which is a guest_mem, and DMA that the server starts through
 * messages for memory that came without a descriptor.
 */
#define LOG_TAG "vfio"
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/log.h"
#include "base/util.h"
#include "vfio/internal.h"

/* Ids of requests we wait for have this bit; interrupts, which nobody waits for, do not. */
#define ID_WAITED 0x8000u

#define SHARE_ON "-object memory-backend-memfd,id=m0,size=...,share=on -machine memory-backend=m0"

int dma_map(struct vfuser *vu, const struct vfu_msg *m)
{
	struct vfio_user_dma_map d;
	unsigned int prot = 0;
	int rc;

	memcpy(&d, m->body, sizeof(d));
	if (d.argsz < sizeof(d) || (d.flags & ~(VFIO_USER_DMA_READ_OK | VFIO_USER_DMA_WRITE_OK)))
		return -EINVAL;
	if (d.flags & VFIO_USER_DMA_READ_OK)
		prot |= GUEST_MEM_R;
	if (d.flags & VFIO_USER_DMA_WRITE_OK)
		prot |= GUEST_MEM_W;
	rc = guest_mem_map(vu->mem, d.addr, d.size, m->n_fds ? m->fds[0] : -1, d.offset, prot);
	if (rc)
		return rc;
	/* Read-only without a descriptor is a ROM and normal; writable memory is the guest's. */
	if (!m->n_fds && (prot & GUEST_MEM_W) && !vu->told_no_fd) {
		vu->told_no_fd = true;
		log_warn("%s: guest memory came without a descriptor and cannot be reached: start "
			 "QEMU with " SHARE_ON,
			 vu->name);
	}
	if (vu->conf.ops->dma_added)
		vu->conf.ops->dma_added(vu->conf.dev, d.addr, d.size);
	return vfu_reply(vu, m, NULL, 0, NULL, 0);
}

static bool all_zero(const uint8_t *p, size_t n)
{
	return !p[0] && !memcmp(p, p + 1, n - 1);
}

/*
 * QEMU sends the descriptor of a memory-backend-memfd also when it was made with share=off and the
 * guest runs on a private copy: everything maps, and nothing that the guest writes ever shows. A
 * guest whose driver is at work has written to its memory, so pages that are all zero tell. Looked
 * at are places where guests have their memory: below 640 KiB and from 1 MiB (PC), from 1 GiB
 * (arm64 virt), from 2 GiB (riscv virt). Behind an IOMMU there is too little to judge by.
 */
void dma_check_shared(struct vfuser *vu)
{
	static const struct {
		uint64_t addr, size, step;
	} windows[] = {
		{0, 640 << 10, 4096},
		{1 << 20, 64 << 20, 256 << 10},
		{1 << 30, 64 << 20, 256 << 10},
		{2ull << 30, 64 << 20, 256 << 10},
	};
	unsigned int pages = 0;

	if (vu->checked_shared)
		return;
	vu->checked_shared = true;
	for (unsigned int i = 0; i < ARRAY_SIZE(windows); i++) {
		for (uint64_t off = 0; off < windows[i].size; off += windows[i].step) {
			uint64_t n = 0;
			const uint8_t *p = guest_mem_ptr(vu->mem, windows[i].addr + off, 4096, &n,
							 GUEST_MEM_R);

			if (!p || n < 4096)
				continue;
			if (!all_zero(p, n))
				return;
			pages++;
		}
	}
	if (pages >= 256)
		log_warn("%s: all of the guest's memory reads as zeros: its backend has share=off, "
			 "and the device works on another copy; start QEMU with " SHARE_ON,
			 vu->name);
}

int dma_unmap(struct vfuser *vu, const struct vfu_msg *m)
{
	struct vfio_user_dma_unmap d;
	struct iovec iov = {&d, sizeof(d)};
	int rc;

	memcpy(&d, m->body, sizeof(d));
	if (d.argsz < sizeof(d) || (d.flags & ~(VFIO_USER_UNMAP_DIRTY | VFIO_USER_UNMAP_ALL)))
		return -EINVAL;
	if (d.flags & VFIO_USER_UNMAP_DIRTY)
		return -EOPNOTSUPP;
	if (d.flags & VFIO_USER_UNMAP_ALL) {
		if (d.addr || d.size)
			return -EINVAL;
		if (vu->conf.ops->dma_removing)
			vu->conf.ops->dma_removing(vu->conf.dev, 0, UINT64_MAX);
		guest_mem_unmap_all(vu->mem);
	} else {
		rc = guest_mem_can_unmap(vu->mem, d.addr, d.size);
		if (rc)
			return rc;
		if (vu->conf.ops->dma_removing)
			vu->conf.ops->dma_removing(vu->conf.dev, d.addr, d.size);
		rc = guest_mem_unmap(vu->mem, d.addr, d.size);
		if (rc)
			return rc;
	}
	d.argsz = sizeof(d);
	return vfu_reply(vu, m, &iov, 1, NULL, 0);
}

static int start(struct vfuser *vu, uint16_t cmd, uint64_t addr, const void *data, void *buf,
		 size_t size, vfuser_dma_done done, void *arg)
{
	struct vfio_user_dma_access a = {.addr = addr, .count = size};
	struct vfio_user_hdr h = {.cmd = cmd};
	struct iovec iov[3] = {{&h, sizeof(h)}, {&a, sizeof(a)}, {NULL, 0}};
	struct dma_op *op = NULL;
	int rc;

	if (!size || !done)
		return -EINVAL;
	if (!atomic_load(&vu->connected) || !vu->negotiated)
		return -ENOTCONN;
	/* Ours bounds the reply to a read, the client's every message to it. */
	if (size > MIN(vu->max_xfer, vu->peer_xfer))
		return -EINVAL;
	for (unsigned int i = 0; i < VFU_MAX_DMA_OPS && !op; i++) {
		unsigned int slot = (vu->ops_next + i) % VFU_MAX_DMA_OPS;

		if (vu->ops[slot].done)
			continue;
		op = &vu->ops[slot];
		vu->ops_next = slot + 1;
		h.id = (uint16_t)(ID_WAITED | slot);
	}
	if (!op)
		return -ENOBUFS;
	if (data)
		iov[2] = (struct iovec){(void *)(uintptr_t)data, size};
	h.size = (uint32_t)(sizeof(h) + sizeof(a) + (data ? size : 0));
	rc = conn_send(&vu->conn, iov, data ? 3 : 2, NULL, 0);
	if (rc)
		return rc;
	if (conn_has_out(&vu->conn))
		worker_fd_set_events(&vu->conn.wfd, EPOLLIN | EPOLLOUT);
	*op = (struct dma_op){.done = done, .arg = arg, .buf = buf, .size = size};
	return 0;
}

int vfuser_dma_read(struct vfuser *vu, uint64_t addr, void *buf, size_t size, vfuser_dma_done done,
		    void *arg)
{
	return start(vu, VFIO_USER_DMA_READ, addr, NULL, buf, size, done, arg);
}

int vfuser_dma_write(struct vfuser *vu, uint64_t addr, const void *buf, size_t size,
		     vfuser_dma_done done, void *arg)
{
	return start(vu, VFIO_USER_DMA_WRITE, addr, buf, NULL, size, done, arg);
}

/* A reply of the client's, perhaps one that nobody asked for. */
void dma_reply(struct vfuser *vu, const struct vfu_msg *m)
{
	unsigned int slot = m->hdr.id & ~ID_WAITED;
	struct vfio_user_dma_access a;
	struct dma_op op;
	int rc = 0;

	if (!(m->hdr.id & ID_WAITED)) {
		/* An interrupt's DMA_WRITE: silent unless it failed. */
		if (m->hdr.cmd == VFIO_USER_DMA_WRITE && (m->hdr.flags & VFIO_USER_F_ERROR)) {
			STAT_INC_OWNER(vu, irqs_lost);
			log_warn_rl("%s: the client refused an interrupt message: %s", vu->name,
				    strerror((int)m->hdr.error));
		}
		return;
	}
	if (slot >= VFU_MAX_DMA_OPS || !vu->ops[slot].done) {
		STAT_INC_OWNER(vu, rejected);
		return;
	}
	op = vu->ops[slot];
	if (m->hdr.flags & VFIO_USER_F_ERROR) {
		rc = m->hdr.error && m->hdr.error < 4096 ? -(int)m->hdr.error : -EIO;
	} else if (op.buf) {
		if (m->len != sizeof(a) + op.size)
			rc = -EPROTO;
		else
			memcpy(op.buf, m->body + sizeof(a), op.size);
	}
	vu->ops[slot].done = NULL;
	op.done(op.arg, rc);
}

void dma_drop_client(struct vfuser *vu)
{
	for (unsigned int i = 0; i < VFU_MAX_DMA_OPS; i++) {
		struct dma_op op = vu->ops[i];

		vu->ops[i].done = NULL;
		if (op.done)
			op.done(op.arg, -ECONNRESET);
	}
}
