/* SPDX-License-Identifier: BSD-2-Clause */
/* Claims about the lab file: what it may say, what it fills in, and how it names every mistake. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <errno.h>

#include <cmocka.h>

#include "base/util.h"
#include "host/lab.h"

static struct lab *load(const char *text)
{
	struct lab_errors errs = {0};
	struct lab *lab;
	int ret = lab_load_text("/labs/pair.yaml", text, strlen(text), &lab, &errs);

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

/* ---- what is filled in ---- */

static void test_three_lines_make_a_vm(void **state)
{
	struct lab *lab = load("vms:\n  - name: a\n    kernel: 6.12\n");

	(void)state;
	assert_string_equal(lab->name, "pair");
	assert_int_equal(lab->n_nets, 1);
	assert_string_equal(lab->nets[0].name, "default");
	assert_string_equal(lab->nets[0].cidr4, "10.0.0.0/24");
	assert_string_equal(lab->nets[0].cidr6, "fd00::/64");
	assert_int_equal(lab->nets[0].mtu, 1500);
	assert_int_equal(lab->n_vms, 1);
	assert_string_equal(lab->vms[0].kernel, "6.12");
	assert_int_equal(lab->vms[0].cpus, 2);
	assert_int_equal(lab->vms[0].memory_mb, 512);
	assert_null(lab->vms[0].append);
	assert_int_equal(lab->vms[0].n_nics, 1);
	assert_string_equal(lab->vms[0].nics[0].name, "eth0");
	assert_string_equal(lab->vms[0].nics[0].ip4, "10.0.0.4");
	assert_string_equal(lab->vms[0].nics[0].ip6, "fd00::4");
	assert_int_equal(lab->vms[0].nics[0].queues, 16);
	assert_int_equal(lab->vms[0].nics[0].mtu, 1500);
	assert_int_equal(lab->vms[0].nics[0].link_mbps, 200000);
	assert_true(lab->vms[0].nics[0].vf);
	lab_free(lab);
}

static void test_everything_given(void **state)
{
	struct lab *lab = load("name: big\n"
			       "networks:\n"
			       "  - {name: blue, subnet: 192.168.7.0/28, subnet6: 2001:db8:1::/64,"
			       " mtu: 9000, dhcp: off, domain: lab.example,"
			       " gateway: 192.168.7.14}\n"
			       "  - name: red\n"
			       "vms:\n"
			       "  - name: a\n"
			       "    kernel: '7.2'\n"
			       "    cpus: 4\n"
			       "    memory: 1G\n"
			       "    append: quiet mitigations=off\n"
			       "    nics:\n"
			       "      - {network: blue, name: fast0, mac: 02-AA-BB-CC-DD-EE, queues: 64,"
			       " mtu: 9000, ip: 192.168.7.1, ip6: '2001:db8:1::99',"
			       " link_mbps: 25000, vf: on}\n"
			       "      - {network: red}\n");
	struct lab_vm *vm;
	struct lab_nic *nic = lab_find_nic(lab, "a/fast0", &vm);

	(void)state;
	assert_string_equal(lab->name, "big");
	assert_false(lab->nets[0].dhcp);
	assert_string_equal(lab->nets[0].domain, "lab.example");
	assert_string_equal(lab->nets[0].gateway4, "192.168.7.14");
	assert_string_equal(lab->nets[0].service4, ""); /* dhcp: off */
	assert_string_equal(lab->nets[1].gateway4, "");
	assert_string_equal(lab->nets[1].service4, "10.0.1.2");
	assert_string_equal(lab->nets[1].service6, "fd00:0:0:1::2");
	assert_string_equal(lab->nets[1].cidr4, "10.0.1.0/24");
	assert_string_equal(lab->nets[1].cidr6, "fd00:0:0:1::/64");
	assert_true(lab->nets[1].dhcp);
	assert_string_equal(lab->nets[1].domain, "big");
	assert_non_null(nic);
	assert_ptr_equal(vm, lab_find_vm(lab, "a"));
	assert_string_equal(vm->kernel, "7.2");
	assert_int_equal(vm->cpus, 4);
	assert_int_equal(vm->memory_mb, 1024);
	assert_string_equal(vm->append, "quiet mitigations=off");
	assert_string_equal(nic->mac_text, "02:aa:bb:cc:dd:ee");
	assert_int_equal(nic->queues, 64);
	assert_int_equal(nic->mtu, 9000);
	assert_int_equal(nic->link_mbps, 25000);
	assert_string_equal(nic->ip4, "192.168.7.1");
	assert_string_equal(nic->ip6, "2001:db8:1::99");
	nic = lab_find_nic(lab, "a/eth1", NULL);
	assert_non_null(nic);
	assert_int_equal(nic->net, 1);
	assert_string_equal(nic->ip4, "10.0.1.4");
	assert_null(lab_find_nic(lab, "a/eth0", NULL));
	assert_null(lab_find_nic(lab, "a", NULL));
	assert_null(lab_find_vm(lab, "b"));
	lab_free(lab);
}

static void test_memory_units(void **state)
{
	static const struct {
		const char *text;
		uint32_t mb;
	} table[] = {{"192", 192}, {"300M", 300}, {"300MiB", 300}, {"2G", 2048}, {"2gib", 2048}};

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(table); i++) {
		char text[64];
		struct lab *lab;

		snprintf(text, sizeof(text), "vms: [{name: a, memory: %s}]\n", table[i].text);
		lab = load(text);
		assert_int_equal(lab->vms[0].memory_mb, table[i].mb);
		lab_free(lab);
	}
}

