/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the network, the frames and the policies that tests of connections stand on. */
#include "flow_rig.h"

#include <string.h>

#include "base/util.h"

struct vsw *vsw;
struct vsw_net *net;
struct test_port port[4];

static struct frame frame;

int flow_setup(void **state)
{
	struct vsw_net_conf conf = {.name = "blue", .mtu = 1500};

	(void)state;
	test_thread_register();
	vsw = vsw_new();
	net = vsw_net_add(vsw, &conf);
	for (unsigned int i = 1; i <= 3; i++) {
		test_port_init(&port[i], i);
		port[i].keep = false;
		if (vsw_port_attach(net, &port[i].port))
			return -1;
	}
	return 0;
}

int flow_teardown(void **state)
{
	const struct vsw_flow_conf none = {0};

	(void)state;
	for (unsigned int i = 1; i <= 3; i++) {
		vsw_port_detach(&port[i].port);
		test_port_clear(&port[i]);
	}
	assert_int_equal(vsw_net_del(net), 0);
	vsw_free(vsw);
	vsw_flow_configure(&none);
	test_thread_unregister();
	return 0;
}

struct frame *frame_of(unsigned int from, unsigned int to, struct frame_spec spec)
{
	struct frame_spec addressed = spec;
	static const uint8_t zero[16];

	frame_addr(&addressed, from, to);
	if (memcmp(spec.saddr, zero, 16))
		memcpy(addressed.saddr, spec.saddr, 16);
	if (memcmp(spec.daddr, zero, 16))
		memcpy(addressed.daddr, spec.daddr, 16);
	frame_build(&frame, &addressed);
	return &frame;
}

bool sent_by(unsigned int from, unsigned int to, struct frame_spec spec)
{
	uint64_t before = port[to].frames;
	struct pkt pkt, *pkts = &pkt;

	pkt_of_frame(&pkt, frame_of(from, to, spec), 0);
	assert_int_equal(vsw_send(&port[from].port, &pkts, 1), 1);
	return port[to].frames > before;
}

bool tcp(unsigned int from, unsigned int to, uint16_t sport, uint16_t dport, uint8_t flags)
{
	return sent_by(from, to,
		       (struct frame_spec){.ip = 4,
					   .proto = IPPROTO_TCP,
					   .sport = sport,
					   .dport = dport,
					   .tcp_flags = flags});
}

bool udp(unsigned int from, unsigned int to, uint16_t sport, uint16_t dport)
{
	return sent_by(from, to,
		       (struct frame_spec){.ip = 4,
					   .proto = IPPROTO_UDP,
					   .sport = sport,
					   .dport = dport,
					   .payload_len = 10});
}

bool ping(unsigned int from, unsigned int to, uint8_t type, uint16_t id)
{
	uint64_t before = port[to].frames;
	struct pkt pkt, *pkts = &pkt;
	struct frame *f = frame_of(
		from, to,
		(struct frame_spec){.ip = 4, .proto = IPPROTO_ICMP, .payload_len = 32});

	f->data[f->l4] = type;
	f->data[f->l4 + 1] = 0;
	f->data[f->l4 + 4] = (uint8_t)(id >> 8);
	f->data[f->l4 + 5] = (uint8_t)id;
	frame_sum(f);
	pkt_of_frame(&pkt, f, 0);
	assert_int_equal(vsw_send(&port[from].port, &pkts, 1), 1);
	return port[to].frames > before;
}

bool connects(unsigned int from, unsigned int to, uint16_t sport, uint16_t dport)
{
	return tcp(from, to, sport, dport, TCP_SYN) &&
	       tcp(to, from, dport, sport, TCP_SYN | TCP_ACK) &&
	       tcp(from, to, sport, dport, TCP_ACK);
}

const struct policy_rule allow_all = {.name = "allow-all",
				      .priority = 1000,
				      .stateful = true,
				      .match = {.vni = POLICY_ANY_VNI}};
const struct policy_rule deny_all = {.name = "deny-all",
				     .priority = 2000,
				     .match = {.vni = POLICY_ANY_VNI},
				     .action = {.verdict = POLICY_DENY}};

struct policy *policy_of_rules(const struct policy_rule *out, uint32_t n_out,
			       const struct policy_rule *in, uint32_t n_in)
{
	const struct policy_group groups[] = {
		{.name = "g", .dir = POLICY_OUT, .rules = out, .n_rules = n_out},
		{.name = "g", .dir = POLICY_IN, .rules = in, .n_rules = n_in},
	};
	const struct policy_layer layer = {.name = "l", .groups = groups, .n_groups = 2};
	const struct policy_spec spec = {.layers = &layer, .n_layers = 1};
	struct policy *p = policy_new(&spec, NULL, NULL);

	assert_non_null(p);
	return p;
}

void give(unsigned int host, struct policy *p, bool flush)
{
	assert_int_equal(vsw_port_set_policy(&port[host].port, p, flush), 0);
	policy_put(p);
}

struct vsw_flow_stats stats_of(unsigned int host)
{
	struct vsw_flow_stats s;

	assert_true(vsw_port_flow_stats(&port[host].port, &s));
	return s;
}

void ticks(void)
{
	for (unsigned int i = 0; i < 5; i++)
		vsw_tick(vsw);
}

struct policy *ssh_only(void)
{
	static const uint8_t proto = IPPROTO_TCP;
	static const struct policy_range ssh = {22, 22};
	const struct policy_rule in[] = {
		{.name = "ssh",
		 .priority = 100,
		 .stateful = true,
		 .match = {.proto = &proto,
			   .n_proto = 1,
			   .dport = &ssh,
			   .n_dport = 1,
			   .vni = POLICY_ANY_VNI}},
		deny_all,
	};

	return policy_of_rules(&allow_all, 1, in, 2);
}

struct policy *nothing_in(void)
{
	return policy_of_rules(&allow_all, 1, &deny_all, 1);
}
