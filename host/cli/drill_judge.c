/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the verdicts of drills: from what was seen to PASS or FAIL and why. Talks to nobody.
 *
 * A gap is judged by its net length: what the receiver saw as time between two arrivals, less the
 * pace of the flow, less the time in which the load's own programs did not run.
 */
#include <regex.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "host/cli/drill.h"

static double number(const json_t *o, const char *path)
{
	return json_number_value(out_path(o, path));
}

/* ---- flows ---- */

/* [length, end, of it our own] of the load, in ns of the guest's clock. */
static json_t *gap_json(const json_t *gap, double pace_ms, int64_t offset_ns)
{
	double raw = json_number_value(json_array_get(gap, 0)) / 1e6;
	double own = json_number_value(json_array_get(gap, 2)) / 1e6;
	json_int_t end = json_integer_value(json_array_get(gap, 1));
	double net = raw - own - pace_ms;

	return json_pack("{s:f, s:f, s:f, s:I}", "ms", net > 0 ? net : 0.0, "raw_ms", raw, "own_ms",
			 own, "end_ns", end ? end + (json_int_t)offset_ns : 0);
}

json_t *judge_flow(const char *name, const json_t *tx, const json_t *rx, int64_t offset_ns)
{
	json_t *o = json_object(), *gaps = json_array(), *gap, *longest;
	const json_t *lost = json_object_get(rx, "connection_lost"), *in = out_path(rx, "rx");
	const char *kind = out_str(rx, "kind", out_str(tx, "kind", ""));
	double rate = number(rx, "rate"), pace = rate > 0 ? 1000.0 / rate : 0;
	long long sent = out_int(tx, "sent"), packets = out_int(in, "packets"), missing = 0;
	size_t i;

	if (!json_is_string(lost))
		lost = json_object_get(tx, "connection_lost");
	longest = json_pack("[O?, O?, O?]", json_object_get(in, "gap_ns"),
			    json_object_get(in, "gap_end_ns"), json_object_get(in, "gap_own_ns"));
	json_array_foreach ((json_t *)out_path(in, "gaps"), i, gap)
		json_array_append_new(gaps, gap_json(gap, pace, offset_ns));
	/* What is under way counts as missing until it arrives; a stream that lives loses nothing.
	 */
	if (!strcmp(kind, "udp") || !strcmp(kind, "ping"))
		missing = sent - (packets - out_int(in, "doubled"));
	json_object_set_new(o, "flow", json_string(name));
	json_object_set_new(o, "kind", json_string(kind));
	json_object_set_new(o, "sent", json_integer(sent));
	json_object_set_new(o, "received", json_integer(packets));
	json_object_set_new(o, "bytes", json_integer(out_int(in, "bytes")));
	json_object_set_new(o, "missing", json_integer(missing > 0 ? missing : 0));
	json_object_set_new(o, "lost", json_integer(out_int(in, "lost")));
	json_object_set_new(o, "doubled", json_integer(out_int(in, "doubled")));
	json_object_set_new(o, "reordered", json_integer(out_int(in, "reordered")));
	json_object_set_new(o, "changed", json_integer(out_int(in, "changed")));
	json_object_set_new(o, "longest",
			    longest ? gap_json(longest, pace, offset_ns) : json_null());
	json_object_set_new(o, "gaps", gaps);
	json_object_set_new(o, "connection_lost",
			    json_is_string(lost) ? json_incref((json_t *)lost) : json_null());
	if (json_object_get(rx, "mbps"))
		json_object_set(o, "mbps", json_object_get(rx, "mbps"));
	json_decref(longest);
	return o;
}

/* ---- verdicts ---- */

