/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hostile rings. Whatever a guest writes into its memory, the port of its neighbour works on, its
 * other rings work on where they can, and the ring works again when it is started anew.
 */
#include <sys/mman.h>

#include "tests/vhost/vu_rig.h"

static const struct rig_conf three = {.workers = 2, .n = 3, .port = {.max_queues = 2}};
static const struct vu_conf two_pairs = {.pairs = 2, .tx_slot = 4096};

/* Client 0 has two pairs of queues, the others one. */
static struct rig *start(const struct rig_conf *conf, const struct vu_conf *first)
{
	struct rig *r = rig_start(conf ? conf : &three);

	rig_down(r, 0);
	rig_up(r, 0, first ? first : &two_pairs);
	return r;
}

static bool err_signalled(struct vu_ring *q)
{
	uint64_t v;

	return read(q->err, &v, sizeof(v)) == sizeof(v);
}

/* Ring @q of client 0 has broken: told, halted, and the others go on. */
static void broken(struct rig *r, struct vu_ring *q)
{
	bool rx = !(q->index & 1);
	struct vhost_info info;

	assert_true(wait_until(err_signalled(q), WAIT_MS));
	info = rig_info(r, 0);
	assert_true(info.guest_errors >= 1);
	assert_true(strlen(info.last_error) > 10);
	assert_int_equal(info.n_rxq, rx ? 1 : 2);
	assert_int_equal(info.n_txq, rx ? 2 : 1);
	assert_true(wait_until(r->events[0][VHOST_EV_GUEST_ERROR] >= 1, WAIT_MS));
	assert_true(info.connected);
	/* The neighbours, and the guest's other queue. */
	rig_alive(r, 1, 2);
	{
		struct frame_spec s = rig_spec(0, 1, 4, IPPROTO_UDP, 99);

		frame_build(&r->f, &s);
		if (!rx) {
			assert_int_equal(vu_tx(vu_txq(&r->c[0], 1), r->f.data, r->f.len, NULL), 0);
			rig_expect(r, 1, &r->f, NULL);
		}
	}
}

/* The same ring after the driver has made it anew. */
static void mended(struct rig *r, struct vu_ring *q)
{
	struct vu *c = q->c;
	uint16_t base;

	assert_int_equal(vu_ring_stop(q, &base), 0);
	free(q->free);
	free(q->chain);
	free(q->slot);
	fd_close(&q->kick);
	fd_close(&q->call);
	fd_close(&q->err);
	assert_int_equal(vu_ring_make(c, q->index, 0), 0);
	if (!(q->index & 1))
		vu_rx_fill(q, 256);
	assert_int_equal(vu_ring_start(q, 0), 0);
	assert_int_equal(vu_ring_enable(q, true), 0);
	assert_int_equal(vu_sync(c), 0);
	rig_alive(r, 0, 1);
}

static struct vring_desc desc(uint64_t addr, uint32_t len, uint16_t flags, uint16_t next)
{
	return (struct vring_desc){le64_make(addr), le32_make(len), le16_make(flags),
				   le16_make(next)};
}

enum evil {
	HEAD_OUTSIDE,
	INDEX_AHEAD,
	INDEX_BACK,
	LOOP,
	LOOP_SELF,
	NEXT_OUTSIDE,
	WRONG_DIRECTION,
	WRONG_DIRECTION_LATER,
	NOT_MEMORY,
	OVER_THE_END,
	ADDRESS_WRAPS,
	HUGE_LENGTH,
	TABLE_NOT_MEMORY,
	TABLE_EMPTY,
	TABLE_ODD,
	TABLE_NEXT,
	TABLE_LATER,
	TABLE_IN_TABLE,
	TABLE_LOOP,
	TABLE_NEXT_OUTSIDE,
	TABLE_HUGE,
	N_EVIL
};

