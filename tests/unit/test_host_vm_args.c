/* SPDX-License-Identifier: BSD-2-Clause */
/* Claims about QEMU's command line, the guest kernel's, and the check of resolved parts. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "host/vm_args.h"

static const char lab_text[] = "networks:\n"
			       "  - name: blue\n"
			       "    subnet: 10.10.0.0/24\n"
			       "  - name: red\n"
			       "    subnet: 10.20.0.0/24\n"
			       "vms:\n"
			       "  - name: a\n"
			       "    cpus: 1\n"
			       "    append: quiet debug=x\n"
			       "    nics:\n"
			       "      - network: blue\n"
			       "        mac: 00:15:5d:00:00:01\n"
			       "      - network: red\n"
			       "  - name: b\n"
			       "    nics:\n"
			       "      - network: blue\n"
			       "  - name: c\n"
			       "    nics: []\n";

static struct lab *load(const char *text)
{
	struct lab_errors errs = {0};
	struct lab *lab = NULL;

	assert_int_equal(lab_load_text("pair.yaml", text, strlen(text), &lab, &errs), 0);
	lab_errors_free(&errs);
	return lab;
}

static void the_guest_learns_its_name_nics_and_peers(void **state)
{
	struct lab *lab = load(lab_text);
	char *line = vm_cmdline(lab, &lab->vms[0], "console=ttyS0"), want[128];

	(void)state;
	assert_non_null(line);
	assert_ptr_equal(strstr(line, "console=ttyS0 hvlab.name=a hvlab.nic="), line);
	snprintf(want, sizeof(want), " hvlab.nic=00:15:5d:00:00:01,eth0,%s/24,",
		 lab->vms[0].nics[0].ip4);
	assert_non_null(strstr(line, want));
	assert_non_null(strstr(line, ",1500 quiet debug=x hvlab.host=b,"));
	snprintf(want, sizeof(want), " hvlab.host=b,%s", lab->vms[1].nics[0].ip4);
	assert_non_null(strstr(line, want));
	assert_null(strstr(line, "hvlab.host=a"));
	assert_null(strstr(line, "hvlab.host=c"));
	free(line);
	lab_free(lab);
}

/* It may be removed and added again with another address while the guest runs. */
static void a_nic_that_was_added_asks_by_dhcp(void **state)
{
	struct lab *lab = load("networks: [{name: n}, {name: m, dhcp: off, subnet6: none}]\n"
			       "vms: [{name: a, nics: [{network: n}]}]\n");
	struct lab_nic w = {.name = "eth1", .mtu = 1400, .queues = 1, .link_mbps = 1, .vf = true};
	char why[200], *line;

	(void)state;
	assert_int_equal(lab_nic_add(lab, &lab->vms[0], &w, "02:00:00:00:00:01", NULL, NULL, why,
				     sizeof(why)),
			 0);
	strcpy(w.name, "eth2");
	assert_int_equal(lab_nic_add(lab, &lab->vms[0], &w, "02:00:00:00:00:02", "none", NULL, why,
				     sizeof(why)),
			 0);
	/* Nobody would answer there. */
	strcpy(w.name, "eth3");
	w.net = 1;
	assert_int_equal(lab_nic_add(lab, &lab->vms[0], &w, "02:00:00:00:00:03", NULL, NULL, why,
				     sizeof(why)),
			 0);
	line = vm_cmdline(lab, &lab->vms[0], "x");
	assert_non_null(strstr(line, ",eth0,10.0.0.4/24,fd00::4/64,1500 "));
	assert_non_null(strstr(line, "=02:00:00:00:00:01,eth1,dhcp,dhcp,1400 "));
	assert_non_null(strstr(line, "=02:00:00:00:00:02,eth2,,dhcp,1400 "));
	assert_non_null(strstr(line, "=02:00:00:00:00:03,eth3,10.0.1.4/24,,1400"));
	free(line);
	lab_free(lab);
}

