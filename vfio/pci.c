/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the PCI configuration space: built once from the conf, read and written by the client.
 *
 * Every byte has a mask of the bits a write may change; what a write means (BAR sizing comes out
 * of the masks by itself, FLR, D-state, MSI-X control, bus mastering) is looked at afterwards,
 * by comparing before and after, so that a write of any size and alignment is the same.
 *
 * Offsets and bits: linux/pci_regs.h; PCI 3.0, PCI Express base 3.0 section 7.8.
 */
#define LOG_TAG "vfio"
#include <string.h>

#include <linux/pci_regs.h>

#include "base/log.h"
#include "base/util.h"
#include "base/wire.h"
#include "vfio/internal.h"

/* linux/pci_regs.h of Debian 12 has these under the same names; sizes are ours. */
#define PM_SIZE	  8u
#define MSI_SIZE  24u /* 64-bit address, per-vector masking */
#define PCIE_SIZE 60u /* version 2 */
#define MSIX_SIZE 12u
#define CAP_START 0x40u

static void set16(struct vfu_pci *p, unsigned int off, uint16_t v, uint16_t wmask)
{
	le16_store(p->cfg + off, v);
	le16_store(p->wmask + off, wmask);
}

static void set32(struct vfu_pci *p, unsigned int off, uint32_t v, uint32_t wmask)
{
	le32_store(p->cfg + off, v);
	le32_store(p->wmask + off, wmask);
}

/* Link a capability of @size bytes at *@at behind the last one. */
static uint8_t add_cap(struct vfu_pci *p, unsigned int *at, uint8_t *link, uint8_t id,
		       unsigned int size)
{
	uint8_t off = (uint8_t)*at;

	p->cfg[*link] = off;
	p->cfg[off] = id;
	*link = (uint8_t)(off + PCI_CAP_LIST_NEXT);
	*at = ALIGN_UP(*at + size, 4u);
	return off;
}

static void build_bars(struct vfuser *vu)
{
	struct vfu_pci *p = &vu->pci;

	for (unsigned int i = 0; i < VFUSER_N_BARS; i++) {
		const struct vfuser_bar *b = &vu->conf.bars[i];
		uint64_t mask = ~(b->size - 1);
		uint32_t bits = PCI_BASE_ADDRESS_SPACE_MEMORY;

		if (!b->size)
			continue;
		if (b->is_64bit)
			bits |= PCI_BASE_ADDRESS_MEM_TYPE_64;
		if (b->prefetchable)
			bits |= PCI_BASE_ADDRESS_MEM_PREFETCH;
		set32(p, PCI_BASE_ADDRESS_0 + 4 * i, bits,
		      (uint32_t)mask & (uint32_t)PCI_BASE_ADDRESS_MEM_MASK);
		if (b->is_64bit)
			set32(p, PCI_BASE_ADDRESS_0 + 4 * (i + 1), 0, (uint32_t)(mask >> 32));
	}
}

