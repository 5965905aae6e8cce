/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns interrupts: eventfds of the client's (native), or the MSI-X table itself (masquerade).
 *
 * Native. The client emulates the MSI-X table and masks by taking its eventfds away or by its own
 * means; a vector with an eventfd is signalled, one without is dropped.
 *
 * Masquerade. QEMU up to 11.1 aborts when a vfio-user-pci device that showed MSI-X is removed.
 * So while QEMU realizes the device, the capability is a vendor-specific one; QEMU's
 * DEVICE_RESET, which comes after realize and before the guest runs, turns it into MSI-X. QEMU
 * then knows of no MSI-X: the guest's table writes reach us as region writes, and a vector is
 * raised by writing its message with VFIO_USER_DMA_WRITE, unanswered. Every new client starts
 * with the disguise again.
 *
 * Masks and pending bits follow PCI 3.0 section 6.8.2: a vector raised while it or the function
 * is masked is pending and is sent when both masks are off. A vector that the full socket did not
 * take is not pending in that sense; it is kept in .unsent and sent when there is room.
 *
 * vfuser_irq_raise() runs on any thread, hence irq.lock; everything else runs on the owner.
 */
#define LOG_TAG "vfio"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/util.h"
#include "base/wire.h"
#include "vfio/internal.h"

#define ENTRY_SIZE	16u
#define ENTRY_CTRL	12u /* vector control: bit 0 masks */
#define ENTRY_CTRL_MASK 1u

int irq_init(struct vfuser *vu)
{
	struct vfu_irq *q = &vu->irq;

	pthread_mutex_init(&q->lock, NULL);
	q->n = vu->conf.n_msix ? vu->conf.n_msix : vu->conf.n_msi;
	q->intx_fd = -1;
	q->mode = vu->conf.msix_mode == VFUSER_MSIX_NATIVE || !vu->conf.n_msix
			  ? VFUSER_MSIX_NATIVE
			  : VFUSER_MSIX_MASQUERADE;
	q->v = calloc(q->n ? q->n : 1, sizeof(*q->v));
	if (!q->v)
		return -ENOMEM;
	for (unsigned int i = 0; i < q->n; i++)
		q->v[i].fd = -1;
	return 0;
}

/* The table as after power-on: all masked, nothing raised. */
static void clear_table(struct vfu_irq *q)
{
	for (unsigned int i = 0; i < q->n; i++) {
		memset(q->v[i].entry, 0, sizeof(q->v[i].entry));
		q->v[i].entry[ENTRY_CTRL] = ENTRY_CTRL_MASK;
		q->v[i].pending = q->v[i].unsent = false;
	}
	q->any_unsent = q->enabled = q->func_mask = false;
}

static void forget(struct vfu_irq *q)
{
	clear_table(q);
	for (unsigned int i = 0; i < q->n; i++)
		fd_close(&q->v[i].fd);
	fd_close(&q->intx_fd);
}

void irq_fini(struct vfuser *vu)
{
	if (vu->irq.v)
		forget(&vu->irq);
	free(vu->irq.v);
	pthread_mutex_destroy(&vu->irq.lock);
}

void irq_new_client(struct vfuser *vu)
{
	struct vfu_irq *q = &vu->irq;

	pthread_mutex_lock(&q->lock);
	forget(q);
	q->visible = q->mode == VFUSER_MSIX_NATIVE;
	q->bus_master = q->intx_masked = false;
	pthread_mutex_unlock(&q->lock);
}

void irq_drop_client(struct vfuser *vu)
{
	irq_new_client(vu);
}

/* Under the lock. Sends the message of vector @i or remembers that it could not. */
static void send_message(struct vfuser *vu, unsigned int i)
{
	struct vfu_vector *v = &vu->irq.v[i];
	struct {
		struct vfio_user_hdr h;
		struct vfio_user_dma_access a;
		uint8_t data[4];
	} __attribute__((packed)) msg = {
		.h = {.id = (uint16_t)(i & 0x7fff),
		      .cmd = VFIO_USER_DMA_WRITE,
		      .size = sizeof(msg),
		      .flags = VFIO_USER_F_NO_REPLY},
		.a = {.addr = le64_load(v->entry), .count = 4},
	};
	int rc;

	memcpy(msg.data, v->entry + 8, 4);
	rc = conn_try_send(&vu->conn, &msg, sizeof(msg));
	if (rc == -EAGAIN || rc == -ENOBUFS) {
		v->unsent = true;
		vu->irq.any_unsent = true;
		STAT_INC(vu, irqs_deferred);
		vfu_request_flush(vu);
	} else if (!rc) {
		STAT_INC(vu, irqs);
	}
}

