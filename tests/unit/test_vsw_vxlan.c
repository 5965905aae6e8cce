/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Claims about the VXLAN port, on the loopback: the other hosts are UDP sockets of this test, each
 * at an address of its own in 127/8.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/wire.h"
#include "tests/lib/wait.h"
#include "vsw_fixture.h"
#include "vswitch/ports/vxlan.h"
#include "vswitch/route.h"

#define PORT	8472
#define VNI	7
#define VNI_TWO 8
#define N_PEERS 3
#define GUEST	1 /* frame_mac() of the station */
#define FAR	9 /* and of somebody behind a peer */

struct rig {
	struct vsw *vsw;
	struct worker *worker;
	struct vxlan_tunnel *t;
	struct vsw_net *net[2];
	struct vxlan_port *vx[2];
	struct test_port st[2];
	int peer[N_PEERS];
	uint8_t addr[N_PEERS][16];
	struct sockaddr_in own;
};

struct setting {
	bool known_only, drop_unknown;
	uint32_t mtu, max_macs, max_remotes;
	enum vxlan_sum sum;
};

/* Host @n of this process's own part of 127/8. */
static struct sockaddr_in host(unsigned int n)
{
	unsigned int id = (unsigned int)getpid();
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(PORT)};

	in.sin_addr.s_addr =
		htonl(127u << 24 | ((id >> 8 & 0x7f) + 1) << 16 | (id & 0xff) << 8 | n);
	return in;
}

static void make_port(struct rig *r, unsigned int n, const struct setting *s)
{
	struct vsw_net_conf nc = {.name = n ? "two" : "one", .mtu = 1500};
	struct vxlan_port_conf pc = {.name = n ? "two/vxlan" : "one/vxlan",
				     .vni = n ? VNI_TWO : VNI,
				     .mtu = s->mtu,
				     .learn = true,
				     .drop_unknown = s->drop_unknown,
				     .max_macs = s->max_macs};

	r->net[n] = vsw_net_add(r->vsw, &nc);
	r->vx[n] = vxlan_port_new(r->t, &pc);
	assert_non_null(r->vx[n]);
	test_port_init(&r->st[n], GUEST);
	assert_int_equal(vsw_port_attach(r->net[n], vxlan_port_port(r->vx[n])), 0);
	assert_int_equal(vsw_port_attach(r->net[n], &r->st[n].port), 0);
}

static int setup(void **state)
{
	const struct setting *s = *state;
	struct vxlan_sockets socks;
	struct vxlan_tunnel_conf tc = {.name = "t",
				       .sockets = &socks,
				       .port = PORT,
				       .sum = s->sum,
				       .known_only = s->known_only,
				       .max_remotes = s->max_remotes};
	struct worker_conf wc = {.name = "w0"};
	struct rig *r = calloc(1, sizeof(*r));
	struct sockaddr_storage local = {0};

	for (unsigned int i = 0; i < N_PEERS; i++) {
		struct sockaddr_in in = host(i + 2);

		r->peer[i] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		assert_int_equal(bind(r->peer[i], (struct sockaddr *)&in, sizeof(in)), 0);
		addr_from_4(r->addr[i], &in.sin_addr);
	}
	r->own = host(1);
	memcpy(&local, &r->own, sizeof(r->own));
	r->worker = worker_new(&wc);
	r->vsw = vsw_new();
	assert_int_equal(vxlan_sockets_open(&socks, &local, 4), 0);
	r->t = vxlan_tunnel_new(r->worker, &tc);
	assert_non_null(r->t);
	make_port(r, 0, s);
	make_port(r, 1, s);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	for (unsigned int n = 0; n < 2; n++) {
		vsw_port_detach(vxlan_port_port(r->vx[n]));
		vsw_port_detach(&r->st[n].port);
		test_port_clear(&r->st[n]);
		vxlan_port_free(r->vx[n]);
		assert_int_equal(vsw_net_del(r->net[n]), 0);
	}
	vxlan_tunnel_free(r->t);
	vsw_free(r->vsw);
	worker_free(r->worker);
	for (unsigned int i = 0; i < N_PEERS; i++)
		close(r->peer[i]);
	free(r);
	return 0;
}

