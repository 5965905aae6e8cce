/* SPDX-License-Identifier: BSD-2-Clause */
/* Claims about the fabric's model and about a host with an etcd, a good one and a rude one. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/util.h"
#include "host/etcd.h"
#include "host/fabric_internal.h"
#include "tests/lib/fake_etcd.h"
#include "tests/lib/wait.h"

#define MAX_EVENTS 64

struct rig {
	struct event_base *base;
	struct fake_etcd *etcd;
	struct lab *lab;
	struct fabric *f;
	unsigned int changes;
	char events[MAX_EVENTS][96]; /* "FABRIC_STATE synced" */
	unsigned int n_events;
};

static void on_changed(void *arg)
{
	((struct rig *)arg)->changes++;
}

static void on_event(void *arg, const char *name, json_t *data)
{
	const char *host = json_string_value(json_object_get(data, "host"));
	const char *state = json_string_value(json_object_get(data, "state"));
	struct rig *r = arg;

	assert_true(r->n_events < MAX_EVENTS);
	snprintf(r->events[r->n_events++], sizeof(r->events[0]), "%s%s%s%s%s", name,
		 host ? " " : "", host ? host : "", state ? " " : "", state ? state : "");
	json_decref(data);
}

static bool happened(const struct rig *r, const char *event)
{
	for (unsigned int i = 0; i < r->n_events; i++)
		if (!strcmp(r->events[i], event))
			return true;
	return false;
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
}

/* Runs the event loop until @cond holds. */
#define until(r, cond)                                                                             \
	({                                                                                         \
		uint64_t end_ = now_ns() + WAIT_MS * NSEC_PER_MSEC;                                \
		struct timeval tv_ = {.tv_usec = 20000};                                           \
		struct event *tick_ = event_new((r)->base, -1, EV_PERSIST, on_tick, NULL);         \
		event_add(tick_, &tv_);                                                            \
		while (!(cond) && now_ns() < end_)                                                 \
			event_base_loop((r)->base, EVLOOP_ONCE);                                   \
		event_free(tick_);                                                                 \
		(cond);                                                                            \
	})

#define NETS "networks: [{name: o, mode: vxlan}, {name: r, mode: routed, subnet6: none}]\n"
#define VMS                                                                                        \
	"vms: [{name: a, host: h1, nics: [{network: o, mac: '02:00:00:00:00:0a'}]},"               \
	" {name: b, host: h2, nics: [{network: o, mac: '02:00:00:00:00:0b'}, {network: r}]}]\n"
#define HOSTS "hosts: [{name: h1, address: 192.0.2.1}, {name: h2, address: 192.0.2.2}]"
#define B     "\x02\0\0\0\0\x0b"

static void load(struct rig *r, const char *registry)
{
	struct lab_errors errs = {0};
	char text[1024], why[200];

	snprintf(text, sizeof(text), "name: t\nfabric: {" HOSTS "%s}\n" NETS VMS, registry);
	assert_int_equal(lab_load_text("t.yaml", text, strlen(text), &r->lab, &errs), 0);
	assert_int_equal(lab_choose_host(r->lab, "h1", why, sizeof(why)), 0);
	lab_errors_free(&errs);
}

static void make(struct rig *r)
{
	struct fabric_conf conf = {
		.base = r->base, .lab = r->lab, .changed = on_changed, .event = on_event, .arg = r};
	struct fabric_guest a = {
		.net = 0, .mac = "\x02\0\0\0\0\x0a", .vm = "a", .nic = "eth0", .ip4 = "10.0.0.4"};

	r->f = fabric_new(&conf);
	assert_non_null(r->f);
	assert_int_equal(fabric_announce(r->f, &a, 1), 0);
}

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	log_set_level(LOG_ERR);
	r->base = event_base_new();
	r->etcd = fake_etcd_new(r->base);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	fabric_free(r->f);
	lab_free(r->lab);
	fake_etcd_free(r->etcd);
	event_base_free(r->base);
	free(r);
	return 0;
}

static const struct fabric_guest *guest(const struct rig *r, const char *mac)
{
	for (const struct fabric_guest *g = NULL; (g = fabric_next_guest(r->f, g));)
		if (!memcmp(g->mac, mac, 6))
			return g;
	return NULL;
}

