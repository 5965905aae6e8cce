/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * GDMA on the wire: registers, the shared-memory channel, the hardware channel (HWC), queue
 * entries, and the requests of the GDMA layer. Layouts only; shared with the tests' driver.
 *
 * Authority for names and layouts: Linux 7.2 include/net/mana/{gdma,hw_channel,shm_channel}.h.
 * Facts Linux does not carry (microcode version, CHANGE_MSIX_FOR_EQ, RESET_REQUEST_EQE, DB
 * offsets): OpenVMM gdma_defs. Words with several fields are masks and shifts, never bit-fields.
 */
#ifndef HVLAB_EMULATOR_MANA_GDMA_DEFS_H
#define HVLAB_EMULATOR_MANA_GDMA_DEFS_H

#include "base/wire.h"

/* ---- PCI ------------------------------------------------------------------------------- */

#define MANA_VENDOR_ID	  0x1414
#define MANA_VF_DEVICE_ID 0x00ba /* gdma.h */

/* ---- Registers, BAR 0 -------------------------------------------------------------------- */

#define GDMA_REG_VERSION	0x00 /* u32: micro [15:0], minor [23:16], major [31:24] */
#define GDMA_REG_DB_PAGE_OFFSET 0x08 /* u64: first doorbell page, from the start of the BAR */
#define GDMA_REG_DB_PAGE_SIZE	0x10 /* u32: size of one in bytes [15:0], >= 4096 */
#define GDMA_REG_SHM_OFFSET	0x18 /* u64: shared-memory channel */
#define GDMA_REG_SHM_SIZE	0x20 /* u32: its size in bytes [15:0] */

/* Doorbells inside a doorbell page; 8 bytes each. gdma_main.c DOORBELL_OFFSET_* */
#define DOORBELL_OFFSET_SQ	       0x000
#define DOORBELL_OFFSET_RQ	       0x400
#define DOORBELL_OFFSET_RQ_CLIENT_DATA 0x408
#define DOORBELL_OFFSET_CQ	       0x800
#define DOORBELL_OFFSET_EQ	       0xff8

/* union gdma_doorbell_entry */
#define GDMA_DB_ID_MASK	      0x0000000000ffffffull /* SQ, RQ, CQ */
#define GDMA_DB_EQ_ID_MASK    0x000000000000ffffull /* EQ */
#define GDMA_DB_RQ_CNT_SHIFT  24		    /* RQ: wqe_cnt [31:24], drivers write 0 */
#define GDMA_DB_TAIL_SHIFT    32
#define GDMA_DB_WQ_TAIL_MASK  0xffffffffu /* SQ, RQ: bytes, free-running */
#define GDMA_DB_CEQ_TAIL_MASK 0x7fffffffu /* CQ, EQ: entries, modulo n << OWNER_BITS */
#define GDMA_DB_ARM	      0x8000000000000000ull

/* ---- Shared-memory channel (SMC), shm_channel.c ------------------------------------------ */

#define SMC_APERTURE_SIZE  32
#define SMC_LAST_DWORD_OFF 28 /* writing it hands the message over */

#define SMC_MSG_TYPE_ESTABLISH_HWC	   1
#define SMC_MSG_TYPE_DESTROY_HWC	   2
#define SMC_MSG_TYPE_REPORT_HWC_TIMEOUT	   4
#define SMC_MSG_TYPE_ESTABLISH_HWC_VERSION 0
#define SMC_MSG_TYPE_DESTROY_HWC_VERSION   0

/* union smc_proto_hdr */
#define SMC_HDR_TYPE_MASK     0x00000007u
#define SMC_HDR_VERSION_SHIFT 3
#define SMC_HDR_VERSION_MASK  0x7u
#define SMC_HDR_RESPONSE      0x00000080u
#define SMC_HDR_STATUS_SHIFT  8 /* 8 bits, 0 = success */
#define SMC_HDR_RESET_VF      0x01000000u
#define SMC_HDR_OWNER_IS_PF   0x80000000u

