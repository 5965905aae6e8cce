/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the kinds of drills: what one cycle of each does. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/cli/drill.h"

#define LOOK_MS	   50
/*
 * For a driver whose device died with packets under way: that of Linux 6.12 waits 120 s for them,
 * 65 s for a reset, and 30 s for each answer of its hardware channel, one per queue at least: ten
 * minutes and more with 16 queues.
 */
#define DEAD_MS	   1200000
#define REACT_MS   20000 /* for a driver to act on a service event */
#define MIGRATE_MS 60000
#define HOTPLUG_MS 60000
#define ADDRESS_MS 30000

/* The VF's state in query-status, once @done is true of it. */
static int until(struct drill *d, bool (*done)(const json_t *vf), unsigned int limit_ms,
		 const char *what)
{
	uint64_t end = now_ns() + limit_ms * NSEC_PER_MSEC;

	for (;;) {
		json_t *nic;
		int ret = drill_nic(d, d->target.vnic, &nic);
		bool there;

		if (ret)
			return ret;
		there = done(json_object_get(nic, "vf"));
		json_decref(nic);
		if (there)
			return 0;
		if (now_ns() > end)
			return drill_fail(d, -ETIMEDOUT, "not within %u ms: %s", limit_ms, what);
		ret = drill_pause(d, LOOK_MS);
		if (ret)
			return ret;
	}
}

static bool not_pending(const json_t *vf)
{
	return !json_is_true(json_object_get(vf, "pending"));
}

static bool is_driven(const json_t *vf)
{
	return !strcmp(out_str(vf, "state", ""), "driven");
}

static int revoke(struct drill *d, const char *way, unsigned int deadline_ms)
{
	json_t *args = json_pack("{s:s, s:s}", "vnic", d->target.vnic, "way", way);

	if (deadline_ms)
		json_object_set_new(args, "deadline_ms", json_integer(deadline_ms));
	d->touched = true;
	return drill_op(d, "revoke", "vf-revoke", args, deadline_ms ? deadline_ms : 10000);
}

static int restore(struct drill *d)
{
	json_t *args = json_pack("{s:s}", "vnic", d->target.vnic);
	int ret;

	if (d->opt.delay_link_ms)
		json_object_set_new(args, "link_delay_ms", json_integer(d->opt.delay_link_ms));
	if (d->opt.hold_both_ms)
		json_object_set_new(args, "hold_ms", json_integer(d->opt.hold_both_ms));
	ret = drill_op(d, "restore", "vf-restore", args,
		       30000 + d->opt.delay_link_ms + d->opt.hold_both_ms);
	if (!ret)
		d->touched = false;
	return ret;
}

/* The guest does not hear that it is to give the device back: it is cut off, then let hear. */
static int revoke_refused(struct drill *d)
{
	json_t *nic;
	int ret = drill_ejections(d, false);

	if (!ret)
		ret = revoke(d, "graceful", d->opt.deadline_ms ? d->opt.deadline_ms : 3000);
	if (!ret)
		ret = drill_nic(d, d->target.vnic, &nic);
	if (ret)
		return ret;
	if (!json_is_true(out_path(nic, "vf.pending")))
		ret = drill_fail(d, -EPROTO, "the guest was to keep the VF, and gave it back");
	json_decref(nic);
	if (!ret)
		ret = drill_pause(d, d->opt.away_ms);
	if (!ret)
		ret = drill_ejections(d, true);
	return ret ? ret : until(d, not_pending, DEAD_MS, "the guest gives the VF back");
}

static int cycle_revoke(struct drill *d)
{
	const char *way = d->opt.way;
	int ret;

	if (!strcmp(way, "refused"))
		ret = revoke_refused(d);
	else
		ret = revoke(d, strcmp(way, "slow") ? way : "graceful", d->opt.deadline_ms);
	if (!ret && !strcmp(way, "surprise"))
		ret = until(d, not_pending, DEAD_MS, "the guest gives the dead VF back");
	if (!ret)
		ret = drill_pause(d, d->opt.away_ms);
	return ret ? ret : restore(d);
}

/* Taken away before the cycle: only the return is looked at. */
static int prepare_restore(struct drill *d)
{
	int ret = revoke(d, "graceful", d->opt.deadline_ms);

	return ret ? ret : drill_pause(d, d->opt.away_ms);
}

