/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Claims about NICs that come and go as a client of the daemon sees them, with a fake QEMU whose
 * guest drives them (fake_nics.c).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "guest_lab.h"
#include "tests/lib/wait.h"

static json_t *nic_args(const char *vm, const char *name)
{
	json_t *args = json_pack("{s:s, s:s}", "vm", vm, "network", "blue");

	return name ? guest_with(args, "name", json_string(name)) : args;
}

static json_t *waiting(json_t *args)
{
	return guest_with(args, "wait", json_true());
}

static unsigned int n_nics(struct ctl *c, const char *vm)
{
	json_t *v = ctl_ok(c, "nic-list", json_pack("{s:s}", "vm", vm));
	unsigned int n = (unsigned int)json_array_size(json_object_get(v, "nics"));

	json_decref(v);
	return n;
}

static void assert_str(const json_t *v, const char *key, const char *want)
{
	assert_string_equal(json_string_value(json_object_get(v, key)), want);
}

static bool is_gone(struct ctl *c, const char *id)
{
	json_t *v = guest_nic(c, id);

	json_decref(v);
	return !v;
}

static void add_wait_del(void **state)
{
	struct ctl c, ev;
	json_t *v, *nic;
	char mac[24];

	ctl_open(&c, *state);
	guest_lab_up(&c);
	ctl_open(&ev, *state);
	json_decref(ctl_ok(&ev, "events-subscribe", NULL));
	v = ctl_ok(&c, "nic-add", waiting(nic_args("a", NULL)));
	nic = json_object_get(v, "nic");
	assert_str(nic, "id", "a/eth1");
	assert_str(nic, "vm", "a");
	assert_str(nic, "network", "blue");
	assert_str(nic, "phase", "present");
	assert_str(nic, "receive", "vf");
	assert_str(json_object_get(nic, "synthetic"), "state", "driven");
	assert_true(json_array_size(json_object_get(nic, "addresses")) >= 1);
	snprintf(mac, sizeof(mac), "%s", json_string_value(json_object_get(nic, "mac")));
	assert_non_null(strstr(guest_steps(v), "synthetic-plugged"));
	assert_non_null(strstr(guest_steps(v), "vf-driven"));
	json_decref(v);
	json_decref(ctl_event(&ev, "NIC_ADDED", NULL));
	guest_assert_vf(&c, "a/eth1", "driven");
	/* It works like one of the lab file. */
	json_decref(ctl_ok(&c, "vf-revoke", guest_vnic("a/eth1")));
	json_decref(ctl_ok(&c, "vf-restore", guest_vnic("a/eth1")));
	v = ctl_ok(&c, "nic-del", guest_vnic("a/eth1"));
	assert_non_null(strstr(guest_steps(v), "vf-unplugged synthetic-unplugged"));
	json_decref(v);
	json_decref(ctl_event(&ev, "NIC_REMOVED", NULL));
	ctl_refused(&c, "nic-del", guest_vnic("a/eth1"), "NotFound", "'a/eth1'");
	/* Added again it is the same. */
	v = ctl_ok(&c, "nic-add", nic_args("a", NULL));
	assert_str(json_object_get(v, "nic"), "id", "a/eth1");
	assert_str(json_object_get(v, "nic"), "mac", mac);
	json_decref(v);
	ctl_close(&ev);
	ctl_close(&c);
}

static void one_path_alone(void **state)
{
	struct ctl c;
	json_t *v;

	ctl_open(&c, *state);
	guest_lab_up(&c);
	v = ctl_ok(&c, "nic-add", waiting(guest_with(nic_args("a", "syn0"), "vf", json_false())));
	assert_true(json_is_null(json_object_get(json_object_get(v, "nic"), "vf")));
	assert_str(json_object_get(v, "nic"), "receive", "synthetic");
	json_decref(v);
	v = ctl_ok(&c, "nic-add",
		   waiting(guest_with(nic_args("a", "fast0"), "synthetic", json_string("none"))));
	assert_true(json_is_null(json_object_get(json_object_get(v, "nic"), "synthetic")));
	assert_str(json_object_get(v, "nic"), "receive", "vf");
	json_decref(v);
	ctl_refused(&c, "nic-add",
		    guest_with(guest_with(nic_args("a", "x"), "vf", json_false()), "synthetic",
			       json_string("none")),
		    "InvalidArgument", "VM a");
	json_decref(ctl_ok(&c, "nic-del", guest_vnic("a/syn0")));
	json_decref(ctl_ok(&c, "nic-del", guest_vnic("a/fast0")));
	assert_int_equal(n_nics(&c, "a"), 1);
	ctl_close(&c);
}

