/* SPDX-License-Identifier: BSD-2-Clause */
/* Claims about what the server answers to each message, right and wrong, and to rude clients. */
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"
#include "tests/protocol/recorder.h"

static struct recorder rec;
static struct vfu_client *c;

static int setup(void **state)
{
	struct vfuser_conf conf;

	(void)state;
	memset(&rec, 0, sizeof(rec));
	conf = rec_conf(&rec, VFUSER_MSIX_AUTO);
	rec_start(&rec, &conf);
	c = rec_client(&rec);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	vfu_client_free(c);
	rec_stop(&rec);
	return 0;
}

/* The polite client still gets answers. */
static void still_served(void)
{
	uint32_t v = 0x12345678, w = 0;

	assert_int_equal(vfu_client_write(c, 0, 0x100, &v, 4), 0);
	assert_int_equal(vfu_client_read(c, 0, 0x100, &w, 4), 0);
	assert_int_equal(v, w);
}

static int request(uint16_t cmd, const void *body, size_t size)
{
	return vfu_client_request(c, cmd, body, size, NULL, 0, NULL, NULL);
}

static void the_device_is_described(void **state)
{
	struct vfio_user_device_info d;
	struct vfio_irq_info i;

	(void)state;
	assert_int_equal(vfu_client_device_info(c, &d), 0);
	assert_int_equal(d.flags, VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET);
	assert_int_equal(d.num_regions, 9);
	assert_int_equal(d.num_irqs, 5);
	for (uint32_t n = 0; n < 9; n++) {
		struct vfio_region_info r = {.argsz = sizeof(r), .index = n};
		uint64_t size = n == 0 ? REC_BAR0_SIZE : n == 4 ? REC_BAR4_SIZE : n == 7 ? 4096 : 0;

		assert_int_equal(vfu_client_region_info(c, &r, sizeof(r), NULL), 0);
		assert_int_equal(r.size, size);
		assert_int_equal(r.flags, size ? 3 : 0); /* read, write, never mmap */
	}
	for (uint32_t n = 0; n < 5; n++) {
		assert_int_equal(vfu_client_irq_info(c, n, &i), 0);
		/* In the disguise QEMU must not hear of MSI-X; ERR must never be triggered. */
		assert_int_equal(i.count, 0);
	}
	assert_int_equal(vfu_client_irq_info(c, 5, &i), -EINVAL);
	assert_non_null(strstr(c->server_caps, "write_multiple"));
}

static void sizes_of_every_command_are_checked(void **state)
{
	uint8_t zero[256] = {0};

	(void)state;
	for (uint16_t cmd = 1; cmd < VFIO_USER_N_CMDS; cmd++) {
		if (cmd == VFIO_USER_DEVICE_RESET) {
			assert_int_equal(request(cmd, zero, 4), -EINVAL);
			continue;
		}
		assert_true(request(cmd, NULL, 0) < 0);
		assert_true(request(cmd, zero, 3) < 0);
		/* All zeros is valid for none of them: argsz 0, count 0, size 0. */
		assert_true(request(cmd, zero, sizeof(zero)) < 0);
	}
	still_served();
}

static void unknown_commands_are_not_supported(void **state)
{
	static const uint16_t cmds[] = {0, 19, 100, 0xffff};

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(cmds); i++)
		assert_int_equal(request(cmds[i], NULL, 0), -EOPNOTSUPP);
	assert_int_equal(request(VFIO_USER_DEVICE_FEATURE, "12345678", 8), -EOPNOTSUPP);
	assert_int_equal(request(VFIO_USER_DIRTY_PAGES, "12345678", 8), -EOPNOTSUPP);
	still_served();
}

