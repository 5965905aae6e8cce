/* SPDX-License-Identifier: BSD-2-Clause */
/* Claims about vswitch/{vswitch,send,drop}.c and the null and loop ports. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <netinet/in.h>

#include "base/util.h"
#include "base/wire.h"
#include "vsw_fixture.h"
#include "vswitch/ports/loop.h"
#include "vswitch/ports/null.h"

#define N_FRAMES 8

static struct vsw *vsw;
static struct vsw_net *net;
static struct test_port port[4]; /* 1..3 are hosts 1..3 */
static struct frame frame[N_FRAMES];
static struct pkt pkt[N_FRAMES], *pkts[N_FRAMES];

static int setup(void **state)
{
	struct vsw_net_conf conf = {.name = "blue", .mtu = 1500};

	(void)state;
	test_thread_register();
	vsw = vsw_new();
	net = vsw_net_add(vsw, &conf);
	for (unsigned int i = 1; i <= 3; i++) {
		test_port_init(&port[i], i);
		if (vsw_port_attach(net, &port[i].port))
			return -1;
	}
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (unsigned int i = 1; i <= 3; i++) {
		vsw_port_detach(&port[i].port);
		test_port_clear(&port[i]);
	}
	assert_int_equal(vsw_net_del(net), 0);
	vsw_free(vsw);
	test_thread_unregister();
	return 0;
}

static void udp(unsigned int i, unsigned int from, unsigned int to)
{
	frame_udp(&frame[i], from, to, 50 + i);
	pkt_of_frame(&pkt[i], &frame[i], 0);
	pkts[i] = &pkt[i];
}

static unsigned int submit(unsigned int from, unsigned int n)
{
	return vsw_send(&port[from].port, pkts, n);
}

#define TX_DROPS(p, why) atomic_load(&port[p].port.stats.tx_drops[VSW_DROP_##why])
#define RX_DROPS(p, why) atomic_load(&port[p].port.stats.drops[VSW_DROP_##why])
#define STAT(p, what)	 atomic_load(&port[p].port.stats.what)

static void networks_have_names_and_are_empty_when_they_go(void **state)
{
	struct vsw_net_conf conf = {.name = "red"};
	struct vsw_net *red;

	(void)state;
	assert_ptr_equal(vsw_net_find(vsw, "blue"), net);
	assert_null(vsw_net_find(vsw, "red"));
	red = vsw_net_add(vsw, &conf);
	assert_non_null(red);
	assert_string_equal(vsw_net_name(red), "red");
	assert_int_equal(vsw_net_mtu(red), 1500);
	assert_null(vsw_net_add(vsw, &conf));
	assert_int_equal(errno, EEXIST);
	conf.name = "";
	assert_null(vsw_net_add(vsw, &conf));
	assert_int_equal(errno, EINVAL);
	assert_int_equal(vsw_net_del(net), -EBUSY);
	assert_int_equal(vsw_net_del(red), 0);
	assert_null(vsw_net_find(vsw, "red"));
}

static void an_address_is_attached_once(void **state)
{
	struct vsw_fdb_entry e[8];
	struct test_port twin;

	(void)state;
	test_port_init(&twin, 2);
	assert_int_equal(vsw_port_attach(net, &twin.port), -EEXIST);
	assert_null(atomic_load(&twin.port.net));
	assert_int_equal(vsw_port_attach(net, &port[1].port), -EBUSY);
	assert_int_equal(vsw_net_fdb(net, e, 8), 3);
	for (unsigned int i = 0; i < 3; i++)
		assert_true(e[i].fixed);
	/* After the first has gone it can be. */
	vsw_port_detach(&port[2].port);
	assert_int_equal(vsw_port_attach(net, &twin.port), 0);
	assert_int_equal(vsw_port_attach(net, &port[2].port), -EEXIST);
	vsw_port_detach(&twin.port);
	/* Detaching what is not attached is fine. */
	vsw_port_detach(&twin.port);
	assert_int_equal(vsw_port_attach(net, &port[2].port), 0);
	/* And the other two were not disturbed. */
	udp(0, 1, 2);
	assert_int_equal(submit(1, 1), 1);
	assert_int_equal(port[2].n, 1);
}

