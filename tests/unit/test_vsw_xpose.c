/* SPDX-License-Identifier: BSD-2-Clause */
/* Claims about vswitch/xpose.c, case by case. Random ones: test_vsw_xpose_random.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include <cmocka.h>
#include <netinet/in.h>

#include "base/util.h"
#include "base/wire.h"
#include "tests/lib/frame.h"
#include "xpose_rig.h"
#include "vswitch/icmp.h"
#include "vswitch/parse.h"
#include "vswitch/xpose.h"

static struct frame f, want, got;
static struct pkt in, out;

static struct frame_spec spec(uint8_t ip, uint8_t proto, uint32_t payload)
{
	struct frame_spec s = {.ip = ip, .proto = proto, .payload_len = payload};

	frame_addr(&s, 1, 2);
	s.sport = 0x1234;
	s.dport = 443;
	return s;
}

static void build(struct frame_spec s)
{
	frame_build(&f, &s);
	pkt_of_frame(&in, &f, 0);
	assert_int_equal(pkt_parse(&in), VSW_DROP_NONE);
}

static void apply(const struct vsw_xpose *x)
{
	assert_int_equal(xpose_apply(x, &in, &out), VSW_DROP_NONE);
	flatten(&out, &got);
}

/* --- single cases --- */

static void nothing_to_change_changes_nothing(void **state)
{
	struct vsw_xpose x = {0};

	(void)state;
	build(spec(4, IPPROTO_TCP, 900));
	apply(&x);
	assert_int_equal(got.len, f.len);
	assert_memory_equal(got.data, f.data, f.len);
}

/* RFC 1624, section 4: HC 0xDD2F, a field changes from 0x5555 to 0x3285: HC' is 0x0000. */
static void rfc1624_example(void **state)
{
	struct vsw_xpose x = {.flags = XPOSE_L4_SRC, .l4_src = 0x3285};
	struct frame_spec s = spec(4, IPPROTO_TCP, 0);

	(void)state;
	s.sport = 0x5555;
	frame_build(&f, &s);
	be16_store(f.data + f.l4 + 16, 0xdd2f);
	pkt_of_frame(&in, &f, 0);
	assert_int_equal(pkt_parse(&in), VSW_DROP_NONE);
	apply(&x);
	assert_int_equal(be16_load(got.data + got.l4), 0x3285);
	assert_int_equal(be16_load(got.data + got.l4 + 16), 0x0000);
}

/* The header of many textbooks, 45 00 00 73 ... b8 61; one hop later its sum is b9 61. */
static void a_well_known_header_one_hop_on(void **state)
{
	static const uint8_t header[20] = {0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40,
					   0x00, 0x40, 0x11, 0xb8, 0x61, 0xc0, 0xa8,
					   0x00, 0x01, 0xc0, 0xa8, 0x00, 0xc7};
	struct vsw_xpose x = {.flags = XPOSE_TTL, .ttl_dec = 1};

	(void)state;
	frame_udp(&f, 1, 2, 0x73 - 28);
	memcpy(f.data + 14, header, 20);
	pkt_of_frame(&in, &f, 0);
	assert_int_equal(pkt_parse(&in), VSW_DROP_NONE);
	apply(&x);
	assert_int_equal(got.data[14 + 8], 0x3f);
	assert_int_equal(be16_load(got.data + 14 + 10), 0xb961);
	assert_memory_equal(in.hdr, f.data, in.hdr_len);
}

