/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the shared-memory channel: 32 bytes of BAR 0 through which a driver brings the HWC up and
 * down. The write that reaches the last byte hands the message over; it is handled before that
 * write returns, so the driver never sees the channel owned by us.
 */
#include <string.h>

#include "emulator/mana/mana_internal.h"

#define SMC_FAILED 1u

static uint64_t frame_low(const uint8_t b[6])
{
	uint64_t v = 0;

	for (unsigned int i = 0; i < 6; i++)
		v |= (uint64_t)b[i] << (8 * i);
	return v;
}

/* Device address of a page from its 52-bit frame number. */
static uint64_t page_addr(const uint8_t low[6], uint16_t high, unsigned int which)
{
	uint64_t pfn = frame_low(low) | (uint64_t)(high >> (4 * which) & 0xf) << 48;

	return pfn << MANA_PAGE_SHIFT;
}

static uint32_t establish(struct mana *m)
{
	struct smc_establish_hwc msg;
	uint16_t high;
	int rc;

	memcpy(&msg, m->shm, sizeof(msg));
	high = le16_get(msg.high);
	/* A driver that comes after a crash (kexec) finds the channel of its predecessor. */
	if (m->hwc.up)
		device_clear(m, "hardware channel replaced");
	rc = hwc_establish(m, page_addr(msg.eq, high, 0), page_addr(msg.cq, high, 1),
			   page_addr(msg.rq, high, 2), page_addr(msg.sq, high, 3),
			   le16_get(msg.msix));
	if (!rc)
		return 0;
	guest_error(m, 0, "smc: establish: %s", strerror(-rc));
	if (guest_mem_count_unreachable(m->mem) == guest_mem_count(m->mem))
		log_err_rl("%s: guest memory came without descriptors: QEMU needs a memory "
			   "back end with share=on",
			   m->name);
	return SMC_FAILED;
}

static void handle(struct mana *m)
{
	uint32_t hdr = le32_load(m->shm + SMC_LAST_DWORD_OFF);
	uint32_t type = hdr & SMC_HDR_TYPE_MASK, status;

	if (hdr & (SMC_HDR_RESPONSE | SMC_HDR_OWNER_IS_PF)) {
		guest_error(m, 0, "smc: header 0x%08x is no request", hdr);
		status = SMC_FAILED;
	} else {
		switch (type) {
		case SMC_MSG_TYPE_ESTABLISH_HWC:
			if (hdr & SMC_HDR_RESET_VF)
				device_clear(m, "hardware channel replaced");
			status = establish(m);
			break;
		case SMC_MSG_TYPE_DESTROY_HWC:
			/* Twice is fine: a driver that saw a time-out does that. */
			device_clear(m, "hardware channel down");
			status = 0;
			break;
		case SMC_MSG_TYPE_REPORT_HWC_TIMEOUT:
			log_warn_rl("%s: driver reports an HWC time-out", m->name);
			status = 0;
			break;
		default:
			guest_error(m, 0, "smc: message type %u", type);
			status = SMC_FAILED;
		}
	}
	/* Version 0 is the newest of ours; a driver with a newer one takes that as our word. */
	le32_store(m->shm + SMC_LAST_DWORD_OFF,
		   type | SMC_HDR_RESPONSE | status << SMC_HDR_STATUS_SHIFT);
}

void smc_write(struct mana *m, uint32_t off, const uint8_t *buf, uint32_t size)
{
	memcpy(m->shm + off, buf, size);
	if (off + size == SMC_APERTURE_SIZE)
		handle(m);
}
