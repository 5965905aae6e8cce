/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the rig: labs and drivers for tests, started and stopped with assertions. */
#include "tests/driver/rig.h"

struct rig *rig_start(const struct rig_conf *conf)
{
	struct rig *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	if (conf)
		r->conf = *conf;
	assert_int_equal(lab_start(&r->lab, &r->conf.lab), 0);
	r->n = r->lab.conf.n_devs;
	for (unsigned int i = 0; i < r->n; i++)
		rig_up(r, i, r->conf.level);
	return r;
}

void rig_up(struct rig *r, unsigned int dev, enum rig_level level)
{
	struct drv *d = &r->d[dev];
	int rc, sock;

	if (level == RIG_LAB)
		return;
	if (!r->open[dev]) {
		sock = lab_connect(&r->lab, dev);
		assert_true(sock >= 0);
		r->open[dev] = true;
		rc = drv_open(d, sock, &r->conf.drv);
		assert_int_equal(rc, 0);
	}
	if (level == RIG_BUS)
		return;
	if (level == RIG_HWC) {
		assert_int_equal(drv_hwc_up(d), 0);
		return;
	}
	assert_int_equal(drv_bring_up(d), 0);
	if (level == RIG_VPORT)
		assert_int_equal(drv_vport_up(d, &r->vp[dev], 0, &r->conf.vport), 0);
}

void rig_forget(struct rig *r, unsigned int dev)
{
	drv_vport_forget(&r->vp[dev]);
	drv_hwc_forget(&r->d[dev]);
}

void rig_drop(struct rig *r, unsigned int dev)
{
	if (!r->open[dev])
		return;
	rig_forget(r, dev);
	drv_close(&r->d[dev]);
	r->open[dev] = false;
}

void rig_down(struct rig *r, unsigned int dev)
{
	struct drv *d = &r->d[dev];

	if (!r->open[dev])
		return;
	if (r->vp[dev].nq)
		assert_int_equal(drv_vport_down(&r->vp[dev]), 0);
	drv_hwc_down(d);
	rig_drop(r, dev);
}

void rig_stop(struct rig *r)
{
	for (unsigned int i = 0; i < r->n; i++)
		rig_down(r, i);
	for (unsigned int i = 0; i < r->n; i++)
		drv_no_violations(&r->d[i]);
	lab_stop(&r->lab);
	free(r);
}

struct frame_spec rig_spec(const struct rig *r, unsigned int from, unsigned int to, uint8_t ip,
			   uint8_t proto, uint32_t payload)
{
	struct frame_spec s = {.ip = ip,
			       .proto = proto,
			       .payload_len = payload,
			       .eth_type = 0x88b5, /* local experimental */
			       .sport = 40000,
			       .dport = 5001,
			       .seq = 0x12345678,
			       .ack = 0x87654321,
			       .tcp_flags = 0x18,
			       .ip_id = 0xfffe,
			       .frag = 0x4000,
			       .seed = payload + from};

	(void)r;
	frame_addr(&s, lab_host(from, 0), lab_host(to, 0));
	return s;
}

void rig_send(struct rig *r, unsigned int from, const struct frame *f, const struct drv_tx *tx)
{
	assert_int_equal(drv_send(&r->vp[from].tx[0], f->data, f->len, tx), CQE_TX_OKAY);
}

void rig_same_bytes(const uint8_t *got, uint32_t got_len, const uint8_t *want, uint32_t want_len)
{
	assert_int_equal(got_len, want_len);
	for (uint32_t i = 0; i < want_len; i++) {
		if (got[i] == want[i])
			continue;
		print_error("byte %u of %u: got %02x, want %02x\n", i, want_len, got[i], want[i]);
		break;
	}
	assert_memory_equal(got, want, want_len);
}

void rig_expect(struct rig *r, unsigned int to, const struct frame *f, struct drv_rx *rx)
{
	struct drv_rx local;

	rx = rx ? rx : &local;
	assert_true(drv_recv(&r->vp[to], rx, WAIT_MS));
	rig_same_bytes(rx->data, rx->len, f->data, f->len);
}

void rig_alive(struct rig *r, unsigned int a, unsigned int b)
{
	struct frame *f = malloc(sizeof(*f));
	struct frame_spec s = rig_spec(r, a, b, 4, IPPROTO_UDP, 100);

	assert_non_null(f);
	frame_build(f, &s);
	rig_send(r, a, f, NULL);
	rig_expect(r, b, f, NULL);
	s = rig_spec(r, b, a, 6, IPPROTO_TCP, 200);
	frame_build(f, &s);
	rig_send(r, b, f, NULL);
	rig_expect(r, a, f, NULL);
	free(f);
}

void rig_hwc_alive(struct rig *r, unsigned int dev)
{
	struct gdma_query_max_resources_resp max;

	assert_int_equal(drv_query_max(&r->d[dev], &max), 0);
}
