/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the driver's way to the device: vfio-user, PCI bring-up, interrupts. */
#include <errno.h>
#include <linux/pci_regs.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"
#include "tests/driver/drv_internal.h"
#include "tests/lib/wait.h"
#include "tests/protocol/vfu_client.h"

/* Where MSI messages go on a PC; the data is the vector's number plus this. */
#define MSI_ADDR 0xfee00000ull
#define MSI_DATA 0x4100u

int drv_rd(struct drv *d, uint64_t off, void *buf, size_t size)
{
	return vfu_client_read(d->vc, DRV_BAR, off, buf, (uint32_t)size);
}

int drv_wr_sync(struct drv *d, uint64_t off, const void *buf, size_t size)
{
	return vfu_client_write(d->vc, DRV_BAR, off, buf, (uint32_t)size);
}

int drv_wr(struct drv *d, uint64_t off, const void *buf, size_t size)
{
	if (size > 64) {
		drv_wr_sync(d, off, buf, size); /* the server's opinion does not matter here */
		return 0;
	}
	return vfu_client_post(d->vc, DRV_BAR, off, buf, (uint32_t)size);
}

int drv_cfg_rd(struct drv *d, uint32_t off, void *buf, size_t size)
{
	return vfu_client_read(d->vc, DRV_CONFIG, off, buf, (uint32_t)size);
}

int drv_cfg_wr(struct drv *d, uint32_t off, const void *buf, size_t size)
{
	return vfu_client_write(d->vc, DRV_CONFIG, off, buf, (uint32_t)size);
}

int drv_dma_map(struct drv *d, uint64_t gpa, uint64_t size, uint64_t fd_off)
{
	return vfu_client_dma_map(d->vc, gpa, size, d->conf.no_fd ? -1 : d->mem_fd, fd_off,
				  VFIO_USER_DMA_READ_OK | VFIO_USER_DMA_WRITE_OK, d->mem + fd_off);
}

int drv_dma_unmap(struct drv *d, uint64_t gpa, uint64_t size)
{
	return vfu_client_dma_unmap(d->vc, gpa, size);
}

int drv_device_reset(struct drv *d)
{
	return vfu_client_reset(d->vc);
}

int drv_flr(struct drv *d)
{
	uint32_t cap = vfu_client_find_cap(d->vc, PCI_CAP_ID_EXP), devcap = 0;
	uint16_t ctl = 0;
	int rc;

	if (!cap)
		return -ENOENT;
	rc = drv_cfg_rd(d, cap + PCI_EXP_DEVCAP, &devcap, 4);
	if (rc)
		return rc;
	if (!(devcap & PCI_EXP_DEVCAP_FLR))
		return -ENOTSUP;
	drv_cfg_rd(d, cap + PCI_EXP_DEVCTL, &ctl, 2);
	ctl |= PCI_EXP_DEVCTL_BCR_FLR;
	return drv_cfg_wr(d, cap + PCI_EXP_DEVCTL, &ctl, 2);
}

void drv_barrier(struct drv *d)
{
	uint32_t v;

	for (int i = 0; i < 3; i++)
		if (drv_rd(d, GDMA_REG_DB_PAGE_SIZE, &v, 4))
			drv_violation(d, "the device does not answer");
}

/* ---- Interrupts ------------------------------------------------------------------------------ */

static void on_dma_write(void *arg, uint64_t addr, const void *data, size_t size)
{
	struct drv *d = arg;
	uint32_t v = size == 4 ? le32_load(data) - MSI_DATA : UINT32_MAX;

	if ((addr & ~0xfffull) != MSI_ADDR)
		return; /* into guest memory, or nowhere */
	if (addr == MSI_ADDR + v * 4ull && v < d->n_vectors)
		d->irq_count[v]++;
	else
		d->irq_unknown++;
}

void drv_pump(struct drv *d)
{
	vfu_client_poll(d->vc, 0);
}

bool drv_irq_take(struct drv *d, uint32_t vector)
{
	uint64_t n;

	if (vector >= d->n_vectors)
		return false;
	if (!d->conf.masquerade)
		return read(d->irq_fd[vector], &n, sizeof(n)) == sizeof(n);
	drv_pump(d);
	n = d->irq_count[vector];
	d->irq_count[vector] = 0;
	return n;
}

bool drv_irq_wait(struct drv *d, uint32_t vector, unsigned int ms)
{
	return wait_until(drv_irq_take(d, vector), ms);
}

static int vectors_native(struct drv *d)
{
	uint32_t flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;

	for (uint32_t v = 0; v < d->n_vectors; v++) {
		int rc;

		d->irq_fd[v] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		if (d->irq_fd[v] < 0)
			return -errno;
		rc = vfu_client_set_irqs(d->vc, VFIO_PCI_MSIX_IRQ_INDEX, flags, v, 1,
					 &d->irq_fd[v]);
		if (rc)
			return rc;
	}
	return 0;
}

/* As Linux msix_setup_interrupts(): message, then unmask, one 4-byte write each. */
static int vectors_masqueraded(struct drv *d)
{
	for (uint32_t v = 0; v < d->n_vectors; v++) {
		const uint32_t w[4] = {(uint32_t)MSI_ADDR + v * 4, 0, MSI_DATA + v, 0};

		for (uint32_t i = 0; i < 4; i++) {
			int rc = vfu_client_post(d->vc, d->msix_bar, d->msix_table + v * 16 + i * 4,
						 &w[i], 4);

			if (rc)
				return rc;
		}
	}
	return 0;
}

