/* SPDX-License-Identifier: BSD-2-Clause */
/* Claims about base/guest_mem: what may be mapped, what a look-up gives, who may do what when. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/guest_mem.h"
#include "base/util.h"

#define PAGE 4096u

static int memfd(size_t size)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	return fd;
}

static void bad_ranges_are_refused(void **state)
{
	struct guest_mem *gm = guest_mem_new(4);
	int fd = memfd(4 * PAGE);

	(void)state;
	assert_int_equal(guest_mem_map(gm, 0, 0, fd, 0, GUEST_MEM_RW), -EINVAL);
	assert_int_equal(guest_mem_map(gm, UINT64_MAX - PAGE + 2, PAGE, fd, 0, GUEST_MEM_RW),
			 -EINVAL);
	assert_int_equal(guest_mem_map(gm, 0, 5 * PAGE, fd, 0, GUEST_MEM_RW), -EINVAL);
	assert_int_equal(guest_mem_map(gm, 0, PAGE, fd, 4 * PAGE, GUEST_MEM_RW), -EINVAL);
	assert_int_equal(guest_mem_map(gm, 0, PAGE, fd, UINT64_MAX - PAGE + 2, GUEST_MEM_RW),
			 -EINVAL);
	assert_int_equal(guest_mem_count(gm), 0);
	/* The last byte of the address space is an address like any other. */
	assert_int_equal(guest_mem_map(gm, UINT64_MAX - PAGE + 1, PAGE, fd, 0, GUEST_MEM_RW), 0);
	assert_true(guest_mem_covers(gm, UINT64_MAX, 1, GUEST_MEM_R));
	assert_false(guest_mem_covers(gm, UINT64_MAX, 2, GUEST_MEM_R));
	close(fd);
	guest_mem_free(gm);
}

static void overlap_and_a_full_table_are_refused(void **state)
{
	struct guest_mem *gm = guest_mem_new(2);
	int fd = memfd(4 * PAGE);

	(void)state;
	assert_int_equal(guest_mem_map(gm, 2 * PAGE, 2 * PAGE, fd, 0, GUEST_MEM_RW), 0);
	assert_int_equal(guest_mem_map(gm, 3 * PAGE, PAGE, fd, 0, GUEST_MEM_RW), -EEXIST);
	assert_int_equal(guest_mem_map(gm, PAGE, 2 * PAGE, fd, 0, GUEST_MEM_RW), -EEXIST);
	assert_int_equal(guest_mem_map(gm, 0, 4 * PAGE, -1, 0, GUEST_MEM_RW), -EEXIST);
	assert_int_equal(guest_mem_map(gm, PAGE, PAGE, fd, 0, GUEST_MEM_RW), 0);
	assert_int_equal(guest_mem_map(gm, 8 * PAGE, PAGE, fd, 0, GUEST_MEM_RW), -ENOSPC);
	close(fd);
	guest_mem_free(gm);
}

static void a_lookup_spans_ranges_and_stops_at_holes(void **state)
{
	struct guest_mem *gm = guest_mem_new(8);
	int fd = memfd(4 * PAGE), other = memfd(PAGE);
	uint8_t out[3 * PAGE], in[3 * PAGE];
	struct iovec iov[4];
	uint64_t avail;

	(void)state;
	/* Neighbours in address, not in memory: [0] -> page 2, [1] -> other, [2] -> page 1. */
	assert_int_equal(guest_mem_map(gm, 0x10000, PAGE, fd, 2 * PAGE, GUEST_MEM_RW), 0);
	assert_int_equal(guest_mem_map(gm, 0x11000, PAGE, other, 0, GUEST_MEM_RW), 0);
	assert_int_equal(guest_mem_map(gm, 0x12000, PAGE, fd, PAGE, GUEST_MEM_RW), 0);
	for (unsigned int i = 0; i < sizeof(in); i++)
		in[i] = (uint8_t)(i * 7 + i / 256);
	assert_int_equal(guest_mem_write(gm, 0x10000, in, sizeof(in)), 0);
	assert_int_equal(guest_mem_read(gm, 0x10000, out, sizeof(out)), 0);
	assert_memory_equal(in, out, sizeof(in));
	assert_int_equal(guest_mem_iov(gm, 0x10ffc, 0x1008, GUEST_MEM_R, iov, 4), 3);
	assert_int_equal(iov[0].iov_len, 4);
	assert_int_equal(iov[1].iov_len, PAGE);
	assert_int_equal(iov[2].iov_len, 4);
	assert_int_equal(guest_mem_iov(gm, 0x10ffc, 0x1008, GUEST_MEM_R, iov, 2), -E2BIG);
	assert_int_equal(guest_mem_iov(gm, 0x12fff, 2, GUEST_MEM_R, iov, 4), -EFAULT);
	/* All or nothing: the byte before the hole is not written either. */
	in[0] = (uint8_t)~out[2 * PAGE + PAGE - 1];
	assert_int_equal(guest_mem_write(gm, 0x12fff, in, 2), -EFAULT);
	assert_int_equal(guest_mem_read(gm, 0x12fff, in, 1), 0);
	assert_int_equal(in[0], out[3 * PAGE - 1]);
	assert_non_null(guest_mem_ptr(gm, 0x10800, 0x10000, &avail, GUEST_MEM_R));
	assert_int_equal(avail, 0x800);
	assert_null(guest_mem_ptr(gm, 0xffff, 1, &avail, GUEST_MEM_R));
	assert_null(guest_mem_ptr(gm, 0x13000, 1, &avail, GUEST_MEM_R));
	close(fd);
	close(other);
	guest_mem_free(gm);
}

