/* SPDX-License-Identifier: BSD-2-Clause */
/* Data between two vhost ports: every shape of ring, every debt. */
#include "tests/vhost/vu_rig.h"
#include "vswitch/packet.h"

static struct frame_spec tcp(unsigned int from, unsigned int to, uint8_t ip, uint32_t payload)
{
	struct frame_spec s = rig_spec(from, to, ip, IPPROTO_TCP, payload);

	s.tcp_opt = 12;
	s.seq = 1000000;
	s.ip_id = 77;
	return s;
}

/* How virtio_net says what is owed of @f: a partial checksum, and a size to cut at. */
static struct vu_tx owe(const struct frame *f, uint16_t mss)
{
	struct vu_tx tx = {.hdr = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
				   .csum_start = le16_make(f->l4),
				   .csum_offset = le16_make(f->proto == IPPROTO_TCP   ? 16
							    : f->proto == IPPROTO_UDP ? 6
										      : 2)}};

	if (mss) {
		tx.hdr.gso_type = f->proto == IPPROTO_UDP ? VIRTIO_NET_HDR_GSO_UDP_L4
				  : f->ip == 4		  ? VIRTIO_NET_HDR_GSO_TCPV4
							  : VIRTIO_NET_HDR_GSO_TCPV6;
		tx.hdr.gso_size = le16_make(mss);
		tx.hdr.hdr_len = le16_make(f->payload);
	}
	return tx;
}

static uint16_t l4_sum_field(const struct frame *f)
{
	return be16_load(f->data + f->l4 + (f->proto == IPPROTO_TCP ? 16 : 6));
}

/* The folded sum of the pseudo header: what a checksum field holds while the rest is owed. */
static uint16_t pseudo(const struct frame *f)
{
	uint32_t n = f->ip == 4 ? 8 : 32, off = f->ip == 4 ? 12 : 8;
	uint32_t len = f->len - f->l4, sum = csum_add(0, f->data + f->l3 + off, n);
	const uint8_t tail[] = {0, f->proto, (uint8_t)(len >> 8), (uint8_t)len};

	sum = csum_add(sum, tail, sizeof(tail));
	return (uint16_t)~csum_fold(sum);
}

static void two_guests_talk(void **state)
{
	struct rig *r = rig_start(NULL);

	(void)state;
	rig_alive(r, 0, 1);
	assert_int_equal(rig_info(r, 0).n_rxq, 1);
	assert_int_equal(rig_info(r, 0).n_txq, 1);
	assert_int_equal(r->events[0][VHOST_EV_DRIVEN], 1);
	rig_stop(r);
}

/* Every way to lay a frame out, every negotiated form of ring. */
static void frames_of_every_size_and_layout_arrive_whole(void **state)
{
	static const uint64_t features[] = {
		VU_FEATURES,
		VU_PLAIN,
		VU_PLAIN | VU_BIT(VIRTIO_NET_F_MRG_RXBUF),
		VU_PLAIN | VU_BIT(VIRTIO_RING_F_EVENT_IDX) | VU_BIT(VIRTIO_F_IN_ORDER),
		VU_BIT(VHOST_USER_F_PROTOCOL_FEATURES), /* legacy: a header of 10 bytes */
		VU_FEATURES & ~VU_BIT(VIRTIO_RING_F_EVENT_IDX),
	};
	static const uint32_t payloads[] = {0,	 1,   17,   18,	  100,	213,
					    214, 215, 1000, 1458, 1472, 8900};
	struct rng rng = {.s = 3};

	(void)state;
	for (unsigned int k = 0; k < ARRAY_SIZE(features); k++) {
		struct rig_conf conf = {
			.client = {.features = features[k], .rx_buf = 9216, .ring_size = 64}};
		struct rig *r;

		conf.client.rx_chain = k % 2 ? 3 : 1;
		r = rig_start(&conf);
		for (unsigned int i = 0; i < ARRAY_SIZE(payloads) * 4; i++) {
			bool indirect = features[k] & VU_BIT(VIRTIO_RING_F_INDIRECT_DESC);
			struct vu_tx tx = {.pieces = 1 + rng_below(&rng, 7),
					   .indirect = indirect && rng_below(&rng, 2),
					   .gap = rng_below(&rng, 2) * 3,
					   .split_hdr = rng_below(&rng, 2)};
			struct frame_spec s = rig_spec(0, 1, i & 1 ? 4 : 6, IPPROTO_UDP,
						       payloads[i % ARRAY_SIZE(payloads)]);
			struct virtio_net_hdr h;

			frame_build(&r->f, &s);
			assert_int_equal(vu_tx(vu_txq(&r->c[0], 0), r->f.data, r->f.len, &tx), 0);
			rig_expect(r, 1, &r->f, &h);
			/* Nobody vouches for a sum that the sender made. */
			assert_int_equal(h.flags, 0);
			assert_int_equal(h.gso_type, 0);
		}
		rig_stop(r);
	}
}

