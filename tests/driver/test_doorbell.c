/* SPDX-License-Identifier: BSD-2-Clause */
/* Doorbells: unknown, crooked, backwards, too far; and what arming means. */
#include "tests/driver/rig.h"

static int setup(void **state)
{
	*state = rig_start(NULL);
	return 0;
}

static int teardown(void **state)
{
	rig_stop(*state);
	return 0;
}

static const enum gdma_queue_type types[] = {GDMA_SQ, GDMA_RQ, GDMA_CQ, GDMA_EQ};

/* The device may have ended this vPort's queues; a new bring-up must work. */
static void start_over(struct rig *r, unsigned int dev)
{
	struct drv_vport *vp = &r->vp[dev];

	drv_barrier(&r->d[dev]);
	drv_destroy_wqobj(vp->d, GDMA_RQ, vp->rx[0].obj);
	drv_destroy_wqobj(vp->d, GDMA_SQ, vp->tx[0].obj);
	drv_disable_queue(vp->d, GDMA_EQ, vp->eq[0].id);
	drv_vport_forget(vp);
	assert_int_equal(drv_vport_up(&r->d[dev], vp, 0, NULL), 0);
	rig_alive(r, 0, 1);
}

static void ids_that_are_not_queues_are_ignored(void **state)
{
	struct rig *r = *state;
	struct drv *d = &r->d[0];
	const uint32_t ids[] = {0xffffff, 0x800000, 0xffff, 0x7fff, 4096, 1000, 500};

	for (size_t t = 0; t < ARRAY_SIZE(types); t++)
		for (size_t i = 0; i < ARRAY_SIZE(ids); i++)
			for (uint32_t page = 0; page < 8; page++)
				drv_db(d, page, types[t], ids[i], 64, 1);
	/* Ids of the other kinds. */
	drv_db(d, d->db_page, GDMA_CQ, r->vp[0].eq[0].id + 1000, 5, 1);
	rig_alive(r, 0, 1);
}

static void the_wrong_doorbell_page_does_not_count(void **state)
{
	struct rig *r = *state;
	struct drv *d = &r->d[0];
	struct drv_txq *q = &r->vp[0].tx[0];
	struct frame_spec s = rig_spec(r, 0, 1, 4, IPPROTO_UDP, 64);
	uint32_t n_pages = (uint32_t)((d->bar0_size - d->db_off) / d->db_size);

	frame_build(&r->f, &s);
	assert_int_equal(drv_tx_frame(q, r->f.data, r->f.len, NULL), 0);
	for (uint32_t page = 0; page < n_pages; page++)
		if (page != d->db_page)
			drv_db(d, page, GDMA_SQ, q->wq.id, q->wq.head * 32, 0);
	drv_barrier(d);
	assert_int_equal(drv_tx_poll(q), 0);
	assert_true(drv_recv_none(&r->vp[1]));
	drv_tx_ring(q);
	assert_int_equal(drv_tx_wait(q, WAIT_MS), CQE_TX_OKAY);
	rig_expect(r, 1, &r->f, NULL);
	/* The HWC's page is not the guest's way to its own HWC from MANA's page. */
	drv_db(d, d->db_page, GDMA_SQ, d->hwc_sq.id, 64, 0);
	drv_db(d, d->db_page, GDMA_EQ, d->hwc_eq.id, 7, 1);
	rig_hwc_alive(r, 0);
}

static void doorbells_of_other_sizes_and_places_do_no_harm(void **state)
{
	struct rig *r = *state;
	struct drv *d = &r->d[0];
	uint64_t page = d->db_off + (uint64_t)d->db_size * d->db_page;
	struct rng rng = {.s = 42};
	uint8_t b[4096];

	for (uint64_t off = 0; off < 0x1000; off += 4) {
		for (size_t n = 1; n <= 16; n = n < 9 ? n + 1 : n + 7) {
			rng_fill(&rng, b, n);
			/* Ids far away, so that only the form is at stake. */
			if (n > 2)
				b[2] |= 0x80;
			drv_wr(d, page + off, b, n);
			drv_rd(d, page + off, b, n);
		}
	}
	for (uint64_t off = 0; off < 16; off++) {
		memset(b, 0xff, sizeof(b));
		drv_wr(d, page + off, b, sizeof(b) - off);
	}
	/* Over the end of the BAR: refused by the server. */
	assert_int_not_equal(drv_wr_sync(d, d->bar0_size - 4, b, 8), 0);
	assert_int_not_equal(drv_wr_sync(d, d->bar0_size, b, 8), 0);
	assert_int_not_equal(drv_wr_sync(d, UINT64_MAX - 3, b, 8), 0);
	assert_int_not_equal(drv_rd(d, d->bar0_size - 4, b, 8), 0);
	rig_alive(r, 0, 1);
}

