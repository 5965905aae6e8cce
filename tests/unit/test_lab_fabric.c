/* SPDX-License-Identifier: BSD-2-Clause */
/* Claims about a lab file for several hosts: modes, parts, who runs where, and every mistake. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <errno.h>

#include <cmocka.h>

#include "base/util.h"
#include "host/lab.h"

static struct lab *load(const char *text)
{
	struct lab_errors errs = {0};
	struct lab *lab;
	int ret = lab_load_text("/labs/fleet.yaml", text, strlen(text), &lab, &errs);

	for (unsigned int i = 0; i < errs.n; i++) {
		char line[640];

		lab_error_format(&errs, &errs.list[i], line, sizeof(line));
		print_message("%s\n", line);
	}
	assert_int_equal(ret, 0);
	assert_non_null(lab);
	lab_errors_free(&errs);
	return lab;
}

#define HOSTS                                                                                      \
	"fabric: {hosts: [{name: h1, address: 192.0.2.1, address6: 'fd99::1'},"                    \
	" {name: h2, address: 192.0.2.2, address6: 'fd99::2'},"                                    \
	" {name: h3, address: 192.0.2.3, address6: 'fd99::3'}]}\n"
#define FLEET                                                                                      \
	HOSTS "networks: [{name: o, mode: vxlan}, {name: r, mode: routed}, {name: d, type: "       \
	      "external, uplink: {interface: eth1}}]\n"                                            \
	      "vms:\n"                                                                             \
	      "  - {name: a, host: h2, nics: [{network: o}, {network: r}, {network: d}]}\n"        \
	      "  - {name: b, host: h1, nics: [{network: o}, {network: r}, {network: d}]}\n"        \
	      "  - {name: c, host: h2, nics: [{network: o}, {network: r}, {network: d}]}\n"

static void test_defaults(void **state)
{
	struct lab *lab = load(FLEET);

	(void)state;
	assert_true(lab->fabric.on);
	assert_int_equal(lab->fabric.registry, LAB_REGISTRY_STATIC);
	assert_int_equal(lab->fabric.n_hosts, 3);
	assert_string_equal(lab->fabric.hosts[1].address, "192.0.2.2");
	assert_int_equal(lab->fabric.port, 4789);
	assert_int_equal(lab->fabric.mtu, 1500);
	assert_int_equal(lab->here, -1);
	assert_int_equal(lab->n_vms, 3);
	assert_int_equal(lab->nets[0].mode, LAB_MODE_VXLAN);
	assert_int_equal(lab->nets[0].vni, 100);
	assert_int_equal(lab->nets[0].mtu, 1450);
	assert_int_equal(lab->nets[1].mtu, 1500);
	assert_string_equal(lab->nets[1].cidr4, "10.101.0.0/16");
	assert_int_equal(lab->nets[2].mode, LAB_MODE_DIRECT);
	assert_int_equal(lab->vms[0].host, 1);
	/* On shared networks in the order of the file, whoever runs it. */
	assert_string_equal(lab->vms[0].nics[0].ip4, "10.0.0.4");
	assert_string_equal(lab->vms[1].nics[0].ip4, "10.0.0.5");
	/* On a routed one each host numbers its own. */
	assert_string_equal(lab->vms[0].nics[1].ip4, "10.101.1.4");
	assert_string_equal(lab->vms[1].nics[1].ip4, "10.101.0.4");
	assert_string_equal(lab->vms[2].nics[1].ip4, "10.101.1.5");
	assert_string_equal(lab->vms[2].nics[1].ip6, "fd00::1:100:0:0:5");
	lab_free(lab);
}

