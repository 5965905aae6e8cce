/* SPDX-License-Identifier: BSD-2-Clause */
/* HWC messages that are well formed and wrong: unknown handles, twice, out of order, absurd. */
#include "tests/driver/rig.h"

static int setup(void **state)
{
	const struct rig_conf c = {
		.level = RIG_DEV,
		.lab = {.n_devs = 1, .conf = {.n_vports = 2, .vports = {{.max_queues = 8}}}}};

	*state = rig_start(&c);
	return 0;
}

static int teardown(void **state)
{
	rig_stop(*state);
	return 0;
}

static uint64_t vport_of(struct drv *d, uint32_t index)
{
	struct mana_query_vport_cfg_resp cfg;

	assert_int_equal(drv_query_vport(d, index, &cfg), 0);
	return le64_get(cfg.vport);
}

/* Refused by the device, and not by the driver. */
#define assert_refused(call)                                                                       \
	do {                                                                                       \
		assert_int_equal((call), -EREMOTEIO);                                              \
		assert_int_not_equal(drv_last_status(), 0);                                        \
	} while (0)

static void the_answers_fit_linux(void **state)
{
	struct rig *r = *state;
	struct drv *d = &r->d[0];
	struct gdma_query_max_resources_resp max;
	struct mana_query_device_cfg_resp cfg;
	struct gdma_list_devices_resp list;
	struct gdma_verify_ver_resp ver;
	struct mana_query_vport_cfg_resp vp;
	uint32_t n_mana = 0;

	assert_int_equal(drv_verify_version(d, DRV_CAPS_72, &ver), 0);
	assert_int_equal(le64_get(ver.gdma_protocol_ver), GDMA_PROTOCOL_V1);
	assert_int_equal(drv_query_max(d, &max), 0);
	assert_true(le32_get(max.max_eq) > 1 && le32_get(max.max_cq) > 1);
	assert_true(le32_get(max.max_sq) > 1 && le32_get(max.max_rq) > 1);
	assert_true(le32_get(max.max_msix) >= 2);
	assert_true(le32_get(max.max_msix) <= d->n_vectors);
	assert_int_equal(drv_list_devices(d, &list), 0);
	for (uint32_t i = 0; i < le32_get(list.num_of_devs); i++)
		n_mana += le16_get(list.devs[i].type) == GDMA_DEVICE_MANA;
	assert_int_equal(n_mana, 1);
	/* Response version 1 has no MTU, 2 and 3 have; 9000 needs 9014 (with Ethernet header). */
	assert_int_equal(drv_query_dev_cfg(d, 1, &cfg), 0);
	assert_int_equal(d->hwc_resp_len, MANA_QUERY_DEV_CONFIG_RESP_V1_SIZE);
	for (uint16_t v = 2; v <= 3; v++) {
		assert_int_equal(drv_query_dev_cfg(d, v, &cfg), 0);
		assert_true(le16_get(cfg.hdr.response.msg_version) <= v);
		assert_true(le16_get(cfg.hdr.response.msg_version) >= 2);
		assert_int_equal(le16_get(cfg.adapter_mtu), 9014);
		assert_int_equal(le16_get(cfg.max_num_vports), 2);
		assert_int_equal(cfg.bm_hostmode, 0);
	}
	for (uint32_t i = 0; i < 2; i++) {
		uint8_t mac[6];

		frame_mac(mac, lab_host(0, i));
		assert_int_equal(drv_query_vport(d, i, &vp), 0);
		assert_memory_equal(vp.mac_addr, mac, 6);
		assert_true(le32_get(vp.num_indirection_ent) >= 64);
		if (!i)
			assert_int_equal(le32_get(vp.max_num_sq), 8);
	}
	assert_refused(drv_query_vport(d, 2, &vp));
	assert_refused(drv_query_vport(d, UINT32_MAX, &vp));
}

static uint32_t rdma_request(struct drv *d, uint32_t type)
{
	struct gdma_register_device_resp resp;
	struct gdma_general_req req = {0};
	uint32_t status;

	drv_hdr(d, &req, type, sizeof(req), sizeof(resp));
	req.hdr.dev_id.type = le16_make(GDMA_DEVICE_MANA_IB);
	req.hdr.dev_id.instance = d->mana.instance;
	assert_int_equal(drv_hwc_request(d, &req, sizeof(req), &resp, sizeof(resp), &status), 0);
	return status;
}

