/* SPDX-License-Identifier: BSD-2-Clause */
/* Claims about the seldom: servers that end at a bad moment, full sockets, odd memory. */
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/pci_regs.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/util.h"
#include "base/wire.h"
#include "tests/protocol/recorder.h"

static struct recorder rec;
static struct vfu_client *c;

static void begin(const struct vfuser_conf *conf)
{
	rec_start(&rec, conf);
	c = rec_client(&rec);
}

static int setup(void **state)
{
	struct vfuser_conf conf;

	(void)state;
	memset(&rec, 0, sizeof(rec));
	conf = rec_conf(&rec, VFUSER_MSIX_MASQUERADE);
	begin(&conf);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	vfu_client_free(c);
	if (rec.w && rec.vu)
		rec_stop(&rec);
	return 0;
}

static void arm_vector(unsigned int i)
{
	uint32_t at = vfu_client_find_cap(c, PCI_CAP_ID_MSIX);
	uint32_t e[4] = {0xfee00000, 0, i, 0};

	assert_int_not_equal(at, 0);
	assert_int_equal(vfu_client_cfg_write(c, PCI_COMMAND,
					      PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2),
			 0);
	assert_int_equal(vfu_client_cfg_write(c, at + PCI_MSIX_FLAGS, PCI_MSIX_FLAGS_ENABLE, 2),
			 0);
	assert_int_equal(vfu_client_write(c, 4, i * 16, e, 16), 0);
}

static uint64_t deferred(void)
{
	struct vfuser_stats st;

	vfuser_get_stats(rec.vu, &st);
	return st.irqs_deferred;
}

/* Raises until one has to wait for room, then frees the server in the same breath. */
static void raise_and_free(void *arg)
{
	(void)arg;
	for (int i = 0; i < 1000000 && !deferred(); i++)
		vfuser_irq_raise(rec.vu, 0);
	assert_true(deferred() > 0);
	vfuser_free(rec.vu);
	rec.vu = NULL;
}

static void a_server_may_end_with_interrupts_waiting(void **state)
{
	(void)state;
	arm_vector(0);
	rec_call(&rec, raise_and_free, NULL);
	worker_free(rec.w);
	assert_true(vfu_client_closed(c, 5000));
}

static int n_messages;

static void on_msi(void *arg, uint64_t addr, const void *data, size_t size)
{
	(void)arg;
	(void)addr;
	(void)data;
	(void)size;
	n_messages++;
}

/*
 * A worker that never sleeps looks at its descriptors only for input: what waits for room must
 * go out all the same.
 */
static void a_spinning_worker_sends_what_waited(void **state)
{
	struct vfuser_stats st;
	uint64_t end = now_ns() + 10 * NSEC_PER_SEC;
	uint32_t v;

	(void)state;
	worker_set_spin(rec.w, 60 * NSEC_PER_SEC);
	arm_vector(0);
	c->on_dma_write = on_msi;
	n_messages = 0;
	for (int i = 0; i < 1000000 && !deferred(); i++)
		vfuser_irq_raise(rec.vu, 0);
	assert_true(deferred() > 0);
	vfuser_get_stats(rec.vu, &st);
	while ((uint64_t)n_messages < st.irqs + 1 && now_ns() < end)
		vfu_client_poll(c, 20);
	assert_int_equal(n_messages, st.irqs + 1);
	assert_int_equal(vfu_client_read(c, 0, 0, &v, sizeof(v)), 0);
	worker_set_spin(rec.w, 0);
}

