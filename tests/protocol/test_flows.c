/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Claims about connections and drops as a client of the daemon sees them, with a fake QEMU whose
 * guests drive their NICs and send what they are told to (fake_nics.c).
 */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "guest_lab.h"
#include "tests/lib/frame.h"
#include "tests/lib/wait.h"

/* UDP to port 53 may come in, nothing else. */
static const char policy[] =
	"nsgs:\n"
	"  - name: g\n"
	"    rules:\n"
	"      - {name: Dns, priority: 100, direction: inbound, access: allow, protocol: udp,\n"
	"         destination_ports: 53}\n"
	"      - {name: Rest, priority: 200, direction: inbound, access: deny}\n"
	"apply: {nics: {b/eth1: g}}\n";

static void address_of(struct ctl *c, const char *id, uint8_t mac[6], uint8_t ip[4])
{
	json_t *nic = guest_nic(c, id);
	const char *text = json_string_value(json_object_get(nic, "mac"));
	char ip4[20] = "";

	assert_non_null(text);
	assert_int_equal(sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &mac[0], &mac[1], &mac[2],
				&mac[3], &mac[4], &mac[5]),
			 6);
	sscanf(json_string_value(json_array_get(json_object_get(nic, "addresses"), 0)), "%19[^/]",
	       ip4);
	assert_int_equal(inet_pton(AF_INET, ip4, ip), 1);
	json_decref(nic);
}

/* a/eth0 sends a UDP packet to b/eth1 over its synthetic path. */
static void send_udp(struct ctl *c, uint16_t sport, uint16_t dport)
{
	struct frame_spec s = {
		.ip = 4, .proto = IPPROTO_UDP, .sport = sport, .dport = dport, .payload_len = 20};
	static struct frame f;
	char word[512];
	int len;

	address_of(c, "a/eth0", s.src, s.saddr);
	address_of(c, "b/eth1", s.dst, s.daddr);
	frame_build(&f, &s);
	len = snprintf(word, sizeof(word), "0:");
	for (uint32_t i = 0; i < f.len; i++)
		len += snprintf(word + len, sizeof(word) - (size_t)len, "%02x", f.data[i]);
	guest_behave(c, "a", "send", word);
}

static void up(struct ctl *c, struct hvlabd *d)
{
	ctl_open(c, d);
	guest_lab_up(c);
	json_decref(ctl_ok(c, "policy-apply",
			   json_pack("{s:s, s:s}", "content", policy, "file", "p.yaml")));
}

static void down(struct ctl *c)
{
	json_decref(ctl_ok(c, "lab-down", NULL));
	ctl_close(c);
}

static json_int_t count(struct ctl *c, json_t *args)
{
	json_t *v = ctl_ok(c, "query-flows", guest_with(args, "count", json_true()));
	json_int_t n = json_integer_value(json_object_get(v, "count"));

	json_decref(v);
	return n;
}

static const char *str(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static void a_connection_is_told(void **state)
{
	json_t *v, *flows, *f;
	struct ctl c;

	up(&c, *state);
	send_udp(&c, 1000, 53);
	v = ctl_ok(&c, "query-flows", NULL);
	flows = json_object_get(v, "flows");
	assert_int_equal(json_array_size(flows), 1);
	f = json_array_get(flows, 0);
	assert_string_equal(str(f, "vnic"), "b/eth1");
	assert_string_equal(str(f, "proto"), "udp");
	assert_string_equal(str(f, "origin"), "inbound");
	assert_string_equal(str(f, "state"), "new");
	assert_string_equal(str(json_object_get(f, "allowed_by"), "rule"), "Dns");
	assert_int_equal(json_integer_value(json_object_get(f, "local_port")), 53);
	assert_int_equal(json_integer_value(json_object_get(f, "remote_port")), 1000);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(f, "rx"), "packets")),
			 1);
	assert_true(json_is_null(json_object_get(f, "translated")));
	assert_true(json_is_false(json_object_get(v, "more")));
	assert_true(json_is_null(json_object_get(v, "next")));
	json_decref(v);
	down(&c);
}

