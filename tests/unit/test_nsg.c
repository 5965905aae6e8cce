/* SPDX-License-Identifier: BSD-2-Clause */
/* Policy files in our own form: what is taken, and what is refused, with line, reason and remedy.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "tests/unit/nsg_rig.h"

#define HEAD "nsgs:\n  - name: g\n    rules:\n"
#define RULE(more)                                                                                 \
	HEAD "      - {name: r, priority: 100, direction: inbound, access: allow, " more "}\n"

static void test_a_whole_file(void **state)
{
	static const char text[] =
		"nsgs:\n"
		"  - name: web\n"
		"    rules:\n"
		"      - name: AllowHttp\n"
		"        priority: 100\n"
		"        direction: inbound\n"
		"        access: allow\n"
		"        protocol: tcp\n"
		"        source: [Internet, 10.9.0.0/16, 'fd00:9::/48']\n"
		"        source_ports: ['1024-65535']\n"
		"        destination_asgs: [web]\n"
		"        destination_ports: [80, 443, 8000-8080]\n"
		"        description: what the web may ask\n"
		"apply:\n"
		"  networks: {blue: web}\n"
		"  nics: {a/eth0: web}\n"
		"asgs:\n"
		"  web: [10.0.0.4, 10.0.0.8/29]\n"
		"virtual_network: {peered: no, also: [10.8.0.0/16]}\n"
		"acls:\n"
		"  - nics: [a/eth0]\n"
		"    rules:\n"
		"      - {name: x, action: deny, direction: inbound, protocol: 47, weight: 10}\n"
		"nat:\n"
		"  - {name: n, outside: 203.0.113.4, inside: 10.0.0.4}\n"
		"meters:\n"
		"  - {name: m, remote: Internet, meter: out, limit_mbps: 50, mark: 0, mirror: on}\n"
		"tunnels:\n"
		"  - {name: t, remote: 10.1.0.0/16, vni: 5001, vtep: 192.0.2.1}\n"
		"tests:\n"
		"  - {packet: tcp 10.9.0.1:2000 10.0.0.4:80, nsg: web, direction: inbound,\n"
		"     expect: allow, rule: AllowHttp}\n";
	struct nsg_file *f = rig_load(text);
	const struct nsg_rule *r = &f->nsgs[0].rules[0];

	(void)state;
	assert_int_equal(f->n_nsgs, 1);
	assert_int_equal(r->priority, 100);
	assert_int_equal(r->line, 4);
	assert_int_equal(r->src.n_addrs, 3);
	assert_int_equal(r->src.addrs[0].kind, NSG_ADDR_INTERNET);
	assert_int_equal(r->src.addrs[1].prefix.len, 112);
	assert_int_equal(r->src.addrs[2].prefix.len, 48);
	assert_int_equal(r->dst.addrs[0].kind, NSG_ADDR_ASG);
	assert_string_equal(r->dst.addrs[0].asg, "web");
	assert_int_equal(r->dst.n_ports, 3);
	assert_int_equal(r->dst.ports[2].lo, 8000);
	assert_int_equal(r->dst.ports[2].hi, 8080);
	assert_string_equal(f->networks[0].target, "blue");
	assert_string_equal(f->nics[0].nsg, "web");
	assert_int_equal(f->asgs[0].n_prefixes, 2);
	assert_false(f->peered);
	assert_int_equal(f->acls[0].rules[0].proto.protos[0], 47);
	assert_int_equal(f->meters[0].limit_mbps, 50);
	assert_true(f->meters[0].mirror);
	assert_true(f->meters[0].has_mark);
	assert_int_equal(f->tunnels[0].vni, 5001);
	assert_int_equal(f->n_tests, 1);
	nsg_free(f);
}

static void test_any(void **state)
{
	struct nsg_file *f = rig_load(RULE("source: '*', destination: any, protocol: '*', "
					   "destination_ports: '*', source_ports: any"));
	const struct nsg_rule *r = &f->nsgs[0].rules[0];

	(void)state;
	assert_int_equal(r->src.n_addrs + r->dst.n_addrs + r->src.n_ports + r->dst.n_ports, 0);
	assert_int_equal(r->proto.n_protos, 0);
	nsg_free(f);
}

static const struct {
	const char *text;
	unsigned int line;
	const char *words;
} mistakes[] = {
	{"", 0, "the file is empty; name a group"},
	{"nsgs: [", 0, "not valid YAML"},
	{"- a\n- b\n", 1, "must be a mapping"},
	{"nsg: []\n", 1, "unknown key \"nsg\"; did you mean \"nsgs\"?"},
	{"nsgs: 5\n", 1, "nsgs must be a list"},
	{"nsgs: []\nnsgs: []\n", 2, "stands here twice"},
	{"nsgs:\n  - rules: []\n", 2, "the key \"name\" is missing"},
	{"nsgs:\n  - name: 'a b'\n", 2, "illegal character"},
	{HEAD "      - 5\n", 4, "must be a mapping"},
	{HEAD "      - {priority: 100, direction: inbound, access: deny}\n", 4,
	 "the key \"name\" is missing"},
	{HEAD "      - {name: r, direction: inbound, access: deny}\n", 4,
	 "rule \"r\": the key \"priority\" is missing"},
	{HEAD "      - {name: r, priority: 100, access: deny}\n", 4,
	 "rule \"r\": the key \"direction\" is missing"},
	{HEAD "      - {name: r, priority: 100, direction: inbound}\n", 4,
	 "rule \"r\": the key \"access\" is missing"},
	{HEAD "      - {name: r, priority: 99, direction: inbound, access: deny}\n", 4,
	 "99 is out of range; write a number from 100 to 4096"},
	{HEAD "      - {name: r, priority: 4097, direction: inbound, access: deny}\n", 4,
	 "4097 is out of range"},
	{HEAD "      - {name: r, priority: 1e2, direction: inbound, access: deny}\n", 4,
	 "is not a whole number"},
	{HEAD "      - {name: r, priority: 100, direction: up, access: deny}\n", 4,
	 "\"up\" is not possible here; write one of: outbound, inbound"},
	{HEAD "      - {name: r, priority: 100, direction: inbound, access: drop}\n", 4,
	 "\"drop\" is not possible here; write one of: allow, deny"},
	{RULE("protocol: tpc"), 4, "\"tpc\" is not a protocol"},
	{RULE("protocol: 256"), 4, "\"256\" is not a protocol"},
	{RULE("protocol: icmp, destination_ports: 8"), 4, "protocol icmp has no ports"},
	{RULE("protocol: esp, source_ports: 1-2"), 4, "protocol esp has no ports"},
	{RULE("source: 10.0.0.0/33"), 4, "\"33\" is not a prefix length"},
	{RULE("source: 10.0.0.1/24"), 4, "has host bits set; write 10.0.0.0/24, or 10.0.0.1"},
	{RULE("source: 'fd00::1/64'"), 4, "has host bits set; write fd00::/64, or fd00::1"},
	{RULE("source: 10.0.0"), 4, "\"10.0.0\" is not an address"},
	{RULE("source: '::ffff:10.0.0.1'"), 4, "write it as an IPv4 address"},
	{RULE("source: Storage"), 4, "the service tag \"Storage\" is not known here"},
	{RULE("source: AzureCloud.westeurope"), 4, "the service tag \"AzureCloud.westeurope\""},
	{RULE("source: ['*', 10.0.0.4]"), 4, "among other addresses"},
	{RULE("source: '*', source_asgs: [web]"), 4, "source is any address"},
	{RULE("source: [[10.0.0.4]]"), 4, "must be a text, not a list"},
	{RULE("destination_ports: 80-70"), 4, "\"80-70\" is not a port"},
	{RULE("destination_ports: 65536"), 4, "\"65536\" is not a port"},
	{RULE("destination_ports: http"), 4, "\"http\" is not a port"},
	{RULE("destination_ports: [80, '*']"), 4, "among other ports"},
	{RULE("sources: 10.0.0.4"), 4, "unknown key \"sources\"; did you mean \"source\"?"},
	{HEAD "      - {name: r, priority: 100, direction: inbound, access: allow}\n"
	      "      - {name: s, priority: 100, direction: inbound, access: deny}\n",
	 5, "rule \"s\": priority 100 inbound is already that of rule \"r\" (line 4)"},
	{HEAD "      - {name: r, priority: 100, direction: inbound, access: allow}\n"
	      "      - {name: R, priority: 101, direction: inbound, access: deny}\n",
	 5, "rule \"R\": the name is taken (line 4)"},
	{"apply: {blue: g}\n", 1, "unknown key \"blue\"; known keys here: networks, nics"},
	{"apply: {networks: {blue: [g]}}\n", 1, "must be a text"},
	{"apply: {networks: {blue: g, blue: h}}\n", 1, "blue stands here twice"},
	{"asgs: {web: [VirtualNetwork]}\n", 1, "is not an address"},
	{"virtual_network: {peered: maybe}\n", 1, "\"maybe\" is not possible here"},
	{"acls:\n  - {rules: [{action: permit, direction: inbound, weight: 1}]}\n", 2,
	 "write one of: allow, deny"},
	{"acls:\n  - {rules: [{action: meter, direction: inbound, weight: 1}]}\n", 2,
	 "\"meter\" is not possible here"},
	{"acls:\n  - {rules: [{action: deny, direction: inbound}]}\n", 2,
	 "rule \"rule1\": the key \"weight\" is missing"},
	{"acls:\n  - {rules: [{action: deny, weight: 1}]}\n", 2, "\"direction\" is missing"},
	{"acls:\n  - {rules: [{action: deny, direction: inbound, weight: 65536}]}\n", 2,
	 "65536 is out of range"},
	{"acls:\n  - {rules: [{action: deny, direction: both, weight: 1, stateful: yes}]}\n", 2,
	 "a rule that denies cannot be stateful"},
	{"acls:\n  - {rules: [{action: allow, direction: both, weight: 1, idle_timeout: 9}]}\n", 2,
	 "add \"stateful: yes\""},
	{"acls:\n  - rules:\n      - {name: x, action: deny, direction: both, weight: 1}\n"
	 "      - {name: y, action: deny, direction: inbound, weight: 1}\n",
	 4, "rule \"y\": weight 1 is already that of rule \"x\" (line 3)"},
	{"acls:\n  - {type: basic, rules: [{action: deny, direction: both}]}\n", 2,
	 "exactly one of local, remote, local_mac, remote_mac"},
	{"acls:\n  - {type: basic, rules: [{action: deny, direction: both, local: any,\n"
	 "     remote: any}]}\n",
	 2, "exactly one of"},
	{"acls:\n  - {type: basic, rules: [{action: meter, direction: both,\n"
	 "     remote_mac: 02-00-00-00-00-01}]}\n",
	 2, "a meter is by IP addresses"},
	{"acls:\n  - {type: basic, rules: [{action: deny, direction: both, local_mac: 02-00}]}\n",
	 2, "\"02-00\" is not a MAC address"},
	{"acls:\n  - {type: basic, rules: [{action: deny, direction: both, local: any,\n"
	 "     weight: 5}]}\n",
	 3, "unknown key \"weight\""},
	{"acls:\n  - {nics: [], rules: []}\n", 2, "name one, or remove the key"},
	{"nat:\n  - {name: n, inside: 10.0.0.4}\n", 2, "the key \"outside\" is missing"},
	{"nat:\n  - {name: n, outside: 192.0.2.1}\n", 2, "the key \"inside\" is missing"},
	{"nat:\n  - {name: n, outside: 192.0.2.0/24, inside: 10.0.0.4}\n", 2, "is a prefix"},
	{"nat:\n  - {name: n, outside: 192.0.2.1, inside: 10.0.0.0/24}\n", 2,
	 "needs ports to tell them apart"},
	{"nat:\n  - {name: n, outside: 192.0.2.1, inside: 'fd00::4'}\n", 2,
	 "an address of one family cannot become one of the other"},
	{"nat:\n  - {name: n, outside: 192.0.2.1, inside: 10.0.0.4, source_ports: 9-1}\n", 2,
	 "is not a range of ports"},
	{"nat:\n  - {name: n, outside: 192.0.2.1, ports: [{port: 80, inside: 10.0.0.4}]}\n", 2,
	 "a port mapping is of tcp or udp"},
	{"nat:\n  - {name: n, outside: 192.0.2.1, ports: [{protocol: tcp, inside: 10.0.0.4}]}\n", 2,
	 "the key \"port\" is missing"},
	{"meters:\n  - {name: m, remote: Internet}\n", 2, "it does nothing"},
	{"meters:\n  - {name: m, limit_mbps: 0}\n", 2, "0 is out of range"},
	{"tunnels:\n  - {name: t, vtep: 192.0.2.1}\n", 2, "the key \"vni\" is missing"},
	{"tunnels:\n  - {name: t, vni: 16777216, vtep: 192.0.2.1}\n", 2, "out of range"},
	{"tunnels:\n  - {name: t, vni: 5}\n", 2, "the key \"vtep\" is missing"},
	{"tests:\n  - {expect: allow}\n", 2, "the key \"packet\" is missing"},
	{"tests:\n  - {packet: arp a b}\n", 2, "the key \"expect\" is missing"},
	{"tests:\n  - {packet: arp a b, expect: allow, direction: inbound}\n", 2,
	 "a direction belongs to a group"},
	{"tests:\n  - {packet: arp a b, expect: allow, nsg: g}\n", 2,
	 "the key \"direction\" is missing"},
};

static void test_mistakes(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(mistakes); i++)
		rig_refuse(mistakes[i].text, mistakes[i].line, mistakes[i].words);
}

static void test_all_mistakes_are_told(void **state)
{
	static const char text[] =
		HEAD "      - {name: one, priority: 1, direction: inbound, access: allow}\n"
		     "      - {name: two, priority: 200, direction: left, access: allow}\n"
		     "      - {name: three, priority: 300, direction: inbound, access: allow,\n"
		     "         source: [10.0.0.1/8, Sql, 10.0.0.5]}\n"
		     "nat: 7\n";

	(void)state;
	assert_int_equal(rig_refuse(text, 4, "rule \"one\": 1 is out of range"), 5);
	rig_refuse(text, 5, "rule \"two\": \"left\" is not possible");
	rig_refuse(text, 7, "rule \"three\": 10.0.0.1/8 has host bits set");
	rig_refuse(text, 7, "rule \"three\": the service tag \"Sql\" is not known");
	rig_refuse(text, 8, "nat must be a list");
}

/* ---- limits ---- */

