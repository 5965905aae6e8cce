/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * MANA (the Ethernet function) on the wire: its requests, the OOB of a transmit WQE, and the data
 * of its completions. Layouts only; shared with the tests' driver.
 *
 * Authority: Linux 7.2 include/net/mana/mana.h. Response version 4 of QUERY_DEV_CONFIG and
 * CQE_TX_GDMA_ERR: OpenVMM gdma_defs/bnic.
 */
#ifndef HVLAB_EMULATOR_MANA_MANA_DEFS_H
#define HVLAB_EMULATOR_MANA_MANA_DEFS_H

#include "emulator/mana/gdma_defs.h"

/* What QUERY_DEV_CONFIG negotiates. */
#define MANA_MAJOR_VERSION 0
#define MANA_MINOR_VERSION 1
#define MANA_MICRO_VERSION 1

#define INVALID_MANA_HANDLE 0xffffffffffffffffull

/* enum TRI_STATE as 32 bits on the wire */
#define TRI_STATE_FALSE	  0u
#define TRI_STATE_TRUE	  1u
#define TRI_STATE_UNKNOWN 0xffffffffu /* leave as it is */

#define MANA_INDIRECT_TABLE_MAX_SIZE 512
#define MANA_INDIRECT_TABLE_DEF_SIZE 64
#define MANA_HASH_KEY_SIZE	     40
#define MANA_SHORT_VPORT_OFFSET_MAX  255

enum mana_command_code {
	MANA_QUERY_DEV_CONFIG = 0x20001,
	MANA_QUERY_GF_STAT = 0x20002,
	MANA_CONFIG_VPORT_TX = 0x20003,
	MANA_CREATE_WQ_OBJ = 0x20004,
	MANA_DESTROY_WQ_OBJ = 0x20005,
	MANA_FENCE_RQ = 0x20006,
	MANA_CONFIG_VPORT_RX = 0x20007,
	MANA_QUERY_VPORT_CONFIG = 0x20008,
	MANA_QUERY_LINK_CONFIG = 0x2000a,
	MANA_SET_BW_CLAMP = 0x2000b,
	MANA_QUERY_PHY_STAT = 0x2000c,

	/* Physical functions only; a VF is told "unsupported". */
	MANA_REGISTER_FILTER = 0x28000,
	MANA_DEREGISTER_FILTER = 0x28001,
	MANA_REGISTER_HW_PORT = 0x28003,
	MANA_DEREGISTER_HW_PORT = 0x28004,
};

/* ---- Transmit: inline OOB ---------------------------------------------------------------------
 */

enum mana_tx_pkt_format {
	MANA_SHORT_PKT_FMT = 0,
	MANA_LONG_PKT_FMT = 1,
};

struct mana_tx_short_oob {
	le32_t flags_vcq;    /* MANA_TX_S_* */
	le32_t trans_vsq_vp; /* trans_off [9:0], vsq_frame [23:10], short_vp_offset [31:24] */
};
WIRE_LAYOUT(struct mana_tx_short_oob, trans_vsq_vp, 4, INLINE_OOB_SMALL_SIZE);

#define MANA_TX_S_PKT_FMT_MASK	    0x00000003u
#define MANA_TX_S_IS_OUTER_IPV4	    0x00000004u
#define MANA_TX_S_IS_OUTER_IPV6	    0x00000008u
#define MANA_TX_S_COMP_IPHDR_CSUM   0x00000010u
#define MANA_TX_S_COMP_TCP_CSUM	    0x00000020u
#define MANA_TX_S_COMP_UDP_CSUM	    0x00000040u
#define MANA_TX_S_SUPRESS_TXCQE_GEN 0x00000080u /* sic */
#define MANA_TX_S_VCQ_NUM_SHIFT	    8
#define MANA_TX_S_TRANS_OFF_MASK    0x000003ffu
#define MANA_TX_S_VSQ_FRAME_SHIFT   10
#define MANA_TX_S_VSQ_FRAME_MASK    0x3fffu
#define MANA_TX_S_VP_OFFSET_SHIFT   24

