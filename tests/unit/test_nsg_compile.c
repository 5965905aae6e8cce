/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What policy files mean, case by case, asked of the switch's own classifier. A group's semantics
 * are those that Azure's documentation gives: priorities, default rules, tags, two groups.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "tests/unit/nsg_rig.h"

#define G(rules) "nsgs:\n  - name: g\n    rules:\n" rules
#define R(name, prio, dir, access, more)                                                           \
	"      - {name: " name ", priority: " #prio ", direction: " dir ", access: " access        \
	", " more "}\n"

static struct lab *lab;

static int setup(void **state)
{
	(void)state;
	lab = rig_lab3();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	lab_free(lab);
	return 0;
}

static void in(const char *text, const char *packet, enum policy_verdict want, const char *rule)
{
	rig_group(text, lab, "g", POLICY_IN, packet, want, rule);
}

static void out(const char *text, const char *packet, enum policy_verdict want, const char *rule)
{
	rig_group(text, lab, "g", POLICY_OUT, packet, want, rule);
}

/* ---- the rules that every group has ---- */

static void test_default_rules_inbound(void **state)
{
	static const char empty[] = "nsgs: [{name: g}]\n";

	(void)state;
	in(empty, "tcp 10.0.0.5:1 10.0.0.4:22", POLICY_ALLOW, "AllowVnetInBound");
	/* Networks of a lab are peered. */
	in(empty, "tcp 10.0.1.6:1 10.0.0.4:22", POLICY_ALLOW, "AllowVnetInBound");
	in(empty, "icmp 10.0.0.5 10.0.0.4", POLICY_ALLOW, "AllowVnetInBound");
	in(empty, "esp 10.0.0.5 10.0.0.4", POLICY_ALLOW, "AllowVnetInBound");
	in(empty, "tcp fd00::5 [fd00::4]:22", POLICY_ALLOW, "AllowVnetInBound");
	in(empty, "tcp 168.63.129.16:1 10.0.0.4:22", POLICY_ALLOW, "AllowVnetInBound");
	/* The probe's address is both; to a public address only the load balancer may. */
	in(empty, "tcp 168.63.129.16:1 198.51.100.4:22", POLICY_ALLOW,
	   "AllowAzureLoadBalancerInBound");
	in(empty, "tcp 8.8.8.8:1 10.0.0.4:22", POLICY_DENY, "DenyAllInBound");
	in(empty, "tcp 192.168.1.1:1 10.0.0.4:22", POLICY_DENY, "DenyAllInBound");
	in(empty, "icmp 8.8.8.8 10.0.0.4", POLICY_DENY, "DenyAllInBound");
	in(empty, "tcp 2001:db8::1 [fd00::4]:22", POLICY_DENY, "DenyAllInBound");
}

static void test_default_rules_outbound(void **state)
{
	static const char empty[] = "nsgs: [{name: g}]\n";

	(void)state;
	out(empty, "tcp 10.0.0.4:1 10.0.0.5:22", POLICY_ALLOW, "AllowVnetOutBound");
	out(empty, "tcp 10.0.0.4:1 8.8.8.8:53", POLICY_ALLOW, "AllowInternetOutBound");
	out(empty, "tcp fd00::4 [2001:db8::1]:443", POLICY_ALLOW, "AllowInternetOutBound");
	out(empty, "tcp 10.0.0.4:1 192.168.1.1:22", POLICY_DENY, "DenyAllOutBound");
	out(empty, "tcp 10.0.0.4:1 10.0.7.5:22", POLICY_DENY, "DenyAllOutBound");
	out(empty, "tcp 10.0.0.4:1 169.254.1.1:22", POLICY_DENY, "DenyAllOutBound");
	out(empty, "udp 10.0.0.4:1 224.0.0.251:5353", POLICY_DENY, "DenyAllOutBound");
	out(empty, "udp 10.0.0.4:1 255.255.255.255:9", POLICY_DENY, "DenyAllOutBound");
	out(empty, "tcp fd00::4 [fe80::1]:22", POLICY_DENY, "DenyAllOutBound");
	/* Not from within: only the destination counts. */
	out(empty, "tcp 192.0.2.1:1 8.8.8.8:53", POLICY_ALLOW, "AllowInternetOutBound");
	out(empty, "tcp 192.0.2.1:1 10.0.0.5:22", POLICY_DENY, "DenyAllOutBound");
}

