/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The TAP port against the running kernel: large and unsummed packets in both directions, and the
 * end of the interface. Needs a network namespace of its own.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/util.h"
#include "tests/lib/wait.h"
#include "vsw_fixture.h"
#include "vswitch/ports/tap.h"

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4 /* Linux 6.2 */
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

#define TAP_NAME "hvt0"
#define HERE	 7 /* frame_mac() of the TAP's side, and of the station's */
#define THERE	 9

struct rig {
	struct vsw *vsw;
	struct vsw_net *net;
	struct worker *worker;
	struct tap *tap;
	struct test_port st;
	int sock; /* the kernel's side */
	int own;  /* a second descriptor of the TAP */
};

static int tap_open(short flags)
{
	struct ifreq ifr = {.ifr_flags = flags};
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		fail_msg("/dev/net/tun: %s", strerror(errno));
	strcpy(ifr.ifr_name, TAP_NAME);
	if (ioctl(fd, TUNSETIFF, &ifr))
		fail_msg("TUNSETIFF: %s", strerror(errno));
	return fd;
}

static int link_up(void)
{
	struct ifreq ifr = {.ifr_flags = IFF_UP | IFF_NOARP};
	struct sockaddr_ll ll = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP)};
	int s = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_IP)), on = 1;

	assert_true(s >= 0);
	strcpy(ifr.ifr_name, TAP_NAME);
	assert_int_equal(ioctl(s, SIOCSIFFLAGS, &ifr), 0);
	ll.sll_ifindex = (int)if_nametoindex(TAP_NAME);
	assert_int_equal(setsockopt(s, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)), 0);
	assert_int_equal(bind(s, (struct sockaddr *)&ll, sizeof(ll)), 0);
	return s;
}

static int setup_with(void **state, uint32_t flags)
{
	struct vsw_net_conf nc = {.name = "n", .mtu = 1500};
	struct worker_conf wc = {.name = "w0"};
	struct rig *r = calloc(1, sizeof(*r));
	uint8_t mac[6];
	int fd;

	*state = r;
	test_thread_register();
	r->worker = worker_new(&wc);
	r->vsw = vsw_new();
	r->net = vsw_net_add(r->vsw, &nc);
	fd = tap_open(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR);
	frame_mac(mac, HERE);
	r->own = dup(fd);
	r->tap = tap_new(r->worker, "up", fd, mac, flags);
	assert_non_null(r->tap);
	r->sock = link_up();
	test_port_init(&r->st, THERE);
	assert_int_equal(vsw_port_attach(r->net, tap_port(r->tap)), 0);
	assert_int_equal(vsw_port_attach(r->net, &r->st.port), 0);
	return 0;
}

static int setup(void **state)
{
	return setup_with(state, 0);
}

static int setup_no_tso(void **state)
{
	return setup_with(state, KPORT_NO_TSO);
}

static int setup_no_csum(void **state)
{
	return setup_with(state, KPORT_NO_CSUM);
}

static int teardown(void **state)
{
	struct rig *r = *state;

	vsw_port_detach(&r->st.port);
	if (r->tap)
		vsw_port_detach(tap_port(r->tap));
	tap_free(r->tap);
	test_port_clear(&r->st);
	close(r->sock);
	if (r->own >= 0)
		close(r->own);
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

	pthread_mutex_lock(&r->st.lock);
	n = r->st.n;
	pthread_mutex_unlock(&r->st.lock);
	return n;
}

static void kernel_sends(struct rig *r, const struct frame *f, const struct virtio_net_hdr *h)
{
	struct iovec iov[2] = {{(void *)h, sizeof(*h)}, {(void *)f->data, f->len}};

	if (writev(r->sock, iov, 2) < 0)
		fail_msg("packet socket: %s", strerror(errno));
}

static void tcp_frame(struct frame *f, unsigned int from, unsigned int to, uint32_t payload)
{
	struct frame_spec s = {.ip = 4,
			       .proto = IPPROTO_TCP,
			       .sport = 1000,
			       .dport = 2000,
			       .payload_len = payload,
			       .seed = 5,
			       .tcp_flags = 0x18};

	frame_addr(&s, from, to);
	frame_build(f, &s);
}

static struct frame big, want, got;

static void large_from_kernel(struct rig *r)
{
	struct virtio_net_hdr h = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
				   .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
				   .gso_size = 1448};

	tcp_frame(&big, HERE, THERE, 20000);
	h.hdr_len = big.payload;
	h.csum_start = big.l4;
	h.csum_offset = 16;
	want = big;
	frame_make_partial(&big, false);
	kernel_sends(r, &big, &h);
	assert_true(wait_until(arrived(r) == 14, WAIT_MS));
	for (unsigned int i = 0; i < 14; i++) {
		assert_true(frame_segment(&want, 1448, i, &got));
		assert_int_equal(r->st.frame[i].len, got.len);
		assert_memory_equal(r->st.frame[i].data, got.data, got.len);
	}
}