struct mana_tx_long_oob {
	le32_t flags_vlan; /* MANA_TX_L_* */
	le32_t inner_vp;   /* inner_frame_offset [9:0], inner_ip_rel [15:10], long_vp_offset [27:16]
			    */
	le32_t reserved3;
	le32_t reserved4;
};
WIRE_LAYOUT(struct mana_tx_long_oob, reserved4, 12, 16);

#define MANA_TX_L_IS_ENCAP	      0x00000001u
#define MANA_TX_L_INNER_IS_IPV6	      0x00000002u
#define MANA_TX_L_INNER_TCP_OPT	      0x00000004u
#define MANA_TX_L_INJECT_VLAN_PRI_TAG 0x00000008u
#define MANA_TX_L_PCP_SHIFT	      16 /* 3 bits */
#define MANA_TX_L_DEI		      0x00080000u
#define MANA_TX_L_VLAN_ID_SHIFT	      20
#define MANA_TX_L_VP_OFFSET_SHIFT     16
#define MANA_TX_L_VP_OFFSET_MASK      0xfffu

struct mana_tx_oob {
	struct mana_tx_short_oob s_oob;
	struct mana_tx_long_oob l_oob;
};
WIRE_LAYOUT(struct mana_tx_oob, l_oob, 8, INLINE_OOB_LARGE_SIZE);

/* ---- Completions -------------------------------------------------------------------------------
 */

enum mana_cqe_type {
	CQE_INVALID = 0,
	CQE_RX_OKAY = 1,
	CQE_RX_COALESCED_4 = 2,
	CQE_RX_OBJECT_FENCE = 3,
	CQE_RX_TRUNCATED = 4,

	CQE_TX_OKAY = 32,
	CQE_TX_SA_DROP = 33,
	CQE_TX_MTU_DROP = 34,
	CQE_TX_INVALID_OOB = 35,
	CQE_TX_INVALID_ETH_TYPE = 36,
	CQE_TX_HDR_PROCESSING_ERROR = 37,
	CQE_TX_VF_DISABLED = 38,
	CQE_TX_VPORT_IDX_OUT_OF_RANGE = 39,
	CQE_TX_VPORT_DISABLED = 40,
	CQE_TX_VLAN_TAGGING_VIOLATION = 41,
	CQE_TX_GDMA_ERR = 42,
};

#define MANA_CQE_COMPLETION 1 /* client_type */

/* struct mana_cqe_header, one word */
#define MANA_CQE_TYPE_MASK	   0x0000003fu
#define MANA_CQE_CLIENT_TYPE_SHIFT 6
#define MANA_CQE_VENDOR_ERR_SHIFT  8

/* NDIS hash types: rx_hashtype, 9 bits */
#define NDIS_HASH_IPV4	      0x001u
#define NDIS_HASH_TCP_IPV4    0x002u
#define NDIS_HASH_UDP_IPV4    0x004u
#define NDIS_HASH_IPV6	      0x008u
#define NDIS_HASH_TCP_IPV6    0x010u
#define NDIS_HASH_UDP_IPV6    0x020u
#define NDIS_HASH_IPV6_EX     0x040u
#define NDIS_HASH_TCP_IPV6_EX 0x080u
#define NDIS_HASH_UDP_IPV6_EX 0x100u
#define MANA_HASH_L3	      (NDIS_HASH_IPV4 | NDIS_HASH_IPV6 | NDIS_HASH_IPV6_EX)
#define MANA_HASH_L4                                                                               \
	(NDIS_HASH_TCP_IPV4 | NDIS_HASH_UDP_IPV4 | NDIS_HASH_TCP_IPV6 | NDIS_HASH_UDP_IPV6 |       \
	 NDIS_HASH_TCP_IPV6_EX | NDIS_HASH_UDP_IPV6_EX)

#define MANA_RXCOMP_OOB_NUM_PPI 4

struct mana_rxcomp_perpkt_info {
	le16_t pkt_len;
	le16_t reserved1;
	le32_t reserved2;
	le32_t pkt_hash;
};
WIRE_LAYOUT(struct mana_rxcomp_perpkt_info, pkt_hash, 8, 12);

/**
 * struct mana_rxcomp_oob - CQE data of a receive queue
 * @cqe_hdr:	Type, client type, vendor error
 * @flags:	MANA_RX_*; in a coalesced entry they hold for every packet of it
 * @ppi:	Per packet; coalesced entries end with the first pkt_len of 0
 * @rx_wqe_offset:	Of the first packet's WQE
 */
