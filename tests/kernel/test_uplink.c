/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Uplinks of a lab's networks as the daemon has them, against the running kernel: a TAP of this
 * host's, and an interface that goes down, away and comes back. Needs a network namespace of its
 * own.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/util.h"
#include "host/uplink.h"
#include "tests/lib/wait.h"
#include "veth.h"
#include "vsw_fixture.h"

#define FAR	   7
#define GUEST	   9
#define EVENTS_MAX 32

struct rig {
	struct lab *lab;
	struct vsw *vsw;
	struct vsw_net *net;
	struct worker *worker;
	struct event_base *base;
	struct test_port guest;
	struct uplink *up;
	char why[300];
	char events[EVENTS_MAX][400]; /* "previous state reason|warning" */
	unsigned int n_events;
};

static struct frame f;

static void on_event(void *arg, const char *name, json_t *data)
{
	struct rig *r = arg;
	const char *reason = json_string_value(json_object_get(data, "reason"));
	const char *warning = json_string_value(json_object_get(data, "warning"));

	assert_string_equal(name, "UPLINK_STATE");
	assert_string_equal(json_string_value(json_object_get(data, "network")), "n");
	if (r->n_events < EVENTS_MAX)
		snprintf(r->events[r->n_events++], sizeof(r->events[0]), "%s %s %s|%s",
			 json_string_value(json_object_get(data, "previous")),
			 json_string_value(json_object_get(data, "state")), reason ? reason : "",
			 warning ? warning : "");
	json_decref(data);
}

/* The uplink as the lab file's network has it. NULL: r->why. */
static struct uplink *start(struct rig *r, const char *keys)
{
	struct lab_errors errs = {0};
	struct uplink_conf uc;
	char text[400];

	snprintf(text, sizeof(text), "name: t\nnetworks: [{name: n, %s}]\nvms: [{name: a}]\n",
		 keys);
	lab_free(r->lab);
	assert_int_equal(lab_load_text("t.yaml", text, strlen(text), &r->lab, &errs), 0);
	lab_errors_free(&errs);
	uc = (struct uplink_conf){.lab = r->lab,
				  .net = &r->lab->nets[0],
				  .base = r->base,
				  .port_net = r->net,
				  .worker = r->worker,
				  .event = on_event,
				  .arg = r};
	r->up = uplink_start(&uc, r->why, sizeof(r->why));
	return r->up;
}

static int setup(void **state)
{
	struct vsw_net_conf nc = {.name = "n", .mtu = 1500};
	struct worker_conf wc = {.name = "w0"};
	struct rig *r = calloc(1, sizeof(*r));

	*state = r;
	test_thread_register();
	r->base = event_base_new();
	r->worker = worker_new(&wc);
	r->vsw = vsw_new();
	r->net = vsw_net_add(r->vsw, &nc);
	test_port_init(&r->guest, GUEST);
	assert_int_equal(vsw_port_attach(r->net, &r->guest.port), 0);
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	uplink_stop(r->up);
	vsw_port_detach(&r->guest.port);
	test_port_clear(&r->guest);
	assert_int_equal(vsw_net_del(r->net), 0);
	vsw_free(r->vsw);
	worker_free(r->worker);
	event_base_free(r->base);
	lab_free(r->lab);
	free(r);
	veth_delete();
	test_thread_unregister();
	return 0;
}

static void run(struct rig *r)
{
	event_base_loop(r->base, EVLOOP_NONBLOCK);
}

static bool becomes(struct rig *r, enum uplink_state s)
{
	return wait_until((run(r), uplink_state(r->up) == s), WAIT_MS);
}

static bool heard(struct rig *r, const char *event)
{
	for (unsigned int i = 0; i < r->n_events; i++)
		if (strstr(r->events[i], event))
			return true;
	return false;
}

static unsigned int arrived(struct rig *r)
{
	unsigned int n;

	pthread_mutex_lock(&r->guest.lock);
	n = r->guest.n;
	pthread_mutex_unlock(&r->guest.lock);
	return n;
}

static void guest_sends(struct rig *r, struct frame *frame)
{
	static struct pkt pkt;
	struct pkt *p = &pkt;

	pkt_of_frame(p, frame, 0);
	p->flags |= PKT_NO_WAIT;
	assert_int_equal(vsw_send(&r->guest.port, &p, 1), 1);
}

static json_t *of_json(struct rig *r, const char *key)
{
	static json_t *o;

	json_decref(o);
	o = uplink_json(r->up);
	return json_object_get(o, key);
}

/* ---- external ---- */

