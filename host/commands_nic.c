/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the commands about NICs that come and go (docs/protocol.md): arguments to calls, ends of
 * operations to answers. What is done is in run_nic.c.
 */
#include "host/commands_util.h"

#define MODERATIONS "off|low|medium|high|adaptive"
#define ORDERS	    "synthetic-first|vf-first|together"

/* ---- features of its port ---- */

#define FEATURE_ARGS                                                                               \
	{.name = "vlan", .type = ARG_STRING, .doc = LAB_VLAN_WORDS},                               \
		{.name = "mac_spoofing",                                                           \
		 .type = ARG_BOOL,                                                                 \
		 .doc = "false: only the NIC's own source address may leave it"},                  \
		{.name = "dhcp_guard",                                                             \
		 .type = ARG_BOOL,                                                                 \
		 .doc = "true: it may be no DHCP server"},                                         \
		{.name = "router_guard",                                                           \
		 .type = ARG_BOOL,                                                                 \
		 .doc = "true: it may be no router"},                                              \
		{.name = "mirror",                                                                 \
		 .type = ARG_STRING,                                                               \
		 .values = "none|source|destination",                                              \
		 .doc = "copies of packets from it, or to it"},                                    \
		{.name = "storm_pps",                                                              \
		 .type = ARG_INT,                                                                  \
		 .min = 0,                                                                         \
		 .max = UINT32_MAX,                                                                \
		 .doc = "most frames a second of broadcast, multicast and unknown unicast; 0: "    \
			"any"},                                                                    \
		{.name = "max_mbps",                                                               \
		 .type = ARG_INT,                                                                  \
		 .min = 0,                                                                         \
		 .max = LAB_RATE_MAX,                                                              \
		 .doc = "most that its guest may send, Mbit/s; 0: no limit"},                      \
		{.name = "min_mbps",                                                               \
		 .type = ARG_INT,                                                                  \
		 .min = 0,                                                                         \
		 .max = LAB_RATE_MAX,                                                              \
		 .doc = "of the network's mbps, before all others; 0: none"},                      \
		{.name = "min_weight",                                                             \
		 .type = ARG_INT,                                                                  \
		 .min = 0,                                                                         \
		 .max = LAB_SHARE_MAX,                                                             \
		 .doc = "its part in the rest of the network's mbps; 0: as 1"},                    \
		{.name = "offload",                                                                \
		 .type = ARG_BOOL,                                                                 \
		 .doc = "the VF sends known flows by itself"},                                     \
	{                                                                                          \
		.name = "offload_flows", .type = ARG_INT, .min = 1, .max = LAB_OFFLOAD_FLOWS_MAX,  \
		.doc = "how many it can hold"                                                      \
	}

static bool any_feature(const json_t *args)
{
	static const char *const keys[] = {
		"vlan",	    "mac_spoofing", "dhcp_guard", "router_guard", "mirror",	   "storm_pps",
		"max_mbps", "min_mbps",	    "min_weight", "offload",	  "offload_flows"};

	for (unsigned int i = 0; i < ARRAY_SIZE(keys); i++)
		if (json_object_get(args, keys[i]))
			return true;
	return false;
}

/* What is given is changed in @f. False: @req has been refused. */
static bool take_features(struct control_req *req, const json_t *args, struct lab_features *f)
{
	const char *vlan = args_str(args, "vlan", NULL), *mirror = args_str(args, "mirror", NULL);
	char why[160];

	if (vlan && lab_vlan_parse(vlan, NULL, f->vlan, why, sizeof(why))) {
		control_fail(req, CTL_INVALID_ARGUMENT, "write " LAB_VLAN_WORDS, "vlan: %s", why);
		return false;
	}
	if (mirror)
		f->mirror = (enum lab_mirror)lab_mirror_parse(mirror);
	f->mac_spoofing = args_bool(args, "mac_spoofing", f->mac_spoofing);
	f->dhcp_guard = args_bool(args, "dhcp_guard", f->dhcp_guard);
	f->router_guard = args_bool(args, "router_guard", f->router_guard);
	f->storm_pps = (uint32_t)args_int(args, "storm_pps", f->storm_pps);
	f->max_mbps = (uint32_t)args_int(args, "max_mbps", f->max_mbps);
	f->min_mbps = (uint32_t)args_int(args, "min_mbps", f->min_mbps);
	f->min_weight = (uint32_t)args_int(args, "min_weight", f->min_weight);
	f->offload = args_bool(args, "offload", f->offload);
	f->offload_flows = (uint32_t)args_int(args, "offload_flows", f->offload_flows);
	return true;
}