static void test_macs_are_stable_and_unique(void **state)
{
	const char *text = "vms: [{name: a}, {name: b}]\n";
	struct lab *one = load(text), *two = load(text), *more;

	(void)state;
	/* Fixed for good: a changed MAC changes every captured file and every guest's routes. */
	assert_string_equal(one->vms[0].nics[0].mac_text, two->vms[0].nics[0].mac_text);
	assert_memory_equal(one->vms[0].nics[0].mac, "\x00\x15\x5d", 3);
	assert_memory_not_equal(one->vms[0].nics[0].mac, one->vms[1].nics[0].mac, 6);
	/* A VM added behind changes nobody before it. */
	more = load("vms: [{name: a}, {name: b}, {name: c}]\n");
	for (int v = 0; v < 2; v++) {
		assert_string_equal(more->vms[v].nics[0].mac_text, one->vms[v].nics[0].mac_text);
		assert_string_equal(more->vms[v].nics[0].ip4, one->vms[v].nics[0].ip4);
	}
	lab_free(one);
	lab_free(two);
	lab_free(more);
}

static void test_mac_collision_is_resolved(void **state)
{
	struct lab *lab = load("vms: [{name: a}]\n");
	char text[256], taken[18];

	(void)state;
	strcpy(taken, lab->vms[0].nics[0].mac_text);
	lab_free(lab);
	/* b has been given what a would get: a gets another, no error. */
	snprintf(text, sizeof(text),
		 "vms: [{name: a}, {name: b, nics: [{mac: '%s'}]}]\n", taken);
	lab = load(text);
	assert_string_equal(lab->vms[1].nics[0].mac_text, taken);
	assert_string_not_equal(lab->vms[0].nics[0].mac_text, taken);
	assert_memory_equal(lab->vms[0].nics[0].mac, "\x00\x15\x5d", 3);
	lab_free(lab);
}

static void test_addresses_go_around_given_ones(void **state)
{
	struct lab *lab = load("vms:\n"
			       "  - name: a\n"
			       "  - {name: b, nics: [{ip: 10.0.0.5}]}\n"
			       "  - name: c\n"
			       "  - {name: d, nics: [{ip6: 'fd00::7'}]}\n"
			       "  - name: e\n");

	(void)state;
	assert_string_equal(lab->vms[0].nics[0].ip4, "10.0.0.4");
	assert_string_equal(lab->vms[1].nics[0].ip4, "10.0.0.5");
	assert_string_equal(lab->vms[1].nics[0].ip6, "fd00::6");
	assert_string_equal(lab->vms[2].nics[0].ip4, "10.0.0.8");
	assert_string_equal(lab->vms[2].nics[0].ip6, "fd00::8");
	assert_string_equal(lab->vms[3].nics[0].ip4, "10.0.0.9");
	assert_string_equal(lab->vms[3].nics[0].ip6, "fd00::7");
	assert_string_equal(lab->vms[4].nics[0].ip4, "10.0.0.10");
	assert_string_equal(lab->vms[4].nics[0].ip6, "fd00::a");
	lab_free(lab);
}

static void test_small_subnet_starts_at_one(void **state)
{
	struct lab *lab = load("networks: [{name: n, subnet: 10.9.9.0/30, subnet6: none}]\n"
			       "vms: [{name: a}, {name: b}]\n");

	(void)state;
	assert_string_equal(lab->vms[0].nics[0].ip4, "10.9.9.1");
	assert_string_equal(lab->vms[1].nics[0].ip4, "10.9.9.2");
	assert_string_equal(lab->vms[0].nics[0].ip6, "");
	assert_false(lab->nets[0].has6);
	lab_free(lab);
}

static void test_default_subnet_avoids_given_ones(void **state)
{
	struct lab *lab = load("networks:\n"
			       "  - name: x\n"
			       "  - {name: y, subnet: 10.0.0.0/23, subnet6: 'fd00::/56'}\n"
			       "vms: [{name: a, nics: [{network: x}]}]\n");

	(void)state;
	assert_string_equal(lab->nets[0].cidr4, "10.0.2.0/24");
	/* fd00::/56 covers fd00:0:0:0 to fd00:0:0:ff: the defaults all lie in it. */
	assert_string_equal(lab->nets[0].cidr6, "");
	lab_free(lab);
}

static void test_no_ipv6_below_its_mtu(void **state)
{
	struct lab *lab = load("networks: [{name: n, mtu: 1279}, {name: m}]\n"
			       "vms: [{name: a, nics: [{network: n}, {network: m, mtu: 576}]}]\n");

	(void)state;
	assert_false(lab->nets[0].has6);
	assert_string_equal(lab->vms[0].nics[0].ip6, "");
	assert_true(lab->nets[1].has6);
	assert_string_equal(lab->vms[0].nics[1].ip6, "");
	assert_string_equal(lab->vms[0].nics[1].ip4, "10.0.1.4");
	lab_free(lab);
}

static void test_vm_without_nics(void **state)
{
	struct lab *lab = load("vms: [{name: a, nics: []}]\n");

	(void)state;
	assert_int_equal(lab->vms[0].n_nics, 0);
	lab_free(lab);
}