/* Milliseconds of a step of an answer; it must be there. */
static double ms_of(const json_t *answer, const char *name)
{
	json_t *step;
	size_t i;

	json_array_foreach (json_object_get(answer, "steps"), i, step)
		if (!strcmp(json_string_value(json_object_get(step, "step")), name))
			return json_number_value(json_object_get(step, "ms"));
	fail_msg("no step %s in %s", name, guest_steps(answer));
	return 0;
}

static void paths_arrive_in_the_order_asked_for(void **state)
{
	static const char *const orders[] = {NULL, "synthetic-first", "vf-first", "together"};
	struct ctl c;

	ctl_open(&c, *state);
	guest_lab_up(&c);
	for (unsigned int i = 0; i < 4; i++) {
		json_t *args = waiting(nic_args("a", "x")), *v;
		double syn, vf, gap = i == 3 ? 0 : 300;

		if (orders[i])
			guest_with(args, "order", json_string(orders[i]));
		if (gap > 0)
			guest_with(args, "order_gap_ms", json_integer((json_int_t)gap));
		v = ctl_ok(&c, "nic-add", args);
		syn = ms_of(v, "synthetic-plugged");
		vf = ms_of(v, "vf-plugged");
		if (i < 2)
			assert_true(vf - syn >= gap);
		else if (i == 2)
			assert_true(syn - vf >= gap);
		assert_str(json_object_get(v, "nic"), "receive", "vf");
		json_decref(v);
		guest_assert_vf(&c, "a/x", "driven");
		json_decref(ctl_ok(&c, "nic-del", guest_vnic("a/x")));
	}
	ctl_refused(&c, "nic-add",
		    guest_with(guest_with(nic_args("a", "x"), "vf", json_false()), "order",
			       json_string("vf-first")),
		    "InvalidArgument", "comes with one path");
	ctl_refused(&c, "nic-add", guest_with(nic_args("a", "x"), "order", json_string("first")),
		    "InvalidArgument", "order");
	ctl_refused(&c, "nic-add",
		    guest_with(guest_with(nic_args("a", "x"), "order", json_string("together")),
			       "order_gap_ms", json_integer(1)),
		    "InvalidArgument", "no gap");
	assert_int_equal(n_nics(&c, "a"), 1);
	ctl_close(&c);
}

static void send_req(struct ctl *c, const char *command, json_t *args, int id)
{
	json_t *msg = json_pack("{s:s, s:o, s:i}", "execute", command, "arguments", args, "id", id);
	char *text = json_dumps(msg, JSON_COMPACT);

	ctl_send(c, text);
	ctl_send(c, "\n");
	free(text);
	json_decref(msg);
}

/* So many at once, answered in any order; counts those that came about. */
static unsigned int take_answers(struct ctl *c, unsigned int n)
{
	unsigned int good = 0;

	for (unsigned int i = 0; i < n; i++) {
		json_t *v = ctl_next(c);

		assert_non_null(v);
		good += json_object_get(v, "return") != NULL;
		json_decref(v);
	}
	return good;
}

static void seven_at_once_and_gone_in_any_order(void **state)
{
	static const unsigned int order[] = {4, 1, 7, 2, 6, 3, 5};
	struct ctl c, many;
	char id[16];

	ctl_open(&c, *state);
	ctl_open(&many, *state);
	guest_lab_up(&c);
	for (int i = 0; i < 7; i++)
		send_req(&many, "nic-add", waiting(nic_args("a", NULL)), i);
	assert_int_equal(take_answers(&many, 7), 7);
	assert_int_equal(n_nics(&c, "a"), 8);
	for (unsigned int i = 1; i <= 7; i++) {
		snprintf(id, sizeof(id), "a/eth%u", i);
		guest_assert_vf(&c, id, "driven");
	}
	for (unsigned int i = 0; i < 3; i++) {
		snprintf(id, sizeof(id), "a/eth%u", order[i]);
		json_decref(ctl_ok(&c, "nic-del", guest_vnic(id)));
	}
	for (unsigned int i = 3; i < 7; i++) {
		snprintf(id, sizeof(id), "a/eth%u", order[i]);
		send_req(&many, "nic-del", guest_vnic(id), (int)i);
	}
	assert_int_equal(take_answers(&many, 4), 4);
	assert_int_equal(n_nics(&c, "a"), 1);
	guest_assert_vf(&c, "a/eth0", "driven");
	ctl_close(&many);
	ctl_close(&c);
}