static void test_a_rule_can_be_before_the_defaults(void **state)
{
	(void)state;
	in(G(R("DenyVnet", 4096, "inbound", "deny", "source: VirtualNetwork")),
	   "tcp 10.0.0.5:1 10.0.0.4:22", POLICY_DENY, "DenyVnet");
	in(G(R("AllowAll", 4096, "inbound", "allow", "protocol: any")), "tcp 8.8.8.8:1 10.0.0.4:22",
	   POLICY_ALLOW, "AllowAll");
	/* Of the other direction. */
	in(G(R("AllowAll", 4096, "outbound", "allow", "protocol: any")),
	   "tcp 8.8.8.8:1 10.0.0.4:22", POLICY_DENY, "DenyAllInBound");
}

static void test_lowest_number_first(void **state)
{
	static const char text[] = G(R("Late", 300, "inbound", "deny", "protocol: tcp") R(
		"Early", 200, "inbound", "allow", "protocol: tcp, destination_ports: 22")
					     R("Other", 200, "outbound", "deny", "protocol: tcp"));

	(void)state;
	in(text, "tcp 8.8.8.8:1 10.0.0.4:22", POLICY_ALLOW, "Early");
	in(text, "tcp 8.8.8.8:1 10.0.0.4:23", POLICY_DENY, "Late");
	out(text, "tcp 10.0.0.4:1 8.8.8.8:22", POLICY_DENY, "Other");
}

/* ---- matches ---- */

static void test_protocols(void **state)
{
	static const char tcp[] = G(R("T", 100, "inbound", "deny", "protocol: tcp"));
	static const char icmp[] = G(R("I", 100, "inbound", "deny", "protocol: icmp"));
	static const char esp[] = G(R("E", 100, "inbound", "deny", "protocol: esp"));

	(void)state;
	in(tcp, "tcp 10.0.0.5:1 10.0.0.4:22", POLICY_DENY, "T");
	in(tcp, "udp 10.0.0.5:1 10.0.0.4:22", POLICY_ALLOW, NULL);
	in(tcp, "icmp 10.0.0.5 10.0.0.4", POLICY_ALLOW, NULL);
	in(icmp, "icmp 10.0.0.5 10.0.0.4", POLICY_DENY, "I");
	in(icmp, "icmp fd00::5 fd00::4", POLICY_DENY, "I");
	in(icmp, "tcp 10.0.0.5:8 10.0.0.4:8", POLICY_ALLOW, NULL);
	in(esp, "50 10.0.0.5 10.0.0.4", POLICY_DENY, "E");
	in(esp, "51 10.0.0.5 10.0.0.4", POLICY_ALLOW, NULL);
}

/* ICMP's type 8 is no port 8, and a rule with ports says nothing about protocols without. */
static void test_ports_are_of_tcp_and_udp(void **state)
{
	static const char text[] =
		G(R("P", 100, "inbound", "deny", "source_ports: 8, destination_ports: 0-100"));

	(void)state;
	in(text, "tcp 10.0.0.5:8 10.0.0.4:100", POLICY_DENY, "P");
	in(text, "udp 10.0.0.5:8 10.0.0.4:0", POLICY_DENY, "P");
	in(text, "udp 10.0.0.5:9 10.0.0.4:0", POLICY_ALLOW, NULL);
	in(text, "udp 10.0.0.5:8 10.0.0.4:101", POLICY_ALLOW, NULL);
	in(text, "icmp 10.0.0.5 10.0.0.4 8/0", POLICY_ALLOW, NULL);
	in(text, "esp 10.0.0.5 10.0.0.4", POLICY_ALLOW, NULL);
}

static void test_prefixes(void **state)
{
	static const char text[] =
		G(R("P", 100, "inbound", "deny",
		    "source: [10.0.0.8/29, 10.0.0.5], destination: 10.0.0.0/25"));
	static const char all4[] = G(R("P", 100, "inbound", "deny", "source: 0.0.0.0/0"));
	static const char all6[] = G(R("P", 100, "inbound", "deny", "source: '::/0'"));
	static const char half6[] = G(R("P", 100, "inbound", "deny", "source: '::/16'"));

	(void)state;
	in(text, "icmp 10.0.0.5 10.0.0.4", POLICY_DENY, "P");
	in(text, "icmp 10.0.0.6 10.0.0.4", POLICY_ALLOW, NULL);
	in(text, "icmp 10.0.0.15 10.0.0.127", POLICY_DENY, "P");
	in(text, "icmp 10.0.0.16 10.0.0.127", POLICY_ALLOW, NULL);
	in(text, "icmp 10.0.0.15 10.0.0.128", POLICY_ALLOW, NULL);
	/* "All" of one family is not all of the other. */
	in(all4, "icmp 10.0.0.5 10.0.0.4", POLICY_DENY, "P");
	in(all4, "icmp fd00::5 fd00::4", POLICY_ALLOW, NULL);
	in(all6, "icmp fd00::5 fd00::4", POLICY_DENY, "P");
	in(all6, "icmp 10.0.0.5 10.0.0.4", POLICY_ALLOW, NULL);
	in(half6, "icmp 10.0.0.5 10.0.0.4", POLICY_ALLOW, NULL);
	in(half6, "icmp ::1 fd00::4", POLICY_DENY, "P");
}

