/* SPDX-License-Identifier: BSD-2-Clause */
/* What a network's dnsmasq is told: addresses, command line, lines of its files. */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "host/netsvc_internal.h"

static struct lab *load(const char *text)
{
	struct lab_errors errs = {0};
	struct lab *lab = NULL;

	if (lab_load_text("t.yaml", text, strlen(text), &lab, &errs)) {
		char line[600];

		lab_error_format(&errs, &errs.list[0], line, sizeof(line));
		fail_msg("%s", line);
	}
	lab_errors_free(&errs);
	return lab;
}

/* The plan of the first network. */
static int plan_of(const char *text, struct netsvc_plan *plan)
{
	struct lab *lab = load(text);
	int rc = netsvc_plan(lab, 0, plan);

	lab_free(lab);
	return rc;
}

static const char *ip4(const struct netsvc_plan *p)
{
	static char buf[INET_ADDRSTRLEN];

	return inet_ntop(AF_INET, &p->ip4, buf, sizeof(buf));
}

static const char *ip6(const struct netsvc_plan *p)
{
	static char buf[INET6_ADDRSTRLEN];

	return inet_ntop(AF_INET6, &p->ip6, buf, sizeof(buf));
}

static const char *ip_of(uint32_t host_order)
{
	static char buf[INET_ADDRSTRLEN];

	return inet_ntop(AF_INET, &(struct in_addr){htonl(host_order)}, buf, sizeof(buf));
}

#define NET(rest) "networks: [{name: blue" rest "}]\nvms:\n"
#define ONE	  "  - {name: a}\n"

static void test_usual_addresses(void **state)
{
	struct netsvc_plan p;

	(void)state;
	assert_int_equal(plan_of(NET("") ONE, &p), 0);
	assert_true(p.has4 && p.has6 && p.pool4);
	assert_string_equal(ip4(&p), "10.0.0.2");
	assert_string_equal(ip6(&p), "fd00::2");
	assert_string_equal(p.ifname, "blue");
	assert_int_equal(p.mtu, 1500);
	assert_string_equal(p.domain, "t");
	assert_string_equal(ip_of(p.first4), "10.0.0.128");
	assert_string_equal(ip_of(p.last4), "10.0.0.254");
	/* Unicast, locally administered. */
	assert_int_equal(p.mac[0] & 3, 2);
}

static void test_given_addresses_are_left_alone(void **state)
{
	struct netsvc_plan p;

	(void)state;
	assert_int_equal(plan_of(NET("") "  - {name: a, nics: [{ip: 10.0.0.2, ip6: 'fd00::2'}]}\n"
					 "  - {name: b, nics: [{ip: 10.0.0.3, ip6: 'fd00::1'}]}\n",
				 &p),
			 0);
	assert_string_equal(ip4(&p), "10.0.0.1");
	assert_string_equal(ip6(&p), "fd00::3");
}

static void test_taken_on_another_network_is_free(void **state)
{
	struct netsvc_plan p;

	(void)state;
	assert_int_equal(plan_of("networks: [{name: x}, {name: y, subnet: 10.9.0.0/24}]\n"
				 "vms: [{name: a, nics: [{network: y, ip: 10.9.0.2}]}]\n",
				 &p),
			 0);
	assert_string_equal(ip4(&p), "10.0.0.2");
}

static void test_small_subnets(void **state)
{
	struct netsvc_plan p;

	(void)state;
	/* Guests count from 1 there: the service takes the end. */
	assert_int_equal(plan_of(NET(", subnet: 10.5.0.0/29, subnet6: 'fd05::/125'") ONE, &p), 0);
	assert_string_equal(ip4(&p), "10.5.0.6");
	assert_string_equal(ip6(&p), "fd05::7");
	assert_false(p.pool4);
	assert_int_equal(plan_of(NET(", subnet: 10.5.0.0/29, subnet6: none") "  - {name: a, nics: "
									     "[{ip: 10.5.0.6}]}\n",
				 &p),
			 0);
	assert_string_equal(ip4(&p), "10.5.0.5");
	assert_int_equal(plan_of(NET(", subnet: 10.5.0.0/28, subnet6: none") ONE, &p), 0);
	assert_string_equal(ip4(&p), "10.5.0.2");
	assert_string_equal(ip_of(p.first4), "10.5.0.8");
	assert_string_equal(ip_of(p.last4), "10.5.0.14");
}

