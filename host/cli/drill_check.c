/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns a drill's options and what must be so before it begins. */
#include "host/cli/drill_check.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/cli/words.h"

const char *const drill_loads[] = {"tcp", "udp", "ping", "iperf3", NULL};

static const char *const ways[] = {"graceful", "abrupt", "surprise", "slow", "refused"};

#define ORDERS "synthetic-first|vf-first|together"

enum {
	OPT_CYCLES = 1,
	OPT_LOAD,
	OPT_WAY,
	OPT_VF,
	OPT_JUNIT,
	OPT_HTML,
	OPT_DEADLINE,
	OPT_DELAY_LINK,
	OPT_HOLD_BOTH,
	OPT_AWAY,
	OPT_DOWN,
	OPT_SETTLE,
	OPT_BASELINE,
	OPT_PEER,
	OPT_RATE,
	OPT_SIZE,
	OPT_CONNECTIONS,
	OPT_MAX_GAP,
	OPT_MAX_LOST,
	OPT_MAX_DROPPED,
	OPT_MAX_CONNECTIONS,
	OPT_MAX_WARNINGS,
	OPT_MAX_TIME,
	OPT_KEEP,
	OPT_ORDER,
	OPT_ORDER_GAP,
};

static const struct option longs[] = {
	{"cycles", required_argument, NULL, OPT_CYCLES},
	{"load", required_argument, NULL, OPT_LOAD},
	{"way", required_argument, NULL, OPT_WAY},
	{"vf", required_argument, NULL, OPT_VF},
	{"junit", required_argument, NULL, OPT_JUNIT},
	{"html", required_argument, NULL, OPT_HTML},
	{"deadline", required_argument, NULL, OPT_DEADLINE},
	{"delay-link", required_argument, NULL, OPT_DELAY_LINK},
	{"hold-both", required_argument, NULL, OPT_HOLD_BOTH},
	{"away", required_argument, NULL, OPT_AWAY},
	{"down", required_argument, NULL, OPT_DOWN},
	{"settle", required_argument, NULL, OPT_SETTLE},
	{"baseline", required_argument, NULL, OPT_BASELINE},
	{"peer", required_argument, NULL, OPT_PEER},
	{"rate", required_argument, NULL, OPT_RATE},
	{"size", required_argument, NULL, OPT_SIZE},
	{"connections", required_argument, NULL, OPT_CONNECTIONS},
	{"max-gap", required_argument, NULL, OPT_MAX_GAP},
	{"max-lost", required_argument, NULL, OPT_MAX_LOST},
	{"max-dropped", required_argument, NULL, OPT_MAX_DROPPED},
	{"max-connections", required_argument, NULL, OPT_MAX_CONNECTIONS},
	{"max-warnings", required_argument, NULL, OPT_MAX_WARNINGS},
	{"max-time", required_argument, NULL, OPT_MAX_TIME},
	{"keep", required_argument, NULL, OPT_KEEP},
	{"order", required_argument, NULL, OPT_ORDER},
	{"order-gap", required_argument, NULL, OPT_ORDER_GAP},
	{0},
};
/* cli_getopt() has room for so many beside those of every command. */
static_assert(ARRAY_SIZE(longs) <= CLI_MAX_OPTIONS - 4, "the table of options is too long");