/* The kernel's large packet is cut and summed on its way to a port that takes neither. */
static void test_large_from_kernel(void **state)
{
	struct rig *r = *state;

	large_from_kernel(r);
	/* It came as one. */
	assert_true(wait_until(atomic_load(&tap_port(r->tap)->stats.tx_gso) == 1, WAIT_MS));
}

/* Without TSO, or checksums: the kernel cuts it before we see it. */
static void test_large_from_kernel_without(void **state)
{
	struct rig *r = *state;

	large_from_kernel(r);
	assert_true(wait_until(atomic_load(&tap_port(r->tap)->stats.tx_packets) == 14, WAIT_MS));
	assert_int_equal(atomic_load(&tap_port(r->tap)->stats.tx_gso), 0);
}

static void test_unsummed_from_kernel(void **state)
{
	struct rig *r = *state;
	struct virtio_net_hdr h = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_offset = 6};

	frame_udp(&big, HERE, THERE, 700);
	want = big;
	h.csum_start = big.l4;
	frame_make_partial(&big, false);
	kernel_sends(r, &big, &h);
	assert_true(wait_until(arrived(r) == 1, WAIT_MS));
	assert_int_equal(r->st.frame[0].len, want.len);
	assert_memory_equal(r->st.frame[0].data, want.data, want.len);
}

/* A sum where the parser sees no L4 header of its own: made on the way in. */
static void test_sum_elsewhere(void **state)
{
	struct rig *r = *state;
	struct virtio_net_hdr h = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_offset = 6};
	static struct frame outer;
	uint32_t inner;

	/* UDP in UDP, as in a tunnel; the inner sum is owed. */
	frame_udp(&want, HERE, THERE, 64);
	frame_udp(&outer, HERE, THERE, 14 + want.len);
	inner = outer.payload + 14u;
	memcpy(outer.data + inner, want.data, want.len);
	memset(outer.data + outer.l4 + 6, 0, 2); /* the outer one is none */
	h.csum_start = (uint16_t)(inner + want.l4);
	frame_make_partial(&want, false);
	memcpy(outer.data + inner, want.data, want.len);
	kernel_sends(r, &outer, &h);
	assert_true(wait_until(arrived(r) == 1, WAIT_MS));
	frame_udp(&want, HERE, THERE, 64);
	memcpy(outer.data + inner, want.data, want.len);
	assert_int_equal(r->st.frame[0].len, outer.len);
	assert_memory_equal(r->st.frame[0].data, outer.data, outer.len);
}

/* No buffers at the receiver: the packet waits, those behind it stay with the kernel. */
static void test_waits_for_buffers(void **state)
{
	struct rig *r = *state;
	struct virtio_net_hdr h = {0};

	pthread_mutex_lock(&r->st.lock);
	r->st.room = 0;
	pthread_mutex_unlock(&r->st.lock);
	for (unsigned int i = 0; i < 5; i++) {
		frame_udp(&big, HERE, THERE, 100 + i);
		kernel_sends(r, &big, &h);
	}
	assert_true(wait_until(atomic_load(&r->st.port.n_waiters) > 0, WAIT_MS));
	test_port_refill(&r->st, 5);
	assert_true(wait_until(arrived(r) >= 4, WAIT_MS));
	/* On a slow machine the first may have waited too long; then it is counted. */
	assert_true(wait_until(
		arrived(r) + atomic_load(&r->st.port.stats.drops[VSW_DROP_NO_BUFFER]) == 5,
		WAIT_MS));
	assert_int_equal(r->st.frame[arrived(r) - 1].len, big.len);
}

/* What the kernel hands up behind its vnet header: bytes. */
static ssize_t kernel_hears(struct rig *r, struct virtio_net_hdr *h, struct frame *f)
{
	struct iovec iov[2] = {{h, sizeof(*h)}, {f->data, sizeof(f->data)}};
	struct pollfd p = {.fd = r->sock, .events = POLLIN};
	ssize_t n;

	if (poll(&p, 1, WAIT_MS) <= 0)
		return 0;
	n = readv(r->sock, iov, 2);
	f->len = n > (ssize_t)sizeof(*h) ? (uint32_t)n - (uint32_t)sizeof(*h) : 0;
	return n;
}