/* A 64 KiB reply that the client leaves unread must not be torn by an interrupt behind it. */
static void interrupts_do_not_tear_a_reply(void **state)
{
	struct {
		struct vfio_user_hdr h;
		struct vfio_user_region_access a;
	} q = {{1, VFIO_USER_REGION_READ, sizeof(q), 0, 0}, {0, 0, REC_BAR0_SIZE}};
	uint8_t *reply = malloc(16 + REC_BAR0_SIZE);
	const int n = 32; /* 2 MiB: more than a socket holds, less than the server keeps */

	(void)state;
	for (unsigned int i = 0; i < REC_BAR0_SIZE; i++)
		rec.bar0[i] = (uint8_t)(i * 7);
	arm_vector(0);
	c->on_dma_write = on_msi;
	n_messages = 0;
	for (int i = 0; i < n; i++) {
		q.h.id = (uint16_t)i;
		assert_int_equal(vfu_client_raw(c, &q, sizeof(q), NULL, 0), 0);
	}
	rec_until(&rec.reads, n);
	for (int i = 0; i < 5; i++)
		vfuser_irq_raise(rec.vu, 0);
	for (int i = 0; i < n; i++) {
		struct vfio_user_hdr h;

		assert_int_equal(vfu_client_reply(c, &h, reply, 16 + REC_BAR0_SIZE), 0);
		assert_int_equal(h.id, i);
		assert_int_equal(h.size, 32 + REC_BAR0_SIZE);
		assert_memory_equal(reply + 16, rec.bar0, REC_BAR0_SIZE);
	}
	while (!n_messages && vfu_client_poll(c, 5000) > 0)
		;
	assert_int_equal(n_messages, 1); /* five raised while it waited are one */
	free(reply);
}

/* --- handshake ------------------------------------------------------------------------------ */

/* VERSION with these capabilities on a new connection; the reply's JSON is left in c. */
static int version(const char *caps)
{
	struct {
		struct vfio_user_version v;
		char text[512];
	} q = {{0, 0}, ""}, r;
	size_t n = sizeof(r), len = strlen(caps) + 1;
	int rc;

	vfu_client_free(c);
	c = vfu_client_connect(rec.path);
	assert_non_null(c);
	memcpy(q.text, caps, len);
	memset(&r, 0, sizeof(r));
	rc = vfu_client_request(c, VFIO_USER_VERSION, &q, sizeof(q.v) + len, NULL, 0, &r, &n);
	if (!rc)
		memcpy(c->server_caps, r.text, sizeof(r.text));
	return rc;
}

static void only_what_was_proposed_is_answered(void **state)
{
	static const char *const bad[] = {
		"{\"capabilities\":{\"max_msg_fds\":-1}}",
		"{\"capabilities\":{\"max_msg_fds\":\"8\"}}",
		"{\"capabilities\":{\"max_data_xfer_size\":0}}",
		"{\"capabilities\":{\"max_data_xfer_size\":1.5}}",
		"{\"capabilities\":{\"max_data_xfer_size\":99999999999999999999999}}",
		"\"capabilities\"",
		"{",
	};
	char deep[400];

	(void)state;
	assert_int_equal(version("{\"capabilities\":{\"max_msg_fds\":4,\"padding\":"
				 "\"0123456789012345678901234567890123456789\"}}"),
			 0);
	assert_string_equal(c->server_caps, "{\"capabilities\":{\"max_msg_fds\":16}}");
	assert_int_equal(version("{\"capabilities\":{}}"), 0);
	assert_string_equal(c->server_caps, "{\"capabilities\":{}}");
	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(version(bad[i]), -EINVAL);
	memset(deep, '[', sizeof(deep) - 1);
	deep[sizeof(deep) - 1] = 0;
	assert_int_equal(version(deep), -EINVAL);
	/* A good one may follow a bad one on the same connection. */
	assert_int_equal(vfu_client_version(c), 0);
}

struct dma {
	uint8_t buf[8192];
	size_t size;
	int op, rc;
	_Atomic int done;
};

static void dma_done(void *arg, int rc)
{
	struct dma *d = arg;

	d->rc = rc;
	atomic_fetch_add(&d->done, 1);
}

static void dma_start(void *arg)
{
	struct dma *d = arg;

	d->op = vfuser_dma_read(rec.vu, 0x1000, d->buf, d->size, dma_done, d);
}

