/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The switch under test of scripts/bench paths and switch: two vhost-user ports in one network, on
 * one worker that spins on one core.
 *
 *	bench_paths [--cpu N] SOCKET SOCKET MAC MAC
 *
 * Says "listening" and then does what it reads, a line each, until the input ends; answers in JSON:
 *
 *	policy N FILE	port N gets the rules of the file (bench_rules.h); "-": none
 *	flows MAX	the second port forgets its policy; its next one may have MAX connections
 *	cut		all connections end
 *	anything else	its counters
 *
 * Cycles are those of the time stamp counter. A turn of the worker that moved frames
 * counts as busy from the end of the turn before; one that found nothing to do as idle. What else
 * runs on the core is in both, so "busy" is only right while the worker has the core to itself.
 */
#include <errno.h>
#include <getopt.h>
#include <net/ethernet.h>
#include <netinet/ether.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <urcu/urcu-memb.h>
#include <x86intrin.h>

#include "base/log.h"
#include "base/util.h"
#include "base/worker.h"
#include "tests/bench/bench_rules.h"
#include "vswitch/ports/vhost.h"
#include "vswitch/vswitch.h"

#define N_PORTS 2
#define SPIN_NS (3600 * NSEC_PER_SEC)

struct bench {
	struct worker *worker;
	struct vsw *vsw;
	struct vsw_net *net;
	struct vhost *vhost[N_PORTS];
	struct worker_turn turn;
	int cpu;
	uint64_t last_tsc, last_packets;
	_Atomic uint64_t busy_tsc, idle_tsc; /* cycles of turns that moved frames, and others */
	_Atomic uint64_t busy_turns;
};

static void die(const char *what, int rc)
{
	fprintf(stderr, "bench_paths: %s: %s\n", what, strerror(rc < 0 ? -rc : errno));
	exit(1);
}

static uint64_t received(const struct bench *b)
{
	uint64_t n = 0;

	for (unsigned int i = 0; i < N_PORTS; i++)
		n += atomic_load_explicit(&vhost_port(b->vhost[i])->stats.rx_packets,
					  memory_order_relaxed);
	return n;
}

/* After every turn: was it worth its cycles? Never keeps the worker awake itself. */
static bool after_turn(struct worker_turn *t)
{
	struct bench *b = t->arg;
	uint64_t now = __rdtsc(), packets = received(b), took = now - b->last_tsc;

	if (packets == b->last_packets) {
		atomic_fetch_add_explicit(&b->idle_tsc, took, memory_order_relaxed);
	} else {
		atomic_fetch_add_explicit(&b->busy_tsc, took, memory_order_relaxed);
		atomic_fetch_add_explicit(&b->busy_turns, 1, memory_order_relaxed);
	}
	b->last_tsc = now;
	b->last_packets = packets;
	return false;
}

static void on_worker(void *arg)
{
	struct bench *b = arg;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(b->cpu, &set);
	if (pthread_setaffinity_np(pthread_self(), sizeof(set), &set))
		die("no such core", -EINVAL);
	b->turn.fn = after_turn;
	b->turn.arg = b;
	b->last_tsc = __rdtsc();
	worker_turn_add(b->worker, &b->turn);
}

static void off_worker(void *arg)
{
	struct bench *b = arg;

	worker_turn_del(&b->turn);
}

static void on_event(void *arg, const struct vhost_event *ev)
{
	if (ev->type == VHOST_EV_GUEST_ERROR)
		fprintf(stderr, "bench_paths: %s: %s\n", (const char *)arg,
			ev->text ? ev->text : "guest error");
}

static void report(struct bench *b)
{
	uint64_t rx_packets = 0, rx_bytes = 0, drops = 0, kicks = 0, calls = 0, held = 0;
	struct vsw_flow_stats flows = {0}, here;
	struct vhost_info info;

	for (unsigned int i = 0; i < N_PORTS; i++) {
		const struct vsw_port_stats *st = &vhost_port(b->vhost[i])->stats;

		rx_packets += atomic_load(&st->rx_packets);
		rx_bytes += atomic_load(&st->rx_bytes);
		for (unsigned int k = 0; k < VSW_N_DROPS; k++)
			drops += atomic_load(&st->drops[k]);
		vhost_get_info(b->vhost[i], &info);
		kicks += info.kicks;
		calls += info.calls;
		held += info.tx_held_ns;
		if (!vsw_port_flow_stats(vhost_port(b->vhost[i]), &here))
			continue;
		flows.n += here.n;
		flows.made += here.made;
		flows.full += here.full;
	}
	printf("{\"rx_packets\": %llu, \"rx_bytes\": %llu, \"drops\": %llu, \"kicks\": %llu, "
	       "\"calls\": %llu, \"held_ns\": %llu, \"busy_cycles\": %llu, \"idle_cycles\": %llu, "
	       "\"busy_turns\": %llu, \"flows\": %u, \"flows_made\": %llu, \"flows_full\": %llu, "
	       "\"features\": \"%#llx\"}\n",
	       (unsigned long long)rx_packets, (unsigned long long)rx_bytes,
	       (unsigned long long)drops, (unsigned long long)kicks, (unsigned long long)calls,
	       (unsigned long long)held, (unsigned long long)atomic_load(&b->busy_tsc),
	       (unsigned long long)atomic_load(&b->idle_tsc),
	       (unsigned long long)atomic_load(&b->busy_turns), flows.n,
	       (unsigned long long)flows.made, (unsigned long long)flows.full,
	       (unsigned long long)info.features);
}