#define FLEET(net)                                                                                 \
	"fabric: {hosts: [{name: h1, address: 192.0.2.1, address6: 'fd99::1'},"                    \
	" {name: h2, address: 192.0.2.2, address6: 'fd99::2'}]}\n"                                 \
	"networks: [{name: n, " net "}]\nvms: [{name: a, host: h1}, {name: b, host: h2}]\n"

static void test_hosts_that_share_a_network(void **state)
{
	struct netsvc_plan p[2], routed;
	char why[64];

	(void)state;
	for (unsigned int h = 0; h < 2; h++) {
		struct lab *lab = load(FLEET("mode: vxlan"));
		bool ignores = false;
		char **argv;

		assert_int_equal(lab_choose_host(lab, h ? "h2" : "h1", why, sizeof(why)), 0);
		assert_int_equal(netsvc_plan(lab, 0, &p[h]), 0);
		assert_true(p[h].shared && !p[h].pool4);
		argv = netsvc_args(&p[h], "dnsmasq");
		for (char **at = argv; *at; at++)
			ignores = ignores || !strcmp(*at, "--dhcp-ignore=tag:!known");
		assert_true(ignores);
		netsvc_args_free(argv);
		lab_free(lab);
	}
	assert_int_not_equal(p[0].ip4.s_addr, p[1].ip4.s_addr);
	assert_memory_not_equal(p[0].mac, p[1].mac, 6);
	{
		struct lab *lab = load(FLEET("mode: routed"));

		assert_int_equal(lab_choose_host(lab, "h2", why, sizeof(why)), 0);
		assert_int_equal(netsvc_plan(lab, 0, &routed), 0);
		lab_free(lab);
	}
	/* Its own part, with strangers; of IPv6 all parts are on the guests' link. */
	assert_false(routed.shared);
	assert_true(routed.pool4);
	assert_string_equal(ip4(&routed), "10.100.1.2");
	assert_string_equal(routed.gateway4, "10.100.1.1");
	assert_int_equal(routed.prefix6, 64);
	assert_string_equal(ip6(&routed), "fd00::100:0:0:2");
}

static void test_a_guest_elsewhere_has_a_name_alone(void **state)
{
	struct netsvc_host host = {.mac = {2},
				   .ip4 = "10.0.0.9",
				   .ip6 = "",
				   .mtu = 1400,
				   .vm = "b",
				   .nic = "eth0",
				   .elsewhere = true};
	struct netsvc_entry e;
	char line[512];

	(void)state;
	assert_int_equal(netsvc_entry_set(&e, &host), 0);
	netsvc_dhcp_line(&e, line, sizeof(line));
	assert_string_equal(line, "");
	netsvc_mtu_line(&e, line, sizeof(line));
	assert_string_equal(line, "");
	netsvc_dns_lines(&e, "lab", line, sizeof(line));
	assert_non_null(strstr(line, "10.0.0.9 eth0.b.lab"));
}

static void test_full_subnet(void **state)
{
	struct netsvc_plan p;

	(void)state;
	assert_int_equal(
		plan_of(NET(", subnet: 10.5.0.0/30, subnet6: none") ONE "  - {name: b}\n", &p),
		-EADDRNOTAVAIL);
}

static void test_no_subnet(void **state)
{
	struct netsvc_plan p;

	(void)state;
	assert_int_equal(plan_of(NET(", subnet: none, subnet6: none") ONE, &p), -EDESTADDRREQ);
	assert_int_equal(plan_of(NET(", subnet: none") ONE, &p), 0);
	assert_false(p.has4);
	assert_true(p.has6);
}

static void test_large_subnet_has_a_small_pool(void **state)
{
	struct netsvc_plan p;

	(void)state;
	assert_int_equal(plan_of(NET(", subnet: 10.0.0.0/8, subnet6: 'fd00::/8'") ONE, &p), 0);
	assert_string_equal(ip4(&p), "10.0.0.2");
	assert_string_equal(ip_of(p.last4), "10.255.255.254");
	assert_string_equal(ip_of(p.first4), "10.255.255.128");
}

static void test_interface_names(void **state)
{
	struct netsvc_plan p;

	(void)state;
	assert_int_equal(plan_of("networks: [{name: a-name-that-is-too-lon}]\nvms:\n" ONE, &p), 0);
	assert_string_equal(p.ifname, "a-name-that-is-");
	/* These mean something else to Linux. */
	assert_int_equal(plan_of("networks: [{name: lo}]\nvms:\n" ONE, &p), 0);
	assert_string_equal(p.ifname, "net-lo");
	assert_int_equal(plan_of("networks: [{name: default}]\nvms:\n" ONE, &p), 0);
	assert_string_equal(p.ifname, "net-default");
}