static int set_link(struct drill *d, bool up)
{
	int ret;

	d->unlinked = true;
	ret = drill_op(d, up ? "link-up" : "link-down", "link-set",
		       json_pack("{s:s, s:b}", "vnic", d->target.vnic, "up", up), 1000);
	if (!ret && up)
		d->unlinked = false;
	return ret;
}

/* The NIC that hotplug added. */
static int remove_nic(struct drill *d)
{
	char vnic[2 * DRILL_NAME];
	int ret;

	snprintf(vnic, sizeof(vnic), "%s/" DRILL_NIC, d->target.name);
	ret = drill_op(d, "remove", "nic-del", json_pack("{s:s}", "vnic", vnic), HOTPLUG_MS);
	if (!ret)
		d->added = false;
	return ret;
}

static int cycle_flap(struct drill *d)
{
	int ret = set_link(d, false), up;

	if (!ret)
		ret = drill_pause(d, d->opt.down_ms);
	up = set_link(d, true);
	return ret ? ret : up;
}

/* An event of the target's VF with this state, not before @since. */
static bool seen(const struct drill *d, uint64_t since, bool driven)
{
	json_t *e;
	size_t i;

	json_array_foreach (d->events, i, e)
		if (!strcmp(out_str(e, "event", ""), "VF_STATE") &&
		    !strcmp(out_str(e, "vnic", ""), d->target.vnic) &&
		    (uint64_t)out_int(e, "time_ns") >= since &&
		    !strcmp(out_str(e, "state", ""), "driven") == driven)
			return true;
	return false;
}

/*
 * Service event 135: the driver takes its hardware channel down, waits ten seconds, and comes
 * back. That of Linux 7.2 does (MANA_SERVICE_PERIOD); those of 6.1 and 6.12 ignore the event.
 */
static int cycle_reset(struct drill *d)
{
	uint64_t start = now_ns(), end = start + REACT_MS * NSEC_PER_MSEC;
	int ret = drill_op(d, "reset", "mana-event",
			   json_pack("{s:s, s:i}", "vnic", d->target.vnic, "type", 135), 1000);

	while (!ret && !seen(d, start, false)) {
		if (now_ns() > end)
			return drill_fail(d, -ETIMEDOUT,
					  "the guest's driver does not act on the reset event: "
					  "Linux 7.2 does, 6.1 and 6.12 ignore it");
		ret = drill_pause(d, LOOK_MS);
	}
	if (!ret)
		ret = until(d, is_driven, 2 * REACT_MS, "the VF is driven again");
	if (!ret)
		json_array_append_new(json_object_get(d->cycle, "operations"),
				      json_pack("{s:s, s:I, s:f, s:n, s:n}", "op", "recovery",
						"start_ns", (json_int_t)start, "ms",
						(double)(now_ns() - start) / 1e6, "error",
						"steps"));
	return ret;
}

/* The NIC has an address in the guest, and the peer answers through it. */
static int reach_peer(struct drill *d, const char *vnic)
{
	uint64_t start = now_ns();
	json_t *nic, *o;
	int ret = drill_nic(d, vnic, &nic);

	if (ret)
		return ret;
	ret = drill_run(d, d->target.name, ADDRESS_MS + 30000, NULL,
			"n=0; while :; do for i in /sys/class/net/*; do read -r m <$i/address; "
			"[ \"$m\" = %s ] || continue; i=${i##*/}; "
			"ip -4 -o addr show dev $i 2>/dev/null | grep -q inet || continue; "
			"/usr/bin/ping -q -c 1 -W 1 -I $i %s >/dev/null && exit 0; done; "
			"[ $((n=n+1)) -lt %d ] || { echo \"%s got no address, or %s does not "
			"answer through it\" >&2; exit 1; }; usleep 100000; done",
			out_str(nic, "mac", ""), d->peer.address, ADDRESS_MS / 1000, vnic,
			d->peer.name);
	o = json_pack("{s:s, s:I, s:f, s:o, s:n}", "op", "traffic", "start_ns", (json_int_t)start,
		      "ms", (double)(now_ns() - start) / 1e6, "error",
		      ret ? json_string(d->why) : json_null(), "steps");
	json_array_append_new(json_object_get(d->cycle, "operations"), o);
	json_decref(nic);
	return ret;
}