/* Writes what @how says into the ring and makes it available. */
static void do_evil(struct rig *r, struct vu_ring *q, enum evil how)
{
	struct vu *c = &r->c[0];
	uint16_t dir = q->index & 1 ? 0 : VRING_DESC_F_WRITE;
	struct vring_desc *table = vu_alloc(c, 4096, 16);
	uint64_t buf = vu_gpa(c, vu_alloc(c, 4096, 16)), t = vu_gpa(c, table);
	uint64_t end = VU_GPA1 + c->mem_size / 2;

	for (unsigned int i = 0; i < 256; i++)
		table[i] = desc(buf, 16, dir | VRING_DESC_F_NEXT, (uint16_t)(i + 1));
	/* Heads at the front of the line: the receive ring has been drained by the caller. */
	q->desc[0] = desc(buf, 100, dir, 0);
	q->desc[1] = desc(buf, 100, dir, 0);
	switch (how) {
	case HEAD_OUTSIDE:
		vu_post(q, 256);
		return;
	case INDEX_AHEAD:
		q->avail_idx = (uint16_t)(q->avail_idx + 257);
		__atomic_store_n(&q->avail->idx, q->avail_idx, __ATOMIC_RELEASE);
		return;
	case INDEX_BACK:
		q->avail_idx--;
		__atomic_store_n(&q->avail->idx, q->avail_idx, __ATOMIC_RELEASE);
		return;
	case LOOP:
		q->desc[0] = desc(buf, 1, dir | VRING_DESC_F_NEXT, 1);
		q->desc[1] = desc(buf, 1, dir | VRING_DESC_F_NEXT, 0);
		break;
	case LOOP_SELF:
		q->desc[0] = desc(buf, 0, dir | VRING_DESC_F_NEXT, 0);
		break;
	case NEXT_OUTSIDE:
		q->desc[0] = desc(buf, 1, dir | VRING_DESC_F_NEXT, 256);
		break;
	case WRONG_DIRECTION:
		q->desc[0] = desc(buf, 100, dir ^ VRING_DESC_F_WRITE, 0);
		break;
	case WRONG_DIRECTION_LATER:
		q->desc[0] = desc(buf, 12, dir | VRING_DESC_F_NEXT, 1);
		q->desc[1] = desc(buf, 100, dir ^ VRING_DESC_F_WRITE, 0);
		break;
	case NOT_MEMORY:
		q->desc[0] = desc(0x10, 100, dir, 0);
		break;
	case OVER_THE_END:
		q->desc[0] = desc(end - 50, 100, dir, 0);
		break;
	case ADDRESS_WRAPS:
		q->desc[0] = desc(UINT64_MAX - 50, 100, dir, 0);
		break;
	case HUGE_LENGTH:
		q->desc[0] = desc(buf, UINT32_MAX, dir, 0);
		break;
	case TABLE_NOT_MEMORY:
		q->desc[0] = desc(end, 64, VRING_DESC_F_INDIRECT, 0);
		break;
	case TABLE_EMPTY:
		q->desc[0] = desc(t, 0, VRING_DESC_F_INDIRECT, 0);
		break;
	case TABLE_ODD:
		q->desc[0] = desc(t, 65, VRING_DESC_F_INDIRECT, 0);
		break;
	case TABLE_NEXT:
		q->desc[0] = desc(t, 64, VRING_DESC_F_INDIRECT | VRING_DESC_F_NEXT, 1);
		break;
	case TABLE_LATER:
		q->desc[0] = desc(buf, 12, dir | VRING_DESC_F_NEXT, 1);
		q->desc[1] = desc(t, 64, VRING_DESC_F_INDIRECT, 0);
		break;
	case TABLE_IN_TABLE:
		table[1] = desc(t, 64, VRING_DESC_F_INDIRECT, 0);
		q->desc[0] = desc(t, 64, VRING_DESC_F_INDIRECT, 0);
		break;
	case TABLE_LOOP:
		table[1] = desc(buf, 1, dir | VRING_DESC_F_NEXT, 0);
		q->desc[0] = desc(t, 64, VRING_DESC_F_INDIRECT, 0);
		break;
	case TABLE_NEXT_OUTSIDE:
		q->desc[0] = desc(t, 64, VRING_DESC_F_INDIRECT, 0);
		break;
	case TABLE_HUGE:
		table[255] = desc(buf, 1, dir | VRING_DESC_F_NEXT, 256);
		q->desc[0] = desc(t, 0xfffffff0, VRING_DESC_F_INDIRECT, 0);
		break;
	default:
		fail();
	}
	vu_post(q, 0);
}