/* ---- nic-list: a view of query-status ---- */

/* The one called @id; null when there is none. A new reference. */
static json_t *one_nic(struct daemon *d, const char *id)
{
	json_t *list = nics_json(d, NULL), *nic, *found = json_null();
	size_t i;

	json_array_foreach (list, i, nic)
		if (!strcmp(json_string_value(json_object_get(nic, "id")), id))
			found = json_incref(nic);
	json_decref(list);
	return found;
}

static const struct arg_spec list_args[] = {VM_FILTER_ARG};

static void nic_list(void *arg, struct control_req *req, const json_t *args)
{
	const char *vm;

	if (need_list(arg, req, args, &vm))
		control_return(req, json_pack("{s:o}", "nics", nics_json(arg, vm)));
}

/* ---- nic-add ---- */

static const struct arg_spec add_args[] = {
	{.name = "vm", .type = ARG_STRING, .required = true, .doc = "its name"},
	{.name = "network",
	 .type = ARG_STRING,
	 .doc = "of the lab; may be absent when there is one"},
	{.name = "name",
	 .type = ARG_STRING,
	 .min = 1,
	 .max = LAB_NIC_NAME_MAX,
	 .doc = "default: eth and the lowest free slot"},
	{.name = "mac", .type = ARG_STRING, .doc = "default: the same for the same name each time"},
	{.name = "ip", .type = ARG_STRING, .doc = "IPv4 address, or none; default: a free one"},
	{.name = "ip6", .type = ARG_STRING, .doc = "IPv6 address, or none; default: a free one"},
	{.name = "vf", .type = ARG_BOOL, .doc = "false: synthetic for life"},
	{.name = "synthetic", .type = ARG_STRING, .values = "virtio|none", .doc = "the other path"},
	{.name = "queues",
	 .type = ARG_INT,
	 .min = 1,
	 .max = LAB_QUEUES_MAX,
	 .doc = "most queue pairs"},
	{.name = "mtu",
	 .type = ARG_INT,
	 .min = LAB_MTU_MIN,
	 .max = LAB_MTU_MAX,
	 .doc = "default: the network's"},
	{.name = "link_mbps", .type = ARG_INT, .min = 1, .max = 1000000, .doc = "speed shown"},
	{.name = "weight", .type = ARG_INT, .min = 0, .max = 100, .doc = "0: no VF now"},
	{.name = "moderation",
	 .type = ARG_STRING,
	 .values = MODERATIONS,
	 .doc = "of the VF's interrupts"},
	{.name = "order",
	 .type = ARG_STRING,
	 .values = ORDERS,
	 .doc = "which path QEMU gets first; default synthetic-first"},
	{.name = "order_gap_ms",
	 .type = ARG_INT,
	 .min = 0,
	 .max = RUN_NIC_GAP_MAX,
	 .doc = "the second path comes so long after QEMU has the first"},
	FEATURE_ARGS,
	{.name = "wait",
	 .type = ARG_BOOL,
	 .doc = "answer when the guest takes packets on every path; default: when QEMU has it"},
	MS_ARG("timeout_ms", "until then; default 30000. When it is over the NIC stays"),
};

/* What the guest has not done yet, and what would help. */
static json_t *missing(const struct run_nic *rn, const char **hint)
{
	const struct vf *vf = vnic_vf(rn->vnic);
	json_t *list = json_array();

	*hint = NULL;
	if (vnic_vhost(rn->vnic) && !vnic_synthetic_driven(rn->vnic)) {
		json_array_append_new(list, json_string("synthetic"));
		*hint = "the guest's virtio_net does not take packets: is the guest up, the "
			"driver loaded, the interface set up (ip link set NAME up)?";
	}
	if (vf && rn->lab->weight && vf_state(vf) != VF_DRIVEN) {
		json_array_append_new(list, json_string("vf"));
		if (!*hint)
			*hint = vf_state(vf) == VF_OFFERED || vf_state(vf) == VF_RESTORING
					? "the guest has the VF and does not drive it: is mana "
					  "loaded, the interface set up (ip link set NAME up)?"
					: "QEMU does not show the VF: does the guest's virtio_net "
					  "offer failover (standby), is the VM running?";
	}
	return list;
}

