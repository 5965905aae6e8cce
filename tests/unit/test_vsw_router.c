/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Claims about the router that kernels on both sides do not show: what changes in a packet,
 * waiting, and what strangers may not do. A is 10.0.1.0/24 with the gateway 10.0.1.254, B
 * is 10.0.2.0/24.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/wire.h"
#include "tests/lib/wait.h"
#include "vsw_fixture.h"
#include "vswitch/ports/router.h"

#define GW 30 /* frame_mac() of the interface in A; in B one more */

enum { A, B };

struct rig {
	struct vsw *vsw;
	struct worker *worker;
	struct router *r;
	struct vsw_net *net[2];
	struct router_if *rif[2];
	struct test_port st[2]; /* hosts 1 and 2 */
	uint8_t addr[2][16];
	/* A sender that waits. */
	struct vsw_waiter waiter;
	struct pkt pkt;
	unsigned int waited;
	_Atomic bool sent;
};

static void addr4(uint8_t out[16], unsigned int net, unsigned int host)
{
	addr_from_4(out, ((uint8_t[]){10, 0, (uint8_t)net, (uint8_t)host}));
}

/* 10.0.@net.@host, until the next call but three. */
static const uint8_t *r_addr(unsigned int net, unsigned int host)
{
	static uint8_t a[4][4];
	static unsigned int at;
	uint8_t *one = a[at++ % 4];

	memcpy(one, ((uint8_t[]){10, 0, (uint8_t)net, (uint8_t)host}), 4);
	return one;
}

static void make_side(struct rig *r, unsigned int n)
{
	struct vsw_net_conf nc = {.name = n ? "B" : "A", .mtu = 1500};
	struct router_if_conf ic = {.name = n ? "B/gw" : "A/gw"};
	uint8_t own[16];

	r->net[n] = vsw_net_add(r->vsw, &nc);
	frame_mac(ic.mac, GW + n);
	r->rif[n] = router_if_new(r->r, &ic);
	assert_non_null(r->rif[n]);
	addr4(own, n + 1, 254);
	assert_int_equal(router_addr_add(r->rif[n], own, 96 + 24), 0);
	assert_int_equal(addr_parse(own, n ? "fd02::ff" : "fd01::ff"), 0);
	assert_int_equal(router_addr_add(r->rif[n], own, 64), 0);
	assert_int_equal(vsw_port_attach(r->net[n], router_if_port(r->rif[n])), 0);
	test_port_init(&r->st[n], n + 1);
	assert_int_equal(vsw_port_attach(r->net[n], &r->st[n].port), 0);
	addr4(r->addr[n], n + 1, 1);
	assert_int_equal(router_neighbour_set(r->rif[n], r->addr[n], r->st[n].port.mac), 0);
}

static int setup(void **state)
{
	struct router_conf rc = {.name = "r", .max_neighbours = 8};
	struct worker_conf wc = {.name = "w0"};
	struct rig *r = calloc(1, sizeof(*r));

	r->worker = worker_new(&wc);
	r->vsw = vsw_new();
	r->r = router_new(r->worker, &rc);
	assert_non_null(r->r);
	make_side(r, A);
	make_side(r, B);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	for (unsigned int n = 0; n < 2; n++) {
		vsw_port_detach(router_if_port(r->rif[n]));
		vsw_port_detach(&r->st[n].port);
		test_port_clear(&r->st[n]);
	}
	for (unsigned int n = 0; n < 2; n++) {
		router_if_free(r->rif[n]);
		assert_int_equal(vsw_net_del(r->net[n]), 0);
	}
	router_free(r->r);
	vsw_free(r->vsw);
	worker_free(r->worker);
	free(r);
	return 0;
}

static struct router_stats stats(struct rig *r)
{
	struct router_stats st;

	router_get_stats(r->r, &st);
	return st;
}

static struct frame frame, want, got;