struct mana_rxcomp_oob {
	le32_t cqe_hdr;
	le32_t flags;
	struct mana_rxcomp_perpkt_info ppi[MANA_RXCOMP_OOB_NUM_PPI];
	le32_t rx_wqe_offset;
};
WIRE_LAYOUT(struct mana_rxcomp_oob, rx_wqe_offset, 56, GDMA_COMP_DATA_SIZE);

#define MANA_RX_VLAN_ID_MASK		 0x00000fffu
#define MANA_RX_VLANTAG_PRESENT		 0x00001000u
#define MANA_RX_OUTER_IPHDR_CSUM_SUCCEED 0x00002000u
#define MANA_RX_OUTER_IPHDR_CSUM_FAIL	 0x00004000u
#define MANA_RX_HASHTYPE_SHIFT		 16
#define MANA_RX_HASHTYPE_MASK		 0x1ffu
#define MANA_RX_IPHDR_CSUM_SUCCEED	 0x02000000u
#define MANA_RX_IPHDR_CSUM_FAIL		 0x04000000u
#define MANA_RX_TCP_CSUM_SUCCEED	 0x08000000u
#define MANA_RX_TCP_CSUM_FAIL		 0x10000000u
#define MANA_RX_UDP_CSUM_SUCCEED	 0x20000000u
#define MANA_RX_UDP_CSUM_FAIL		 0x40000000u

/* CQE data of a send queue. */
struct mana_tx_comp_oob {
	le32_t cqe_hdr;
	le32_t tx_data_offset;
	le32_t tx_offsets; /* tx_sgl_offset [4:0], tx_wqe_offset [31:5] in basic units */
	le32_t reserved[12];
};
WIRE_LAYOUT(struct mana_tx_comp_oob, reserved, 12, GDMA_COMP_DATA_SIZE);

#define MANA_TX_COMP_WQE_OFFSET_SHIFT 5

/* ---- Requests
 * ------------------------------------------------------------------------------------ */

/* MANA_QUERY_LINK_CONFIG */
struct mana_query_link_config_req {
	struct gdma_req_hdr hdr;
	le64_t vport;
};
WIRE_LAYOUT(struct mana_query_link_config_req, vport, 40, 48);

struct mana_query_link_config_resp {
	struct gdma_resp_hdr hdr;
	le32_t qos_speed_mbps; /* the most there can be: Linux apc->max_speed */
	uint8_t qos_unconfigured;
	uint8_t reserved1[3];
	le32_t link_speed_mbps; /* now: Linux apc->speed */
	uint8_t reserved2[4];
};
WIRE_LAYOUT(struct mana_query_link_config_resp, reserved2, 44, 48);

/* MANA_SET_BW_CLAMP */
struct mana_set_bw_clamp_req {
	struct gdma_req_hdr hdr;
	le64_t vport;
	le32_t enable_clamping; /* TRI_STATE_* */
	le32_t link_speed_mbps;
};
WIRE_LAYOUT(struct mana_set_bw_clamp_req, link_speed_mbps, 52, 56);

struct mana_set_bw_clamp_resp {
	struct gdma_resp_hdr hdr;
	uint8_t qos_unconfigured;
	uint8_t reserved[7];
};
WIRE_LAYOUT(struct mana_set_bw_clamp_resp, reserved, 33, 40);

/* MANA_QUERY_DEV_CONFIG */
struct mana_query_device_cfg_req {
	struct gdma_req_hdr hdr;
	le64_t mn_drv_cap_flags1;
	le64_t mn_drv_cap_flags2;
	le64_t mn_drv_cap_flags3;
	le64_t mn_drv_cap_flags4;
	le32_t proto_major_ver;
	le32_t proto_minor_ver;
	le32_t proto_micro_ver;
	le32_t reserved;
};
WIRE_LAYOUT(struct mana_query_device_cfg_req, reserved, 84, 88);

