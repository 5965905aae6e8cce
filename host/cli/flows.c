/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns "hvlab flows": the connections that policies have let in, and their end. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/cli/commands.h"
#include "host/cli/words.h"
#include "host/flow_words.h"

#define PAGE  1000 /* of one answer, the protocol's most */
#define LIMIT 200

enum {
	OPT_PROTO = 256,
	OPT_LOCAL,
	OPT_REMOTE,
	OPT_STATE,
	OPT_OFFLOADED,
	OPT_STALE,
	OPT_KEPT,
	OPT_LIMIT,
	OPT_COUNT,
};

static const struct out_column cols[] = {
	{.title = "NIC", .path = "vnic"},
	{.title = "PROTO", .path = "proto"},
	{.title = "LOCAL", .path = "local_end"},
	{.title = "REMOTE", .path = "remote_end"},
	{.title = "FIRST", .path = "origin"},
	{.title = "STATE", .path = "state"},
	{.title = "TX-PKTS", .path = "tx.packets", .right = true},
	{.title = "RX-PKTS", .path = "rx.packets", .right = true},
	{.title = "TX-BYTES", .path = "tx.bytes", .right = true},
	{.title = "RX-BYTES", .path = "rx.bytes", .right = true},
	{.title = "AGE", .path = "age_ms", .format = out_fmt_ms, .right = true},
	{.title = "EXPIRES", .path = "expires_ms", .format = out_fmt_ms, .right = true},
	{.title = "ALLOWED-BY", .path = "by"},
	{.title = "NOTES", .path = "notes"},
};

/* ---- Text ----------------------------------------------------------------------------------- */

/* "10.0.0.4:22", "[fd00::4]:22"; ICMP has an identifier there. */
static json_t *end_text(const json_t *flow, const char *address, const char *port)
{
	const char *ip = out_str(flow, address, "?");

	return json_sprintf(strchr(ip, ':') ? "[%s]:%lld" : "%s:%lld", ip, out_int(flow, port));
}

static void note(char *buf, size_t size, const char *text)
{
	size_t len = strlen(buf);

	snprintf(buf + len, size - len, "%s%s", len ? ", " : "", text);
}

static json_t *notes_text(const json_t *flow)
{
	char notes[160] = "", as[80];

	if (json_is_object(json_object_get(flow, "translated"))) {
		json_t *end = end_text(flow, "translated.address", "translated.port");

		snprintf(as, sizeof(as), "as %s", json_string_value(end));
		note(notes, sizeof(notes), as);
		json_decref(end);
	}
	if (json_is_true(json_object_get(flow, "offloaded")))
		note(notes, sizeof(notes), "offloaded");
	if (json_is_true(json_object_get(flow, "kept")))
		note(notes, sizeof(notes), "kept");
	if (json_is_true(json_object_get(flow, "stale")))
		note(notes, sizeof(notes), "stale");
	return json_string(notes);
}

static void show(struct output *out, const json_t *v)
{
	json_t *flows = json_object_get(v, "flows"), *f;
	size_t i;

	if (!json_array_size(flows)) {
		out_text(out, "no connections\n");
		return;
	}
	json_array_foreach (flows, i, f) {
		json_object_set_new(f, "local_end", end_text(f, "local", "local_port"));
		json_object_set_new(f, "remote_end", end_text(f, "remote", "remote_port"));
		json_object_set_new(f, "by",
				    json_is_object(json_object_get(f, "allowed_by"))
					    ? json_sprintf("%s/%s/%s",
							   out_str(f, "allowed_by.layer", "?"),
							   out_str(f, "allowed_by.group", "?"),
							   out_str(f, "allowed_by.rule", "?"))
					    : json_string("-"));
		json_object_set_new(f, "notes", notes_text(f));
	}
	out_table(out, flows, cols, ARRAY_SIZE(cols));
	if (json_is_true(json_object_get(v, "more")))
		out_text(out, "There are more: --limit N shows more of them, --limit 0 all.\n");
}

