/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Load driver for the MANA emulator: what a packet costs from one guest's ring to another's, over
 * the real vfio-user socket, without QEMU.
 *
 * One client thread plays both guests' drivers: it posts WQEs that were written beforehand, rings
 * a doorbell (one send() each), polls both completion queues with interrupts off, and gives the
 * receiver its buffers back, 32 to a doorbell. One worker is the device. The two threads are
 * bound to two cores, so the slower of them decides the rate; the CPU time each got is printed
 * (less than 100 % of a spinning thread: something else ran on its core).
 *
 * Every round runs every case once and memcpy() of the same sizes; a figure is the median over
 * the rounds. Nothing here fails because of a figure.
 */
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "tests/driver/mana_drv.h"
#include "tests/lib/frame.h"
#include "tests/lib/lab.h"
#include "tests/lib/toeplitz.h"
#include "tests/lib/wait.h"
#include "tests/protocol/vfu_client.h"

#define TX_UNITS   512 /* basic units of a send queue */
#define RX_BUFS	   512
#define RX_BATCH   32 /* buffers given back per doorbell */
#define MAX_QUEUES 2
#define MAX_ROUNDS 15
#define TSO_BYTES  65000
#define TSO_MSS	   1448
#define BUSY_NS	   (3600 * NSEC_PER_SEC)

static const uint32_t frame_sizes[] = {64, 1514, 9014, TSO_BYTES};
#define N_SIZES ARRAY_SIZE(frame_sizes)
static const char *const size_names[] = {"64", "1500", "9000", "65000 TSO"};

/* A case and what its rounds gave. */
struct bench_case {
	unsigned int size; /* index of frame_sizes */
	uint32_t per_db, queues;
	bool busy;
	struct sample {
		double ns_pkt, mpps, gbps, client, server, copies;
		uint64_t lost;
	} s[MAX_ROUNDS];
};

/* One direction's queue pair, with everything the loop touches side by side. */
struct flow {
	struct drv_queue *sq, *scq, *rq, *rcq;
	uint32_t wqe_bu;
	uint32_t rx_owed; /* buffers consumed and not given back yet */
	uint64_t sent, done, received, bytes;
	struct {
		struct vfio_user_hdr h;
		struct vfio_user_region_access a;
		uint64_t value;
	} __attribute__((packed)) sq_db, rq_db, scq_db, rcq_db;
};

struct bench {
	struct lab lab;
	clockid_t worker_clock; /* CPU time of the worker */
	struct drv d[2];
	struct drv_vport vp[2];
	struct flow flow[MAX_QUEUES];
	uint8_t *tx_buf[MAX_QUEUES];
	uint64_t tx_gpa[MAX_QUEUES];
	unsigned int rounds;
	double seconds;
	bool json;
	/* ns of a doorbell that says nothing new, by round: what the socket alone costs */
	double bare_db[2][MAX_ROUNDS]; /* sleeping, spinning server */
};

static void die(const char *what, int rc)
{
	fprintf(stderr, "bench: %s: %s\n", what, strerror(rc < 0 ? -rc : errno));
	exit(1);
}

static void bind_cpu(void *arg)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(*(int *)arg, &set);
	pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
}

/* ---- Doorbells ------------------------------------------------------------------------------- */

static void db_init(void *msg, const struct drv_queue *q, uint32_t reg)
{
	struct flow *f = NULL;
	__typeof__(f->sq_db) *m = msg;

	memset(m, 0, sizeof(*m));
	m->h.cmd = VFIO_USER_REGION_WRITE;
	m->h.size = sizeof(*m);
	m->h.flags = VFIO_USER_F_NO_REPLY;
	m->a.offset = q->d->db_off + (uint64_t)q->d->db_size * q->db_page + reg;
	m->a.region = DRV_BAR;
	m->a.count = 8;
}

