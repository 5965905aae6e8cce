/* SPDX-License-Identifier: BSD-2-Clause */
/* Every ring goes round, with entries of every size across its end at every alignment. */
#include "tests/driver/rig.h"

/* Packets with that many SGEs; the rest of the frame in the last. */
static void send_sges(struct rig *r, uint64_t gpa, uint32_t n, bool long_oob)
{
	struct drv_txq *q = &r->vp[0].tx[0];
	const struct drv_tx tx = {.long_oob = long_oob};
	struct drv_sge s[31];

	for (uint32_t i = 0; i < n; i++)
		s[i] = (struct drv_sge){gpa + i * 3, i + 1 == n ? r->f.len - i * 3 : 3};
	assert_int_equal(drv_tx_sges(q, s, n, &tx), 0);
	drv_tx_ring(q);
	assert_int_equal(drv_tx_wait(q, WAIT_MS), CQE_TX_OKAY);
}

static void send_ring(uint32_t ring, bool long_oob)
{
	const struct rig_conf c = {.vport = {.tx_ring = ring, .cq_size = 4096}};
	struct rig *r = rig_start(&c);
	struct drv_txq *q = &r->vp[0].tx[0];
	struct frame_spec s = rig_spec(r, 0, 1, 4, IPPROTO_UDP, 200);
	uint32_t n_bu = ring / 32;
	uint64_t gpa;
	void *p = drv_alloc(&r->d[0], DRV_PAGE, &gpa);

	assert_non_null(p);
	frame_build(&r->f, &s);
	memcpy(p, r->f.data, r->f.len);
	for (uint32_t bu = long_oob ? 2 : 1; bu <= 16; bu++) {
		uint32_t n = long_oob ? 2 * bu - 2 : MIN(2 * bu - 1, 30u);

		for (uint32_t before_end = 1; before_end <= bu; before_end++) {
			/* One-unit entries up to the place. */
			while (q->wq.head % n_bu != n_bu - before_end) {
				send_sges(r, gpa, 1, false);
				rig_expect(r, 1, &r->f, NULL);
			}
			send_sges(r, gpa, n, long_oob);
			rig_expect(r, 1, &r->f, NULL);
		}
	}
	rig_stop(r);
}

static void send_entries_of_every_size_wrap_in_a_page(void **state)
{
	(void)state;
	send_ring(4096, false);
}

static void long_send_entries_wrap_in_two_pages(void **state)
{
	(void)state;
	send_ring(8192, true);
}

static void completions(uint32_t cq_size, uint32_t every)
{
	const struct rig_conf c = {.vport = {.tx_ring = 4096, .cq_size = cq_size, .rx_bufs = 32}};
	struct rig *r = rig_start(&c);
	struct frame_spec s = rig_spec(r, 0, 1, 4, IPPROTO_UDP, 40);

	r->vp[0].tx[0].cq.ring_every = r->vp[1].rx[0].cq.ring_every = every;
	/* 8 owner values: 8 times the entries are one full turn. */
	for (uint32_t i = 0; i < 2 * 8 * cq_size / 64 + 7; i++) {
		s.seed = i;
		frame_build(&r->f, &s);
		rig_send(r, 0, &r->f, NULL);
		rig_expect(r, 1, &r->f, NULL);
	}
	rig_stop(r);
}

static void completion_queues_go_round_all_owner_values(void **state)
{
	(void)state;
	completions(4096, 7);
	completions(4096, 64);
	completions(8192, 0);
}

static void a_driver_may_ring_as_rarely_as_linux_does(void **state)
{
	/* As large as Linux makes it, an entry for each WQE; rung every fourth time around. */
	(void)state;
	completions(16384, 4 * 256);
}

