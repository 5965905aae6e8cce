/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Claims about vswitch/xpose.c. Besides single cases: random packets and changes, compared with
 * the same change made byte by byte in the complete frame and summed afresh (tests/lib/frame.h).
 */
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
#include "tests/lib/rng.h"
#include "vsw_fixture.h"
#include "vswitch/icmp.h"
#include "vswitch/parse.h"
#include "vswitch/xpose.h"

static struct frame f, want, got;
static struct pkt in, out;

static void ip4(uint8_t to[16], uint32_t addr)
{
	memset(to, 0, 10);
	memset(to + 10, 0xff, 2);
	be32_store(to + 12, addr);
}

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

/* All debts paid, one frame. */
static void flatten(struct pkt *p, struct frame *to)
{
	struct iovec iov = {to->data, sizeof(to->data)};
	struct vsw_settle s;
	struct vsw_frame fr;

	assert_int_equal(vsw_settle_begin(&s, p, 0, 0), VSW_DROP_NONE);
	assert_true(vsw_settle_next(&s, &fr));
	vsw_frame_copy(&fr, &iov, 1);
	to->len = fr.len;
	assert_false(vsw_settle_next(&s, &fr));
	frame_parse(to);
}

static void apply(const struct vsw_xpose *x)
{
	assert_int_equal(xpose_apply(x, &in, &out), VSW_DROP_NONE);
	flatten(&out, &got);
}