/* The socket's lock orders the ring's entries before the doorbell: no fence is needed. */
#define db_ring(fd, msg, q, tail)                                                                  \
	do {                                                                                       \
		(msg)->value = htole64((q)->id | (uint64_t)(tail) << GDMA_DB_TAIL_SHIFT);          \
		if (send(fd, msg, sizeof(*(msg)), MSG_NOSIGNAL) != (ssize_t)sizeof(*(msg)))        \
			die("doorbell", -EIO);                                                     \
	} while (0)

/* ---- Setting a case up ---------------------------------------------------------------------- */

/* A TCP flow from device 0 to device 1 whose hash is of receive queue @queue. */
static void make_frame(struct bench *b, struct frame *f, uint32_t size, uint32_t queue)
{
	struct frame_spec s = {.ip = 4, .proto = IPPROTO_TCP, .dport = 5001, .tcp_flags = 0x10};

	frame_addr(&s, lab_host(0, 0), lab_host(1, 0));
	s.payload_len = size - 54;
	for (s.sport = 1000; s.sport < 60000; s.sport++) {
		struct frame_spec probe = s;

		probe.payload_len = 0;
		frame_build(f, &probe);
		if (toeplitz_frame(toeplitz_ms_key, f, 1) % b->vp[1].n_indir % MAX_QUEUES == queue)
			break;
	}
	frame_build(f, &s);
	frame_make_partial(f, size == TSO_BYTES);
}

/* Fills the whole send queue with WQEs of one packet each, every one with its own bytes. */
static void write_wqes(struct bench *b, uint32_t q, uint32_t size)
{
	struct flow *f = &b->flow[q];
	struct drv_txq *tx = &b->vp[0].tx[q];
	struct frame *fr = malloc(sizeof(*fr));
	uint32_t room = ALIGN_UP(size, 256u), slots, head = f->sq->head, tail = f->sq->tail;
	bool tso = size == TSO_BYTES;

	if (!fr)
		die("memory", -ENOMEM);
	make_frame(b, fr, size, q);
	f->wqe_bu = tso ? 2 : 1;
	slots = TX_UNITS / f->wqe_bu;
	for (uint32_t i = 0; i < slots; i++) {
		/* Big packets share their bytes by 64: 4 MB, as much as a sender's socket buffer.
		 */
		uint32_t at = (tso ? i % 64 : i) * room;
		struct drv_tx t = {.tcp_csum = true, .v4 = true, .trans_off = fr->l4};
		struct drv_sge sge[3] = {{b->tx_gpa[q] + at, size}};
		struct mana_tx_oob oob;
		struct drv_wqe w = {.sge = sge, .num_sge = 1, .oob = &oob};

		memcpy(b->tx_buf[q] + at, fr->data, fr->len);
		if (tso) {
			t.ip_csum = true;
			sge[0].len = fr->payload;
			sge[1] = (struct drv_sge){sge[0].gpa + fr->payload, 32768};
			sge[2] = (struct drv_sge){sge[1].gpa + 32768, size - fr->payload - 32768};
			w.num_sge = 3;
			w.oob_in_sgl = true;
			w.data_unit = TSO_MSS;
		}
		w.oob_size = drv_tx_oob(tx, &t, &oob);
		f->sq->tail = f->sq->head;
		if (drv_wqe_post(f->sq, &w) != (int)(f->wqe_bu * GDMA_WQE_BU_SIZE))
			die("WQE", -EINVAL);
	}
	/* The ring is a whole number of WQEs: the same bytes serve every time around. */
	f->sq->head = head;
	f->sq->tail = tail;
	free(fr);
}