static void test_mac_is_the_networks_own(void **state)
{
	struct netsvc_plan a, again, b;

	(void)state;
	plan_of("name: l\nnetworks: [{name: x}]\nvms:\n" ONE, &a);
	plan_of("name: l\nnetworks: [{name: x}]\nvms:\n" ONE, &again);
	plan_of("name: l\nnetworks: [{name: y}]\nvms:\n" ONE, &b);
	assert_memory_equal(a.mac, again.mac, 6);
	assert_memory_not_equal(a.mac, b.mac, 6);
}

/* ---- the command line ---- */

static bool has(char **argv, const char *arg)
{
	for (; *argv; argv++)
		if (!strcmp(*argv, arg))
			return true;
	return false;
}

static bool has_start(char **argv, const char *start)
{
	for (; *argv; argv++)
		if (!strncmp(*argv, start, strlen(start)))
			return true;
	return false;
}

static void test_command_line(void **state)
{
	struct netsvc_plan p;
	char **argv;

	(void)state;
	plan_of("networks: [{name: blue, mtu: 9000, domain: lab.example}]\nvms:\n" ONE, &p);
	argv = netsvc_args(&p, "/usr/sbin/dnsmasq");
	assert_non_null(argv);
	assert_string_equal(argv[0], "/usr/sbin/dnsmasq");
	assert_true(has(argv, "--conf-file=/dev/null"));
	assert_true(has(argv, "--keep-in-foreground"));
	assert_true(has(argv, "--dhcp-leasefile=/proc/self/fd/0"));
	assert_true(has(argv, "--interface=blue"));
	assert_true(has(argv, "--domain=lab.example"));
	assert_true(has(argv, "--no-resolv"));
	assert_true(has(argv, "--no-hosts"));
	assert_true(has(argv, "--dhcp-ignore-names"));
	assert_true(has(argv, "--dhcp-range=10.0.0.128,10.0.0.254,255.255.255.0,1h"));
	assert_true(has(argv, "--dhcp-option=option:mtu,9000"));
	assert_true(has(argv, "--dhcp-option=option:router")); /* none is given */
	assert_true(has(argv, "--dhcp-range=fd00::,static,64,infinite"));
	assert_true(has(argv, "--enable-ra"));
	assert_true(has(argv, "--dhcp-ignore=tag:dhcpv6,tag:!known"));
	assert_false(has(argv, "--quiet-dhcp6")); /* its refusals are read */
	assert_true(has(argv, "--ra-param=blue,mtu:9000,600,0"));
	netsvc_args_free(argv);
}

static void test_command_line_with_gateway(void **state)
{
	struct netsvc_plan p;
	char **argv;

	(void)state;
	plan_of(NET(", gateway: 10.0.0.1") ONE, &p);
	argv = netsvc_args(&p, "d");
	assert_true(has(argv, "--dhcp-option=tag:!router,option:router,10.0.0.1"));
	assert_true(has(argv, "--dhcp-option=tag:router,option:router")); /* none for itself */
	assert_false(has(argv, "--dhcp-option=option:router"));
	netsvc_args_free(argv);
}

static void test_command_line_of_one_family(void **state)
{
	struct netsvc_plan p;
	char **argv;

	(void)state;
	plan_of(NET(", subnet6: none, subnet: 10.3.0.0/29") ONE, &p);
	argv = netsvc_args(&p, "d");
	assert_true(has(argv, "--dhcp-range=10.3.0.0,static,255.255.255.248,1h"));
	assert_false(has_start(argv, "--enable-ra"));
	assert_false(has_start(argv, "--ra-param"));
	netsvc_args_free(argv);
	plan_of(NET(", subnet: none, subnet6: 'fd07::/64'") ONE, &p);
	argv = netsvc_args(&p, "d");
	assert_true(has(argv, "--dhcp-range=fd07::,static,64,infinite"));
	assert_false(has_start(argv, "--dhcp-option"));
	netsvc_args_free(argv);
}

/* ---- the files ---- */

static const struct netsvc_host whole = {
	.mac = {0, 0x15, 0x5d, 1, 2, 0xfe},
	.ip4 = "10.0.0.4",
	.ip6 = "fd00::4",
	.vm = "a",
	.nic = "eth0",
};

