/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One network of vhost ports for QEMUs or DPDK to connect to; figures on request.
 *
 *	vhost_lab DIR PORTS [QUEUES [SPIN_US [MTU [learn]]]]
 *
 * Listens on DIR/s0, DIR/s1 ...; port i has the address 02:15:5d:00:00:(i + 1), or with "learn"
 *none: then a guest may move from one port to another. Prints "ready". Each line on its standard
 *input is answered with a line per port; end of file ends it.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "tests/lib/frame.h"
#include "vswitch/ports/vhost.h"
#include "vswitch/vswitch.h"

#define MAX_PORTS 8

static void on_event(void *arg, const struct vhost_event *ev)
{
	static const char *const names[] = {"connected", "disconnected", "driven",
					    "undriven",	 "announce",	 "guest-error"};

	log_info("%s: %s %s", (const char *)arg, names[ev->type], ev->text ? ev->text : "");
}

static void print_port(unsigned int i, struct vhost *v)
{
	struct vsw_port_stats *st = &vhost_port(v)->stats;
	struct vhost_info info;

	vhost_get_info(v, &info);
	printf("{\"port\": %u, \"driven\": %s, \"features\": %llu, \"protocol\": %llu, \"txq\": "
	       "%u, "
	       "\"rxq\": %u, \"logging\": %s, \"tx\": %llu, \"rx\": %llu, \"tso\": %llu, "
	       "\"gso\": %llu, \"kicks\": %llu, \"calls\": %llu, \"errors\": %llu, "
	       "\"rejected\": %llu, \"announces\": %llu, \"connects\": %llu, \"no_buffer\": %llu, "
	       "\"held_ns\": %llu, \"malformed\": %llu, \"last_error\": \"%s\"}\n",
	       i, info.driven ? "true" : "false", (unsigned long long)info.features,
	       (unsigned long long)info.protocol_features, info.n_txq, info.n_rxq,
	       info.logging ? "true" : "false", (unsigned long long)atomic_load(&st->tx_packets),
	       (unsigned long long)atomic_load(&st->rx_packets), (unsigned long long)info.tx_tso,
	       (unsigned long long)info.rx_gso, (unsigned long long)info.kicks,
	       (unsigned long long)info.calls, (unsigned long long)info.guest_errors,
	       (unsigned long long)info.rejected, (unsigned long long)info.announces,
	       (unsigned long long)info.connects,
	       (unsigned long long)atomic_load(&st->drops[VSW_DROP_NO_BUFFER]),
	       (unsigned long long)info.tx_held_ns,
	       (unsigned long long)atomic_load(&st->tx_drops[VSW_DROP_MALFORMED]), info.last_error);
}

int main(int argc, char **argv)
{
	unsigned int n = argc > 2 ? (unsigned int)atoi(argv[2]) : 0;
	unsigned int queues = argc > 3 ? (unsigned int)atoi(argv[3]) : 1;
	struct worker_conf wc = {.name = "worker",
				 .spin_ns = argc > 4 ? strtoull(argv[4], NULL, 0) * 1000 : 0};
	unsigned int mtu = argc > 5 ? (unsigned int)atoi(argv[5]) : 1500;
	struct vsw_net_conf nc = {.name = "blue", .mtu = mtu};
	struct vhost *v[MAX_PORTS];
	char name[MAX_PORTS][8], line[64];
	struct worker *w;
	struct vsw_net *net;
	struct vsw *vsw;

	if (!n || n > MAX_PORTS) {
		fprintf(stderr, "usage: %s DIR PORTS [QUEUES [SPIN_US [MTU [learn]]]]\n", argv[0]);
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	w = worker_new(&wc);
	vsw = vsw_new();
	net = vsw ? vsw_net_add(vsw, &nc) : NULL;
	if (!w || !net) {
		perror("worker, switch");
		return 1;
	}
	for (unsigned int i = 0; i < n; i++) {
		struct vhost_conf vc = {.name = name[i],
					.max_queues = queues,
					.mtu = mtu,
					.event = on_event,
					.event_arg = name[i]};
		char path[108];
		int rc;

		snprintf(name[i], sizeof(name[i]), "s%u", i);
		if (argc <= 6)
			frame_mac(vc.mac, i + 1);
		snprintf(path, sizeof(path), "%s/s%u", argv[1], i);
		v[i] = vhost_new(w, &vc);
		rc = v[i] ? vsw_port_attach(net, vhost_port(v[i])) : -1;
		if (!rc)
			rc = vhost_listen(v[i], path);
		if (rc) {
			fprintf(stderr, "%s: %s\n", path, strerror(-rc));
			return 1;
		}
	}
	printf("ready\n");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		for (unsigned int i = 0; i < n; i++)
			print_port(i, v[i]);
		fflush(stdout);
	}
	for (unsigned int i = 0; i < n; i++) {
		vsw_port_detach(vhost_port(v[i]));
		vhost_free(v[i]);
	}
	vsw_net_del(net);
	vsw_free(vsw);
	worker_free(w);
	return 0;
}
