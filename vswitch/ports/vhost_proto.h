/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What goes over a vhost-user socket, and what lies in a virtio ring. No logic.
 *
 * Messages: QEMU docs/interop/vhost-user.rst. Numbers and bytes are in host order, as that text
 * says ("native endianness"). Rings and the net device: virtio 1.2, sections 2.7 and 5.1; Linux
 * include/uapi/linux/virtio_ring.h, virtio_net.h, virtio_config.h. Little endian.
 */
#ifndef HVLAB_VSWITCH_PORTS_VHOST_PROTO_H
#define HVLAB_VSWITCH_PORTS_VHOST_PROTO_H

#include <stdint.h>

#include "base/wire.h"
#include "vswitch/ports/vnet_hdr.h"

/* ---- Messages ----------------------------------------------------------------------------- */

enum vhost_user_request {
	VHOST_USER_NONE = 0,
	VHOST_USER_GET_FEATURES = 1,
	VHOST_USER_SET_FEATURES = 2,
	VHOST_USER_SET_OWNER = 3,
	VHOST_USER_RESET_OWNER = 4,
	VHOST_USER_SET_MEM_TABLE = 5,
	VHOST_USER_SET_LOG_BASE = 6,
	VHOST_USER_SET_LOG_FD = 7,
	VHOST_USER_SET_VRING_NUM = 8,
	VHOST_USER_SET_VRING_ADDR = 9,
	VHOST_USER_SET_VRING_BASE = 10,
	VHOST_USER_GET_VRING_BASE = 11,
	VHOST_USER_SET_VRING_KICK = 12,
	VHOST_USER_SET_VRING_CALL = 13,
	VHOST_USER_SET_VRING_ERR = 14,
	VHOST_USER_GET_PROTOCOL_FEATURES = 15,
	VHOST_USER_SET_PROTOCOL_FEATURES = 16,
	VHOST_USER_GET_QUEUE_NUM = 17,
	VHOST_USER_SET_VRING_ENABLE = 18,
	VHOST_USER_SEND_RARP = 19,
	VHOST_USER_NET_SET_MTU = 20,
	VHOST_USER_GET_CONFIG = 24,
	VHOST_USER_SET_CONFIG = 25,
	VHOST_USER_GET_INFLIGHT_FD = 31,
	VHOST_USER_SET_INFLIGHT_FD = 32,
	VHOST_USER_RESET_DEVICE = 34,
	VHOST_USER_GET_MAX_MEM_SLOTS = 36,
	VHOST_USER_ADD_MEM_REG = 37,
	VHOST_USER_REM_MEM_REG = 38,
	VHOST_USER_SET_STATUS = 39,
	VHOST_USER_GET_STATUS = 40,
	VHOST_USER_N_REQUESTS
};

/* Bits of SET_PROTOCOL_FEATURES */
#define VHOST_USER_PROTOCOL_F_MQ		  0
#define VHOST_USER_PROTOCOL_F_LOG_SHMFD		  1
#define VHOST_USER_PROTOCOL_F_RARP		  2
#define VHOST_USER_PROTOCOL_F_REPLY_ACK		  3
#define VHOST_USER_PROTOCOL_F_MTU		  4
#define VHOST_USER_PROTOCOL_F_CONFIG		  9
#define VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD	  12
#define VHOST_USER_PROTOCOL_F_RESET_DEVICE	  13
#define VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS 15
#define VHOST_USER_PROTOCOL_F_STATUS		  16

#define VHOST_USER_VERSION	0x1u
#define VHOST_USER_VERSION_MASK 0x3u
#define VHOST_USER_REPLY	0x4u
#define VHOST_USER_NEED_REPLY	0x8u

struct vhost_user_hdr {
	uint32_t request;
	uint32_t flags;
	uint32_t size; /* of what follows */
};
WIRE_LAYOUT(struct vhost_user_hdr, size, 8, 12);

struct vhost_user_region {
	uint64_t guest_addr;
	uint64_t size;
	uint64_t user_addr; /* the front end's own address of it */
	uint64_t mmap_offset;
};
WIRE_LAYOUT(struct vhost_user_region, mmap_offset, 24, 32);

#define VHOST_USER_MAX_TABLE 8 /* regions in one SET_MEM_TABLE */

struct vhost_user_mem {
	uint32_t n_regions;
	uint32_t padding;
	struct vhost_user_region region[VHOST_USER_MAX_TABLE]; /* n_regions of them are sent */
};
WIRE_LAYOUT(struct vhost_user_mem, region, 8, 264);

struct vhost_user_mem_reg {
	uint64_t padding;
	struct vhost_user_region region;
};
WIRE_LAYOUT(struct vhost_user_mem_reg, region, 8, 40);

struct vhost_user_log {
	uint64_t mmap_size;
	uint64_t mmap_offset;
};
WIRE_LAYOUT(struct vhost_user_log, mmap_offset, 8, 16);

/* SET_VRING_NUM, _BASE, _ENABLE, GET_VRING_BASE */
struct vhost_vring_state {
	uint32_t index;
	uint32_t num;
};
WIRE_LAYOUT(struct vhost_vring_state, num, 4, 8);

#define VHOST_VRING_F_LOG 0x1u