struct mana_query_device_cfg_resp {
	struct gdma_resp_hdr hdr;
	le64_t pf_cap_flags1;
	le64_t pf_cap_flags2;
	le64_t pf_cap_flags3;
	le64_t pf_cap_flags4;
	le16_t max_num_vports;
	uint8_t bm_hostmode; /* v3 */
	uint8_t reserved;
	le32_t max_num_eqs;
	le16_t adapter_mtu; /* v2: with the Ethernet header */
	le16_t reserved2;
	le32_t adapter_link_speed_mbps; /* v4 */
};
WIRE_LAYOUT(struct mana_query_device_cfg_resp, adapter_link_speed_mbps, 76, 80);
#define MANA_QUERY_DEV_CONFIG_RESP_V1_SIZE 72

/* MANA_QUERY_VPORT_CONFIG */
struct mana_query_vport_cfg_req {
	struct gdma_req_hdr hdr;
	le32_t vport_index;
};
WIRE_LAYOUT(struct mana_query_vport_cfg_req, vport_index, 40, 44);

struct mana_query_vport_cfg_resp {
	struct gdma_resp_hdr hdr;
	le32_t max_num_sq;
	le32_t max_num_rq;
	le32_t num_indirection_ent; /* a power of two */
	le32_t reserved1;
	uint8_t mac_addr[6];
	uint8_t reserved2[2];
	le64_t vport; /* handle */
};
WIRE_LAYOUT(struct mana_query_vport_cfg_resp, vport, 56, 64);

/* MANA_CONFIG_VPORT_TX */
struct mana_config_vport_req {
	struct gdma_req_hdr hdr;
	le64_t vport;
	le32_t pdid;
	le32_t doorbell_pageid;
};
WIRE_LAYOUT(struct mana_config_vport_req, doorbell_pageid, 52, 56);

struct mana_config_vport_resp {
	struct gdma_resp_hdr hdr;
	le16_t tx_vport_offset;
	uint8_t short_form_allowed;
	uint8_t reserved;
};
WIRE_LAYOUT(struct mana_config_vport_resp, reserved, 35, 36);

/* MANA_CREATE_WQ_OBJ */
#define GDMA_CQ_NO_EQ 0xffff

struct mana_create_wqobj_req {
	struct gdma_req_hdr hdr;
	le64_t vport;
	le32_t wq_type; /* GDMA_SQ or GDMA_RQ */
	le32_t reserved;
	le64_t wq_gdma_region;
	le64_t cq_gdma_region;
	le32_t wq_size;
	le32_t cq_size;
	le32_t cq_moderation_ctx_id;
	le32_t cq_parent_qid; /* EQ id, or GDMA_CQ_NO_EQ */
};
WIRE_LAYOUT(struct mana_create_wqobj_req, cq_parent_qid, 84, 88);

struct mana_create_wqobj_resp {
	struct gdma_resp_hdr hdr;
	le32_t wq_id;
	le32_t cq_id;
	le64_t wq_obj;
};
WIRE_LAYOUT(struct mana_create_wqobj_resp, wq_obj, 40, 48);

/* MANA_DESTROY_WQ_OBJ */
struct mana_destroy_wqobj_req {
	struct gdma_req_hdr hdr;
	le32_t wq_type;
	le32_t reserved;
	le64_t wq_obj_handle;
};
WIRE_LAYOUT(struct mana_destroy_wqobj_req, wq_obj_handle, 48, 56);

/* MANA_FENCE_RQ */
struct mana_fence_rq_req {
	struct gdma_req_hdr hdr;
	le64_t wq_obj_handle;
};
WIRE_LAYOUT(struct mana_fence_rq_req, wq_obj_handle, 40, 48);

/* MANA_QUERY_GF_STAT */
struct mana_query_gf_stat_req {
	struct gdma_req_hdr hdr;
	le64_t req_stats; /* STATISTICS_FLAGS_* */
};
WIRE_LAYOUT(struct mana_query_gf_stat_req, req_stats, 40, 48);