static void nat_of_tcp_and_back_is_the_packet_again(void **state)
{
	struct vsw_xpose there = {.flags = XPOSE_IP_SRC | XPOSE_L4_SRC, .l4_src = 40001};
	struct vsw_xpose back = {.flags = XPOSE_IP_SRC | XPOSE_L4_SRC, .l4_src = 0x1234};
	struct pkt mid;

	(void)state;
	ip4(there.ip_src, 0xc6336401);
	build(spec(4, IPPROTO_TCP, 100));
	ip4(back.ip_src, be32_load(f.data + f.l3 + 12));
	apply(&there);
	assert_int_equal(be32_load(got.data + got.l3 + 12), 0xc6336401);
	assert_int_equal(be16_load(got.data + got.l4), 40001);
	assert_sums(&got);
	mid = out;
	assert_int_equal(xpose_apply(&back, &mid, &out), VSW_DROP_NONE);
	flatten(&out, &got);
	assert_memory_equal(got.data, f.data, f.len);
}

static void addresses_of_another_family_are_left_alone(void **state)
{
	struct vsw_xpose x = {.flags = XPOSE_IP_SRC | XPOSE_IP_DST, .ip_dst = {0xfd, 9}};

	(void)state;
	ip4(x.ip_src, 0x01020304);
	build(spec(4, IPPROTO_UDP, 20));
	apply(&x);
	assert_int_equal(be32_load(got.data + got.l3 + 12), 0x01020304);
	assert_memory_equal(got.data + got.l3 + 16, f.data + f.l3 + 16, 4);
	build(spec(6, IPPROTO_UDP, 20));
	apply(&x);
	assert_memory_equal(got.data + got.l3 + 8, f.data + f.l3 + 8, 16);
	assert_memory_equal(got.data + got.l3 + 24, x.ip_dst, 16);
	assert_sums(&got);
}

static void a_udp_sum_of_none_stays_none_and_zero_is_ffff(void **state)
{
	struct vsw_xpose x = {.flags = XPOSE_L4_SRC};
	struct frame_spec s = spec(4, IPPROTO_UDP, 40);

	(void)state;
	s.udp_no_sum = true;
	build(s);
	x.l4_src = 77;
	apply(&x);
	assert_int_equal(be16_load(got.data + got.l4 + 6), 0);
	/* A port that makes the sum come out as zero: 0x1234 plus the sum's field. */
	s.udp_no_sum = false;
	build(s);
	x.l4_src = (uint16_t)~csum_fold((uint32_t)0x1234 + be16_load(f.data + f.l4 + 6));
	apply(&x);
	assert_int_equal(be16_load(got.data + got.l4 + 6), 0xffff);
	assert_sums(&got);
}

static void a_wrong_sum_stays_wrong(void **state)
{
	struct vsw_xpose x = {.flags = XPOSE_IP_DST | XPOSE_L4_DST, .l4_dst = 8080};

	(void)state;
	ip4(x.ip_dst, 0x0a630001);
	frame_udp(&f, 1, 2, 40);
	f.data[f.l4 + 6] ^= 0x10;
	f.data[f.l3 + 10] ^= 0x10;
	pkt_of_frame(&in, &f, 0);
	assert_int_equal(pkt_parse(&in), VSW_DROP_NONE);
	apply(&x);
	assert_false(frame_l4_sum_ok(&got));
	assert_false(frame_ip_sum_ok(&got));
}

static void the_last_hop_ends_it(void **state)
{
	struct vsw_xpose x = {.flags = XPOSE_TTL, .ttl_dec = 64};

	(void)state;
	build(spec(4, IPPROTO_TCP, 1));
	assert_int_equal(xpose_apply(&x, &in, &out), VSW_DROP_TTL);
	build(spec(6, IPPROTO_TCP, 1));
	assert_int_equal(xpose_apply(&x, &in, &out), VSW_DROP_TTL);
	x.ttl_dec = 63;
	apply(&x);
	assert_int_equal(got.data[got.l3 + 7], 1);
}

