/* SPDX-License-Identifier: BSD-2-Clause */
/* Receive steering: RSS against the published vectors, 64 queues, several vPorts, coalescing. */
#include "tests/driver/rig.h"
#include "tests/lib/toeplitz.h"

static struct rig *rss_rig(unsigned int queues)
{
	struct rig_conf c = {.level = RIG_DEV,
			     .drv = {.mem_size = 128u << 20},
			     .vport = {.n_queues = queues, .rss = true, .rx_bufs = 32}};
	struct rig *r;

	c.lab.conf.vports[0].max_queues = 64;
	memcpy(c.vport.key, toeplitz_ms_key, sizeof(c.vport.key));
	r = rig_start(&c);
	assert_int_equal(drv_vport_up(&r->d[0], &r->vp[0], 0, NULL), 0);
	assert_int_equal(drv_vport_up(&r->d[1], &r->vp[1], 0, &c.vport), 0);
	return r;
}

/* The hash that the completion's type promises. */
static uint32_t promised(const struct frame *f, const struct drv_rx *rx)
{
	uint32_t type = rx->flags >> MANA_RX_HASHTYPE_SHIFT & MANA_RX_HASHTYPE_MASK;

	assert_true(type != 0);
	assert_true((type & (f->ip == 4 ? NDIS_HASH_IPV4 | NDIS_HASH_TCP_IPV4 | NDIS_HASH_UDP_IPV4
					: MANA_HASH_L3 | MANA_HASH_L4)) == type);
	return toeplitz_frame(toeplitz_ms_key, f, type & MANA_HASH_L4 ? 1 : 0);
}

static void hashes_are_those_microsoft_published(void **state)
{
	struct rig *r = rss_rig(8);

	(void)state;
	for (size_t i = 0; i < toeplitz_n_ms; i++) {
		const struct toeplitz_vector *v = &toeplitz_ms[i];

		for (int l4 = 0; l4 < 2; l4++) {
			struct frame_spec s = rig_spec(r, 0, 1, v->ip, l4 ? IPPROTO_TCP : 50, 60);
			struct drv_rx rx;

			memcpy(s.saddr, v->saddr, 16);
			memcpy(s.daddr, v->daddr, 16);
			s.sport = v->sport;
			s.dport = v->dport;
			frame_build(&r->f, &s);
			rig_send(r, 0, &r->f, NULL);
			rig_expect(r, 1, &r->f, &rx);
			assert_int_equal(rx.hash, l4 ? v->hash_l4 : v->hash_ip);
			assert_int_equal(rx.hash, promised(&r->f, &rx));
			assert_int_equal(rx.queue, rx.hash % r->vp[1].n_indir % 8);
		}
	}
	rig_stop(r);
}

static void the_indirection_table_is_obeyed(void **state)
{
	struct rig *r = rss_rig(4);
	struct drv_steer s;
	unsigned int used = 0;

	(void)state;
	/* Entries at odds with the identity: by a rule that uses every queue unevenly. */
	drv_vport_steer(&r->vp[1], &s);
	for (uint32_t i = 0; i < s.n_tab; i++)
		s.tab[i] = r->vp[1].rx[(i * i + i / 7) % 4].obj;
	assert_int_equal(drv_steer(&r->d[1], &s), 0);
	for (uint32_t i = 0; i < 600; i++) {
		struct frame_spec f =
			rig_spec(r, 0, 1, i & 1 ? 4 : 6, i & 2 ? IPPROTO_TCP : IPPROTO_UDP, 20);
		struct drv_rx rx;
		uint32_t at;

		f.sport = (uint16_t)(i * 977);
		f.saddr[3] = (uint8_t)i;
		f.saddr[12] = (uint8_t)(i >> 3);
		frame_build(&r->f, &f);
		rig_send(r, 0, &r->f, NULL);
		rig_expect(r, 1, &r->f, &rx);
		assert_int_equal(rx.hash, promised(&r->f, &rx));
		at = rx.hash % s.n_tab;
		assert_int_equal(rx.queue, (at * at + at / 7) % 4);
		used |= 1u << rx.queue;
	}
	assert_int_equal(used, 0xf);
	/* Without RSS everything goes to the default object. */
	s.rss = TRI_STATE_FALSE;
	s.def_obj = r->vp[1].rx[2].obj;
	assert_int_equal(drv_steer(&r->d[1], &s), 0);
	for (uint32_t i = 0; i < 50; i++) {
		struct frame_spec f = rig_spec(r, 0, 1, 4, IPPROTO_TCP, 20);
		struct drv_rx rx;

		f.sport = (uint16_t)(i * 977);
		frame_build(&r->f, &f);
		rig_send(r, 0, &r->f, NULL);
		rig_expect(r, 1, &r->f, &rx);
		assert_int_equal(rx.queue, 2);
	}
	rig_stop(r);
}