static void test_application_security_groups(void **state)
{
	static const char text[] =
		G(R("WebToDb", 100, "inbound", "allow", "source_asgs: web, destination_asgs: [db]")
			  R("Nothing", 101, "inbound", "deny", "source_asgs: nobody")
				  R("Rest", 200, "inbound", "deny",
				    "protocol: any")) "asgs: {web: [198.51.100.9]}\n";

	(void)state;
	in(text, "icmp 10.0.0.4 10.0.0.5", POLICY_ALLOW, "WebToDb");
	in(text, "icmp 10.0.1.4 10.0.0.5", POLICY_ALLOW, "WebToDb"); /* a's other NIC */
	in(text, "icmp fd00::4 fd00::5", POLICY_ALLOW, "WebToDb");
	in(text, "icmp 198.51.100.9 10.0.0.5", POLICY_ALLOW, "WebToDb");
	in(text, "icmp 10.0.0.4 10.0.0.4", POLICY_DENY, "Rest");
	in(text, "icmp 10.0.0.5 10.0.0.5", POLICY_DENY, "Rest");
}

/* A group without members matches nobody; it must not become "any". */
static void test_an_empty_group_is_nobody(void **state)
{
	(void)state;
	in(G(R("X", 100, "inbound", "allow", "source_asgs: nobody")), "tcp 8.8.8.8:1 10.0.0.4:22",
	   POLICY_DENY, "DenyAllInBound");
	in(G(R("X", 100, "inbound", "allow", "source: [asg:nobody, 8.8.4.4]")),
	   "tcp 8.8.4.4:1 10.0.0.4:22", POLICY_ALLOW, "X");
}

static void test_internet(void **state)
{
	static const char text[] = G(R("Inet", 100, "inbound", "deny", "source: Internet")
					     R("Rest", 200, "inbound", "allow", "protocol: any"));
	static const char *const public[] = {"1.1.1.1",	    "8.8.8.8",	      "100.63.255.255",
					     "100.128.0.0", "172.15.255.255", "172.32.0.0",
					     "192.0.2.1",   "198.51.100.1",   "223.255.255.255",
					     "2001:db8::1", "2600::1",	      "3fff::1"};
	static const char *const not_public[] = {
		"0.0.0.1",     "10.0.0.5",   "10.200.0.1",	"100.64.0.1",  "127.0.0.1",
		"169.254.1.1", "172.16.0.1", "172.31.255.255",	"192.168.0.1", "168.63.129.16",
		"224.0.0.1",   "240.0.0.1",  "255.255.255.255", "fd00::5",     "fe80::1",
		"fc00::1",     "::1"};
	char packet[96];

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(public); i++) {
		snprintf(packet, sizeof(packet), "esp %s %s", public[i],
			 strchr(public[i], ':') ? "fd00::4" : "10.0.0.4");
		in(text, packet, POLICY_DENY, "Inet");
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(not_public); i++) {
		snprintf(packet, sizeof(packet), "esp %s %s", not_public[i],
			 strchr(not_public[i], ':') ? "fd00::4" : "10.0.0.4");
		in(text, packet, POLICY_ALLOW, "Rest");
	}
	/* What is declared a part of the virtual network is not Internet. */
	rig_group("nsgs: [{name: g, rules: [{name: Inet, priority: 100, direction: inbound, "
		  "access: allow, source: Internet}]}]\nvirtual_network: {also: [20.0.0.0/8]}\n",
		  lab, "g", POLICY_IN, "esp 20.0.0.1 10.0.0.4", POLICY_ALLOW, "AllowVnetInBound");
}