static char *many_rules(unsigned int n)
{
	char *text = malloc(n * 96 + 128), *p = text;

	p += sprintf(p, HEAD);
	for (unsigned int i = 0; i < n; i++)
		p += sprintf(p, "      - {name: r%u, priority: %u, direction: %s, access: allow}\n",
			     i, 100 + i / 2, i % 2 ? "inbound" : "outbound");
	return text;
}

static void test_limit_of_rules(void **state)
{
	char *text = many_rules(NSG_MAX_RULES);
	struct nsg_file *f = rig_load(text);

	(void)state;
	assert_int_equal(f->nsgs[0].n_rules, NSG_MAX_RULES);
	nsg_free(f);
	free(text);
	text = many_rules(NSG_MAX_RULES + 1);
	rig_refuse(text, 4, "1001 entries are more than the 1000 that are possible");
	free(text);
}

static char *many_prefixes(unsigned int n)
{
	char *text = malloc(n * 20 + 256), *p = text;

	p += sprintf(p, HEAD "      - {name: r, priority: 100, direction: inbound, access: allow, "
			     "source: [");
	for (unsigned int i = 0; i < n; i++)
		p += sprintf(p, "%s10.%u.%u.4", i ? "," : "", i / 250, i % 250);
	sprintf(p, "]}\n");
	return text;
}