static enum fabric_host_state host_state(const struct rig *r, unsigned int h)
{
	unsigned int n;

	return fabric_hosts(r->f, &n)[h].state;
}

/* ---- static ---- */

static void test_static_is_the_file(void **state)
{
	struct rig *r = *state;
	const struct fabric_host *hosts;
	const struct fabric_guest *b;
	char text[ROUTE_PREFIX_TEXT];
	unsigned int n;

	load(r, "");
	make(r);
	assert_int_equal(fabric_state(r->f), FABRIC_STATIC);
	hosts = fabric_hosts(r->f, &n);
	assert_int_equal(n, 2);
	assert_int_equal(hosts[0].state, FABRIC_HOST_HERE);
	assert_int_equal(hosts[1].state, FABRIC_HOST_ASSUMED);
	assert_int_equal(hosts[1].n_guests, 2);
	assert_string_equal(addr_text(hosts[1].addr, text), "192.0.2.2");
	assert_true(hosts[1].parts[1].has[0]);
	assert_false(hosts[1].parts[1].has[1]);
	assert_string_equal(route_prefix_text(&hosts[1].parts[1].prefix[0], text), "10.101.1.0/24");
	b = guest(r, B);
	assert_non_null(b);
	assert_int_equal(b->host, 1);
	assert_string_equal(b->ip4, "10.0.0.5");
	assert_null(guest(r, "\x02\0\0\0\0\x0a"));
	assert_true(until(r, r->changes));
}

/* ---- the model ---- */

static void test_newer_news_win(void **state)
{
	struct rig *r = *state;
	struct fabric_guest g = {.net = 0, .mac = B, .vm = "b", .nic = "eth0", .rev = 7};
	const struct fabric_guest *b;

	load(r, "");
	make(r);
	assert_int_equal(fabric_guest_put(r->f, &g, "h9"), 0);
	b = guest(r, B);
	assert_int_equal(b->host, 2);
	assert_true(happened(r, "FABRIC_MOVED h9"));
	g.rev = 6;
	assert_int_equal(fabric_guest_put(r->f, &g, "h2"), 0);
	assert_int_equal(b->host, 2);
	fabric_guest_del(r->f, 0, g.mac, 6);
	assert_non_null(guest(r, B));
	fabric_guest_del(r->f, 0, g.mac, 8);
	assert_null(guest(r, B));
}

static void test_a_sync_sweeps_after_its_grace(void **state)
{
	struct rig *r = *state;

	load(r, "");
	make(r);
	assert_true(until(r, r->changes));
	fabric_sync_begin(r->f);
	fabric_sync_end(r->f, 30);
	assert_non_null(guest(r, B));
	assert_true(until(r, !guest(r, B)));
	assert_true(until(r, r->changes == 2));
}

/* ---- with an etcd ---- */

#define H2 "/hvlab/t/hosts/h2"
#define GB "/hvlab/t/guests/o/02:00:00:00:00:0b"
#define GA "/hvlab/t/guests/o/02:00:00:00:00:0a"
#define H2_VALUE                                                                                   \
	"{\"address\":\"192.0.2.22\",\"parts\":{\"r\":[\"10.101.7.0/24\"],\"x\":[\"0.0.0.0/0\"]}}"
#define GB_VALUE "{\"host\":\"h2\",\"vm\":\"b\",\"nic\":\"eth0\",\"ip\":\"10.0.0.5\"}"

static void load_etcd(struct rig *r, const char *more)
{
	char text[256];

	snprintf(text, sizeof(text),
		 ", registry: etcd, etcd: {endpoints: ['%s'], lease_seconds: 2%s}",
		 fake_etcd_url(r->etcd), more);
	load(r, text);
}

static void sync_up(struct rig *r)
{
	load_etcd(r, "");
	make(r);
	assert_true(until(r, fabric_state(r->f) == FABRIC_SYNCED));
	/* What was announced at the same time as the watch began is written too. */
	assert_true(until(r, fake_etcd_get(r->etcd, GA)));
}