static void the_clients_limits_are_kept(void **state)
{
	int ev[2] = {eventfd(0, EFD_CLOEXEC), eventfd(0, EFD_CLOEXEC)};
	const struct vfuser_io_fd io[] = {{0x0, 8, ev[0], 0, 0}, {0x400, 8, ev[1], 0, 0}};
	struct vfio_user_io_fds q = {.argsz = 4096, .index = 0};
	struct dma d = {.size = 4097};
	struct vfuser_conf conf;

	(void)state;
	vfu_client_free(c);
	rec_stop(&rec);
	memset(&rec, 0, sizeof(rec));
	conf = rec_conf(&rec, VFUSER_MSIX_NATIVE);
	conf.bars[0].n_io_fds = 2;
	conf.bars[0].io_fds = io;
	begin(&conf);
	assert_int_equal(version("{\"capabilities\":{\"max_data_xfer_size\":4096}}"), 0);
	rec_call(&rec, dma_start, &d);
	assert_int_equal(d.op, -EINVAL);
	d.size = 4096;
	rec_call(&rec, dma_start, &d);
	assert_int_equal(d.op, 0);
	assert_int_equal(vfu_client_poll(c, 5000), 1);
	rec_until(&d.done, 1);
	/* Not said: one descriptor in a message, and there are two. */
	assert_int_equal(vfu_client_request(c, VFIO_USER_DEVICE_GET_REGION_IO_FDS, &q, sizeof(q),
					    NULL, 0, NULL, NULL),
			 -E2BIG);
	assert_int_equal(version("{\"capabilities\":{\"max_msg_fds\":2}}"), 0);
	assert_int_equal(vfu_client_request(c, VFIO_USER_DEVICE_GET_REGION_IO_FDS, &q, sizeof(q),
					    NULL, 0, NULL, NULL),
			 0);
	assert_int_equal(c->n_rx_fds, 2);
	fd_close_all(ev, 2);
}

/* --- who is the client ---------------------------------------------------------------------- */

static void a_client_that_left_with_words_unread_makes_room(void **state)
{
	uint32_t v = 1;

	(void)state;
	for (int i = 0; i < 200; i++) {
		for (int k = 0; k < 20; k++)
			assert_int_equal(vfu_client_post(c, 0, 0, &v, 4), 0);
		vfu_client_free(c);
		c = rec_client(&rec); /* asserts that it was not told EBUSY */
	}
	assert_int_equal(atomic_load(&rec.writes), 200 * 20); /* its last words were heard */
	assert_int_equal(atomic_load(&rec.connects), 201);
}

static void a_flooding_second_client_gets_its_reply_and_no_more(void **state)
{
	struct vfu_client *second = vfu_client_connect(rec.path);
	uint8_t junk[4096] = {16};
	struct iovec iov = {junk, sizeof(junk)};
	struct vfio_user_hdr h;
	uint32_t v;

	(void)state;
	assert_non_null(second);
	while (fd_send(second->fd, &iov, 1, NULL, 0, MSG_DONTWAIT) > 0)
		;
	assert_int_equal(vfu_client_read(c, 0, 0, &v, 4), 0);
	assert_int_equal(vfu_client_reply(second, &h, NULL, 0), 0);
	assert_int_equal(h.error, EBUSY);
	assert_true(vfu_client_closed(second, 5000));
	vfu_client_free(second);
	assert_int_equal(vfu_client_read(c, 0, 0, &v, 4), 0);
}

/* On the worker, which cannot read meanwhile. */
static void send_then_drop(void *arg)
{
	const struct vfio_user_hdr h = {
		.cmd = VFIO_USER_DEVICE_RESET, .size = sizeof(h), .flags = VFIO_USER_F_NO_REPLY};

	int *sent = arg;

	while (*sent < 20 && send(c->fd, &h, sizeof(h), MSG_DONTWAIT) == sizeof(h))
		++*sent;
	vfuser_kick(rec.vu);
}

/* QEMU 11.1.3 aborts on ECONNRESET, which is what close() with words unread would make of it. */
static void a_dropped_client_sees_an_end_and_no_reset(void **state)
{
	uint8_t byte;
	int sent = 0;

	(void)state;
	rec_call(&rec, send_then_drop, &sent);
	assert_int_equal(sent, 20);
	assert_int_equal(recv(c->fd, &byte, 1, MSG_DONTWAIT), 0);
	assert_int_equal(atomic_load(&rec.disconnects), 1);
}

static int kick_on_write(void *dev, unsigned int region, uint64_t off, const void *buf,
			 size_t size)
{
	struct recorder *r = dev;

	(void)region;
	(void)off;
	(void)buf;
	(void)size;
	atomic_fetch_add(&r->writes, 1);
	vfuser_kick(r->vu);
	return 0;
}