/* From A's station to @net.@host, through the gateway. */
static void make_frame(struct frame *f, uint8_t proto, unsigned int net, unsigned int to,
		       uint32_t payload, uint8_t ttl)
{
	struct frame_spec s = {
		.ip = 4, .proto = proto, .sport = 5, .dport = 6, .payload_len = payload, .seed = 3};

	frame_addr(&s, 1, GW);
	memcpy(s.saddr, r_addr(1, 1), 4);
	memcpy(s.daddr, r_addr(net, to), 4);
	frame_build(f, &s);
	f->data[f->l3 + 8] = ttl;
	frame_sum(f);
}

static void station_sends(struct rig *r, unsigned int side, struct frame *f, uint32_t flags,
			  uint16_t gso)
{
	static struct pkt pkt;
	uint8_t before[PKT_HDR_MAX];
	struct pkt *p = &pkt;

	pkt_of_frame(p, f, 100);
	p->flags |= flags;
	p->gso_size = gso;
	memcpy(before, p->hdr, sizeof(before));
	assert_int_equal(vsw_send(&r->st[side].port, &p, 1), 1);
	/* The sender's packet is as it was. */
	assert_memory_equal(p->hdr, before, sizeof(before));
	assert_int_equal(p->flags & PKT_NO_WAIT, flags & PKT_NO_WAIT);
}

static unsigned int came(struct rig *r, unsigned int side, struct frame *last)
{
	struct test_port *st = &r->st[side];
	unsigned int n;

	pthread_mutex_lock(&st->lock);
	n = st->n;
	if (n && last) {
		last->len = st->frame[n - 1].len;
		memcpy(last->data, st->frame[n - 1].data, last->len);
	}
	pthread_mutex_unlock(&st->lock);
	return n;
}

/* What the router makes of a frame for B's station. */
static void as_forwarded(struct frame *f)
{
	frame_mac(f->data, 2);
	frame_mac(f->data + 6, GW + 1);
	f->data[f->l3 + 8]--;
	frame_sum(f);
}

/* ---- passing on ---- */

static void test_changes_nothing_else(void **state)
{
	struct rig *r = *state;

	for (unsigned int ttl = 2; ttl <= 255; ttl++) {
		make_frame(&frame, IPPROTO_UDP, 2, 1, 100 + ttl, (uint8_t)ttl);
		want = frame;
		as_forwarded(&want);
		station_sends(r, A, &frame, 0, 0);
		assert_int_equal(came(r, B, &got), 1);
		assert_int_equal(got.len, want.len);
		assert_memory_equal(got.data, want.data, want.len);
		test_port_clear(&r->st[B]);
	}
	/* A sum that was wrong stays wrong. */
	make_frame(&frame, IPPROTO_UDP, 2, 1, 100, 64);
	frame.data[frame.l3 + 10] ^= 1;
	station_sends(r, A, &frame, 0, 0);
	assert_int_equal(came(r, B, &got), 1);
	assert_true(frame_parse(&got));
	assert_false(frame_ip_sum_ok(&got));
	assert_int_equal(stats(r).forwarded, 255);
}

static void test_large_stay_whole(void **state)
{
	struct rig *r = *state;

	atomic_store(&r->st[B].port.caps, VSW_CAP_CSUM | VSW_CAP_TSO4);
	make_frame(&frame, IPPROTO_TCP, 2, 1, 50000, 64);
	frame_make_partial(&frame, true);
	station_sends(r, A, &frame, PKT_GSO_TCP | PKT_CSUM_L4 | PKT_CSUM_IP, 1400);
	assert_int_equal(came(r, B, &got), 1);
	assert_int_equal(r->st[B].frame[0].gso_size, 1400);
	assert_int_equal(got.len, frame.len);
	assert_true(frame_parse(&got));
	assert_true(frame_ip_sum_ok(&got));
	assert_int_equal(got.data[got.l3 + 8], 63);
	/* Segments that do not fit the next network are not made smaller. */
	router_if_port(r->rif[B])->mtu = 1400;
	station_sends(r, A, &frame, PKT_GSO_TCP | PKT_CSUM_L4 | PKT_CSUM_IP, 1400);
	assert_int_equal(came(r, B, NULL), 1);
	assert_true(wait_until(came(r, A, &got) == 1, WAIT_MS));
	assert_true(frame_parse(&got));
	assert_memory_equal(got.data + got.l4, ((uint8_t[]){3, 4}), 2);
	assert_int_equal(be16_load(got.data + got.l4 + 6), 1400);
	assert_true(frame_ip_sum_ok(&got) && frame_l4_sum_ok(&got));
	assert_memory_equal(got.data + got.l3 + 12, ((uint8_t[]){10, 0, 1, 254}), 4);
}