static void test_networks_that_are_not_peered(void **state)
{
	static const char text[] = "nsgs: [{name: g}]\napply: {networks: {blue: g}}\n"
				   "virtual_network: {peered: no}\n";

	(void)state;
	assert_int_equal(rig_nic(text, lab, "a/eth0", POLICY_IN, "icmp 10.0.0.5 10.0.0.4", NULL),
			 POLICY_ALLOW);
	assert_int_equal(rig_nic(text, lab, "a/eth0", POLICY_IN, "icmp 10.0.1.6 10.0.0.4", NULL),
			 POLICY_DENY);
}

/* ---- what works under every group ---- */

static void test_the_platform_is_let_through(void **state)
{
	static const char text[] =
		"nsgs: [{name: g, rules: [\n"
		"{name: I, priority: 100, direction: inbound, access: deny},\n"
		"{name: O, priority: 100, direction: outbound, access: deny}]}]\n"
		"apply: {networks: {blue: g}}\n";
	const struct lab_net *blue = &lab->nets[0];
	char packet[128];

	(void)state;
	out(text, "arp 10.0.0.4 10.0.0.5", POLICY_ALLOW, NULL);
	in(text, "arp 10.0.0.5 10.0.0.4", POLICY_ALLOW, NULL);
	out(text, "udp 0.0.0.0:68 255.255.255.255:67", POLICY_ALLOW, "PlatformDhcp");
	snprintf(packet, sizeof(packet), "udp %s:67 255.255.255.255:68", blue->service4);
	in(text, packet, POLICY_ALLOW, "PlatformDhcp");
	/* A neighbour is no DHCP server. */
	in(text, "udp 10.0.0.5:67 255.255.255.255:68", POLICY_DENY, "I");
	snprintf(packet, sizeof(packet), "udp 10.0.0.4:1000 %s:53", blue->service4);
	out(text, packet, POLICY_ALLOW, "PlatformDns");
	snprintf(packet, sizeof(packet), "tcp fd00::4 [%s]:53", blue->service6);
	out(text, packet, POLICY_ALLOW, "PlatformDns");
	out(text, "udp 10.0.0.4:1000 8.8.8.8:53", POLICY_DENY, "O");
	out(text, "icmp fe80::1 ff02::1:ff00:5 135", POLICY_ALLOW, "PlatformNeighbourOut");
	in(text, "icmp fe80::2 fe80::1 136", POLICY_ALLOW, "PlatformNeighbourIn");
	in(text, "icmp fe80::2 ff02::1 134", POLICY_ALLOW, "PlatformNeighbourIn");
	/* To advertise a router is not a guest's business. */
	out(text, "icmp fe80::1 ff02::1 134", POLICY_DENY, "O");
	out(text, "icmp fd00::4 fd00::5 128", POLICY_DENY, "O");
	out(text, "udp fe80::1 [ff02::1:2]:547", POLICY_DENY, "O");
	out(text, "udp [fe80::1]:546 [ff02::1:2]:547", POLICY_ALLOW, "PlatformDhcpV6");
	in(text, "udp [fe80::2]:547 [fe80::1]:546", POLICY_ALLOW, "PlatformDhcpV6");
	in(text, "udp [2001:db8::2]:547 [fe80::1]:546", POLICY_DENY, "I");
}

/* ---- two groups ---- */

static const char two[] =
	"nsgs:\n"
	"  - name: subnet\n"
	"    rules:\n"
	"      - {name: S22, priority: 100, direction: inbound, access: allow, protocol: tcp,\n"
	"         destination_ports: 22}\n"
	"      - {name: S80, priority: 110, direction: inbound, access: allow, protocol: tcp,\n"
	"         destination_ports: 80}\n"
	"      - {name: SNo, priority: 120, direction: outbound, access: deny, protocol: udp}\n"
	"  - name: nic\n"
	"    rules:\n"
	"      - {name: N80, priority: 100, direction: inbound, access: allow, protocol: tcp,\n"
	"         destination_ports: [80, 81]}\n"
	"      - {name: NNo, priority: 120, direction: outbound, access: deny, protocol: icmp}\n"
	"apply: {networks: {blue: subnet}, nics: {a/eth0: nic}}\n";

