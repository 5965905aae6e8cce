/* SPDX-License-Identifier: BSD-2-Clause */
/* Claims about interrupts, native and in the disguise, and about PCI configuration space. */
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <linux/pci_regs.h>

#include "base/fd.h"
#include "base/util.h"
#include "base/wire.h"
#include "tests/protocol/recorder.h"

static struct recorder rec;
static struct vfu_client *c;

static int start(enum vfuser_msix_mode mode)
{
	struct vfuser_conf conf;

	memset(&rec, 0, sizeof(rec));
	conf = rec_conf(&rec, mode);
	rec_start(&rec, &conf);
	c = rec_client(&rec);
	return 0;
}

static int setup_native(void **state)
{
	(void)state;
	return start(VFUSER_MSIX_NATIVE);
}

static int setup_disguise(void **state)
{
	(void)state;
	return start(VFUSER_MSIX_MASQUERADE);
}

static int teardown(void **state)
{
	(void)state;
	vfu_client_free(c);
	rec_stop(&rec);
	return 0;
}

static bool readable(int fd, int ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, ms) == 1;
}

static int set(uint32_t flags, uint32_t first, uint32_t count, const int *fds)
{
	return vfu_client_set_irqs(c, VFIO_PCI_MSIX_IRQ_INDEX, flags, first, count, fds);
}

#define TRIGGER (VFIO_IRQ_SET_ACTION_TRIGGER)
#define EVENTFD (VFIO_IRQ_SET_DATA_EVENTFD)
#define NONE	(VFIO_IRQ_SET_DATA_NONE)

/* --- native --------------------------------------------------------------------------------- */

static void vectors_are_replaced_at_any_time_and_disabled(void **state)
{
	int a = eventfd(0, EFD_NONBLOCK), b = eventfd(0, EFD_NONBLOCK);

	(void)state;
	/* As QEMU does: enable without a descriptor, then one by one, some again. */
	assert_int_equal(set(TRIGGER | EVENTFD, 0, 1, NULL), 0);
	vfuser_irq_raise(rec.vu, 0);
	assert_int_equal(set(TRIGGER | EVENTFD, 3, 1, &a), 0);
	vfuser_irq_raise(rec.vu, 3);
	assert_true(readable(a, 5000));
	fd_event_drain(a);
	assert_int_equal(set(TRIGGER | EVENTFD, 3, 1, &b), 0);
	vfuser_irq_raise(rec.vu, 3);
	assert_true(readable(b, 5000));
	assert_false(readable(a, 0));
	fd_event_drain(b);
	assert_int_equal(set(TRIGGER | NONE, 0, 0, NULL), 0);
	vfuser_irq_raise(rec.vu, 3);
	assert_false(readable(b, 0));
	assert_false(vfuser_irq_enabled(rec.vu, 3));
	vfuser_irq_raise(rec.vu, REC_N_MSIX); /* nobody's */
	close(a);
	close(b);
}

static void many_vectors_in_one_message_and_triggers_by_hand(void **state)
{
	int fds[16];

	(void)state;
	for (int i = 0; i < 16; i++)
		fds[i] = eventfd(0, EFD_NONBLOCK);
	assert_int_equal(set(TRIGGER | EVENTFD, 10, 16, fds), 0);
	for (unsigned int i = 0; i < 16; i++) {
		vfuser_irq_raise(rec.vu, 10 + i);
		assert_true(readable(fds[i], 5000));
		fd_event_drain(fds[i]);
	}
	assert_int_equal(set(TRIGGER | NONE, 12, 2, NULL), 0);
	assert_true(readable(fds[2], 0) && readable(fds[3], 0) && !readable(fds[4], 0));
	fd_close_all(fds, 16);
}

