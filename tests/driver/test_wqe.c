/* SPDX-License-Identifier: BSD-2-Clause */
/* Send and receive WQEs that no good driver writes: each completes, in order, with the truth. */
#include "tests/driver/rig.h"

static int setup(void **state)
{
	*state = rig_start(&(struct rig_conf){.vport = {.tx_ring = 16384, .rx_bufs = 512}});
	return 0;
}

static int teardown(void **state)
{
	rig_stop(*state);
	return 0;
}

/* Posts a WQE as bits, behind it a good packet; the good one must arrive and the bad not. */
static int bad_then_good(struct rig *r, const struct drv_wqe *w)
{
	struct drv_txq *q = &r->vp[0].tx[0];
	struct frame_spec s = rig_spec(r, 0, 1, 4, IPPROTO_UDP, 77);
	int bytes = drv_wqe_post(&q->wq, w), type;

	assert_true(bytes > 0);
	q->pend[q->pend_head++ % DRV_TX_PENDING] =
		(struct drv_pend){.bu = (uint16_t)(bytes / 32), .slot = -1};
	frame_build(&r->g, &s);
	assert_int_equal(drv_tx_frame(q, r->g.data, r->g.len, NULL), 0);
	drv_tx_ring(q);
	type = drv_tx_wait(q, WAIT_MS);
	assert_int_equal(drv_tx_wait(q, WAIT_MS), CQE_TX_OKAY);
	return type;
}

static void must_fail(struct rig *r, const struct drv_wqe *w, const char *why)
{
	int type = bad_then_good(r, w);

	if (type == CQE_TX_OKAY || type <= 0)
		fail_msg("%s: completion %d", why, type);
	rig_expect(r, 1, &r->g, NULL);
	assert_true(drv_recv_none(&r->vp[1]));
}

/* A good frame somewhere in guest memory. */
static uint64_t place(struct rig *r, uint32_t payload, uint8_t ip, uint8_t proto)
{
	struct frame_spec s = rig_spec(r, 0, 1, ip, proto, payload);
	uint64_t gpa;
	void *p = drv_alloc(&r->d[0], FRAME_MAX, &gpa);

	assert_non_null(p);
	frame_build(&r->f, &s);
	memcpy(p, r->f.data, r->f.len);
	return gpa;
}

static void release(struct rig *r, uint64_t gpa)
{
	drv_free(&r->d[0], gpa, FRAME_MAX);
}

static void a_bad_scatter_list_is_an_error_completion(void **state)
{
	struct rig *r = *state;
	struct drv *d = &r->d[0];
	uint64_t good = place(r, 100, 4, IPPROTO_UDP);
	struct mana_tx_oob oob;
	struct drv_wqe w = {.oob = &oob};
	const struct {
		const char *why;
		uint32_t n;
		struct drv_sge s[3];
	} bad[] = {
		{"address 0", 1, {{0, 100}}},
		{"address not mapped", 1, {{0x7ffffff00000ull, 100}}},
		{"just before memory", 1, {{d->mem_gpa - 50, 100}}},
		{"over the end of memory", 1, {{d->mem_gpa + d->mem_size - 50, 100}}},
		{"address near 2^64", 1, {{UINT64_MAX - 10, 100}}},
		{"address 2^64 - 1", 1, {{UINT64_MAX, 1}}},
		{"size 2^32 - 1", 1, {{good, UINT32_MAX}}},
		{"size of the whole memory", 1, {{d->mem_gpa, (uint32_t)d->mem_size}}},
		{"one of three not mapped", 3, {{good, 50}, {1ull << 60, 50}, {good, 50}}},
		{"sizes that wrap 32 bits",
		 3,
		 {{good, 0x80000000}, {good, 0x80000000}, {good, 60}}},
		{"length 0", 1, {{good, 0}}},
		{"all lengths 0", 3, {{good, 0}, {good, 0}, {good, 0}}},
		{"shorter than a header", 1, {{good, 13}}},
		{"one byte", 1, {{good, 1}}},
	};

	w.oob_size = drv_tx_oob(&r->vp[0].tx[0], &(struct drv_tx){0}, &oob);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		w.sge = bad[i].s;
		w.num_sge = bad[i].n;
		must_fail(r, &w, bad[i].why);
	}
	/* No SGE at all. */
	w.num_sge = 0;
	must_fail(r, &w, "no SGE");
	release(r, good);
	rig_alive(r, 0, 1);
}