static void rights_are_the_range_s_own(void **state)
{
	struct guest_mem *gm = guest_mem_new(8);
	int fd = memfd(2 * PAGE);
	uint64_t avail;
	uint8_t b = 1;

	(void)state;
	assert_int_equal(guest_mem_map(gm, 0, PAGE, fd, 0, GUEST_MEM_R), 0);
	assert_int_equal(guest_mem_map(gm, PAGE, PAGE, -1, 0, GUEST_MEM_RW), 0);
	assert_non_null(guest_mem_ptr(gm, 0, 1, &avail, GUEST_MEM_R));
	assert_null(guest_mem_ptr(gm, 0, 1, &avail, GUEST_MEM_W));
	assert_int_equal(guest_mem_write(gm, 0, &b, 1), -EFAULT);
	/* No descriptor: known, but not reachable. */
	assert_null(guest_mem_ptr(gm, PAGE, 1, &avail, GUEST_MEM_R));
	assert_true(guest_mem_covers(gm, PAGE, PAGE, GUEST_MEM_RW));
	assert_int_equal(guest_mem_read(gm, PAGE, &b, 1), -EFAULT);
	assert_int_equal(guest_mem_count_unreachable(gm), 1);
	close(fd);
	guest_mem_free(gm);
}

static void unmap_takes_whole_ranges_only(void **state)
{
	struct guest_mem *gm = guest_mem_new(8);
	int fd = memfd(4 * PAGE);
	uint64_t gen;

	(void)state;
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(guest_mem_map(gm, i * PAGE, PAGE, fd, i * PAGE, GUEST_MEM_RW), 0);
	gen = guest_mem_generation(gm);
	assert_int_equal(guest_mem_unmap(gm, 0, PAGE / 2), -EINVAL);
	assert_int_equal(guest_mem_unmap(gm, PAGE / 2, PAGE), -EINVAL);
	assert_int_equal(guest_mem_unmap(gm, 0, 0), -EINVAL);
	assert_int_equal(guest_mem_unmap(gm, 16 * PAGE, PAGE), -ENOENT);
	assert_int_equal(guest_mem_count(gm), 4);
	assert_int_equal(guest_mem_generation(gm), gen);
	assert_int_equal(guest_mem_unmap(gm, PAGE, 2 * PAGE), 0);
	assert_int_equal(guest_mem_count(gm), 2);
	assert_true(guest_mem_generation(gm) != gen);
	assert_int_equal(guest_mem_unmap(gm, 0, UINT64_MAX), 0);
	assert_int_equal(guest_mem_count(gm), 0);
	close(fd);
	guest_mem_free(gm);
}

static void a_truncated_file_poisons_and_does_not_kill(void **state)
{
	struct guest_mem *gm = guest_mem_new(8);
	int fd = memfd(4 * PAGE);
	uint8_t b[2] = {0xaa, 0xbb};

	(void)state;
	assert_int_equal(guest_mem_map(gm, 0, 4 * PAGE, fd, 0, GUEST_MEM_RW), 0);
	assert_int_equal(guest_mem_write(gm, 3 * PAGE, b, 2), 0);
	assert_false(guest_mem_poisoned(gm));
	assert_int_equal(ftruncate(fd, PAGE), 0);
	assert_int_equal(guest_mem_read(gm, 3 * PAGE, b, 2), 0);
	assert_int_equal(b[0], 0);
	assert_true(guest_mem_poisoned(gm));
	/* What is still there is still theirs. */
	assert_int_equal(guest_mem_write(gm, 0, b, 2), 0);
	guest_mem_unmap_all(gm);
	assert_false(guest_mem_poisoned(gm));
	close(fd);
	guest_mem_free(gm);
}

