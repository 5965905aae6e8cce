/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The router between kernels. Three namespaces, each behind a TAP in a network of its own:
 *
 *	a 10.1.0.2 --- A 10.1.0.1 |	      | U 192.168.9.1 --- 192.168.9.2 c 10.3.0.1, 10.1.0.50
 *	  fd01::2	 fd01::1  |  router   |   fd09::1	  fd09::2	fd03::1, fd01::50
 *	b 10.2.0.2 --- B 10.2.0.1 |
 *	  fd02::2	 fd02::1
 *
 * c stands for another host, whose guests are reached in routed mode: a prefix, and one guest that
 * has an address of A's prefix.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "netlab.h"
#include "tests/lib/wait.h"
#include "vsw_fixture.h"
#include "vswitch/ports/router.h"
#include "vswitch/ports/tap.h"

#define N_SIDES 3

static const struct {
	const char *net, *tap_mac;
	uint8_t mac[6];
	const char *gw, *gw6, *addr, *addr6;
} sides[N_SIDES] = {
	{"A",
	 "02:00:00:00:01:02",
	 {2, 0, 0, 0, 1, 1},
	 "10.1.0.1",
	 "fd01::1",
	 "10.1.0.2",
	 "fd01::2"},
	{"B",
	 "02:00:00:00:02:02",
	 {2, 0, 0, 0, 2, 1},
	 "10.2.0.1",
	 "fd02::1",
	 "10.2.0.2",
	 "fd02::2"},
	{"U",
	 "02:00:00:00:09:02",
	 {2, 0, 0, 0, 9, 1},
	 "192.168.9.1",
	 "fd09::1",
	 "192.168.9.2",
	 "fd09::2"},
};

enum { A, B, U };

static uint32_t mtu_of_b; /* for the next setup(); 0: the network's */

struct rig {
	struct vsw *vsw;
	struct worker *worker[2];
	struct router *router;
	int ns[N_SIDES];
	struct vsw_net *net[N_SIDES];
	struct tap *tap[N_SIDES];
	struct router_if *rif[N_SIDES];
};

static void add_address(struct router_if *i, const char *text, unsigned int len)
{
	uint8_t addr[16];

	assert_int_equal(addr_parse(addr, text), 0);
	assert_int_equal(router_addr_add(i, addr, (uint8_t)(addr_is_4(addr) ? 96 + len : len)), 0);
}

static void side_up(struct rig *r, unsigned int n)
{
	struct router_if_conf ic = {.name = sides[n].net, .mtu = n == B ? mtu_of_b : 0};
	struct vsw_net_conf nc = {.name = sides[n].net, .mtu = 1500};

	r->ns[n] = ns_new();
	r->net[n] = vsw_net_add(r->vsw, &nc);
	/* The uplink is another worker's: waiting and waking cross threads. */
	r->tap[n] = tap_new(r->worker[n == U], sides[n].addr,
			    ns_tap(r->ns[n], "tap0", sides[n].tap_mac, 1500), NULL, 0);
	assert_non_null(r->tap[n]);
	memcpy(ic.mac, sides[n].mac, 6);
	r->rif[n] = router_if_new(r->router, &ic);
	assert_non_null(r->rif[n]);
	add_address(r->rif[n], sides[n].gw, 24);
	add_address(r->rif[n], sides[n].gw6, 64);
	assert_int_equal(vsw_port_attach(r->net[n], router_if_port(r->rif[n])), 0);
	assert_int_equal(vsw_port_attach(r->net[n], tap_port(r->tap[n])), 0);
	ns_run(r->ns[n], "ip addr add %s/24 dev tap0 && ip addr add %s/64 dev tap0 nodad",
	       sides[n].addr, sides[n].addr6);
	ns_run(r->ns[n], "ip route add default via %s && ip route add default via %s", sides[n].gw,
	       sides[n].gw6);
}

static struct router_route route_to(struct router_if *out, const char *prefix, const char *via)
{
	struct router_route rt = {.kind = ROUTER_ROUTE_VIA, .out = out};

	assert_int_equal(route_prefix_parse(&rt.prefix, prefix), 0);
	if (via)
		assert_int_equal(addr_parse(rt.via, via), 0);
	return rt;
}

static void add_route(struct rig *r, const char *prefix, const char *via)
{
	struct router_route rt = route_to(r->rif[U], prefix, via);
	char err[256] = "";

	if (router_route_set(r->router, &rt, err, sizeof(err)))
		fail_msg("%s", err);
}