static struct vxlan_stats stats(struct rig *r)
{
	struct vxlan_stats st;

	vxlan_get_stats(r->t, &st);
	return st;
}

static uint64_t drops(struct rig *r, enum vsw_drop why)
{
	return atomic_load(&vxlan_port_port(r->vx[0])->stats.drops[why]);
}

/* ---- what peers send and hear ---- */

static struct frame frame, want, got;
static uint8_t dgram[FRAME_MAX + 8];

static void peer_sends_raw(struct rig *r, unsigned int peer, const void *data, size_t len)
{
	assert_int_equal(
		sendto(r->peer[peer], data, len, 0, (struct sockaddr *)&r->own, sizeof(r->own)),
		len);
}

static void peer_sends(struct rig *r, unsigned int peer, uint32_t vni, const struct frame *f)
{
	be32_store(dgram, 0x08000000);
	be32_store(dgram + 4, vni << 8);
	memcpy(dgram + 8, f->data, f->len);
	peer_sends_raw(r, peer, dgram, 8 + f->len);
}

/* The next inner frame at a peer, with its VNI and source port; false: none within @ms. */
static bool peer_hears(struct rig *r, unsigned int peer, struct frame *f, uint32_t *vni,
		       uint16_t *port, int ms)
{
	struct pollfd p = {.fd = r->peer[peer], .events = POLLIN};
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	ssize_t n;

	if (poll(&p, 1, ms) <= 0)
		return false;
	n = recvfrom(p.fd, dgram, sizeof(dgram), 0, (struct sockaddr *)&from, &len);
	assert_true(n >= 22);
	assert_int_equal(be32_load(dgram), 0x08000000);
	assert_int_equal(dgram[7], 0);
	if (vni)
		*vni = be32_load(dgram + 4) >> 8;
	if (port)
		*port = ntohs(from.sin_port);
	f->len = (uint32_t)n - 8;
	memcpy(f->data, dgram + 8, f->len);
	return true;
}

static void peer_must_hear(struct rig *r, unsigned int peer, const struct frame *f)
{
	assert_true(peer_hears(r, peer, &got, NULL, NULL, WAIT_MS));
	assert_int_equal(got.len, f->len);
	assert_memory_equal(got.data, f->data, f->len);
}

/* Frames that came to the station; the last of them in *@last. */
static unsigned int came(struct rig *r, unsigned int net, struct frame *last)
{
	struct test_port *st = &r->st[net];
	unsigned int n;

	pthread_mutex_lock(&st->lock);
	n = st->n;
	if (n && last) {
		last->len = st->frame[n - 1].len;
		memcpy(last->data, st->frame[n - 1].data, last->len);
	}
	pthread_mutex_unlock(&st->lock);
	return n;
}

static void must_come(struct rig *r, unsigned int net, unsigned int n, const struct frame *f)
{
	assert_true(wait_until(came(r, net, &got) >= n, WAIT_MS));
	assert_int_equal(came(r, net, &got), n);
	assert_int_equal(got.len, f->len);
	assert_memory_equal(got.data, f->data, f->len);
}

static void station_sends_key(struct rig *r, struct frame *f, uint32_t flags, uint16_t gso,
			      const struct pkt_tunnel *key)
{
	static struct pkt pkt;
	struct pkt *p = &pkt;

	pkt_of_frame(p, f, 900);
	p->flags |= flags;
	p->gso_size = gso;
	if (key)
		p->tun = *key;
	assert_int_equal(vsw_send(&r->st[0].port, &p, 1), 1);
}

static void station_sends(struct rig *r, struct frame *f)
{
	station_sends_key(r, f, 0, 0, NULL);
}

static void behind(struct rig *r, unsigned int mac, unsigned int peer)
{
	uint8_t m[6];

	frame_mac(m, mac);
	assert_int_equal(vxlan_mac_set(r->vx[0], m, r->addr[peer]), 0);
}

/* ---- receiving ---- */

