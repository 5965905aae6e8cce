/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A network's services as a guest meets them: the real dnsmasq in its namespaces behind a TAP
 * port, asked through the switch. Needs dnsmasq, /dev/net/tun and CAP_SYS_ADMIN, or what the first
 * failing test says.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/util.h"
#include "host/netsvc.h"
#include "station.h"
#include "tests/lib/wait.h"

#define NOBODY	   65534
#define BRIEF_MS   1500 /* for an answer that must not come */
#define EVENTS_MAX 64

struct rig {
	char dir[64], svc_dir[80];
	struct lab *lab;
	struct vsw *vsw;
	struct vsw_net *net;
	struct worker *worker;
	struct event_base *base;
	struct netsvc *ns;
	unsigned int retry_ms;
	struct station st;
	char events[EVENTS_MAX][40]; /* "previous state" */
	unsigned int n_events;
};

static const uint8_t stranger[6] = {2, 0, 0, 0, 0x77, 1};

static const char lab_text[] =
	"name: lab1\n"
	"networks: [{name: blue, mtu: 1450}]\n"
	"vms:\n"
	"  - {name: a, nics: [{mac: '02:00:00:00:00:0a'}]}\n"
	"  - {name: b, nics: [{mac: '02:00:00:00:00:0b'}, {mac: '02:00:00:00:01:0b'}]}\n";
static const uint8_t mac_a[6] = {2, 0, 0, 0, 0, 0xa}, mac_b0[6] = {2, 0, 0, 0, 0, 0xb};

static void on_event(void *arg, const char *name, json_t *data)
{
	struct rig *r = arg;

	assert_string_equal(name, "NETSVC_STATE");
	assert_string_equal(json_string_value(json_object_get(data, "network")), "blue");
	if (r->n_events < EVENTS_MAX)
		snprintf(r->events[r->n_events++], sizeof(r->events[0]), "%s %s",
			 json_string_value(json_object_get(data, "previous")),
			 json_string_value(json_object_get(data, "state")));
	json_decref(data);
}

static bool saw(const struct rig *r, const char *event)
{
	for (unsigned int i = 0; i < r->n_events; i++)
		if (!strcmp(r->events[i], event))
			return true;
	return false;
}

static const char *reason(const struct rig *r)
{
	static char text[512];
	json_t *o = netsvc_json(r->ns);
	const char *s = json_string_value(json_object_get(o, "reason"));

	snprintf(text, sizeof(text), "%s", s ? s : "");
	json_decref(o);
	return text;
}

static pid_t service_pid(const struct rig *r)
{
	json_t *o = netsvc_json(r->ns);
	pid_t pid = (pid_t)json_integer_value(json_object_get(o, "pid"));

	json_decref(o);
	return pid;
}

static bool pump_until(struct rig *r, enum netsvc_state state)
{
	return wait_until((station_pump(&r->st), netsvc_state(r->ns) == state), WAIT_MS);
}

