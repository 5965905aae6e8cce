/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the dirty log: a bit per 4-KiB page of the guest that we have written, while it migrates.
 *
 * The order matters. The front end takes a bit away first and copies the page then. So a bit is
 * set after the bytes are written, with a full barrier: set before, the copy could miss the bytes
 * and nobody would say so again. For the same reason a bit that seems to be set is set once more.
 */
#include "vswitch/ports/vhost_internal.h"

#define LOG_PAGE_SHIFT 12 /* VHOST_LOG_PAGE, the protocol's, whatever the guest's page size */

void vh_log_range(const struct vhost *v, uint64_t gpa, uint64_t len)
{
	uint64_t page = gpa >> LOG_PAGE_SHIFT, last;

	if (!len || !v->log.ptr)
		return;
	last = (gpa + (len - 1)) >> LOG_PAGE_SHIFT;
	/* Pages behind the log's end are not migrated: the front end has sized it. */
	for (; page <= last && page / 8 < v->log.size; page++)
		__atomic_fetch_or(&v->log.ptr[page / 8], (uint8_t)(1u << (page % 8)),
				  __ATOMIC_SEQ_CST);
}
