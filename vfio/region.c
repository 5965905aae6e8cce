/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns what the client sees of regions: their sizes, who serves an access, mappable areas. */
#define LOG_TAG "vfio"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/util.h"
#include "vfio/internal.h"

uint64_t region_size(const struct vfuser *vu, uint32_t index)
{
	if (index < VFUSER_N_BARS)
		return vu->conf.bars[index].size;
	return index == VFIO_PCI_CONFIG_REGION_INDEX ? VFU_CFG_SIZE : 0;
}

static bool overlaps(uint64_t off, size_t size, uint64_t start, uint64_t len)
{
	return off < start + len && start < off + size;
}

int region_access(struct vfuser *vu, const struct vfio_user_region_access *a, void *buf,
		  bool write)
{
	const struct vfuser_conf *c = &vu->conf;

	if (a->region >= VFU_N_REGIONS || !a->count ||
	    !range_ok(a->offset, a->count, region_size(vu, a->region)))
		return -EINVAL;
	if (a->region == VFIO_PCI_CONFIG_REGION_INDEX) {
		if (write)
			pci_write(vu, (uint32_t)a->offset, buf, a->count);
		else
			pci_read(vu, (uint32_t)a->offset, buf, a->count);
		return 0;
	}
	if (c->n_msix && a->region == c->msix_bar) {
		uint64_t table = c->msix_table_offset, pba = c->msix_pba_offset;
		uint64_t table_len = c->n_msix * 16ull, pba_len = (c->n_msix + 63) / 64 * 8ull;

		if (overlaps(a->offset, a->count, table, table_len)) {
			if (!range_ok(a->offset - table, a->count, table_len))
				return -EINVAL;
			irq_table_access(vu, (uint32_t)(a->offset - table), buf, a->count, write);
			return 0;
		}
		if (overlaps(a->offset, a->count, pba, pba_len)) {
			if (!range_ok(a->offset - pba, a->count, pba_len))
				return -EINVAL;
			if (!write) /* read-only, PCI 3.0 section 6.8.2.10 */
				irq_pba_read(vu, (uint32_t)(a->offset - pba), buf, a->count);
			return 0;
		}
	}
	if (write)
		return c->ops->region_write(c->dev, a->region, a->offset, buf, a->count);
	memset(buf, 0, a->count);
	return c->ops->region_read(c->dev, a->region, a->offset, buf, a->count);
}

int region_write_multi(struct vfuser *vu, const struct vfu_msg *m)
{
	struct vfio_user_write_multi w;
	struct vfio_user_write_one one;
	size_t room = (m->len - sizeof(w)) / sizeof(one);
	struct iovec iov = {&w, sizeof(w)};
	const uint8_t *p = m->body + sizeof(w);

	memcpy(&w, m->body, sizeof(w));
	if (w.count != room || m->len != sizeof(w) + room * sizeof(one))
		return -EINVAL;
	/* Check all, then write: a rejected message leaves no trace. */
	for (size_t i = 0; i < room; i++) {
		memcpy(&one, p + i * sizeof(one), sizeof(one));
		if (!one.a.count || one.a.count > sizeof(one.data) ||
		    one.a.region >= VFU_N_REGIONS ||
		    !range_ok(one.a.offset, one.a.count, region_size(vu, one.a.region)))
			return -EINVAL;
	}
	for (size_t i = 0; i < room; i++) {
		int rc;

		memcpy(&one, p + i * sizeof(one), sizeof(one));
		rc = region_access(vu, &one.a, one.data, true);
		if (rc)
			return rc;
	}
	return vfu_reply(vu, m, &iov, 1, NULL, 0);
}