static bool masked(const struct vfu_irq *q, const struct vfu_vector *v)
{
	return q->func_mask || (v->entry[ENTRY_CTRL] & ENTRY_CTRL_MASK);
}

/* Under the lock: whatever may go now, goes. */
static void send_pending(struct vfuser *vu)
{
	struct vfu_irq *q = &vu->irq;

	if (q->mode != VFUSER_MSIX_MASQUERADE || !q->visible || !q->enabled || !q->bus_master)
		return;
	for (unsigned int i = 0; i < q->n; i++) {
		if (!q->v[i].pending || masked(q, &q->v[i]))
			continue;
		q->v[i].pending = false;
		send_message(vu, i);
	}
}

void vfuser_irq_raise(struct vfuser *vu, unsigned int vector)
{
	struct vfu_irq *q = &vu->irq;
	struct vfu_vector *v;

	if (vector >= q->n)
		return;
	v = &q->v[vector];
	pthread_mutex_lock(&q->lock);
	if (q->mode == VFUSER_MSIX_NATIVE) {
		if (v->fd >= 0) {
			fd_event_signal(v->fd);
			STAT_INC(vu, irqs);
		}
	} else if (q->visible && q->enabled) {
		if (masked(q, v) || !q->bus_master)
			v->pending = true;
		else if (!v->unsent)
			send_message(vu, vector);
	}
	pthread_mutex_unlock(&q->lock);
}

void irq_flush_unsent(struct vfuser *vu)
{
	struct vfu_irq *q = &vu->irq;

	pthread_mutex_lock(&q->lock);
	if (q->any_unsent) {
		q->any_unsent = false; /* send_message() says so when it is not over */
		for (unsigned int i = 0; i < q->n; i++) {
			if (!q->v[i].unsent)
				continue;
			q->v[i].unsent = false;
			/* The guest may have masked or disabled it in the meantime. */
			if (!q->enabled)
				continue;
			if (masked(q, &q->v[i]) || !q->bus_master)
				q->v[i].pending = true;
			else
				send_message(vu, i);
			/* Full again: this one and all behind it wait for the next time. */
			if (q->v[i].unsent)
				break;
		}
	}
	pthread_mutex_unlock(&q->lock);
}

bool vfuser_irq_enabled(struct vfuser *vu, unsigned int vector)
{
	struct vfu_irq *q = &vu->irq;
	bool r = false;

	if (vector >= q->n)
		return false;
	pthread_mutex_lock(&q->lock);
	if (q->mode == VFUSER_MSIX_NATIVE)
		r = q->v[vector].fd >= 0;
	else
		r = q->visible && q->enabled && !masked(q, &q->v[vector]);
	pthread_mutex_unlock(&q->lock);
	return r;
}

void vfuser_intx_set(struct vfuser *vu, bool level)
{
	struct vfu_irq *q = &vu->irq;

	pthread_mutex_lock(&q->lock);
	q->intx_level = level;
	if (level && !q->intx_masked && q->intx_fd >= 0) {
		q->intx_masked = true; /* AUTOMASKED: until the client unmasks */
		fd_event_signal(q->intx_fd);
	}
	pthread_mutex_unlock(&q->lock);
}

void irq_device_reset(struct vfuser *vu)
{
	struct vfu_irq *q = &vu->irq;

	pthread_mutex_lock(&q->lock);
	q->visible = true;
	if (q->mode == VFUSER_MSIX_MASQUERADE)
		clear_table(q);
	q->intx_level = q->intx_masked = false;
	pthread_mutex_unlock(&q->lock);
}

void irq_set_control(struct vfuser *vu, bool enabled, bool func_mask)
{
	struct vfu_irq *q = &vu->irq;

	pthread_mutex_lock(&q->lock);
	q->enabled = enabled;
	q->func_mask = func_mask;
	if (!enabled)
		for (unsigned int i = 0; i < q->n; i++)
			q->v[i].pending = false;
	send_pending(vu);
	pthread_mutex_unlock(&q->lock);
}