static void test_anchors_and_json_are_yaml(void **state)
{
	struct lab *lab = load("networks: [{name: n}]\n"
			       "vms:\n"
			       "  - {name: a, nics: &one [{network: n}]}\n"
			       "  - {name: b, nics: *one}\n");

	(void)state;
	assert_int_equal(lab->n_vms, 2);
	assert_string_equal(lab->vms[1].nics[0].ip4, "10.0.0.5");
	lab_free(lab);
	lab = load("{\"vms\": [{\"name\": \"a\", \"cpus\": 3}]}");
	assert_int_equal(lab->vms[0].cpus, 3);
	lab_free(lab);
}

static void test_json_round_trip(void **state)
{
	struct lab *lab = load("networks: [{name: n, mtu: 1000}, {name: m, subnet: none}]\n"
			       "vms:\n"
			       "  - {name: a, nics: [{network: n}, {network: m, ip: none}]}\n"
			       "  - {name: b, append: x y, nics: []}\n");
	json_t *first = lab_to_json(lab), *second;
	char *text = json_dumps(first, JSON_INDENT(1));

	(void)state;
	lab_free(lab);
	lab = load(text);
	second = lab_to_json(lab);
	assert_true(json_equal(first, second));
	assert_string_equal(json_string_value(json_object_get(first, "name")), "pair");
	free(text);
	json_decref(first);
	json_decref(second);
	lab_free(lab);
}

static void test_own_kernel(void **state)
{
	char dir[] = "/tmp/hvlab-lab-XXXXXX", path[64], text[256], want[64];
	struct lab_errors errs = {0};
	struct lab *lab;
	FILE *out;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/bzImage", dir);
	out = fopen(path, "w");
	fclose(out);
	snprintf(text, sizeof(text), "%s/mods", dir);
	assert_int_equal(mkdir(text, 0700), 0);
	/* Relative paths start at the lab file's folder. */
	snprintf(want, sizeof(want), "%s/own.yaml", dir);
	out = fopen(want, "w");
	fputs("vms: [{name: a, bzimage: bzImage, modules: mods}]\n", out);
	fclose(out);
	assert_int_equal(lab_load_file(want, &lab, &errs), 0);
	assert_string_equal(lab->name, "own");
	assert_string_equal(lab->vms[0].bzimage, path);
	assert_string_equal(lab->vms[0].modules, text);
	assert_string_equal(lab->vms[0].kernel, "");
	lab_free(lab);
	unlink(want);
	unlink(path);
	rmdir(text);
	rmdir(dir);
	lab_errors_free(&errs);
}

static void test_default_name_from_odd_files(void **state)
{
	static const struct {
		const char *file, *name;
	} table[] = {
		{"my lab.v2.yaml", "my-lab"},
		{"/x/.hidden", "lab"},
		{"-", "lab"},
		{"a_very_long_name_that_cannot_be_one.yaml", "a_very_long_name_that_ca"},
	};

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(table); i++) {
		struct lab_errors errs = {0};
		struct lab *lab;

		assert_int_equal(lab_load_text(table[i].file, "vms: [{name: a}]", 16, &lab, &errs),
				 0);
		assert_string_equal(lab->name, table[i].name);
		lab_free(lab);
	}
}

/* ---- every mistake: line, key, and a word of reason and remedy ---- */

struct mistake {
	const char *what, *text;
	unsigned int line;
	const char *key, *reason, *remedy;
};

#define VM "vms: [{name: a}]\n"
#define NIC(nic) "vms:\n  - name: a\n    nics:\n      - {" nic "}\n"
#define NETS(nets) "networks:\n" nets "vms: [{name: a, nics: []}]\n"

