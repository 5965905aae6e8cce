/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the table of a front end's memory, by guest address and by the front end's own.
 *
 * Descriptors hold guest addresses; SET_VRING_ADDR names the rings by addresses of the front end's
 * process. Both mean the same regions. base/guest_mem.h maps the files and survives their
 * truncation; the table beside it is what the packet path searches: a ring remembers the region of
 * its last address, and there are few.
 */
#include "vswitch/ports/vhost_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

const struct vh_region vh_nowhere;

struct vh_mem *vh_mem_new(void)
{
	struct vh_mem *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->gm = guest_mem_new(VH_MAX_REGIONS);
	if (!m->gm) {
		free(m);
		errno = ENOMEM;
		return NULL;
	}
	return m;
}

void vh_mem_free(struct vh_mem *m)
{
	if (!m)
		return;
	guest_mem_free(m->gm);
	free(m);
}

int vh_mem_add(struct vh_mem *m, const struct vhost_user_region *r, int fd)
{
	uint64_t last, avail = 0;
	uint8_t *ptr;
	int rc;

	if (m->n == VH_MAX_REGIONS)
		return -ENOSPC;
	if (!r->size || !checked_add(r->user_addr, r->size - 1, &last))
		return -EINVAL;
	for (unsigned int i = 0; i < m->n; i++) {
		const struct vh_region *o = &m->region[i];

		if (r->user_addr <= o->user + (o->size - 1) && o->user <= last)
			return -EEXIST;
	}
	rc = guest_mem_map(m->gm, r->guest_addr, r->size, fd, r->mmap_offset, GUEST_MEM_RW);
	if (rc)
		return rc;
	ptr = guest_mem_ptr(m->gm, r->guest_addr, r->size, &avail, GUEST_MEM_RW);
	if (!ptr || avail != r->size)
		return -EFAULT;
	m->region[m->n++] = (struct vh_region){
		.gpa = r->guest_addr, .size = r->size, .user = r->user_addr, .ptr = ptr};
	return 0;
}

int vh_mem_del(struct vh_mem *m, const struct vhost_user_region *r)
{
	for (unsigned int i = 0; i < m->n; i++) {
		struct vh_region *o = &m->region[i];

		if (o->gpa != r->guest_addr || o->size != r->size || o->user != r->user_addr)
			continue;
		guest_mem_unmap(m->gm, o->gpa, o->size);
		memmove(o, o + 1, (m->n - i - 1) * sizeof(*o));
		m->n--;
		return 0;
	}
	return -ENOENT;
}

uint8_t *vh_mem_user(const struct vh_mem *m, uint64_t user, uint64_t len)
{
	for (unsigned int i = 0; m && i < m->n; i++) {
		const struct vh_region *r = &m->region[i];

		if (user >= r->user && range_ok(user - r->user, len, r->size))
			return r->ptr + (user - r->user);
	}
	return NULL;
}

int vh_area_map(struct vh_area *a, int fd, uint64_t offset, uint64_t size)
{
	struct vh_area n = {.gm = guest_mem_new(1), .size = size};
	uint64_t avail = 0;
	int rc;

	if (!n.gm)
		return -ENOMEM;
	rc = guest_mem_map(n.gm, 0, size, fd, offset, GUEST_MEM_RW);
	if (!rc) {
		n.ptr = guest_mem_ptr(n.gm, 0, size, &avail, GUEST_MEM_RW);
		if (!n.ptr || avail != size)
			rc = -EFAULT;
	}
	if (rc) {
		guest_mem_free(n.gm);
		return rc;
	}
	vh_area_drop(a);
	*a = n;
	return 0;
}

void vh_area_drop(struct vh_area *a)
{
	guest_mem_free(a->gm);
	*a = (struct vh_area){0};
}
