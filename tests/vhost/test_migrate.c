/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a migration needs: the dirty log, a ring handed from one connection to the next, in-flight
 * areas, RARP, memory that changes under running rings.
 */
#include <sys/mman.h>

#include "tests/vhost/vu_rig.h"

static void build(struct rig *r, uint32_t n, uint32_t payload)
{
	struct frame_spec s = rig_spec(0, 1, 4, IPPROTO_UDP, payload);

	frame_build(&r->f, &s);
	le32_store(r->f.data + 60, n);
}

/* ---- Dirty log ------------------------------------------------------------------------------- */

static unsigned int n_dirty(const struct vu *c)
{
	unsigned int n = 0;

	for (size_t i = 0; i < c->log_size; i++)
		n += (unsigned int)__builtin_popcount(c->log[i]);
	return n;
}

/*
 * The memory before and after: pages that differ are dirty, and no others are but those of the used
 * rings, where a notification may have been turned off and on again.
 */
struct shadow {
	uint8_t *mem;
};

static void shadow_take(struct shadow *s, const struct vu *c)
{
	s->mem = malloc(c->mem_size);
	assert_non_null(s->mem);
	memcpy(s->mem, c->mem, c->mem_size);
}

static void shadow_compare(struct shadow *s, struct vu *c)
{
	unsigned int want = 0;

	for (size_t at = 0; at < c->mem_size; at += 4096) {
		bool differs = memcmp(s->mem + at, c->mem + at, 4096) != 0;
		bool dirty = vu_log_test(c, vu_gpa(c, c->mem + at)), used = false;

		for (unsigned int i = 0; i < c->n_rings; i++) {
			size_t off = (size_t)((uint8_t *)c->ring[i].used - c->mem);

			used |= at + 4096 > off && at < off + 6 + 8u * c->ring[i].num;
		}
		if (differs != dirty && !(used && dirty))
			fail_msg("page at %zu: %s, but %s", at, differs ? "changed" : "not changed",
				 dirty ? "logged" : "not logged");
		want += dirty;
	}
	/* And none that is not the guest's at all. */
	assert_int_equal(n_dirty(c), want);
	free(s->mem);
}

static void exactly_the_pages_that_were_written_are_logged(void **state)
{
	static const uint32_t payloads[] = {100, 1400, 5000, 8900};
	static const uint64_t features[] = {VU_FEATURES, VU_PLAIN | VU_BIT(VIRTIO_NET_F_MRG_RXBUF)};

	(void)state;
	for (unsigned int k = 0; k < 8; k++) {
		/* Buffers that begin anywhere in a page and reach into the next one. */
		struct rig_conf conf = {.client = {.features = features[k & 1], .rx_buf = 1526}};
		struct rig *r = rig_start(&conf);
		struct vu *c = &r->c[1];
		struct vu_ring *rx = vu_rxq(c, 0);
		struct shadow s;

		/* Bytes that no frame has, so that every write is a change. */
		memset(rx->slots, 0xa5, (size_t)rx->num * rx->slot_size);
		memset(rx->used->ring, 0xff, 8u * rx->num);
		assert_int_equal(vu_log_start(c), 0);
		assert_true(rig_info(r, 1).logging);
		/* What the start itself has written is not the question. */
		memset(c->log, 0, c->log_size);
		shadow_take(&s, c);
		for (uint32_t i = 0; i < 3 + 10 * k; i++) {
			build(r, i, payloads[k / 2]);
			assert_int_equal(vu_tx(vu_txq(&r->c[0], 0), r->f.data, r->f.len, NULL), 0);
			vu_rx_poll(rx, r->g.data, FRAME_MAX, NULL, NULL);
		}
		rig_info(r, 1);
		shadow_compare(&s, c);
		rig_stop(r);
	}
}

