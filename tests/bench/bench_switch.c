/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What policy costs inside the switch, without devices: nanoseconds per packet of vsw_send() by
 * rules, connections and misses, and of the steps it is made of. One line of JSON.
 *
 *	bench_switch [--milliseconds MS] [--only RULES,FLOWS,MISS,BYTES] N=FILE ...
 *
 * FILE: N rules, as bench_rules.h has them. With --only just that case of "send", for a profiler;
 * RULES -1: no policy.
 *
 * Time is this thread's own, so that a machine shared with others slows the figures less.
 */
#include <getopt.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <urcu/urcu-memb.h>

#include "base/util.h"
#include "base/wire.h"
#include "emulator/mana/flowtab.h"
#include "tests/bench/bench_rules.h"
#include "tests/lib/rng.h"
#include "vswitch/flow/flow.h"
#include "vswitch/offload.h"
#include "vswitch/parse.h"
#include "vswitch/ports/null.h"
#include "vswitch/rcu.h"
#include "vswitch/vswitch.h"

#define BURST	   32
#define MANY	   (1u << 18) /* connections a port may have */
#define MOST	   (4u << 20) /* the same where there are a million of them */
#define FIRST_NEW  (1u << 22)
#define MAX_TABLES 8

/* A receiver that stores into a megabyte of buffers of 2 KiB. */
struct sink {
	struct vsw_port port;
	uint8_t *buf;
	uint32_t at;
};
#define SINK_SIZE (1u << 20)

/* A sender with the flow table of a NIC, off but in the cases that are about it. */
struct nic {
	struct vsw_port port;
	struct flowtab flows;
};

struct table {
	unsigned int n_rules;
	struct policy *policy;
};

static uint64_t span_ns = 50 * NSEC_PER_MSEC;
static struct vsw *vsw;
/*
 * Networks of a sender and two receivers: without policy; with one now and then, and a table of
 * MANY connections; the same with MOST.
 */
#define N_NETS 3
static struct nic from[N_NETS];
static struct null_port to[N_NETS];
static struct sink sink[N_NETS];
static struct pkt pkt[BURST], *pkts[BURST];
static uint8_t frames[BURST][2048];
static struct rng rng = {.s = 42};
static uint32_t next_new;
static bool first_line = true;

static uint64_t cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

static unsigned int sink_deliver(struct vsw_port *port, struct pkt **list, unsigned int n)
{
	struct sink *k = CONTAINER_OF(port, struct sink, port);
	uint64_t packets = 0, bytes = 0;

	for (unsigned int i = 0; i < n; i++) {
		struct vsw_settle s;
		struct vsw_frame f;

		if (vsw_settle_begin(&s, list[i], 0, 1500) != VSW_DROP_NONE) {
			vsw_port_drop(port, list[i], VSW_DROP_TOO_BIG);
			continue;
		}
		while (vsw_settle_next(&s, &f)) {
			struct iovec iov = {k->buf + k->at, f.len};

			vsw_frame_copy(&f, &iov, 1);
			k->at = (k->at + 2048) & (SINK_SIZE - 1);
			packets++;
			bytes += f.len;
		}
	}
	vsw_port_received(port, packets, bytes);
	return n;
}

static const struct vsw_port_ops sink_ops = {.deliver = sink_deliver};

static unsigned int nic_deliver(struct vsw_port *port, struct pkt **list, unsigned int n)
{
	uint64_t bytes = 0;

	for (unsigned int i = 0; i < n; i++)
		bytes += list[i]->len;
	vsw_port_received(port, n, bytes);
	return n;
}

static void nic_program(struct vsw_port *port, const struct vsw_fast_key *key, uint32_t hash,
			const struct vsw_fast *fast)
{
	flowtab_add(&CONTAINER_OF(port, struct nic, port)->flows, key, hash, fast);
}

static const struct vsw_port_ops nic_ops = {.deliver = nic_deliver, .program = nic_program};

/* ---- Packets ------------------------------------------------------------------------------- */

static void mac(uint8_t m[6], unsigned int n)
{
	const uint8_t v[6] = {0x02, 0, 0, 0, 0, (uint8_t)n};

	memcpy(m, v, 6);
}