static void the_guest_learns_its_gateway(void **state)
{
	struct lab *lab = load("networks: [{name: n, subnet: 10.9.0.0/24, gateway: 10.9.0.5}]\n"
			       "vms: [{name: a}, {name: b, nics: [{ip: 10.9.0.5}]}]\n");
	char *a = vm_cmdline(lab, &lab->vms[0], "x"), *b = vm_cmdline(lab, &lab->vms[1], "x");

	(void)state;
	assert_non_null(strstr(a, ",1500,10.9.0.5 hvlab.host=b,"));
	/* It is the gateway itself. */
	assert_non_null(strstr(b, ",1500 hvlab.host=a,"));
	free(a);
	free(b);
	lab_free(lab);
}

static void peers_beyond_the_kernels_limit_are_left_out(void **state)
{
	struct lab *lab;
	char text[8192], *line;
	size_t n = 0;

	(void)state;
	n += (size_t)snprintf(text + n, sizeof(text) - n, "vms:\n");
	for (int i = 0; i < 60; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n,
				      "  - name: a-rather-long-name-%d\n", i);
	lab = load(text);
	line = vm_cmdline(lab, &lab->vms[0], "console=ttyS0");
	assert_non_null(line);
	assert_true(strlen(line) < VM_CMDLINE_MAX);
	assert_non_null(strstr(line, "hvlab.host=a-rather-long-name-1,"));
	assert_null(strstr(line, "hvlab.host=a-rather-long-name-59,"));
	free(line);
	lab_free(lab);
}

static void what_must_be_there_and_does_not_fit_is_an_error(void **state)
{
	struct lab *lab = load(lab_text);
	char base[VM_CMDLINE_MAX];

	(void)state;
	memset(base, 'x', sizeof(base) - 1);
	base[sizeof(base) - 1] = '\0';
	errno = 0;
	assert_null(vm_cmdline(lab, &lab->vms[0], base));
	assert_int_equal(errno, E2BIG);
	lab_free(lab);
}

/* ---- QEMU's command line ---- */

static struct vm_conf conf_of(const char *version, unsigned int cpus, bool kvm)
{
	struct vm_conf c = {.name = "a",
			    .cpus = cpus,
			    .memory_mb = 256,
			    .kvm = kvm,
			    .console_log = "/run/a,b/console.log",
			    .console_sock = "/run/a,b/console.sock",
			    .n_slots = 2,
			    .nics = {{.name = "eth0", .vf = true, .socket = "/run/x/eth0.vfio"},
				     {.name = "eth1", .vf = true, .socket = "/run/x/eth1.vfio"}}};

	c.qemu = json_pack("{s:s, s:s, s:[s, s]}", "path", "/q", "version", version, "args", "-L",
			   "/l");
	c.image = json_pack("{s:s, s:s, s:[{s:s, s:s, s:b}]}", "kernel", "/k", "initrd", "/i",
			    "drives", "file", "/d,e", "serial", "root", "readonly", 1);
	c.cmdline = strdup("console=ttyS0 hvlab.name=a");
	return c;
}

/* The argument behind @option that contains @part; NULL: none. */
static const char *value_of(char **argv, const char *option, const char *part)
{
	for (char **a = argv; *a && a[1]; a++)
		if (!strcmp(*a, option) && strstr(a[1], part))
			return a[1];
	return NULL;
}

static void tcg_never_gets_one_possible_cpu(void **state)
{
	struct vm_conf c = conf_of("11.1.3", 1, false);
	char **argv = vm_args(&c);

	(void)state;
	assert_non_null(value_of(argv, "-smp", "1,maxcpus=2"));
	assert_non_null(value_of(argv, "-accel", "tcg,thread=multi"));
	assert_non_null(value_of(argv, "-cpu", "max"));
	vm_args_free(argv);
	c.cpus = 4;
	c.kvm = true;
	argv = vm_args(&c);
	assert_string_equal(value_of(argv, "-smp", ""), "4");
	assert_string_equal(value_of(argv, "-accel", ""), "kvm");
	vm_args_free(argv);
	vm_conf_clear(&c);
}