void irq_set_bus_master(struct vfuser *vu, bool on)
{
	pthread_mutex_lock(&vu->irq.lock);
	vu->irq.bus_master = on;
	send_pending(vu);
	pthread_mutex_unlock(&vu->irq.lock);
}

void irq_table_access(struct vfuser *vu, uint32_t off, void *buf, size_t size, bool write)
{
	struct vfu_irq *q = &vu->irq;
	uint8_t *b = buf;

	pthread_mutex_lock(&q->lock);
	for (size_t i = 0; i < size; i++) {
		uint8_t *at = &q->v[(off + i) / ENTRY_SIZE].entry[(off + i) % ENTRY_SIZE];

		if (!write)
			b[i] = *at;
		else if ((off + i) % ENTRY_SIZE < ENTRY_CTRL)
			*at = b[i];
		else if ((off + i) % ENTRY_SIZE == ENTRY_CTRL)
			*at = b[i] & ENTRY_CTRL_MASK; /* the rest is reserved, reads 0 */
	}
	if (write)
		send_pending(vu);
	pthread_mutex_unlock(&q->lock);
}

void irq_pba_read(struct vfuser *vu, uint32_t off, void *buf, size_t size)
{
	struct vfu_irq *q = &vu->irq;
	uint8_t *b = buf;

	memset(b, 0, size);
	pthread_mutex_lock(&q->lock);
	for (unsigned int i = 0; i < q->n; i++)
		if (q->v[i].pending && i / 8 >= off && i / 8 < off + size)
			b[i / 8 - off] |= (uint8_t)(1u << (i % 8));
	pthread_mutex_unlock(&q->lock);
}

/* --- the client's IRQ messages -------------------------------------------------------------- */

int irq_get_info(struct vfuser *vu, uint32_t index, uint32_t *flags, uint32_t *count)
{
	if (index >= VFU_N_IRQS)
		return -EINVAL;
	*flags = 0;
	*count = 0;
	switch (index) {
	case VFIO_PCI_INTX_IRQ_INDEX:
		if (vu->conf.intx) {
			*flags = VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_MASKABLE |
				 VFIO_IRQ_INFO_AUTOMASKED;
			*count = 1;
		}
		break;
	case VFIO_PCI_MSI_IRQ_INDEX:
		*count = vu->conf.n_msix ? 0 : vu->conf.n_msi;
		*flags = *count ? VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_NORESIZE : 0;
		break;
	case VFIO_PCI_MSIX_IRQ_INDEX:
		/* Not NORESIZE: with it QEMU takes every vector away to add one. */
		*count = vu->irq.mode == VFUSER_MSIX_NATIVE ? vu->conf.n_msix : 0;
		*flags = *count ? VFIO_IRQ_INFO_EVENTFD : 0;
		break;
	default: /* ERR, REQ: triggering them stops a QEMU guest for good */
		break;
	}
	return 0;
}

static int set_intx(struct vfuser *vu, const struct vfio_irq_set *s, const uint8_t *data, int *fds,
		    unsigned int n_fds)
{
	struct vfu_irq *q = &vu->irq;
	uint32_t what = s->flags & VFIO_IRQ_SET_ACTION_TYPE_MASK;
	bool yes = !(s->flags & VFIO_IRQ_SET_DATA_BOOL) || !s->count || data[0];

	if (what == VFIO_IRQ_SET_ACTION_TRIGGER) {
		if (s->flags & VFIO_IRQ_SET_DATA_EVENTFD) {
			fd_close(&q->intx_fd);
			if (n_fds) {
				q->intx_fd = fds[0];
				fds[0] = -1;
			}
			q->intx_masked = false;
		} else if (!s->count) {
			fd_close(&q->intx_fd);
		} else if (yes && q->intx_fd >= 0) {
			fd_event_signal(q->intx_fd);
		}
	} else if (s->flags & VFIO_IRQ_SET_DATA_EVENTFD) {
		return -EOPNOTSUPP; /* mask and unmask by eventfd: no client here does */
	} else if (yes && what == VFIO_IRQ_SET_ACTION_MASK) {
		q->intx_masked = true;
	} else if (yes && what == VFIO_IRQ_SET_ACTION_UNMASK) {
		q->intx_masked = false;
		if (q->intx_level && q->intx_fd >= 0) {
			q->intx_masked = true;
			fd_event_signal(q->intx_fd);
		}
	}
	return 0;
}

