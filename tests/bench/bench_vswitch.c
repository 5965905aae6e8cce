/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the switch itself costs, without devices: nanoseconds per packet for finding the way, for
 * settling and copying, and the speed of the copy that sums, beside plain memcpy().
 *
 *	bench_vswitch [milliseconds per line [number of the line, from 0]]
 */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include <urcu/urcu-memb.h>

#include "base/util.h"
#include "base/wire.h"
#include "vswitch/checksum.h"
#include "vswitch/nic.h"
#include "vswitch/offload.h"
#include "vswitch/ports/loop.h"
#include "vswitch/ports/null.h"
#include "vswitch/vswitch.h"

#define BURST	  32
#define POOL_SIZE (64u << 20)

static uint64_t span_ns = 300 * NSEC_PER_MSEC;
static uint8_t *pool;

/* This thread's own time: a machine shared with others slows the figures less. */
static uint64_t cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

/* A receiver that stores into buffers of 2 KiB (or as large as needed), one after the other. */
struct sink {
	struct vsw_port port;
	uint8_t *buf;
	uint32_t size, at, step;
	uint32_t caps;
};

static unsigned int sink_deliver(struct vsw_port *port, struct pkt **pkts, unsigned int n)
{
	struct sink *k = CONTAINER_OF(port, struct sink, port);
	uint64_t packets = 0, bytes = 0;

	for (unsigned int i = 0; i < n; i++) {
		struct vsw_settle s;
		struct vsw_frame f;

		if (vsw_settle_begin(&s, pkts[i], k->caps, 9000) != VSW_DROP_NONE) {
			vsw_port_drop(port, pkts[i], VSW_DROP_TOO_BIG);
			continue;
		}
		while (vsw_settle_next(&s, &f)) {
			struct iovec iov = {k->buf + k->at, f.len};

			vsw_frame_copy(&f, &iov, 1);
			k->at = (k->at + k->step) & (k->size - 1);
			packets++;
			bytes += f.len;
		}
	}
	vsw_port_received(port, packets, bytes);
	return n;
}

static const struct vsw_port_ops sink_ops = {.deliver = sink_deliver};

static struct vsw_net *net;
static struct null_port from, to, second;
static struct sink sink;
static struct loop_port loop;
/* Two vNICs of two paths each; frames travel between their first ones. */
static struct null_port path[2][2];

static void mac(uint8_t m[6], unsigned int n)
{
	const uint8_t v[6] = {0x02, 0, 0, 0, 0, (uint8_t)n};

	memcpy(m, v, 6);
}

static void setup_nics(void)
{
	static const char *const names[2] = {"vm1/eth0", "vm2/eth0"};
	struct worker_conf wc = {.name = "bench"};
	struct vsw_nic_conf conf = {.worker = worker_new(&wc)};

	if (!conf.worker)
		abort();
	for (unsigned int i = 0; i < 2; i++) {
		struct vsw_nic *nic;

		conf.name = names[i];
		mac(conf.mac, 11 + i);
		nic = vsw_nic_new(&conf);
		null_port_init(&path[i][0], "first", conf.mac);
		null_port_init(&path[i][1], "second", conf.mac);
		if (!nic || vsw_nic_path_add(nic, &path[i][0].port) ||
		    vsw_nic_path_add(nic, &path[i][1].port) ||
		    vsw_port_attach(net, vsw_nic_port(nic)))
			abort();
		vsw_nic_receive(nic, &path[i][0].port, false);
	}
}

static void setup(void)
{
	static struct vsw_net_conf conf = {.name = "bench", .mtu = 9000};
	uint8_t m[6];

	urcu_memb_register_thread();
	net = vsw_net_add(vsw_new(), &conf);
	mac(m, 1);
	null_port_init(&from, "from", m);
	mac(m, 2);
	null_port_init(&to, "to", m);
	mac(m, 3);
	null_port_init(&second, "second", m);
	mac(m, 4);
	vsw_port_init(&sink.port, &sink_ops, "sink", m);
	atomic_store(&sink.port.link, true);
	atomic_store(&sink.port.receiving, true);
	mac(m, 5);
	loop_port_init(&loop, "loop", m);
	if (vsw_port_attach(net, &from.port) || vsw_port_attach(net, &to.port) ||
	    vsw_port_attach(net, &second.port) || vsw_port_attach(net, &sink.port) ||
	    vsw_port_attach(net, &loop.port))
		abort();
	setup_nics();
}