/* ---- waiting ---- */

static void try_send(void *arg);

static void woken(struct vsw_waiter *w)
{
	try_send(w->arg);
}

/* On the worker, as a guest's queue does it. */
static void try_send(void *arg)
{
	struct rig *r = arg;
	struct pkt *p = &r->pkt;

	for (;;) {
		if (vsw_send(&r->st[A].port, &p, 1) == 1) {
			atomic_store(&r->sent, true);
			return;
		}
		assert_ptr_equal(p->waits_for, router_if_port(r->rif[A]));
		r->waited++;
		if (vsw_wait(&r->waiter, p->waits_for))
			return;
	}
}

static void cancel(void *arg)
{
	struct rig *r = arg;

	vsw_wait_cancel(&r->waiter);
}

/* A receiver behind the router that has no buffer makes the sender wait, and it is woken. */
static void test_waits(void **state)
{
	struct rig *r = *state;

	r->waiter = (struct vsw_waiter){.wake = woken, .arg = r, .worker = r->worker};
	pthread_mutex_lock(&r->st[B].lock);
	r->st[B].room = 3;
	pthread_mutex_unlock(&r->st[B].lock);
	make_frame(&frame, IPPROTO_TCP, 2, 1, 10000, 64);
	want = frame;
	frame_make_partial(&frame, true);
	pkt_of_frame(&r->pkt, &frame, 900);
	r->pkt.flags = PKT_GSO_TCP | PKT_CSUM_L4 | PKT_CSUM_IP;
	r->pkt.gso_size = 1000;
	worker_call(r->worker, try_send, r);
	assert_false(atomic_load(&r->sent));
	assert_true(r->waited > 0);
	assert_int_equal(came(r, B, NULL), 3);
	test_port_refill(&r->st[B], 100);
	assert_true(wait_until(atomic_load(&r->sent), WAIT_MS));
	/* On with the segment that it stopped at. */
	assert_int_equal(came(r, B, NULL), 10);
	as_forwarded(&want);
	for (unsigned int i = 0; i < 10; i++) {
		assert_true(frame_segment(&want, 1000, i, &got));
		assert_int_equal(r->st[B].frame[i].len, got.len);
		assert_memory_equal(r->st[B].frame[i].data, got.data, got.len);
	}
	worker_call(r->worker, cancel, r);
}

/* ---- strangers ---- */

static void put_arp(struct frame *f, uint16_t op, unsigned int from, const uint8_t *spa,
		    const uint8_t *tpa)
{
	static const uint8_t kinds[] = {8, 6, 0, 1, 8, 0, 6, 4};

	memset(f->data, 0xff, 6);
	frame_mac(f->data + 6, from);
	memcpy(f->data + 12, kinds, sizeof(kinds));
	be16_store(f->data + 20, op);
	frame_mac(f->data + 22, from);
	memcpy(f->data + 28, spa, 4);
	memset(f->data + 32, 0, 6);
	memcpy(f->data + 38, tpa, 4);
	f->len = 42;
}