static void test_a_host_sees_its_part(void **state)
{
	struct lab *lab = load(FLEET), *other = load(FLEET);
	char why[256];

	(void)state;
	assert_int_equal(lab_choose_host(lab, "h2", why, sizeof(why)), 0);
	assert_int_equal(lab_choose_host(other, "h3", why, sizeof(why)), 0);
	assert_int_equal(lab->here, 1);
	assert_int_equal(lab->n_vms, 2);
	assert_int_equal(lab->n_all, 3);
	assert_string_equal(lab->vms[0].name, "a");
	assert_string_equal(lab->vms[1].name, "c");
	assert_string_equal(lab->vms[2].name, "b");
	assert_string_equal(lab->nets[1].cidr4, "10.101.1.0/24");
	assert_string_equal(lab->nets[1].gateway4, "10.101.1.1");
	assert_string_equal(lab->nets[1].gateway6, "fd00::1:100:0:0:1");
	assert_string_equal(lab->nets[1].cidr6, "fd00:0:0:1:100::/72");
	assert_int_equal(lab->nets[1].link6, 64);
	assert_int_equal(lab->nets[0].link6, 64);
	assert_string_equal(lab->nets[1].service4, "10.101.1.2");
	/* The services of a shared network have an address on each host. */
	assert_string_equal(lab_nets_at(lab, 0)[0].service4, "10.0.0.2");
	assert_string_equal(lab->nets[0].service4, "10.0.0.3");
	assert_string_equal(lab_nets_at(lab, 2)[0].service4, "10.0.0.1");
	/* A host without guests is one all the same. */
	assert_int_equal(other->n_vms, 0);
	assert_string_equal(other->nets[0].service4, "10.0.0.1");
	lab_free(lab);
	lab_free(other);
}

static void test_hosts_do_not_add_the_same_address(void **state)
{
	struct lab_nic wish = {
		.name = "eth9", .queues = 1, .mtu = 1450, .link_mbps = 1, .vf = true};
	char why[256], seen[3][INET_ADDRSTRLEN];

	(void)state;
	for (unsigned int h = 0; h < 3; h++) {
		const char *name = (const char *[]){"h1", "h2", "h3"}[h];
		struct lab *lab = load(HOSTS "networks: [{name: o, mode: vxlan}]\n"
					     "vms: [{name: a, host: h1}, {name: b, host: h2},"
					     " {name: c, host: h3}]\n");
		struct lab_vm *vm;

		assert_int_equal(lab_choose_host(lab, name, why, sizeof(why)), 0);
		vm = &lab->vms[0];
		assert_int_equal(lab_nic_add(lab, vm, &wish, NULL, NULL, NULL, why, sizeof(why)),
				 0);
		strcpy(seen[h], vm->nics[1].ip4);
		/* Another host's guest has it. */
		strcpy(wish.name, "eth8");
		assert_int_equal(lab_nic_add(lab, vm, &wish, NULL, lab->vms[2].nics[0].ip4, NULL,
					     why, sizeof(why)),
				 -EEXIST);
		strcpy(wish.name, "eth9");
		lab_free(lab);
	}
	assert_string_not_equal(seen[0], seen[1]);
	assert_string_not_equal(seen[1], seen[2]);
	assert_string_not_equal(seen[0], seen[2]);
}

static void test_given_parts(void **state)
{
	struct lab *lab = load(
		HOSTS "networks:\n"
		      "  - name: r\n"
		      "    mode: routed\n"
		      "    subnet: 10.5.0.0/16\n"
		      "    subnet6: none\n"
		      "    max_routes: 2\n"
		      "    parts: [{host: h2, subnet: 10.5.0.0/23}, {host: h3, subnet: none}]\n"
		      "vms: [{name: a, host: h1}, {name: b, host: h2}]\n");

	(void)state;
	/* h1's default goes around what h2 was given. */
	assert_string_equal(lab_nets_at(lab, 0)[0].cidr4, "10.5.2.0/24");
	assert_string_equal(lab_nets_at(lab, 1)[0].cidr4, "10.5.0.0/23");
	assert_false(lab_nets_at(lab, 2)[0].has4);
	assert_string_equal(lab->vms[1].nics[0].ip4, "10.5.0.4");
	assert_int_equal(lab->nets[0].max_routes, 2);
	lab_free(lab);
}

static void test_etcd(void **state)
{
	struct lab *lab =
		load("fabric:\n"
		     "  registry: etcd\n"
		     "  mtu: 9000\n"
		     "  hosts: [{name: h1, address: 'fd99::1'}]\n"
		     "  etcd: {endpoints: ['http://192.0.2.9:2379', 'http://[fd99::9]:1'],"
		     " user: u, password_file: pw}\n"
		     "networks: [{name: o, mode: vxlan, mtu: 8930}]\n"
		     "vms: [{name: a}]\n");
	char why[64];

	(void)state;
	assert_int_equal(lab->fabric.etcd.n_endpoints, 2);
	assert_string_equal(lab->fabric.etcd.endpoints[1], "http://[fd99::9]:1");
	assert_string_equal(lab->fabric.etcd.prefix, "/hvlab/fleet");
	assert_string_equal(lab->fabric.etcd.password_file, "/labs/pw");
	assert_int_equal(lab->fabric.etcd.lease_seconds, 10);
	assert_int_equal(lab->nets[0].mtu, 8930);
	/* The only host needs no choice, and its guests none either. */
	assert_int_equal(lab_choose_host(lab, NULL, why, sizeof(why)), 0);
	assert_int_equal(lab->here, 0);
	lab_free(lab);
}

