/* SPDX-License-Identifier: BSD-2-Clause */
/* Claims about a NIC's paths in the lab file, and about NICs added to a lab that is up. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "host/lab.h"

static struct lab *load(const char *text)
{
	struct lab_errors errs = {0};
	struct lab *lab = NULL;

	assert_int_equal(lab_load_text("/labs/pair.yaml", text, strlen(text), &lab, &errs), 0);
	lab_errors_free(&errs);
	return lab;
}

static void both_paths_are_the_default(void **state)
{
	struct lab *lab = load("vms: [{name: a}]\n");
	const struct lab_nic *nic = &lab->vms[0].nics[0];

	(void)state;
	assert_true(nic->vf);
	assert_int_equal(nic->synthetic, LAB_SYNTHETIC_VIRTIO);
	assert_int_equal(nic->weight, 100);
	assert_int_equal(nic->moderation, LAB_MODERATION_OFF);
	assert_int_equal(lab->vms[0].hotplug, LAB_HOTPLUG_ACPI);
	assert_int_equal(lab->vms[0].spare_nics, 4);
	lab_free(lab);
}

static void all_of_it_can_be_given_and_is_told_again(void **state)
{
	struct lab *lab = load("vms:\n"
			       "  - name: a\n"
			       "    hotplug: native\n"
			       "    spare_nics: 3\n"
			       "    nics:\n"
			       "      - {vf: off}\n"
			       "      - {synthetic: none, weight: 0, moderation: adaptive}\n");
	const struct lab_vm *vm = &lab->vms[0];
	json_t *json, *j;

	(void)state;
	assert_int_equal(vm->hotplug, LAB_HOTPLUG_NATIVE);
	assert_int_equal(vm->spare_nics, 3);
	assert_false(vm->nics[0].vf);
	assert_int_equal(vm->nics[0].synthetic, LAB_SYNTHETIC_VIRTIO);
	assert_int_equal(vm->nics[1].synthetic, LAB_SYNTHETIC_NONE);
	assert_int_equal(vm->nics[1].weight, 0);
	assert_int_equal(vm->nics[1].moderation, LAB_MODERATION_ADAPTIVE);
	json = lab_to_json(lab);
	j = json_array_get(json_object_get(json, "vms"), 0);
	assert_string_equal(json_string_value(json_object_get(j, "hotplug")), "native");
	assert_int_equal(json_integer_value(json_object_get(j, "spare_nics")), 3);
	j = json_array_get(json_object_get(j, "nics"), 1);
	assert_string_equal(json_string_value(json_object_get(j, "synthetic")), "none");
	assert_int_equal(json_integer_value(json_object_get(j, "weight")), 0);
	assert_string_equal(json_string_value(json_object_get(j, "moderation")), "adaptive");
	json_decref(json);
	lab_free(lab);
}

static void mistakes_name_line_key_and_remedy(void **state)
{
	static const struct {
		const char *nic; /* in line 4 */
		const char *key, *reason, *remedy;
	} nics[] = {
		{"{vf: off, synthetic: none}", "vf", "neither a VF nor a synthetic", "vf: on"},
		{"synthetic: netvsc", "synthetic", "no netvsc yet", "synthetic: virtio"},
		{"synthetic: e1000", "synthetic", "not possible here", "virtio, none"},
		{"weight: 101", "weight", "101 is out of range", "0 to 100"},
		{"weight: -1", "weight", "not a whole number", ""},
		{"moderation: fast", "moderation", "not possible here", "adaptive"},
		{"vf: maybe", "vf", "not possible here", "on, off"},
	};
	static const struct {
		const char *vm, *key, *reason, *remedy;
	} vms[] = {
		{"hotplug: shpc", "hotplug", "not possible here", "acpi, native"},
		{"spare_nics: 16", "spare_nics", "16 spare NICs is out of range", "0 to 15"},
	};
	char text[256], key[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(nics) + ARRAY_SIZE(vms); i++) {
		size_t k = i - MIN(i, ARRAY_SIZE(nics));
		bool nic = i < ARRAY_SIZE(nics);
		struct lab_errors errs = {0};
		struct lab *lab;

		if (nic)
			snprintf(text, sizeof(text), "vms:\n  - name: a\n    nics:\n      - %s\n",
				 nics[i].nic);
		else
			snprintf(text, sizeof(text), "vms:\n  - name: a\n    cpus: 2\n    %s\n",
				 vms[k].vm);
		snprintf(key, sizeof(key), nic ? "vms[0].nics[0].%s" : "vms[0].%s",
			 nic ? nics[i].key : vms[k].key);
		assert_int_equal(lab_load_text("l.yaml", text, strlen(text), &lab, &errs), -EINVAL);
		assert_int_equal(errs.n, 1);
		assert_int_equal(errs.list[0].line, 4);
		assert_string_equal(errs.list[0].key, key);
		assert_non_null(strstr(errs.list[0].reason, nic ? nics[i].reason : vms[k].reason));
		assert_non_null(strstr(errs.list[0].remedy, nic ? nics[i].remedy : vms[k].remedy));
		lab_errors_free(&errs);
	}
}