static int setup(void **state)
{
	struct worker_conf wc[2] = {{.name = "w0"}, {.name = "w1"}};
	struct router_conf rc = {.name = "r", .max_routes = 50};
	struct rig *r = calloc(1, sizeof(*r));

	test_thread_register();
	r->worker[0] = worker_new(&wc[0]);
	r->worker[1] = worker_new(&wc[1]);
	r->vsw = vsw_new();
	r->router = router_new(r->worker[0], &rc);
	assert_non_null(r->router);
	for (unsigned int n = 0; n < N_SIDES; n++)
		side_up(r, n);
	ns_run(r->ns[U], "ip addr add 10.3.0.1/32 dev lo && ip addr add 10.1.0.50/32 dev lo");
	ns_run(r->ns[U],
	       "ip addr add fd03::1/128 dev lo nodad && ip addr add fd01::50/128 dev lo nodad");
	add_route(r, "10.3.0.0/24", "192.168.9.2");
	add_route(r, "fd03::/64", "fd09::2");
	*state = r;
	return 0;
}

static int setup_narrow(void **state)
{
	int rc;

	mtu_of_b = 1300;
	rc = setup(state);
	mtu_of_b = 0;
	return rc;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	for (unsigned int n = 0; n < N_SIDES; n++) {
		vsw_port_detach(tap_port(r->tap[n]));
		vsw_port_detach(router_if_port(r->rif[n]));
	}
	for (unsigned int n = 0; n < N_SIDES; n++) {
		tap_free(r->tap[n]);
		router_if_free(r->rif[n]);
		assert_int_equal(vsw_net_del(r->net[n]), 0);
		ns_close(&r->ns[n]);
	}
	router_free(r->router);
	vsw_free(r->vsw);
	worker_free(r->worker[0]);
	worker_free(r->worker[1]);
	free(r);
	test_thread_unregister();
	return 0;
}

static struct router_stats stats(struct rig *r)
{
	struct router_stats st;

	router_get_stats(r->router, &st);
	return st;
}

/* What ping says of @addr contains @word. */
static bool ping_says(struct rig *r, unsigned int side, const char *args, const char *word)
{
	return ns_try(r->ns[side], "ping -n -c 1 -w 6 %s 2>&1 | grep -q '%s'", args, word) == 0;
}

/* enum router_neighbour_state, or -ENOENT. */
static int state_of(struct router_if *i, const uint8_t addr[16])
{
	struct router_neighbour n[16];
	size_t count = router_neighbours(i, n, 16);

	assert_true(count <= 16);
	for (size_t k = 0; k < count; k++)
		if (!memcmp(n[k].addr, addr, 16))
			return (int)n[k].state;
	return -ENOENT;
}

/* ---- tests ---- */

static void test_gateway(void **state)
{
	struct rig *r = *state;

	assert_true(ns_ping(r->ns[A], "10.1.0.1", 56, true));
	assert_true(ns_ping(r->ns[A], "10.1.0.1", 1472, true));
	assert_true(ns_ping(r->ns[A], "fd01::1", 1452, true));
	assert_int_equal(stats(r).pings, 3);
	/* The first packet is not lost to the question for the next hop's MAC. */
	assert_true(ns_ping(r->ns[A], "10.2.0.2", 1472, true));
	assert_true(ns_ping(r->ns[B], "fd01::2", 1452, true));
	assert_int_equal(stats(r).held_lost, 0);
	assert_true(stats(r).held > 0);
}

static void test_ttl(void **state)
{
	struct rig *r = *state;

	assert_true(ping_says(r, A, "-t 1 10.2.0.2", "From 10.1.0.1 .*Time to live exceeded"));
	assert_true(ping_says(r, A, "-t 1 fd02::2", "From fd01::1 .*Time exceeded"));
	assert_true(ping_says(r, A, "-t 2 10.2.0.2", " 0% packet loss"));
	/* The reply came with one less than it set out with. */
	assert_true(ping_says(r, A, "10.2.0.2", "ttl=63"));
	assert_true(ping_says(r, A, "fd02::2", "ttl=63"));
	assert_int_equal(stats(r).ttl, 2);
}