static void large_frames_spread_over_mergeable_buffers(void **state)
{
	static const uint32_t bufs[] = {64, 100, 1526, 4096};
	struct rig_conf conf = {
		.net_mtu = 65535,
		.client = {.ring_size = 1024, .tx_slot = 32768, .mem_size = 256u << 20}};

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(bufs); i++) {
		struct frame_spec s = rig_spec(0, 1, 4, IPPROTO_UDP, 20000);
		struct rig *r;
		uint8_t got[32768];
		unsigned int n = 0, want;
		int len;

		conf.client.rx_buf = bufs[i];
		r = rig_start(&conf);
		frame_build(&r->f, &s);
		want = (r->f.len + 12 + bufs[i] - 1) / bufs[i];
		assert_int_equal(vu_tx(vu_txq(&r->c[0], 0), r->f.data, r->f.len, NULL), 0);
		assert_true(wait_until(
			(len = vu_rx_poll(vu_rxq(&r->c[1], 0), got, sizeof(got), NULL, &n)) != 0,
			WAIT_MS));
		rig_same_bytes(got, (uint32_t)len, r->f.data, r->f.len);
		assert_int_equal(n, want);
		rig_stop(r);
	}
}

static void a_frame_that_fits_no_buffer_is_dropped(void **state)
{
	struct rig_conf conf = {.client = {.features = VU_PLAIN, .rx_buf = 512}};
	struct rig *r = rig_start(&conf);
	struct frame_spec s = rig_spec(0, 1, 4, IPPROTO_UDP, 600);

	(void)state;
	frame_build(&r->f, &s);
	assert_int_equal(vu_tx(vu_txq(&r->c[0], 0), r->f.data, r->f.len, NULL), 0);
	assert_int_equal(rig_drops(r, 1, VSW_DROP_TOO_BIG), 1);
	rig_alive(r, 0, 1);
	rig_stop(r);
}

static void a_packet_larger_than_a_whole_ring_is_dropped_not_waited_for(void **state)
{
	struct rig_conf conf = {.net_mtu = 65535, .client = {.ring_size = 8, .rx_buf = 128}};
	struct rig *r = rig_start(&conf);
	struct frame_spec s = rig_spec(0, 1, 4, IPPROTO_UDP, 2000);

	(void)state;
	frame_build(&r->f, &s);
	assert_int_equal(vu_tx(vu_txq(&r->c[0], 0), r->f.data, r->f.len, NULL), 0);
	assert_int_equal(rig_drops(r, 1, VSW_DROP_TOO_BIG), 1);
	assert_int_equal(rig_drops(r, 1, VSW_DROP_NO_BUFFER), 0);
	rig_stop(r);
}

/* ---- Checksums ------------------------------------------------------------------------------- */