static void a_known_address_gets_its_packets_in_one_call(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 5; i++)
		udp(i, 1, 2);
	assert_int_equal(submit(1, 5), 5);
	assert_int_equal(port[2].n, 5);
	assert_int_equal(port[2].calls, 1);
	assert_int_equal(port[3].n, 0);
	assert_int_equal(port[1].n, 0);
	for (unsigned int i = 0; i < 5; i++) {
		assert_int_equal(port[2].frame[i].len, frame[i].len);
		assert_memory_equal(port[2].frame[i].data, frame[i].data, frame[i].len);
	}
	assert_int_equal(STAT(1, tx_packets), 5);
	assert_int_equal(STAT(2, rx_packets), 5);
	assert_int_equal(STAT(1, tx_bytes), STAT(2, rx_bytes));
	/* Runs are kept in order. */
	test_port_clear(&port[2]);
	udp(0, 1, 2);
	udp(1, 1, 3);
	udp(2, 1, 3);
	udp(3, 1, 2);
	assert_int_equal(submit(1, 4), 4);
	assert_int_equal(port[2].calls, 2);
	assert_int_equal(port[3].calls, 1);
	assert_int_equal(port[2].frame[0].len, frame[0].len);
	assert_int_equal(port[2].frame[1].len, frame[3].len);
}

static void a_broadcast_and_an_unknown_address_reach_everybody_else(void **state)
{
	(void)state;
	udp(0, 1, 0);
	udp(1, 1, 77);
	udp(2, 1, 2);
	frame[2].data[0] = 0x33; /* multicast */
	pkt_of_frame(&pkt[2], &frame[2], 0);
	assert_int_equal(submit(1, 3), 3);
	for (unsigned int p = 2; p <= 3; p++) {
		assert_int_equal(port[p].n, 3);
		for (unsigned int i = 0; i < 3; i++)
			assert_memory_equal(port[p].frame[i].data, frame[i].data, frame[i].len);
	}
	assert_int_equal(port[1].n, 0);
	assert_int_equal(STAT(1, tx_packets), 3);
}

static void a_source_is_learned(void **state)
{
	(void)state;
	/* Host 50 lives behind port 1 (a nested guest, say). */
	udp(0, 50, 2);
	assert_int_equal(submit(1, 1), 1);
	udp(0, 2, 50);
	assert_int_equal(submit(2, 1), 1);
	assert_int_equal(port[1].n, 1);
	assert_int_equal(port[3].n, 0);
	/* Not on other VLANs, tagged in the frame or beside it. */
	pkt[0].flags |= PKT_VLAN;
	pkt[0].vlan_tci = 0x2005;
	assert_int_equal(submit(2, 1), 1);
	assert_int_equal(port[3].n, 1);
	assert_int_equal(port[3].frame[0].len, frame[0].len + 4);
	udp(0, 50, 2);
	pkt[0].flags |= PKT_VLAN;
	pkt[0].vlan_tci = 5;
	assert_int_equal(submit(1, 1), 1);
	udp(0, 2, 50);
	memmove(frame[0].data + 16, frame[0].data + 12, frame[0].len - 12);
	memcpy(frame[0].data + 12, "\x81\x00\xe0\x05", 4);
	frame[0].len += 4;
	pkt_of_frame(&pkt[0], &frame[0], 0);
	assert_int_equal(submit(2, 1), 1);
	assert_int_equal(port[3].n, 1);
	assert_int_equal(port[1].n, 3);
	/* A port's own address is not to be had by pretending. */
	udp(0, 2, 50);
	assert_int_equal(submit(3, 1), 1);
	udp(0, 1, 2);
	assert_int_equal(submit(1, 1), 1);
	assert_int_equal(port[2].frame[port[2].n - 1].len, frame[0].len);
	assert_int_equal(port[3].n, 1);
}

