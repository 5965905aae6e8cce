/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The VXLAN port against the kernel's own vxlan netdevice. Three namespaces:
 *
 *	guest			the switch (this test)		far
 *	tap0 10.42.0.1 --------	network, vxlan port
 *				u0 192.168.77.1 -------------	f0 192.168.77.2
 *				   fd77::1			   fd77::2
 *								vx0 10.42.0.2 (the kernel's)
 *
 * In the tests of path MTU a router with a narrow link stands between u0 and f0.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "netlab.h"
#include "tests/lib/wait.h"
#include "vsw_fixture.h"
#include "vswitch/ports/tap.h"
#include "vswitch/ports/vxlan.h"
#include "vswitch/route.h"

#define VNI	 42
#define GUEST	 "10.42.0.1"
#define FAR	 "10.42.0.2"
#define GUEST6	 "fd42::1"
#define FAR6	 "fd42::2"
#define FAR_HOST 21 /* frame_mac() of vx0 */
#define STATION	 22 /* and of the test's own port */

struct rig {
	int guest, far, mid;
	struct vsw *vsw;
	struct vsw_net *net;
	struct worker *worker;
	struct tap *tap;
	struct vxlan_tunnel *tunnel;
	struct vxlan_port *vx;
	struct test_port st;
	uint8_t remote[16];
};

/* What differs between tests. */
struct setting {
	bool ip6;	   /* outer */
	bool narrow;	   /* a router of MTU 1400 between */
	bool known_only;   /* and the far host is not set */
	bool no_far_vxlan; /* no netdevice there */
	enum vxlan_sum sum;
	unsigned int mtu; /* of the network; 0: 1450 or 1430 */
};

static const char *text_of_mac(unsigned int host)
{
	static char text[18];
	uint8_t m[6];

	frame_mac(m, host);
	snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4],
		 m[5]);
	return text;
}

static void underlay(struct rig *r, const struct setting *s)
{
	if (!s->narrow) {
		ns_veth(-1, "u0", r->far, "f0");
		ns_run(-1, "ip addr add 192.168.77.1/24 dev u0");
		ns_run(r->far, "ip addr add 192.168.77.2/24 dev f0");
		ns_run(-1, "ip addr add fd77::1/64 dev u0 nodad");
		ns_run(r->far, "ip addr add fd77::2/64 dev f0 nodad");
		return;
	}
	r->mid = ns_new();
	ns_veth(-1, "u0", r->mid, "m0");
	ns_veth(r->mid, "m1", r->far, "f0");
	ns_run(r->mid, "ip link set m1 mtu 1400");
	ns_run(r->far, "ip link set f0 mtu 1400");
	ns_run(-1, "ip addr add 192.168.78.1/24 dev u0 && ip addr add 192.168.77.1/32 dev lo && "
		   "ip route add 192.168.77.2 via 192.168.78.2 src 192.168.77.1");
	ns_run(-1, "ip addr add fd78::1/64 dev u0 nodad && ip addr add fd77::1/128 dev lo nodad && "
		   "ip route add fd77::2 via fd78::2 src fd77::1");
	ns_run(r->mid,
	       "ip addr add 192.168.78.2/24 dev m0 && ip addr add 192.168.79.2/24 dev m1 && "
	       "ip route add 192.168.77.1 via 192.168.78.1 && "
	       "ip route add 192.168.77.2 via 192.168.79.1 && "
	       "echo 1 >/proc/sys/net/ipv4/ip_forward");
	ns_run(r->mid,
	       "ip addr add fd78::2/64 dev m0 nodad && ip addr add fd79::2/64 dev m1 nodad && "
	       "ip route add fd77::1 via fd78::1 && ip route add fd77::2 via fd79::1 && "
	       "echo 1 >/proc/sys/net/ipv6/conf/all/forwarding");
	ns_run(r->far,
	       "ip addr add 192.168.79.1/24 dev f0 && ip addr add 192.168.77.2/32 dev lo && "
	       "ip route add 192.168.77.1 via 192.168.79.2 src 192.168.77.2");
	ns_run(r->far,
	       "ip addr add fd79::1/64 dev f0 nodad && ip addr add fd77::2/128 dev lo nodad && "
	       "ip route add fd77::1 via fd79::2 src fd77::2");
}