static void test_both_groups_must_allow(void **state)
{
	(void)state;
	assert_int_equal(rig_nic(two, lab, "a/eth0", POLICY_IN, "tcp 8.8.8.8 10.0.0.4:80", NULL),
			 POLICY_ALLOW);
	assert_int_equal(rig_nic(two, lab, "a/eth0", POLICY_IN, "tcp 8.8.8.8 10.0.0.4:22", NULL),
			 POLICY_DENY);
	assert_int_equal(rig_nic(two, lab, "a/eth0", POLICY_IN, "tcp 8.8.8.8 10.0.0.4:81", NULL),
			 POLICY_DENY);
	/* The subnet's alone where the NIC has none; none at all on another network. */
	assert_int_equal(rig_nic(two, lab, "b/eth0", POLICY_IN, "tcp 8.8.8.8 10.0.0.5:22", NULL),
			 POLICY_ALLOW);
	assert_int_equal(rig_nic(two, lab, "b/eth0", POLICY_IN, "tcp 8.8.8.8 10.0.0.5:81", NULL),
			 POLICY_DENY);
	assert_int_equal(rig_nic(two, lab, "c/eth0", POLICY_IN, "tcp 8.8.8.8 10.0.1.6:81", NULL),
			 POLICY_ALLOW);
}

static const char *layer_at(const json_t *o, unsigned int i)
{
	return json_string_value(
		json_object_get(json_array_get(json_object_get(o, "steps"), i), "layer"));
}

/* Inbound the subnet is asked first, outbound the NIC. */
static void test_order_of_the_groups(void **state)
{
	json_t *o;

	(void)state;
	rig_nic(two, lab, "a/eth0", POLICY_IN, "tcp 8.8.8.8 10.0.0.4:80", &o);
	assert_string_equal(layer_at(o, 0), "nsg-subnet");
	assert_string_equal(layer_at(o, 1), "nsg-nic");
	json_decref(o);
	rig_nic(two, lab, "a/eth0", POLICY_OUT, "tcp 10.0.0.4 8.8.8.8:80", &o);
	assert_string_equal(layer_at(o, 0), "nsg-nic");
	assert_string_equal(layer_at(o, 1), "nsg-subnet");
	json_decref(o);
	/* Who denies first is asked last. */
	assert_int_equal(rig_nic(two, lab, "a/eth0", POLICY_OUT, "icmp 10.0.0.4 8.8.8.8", &o),
			 POLICY_DENY);
	assert_int_equal(json_array_size(json_object_get(o, "steps")), 1);
	json_decref(o);
}

/* ---- Hyper-V's port ACLs ---- */

static void test_extended_acls(void **state)
{
	static const char text[] =
		"acls:\n  - nics: [a/eth0]\n    rules:\n"
		"      - {name: Deny, action: deny, direction: both, weight: 1}\n"
		"      - {name: Ssh, action: allow, direction: inbound, weight: 10, protocol: "
		"tcp,\n"
		"         local_ports: 22, remote: 10.0.0.0/24, stateful: yes}\n"
		"      - {name: Not5, action: deny, direction: inbound, weight: 20, remote: "
		"10.0.0.5}\n";
	json_t *o;

	(void)state;
	assert_int_equal(rig_nic(text, lab, "a/eth0", POLICY_IN, "tcp 10.0.0.6 10.0.0.4:22", &o),
			 POLICY_ALLOW);
	assert_string_equal(layer_at(o, 0), "acl-extended");
	assert_true(policy_explained_by(o, "Ssh"));
	json_decref(o);
	assert_int_equal(rig_nic(text, lab, "a/eth0", POLICY_IN, "tcp 10.0.0.5 10.0.0.4:22", NULL),
			 POLICY_DENY);
	assert_int_equal(rig_nic(text, lab, "a/eth0", POLICY_IN, "tcp 10.0.0.6 10.0.0.4:23", NULL),
			 POLICY_DENY);
	assert_int_equal(rig_nic(text, lab, "a/eth0", POLICY_OUT, "tcp 10.0.0.4 10.0.0.6:22", NULL),
			 POLICY_DENY);
	/* Not ARP; and no rule, no list: allowed. */
	assert_int_equal(rig_nic(text, lab, "a/eth0", POLICY_OUT, "arp 10.0.0.4 10.0.0.6", NULL),
			 POLICY_ALLOW);
	assert_int_equal(rig_nic(text, lab, "b/eth0", POLICY_OUT, "tcp 10.0.0.5 10.0.0.6:22", NULL),
			 POLICY_ALLOW);
}