static void test_nobody(void **state)
{
	struct rig *r = *state;
	struct router_route rt;
	uint8_t addr[16];

	assert_true(ping_says(r, A, "10.2.0.77", "From 10.1.0.1 .*Destination Host Unreachable"));
	assert_int_equal(addr_parse(addr, "10.2.0.77"), 0);
	assert_int_equal(state_of(r->rif[B], addr), ROUTER_NEIGHBOUR_FAILED);
	assert_true(ping_says(r, A, "fd02::77", "From fd01::1 .*Address unreachable"));
	assert_true(ping_says(r, A, "10.99.0.1", "From 10.1.0.1 .*Destination Net Unreachable"));
	assert_true(ping_says(r, A, "fd99::1", "From fd01::1 .*No route"));
	rt = route_to(NULL, "10.98.0.0/16", NULL);
	rt.kind = ROUTER_ROUTE_UNREACHABLE;
	assert_int_equal(router_route_set(r->router, &rt, NULL, 0), 0);
	assert_true(ping_says(r, A, "10.98.0.1", "Destination Net Unreachable"));
	assert_int_equal(stats(r).no_route, 3);
	assert_int_equal(stats(r).errors_limited, 0);
}

/* Large packets pass whole, and what they are made of is right on the other side. */
static void test_large(void **state)
{
	struct rig *r = *state;
	struct bulk b = {.from = r->ns[A], .to = r->ns[B], .addr = "10.2.0.2", .bytes = 16u << 20};
	uint64_t segments = b.bytes / 1448, frames;

	assert_true(ns_bulk(&b));
	frames = atomic_load(&tap_port(r->tap[B])->stats.rx_packets);
	print_message("%lu bytes in %lu packets\n", b.bytes, frames);
	assert_true(frames < segments / 4);
	b.addr = "fd02::2";
	assert_true(ns_bulk(&b));
	assert_true(atomic_load(&tap_port(r->tap[B])->stats.rx_packets) < segments / 2);
}

/* One route for another host and all behind it. */
static void test_other_host(void **state)
{
	struct rig *r = *state;
	struct bulk b = {.from = r->ns[A], .to = r->ns[U], .addr = "10.3.0.1", .bytes = 8u << 20};

	assert_true(ns_ping(r->ns[A], "10.3.0.1", 56, true));
	assert_true(ns_ping(r->ns[B], "fd03::1", 56, true));
	assert_true(ns_bulk(&b));
	b = (struct bulk){.from = r->ns[U], .to = r->ns[A], .addr = "10.1.0.2", .bytes = 8u << 20};
	assert_true(ns_bulk(&b));
}

/* A next hop that the caller knows is not asked for. */
static void test_set_neighbour(void **state)
{
	struct rig *r = *state;
	static const uint8_t mac[6] = {2, 0, 0, 0, 9, 2};
	struct router_route rt = route_to(r->rif[U], "10.3.0.0/24", NULL);
	uint8_t addr[16];

	rt.kind = ROUTER_ROUTE_MAC;
	memcpy(rt.mac, mac, 6);
	assert_int_equal(router_route_set(r->router, &rt, NULL, 0), 0);
	assert_true(ns_ping(r->ns[A], "10.3.0.1", 56, true));
	assert_int_equal(addr_parse(addr, "192.168.9.2"), 0);
	assert_int_equal(state_of(r->rif[U], addr), -ENOENT);
	assert_int_equal(addr_parse(addr, "fd09::2"), 0);
	assert_int_equal(router_neighbour_set(r->rif[U], addr, mac), 0);
	assert_true(ns_ping(r->ns[A], "fd03::1", 56, true));
	assert_int_equal(state_of(r->rif[U], addr), ROUTER_NEIGHBOUR_SET);
	assert_int_equal(router_neighbour_del(r->rif[U], addr), 0);
	assert_int_equal(router_neighbour_del(r->rif[U], addr), -ENOENT);
}

/* The kernel's TCP believes the router's word about a smaller MTU. */
static void test_path_mtu(void **state)
{
	struct rig *r = *state;
	struct bulk b = {.from = r->ns[A], .to = r->ns[B], .addr = "10.2.0.2", .bytes = 4u << 20};

	/* It says so of itself otherwise, in its SYN. */
	ns_run(r->ns[B], "ip route change default via 10.2.0.1 advmss 1460");
	assert_true(ns_bulk(&b));
	assert_int_equal(b.mtu, 1300);
	b.addr = "fd02::2";
	assert_true(ns_bulk(&b));
	assert_int_equal(b.mtu, 1300);
	assert_true(stats(r).too_big >= 2);
	assert_true(ping_says(r, A, "-M do -s 1273 10.2.0.2", "mtu.*1300"));
}