static void every_wrong_form_of_set_irqs_is_refused(void **state)
{
	static const struct {
		uint32_t index, flags, start, count;
	} bad[] = {
		{2, 0, 0, 1},			  {2, TRIGGER, 0, 1},
		{2, EVENTFD, 0, 1},		  {2, TRIGGER | EVENTFD | NONE, 0, 1},
		{2, 0x38 | NONE, 0, 1},		  {2, 0x40 | TRIGGER | NONE, 0, 1},
		{2, TRIGGER | NONE, REC_N_MSIX, 1}, {2, TRIGGER | NONE, 0, REC_N_MSIX + 1},
		{2, TRIGGER | NONE, UINT32_MAX, 2}, {2, TRIGGER | NONE, 1, UINT32_MAX},
		{2, TRIGGER | NONE, 1, 0},	  {2, TRIGGER | EVENTFD, 0, 0},
		{2, VFIO_IRQ_SET_ACTION_MASK | NONE, 0, 0},
		{2, TRIGGER | VFIO_IRQ_SET_DATA_BOOL, 0, 1}, /* no bytes follow */
		{0, TRIGGER | NONE, 0, 1},	  {1, TRIGGER | NONE, 0, 1},
		{3, TRIGGER | NONE, 0, 1},	  {5, TRIGGER | NONE, 0, 1},
		{UINT32_MAX, TRIGGER | NONE, 0, 1},
	};
	int fds[2] = {eventfd(0, 0), eventfd(0, 0)};
	struct vfio_irq_set s = {.argsz = 4, .index = 2, .flags = TRIGGER | NONE};

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(vfu_client_set_irqs(c, bad[i].index, bad[i].flags, bad[i].start,
						     bad[i].count, NULL),
				 -EINVAL);
	/* Two descriptors for three vectors; descriptors where none belong; argsz too small. */
	s = (struct vfio_irq_set){sizeof(s), TRIGGER | EVENTFD, 2, 0, 3};
	assert_int_equal(vfu_client_request(c, VFIO_USER_DEVICE_SET_IRQS, &s, sizeof(s), fds, 2,
					    NULL, NULL),
			 -EINVAL);
	s.flags = TRIGGER | NONE;
	assert_int_equal(vfu_client_request(c, VFIO_USER_DEVICE_SET_IRQS, &s, sizeof(s), fds, 1,
					    NULL, NULL),
			 -EINVAL);
	s.argsz = 4;
	assert_int_equal(vfu_client_request(c, VFIO_USER_DEVICE_SET_IRQS, &s, sizeof(s), NULL, 0,
					    NULL, NULL),
			 -EINVAL);
	/* Masking messages is the client's own business. */
	assert_int_equal(set(VFIO_IRQ_SET_ACTION_MASK | NONE, 0, 1, NULL), -EOPNOTSUPP);
	fd_close_all(fds, 2);
}

static void native_says_how_many_vectors_and_not_noresize(void **state)
{
	struct vfio_irq_info i;

	(void)state;
	assert_int_equal(vfu_client_irq_info(c, VFIO_PCI_MSIX_IRQ_INDEX, &i), 0);
	assert_int_equal(i.count, REC_N_MSIX);
	assert_int_equal(i.flags, VFIO_IRQ_INFO_EVENTFD);
	assert_int_not_equal(vfu_client_find_cap(c, PCI_CAP_ID_MSIX), 0);
}

static void intx_is_masked_when_it_fires_and_fires_again_when_unmasked(void **state)
{
	struct vfuser_conf conf;
	int e = eventfd(0, EFD_NONBLOCK);

	(void)state;
	vfu_client_free(c);
	rec_stop(&rec);
	memset(&rec, 0, sizeof(rec));
	conf = rec_conf(&rec, VFUSER_MSIX_NATIVE);
	conf.intx = true;
	rec_start(&rec, &conf);
	c = rec_client(&rec);
	assert_int_equal(vfu_client_set_irqs(c, 0, TRIGGER | EVENTFD, 0, 1, &e), 0);
	vfuser_intx_set(rec.vu, true);
	assert_true(readable(e, 5000));
	fd_event_drain(e);
	vfuser_intx_set(rec.vu, true);
	assert_false(readable(e, 0));
	/* Still high: unmasking fires it again. */
	assert_int_equal(
		vfu_client_set_irqs(c, 0, VFIO_IRQ_SET_ACTION_UNMASK | NONE, 0, 1, NULL), 0);
	assert_true(readable(e, 5000));
	fd_event_drain(e);
	vfuser_intx_set(rec.vu, false);
	assert_int_equal(
		vfu_client_set_irqs(c, 0, VFIO_IRQ_SET_ACTION_UNMASK | NONE, 0, 1, NULL), 0);
	assert_false(readable(e, 0));
	assert_int_equal(
		vfu_client_set_irqs(c, 0, VFIO_IRQ_SET_ACTION_UNMASK | EVENTFD, 0, 1, &e),
		-EOPNOTSUPP);
	close(e);
}