/**
 * struct smc_establish_hwc - SMC_MSG_TYPE_ESTABLISH_HWC, guest to device
 * @eq,cq,rq,sq:	Low 48 bits of each queue's 52-bit page frame number, little-endian
 * @high:	High 4 bits: EQ [3:0], CQ [7:4], RQ [11:8], SQ [15:12]
 * @msix:	MSI-X vector of the HWC's EQ
 * @hdr:	SMC_HDR_*
 */
struct smc_establish_hwc {
	uint8_t eq[6], cq[6], rq[6], sq[6];
	le16_t high;
	le16_t msix;
	le32_t hdr;
};
WIRE_LAYOUT(struct smc_establish_hwc, hdr, 28, SMC_APERTURE_SIZE);

/* ---- Sizes and limits ---------------------------------------------------------------------- */

#define MANA_PAGE_SHIFT 12
#define MANA_PAGE_SIZE	4096u
#define MANA_MIN_QSIZE	MANA_PAGE_SIZE

#define GDMA_CQE_SIZE	     64
#define GDMA_EQE_SIZE	     16
#define GDMA_MAX_SQE_SIZE    512
#define GDMA_MAX_RQE_SIZE    256
#define GDMA_COMP_DATA_SIZE  0x3c
#define GDMA_EVENT_DATA_SIZE 0xc
#define GDMA_WQE_BU_SIZE     32 /* basic unit: WQEs start and end on multiples of it */

#define INLINE_OOB_SMALL_SIZE 8
#define INLINE_OOB_LARGE_SIZE 24

#define HW_CHANNEL_MAX_REQUEST_SIZE	    0x1000
#define HW_CHANNEL_MAX_RESPONSE_SIZE	    0x1000
#define HW_CHANNEL_VF_BOOTSTRAP_QUEUE_DEPTH 1

/* ---- Event queue entries ----------------------------------------------------------------- */

enum gdma_eqe_type {
	GDMA_EQE_COMPLETION = 3,
	GDMA_EQE_TEST_EVENT = 64,
	GDMA_EQE_HWC_INIT_EQ_ID_DB = 129,
	GDMA_EQE_HWC_INIT_DATA = 130,
	GDMA_EQE_HWC_INIT_DONE = 131,
	GDMA_EQE_HWC_FPGA_RECONFIG = 132,
	GDMA_EQE_HWC_SOC_RECONFIG_DATA = 133,
	GDMA_EQE_HWC_SOC_SERVICE = 134,
	GDMA_EQE_HWC_RESET_REQUEST = 135,
	GDMA_EQE_RNIC_QP_FATAL = 176,
};

/**
 * struct gdma_eqe - Event queue entry: the device writes, the guest reads
 * @details:	Payload, meaning set by the type
 * @eqe_info:	GDMA_EQE_INFO_*; stored last, hands the entry over
 *
 * gdma.h struct gdma_eqe, union gdma_eqe_info.
 */
struct gdma_eqe {
	le32_t details[GDMA_EVENT_DATA_SIZE / 4];
	le32_t eqe_info;
};
WIRE_LAYOUT(struct gdma_eqe, eqe_info, 12, GDMA_EQE_SIZE);

#define GDMA_EQE_INFO_TYPE_MASK	      0x000000ffu
#define GDMA_EQE_INFO_CLIENT_ID_SHIFT 16 /* 2 bits */
#define GDMA_EQE_INFO_OWNER_SHIFT     29
#define GDMA_EQE_OWNER_BITS	      3
#define GDMA_EQE_OWNER_MASK	      0x7u

/* details[0] of GDMA_EQE_COMPLETION: CQ id */
#define GDMA_EQE_COMP_CQ_MASK 0x00ffffffu

/* details[0] of GDMA_EQE_HWC_INIT_EQ_ID_DB: union hwc_init_eq_id_db */
#define HWC_INIT_EQ_ID_MASK 0x0000ffffu
#define HWC_INIT_DB_SHIFT   16