static void what_cannot_be_forwarded_is_counted_by_reason(void **state)
{
	(void)state;
	udp(0, 1, 2);
	memset(pkt[0].hdr + 6, 0, 6);
	udp(1, 1, 2);
	pkt[1].hdr[6] |= 1;
	udp(2, 1, 1);
	udp(3, 1, 2);
	pkt[3].hdr[14] = 0x95;
	udp(4, 1, 2);
	assert_int_equal(submit(1, 5), 5);
	assert_int_equal(TX_DROPS(1, SRC_INVALID), 2);
	assert_int_equal(TX_DROPS(1, SAME_PORT), 1);
	assert_int_equal(TX_DROPS(1, MALFORMED), 1);
	assert_int_equal(port[2].n, 1);
	assert_int_equal(STAT(1, tx_packets), 5);
	/* Too big for the receiver: counted there. */
	frame_udp(&frame[0], 1, 2, 1500 - 28 + 1);
	pkt_of_frame(&pkt[0], &frame[0], 0);
	assert_int_equal(submit(1, 1), 1);
	assert_int_equal(RX_DROPS(2, TOO_BIG), 1);
	for (unsigned int i = 0; i < VSW_N_DROPS; i++)
		assert_true(strlen(vsw_drop_name(i)) > 3);
	assert_string_equal(vsw_drop_name(VSW_N_DROPS), "unknown");
}

static void a_port_that_is_down_neither_sends_nor_receives(void **state)
{
	(void)state;
	atomic_store(&port[2].port.link, false);
	udp(0, 1, 2);
	assert_int_equal(submit(1, 1), 1);
	assert_int_equal(RX_DROPS(2, LINK_DOWN), 1);
	assert_int_equal(TX_DROPS(1, LINK_DOWN), 1);
	udp(0, 2, 1);
	assert_int_equal(submit(2, 1), 1);
	assert_int_equal(TX_DROPS(2, LINK_DOWN), 1);
	assert_int_equal(port[1].n, 0);
	/* Floods pass it by without a count. */
	udp(0, 1, 0);
	assert_int_equal(submit(1, 1), 1);
	assert_int_equal(port[2].n, 0);
	assert_int_equal(port[3].n, 1);
	assert_int_equal(RX_DROPS(2, LINK_DOWN), 1);
	/* No driver is the same as no link. */
	atomic_store(&port[2].port.link, true);
	atomic_store(&port[2].port.receiving, false);
	udp(0, 1, 2);
	assert_int_equal(submit(1, 1), 1);
	assert_int_equal(RX_DROPS(2, LINK_DOWN), 2);
	/* But it may send. */
	udp(0, 2, 1);
	assert_int_equal(submit(2, 1), 1);
	assert_int_equal(port[1].n, 1);
	atomic_store(&port[3].port.receiving, false);
	udp(0, 1, 0);
	assert_int_equal(submit(1, 1), 1);
	assert_int_equal(TX_DROPS(1, NO_PORT), 1);
}

static void a_port_that_is_not_attached_reaches_nobody(void **state)
{
	(void)state;
	vsw_port_detach(&port[1].port);
	udp(0, 1, 2);
	udp(1, 1, 0);
	assert_int_equal(submit(1, 2), 2);
	assert_int_equal(TX_DROPS(1, NO_PORT), 2);
	assert_int_equal(port[2].n, 0);
	/* And what was sent to it floods, as to any stranger. */
	udp(0, 2, 1);
	assert_int_equal(submit(2, 1), 1);
	assert_int_equal(port[3].n, 1);
	assert_int_equal(vsw_send(&port[2].port, pkts, 0), 0);
}