int region_get_info(struct vfuser *vu, const struct vfu_msg *m)
{
	const struct vfuser_bar *bar = NULL;
	struct vfio_region_info r;
	struct vfio_region_info_cap_sparse_mmap *cap = NULL;
	size_t cap_size = 0, n = 0;
	struct iovec iov[2];
	int rc;

	memcpy(&r, m->body, sizeof(r));
	if (r.argsz < sizeof(r) || r.index >= VFU_N_REGIONS)
		return -EINVAL;
	if (r.index < VFUSER_N_BARS)
		bar = &vu->conf.bars[r.index];
	if (bar)
		n = bar->size ? bar->n_mmap_areas : 0;
	r.size = region_size(vu, r.index);
	r.flags = r.size ? VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE : 0;
	r.offset = n ? bar->mmap_offset : 0;
	r.cap_offset = 0;
	if (n) {
		cap_size = sizeof(*cap) + n * sizeof(cap->areas[0]);
		r.flags |= VFIO_REGION_INFO_FLAG_MMAP | VFIO_REGION_INFO_FLAG_CAPS;
	}
	if (r.argsz < sizeof(r) + cap_size) {
		/* Too small for the chain: say how much it takes, attach nothing. */
		r.argsz = (uint32_t)(sizeof(r) + cap_size);
		iov[0] = (struct iovec){&r, sizeof(r)};
		return vfu_reply(vu, m, iov, 1, NULL, 0);
	}
	r.argsz = (uint32_t)(sizeof(r) + cap_size);
	iov[0] = (struct iovec){&r, sizeof(r)};
	if (!n)
		return vfu_reply(vu, m, iov, 1, NULL, 0);
	cap = calloc(1, cap_size);
	if (!cap)
		return -ENOMEM;
	r.cap_offset = sizeof(r);
	cap->header.id = VFIO_REGION_INFO_CAP_SPARSE_MMAP;
	cap->header.version = 1;
	cap->nr_areas = (uint32_t)n;
	for (size_t i = 0; i < n; i++) {
		cap->areas[i].offset = bar->mmap_areas[i].offset;
		cap->areas[i].size = bar->mmap_areas[i].size;
	}
	iov[1] = (struct iovec){cap, cap_size};
	rc = vfu_reply(vu, m, iov, 2, &bar->mmap_fd, vu->peer_fds ? 1 : 0);
	free(cap);
	return rc;
}

int region_get_io_fds(struct vfuser *vu, const struct vfu_msg *m)
{
	struct vfio_user_ioeventfd *sub = NULL;
	const struct vfuser_bar *bar;
	struct vfio_user_io_fds q;
	int fds[VFU_MAX_FDS];
	unsigned int n = 0, n_fds = 0;
	struct iovec iov[2];
	size_t need;
	int rc;

	memcpy(&q, m->body, sizeof(q));
	if (q.argsz < sizeof(q) || q.flags || q.index >= VFU_N_REGIONS)
		return -EINVAL;
	bar = q.index < VFUSER_N_BARS ? &vu->conf.bars[q.index] : NULL;
	if (bar && bar->size)
		n = bar->n_io_fds;
	need = sizeof(q) + n * sizeof(*sub);
	q.count = n;
	iov[0] = (struct iovec){&q, sizeof(q)};
	if (q.argsz < need || !n) {
		q.argsz = (uint32_t)need;
		return vfu_reply(vu, m, iov, 1, NULL, 0);
	}
	q.argsz = (uint32_t)need;
	sub = calloc(n, sizeof(*sub));
	if (!sub)
		return -ENOMEM;
	for (unsigned int i = 0; i < n; i++) {
		const struct vfuser_io_fd *f = &bar->io_fds[i];
		unsigned int at = 0;

		while (at < n_fds && fds[at] != f->fd)
			at++;
		if (at == n_fds) {
			if (n_fds == vu->peer_fds) {
				free(sub);
				return -E2BIG; /* more than the client said it takes */
			}
			fds[n_fds++] = f->fd;
		}
		sub[i] = (struct vfio_user_ioeventfd){.offset = f->offset,
						      .size = f->size,
						      .fd_index = at,
						      .type = VFIO_USER_IO_FD_IOEVENTFD,
						      .flags = f->flags,
						      .datamatch = f->datamatch};
	}
	iov[1] = (struct iovec){sub, n * sizeof(*sub)};
	rc = vfu_reply(vu, m, iov, 2, fds, n_fds);
	free(sub);
	return rc;
}