static void test_which_host(void **state)
{
	struct lab *lab = load("fabric: {host: h2, hosts: [{name: h1, address: 192.0.2.1},"
			       " {name: h2, address: 192.0.2.2}]}\n"
			       "vms: [{name: a, host: h1}]\n");
	struct lab *plain = load("vms: [{name: a}]\n"), *neither = load(FLEET);
	char why[256];

	(void)state;
	assert_int_equal(lab_choose_host(lab, "h7", why, sizeof(why)), -ENOENT);
	assert_non_null(strstr(why, "h1, h2"));
	assert_int_equal(lab_choose_host(lab, NULL, why, sizeof(why)), 0);
	assert_int_equal(lab->here, 1);
	assert_int_equal(lab_choose_host(plain, NULL, why, sizeof(why)), 0);
	assert_int_equal(lab_choose_host(plain, "h1", why, sizeof(why)), -EINVAL);
	assert_non_null(strstr(why, "no fabric"));
	assert_int_equal(lab_choose_host(neither, NULL, why, sizeof(why)), -ENOENT);
	assert_non_null(strstr(why, "--host"));
	lab_free(lab);
	lab_free(plain);
	lab_free(neither);
}

static void test_json_round_trip(void **state)
{
	struct lab *lab = load(FLEET), *again;
	json_t *first = lab_to_json(lab), *second;
	char *text = json_dumps(first, 0), why[64];

	(void)state;
	again = load(text);
	second = lab_to_json(again);
	assert_true(json_equal(first, second));
	json_decref(second);
	/* The choice of a host changes nothing of what the file means but the order of its VMs. */
	assert_int_equal(lab_choose_host(lab, "h1", why, sizeof(why)), 0);
	second = lab_to_json(lab);
	assert_int_equal(json_array_size(json_object_get(second, "vms")), 3);
	assert_true(json_equal(json_object_get(first, "networks"),
			       json_object_get(second, "networks")));
	json_decref(second);
	json_decref(first);
	free(text);
	lab_free(lab);
	lab_free(again);
}

/* ---- mistakes ---- */

#define VM	 "vms: [{name: a, host: h1, nics: []}]\n"
#define NET(net) HOSTS "networks: [{name: n, " net "}]\n" VM
#define FABRIC(fabric)                                                                             \
	"fabric: {hosts: [{name: h1, address: 192.0.2.1}], " fabric "}\nvms: [{name: a}]\n"
#define ETCD(etcd) FABRIC("registry: etcd, etcd: {" etcd "}")