static void a_device_may_drop_its_client_from_a_callback(void **state)
{
	struct vfuser_conf conf;
	struct vfuser_ops ops;
	uint32_t v = 0;

	(void)state;
	vfu_client_free(c);
	rec_stop(&rec);
	memset(&rec, 0, sizeof(rec));
	conf = rec_conf(&rec, VFUSER_MSIX_NATIVE);
	ops = *conf.ops;
	ops.region_write = kick_on_write;
	conf.ops = &ops;
	begin(&conf);
	for (int i = 0; i < 3; i++)
		vfu_client_post(c, 0, 0, &v, 4);
	assert_true(vfu_client_closed(c, 5000));
	rec_until(&rec.disconnects, 1);
	assert_int_equal(atomic_load(&rec.writes), 1); /* nothing after the kick */
	vfu_client_free(c);
	c = rec_client(&rec);
	assert_int_equal(vfu_client_read(c, 0, 0, &v, 4), 0);
	vfu_client_free(c);
	rec_stop(&rec); /* before ops goes */
	c = NULL;
}

static void look_at_bus_master(void *arg)
{
	*(bool *)arg = vfuser_bus_master(rec.vu);
}

static void bus_mastering_ends_with_the_client(void **state)
{
	bool on = false;

	(void)state;
	assert_int_equal(vfu_client_cfg_write(c, PCI_COMMAND, PCI_COMMAND_MASTER, 2), 0);
	rec_call(&rec, look_at_bus_master, &on);
	assert_true(on);
	vfu_client_free(c);
	rec_until(&rec.disconnects, 1);
	rec_call(&rec, look_at_bus_master, &on);
	assert_false(on);
	c = rec_client(&rec);
}

/* --- interrupts ----------------------------------------------------------------------------- */

#define SET_EVENTFD (VFIO_IRQ_SET_ACTION_TRIGGER | VFIO_IRQ_SET_DATA_EVENTFD)

static void only_descriptors_that_cannot_block_are_taken(void **state)
{
	int full = eventfd(0, EFD_CLOEXEC), p[2], mem = memfd_create("t", MFD_CLOEXEC);
	uint64_t most = UINT64_MAX - 1;
	struct vfuser_conf conf;

	(void)state;
	vfu_client_free(c);
	rec_stop(&rec);
	memset(&rec, 0, sizeof(rec));
	conf = rec_conf(&rec, VFUSER_MSIX_NATIVE);
	begin(&conf);
	assert_int_equal(pipe(p), 0);
	assert_int_equal(vfu_client_set_irqs(c, VFIO_PCI_MSIX_IRQ_INDEX, SET_EVENTFD, 0, 1, &p[1]),
			 -EINVAL);
	assert_int_equal(vfu_client_set_irqs(c, VFIO_PCI_MSIX_IRQ_INDEX, SET_EVENTFD, 0, 1, &mem),
			 -EINVAL);
	/* A full one that waits for a reader by its own choice. */
	assert_int_equal(write(full, &most, sizeof(most)), sizeof(most));
	assert_int_equal(vfu_client_set_irqs(c, VFIO_PCI_MSIX_IRQ_INDEX, SET_EVENTFD, 0, 1, &full),
			 0);
	vfuser_irq_raise(rec.vu, 0); /* returns */
	assert_int_equal(read(full, &most, sizeof(most)), sizeof(most));
	assert_true(most == UINT64_MAX - 1);
	close(full);
	close(mem);
	fd_close_all(p, 2);
}

static void intx_outlives_a_device_reset(void **state)
{
	int e = eventfd(0, EFD_NONBLOCK);
	struct vfuser_conf conf;
	uint64_t v;

	(void)state;
	vfu_client_free(c);
	rec_stop(&rec);
	memset(&rec, 0, sizeof(rec));
	conf = rec_conf(&rec, VFUSER_MSIX_MASQUERADE);
	conf.intx = true;
	begin(&conf);
	assert_int_equal(vfu_client_set_irqs(c, VFIO_PCI_INTX_IRQ_INDEX, SET_EVENTFD, 0, 1, &e), 0);
	vfuser_intx_set(rec.vu, true);
	assert_int_equal(read(e, &v, sizeof(v)), sizeof(v));
	assert_int_equal(vfu_client_reset(c), 0);
	vfuser_intx_set(rec.vu, true);
	assert_int_equal(read(e, &v, sizeof(v)), sizeof(v));
	close(e);
}

