/* SPDX-License-Identifier: BSD-2-Clause */
/* Claims about the types of networks and their uplinks in the lab file. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "host/lab.h"

#define VMS	"vms: [{name: a}]\n"
#define ON(net) "vms: [{name: a, nics: [{network: " net "}]}]\n"

static int try(const char *text, struct lab **lab, struct lab_errors *errs)
{
	memset(errs, 0, sizeof(*errs));
	return lab_load_text("/labs/pair.yaml", text, strlen(text), lab, errs);
}

static struct lab *load(const char *text)
{
	struct lab_errors errs;
	struct lab *lab;
	int ret = try(text, &lab, &errs);

	for (unsigned int i = 0; i < errs.n; i++)
		print_message("%s: %s\n", errs.list[i].key, errs.list[i].reason);
	assert_int_equal(ret, 0);
	lab_errors_free(&errs);
	return lab;
}

static void test_private_is_the_default(void **state)
{
	struct lab *lab = load("networks: [{name: n}]\n" VMS);

	(void)state;
	assert_int_equal(lab->nets[0].type, LAB_NET_PRIVATE);
	assert_string_equal(lab->nets[0].uplink.ifname, "");
	assert_true(lab->nets[0].dhcp);
	lab_free(lab);
}

static void test_internal(void **state)
{
	struct lab *lab =
		load("networks:\n"
		     "  - {name: a-long-name-of-20-chars, type: internal}\n"
		     "  - name: b\n"
		     "    uplink: {tap: lab0, address: 10.0.1.1, address6: 'fd00:0:0:1::1',\n"
		     "             tso: off}\n" ON("b"));
	const struct lab_uplink *up = &lab->nets[0].uplink;

	(void)state;
	assert_int_equal(lab->nets[0].type, LAB_NET_INTERNAL);
	assert_string_equal(up->ifname, "hv-a-long-name-");
	assert_true(up->tso && up->csum);
	assert_string_equal(up->ip4, "");
	up = &lab->nets[1].uplink;
	assert_int_equal(lab->nets[1].type, LAB_NET_INTERNAL);
	assert_string_equal(up->ifname, "lab0");
	assert_string_equal(up->ip4, "10.0.1.1");
	assert_string_equal(up->ip6, "fd00:0:0:1::1");
	assert_false(up->tso);
	assert_true(up->csum);
	lab_free(lab);
}

/* Whose LAN it is gives the addresses there. */
static void test_external(void **state)
{
	struct lab *lab = load(
		"networks:\n"
		"  - {name: lan, subnet: 192.168.7.0/24,\n"
		"     uplink: {interface: eth1, checksum: off, netns: blue}}\n"
		"  - {name: lan2, type: external, dhcp: on, uplink: {interface: eth2}}\n"
		"  - {name: lan3, uplink: {interface: eth2, netns: /run/netns/x}}\n" ON("lan"));

	(void)state;
	assert_int_equal(lab->nets[0].type, LAB_NET_EXTERNAL);
	assert_string_equal(lab->nets[0].uplink.ifname, "eth1");
	assert_string_equal(lab->nets[0].uplink.netns, "/run/netns/blue");
	assert_false(lab->nets[0].uplink.tso);
	assert_false(lab->nets[0].uplink.csum);
	assert_false(lab->nets[0].dhcp);
	assert_true(lab->nets[1].dhcp);
	assert_string_equal(lab->nets[2].uplink.netns, "/run/netns/x");
	lab_free(lab);
}

/* What JSON says can be loaded again and says the same. */
static void test_json(void **state)
{
	struct lab *lab = load("networks:\n"
			       "  - {name: n, uplink: {tap: lab0, address: 10.0.0.1, netns: x}}\n"
			       "  - {name: o, uplink: {interface: eth1, tso: off}}\n"
			       "  - {name: p}\n" ON("n"));
	json_t *one = lab_to_json(lab), *two;
	char *text = json_dumps(one, 0);

	(void)state;
	lab_free(lab);
	lab = load(text);
	two = lab_to_json(lab);
	assert_true(json_equal(one, two));
	json_decref(one);
	json_decref(two);
	free(text);
	lab_free(lab);
}

/* Guests are given other addresses than the host's. */
static void test_addresses_of_guests(void **state)
{
	struct lab *lab = load("networks:\n"
			       "  - {name: n, subnet: 10.0.0.0/29, subnet6: none,\n"
			       "     uplink: {tap: lab0, address: 10.0.0.1}}\n"
			       "vms: [{name: a}, {name: b}]\n");

	(void)state;
	assert_string_equal(lab->vms[0].nics[0].ip4, "10.0.0.2");
	assert_string_equal(lab->vms[1].nics[0].ip4, "10.0.0.3");
	lab_free(lab);
}

