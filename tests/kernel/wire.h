/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A TAP device in a network namespace of this process, and a packet socket that sends on it with
 * a virtio_net_hdr. The TAP offers no offloads, so the kernel cuts and sums on the way.
 */
#ifndef HVLAB_TESTS_KERNEL_WIRE_H
#define HVLAB_TESTS_KERNEL_WIRE_H

#include <stddef.h>
#include <stdint.h>
#include <linux/virtio_net.h>

struct wire {
	int tap, sock;
};

/* 0, or -errno after a line on stderr that says what failed and what is needed. */
int wire_open(struct wire *w);
/* 0 or -errno */
int wire_send(struct wire *w, const struct virtio_net_hdr *h, const void *frame, size_t len);
/* Next frame that came out: bytes, 0 when none came within @ms, -errno. */
int wire_recv(struct wire *w, void *buf, size_t size, int ms);

#endif
