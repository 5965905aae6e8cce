/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the copier: its registers, and the one job it has at a time.
 *
 * Memory that the client shared by descriptor is reached by pointer and copied at once, when the
 * batch of messages that rang the doorbell is over. Memory that came without one is read and
 * written by messages, a piece at a time; the job then ends in a later callback. A reset or a
 * disconnect in between makes the job's number old, and what still comes back for it is ignored.
 */
#define LOG_TAG "copier"
#include "vfio/examples/copier.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/util.h"
#include "base/wire.h"

#define PIECE 4096u /* of a copy by messages; every client takes that much in one */

/* One request by message on its way. It has memory of its own, so that a reset forgets it. */
struct piece {
	struct copier *cp;
	uint64_t job;
	uint32_t size;
	uint8_t buf[PIECE];
};

struct copier {
	struct vfuser *vu;
	uint64_t src, dst;
	uint32_t size, vector, status, jobs;
	bool rung;     /* the doorbell, in this batch */
	uint64_t job;  /* number of the job; a higher one has begun or a reset came: old */
	uint64_t from, to; /* rest of the job by messages */
	uint32_t left;
	uint32_t raise;
};

static void job_end(struct copier *cp, int rc)
{
	cp->status = rc ? COPIER_FAILED | (uint32_t)-rc : COPIER_DONE;
	cp->jobs++;
	cp->job++;
	if (cp->raise != COPIER_NO_VECTOR)
		vfuser_irq_raise(cp->vu, cp->raise);
}

/* --- by messages ---------------------------------------------------------------------------- */

static void piece_start(struct copier *cp);

static void piece_written(void *arg, int rc)
{
	struct piece *p = arg;
	struct copier *cp = p->cp;

	if (p->job == cp->job) {
		cp->from += p->size;
		cp->to += p->size;
		cp->left -= p->size;
		if (rc || !cp->left)
			job_end(cp, rc);
		else
			piece_start(cp);
	}
	free(p);
}

static void piece_read(void *arg, int rc)
{
	struct piece *p = arg;
	struct copier *cp = p->cp;

	if (p->job != cp->job) {
		free(p);
		return;
	}
	if (!rc)
		rc = vfuser_dma_write(cp->vu, cp->to, p->buf, p->size, piece_written, p);
	if (rc) {
		job_end(cp, rc);
		free(p);
	}
}

static void piece_start(struct copier *cp)
{
	struct piece *p = malloc(sizeof(*p));
	int rc = -ENOMEM;

	if (p) {
		p->cp = cp;
		p->job = cp->job;
		p->size = MIN(cp->left, PIECE);
		rc = vfuser_dma_read(cp->vu, cp->from, p->buf, p->size, piece_read, p);
	}
	if (rc) {
		free(p);
		job_end(cp, rc);
	}
}

/* --- by pointer ----------------------------------------------------------------------------- */

/* Ranges of the table lie side by side: both ends are asked for piece by piece. */
static int copy_mapped(struct copier *cp, uint64_t from, uint64_t to, uint64_t size)
{
	struct guest_mem *gm = vfuser_mem(cp->vu);

	while (size) {
		uint64_t n = 0;
		const void *s = guest_mem_ptr(gm, from, size, &n, GUEST_MEM_R);
		void *d = s ? guest_mem_ptr(gm, to, n, &n, GUEST_MEM_W) : NULL;

		if (!d)
			return -EFAULT;
		memmove(d, s, n);
		from += n;
		to += n;
		size -= n;
	}
	return 0;
}

/* True when the whole range has pointers. */
static bool reachable(struct copier *cp, uint64_t addr, uint64_t size, unsigned int prot)
{
	while (size) {
		uint64_t n;

		if (!guest_mem_ptr(vfuser_mem(cp->vu), addr, size, &n, prot))
			return false;
		addr += n;
		size -= n;
	}
	return true;
}

static void job_start(struct copier *cp)
{
	struct guest_mem *gm = vfuser_mem(cp->vu);

	cp->status = COPIER_BUSY;
	cp->raise = cp->vector;
	if (!cp->size || cp->size > COPIER_MAX) {
		job_end(cp, -EINVAL);
	} else if (!vfuser_bus_master(cp->vu)) {
		job_end(cp, -EPERM);
	} else if (!guest_mem_covers(gm, cp->src, cp->size, GUEST_MEM_R) ||
		   !guest_mem_covers(gm, cp->dst, cp->size, GUEST_MEM_W)) {
		job_end(cp, -EFAULT);
	} else if (reachable(cp, cp->src, cp->size, GUEST_MEM_R) &&
		   reachable(cp, cp->dst, cp->size, GUEST_MEM_W)) {
		job_end(cp, copy_mapped(cp, cp->src, cp->dst, cp->size));
	} else {
		cp->from = cp->src;
		cp->to = cp->dst;
		cp->left = cp->size;
		piece_start(cp);
	}
}

