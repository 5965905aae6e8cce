/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The header that stands before a frame between us and a virtio driver, a TAP or a packet socket:
 * what is left undone in the frame, and what is vouched for. To and from a packet's debts and
 * facts. Virtio 1.2 section 5.1.6; Linux include/uapi/linux/virtio_net.h. Little-endian always.
 *
 * Not together with <linux/virtio_net.h>, which has the same names. Any thread.
 */
#ifndef HVLAB_VSWITCH_PORTS_VNET_HDR_H
#define HVLAB_VSWITCH_PORTS_VNET_HDR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/wire.h"
#include "vswitch/offload.h"

#define VIRTIO_NET_HDR_F_NEEDS_CSUM 0x1u
#define VIRTIO_NET_HDR_F_DATA_VALID 0x2u

#define VIRTIO_NET_HDR_GSO_NONE	  0x00u
#define VIRTIO_NET_HDR_GSO_TCPV4  0x01u
#define VIRTIO_NET_HDR_GSO_UDP	  0x03u /* fragmentation (UFO): not offered */
#define VIRTIO_NET_HDR_GSO_TCPV6  0x04u
#define VIRTIO_NET_HDR_GSO_UDP_L4 0x05u
#define VIRTIO_NET_HDR_GSO_ECN	  0x80u

struct virtio_net_hdr {
	uint8_t flags;
	uint8_t gso_type;
	le16_t hdr_len;
	le16_t gso_size;
	le16_t csum_start;
	le16_t csum_offset;
	le16_t num_buffers; /* with VERSION_1 or MRG_RXBUF only */
};
WIRE_LAYOUT(struct virtio_net_hdr, num_buffers, 10, 12);
#define VIRTIO_NET_HDR_SHORT 10u

/**
 * vnet_hdr_take() - Debts of a packet by its header
 * @pkt:	A view of the frame, without debts but for PKT_VLAN
 * @gso:	VSW_CAP_TSO4, TSO6, USO: what the sender may leave to us
 *
 * A checksum that lies elsewhere than pkt_parse() finds one (in a tunnel, in a protocol it does
 * not know) is made at once, in @pkt->hdr. A large packet without VIRTIO_NET_HDR_F_NEEDS_CSUM, as
 * LRO makes them, is taken too: cutting it sums it anyway. Facts are the caller's to take.
 *
 * Return: false: not what such a packet can have; see vnet_hdr_malformed()
 */
bool vnet_hdr_take(struct pkt *pkt, const struct virtio_net_hdr *h, uint32_t gso);
/* Give @pkt debts that no packet has: vsw_send() counts it as malformed. */
void vnet_hdr_malformed(struct pkt *pkt);

/*
 * The header of a frame, VIRTIO_NET_HDR_SHORT bytes of it and num_buffers 0. @facts: of
 * vsw_frame_copy(), without PKT_L4_GOOD when the receiver must not be told.
 */
void vnet_hdr_make(struct virtio_net_hdr *h, const struct vsw_frame *f, uint32_t facts);

#endif