static void nothing_goes_before_version(void **state)
{
	struct vfu_client *raw;
	struct vfio_user_device_info info;
	struct {
		struct vfio_user_version v;
		char caps[64];
	} __attribute__((packed)) q = {{0, 0}, "{\"capabilities\":{}}"};

	(void)state;
	vfu_client_free(c);
	c = raw = vfu_client_connect(rec.path);
	assert_non_null(raw);
	assert_int_equal(vfu_client_device_info(raw, &info), -EINVAL);
	/* Another major, garbage, no NUL, not an object: refused, and a good one may follow. */
	q.v.major = 1;
	assert_int_equal(request(VFIO_USER_VERSION, &q, 4), -EOPNOTSUPP);
	q.v.major = 0;
	strcpy(q.caps, "{nonsense");
	assert_int_equal(request(VFIO_USER_VERSION, &q, 4 + 10), -EINVAL);
	strcpy(q.caps, "{\"capabilities\":{}}");
	assert_int_equal(request(VFIO_USER_VERSION, &q, 4 + strlen(q.caps)), -EINVAL);
	strcpy(q.caps, "[1]");
	assert_int_equal(request(VFIO_USER_VERSION, &q, 4 + 4), -EINVAL);
	strcpy(q.caps, "{\"capabilities\":7}");
	assert_int_equal(request(VFIO_USER_VERSION, &q, 4 + strlen(q.caps) + 1), -EINVAL);
	assert_int_equal(vfu_client_version(raw), 0);
	assert_int_equal(vfu_client_version(raw), -EINVAL); /* once */
	still_served();
}

static void a_version_reply_is_not_larger_than_the_request(void **state)
{
	struct vfio_user_version v = {0, 7};
	uint8_t reply[512];
	size_t n = sizeof(reply);

	(void)state;
	vfu_client_free(c);
	c = vfu_client_connect(rec.path);
	assert_int_equal(vfu_client_request(c, VFIO_USER_VERSION, &v, sizeof(v), NULL, 0, reply,
					    &n),
			 0);
	assert_int_equal(n, sizeof(v));
	memcpy(&v, reply, sizeof(v));
	assert_int_equal(v.minor, 0); /* ours is the smaller one */
}

static void region_accesses_stay_inside(void **state)
{
	static const struct {
		uint32_t region;
		uint64_t off;
		uint32_t size;
	} bad[] = {
		{0, REC_BAR0_SIZE, 4},	  {0, REC_BAR0_SIZE - 3, 4}, {0, UINT64_MAX, 4},
		{0, UINT64_MAX - 3, 4},	  {0, 0, 0},		     {1, 0, 4},
		{5, 0, 4},		  {6, 0, 4},		     {7, 4096, 1},
		{7, 4095, 2},		  {8, 0, 1},		     {9, 0, 4},
		{UINT32_MAX, 0, 4},	  {4, REC_N_MSIX * 16 - 4, 8}, {4, REC_PBA - 4, 8},
		{4, REC_BAR4_SIZE - 1, 2},
	};
	uint8_t buf[64] = {0};

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		struct vfio_user_region_access a = {bad[i].off, bad[i].region, bad[i].size};

		assert_int_equal(request(VFIO_USER_REGION_READ, &a, sizeof(a)), -EINVAL);
		assert_int_equal(vfu_client_write(c, bad[i].region, bad[i].off, buf, bad[i].size),
				 -EINVAL);
	}
	assert_int_equal(atomic_load(&rec.writes), 0);
	assert_int_equal(atomic_load(&rec.reads), 0);
	still_served();
}

static void a_count_that_lies_is_refused(void **state)
{
	struct {
		struct vfio_user_region_access a;
		uint8_t data[8];
	} q = {.a = {.offset = 0, .region = 0, .count = 16}};
	struct vfio_user_region_access big = {.offset = 0, .region = 0, .count = 0x7fffffff};

	(void)state;
	assert_int_equal(request(VFIO_USER_REGION_WRITE, &q, sizeof(q)), -EINVAL);
	q.a.count = 4;
	assert_int_equal(request(VFIO_USER_REGION_WRITE, &q, sizeof(q)), -EINVAL);
	assert_int_equal(request(VFIO_USER_REGION_READ, &big, sizeof(big)), -EINVAL);
	assert_int_equal(atomic_load(&rec.writes), 0);
}

static void posted_writes_are_silent_also_when_wrong(void **state)
{
	uint32_t v = 7;

	(void)state;
	for (int i = 0; i < 1000; i++)
		assert_int_equal(vfu_client_post(c, 0, 8, &v, 4), 0);
	assert_int_equal(vfu_client_post(c, 0, REC_BAR0_SIZE, &v, 4), 0);
	assert_int_equal(vfu_client_post(c, 3, 0, &v, 4), 0);
	still_served(); /* the next reply is ours: nothing else came */
	assert_int_equal(atomic_load(&rec.writes), 1001);
	/* One read of the socket brought many: that is what batch_end is for. */
	assert_true(atomic_load(&rec.batches) < 1001);
}