static void test_it_registers_and_reads(void **state)
{
	struct rig *r = *state;
	const struct fabric_host *hosts;
	char text[ROUTE_PREFIX_TEXT];
	unsigned int n;
	json_t *o;

	fake_etcd_put(r->etcd, H2, H2_VALUE, 7);
	fake_etcd_put(r->etcd, GB, GB_VALUE, 7);
	fake_etcd_put(r->etcd, "/hvlab/t/guests/nowhere/02:00:00:00:00:0c", GB_VALUE, 7);
	load_etcd(r, "");
	make(r);
	assert_int_equal(fabric_state(r->f), FABRIC_CONNECTING);
	assert_int_equal(host_state(r, 1), FABRIC_HOST_UNSEEN);
	assert_null(guest(r, B));
	assert_true(until(r, fabric_state(r->f) == FABRIC_SYNCED));
	assert_true(happened(r, "FABRIC_STATE synced"));
	assert_true(happened(r, "FABRIC_HOST h2 alive"));
	hosts = fabric_hosts(r->f, &n);
	assert_string_equal(addr_text(hosts[1].addr, text), "192.0.2.22");
	assert_string_equal(route_prefix_text(&hosts[1].parts[1].prefix[0], text), "10.101.7.0/24");
	assert_int_equal(guest(r, B)->host, 1);
	assert_string_equal(fake_etcd_get(r->etcd, "/hvlab/t/hosts/h1"),
			    "{\"address\":\"192.0.2.1\",\"parts\":{\"r\":[\"10.101.0.0/24\"]}}");
	assert_true(until(r, fake_etcd_get(r->etcd, GA)));
	assert_string_equal(fake_etcd_get(r->etcd, GA), "{\"host\":\"h1\",\"vm\":\"a\","
							"\"nic\":\"eth0\",\"ip\":\"10.0.0.4\","
							"\"ip6\":\"\"}");
	o = fabric_json(r->f, true);
	assert_int_equal(json_array_size(json_object_get(o, "guests")), 2);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(o, "etcd"), "ignored")),
			 0);
	json_decref(o);
}

static void test_guests_come_move_and_go(void **state)
{
	struct rig *r = *state;

	sync_up(r);
	fake_etcd_put(r->etcd, H2, H2_VALUE, 7);
	fake_etcd_put(r->etcd, GB, GB_VALUE, 7);
	assert_true(until(r, guest(r, B)));
	fake_etcd_put(r->etcd, GB, "{\"host\":\"h3\",\"vm\":\"b\",\"nic\":\"eth0\"}", 8);
	assert_true(until(r, guest(r, B)->host == 2));
	assert_true(happened(r, "FABRIC_MOVED h3"));
	/* The end of the lease that it has left does nothing to it. */
	fake_etcd_expire(r->etcd, 7);
	assert_true(until(r, host_state(r, 1) == FABRIC_HOST_DEAD));
	assert_true(happened(r, "FABRIC_HOST h2 dead"));
	assert_non_null(guest(r, B));
	/* It comes to us: it is nobody else's any more. */
	fake_etcd_put(r->etcd, GB, "{\"host\":\"h1\",\"vm\":\"b\",\"nic\":\"eth0\"}", 9);
	assert_true(until(r, !guest(r, B)));
}

static void test_own_guests_change(void **state)
{
	struct rig *r = *state;
	struct fabric_guest many[100] = {0};

	sync_up(r);
	for (unsigned int i = 0; i < ARRAY_SIZE(many); i++) {
		memcpy(many[i].mac, "\x02\x01\0\0\0\0", 6);
		many[i].mac[5] = (uint8_t)i;
		strcpy(many[i].vm, "a");
		strcpy(many[i].nic, "eth1");
	}
	assert_int_equal(fabric_announce(r->f, many, ARRAY_SIZE(many)), 0);
	assert_true(until(r, !fake_etcd_get(r->etcd, GA) && fake_etcd_keys(r->etcd) == 101));
	/* One that has gone to another host is not ours to delete. */
	fake_etcd_put(r->etcd, "/hvlab/t/guests/o/02:01:00:00:00:05", GB_VALUE, 7);
	assert_int_equal(fabric_announce(r->f, many, 0), 0);
	assert_true(until(r, fake_etcd_keys(r->etcd) == 2));
	assert_non_null(fake_etcd_get(r->etcd, "/hvlab/t/guests/o/02:01:00:00:00:05"));
}

