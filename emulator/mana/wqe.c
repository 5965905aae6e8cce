/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the meaning of a work queue entry's bytes. Pure: works on local copies only. */
#include "emulator/mana/mana_internal.h"

/*
 * Linux mana_gd_post_work_request(): head (8), inline OOB, SGEs (16 each), padded to 32. Receive
 * entries carry 8 bytes of OOB that mean nothing. The size is told also for a malformed entry, so
 * that the queue can go on behind it.
 */
enum wqe_err wqe_parse(const uint8_t *head, uint32_t avail, enum gdma_queue_type type,
		       struct mana_wqe *w)
{
	uint32_t flags = le32_load(head + offsetof(struct gdma_wqe, flags));
	uint32_t oob =
		(flags >> GDMA_WQE_INLINE_OOB_SIZE_SHIFT & GDMA_WQE_INLINE_OOB_SIZE_MASK) * 4;
	uint32_t n_sge = flags & GDMA_WQE_NUM_SGE_MASK;
	uint32_t max = type == GDMA_RQ ? GDMA_MAX_RQE_SIZE : GDMA_MAX_SQE_SIZE;
	bool oob_ok =
		oob == INLINE_OOB_SMALL_SIZE || (type == GDMA_SQ && oob == INLINE_OOB_LARGE_SIZE);
	uint32_t bytes = sizeof(struct gdma_wqe) + MAX(oob, (uint32_t)INLINE_OOB_SMALL_SIZE) +
			 n_sge * sizeof(struct gdma_sge);

	*w = (struct mana_wqe){
		.size = ALIGN_UP(bytes, (uint32_t)GDMA_WQE_BU_SIZE),
		.sgl_off = (uint16_t)(sizeof(struct gdma_wqe) + oob),
		.data_unit =
			flags >> GDMA_WQE_CLIENT_DATA_UNIT_SHIFT & GDMA_WQE_CLIENT_DATA_UNIT_MASK,
		.n_sge = (uint8_t)n_sge,
		.oob_size = (uint8_t)oob,
		.oob_in_sgl = flags & GDMA_WQE_CLIENT_OOB_IN_SGL,
	};
	if (w->size > avail) {
		w->size = avail;
		return WQE_CUT;
	}
	if (w->size > max)
		return WQE_TOO_BIG;
	if (!oob_ok || flags & GDMA_WQE_SGL_DIRECT)
		return WQE_BAD_OOB;
	return n_sge ? WQE_OK : WQE_NO_SGE;
}

enum mana_cqe_type wqe_tx_oob(const uint8_t *oob, const struct mana_wqe *w,
			      struct mana_tx_meta *meta)
{
	uint32_t s0 = le32_load(oob), s1 = le32_load(oob + 4), l0 = 0, l1 = 0;
	uint32_t l4 = s0 & (MANA_TX_S_COMP_TCP_CSUM | MANA_TX_S_COMP_UDP_CSUM);
	uint32_t fmt = s0 & MANA_TX_S_PKT_FMT_MASK;

	*meta = (struct mana_tx_meta){
		.vcq = s0 >> MANA_TX_S_VCQ_NUM_SHIFT,
		.vsq_frame = s1 >> MANA_TX_S_VSQ_FRAME_SHIFT & MANA_TX_S_VSQ_FRAME_MASK,
		.vp_offset = (uint16_t)(s1 >> MANA_TX_S_VP_OFFSET_SHIFT),
		.suppress_cqe = s0 & MANA_TX_S_SUPRESS_TXCQE_GEN,
	};
	if (fmt == MANA_LONG_PKT_FMT) {
		if (w->oob_size != INLINE_OOB_LARGE_SIZE)
			return CQE_TX_INVALID_OOB;
		l0 = le32_load(oob + offsetof(struct mana_tx_oob, l_oob));
		l1 = le32_load(oob + offsetof(struct mana_tx_oob, l_oob) + 4);
		/* Offsets beyond 8 bits come in the long format; the short field is 0 then. */
		if (l1 >> MANA_TX_L_VP_OFFSET_SHIFT & MANA_TX_L_VP_OFFSET_MASK)
			meta->vp_offset =
				l1 >> MANA_TX_L_VP_OFFSET_SHIFT & MANA_TX_L_VP_OFFSET_MASK;
	} else if (fmt != MANA_SHORT_PKT_FMT) {
		return CQE_TX_INVALID_OOB;
	}
	if (l4 == (MANA_TX_S_COMP_TCP_CSUM | MANA_TX_S_COMP_UDP_CSUM) || l0 & MANA_TX_L_IS_ENCAP)
		return CQE_TX_INVALID_OOB;

	/* Linux sets comp_iphdr_csum on every TSO packet, IPv6 too. */
	if (s0 & MANA_TX_S_COMP_IPHDR_CSUM && !(s0 & MANA_TX_S_IS_OUTER_IPV6))
		meta->flags |= PKT_CSUM_IP;
	if (l4)
		meta->flags |= PKT_CSUM_L4;
	/* Segmentation: the MSS in client_data_unit, headers alone in the first SGE. */
	if (w->oob_in_sgl != (w->data_unit != 0))
		return CQE_TX_INVALID_OOB;
	if (w->data_unit) {
		if (!l4)
			return CQE_TX_INVALID_OOB;
		meta->flags |=
			PKT_CSUM_L4 | (l4 == MANA_TX_S_COMP_TCP_CSUM ? PKT_GSO_TCP : PKT_GSO_UDP);
		if (!(s0 & MANA_TX_S_IS_OUTER_IPV6))
			meta->flags |= PKT_CSUM_IP;
	}
	if (l0 & MANA_TX_L_INJECT_VLAN_PRI_TAG) {
		meta->flags |= PKT_VLAN;
		meta->vlan_tci = (uint16_t)((l0 >> MANA_TX_L_PCP_SHIFT & 0x7) << 13 |
					    (l0 & MANA_TX_L_DEI ? 0x1000 : 0) |
					    l0 >> MANA_TX_L_VLAN_ID_SHIFT);
	}
	return CQE_TX_OKAY;
}