static void wrong_requests_change_nothing(void **state)
{
	struct ctl c;

	ctl_open(&c, *state);
	ctl_refused(&c, "nic-add", nic_args("a", NULL), "InvalidState", "no lab is up");
	ctl_refused(&c, "nic-list", NULL, "InvalidState", "no lab is up");
	guest_lab_up(&c);
	ctl_refused(&c, "nic-add", nic_args("z", NULL), "NotFound", "'z'");
	ctl_refused(&c, "nic-add", json_pack("{s:s, s:s}", "vm", "a", "network", "green"),
		    "NotFound", "green");
	ctl_refused(&c, "nic-add", json_pack("{s:s}", "vm", "a"), "InvalidArgument", "which one");
	ctl_refused(&c, "nic-add", nic_args("a", "eth0"), "InvalidArgument", "eth0");
	ctl_refused(&c, "nic-add", nic_args("a", "no spaces"), "InvalidArgument", "VM a");
	ctl_refused(&c, "nic-add", nic_args("a", "longer-than-an-interface"), "InvalidArgument",
		    "'name'");
	ctl_refused(&c, "nic-add",
		    guest_with(nic_args("a", NULL), "mac", json_string("01:00:00:00:00:01")),
		    "InvalidArgument", "VM a");
	ctl_refused(&c, "nic-add", guest_with(nic_args("a", NULL), "mtu", json_integer(9000)),
		    "InvalidArgument", "VM a");
	ctl_refused(&c, "nic-add", guest_with(nic_args("a", NULL), "weight", json_integer(101)),
		    "InvalidArgument", "'weight'");
	ctl_refused(&c, "nic-set", guest_vnic("a/eth0"), "InvalidArgument", "nothing to set");
	ctl_refused(&c, "nic-set",
		    json_pack("{s:s, s:i, s:b}", "vnic", "a/eth0", "weight", 1, "vf", 1),
		    "InvalidArgument", "same thing");
	ctl_refused(&c, "nic-set", json_pack("{s:s, s:i}", "vnic", "b/eth1", "weight", 1),
		    "InvalidArgument", "b/eth1");
	assert_int_equal(n_nics(&c, "a"), 1);
	assert_int_equal(n_nics(&c, "b"), 3);
	ctl_close(&c);
}

static void slots_run_out(void **state)
{
	struct ctl c;

	ctl_open(&c, *state);
	guest_lab_up(&c);
	json_decref(ctl_ok(&c, "nic-add", nic_args("b", NULL))); /* the one spare */
	ctl_refused(&c, "nic-add", nic_args("b", NULL), "InvalidState", "no slot left");
	json_decref(ctl_ok(&c, "nic-del", guest_vnic("b/eth1")));
	json_decref(ctl_ok(&c, "nic-add", waiting(nic_args("b", NULL))));
	assert_int_equal(n_nics(&c, "b"), 4);
	ctl_close(&c);
}

static void what_qemu_refuses_is_undone(void **state)
{
	struct ctl c;

	ctl_open(&c, *state);
	guest_lab_up(&c);
	guest_behave(&c, "a", "add-refuse", NULL);
	ctl_refused(&c, "nic-add", waiting(nic_args("a", NULL)), "GenericError",
		    "Bus 'rv9' not found");
	assert_true(wait_until(is_gone(&c, "a/eth1"), WAIT_MS));
	guest_behave(&c, "a", "good", NULL);
	json_decref(ctl_ok(&c, "nic-add", waiting(nic_args("a", NULL))));
	guest_assert_vf(&c, "a/eth1", "driven");
	ctl_close(&c);
}

