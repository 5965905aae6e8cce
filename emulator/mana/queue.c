/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns rings over guest pages, and event and completion queues on them.
 *
 * Theory. EQ and CQ are rings that the device writes. An entry carries three owner bits: how many
 * times the ring has been filled, starting at 1, so that the driver sees a new entry without a
 * shared index (Linux gdma_main.c mana_gd_read_cqe(), mana_gd_process_eq_events()). Our head is
 * therefore a counter modulo 8 times the entries that starts at one round; bits above the index
 * are the owner bits. The word with them is stored last, with release order, after the body.
 *
 * Arming. A queue speaks only when armed, once: an armed CQ puts one entry into its EQ, an armed
 * EQ raises its vector once, and is then silent until the driver arms again. An arm doorbell
 * says up to where the driver has read; when that is not all there is, the queue speaks at once,
 * so nothing is lost between the driver's last look and its doorbell. EQs and the HWC's CQ start
 * armed, other CQs do not (Linux arms them).
 *
 * Overflow. An entry that the driver has not read is never overwritten as far as we can know:
 * see cq_room() for CQs. An EQ that is full makes its CQs owe their event; it is delivered when
 * the driver's doorbell shows room.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "emulator/mana/mana_internal.h"

/* ---- Rings ------------------------------------------------------------------------------ */

int ring_from_page(struct mana *m, struct mana_ring *r, uint64_t addr, unsigned int prot)
{
	struct mana_ring_unit *unit = calloc(1, sizeof(*unit));

	if (!unit)
		return -ENOMEM;
	*unit = (struct mana_ring_unit){.addr = addr, .gen = UINT64_MAX};
	*r = (struct mana_ring){
		.mem = m->mem,
		.size = MANA_PAGE_SIZE,
		.mask = MANA_PAGE_SIZE - 1,
		.prot = prot,
		.n_units = 1,
		.unit = unit,
	};
	return 0;
}

uint8_t *ring_unit_resolve(struct mana_ring *r, struct mana_ring_unit *u, uint64_t gen)
{
	uint64_t avail = 0;
	uint8_t *p = guest_mem_ptr(r->mem, u->addr, MANA_PAGE_SIZE, &avail, r->prot);

	u->ptr = avail == MANA_PAGE_SIZE ? p : NULL;
	u->gen = gen;
	return u->ptr;
}

bool ring_reachable(struct mana_ring *r)
{
	uint64_t gen = guest_mem_generation(r->mem);

	for (uint32_t i = 0; i < r->n_units; i++)
		if (!ring_unit_resolve(r, &r->unit[i], gen))
			return false;
	return true;
}

void ring_fini(struct mana_ring *r)
{
	free(r->unit);
	*r = (struct mana_ring){0};
}

bool ring_copy_out(struct mana_ring *r, uint32_t off, void *dst, uint32_t len)
{
	while (len) {
		const uint8_t *p = ring_at(r, off);
		uint32_t n = MIN(len, MANA_PAGE_SIZE - (off & (MANA_PAGE_SIZE - 1)));

		if (!p)
			return false;
		memcpy(dst, p, n);
		dst = (uint8_t *)dst + n;
		off += n;
		len -= n;
	}
	return true;
}

/* The word with the owner bits; the driver's rmb() after reading it is the other side. */
static void publish(uint8_t *word, uint32_t value)
{
	__atomic_store_n((uint32_t *)(void *)word, htole32(value), __ATOMIC_RELEASE);
}

/* ---- Event queues ----------------------------------------------------------------------- */

static uint32_t modulus(uint32_t n, uint32_t value)
{
	return value & ((n << GDMA_EQE_OWNER_BITS) - 1);
}

struct mana_eq *eq_new(struct mana *m, uint32_t msix, uint32_t db_page)
{
	struct mana_eq *eq = calloc(1, sizeof(*eq));

	if (!eq)
		return NULL;
	pthread_mutex_init(&eq->lock, NULL);
	eq->m = m;
	eq->msix = msix;
	eq->db_page = db_page;
	return eq;
}

void eq_free(struct mana_eq *eq)
{
	if (!eq)
		return;
	ring_fini(&eq->ring);
	pthread_mutex_destroy(&eq->lock);
	free(eq);
}

void eq_start(struct mana_eq *eq)
{
	eq->n = eq->ring.size / GDMA_EQE_SIZE;
	eq->log2n = (uint32_t)__builtin_ctz(eq->n);
	eq->head = eq->tail = eq->n;
	eq->armed = true;
}

int eq_post(struct mana_eq *eq, uint32_t type, uint32_t d0, uint32_t work, int *vector)
{
	uint8_t *p;
	int rc = 0;

	*vector = -1;
	pthread_mutex_lock(&eq->lock);
	if (modulus(eq->n, eq->head - eq->tail) >= eq->n) {
		eq->starved = true;
		rc = -ENOSPC;
		goto out;
	}
	p = ring_at(&eq->ring, eq->head * GDMA_EQE_SIZE);
	if (!p) {
		rc = -EFAULT;
		goto out;
	}
	le32_store(p, d0);
	memset(p + sizeof(le32_t), 0, 2 * sizeof(le32_t));
	publish(p + offsetof(struct gdma_eqe, eqe_info),
		type | (eq->head >> eq->log2n) << GDMA_EQE_INFO_OWNER_SHIFT);
	eq->head = modulus(eq->n, eq->head + 1);
	eq->eqes++;
	eq->work += work;
	if (eq->armed) {
		eq->armed = false;
		*vector = moderate_irq(eq);
	}
out:
	pthread_mutex_unlock(&eq->lock);
	return rc;
}

