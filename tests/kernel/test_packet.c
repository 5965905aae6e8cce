/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The port of a packet socket against the running kernel, over a veth pair: what leaves the port is
 * compared byte by byte with what comes out at the far end, and the other way round. Needs a
 * network namespace of its own.
 */
#include <errno.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/util.h"
#include "base/wire.h"
#include "tests/lib/wait.h"
#include "veth.h"
#include "vsw_fixture.h"
#include "vswitch/ports/packet.h"

#define FAR   7 /* frame_mac() of who is behind the uplink, and of the guest */
#define GUEST 9
#define MSS   1400

struct rig {
	struct vsw *vsw;
	struct vsw_net *net;
	struct worker *worker;
	struct packet *p;
	struct test_port guest;
	int far;
};

static struct frame big, want, got;
static struct veth_seen seen;

static struct packet *open_port(struct rig *r, uint32_t flags)
{
	int fd = packet_open(VETH_NEAR, flags);
	struct packet *p;

	assert_true(fd >= 0);
	p = packet_new(r->worker, "n/uplink", fd, NULL, flags);
	assert_non_null(p);
	packet_set_link(p, true);
	assert_int_equal(vsw_port_attach(r->net, packet_port(p)), 0);
	return p;
}

static void close_port(struct rig *r)
{
	vsw_port_detach(packet_port(r->p));
	packet_free(r->p);
	r->p = NULL;
}

static void reopen(struct rig *r, uint32_t flags)
{
	close_port(r);
	r->p = open_port(r, flags);
}

static int setup(void **state)
{
	struct vsw_net_conf nc = {.name = "n", .mtu = 1500};
	struct worker_conf wc = {.name = "w0"};
	struct rig *r = calloc(1, sizeof(*r));

	*state = r;
	test_thread_register();
	veth_make();
	r->far = veth_far();
	r->worker = worker_new(&wc);
	r->vsw = vsw_new();
	r->net = vsw_net_add(r->vsw, &nc);
	r->p = open_port(r, 0);
	test_port_init(&r->guest, GUEST);
	assert_int_equal(vsw_port_attach(r->net, &r->guest.port), 0);
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	vsw_port_detach(&r->guest.port);
	close_port(r);
	test_port_clear(&r->guest);
	close(r->far);
	veth_delete();
	assert_int_equal(vsw_net_del(r->net), 0);
	vsw_free(r->vsw);
	worker_free(r->worker);
	free(r);
	test_thread_unregister();
	return 0;
}

static unsigned int arrived(struct rig *r)
{
	unsigned int n;

	pthread_mutex_lock(&r->guest.lock);
	n = r->guest.n;
	pthread_mutex_unlock(&r->guest.lock);
	return n;
}

static uint64_t drops(struct rig *r, enum vsw_drop why)
{
	return atomic_load(&packet_port(r->p)->stats.drops[why]);
}

static void guest_sends(struct rig *r, struct frame *f, uint32_t flags, uint16_t gso)
{
	static struct pkt pkt;
	struct pkt *p = &pkt;

	pkt_of_frame(p, f, 0);
	p->flags |= flags;
	p->gso_size = gso;
	assert_int_equal(vsw_send(&r->guest.port, &p, 1), 1);
}

static void tcp_frame(struct frame *f, uint8_t ip, unsigned int from, unsigned int to,
		      uint16_t vlan, uint32_t payload)
{
	struct frame_spec s = {.ip = ip,
			       .proto = IPPROTO_TCP,
			       .vlan = vlan,
			       .sport = 1000,
			       .dport = 2000,
			       .payload_len = payload,
			       .seed = 5,
			       .tcp_flags = 0x18};

	frame_addr(&s, from, to);
	frame_build(f, &s);
}

/* As the port's own side makes large packets: unsummed, lengths open. */
static void guest_sends_large(struct rig *r, uint8_t ip, uint16_t vlan, uint32_t payload)
{
	tcp_frame(&big, ip, GUEST, FAR, vlan, payload);
	want = big;
	frame_make_partial(&big, true);
	guest_sends(r, &big, PKT_GSO_TCP | PKT_CSUM_L4 | PKT_CSUM_IP, MSS);
}

/* A VLAN tag goes by beside the frame. */
static void put_tag_back(struct veth_seen *s)
{
	if (s->tci < 0)
		return;
	memmove(s->f.data + 16, s->f.data + 12, s->f.len - 12);
	s->f.data[12] = (uint8_t)(s->tpid >> 8);
	s->f.data[13] = (uint8_t)s->tpid;
	s->f.data[14] = (uint8_t)(s->tci >> 8);
	s->f.data[15] = (uint8_t)s->tci;
	s->f.len += 4;
}

