/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest that means harm, beside two that do not.
 *
 * Devices 0 and 1 belong to hostile drivers: random doorbells, random and half-right HWC
 * messages, WQEs of random bits, ring and packet memory that a second thread rewrites all the
 * time, memory unmapped under way, resets, lost connections. Devices 2 and 3 exchange packets
 * throughout, and each of theirs must arrive, whole. In the end the hostile devices come up for a
 * well-behaved driver and own nothing that was theirs before.
 *
 * HVLAB_SEED chooses the sequence (it is printed), HVLAB_STEPS its length.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "tests/driver/rig.h"

#define N_HOSTILE 2

struct scribbler {
	pthread_t thread;
	pthread_mutex_t lock; /* held by whoever needs the hostile memory to hold still */
	atomic_bool stop;
	struct rng rng;
	/* Hostile memory, mapped once more: like the device, it shares nothing with the driver. */
	struct victim {
		uint8_t *mem;
		size_t size;
		_Atomic uint64_t used; /* bytes the driver has given out so far */
	} victim[N_HOSTILE];
};

struct war {
	struct rig *r;
	struct rng rng;
	struct scribbler scr;
	uint64_t seed;
	uint32_t steps;
};

static uint64_t env(const char *name, uint64_t def)
{
	const char *v = getenv(name);

	return v && *v ? strtoull(v, NULL, 0) : def;
}

/* ---- Memory that changes while the device looks ------------------------------------------- */

/*
 * Memory that changes under the device is the point here, and a race as far as ThreadSanitizer
 * can see: the scribbler's stores are hidden from it, and what a hostile step itself writes into
 * rings is let pass. A race of the device with itself is still one.
 */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
	return "race:^act_\nrace:drv_wq_put\n";
}

__attribute__((no_sanitize("thread"))) static void scribble(struct victim *v, struct rng *rng)
{
	/* Rings, HWC buffers, transmit slots, receive buffers; most of it where rings are. */
	uint64_t used = atomic_load(&v->used), at;
	uint32_t n = 1 + rng_below(rng, 16);

	if (!v->mem || used < 65536)
		return;
	at = rng_below(rng, 4) ? used - 1 - rng_below(rng, (uint32_t)MIN(used, 1u << 20))
			       : rng_below(rng, (uint32_t)used);
	for (uint32_t i = 0; i < n && at + i < v->size; i++)
		__atomic_store_n(&v->mem[at + i], (uint8_t)rng_u64(rng), __ATOMIC_RELAXED);
}

static void *scribbler_main(void *arg)
{
	struct scribbler *s = arg;

	while (!atomic_load(&s->stop)) {
		pthread_mutex_lock(&s->lock);
		for (int i = 0; i < 200; i++)
			for (unsigned int k = 0; k < N_HOSTILE; k++)
				scribble(&s->victim[k], &s->rng);
		pthread_mutex_unlock(&s->lock);
		wait_breathe(64);
	}
	return NULL;
}

/* Lock held, or no scribbler running. */
static void forget_victim(struct scribbler *s, unsigned int k)
{
	if (s->victim[k].mem)
		munmap(s->victim[k].mem, s->victim[k].size);
	s->victim[k].mem = NULL;
}

static void choose_victim(struct scribbler *s, unsigned int k, struct drv *d)
{
	struct victim *v = &s->victim[k];

	v->size = d->mem_size;
	v->mem = mmap(NULL, v->size, PROT_READ | PROT_WRITE, MAP_SHARED, d->mem_fd, 0);
	assert_true(v->mem != MAP_FAILED);
	atomic_store(&v->used, (uint64_t)d->page_hint * DRV_PAGE);
}

/* ---- One act of hostility ------------------------------------------------------------------- */

static uint64_t some_gpa(struct war *w, struct drv *d)
{
	switch (rng_below(&w->rng, 8)) {
	case 0:
		return rng_u64(&w->rng);
	case 1:
		return UINT64_MAX - rng_below(&w->rng, 8192);
	case 2:
		return drv_seam(d) - rng_below(&w->rng, 2048);
	case 3:
		return d->mem_gpa + d->mem_size - rng_below(&w->rng, 4096);
	default:
		return d->mem_gpa + rng_below(&w->rng, (uint32_t)d->mem_size);
	}
}

