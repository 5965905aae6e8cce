/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A veth pair in a network namespace of this process, and a packet socket on its far end: what the
 * other side of an interface sends and sees on the wire. With vnet headers, so that it can send
 * large packets and see whether those it gets were cut.
 */
#ifndef HVLAB_TESTS_KERNEL_VETH_H
#define HVLAB_TESTS_KERNEL_VETH_H

#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stdint.h>

#include "tests/lib/frame.h"

#define VETH_NEAR "hvp0" /* the interface under test */
#define VETH_FAR  "hvp1"

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4 /* Linux 6.2 */
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

/* The process goes into namespaces of its own. False: not allowed; says why. */
bool veth_namespace(void);

/* Makes the pair, up, without addresses; asserts. */
void veth_make(void);
void veth_delete(void);
/* NEAR without what a simple NIC does not have. */
void veth_features(const char *ifname, bool csum, bool tso);
void veth_flags(const char *ifname, bool up);
void veth_mtu(const char *ifname, int mtu);
/* Segments are merged on their way into @ifname. False: this kernel cannot be told so here. */
bool veth_gro(const char *ifname);

/* The far end. */
int veth_far(void);
void veth_send(int sock, const struct frame *f, const struct virtio_net_hdr *h);

struct veth_seen {
	struct virtio_net_hdr h;
	int tci;       /* of a tag beside the frame; -1: none */
	uint16_t tpid; /* of that tag */
	struct frame f;
};
/* The next frame that came; false: none in time. */
bool veth_next(int sock, struct veth_seen *seen, int ms);

#endif