static void entries_of_length_0_among_others_are_nothing(void **state)
{
	struct rig *r = *state;
	uint64_t good = place(r, 300, 4, IPPROTO_UDP);
	const struct drv_sge s[] = {
		{good, 0}, {good, 20}, {0, 0}, {good + 20, 30}, {good + 50, r->f.len - 50},
		{good, 0}};
	int type;

	assert_int_equal(drv_tx_sges(&r->vp[0].tx[0], s, ARRAY_SIZE(s), NULL), 0);
	drv_tx_ring(&r->vp[0].tx[0]);
	type = drv_tx_wait(&r->vp[0].tx[0], WAIT_MS);
	if (type == CQE_TX_OKAY)
		rig_expect(r, 1, &r->f, NULL);
	assert_true(type > 0);
	assert_true(drv_recv_none(&r->vp[1]));
	release(r, good);
	rig_alive(r, 0, 1);
}

static void a_packet_in_one_to_thirty_pieces_is_one_packet(void **state)
{
	struct rig *r = *state;

	for (uint32_t n = 1; n <= 30; n++) {
		uint64_t good = place(r, 1400, n & 1 ? 4 : 6, n & 2 ? IPPROTO_TCP : IPPROTO_UDP);
		struct drv_sge s[31];
		uint32_t at = 0;

		for (uint32_t i = 0; i < n; i++) {
			uint32_t len = i + 1 == n ? r->f.len - at : 1 + (i * 7) % 40;

			s[i] = (struct drv_sge){good + at, len};
			at += len;
		}
		assert_int_equal(drv_tx_sges(&r->vp[0].tx[0], s, n, NULL), 0);
		drv_tx_ring(&r->vp[0].tx[0]);
		assert_int_equal(drv_tx_wait(&r->vp[0].tx[0], WAIT_MS), CQE_TX_OKAY);
		rig_expect(r, 1, &r->f, NULL);
		release(r, good);
	}
}

static void a_piece_may_span_two_dma_maps(void **state)
{
	struct rig *r = *state;
	struct drv *d = &r->d[0];
	uint64_t seam = drv_seam(d);
	struct frame_spec s = rig_spec(r, 0, 1, 4, IPPROTO_TCP, 1000);

	frame_build(&r->f, &s);
	/* The seam in the Ethernet header, in the IP header, in TCP, in the payload. */
	for (uint32_t off = 1; off < r->f.len; off += off < 80 ? 1 : 97) {
		const struct drv_sge sge = {seam - off, r->f.len};

		memcpy(drv_ptr(d, seam - off), r->f.data, r->f.len);
		assert_int_equal(drv_tx_sges(&r->vp[0].tx[0], &sge, 1, NULL), 0);
		drv_tx_ring(&r->vp[0].tx[0]);
		assert_int_equal(drv_tx_wait(&r->vp[0].tx[0], WAIT_MS), CQE_TX_OKAY);
		rig_expect(r, 1, &r->f, NULL);
	}
}

static void claims_about_the_oob_are_checked(void **state)
{
	struct rig *r = *state;
	uint64_t good = place(r, 100, 4, IPPROTO_UDP);
	const struct drv_sge sge = {good, r->f.len};
	uint8_t oob[32];
	struct drv_wqe w = {.sge = &sge, .num_sge = 1, .oob = oob};

	for (uint32_t size = 0; size <= 28; size += 4) {
		if (size == 8 || size == 24)
			continue;
		memset(oob, 0, sizeof(oob));
		drv_tx_oob(&r->vp[0].tx[0], &(struct drv_tx){0}, (void *)oob);
		w.oob_size = size;
		must_fail(r, &w, "OOB size");
	}
	/* A long format in a short OOB, and formats 2 and 3. */
	w.oob_size = 8;
	for (uint32_t fmt = 1; fmt < 4; fmt++) {
		struct mana_tx_oob o;

		drv_tx_oob(&r->vp[0].tx[0], &(struct drv_tx){0}, &o);
		o.s_oob.flags_vcq = le32_make((le32_get(o.s_oob.flags_vcq) & ~3u) | fmt);
		memcpy(oob, &o, 8);
		must_fail(r, &w, "packet format");
	}
	/* More SGEs claimed than the ring ever got: the bytes behind are read as SGEs. */
	for (uint32_t claim = 2; claim < 256; claim += 23) {
		struct drv_txq *q = &r->vp[0].tx[0];
		int bytes;

		drv_tx_oob(q, &(struct drv_tx){0}, (void *)oob);
		w.oob_size = 8;
		w.claim_sge = claim;
		bytes = drv_wqe_post(&q->wq, &w);
		assert_true(bytes > 0);
		drv_tx_ring(q);
		drv_barrier(&r->d[0]);
		/* Whatever it was taken for, the queue can be taken down and made anew. */
		drv_destroy_wqobj(&r->d[0], GDMA_SQ, q->obj);
		drv_destroy_wqobj(&r->d[0], GDMA_RQ, r->vp[0].rx[0].obj);
		drv_disable_queue(&r->d[0], GDMA_EQ, r->vp[0].eq[0].id);
		drv_vport_forget(&r->vp[0]);
		assert_int_equal(drv_vport_up(&r->d[0], &r->vp[0], 0, &r->conf.vport), 0);
		rig_alive(r, 0, 1);
	}
	release(r, good);
}