static const struct mistake mistakes[] = {
	/* The text. */
	{"empty", "", 0, "", "empty", "vms"},
	{"only a comment", "# x\n", 0, "", "empty", "vms"},
	{"not YAML", "vms:\n  - name: [\n", 3, "", "not valid YAML", "indentation"},
	{"tab", "vms:\n\t- name: a\n", 2, "", "not valid YAML", ""},
	{"not UTF-8", "vms: \xff\xfe\n", 0, "", "not valid YAML", "UTF-8"},
	{"two documents", VM "---\n" VM, 2, "", "one YAML document", "second"},
	{"a list", "- a\n", 1, "", "must be a mapping, not a list", ""},
	{"a word", "hello\n", 1, "", "must be a mapping, not a single value", ""},
	/* Keys. */
	{"wrong key", VM "netwroks: []\n", 2, "netwroks", "unknown key \"netwroks\"",
	 "did you mean \"networks\"?"},
	{"wrong key of a VM", "vms:\n  - name: a\n    cpu: 2\n", 3, "vms[0].cpu", "unknown key",
	 "\"cpus\""},
	{"wrong key of a NIC", NIC("netwrk: x"), 4, "vms[0].nics[0].netwrk", "unknown key",
	 "\"network\""},
	{"wrong key of a network", NETS("  - {name: n, subnets: x}\n"), 2, "networks[0].subnets",
	 "unknown key", "\"subnet\""},
	{"far key", "vms:\n  - name: a\n    zzzzzz: 2\n", 3, "vms[0].zzzzzz", "unknown key",
	 "known keys here: name, host, kernel"},
	{"key twice", "vms:\n  - name: a\n    cpus: 2\n    cpus: 3\n", 4, "vms[0].cpus", "twice",
	 "keep one"},
	{"key is a list", "[a]: b\n" VM, 1, "", "a key must be a word", ""},
	{"no vms", "networks: [{name: n}]\n", 1, "vms", "\"vms\" is missing", "add"},
	{"no VM", "vms: []\n", 1, "vms", "list is empty", "add one"},
	{"no VM name", "vms:\n  - cpus: 2\n", 2, "vms[0].name", "\"name\" is missing",
	 "add \"name: ...\""},
	{"no network name", NETS("  - mtu: 1500\n"), 2, "networks[0].name", "missing", "add"},
	/* Types. */
	{"no value", "vms:\n", 1, "vms", "no value", "remove the key"},
	{"null", "vms: [{name: ~}]\n", 1, "vms[0].name", "no value", ""},
	{"text for a number", "vms: [{name: a, cpus: many}]\n", 1, "vms[0].cpus",
	 "\"many\" is not a whole number", "decimal"},
	{"negative", "vms: [{name: a, cpus: -1}]\n", 1, "vms[0].cpus", "not a whole number", ""},
	{"hex", "vms: [{name: a, cpus: 0x2}]\n", 1, "vms[0].cpus", "not a whole number", ""},
	{"octal", NIC("mtu: 01500"), 4, "vms[0].nics[0].mtu", "starts with 0", "leading zero"},
	{"huge", NIC("mtu: 99999999999999999999"), 4, "vms[0].nics[0].mtu", "too large", ""},
	{"list for a number", "vms: [{name: a, cpus: [2]}]\n", 1, "vms[0].cpus",
	 "must be a number, not a list", "NUMBER"},
	{"list for a text", "vms: [{name: [a]}]\n", 1, "vms[0].name", "must be a text, not a list",
	 ""},
	{"mapping for a list", "vms: {name: a}\n", 1, "vms", "must be a list, not a mapping", "\"- \""},
	{"text for a VM", "vms: [a]\n", 1, "vms[0]", "must be a mapping, not a single value", ""},
	{"switch", NIC("vf: maybe"), 4, "vms[0].nics[0].vf", "\"maybe\" is not possible",
	 "on, off"},
	/* Names. */
	{"VM twice", "vms:\n  - name: a\n  - name: b\n  - name: a\n", 4, "vms[2].name",
	 "\"a\" is taken (line 2)", "name of its own"},
	{"network twice", NETS("  - name: n\n  - name: n\n"), 3, "networks[1].name",
	 "\"n\" is taken (line 2)", ""},
	{"NIC twice", "vms:\n  - name: a\n    nics:\n      - {name: e}\n      - {name: e}\n", 5,
	 "vms[0].nics[1].name", "\"e\" is taken (line 4)", ""},
	{"NIC twice by default", "vms:\n  - name: a\n    nics:\n      - {mtu: 1400}\n"
	 "      - {name: eth0}\n", 5, "vms[0].nics[1].name", "\"eth0\" is taken (line 4)", ""},
	{"VM name too long", "vms: [{name: abcdefghijklmnopqrstuvwxy}]\n", 1, "vms[0].name",
	 "25 characters, at most 24", "shorten"},
	{"NIC name too long", NIC("name: abcdefghijklmnop"), 4, "vms[0].nics[0].name",
	 "at most 15", "shorten"},
	{"VM name", "vms: [{name: a/b}]\n", 1, "vms[0].name", "illegal character", "letters"},
	{"VM name first", "vms: [{name: -a}]\n", 1, "vms[0].name", "illegal character", ""},
	{"VM name empty", "vms: [{name: ''}]\n", 1, "vms[0].name", "is empty", ""},
	{"VM name not ASCII", "vms: [{name: \xc3\xa4}]\n", 1, "vms[0].name", "illegal", ""},
	{"VM localhost", "vms: [{name: localhost}]\n", 1, "vms[0].name", "own name", ""},
	{"network name", NETS("  - name: a b\n"), 2, "networks[0].name", "illegal", ""},
	{"NIC name cut by YAML", NIC("name: e,0"), 4, "vms[0].nics[0].0", "unknown key", ""},
	{"NIC name with comma", NIC("name: 'e,0'"), 4, "vms[0].nics[0].name", "illegal", ""},
	{"NIC name lo", NIC("name: lo"), 4, "vms[0].nics[0].name", "something else", "eth0"},
	{"lab name", "name: a.b\n" VM, 1, "name", "illegal", ""},
	/* Kernels. */
	{"kernel", "vms:\n  - name: a\n    kernel: 6.13\n", 3, "vms[0].kernel",
	 "no kernel \"6.13\"", "6.1, 6.12, 7.2"},
	{"kernel file", "vms:\n  - name: a\n    kernel: /boot/vmlinuz\n", 3, "vms[0].kernel",
	 "no kernel", "bzimage"},
	{"both kernels", "vms:\n  - name: a\n    kernel: 6.12\n    bzimage: /proc/version\n", 3,
	 "vms[0].kernel", "both", "keep one"},
	{"bzimage missing", "vms:\n  - name: a\n    bzimage: nowhere/bzImage\n", 3,
	 "vms[0].bzimage", "cannot read the kernel /labs/nowhere/bzImage: No such file",
	 "bzImage of your build tree"},
	{"bzimage a folder", "vms: [{name: a, bzimage: /tmp}]\n", 1, "vms[0].bzimage",
	 "is not a file", ""},
	{"modules alone", "vms: [{name: a, modules: /tmp}]\n", 1, "vms[0].modules",
	 "without a bzimage", "bzimage: FILE"},
	{"modules missing", "vms: [{name: a, bzimage: /proc/version, modules: /nowhere}]\n", 1,
	 "vms[0].modules", "cannot read the modules", "modules_install"},
	{"modules a file", "vms: [{name: a, bzimage: /proc/version, modules: /proc/version}]\n", 1,
	 "vms[0].modules", "is not a folder", ""},
	{"append", "vms: [{name: a, append: \"a\\nb\"}]\n", 1, "vms[0].append",
	 "illegal character", "one line"},
	/* Sizes. */
	{"no CPU", "vms: [{name: a, cpus: 0}]\n", 1, "vms[0].cpus", "0 CPUs is out of range",
	 "1 to 64"},
	{"many CPUs", "vms: [{name: a, cpus: 65}]\n", 1, "vms[0].cpus", "out of range", "1 to 64"},
	{"memory small", "vms: [{name: a, memory: 191}]\n", 1, "vms[0].memory",
	 "191 is too small", "512M"},
	{"memory zero", "vms: [{name: a, memory: 0}]\n", 1, "vms[0].memory", "too small", ""},
	{"memory large", "vms: [{name: a, memory: 1025G}]\n", 1, "vms[0].memory", "too large", ""},
	{"memory unit", "vms: [{name: a, memory: 5T}]\n", 1, "vms[0].memory", "is not a size",
	 "2G"},
	{"memory word", "vms: [{name: a, memory: lots}]\n", 1, "vms[0].memory", "not a size", ""},
	{"no queue", NIC("queues: 0"), 4, "vms[0].nics[0].queues", "0 queues is out of range",
	 "1 to 64"},
	{"many queues", NIC("queues: 65"), 4, "vms[0].nics[0].queues", "out of range", ""},
	{"no speed", NIC("link_mbps: 0"), 4, "vms[0].nics[0].link_mbps", "out of range", ""},
	{"MTU small", NIC("mtu: 67"), 4, "vms[0].nics[0].mtu", "67 is out of range", "68 to 9000"},
	{"MTU large", NETS("  - {name: n, mtu: 9001}\n"), 2, "networks[0].mtu",
	 "9001 is out of range", "68 to 9000"},
	{"MTU above network", NIC("mtu: 9000"), 4, "vms[0].nics[0].mtu",
	 "more than the 1500 of network default", "raise the network's mtu"},
	/* MACs. */
	{"MAC", NIC("mac: 02:00:00:00:00"), 4, "vms[0].nics[0].mac", "is not a MAC address",
	 "six bytes"},
	{"MAC letters", NIC("mac: 02:00:00:00:00:0g"), 4, "vms[0].nics[0].mac",
	 "is not a MAC address", ""},
	{"MAC multicast", NIC("mac: 01:00:5e:00:00:01"), 4, "vms[0].nics[0].mac", "multicast",
	 "first byte even"},
	{"MAC broadcast", NIC("mac: ff:ff:ff:ff:ff:ff"), 4, "vms[0].nics[0].mac", "multicast", ""},
	{"MAC zero", NIC("mac: 00:00:00:00:00:00"), 4, "vms[0].nics[0].mac", "zeros", ""},
	{"MAC twice",
	 "vms:\n  - name: a\n    nics:\n      - mac: 02:00:00:00:00:01\n"
	 "  - name: b\n    nics:\n      - mac: 02-00-00-00-00-01\n",
	 7, "vms[1].nics[0].mac", "already that of a/eth0 (line 4)", "choose another"},
	/* Networks. */
	{"unknown network", "networks: [{name: blue}]\n" NIC("network: bleu"), 5,
	 "vms[0].nics[0].network", "no network \"bleu\"", "did you mean \"blue\"?"},
	{"far network", "networks: [{name: blue}]\n" NIC("network: storage"), 5,
	 "vms[0].nics[0].network", "no network \"storage\"", "under networks"},
	{"which network", "networks: [{name: n}, {name: m}]\n" NIC("mtu: 1500"), 5,
	 "vms[0].nics[0].network", "there are 2 networks", "network: NAME"},
	/* Subnets. */
	{"subnet without prefix", NETS("  - {name: n, subnet: 10.0.0.0}\n"), 2,
	 "networks[0].subnet", "no prefix length", "10.0.0.0/24"},
	{"subnet address", NETS("  - {name: n, subnet: 10.0.0/24}\n"), 2, "networks[0].subnet",
	 "not an IPv4 address", ""},
	{"subnet family", NETS("  - {name: n, subnet: 'fd00::/64'}\n"), 2, "networks[0].subnet",
	 "not an IPv4 address", ""},
	{"subnet text",
	 NETS("  - {name: n, subnet: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/8}\n"),
	 2, "networks[0].subnet", "not a subnet", ""},
	{"subnet prefix", NETS("  - {name: n, subnet: 10.0.0.0/33}\n"), 2, "networks[0].subnet",
	 "\"33\" is not a prefix length", ""},
	{"subnet prefix text", NETS("  - {name: n, subnet: 10.0.0.0/x}\n"), 2,
	 "networks[0].subnet", "is not a prefix length", ""},
	{"subnet prefix empty", NETS("  - {name: n, subnet: 10.0.0.0/}\n"), 2,
	 "networks[0].subnet", "is not a prefix length", ""},
	{"subnet /31", NETS("  - {name: n, subnet: 10.0.0.0/31}\n"), 2, "networks[0].subnet",
	 "no room", "8 to 30"},
	{"subnet /7", NETS("  - {name: n, subnet: 10.0.0.0/7}\n"), 2, "networks[0].subnet",
	 "more addresses", "8 to 30"},
	{"subnet host bits", NETS("  - {name: n, subnet: 10.0.0.9/24}\n"), 2, "networks[0].subnet",
	 "host bits", "write 10.0.0.0/24"},
	{"subnet6 host bits", NETS("  - {name: n, subnet6: 'fd00::1:0:0:0:9/63'}\n"), 2,
	 "networks[0].subnet6", "host bits", "write fd00::/63"},
	{"subnet loopback", NETS("  - {name: n, subnet: 127.0.0.0/8}\n"), 2, "networks[0].subnet",
	 "loopback", "private"},
	{"subnet multicast", NETS("  - {name: n, subnet: 239.1.0.0/16}\n"), 2,
	 "networks[0].subnet", "multicast", ""},
	{"subnet6 link-local", NETS("  - {name: n, subnet6: 'fe80::/64'}\n"), 2,
	 "networks[0].subnet6", "link-local", "fd00::/64"},
	{"subnet6 multicast", NETS("  - {name: n, subnet6: 'ff02::/64'}\n"), 2,
	 "networks[0].subnet6", "multicast", ""},
	{"subnets overlap",
	 NETS("  - {name: n, subnet: 10.1.0.0/16}\n  - {name: m, subnet: 10.1.7.0/24}\n")
	 , 3, "networks[1].subnet", "overlaps 10.1.0.0/16 of network n (line 2)",
	 "choose another"},
	{"subnets6 overlap",
	 NETS("  - {name: n, subnet6: 'fd01::/64'}\n  - {name: m, subnet6: 'fd01::/48'}\n"), 3,
	 "networks[1].subnet6", "overlaps fd01::/64", ""},
	{"subnet too small",
	 "networks:\n  - {name: n, subnet: 10.0.0.0/30}\nvms: [{name: a}, {name: b}, {name: c}]\n",
	 2, "networks[0].subnet", "too small for the 3 NICs on network n", "shorter prefix"},
	{"subnet6 too small",
	 "networks:\n  - {name: n, subnet6: 'fd00::/126'}\n"
	 "vms: [{name: a}, {name: b}, {name: c}, {name: d}]\n",
	 2, "networks[0].subnet6", "too small for the 4 NICs", "shorter prefix"},
	{"subnet6 and MTU", NETS("  - {name: n, mtu: 1000, subnet6: 'fd00::/64'}\n"), 2,
	 "networks[0].subnet6", "MTU of 1280", "none"},
	{"dhcp", NETS("  - {name: n, dhcp: maybe}\n"), 2, "networks[0].dhcp", "maybe", ""},
	{"gateway no address", NETS("  - {name: n, gateway: x}\n"), 2, "networks[0].gateway",
	 "not an IPv4 address", "or none"},
	{"gateway IPv6", NETS("  - {name: n, gateway: 'fd00::1'}\n"), 2, "networks[0].gateway",
	 "not an IPv4 address", ""},
	{"gateway elsewhere", NETS("  - {name: n, gateway: 10.1.0.1}\n"), 2,
	 "networks[0].gateway", "no host's address", "one in 10.0.0.0/24"},
	{"gateway broadcast", NETS("  - {name: n, gateway: 10.0.0.255}\n"), 2,
	 "networks[0].gateway", "no host's address", ""},
	{"gateway without subnet", NETS("  - {name: n, subnet: none, gateway: 10.0.0.1}\n"), 2,
	 "networks[0].gateway", "no host's address", ""},
	{"domain empty", NETS("  - {name: n, domain: ''}\n"), 2, "networks[0].domain",
	 "not a domain", "lab.example"},
	{"domain of dots", NETS("  - {name: n, domain: a..b}\n"), 2, "networks[0].domain",
	 "not a domain", ""},
	{"domain ends in a dot", NETS("  - {name: n, domain: a.b.}\n"), 2, "networks[0].domain",
	 "not a domain", ""},
	{"domain with a hyphen last", NETS("  - {name: n, domain: a-.b}\n"), 2,
	 "networks[0].domain", "not a domain", ""},
	{"domain with a comma", NETS("  - {name: n, domain: 'a,b'}\n"), 2, "networks[0].domain",
	 "not a domain", ""},
	{"domain long",
	 NETS("  - {name: n, domain: "
	      "aaaaaaaaa.aaaaaaaaa.aaaaaaaaa.aaaaaaaaa.aaaaaaaaa.aaaaaaaaa.aaaa}\n"),
	 2, "networks[0].domain", "at most 63", "shorten"},
	/* Addresses. */
	{"ip", NIC("ip: 10.0.0"), 4, "vms[0].nics[0].ip", "not an IPv4 address", "none"},
	{"ip with prefix", NIC("ip: 10.0.0.9/24"), 4, "vms[0].nics[0].ip", "prefix length",
	 "alone"},
	{"ip elsewhere", NIC("ip: 10.1.0.9"), 4, "vms[0].nics[0].ip", "not in the subnet",
	 "choose one in 10.0.0.0/24"},
	{"ip of the network", NIC("ip: 10.0.0.0"), 4, "vms[0].nics[0].ip", "network's own", ""},
	{"ip broadcast", NIC("ip: 10.0.0.255"), 4, "vms[0].nics[0].ip", "broadcast", ""},
	{"ip6", NIC("ip6: 'fd00::x'"), 4, "vms[0].nics[0].ip6", "not an IPv6 address", ""},
	{"ip6 of the network", NIC("ip6: 'fd00::'"), 4, "vms[0].nics[0].ip6", "network's own", ""},
	{"ip6 and MTU", NIC("mtu: 1000, ip6: 'fd00::9'"), 4, "vms[0].nics[0].ip6", "1280", ""},
	{"ip without subnet", "networks: [{name: n, subnet: none}]\n" NIC("ip: 10.0.0.9"), 5,
	 "vms[0].nics[0].ip", "no IPv4 subnet", "give the network a subnet"},
	{"ip twice",
	 "vms:\n  - {name: a, nics: [{ip: 10.0.0.9}]}\n  - {name: b, nics: [{ip: 10.0.0.9}]}\n", 3,
	 "vms[1].nics[0].ip", "already the address of a/eth0", "choose another"},
};

