/* SPDX-License-Identifier: BSD-2-Clause */
/* Claims about vswitch/icmp.c: what an error looks like, about what none is sent, what one quotes.
 */
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
#include "tests/lib/frame.h"
#include "vsw_fixture.h"
#include "vswitch/icmp.h"
#include "vswitch/parse.h"

static struct frame f, err;
static struct pkt pkt;

static struct frame_spec spec(uint8_t ip, uint8_t proto, uint32_t payload)
{
	struct frame_spec s = {.ip = ip, .proto = proto, .payload_len = payload};

	frame_addr(&s, 1, 2);
	s.sport = 5000;
	s.dport = 443;
	return s;
}

static void look(uint32_t split)
{
	pkt_of_frame(&pkt, &f, split);
	assert_int_equal(pkt_parse(&pkt), VSW_DROP_NONE);
}

static void build(struct frame_spec s)
{
	frame_build(&f, &s);
	look(0);
}

static int make(enum icmp_error_kind kind, uint32_t mtu, const uint8_t *src)
{
	int len;

	memset(&err, 0, sizeof(err));
	len = icmp_error(&pkt, kind, mtu, src, err.data, ICMP_ERROR_MAX);
	if (len > 0) {
		err.len = (uint32_t)len;
		assert_true(frame_parse(&err));
		assert_true(frame_ip_sum_ok(&err));
		assert_true(frame_l4_sum_ok(&err));
	}
	return len;
}

static void a_router_says_too_big_by_ipv4(void **state)
{
	static const uint8_t router[4] = {10, 0, 0, 254};

	(void)state;
	build(spec(4, IPPROTO_TCP, 1440));
	/* RFC 1812, 4.3.2.3: no more than 576 bytes of IP. */
	assert_int_equal(make(ICMP_ERROR_TOOBIG, 1400, router), 14 + 576);
	assert_memory_equal(err.data, f.data + 6, 6);
	assert_memory_equal(err.data + 6, f.data, 6);
	assert_int_equal(be16_load(err.data + err.l3 + 2), 576);
	assert_memory_equal(err.data + err.l3 + 12, router, 4);
	assert_memory_equal(err.data + err.l3 + 16, f.data + f.l3 + 12, 4);
	assert_int_equal(be16_load(err.data + err.l4), 0x0304);
	assert_int_equal(be32_load(err.data + err.l4 + 4), 1400);
	assert_memory_equal(err.data + err.l4 + 8, f.data + f.l3, 576 - 28);
}

static void a_tunnel_says_too_big_by_ipv6_in_the_name_of_the_destination(void **state)
{
	(void)state;
	build(spec(6, IPPROTO_UDP, 1440));
	look(100); /* quotes also what is not among the copied bytes */
	assert_int_equal(make(ICMP_ERROR_TOOBIG, 1450, NULL), 14 + 1280);
	assert_memory_equal(err.data + err.l3 + 8, f.data + f.l3 + 24, 16);
	assert_memory_equal(err.data + err.l3 + 24, f.data + f.l3 + 8, 16);
	assert_int_equal(be16_load(err.data + err.l4), 0x0200);
	assert_int_equal(be32_load(err.data + err.l4 + 4), 1450);
	assert_memory_equal(err.data + err.l4 + 8, f.data + f.l3, 1280 - 48);
}

static void each_kind_has_its_type_and_code(void **state)
{
	static const uint16_t v4[] = {0x0300, 0x0301, 0x0303, 0x030d, 0x0304, 0x0b00};
	static const uint16_t v6[] = {0x0100, 0x0103, 0x0104, 0x0101, 0x0200, 0x0300};

	(void)state;
	assert_int_equal(ARRAY_SIZE(v4), ICMP_ERROR_N_KINDS);
	for (unsigned int k = 0; k < ICMP_ERROR_N_KINDS; k++) {
		build(spec(4, IPPROTO_UDP, 30));
		assert_int_equal(make(k, 1000, NULL), 14 + 28 + 58);
		assert_int_equal(be16_load(err.data + err.l4), v4[k]);
		build(spec(6, IPPROTO_UDP, 30));
		assert_int_equal(make(k, 1000, NULL), 14 + 48 + 78);
		assert_int_equal(be16_load(err.data + err.l4), v6[k]);
	}
}

static void it_goes_back_through_the_same_tags(void **state)
{
	struct frame_spec s = spec(4, IPPROTO_UDP, 10);

	(void)state;
	s.vlan = 7;
	build(s);
	pkt.flags |= PKT_VLAN;
	pkt.vlan_tci = 9;
	assert_int_equal(make(ICMP_ERROR_TTL, 0, NULL), 14 + 8 + 28 + 38);
	assert_int_equal(be32_load(err.data + 12), 0x81000009);
	assert_int_equal(be32_load(err.data + 16), 0x81000007);
}