static int state_of(struct router_if *i, const uint8_t addr[16], uint8_t mac[6])
{
	struct router_neighbour n[16];
	size_t count = router_neighbours(i, n, 16);

	assert_true(count <= 8);
	for (size_t k = 0; k < count; k++) {
		if (memcmp(n[k].addr, addr, 16) != 0)
			continue;
		memcpy(mac, n[k].mac, 6);
		return (int)n[k].state;
	}
	return -ENOENT;
}

static void test_arp(void **state)
{
	struct rig *r = *state;
	uint8_t addr[16], mac[6], own[6];

	frame_mac(own, GW);
	put_arp(&frame, 1, 1, r_addr(1, 77), r_addr(1, 254));
	station_sends(r, A, &frame, 0, 0);
	assert_true(wait_until(came(r, A, &got) == 1, WAIT_MS));
	assert_int_equal(got.len, 42);
	assert_memory_equal(got.data, frame.data + 6, 6);
	assert_memory_equal(got.data + 6, own, 6);
	assert_int_equal(be16_load(got.data + 20), 2);
	assert_memory_equal(got.data + 22, own, 6);
	assert_memory_equal(got.data + 28, r_addr(1, 254), 4);
	assert_memory_equal(got.data + 32, frame.data + 22, 10);
	/* Who asks us is known by it. */
	addr4(addr, 1, 77);
	assert_int_equal(state_of(r->rif[A], addr, mac), ROUTER_NEIGHBOUR_FRESH);
	assert_memory_equal(mac, frame.data + 22, 6);
	/* Who asks others is not remembered, nor is who is of another prefix. */
	put_arp(&frame, 1, 1, r_addr(1, 78), r_addr(1, 253));
	station_sends(r, A, &frame, 0, 0);
	addr4(addr, 1, 78);
	assert_int_equal(state_of(r->rif[A], addr, mac), -ENOENT);
	put_arp(&frame, 1, 1, r_addr(2, 78), r_addr(1, 254));
	station_sends(r, A, &frame, 0, 0);
	addr4(addr, 2, 78);
	assert_int_equal(state_of(r->rif[A], addr, mac), -ENOENT);
	/* What the host has set stays, whoever says what. */
	put_arp(&frame, 2, 9, r_addr(1, 1), r_addr(1, 254));
	station_sends(r, A, &frame, 0, 0);
	assert_int_equal(state_of(r->rif[A], r->addr[A], mac), ROUTER_NEIGHBOUR_SET);
	assert_memory_equal(mac, r->st[A].port.mac, 6);
	/* Half a message. */
	frame.len = 41;
	station_sends(r, A, &frame, 0, 0);
}

/* As a proxy it answers questions, not tests whether an address is free. */
static void test_proxy(void **state)
{
	struct rig *r = *state;
	struct router_route rt = {.kind = ROUTER_ROUTE_MAC, .out = r->rif[B]};
	static const uint8_t zero[4];
	struct route_prefix p;

	assert_int_equal(route_prefix_parse(&rt.prefix, "10.0.1.50"), 0);
	frame_mac(rt.mac, 2);
	assert_int_equal(router_route_set(r->r, &rt, NULL, 0), 0);
	put_arp(&frame, 1, 1, r_addr(1, 1), r_addr(1, 50));
	station_sends(r, A, &frame, 0, 0);
	assert_int_equal(stats(r).proxy_answers, 0);
	assert_int_equal(route_prefix_parse(&p, "10.0.1.0/24"), 0);
	assert_int_equal(router_proxy_add(r->rif[A], &p), 0);
	station_sends(r, A, &frame, 0, 0);
	assert_int_equal(stats(r).proxy_answers, 1);
	put_arp(&frame, 1, 1, zero, r_addr(1, 50));
	station_sends(r, A, &frame, 0, 0);
	put_arp(&frame, 1, 1, r_addr(1, 50), r_addr(1, 50));
	station_sends(r, A, &frame, 0, 0);
	/* And not for what is at home. */
	put_arp(&frame, 1, 1, r_addr(1, 1), r_addr(1, 51));
	station_sends(r, A, &frame, 0, 0);
	assert_int_equal(stats(r).proxy_answers, 1);
	assert_true(wait_until(came(r, A, NULL) == 1, WAIT_MS));
}