static void an_update_says_what_it_changes(void **state)
{
	struct rig *r = rss_rig(4);
	struct drv_steer s;
	struct drv_rx rx;

	(void)state;
	/* Table cleared to queue 3, key not updated: the old key still hashes. */
	drv_vport_steer(&r->vp[1], &s);
	s.set_key = false;
	memset(s.key, 0, sizeof(s.key));
	for (uint32_t i = 0; i < s.n_tab; i++)
		s.tab[i] = r->vp[1].rx[3].obj;
	assert_int_equal(drv_steer(&r->d[1], &s), 0);
	struct frame_spec f = rig_spec(r, 0, 1, 4, IPPROTO_TCP, 20);

	frame_build(&r->f, &f);
	rig_send(r, 0, &r->f, NULL);
	rig_expect(r, 1, &r->f, &rx);
	assert_int_equal(rx.hash, promised(&r->f, &rx));
	assert_int_equal(rx.queue, 3);
	/* Receive off: nothing arrives, and it is counted; nothing said about the table. */
	s = (struct drv_steer){.vport = r->vp[1].handle,
			       .rx = TRI_STATE_FALSE,
			       .rss = TRI_STATE_FALSE,
			       .n_tab = (uint16_t)r->vp[1].n_indir};
	assert_int_equal(drv_steer(&r->d[1], &s), 0);
	assert_true(drv_send(&r->vp[0].tx[0], r->f.data, r->f.len, NULL) > 0);
	assert_true(drv_recv_none(&r->vp[1]));
	/* On again without updates: as before. */
	s.rx = TRI_STATE_TRUE;
	s.rss = TRI_STATE_TRUE;
	assert_int_equal(drv_steer(&r->d[1], &s), 0);
	rig_send(r, 0, &r->f, NULL);
	rig_expect(r, 1, &r->f, &rx);
	assert_int_equal(rx.queue, 3);
	rig_stop(r);
}

static void sixty_four_queues_all_send_and_receive(void **state)
{
	struct rig_conf c = {.drv = {.mem_size = 256u << 20},
			     .vport = {.n_queues = 64,
				       .rss = true,
				       .rx_bufs = 16,
				       .tx_ring = 4096,
				       .cq_size = 8192}};
	uint64_t got = 0;
	struct rig *r;

	(void)state;
	c.lab.conf.vports[0].max_queues = 64;
	memcpy(c.vport.key, toeplitz_ms_key, sizeof(c.vport.key));
	r = rig_start(&c);
	assert_int_equal(r->vp[0].max_sq, 64);
	for (uint32_t i = 0; i < 1200; i++) {
		struct frame_spec s = rig_spec(r, i & 1, !(i & 1), 4, IPPROTO_TCP, 50);
		struct drv_rx rx;

		s.sport = (uint16_t)(i * 331);
		frame_build(&r->f, &s);
		assert_int_equal(drv_send(&r->vp[i & 1].tx[i % 64], r->f.data, r->f.len, NULL),
				 CQE_TX_OKAY);
		rig_expect(r, !(i & 1), &r->f, &rx);
		assert_int_equal(rx.queue, rx.hash % r->vp[0].n_indir % 64);
		if (!(i & 1))
			got |= 1ull << rx.queue;
	}
	assert_true(__builtin_popcountll(got) >= 60);
	struct mana_queue_info q[64];

	assert_int_equal(mana_get_queues(r->lab.mana[0], q, 64), 64);
	rig_stop(r);
}

