/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Between a vhost port and a MANA device in one network: the synthetic path of one guest and the
 * VF of another. Every debt one side can have and the other can or cannot take.
 */
#include "base/fd.h"
#include "tests/driver/rig.h"
#include "tests/vhost/vu_client.h"
#include "vswitch/ports/vhost.h"

#define VHOST_HOST 200 /* number of the vhost port's address */
#define MANA_HOST  1   /* lab_host(0, 0) */

struct both {
	struct rig *r; /* one MANA device */
	struct vhost *v;
	struct vu c;
	char path[96];
};

static struct both *start(unsigned int workers, const struct vu_conf *client,
			  const struct drv_vport_conf *vport)
{
	struct rig_conf conf = {.lab = {.n_devs = 1, .n_workers = workers}};
	struct both *b = calloc(1, sizeof(*b));
	struct vhost_conf vc = {.name = "v/eth0", .hold_ms = 60000};

	assert_non_null(b);
	conf.lab.conf.hold_ms = 60000;
	if (vport)
		conf.vport = *vport;
	b->r = rig_start(&conf);
	frame_mac(vc.mac, VHOST_HOST);
	b->v = vhost_new(b->r->lab.worker[workers - 1], &vc);
	assert_non_null(b->v);
	assert_int_equal(vsw_port_attach(b->r->lab.net, vhost_port(b->v)), 0);
	snprintf(b->path, sizeof(b->path), "%s/syn", b->r->lab.dir);
	assert_int_equal(vhost_listen(b->v, b->path), 0);
	assert_int_equal(vu_up(&b->c, fd_unix_connect(b->path), client), 0);
	return b;
}

static void stop(struct both *b)
{
	vu_close(&b->c);
	vsw_port_detach(vhost_port(b->v));
	vhost_free(b->v);
	rig_stop(b->r);
	free(b);
}

/* From the vhost guest to MANA's, or back. */
static struct frame_spec spec(struct both *b, bool to_mana, uint8_t ip, uint8_t proto,
			      uint32_t payload)
{
	struct frame_spec s = rig_spec(b->r, 0, 0, ip, proto, payload);

	frame_addr(&s, to_mana ? VHOST_HOST : MANA_HOST, to_mana ? MANA_HOST : VHOST_HOST);
	return s;
}

static void to_mana(struct both *b, const struct frame *f, const struct vu_tx *tx)
{
	assert_int_equal(vu_tx_post(vu_txq(&b->c, 0), f->data, f->len, tx), 0);
	vu_kick(vu_txq(&b->c, 0), false);
}

static void expect_at_vhost(struct both *b, const struct frame *f, struct virtio_net_hdr *h)
{
	struct vu_ring *q = vu_rxq(&b->c, 0);
	static uint8_t buf[FRAME_MAX];
	int n = vu_rx_wait(q, buf, sizeof(buf), h, WAIT_MS);

	assert_true(n > 0);
	rig_same_bytes(buf, (uint32_t)n, f->data, f->len);
	vu_rx_fill(q, 256);
}

static struct vu_tx owe(const struct frame *f, uint16_t mss)
{
	struct vu_tx tx = {.hdr = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
				   .csum_start = le16_make(f->l4),
				   .csum_offset = le16_make(f->proto == IPPROTO_TCP ? 16 : 6)}};

	if (mss) {
		tx.hdr.gso_type = f->proto == IPPROTO_UDP ? VIRTIO_NET_HDR_GSO_UDP_L4
				  : f->ip == 4		  ? VIRTIO_NET_HDR_GSO_TCPV4
							  : VIRTIO_NET_HDR_GSO_TCPV6;
		tx.hdr.gso_size = le16_make(mss);
	}
	return tx;
}

/* The sum field with the pseudo header's folded sum, as virtio wants it. */
static void set_pseudo(struct frame *f)
{
	uint32_t n = f->ip == 4 ? 8 : 32, off = f->ip == 4 ? 12 : 8, len = f->len - f->l4;
	const uint8_t tail[] = {0, f->proto, (uint8_t)(len >> 8), (uint8_t)len};
	uint32_t sum = csum_add(csum_add(0, f->data + f->l3 + off, n), tail, sizeof(tail));

	be16_store(f->data + f->l4 + (f->proto == IPPROTO_TCP ? 16 : 6), (uint16_t)~csum_fold(sum));
}

static void what_owes_nothing_goes_both_ways(void **state)
{
	struct both *b = start(2, NULL, NULL);

	(void)state;
	for (uint32_t payload = 0; payload < 1400; payload += 137) {
		struct frame_spec s = spec(b, true, payload & 1 ? 4 : 6, IPPROTO_UDP, payload);
		struct virtio_net_hdr h;

		frame_build(&b->r->f, &s);
		to_mana(b, &b->r->f, NULL);
		rig_expect(b->r, 0, &b->r->f, NULL);
		s = spec(b, false, payload & 1 ? 4 : 6, IPPROTO_TCP, payload);
		frame_build(&b->r->f, &s);
		rig_send(b->r, 0, &b->r->f, NULL);
		expect_at_vhost(b, &b->r->f, &h);
		assert_int_equal(h.flags, 0);
		assert_true(wait_until(vu_tx_reap(vu_txq(&b->c, 0)), WAIT_MS));
	}
	stop(b);
}