static bool check_mistake(const struct mistake *m)
{
	struct lab_errors errs = {0};
	const struct lab_error *e;
	struct lab *lab;
	char line[640];

	assert_int_equal(lab_load_text("/labs/pair.yaml", m->text, strlen(m->text), &lab, &errs),
			 -EINVAL);
	assert_null(lab);
	assert_true(errs.n >= 1);
	e = &errs.list[0];
	lab_error_format(&errs, e, line, sizeof(line));
	if (e->line != m->line || strcmp(e->key, m->key) != 0 || !strstr(e->reason, m->reason) ||
	    !strstr(e->remedy, m->remedy) || errs.n != 1) {
		print_message("%s: got %u error(s), first: %s (column %u)\n", m->what, errs.n, line,
			      e->column);
		lab_errors_free(&errs);
		return false;
	}
	if (m->line) {
		char want[64];

		snprintf(want, sizeof(want), "/labs/pair.yaml:%u: ", m->line);
		assert_memory_equal(line, want, strlen(want));
	}
	lab_errors_free(&errs);
	return true;
}

static void test_mistakes(void **state)
{
	unsigned int bad = 0;

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(mistakes); i++)
		bad += !check_mistake(&mistakes[i]);
	assert_int_equal(bad, 0);
}

static void test_all_mistakes_at_once(void **state)
{
	const char *text = "networks:\n"
			   "  - {name: n, subnet: 10.0.0.1/24}\n"
			   "vms:\n"
			   "  - name: a\n"
			   "    cpus: 0\n"
			   "    color: red\n"
			   "    nics:\n"
			   "      - {network: x, mac: 'no', queues: 99, mtu: 1}\n"
			   "  - name: a\n"
			   "    kernel: '5.0'\n";
	static const unsigned int lines[] = {2, 5, 6, 8, 8, 8, 8, 9, 10};
	struct lab_errors errs = {0};
	struct lab *lab;
	json_t *j;

	(void)state;
	assert_int_equal(lab_load_text("x.yaml", text, strlen(text), &lab, &errs), -EINVAL);
	assert_int_equal(errs.n, ARRAY_SIZE(lines));
	for (unsigned int i = 0; i < errs.n; i++)
		assert_int_equal(errs.list[i].line, lines[i]);
	j = lab_errors_to_json(&errs);
	assert_int_equal(json_array_size(j), errs.n);
	assert_int_equal(json_integer_value(json_object_get(json_array_get(j, 0), "line")), 2);
	assert_string_equal(json_string_value(json_object_get(json_array_get(j, 0), "key")),
			    "networks[0].subnet");
	assert_string_equal(json_string_value(json_object_get(json_array_get(j, 0), "file")),
			    "x.yaml");
	json_decref(j);
	lab_errors_free(&errs);
}