static void test_mistakes(void **state)
{
	static const struct {
		const char *net, *key, *reason;
	} cases[] = {
		{"type: external", "uplink", "needs an interface"},
		{"type: private, uplink: {tap: x}", "uplink", "private network has no uplink"},
		{"type: internal, uplink: {interface: eth1}", "uplink.interface",
		 "external networks"},
		{"type: external, uplink: {interface: e, tap: x}", "uplink.tap",
		 "internal networks"},
		{"uplink: {interface: e, address: 10.0.0.1}", "uplink.address",
		 "internal networks"},
		{"uplink: {tap: much-too-long-a-name}", "uplink.tap", "no interface's name"},
		{"uplink: {tap: 'a/b'}", "uplink.tap", "no interface's name"},
		{"uplink: {tap: x, netns: ./x}", "uplink.netns", "no network namespace"},
		{"uplink: {tap: x, address: 10.0.9.1}", "uplink.address", "no host's address"},
		{"uplink: {tap: x, address: 10.0.0.1/24}", "uplink.address", "not an IPv4 address"},
		{"uplink: {tap: x, address6: '10.0.0.1'}", "uplink.address6",
		 "not an IPv6 address"},
		{"uplink: {tap: x, tso: on, checksum: off}", "uplink.tso", "without checksums"},
		{"uplink: {tap: x, tso: maybe}", "uplink.tso", ""},
		{"type: bridged", "type", ""},
		{"uplink: {tap: x, speed: 1}", "uplink.speed", ""},
	};

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		char text[256], key[96];
		struct lab_errors errs;
		struct lab *lab;
		bool found = false;

		snprintf(text, sizeof(text), "networks: [{name: n, %s}]\n" VMS, cases[i].net);
		snprintf(key, sizeof(key), "networks[0].%s", cases[i].key);
		assert_int_equal(try(text, &lab, &errs), -EINVAL);
		for (unsigned int k = 0; k < errs.n; k++)
			found |= !strcmp(errs.list[k].key, key) &&
				 strstr(errs.list[k].reason, cases[i].reason) &&
				 errs.list[k].line == 1;
		if (!found)
			fail_msg("%s: %s: %s", cases[i].net, errs.list[0].key, errs.list[0].reason);
		lab_errors_free(&errs);
	}
}

static void expect_error(const char *text, const char *key, const char *reason)
{
	struct lab_errors errs;
	struct lab *lab;

	assert_int_equal(try(text, &lab, &errs), -EINVAL);
	assert_string_equal(errs.list[0].key, key);
	if (!strstr(errs.list[0].reason, reason))
		fail_msg("%s", errs.list[0].reason);
	lab_errors_free(&errs);
}

static void test_mistakes_with_others(void **state)
{
	(void)state;
	expect_error(
		"networks:\n  - {name: n, uplink: {tap: x}}\n  - {name: o, uplink: {tap: x}}\n" VMS,
		"networks[1].uplink.tap", "already the uplink of network n (line 2)");
	expect_error("networks: [{name: n, uplink: {tap: x, address: 10.0.0.9}}]\n"
		     "vms: [{name: a, nics: [{ip: 10.0.0.9}]}]\n",
		     "vms[0].nics[0].ip", "network n's uplink");
	expect_error("fabric: {host: h1, hosts: [{name: h1, address: 10.9.0.1}, "
		     "{name: h2, address: 10.9.0.2}]}\n"
		     "networks: [{name: n, mode: vxlan, uplink: {interface: eth1}}]\n"
		     "vms: [{name: a, host: h1}]\n",
		     "networks[0].type", "in circles");
	expect_error("fabric: {host: h1, hosts: [{name: h1, address: 10.9.0.1}, "
		     "{name: h2, address: 10.9.0.2}]}\n"
		     "networks: [{name: n, uplink: {tap: x, address: 10.0.0.1}}]\n"
		     "vms: [{name: a, host: h1}]\n",
		     "networks[0].uplink.address", "each of 2 hosts");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_private_is_the_default),
		cmocka_unit_test(test_internal),
		cmocka_unit_test(test_external),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_addresses_of_guests),
		cmocka_unit_test(test_mistakes),
		cmocka_unit_test(test_mistakes_with_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