/* Linux 6.12 mana_ib_probe() registers it through a null pointer when it is not listed. */
static void an_rdma_function_is_listed_to_old_drivers_alone(void **state)
{
	static const uint64_t caps[] = {DRV_CAPS_72, 0x82d};
	struct rig *r = *state;
	struct drv *d = &r->d[0];
	struct gdma_list_devices_resp list;
	struct gdma_verify_ver_resp ver;
	struct mana_query_device_cfg_resp cfg;

	for (uint32_t old = 0; old < 2; old++) {
		uint32_t n_rdma = 0;

		assert_int_equal(drv_verify_version(d, caps[old], &ver), 0);
		assert_int_equal(drv_list_devices(d, &list), 0);
		for (uint32_t i = 0; i < le32_get(list.num_of_devs); i++)
			n_rdma += le16_get(list.devs[i].type) == GDMA_DEVICE_MANA_IB;
		assert_int_equal(n_rdma, old);
		assert_int_equal(drv_register(d), 0);
		assert_int_equal(rdma_request(d, GDMA_REGISTER_DEVICE) == 0, old);
		assert_int_equal(rdma_request(d, GDMA_DEREGISTER_DEVICE) == 0, old);
		/* It takes nothing of the Ethernet function with it, and does nothing else. */
		assert_int_equal(drv_query_dev_cfg(d, 2, &cfg), 0);
		assert_int_not_equal(rdma_request(d, GDMA_CREATE_PD), 0);
		assert_int_equal(drv_deregister(d), 0);
	}
}

static void a_protocol_version_we_do_not_speak_is_refused(void **state)
{
	struct rig *r = *state;
	struct drv *d = &r->d[0];
	struct gdma_verify_ver_req req = {0};
	struct gdma_verify_ver_resp resp;
	uint32_t status;

	drv_hdr(d, &req, GDMA_VERIFY_VF_DRIVER_VERSION, sizeof(req), sizeof(resp));
	req.protocol_ver_min = req.protocol_ver_max = le64_make(2);
	assert_int_equal(drv_hwc_request(d, &req, sizeof(req), &resp, sizeof(resp), &status), 0);
	assert_int_not_equal(status, 0);
	req.protocol_ver_min = le64_make(5);
	req.protocol_ver_max = le64_make(1);
	assert_int_equal(drv_hwc_request(d, &req, sizeof(req), &resp, sizeof(resp), &status), 0);
	assert_int_not_equal(status, 0);
	/* Strings without an end, with control characters: shown printable. */
	req.protocol_ver_min = le64_make(1);
	req.os_type = le32_make(GDMA_OS_TYPE_OTHER);
	memset(req.os_ver_str1, 'A', 128);
	memset(req.os_ver_str2, 0x1b, 128);
	assert_int_equal(drv_hwc_request(d, &req, sizeof(req), &resp, sizeof(resp), &status), 0);
	assert_int_equal(status, 0);
	struct mana_info info;

	lab_info(&r->lab, 0, &info);
	assert_int_equal(info.os_type, GDMA_OS_TYPE_OTHER);
	for (int s = 0; s < 4; s++) {
		size_t n = strnlen(info.os_ver_str[s], 128);

		assert_true(n < 128);
		for (size_t i = 0; i < n; i++)
			assert_true(info.os_ver_str[s][i] >= ' ' && info.os_ver_str[s][i] < 0x7f);
	}
}

