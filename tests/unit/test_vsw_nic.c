/* SPDX-License-Identifier: BSD-2-Clause */
/* Claims about vswitch/nic.c: paths, switching, parking. Real workers hand over what is parked. */
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include <cmocka.h>

#include "base/util.h"
#include "base/wire.h"
#include "base/worker.h"
#include "tests/lib/rng.h"
#include "tests/lib/wait.h"
#include "vsw_fixture.h"
#include "vswitch/nic.h"

#define PEER 1 /* a plain port */
#define NIC  2 /* the vNIC's number, and its two paths' */

static struct vsw *vsw;
static struct vsw_net *net;
static struct worker *worker;
static struct vsw_nic *nic;
static struct vsw_port *outer;
static struct test_port peer, path[2], other;

static struct vsw_nic_conf nic_conf(unsigned int host)
{
	struct vsw_nic_conf conf = {.name = "vm2/eth0", .worker = worker};

	frame_mac(conf.mac, host);
	return conf;
}

/* @adjust the configuration before the vNIC is made. */
static void make_nic(void (*adjust)(struct vsw_nic_conf *))
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

static void drop_nic(void)
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

static int setup(void **state)
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

static int teardown(void **state)
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

/* ---- Short ways to say things ------------------------------------------------------------- */

/* One frame, with a number in its length. Returns what vsw_send() did. */
static unsigned int send_flags(struct test_port *from, unsigned int src, unsigned int dst,
			       uint32_t number, uint32_t flags)
{
	static struct frame f;
	static struct pkt pkt;
	struct pkt *p = &pkt;

	frame_udp(&f, src, dst, 20 + number);
	pkt_of_frame(&pkt, &f, 0);
	pkt.flags |= flags;
	return vsw_send(&from->port, &p, 1);
}

static void send_one(struct test_port *from, unsigned int src, unsigned int dst, uint32_t number)
{
	assert_int_equal(send_flags(from, src, dst, number, 0), 1);
}

/* Numbers [first, first + n) from the peer to the vNIC. */
static void send_numbers(uint32_t first, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		send_one(&peer, PEER, NIC, first + i);
}

static unsigned int kept(struct test_port *t)
{
	unsigned int n;

	pthread_mutex_lock(&t->lock);
	n = t->n;
	pthread_mutex_unlock(&t->lock);
	return n;
}

static uint32_t number_of(const struct test_port *t, unsigned int i)
{
	struct frame f = {.len = 0};

	frame_udp(&f, PEER, NIC, 20);
	return t->frame[i].len - f.len;
}

/* @t has exactly the numbers [first, first + n), in order. */
static void expect_numbers(struct test_port *t, uint32_t first, uint32_t n)
{
	assert_true(wait_until(kept(t) >= n, WAIT_MS));
	assert_int_equal(kept(t), n);
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(number_of(t, i), first + i);
}

static struct vsw_nic_info info(void)
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
static void flush(void)
{
	worker_call(worker, nothing, NULL);
}

static uint64_t drops(struct vsw_port *p, enum vsw_drop why)
{
	return atomic_load(&p->stats.drops[why]);
}

static uint64_t tx_drops(struct vsw_port *p, enum vsw_drop why)
{
	return atomic_load(&p->stats.tx_drops[why]);
}

/* ---- One address, several paths ----------------------------------------------------------- */

static void a_path_sends_in_the_name_of_its_vnic(void **state)
{
	struct vsw_fdb_entry e[8];
	bool found = false;
	size_t n;

	(void)state;
	for (unsigned int i = 0; i < 2; i++)
		send_one(&path[i], NIC, PEER, i);
	expect_numbers(&peer, 0, 2);
	assert_int_equal(atomic_load(&outer->stats.tx_packets), 2);
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(atomic_load(&path[i].port.stats.tx_packets), 1);
		assert_int_equal(atomic_load(&path[i].port.stats.tx_bytes), peer.frame[i].len);
	}
	/* Another source address behind a path is learned behind the vNIC. */
	send_one(&path[1], 77, PEER, 2);
	n = vsw_net_fdb(net, e, ARRAY_SIZE(e));
	for (size_t i = 0; i < n && i < ARRAY_SIZE(e); i++)
		found |= !e[i].fixed && !strcmp(e[i].port, "vm2/eth0");
	assert_true(found);
	send_one(&peer, PEER, 77, 3);
	expect_numbers(&path[0], 3, 1);
	assert_int_equal(kept(&path[1]), 0);
}

static void only_the_chosen_path_receives(void **state)
{
	(void)state;
	send_numbers(0, 2);
	vsw_nic_receive(nic, &path[1].port, false);
	send_numbers(2, 3);
	vsw_nic_receive(nic, &path[0].port, false);
	send_numbers(5, 1);
	assert_int_equal(kept(&path[0]), 3);
	assert_int_equal(number_of(&path[0], 2), 5);
	expect_numbers(&path[1], 2, 3);
	assert_int_equal(atomic_load(&outer->stats.rx_packets), 6);
	assert_int_equal(atomic_load(&path[0].port.stats.rx_packets), 3);
	assert_int_equal(atomic_load(&path[1].port.stats.rx_packets), 3);
	assert_int_equal(atomic_load(&outer->stats.rx_bytes),
			 atomic_load(&path[0].port.stats.rx_bytes) +
				 atomic_load(&path[1].port.stats.rx_bytes));
	assert_int_equal(info().switches, 3);
	assert_ptr_equal(info().path, &path[0].port);
	assert_int_equal(info().parked, 0);
}