static void test_lines(void **state)
{
	struct netsvc_entry e;
	char text[512];

	(void)state;
	assert_int_equal(netsvc_entry_set(&e, &whole), 0);
	netsvc_dhcp_line(&e, text, sizeof(text));
	assert_string_equal(text, "00:15:5d:01:02:fe,10.0.0.4,[fd00::4],infinite\n");
	netsvc_dns_lines(&e, "lab", text, sizeof(text));
	assert_string_equal(text, "10.0.0.4 eth0.a.lab eth0.a\nfd00::4 eth0.a.lab eth0.a\n");
	e.first = true;
	netsvc_dns_lines(&e, "lab", text, sizeof(text));
	assert_string_equal(text, "10.0.0.4 a eth0.a.lab eth0.a\nfd00::4 a eth0.a.lab eth0.a\n");
}

static void test_lines_of_one_family(void **state)
{
	struct netsvc_host h = whole;
	struct netsvc_entry e;
	char text[512];

	(void)state;
	h.ip6 = NULL;
	assert_int_equal(netsvc_entry_set(&e, &h), 0);
	netsvc_dhcp_line(&e, text, sizeof(text));
	assert_string_equal(text, "00:15:5d:01:02:fe,10.0.0.4,infinite\n");
	h.ip6 = "fd00:0:0:0::4";
	h.ip4 = "";
	assert_int_equal(netsvc_entry_set(&e, &h), 0);
	netsvc_dhcp_line(&e, text, sizeof(text));
	assert_string_equal(text, "00:15:5d:01:02:fe,[fd00::4],infinite\n");
	h.ip6 = "";
	assert_int_equal(netsvc_entry_set(&e, &h), 0);
	netsvc_dhcp_line(&e, text, sizeof(text));
	assert_string_equal(text, "");
	netsvc_dns_lines(&e, "lab", text, sizeof(text));
	assert_string_equal(text, "");
}

static void test_lines_with_tags(void **state)
{
	struct netsvc_host h = whole;
	struct netsvc_entry e;
	char text[512];

	(void)state;
	h.mtu = 1400;
	assert_int_equal(netsvc_entry_set(&e, &h), 0);
	netsvc_dhcp_line(&e, text, sizeof(text));
	assert_string_equal(text, "00:15:5d:01:02:fe,set:mtu1400,10.0.0.4,[fd00::4],infinite\n");
	netsvc_mtu_line(&e, text, sizeof(text));
	assert_string_equal(text, "tag:mtu1400,option:mtu,1400\n");
	e.router = true;
	netsvc_dhcp_line(&e, text, sizeof(text));
	assert_string_equal(
		text, "00:15:5d:01:02:fe,set:mtu1400,set:router,10.0.0.4,[fd00::4],infinite\n");
	/* The MTU is for NICs without a fixed address too. */
	h.ip4 = h.ip6 = "";
	assert_int_equal(netsvc_entry_set(&e, &h), 0);
	netsvc_dhcp_line(&e, text, sizeof(text));
	assert_string_equal(text, "00:15:5d:01:02:fe,set:mtu1400\n");
	h.mtu = 0;
	assert_int_equal(netsvc_entry_set(&e, &h), 0);
	netsvc_mtu_line(&e, text, sizeof(text));
	assert_string_equal(text, "");
}

static void test_longest_line_fits(void **state)
{
	struct netsvc_host h = {.ip4 = "255.255.255.255",
				.ip6 = "ffff:eeee:dddd:cccc:bbbb:aaaa:9999:8888",
				.vm = "vvvvvvvvvvvvvvvvvvvvvvvv",
				.nic = "nnnnnnnnnnnnnnn"};
	const char *domain = "dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd1";
	struct netsvc_entry e;
	char text[512];
	size_t len;

	(void)state;
	assert_int_equal(strlen(domain), LAB_DOMAIN_MAX);
	assert_int_equal(netsvc_entry_set(&e, &h), 0);
	e.first = true;
	netsvc_dns_lines(&e, domain, text, sizeof(text));
	len = strlen(text);
	assert_true(len < sizeof(text) - 1);
	assert_int_equal(text[len - 1], '\n');
}