static void write_multi_is_all_or_nothing(void **state)
{
	struct {
		uint64_t count;
		struct vfio_user_write_one w[3];
	} q = {.count = 3};

	(void)state;
	for (int i = 0; i < 3; i++)
		q.w[i] = (struct vfio_user_write_one){{(uint64_t)i * 8, 0, 8}, {(uint8_t)i}};
	assert_int_equal(request(VFIO_USER_REGION_WRITE_MULTI, &q, sizeof(q)), 0);
	assert_int_equal(atomic_load(&rec.writes), 3);
	q.w[2].a.offset = REC_BAR0_SIZE;
	assert_int_equal(request(VFIO_USER_REGION_WRITE_MULTI, &q, sizeof(q)), -EINVAL);
	q.w[2].a = (struct vfio_user_region_access){0, 0, 9};
	assert_int_equal(request(VFIO_USER_REGION_WRITE_MULTI, &q, sizeof(q)), -EINVAL);
	q.w[2].a.count = 0;
	assert_int_equal(request(VFIO_USER_REGION_WRITE_MULTI, &q, sizeof(q)), -EINVAL);
	q.w[2].a.count = 8;
	q.count = 4;
	assert_int_equal(request(VFIO_USER_REGION_WRITE_MULTI, &q, sizeof(q)), -EINVAL);
	q.count = UINT64_MAX;
	assert_int_equal(request(VFIO_USER_REGION_WRITE_MULTI, &q, sizeof(q)), -EINVAL);
	q.count = 3;
	assert_int_equal(request(VFIO_USER_REGION_WRITE_MULTI, &q, sizeof(q) - 1), -EINVAL);
	assert_int_equal(atomic_load(&rec.writes), 3);
}

static void dma_maps_are_checked_and_bounded(void **state)
{
	int fd = memfd_create("t", MFD_CLOEXEC);
	struct vfio_user_dma_map d = {.argsz = sizeof(d), .flags = 3, .size = 4096};

	(void)state;
	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	assert_int_equal(vfu_client_dma_map(c, 0, 0, fd, 0, 3, NULL), -EINVAL);
	assert_int_equal(vfu_client_dma_map(c, UINT64_MAX, 4096, fd, 0, 3, NULL), -EINVAL);
	assert_int_equal(vfu_client_dma_map(c, 0, 2 << 20, fd, 0, 3, NULL), -EINVAL);
	assert_int_equal(vfu_client_dma_map(c, 0, 4096, fd, UINT64_MAX, 3, NULL), -EINVAL);
	assert_int_equal(vfu_client_dma_map(c, 0, 4096, fd, 0, 0x10, NULL), -EINVAL);
	d.argsz = 8;
	assert_int_equal(request(VFIO_USER_DMA_MAP, &d, sizeof(d)), -EINVAL);
	assert_int_equal(atomic_load(&rec.dma_added), 0);
	assert_int_equal(vfu_client_dma_map(c, 0x10000, 4096, fd, 0, 3, NULL), 0);
	assert_int_equal(vfu_client_dma_map(c, 0x10800, 4096, fd, 0, 3, NULL), -EEXIST);
	/* A ROM: read-only, no descriptor. */
	assert_int_equal(vfu_client_dma_map(c, 0xc0000, 0x20000, -1, 0, 1, NULL), 0);
	for (unsigned int i = 2; i < 64; i++)
		assert_int_equal(vfu_client_dma_map(c, 0x100000 + i * 4096, 4096, fd, i * 4096, 3,
						    NULL),
				 0);
	assert_int_equal(vfu_client_dma_map(c, 0x900000, 4096, fd, 0, 3, NULL), -ENOSPC);
	assert_int_equal(vfu_client_dma_unmap(c, 0x10000, 2048), -EINVAL);
	assert_int_equal(vfu_client_dma_unmap(c, 0x900000, 4096), -ENOENT);
	assert_int_equal(atomic_load(&rec.dma_removed), 0);
	assert_int_equal(vfu_client_dma_unmap(c, 0x10000, 4096), 0);
	assert_int_equal(vfu_client_dma_unmap(c, 0x10000, 4096), -ENOENT);
	assert_int_equal(atomic_load(&rec.dma_removed), 1);
	close(fd);
	still_served();
}