static void a_flood_reaches_the_chosen_path_and_never_its_own_vnic(void **state)
{
	(void)state;
	send_one(&peer, PEER, 0, 0);
	expect_numbers(&path[0], 0, 1);
	assert_int_equal(kept(&path[1]), 0);
	/* Sent by the path that does not receive: the other one must not get it. */
	send_one(&path[1], NIC, 0, 1);
	assert_int_equal(kept(&path[0]), 1);
	assert_int_equal(kept(&peer), 1);
	assert_int_equal(kept(&other), 2);
}

static void a_frame_to_the_own_vnic_is_same_port(void **state)
{
	(void)state;
	send_one(&path[1], NIC, NIC, 0);
	assert_int_equal(kept(&path[0]), 0);
	assert_int_equal(tx_drops(outer, VSW_DROP_SAME_PORT), 1);
	assert_int_equal(tx_drops(&path[1].port, VSW_DROP_SAME_PORT), 1);
	assert_int_equal(tx_drops(&path[0].port, VSW_DROP_SAME_PORT), 0);
}

static void an_invalid_source_is_refused_on_a_path_too(void **state)
{
	struct frame f;
	struct pkt pkt, *p = &pkt;

	(void)state;
	frame_udp(&f, NIC, PEER, 20);
	f.data[6] |= 1;
	pkt_of_frame(&pkt, &f, 0);
	assert_int_equal(vsw_send(&path[0].port, &p, 1), 1);
	assert_int_equal(tx_drops(outer, VSW_DROP_SRC_INVALID), 1);
	assert_int_equal(kept(&peer), 0);
}

static void a_path_belongs_to_one_place_at_a_time(void **state)
{
	struct vsw_nic_conf conf = nic_conf(9);
	struct test_port more[3];
	struct vsw_nic *second;

	(void)state;
	second = vsw_nic_new(&conf);
	assert_non_null(second);
	assert_int_equal(vsw_nic_path_add(second, &path[0].port), -EBUSY);
	assert_int_equal(vsw_nic_path_add(second, &peer.port), -EBUSY);
	assert_int_equal(vsw_nic_path_add(second, outer), -EBUSY);
	assert_int_equal(vsw_port_attach(net, &path[0].port), -EBUSY);
	for (unsigned int i = 0; i < 3; i++) {
		test_port_init(&more[i], NIC);
		assert_int_equal(vsw_nic_path_add(nic, &more[i].port), i < 2 ? 0 : -ENOSPC);
	}
	assert_ptr_equal(vsw_nic_of(&more[0].port), nic);
	assert_null(vsw_nic_of(&more[2].port));
	vsw_nic_path_del(nic, &more[0].port);
	vsw_nic_path_del(nic, &more[1].port);
	assert_null(vsw_nic_of(&more[0].port));
	/* Free again for somebody else. */
	assert_int_equal(vsw_nic_path_add(second, &more[0].port), 0);
	vsw_nic_path_del(second, &more[0].port);
	vsw_nic_free(second);
	vsw_nic_free(NULL);
}

static void a_bad_configuration_is_refused(void **state)
{
	struct vsw_nic_conf conf = nic_conf(9);

	(void)state;
	conf.name = "";
	assert_null(vsw_nic_new(&conf));
	assert_int_equal(errno, EINVAL);
	conf = nic_conf(9);
	conf.name = NULL;
	assert_null(vsw_nic_new(&conf));
	conf = nic_conf(9);
	conf.worker = NULL;
	assert_null(vsw_nic_new(&conf));
	conf = nic_conf(9);
	conf.mac[0] |= 1;
	assert_null(vsw_nic_new(&conf));
}

static void set_mtu(struct vsw_nic_conf *conf)
{
	conf->mtu = 1300;
}

static void a_path_without_an_mtu_has_the_vnics(void **state)
{
	(void)state;
	assert_int_equal(vsw_port_mtu(&path[0].port), 1400);
	drop_nic();
	make_nic(set_mtu);
	assert_int_equal(vsw_port_mtu(&path[0].port), 1300);
	path[1].port.mtu = 9000;
	assert_int_equal(vsw_port_mtu(&path[1].port), 9000);
}

static void a_path_that_was_removed_sends_to_nobody(void **state)
{
	(void)state;
	vsw_nic_path_del(nic, &path[0].port);
	assert_null(info().path);
	send_one(&path[0], NIC, PEER, 0);
	assert_int_equal(kept(&peer), 0);
	assert_int_equal(tx_drops(&path[0].port, VSW_DROP_NO_PORT), 1);
	assert_int_equal(atomic_load(&outer->stats.tx_packets), 0);
	/* It was the receiving one. */
	send_numbers(0, 1);
	assert_int_equal(kept(&path[0]), 0);
	assert_int_equal(drops(outer, VSW_DROP_LINK_DOWN), 1);
}

/* ---- Links and nobody --------------------------------------------------------------------- */

static void the_vnics_link_stops_both_ways_on_all_paths(void **state)
{
	(void)state;
	vsw_nic_link_set(nic, false);
	assert_false(vsw_port_takes(outer));
	for (unsigned int i = 0; i < 2; i++)
		send_one(&path[i], NIC, PEER, i);
	send_numbers(0, 1);
	send_one(&peer, PEER, 0, 1);
	assert_int_equal(kept(&peer), 0);
	assert_int_equal(kept(&path[0]), 0);
	assert_int_equal(tx_drops(outer, VSW_DROP_LINK_DOWN), 2);
	assert_int_equal(drops(outer, VSW_DROP_LINK_DOWN), 1);
	vsw_nic_link_set(nic, true);
	send_numbers(0, 1);
	expect_numbers(&path[0], 0, 1);
}

static void a_paths_own_link_stops_neither_way(void **state)
{
	(void)state;
	atomic_store(&path[0].port.link, false);
	vsw_port_wake(&path[0].port);
	send_numbers(0, 1);
	expect_numbers(&path[0], 0, 1);
	send_one(&path[0], NIC, PEER, 0);
	expect_numbers(&peer, 0, 1);
}

