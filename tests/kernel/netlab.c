/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns namespaces for tests, and what runs in them. */
#include "netlab.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/lib/wait.h"

static int own = -1;

static int here(void)
{
	int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		fail_msg("/proc/thread-self/ns/net: %s", strerror(errno));
	return fd;
}

bool netlab_begin(void)
{
	if (unshare(CLONE_NEWNET)) {
		fprintf(stderr, "a network namespace: %s: this test needs CAP_SYS_ADMIN\n",
			strerror(errno));
		return false;
	}
	own = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (own < 0 || system("ip link set lo up")) {
		fprintf(stderr, "the ip command: this test needs iproute2\n");
		return false;
	}
	return true;
}

void ns_enter(int ns)
{
	if (setns(ns < 0 ? own : ns, CLONE_NEWNET))
		fail_msg("setns: %s", strerror(errno));
}

void ns_leave(void)
{
	ns_enter(-1);
}

int ns_new(void)
{
	int fd;

	if (unshare(CLONE_NEWNET))
		fail_msg("unshare: %s", strerror(errno));
	fd = here();
	ns_leave();
	ns_run(fd, "ip link set lo up");
	/* No waiting until an address is known to be unique. */
	ns_run(fd, "echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad");
	return fd;
}

void ns_close(int *ns)
{
	if (*ns >= 0)
		close(*ns);
	*ns = -1;
}

static int run(int ns, const char *fmt, va_list ap)
{
	char line[512];
	int rc;

	vsnprintf(line, sizeof(line), fmt, ap);
	ns_enter(ns);
	rc = system(line);
	ns_leave();
	return WIFEXITED(rc) ? WEXITSTATUS(rc) : 255;
}

void ns_run(int ns, const char *fmt, ...)
{
	va_list ap;
	int rc;

	va_start(ap, fmt);
	rc = run(ns, fmt, ap);
	va_end(ap);
	if (rc)
		fail_msg("status %d: %s", rc, fmt);
}

int ns_try(int ns, const char *fmt, ...)
{
	va_list ap;
	int rc;

	va_start(ap, fmt);
	rc = run(ns, fmt, ap);
	va_end(ap);
	return rc;
}

void ns_veth(int ns_a, const char *a, int ns_b, const char *b)
{
	ns_run(ns_a, "ip link add name %s type veth peer name %s netns /proc/%d/fd/%d", a, b,
	       getpid(), ns_b < 0 ? own : ns_b);
	ns_run(ns_a, "ip link set %s up", a);
	ns_run(ns_b, "ip link set %s up", b);
}

int ns_tap(int ns, const char *name, const char *mac, unsigned int mtu)
{
	struct ifreq ifr = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
	int fd;

	ns_enter(ns);
	fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		fail_msg("/dev/net/tun: %s", strerror(errno));
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	if (ioctl(fd, TUNSETIFF, &ifr))
		fail_msg("TUNSETIFF %s: %s", name, strerror(errno));
	ns_leave();
	ns_run(ns, "ip link set %s address %s mtu %u up", name, mac, mtu);
	return fd;
}

int ns_packet_socket(int ns, const char *ifname)
{
	struct sockaddr_ll ll = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
	int s;

	ns_enter(ns);
	s = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETH_P_ALL));
	assert_true(s >= 0);
	ll.sll_ifindex = (int)if_nametoindex(ifname);
	assert_int_equal(bind(s, (struct sockaddr *)&ll, sizeof(ll)), 0);
	ns_leave();
	return s;
}

socklen_t netlab_addr(struct sockaddr_storage *ss, const char *text, uint16_t port)
{
	struct sockaddr_in *in = (struct sockaddr_in *)ss;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ss;

	memset(ss, 0, sizeof(*ss));
	if (inet_pton(AF_INET, text, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		return sizeof(*in);
	}
	assert_int_equal(inet_pton(AF_INET6, text, &in6->sin6_addr), 1);
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(port);
	return sizeof(*in6);
}

bool ns_ping(int ns, const char *addr, unsigned int size, bool df)
{
	return ns_try(ns, "ping -n -q -c 1 -w 5 -s %u %s %s >/dev/null 2>&1", size,
		      df ? "-M do" : "-M dont", addr) == 0;
}

/* ---- bulk ---- */

#define CHUNK 32768

static uint8_t pattern(uint64_t at)
{
	return (uint8_t)(at ^ at >> 8 ^ at >> 17);
}

/* False: the connection is broken. */
static bool push(int s, const struct bulk *b, uint64_t *sent)
{
	uint8_t buf[CHUNK];

	while (*sent < b->bytes) {
		size_t n = MIN((uint64_t)sizeof(buf), b->bytes - *sent);
		ssize_t got;

		for (size_t i = 0; i < n; i++)
			buf[i] = pattern(*sent + i);
		got = send(s, buf, n, MSG_NOSIGNAL);
		if (got < 0)
			return errno == EAGAIN;
		*sent += (uint64_t)got;
	}
	return true;
}

static bool pull(int s, uint64_t *came)
{
	uint8_t buf[CHUNK];
	ssize_t n;

	while ((n = recv(s, buf, sizeof(buf), 0)) > 0) {
		for (ssize_t i = 0; i < n; i++)
			if (buf[i] != pattern(*came + (uint64_t)i))
				return false;
		*came += (uint64_t)n;
	}
	return n < 0 && errno == EAGAIN;
}

static int tcp_socket(int ns, int family)
{
	int s;

	ns_enter(ns);
	s = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	ns_leave();
	assert_true(s >= 0);
	return s;
}

static bool carry(int s, int r, struct bulk *b, uint64_t end)
{
	uint64_t sent = 0, came = 0;

	while (came < b->bytes && now_ns() < end) {
		struct pollfd p[2] = {{.fd = s, .events = sent < b->bytes ? POLLOUT : 0},
				      {.fd = r, .events = POLLIN}};

		poll(p, 2, 100);
		if (!push(s, b, &sent) || !pull(r, &came))
			return false;
	}
	if (came != b->bytes)
		fprintf(stderr, "%llu of %llu bytes came\n", (unsigned long long)came,
			(unsigned long long)b->bytes);
	return came == b->bytes;
}

bool ns_bulk(struct bulk *b)
{
	uint64_t end = now_ns() + 60 * NSEC_PER_SEC;
	struct sockaddr_storage ss;
	socklen_t len = netlab_addr(&ss, b->addr, 5201);
	int l = tcp_socket(b->to, ss.ss_family), s = tcp_socket(b->from, ss.ss_family), on = 1;
	bool v6 = ss.ss_family == AF_INET6, ok = false;
	struct pollfd p = {.fd = l, .events = POLLIN};
	socklen_t size = sizeof(b->mtu);
	int r = -1;

	setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	assert_int_equal(bind(l, (struct sockaddr *)&ss, len), 0);
	assert_int_equal(listen(l, 1), 0);
	if (connect(s, (struct sockaddr *)&ss, len) && errno != EINPROGRESS)
		fail_msg("connect to %s: %s", b->addr, strerror(errno));
	if (poll(&p, 1, WAIT_MS) == 1)
		r = accept4(l, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (r >= 0)
		ok = carry(s, r, b, end);
	getsockopt(s, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_MTU : IP_MTU, &b->mtu, &size);
	close(l);
	close(s);
	if (r >= 0)
		close(r);
	return ok;
}