/* All segments of @want come out at the far end, cut and summed. */
static void expect_segments(struct rig *r, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		assert_true(frame_segment(&want, MSS, i, &got));
		assert_true(veth_next(r->far, &seen, WAIT_MS));
		put_tag_back(&seen);
		assert_int_equal(seen.h.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM, 0);
		assert_int_equal(seen.h.gso_type, 0);
		assert_int_equal(seen.f.len, got.len);
		assert_memory_equal(seen.f.data, got.data, got.len);
	}
	assert_false(frame_segment(&want, MSS, n, &got));
}

/* ---- to the kernel ---- */

static void test_small_out(void **state)
{
	struct rig *r = *state;

	frame_udp(&big, GUEST, FAR, 33);
	guest_sends(r, &big, 0, 0);
	assert_true(veth_next(r->far, &seen, WAIT_MS));
	assert_int_equal(seen.f.len, big.len);
	assert_memory_equal(seen.f.data, big.data, big.len);
	assert_int_equal(atomic_load(&packet_port(r->p)->stats.rx_packets), 1);
}

/* The kernel is asked to cut and to sum, and leaves it to the interface that can. */
static void test_large_out_whole(void **state)
{
	struct rig *r = *state;

	guest_sends_large(r, 4, 0, 30000);
	assert_true(veth_next(r->far, &seen, WAIT_MS));
	assert_int_equal(seen.h.gso_type, VIRTIO_NET_HDR_GSO_TCPV4);
	assert_int_equal(seen.h.gso_size, MSS);
	assert_int_equal(seen.h.csum_start, want.l4);
	assert_int_equal(seen.f.len, want.len);
	assert_memory_equal(seen.f.data + want.payload, want.data + want.payload,
			    want.len - want.payload);
}

/* An interface that cannot: the kernel does it. */
static void test_large_out_cut_by_kernel(void **state)
{
	struct rig *r = *state;

	veth_features(VETH_NEAR, false, false);
	guest_sends_large(r, 4, 0, 30000);
	expect_segments(r, 22);
	guest_sends_large(r, 6, 0, 9000);
	expect_segments(r, 7);
	assert_int_equal(atomic_load(&packet_port(r->p)->stats.rx_packets), 2);
}