static void test_an_ended_lease_is_made_anew(void **state)
{
	struct rig *r = *state;

	sync_up(r);
	fake_etcd_expire(r->etcd, fake_etcd_lease(r->etcd));
	assert_null(fake_etcd_get(r->etcd, GA));
	assert_true(until(r, fake_etcd_get(r->etcd, GA)));
	assert_int_equal(fabric_state(r->f), FABRIC_SYNCED);
}

static void test_a_lost_etcd_changes_nothing(void **state)
{
	struct rig *r = *state;

	sync_up(r);
	fake_etcd_put(r->etcd, H2, H2_VALUE, 7);
	fake_etcd_put(r->etcd, GB, GB_VALUE, 7);
	assert_true(until(r, guest(r, B)));
	fake_etcd_stop(r->etcd, true);
	assert_true(until(r, fabric_state(r->f) == FABRIC_LOST));
	assert_true(happened(r, "FABRIC_STATE lost"));
	assert_non_null(guest(r, B));
	assert_int_equal(host_state(r, 1), FABRIC_HOST_ALIVE);
	/* It comes back with less than we know: the others have time to come back too. */
	fake_etcd_del(r->etcd, GB);
	fake_etcd_stop(r->etcd, false);
	assert_true(until(r, fabric_state(r->f) == FABRIC_SYNCED));
	assert_non_null(guest(r, B));
}

static void test_an_etcd_made_anew_counts_from_one(void **state)
{
	struct rig *r = *state;

	sync_up(r);
	for (unsigned int i = 0; i < 50; i++)
		fake_etcd_put(r->etcd, GB, GB_VALUE, 7);
	assert_true(until(r, guest(r, B)));
	fake_etcd_stop(r->etcd, true);
	assert_true(until(r, fabric_state(r->f) == FABRIC_LOST));
	fake_etcd_wipe(r->etcd);
	fake_etcd_put(r->etcd, GB, "{\"host\":\"h3\",\"vm\":\"b\",\"nic\":\"eth0\"}", 7);
	fake_etcd_stop(r->etcd, false);
	assert_true(until(r, fabric_state(r->f) == FABRIC_SYNCED));
	assert_int_equal(guest(r, B)->host, 2);
	/* And ours are there again. */
	assert_true(until(r, fake_etcd_get(r->etcd, GA)));
}

static void test_compaction_is_read_again(void **state)
{
	struct rig *r = *state;

	sync_up(r);
	fake_etcd_say(r->etcd, "{\"result\":{\"canceled\":true,\"compact_revision\":\"9\"}}\n");
	assert_true(until(r, fake_etcd_calls(r->etcd, "/v3/kv/range") == 2));
	assert_true(until(r, fake_etcd_calls(r->etcd, "/v3/watch") == 2));
	fake_etcd_put(r->etcd, GB, GB_VALUE, 7);
	assert_true(until(r, guest(r, B)));
	assert_false(happened(r, "FABRIC_STATE lost"));
}

static void test_a_stream_comes_in_any_pieces(void **state)
{
	struct rig *r = *state;

	sync_up(r);
	fake_etcd_say(r->etcd, "{\"result\":{\"header\":{\"revision\":\"90\"},\"events\":[{\"kv\":{"
			       "\"key\":\"L2h2bGFiL3QvaG9zdHMvaDI=\",\"mod_revi");
	assert_int_equal(event_base_loop(r->base, EVLOOP_NONBLOCK), 0);
	fake_etcd_say(r->etcd, "sion\":\"90\",\"value\":\"eyJhZGRyZXNzIjoiMTkyLjAuMi45In0=\"}}]}}\n"
			       "{\"result\":{}}\n");
	assert_true(until(r, host_state(r, 1) == FABRIC_HOST_ALIVE));
}