static void assert_sums(const struct frame *fr)
{
	assert_true(frame_ip_sum_ok(fr));
	assert_true(frame_l4_sum_ok(fr));
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

/* --- random packets and changes --- */

static struct vsw_xpose random_xpose(struct rng *r, bool ip6)
{
	struct vsw_xpose x = {.flags = (uint32_t)rng_u64(r) & XPOSE_ALL};

	if (!rng_below(r, 4))
		x.flags &= XPOSE_IP_SRC | XPOSE_L4_SRC;
	x.flags &= ~(XPOSE_VLAN | (rng_below(r, 2) ? XPOSE_TUN_SET : XPOSE_TUN_CLEAR));
	if (x.flags & XPOSE_ETH_SRC)
		frame_mac(x.eth_src, rng_below(r, 1000));
	if (x.flags & XPOSE_ETH_DST)
		frame_mac(x.eth_dst, rng_below(r, 1000));
	if (x.flags & XPOSE_IP_SRC)
		rng_fill(r, x.ip_src, 16);
	if (x.flags & XPOSE_IP_DST)
		rng_fill(r, x.ip_dst, 16);
	if (!ip6) {
		if (x.flags & XPOSE_IP_SRC)
			ip4(x.ip_src, (uint32_t)rng_u64(r));
		if (x.flags & XPOSE_IP_DST)
			ip4(x.ip_dst, (uint32_t)rng_u64(r));
	}
	if (x.flags & XPOSE_L4_SRC)
		x.l4_src = (uint16_t)rng_u64(r);
	if (x.flags & XPOSE_L4_DST)
		x.l4_dst = (uint16_t)rng_u64(r);
	if (x.flags & XPOSE_TTL)
		x.ttl_dec = (uint8_t)rng_below(r, 40);
	if (x.flags & XPOSE_DSCP)
		x.dscp = (uint8_t)rng_below(r, 64);
	if (x.flags & XPOSE_TUN_SET)
		x.tun = (struct pkt_tunnel){.set = true, .vni = rng_below(r, 1u << 24)};
	for (unsigned int n = rng_below(r, 4); n; n--) {
		switch (rng_below(r, 3)) {
		case 0:
			xpose_vlan_pop(&x);
			break;
		case 1:
			xpose_vlan_set(&x, (uint16_t)rng_below(r, 4096));
			break;
		case 2:
			xpose_vlan_push(&x, (uint16_t)rng_u64(r));
			break;
		}
	}
	return x;
}

static struct frame_spec random_spec(struct rng *r)
{
	static const uint8_t protos[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP, IPPROTO_SCTP};
	struct frame_spec s = {.ip = rng_below(r, 2) ? 4 : 6};

	s.proto = protos[rng_below(r, 4)];
	if (s.ip == 6 && s.proto == IPPROTO_ICMP)
		s.proto = IPPROTO_ICMPV6;
	frame_addr(&s, 1 + rng_below(r, 60000), 1 + rng_below(r, 60000));
	s.vlan = (uint16_t)(rng_below(r, 3) ? 0 : rng_u64(r));
	s.opt4 = (uint8_t)(rng_below(r, 3) ? 0 : 4 * rng_below(r, 11));
	s.tcp_opt = (uint8_t)(4 * rng_below(r, 11));
	s.ext6 = !rng_below(r, 3);
	s.udp_no_sum = !rng_below(r, 4) && s.ip == 4;
	s.tcp_flags = (uint8_t)rng_u64(r);
	s.ip_id = (uint16_t)rng_u64(r);
	s.sport = (uint16_t)rng_u64(r);
	s.dport = (uint16_t)rng_u64(r);
	s.payload_len = rng_below(r, rng_below(r, 2) ? 40 : 3000);
	s.seed = rng_u64(r);
	return s;
}

static void insert_tag(struct frame *fr, uint16_t tci)
{
	memmove(fr->data + 16, fr->data + 12, fr->len - 12);
	be16_store(fr->data + 12, 0x8100);
	be16_store(fr->data + 14, tci);
	fr->len += 4;
}

static void remove_tag(struct frame *fr)
{
	if (be16_load(fr->data + 12) != 0x8100)
		return;
	memmove(fr->data + 12, fr->data + 16, fr->len - 16);
	fr->len -= 4;
}

/* What must come of a complete frame: changed byte by byte, summed afresh. */
static void slow(struct frame *fr, const struct vsw_xpose *x, bool no_sum)
{
	uint8_t *ip, *l4;
	bool v4;

	for (unsigned int i = 0; (x->flags & XPOSE_VLAN) && i < x->vlan.pop; i++)
		remove_tag(fr);
	if ((x->flags & XPOSE_VLAN) && x->vlan.set) {
		if (be16_load(fr->data + 12) != 0x8100)
			insert_tag(fr, 0);
		fr->data[14] = (uint8_t)((fr->data[14] & 0xf0) | x->vlan.vid >> 8);
		fr->data[15] = (uint8_t)x->vlan.vid;
	}
	for (unsigned int i = 0; (x->flags & XPOSE_VLAN) && i < x->vlan.push; i++)
		insert_tag(fr, x->vlan.tci[i]);
	if (x->flags & XPOSE_ETH_DST)
		memcpy(fr->data, x->eth_dst, 6);
	if (x->flags & XPOSE_ETH_SRC)
		memcpy(fr->data + 6, x->eth_src, 6);
	assert_true(frame_parse(fr));
	ip = fr->data + fr->l3;
	l4 = fr->data + fr->l4;
	v4 = fr->ip == 4;
	if (x->flags & XPOSE_IP_SRC)
		memcpy(ip + (v4 ? 12 : 8), x->ip_src + (v4 ? 12 : 0), v4 ? 4 : 16);
	if (x->flags & XPOSE_IP_DST)
		memcpy(ip + (v4 ? 16 : 24), x->ip_dst + (v4 ? 12 : 0), v4 ? 4 : 16);
	if (x->flags & XPOSE_TTL)
		ip[v4 ? 8 : 7] = (uint8_t)(ip[v4 ? 8 : 7] - x->ttl_dec);
	if (x->flags & XPOSE_DSCP) {
		uint8_t tos = (uint8_t)(v4 ? ip[1] : ip[0] << 4 | ip[1] >> 4);

		tos = (uint8_t)((tos & 3) | x->dscp << 2);
		if (v4)
			ip[1] = tos;
		else
			be16_store(ip, (uint16_t)(0x6000 | tos << 4 | (ip[1] & 0xf)));
	}
	if (fr->proto == IPPROTO_TCP || fr->proto == IPPROTO_UDP) {
		if (x->flags & XPOSE_L4_SRC)
			be16_store(l4, x->l4_src);
		if (x->flags & XPOSE_L4_DST)
			be16_store(l4 + 2, x->l4_dst);
	} else if (fr->proto != IPPROTO_SCTP && (x->flags & XPOSE_L4_SRC)) {
		be16_store(l4 + 4, x->l4_src); /* the builder makes echo requests */
	}
	frame_sum(fr);
	if (no_sum)
		memset(l4 + 6, 0, 2);
}

/* 0 and 0xffff are the same sum, but for UDP. */
static void same_sum(struct frame *fr)
{
	uint8_t *sum = fr->data + fr->l4 + (fr->proto == IPPROTO_TCP ? 16 : 2);

	if ((fr->proto == IPPROTO_TCP || fr->proto == IPPROTO_ICMPV6 ||
	     fr->proto == IPPROTO_ICMP) &&
	    be16_load(sum) == 0xffff)
		memset(sum, 0, 2);
}

static void assert_same_frame(struct frame *a, struct frame *b)
{
	assert_int_equal(a->len, b->len);
	assert_true(frame_parse(a) && frame_parse(b));
	same_sum(a);
	same_sum(b);
	assert_memory_equal(a->data, b->data, a->len);
}

/* Offsets and kinds are what a fresh look finds. */
static void assert_parsed(const struct pkt *p)
{
	static struct pkt again;

	again = *p;
	assert_int_equal(pkt_parse(&again), VSW_DROP_NONE);
	assert_memory_equal(&again, p, offsetof(struct pkt, piece));
}

/* Half the packets have debts, and the fields hold anything. */
static void make_debts(struct rng *r, struct frame_spec *s, struct frame *sent)
{
	uint32_t flags = 0;

	if (rng_below(r, 2) && s->ip == 4) {
		flags |= PKT_CSUM_IP;
		rng_fill(r, sent->data + sent->l3 + 10, 2);
	}
	if (rng_below(r, 2) && !s->udp_no_sum &&
	    (s->proto == IPPROTO_TCP || s->proto == IPPROTO_UDP || s->proto == IPPROTO_ICMPV6)) {
		flags |= PKT_CSUM_L4;
		rng_fill(r,
			 sent->data + sent->l4 +
				 (s->proto == IPPROTO_TCP   ? 16
				  : s->proto == IPPROTO_UDP ? 6
							    : 2),
			 2);
	}
	pkt_of_frame(&in, sent, rng_below(r, 3) ? 0 : 60 + rng_below(r, 1000));
	in.flags = flags;
	if (!rng_below(r, 3)) {
		in.flags |= PKT_VLAN;
		in.vlan_tci = (uint16_t)rng_u64(r);
	}
	assert_int_equal(pkt_parse(&in), VSW_DROP_NONE);
}

static void as_if_made_byte_by_byte(void **state)
{
	struct rng r = {.s = 20};
	static struct frame sent;
	static struct pkt before;

	(void)state;
	for (unsigned int n = 0; n < 40000; n++) {
		struct frame_spec s = random_spec(&r);
		struct vsw_xpose x = random_xpose(&r, s.ip == 6);

		frame_build(&sent, &s);
		memcpy(&want, &sent, offsetof(struct frame, data) + sent.len);
		make_debts(&r, &s, &sent);
		if (in.flags & PKT_VLAN)
			insert_tag(&want, in.vlan_tci);
		memcpy(&before, &in, sizeof(in));
		assert_int_equal(xpose_apply(&x, &in, &out), VSW_DROP_NONE);
		assert_memory_equal(&before, &in, sizeof(in));
		assert_parsed(&out);
		flatten(&out, &got);
		slow(&want, &x, s.udp_no_sum && s.proto == IPPROTO_UDP);
		assert_same_frame(&got, &want);
	}
}

static void large_packets_whole(void **state)
{
	struct rng r = {.s = 21};
	static struct frame sent, seg;

	(void)state;
	for (unsigned int n = 0; n < 2000; n++) {
		struct frame_spec s = random_spec(&r);
		struct vsw_xpose x;
		struct vsw_settle st;
		struct vsw_frame fr;
		uint16_t mss = (uint16_t)(100 + rng_below(&r, 1400));
		uint32_t i = 0;

		s.proto = IPPROTO_TCP;
		s.payload_len = rng_below(&r, 20000);
		x = random_xpose(&r, s.ip == 6);
		frame_build(&sent, &s);
		memcpy(&want, &sent, offsetof(struct frame, data) + sent.len);
		slow(&want, &x, false);
		frame_make_partial(&sent, true);
		pkt_of_frame(&in, &sent, 0);
		in.flags = PKT_GSO_TCP;
		in.gso_size = mss;
		assert_int_equal(pkt_parse(&in), VSW_DROP_NONE);
		assert_int_equal(xpose_apply(&x, &in, &out), VSW_DROP_NONE);
		assert_int_equal(out.gso_size, mss);
		assert_parsed(&out);
		assert_int_equal(vsw_settle_begin(&st, &out, 0, 0), VSW_DROP_NONE);
		while (vsw_settle_next(&st, &fr)) {
			struct iovec iov = {got.data, sizeof(got.data)};

			vsw_frame_copy(&fr, &iov, 1);
			got.len = fr.len;
			assert_true(frame_segment(&want, mss, i++, &seg));
			assert_same_frame(&got, &seg);
		}
		assert_false(frame_segment(&want, mss, i, &seg));
	}
}

/* One after the other is the same as both at once. */
static void composed_is_one_after_the_other(void **state)
{
	struct rng r = {.s = 22};
	static struct frame sent;
	static struct pkt mid;

	(void)state;
	for (unsigned int n = 0; n < 40000; n++) {
		struct frame_spec s = random_spec(&r);
		struct vsw_xpose a = random_xpose(&r, s.ip == 6), b = random_xpose(&r, s.ip == 6);
		struct vsw_xpose both = a, kept = a;
		enum vsw_drop w1, w2;

		frame_build(&sent, &s);
		make_debts(&r, &s, &sent);
		if (!xpose_compose(&both, &b)) {
			assert_memory_equal(&both, &kept, sizeof(both));
			continue;
		}
		w1 = xpose_apply(&a, &in, &mid);
		if (w1 == VSW_DROP_NONE)
			w1 = xpose_apply(&b, &mid, &out);
		if (w1 == VSW_DROP_NONE)
			flatten(&out, &want);
		w2 = xpose_apply(&both, &in, &out);
		assert_int_equal(w1, w2);
		if (w1 != VSW_DROP_NONE)
			continue;
		assert_parsed(&out);
		flatten(&out, &got);
		assert_same_frame(&got, &want);
	}
}

/* --- errors about translated packets --- */

/* The error that a router sends about the frame in @about, parsed into @in. */
static void error_about(struct frame *about, enum icmp_error_kind kind, const uint8_t *from)
{
	static struct frame err;
	int len;

	pkt_of_frame(&in, about, 0);
	assert_int_equal(pkt_parse(&in), VSW_DROP_NONE);
	len = icmp_error(&in, kind, 1400, from, err.data, sizeof(err.data));
	assert_true(len > 0);
	err.len = (uint32_t)len;
	assert_true(frame_parse(&err));
	assert_sums(&err);
	pkt_of_frame(&in, &err, 0);
	assert_int_equal(pkt_parse(&in), VSW_DROP_NONE);
}

/*
 * A guest's packet goes out translated; the error about it comes in. The guest must see its own
 * packet quoted, byte for byte, and right sums.
 */
static void an_error_quotes_what_the_guest_sent(void **state)
{
	struct rng r = {.s = 23};
	static struct frame sent, there;
	static const uint8_t router4[4] = {198, 18, 0, 1}, router6[16] = {0xfd, 0x99, [15] = 1};

	(void)state;
	for (unsigned int n = 0; n < 20000; n++) {
		struct frame_spec s = random_spec(&r);
		struct vsw_xpose x = {.flags = XPOSE_IP_SRC | XPOSE_L4_SRC}, back;
		const uint8_t *q;
		uint32_t quoted;

		s.vlan = 0;
		x.l4_src = (uint16_t)rng_u64(&r);
		ip4(x.ip_src, 0xcb007100 + rng_below(&r, 200));
		if (s.ip == 6) {
			rng_fill(&r, x.ip_src, 16);
			x.ip_src[0] = 0x20;
		}
		frame_build(&sent, &s);
		pkt_of_frame(&in, &sent, 0);
		assert_int_equal(pkt_parse(&in), VSW_DROP_NONE);
		assert_int_equal(xpose_apply(&x, &in, &out), VSW_DROP_NONE);
		flatten(&out, &there);
		error_about(&there, rng_below(&r, ICMP_ERROR_N_KINDS),
			    s.ip == 4 ? router4 : router6);
		if (rng_below(&r, 3) && s.ip == 6) {
			in.flags |= PKT_CSUM_L4;
			rng_fill(&r, in.hdr + in.l4_off + 2, 2);
		}
		back = (struct vsw_xpose){.flags = XPOSE_IP_DST | XPOSE_L4_DST, .l4_dst = s.sport};
		memcpy(back.ip_dst, s.saddr, 16);
		if (s.ip == 4)
			ip4(back.ip_dst, be32_load(s.saddr));
		assert_int_equal(xpose_apply_icmp_error(&back, &in, &out), VSW_DROP_NONE);
		assert_parsed(&out);
		flatten(&out, &got);
		assert_sums(&got);
		assert_memory_equal(got.data + got.l3 + (s.ip == 4 ? 16 : 24), s.saddr,
				    s.ip == 4 ? 4 : 16);
		q = got.data + got.l4 + 8;
		quoted = got.len - got.l4 - 8;
		/* An echo's sum that came out as zero is written as ffff, and back: the same sum.
		 */
		memcpy(want.data, sent.data, sent.len);
		want.len = sent.len;
		memcpy(want.data + sent.l3, q, quoted);
		if (quoted == sent.len - sent.l3)
			assert_same_frame(&want, &sent);
		else
			assert_memory_equal(q, sent.data + sent.l3, MIN(quoted, 28u));
	}
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
	error_about(&there, ICMP_ERROR_PORT, NULL);
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
		cmocka_unit_test(as_if_made_byte_by_byte),
		cmocka_unit_test(large_packets_whole),
		cmocka_unit_test(composed_is_one_after_the_other),
		cmocka_unit_test(an_error_quotes_what_the_guest_sent),
		cmocka_unit_test(an_error_from_behind_a_published_address),
		cmocka_unit_test(what_quotes_nothing_is_not_let_through),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
