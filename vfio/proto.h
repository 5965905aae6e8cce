/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The vfio-user protocol on the wire, version 0.0. Layouts follow QEMU docs/interop/vfio-user.rst
 * (the section is named at each struct); numbers of regions, IRQs and flags are linux/vfio.h's.
 * Byte order is the host's: both ends run on one machine.
 */
#ifndef HVLAB_VFIO_PROTO_H
#define HVLAB_VFIO_PROTO_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/vfio.h>

enum vfio_user_cmd {
	VFIO_USER_VERSION = 1,
	VFIO_USER_DMA_MAP = 2,
	VFIO_USER_DMA_UNMAP = 3,
	VFIO_USER_DEVICE_GET_INFO = 4,
	VFIO_USER_DEVICE_GET_REGION_INFO = 5,
	VFIO_USER_DEVICE_GET_REGION_IO_FDS = 6,
	VFIO_USER_DEVICE_GET_IRQ_INFO = 7,
	VFIO_USER_DEVICE_SET_IRQS = 8,
	VFIO_USER_REGION_READ = 9,
	VFIO_USER_REGION_WRITE = 10,
	VFIO_USER_DMA_READ = 11,
	VFIO_USER_DMA_WRITE = 12,
	VFIO_USER_DEVICE_RESET = 13,
	VFIO_USER_DIRTY_PAGES = 14,
	VFIO_USER_REGION_WRITE_MULTI = 15,
	VFIO_USER_DEVICE_FEATURE = 16,
	VFIO_USER_MIG_DATA_READ = 17,
	VFIO_USER_MIG_DATA_WRITE = 18,
	VFIO_USER_N_CMDS
};

#define VFIO_USER_F_TYPE     0x0fu
#define VFIO_USER_F_COMMAND  0x00u
#define VFIO_USER_F_REPLY    0x01u
#define VFIO_USER_F_NO_REPLY 0x10u
#define VFIO_USER_F_ERROR    0x20u

/* Section "Header" */
struct vfio_user_hdr {
	uint16_t id;
	uint16_t cmd;
	uint32_t size; /* header included */
	uint32_t flags;
	uint32_t error; /* errno, with VFIO_USER_F_ERROR */
};
static_assert(sizeof(struct vfio_user_hdr) == 16, "layout");

/* "VFIO_USER_VERSION"; JSON with its NUL follows */
struct vfio_user_version {
	uint16_t major;
	uint16_t minor;
};
static_assert(sizeof(struct vfio_user_version) == 4, "layout");

#define VFIO_USER_DMA_READ_OK  0x1u
#define VFIO_USER_DMA_WRITE_OK 0x2u

/* "VFIO_USER_DMA_MAP" */
struct vfio_user_dma_map {
	uint32_t argsz;
	uint32_t flags;
	uint64_t offset;
	uint64_t addr;
	uint64_t size;
};
static_assert(sizeof(struct vfio_user_dma_map) == 32, "layout");

#define VFIO_USER_UNMAP_DIRTY 0x1u
#define VFIO_USER_UNMAP_ALL   0x2u

/* "VFIO_USER_DMA_UNMAP" */
struct vfio_user_dma_unmap {
	uint32_t argsz;
	uint32_t flags;
	uint64_t addr;
	uint64_t size;
};
static_assert(sizeof(struct vfio_user_dma_unmap) == 24, "layout");

/* "VFIO_USER_DEVICE_GET_INFO" */
struct vfio_user_device_info {
	uint32_t argsz;
	uint32_t flags;
	uint32_t num_regions;
	uint32_t num_irqs;
};
static_assert(sizeof(struct vfio_user_device_info) == 16, "layout");

/* "VFIO_USER_DEVICE_GET_REGION_IO_FDS" */
struct vfio_user_io_fds {
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t count;
};
static_assert(sizeof(struct vfio_user_io_fds) == 16, "layout");

#define VFIO_USER_IO_FD_IOEVENTFD 0u

struct vfio_user_ioeventfd {
	uint64_t offset;
	uint64_t size;
	uint32_t fd_index;
	uint32_t type;
	uint32_t flags;
	uint32_t shadow_fd_index;
	uint64_t shadow_offset;
	uint64_t datamatch;
};
static_assert(sizeof(struct vfio_user_ioeventfd) == 48, "layout");

/* "VFIO_USER_REGION_READ" and "VFIO_USER_REGION_WRITE" */
struct vfio_user_region_access {
	uint64_t offset;
	uint32_t region;
	uint32_t count;
};
static_assert(sizeof(struct vfio_user_region_access) == 16, "layout");

/* "VFIO_USER_REGION_WRITE_MULTI": a count, then this many of the second */
struct vfio_user_write_multi {
	uint64_t count;
};
struct vfio_user_write_one {
	struct vfio_user_region_access a;
	uint8_t data[8];
};
static_assert(sizeof(struct vfio_user_write_one) == 24, "layout");

/* "VFIO_USER_DMA_READ" and "VFIO_USER_DMA_WRITE": server to client */
struct vfio_user_dma_access {
	uint64_t addr;
	uint64_t count;
};
static_assert(sizeof(struct vfio_user_dma_access) == 16, "layout");

#endif