static void a_sender_waits_for_buffers(void **state)
{
	(void)state;
	port[2].room = 2;
	for (unsigned int i = 0; i < 5; i++)
		udp(i, 1, i == 4 ? 3 : 2);
	assert_int_equal(submit(1, 5), 2);
	assert_ptr_equal(pkt[2].waits_for, &port[2].port);
	assert_int_equal(STAT(1, tx_packets), 2);
	assert_int_equal(STAT(1, tx_waits), 1);
	assert_int_equal(port[3].n, 0);
	assert_int_equal(RX_DROPS(2, NO_BUFFER), 0);
	port[2].room = 10;
	assert_int_equal(vsw_send(&port[1].port, pkts + 2, 3), 3);
	assert_int_equal(port[2].n, 4);
	assert_int_equal(port[3].n, 1);
	for (unsigned int i = 0; i < 4; i++)
		assert_memory_equal(port[2].frame[i].data, frame[i].data, frame[i].len);
	assert_int_equal(STAT(1, tx_packets), 5);
}

static void a_sender_that_will_not_wait_loses_packets(void **state)
{
	(void)state;
	port[2].room = 2;
	for (unsigned int i = 0; i < 5; i++) {
		udp(i, 1, 2);
		pkt[i].flags |= PKT_NO_WAIT;
	}
	assert_int_equal(submit(1, 5), 5);
	assert_int_equal(port[2].n, 2);
	assert_int_equal(RX_DROPS(2, NO_BUFFER), 3);
	assert_int_equal(TX_DROPS(1, NO_BUFFER), 3);
	assert_int_equal(STAT(1, tx_packets), 5);
	assert_int_equal(STAT(1, tx_waits), 0);
}

static void a_drop_behind_a_waiting_packet_is_counted_once(void **state)
{
	(void)state;
	port[2].room = 0;
	udp(0, 1, 2);
	udp(1, 1, 1);
	assert_int_equal(submit(1, 2), 0);
	assert_int_equal(TX_DROPS(1, SAME_PORT), 0);
	port[2].room = -1;
	assert_int_equal(submit(1, 2), 2);
	assert_int_equal(TX_DROPS(1, SAME_PORT), 1);
	assert_int_equal(STAT(1, tx_packets), 2);
}

static void nobody_waits_for_a_broadcast(void **state)
{
	(void)state;
	port[2].room = 1;
	for (unsigned int i = 0; i < 3; i++)
		udp(i, 1, 0);
	assert_int_equal(submit(1, 3), 3);
	assert_int_equal(port[2].n, 1);
	assert_int_equal(port[3].n, 3);
	assert_int_equal(RX_DROPS(2, NO_BUFFER), 2);
	assert_int_equal(STAT(1, tx_packets), 3);
}

static void tcp(unsigned int i, unsigned int to, uint32_t payload, uint16_t mss)
{
	struct frame_spec s = {.ip = 4, .proto = IPPROTO_TCP, .payload_len = payload};

	frame_addr(&s, 1, to);
	if (!to)
		memset(s.dst, 0xff, 6);
	frame_build(&frame[i], &s);
	pkt_of_frame(&pkt[i], &frame[i], 0);
	pkts[i] = &pkt[i];
	pkt[i].flags = PKT_GSO_TCP;
	pkt[i].gso_size = mss;
}

static void a_large_packet_counts_by_its_frames(void **state)
{
	(void)state;
	tcp(0, 2, 10000, 1000);
	assert_int_equal(submit(1, 1), 1);
	assert_int_equal(port[2].n, 10);
	assert_int_equal(STAT(1, tx_packets), 10);
	assert_int_equal(STAT(1, tx_bytes), 10000 + 10 * 54);
	assert_int_equal(STAT(2, rx_bytes), 10000 + 10 * 54);
	assert_int_equal(STAT(1, tx_gso), 1);
}