static void without_parking_what_nobody_takes_is_link_down(void **state)
{
	(void)state;
	vsw_nic_receive(nic, NULL, false);
	assert_false(vsw_port_takes(outer));
	send_numbers(0, 2);
	vsw_nic_receive(nic, &path[1].port, false);
	atomic_store(&path[1].port.receiving, false);
	assert_false(vsw_port_takes(&path[1].port));
	send_numbers(2, 1);
	assert_int_equal(drops(outer, VSW_DROP_LINK_DOWN), 3);
	assert_int_equal(tx_drops(&peer.port, VSW_DROP_LINK_DOWN), 3);
	assert_int_equal(drops(&path[1].port, VSW_DROP_LINK_DOWN), 0);
	assert_int_equal(info().parked, 0);
	/* A flood goes past it. */
	send_one(&peer, PEER, 0, 4);
	assert_int_equal(drops(outer, VSW_DROP_LINK_DOWN), 3);
	assert_int_equal(kept(&other), 1);
}

static void receive_turned_off_in_a_delivery_drops_the_rest_as_link_down(void **state)
{
	struct frame f[4];
	struct pkt pkt[4], *p[4];

	(void)state;
	for (unsigned int i = 0; i < 4; i++) {
		frame_udp(&f[i], PEER, NIC, 20 + i);
		pkt_of_frame(&pkt[i], &f[i], 0);
		p[i] = &pkt[i];
	}
	path[0].stop_after = 2;
	/* The sender is not made to wait for what will not come. */
	assert_int_equal(vsw_send(&peer.port, p, 4), 4);
	expect_numbers(&path[0], 0, 2);
	assert_int_equal(drops(outer, VSW_DROP_LINK_DOWN), 2);
	assert_int_equal(tx_drops(&peer.port, VSW_DROP_LINK_DOWN), 2);
	/* The same for a port that is no vNIC, and for floods. */
	for (unsigned int i = 0; i < 4; i++)
		frame_mac(pkt[i].hdr, 3);
	other.stop_after = 1;
	assert_int_equal(vsw_send(&peer.port, p, 4), 4);
	assert_int_equal(kept(&other), 1);
	assert_int_equal(drops(&other.port, VSW_DROP_LINK_DOWN), 3);
	atomic_store(&other.port.receiving, true);
	for (unsigned int i = 0; i < 4; i++)
		memset(pkt[i].hdr, 0xff, 6);
	other.stop_after = 1;
	assert_int_equal(vsw_send(&peer.port, p, 4), 4);
	assert_int_equal(drops(&other.port, VSW_DROP_LINK_DOWN), 6);
	assert_int_equal(drops(&other.port, VSW_DROP_NO_BUFFER), 0);
}

static void no_buffer_is_counted_once_at_path_and_vnic(void **state)
{
	(void)state;
	path[0].room = 0;
	assert_int_equal(send_flags(&peer, PEER, NIC, 0, PKT_NO_WAIT), 1);
	send_one(&peer, PEER, 0, 1);
	assert_int_equal(drops(&path[0].port, VSW_DROP_NO_BUFFER), 2);
	assert_int_equal(drops(outer, VSW_DROP_NO_BUFFER), 2);
	assert_int_equal(drops(&path[1].port, VSW_DROP_NO_BUFFER), 0);
	assert_int_equal(send_flags(&peer, PEER, NIC, 0, 0), 0);
	assert_int_equal(atomic_load(&peer.port.stats.tx_waits), 1);
}

/* ---- Parking ------------------------------------------------------------------------------ */

static void parked_frames_come_first_and_in_order(void **state)
{
	struct vsw_nic_info i;

	(void)state;
	vsw_nic_receive(nic, NULL, true);
	assert_true(vsw_port_takes(outer));
	send_numbers(0, 40);
	i = info();
	assert_int_equal(i.parked, 40);
	assert_int_equal(i.parked_now, 40);
	assert_true(i.parked_bytes_now > 40 * 60);
	assert_int_equal(atomic_load(&outer->stats.rx_packets), 0);
	vsw_nic_receive(nic, &path[1].port, true);
	send_numbers(40, 40);
	expect_numbers(&path[1], 0, 80);
	assert_int_equal(kept(&path[0]), 0);
	assert_true(wait_until(!info().parked_now, WAIT_MS));
	i = info();
	assert_int_equal(i.parked_bytes_now, 0);
	assert_int_equal(i.park_lost, 0);
	assert_true(i.park_longest_ns > 0);
	assert_int_equal(atomic_load(&outer->stats.rx_packets), 80);
	assert_int_equal(atomic_load(&path[1].port.stats.rx_packets), 80);
	assert_int_equal(drops(outer, VSW_DROP_LINK_DOWN), 0);
	/* From here on nothing is copied any more. */
	test_port_clear(&path[1]);
	send_numbers(80, 1);
	assert_int_equal(kept(&path[1]), 1);
}

static void parked_frames_go_when_the_chosen_path_begins_to_receive(void **state)
{
	(void)state;
	atomic_store(&path[0].port.receiving, false);
	vsw_nic_receive(nic, &path[0].port, true);
	send_numbers(0, 3);
	flush();
	assert_int_equal(kept(&path[0]), 0);
	/* As a device does it: the word, then the wake. */
	atomic_store(&path[0].port.receiving, true);
	vsw_port_wake(&path[0].port);
	expect_numbers(&path[0], 0, 3);
}

static void a_flood_is_parked_too(void **state)
{
	(void)state;
	vsw_nic_receive(nic, NULL, true);
	send_one(&peer, PEER, 0, 0);
	send_one(&path[0], NIC, 0, 1); /* its own: not */
	assert_int_equal(info().parked_now, 1);
	vsw_nic_receive(nic, &path[0].port, false);
	expect_numbers(&path[0], 0, 1);
}

