/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns what a drill does inside the guests: load, clocks, kernel logs, netdevs. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/base64.h"
#include "host/cli/drill.h"

#define LOAD	     "/usr/lib/hvlab/load"
#define LOAD_PORT    7900
#define CLOCK_TRIES  8
#define LEASE_S	     180  /* the load ends by itself so long after the last question, */
#define LEASE_DEAD_S 1800 /* when a driver has to get over a dead device */
#define START_MS     90000
#define STOP_MS	     60000
#define ASK_MS	     30000

/* Its status, or -errno. */
static int run_script(struct drill *d, const char *vm, unsigned int timeout_ms, char **out,
		      char *err, size_t err_size, const char *script)
{
	json_t *value = NULL, *args;
	size_t size = 0;
	char *text;
	int ret;

	args = json_pack("{s:s, s:[s, s, s, s], s:i}", "vm", vm, "argv", "busybox", "sh", "-c",
			 script, "timeout_ms", (int)timeout_ms);
	ret = drill_call(d, "vm-exec", args, (int)timeout_ms + 5000, &value);
	if (ret)
		return ret;
	text = base64_decode(out_str(value, "stderr", ""), &size);
	snprintf(err, err_size, "%.*s", (int)MIN(size, err_size - 1), text ? text : "");
	free(text);
	if (out) {
		text = base64_decode(out_str(value, "stdout", ""), &size);
		*out = calloc(1, size + 1);
		if (*out && text)
			memcpy(*out, text, size);
		free(text);
		if (!*out)
			ret = -ENOMEM;
	}
	if (!ret)
		ret = json_is_integer(json_object_get(value, "exitcode"))
			      ? (int)out_int(value, "exitcode")
			      : 255;
	json_decref(value);
	return ret;
}

int drill_run(struct drill *d, const char *vm, unsigned int timeout_ms, char **out, const char *fmt,
	      ...)
{
	char *script = NULL, err[300] = "";
	va_list ap;
	int ret;

	if (out)
		*out = NULL;
	va_start(ap, fmt);
	ret = vasprintf(&script, fmt, ap);
	va_end(ap);
	if (ret < 0)
		return drill_fail(d, -ENOMEM, "out of memory");
	ret = run_script(d, vm, timeout_ms, out, err, sizeof(err), script);
	free(script);
	if (ret > 0) {
		err[strcspn(err, "\n")] = '\0';
		ret = drill_fail(d, -EREMOTEIO, "in %s: %s", vm, *err ? err : "the script failed");
	}
	if (ret && out) {
		free(*out);
		*out = NULL;
	}
	return ret;
}

/*
 * The guest's CLOCK_MONOTONIC is the time in /proc/timer_list ("now at N nsecs"). It was read
 * some time between question and answer: the quickest of a few tries is the best.
 */
int drill_clock(struct drill *d, struct drill_vm *vm)
{
	vm->error_ns = INT64_MAX;
	for (int i = 0; i < CLOCK_TRIES; i++) {
		uint64_t before = now_ns(), after;
		unsigned long long guest;
		char *out;
		int ret = drill_run(d, vm->name, ASK_MS, &out,
				    "while read -r a b c rest; do [ \"$a $b\" = 'now at' ] && "
				    "echo $c && exit; done </proc/timer_list; exit 1");

		if (ret)
			return ret;
		after = now_ns();
		if (sscanf(out, "%llu", &guest) == 1 &&
		    (int64_t)(after - before) / 2 < vm->error_ns) {
			vm->error_ns = (int64_t)(after - before) / 2;
			vm->offset_ns = (int64_t)(before + (after - before) / 2) - (int64_t)guest;
		}
		free(out);
	}
	if (vm->error_ns == INT64_MAX)
		return drill_fail(d, -EPROTO, "%s does not tell its time", vm->name);
	return 0;
}