/* "A NIC without TSO": we cut, and sum what we cut. */
static void test_large_out_without_tso(void **state)
{
	struct rig *r = *state;

	reopen(r, KPORT_NO_TSO);
	veth_features(VETH_NEAR, false, true);
	guest_sends_large(r, 4, 0, 30000);
	expect_segments(r, 22);
	assert_int_equal(atomic_load(&packet_port(r->p)->stats.rx_packets), 22);
	veth_features(VETH_NEAR, true, true);
	/* What is not cut is left to them. */
	frame_udp(&big, GUEST, FAR, 300);
	guest_sends(r, &big, PKT_CSUM_L4, 0);
	assert_true(veth_next(r->far, &seen, WAIT_MS));
	assert_int_equal(seen.h.gso_type, 0);
	assert_int_equal(seen.h.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
}

/* "Without checksum": all is done when it comes to the kernel, with an interface that could. */
static void test_large_out_without_csum(void **state)
{
	struct rig *r = *state;

	reopen(r, KPORT_NO_CSUM);
	guest_sends_large(r, 4, 0, 30000);
	expect_segments(r, 22);
	guest_sends_large(r, 6, 0, 9000);
	expect_segments(r, 7);
}

static void test_large_udp_out(void **state)
{
	struct rig *r = *state;

	frame_udp(&big, GUEST, FAR, 4500);
	want = big;
	guest_sends(r, &big, PKT_GSO_UDP | PKT_CSUM_L4 | PKT_CSUM_IP, 1000);
	assert_true(veth_next(r->far, &seen, WAIT_MS));
	assert_int_equal(seen.h.gso_type, VIRTIO_NET_HDR_GSO_UDP_L4);
	assert_int_equal(seen.h.gso_size, 1000);
	assert_int_equal(seen.f.len, want.len);
	veth_features(VETH_NEAR, false, false);
	guest_sends(r, &big, PKT_GSO_UDP | PKT_CSUM_L4 | PKT_CSUM_IP, 1000);
	for (unsigned int i = 0; i < 5; i++) {
		assert_true(veth_next(r->far, &seen, WAIT_MS));
		assert_true(frame_parse(&seen.f));
		assert_true(frame_ip_sum_ok(&seen.f) && frame_l4_sum_ok(&seen.f));
		assert_int_equal(seen.f.len - seen.f.payload, i < 4 ? 1000 : 500);
		assert_memory_equal(seen.f.data + seen.f.payload,
				    want.data + want.payload + i * 1000,
				    seen.f.len - seen.f.payload);
	}
}

/* Tags in the frame, and beside it; cut by whoever can. */
static void test_vlan_out(void **state)
{
	static const uint32_t flags[] = {0, KPORT_NO_TSO, KPORT_NO_CSUM};
	struct rig *r = *state;

	for (unsigned int i = 0; i < ARRAY_SIZE(flags); i++) {
		reopen(r, flags[i]);
		veth_features(VETH_NEAR, false, false);
		guest_sends_large(r, 4, 0x6007, 10000);
		expect_segments(r, 8);
		tcp_frame(&big, 4, GUEST, FAR, 0, 600);
		tcp_frame(&want, 4, GUEST, FAR, 0x6007, 600);
		{
			static struct pkt pkt;
			struct pkt *p = &pkt;

			pkt_of_frame(p, &big, 0);
			p->flags |= PKT_VLAN;
			p->vlan_tci = 0x6007;
			assert_int_equal(vsw_send(&r->guest.port, &p, 1), 1);
		}
		assert_true(veth_next(r->far, &seen, WAIT_MS));
		put_tag_back(&seen);
		assert_int_equal(seen.f.len, want.len);
		assert_memory_equal(seen.f.data, want.data, want.len);
		veth_features(VETH_NEAR, true, true);
	}
}

/* ---- from the kernel ---- */

static void far_sends_large(struct rig *r, uint8_t ip, uint32_t payload)
{
	struct virtio_net_hdr h = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
				   .gso_type = ip == 4 ? VIRTIO_NET_HDR_GSO_TCPV4
						       : VIRTIO_NET_HDR_GSO_TCPV6,
				   .gso_size = MSS,
				   .csum_offset = 16};

	tcp_frame(&big, ip, FAR, GUEST, 0, payload);
	want = big;
	h.hdr_len = big.payload;
	h.csum_start = big.l4;
	frame_make_partial(&big, false);
	veth_send(r->far, &big, &h);
}

static void expect_at_guest(struct rig *r, unsigned int from, unsigned int n)
{
	assert_true(wait_until(arrived(r) == from + n, WAIT_MS));
	for (unsigned int i = 0; i < n; i++) {
		const struct test_frame *f = &r->guest.frame[from + i];

		assert_true(frame_segment(&want, MSS, i, &got));
		assert_int_equal(f->len, got.len);
		assert_memory_equal(f->data, got.data, got.len);
	}
}

static void test_small_in(void **state)
{
	struct rig *r = *state;

	frame_udp(&big, FAR, GUEST, 33);
	veth_send(r->far, &big, NULL);
	assert_true(wait_until(arrived(r) == 1, WAIT_MS));
	assert_int_equal(r->guest.frame[0].len, big.len);
	assert_memory_equal(r->guest.frame[0].data, big.data, big.len);
}

/* A guest that takes large packets gets it as one, another one its segments. */
static void test_large_in(void **state)
{
	struct rig *r = *state;

	atomic_store(&r->guest.port.caps, VSW_CAP_CSUM | VSW_CAP_TSO4 | VSW_CAP_TSO6);
	far_sends_large(r, 4, 50000);
	assert_true(wait_until(arrived(r) == 1, WAIT_MS));
	assert_int_equal(r->guest.frame[0].gso_size, MSS);
	assert_int_equal(r->guest.frame[0].len, want.len);
	atomic_store(&r->guest.port.caps, 0);
	far_sends_large(r, 4, 20000);
	expect_at_guest(r, 1, 15);
	far_sends_large(r, 6, 9000);
	expect_at_guest(r, 16, 7);
	assert_int_equal(atomic_load(&packet_port(r->p)->stats.tx_gso), 3);
}