static void an_owed_checksum_goes_to_a_guest_that_takes_it(void **state)
{
	static const uint8_t protos[] = {IPPROTO_TCP, IPPROTO_UDP};
	struct rig *r = rig_start(NULL);

	(void)state;
	for (unsigned int i = 0; i < 4; i++) {
		struct frame_spec s = rig_spec(0, 1, i & 1 ? 6 : 4, protos[i / 2], 333);
		struct virtio_net_hdr h;
		struct vu_tx tx;
		uint16_t sum;

		frame_build(&r->f, &s);
		sum = pseudo(&r->f);
		r->g = r->f;
		frame_make_partial(&r->g, false);
		tx = owe(&r->g, 0);
		assert_int_equal(vu_tx(vu_txq(&r->c[0], 0), r->g.data, r->g.len, &tx), 0);
		be16_store(r->g.data + r->g.l4 + (r->g.proto == IPPROTO_TCP ? 16 : 6), sum);
		rig_expect(r, 1, &r->g, &h);
		assert_int_equal(h.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
		assert_int_equal(le16_get(h.csum_start), r->g.l4);
		assert_int_equal(le16_get(h.csum_offset), r->g.proto == IPPROTO_TCP ? 16 : 6);
		assert_int_equal(h.gso_type, VIRTIO_NET_HDR_GSO_NONE);
		assert_int_equal(le16_get(h.num_buffers), 1);
	}
	rig_stop(r);
}

static void an_owed_checksum_is_made_for_a_guest_that_does_not(void **state)
{
	struct rig_conf conf = {0};
	struct rig *r = rig_start(&conf);
	struct vu_conf plain = {.features = VU_PLAIN};

	(void)state;
	rig_down(r, 1);
	rig_up(r, 1, &plain);
	assert_int_equal(atomic_load(&vhost_port(r->v[1])->caps), 0);
	for (unsigned int i = 0; i < 4; i++) {
		struct frame_spec s =
			rig_spec(0, 1, i & 1 ? 6 : 4, i / 2 ? IPPROTO_UDP : IPPROTO_TCP, 333);
		struct virtio_net_hdr h;
		struct vu_tx tx;

		frame_build(&r->f, &s);
		r->g = r->f;
		frame_make_partial(&r->g, false);
		assert_int_not_equal(l4_sum_field(&r->g), l4_sum_field(&r->f));
		tx = owe(&r->g, 0);
		assert_int_equal(vu_tx(vu_txq(&r->c[0], 0), r->g.data, r->g.len, &tx), 0);
		rig_expect(r, 1, &r->f, &h);
		assert_int_equal(h.flags, 0);
	}
	rig_stop(r);
}

/* A place that is no checksum field we know: the sum is made as the header says, and at once. */
static void a_checksum_anywhere_is_made_at_once(void **state)
{
	struct rig *r = rig_start(NULL);
	struct vu_tx tx = {.hdr = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
				   .csum_start = le16_make(42),
				   .csum_offset = le16_make(10)}};
	static const uint32_t sizes[] = {100, 101, 1400, 1401};

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct frame_spec s = rig_spec(0, 1, 4, IPPROTO_UDP, sizes[i]);
		struct virtio_net_hdr h;
		uint16_t sum;

		frame_build(&r->f, &s);
		be16_store(r->f.data + 52, 0x1234);
		tx.pieces = 1 + i;
		assert_int_equal(vu_tx(vu_txq(&r->c[0], 0), r->f.data, r->f.len, &tx), 0);
		sum = csum_fold(csum_add(0, r->f.data + 42, r->f.len - 42));
		be16_store(r->f.data + 52, sum ? sum : 0xffff);
		rig_expect(r, 1, &r->f, &h);
		assert_int_equal(h.flags, 0);
	}
	/* Outside of the frame, or of what we have copied: malformed. */
	tx.hdr.csum_start = le16_make(60000);
	assert_int_equal(vu_tx(vu_txq(&r->c[0], 0), r->f.data, r->f.len, &tx), 0);
	tx.hdr.csum_start = le16_make(0xffff);
	tx.hdr.csum_offset = le16_make(0xffff);
	assert_int_equal(vu_tx(vu_txq(&r->c[0], 0), r->f.data, r->f.len, &tx), 0);
	tx.hdr.csum_start = le16_make(300);
	tx.hdr.csum_offset = le16_make(4);
	assert_int_equal(vu_tx(vu_txq(&r->c[0], 0), r->f.data, r->f.len, &tx), 0);
	assert_int_equal(rig_tx_drops(r, 0, VSW_DROP_MALFORMED), 3);
	assert_int_equal(rig_info(r, 0).guest_errors, 0);
	rig_alive(r, 0, 1);
	rig_stop(r);
}