static void an_event_queue_goes_round_all_owner_values(void **state)
{
	struct rig *r = rig_start(&(struct rig_conf){.level = RIG_DEV, .lab = {.n_devs = 1}});
	struct drv *d = &r->d[0];
	struct drv_queue eq;
	struct drv_event ev;

	(void)state;
	assert_int_equal(drv_eq_create(d, &eq, 4096, 2), 0);
	for (uint32_t i = 0; i < 2 * 2048 + 100; i++) {
		assert_int_equal(drv_test_eqe(d, eq.id), 0);
		assert_int_equal(drv_eq_read(&eq, &ev), 1);
		assert_int_equal(ev.type, GDMA_EQE_TEST_EVENT);
		if (i % 5 == 4)
			drv_eq_ring(&eq, true);
	}
	assert_int_equal(drv_eq_destroy(&eq), 0);
	rig_stop(r);
}

static void an_event_queue_nobody_reads_is_not_overrun(void **state)
{
	struct rig *r = rig_start(&(struct rig_conf){.level = RIG_DEV, .lab = {.n_devs = 1}});
	struct drv *d = &r->d[0];
	struct drv_queue eq;
	struct drv_event ev;
	uint32_t n = 0;
	int rc;

	(void)state;
	assert_int_equal(drv_eq_create(d, &eq, 4096, 2), 0);
	for (uint32_t i = 0; i < 700; i++)
		drv_test_eqe(d, eq.id);
	/* Either the surplus was dropped, or the owner bits say "overflow": never stale as new. */
	while ((rc = drv_eq_read(&eq, &ev)) > 0) {
		assert_int_equal(ev.type, GDMA_EQE_TEST_EVENT);
		n++;
	}
	assert_true(n <= 700);
	rig_hwc_alive(r, 0);
	drv_eq_destroy(&eq);
	rig_stop(r);
}

static void a_completion_queue_nobody_reads_holds_its_sender(void **state)
{
	/* A CQ of 64 entries for a ring of 128 one-unit WQEs: more is posted than it can tell. */
	const struct rig_conf c = {.vport = {.tx_ring = 4096, .cq_size = 4096}};
	struct rig *r = rig_start(&c);
	struct drv_txq *q = &r->vp[0].tx[0];
	struct frame_spec s = rig_spec(r, 0, 1, 4, IPPROTO_UDP, 40);
	struct drv_sge sge;
	uint64_t gpa;
	void *p = drv_alloc(&r->d[0], DRV_PAGE, &gpa);
	struct drv_rx rx;
	unsigned int done = 0;

	(void)state;
	assert_non_null(p);
	frame_build(&r->f, &s);
	memcpy(p, r->f.data, r->f.len);
	sge = (struct drv_sge){gpa, r->f.len};
	for (int i = 0; i < 120; i++)
		assert_int_equal(drv_tx_sges(q, &sge, 1, NULL), 0);
	drv_tx_ring(q);
	drv_barrier(&r->d[0]);
	/* Read slowly, telling the device how far: everything comes in the end, or an overflow is
	 * visible as one (Linux: "Return -1 if overflow detected"). */
	while (done < 120) {
		int type = drv_tx_wait(q, 500);

		while (drv_recv(&r->vp[1], &rx, 0))
			;
		if (type <= 0)
			break;
		done++;
		drv_cq_ring(&q->cq, false);
	}
	if (done < 120) {
		assert_true(done >= 63);
		/* Overflow is this queue's end: it can be taken down and made anew. */
		r->d[0].violations = 0;
		drv_destroy_wqobj(&r->d[0], GDMA_SQ, q->obj);
		drv_destroy_wqobj(&r->d[0], GDMA_RQ, r->vp[0].rx[0].obj);
		drv_disable_queue(&r->d[0], GDMA_EQ, r->vp[0].eq[0].id);
		drv_vport_forget(&r->vp[0]);
		assert_int_equal(drv_vport_up(&r->d[0], &r->vp[0], 0, &c.vport), 0);
	}
	rig_stop(r);
}