struct mana_query_gf_stat_resp {
	struct gdma_resp_hdr hdr;
	le64_t reported_stats;
	le64_t rx_discards_nowqe;
	le64_t rx_err_vport_disabled;
	le64_t hc_rx_bytes;
	le64_t hc_rx_ucast_pkts;
	le64_t hc_rx_ucast_bytes;
	le64_t hc_rx_bcast_pkts;
	le64_t hc_rx_bcast_bytes;
	le64_t hc_rx_mcast_pkts;
	le64_t hc_rx_mcast_bytes;
	le64_t tx_err_gf_disabled;
	le64_t tx_err_vport_disabled;
	le64_t tx_err_inval_vport_offset_pkt;
	le64_t tx_err_vlan_enforcement;
	le64_t tx_err_ethtype_enforcement;
	le64_t tx_err_SA_enforcement;
	le64_t tx_err_SQPDID_enforcement;
	le64_t tx_err_CQPDID_enforcement;
	le64_t tx_err_mtu_violation;
	le64_t tx_err_inval_oob;
	le64_t hc_tx_bytes;
	le64_t hc_tx_ucast_pkts;
	le64_t hc_tx_ucast_bytes;
	le64_t hc_tx_bcast_pkts;
	le64_t hc_tx_bcast_bytes;
	le64_t hc_tx_mcast_pkts;
	le64_t hc_tx_mcast_bytes;
	le64_t tx_err_gdma;
};
WIRE_LAYOUT(struct mana_query_gf_stat_resp, tx_err_gdma, 248, 256);

#define STATISTICS_FLAGS_RX_DISCARDS_NO_WQE		      0x0000000000000001ull
#define STATISTICS_FLAGS_RX_ERRORS_VPORT_DISABLED	      0x0000000000000002ull
#define STATISTICS_FLAGS_HC_RX_BYTES			      0x0000000000000004ull
#define STATISTICS_FLAGS_HC_RX_UCAST_PACKETS		      0x0000000000000008ull
#define STATISTICS_FLAGS_HC_RX_UCAST_BYTES		      0x0000000000000010ull
#define STATISTICS_FLAGS_HC_RX_MCAST_PACKETS		      0x0000000000000020ull
#define STATISTICS_FLAGS_HC_RX_MCAST_BYTES		      0x0000000000000040ull
#define STATISTICS_FLAGS_HC_RX_BCAST_PACKETS		      0x0000000000000080ull
#define STATISTICS_FLAGS_HC_RX_BCAST_BYTES		      0x0000000000000100ull
#define STATISTICS_FLAGS_TX_ERRORS_GF_DISABLED		      0x0000000000000200ull
#define STATISTICS_FLAGS_TX_ERRORS_VPORT_DISABLED	      0x0000000000000400ull
#define STATISTICS_FLAGS_TX_ERRORS_INVAL_VPORT_OFFSET_PACKETS 0x0000000000000800ull
#define STATISTICS_FLAGS_TX_ERRORS_VLAN_ENFORCEMENT	      0x0000000000001000ull
#define STATISTICS_FLAGS_TX_ERRORS_ETH_TYPE_ENFORCEMENT	      0x0000000000002000ull
#define STATISTICS_FLAGS_TX_ERRORS_SA_ENFORCEMENT	      0x0000000000004000ull
#define STATISTICS_FLAGS_TX_ERRORS_SQPDID_ENFORCEMENT	      0x0000000000008000ull
#define STATISTICS_FLAGS_TX_ERRORS_CQPDID_ENFORCEMENT	      0x0000000000010000ull
#define STATISTICS_FLAGS_TX_ERRORS_MTU_VIOLATION	      0x0000000000020000ull
#define STATISTICS_FLAGS_TX_ERRORS_INVALID_OOB		      0x0000000000040000ull
#define STATISTICS_FLAGS_HC_TX_BYTES			      0x0000000000080000ull
#define STATISTICS_FLAGS_HC_TX_UCAST_PACKETS		      0x0000000000100000ull
#define STATISTICS_FLAGS_HC_TX_UCAST_BYTES		      0x0000000000200000ull
#define STATISTICS_FLAGS_HC_TX_MCAST_PACKETS		      0x0000000000400000ull
#define STATISTICS_FLAGS_HC_TX_MCAST_BYTES		      0x0000000000800000ull
#define STATISTICS_FLAGS_HC_TX_BCAST_PACKETS		      0x0000000001000000ull
#define STATISTICS_FLAGS_HC_TX_BCAST_BYTES		      0x0000000002000000ull
#define STATISTICS_FLAGS_TX_ERRORS_GDMA_ERROR		      0x0000000004000000ull
#define STATISTICS_FLAGS_ALL				      0x0000000007ffffffull