/* --- the disguise --------------------------------------------------------------------------- */

static struct {
	uint64_t addr;
	uint32_t data;
	int count;
} msi;

static void on_msi(void *arg, uint64_t addr, const void *data, size_t size)
{
	(void)arg;
	assert_int_equal(size, 4);
	msi.addr = addr;
	memcpy(&msi.data, data, 4);
	msi.count++;
}

/* Serve until @n messages in all came, or none comes within 50 ms of the last. */
static int messages(int n)
{
	while (msi.count < n && vfu_client_poll(c, 5000) > 0)
		;
	vfu_client_poll(c, 50);
	return msi.count;
}

static void entry(unsigned int i, uint64_t addr, uint32_t data, bool mask)
{
	uint32_t m = mask;

	/* Four bytes at a time, as Linux does. */
	for (int k = 0; k < 2; k++) {
		uint32_t half = (uint32_t)(addr >> (32 * k));

		assert_int_equal(vfu_client_post(c, 4, i * 16 + 4 * (unsigned int)k, &half, 4), 0);
	}
	assert_int_equal(vfu_client_post(c, 4, i * 16 + 8, &data, 4), 0);
	assert_int_equal(vfu_client_write(c, 4, i * 16 + 12, &m, 4), 0);
}

static uint32_t msix_cap(void)
{
	uint32_t at = vfu_client_find_cap(c, PCI_CAP_ID_MSIX);

	assert_int_not_equal(at, 0);
	return at;
}

static void control(uint16_t v)
{
	assert_int_equal(vfu_client_cfg_write(c, msix_cap() + PCI_MSIX_FLAGS, v, 2), 0);
}

static uint64_t pba(unsigned int word)
{
	uint64_t v = 0;

	assert_int_equal(vfu_client_read(c, 4, REC_PBA + 8 * word, &v, 8), 0);
	return v;
}

static void arm(void)
{
	memset(&msi, 0, sizeof(msi));
	c->on_dma_write = on_msi;
	assert_int_equal(vfu_client_cfg_write(c, PCI_COMMAND,
					      PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2),
			 0);
	control(PCI_MSIX_FLAGS_ENABLE);
}

static void the_capability_shows_itself_at_the_first_reset(void **state)
{
	struct vfu_client *fresh;
	uint32_t at;

	(void)state;
	vfu_client_free(c);
	fresh = c = vfu_client_connect(rec.path);
	assert_int_equal(vfu_client_version(fresh), 0);
	assert_int_equal(vfu_client_find_cap(fresh, PCI_CAP_ID_MSIX), 0);
	at = vfu_client_find_cap(fresh, PCI_CAP_ID_VNDR);
	assert_int_not_equal(at, 0);
	assert_int_equal(vfu_client_cfg_read(fresh, at + 2, 1, NULL), 12); /* its length */
	assert_int_equal(vfu_client_reset(fresh), 0);
	assert_int_equal(msix_cap(), at); /* the same place */
	assert_int_equal(vfu_client_cfg_read(fresh, at + PCI_MSIX_FLAGS, 2, NULL),
			 REC_N_MSIX - 1);
	assert_int_equal(vfu_client_cfg_read(fresh, at + PCI_MSIX_TABLE, 4, NULL), 4);
	assert_int_equal(vfu_client_cfg_read(fresh, at + PCI_MSIX_PBA, 4, NULL), REC_PBA | 4);
	/* Only the two upper bits of the control word are the guest's. */
	control(0xffff);
	assert_int_equal(vfu_client_cfg_read(fresh, at + PCI_MSIX_FLAGS, 2, NULL),
			 0xc000 | (REC_N_MSIX - 1));
	assert_int_equal(vfu_client_cfg_write(fresh, at, 0, 4), 0);
	assert_int_equal(msix_cap(), at);
	/* The next client meets the disguise again, and a clean table. */
	entry(1, 0xfee00000, 7, false);
	vfu_client_free(c);
	c = vfu_client_connect(rec.path);
	assert_int_equal(vfu_client_version(c), 0);
	assert_int_equal(vfu_client_find_cap(c, PCI_CAP_ID_MSIX), 0);
	assert_int_equal(vfu_client_reset(c), 0);
	{
		uint8_t e[16], want[16] = {[12] = 1};

		assert_int_equal(vfu_client_read(c, 4, 16, e, 16), 0);
		assert_memory_equal(e, want, 16);
	}
}

