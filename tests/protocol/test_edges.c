/* SPDX-License-Identifier: BSD-2-Clause */
/* Claims about the seldom: servers that end at a bad moment, full sockets, odd memory. */
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/pci_regs.h>

#include "base/fd.h"
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
	if (rec.vu)
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

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(a_server_may_end_with_interrupts_waiting),
		T(a_spinning_worker_sends_what_waited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