static int set_msi(struct vfuser *vu, const struct vfio_irq_set *s, const uint8_t *data, int *fds,
		   unsigned int n_fds)
{
	struct vfu_irq *q = &vu->irq;

	/* Masking a message is the client's own affair (it emulates the table). */
	if ((s->flags & VFIO_IRQ_SET_ACTION_TYPE_MASK) != VFIO_IRQ_SET_ACTION_TRIGGER)
		return -EOPNOTSUPP;
	if (!s->count) { /* disable all: DATA_NONE with start 0, checked by irq_set() */
		for (unsigned int i = 0; i < q->n; i++)
			fd_close(&q->v[i].fd);
		q->enabled = false;
		return 0;
	}
	q->enabled = true;
	for (uint32_t i = 0; i < s->count; i++) {
		struct vfu_vector *v = &q->v[s->start + i];

		switch (s->flags & VFIO_IRQ_SET_DATA_TYPE_MASK) {
		case VFIO_IRQ_SET_DATA_EVENTFD:
			fd_close(&v->fd);
			if (i < n_fds) {
				v->fd = fds[i];
				fds[i] = -1;
			}
			break;
		case VFIO_IRQ_SET_DATA_BOOL:
			if (!data[i])
				break;
			/* fall through */
		default:
			if (v->fd >= 0)
				fd_event_signal(v->fd);
		}
	}
	return 0;
}

/*
 * True when signalling @fd cannot make us wait: an eventfd, set non-blocking. Anything else that
 * can be written to (a pipe, a file of a slow file system) could stop the worker. Without /proc
 * non-blocking has to do. A client that undoes it later and fills its eventfd is beyond this.
 */
static bool eventfd_ok(int fd)
{
	static const char want[] = "anon_inode:[eventfd]";
	char link[40], what[sizeof(want)];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, what, sizeof(what));
	if (n >= 0 && (n != sizeof(want) - 1 || memcmp(what, want, (size_t)n)))
		return false;
	return fd_set_nonblock(fd) == 0;
}

int irq_set(struct vfuser *vu, const struct vfio_irq_set *s, const uint8_t *data, size_t len,
	    int *fds, unsigned int n_fds)
{
	uint32_t type = s->flags & VFIO_IRQ_SET_DATA_TYPE_MASK;
	uint32_t what = s->flags & VFIO_IRQ_SET_ACTION_TYPE_MASK;
	uint32_t flags, count;
	int rc = irq_get_info(vu, s->index, &flags, &count);

	if (rc)
		return rc;
	/* Exactly one kind of data, exactly one action, nothing else. */
	if (!type || (type & (type - 1)) || !what || (what & (what - 1)) ||
	    (s->flags & ~(VFIO_IRQ_SET_DATA_TYPE_MASK | VFIO_IRQ_SET_ACTION_TYPE_MASK)))
		return -EINVAL;
	if (!range_ok(s->start, s->count, count))
		return -EINVAL;
	if (!s->count && (type != VFIO_IRQ_SET_DATA_NONE || s->start ||
			  what != VFIO_IRQ_SET_ACTION_TRIGGER))
		return -EINVAL;
	if (len != (type == VFIO_IRQ_SET_DATA_BOOL ? s->count : 0))
		return -EINVAL;
	/* No descriptor at all means: take these vectors' eventfds away. */
	if (type == VFIO_IRQ_SET_DATA_EVENTFD ? n_fds && n_fds != s->count : n_fds)
		return -EINVAL;
	for (unsigned int i = 0; i < n_fds; i++)
		if (!eventfd_ok(fds[i]))
			return -EINVAL;
	pthread_mutex_lock(&vu->irq.lock);
	rc = s->index == VFIO_PCI_INTX_IRQ_INDEX ? set_intx(vu, s, data, fds, n_fds)
						 : set_msi(vu, s, data, fds, n_fds);
	pthread_mutex_unlock(&vu->irq.lock);
	return rc;
}
