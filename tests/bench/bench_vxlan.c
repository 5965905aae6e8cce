/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a packet costs through a VXLAN tunnel, over the loopback interface of a network namespace of
 * its own: CPU time of the sending thread (encapsulation, the kernel's UDP on both sides, since the
 * loopback receives in the sender's context) and of the worker that receives (its system calls,
 * decapsulation, delivery to a port that drops). User time is the switch's part, system time the
 * kernel's. One line of JSON.
 *
 *	bench_vxlan [milliseconds per case]
 */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>
#include <urcu/urcu-memb.h>

#include "base/util.h"
#include "base/wire.h"
#include "base/worker.h"
#include "vswitch/ports/null.h"
#include "vswitch/ports/vxlan.h"
#include "vswitch/vswitch.h"

#define BURST	  32
#define VNI	  42
#define IN_FLIGHT 256 /* datagrams */

struct end {
	struct vsw_net *net;
	struct vxlan_tunnel *tunnel;
	struct vxlan_port *port;
	struct null_port guest;
	struct worker *worker;
};

static struct end near, far;
static struct pkt pkt[BURST], *pkts[BURST];
static uint8_t frames[BURST][65536];

static void die(const char *what, int rc)
{
	fprintf(stderr, "bench_vxlan: %s: %s\n", what, strerror(rc < 0 ? -rc : errno));
	exit(1);
}

static void loopback_up(void)
{
	struct ifreq r = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	int s;

	if (unshare(CLONE_NEWNET))
		die("a network namespace (run as root)", -errno);
	s = socket(AF_INET, SOCK_DGRAM, 0);
	if (s < 0 || ioctl(s, SIOCSIFFLAGS, &r))
		die("lo", -errno);
	close(s);
}

static void mac(uint8_t m[6], unsigned int n)
{
	const uint8_t v[6] = {0x02, 0, 0, 0, 0, (uint8_t)n};

	memcpy(m, v, 6);
}

/* @n: of the address 127.0.0.n and of the guest. */
static void make_end(struct end *e, struct vsw *vsw, const char *name, unsigned int n)
{
	const struct worker_conf wc = {.name = name};
	const struct vsw_net_conf nc = {.name = name, .mtu = 1450};
	const struct vxlan_port_conf pc = {.name = name, .vni = VNI};
	struct sockaddr_storage local = {0};
	struct sockaddr_in *in = (struct sockaddr_in *)&local;
	struct vxlan_sockets sockets;
	const struct vxlan_tunnel_conf tc = {.name = name, .sockets = &sockets};
	uint8_t m[6];
	int rc;

	in->sin_family = AF_INET;
	in->sin_addr.s_addr = htonl(INADDR_LOOPBACK - 1 + n);
	rc = vxlan_sockets_open(&sockets, &local, 0);
	if (rc)
		die("sockets", rc);
	e->worker = worker_new(&wc);
	e->tunnel = e->worker ? vxlan_tunnel_new(e->worker, &tc) : NULL;
	e->port = e->tunnel ? vxlan_port_new(e->tunnel, &pc) : NULL;
	e->net = vsw_net_add(vsw, &nc);
	mac(m, n);
	null_port_init(&e->guest, "guest", m);
	if (!e->port || !e->net || vsw_port_attach(e->net, vxlan_port_port(e->port)) ||
	    vsw_port_attach(e->net, &e->guest.port))
		die("tunnel", -errno);
}

static void tell_end(struct end *e, unsigned int other)
{
	uint8_t m[6], remote[16] = {[10] = 0xff, 0xff, 127, 0, 0, (uint8_t)other};
	int rc;

	mac(m, other);
	rc = vxlan_mac_set(e->port, m, remote);
	if (rc)
		die("remote", rc);
}

/**
 * struct load - What is sent
 * @mss:	0: as it is; else a packet with a segmentation debt
 */
struct load {
	uint32_t len;
	uint16_t mss;
};