static void test_local_and_remote(void **state)
{
	static const char text[] =
		"acls:\n  - rules:\n"
		"      - {name: X, action: deny, direction: both, weight: 1, protocol: udp,\n"
		"         local: 10.0.0.4, local_ports: 1, remote: 10.0.0.5, remote_ports: 2}\n";

	(void)state;
	assert_int_equal(
		rig_nic(text, lab, "a/eth0", POLICY_OUT, "udp 10.0.0.4:1 10.0.0.5:2", NULL),
		POLICY_DENY);
	assert_int_equal(rig_nic(text, lab, "a/eth0", POLICY_IN, "udp 10.0.0.5:2 10.0.0.4:1", NULL),
			 POLICY_DENY);
	assert_int_equal(rig_nic(text, lab, "a/eth0", POLICY_IN, "udp 10.0.0.4:1 10.0.0.5:2", NULL),
			 POLICY_ALLOW);
}

static void test_basic_acls(void **state)
{
	static const char text[] =
		"acls:\n  - type: basic\n    rules:\n"
		"      - {name: All, action: deny, direction: both, remote: any}\n"
		"      - {name: Net, action: allow, direction: both, remote: 10.0.0.0/24}\n"
		"      - {name: One, action: deny, direction: inbound, remote: 10.0.0.5}\n"
		"      - {name: Count, action: meter, direction: both, remote: 10.0.0.0/8}\n"
		"      - {name: Mac, action: allow, direction: inbound,\n"
		"         remote_mac: 02-00-00-00-00-09}\n";
	json_t *o;

	(void)state;
	assert_int_equal(rig_nic(text, lab, "a/eth0", POLICY_IN, "icmp 10.0.0.6 10.0.0.4", &o),
			 POLICY_ALLOW);
	assert_true(policy_explained_by(o, "Net"));
	assert_string_equal(json_string_value(json_array_get(json_object_get(o, "meters"), 0)),
			    "Count");
	json_decref(o);
	assert_int_equal(rig_nic(text, lab, "a/eth0", POLICY_IN, "icmp 10.0.0.5 10.0.0.4", NULL),
			 POLICY_DENY);
	assert_int_equal(rig_nic(text, lab, "a/eth0", POLICY_OUT, "icmp 10.0.0.4 10.0.0.5", NULL),
			 POLICY_ALLOW);
	assert_int_equal(rig_nic(text, lab, "a/eth0", POLICY_OUT, "icmp 10.0.0.4 10.0.1.5", NULL),
			 POLICY_DENY);
	assert_int_equal(rig_nic(text, lab, "a/eth0", POLICY_OUT, "icmp fd00::4 fd00::5", NULL),
			 POLICY_DENY);
	assert_int_equal(rig_nic(text, lab, "a/eth0", POLICY_OUT, "arp 10.0.0.4 10.0.0.9", NULL),
			 POLICY_ALLOW);
}

/* ---- translation, meters, tunnels ---- */

static void becomes(const char *text, const char *nic, enum policy_dir dir, const char *packet,
		    const char *want)
{
	const char *got;
	json_t *o;

	assert_int_equal(rig_nic(text, lab, nic, dir, packet, &o), POLICY_ALLOW);
	got = json_string_value(json_object_get(o, "becomes"));
	if ((!want) != (!got) || (want && strcmp(want, got) != 0))
		fail_msg("%s becomes %s, not %s", packet, got ? got : "itself",
			 want ? want : "itself");
	json_decref(o);
}

static void test_one_to_one(void **state)
{
	static const char text[] =
		"nat:\n  - {name: n, nics: [a/eth0], outside: 203.0.113.4, inside: 10.0.0.4,\n"
		"     remote: [Internet]}\n";

	(void)state;
	becomes(text, "a/eth0", POLICY_OUT, "tcp 10.0.0.4:5 8.8.8.8:80",
		"tcp 203.0.113.4:5 -> 8.8.8.8:80");
	becomes(text, "a/eth0", POLICY_IN, "tcp 8.8.8.8:5 203.0.113.4:80",
		"tcp 8.8.8.8:5 -> 10.0.0.4:80");
	becomes(text, "a/eth0", POLICY_OUT, "tcp 10.0.0.4:5 10.0.0.5:80", NULL);
	becomes(text, "b/eth0", POLICY_OUT, "tcp 10.0.0.5:5 8.8.8.8:80", NULL);
}