static void on_added(void *arg, int rc, const char *why, json_t *steps, struct run_nic *rn)
{
	struct pending *p = arg;
	const char *hint;
	json_t *extra;

	if (!rc) {
		control_return(p->req, json_pack("{s:o, s:O}", "nic",
						 one_nic(p->d, vnic_id(rn->vnic)), "steps", steps));
		free(p);
	} else if (rc == -ETIMEDOUT && rn) {
		extra = json_pack("{s:O, s:o, s:s}", "steps", steps, "missing", missing(rn, &hint),
				  "vnic", vnic_id(rn->vnic));
		control_fail_with(p->req, CTL_TIMEOUT, extra, hint,
				  "%s: the NIC is there, but the guest has not taken it in time: "
				  "%s",
				  vnic_id(rn->vnic), why);
		free(p);
	} else {
		pending_fail(p, rc, why, steps, "hvlab log VM --qemu shows what QEMU says");
	}
}

static void fail_add(struct control_req *req, const char *vm, int rc, const char *why)
{
	switch (rc) {
	case -EEXIST:
	case -EINVAL:
		control_fail(req, CTL_INVALID_ARGUMENT, "hvlab nic list shows what there is",
			     "VM %s: %s", vm, why);
		break;
	case -ENOENT:
		control_fail(req, CTL_NOT_FOUND, "hvlab status lists the networks", "VM %s: %s", vm,
			     why);
		break;
	case -ENOSPC:
		control_fail(req, CTL_INVALID_STATE,
			     "remove one (hvlab nic del), or give the VM more spare_nics in the "
			     "lab file",
			     "VM %s: %s", vm, why);
		break;
	case -EBUSY:
		control_fail(req, CTL_BUSY,
			     "wait until the guest has let the old one go (hvlab nic list), or "
			     "choose another name",
			     "VM %s: %s", vm, why);
		break;
	default:
		control_fail(req, rc == -ENOTCONN ? CTL_INVALID_STATE : CTL_SYSTEM_ERROR, NULL,
			     "VM %s: %s%s%s", vm, *why ? why : "adding a NIC", *why ? "" : ": ",
			     *why ? "" : strerror(-rc));
		break;
	}
}

/* The order of a NIC's paths. False: @req has been refused. */
static bool add_order(struct control_req *req, const json_t *args, struct run_nic_spec *spec)
{
	const char *order = args_str(args, "order", NULL);
	long long gap = args_int(args, "order_gap_ms", 0);

	if ((order || gap) &&
	    (!spec->vf || !spec->weight || spec->synthetic == LAB_SYNTHETIC_NONE)) {
		control_fail(req, CTL_INVALID_ARGUMENT, "a NIC with both paths has one",
			     "order: this NIC comes with one path");
		return false;
	}
	if (gap && order && !strcmp(order, "together")) {
		control_fail(req, CTL_INVALID_ARGUMENT, NULL,
			     "order_gap_ms: paths that come together have no gap");
		return false;
	}
	spec->order = order && !strcmp(order, "vf-first")   ? RUN_NIC_VF_FIRST
		      : order && !strcmp(order, "together") ? RUN_NIC_TOGETHER
							    : RUN_NIC_SYNTHETIC_FIRST;
	spec->order_gap_ms = (unsigned int)gap;
	return true;
}

