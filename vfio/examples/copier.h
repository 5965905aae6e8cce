/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * copier: an example of a device on vfio/vfuser.h. A PCI function that copies guest memory.
 *
 * BAR 0 (4 KiB), little endian, accessed in the registers' own size:
 *
 *	0x00 u32 r   COPIER_ID
 *	0x08 u64 rw  source address
 *	0x10 u64 rw  destination address
 *	0x18 u32 rw  bytes, 1..COPIER_MAX
 *	0x1c u32 rw  MSI-X vector to raise when a job ends; COPIER_NO_VECTOR: none
 *	0x20 u32 r   COPIER_IDLE, COPIER_BUSY, COPIER_DONE, or COPIER_FAILED | errno
 *	0x24 u32 r   jobs ended since the last reset
 *	0x80 u32 w   doorbell: start with the registers as they are; ignored while busy
 *
 * BAR 2 (8 KiB): MSI-X table at 0, pending bits at 0x1000; the library's.
 */
#ifndef HVLAB_VFIO_EXAMPLES_COPIER_H
#define HVLAB_VFIO_EXAMPLES_COPIER_H

#include "vfio/vfuser.h"

#define COPIER_VENDOR 0x1af4 /* 10f0 to 10ff: for experiments, QEMU docs/specs/pci-ids.rst */
#define COPIER_DEVICE 0x10f0
#define COPIER_ID     0x59504f43u /* "COPY" */
#define COPIER_MAX    (64u << 10)
#define COPIER_N_MSIX 4u

#define COPIER_REG_ID	    0x00
#define COPIER_REG_SRC	    0x08
#define COPIER_REG_DST	    0x10
#define COPIER_REG_SIZE	    0x18
#define COPIER_REG_VECTOR   0x1c
#define COPIER_REG_STATUS   0x20
#define COPIER_REG_JOBS	    0x24
#define COPIER_REG_DOORBELL 0x80

#define COPIER_NO_VECTOR 0xffffffffu
#define COPIER_IDLE	 0u
#define COPIER_BUSY	 1u
#define COPIER_DONE	 2u
#define COPIER_FAILED	 0x80000000u

struct copier;

/* NULL with errno. Serves nothing yet: vfuser_listen(copier_server()), on the worker. */
struct copier *copier_new(struct worker *w, const char *name, enum vfuser_msix_mode mode);
struct vfuser *copier_server(struct copier *cp);
/* On the worker. NULL is fine. */
void copier_free(struct copier *cp);

#endif