static void unknown_handles_are_refused(void **state)
{
	struct rig *r = *state;
	struct drv *d = &r->d[0];
	const uint64_t bad[] = {0, 1ull << 63, UINT64_MAX, 0x100000001ull, 0xdeadbeef};
	uint64_t vport = vport_of(d, 0);
	struct mana_query_link_config_resp link;
	struct mana_config_vport_resp tx;
	struct mana_create_wqobj_resp obj;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		uint64_t h = bad[i];
		struct drv_steer s = {.vport = h, .rx = TRI_STATE_FALSE};
		struct mana_create_wqobj_req q = {.vport = le64_make(h),
						  .wq_type = le32_make(GDMA_SQ),
						  .wq_size = le32_make(4096),
						  .cq_size = le32_make(4096)};

		if (h != vport) {
			assert_refused(drv_config_vport_tx(d, h, &tx));
			assert_refused(drv_link_config(d, h, &link));
			assert_refused(drv_bw_clamp(d, h, TRI_STATE_TRUE, 100, NULL));
			assert_refused(drv_steer(d, &s));
			assert_refused(drv_create_wqobj(d, &q, &obj));
		}
		assert_refused(drv_region_destroy(d, h));
		assert_refused(drv_fence(d, h));
		assert_refused(drv_test_eqe(d, (uint32_t)h | 0x10000));
		assert_refused(drv_disable_queue(d, GDMA_EQ, (uint32_t)h | 0x10000));
		/* A queue object that is not there may be "destroyed": idempotent or refused. */
		drv_destroy_wqobj(d, GDMA_RQ, h);
		drv_destroy_wqobj(d, (enum gdma_queue_type)7, h);
		drv_disable_queue(d, (enum gdma_queue_type)0, (uint32_t)h);
	}
	rig_hwc_alive(r, 0);
}

static void destroying_twice_harms_nobody(void **state)
{
	struct rig *r = *state;
	struct drv *d = &r->d[0];
	struct drv_queue eq, other;
	struct drv_vport vp;
	uint64_t gpa, region, obj_rx, obj_tx;
	uint32_t id;

	assert_non_null(drv_alloc(d, DRV_PAGE, &gpa));
	assert_int_equal(drv_region_of(d, gpa, DRV_PAGE, &region), 0);
	assert_int_equal(drv_region_destroy(d, region), 0);
	assert_refused(drv_region_destroy(d, region));

	assert_int_equal(drv_eq_create(d, &other, 4096, 1), 0);
	assert_int_equal(drv_eq_create(d, &eq, 4096, 1), 0);
	id = eq.id;
	assert_int_equal(drv_disable_queue(d, GDMA_EQ, id), 0);
	drv_disable_queue(d, GDMA_EQ, id); /* idempotent or refused; must not hit the other one */
	assert_int_equal(drv_test_eqe(d, other.id), 0);
	eq.id = UINT32_MAX;
	assert_int_equal(drv_eq_destroy(&eq), 0);
	assert_int_equal(drv_eq_destroy(&other), 0);

	assert_int_equal(drv_vport_up(d, &vp, 0, NULL), 0);
	obj_rx = vp.rx[0].obj;
	obj_tx = vp.tx[0].obj;
	assert_int_equal(drv_vport_down(&vp), 0);
	drv_destroy_wqobj(d, GDMA_RQ, obj_rx);
	drv_destroy_wqobj(d, GDMA_SQ, obj_tx);
	assert_refused(drv_fence(d, obj_rx));
	assert_int_equal(drv_vport_up(d, &vp, 0, NULL), 0);
	/* The type in the message is not the object's. */
	drv_destroy_wqobj(d, GDMA_SQ, vp.rx[0].obj);
	drv_destroy_wqobj(d, GDMA_EQ, vp.rx[0].obj);
	assert_int_equal(drv_vport_down(&vp), 0);
}