static void filters_choose(void **state)
{
	struct ctl c;

	up(&c, *state);
	for (uint16_t i = 0; i < 5; i++)
		send_udp(&c, (uint16_t)(1000 + i), 53);
	assert_int_equal(count(&c, json_object()), 5);
	assert_int_equal(count(&c, guest_vnic("b/eth1")), 5);
	assert_int_equal(count(&c, guest_vnic("b/eth0")), 0);
	assert_int_equal(count(&c, json_pack("{s:s}", "proto", "udp")), 5);
	assert_int_equal(count(&c, json_pack("{s:s}", "proto", "17")), 5);
	assert_int_equal(count(&c, json_pack("{s:s}", "proto", "tcp")), 0);
	assert_int_equal(count(&c, json_pack("{s:i}", "remote_port", 1003)), 1);
	assert_int_equal(count(&c, json_pack("{s:i}", "local_port", 53)), 5);
	assert_int_equal(count(&c, json_pack("{s:s}", "remote", "0.0.0.0/0")), 5);
	assert_int_equal(count(&c, json_pack("{s:s}", "remote", "::/0")), 5);
	assert_int_equal(count(&c, json_pack("{s:s}", "remote", "fd00::/8")), 0);
	assert_int_equal(count(&c, json_pack("{s:s}", "local", "192.0.2.0/24")), 0);
	assert_int_equal(count(&c, json_pack("{s:s}", "state", "new")), 5);
	assert_int_equal(count(&c, json_pack("{s:s}", "state", "established")), 0);
	assert_int_equal(count(&c, json_pack("{s:b}", "offloaded", 0)), 5);
	assert_int_equal(count(&c, json_pack("{s:b}", "kept", 1)), 0);
	assert_int_equal(count(&c, json_pack("{s:b}", "stale", 1)), 0);
	ctl_refused(&c, "query-flows", json_pack("{s:s}", "proto", "tcpp"), "InvalidArgument",
		    "tcpp");
	ctl_refused(&c, "query-flows", json_pack("{s:s}", "local", "10.0.0.0/33"),
		    "InvalidArgument", "10.0.0.0/33");
	ctl_refused(&c, "query-flows", json_pack("{s:s}", "remote", "host"), "InvalidArgument",
		    "remote");
	ctl_refused(&c, "query-flows", json_pack("{s:s}", "state", "nope"), "InvalidArgument",
		    "state");
	ctl_refused(&c, "query-flows", guest_vnic("b/eth9"), "NotFound", "b/eth9");
	ctl_refused(&c, "query-flows", json_pack("{s:s}", "from", "x"), "InvalidArgument", "from");
	down(&c);
}

static void pages_follow_each_other(void **state)
{
	json_t *args = json_pack("{s:i}", "limit", 2), *v, *f;
	unsigned int seen = 0, pages = 0;
	struct ctl c;
	bool more;
	size_t i;

	up(&c, *state);
	for (uint16_t k = 0; k < 5; k++)
		send_udp(&c, (uint16_t)(1000 + k), 53);
	do {
		v = ctl_ok(&c, "query-flows", json_copy(args));
		assert_true(json_array_size(json_object_get(v, "flows")) <= 2);
		json_array_foreach (json_object_get(v, "flows"), i, f)
			seen |= 1u
				<< (json_integer_value(json_object_get(f, "remote_port")) - 1000);
		more = json_is_true(json_object_get(v, "more"));
		json_object_set(args, "from", json_object_get(v, "next"));
		json_decref(v);
		assert_true(++pages < 10);
	} while (more);
	assert_int_equal(seen, 0x1f);
	json_decref(args);
	down(&c);
}

static void a_flush_ends_what_is_meant(void **state)
{
	json_t *v, *flows;
	struct ctl c;

	up(&c, *state);
	for (uint16_t i = 0; i < 5; i++)
		send_udp(&c, (uint16_t)(1000 + i), 53);
	v = ctl_ok(&c, "flows-flush", json_pack("{s:i}", "remote_port", 1001));
	assert_int_equal(json_integer_value(json_object_get(v, "cut")), 1);
	json_decref(v);
	assert_int_equal(count(&c, json_object()), 4);
	v = ctl_ok(&c, "flows-flush", NULL);
	assert_int_equal(json_integer_value(json_object_get(v, "cut")), 4);
	json_decref(v);
	assert_int_equal(count(&c, json_object()), 0);
	v = ctl_ok(&c, "stats", guest_vnic("b/eth1"));
	flows = json_object_get(json_array_get(json_object_get(v, "vnics"), 0), "flows");
	assert_int_equal(json_integer_value(json_object_get(flows, "made")), 5);
	assert_int_equal(json_integer_value(json_object_get(flows, "cut")), 5);
	assert_int_equal(json_integer_value(json_object_get(flows, "now")), 0);
	json_decref(v);
	v = guest_nic(&c, "a/eth0");
	assert_true(json_is_null(json_object_get(v, "flows")));
	json_decref(v);
	down(&c);
}