static void test_limit_of_prefixes(void **state)
{
	char *text = many_prefixes(NSG_MAX_PREFIXES);
	struct nsg_file *f = rig_load(text);

	(void)state;
	assert_int_equal(f->nsgs[0].rules[0].src.n_addrs, NSG_MAX_PREFIXES);
	nsg_free(f);
	free(text);
	text = many_prefixes(NSG_MAX_PREFIXES + 100);
	assert_int_equal(rig_refuse(text, 4, "more than the 4000 addresses that a rule can have"),
			 1);
	free(text);
}

static void test_limit_of_ports(void **state)
{
	char text[16384], *p = text;

	(void)state;
	p += sprintf(p, HEAD "      - {name: r, priority: 100, direction: inbound, access: allow, "
			     "destination_ports: [1");
	for (unsigned int i = 0; i < NSG_MAX_PORTS; i++)
		p += sprintf(p, ",%u", i + 10);
	sprintf(p, "]}\n");
	rig_refuse(text, 4, "1001 port ranges, at most 1000 are possible");
}

/* What a small text says by repeating itself is counted, and bounded. */
static void test_aliases_are_bounded(void **state)
{
	char *text = malloc(200000), *p = text;

	(void)state;
	p += sprintf(p, "asgs: {x: &p [");
	for (unsigned int i = 0; i < 3000; i++)
		p += sprintf(p, "%s10.%u.%u.4", i ? "," : "", i / 250, i % 250);
	p += sprintf(p, "]}\n" HEAD);
	for (unsigned int i = 0; i < 900; i++)
		p += sprintf(p,
			     "      - {name: r%u, priority: %u, direction: inbound, access: allow, "
			     "source: *p}\n",
			     i, 100 + i);
	assert_int_equal(rig_refuse(text, 0, "the file has more than 1000000 addresses"), 1);
	free(text);
}