static void station_sends(struct rig *r, struct frame *f, uint32_t flags, uint16_t gso)
{
	static struct pkt pkt;
	struct pkt *p = &pkt;

	pkt_of_frame(p, f, 0);
	p->flags |= flags;
	p->gso_size = gso;
	assert_int_equal(vsw_send(&r->st.port, &p, 1), 1);
}

static void test_large_to_kernel(void **state)
{
	struct rig *r = *state;
	struct virtio_net_hdr h;

	tcp_frame(&big, THERE, HERE, 30000);
	want = big;
	frame_make_partial(&big, true);
	station_sends(r, &big, PKT_GSO_TCP | PKT_CSUM_L4 | PKT_CSUM_IP, 1448);
	assert_true(kernel_hears(r, &h, &got) > 0);
	assert_int_equal(h.gso_type, VIRTIO_NET_HDR_GSO_TCPV4);
	assert_int_equal(h.gso_size, 1448);
	assert_int_equal(h.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM, VIRTIO_NET_HDR_F_NEEDS_CSUM);
	assert_int_equal(h.csum_start, want.l4);
	assert_int_equal(got.len, want.len);
	assert_memory_equal(got.data + want.payload, want.data + want.payload,
			    want.len - want.payload);
	assert_int_equal(atomic_load(&tap_port(r->tap)->stats.rx_packets), 1);
}

/* ... and we, before the kernel sees it. */
static void test_large_to_kernel_without(void **state)
{
	struct rig *r = *state;
	struct virtio_net_hdr h;

	tcp_frame(&big, THERE, HERE, 30000);
	want = big;
	frame_make_partial(&big, true);
	station_sends(r, &big, PKT_GSO_TCP | PKT_CSUM_L4 | PKT_CSUM_IP, 1448);
	for (unsigned int i = 0; i < 21; i++) {
		struct frame seg;

		assert_true(frame_segment(&want, 1448, i, &seg));
		assert_true(kernel_hears(r, &h, &got) > 0);
		assert_int_equal(h.gso_type, 0);
		assert_int_equal(h.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM, 0);
		assert_int_equal(got.len, seg.len);
		assert_memory_equal(got.data, seg.data, seg.len);
	}
	/* One that is not cut. */
	frame_udp(&big, THERE, HERE, 300);
	want = big;
	station_sends(r, &big, PKT_CSUM_L4, 0);
	assert_true(kernel_hears(r, &h, &got) > 0);
	assert_int_equal(h.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM,
			 atomic_load(&tap_port(r->tap)->caps) & VSW_CAP_CSUM
				 ? VIRTIO_NET_HDR_F_NEEDS_CSUM
				 : 0);
	assert_int_equal(got.len, want.len);
	if (!h.flags)
		assert_memory_equal(got.data, want.data, want.len);
}

static void test_small_to_kernel(void **state)
{
	struct rig *r = *state;
	struct virtio_net_hdr h;

	frame_udp(&big, THERE, HERE, 33);
	station_sends(r, &big, 0, 0);
	assert_true(kernel_hears(r, &h, &got) > 0);
	assert_int_equal(got.len, big.len);
	assert_memory_equal(got.data, big.data, big.len);
}

static bool kernel_has_uso(struct rig *r)
{
	if (atomic_load(&tap_port(r->tap)->caps) & VSW_CAP_USO)
		return true;
	print_message("this kernel knows no UDP segmentation of a TAP (Linux 6.2 does)\n");
	return false;
}

static void test_large_udp_from_kernel(void **state)
{
	struct rig *r = *state;
	struct virtio_net_hdr h = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
				   .gso_type = VIRTIO_NET_HDR_GSO_UDP_L4,
				   .gso_size = 1000,
				   .csum_offset = 6};

	if (!kernel_has_uso(r))
		skip();
	frame_udp(&big, HERE, THERE, 4500);
	want = big;
	h.hdr_len = big.payload;
	h.csum_start = big.l4;
	frame_make_partial(&big, false);
	kernel_sends(r, &big, &h);
	assert_true(wait_until(arrived(r) == 5, WAIT_MS));
	for (unsigned int i = 0; i < 5; i++) {
		const struct test_frame *f = &r->st.frame[i];

		memcpy(got.data, f->data, f->len);
		got.len = f->len;
		assert_true(frame_parse(&got));
		assert_true(frame_ip_sum_ok(&got) && frame_l4_sum_ok(&got));
		assert_int_equal(got.len - got.payload, i < 4 ? 1000 : 500);
		assert_memory_equal(got.data + got.payload, want.data + want.payload + i * 1000,
				    got.len - got.payload);
	}
	assert_true(wait_until(atomic_load(&tap_port(r->tap)->stats.tx_gso) == 1, WAIT_MS));
}

