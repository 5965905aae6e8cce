/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest's (or any peer's) memory as its device sees it: an interval table from device address
 * to memory of this process, and the one lookup that turns an address into a pointer.
 *
 * Files are mapped whole and once per inode: QEMU behind a virtual IOMMU sends hundreds of 4-KiB
 * maps of one memfd. Ranges may lie side by side and come from different files, so whoever walks
 * guest memory asks piece by piece (guest_mem_ptr()'s @avail).
 *
 * Threads. One thread, the owner, changes the table. The owner reads it without a lock. Every
 * other thread reads between guest_mem_read_lock() and guest_mem_read_unlock(); a change waits
 * for those readers, which is what makes an unmap wait for DMA in flight. No thread may hold the
 * read locks of two spaces while it takes a third, and the owner never takes its own.
 *
 * A peer can truncate a file under us. The SIGBUS of such an access is caught: the range is
 * replaced by zero pages of our own and the space is marked, guest_mem_poisoned().
 */
#ifndef HVLAB_BASE_GUEST_MEM_H
#define HVLAB_BASE_GUEST_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct guest_mem;

#define GUEST_MEM_R  0x1u
#define GUEST_MEM_W  0x2u
#define GUEST_MEM_RW 0x3u

/* NULL with errno. @max_maps bounds the table. */
struct guest_mem *guest_mem_new(unsigned int max_maps);
void guest_mem_free(struct guest_mem *gm);

/**
 * guest_mem_map() - Add [addr, addr + size)
 * @fd:		File behind it (stays the caller's), or -1: the range is known but cannot be
 *		reached by pointer (guest_mem_ptr() gives NULL, guest_mem_find() knows it)
 * @prot:	GUEST_MEM_*
 *
 * Return: 0; -EINVAL size 0, address overflow, or beyond the file's end; -EEXIST overlap;
 *	   -ENOSPC table full; what mmap() said
 */
int guest_mem_map(struct guest_mem *gm, uint64_t addr, uint64_t size, int fd, uint64_t offset,
		  unsigned int prot);
/*
 * Remove every range that lies wholly in [addr, addr + size). -ENOENT when none does, -EINVAL
 * when the interval would cut a range in two (nothing is then removed).
 */
int guest_mem_unmap(struct guest_mem *gm, uint64_t addr, uint64_t size);
/* What guest_mem_unmap() would return, without doing it. */
int guest_mem_can_unmap(const struct guest_mem *gm, uint64_t addr, uint64_t size);
void guest_mem_unmap_all(struct guest_mem *gm);

/* Ranges now in the table; ranges of them that cannot be reached by pointer. */
unsigned int guest_mem_count(const struct guest_mem *gm);
unsigned int guest_mem_count_unreachable(const struct guest_mem *gm);
bool guest_mem_poisoned(const struct guest_mem *gm);
/* Changes with every change of the table, so that whoever keeps a pointer can tell. */
uint64_t guest_mem_generation(const struct guest_mem *gm);

void guest_mem_read_lock(struct guest_mem *gm);
void guest_mem_read_unlock(struct guest_mem *gm);

/**
 * guest_mem_ptr() - The lookup
 * @want:	Bytes the caller would like (>= 1)
 * @avail:	Out: bytes that can be used at the pointer, 1..@want
 * @prot:	Access the range must allow
 *
 * Return: pointer, or NULL (not mapped, not allowed, not reachable)
 */
void *guest_mem_ptr(struct guest_mem *gm, uint64_t addr, uint64_t want, uint64_t *avail,
		    unsigned int prot);
/* The whole of [addr, addr + len) as pieces; count, -EFAULT, or -E2BIG beyond @max pieces. */
int guest_mem_iov(struct guest_mem *gm, uint64_t addr, uint64_t len, unsigned int prot,
		  struct iovec *iov, unsigned int max);
/* True when every byte is in the table with @prot, reachable or not. */
bool guest_mem_covers(struct guest_mem *gm, uint64_t addr, uint64_t len, unsigned int prot);
/* Copies; all or nothing as far as the lookup goes. 0 or -EFAULT. */
int guest_mem_read(struct guest_mem *gm, uint64_t addr, void *buf, size_t len);
int guest_mem_write(struct guest_mem *gm, uint64_t addr, const void *buf, size_t len);

#endif
