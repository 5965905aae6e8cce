/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Ways between a packet socket and the kernel, side by side: what a frame costs by each of them.
 * The one that won is vswitch/ports/packet.c; the others stand here alone.
 *
 *	bench_uplink [rounds]
 *
 * A veth pair in a namespace of its own. Everything happens on one thread, so that its CPU time
 * holds all of it: the sender's system calls, the kernel's way through the pair, and the taking of
 * the frames, each copied once more into a memory of 64 MB as if a guest's. Each round runs every
 * way once; printed is the median. Between frames that come one by one the latency is the time
 * from the send to the frame in hand, sleeping in poll() meanwhile.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <liburing.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/util.h"

#define HERE	   "hvb0" /* frames leave here ... */
#define THERE	   "hvb1" /* ... and are taken there, or the other way round */
#define BATCH	   32
#define MAX_FRAME  (65536 + 64)
#define HDR	   ((unsigned int)sizeof(struct virtio_net_hdr))
#define GUEST_SIZE (64u << 20)
#define BLOCK	   (1u << 20)
#define BLOCKS	   16
#define SLOT	   (128u << 10) /* of the sending ring: the largest frame, a power of two */
#define MSS	   1448
#define MAX_ROUNDS 200
#define N_ECHOES   20

static void die(const char *what)
{
	fprintf(stderr, "bench_uplink: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t clock_of(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

/* ---- frames ---- */

static struct shape {
	const char *name;
	uint32_t len;
	unsigned int n; /* per fill */
	bool large;
} shapes[] = {
	{"64 B", 60, 256, false}, {"1500 B", 1514, 256, false}, {"64 KB TSO", 65000, 32, true}};

static struct virtio_net_hdr vnet;
static uint8_t frame[MAX_FRAME];
static uint8_t *guest; /* where frames are put, and where sent ones lie */
static size_t guest_at;

static void put16(uint8_t *p, unsigned int v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

/* IPv4 and UDP or TCP, to an address that nobody has. */
static void make_frame(const struct shape *s)
{
	uint8_t *ip = frame + ETH_HLEN, *l4 = ip + 20;
	uint32_t sum = 0;

	memset(frame, 0, sizeof(frame));
	memset(&vnet, 0, sizeof(vnet));
	memcpy(frame, "\x02\0\0\0\0\x99\x02\0\0\0\0\x98\x08\0", ETH_HLEN);
	ip[0] = 0x45;
	put16(ip + 2, s->len - ETH_HLEN);
	ip[8] = 64;
	ip[9] = s->large ? IPPROTO_TCP : IPPROTO_UDP;
	memcpy(ip + 12, "\x0a\x63\0\x01\x0a\x63\0\x02", 8);
	for (unsigned int i = 0; i < 20; i += 2)
		sum += (uint32_t)ip[i] << 8 | ip[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	put16(ip + 10, ~(sum + (sum >> 16)) & 0xffff);
	put16(l4, 9);
	put16(l4 + 2, 9);
	if (!s->large) {
		put16(l4 + 4, s->len - ETH_HLEN - 20);
		return;
	}
	l4[12] = 0x50;
	l4[13] = 0x10;
	vnet = (struct virtio_net_hdr){.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
				       .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
				       .hdr_len = ETH_HLEN + 40,
				       .gso_size = MSS,
				       .csum_start = ETH_HLEN + 20,
				       .csum_offset = 16};
}

static uint8_t *guest_room(uint32_t len)
{
	uint8_t *p;

	if (guest_at + len > GUEST_SIZE)
		guest_at = 0;
	p = guest + guest_at;
	guest_at += (len + 2047u) & ~2047u;
	return p;
}

static void to_guest(const uint8_t *from, uint32_t len)
{
	memcpy(guest_room(len), from, len);
}

/* ---- sockets ---- */

static int sock_open(const char *ifname, bool receives, int version)
{
	struct sockaddr_ll ll = {.sll_family = AF_PACKET};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), on = 1, size = 64 << 20;

	ll.sll_ifindex = (int)if_nametoindex(ifname);
	ll.sll_protocol = receives ? htons(ETH_P_ALL) : 0;
	if (fd < 0 || setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)))
		die("packet socket");
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	if (version < 0 && setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &on, sizeof(on)))
		die("PACKET_AUXDATA");
	if (version >= 0 && setsockopt(fd, SOL_PACKET, PACKET_VERSION, &version, sizeof(version)))
		die("PACKET_VERSION");
	if (setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)) ||
	    bind(fd, (struct sockaddr *)&ll, sizeof(ll)))
		die("bind");
	return fd;
}

