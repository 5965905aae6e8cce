/* SPDX-License-Identifier: BSD-2-Clause */
/* Claims about the example device: that vfuser.h is enough to write one. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>
#include <linux/pci_regs.h>

#include "base/fd.h"
#include "base/util.h"
#include "tests/protocol/vfu_client.h"
#include "vfio/examples/copier.h"

#define MEM_SIZE (1u << 20)

static struct worker *w;
static struct copier *cp;
static struct vfu_client *c;
static char path[64];
static uint8_t *mem;
static int mem_fd;
static int n_msi;
static uint32_t msi_data;

static void do_listen(void *arg)
{
	(void)arg;
	assert_int_equal(vfuser_listen(copier_server(cp), path), 0);
}

static void do_free(void *arg)
{
	(void)arg;
	copier_free(cp);
}

static void on_dma_write(void *arg, uint64_t addr, const void *data, size_t size)
{
	(void)arg;
	if (addr == 0xfee00000 && size == 4) {
		memcpy(&msi_data, data, 4);
		n_msi++;
	}
}

static int start(enum vfuser_msix_mode mode)
{
	static const struct worker_conf wc = {.name = "copier"};

	n_msi = 0;
	snprintf(path, sizeof(path), "/tmp/hvlab-copier-%d", (int)getpid());
	w = worker_new(&wc);
	assert_non_null(w);
	cp = copier_new(w, "copier", mode);
	assert_non_null(cp);
	worker_call(w, do_listen, NULL);
	c = vfu_client_connect(path);
	assert_non_null(c);
	assert_int_equal(vfu_client_hello(c), 0);
	c->on_dma_write = on_dma_write;
	mem_fd = memfd_create("guest", MFD_CLOEXEC);
	assert_int_equal(ftruncate(mem_fd, MEM_SIZE), 0);
	mem = mmap(NULL, MEM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, mem_fd, 0);
	assert_true(mem != MAP_FAILED);
	for (unsigned int i = 0; i < MEM_SIZE / 2; i++)
		mem[i] = (uint8_t)(i * 13 + i / 256);
	assert_int_equal(vfu_client_cfg_write(c, PCI_COMMAND,
					      PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2),
			 0);
	return 0;
}

static int setup_masquerade(void **state)
{
	uint32_t entry[4] = {0xfee00000, 0, 0x31, 0}, at;

	(void)state;
	start(VFUSER_MSIX_AUTO);
	at = vfu_client_find_cap(c, PCI_CAP_ID_MSIX);
	assert_int_not_equal(at, 0);
	assert_int_equal(vfu_client_write(c, 2, 16, entry, sizeof(entry)), 0); /* vector 1 */
	return vfu_client_cfg_write(c, at + PCI_MSIX_FLAGS, PCI_MSIX_FLAGS_ENABLE, 2);
}

static int setup_native(void **state)
{
	(void)state;
	return start(VFUSER_MSIX_NATIVE);
}

static int teardown(void **state)
{
	(void)state;
	vfu_client_free(c);
	worker_call(w, do_free, NULL);
	worker_free(w);
	munmap(mem, MEM_SIZE);
	close(mem_fd);
	return 0;
}

static void put64(uint64_t off, uint64_t v)
{
	assert_int_equal(vfu_client_post(c, 0, off, &v, 8), 0);
}

static void put32(uint64_t off, uint32_t v)
{
	assert_int_equal(vfu_client_post(c, 0, off, &v, 4), 0);
}

static uint32_t get32(uint64_t off)
{
	uint32_t v = 0;

	assert_int_equal(vfu_client_read(c, 0, off, &v, 4), 0);
	return v;
}