/* What the sender's guest posts: everything but the client. @back: from the service. */
static void make_packets(uint32_t len, unsigned int src, unsigned int dst, bool back)
{
	for (unsigned int i = 0; i < BURST; i++) {
		uint8_t *p = frames[i];
		struct iovec iov = {p, len};

		memset(p, 0, 64);
		mac(p, dst);
		mac(p + 6, src);
		be16_store(p + 12, 0x0800);
		p[14] = 0x45;
		be16_store(p + 16, (uint16_t)(len - 14));
		p[22] = 64;
		p[23] = IPPROTO_UDP;
		be32_store(p + (back ? 26 : 30), 0x0a000002);
		be16_store(p + (back ? 34 : 36), 5000);
		be16_store(p + 38, (uint16_t)(len - 34));
		if (pkt_from_iov(&pkt[i], &iov, 1))
			abort();
		pkt[i].flags = PKT_IP_GOOD | PKT_L4_GOOD;
		pkts[i] = &pkt[i];
	}
}

static inline void set_client(struct pkt *p, uint32_t f, bool back)
{
	be32_store(p->hdr + (back ? 30 : 26), 0x0a100000 + (f >> 15));
	be16_store(p->hdr + (back ? 36 : 34), (uint16_t)(1024 + (f & 0x7fff)));
}

static void pick_clients(uint32_t n, uint32_t miss)
{
	for (unsigned int i = 0; i < BURST; i++) {
		uint64_t r = rng_u64(&rng);

		if (miss && (uint32_t)(r >> 32) % 1000 < miss)
			set_client(&pkt[i], next_new++, false);
		else
			set_client(&pkt[i], (uint32_t)((uint64_t)(uint32_t)r * n >> 32), false);
	}
}

static void send_all(struct vsw_port *port)
{
	if (vsw_send(port, pkts, BURST) != BURST)
		abort();
}

static void nic_send_all(struct nic *nic)
{
	if (flowtab_send(&nic->flows, pkts, BURST) != BURST)
		abort();
}

/* ---- Measuring ----------------------------------------------------------------------------- */

/**
 * struct load - What is sent
 * @rules: -1: no policy
 * @copy:	to a receiver that stores
 * @offload:	the sender's NIC has room for all the connections
 */
struct load {
	const char *what;
	int rules;
	uint32_t flows, miss, len;
	bool copy, offload;
};

static void tell(const struct load *l, double ns)
{
	printf("%s{\"what\": \"%s\", \"rules\": %d, \"flows\": %u, \"miss_per_mille\": %u, "
	       "\"bytes\": %u, \"offload\": %s, \"ns\": %.2f}",
	       first_line ? "" : ", ", l->what, l->rules, l->flows, l->miss, l->len,
	       l->offload ? "true" : "false", ns);
	first_line = false;
}

static bool every_one(void *arg, const struct vsw_flow_info *f)
{
	(void)arg;
	(void)f;
	return true;
}

/* Both directions of each, so that they are established. */
static void learn(struct vsw_port *there, unsigned int dst, struct vsw_port *back, uint32_t n)
{
	for (unsigned int way = 0; way < 2; way++) {
		make_packets(64, way ? dst : 1, way ? 1 : dst, way);
		for (uint32_t f = 0; f < n; f += BURST) {
			for (unsigned int i = 0; i < BURST; i++)
				set_client(&pkt[i], MIN(f + i, n - 1), way);
			send_all(way ? back : there);
		}
	}
}

/* Without offload what is sent takes the same way as from a port that has no table. */
static void warm_up(const struct load *l, struct nic *nic)
{
	if (flowtab_resize(&nic->flows, &nic->port, l->offload ? FLOWTAB_MAX : 0))
		abort();
	for (uint32_t f = 0; l->offload && f < l->flows; f += BURST) {
		for (unsigned int i = 0; i < BURST; i++)
			set_client(&pkt[i], MIN(f + i, l->flows - 1), false);
		nic_send_all(nic);
	}
	for (unsigned int i = 0; i < 100; i++) {
		pick_clients(l->flows, 0);
		nic_send_all(nic);
	}
}

static void run(const struct load *l, struct policy *p)
{
	unsigned int net = l->rules < 0 ? 0 : l->miss || l->flows > 100000 ? 2 : 1;
	const struct vsw_flow_conf flows = {.max = net == 2 ? MOST : MANY};
	unsigned int dst = l->copy ? 3 : 2;
	struct vsw_port *receiver = l->copy ? &sink[net].port : &to[net].port;
	uint64_t start, end, n = 0;

	next_new = FIRST_NEW;
	if (net) {
		vsw_flow_configure(&flows);
		if (vsw_port_set_policy(receiver, p, false))
			abort();
		learn(&from[net].port, dst, receiver, l->flows);
	}
	make_packets(l->len, 1, dst, false);
	warm_up(l, &from[net]);
	start = cpu_ns();
	do {
		for (unsigned int k = 0; k < 32; k++) {
			pick_clients(l->flows, l->miss);
			nic_send_all(&from[net]);
		}
		n += 32 * BURST;
		end = cpu_ns();
	} while (end - start < span_ns);
	tell(l, (double)(end - start) / (double)n);
	flowtab_clear(&from[net].flows);
	if (!net)
		return;
	vsw_port_flows_cut(receiver, every_one, NULL);
	vsw_tick(vsw);
	if (vsw_port_set_policy(receiver, NULL, false))
		abort();
}