static void rig_init(struct rig *r, const char *text)
{
	struct vsw_net_conf nc = {.name = "blue", .mtu = 1450};
	struct worker_conf wc = {.name = "w0"};
	struct lab_errors errs = {0};

	memset(r, 0, sizeof(*r));
	snprintf(r->dir, sizeof(r->dir), "/tmp/hvlab-netsvc.XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	snprintf(r->svc_dir, sizeof(r->svc_dir), "%s/net/blue", r->dir);
	assert_int_equal(lab_load_text("t.yaml", text, strlen(text), &r->lab, &errs), 0);
	lab_errors_free(&errs);
	r->worker = worker_new(&wc);
	assert_non_null(r->worker);
	r->vsw = vsw_new();
	r->net = vsw_net_add(r->vsw, &nc);
	r->base = event_base_new();
	assert_non_null(r->base);
}

static void rig_start(struct rig *r, const char *dnsmasq)
{
	struct netsvc_conf conf = {.dir = r->svc_dir,
				   .lab = r->lab,
				   .base = r->base,
				   .port_net = r->net,
				   .worker = r->worker,
				   .dnsmasq = dnsmasq,
				   .retry_ms = r->retry_ms,
				   .event = on_event,
				   .arg = r};

	r->ns = netsvc_start(&conf);
	assert_non_null(r->ns);
}

/* Another guest's place: the station moves there. */
static void rig_station(struct rig *r, const uint8_t mac[6])
{
	if (r->st.base)
		station_fini(&r->st);
	station_init(&r->st, r->base, r->net, mac);
	if (netsvc_port(r->ns))
		memcpy(r->st.server_mac, netsvc_port(r->ns)->mac, 6);
}

static void rig_fini(struct rig *r)
{
	char path[80];

	netsvc_stop(r->ns);
	if (r->st.base)
		station_fini(&r->st);
	assert_int_equal(vsw_net_del(r->net), 0);
	vsw_free(r->vsw);
	worker_free(r->worker);
	event_base_free(r->base);
	lab_free(r->lab);
	/* The folder went with the service. */
	assert_int_not_equal(access(r->svc_dir, F_OK), 0);
	snprintf(path, sizeof(path), "%s/net", r->dir);
	rmdir(path);
	assert_int_equal(rmdir(r->dir), 0);
}

static int setup(void **state)
{
	struct rig *r = malloc(sizeof(*r));

	test_thread_register();
	*state = r;
	rig_init(r, lab_text);
	rig_start(r, NULL);
	rig_station(r, mac_a);
	if (!pump_until(r, NETSVC_RUNNING)) {
		fprintf(stderr, "the service does not run: %s: %s\n",
			netsvc_state_name(netsvc_state(r->ns)), reason(r));
		return -1;
	}
	rig_station(r, mac_a);
	return 0;
}

static int teardown(void **state)
{
	rig_fini(*state);
	free(*state);
	test_thread_unregister();
	return 0;
}

static const char *text4(struct in_addr a)
{
	static char buf[INET_ADDRSTRLEN];

	return inet_ntop(AF_INET, &a, buf, sizeof(buf));
}

static const char *text6(struct in6_addr a)
{
	static char buf[INET6_ADDRSTRLEN];

	return inet_ntop(AF_INET6, &a, buf, sizeof(buf));
}

/* @mac asks and gets this address. */
static void assert_lease(struct rig *r, const uint8_t mac[6], const char *ip)
{
	struct station_lease l;

	rig_station(r, mac);
	assert_true(station_dhcp4(&r->st, NULL, &l, WAIT_MS));
	assert_string_equal(text4(l.ip), ip);
}

/* The same, of an address that another client has got just now: dnsmasq may not know yet. */
static void assert_lease_soon(struct rig *r, const uint8_t mac[6], const char *ip)
{
	struct station_lease l;

	rig_station(r, mac);
	assert_true(wait_until(station_dhcp4(&r->st, NULL, &l, WAIT_MS) && !strcmp(text4(l.ip), ip),
			       WAIT_MS));
}

/* The result of a question for an IPv4 address; the address in @ip. */
static int ask(struct rig *r, const char *name, struct in_addr *ip)
{
	struct in_addr server;

	inet_pton(AF_INET, "10.0.0.2", &server);
	if (!r->st.ip4.s_addr)
		inet_pton(AF_INET, "10.0.0.4", &r->st.ip4);
	return station_dns(&r->st, &server, AF_INET, name, AF_INET, ip, WAIT_MS);
}

static void assert_name(struct rig *r, const char *name, const char *ip)
{
	struct in_addr a;

	if (ask(r, name, &a) != 1)
		fail_msg("%s is unknown", name);
	assert_string_equal(text4(a), ip);
}

static void test_fixed_address(void **state)
{
	struct rig *r = *state;
	struct station_lease l;

	assert_true(station_dhcp4(&r->st, NULL, &l, WAIT_MS));
	assert_string_equal(text4(l.ip), "10.0.0.4");
	assert_string_equal(text4(l.mask), "255.255.255.0");
	assert_string_equal(text4(l.dns), "10.0.0.2");
	assert_int_equal(l.mtu, 1450);
	assert_string_equal(l.domain, "lab1");
	assert_int_equal(l.seconds, 0xffffffff);
	/* Nobody forwards here. */
	assert_int_equal(l.router.s_addr, 0);
	assert_lease(r, mac_b0, "10.0.0.5");
}

static void test_names(void **state)
{
	struct rig *r = *state;
	struct in_addr a;
	struct in6_addr a6, server6;

	assert_name(r, "a", "10.0.0.4");
	assert_name(r, "a.lab1", "10.0.0.4");
	assert_name(r, "eth0.a.lab1", "10.0.0.4");
	/* A VM's own name is its first NIC's. */
	assert_name(r, "b", "10.0.0.5");
	assert_name(r, "eth1.b", "10.0.0.6");
	assert_int_equal(ask(r, "c.lab1", &a), -3);
	/* Nobody is asked for the rest of the world, and it does not take long. */
	assert_int_equal(ask(r, "www.example.org", &a), -3);
	inet_pton(AF_INET6, "fd00::2", &server6);
	inet_pton(AF_INET6, "fd00::4", &r->st.ip6);
	assert_int_equal(station_dns(&r->st, &server6, AF_INET6, "b.lab1", AF_INET6, &a6, WAIT_MS),
			 1);
	assert_string_equal(text6(a6), "fd00::5");
}

static void test_ipv6(void **state)
{
	struct rig *r = *state;
	struct in6_addr ip, dns;
	struct station_ra ra;

	assert_true(station_router(&r->st, &ra, WAIT_MS));
	assert_int_equal(ra.flags & 0xc0, 0xc0); /* addresses and the rest by DHCPv6 */
	assert_int_equal(ra.lifetime, 0);	 /* no router */
	assert_int_equal(ra.mtu, 1450);
	assert_string_equal(text6(ra.prefix), "fd00::");
	assert_int_equal(ra.prefix_len, 64);
	assert_int_equal(ra.prefix_flags & 0xc0, 0x80); /* on the link, no address of one's own */
	assert_true(station_dhcp6(&r->st, &ip, &dns, WAIT_MS));
	assert_string_equal(text6(ip), "fd00::4");
	assert_string_equal(text6(dns), "fd00::2");
	/* No address for strangers. */
	rig_station(r, stranger);
	assert_false(station_dhcp6(&r->st, &ip, &dns, BRIEF_MS));
}

static const struct netsvc_host hot = {
	.mac = {2, 0, 0, 0, 2, 0xa},
	.ip4 = "10.0.0.77",
	.ip6 = "fd00::77",
	.vm = "a",
	.nic = "eth1",
};

static void test_hosts_come_and_go(void **state)
{
	struct rig *r = *state;
	struct in6_addr ip, dns;
	struct station_lease l;
	struct in_addr a;

	assert_int_equal(ask(r, "eth1.a", &a), -3);
	assert_int_equal(netsvc_host_add(r->ns, &hot), 0);
	assert_lease(r, hot.mac, "10.0.0.77");
	assert_name(r, "eth1.a", "10.0.0.77");
	assert_name(r, "a", "10.0.0.4");
	assert_true(station_dhcp6(&r->st, &ip, &dns, WAIT_MS));
	assert_string_equal(text6(ip), "fd00::77");

	assert_int_equal(netsvc_host_del(r->ns, hot.mac), 0);
	assert_int_equal(netsvc_host_del(r->ns, hot.mac), -ENOENT);
	assert_true(wait_until(ask(r, "eth1.a", &a) == -3, WAIT_MS));
	/* A stranger now. */
	rig_station(r, hot.mac);
	assert_true(station_dhcp4(&r->st, NULL, &l, WAIT_MS));
	assert_true(ntohl(l.ip.s_addr) >= 0x0a000080 && ntohl(l.ip.s_addr) <= 0x0a0000fe);
	/* And back. */
	assert_int_equal(netsvc_host_add(r->ns, &hot), 0);
	assert_lease(r, hot.mac, "10.0.0.77");
	assert_name(r, "eth1.a", "10.0.0.77");
}

static void test_clashes_are_refused(void **state)
{
	struct rig *r = *state;
	struct netsvc_host h = hot;

	assert_int_equal(netsvc_host_add(r->ns, &hot), 0);
	assert_int_equal(netsvc_host_add(r->ns, &hot), -EEXIST);
	memcpy(h.mac, stranger, 6);
	assert_int_equal(netsvc_host_add(r->ns, &h), -EEXIST); /* both addresses */
	h.ip4 = "10.0.0.78";
	assert_int_equal(netsvc_host_add(r->ns, &h), -EEXIST); /* ip6 */
	h.ip6 = "";
	h.ip4 = "10.0.0.2";
	assert_int_equal(netsvc_host_add(r->ns, &h), -EEXIST); /* the service's */
	h.ip4 = "10.0.0.78\n02:00:00:00:00:0a,10.0.0.99";
	assert_int_equal(netsvc_host_add(r->ns, &h), -EINVAL);
	h.ip4 = "10.0.0.78";
	assert_int_equal(netsvc_host_add(r->ns, &h), 0);
	assert_lease(r, stranger, "10.0.0.78");
}

/* dnsmasq alone would not give an address that it has leased to another MAC. */
static void test_address_changes_hands(void **state)
{
	struct rig *r = *state;
	struct netsvc_host h = hot;
	struct in6_addr ip, dns;
	pid_t pid = service_pid(r);

	assert_int_equal(netsvc_host_add(r->ns, &hot), 0);
	assert_lease(r, hot.mac, "10.0.0.77");
	assert_true(station_dhcp6(&r->st, &ip, &dns, WAIT_MS));
	assert_int_equal(netsvc_host_del(r->ns, hot.mac), 0);
	memcpy(h.mac, stranger, 6);
	assert_int_equal(netsvc_host_add(r->ns, &h), 0);
	assert_lease_soon(r, stranger, "10.0.0.77");
	assert_true(wait_until(station_dhcp6(&r->st, &ip, &dns, BRIEF_MS), WAIT_MS));
	assert_string_equal(text6(ip), "fd00::77");
	assert_lease(r, mac_a, "10.0.0.4");
	/* Nobody was without an answer meanwhile. */
	assert_int_equal(service_pid(r), pid);
	assert_int_equal(netsvc_state(r->ns), NETSVC_RUNNING);
}

static void test_pool_address_becomes_fixed(void **state)
{
	struct rig *r = *state;
	struct station_lease l;
	struct netsvc_host h = hot;
	char ip[INET_ADDRSTRLEN];
	pid_t pid = service_pid(r);

	rig_station(r, stranger);
	assert_true(station_dhcp4(&r->st, NULL, &l, WAIT_MS));
	snprintf(ip, sizeof(ip), "%s", text4(l.ip));
	h.ip4 = ip;
	assert_int_equal(netsvc_host_add(r->ns, &h), 0);
	assert_lease_soon(r, hot.mac, ip);
	/* Who had it gets another. */
	rig_station(r, stranger);
	assert_true(station_dhcp4(&r->st, NULL, &l, WAIT_MS));
	assert_string_not_equal(text4(l.ip), ip);
	assert_int_equal(service_pid(r), pid);
}

/* A guest that rebooted, or whose client was started again, may be another client by its ids. */
static void test_same_nic_another_client(void **state)
{
	struct rig *r = *state;
	struct in6_addr ip, dns;
	pid_t pid = service_pid(r);
	json_t *o;

	assert_true(station_dhcp6(&r->st, &ip, &dns, WAIT_MS));
	for (unsigned int i = 0; i < 2; i++) {
		rig_station(r, mac_a);
		/* Refused at first, which is noticed. */
		assert_true(wait_until(station_dhcp6(&r->st, &ip, &dns, BRIEF_MS), WAIT_MS));
		assert_string_equal(text6(ip), "fd00::4");
	}
	o = netsvc_json(r->ns);
	assert_true(json_integer_value(json_object_get(o, "refused")) >= 2);
	json_decref(o);
	/* No guest can make it start again, which would cost the others their answers. */
	assert_int_equal(service_pid(r), pid);
}

static uint16_t mtu_of(struct rig *r, const uint8_t mac[6])
{
	struct station_lease l;

	rig_station(r, mac);
	assert_true(station_dhcp4(&r->st, NULL, &l, WAIT_MS));
	return l.mtu;
}

static void test_mtu_of_a_nic(void **state)
{
	static const uint8_t other[6] = {2, 0, 0, 0, 3, 0xa};
	struct rig *r = *state;
	struct netsvc_host h = hot, no_ip = {.vm = "a", .nic = "eth2", .mtu = 1400};

	h.mtu = 1400;
	assert_int_equal(netsvc_host_add(r->ns, &h), 0);
	memcpy(no_ip.mac, other, 6);
	assert_int_equal(netsvc_host_add(r->ns, &no_ip), 0);
	assert_int_equal(mtu_of(r, hot.mac), 1400);
	assert_int_equal(mtu_of(r, other), 1400);
	assert_int_equal(mtu_of(r, mac_a), 1450); /* the network's */
	/* The same NIC with another one. */
	assert_int_equal(netsvc_host_del(r->ns, hot.mac), 0);
	h.mtu = 1300;
	assert_int_equal(netsvc_host_add(r->ns, &h), 0);
	assert_int_equal(mtu_of(r, hot.mac), 1300);
	assert_int_equal(netsvc_host_del(r->ns, hot.mac), 0);
	h.mtu = 1450;
	assert_int_equal(netsvc_host_add(r->ns, &h), 0);
	assert_true(wait_until(mtu_of(r, hot.mac) == 1450, WAIT_MS));
}

static void test_vm_name_goes_on(void **state)
{
	struct rig *r = *state;
	struct in_addr a;

	assert_name(r, "b", "10.0.0.5");
	assert_int_equal(netsvc_host_del(r->ns, mac_b0), 0);
	assert_true(wait_until(ask(r, "eth0.b", &a) == -3, WAIT_MS));
	assert_true(wait_until(ask(r, "b", &a) == 1 && !strcmp(text4(a), "10.0.0.6"), WAIT_MS));
}

/* A guest may say what it likes: names are the lab's. */
static void test_guest_claims_a_name(void **state)
{
	struct rig *r = *state;
	struct station_lease l;
	struct in_addr a;

	rig_station(r, stranger);
	assert_true(station_dhcp4(&r->st, "evil", &l, WAIT_MS));
	assert_int_equal(ask(r, "evil", &a), -3);
	assert_int_equal(ask(r, "evil.lab1", &a), -3);
	assert_true(station_dhcp4(&r->st, "b", &l, WAIT_MS));
	assert_name(r, "b", "10.0.0.5");
}

/* A line of /proc/PID/status, without its name. */
static void proc_status(pid_t pid, const char *key, char *out, size_t size)
{
	char path[64], line[256];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "r");
	assert_non_null(f);
	out[0] = '\0';
	while (fgets(line, sizeof(line), f))
		if (!strncmp(line, key, strlen(key)))
			snprintf(out, size, "%.*s", (int)strcspn(line + strlen(key), "\n"),
				 line + strlen(key));
	fclose(f);
}

