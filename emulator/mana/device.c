/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the device as a PCI function: BARs, doorbells, connect, reset, birth and death.
 *
 * BAR 0: registers and the shared-memory channel in the first page, doorbell pages from the
 * second on. BAR 4: the MSI-X table, which is the vfio library's business.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "emulator/mana/mana_internal.h"

#define PCI_REVISION	   1
#define PCI_CLASS_ETHERNET 0x020000u

/* ---- Telling the host ------------------------------------------------------------------------ */

void mana_emit(struct mana *m, enum mana_event_type type, uint32_t vport, const char *text)
{
	struct mana_event ev = {.type = type, .vport = vport, .time_ns = now_ns(), .text = text};

	if (m->conf.event)
		m->conf.event(m->conf.event_arg, &ev);
}

static void report_error(void *arg)
{
	struct mana *m = arg;
	char text[sizeof(m->last_error)];
	uint32_t vport;

	pthread_mutex_lock(&m->err_lock);
	m->err_posted = false;
	memcpy(text, m->last_error, sizeof(text));
	vport = m->err_vport;
	pthread_mutex_unlock(&m->err_lock);
	mana_emit(m, MANA_EV_GUEST_ERROR, vport, text);
}

void guest_error(struct mana *m, uint32_t vport, const char *fmt, ...)
{
	bool mine = worker_is_self(m->worker), post = false, show;
	char text[sizeof(m->last_error)];
	uint32_t lost = 0;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	show = log_limit_ok(&m->err_limit, &lost);
	pthread_mutex_lock(&m->err_lock);
	m->guest_errors++;
	m->err_vport = vport;
	memcpy(m->last_error, text, sizeof(text));
	if (show && !mine && !m->err_posted)
		m->err_posted = post = true;
	pthread_mutex_unlock(&m->err_lock);
	if (!show)
		return;
	if (lost)
		log_warn("%s: %s (%u more not shown)", m->name, text, lost);
	else
		log_warn("%s: %s", m->name, text);
	if (mine) {
		mana_emit(m, MANA_EV_GUEST_ERROR, vport, text);
	} else if (post && worker_post(m->worker, report_error, m)) {
		pthread_mutex_lock(&m->err_lock);
		m->err_posted = false;
		pthread_mutex_unlock(&m->err_lock);
	}
}

/* ---- Doorbells ----------------------------------------------------------------------------------
 */

static void raise_vector(struct mana *m, int vector)
{
	if (vector >= 0)
		vfuser_irq_raise(m->vu, (unsigned int)vector);
}

static void sq_doorbell(struct mana *m, uint32_t page, uint32_t id, uint32_t tail)
{
	struct mana_wq *wq = ids_get(&m->wqs, id);
	struct mana_sq *sq;

	if (!wq || wq->type != GDMA_SQ || wq->db_page != page) {
		guest_error(m, 0, "doorbell page %u: no sq %u", page, id);
		return;
	}
	if (wq->hwc) {
		hwc_sq_doorbell(m, tail);
		return;
	}
	sq = CONTAINER_OF(wq, struct mana_sq, wq);
	sq->stats.doorbells++;
	if (!wq_tail_ok(wq, tail)) {
		guest_error(m, sq->vp->index, "sq %u: doorbell to %u at %u", id, tail, wq->cursor);
		return;
	}
	wq->tail = tail;
	tx_kick(sq);
}

static void rq_doorbell(struct mana *m, uint32_t page, uint32_t id, uint32_t tail)
{
	struct mana_wq *wq = ids_get(&m->wqs, id);
	struct mana_rxq *q;
	bool ok;

	if (!wq || wq->type != GDMA_RQ || wq->db_page != page) {
		guest_error(m, 0, "doorbell page %u: no rq %u", page, id);
		return;
	}
	if (wq->hwc) {
		hwc_rq_doorbell(m, tail);
		return;
	}
	q = CONTAINER_OF(wq, struct mana_rxq, wq);
	pthread_mutex_lock(&q->lock);
	ok = wq_tail_ok(wq, tail);
	if (ok)
		wq->tail = tail;
	q->stats.doorbells++;
	pthread_mutex_unlock(&q->lock);
	if (ok)
		vsw_port_wake(&q->vp->port);
	else
		guest_error(m, q->vp->index, "rq %u: doorbell to %u", id, tail);
}