/* Rings and waits for the end; the status. Serves the device's DMA meanwhile. */
static uint32_t copy(uint64_t src, uint64_t dst, uint32_t size, uint32_t vector)
{
	uint64_t deadline = now_ns() + 10 * NSEC_PER_SEC;
	uint32_t jobs = get32(COPIER_REG_JOBS);

	put64(COPIER_REG_SRC, src);
	put64(COPIER_REG_DST, dst);
	put32(COPIER_REG_SIZE, size);
	put32(COPIER_REG_VECTOR, vector);
	put32(COPIER_REG_DOORBELL, 0);
	while (get32(COPIER_REG_JOBS) == jobs && now_ns() < deadline)
		;
	assert_int_equal(get32(COPIER_REG_JOBS), jobs + 1);
	return get32(COPIER_REG_STATUS);
}

static void share(void)
{
	/* Two maps side by side, the second from elsewhere in the file: one range to a guest. */
	assert_int_equal(vfu_client_dma_map(c, 0, MEM_SIZE / 2, mem_fd, 0, 3, NULL), 0);
	assert_int_equal(vfu_client_dma_map(c, MEM_SIZE / 2, MEM_SIZE / 2, mem_fd, MEM_SIZE / 2, 3,
					    NULL),
			 0);
}

static void shared_memory_is_copied_and_a_message_tells(void **state)
{
	(void)state;
	share();
	assert_int_equal(get32(COPIER_REG_ID), COPIER_ID);
	assert_int_equal(get32(COPIER_REG_STATUS), COPIER_IDLE);
	assert_int_equal(copy(100, MEM_SIZE / 2 + 33, 60000, 1), COPIER_DONE);
	assert_memory_equal(mem + MEM_SIZE / 2 + 33, mem + 100, 60000);
	while (!n_msi && vfu_client_poll(c, 5000) > 0)
		;
	assert_int_equal(n_msi, 1);
	assert_int_equal(msi_data, 0x31);
	/* Across the seam of the two maps. */
	assert_int_equal(copy(0, MEM_SIZE / 2 - 1000, 2000, COPIER_NO_VECTOR), COPIER_DONE);
	assert_memory_equal(mem + MEM_SIZE / 2 - 1000, mem, 2000);
	assert_int_equal(n_msi, 1);
}

static void memory_without_descriptor_is_copied_by_messages(void **state)
{
	(void)state;
	assert_int_equal(vfu_client_dma_map(c, 0, MEM_SIZE, -1, 0, 3, mem), 0);
	assert_int_equal(copy(7, MEM_SIZE - 50000, 50000, 1), COPIER_DONE);
	assert_memory_equal(mem + MEM_SIZE - 50000, mem + 7, 50000);
	assert_int_equal(c->dma_reads, 13);
	while (!n_msi && vfu_client_poll(c, 5000) > 0)
		;
	assert_int_equal(n_msi, 1);
}

static void wrong_jobs_end_with_an_error(void **state)
{
	(void)state;
	share();
	assert_int_equal(copy(0, 4096, 0, 1), COPIER_FAILED | EINVAL);
	assert_int_equal(copy(0, 4096, COPIER_MAX + 1, 1), COPIER_FAILED | EINVAL);
	assert_int_equal(copy(MEM_SIZE, 0, 4096, 1), COPIER_FAILED | EFAULT);
	assert_int_equal(copy(0, MEM_SIZE - 4095, 4096, 1), COPIER_FAILED | EFAULT);
	assert_int_equal(copy(UINT64_MAX - 10, 0, 4096, 1), COPIER_FAILED | EFAULT);
	assert_int_equal(copy(0, 4096, 16, 9999), COPIER_DONE); /* a vector that is not there */
	assert_int_equal(vfu_client_cfg_write(c, PCI_COMMAND, PCI_COMMAND_MEMORY, 2), 0);
	assert_int_equal(copy(0, 4096, 16, 1), COPIER_FAILED | EPERM);
	/* Accesses of other sizes than the registers have. */
	assert_int_equal(vfu_client_write(c, 0, 1, "x", 1), -EINVAL);
	assert_int_equal(vfu_client_write(c, 0, 6, "xxxx", 4), -EINVAL);
	assert_int_equal(vfu_client_write(c, 0, COPIER_REG_ID, "xxxx", 4), -EINVAL);
}