const char drill_help[] =
	"Kinds:\n"
	"  revoke     take the VF away and give it back\n"
	"  restore    give back a VF that was taken away before\n"
	"  flap       take the NIC's link down and up\n"
	"  storm      revoke and restore without a pause, 1000 times; stops at the first broken\n"
	"             state, leaves it and saves everything in a folder that it names\n"
	"  hotplug    add a NIC to the running VM, wait for address and traffic, remove it\n"
	"  reset      have the guest's driver reset the device (Linux 7.2)\n"
	"  migrate    the guest moves to a second QEMU on this host, live\n"
	"  servicing  the VF is away for 30 s, as when a host is updated\n\n"
	"TARGET is VM/NIC, or VM when it has one NIC; of hotplug: a VM. Load runs between its VM\n"
	"and another one on the same network, started and asked through the guests' agents. The\n"
	"report tells steps, longest gap of each flow, losses, kernel warnings, the final state;\n"
	"the verdict is PASS when no limit was passed. Ctrl-C ends load and gives the VF back.\n\n"
	"Options:\n"
	"  --cycles N            how often: 1 (flap 10, storm 1000)\n"
	"  --load LIST           of tcp, udp, ping, iperf3; or none\n"
	"  --way WAY             graceful: drained first; abrupt: unplugged first; surprise: the\n"
	"                        device dies; slow: native hot plug, 5 s (the lab file's hotplug:\n"
	"                        native); refused: the guest keeps it, it is cut off\n"
	"  --vf WHO              migrate: failover (QEMU's own) or manager (revoked before,\n"
	"                        restored after)\n"
	"  --deadline MS         until the guest must have let go: 10000 (refused: 3000)\n"
	"  --delay-link MS       the VF's link stays down that long after it arrived\n"
	"  --hold-both MS        traffic stays on the synthetic path that long after the VF is "
	"there\n"
	"  --order ORDER         hotplug: which path QEMU gets first: synthetic-first (the "
	"guest's\n"
	"                        virtio_net is there when the VF comes), vf-first, together\n"
	"  --order-gap MS        hotplug: the second path comes that long after the first: 0\n"
	"  --away S              how long the VF is away: 1 (servicing: 30, storm: 0)\n"
	"  --down MS             flap: how long the link is down: 200\n"
	"  --settle MS           before and after the operations of a cycle: 500 (storm: 0)\n"
	"  --baseline MS         load without a drill, before the first cycle: 2000\n"
	"  --peer VM             the other end of the load\n"
	"  --rate N, --size B    records a second (100) and their bytes (512), of each flow\n"
	"  --connections N       TCP connections beside the paced one: 4\n"
	"  --max-gap MS          limits of PASS; none: no limit. Longest standstill of a flow: "
	"1000\n"
	"                        (reset 30000, migrate 5000, refused and surprise none)\n"
	"  --max-lost N          datagrams and echoes in a cycle: 0 if graceful and the guest's\n"
	"                        driver knows of links (Linux 6.17), else none\n"
	"  --max-dropped N       frames the switch accepted and dropped: 0 if graceful, else none\n"
	"  --max-connections N   TCP connections lost: 0\n"
	"  --max-warnings N      lines in which a kernel complains: 0 (refused, surprise: none)\n"
	"  --max-time MS         for one operation: 15000 (reset 40000, migrate 60000)\n"
	"  --junit FILE          one test case per cycle\n"
	"  --html FILE           one page with a picture of each cycle\n"
	"  --keep DIR            where a storm saves; default ./hvlab-storm-DATE\n\n"
	"Exit status: 0 PASS, 1 FAIL, 2 wrong usage, 130 stopped.\n\n"
	"Examples:\n"
	"  hvlab drill revoke a --html revoke.html\n"
	"  hvlab drill revoke a/eth0 --way abrupt --cycles 50 --junit out.xml\n"
	"  hvlab drill storm a --load tcp,ping --json > storm.json\n"
	"  hvlab drill restore a --delay-link 2000\n";

static unsigned int parse_load(struct cli *cli, const char *text)
{
	unsigned int load = 0, i;

	if (!strcmp(text, "none"))
		return 0;
	for (;;) {
		size_t len = strcspn(text, ",");

		for (i = 0; drill_loads[i]; i++)
			if (strlen(drill_loads[i]) == len && !strncmp(drill_loads[i], text, len))
				break;
		if (!drill_loads[i])
			cli_usage(cli, "--load: \"%.*s\" is none of tcp, udp, ping, iperf3, none",
				  (int)len, text);
		load |= 1u << i;
		if (!text[len])
			return load;
		text += len + 1;
	}
}

static long limit(struct cli *cli, const char *what, const char *text)
{
	return !strcmp(text, "none") ? -1 : cli_number(cli, what, text, 0, 1000000000);
}