/* ---- Steps --------------------------------------------------------------------------------- */

static void time_step(const char *what, uint32_t flows, int rules, void (*fn)(void *arg), void *arg)
{
	const struct load l = {.what = what, .rules = rules, .flows = flows, .len = 64};
	uint64_t start = cpu_ns(), end, n = 0;

	do {
		for (unsigned int k = 0; k < 32; k++)
			fn(arg);
		n += 32 * BURST;
		end = cpu_ns();
	} while (end - start < span_ns / 2);
	tell(&l, (double)(end - start) / (double)n);
}

struct step {
	uint32_t flows;
	struct flow_table *table;
	struct policy *policy;
};

static void step_pick(void *arg)
{
	pick_clients(((struct step *)arg)->flows, 0);
}

static void step_parse(void *arg)
{
	step_pick(arg);
	for (unsigned int i = 0; i < BURST; i++)
		if (pkt_parse(&pkt[i]) != VSW_DROP_NONE)
			abort();
}

static volatile uint32_t keep;

static void step_key(void *arg)
{
	struct flow_key key;

	step_parse(arg);
	for (unsigned int i = 0; i < BURST; i++)
		if (flow_key_from(&key, &pkt[i], 0))
			keep = flow_hash(&key);
}

/* As the switch does it: a burst's buckets and records are asked for before they are needed. */
static void step_find(void *arg)
{
	struct step *s = arg;
	struct flow_key key[BURST];
	uint32_t hash[BURST];

	step_parse(arg);
	vsw_read_lock();
	for (unsigned int i = 0; i < BURST; i++) {
		flow_key_from(&key[i], &pkt[i], 0);
		hash[i] = flow_hash(&key[i]);
		__builtin_prefetch(flow_bucket(s->table, hash[i]));
	}
	for (unsigned int i = 0; i < BURST; i++) {
		struct flow *f = flow_find(s->table, &key[i], hash[i], POLICY_OUT);

		if (!f)
			abort();
		flow_touch(f, POLICY_OUT, 1, 64, 1);
	}
	vsw_read_unlock();
}

static void step_walk(void *arg)
{
	struct step *s = arg;

	step_parse(arg);
	for (unsigned int i = 0; i < BURST; i++) {
		struct policy_result res;
		struct policy_fields f;

		policy_fields_from(&f, &pkt[i]);
		policy_walk(s->policy, POLICY_IN, &f, &res, NULL);
		if (res.verdict != POLICY_ALLOW)
			abort();
	}
}

static void fill_table(struct flow_table *t, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct flow_new want = {.origin = POLICY_OUT, .state = FLOW_NEW};
		bool made;

		set_client(&pkt[0], i, false);
		if (pkt_parse(&pkt[0]) || !flow_key_from(&want.key, &pkt[0], 0) ||
		    !flow_insert(t, &want, 1, &made))
			abort();
	}
}

static void steps(const struct table *tables, unsigned int n_tables)
{
	static const uint32_t sizes[] = {1, 1000, 100000, 1000000};
	struct step s = {.flows = 1};

	make_packets(64, 1, 2, false);
	time_step("pick", 1, -1, step_pick, &s);
	time_step("parse", 1, -1, step_parse, &s);
	time_step("key", 1, -1, step_key, &s);
	for (unsigned int i = 0; i < ARRAY_SIZE(sizes); i++) {
		s.flows = sizes[i];
		s.table = flow_table_new(s.flows > 100000 ? MOST : MANY, NULL);
		if (!s.table)
			abort();
		fill_table(s.table, s.flows);
		time_step("find", s.flows, -1, step_find, &s);
		flow_table_free(s.table);
	}
	s.flows = 100000;
	for (unsigned int i = 0; i < n_tables; i++) {
		s.policy = tables[i].policy;
		time_step("walk", s.flows, (int)tables[i].n_rules, step_walk, &s);
	}
}

/* ---- Cases --------------------------------------------------------------------------------- */