static void every_vport_is_a_port_of_its_own(void **state)
{
	struct rig_conf c = {
		.level = RIG_DEV, .lab = {.conf = {.n_vports = 4}}, .drv = {.mem_size = 64u << 20}};
	struct rig *r = rig_start(&c);
	struct drv_vport vp[2][4];
	struct drv_rx rx;

	(void)state;
	for (int d = 0; d < 2; d++)
		for (uint32_t v = 0; v < 4; v++)
			assert_int_equal(drv_vport_up(&r->d[d], &vp[d][v], v, NULL), 0);
	for (uint32_t a = 0; a < 4; a++) {
		for (uint32_t b = 0; b < 4; b++) {
			struct frame_spec s = {.ip = 4, .proto = IPPROTO_UDP, .payload_len = 99};

			frame_addr(&s, lab_host(0, a), lab_host(1, b));
			frame_build(&r->f, &s);
			assert_int_equal(drv_send(&vp[0][a].tx[0], r->f.data, r->f.len, NULL),
					 CQE_TX_OKAY);
			assert_true(drv_recv(&vp[1][b], &rx, WAIT_MS));
			rig_same_bytes(rx.data, rx.len, r->f.data, r->f.len);
		}
	}
	/* Between two vPorts of one function. */
	struct frame_spec s = {.ip = 6, .proto = IPPROTO_TCP, .payload_len = 500};

	frame_addr(&s, lab_host(0, 1), lab_host(0, 3));
	frame_build(&r->f, &s);
	assert_int_equal(drv_send(&vp[0][1].tx[0], r->f.data, r->f.len, NULL), CQE_TX_OKAY);
	assert_true(drv_recv(&vp[0][3], &rx, WAIT_MS));
	rig_same_bytes(rx.data, rx.len, r->f.data, r->f.len);
	for (int d = 0; d < 2; d++)
		for (uint32_t v = 0; v < 4; v++)
			assert_true(drv_recv_none(&vp[d][v]));
	/* One goes down, the others live. */
	assert_int_equal(drv_vport_down(&vp[1][2]), 0);
	frame_addr(&s, lab_host(0, 0), lab_host(1, 3));
	frame_build(&r->f, &s);
	assert_int_equal(drv_send(&vp[0][0].tx[0], r->f.data, r->f.len, NULL), CQE_TX_OKAY);
	assert_true(drv_recv(&vp[1][3], &rx, WAIT_MS));
	for (int d = 0; d < 2; d++)
		for (uint32_t v = 0; v < 4; v++)
			if (vp[d][v].nq)
				assert_int_equal(drv_vport_down(&vp[d][v]), 0);
	rig_stop(r);
}

/* Sends @n frames of one flow with one doorbell and receives them, in order, equal. */
static void burst(struct rig *r, uint32_t n, uint32_t payload, uint64_t seed)
{
	struct drv_txq *q = &r->vp[0].tx[0];
	struct frame_spec s = rig_spec(r, 0, 1, 4, IPPROTO_TCP, payload);
	struct drv_rx rx;

	for (uint32_t i = 0; i < n; i++) {
		s.seed = seed + i;
		frame_build(&r->f, &s);
		assert_int_equal(drv_tx_frame(q, r->f.data, r->f.len, NULL), 0);
	}
	drv_tx_ring(q);
	for (uint32_t i = 0; i < n; i++) {
		s.seed = seed + i;
		frame_build(&r->f, &s);
		rig_expect(r, 1, &r->f, &rx);
		assert_true(rx.flags & MANA_RX_TCP_CSUM_SUCCEED);
		assert_int_equal(drv_tx_wait(q, WAIT_MS), CQE_TX_OKAY);
	}
}