static void the_root_ports_are_never_more_than_there_are(void **state)
{
	struct lab *lab = load("vms: [{name: a, spare_nics: 8, nics: [{}, {}, {}, {}, {}, {}, {}, "
			       "{}]}]\n");

	(void)state;
	assert_int_equal(lab->vms[0].n_nics + lab->vms[0].spare_nics, LAB_VM_NICS);
	lab_free(lab);
}

/* ---- added to a lab that is up ---- */

static const char two_nets[] = "networks: [{name: n, subnet: 10.9.0.0/24}, {name: m, subnet: "
			       "10.8.0.0/29, subnet6: none, mtu: 1400}]\n"
			       "vms: [{name: a, nics: [{network: n}]}, {name: b, nics: [{network: "
			       "n, ip: 10.9.0.6, ip6: none}]}]\n";

static struct lab_nic wish(const char *name)
{
	struct lab_nic w = {.queues = 4,
			    .mtu = 1300,
			    .link_mbps = 1000,
			    .vf = true,
			    .weight = 100,
			    .synthetic = LAB_SYNTHETIC_VIRTIO};

	snprintf(w.name, sizeof(w.name), "%s", name);
	return w;
}

static void an_added_nic_is_as_if_the_file_had_it(void **state)
{
	struct lab *lab = load(two_nets);
	struct lab_vm *vm = &lab->vms[0];
	struct lab_nic w = wish("eth1");
	char why[200], mac[18], ip[INET_ADDRSTRLEN];

	(void)state;
	assert_int_equal(lab_nic_add(lab, vm, &w, NULL, NULL, NULL, why, sizeof(why)), 0);
	assert_int_equal(vm->n_nics, 2);
	assert_string_equal(vm->nics[1].name, "eth1");
	/* a/eth0 has 4, b/eth0 has 6. */
	assert_string_equal(vm->nics[1].ip4, "10.9.0.5");
	assert_string_equal(vm->nics[1].ip6, "fd00::5");
	assert_memory_equal(vm->nics[1].mac, ((uint8_t[]){0, 0x15, 0x5d}), 3);
	strcpy(mac, vm->nics[1].mac_text);
	strcpy(ip, vm->nics[1].ip4);

	/* Another one beside it, then the first again: it is the same as before. */
	w = wish("eth2");
	assert_int_equal(lab_nic_add(lab, vm, &w, NULL, NULL, NULL, why, sizeof(why)), 0);
	assert_string_equal(vm->nics[2].ip4, "10.9.0.7");
	assert_string_not_equal(vm->nics[2].mac_text, mac);
	lab_nic_del(vm, "eth1");
	assert_int_equal(vm->n_nics, 2);
	assert_string_equal(vm->nics[1].name, "eth2");
	w = wish("eth1");
	assert_int_equal(lab_nic_add(lab, vm, &w, NULL, NULL, NULL, why, sizeof(why)), 0);
	assert_string_equal(vm->nics[2].mac_text, mac);
	assert_string_equal(vm->nics[2].ip4, ip);
	lab_free(lab);
}

