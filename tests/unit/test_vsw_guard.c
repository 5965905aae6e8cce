/* SPDX-License-Identifier: BSD-2-Clause */
/* Claims about vswitch/guard.c through vsw_send(): what a guarded guest cannot send. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <netinet/in.h>

#include "base/util.h"
#include "base/wire.h"
#include "features_rig.h"

static void guards(unsigned int g)
{
	have(1, (struct vsw_features){.guards = g});
}

/* UDP from port to port with a first payload byte. */
static void make_udp(uint8_t ip, uint16_t sport, uint16_t dport, uint8_t first)
{
	struct frame_spec s = {.ip = ip, .proto = IPPROTO_UDP, .payload_len = 240};

	frame_addr(&s, 1, 2);
	s.sport = sport;
	s.dport = dport;
	frame_build(&frame, &s);
	frame.data[frame.payload] = first;
	frame_sum(&frame);
}

static void make_icmp(uint8_t ip, uint8_t type)
{
	struct frame_spec s = {
		.ip = ip, .proto = ip == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6, .payload_len = 56};

	frame_addr(&s, 1, 2);
	frame_build(&frame, &s);
	frame.data[frame.l4] = type;
	frame_sum(&frame);
}

/* Bytes put in before the L4 header of an IPv6 frame, as an extension header of @kind. */
static void insert_ext(uint8_t kind, const uint8_t *ext, uint32_t n)
{
	uint8_t *at = frame.data + frame.l3 + 40;

	memmove(at + n, at, frame.len - frame.l3 - 40u);
	memcpy(at, ext, n);
	at[0] = frame.data[frame.l3 + 6];
	frame.data[frame.l3 + 6] = kind;
	frame.len += n;
	be16_store(frame.data + frame.l3 + 4, (uint16_t)(frame.len - frame.l3 - 40u));
}

/* The first @n bytes behind the IPv4 header, as the first fragment of a packet. */
static void first_fragment(uint32_t n)
{
	frame.len = frame.l4 + n;
	be16_store(frame.data + frame.l3 + 2, (uint16_t)(frame.len - frame.l3));
	be16_store(frame.data + frame.l3 + 6, 0x2000);
	frame_sum(&frame);
}

static bool passes(void)
{
	go(1);
	return got(2) == 1;
}

static void a_foreign_source_address_is_spoofing(void **state)
{
	(void)state;
	guards(GUARD_MAC);
	make(1, 2, 0);
	assert_true(passes());
	make(9, 2, 0);
	assert_false(passes());
	make(9, 0, 0);
	assert_false(passes());
	assert_int_equal(TX_DROPS(1, SPOOF), 2);
	/* Nothing was learned from them. */
	send_udp(3, 9, 0);
	assert_int_equal(got(2), 1);
	guards(0);
	make(9, 2, 0);
	assert_true(passes());
}

/* As Hyper-V does: the Ethernet source alone. */
static void addresses_inside_arp_are_not_looked_at(void **state)
{
	struct frame_spec s = {.eth_type = 0x0806, .payload_len = 28};

	(void)state;
	guards(GUARD_MAC);
	frame_addr(&s, 1, 2);
	frame_build(&frame, &s);
	assert_true(passes());
}

static void a_port_without_an_address_cannot_guard_it(void **state)
{
	struct vsw_features f = {.guards = GUARD_MAC};
	static struct test_port tap;

	(void)state;
	test_port_init(&tap, 0);
	assert_int_equal(vsw_port_attach(net, &tap.port), 0);
	assert_int_equal(vsw_port_set_features(&tap.port, &f), -EINVAL);
	vsw_port_detach(&tap.port);
}

static void a_dhcp_server_is_silenced_a_client_is_not(void **state)
{
	static const struct {
		uint16_t sport, dport;
		uint8_t op;
		bool passes;
	} c[] = {
		{68, 67, 1, true},    {67, 67, 1, true}, /* a relay's request */
		{67, 68, 2, false},   {67, 67, 2, false},   {1067, 68, 2, false},
		{1067, 67, 2, false}, {67, 1068, 2, false}, {67, 68, 0, false},
		{53, 5353, 2, true},  {69, 66, 2, true},
	};

	(void)state;
	guards(GUARD_DHCP);
	for (unsigned int i = 0; i < ARRAY_SIZE(c); i++) {
		make_udp(4, c[i].sport, c[i].dport, c[i].op);
		assert_int_equal(passes(), c[i].passes);
	}
	assert_int_equal(TX_DROPS(1, DHCP_GUARD), 6);
	guards(0);
	make_udp(4, 67, 68, 2);
	assert_true(passes());
}

static void the_same_for_dhcpv6(void **state)
{
	static const struct {
		uint16_t sport, dport;
		uint8_t type;
		bool passes;
	} c[] = {
		{546, 547, 1, true},   {546, 547, 3, true},
		{547, 547, 12, true}, /* relay-forward */
		{547, 546, 2, false},  {547, 546, 7, false},
		{547, 546, 10, false}, {547, 547, 13, false},
		{999, 546, 7, false},  {547, 1546, 7, false},
		{546, 548, 7, false},  {548, 549, 7, true},
	};

	(void)state;
	guards(GUARD_DHCP);
	for (unsigned int i = 0; i < ARRAY_SIZE(c); i++) {
		make_udp(6, c[i].sport, c[i].dport, c[i].type);
		assert_int_equal(passes(), c[i].passes);
	}
	assert_int_equal(TX_DROPS(1, DHCP_GUARD), 7);
}