static void coalesced_completions_carry_up_to_four(void **state)
{
	const struct rig_conf c = {.vport = {.coalesce = true, .rx_bufs = 128}};
	struct rig *r = rig_start(&c);
	struct drv_rxq *q = &r->vp[1].rx[0];
	struct mana_info info;
	uint64_t sum = 0;

	(void)state;
	for (uint32_t n = 1; n <= 40; n++)
		burst(r, n, 60 + n, n * 1000);
	for (unsigned int i = 1; i <= 4; i++)
		sum += q->coalesced[i] * i;
	assert_true(sum >= 40 * 41 / 2);
	assert_true(q->coalesced[2] + q->coalesced[3] + q->coalesced[4] > 0);
	assert_true(lab_info(&r->lab, 1, &info)->vports[0].rx_coalesced > 0);
	/* Switched off: one packet, one completion. */
	struct drv_steer s;

	drv_vport_steer(&r->vp[1], &s);
	s.coalesce = false;
	assert_int_equal(drv_steer(&r->d[1], &s), 0);
	memset(q->coalesced, 0, sizeof(q->coalesced));
	burst(r, 40, 100, 99);
	assert_int_equal(q->coalesced[1], 40);
	rig_stop(r);
}

static void packets_with_different_facts_share_no_completion(void **state)
{
	const struct rig_conf c = {.vport = {.coalesce = true, .rx_bufs = 128}};
	struct rig *r = rig_start(&c);
	struct drv_txq *q = &r->vp[0].tx[0];

	(void)state;
	for (int round = 0; round < 10; round++) {
		/* TCP v4, UDP v6, a wrong sum, a tagged one, no IP: in one doorbell. */
		for (int i = 0; i < 30; i++) {
			struct frame_spec s = rig_spec(r, 0, 1,
						       i % 5 == 4 ? 0
						       : i % 2	  ? 6
								  : 4,
						       i % 3 ? IPPROTO_TCP : IPPROTO_UDP, 80);
			struct drv_tx tx = {.has_vlan = i % 5 == 3, .vlan = (uint16_t)(i + 1)};

			s.seed = (uint64_t)i;
			frame_build(&r->f, &s);
			if (i % 5 == 2)
				r->f.data[r->f.len - 1] ^= 1;
			assert_int_equal(drv_tx_frame(q, r->f.data, r->f.len, &tx), 0);
		}
		drv_tx_ring(q);
		for (int i = 0; i < 30; i++) {
			struct frame_spec s = rig_spec(r, 0, 1,
						       i % 5 == 4 ? 0
						       : i % 2	  ? 6
								  : 4,
						       i % 3 ? IPPROTO_TCP : IPPROTO_UDP, 80);
			uint32_t ok =
				s.ip ? i % 3 ? MANA_RX_TCP_CSUM_SUCCEED : MANA_RX_UDP_CSUM_SUCCEED
				     : 0;
			struct drv_rx rx;

			s.seed = (uint64_t)i;
			frame_build(&r->f, &s);
			if (i % 5 == 2) {
				r->f.data[r->f.len - 1] ^= 1;
				ok = 0;
			}
			rig_expect(r, 1, &r->f, &rx);
			assert_int_equal(
				rx.flags & (MANA_RX_TCP_CSUM_SUCCEED | MANA_RX_UDP_CSUM_SUCCEED),
				ok);
			assert_int_equal(!!(rx.flags & MANA_RX_VLANTAG_PRESENT), i % 5 == 3);
			if (i % 5 == 3)
				assert_int_equal(rx.flags & MANA_RX_VLAN_ID_MASK, i + 1);
			assert_int_equal(drv_tx_wait(q, WAIT_MS), CQE_TX_OKAY);
		}
	}
	rig_stop(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hashes_are_those_microsoft_published),
		cmocka_unit_test(the_indirection_table_is_obeyed),
		cmocka_unit_test(an_update_says_what_it_changes),
		cmocka_unit_test(sixty_four_queues_all_send_and_receive),
		cmocka_unit_test(every_vport_is_a_port_of_its_own),
		cmocka_unit_test(coalesced_completions_carry_up_to_four),
		cmocka_unit_test(packets_with_different_facts_share_no_completion),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
