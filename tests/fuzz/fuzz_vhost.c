/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Feeds a vhost port what a front end and its guest might: messages through a real socket, and
 * bytes in shared memory that the rings lie in.
 *
 * Input: steps of a control byte and two bytes of length (little endian), a number byte, and as
 *many bytes. The low three bits of the control byte say what a step is:
 *
 *	0	a message with that number as its request; the header is made here
 *	1	the same, with a descriptor of the memory (0x10: an eventfd) and 0x20: NEED_REPLY
 *	2	the bytes go to the memory, at 256 times the number
 *	3	the bytes as they are, on the socket
 *	4	kick ring (number % 4); a neighbour sends frames to the port
 *	5	wait until what was sent is done
 *	6	turn the rings on as a good driver does: what a fuzzer does not find by itself
 *	7	add the first two bytes to the available index of ring (number % 4), then kick
 *
 * Memory is 64 KiB at guest address 0 and user address 0x10000. Rings made by step 6 have 16
 * entries at 0x1000 * (1 + ring), available rings 0x400 behind, used rings 0x800.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/util.h"
#include "vswitch/ports/vhost.h"
#include "vswitch/ports/vhost_proto.h"
#include "vswitch/vswitch.h"

#define MEM_SIZE 65536u
#define USER	 0x10000ull
#define N_RINGS	 4

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct worker *w;
static struct vhost *vh;
static struct vsw_net *net;
static struct vsw_port peer; /* sends to the port; what comes back it counts */
static int mem_fd, kick[N_RINGS], call_fd;
static uint8_t *mem;
static int sock;

static unsigned int peer_deliver(struct vsw_port *port, struct pkt **pkts, unsigned int n)
{
	/* Read every byte: the views must point at memory. */
	volatile uint8_t sum = 0;

	for (unsigned int i = 0; i < n; i++)
		for (unsigned int k = 0; k < pkts[i]->n_pieces; k++)
			for (uint32_t at = 0; at < pkts[i]->piece[k].len; at++)
				sum = (uint8_t)(sum + pkts[i]->piece[k].ptr[at]);
	vsw_port_received(port, n, 0);
	return n;
}

static const struct vsw_port_ops peer_ops = {.deliver = peer_deliver};