static void receive_turned_off_in_a_delivery_parks_the_rest(void **state)
{
	(void)state;
	vsw_nic_receive(nic, &path[0].port, true);
	path[0].stop_after = 2;
	send_numbers(0, 5);
	expect_numbers(&path[0], 0, 2);
	assert_int_equal(info().parked, 3);
	assert_int_equal(atomic_load(&peer.port.stats.tx_waits), 0);
	vsw_nic_receive(nic, &path[1].port, true);
	expect_numbers(&path[1], 2, 3);
	assert_int_equal(atomic_load(&outer->stats.rx_packets), 5);
}

static void the_worker_waits_for_buffers(void **state)
{
	(void)state;
	vsw_nic_receive(nic, NULL, true);
	send_numbers(0, 50);
	path[0].room = 0;
	vsw_nic_receive(nic, &path[0].port, true);
	for (unsigned int n = 0; n < 50; n += 5) {
		flush();
		assert_int_equal(kept(&path[0]), n);
		test_port_refill(&path[0], 5);
		assert_true(wait_until(kept(&path[0]) == n + 5, WAIT_MS));
	}
	expect_numbers(&path[0], 0, 50);
	/* A sender that comes meanwhile stays behind. */
	vsw_nic_receive(nic, NULL, true);
	send_numbers(50, 1);
	vsw_nic_receive(nic, &path[0].port, false);
	flush();
	send_numbers(51, 1);
	assert_int_equal(info().parked_now, 2);
	test_port_refill(&path[0], 10);
	expect_numbers(&path[0], 0, 52);
}

/* A TCP packet of 10 segments from the peer to the vNIC; @f stays its memory. */
static void big_packet(struct frame *f, struct pkt *pkt)
{
	struct frame_spec s = {.ip = 4, .proto = IPPROTO_TCP, .sport = 1, .dport = 2,
			       .payload_len = 10000, .tcp_flags = 0x18};

	frame_addr(&s, PEER, NIC);
	frame_build(f, &s);
	pkt_of_frame(pkt, f, 999);
	pkt->flags = PKT_GSO_TCP;
	pkt->gso_size = 1000;
}

/* The segments [first, last) of @f lie in @t from @at on. */
static void expect_segments(struct test_port *t, unsigned int at, const struct frame *f,
			    uint32_t first, uint32_t last)
{
	static struct frame seg;

	for (uint32_t i = first; i < last; i++, at++) {
		assert_true(frame_segment(f, 1000, i, &seg));
		assert_true(wait_until(kept(t) > at, WAIT_MS));
		assert_int_equal(t->frame[at].len, seg.len);
		assert_memory_equal(t->frame[at].data, seg.data, seg.len);
	}
}

static void debts_survive_parking(void **state)
{
	static struct frame f;
	struct pkt pkt, *p = &pkt;

	(void)state;
	big_packet(&f, &pkt);
	vsw_nic_receive(nic, NULL, true);
	assert_int_equal(vsw_send(&peer.port, &p, 1), 1);
	/* The sender has its memory back. */
	memset(f.data, 0xee, f.len);
	big_packet(&f, &pkt);
	pkt.flags |= PKT_VLAN;
	pkt.vlan_tci = 0x2005;
	assert_int_equal(vsw_send(&peer.port, &p, 1), 1);
	atomic_store(&path[0].port.caps, VSW_CAP_VLAN);
	vsw_nic_receive(nic, &path[0].port, false);
	expect_segments(&path[0], 0, &f, 0, 10);
	expect_segments(&path[0], 10, &f, 0, 10);
	assert_int_equal(path[0].frame[9].flags & PKT_VLAN, 0);
	assert_int_equal(path[0].frame[10].flags & PKT_VLAN, PKT_VLAN);
	assert_int_equal(path[0].frame[10].vlan_tci, 0x2005);
	/* One that takes large packets gets it whole. */
	vsw_nic_receive(nic, NULL, true);
	big_packet(&f, &pkt);
	assert_int_equal(vsw_send(&peer.port, &p, 1), 1);
	atomic_store(&path[1].port.caps, VSW_CAP_CSUM | VSW_CAP_TSO4);
	vsw_nic_receive(nic, &path[1].port, false);
	assert_true(wait_until(kept(&path[1]) == 1, WAIT_MS));
	assert_int_equal(path[1].frame[0].len, f.len);
	assert_int_equal(path[1].frame[0].gso_size, 1000);
}

static void a_packet_delivered_in_part_goes_on_elsewhere(void **state)
{
	static struct frame f;
	struct pkt pkt, *p = &pkt;

	(void)state;
	big_packet(&f, &pkt);
	vsw_nic_receive(nic, &path[0].port, true);
	path[0].stop_after = 3;
	assert_int_equal(vsw_send(&peer.port, &p, 1), 1);
	expect_segments(&path[0], 0, &f, 0, 3);
	/* Then from the park: three to the other one, which has no more buffers, then back. */
	path[1].room = 3;
	vsw_nic_receive(nic, &path[1].port, true);
	expect_segments(&path[1], 0, &f, 3, 6);
	flush();
	atomic_store(&path[0].port.receiving, true);
	vsw_nic_receive(nic, &path[0].port, true);
	expect_segments(&path[0], 3, &f, 6, 10);
	assert_int_equal(kept(&path[0]), 7);
	assert_int_equal(kept(&path[1]), 3);
	assert_int_equal(atomic_load(&outer->stats.rx_packets), 10);
	assert_int_equal(atomic_load(&peer.port.stats.tx_packets), 10);
}