static void test_receives(void **state)
{
	struct rig *r = *state;
	struct vxlan_mac mac;

	frame_udp(&frame, FAR, GUEST, 300);
	peer_sends(r, 0, VNI, &frame);
	must_come(r, 0, 1, &frame);
	assert_int_equal(came(r, 1, NULL), 0);
	peer_sends(r, 0, VNI_TWO, &frame);
	must_come(r, 1, 1, &frame);
	/* And knows now who is there: the answer goes to that host only. */
	assert_int_equal(vxlan_macs(r->vx[0], &mac, 1), 1);
	assert_false(mac.set);
	assert_memory_equal(mac.remote, r->addr[0], 16);
	frame_udp(&frame, GUEST, FAR, 300);
	station_sends(r, &frame);
	peer_must_hear(r, 0, &frame);
}

static void test_rejects(void **state)
{
	struct rig *r = *state;
	uint8_t d[64] = {8, 0, 0, 0, 0, 0, VNI, 0};
	struct vxlan_stats st;

	for (size_t len = 0; len < 22; len++)
		peer_sends_raw(r, 0, d, len);
	assert_true(wait_until(stats(r).rx_short == 22, WAIT_MS));
	d[0] = 0xf7;
	peer_sends_raw(r, 0, d, sizeof(d));
	assert_true(wait_until(stats(r).rx_flags == 1, WAIT_MS));
	d[0] = 8;
	d[4] = 1;
	peer_sends_raw(r, 0, d, sizeof(d));
	assert_true(wait_until(stats(r).rx_vni == 1, WAIT_MS));
	/* A source address that is none: the switch's to judge. */
	d[4] = 0;
	peer_sends_raw(r, 0, d, sizeof(d));
	assert_true(wait_until(
		atomic_load(&vxlan_port_port(r->vx[0])->stats.tx_drops[VSW_DROP_SRC_INVALID]) == 1,
		WAIT_MS));
	assert_int_equal(came(r, 0, NULL), 0);
	/* Reserved bits say nothing. */
	frame_udp(&frame, FAR, GUEST, 60);
	memcpy(dgram, ((uint8_t[]){0xff, 1, 2, 3, 0, 0, VNI, 0xff}), 8);
	memcpy(dgram + 8, frame.data, frame.len);
	peer_sends_raw(r, 0, dgram, frame.len + 8);
	must_come(r, 0, 1, &frame);
	st = stats(r);
	assert_int_equal(st.rx, 22 + 4);
	assert_int_equal(st.rx_short + st.rx_flags + st.rx_vni + st.rx_peer, 24);
}

static void test_known_only(void **state)
{
	struct rig *r = *state;

	frame_udp(&frame, FAR, GUEST, 60);
	peer_sends(r, 0, VNI, &frame);
	assert_true(wait_until(stats(r).rx_peer == 1, WAIT_MS));
	assert_int_equal(vxlan_peer_add(r->vx[0], r->addr[0]), 0);
	peer_sends(r, 0, VNI, &frame);
	must_come(r, 0, 1, &frame);
	assert_int_equal(vxlan_peer_del(r->vx[0], r->addr[0]), 0);
	assert_int_equal(vxlan_peer_del(r->vx[0], r->addr[0]), -ENOENT);
	peer_sends(r, 0, VNI, &frame);
	assert_true(wait_until(stats(r).rx_peer == 2, WAIT_MS));
	/* Who has an address that was set is known, too. */
	behind(r, FAR, 1);
	peer_sends(r, 1, VNI, &frame);
	must_come(r, 0, 2, &frame);
	vxlan_remote_forget(r->vx[0], r->addr[1]);
	peer_sends(r, 1, VNI, &frame);
	assert_true(wait_until(stats(r).rx_peer == 3, WAIT_MS));
	assert_int_equal(came(r, 0, NULL), 2);
}