static void an_eq_in_use_or_wrong_is_refused(void **state)
{
	struct rig *r = *state;
	struct drv *d = &r->d[0];
	struct bad_eq {
		const char *why;
		uint32_t type, size, msix;
		int pd, db;
		bool no_region;
	};
	const struct bad_eq bad[] = {
		{"not a power of two", GDMA_EQ, 12288, 1, 0, 0, false},
		{"smaller than a page", GDMA_EQ, 2048, 1, 0, 0, false},
		{"of size 0", GDMA_EQ, 0, 1, 0, 0, false},
		{"larger than its region", GDMA_EQ, 32768, 1, 0, 0, false},
		{"of a size beyond 32 bits' sense", GDMA_EQ, 0x80000000, 1, 0, 0, false},
		{"vector out of range", GDMA_EQ, 16384, 100000, 0, 0, false},
		{"vector 65535", GDMA_EQ, 16384, 65535, 0, 0, false},
		{"of another protection domain", GDMA_EQ, 16384, 1, 77, 0, false},
		{"on another doorbell page", GDMA_EQ, 16384, 1, 0, 5, false},
		{"without memory", GDMA_EQ, 16384, 1, 0, 0, true},
		{"of type 0", 0, 16384, 1, 0, 0, false},
		{"of type 9", 9, 16384, 1, 0, 0, false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct gdma_create_queue_req req = {0};
		struct gdma_create_queue_resp resp;
		uint64_t gpa, region;
		uint32_t status;

		assert_non_null(drv_alloc(d, 16384, &gpa));
		assert_int_equal(drv_region_of(d, gpa, 16384, &region), 0);
		drv_hdr(d, &req, GDMA_CREATE_QUEUE, sizeof(req), sizeof(resp));
		req.hdr.dev_id = d->mana;
		req.type = le32_make(bad[i].type);
		req.pdid = le32_make(d->pdid + (uint32_t)bad[i].pd);
		req.doolbell_id = le32_make(d->db_page + (uint32_t)bad[i].db);
		req.gdma_region = le64_make(bad[i].no_region ? 0 : region);
		req.queue_size = le32_make(bad[i].size);
		req.eq_pci_msix_index = le32_make(bad[i].msix);
		assert_int_equal(
			drv_hwc_request(d, &req, sizeof(req), &resp, sizeof(resp), &status), 0);
		if (!status)
			fail_msg("an EQ %s was created", bad[i].why);
		/* The refused message left the region to its owner. */
		assert_int_equal(drv_region_destroy(d, region), 0);
		drv_free(d, gpa, 16384);
	}
}

static void a_wrong_queue_object_is_refused(void **state)
{
	struct rig *r = *state;
	struct drv *d = &r->d[0];
	uint64_t vport = vport_of(d, 0);
	struct mana_config_vport_resp tx;
	struct drv_queue eq;

	assert_int_equal(drv_config_vport_tx(d, vport, &tx), 0);
	assert_int_equal(drv_eq_create(d, &eq, 4096, 1), 0);
	for (int i = 0; i < 13; i++) {
		struct mana_create_wqobj_resp resp;
		struct mana_create_wqobj_req q = {0};
		struct drv_queue wq, cq;

		assert_int_equal(drv_queue_init(d, &wq, GDMA_SQ, 8192), 0);
		assert_int_equal(drv_queue_init(d, &cq, GDMA_CQ, 8192), 0);
		q.vport = le64_make(vport);
		q.wq_type = le32_make(GDMA_SQ);
		q.wq_gdma_region = le64_make(wq.region);
		q.cq_gdma_region = le64_make(cq.region);
		q.wq_size = q.cq_size = le32_make(8192);
		q.cq_parent_qid = le32_make(eq.id);
		if (i == 0)
			q.wq_type = le32_make(GDMA_CQ);
		else if (i == 1)
			q.wq_type = le32_make(0);
		else if (i == 2)
			q.wq_size = le32_make(16384);
		else if (i == 3)
			q.cq_size = le32_make(16384);
		else if (i == 4)
			q.wq_size = le32_make(6144);
		else if (i == 5)
			q.cq_size = le32_make(5000);
		else if (i == 6)
			q.wq_gdma_region = le64_make(0);
		else if (i == 7)
			q.cq_gdma_region = le64_make(0x123456);
		else if (i == 8)
			q.cq_gdma_region = q.wq_gdma_region;
		else if (i == 9)
			q.cq_parent_qid = le32_make(eq.id + 1000);
		else if (i == 10)
			q.wq_size = le32_make(0);
		else if (i == 11)
			q.cq_size = le32_make(0);
		else if (i == 12)
			q.cq_parent_qid = le32_make(0x8000);
		if (drv_create_wqobj(d, &q, &resp) != -EREMOTEIO)
			fail_msg("case %d was accepted", i);
		assert_int_equal(drv_region_destroy(d, wq.region), 0);
		assert_int_equal(drv_region_destroy(d, cq.region), 0);
		wq.region = cq.region = 0;
		drv_queue_fini(&wq);
		drv_queue_fini(&cq);
	}
	assert_int_equal(drv_eq_destroy(&eq), 0);
}

static void steering_is_checked_before_it_is_used(void **state)
{
	struct rig *r = *state;
	struct drv *d = &r->d[0];
	struct drv_vport vp, vp1;
	struct drv_steer s;

	assert_int_equal(drv_vport_up(d, &vp, 0, &(struct drv_vport_conf){.n_queues = 2}), 0);
	assert_int_equal(drv_vport_up(d, &vp1, 1, NULL), 0);
	for (int i = 0; i < 9; i++) {
		drv_vport_steer(&vp, &s);
		s.rss = TRI_STATE_TRUE;
		if (i == 0)
			s.tab[3] = 0xdead;
		else if (i == 1)
			s.tab[s.n_tab - 1] = vp.tx[0].obj; /* not a receive object */
		else if (i == 2)
			s.tab[0] = vp1.rx[0].obj; /* another vPort's */
		else if (i == 3)
			s.def_obj = 0x1234567;
		else if (i == 4)
			s.def_obj = vp1.rx[0].obj;
		else if (i == 5)
			s.n_tab = 3; /* not a power of two */
		else if (i == 6)
			s.n_tab = 0;
		else if (i == 7)
			s.rx = 7;
		else if (i == 8)
			s.rss = 7;
		if (drv_steer(d, &s) != -EREMOTEIO)
			fail_msg("steering case %d was accepted", i);
	}
	/* Offsets that point out of the message. */
	for (uint32_t off = 0; off < 0x10000; off += off < 160 ? 8 : 1021) {
		uint8_t buf[sizeof(struct mana_cfg_rx_steer_req_v2) + 64 * 8] = {0};
		struct mana_cfg_rx_steer_req_v2 *q = (void *)buf;
		struct mana_cfg_rx_steer_resp resp;
		uint32_t status;

		if (off == sizeof(*q))
			continue;
		drv_hdr(d, q, MANA_CONFIG_VPORT_RX, sizeof(buf), sizeof(resp));
		q->hdr.req.msg_version = q->hdr.resp.msg_version = le16_make(2);
		q->vport = le64_make(vp.handle);
		q->num_indir_entries = le16_make(64);
		q->indir_tab_offset = le16_make((uint16_t)off);
		q->rx_enable = le32_make(TRI_STATE_TRUE);
		q->update_indir_tab = 1;
		for (int k = 0; k < 64; k++)
			le64_store(buf + sizeof(*q) + k * 8, vp.rx[0].obj);
		assert_int_equal(drv_hwc_request(d, q, sizeof(buf), &resp, sizeof(resp), &status),
				 0);
		assert_int_not_equal(status, 0);
	}
	/* What 6.1 and 6.12 send: request 2, response 1. And the oldest form. */
	drv_vport_steer(&vp, &s);
	s.version = 2;
	s.resp_version = 1;
	assert_int_equal(drv_steer(d, &s), 0);
	s.version = s.resp_version = 1;
	assert_int_equal(drv_steer(d, &s), 0);
	assert_int_equal(drv_vport_down(&vp1), 0);
	assert_int_equal(drv_vport_down(&vp), 0);
}

static void messages_out_of_order_are_refused_and_forgotten(void **state)
{
	struct rig *r = *state;
	struct drv *d = &r->d[0];
	struct drv_queue eq, q;
	uint64_t gpa, region;
	struct drv_vport vp;
	uint32_t status;

	/* Without a registered device there is no protection domain to make queues in. */
	assert_int_equal(drv_deregister(d), 0);
	assert_refused(drv_deregister(d));
	assert_non_null(drv_alloc(d, 4096, &gpa));
	if (drv_eq_create(d, &eq, 4096, 1) == 0)
		fail_msg("an EQ without a registered device");
	assert_int_equal(drv_register(d), 0);
	/* Registering twice: the same answer or a refusal, and one device. */
	drv_register(d);
	assert_int_equal(drv_vport_up(d, &vp, 0, NULL), 0);
	/* An EQ that has completion queues is still told apart from them. */
	status = (uint32_t)drv_disable_queue(d, GDMA_CQ, vp.rx[0].cq.id);
	(void)status;
	assert_int_equal(drv_fence(d, vp.rx[0].obj), 0);
	assert_true(drv_rx_wait_fence(&vp.rx[0], WAIT_MS));
	/* An EQ goes before its CQs: completions then reach nobody, nothing breaks. */
	assert_int_equal(drv_disable_queue(d, GDMA_EQ, vp.eq[0].id), 0);
	vp.eq[0].id = UINT32_MAX;
	assert_int_equal(drv_fence(d, vp.rx[0].obj), 0);
	assert_int_equal(drv_vport_down(&vp), 0);
	/* Deregistering under a living vPort takes everything of it away. */
	assert_int_equal(drv_vport_up(d, &vp, 0, NULL), 0);
	drv_deregister(d);
	for (uint32_t i = 0; i < 16; i++)
		drv_db(d, d->db_page, GDMA_SQ, vp.tx[0].wq.id, i * 32, 0);
	drv_vport_forget(&vp);
	drv_hwc_down(d);
	assert_int_equal(drv_bring_up(d), 0);
	assert_int_equal(drv_region_of(d, gpa, 4096, &region), 0);
	assert_int_equal(drv_queue_init(d, &q, GDMA_SQ, 4096), 0);
	drv_queue_fini(&q);
}

static void tables_fill_up_and_empty_again(void **state)
{
	struct rig *r = *state;
	struct drv *d = &r->d[0];
	struct mana_info before, after;
	struct drv_queue eq[300];
	unsigned int n = 0;

	lab_info(&r->lab, 0, &before);
	for (int round = 0; round < 2; round++) {
		for (n = 0; n < ARRAY_SIZE(eq); n++)
			if (drv_eq_create(d, &eq[n], 4096, 1))
				break;
		assert_true(n >= 64);
		assert_true(n < ARRAY_SIZE(eq)); /* there is an end */
		rig_hwc_alive(r, 0);
		while (n--)
			assert_int_equal(drv_eq_destroy(&eq[n]), 0);
	}
	lab_info(&r->lab, 0, &after);
	assert_int_equal(after.n_eq, before.n_eq);
	assert_int_equal(after.n_dma_regions, before.n_dma_regions);
}

static void the_timeout_and_the_link_are_told(void **state)
{
	struct rig *r = *state;
	struct drv *d = &r->d[0];
	struct gdma_query_hwc_timeout_req req = {0};
	struct gdma_query_hwc_timeout_resp resp;
	struct mana_query_link_config_resp link;
	uint64_t vport = vport_of(d, 0);
	uint8_t unconf = 9;
	uint32_t status;

	drv_hdr(d, &req, GDMA_QUERY_HWC_TIMEOUT, sizeof(req), sizeof(resp));
	req.timeout_ms = le32_make(30000);
	assert_int_equal(drv_hwc_request(d, &req, sizeof(req), &resp, sizeof(resp), &status), 0);
	assert_int_equal(status, 0);
	assert_true(le32_get(resp.timeout_ms) >= 1000);
	assert_int_equal(drv_link_config(d, vport, &link), 0);
	assert_int_equal(le32_get(link.link_speed_mbps), 200000);
	assert_int_equal(link.qos_unconfigured, 0);
	assert_int_equal(drv_bw_clamp(d, vport, TRI_STATE_TRUE, 1000, &unconf), 0);
	assert_int_equal(unconf, 0);
	struct mana_info info;

	assert_int_equal(lab_info(&r->lab, 0, &info)->vports[0].bw_limit_mbps, 1000);
	assert_int_equal(drv_link_config(d, vport, &link), 0);
	assert_refused(drv_bw_clamp(d, vport, 7, 1000, NULL));
	assert_int_equal(drv_bw_clamp(d, vport, TRI_STATE_FALSE, 0, &unconf), 0);
	assert_int_equal(lab_info(&r->lab, 0, &info)->vports[0].bw_limit_mbps, 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(the_answers_fit_linux),
		T(an_rdma_function_is_listed_to_old_drivers_alone),
		T(a_protocol_version_we_do_not_speak_is_refused),
		T(unknown_handles_are_refused),
		T(destroying_twice_harms_nobody),
		T(an_eq_in_use_or_wrong_is_refused),
		T(a_wrong_queue_object_is_refused),
		T(steering_is_checked_before_it_is_used),
		T(messages_out_of_order_are_refused_and_forgotten),
		T(tables_fill_up_and_empty_again),
		T(the_timeout_and_the_link_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