/* What would mean something else in dnsmasq's files does not get into them. */
static void test_entries_refused(void **state)
{
	static const struct {
		const char *ip4, *ip6, *vm, *nic;
	} bad[] = {
		{"10.0.0.4,ignore", "", "a", "eth0"},
		{"10.0.0", "", "a", "eth0"},
		{"", "10.0.0.4", "a", "eth0"},
		{"fd00::4", "", "a", "eth0"},
		{"", "fd00::4]", "a", "eth0"},
		{"", "", "", "eth0"},
		{"", "", "a", ""},
		{"", "", NULL, "eth0"},
		{"", "", "a b", "eth0"},
		{"", "", "a\nb", "eth0"},
		{"", "", "a.b", "eth0"},
		{"", "", "a", "eth0#"},
		{"", "", "a", "eth0,x"},
		{"", "", "aaaaaaaaaaaaaaaaaaaaaaaaa", "e"},
		{"", "", "a", "eeeeeeeeeeeeeeee"},
	};

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		struct netsvc_host h = {
			.ip4 = bad[i].ip4, .ip6 = bad[i].ip6, .vm = bad[i].vm, .nic = bad[i].nic};
		struct netsvc_entry e;

		if (netsvc_entry_set(&e, &h) != -EINVAL)
			fail_msg("number %u was accepted", i);
	}
}

/* ---- leases ---- */

static int parse(const char *text, struct netsvc_lease *l)
{
	char line[1024];

	snprintf(line, sizeof(line), "%s", text);
	return netsvc_lease_parse(line, l);
}

/* Lines as dnsmasq 2.90 wrote them. */
static void test_leases(void **state)
{
	struct netsvc_lease l;

	(void)state;
	assert_int_equal(parse("0 02:00:00:00:01:0b 10.0.0.4 * 01:02:00:00:00:01:0b", &l), 0);
	assert_int_equal(l.family, AF_INET);
	assert_int_equal(l.ip4.s_addr, htonl(0x0a000004));
	assert_int_equal(l.hw_type, 1);
	assert_int_equal(l.hw_len, 6);
	assert_memory_equal(l.hw, "\2\0\0\0\1\13", 6);
	assert_int_equal(l.id_len, 7);
	assert_int_equal(parse("1763723000 06-0a:0b 10.0.0.200 name *", &l), 0);
	assert_int_equal(l.hw_type, 6);
	assert_int_equal(l.hw_len, 2);
	assert_int_equal(l.id_len, 0);
	assert_int_equal(parse("0 267 fd00::4 * 00:03:00:01:02:00:00:00:01:0b", &l), 0);
	assert_int_equal(l.family, AF_INET6);
	assert_int_equal(l.iaid, 267);
	assert_false(l.temporary);
	assert_int_equal(l.id_len, 10);
	assert_int_equal(parse("0 T4294967295 fd00::4 * 00:01", &l), 0);
	assert_true(l.temporary);
	assert_int_equal(l.iaid, 0xffffffff);
}

static void test_lines_that_are_no_lease(void **state)
{
	static const char *const bad[] = {
		"",
		" ",
		"duid 00:01:00:01:32:94:3b:20:82:f7:e3:f3:85:41",
		"0 02:00:00:00:01:0b 10.0.0.4 *", /* being written */
		"0 02:00:00:00:01:0b 10.0.0 * *",
		"0 02:00:00:00:01: 10.0.0.4 * *",
		"0 02:00:00:00:01:0 10.0.0.4 * *",
		"0 2:0 10.0.0.4 * *",
		"0 zz-02:00 10.0.0.4 * *",
		"0 00:01:02:03:04:05:06:07:08:09:0a:0b:0c:0d:0e:0f:10 10.0.0.4 * *",
		"0 02:00:00:00:01:0b 10.0.0.4 * 01:",
		"0 267 fd00::4 * *",
		"0 x267 fd00::4 * 00:01",
		"0 4294967296 fd00::4 * 00:01",
		"0 T fd00::4 * 00:01",
	};
	struct netsvc_lease l;
	char text[2000], *at = text;

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++)
		if (parse(bad[i], &l) != -EINVAL)
			fail_msg("\"%s\" was accepted", bad[i]);
	at += sprintf(text, "0 1 fd00::4 * 00");
	for (unsigned int i = 0; i < 255; i++)
		at += sprintf(at, ":%02x", i);
	assert_int_equal(netsvc_lease_parse(text, &l), -EINVAL);
}