/* A TCP packet of @len bytes in all. */
static void fill(uint8_t *p, uint32_t len, unsigned int src, unsigned int dst)
{
	memset(p, 0, 54);
	mac(p, dst);
	mac(p + 6, src);
	be16_store(p + 12, 0x0800);
	p[14] = 0x45;
	be16_store(p + 16, (uint16_t)(len - 14));
	p[22] = 64;
	p[23] = IPPROTO_TCP;
	be32_store(p + 26, 0x0a000001);
	be32_store(p + 30, 0x0a000002);
	p[46] = 0x50;
}

/**
 * struct load - What is sent
 * @pooled:	Payload from 64 MB of memory, so that it is in no cache
 * @nic:	Sent by the first path of vNIC 11
 */
struct load {
	const char *what;
	uint32_t len, flags;
	uint16_t mss;
	unsigned int src, dst[2];
	bool pooled, nic;
	unsigned int burst;
};

static void run(const struct load *l)
{
	static struct pkt pkt[BURST];
	struct pkt *pkts[BURST];
	uint32_t stride = ALIGN_UP(l->len, 64), at = 0;
	unsigned int burst = l->burst ? l->burst : BURST;
	struct vsw_port *by = l->nic ? &path[0][0].port : &from.port;
	uint64_t start, end, n = 0;

	for (uint32_t off = 0; off + stride <= POOL_SIZE; off += stride)
		fill(pool + off, l->len, l->src, l->dst[off / stride % 2]);
	for (unsigned int i = 0; i < burst; i++) {
		struct iovec iov = {pool + (uint64_t)i * stride, l->len};

		if ((i + 1) * (uint64_t)stride > POOL_SIZE || pkt_from_iov(&pkt[i], &iov, 1))
			abort();
		pkt[i].flags = l->flags;
		pkt[i].gso_size = l->mss;
		pkts[i] = &pkt[i];
	}
	start = cpu_ns();
	do {
		for (unsigned int k = 0; k < 64; k++) {
			for (unsigned int i = 0; l->pooled && i < burst; i++) {
				if (pkt[i].n_pieces)
					pkt[i].piece[0].ptr = pool + at + PKT_HDR_MAX;
				at = at + 2 * stride <= POOL_SIZE ? at + stride : 0;
			}
			if (vsw_send(by, pkts, burst) != burst)
				abort();
			n += burst;
		}
		end = cpu_ns();
	} while (end - start < span_ns);
	printf("  %-46s %6u B  %8.1f ns  %7.2f Mpps  %7.1f Gbit/s\n", l->what, l->len,
	       (double)(end - start) / (double)n, (double)n * 1e3 / (double)(end - start),
	       (double)n * l->len * 8 / (double)(end - start));
}

static void speed(const char *name, uint64_t (*copy)(uint64_t, void *, const void *, size_t),
		  uint32_t len, uint32_t set)
{
	uint64_t start = cpu_ns(), end, n = 0;
	static volatile uint64_t keep;
	uint32_t at = 0, half = POOL_SIZE / 2;

	do {
		for (unsigned int k = 0; k < 64; k++) {
			keep += copy(0, pool + half + at, pool + at, len);
			at = at + 2 * ALIGN_UP(len, 64) <= set ? at + ALIGN_UP(len, 64) : 0;
			n++;
		}
		end = cpu_ns();
	} while (end - start < span_ns);
	printf("  %-12s %6u B from a set of %8u  %7.1f GB/s\n", name, len, set,
	       (double)n * len / (double)(end - start));
}