/* details[0] of GDMA_EQE_HWC_INIT_DATA and ..SOC_RECONFIG_DATA: union hwc_init_type_data */
#define HWC_INIT_VALUE_MASK 0x00ffffffu
#define HWC_INIT_TYPE_SHIFT 24

#define HWC_INIT_DATA_CQID	    1
#define HWC_INIT_DATA_RQID	    2
#define HWC_INIT_DATA_SQID	    3
#define HWC_INIT_DATA_QUEUE_DEPTH   4
#define HWC_INIT_DATA_MAX_REQUEST   5
#define HWC_INIT_DATA_MAX_RESPONSE  6
#define HWC_INIT_DATA_MAX_NUM_CQS   7
#define HWC_INIT_DATA_PDID	    8
#define HWC_INIT_DATA_GPA_MKEY	    9
#define HWC_INIT_DATA_PF_DEST_RQ_ID 10
#define HWC_INIT_DATA_PF_DEST_CQ_ID 11

#define HWC_DATA_CFG_HWC_TIMEOUT    1 /* value: ms */
#define HWC_DATA_HW_LINK_CONNECT    2
#define HWC_DATA_HW_LINK_DISCONNECT 3

/* details[0] of GDMA_EQE_HWC_SOC_SERVICE: value [27:0], type [31:28] */
#define HWC_SOC_SERVICE_VALUE_MASK     0x0fffffffu
#define HWC_SOC_SERVICE_TYPE_SHIFT     28
#define GDMA_SERVICE_TYPE_RDMA_SUSPEND 1
#define GDMA_SERVICE_TYPE_RDMA_RESUME  2

/* ---- Completion queue entries ------------------------------------------------------------- */

/**
 * struct gdma_cqe - Completion queue entry: the device writes, the guest reads
 * @cqe_data:	struct hwc_rx_oob, mana_rxcomp_oob or mana_tx_comp_oob
 * @cqe_info:	GDMA_CQE_INFO_*; stored last, hands the entry over
 */
struct gdma_cqe {
	le32_t cqe_data[GDMA_COMP_DATA_SIZE / 4];
	le32_t cqe_info;
};
WIRE_LAYOUT(struct gdma_cqe, cqe_info, 60, GDMA_CQE_SIZE);

#define GDMA_CQE_INFO_WQ_NUM_MASK 0x00ffffffu
#define GDMA_CQE_INFO_IS_SQ	  0x01000000u
#define GDMA_CQE_INFO_OWNER_SHIFT 29
#define GDMA_CQE_OWNER_BITS	  3
#define GDMA_CQE_OWNER_MASK	  0x7u

/* ---- Work queue entries -------------------------------------------------------------------- */

/**
 * struct gdma_wqe - Head of a work queue entry; inline OOB and SGL follow, all padded to 32 bytes
 * @reserved_vbytes:	last_vbytes [31:24]: with OOB in SGL, bytes of the last 16-byte unit
 * @flags:	GDMA_WQE_*
 */
struct gdma_wqe {
	le32_t reserved_vbytes;
	le32_t flags;
};
WIRE_LAYOUT(struct gdma_wqe, flags, 4, 8);

#define GDMA_WQE_LAST_VBYTES_SHIFT	24
#define GDMA_WQE_NUM_SGE_MASK		0x000000ffu
#define GDMA_WQE_INLINE_OOB_SIZE_SHIFT	8 /* in 4-byte units, 3 bits: 2 (8 bytes), 6 (24) */
#define GDMA_WQE_INLINE_OOB_SIZE_MASK	0x7u
#define GDMA_WQE_CLIENT_OOB_IN_SGL	0x00000800u
#define GDMA_WQE_CLIENT_DATA_UNIT_SHIFT 16 /* 14 bits: the MSS of a TSO packet */
#define GDMA_WQE_CLIENT_DATA_UNIT_MASK	0x3fffu
#define GDMA_WQE_SGL_DIRECT		0x80000000u

struct gdma_sge {
	le64_t address;
	le32_t mem_key;
	le32_t size;
};
WIRE_LAYOUT(struct gdma_sge, size, 12, 16);

