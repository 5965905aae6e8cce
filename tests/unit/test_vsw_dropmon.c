/* SPDX-License-Identifier: BSD-2-Clause */
/* Claims about vswitch/dropmon.c: what is told of dropped packets, where, and how often. */
#include <string.h>

#include "base/util.h"
#include "flow_rig.h"
#include "vswitch/dropmon.h"

static int setup(void **state)
{
	int rc = flow_setup(state);

	return rc ? rc : vsw_drops_follow();
}

static int teardown(void **state)
{
	vsw_drops_unfollow();
	return flow_teardown(state);
}

static struct vsw_drop_event next(void)
{
	struct vsw_drop_event ev;

	assert_true(vsw_drops_next(&ev));
	return ev;
}

static void no_more(void)
{
	struct vsw_drop_event ev;

	assert_false(vsw_drops_next(&ev));
	assert_int_equal(vsw_drops_lost(), 0);
}

static void a_denied_packet_is_told_once_with_its_rule(void **state)
{
	struct vsw_drop_event ev;

	(void)state;
	give(2, ssh_only(), false);
	give(2, ssh_only(), false);
	assert_false(tcp(1, 2, 40000, 23, TCP_SYN));
	ev = next();
	assert_string_equal(ev.port, "vm2/eth0");
	assert_string_equal(ev.path, "");
	assert_string_equal(ev.from, "vm1/eth0");
	assert_string_equal(ev.to, "vm2/eth0");
	assert_int_equal(ev.dir, POLICY_IN);
	assert_int_equal(ev.why, VSW_DROP_POLICY);
	assert_string_equal(ev.layer, "l");
	assert_string_equal(ev.group, "g");
	assert_string_equal(ev.rule, "deny-all");
	assert_int_equal(ev.gen, 2);
	assert_int_equal(ev.frames, 1);
	assert_int_equal(ev.repeated, 0);
	assert_true(ev.time_ns > 0);
	no_more();
}

static void a_packet_denied_at_its_sender_has_no_receiver(void **state)
{
	struct vsw_drop_event ev;

	(void)state;
	give(1, policy_of_rules(&deny_all, 1, &allow_all, 1), false);
	assert_false(udp(1, 2, 7, 8));
	ev = next();
	assert_string_equal(ev.port, "vm1/eth0");
	assert_string_equal(ev.from, "vm1/eth0");
	assert_string_equal(ev.to, "");
	assert_int_equal(ev.dir, POLICY_OUT);
	assert_string_equal(ev.rule, "deny-all");
	no_more();
}

static void what_the_packet_was_is_told(void **state)
{
	const struct frame_spec spec = {.ip = 4,
					.proto = IPPROTO_UDP,
					.sport = 1000,
					.dport = 53,
					.payload_len = 300,
					.vlan = 7};
	struct frame *f = frame_of(1, 2, spec);
	struct vsw_drop_event ev;

	(void)state;
	give(2, nothing_in(), false);
	assert_false(sent_by(1, 2, spec));
	ev = next();
	assert_int_equal(ev.len, f->len);
	assert_int_equal(ev.n_bytes, VSW_DROPS_BYTES);
	assert_memory_equal(ev.bytes, f->data, VSW_DROPS_BYTES);
	assert_int_equal(ev.vid, 7);
	assert_true(ev.known);
	assert_int_equal(ev.f.proto, IPPROTO_UDP);
	assert_int_equal(ev.f.sport, 1000);
	assert_int_equal(ev.f.dport, 53);
}

static void other_reasons_have_no_rule(void **state)
{
	struct vsw_drop_event ev;

	(void)state;
	give(2, nothing_in(), false);
	atomic_store(&port[2].port.link, false);
	assert_false(udp(1, 2, 7, 8));
	ev = next();
	assert_int_equal(ev.why, VSW_DROP_LINK_DOWN);
	assert_string_equal(ev.port, "vm2/eth0");
	assert_string_equal(ev.rule, "");
	assert_int_equal(ev.gen, 0);
	atomic_store(&port[2].port.link, true);
	/* The receiver's own word: it has no room, and nobody waits. */
	port[3].room = 0;
	assert_false(sent_by(1, 0, (struct frame_spec){.ip = 4, .proto = IPPROTO_UDP}));
	ev = next();
	assert_int_equal(ev.why, VSW_DROP_POLICY); /* host 2 lets nothing in */
	ev = next();
	assert_int_equal(ev.why, VSW_DROP_NO_BUFFER);
	assert_string_equal(ev.port, "vm3/eth0");
	assert_string_equal(ev.from, "vm1/eth0");
	no_more();
}

static void what_is_too_big_is_told_by_its_receiver(void **state)
{
	struct vsw_drop_event ev;

	(void)state;
	port[2].port.mtu = 600;
	assert_false(sent_by(
		1, 2, (struct frame_spec){.ip = 4, .proto = IPPROTO_UDP, .payload_len = 1000}));
	ev = next();
	assert_int_equal(ev.why, VSW_DROP_TOO_BIG);
	assert_string_equal(ev.port, "vm2/eth0");
	assert_string_equal(ev.from, "vm1/eth0");
	no_more();
}