static void dscp_leaves_ecn(void **state)
{
	struct vsw_xpose x = {.flags = XPOSE_DSCP, .dscp = 46};

	(void)state;
	frame_udp(&f, 1, 2, 8);
	f.data[f.l3 + 1] = 0x03;
	frame_sum(&f);
	pkt_of_frame(&in, &f, 0);
	assert_int_equal(pkt_parse(&in), VSW_DROP_NONE);
	apply(&x);
	assert_int_equal(got.data[got.l3 + 1], 46 << 2 | 3);
	assert_sums(&got);
	build(spec(6, IPPROTO_UDP, 8));
	apply(&x);
	assert_int_equal(be16_load(got.data + got.l3), 0x6000 | 46 << 6);
}

/* A request's identifier is a source port, a reply's a destination port. */
static void echo_identifiers(void **state)
{
	struct vsw_xpose src = {.flags = XPOSE_L4_SRC, .l4_src = 999};
	struct vsw_xpose dst = {.flags = XPOSE_L4_DST, .l4_dst = 999};

	(void)state;
	for (unsigned int v6 = 0; v6 < 2; v6++) {
		for (unsigned int reply = 0; reply < 2; reply++) {
			struct frame_spec s =
				spec(v6 ? 6 : 4, v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP, 56);

			frame_build(&f, &s);
			if (reply)
				f.data[f.l4] = v6 ? 129 : 0;
			frame_sum(&f);
			pkt_of_frame(&in, &f, 0);
			assert_int_equal(pkt_parse(&in), VSW_DROP_NONE);
			apply(reply ? &dst : &src);
			assert_int_equal(be16_load(got.data + got.l4 + 4), 999);
			assert_sums(&got);
			apply(reply ? &src : &dst);
			assert_int_equal(be16_load(got.data + got.l4 + 4), 0x1234);
		}
	}
}

/* --- fragments, and what is out of reach --- */

static void the_first_fragment_keeps_a_right_sum(void **state)
{
	struct vsw_xpose x = {.flags = XPOSE_IP_SRC};
	struct frame_spec s = spec(4, IPPROTO_UDP, 64);

	(void)state;
	ip4(x.ip_src, 0xcb007105);
	frame_build(&f, &s);
	/* The whole packet's sum is in it; the frame is the first 40 bytes of its IP payload. */
	f.len -= 32;
	be16_store(f.data + f.l3 + 2, (uint16_t)(f.len - f.l3));
	be16_store(f.data + f.l3 + 6, 0x2000);
	frame_sum(&f);
	pkt_of_frame(&in, &f, 0);
	assert_int_equal(pkt_parse(&in), VSW_DROP_NONE);
	apply(&x);
	/* The reassembled packet, from the source it has now. */
	memcpy(s.saddr, x.ip_src + 12, 4);
	frame_build(&want, &s);
	assert_memory_equal(got.data + got.l4, want.data + want.l4, 40);
	assert_true(frame_ip_sum_ok(&got));
}

static void a_later_fragment_has_no_sum(void **state)
{
	struct vsw_xpose x = {.flags = XPOSE_IP_SRC};
	struct frame_spec s = spec(4, IPPROTO_UDP, 64);

	(void)state;
	ip4(x.ip_src, 0xcb007105);
	s.frag = 0x2001;
	build(s);
	apply(&x);
	assert_memory_equal(got.data + got.l4, f.data + f.l4, 72);
	assert_true(frame_ip_sum_ok(&got));
}

static void ports_of_a_fragment_cannot_be_changed(void **state)
{
	struct vsw_xpose x = {.flags = XPOSE_L4_DST, .l4_dst = 1};
	struct frame_spec s = spec(4, IPPROTO_UDP, 64);

	(void)state;
	s.frag = 0x2001;
	build(s);
	assert_int_equal(xpose_apply(&x, &in, &out), VSW_DROP_REWRITE);
	s.frag = 0x2000;
	build(s);
	assert_int_equal(xpose_apply(&x, &in, &out), VSW_DROP_REWRITE);
	/* Of what has no ports they are not missed. */
	s.proto = IPPROTO_ESP;
	build(s);
	assert_int_equal(xpose_apply(&x, &in, &out), VSW_DROP_NONE);
}

