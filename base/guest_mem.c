/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the table from guest address to host pointer, and the file mappings behind it. */
#define LOG_TAG "guest-mem"
#include "base/guest_mem.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/log.h"

/* A file mapped whole; shared by every range of the same inode in one space. */
struct file_map {
	dev_t dev;
	ino_t ino;
	uint8_t *base;
	uint64_t size;
	unsigned int prot;
	unsigned int refs;
	int guard; /* slot in guards[], -1 if none was free */
	struct file_map *next;
};

struct range {
	uint64_t addr;
	uint64_t size;
	uint8_t *ptr; /* NULL: no pointer reaches it */
	unsigned int prot;
	struct file_map *file;
};

struct guest_mem {
	pthread_rwlock_t lock;
	struct range *ranges; /* by address, no overlap */
	unsigned int n, room, max;
	unsigned int unreachable;
	struct file_map *files;
	_Atomic uint64_t generation;
	_Atomic bool poisoned;
};

/*
 * Where file mappings lie, for the SIGBUS handler: it may only look at memory that needs no
 * lock. A slot is claimed by storing start, then size (release); freed by storing size 0 first.
 */
#define MAX_GUARDS 4096
static struct guard {
	_Atomic uintptr_t start;
	_Atomic size_t size;
	_Atomic(struct guest_mem *) owner;
} guards[MAX_GUARDS];
static pthread_mutex_t guards_lock = PTHREAD_MUTEX_INITIALIZER;
static struct sigaction old_sigbus;

/* Zero pages from @page to @end in place of what a file no longer has. */
static bool replace(uintptr_t page, uintptr_t end)
{
	return mmap((void *)page, end - page, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) != MAP_FAILED;
}

static void on_sigbus(int sig, siginfo_t *si, void *ctx)
{
	/* A mapping of huge pages can only be cut between two of them. */
	static const uintptr_t page_sizes[] = {4096, 2u << 20, 1u << 30};
	uintptr_t at = (uintptr_t)si->si_addr;
	int saved = errno;

	for (unsigned int i = 0; i < MAX_GUARDS; i++) {
		size_t size = atomic_load(&guards[i].size);
		uintptr_t start = atomic_load(&guards[i].start);
		bool done = false;

		if (!size || at < start || at - start >= size)
			continue;
		/* From the fault to the end: what lies behind a truncation is gone as well. */
		for (unsigned int k = 0; k < ARRAY_SIZE(page_sizes) && !done; k++) {
			uintptr_t page = at & ~(page_sizes[k] - 1);

			done = replace(MAX(page, start), start + size);
		}
		if (!done)
			break;
		atomic_store(&atomic_load(&guards[i].owner)->poisoned, true);
		errno = saved;
		return;
	}
	/* Not guest memory: ours is the bug. Let the former handler or the kernel end us. */
	if (old_sigbus.sa_flags & SA_SIGINFO)
		old_sigbus.sa_sigaction(sig, si, ctx);
	else
		sigaction(SIGBUS, &old_sigbus, NULL);
}

/* Under guards_lock. Others (a test runner) may have taken the signal since the last time. */
static void guards_install(void)
{
	struct sigaction sa = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_NODEFER};
	struct sigaction now;

	if (sigaction(SIGBUS, NULL, &now) == 0 && (now.sa_flags & SA_SIGINFO) &&
	    now.sa_sigaction == on_sigbus)
		return;
	old_sigbus = now;
	sigemptyset(&sa.sa_mask);
	sigaction(SIGBUS, &sa, NULL);
}

static int guard_add(struct guest_mem *gm, void *start, size_t size)
{
	int slot = -1;

	pthread_mutex_lock(&guards_lock);
	guards_install();
	for (unsigned int i = 0; i < MAX_GUARDS && slot < 0; i++) {
		if (atomic_load(&guards[i].size))
			continue;
		atomic_store(&guards[i].owner, gm);
		atomic_store(&guards[i].start, (uintptr_t)start);
		atomic_store(&guards[i].size, size);
		slot = (int)i;
	}
	pthread_mutex_unlock(&guards_lock);
	return slot;
}

static void guard_del(int slot)
{
	if (slot >= 0)
		atomic_store(&guards[slot].size, 0);
}

struct guest_mem *guest_mem_new(unsigned int max_maps)
{
	struct guest_mem *gm = calloc(1, sizeof(*gm));

	if (!gm)
		return NULL;
	gm->max = max_maps;
	pthread_rwlock_init(&gm->lock, NULL);
	return gm;
}

void guest_mem_free(struct guest_mem *gm)
{
	if (!gm)
		return;
	guest_mem_unmap_all(gm);
	pthread_rwlock_destroy(&gm->lock);
	free(gm->ranges);
	free(gm);
}