static void a_vector_is_a_message(void **state)
{
	(void)state;
	arm();
	entry(2, 0xfee01000, 0x4021, false);
	vfuser_irq_raise(rec.vu, 2);
	assert_int_equal(messages(1), 1);
	assert_int_equal(msi.addr, 0xfee01000);
	assert_int_equal(msi.data, 0x4021);
	/* A message beyond 4 GiB (x2APIC with remapping) keeps its upper half. */
	entry(65, 0x1fee02000, 0x22, false);
	vfuser_irq_raise(rec.vu, 65);
	assert_int_equal(messages(2), 2);
	assert_int_equal(msi.addr, 0x1fee02000);
}

static void nothing_is_raised_before_enable_and_bus_mastering(void **state)
{
	(void)state;
	memset(&msi, 0, sizeof(msi));
	c->on_dma_write = on_msi;
	entry(0, 0xfee00000, 1, false);
	vfuser_irq_raise(rec.vu, 0); /* MSI-X off: dropped */
	control(PCI_MSIX_FLAGS_ENABLE);
	assert_int_equal(messages(0), 0);
	vfuser_irq_raise(rec.vu, 0); /* no bus mastering: pending */
	assert_int_equal(messages(0), 0);
	assert_int_equal(pba(0), 1);
	assert_int_equal(vfu_client_cfg_write(c, PCI_COMMAND, PCI_COMMAND_MASTER, 2), 0);
	assert_int_equal(messages(1), 1);
	assert_int_equal(pba(0), 0);
	assert_int_equal(atomic_load(&rec.bus_master), 1);
}