/* The TCP checksum would be in the second fragment. */
static void a_tiny_fragment_cannot_get_another_address(void **state)
{
	struct vsw_xpose x = {.flags = XPOSE_IP_DST};
	struct frame_spec s = spec(4, IPPROTO_TCP, 0);

	(void)state;
	ip4(x.ip_dst, 0xcb007105);
	frame_build(&f, &s);
	f.len = f.l4 + 8u;
	be16_store(f.data + f.l3 + 2, (uint16_t)(f.len - f.l3));
	be16_store(f.data + f.l3 + 6, 0x2000);
	frame_sum(&f);
	pkt_of_frame(&in, &f, 0);
	assert_int_equal(pkt_parse(&in), VSW_DROP_NONE);
	assert_int_equal(xpose_apply(&x, &in, &out), VSW_DROP_REWRITE);
}

/* A hop-by-hop header so long that the UDP header behind it is not among the copied bytes. */
static void a_sum_behind_the_copied_bytes_cannot_be_changed(void **state)
{
	struct vsw_xpose x = {.flags = XPOSE_IP_DST, .ip_dst = {0xfd, 7}};
	struct frame_spec s = spec(6, IPPROTO_UDP, 400);
	static uint8_t moved[FRAME_MAX];

	(void)state;
	frame_build(&f, &s);
	memcpy(moved, f.data + 54, 408);
	memset(f.data + 54, 0, 208);
	f.data[20] = IPPROTO_HOPOPTS;
	f.data[54] = IPPROTO_UDP;
	f.data[55] = 25;
	memcpy(f.data + 54 + 208, moved, 408);
	f.len += 208;
	be16_store(f.data + 18, (uint16_t)(f.len - 54));
	pkt_of_frame(&in, &f, 0);
	assert_int_equal(pkt_parse(&in), VSW_DROP_NONE);
	assert_int_equal(in.l4, PKT_L4_OTHER);
	assert_int_equal(xpose_apply(&x, &in, &out), VSW_DROP_REWRITE);
	x.flags = XPOSE_L4_DST;
	assert_int_equal(xpose_apply(&x, &in, &out), VSW_DROP_REWRITE);
}

/* --- tags --- */

static void a_tag_put_on_is_a_debt(void **state)
{
	struct vsw_xpose x = {0};

	(void)state;
	assert_true(xpose_vlan_push(&x, 0x6007));
	build(spec(4, IPPROTO_TCP, 100));
	apply(&x);
	assert_int_equal(out.flags & PKT_VLAN, PKT_VLAN);
	assert_int_equal(out.vlan_tci, 0x6007);
	assert_int_equal(out.len, in.len);
	assert_int_equal(got.len, f.len + 4);
	assert_int_equal(be32_load(got.data + 12), 0x81006007);
	/* One more: the first goes into the frame. */
	assert_true(xpose_vlan_push(&x, 0x0008));
	assert_false(xpose_vlan_push(&x, 0x0009));
	apply(&x);
	assert_int_equal(out.vlan_tci, 8);
	assert_int_equal(out.len, in.len + 4);
	assert_int_equal(be32_load(got.data + 12), 0x81000008);
	assert_int_equal(be32_load(got.data + 16), 0x81006007);
}

static void a_tag_is_taken_off_wherever_it_is(void **state)
{
	struct vsw_xpose x = {0};
	struct frame_spec s = spec(4, IPPROTO_UDP, 300);

	(void)state;
	xpose_vlan_pop(&x);
	build(s);
	memcpy(&want, &f, sizeof(f));
	in.flags |= PKT_VLAN;
	in.vlan_tci = 5;
	apply(&x);
	assert_int_equal(out.flags & PKT_VLAN, 0);
	assert_memory_equal(got.data, want.data, want.len);
	s.vlan = 5;
	build(s);
	apply(&x);
	assert_int_equal(got.len, want.len);
	assert_memory_equal(got.data, want.data, want.len);
	s.vlan = 0;
	build(s);
	apply(&x); /* none there: nothing happens */
	assert_memory_equal(got.data, want.data, want.len);
}