static int cycle_hotplug(struct drill *d)
{
	json_t *args = json_pack("{s:s, s:s, s:s, s:b}", "vm", d->target.name, "network",
				 d->network, "name", DRILL_NIC, "wait", true);
	char vnic[2 * DRILL_NAME];
	int ret, del;

	if (d->opt.order)
		json_object_set_new(args, "order", json_string(d->opt.order));
	if (d->opt.order_gap_ms)
		json_object_set_new(args, "order_gap_ms", json_integer(d->opt.order_gap_ms));

	snprintf(vnic, sizeof(vnic), "%s/" DRILL_NIC, d->target.name);
	d->added = true;
	ret = drill_op(d, "add", "nic-add", args, HOTPLUG_MS);
	if (ret == -EINVAL || ret == -ENOSYS) {
		d->added = false; /* also when one of that name was there before: not ours */
		return ret;
	}
	if (!ret)
		ret = reach_peer(d, vnic);
	/* Also what arrived half is to go again; the first error is the one to tell. */
	if (ret) {
		char why[sizeof(d->why)];

		memcpy(why, d->why, sizeof(why));
		if (ret != -EINTR) /* else clean_up() does it */
			remove_nic(d);
		memcpy(d->why, why, sizeof(why));
		return ret;
	}
	del = drill_pause(d, d->opt.away_ms);
	if (del)
		return del;
	return remove_nic(d);
}

/* The guest moves to a second QEMU on this host; what becomes of the VF is --vf. */
static int cycle_migrate(struct drill *d)
{
	int ret;

	d->migrating = true;
	ret = drill_op(d, "migrate", "vm-migrate",
		       json_pack("{s:s, s:s}", "vm", d->target.name, "vf", d->opt.vf),
		       2 * MIGRATE_MS);
	if (ret != -EINTR)
		d->migrating = false;
	return ret ? ret : until(d, is_driven, MIGRATE_MS, "the VF is driven again");
}

#define TCP_PING (DRILL_TCP | DRILL_PING)

const struct drill_kind drill_kinds[] = {
	{.name = "revoke",
	 .summary = "take the VF away and give it back",
	 .cycle = cycle_revoke,
	 .nic = true,
	 .both = true,
	 .cycles = 1,
	 .away_ms = 1000,
	 .settle_ms = 500,
	 .load = TCP_PING | DRILL_UDP,
	 .needs = "vf-revoke"},
	{.name = "restore",
	 .summary = "give back a VF that was taken away before",
	 .prepare = prepare_restore,
	 .cycle = restore,
	 .nic = true,
	 .both = true,
	 .cycles = 1,
	 .away_ms = 500,
	 .settle_ms = 500,
	 .load = TCP_PING | DRILL_UDP,
	 .needs = "vf-restore"},
	{.name = "flap",
	 .summary = "take the NIC's link down and up",
	 .cycle = cycle_flap,
	 .nic = true,
	 .cycles = 10,
	 .settle_ms = 500,
	 .load = TCP_PING,
	 .needs = "link-set"},
	{.name = "storm",
	 .summary = "revoke and restore without a pause, until something breaks",
	 .cycle = cycle_revoke,
	 .nic = true,
	 .both = true,
	 .storm = true,
	 .cycles = 1000,
	 .load = DRILL_TCP,
	 .needs = "vf-revoke"},
	{.name = "hotplug",
	 .summary = "add a NIC to the running guest, use it, remove it",
	 .cycle = cycle_hotplug,
	 .cycles = 1,
	 .away_ms = 200,
	 .settle_ms = 200,
	 .load = TCP_PING,
	 .needs = "nic-add"},
	{.name = "reset",
	 .summary = "have the guest's driver reset the device (service event 135)",
	 .cycle = cycle_reset,
	 .nic = true,
	 .cycles = 1,
	 .settle_ms = 500,
	 .load = TCP_PING,
	 .needs = "mana-event"},
	{.name = "migrate",
	 .summary = "the guest moves to a second QEMU on this host, live",
	 .cycle = cycle_migrate,
	 .nic = true,
	 .both = true,
	 .cycles = 1,
	 .settle_ms = 500,
	 .load = TCP_PING,
	 .needs = "vm-migrate"},
	{.name = "servicing",
	 .summary = "the VF is away for some time, as when a host is updated",
	 .cycle = cycle_revoke,
	 .nic = true,
	 .both = true,
	 .cycles = 1,
	 .away_ms = 30000,
	 .settle_ms = 500,
	 .load = TCP_PING | DRILL_UDP,
	 .needs = "vf-revoke"},
};
const size_t drill_n_kinds = ARRAY_SIZE(drill_kinds);