static void the_rest_of_a_packet_that_is_dropped_is_counted_in_frames(void **state)
{
	static struct frame f;
	struct pkt pkt, *p = &pkt;

	(void)state;
	big_packet(&f, &pkt);
	vsw_nic_receive(nic, &path[0].port, true);
	path[0].stop_after = 3;
	assert_int_equal(vsw_send(&peer.port, &p, 1), 1);
	vsw_nic_receive(nic, NULL, false);
	assert_true(wait_until(drops(outer, VSW_DROP_LINK_DOWN) == 7, WAIT_MS));
	assert_int_equal(info().park_lost, 1);
}

static void small_park(struct vsw_nic_conf *conf)
{
	conf->park_bytes = 4096;
}

static void small_and_short(struct vsw_nic_conf *conf)
{
	conf->park_bytes = 4096;
	conf->park_ms = 700;
}

static void a_full_park_makes_the_sender_wait(void **state)
{
	uint32_t n = 0;

	(void)state;
	drop_nic();
	make_nic(small_park);
	vsw_nic_receive(nic, NULL, true);
	while (send_flags(&peer, PEER, NIC, n, 0) == 1 && n < 100)
		n++;
	assert_true(n > 10 && n < 100);
	assert_true(info().parked_bytes_now <= 4096);
	assert_int_equal(atomic_load(&peer.port.stats.tx_waits), 1);
	/* Who does not wait is dropped, at the vNIC: no path had a say. */
	assert_int_equal(send_flags(&peer, PEER, NIC, n, PKT_NO_WAIT), 1);
	assert_int_equal(drops(outer, VSW_DROP_NO_BUFFER), 1);
	assert_int_equal(drops(&path[0].port, VSW_DROP_NO_BUFFER), 0);
	assert_int_equal(info().parked_now, n);
	vsw_nic_receive(nic, &path[0].port, true);
	expect_numbers(&path[0], 0, n);
}

struct waiting {
	struct vsw_waiter w;
	struct test_port port;
	_Atomic unsigned int wakes, sent;
	bool waits;
};

static void count_wake(struct vsw_waiter *w)
{
	atomic_fetch_add(&((struct waiting *)w->arg)->wakes, 1);
}

/* On the worker: sends to the vNIC until it is told to wait, then waits. */
static void send_and_wait(void *arg)
{
	struct waiting *x = arg;

	while (send_flags(&x->port, 5, NIC, atomic_load(&x->sent), 0) == 1)
		atomic_fetch_add(&x->sent, 1);
	x->waits = vsw_wait(&x->w, outer);
}

static void cancel_wait(void *arg)
{
	vsw_wait_cancel(&((struct waiting *)arg)->w);
}

static void who_waits_for_a_vnic_is_woken_by(void (*what)(void))
{
	struct waiting *x = calloc(1, sizeof(*x));

	test_port_init(&x->port, 5);
	assert_int_equal(vsw_port_attach(net, &x->port.port), 0);
	x->w = (struct vsw_waiter){.wake = count_wake, .arg = x, .worker = worker};
	worker_call(worker, send_and_wait, x);
	assert_true(x->waits);
	flush();
	assert_int_equal(atomic_load(&x->wakes), 0);
	what();
	assert_true(wait_until(atomic_load(&x->wakes) == 1, WAIT_MS));
	worker_call(worker, cancel_wait, x);
	vsw_port_detach(&x->port.port);
	test_port_clear(&x->port);
	free(x);
}

static void new_buffers(void)
{
	test_port_refill(&path[0], 1);
}

static void another_path(void)
{
	vsw_nic_receive(nic, &path[1].port, true);
}

static void receive_off(void)
{
	atomic_store(&path[0].port.receiving, false);
	vsw_port_wake(&path[0].port);
}

static void just_time(void)
{
}

static void path_gone(void)
{
	vsw_nic_path_del(nic, &path[0].port);
}

static void link_down(void)
{
	vsw_nic_link_set(nic, false);
}

static void whatever_changes_wakes_waiting_senders(void **state)
{
	void (*const changes[])(void) = {new_buffers, another_path, receive_off, link_down,
					 path_gone};

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(changes); i++) {
		path[0].room = 3;
		path[0].keep = false;
		atomic_store(&path[0].port.receiving, true);
		vsw_nic_link_set(nic, true);
		vsw_nic_receive(nic, &path[0].port, false);
		who_waits_for_a_vnic_is_woken_by(changes[i]);
	}
}

static void room_in_the_park_wakes_waiting_senders(void **state)
{
	(void)state;
	drop_nic();
	make_nic(small_park);
	vsw_nic_receive(nic, NULL, true);
	who_waits_for_a_vnic_is_woken_by(another_path);
}

static void choose_then_send_and_wait(void *arg)
{
	vsw_nic_receive(nic, &path[0].port, true);
	send_and_wait(arg);
}

static void what_is_handed_over_makes_room(void **state)
{
	struct waiting *x = calloc(1, sizeof(*x));

	(void)state;
	drop_nic();
	make_nic(small_park);
	test_port_init(&x->port, 5);
	assert_int_equal(vsw_port_attach(net, &x->port.port), 0);
	x->w = (struct vsw_waiter){.wake = count_wake, .arg = x, .worker = worker};
	vsw_nic_receive(nic, NULL, true);
	worker_call(worker, send_and_wait, x);
	worker_call(worker, cancel_wait, x);
	/* Full still when it asks again, after the change of path: only the room is left to tell. */
	worker_call(worker, choose_then_send_and_wait, x);
	assert_true(x->waits);
	assert_true(wait_until(atomic_load(&x->wakes) == 1, WAIT_MS));
	worker_call(worker, cancel_wait, x);
	assert_int_equal(kept(&path[0]), atomic_load(&x->sent));
	vsw_port_detach(&x->port.port);
	test_port_clear(&x->port);
	free(x);
}