static void a_transmit_ring_logs_its_used_ring(void **state)
{
	struct rig *r = rig_start(NULL);
	struct vu *c = &r->c[0];
	struct vu_ring *tx = vu_txq(c, 0);

	(void)state;
	assert_int_equal(vu_log_start(c), 0);
	memset(c->log, 0, c->log_size);
	build(r, 1, 100);
	assert_int_equal(vu_tx(tx, r->f.data, r->f.len, NULL), 0);
	assert_true(wait_until(vu_log_test(c, vu_gpa(c, tx->used)), WAIT_MS));
	/* Its buffers are only read. */
	for (uint32_t i = 0; i < tx->num; i++)
		assert_false(vu_log_test(c, vu_gpa(c, tx->slots + i * tx->slot_size)));
	rig_stop(r);
}

static void nothing_is_logged_without_the_feature_or_behind_the_logs_end(void **state)
{
	struct rig *r = rig_start(NULL);
	struct vu *c = &r->c[1];
	struct vhost_user_log l = {.mmap_size = 1};
	uint64_t answer;
	uint32_t room = 8;

	(void)state;
	assert_int_equal(vu_log_start(c), 0);
	/* A log of one byte: eight pages, in which the guest has nothing. */
	assert_int_equal(vu_send(c, VHOST_USER_SET_LOG_BASE, 0, &l, sizeof(l), &c->log_fd, 1), 0);
	assert_int_equal(vu_recv(c, VHOST_USER_SET_LOG_BASE, &answer, &room, NULL), 0);
	memset(c->log, 0, c->log_size);
	rig_alive(r, 0, 1);
	assert_int_equal(n_dirty(c), 0);
	/* The whole log again, and no feature. */
	l.mmap_size = c->log_size;
	assert_int_equal(vu_send(c, VHOST_USER_SET_LOG_BASE, 0, &l, sizeof(l), &c->log_fd, 1), 0);
	assert_int_equal(vu_recv(c, VHOST_USER_SET_LOG_BASE, &answer, &room, NULL), 0);
	assert_int_equal(vu_ack_u64(c, VHOST_USER_SET_FEATURES, c->features), 0);
	assert_int_equal(vu_ring_addr(vu_rxq(c, 0), 0), 0);
	assert_int_equal(vu_ring_addr(vu_txq(c, 0), 0), 0);
	rig_alive(r, 0, 1);
	assert_int_equal(n_dirty(c), 0);
	assert_false(rig_info(r, 1).logging);
	rig_stop(r);
}

/*
 * As QEMU does: take the bits away while packets come, copy those pages, and again; after the
 * last round the copy must be the memory.
 */
static void a_copy_made_by_the_log_is_the_memory(void **state)
{
	struct rig_conf conf = {
		.workers = 2,
		.port.hold_ms = 60000,
		.client = {.ring_size = 64, .tx_slot = 4096, .rx_buf = 1526, .mem_size = 4u << 20}};
	struct rig *r = rig_start(&conf);
	struct vu *c = &r->c[1];
	struct vu_ring *rx = vu_rxq(c, 0), *tx = vu_txq(&r->c[0], 0);
	uint8_t *copy = malloc(c->mem_size);
	uint32_t sent = 0, got = 0;
	bool last = false;
	uint16_t base;

	(void)state;
	assert_non_null(copy);
	assert_int_equal(vu_log_start(c), 0);
	memcpy(copy, c->mem, c->mem_size);
	for (unsigned int round = 0; !last; round++) {
		/* Enough frames have come, however slow the switch's workers are. */
		last = round >= 299 && got > 200;
		for (unsigned int i = 0; i < 20; i++) {
			build(r, sent, 1000);
			vu_tx_reap(tx);
			if (vu_tx_post(tx, r->f.data, r->f.len, NULL))
				break;
			sent++;
		}
		vu_kick(tx, false);
		while (vu_rx_poll(rx, r->g.data, FRAME_MAX, NULL, NULL) > 0)
			got++;
		vu_rx_fill(rx, 64);
		if (last) {
			/* The last frames, then the guest stops. */
			assert_true(wait_until((vu_tx_reap(tx), tx->n_free == tx->num), WAIT_MS));
			for (unsigned int i = 0; i < 2; i++)
				assert_int_equal(vu_ring_stop(&c->ring[i], &base), 0);
		}
		for (size_t at = 0; at < c->mem_size; at += 4096) {
			uint64_t page = vu_gpa(c, c->mem + at) / 4096;
			uint8_t bit = (uint8_t)(1u << (page % 8));

			if (__atomic_fetch_and(&c->log[page / 8], (uint8_t)~bit, __ATOMIC_SEQ_CST) &
			    bit)
				memcpy(copy + at, c->mem + at, 4096);
		}
	}
	/* What the driver itself writes QEMU sees by other means: rings and tables of ours. */
	for (uint32_t i = 0; i < rx->num; i++) {
		size_t at = (size_t)(rx->slots - c->mem) + i * rx->slot_size;

		assert_memory_equal(copy + at, c->mem + at, rx->slot_size);
	}
	assert_memory_equal(copy + ((uint8_t *)rx->used - c->mem), rx->used, 6 + 8u * rx->num);
	free(copy);
	rig_stop(r);
}