/* What stands at the MSI-X capability's place: MSI-X itself or its disguise. */
static void show_msix(struct vfuser *vu, bool visible)
{
	const struct vfuser_conf *c = &vu->conf;
	struct vfu_pci *p = &vu->pci;
	uint8_t at = p->msix;

	if (!at)
		return;
	memset(p->cfg + at + 2, 0, MSIX_SIZE - 2);
	memset(p->wmask + at + 2, 0, MSIX_SIZE - 2);
	if (!visible) {
		p->cfg[at] = PCI_CAP_ID_VNDR;
		p->cfg[at + 2] = MSIX_SIZE;
		return;
	}
	p->cfg[at] = PCI_CAP_ID_MSIX;
	set16(p, at + PCI_MSIX_FLAGS, (uint16_t)(c->n_msix - 1),
	      PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	set32(p, at + PCI_MSIX_TABLE, c->msix_table_offset | c->msix_bar, 0);
	set32(p, at + PCI_MSIX_PBA, c->msix_pba_offset | c->msix_bar, 0);
}

static void build(struct vfuser *vu)
{
	const struct vfuser_conf *c = &vu->conf;
	struct vfu_pci *p = &vu->pci;
	unsigned int at = CAP_START;
	uint8_t link = PCI_CAPABILITY_LIST;

	memset(p, 0, sizeof(*p));
	set16(p, PCI_VENDOR_ID, c->vendor, 0);
	set16(p, PCI_DEVICE_ID, c->device, 0);
	set16(p, PCI_COMMAND, 0,
	      PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_PARITY | PCI_COMMAND_SERR |
		      PCI_COMMAND_INTX_DISABLE);
	p->cfg[PCI_REVISION_ID] = c->revision;
	p->cfg[PCI_CLASS_PROG] = (uint8_t)c->class_code;
	le16_store(p->cfg + PCI_CLASS_DEVICE, (uint16_t)(c->class_code >> 8));
	p->wmask[PCI_CACHE_LINE_SIZE] = 0xff;
	p->wmask[PCI_LATENCY_TIMER] = 0xff;
	set16(p, PCI_SUBSYSTEM_VENDOR_ID, c->subsys_vendor, 0);
	set16(p, PCI_SUBSYSTEM_ID, c->subsys, 0);
	p->wmask[PCI_INTERRUPT_LINE] = 0xff;
	p->cfg[PCI_INTERRUPT_PIN] = c->intx ? 1 : 0;
	build_bars(vu);

	if (c->cap_pm) {
		p->pm = add_cap(p, &at, &link, PCI_CAP_ID_PM, PM_SIZE);
		set16(p, p->pm + PCI_PM_PMC, 3, 0); /* version 1.2, no PME */
		/* D-states; No_Soft_Reset is clear: D3hot to D0 resets the device */
		set16(p, p->pm + PCI_PM_CTRL, 0, PCI_PM_CTRL_STATE_MASK);
	}
	if (c->n_msi && !c->n_msix) {
		unsigned int log2 = (unsigned int)__builtin_ctz(c->n_msi);

		p->msi = add_cap(p, &at, &link, PCI_CAP_ID_MSI, MSI_SIZE);
		set16(p, p->msi + PCI_MSI_FLAGS,
		      (uint16_t)(PCI_MSI_FLAGS_64BIT | PCI_MSI_FLAGS_MASKBIT | log2 << 1),
		      PCI_MSI_FLAGS_ENABLE | PCI_MSI_FLAGS_QSIZE);
		set32(p, p->msi + PCI_MSI_ADDRESS_LO, 0, ~3u);
		set32(p, p->msi + PCI_MSI_ADDRESS_HI, 0, ~0u);
		set16(p, p->msi + PCI_MSI_DATA_64, 0, 0xffff);
		set32(p, p->msi + PCI_MSI_MASK_64, 0, (uint32_t)((1ull << c->n_msi) - 1));
	}
	if (c->cap_pcie) {
		p->pcie = add_cap(p, &at, &link, PCI_CAP_ID_EXP, PCIE_SIZE);
		set16(p, p->pcie + PCI_EXP_FLAGS, 2, 0); /* version 2, endpoint */
		set32(p, p->pcie + PCI_EXP_DEVCAP, PCI_EXP_DEVCAP_FLR | PCI_EXP_DEVCAP_RBER, 0);
		set16(p, p->pcie + PCI_EXP_DEVCTL,
		      PCI_EXP_DEVCTL_RELAX_EN | PCI_EXP_DEVCTL_NOSNOOP_EN, 0xffff);
		set32(p, p->pcie + PCI_EXP_LNKCAP, 0x11, 0); /* x1, 2.5 GT/s, as QEMU's ports */
		set16(p, p->pcie + PCI_EXP_LNKCTL, 0, 0x01c3);
		set16(p, p->pcie + PCI_EXP_LNKSTA, 0x11, 0);
		set16(p, p->pcie + PCI_EXP_DEVCTL2, 0, PCI_EXP_DEVCTL2_COMP_TMOUT_DIS | 0xf);
	}
	if (c->n_msix) {
		p->msix = add_cap(p, &at, &link, PCI_CAP_ID_MSIX, MSIX_SIZE);
		show_msix(vu, vu->irq.mode == VFUSER_MSIX_NATIVE);
	}
	if (c->cap_vendor_size) {
		uint8_t off = add_cap(p, &at, &link, PCI_CAP_ID_VNDR, 3u + c->cap_vendor_size);

		p->cfg[off + 2] = (uint8_t)(3 + c->cap_vendor_size);
		memcpy(p->cfg + off + 3, c->cap_vendor, c->cap_vendor_size);
	}
	set16(p, PCI_STATUS, p->cfg[PCI_CAPABILITY_LIST] ? PCI_STATUS_CAP_LIST : 0, 0);
}

int pci_init(struct vfuser *vu)
{
	build(vu);
	return 0;
}

void pci_new_client(struct vfuser *vu)
{
	build(vu);
}

void pci_device_reset(struct vfuser *vu)
{
	/* COMMAND and the BARs stay: a driver that resets does not restore them. */
	if (vu->irq.mode == VFUSER_MSIX_MASQUERADE)
		show_msix(vu, true);
}

bool vfuser_bus_master(const struct vfuser *vu)
{
	return le16_load(vu->pci.cfg + PCI_COMMAND) & PCI_COMMAND_MASTER;
}

void pci_read(struct vfuser *vu, uint32_t off, void *buf, size_t size)
{
	memcpy(buf, vu->pci.cfg + off, size);
}

static void device_reset(struct vfuser *vu, enum vfuser_reset why)
{
	if (vu->conf.ops->reset)
		vu->conf.ops->reset(vu->conf.dev, why);
}

void pci_write(struct vfuser *vu, uint32_t off, const void *buf, size_t size)
{
	struct vfu_pci *p = &vu->pci;
	const uint8_t *b = buf;
	bool master = vfuser_bus_master(vu);
	uint16_t msix = p->msix ? le16_load(p->cfg + p->msix + PCI_MSIX_FLAGS) : 0;
	uint8_t state = p->pm ? p->cfg[p->pm + PCI_PM_CTRL] & PCI_PM_CTRL_STATE_MASK : 0;

	for (size_t i = 0; i < size; i++) {
		uint8_t m = p->wmask[off + i];

		p->cfg[off + i] = (uint8_t)((p->cfg[off + i] & ~m) | (b[i] & m));
	}
	if (vfuser_bus_master(vu) != master) {
		irq_set_bus_master(vu, !master);
		if (!master) { /* a driver is at work by now */
			vfu_warn_no_reset(vu);
			dma_check_shared(vu);
		}
		if (vu->conf.ops->bus_master)
			vu->conf.ops->bus_master(vu->conf.dev, !master);
	}
	if (p->msix && p->cfg[p->msix] == PCI_CAP_ID_MSIX) {
		uint16_t now = le16_load(p->cfg + p->msix + PCI_MSIX_FLAGS);

		/* Native: the client keeps this state itself and tells us with SET_IRQS. */
		if (now != msix && vu->irq.mode == VFUSER_MSIX_MASQUERADE)
			irq_set_control(vu, now & PCI_MSIX_FLAGS_ENABLE,
					now & PCI_MSIX_FLAGS_MASKALL);
	}
	if (p->pm) {
		uint8_t *ctl = &p->cfg[p->pm + PCI_PM_CTRL];
		uint8_t now = *ctl & PCI_PM_CTRL_STATE_MASK;

		if (now == 1 || now == 2) /* D1, D2: not offered, so the write changes nothing */
			*ctl = (uint8_t)((*ctl & ~PCI_PM_CTRL_STATE_MASK) | state);
		else if (state == 3 && now == 0)
			device_reset(vu, VFUSER_RESET_PM);
	}
	if (p->pcie) {
		uint16_t ctl = le16_load(p->cfg + p->pcie + PCI_EXP_DEVCTL);

		if (ctl & PCI_EXP_DEVCTL_BCR_FLR) {
			/* Reads back 0; COMMAND, BARs and MSI-X survive. */
			le16_store(p->cfg + p->pcie + PCI_EXP_DEVCTL,
				   ctl & (uint16_t)~PCI_EXP_DEVCTL_BCR_FLR);
			device_reset(vu, VFUSER_RESET_FLR);
		}
	}
}