/* Segments of one connection that the kernel's GRO put together. */
static void test_merged_in(void **state)
{
	struct rig *r = *state;
	unsigned int whole = 0;
	uint32_t bytes = 0;

	if (!veth_gro(VETH_NEAR))
		fail_msg("no gro_flush_timeout in /sys here: needs CAP_SYS_ADMIN");
	veth_features(VETH_FAR, true, false);
	atomic_store(&r->guest.port.caps, VSW_CAP_CSUM | VSW_CAP_TSO4 | VSW_CAP_TSO6);
	far_sends_large(r, 4, 20000);
	assert_true(wait_until(atomic_load(&packet_port(r->p)->stats.tx_gso) > 0, WAIT_MS));
	for (unsigned int i = 0; bytes < 20000; i++) {
		uint32_t at;

		assert_true(wait_until(arrived(r) > i, WAIT_MS));
		memcpy(got.data, r->guest.frame[i].data, r->guest.frame[i].len);
		got.len = r->guest.frame[i].len;
		assert_true(frame_parse(&got));
		/* The kernel may hold a train back and let a short last one pass. */
		at = be32_load(got.data + got.l4 + 4) - be32_load(want.data + want.l4 + 4);
		assert_true(at + got.len - got.payload <= 20000);
		assert_memory_equal(got.data + got.payload, want.data + want.payload + at,
				    got.len - got.payload);
		bytes += got.len - got.payload;
		whole += r->guest.frame[i].gso_size != 0;
	}
	assert_int_equal(bytes, 20000);
	assert_true(whole > 0 && arrived(r) < 15);
	/* And cut again for a guest that does not take it. */
	atomic_store(&r->guest.port.caps, 0);
	whole = arrived(r);
	far_sends_large(r, 4, 20000);
	assert_true(wait_until(arrived(r) == whole + 15, WAIT_MS));
	for (unsigned int i = whole; i < whole + 15; i++) {
		const struct test_frame *f = &r->guest.frame[i];
		uint32_t at = be32_load(f->data + want.l4 + 4) - be32_load(want.data + want.l4 + 4);

		assert_true(frame_segment(&want, MSS, at / MSS, &got));
		assert_int_equal(f->len, got.len);
		assert_memory_equal(f->data, got.data, got.len);
	}
}

static void test_unsummed_in(void **state)
{
	struct rig *r = *state;
	struct virtio_net_hdr h = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_offset = 6};

	frame_udp(&big, FAR, GUEST, 700);
	want = big;
	h.csum_start = big.l4;
	frame_make_partial(&big, false);
	veth_send(r->far, &big, &h);
	assert_true(wait_until(arrived(r) == 1, WAIT_MS));
	assert_int_equal(r->guest.frame[0].len, want.len);
	assert_memory_equal(r->guest.frame[0].data, want.data, want.len);
}

/* The kernel has taken the tag out: beside the frame for a guest that wants it so. */
static void test_vlan_in(void **state)
{
	struct rig *r = *state;

	tcp_frame(&big, 4, FAR, GUEST, 0x6007, 600);
	veth_send(r->far, &big, NULL);
	assert_true(wait_until(arrived(r) == 1, WAIT_MS));
	assert_int_equal(r->guest.frame[0].len, big.len);
	assert_memory_equal(r->guest.frame[0].data, big.data, big.len);
	atomic_store(&r->guest.port.caps, VSW_CAP_VLAN | VSW_CAP_VLAN_STRIP);
	veth_send(r->far, &big, NULL);
	assert_true(wait_until(arrived(r) == 2, WAIT_MS));
	assert_int_equal(r->guest.frame[1].vlan_tci, 0x6007);
	assert_int_equal(r->guest.frame[1].len, big.len - 4);
	/* Another kind of tag stays in the frame. */
	big.data[12] = 0x88;
	big.data[13] = 0xa8;
	veth_send(r->far, &big, NULL);
	assert_true(wait_until(arrived(r) == 3, WAIT_MS));
	assert_int_equal(r->guest.frame[2].len, big.len);
	assert_memory_equal(r->guest.frame[2].data, big.data, big.len);
}

/* What the port sends, or the host on the same interface, does not come back. */
static void test_own_frames(void **state)
{
	struct rig *r = *state;
	int host = packet_open(VETH_NEAR, 0);

	assert_true(host >= 0);
	frame_udp(&big, FAR, GUEST, 40);
	veth_send(host, &big, NULL);
	guest_sends_large(r, 4, 0, 3000);
	frame_udp(&big, FAR, GUEST, 33);
	veth_send(r->far, &big, NULL);
	assert_true(wait_until(arrived(r) == 1, WAIT_MS));
	assert_int_equal(r->guest.frame[0].len, big.len);
	close(host);
}