/*
 * The kernel leaves sums and segmentation of inner packets to the interface below, and a veth
 * leaves them to whoever receives: a UDP socket, which is not told. A NIC does them; so here the
 * kernel.
 */
static void like_a_nic(int ns, const char *ifname)
{
	ns_run(ns, "ethtool -K %s tx off >/dev/null", ifname);
}

static void far_vxlan(struct rig *r, const struct setting *s, unsigned int mtu)
{
	if (s->no_far_vxlan)
		return;
	ns_run(r->far, "ip link add name vx0 type vxlan id %d local %s remote %s dstport %d %s",
	       VNI, s->ip6 ? "fd77::2" : "192.168.77.2", s->ip6 ? "fd77::1" : "192.168.77.1",
	       VXLAN_UDP_PORT, s->sum == VXLAN_SUM_NEVER ? "noudpcsum" : "udpcsum");
	ns_run(r->far, "ip link set vx0 address %s mtu %u up", text_of_mac(FAR_HOST), mtu);
	ns_run(r->far, "ip addr add " FAR "/24 dev vx0 && ip addr add " FAR6 "/64 dev vx0 nodad");
}

static void make_tunnel(struct rig *r, const struct setting *s)
{
	struct vxlan_tunnel_conf tc = {.name = "t", .sum = s->sum, .known_only = s->known_only};
	struct vxlan_port_conf pc = {.name = "n/vxlan", .vni = VNI, .learn = true};
	struct sockaddr_storage local;
	struct vxlan_sockets socks;

	netlab_addr(&local, s->ip6 ? "fd77::1" : "192.168.77.1", 0);
	assert_int_equal(vxlan_sockets_open(&socks, &local, 0), 0);
	tc.sockets = &socks;
	r->tunnel = vxlan_tunnel_new(r->worker, &tc);
	assert_non_null(r->tunnel);
	r->vx = vxlan_port_new(r->tunnel, &pc);
	assert_non_null(r->vx);
	assert_int_equal(addr_parse(r->remote, s->ip6 ? "fd77::2" : "192.168.77.2"), 0);
	if (!s->known_only)
		assert_int_equal(vxlan_flood_add(r->vx, r->remote), 0);
}

static int setup(void **state)
{
	const struct setting *s = *state;
	unsigned int mtu = s->mtu ? s->mtu : s->ip6 ? 1430 : 1450;
	struct vsw_net_conf nc = {.name = "n", .mtu = mtu};
	struct worker_conf wc = {.name = "w0"};
	struct rig *r = calloc(1, sizeof(*r));

	r->mid = -1;
	r->guest = ns_new();
	r->far = ns_new();
	underlay(r, s);
	like_a_nic(r->far, "f0");
	far_vxlan(r, s, mtu);
	test_thread_register();
	r->worker = worker_new(&wc);
	r->vsw = vsw_new();
	r->net = vsw_net_add(r->vsw, &nc);
	r->tap = tap_new(r->worker, "g", ns_tap(r->guest, "tap0", "02:00:00:00:42:01", mtu), NULL,
			 0);
	assert_non_null(r->tap);
	ns_run(r->guest,
	       "ip addr add " GUEST "/24 dev tap0 && ip addr add " GUEST6 "/64 dev tap0 nodad");
	make_tunnel(r, s);
	test_port_init(&r->st, STATION);
	assert_int_equal(vsw_port_attach(r->net, tap_port(r->tap)), 0);
	assert_int_equal(vsw_port_attach(r->net, vxlan_port_port(r->vx)), 0);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	vsw_port_detach(tap_port(r->tap));
	vsw_port_detach(vxlan_port_port(r->vx));
	vsw_port_detach(&r->st.port);
	test_port_clear(&r->st);
	tap_free(r->tap);
	vxlan_port_free(r->vx);
	vxlan_tunnel_free(r->tunnel);
	assert_int_equal(vsw_net_del(r->net), 0);
	vsw_free(r->vsw);
	worker_free(r->worker);
	ns_try(-1, "ip link del u0");
	ns_try(-1, "ip addr flush dev lo scope global 2>/dev/null; ip -6 addr flush dev lo scope "
		   "global");
	ns_close(&r->guest);
	ns_close(&r->far);
	ns_close(&r->mid);
	free(r);
	test_thread_unregister();
	return 0;
}

