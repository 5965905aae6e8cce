/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the recording device of the protocol tests. */
#include "tests/protocol/recorder.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"

static int on_read(void *dev, unsigned int region, uint64_t off, void *buf, size_t size)
{
	struct recorder *r = dev;

	atomic_fetch_add(&r->reads, 1);
	if (region == 0)
		memcpy(buf, r->bar0 + off, size);
	return 0;
}

static int on_write(void *dev, unsigned int region, uint64_t off, const void *buf, size_t size)
{
	struct recorder *r = dev;

	atomic_store(&r->last_off, off);
	atomic_store(&r->last_size, size);
	if (region == 0)
		memcpy(r->bar0 + off, buf, size);
	atomic_fetch_add(&r->writes, 1);
	return 0;
}

#define COUNT(name, field)                                                                         \
	static void name(void *dev)                                                                \
	{                                                                                          \
		atomic_fetch_add(&((struct recorder *)dev)->field, 1);                             \
	}
COUNT(on_batch, batches)
COUNT(on_connect, connects)
COUNT(on_disconnect, disconnects)

static void on_reset(void *dev, enum vfuser_reset why)
{
	atomic_fetch_add(&((struct recorder *)dev)->resets[why], 1);
}

static void on_dma_added(void *dev, uint64_t addr, uint64_t size)
{
	(void)addr;
	(void)size;
	atomic_fetch_add(&((struct recorder *)dev)->dma_added, 1);
}

static void on_dma_removing(void *dev, uint64_t addr, uint64_t size)
{
	(void)addr;
	(void)size;
	atomic_fetch_add(&((struct recorder *)dev)->dma_removed, 1);
}

static void on_bus_master(void *dev, bool on)
{
	atomic_store(&((struct recorder *)dev)->bus_master, on);
}

static const struct vfuser_ops ops = {
	.region_read = on_read,
	.region_write = on_write,
	.batch_end = on_batch,
	.connected = on_connect,
	.disconnected = on_disconnect,
	.reset = on_reset,
	.dma_added = on_dma_added,
	.dma_removing = on_dma_removing,
	.bus_master = on_bus_master,
};

struct vfuser_conf rec_conf(struct recorder *r, enum vfuser_msix_mode mode)
{
	return (struct vfuser_conf){
		.name = "test",
		.ops = &ops,
		.dev = r,
		.vendor = 0x1414,
		.device = 0x00ba,
		.revision = 1,
		.class_code = 0x020000,
		.bars = {[0] = {.size = REC_BAR0_SIZE, .is_64bit = true, .prefetchable = true},
			 [4] = {.size = REC_BAR4_SIZE, .is_64bit = true}},
		.n_msix = REC_N_MSIX,
		.msix_bar = 4,
		.msix_pba_offset = REC_PBA,
		.msix_mode = mode,
		.cap_pm = true,
		.cap_pcie = true,
		.max_dma_maps = 64,
	};
}

static void do_listen(void *arg)
{
	struct recorder *r = arg;

	assert_int_equal(vfuser_listen(r->vu, r->path), 0);
}

static void do_free(void *arg)
{
	struct recorder *r = arg;

	vfuser_free(r->vu);
	r->vu = NULL;
}

void rec_start(struct recorder *r, const struct vfuser_conf *conf)
{
	static const struct worker_conf wc = {.name = "protocol"};
	static _Atomic int serial;

	r->w = worker_new(&wc);
	assert_non_null(r->w);
	r->vu = vfuser_new(r->w, conf);
	assert_non_null(r->vu);
	snprintf(r->path, sizeof(r->path), "/tmp/hvlab-proto-%d-%d", (int)getpid(),
		 atomic_fetch_add(&serial, 1));
	worker_call(r->w, do_listen, r);
}

void rec_stop(struct recorder *r)
{
	worker_call(r->w, do_free, r);
	worker_free(r->w);
	r->w = NULL;
	assert_int_not_equal(access(r->path, F_OK), 0);
}

struct vfu_client *rec_client(struct recorder *r)
{
	struct vfu_client *c = vfu_client_connect(r->path);

	assert_non_null(c);
	assert_int_equal(vfu_client_hello(c), 0);
	return c;
}

void rec_until(_Atomic int *what, int value)
{
	uint64_t deadline = now_ns() + 10 * NSEC_PER_SEC;

	while (atomic_load(what) < value && now_ns() < deadline)
		usleep(200);
	assert_int_equal(atomic_load(what), value);
}

void rec_call(struct recorder *r, void (*fn)(void *arg), void *arg)
{
	worker_call(r->w, fn, arg);
}