/**
 * struct way - One way to receive, or to send
 * @open:	on interface THERE
 * @take:	takes at least one frame if there is any; how many
 * @send:	hands @n frames of @len bytes to the kernel
 */
struct way {
	const char *name;
	void (*open)(void);
	unsigned int (*take)(void);
	void (*send)(unsigned int n, uint32_t len);
	void (*close)(void);
	double cost[ARRAY_SIZE(shapes)][MAX_ROUNDS];
	double latency[MAX_ROUNDS];
};

static int fd = -1;
static uint8_t buffers[BATCH][HDR + MAX_FRAME];
static struct mmsghdr msgs[BATCH];
static struct iovec iovs[BATCH][3];
static char controls[BATCH][CMSG_SPACE(sizeof(struct tpacket_auxdata))];

static void plain_open(void)
{
	fd = sock_open(THERE, true, -1);
	for (unsigned int i = 0; i < BATCH; i++) {
		iovs[i][0] = (struct iovec){buffers[i], sizeof(buffers[i])};
		msgs[i].msg_hdr = (struct msghdr){.msg_iov = iovs[i], .msg_iovlen = 1};
		msgs[i].msg_hdr.msg_control = controls[i];
	}
}

static void plain_close(void)
{
	close(fd);
}

static unsigned int take_one(void)
{
	struct msghdr *m = &msgs[0].msg_hdr;
	ssize_t n;

	m->msg_controllen = sizeof(controls[0]);
	n = recvmsg(fd, m, MSG_DONTWAIT);
	if (n < (ssize_t)HDR)
		return 0;
	to_guest(buffers[0] + HDR, (uint32_t)n - HDR);
	return 1;
}

static unsigned int take_many(void)
{
	int n;

	for (unsigned int i = 0; i < BATCH; i++)
		msgs[i].msg_hdr.msg_controllen = sizeof(controls[i]);
	n = recvmmsg(fd, msgs, BATCH, MSG_DONTWAIT, NULL);
	for (int i = 0; i < n; i++)
		to_guest(buffers[i] + HDR, msgs[i].msg_len - HDR);
	return n > 0 ? (unsigned int)n : 0;
}

/* ---- a ring of blocks, TPACKET_V3 ---- */

static uint8_t *ring;
static unsigned int block_at;

static void ring_open(void)
{
	struct tpacket_req3 req = {.tp_block_size = BLOCK,
				   .tp_block_nr = BLOCKS,
				   .tp_frame_size = 2048,
				   .tp_frame_nr = BLOCK / 2048 * BLOCKS,
				   .tp_retire_blk_tov = 1};

	fd = sock_open(THERE, true, TPACKET_V3);
	if (setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &req, sizeof(req)))
		die("PACKET_RX_RING");
	ring = mmap(NULL, (size_t)BLOCK * BLOCKS, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (ring == MAP_FAILED)
		die("mmap");
	block_at = 0;
}

static void ring_close(void)
{
	munmap(ring, (size_t)BLOCK * BLOCKS);
	close(fd);
}