static uint32_t some_len(struct war *w)
{
	switch (rng_below(&w->rng, 6)) {
	case 0:
		return 0;
	case 1:
		return (uint32_t)rng_u64(&w->rng);
	case 2:
		return 1 + rng_below(&w->rng, 70000);
	default:
		return 1 + rng_below(&w->rng, 1600);
	}
}

static struct drv_queue *some_queue(struct war *w, unsigned int k)
{
	struct drv *d = &w->r->d[k];
	struct drv_vport *vp = &w->r->vp[k];
	struct drv_queue *hwc[] = {&d->hwc_eq, &d->hwc_cq, &d->hwc_rq, &d->hwc_sq};

	if (!vp->nq || !rng_below(&w->rng, 6))
		return hwc[rng_below(&w->rng, 4)];
	switch (rng_below(&w->rng, 5)) {
	case 0:
		return &vp->tx[0].wq;
	case 1:
		return &vp->tx[0].cq;
	case 2:
		return &vp->rx[0].wq;
	case 3:
		return &vp->rx[0].cq;
	default:
		return &vp->eq[0];
	}
}

static void act_doorbell(struct war *w, unsigned int k)
{
	struct drv *d = &w->r->d[k];
	const struct drv_queue *q = some_queue(w, k);
	uint32_t unit = q->type == GDMA_SQ || q->type == GDMA_RQ ? 32 : 1;
	uint32_t tail = q->head * unit, id = q->id, page = q->db_page;
	enum gdma_queue_type type = q->type;

	switch (rng_below(&w->rng, 6)) {
	case 0:
		tail = (uint32_t)rng_u64(&w->rng);
		break;
	case 1:
		tail += unit * rng_below(&w->rng, 300);
		break;
	case 2:
		tail -= unit * rng_below(&w->rng, 300);
		break;
	case 3:
		id = (uint32_t)rng_u64(&w->rng);
		break;
	case 4:
		page = rng_below(&w->rng, 8);
		break;
	default:
		type = (enum gdma_queue_type)(1 + rng_below(&w->rng, 4));
		break;
	}
	drv_db(d, page, type, id, tail, (uint8_t)rng_u64(&w->rng));
}

static void act_bar(struct war *w, unsigned int k)
{
	struct drv *d = &w->r->d[k];
	uint8_t b[64];
	size_t n = 1 + rng_below(&w->rng, sizeof(b));
	uint64_t off = rng_below(&w->rng, 3) ? rng_below(&w->rng, (uint32_t)d->bar0_size)
					     : d->shm_off + rng_below(&w->rng, 32);

	rng_fill(&w->rng, b, n);
	if (rng_below(&w->rng, 4))
		drv_wr(d, off, b, n);
	else
		drv_rd(d, off, b, n);
	if (!rng_below(&w->rng, 20)) {
		off = rng_below(&w->rng, 256);
		n = 1u << rng_below(&w->rng, 3);
		drv_cfg_wr(d, (uint32_t)off, b, n);
	}
}

static const uint32_t codes[] = {1,	  2,	   3,	    4,	     5,	      10,      11,
				 12,	  13,	   22,	    24,	     25,      26,      27,
				 29,	  31,	   81,	    84,	     96,      0x20001, 0x20002,
				 0x20003, 0x20004, 0x20005, 0x20006, 0x20007, 0x20008, 0x2000a,
				 0x2000b, 0x2000c, 0x28000};

