/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns "hvlab drill": a drill from its preconditions to its report. */
#include "host/cli/drill.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "host/cli/commands.h"
#include "host/cli/drill_check.h"
#include "host/cli/report.h"

#define KEEP_SAMPLES 20	    /* cycles whose pictures are kept, the first ones; and the last */
#define CYCLE_MS     600000 /* the sampler's longest run */
#define CLEAN_MS     60000
#define LOOK_MS	     100

/* A line of progress, unless the output is for a program that reads both. */
static void say(const struct drill *d, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void say(const struct drill *d, const char *fmt, ...)
{
	char text[600];
	va_list ap;

	(void)d;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	for (char *c = text; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
	fprintf(stderr, "%s\n", text);
}

/* ---- a cycle ---- */

/* The longest of each flow in any cycle. */
static void note_worst(struct drill *d, const char *flow, const json_t *gap)
{
	const json_t *old = json_object_get(d->worst, flow);

	if (!old || json_number_value(json_object_get(gap, "ms")) >
			    json_number_value(json_object_get(old, "ms")))
		json_object_set(d->worst, flow, (json_t *)gap);
}

/* Gaps of all flows, each with the flow's name; connections lost; losses since the last time. */
static void take_flows(struct drill *d, const json_t *flows)
{
	json_t *gaps = json_array(), *dead = json_array(), *flow, *gap, *seen = json_object();
	long long lost = 0, changed = 0;
	size_t i, k;

	json_array_foreach ((json_t *)flows, i, flow) {
		const char *name = out_str(flow, "flow", "?");
		const char *why = out_str(flow, "connection_lost", NULL);
		long long now[] = {out_int(flow, "lost"), out_int(flow, "changed")};
		const json_t *old = json_object_get(d->lost, name);
		char text[400];

		json_array_foreach (json_object_get(flow, "gaps"), k, gap) {
			json_t *copy = json_deep_copy(gap);

			json_object_set_new(copy, "flow", json_string(name));
			json_array_append_new(gaps, copy);
			note_worst(d, name, gap);
		}
		lost += now[0] - json_integer_value(json_array_get(old, 0));
		changed += now[1] - json_integer_value(json_array_get(old, 1));
		json_object_set_new(seen, name,
				    json_pack("[I, I]", (json_int_t)now[0], (json_int_t)now[1]));
		/* Told once, in the cycle that saw it first. */
		if (why && !json_array_get(old, 2)) {
			snprintf(text, sizeof(text), "%s: %s", name, why);
			json_array_append_new(dead, json_string(text));
		}
		if (why)
			json_array_append_new(json_object_get(seen, name), json_true());
	}
	json_decref(d->lost);
	d->lost = seen;
	if (d->cycle) {
		json_object_set(d->cycle, "gaps", gaps);
		json_object_set(d->cycle, "connections_lost", dead);
		json_object_set_new(d->cycle, "lost", json_integer(lost > 0 ? lost : 0));
		json_object_set_new(d->cycle, "changed", json_integer(changed));
	}
	json_decref(gaps);
	json_decref(dead);
}

/* What the counters grew by, in the cycle: frames dropped, and frames kept for a while. */
static void take_counters(struct drill *d, const json_t *after)
{
	json_t *grown = json_object(), *v;
	json_int_t parked = 0;
	const char *key;

	json_object_foreach ((json_t *)after, key, v) {
		json_int_t by = json_integer_value(v) -
				json_integer_value(json_object_get(d->counters, key));

		if (by > 0 && strstr(key, " parked"))
			parked += by;
		else if (by > 0)
			json_object_set_new(grown, key, json_integer(by));
	}
	json_object_set_new(d->cycle, "dropped", grown);
	json_object_set_new(d->cycle, "parked", json_integer(parked));
}

static void keep_samples(struct drill *d, json_t *samples)
{
	json_t *all = json_object_get(d->report, "samples");
	size_t n = json_array_size(all);

	if (!samples)
		return;
	json_object_set(samples, "n", json_object_get(d->cycle, "n"));
	if (n > KEEP_SAMPLES)
		json_array_remove(all, n - 1);
	json_array_append_new(all, samples);
}

/* The state after a cycle is legal; else the drill cannot go on. */
static int look_at_state(struct drill *d)
{
	json_t *status = NULL, *vm, *nic, *netdevs = NULL;
	char why[300];
	size_t i;
	int ret = drill_status(d, &status);

	if (ret)
		return ret;
	json_array_foreach (json_object_get(status, "vms"), i, vm) {
		if (strcmp(out_str(vm, "name", ""), d->target.name) != 0)
			continue;
		nic = drill_find_nic(vm, d->target.vnic);
		if (!strcmp(out_str(vm, "state", ""), "ready"))
			ret = drill_netdevs(d, &netdevs);
		if (!ret && !judge_state(vm, nic, netdevs, drill_has_vf(nic), why, sizeof(why)))
			ret = drill_fail(d, -EPROTO, "%s", why);
	}
	json_object_set_new(d->report, "netdevs", netdevs ? netdevs : json_null());
	json_decref(status);
	return ret;
}

/* What can be asked after a cycle's operations, whether they worked or not. */
static int look_after(struct drill *d)
{
	json_t *samples = NULL, *flows = NULL, *counters = NULL, *lines = json_array();
	int first = 0, ret;

	ret = drill_sampler_stop(d, &samples);
	first = ret;
	keep_samples(d, samples);
	if (d->loading) {
		ret = drill_load_ask(d, &flows);
		first = first ? first : ret;
		if (flows)
			take_flows(d, flows);
		json_decref(flows);
	}
	ret = first == -EINTR || first == -EPIPE ? first : drill_counters(d, &counters);
	first = first ? first : ret;
	if (counters)
		take_counters(d, counters);
	json_decref(counters);
	if (!first)
		first = drill_complaints(d, lines);
	json_object_set_new(d->cycle, "complaints", lines);
	return first ? first : look_at_state(d);
}

static int one_cycle(struct drill *d, unsigned int n)
{
	const struct drill_kind *k = d->kind;
	int ret = 0, after;

	d->why[0] = '\0';
	d->cycle = json_pack("{s:i, s:I, s:[], s:[], s:[]}", "n", (int)n, "start_ns",
			     (json_int_t)now_ns(), "operations", "gaps", "connections_lost");
	json_array_append(d->cycles, d->cycle);
	json_decref(d->cycle); /* @cycles has it */
	if (k->prepare)
		ret = k->prepare(d);
	if (!ret && k->prepare) { /* what was before is not judged */
		json_object_set(d->cycle, "preparation", json_object_get(d->cycle, "operations"));
		json_object_set_new(d->cycle, "operations", json_array());
		json_object_set_new(d->cycle, "start_ns", json_integer((json_int_t)now_ns()));
	}
	json_decref(d->counters);
	d->counters = NULL;
	if (!ret)
		ret = drill_counters(d, &d->counters);
	if (!ret && k->prepare && d->loading) {
		json_t *flows;

		ret = drill_load_ask(d, &flows); /* what was before is not this cycle's */
		take_flows(d, flows);
		json_decref(flows);
		json_object_set_new(d->cycle, "start_ns", json_integer((json_int_t)now_ns()));
	}
	if (!ret)
		ret = drill_sampler_start(d, CYCLE_MS);
	if (ret)
		goto out;
	ret = drill_pause(d, d->opt.settle_ms);
	if (!ret)
		ret = k->cycle(d);
	if (!ret)
		ret = drill_pause(d, d->opt.settle_ms);
	if (ret && ret != -EINTR)
		json_object_set_new(d->cycle, "broken", json_string(d->why));
	if (ret != -EINTR && ret != -EPIPE) {
		after = look_after(d);
		if (after && !ret)
			json_object_set_new(d->cycle, "broken", json_string(d->why));
		ret = ret ? ret : after;
	}
out:
	if (ret && !json_object_get(d->cycle, "broken"))
		json_object_set_new(d->cycle, "broken",
				    json_string(ret == -EINTR ? "stopped by a signal" : d->why));
	json_object_set_new(d->cycle, "end_ns", json_integer((json_int_t)now_ns()));
	judge_cycle(d->cycle, &d->opt.limits);
	d->broken = ret != 0;
	if (!ret && k->storm && strcmp(out_str(d->cycle, "verdict", ""), "pass") != 0)
		d->broken = true;
	return ret;
}

static void say_cycle(const struct drill *d)
{
	const json_t *ops = json_object_get(d->cycle, "operations");
	char text[400] = "";
	double worst = 0;
	size_t len = 0, i;
	json_t *o;

	json_array_foreach ((json_t *)ops, i, o)
		if (len < sizeof(text))
			len += (size_t)snprintf(text + len, sizeof(text) - len, "%s %.0f ms, ",
						out_str(o, "op", "?"),
						json_number_value(json_object_get(o, "ms")));
	json_array_foreach (json_object_get(d->cycle, "gaps"), i, o)
		worst = MAX(worst, json_number_value(json_object_get(o, "ms")));
	say(d, "cycle %lld of %u: %slongest gap %.0f ms, %lld lost: %s%s%s", out_int(d->cycle, "n"),
	    d->opt.cycles, text, worst, out_int(d->cycle, "lost"),
	    out_str(d->cycle, "verdict", "?"), *d->why ? ": " : "", d->why);
}

/* ---- the whole ---- */

static int baseline(struct drill *d)
{
	json_t *flows = NULL, *gaps;
	int ret;

	ret = drill_load_ask(d, &flows);
	json_decref(flows);
	flows = NULL;
	if (!ret)
		ret = drill_pause(d, d->opt.baseline_ms);
	if (!ret)
		ret = drill_load_ask(d, &flows);
	if (ret)
		return ret;
	d->cycle = json_object();
	take_flows(d, flows);
	gaps = json_incref(json_object_get(d->cycle, "gaps"));
	json_object_set_new(d->report, "baseline",
			    json_pack("{s:i, s:o, s:O*}", "ms", (int)d->opt.baseline_ms, "gaps",
				      gaps, "lost", json_object_get(d->cycle, "lost")));
	json_decref(d->cycle);
	d->cycle = NULL;
	json_object_clear(d->worst);
	json_decref(flows);
	return 0;
}

static int prepare(struct drill *d)
{
	int ret = drill_clock(d, &d->target);

	if (!ret && *d->peer.name)
		ret = drill_clock(d, &d->peer);
	if (!ret)
		ret = drill_complaints(d, NULL); /* what was before is not ours */
	if (!ret && !d->opt.load)
		return 0;
	if (!ret) {
		say(d, "load between %s and %s (%s)", d->target.name, d->peer.name,
		    d->peer.address);
		ret = drill_load_start(d);
	}
	return ret ? ret : baseline(d);
}

/*
 * What the load says at its end. Its own longest gap may lie before the first cycle; that of the
 * cycles counts.
 */
static void take_last(struct drill *d, json_t *flows)
{
	json_t *flow;
	size_t i;

	json_array_foreach (flows, i, flow) {
		const char *name = out_str(flow, "flow", "?");
		json_t *worst = json_object_get(d->worst, name);

		json_object_del(flow, "gaps");
		json_object_set(flow, "longest", worst ? worst : json_null());
	}
	if (flows)
		json_object_set(d->report, "flows", flows);
}

/*
 * An operation that was interrupted goes on in the daemon: the VF can be given back when that is
 * over, or comes back by it.
 */
static void give_back(struct drill *d)
{
	uint64_t end = now_ns() + CLEAN_MS * NSEC_PER_MSEC;
	const char *id = d->target.vnic;
	int ret;

	say(d, "giving the VF of %s back", id);
	for (;;) {
		json_t *nic;
		bool busy, driven;

		ret = drill_nic(d, id, &nic);
		if (ret)
			break;
		busy = json_is_true(out_path(nic, "vf.busy"));
		driven = !strcmp(out_str(nic, "vf.state", ""), "driven");
		json_decref(nic);
		if (driven && !busy) {
			say(d, "the VF of %s is back", id);
			return;
		}
		if (!busy)
			ret = drill_call(d, "vf-restore", json_pack("{s:s}", "vnic", id), CLEAN_MS,
					 NULL);
		if ((ret && ret != -EBUSY && ret != -EINVAL) || now_ns() > end)
			break;
		if (drill_pause(d, LOOK_MS))
			break;
	}
	cli_error("hvlab vf list shows when it can be restored; hvlab vf restore does it",
		  "the VF of %s is not back: %s", id, ret ? d->why : "the daemon is busy with it");
}

/* What a cycle had begun when it was stopped. */
static void undo_cycle(struct drill *d)
{
	char vnic[2 * DRILL_NAME];

	if (d->unlinked &&
	    drill_call(d, "link-set", json_pack("{s:s, s:b}", "vnic", d->target.vnic, "up", 1), 0,
		       NULL))
		cli_error("hvlab link up does it", "the link of %s stays down: %s", d->target.vnic,
			  d->why);
	if (d->added) {
		snprintf(vnic, sizeof(vnic), "%s/" DRILL_NIC, d->target.name);
		say(d, "removing %s", vnic);
		if (drill_call(d, "nic-del", json_pack("{s:s}", "vnic", vnic), CLEAN_MS, NULL))
			cli_error("hvlab nic list shows it", "%s is not removed: %s", vnic, d->why);
	}
	if (d->migrating) {
		say(d, "cancelling the migration of %s", d->target.name);
		/* Too late is no mistake: then the guest arrives. */
		drill_call(d, "vm-migrate-cancel", json_pack("{s:s}", "vm", d->target.name), 0,
			   NULL);
		d->touched = true;
	}
}

/* Whatever happened: no load, no sampler, the VF where it was. A second Ctrl-C ends us at once. */
static void clean_up(struct drill *d)
{
	char why[sizeof(d->why)];
	json_t *flows = NULL;
	bool interrupted;

	memcpy(why, d->why, sizeof(why));
	drill_signals_end(d);
	interrupted = d->interrupted;
	if (d->gpe_off)
		drill_ejections(d, true);
	if (d->sampling)
		drill_sampler_stop(d, NULL);
	undo_cycle(d);
	/* What broke a storm is left for a look. */
	if (d->touched && !(d->kind->storm && d->broken && !interrupted))
		give_back(d);
	if (d->loading) {
		drill_load_stop(d, &flows);
		take_last(d, flows);
		json_decref(flows);
	}
	memcpy(d->why, why, sizeof(why));
	d->interrupted = interrupted;
}

static void final_state(struct drill *d)
{
	json_t *final = json_object();
	char why[sizeof(d->why)];
	int ret;

	memcpy(why, d->why, sizeof(why));
	ret = look_at_state(d);
	if (ret)
		json_object_set_new(final, "why", json_string(d->why));
	memcpy(d->why, why, sizeof(why));
	json_object_set_new(final, "ok", json_boolean(!ret));
	json_object_set_new(d->report, "final", final);
}

static json_t *limits_json(const struct drill_limits *l)
{
	return json_pack("{s:i, s:i, s:i, s:i, s:i, s:i}", "gap_ms", (int)l->gap_ms, "lost",
			 (int)l->lost, "dropped", (int)l->dropped, "connections",
			 (int)l->connections, "complaints", (int)l->complaints, "op_ms",
			 (int)l->op_ms);
}

static json_t *options_json(const struct drill_options *o)
{
	json_t *load = json_array();

	for (unsigned int i = 0; drill_loads[i]; i++)
		if (o->load & 1u << i)
			json_array_append_new(load, json_string(drill_loads[i]));
	return json_pack("{s:i, s:o, s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:s?, s:i, s:s}",
			 "cycles", (int)o->cycles, "load", load, "way", o->way, "rate",
			 (int)o->rate, "size", (int)o->size, "connections", (int)o->connections,
			 "away_ms", (int)o->away_ms, "settle_ms", (int)o->settle_ms,
			 "delay_link_ms", (int)o->delay_link_ms, "hold_both_ms",
			 (int)o->hold_both_ms, "down_ms", (int)o->down_ms, "order", o->order,
			 "order_gap_ms", (int)o->order_gap_ms, "vf", o->vf);
}

/* What a kind's own options come to, in words; NULL: it has none. */
static const char *how(const struct drill *d, char *buf, size_t size)
{
	const struct drill_options *o = &d->opt;
	const char *kind = d->kind->name;

	if (!strcmp(kind, "revoke") || !strcmp(kind, "storm") || !strcmp(kind, "servicing"))
		snprintf(buf, size, "%s", o->way);
	else if (!strcmp(kind, "migrate"))
		snprintf(buf, size, "the VF by %s",
			 strcmp(o->vf, "manager") ? "QEMU's failover" : "the manager");
	else if (!strcmp(kind, "hotplug") && (o->order || o->order_gap_ms))
		snprintf(buf, size, "%s, %u ms between", o->order ? o->order : "synthetic-first",
			 o->order_gap_ms);
	else
		return NULL;
	return buf;
}

static void begin_report(struct drill *d)
{
	time_t t = time(NULL);
	char date[32], words[64];
	struct tm tm;

	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &tm));
	d->report =
		json_pack("{s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:I, s:[], s:[], s:[]}", "drill",
			  d->kind->name, "target", d->kind->nic ? d->target.vnic : d->target.name,
			  "version", HVLAB_VERSION, "date", date, "summary", d->kind->summary,
			  "options", options_json(&d->opt), "limits", limits_json(&d->opt.limits),
			  "start_ns", (json_int_t)now_ns(), "cycles", "samples", "events");
	json_object_set_new(d->report, "how", json_pack("s?", how(d, words, sizeof(words))));
	d->cycles = json_object_get(d->report, "cycles");
	d->events = json_object_get(d->report, "events");
	d->lost = json_object();
	d->worst = json_object();
}