static void a_receive_completion_queue_nobody_reads_holds_senders(void **state)
{
	/* 128 buffers and 64 completion entries: no entry is overwritten before it is read. */
	const struct rig_conf c = {
		.lab = {.conf = {.hold_ms = 10000}},
		.vport = {.tx_ring = 8192, .rx_bufs = 128, .cq_size = 4096, .manual_rx = true}};
	struct rig *r = rig_start(&c);
	struct drv_txq *q = &r->vp[0].tx[0];
	struct frame_spec s = rig_spec(r, 0, 1, 4, IPPROTO_UDP, 40);
	uint8_t *p;
	uint64_t gpa;

	(void)state;
	p = drv_alloc(&r->d[0], 100 * 256, &gpa);
	assert_non_null(p);
	for (uint32_t i = 0; i < 100; i++) {
		struct drv_sge sge = {gpa + i * 256, 0};

		s.seed = i;
		frame_build(&r->f, &s);
		memcpy(p + i * 256, r->f.data, r->f.len);
		sge.len = r->f.len;
		assert_int_equal(drv_tx_sges(q, &sge, 1, NULL), 0);
	}
	drv_tx_ring(q);
	drv_barrier(&r->d[0]);
	drv_barrier(&r->d[1]);
	for (uint32_t i = 0; i < 100; i++) {
		s.seed = i;
		frame_build(&r->f, &s);
		rig_expect(r, 1, &r->f, NULL);
		while (drv_tx_poll(q) > 0)
			;
	}
	while (q->pend_head != q->pend_tail)
		assert_int_equal(drv_tx_wait(q, WAIT_MS), CQE_TX_OKAY);
	rig_stop(r);
}

/* A receive WQE of several SGEs: the packet is spread over them, and the ring still adds up. */
static void receive_ring(uint32_t ring)
{
	const struct rig_conf c = {.vport = {.no_rx_fill = true,
					     .manual_rx = true,
					     .rx_bufs = ring / 32,
					     .rx_buf_size = 2048,
					     .cq_size = 65536}};
	struct rig *r = rig_start(&c);
	struct drv_rxq *q = &r->vp[1].rx[0];
	struct frame_spec s = rig_spec(r, 0, 1, 4, IPPROTO_UDP, 600);
	uint32_t n_bu = ring / 32, posts = 0;

	assert_int_equal(q->wq.size, ring);
	for (uint32_t bu = 1; bu <= 8; bu++) {
		for (uint32_t before_end = 1; before_end <= bu; before_end++) {
			bool there = false;

			while (!there) {
				uint32_t now, n, at = 0;
				struct drv_sge sge[16];
				struct drv_wqe w = {.sge = sge, .oob_size = 8};
				const struct mana_rxcomp_oob *o;
				struct drv_comp comp;
				uint32_t len;

				there = q->wq.head % n_bu == n_bu - before_end;
				now = there ? bu : 1;
				n = MIN(2 * now - 1, 15u);
				/* Pieces of odd sizes, the last with room for all. */
				for (uint32_t i = 0; i < n; i++) {
					len = i + 1 == n ? 1600 : 17 + i * 5;
					sge[i] = (struct drv_sge){q->buf_gpa + at, len};
					at += len + 3; /* a gap that must not be written */
				}
				w.num_sge = n;
				memset(q->buf, 0xa5, 4096);
				assert_true(drv_wqe_post(&q->wq, &w) > 0);
				drv_wq_ring(&q->wq);
				drv_barrier(&r->d[1]);
				s.seed = ++posts;
				frame_build(&r->f, &s);
				rig_send(r, 0, &r->f, NULL);
				assert_true(wait_until(drv_cq_read(&q->cq, &comp) == 1, WAIT_MS));
				drv_cq_keep_up(&q->cq);
				o = (const void *)comp.data;
				assert_int_equal(le32_get(o->cqe_hdr) & MANA_CQE_TYPE_MASK,
						 CQE_RX_OKAY);
				assert_int_equal(le16_get(o->ppi[0].pkt_len), r->f.len);
				q->wq.tail += now;
				for (uint32_t i = 0, off = 0; i < n && off < r->f.len; i++) {
					const uint8_t *b = q->buf + (sge[i].gpa - q->buf_gpa);
					uint32_t part = MIN(sge[i].len, r->f.len - off);

					assert_memory_equal(b, r->f.data + off, part);
					assert_int_equal(b[sge[i].len], 0xa5);
					off += part;
				}
			}
		}
	}
	rig_stop(r);
}