/* A message with a plausible header and a body of handles, small numbers and noise. */
static void act_message(struct war *w, unsigned int k)
{
	struct drv *d = &w->r->d[k];
	struct drv_vport *vp = &w->r->vp[k];
	uint8_t buf[HW_CHANNEL_MAX_REQUEST_SIZE];
	uint32_t len = 40 + 4 * rng_below(&w->rng, rng_below(&w->rng, 4) ? 40 : 1000);
	uint32_t code = codes[rng_below(&w->rng, ARRAY_SIZE(codes))];

	memset(buf, 0, sizeof(buf));
	for (uint32_t i = sizeof(struct gdma_req_hdr); i + 4 <= len; i += 4) {
		uint32_t v = 0;

		switch (rng_below(&w->rng, 8)) {
		case 0:
			v = (uint32_t)rng_u64(&w->rng);
			break;
		case 1:
			v = UINT32_MAX;
			break;
		case 2:
			v = vp->nq ? (uint32_t)vp->rx[0].obj : 1;
			break;
		case 3:
			v = vp->nq ? (uint32_t)vp->handle : 1;
			break;
		case 4:
			v = 4096u << rng_below(&w->rng, 6);
			break;
		case 5:
			v = rng_below(&w->rng, 16);
			break;
		case 6:
			v = (uint32_t)some_gpa(w, d) & ~4095u;
			break;
		}
		le32_store(buf + i, v);
	}
	drv_hdr(d, buf, code, rng_below(&w->rng, 8) ? len : (uint32_t)rng_u64(&w->rng),
		rng_below(&w->rng, 8) ? 4096 : rng_below(&w->rng, 300));
	if (!rng_below(&w->rng, 3))
		((struct gdma_req_hdr *)(void *)buf)->req.msg_version =
			le16_make((uint16_t)rng_below(&w->rng, 5));
	if (!rng_below(&w->rng, 10))
		rng_fill(&w->rng, buf, sizeof(struct gdma_req_hdr));
	((struct gdma_req_hdr *)(void *)buf)->dev_id = d->mana;
	/* The driver's idea of its rings does not matter any more. */
	d->hwc_rq.tail = d->hwc_rq.head;
	d->hwc_sq.tail = d->hwc_sq.head;
	drv_hwc_post(d, buf, rng_below(&w->rng, 12) ? len : rng_below(&w->rng, 4096));
}

static void act_wqe(struct war *w, unsigned int k)
{
	struct drv *d = &w->r->d[k];
	struct drv_vport *vp = &w->r->vp[k];
	struct frame_spec s = rig_spec(
		w->r, k, rng_below(&w->rng, 4), rng_below(&w->rng, 2) ? 4 : 6,
		rng_below(&w->rng, 2) ? IPPROTO_TCP : IPPROTO_UDP, rng_below(&w->rng, 3000));
	struct drv_sge sge[31];
	uint8_t oob[24];
	struct drv_wqe wqe = {.sge = sge, .oob = oob, .num_sge = rng_below(&w->rng, 31)};
	bool rx = !rng_below(&w->rng, 4);
	struct drv_queue *q;

	if (!vp->nq)
		return;
	q = rx ? &vp->rx[0].wq : &vp->tx[0].wq;
	/* A frame somewhere, so that some of it has headers. */
	frame_build(&w->r->f, &s);
	memcpy(d->tx_mem, w->r->f.data, w->r->f.len);
	rng_fill(&w->rng, oob, sizeof(oob));
	if (rng_below(&w->rng, 4))
		drv_tx_oob(&vp->tx[0],
			   &(struct drv_tx){.v4 = rng_below(&w->rng, 2),
					    .v6 = rng_below(&w->rng, 2),
					    .ip_csum = rng_below(&w->rng, 2),
					    .tcp_csum = rng_below(&w->rng, 2),
					    .udp_csum = rng_below(&w->rng, 2),
					    .has_vlan = rng_below(&w->rng, 2),
					    .trans_off = (uint16_t)(rng_below(&w->rng, 2)
									    ? w->r->f.l4
									    : rng_u64(&w->rng))},
			   (void *)oob);
	wqe.oob_size = rng_below(&w->rng, 6) ? (rng_below(&w->rng, 2) ? 8 : 24)
					     : 4 * rng_below(&w->rng, 6);
	wqe.claim_sge = rng_below(&w->rng, 10) ? 0 : rng_below(&w->rng, 256);
	wqe.oob_in_sgl = rng_below(&w->rng, 2);
	wqe.data_unit = rng_below(&w->rng, 3) ? rng_below(&w->rng, 3000) : 0;
	wqe.last_vbytes = (uint32_t)rng_u64(&w->rng);
	wqe.mkey = rng_below(&w->rng, 8) ? 0 : (uint32_t)rng_u64(&w->rng);
	for (uint32_t i = 0, at = 0; i < wqe.num_sge; i++) {
		uint32_t len = i ? 1 + rng_below(&w->rng, 900) : w->r->f.payload;

		sge[i] = (struct drv_sge){d->tx_gpa + at, len};
		at += len;
		if (!rng_below(&w->rng, 12))
			sge[i] = (struct drv_sge){some_gpa(w, d), some_len(w)};
	}
	if (!rng_below(&w->rng, 2))
		q->tail = q->head; /* as if all were done: overruns the device's view */
	if (drv_wqe_post(q, &wqe) > 0 && rng_below(&w->rng, 3))
		drv_wq_ring(q);
}