/* ---- Hand-over
 * ----------------------------------------------------------------------------------- */

/* The guest moves to a new connection, as to another QEMU, in the middle of a stream. */
static void move(struct rig *r, unsigned int i)
{
	struct vu *c = &r->c[i];
	uint16_t base[2];

	for (unsigned int k = 0; k < 2; k++)
		assert_int_equal(vu_ring_stop(&c->ring[k], &base[k]), 0);
	/* In order: what is taken is given back. */
	for (unsigned int k = 0; k < 2; k++)
		assert_int_equal(base[k], __atomic_load_n(&c->ring[k].used->idx, __ATOMIC_ACQUIRE));
	fd_close(&c->sock);
	vu_reopen(c, rig_connect(r, i));
	assert_int_equal(vu_handshake(c), 0);
	assert_int_equal(vu_set_mem(c), 0);
	for (unsigned int k = 0; k < 2; k++) {
		assert_int_equal(vu_ring_start(&c->ring[k], base[k]), 0);
		assert_int_equal(vu_ring_enable(&c->ring[k], true), 0);
	}
	assert_int_equal(vu_sync(c), 0);
}

/* ... or loses it, and knows of nothing but its memory. */
static void lose(struct rig *r, unsigned int i)
{
	struct vu *c = &r->c[i];

	vhost_disconnect(r->v[i]);
	vu_reopen(c, rig_connect(r, i));
	assert_int_equal(vu_handshake(c), 0);
	assert_int_equal(vu_set_mem(c), 0);
	for (unsigned int k = 0; k < 2; k++) {
		assert_int_equal(vu_ring_start(&c->ring[k], c->ring[k].used->idx), 0);
		assert_int_equal(vu_ring_enable(&c->ring[k], true), 0);
	}
	assert_int_equal(vu_sync(c), 0);
}

/* The sender's ring moves while frames with numbers pass; they arrive all, once, in order. */
static void stream_while(void (*what)(struct rig *r, unsigned int i))
{
	struct rig_conf conf = {
		.workers = 2, .port.hold_ms = 60000, .client = {.ring_size = 64, .tx_slot = 4096}};
	struct rig *r = rig_start(&conf);
	struct vu_ring *tx = vu_txq(&r->c[0], 0), *rx = vu_rxq(&r->c[1], 0);
	uint32_t sent = 0, got = 0, moves = 0;
	uint64_t end = now_ns() + 100 * NSEC_PER_SEC;

	while (got < 10000) {
		for (unsigned int i = 0; i < 30 && sent < 10000; i++) {
			build(r, sent, 200);
			if (vu_tx_post(tx, r->f.data, r->f.len, NULL))
				break;
			sent++;
		}
		vu_kick(tx, false);
		if (sent / 500 > moves) {
			moves++;
			what(r, 0);
		}
		assert_true(vu_tx_reap(tx) >= 0);
		for (;;) {
			int n = vu_rx_poll(rx, r->g.data, FRAME_MAX, NULL, NULL);

			assert_true(n >= 0);
			if (!n)
				break;
			assert_int_equal(le32_load(r->g.data + 60), got);
			got++;
		}
		vu_rx_fill(rx, 64);
		assert_true(now_ns() < end);
	}
	assert_true(moves >= 19);
	assert_int_equal(rig_drops(r, 1, VSW_DROP_NO_BUFFER), 0);
	rig_stop(r);
}