static uint32_t cq_db_page(const struct mana_cq *cq)
{
	if (!cq->owner)
		return MANA_DB_HWC;
	return cq->is_rx ? ((struct mana_rxq *)cq->owner)->wq.db_page
			 : ((struct mana_sq *)cq->owner)->wq.db_page;
}

static void ring_cq(struct mana *m, struct mana_cq *cq, uint32_t tail, bool arm)
{
	struct mana_rxq *rxq = cq->is_rx ? cq->owner : NULL;
	bool ok, was_held;
	int vector;

	if (rxq)
		pthread_mutex_lock(&rxq->lock);
	ok = cq_doorbell(cq, tail, arm, &vector);
	was_held = cq->held;
	if (ok)
		cq->held = false;
	if (rxq) {
		rxq->stats.doorbells++;
		pthread_mutex_unlock(&rxq->lock);
	}
	raise_vector(m, vector);
	if (ok && was_held && rxq)
		vsw_port_wake(&rxq->vp->port);
	if (cq->owner && !rxq) {
		struct mana_sq *sq = cq->owner;

		sq->stats.doorbells++;
		if (ok && was_held)
			tx_kick(sq);
	}
	if (!ok)
		guest_error(m, 0, "cq %u: doorbell to %u", cq->id, tail);
}

static void cq_ring_doorbell(struct mana *m, uint32_t page, uint32_t id, uint32_t tail, bool arm)
{
	struct mana_cq *cq = ids_get(&m->cqs, id);

	if (!cq || cq_db_page(cq) != page)
		guest_error(m, 0, "doorbell page %u: no cq %u", page, id);
	else
		ring_cq(m, cq, tail, arm);
}

/* The EQ has room again: CQs whose event it could not take speak now. */
static void feed_eq(struct mana *m, struct mana_eq *eq)
{
	for (uint32_t i = 0; i < m->cqs.n; i++) {
		struct mana_cq *cq = ids_get(&m->cqs, i);
		struct mana_rxq *rxq;
		int vector = -1;

		if (!cq || cq->eq != eq)
			continue;
		rxq = cq->is_rx ? cq->owner : NULL;
		if (rxq)
			pthread_mutex_lock(&rxq->lock);
		if (cq->owed)
			cq_notify(cq, &vector);
		if (rxq)
			pthread_mutex_unlock(&rxq->lock);
		raise_vector(m, vector);
	}
}

static void eq_ring_doorbell(struct mana *m, uint32_t page, uint32_t id, uint32_t tail, bool arm)
{
	struct mana_eq *eq = ids_get(&m->eqs, id);
	bool feed;
	int vector;

	if (!eq || eq->db_page != page) {
		guest_error(m, 0, "doorbell page %u: no eq %u", page, id);
		return;
	}
	if (!eq_doorbell(eq, tail, arm, &vector, &feed))
		guest_error(m, 0, "eq %u: doorbell to %u", id, tail);
	raise_vector(m, vector);
	if (feed)
		feed_eq(m, eq);
}

static void doorbell(struct mana *m, uint32_t page, uint32_t where, uint64_t value)
{
	uint32_t id = (uint32_t)(value & GDMA_DB_ID_MASK);
	uint32_t wq_tail = (uint32_t)(value >> GDMA_DB_TAIL_SHIFT);
	uint32_t tail = wq_tail & GDMA_DB_CEQ_TAIL_MASK;
	bool arm = value & GDMA_DB_ARM;

	switch (where) {
	case DOORBELL_OFFSET_SQ:
		sq_doorbell(m, page, id, wq_tail);
		break;
	case DOORBELL_OFFSET_RQ:
		rq_doorbell(m, page, id, wq_tail);
		break;
	case DOORBELL_OFFSET_CQ:
		cq_ring_doorbell(m, page, id, tail, arm);
		break;
	case DOORBELL_OFFSET_EQ:
		eq_ring_doorbell(m, page, id & GDMA_DB_EQ_ID_MASK, tail, arm);
		break;
	default:
		guest_error(m, 0, "doorbell page %u: write at 0x%x", page, where);
	}
}