static bool same_namespace(pid_t pid, const char *kind)
{
	char path[64];
	struct stat ours, theirs;

	snprintf(path, sizeof(path), "/proc/self/ns/%s", kind);
	assert_int_equal(stat(path, &ours), 0);
	snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)pid, kind);
	assert_int_equal(stat(path, &theirs), 0);
	return ours.st_ino == theirs.st_ino;
}

static void test_what_it_may_do(void **state)
{
	struct rig *r = *state;
	pid_t pid = service_pid(r);
	char text[128], path[64];

	proc_status(pid, "Uid:", text, sizeof(text));
	assert_null(strstr(text, "\t0"));
	proc_status(pid, "CapEff:\t", text, sizeof(text));
	assert_string_equal(text, "0000000000003400"); /* NET_BIND_SERVICE, NET_ADMIN, NET_RAW */
	proc_status(pid, "CapBnd:\t", text, sizeof(text));
	assert_string_equal(text, "0000000000003400");
	proc_status(pid, "NoNewPrivs:\t", text, sizeof(text));
	assert_string_equal(text, "1");
	assert_false(same_namespace(pid, "net"));
	assert_false(same_namespace(pid, "mnt"));
	/* Its own mounts, so root may look: read-only, and the folder where /run is. */
	snprintf(path, sizeof(path), "/proc/%d/root/run/dhcp", (int)pid);
	assert_int_equal(access(path, F_OK), 0);
	snprintf(path, sizeof(path), "/proc/%d/root/tmp/x", (int)pid);
	assert_int_equal(open(path, O_WRONLY | O_CREAT, 0600), -1);
	assert_int_equal(errno, EROFS);
}