static void station_joins(struct rig *r)
{
	assert_int_equal(vsw_port_attach(r->net, &r->st.port), 0);
}

static struct vxlan_stats stats(struct rig *r)
{
	struct vxlan_stats st;

	vxlan_get_stats(r->tunnel, &st);
	return st;
}

/* ---- tests ---- */

static void bulk_both_ways(struct rig *r, const char *guest, const char *far, unsigned int mtu)
{
	struct bulk b = {.from = r->guest, .to = r->far, .addr = far, .bytes = 8u << 20};
	uint64_t gso;

	assert_true(ns_bulk(&b));
	assert_int_equal(b.mtu, mtu);
	gso = atomic_load(&tap_port(r->tap)->stats.tx_gso);
	assert_true(gso > 0);
	b = (struct bulk){.from = r->far, .to = r->guest, .addr = guest, .bytes = 8u << 20};
	assert_true(ns_bulk(&b));
}

static void test_ping_and_tcp(void **state)
{
	struct rig *r = *state;
	struct vxlan_stats st;

	assert_true(ns_ping(r->guest, FAR, 56, true));
	assert_true(ns_ping(r->far, GUEST, 1400, true));
	assert_true(ns_ping(r->guest, FAR6, 56, true));
	bulk_both_ways(r, GUEST, FAR, vsw_net_mtu(r->net));
	bulk_both_ways(r, GUEST6, FAR6, vsw_net_mtu(r->net));
	st = stats(r);
	print_message("sent %lu in %lu batches, received %lu, errors %lu, waits %lu\n", st.tx,
		      st.tx_batches, st.rx, st.tx_errors, st.rx_waits);
	assert_int_equal(st.too_big, 0);
	assert_int_equal(st.rx_short + st.rx_flags + st.rx_vni + st.rx_peer, 0);
}

/* Segments of large packets went to the kernel in batches: few sends for many datagrams. */
static void test_batches(void **state)
{
	struct rig *r = *state;
	struct vxlan_stats st;

	bulk_both_ways(r, GUEST, FAR, vsw_net_mtu(r->net));
	st = stats(r);
	assert_true(st.tx_batches > 50);
	assert_true(st.tx_batches < st.tx / 4);
}

static void test_no_batches(void **state)
{
	struct rig *r = *state;

	bulk_both_ways(r, GUEST, FAR, vsw_net_mtu(r->net));
	assert_int_equal(stats(r).tx_batches, 0);
}

static struct frame big, want, got;

/* The next frame on a packet socket that is to or from @host's MAC. */
static bool hear(int s, struct frame *f, unsigned int from)
{
	struct pollfd p = {.fd = s, .events = POLLIN};
	uint8_t mac[6];

	frame_mac(mac, from);
	while (poll(&p, 1, WAIT_MS) > 0) {
		ssize_t n = recv(s, f->data, sizeof(f->data), 0);

		if (n >= 14 && !memcmp(f->data + 6, mac, 6)) {
			f->len = (uint32_t)n;
			return true;
		}
	}
	return false;
}

static void station_sends(struct rig *r, struct frame *f, uint32_t flags, uint16_t gso)
{
	static struct pkt pkt;
	struct pkt *p = &pkt;

	pkt_of_frame(p, f, 700);
	p->flags |= flags;
	p->gso_size = gso;
	assert_int_equal(vsw_send(&r->st.port, &p, 1), 1);
}

