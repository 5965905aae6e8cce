/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The generator of scripts/bench switch: two vhost-user front ends that send frames of many
 * connections through a switch, from the first to the second, as fast as they come back.
 *
 *	bench_flows --cpu N SOCKET SOCKET MAC MAC
 *
 * Says "connected", then does what it reads, a line each, and answers with JSON:
 *
 *	learn N		each of the connections 0..N-1 once: a frame there and one back
 *	run SIZE N MISS MS	frames of SIZE bytes for MS milliseconds, each of a connection
 *picked at random among 0..N-1, or, MISS times of 1000, of one that never was before
 *
 * Frames are UDP over IPv4 without a UDP checksum, so that a switch that verifies them has nothing
 * to sum. WINDOW of them are on their way; what does not arrive within LOST_NS is taken for lost.
 */
#include <errno.h>
#include <getopt.h>
#include <netinet/ether.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/util.h"
#include "base/wire.h"
#include "tests/lib/rng.h"
#include "tests/vhost/vu_client.h"

#define RING	  1024
#define BURST	  32
#define WINDOW	  512
#define LOST_NS	  (20 * NSEC_PER_MSEC)
#define SLOT	  2048
#define HDR	  ((uint32_t)sizeof(struct virtio_net_hdr))
#define FIRST_NEW (1u << 22) /* connections that no "learn" has made */
#define PORT	  5000	     /* the service they all ask for; clients are 10.16.0.0/12 */
#define CLIENTS	  0x0a100000u
#define SERVER	  0x0a000002u

struct side {
	struct vu vu;
	struct vu_ring *rx, *tx;
	uint8_t mac[6];
	uint16_t free[RING]; /* transmit slots */
	unsigned int n_free;
};

struct gen {
	struct side side[2];
	struct rng rng;
	uint32_t next_new;
	uint32_t ip_sum; /* of the header without the client's address and without itself */
	uint64_t sent, arrived;
	uint32_t in_flight;
	uint64_t last_arrival;
};

static void die(const char *what, int rc)
{
	fprintf(stderr, "bench_flows: %s: %s\n", what, strerror(rc < 0 ? -rc : errno));
	exit(1);
}

/* ---- Frames -------------------------------------------------------------------------------- */

/* Of an IP header, unfolded. */
static uint32_t sum_of(const uint8_t *ip)
{
	uint32_t sum = 0;

	for (unsigned int i = 0; i < 20; i += 2)
		sum += be16_load(ip + i);
	return sum;
}

/* Everything of a side's frames that is the same in all of them. */
static void make_slots(struct gen *g, unsigned int i, uint32_t len)
{
	struct side *s = &g->side[i];

	for (unsigned int k = 0; k < RING; k++) {
		uint8_t *p = s->tx->slots + (size_t)k * SLOT + HDR, *ip = p + 14;

		memset(p - HDR, 0, HDR + 42);
		memcpy(p, g->side[!i].mac, 6);
		memcpy(p + 6, s->mac, 6);
		be16_store(p + 12, 0x0800);
		ip[0] = 0x45;
		be16_store(ip + 2, (uint16_t)(len - 14));
		ip[8] = 64;
		ip[9] = IPPROTO_UDP;
		be32_store(ip + (i ? 12 : 16), SERVER);
		g->ip_sum = sum_of(ip);
		be16_store(ip + 20, PORT);
		be16_store(ip + 22, PORT);
		be16_store(ip + 24, (uint16_t)(len - 34));
		s->tx->desc[k].addr = le64_make(vu_gpa(&s->vu, p - HDR));
		s->tx->desc[k].len = le32_make(HDR + len);
		s->tx->desc[k].flags = s->tx->desc[k].next = le16_make(0);
	}
}

/* The frame of connection @f in a slot, from its client or (@back) to it. */
static inline void set_flow(const struct gen *g, uint8_t *frame, uint32_t f, bool back)
{
	uint32_t client = CLIENTS + (f >> 15), sum = g->ip_sum + (client >> 16) + (client & 0xffff);
	uint8_t *ip = frame + 14;

	sum = (sum & 0xffff) + (sum >> 16);
	be16_store(ip + 10, (uint16_t) ~((sum & 0xffff) + (sum >> 16)));
	be32_store(ip + (back ? 16 : 12), client);
	be16_store(ip + (back ? 22 : 20), (uint16_t)(1024 + (f & 0x7fff)));
}

static uint32_t flow_of(const uint8_t *frame)
{
	return (be32_load(frame + 26) - CLIENTS) << 15 | (be16_load(frame + 34) - 1024u);
}

/* ---- Rings --------------------------------------------------------------------------------- */

static void kick(struct vu_ring *q)
{
	__sync_synchronize();
	if (!(__atomic_load_n(&q->used->flags, __ATOMIC_RELAXED) & VRING_USED_F_NO_NOTIFY))
		vu_kick(q, true);
}

static void reap(struct side *s)
{
	struct vu_ring *q = s->tx;
	uint16_t idx = __atomic_load_n(&q->used->idx, __ATOMIC_ACQUIRE);

	for (; q->last_used != idx; q->last_used++)
		s->free[s->n_free++] = (uint16_t)q->used->ring[q->last_used & (RING - 1)].id;
}