static void a_timeout_says_what_is_missing(void **state)
{
	json_t *args = guest_with(waiting(nic_args("a", NULL)), "timeout_ms", json_integer(500));
	json_t *v, *e, *missing;
	struct ctl c;

	ctl_open(&c, *state);
	guest_lab_up(&c);
	guest_behave(&c, "a", "no-drive", NULL);
	v = ctl_call(&c, "nic-add", args);
	e = json_object_get(v, "error");
	assert_str(e, "class", "Timeout");
	assert_str(e, "vnic", "a/eth1");
	missing = json_object_get(e, "missing");
	assert_int_equal(json_array_size(missing), 1);
	assert_string_equal(json_string_value(json_array_get(missing, 0)), "vf");
	assert_non_null(strstr(json_string_value(json_object_get(e, "hint")), "is mana loaded"));
	assert_non_null(strstr(guest_steps(e), "vf-plugged"));
	json_decref(v);
	/* It stays, and works when the guest takes it. */
	guest_behave(&c, "a", "up", "1");
	guest_wait_vf(&c, "a/eth1", "driven", false);
	json_decref(ctl_ok(&c, "nic-del", guest_vnic("a/eth1")));
	ctl_close(&c);
}

static void a_guest_that_keeps_a_device_keeps_no_traffic(void **state)
{
	json_t *args = guest_with(guest_vnic("a/eth1"), "timeout_ms", json_integer(300)), *v;
	struct ctl c;

	ctl_open(&c, *state);
	guest_lab_up(&c);
	json_decref(ctl_ok(&c, "nic-add", waiting(nic_args("a", NULL))));
	guest_behave(&c, "a", "del-keep", NULL);
	ctl_refused(&c, "nic-del", args, "Timeout", "removing the NIC");
	v = guest_nic(&c, "a/eth1");
	assert_str(v, "phase", "removing");
	assert_str(v, "receive", "none");
	json_decref(v);
	ctl_refused(&c, "vf-revoke", guest_vnic("a/eth1"), "InvalidState", "being removed");
	guest_behave(&c, "a", "good", NULL);
	assert_true(wait_until(is_gone(&c, "a/eth1"), WAIT_MS));
	json_decref(ctl_ok(&c, "nic-add", waiting(nic_args("a", NULL))));
	ctl_close(&c);
}

static void weight_takes_the_vf_and_gives_it(void **state)
{
	struct ctl c;
	json_t *v;

	ctl_open(&c, *state);
	guest_lab_up(&c);
	v = ctl_ok(&c, "nic-set", json_pack("{s:s, s:i}", "vnic", "a/eth0", "weight", 0));
	assert_int_equal(json_integer_value(json_object_get(json_object_get(v, "nic"), "weight")),
			 0);
	json_decref(v);
	guest_assert_vf(&c, "a/eth0", "revoked");
	ctl_refused(&c, "vf-restore", guest_vnic("a/eth0"), "InvalidState", "its weight is 0");
	json_decref(ctl_ok(&c, "nic-set", json_pack("{s:s, s:b}", "vnic", "a/eth0", "vf", 1)));
	guest_assert_vf(&c, "a/eth0", "driven");
	v = ctl_ok(&c, "nic-set",
		   json_pack("{s:s, s:s, s:i, s:b}", "vnic", "a/eth0", "moderation", "low",
			     "queues", 2, "link", 0));
	assert_str(json_object_get(v, "nic"), "moderation", "low");
	assert_true(json_is_false(json_object_get(json_object_get(v, "nic"), "link")));
	json_decref(v);
	/* Without one from the start. */
	v = ctl_ok(&c, "nic-add",
		   waiting(guest_with(nic_args("a", NULL), "weight", json_integer(0))));
	assert_str(json_object_get(v, "nic"), "receive", "synthetic");
	json_decref(v);
	json_decref(
		ctl_ok(&c, "nic-set", json_pack("{s:s, s:i}", "vnic", "a/eth1", "weight", 100)));
	guest_wait_vf(&c, "a/eth1", "driven", false);
	ctl_close(&c);
}