/* 0 or -errno. */
static int set_policy(struct bench *b, unsigned int i, const char *path)
{
	struct policy *p = NULL;
	int rc;

	if (i >= N_PORTS)
		return -EINVAL;
	if (strcmp(path, "-")) {
		p = bench_policy_read(path);
		if (!p)
			return -EINVAL;
	}
	rc = vsw_port_set_policy(vhost_port(b->vhost[i]), p, false);
	policy_put(p);
	return rc;
}

/* The size of a port's table is that of its first policy's time. */
static int set_flows(struct bench *b, uint32_t max)
{
	const struct vsw_flow_conf conf = {.max = max};

	vsw_port_detach(vhost_port(b->vhost[1]));
	vsw_flow_configure(&conf);
	return vsw_port_attach(b->net, vhost_port(b->vhost[1]));
}

static bool every_one(void *arg, const struct vsw_flow_info *f)
{
	(void)arg;
	(void)f;
	return true;
}

static void obey(struct bench *b, const char *line)
{
	char path[256];
	unsigned int i;

	if (sscanf(line, "policy %u %255s", &i, path) == 2) {
		printf("{\"error\": %d}\n", set_policy(b, i, path));
	} else if (sscanf(line, "flows %u", &i) == 1) {
		printf("{\"error\": %d}\n", set_flows(b, i));
	} else if (!strcmp(line, "cut\n")) {
		size_t n = 0;

		for (i = 0; i < N_PORTS; i++)
			n += vsw_port_flows_cut(vhost_port(b->vhost[i]), every_one, NULL);
		/* Their memory is given back now, and not while something is measured. */
		vsw_tick(b->vsw);
		printf("{\"cut\": %zu}\n", n);
	} else {
		report(b);
	}
	fflush(stdout);
}

/* False: the input has ended. */
static bool next_line(struct bench *b, char *line, size_t size)
{
	struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
	size_t n = 0;

	while (n + 1 < size) {
		if (poll(&in, 1, VSW_TICK_MS) == 0) {
			vsw_tick(b->vsw);
			continue;
		}
		if (read(STDIN_FILENO, line + n, 1) != 1)
			return false;
		if (line[n++] == '\n')
			break;
	}
	line[n] = 0;
	return true;
}

static void setup(struct bench *b, char **sockets, char **macs)
{
	static const char *const names[N_PORTS] = {"p0", "p1"};
	const struct worker_conf wc = {.name = "switch", .spin_ns = SPIN_NS};
	const struct vsw_net_conf nc = {.name = "bench"};

	b->worker = worker_new(&wc);
	if (!b->worker)
		die("worker", -errno);
	b->vsw = vsw_new();
	b->net = b->vsw ? vsw_net_add(b->vsw, &nc) : NULL;
	if (!b->net)
		die("network", -errno);
	for (unsigned int i = 0; i < N_PORTS; i++) {
		const struct ether_addr *mac = ether_aton(macs[i]);
		struct vhost_conf conf = {
			.name = names[i], .event = on_event, .event_arg = (void *)names[i]};
		int rc;

		if (!mac)
			die(macs[i], -EINVAL);
		memcpy(conf.mac, mac, sizeof(conf.mac));
		b->vhost[i] = vhost_new(b->worker, &conf);
		if (!b->vhost[i])
			die("vhost port", -errno);
		rc = vsw_port_attach(b->net, vhost_port(b->vhost[i]));
		if (rc)
			die("attach", rc);
		atomic_store(&vhost_port(b->vhost[i])->link, true);
		rc = vhost_listen(b->vhost[i], sockets[i]);
		if (rc)
			die(sockets[i], rc);
	}
	worker_call(b->worker, on_worker, b);
}

static void teardown(struct bench *b)
{
	worker_call(b->worker, off_worker, b);
	for (unsigned int i = 0; i < N_PORTS; i++) {
		vsw_port_detach(vhost_port(b->vhost[i]));
		vhost_free(b->vhost[i]);
	}
	vsw_net_del(b->net);
	vsw_free(b->vsw);
	worker_free(b->worker);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"cpu", required_argument, NULL, 'c'}, {0}};
	struct bench b = {.cpu = 0};
	char line[300];
	int opt;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) == 'c')
		b.cpu = atoi(optarg);
	if (opt != -1 || argc - optind != 2 * N_PORTS) {
		fprintf(stderr, "usage: bench_paths [--cpu N] SOCKET SOCKET MAC MAC\n");
		return 2;
	}
	urcu_memb_register_thread();
	setup(&b, argv + optind, argv + optind + N_PORTS);
	puts("listening");
	fflush(stdout);
	while (next_line(&b, line, sizeof(line)))
		obey(&b, line);
	teardown(&b);
	urcu_memb_unregister_thread();
	return 0;
}