/* ---- Segmentation ------------------------------------------------------------------------- */

static void a_large_packet_goes_whole_to_a_guest_that_takes_it(void **state)
{
	struct rig *r = rig_start(NULL);

	(void)state;
	for (unsigned int i = 0; i < 8; i++) {
		struct frame_spec s = tcp(0, 1, i & 1 ? 6 : 4, 60000);
		struct virtio_net_hdr h;
		struct vu_tx tx;
		uint16_t sum;

		if (i & 2)
			s = rig_spec(0, 1, i & 1 ? 6 : 4, IPPROTO_UDP, 40000);
		else if (i & 4)
			s.tcp_flags |= 0x80; /* CWR */
		frame_build(&r->f, &s);
		sum = pseudo(&r->f);
		r->g = r->f;
		frame_make_partial(&r->g, true);
		tx = owe(&r->g, 1400);
		if (s.tcp_flags & 0x80 && !(i & 2))
			tx.hdr.gso_type |= VIRTIO_NET_HDR_GSO_ECN;
		tx.pieces = 17;
		tx.indirect = i & 4;
		assert_int_equal(vu_tx(vu_txq(&r->c[0], 0), r->g.data, r->g.len, &tx), 0);
		be16_store(r->f.data + r->f.l4 + (r->f.proto == IPPROTO_TCP ? 16 : 6), sum);
		rig_expect(r, 1, &r->f, &h);
		assert_int_equal(h.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
		assert_int_equal(h.gso_type, tx.hdr.gso_type);
		assert_int_equal(le16_get(h.gso_size), 1400);
		assert_int_equal(le16_get(h.hdr_len), r->f.payload);
		assert_int_equal(le16_get(h.csum_start), r->f.l4);
		assert_int_equal(le16_get(h.num_buffers), (r->f.len + 12 + 2047) / 2048);
	}
	assert_int_equal(rig_info(r, 0).tx_tso, 8);
	assert_int_equal(rig_info(r, 1).rx_gso, 8);
	rig_stop(r);
}

static void a_large_packet_is_cut_for_a_guest_that_does_not(void **state)
{
	static const uint64_t features[] = {VU_PLAIN, VU_PLAIN | VU_BIT(VIRTIO_NET_F_GUEST_CSUM) |
							      VU_BIT(VIRTIO_NET_F_MRG_RXBUF)};
	struct rig *r = rig_start(NULL);
	uint8_t got[4096];

	(void)state;
	for (unsigned int i = 0; i < 8; i++) {
		struct vu_conf conf = {.features = features[i / 4]};
		struct frame_spec s = tcp(0, 1, i & 1 ? 6 : 4, 30001);
		struct virtio_net_hdr h;
		struct vu_tx tx;
		uint32_t n;

		if (i & 2)
			s = rig_spec(0, 1, i & 1 ? 6 : 4, IPPROTO_UDP, 30001);
		rig_down(r, 1);
		rig_up(r, 1, &conf);
		frame_build(&r->f, &s);
		r->g = r->f;
		frame_make_partial(&r->g, true);
		tx = owe(&r->g, 1400);
		assert_int_equal(vu_tx(vu_txq(&r->c[0], 0), r->g.data, r->g.len, &tx), 0);
		for (n = 0; n < 22; n++) {
			struct frame seg = {0};
			int len = vu_rx_wait(vu_rxq(&r->c[1], 0), got, sizeof(got), &h, WAIT_MS);

			assert_true(len > 0);
			if (s.proto == IPPROTO_TCP) {
				static struct frame want;

				assert_true(frame_segment(&r->f, 1400, n, &want));
				rig_same_bytes(got, (uint32_t)len, want.data, want.len);
			} else {
				memcpy(seg.data, got, (size_t)len);
				seg.len = (uint32_t)len;
				assert_true(frame_parse(&seg));
				assert_true(frame_ip_sum_ok(&seg) && frame_l4_sum_ok(&seg));
				assert_memory_equal(seg.data + seg.payload,
						    r->f.data + r->f.payload + n * 1400,
						    seg.len - seg.payload);
			}
			assert_int_equal(h.gso_type, 0);
			/* We have made these sums: the guest that can believe us may. */
			assert_int_equal(h.flags, i / 4 ? VIRTIO_NET_HDR_F_DATA_VALID : 0);
		}
		assert_int_equal(vu_rx_poll(vu_rxq(&r->c[1], 0), got, sizeof(got), NULL, NULL), 0);
	}
	rig_stop(r);
}

static void segmentation_that_does_not_fit_the_headers_is_malformed(void **state)
{
	struct rig *r = rig_start(NULL);
	struct frame_spec s = tcp(0, 1, 4, 5000);
	struct vu_tx good, bad;
	unsigned int n = 0;

	(void)state;
	frame_build(&r->f, &s);
	r->g = r->f;
	frame_make_partial(&r->g, true);
	good = owe(&r->g, 1400);
#define REFUSED(change)                                                                            \
	do {                                                                                       \
		bad = good;                                                                        \
		change;                                                                            \
		assert_int_equal(vu_tx(vu_txq(&r->c[0], 0), r->g.data, r->g.len, &bad), 0);        \
		assert_int_equal(rig_tx_drops(r, 0, VSW_DROP_MALFORMED), ++n);                     \
	} while (0)
	REFUSED(bad.hdr.gso_size = le16_make(0));
	REFUSED(bad.hdr.flags = 0);
	REFUSED(bad.hdr.gso_type = VIRTIO_NET_HDR_GSO_TCPV6);
	REFUSED(bad.hdr.gso_type = VIRTIO_NET_HDR_GSO_UDP_L4);
	REFUSED(bad.hdr.gso_type = VIRTIO_NET_HDR_GSO_UDP);
	REFUSED(bad.hdr.gso_type = 2);
	REFUSED(bad.hdr.gso_type = 0x7f);
	REFUSED(bad.hdr.csum_start = le16_make(14));
	REFUSED(bad.hdr.csum_offset = le16_make(6));
	/* More than 4096 segments. */
	REFUSED(bad.hdr.gso_size = le16_make(1));
	assert_int_equal(rig_info(r, 0).guest_errors, 0);
	rig_alive(r, 0, 1);
	rig_stop(r);
}

/* A driver that was not given checksums says nothing in the header: it is not looked at. */
static void without_checksum_offload_the_header_is_not_read(void **state)
{
	struct rig_conf conf = {.client = {.features = VU_FEATURES & ~VU_BIT(VIRTIO_NET_F_CSUM)}};
	struct rig *r = rig_start(&conf);
	struct virtio_net_hdr h;

	(void)state;
	for (unsigned int pieces = 1; pieces <= 2; pieces++) {
		struct frame_spec s = tcp(0, 1, 4, 5000);
		struct vu_tx tx = {.pieces = pieces};

		frame_build(&r->f, &s);
		memset(&tx.hdr, 0xff, sizeof(tx.hdr));
		assert_int_equal(vu_tx(vu_txq(&r->c[0], 0), r->f.data, r->f.len, &tx), 0);
		rig_expect(r, 1, &r->f, &h);
		assert_int_equal(h.flags, 0);
		assert_int_equal(h.gso_type, 0);
	}
	rig_stop(r);
}

static void offloads_that_were_not_negotiated_are_malformed(void **state)
{
	static const uint64_t without[] = {
		VU_BIT(VIRTIO_NET_F_HOST_TSO4),
		VU_BIT(VIRTIO_NET_F_HOST_TSO6),
		VU_BIT(VIRTIO_NET_F_HOST_USO),
	};
	struct rig *r = rig_start(NULL);

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(without); i++) {
		struct vu_conf conf = {.features = VU_FEATURES & ~without[i]};
		struct frame_spec s = tcp(0, 1, i == 1 ? 6 : 4, 5000);
		uint64_t before = rig_tx_drops(r, 0, VSW_DROP_MALFORMED);
		struct vu_tx tx;

		if (i == 2)
			s = rig_spec(0, 1, 4, IPPROTO_UDP, 5000);
		rig_down(r, 0);
		rig_up(r, 0, &conf);
		frame_build(&r->g, &s);
		frame_make_partial(&r->g, true);
		tx = owe(&r->g, 1400);
		assert_int_equal(vu_tx(vu_txq(&r->c[0], 0), r->g.data, r->g.len, &tx), 0);
		assert_int_equal(rig_tx_drops(r, 0, VSW_DROP_MALFORMED), before + 1);
	}
	rig_stop(r);
}