static void a_wrong_vport_offset_is_an_error_completion(void **state)
{
	struct rig *r = *state;
	uint64_t good = place(r, 100, 4, IPPROTO_UDP);
	const struct drv_sge sge = {good, r->f.len};
	struct mana_tx_oob oob;
	struct drv_wqe w = {.sge = &sge, .num_sge = 1, .oob = &oob};

	for (int add = 1; add < 200; add += 66) {
		w.oob_size =
			drv_tx_oob(&r->vp[0].tx[0], &(struct drv_tx){.vp_offset_add = add}, &oob);
		must_fail(r, &w, "vPort offset");
		w.oob_size = drv_tx_oob(
			&r->vp[0].tx[0],
			&(struct drv_tx){.vp_offset_add = 1000 + add, .long_oob = true}, &oob);
		must_fail(r, &w, "long vPort offset");
	}
	release(r, good);
}

static void absurd_tso_is_an_error_completion_or_right(void **state)
{
	struct rig *r = *state;
	const struct {
		const char *why;
		uint8_t ip, proto;
		uint32_t payload, mss, hdr;
		int trans; /* added to the right transport offset */
	} bad[] = {
		{"UDP cut as TCP", 4, IPPROTO_UDP, 4000, 1000, 0, 0},
		{"ICMP cut as TCP", 4, IPPROTO_ICMP, 4000, 1000, 0, 0},
		{"no IP at all", 0, 0, 4000, 1000, 54, 0},
		{"header longer than it is", 4, IPPROTO_TCP, 4000, 1000, 300, 0},
		{"header cut in the IP header", 4, IPPROTO_TCP, 4000, 1000, 20, 0},
		{"header of one byte", 6, IPPROTO_TCP, 4000, 1000, 1, 0},
		{"MSS larger than the payload", 4, IPPROTO_TCP, 500, 16383, 0, 0},
		{"MSS 1", 4, IPPROTO_TCP, 300, 1, 0, 0},
		{"MSS larger than any frame", 4, IPPROTO_TCP, 60000, 16000, 0, 0},
		{"no payload", 4, IPPROTO_TCP, 0, 1000, 0, 0},
		{"transport offset 0", 4, IPPROTO_TCP, 4000, 1000, 0, -34},
		{"transport offset 1023", 4, IPPROTO_TCP, 4000, 1000, 0, 989},
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct frame_spec s = rig_spec(r, 0, 1, bad[i].ip, bad[i].proto, bad[i].payload);
		struct drv_tx tx = {.mss = bad[i].mss,
				    .hdr_len = bad[i].hdr,
				    .tcp_csum = true,
				    .ip_csum = true,
				    .v4 = bad[i].ip != 6,
				    .v6 = bad[i].ip == 6};
		uint32_t got = 0, seg = 0;
		struct drv_rx rx;
		int type;

		frame_build(&r->f, &s);
		if (!tx.hdr_len)
			tx.hdr_len = r->f.payload;
		tx.trans_off = (uint16_t)((int)r->f.l4 + bad[i].trans);
		memcpy(&r->g, &r->f, sizeof(r->f));
		type = drv_send(&r->vp[0].tx[0], r->f.data, r->f.len, &tx);
		if (type <= 0)
			fail_msg("%s: completion %d", bad[i].why, type);
		/* What was sent after all must be the right segments and nothing else. */
		if (type == CQE_TX_OKAY && bad[i].proto == IPPROTO_TCP)
			while (frame_segment(&r->f, bad[i].mss, seg++, &r->g)) {
				if (!drv_recv(&r->vp[1], &rx, got ? WAIT_MS : 200)) {
					if (got)
						fail_msg("%s: segment %u missing", bad[i].why,
							 seg - 1);
					break;
				}
				got++;
				rig_same_bytes(rx.data, rx.len, r->g.data, r->g.len);
			}
		drv_barrier(&r->d[0]);
		while (drv_recv(&r->vp[1], &rx, 1))
			got++;
		if (type != CQE_TX_OKAY)
			assert_int_equal(got, 0);
	}
	rig_alive(r, 0, 1);
}

