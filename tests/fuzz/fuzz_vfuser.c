/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Feeds the vfio-user server what a client might send, through a real socket.
 *
 * Input: steps of a control byte, two bytes of length (little endian), a command byte, and as many
 * bytes. Bits of the control byte:
 *
 *	0x01	pass a memfd with the bytes
 *	0x02	pass an eventfd
 *	0x04	raise interrupts afterwards
 *	0x08	start DMA by messages afterwards
 *	0x10	the bytes are the body of a message of that command, and the header is made here, so
 *		that the fuzzer need not learn lengths; else they go as they are
 *	0x20	that message wants no reply
 *	0x40	(first step only) the server with native MSI-X, else the masquerade
 *	0x80	(first step only) no good VERSION is sent before
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
#include "base/wire.h"
#include "vfio/proto.h"
#include "vfio/vfuser.h"

#define MEM_SIZE (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct worker *w;
static struct vfuser *vu[2]; /* masquerade, native */
static int mem_fd, event_fd;
static uint8_t bar[0x10000];

static int on_read(void *dev, unsigned int region, uint64_t off, void *buf, size_t size)
{
	(void)dev;
	(void)region;
	assert(off <= sizeof(bar) && size <= sizeof(bar) - off);
	memcpy(buf, bar + off, size);
	return 0;
}

/* What a device does with what it is told: looks at the memory it is pointed to. */
static int on_write(void *dev, unsigned int region, uint64_t off, const void *buf, size_t size)
{
	struct vfuser *v = *(struct vfuser **)dev;
	uint64_t addr = 0;
	uint8_t look[64];

	(void)region;
	assert(off <= sizeof(bar) && size <= sizeof(bar) - off);
	memcpy(&addr, buf, MIN(size, sizeof(addr)));
	guest_mem_read(vfuser_mem(v), addr, look, sizeof(look));
	vfuser_irq_raise(v, (unsigned int)addr & 7);
	if (off == 0x66)
		vfuser_kick(v);
	return 0;
}

static void dma_done(void *arg, int rc)
{
	(void)rc;
	free(arg);
}

static void start_dma(void *arg)
{
	void *buf = malloc(256);

	if (buf && vfuser_dma_read(arg, 0x1000, buf, 256, dma_done, buf))
		free(buf);
	buf = malloc(256);
	if (buf) {
		memset(buf, 0x5a, 256);
		if (vfuser_dma_write(arg, 0x2000, buf, 256, dma_done, buf))
			free(buf);
	}
}

static const struct vfuser_ops ops = {.region_read = on_read, .region_write = on_write};

static void start(void)
{
	static const struct worker_conf wc = {.name = "fuzz"};

	log_set_level(LOG_ERR);
	w = worker_new(&wc);
	assert(w);
	for (int i = 0; i < 2; i++) {
		struct vfuser_conf conf = {
			.name = "fuzz",
			.ops = &ops,
			.dev = &vu[i],
			.vendor = 0x1af4,
			.device = 0x10f1,
			.bars = {[0] = {.size = sizeof(bar), .is_64bit = true},
				 [2] = {.size = 0x2000}},
			.n_msix = 8,
			.msix_bar = 2,
			.msix_pba_offset = 0x1000,
			.msix_mode = i ? VFUSER_MSIX_NATIVE : VFUSER_MSIX_MASQUERADE,
			.intx = true,
			.cap_pm = true,
			.cap_pcie = true,
			.max_dma_maps = 32,
			.max_data_xfer = 65536,
		};

		vu[i] = vfuser_new(w, &conf);
		assert(vu[i]);
	}
	mem_fd = memfd_create("fuzz", MFD_CLOEXEC);
	assert(mem_fd >= 0 && !ftruncate(mem_fd, MEM_SIZE));
	event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

struct attach {
	struct vfuser *vu;
	int fd;
};

static void do_attach(void *arg)
{
	struct attach *a = arg;
	int rc = vfuser_attach(a->vu, a->fd);

	assert(!rc);
	(void)rc;
}

static void nothing(void *arg)
{
	(void)arg;
}

static void nothing_is_left(void *arg)
{
	assert(!guest_mem_count(vfuser_mem(arg)) && !vfuser_bus_master(arg));
}

/* Never waits for the server: what does not fit is lost, as from a client that gave up. */
static void put(int fd, const void *head, size_t head_size, const void *body, size_t size,
		uint8_t control)
{
	struct iovec iov[2] = {{(void *)(uintptr_t)head, head_size},
			       {(void *)(uintptr_t)body, size}};
	int fds[2];
	unsigned int n_fds = 0;

	if (control & 1)
		fds[n_fds++] = mem_fd;
	if (control & 2)
		fds[n_fds++] = event_fd;
	if (head_size + size)
		fd_send(fd, iov, 2, fds, n_fds, MSG_DONTWAIT);
}

static void drain(int fd)
{
	uint8_t buf[65536];
	ssize_t n;

	do {
		int fds[16];
		unsigned int n_fds = ARRAY_SIZE(fds);

		n = fd_recv(fd, buf, sizeof(buf), fds, &n_fds, MSG_DONTWAIT);
		fd_close_all(fds, n > 0 ? n_fds : 0);
	} while (n > 0);
}

static void say_version(int fd)
{
	struct {
		struct vfio_user_hdr h;
		struct vfio_user_version v;
	} q = {{1, VFIO_USER_VERSION, sizeof(q), 0, 0}, {0, 0}};

	put(fd, &q, sizeof(q), NULL, 0, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct attach a;
	int pair[2];

	if (!w)
		start();
	a.vu = vu[size && (data[0] & 0x40)];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return 0;
	a.fd = pair[1];
	worker_call(w, do_attach, &a);
	if (size && !(data[0] & 0x80))
		say_version(pair[0]);
	while (size >= 4) {
		uint8_t control = data[0];
		size_t len = MIN(le16_load(data + 1), size - 4);
		struct vfio_user_hdr h = {.id = 7,
					  .cmd = data[3],
					  .size = (uint32_t)(sizeof(h) + len),
					  .flags = control & 0x20 ? VFIO_USER_F_NO_REPLY : 0};

		data += 4;
		size -= 4;
		put(pair[0], &h, control & 0x10 ? sizeof(h) : 0, data, len, control);
		data += len;
		size -= len;
		if (control & 4)
			for (unsigned int i = 0; i < 9; i++)
				vfuser_irq_raise(a.vu, i);
		if (control & 8)
			worker_call(w, start_dma, a.vu);
		drain(pair[0]);
	}
	shutdown(pair[0], SHUT_WR);
	/* The server reads to the end, then drops us; nothing may keep it from that. */
	while (vfuser_connected(a.vu)) {
		drain(pair[0]);
		worker_call(w, nothing, NULL);
	}
	worker_call(w, nothing_is_left, a.vu);
	close(pair[0]);
	return 0;
}