/* No buffers: what came waits, and nothing is lost. */
static void test_waits(void **state)
{
	struct rig *r = *state;

	pthread_mutex_lock(&r->st[0].lock);
	r->st[0].room = 0;
	pthread_mutex_unlock(&r->st[0].lock);
	for (unsigned int i = 0; i < 5; i++) {
		frame_udp(&frame, FAR, GUEST, 100 + i);
		peer_sends(r, 0, VNI, &frame);
	}
	assert_true(wait_until(stats(r).rx_waits > 0, WAIT_MS));
	test_port_refill(&r->st[0], 100);
	/* On a slow machine the first may have waited too long; then it is counted. */
	assert_true(wait_until(
		came(r, 0, NULL) + atomic_load(&r->st[0].port.stats.drops[VSW_DROP_NO_BUFFER]) == 5,
		WAIT_MS));
}

/* A port that goes while its packets wait takes them along, and the tunnel goes on. */
static void test_port_goes(void **state)
{
	struct rig *r = *state;
	struct vxlan_port_conf pc = {.name = "one/vxlan", .vni = VNI, .learn = true};

	pthread_mutex_lock(&r->st[0].lock);
	r->st[0].room = 0;
	pthread_mutex_unlock(&r->st[0].lock);
	frame_udp(&frame, FAR, GUEST, 100);
	for (unsigned int i = 0; i < 3; i++)
		peer_sends(r, 0, VNI, &frame);
	assert_true(wait_until(stats(r).rx_waits > 0, WAIT_MS));
	vsw_port_detach(vxlan_port_port(r->vx[0]));
	vxlan_port_free(r->vx[0]);
	peer_sends(r, 0, VNI_TWO, &frame);
	must_come(r, 1, 1, &frame);
	assert_null(vxlan_port_new(r->t, &(struct vxlan_port_conf){.name = "x", .vni = VNI_TWO}));
	assert_int_equal(errno, EEXIST);
	assert_null(vxlan_port_new(r->t, &(struct vxlan_port_conf){.name = "x", .vni = 1 << 24}));
	assert_int_equal(errno, EINVAL);
	r->vx[0] = vxlan_port_new(r->t, &pc);
	assert_non_null(r->vx[0]);
	assert_int_equal(vsw_port_attach(r->net[0], vxlan_port_port(r->vx[0])), 0);
}

/* ---- sending ---- */

static void test_sends_to_set(void **state)
{
	struct rig *r = *state;
	uint16_t first, port;
	uint32_t vni;

	behind(r, FAR, 1);
	frame_udp(&frame, GUEST, FAR, 200);
	station_sends(r, &frame);
	assert_true(peer_hears(r, 1, &got, &vni, &first, WAIT_MS));
	assert_int_equal(vni, VNI);
	assert_memory_equal(got.data, frame.data, frame.len);
	/* One flow, one source port, which is not the one we listen at. */
	station_sends(r, &frame);
	assert_true(peer_hears(r, 1, &got, &vni, &port, WAIT_MS));
	assert_int_equal(port, first);
	assert_int_not_equal(port, PORT);
	/* What a peer claims does not move an address that was set. */
	frame_udp(&want, FAR, GUEST, 10);
	peer_sends(r, 2, VNI, &want);
	must_come(r, 0, 1, &want);
	station_sends(r, &frame);
	peer_must_hear(r, 1, &frame);
	assert_false(peer_hears(r, 2, &got, NULL, NULL, 0));
}

static void test_spreads_flows(void **state)
{
	struct rig *r = *state;
	uint16_t ports[64];
	unsigned int n = 0;

	behind(r, FAR, 0);
	for (unsigned int i = 0; i < 64; i++) {
		struct frame_spec s = {.ip = 4,
				       .proto = IPPROTO_UDP,
				       .sport = (uint16_t)(1000 + i),
				       .dport = 53,
				       .payload_len = 20};
		unsigned int k = 0;
		uint16_t port;

		frame_addr(&s, GUEST, FAR);
		frame_build(&frame, &s);
		station_sends(r, &frame);
		assert_true(peer_hears(r, 0, &got, NULL, &port, WAIT_MS));
		while (k < n && ports[k] != port)
			k++;
		if (k == n)
			ports[n++] = port;
	}
	assert_int_equal(n, 4);
}