static void unmap_all_and_dirty_flags(void **state)
{
	struct vfio_user_dma_unmap u = {.argsz = sizeof(u), .flags = VFIO_USER_UNMAP_ALL};
	int fd = memfd_create("t", MFD_CLOEXEC);

	(void)state;
	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	assert_int_equal(vfu_client_dma_map(c, 0, 1 << 20, fd, 0, 3, NULL), 0);
	u.size = 4096;
	assert_int_equal(request(VFIO_USER_DMA_UNMAP, &u, sizeof(u)), -EINVAL);
	u = (struct vfio_user_dma_unmap){.argsz = sizeof(u), .flags = 1, .size = 1 << 20};
	assert_int_equal(request(VFIO_USER_DMA_UNMAP, &u, sizeof(u)), -EOPNOTSUPP);
	u = (struct vfio_user_dma_unmap){.argsz = sizeof(u), .flags = 4, .size = 1 << 20};
	assert_int_equal(request(VFIO_USER_DMA_UNMAP, &u, sizeof(u)), -EINVAL);
	u = (struct vfio_user_dma_unmap){.argsz = sizeof(u), .flags = VFIO_USER_UNMAP_ALL};
	assert_int_equal(request(VFIO_USER_DMA_UNMAP, &u, sizeof(u)), 0);
	assert_int_equal(vfu_client_dma_map(c, 0, 1 << 20, fd, 0, 3, NULL), 0);
	close(fd);
}

static void descriptor_floods_are_closed(void **state)
{
	struct vfio_user_device_info q = {.argsz = sizeof(q)};
	int fds[16], p[2];
	char b;

	(void)state;
	assert_int_equal(pipe(p), 0);
	for (unsigned int i = 0; i < 16; i++)
		fds[i] = p[1];
	/* More than the command takes: refused, and every one of them closed. */
	assert_int_equal(vfu_client_request(c, VFIO_USER_DEVICE_GET_INFO, &q, sizeof(q), fds, 16,
					    NULL, NULL),
			 -EINVAL);
	still_served();
	/* More than any message may carry: the connection ends. */
	for (int i = 0; i < 4; i++)
		vfu_client_raw(c, "x", 1, fds, 16);
	assert_true(vfu_client_closed(c, 10000));
	close(p[1]);
	assert_int_equal(read(p[0], &b, 1), 0);
	close(p[0]);
	vfu_client_free(c);
	c = rec_client(&rec);
	still_served();
}

static void broken_framing_ends_only_that_connection(void **state)
{
	struct vfio_user_hdr h[] = {
		{1, VFIO_USER_DEVICE_RESET, 15, 0, 0},
		{1, VFIO_USER_DEVICE_RESET, 0, 0, 0},
		{1, VFIO_USER_REGION_WRITE, 0xffffffff, 0, 0},
		{1, VFIO_USER_REGION_WRITE, (1u << 20) + 8192, 0, 0},
	};

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(h); i++) {
		assert_int_equal(vfu_client_raw(c, &h[i], sizeof(h[i]), NULL, 0), 0);
		assert_true(vfu_client_closed(c, 10000));
		rec_until(&rec.disconnects, (int)i + 1);
		vfu_client_free(c);
		c = rec_client(&rec);
		still_served();
	}
}

