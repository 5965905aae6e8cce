/* SPDX-License-Identifier: BSD-2-Clause */
/* Packets as people write them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/util.h"
#include "tests/unit/nsg_rig.h"

static void test_packets(void **state)
{
	static const struct {
		const char *text, *printed;
	} cases[] = {
		{"tcp 10.0.0.4:40000 10.0.0.5:22", "tcp 10.0.0.4:40000 -> 10.0.0.5:22"},
		{"tcp 10.0.0.4 10.0.0.5:22", "tcp 10.0.0.4:49152 -> 10.0.0.5:22"},
		{"UDP [fd00::4]:1 [fd00::5]:53", "udp [fd00::4]:1 -> [fd00::5]:53"},
		{"udp fd00::4 [fd00::5]:53", "udp [fd00::4]:49152 -> [fd00::5]:53"},
		{"tcp a:1 b:2", "tcp 10.0.0.4:1 -> 10.0.0.5:2"},
		{"tcp a/eth1 c:80", "tcp 10.0.1.4:49152 -> 10.0.1.5:80"},
		{"tcp a [fd00::5]:80", "tcp [fd00::4]:49152 -> [fd00::5]:80"},
		{"icmp a b", "icmp 10.0.0.4 -> 10.0.0.5 8/0"},
		{"icmp a b 3/4", "icmp 10.0.0.4 -> 10.0.0.5 3/4"},
		{"icmp fd00::4 fd00::5", "icmp fd00::4 -> fd00::5 128/0"},
		{"icmp fd00::4 fd00::5 135", "icmp fd00::4 -> fd00::5 135/0"},
		{"esp 10.0.0.4 10.0.0.5", "50 10.0.0.4 -> 10.0.0.5"},
		{"47 a b", "47 10.0.0.4 -> 10.0.0.5"},
		{"arp a b", "arp"},
	};
	struct lab *lab = rig_lab3();
	char why[256], text[128];

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct nsg_packet p;

		if (nsg_packet_parse(cases[i].text, lab, NULL, &p, why, sizeof(why)))
			fail_msg("%s: %s", cases[i].text, why);
		nsg_fields_print(&p.f, text, sizeof(text));
		assert_string_equal(text, cases[i].printed);
	}
	lab_free(lab);
}

static void test_mistakes(void **state)
{
	static const struct {
		const char *text, *words;
	} cases[] = {
		{"", "write tcp|udp"},
		{"tcp", "write tcp|udp"},
		{"sctp a b", "write tcp|udp"},
		{"tcp a b", "the destination needs a port"},
		{"tcp a:x b:1", "\"x\" is not a port"},
		{"tcp a:65536 b:1", "\"65536\" is not a port"},
		{"tcp a b:1 c", "one word too many"},
		{"tcp a b:1 c d e f", "one word too many"},
		{"tcp z b:1", "\"z\" is neither an address nor a guest"},
		{"tcp a/eth7 b:1", "\"a/eth7\" is neither"},
		{"icmp a:1 b", "only tcp and udp have ports"},
		{"icmp a b 300", "is not an ICMP type"},
		{"icmp a b 3/x", "is not an ICMP type"},
		{"tcp 10.0.0.4 [fd00::5]:1", "not of one family"},
		{"tcp [fd00::4 b:1", "write [ADDRESS]:PORT"},
		{"tcp [fd00::4]x b:1", "write [ADDRESS]:PORT"},
		{"tcp b:1", "the packet has no source"},
		{"arp fd00::4 fd00::5", "arp is of IPv4"},
	};
	struct lab *lab = rig_lab3();
	char why[256];

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct nsg_packet p;

		if (!nsg_packet_parse(cases[i].text, lab, NULL, &p, why, sizeof(why)))
			fail_msg("taken: %s", cases[i].text);
		if (!strstr(why, cases[i].words))
			fail_msg("%s: %s", cases[i].text, why);
	}
	lab_free(lab);
}

static void test_whose_address(void **state)
{
	struct lab *lab = rig_lab3();
	struct nsg_packet p;
	char why[256], text[128];

	(void)state;
	assert_int_equal(
		nsg_packet_parse("tcp 10.0.0.4:1 192.0.2.1:2", lab, NULL, &p, why, sizeof(why)), 0);
	assert_string_equal(p.src.vm->name, "a");
	assert_null(p.dst.nic);
	assert_int_equal(p.f.dst_mac, 0);
	/* The sender is known. */
	assert_int_equal(
		nsg_packet_parse("tcp c:80", lab, &lab->vms[0].nics[1], &p, why, sizeof(why)), 0);
	nsg_fields_print(&p.f, text, sizeof(text));
	assert_string_equal(text, "tcp 10.0.1.4:49152 -> 10.0.1.5:80");
	assert_int_equal(
		nsg_packet_parse("icmp c 3/1", lab, &lab->vms[0].nics[1], &p, why, sizeof(why)), 0);
	nsg_fields_print(&p.f, text, sizeof(text));
	assert_string_equal(text, "icmp 10.0.1.4 -> 10.0.1.5 3/1");
	assert_int_equal(nsg_packet_parse("udp 0.0.0.0:68 255.255.255.255:67", lab, NULL, &p, why,
					  sizeof(why)),
			 0);
	assert_true(p.f.dst_mac == 0xffffffffffffull);
	assert_int_equal(nsg_packet_parse("icmp fe80::1 ff02::1", NULL, NULL, &p, why, sizeof(why)),
			 0);
	assert_true(p.f.dst_mac == 0x333300000001ull);
	lab_free(lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_packets),
		cmocka_unit_test(test_mistakes),
		cmocka_unit_test(test_whose_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