static void nic_add(void *arg, struct control_req *req, const json_t *args)
{
	struct run_vm *rv = need_vm(arg, req, args_str(args, "vm", ""));
	const char *moderation = args_str(args, "moderation", NULL);
	const char *synthetic = args_str(args, "synthetic", NULL);
	unsigned int timeout_ms = (unsigned int)args_int(args, "timeout_ms", 0);
	bool wait = args_bool(args, "wait", false);
	char id[ID_MAX], why[320] = "";
	struct run_nic_spec spec;
	struct run_nic *rn = NULL;
	struct pending *p;
	int rc;

	if (!rv || !need_at_home(req, rv))
		return;
	run_nic_spec_init(&spec);
	spec.name = args_str(args, "name", spec.name);
	spec.network = args_str(args, "network", spec.network);
	spec.mac = args_str(args, "mac", spec.mac);
	spec.ip = args_str(args, "ip", spec.ip);
	spec.ip6 = args_str(args, "ip6", spec.ip6);
	spec.vf = args_bool(args, "vf", spec.vf);
	spec.queues = (unsigned int)args_int(args, "queues", spec.queues);
	spec.mtu = (unsigned int)args_int(args, "mtu", spec.mtu);
	spec.link_mbps = (unsigned int)args_int(args, "link_mbps", spec.link_mbps);
	spec.weight = (unsigned int)args_int(args, "weight", spec.weight);
	if (moderation)
		spec.moderation = (enum lab_moderation)lab_moderation_parse(moderation);
	if (synthetic)
		spec.synthetic =
			strcmp(synthetic, "none") ? LAB_SYNTHETIC_VIRTIO : LAB_SYNTHETIC_NONE;
	if (!add_order(req, args, &spec) || !take_features(req, args, &spec.features))
		return;
	snprintf(id, sizeof(id), "%s/%s", rv->lab->name, spec.name ? spec.name : "");
	p = pending_new(arg, req, id, "adding the NIC");
	if (!p)
		return;
	rc = run_nic_add(rv, &spec, wait ? RUN_NIC_DRIVEN : RUN_NIC_PLUGGED, timeout_ms, on_added,
			 p, &rn, why, sizeof(why));
	if (rc) {
		free(p);
		fail_add(req, rv->lab->name, rc, why);
	} else if (rn) {
		snprintf(p->id, sizeof(p->id), "%s", vnic_id(rn->vnic));
	}
}

/* ---- nic-del, nic-set ---- */

static const struct arg_spec del_args[] = {
	VNIC_ARG,
	{.name = "wait",
	 .type = ARG_BOOL,
	 .doc = "answer when all of it is gone (default), else when it has begun"},
	MS_ARG("timeout_ms", "for the guest to let go; default 10000"),
};

static const char del_hint[] =
	"the guest keeps a device; it has no traffic, removal is asked for again each second, and "
	"the end of the VM ends it";

static void on_deleted(void *arg, int rc, const char *why, json_t *steps, struct run_nic *rn)
{
	struct pending *p = arg;

	(void)rn;
	if (rc) {
		pending_fail(p, rc, why, steps, del_hint);
		return;
	}
	control_return(p->req, json_pack("{s:O}", "steps", steps));
	free(p);
}

static void fail_change(struct control_req *req, const char *id, int rc, const char *why)
{
	const char *text = *why ? why : strerror(-rc);

	switch (rc) {
	case -EALREADY:
	case -EBUSY:
		control_fail(req, CTL_BUSY, "hvlab vf list and hvlab nic list show what goes on",
			     "%s: %s", id, text);
		break;
	case -EINVAL:
	case -ENODEV:
		control_fail(req, CTL_INVALID_ARGUMENT, NULL, "%s: %s", id, text);
		break;
	case -ENOTCONN:
		control_fail(req, CTL_INVALID_STATE, "hvlab status says how it is",
			     "%s: the VM does not run", id);
		break;
	default:
		control_fail(req, CTL_SYSTEM_ERROR, NULL, "%s: %s", id, text);
		break;
	}
}

static void nic_del(void *arg, struct control_req *req, const json_t *args)
{
	struct run_nic *rn = need_nic(arg, req, args);
	bool wait = args_bool(args, "wait", true);
	struct pending *p = NULL;
	char id[ID_MAX], why[320] = "";
	int rc;

	if (!rn || !need_at_home(req, rn->rv))
		return;
	snprintf(id, sizeof(id), "%s", vnic_id(rn->vnic));
	if (wait) {
		p = pending_new(arg, req, id, "removing the NIC");
		if (!p)
			return;
	}
	rc = run_nic_del(rn, (unsigned int)args_int(args, "timeout_ms", 0),
			 wait ? on_deleted : NULL, p, why, sizeof(why));
	if (rc) {
		free(p);
		fail_change(req, id, rc, why);
	} else if (!wait) {
		control_return(req, NULL);
	}
}

static const struct arg_spec set_args[] = {
	VNIC_ARG,
	{.name = "weight",
	 .type = ARG_INT,
	 .min = 0,
	 .max = 100,
	 .doc = "0: the VF is revoked until it is raised again"},
	{.name = "vf", .type = ARG_BOOL, .doc = "false: as weight 0, true: as weight 100"},
	{.name = "queues",
	 .type = ARG_INT,
	 .min = 1,
	 .max = LAB_QUEUES_MAX,
	 .doc = "from the VF's next restoration on"},
	{.name = "moderation", .type = ARG_STRING, .values = MODERATIONS, .doc = "at once"},
	{.name = "link", .type = ARG_BOOL, .doc = "of the vNIC, as link-set"},
	FEATURE_ARGS,
	{.name = "wait",
	 .type = ARG_BOOL,
	 .doc = "answer when it has come about (default), else when it has begun"},
};