static void test_killed_and_back(void **state)
{
	struct rig *r = *state;
	pid_t pid = service_pid(r);

	assert_lease(r, mac_a, "10.0.0.4");
	r->n_events = 0;
	assert_int_equal(netsvc_host_add(r->ns, &hot), 0);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_true(wait_until((station_pump(&r->st), saw(r, "starting running")), WAIT_MS));
	assert_true(saw(r, "running waiting"));
	assert_true(saw(r, "waiting starting"));
	assert_int_not_equal(service_pid(r), pid);
	assert_int_equal(kill(pid, 0), -1);
	/* It knows everybody again. */
	assert_lease(r, hot.mac, "10.0.0.77");
	assert_name(r, "b", "10.0.0.5");
}

static void test_stop_leaves_nothing(void **state)
{
	struct rig *r = *state;
	pid_t pid = service_pid(r);

	netsvc_stop(r->ns);
	r->ns = NULL;
	assert_int_equal(kill(pid, 0), -1);
	assert_int_equal(errno, ESRCH);
	assert_int_not_equal(access(r->svc_dir, F_OK), 0);
	/* The station is alone. */
	assert_int_equal(vsw_net_fdb(r->net, NULL, 0), 1);
}

/* ---- without setup() ---- */

static void with_program(struct rig *r, const char *program)
{
	test_thread_register();
	rig_init(r, lab_text);
	rig_start(r, program);
	rig_station(r, mac_a);
	assert_true(pump_until(r, NETSVC_FAILED));
	assert_null(netsvc_port(r->ns));
}