static void all_cases(const struct table *tables, unsigned int n_tables)
{
	static const uint32_t flows[] = {1, 1000, 100000, 1000000}, misses[] = {10, 100, 1000};
	static const uint32_t sizes[] = {64, 1500};
	struct load l = {.what = "send", .rules = -1};

	for (unsigned int copy = 0; copy < 2; copy++)
		for (unsigned int s = 0; s < ARRAY_SIZE(sizes); s++)
			for (unsigned int f = 0; f < ARRAY_SIZE(flows); f += 2) {
				l.copy = copy;
				l.what = copy ? "send and copy" : "send";
				l.len = sizes[s];
				l.flows = flows[f];
				if (copy || !s)
					run(&l, NULL);
			}
	for (unsigned int t = 0; t < n_tables; t++) {
		l = (struct load){
			.what = "send and copy", .copy = true, .rules = (int)tables[t].n_rules};
		for (unsigned int k = 0; k < 2 * ARRAY_SIZE(sizes) * ARRAY_SIZE(flows); k++) {
			l.offload = k & 1;
			l.flows = flows[k / 2 % ARRAY_SIZE(flows)];
			l.len = sizes[k / 2 / ARRAY_SIZE(flows)];
			run(&l, tables[t].policy);
		}
		l.copy = l.offload = false;
		l.what = "send";
		l.len = 64;
		for (unsigned int f = 0; f < ARRAY_SIZE(flows); f += 2) {
			l.flows = flows[f];
			run(&l, tables[t].policy);
		}
		l.flows = 1000;
		for (unsigned int m = 0; m < ARRAY_SIZE(misses); m++) {
			l.miss = misses[m];
			run(&l, tables[t].policy);
		}
	}
}

static void setup(void)
{
	static const char *const names[N_NETS] = {"plain", "many", "most"};
	uint8_t m[6];

	urcu_memb_register_thread();
	vsw = vsw_new();
	for (unsigned int i = 0; i < N_NETS; i++) {
		const struct vsw_net_conf conf = {.name = names[i]};
		struct vsw_net *net = vsw_net_add(vsw, &conf);

		mac(m, 1);
		vsw_port_init(&from[i].port, &nic_ops, "from", m);
		atomic_store(&from[i].port.link, true);
		atomic_store(&from[i].port.receiving, true);
		mac(m, 2);
		null_port_init(&to[i], "to", m);
		mac(m, 3);
		vsw_port_init(&sink[i].port, &sink_ops, "sink", m);
		sink[i].buf = aligned_alloc(4096, SINK_SIZE);
		if (!net || !sink[i].buf || vsw_port_attach(net, &from[i].port) ||
		    vsw_port_attach(net, &to[i].port) || vsw_port_attach(net, &sink[i].port))
			abort();
		memset(sink[i].buf, 0, SINK_SIZE);
		atomic_store(&sink[i].port.link, true);
		atomic_store(&sink[i].port.receiving, true);
	}
}

static void one_case(const char *which, const struct table *tables, unsigned int n)
{
	struct load l = {.what = "send"};
	struct policy *p = NULL;

	if (sscanf(which, "%d,%u,%u,%u", &l.rules, &l.flows, &l.miss, &l.len) != 4)
		exit(2);
	for (unsigned int i = 0; i < n; i++)
		if ((int)tables[i].n_rules == l.rules)
			p = tables[i].policy;
	run(&l, p);
}

static int usage(void)
{
	fprintf(stderr, "usage: bench_switch [--milliseconds MS] [--only RULES,FLOWS,MISS,BYTES] "
			"N=FILE ...\n");
	return 2;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"milliseconds", required_argument, NULL, 'm'},
						{"only", required_argument, NULL, 'o'},
						{0}};
	struct table tables[MAX_TABLES];
	const char *only = NULL;
	unsigned int n = 0;
	int opt;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) == 'm' || opt == 'o') {
		if (opt == 'o')
			only = optarg;
		else
			span_ns = strtoull(optarg, NULL, 0) * NSEC_PER_MSEC;
	}
	if (opt != -1 || optind == argc || argc - optind > MAX_TABLES)
		return usage();
	for (int i = optind; i < argc; i++, n++) {
		const char *file = strchr(argv[i], '=');

		if (!file)
			return usage();
		tables[n].n_rules = (unsigned int)atoi(argv[i]);
		tables[n].policy = bench_policy_read(file + 1);
		if (!tables[n].policy)
			return 1;
	}
	setup();
	printf("[");
	if (only) {
		one_case(only, tables, n);
	} else {
		steps(tables, n);
		all_cases(tables, n);
	}
	printf("]\n");
	while (n)
		policy_put(tables[--n].policy);
	return 0;
}