static void test_filter(void **state)
{
	const struct packet_prefix list[] = {
		{AF_INET, {10, 1, 2, 0}, 24},
		{AF_INET, {10, 9, 9, 9}, 32},
		{AF_INET6, {0xfd, 1, [6] = 1}, 60},
	};
	static const struct {
		uint8_t ip, to[16];
		bool through;
	} cases[] = {
		{4, {10, 1, 2, 200}, true},
		{4, {10, 1, 3, 1}, false},
		{4, {10, 9, 9, 9}, true},
		{4, {10, 9, 9, 8}, false},
		{6, {0xfd, 1, [6] = 1, [7] = 0x10, [15] = 1}, false},
		{6, {0xfd, 1, [6] = 1, [15] = 1}, true},
		{6, {0xfd, 1, [6] = 1, [7] = 0x01, [15] = 1}, true},
	};
	struct packet_prefix many[PACKET_MAX_PREFIXES + 1];
	struct frame_spec s = {.proto = IPPROTO_UDP, .payload_len = 20};
	struct rig *r = *state;
	unsigned int n = 0;

	assert_int_equal(packet_filter(r->p, list, ARRAY_SIZE(list)), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		s.ip = cases[i].ip;
		frame_addr(&s, FAR, GUEST);
		memcpy(s.daddr, cases[i].to, 16);
		frame_build(&big, &s);
		veth_send(r->far, &big, NULL);
		n += cases[i].through;
	}
	/* ARP comes always, and behind all of it. */
	s.ip = 0;
	s.eth_type = 0x0806;
	s.payload_len = 28;
	frame_build(&big, &s);
	veth_send(r->far, &big, NULL);
	assert_true(wait_until(arrived(r) == n + 1, WAIT_MS));
	assert_int_equal(r->guest.frame[n].len, 42);
	memset(many, 0, sizeof(many));
	for (unsigned int i = 0; i < ARRAY_SIZE(many); i++)
		many[i] = (struct packet_prefix){AF_INET6, {0xfd, 1, [15] = (uint8_t)i}, 128};
	assert_int_equal(packet_filter(r->p, many, PACKET_MAX_PREFIXES), 0);
	assert_int_equal(packet_filter(r->p, many, PACKET_MAX_PREFIXES + 1), -E2BIG);
	many[0].len = 129;
	assert_int_equal(packet_filter(r->p, many, 1), -EINVAL);
}

/* ---- waiting ---- */

/* No buffers at the guest: packets stay in the ring; what is larger than it is the kernel's. */
static void test_guest_without_buffers(void **state)
{
	struct rig *r = *state;
	unsigned int lost;

	pthread_mutex_lock(&r->guest.lock);
	r->guest.room = 0;
	pthread_mutex_unlock(&r->guest.lock);
	for (unsigned int i = 0; i < 100; i++) {
		frame_udp(&big, FAR, GUEST, 100 + i);
		veth_send(r->far, &big, NULL);
	}
	assert_true(wait_until(atomic_load(&r->guest.port.n_waiters) > 0, WAIT_MS));
	test_port_refill(&r->guest, 100);
	/* On a slow machine the first may have waited too long; then they are counted. */
	assert_true(wait_until(
		arrived(r) + atomic_load(&r->guest.port.stats.drops[VSW_DROP_NO_BUFFER]) == 100,
		WAIT_MS));
	lost = 100 - arrived(r);
	for (unsigned int i = lost; i < 100; i++)
		assert_int_equal(r->guest.frame[i - lost].len, 14 + 28 + 100 + i);
}

/* The interface sends slower than the guest: the guest waits, and nothing is lost. */
static void test_slow_interface(void **state)
{
	const unsigned int total = 60;
	struct rig *r = *state;
	static struct pkt pkt;
	struct pkt *p = &pkt;
	unsigned int taken = 0, waits = 0;
	uint32_t bytes = 0;

	/* Its address becomes known: floods do not wait. */
	frame_udp(&big, FAR, GUEST, 33);
	veth_send(r->far, &big, NULL);
	assert_true(wait_until(arrived(r) == 1, WAIT_MS));
	/* 60 KB each: far more than the socket's buffer. */
	if (system("tc qdisc add dev " VETH_NEAR " root tbf rate 40mbit burst 128kb limit 64mb"))
		fail_msg("tc qdisc tbf: not here");
	while (taken < total) {
		tcp_frame(&big, 4, GUEST, FAR, 0, 60000);
		frame_make_partial(&big, true);
		pkt_of_frame(p, &big, 0);
		p->flags |= PKT_GSO_TCP | PKT_CSUM_L4 | PKT_CSUM_IP;
		p->gso_size = MSS;
		if (vsw_send(&r->guest.port, &p, 1) == 1) {
			taken++;
			continue;
		}
		assert_ptr_equal(p->waits_for, packet_port(r->p));
		waits++;
		{
			uint64_t wakes = atomic_load(&packet_port(r->p)->wakes);

			wait_until(atomic_load(&packet_port(r->p)->wakes) != wakes, 20);
		}
	}
	assert_true(waits > 0);
	while (bytes < total * 60000 && veth_next(r->far, &seen, WAIT_MS)) {
		assert_true(frame_parse(&seen.f));
		bytes += seen.f.len - seen.f.payload;
	}
	assert_int_equal(bytes, total * 60000);
	assert_int_equal(drops(r, VSW_DROP_NO_BUFFER), 0);
}