/* ---- Odd packets
 * ---------------------------------------------------------------------------------- */

static void packets_of_impossible_sizes_are_malformed_and_given_back(void **state)
{
	struct rig_conf conf = {.client = {.tx_slot = 300 * 1024, .ring_size = 64}};
	struct rig *r = rig_start(&conf);
	struct vu_ring *q = vu_txq(&r->c[0], 0);
	static uint8_t zero[280 * 1024];
	struct vu_tx tx = {0};

	(void)state;
	assert_int_equal(vu_tx(q, zero, 13, NULL), 0);
	assert_int_equal(vu_tx(q, zero, 0, NULL), 0);
	assert_int_equal(vu_tx(q, zero, PKT_MAX_LEN + 1, NULL), 0);
	/* More pieces than a packet has, in a chain and in a table. */
	tx = (struct vu_tx){.pieces = 60, .gap = 4};
	frame_mac(zero, 2);
	frame_mac(zero + 6, 1);
	assert_int_equal(vu_tx(q, zero, 6000, &tx), 0);
	tx.indirect = true;
	assert_int_equal(vu_tx(q, zero, 6000, &tx), 0);
	assert_int_equal(rig_tx_drops(r, 0, VSW_DROP_MALFORMED), 5);
	/* Pieces that lie side by side are one. */
	tx.gap = 0;
	memcpy(r->f.data, zero, 6000);
	r->f.len = 6000;
	assert_int_equal(vu_tx(q, zero, 6000, &tx), 0);
	rig_expect(r, 1, &r->f, NULL);
	assert_int_equal(rig_info(r, 0).guest_errors, 0);
	memset(zero, 0, 12);
	rig_alive(r, 0, 1);
	rig_stop(r);
}