static void show_count(struct output *out, const json_t *v)
{
	out_text(out, "%lld\n", out_int(v, "count"));
}

static void show_cut(struct output *out, const json_t *v)
{
	long long n = out_int(v, "cut");

	out_text(out, "%lld connection%s ended\n", n, n == 1 ? "" : "s");
}

/* ---- Options -------------------------------------------------------------------------------- */

/* "10.0.0.4", "10.0.0.0/24", "10.0.0.4:22", ":22", "fd00::4", "[fd00::4]:22". */
static void put_end(struct cli *cli, json_t *args, const char *name, const char *text)
{
	char option[16], key[24], ip[64];
	const char *port = NULL;
	size_t n = strlen(text);

	snprintf(option, sizeof(option), "--%s", name);
	snprintf(key, sizeof(key), "%s_port", name);
	if (*text == '[') {
		n = strcspn(text, "]");
		if (!text[n] || (text[n + 1] && text[n + 1] != ':'))
			cli_usage(cli, "%s: \"%s\" is no address; as in [fd00::4]:22", option,
				  text);
		port = text[n + 1] ? text + n + 2 : NULL;
		text++;
		n--;
	} else if (strchr(text, ':') && strchr(text, ':') == strrchr(text, ':')) {
		n = strcspn(text, ":");
		port = text + n + 1;
	}
	if (n >= sizeof(ip))
		cli_usage(cli, "%s: \"%s\" is no address", option, text);
	if (n) {
		memcpy(ip, text, n);
		ip[n] = '\0';
		json_object_set_new(args, name, json_string(ip));
	}
	if (port)
		json_object_set_new(args, key,
				    json_integer(cli_number(cli, option, port, 0, 65535)));
}

struct wish {
	json_t *args;
	long limit; /* 0: all */
	bool count, limited;
};

static void option(struct cli *cli, int opt, struct wish *w)
{
	switch (opt) {
	case OPT_PROTO:
		json_object_set_new(w->args, "proto", json_string(optarg));
		break;
	case OPT_LOCAL:
		put_end(cli, w->args, "local", optarg);
		break;
	case OPT_REMOTE:
		put_end(cli, w->args, "remote", optarg);
		break;
	case OPT_STATE:
		cli_one_of(cli, "--state", optarg, FLOW_STATE_VALUES);
		json_object_set_new(w->args, "state", json_string(optarg));
		break;
	case OPT_OFFLOADED:
		cli_one_of(cli, "--offloaded", optarg, "yes|no");
		json_object_set_new(w->args, "offloaded", json_boolean(!strcmp(optarg, "yes")));
		break;
	case OPT_STALE:
		json_object_set_new(w->args, "stale", json_true());
		break;
	case OPT_KEPT:
		json_object_set_new(w->args, "kept", json_true());
		break;
	case OPT_LIMIT:
		w->limit = cli_number(cli, "--limit", optarg, 0, 1 << 30);
		w->limited = true;
		break;
	case OPT_COUNT:
		w->count = true;
		break;
	}
}

/* ---- Asking --------------------------------------------------------------------------------- */

/* Pages of it, until there are enough or no more; @args is stolen. NULL with a message. */
static json_t *all_pages(struct cli *cli, json_t *args, long limit)
{
	json_t *all = json_array(), *page;
	bool more = true;
	long left = limit;

	while (more && (!limit || left)) {
		long want = limit && left < PAGE ? left : PAGE;

		json_object_set_new(args, "limit", json_integer(want));
		page = cli_call(cli, "query-flows", json_copy(args));
		if (!page) {
			json_decref(all);
			json_decref(args);
			return NULL;
		}
		json_array_extend(all, json_object_get(page, "flows"));
		left -= (long)json_array_size(json_object_get(page, "flows"));
		more = json_is_true(json_object_get(page, "more"));
		if (more)
			json_object_set(args, "from", json_object_get(page, "next"));
		json_decref(page);
	}
	json_decref(args);
	return json_pack("{s:o, s:b}", "flows", all, "more", more);
}

