/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the network for tests of port features. */
#include "features_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>
#include <netinet/in.h>

#include "base/wire.h"

struct vsw *vsw;
struct vsw_net *net;
struct test_port port[RIG_PORTS + 1];
struct frame frame;
struct pkt pkt[RIG_BURST];

int rig_setup(void **state)
{
	struct vsw_net_conf conf = {.name = "blue"};

	(void)state;
	test_thread_register();
	vsw = vsw_new();
	net = vsw_net_add(vsw, &conf);
	for (unsigned int i = 1; i <= RIG_PORTS; i++) {
		test_port_init(&port[i], i);
		if (vsw_port_attach(net, &port[i].port))
			return -1;
	}
	return 0;
}

int rig_teardown(void **state)
{
	(void)state;
	for (unsigned int i = 1; i <= RIG_PORTS; i++) {
		vsw_port_detach(&port[i].port);
		test_port_clear(&port[i]);
	}
	assert_int_equal(vsw_net_del(net), 0);
	vsw_free(vsw);
	test_thread_unregister();
	return 0;
}

void have(unsigned int p, struct vsw_features f)
{
	assert_int_equal(vsw_port_set_features(&port[p].port, &f), 0);
}

void have_vlan(unsigned int p, enum vlan_mode mode, uint16_t vid, uint16_t secondary)
{
	have(p, (struct vsw_features){.vlan = {.mode = mode, .vid = vid, .secondary = secondary}});
}

void have_vlans(unsigned int p, enum vlan_mode mode, uint16_t vid, const uint16_t *list,
		unsigned int n)
{
	struct vsw_features f = {.vlan = {.mode = mode, .vid = vid}};

	for (unsigned int i = 0; i < n; i++)
		vlan_allow(&f.vlan, list[i]);
	have(p, f);
}

void make(unsigned int from, unsigned int to, uint16_t tag)
{
	struct frame_spec s = {.ip = 4, .proto = IPPROTO_UDP, .payload_len = 60, .vlan = tag};

	frame_addr(&s, from, to);
	if (!to)
		memset(s.dst, 0xff, 6);
	s.sport = s.dport = 7;
	frame_build(&frame, &s);
}

void go(unsigned int from)
{
	struct pkt *one = &pkt[0];

	pkt_of_frame(one, &frame, 0);
	assert_int_equal(vsw_send(&port[from].port, &one, 1), 1);
}

void send_udp(unsigned int from, unsigned int to, uint16_t tag)
{
	make(from, to, tag);
	go(from);
}

unsigned int got(unsigned int p)
{
	unsigned int n = port[p].n;

	test_port_clear(&port[p]);
	return n;
}

int tag_got(unsigned int p)
{
	const struct test_frame *f = &port[p].frame[port[p].n - 1];

	assert_true(port[p].n > 0);
	return be16_load(f->data + 12) == 0x8100 ? be16_load(f->data + 14) : -1;
}

void forget(void)
{
	for (unsigned int i = 1; i <= RIG_PORTS; i++)
		test_port_clear(&port[i]);
}