static void start(void)
{
	static const struct worker_conf wc = {.name = "fuzz"};
	static const uint8_t mac[2][6] = {{2, 0, 0, 0, 0, 1}, {2, 0, 0, 0, 0, 2}};
	static const struct vsw_net_conf nc = {.name = "fuzz", .mtu = 9000};
	struct vhost_conf vc = {.name = "fuzz", .max_queues = N_RINGS / 2, .hold_ms = 1};
	struct vsw *vsw = vsw_new();

	log_set_level(LOG_ERR);
	w = worker_new(&wc);
	assert(w && vsw);
	net = vsw_net_add(vsw, &nc);
	assert(net);
	memcpy(vc.mac, mac[0], 6);
	vh = vhost_new(w, &vc);
	assert(vh);
	vsw_port_init(&peer, &peer_ops, "peer", mac[1]);
	atomic_store(&peer.link, true);
	atomic_store(&peer.receiving, true);
	if (vsw_port_attach(net, vhost_port(vh)) || vsw_port_attach(net, &peer))
		abort();
	mem_fd = memfd_create("fuzz", MFD_CLOEXEC);
	if (mem_fd < 0 || ftruncate(mem_fd, MEM_SIZE) < 0)
		abort();
	mem = mmap(NULL, MEM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, mem_fd, 0);
	assert(mem != MAP_FAILED);
	for (unsigned int i = 0; i < N_RINGS; i++)
		kick[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

static void nothing(void *arg)
{
	(void)arg;
}

static void drain(void)
{
	uint8_t buf[4096];
	int fds[8];
	unsigned int n_fds;
	ssize_t n;

	do {
		n_fds = ARRAY_SIZE(fds);
		n = fd_recv(sock, buf, sizeof(buf), fds, &n_fds, MSG_DONTWAIT);
		fd_close_all(fds, n > 0 ? n_fds : 0);
	} while (n > 0);
}

/* Never waits for the server: what does not fit is lost, as from a client that gave up. */
static void put(uint32_t request, uint32_t flags, const void *body, size_t size, int fd)
{
	struct vhost_user_hdr h = {request, VHOST_USER_VERSION | flags, (uint32_t)size};
	struct iovec iov[2] = {{&h, sizeof(h)}, {(void *)(uintptr_t)body, size}};

	fd_send(sock, iov, 2, &fd, fd >= 0, MSG_DONTWAIT);
}

static void put_state(uint32_t request, uint32_t index, uint32_t num)
{
	struct vhost_vring_state s = {index, num};

	put(request, 0, &s, sizeof(s), -1);
}

static void rings_on(uint8_t how)
{
	struct vhost_user_mem m = {.n_regions = 1, .region = {{0, MEM_SIZE, USER, 0}}};
	uint64_t features = 1ull << VHOST_USER_F_PROTOCOL_FEATURES | 1ull << VIRTIO_F_VERSION_1 |
			    1ull << VIRTIO_NET_F_CSUM | 1ull << VIRTIO_NET_F_HOST_TSO4,
		 protocol = 1ull << VHOST_USER_PROTOCOL_F_REPLY_ACK;

	if (how & 1)
		features |= 1ull << VIRTIO_NET_F_MRG_RXBUF | 1ull << VIRTIO_RING_F_EVENT_IDX;
	if (how & 2)
		features |= 1ull << VIRTIO_RING_F_INDIRECT_DESC | 1ull << VIRTIO_NET_F_GUEST_CSUM |
			    1ull << VIRTIO_NET_F_GUEST_TSO4;
	put(VHOST_USER_SET_PROTOCOL_FEATURES, 0, &protocol, sizeof(protocol), -1);
	put(VHOST_USER_SET_FEATURES, 0, &features, sizeof(features), -1);
	put(VHOST_USER_SET_MEM_TABLE, 0, &m, 8 + sizeof(m.region[0]), mem_fd);
	for (uint32_t i = 0; i < N_RINGS; i++) {
		uint64_t at = USER + 0x1000 * (1 + i), word = i;
		struct vhost_vring_addr a = {
			.index = i, .desc = at, .avail = at + 0x400, .used = at + 0x800};

		put_state(VHOST_USER_SET_VRING_NUM, i, 16);
		put(VHOST_USER_SET_VRING_ADDR, 0, &a, sizeof(a), -1);
		put(VHOST_USER_SET_VRING_CALL, 0, &word, sizeof(word), call_fd);
		put(VHOST_USER_SET_VRING_KICK, 0, &word, sizeof(word), kick[i]);
		put_state(VHOST_USER_SET_VRING_ENABLE, i, 1);
	}
}

static void neighbour_sends(void *arg)
{
	static uint8_t frame[3000] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5};
	static const uint32_t len[] = {60, 300, 1514, 3000};

	(void)arg;
	for (unsigned int i = 0; i < ARRAY_SIZE(len); i++) {
		struct iovec iov = {frame, len[i]};
		struct pkt pkt, *p = &pkt;

		if (pkt_from_iov(&pkt, &iov, 1))
			abort();
		pkt.flags |= PKT_NO_WAIT;
		vsw_send(&peer, &p, 1);
	}
}

static void step(uint8_t control, uint8_t number, const uint8_t *data, size_t len)
{
	struct iovec iov = {(void *)(uintptr_t)data, len};
	uint32_t flags = control & 0x20 ? VHOST_USER_NEED_REPLY : 0;
	size_t at = number * 256u;
	uint16_t idx;

	switch (control & 7) {
	case 0:
		put(number, flags, data, len, -1);
		break;
	case 1:
		put(number, flags, data, len, control & 0x10 ? kick[0] : mem_fd);
		break;
	case 2:
		memcpy(mem + at, data, MIN(len, MEM_SIZE - at));
		break;
	case 3:
		if (len)
			fd_send(sock, &iov, 1, NULL, 0, MSG_DONTWAIT);
		break;
	case 4:
		fd_event_signal(kick[number % N_RINGS]);
		worker_call(w, neighbour_sends, NULL);
		break;
	case 6:
		rings_on(number);
		break;
	case 7:
		at = 0x1000 * (1 + number % N_RINGS) + 0x402;
		idx = (uint16_t)(le16_load(mem + at) + (len > 1 ? le16_load(data) : 1));
		le16_store(mem + at, idx);
		fd_event_signal(kick[number % N_RINGS]);
		break;
	default:
		break;
	}
	if ((control & 7) >= 4) {
		/* Three turns: messages, rings, what they have posted. */
		for (unsigned int i = 0; i < 3; i++)
			worker_call(w, nothing, NULL);
		drain();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vhost_info info;
	int pair[2];

	if (!w)
		start();
	memset(mem, 0, MEM_SIZE);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return 0;
	sock = pair[0];
	if (vhost_attach_fd(vh, pair[1]))
		abort();
	while (size >= 4) {
		size_t len = MIN(le16_load(data + 1), size - 4);

		step(data[0], data[3], data + 4, len);
		data += 4 + len;
		size -= 4 + len;
	}
	shutdown(sock, SHUT_WR);
	/* The server reads to the end, then drops us; nothing may keep it from that. */
	do {
		drain();
		vhost_get_info(vh, &info);
	} while (info.connected);
	assert(!info.driven && !info.n_txq && !info.n_rxq);
	close(sock);
	return 0;
}