int drill_load_start(struct drill *d)
{
	bool dead = !strcmp(d->opt.way, "surprise") || !strcmp(d->opt.way, "refused");
	unsigned int load = d->opt.load, lease;
	char flows[64] = "", tcp[24] = "";
	int ret;

	lease = (dead ? LEASE_DEAD_S : LEASE_S) + d->opt.away_ms / 1000;

	if (load & DRILL_TCP)
		snprintf(tcp, sizeof(tcp), " --tcp %u", d->opt.connections);
	snprintf(flows, sizeof(flows), "%s%s%s%s", tcp, load & DRILL_UDP ? " --udp" : "",
		 load & DRILL_PING ? " --ping" : "", load & DRILL_IPERF3 ? " --iperf3" : "");
	ret = drill_run(d, d->peer.name, START_MS, NULL,
			"%s stop server >/dev/null 2>&1; "
			"exec %s serve --port %d --lease %u",
			LOAD, LOAD, LOAD_PORT, lease);
	if (ret)
		return ret;
	d->loading = true;
	return drill_run(d, d->target.name, START_MS, NULL,
			 "%s stop client >/dev/null 2>&1; "
			 "exec %s run %s%s --rate %u --size %u --port %d --lease %u",
			 LOAD, LOAD, d->peer.address, flows, d->opt.rate, d->opt.size, LOAD_PORT,
			 lease);
}

static const json_t *find_flow(const json_t *report, const char *name)
{
	json_t *flow;
	size_t i;

	json_array_foreach (json_object_get(report, "flows"), i, flow)
		if (!strcmp(out_str(flow, "flow", ""), name))
			return flow;
	return NULL;
}

/* Both ends' reports, flow by flow and way by way. */
static json_t *merge(struct drill *d, const json_t *client, const json_t *server)
{
	json_t *flows = json_array(), *here;
	char name[200];
	size_t i;

	json_array_foreach (json_object_get(client, "flows"), i, here) {
		const char *flow = out_str(here, "flow", "?"), *kind = out_str(here, "kind", "?");
		const json_t *there = find_flow(server, flow);

		if (!strcmp(kind, "ping") || !strcmp(kind, "iperf3")) {
			snprintf(name, sizeof(name), "%.32s %s-%s", flow, d->target.name,
				 d->peer.name);
			json_array_append_new(flows,
					      judge_flow(name, here, here, d->target.offset_ns));
			continue;
		}
		snprintf(name, sizeof(name), "%.32s %s>%s", flow, d->target.name, d->peer.name);
		json_array_append_new(flows, judge_flow(name, here, there, d->peer.offset_ns));
		snprintf(name, sizeof(name), "%.32s %s>%s", flow, d->peer.name, d->target.name);
		json_array_append_new(flows, judge_flow(name, there, here, d->target.offset_ns));
	}
	return flows;
}

/* The same question to both ends. */
static int both(struct drill *d, const char *signal, const char *file, unsigned int limit_ms,
		json_t **flows)
{
	static const char *const roles[] = {"client", "server"};
	const char *const vms[] = {d->target.name, d->peer.name};
	json_t *reports[2] = {NULL, NULL};
	int ret = 0, first = 0;

	*flows = NULL;
	for (int i = 0; i < 2; i++) {
		char *out;

		/* The server is asked also when the client is gone: it may know why. */
		ret = drill_run(d, vms[i], limit_ms, &out,
				"cd /run/hvlab/load || exit; p=$(cat %s.pid) || exit; f=%s.%s; "
				"kill -0 $p 2>/dev/null || { cat %s.final; exit; }; "
				"rm -f $f; kill -%s $p; n=0; while [ ! -e $f ]; do "
				"[ $((n=n+1)) -lt 2000 ] || exit 1; usleep 10000; done; cat $f",
				roles[i], roles[i], file, roles[i], signal);
		if (!ret) {
			reports[i] = json_loads(out, 0, NULL);
			free(out);
			if (!reports[i])
				ret = drill_fail(d, -EPROTO, "the load in %s says nonsense",
						 vms[i]);
			else if (!first && out_str(reports[i], "trouble", NULL))
				first = drill_fail(d, -EIO, "the load in %s ended: %s", vms[i],
						   out_str(reports[i], "trouble", ""));
		}
		if (ret && !first)
			first = ret;
		if (ret == -EINTR)
			break;
	}
	if (reports[0] && reports[1])
		*flows = merge(d, reports[0], reports[1]);
	json_decref(reports[0]);
	json_decref(reports[1]);
	return first;
}