static void a_vlan_that_is_set_keeps_the_priority(void **state)
{
	struct vsw_xpose x = {0};
	struct frame_spec s = spec(6, IPPROTO_TCP, 10);

	(void)state;
	xpose_vlan_set(&x, 100);
	build(s);
	apply(&x);
	assert_int_equal(be32_load(got.data + 12), 0x81000064);
	in.flags |= PKT_VLAN;
	in.vlan_tci = 0xa001;
	apply(&x);
	assert_int_equal(be32_load(got.data + 12), 0x8100a064);
	s.vlan = 0xe000;
	build(s);
	apply(&x);
	assert_int_equal(be32_load(got.data + 12), 0x8100e064);
	assert_int_equal(got.len, f.len);
}

/* The header bytes are full: what is pushed out of them goes on as a piece, no byte is lost. */
static void a_tag_in_a_full_header_pushes_payload_into_the_pieces(void **state)
{
	struct vsw_xpose x = {0};

	(void)state;
	assert_true(xpose_vlan_push(&x, 1));
	assert_true(xpose_vlan_push(&x, 2));
	build(spec(4, IPPROTO_TCP, 1000));
	in.flags |= PKT_VLAN;
	in.vlan_tci = 3;
	assert_int_equal(in.hdr_len, PKT_HDR_MAX);
	apply(&x);
	assert_int_equal(out.hdr_len, PKT_HDR_MAX);
	assert_int_equal(out.n_pieces, in.n_pieces + 1);
	assert_int_equal(out.piece[0].len, 8);
	assert_int_equal(got.len, f.len + 12);
	assert_memory_equal(got.data + 24, f.data + 12, f.len - 12);
	assert_sums(&got);
	/* No piece left for it. */
	pkt_of_frame(&in, &f, 15);
	assert_int_equal(pkt_parse(&in), VSW_DROP_NONE);
	in.flags |= PKT_VLAN;
	for (; in.n_pieces < PKT_MAX_PIECES; in.n_pieces++)
		in.piece[in.n_pieces].len = 0;
	assert_int_equal(xpose_apply(&x, &in, &out), VSW_DROP_REWRITE);
}

/* --- tunnel key, addresses of Ethernet --- */

static void tunnel_keys(void **state)
{
	struct vsw_xpose set = {.flags = XPOSE_TUN_SET, .tun = {.vni = 77, .remote = {1}}};
	struct vsw_xpose clear = {.flags = XPOSE_TUN_CLEAR}, both = set;

	(void)state;
	build(spec(4, IPPROTO_TCP, 10));
	in.tun = (struct pkt_tunnel){.set = true, .received = true, .vni = 5};
	apply(&set);
	assert_true(out.tun.set);
	assert_false(out.tun.received);
	assert_int_equal(out.tun.vni, 77);
	apply(&clear);
	assert_false(out.tun.set);
	assert_true(xpose_compose(&both, &clear));
	assert_int_equal(both.flags, XPOSE_TUN_CLEAR);
	assert_true(xpose_compose(&both, &set));
	assert_int_equal(both.flags, XPOSE_TUN_SET);
	assert_memory_equal(&both, &set, sizeof(set));
	assert_true(in.tun.received);
}

static void frames_without_ip_get_new_addresses_of_ethernet(void **state)
{
	struct vsw_xpose x = {.flags = XPOSE_ALL & ~(XPOSE_TUN_CLEAR | XPOSE_VLAN),
			      .eth_src = {2, 1},
			      .eth_dst = {2, 2},
			      .ttl_dec = 200};
	struct frame_spec s = {.eth_type = 0x0806, .payload_len = 28};

	(void)state;
	build(s);
	apply(&x);
	assert_memory_equal(got.data, x.eth_dst, 6);
	assert_memory_equal(got.data + 6, x.eth_src, 6);
	assert_memory_equal(got.data + 12, f.data + 12, f.len - 12);
}