static void done(struct rig *r)
{
	rig_fini(r);
	test_thread_unregister();
}

static void test_no_program(void **state)
{
	struct rig r;

	(void)state;
	with_program(&r, "/nowhere/dnsmasq");
	assert_non_null(strstr(reason(&r), "dnsmasq-base"));
	assert_true(saw(&r, "starting failed"));
	/* Hosts may still come and go. */
	assert_int_equal(netsvc_host_add(r.ns, &hot), 0);
	assert_int_equal(netsvc_host_del(r.ns, hot.mac), 0);
	done(&r);
}

static void test_no_program_in_path(void **state)
{
	char *path = strdup(getenv("PATH"));
	struct rig r;

	(void)state;
	/* Its usual places are looked at too: there it must be found. */
	setenv("PATH", "/nowhere", 1);
	test_thread_register();
	rig_init(&r, lab_text);
	rig_start(&r, NULL);
	rig_station(&r, mac_a);
	assert_true(pump_until(&r, NETSVC_RUNNING));
	setenv("PATH", path, 1);
	free(path);
	done(&r);
}

static void test_ends_all_the_time(void **state)
{
	struct rig r;

	(void)state;
	with_program(&r, "/bin/false");
	assert_non_null(strstr(reason(&r), "status 1"));
	assert_true(saw(&r, "starting waiting"));
	assert_true(saw(&r, "starting failed"));
	done(&r);
}