static void states_that_are_not_offered_change_nothing(void **state)
{
	uint32_t pm = vfu_client_find_cap(c, PCI_CAP_ID_PM);

	(void)state;
	for (uint32_t d = 1; d <= 2; d++) {
		assert_int_equal(vfu_client_cfg_write(c, pm + PCI_PM_CTRL, d, 2), 0);
		assert_int_equal(vfu_client_cfg_read(c, pm + PCI_PM_CTRL, 2, NULL), 0);
	}
	assert_int_equal(vfu_client_cfg_write(c, pm + PCI_PM_CTRL, 3, 2), 0);
	assert_int_equal(vfu_client_cfg_write(c, pm + PCI_PM_CTRL, 1, 2), 0);
	assert_int_equal(vfu_client_cfg_read(c, pm + PCI_PM_CTRL, 2, NULL), 3);
	assert_int_equal(vfu_client_cfg_write(c, pm + PCI_PM_CTRL, 0, 2), 0);
	assert_int_equal(atomic_load(&rec.resets[VFUSER_RESET_PM]), 1);
}

/* --- memory --------------------------------------------------------------------------------- */

static void so_many_maps_and_no_more(void **state)
{
	int fd = memfd_create("t", MFD_CLOEXEC);
	struct vfio_user_dma_unmap u = {.argsz = sizeof(u), .size = 65535ull * 8192};
	struct vfuser_conf conf;

	(void)state;
	assert_int_equal(ftruncate(fd, 65536ll * 4096), 0);
	vfu_client_free(c);
	rec_stop(&rec);
	memset(&rec, 0, sizeof(rec));
	conf = rec_conf(&rec, VFUSER_MSIX_NATIVE);
	conf.max_dma_maps = 0; /* 65535 */
	begin(&conf);
	assert_non_null(strstr(c->server_caps, "\"max_dma_maps\":65535"));
	/* Apart from each other at the guest, from one file. */
	for (uint64_t i = 0; i < 65535; i++)
		assert_int_equal(vfu_client_dma_map(c, i * 8192, 4096, fd, i * 4096, 3, NULL), 0);
	assert_int_equal(vfu_client_dma_map(c, 65535ull * 8192, 4096, fd, 0, 3, NULL), -ENOSPC);
	/* One unmap may cover many ranges, but cuts none. */
	u.size = 65535ull * 8192 - 8192 + 2048;
	assert_int_equal(vfu_client_dma_unmap(c, 0, u.size), -EINVAL);
	assert_int_equal(vfu_client_dma_unmap(c, 0, 65535ull * 8192), 0);
	assert_int_equal(vfu_client_dma_unmap(c, 0, 65535ull * 8192), -ENOENT);
	assert_int_equal(vfu_client_dma_map(c, 0, 65536ull * 4096, fd, 0, 3, NULL), 0);
	close(fd);
}

struct look {
	uint8_t buf[8];
	int rc;
	bool poisoned;
};

static void look_at_memory(void *arg)
{
	struct look *l = arg;

	l->rc = guest_mem_read(vfuser_mem(rec.vu), 0x1000, l->buf, sizeof(l->buf));
	l->poisoned = guest_mem_poisoned(vfuser_mem(rec.vu));
}

static void a_file_cut_short_costs_only_its_owner(void **state)
{
	int fd = memfd_create("t", MFD_CLOEXEC);
	struct look l = {.rc = -1};

	(void)state;
	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	assert_int_equal(pwrite(fd, "guest 1!", 8, 0x1000), 8);
	assert_int_equal(vfu_client_dma_map(c, 0, 1 << 20, fd, 0, 3, NULL), 0);
	rec_call(&rec, look_at_memory, &l);
	assert_int_equal(l.rc, 0);
	assert_memory_equal(l.buf, "guest 1!", 8);
	assert_false(l.poisoned);
	assert_int_equal(ftruncate(fd, 0), 0);
	rec_call(&rec, look_at_memory, &l);
	assert_true(l.poisoned);
	/* Gone with the connection. */
	vfu_client_free(c);
	c = rec_client(&rec);
	rec_call(&rec, look_at_memory, &l);
	assert_int_equal(l.rc, -EFAULT);
	assert_false(l.poisoned);
	close(fd);
}