static void masked_vectors_are_pending_until_unmasked(void **state)
{
	uint8_t zero[16] = {0};

	(void)state;
	arm();
	entry(0, 0xfee00000, 1, true);
	entry(65, 0xfee00000, 2, false);
	vfuser_irq_raise(rec.vu, 0);
	vfuser_irq_raise(rec.vu, 0);
	assert_int_equal(messages(0), 0);
	assert_int_equal(pba(0), 1);
	/* The PBA is read-only. */
	assert_int_equal(vfu_client_write(c, 4, REC_PBA, zero, 16), 0);
	assert_int_equal(pba(0), 1);
	entry(0, 0xfee00000, 1, false);
	assert_int_equal(messages(1), 1); /* twice raised, once pending */
	assert_int_equal(msi.data, 1);
	assert_int_equal(pba(0), 0);
	/* The function mask holds back all of them. */
	control(PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	vfuser_irq_raise(rec.vu, 65);
	assert_int_equal(messages(1), 1);
	assert_int_equal(pba(1), 2);
	control(PCI_MSIX_FLAGS_ENABLE);
	assert_int_equal(messages(2), 2);
	assert_int_equal(msi.data, 2);
	/* Disabled: what was pending is forgotten. */
	entry(0, 0xfee00000, 1, true);
	vfuser_irq_raise(rec.vu, 0);
	control(0);
	assert_int_equal(pba(0), 0);
}

static void reserved_bits_of_the_table_read_zero(void **state)
{
	uint8_t e[16];

	(void)state;
	memset(e, 0xff, sizeof(e));
	assert_int_equal(vfu_client_write(c, 4, 32, e, 16), 0);
	assert_int_equal(vfu_client_read(c, 4, 32, e, 16), 0);
	assert_int_equal(le32_load(e + 12), 1);
	assert_int_equal(le32_load(e + 8), 0xffffffff);
	assert_int_equal(atomic_load(&rec.writes), 0); /* the device never sees its table */
}

static void device_reset_clears_the_table_and_flr_keeps_it(void **state)
{
	uint32_t pcie;

	(void)state;
	arm();
	entry(3, 0xfee00000, 9, false);
	pcie = vfu_client_find_cap(c, PCI_CAP_ID_EXP);
	assert_true(vfu_client_cfg_read(c, pcie + PCI_EXP_DEVCAP, 4, NULL) & PCI_EXP_DEVCAP_FLR);
	assert_int_equal(vfu_client_cfg_write(c, pcie + PCI_EXP_DEVCTL, PCI_EXP_DEVCTL_BCR_FLR, 2),
			 0);
	assert_int_equal(atomic_load(&rec.resets[VFUSER_RESET_FLR]), 1);
	assert_int_equal(vfu_client_cfg_read(c, pcie + PCI_EXP_DEVCTL, 2, NULL), 0);
	assert_int_equal(vfu_client_cfg_read(c, PCI_COMMAND, 2, NULL), 6);
	vfuser_irq_raise(rec.vu, 3);
	assert_int_equal(messages(1), 1);
	assert_int_equal(vfu_client_reset(c), 0);
	assert_int_equal(vfu_client_cfg_read(c, PCI_COMMAND, 2, NULL), 6);
	assert_int_equal(vfu_client_cfg_read(c, msix_cap() + PCI_MSIX_FLAGS, 2, NULL),
			 REC_N_MSIX - 1);
	vfuser_irq_raise(rec.vu, 3);
	assert_int_equal(messages(1), 1);
}

static void a_full_socket_delays_interrupts_and_loses_none(void **state)
{
	struct vfuser_stats st;
	int sent = 0;

	(void)state;
	arm();
	for (unsigned int i = 0; i < REC_N_MSIX; i++)
		entry(i, 0xfee00000 + i * 4096, i, false);
	msi.count = 0;
	/* Unread until the socket is full; then some of each vector wait, as one. */
	do {
		for (unsigned int i = 0; i < REC_N_MSIX; i++)
			vfuser_irq_raise(rec.vu, i);
		vfuser_get_stats(rec.vu, &st);
	} while (!st.irqs_deferred && ++sent < 100000);
	assert_true(st.irqs_deferred > 0);
	for (unsigned int i = 0; i < REC_N_MSIX; i++)
		vfuser_irq_raise(rec.vu, i);
	/* The last raise of each vector has to arrive after everything before it. */
	{
		uint64_t deadline = now_ns() + 10 * NSEC_PER_SEC;
		uint64_t before = st.irqs;

		do {
			vfu_client_poll(c, 20);
			vfuser_get_stats(rec.vu, &st);
		} while ((st.irqs < before + 1 || (uint64_t)msi.count < st.irqs) &&
			 now_ns() < deadline);
		assert_int_equal(msi.count, st.irqs);
		assert_true(st.irqs > before);
	}
}

static void a_refused_message_is_counted(void **state)
{
	struct vfuser_stats st = {0};
	uint64_t deadline = now_ns() + 10 * NSEC_PER_SEC;

	(void)state;
	arm();
	entry(0, 0xfee00000, 1, false);
	c->refuse_msi = true;
	vfuser_irq_raise(rec.vu, 0);
	assert_int_equal(messages(1), 1);
	while (!st.irqs_lost && now_ns() < deadline)
		vfuser_get_stats(rec.vu, &st);
	assert_int_equal(st.irqs_lost, 1);
}

/* --- configuration space -------------------------------------------------------------------- */

static void the_header_and_bars_are_sized_as_pci_wants(void **state)
{
	(void)state;
	assert_int_equal(vfu_client_cfg_read(c, 0, 4, NULL), 0x00ba1414);
	assert_int_equal(vfu_client_cfg_read(c, 8, 4, NULL), 0x02000001);
	for (uint32_t bar = 0x10; bar < 0x28; bar += 4)
		assert_int_equal(vfu_client_cfg_write(c, bar, 0xffffffff, 4), 0);
	assert_int_equal(vfu_client_cfg_read(c, 0x10, 4, NULL), 0xffff000c);
	assert_int_equal(vfu_client_cfg_read(c, 0x14, 4, NULL), 0xffffffff);
	assert_int_equal(vfu_client_cfg_read(c, 0x18, 4, NULL), 0);
	assert_int_equal(vfu_client_cfg_read(c, 0x20, 4, NULL), 0xffff8004);
	assert_int_equal(vfu_client_cfg_read(c, 0x24, 4, NULL), 0xffffffff);
	/* Identity and status are read-only, byte by byte. */
	for (uint32_t off = 0; off < 0x10; off++)
		if (off != 4 && off != 5 && off != 0xc && off != 0xd)
			assert_int_equal(vfu_client_cfg_write(c, off, 0xff, 1), 0);
	assert_int_equal(vfu_client_cfg_read(c, 0, 4, NULL), 0x00ba1414);
	assert_int_equal(vfu_client_cfg_read(c, 6, 2, NULL), PCI_STATUS_CAP_LIST);
}

static void any_size_and_alignment_of_config_access_works(void **state)
{
	uint8_t all[4096];

	(void)state;
	assert_int_equal(vfu_client_read(c, 7, 0, all, sizeof(all)), 0);
	assert_int_equal(all[0], 0x14);
	assert_int_equal(vfu_client_cfg_write(c, 3, 0xff06ff, 3), 0); /* spans id and COMMAND */
	assert_int_equal(vfu_client_cfg_read(c, PCI_COMMAND, 1, NULL), 6);
	assert_int_equal(vfu_client_write(c, 7, 0, all, sizeof(all)), 0);
	assert_int_equal(vfu_client_cfg_read(c, 0x100, 4, NULL), 0); /* no extended capability */
}

static void d3_and_back_resets_the_device(void **state)
{
	uint32_t pm;

	(void)state;
	pm = vfu_client_find_cap(c, PCI_CAP_ID_PM);
	assert_int_not_equal(pm, 0);
	assert_int_equal(vfu_client_cfg_write(c, pm + PCI_PM_CTRL, 3, 2), 0);
	assert_int_equal(atomic_load(&rec.resets[VFUSER_RESET_PM]), 0);
	assert_int_equal(vfu_client_cfg_write(c, pm + PCI_PM_CTRL, 0, 2), 0);
	assert_int_equal(atomic_load(&rec.resets[VFUSER_RESET_PM]), 1);
}

static void a_wrong_conf_is_refused(void **state)
{
	struct vfuser_conf good = rec_conf(&rec, VFUSER_MSIX_AUTO), b;

	(void)state;
#define BAD(stmt)                                                                                  \
	do {                                                                                       \
		b = good;                                                                          \
		stmt;                                                                              \
		errno = 0;                                                                         \
		assert_null(vfuser_new(rec.w, &b));                                                \
		assert_int_equal(errno, EINVAL);                                                   \
	} while (0)
	BAD(b.bars[0].size = 5000);
	BAD(b.bars[0].size = 1024);
	BAD(b.bars[1].size = 4096);
	BAD(b.bars[4].is_64bit = false; b.bars[4].size = 1ull << 32);
	BAD(b.n_msix = 2049);
	BAD(b.msix_bar = 6);
	BAD(b.msix_table_offset = 4);
	BAD(b.msix_pba_offset = 8);
	BAD(b.msix_table_offset = REC_BAR4_SIZE - 16);
	BAD(b.n_msi = 3);
	BAD(b.cap_vendor_size = 65);
	BAD(b.ops = NULL);
}

int main(void)
{
#define N(f) cmocka_unit_test_setup_teardown(f, setup_native, teardown)
#define D(f) cmocka_unit_test_setup_teardown(f, setup_disguise, teardown)
	const struct CMUnitTest tests[] = {
		N(vectors_are_replaced_at_any_time_and_disabled),
		N(many_vectors_in_one_message_and_triggers_by_hand),
		N(every_wrong_form_of_set_irqs_is_refused),
		N(native_says_how_many_vectors_and_not_noresize),
		N(intx_is_masked_when_it_fires_and_fires_again_when_unmasked),
		D(the_capability_shows_itself_at_the_first_reset),
		D(a_vector_is_a_message),
		D(nothing_is_raised_before_enable_and_bus_mastering),
		D(masked_vectors_are_pending_until_unmasked),
		D(reserved_bits_of_the_table_read_zero),
		D(device_reset_clears_the_table_and_flr_keeps_it),
		D(a_full_socket_delays_interrupts_and_loses_none),
		D(a_refused_message_is_counted),
		N(the_header_and_bars_are_sized_as_pci_wants),
		N(any_size_and_alignment_of_config_access_works),
		N(d3_and_back_resets_the_device),
		N(a_wrong_conf_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