static void a_header_cut_in_single_bytes_is_read(void **state)
{
	struct rig *r = rig_start(NULL);
	struct vu_ring *q = vu_txq(&r->c[0], 0);
	struct frame_spec s = rig_spec(0, 1, 4, IPPROTO_UDP, 90);
	uint8_t *mem = vu_alloc(&r->c[0], 4096, 16);

	(void)state;
	frame_build(&r->f, &s);
	memset(mem, 0, 12);
	memcpy(mem + 12, r->f.data, r->f.len);
	/* One byte each, and the rest. The client's bookkeeping is told of the whole chain. */
	for (unsigned int i = 0; i < 31; i++) {
		uint16_t at = q->free[q->n_free - 1 - i];

		q->desc[at] = (struct vring_desc){
			.addr = le64_make(vu_gpa(&r->c[0], mem + i)),
			.len = le32_make(i < 30 ? 1 : r->f.len + 12 - 30),
			.flags = le16_make(i < 30 ? VRING_DESC_F_NEXT : 0),
			.next = le16_make(i < 30 ? q->free[q->n_free - 2 - i] : 0)};
	}
	q->chain[q->free[q->n_free - 1]] = 31;
	vu_post(q, q->free[q->n_free - 1]);
	q->n_free -= 31;
	vu_kick(q, false);
	rig_expect(r, 1, &r->f, NULL);
	assert_true(wait_until(vu_tx_reap(q) == 1, WAIT_MS));
	rig_stop(r);
}