static const struct {
	const char *text;
	unsigned int line;
	const char *key, *reason, *remedy;
} mistakes[] = {
	{"fabric: {}\n" VM, 1, "fabric.hosts", "\"hosts\" is missing", "add"},
	{"fabric: {hosts: []}\n" VM, 1, "fabric.hosts", "empty", ""},
	{"fabric: {hosts: [{name: h1}]}\nvms: [{name: a}]\n", 1, "fabric.hosts[0].address",
	 "missing", ""},
	{"fabric: {hosts: [{name: h1, address: here}]}\nvms: [{name: a}]\n", 1,
	 "fabric.hosts[0].address", "not an IP address", "reach it"},
	{"fabric: {hosts: [{name: h1, address: 127.0.0.1}]}\nvms: [{name: a}]\n", 1,
	 "fabric.hosts[0].address", "cannot reach", "interfaces"},
	{"fabric: {hosts: [{name: h1, address: 'fe80::1'}]}\nvms: [{name: a}]\n", 1,
	 "fabric.hosts[0].address", "cannot reach", ""},
	{"fabric: {hosts: [{name: h1, address: 192.0.2.1}, {name: h1, address: 192.0.2.2}]}\n" VM,
	 1, "fabric.hosts[1].name", "taken", ""},
	{"fabric: {hosts: [{name: h1, address: 192.0.2.1}, {name: h2, address: 192.0.2.1}]}\n" VM,
	 1, "fabric.hosts[1].address", "already the address of h1", "its own"},
	{"fabric: {hosts: [{name: h1, address: 192.0.2.1}, {name: h2, address: 'fd00::1'}]}\n" VM,
	 1, "fabric.hosts[1].address", "IPv6", "one family"},
	{"fabric: {hosts: [{name: h1, address: 192.0.2.1, address6: 'fe80::1'}]}\nvms: [{name: "
	 "a}]\n",
	 1, "fabric.hosts[0].address6", "no IPv6 address", ""},
	{"fabric: {hosts: [{name: h1, address: 'fd00::1', address6: 'fd00::1'}]}\nvms: [{name: "
	 "a}]\n",
	 1, "fabric.hosts[0].address6", "already", ""},
	{"fabric: {hosts: [{name: h1, address: 192.0.2.1}]}\n"
	 "networks: [{name: r, mode: routed, subnet6: 'fd00::/64'}]\nvms: [{name: a}]\n",
	 2, "networks[0].subnet6", "next hops of IPv6", "address6"},
	{"fabric: {hosts: [{name: h1, address: 'fd00::1'}]}\n"
	 "networks: [{name: r, mode: routed, subnet: 10.0.0.0/16}]\nvms: [{name: a}]\n",
	 2, "networks[0].subnet", "next hops of IPv4", "none"},
	{FABRIC("host: h9"), 1, "fabric.host", "no host \"h9\"", "--host"},
	{FABRIC("registry: consul"), 1, "fabric.registry", "not possible", "static, etcd"},
	{FABRIC("registry: etcd"), 1, "fabric.registry", "no key fabric.etcd", "endpoints"},
	{FABRIC("etcd: {endpoints: ['http://x:1']}"), 1, "fabric.etcd", "static", "registry: etcd"},
	{FABRIC("mtu: 100"), 1, "fabric.mtu", "out of range", ""},
	{FABRIC("port: 0"), 1, "fabric.port", "out of range", ""},
	{ETCD("endpoints: []"), 1, "fabric.etcd.endpoints", "empty", ""},
	{ETCD("endpoints: ['192.0.2.9:2379']"), 1, "fabric.etcd.endpoints[0]", "not an etcd",
	 "http://"},
	{ETCD("endpoints: ['http://192.0.2.9']"), 1, "fabric.etcd.endpoints[0]", "not an etcd", ""},
	{ETCD("endpoints: ['http://192.0.2.9:99999']"), 1, "fabric.etcd.endpoints[0]",
	 "not an etcd", ""},
	{ETCD("endpoints: ['http://192.0.2.9:2379/v3']"), 1, "fabric.etcd.endpoints[0]",
	 "not an etcd", ""},
	{ETCD("endpoints: ['https://192.0.2.9:2379']"), 1, "fabric.etcd.endpoints[0]", "TLS",
	 "proxy"},
	{ETCD("endpoints: ['http://x:1'], prefix: hvlab"), 1, "fabric.etcd.prefix", "cannot be",
	 "/hvlab"},
	{ETCD("endpoints: ['http://x:1'], lease_seconds: 1"), 1, "fabric.etcd.lease_seconds",
	 "out of range", "2 to"},
	{ETCD("endpoints: ['http://x:1'], user: u"), 1, "fabric.etcd.user", "belong together",
	 "password_file"},
	{ETCD("endpoints: ['http://x:1'], password_file: u"), 1, "fabric.etcd.password_file",
	 "belong together", "user"},
	{HOSTS "vms: [{name: a, nics: []}]\n", 2, "vms[0].host", "3 hosts", "h1, h2, h3"},
	{HOSTS "vms: [{name: a, host: h9, nics: []}]\n", 2, "vms[0].host", "no host", "h1, h2, h3"},
	{"vms: [{name: a, host: h1}]\n", 1, "vms[0].host", "no hosts", "fabric"},
	{"networks: [{name: n, mode: vxlan}]\nvms: [{name: a}]\n", 1, "networks[0].mode",
	 "needs hosts", "direct"},
	{HOSTS "networks: [{name: n}, {name: m}]\n"
	       "vms: [{name: a, host: h1, nics: [{network: n}]}, {name: b, host: h3, nics: "
	       "[{network: n}]}]\n",
	 2, "networks[0]", "a on h1 and b on h3 do not reach each other", "vxlan"},
	{NET("mode: gre"), 2, "networks[0].mode", "not possible", "direct, routed, vxlan"},
	{NET("vni: 7"), 2, "networks[0].vni", "vxlan networks", "remove"},
	{NET("mode: vxlan, vni: 0"), 2, "networks[0].vni", "out of range", ""},
	{NET("mode: vxlan, vni: 16777216"), 2, "networks[0].vni", "out of range", ""},
	{NET("mode: vxlan}, {name: m, mode: vxlan, vni: 100"), 2, "networks[1].vni", "already",
	 "its own"},
	{NET("mode: vxlan, mtu: 1451"), 2, "networks[0].mtu", "do not fit", "1450"},
	{NET("mode: vxlan, max_routes: 3"), 2, "networks[0].max_routes", "routed networks", ""},
	{NET("mode: routed, max_routes: 3"), 2, "networks[0].max_routes", "4 routes", "raise it"},
	{NET("mode: routed, gateway: 10.0.0.1"), 2, "networks[0].gateway", "itself", "remove"},
	{NET("mode: routed, subnet: 10.0.0.0/30, subnet6: none"), 2, "networks[0].subnet",
	 "left for host h2", "shorter"},
	{NET("mode: routed, subnet6: 'fd00::/48'"), 2, "networks[0].subnet6", "on their link",
	 "64"},
	{NET("parts: [{host: h1}]"), 2, "networks[0].parts", "routed networks", ""},
	{NET("mode: routed, parts: [{host: h9}]"), 2, "networks[0].parts[0].host", "no host", ""},
	{NET("mode: routed, parts: [{host: h1}, {host: h1}]"), 2, "networks[0].parts[1].host",
	 "already", ""},
	{NET("mode: routed, parts: [{host: h1, subnet: 10.9.0.0/24}]"), 2,
	 "networks[0].parts[0].subnet", "not in the subnet", "10.100.0.0/16"},
	{NET("mode: routed, parts: [{host: h1, subnet: 10.100.0.0/23},"
	     " {host: h2, subnet: 10.100.1.0/24}]"),
	 2, "networks[0].parts[1].subnet", "overlaps the part of host h1", ""},
	{HOSTS "networks: [{name: n, mode: routed}]\n"
	       "vms: [{name: a, host: h1, nics: [{ip: 10.100.0.1}]}]\n",
	 3, "vms[0].nics[0].ip", "router", ""},
	{HOSTS "networks: [{name: n, mode: routed}]\n"
	       "vms: [{name: a, host: h1, nics: [{ip: 10.100.1.9}]}]\n",
	 3, "vms[0].nics[0].ip", "not in the subnet", "10.100.0.0/24"},
};