static void an_evil_transmit_ring_breaks_alone(void **state)
{
	(void)state;
	for (enum evil how = 0; how < N_EVIL; how++) {
		struct rig *r = start(NULL, NULL);
		struct vu_ring *q = vu_txq(&r->c[0], 0);

		do_evil(r, q, how);
		vu_kick(q, true);
		broken(r, q);
		assert_int_equal(rig_info(r, 0).guest_errors, 1);
		mended(r, q);
		rig_stop(r);
	}
}

/* One frame to queue 0 of client 0: it has been learned there. */
static void frame_to_queue_0(struct rig *r)
{
	struct frame_spec s = rig_spec(0, 1, 4, IPPROTO_UDP, 99);

	frame_build(&r->f, &s);
	assert_int_equal(vu_tx(vu_txq(&r->c[0], 0), r->f.data, r->f.len, NULL), 0);
	rig_expect(r, 1, &r->f, NULL);
	s = rig_spec(1, 0, 4, IPPROTO_UDP, 99);
	s.sport = 2000;
	s.dport = 1000;
	frame_build(&r->f, &s);
	assert_int_equal(vu_tx(vu_txq(&r->c[1], 0), r->f.data, r->f.len, NULL), 0);
}

static void an_evil_receive_ring_breaks_alone(void **state)
{
	(void)state;
	for (enum evil how = 0; how < N_EVIL; how++) {
		struct rig_conf conf = three;
		struct vu_conf empty = {.pairs = 2, .no_fill = true};
		struct rig *r;
		struct vu_ring *q;

		conf.port.hold_ms = 60000;
		r = start(&conf, &empty);
		vu_rx_fill(vu_rxq(&r->c[0], 1), 256);
		q = vu_rxq(&r->c[0], 0);
		do_evil(r, q, how);
		frame_to_queue_0(r);
		broken(r, q);
		/* The frame went to the other queue instead. */
		assert_true(vu_rx_wait(vu_rxq(&r->c[0], 1), r->g.data, FRAME_MAX, NULL, WAIT_MS) >
			    0);
		assert_true(rig_info(r, 0).driven);
		mended(r, q);
		rig_stop(r);
	}
}

static void an_empty_receive_buffer_breaks_the_ring(void **state)
{
	struct vu_conf empty = {.pairs = 2, .no_fill = true};
	struct rig *r = start(NULL, &empty);
	struct vu_ring *q;

	(void)state;
	q = vu_rxq(&r->c[0], 0);
	q->desc[0] = desc(VU_GPA0, 0, VRING_DESC_F_WRITE, 0);
	vu_post(q, 0);
	frame_to_queue_0(r);
	broken(r, q);
	mended(r, q);
	rig_stop(r);
}

static void indirect_tables_must_be_negotiated(void **state)
{
	struct vu_conf conf = two_pairs;
	struct rig *r;
	struct vu_ring *q;
	struct vring_desc *table;

	(void)state;
	conf.features = VU_FEATURES & ~VU_BIT(VIRTIO_RING_F_INDIRECT_DESC);
	r = start(NULL, &conf);
	q = vu_txq(&r->c[0], 0);
	table = vu_alloc(&r->c[0], 4096, 16);
	table[0] = desc(VU_GPA0, 100, 0, 0);
	q->desc[0] = desc(vu_gpa(&r->c[0], table), 16, VRING_DESC_F_INDIRECT, 0);
	vu_post(q, 0);
	vu_kick(q, true);
	broken(r, q);
	rig_stop(r);
}