static void receive_entries_of_every_size_wrap(void **state)
{
	(void)state;
	receive_ring(4096);
	receive_ring(8192);
}

static void a_full_receive_ring_is_used_to_the_last_entry(void **state)
{
	const struct rig_conf c = {.vport = {.rx_bufs = 128, .manual_rx = true}};
	struct rig *r = rig_start(&c);
	struct drv_rxq *q = &r->vp[1].rx[0];
	struct frame_spec s = rig_spec(r, 0, 1, 6, IPPROTO_UDP, 90);

	(void)state;
	for (int round = 0; round < 5; round++) {
		assert_int_equal(q->posted, 128);
		for (uint32_t i = 0; i < 128; i++) {
			s.seed = (uint64_t)round * 1000 + i;
			frame_build(&r->f, &s);
			rig_send(r, 0, &r->f, NULL);
			rig_expect(r, 1, &r->f, NULL);
		}
		assert_int_equal(q->posted, 0);
		drv_rx_fill(q, 128);
	}
	rig_stop(r);
}

static void one_doorbell_may_cover_a_whole_ring(void **state)
{
	const struct rig_conf c = {.vport = {.tx_ring = 4096, .rx_bufs = 256}};
	struct rig *r = rig_start(&c);
	struct drv_txq *q = &r->vp[0].tx[0];
	struct frame_spec s = rig_spec(r, 0, 1, 4, IPPROTO_UDP, 40);
	uint8_t *p;
	uint64_t gpa;

	(void)state;
	p = drv_alloc(&r->d[0], 128 * 256, &gpa);
	assert_non_null(p);
	for (int round = 0; round < 6; round++) {
		for (uint32_t i = 0; i < 128; i++) {
			struct drv_sge sge = {gpa + i * 256, 0};

			s.seed = (uint64_t)round * 128 + i;
			frame_build(&r->f, &s);
			memcpy(p + i * 256, r->f.data, r->f.len);
			sge.len = r->f.len;
			assert_int_equal(drv_tx_sges(q, &sge, 1, NULL), 0);
		}
		assert_int_equal(drv_wq_avail(&q->wq), 0);
		drv_tx_ring(q);
		for (uint32_t i = 0; i < 128; i++) {
			assert_int_equal(drv_tx_wait(q, WAIT_MS), CQE_TX_OKAY);
			s.seed = (uint64_t)round * 128 + i;
			frame_build(&r->f, &s);
			rig_expect(r, 1, &r->f, NULL);
		}
	}
	rig_stop(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(send_entries_of_every_size_wrap_in_a_page),
		cmocka_unit_test(long_send_entries_wrap_in_two_pages),
		cmocka_unit_test(completion_queues_go_round_all_owner_values),
		cmocka_unit_test(a_driver_may_ring_as_rarely_as_linux_does),
		cmocka_unit_test(an_event_queue_goes_round_all_owner_values),
		cmocka_unit_test(an_event_queue_nobody_reads_is_not_overrun),
		cmocka_unit_test(a_completion_queue_nobody_reads_holds_its_sender),
		cmocka_unit_test(a_receive_completion_queue_nobody_reads_holds_senders),
		cmocka_unit_test(receive_entries_of_every_size_wrap),
		cmocka_unit_test(a_full_receive_ring_is_used_to_the_last_entry),
		cmocka_unit_test(one_doorbell_may_cover_a_whole_ring),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