static void on_set(void *arg, int rc, const char *why, json_t *steps, struct run_nic *rn)
{
	struct pending *p = arg;

	if (rc) {
		pending_fail(p, rc, why, steps, "hvlab vf list shows how far it came");
		return;
	}
	control_return(p->req, json_pack("{s:o, s:O}", "nic",
					 rn ? one_nic(p->d, vnic_id(rn->vnic)) : json_null(),
					 "steps", steps));
	free(p);
}

/* False when nothing is to be set, or two things contradict each other; @req is answered then. */
static bool set_change(struct control_req *req, const json_t *args, const struct run_nic *rn,
		       struct run_nic_change *c)
{
	const char *moderation = args_str(args, "moderation", NULL);

	*c = (struct run_nic_change){0};
	if (json_object_get(args, "weight") && json_object_get(args, "vf")) {
		control_fail(req, CTL_INVALID_ARGUMENT, "give one of them",
			     "'weight' and 'vf' say the same thing");
		return false;
	}
	if (json_object_get(args, "weight") || json_object_get(args, "vf")) {
		c->what |= RUN_NIC_SET_WEIGHT;
		c->weight = (unsigned int)args_int(args, "weight",
						   args_bool(args, "vf", true) ? 100 : 0);
	}
	if (json_object_get(args, "queues")) {
		c->what |= RUN_NIC_SET_QUEUES;
		c->queues = (unsigned int)args_int(args, "queues", 0);
	}
	if (moderation) {
		c->what |= RUN_NIC_SET_MODERATION;
		c->moderation = (enum lab_moderation)lab_moderation_parse(moderation);
	}
	if (json_object_get(args, "link")) {
		c->what |= RUN_NIC_SET_LINK;
		c->link = args_bool(args, "link", true);
	}
	if (any_feature(args)) {
		c->what |= RUN_NIC_SET_FEATURES;
		c->features = *run_nic_features(rn);
		if (!take_features(req, args, &c->features))
			return false;
	}
	if (!c->what)
		control_fail(req, CTL_INVALID_ARGUMENT, "query-schema lists what can be set",
			     "nothing to set");
	return c->what;
}

static void nic_set(void *arg, struct control_req *req, const json_t *args)
{
	struct run_nic *rn = need_nic(arg, req, args);
	bool wait = args_bool(args, "wait", true);
	struct run_nic_change change;
	struct pending *p = NULL;
	char id[ID_MAX], why[320] = "";
	int rc;

	if (!rn || !need_at_home(req, rn->rv) || !set_change(req, args, rn, &change))
		return;
	snprintf(id, sizeof(id), "%s", vnic_id(rn->vnic));
	if (wait) {
		p = pending_new(arg, req, id, "changing the NIC");
		if (!p)
			return;
	}
	rc = run_nic_set(rn, &change, wait ? on_set : NULL, p, why, sizeof(why));
	if (rc) {
		free(p);
		fail_change(req, id, rc, why);
	} else if (!wait) {
		control_return(req, NULL);
	}
}

#define ARGS(a) .specs = (a), .n_specs = ARRAY_SIZE(a)

const struct control_cmd commands_nic[] = {
	{.name = "nic-add",
	 .doc = "add a NIC to a VM, running or not",
	 .returns = "{nic, steps}",
	 .slow = true,
	 ARGS(add_args),
	 .fn = nic_add},
	{.name = "nic-del",
	 .doc = "remove a NIC",
	 .returns = "{steps}",
	 .slow = true,
	 ARGS(del_args),
	 .fn = nic_del},
	{.name = "nic-set",
	 .doc = "change a NIC",
	 .returns = "{nic, steps}",
	 .slow = true,
	 ARGS(set_args),
	 .fn = nic_set},
	{.name = "nic-list",
	 .doc = "NICs of all VMs or of one",
	 .returns = "{nics}",
	 ARGS(list_args),
	 .fn = nic_list},
	{0},
};