int drill_load_ask(struct drill *d, json_t **flows)
{
	return both(d, "USR1", "json", ASK_MS, flows);
}

int drill_load_stop(struct drill *d, json_t **flows)
{
	d->loading = false;
	return both(d, "TERM", "final", STOP_MS, flows);
}

static int complaints_of(struct drill *d, struct drill_vm *vm, json_t *lines)
{
	char *out, *save = NULL;
	int ret;

	/* Lines as the kernel prints them: "[  123.456789] text". */
	ret = drill_run(d, vm->name, ASK_MS, &out,
			"dmesg | busybox awk -F'[][]' -v since=%.6f '$2 + 0 > since'",
			vm->kernel_time);
	if (ret)
		return ret;
	for (char *line = strtok_r(out, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char text[500];
		json_t *string;
		double at;

		if (sscanf(line, "[%lf]", &at) == 1 && at > vm->kernel_time)
			vm->kernel_time = at;
		if (!lines || !judge_complains(line, d->opt.strict_complaints))
			continue;
		snprintf(text, sizeof(text), "%s: %.400s", vm->name, line);
		string = json_string(text);
		json_array_append_new(lines, string ? string : json_string("(not UTF-8)"));
	}
	free(out);
	return 0;
}

int drill_complaints(struct drill *d, json_t *lines)
{
	int ret = complaints_of(d, &d->target, lines);

	if (!ret && *d->peer.name)
		ret = complaints_of(d, &d->peer, lines);
	return ret;
}

int drill_netdevs(struct drill *d, json_t **list)
{
	char *out, *save = NULL;
	int ret;

	*list = NULL;
	ret = drill_run(d, d->target.name, ASK_MS, &out,
			"for n in /sys/class/net/*; do read -r m <$n/address; [ \"$m\" = %s ] || "
			"continue; read -r s <$n/operstate; d=; p=; "
			"[ -e $n/device/driver ] && d=$(readlink -f $n/device/driver); "
			"[ -e $n/master ] && p=$(readlink -f $n/master); set -- $n/lower_*; "
			"[ -e \"$1\" ] && d=net_failover; "
			"echo \"${n##*/} ${d##*/} $s ${p##*/}\"; done",
			d->target.mac);
	if (ret)
		return ret;
	*list = json_array();
	for (char *line = strtok_r(out, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char name[33] = "", driver[65] = "", state[33] = "", master[33] = "";
		json_t *o;

		/* Fields may be empty: cut at single spaces. */
		char *p = line;
		char *const to[] = {name, driver, state, master};
		const size_t sizes[] = {sizeof(name), sizeof(driver), sizeof(state),
					sizeof(master)};

		for (size_t i = 0; i < ARRAY_SIZE(to) && p; i++) {
			char *word = strsep(&p, " ");

			snprintf(to[i], sizes[i], "%s", word);
		}
		o = json_pack("{s:s, s:s, s:s, s:s}", "name", name, "driver", driver, "state",
			      state, "master", master);
		if (o)
			json_array_append_new(*list, o);
	}
	free(out);
	return 0;
}

/*
 * QEMU's ACPI PCI hot plug raises general purpose event 1 (hw/acpi/pcihp); masked, the guest's
 * kernel does not look at the slots. With the event unmasked again it finds what it has missed.
 */
int drill_ejections(struct drill *d, bool on)
{
	int ret = drill_run(d, d->target.name, ASK_MS, NULL,
			    "echo %s >/sys/firmware/acpi/interrupts/gpe01", on ? "unmask" : "mask");

	if (!ret)
		d->gpe_off = !on;
	return ret;
}