static void a_reset_ends_a_job_for_good(void **state)
{
	(void)state;
	assert_int_equal(vfu_client_dma_map(c, 0, MEM_SIZE, -1, 0, 3, mem), 0);
	c->answer_dma = false;
	put64(COPIER_REG_SRC, 0);
	put64(COPIER_REG_DST, MEM_SIZE / 2);
	put32(COPIER_REG_SIZE, 8192);
	put32(COPIER_REG_VECTOR, 1);
	put32(COPIER_REG_DOORBELL, 0);
	assert_int_equal(vfu_client_poll(c, 5000), 1); /* its first read, unanswered */
	assert_int_equal(get32(COPIER_REG_STATUS), COPIER_BUSY);
	assert_int_equal(vfu_client_reset(c), 0);
	{
		/* The answer comes after the reset: nobody's any more. */
		struct {
			struct vfio_user_hdr h;
			struct vfio_user_dma_access a;
			uint8_t data[4096];
		} r = {{c->last_dma_id, VFIO_USER_DMA_READ, sizeof(r), VFIO_USER_F_REPLY, 0},
		       {0, 4096},
		       {0}};

		assert_int_equal(vfu_client_raw(c, &r, sizeof(r), NULL, 0), 0);
	}
	assert_int_equal(get32(COPIER_REG_STATUS), COPIER_IDLE);
	assert_int_equal(get32(COPIER_REG_JOBS), 0);
	assert_int_equal(c->dma_writes, 0);
	c->answer_dma = true;
	assert_int_equal(copy(0, MEM_SIZE / 2, 8192, COPIER_NO_VECTOR), COPIER_DONE);
	assert_memory_equal(mem + MEM_SIZE / 2, mem, 8192);
}

static void a_client_may_leave_in_the_middle_of_a_job(void **state)
{
	(void)state;
	assert_int_equal(vfu_client_dma_map(c, 0, MEM_SIZE, -1, 0, 3, mem), 0);
	c->answer_dma = false;
	put32(COPIER_REG_SIZE, 4096);
	put32(COPIER_REG_DOORBELL, 0);
	assert_int_equal(vfu_client_poll(c, 5000), 1);
	vfu_client_free(c);
	c = vfu_client_connect(path);
	assert_non_null(c);
	assert_int_equal(vfu_client_hello(c), 0);
	assert_int_equal(get32(COPIER_REG_STATUS), COPIER_IDLE);
}

static void native_vectors_are_eventfds(void **state)
{
	int e = eventfd(0, EFD_NONBLOCK);
	uint64_t v = 0;

	(void)state;
	share();
	assert_int_equal(vfu_client_set_irqs(c, VFIO_PCI_MSIX_IRQ_INDEX,
					     VFIO_IRQ_SET_ACTION_TRIGGER |
						     VFIO_IRQ_SET_DATA_EVENTFD,
					     1, 1, &e),
			 0);
	assert_int_equal(copy(0, 4096, 100, 1), COPIER_DONE);
	assert_int_equal(read(e, &v, sizeof(v)), sizeof(v));
	assert_int_equal(v, 1);
	close(e);
}

int main(void)
{
#define M(f) cmocka_unit_test_setup_teardown(f, setup_masquerade, teardown)
#define N(f) cmocka_unit_test_setup_teardown(f, setup_native, teardown)
	const struct CMUnitTest tests[] = {
		M(shared_memory_is_copied_and_a_message_tells),
		M(memory_without_descriptor_is_copied_by_messages),
		M(wrong_jobs_end_with_an_error),
		M(a_reset_ends_a_job_for_good),
		M(a_client_may_leave_in_the_middle_of_a_job),
		N(native_vectors_are_eventfds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