static void a_router_is_silenced_a_neighbour_is_not(void **state)
{
	static const struct {
		uint8_t ip, type;
		bool passes;
	} c[] = {
		{6, 134, false}, {6, 137, false}, {6, 133, true}, {6, 135, true},
		{6, 136, true},	 {6, 128, true},  {4, 9, false},  {4, 5, false},
		{4, 8, true},	 {4, 10, true},	  {4, 3, true},
	};

	(void)state;
	guards(GUARD_ROUTER);
	for (unsigned int i = 0; i < ARRAY_SIZE(c); i++) {
		make_icmp(c[i].ip, c[i].type);
		assert_int_equal(passes(), c[i].passes);
	}
	assert_int_equal(TX_DROPS(1, ROUTER_GUARD), 4);
	guards(GUARD_MAC | GUARD_DHCP);
	make_icmp(6, 134);
	assert_true(passes());
}

static void extension_headers_hide_nothing(void **state)
{
	static const uint8_t hop[8] = {0, 0, 1, 4}, frag[8] = {[3] = 1}, later[8] = {[2] = 1};
	static const uint8_t unknown_route[24] = {0, 2, 99, 1};
	uint8_t big[248] = {0, 30, 1, 244};

	(void)state;
	guards(GUARD_ROUTER | GUARD_DHCP);
	make_icmp(6, 134);
	insert_ext(IPPROTO_HOPOPTS, hop, 8);
	assert_false(passes());
	make_icmp(6, 134);
	insert_ext(IPPROTO_DSTOPTS, big, sizeof(big)); /* ends behind what we copy */
	assert_false(passes());
	make_icmp(6, 134);
	insert_ext(IPPROTO_ROUTING, unknown_route, 24);
	assert_false(passes());
	make_icmp(6, 134);
	insert_ext(IPPROTO_FRAGMENT, frag, 8);
	assert_false(passes());
	/* A first fragment whose header chain goes on in the second. */
	make_icmp(6, 134);
	insert_ext(IPPROTO_DSTOPTS, hop, 8);
	insert_ext(IPPROTO_FRAGMENT, frag, 8);
	assert_false(passes());
	/* A later fragment is nothing without the first. */
	make_icmp(6, 134);
	insert_ext(IPPROTO_FRAGMENT, later, 8);
	assert_true(passes());
	make_icmp(6, 135);
	insert_ext(IPPROTO_HOPOPTS, hop, 8);
	assert_true(passes());
	make_udp(6, 547, 546, 7);
	insert_ext(IPPROTO_FRAGMENT, frag, 8);
	assert_false(passes());
}

static void fragments_hide_nothing(void **state)
{
	(void)state;
	guards(GUARD_DHCP | GUARD_ROUTER);
	make_udp(4, 67, 68, 2);
	first_fragment(64);
	assert_false(passes());
	make_udp(4, 67, 68, 2);
	first_fragment(8); /* the first byte that tells is in the next one */
	assert_false(passes());
	make_udp(4, 53, 5353, 2);
	first_fragment(8);
	assert_true(passes());
	make_icmp(4, 9);
	first_fragment(8);
	assert_false(passes());
	make_udp(4, 67, 68, 2);
	be16_store(frame.data + frame.l3 + 6, 0x0010);
	frame_sum(&frame);
	assert_true(passes());
}

static void tags_hide_nothing(void **state)
{
	struct frame_spec s = {.ip = 4,
			       .proto = IPPROTO_UDP,
			       .payload_len = 240,
			       .vlan = 7,
			       .sport = 67,
			       .dport = 68};

	(void)state;
	guards(GUARD_DHCP);
	frame_addr(&s, 1, 2);
	frame_build(&frame, &s);
	frame.data[frame.payload] = 2;
	frame_sum(&frame);
	assert_false(passes());
}

static void what_comes_to_a_guarded_port_is_not_guarded(void **state)
{
	(void)state;
	have(2, (struct vsw_features){.guards = GUARD_MAC | GUARD_DHCP | GUARD_ROUTER});
	make_udp(4, 67, 68, 2);
	assert_true(passes());
	make_icmp(6, 134);
	assert_true(passes());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(t) cmocka_unit_test_setup_teardown(t, rig_setup, rig_teardown)
		TEST(a_foreign_source_address_is_spoofing),
		TEST(addresses_inside_arp_are_not_looked_at),
		TEST(a_port_without_an_address_cannot_guard_it),
		TEST(a_dhcp_server_is_silenced_a_client_is_not),
		TEST(the_same_for_dhcpv6),
		TEST(a_router_is_silenced_a_neighbour_is_not),
		TEST(extension_headers_hide_nothing),
		TEST(fragments_hide_nothing),
		TEST(tags_hide_nothing),
		TEST(what_comes_to_a_guarded_port_is_not_guarded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