struct vhost_vring_addr {
	uint32_t index;
	uint32_t flags;
	uint64_t desc, used, avail; /* front-end user addresses */
	uint64_t log;		    /* guest address of the used ring, for the log */
};
WIRE_LAYOUT(struct vhost_vring_addr, log, 32, 40);

/* SET_VRING_KICK, _CALL, _ERR: a 64-bit word */
#define VHOST_USER_VRING_INDEX 0xffull
#define VHOST_USER_VRING_NOFD  0x100ull

#define VHOST_USER_MAX_CONFIG 256

struct vhost_user_config {
	uint32_t offset;
	uint32_t size;
	uint32_t flags;
	uint8_t data[VHOST_USER_MAX_CONFIG]; /* size of them are sent */
};
WIRE_LAYOUT(struct vhost_user_config, data, 12, 268);

struct vhost_user_inflight {
	uint64_t mmap_size;
	uint64_t mmap_offset;
	uint16_t n_queues;
	uint16_t queue_size;
	uint32_t padding; /* may be left out: sent with 20 or 24 bytes */
};
WIRE_LAYOUT(struct vhost_user_inflight, padding, 20, 24);

/* What lies in the shared in-flight area, one per ring, then a struct inflight_desc per entry. */
struct inflight_desc {
	uint8_t inflight;
	uint8_t padding[5];
	uint16_t next;
	uint64_t counter; /* order in which they were taken */
};
WIRE_LAYOUT(struct inflight_desc, counter, 8, 16);

#define INFLIGHT_VERSION 1

struct inflight_queue {
	uint64_t features;
	uint16_t version; /* 0: not yet written to */
	uint16_t desc_num;
	uint16_t last_batch_head;
	uint16_t used_idx;
	struct inflight_desc desc[];
};
WIRE_LAYOUT(struct inflight_queue, used_idx, 14, 16);

/* ---- Features ------------------------------------------------------------------------------ */

#define VIRTIO_NET_F_CSUM	       0
#define VIRTIO_NET_F_GUEST_CSUM	       1
#define VIRTIO_NET_F_MTU	       3
#define VIRTIO_NET_F_MAC	       5
#define VIRTIO_NET_F_GUEST_TSO4	       7
#define VIRTIO_NET_F_GUEST_TSO6	       8
#define VIRTIO_NET_F_GUEST_ECN	       9
#define VIRTIO_NET_F_HOST_TSO4	       11
#define VIRTIO_NET_F_HOST_TSO6	       12
#define VIRTIO_NET_F_HOST_ECN	       13
#define VIRTIO_NET_F_MRG_RXBUF	       15
#define VIRTIO_NET_F_STATUS	       16
#define VIRTIO_NET_F_CTRL_VQ	       17
#define VIRTIO_NET_F_CTRL_RX	       18
#define VIRTIO_NET_F_GUEST_ANNOUNCE    21
#define VIRTIO_NET_F_MQ		       22
#define VHOST_F_LOG_ALL		       26
#define VIRTIO_F_ANY_LAYOUT	       27
#define VIRTIO_RING_F_INDIRECT_DESC    28
#define VIRTIO_RING_F_EVENT_IDX	       29
#define VHOST_USER_F_PROTOCOL_FEATURES 30
#define VIRTIO_F_VERSION_1	       32
#define VIRTIO_F_IN_ORDER	       35
#define VIRTIO_NET_F_GUEST_USO4	       54
#define VIRTIO_NET_F_GUEST_USO6	       55
#define VIRTIO_NET_F_HOST_USO	       56

/* Bits of the device status byte, virtio 1.2 section 2.1 */
#define VIRTIO_STATUS_ACKNOWLEDGE 0x01
#define VIRTIO_STATUS_DRIVER	  0x02
#define VIRTIO_STATUS_DRIVER_OK	  0x04
#define VIRTIO_STATUS_FEATURES_OK 0x08

/* ---- Split rings, section 2.7 --------------------------------------------------------------- */

#define VRING_MAX_SIZE 32768u

#define VRING_DESC_F_NEXT     0x1u
#define VRING_DESC_F_WRITE    0x2u
#define VRING_DESC_F_INDIRECT 0x4u

struct vring_desc {
	le64_t addr;
	le32_t len;
	le16_t flags;
	le16_t next;
};
WIRE_LAYOUT(struct vring_desc, next, 14, 16);

#define VRING_AVAIL_F_NO_INTERRUPT 0x1u

/* Behind ring[num]: with EVENT_IDX the used event, 16 bits. */
struct vring_avail {
	uint16_t flags;
	uint16_t idx;
	uint16_t ring[];
};

#define VRING_USED_F_NO_NOTIFY 0x1u

struct vring_used_elem {
	uint32_t id;
	uint32_t len;
};
WIRE_LAYOUT(struct vring_used_elem, len, 4, 8);

/* Behind ring[num]: with EVENT_IDX the avail event, 16 bits. */
struct vring_used {
	uint16_t flags;
	uint16_t idx;
	struct vring_used_elem ring[];
};

/* ---- The net device, section 5.1 ------------------------------------------------------------- */

#define VIRTIO_NET_S_LINK_UP 0x1u

struct virtio_net_config {
	uint8_t mac[6];
	le16_t status;
	le16_t max_virtqueue_pairs;
	le16_t mtu;
};
WIRE_LAYOUT(struct virtio_net_config, mtu, 10, 12);

#endif