/* A slot whose frame is to be sent next, or NULL. */
static inline uint8_t *next_slot(struct side *s)
{
	struct vu_ring *q = s->tx;
	uint16_t id;

	if (!s->n_free)
		return NULL;
	id = s->free[--s->n_free];
	q->avail->ring[q->avail_idx++ & (RING - 1)] = id;
	return q->slots + (size_t)id * SLOT + HDR;
}

static void publish(struct vu_ring *q)
{
	if (q->avail->idx == q->avail_idx)
		return;
	__atomic_store_n(&q->avail->idx, q->avail_idx, __ATOMIC_RELEASE);
	kick(q);
}

/* Up to @max frames: hands each to @fn and gives its buffer back. */
static unsigned int receive(struct gen *g, unsigned int i, unsigned int max,
			    void (*fn)(struct gen *g, const uint8_t *frame))
{
	struct vu_ring *q = g->side[i].rx;
	uint16_t idx = __atomic_load_n(&q->used->idx, __ATOMIC_ACQUIRE);
	unsigned int n = 0;

	for (; q->last_used != idx && n < max; q->last_used++, n++) {
		uint16_t id = (uint16_t)q->used->ring[q->last_used & (RING - 1)].id;

		if (fn)
			fn(g, q->slots + (size_t)id * SLOT + HDR);
		q->avail->ring[q->avail_idx++ & (RING - 1)] = id;
	}
	publish(q);
	return n;
}

/* ---- Sending ------------------------------------------------------------------------------- */

/* Nothing has come for long: what is missing will not come. */
static void look_for_losses(struct gen *g, unsigned int got)
{
	uint64_t now;

	if (got) {
		g->last_arrival = 0;
		return;
	}
	now = now_ns();
	if (!g->last_arrival || !g->in_flight)
		g->last_arrival = now;
	if (now - g->last_arrival < LOST_NS)
		return;
	g->in_flight = 0;
}

static void arrived(struct gen *g, unsigned int n)
{
	g->arrived += n;
	/* Late ones were taken for lost. */
	g->in_flight -= MIN(n, g->in_flight);
}

static void answer(struct gen *g, const uint8_t *frame)
{
	uint8_t *back = next_slot(&g->side[1]);

	if (back)
		set_flow(g, back, flow_of(frame), true);
}

static void learn(struct gen *g, uint32_t n)
{
	uint64_t before = g->arrived, start = now_ns();
	uint32_t at = 0;

	while (at < n || g->in_flight) {
		unsigned int got;

		for (unsigned int i = 0; i < 2; i++)
			reap(&g->side[i]);
		for (unsigned int i = 0; i < BURST && at < n && g->in_flight < WINDOW; i++) {
			uint8_t *p = next_slot(&g->side[0]);

			if (!p)
				break;
			set_flow(g, p, at++, false);
			g->in_flight++;
		}
		publish(g->side[0].tx);
		receive(g, 1, BURST, answer);
		publish(g->side[1].tx);
		got = receive(g, 0, BURST, NULL);
		arrived(g, got);
		look_for_losses(g, got);
	}
	printf("{\"learned\": %u, \"lost\": %lld, \"seconds\": %.4f}\n", n,
	       (long long)n - (long long)(g->arrived - before), (double)(now_ns() - start) / 1e9);
}

static unsigned int send_some(struct gen *g, uint32_t n, uint32_t miss)
{
	unsigned int sent = 0;

	for (; sent < BURST && g->in_flight < WINDOW; sent++, g->in_flight++) {
		uint64_t r = rng_u64(&g->rng);
		uint8_t *p = next_slot(&g->side[0]);

		if (!p)
			break;
		if (miss && (uint32_t)(r >> 32) % 1000 < miss)
			set_flow(g, p, g->next_new++, false);
		else
			set_flow(g, p, (uint32_t)((uint64_t)(uint32_t)r * n >> 32), false);
	}
	publish(g->side[0].tx);
	return sent;
}

static double cpu_seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* What is still on its way comes in before anything else is asked. */
static void drain(struct gen *g)
{
	while (g->in_flight) {
		unsigned int got = receive(g, 1, BURST, NULL);

		arrived(g, got);
		reap(&g->side[0]);
		look_for_losses(g, got);
	}
}

static void run(struct gen *g, uint32_t len, uint32_t n, uint32_t miss, uint32_t ms)
{
	uint64_t sent = g->sent, before = g->arrived, in_time, start, end;
	uint32_t made = g->next_new;
	double cpu;

	make_slots(g, 0, len);
	make_slots(g, 1, len);
	start = end = now_ns();
	cpu = cpu_seconds();
	for (unsigned int turn = 0; end - start < ms * NSEC_PER_MSEC; turn++) {
		unsigned int got = receive(g, 1, BURST, NULL);

		arrived(g, got);
		reap(&g->side[0]);
		g->sent += send_some(g, n, miss);
		if (!got || turn % 64 == 0) {
			look_for_losses(g, got);
			end = now_ns();
		}
	}
	cpu = cpu_seconds() - cpu;
	in_time = g->arrived - before;
	drain(g);
	printf("{\"sent\": %llu, \"arrived\": %llu, \"lost\": %lld, \"new\": %u, \"seconds\": "
	       "%.6f, "
	       "\"cpu\": %.3f}\n",
	       (unsigned long long)(g->sent - sent), (unsigned long long)in_time,
	       (long long)(g->sent - sent) - (long long)(g->arrived - before), g->next_new - made,
	       (double)(end - start) / 1e9, cpu * 1e9 / (double)(end - start));
}