static void test_gateway(void **state)
{
	struct station_lease l;
	struct rig r;

	(void)state;
	test_thread_register();
	rig_init(&r, "networks: [{name: blue, mtu: 1450, gateway: 10.0.0.5}]\n"
		     "vms:\n"
		     "  - {name: a, nics: [{mac: '02:00:00:00:00:0a'}]}\n"
		     "  - {name: b, nics: [{mac: '02:00:00:00:00:0b', ip: 10.0.0.5}]}\n");
	rig_start(&r, NULL);
	rig_station(&r, mac_a);
	assert_true(pump_until(&r, NETSVC_RUNNING));
	rig_station(&r, mac_a);
	assert_true(station_dhcp4(&r.st, NULL, &l, WAIT_MS));
	assert_string_equal(text4(l.router), "10.0.0.5");
	rig_station(&r, mac_b0); /* the gateway itself */
	assert_true(station_dhcp4(&r.st, NULL, &l, WAIT_MS));
	assert_string_equal(text4(l.ip), "10.0.0.5");
	assert_int_equal(l.router.s_addr, 0);
	rig_station(&r, stranger);
	assert_true(station_dhcp4(&r.st, NULL, &l, WAIT_MS));
	assert_string_equal(text4(l.router), "10.0.0.5");
	done(&r);
}