/* VERSION, a map, a posted write, a read: cut off behind every single byte. */
static void a_client_may_leave_at_any_byte(void **state)
{
	uint8_t script[512];
	size_t n = 0;
	int fd = memfd_create("t", MFD_CLOEXEC);
	struct vfio_user_version v = {0, 0};
	struct vfio_user_dma_map d = {.argsz = sizeof(d), .flags = 3, .size = 4096};
	struct vfio_user_region_access a = {.offset = 8, .region = 0, .count = 4};
	uint32_t data = 1;

	(void)state;
	assert_int_equal(ftruncate(fd, 4096), 0);
#define PUT(p, size) (memcpy(script + n, p, size), n += (size))
#define HDR(cmd, size, flags)                                                                      \
	PUT((&(struct vfio_user_hdr){1, cmd, (uint32_t)(16 + (size)), flags, 0}), 16)
	HDR(VFIO_USER_VERSION, sizeof(v), 0);
	PUT(&v, sizeof(v));
	HDR(VFIO_USER_DMA_MAP, sizeof(d), 0);
	PUT(&d, sizeof(d));
	HDR(VFIO_USER_REGION_WRITE, sizeof(a) + 4, VFIO_USER_F_NO_REPLY);
	PUT(&a, sizeof(a));
	PUT(&data, 4);
	HDR(VFIO_USER_REGION_READ, sizeof(a), 0);
	PUT(&a, sizeof(a));
	vfu_client_free(c);
	for (size_t cut = 1; cut <= n; cut++) {
		c = vfu_client_connect(rec.path);
		assert_non_null(c);
		assert_int_equal(vfu_client_raw(c, script, cut, &fd, 1), 0);
		vfu_client_free(c);
		rec_until(&rec.disconnects, (int)cut + 1);
	}
	close(fd);
	c = rec_client(&rec);
	still_served();
}

static void half_messages_wait_for_the_rest(void **state)
{
	struct {
		struct vfio_user_hdr h;
		struct vfio_user_device_info d;
	} q = {{9, VFIO_USER_DEVICE_GET_INFO, sizeof(q), 0, 0}, {.argsz = 16}};
	struct vfio_user_hdr r;

	(void)state;
	for (size_t i = 0; i < sizeof(q); i++)
		assert_int_equal(vfu_client_raw(c, (uint8_t *)&q + i, 1, NULL, 0), 0);
	assert_int_equal(vfu_client_reply(c, &r, NULL, 0), 0);
	assert_int_equal(r.id, 9);
	assert_int_equal(r.flags, VFIO_USER_F_REPLY);
}

static void the_largest_transfer_works_and_is_the_limit(void **state)
{
	struct vfuser_conf conf;
	uint8_t *big = calloc(1, 1 << 20);

	(void)state;
	/* BAR 0 is 64 KiB: the largest access that fits it, then one beyond the transfer size. */
	memset(big, 0x5a, REC_BAR0_SIZE);
	assert_int_equal(vfu_client_write(c, 0, 0, big, REC_BAR0_SIZE), 0);
	memset(big, 0, REC_BAR0_SIZE);
	assert_int_equal(vfu_client_read(c, 0, 0, big, REC_BAR0_SIZE), 0);
	assert_int_equal(big[REC_BAR0_SIZE - 1], 0x5a);
	vfu_client_free(c);
	rec_stop(&rec);
	memset(&rec, 0, sizeof(rec));
	conf = rec_conf(&rec, VFUSER_MSIX_AUTO);
	conf.max_data_xfer = 4096;
	rec_start(&rec, &conf);
	c = rec_client(&rec);
	assert_int_equal(vfu_client_read(c, 0, 0, big, 4096), 0);
	assert_int_equal(vfu_client_read(c, 0, 0, big, 4097), -EINVAL);
	assert_non_null(strstr(c->server_caps, "\"max_data_xfer_size\":4096"));
	free(big);
}

static void a_second_client_hears_ebusy_and_disturbs_nobody(void **state)
{
	struct vfu_client *second = vfu_client_connect(rec.path);
	struct vfu_client *silent[12];

	(void)state;
	assert_non_null(second);
	assert_int_equal(vfu_client_version(second), -EBUSY);
	assert_true(vfu_client_closed(second, 10000));
	vfu_client_free(second);
	/* Others that never say a word cost the first one nothing. */
	for (unsigned int i = 0; i < ARRAY_SIZE(silent); i++)
		silent[i] = vfu_client_connect(rec.path);
	still_served();
	for (unsigned int i = 0; i < ARRAY_SIZE(silent); i++) {
		assert_non_null(silent[i]);
		vfu_client_free(silent[i]);
	}
	assert_int_equal(atomic_load(&rec.disconnects), 0);
	/* When the first has left, the next one is served. */
	vfu_client_free(c);
	c = rec_client(&rec);
	still_served();
	assert_int_equal(atomic_load(&rec.connects), 2);
}