static void test_mistakes(void **state)
{
	unsigned int bad = 0;

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(mistakes); i++) {
		struct lab_errors errs = {0};
		struct lab *lab;
		char line[640];

		assert_int_equal(lab_load_text("/labs/fleet.yaml", mistakes[i].text,
					       strlen(mistakes[i].text), &lab, &errs),
				 -EINVAL);
		assert_null(lab);
		lab_error_format(&errs, &errs.list[0], line, sizeof(line));
		if (errs.n != 1 || errs.list[0].line != mistakes[i].line ||
		    strcmp(errs.list[0].key, mistakes[i].key) != 0 ||
		    !strstr(errs.list[0].reason, mistakes[i].reason) ||
		    !strstr(errs.list[0].remedy, mistakes[i].remedy)) {
			print_message("%u: got %u error(s), first: %s\n", i, errs.n, line);
			bad++;
		}
		lab_errors_free(&errs);
	}
	assert_int_equal(bad, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_a_host_sees_its_part),
		cmocka_unit_test(test_hosts_do_not_add_the_same_address),
		cmocka_unit_test(test_given_parts),
		cmocka_unit_test(test_etcd),
		cmocka_unit_test(test_which_host),
		cmocka_unit_test(test_json_round_trip),
		cmocka_unit_test(test_mistakes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