static void test_leaving_takes_the_keys_along(void **state)
{
	struct rig *r = *state;

	sync_up(r);
	fabric_leave(r->f);
	assert_true(until(r, !fake_etcd_keys(r->etcd)));
	assert_int_equal(fabric_announce(r->f, NULL, 0), 0);
}

static void test_credentials(void **state)
{
	struct rig *r = *state;
	char path[] = "/tmp/hvlab-pw-XXXXXX", more[80];
	int fd = mkstemp(path);

	assert_int_equal(write(fd, "secret\n", 7), 7);
	close(fd);
	snprintf(more, sizeof(more), ", user: u, password_file: %s", path);
	load_etcd(r, more);
	make(r);
	assert_true(until(r, fabric_state(r->f) == FABRIC_SYNCED));
	assert_string_equal(fake_etcd_token(r->etcd), "key.1");
	unlink(path);
}

static void test_another_of_our_name_is_told(void **state)
{
	struct rig *r = *state;
	json_t *o;

	log_set_level(LOG_ERR);
	sync_up(r);
	fake_etcd_put(r->etcd, "/hvlab/t/hosts/h1", H2_VALUE, 7);
	assert_true(until(r, ({
				  o = fabric_json(r->f, false);
				  bool taken = json_is_true(json_object_get(
					  json_object_get(o, "etcd"), "name_taken"));
				  json_decref(o);
				  taken;
			  })));
	assert_int_equal(host_state(r, 0), FABRIC_HOST_HERE);
}

/* ---- rude ones ---- */

#define OK(body)       "HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n" body
#define WHOLE(n, body) "HTTP/1.1 200 OK\r\nContent-Length: " #n "\r\n\r\n" body