/* Where numbers start at 1 the services are among them. */
static void the_services_keep_their_address(void **state)
{
	struct lab *lab = load("networks: [{name: n, subnet: 10.9.0.0/29, subnet6: 'fd09::/125', "
			       "gateway: 10.9.0.2}]\n"
			       "vms: [{name: a}, {name: b}]\n");
	struct lab_vm *vm = &lab->vms[0];
	static const char *const given[] = {"10.9.0.4", "10.9.0.5"};
	struct lab_nic w;
	char why[200], name[8];

	(void)state;
	assert_string_equal(lab->nets[0].service4, "10.9.0.6");
	assert_string_equal(lab->nets[0].service6, "fd09::7");
	/* Nor does a guest get the gateway's by itself. */
	assert_string_equal(lab->vms[0].nics[0].ip4, "10.9.0.1");
	assert_string_equal(lab->vms[1].nics[0].ip4, "10.9.0.3");
	for (unsigned int i = 0; i < 2; i++) {
		snprintf(name, sizeof(name), "eth%u", i + 1);
		w = wish(name);
		assert_int_equal(lab_nic_add(lab, vm, &w, NULL, NULL, NULL, why, sizeof(why)), 0);
		assert_string_equal(vm->nics[i + 1].ip4, given[i]);
	}
	w = wish("eth3");
	assert_int_equal(lab_nic_add(lab, vm, &w, NULL, NULL, NULL, why, sizeof(why)), -ENOSPC);
	assert_int_equal(lab_nic_add(lab, vm, &w, NULL, "10.9.0.6", "none", why, sizeof(why)),
			 -EEXIST);
	assert_non_null(strstr(why, "services"));
	assert_int_equal(lab_nic_add(lab, vm, &w, NULL, "none", "fd09::7", why, sizeof(why)),
			 -EEXIST);
	/* It may be the gateway when somebody says so. */
	assert_int_equal(lab_nic_add(lab, vm, &w, NULL, "10.9.0.2", "none", why, sizeof(why)), 0);
	lab_free(lab);
}

static void addresses_can_be_given_or_left_out(void **state)
{
	struct lab *lab = load(two_nets);
	struct lab_vm *vm = &lab->vms[0];
	struct lab_nic w = wish("x");
	char why[200];

	(void)state;
	assert_int_equal(lab_nic_add(lab, vm, &w, "02-00-00-00-00-0A", "10.9.0.200", "none", why,
				     sizeof(why)),
			 0);
	assert_string_equal(vm->nics[1].mac_text, "02:00:00:00:00:0a");
	assert_string_equal(vm->nics[1].ip4, "10.9.0.200");
	assert_string_equal(vm->nics[1].ip6, "");
	w = wish("y");
	w.net = 1;
	assert_int_equal(lab_nic_add(lab, vm, &w, NULL, NULL, NULL, why, sizeof(why)), 0);
	assert_string_equal(vm->nics[2].ip4, "10.8.0.1");
	assert_string_equal(vm->nics[2].ip6, "");
	lab_free(lab);
}