static void port_features_are_set_at_once_and_told(void **state)
{
	struct ctl c;
	json_t *v, *nic;

	ctl_open(&c, *state);
	guest_lab_up(&c);
	nic = guest_nic(&c, "a/eth0");
	assert_str(nic, "vlan", "none");
	assert_true(json_is_true(json_object_get(nic, "mac_spoofing")));
	json_decref(nic);
	v = ctl_ok(&c, "nic-set",
		   json_pack("{s:s, s:s, s:b, s:b, s:i}", "vnic", "a/eth0", "vlan", "10",
			     "mac_spoofing", 0, "dhcp_guard", 1, "storm_pps", 50));
	assert_str(json_object_get(v, "nic"), "vlan", "access 10");
	json_decref(v);
	/* What is not named stays. */
	json_decref(ctl_ok(&c, "nic-set",
			   json_pack("{s:s, s:s}", "vnic", "a/eth0", "mirror", "source")));
	nic = guest_nic(&c, "a/eth0");
	assert_str(nic, "vlan", "access 10");
	assert_str(nic, "mirror", "source");
	assert_true(json_is_false(json_object_get(nic, "mac_spoofing")));
	assert_true(json_is_true(json_object_get(nic, "dhcp_guard")));
	assert_true(json_is_false(json_object_get(nic, "router_guard")));
	assert_int_equal(json_integer_value(json_object_get(nic, "storm_pps")), 50);
	json_decref(nic);
	ctl_refused(&c, "nic-set", json_pack("{s:s, s:s}", "vnic", "a/eth0", "vlan", "acces 1"),
		    "InvalidArgument", "\"acces\" is no VLAN setting");
	ctl_refused(&c, "nic-set", json_pack("{s:s, s:s}", "vnic", "a/eth0", "mirror", "both"),
		    "InvalidArgument", "mirror");
	ctl_refused(&c, "nic-add", json_pack("{s:s, s:s}", "vm", "a", "vlan", "trunk"),
		    "InvalidArgument", "a list of VLAN ids");
	v = ctl_ok(&c, "nic-add",
		   guest_with(nic_args("a", NULL), "vlan", json_string("untagged")));
	assert_str(json_object_get(v, "nic"), "vlan", "untagged");
	json_decref(v);
	ctl_close(&c);
}

static uint64_t port_figure(struct ctl *c, const char *vnic, const char *name)
{
	json_t *v = ctl_ok(c, "stats", json_pack("{s:s}", "vnic", vnic));
	json_t *port = json_object_get(json_array_get(json_object_get(v, "vnics"), 0), "port");
	json_t *n = json_object_get(port, name);
	uint64_t value = (uint64_t)json_integer_value(n);

	assert_true(json_is_integer(n));
	json_decref(v);
	return value;
}

static void bandwidth_is_set_at_once(void **state)
{
	struct ctl c;
	json_t *v, *nic;

	ctl_open(&c, *state);
	guest_lab_up(&c);
	v = ctl_ok(&c, "nic-set",
		   json_pack("{s:s, s:i}", "vnic", "a/eth0", "max_mbps", 100));
	nic = json_object_get(v, "nic");
	assert_int_equal(json_integer_value(json_object_get(nic, "max_mbps")), 100);
	assert_int_equal(json_integer_value(json_object_get(nic, "min_mbps")), 0);
	json_decref(v);
	assert_int_equal(port_figure(&c, "a/eth0", "tx_delayed"), 0);
	assert_int_equal(port_figure(&c, "a/eth0", "tx_delayed_ns"), 0);
	/* Its networks have nothing to divide. */
	ctl_refused(&c, "nic-set", json_pack("{s:s, s:i}", "vnic", "a/eth0", "min_mbps", 10),
		    "InvalidArgument", "network blue has no bandwidth");
	ctl_refused(&c, "nic-add", json_pack("{s:s, s:s, s:i}", "vm", "a", "network", "blue",
					     "min_weight", 3),
		    "InvalidArgument", "give the network mbps");
	ctl_refused(&c, "nic-set", json_pack("{s:s, s:i}", "vnic", "a/eth0", "min_weight", 101),
		    "InvalidArgument", "min_weight");
	v = ctl_ok(&c, "nic-add",
		   guest_with(nic_args("a", NULL), "max_mbps", json_integer(7)));
	nic = json_object_get(v, "nic");
	assert_int_equal(json_integer_value(json_object_get(nic, "max_mbps")), 7);
	json_decref(v);
	ctl_close(&c);
}