/* What was in the way is gone: it is tried again by itself, and says when. */
static void test_failed_is_tried_again(void **state)
{
	char dir[] = "/tmp/hvlab-dnsmasq.XXXXXX", program[64];
	struct rig r;
	json_t *o;

	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_int_equal(chmod(dir, 0755), 0); /* it is run by nobody */
	snprintf(program, sizeof(program), "%s/d", dir);
	test_thread_register();
	rig_init(&r, lab_text);
	r.retry_ms = 200;
	rig_start(&r, program);
	rig_station(&r, mac_a);
	assert_true(pump_until(&r, NETSVC_FAILED));
	o = netsvc_json(r.ns);
	assert_true(json_is_integer(json_object_get(o, "retry_ms")));
	json_decref(o);
	/* Still not there. */
	assert_true(wait_until((station_pump(&r.st), saw(&r, "failed starting")), WAIT_MS));
	assert_int_equal(symlink("/usr/sbin/dnsmasq", program), 0);
	assert_true(pump_until(&r, NETSVC_RUNNING));
	assert_lease(&r, mac_a, "10.0.0.4");
	o = netsvc_json(r.ns);
	assert_true(json_is_null(json_object_get(o, "retry_ms")));
	assert_true(json_integer_value(json_object_get(o, "restarts")) >= 1);
	json_decref(o);
	unlink(program);
	rmdir(dir);
	done(&r);
}

static void test_says_what_dnsmasq_said(void **state)
{
	static const char text[] =
		"#!/bin/sh\necho first\necho 'dnsmasq: no such luck' >&2\nexit 3\n";
	char path[] = "/tmp/hvlab-dnsmasq.XXXXXX";
	int fd = mkstemp(path);
	struct rig r;

	(void)state;
	assert_int_equal(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
	fchmod(fd, 0755);
	close(fd);
	with_program(&r, path);
	if (!strstr(reason(&r), "status 3: no such luck"))
		fail_msg("%s", reason(&r));
	unlink(path);
	done(&r);
}

static void test_nothing_to_serve(void **state)
{
	struct rig r;

	(void)state;
	test_thread_register();
	rig_init(&r, "networks: [{name: blue, subnet: none, subnet6: none}]\n"
		     "vms: [{name: a}]\n");
	rig_start(&r, NULL);
	assert_int_equal(netsvc_state(r.ns), NETSVC_FAILED);
	assert_non_null(strstr(reason(&r), "dhcp: off"));
	done(&r);
}

static void test_folder_cannot_be_made(void **state)
{
	struct rig r;
	int fd;

	(void)state;
	test_thread_register();
	rig_init(&r, lab_text);
	snprintf(r.svc_dir, sizeof(r.svc_dir), "%s/file/blue", r.dir);
	*strrchr(r.svc_dir, '/') = '\0';
	fd = open(r.svc_dir, O_WRONLY | O_CREAT, 0600);
	close(fd);
	strcat(r.svc_dir, "/blue");
	rig_start(&r, NULL);
	assert_int_equal(netsvc_state(r.ns), NETSVC_FAILED);
	assert_non_null(strstr(reason(&r), "Not a directory"));
	*strrchr(r.svc_dir, '/') = '\0';
	unlink(r.svc_dir);
	done(&r);
}

/* In another process: run the service as @uid, say how it went and with which pid, and stay. */
struct outcome {
	enum netsvc_state state;
	pid_t pid;
	char reason[256];
};

static _Noreturn void be_daemon(int out, unsigned int uid)
{
	struct rig r;
	struct outcome o = {0};

	test_thread_register();
	if (uid && (setgroups(0, NULL) || setresgid(uid, uid, uid) || setresuid(uid, uid, uid)))
		_exit(1);
	/* Else /proc/self is root's and no user namespace can be mapped. */
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	rig_init(&r, lab_text);
	rig_start(&r, NULL);
	rig_station(&r, mac_a);
	wait_until((station_pump(&r.st), netsvc_state(r.ns) != NETSVC_STARTING), WAIT_MS);
	if (netsvc_state(r.ns) == NETSVC_RUNNING) {
		struct station_lease l;

		rig_station(&r, mac_a);
		if (!station_dhcp4(&r.st, NULL, &l, WAIT_MS))
			_exit(2);
	}
	o.state = netsvc_state(r.ns);
	o.pid = service_pid(&r);
	snprintf(o.reason, sizeof(o.reason), "%.255s", reason(&r));
	if (write(out, &o, sizeof(o)) != sizeof(o))
		_exit(3);
	while (getppid() != 1)
		pause();
	_exit(0);
}

static pid_t other_daemon(unsigned int uid, struct outcome *o)
{
	int p[2];
	pid_t pid;

	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0)
		be_daemon(p[1], uid);
	close(p[1]);
	if (read(p[0], o, sizeof(*o)) != sizeof(*o))
		fail_msg("the other process ended");
	close(p[0]);
	return pid;
}