/* ---- BARs
 * ------------------------------------------------------------------------------------------ */

static void fill_registers(const struct mana *m, uint8_t page[MANA_SHM_OFF + SMC_APERTURE_SIZE])
{
	memset(page, 0, MANA_SHM_OFF);
	le64_store(page + GDMA_REG_DB_PAGE_OFFSET, MANA_DB_OFF);
	le32_store(page + GDMA_REG_DB_PAGE_SIZE, MANA_DB_SIZE);
	le64_store(page + GDMA_REG_SHM_OFFSET, MANA_SHM_OFF);
	le32_store(page + GDMA_REG_SHM_SIZE, SMC_APERTURE_SIZE);
	memcpy(page + MANA_SHM_OFF, m->shm, SMC_APERTURE_SIZE);
}

static int region_read(void *dev, unsigned int region, uint64_t off, void *buf, size_t size)
{
	struct mana *m = dev;
	uint8_t page[MANA_SHM_OFF + SMC_APERTURE_SIZE];

	memset(buf, 0, size);
	if (region != 0 || off >= sizeof(page))
		return 0;
	fill_registers(m, page);
	memcpy(buf, page + off, MIN(size, sizeof(page) - off));
	return 0;
}

static int region_write(void *dev, unsigned int region, uint64_t off, const void *buf, size_t size)
{
	struct mana *m = dev;
	uint64_t db = off - MANA_DB_OFF;

	if (region != 0)
		return 0;
	if (off >= MANA_SHM_OFF && off < MANA_SHM_OFF + SMC_APERTURE_SIZE) {
		if (size > MANA_SHM_OFF + SMC_APERTURE_SIZE - off)
			return -EINVAL;
		smc_write(m, (uint32_t)(off - MANA_SHM_OFF), buf, (uint32_t)size);
		return 0;
	}
	if (off < MANA_DB_OFF) {
		guest_error(m, 0, "write to read-only register 0x%x", (unsigned int)off);
		return 0;
	}
	if (likely(size == sizeof(uint64_t) && off % sizeof(uint64_t) == 0)) {
		doorbell(m, (uint32_t)(db / MANA_DB_SIZE), (uint32_t)(db % MANA_DB_SIZE),
			 le64_load(buf));
		return 0;
	}
	/* A 32-bit guest writes a doorbell as two words, low first. */
	if (size == sizeof(uint32_t) && off % sizeof(uint64_t) == 0) {
		m->db_low = le32_load(buf);
		m->db_low_off = off;
		return 0;
	}
	if (size == sizeof(uint32_t) && off % sizeof(uint64_t) == 4 && m->db_low_off == off - 4) {
		m->db_low_off = 0;
		db -= 4;
		doorbell(m, (uint32_t)(db / MANA_DB_SIZE), (uint32_t)(db % MANA_DB_SIZE),
			 m->db_low | (uint64_t)le32_load(buf) << 32);
		return 0;
	}
	guest_error(m, 0, "doorbell write of %zu bytes at 0x%x", size, (unsigned int)off);
	return -EINVAL;
}

static void batch_end(void *dev)
{
	tx_run(dev);
}

static bool on_turn(struct worker_turn *t)
{
	struct mana *m = t->arg;

	if (TAILQ_EMPTY(&m->dirty))
		return false;
	tx_run(m);
	return true;
}

/* ---- Connect and reset
 * ------------------------------------------------------------------------------ */

void device_released(struct mana *m, const char *why)
{
	if (!m->held)
		return;
	m->held = false;
	mana_emit(m, MANA_EV_RELEASED, 0, why);
}

void device_clear(struct mana *m, const char *why)
{
	for (uint32_t i = 0; i < m->n_vports; i++)
		vport_clear(&m->vport[i]);
	hwc_down(m);
	for (uint32_t i = 0; i < m->eqs.n; i++) {
		struct mana_eq *eq = ids_get(&m->eqs, i);

		if (!eq)
			continue;
		ids_del(&m->eqs, i);
		eq_free(eq);
	}
	region_free_all(m);
	for (uint32_t i = 0; i < MANA_N_DB_PAGES; i++)
		m->db[i] = (struct mana_db_page){
			.state = i == MANA_DB_HWC || i == MANA_DB_MANA ? DB_FIXED : DB_FREE};
	m->registered = false;
	m->link_event_due = false;
	m->db_low_off = 0;
	device_released(m, why);
}