static void a_vm_that_is_down_gets_its_nics_at_the_next_start(void **state)
{
	struct ctl c;

	ctl_open(&c, *state);
	guest_lab_up(&c);
	json_decref(ctl_ok(&c, "nic-add", waiting(nic_args("a", NULL))));
	json_decref(ctl_ok(&c, "vm-kill", json_pack("{s:s}", "vm", "a")));
	json_decref(ctl_ok(&c, "nic-add", nic_args("a", NULL)));
	json_decref(ctl_ok(&c, "nic-del", guest_vnic("a/eth1")));
	json_decref(ctl_ok(&c, "vm-start", json_pack("{s:s}", "vm", "a")));
	guest_wait_vf(&c, "a/eth0", "driven", false);
	guest_wait_vf(&c, "a/eth2", "driven", false);
	assert_int_equal(n_nics(&c, "a"), 2);
	ctl_close(&c);
}

static void a_vm_killed_while_nics_come_and_go(void **state)
{
	struct ctl c, other;
	json_t *v;

	ctl_open(&c, *state);
	ctl_open(&other, *state);
	guest_lab_up(&c);
	json_decref(ctl_ok(&c, "nic-add", waiting(nic_args("a", NULL))));
	guest_behave(&c, "a", "del-keep", NULL);
	guest_behave(&c, "a", "no-drive", NULL);
	send_req(&other, "nic-del", guest_vnic("a/eth1"), 1);
	send_req(&other, "nic-add", waiting(nic_args("a", "eth5")), 2);
	assert_true(wait_until(!is_gone(&c, "a/eth5"), WAIT_MS));
	json_decref(ctl_ok(&c, "vm-kill", json_pack("{s:s}", "vm", "a")));
	for (unsigned int i = 0; i < 2; i++) {
		v = ctl_next(&other);
		assert_non_null(v);
		if (json_integer_value(json_object_get(v, "id")) == 1)
			assert_non_null(json_object_get(v, "return")); /* it is gone: as asked */
		else if (strcmp(json_string_value(
					json_object_get(json_object_get(v, "error"), "class")),
				"GuestDead"))
			fail_msg("%s", json_string_value(json_object_get(
					       json_object_get(v, "error"), "desc")));
		json_decref(v);
	}
	json_decref(ctl_ok(&c, "vm-start", json_pack("{s:s}", "vm", "a")));
	guest_wait_vf(&c, "a/eth5", "driven", false);
	assert_true(is_gone(&c, "a/eth1"));
	ctl_close(&other);
	ctl_close(&c);
}

static void the_lab_may_go_down_while_nics_come_and_go(void **state)
{
	struct ctl c, other;
	json_t *v;

	ctl_open(&c, *state);
	ctl_open(&other, *state);
	guest_lab_up(&c);
	guest_behave(&c, "a", "del-keep", NULL);
	guest_behave(&c, "a", "no-drive", NULL);
	send_req(&other, "nic-add", waiting(nic_args("a", "eth5")), 1);
	send_req(&other, "nic-del", guest_vnic("a/eth0"), 2);
	assert_true(wait_until(!is_gone(&c, "a/eth5"), WAIT_MS));
	json_decref(ctl_ok(&c, "lab-down", NULL));
	for (unsigned int i = 0; i < 2; i++) {
		v = ctl_next(&other);
		assert_non_null(v);
		json_decref(v);
	}
	guest_lab_up(&c);
	assert_int_equal(n_nics(&c, "a"), 1);
	ctl_close(&other);
	ctl_close(&c);
}

#define T(f) cmocka_unit_test_setup_teardown(f, hvlabd_setup, hvlabd_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(add_wait_del),
		T(one_path_alone),
		T(paths_arrive_in_the_order_asked_for),
		T(seven_at_once_and_gone_in_any_order),
		T(wrong_requests_change_nothing),
		T(slots_run_out),
		T(what_qemu_refuses_is_undone),
		T(a_timeout_says_what_is_missing),
		T(a_guest_that_keeps_a_device_keeps_no_traffic),
		T(weight_takes_the_vf_and_gives_it),
		T(port_features_are_set_at_once_and_told),
		T(bandwidth_is_set_at_once),
		T(a_vm_that_is_down_gets_its_nics_at_the_next_start),
		T(a_vm_killed_while_nics_come_and_go),
		T(the_lab_may_go_down_while_nics_come_and_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