/* Somebody who goes through a prefix fills a bounded table, and the known ones stay. */
static void test_scan(void **state)
{
	struct rig *r = *state;
	uint8_t mac[6];

	for (unsigned int host = 10; host < 200; host++) {
		make_frame(&frame, IPPROTO_UDP, 2, host, 20, 64);
		station_sends(r, A, &frame, 0, 0);
	}
	assert_int_equal(state_of(r->rif[B], r->addr[B], mac), ROUTER_NEIGHBOUR_SET);
	make_frame(&frame, IPPROTO_UDP, 2, 1, 20, 64);
	test_port_clear(&r->st[B]);
	station_sends(r, A, &frame, 0, 0);
	assert_true(came(r, B, NULL) >= 1);
	assert_true(atomic_load(&router_if_port(r->rif[A])->stats.drops[VSW_DROP_NO_NEIGHBOUR]) >
		    100);
	assert_true(stats(r).held <= 8u * 8);
}

/* Neighbour discovery from afar, or with a wrong sum, is not believed. */
static void test_discovery(void **state)
{
	struct rig *r = *state;
	struct frame_spec s = {.ip = 6, .proto = IPPROTO_ICMPV6, .payload_len = 24};
	uint8_t addr[16], target[16], mac[6], *icmp;

	assert_int_equal(addr_parse(addr, "fd01::7"), 0);
	assert_int_equal(addr_parse(target, "fd01::ff"), 0);
	frame_addr(&s, 1, GW);
	memcpy(s.saddr, addr, 16);
	memcpy(s.daddr, target, 16);
	frame_build(&frame, &s);
	icmp = frame.data + frame.l4;
	memset(icmp, 0, 32);
	icmp[0] = 135;
	memcpy(icmp + 8, target, 16);
	icmp[24] = icmp[25] = 1;
	frame_mac(icmp + 26, 1);
	frame.data[frame.l3 + 7] = 254;
	frame_sum(&frame);
	station_sends(r, A, &frame, 0, 0);
	frame.data[frame.l3 + 7] = 255;
	icmp[2] ^= 1;
	station_sends(r, A, &frame, 0, 0);
	assert_int_equal(stats(r).nd_answers, 0);
	assert_int_equal(state_of(r->rif[A], addr, mac), -ENOENT);
	icmp[2] ^= 1;
	station_sends(r, A, &frame, 0, 0);
	assert_int_equal(stats(r).nd_answers, 1);
	assert_int_equal(state_of(r->rif[A], addr, mac), ROUTER_NEIGHBOUR_FRESH);
	assert_true(wait_until(came(r, A, &got) == 1, WAIT_MS));
	assert_true(frame_parse(&got));
	icmp = got.data + got.l4;
	assert_true(frame_l4_sum_ok(&got));
	assert_int_equal(icmp[0], 136);
	assert_int_equal(icmp[4], 0xe0); /* router, solicited, override */
	assert_memory_equal(icmp + 8, target, 16);
	frame_mac(mac, GW);
	assert_memory_equal(icmp + 26, mac, 6);
}