static void time_makes_room_too(void **state)
{
	(void)state;
	drop_nic();
	make_nic(small_and_short);
	vsw_nic_receive(nic, NULL, true);
	who_waits_for_a_vnic_is_woken_by(just_time);
}

static void short_stay(struct vsw_nic_conf *conf)
{
	conf->park_ms = 5;
}

static void a_parked_frame_does_not_stay_for_ever(void **state)
{
	(void)state;
	drop_nic();
	make_nic(short_stay);
	vsw_nic_receive(nic, NULL, true);
	send_numbers(0, 3);
	assert_true(wait_until(drops(outer, VSW_DROP_LINK_DOWN) == 3, WAIT_MS));
	assert_int_equal(info().park_lost, 3);
	assert_int_equal(info().parked_now, 0);
	/* With a path that takes but has no buffer it is for want of one. */
	path[0].room = 0;
	send_numbers(3, 1);
	vsw_nic_receive(nic, &path[0].port, true);
	assert_true(wait_until(drops(outer, VSW_DROP_NO_BUFFER) +
					       drops(outer, VSW_DROP_LINK_DOWN) ==
				       4,
			       WAIT_MS));
	assert_int_equal(info().park_lost, 4);
	/* And the way is free again. */
	test_port_refill(&path[0], 1);
	send_numbers(4, 1);
	expect_numbers(&path[0], 4, 1);
}

static void switching_parking_off_drops_what_is_parked(void **state)
{
	(void)state;
	vsw_nic_receive(nic, NULL, true);
	send_numbers(0, 3);
	vsw_nic_receive(nic, NULL, false);
	/* Meant for the bin, also when a path comes before the worker had a look. */
	vsw_nic_receive(nic, &path[0].port, true);
	assert_true(wait_until(drops(outer, VSW_DROP_LINK_DOWN) == 3, WAIT_MS));
	assert_int_equal(kept(&path[0]), 0);
	assert_int_equal(info().park_lost, 3);
	send_numbers(3, 2);
	expect_numbers(&path[0], 3, 2);
}

static void a_path_chosen_without_parking_still_gets_what_was_parked(void **state)
{
	(void)state;
	vsw_nic_receive(nic, NULL, true);
	send_numbers(0, 3);
	vsw_nic_receive(nic, &path[1].port, false);
	expect_numbers(&path[1], 0, 3);
	assert_int_equal(drops(outer, VSW_DROP_LINK_DOWN), 0);
}

static void removing_the_receiving_path_parks_on(void **state)
{
	(void)state;
	vsw_nic_receive(nic, &path[0].port, true);
	vsw_nic_path_del(nic, &path[0].port);
	assert_null(info().path);
	assert_true(info().park);
	send_numbers(0, 2);
	vsw_nic_receive(nic, &path[1].port, true);
	expect_numbers(&path[1], 0, 2);
	/* One that does not receive may go unnoticed. */
	assert_int_equal(vsw_nic_path_add(nic, &path[0].port), 0);
	vsw_nic_path_del(nic, &path[0].port);
	assert_ptr_equal(info().path, &path[1].port);
}

static void parked_frames_stay_while_the_vnics_link_is_down(void **state)
{
	(void)state;
	vsw_nic_receive(nic, NULL, true);
	send_numbers(0, 2);
	vsw_nic_link_set(nic, false);
	vsw_nic_receive(nic, &path[0].port, true);
	flush();
	assert_int_equal(kept(&path[0]), 0);
	vsw_nic_link_set(nic, true);
	expect_numbers(&path[0], 0, 2);
}

static void detaching_drops_what_is_parked(void **state)
{
	(void)state;
	vsw_nic_receive(nic, NULL, true);
	send_numbers(0, 3);
	vsw_port_detach(outer);
	assert_true(wait_until(drops(outer, VSW_DROP_LINK_DOWN) == 3, WAIT_MS));
	assert_int_equal(vsw_port_attach(net, outer), 0);
	vsw_nic_receive(nic, &path[0].port, true);
	send_numbers(3, 1);
	expect_numbers(&path[0], 3, 1);
}

/* ---- Everything at once ------------------------------------------------------------------- */

/*
 * Two paths of one vNIC send TCP streams, each from its own worker, to another vNIC. Meanwhile
 * that one's paths turn receive off and on and run out of buffers (the guest thread), and the
 * control thread chooses, removes and adds paths at both ends, with parking and without. Every
 * frame that was accepted arrives once and in its stream's order, or is counted as a drop.
 */
#define MSS	    100
#define MAX_PAYLOAD 500
#define TURNS	    3000
#define STREAMS	    2

struct stream {
	struct vsw_port port; /* sends only */
	struct worker *worker;
	struct vsw_waiter waiter;
	struct rng rng;
	struct frame frame;
	struct pkt pkt;
	bool pending;	 /* @pkt was told to wait */
	uint32_t seq;	 /* of the next packet */
	uint64_t frames; /* accepted */
	_Atomic bool idle;
};

struct sink {
	struct vsw_port port;
	pthread_mutex_t lock;
	int room;
};

static struct stream stream[STREAMS];
static struct sink sink[2];
static _Atomic bool stop, stop_guest;
/* What has arrived, whichever path it came by: next byte of each stream, frames. */
static _Atomic uint32_t arrived_to[STREAMS];
static _Atomic uint64_t arrived, disorder;

static void arrive(const struct vsw_frame *f)
{
	unsigned int i = be16_load(f->hdr + f->l4_off) - 1u;
	uint32_t seq = be32_load(f->hdr + f->l4_off + 4);

	if (i >= STREAMS || (int32_t)(seq - atomic_load(&arrived_to[i])) < 0)
		atomic_fetch_add(&disorder, 1);
	else
		atomic_store(&arrived_to[i], seq + f->payload_len);
	atomic_fetch_add(&arrived, 1);
}