/* ---- HWC queue entries, hw_channel.h --------------------------------------------------------- */

/* Inline OOB (24 bytes) of the HWC's SQ. */
struct hwc_tx_oob {
	le32_t reserved1;
	le32_t reserved2;
	le32_t vrq_id_dest_vfid; /* vrq_id [23:0], dest_vfid [31:24] */
	le32_t vrcq_id;		 /* [23:0] */
	le32_t vscq_id_flags;	 /* vscq_id [23:0], loopback 24, lso_override 25, dest_pf 26 */
	le32_t vsq_id;		 /* [23:0] */
};
WIRE_LAYOUT(struct hwc_tx_oob, vsq_id, 20, 24);

#define HWC_TX_OOB_ID_MASK  0x00ffffffu
#define HWC_TX_OOB_LOOPBACK 0x01000000u
#define HWC_TX_OOB_DEST_PF  0x04000000u

/* CQE data of both HWC queues. */
struct hwc_rx_oob {
	le32_t type_flags;	 /* type [5:0], eom 6, som 7, vendor_err [15:8] */
	le32_t src_virt_wq_vfid; /* src_virt_wq [23:0], src_vfid [31:24] */
	le32_t reserved2;
	le32_t wqe_offset; /* bytes */
	le32_t wqe_addr_high;
	le32_t client_data_unit; /* [13:0] */
	le32_t tx_oob_data_size; /* RQ: bytes of the message */
	le32_t chunk_offset;	 /* [20:0] */
};
WIRE_LAYOUT(struct hwc_rx_oob, chunk_offset, 28, 32);

#define HWC_RX_OOB_EOM 0x40u
#define HWC_RX_OOB_SOM 0x80u

/* ---- HWC messages ---------------------------------------------------------------------------- */

enum gdma_request_type {
	GDMA_VERIFY_VF_DRIVER_VERSION = 1,
	GDMA_QUERY_MAX_RESOURCES = 2,
	GDMA_LIST_DEVICES = 3,
	GDMA_REGISTER_DEVICE = 4,
	GDMA_DEREGISTER_DEVICE = 5,
	GDMA_GENERATE_TEST_EQE = 10,
	GDMA_GENERATE_RESET_REQUEST_EQE = 11,
	GDMA_CREATE_QUEUE = 12,
	GDMA_DISABLE_QUEUE = 13,
	GDMA_ALLOCATE_RESOURCE_RANGE = 22,
	GDMA_DESTROY_RESOURCE_RANGE = 24,
	GDMA_CREATE_DMA_REGION = 25,
	GDMA_DMA_REGION_ADD_PAGES = 26,
	GDMA_DESTROY_DMA_REGION = 27,
	GDMA_CREATE_PD = 29,
	GDMA_DESTROY_PD = 30,
	GDMA_CREATE_MR = 31,
	GDMA_DESTROY_MR = 32,
	GDMA_CHANGE_MSIX_FOR_EQ = 81,
	GDMA_QUERY_HWC_TIMEOUT = 84,
	GDMA_ALLOC_DM = 96,
	GDMA_DESTROY_DM = 97,
};

#define GDMA_RESOURCE_DOORBELL_PAGE 27

/* gdma_resp_hdr.status. Linux knows success, MORE_ENTRIES, CMD_UNSUPPORTED, and "else failed". */
#define GDMA_STATUS_SUCCESS	    0x00000000u
#define GDMA_STATUS_MORE_ENTRIES    0x00000105u
#define GDMA_STATUS_CMD_UNSUPPORTED 0xffffffffu
/* Ours, so that logs and tests can tell failures apart; any non-zero value serves a driver. */
#define GDMA_STATUS_BAD_SIZE	    0x00010001u /* shorter or longer than the message allows */
#define GDMA_STATUS_BAD_VERSION	    0x00010002u /* header type or message version */
#define GDMA_STATUS_BAD_PARAM	    0x00010003u /* a field's value is not allowed */
#define GDMA_STATUS_BAD_HANDLE	    0x00010004u /* no such device, queue, object or region */
#define GDMA_STATUS_NO_RESOURCE	    0x00010005u /* a table or the guest's quota is full */
#define GDMA_STATUS_BAD_STATE	    0x00010006u /* not now: not registered, in use, incomplete */
#define GDMA_STATUS_BAD_MEMORY	    0x00010007u /* memory named is not in the guest's DMA map */