/* A guest of the same prefix lives on another host. */
static void test_proxy(void **state)
{
	struct rig *r = *state;
	struct route_prefix p;
	uint64_t answers;

	/* The others of the prefix are at home, as they are for guests on that host. */
	ns_run(r->ns[U], "ip route add 10.1.0.0/24 via 192.168.9.1 src 10.1.0.50 && "
			 "ip route add fd01::/64 via fd09::1 src fd01::50");
	assert_int_equal(ns_try(r->ns[A], "ping -n -q -c 1 -w 1 10.1.0.50 >/dev/null 2>&1"), 1);
	add_route(r, "10.1.0.50/32", "192.168.9.2");
	add_route(r, "fd01::50/128", "fd09::2");
	assert_int_equal(route_prefix_parse(&p, "10.1.0.0/24"), 0);
	assert_int_equal(router_proxy_add(r->rif[A], &p), 0);
	assert_int_equal(route_prefix_parse(&p, "fd01::/64"), 0);
	assert_int_equal(router_proxy_add(r->rif[A], &p), 0);
	ns_run(r->ns[A], "ip neigh flush dev tap0");
	assert_true(ns_ping(r->ns[A], "10.1.0.50", 56, true));
	assert_true(ns_ping(r->ns[A], "fd01::50", 56, true));
	answers = stats(r).proxy_answers;
	assert_true(answers >= 2);
	/* For what is at home the router does not answer. */
	assert_false(ns_try(r->ns[A], "ping -n -q -c 1 -w 1 10.1.0.51 >/dev/null 2>&1") == 0);
	assert_int_equal(stats(r).proxy_answers, answers);
	assert_int_equal(router_proxy_del(r->rif[A], &p), 0);
	assert_int_equal(router_proxy_del(r->rif[A], &p), -ENOENT);
}

static void test_limit(void **state)
{
	struct rig *r = *state;
	struct router_route rt, out[64];
	struct route_prefix p;
	char err[256] = "", text[32];

	for (unsigned int n = 2; n < 50; n++) {
		snprintf(text, sizeof(text), "10.100.%u.0/24", n);
		add_route(r, text, "192.168.9.2");
	}
	assert_int_equal(router_routes(r->router, out, 64), 50);
	rt = route_to(r->rif[U], "10.100.50.0/24", "192.168.9.2");
	assert_int_equal(router_route_set(r->router, &rt, err, sizeof(err)), -ENOSPC);
	assert_string_equal(err, "router r: route 10.100.50.0/24: the table holds 50 of at most 50 "
				 "routes (max_routes); delete one, or raise max_routes");
	/* Replacing is not adding. */
	rt = route_to(r->rif[U], "10.100.49.0/24", "192.168.9.3");
	assert_int_equal(router_route_set(r->router, &rt, err, sizeof(err)), 0);
	assert_int_equal(route_prefix_parse(&p, "10.100.49.0/24"), 0);
	assert_int_equal(router_route_del(r->router, &p), 0);
	assert_int_equal(router_route_del(r->router, &p), -ENOENT);
	add_route(r, "10.100.50.0/24", "192.168.9.2");
	/* Those of the interfaces do not count, and are not to be had. */
	rt = route_to(r->rif[U], "10.1.0.0/24", "192.168.9.2");
	assert_int_equal(router_route_set(r->router, &rt, err, sizeof(err)), -EEXIST);
	assert_true(ns_ping(r->ns[A], "10.2.0.2", 56, true));
}

/* A guest that asks for answers without end gets a share of them. */
static void test_errors_are_limited(void **state)
{
	struct rig *r = *state;

	ns_try(r->ns[A], "timeout 6 ping -n -q -c 400 -i 0.002 -W 1 10.99.0.1 >/dev/null 2>&1");
	print_message("%lu refused, %lu told\n", stats(r).no_route, stats(r).errors);
	assert_true(stats(r).errors_limited > 0);
	assert_true(stats(r).no_route >= 400);
	assert_true(stats(r).errors < 100);
	/* Others have theirs. */
	assert_true(ping_says(r, B, "-t 1 10.1.0.2", "Time to live exceeded"));
}

/* With an argument: those tests only, as a pattern (kernel.router 'test_p*'). */
int main(int argc, char **argv)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	static const struct CMUnitTest tests[] = {
		WITH(test_gateway),
		WITH(test_ttl),
		WITH(test_nobody),
		WITH(test_large),
		WITH(test_other_host),
		WITH(test_set_neighbour),
		cmocka_unit_test_setup_teardown(test_path_mtu, setup_narrow, teardown),
		WITH(test_proxy),
		WITH(test_limit),
		WITH(test_errors_are_limited),
	};

	if (!netlab_begin())
		return 1;
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