static void test_port_mapping_and_source_nat(void **state)
{
	static const char text[] =
		"nat:\n  - name: vip\n    nics: [b/eth0]\n    outside: 203.0.113.10\n"
		"    inside: [10.0.0.5]\n    source_ports: 20000-20009\n"
		"    ports:\n"
		"      - {protocol: tcp, port: 80, inside: 10.0.0.5, inside_port: 8080}\n"
		"      - {protocol: udp, port: 53, inside: 10.0.0.5}\n";

	(void)state;
	becomes(text, "b/eth0", POLICY_IN, "tcp 8.8.8.8:5 203.0.113.10:80",
		"tcp 8.8.8.8:5 -> 10.0.0.5:8080");
	becomes(text, "b/eth0", POLICY_IN, "udp 8.8.8.8:5 203.0.113.10:53",
		"udp 8.8.8.8:5 -> 10.0.0.5:53");
	becomes(text, "b/eth0", POLICY_IN, "tcp 8.8.8.8:5 203.0.113.10:81", NULL);
	becomes(text, "b/eth0", POLICY_OUT, "tcp 10.0.0.5:5 8.8.8.8:80",
		"tcp 203.0.113.10:20000 -> 8.8.8.8:80");
}

/* Groups see the guest's own address on both sides of a translation. */
static void test_groups_see_the_inside(void **state)
{
	static const char text[] =
		"nsgs:\n  - name: g\n    rules:\n"
		"      - {name: In, priority: 100, direction: inbound, access: allow,\n"
		"         destination: 10.0.0.4}\n"
		"      - {name: Out, priority: 100, direction: outbound, access: allow,\n"
		"         source: 10.0.0.4}\n"
		"      - {name: NoIn, priority: 200, direction: inbound, access: deny}\n"
		"      - {name: NoOut, priority: 200, direction: outbound, access: deny}\n"
		"apply: {nics: {a/eth0: g}}\n"
		"nat: [{name: n, outside: 203.0.113.4, inside: 10.0.0.4}]\n";

	(void)state;
	becomes(text, "a/eth0", POLICY_OUT, "tcp 10.0.0.4:5 8.8.8.8:80",
		"tcp 203.0.113.4:5 -> 8.8.8.8:80");
	becomes(text, "a/eth0", POLICY_IN, "tcp 8.8.8.8:5 203.0.113.4:80",
		"tcp 8.8.8.8:5 -> 10.0.0.4:80");
}

static void test_meters_and_tunnels(void **state)
{
	static const char text[] =
		"meters:\n"
		"  - {name: slow, remote: 10.0.1.0/24, protocol: tcp, remote_ports: 80, meter: "
		"red,\n"
		"     limit_mbps: 50, mark: 7}\n"
		"  - {name: rest, direction: outbound, meter: other}\n"
		"tunnels:\n"
		"  - {name: far, remote: 10.0.1.0/24, vni: 5001, vtep: 192.0.2.1}\n";
	json_t *o, *t;

	(void)state;
	rig_nic(text, lab, "a/eth0", POLICY_OUT, "tcp 10.0.0.4 10.0.1.6:80", &o);
	assert_int_equal(json_integer_value(json_object_get(o, "limit_mbps")), 50);
	assert_int_equal(json_integer_value(json_object_get(o, "mark")), 7);
	assert_string_equal(json_string_value(json_array_get(json_object_get(o, "meters"), 0)),
			    "red");
	t = json_object_get(o, "tunnel");
	assert_int_equal(json_integer_value(json_object_get(t, "vni")), 5001);
	assert_string_equal(json_string_value(json_object_get(t, "vtep")), "192.0.2.1");
	json_decref(o);
	rig_nic(text, lab, "a/eth0", POLICY_OUT, "tcp 10.0.0.4 10.0.0.5:80", &o);
	assert_string_equal(json_string_value(json_array_get(json_object_get(o, "meters"), 0)),
			    "other");
	assert_null(json_object_get(o, "tunnel"));
	json_decref(o);
	rig_nic(text, lab, "a/eth0", POLICY_IN, "tcp 10.0.0.5 10.0.0.4:80", &o);
	assert_null(json_object_get(o, "meters"));
	json_decref(o);
}

/* ---- the same again is the same ---- */

static uint64_t digest(const char *text, const struct lab *of)
{
	struct nsg_file *f = rig_load(text);
	struct nsg_set set = {&f, 1};
	struct nsg_world *w = nsg_world_new(&set, of);
	struct nsg_target t = {.lab = of, .nic = "a/eth0", .net = 0};
	struct nsg_spec s;
	char why[128];
	uint64_t d;

	assert_int_equal(nsg_compile(&set, w, &t, &s, why, sizeof(why)), 0);
	d = nsg_spec_digest(&s);
	nsg_spec_free(&s);
	nsg_world_free(w);
	nsg_free(f);
	return d;
}