static unsigned int sink_deliver(struct vsw_port *port, struct pkt **pkts, unsigned int n)
{
	struct sink *k = CONTAINER_OF(port, struct sink, port);
	uint64_t packets = 0;
	unsigned int i;

	pthread_mutex_lock(&k->lock);
	for (i = 0; i < n; i++) {
		struct vsw_settle s;
		struct vsw_frame f;

		if (vsw_settle_begin(&s, pkts[i], 0, 0) != VSW_DROP_NONE)
			abort();
		while (vsw_settle_next(&s, &f)) {
			if (!k->room || !atomic_load(&port->receiving)) {
				vsw_settle_stop(&s);
				goto out;
			}
			k->room--;
			arrive(&f);
			packets++;
		}
	}
out:
	pthread_mutex_unlock(&k->lock);
	vsw_port_received(port, packets, packets);
	return i;
}

static unsigned int no_deliver(struct vsw_port *port, struct pkt **pkts, unsigned int n)
{
	(void)port;
	(void)pkts;
	return n;
}

static const struct vsw_port_ops sink_ops = {.deliver = sink_deliver};
static const struct vsw_port_ops source_ops = {.deliver = no_deliver};

static void next_packet(struct stream *s)
{
	uint32_t payload = 1 + rng_below(&s->rng, MAX_PAYLOAD);
	struct iovec iov = {s->frame.data, s->frame.payload + payload};

	be32_store(s->frame.data + s->frame.l4 + 4, s->seq);
	if (pkt_from_iov(&s->pkt, &iov, 1))
		abort();
	s->pkt.flags = PKT_GSO_TCP;
	s->pkt.gso_size = MSS;
	s->pending = true;
}

/* A turn of a sender's queue: some packets, then the worker's other business. */
static void pump(void *arg)
{
	struct stream *s = arg;
	struct pkt *p = &s->pkt;

	for (unsigned int i = 0; i < 32; i++) {
		if (!s->pending && atomic_load(&stop)) {
			atomic_store(&s->idle, true);
			return;
		}
		if (!s->pending)
			next_packet(s);
		s->pkt.flags &= ~PKT_NO_WAIT;
		s->pkt.flags |= rng_below(&s->rng, 50) ? 0 : PKT_NO_WAIT;
		if (vsw_send(&s->port, &p, 1) == 1) {
			s->seq += s->pkt.len - s->pkt.payload_off;
			s->frames += pkt_n_segs(&s->pkt);
			s->pending = false;
		} else if (vsw_wait(&s->waiter, p->waits_for)) {
			return;
		}
	}
	if (worker_post(s->worker, pump, s))
		abort();
}

static void pump_woken(struct vsw_waiter *w)
{
	pump(w->arg);
}

static void *moody_guest(void *arg)
{
	struct rng r = {.s = 11};

	(void)arg;
	test_thread_register();
	while (!atomic_load(&stop_guest)) {
		struct sink *k = &sink[rng_below(&r, 2)];

		switch (rng_below(&r, 8)) {
		case 0:
			atomic_store(&k->port.receiving, false);
			break;
		case 1:
		case 2:
			atomic_store(&k->port.receiving, true);
			break;
		default:
			pthread_mutex_lock(&k->lock);
			k->room = (int)rng_below(&r, 2000);
			pthread_mutex_unlock(&k->lock);
		}
		vsw_port_wake(&k->port);
		sched_yield();
	}
	test_thread_unregister();
	return NULL;
}

static void control_turn(struct rng *r, struct vsw_nic *from, struct vsw_nic *to)
{
	unsigned int i = rng_below(r, 2);
	struct vsw_port *k = &sink[i].port, *s = &stream[i].port;

	switch (rng_below(r, 32)) {
	case 0:
		vsw_nic_path_del(from, s);
		assert_int_equal(vsw_nic_path_add(from, s), 0);
		break;
	case 1:
	case 2:
	case 3:
		vsw_nic_path_del(to, k);
		assert_int_equal(vsw_nic_path_add(to, k), 0);
		break;
	case 4:
		vsw_nic_link_set(to, false);
		vsw_nic_link_set(to, true);
		break;
	case 5:
		vsw_nic_receive(to, NULL, rng_below(r, 2));
		break;
	case 6:
	case 7:
	case 8:
	case 9:
		vsw_nic_receive(to, NULL, true);
		break;
	default:
		vsw_nic_receive(to, k, rng_below(r, 32));
	}
}

static uint64_t all_drops(struct vsw_port *p)
{
	uint64_t n = 0;

	for (unsigned int i = 0; i < VSW_N_DROPS; i++)
		n += atomic_load(&p->stats.drops[i]);
	return n;
}

static struct vsw_nic *stress_nic(unsigned int host, struct worker *w, struct vsw_port *a,
				  struct vsw_port *b)
{
	struct vsw_nic_conf conf = {
		.name = "stress", .worker = w, .park_bytes = 64 << 10, .park_ms = 20};
	struct vsw_nic *n;

	frame_mac(conf.mac, host);
	n = vsw_nic_new(&conf);
	assert_non_null(n);
	assert_int_equal(vsw_nic_path_add(n, a), 0);
	assert_int_equal(vsw_nic_path_add(n, b), 0);
	assert_int_equal(vsw_port_attach(net, vsw_nic_port(n)), 0);
	return n;
}