/* A file that a renderer fills. */
static int write_file(const char *path, void (*render)(FILE *to, const json_t *report),
		      const json_t *report)
{
	FILE *to = fopen(path, "w");

	if (to)
		render(to, report);
	if (!to || fflush(to) || ferror(to)) {
		cli_error(NULL, "cannot write %s: %s", path, strerror(errno));
		if (to)
			fclose(to);
		return -1;
	}
	fclose(to);
	return 0;
}

static int finish_report(struct drill *d, int rc)
{
	bool pass;

	if (rc && rc != -EINTR && *d->why && !json_array_size(d->cycles))
		json_object_set_new(d->report, "error", json_string(d->why));
	else if (rc == -EINTR)
		json_object_set_new(d->report, "error", json_string("stopped by a signal"));
	json_object_set_new(d->report, "end_ns", json_integer((json_int_t)now_ns()));
	json_object_set_new(d->report, "clock",
			    json_pack("{s:f, s:f}", "target_error_ms",
				      (double)d->target.error_ns / 1e6, "peer_error_ms",
				      (double)d->peer.error_ns / 1e6));
	judge_report(d->report, &d->opt.limits);
	pass = !strcmp(out_str(d->report, "verdict", ""), "pass");
	if (d->saved) {
		json_object_set_new(d->report, "saved", json_string(d->saved));
		drill_keep_report(d);
	}
	out_result(&d->cli->out, d->report, report_text);
	if ((d->opt.junit && write_file(d->opt.junit, report_junit, d->report) < 0) ||
	    (d->opt.html && write_file(d->opt.html, report_html, d->report) < 0))
		return CLI_FAILED;
	return d->interrupted ? CLI_INTERRUPTED : pass ? CLI_OK : CLI_FAILED;
}