static bool is_empty(struct ctl *c)
{
	return count(c, json_object()) == 0;
}

/* The daemon ticks: nobody's packets are needed for a connection to end. */
static void connections_age(void **state)
{
	static const char quick[] =
		"acls:\n"
		"  - nics: [b/eth1]\n"
		"    rules:\n"
		"      - {name: x, action: allow, direction: inbound, protocol: udp, weight: 10,\n"
		"         stateful: yes, idle_timeout: 1}\n";
	struct ctl c;

	up(&c, *state);
	json_decref(ctl_ok(&c, "policy-apply",
			   json_pack("{s:s, s:s}", "content", quick, "file", "p.yaml")));
	send_udp(&c, 1000, 53);
	assert_int_equal(count(&c, json_object()), 1);
	assert_true(wait_until(is_empty(&c), WAIT_MS));
	down(&c);
}

static void drops_come_to_who_names_them(void **state)
{
	struct ctl c, other;
	json_t *ev, *d, *packet;

	up(&c, *state);
	ctl_open(&other, *state);
	json_decref(ctl_ok(&other, "events-subscribe", NULL));
	json_decref(ctl_ok(&c, "events-subscribe", json_pack("{s:[s]}", "events", "DROP")));
	send_udp(&c, 1000, 54);
	ev = ctl_event(&c, "DROP", NULL);
	d = json_object_get(ev, "data");
	packet = json_object_get(d, "packet");
	assert_string_equal(str(d, "port"), "b/eth1");
	assert_string_equal(str(d, "direction"), "inbound");
	assert_string_equal(str(d, "reason"), "policy");
	assert_string_equal(str(d, "from"), "a/eth0");
	assert_string_equal(str(d, "to"), "b/eth1");
	assert_string_equal(str(json_object_get(d, "denied_by"), "rule"), "Rest");
	assert_string_equal(str(packet, "proto"), "udp");
	assert_int_equal(json_integer_value(json_object_get(packet, "dst_port")), 54);
	assert_int_equal(json_integer_value(json_object_get(packet, "length")), 62);
	assert_int_equal(strlen(str(packet, "bytes")), (62 + 2) / 3 * 4);
	json_decref(ev);
	/* Who wants all events did not ask for this one. */
	json_decref(ctl_ok(&other, "query-version", NULL));
	for (size_t i = 0; i < json_array_size(other.events); i++)
		assert_string_not_equal(str(json_array_get(other.events, i), "event"), "DROP");
	ctl_close(&other);
	down(&c);
}

/* Nothing is left of a follower that died; the next one begins with what happens then. */
static void a_follower_that_dies_is_forgotten(void **state)
{
	struct ctl c, f;
	json_t *ev;

	up(&c, *state);
	ctl_open(&f, *state);
	json_decref(ctl_ok(&f, "events-subscribe", json_pack("{s:[s]}", "events", "DROP")));
	send_udp(&c, 1000, 54);
	ctl_close(&f);
	send_udp(&c, 1000, 55);
	ctl_open(&f, *state);
	json_decref(
		ctl_ok(&f, "events-subscribe", json_pack("{s:[s, s]}", "events", "DROP", "QUIT")));
	do {
		send_udp(&c, 1000, 56);
		ev = ctl_event(&f, "DROP", NULL);
		if (json_integer_value(json_object_get(
			    json_object_get(json_object_get(ev, "data"), "packet"), "dst_port")) ==
		    56)
			break;
		json_decref(ev);
	} while (true);
	json_decref(ev);
	ctl_close(&f);
	down(&c);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, hvlabd_setup, hvlabd_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_connection_is_told),
		TEST(filters_choose),
		TEST(pages_follow_each_other),
		TEST(a_flush_ends_what_is_meant),
		TEST(connections_age),
		TEST(drops_come_to_who_names_them),
		TEST(a_follower_that_dies_is_forgotten),
	};

	return cmocka_run_group_tests_name("flows", tests, NULL, NULL);
}