static void an_oob_that_lies_about_the_packet_is_survived(void **state)
{
	struct rig *r = *state;
	const uint8_t ips[] = {0, 4, 6};
	const uint8_t protos[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP, 50};
	struct drv_rx rx;

	for (uint32_t bits = 0; bits < 32; bits++) {
		for (size_t i = 0; i < ARRAY_SIZE(ips); i++) {
			for (size_t p = 0; p < ARRAY_SIZE(protos); p++) {
				struct frame_spec s = rig_spec(r, 0, 1, ips[i], protos[p], 60);
				struct drv_tx tx = {.ip_csum = bits & 1,
						    .tcp_csum = bits & 2,
						    .udp_csum = bits & 4,
						    .v4 = bits & 8,
						    .v6 = bits & 16,
						    .trans_off = (uint16_t)(bits * 33)};

				frame_build(&r->f, &s);
				assert_true(drv_send(&r->vp[0].tx[0], r->f.data, r->f.len, &tx) >
					    0);
			}
		}
		while (drv_recv(&r->vp[1], &rx, 0))
			;
	}
	drv_barrier(&r->d[0]);
	while (drv_recv(&r->vp[1], &rx, 1))
		;
	/* client_oob_in_sgl without a segment size, with any last_vbytes. */
	for (uint32_t v = 0; v < 256; v += 51) {
		uint64_t good = place(r, 100, 4, IPPROTO_TCP);
		const struct drv_sge sge[] = {{good, 54}, {good + 54, r->f.len - 54}};
		struct mana_tx_oob oob;
		struct drv_wqe w = {.sge = sge,
				    .num_sge = 2,
				    .oob = &oob,
				    .oob_in_sgl = true,
				    .last_vbytes = v};

		w.oob_size = drv_tx_oob(&r->vp[0].tx[0], &(struct drv_tx){0}, &oob);
		if (bad_then_good(r, &w) == CQE_TX_OKAY)
			rig_expect(r, 1, &r->f, NULL);
		rig_expect(r, 1, &r->g, NULL);
		release(r, good);
	}
}

static void headers_that_lie_are_forwarded_or_dropped_never_read_past(void **state)
{
	struct rig *r = *state;
	struct rng rng = {.s = 99};
	struct drv_rx rx;

	for (int i = 0; i < 600; i++) {
		struct frame_spec s =
			rig_spec(r, 0, 1, i & 1 ? 4 : 6, i & 2 ? IPPROTO_TCP : IPPROTO_UDP,
				 rng_below(&rng, 200));
		struct drv_tx tx = {0};
		uint32_t cut;

		s.ext6 = i & 4;
		s.opt4 = i & 8 ? 40 : 0;
		frame_build(&r->f, &s);
		/* One to four bytes of the headers changed, then cut anywhere. */
		for (uint32_t k = rng_below(&rng, 4) + 1; k; k--)
			r->f.data[12 + rng_below(&rng, r->f.payload - 12u)] =
				(uint8_t)rng_u64(&rng);
		cut = 14 + rng_below(&rng, r->f.len - 13);
		if (i & 16) {
			tx.tcp_csum = i & 2;
			tx.udp_csum = !(i & 2);
			tx.v4 = i & 1;
			tx.v6 = !(i & 1);
			tx.trans_off = i & 32 ? r->f.l4 : 0;
		}
		if (i & 64) {
			tx.mss = 1 + rng_below(&rng, 100);
			tx.hdr_len = MIN(r->f.payload, cut);
		}
		tx.pieces = 1 + rng_below(&rng, 6);
		assert_true(drv_send(&r->vp[0].tx[0], r->f.data, cut, &tx) > 0);
		while (drv_recv(&r->vp[1], &rx, 0))
			;
	}
	drv_barrier(&r->d[0]);
	while (drv_recv(&r->vp[1], &rx, 1))
		;
	rig_alive(r, 0, 1);
}

/* ---- Receive ----------------------------------------------------------------------------------
 */