/* The place of an argument behind @option that contains @part; -1: none. */
static int place_of(char **argv, const char *option, const char *part)
{
	for (int i = 0; argv[i] && argv[i + 1]; i++)
		if (!strcmp(argv[i], option) && strstr(argv[i + 1], part))
			return i;
	return -1;
}

static void a_slot_tells_the_guest_its_number(void **state)
{
	struct vm_conf c = conf_of("11.1.3", 2, false);
	char **argv;

	(void)state;
	c.n_slots = 10;
	argv = vm_args(&c);
	assert_non_null(value_of(argv, "-device",
				 "pcie-root-port,id=rs0,bus=pcie.0,addr=0x10.0,multifunction=on,"
				 "chassis=1,slot=1,io-reserve=0"));
	assert_non_null(value_of(argv, "-device", "id=rs9,bus=pcie.0,addr=0x11.1,"));
	assert_non_null(value_of(argv, "-device", "id=rv0,bus=pcie.0,addr=0x12.0,"));
	assert_non_null(value_of(argv, "-device", "id=rv7,bus=pcie.0,addr=0x12.7,"));
	assert_non_null(value_of(argv, "-device", "id=rv9,bus=pcie.0,addr=0x13.1,"));
	assert_null(value_of(argv, "-device", "id=rs10,"));
	/* One chassis number twice, and QEMU refuses to start. */
	for (unsigned int n = 1; n <= 26; n++) {
		char part[32];
		int first;

		snprintf(part, sizeof(part), "chassis=%u,", n);
		first = place_of(argv, "-device", part);
		if (n <= 10 || n > 16)
			assert_true(first >= 0);
		if (first >= 0)
			assert_int_equal(place_of(argv + first + 1, "-device", part), -1);
	}
	vm_args_free(argv);
	vm_conf_clear(&c);
}

static void a_vf_alone_and_memory_is_shared(void **state)
{
	struct vm_conf c = conf_of("11.1.3", 2, false);
	char **argv = vm_args(&c);

	(void)state;
	assert_non_null(value_of(argv, "-device",
				 "{\"driver\":\"vfio-user-pci\",\"id\":\"vf1\",\"bus\":\"rv1\","
				 "\"socket\":{\"type\":\"unix\",\"path\":\"/run/x/eth1.vfio\"},"
				 "\"x-msg-timeout\":5000}"));
	assert_null(value_of(argv, "-netdev", ""));
	assert_null(value_of(argv, "-global", ""));
	assert_non_null(value_of(argv, "-object", "memory-backend-memfd,id=m0,size=256M,share=on"));
	assert_string_equal(argv[0], "/q");
	assert_string_equal(argv[1], "-L");
	for (char **a = argv; *a; a++)
		assert_string_not_equal(*a, "-no-reboot");
	vm_args_free(argv);
	vm_conf_clear(&c);
}

static void a_pair_is_tied_by_the_standbys_name(void **state)
{
	struct vm_conf c = conf_of("11.1.3", 2, false);
	char **argv;

	(void)state;
	c.nics[1] = (struct vm_nic_conf){.vf = true,
					 .synthetic = true,
					 .failover = true,
					 .mac = {0, 0x15, 0x5d, 1, 2, 0xff},
					 .queues = 4,
					 .mtu = 1500,
					 .socket = "/run/x/eth1.vfio",
					 .vhost = "/run/x,y/eth1.vhost"};
	argv = vm_args(&c);
	assert_non_null(value_of(argv, "-chardev",
				 "socket,id=cs1,path=/run/x,,y/eth1.vhost,reconnect-ms=1000"));
	assert_non_null(value_of(argv, "-netdev",
				 "{\"type\":\"vhost-user\",\"id\":\"ns1\",\"chardev\":\"cs1\","
				 "\"queues\":4}"));
	assert_non_null(
		value_of(argv, "-device",
			 "{\"driver\":\"virtio-net-pci\",\"id\":\"syn1\",\"netdev\":\"ns1\","
			 "\"bus\":\"rs1\",\"mac\":\"00:15:5d:01:02:ff\",\"host_mtu\":1500,"
			 "\"romfile\":\"\",\"mq\":true,\"vectors\":10,\"failover\":true}"));
	assert_non_null(
		value_of(argv, "-device", "\"x-msg-timeout\":5000,\"failover_pair_id\":\"syn1\"}"));
	/* The primary is hidden by a standby that is there before it. */
	assert_true(place_of(argv, "-device", "\"syn1\"") <
		    place_of(argv, "-device", "\"id\":\"vf1\""));
	vm_args_free(argv);
	vm_conf_clear(&c);
}