static void memory_goes_with_the_client(void **state)
{
	int fd = memfd_create("t", MFD_CLOEXEC);

	(void)state;
	assert_int_equal(ftruncate(fd, 4096), 0);
	assert_int_equal(vfu_client_dma_map(c, 0, 4096, fd, 0, 3, NULL), 0);
	vfu_client_free(c);
	rec_until(&rec.disconnects, 1);
	c = rec_client(&rec);
	assert_int_equal(vfu_client_dma_unmap(c, 0, 4096), -ENOENT);
	close(fd);
}

static void a_client_that_never_reads_loses_the_connection(void **state)
{
	struct {
		struct vfio_user_hdr h;
		struct vfio_user_region_access a;
	} q = {{1, VFIO_USER_REGION_READ, sizeof(q), 0, 0}, {0, 0, REC_BAR0_SIZE}};

	(void)state;
	/* 64 KiB of reply for 32 bytes of request, unread, without end. */
	for (int i = 0; i < 4000 && atomic_load(&rec.disconnects) == 0; i++)
		if (vfu_client_raw(c, &q, sizeof(q), NULL, 0))
			break;
	rec_until(&rec.disconnects, 1);
	vfu_client_free(c);
	c = rec_client(&rec);
	still_served();
}

struct dma {
	int rc, op;
	_Atomic int done;
	uint8_t buf[64];
};

static void dma_is_done(void *arg, int rc)
{
	struct dma *d = arg;

	d->rc = rc;
	atomic_fetch_add(&d->done, 1);
}

static void start_read(void *arg)
{
	struct dma *d = arg;

	d->op = vfuser_dma_read(rec.vu, 0x1000, d->buf, sizeof(d->buf), dma_is_done, d);
}

static void start_write(void *arg)
{
	struct dma *d = arg;

	d->op = vfuser_dma_write(rec.vu, 0x1000, d->buf, sizeof(d->buf), dma_is_done, d);
}

static void dma_through_messages(void **state)
{
	static uint8_t mem[4096];
	struct dma d[VFU_CLIENT_MAX_MAPS + 1];
	struct vfio_user_hdr stray = {0x8005, VFIO_USER_DMA_READ, sizeof(stray),
				      VFIO_USER_F_REPLY, 0};

	(void)state;
	memset(d, 0, sizeof(d));
	assert_int_equal(vfu_client_dma_map(c, 0x1000, sizeof(mem), -1, 0, 3, mem), 0);
	memset(mem, 0x77, sizeof(mem));
	rec_call(&rec, start_read, &d[0]);
	assert_int_equal(d[0].op, 0);
	assert_int_equal(vfu_client_poll(c, 5000), 1);
	rec_until(&d[0].done, 1);
	assert_int_equal(d[0].rc, 0);
	assert_memory_equal(d[0].buf, mem, sizeof(d[0].buf));
	memset(d[0].buf, 0x33, sizeof(d[0].buf));
	rec_call(&rec, start_write, &d[0]);
	assert_int_equal(vfu_client_poll(c, 5000), 1);
	rec_until(&d[0].done, 2);
	assert_int_equal(mem[0], 0x33);
	/* A reply nobody asked for is not mistaken for one. */
	assert_int_equal(vfu_client_raw(c, &stray, sizeof(stray), NULL, 0), 0);
	still_served();
	/* So many under way and no more; a client that leaves ends them all. */
	c->answer_dma = false;
	for (unsigned int i = 0; i < ARRAY_SIZE(d); i++) {
		atomic_store(&d[i].done, 0);
		rec_call(&rec, start_read, &d[i]);
		assert_int_equal(d[i].op, i < 64 ? 0 : -ENOBUFS);
	}
	vfu_client_free(c);
	for (unsigned int i = 0; i < 64; i++) {
		rec_until(&d[i].done, 1);
		assert_int_equal(d[i].rc, -ECONNRESET);
	}
	rec_call(&rec, start_read, &d[0]);
	assert_int_equal(d[0].op, -ENOTCONN);
	c = rec_client(&rec);
}

static void a_dma_error_reaches_the_device(void **state)
{
	struct dma d = {0};

	(void)state;
	/* Not mapped at the client: it answers with an error. */
	rec_call(&rec, start_read, &d);
	assert_int_equal(vfu_client_poll(c, 5000), 1);
	rec_until(&d.done, 1);
	assert_int_equal(d.rc, -EFAULT);
}