int eq_post_raise(struct mana *m, struct mana_eq *eq, uint32_t type, uint32_t d0)
{
	int vector, rc = eq_post(eq, type, d0, 0, &vector);

	if (vector >= 0)
		vfuser_irq_raise(m->vu, (unsigned int)vector);
	return rc;
}

/* The driver may move its tail forward, up to our head, nowhere else. */
static bool tail_ok(uint32_t n, uint32_t head, uint32_t old, uint32_t tail)
{
	return tail < n << GDMA_EQE_OWNER_BITS && modulus(n, tail - old) <= modulus(n, head - old);
}

bool eq_doorbell(struct mana_eq *eq, uint32_t tail, bool arm, int *vector, bool *feed)
{
	bool ok;

	*vector = -1;
	pthread_mutex_lock(&eq->lock);
	ok = tail_ok(eq->n, eq->head, eq->tail, tail);
	if (ok) {
		eq->tail = tail;
		/* It has seen everything: nothing is left to tell. */
		if (tail == eq->head)
			eq->put_off = false;
		if (arm && tail != eq->head) {
			eq->armed = false;
			*vector = moderate_irq(eq);
		} else if (arm) {
			eq->armed = true;
		}
	}
	*feed = eq->starved && modulus(eq->n, eq->head - eq->tail) < eq->n;
	if (*feed)
		eq->starved = false;
	pthread_mutex_unlock(&eq->lock);
	return ok;
}

/* ---- Completion queues ------------------------------------------------------------------ */

void cq_start(struct mana_cq *cq, uint32_t wq_size, bool is_rx)
{
	cq->n = cq->ring.size / GDMA_CQE_SIZE;
	cq->log2n = (uint32_t)__builtin_ctz(cq->n);
	cq->head = cq->tail = cq->n;
	cq->is_rx = is_rx;
	/* A receive CQ has one entry more for the fence. */
	cq->bounded = cq->n >= wq_size / GDMA_WQE_BU_SIZE + (is_rx ? 1 : 0);
	cq->armed = cq->fresh = cq->held = cq->owed = cq->lost = false;
	cq->cqes = cq->eqes = cq->told = 0;
}

/* Where the next entry goes, 64-byte aligned; NULL and told later when its memory is gone. */
static uint8_t *cq_slot(struct mana_cq *cq)
{
	uint8_t *p = ring_at(&cq->ring, cq->head * GDMA_CQE_SIZE);

	if (unlikely(!p))
		cq->lost = true;
	return p;
}

/* The entry's body is written (or lost): @info hands it over. */
static void cq_commit(struct mana_cq *cq, uint8_t *p, uint32_t info)
{
	if (likely(p))
		publish(p + offsetof(struct gdma_cqe, cqe_info),
			info | (cq->head >> cq->log2n) << GDMA_CQE_INFO_OWNER_SHIFT);
	cq->head = modulus(cq->n, cq->head + 1);
	cq->fresh = true;
	cq->cqes++;
}

void cq_post(struct mana_cq *cq, const struct gdma_cqe *cqe)
{
	uint8_t *p = cq_slot(cq);

	if (likely(p))
		memcpy(p, cqe->cqe_data, sizeof(cqe->cqe_data));
	cq_commit(cq, p, le32_get(cqe->cqe_info));
}

void cq_post_words(struct mana_cq *cq, uint64_t w0, uint64_t w1, uint64_t w2, uint32_t last,
		   uint32_t info)
{
	uint64_t *p = (uint64_t *)(void *)cq_slot(cq);

	if (likely(p)) {
		p[0] = htole64(w0);
		p[1] = htole64(w1);
		p[2] = htole64(w2);
		p[3] = p[4] = p[5] = p[6] = 0;
		le32_store(p + 7, last);
	}
	cq_commit(cq, (uint8_t *)p, info);
}

void cq_notify(struct mana_cq *cq, int *vector)
{
	*vector = -1;
	if (!cq->fresh || !cq->armed)
		return;
	cq->fresh = false;
	if (!cq->eq) {
		cq->armed = false;
		return;
	}
	if (eq_post(cq->eq, GDMA_EQE_COMPLETION, cq->id, (uint32_t)(cq->cqes - cq->told), vector) ==
	    -ENOSPC) {
		cq->fresh = cq->owed = true;
		return;
	}
	cq->told = cq->cqes;
	cq->armed = cq->owed = false;
	cq->eqes++;
}

void cq_detach(struct mana_cq *cq)
{
	struct mana_rxq *rxq = cq->is_rx ? cq->owner : NULL;

	if (rxq)
		pthread_mutex_lock(&rxq->lock);
	cq->eq->n_cqs--;
	cq->eq = NULL;
	cq->owed = false;
	if (rxq)
		pthread_mutex_unlock(&rxq->lock);
}

bool cq_doorbell(struct mana_cq *cq, uint32_t tail, bool arm, int *vector)
{
	bool ok = tail_ok(cq->n, cq->head, cq->tail, tail);

	*vector = -1;
	if (ok)
		cq->tail = tail;
	if (arm) {
		cq->armed = true;
		/* Entries it has not read: speak at once. */
		cq->fresh = tail != cq->head;
		cq_notify(cq, vector);
	}
	return ok;
}