/* ---- several files ---- */

static void check_set(const char *one, const char *two, const struct lab *lab, const char *words)
{
	struct nsg_file *files[2] = {rig_load(one), rig_load(two)};
	struct lab_errors errs[2] = {{.n = 0}};
	struct nsg_set set = {files, 2};
	bool found = false;

	if (!words)
		assert_int_equal(nsg_set_check(&set, lab, errs), 0);
	else
		assert_int_not_equal(nsg_set_check(&set, lab, errs), 0);
	for (unsigned int f = 0; f < 2; f++) {
		for (unsigned int i = 0; words && i < errs[f].n; i++)
			found = found || strstr(errs[f].list[i].reason, words) ||
				strstr(errs[f].list[i].remedy, words);
		lab_errors_free(&errs[f]);
		nsg_free(files[f]);
	}
	if (words && !found)
		fail_msg("nobody says \"%s\"", words);
}

static void test_files_together(void **state)
{
	struct lab *lab = rig_lab3();

	(void)state;
	check_set("nsgs: [{name: g}]\n", "apply: {networks: {blue: g}, nics: {a/eth9: g}}\n", lab,
		  NULL);
	check_set("nsgs: [{name: g}]\n", "nsgs: [{name: g}]\n", lab, "name \"g\" is taken");
	check_set("nsgs: [{name: web}]\n", "apply: {networks: {blue: wep}}\n", lab,
		  "did you mean \"web\"?");
	check_set("nsgs: [{name: g}]\napply: {networks: {blue: g}}\n",
		  "apply: {networks: {blue: g}}\n", lab, "blue has a group already");
	check_set("nsgs: [{name: g}]\n", "apply: {networks: {bleu: g}}\n", lab,
		  "there is no network \"bleu\"");
	check_set("nsgs: [{name: g}]\n", "apply: {nics: {x/eth0: g}}\n", lab,
		  "there is no VM \"x\"");
	check_set("nsgs: [{name: g}]\n", "apply: {nics: {eth0: g}}\n", lab,
		  "\"eth0\" is not a NIC");
	check_set("nsgs: []\n",
		  "meters: [{name: m, meter: x, nics: [y/eth0], networks: [nowhere]}]\n", lab,
		  "there is no network \"nowhere\"");
	/* Without a lab only the files can be wrong. */
	check_set("nsgs: [{name: g}]\n", "apply: {networks: {bleu: g}}\n", NULL, NULL);
	lab_free(lab);
}