#define GDMA_STANDARD_HEADER_TYPE 0
#define GDMA_MESSAGE_V1		  1
#define GDMA_MESSAGE_V2		  2
#define GDMA_MESSAGE_V3		  3
#define GDMA_MESSAGE_V4		  4

struct gdma_msg_hdr {
	le32_t hdr_type;
	le32_t msg_type;
	le16_t msg_version;
	le16_t hwc_msg_id;
	le32_t msg_size; /* bytes, headers included */
};
WIRE_LAYOUT(struct gdma_msg_hdr, msg_size, 12, 16);

enum {
	GDMA_DEVICE_NONE = 0,
	GDMA_DEVICE_HWC = 1,
	GDMA_DEVICE_MANA = 2,
	GDMA_DEVICE_MANA_IB = 3,
};

struct gdma_dev_id {
	le16_t type;
	le16_t instance;
};
WIRE_LAYOUT(struct gdma_dev_id, instance, 2, 4);

struct gdma_req_hdr {
	struct gdma_msg_hdr req;
	struct gdma_msg_hdr resp; /* what the driver expects: version, room in bytes */
	struct gdma_dev_id dev_id;
	le32_t activity_id;
};
WIRE_LAYOUT(struct gdma_req_hdr, activity_id, 36, 40);

struct gdma_resp_hdr {
	struct gdma_msg_hdr response;
	struct gdma_dev_id dev_id;
	le32_t activity_id;
	le32_t status;
	le32_t reserved;
};
WIRE_LAYOUT(struct gdma_resp_hdr, reserved, 28, 32);

/* Requests and responses that are a header only. */
struct gdma_general_req {
	struct gdma_req_hdr hdr;
};
struct gdma_general_resp {
	struct gdma_resp_hdr hdr;
};

/* GDMA_VERIFY_VF_DRIVER_VERSION */
#define GDMA_PROTOCOL_V1 1

#define GDMA_DRV_CAP_FLAG_1_EQ_SHARING_MULTI_VPORT	       (1ull << 0)
#define GDMA_DRV_CAP_FLAG_1_NAPI_WKDONE_FIX		       (1ull << 2)
#define GDMA_DRV_CAP_FLAG_1_HWC_TIMEOUT_RECONFIG	       (1ull << 3)
#define GDMA_DRV_CAP_FLAG_1_GDMA_PAGES_4MB_1GB_2GB	       (1ull << 4)
#define GDMA_DRV_CAP_FLAG_1_VARIABLE_INDIRECTION_TABLE_SUPPORT (1ull << 5)
#define GDMA_DRV_CAP_FLAG_1_HW_VPORT_LINK_AWARE		       (1ull << 6)
#define GDMA_DRV_CAP_FLAG_1_DEV_LIST_HOLES_SUP		       (1ull << 11)
#define GDMA_DRV_CAP_FLAG_1_DYNAMIC_IRQ_ALLOC_SUPPORT	       (1ull << 13)
#define GDMA_DRV_CAP_FLAG_1_SELF_RESET_ON_EQE		       (1ull << 14)
#define GDMA_DRV_CAP_FLAG_1_HANDLE_RECONFIG_EQE		       (1ull << 17)
#define GDMA_DRV_CAP_FLAG_1_HANDLE_STALL_SQ_RECOVERY	       (1ull << 18)
#define GDMA_DRV_CAP_FLAG_1_EQ_MSI_UNSHARE_MULTI_VPORT	       (1ull << 19)
#define GDMA_DRV_CAP_FLAG_1_SKB_LINEARIZE		       (1ull << 20)
#define GDMA_DRV_CAP_FLAG_1_PERIODIC_STATS_QUERY	       (1ull << 21)
#define GDMA_DRV_CAP_FLAG_1_PROBE_RECOVERY		       (1ull << 22)
#define GDMA_DRV_CAP_FLAG_1_HWC_TIMEOUT_RECOVERY	       (1ull << 25)