static void sums_owed_to_mana_are_paid(void **state)
{
	struct both *b = start(1, NULL, NULL);

	(void)state;
	for (unsigned int i = 0; i < 4; i++) {
		struct frame_spec s =
			spec(b, true, i & 1 ? 6 : 4, i & 2 ? IPPROTO_UDP : IPPROTO_TCP, 777);
		struct vu_tx tx;
		struct drv_rx rx;

		frame_build(&b->r->f, &s);
		b->r->g = b->r->f;
		frame_make_partial(&b->r->g, false);
		tx = owe(&b->r->g, 0);
		to_mana(b, &b->r->g, &tx);
		rig_expect(b->r, 0, &b->r->f, &rx);
		assert_true(rx.flags &
			    (i & 2 ? MANA_RX_UDP_CSUM_SUCCEED : MANA_RX_TCP_CSUM_SUCCEED));
	}
	stop(b);
}

static void sums_owed_by_mana_stay_owed_or_are_paid(void **state)
{
	static const uint64_t features[] = {VU_FEATURES, VU_PLAIN};

	(void)state;
	for (unsigned int i = 0; i < 8; i++) {
		struct vu_conf client = {.features = features[i / 4]};
		struct both *b = start(1, &client, NULL);
		bool udp = i & 2, v6 = i & 1;
		struct frame_spec s =
			spec(b, false, v6 ? 6 : 4, udp ? IPPROTO_UDP : IPPROTO_TCP, 777);
		struct drv_tx tx = {
			.ip_csum = !v6, .tcp_csum = !udp, .udp_csum = udp, .v4 = !v6, .v6 = v6};
		struct virtio_net_hdr h;

		frame_build(&b->r->f, &s);
		tx.trans_off = b->r->f.l4;
		b->r->g = b->r->f;
		frame_make_partial(&b->r->g, false);
		rig_send(b->r, 0, &b->r->g, &tx);
		if (i < 4)
			set_pseudo(&b->r->f);
		expect_at_vhost(b, &b->r->f, &h);
		assert_int_equal(h.flags, i < 4 ? VIRTIO_NET_HDR_F_NEEDS_CSUM : 0);
		stop(b);
	}
}

static void a_large_packet_to_mana_is_cut(void **state)
{
	struct both *b = start(2, NULL, NULL);
	static struct frame want;

	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		struct frame_spec s = spec(b, true, i ? 6 : 4, IPPROTO_TCP, 60000);
		struct vu_tx tx;

		s.tcp_opt = 12;
		frame_build(&b->r->f, &s);
		b->r->g = b->r->f;
		frame_make_partial(&b->r->g, true);
		tx = owe(&b->r->g, 1400);
		tx.pieces = 17;
		tx.indirect = i;
		to_mana(b, &b->r->g, &tx);
		for (uint32_t n = 0; frame_segment(&b->r->f, 1400, n, &want); n++) {
			struct drv_rx rx;

			assert_true(drv_recv(&b->r->vp[0], &rx, WAIT_MS));
			rig_same_bytes(rx.data, rx.len, want.data, want.len);
			assert_true(rx.flags & MANA_RX_TCP_CSUM_SUCCEED);
		}
	}
	assert_int_equal(atomic_load(&vhost_port(b->v)->stats.tx_gso), 2);
	stop(b);
}

static void a_large_packet_of_manas_goes_whole_or_is_cut(void **state)
{
	static const uint64_t features[] = {VU_FEATURES, VU_PLAIN | VU_BIT(VIRTIO_NET_F_MRG_RXBUF)};
	static struct frame want;

	(void)state;
	for (unsigned int i = 0; i < 4; i++) {
		struct vu_conf client = {.features = features[i / 2]};
		struct both *b = start(2, &client, NULL);
		bool v6 = i & 1;
		struct frame_spec s = spec(b, false, v6 ? 6 : 4, IPPROTO_TCP, 50000);
		struct drv_tx tx = {.mss = 1400,
				    .ip_csum = true,
				    .tcp_csum = true,
				    .pieces = 3,
				    .v4 = !v6,
				    .v6 = v6};
		struct virtio_net_hdr h;

		frame_build(&b->r->f, &s);
		tx.hdr_len = b->r->f.payload;
		tx.trans_off = b->r->f.l4;
		b->r->g = b->r->f;
		frame_make_partial(&b->r->g, true);
		assert_int_equal(drv_tx_frame(&b->r->vp[0].tx[0], b->r->g.data, b->r->g.len, &tx),
				 0);
		drv_tx_ring(&b->r->vp[0].tx[0]);
		if (i < 2) {
			set_pseudo(&b->r->f);
			if (!v6) { /* its own sum is right for the whole */
				be16_store(b->r->f.data + b->r->f.l3 + 10, 0);
				be16_store(b->r->f.data + b->r->f.l3 + 10,
					   csum_fold(csum_add(0, b->r->f.data + b->r->f.l3, 20)));
			}
			expect_at_vhost(b, &b->r->f, &h);
			assert_int_equal(h.gso_type,
					 v6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4);
			assert_int_equal(le16_get(h.gso_size), 1400);
			assert_int_equal(le16_get(h.hdr_len), b->r->f.payload);
		} else {
			for (uint32_t n = 0; frame_segment(&b->r->f, 1400, n, &want); n++)
				expect_at_vhost(b, &want, &h);
		}
		assert_int_equal(drv_tx_wait(&b->r->vp[0].tx[0], WAIT_MS), CQE_TX_OKAY);
		stop(b);
	}
}