static void a_live_ring_moves_and_loses_and_doubles_nothing(void **state)
{
	(void)state;
	stream_while(move);
}

static void a_lost_connection_loses_and_doubles_nothing_that_was_taken(void **state)
{
	(void)state;
	stream_while(lose);
}

/* The receiver moves: what comes while it is away is lost, what it got it got once. */
static void a_receiver_that_moves_gets_nothing_twice(void **state)
{
	struct rig_conf conf = {.workers = 2, .client = {.ring_size = 64, .tx_slot = 4096}};
	struct rig *r = rig_start(&conf);
	struct vu_ring *tx = vu_txq(&r->c[0], 0), *rx = vu_rxq(&r->c[1], 0);
	uint32_t last = 0, got = 0;

	(void)state;
	for (uint32_t i = 1; i <= 3000; i++) {
		build(r, i, 200);
		assert_true(wait_until((vu_tx_reap(tx), tx->n_free), WAIT_MS));
		assert_int_equal(vu_tx_post(tx, r->f.data, r->f.len, NULL), 0);
		vu_kick(tx, false);
		if (i % 100 == 0)
			(i % 200 ? move : lose)(r, 1);
		for (;;) {
			int n = vu_rx_poll(rx, r->g.data, FRAME_MAX, NULL, NULL);

			assert_true(n >= 0);
			if (!n)
				break;
			assert_true(le32_load(r->g.data + 60) > last);
			last = le32_load(r->g.data + 60);
			got++;
		}
		vu_rx_fill(rx, 64);
	}
	assert_true(got > 1500);
	rig_alive(r, 1, 0);
	rig_stop(r);
}

/*
 * The entry that the guest named has been passed before it moved, and the interrupt for it went
 * with the old one: without another it would wait for ever.
 */
static void after_a_move_the_guest_is_told_whatever_it_named(void **state)
{
	struct rig *r = rig_start(NULL);
	struct vu_ring *tx = vu_txq(&r->c[0], 0), *rx = vu_rxq(&r->c[1], 0);
	uint64_t calls;

	(void)state;
	rx->avail->ring[rx->num] = 2;
	for (uint32_t i = 0; i < 5; i++) {
		build(r, i, 200);
		assert_int_equal(vu_tx(tx, r->f.data, r->f.len, NULL), 0);
	}
	calls = rig_info(r, 1).calls;
	assert_true(calls >= 1);
	move(r, 1);
	for (uint32_t i = 0; i < 5; i++) {
		build(r, i, 200);
		assert_int_equal(vu_tx(tx, r->f.data, r->f.len, NULL), 0);
		assert_int_equal(rig_info(r, 1).calls, calls + 1);
	}
	rig_stop(r);
}

/* Some segments of a large packet are out when the ring stops: the rest may be lost, none comes
 * twice. */
