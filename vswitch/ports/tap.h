/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A TAP interface of the running kernel as a port, with vnet headers: big packets and unsummed
 * ones pass whole in both directions when the kernel takes them.
 *
 * The descriptor is opened elsewhere (it may live in another network namespace). Linux
 * include/uapi/linux/if_tun.h, virtio_net.h. Needs CAP_NET_ADMIN to open, none to serve.
 */
#ifndef HVLAB_VSWITCH_PORTS_TAP_H
#define HVLAB_VSWITCH_PORTS_TAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/worker.h"
#include "vswitch/port.h"
#include "vswitch/ports/kport_flags.h"

struct tap;

/*
 * @fd: a TAP opened with IFF_TAP | IFF_NO_PI | IFF_VNET_HDR; taken, on failure too. @mac: the
 * address behind it, or NULL: learned. @flags: KPORT_NO_*, then the kernel cuts and sums what it
 * sends before we read it, and we what we write. Link up and receiving from the start. NULL with
 * errno: EBADFD no TAP, EINVAL wrong flags.
 */
struct tap *tap_new(struct worker *w, const char *name, int fd, const uint8_t mac[6],
		    uint32_t flags);
/* The port must be detached before. NULL is fine. */
void tap_free(struct tap *t);
struct vsw_port *tap_port(struct tap *t);
/* As the interface is. Down: nothing is sent there. Any thread. */
void tap_set_link(struct tap *t, bool up);
/* The interface's; larger packets are dropped as too-big. 0: no limit but the network's. */
void tap_set_mtu(struct tap *t, uint32_t mtu);
/*
 * A frame of the caller's to the kernel behind the TAP, past the switch and its counters; whole
 * and with its checksums. 0 or -errno. Any thread.
 */
int tap_inject(struct tap *t, const void *frame, size_t size);

#endif
