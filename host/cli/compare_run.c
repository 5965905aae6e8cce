/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the measuring of "hvlab compare": forcing the path, traffic, counters, CPU time. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/cli/compare.h"

#define PORT	  7950
#define GUEST_MS  20000
#define PING_N	  100
#define TRIES	  3 /* a server that has not yet let the last client go */
#define SWITCH_MS 60000

const struct compare_measure compare_measures[] = {
	{.name = "ping RTT", .unit = "ms", .scale = 1, .less = true},
	{.name = "TCP 1 stream A>B", .unit = "Mbit/s", .iperf3 = "-P 1", .scale = 1e6},
	{.name = "TCP 1 stream B>A", .unit = "Mbit/s", .iperf3 = "-P 1 -R", .scale = 1e6},
	{.name = "TCP 4 streams A>B", .unit = "Mbit/s", .iperf3 = "-P 4", .scale = 1e6},
	{.name = "TCP 4 streams B>A", .unit = "Mbit/s", .iperf3 = "-P 4 -R", .scale = 1e6},
	{.name = "UDP 1400 B A>B", .unit = "Mbit/s", .iperf3 = "-u -b 0 -l 1400", .scale = 1e6},
	{.name = "UDP 1400 B B>A", .unit = "Mbit/s", .iperf3 = "-u -b 0 -l 1400 -R", .scale = 1e6},
	{.name = "UDP 64 B A>B",
	 .unit = "kpps",
	 .iperf3 = "-u -b 0 -l 64",
	 .small = true,
	 .scale = 1e3},
	{.name = "UDP 64 B B>A",
	 .unit = "kpps",
	 .iperf3 = "-u -b 0 -l 64 -R",
	 .small = true,
	 .scale = 1e3},
};
const size_t compare_n_measures = ARRAY_SIZE(compare_measures);

static int force(struct drill *d, const char *vnic, enum compare_path path)
{
	json_t *nic, *args = json_pack("{s:s}", "vnic", vnic);
	bool vf;
	int ret = drill_nic(d, vnic, &nic);

	if (ret) {
		json_decref(args);
		return ret;
	}
	vf = !strcmp(out_str(nic, "vf.state", ""), "driven");
	json_decref(nic);
	if (vf == (path == COMPARE_VF)) {
		json_decref(args);
		return 0;
	}
	return drill_call(d, path == COMPARE_VF ? "vf-restore" : "vf-revoke", args, SWITCH_MS,
			  NULL);
}

int compare_force(struct drill *d, enum compare_path path)
{
	int ret = force(d, d->target.vnic, path);

	return ret ? ret : force(d, d->peer.vnic, path);
}

int compare_serve(struct drill *d, bool on)
{
	if (on)
		return drill_run(
			d, d->peer.name, GUEST_MS, NULL,
			"[ -e /run/compare.pid ] && kill $(cat /run/compare.pid); "
			"rm -f /run/compare.pid; iperf3 -s -D -p %d -I /run/compare.pid && "
			"n=0 && while ! ss -Hltn 'sport = :%d' | grep -q .; do "
			"[ $((n=n+1)) -lt 100 ] || exit 1; usleep 100000; done",
			PORT, PORT);
	return drill_run(d, d->peer.name, GUEST_MS, NULL,
			 "kill $(tr -d '\\000' </run/compare.pid); rm -f /run/compare.pid");
}

/* Packets of each netdev with the NIC's address, both ways, by its driver. */
static int guest_packets(struct drill *d, const struct drill_vm *vm, json_t **out)
{
	char *text, *save = NULL;
	int ret =
		drill_run(d, vm->name, GUEST_MS, &text,
			  "for n in /sys/class/net/*; do read -r m <$n/address; "
			  "[ \"$m\" = %s ] || continue; [ -e $n/device/driver ] || continue; "
			  "set -- $n/lower_*; [ -e \"$1\" ] && continue; " /* the pair itself */
			  "s=$(readlink -f $n/device/driver); read -r r <$n/statistics/rx_packets; "
			  "read -r t <$n/statistics/tx_packets; echo ${s##*/} $((r+t)); done",
			  vm->mac);

	*out = NULL;
	if (ret)
		return ret;
	*out = json_object();
	for (char *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
		char driver[65];
		long long n;

		if (sscanf(l, "%64s %lld", driver, &n) == 2)
			json_object_set_new(*out, driver, json_integer(n));
	}
	free(text);
	return 0;
}

/* A NIC that came in between began at zero, so the difference is never below it. */
static json_t *grown(const json_t *before, const json_t *after)
{
	json_t *o = json_object(), *v;
	const char *key;

	json_object_foreach ((json_t *)after, key, v) {
		json_int_t was = json_integer_value(json_object_get(before, key));
		json_int_t is = json_integer_value(v);

		json_object_set_new(o, key, json_integer(is >= was ? is - was : is));
	}
	return o;
}