/* The sum of a UDP packet and its pseudo header: all ones when it is right. */
static uint16_t udp_sum(const uint8_t *addrs, size_t size, const uint8_t *udp)
{
	size_t len = (size_t)udp[4] << 8 | udp[5];
	uint32_t sum = 17 + (uint32_t)len;

	for (size_t i = 0; i < size; i++)
		sum += (uint32_t)addrs[i] << (i % 2 ? 0 : 8);
	for (size_t i = 0; i < len; i++)
		sum += (uint32_t)udp[i] << (i % 2 ? 0 : 8);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

/* Whether dnsmasq takes them is tests/kernel/test_netsvc.c's to find out. */
static void test_release_frames(void **state)
{
	static uint8_t frame[NETSVC_FRAME_MAX];
	char line[900] = "0 1 fd00::4 * 00", *at = line + strlen(line);
	struct netsvc_lease l;
	struct netsvc_plan p;
	size_t size;

	(void)state;
	plan_of(NET("") ONE, &p);
	assert_int_equal(parse("0 02:00:00:00:01:0b 10.0.0.4 * 01:02:00:00:00:01:0b", &l), 0);
	size = netsvc_release_frame(&p, &l, frame);
	assert_int_equal(size, 14 + 20 + 8 + 300);
	assert_memory_equal(frame, p.mac, 6);
	assert_memory_equal(frame + 26, &l.ip4, 4);
	assert_memory_equal(frame + 30, &p.ip4, 4);
	assert_int_equal(udp_sum(frame + 26, 8, frame + 34), 0xffff);

	/* The longest identifier fits. */
	for (unsigned int i = 1; i < 255; i++)
		at += sprintf(at, ":%02x", i);
	assert_int_equal(netsvc_lease_parse(line, &l), 0);
	assert_int_equal(l.id_len, 255);
	size = netsvc_release_frame(&p, &l, frame);
	assert_int_equal(size, 14 + 40 + 8 + 34 + 4 + 4 + 4 + 255 + 4 + 12 + 4 + 12 + 4 + 24);
	assert_int_equal(frame[14 + 4] << 8 | frame[14 + 5], size - 14 - 40);
	assert_int_equal(udp_sum(frame + 14 + 8, 32, frame + 14 + 40), 0xffff);
	p.has6 = false;
	assert_int_equal(netsvc_release_frame(&p, &l, frame), 0);
}

static void test_reports_name_the_remedy(void **state)
{
	static const struct {
		struct netsvc_report r;
		const char *word;
	} table[] = {
		{{NETSVC_AT_NAMESPACE, EPERM}, "CAP_SYS_ADMIN"},
		{{NETSVC_AT_MAP, EPERM}, "user.max_user_namespaces"},
		{{NETSVC_AT_MOUNT, EPERM}, "CAP_SYS_ADMIN"},
		{{NETSVC_AT_TUN, ENOENT}, "module tun"},
		{{NETSVC_AT_TUN, EACCES}, "/dev/net/tun"},
		{{NETSVC_AT_TAP, EPERM}, "CAP_NET_ADMIN"},
		{{NETSVC_AT_ADDRESS, EPERM}, "CAP_NET_ADMIN"},
		{{NETSVC_AT_EXEC, ENOENT}, "dnsmasq-base"},
		{{NETSVC_AT_DROP, EPERM}, "not permitted"},
		{{77, EPERM}, "not permitted"}, /* nonsense from the child */
	};
	char text[400];

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(table); i++) {
		netsvc_explain(&table[i].r, "/x/dnsmasq", text, sizeof(text));
		if (!strstr(text, table[i].word))
			fail_msg("stage %d: %s", table[i].r.stage, text);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_usual_addresses),
		cmocka_unit_test(test_given_addresses_are_left_alone),
		cmocka_unit_test(test_taken_on_another_network_is_free),
		cmocka_unit_test(test_small_subnets),
		cmocka_unit_test(test_hosts_that_share_a_network),
		cmocka_unit_test(test_a_guest_elsewhere_has_a_name_alone),
		cmocka_unit_test(test_full_subnet),
		cmocka_unit_test(test_no_subnet),
		cmocka_unit_test(test_large_subnet_has_a_small_pool),
		cmocka_unit_test(test_interface_names),
		cmocka_unit_test(test_mac_is_the_networks_own),
		cmocka_unit_test(test_command_line),
		cmocka_unit_test(test_command_line_with_gateway),
		cmocka_unit_test(test_command_line_of_one_family),
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_lines_of_one_family),
		cmocka_unit_test(test_lines_with_tags),
		cmocka_unit_test(test_longest_line_fits),
		cmocka_unit_test(test_entries_refused),
		cmocka_unit_test(test_leases),
		cmocka_unit_test(test_lines_that_are_no_lease),
		cmocka_unit_test(test_release_frames),
		cmocka_unit_test(test_reports_name_the_remedy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