static void because(json_t *why, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void because(json_t *why, const char *fmt, ...)
{
	char text[400];
	json_t *s;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	s = json_string(text);
	json_array_append_new(why, s ? s : json_string("(not UTF-8)"));
}

/* Beyond a limit; -1: none. */
static bool beyond(double value, long limit)
{
	return limit >= 0 && value > (double)limit;
}

/* The longest of a cycle's gaps; NULL: none was long enough to be told. */
static const json_t *worst_gap(const json_t *cycle)
{
	const json_t *worst = NULL;
	json_t *gap;
	size_t i;

	json_array_foreach (json_object_get(cycle, "gaps"), i, gap)
		if (!worst || number(gap, "ms") > number(worst, "ms"))
			worst = gap;
	return worst;
}

static void judge_operations(json_t *cycle, const struct drill_limits *limits, json_t *why)
{
	json_t *op;
	size_t i;

	json_array_foreach (json_object_get(cycle, "operations"), i, op) {
		const char *error = out_str(op, "error", NULL), *name = out_str(op, "op", "?");
		bool expected = json_is_true(json_object_get(op, "may_fail"));

		if (error && !expected)
			because(why, "%s failed: %s", name, error);
		else if (!error && !expected && beyond(number(op, "ms"), limits->op_ms))
			because(why, "%s took %.0f ms, more than %ld ms", name, number(op, "ms"),
				limits->op_ms);
	}
}

void judge_cycle(json_t *cycle, const struct drill_limits *limits)
{
	const json_t *worst = worst_gap(cycle), *broken = json_object_get(cycle, "broken");
	json_t *why = json_array(), *v;
	long long dropped = 0, connections = 0;
	const char *key;
	size_t i, n;

	judge_operations(cycle, limits, why);
	if (worst && beyond(number(worst, "ms"), limits->gap_ms))
		because(why, "%s stood still for %.0f ms, more than %ld ms",
			out_str(worst, "flow", "?"), number(worst, "ms"), limits->gap_ms);
	if (beyond(number(cycle, "lost"), limits->lost))
		because(why, "%lld datagrams or echoes did not arrive, more than %ld",
			out_int(cycle, "lost"), limits->lost);
	if (out_int(cycle, "changed"))
		because(why, "%lld records arrived changed", out_int(cycle, "changed"));
	json_object_foreach (json_object_get(cycle, "dropped"), key, v)
		dropped += json_integer_value(v);
	if (beyond((double)dropped, limits->dropped))
		because(why, "the switch dropped %lld frames that it had accepted, more than %ld",
			dropped, limits->dropped);
	json_array_foreach (json_object_get(cycle, "connections_lost"), i, v)
		connections++;
	if (beyond((double)connections, limits->connections))
		json_array_foreach (json_object_get(cycle, "connections_lost"), i, v)
			because(why, "connection lost: %s", json_string_value(v));
	n = json_array_size(json_object_get(cycle, "complaints"));
	if (beyond((double)n, limits->complaints))
		because(why, "a guest's kernel complains: %s%s",
			json_string_value(json_array_get(json_object_get(cycle, "complaints"), 0)),
			n > 1 ? " ..." : "");
	if (json_is_string(broken))
		because(why, "%s", json_string_value(broken));
	json_object_set_new(cycle, "verdict", json_string(json_array_size(why) ? "fail" : "pass"));
	json_object_set_new(cycle, "why", why);
}

void judge_report(json_t *report, const struct drill_limits *limits)
{
	const json_t *cycles = json_object_get(report, "cycles");
	bool error = json_is_string(json_object_get(report, "error"));
	size_t failed = 0, i, n = json_array_size(cycles);
	json_t *why = json_array(), *cycle, *flow;
	long long wanted = out_int(report, "options.cycles");

	json_array_foreach ((json_t *)cycles, i, cycle) {
		const char *reason =
			json_string_value(json_array_get(json_object_get(cycle, "why"), 0));

		if (!strcmp(out_str(cycle, "verdict", ""), "pass"))
			continue;
		if (failed++ < 3)
			because(why, "cycle %lld: %s", out_int(cycle, "n"),
				reason ? reason : "not judged");
	}
	if (failed > 3)
		because(why, "%zu cycles more failed", failed - 3);
	if (json_is_string(json_object_get(report, "error")))
		because(why, "%s", out_str(report, "error", ""));
	if ((long long)n < wanted)
		because(why, "%zu of %lld cycles were made", n, wanted);
	json_array_foreach (json_object_get(report, "flows"), i, flow) {
		/* Whatever the cycles did not see: the load as a whole must be unhurt too. */
		if (!failed && beyond(json_is_string(json_object_get(flow, "connection_lost")),
				      limits->connections))
			because(why, "%s: connection lost: %s", out_str(flow, "flow", "?"),
				out_str(flow, "connection_lost", ""));
		if (!failed && !error && !strcmp(out_str(flow, "kind", ""), "tcp") &&
		    !json_is_string(json_object_get(flow, "connection_lost")) &&
		    out_int(flow, "sent") != out_int(flow, "received"))
			because(why, "%s: %lld records sent, %lld arrived",
				out_str(flow, "flow", "?"), out_int(flow, "sent"),
				out_int(flow, "received"));
		if (!failed && out_int(flow, "changed"))
			because(why, "%s: %lld records arrived changed", out_str(flow, "flow", "?"),
				out_int(flow, "changed"));
	}
	if (json_is_string(out_path(report, "final.why")))
		because(why, "at the end %s", out_str(report, "final.why", ""));
	json_object_set_new(report, "failed", json_integer((json_int_t)failed));
	json_object_set_new(report, "verdict", json_string(json_array_size(why) ? "fail" : "pass"));
	json_object_set_new(report, "why", why);
}

bool judge_state(const json_t *vm, const json_t *nic, const json_t *netdevs, bool want_vf,
		 char *why, size_t size)
{
	const char *vf = out_str(nic, "vf.state", "?"), *id = out_str(nic, "id", "?");
	unsigned int driven = 0;
	json_t *dev;
	size_t i;

	why[0] = '\0';
	json_array_foreach ((json_t *)netdevs, i, dev)
		driven += !strcmp(out_str(dev, "driver", ""), "mana");
	if (strcmp(out_str(vm, "state", "?"), "ready") != 0)
		snprintf(why, size, "VM %s is %s: %s", out_str(vm, "name", "?"),
			 out_str(vm, "state", "?"), out_str(vm, "reason", ""));
	else if (json_is_true(out_path(nic, "vf.pending")))
		snprintf(why, size, "the removal of %s's VF is pending", id);
	else if (json_is_true(out_path(nic, "vf.busy")))
		snprintf(why, size, "an operation on %s's VF is under way", id);
	else if (want_vf && strcmp(vf, "driven") != 0)
		snprintf(why, size, "the VF of %s is %s, not driven", id, vf);
	else if (!want_vf && strcmp(vf, "revoked") != 0 && strcmp(vf, "absent") != 0)
		snprintf(why, size, "the VF of %s is %s, not revoked", id, vf);
	else if (want_vf && json_is_string(out_path(nic, "vf.receive")) &&
		 strcmp(out_str(nic, "vf.receive", ""), "vf") != 0)
		snprintf(why, size, "%s receives on \"%s\", not on its VF", id,
			 out_str(nic, "vf.receive", ""));
	else if (netdevs && driven != (want_vf ? 1 : 0))
		snprintf(why, size, "the guest has %u netdevs of the mana driver for %s, not %d",
			 driven, id, want_vf ? 1 : 0);
	return !*why;
}

/* ---- kernel logs ---- */

bool judge_complains(const char *line, bool driver)
{
	/* The kernel's own alarms, and a driver that says that something went wrong. */
	static const char kernel[] = "WARNING:|\\bBUG:|\\bOops\\b|Call Trace|general protection|"
				     "Kernel panic|soft lockup|blocked for more than|"
				     "NETDEV WATCHDOG|refcount_t:|unregister_netdevice: waiting";
	static const char mana[] = "\\bmana.*(fail|error|timeout|timed out)";
	static regex_t res[2];
	static bool ready;

	if (!ready) {
		if (regcomp(&res[0], kernel, REG_EXTENDED | REG_NOSUB) ||
		    regcomp(&res[1], mana, REG_EXTENDED | REG_NOSUB | REG_ICASE))
			return true; /* better a false alarm than none */
		ready = true;
	}
	return regexec(&res[0], line, 0, NULL, 0) == 0 ||
	       (driver && regexec(&res[1], line, 0, NULL, 0) == 0);
}
