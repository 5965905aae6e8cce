/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzzes what comes at a tunnel's UDP port.
 *
 * Input: one byte of choices, two bytes of datagram size (big endian; 0: one datagram), then what
 * the socket gave, which is cut into datagrams of that size as UDP_GRO has it. Two networks are on
 * the tunnel, VNI 1 and 2, each with a receiver that takes every frame apart again. Beyond not
 * crashing, it must hold: each datagram is counted once, as wrong or as a packet of a network; a
 * frame comes out of its own network only, and no longer than its datagram; no table outgrows its
 * bound.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "base/wire.h"
#include "vswitch/offload.h"
#include "vswitch/ports/vxlan_internal.h"
#include "vswitch/vswitch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(x)                                                                                    \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

#define MAX_MACS    8
#define MAX_REMOTES 6
#define N_NETS	    2

struct rig {
	struct worker *worker;
	struct vsw *vsw;
	struct vxlan_tunnel *t;
	struct vxlan_port *vx[N_NETS];
	struct vsw_port sink[N_NETS];
};

struct input {
	struct rig *r;
	const uint8_t *data;
	size_t size;
};

static struct rig rig;
static uint32_t longest;

/* Takes what the network gives it, into memory of exactly the frame's size. */
static unsigned int deliver(struct vsw_port *port, struct pkt **pkts, unsigned int n)
{
	uint32_t vni = port == &rig.sink[0] ? 1 : 2;

	for (unsigned int i = 0; i < n; i++) {
		struct vsw_settle s;
		struct vsw_frame f;

		MUST(pkts[i]->tun.set && pkts[i]->tun.received && pkts[i]->tun.vni == vni);
		if (vsw_settle_begin(&s, pkts[i], 0, 1500) != VSW_DROP_NONE)
			continue;
		while (vsw_settle_next(&s, &f)) {
			uint8_t *out = malloc(f.len);
			struct iovec iov = {out, f.len};

			MUST(out && f.len <= longest);
			vsw_frame_copy(&f, &iov, 1);
			free(out);
		}
	}
	return n;
}

static const struct vsw_port_ops ops = {.deliver = deliver};

static void make_net(struct rig *r, unsigned int n)
{
	struct vsw_net_conf nc = {.name = n ? "two" : "one"};
	struct vxlan_port_conf pc = {
		.name = "vx", .vni = n + 1, .learn = true, .max_macs = MAX_MACS};
	struct vsw_net *net = vsw_net_add(r->vsw, &nc);

	r->vx[n] = vxlan_port_new(r->t, &pc);
	MUST(net && r->vx[n]);
	vsw_port_init(&r->sink[n], &ops, "sink", ((uint8_t[]){2, 0, 0, 0, 0, 1}));
	atomic_store(&r->sink[n].link, true);
	atomic_store(&r->sink[n].receiving, true);
	MUST(!vsw_port_attach(net, vxlan_port_port(r->vx[n])));
	MUST(!vsw_port_attach(net, &r->sink[n]));
}

static void make_rig(struct rig *r)
{
	struct vxlan_sockets s;
	struct vxlan_tunnel_conf tc = {.name = "t", .sockets = &s, .max_remotes = MAX_REMOTES};
	struct worker_conf wc = {.name = "w"};
	struct sockaddr_storage local = {0};
	struct sockaddr_in *in = (struct sockaddr_in *)&local;
	unsigned int tries = 0;
	int rc;

	in->sin_family = AF_INET;
	in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	do {
		/* Any port that is free: nothing comes there. */
		in->sin_port = htons((uint16_t)(20000 + tries));
		rc = vxlan_sockets_open(&s, &local, 1);
	} while (rc == -EADDRINUSE && ++tries < 10000);
	MUST(!rc);
	r->worker = worker_new(&wc);
	r->vsw = vsw_new();
	MUST(r->worker && r->vsw);
	r->t = vxlan_tunnel_new(r->worker, &tc);
	MUST(r->t);
	make_net(r, 0);
	make_net(r, 1);
}

static uint64_t sent_by(struct vxlan_port *p)
{
	uint64_t n = atomic_load(&vxlan_port_port(p)->stats.tx_packets);

	return n;
}

/* On the tunnel's worker, which is where messages come from. */
static void feed(void *arg)
{
	struct input *in = arg;
	struct rig *r = in->r;
	struct vxlan_stats before, after;
	uint8_t from[16] = {[10] = 0xff, [11] = 0xff, [12] = 10};
	uint32_t size = be16_load(in->data + 1), len = (uint32_t)in->size - 3;
	uint64_t packets = sent_by(r->vx[0]) + sent_by(r->vx[1]), n;

	from[15] = in->data[0] & 0xf;
	r->t->known_only = in->data[0] >> 7;
	longest = len;
	n = !len ? 1 : size ? (len + size - 1) / size : 1;
	vxlan_get_stats(r->t, &before);
	vx_rx_message(r->t, in->data + 3, len, size, from);
	vxlan_get_stats(r->t, &after);
	packets = sent_by(r->vx[0]) + sent_by(r->vx[1]) - packets;
	MUST(after.rx - before.rx == n);
	MUST(after.rx_bytes - before.rx_bytes == len);
	n -= after.rx_short - before.rx_short + after.rx_flags - before.rx_flags;
	n -= after.rx_vni - before.rx_vni + after.rx_peer - before.rx_peer;
	MUST(n == packets);
	MUST(vxlan_macs(r->vx[0], NULL, 0) <= MAX_MACS);
	MUST(vxlan_macs(r->vx[1], NULL, 0) <= MAX_MACS);
	MUST(vxlan_remotes(r->t, NULL, 0) <= MAX_REMOTES);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {&rig, data, size};

	if (size < 3 || size > 65535)
		return 0;
	if (!rig.t)
		make_rig(&rig);
	worker_call(rig.worker, feed, &in);
	return 0;
}