/* An error that a guest behind a published address sends: it is from that address then. */
static void an_error_from_behind_a_published_address(void **state)
{
	struct vsw_xpose in_half = {.flags = XPOSE_IP_DST | XPOSE_L4_DST, .l4_dst = 8080};
	struct vsw_xpose out_half = {.flags = XPOSE_IP_SRC | XPOSE_L4_SRC, .l4_src = 443};
	static struct frame sent, there;

	(void)state;
	build(spec(4, IPPROTO_UDP, 100));
	memcpy(&sent, &f, sizeof(f));
	ip4(in_half.ip_dst, 0x0a000909);
	ip4(out_half.ip_src, be32_load(f.data + f.l3 + 16));
	assert_int_equal(xpose_apply(&in_half, &in, &out), VSW_DROP_NONE);
	flatten(&out, &there);
	error_about(&there, ICMP_ERROR_PORT, NULL, &in);
	assert_int_equal(xpose_apply_icmp_error(&out_half, &in, &out), VSW_DROP_NONE);
	flatten(&out, &got);
	assert_sums(&got);
	assert_memory_equal(got.data + got.l3 + 12, sent.data + sent.l3 + 16, 4);
	assert_memory_equal(got.data + got.l4 + 8, sent.data + sent.l3, sent.len - sent.l3);
}

static void what_quotes_nothing_is_not_let_through(void **state)
{
	struct vsw_xpose x = {.flags = XPOSE_IP_DST};

	(void)state;
	ip4(x.ip_dst, 0x0a000001);
	build(spec(4, IPPROTO_ICMP, 20)); /* an echo */
	assert_int_equal(xpose_apply_icmp_error(&x, &in, &out), VSW_DROP_REWRITE);
	f.data[f.l4] = 3;
	frame_sum(&f);
	pkt_of_frame(&in, &f, 0); /* quotes 20 random bytes */
	assert_int_equal(pkt_parse(&in), VSW_DROP_NONE);
	assert_int_equal(xpose_apply_icmp_error(&x, &in, &out), VSW_DROP_REWRITE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_to_change_changes_nothing),
		cmocka_unit_test(rfc1624_example),
		cmocka_unit_test(a_well_known_header_one_hop_on),
		cmocka_unit_test(nat_of_tcp_and_back_is_the_packet_again),
		cmocka_unit_test(addresses_of_another_family_are_left_alone),
		cmocka_unit_test(a_udp_sum_of_none_stays_none_and_zero_is_ffff),
		cmocka_unit_test(a_wrong_sum_stays_wrong),
		cmocka_unit_test(the_last_hop_ends_it),
		cmocka_unit_test(dscp_leaves_ecn),
		cmocka_unit_test(echo_identifiers),
		cmocka_unit_test(the_first_fragment_keeps_a_right_sum),
		cmocka_unit_test(a_later_fragment_has_no_sum),
		cmocka_unit_test(ports_of_a_fragment_cannot_be_changed),
		cmocka_unit_test(a_tiny_fragment_cannot_get_another_address),
		cmocka_unit_test(a_sum_behind_the_copied_bytes_cannot_be_changed),
		cmocka_unit_test(a_tag_put_on_is_a_debt),
		cmocka_unit_test(a_tag_is_taken_off_wherever_it_is),
		cmocka_unit_test(a_vlan_that_is_set_keeps_the_priority),
		cmocka_unit_test(a_tag_in_a_full_header_pushes_payload_into_the_pieces),
		cmocka_unit_test(tunnel_keys),
		cmocka_unit_test(frames_without_ip_get_new_addresses_of_ethernet),
		cmocka_unit_test(an_error_from_behind_a_published_address),
		cmocka_unit_test(what_quotes_nothing_is_not_let_through),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
