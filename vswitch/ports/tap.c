/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the port of a TAP interface. What it shares with other kernel interfaces is in kport.c:
 * here are the system calls, one per frame each way.
 *
 * When the interface goes away (it is deleted, its namespace ended) reading fails for good; the
 * port then takes frames and drops them.
 */
#define LOG_TAG "tap"
#include "vswitch/ports/tap.h"

#include <errno.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "vswitch/ports/kport.h"

#define HDR_SIZE VIRTIO_NET_HDR_SHORT

/* UDP segmentation, Linux 6.2; Debian 12's headers do not have it. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

struct tap {
	struct kport k;
	int fd;
	uint32_t flags;
	uint8_t in[KPORT_BATCH][HDR_SIZE + KPORT_MAX_FRAME];
};

static unsigned int tap_read(struct kport *k)
{
	struct tap *t = CONTAINER_OF(k, struct tap, k);
	unsigned int i;

	for (i = 0; i < KPORT_BATCH; i++) {
		ssize_t n = read(t->fd, t->in[i], sizeof(t->in[i]));
		struct virtio_net_hdr h = {0};

		if (n < 0) {
			if (errno != EAGAIN && errno != EINTR) {
				log_debug("%s: %s", k->port.name, strerror(errno));
				kport_gone(k);
			}
			break;
		}
		memcpy(&h, t->in[i], HDR_SIZE);
		kport_take(k, i, &h, t->in[i] + HDR_SIZE,
			   n > (int)HDR_SIZE ? (uint32_t)n - HDR_SIZE : 0, t->flags, -1);
	}
	return i;
}

static unsigned int tap_write(struct kport *k, unsigned int from, int *error)
{
	struct tap *t = CONTAINER_OF(k, struct tap, k);
	unsigned int i;

	for (i = from; i < k->n_out; i++)
		if (writev(t->fd, k->out[i].iov, (int)k->out[i].n_iov) < 0) {
			*error = errno;
			break;
		}
	return i - from;
}

static const struct kport_ops ops = {.read = tap_read, .write = tap_write};

/* ---- making and ending ---- */

/* *@uso: the kernel knows UDP segmentation; it may leave the same to us. */
static int set_up(int fd, uint32_t flags, bool *uso)
{
	const unsigned int csum = flags & KPORT_NO_CSUM ? 0 : TUN_F_CSUM;
	const unsigned int tso = flags & (KPORT_NO_TSO | KPORT_NO_CSUM)
					 ? 0
					 : TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
	const short wanted = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
	struct ifreq ifr = {0};
	int size = HDR_SIZE, little = 1;

	if (ioctl(fd, TUNGETIFF, &ifr) < 0)
		return -EBADFD;
	if ((ifr.ifr_flags & (wanted | IFF_TUN)) != wanted)
		return -EINVAL;
	if (ioctl(fd, TUNSETVNETHDRSZ, &size) < 0 || ioctl(fd, TUNSETVNETLE, &little) < 0)
		return -errno;
	/* What it may leave to us. It works without, at the kernel's cost. */
	*uso = tso && ioctl(fd, TUNSETOFFLOAD, csum | tso | TUN_F_USO4 | TUN_F_USO6) == 0;
	if (!*uso && ioctl(fd, TUNSETOFFLOAD, csum | tso) < 0)
		log_debug("TUNSETOFFLOAD: %s", strerror(errno));
	return fd_set_nonblock(fd);
}

struct tap *tap_new(struct worker *w, const char *name, int fd, const uint8_t mac[6],
		    uint32_t flags)
{
	struct tap *t = calloc(1, sizeof(*t));
	bool uso = false;
	int rc = t ? set_up(fd, flags, &uso) : -ENOMEM;

	if (!rc) {
		t->fd = fd;
		t->flags = flags;
		rc = kport_start(&t->k, &ops, w, name, mac, fd, kport_caps(flags, uso));
	}
	if (!rc) {
		atomic_store(&t->k.port.link, true);
		return t;
	}
	fd_close(&fd);
	free(t);
	errno = -rc;
	return NULL;
}

void tap_free(struct tap *t)
{
	if (!t)
		return;
	kport_stop(&t->k);
	fd_close(&t->fd);
	free(t);
}

struct vsw_port *tap_port(struct tap *t)
{
	return &t->k.port;
}

void tap_set_link(struct tap *t, bool up)
{
	kport_set_link(&t->k, up);
}

void tap_set_mtu(struct tap *t, uint32_t mtu)
{
	atomic_store(&t->k.mtu, mtu);
}

int tap_inject(struct tap *t, const void *frame, size_t size)
{
	static const uint8_t plain[HDR_SIZE];
	struct iovec iov[] = {{(void *)plain, sizeof(plain)}, {(void *)frame, size}};

	return writev(t->fd, iov, 2) < 0 ? -errno : 0;
}
