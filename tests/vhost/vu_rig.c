/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the set-up of the vhost tests. */
#include "tests/vhost/vu_rig.h"

struct counter {
	struct rig *r;
	unsigned int i;
};
static struct counter counters[RIG_MAX];

static void on_event(void *arg, const struct vhost_event *ev)
{
	struct counter *c = arg;

	c->r->events[c->i][ev->type]++;
}

struct rig *rig_start(const struct rig_conf *conf)
{
	struct rig *r = calloc(1, sizeof(*r));
	struct vsw_net_conf nc = {.name = "blue"};

	assert_non_null(r);
	if (conf)
		r->conf = *conf;
	if (!r->conf.n)
		r->conf.n = 2;
	if (!r->conf.workers)
		r->conf.workers = 1;
	nc.mtu = r->conf.net_mtu ? r->conf.net_mtu : 9000;
	strcpy(r->dir, "/tmp/hvlab-vhost-XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	for (unsigned int i = 0; i < r->conf.workers; i++) {
		struct worker_conf wc = {.name = "w", .spin_ns = r->conf.spin_ns};

		r->worker[i] = worker_new(&wc);
		assert_non_null(r->worker[i]);
	}
	r->vsw = vsw_new();
	assert_non_null(r->vsw);
	r->net = vsw_net_add(r->vsw, &nc);
	assert_non_null(r->net);
	for (unsigned int i = 0; i < r->conf.n; i++) {
		struct vhost_conf vc = r->conf.port;
		char name[16];

		snprintf(name, sizeof(name), "%c/eth0", 'a' + (int)i);
		vc.name = name;
		frame_mac(vc.mac, i + 1);
		counters[i] = (struct counter){r, i};
		vc.event = on_event;
		vc.event_arg = &counters[i];
		r->v[i] = vhost_new(r->worker[i % r->conf.workers], &vc);
		assert_non_null(r->v[i]);
		assert_int_equal(vsw_port_attach(r->net, vhost_port(r->v[i])), 0);
		snprintf(r->path[i], sizeof(r->path[i]), "%s/s%u", r->dir, i);
		assert_int_equal(vhost_listen(r->v[i], r->path[i]), 0);
		if (!r->conf.no_connect)
			rig_up(r, i, &r->conf.client);
	}
	return r;
}

int rig_connect(struct rig *r, unsigned int i)
{
	int fd = fd_unix_connect(r->path[i]);

	assert_true(fd >= 0);
	return fd;
}

void rig_up(struct rig *r, unsigned int i, const struct vu_conf *conf)
{
	assert_int_equal(vu_up(&r->c[i], rig_connect(r, i), conf), 0);
	r->open[i] = true;
}

void rig_down(struct rig *r, unsigned int i)
{
	if (!r->open[i])
		return;
	vu_close(&r->c[i]);
	r->open[i] = false;
	assert_true(wait_until(!rig_info(r, i).connected, WAIT_MS));
}

void rig_stop(struct rig *r)
{
	for (unsigned int i = 0; i < r->conf.n; i++) {
		rig_down(r, i);
		vsw_port_detach(vhost_port(r->v[i]));
		vhost_free(r->v[i]);
	}
	assert_int_equal(vsw_net_del(r->net), 0);
	vsw_free(r->vsw);
	for (unsigned int i = 0; i < r->conf.workers; i++)
		worker_free(r->worker[i]);
	assert_int_equal(rmdir(r->dir), 0);
	free(r);
}

struct vhost_info rig_info(struct rig *r, unsigned int i)
{
	struct vhost_info info;

	vhost_get_info(r->v[i], &info);
	return info;
}

uint64_t rig_drops(struct rig *r, unsigned int i, enum vsw_drop why)
{
	return atomic_load(&vhost_port(r->v[i])->stats.drops[why]);
}

uint64_t rig_tx_drops(struct rig *r, unsigned int i, enum vsw_drop why)
{
	return atomic_load(&vhost_port(r->v[i])->stats.tx_drops[why]);
}

struct frame_spec rig_spec(unsigned int from, unsigned int to, uint8_t ip, uint8_t proto,
			   uint32_t payload)
{
	struct frame_spec s = {.ip = ip,
			       .proto = proto,
			       .payload_len = payload,
			       .sport = 1000,
			       .dport = 2000,
			       .tcp_flags = 0x10,
			       .seed = payload};

	frame_addr(&s, from + 1, to + 1);
	return s;
}

void rig_same_bytes(const uint8_t *got, uint32_t got_len, const uint8_t *want, uint32_t want_len)
{
	assert_int_equal(got_len, want_len);
	for (uint32_t i = 0; i < got_len; i++)
		if (got[i] != want[i])
			fail_msg("byte %u of %u is %02x, not %02x", i, got_len, got[i], want[i]);
}

void rig_expect(struct rig *r, unsigned int to, const struct frame *f, struct virtio_net_hdr *h)
{
	static uint8_t buf[FRAME_MAX];
	struct vu_ring *q = vu_rxq(&r->c[to], 0);
	int n = vu_rx_wait(q, buf, sizeof(buf), h, WAIT_MS);

	assert_true(n > 0);
	rig_same_bytes(buf, (uint32_t)n, f->data, f->len);
	vu_rx_fill(q, r->c[to].conf.ring_size);
}

void rig_alive(struct rig *r, unsigned int a, unsigned int b)
{
	struct frame_spec s = rig_spec(a, b, 4, IPPROTO_UDP, 100);

	frame_build(&r->f, &s);
	assert_int_equal(vu_tx(vu_txq(&r->c[a], 0), r->f.data, r->f.len, NULL), 0);
	rig_expect(r, b, &r->f, NULL);
	/* The same flow: it comes in where it went out. */
	s = rig_spec(b, a, 4, IPPROTO_UDP, 101);
	s.sport = 2000;
	s.dport = 1000;
	frame_build(&r->f, &s);
	assert_int_equal(vu_tx(vu_txq(&r->c[b], 0), r->f.data, r->f.len, NULL), 0);
	rig_expect(r, a, &r->f, NULL);
}
