/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the driver's guest memory: a memfd and a page allocator. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/driver/drv_internal.h"

int drv_mem_init(struct drv *d)
{
	d->mem_fd = memfd_create("guest", MFD_CLOEXEC);
	if (d->mem_fd < 0 || ftruncate(d->mem_fd, (off_t)d->mem_size) < 0)
		return -errno;
	d->mem = mmap(NULL, d->mem_size, PROT_READ | PROT_WRITE, MAP_SHARED, d->mem_fd, 0);
	if (d->mem == MAP_FAILED) {
		d->mem = NULL;
		return -errno;
	}
	d->n_pages = (uint32_t)(d->mem_size / DRV_PAGE);
	d->page_used = calloc(d->n_pages, 1);
	return d->page_used ? 0 : -ENOMEM;
}

void drv_mem_fini(struct drv *d)
{
	if (d->mem)
		munmap(d->mem, d->mem_size);
	if (d->mem_fd >= 0)
		close(d->mem_fd);
	free(d->page_used);
	d->mem = NULL;
	d->mem_fd = -1;
	d->page_used = NULL;
}

static int find(struct drv *d, uint32_t n, uint32_t from)
{
	uint32_t run = 0;

	for (uint32_t i = from; i < d->n_pages; i++) {
		run = d->page_used[i] ? 0 : run + 1;
		if (run == n)
			return (int)(i + 1 - n);
	}
	return -1;
}

void *drv_alloc(struct drv *d, size_t size, uint64_t *gpa)
{
	uint32_t n = (uint32_t)((size + DRV_PAGE - 1) / DRV_PAGE);
	/* Going round makes use-after-free by the device visible as damage to somebody else. */
	int at = find(d, n, d->page_hint);

	if (at < 0)
		at = find(d, n, 0);
	if (at < 0 || !n)
		return NULL;
	memset(d->page_used + at, 1, n);
	d->page_hint = (uint32_t)at + n;
	*gpa = d->mem_gpa + (uint64_t)at * DRV_PAGE;
	memset(d->mem + (size_t)at * DRV_PAGE, 0, (size_t)n * DRV_PAGE);
	return d->mem + (size_t)at * DRV_PAGE;
}

void drv_free(struct drv *d, uint64_t gpa, size_t size)
{
	memset(d->page_used + (gpa - d->mem_gpa) / DRV_PAGE, 0, (size + DRV_PAGE - 1) / DRV_PAGE);
}

void *drv_ptr(struct drv *d, uint64_t gpa)
{
	return d->mem + (gpa - d->mem_gpa);
}

uint64_t drv_gpa(struct drv *d, const void *ptr)
{
	return d->mem_gpa + (uint64_t)((const uint8_t *)ptr - d->mem);
}

uint64_t drv_seam(const struct drv *d)
{
	return d->mem_gpa + d->mem_size / d->conf.n_maps;
}

void drv_violation(struct drv *d, const char *fmt, ...)
{
	va_list ap;

	if (d->violations++)
		return;
	va_start(ap, fmt);
	vsnprintf(d->violation, sizeof(d->violation), fmt, ap);
	va_end(ap);
}