/* What the switch counted for each path, both ways. */
static json_t *host_packets(const json_t *samples)
{
	json_t *o = json_object(), *port, *row;
	size_t i, k;

	json_array_foreach (json_object_get(samples, "paths"), i, port) {
		const char *name = out_str(port, "port", "");
		json_int_t n = json_integer_value(json_object_get(o, name));

		json_array_foreach (json_object_get(port, "rows"), k, row)
			n += json_integer_value(json_array_get(row, 2)) +
			     json_integer_value(json_array_get(row, 4));
		json_object_set_new(o, name, json_integer(n));
	}
	return o;
}

/* What the receiver got, per second. */
static double iperf3_figure(const struct compare_measure *m, const json_t *report)
{
	const json_t *sum = out_path(report, "end.sum_received");
	double bits;

	if (!json_is_object(sum))
		sum = out_path(report, "end.sum");
	bits = json_number_value(json_object_get(sum, "bits_per_second"));
	if (!m->small)
		return bits / m->scale;
	return bits / 8 / 64 / m->scale;
}

static int run_iperf3(struct drill *d, const struct compare_measure *m, unsigned int seconds,
		      double *value)
{
	unsigned int limit = (seconds + 40) * 1000;
	json_t *report;
	char *text;
	int ret;

	/* The server's one place may still be taken for a moment. */
	ret = drill_run(d, d->target.name, limit * TRIES, &text,
			"n=0; until iperf3 -c %s -p %d -J -t %u %s >/tmp/compare.json; do "
			"[ $((n=n+1)) -lt %d ] || { cat /tmp/compare.json; exit 0; }; "
			"usleep 500000; done; cat /tmp/compare.json",
			d->peer.address, PORT, seconds, m->iperf3, TRIES);
	if (ret)
		return ret;
	report = json_loads(text, 0, NULL);
	free(text);
	if (!report)
		return drill_fail(d, -EPROTO, "%s: iperf3 gives no report", m->name);
	if (out_str(report, "error", NULL))
		ret = drill_fail(d, -EIO, "%s: iperf3: %s", m->name, out_str(report, "error", ""));
	else
		*value = iperf3_figure(m, report);
	json_decref(report);
	return ret;
}

static int run_ping(struct drill *d, double *value)
{
	char *text;
	int ret = drill_run(d, d->target.name, GUEST_MS * 3, &text,
			    "/usr/bin/ping -c %d -i 0.01 -W 5 %s", PING_N, d->peer.address);

	if (ret)
		return ret;
	*value = compare_median_ping(text);
	free(text);
	return *value < 0 ? drill_fail(d, -EPROTO, "ping: no answer") : 0;
}

int compare_measure(struct drill *d, const struct compare_measure *m, enum compare_path path,
		    unsigned int seconds, json_t **figure)
{
	json_t *before[2] = {NULL, NULL}, *after[2] = {NULL, NULL}, *samples = NULL, *host, *guest;
	json_t *from = NULL, *to = NULL;
	double value = 0;
	char why[300];
	bool valid;
	int ret, end;

	*figure = NULL;
	ret = guest_packets(d, &d->target, &before[0]);
	if (!ret)
		ret = guest_packets(d, &d->peer, &before[1]);
	if (!ret)
		ret = drill_sampler_start(d, 600000);
	if (ret)
		goto out;
	ret = compare_cpu_read(d, &from);
	if (!ret)
		ret = m->iperf3 ? run_iperf3(d, m, seconds, &value) : run_ping(d, &value);
	if (!ret)
		ret = compare_cpu_read(d, &to);
	if (ret == -EINTR)
		goto out;
	end = drill_sampler_stop(d, &samples);
	ret = ret ? ret : end;
	if (!ret)
		ret = guest_packets(d, &d->target, &after[0]);
	if (!ret)
		ret = guest_packets(d, &d->peer, &after[1]);
	if (ret)
		goto out;
	host = host_packets(samples);
	guest = json_pack("{s:o, s:o}", d->target.name, grown(before[0], after[0]), d->peer.name,
			  grown(before[1], after[1]));
	valid = compare_proof(host, guest, path, d->target.vnic, d->peer.vnic, why, sizeof(why));
	*figure =
		json_pack("{s:f, s:b, s:s, s:o, s:o, s:o}", "value", value, "valid", valid, "why",
			  why, "cpu", compare_cpu_between(from, to), "host", host, "guest", guest);
out:
	for (int i = 0; i < 2; i++) {
		json_decref(before[i]);
		json_decref(after[i]);
	}
	json_decref(from);
	json_decref(to);
	json_decref(samples);
	return ret;
}