static void act_ring_memory(struct war *w, unsigned int k)
{
	struct drv_queue *q = some_queue(w, k);
	uint32_t at, n;

	if (!q->ring)
		return;
	at = rng_below(&w->rng, q->size);
	n = MIN(1 + rng_below(&w->rng, 512), q->size - at);
	for (uint32_t i = 0; i < n; i++)
		__atomic_store_n(&q->ring[at + i], (uint8_t)rng_u64(&w->rng), __ATOMIC_RELAXED);
	if (q->type == GDMA_SQ || q->type == GDMA_RQ) {
		q->head += rng_below(&w->rng, 32);
		drv_wq_ring(q);
	}
}

static void act_unmap(struct war *w, unsigned int k)
{
	struct drv *d = &w->r->d[k];
	uint64_t seam = drv_seam(d), end = d->mem_gpa + d->mem_size;
	bool low = rng_below(&w->rng, 2);
	uint64_t at = low ? d->mem_gpa : seam, size = low ? seam - d->mem_gpa : end - seam;

	/* Wrong intervals are refused and change nothing. */
	drv_dma_unmap(d, at + 4096, size);
	drv_dma_unmap(d, at, size - 4096);
	if (drv_dma_unmap(d, at, size))
		return;
	for (uint32_t i = rng_below(&w->rng, 30); i; i--)
		act_doorbell(w, k);
	act_message(w, k);
	assert_int_equal(drv_dma_map(d, at, size, at - d->mem_gpa), 0);
}

/* ---- Rebirth ----------------------------------------------------------------------------------
 */

/* Ends what is left of the driver in one of the ways, and brings a good one up. */
static void rebirth(struct war *w, unsigned int k)
{
	struct rig *r = w->r;
	struct drv *d = &r->d[k];
	uint32_t how = rng_below(&w->rng, 4), clean = 0;
	uint16_t cmd = 0x6; /* memory, bus master: config writes may have cleared them */

	pthread_mutex_lock(&w->scr.lock);
	forget_victim(&w->scr, k);
	if (how == 0 || !r->open[k]) {
		rig_drop(r, k);
	} else {
		if (how == 1)
			assert_int_equal(drv_device_reset(d), 0);
		else if (how == 2)
			assert_int_equal(drv_flr(d), 0);
		/* Random writes may have left the channel's dwords in any state. */
		for (uint32_t i = 0; i < SMC_APERTURE_SIZE - 4; i += 4)
			drv_wr(d, d->shm_off + i, &clean, 4);
		assert_true(drv_smc_teardown(d, false) >= 0);
		rig_forget(r, k);
		/* Config writes may have moved BARs, masked or disabled vectors: a new client
		 * would set them; here the connection is made anew when they are gone. */
		drv_cfg_wr(d, 4, &cmd, 2);
		rig_drop(r, k);
	}
	rig_up(r, k, RIG_VPORT);
	d->hwc_timeout_ms = 20;
	choose_victim(&w->scr, k, d);
	pthread_mutex_unlock(&w->scr.lock);
}

/* ---- The good pair -----------------------------------------------------------------------------
 */

/* The frame arrives although strangers' packets may come first. */
static void good_packet(struct war *w, unsigned int from, unsigned int to, uint32_t i)
{
	struct rig *r = w->r;
	struct frame_spec s = rig_spec(r, from, to, i & 1 ? 4 : 6,
				       i & 2 ? IPPROTO_TCP : IPPROTO_UDP, i * 37 % 1400);
	struct drv_txq *q = &r->vp[from].tx[0];
	uint64_t end = now_ns() + WAIT_MS * NSEC_PER_MSEC;
	bool arrived = false, completed = false;

	s.seed = w->seed + i;
	frame_build(&r->g, &s);
	assert_int_equal(drv_tx_frame(q, r->g.data, r->g.len, NULL), 0);
	drv_tx_ring(q);
	while ((!arrived || !completed) && now_ns() < end) {
		struct drv_rx rx;
		int type = completed ? 0 : drv_tx_poll(q);

		if (type) {
			assert_int_equal(type, CQE_TX_OKAY);
			completed = true;
		}
		while (drv_recv(&r->vp[to], &rx, 0))
			arrived |= rx.len == r->g.len && !memcmp(rx.data, r->g.data, rx.len);
		/* The sender's own receive queue is kept empty of strangers' packets, too. */
		while (drv_recv(&r->vp[from], &rx, 0))
			;
		if (!arrived || !completed)
			wait_breathe(64);
	}
	if (!arrived || !completed)
		fail_msg("seed %#llx, packet %u: arrived %d, completed %d",
			 (unsigned long long)w->seed, i, arrived, completed);
}