static int vectors(struct drv *d)
{
	uint16_t ctl, cmd = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	uint32_t table;
	int rc = drv_cfg_rd(d, d->cap_msix + PCI_MSIX_FLAGS, &ctl, 2);

	if (!rc)
		rc = drv_cfg_rd(d, d->cap_msix + PCI_MSIX_TABLE, &table, 4);
	if (rc)
		return rc;
	d->msix_bar = table & PCI_MSIX_TABLE_BIR;
	d->msix_table = table & PCI_MSIX_TABLE_OFFSET;
	d->n_vectors = MIN((ctl & PCI_MSIX_FLAGS_QSIZE) + 1u, (uint32_t)DRV_MAX_VECTORS);
	if (d->n_vectors < 2)
		return -ENOSPC; /* Linux: one for the HWC, one for queues */
	rc = drv_cfg_wr(d, PCI_COMMAND, &cmd, 2);
	ctl |= PCI_MSIX_FLAGS_ENABLE;
	if (!rc && d->conf.masquerade)
		rc = vectors_masqueraded(d);
	if (!rc)
		rc = drv_cfg_wr(d, d->cap_msix + PCI_MSIX_FLAGS, &ctl, 2);
	if (!rc && !d->conf.masquerade)
		rc = vectors_native(d);
	return rc;
}

/* ---- Opening: what QEMU does, then what mana_gd_probe() does --------------------------------- */

static int map_all(struct drv *d)
{
	uint64_t part = d->mem_size / d->conf.n_maps;

	for (unsigned int i = 0; i < d->conf.n_maps; i++) {
		uint64_t size = i + 1 == d->conf.n_maps ? d->mem_size - i * part : part;
		int rc = drv_dma_map(d, d->mem_gpa + i * part, size, i * part);

		if (rc)
			return rc;
	}
	return 0;
}

static int registers(struct drv *d)
{
	int rc = drv_rd(d, GDMA_REG_DB_PAGE_SIZE, &d->db_size, 4);

	if (!rc)
		rc = drv_rd(d, GDMA_REG_DB_PAGE_OFFSET, &d->db_off, 8);
	if (!rc)
		rc = drv_rd(d, GDMA_REG_SHM_OFFSET, &d->shm_off, 8);
	if (rc)
		return rc;
	/* mana_gd_init_vf_regs() */
	d->db_size &= 0xffff;
	if (d->db_size < 4096 || d->db_off >= d->bar0_size || d->shm_off >= d->bar0_size ||
	    d->bar0_size - d->shm_off < SMC_APERTURE_SIZE || d->shm_off % 4)
		return -EPROTO;
	return 0;
}

int drv_open(struct drv *d, int sock, const struct drv_conf *conf)
{
	struct vfio_region_info bar = {.argsz = sizeof(bar), .index = DRV_BAR};
	struct vfio_user_device_info info;
	uint32_t id;
	int rc;

	memset(d, 0, sizeof(*d));
	if (conf)
		d->conf = *conf;
	d->conf.n_maps = d->conf.n_maps ? d->conf.n_maps : 2;
	d->mem_size = d->conf.mem_size ? d->conf.mem_size : 32u << 20;
	d->mem_gpa = d->conf.mem_gpa ? d->conf.mem_gpa : 1u << 20;
	d->mem_fd = -1;
	for (size_t i = 0; i < DRV_MAX_VECTORS; i++)
		d->irq_fd[i] = -1;
	d->vc = vfu_client_new(sock);
	if (!d->vc)
		return -ENOMEM;
	d->vc->on_dma_write = on_dma_write;
	d->vc->arg = d;
	rc = drv_mem_init(d);
	if (!rc)
		rc = vfu_client_version(d->vc);
	if (!rc)
		rc = map_all(d);
	if (!rc)
		rc = vfu_client_device_info(d->vc, &info);
	if (!rc)
		rc = vfu_client_region_info(d->vc, &bar, sizeof(bar), NULL);
	if (!rc)
		rc = vfu_client_reset(d->vc);
	if (!rc)
		rc = drv_cfg_rd(d, 0, &id, 4);
	if (rc)
		return rc;
	d->bar0_size = bar.size;
	if (id != (MANA_VENDOR_ID | MANA_VF_DEVICE_ID << 16))
		return -ENODEV;
	d->cap_msix = (uint16_t)vfu_client_find_cap(d->vc, PCI_CAP_ID_MSIX);
	if (!d->cap_msix)
		return -ENOENT;
	rc = vectors(d);
	if (!rc)
		rc = registers(d);
	if (rc)
		return rc;
	d->tx_mem = drv_alloc(d, (size_t)DRV_TX_SLOTS * DRV_TX_SLOT_SZ, &d->tx_gpa);
	d->tx_free = ~0ull;
	return d->tx_mem ? 0 : -ENOMEM;
}

void drv_close(struct drv *d)
{
	vfu_client_free(d->vc);
	d->vc = NULL;
	fd_close_all(d->irq_fd, DRV_MAX_VECTORS);
	drv_mem_fini(d);
}