#define GDMA_OS_TYPE_LINUX   0x10
#define GDMA_OS_TYPE_WINDOWS 0x20
#define GDMA_OS_TYPE_OTHER   0x30

struct gdma_verify_ver_req {
	struct gdma_req_hdr hdr;
	le64_t protocol_ver_min;
	le64_t protocol_ver_max;
	le64_t gd_drv_cap_flags1;
	le64_t gd_drv_cap_flags2;
	le64_t gd_drv_cap_flags3;
	le64_t gd_drv_cap_flags4;
	le64_t drv_ver;
	le32_t os_type;
	le32_t reserved;
	le32_t os_ver_major;
	le32_t os_ver_minor;
	le32_t os_ver_build;
	le32_t os_ver_platform;
	le64_t reserved_2;
	uint8_t os_ver_str1[128];
	uint8_t os_ver_str2[128];
	uint8_t os_ver_str3[128];
	uint8_t os_ver_str4[128];
};
WIRE_LAYOUT(struct gdma_verify_ver_req, os_ver_str4, 512, 640);

struct gdma_verify_ver_resp {
	struct gdma_resp_hdr hdr;
	le64_t gdma_protocol_ver;
	le64_t pf_cap_flags1; /* GDMA_DRV_CAP_FLAG_1_HWC_TIMEOUT_RECONFIG: answers QUERY_HWC_TIMEOUT
			       */
	le64_t pf_cap_flags2;
	le64_t pf_cap_flags3;
	le64_t pf_cap_flags4;
};
WIRE_LAYOUT(struct gdma_verify_ver_resp, pf_cap_flags4, 64, 72);

/* GDMA_QUERY_MAX_RESOURCES */
struct gdma_query_max_resources_resp {
	struct gdma_resp_hdr hdr;
	le32_t status;
	le32_t max_sq;
	le32_t max_rq;
	le32_t max_cq;
	le32_t max_eq;
	le32_t max_db;
	le32_t max_mst;
	le32_t max_cq_mod_ctx;
	le32_t max_mod_cq;
	le32_t max_msix;
};
WIRE_LAYOUT(struct gdma_query_max_resources_resp, max_msix, 68, 72);

/* GDMA_LIST_DEVICES */
#define GDMA_DEV_LIST_SIZE 64
struct gdma_list_devices_resp {
	struct gdma_resp_hdr hdr;
	le32_t num_of_devs;
	le32_t reserved;
	struct gdma_dev_id devs[GDMA_DEV_LIST_SIZE];
};
WIRE_LAYOUT(struct gdma_list_devices_resp, devs, 40, 296);

/* GDMA_REGISTER_DEVICE (the request and GDMA_DEREGISTER_DEVICE: gdma_general_req) */
struct gdma_register_device_resp {
	struct gdma_resp_hdr hdr;
	le32_t pdid;
	le32_t gpa_mkey;
	le32_t db_id; /* doorbell page */
};
WIRE_LAYOUT(struct gdma_register_device_resp, db_id, 40, 44);

/* GDMA_GENERATE_TEST_EQE */
struct gdma_generate_test_event_req {
	struct gdma_req_hdr hdr;
	le32_t queue_index;
};
WIRE_LAYOUT(struct gdma_generate_test_event_req, queue_index, 40, 44);

/* GDMA_GENERATE_RESET_REQUEST_EQE */
struct gdma_generate_reset_event_req {
	struct gdma_req_hdr hdr;
	le32_t queue_index;
	le32_t data; /* goes into details[0] */
};
WIRE_LAYOUT(struct gdma_generate_reset_event_req, data, 44, 48);