static void sparse_areas_and_io_fds_are_told(void **state)
{
	static const struct vfuser_area areas[] = {{0x1000, 0x1000}, {0x3000, 0x2000}};
	int mem = memfd_create("bar", MFD_CLOEXEC), ev = eventfd(0, EFD_CLOEXEC), fd;
	const struct vfuser_io_fd io[] = {{0x0, 8, ev, 0, 0}, {0x400, 8, ev, 0, 0}};
	struct vfuser_conf conf;
	struct {
		struct vfio_region_info r;
		struct vfio_region_info_cap_sparse_mmap cap;
		struct vfio_region_sparse_mmap_area a[2];
	} info = {.r = {.argsz = sizeof(info.r), .index = 0}};
	struct {
		struct vfio_user_io_fds q;
		struct vfio_user_ioeventfd e[2];
	} q = {.q = {.argsz = sizeof(q.q), .index = 0}};
	size_t n = sizeof(q);

	(void)state;
	assert_int_equal(ftruncate(mem, REC_BAR0_SIZE), 0);
	vfu_client_free(c);
	rec_stop(&rec);
	memset(&rec, 0, sizeof(rec));
	conf = rec_conf(&rec, VFUSER_MSIX_NATIVE);
	conf.bars[0].mmap_fd = mem;
	conf.bars[0].n_mmap_areas = 2;
	conf.bars[0].mmap_areas = areas;
	conf.bars[0].n_io_fds = 2;
	conf.bars[0].io_fds = io;
	rec_start(&rec, &conf);
	c = rec_client(&rec);
	/* First too small: the size it takes, no descriptor; then whole, with one. */
	assert_int_equal(vfu_client_region_info(c, &info.r, sizeof(info), &fd), 0);
	assert_int_equal(fd, -1);
	assert_int_equal(info.r.argsz, sizeof(info));
	info.r.index = 0;
	assert_int_equal(vfu_client_region_info(c, &info.r, sizeof(info), &fd), 0);
	assert_true(fd >= 0);
	assert_true(info.r.flags & VFIO_REGION_INFO_FLAG_MMAP);
	assert_int_equal(info.cap.nr_areas, 2);
	assert_int_equal(info.a[1].offset, 0x3000);
	assert_int_equal(info.a[1].size, 0x2000);
	close(fd);
	assert_int_equal(vfu_client_request(c, VFIO_USER_DEVICE_GET_REGION_IO_FDS, &q.q,
					    sizeof(q.q), NULL, 0, &q, &n),
			 0);
	assert_int_equal(q.q.argsz, sizeof(q));
	assert_int_equal(c->n_rx_fds, 0);
	n = sizeof(q);
	q.q.flags = 0;
	assert_int_equal(vfu_client_request(c, VFIO_USER_DEVICE_GET_REGION_IO_FDS, &q.q,
					    sizeof(q.q), NULL, 0, &q, &n),
			 0);
	assert_int_equal(q.q.count, 2);
	assert_int_equal(c->n_rx_fds, 1); /* one eventfd, told once */
	assert_int_equal(q.e[1].offset, 0x400);
	assert_int_equal(q.e[1].fd_index, 0);
	q.q.index = 9;
	assert_int_equal(request(VFIO_USER_DEVICE_GET_REGION_IO_FDS, &q.q, sizeof(q.q)), -EINVAL);
	close(mem);
	close(ev);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(the_device_is_described),
		T(sizes_of_every_command_are_checked),
		T(unknown_commands_are_not_supported),
		T(nothing_goes_before_version),
		T(a_version_reply_is_not_larger_than_the_request),
		T(region_accesses_stay_inside),
		T(a_count_that_lies_is_refused),
		T(posted_writes_are_silent_also_when_wrong),
		T(write_multi_is_all_or_nothing),
		T(dma_maps_are_checked_and_bounded),
		T(unmap_all_and_dirty_flags),
		T(descriptor_floods_are_closed),
		T(broken_framing_ends_only_that_connection),
		T(a_client_may_leave_at_any_byte),
		T(half_messages_wait_for_the_rest),
		T(the_largest_transfer_works_and_is_the_limit),
		T(a_second_client_hears_ebusy_and_disturbs_nobody),
		T(memory_goes_with_the_client),
		T(a_client_that_never_reads_loses_the_connection),
		T(dma_through_messages),
		T(a_dma_error_reaches_the_device),
		T(sparse_areas_and_io_fds_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