static void a_hostile_guest_harms_itself_only(void **state)
{
	const struct rig_conf c = {.lab = {.n_devs = 4, .n_workers = 2, .conf = {.hold_ms = 1000}},
				   .vport = {.rx_bufs = 256}};
	struct war w = {.seed = env("HVLAB_SEED", 20241107),
			.steps = (uint32_t)env("HVLAB_STEPS", 4000)};
	struct mana_info info;

	(void)state;
	print_message("hostile: HVLAB_SEED=%#llx HVLAB_STEPS=%u\n", (unsigned long long)w.seed,
		      w.steps);
	w.rng.s = w.seed;
	w.r = rig_start(&c);
	w.scr = (struct scribbler){.rng = {.s = ~w.seed}};
	pthread_mutex_init(&w.scr.lock, NULL);
	for (unsigned int k = 0; k < N_HOSTILE; k++) {
		w.r->d[k].hwc_timeout_ms = 20;
		choose_victim(&w.scr, k, &w.r->d[k]);
	}
	assert_int_equal(pthread_create(&w.scr.thread, NULL, scribbler_main, &w.scr), 0);

	for (uint32_t i = 0; i < w.steps; i++) {
		unsigned int k = rng_below(&w.rng, N_HOSTILE);

		switch (rng_below(&w.rng, 40)) {
		case 0:
			act_unmap(&w, k);
			break;
		case 1:
		case 2:
			rebirth(&w, k);
			break;
		case 3 ... 8:
			act_message(&w, k);
			break;
		case 9 ... 12:
			act_bar(&w, k);
			break;
		case 13 ... 18:
			act_ring_memory(&w, k);
			break;
		case 19 ... 26:
			act_doorbell(&w, k);
			break;
		default:
			act_wqe(&w, k);
			break;
		}
		if (i % 4 == 3)
			good_packet(&w, i & 4 ? 2 : 3, i & 4 ? 3 : 2, i);
	}

	atomic_store(&w.scr.stop, true);
	pthread_join(w.scr.thread, NULL);
	for (unsigned int k = 0; k < N_HOSTILE; k++) {
		forget_victim(&w.scr, k);
		rig_drop(w.r, k);
		assert_true(wait_until(!lab_info(&w.r->lab, k, &info)->connected, WAIT_MS));
		assert_int_equal(info.n_eq | info.n_cq | info.n_wq | info.n_dma_regions, 0);
		rig_up(w.r, k, RIG_VPORT);
	}
	/* What the hostile pair does is counted; and the devices are as good as new. */
	for (unsigned int k = 0; k < N_HOSTILE; k++)
		assert_true(lab_info(&w.r->lab, k, &info)->guest_errors > 0);
	for (unsigned int a = 0; a < 4; a++)
		for (unsigned int b = 0; b < 4; b++)
			if (a != b)
				good_packet(&w, a, b, a * 4 + b);
	pthread_mutex_destroy(&w.scr.lock);
	rig_stop(w.r);
}

static void a_flood_of_doorbells_starves_nobody(void **state)
{
	struct war w = {.seed = 1};
	uint64_t worst = 0;

	(void)state;
	/* One worker for all: the flooder shares the thread with the good pair. */
	w.r = rig_start(&(struct rig_conf){.lab = {.n_devs = 4}});
	for (uint32_t i = 0; i < 200; i++) {
		struct drv_queue *q = &w.r->vp[0].tx[0].wq;
		uint64_t t0;

		for (uint32_t k = 0; k < 200; k++)
			drv_db(&w.r->d[0], q->db_page, GDMA_SQ, q->id, q->head * 32, 0);
		t0 = now_ns();
		good_packet(&w, 2, 3, i);
		worst = MAX(worst, now_ns() - t0);
	}
	/* A bound that only real starvation breaks. */
	assert_true(worst < 5 * NSEC_PER_SEC);
	rig_stop(w.r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_hostile_guest_harms_itself_only),
		cmocka_unit_test(a_flood_of_doorbells_starves_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