/* GDMA_ALLOCATE_RESOURCE_RANGE, GDMA_DESTROY_RESOURCE_RANGE */
struct gdma_allocate_resource_range_req {
	struct gdma_req_hdr hdr;
	le32_t resource_type; /* GDMA_RESOURCE_DOORBELL_PAGE */
	le32_t num_resources;
	le32_t alignment;
	le32_t allocated_resources;
};
WIRE_LAYOUT(struct gdma_allocate_resource_range_req, allocated_resources, 52, 56);

struct gdma_allocate_resource_range_resp {
	struct gdma_resp_hdr hdr;
	le32_t allocated_resources; /* first of the range */
};
WIRE_LAYOUT(struct gdma_allocate_resource_range_resp, allocated_resources, 32, 36);

struct gdma_destroy_resource_range_req {
	struct gdma_req_hdr hdr;
	le32_t resource_type;
	le32_t num_resources;
	le32_t allocated_resources;
};
WIRE_LAYOUT(struct gdma_destroy_resource_range_req, allocated_resources, 48, 52);

/* GDMA_CREATE_QUEUE */
enum gdma_queue_type {
	GDMA_INVALID_QUEUE,
	GDMA_SQ,
	GDMA_RQ,
	GDMA_CQ,
	GDMA_EQ,
};

struct gdma_create_queue_req {
	struct gdma_req_hdr hdr;
	le32_t type; /* enum gdma_queue_type */
	le32_t reserved1;
	le32_t pdid;
	le32_t doolbell_id; /* sic */
	le64_t gdma_region; /* the queue owns it from now on */
	le32_t reserved2;
	le32_t queue_size; /* bytes, a power of two */
	le32_t log2_throttle_limit;
	le32_t eq_pci_msix_index;
	le32_t cq_mod_ctx_id;
	le32_t cq_parent_eq_id;
	uint8_t rq_drop_on_overrun;
	uint8_t rq_err_on_wqe_overflow;
	uint8_t rq_chain_rec_wqes;
	uint8_t sq_hw_db;
	le32_t reserved3;
};
WIRE_LAYOUT(struct gdma_create_queue_req, reserved3, 92, 96);

struct gdma_create_queue_resp {
	struct gdma_resp_hdr hdr;
	le32_t queue_index;
};
WIRE_LAYOUT(struct gdma_create_queue_resp, queue_index, 32, 36);

/* GDMA_DISABLE_QUEUE */
struct gdma_disable_queue_req {
	struct gdma_req_hdr hdr;
	le32_t type;
	le32_t queue_index;
	le32_t alloc_res_id_on_creation;
};
WIRE_LAYOUT(struct gdma_disable_queue_req, alloc_res_id_on_creation, 48, 52);

/* GDMA_CHANGE_MSIX_FOR_EQ */
struct gdma_change_msix_for_eq_req {
	struct gdma_req_hdr hdr;
	le32_t queue_index;
	le32_t msix;
	le32_t reserved1;
	le32_t reserved2;
};
WIRE_LAYOUT(struct gdma_change_msix_for_eq_req, reserved2, 52, 56);

/* GDMA_QUERY_HWC_TIMEOUT; the response has the same two fields */
struct gdma_query_hwc_timeout_req {
	struct gdma_req_hdr hdr;
	le32_t timeout_ms;
	le32_t reserved;
};
WIRE_LAYOUT(struct gdma_query_hwc_timeout_req, reserved, 44, 48);

struct gdma_query_hwc_timeout_resp {
	struct gdma_resp_hdr hdr;
	le32_t timeout_ms;
	le32_t reserved;
};
WIRE_LAYOUT(struct gdma_query_hwc_timeout_resp, reserved, 36, 40);

/* GDMA_CREATE_DMA_REGION; le64_t page_addr_list[page_addr_list_len] follows */
#define GDMA_INVALID_DMA_REGION 0
enum gdma_page_type {
	GDMA_PAGE_TYPE_4K = 0,
};