/* What a daemon that was killed leaves of its folders. */
static void clean_up(void)
{
	(void)!system("rm -rf /tmp/hvlab-netsvc.*");
}

static void test_dies_with_the_daemon(void **state)
{
	struct outcome o;
	pid_t pid = other_daemon(0, &o);

	(void)state;
	assert_int_equal(o.state, NETSVC_RUNNING);
	assert_int_equal(kill(o.pid, 0), 0);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	/* Its new parent, this machine's init, reaps it. */
	assert_true(wait_until(kill(o.pid, 0) < 0 || ({
				       char s[32];

				       proc_status(o.pid, "State:\t", s, sizeof(s));
				       s[0] == 'Z';
			       }),
			       WAIT_MS));
	clean_up();
}

/* Without root it runs in a user namespace, or says what is missing. */
static void test_ordinary_user(void **state)
{
	struct outcome o;
	pid_t pid = other_daemon(NOBODY, &o);
	char text[64];

	(void)state;
	if (o.state == NETSVC_RUNNING) {
		proc_status(o.pid, "CapEff:\t", text, sizeof(text));
		assert_string_equal(text, "0000000000003400");
	} else {
		assert_int_equal(o.state, NETSVC_FAILED);
		if (!strstr(o.reason, "/dev/net/tun") && !strstr(o.reason, "user namespaces"))
			fail_msg("%s", o.reason);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	clean_up();
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	static const struct CMUnitTest tests[] = {
		/* First those that fork before this process has threads. */
		cmocka_unit_test(test_dies_with_the_daemon),
		cmocka_unit_test(test_ordinary_user),
		WITH(test_fixed_address),
		WITH(test_names),
		WITH(test_ipv6),
		WITH(test_hosts_come_and_go),
		WITH(test_clashes_are_refused),
		WITH(test_address_changes_hands),
		WITH(test_pool_address_becomes_fixed),
		WITH(test_same_nic_another_client),
		WITH(test_mtu_of_a_nic),
		WITH(test_vm_name_goes_on),
		WITH(test_guest_claims_a_name),
		WITH(test_what_it_may_do),
		WITH(test_killed_and_back),
		WITH(test_stop_leaves_nothing),
		cmocka_unit_test(test_no_program),
		cmocka_unit_test(test_no_program_in_path),
		cmocka_unit_test(test_ends_all_the_time),
		cmocka_unit_test(test_gateway),
		cmocka_unit_test(test_failed_is_tried_again),
		cmocka_unit_test(test_says_what_dnsmasq_said),
		cmocka_unit_test(test_nothing_to_serve),
		cmocka_unit_test(test_folder_cannot_be_made),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