static void a_packet_half_sent_is_not_sent_again(void **state)
{
	struct rig_conf conf = {.port.hold_ms = 60000};
	struct vu_conf plain = {.features = VU_PLAIN, .no_fill = true};
	struct rig *r = rig_start(&conf);
	struct vu_ring *tx = vu_txq(&r->c[0], 0), *rx;
	struct frame_spec s = rig_spec(0, 1, 4, IPPROTO_TCP, 14000);
	struct vu_tx owed = {.hdr = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
				     .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
				     .gso_size = le16_make(1400),
				     .csum_start = le16_make(34),
				     .csum_offset = le16_make(16)}};
	uint16_t base;

	(void)state;
	rig_down(r, 1);
	rig_up(r, 1, &plain);
	rx = vu_rxq(&r->c[1], 0);
	vu_rx_fill(rx, 4);
	frame_build(&r->f, &s);
	frame_make_partial(&r->f, true);
	assert_int_equal(vu_tx_post(tx, r->f.data, r->f.len, &owed), 0);
	vu_kick(tx, false);
	for (unsigned int i = 0; i < 4; i++)
		assert_true(vu_rx_wait(rx, r->g.data, FRAME_MAX, NULL, WAIT_MS) > 0);
	assert_int_equal(vu_tx_reap(tx), 0);
	assert_int_equal(vu_ring_stop(tx, &base), 0);
	assert_int_equal(base, 1);
	assert_int_equal(vu_tx_reap(tx), 1);
	assert_int_equal(rig_drops(r, 1, VSW_DROP_NO_BUFFER), 6);
	vu_rx_fill(rx, 100);
	assert_int_equal(vu_ring_start(tx, base), 0);
	assert_int_equal(vu_rx_poll(rx, r->g.data, FRAME_MAX, NULL, NULL), 0);
	rig_alive(r, 0, 1);
	rig_stop(r);
}

/* ---- In flight
 * ----------------------------------------------------------------------------------- */