/* ---- the interface's life ---- */

static void test_mtu(void **state)
{
	struct rig *r = *state;

	frame_udp(&big, GUEST, FAR, 1400);
	packet_set_mtu(r->p, 1000);
	guest_sends(r, &big, 0, 0);
	assert_int_equal(drops(r, VSW_DROP_TOO_BIG), 1);
	/* Not told yet: the kernel says so itself. */
	packet_set_mtu(r->p, 1500);
	veth_mtu(VETH_NEAR, 1000);
	guest_sends(r, &big, 0, 0);
	assert_int_equal(drops(r, VSW_DROP_TOO_BIG), 2);
	veth_mtu(VETH_NEAR, 1500);
	guest_sends(r, &big, 0, 0);
	assert_true(veth_next(r->far, &seen, WAIT_MS));
	assert_int_equal(seen.f.len, big.len);
}

static void test_down_and_up(void **state)
{
	struct rig *r = *state;

	veth_flags(VETH_NEAR, false);
	frame_udp(&big, GUEST, FAR, 33);
	guest_sends(r, &big, 0, 0);
	assert_int_equal(drops(r, VSW_DROP_LINK_DOWN), 1);
	veth_flags(VETH_NEAR, true);
	/* Both ends have their carrier back a little later. */
	assert_true(
		wait_until((guest_sends(r, &big, 0, 0), veth_next(r->far, &seen, 50)), WAIT_MS));
	frame_udp(&big, FAR, GUEST, 33);
	assert_true(wait_until((veth_send(r->far, &big, NULL), arrived(r) > 0), WAIT_MS));
}

/* The interface is deleted: what comes for it is dropped, the worker does not spin on it. */
static void test_gone(void **state)
{
	struct worker_stats before, after;
	struct rig *r = *state;

	veth_delete();
	frame_udp(&big, GUEST, FAR, 33);
	guest_sends(r, &big, 0, 0);
	assert_int_equal(drops(r, VSW_DROP_LINK_DOWN), 1);
	worker_get_stats(r->worker, &before);
	nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
	worker_get_stats(r->worker, &after);
	assert_true(after.turns - before.turns < 100);
}

static void test_wrong_interfaces(void **state)
{
	struct worker_conf wc = {.name = "w1"};
	struct worker *w = worker_new(&wc);

	(void)state;
	assert_int_equal(packet_open("none-such", 0), -ENODEV);
	assert_int_equal(packet_open("a-name-that-is-too-long", 0), -ENODEV);
	assert_int_equal(packet_open("lo", 0), -EINVAL);
	assert_null(packet_new(w, "x", dup(0), NULL, 0));
	assert_int_equal(errno, ENOTSOCK);
	worker_free(w);
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	static const struct CMUnitTest tests[] = {
		WITH(test_small_out),
		WITH(test_large_out_whole),
		WITH(test_large_out_cut_by_kernel),
		WITH(test_large_out_without_tso),
		WITH(test_large_out_without_csum),
		WITH(test_large_udp_out),
		WITH(test_vlan_out),
		WITH(test_small_in),
		WITH(test_large_in),
		WITH(test_merged_in),
		WITH(test_unsummed_in),
		WITH(test_vlan_in),
		WITH(test_own_frames),
		WITH(test_filter),
		WITH(test_guest_without_buffers),
		WITH(test_slow_interface),
		WITH(test_mtu),
		WITH(test_down_and_up),
		WITH(test_gone),
		cmocka_unit_test(test_wrong_interfaces),
	};

	if (!veth_namespace())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