/* ---- Life ---------------------------------------------------------------------------------- */

static int connect_to(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || strlen(path) >= sizeof(a.sun_path))
		die(path, fd < 0 ? -errno : -ENAMETOOLONG);
	strcpy(a.sun_path, path);
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)))
		die(path, -errno);
	return fd;
}

/* Of the protocol's extensions only the one that vu_sync() needs nothing of: none. */
static int handshake(struct vu *vu)
{
	int rc = vu_get_u64(vu, VHOST_USER_GET_FEATURES, &vu->offered);

	if (rc)
		return rc;
	vu->features = vu->offered & vu->conf.features;
	rc = vu_get_u64(vu, VHOST_USER_GET_PROTOCOL_FEATURES, &vu->offered_protocol);
	if (!rc)
		rc = vu_send(vu, VHOST_USER_SET_PROTOCOL_FEATURES, 0, &vu->protocol,
			     sizeof(vu->protocol), NULL, 0);
	if (!rc)
		rc = vu_send(vu, VHOST_USER_SET_OWNER, 0, NULL, 0, NULL, 0);
	return rc ? rc
		  : vu_send(vu, VHOST_USER_SET_FEATURES, 0, &vu->features, sizeof(vu->features),
			    NULL, 0);
}

static void start_side(struct side *s, const char *path)
{
	const struct vu_conf conf = {.features = VU_PLAIN | VU_BIT(VIRTIO_NET_F_MRG_RXBUF),
				     .ring_size = RING,
				     .rx_buf = SLOT,
				     .tx_slot = SLOT,
				     .mem_size = 32u << 20};
	int rc = vu_open(&s->vu, connect_to(path), &conf);

	rc = rc ? rc : handshake(&s->vu);
	rc = rc ? rc : vu_set_mem(&s->vu);
	for (unsigned int i = 0; !rc && i < 2; i++) {
		rc = vu_ring_make(&s->vu, i, 0);
		if (!rc && !i)
			vu_rx_fill(&s->vu.ring[i], RING);
		s->vu.ring[i].avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
		rc = rc ? rc : vu_ring_start(&s->vu.ring[i], 0);
		rc = rc ? rc : vu_ring_enable(&s->vu.ring[i], true);
	}
	rc = rc ? rc : vu_sync(&s->vu);
	if (rc)
		die(path, rc);
	s->rx = vu_rxq(&s->vu, 0);
	s->tx = vu_txq(&s->vu, 0);
	for (s->n_free = 0; s->n_free < RING; s->n_free++)
		s->free[s->n_free] = (uint16_t)s->n_free;
}

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (pthread_setaffinity_np(pthread_self(), sizeof(set), &set))
		die("no such core", -EINVAL);
}

static void obey(struct gen *g, const char *line)
{
	unsigned int size, n, miss, ms;

	if (sscanf(line, "learn %u", &n) == 1 && n <= FIRST_NEW) {
		make_slots(g, 0, 64);
		make_slots(g, 1, 64);
		learn(g, n);
	} else if (sscanf(line, "run %u %u %u %u", &size, &n, &miss, &ms) == 4 && size >= 60 &&
		   size + HDR <= SLOT && n && n <= FIRST_NEW && miss <= 1000) {
		run(g, size, n, miss, ms);
	} else {
		printf("{\"error\": \"learn N; run SIZE N MISS MS\"}\n");
	}
	fflush(stdout);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"cpu", required_argument, NULL, 'c'}, {0}};
	static struct gen g = {.rng = {.s = 42}, .next_new = FIRST_NEW};
	int opt, cpu = 1;
	char line[80];

	while ((opt = getopt_long(argc, argv, "", options, NULL)) == 'c')
		cpu = atoi(optarg);
	if (opt != -1 || argc - optind != 4) {
		fprintf(stderr, "usage: bench_flows [--cpu N] SOCKET SOCKET MAC MAC\n");
		return 2;
	}
	pin(cpu);
	for (unsigned int i = 0; i < 2; i++) {
		const struct ether_addr *mac = ether_aton(argv[optind + 2 + (int)i]);

		if (!mac)
			die("address", -EINVAL);
		memcpy(g.side[i].mac, mac, 6);
		start_side(&g.side[i], argv[optind + (int)i]);
	}
	puts("connected");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin))
		obey(&g, line);
	for (unsigned int i = 0; i < 2; i++)
		vu_close(&g.side[i].vu);
	return 0;
}