static void test_digest(void **state)
{
	struct lab *more = rig_lab("networks: [{name: blue, subnet: 10.0.0.0/24}]\n"
				   "vms: [{name: a, labels: [web]}, {name: b, labels: [web]}]\n");
	struct lab *fewer = rig_lab("networks: [{name: blue, subnet: 10.0.0.0/24}]\n"
				    "vms: [{name: a, labels: [web]}, {name: b}]\n");
	static const char asg[] = G(R("A", 100, "inbound", "allow",
				      "source_asgs: web")) "apply: {networks: {blue: g}}\n";
	static const char plain[] = G(R("A", 100, "inbound", "allow",
					"source: 10.0.0.4")) "apply: {networks: {blue: g}}\n";

	(void)state;
	assert_true(digest(two, lab) == digest(two, lab));
	assert_true(digest(asg, more) != digest(asg, fewer));
	assert_true(digest(plain, more) == digest(plain, fewer));
	lab_free(more);
	lab_free(fewer);
}

/* ---- the tests that a file has ---- */

static void test_tests(void **state)
{
	static const char text[] =
		"nsgs:\n  - name: g\n    rules:\n"
		"      - {name: Ssh, priority: 100, direction: inbound, access: allow,\n"
		"         protocol: tcp, source: [VirtualNetwork], destination_ports: 22}\n"
		"      - {name: Rest, priority: 200, direction: inbound, access: deny}\n"
		"apply: {networks: {blue: g}}\n"
		"tests:\n"
		"  - {packet: 'tcp a b:22', expect: allow, rule: Ssh}\n"
		"  - {packet: 'tcp a b:23', expect: deny, rule: Rest}\n"
		"  - {packet: 'tcp a b:23', expect: allow}\n"
		"  - {packet: 'tcp a b:22', expect: allow, rule: Rest}\n"
		"  - {packet: 'tcp b c:23', expect: allow}\n"
		"  - {packet: 'tcp x c:23', expect: allow}\n"
		"  - {packet: 'tcp 8.8.8.8 9.9.9.9:23', expect: allow}\n"
		"  - {packet: 'tcp 10.0.0.9 10.0.0.8:22', nsg: g, direction: inbound, expect: "
		"allow}\n";
	static const bool want[] = {true, true, false, false, true, false, false, true};
	struct nsg_file *f = rig_load(text);
	struct nsg_set set = {&f, 1};
	json_t *r = policy_test(&set, lab), *results = json_object_get(r, "results");

	(void)state;
	assert_int_equal(json_array_size(results), ARRAY_SIZE(want));
	for (unsigned int i = 0; i < ARRAY_SIZE(want); i++) {
		const json_t *one = json_array_get(results, i);

		if (json_is_true(json_object_get(one, "ok")) != want[i])
			fail_msg("%s: %s", json_string_value(json_object_get(one, "packet")),
				 json_string_value(json_object_get(one, "why")));
	}
	assert_int_equal(json_integer_value(json_object_get(r, "failed")), 4);
	json_decref(r);
	/* Without a lab only the one with a group can be asked; and the tag has no addresses. */
	r = policy_test(&set, NULL);
	assert_int_equal(json_integer_value(json_object_get(r, "passed")), 0);
	json_decref(r);
	nsg_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_default_rules_inbound),
		cmocka_unit_test(test_default_rules_outbound),
		cmocka_unit_test(test_a_rule_can_be_before_the_defaults),
		cmocka_unit_test(test_lowest_number_first),
		cmocka_unit_test(test_protocols),
		cmocka_unit_test(test_ports_are_of_tcp_and_udp),
		cmocka_unit_test(test_prefixes),
		cmocka_unit_test(test_application_security_groups),
		cmocka_unit_test(test_an_empty_group_is_nobody),
		cmocka_unit_test(test_internet),
		cmocka_unit_test(test_networks_that_are_not_peered),
		cmocka_unit_test(test_the_platform_is_let_through),
		cmocka_unit_test(test_both_groups_must_allow),
		cmocka_unit_test(test_order_of_the_groups),
		cmocka_unit_test(test_extended_acls),
		cmocka_unit_test(test_local_and_remote),
		cmocka_unit_test(test_basic_acls),
		cmocka_unit_test(test_one_to_one),
		cmocka_unit_test(test_port_mapping_and_source_nat),
		cmocka_unit_test(test_groups_see_the_inside),
		cmocka_unit_test(test_meters_and_tunnels),
		cmocka_unit_test(test_digest),
		cmocka_unit_test(test_tests),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