static void parse_option(struct drill *d, int opt, const char *arg)
{
	struct drill_options *o = &d->opt;
	struct cli *cli = d->cli;
	bool known = false;

	switch (opt) {
	case OPT_CYCLES:
		o->cycles = (unsigned int)cli_number(cli, "--cycles", arg, 1, 1000000);
		break;
	case OPT_LOAD:
		o->load = parse_load(cli, arg);
		break;
	case OPT_WAY:
		for (size_t i = 0; i < ARRAY_SIZE(ways); i++)
			known = known || !strcmp(ways[i], arg);
		if (!known)
			cli_usage(cli,
				  "--way: \"%s\" is none of graceful, abrupt, surprise, slow, "
				  "refused",
				  arg);
		o->way = arg;
		break;
	case OPT_VF:
		if (strcmp(arg, "failover") != 0 && strcmp(arg, "manager") != 0)
			cli_usage(cli, "--vf: \"%s\" is neither failover nor manager", arg);
		o->vf = arg;
		break;
	case OPT_JUNIT:
		o->junit = arg;
		break;
	case OPT_HTML:
		o->html = arg;
		break;
	case OPT_DEADLINE:
		o->deadline_ms = (unsigned int)cli_number(cli, "--deadline", arg, 1, 600000);
		break;
	case OPT_DELAY_LINK:
		o->delay_link_ms = (unsigned int)cli_number(cli, "--delay-link", arg, 0, 600000);
		break;
	case OPT_HOLD_BOTH:
		o->hold_both_ms = (unsigned int)cli_number(cli, "--hold-both", arg, 0, 600000);
		break;
	case OPT_AWAY:
		o->away_ms = !strcmp(arg, "0") ? 0 : (unsigned int)cli_seconds(cli, "--away", arg);
		break;
	case OPT_DOWN:
		o->down_ms = (unsigned int)cli_number(cli, "--down", arg, 1, 600000);
		break;
	case OPT_SETTLE:
		o->settle_ms = (unsigned int)cli_number(cli, "--settle", arg, 0, 60000);
		break;
	case OPT_BASELINE:
		o->baseline_ms = (unsigned int)cli_number(cli, "--baseline", arg, 0, 600000);
		break;
	case OPT_PEER:
		o->peer = arg;
		break;
	case OPT_RATE:
		o->rate = (unsigned int)cli_number(cli, "--rate", arg, 10, 10000);
		break;
	case OPT_SIZE:
		o->size = (unsigned int)cli_number(cli, "--size", arg, 64, 60000);
		break;
	case OPT_CONNECTIONS:
		o->connections = (unsigned int)cli_number(cli, "--connections", arg, 0, 64);
		break;
	case OPT_MAX_GAP:
		o->limits.gap_ms = limit(cli, "--max-gap", arg);
		break;
	case OPT_MAX_LOST:
		o->limits.lost = limit(cli, "--max-lost", arg);
		break;
	case OPT_MAX_DROPPED:
		o->limits.dropped = limit(cli, "--max-dropped", arg);
		break;
	case OPT_MAX_CONNECTIONS:
		o->limits.connections = limit(cli, "--max-connections", arg);
		break;
	case OPT_MAX_WARNINGS:
		o->limits.complaints = limit(cli, "--max-warnings", arg);
		break;
	case OPT_MAX_TIME:
		o->limits.op_ms = limit(cli, "--max-time", arg);
		break;
	case OPT_KEEP:
		o->keep_dir = arg;
		break;
	case OPT_ORDER:
		cli_one_of(cli, "--order", arg, ORDERS);
		o->order = arg;
		break;
	case OPT_ORDER_GAP:
		o->order_gap_ms = (unsigned int)cli_number(cli, "--order-gap", arg, 0, 20000);
		break;
	}
}

#define UNSET -2 /* of a limit: the default that fits the way */

static void set_defaults(struct drill *d)
{
	const struct drill_kind *k = d->kind;

	d->opt = (struct drill_options){
		.cycles = k->cycles,
		.load = k->load,
		.rate = 100,
		.size = 512,
		.connections = 4,
		.way = "graceful",
		.vf = "failover",
		.away_ms = k->away_ms,
		.settle_ms = k->settle_ms,
		.baseline_ms = 2000,
		.down_ms = 200,
		.limits = {.gap_ms = UNSET,
			   .lost = UNSET,
			   .dropped = UNSET,
			   .complaints = UNSET,
			   .op_ms = UNSET},
	};
}