static void what_cannot_be_parsed_is_told_with_its_bytes(void **state)
{
	struct frame *f = frame_of(1, 2, (struct frame_spec){.ip = 4, .proto = IPPROTO_UDP});
	struct pkt pkt, *pkts = &pkt;
	struct vsw_drop_event ev;

	(void)state;
	f->data[f->l3] = 0x42; /* a header of 8 bytes */
	pkt_of_frame(&pkt, f, 0);
	assert_int_equal(vsw_send(&port[1].port, &pkts, 1), 1);
	ev = next();
	assert_int_equal(ev.why, VSW_DROP_MALFORMED);
	assert_string_equal(ev.port, "vm1/eth0");
	assert_false(ev.known);
	assert_int_equal(ev.bytes[f->l3], 0x42);
	no_more();
}

static void nobody_to_send_to_is_the_senders(void **state)
{
	struct vsw_drop_event ev;

	(void)state;
	atomic_store(&port[2].port.receiving, false);
	atomic_store(&port[3].port.receiving, false);
	sent_by(1, 0, (struct frame_spec){.ip = 4, .proto = IPPROTO_UDP});
	ev = next();
	assert_int_equal(ev.why, VSW_DROP_NO_PORT);
	assert_string_equal(ev.port, "vm1/eth0");
	assert_int_equal(ev.dir, POLICY_OUT);
	no_more();
}

/* Of a flood a few are told; the number of the others is told when it is over, or with the next. */
static void a_flood_is_told_as_a_number(void **state)
{
	enum { N = 1000 };
	uint64_t told = 0, repeated = 0, lone = 0;
	struct vsw_drop_event ev;

	(void)state;
	give(2, nothing_in(), false);
	for (unsigned int i = 0; i < N; i++)
		assert_false(udp(1, 2, 7, 8));
	/* Another reason, port or direction has a number of its own. */
	atomic_store(&port[3].port.link, false);
	assert_false(udp(1, 3, 7, 8));
	while (told + repeated < N + 1) {
		if (!vsw_drops_next(&ev))
			continue;
		told += ev.len > 0;
		repeated += ev.repeated;
		lone += ev.len == 0;
		assert_true(ev.len || ev.repeated);
		if (ev.why == VSW_DROP_LINK_DOWN)
			assert_int_equal(ev.repeated, 0);
		else
			assert_string_equal(ev.port, "vm2/eth0");
	}
	assert_int_equal(told + repeated, N + 1);
	assert_true(told >= VSW_DROPS_PER_S && told < N);
	assert_true(lone >= 1);
	no_more();
}

/* One reason at more ports than the ring has room for. */
static void what_finds_no_room_is_counted_as_lost(void **state)
{
	enum { PORTS = VSW_DROPS_RING / VSW_DROPS_PER_S + 2 };
	static struct test_port others[PORTS];
	struct vsw_drop_event ev;
	uint64_t told = 0;

	(void)state;
	for (unsigned int p = 0; p < PORTS; p++) {
		test_port_init(&others[p], 10 + p);
		assert_int_equal(vsw_port_attach(net, &others[p].port), 0);
		atomic_store(&others[p].port.link, false);
	}
	for (unsigned int p = 0; p < PORTS; p++)
		for (unsigned int i = 0; i < VSW_DROPS_PER_S; i++) {
			struct pkt pkt, *pkts = &pkt;

			pkt_of_frame(&pkt,
				     frame_of(1, 10 + p,
					      (struct frame_spec){.ip = 4, .proto = IPPROTO_UDP}),
				     0);
			vsw_send(&port[1].port, &pkts, 1);
		}
	for (unsigned int p = 0; p < PORTS; p++)
		vsw_port_detach(&others[p].port);
	while (vsw_drops_next(&ev))
		told++;
	assert_int_equal(told, VSW_DROPS_RING);
	assert_int_equal(vsw_drops_lost(), PORTS * VSW_DROPS_PER_S - VSW_DROPS_RING);
	assert_int_equal(vsw_drops_lost(), 0);
}

static void who_does_not_follow_hears_nothing(void **state)
{
	struct vsw_drop_event ev;

	(void)state;
	vsw_drops_unfollow();
	assert_false(vsw_drops_followed());
	give(2, nothing_in(), false);
	assert_false(udp(1, 2, 7, 8));
	assert_false(vsw_drops_next(&ev));
	assert_int_equal(vsw_drops_follow(), 0);
	assert_int_equal(vsw_drops_follow(), 0);
	no_more();
	assert_false(udp(1, 2, 7, 8));
	assert_int_equal(next().why, VSW_DROP_POLICY);
	vsw_drops_unfollow();
	vsw_drops_unfollow();
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_denied_packet_is_told_once_with_its_rule),
		TEST(a_packet_denied_at_its_sender_has_no_receiver),
		TEST(what_the_packet_was_is_told),
		TEST(other_reasons_have_no_rule),
		TEST(what_is_too_big_is_told_by_its_receiver),
		TEST(what_cannot_be_parsed_is_told_with_its_bytes),
		TEST(nobody_to_send_to_is_the_senders),
		TEST(a_flood_is_told_as_a_number),
		TEST(what_finds_no_room_is_counted_as_lost),
		TEST(who_does_not_follow_hears_nothing),
	};

	return cmocka_run_group_tests_name("vsw_dropmon", tests, NULL, NULL);
}