/* The field of a large packet's length holds anything; who reads the quotation wants a number. */
static void a_large_packet_is_quoted_as_its_first_segment(void **state)
{
	(void)state;
	frame_build(&f, &(struct frame_spec){.ip = 4,
					     .proto = IPPROTO_TCP,
					     .payload_len = 5000,
					     .src = {2},
					     .saddr = {10, 0, 0, 1},
					     .daddr = {10, 0, 0, 2}});
	frame_make_partial(&f, true);
	pkt_of_frame(&pkt, &f, 0);
	pkt.flags = PKT_GSO_TCP;
	pkt.gso_size = 1460;
	assert_int_equal(pkt_parse(&pkt), VSW_DROP_NONE);
	assert_int_equal(make(ICMP_ERROR_TOOBIG, 1400, NULL), 14 + 576);
	assert_int_equal(be16_load(err.data + err.l4 + 8 + 2), 1500);
	assert_int_equal(csum_fold(csum_add(0, err.data + err.l4 + 8, 20)), 0);
}

static void about_some_packets_none_may_be_sent(void **state)
{
	struct frame_spec s = spec(4, IPPROTO_UDP, 10);
	static const uint8_t bad4[][4] = {
		{0}, {127, 0, 0, 1}, {224, 0, 0, 1}, {255, 255, 255, 255}};
	static const uint8_t bad6[][16] = {{0}, {[15] = 1}, {0xff, 2, [15] = 1}};

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(bad4); i++) {
		s = spec(4, IPPROTO_UDP, 10);
		memcpy(s.saddr, bad4[i], 4);
		build(s);
		assert_int_equal(make(ICMP_ERROR_NET, 0, NULL), -ENOMSG);
		s = spec(4, IPPROTO_UDP, 10);
		memcpy(s.daddr, bad4[i], 4);
		build(s);
		assert_int_equal(make(ICMP_ERROR_NET, 0, NULL), -ENOMSG);
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(bad6); i++) {
		s = spec(6, IPPROTO_UDP, 10);
		memcpy(s.saddr, bad6[i], 16);
		build(s);
		assert_int_equal(make(ICMP_ERROR_NET, 0, NULL), -ENOMSG);
		s = spec(6, IPPROTO_UDP, 10);
		memcpy(s.daddr, bad6[i], 16);
		build(s);
		assert_int_equal(make(ICMP_ERROR_NET, 0, NULL), -ENOMSG);
	}
	/* to a group of Ethernet */
	s = spec(4, IPPROTO_UDP, 10);
	s.dst[0] |= 1;
	build(s);
	assert_int_equal(make(ICMP_ERROR_NET, 0, NULL), -ENOMSG);
	/* a later fragment; the first is fine */
	s = spec(4, IPPROTO_UDP, 10);
	s.frag = 0x2004;
	build(s);
	assert_int_equal(make(ICMP_ERROR_NET, 0, NULL), -ENOMSG);
	s.frag = 0x2000;
	build(s);
	assert_true(make(ICMP_ERROR_NET, 0, NULL) > 0);
	/* not IP */
	s = (struct frame_spec){.eth_type = 0x0806, .payload_len = 28};
	build(s);
	assert_int_equal(make(ICMP_ERROR_NET, 0, NULL), -ENOMSG);
}

static void about_errors_none_is_sent_about_echoes_is(void **state)
{
	static const struct {
		uint8_t ip, type;
		bool may;
	} c[] = {{4, 8, true},	{4, 0, true},	{4, 13, true},	 {4, 3, false},
		 {4, 5, false}, {4, 11, false}, {6, 128, true},	 {6, 129, true},
		 {6, 1, false}, {6, 3, false},	{6, 127, false}, {6, 137, false}};

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(c); i++) {
		struct frame_spec s =
			spec(c[i].ip, c[i].ip == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6, 40);

		frame_build(&f, &s);
		f.data[f.l4] = c[i].type;
		frame_sum(&f);
		look(0);
		assert_int_equal(make(ICMP_ERROR_TTL, 0, NULL) > 0, c[i].may);
	}
}

static void no_room_no_error(void **state)
{
	(void)state;
	build(spec(4, IPPROTO_UDP, 30));
	assert_int_equal(icmp_error(&pkt, ICMP_ERROR_NET, 0, NULL, err.data, 14 + 28 + 57),
			 -ENOSPC);
	assert_int_equal(icmp_error(&pkt, ICMP_ERROR_NET, 0, NULL, err.data, 14 + 28 + 58),
			 14 + 28 + 58);
}

/* --- what is quoted --- */

static bool quote_of(struct frame_spec s, struct icmp_quote *q)
{
	build(s);
	assert_true(make(ICMP_ERROR_PORT, 0, NULL) > 0);
	memcpy(f.data, err.data, err.len);
	f.len = err.len;
	look(0);
	return icmp_quote(&pkt, q);
}