/*
 * What a way promises: a drained VF loses nothing. Taken away first, frames on their way are
 * lost; a reset and a link that is down lose by their nature.
 */
static void default_limits(struct drill *d)
{
	struct drill_limits *l = &d->opt.limits;
	bool graceful = !strcmp(d->opt.way, "graceful") || !strcmp(d->opt.way, "slow");
	bool reset = !strcmp(d->kind->name, "reset"), flap = !strcmp(d->kind->name, "flap");
	/* A net_failover guest drops what comes on the standby while it has a primary. */
	bool migrate = !strcmp(d->kind->name, "migrate");
	bool careful = graceful && !reset && !flap && !migrate && !d->opt.hold_both_ms;
	long races = (long)d->opt.delay_link_ms + (long)d->opt.hold_both_ms;
	/* Either leaves the guest with a dead device under its driver. */
	bool dead = !strcmp(d->opt.way, "surprise") || !strcmp(d->opt.way, "refused");

	if (l->gap_ms == UNSET)
		l->gap_ms = reset ? 30000 : dead ? -1 : migrate ? 5000 : 1000 + races;
	d->opt.lost_given = l->lost != UNSET;
	if (!d->opt.lost_given)
		l->lost = careful ? 0 : -1;
	if (l->dropped == UNSET)
		l->dropped = careful ? 0 : -1;
	/* The task that waits for the dead device for minutes is reported as hung. */
	if (l->complaints == UNSET)
		l->complaints = dead ? -1 : 0;
	if (l->op_ms == UNSET)
		l->op_ms = reset ? 40000 : migrate ? 60000 : 15000 + races;
	/* A device that goes without a word makes its driver complain, and rightly so. */
	d->opt.strict_complaints = careful;
}

/* Options that mean something to some kinds only. */
static const struct {
	int opt;
	const char *kinds;
} fits[] = {
	{OPT_WAY, "revoke, storm, servicing"},
	{OPT_DEADLINE, "revoke, restore, storm, servicing"},
	{OPT_DELAY_LINK, "revoke, restore, storm, servicing"},
	{OPT_HOLD_BOTH, "revoke, restore, storm, servicing"},
	{OPT_AWAY, "revoke, restore, storm, servicing, hotplug"},
	{OPT_DOWN, "flap"},
	{OPT_VF, "migrate"},
	{OPT_ORDER, "hotplug"},
	{OPT_ORDER_GAP, "hotplug"},
	{OPT_KEEP, "storm"},
};

static const char *option_name(int opt)
{
	for (const struct option *o = longs; o->name; o++)
		if (o->val == opt)
			return o->name;
	return "?";
}

/* An option that would do nothing is a mistake. */
static void check_fit(const struct drill *d, int opt)
{
	for (size_t i = 0; i < ARRAY_SIZE(fits); i++)
		if (fits[i].opt == opt && !strstr(fits[i].kinds, d->kind->name))
			cli_usage(d->cli, "--%s is not for %s; it is for %s", option_name(opt),
				  d->kind->name, fits[i].kinds);
}

const char *drill_parse(struct drill *d, int argc, char **argv)
{
	struct cli *cli = d->cli;
	const char *kind = NULL;
	char names[200] = "";
	size_t len = 0;
	int opt;

	/* The kind gives the defaults: it is looked for first, wherever it stands. */
	for (int i = 1; i < argc && !d->kind; i++) {
		if (argv[i][0] == '-') {
			const char *word = argv[i] + strspn(argv[i], "-");

			i += !strcmp(word, "runtime-dir");
			for (const struct option *o = longs; o->name; o++)
				i += !strcmp(word, o->name);
			continue;
		}
		kind = argv[i];
		break;
	}
	for (size_t i = 0; i < drill_n_kinds; i++) {
		if (kind && !strcmp(drill_kinds[i].name, kind))
			d->kind = &drill_kinds[i];
		if (len < sizeof(names))
			len += (size_t)snprintf(names + len, sizeof(names) - len, "%s%s",
						i ? ", " : "", drill_kinds[i].name);
	}
	if (d->kind)
		set_defaults(d);
	while ((opt = cli_getopt(cli, argc, argv, NULL, longs)) != -1) {
		parse_option(d, opt, optarg);
		if (d->kind)
			check_fit(d, opt);
	}
	if (!kind)
		cli_usage(cli, "KIND missing: one of %s", names);
	if (!d->kind)
		cli_usage(cli, "\"%s\" is none of %s", kind, names);
	cli_args(cli, argc, 2, "KIND or TARGET");
	if (d->opt.order && !strcmp(d->opt.order, "together") && d->opt.order_gap_ms)
		cli_usage(cli, "--order together has no --order-gap");
	default_limits(d);
	return argv[optind + 1];
}