static void answer(uint16_t id, uint32_t flags, uint32_t error, const void *data, size_t size)
{
	struct {
		struct vfio_user_hdr h;
		struct vfio_user_dma_access a;
		uint8_t data[64];
	} r = {{id, VFIO_USER_DMA_READ, (uint32_t)(sizeof(r.h) + sizeof(r.a) + size),
		VFIO_USER_F_REPLY | flags, error},
	       {0x1000, size},
	       {0}};

	memcpy(r.data, data, size);
	if (flags & VFIO_USER_F_ERROR)
		r.h.size = sizeof(r.h);
	assert_int_equal(vfu_client_raw(c, &r, r.h.size, NULL, 0), 0);
}

static void replies_may_come_in_any_order(void **state)
{
	static struct dma d[5];
	uint16_t id[5];
	uint32_t v;

	(void)state;
	memset(d, 0, sizeof(d));
	c->answer_dma = false;
	for (int i = 0; i < 5; i++) {
		d[i].size = 16;
		rec_call(&rec, dma_start, &d[i]);
		assert_int_equal(d[i].op, 0);
		assert_int_equal(vfu_client_poll(c, 5000), 1);
		id[i] = c->last_dma_id;
		for (int k = 0; k < i; k++)
			assert_int_not_equal(id[i], id[k]);
	}
	answer(id[4], 0, 0, "fifth fifth fift", 16);
	answer(id[4], 0, 0, "once more, wrong", 16); /* nobody waits for it any more */
	answer(id[0], 0, 0, "first first firs", 16);
	answer(id[2], 0, 0, "short", 5);
	answer(id[1], VFIO_USER_F_ERROR, EACCES, "", 0);
	answer(id[3], VFIO_USER_F_ERROR, 0, "", 0); /* an error without a number */
	answer(0x7fff, 0, 0, "never asked", 11);
	answer(0xffff, 0, 0, "never asked", 11);
	for (int i = 0; i < 5; i++)
		rec_until(&d[i].done, 1);
	assert_int_equal(vfu_client_read(c, 0, 0, &v, 4), 0);
	assert_memory_equal(d[4].buf, "fifth fifth fift", 16);
	assert_memory_equal(d[0].buf, "first first firs", 16);
	assert_int_equal(d[0].rc, 0);
	assert_int_equal(d[1].rc, -EACCES);
	assert_int_equal(d[2].rc, -EPROTO);
	assert_int_equal(d[3].rc, -EIO);
	assert_int_equal(d[4].rc, 0);
}

/* --- what the user reads -------------------------------------------------------------------- */

static int log_pipe[2];

static void log_begin(void)
{
	assert_int_equal(pipe(log_pipe), 0);
	assert_int_equal(fd_set_nonblock(log_pipe[0]), 0);
	log_set_fd(log_pipe[1]);
}

/* Everything logged since log_begin(). */
static void log_end(char *text, size_t size)
{
	ssize_t n;

	log_set_fd(STDERR_FILENO);
	n = read(log_pipe[0], text, size - 1);
	text[n > 0 ? n : 0] = 0;
	fd_close_all(log_pipe, 2);
}

static unsigned int count(const char *text, const char *what)
{
	unsigned int n = 0;

	while ((text = strstr(text, what))) {
		n++;
		text++;
	}
	return n;
}

static void memory_without_descriptors_is_explained_once(void **state)
{
	char text[4096];

	(void)state;
	log_begin();
	assert_int_equal(vfu_client_dma_map(c, 0xc0000, 4096, -1, 0, 1, NULL), 0); /* a ROM */
	assert_int_equal(vfu_client_dma_map(c, 0, 4096, -1, 0, 3, NULL), 0);
	assert_int_equal(vfu_client_dma_map(c, 4096, 4096, -1, 0, 3, NULL), 0);
	log_end(text, sizeof(text));
	assert_int_equal(count(text, "\n"), 1);
	assert_int_equal(count(text, "memory-backend-memfd"), 1);
	assert_int_equal(count(text, "share=on"), 1);
}