/* First range that ends after @addr. */
static unsigned int find(const struct guest_mem *gm, uint64_t addr)
{
	unsigned int lo = 0, hi = gm->n;

	while (lo < hi) {
		unsigned int mid = lo + (hi - lo) / 2;

		if (gm->ranges[mid].addr + (gm->ranges[mid].size - 1) < addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static void file_put(struct guest_mem *gm, struct file_map *f)
{
	if (!f || --f->refs)
		return;
	for (struct file_map **p = &gm->files; *p; p = &(*p)->next) {
		if (*p == f) {
			*p = f->next;
			break;
		}
	}
	guard_del(f->guard);
	munmap(f->base, f->size);
	free(f);
}

static int file_get(struct guest_mem *gm, int fd, unsigned int prot, uint64_t end,
		    struct file_map **out)
{
	int flags = (prot & GUEST_MEM_R ? PROT_READ : 0) | (prot & GUEST_MEM_W ? PROT_WRITE : 0);
	struct file_map *f;
	struct stat st;
	int rc;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size <= 0 || end > (uint64_t)st.st_size)
		return -EINVAL;
	for (f = gm->files; f; f = f->next) {
		if (f->dev == st.st_dev && f->ino == st.st_ino && end <= f->size &&
		    (f->prot & prot) == prot) {
			f->refs++;
			*out = f;
			return 0;
		}
	}
	f = calloc(1, sizeof(*f));
	if (!f)
		return -ENOMEM;
	f->dev = st.st_dev;
	f->ino = st.st_ino;
	f->size = (uint64_t)st.st_size;
	f->refs = 1;
	/* Both ways when the file allows it, so that later ranges can share the mapping. */
	f->prot = GUEST_MEM_RW;
	f->base = mmap(NULL, f->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (f->base == MAP_FAILED) {
		f->prot = prot;
		f->base = mmap(NULL, f->size, flags, MAP_SHARED | MAP_NORESERVE, fd, 0);
	}
	if (f->base == MAP_FAILED) {
		rc = -errno;
		free(f);
		return rc;
	}
	f->guard = guard_add(gm, f->base, f->size);
	if (f->guard < 0)
		log_warn_rl("no guard left for a file of %llu bytes: truncating it would end us",
			    (unsigned long long)f->size);
	f->next = gm->files;
	gm->files = f;
	*out = f;
	return 0;
}

int guest_mem_map(struct guest_mem *gm, uint64_t addr, uint64_t size, int fd, uint64_t offset,
		  unsigned int prot)
{
	struct file_map *file = NULL;
	uint64_t last, end;
	unsigned int at;
	int rc;

	if (!size || !checked_add(addr, size - 1, &last) || !checked_add(offset, size, &end))
		return -EINVAL;
	at = find(gm, addr);
	if (at < gm->n && gm->ranges[at].addr <= last)
		return -EEXIST;
	if (gm->n >= gm->max)
		return -ENOSPC;
	if (fd >= 0) {
		rc = file_get(gm, fd, prot & GUEST_MEM_RW, end, &file);
		if (rc)
			return rc;
	}
	pthread_rwlock_wrlock(&gm->lock);
	if (gm->n == gm->room) {
		unsigned int room = gm->room ? gm->room * 2 : 16;
		struct range *r = realloc(gm->ranges, room * sizeof(*r));

		if (!r) {
			pthread_rwlock_unlock(&gm->lock);
			file_put(gm, file);
			return -ENOMEM;
		}
		gm->ranges = r;
		gm->room = room;
	}
	memmove(&gm->ranges[at + 1], &gm->ranges[at], (gm->n - at) * sizeof(*gm->ranges));
	gm->ranges[at] = (struct range){
		.addr = addr,
		.size = size,
		.ptr = file ? file->base + offset : NULL,
		.prot = prot & GUEST_MEM_RW,
		.file = file,
	};
	gm->n++;
	gm->unreachable += !file;
	atomic_fetch_add(&gm->generation, 1);
	pthread_rwlock_unlock(&gm->lock);
	return 0;
}

/* The ranges [*from, *to) that an unmap would take. */
static int to_unmap(const struct guest_mem *gm, uint64_t addr, uint64_t size, unsigned int *from,
		    unsigned int *to)
{
	uint64_t last;

	if (!size || !checked_add(addr, size - 1, &last))
		return -EINVAL;
	*from = find(gm, addr);
	for (*to = *from; *to < gm->n && gm->ranges[*to].addr <= last; ++*to) {
		const struct range *r = &gm->ranges[*to];

		if (r->addr < addr || r->addr + (r->size - 1) > last)
			return -EINVAL;
	}
	return *to == *from ? -ENOENT : 0;
}

int guest_mem_can_unmap(const struct guest_mem *gm, uint64_t addr, uint64_t size)
{
	unsigned int from, to;

	return to_unmap(gm, addr, size, &from, &to);
}

int guest_mem_unmap(struct guest_mem *gm, uint64_t addr, uint64_t size)
{
	unsigned int from, to;
	int rc = to_unmap(gm, addr, size, &from, &to);

	if (rc)
		return rc;
	pthread_rwlock_wrlock(&gm->lock);
	for (unsigned int i = from; i < to; i++) {
		gm->unreachable -= !gm->ranges[i].file;
		file_put(gm, gm->ranges[i].file);
	}
	memmove(&gm->ranges[from], &gm->ranges[to], (gm->n - to) * sizeof(*gm->ranges));
	gm->n -= to - from;
	atomic_fetch_add(&gm->generation, 1);
	pthread_rwlock_unlock(&gm->lock);
	return 0;
}

void guest_mem_unmap_all(struct guest_mem *gm)
{
	pthread_rwlock_wrlock(&gm->lock);
	for (unsigned int i = 0; i < gm->n; i++)
		file_put(gm, gm->ranges[i].file);
	gm->n = 0;
	gm->unreachable = 0;
	atomic_store(&gm->poisoned, false);
	atomic_fetch_add(&gm->generation, 1);
	pthread_rwlock_unlock(&gm->lock);
}

unsigned int guest_mem_count(const struct guest_mem *gm)
{
	return gm->n;
}

unsigned int guest_mem_count_unreachable(const struct guest_mem *gm)
{
	return gm->unreachable;
}

bool guest_mem_poisoned(const struct guest_mem *gm)
{
	return atomic_load(&gm->poisoned);
}

uint64_t guest_mem_generation(const struct guest_mem *gm)
{
	return atomic_load_explicit(&gm->generation, memory_order_acquire);
}

void guest_mem_read_lock(struct guest_mem *gm)
{
	pthread_rwlock_rdlock(&gm->lock);
}

void guest_mem_read_unlock(struct guest_mem *gm)
{
	pthread_rwlock_unlock(&gm->lock);
}

void *guest_mem_ptr(struct guest_mem *gm, uint64_t addr, uint64_t want, uint64_t *avail,
		    unsigned int prot)
{
	unsigned int at = find(gm, addr);
	const struct range *r;
	uint64_t off;

	if (at == gm->n)
		return NULL;
	r = &gm->ranges[at];
	if (addr < r->addr || !r->ptr || (r->prot & prot) != prot)
		return NULL;
	off = addr - r->addr;
	*avail = MIN(want, r->size - off);
	return r->ptr + off;
}

int guest_mem_iov(struct guest_mem *gm, uint64_t addr, uint64_t len, unsigned int prot,
		  struct iovec *iov, unsigned int max)
{
	unsigned int n = 0;
	uint64_t last;

	if (len && !checked_add(addr, len - 1, &last))
		return -EFAULT;
	while (len) {
		uint64_t avail = 0;
		uint8_t *p = guest_mem_ptr(gm, addr, len, &avail, prot);

		if (!p)
			return -EFAULT;
		if (n && (uint8_t *)iov[n - 1].iov_base + iov[n - 1].iov_len == p) {
			iov[n - 1].iov_len += avail;
		} else {
			if (n == max)
				return -E2BIG;
			iov[n++] = (struct iovec){p, avail};
		}
		addr += avail;
		len -= avail;
	}
	return (int)n;
}

bool guest_mem_covers(struct guest_mem *gm, uint64_t addr, uint64_t len, unsigned int prot)
{
	uint64_t last, next = addr;

	if (!len || !checked_add(addr, len - 1, &last))
		return false;
	for (unsigned int i = find(gm, addr); i < gm->n; i++) {
		const struct range *r = &gm->ranges[i];

		if (r->addr > next || (r->prot & prot) != prot)
			return false;
		if (r->addr + (r->size - 1) >= last)
			return true;
		next = r->addr + r->size;
	}
	return false;
}

static int copy(struct guest_mem *gm, uint64_t addr, uint8_t *buf, size_t len, bool to_guest)
{
	unsigned int prot = to_guest ? GUEST_MEM_W : GUEST_MEM_R;

	if (!len)
		return 0;
	if (!guest_mem_covers(gm, addr, len, prot))
		return -EFAULT;
	while (len) {
		uint64_t avail = 0;
		uint8_t *p = guest_mem_ptr(gm, addr, len, &avail, prot);

		if (!p)
			return -EFAULT;
		if (to_guest)
			memcpy(p, buf, avail);
		else
			memcpy(buf, p, avail);
		addr += avail;
		buf += avail;
		len -= avail;
	}
	return 0;
}

int guest_mem_read(struct guest_mem *gm, uint64_t addr, void *buf, size_t len)
{
	return copy(gm, addr, buf, len, false);
}

int guest_mem_write(struct guest_mem *gm, uint64_t addr, const void *buf, size_t len)
{
	return copy(gm, addr, (uint8_t *)(uintptr_t)buf, len, true);
}