/* ---- preconditions ---- */

json_t *drill_find_nic(const json_t *vm, const char *id)
{
	json_t *nic;
	size_t i;

	json_array_foreach (json_object_get(vm, "vnics"), i, nic)
		if (!strcmp(out_str(nic, "id", ""), id))
			return nic;
	return NULL;
}

bool drill_has_vf(const json_t *nic)
{
	return json_is_object(json_object_get(nic, "vf"));
}

bool drill_has_synthetic(const json_t *nic)
{
	const json_t *s = json_object_get(nic, "synthetic");

	return json_is_object(s) || (json_is_string(s) && strcmp(json_string_value(s), "none"));
}

static void copy_vm(struct drill_vm *to, const json_t *vm, const json_t *nic)
{
	snprintf(to->name, sizeof(to->name), "%s", out_str(vm, "name", ""));
	snprintf(to->vnic, sizeof(to->vnic), "%s", out_str(nic, "id", ""));
	snprintf(to->mac, sizeof(to->mac), "%s", out_str(nic, "mac", ""));
}

/* The first address that the lab gives a NIC, else the one that the guest has. */
static int find_address(struct drill *d, struct drill_vm *vm, const json_t *nic)
{
	const char *text = json_string_value(json_array_get(json_object_get(nic, "addresses"), 0));
	char *out;
	int ret;

	if (text) {
		snprintf(vm->address, sizeof(vm->address), "%.*s", (int)strcspn(text, "/"), text);
		return 0;
	}
	ret = drill_run(d, vm->name, 20000, &out,
			"for n in /sys/class/net/*; do read -r m <$n/address; [ \"$m\" = %s ] || "
			"continue; ip -4 -o addr show dev ${n##*/}; done | "
			"busybox sed -n 's/.* inet \\([0-9.]*\\).*/\\1/p' | busybox head -1",
			vm->mac);
	if (ret)
		return ret;
	snprintf(vm->address, sizeof(vm->address), "%.*s", (int)strcspn(out, "\n"), out);
	free(out);
	return *vm->address ? 0 : drill_fail(d, -ENOENT, "%s has no address", vm->vnic);
}

static int find_peer(struct drill *d, const json_t *status)
{
	json_t *vm, *nic, *found = NULL;
	size_t v, n;

	json_array_foreach (json_object_get(status, "vms"), v, vm) {
		const char *name = out_str(vm, "name", "");

		if (!strcmp(name, d->target.name) || found ||
		    (d->opt.peer && strcmp(name, d->opt.peer) != 0) ||
		    strcmp(out_str(vm, "state", ""), "ready") != 0)
			continue;
		json_array_foreach (json_object_get(vm, "vnics"), n, nic) {
			if (strcmp(out_str(nic, "network", ""), d->network) != 0 || found)
				continue;
			found = nic;
			copy_vm(&d->peer, vm, nic);
		}
	}
	if (!found && d->opt.peer)
		return drill_fail(d, -ENOENT,
				  "VM %s is not ready, or has no NIC on network %s: hvlab status "
				  "lists those that do",
				  d->opt.peer, d->network);
	if (!found)
		return drill_fail(d, -ENOENT,
				  "load needs another ready VM on network %s; without one: "
				  "--load none",
				  d->network);
	return find_address(d, &d->peer, found);
}