static void queues_up(struct bench *b, uint32_t size)
{
	struct drv_vport_conf tx = {.n_queues = MAX_QUEUES,
				    .tx_ring = TX_UNITS * GDMA_WQE_BU_SIZE,
				    .cq_size = TX_UNITS * GDMA_CQE_SIZE,
				    .rx_bufs = 64};
	struct drv_vport_conf rx = {.n_queues = MAX_QUEUES,
				    .tx_ring = 4096,
				    .rx_bufs = RX_BUFS,
				    .cq_size = 2 * RX_BUFS * GDMA_CQE_SIZE,
				    .rx_buf_size = size == 9014 ? 9216 : 2048,
				    .rss = true};
	int rc = drv_vport_up(&b->d[0], &b->vp[0], 0, &tx);

	memcpy(rx.key, toeplitz_ms_key, sizeof(rx.key));
	if (!rc)
		rc = drv_vport_up(&b->d[1], &b->vp[1], 0, &rx);
	if (rc)
		die("vPort", rc);
	for (uint32_t q = 0; q < MAX_QUEUES; q++) {
		struct flow *f = &b->flow[q];

		memset(f, 0, sizeof(*f));
		f->sq = &b->vp[0].tx[q].wq;
		f->scq = &b->vp[0].tx[q].cq;
		f->rq = &b->vp[1].rx[q].wq;
		f->rcq = &b->vp[1].rx[q].cq;
		db_init(&f->sq_db, f->sq, DOORBELL_OFFSET_SQ);
		db_init(&f->scq_db, f->scq, DOORBELL_OFFSET_CQ);
		db_init(&f->rq_db, f->rq, DOORBELL_OFFSET_RQ);
		db_init(&f->rcq_db, f->rcq, DOORBELL_OFFSET_CQ);
		write_wqes(b, q, size);
	}
}

static void queues_down(struct bench *b)
{
	for (int i = 0; i < 2; i++) {
		int rc = drv_vport_down(&b->vp[i]);

		if (rc)
			die("vPort down", rc);
	}
}

/* ---- The loop -----------------------------------------------------------------------------------
 */

static inline const uint8_t *next_cqe(const struct drv_queue *cq)
{
	uint32_t n = cq->size / GDMA_CQE_SIZE; /* a power of two */
	const uint8_t *cqe = cq->ring + (cq->head & (n - 1)) * GDMA_CQE_SIZE;
	uint32_t info = __atomic_load_n((const uint32_t *)(const void *)(cqe + GDMA_COMP_DATA_SIZE),
					__ATOMIC_ACQUIRE);

	return le32toh(info) >> GDMA_CQE_INFO_OWNER_SHIFT == ((cq->head / n) & GDMA_CQE_OWNER_MASK)
		       ? cqe
		       : NULL;
}

static inline void consumed(int fd, struct drv_queue *cq, void *msg)
{
	uint32_t n = cq->size / GDMA_CQE_SIZE;
	struct flow *f = NULL;
	__typeof__(f->sq_db) *m = msg;

	cq->head++;
	if (++cq->unrung == n) { /* at the latest after 4 times around, as Linux */
		cq->unrung = 0;
		db_ring(fd, m, cq, cq->head & ((n << GDMA_CQE_OWNER_BITS) - 1));
	}
}

static void reap_sent(struct flow *f, int fd)
{
	const uint8_t *cqe;

	while ((cqe = next_cqe(f->scq))) {
		if ((le32_load(cqe) & MANA_CQE_TYPE_MASK) != CQE_TX_OKAY)
			die("send completion", -EIO);
		f->sq->tail += f->wqe_bu;
		f->done++;
		consumed(fd, f->scq, &f->scq_db);
	}
}

static void reap_received(struct flow *f, int fd)
{
	const uint8_t *cqe;

	for (int i = 0; i < 64 && (cqe = next_cqe(f->rcq)); i++) {
		if ((le32_load(cqe) & MANA_CQE_TYPE_MASK) != CQE_RX_OKAY)
			die("receive completion", -EIO);
		f->received++;
		f->bytes += le16_load(cqe + offsetof(struct mana_rxcomp_oob, ppi));
		f->rx_owed++;
		consumed(fd, f->rcq, &f->rcq_db);
	}
	if (f->rx_owed >= RX_BATCH) {
		f->rq->tail += f->rx_owed;
		f->rq->head += f->rx_owed; /* the WQE there still names the same buffer */
		f->rx_owed = 0;
		db_ring(fd, &f->rq_db, f->rq, f->rq->head * GDMA_WQE_BU_SIZE);
	}
}