static void test_floods(void **state)
{
	struct rig *r = *state;
	uint8_t list[4][16];

	frame_udp(&frame, GUEST, 0, 50);
	station_sends(r, &frame);
	assert_int_equal(drops(r, VSW_DROP_NO_REMOTE), 1);
	assert_int_equal(vxlan_flood_add(r->vx[0], r->addr[0]), 0);
	assert_int_equal(vxlan_flood_add(r->vx[0], r->addr[2]), 0);
	assert_int_equal(vxlan_flood_add(r->vx[0], r->addr[2]), 0);
	assert_int_equal(vxlan_floods(r->vx[0], list, 4), 2);
	station_sends(r, &frame);
	peer_must_hear(r, 0, &frame);
	peer_must_hear(r, 2, &frame);
	/* An address that nobody knows. */
	frame_udp(&frame, GUEST, 77, 50);
	station_sends(r, &frame);
	peer_must_hear(r, 0, &frame);
	peer_must_hear(r, 2, &frame);
	assert_int_equal(vxlan_flood_del(r->vx[0], r->addr[0]), 0);
	assert_int_equal(vxlan_flood_del(r->vx[0], r->addr[0]), -ENOENT);
	station_sends(r, &frame);
	peer_must_hear(r, 2, &frame);
	assert_false(peer_hears(r, 0, &got, NULL, NULL, 0));
	assert_false(peer_hears(r, 1, &got, NULL, NULL, 0));
	/* A frame counts once, however many hosts get it. */
	assert_int_equal(atomic_load(&vxlan_port_port(r->vx[0])->stats.rx_packets), 3);
}

/* A flood of a large packet: each host gets each segment, in order. */
static void test_floods_large(void **state)
{
	struct rig *r = *state;
	struct frame_spec s = {
		.ip = 4, .proto = IPPROTO_TCP, .sport = 1, .dport = 2, .payload_len = 60000};

	for (unsigned int i = 0; i < N_PEERS; i++)
		assert_int_equal(vxlan_flood_add(r->vx[0], r->addr[i]), 0);
	frame_addr(&s, GUEST, FAR);
	frame_build(&frame, &s);
	want = frame;
	frame_make_partial(&frame, true);
	station_sends_key(r, &frame, PKT_GSO_TCP | PKT_CSUM_L4 | PKT_CSUM_IP, 1000, NULL);
	for (unsigned int seg = 0; seg < 60; seg++) {
		static struct frame one;

		assert_true(frame_segment(&want, 1000, seg, &one));
		for (unsigned int i = 0; i < N_PEERS; i++)
			peer_must_hear(r, i, &one);
	}
}

static void test_unknown_is_dropped(void **state)
{
	struct rig *r = *state;

	assert_int_equal(vxlan_flood_add(r->vx[0], r->addr[0]), 0);
	frame_udp(&frame, GUEST, 77, 50);
	station_sends(r, &frame);
	assert_int_equal(drops(r, VSW_DROP_NO_REMOTE), 1);
	frame_udp(&frame, GUEST, 0, 50);
	station_sends(r, &frame);
	peer_must_hear(r, 0, &frame);
}

/* Policy's order goes before the table; where a packet came from is no order. */
static void test_tunnel_key(void **state)
{
	struct rig *r = *state;
	struct pkt_tunnel key = {.set = true, .vni = 0x123456};
	uint32_t vni;

	behind(r, FAR, 0);
	memcpy(key.remote, r->addr[1], 16);
	frame_udp(&frame, GUEST, FAR, 50);
	station_sends_key(r, &frame, 0, 0, &key);
	assert_true(peer_hears(r, 1, &got, &vni, NULL, WAIT_MS));
	assert_int_equal(vni, 0x123456);
	key.received = true;
	station_sends_key(r, &frame, 0, 0, &key);
	peer_must_hear(r, 0, &frame);
	assert_false(peer_hears(r, 1, &got, NULL, NULL, 0));
	/* An order that cannot be obeyed. */
	key.received = false;
	assert_int_equal(addr_parse(key.remote, "fd00::1"), 0);
	station_sends_key(r, &frame, 0, 0, &key);
	assert_int_equal(drops(r, VSW_DROP_NO_REMOTE), 1);
}