/* Tails that no driver writes: the queue may die, the device and its neighbour may not. */
static void crooked_tails(struct rig *r, enum gdma_queue_type type)
{
	struct drv *d = &r->d[0];
	const uint32_t bad[] = {1,	    31,		33,	   0x10000,  0x7fffffff, 0x80000000,
				0xffffffff, 0xffffffe0, 8192 + 32, 8192 * 2, 12345};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct drv_vport *vp = &r->vp[0];
		struct drv_queue *q = type == GDMA_SQ	? &vp->tx[0].wq
				      : type == GDMA_RQ ? &vp->rx[0].wq
				      : type == GDMA_CQ ? &vp->rx[0].cq
							: &vp->eq[0];
		uint32_t now = type == GDMA_SQ || type == GDMA_RQ ? q->head * 32 : q->head;
		struct mana_info info;
		uint64_t errors = lab_info(&r->lab, 0, &info)->guest_errors;

		drv_db(d, d->db_page, type, q->id, now + bad[i], 1);
		drv_db(d, d->db_page, type, q->id, now - bad[i], 1);
		drv_db(d, d->db_page, type, q->id, bad[i], 0);
		drv_barrier(d);
		if (lab_info(&r->lab, 0, &info)->guest_errors == errors)
			fail_msg("type %d: tail %#x off is no error", type, bad[i]);
		start_over(r, 0);
	}
}

static void a_send_queue_with_a_crooked_tail_costs_itself_only(void **state)
{
	crooked_tails(*state, GDMA_SQ);
}

static void a_receive_queue_with_a_crooked_tail_costs_itself_only(void **state)
{
	crooked_tails(*state, GDMA_RQ);
}

static void a_completion_queue_with_a_crooked_tail_costs_itself_only(void **state)
{
	crooked_tails(*state, GDMA_CQ);
}

static void an_event_queue_with_a_crooked_tail_costs_itself_only(void **state)
{
	crooked_tails(*state, GDMA_EQ);
}

static void the_same_doorbell_twice_sends_once(void **state)
{
	struct rig *r = *state;
	struct drv_txq *q = &r->vp[0].tx[0];
	struct frame_spec s = rig_spec(r, 0, 1, 4, IPPROTO_UDP, 64);

	frame_build(&r->f, &s);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(drv_tx_frame(q, r->f.data, r->f.len, NULL), 0);
		drv_tx_ring(q);
		drv_tx_ring(q);
		drv_tx_ring(q);
		assert_int_equal(drv_tx_wait(q, WAIT_MS), CQE_TX_OKAY);
		rig_expect(r, 1, &r->f, NULL);
		assert_true(drv_recv_none(&r->vp[1]));
		drv_barrier(&r->d[0]);
		assert_int_equal(drv_tx_poll(q), 0);
	}
}

/* ---- Arming ------------------------------------------------------------------------------- */

static unsigned int eq_drain(struct drv_queue *eq, uint32_t cq_id)
{
	struct drv_event ev;
	unsigned int n = 0;

	while (drv_eq_read(eq, &ev) > 0)
		n += ev.type == GDMA_EQE_COMPLETION &&
		     (ev.details[0] & GDMA_EQE_COMP_CQ_MASK) == cq_id;
	return n;
}

static void send_one(struct rig *r)
{
	struct frame_spec s = rig_spec(r, 0, 1, 4, IPPROTO_UDP, 64);

	frame_build(&r->f, &s);
	rig_send(r, 0, &r->f, NULL);
	rig_expect(r, 1, &r->f, NULL);
}

static void an_armed_cq_raises_one_event_until_armed_again(void **state)
{
	struct rig *r = *state;
	struct drv *d = &r->d[1];
	struct drv_vport *vp = &r->vp[1];
	struct drv_queue *eq = &vp->eq[0];

	/* The fence at bring-up used the first arming: settle. */
	drv_barrier(d);
	while (eq_drain(eq, vp->rx[0].cq.id))
		;
	drv_irq_take(d, eq->msix);
	drv_eq_ring(eq, true);
	drv_cq_ring(&vp->rx[0].cq, true);
	drv_barrier(d);
	assert_false(drv_irq_take(d, eq->msix));

	send_one(r);
	assert_true(drv_irq_wait(d, eq->msix, WAIT_MS));
	assert_int_equal(eq_drain(eq, vp->rx[0].cq.id), 1);
	/* CQ not armed again: more packets, no event, no interrupt. */
	drv_eq_ring(eq, true);
	for (int i = 0; i < 10; i++)
		send_one(r);
	drv_barrier(d);
	assert_int_equal(eq_drain(eq, vp->rx[0].cq.id), 0);
	assert_false(drv_irq_take(d, eq->msix));
	/* Armed with nothing new: silence until the next packet. */
	drv_cq_ring(&vp->rx[0].cq, true);
	drv_barrier(d);
	assert_false(drv_irq_take(d, eq->msix));
	send_one(r);
	assert_true(drv_irq_wait(d, eq->msix, WAIT_MS));
	assert_int_equal(eq_drain(eq, vp->rx[0].cq.id), 1);
}