/* A large packet with all debts arrives at the kernel's vxlan as the segments it stands for. */
static void test_bytes_out(void **state)
{
	struct rig *r = *state;
	struct frame_spec s = {.ip = 4,
			       .proto = IPPROTO_TCP,
			       .sport = 1000,
			       .dport = 2000,
			       .payload_len = 30000,
			       .seed = 5,
			       .tcp_flags = 0x18};
	int vx0 = ns_packet_socket(r->far, "vx0");

	station_joins(r);
	ns_try(r->far, "ethtool -K vx0 gro off >/dev/null");
	ns_try(r->far, "ethtool -K f0 gro off >/dev/null");
	frame_addr(&s, STATION, FAR_HOST);
	frame_build(&big, &s);
	want = big;
	frame_make_partial(&big, true);
	station_sends(r, &big, PKT_GSO_TCP | PKT_CSUM_L4 | PKT_CSUM_IP, 1380);
	for (unsigned int i = 0; i < 22; i++) {
		static struct frame seg;

		assert_true(hear(vx0, &got, STATION));
		assert_true(frame_segment(&want, 1380, i, &seg));
		assert_int_equal(got.len, seg.len);
		assert_memory_equal(got.data, seg.data, seg.len);
	}
	close(vx0);
}

static bool is_there(struct rig *r, const struct frame *f)
{
	bool found = false;

	pthread_mutex_lock(&r->st.lock);
	for (unsigned int i = 0; i < r->st.n && !found; i++)
		found = r->st.frame[i].len == f->len &&
			!memcmp(r->st.frame[i].data, f->data, f->len);
	pthread_mutex_unlock(&r->st.lock);
	return found;
}

/* The station gets exactly this frame. */
static bool heard(struct rig *r, const struct frame *f)
{
	return wait_until(is_there(r, f), WAIT_MS);
}

/* And the other way: what the kernel's vxlan sends, byte by byte. */
static void test_bytes_in(void **state)
{
	struct rig *r = *state;
	int vx0 = ns_packet_socket(r->far, "vx0");

	station_joins(r);
	for (unsigned int i = 0; i < 40; i++) {
		frame_udp(&want, FAR_HOST, STATION, 10 + i * 35);
		assert_int_equal(send(vx0, want.data, want.len, 0), want.len);
		assert_true(heard(r, &want));
	}
	close(vx0);
}

/* The outer headers, as the wire has them. */
static void test_outer(void **state)
{
	struct rig *r = *state;
	int f0 = ns_packet_socket(r->far, "f0");
	const uint8_t *udp, *vx;
	bool v6 = addr_is_4(r->remote) == 0;

	station_joins(r);
	frame_udp(&want, STATION, FAR_HOST, 600);
	station_sends(r, &want, 0, 0);
	do {
		struct pollfd p = {.fd = f0, .events = POLLIN};
		ssize_t n;

		assert_int_equal(poll(&p, 1, WAIT_MS), 1);
		n = recv(f0, got.data, sizeof(got.data), 0);
		got.len = n > 0 ? (uint32_t)n : 0;
	} while (!frame_parse(&got) || got.proto != IPPROTO_UDP ||
		 got.len < got.payload + 8u + want.len);
	udp = got.data + got.l4;
	vx = got.data + got.payload;
	assert_int_equal(udp[2] << 8 | udp[3], VXLAN_UDP_PORT);
	assert_memory_equal(vx, ((uint8_t[]){8, 0, 0, 0, 0, 0, VNI, 0}), 8);
	assert_int_equal(got.len, got.payload + 8 + want.len);
	assert_memory_equal(vx + 8, want.data, want.len);
	if (v6) {
		assert_true(udp[6] || udp[7]);
	} else {
		assert_int_equal(got.data[got.l3 + 6] & 0x40, 0x40); /* don't fragment */
		assert_int_equal(udp[6] << 8 | udp[7], 0);	     /* no checksum */
	}
	close(f0);
}