static void nothing_is_lost_twice_or_out_of_order_while_everything_changes(void **state)
{
	struct frame_spec fs = {.ip = 4, .proto = IPPROTO_TCP, .payload_len = MAX_PAYLOAD};
	struct worker_conf wc = {.name = "w1"};
	struct worker *second = worker_new(&wc);
	struct vsw_nic *from, *to;
	struct vsw_nic_info end;
	struct rng r = {.s = 7};
	uint64_t accepted = 0, unsent = 0, turned_away;
	pthread_t guest;

	(void)state;
	assert_non_null(second);
	frame_addr(&fs, 6, 7);
	for (unsigned int i = 0; i < STREAMS; i++) {
		struct stream *s = &stream[i];

		s->worker = i ? second : worker;
		s->waiter = (struct vsw_waiter){.wake = pump_woken, .arg = s, .worker = s->worker};
		s->rng.s = i;
		vsw_port_init(&s->port, &source_ops, "source", NULL);
		vsw_port_init(&sink[i].port, &sink_ops, "sink", NULL);
		pthread_mutex_init(&sink[i].lock, NULL);
		atomic_store(&sink[i].port.receiving, true);
		fs.sport = (uint16_t)(i + 1);
		frame_build(&s->frame, &fs);
	}
	from = stress_nic(6, worker, &stream[0].port, &stream[1].port);
	to = stress_nic(7, second, &sink[0].port, &sink[1].port);
	vsw_nic_receive(to, &sink[0].port, true);
	assert_int_equal(pthread_create(&guest, NULL, moody_guest, NULL), 0);
	for (unsigned int i = 0; i < STREAMS; i++)
		assert_int_equal(worker_post(stream[i].worker, pump, &stream[i]), 0);

	for (unsigned int i = 0; i < TURNS; i++) {
		control_turn(&r, from, to);
		wait_breathe(i % 4 ? 0 : 64);
	}
	/* The end: everything that is still somewhere gets through, or its time is up. */
	atomic_store(&stop, true);
	vsw_nic_receive(to, &sink[0].port, true);
	assert_true(wait_until(atomic_load(&stream[0].idle) && atomic_load(&stream[1].idle),
			       WAIT_MS));
	assert_true(wait_until((vsw_nic_get_info(to, &end), !end.parked_now), WAIT_MS));
	atomic_store(&stop_guest, true);
	pthread_join(guest, NULL);
	/* What was taken out last has been counted. */
	worker_call(second, nothing, NULL);

	for (unsigned int i = 0; i < STREAMS; i++) {
		accepted += stream[i].frames;
		/* Not a path of anybody's at that moment. */
		unsent += atomic_load(&stream[i].port.stats.tx_drops[VSW_DROP_NO_PORT]);
		assert_int_equal(atomic_load(&stream[i].port.stats.tx_packets), stream[i].frames);
	}
	turned_away = all_drops(vsw_nic_port(to));
	print_message("%llu frames: %llu arrived, %llu dropped, %llu from nowhere; %llu packets "
		      "parked, %llu of them lost, %llu switches\n",
		      (unsigned long long)accepted, (unsigned long long)atomic_load(&arrived),
		      (unsigned long long)turned_away, (unsigned long long)unsent,
		      (unsigned long long)end.parked, (unsigned long long)end.park_lost,
		      (unsigned long long)end.switches);
	assert_int_equal(atomic_load(&disorder), 0);
	assert_int_equal(accepted, atomic_load(&arrived) + turned_away + unsent);
	assert_int_equal(atomic_load(&vsw_nic_port(to)->stats.rx_packets), atomic_load(&arrived));
	assert_true(atomic_load(&arrived) > 0 && end.parked > 0 && end.switches > 100);

	vsw_port_detach(vsw_nic_port(from));
	vsw_port_detach(vsw_nic_port(to));
	for (unsigned int i = 0; i < 2; i++) {
		vsw_nic_path_del(from, &stream[i].port);
		vsw_nic_path_del(to, &sink[i].port);
	}
	vsw_nic_free(from);
	vsw_nic_free(to);
	worker_free(second);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_path_sends_in_the_name_of_its_vnic),
		T(only_the_chosen_path_receives),
		T(a_flood_reaches_the_chosen_path_and_never_its_own_vnic),
		T(a_frame_to_the_own_vnic_is_same_port),
		T(an_invalid_source_is_refused_on_a_path_too),
		T(a_path_belongs_to_one_place_at_a_time),
		T(a_bad_configuration_is_refused),
		T(a_path_without_an_mtu_has_the_vnics),
		T(a_path_that_was_removed_sends_to_nobody),
		T(the_vnics_link_stops_both_ways_on_all_paths),
		T(a_paths_own_link_stops_neither_way),
		T(without_parking_what_nobody_takes_is_link_down),
		T(receive_turned_off_in_a_delivery_drops_the_rest_as_link_down),
		T(no_buffer_is_counted_once_at_path_and_vnic),
		T(parked_frames_come_first_and_in_order),
		T(parked_frames_go_when_the_chosen_path_begins_to_receive),
		T(a_flood_is_parked_too),
		T(receive_turned_off_in_a_delivery_parks_the_rest),
		T(the_worker_waits_for_buffers),
		T(debts_survive_parking),
		T(a_packet_delivered_in_part_goes_on_elsewhere),
		T(the_rest_of_a_packet_that_is_dropped_is_counted_in_frames),
		T(a_full_park_makes_the_sender_wait),
		T(whatever_changes_wakes_waiting_senders),
		T(room_in_the_park_wakes_waiting_senders),
		T(what_is_handed_over_makes_room),
		T(time_makes_room_too),
		T(a_parked_frame_does_not_stay_for_ever),
		T(switching_parking_off_drops_what_is_parked),
		T(a_path_chosen_without_parking_still_gets_what_was_parked),
		T(removing_the_receiving_path_parks_on),
		T(parked_frames_stay_while_the_vnics_link_is_down),
		T(detaching_drops_what_is_parked),
		T(nothing_is_lost_twice_or_out_of_order_while_everything_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