static void a_receive_header_cut_in_single_bytes_is_written(void **state)
{
	struct rig_conf conf = {
		.client = {.rx_buf = 16, .rx_chain = 16, .ring_size = 1024, .tx_slot = 4096}};
	struct rig *r = rig_start(&conf);

	(void)state;
	/* Chains of sixteen single bytes: a frame takes several. */
	rig_alive(r, 0, 1);
	rig_stop(r);
}

static void vlan_tags_stay_in_the_frame(void **state)
{
	struct rig *r = rig_start(NULL);
	struct frame_spec s = rig_spec(0, 1, 4, IPPROTO_TCP, 20000);
	struct virtio_net_hdr h;
	struct vu_tx tx;
	uint16_t sum;

	(void)state;
	s.vlan = 0x2005;
	frame_build(&r->f, &s);
	sum = pseudo(&r->f);
	r->g = r->f;
	frame_make_partial(&r->g, true);
	tx = owe(&r->g, 1400);
	assert_int_equal(vu_tx(vu_txq(&r->c[0], 0), r->g.data, r->g.len, &tx), 0);
	be16_store(r->f.data + r->f.l4 + 16, sum);
	rig_expect(r, 1, &r->f, &h);
	assert_int_equal(le16_get(h.csum_start), r->f.l4);
	rig_stop(r);
}

static void a_flood_reaches_everybody_else(void **state)
{
	struct rig_conf conf = {.n = 4, .workers = 2};
	struct rig *r = rig_start(&conf);
	struct frame_spec s = rig_spec(0, 1, 4, IPPROTO_UDP, 64);

	(void)state;
	memset(s.dst, 0xff, 6);
	frame_build(&r->f, &s);
	assert_int_equal(vu_tx(vu_txq(&r->c[0], 0), r->f.data, r->f.len, NULL), 0);
	for (unsigned int i = 1; i < 4; i++)
		rig_expect(r, i, &r->f, NULL);
	assert_int_equal(vu_rx_poll(vu_rxq(&r->c[0], 0), r->g.data, FRAME_MAX, NULL, NULL), 0);
	rig_stop(r);
}

/* ---- Many
 * ---------------------------------------------------------------------------------------- */

/* Frames with a number each; none lost, none twice, in order. */
static void stream(struct rig *r, unsigned int n, unsigned int batch)
{
	struct vu_ring *tx = vu_txq(&r->c[0], 0), *rx = vu_rxq(&r->c[1], 0);
	struct frame_spec s = rig_spec(0, 1, 4, IPPROTO_UDP, 100);
	unsigned int sent = 0, got = 0;
	uint64_t end = now_ns() + 60 * NSEC_PER_SEC;
	uint8_t buf[2048];

	frame_build(&r->f, &s);
	while (got < n) {
		for (unsigned int i = 0; i < batch && sent < n; i++) {
			le32_store(r->f.data + 60, sent);
			if (vu_tx_post(tx, r->f.data, r->f.len, NULL))
				break;
			sent++;
		}
		vu_kick(tx, false);
		assert_true(vu_tx_reap(tx) >= 0);
		for (;;) {
			int len = vu_rx_poll(rx, buf, sizeof(buf), NULL, NULL);

			assert_true(len >= 0);
			if (!len)
				break;
			assert_int_equal(len, r->f.len);
			assert_int_equal(le32_load(buf + 60), got);
			got++;
		}
		vu_rx_fill(rx, rx->num);
		assert_true(now_ns() < end);
	}
	assert_true(wait_until((vu_tx_reap(tx), tx->n_free == tx->num), WAIT_MS));
}

static void rings_of_every_size_wrap_at_every_place(void **state)
{
	static const uint16_t sizes[] = {1, 2, 4, 8, 64, 1024};
	static const uint16_t bases[] = {0, 1, 3, 63, 65535, 65534, 32768};

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(sizes); i++) {
		for (unsigned int k = 0; k < ARRAY_SIZE(bases); k++) {
			struct rig_conf conf = {
				.port.hold_ms = 20000,
				.client = {.ring_size = sizes[i],
					   .base = bases[k],
					   .features = k & 1 ? VU_FEATURES : VU_PLAIN,
					   .tx_slot = 4096,
					   .mem_size = 16u << 20}};
			struct rig *r = rig_start(&conf);

			stream(r, 3 * sizes[i] + 50, 1 + k * 7);
			rig_stop(r);
		}
	}
}