/* The path narrows behind our own link: the guest's TCP is told, believes it, and goes on. */
static void test_path_mtu(void **state)
{
	struct rig *r = *state;
	bool v6 = addr_is_4(r->remote) == 0;
	struct bulk b = {.from = r->guest, .to = r->far, .addr = FAR, .bytes = 4u << 20};
	struct vxlan_remote_info info[4];
	size_t n;

	assert_true(ns_bulk(&b));
	assert_int_equal(b.mtu, v6 ? 1400 - VXLAN_OVERHEAD6 : 1400 - VXLAN_OVERHEAD4);
	b.addr = FAR6;
	assert_true(ns_bulk(&b));
	assert_int_equal(b.mtu, v6 ? 1400 - VXLAN_OVERHEAD6 : 1400 - VXLAN_OVERHEAD4);
	assert_true(stats(r).replies > 0);
	assert_true(stats(r).too_big > 0);
	n = vxlan_remotes(r->tunnel, info, 4);
	assert_int_equal(n, 1);
	assert_int_equal(info[0].path_mtu, 1400);
	assert_true(atomic_load(&vxlan_port_port(r->vx)->stats.drops[VSW_DROP_TOO_BIG]) > 0);
	/* What fits goes, one byte more does not. */
	assert_true(ns_ping(r->guest, FAR, b.mtu - 28, true));
	assert_false(ns_try(r->guest, "ping -n -q -c 1 -w 1 -M do -s %u " FAR " >/dev/null 2>&1",
			    b.mtu - 27) == 0);
}

static void test_unknown_peer(void **state)
{
	struct rig *r = *state;

	ns_try(r->far, "ping -n -q -c 1 -w 1 " GUEST " >/dev/null 2>&1");
	assert_true(wait_until(stats(r).rx_peer > 0, WAIT_MS));
	assert_int_equal(atomic_load(&vxlan_port_port(r->vx)->stats.tx_packets), 0);
	assert_int_equal(vxlan_flood_add(r->vx, r->remote), 0);
	assert_true(ns_ping(r->far, GUEST, 56, true));
	vxlan_remote_forget(r->vx, r->remote);
	ns_try(r->guest, "ip neigh flush dev tap0");
	assert_false(ns_try(r->guest, "ping -n -q -c 1 -w 1 " FAR " >/dev/null 2>&1") == 0);
}

/* No route to the host: told apart from everything else. */
static void test_no_route(void **state)
{
	struct rig *r = *state;
	uint8_t other[16], mac[6];

	station_joins(r);
	frame_mac(mac, 33);
	assert_int_equal(addr_parse(other, "203.0.113.7"), 0);
	assert_int_equal(vxlan_mac_set(r->vx, mac, other), 0);
	frame_udp(&want, STATION, 33, 100);
	station_sends(r, &want, 0, 0);
	assert_int_equal(atomic_load(&vxlan_port_port(r->vx)->stats.drops[VSW_DROP_NO_ROUTE]), 1);
	/* An order to a host of the other family is nothing that can be obeyed. */
	assert_int_equal(addr_parse(other, "fd77::9"), 0);
	assert_int_equal(vxlan_mac_set(r->vx, mac, other), -EAFNOSUPPORT);
}

/* With an argument: those tests only, as a pattern (kernel.vxlan 'test_p*'). */
int main(int argc, char **argv)
{
#define WITH(test, ...)                                                                            \
	{                                                                                          \
#test, test, setup, teardown, &(struct setting)                                    \
		{                                                                                  \
			__VA_ARGS__                                                                \
		}                                                                                  \
	}
	const struct CMUnitTest tests[] = {
		WITH(test_ping_and_tcp, .ip6 = false),
		WITH(test_ping_and_tcp, .ip6 = true),
		WITH(test_batches, .sum = VXLAN_SUM_ALWAYS),
		WITH(test_no_batches, .sum = VXLAN_SUM_NEVER),
		WITH(test_bytes_out, .ip6 = false),
		WITH(test_bytes_out, .ip6 = true),
		WITH(test_bytes_in, .ip6 = false),
		WITH(test_outer, .no_far_vxlan = true),
		WITH(test_outer, .ip6 = true, .no_far_vxlan = true),
		WITH(test_path_mtu, .narrow = true),
		WITH(test_path_mtu, .narrow = true, .ip6 = true),
		WITH(test_unknown_peer, .known_only = true),
		WITH(test_no_route, .no_far_vxlan = true),
	};

	if (!netlab_begin())
		return 1;
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
