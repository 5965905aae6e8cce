/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns what query-status and stats answer. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "host/flows.h"
#include "host/run_capture.h"
#include "host/run_uplink.h"
#include "host/run_fabric.h"

static json_t *str_or_null(const char *s)
{
	json_t *v = s && *s ? json_string(s) : NULL;

	return v ? v : json_null();
}

static json_int_t since_ms(uint64_t start_ns)
{
	return (json_int_t)((now_ns() - start_ns) / NSEC_PER_MSEC);
}

json_t *report_workers(struct daemon *d)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < d->n_workers; i++) {
		struct worker_stats st;

		worker_get_stats(d->workers[i], &st);
		json_array_append_new(list, json_pack("{s:s, s:I, s:I, s:I, s:I}", "name",
						      worker_name(d->workers[i]), "busy_ns",
						      (json_int_t)st.busy_ns, "idle_ns",
						      (json_int_t)st.idle_ns, "turns",
						      (json_int_t)st.turns, "sleeps",
						      (json_int_t)st.sleeps));
	}
	return list;
}

static json_t *with_prefix(const char *ip, unsigned int prefix)
{
	char buf[INET6_ADDRSTRLEN + 5];

	snprintf(buf, sizeof(buf), "%s/%u", ip, prefix);
	return json_string(buf);
}

/* @o: of a path, stolen; null: it has no such. */
static json_t *path_json(const struct run_nic *rn, enum plug_path path, json_t *o)
{
	if (json_is_object(o))
		json_object_set_new(o, "capture", json_boolean(run_capturing(rn, path)));
	return o;
}

static json_t *nic_json(const struct run *run, const struct run_nic *rn)
{
	const struct lab_nic *nic = rn->lab;
	const struct lab_net *net = &run->lab->nets[nic->net];
	json_t *addresses = json_array(), *o;

	if (nic->ip4[0])
		json_array_append_new(addresses, with_prefix(nic->ip4, net->prefix4));
	if (nic->ip6[0])
		json_array_append_new(addresses, with_prefix(nic->ip6, net->link6));
	o = json_pack(
		"{s:s, s:s, s:i, s:s, s:s, s:i, s:i, s:i, s:s, s:b, s:o, s:b, s:s, s:s, s:b, "
		"s:o, s:o}",
		"name", nic->name, "id", vnic_id(rn->vnic), "slot", (int)rn->slot, "mac",
		nic->mac_text, "network", net->name, "mtu", (int)nic->mtu, "queues",
		(int)nic->queues, "weight", (int)nic->weight, "moderation",
		lab_moderation_name(nic->moderation), "link", vnic_link(rn->vnic), "addresses",
		addresses, "capture", run_capturing(rn, CAPTURE_ALL), "phase",
		rn->removing ? "removing"
		: rn->adding ? "adding"
			     : "present",
		"receive", vf_receive_name(vnic_receive(rn->vnic)), "paired", rn->paired, "vf",
		path_json(rn, PLUG_VF, vnic_vf_json(rn->vnic)), "synthetic",
		path_json(rn, PLUG_SYNTHETIC, vnic_synthetic_json(rn->vnic)));
	lab_features_to_json(&nic->features, o, false);
	json_object_set_new(o, "flows", flow_stats_json(vnic_port(rn->vnic)));
	return o;
}

static json_t *vm_json(const struct run *run, const struct run_vm *rv)
{
	const json_t *image = json_object_get(json_object_get(run->parts, "images"), rv->lab->name);
	const struct vm *vm = rv->vm;
	const struct vm_conf *conf = vm_conf(vm);
	json_t *o, *vnics = json_array();
	int status;

	for (unsigned int k = 0; k < LAB_VM_NICS; k++)
		if (rv->nics[k].vnic)
			json_array_append_new(vnics, nic_json(run, &rv->nics[k]));
	o = json_pack("{s:s, s:s, s:o, s:s, s:o, s:o}", "name", rv->lab->name, "state",
		      vm_state_name(vm_state(vm)), "reason", str_or_null(vm_reason(vm)), "accel",
		      run->kvm ? "kvm" : "tcg", "kernel",
		      str_or_null(json_string_value(json_object_get(image, "name"))),
		      "kernel_version",
		      str_or_null(json_string_value(json_object_get(image, "version"))));
	json_object_set_new(o, "cpus", json_integer(rv->lab->cpus));
	json_object_set_new(o, "memory", json_integer((json_int_t)rv->lab->memory_mb << 20));
	json_object_set_new(
		o, "hotplug",
		json_string(rv->lab->hotplug == LAB_HOTPLUG_NATIVE ? "native" : "acpi"));
	json_object_set_new(o, "pid", vm_pid(vm) ? json_integer(vm_pid(vm)) : json_null());
	json_object_set_new(o, "uptime_ms", json_integer((json_int_t)vm_uptime_ms(vm)));
	json_object_set_new(o, "boots", json_integer(vm_boots(vm)));
	json_object_set_new(o, "exit_status",
			    vm_exit_status(vm, &status) ? json_integer(status) : json_null());
	json_object_set_new(o, "agent", json_boolean(vm_agent(vm) != NULL));
	json_object_set_new(o, "agent_silent_ms", json_integer(vm_silent_ms(vm)));
	json_object_set_new(
		o, "console",
		json_pack("{s:s, s:s}", "log", conf->console_log, "socket", conf->console_sock));
	json_object_set_new(o, "vnics", vnics);
	return o;
}