/* MANA_QUERY_PHY_STAT */
struct mana_query_phy_stat_req {
	struct gdma_req_hdr hdr;
	le64_t req_stats;
};
WIRE_LAYOUT(struct mana_query_phy_stat_req, req_stats, 40, 48);

#define MANA_PHY_N_TC 8

struct mana_phy_tc {
	le64_t rx;
	le64_t tx;
};

/* Linux spells the traffic classes out: rx_pkt_tc0_phy, tx_pkt_tc0_phy, rx_pkt_tc1_phy ... */
struct mana_query_phy_stat_resp {
	struct gdma_resp_hdr hdr;
	le64_t reported_stats;
	le64_t rx_pkt_drop_phy;
	le64_t tx_pkt_drop_phy;
	struct mana_phy_tc pkt_tc[MANA_PHY_N_TC];
	struct mana_phy_tc byte_tc[MANA_PHY_N_TC];
	struct mana_phy_tc pause_tc[MANA_PHY_N_TC];
};
WIRE_LAYOUT(struct mana_query_phy_stat_resp, pause_tc, 312, 440);

/* MANA_CONFIG_VPORT_RX; request v2. le64_t indir_tab[num_indir_entries] lies at indir_tab_offset.
 */
struct mana_cfg_rx_steer_req_v2 {
	struct gdma_req_hdr hdr;
	le64_t vport;
	le16_t num_indir_entries;
	le16_t indir_tab_offset; /* bytes from the start of the message */
	le32_t rx_enable;	 /* TRI_STATE_* */
	le32_t rss_enable;	 /* TRI_STATE_* */
	uint8_t update_default_rxobj;
	uint8_t update_hashkey;
	uint8_t update_indir_tab;
	uint8_t reserved;
	le64_t default_rxobj;
	uint8_t hashkey[MANA_HASH_KEY_SIZE];
	uint8_t cqe_coalescing_enable; /* v2 from here */
	uint8_t reserved2[7];
};
WIRE_LAYOUT(struct mana_cfg_rx_steer_req_v2, reserved2, 113, 120);
#define MANA_CFG_RX_STEER_REQ_V1_SIZE 112

struct mana_cfg_rx_steer_resp {
	struct gdma_resp_hdr hdr;
	le32_t cqe_coalescing_timeout_ns; /* v2 */
	le32_t reserved1;
};
WIRE_LAYOUT(struct mana_cfg_rx_steer_resp, reserved1, 36, 40);

/* Physical functions only. */
struct mana_register_hw_vport_req {
	struct gdma_req_hdr hdr;
	le16_t attached_gfid;
	uint8_t is_pf_default_vport;
	uint8_t reserved1;
	uint8_t allow_all_ether_types;
	uint8_t reserved2;
	uint8_t reserved3;
	uint8_t reserved4;
};
WIRE_LAYOUT(struct mana_register_hw_vport_req, reserved4, 47, 48);

struct mana_register_hw_vport_resp {
	struct gdma_resp_hdr hdr;
	le64_t hw_vport_handle;
};
WIRE_LAYOUT(struct mana_register_hw_vport_resp, hw_vport_handle, 32, 40);

struct mana_deregister_hw_vport_req {
	struct gdma_req_hdr hdr;
	le64_t hw_vport_handle;
};
WIRE_LAYOUT(struct mana_deregister_hw_vport_req, hw_vport_handle, 40, 48);

struct mana_register_filter_req {
	struct gdma_req_hdr hdr;
	le64_t vport;
	uint8_t mac_addr[6];
	uint8_t reserved1[6];
	le32_t reserved6;
	le32_t reserved7;
	le32_t reserved8;
};
WIRE_LAYOUT(struct mana_register_filter_req, reserved8, 68, 72);

struct mana_register_filter_resp {
	struct gdma_resp_hdr hdr;
	le64_t filter_handle;
};
WIRE_LAYOUT(struct mana_register_filter_resp, filter_handle, 32, 40);

struct mana_deregister_filter_req {
	struct gdma_req_hdr hdr;
	le64_t filter_handle;
};
WIRE_LAYOUT(struct mana_deregister_filter_req, filter_handle, 40, 48);

#endif