static void test_cuts_large(void **state)
{
	struct rig *r = *state;
	struct frame_spec s = {.ip = 6,
			       .proto = IPPROTO_TCP,
			       .sport = 1,
			       .dport = 2,
			       .payload_len = 64000,
			       .tcp_flags = 0x18};
	unsigned int n = 0;

	behind(r, FAR, 0);
	frame_addr(&s, GUEST, FAR);
	frame_build(&frame, &s);
	want = frame;
	frame_make_partial(&frame, true);
	station_sends_key(r, &frame, PKT_GSO_TCP | PKT_CSUM_L4, 1400, NULL);
	for (; n < 46; n++) {
		static struct frame one;

		assert_true(frame_segment(&want, 1400, n, &one));
		peer_must_hear(r, 0, &one);
	}
	assert_int_equal(stats(r).tx, 46);
	assert_true(stats(r).tx_batches <= 2);
}

static void test_table_is_bounded(void **state)
{
	struct rig *r = *state;
	uint8_t mac[6], other[16];

	for (unsigned int i = 0; i < 4; i++)
		behind(r, 100 + i, i % 2);
	frame_mac(mac, 104);
	assert_int_equal(vxlan_mac_set(r->vx[0], mac, r->addr[0]), -ENOSPC);
	frame_udp(&frame, FAR, GUEST, 20);
	peer_sends(r, 0, VNI, &frame);
	must_come(r, 0, 1, &frame);
	assert_int_equal(vxlan_macs(r->vx[0], NULL, 0), 4);
	frame_mac(mac, 100);
	assert_int_equal(vxlan_mac_del(r->vx[0], mac), 0);
	assert_int_equal(vxlan_mac_del(r->vx[0], mac), -ENOENT);
	/* Two hosts are all that it may know. */
	assert_int_equal(vxlan_mac_set(r->vx[0], mac, r->addr[2]), -ENOSPC);
	assert_true(stats(r).table_full > 0);
	assert_int_equal(addr_parse(other, "fd00::1"), 0);
	assert_int_equal(vxlan_flood_add(r->vx[0], other), -EAFNOSUPPORT);
	mac[0] |= 1;
	assert_int_equal(vxlan_mac_set(r->vx[0], mac, r->addr[0]), -EINVAL);
}

/* ---- too big ---- */

static void test_too_big(void **state)
{
	struct rig *r = *state;
	struct frame_spec s = {.ip = 4, .proto = IPPROTO_UDP, .payload_len = 573, .frag = 0x4000};
	const uint8_t *icmp;

	behind(r, FAR, 0);
	frame_addr(&s, GUEST, FAR);
	s.payload_len = 572; /* 600 of IP */
	frame_build(&frame, &s);
	station_sends(r, &frame);
	peer_must_hear(r, 0, &frame);
	s.payload_len = 573;
	frame_build(&frame, &s);
	station_sends(r, &frame);
	assert_int_equal(drops(r, VSW_DROP_TOO_BIG), 1);
	assert_true(wait_until(came(r, 0, &got) == 1, WAIT_MS));
	assert_true(frame_parse(&got));
	icmp = got.data + got.l4;
	assert_int_equal(got.proto, IPPROTO_ICMP);
	assert_memory_equal(icmp, ((uint8_t[]){3, 4}), 2);
	assert_int_equal(be16_load(icmp + 6), 600);
	assert_true(frame_l4_sum_ok(&got) && frame_ip_sum_ok(&got));
	/* From whom it was for, to whom it was from. */
	assert_memory_equal(got.data, frame.data + 6, 6);
	assert_memory_equal(got.data + 6, frame.data, 6);
	assert_memory_equal(got.data + got.l3 + 12, frame.data + frame.l3 + 16, 4);
	assert_memory_equal(icmp + 8, frame.data + frame.l3, 28);
	s.ip = 6;
	frame_addr(&s, GUEST, FAR);
	frame_build(&frame, &s);
	station_sends(r, &frame);
	assert_true(wait_until(came(r, 0, &got) == 2, WAIT_MS));
	assert_true(frame_parse(&got));
	icmp = got.data + got.l4;
	assert_int_equal(got.proto, IPPROTO_ICMPV6);
	assert_memory_equal(icmp, ((uint8_t[]){2, 0}), 2);
	assert_int_equal(be32_load(icmp + 4), 600);
	assert_true(frame_l4_sum_ok(&got));
}