/* A buffer may lie across two regions that follow each other; a table too. */
static void buffers_across_a_seam_are_whole(void **state)
{
	struct rig_conf conf = {.no_connect = true};
	struct rig *r = rig_start(&conf);
	struct vu *c = &r->c[0];
	struct frame_spec s = rig_spec(0, 1, 4, IPPROTO_UDP, 1000);
	uint64_t half, seam;
	struct vhost_user_mem m;
	int fds[2];
	struct vu_ring *q;

	(void)state;
	rig_up(r, 1, NULL);
	assert_int_equal(vu_open(c, rig_connect(r, 0), NULL), 0);
	r->open[0] = true;
	assert_int_equal(vu_handshake(c), 0);
	half = c->mem_size / 2;
	/* Guest addresses follow each other, the halves of the file are the wrong way round. */
	m = (struct vhost_user_mem){.n_regions = 2,
				    .region = {{VU_GPA1, half, VU_USER + half, half},
					       {VU_GPA1 + half, half, VU_USER, 0}}};
	fds[0] = fds[1] = c->mem_fd;
	assert_int_equal(vu_ack(c, VHOST_USER_SET_MEM_TABLE, &m, 8 + 64, fds, 2), 0);
	for (unsigned int k = 0; k < 2; k++) {
		assert_int_equal(vu_ring_make(c, k, 0), 0);
		assert_int_equal(vu_ring_start(&c->ring[k], 0), 0);
		assert_int_equal(vu_ring_enable(&c->ring[k], true), 0);
	}
	q = vu_txq(c, 0);
	seam = VU_GPA1 + half;
	frame_build(&r->f, &s);
	for (unsigned int cut = 1; cut < r->f.len + 12; cut += 97) {
		uint8_t flat[2048] = {0};

		memcpy(flat + 12, r->f.data, r->f.len);
		memcpy(c->mem + c->mem_size - cut, flat, cut);
		memcpy(c->mem, flat + cut, r->f.len + 12 - cut);
		q->desc[5] = desc(seam - cut, r->f.len + 12, 0, 0);
		q->chain[5] = 1;
		vu_post(q, 5);
		vu_kick(q, true);
		rig_expect(r, 1, &r->f, NULL);
	}
	/* An indirect table with its first entry across the seam. */
	for (unsigned int cut = 1; cut < 16; cut++) {
		struct vring_desc t[2] = {desc(VU_GPA1 + half + 64, 500, VRING_DESC_F_NEXT, 1),
					  desc(VU_GPA1 + half + 564, r->f.len + 12 - 500, 0, 0)};
		uint8_t flat[32];

		memset(c->mem + 64, 0, 12);
		memcpy(c->mem + 76, r->f.data, r->f.len);
		memcpy(flat, t, 32);
		memcpy(c->mem + c->mem_size - cut, flat, cut);
		memcpy(c->mem, flat + cut, 32 - cut);
		q->desc[5] = desc(seam - cut, 32, VRING_DESC_F_INDIRECT, 0);
		vu_post(q, 5);
		vu_kick(q, true);
		rig_expect(r, 1, &r->f, NULL);
	}
	rig_stop(r);
}

static void a_truncated_memory_breaks_the_rings_and_nothing_else(void **state)
{
	struct rig *r = start(NULL, NULL);
	struct vu *c = &r->c[0];

	(void)state;
	/* Ours is mapped too: it must not be touched behind the new end. */
	munmap(c->mem, c->mem_size);
	c->mem = NULL;
	assert_int_equal(ftruncate(c->mem_fd, 0), 0);
	for (unsigned int k = 0; k < 4; k++)
		fd_event_signal(c->ring[k].kick);
	{
		struct frame_spec s = rig_spec(1, 0, 4, IPPROTO_UDP, 99);

		frame_build(&r->f, &s);
		assert_int_equal(vu_tx_post(vu_txq(&r->c[1], 0), r->f.data, r->f.len, NULL), 0);
		vu_kick(vu_txq(&r->c[1], 0), true);
	}
	assert_true(
		wait_until((fd_event_signal(c->ring[1].kick), !rig_info(r, 0).driven), WAIT_MS));
	assert_true(wait_until(vu_tx_reap(vu_txq(&r->c[1], 0)), WAIT_MS));
	rig_alive(r, 1, 2);
	rig_down(r, 0);
	rig_up(r, 0, &two_pairs);
	rig_alive(r, 0, 1);
	rig_stop(r);
}