static void connected(void *dev)
{
	struct mana *m = dev;

	m->connected = true;
	m->isolated = false;
	mana_emit(m, MANA_EV_CONNECTED, 0, NULL);
}

static void disconnected(void *dev)
{
	struct mana *m = dev;

	device_clear(m, "client gone");
	memset(m->shm, 0, sizeof(m->shm));
	m->connected = false;
	mana_emit(m, MANA_EV_DISCONNECTED, 0, NULL);
}

static void reset(void *dev, enum vfuser_reset why)
{
	const char *text = why == VFUSER_RESET_FLR ? "FLR" : "device reset";
	struct mana *m = dev;

	device_clear(m, text);
	memset(m->shm, 0, sizeof(m->shm));
	m->resets++;
	if (why == VFUSER_RESET_FLR)
		m->flrs++;
	mana_emit(m, MANA_EV_RESET, 0, text);
}

/* Rings look their pages up again when the table changed; packets keep no pointers. */
static void dma_changed(void *dev, uint64_t addr, uint64_t size)
{
	(void)dev;
	(void)addr;
	(void)size;
}

static const struct vfuser_ops ops = {
	.region_read = region_read,
	.region_write = region_write,
	.batch_end = batch_end,
	.connected = connected,
	.disconnected = disconnected,
	.reset = reset,
	.dma_added = dma_changed,
	.dma_removing = dma_changed,
};

/* ---- Birth and death
 * ----------------------------------------------------------------------------------- */

static int check_conf(const struct mana_conf *conf)
{
	if (!conf->name || !conf->n_vports || conf->n_vports > MANA_MAX_VPORTS)
		return -EINVAL;
	if (conf->n_msix == 1 || conf->n_msix > MANA_MAX_MSIX)
		return -EINVAL;
	if ((unsigned int)conf->moderation >= MANA_N_MODERATIONS)
		return -EINVAL;
	for (unsigned int i = 0; i < conf->n_vports; i++) {
		const struct mana_vport_conf *v = &conf->vports[i];

		if (v->max_queues > MANA_MAX_QUEUES || v->mac[0] & 1 ||
		    (v->mtu && (v->mtu < 68 || v->mtu > 9000)))
			return -EINVAL;
	}
	return 0;
}

static int tables_init(struct mana *m)
{
	uint32_t q = m->n_qps;
	int rc;

	m->max_region_pages = MANA_PAGES_BASE + (uint64_t)q * MANA_PAGES_PER_QP;
	/* One more of each for the HWC; ids of queues start at 1. */
	if ((rc = ids_init(&m->eqs, 1, 1, MAX(q, MANA_MAX_QUEUES) + MANA_SPARE_EQS + 1)) ||
	    (rc = ids_init(&m->cqs, 2, 1, 2 * q + 1)) ||
	    (rc = ids_init(&m->wqs, 3, 1, 2 * q + 2)) || (rc = ids_init(&m->objs, 4, 0, 2 * q)) ||
	    (rc = ids_init(&m->regions, 5, 0, MANA_MAX_REGIONS)) ||
	    (rc = ids_init(&m->vport_ids, 6, 0, MANA_MAX_VPORTS)))
		return rc;
	return 0;
}

static void device_free(struct mana *m)
{
	for (uint32_t i = 0; i < m->n_vports; i++)
		vport_fini(&m->vport[i]);
	ids_fini(&m->eqs);
	ids_fini(&m->cqs);
	ids_fini(&m->wqs);
	ids_fini(&m->objs);
	ids_fini(&m->regions);
	ids_fini(&m->vport_ids);
	pthread_mutex_destroy(&m->err_lock);
	free(m);
}

struct life_call {
	struct mana *m;
	const char *path;
	int fd, rc;
};