static void the_quoted_packet_is_found(void **state)
{
	struct frame_spec s = spec(4, IPPROTO_TCP, 300);
	struct icmp_quote q;

	(void)state;
	s.opt4 = 8;
	assert_true(quote_of(s, &q));
	assert_int_equal(q.proto, IPPROTO_TCP);
	assert_true(q.has_ports);
	assert_int_equal(be16_load(pkt.hdr + q.l4_off), 5000);
	assert_int_equal(be16_load(pkt.hdr + q.l4_off + 2), 443);
	assert_memory_equal(pkt.hdr + q.src_off, s.saddr, 4);
	assert_memory_equal(pkt.hdr + q.dst_off, s.daddr, 4);
	s = spec(6, IPPROTO_UDP, 300);
	s.ext6 = true;
	assert_true(quote_of(s, &q));
	assert_int_equal(q.proto, IPPROTO_UDP);
	assert_true(q.has_ports && !q.has_id);
	assert_int_equal(be16_load(pkt.hdr + q.l4_off), 5000);
	assert_memory_equal(pkt.hdr + q.src_off, s.saddr, 16);
	assert_memory_equal(pkt.hdr + q.dst_off, s.daddr, 16);
	assert_true(quote_of(spec(4, IPPROTO_ICMP, 30), &q));
	assert_true(q.has_id && q.request && !q.has_ports);
	assert_int_equal(be16_load(pkt.hdr + q.l4_off + 4), 5000);
}

/* Cut at each byte: no more is found than is there. */
static void a_quotation_that_ends_early(void **state)
{
	struct icmp_quote q;
	uint32_t whole;

	(void)state;
	build(spec(4, IPPROTO_UDP, 4));
	assert_true(make(ICMP_ERROR_PORT, 0, NULL) > 0);
	memcpy(f.data, err.data, err.len);
	whole = err.l4 + 8u + 28;
	for (uint32_t len = err.l4 + 8u; len <= whole; len++) {
		bool found;

		f.len = len;
		be16_store(f.data + err.l3 + 2, (uint16_t)(len - err.l3));
		look(0);
		found = icmp_quote(&pkt, &q);
		assert_int_equal(found, len >= err.l4 + 28u);
		if (found)
			assert_int_equal(q.has_ports, len >= err.l4 + 32u);
	}
}

static void a_quoted_later_fragment_has_no_ports(void **state)
{
	struct icmp_quote q;

	(void)state;
	assert_true(quote_of(spec(4, IPPROTO_UDP, 40), &q));
	be16_store(pkt.hdr + q.l3_off + 6, 0x0010);
	assert_true(icmp_quote(&pkt, &q));
	assert_true(q.later && !q.has_ports);
}

static void what_is_no_error_quotes_nothing(void **state)
{
	struct icmp_quote q;

	(void)state;
	build(spec(4, IPPROTO_ICMP, 60));
	assert_false(icmp_quote(&pkt, &q));
	pkt.hdr[pkt.l4_off] = 5; /* a redirect */
	assert_false(icmp_quote(&pkt, &q));
	build(spec(6, IPPROTO_ICMPV6, 60));
	assert_false(icmp_quote(&pkt, &q));
	build(spec(4, IPPROTO_TCP, 60));
	assert_false(icmp_quote(&pkt, &q));
}

static void queries(void **state)
{
	bool request;

	(void)state;
	build(spec(4, IPPROTO_ICMP, 60));
	assert_true(icmp_query(&pkt, &request) && request);
	pkt.hdr[pkt.l4_off] = 0;
	assert_true(icmp_query(&pkt, &request) && !request);
	pkt.hdr[pkt.l4_off] = 3;
	assert_false(icmp_query(&pkt, &request));
	build(spec(6, IPPROTO_ICMPV6, 60));
	assert_true(icmp_query(&pkt, &request) && request);
	pkt.hdr[pkt.l4_off] = 135; /* neighbour solicitation */
	assert_false(icmp_query(&pkt, &request));
	build(spec(4, IPPROTO_UDP, 60));
	assert_false(icmp_query(&pkt, &request));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_router_says_too_big_by_ipv4),
		cmocka_unit_test(a_tunnel_says_too_big_by_ipv6_in_the_name_of_the_destination),
		cmocka_unit_test(each_kind_has_its_type_and_code),
		cmocka_unit_test(it_goes_back_through_the_same_tags),
		cmocka_unit_test(a_large_packet_is_quoted_as_its_first_segment),
		cmocka_unit_test(about_some_packets_none_may_be_sent),
		cmocka_unit_test(about_errors_none_is_sent_about_echoes_is),
		cmocka_unit_test(no_room_no_error),
		cmocka_unit_test(the_quoted_packet_is_found),
		cmocka_unit_test(a_quotation_that_ends_early),
		cmocka_unit_test(a_quoted_later_fragment_has_no_ports),
		cmocka_unit_test(what_is_no_error_quotes_nothing),
		cmocka_unit_test(queries),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