static int print(struct cli *cli, json_t *v, void (*text)(struct output *out, const json_t *value))
{
	if (!v)
		return CLI_FAILED;
	out_result(&cli->out, v, text);
	json_decref(v);
	return CLI_OK;
}

static int run(struct cli *cli, int argc, char **argv)
{
	static const struct option longs[] = {
		{"proto", required_argument, NULL, OPT_PROTO},
		{"local", required_argument, NULL, OPT_LOCAL},
		{"remote", required_argument, NULL, OPT_REMOTE},
		{"state", required_argument, NULL, OPT_STATE},
		{"offloaded", required_argument, NULL, OPT_OFFLOADED},
		{"stale", no_argument, NULL, OPT_STALE},
		{"kept", no_argument, NULL, OPT_KEPT},
		{"limit", required_argument, NULL, OPT_LIMIT},
		{"count", no_argument, NULL, OPT_COUNT},
		{0},
	};
	struct wish w = {.args = json_object(), .limit = LIMIT};
	bool flush;
	int opt;

	while ((opt = cli_getopt(cli, argc, argv, NULL, longs)) != -1)
		option(cli, opt, &w);
	flush = optind < argc && !strcmp(argv[optind], "flush");
	optind += flush;
	if (optind < argc) {
		char *vnic;

		cli_args(cli, argc, 1, "TARGET");
		vnic = cli_vnic(cli, argv[optind]);
		if (!vnic)
			return CLI_FAILED;
		json_object_set_new(w.args, "vnic", json_string(vnic));
		free(vnic);
	}
	if (flush && (w.count || w.limited))
		cli_usage(cli, "flows flush takes no --%s", w.count ? "count" : "limit");
	if (flush)
		return print(cli, cli_call_slow(cli, "flows-flush", w.args), show_cut);
	if (!w.count)
		return print(cli, all_pages(cli, w.args, w.limit), show);
	json_object_set_new(w.args, "count", json_true());
	return print(cli, cli_call_slow(cli, "query-flows", w.args), show_count);
}

const struct cli_command cmd_flows = {
	.name = "flows",
	.args = "[TARGET] [FILTERS] [--limit N] [--count] [--json]\n"
		"       hvlab flows flush [TARGET] [FILTERS] [--json]",
	.summary = "Print the connections that policies have let in, or end them",
	.help = "TARGET is VM/NIC, or VM when it has one NIC; without it all. LOCAL is the "
		"guest's end.\n"
		"flush ends connections: their next packet is judged as a first one. Guests hear\n"
		"nothing of it.\n\n"
		"Filters:\n"
		"  --proto P           tcp, udp, icmp, icmpv6, esp, ah, or a number\n"
		"  --local, --remote A address, prefix, or either with a port: 10.0.0.4, "
		"10.0.0.0/24,\n"
		"                      10.0.0.4:22, :22, [fd00::4]:22\n"
		"  --state S           new, replied, picked-up, established, closing, time-wait, "
		"reset, cut\n"
		"  --offloaded yes|no  are its packets handled in the VF's own table?\n"
		"  --stale             last judged by an earlier policy\n"
		"  --kept              there still, though the policy would not let it in now\n\n"
		"Options:\n"
		"  --limit N           print N at most; default 200, 0: all\n"
		"  --count             only how many there are\n"
		"  --json              as in docs/protocol.md, query-flows\n\n"
		"Examples:\n"
		"  hvlab flows\n"
		"  hvlab flows a --proto tcp --remote :22\n"
		"  hvlab flows --kept --count\n"
		"  hvlab flows flush a/eth0 --remote 10.0.0.5\n",
	.json = true,
	.run = run,
};