/* A list of @n copies of @entry, which may hold one %u. The caller's. */
static char *many(const char *head, const char *entry, unsigned int n, const char *tail)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	fputs(head, out);
	for (unsigned int i = 0; i < n; i++) {
		for (const char *c = entry; *c; c++)
			if (*c == '%')
				fprintf(out, "%u", i);
			else
				fputc(*c, out);
		fputs(", ", out);
	}
	fputs(tail, out);
	fclose(out);
	return text;
}

static void test_limits(void **state)
{
	struct lab_errors errs = {0};
	struct lab *lab;
	char *text = many("vms: [", "{name: v%}", LAB_MAX_VMS, "]\n");

	(void)state;
	lab = load(text);
	assert_int_equal(lab->n_vms, LAB_MAX_VMS);
	lab_free(lab);
	free(text);

	text = many("vms: [", "{name: v%}", LAB_MAX_VMS + 1, "]\n");
	assert_int_equal(lab_load_text("x", text, strlen(text), &lab, &errs), -EINVAL);
	assert_int_equal(errs.n, 1);
	assert_non_null(strstr(errs.list[0].reason, "65 entries are more than the 64"));
	lab_errors_free(&errs);
	free(text);

	text = many("vms: [{name: a, nics: [", "{name: e%}", LAB_MAX_NICS + 1, "]}]\n");
	assert_int_equal(lab_load_text("x", text, strlen(text), &lab, &errs), -EINVAL);
	assert_int_equal(errs.n, 1);
	assert_string_equal(errs.list[0].key, "vms[0].nics");
	lab_errors_free(&errs);
	free(text);

	/* More mistakes than are kept: the rest is counted. */
	text = many("vms: [{name: a, ", "k%: 1", LAB_MAX_ERRORS + 6, "}]\n");
	assert_int_equal(lab_load_text("x", text, strlen(text), &lab, &errs), -EINVAL);
	assert_int_equal(errs.n, LAB_MAX_ERRORS);
	assert_int_equal(errs.n_more, 6);
	lab_errors_free(&errs);
	free(text);

	text = many("vms: [{name: a, append: '", "aaaaaaaaa", 200, "'}]\n");
	assert_int_equal(lab_load_text("x", text, strlen(text), &lab, &errs), -EINVAL);
	assert_int_equal(errs.n, 1);
	assert_non_null(strstr(errs.list[0].reason, "at most 1024"));
	lab_errors_free(&errs);
	free(text);

	text = calloc(1, LAB_MAX_TEXT + 2);
	memset(text, ' ', LAB_MAX_TEXT + 1);
	assert_int_equal(lab_load_text("x", text, LAB_MAX_TEXT + 1, &lab, &errs), -EINVAL);
	assert_non_null(strstr(errs.list[0].reason, "larger than"));
	lab_errors_free(&errs);
	free(text);
}