static void indexes_run_over(void **state)
{
	struct rig_conf conf = {.port.hold_ms = 20000, .client = {.tx_slot = 4096}};
	struct rig *r = rig_start(&conf);

	(void)state;
	stream(r, 140000, 100);
	assert_int_equal(rig_drops(r, 1, VSW_DROP_NO_BUFFER), 0);
	rig_stop(r);
}

static void rings_without_a_kick_descriptor_are_polled(void **state)
{
	struct rig_conf conf = {.port.hold_ms = 20000,
				.client = {.no_kick_fd = true, .ring_size = 8, .tx_slot = 4096}};
	struct rig *r = rig_start(&conf);

	(void)state;
	rig_alive(r, 0, 1);
	stream(r, 200, 5);
	assert_int_equal(rig_info(r, 0).kicks, 0);
	rig_stop(r);
}

static void rings_work_at_every_alignment(void **state)
{
	(void)state;
	for (uint32_t off = 16; off < 128; off += 14) {
		struct rig_conf conf = {.no_connect = true};
		struct rig *r = rig_start(&conf);

		for (unsigned int i = 0; i < 2; i++) {
			struct vu *c = &r->c[i];

			assert_int_equal(vu_open(c, rig_connect(r, i), NULL), 0);
			r->open[i] = true;
			assert_int_equal(vu_handshake(c), 0);
			assert_int_equal(vu_set_mem(c), 0);
			for (unsigned int k = 0; k < 2; k++) {
				assert_int_equal(vu_ring_make(c, k, off), 0);
				if (!k)
					vu_rx_fill(&c->ring[k], 256);
				assert_int_equal(vu_ring_start(&c->ring[k], 0), 0);
				assert_int_equal(vu_ring_enable(&c->ring[k], true), 0);
			}
			assert_int_equal(vu_get_u64(c, VHOST_USER_GET_FEATURES, &c->offered), 0);
		}
		rig_alive(r, 0, 1);
		stream(r, 300, 30);
		rig_stop(r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_guests_talk),
		cmocka_unit_test(frames_of_every_size_and_layout_arrive_whole),
		cmocka_unit_test(large_frames_spread_over_mergeable_buffers),
		cmocka_unit_test(a_frame_that_fits_no_buffer_is_dropped),
		cmocka_unit_test(a_packet_larger_than_a_whole_ring_is_dropped_not_waited_for),
		cmocka_unit_test(an_owed_checksum_goes_to_a_guest_that_takes_it),
		cmocka_unit_test(an_owed_checksum_is_made_for_a_guest_that_does_not),
		cmocka_unit_test(a_checksum_anywhere_is_made_at_once),
		cmocka_unit_test(a_large_packet_goes_whole_to_a_guest_that_takes_it),
		cmocka_unit_test(a_large_packet_is_cut_for_a_guest_that_does_not),
		cmocka_unit_test(segmentation_that_does_not_fit_the_headers_is_malformed),
		cmocka_unit_test(without_checksum_offload_the_header_is_not_read),
		cmocka_unit_test(offloads_that_were_not_negotiated_are_malformed),
		cmocka_unit_test(packets_of_impossible_sizes_are_malformed_and_given_back),
		cmocka_unit_test(a_header_cut_in_single_bytes_is_read),
		cmocka_unit_test(a_receive_header_cut_in_single_bytes_is_written),
		cmocka_unit_test(vlan_tags_stay_in_the_frame),
		cmocka_unit_test(a_flood_reaches_everybody_else),
		cmocka_unit_test(rings_of_every_size_wrap_at_every_place),
		cmocka_unit_test(indexes_run_over),
		cmocka_unit_test(rings_without_a_kick_descriptor_are_polled),
		cmocka_unit_test(rings_work_at_every_alignment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