static int run(struct cli *cli, int argc, char **argv)
{
	struct drill d = {.cli = cli, .sigfd = -1};
	const char *target = drill_parse(&d, argc, argv);
	int ret, status;

	if (cli_connect(cli) < 0)
		return CLI_FAILED;
	ret = drill_check(&d, target);
	if (ret) {
		cli_error(NULL, "%s", d.why);
		return d.interrupted ? CLI_INTERRUPTED : CLI_FAILED;
	}
	begin_report(&d);
	drill_describe(&d);
	client_on_event(cli->client, drill_on_event, &d);
	d.sigfd = cli_signals();
	client_wake_on(cli->client, d.sigfd);
	ret = drill_call(&d, "events-subscribe", NULL, 0, NULL);
	if (!ret)
		ret = prepare(&d);
	for (unsigned int n = 1; !ret && !d.broken && n <= d.opt.cycles; n++) {
		ret = one_cycle(&d, n);
		say_cycle(&d);
	}
	if (d.broken && d.kind->storm && !d.interrupted)
		d.saved = drill_keep(&d); /* before anything is cleaned up */
	clean_up(&d);
	if (ret != -EINTR && ret != -EPIPE)
		final_state(&d);
	status = finish_report(&d, ret);
	free(d.saved);
	json_decref(d.counters);
	json_decref(d.lost);
	json_decref(d.worst);
	json_decref(d.report);
	return status;
}

const struct cli_command cmd_drill = {
	.name = "drill",
	.args = "KIND TARGET [OPTIONS]",
	.summary = "Take a VF away and give it back, under load, with a verdict",
	.help = drill_help,
	.json = true,
	.run = run,
};