static void do_new(void *arg)
{
	struct life_call *c = arg;
	struct mana *m = c->m;
	struct vfuser_conf vc = {
		.name = m->name,
		.ops = &ops,
		.dev = m,
		.vendor = MANA_VENDOR_ID,
		.device = MANA_VF_DEVICE_ID,
		.subsys_vendor = MANA_VENDOR_ID,
		.subsys = MANA_VF_DEVICE_ID,
		.revision = PCI_REVISION,
		.class_code = PCI_CLASS_ETHERNET,
		.bars = {[0] = {.size = MANA_BAR0_SIZE,
				.is_64bit = true,
				.prefetchable = true,
				.mmap_fd = -1},
			 [4] = {.size = MANA_BAR4_SIZE, .is_64bit = true, .mmap_fd = -1}},
		.n_msix = m->n_msix,
		.msix_bar = 4,
		.msix_pba_offset = MANA_MSIX_PBA_OFF,
		.msix_mode = m->conf.msix_mode,
		.cap_pcie = true,
	};

	m->vu = vfuser_new(m->worker, &vc);
	if (!m->vu) {
		c->rc = -errno;
		return;
	}
	m->mem = vfuser_mem(m->vu);
	device_clear(m, NULL);
	m->turn = (struct worker_turn){.fn = on_turn, .arg = m};
	worker_turn_add(m->worker, &m->turn);
}

struct mana *mana_new(struct worker *w, const struct mana_conf *conf)
{
	struct life_call c = {0};
	struct mana *m;
	int rc = check_conf(conf);

	if (rc) {
		errno = -rc;
		return NULL;
	}
	m = aligned_alloc(64, ALIGN_UP(sizeof(*m), (size_t)64));
	if (!m)
		return NULL;
	memset(m, 0, sizeof(*m));
	snprintf(m->name, sizeof(m->name), "%s", conf->name);
	m->worker = w;
	m->conf = *conf;
	m->conf.name = m->name;
	m->n_msix = conf->n_msix ? conf->n_msix : 64;
	pthread_mutex_init(&m->err_lock, NULL);
	TAILQ_INIT(&m->dirty);
	moderate_init(m);
	for (unsigned int i = 0; i < conf->n_vports; i++)
		m->n_qps += conf->vports[i].max_queues ? conf->vports[i].max_queues : 16;
	rc = tables_init(m);
	for (unsigned int i = 0; !rc && i < conf->n_vports; i++) {
		m->n_vports++;
		rc = vport_init(m, i, &conf->vports[i]);
	}
	if (!rc) {
		c.m = m;
		worker_call(w, do_new, &c);
		rc = c.rc;
	}
	if (rc) {
		device_free(m);
		errno = -rc;
		return NULL;
	}
	return m;
}

static void do_free(void *arg)
{
	struct mana *m = arg;

	vfuser_close(m->vu);
	device_clear(m, NULL);
	moderate_fini(m);
	worker_turn_del(&m->turn);
	vfuser_free(m->vu);
}

void mana_free(struct mana *m)
{
	if (!m)
		return;
	worker_call(m->worker, do_free, m);
	device_free(m);
}

static void do_listen(void *arg)
{
	struct life_call *c = arg;

	c->rc = vfuser_listen(c->m->vu, c->path);
}

int mana_listen(struct mana *m, const char *socket_path)
{
	struct life_call c = {.m = m, .path = socket_path};

	worker_call(m->worker, do_listen, &c);
	return c.rc;
}

static void do_attach(void *arg)
{
	struct life_call *c = arg;

	c->rc = vfuser_attach(c->m->vu, c->fd);
}

int mana_attach_fd(struct mana *m, int fd)
{
	struct life_call c = {.m = m, .fd = fd};

	worker_call(m->worker, do_attach, &c);
	return c.rc;
}

static void do_disconnect(void *arg)
{
	vfuser_kick(((struct mana *)arg)->vu);
}

void mana_disconnect(struct mana *m)
{
	worker_call(m->worker, do_disconnect, m);
}

static void do_isolate(void *arg)
{
	struct mana *m = arg;

	m->isolated = m->connected;
}

void mana_isolate(struct mana *m)
{
	worker_call(m->worker, do_isolate, m);
}

struct vsw_port *mana_port(struct mana *m, unsigned int vport)
{
	return vport < m->n_vports ? &m->vport[vport].port : NULL;
}

struct vfuser *mana_vfuser(struct mana *m)
{
	return m->vu;
}