/* The segment size is the sender's: it is told, not cut smaller. And not told without end. */
static void test_too_big_large(void **state)
{
	struct rig *r = *state;
	struct frame_spec s = {.ip = 4, .proto = IPPROTO_TCP, .payload_len = 20000, .frag = 0x4000};

	behind(r, FAR, 0);
	frame_addr(&s, GUEST, FAR);
	frame_build(&frame, &s);
	frame_make_partial(&frame, true);
	for (unsigned int i = 0; i < 100; i++)
		station_sends_key(r, &frame, PKT_GSO_TCP | PKT_CSUM_L4 | PKT_CSUM_IP, 1400, NULL);
	assert_int_equal(stats(r).too_big, 1500);
	assert_int_equal(drops(r, VSW_DROP_TOO_BIG), 1500);
	assert_true(stats(r).replies >= 1 && stats(r).replies < 100);
	assert_int_equal(stats(r).replies + stats(r).replies_limited, 100);
	assert_true(wait_until(came(r, 0, &got) == stats(r).replies, WAIT_MS));
	assert_false(peer_hears(r, 0, &got, NULL, NULL, 0));
}

static void test_names(void **state)
{
	(void)state;
	for (int i = VXLAN_SUM_DEFAULT; i <= VXLAN_SUM_NEVER; i++)
		assert_int_equal(vxlan_sum_parse(vxlan_sum_name((enum vxlan_sum)i)), i);
	assert_int_equal(vxlan_sum_parse("perhaps"), -EINVAL);
}

/* The port that somebody has already, and families that are none. */
static void test_sockets(void **state)
{
	struct rig *r = *state;
	struct sockaddr_storage local = {0};
	struct vxlan_sockets s;

	memcpy(&local, &r->own, sizeof(r->own));
	assert_int_equal(vxlan_sockets_open(&s, &local, 1), -EADDRINUSE);
	assert_int_equal(s.rx, -1);
	assert_int_equal(vxlan_sockets_open(&s, &local, VXLAN_MAX_FLOWS + 1), -EINVAL);
	local.ss_family = AF_UNIX;
	assert_int_equal(vxlan_sockets_open(&s, &local, 1), -EAFNOSUPPORT);
}

int main(void)
{
#define WITH(test, ...)                                                                            \
	{                                                                                          \
#test, test, setup, teardown, &(struct setting)                                    \
		{                                                                                  \
			__VA_ARGS__                                                                \
		}                                                                                  \
	}
	const struct CMUnitTest tests[] = {
		WITH(test_receives, .mtu = 0),
		WITH(test_rejects, .mtu = 0),
		WITH(test_known_only, .known_only = true),
		WITH(test_waits, .mtu = 0),
		WITH(test_port_goes, .mtu = 0),
		WITH(test_sends_to_set, .mtu = 0),
		WITH(test_spreads_flows, .mtu = 0),
		WITH(test_floods, .mtu = 0),
		WITH(test_floods_large, .mtu = 0),
		WITH(test_unknown_is_dropped, .drop_unknown = true),
		WITH(test_tunnel_key, .mtu = 0),
		WITH(test_cuts_large, .mtu = 0),
		WITH(test_cuts_large, .sum = VXLAN_SUM_ALWAYS),
		WITH(test_table_is_bounded, .max_macs = 4, .max_remotes = 2),
		WITH(test_too_big, .mtu = 600),
		WITH(test_too_big_large, .mtu = 600),
		WITH(test_sockets, .mtu = 0),
		cmocka_unit_test(test_names),
	};
	int rc;

	test_thread_register();
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	test_thread_unregister();
	return rc;
}