static void what_cannot_be_added_changes_nothing(void **state)
{
	struct lab *lab = load(two_nets);
	struct lab_vm *vm = &lab->vms[0];
	static const struct {
		const char *name, *mac, *ip4, *ip6;
		int rc;
		const char *why;
	} cases[] = {
		{"eth0", NULL, NULL, NULL, -EEXIST, "has a NIC eth0 already"},
		{"lo", NULL, NULL, NULL, -EINVAL, "cannot be a NIC's name"},
		{"a/b", NULL, NULL, NULL, -EINVAL, "cannot be a NIC's name"},
		{"", NULL, NULL, NULL, -EINVAL, "cannot be a NIC's name"},
		{"x", "02:00:00:00:00", NULL, NULL, -EINVAL, "not a unicast MAC"},
		{"x", "03:00:00:00:00:01", NULL, NULL, -EINVAL, "not a unicast MAC"},
		{"x", "00:00:00:00:00:00", NULL, NULL, -EINVAL, "not a unicast MAC"},
		{"x", NULL, "10.9.0.4", NULL, -EEXIST, "another NIC's address"},
		{"x", NULL, "10.9.1.4", NULL, -EINVAL, "no host's address on network n"},
		{"x", NULL, "10.9.0.255", NULL, -EINVAL, "no host's address"},
		{"x", NULL, "10.9.0.0", NULL, -EINVAL, "no host's address"},
		{"x", NULL, "10.9.0", NULL, -EINVAL, "not an IPv4 address"},
		{"x", NULL, NULL, "fe80::1", -EINVAL, "no host's address"},
	};
	static const struct {
		struct lab_nic nic;
		const char *why;
	} numbers[] = {
		{{.queues = 0, .mtu = 1300, .link_mbps = 1, .vf = true}, "0 queues"},
		{{.queues = 65, .mtu = 1300, .link_mbps = 1, .vf = true}, "65 queues"},
		{{.queues = 1, .mtu = 1501, .link_mbps = 1, .vf = true}, "68 to the 1500"},
		{{.queues = 1, .mtu = 67, .link_mbps = 1, .vf = true}, "68 to the 1500"},
		{{.queues = 1, .mtu = 1300, .link_mbps = 0, .vf = true}, "out of range"},
		{{.queues = 1, .mtu = 1300, .link_mbps = 1, .vf = true, .weight = 101}, "out of"},
		{{.queues = 1, .mtu = 1300, .link_mbps = 1, .vf = false}, "neither a VF"},
	};
	char why[200];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct lab_nic w = wish(cases[i].name);

		assert_int_equal(lab_nic_add(lab, vm, &w, cases[i].mac, cases[i].ip4, cases[i].ip6,
					     why, sizeof(why)),
				 cases[i].rc);
		assert_non_null(strstr(why, cases[i].why));
		assert_int_equal(vm->n_nics, 1);
	}
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		struct lab_nic w = numbers[i].nic;

		strcpy(w.name, "x");
		assert_int_equal(lab_nic_add(lab, vm, &w, NULL, NULL, NULL, why, sizeof(why)),
				 -EINVAL);
		assert_non_null(strstr(why, numbers[i].why));
	}
	lab_free(lab);
}

static void nics_and_addresses_run_out(void **state)
{
	struct lab *lab =
		load("networks: [{name: n, subnet: 10.0.0.0/30, subnet6: none, dhcp: off}]\n"
		     "vms: [{name: a}]\n");
	struct lab_vm *vm = &lab->vms[0];
	char why[200], name[8];
	struct lab_nic w = wish("x");

	(void)state;
	assert_int_equal(lab_nic_add(lab, vm, &w, NULL, NULL, NULL, why, sizeof(why)), 0);
	w = wish("y");
	assert_int_equal(lab_nic_add(lab, vm, &w, NULL, NULL, NULL, why, sizeof(why)), -ENOSPC);
	assert_non_null(strstr(why, "no IPv4 address is left on network n"));
	for (unsigned int i = vm->n_nics; i < LAB_VM_NICS; i++) {
		snprintf(name, sizeof(name), "z%u", i);
		w = wish(name);
		assert_int_equal(lab_nic_add(lab, vm, &w, NULL, "none", NULL, why, sizeof(why)), 0);
	}
	w = wish("one-more");
	assert_int_equal(lab_nic_add(lab, vm, &w, NULL, "none", NULL, why, sizeof(why)), -ENOSPC);
	lab_free(lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_paths_are_the_default),
		cmocka_unit_test(all_of_it_can_be_given_and_is_told_again),
		cmocka_unit_test(mistakes_name_line_key_and_remedy),
		cmocka_unit_test(the_root_ports_are_never_more_than_there_are),
		cmocka_unit_test(an_added_nic_is_as_if_the_file_had_it),
		cmocka_unit_test(the_services_keep_their_address),
		cmocka_unit_test(addresses_can_be_given_or_left_out),
		cmocka_unit_test(what_cannot_be_added_changes_nothing),
		cmocka_unit_test(nics_and_addresses_run_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