static bool passes_both_ways(struct rig *r)
{
	static struct veth_seen seen;
	unsigned int n = arrived(r);
	int far = veth_far();
	bool ok;

	frame_udp(&f, FAR, GUEST, 50);
	ok = wait_until((veth_send(far, &f, NULL), run(r), arrived(r) > n), WAIT_MS);
	frame_udp(&f, GUEST, FAR, 60);
	guest_sends(r, &f);
	ok = ok && veth_next(far, &seen, WAIT_MS) && seen.f.len == f.len;
	close(far);
	test_port_clear(&r->guest);
	return ok;
}

static void test_external(void **state)
{
	struct rig *r = *state;
	json_t *stats;

	veth_make();
	assert_non_null(start(r, "uplink: {interface: " VETH_NEAR "}"));
	assert_int_equal(uplink_state(r->up), UPLINK_UP);
	assert_true(passes_both_ways(r));
	assert_int_equal(r->n_events, 0);
	assert_string_equal(json_string_value(of_json(r, "kind")), "packet");
	assert_int_equal(json_integer_value(of_json(r, "mtu")), 1500);
	stats = uplink_stats_json(r->up);
	assert_true(json_integer_value(
			    json_object_get(json_object_get(stats, "port"), "tx_packets")) > 0);
	assert_int_equal(json_integer_value(json_object_get(stats, "kernel_drops")), 0);
	json_decref(stats);
}

static void test_external_down_and_up(void **state)
{
	struct rig *r = *state;

	veth_make();
	start(r, "uplink: {interface: " VETH_NEAR "}");
	veth_flags(VETH_NEAR, false);
	assert_true(becomes(r, UPLINK_DOWN));
	assert_true(heard(r, "up down " VETH_NEAR " is down: ip link set dev " VETH_NEAR " up|"));
	/* What the guest sends finds nobody, and says why. */
	frame_udp(&f, GUEST, FAR, 60);
	guest_sends(r, &f);
	assert_int_equal(atomic_load(&r->guest.port.stats.tx_drops[VSW_DROP_NO_PORT]) +
				 atomic_load(&r->guest.port.stats.tx_drops[VSW_DROP_LINK_DOWN]),
			 1);
	veth_flags(VETH_NEAR, true);
	assert_true(becomes(r, UPLINK_UP));
	assert_true(passes_both_ways(r));
	/* The other end. */
	veth_flags(VETH_FAR, false);
	assert_true(becomes(r, UPLINK_DOWN));
	assert_true(heard(r, VETH_NEAR " has no carrier"));
	veth_flags(VETH_FAR, true);
	assert_true(becomes(r, UPLINK_UP));
}

static void test_external_gone_and_back(void **state)
{
	struct rig *r = *state;

	veth_make();
	start(r, "uplink: {interface: " VETH_NEAR "}");
	veth_delete();
	assert_true(becomes(r, UPLINK_GONE));
	assert_true(heard(r, "gone there is no interface " VETH_NEAR " any more|"));
	assert_null(uplink_port(r->up));
	assert_true(json_is_null(of_json(r, "mtu")));
	veth_make();
	assert_true(becomes(r, UPLINK_UP));
	assert_true(passes_both_ways(r));
	/* Another name is another interface. */
	veth_flags(VETH_NEAR, false);
	assert_int_equal(system("ip link set dev " VETH_NEAR " name hvp9"), 0);
	assert_true(becomes(r, UPLINK_GONE));
	assert_int_equal(system("ip link set dev hvp9 name " VETH_NEAR), 0);
	assert_true(becomes(r, UPLINK_DOWN));
	veth_flags(VETH_NEAR, true);
	assert_true(becomes(r, UPLINK_UP));
	assert_true(passes_both_ways(r));
}

static void test_external_warnings(void **state)
{
	struct rig *r = *state;

	veth_make();
	start(r, "uplink: {interface: " VETH_NEAR "}");
	veth_mtu(VETH_NEAR, 1400);
	assert_true(wait_until((run(r), r->n_events == 1), WAIT_MS));
	assert_true(
		heard(r, "up up |the MTU of " VETH_NEAR " is 1400 and that of network n is 1500"));
	frame_udp(&f, GUEST, FAR, 1440);
	guest_sends(r, &f);
	assert_int_equal(atomic_load(&uplink_port(r->up)->stats.drops[VSW_DROP_TOO_BIG]), 1);
	veth_mtu(VETH_NEAR, 1500);
	assert_true(wait_until((run(r), r->n_events == 2), WAIT_MS));
	assert_true(json_is_null(of_json(r, "warning")));
	if (system("ip link add hvbr0 type bridge")) {
		print_message("this kernel knows no bridges\n");
		return;
	}
	assert_int_equal(system("ip link set dev " VETH_NEAR " master hvbr0"), 0);
	assert_true(wait_until((run(r), heard(r, VETH_NEAR " is a port of hvbr0")), WAIT_MS));
	assert_int_equal(system("ip link del hvbr0"), 0);
}