static inline void post(struct flow *f, int fd, uint32_t per_db)
{
	if (TX_UNITS - (f->sq->head - f->sq->tail) < per_db * f->wqe_bu)
		return;
	f->sq->head += per_db * f->wqe_bu;
	f->sent += per_db;
	db_ring(fd, &f->sq_db, f->sq, f->sq->head * GDMA_WQE_BU_SIZE);
}

/* Runs for @ns; with @send false until everything sent has completed and arrived. */
static void spin(struct bench *b, const struct bench_case *c, uint64_t ns, bool sending)
{
	int fd_tx = b->d[0].vc->fd, fd_rx = b->d[1].vc->fd;
	uint64_t end = now_ns() + ns;
	bool idle = false;

	while (!idle) {
		idle = !sending;
		for (int k = 0; k < 8; k++) {
			for (uint32_t q = 0; q < c->queues; q++) {
				struct flow *f = &b->flow[q];
				uint64_t before = f->received;

				if (sending)
					post(f, fd_tx, c->per_db);
				reap_sent(f, fd_tx);
				reap_received(f, fd_rx);
				idle &= f->done == f->sent && f->received == before;
			}
		}
		if (sending && now_ns() >= end)
			return;
		if (!sending && now_ns() >= end)
			die("packets on their way did not arrive", -ETIMEDOUT);
	}
}

static void get_cpu_clock(void *arg)
{
	pthread_getcpuclockid(pthread_self(), arg);
}

static uint64_t cpu_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

static uint64_t lost_packets(struct bench *b)
{
	struct mana_info info;

	lab_info(&b->lab, 1, &info);
	return info.vports[0].rx_no_buffer;
}

static void measure(struct bench *b, const struct bench_case *c, struct sample *s)
{
	uint64_t ns = (uint64_t)(b->seconds * 1e9), t0, t1, client, server, lost;
	uint64_t pkts = 0, bytes = 0;

	worker_set_spin(b->lab.worker[0], c->busy ? BUSY_NS : 0);
	spin(b, c, ns / 5, true);
	for (uint32_t q = 0; q < c->queues; q++) {
		pkts -= b->flow[q].received;
		bytes -= b->flow[q].bytes;
	}
	lost = lost_packets(b);
	client = cpu_ns(CLOCK_THREAD_CPUTIME_ID);
	server = cpu_ns(b->worker_clock);
	t0 = now_ns();
	spin(b, c, ns, true);
	t1 = now_ns();
	client = cpu_ns(CLOCK_THREAD_CPUTIME_ID) - client;
	server = cpu_ns(b->worker_clock) - server;
	for (uint32_t q = 0; q < c->queues; q++) {
		pkts += b->flow[q].received;
		bytes += b->flow[q].bytes;
	}
	s->lost = lost_packets(b) - lost;
	spin(b, c, 5 * NSEC_PER_SEC, false);
	worker_set_spin(b->lab.worker[0], 0);
	if (frame_sizes[c->size] == TSO_BYTES) /* count what was sent, not its segments */
		s->ns_pkt = (double)(t1 - t0) / ((double)bytes / TSO_BYTES);
	else
		s->ns_pkt = (double)(t1 - t0) / (double)pkts;
	s->mpps = (double)pkts * 1e3 / (double)(t1 - t0);
	s->gbps = (double)bytes * 8 / (double)(t1 - t0);
	s->client = (double)client / (double)(t1 - t0);
	s->server = (double)server / (double)(t1 - t0);
}

