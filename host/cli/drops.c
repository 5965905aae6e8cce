/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns "hvlab drops": how many packets were dropped and why, and each one as it happens. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "host/cli/commands.h"
#include "host/cli/drops_words.h"

static const struct out_column cols[] = {
	{.title = "NIC", .path = "vnic"},
	{.title = "DIRECTION", .path = "direction"},
	{.title = "REASON", .path = "reason"},
	{.title = "PACKETS", .path = "packets", .right = true},
	{.title = "LOOK AT", .path = "hint"},
};

/**
 * struct follow - What is to be printed
 * @left:	drops still wanted; -1: all
 */
struct follow {
	struct cli *cli;
	const char *target, *reason;
	long left;
};

/* "a/eth0" is that NIC, "a" every NIC of the VM; NULL: all. */
static bool is_target(const char *target, const char *nic)
{
	size_t n = target ? strlen(target) : 0;

	if (!target)
		return true;
	return !strncmp(nic, target, n) && (!nic[n] || (nic[n] == '/' && !strchr(target, '/')));
}

/* ---- Counters ------------------------------------------------------------------------------- */

static void add_rows(json_t *rows, const json_t *vnic, const char *key, const char *direction,
		     const char *only)
{
	const char *reason;
	json_t *count;

	json_object_foreach ((json_t *)out_path(vnic, key), reason, count) {
		if (!json_integer_value(count) || (only && strcmp(reason, only) != 0))
			continue;
		json_array_append_new(rows, json_pack("{s:s, s:s, s:s, s:O, s:s}", "vnic",
						      out_str(vnic, "id", "?"), "direction",
						      direction, "reason", reason, "packets", count,
						      "hint", drops_hint(reason)));
	}
}

static void show(struct output *out, const json_t *v)
{
	const json_t *rows = json_object_get(v, "drops");

	if (json_array_size(rows))
		out_table(out, rows, cols, ARRAY_SIZE(cols));
	else
		out_text(out, "no packet was dropped\n");
}

/* The NICs that are meant, with their counters; NULL with a message. */
static json_t *vnics_of(struct cli *cli, const char *target)
{
	bool one = target && strchr(target, '/');
	json_t *v = cli_call(cli, "stats", one ? json_pack("{s:s}", "vnic", target) : NULL);
	json_t *found = v ? json_array() : NULL, *vnic;
	size_t i;

	json_array_foreach (json_object_get(v, "vnics"), i, vnic)
		if (is_target(target, out_str(vnic, "id", "")))
			json_array_append(found, vnic);
	json_decref(v);
	if (found && target && !json_array_size(found)) {
		cli_error("hvlab status lists the VMs and their NICs",
			  "there is no VM \"%s\" with a NIC", target);
		json_decref(found);
		return NULL;
	}
	return found;
}

static int counters(struct cli *cli, const char *target, const char *reason)
{
	json_t *vnics = vnics_of(cli, target), *rows, *v, *vnic;
	size_t i;

	if (!vnics)
		return CLI_FAILED;
	rows = json_array();
	json_array_foreach (vnics, i, vnic) {
		add_rows(rows, vnic, "port.tx_drops", "outbound", reason);
		add_rows(rows, vnic, "port.rx_drops", "inbound", reason);
	}
	v = json_pack("{s:o}", "drops", rows);
	out_result(&cli->out, v, show);
	json_decref(v);
	json_decref(vnics);
	return CLI_OK;
}

/* ---- Following ------------------------------------------------------------------------------ */

static void print_end(const json_t *packet, const char *address, const char *port)
{
	const char *ip = out_str(packet, address, "?");

	if (!json_object_get(packet, port))
		printf("%s", ip);
	else
		printf(strchr(ip, ':') ? "[%s]:%lld" : "%s:%lld", ip, out_int(packet, port));
}

static void print_packet(const json_t *packet)
{
	if (json_object_get(packet, "proto")) {
		printf("  %s ", out_str(packet, "proto", "?"));
		print_end(packet, "src", "src_port");
		printf(" > ");
		print_end(packet, "dst", "dst_port");
		if (json_object_get(packet, "type"))
			printf(" type %lld", out_int(packet, "type"));
	} else if (json_object_get(packet, "src_mac")) {
		printf("  %04llx %s > %s", out_int(packet, "eth_type"),
		       out_str(packet, "src_mac", "?"), out_str(packet, "dst_mac", "?"));
	}
	printf(", %lld bytes", out_int(packet, "length"));
}

static void print_time(long long ns)
{
	time_t sec = (time_t)(ns / 1000000000);
	struct tm tm;

	localtime_r(&sec, &tm);
	printf("%02d:%02d:%02d.%06lld", tm.tm_hour, tm.tm_min, tm.tm_sec, ns / 1000 % 1000000);
}