static void a_synthetic_nic_alone_is_no_standby(void **state)
{
	struct vm_conf c = conf_of("11.1.3", 2, false);
	char **argv;

	(void)state;
	c.hotplug = LAB_HOTPLUG_NATIVE;
	c.nics[0] = (struct vm_nic_conf){.synthetic = true, .queues = 1, .mtu = 9000};
	argv = vm_args(&c);
	assert_non_null(value_of(argv, "-device", "\"host_mtu\":9000,\"romfile\":\"\"}"));
	assert_null(value_of(argv, "-device", "\"id\":\"vf0\""));
	assert_null(value_of(argv, "-device", "failover"));
	assert_non_null(
		value_of(argv, "-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off"));
	vm_args_free(argv);
	vm_conf_clear(&c);
}

static void commas_in_paths_mean_nothing(void **state)
{
	struct vm_conf c = conf_of("11.1.3", 2, false);
	char **argv = vm_args(&c);

	(void)state;
	assert_non_null(value_of(argv, "-chardev", "path=/run/a,,b/console.sock,"));
	assert_non_null(value_of(argv, "-chardev", "logfile=/run/a,,b/console.log,"));
	assert_non_null(value_of(argv, "-blockdev", "\"filename\":\"/d,e\""));
	vm_args_free(argv);
	vm_conf_clear(&c);
}

static void the_monitor_is_asked_for_in_the_versions_way(void **state)
{
	static const struct {
		const char *version;
		bool object;
	} cases[] = {{"10.1.0", false}, {"11.0.9", false}, {"11.1.3", true}, {"12.0", true}};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct vm_conf c = conf_of(cases[i].version, 2, false);
		char **argv = vm_args(&c);

		assert_int_equal(value_of(argv, "-object", "monitor-qmp") != NULL, cases[i].object);
		assert_int_equal(value_of(argv, "-mon", "qmp0") != NULL, !cases[i].object);
		vm_args_free(argv);
		vm_conf_clear(&c);
	}
}

static void the_masquerade_is_for_versions_with_the_bug(void **state)
{
	(void)state;
	assert_int_equal(vm_msix_mode("10.1.0"), VFUSER_MSIX_MASQUERADE);
	assert_int_equal(vm_msix_mode("11.1.3"), VFUSER_MSIX_MASQUERADE);
	assert_int_equal(vm_msix_mode("11.1.99"), VFUSER_MSIX_MASQUERADE);
	assert_int_equal(vm_msix_mode("11.2.0"), VFUSER_MSIX_NATIVE);
	assert_int_equal(vm_msix_mode("12.0.0-rc1"), VFUSER_MSIX_NATIVE);
	assert_int_equal(vm_msix_mode("unknown"), VFUSER_MSIX_MASQUERADE);
	assert_int_equal(vm_msix_mode(NULL), VFUSER_MSIX_MASQUERADE);
}

/* ---- parts ---- */