static void test_external_in_a_namespace(void **state)
{
	struct rig *r = *state;

	if (system("ip netns add hvtest 2>/dev/null"))
		fail_msg("ip netns add: /run/netns cannot be used here");
	veth_make();
	assert_int_equal(system("ip link set dev " VETH_NEAR " netns hvtest && "
				"ip -n hvtest link set dev " VETH_NEAR " up"),
			 0);
	assert_non_null(start(r, "uplink: {interface: " VETH_NEAR ", netns: hvtest}"));
	assert_true(becomes(r, UPLINK_UP));
	assert_true(passes_both_ways(r));
	/* We are where we were. */
	assert_int_not_equal(if_nametoindex(VETH_FAR), 0);
	uplink_stop(r->up);
	r->up = NULL;
	assert_int_equal(system("ip netns del hvtest"), 0);
}

/* ---- internal ---- */

static void test_internal(void **state)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(4000)};
	struct rig *r = *state;
	struct frame_spec s = {.ip = 4, .proto = IPPROTO_UDP, .sport = 9, .dport = 4000};
	char mac[32] = "";
	FILE *file;
	int fd;

	assert_non_null(start(r, "mtu: 1400, uplink: {tap: hvt5, address: 10.0.0.1}"));
	assert_int_equal(uplink_state(r->up), UPLINK_UP);
	assert_int_equal(json_integer_value(of_json(r, "mtu")), 1400);
	/* This host has the address, and says who it is. */
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	inet_pton(AF_INET, "10.0.0.1", &to.sin_addr);
	assert_int_equal(bind(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	file = fopen("/sys/class/net/hvt5/address", "re");
	assert_non_null(file);
	assert_non_null(fgets(mac, sizeof(mac), file));
	fclose(file);
	frame_addr(&s, GUEST, FAR);
	assert_int_equal(sscanf(mac, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx", &s.dst[0], &s.dst[1],
				&s.dst[2], &s.dst[3], &s.dst[4], &s.dst[5]),
			 6);
	assert_int_equal(s.dst[0], 2);
	memcpy(s.saddr, (uint8_t[]){10, 0, 0, 9}, 4);
	memcpy(s.daddr, &to.sin_addr, 4);
	s.payload_len = 100;
	frame_build(&f, &s);
	guest_sends(r, &f);
	{
		struct timeval tv = {.tv_sec = WAIT_MS / 1000};
		char buf[200];

		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
		assert_int_equal(recv(fd, buf, sizeof(buf), 0), 100);
	}
	close(fd);
	/* Gone with the lab. */
	uplink_stop(r->up);
	r->up = NULL;
	assert_int_equal(if_nametoindex("hvt5"), 0);
}

static void test_internal_is_made_again(void **state)
{
	struct rig *r = *state;

	start(r, "uplink: {tap: hvt5}");
	assert_int_equal(system("ip link del hvt5"), 0);
	assert_true(becomes(r, UPLINK_GONE));
	assert_true(heard(r, "up gone hvt5 was deleted, renamed or moved by somebody"));
	assert_true(becomes(r, UPLINK_UP));
	assert_int_not_equal(if_nametoindex("hvt5"), 0);
	assert_int_equal(system("ip link set dev hvt5 down"), 0);
	assert_true(becomes(r, UPLINK_DOWN));
	assert_int_equal(system("ip link set dev hvt5 up"), 0);
	assert_true(becomes(r, UPLINK_UP));
}

/* ---- what is said when it cannot be ---- */

static void test_refusals(void **state)
{
	struct rig *r = *state;

	assert_null(start(r, "uplink: {interface: none-such}"));
	assert_int_equal(errno, ENODEV);
	assert_string_equal(r->why, "there is no interface none-such: see ip link");
	assert_null(start(r, "uplink: {interface: lo}"));
	assert_int_equal(errno, EINVAL);
	assert_null(start(r, "uplink: {interface: lo, netns: none-such}"));
	assert_int_equal(errno, ENOENT);
	assert_string_equal(r->why, "there is no network namespace /run/netns/none-such: ip netns "
				    "add makes one");
	veth_make();
	assert_null(start(r, "uplink: {tap: " VETH_NEAR "}"));
	assert_non_null(strstr(r->why, "it is no TAP: choose another tap:"));
	assert_non_null(start(r, "uplink: {tap: hvt5}"));
	{
		struct uplink *first = r->up;

		assert_null(start(r, "uplink: {tap: hvt5}"));
		assert_int_equal(errno, EBUSY);
		assert_non_null(strstr(r->why, "in use by another program"));
		uplink_stop(first);
	}
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	static const struct CMUnitTest tests[] = {
		WITH(test_external),
		WITH(test_external_down_and_up),
		WITH(test_external_gone_and_back),
		WITH(test_external_warnings),
		WITH(test_external_in_a_namespace),
		WITH(test_internal),
		WITH(test_internal_is_made_again),
		WITH(test_refusals),
	};

	if (!veth_namespace())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