static void print_drop(const json_t *d)
{
	const char *port = out_str(d, "port", "?"), *from = out_str(d, "from", NULL);
	const json_t *packet = json_object_get(d, "packet");
	long long repeated = out_int(d, "repeated");

	print_time(out_int(d, "time_ns"));
	printf("  %s %s  %s", port, out_str(d, "direction", "?"), out_str(d, "reason", "?"));
	if (!json_is_object(packet)) {
		printf("  %lld more like those\n", repeated);
		return;
	}
	print_packet(packet);
	if (from && strcmp(from, port) != 0)
		printf(", from %s", from);
	if (json_is_object(json_object_get(d, "denied_by")))
		printf(", denied by %s/%s/%s", out_str(d, "denied_by.layer", "?"),
		       out_str(d, "denied_by.group", "?"), out_str(d, "denied_by.rule", "?"));
	if (repeated)
		printf(" (and %lld more before it)", repeated);
	putchar('\n');
}

static void on_event(void *arg, const json_t *event)
{
	const json_t *d = json_object_get(event, "data");
	struct follow *f = arg;
	bool lost = json_object_get(d, "lost");

	if (strcmp(out_str(event, "event", ""), "DROP") != 0 || !f->left)
		return;
	if (!lost && (!is_target(f->target, out_str(d, "port", "")) ||
		      (f->reason && strcmp(f->reason, out_str(d, "reason", "")) != 0)))
		return;
	if (f->cli->out.json)
		out_json_line(event);
	else if (lost)
		printf("(%lld drops could not be told: too many at once)\n", out_int(d, "lost"));
	else
		print_drop(d);
	if (json_object_get(event, "lost") && !f->cli->out.json)
		printf("(%lld of these lines were lost: this end read too slowly)\n",
		       out_int(event, "lost"));
	fflush(stdout);
	if (f->left > 0 && !lost)
		f->left--;
}

static int follow(struct follow *f, int timeout_ms)
{
	json_t *v = vnics_of(f->cli, f->target);

	if (!v)
		return CLI_FAILED;
	json_decref(v);
	return cli_watch(f->cli, json_pack("[s]", "DROP"), on_event, f, &f->left, timeout_ms);
}

/* ---- Command -------------------------------------------------------------------------------- */

static int run(struct cli *cli, int argc, char **argv)
{
	static const struct option longs[] = {
		{"follow", no_argument, NULL, 'f'},
		{"reason", required_argument, NULL, 'r'},
		{"count", required_argument, NULL, 'n'},
		{"timeout", required_argument, NULL, 't'},
		{0},
	};
	struct follow f = {.cli = cli, .left = -1};
	bool following = false, bounded = false;
	int opt, timeout_ms = -1;

	while ((opt = cli_getopt(cli, argc, argv, "fr:n:", longs)) != -1) {
		following |= opt == 'f';
		bounded |= opt == 'n' || opt == 't';
		if (opt == 'r')
			f.reason = optarg;
		else if (opt == 'n')
			f.left = cli_number(cli, "--count", optarg, 1, 1 << 30);
		else if (opt == 't')
			timeout_ms = cli_seconds(cli, "--timeout", optarg);
	}
	if (f.reason && !drops_is_reason(f.reason))
		cli_usage(cli, "--reason: there is no \"%s\"; it is one of %s", f.reason,
			  drops_reasons());
	if (bounded && !following)
		cli_usage(cli, "--count and --timeout go with --follow");
	if (optind < argc)
		cli_args(cli, argc, 1, "TARGET");
	f.target = optind < argc ? argv[optind] : NULL;
	return following ? follow(&f, timeout_ms) : counters(cli, f.target, f.reason);
}

const struct cli_command cmd_drops = {
	.name = "drops",
	.args = "[TARGET] [--reason R] [--json]\n"
		"       hvlab drops [TARGET] --follow [--reason R] [-n N] [--timeout S] [--json]",
	.summary = "Print why packets were dropped, or each one as it happens",
	.help = "Without --follow: how many so far, by reason, and what to look at. TARGET is "
		"VM/NIC or\n"
		"VM; without it all NICs are shown. Directions are the guest's. A packet that its "
		"receiver\n"
		"could not take is counted by its sender too.\n\n"
		"With --follow: each packet once, at the NIC that the reason belongs to, and which "
		"rule\n"
		"denied it. Of many alike 25 a second are printed, and how many there were.\n\n"
		"Options:\n"
		"  -f, --follow     until Ctrl-C or the daemon's end\n"
		"  -r, --reason R   only these: policy, no-buffer ...\n"
		"  -n, --count N    end after N lines\n"
		"  --timeout S      end after S seconds\n"
		"  --json           with --follow one event a line, as in docs/protocol.md, "
		"DROP\n\n"
		"Examples:\n"
		"  hvlab drops\n"
		"  hvlab drops b/eth0 --follow --reason policy\n"
		"  hvlab drops --follow -n 1 --timeout 60 --json | jq .data.denied_by\n",
	.json = true,
	.run = run,
};