static void a_large_packet_waits_in_the_middle_and_goes_on_there(void **state)
{
	static struct frame seg;

	(void)state;
	port[2].room = 3;
	tcp(0, 2, 10000, 1000);
	assert_int_equal(submit(1, 1), 0);
	assert_int_equal(pkt[0].seg_done, 3);
	port[2].room = 4;
	assert_int_equal(submit(1, 1), 0);
	assert_int_equal(pkt[0].seg_done, 7);
	port[2].room = -1;
	assert_int_equal(submit(1, 1), 1);
	assert_int_equal(pkt[0].seg_done, 0);
	assert_int_equal(port[2].n, 10);
	for (unsigned int i = 0; i < 10; i++) {
		assert_true(frame_segment(&frame[0], 1000, i, &seg));
		assert_memory_equal(port[2].frame[i].data, seg.data, seg.len);
	}
	assert_int_equal(STAT(1, tx_packets), 10);
	assert_int_equal(STAT(2, rx_packets), 10);
	/* What will not wait loses the rest, and the figures add up. */
	port[2].room = 4;
	tcp(0, 2, 10000, 1000);
	pkt[0].flags |= PKT_NO_WAIT;
	assert_int_equal(submit(1, 1), 1);
	assert_int_equal(STAT(1, tx_packets), 20);
	assert_int_equal(STAT(2, rx_packets), 14);
	assert_int_equal(RX_DROPS(2, NO_BUFFER), 6);
	assert_int_equal(TX_DROPS(1, NO_BUFFER), 6);
}

static void a_large_broadcast_is_cut_for_each_by_its_own_means(void **state)
{
	(void)state;
	atomic_store(&port[2].port.caps, VSW_CAP_CSUM | VSW_CAP_TSO4);
	port[3].room = 2;
	tcp(0, 0, 5000, 1000);
	assert_int_equal(submit(1, 1), 1);
	assert_int_equal(port[2].n, 1);
	assert_int_equal(port[2].frame[0].gso_size, 1000);
	assert_int_equal(port[3].n, 2);
	assert_int_equal(RX_DROPS(3, NO_BUFFER), 3);
	test_port_clear(&port[2]);
	test_port_clear(&port[3]);
	port[3].room = -1;
	tcp(0, 0, 5000, 1000);
	/* As if some of it had been delivered to somebody who has gone. */
	pkt[0].seg_done = 2;
	assert_int_equal(submit(1, 1), 1);
	assert_int_equal(port[2].n, 3);
	assert_int_equal(port[3].n, 3);
	assert_int_equal(pkt[0].seg_done, 0);
}

static void a_null_port_takes_everything(void **state)
{
	static struct null_port null;
	uint8_t mac[6];

	(void)state;
	memset(&null, 0, sizeof(null));
	frame_mac(mac, 9);
	null_port_init(&null, "null", mac);
	assert_int_equal(vsw_port_attach(net, &null.port), 0);
	tcp(0, 9, 10000, 1000);
	udp(1, 1, 9);
	assert_int_equal(submit(1, 2), 2);
	assert_int_equal(atomic_load(&null.port.stats.rx_packets), 11);
	assert_int_equal(atomic_load(&null.port.stats.rx_bytes), 10540 + frame[1].len);
	vsw_port_detach(&null.port);
}

