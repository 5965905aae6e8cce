/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns "hvlab explain": what would become of a packet. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/cli/commands.h"

static void show_step(struct output *out, const json_t *s)
{
	const char *rule = out_str(s, "rule", NULL);

	out_text(out, "  %-12s ", out_str(s, "layer", "?"));
	if (json_is_true(json_object_get(s, "reply"))) {
		out_text(out, "lets replies pass\n");
		return;
	}
	out_text(out, "%s: %s", out_str(s, "group", "?"), rule ? rule : "no rule matches");
	if (json_object_get(s, "priority"))
		out_text(out, ", priority %lld", out_int(s, "priority"));
	if (json_object_get(s, "verdict"))
		out_text(out, ": %s", out_str(s, "verdict", "?"));
	out_text(out, "\n");
}

static void show_effects(struct output *out, const json_t *stop)
{
	const char *changes = out_str(stop, "changes", NULL);
	const json_t *meters = json_object_get(stop, "meters");

	if (changes)
		out_text(out, "  %s\n  becomes %s\n", changes, out_str(stop, "becomes", "?"));
	for (size_t i = 0; i < json_array_size(meters); i++)
		out_text(out, "  counted by meter %s\n",
			 json_string_value(json_array_get(meters, i)));
	if (out_int(stop, "limits") > 0)
		out_text(out, "  under %lld bandwidth limit%s\n", out_int(stop, "limits"),
			 out_int(stop, "limits") > 1 ? "s" : "");
	if (json_object_get(stop, "mark"))
		out_text(out, "  marked %lld\n", out_int(stop, "mark"));
}

static void show_stop(struct output *out, const json_t *stop)
{
	const char *verdict = out_str(stop, "verdict", "?"), *why = out_str(stop, "why", "?");
	const char *conn = out_str(stop, "connection", "");
	json_t *s;
	size_t i;

	out_text(out, "%s %s: ", out_str(stop, "port", "?"), out_str(stop, "direction", "?"));
	if (strcmp(verdict, "deny") == 0)
		out_text(out, "denied by %s/%s/%s\n", out_str(stop, "decided_by.layer", "?"),
			 out_str(stop, "decided_by.group", "?"),
			 out_str(stop, "decided_by.rule", "?"));
	else if (strcmp(verdict, "drop") == 0)
		out_text(out, "dropped, %s\n", why);
	else if (!json_is_true(json_object_get(stop, "policy")))
		out_text(out, "passes, there is no policy\n");
	else
		out_text(out, "passes\n");
	if (strcmp(conn, "known") == 0)
		out_text(out,
			 "  belongs to a connection (%s, let in by %s/%s/%s); the rules would "
			 "say now:\n",
			 out_str(stop, "known.state", "?"), out_str(stop, "known.layer", "?"),
			 out_str(stop, "known.group", "?"), out_str(stop, "known.rule", "?"));
	json_array_foreach (json_object_get(stop, "steps"), i, s)
		show_step(out, s);
	show_effects(out, stop);
}

static void show(struct output *out, const json_t *v)
{
	const char *way = out_str(v, "way", NULL), *verdict = out_str(v, "verdict", "?");
	json_t *stop;
	size_t i;

	out_line(out, out_str(v, "packet", "?"));
	json_array_foreach (json_object_get(v, "path"), i, stop) {
		out_text(out, "\n");
		show_stop(out, stop);
	}
	out_text(out, "\n");
	if (strcmp(verdict, "pass") != 0)
		out_text(out, "It %s at %s (%s).\n",
			 strcmp(verdict, "deny") == 0 ? "is denied" : "is dropped",
			 out_str(v, "at", "?"), out_str(v, "why", "?"));
	else if (way && strcmp(way, "flood") == 0)
		out_text(out, "It goes to all ports of the network.\n");
	else
		out_text(out, "It arrives.\n");
}

static char *join(int argc, char **argv)
{
	char *text = calloc(1, 1);

	for (int i = optind; text && i < argc; i++) {
		char *more;

		if (asprintf(&more, "%s%s%s", text, *text ? " " : "", argv[i]) < 0)
			more = NULL;
		free(text);
		text = more;
	}
	return text;
}

static int run(struct cli *cli, int argc, char **argv)
{
	static const struct option longs[] = {{"in", no_argument, NULL, 'i'}, {0}};
	bool in = false;
	char *vnic, *packet;
	json_t *v;
	int opt;

	while ((opt = cli_getopt(cli, argc, argv, "i", longs)) != -1)
		in = true;
	if (argc - optind < 2)
		cli_usage(cli, "name a NIC, then a packet: tcp 10.0.0.4:40000 10.0.0.5:22");
	vnic = cli_vnic(cli, argv[optind++]);
	if (!vnic)
		return CLI_FAILED;
	packet = join(argc, argv);
	v = packet ? cli_call(cli, "explain",
			      json_pack("{s:s, s:s, s:s}", "vnic", vnic, "packet", packet,
					"direction", in ? "inbound" : "outbound"))
		   : NULL;
	free(packet);
	free(vnic);
	if (!v)
		return CLI_FAILED;
	out_result(&cli->out, v, show);
	json_decref(v);
	return CLI_OK;
}

const struct cli_command cmd_explain = {
	.name = "explain",
	.args = "NIC PACKET [--in] [--json]",
	.summary = "Which rules decide about a packet, what it becomes and where it goes",
	.help = "Nothing is sent: the switch is asked, with the connections that exist now. NIC "
		"is\n"
		"VM/NIC, or VM when it has one NIC. It sends the packet; with --in it receives it, "
		"from\n"
		"outside of the lab.\n\n"
		"PACKET is one of\n"
		"  tcp|udp [SOURCE[:PORT]] DESTINATION:PORT\n"
		"  icmp [SOURCE] DESTINATION [TYPE[/CODE]]\n"
		"  esp|ah|NUMBER [SOURCE] DESTINATION\n"
		"  arp [SOURCE] DESTINATION\n"
		"with addresses, VMs (their first NIC) or VM/NIC; IPv6 in brackets before a "
		"port.\n\n"
		"Options:\n"
		"  -i, --in  the packet comes to the NIC\n"
		"  --json    as in docs/protocol.md\n\n"
		"Exit status: 0 there is an answer, whatever it is.\n\n"
		"Examples:\n"
		"  hvlab explain a tcp b:22\n"
		"  hvlab explain a/eth0 udp 10.0.0.4:1000 8.8.8.8:53\n"
		"  hvlab explain b --in tcp 198.51.100.7:40000 10.0.0.5:443\n",
	.json = true,
	.run = run,
};