static void a_receive_buffer_that_is_no_memory_costs_its_packet(void **state)
{
	const struct rig_conf c = {.vport = {.no_rx_fill = true, .manual_rx = true}};
	struct rig *r = rig_start(&c);
	struct drv_rxq *q = &r->vp[1].rx[0];
	struct drv *d = &r->d[1];
	const struct drv_sge bad[] = {{0, 2048},
				      {1ull << 50, 2048},
				      {UINT64_MAX - 100, 2048},
				      {d->mem_gpa + d->mem_size - 16, 2048},
				      {q->buf_gpa, 0},
				      {q->buf_gpa, 10}};
	struct frame_spec s = rig_spec(r, 0, 1, 4, IPPROTO_UDP, 500);

	(void)state;
	frame_build(&r->f, &s);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		const struct drv_wqe w = {.sge = &bad[i], .num_sge = 1, .oob_size = 8};
		uint32_t head = q->cq.head;
		struct drv_rx rx;

		q->next_buf++; /* keeps buffer and WQE in step */
		assert_true(drv_wqe_post(&q->wq, &w) > 0);
		q->posted++;
		drv_wq_ring(&q->wq);
		drv_rx_fill(q, 1);
		drv_barrier(d);
		memset(q->buf, 0xa5, (size_t)q->n_buf * q->buf_size);
		rig_send(r, 0, &r->f, NULL);
		rig_send(r, 0, &r->f, NULL);
		/* The bad buffer says truncated (or was skipped with a completion); then a good
		 * one. */
		assert_true(drv_recv(&r->vp[1], &rx, WAIT_MS));
		if (rx.cqe_type == CQE_RX_TRUNCATED) {
			assert_true(drv_recv(&r->vp[1], &rx, WAIT_MS));
			rig_same_bytes(rx.data, rx.len, r->f.data, r->f.len);
		}
		assert_true(q->cq.head > head);
		if (i == 5) /* of ten bytes: not one more was written */
			for (uint32_t b = 10; b < 100; b++)
				assert_true(q->buf[b] == 0xa5 || q->buf + b >= rx.data);
		/* Leftovers of the pair: drain, so that each case starts with an empty queue. */
		drv_rx_fill(q, 2);
		while (drv_recv(&r->vp[1], &rx, 30))
			;
		while (q->posted) {
			rig_send(r, 0, &r->f, NULL);
			assert_true(drv_recv(&r->vp[1], &rx, WAIT_MS));
		}
	}
	rig_stop(r);
}

static void a_packet_too_long_for_its_buffer_is_truncated_and_says_so(void **state)
{
	const struct rig_conf c = {.vport = {.rx_buf_size = 256}};
	struct rig *r = rig_start(&c);
	struct frame_spec s = rig_spec(r, 0, 1, 4, IPPROTO_UDP, 1000);
	struct drv_rxq *q = &r->vp[1].rx[0];
	struct drv_rx rx;

	(void)state;
	for (int i = 0; i < 200; i++) {
		s.payload_len = i & 1 ? 1000 : 100;
		frame_build(&r->f, &s);
		memset(q->buf, 0x5a, (size_t)q->n_buf * q->buf_size);
		rig_send(r, 0, &r->f, NULL);
		assert_true(drv_recv(&r->vp[1], &rx, WAIT_MS));
		if (i & 1) {
			assert_int_equal(rx.cqe_type, CQE_RX_TRUNCATED);
			/* The neighbour's buffer was not written. */
			if (rx.data + 256 < q->buf + (size_t)q->n_buf * 256)
				assert_int_equal(rx.data[256], 0x5a);
		} else {
			assert_int_equal(rx.cqe_type, CQE_RX_OKAY);
			rig_same_bytes(rx.data, rx.len, r->f.data, r->f.len);
		}
	}
	rig_stop(r);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_bad_scatter_list_is_an_error_completion),
		T(entries_of_length_0_among_others_are_nothing),
		T(a_packet_in_one_to_thirty_pieces_is_one_packet),
		T(a_piece_may_span_two_dma_maps),
		T(claims_about_the_oob_are_checked),
		T(a_wrong_vport_offset_is_an_error_completion),
		T(absurd_tso_is_an_error_completion_or_right),
		T(an_oob_that_lies_about_the_packet_is_survived),
		T(headers_that_lie_are_forwarded_or_dropped_never_read_past),
		cmocka_unit_test(a_receive_buffer_that_is_no_memory_costs_its_packet),
		cmocka_unit_test(a_packet_too_long_for_its_buffer_is_truncated_and_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