static void arming_with_entries_unread_fires_at_once(void **state)
{
	struct rig *r = *state;
	struct drv *d = &r->d[1];
	struct drv_vport *vp = &r->vp[1];
	struct drv_queue *eq = &vp->eq[0];
	uint32_t seen;

	drv_barrier(d);
	eq_drain(eq, vp->rx[0].cq.id);
	drv_irq_take(d, eq->msix);
	seen = vp->rx[0].cq.head;
	drv_eq_ring(eq, true);
	drv_cq_ring(&vp->rx[0].cq, false);
	send_one(r); /* the driver's copy of the head moves on; the doorbell below uses the old */
	drv_barrier(d);
	assert_int_equal(eq_drain(eq, vp->rx[0].cq.id), 0);
	drv_db(d, d->db_page, GDMA_CQ, vp->rx[0].cq.id, seen % (vp->rx[0].cq.size / 64 * 8), 1);
	assert_true(drv_irq_wait(d, eq->msix, WAIT_MS));
	assert_int_equal(eq_drain(eq, vp->rx[0].cq.id), 1);
}

static void an_unarmed_eq_keeps_its_events_without_interrupting(void **state)
{
	struct rig *r = *state;
	struct drv *d = &r->d[1];
	struct drv_queue *eq = &r->vp[1].eq[0];
	struct drv_event ev;

	drv_barrier(d);
	eq_drain(eq, 0);
	drv_eq_ring(eq, false);
	drv_irq_take(d, eq->msix);
	/* The first event fires the arming that creation or the last ring left, if any. */
	assert_int_equal(drv_test_eqe(d, eq->id), 0);
	drv_irq_take(d, eq->msix);
	for (int i = 0; i < 3; i++)
		assert_int_equal(drv_test_eqe(d, eq->id), 0);
	drv_barrier(d);
	assert_false(drv_irq_take(d, eq->msix));
	for (int i = 0; i < 4; i++) {
		assert_int_equal(drv_eq_read(eq, &ev), 1);
		assert_int_equal(ev.type, GDMA_EQE_TEST_EVENT);
	}
	assert_int_equal(drv_eq_read(eq, &ev), 0);
	/* Armed at the head: the next one interrupts. */
	drv_eq_ring(eq, true);
	assert_int_equal(drv_test_eqe(d, eq->id), 0);
	assert_true(drv_irq_wait(d, eq->msix, WAIT_MS));
}

static void a_moved_vector_is_the_one_that_fires(void **state)
{
	struct rig *r = *state;
	struct drv *d = &r->d[0];
	struct drv_queue *eq = &r->vp[0].eq[0];
	struct gdma_change_msix_for_eq_req req = {0};
	struct gdma_general_resp resp;
	uint32_t status;

	drv_barrier(d);
	eq_drain(eq, 0);
	drv_eq_ring(eq, true);
	drv_hdr(d, &req, GDMA_CHANGE_MSIX_FOR_EQ, sizeof(req), sizeof(resp));
	req.hdr.dev_id = d->mana;
	req.queue_index = le32_make(eq->id);
	req.msix = le32_make(3);
	assert_int_equal(drv_hwc_request(d, &req, sizeof(req), &resp, sizeof(resp), &status), 0);
	assert_int_equal(status, 0);
	drv_irq_take(d, eq->msix);
	drv_irq_take(d, 3);
	assert_int_equal(drv_test_eqe(d, eq->id), 0);
	assert_true(drv_irq_wait(d, 3, WAIT_MS));
	assert_false(drv_irq_take(d, eq->msix));
	req.msix = le32_make(5000);
	assert_int_equal(drv_hwc_request(d, &req, sizeof(req), &resp, sizeof(resp), &status), 0);
	assert_int_not_equal(status, 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(ids_that_are_not_queues_are_ignored),
		T(the_wrong_doorbell_page_does_not_count),
		T(doorbells_of_other_sizes_and_places_do_no_harm),
		T(a_send_queue_with_a_crooked_tail_costs_itself_only),
		T(a_receive_queue_with_a_crooked_tail_costs_itself_only),
		T(a_completion_queue_with_a_crooked_tail_costs_itself_only),
		T(an_event_queue_with_a_crooked_tail_costs_itself_only),
		T(the_same_doorbell_twice_sends_once),
		T(an_armed_cq_raises_one_event_until_armed_again),
		T(arming_with_entries_unread_fires_at_once),
		T(an_unarmed_eq_keeps_its_events_without_interrupting),
		T(a_moved_vector_is_the_one_that_fires),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