static const struct {
	const char *path, *bytes, *why;
} rude[] = {
	{"/v3/lease/grant", "", "ended"},
	{"/v3/lease/grant", "\0\0\0", ""},
	{"/v3/lease/grant", "SSH-2.0-OpenSSH\r\n\r\n", ""},
	{"/v3/lease/grant", "HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\n<b>\n", "500"},
	{"/v3/lease/grant", "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "404"},
	{"/v3/lease/grant",
	 "HTTP/1.1 401 No\r\nContent-Length: 22\r\n\r\n{\"error\":\"who\\u0007?\"}", "who"},
	{"/v3/lease/grant", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", ""},
	{"/v3/lease/grant", "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n{}", ""},
	{"/v3/lease/grant", WHOLE(2, "[]"), "not an object"},
	{"/v3/lease/grant", WHOLE(2, "{]"), "not JSON"},
	{"/v3/lease/grant", WHOLE(0, ""), "not JSON"},
	{"/v3/lease/grant", WHOLE(2, "{}"), "no lease"},
	{"/v3/lease/grant", WHOLE(8, "{\"ID\":5}"), "no lease"},
	{"/v3/lease/grant", WHOLE(11, "{\"ID\":\"-5\"}"), "no lease"},
	{"/v3/lease/grant", WHOLE(31, "{\"ID\":\"99999999999999999999999\"}"), ""},
	{"/v3/lease/grant", WHOLE(24, "{\"error\":{\"message\":\"x\"}}"), ""},
	{"/v3/lease/grant",
	 "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n", ""},
	{"/v3/kv/txn", "HTTP/1.1 400 Bad\r\nContent-Length: 2\r\n\r\n{}", "400"},
	{"/v3/kv/range", WHOLE(2, "{}"), "did not say all"},
	{"/v3/kv/range", WHOLE(27, "{\"header\":{\"revision\":\"x\"}}"), "did not say all"},
	{"/v3/kv/range", WHOLE(40, "{\"more\":true,\"header\":{\"revision\":\"5\"} }"),
	 "did not say all"},
	{"/v3/watch", WHOLE(2, "{}"), "the watch ended"},
	{"/v3/watch", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n[]\n\r\n",
	 "not an object"},
	{"/v3/watch", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	 "the watch ended"},
	{"/v3/watch",
	 "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	 "20\r\n{\"error\":{\"message\":\"go away\"}}\n\r\n",
	 "go away"},
	{"/v3/watch",
	 "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	 "1e\r\n{\"result\":{\"canceled\":true }}\n\r\n",
	 "ended the watch"},
};

static void test_rude_answers_are_errors(void **state)
{
	struct rig *r = *state;

	load_etcd(r, "");
	for (unsigned int i = 0; i < ARRAY_SIZE(rude); i++) {
		const char *reason;
		json_t *o = NULL;

		fake_etcd_answer(r->etcd, rude[i].path, rude[i].bytes, strlen(rude[i].bytes),
				 false);
		r->n_events = 0;
		make(r);
		assert_true(until(r, happened(r, "FABRIC_STATE connecting") ||
					     fabric_state(r->f) == FABRIC_SYNCED));
		o = fabric_json(r->f, false);
		reason = json_string_value(json_object_get(o, "reason"));
		if (!reason || !strstr(reason, rude[i].why))
			fail_msg("%u: %s: %s", i, rude[i].path, reason ? reason : "no reason");
		for (const char *c = reason; *c; c++)
			assert_in_range(*c, 0x20, 0x7e);
		json_decref(o);
		fake_etcd_answer(r->etcd, rude[i].path, NULL, 0, false);
		/* And with manners again it goes on by itself. */
		if (i % 8 == 0)
			assert_true(until(r, fabric_state(r->f) == FABRIC_SYNCED));
		fabric_free(r->f);
		r->f = NULL;
	}
}

static void test_endless_lines_end(void **state)
{
	struct rig *r = *state;
	char *chunk = malloc(65537);

	sync_up(r);
	memset(chunk, 'x', 65536);
	chunk[65536] = '\0';
	for (unsigned int i = 0; i <= ETCD_MAX_LINE / 65536; i++)
		fake_etcd_say(r->etcd, chunk);
	free(chunk);
	assert_true(until(r, fabric_state(r->f) == FABRIC_LOST));
}

static void test_an_answer_too_long_is_not_read(void **state)
{
	struct rig *r = *state;
	size_t size = ETCD_MAX_ANSWER + 4096;
	char *bytes = malloc(size);
	int n = sprintf(bytes, "HTTP/1.1 200 OK\r\n\r\n");

	memset(bytes + n, ' ', size - (size_t)n);
	fake_etcd_answer(r->etcd, "/v3/kv/range", bytes, size, true);
	free(bytes);
	load_etcd(r, "");
	make(r);
	assert_true(until(r, happened(r, "FABRIC_STATE connecting")));
}

static void test_silence_is_a_failure(void **state)
{
	struct rig *r = *state;

	fake_etcd_answer(r->etcd, "/v3/kv/range", "HTTP/1.1 200 OK\r\n", 17, true);
	load_etcd(r, "");
	make(r);
	assert_true(until(r, happened(r, "FABRIC_STATE connecting")));
}

static const struct {
	const char *key, *value;
} nonsense[] = {
	{"/hvlab/t/", "{}"},
	{"/hvlab/t/hosts/", "{}"},
	{"/hvlab/t/hosts/a b", H2_VALUE},
	{"/hvlab/t/hosts/-a", H2_VALUE},
	{"/hvlab/t/hosts/a/b", H2_VALUE},
	{"/hvlab/t/hosts/aaaaaaaaaaaaaaaaaaaaaaaaa", H2_VALUE},
	{"/hvlab/t/other/x", "{}"},
	{H2, ""},
	{H2, "null"},
	{H2, "{\"address\":7}"},
	{H2, "{\"address\":\"h2\"}"},
	{H2, "{\"address\":\"127.0.0.1\"}"},
	{H2, "{\"address\":\"239.1.1.1\"}"},
	{H2, "{\"address\":\"fd00::1\"}"},
	{H2, "{\"address\":\"::ffff:192.0.2.2\"}"},
	{H2, "{\"address\":\"192.0.2.2\",\"address6\":\"10.0.0.1\"}"},
	{H2, "{\"address\":\"192.0.2.2\",\"address6\":7}"},
	{H2, "{\"address\":\"192.0.2.2\",\"parts\":[]}"},
	{H2, "{\"address\":\"192.0.2.2\",\"parts\":{\"r\":{}}}"},
	{H2, "{\"address\":\"192.0.2.2\",\"parts\":{\"r\":[7]}}"},
	{H2, "{\"address\":\"192.0.2.2\",\"parts\":{\"r\":[\"0.0.0.0/0\"]}}"},
	{H2, "{\"address\":\"192.0.2.2\",\"parts\":{\"r\":[\"10.101.0.1/24\"]}}"},
	{H2, "{\"address\":\"192.0.2.2\",\"parts\":{\"r\":[\"10.0.0.0/8\"]}}"},
	{H2, "{\"address\":\"192.0.2.2\",\"parts\":{\"r\":[\"10.101.0.0/33\"]}}"},
	{H2, "{\"address\":\"192.0.2.2\",\"parts\":{\"r\":[\"fd00::/64\"]}}"},
	{H2, "{\"address\":\"192.0.2.2\",\"address\":\"192.0.2.3\"}"},
	{"/hvlab/t/guests/o/", GB_VALUE},
	{"/hvlab/t/guests/o", GB_VALUE},
	{"/hvlab/t/guests/o/03:00:00:00:00:0b", GB_VALUE},
	{"/hvlab/t/guests/o/00:00:00:00:00:00", GB_VALUE},
	{"/hvlab/t/guests/o/02:00:00:00:00:0b:0c", GB_VALUE},
	{GB, "[]"},
	{GB, "{\"host\":\"\",\"vm\":\"b\",\"nic\":\"eth0\"}"},
	{GB, "{\"host\":\"h2\\u0000\",\"vm\":\"b\",\"nic\":\"eth0\"}"},
	{GB, "{\"host\":\"h2\",\"vm\":\"../b\",\"nic\":\"eth0\"}"},
	{GB, "{\"host\":\"h2\",\"vm\":\"b\"}"},
	{GB, "{\"host\":\"h2\",\"vm\":\"b\",\"nic\":\"eth0\",\"ip\":\"x\"}"},
	{GB, "{\"host\":\"h2\",\"vm\":\"b\",\"nic\":\"eth0\",\"ip6\":\"1.2.3.4\"}"},
};

static void test_nonsense_is_passed_over(void **state)
{
	struct rig *r = *state;
	json_t *o;

	sync_up(r);
	for (unsigned int i = 0; i < ARRAY_SIZE(nonsense); i++)
		fake_etcd_put(r->etcd, nonsense[i].key, nonsense[i].value, 7);
	fake_etcd_put(r->etcd, "/hvlab/t/hosts/last", H2_VALUE, 7);
	assert_true(until(r, happened(r, "FABRIC_HOST last alive")));
	o = fabric_json(r->f, true);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(o, "etcd"), "ignored")),
			 ARRAY_SIZE(nonsense));
	assert_int_equal(json_array_size(json_object_get(o, "guests")), 1);
	json_decref(o);
	assert_int_equal(host_state(r, 1), FABRIC_HOST_UNSEEN);
	assert_int_equal(fabric_state(r->f), FABRIC_SYNCED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_static_is_the_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_newer_news_win, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_sync_sweeps_after_its_grace, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_it_registers_and_reads, setup, teardown),
		cmocka_unit_test_setup_teardown(test_guests_come_move_and_go, setup, teardown),
		cmocka_unit_test_setup_teardown(test_own_guests_change, setup, teardown),
		cmocka_unit_test_setup_teardown(test_an_ended_lease_is_made_anew, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_lost_etcd_changes_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_an_etcd_made_anew_counts_from_one, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_compaction_is_read_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_stream_comes_in_any_pieces, setup, teardown),
		cmocka_unit_test_setup_teardown(test_leaving_takes_the_keys_along, setup, teardown),
		cmocka_unit_test_setup_teardown(test_credentials, setup, teardown),
		cmocka_unit_test_setup_teardown(test_another_of_our_name_is_told, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rude_answers_are_errors, setup, teardown),
		cmocka_unit_test_setup_teardown(test_endless_lines_end, setup, teardown),
		cmocka_unit_test_setup_teardown(test_an_answer_too_long_is_not_read, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_silence_is_a_failure, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nonsense_is_passed_over, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