struct gdma_create_dma_region_req {
	struct gdma_req_hdr hdr;
	le64_t length;	       /* bytes, from offset_in_page on */
	le32_t offset_in_page; /* in the first page */
	le32_t gdma_page_type;
	le32_t page_count;	   /* in all */
	le32_t page_addr_list_len; /* in this message; the rest by ADD_PAGES */
};
WIRE_LAYOUT(struct gdma_create_dma_region_req, page_addr_list_len, 60, 64);

struct gdma_create_dma_region_resp {
	struct gdma_resp_hdr hdr; /* status MORE_ENTRIES while pages are missing */
	le64_t dma_region_handle;
};
WIRE_LAYOUT(struct gdma_create_dma_region_resp, dma_region_handle, 32, 40);

/* GDMA_DMA_REGION_ADD_PAGES; le64_t page_addr_list[page_addr_list_len] follows */
struct gdma_dma_region_add_pages_req {
	struct gdma_req_hdr hdr;
	le64_t dma_region_handle;
	le32_t page_addr_list_len;
	le32_t reserved3;
};
WIRE_LAYOUT(struct gdma_dma_region_add_pages_req, reserved3, 52, 56);

/* GDMA_DESTROY_DMA_REGION */
struct gdma_destroy_dma_region_req {
	struct gdma_req_hdr hdr;
	le64_t dma_region_handle;
};
WIRE_LAYOUT(struct gdma_destroy_dma_region_req, dma_region_handle, 40, 48);

/* RDMA: GDMA_CREATE_PD .. GDMA_DESTROY_MR, GDMA_ALLOC_DM, GDMA_DESTROY_DM (answered unsupported) */
struct gdma_create_pd_req {
	struct gdma_req_hdr hdr;
	le32_t flags;
	le32_t reserved;
};
WIRE_LAYOUT(struct gdma_create_pd_req, reserved, 44, 48);

struct gdma_create_pd_resp {
	struct gdma_resp_hdr hdr;
	le64_t pd_handle;
	le32_t pd_id;
	le32_t reserved;
};
WIRE_LAYOUT(struct gdma_create_pd_resp, reserved, 44, 48);

struct gdma_destroy_pd_req {
	struct gdma_req_hdr hdr;
	le64_t pd_handle;
};
WIRE_LAYOUT(struct gdma_destroy_pd_req, pd_handle, 40, 48);

struct gdma_create_mr_request {
	struct gdma_req_hdr hdr;
	le64_t pd_handle;
	le32_t mr_type;
	le32_t reserved_1;
	union {
		struct {
			le64_t dma_region_handle;
			le64_t virtual_address;
			le32_t access_flags;
		} gva;
		struct {
			le64_t dma_region_handle;
			le32_t access_flags;
		} zbva;
		struct {
			le64_t dm_handle;
			le64_t offset;
			le32_t access_flags;
		} da;
	};
	le32_t reserved_2;
	le64_t da_length;
};
WIRE_LAYOUT(struct gdma_create_mr_request, da_length, 80, 88);

struct gdma_create_mr_response {
	struct gdma_resp_hdr hdr;
	le64_t mr_handle;
	le32_t lkey;
	le32_t rkey;
};
WIRE_LAYOUT(struct gdma_create_mr_response, rkey, 44, 48);

struct gdma_destroy_mr_request {
	struct gdma_req_hdr hdr;
	le64_t mr_handle;
};
WIRE_LAYOUT(struct gdma_destroy_mr_request, mr_handle, 40, 48);

struct gdma_alloc_dm_req {
	struct gdma_req_hdr hdr;
	le64_t length;
	le32_t alignment;
	le32_t flags;
};
WIRE_LAYOUT(struct gdma_alloc_dm_req, flags, 52, 56);

struct gdma_alloc_dm_resp {
	struct gdma_resp_hdr hdr;
	le64_t dm_handle;
};
WIRE_LAYOUT(struct gdma_alloc_dm_resp, dm_handle, 32, 40);

struct gdma_destroy_dm_req {
	struct gdma_req_hdr hdr;
	le64_t dm_handle;
};
WIRE_LAYOUT(struct gdma_destroy_dm_req, dm_handle, 40, 48);

#endif