static double bare_doorbell(struct bench *b, bool busy)
{
	const struct bench_case c = {.queues = MAX_QUEUES};
	struct flow *f = &b->flow[0];
	uint64_t n = 0, t0, t1;

	worker_set_spin(b->lab.worker[0], busy ? BUSY_NS : 0);
	t0 = now_ns();
	do {
		for (int i = 0; i < 64; i++)
			db_ring(b->d[0].vc->fd, &f->sq_db, f->sq, f->sq->head * GDMA_WQE_BU_SIZE);
		n += 64;
		t1 = now_ns();
	} while (t1 - t0 < 100 * NSEC_PER_MSEC);
	drv_barrier(&b->d[0]);
	spin(b, &c, 5 * NSEC_PER_SEC, false);
	worker_set_spin(b->lab.worker[0], 0);
	return (double)(t1 - t0) / (double)n;
}

/*
 * GB/s of memcpy between as many buffers as the senders and receivers use. The target lies 1088
 * bytes further in its page than the source: where both have the same offset, glibc's "rep movsb"
 * of 2 KB and more is ten times slower on some processors, which is no measure of the memory.
 */
static double memcpy_rate(uint32_t size)
{
	uint32_t room = ALIGN_UP(size, 256u), n = size == TSO_BYTES ? 64 : TX_UNITS;
	size_t bytes_each = (size_t)room * n;
	uint8_t *from = aligned_alloc(4096, ALIGN_UP(bytes_each, (size_t)4096));
	uint8_t *to = aligned_alloc(4096, ALIGN_UP(bytes_each + 1088, (size_t)4096));
	uint64_t t0, t1, bytes = 0;

	if (!from || !to)
		die("memory", -ENOMEM);
	memset(from, 1, bytes_each);
	memset(to, 2, bytes_each + 1088);
	t0 = now_ns();
	do {
		for (uint32_t i = 0; i < n; i++) {
			memcpy(to + 1088 + (size_t)i * room, from + (size_t)i * room, size);
			__asm__ volatile("" ::: "memory");
		}
		bytes += (uint64_t)n * size;
		t1 = now_ns();
	} while (t1 - t0 < 50 * NSEC_PER_MSEC);
	free(from);
	free(to);
	return (double)bytes / (double)(t1 - t0);
}

/* ---- Figures
 * -------------------------------------------------------------------------------------- */

static int cmp_double(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median_of(const double *v, unsigned int n)
{
	double copy[MAX_ROUNDS];

	memcpy(copy, v, n * sizeof(*v));
	qsort(copy, n, sizeof(*copy), cmp_double);
	return n & 1 ? copy[n / 2] : (copy[n / 2 - 1] + copy[n / 2]) / 2;
}

static double median(const struct sample *s, unsigned int n, size_t off)
{
	double v[MAX_ROUNDS];

	for (unsigned int i = 0; i < n; i++)
		v[i] = *(const double *)(const void *)((const uint8_t *)&s[i] + off);
	return median_of(v, n);
}

#define MEDIAN(c, field) median((c)->s, b->rounds, offsetof(struct sample, field))

static uint64_t total_lost(const struct bench_case *c, unsigned int rounds)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < rounds; i++)
		sum += c->s[i].lost;
	return sum;
}