/* Two routers that send to each other: the packet ends, and somebody is told. */
static void test_loop(void **state)
{
	struct rig *r = *state;
	struct router_conf rc = {.name = "other"};
	struct router *other = router_new(r->worker, &rc);
	struct router_if_conf ic = {.name = "A/other"};
	struct router_route there = {.kind = ROUTER_ROUTE_MAC, .out = r->rif[A]}, back;
	struct router_if *rif;

	frame_mac(ic.mac, GW + 5);
	rif = router_if_new(other, &ic);
	assert_int_equal(vsw_port_attach(r->net[A], router_if_port(rif)), 0);
	assert_int_equal(route_prefix_parse(&there.prefix, "10.9.0.0/16"), 0);
	back = there;
	back.out = rif;
	memcpy(there.mac, ic.mac, 6);
	frame_mac(back.mac, GW);
	assert_int_equal(router_route_set(r->r, &there, NULL, 0), 0);
	assert_int_equal(router_route_set(other, &back, NULL, 0), 0);
	make_frame(&frame, IPPROTO_UDP, 9, 9, 20, 64);
	frame.data[frame.l3 + 17] = 9;
	frame_sum(&frame);
	station_sends(r, A, &frame, 0, 0);
	assert_int_equal(came(r, B, NULL), 0);
	assert_true(atomic_load(&router_if_port(r->rif[A])->stats.drops[VSW_DROP_TTL]) +
			    atomic_load(&router_if_port(rif)->stats.drops[VSW_DROP_TTL]) >=
		    1);
	vsw_port_detach(router_if_port(rif));
	router_if_free(rif);
	router_free(other);
}

static void test_refuses(void **state)
{
	struct rig *r = *state;
	struct router_if_conf ic = {.name = "x"};
	struct router_route rt = {.kind = ROUTER_ROUTE_VIA, .out = r->rif[B]};
	uint8_t addr[16];
	char err[128];

	assert_null(router_if_new(r->r, &ic));
	assert_int_equal(errno, EINVAL);
	addr4(addr, 1, 254);
	assert_int_equal(router_addr_add(r->rif[B], addr, 120), -EEXIST);
	addr4(addr, 1, 253);
	assert_int_equal(router_addr_add(r->rif[B], addr, 120), -EEXIST);
	assert_int_equal(router_addr_add(r->rif[B], addr, 20), -EINVAL);
	assert_int_equal(router_addr_del(r->rif[B], addr), -ENOENT);
	assert_int_equal(router_addr_add(r->rif[A], addr, 120), 0);
	assert_int_equal(router_addr_del(r->rif[A], addr), 0);
	assert_int_equal(route_prefix_parse(&rt.prefix, "10.7.0.0/16"), 0);
	assert_int_equal(addr_parse(rt.via, "fd00::1"), 0);
	assert_int_equal(router_route_set(r->r, &rt, err, sizeof(err)), -EINVAL);
	assert_string_equal(err, "router r: route 10.7.0.0/16: the next hop is of another address "
				 "family");
	rt.out = NULL;
	assert_int_equal(router_route_set(r->r, &rt, err, sizeof(err)), -EINVAL);
	rt = (struct router_route){.kind = ROUTER_ROUTE_MAC, .out = r->rif[B], .prefix = rt.prefix};
	assert_int_equal(router_route_set(r->r, &rt, err, sizeof(err)), -EINVAL);
	rt.kind = ROUTER_ROUTE_BLACKHOLE;
	assert_int_equal(router_route_set(r->r, &rt, err, sizeof(err)), 0);
	make_frame(&frame, IPPROTO_UDP, 7, 7, 20, 64);
	frame.data[frame.l3 + 17] = 7;
	frame_sum(&frame);
	station_sends(r, A, &frame, 0, 0);
	assert_int_equal(stats(r).no_route, 1);
	assert_int_equal(stats(r).errors, 0);
	for (int i = 0; i < ROUTER_ROUTE_N_KINDS; i++)
		assert_string_not_equal(router_route_kind_name((enum router_route_kind)i),
					"unknown");
	for (int i = 0; i < ROUTER_NEIGHBOUR_N_STATES; i++)
		assert_string_not_equal(router_neighbour_state_name((enum router_neighbour_state)i),
					"unknown");
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	static const struct CMUnitTest tests[] = {
		WITH(test_changes_nothing_else),
		WITH(test_large_stay_whole),
		WITH(test_waits),
		WITH(test_arp),
		WITH(test_proxy),
		WITH(test_scan),
		WITH(test_discovery),
		WITH(test_loop),
		WITH(test_refuses),
	};
	int rc;

	test_thread_register();
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	test_thread_unregister();
	return rc;
}