/* --- callbacks of the library --------------------------------------------------------------- */

static int on_read(void *dev, unsigned int region, uint64_t off, void *buf, size_t size)
{
	struct copier *cp = dev;
	uint64_t v = 0;

	if (region != 0 || (size != 4 && size != 8) || (off & (size - 1)))
		return -EINVAL;
	switch (off & ~7ull) {
	case COPIER_REG_ID:
		v = COPIER_ID;
		break;
	case COPIER_REG_SRC:
		v = cp->src;
		break;
	case COPIER_REG_DST:
		v = cp->dst;
		break;
	case COPIER_REG_SIZE:
		v = cp->size | (uint64_t)cp->vector << 32;
		break;
	case COPIER_REG_STATUS:
		v = cp->status | (uint64_t)cp->jobs << 32;
		break;
	}
	if (off & 4)
		v >>= 32;
	if (size == 4)
		le32_store(buf, (uint32_t)v);
	else
		le64_store(buf, v);
	return 0;
}

/* A 4- or 8-byte write of @v at @off into a 64-bit register that holds @old. */
static uint64_t merge(uint64_t old, uint64_t off, uint64_t v, size_t size)
{
	if (size == 8)
		return v;
	if (off & 4)
		return (old & UINT32_MAX) | v << 32;
	return (old & ~(uint64_t)UINT32_MAX) | v;
}

static int on_write(void *dev, unsigned int region, uint64_t off, const void *buf, size_t size)
{
	struct copier *cp = dev;
	uint64_t v;

	if (region != 0 || (size != 4 && size != 8) || (off & (size - 1)))
		return -EINVAL;
	v = size == 4 ? le32_load(buf) : le64_load(buf);
	switch (off & ~7ull) {
	case COPIER_REG_SRC:
		cp->src = merge(cp->src, off, v, size);
		return 0;
	case COPIER_REG_DST:
		cp->dst = merge(cp->dst, off, v, size);
		return 0;
	case COPIER_REG_SIZE:
		v = merge(cp->size | (uint64_t)cp->vector << 32, off, v, size);
		cp->size = (uint32_t)v;
		cp->vector = (uint32_t)(v >> 32);
		return 0;
	case COPIER_REG_DOORBELL:
		cp->rung = true;
		return 0;
	}
	return -EINVAL;
}

static void on_batch_end(void *dev)
{
	struct copier *cp = dev;

	if (!cp->rung)
		return;
	cp->rung = false;
	if (cp->status != COPIER_BUSY)
		job_start(cp);
}

static void clear(struct copier *cp)
{
	cp->src = cp->dst = 0;
	cp->size = cp->jobs = 0;
	cp->vector = COPIER_NO_VECTOR;
	cp->status = COPIER_IDLE;
	cp->rung = false;
	cp->job++;
}

static void on_reset(void *dev, enum vfuser_reset why)
{
	(void)why;
	clear(dev);
}

static void on_disconnected(void *dev)
{
	clear(dev);
}

static const struct vfuser_ops ops = {
	.region_read = on_read,
	.region_write = on_write,
	.batch_end = on_batch_end,
	.reset = on_reset,
	.disconnected = on_disconnected,
	/* No dma_removing: no pointer into guest memory outlives the callback that took it. */
};

struct copier *copier_new(struct worker *w, const char *name, enum vfuser_msix_mode mode)
{
	struct copier *cp = calloc(1, sizeof(*cp));
	struct vfuser_conf conf = {
		.name = name,
		.ops = &ops,
		.dev = cp,
		.vendor = COPIER_VENDOR,
		.device = COPIER_DEVICE,
		.subsys_vendor = COPIER_VENDOR,
		.subsys = COPIER_DEVICE,
		.revision = 1,
		.class_code = 0x088000, /* other system peripheral */
		.bars = {[0] = {.size = 4096, .is_64bit = true},
			 [2] = {.size = 8192, .is_64bit = true}},
		.n_msix = COPIER_N_MSIX,
		.msix_bar = 2,
		.msix_pba_offset = 4096,
		.msix_mode = mode,
		.cap_pm = true,
		.cap_pcie = true,
	};

	if (!cp)
		return NULL;
	clear(cp);
	cp->vu = vfuser_new(w, &conf);
	if (!cp->vu) {
		free(cp);
		return NULL;
	}
	return cp;
}

struct vfuser *copier_server(struct copier *cp)
{
	return cp->vu;
}

void copier_free(struct copier *cp)
{
	if (!cp)
		return;
	vfuser_free(cp->vu);
	free(cp);
}
