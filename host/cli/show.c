/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the view of the daemon's state that up and status print. */
#include "host/cli/cli.h"

#include <string.h>

static void show_fabric(struct output *out, const json_t *fabric)
{
	const char *state = out_str(fabric, "state", ""), *reason = out_str(fabric, "reason", NULL);

	if (!json_is_object(fabric))
		return;
	out_text(out, "fabric  host %s, registry %s", out_str(fabric, "host", "?"),
		 out_str(fabric, "registry", "?"));
	if (strcmp(state, "static") != 0)
		out_text(out, ", %s%s%s", state, reason ? ": " : "", reason ? reason : "");
	out_text(out, "%s\n",
		 strcmp(state, "lost") == 0 ? "; packets go by the last that was known" : "");
}

static void show_daemon(struct output *out, const json_t *status)
{
	const char *reason = out_str(status, "accel.reason", NULL);
	char up[32];

	out_fmt_ms(out_path(status, "uptime_ms"), up, sizeof(up));
	out_text(out, "daemon  hvlabd %s, pid %lld, up %s, log %s\n", out_str(status, "version", "?"),
		 out_int(status, "pid"), up, out_str(status, "log", "-"));
	if (json_is_null(out_path(status, "lab"))) {
		out_text(out, "no lab is up\n");
		return;
	}
	out_fmt_ms(out_path(status, "lab.uptime_ms"), up, sizeof(up));
	out_text(out, "lab     %s, %s, up %s\n", out_str(status, "lab.name", "?"),
		 out_str(status, "lab.state", "?"), up);
	out_text(out, "qemu    %s, accelerator %s, MSI-X %s\n",
		 out_str(status, "lab.qemu.version", "of unknown version"),
		 out_str(status, "lab.accel", "?"), out_str(status, "lab.msix", "?"));
	if (strcmp(out_str(status, "lab.accel", ""), "tcg") == 0 && reason) {
		out_text(out, "        no KVM: ");
		out_line(out, reason);
	}
	show_fabric(out, json_object_get(status, "fabric"));
}

/* Networks with one, and what is wrong with it. */
static void show_uplinks(struct output *out, const json_t *nets)
{
	static const struct out_column cols[] = {
		{.title = "UPLINK", .path = "network"},
		{.title = "TYPE", .path = "type"},
		{.title = "INTERFACE", .path = "uplink.interface"},
		{.title = "STATE", .path = "uplink.state"},
		{.title = "MTU", .path = "uplink.mtu", .right = true},
		{.title = "ADDRESS", .path = "uplink.ip4"},
	};
	static const char *const texts[] = {"uplink.reason", "uplink.warning"};
	json_t *rows = json_array(), *net;
	size_t n;

	json_array_foreach((json_t *)nets, n, net)
		if (json_is_object(out_path(net, "uplink")))
			json_array_append_new(rows, json_pack("{s:O, s:O, s:O}", "network",
							      out_path(net, "name"), "type",
							      out_path(net, "type"), "uplink",
							      out_path(net, "uplink")));
	if (json_array_size(rows)) {
		out_text(out, "\n");
		out_table(out, rows, cols, ARRAY_SIZE(cols));
	}
	json_array_foreach(rows, n, net)
		for (unsigned int i = 0; i < ARRAY_SIZE(texts); i++) {
			const char *text = out_str(net, texts[i], NULL);

			if (!text)
				continue;
			out_text(out, "%s: uplink: ", out_str(net, "network", "?"));
			out_line(out, text);
		}
	json_decref(rows);
}

void cli_show_status(struct output *out, const json_t *status)
{
	static const struct out_column vms[] = {
		{.title = "VM", .path = "name"},
		{.title = "STATE", .path = "state"},
		{.title = "KERNEL", .path = "kernel_version"},
		{.title = "CPUS", .path = "cpus", .right = true},
		{.title = "MEMORY", .path = "memory", .format = out_fmt_bytes, .right = true},
		{.title = "UP", .path = "uptime_ms", .format = out_fmt_ms, .right = true},
		{.title = "BOOTS", .path = "boots", .right = true},
		{.title = "PID", .path = "pid", .right = true},
	};
	static const struct out_column nics[] = {
		{.title = "NIC", .path = "id"},
		{.title = "NETWORK", .path = "network"},
		{.title = "MAC", .path = "mac"},
		{.title = "VF", .path = "vf.state"},
		{.title = "LINK", .path = "vf.link", .format = out_fmt_link},
		{.title = "QUEUES", .path = "vf.queues", .right = true},
		{.title = "MTU", .path = "mtu", .right = true},
		{.title = "ADDRESSES", .path = "addresses"},
	};
	static const struct out_column nets[] = {
		{.title = "NETWORK", .path = "name"},
		{.title = "SUBNET", .path = "subnet"},
		{.title = "SUBNET6", .path = "subnet6"},
		{.title = "MTU", .path = "mtu", .right = true},
		{.title = "PORTS", .path = "ports", .right = true},
		{.title = "MACS", .path = "macs", .right = true},
		{.title = "SERVICES", .path = "services.state"},
	};
	json_t *rows = json_array(), *vm, *nic, *net;
	size_t v, n;

	show_daemon(out, status);
	if (json_array_size(out_path(status, "vms"))) {
		out_text(out, "\n");
		out_table(out, out_path(status, "vms"), vms, ARRAY_SIZE(vms));
	}
	json_array_foreach((json_t *)out_path(status, "vms"), v, vm) {
		const char *reason = out_str(vm, "reason", NULL);

		if (reason) {
			out_text(out, "%s: ", out_str(vm, "name", "?"));
			out_line(out, reason);
		}
		if (out_int(vm, "agent_silent_ms") > 15000)
			out_text(out, "%s: the agent has not answered for %lld s\n",
				 out_str(vm, "name", "?"), out_int(vm, "agent_silent_ms") / 1000);
		json_array_foreach((json_t *)out_path(vm, "vnics"), n, nic)
			json_array_append(rows, nic);
	}
	if (json_array_size(rows)) {
		out_text(out, "\n");
		out_table(out, rows, nics, ARRAY_SIZE(nics));
	}
	json_array_foreach(rows, n, nic) {
		const char *bad = out_str(nic, "vf.last_error", NULL);

		if (bad && *bad) {
			out_text(out, "%s: last error of the guest: ", out_str(nic, "id", "?"));
			out_line(out, bad);
		}
	}
	if (json_array_size(out_path(status, "networks"))) {
		out_text(out, "\n");
		out_table(out, out_path(status, "networks"), nets, ARRAY_SIZE(nets));
	}
	show_uplinks(out, out_path(status, "networks"));
	json_array_foreach((json_t *)out_path(status, "networks"), n, net) {
		const char *reason = out_str(net, "services.reason", NULL);

		if (reason) {
			out_text(out, "%s: DHCP and DNS: ", out_str(net, "name", "?"));
			out_line(out, reason);
		}
	}
	json_decref(rows);
}