static void make_packets(const struct load *l)
{
	for (unsigned int i = 0; i < BURST; i++) {
		uint8_t *p = frames[i];
		struct iovec iov = {p, l->len};

		memset(p, 0, l->len);
		mac(p, 2);
		mac(p + 6, 1);
		be16_store(p + 12, 0x0800);
		p[14] = 0x45;
		be16_store(p + 16, (uint16_t)(l->len - 14));
		p[22] = 64;
		p[23] = IPPROTO_TCP;
		be32_store(p + 26, 0x0a000001);
		be32_store(p + 30, 0x0a000002);
		be16_store(p + 34, (uint16_t)(1024 + i));
		be16_store(p + 36, 80);
		p[46] = 0x50;
		if (pkt_from_iov(&pkt[i], &iov, 1))
			abort();
		pkt[i].flags = PKT_CSUM_IP | PKT_CSUM_L4 | (l->mss ? PKT_GSO_TCP : 0);
		pkt[i].gso_size = l->mss;
		pkts[i] = &pkt[i];
	}
}

struct times {
	double user, system;
};

static void read_times(void *arg)
{
	struct times *t = arg;
	struct rusage u;

	getrusage(RUSAGE_THREAD, &u);
	t->user = (double)u.ru_utime.tv_sec * 1e9 + (double)u.ru_utime.tv_usec * 1e3;
	t->system = (double)u.ru_stime.tv_sec * 1e9 + (double)u.ru_stime.tv_usec * 1e3;
}

static uint64_t arrived(void)
{
	return atomic_load(&far.guest.port.stats.rx_packets);
}

static uint64_t lost(void)
{
	struct vxlan_stats st;

	vxlan_get_stats(near.tunnel, &st);
	return st.tx_errors;
}

/* Until no more than @left are missing, or nothing has come for a while: then they are lost. */
static void wait_for(uint64_t *sent, uint64_t left)
{
	const struct timespec nap = {.tv_nsec = 20000};
	uint64_t before = arrived();

	for (unsigned int idle = 0; *sent - arrived() > left && idle < 5000; idle++) {
		nanosleep(&nap, NULL);
		if (arrived() != before)
			idle = 0;
		before = arrived();
	}
	if (*sent - arrived() > left)
		*sent = arrived();
}

static void run(const struct load *l, uint64_t span_ns, bool last)
{
	uint32_t segs = l->mss ? (l->len - 54 + l->mss - 1) / l->mss : 1;
	/* A burst of large packets is more than a socket holds. */
	unsigned int burst = MAX(1u, MIN(BURST, IN_FLIGHT / 2 / segs));
	struct times tx0, tx1, rx0, rx1;
	uint64_t start = now_ns(), first = arrived(), sent = first, all = 0, n;

	make_packets(l);
	read_times(&tx0);
	worker_call(far.worker, read_times, &rx0);
	while (now_ns() - start < span_ns) {
		if (vsw_send(&near.guest.port, pkts, burst) != burst)
			abort();
		sent += (uint64_t)burst * segs;
		all += burst;
		wait_for(&sent, IN_FLIGHT / 2);
	}
	wait_for(&sent, 0);
	read_times(&tx1);
	worker_call(far.worker, read_times, &rx1);
	n = MAX(arrived() - first, 1u);
	printf("{\"bytes\": %u, \"mss\": %u, \"packets\": %llu, \"arrived\": %llu, "
	       "\"send_user_ns\": %.1f, \"send_system_ns\": %.1f, \"receive_user_ns\": %.1f, "
	       "\"receive_system_ns\": %.1f, \"errors\": %llu}%s",
	       l->len, l->mss, (unsigned long long)all, (unsigned long long)n,
	       (tx1.user - tx0.user) / (double)all, (tx1.system - tx0.system) / (double)all,
	       (rx1.user - rx0.user) / (double)n, (rx1.system - rx0.system) / (double)n,
	       (unsigned long long)lost(), last ? "" : ", ");
}

int main(int argc, char **argv)
{
	static const struct load loads[] = {{64, 0}, {1464, 0}, {64000, 1410}};
	uint64_t span_ns = (argc > 1 ? strtoull(argv[1], NULL, 0) : 500) * NSEC_PER_MSEC;
	struct vsw *vsw;

	loopback_up();
	urcu_memb_register_thread();
	vsw = vsw_new();
	make_end(&near, vsw, "near", 1);
	make_end(&far, vsw, "far", 2);
	tell_end(&near, 2);
	tell_end(&far, 1);
	printf("[");
	for (unsigned int i = 0; i < ARRAY_SIZE(loads); i++)
		run(&loads[i], span_ns, i + 1 == ARRAY_SIZE(loads));
	printf("]\n");
	return 0;
}