static unsigned int take_block(void)
{
	struct tpacket_block_desc *b = (void *)(ring + (size_t)block_at * BLOCK);
	const struct tpacket3_hdr *h;
	unsigned int n;

	if (!(__atomic_load_n(&b->hdr.bh1.block_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER))
		return 0;
	n = b->hdr.bh1.num_pkts;
	h = (void *)((uint8_t *)b + b->hdr.bh1.offset_to_first_pkt);
	for (unsigned int i = 0; i < n; i++) {
		to_guest((const uint8_t *)h + h->tp_mac, h->tp_snaplen);
		h = (void *)((uint8_t *)h + h->tp_next_offset);
	}
	__atomic_store_n(&b->hdr.bh1.block_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
	block_at = (block_at + 1) % BLOCKS;
	return n;
}

/* ---- a ring of slots, TPACKET_V2; each as large as the largest frame ---- */

#define RX_SLOT	 (MAX_FRAME + 448)
#define RX_BLOCK (512u << 10)
#define IN_BLOCK (RX_BLOCK / RX_SLOT)
#define N_SLOTS	 (BLOCKS2 * IN_BLOCK)
#define BLOCKS2	 40u

static void slots_open(void)
{
	struct tpacket_req req = {.tp_block_size = RX_BLOCK,
				  .tp_block_nr = BLOCKS2,
				  .tp_frame_size = RX_SLOT,
				  .tp_frame_nr = N_SLOTS};

	fd = sock_open(THERE, true, TPACKET_V2);
	if (setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &req, sizeof(req)))
		die("PACKET_RX_RING, TPACKET_V2");
	ring = mmap(NULL, (size_t)RX_BLOCK * BLOCKS2, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (ring == MAP_FAILED)
		die("mmap");
	block_at = 0;
}

static void slots_close(void)
{
	munmap(ring, (size_t)RX_BLOCK * BLOCKS2);
	close(fd);
}

static unsigned int take_slots(void)
{
	unsigned int n = 0;

	for (; n < BATCH; n++) {
		struct tpacket2_hdr *h = (void *)(ring + (size_t)(block_at / IN_BLOCK) * RX_BLOCK +
						  (size_t)(block_at % IN_BLOCK) * RX_SLOT);

		if (!(__atomic_load_n(&h->tp_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER))
			break;
		to_guest((const uint8_t *)h + h->tp_mac, h->tp_snaplen);
		__atomic_store_n(&h->tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
		block_at = (block_at + 1) % N_SLOTS;
	}
	return n;
}

/* ---- io_uring: one recvmsg that goes on, buffers of ours ---- */

#define URING_BUF (HDR + MAX_FRAME + 256)

static struct io_uring uring;
static struct io_uring_buf_ring *bufs;
static uint8_t *buf_mem;
static struct msghdr shot;
static bool armed;

static void arm(void)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&uring);

	io_uring_prep_recvmsg_multishot(sqe, fd, &shot, 0);
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = 1;
	io_uring_submit(&uring);
	armed = true;
}

static void give_buffer(unsigned int i)
{
	io_uring_buf_ring_add(bufs, buf_mem + (size_t)i * URING_BUF, URING_BUF, (uint16_t)i,
			      io_uring_buf_ring_mask(BATCH), 0);
	io_uring_buf_ring_advance(bufs, 1);
}

static void uring_open(void)
{
	struct io_uring_buf_reg reg = {.ring_entries = BATCH, .bgid = 1};
	struct io_uring_params p = {.flags = IORING_SETUP_CQSIZE | IORING_SETUP_SINGLE_ISSUER |
					     IORING_SETUP_DEFER_TASKRUN,
				    .cq_entries = 1024};

	fd = sock_open(THERE, true, -1);
	if (io_uring_queue_init_params(64, &uring, &p))
		die("io_uring");
	bufs = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (!buf_mem)
		buf_mem = calloc(BATCH, URING_BUF);
	reg.ring_addr = (uintptr_t)bufs;
	if (bufs == MAP_FAILED || !buf_mem || io_uring_register_buf_ring(&uring, &reg, 0))
		die("io_uring_register_buf_ring");
	io_uring_buf_ring_init(bufs);
	for (unsigned int i = 0; i < BATCH; i++)
		give_buffer(i);
	shot = (struct msghdr){.msg_controllen = sizeof(controls[0])};
	arm();
}

static void uring_close(void)
{
	io_uring_queue_exit(&uring);
	munmap(bufs, 4096);
	close(fd);
}

static unsigned int take_shots(void)
{
	struct io_uring_cqe *cqe;
	unsigned int n = 0, head, seen = 0;

	if (!armed)
		arm();
	io_uring_get_events(&uring);
	io_uring_for_each_cqe(&uring, head, cqe)
	{
		seen++;
		if (!(cqe->flags & IORING_CQE_F_MORE))
			armed = false;
		if (cqe->res > 0) {
			unsigned int id = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
			struct io_uring_recvmsg_out *o = (void *)(buf_mem + (size_t)id * URING_BUF);
			uint8_t *data = (uint8_t *)io_uring_recvmsg_payload(o, &shot);

			to_guest(data + HDR, o->payloadlen - HDR);
			give_buffer(id);
			n++;
		}
	}
	io_uring_cq_advance(&uring, seen);
	return n;
}

/* ---- sending ---- */

static void send_open(void)
{
	fd = sock_open(HERE, false, -1);
}

/* From where it lies, or by way of a buffer of ours. */
static void message(unsigned int i, uint32_t len, bool copy)
{
	uint8_t *from = guest_room(len);

	memcpy(from, frame, 64);
	if (copy) {
		memcpy(buffers[i], &vnet, HDR);
		memcpy(buffers[i] + HDR, from, len);
		iovs[i][0] = (struct iovec){buffers[i], HDR + len};
	} else {
		iovs[i][0] = (struct iovec){&vnet, HDR};
		iovs[i][1] = (struct iovec){frame, MIN(len, 54u)};
		iovs[i][2] = (struct iovec){from + 54, len - MIN(len, 54u)};
	}
	msgs[i].msg_hdr = (struct msghdr){.msg_iov = iovs[i], .msg_iovlen = copy ? 1 : 3};
}

/* @batch frames a system call. */
static void send_plain(unsigned int n, uint32_t len, unsigned int batch, bool copy)
{
	unsigned int part;

	for (; n; n -= part) {
		part = MIN(n, batch);
		for (unsigned int i = 0; i < part; i++)
			message(i, len, copy);
		if (batch == 1 ? sendmsg(fd, &msgs[0].msg_hdr, 0) < 0
			       : sendmmsg(fd, msgs, part, 0) != (int)part)
			die("sending");
	}
}

#define SENDER(name, batch, copy)                                                                  \
	static void name(unsigned int n, uint32_t len)                                             \
	{                                                                                          \
		send_plain(n, len, batch, copy);                                                   \
	}
SENDER(send_one_copied, 1, true)
SENDER(send_one_gathered, 1, false)
SENDER(send_many_copied, BATCH, true)
SENDER(send_many_gathered, BATCH, false)

static void send_uring_open(void)
{
	send_open();
	if (io_uring_queue_init(64, &uring,
				IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN))
		die("io_uring");
}

static void send_uring_close(void)
{
	io_uring_queue_exit(&uring);
	close(fd);
}

static void send_uring(unsigned int n, uint32_t len)
{
	for (; n; n -= MIN(n, (unsigned int)BATCH)) {
		unsigned int part = MIN(n, (unsigned int)BATCH), head, seen = 0;
		struct io_uring_cqe *cqe;

		for (unsigned int i = 0; i < part; i++) {
			message(i, len, false);
			io_uring_prep_sendmsg(io_uring_get_sqe(&uring), fd, &msgs[i].msg_hdr, 0);
		}
		if (io_uring_submit_and_wait(&uring, part) < 0)
			die("io_uring");
		io_uring_for_each_cqe(&uring, head, cqe)
		{
			if (cqe->res < 0)
				die("io_uring sendmsg");
			seen++;
		}
		io_uring_cq_advance(&uring, seen);
	}
}

static void send_ring_open(void)
{
	struct tpacket_req3 req = {.tp_block_size = SLOT,
				   .tp_block_nr = BATCH,
				   .tp_frame_size = SLOT,
				   .tp_frame_nr = BATCH};

	fd = sock_open(HERE, false, TPACKET_V3);
	if (setsockopt(fd, SOL_PACKET, PACKET_TX_RING, &req, sizeof(req)))
		die("PACKET_TX_RING");
	ring = mmap(NULL, (size_t)SLOT * BATCH, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (ring == MAP_FAILED)
		die("mmap");
	block_at = 0;
}

static void send_ring_close(void)
{
	munmap(ring, (size_t)SLOT * BATCH);
	close(fd);
}

static void send_ring(unsigned int n, uint32_t len)
{
	for (; n; n -= MIN(n, (unsigned int)BATCH)) {
		unsigned int part = MIN(n, (unsigned int)BATCH);

		for (unsigned int i = 0; i < part; i++) {
			struct tpacket3_hdr *h = (void *)(ring + (size_t)block_at * SLOT);
			uint8_t *data = (uint8_t *)h + TPACKET_ALIGN(sizeof(*h));
			uint8_t *from = guest_room(len);

			if (__atomic_load_n(&h->tp_status, __ATOMIC_ACQUIRE) != TP_STATUS_AVAILABLE)
				die("the sending ring is full");
			memcpy(from, frame, 64);
			memcpy(data, &vnet, HDR);
			memcpy(data + HDR, from, len);
			h->tp_len = HDR + len;
			h->tp_next_offset = 0;
			__atomic_store_n(&h->tp_status, TP_STATUS_SEND_REQUEST, __ATOMIC_RELEASE);
			block_at = (block_at + 1) % BATCH;
		}
		if (send(fd, NULL, 0, 0) < 0)
			die("send");
	}
}

/* ---- the runs ---- */

static struct way receivers[] = {
	{"recvmsg, one frame each", plain_open, take_one, NULL, plain_close, {{0}}, {0}},
	{"recvmmsg, 32", plain_open, take_many, NULL, plain_close, {{0}}, {0}},
	{"TPACKET_V3 ring", ring_open, take_block, NULL, ring_close, {{0}}, {0}},
	{"TPACKET_V2 ring", slots_open, take_slots, NULL, slots_close, {{0}}, {0}},
	{"io_uring multishot recvmsg", uring_open, take_shots, NULL, uring_close, {{0}}, {0}},
};

static struct way senders[] = {
	{"sendmsg, copied first", send_open, NULL, send_one_copied, plain_close, {{0}}, {0}},
	{"sendmsg, gathered", send_open, NULL, send_one_gathered, plain_close, {{0}}, {0}},
	{"sendmmsg 32, copied first", send_open, NULL, send_many_copied, plain_close, {{0}}, {0}},
	{"sendmmsg 32, gathered", send_open, NULL, send_many_gathered, plain_close, {{0}}, {0}},
	{"io_uring sendmsg, gathered",
	 send_uring_open,
	 NULL,
	 send_uring,
	 send_uring_close,
	 {{0}},
	 {0}},
	{"TPACKET_V3 ring", send_ring_open, NULL, send_ring, send_ring_close, {{0}}, {0}},
};

static int feeder = -1;

static void feed(unsigned int n, uint32_t len)
{
	struct iovec iov[2] = {{&vnet, HDR}, {frame, len}};

	while (n--)
		if (writev(feeder, iov, 2) < 0)
			die("feeding");
}

/* CPU time of @n frames from the sender's system call into the guest's memory. */
static double run_receiver(struct way *w, const struct shape *s)
{
	uint64_t deadline = now_ns() + 2 * NSEC_PER_SEC, began;
	unsigned int got = 0;

	began = clock_of(CLOCK_THREAD_CPUTIME_ID);
	feed(s->n, s->len);
	while (got < s->n) {
		unsigned int n = w->take();

		got += n;
		if (!n) {
			struct pollfd p = {.fd = fd, .events = POLLIN};

			poll(&p, 1, 10);
		}
		if (now_ns() > deadline) {
			fprintf(stderr, "bench_uplink: %s: %u of %u frames\n", w->name, got, s->n);
			exit(1);
		}
	}
	return (double)(clock_of(CLOCK_THREAD_CPUTIME_ID) - began) / s->n;
}

static double run_sender(struct way *w, const struct shape *s)
{
	uint64_t began = clock_of(CLOCK_THREAD_CPUTIME_ID);

	w->send(s->n, s->len);
	return (double)(clock_of(CLOCK_THREAD_CPUTIME_ID) - began) / s->n;
}

static double run_latency(struct way *w)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < N_ECHOES; i++) {
		uint64_t began = now_ns();

		feed(1, 60);
		while (!w->take()) {
			struct pollfd p = {.fd = w->take == take_shots ? uring.ring_fd : fd,
					   .events = POLLIN};

			poll(&p, 1, 100);
		}
		sum += now_ns() - began;
	}
	return (double)sum / N_ECHOES / 1e3;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double median(double *v, unsigned int n)
{
	qsort(v, n, sizeof(*v), by_value);
	return v[n / 2];
}

static void print_ways(struct way *ways, unsigned int n, unsigned int rounds)
{
	for (unsigned int w = 0; w < n; w++) {
		printf("%-28s", ways[w].name);
		for (unsigned int s = 0; s < ARRAY_SIZE(shapes); s++) {
			double ns = median(ways[w].cost[s], rounds);

			printf(" %7.0f ns %6.2f %s", ns,
			       shapes[s].large ? shapes[s].len * 8 / ns : 1e3 / ns,
			       shapes[s].large ? "Gbit/s" : "Mpps  ");
		}
		if (ways[w].take)
			printf(" %8.0f us", median(ways[w].latency, rounds));
		printf("\n");
	}
}

static void heading(const char *what, const char *last)
{
	printf("\n%-28s", what);
	for (unsigned int s = 0; s < ARRAY_SIZE(shapes); s++)
		printf(" %-24s", shapes[s].name);
	printf("%s\n", last);
}

static void set_up(void)
{
	if (unshare(CLONE_NEWNET))
		die("a network namespace (CAP_SYS_ADMIN)");
	if (system("sysctl -q net.ipv6.conf.default.disable_ipv6=1; "
		   "ip link add " HERE " up arp off type veth peer name " THERE " && "
		   "ip link set dev " THERE " up arp off"))
		die("ip link add");
	guest = mmap(NULL, GUEST_SIZE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (guest == MAP_FAILED)
		die("memory");
	feeder = sock_open(HERE, false, -1);
}

int main(int argc, char **argv)
{
	unsigned int rounds = argc > 1 ? (unsigned int)atoi(argv[1]) : 41;

	rounds = MIN(MAX(rounds, 1u), (unsigned int)MAX_ROUNDS);
	set_up();
	for (unsigned int r = 0; r < rounds; r++)
		for (unsigned int s = 0; s < ARRAY_SIZE(shapes); s++) {
			make_frame(&shapes[s]);
			for (unsigned int w = 0; w < ARRAY_SIZE(receivers); w++) {
				receivers[w].open();
				receivers[w].cost[s][r] = run_receiver(&receivers[w], &shapes[s]);
				if (!s)
					receivers[w].latency[r] = run_latency(&receivers[w]);
				receivers[w].close();
			}
			for (unsigned int w = 0; w < ARRAY_SIZE(senders); w++) {
				senders[w].open();
				senders[w].cost[s][r] = run_sender(&senders[w], &shapes[s]);
				senders[w].close();
			}
		}
	printf("CPU time of one thread per frame, median of %u rounds\n", rounds);
	heading("receive, with the feeding", "latency, one by one");
	print_ways(receivers, ARRAY_SIZE(receivers), rounds);
	heading("send, nobody receives", "");
	print_ways(senders, ARRAY_SIZE(senders), rounds);
	return 0;
}