/* Aliases that multiply: the work is bounded by the schema, not by the document. */
static void test_alias_bomb(void **state)
{
	const char *text = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\n"
			   "c: &c [*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c]\n"
			   "e: &e [*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e]\n"
			   "g: &g [*f,*f,*f,*f,*f,*f,*f,*f]\nh: &h [*g,*g,*g,*g,*g,*g,*g,*g]\n"
			   "vms: *h\n";
	struct lab_errors errs = {0};
	struct lab *lab;

	(void)state;
	assert_int_equal(lab_load_text("x", text, strlen(text), &lab, &errs), -EINVAL);
	assert_true(errs.n >= 9);
	lab_errors_free(&errs);

	/* Stray keys inside a VM are passed over, whatever they hold. */
	text = "vms:\n  - name: a\n    x: &x [[[[[[[[1]]]]]]]]\n    y: [*x, *x, *x]\n";
	assert_int_equal(lab_load_text("x", text, strlen(text), &lab, &errs), -EINVAL);
	assert_int_equal(errs.n, 2);
	lab_errors_free(&errs);

	/* An alias to what encloses it. */
	text = "vms: &v\n  - name: a\n    nics: *v\n";
	assert_int_equal(lab_load_text("x", text, strlen(text), &lab, &errs), -EINVAL);
	assert_true(errs.n >= 1);
	lab_errors_free(&errs);
}