static void wrong_parts_are_named(void **state)
{
	static const struct {
		const char *json, *words;
	} qemus[] = {
		{"{}", "'path' must be an absolute path"},
		{"{\"path\": 1}", "'path' must be an absolute path"},
		{"{\"path\": \"qemu\"}", "'path' must be an absolute path"},
		{"{\"path\": \"/nonexistent/qemu\"}", "/nonexistent/qemu: No such file"},
		{"{\"path\": \"/usr/bin\"}", "is not a file"},
		{"{\"path\": \"/etc/passwd\"}", "Permission denied"},
		{"{\"path\": \"/bin/sh\", \"version\": 11}", "'version' must be a string"},
		{"{\"path\": \"/bin/sh\", \"args\": \"-L\"}", "'args' must be an array"},
		{"{\"path\": \"/bin/sh\", \"args\": [1]}", "'args' must be an array"},
	};
	static const struct {
		const char *json, *words;
	} images[] = {
		{"[]", "no image"},
		{"{}", "'kernel' must be an absolute path"},
		{"{\"kernel\": \"/nonexistent/k\"}", "/nonexistent/k: No such file"},
		{"{\"kernel\": \"/bin/sh\", \"initrd\": \"/nonexistent/i\"}", "/nonexistent/i"},
		{"{\"kernel\": \"/bin/sh\", \"drives\": {}}", "'drives' must be an array"},
		{"{\"kernel\": \"/bin/sh\", \"drives\": [1]}", "drive 0: 'file'"},
		{"{\"kernel\": \"/bin/sh\", \"drives\": [{\"file\": \"/nonexistent/d\"}]}",
		 "drive 0: /nonexistent/d"},
		{"{\"kernel\": \"/bin/sh\", \"cmdline\": 1}", "'cmdline' must be a string"},
		{"{\"kernel\": \"/bin/sh\", \"agent\": []}", "'agent' must be a string"},
	};
	const char *hint;
	char why[300];
	json_t *v;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(qemus); i++) {
		v = json_loads(qemus[i].json, 0, NULL);
		assert_false(vm_check_qemu(v, why, sizeof(why), &hint));
		assert_non_null(strstr(why, qemus[i].words));
		assert_non_null(strstr(hint, "qemu-system-x86"));
		json_decref(v);
	}
	for (size_t i = 0; i < ARRAY_SIZE(images); i++) {
		v = json_loads(images[i].json, 0, NULL);
		assert_false(vm_check_image(v, "a", why, sizeof(why), &hint));
		assert_non_null(strstr(why, images[i].words));
		assert_non_null(strstr(why, "VM a"));
		json_decref(v);
	}
}

static void right_parts_pass(void **state)
{
	json_t *q = json_pack("{s:s, s:s, s:[]}", "path", "/bin/sh", "version", "11.1.3", "args");
	json_t *im = json_pack("{s:s, s:n, s:[{s:s, s:s}]}", "kernel", "/bin/sh", "initrd",
			       "drives", "file", "/bin/sh", "serial", "root");
	const char *hint;
	char why[300];

	(void)state;
	assert_true(vm_check_qemu(q, why, sizeof(why), &hint));
	assert_true(vm_check_image(im, "a", why, sizeof(why), &hint));
	json_decref(q);
	json_decref(im);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_guest_learns_its_name_nics_and_peers),
		cmocka_unit_test(a_nic_that_was_added_asks_by_dhcp),
		cmocka_unit_test(the_guest_learns_its_gateway),
		cmocka_unit_test(peers_beyond_the_kernels_limit_are_left_out),
		cmocka_unit_test(what_must_be_there_and_does_not_fit_is_an_error),
		cmocka_unit_test(tcg_never_gets_one_possible_cpu),
		cmocka_unit_test(a_slot_tells_the_guest_its_number),
		cmocka_unit_test(a_vf_alone_and_memory_is_shared),
		cmocka_unit_test(a_pair_is_tied_by_the_standbys_name),
		cmocka_unit_test(a_synthetic_nic_alone_is_no_standby),
		cmocka_unit_test(commas_in_paths_mean_nothing),
		cmocka_unit_test(the_monitor_is_asked_for_in_the_versions_way),
		cmocka_unit_test(the_masquerade_is_for_versions_with_the_bug),
		cmocka_unit_test(wrong_parts_are_named),
		cmocka_unit_test(right_parts_pass),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