static void test_large_udp_to_kernel(void **state)
{
	struct rig *r = *state;
	struct virtio_net_hdr h;

	if (!kernel_has_uso(r))
		skip();
	frame_udp(&big, THERE, HERE, 4500);
	want = big;
	station_sends(r, &big, PKT_GSO_UDP | PKT_CSUM_L4 | PKT_CSUM_IP, 1000);
	assert_true(kernel_hears(r, &h, &got) > 0);
	assert_int_equal(h.gso_type, VIRTIO_NET_HDR_GSO_UDP_L4);
	assert_int_equal(h.gso_size, 1000);
	assert_int_equal(got.len, want.len);
	assert_memory_equal(got.data + want.payload, want.data + want.payload,
			    want.len - want.payload);
}

static uint64_t drops(struct rig *r, enum vsw_drop why)
{
	return atomic_load(&tap_port(r->tap)->stats.drops[why]);
}

static void test_too_big_for_the_network(void **state)
{
	struct rig *r = *state;

	frame_udp(&big, THERE, HERE, 3000);
	station_sends(r, &big, 0, 0);
	assert_int_equal(drops(r, VSW_DROP_TOO_BIG), 1);
}

/* The interface goes: what comes for it is dropped, the worker does not spin on it. */
static void test_interface_goes(void **state)
{
	struct rig *r = *state;
	struct worker_stats before, after;

	close(r->sock);
	close(r->own);
	r->own = -1;
	/* A namespace that ends takes its interfaces along; so does this request. */
	assert_int_equal(system("ip link del " TAP_NAME), 0);
	r->sock = open("/dev/null", O_RDONLY);
	frame_udp(&big, THERE, HERE, 33);
	assert_true(wait_until((station_sends(r, &big, 0, 0), drops(r, VSW_DROP_LINK_DOWN) > 0),
			       WAIT_MS));
	worker_get_stats(r->worker, &before);
	nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
	worker_get_stats(r->worker, &after);
	assert_true(after.turns - before.turns < 100);
}

static void test_wrong_descriptors(void **state)
{
	struct worker_conf wc = {.name = "w1"};
	struct worker *w = worker_new(&wc);
	uint8_t mac[6];
	int fd;

	(void)state;
	frame_mac(mac, HERE);
	assert_null(tap_new(w, "x", open("/dev/null", O_RDWR), mac, 0));
	assert_int_equal(errno, EBADFD);
	assert_null(tap_new(w, "x", open("/dev/net/tun", O_RDWR), mac, 0));
	assert_int_equal(errno, EBADFD);
	fd = tap_open(IFF_TAP | IFF_NO_PI);
	assert_null(tap_new(w, "x", fd, mac, 0));
	assert_int_equal(errno, EINVAL);
	/* It was closed. */
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	fd = tap_open(IFF_TUN | IFF_NO_PI | IFF_VNET_HDR);
	assert_null(tap_new(w, "x", fd, mac, 0));
	assert_int_equal(errno, EINVAL);
	worker_free(w);
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	static const struct CMUnitTest tests[] = {
		WITH(test_large_from_kernel),
		WITH(test_unsummed_from_kernel),
		WITH(test_sum_elsewhere),
		WITH(test_waits_for_buffers),
		WITH(test_large_to_kernel),
		WITH(test_small_to_kernel),
		WITH(test_large_udp_from_kernel),
		WITH(test_large_udp_to_kernel),
		WITH(test_too_big_for_the_network),
		WITH(test_interface_goes),
		cmocka_unit_test_setup_teardown(test_large_from_kernel_without, setup_no_tso,
						teardown),
		cmocka_unit_test_setup_teardown(test_large_to_kernel_without, setup_no_tso,
						teardown),
		cmocka_unit_test_setup_teardown(test_large_from_kernel_without, setup_no_csum,
						teardown),
		cmocka_unit_test_setup_teardown(test_large_to_kernel_without, setup_no_csum,
						teardown),
		cmocka_unit_test(test_wrong_descriptors),
	};
	int fd;

	if (unshare(CLONE_NEWNET)) {
		fprintf(stderr, "a network namespace: %s: this test needs CAP_SYS_ADMIN\n",
			strerror(errno));
		return 1;
	}
	/* No router solicitations among our frames; a kernel without IPv6 has no such file. */
	fd = open("/proc/sys/net/ipv6/conf/default/disable_ipv6", O_WRONLY);
	if (fd >= 0) {
		(void)!write(fd, "1", 1);
		close(fd);
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