static int set_inflight(struct vu *c, struct inflight_queue **area, uint64_t *stride, int *fd)
{
	struct vhost_user_inflight f = {.n_queues = 2, .queue_size = c->conf.ring_size};
	uint32_t room = sizeof(f);
	int rc = vu_send(c, VHOST_USER_GET_INFLIGHT_FD, 0, &f, sizeof(f), NULL, 0);

	if (!rc)
		rc = vu_recv(c, VHOST_USER_GET_INFLIGHT_FD, &f, &room, fd);
	if (rc)
		return rc;
	*stride = f.mmap_size / 2;
	*area = mmap(NULL, f.mmap_size, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
	return *area == MAP_FAILED ? -errno
				   : vu_ack(c, VHOST_USER_SET_INFLIGHT_FD, &f, sizeof(f), fd, 1);
}

/* A back end died with descriptors in hand, some done, out of order: ours does the others first. */
static void what_was_in_flight_is_done_first(void **state)
{
	struct rig_conf conf = {.no_connect = true};
	struct rig *r = rig_start(&conf);
	struct vu *c = &r->c[0];
	struct inflight_queue *area, *txa;
	struct vu_ring *tx;
	uint64_t stride;
	int fd;

	(void)state;
	rig_up(r, 1, NULL);
	assert_int_equal(vu_open(c, rig_connect(r, 0), NULL), 0);
	r->open[0] = true;
	assert_int_equal(vu_handshake(c), 0);
	assert_int_equal(vu_set_mem(c), 0);
	assert_int_equal(set_inflight(c, &area, &stride, &fd), 0);
	for (unsigned int k = 0; k < 2; k++)
		assert_int_equal(vu_ring_make(c, k, 0), 0);
	tx = vu_txq(c, 0);
	for (uint32_t i = 0; i < 10; i++) {
		build(r, i, 100);
		assert_int_equal(vu_tx_post(tx, r->f.data, r->f.len, NULL), 0);
	}
	/*
	 * It had taken 0..5 (heads 0..5 by the client's order), completed 1 and 3, and counts them
	 * in the used ring; 0, 2, 4, 5 are marked, 5 was taken before 4.
	 */
	tx->used->ring[0].id = 1;
	tx->used->ring[1].id = 3;
	tx->used->idx = 2;
	txa = (struct inflight_queue *)((uint8_t *)area + stride);
	txa->version = 1;
	txa->desc_num = 256;
	txa->used_idx = 2;
	for (unsigned int k = 0; k < 4; k++) {
		static const uint16_t head[] = {0, 2, 4, 5};
		static const uint64_t counter[] = {1, 3, 6, 5};

		txa->desc[head[k]].inflight = 1;
		txa->desc[head[k]].counter = counter[k];
	}
	assert_int_equal(vu_ring_start(tx, 6), 0);
	assert_int_equal(vu_ring_enable(tx, true), 0);
	for (unsigned int i = 0; i < 8; i++) {
		static const uint32_t want[] = {0, 2, 5, 4, 6, 7, 8, 9};
		int n = vu_rx_wait(vu_rxq(&r->c[1], 0), r->g.data, FRAME_MAX, NULL, WAIT_MS);

		assert_true(n > 0);
		assert_int_equal(le32_load(r->g.data + 60), want[i]);
	}
	assert_true(wait_until(tx->used->idx == 10, WAIT_MS));
	assert_int_equal(vu_tx_reap(tx), 10);
	assert_int_equal(tx->n_free, tx->num);
	/* None is marked now. */
	for (unsigned int i = 0; i < 256; i++)
		assert_int_equal(txa->desc[i].inflight, 0);
	munmap(area, 2 * stride);
	close(fd);
	rig_stop(r);
}

/* A batch that was published but not unmarked is not done again. */
static void a_batch_cut_short_is_not_done_again(void **state)
{
	struct rig_conf conf = {.no_connect = true};
	struct rig *r = rig_start(&conf);
	struct vu *c = &r->c[0];
	struct inflight_queue *area, *txa;
	struct vu_ring *tx;
	uint64_t stride;
	int fd;

	(void)state;
	rig_up(r, 1, NULL);
	assert_int_equal(vu_open(c, rig_connect(r, 0), NULL), 0);
	r->open[0] = true;
	assert_int_equal(vu_handshake(c), 0);
	assert_int_equal(vu_set_mem(c), 0);
	assert_int_equal(set_inflight(c, &area, &stride, &fd), 0);
	for (unsigned int k = 0; k < 2; k++)
		assert_int_equal(vu_ring_make(c, k, 0), 0);
	tx = vu_txq(c, 0);
	for (uint32_t i = 0; i < 3; i++) {
		build(r, i, 100);
		assert_int_equal(vu_tx_post(tx, r->f.data, r->f.len, NULL), 0);
		tx->used->ring[i].id = i;
	}
	/* 0 and 1 are in the used ring; the area still says used_idx 0 and marks all three. */
	tx->used->idx = 2;
	txa = (struct inflight_queue *)((uint8_t *)area + stride);
	txa->version = 1;
	txa->desc_num = 256;
	txa->last_batch_head = 1;
	txa->desc[1].next = 0;
	for (unsigned int k = 0; k < 3; k++) {
		txa->desc[k].inflight = 1;
		txa->desc[k].counter = k + 1;
	}
	assert_int_equal(vu_ring_start(tx, 3), 0);
	assert_int_equal(vu_ring_enable(tx, true), 0);
	assert_true(vu_rx_wait(vu_rxq(&r->c[1], 0), r->g.data, FRAME_MAX, NULL, WAIT_MS) > 0);
	assert_int_equal(le32_load(r->g.data + 60), 2);
	assert_true(wait_until(tx->used->idx == 3, WAIT_MS));
	assert_int_equal(vu_rx_poll(vu_rxq(&r->c[1], 0), r->g.data, FRAME_MAX, NULL, NULL), 0);
	munmap(area, 2 * stride);
	close(fd);
	rig_stop(r);
}

/* Whatever a front end writes there: nothing bad comes of it. */
static void a_scribbled_in_flight_area_does_no_harm(void **state)
{
	struct rng rng = {.s = 11};
	struct rig_conf conf = {.no_connect = true};
	struct rig *r = rig_start(&conf);

	(void)state;
	for (unsigned int round = 0; round < 20; round++) {
		struct vu *c = &r->c[0];
		struct inflight_queue *area;
		uint64_t stride;
		int fd;

		assert_int_equal(vu_open(c, rig_connect(r, 0), NULL), 0);
		r->open[0] = true;
		assert_int_equal(vu_handshake(c), 0);
		assert_int_equal(vu_set_mem(c), 0);
		assert_int_equal(set_inflight(c, &area, &stride, &fd), 0);
		rng_fill(&rng, area, 2 * stride);
		for (unsigned int k = 0; k < 2; k++) {
			struct inflight_queue *a = (void *)((uint8_t *)area + k * stride);

			a->version = 1;
			a->desc_num = 256;
			assert_int_equal(vu_ring_make(c, k, 0), 0);
			assert_int_equal(vu_ring_start(&c->ring[k], 0), 0);
			assert_int_equal(vu_ring_enable(&c->ring[k], true), 0);
		}
		assert_int_equal(vu_get_u64(c, VHOST_USER_GET_FEATURES, &c->offered), 0);
		munmap(area, 2 * stride);
		close(fd);
		rig_down(r, 0);
	}
	rig_up(r, 0, NULL);
	rig_up(r, 1, NULL);
	rig_alive(r, 0, 1);
	rig_stop(r);
}

/* ---- The rest
 * -------------------------------------------------------------------------------------- */

static void a_rarp_is_sent_in_the_guests_name(void **state)
{
	struct rig *r = rig_start(NULL);
	uint8_t mac[8] = {0}, *p = r->g.data;
	uint64_t word;

	(void)state;
	frame_mac(mac, 1);
	memcpy(&word, mac, 8);
	assert_int_equal(vu_ack_u64(&r->c[0], VHOST_USER_SEND_RARP, word), 0);
	assert_int_equal(r->events[0][VHOST_EV_ANNOUNCE], 1);
	assert_int_equal(rig_info(r, 0).announces, 1);
	assert_int_equal(vu_rx_wait(vu_rxq(&r->c[1], 0), p, FRAME_MAX, NULL, WAIT_MS), 60);
	for (unsigned int i = 0; i < 6; i++)
		assert_int_equal(p[i], 0xff);
	assert_memory_equal(p + 6, mac, 6);
	assert_int_equal(be16_load(p + 12), 0x8035);
	assert_int_equal(be16_load(p + 20), 3); /* request reverse */
	assert_memory_equal(p + 22, mac, 6);
	assert_memory_equal(p + 32, mac, 6);
	rig_stop(r);
}

static void memory_may_change_under_running_rings(void **state)
{
	static const bool slots[] = {false, true};

	(void)state;
	for (unsigned int k = 0; k < 2; k++) {
		struct rig_conf conf = {.workers = 2, .client.mem_slots = slots[k]};
		struct rig *r = rig_start(&conf);
		struct vu *c = &r->c[1];
		struct vhost_user_mem_reg more = {
			.region = {1ull << 40, 1 << 20, VU_USER + (1ull << 40), 0}};

		for (unsigned int i = 0; i < 20; i++) {
			rig_alive(r, 0, 1);
			if (slots[k]) {
				assert_int_equal(vu_ack(c, VHOST_USER_ADD_MEM_REG, &more,
							sizeof(more), &c->mem_fd, 1),
						 0);
				rig_alive(r, 0, 1);
				assert_int_equal(vu_ack(c, VHOST_USER_REM_MEM_REG, &more,
							sizeof(more), NULL, 0),
						 0);
			} else {
				assert_int_equal(vu_set_mem(c), 0);
			}
		}
		rig_alive(r, 0, 1);
		assert_int_equal(rig_info(r, 1).guest_errors, 0);
		rig_stop(r);
	}
}

static void a_ring_whose_memory_is_taken_away_halts(void **state)
{
	struct rig *r = rig_start(NULL);
	struct vu *c = &r->c[1];
	struct vhost_user_region other = {VU_GPA0, 4096, VU_USER + (1ull << 32), 0};
	struct vhost_user_mem m = {.n_regions = 1, .region = {other}};

	(void)state;
	assert_int_equal(vu_ack(c, VHOST_USER_SET_MEM_TABLE, &m, 8 + 32, &c->mem_fd, 1), 0);
	assert_true(wait_until(!rig_info(r, 1).driven, WAIT_MS));
	assert_int_equal(rig_info(r, 1).n_txq, 0);
	assert_int_equal(rig_info(r, 1).guest_errors, 2);
	assert_int_equal(vu_set_mem(c), 0);
	for (unsigned int k = 0; k < 2; k++)
		assert_int_equal(vu_ring_start(&c->ring[k], c->ring[k].used->idx), 0);
	assert_int_equal(vu_sync(c), 0);
	rig_alive(r, 0, 1);
	rig_stop(r);
}

/* One ring stops and starts with another size, from index 0. */
static void a_single_ring_is_reset_and_resized(void **state)
{
	struct rig *r = rig_start(NULL);
	struct vu *c = &r->c[0];
	uint16_t base;

	(void)state;
	for (unsigned int k = 0; k < 6; k++) {
		struct vu_ring *q = &c->ring[k & 1];

		rig_alive(r, 0, 1);
		assert_int_equal(vu_ring_stop(q, &base), 0);
		free(q->free);
		free(q->chain);
		free(q->slot);
		fd_close(&q->kick);
		fd_close(&q->call);
		fd_close(&q->err);
		c->conf.ring_size = (uint16_t)(8u << k);
		c->conf.tx_slot = 4096;
		assert_int_equal(vu_ring_make(c, q->index, 0), 0);
		if (!(k & 1))
			vu_rx_fill(q, q->num);
		assert_int_equal(vu_ring_start(q, 0), 0);
		assert_int_equal(vu_sync(c), 0);
	}
	rig_alive(r, 0, 1);
	rig_stop(r);
}

/* ... also one that a sender waits for, watched by a worker that does not sleep. */
static void a_starved_ring_whose_memory_is_taken_away_halts(void **state)
{
	struct rig_conf conf = {.spin_ns = 60 * NSEC_PER_SEC, .port.hold_ms = 60000};
	struct vu_conf empty = {.no_fill = true};
	struct rig *r = rig_start(&conf);
	struct vhost_user_region other = {VU_GPA0, 4096, VU_USER + (1ull << 32), 0};
	struct vhost_user_mem m = {.n_regions = 1, .region = {other}};
	struct vu_ring *tx = vu_txq(&r->c[0], 0);

	(void)state;
	rig_down(r, 1);
	rig_up(r, 1, &empty);
	build(r, 1, 100);
	assert_int_equal(vu_tx_post(tx, r->f.data, r->f.len, NULL), 0);
	vu_kick(tx, false);
	assert_true(wait_until(atomic_load(&vhost_port(r->v[0])->stats.tx_waits), WAIT_MS));
	assert_int_equal(vu_ack(&r->c[1], VHOST_USER_SET_MEM_TABLE, &m, 8 + 32, &r->c[1].mem_fd, 1),
			 0);
	assert_true(wait_until(vu_tx_reap(tx) == 1, WAIT_MS));
	assert_int_equal(rig_drops(r, 1, VSW_DROP_LINK_DOWN), 1);
	rig_stop(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exactly_the_pages_that_were_written_are_logged),
		cmocka_unit_test(a_transmit_ring_logs_its_used_ring),
		cmocka_unit_test(nothing_is_logged_without_the_feature_or_behind_the_logs_end),
		cmocka_unit_test(a_copy_made_by_the_log_is_the_memory),
		cmocka_unit_test(a_live_ring_moves_and_loses_and_doubles_nothing),
		cmocka_unit_test(a_lost_connection_loses_and_doubles_nothing_that_was_taken),
		cmocka_unit_test(a_receiver_that_moves_gets_nothing_twice),
		cmocka_unit_test(after_a_move_the_guest_is_told_whatever_it_named),
		cmocka_unit_test(a_packet_half_sent_is_not_sent_again),
		cmocka_unit_test(what_was_in_flight_is_done_first),
		cmocka_unit_test(a_batch_cut_short_is_not_done_again),
		cmocka_unit_test(a_scribbled_in_flight_area_does_no_harm),
		cmocka_unit_test(a_rarp_is_sent_in_the_guests_name),
		cmocka_unit_test(memory_may_change_under_running_rings),
		cmocka_unit_test(a_single_ring_is_reset_and_resized),
		cmocka_unit_test(a_ring_whose_memory_is_taken_away_halts),
		cmocka_unit_test(a_starved_ring_whose_memory_is_taken_away_halts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