static void a_loop_port_sends_back_with_addresses_swapped(void **state)
{
	static struct loop_port loop, other;
	uint8_t mac[6], before[12];

	(void)state;
	memset(&loop, 0, sizeof(loop));
	memset(&other, 0, sizeof(other));
	frame_mac(mac, 9);
	loop_port_init(&loop, "loop", mac);
	assert_int_equal(vsw_port_attach(net, &loop.port), 0);
	for (unsigned int i = 0; i < 4; i++)
		udp(i, 1, i == 2 ? 0 : 9);
	memcpy(before, pkt[0].hdr, 12);
	assert_int_equal(submit(1, 4), 4);
	/* The broadcast is not answered. */
	assert_int_equal(port[1].n, 3);
	for (unsigned int i = 0; i < 3; i++) {
		const struct frame *sent = &frame[i == 2 ? 3 : i];

		assert_memory_equal(port[1].frame[i].data, sent->data + 6, 6);
		assert_memory_equal(port[1].frame[i].data + 6, sent->data, 6);
		assert_memory_equal(port[1].frame[i].data + 12, sent->data + 12, sent->len - 12);
	}
	assert_int_equal(atomic_load(&loop.port.stats.rx_packets), 3);
	assert_int_equal(atomic_load(&loop.port.stats.tx_packets), 3);
	assert_int_equal(atomic_load(&loop.port.stats.drops[VSW_DROP_RX_FILTER]), 1);
	/* The sender's packet is as it was. */
	assert_memory_equal(pkt[0].hdr, before, 12);
	assert_int_equal(pkt[0].flags, 0);
	/* A receiver without buffers loses the answer; the sender does not wait. */
	port[1].room = 0;
	assert_int_equal(submit(1, 1), 1);
	assert_int_equal(RX_DROPS(1, NO_BUFFER), 1);
	port[1].room = -1;
	/* A large packet comes back, cut for its receiver. */
	test_port_clear(&port[1]);
	tcp(0, 9, 5000, 1000);
	assert_int_equal(submit(1, 1), 1);
	assert_int_equal(port[1].n, 5);
	/* Two loops do not play for ever. */
	frame_mac(mac, 10);
	loop_port_init(&other, "other", mac);
	assert_int_equal(vsw_port_attach(net, &other.port), 0);
	udp(0, 10, 9);
	assert_int_equal(submit(1, 1), 1);
	assert_int_equal(atomic_load(&other.port.stats.drops[VSW_DROP_RX_FILTER]), 1);
	assert_int_equal(atomic_load(&other.port.stats.tx_packets), 0);
	vsw_port_detach(&loop.port);
	vsw_port_detach(&other.port);
}

static void a_port_without_an_mtu_has_its_networks(void **state)
{
	(void)state;
	assert_int_equal(vsw_port_mtu(&port[1].port), 1500);
	port[1].port.mtu = 9000;
	assert_int_equal(vsw_port_mtu(&port[1].port), 9000);
	vsw_port_detach(&port[2].port);
	assert_int_equal(vsw_port_mtu(&port[2].port), 0);
}

static void a_single_lost_frame_counts_as_one(void **state)
{
	struct vsw_settle s;
	struct vsw_frame f;

	(void)state;
	tcp(0, 2, 10000, 1000);
	assert_int_equal(submit(1, 1), 1);
	assert_int_equal(vsw_settle_begin(&s, &pkt[0], 0, 0), VSW_DROP_NONE);
	assert_true(vsw_settle_next(&s, &f));
	vsw_port_drop_frame(&port[2].port, &f, VSW_DROP_RX_ERROR);
	assert_int_equal(RX_DROPS(2, RX_ERROR), 1);
	/* All that is left of it. */
	vsw_port_drop(&port[2].port, &pkt[0], VSW_DROP_RX_ERROR);
	assert_int_equal(RX_DROPS(2, RX_ERROR), 1 + 9);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(networks_have_names_and_are_empty_when_they_go),
		T(an_address_is_attached_once),
		T(a_known_address_gets_its_packets_in_one_call),
		T(a_broadcast_and_an_unknown_address_reach_everybody_else),
		T(a_source_is_learned),
		T(what_cannot_be_forwarded_is_counted_by_reason),
		T(a_port_that_is_down_neither_sends_nor_receives),
		T(a_port_that_is_not_attached_reaches_nobody),
		T(a_sender_waits_for_buffers),
		T(a_sender_that_will_not_wait_loses_packets),
		T(a_drop_behind_a_waiting_packet_is_counted_once),
		T(nobody_waits_for_a_broadcast),
		T(a_large_packet_counts_by_its_frames),
		T(a_large_packet_waits_in_the_middle_and_goes_on_there),
		T(a_large_broadcast_is_cut_for_each_by_its_own_means),
		T(a_null_port_takes_everything),
		T(a_loop_port_sends_back_with_addresses_swapped),
		T(a_port_without_an_mtu_has_its_networks),
		T(a_single_lost_frame_counts_as_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