static void print_table(const struct bench *b, const struct bench_case *c, unsigned int n)
{
	printf("Two MANA devices, one worker, one client; median of %u rounds of %.2f s.\n"
	       "TSO: ns per 65000-byte packet, Mpps of its segments (MSS %d).\n\n",
	       b->rounds, b->seconds, TSO_MSS);
	printf("%-10s %-8s %4s %2s | %9s %7s %8s | %6s %6s | %12s %6s\n", "bytes", "server", "per",
	       "q", "ns/packet", "Mpps", "Gbit/s", "client", "server", "memcpy GB/s", "lost");
	printf("%-10s %-8s %4s %2s | %9s %7s %8s | %6s %6s | %12s %6s\n", "", "", "db", "", "", "",
	       "", "CPU", "CPU", "same size", "");
	for (unsigned int i = 0; i < n; i++, c++)
		printf("%-10s %-8s %4u %2u | %9.0f %7.3f %8.2f | %5.0f%% %5.0f%% | %12.2f %6llu\n",
		       size_names[c->size], c->busy ? "spinning" : "sleeping", c->per_db, c->queues,
		       MEDIAN(c, ns_pkt), MEDIAN(c, mpps), MEDIAN(c, gbps), MEDIAN(c, client) * 100,
		       MEDIAN(c, server) * 100, MEDIAN(c, copies),
		       (unsigned long long)total_lost(c, b->rounds));
	printf("\nA doorbell that says nothing new (the socket alone): %.0f ns to a spinning "
	       "server, "
	       "%.0f ns to a sleeping one.\n",
	       median_of(b->bare_db[1], b->rounds), median_of(b->bare_db[0], b->rounds));
}

static void print_json(const struct bench *b, const struct bench_case *c, unsigned int n)
{
	printf("{\"rounds\":%u,\"seconds\":%g,\"mss\":%d,\"doorbell_ns\":{\"spinning\":%.1f,"
	       "\"sleeping\":%.1f},\"cases\":[",
	       b->rounds, b->seconds, TSO_MSS, median_of(b->bare_db[1], b->rounds),
	       median_of(b->bare_db[0], b->rounds));
	for (unsigned int i = 0; i < n; i++, c++)
		printf("%s\n{\"size\":%u,\"tso\":%s,\"server\":\"%s\",\"per_doorbell\":%u,"
		       "\"queues\":%u,\"ns_per_packet\":%.1f,\"mpps\":%.4f,\"gbps\":%.3f,"
		       "\"client_cpu\":%.3f,\"server_cpu\":%.3f,\"memcpy_gbytes\":%.3f,"
		       "\"lost\":%llu}",
		       i ? "," : "", frame_sizes[c->size],
		       frame_sizes[c->size] == TSO_BYTES ? "true" : "false",
		       c->busy ? "spinning" : "sleeping", c->per_db, c->queues, MEDIAN(c, ns_pkt),
		       MEDIAN(c, mpps), MEDIAN(c, gbps), MEDIAN(c, client), MEDIAN(c, server),
		       MEDIAN(c, copies), (unsigned long long)total_lost(c, b->rounds));
	printf("\n]}\n");
}

/* ---- Start and stop
 * ----------------------------------------------------------------------------------- */

static void start(struct bench *b)
{
	struct lab_conf lc = {.n_devs = 2};
	struct drv_conf dc = {.mem_size = 64u << 20};
	int rc, cpu[2] = {0, 1};

	log_set_level(LOG_ERR);
	rc = lab_start(&b->lab, &lc);
	if (rc)
		die("lab", rc);
	if (sysconf(_SC_NPROCESSORS_ONLN) > 1) {
		bind_cpu(&cpu[0]);
		worker_call(b->lab.worker[0], bind_cpu, &cpu[1]);
	}
	worker_call(b->lab.worker[0], get_cpu_clock, &b->worker_clock);
	for (int i = 0; i < 2; i++) {
		int sock = lab_connect(&b->lab, (unsigned int)i);

		if (sock < 0)
			die("connect", sock);
		rc = drv_open(&b->d[i], sock, &dc);
		if (!rc)
			rc = drv_bring_up(&b->d[i]);
		if (rc)
			die("driver", rc);
	}
	for (uint32_t q = 0; q < MAX_QUEUES; q++) {
		b->tx_buf[q] = drv_alloc(&b->d[0], (size_t)TX_UNITS * 9216, &b->tx_gpa[q]);
		if (!b->tx_buf[q])
			die("guest memory", -ENOMEM);
	}
}