static void test_unreadable_files(void **state)
{
	struct lab_errors errs = {0};
	struct lab *lab;

	(void)state;
	assert_int_equal(lab_load_file("/nowhere/x.yaml", &lab, &errs), -ENOENT);
	assert_null(lab);
	assert_int_equal(errs.n, 1);
	assert_string_equal(errs.file, "/nowhere/x.yaml");
	assert_non_null(strstr(errs.list[0].reason, "No such file"));
	assert_true(*errs.list[0].remedy != '\0');
	lab_errors_free(&errs);
	assert_int_equal(lab_load_file("/tmp", &lab, &errs), -EISDIR);
	assert_int_equal(errs.n, 1);
	lab_errors_free(&errs);
}

static void test_messages_cannot_forge_lines(void **state)
{
	const char *text = "vms: [{name: \"a\\nevil\\e[0m\"}]\n";
	struct lab_errors errs = {0};
	struct lab *lab;
	char line[640];

	(void)state;
	assert_int_equal(lab_load_text("x", text, strlen(text), &lab, &errs), -EINVAL);
	lab_error_format(&errs, &errs.list[0], line, sizeof(line));
	assert_null(strchr(line, '\n'));
	assert_null(strchr(line, '\033'));
	lab_errors_free(&errs);
}

static void test_parse_mac(void **state)
{
	uint8_t mac[6];

	(void)state;
	assert_int_equal(lab_parse_mac("00:15:5D:ab:Cd:ef", mac), 0);
	assert_memory_equal(mac, "\x00\x15\x5d\xab\xcd\xef", 6);
	assert_int_equal(lab_parse_mac("", mac), -EINVAL);
	assert_int_equal(lab_parse_mac("00:15:5d:ab:cd:ef:", mac), -EINVAL);
	assert_int_equal(lab_parse_mac("00.15.5d.ab.cd.ef", mac), -EINVAL);
	assert_int_equal(lab_parse_mac("+0:15:5d:ab:cd:ef", mac), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_three_lines_make_a_vm),
		cmocka_unit_test(test_everything_given),
		cmocka_unit_test(test_memory_units),
		cmocka_unit_test(test_macs_are_stable_and_unique),
		cmocka_unit_test(test_mac_collision_is_resolved),
		cmocka_unit_test(test_addresses_go_around_given_ones),
		cmocka_unit_test(test_small_subnet_starts_at_one),
		cmocka_unit_test(test_default_subnet_avoids_given_ones),
		cmocka_unit_test(test_no_ipv6_below_its_mtu),
		cmocka_unit_test(test_vm_without_nics),
		cmocka_unit_test(test_anchors_and_json_are_yaml),
		cmocka_unit_test(test_json_round_trip),
		cmocka_unit_test(test_own_kernel),
		cmocka_unit_test(test_default_name_from_odd_files),
		cmocka_unit_test(test_mistakes),
		cmocka_unit_test(test_all_mistakes_at_once),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_alias_bomb),
		cmocka_unit_test(test_unreadable_files),
		cmocka_unit_test(test_messages_cannot_forge_lines),
		cmocka_unit_test(test_parse_mac),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