static void test_a_file_that_cannot_be_read(void **state)
{
	struct lab_errors errs = {0};
	struct nsg_file *f;

	(void)state;
	assert_int_equal(nsg_load_file("/nonexistent/p.yaml", &f, &errs), -2);
	assert_non_null(strstr(errs.list[0].reason, "cannot read the policy file"));
	lab_errors_free(&errs);
	assert_int_equal(nsg_load_file("/", &f, &errs), -21);
	lab_errors_free(&errs);
}

/* ---- differences ---- */

static json_t *diff(const char *one, const char *two)
{
	struct nsg_file *a = rig_load(one), *b = rig_load(two);
	struct nsg_set sa = {&a, 1}, sb = {&b, 1};
	json_t *d = nsg_diff(&sa, &sb);

	nsg_free(a);
	nsg_free(b);
	return d;
}

static void test_diff(void **state)
{
	json_t *d = diff(RULE("protocol: tcp"), RULE("protocol: tcp")), *rule;

	(void)state;
	assert_int_equal(json_array_size(d), 0);
	json_decref(d);
	d = diff(RULE("protocol: tcp"), RULE("protocol: udp"));
	assert_int_equal(json_array_size(d), 1);
	assert_string_equal(json_string_value(json_object_get(json_array_get(d, 0), "what")),
			    "nsg");
	rule = json_array_get(json_object_get(json_array_get(d, 0), "rules"), 0);
	assert_string_equal(json_string_value(json_object_get(rule, "change")), "changed");
	assert_string_equal(
		json_string_value(json_object_get(json_object_get(rule, "before"), "protocol")),
		"tcp");
	json_decref(d);
	d = diff(RULE("protocol: tcp"), "apply: {nics: {a/eth0: g}}\n");
	assert_int_equal(json_array_size(d), 2);
	assert_string_equal(json_string_value(json_object_get(json_array_get(d, 0), "change")),
			    "removed");
	assert_string_equal(json_string_value(json_object_get(json_array_get(d, 1), "what")),
			    "nic");
	json_decref(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_whole_file),
		cmocka_unit_test(test_any),
		cmocka_unit_test(test_mistakes),
		cmocka_unit_test(test_all_mistakes_are_told),
		cmocka_unit_test(test_limit_of_rules),
		cmocka_unit_test(test_limit_of_prefixes),
		cmocka_unit_test(test_limit_of_ports),
		cmocka_unit_test(test_aliases_are_bounded),
		cmocka_unit_test(test_files_together),
		cmocka_unit_test(test_a_file_that_cannot_be_read),
		cmocka_unit_test(test_diff),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