/* Random bytes all over the rings, while frames come from the neighbour. */
static void scribbled_rings_do_no_harm(void **state)
{
	struct rng rng = {.s = 9};
	struct rig_conf conf = three;
	struct rig *r;

	(void)state;
	conf.port.hold_ms = 1;
	r = start(&conf, NULL);
	for (unsigned int round = 0; round < 150; round++) {
		struct vu *c = &r->c[0];
		struct frame_spec s = rig_spec(1, 0, 4, IPPROTO_UDP, rng_below(&rng, 3000));

		for (unsigned int k = 0; k < 4; k++) {
			struct vu_ring *q = &c->ring[k];
			unsigned int n = 1 + rng_below(&rng, 200);

			while (n--) {
				struct vring_desc *d = &q->desc[rng_below(&rng, q->num)];
				uint64_t any[] = {VU_GPA0 + rng_below(&rng, 1 << 25),
						  VU_GPA1 + rng_below(&rng, 1 << 25),
						  rng_u64(&rng)};

				*d = desc(
					any[rng_below(&rng, 3)],
					rng_below(&rng, 4) ? rng_below(&rng, 5000)
							   : (uint32_t)rng_u64(&rng),
					(uint16_t)rng_below(&rng, 8),
					(uint16_t)rng_below(&rng, rng_below(&rng, 2) ? 256 : 300));
				q->avail->ring[rng_below(&rng, q->num)] =
					(uint16_t)rng_below(&rng, 257);
			}
			q->avail_idx = (uint16_t)(q->avail_idx + rng_below(&rng, 20));
			__atomic_store_n(&q->avail->idx, q->avail_idx, __ATOMIC_RELEASE);
			fd_event_signal(q->kick);
		}
		frame_build(&r->f, &s);
		assert_int_equal(vu_tx(vu_txq(&r->c[1], 0), r->f.data, r->f.len, NULL), 0);
		for (unsigned int k = 0; k < 4; k++) {
			uint16_t base;

			if (rng_below(&rng, 4))
				continue;
			assert_int_equal(vu_ring_stop(&c->ring[k], &base), 0);
			assert_int_equal(vu_ring_start(&c->ring[k], base), 0);
		}
		/* What client 0 has sent is anything; the neighbours stay in step with each other.
		 */
		for (unsigned int i = 1; i < 3; i++) {
			while (vu_rx_poll(vu_rxq(&r->c[i], 0), r->g.data, FRAME_MAX, NULL, NULL) >
			       0)
				;
			vu_rx_fill(vu_rxq(&r->c[i], 0), 256);
		}
	}
	rig_down(r, 0);
	for (unsigned int i = 1; i < 3; i++)
		while (vu_rx_poll(vu_rxq(&r->c[i], 0), r->g.data, FRAME_MAX, NULL, NULL) > 0)
			;
	rig_alive(r, 1, 2);
	rig_up(r, 0, &two_pairs);
	rig_alive(r, 0, 1);
	rig_stop(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_evil_transmit_ring_breaks_alone),
		cmocka_unit_test(an_evil_receive_ring_breaks_alone),
		cmocka_unit_test(an_empty_receive_buffer_breaks_the_ring),
		cmocka_unit_test(indirect_tables_must_be_negotiated),
		cmocka_unit_test(buffers_across_a_seam_are_whole),
		cmocka_unit_test(a_truncated_memory_breaks_the_rings_and_nothing_else),
		cmocka_unit_test(scribbled_rings_do_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