static void stop(struct bench *b)
{
	for (int i = 0; i < 2; i++) {
		drv_hwc_down(&b->d[i]);
		drv_close(&b->d[i]);
	}
	lab_stop(&b->lab);
}

static unsigned int make_cases(struct bench_case *c, const char *only)
{
	unsigned int n = 0;

	for (unsigned int size = 0; size < N_SIZES; size++)
		for (int busy = 0; busy < 2; busy++)
			for (uint32_t db = 1; db <= 16; db += 15)
				for (uint32_t q = 1; q <= MAX_QUEUES; q++)
					if (!only || !strcmp(only, size_names[size]) ||
					    !strncmp(only, size_names[size], strlen(only)))
						c[n++] = (struct bench_case){.size = size,
									     .per_db = db,
									     .queues = q,
									     .busy = busy};
	return n;
}

static int usage(void)
{
	fprintf(stderr,
		"usage: bench_emulator [--json] [--rounds N] [--seconds S] [--size "
		"64|1500|9000|65000]\n"
		"                      [--busy|--sleep] [--per-doorbell 1|16] [--queues 1|2]\n");
	return 2;
}

int main(int argc, char **argv)
{
	static struct bench bench;
	static struct bench_case all[64];
	static const struct option opts[] = {{"json", no_argument, NULL, 'j'},
					     {"rounds", required_argument, NULL, 'r'},
					     {"seconds", required_argument, NULL, 's'},
					     {"size", required_argument, NULL, 'z'},
					     {"busy", no_argument, NULL, 'b'},
					     {"sleep", no_argument, NULL, 'S'},
					     {"per-doorbell", required_argument, NULL, 'd'},
					     {"queues", required_argument, NULL, 'q'},
					     {NULL, 0, NULL, 0}};
	struct bench *b = &bench;
	const char *only = NULL;
	unsigned int n, kept = 0;
	int o, want_busy = -1, want_db = 0, want_q = 0;

	b->rounds = 5;
	b->seconds = 0.25;
	while ((o = getopt_long(argc, argv, "", opts, NULL)) != -1) {
		if (o == 'j')
			b->json = true;
		else if (o == 'r')
			b->rounds = (unsigned int)atoi(optarg);
		else if (o == 's')
			b->seconds = atof(optarg);
		else if (o == 'z')
			only = optarg;
		else if (o == 'b' || o == 'S')
			want_busy = o == 'b';
		else if (o == 'd')
			want_db = atoi(optarg);
		else if (o == 'q')
			want_q = atoi(optarg);
		else
			return usage();
	}
	if (optind != argc || !b->rounds || b->rounds > MAX_ROUNDS || b->seconds <= 0)
		return usage();
	n = make_cases(all, only);
	for (unsigned int i = 0; i < n; i++)
		if ((want_busy < 0 || all[i].busy == want_busy) &&
		    (!want_db || all[i].per_db == (uint32_t)want_db) &&
		    (!want_q || all[i].queues == (uint32_t)want_q))
			all[kept++] = all[i];
	if (!kept)
		return usage();
	start(b);
	for (unsigned int r = 0; r < b->rounds; r++) {
		double copy = 0;

		for (unsigned int i = 0; i < kept; i++) {
			bool first = !i || all[i].size != all[i - 1].size;

			if (first && i)
				queues_down(b);
			if (first) {
				copy = memcpy_rate(frame_sizes[all[i].size]);
				queues_up(b, frame_sizes[all[i].size]);
			}
			if (!i)
				for (int busy = 0; busy < 2; busy++)
					b->bare_db[busy][r] = bare_doorbell(b, busy);
			measure(b, &all[i], &all[i].s[r]);
			all[i].s[r].copies = copy;
		}
		queues_down(b);
		if (!b->json && isatty(STDERR_FILENO))
			fprintf(stderr, "round %u of %u\r", r + 1, b->rounds);
	}
	(b->json ? print_json : print_table)(b, all, kept);
	stop(b);
	return 0;
}