/* A mapping of huge pages cannot be cut anywhere: the zero pages begin where one of them does. */
static void truncated_huge_pages_do_not_kill_either(void **state)
{
	struct guest_mem *gm = guest_mem_new(8);
	uint64_t huge = 2u << 20;
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_HUGETLB);
	uint8_t b[2] = {0xaa, 0xbb};

	(void)state;
	if (fd < 0) {
		guest_mem_free(gm);
		skip(); /* a kernel without hugetlbfs */
	}
	assert_int_equal(ftruncate(fd, (off_t)(2 * huge)), 0);
	assert_int_equal(guest_mem_map(gm, 0, 2 * huge, fd, 0, GUEST_MEM_RW), 0);
	assert_int_equal(ftruncate(fd, (off_t)huge), 0);
	assert_int_equal(guest_mem_read(gm, huge + 5 * PAGE, b, 2), 0);
	assert_int_equal(b[0] | b[1], 0);
	assert_true(guest_mem_poisoned(gm));
	close(fd);
	guest_mem_free(gm);
}

struct reader {
	struct guest_mem *gm;
	_Atomic int inside, leave;
};

static void *hold_lock(void *arg)
{
	struct reader *r = arg;

	guest_mem_read_lock(r->gm);
	atomic_store(&r->inside, 1);
	while (!atomic_load(&r->leave))
		usleep(100);
	atomic_store(&r->inside, 0);
	guest_mem_read_unlock(r->gm);
	return NULL;
}

static void *let_go(void *arg)
{
	struct reader *r = arg;

	usleep(20000); /* long enough for an unmap that does not wait to show itself */
	atomic_store(&r->leave, 1);
	return NULL;
}

static void unmap_waits_for_dma_in_flight(void **state)
{
	struct reader r = {.gm = guest_mem_new(8)};
	pthread_t t1, t2;
	int fd = memfd(PAGE);

	(void)state;
	assert_int_equal(guest_mem_map(r.gm, 0, PAGE, fd, 0, GUEST_MEM_RW), 0);
	pthread_create(&t1, NULL, hold_lock, &r);
	while (!atomic_load(&r.inside))
		usleep(100);
	pthread_create(&t2, NULL, let_go, &r);
	assert_int_equal(guest_mem_unmap(r.gm, 0, PAGE), 0);
	assert_int_equal(atomic_load(&r.inside), 0);
	pthread_join(t1, NULL);
	pthread_join(t2, NULL);
	close(fd);
	guest_mem_free(r.gm);
}

static void thousands_of_maps_of_one_inode_share_a_mapping(void **state)
{
	struct guest_mem *gm = guest_mem_new(65535);
	int fd = memfd(4096 * PAGE);
	uint64_t avail;
	uint8_t *first, *last;

	(void)state;
	for (unsigned int i = 0; i < 4096; i++) {
		int dupfd = dup(fd);

		assert_int_equal(guest_mem_map(gm, (uint64_t)i * 2 * PAGE, PAGE, dupfd,
					       (uint64_t)i * PAGE, GUEST_MEM_RW),
				 0);
		close(dupfd);
	}
	first = guest_mem_ptr(gm, 0, 1, &avail, GUEST_MEM_RW);
	last = guest_mem_ptr(gm, 4095ull * 2 * PAGE, 1, &avail, GUEST_MEM_RW);
	assert_ptr_equal(last, first + 4095ull * PAGE);
	close(fd);
	guest_mem_free(gm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_ranges_are_refused),
		cmocka_unit_test(overlap_and_a_full_table_are_refused),
		cmocka_unit_test(a_lookup_spans_ranges_and_stops_at_holes),
		cmocka_unit_test(rights_are_the_range_s_own),
		cmocka_unit_test(unmap_takes_whole_ranges_only),
		cmocka_unit_test(a_truncated_file_poisons_and_does_not_kill),
		cmocka_unit_test(truncated_huge_pages_do_not_kill_either),
		cmocka_unit_test(unmap_waits_for_dma_in_flight),
		cmocka_unit_test(thousands_of_maps_of_one_inode_share_a_mapping),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