/* Beside the frame at one, inside it at the other. */
static void vlan_tags_change_places(void **state)
{
	struct both *b = start(1, NULL, NULL);
	struct frame_spec s = spec(b, false, 4, IPPROTO_UDP, 100);
	struct drv_tx tx = {.has_vlan = true, .vlan = 0x2064};
	struct drv_rx rx;

	(void)state;
	frame_build(&b->r->f, &s);
	rig_send(b->r, 0, &b->r->f, &tx);
	s.vlan = 0x2064;
	frame_build(&b->r->g, &s);
	expect_at_vhost(b, &b->r->g, NULL);
	s = spec(b, true, 4, IPPROTO_UDP, 100);
	frame_build(&b->r->f, &s);
	s.vlan = 100;
	frame_build(&b->r->g, &s);
	to_mana(b, &b->r->g, NULL);
	rig_expect(b->r, 0, &b->r->f, &rx);
	assert_int_equal(rx.flags & (MANA_RX_VLANTAG_PRESENT | MANA_RX_VLAN_ID_MASK),
			 MANA_RX_VLANTAG_PRESENT | 100);
	stop(b);
}

static void mana_waits_for_a_guest_without_buffers(void **state)
{
	static const unsigned int workers[] = {1, 2};
	struct vu_conf client = {.no_fill = true};

	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		struct both *b = start(workers[i], &client, NULL);
		struct frame_spec s = spec(b, false, 4, IPPROTO_UDP, 100);
		struct drv_txq *tx = &b->r->vp[0].tx[0];

		frame_build(&b->r->f, &s);
		for (unsigned int n = 0; n < 10; n++)
			assert_int_equal(drv_tx_frame(tx, b->r->f.data, b->r->f.len, NULL), 0);
		drv_tx_ring(tx);
		assert_true(wait_until(
			atomic_load(&mana_port(b->r->lab.mana[0], 0)->stats.tx_waits), WAIT_MS));
		assert_int_equal(drv_tx_poll(tx), 0);
		for (unsigned int n = 0; n < 10; n++) {
			assert_int_equal(vu_rx_fill(vu_rxq(&b->c, 0), 1), 1);
			assert_true(vu_rx_wait(vu_rxq(&b->c, 0), b->r->g.data, FRAME_MAX, NULL,
					       WAIT_MS) > 0);
			assert_int_equal(drv_tx_wait(tx, WAIT_MS), CQE_TX_OKAY);
		}
		assert_int_equal(atomic_load(&vhost_port(b->v)->stats.drops[VSW_DROP_NO_BUFFER]),
				 0);
		stop(b);
	}
}

static void a_guest_waits_for_mana_without_buffers(void **state)
{
	static const unsigned int workers[] = {1, 2};
	struct drv_vport_conf vport = {.rx_bufs = 16};

	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		struct both *b = start(workers[i], NULL, &vport);
		struct vu_ring *tx = vu_txq(&b->c, 0);
		unsigned int got = 0;

		for (uint32_t n = 0; n < 100; n++) {
			struct frame_spec s = spec(b, true, 4, IPPROTO_UDP, 64);

			frame_build(&b->r->f, &s);
			le32_store(b->r->f.data + 60, n);
			assert_int_equal(vu_tx_post(tx, b->r->f.data, b->r->f.len, NULL), 0);
		}
		vu_kick(tx, false);
		assert_true(wait_until(atomic_load(&vhost_port(b->v)->stats.tx_waits), WAIT_MS));
		for (; got < 100; got++) {
			struct drv_rx rx;

			assert_true(drv_recv(&b->r->vp[0], &rx, WAIT_MS));
			assert_int_equal(le32_load(rx.data + 60), got);
		}
		assert_true(wait_until((vu_tx_reap(tx), tx->n_free == tx->num), WAIT_MS));
		stop(b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_owes_nothing_goes_both_ways),
		cmocka_unit_test(sums_owed_to_mana_are_paid),
		cmocka_unit_test(sums_owed_by_mana_stay_owed_or_are_paid),
		cmocka_unit_test(a_large_packet_to_mana_is_cut),
		cmocka_unit_test(a_large_packet_of_manas_goes_whole_or_is_cut),
		cmocka_unit_test(vlan_tags_change_places),
		cmocka_unit_test(mana_waits_for_a_guest_without_buffers),
		cmocka_unit_test(a_guest_waits_for_mana_without_buffers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
