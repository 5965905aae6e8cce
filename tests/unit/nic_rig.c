/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the network, the vNIC and the worker that tests of vNICs stand on. */
#include "nic_rig.h"

#include <string.h>

static struct vsw *vsw;
struct vsw_net *net;
struct worker *worker;
struct vsw_nic *nic;
struct vsw_port *outer;
struct test_port peer, path[2], other;

struct vsw_nic_conf nic_conf(unsigned int host)
{
	struct vsw_nic_conf conf = {.name = "vm2/eth0", .worker = worker};

	frame_mac(conf.mac, host);
	return conf;
}

/* @adjust the configuration before the vNIC is made. */
void make_nic(void (*adjust)(struct vsw_nic_conf *))
{
	struct vsw_nic_conf conf = nic_conf(NIC);

	if (adjust)
		adjust(&conf);
	nic = vsw_nic_new(&conf);
	assert_non_null(nic);
	outer = vsw_nic_port(nic);
	for (unsigned int i = 0; i < 2; i++) {
		test_port_init(&path[i], NIC);
		assert_int_equal(vsw_nic_path_add(nic, &path[i].port), 0);
	}
	assert_int_equal(vsw_port_attach(net, outer), 0);
	vsw_nic_receive(nic, &path[0].port, false);
}

void drop_nic(void)
{
	if (!nic)
		return;
	vsw_port_detach(outer);
	for (unsigned int i = 0; i < 2; i++) {
		if (vsw_nic_of(&path[i].port))
			vsw_nic_path_del(nic, &path[i].port);
		test_port_clear(&path[i]);
	}
	vsw_nic_free(nic);
	nic = NULL;
}

int nic_setup(void **state)
{
	struct vsw_net_conf conf = {.name = "blue", .mtu = 1400};
	struct worker_conf wc = {.name = "w0"};

	(void)state;
	test_thread_register();
	worker = worker_new(&wc);
	vsw = vsw_new();
	net = vsw_net_add(vsw, &conf);
	test_port_init(&peer, PEER);
	test_port_init(&other, 3);
	if (!worker || vsw_port_attach(net, &peer.port) || vsw_port_attach(net, &other.port))
		return -1;
	make_nic(NULL);
	return 0;
}

int nic_teardown(void **state)
{
	(void)state;
	drop_nic();
	vsw_port_detach(&peer.port);
	vsw_port_detach(&other.port);
	test_port_clear(&peer);
	test_port_clear(&other);
	assert_int_equal(vsw_net_del(net), 0);
	vsw_free(vsw);
	worker_free(worker);
	test_thread_unregister();
	return 0;
}

/* One frame, with a number in its length. Returns what vsw_send() did. */
unsigned int send_flags(struct test_port *from, unsigned int src, unsigned int dst, uint32_t number,
			uint32_t flags)
{
	static struct frame f;
	static struct pkt pkt;
	struct pkt *p = &pkt;

	frame_udp(&f, src, dst, 20 + number);
	pkt_of_frame(&pkt, &f, 0);
	pkt.flags |= flags;
	return vsw_send(&from->port, &p, 1);
}

void send_one(struct test_port *from, unsigned int src, unsigned int dst, uint32_t number)
{
	assert_int_equal(send_flags(from, src, dst, number, 0), 1);
}

/* Numbers [first, first + n) from the peer to the vNIC. */
void send_numbers(uint32_t first, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		send_one(&peer, PEER, NIC, first + i);
}

unsigned int kept(struct test_port *t)
{
	unsigned int n;

	pthread_mutex_lock(&t->lock);
	n = t->n;
	pthread_mutex_unlock(&t->lock);
	return n;
}

uint32_t number_of(const struct test_port *t, unsigned int i)
{
	struct frame f = {.len = 0};

	frame_udp(&f, PEER, NIC, 20);
	return t->frame[i].len - f.len;
}

/* @t has exactly the numbers [first, first + n), in order. */
void expect_numbers(struct test_port *t, uint32_t first, uint32_t n)
{
	assert_true(wait_until(kept(t) >= n, WAIT_MS));
	assert_int_equal(kept(t), n);
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(number_of(t, i), first + i);
}

struct vsw_nic_info info(void)
{
	struct vsw_nic_info i;

	vsw_nic_get_info(nic, &i);
	return i;
}

static void nothing(void *arg)
{
	(void)arg;
}

/* Everything that was posted to the worker so far has run. */
void flush(void)
{
	worker_call(worker, nothing, NULL);
}

uint64_t drops(struct vsw_port *p, enum vsw_drop why)
{
	return atomic_load(&p->stats.drops[why]);
}

uint64_t tx_drops(struct vsw_port *p, enum vsw_drop why)
{
	return atomic_load(&p->stats.tx_drops[why]);
}