static void memory_that_is_a_private_copy_is_explained(void **state)
{
	int fd = memfd_create("t", MFD_CLOEXEC);
	char text[4096];

	(void)state;
	assert_int_equal(ftruncate(fd, 128 << 20), 0);
	for (int round = 0; round < 2; round++) {
		/* The first guest's writes never reach the file; the second's do. */
		if (round)
			assert_int_equal(pwrite(fd, "kernel", 6, 16 << 20), 6);
		assert_int_equal(vfu_client_dma_map(c, 0, 128 << 20, fd, 0, 3, NULL), 0);
		log_begin();
		for (int i = 0; i < 2; i++) {
			assert_int_equal(vfu_client_cfg_write(c, PCI_COMMAND, 0, 2), 0);
			assert_int_equal(vfu_client_cfg_write(c, PCI_COMMAND, PCI_COMMAND_MASTER,
							      2),
					 0);
		}
		log_end(text, sizeof(text));
		assert_int_equal(count(text, "share=on"), round ? 0 : 1);
		vfu_client_free(c);
		c = rec_client(&rec);
	}
	close(fd);
}

static void a_missing_reset_is_explained_when_the_guest_drives_the_device(void **state)
{
	char text[4096];

	(void)state;
	vfu_client_free(c);
	c = vfu_client_connect(rec.path);
	assert_int_equal(vfu_client_version(c), 0);
	log_begin();
	assert_int_equal(vfu_client_cfg_write(c, PCI_COMMAND, PCI_COMMAND_MASTER, 2), 0);
	assert_int_equal(vfu_client_cfg_write(c, PCI_COMMAND, 0, 2), 0);
	assert_int_equal(vfu_client_cfg_write(c, PCI_COMMAND, PCI_COMMAND_MASTER, 2), 0);
	log_end(text, sizeof(text));
	assert_int_equal(count(text, "DEVICE_RESET"), 1);
}

static void wrong_areas_and_sizes_of_a_conf_are_refused(void **state)
{
	static const struct vfuser_area outside = {0x10000, 0x1000}, crooked = {0x800, 0x1000};
	static const struct vfuser_io_fd far = {0x10000, 8, 0, 0, 0}, closed = {0, 8, -1, 0, 0};
	struct vfuser_conf good = rec_conf(&rec, VFUSER_MSIX_NATIVE), b;

	(void)state;
#define BAD(change)                                                                                \
	do {                                                                                       \
		b = good;                                                                          \
		change;                                                                            \
		errno = 0;                                                                         \
		assert_null(vfuser_new(rec.w, &b));                                                \
		assert_int_equal(errno, EINVAL);                                                   \
	} while (0)
	BAD(b.bars[0].n_mmap_areas = 1; b.bars[0].mmap_areas = &outside);
	BAD(b.bars[0].n_mmap_areas = 1; b.bars[0].mmap_areas = &crooked);
	BAD(b.bars[0].n_mmap_areas = 1; b.bars[0].mmap_areas = &outside; b.bars[0].mmap_fd = -1);
	BAD(b.bars[0].n_io_fds = 1; b.bars[0].io_fds = &far);
	BAD(b.bars[0].n_io_fds = 1; b.bars[0].io_fds = &closed);
	BAD(b.bars[0].n_io_fds = 17; b.bars[0].io_fds = &far);
	BAD(b.max_data_xfer = 4095);
	BAD(b.max_data_xfer = (4u << 20) + 1);
	BAD(b.cap_vendor_size = 4; b.cap_vendor = NULL);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(a_server_may_end_with_interrupts_waiting),
		T(a_spinning_worker_sends_what_waited),
		T(interrupts_do_not_tear_a_reply),
		T(only_what_was_proposed_is_answered),
		T(the_clients_limits_are_kept),
		T(a_client_that_left_with_words_unread_makes_room),
		T(a_flooding_second_client_gets_its_reply_and_no_more),
		T(a_dropped_client_sees_an_end_and_no_reset),
		T(a_device_may_drop_its_client_from_a_callback),
		T(bus_mastering_ends_with_the_client),
		T(only_descriptors_that_cannot_block_are_taken),
		T(intx_outlives_a_device_reset),
		T(states_that_are_not_offered_change_nothing),
		T(so_many_maps_and_no_more),
		T(a_file_cut_short_costs_only_its_owner),
		T(replies_may_come_in_any_order),
		T(memory_without_descriptors_is_explained_once),
		T(memory_that_is_a_private_copy_is_explained),
		T(a_missing_reset_is_explained_when_the_guest_drives_the_device),
		T(wrong_areas_and_sizes_of_a_conf_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