static uint64_t plain_memcpy(uint64_t sum, void *dst, const void *src, size_t len)
{
	memcpy(dst, src, len);
	return sum;
}

int main(int argc, char **argv)
{
	static const struct load loads[] = {
		{.what = "find the way, one receiver", .len = 64, .dst = {2, 2}},
		{.what = "find the way, two receivers in turn", .len = 64, .dst = {2, 3}},
		{.what = "find the way, source learned", .len = 64, .src = 77, .dst = {2, 2}},
		{.what = "find the way, bursts of one", .len = 64, .dst = {2, 2}, .burst = 1},
		{.what = "find the way, flood to four", .len = 64, .dst = {99, 99}},
		{.what = "there and back by a loop port", .len = 64, .dst = {5, 5}},
		{.what = "settle and copy, checksum owed",
		 .len = 64,
		 .dst = {4, 4},
		 .flags = PKT_CSUM_L4 | PKT_CSUM_IP},
		{.what = "settle and copy, checksum verified", .len = 64, .dst = {4, 4}},
		{.what = "settle and copy, checksum owed",
		 .len = 1514,
		 .dst = {4, 4},
		 .flags = PKT_CSUM_L4 | PKT_CSUM_IP},
		{.what = "settle and copy, known good",
		 .len = 1514,
		 .dst = {4, 4},
		 .flags = PKT_L4_GOOD | PKT_IP_GOOD},
		{.what = "settle and copy, owed, 64 MB of payloads",
		 .len = 1514,
		 .dst = {4, 4},
		 .flags = PKT_CSUM_L4 | PKT_CSUM_IP,
		 .pooled = true},
		{.what = "settle and copy, owed",
		 .len = 9014,
		 .dst = {4, 4},
		 .flags = PKT_CSUM_L4 | PKT_CSUM_IP},
		{.what = "cut at 1448 and copy",
		 .len = 65000,
		 .dst = {4, 4},
		 .flags = PKT_GSO_TCP,
		 .mss = 1448},
		{.what = "cut at 1448 and copy, 64 MB of payloads",
		 .len = 65000,
		 .dst = {4, 4},
		 .flags = PKT_GSO_TCP,
		 .mss = 1448,
		 .pooled = true},
		{.what = "between two vNICs", .len = 64, .src = 11, .dst = {12, 12}, .nic = true},
		{.what = "between two vNICs, bursts of one",
		 .len = 64,
		 .src = 11,
		 .dst = {12, 12},
		 .burst = 1,
		 .nic = true},
	};

	if (argc > 1)
		span_ns = strtoull(argv[1], NULL, 0) * NSEC_PER_MSEC;
	pool = aligned_alloc(4096, POOL_SIZE);
	sink.size = 1 << 20;
	sink.step = 2048;
	sink.buf = aligned_alloc(4096, sink.size + (128 << 10));
	if (!pool || !sink.buf)
		return 1;
	memset(pool, 0x5a, POOL_SIZE);
	memset(sink.buf, 0, sink.size + (128 << 10));
	setup();
	printf("vsw_send(), per packet of the sender, bursts of %u:\n", BURST);
	for (unsigned int i = 0; i < ARRAY_SIZE(loads); i++) {
		struct load l = loads[i];

		if (argc > 2 && (unsigned int)atoi(argv[2]) != i)
			continue;
		if (!l.src)
			l.src = 1;
		sink.step = l.len > 2048 && !(l.flags & PKT_GSO_TCP) ? 16384 : 2048;
		run(&l);
	}
	if (argc > 2)
		return 0;
	printf("copy:\n");
	for (unsigned int i = 0; i < 2; i++) {
		uint32_t set = i ? POOL_SIZE / 2 : 16384;

		speed("memcpy", plain_memcpy, 1448, set);
		for (unsigned int k = 0; k < cksum_n_impls; k++)
			if (cksum_impls[k].usable())
				speed(cksum_impls[k].name, cksum_impls[k].copy, 1448, set);
	}
	return 0;
}