static json_t *net_json(const struct run *run, unsigned int i)
{
	const struct lab_net *net = &run->lab->nets[i];
	unsigned int ports = 0;

	for (unsigned int v = 0; v < run->lab->n_vms; v++)
		for (unsigned int k = 0; k < run->lab->vms[v].n_nics; k++)
			ports += run->lab->vms[v].nics[k].net == i;
	return json_pack("{s:s, s:o, s:o, s:i, s:i, s:I, s:o, s:s, s:o}", "name", net->name, "subnet",
			 str_or_null(net->cidr4), "subnet6", str_or_null(net->cidr6), "mtu",
			 (int)net->mtu, "ports", (int)ports, "macs",
			 (json_int_t)vsw_net_fdb(run->nets[i], NULL, 0), "services",
			 netsvc_json(run->services[i]), "type", lab_net_type_name(net->type),
			 "uplink", run_uplink_json(run, i));
}

static json_t *net_with_rate(json_t *net, const struct run *run, unsigned int i)
{
	json_object_set_new(net, "mbps", json_integer(vsw_net_rate(run->nets[i])));
	return net;
}

static json_t *lab_json(const struct run *run)
{
	return json_pack("{s:s, s:o, s:s, s:I, s:{s:s, s:o}, s:s, s:s}", "name", run->lab->name,
			 "file", str_or_null(run->file), "state", run_state_name(run->state),
			 "uptime_ms", since_ms(run->start_ns), "qemu", "path", run->qemu_path,
			 "version", str_or_null(run->qemu_version), "accel",
			 run->kvm ? "kvm" : "tcg", "msix",
			 run->msix == VFUSER_MSIX_NATIVE ? "native" : "masquerade");
}

/* Of query-fabric, how it is. */
static json_t *fabric_state_json(const struct run *run)
{
	static const char *const keys[] = {"host", "registry", "state", "reason", "since_ms"};
	json_t *all = run ? run_fabric_json(run, false) : NULL, *o;

	if (!all)
		return json_null();
	o = json_object();
	for (unsigned int i = 0; i < ARRAY_SIZE(keys); i++)
		json_object_set(o, keys[i], json_object_get(all, keys[i]));
	json_decref(all);
	return o;
}

/* Every part is there: not before lab-up has made them, not in a rollback. */
static bool complete(const struct run *run)
{
	for (unsigned int i = 0; i < run->lab->n_vms; i++)
		if (!run->vms[i].vm)
			return false;
	return true;
}

json_t *report_status(struct daemon *d)
{
	static const char *const levels[] = {"err", "warn", "info", "debug"};
	json_t *vms = json_array(), *nets = json_array(), *o;
	const struct run *run = d->run;

	for (unsigned int i = 0; run && complete(run) && i < run->lab->n_nets; i++)
		json_array_append_new(nets, net_with_rate(net_json(run, i), run, i));
	for (unsigned int i = 0; run && complete(run) && i < run->lab->n_vms; i++)
		json_array_append_new(vms, vm_json(run, &run->vms[i]));
	o = json_pack("{s:s, s:i, s:i, s:I, s:s, s:o, s:s}", "version", HVLAB_VERSION, "protocol",
		      CONTROL_PROTOCOL, "pid", (int)getpid(), "uptime_ms", since_ms(d->start_ns),
		      "runtime_dir", d->rt.dir, "log", str_or_null(d->log_path), "log_level",
		      levels[log_get_level()]);
	json_object_set_new(o, "accel",
			    json_pack("{s:b, s:s}", "kvm", d->kvm.usable, "reason", d->kvm.reason));
	json_object_set_new(o, "workers", report_workers(d));
	json_object_set_new(o, "lab", run ? lab_json(run) : json_null());
	json_object_set_new(o, "fabric", fabric_state_json(run));
	json_object_set_new(o, "networks", nets);
	json_object_set_new(o, "vms", vms);
	return o;
}

json_t *report_stats(struct daemon *d, struct run_nic *only)
{
	json_t *vnics = json_array();
	struct run *run = d->run;

	for (unsigned int i = 0; run && i < run->lab->n_vms; i++) {
		for (unsigned int k = 0; k < LAB_VM_NICS; k++) {
			struct run_nic *rn = &run->vms[i].nics[k];
			json_t *o;

			if (!rn->vnic || (only && rn != only))
				continue;
			o = vnic_stats_json(rn->vnic);
			json_object_set_new(o, "vm", json_string(run->lab->vms[i].name));
			json_object_set_new(o, "name", json_string(rn->lab->name));
			json_object_set_new(o, "network",
					    json_string(run->lab->nets[rn->lab->net].name));
			json_array_append_new(vnics, o);
		}
	}
	return json_pack("{s:o, s:o, s:o}", "vnics", vnics, "uplinks",
			 only ? json_array() : run_uplinks_stats_json(run), "workers",
			 report_workers(d));
}