static int check_target(struct drill *d, const json_t *vm, const json_t *nic)
{
	const char *state = out_str(vm, "state", "?"), *vf = out_str(nic, "vf.state", "?");

	if (strcmp(state, "ready") != 0)
		return drill_fail(d, -EINVAL, "VM %s is %s, not ready", d->target.name, state);
	if (!d->kind->nic)
		return 0;
	if (d->kind->both && (!drill_has_vf(nic) || !drill_has_synthetic(nic)))
		return drill_fail(d, -EINVAL,
				  "%s has no %s: the drill needs both paths (lab file: vf, "
				  "synthetic)",
				  d->target.vnic, drill_has_vf(nic) ? "synthetic path" : "VF");
	if ((d->kind->both || !strcmp(d->kind->name, "reset")) && strcmp(vf, "driven") != 0)
		return drill_fail(d, -EINVAL, "the VF of %s is %s, not driven: %s", d->target.vnic,
				  vf,
				  strcmp(vf, "revoked") ? "hvlab vf list says more"
							: "hvlab vf restore gives it back");
	if (!strcmp(d->opt.way, "slow") && strcmp(out_str(vm, "hotplug", "acpi"), "native") != 0)
		return drill_fail(d, -EINVAL,
				  "--way slow needs \"hotplug: native\" for VM %s in the lab file",
				  d->target.name);
	if (!strcmp(d->opt.way, "refused") && !strcmp(out_str(vm, "hotplug", "acpi"), "native"))
		return drill_fail(d, -EINVAL, "--way refused needs a VM with \"hotplug: acpi\"");
	/* Such a driver sends until it is unplugged, and its kernel throws away what is queued. */
	if (json_is_false(out_path(nic, "vf.driver.link_aware")) && !d->opt.lost_given)
		d->opt.limits.lost = -1;
	return 0;
}

int drill_check(struct drill *d, const char *target)
{
	json_t *status, *vm, *nic = NULL, *found = NULL;
	char *vnic = d->kind->nic ? cli_vnic(d->cli, target) : strdup(target);
	size_t i;
	int ret;

	if (!vnic)
		return drill_fail(d, -ENOENT, "there is no target");
	if (!drill_can(d, d->kind->needs)) {
		free(vnic);
		return drill_fail(d, -ENOSYS, "this daemon has no %s", d->kind->needs);
	}
	ret = drill_status(d, &status);
	if (ret) {
		free(vnic);
		return ret;
	}
	json_array_foreach (json_object_get(status, "vms"), i, vm) {
		json_t *first = json_array_get(json_object_get(vm, "vnics"), 0);
		json_t *n = d->kind->nic ? drill_find_nic(vm, vnic) : first;

		if (d->kind->nic ? !n : strcmp(out_str(vm, "name", ""), vnic) != 0)
			continue;
		found = vm;
		nic = n;
	}
	if (!found || !nic) {
		ret = drill_fail(
			d, -ENOENT,
			found ? "VM %s has no NIC"
			      : "there is no %s: hvlab status lists VMs, hvlab nic list NICs",
			vnic);
		goto out;
	}
	copy_vm(&d->target, found, nic);
	snprintf(d->network, sizeof(d->network), "%s", out_str(nic, "network", ""));
	ret = check_target(d, found, nic);
	if (!ret && (d->opt.load || d->opt.peer || !d->kind->nic))
		ret = find_peer(d, status);
out:
	json_decref(status);
	free(vnic);
	return ret;
}

static void describe_vm(json_t *report, const char *key, const json_t *status,
			const struct drill_vm *who)
{
	json_t *vm;
	size_t i;

	json_array_foreach (json_object_get(status, "vms"), i, vm)
		if (!strcmp(out_str(vm, "name", ""), who->name))
			json_object_set_new(
				report, key,
				json_pack("{s:s, s:s, s:s, s:O?, s:O?, s:s}", "vm", who->name,
					  "nic", who->vnic, "address", who->address, "kernel",
					  json_object_get(vm, "kernel_version"), "accel",
					  json_object_get(vm, "accel"), "mac", who->mac));
}

void drill_describe(struct drill *d)
{
	json_t *status;

	if (drill_status(d, &status))
		return;
	describe_vm(d->report, "target_vm", status, &d->target);
	describe_vm(d->report, "peer_vm", status, &d->peer);
	json_object_set_new(d->report, "network", json_string(d->network));
	json_decref(status);
}
