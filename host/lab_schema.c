/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the lab file's schema: its keys, their types and words, and where libcyaml puts them. */
#include "host/lab_internal.h"

#define OPT	 (CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL)
#define TEXT_MAX 4096 /* of one value; the checks know better what is too long */

/* ON and OFF as YAML 1.1 spells them. libcyaml's own boolean takes any word for true. */
static const cyaml_strval_t switch_words[] = {
	{"on", FILE_ON},  {"off", FILE_OFF}, {"yes", FILE_ON},
	{"no", FILE_OFF}, {"true", FILE_ON}, {"false", FILE_OFF},
};

static const cyaml_strval_t synthetic_words[] = {
	{"virtio", FILE_VIRTIO}, {"none", FILE_NONE}, {"netvsc", FILE_NETVSC}};

static const cyaml_strval_t moderation_words[] = {
	{"off", LAB_MODERATION_OFF},	       {"low", LAB_MODERATION_LOW},
	{"medium", LAB_MODERATION_MEDIUM},     {"high", LAB_MODERATION_HIGH},
	{"adaptive", LAB_MODERATION_ADAPTIVE},
};

static const cyaml_strval_t mirror_words[] = {{"none", LAB_MIRROR_NONE},
					      {"source", LAB_MIRROR_SOURCE},
					      {"destination", LAB_MIRROR_DESTINATION}};

static const cyaml_strval_t mode_words[] = {
	{"direct", LAB_MODE_DIRECT}, {"routed", LAB_MODE_ROUTED}, {"vxlan", LAB_MODE_VXLAN}};

static const cyaml_strval_t type_words[] = {{"private", LAB_NET_PRIVATE},
					    {"internal", LAB_NET_INTERNAL},
					    {"external", LAB_NET_EXTERNAL}};

static const cyaml_strval_t registry_words[] = {{"static", LAB_REGISTRY_STATIC},
						{"etcd", LAB_REGISTRY_ETCD}};

static const cyaml_strval_t hotplug_words[] = {{"acpi", LAB_HOTPLUG_ACPI},
					       {"native", LAB_HOTPLUG_NATIVE}};

static const cyaml_schema_field_t nic_fields[] = {
	CYAML_FIELD_STRING_PTR("network", OPT, struct file_nic, network, 0, TEXT_MAX),
	CYAML_FIELD_STRING_PTR("name", OPT, struct file_nic, name, 0, TEXT_MAX),
	CYAML_FIELD_STRING_PTR("mac", OPT, struct file_nic, mac, 0, TEXT_MAX),
	CYAML_FIELD_STRING_PTR("ip", OPT, struct file_nic, ip, 0, TEXT_MAX),
	CYAML_FIELD_STRING_PTR("ip6", OPT, struct file_nic, ip6, 0, TEXT_MAX),
	CYAML_FIELD_UINT_PTR("queues", OPT, struct file_nic, queues),
	CYAML_FIELD_UINT_PTR("mtu", OPT, struct file_nic, mtu),
	CYAML_FIELD_UINT_PTR("link_mbps", OPT, struct file_nic, link_mbps),
	CYAML_FIELD_ENUM_PTR("vf", OPT | CYAML_FLAG_STRICT, struct file_nic, vf, switch_words,
			     ARRAY_SIZE(switch_words)),
	CYAML_FIELD_ENUM_PTR("synthetic", OPT | CYAML_FLAG_STRICT, struct file_nic, synthetic,
			     synthetic_words, ARRAY_SIZE(synthetic_words)),
	CYAML_FIELD_UINT_PTR("weight", OPT, struct file_nic, weight),
	CYAML_FIELD_ENUM_PTR("moderation", OPT | CYAML_FLAG_STRICT, struct file_nic, moderation,
			     moderation_words, ARRAY_SIZE(moderation_words)),
	CYAML_FIELD_STRING_PTR("vlan", OPT, struct file_nic, vlan, 0, TEXT_MAX),
	CYAML_FIELD_ENUM_PTR("mac_spoofing", OPT | CYAML_FLAG_STRICT, struct file_nic, mac_spoofing,
			     switch_words, ARRAY_SIZE(switch_words)),
	CYAML_FIELD_ENUM_PTR("dhcp_guard", OPT | CYAML_FLAG_STRICT, struct file_nic, dhcp_guard,
			     switch_words, ARRAY_SIZE(switch_words)),
	CYAML_FIELD_ENUM_PTR("router_guard", OPT | CYAML_FLAG_STRICT, struct file_nic, router_guard,
			     switch_words, ARRAY_SIZE(switch_words)),
	CYAML_FIELD_ENUM_PTR("mirror", OPT | CYAML_FLAG_STRICT, struct file_nic, mirror,
			     mirror_words, ARRAY_SIZE(mirror_words)),
	CYAML_FIELD_UINT_PTR("storm_pps", OPT, struct file_nic, storm_pps),
	CYAML_FIELD_UINT_PTR("max_mbps", OPT, struct file_nic, max_mbps),
	CYAML_FIELD_UINT_PTR("min_mbps", OPT, struct file_nic, min_mbps),
	CYAML_FIELD_UINT_PTR("min_weight", OPT, struct file_nic, min_weight),
	CYAML_FIELD_ENUM_PTR("offload", OPT | CYAML_FLAG_STRICT, struct file_nic, offload,
			     switch_words, ARRAY_SIZE(switch_words)),
	CYAML_FIELD_UINT_PTR("offload_flows", OPT, struct file_nic, offload_flows),
	CYAML_FIELD_END,
};
static const cyaml_schema_value_t nic_value = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct file_nic, nic_fields),
};

static const cyaml_schema_value_t text_value = {
	CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 0, TEXT_MAX),
};

static const cyaml_schema_field_t vm_fields[] = {
	CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_POINTER, struct file_vm, name, 0, TEXT_MAX),
	CYAML_FIELD_STRING_PTR("host", OPT, struct file_vm, host, 0, TEXT_MAX),
	CYAML_FIELD_STRING_PTR("kernel", OPT, struct file_vm, kernel, 0, TEXT_MAX),
	CYAML_FIELD_STRING_PTR("bzimage", OPT, struct file_vm, bzimage, 0, TEXT_MAX),
	CYAML_FIELD_STRING_PTR("modules", OPT, struct file_vm, modules, 0, TEXT_MAX),
	CYAML_FIELD_UINT_PTR("cpus", OPT, struct file_vm, cpus),
	CYAML_FIELD_STRING_PTR("memory", OPT, struct file_vm, memory, 0, TEXT_MAX),
	CYAML_FIELD_STRING_PTR("append", OPT, struct file_vm, append, 0, TEXT_MAX),
	CYAML_FIELD_ENUM_PTR("hotplug", OPT | CYAML_FLAG_STRICT, struct file_vm, hotplug,
			     hotplug_words, ARRAY_SIZE(hotplug_words)),
	CYAML_FIELD_UINT_PTR("spare_nics", OPT, struct file_vm, spare_nics),
	CYAML_FIELD_SEQUENCE("labels", OPT, struct file_vm, labels, &text_value, 0, LAB_MAX_LABELS),
	CYAML_FIELD_SEQUENCE("nics", OPT, struct file_vm, nics, &nic_value, 0, LAB_MAX_NICS),
	CYAML_FIELD_END,
};
static const cyaml_schema_value_t vm_value = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct file_vm, vm_fields),
};

static const cyaml_schema_field_t part_fields[] = {
	CYAML_FIELD_STRING_PTR("host", CYAML_FLAG_POINTER, struct file_part, host, 0, TEXT_MAX),
	CYAML_FIELD_STRING_PTR("subnet", OPT, struct file_part, subnet, 0, TEXT_MAX),
	CYAML_FIELD_STRING_PTR("subnet6", OPT, struct file_part, subnet6, 0, TEXT_MAX),
	CYAML_FIELD_END,
};
static const cyaml_schema_value_t part_value = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct file_part, part_fields),
};

static const cyaml_schema_field_t uplink_fields[] = {
	CYAML_FIELD_STRING_PTR("interface", OPT, struct file_uplink, interface, 0, TEXT_MAX),
	CYAML_FIELD_STRING_PTR("tap", OPT, struct file_uplink, tap, 0, TEXT_MAX),
	CYAML_FIELD_STRING_PTR("netns", OPT, struct file_uplink, netns, 0, TEXT_MAX),
	CYAML_FIELD_STRING_PTR("address", OPT, struct file_uplink, address, 0, TEXT_MAX),
	CYAML_FIELD_STRING_PTR("address6", OPT, struct file_uplink, address6, 0, TEXT_MAX),
	CYAML_FIELD_ENUM_PTR("tso", OPT | CYAML_FLAG_STRICT, struct file_uplink, tso, switch_words,
			     ARRAY_SIZE(switch_words)),
	CYAML_FIELD_ENUM_PTR("checksum", OPT | CYAML_FLAG_STRICT, struct file_uplink, checksum,
			     switch_words, ARRAY_SIZE(switch_words)),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t net_fields[] = {
	CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_POINTER, struct file_net, name, 0, TEXT_MAX),
	CYAML_FIELD_STRING_PTR("subnet", OPT, struct file_net, subnet, 0, TEXT_MAX),
	CYAML_FIELD_STRING_PTR("subnet6", OPT, struct file_net, subnet6, 0, TEXT_MAX),
	CYAML_FIELD_UINT_PTR("mtu", OPT, struct file_net, mtu),
	CYAML_FIELD_ENUM_PTR("dhcp", OPT | CYAML_FLAG_STRICT, struct file_net, dhcp, switch_words,
			     ARRAY_SIZE(switch_words)),
	CYAML_FIELD_STRING_PTR("domain", OPT, struct file_net, domain, 0, TEXT_MAX),
	CYAML_FIELD_STRING_PTR("gateway", OPT, struct file_net, gateway, 0, TEXT_MAX),
	CYAML_FIELD_ENUM_PTR("mode", OPT | CYAML_FLAG_STRICT, struct file_net, mode, mode_words,
			     ARRAY_SIZE(mode_words)),
	CYAML_FIELD_ENUM_PTR("type", OPT | CYAML_FLAG_STRICT, struct file_net, type, type_words,
			     ARRAY_SIZE(type_words)),
	CYAML_FIELD_MAPPING_PTR("uplink", OPT, struct file_net, uplink, uplink_fields),
	CYAML_FIELD_UINT_PTR("vni", OPT, struct file_net, vni),
	CYAML_FIELD_UINT_PTR("max_routes", OPT, struct file_net, max_routes),
	CYAML_FIELD_UINT_PTR("mbps", OPT, struct file_net, mbps),
	CYAML_FIELD_SEQUENCE("parts", OPT, struct file_net, parts, &part_value, 0, LAB_MAX_HOSTS),
	CYAML_FIELD_END,
};
static const cyaml_schema_value_t net_value = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct file_net, net_fields),
};

static const cyaml_schema_field_t host_fields[] = {
	CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_POINTER, struct file_host, name, 0, TEXT_MAX),
	CYAML_FIELD_STRING_PTR("address", CYAML_FLAG_POINTER, struct file_host, address, 0,
			       TEXT_MAX),
	CYAML_FIELD_STRING_PTR("address6", OPT, struct file_host, address6, 0, TEXT_MAX),
	CYAML_FIELD_END,
};
static const cyaml_schema_value_t host_value = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct file_host, host_fields),
};

static const cyaml_schema_value_t endpoint_value = {
	CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 0, TEXT_MAX),
};

static const cyaml_schema_field_t etcd_fields[] = {
	CYAML_FIELD_SEQUENCE("endpoints", CYAML_FLAG_POINTER, struct file_etcd, endpoints,
			     &endpoint_value, 1, LAB_MAX_ENDPOINTS),
	CYAML_FIELD_STRING_PTR("prefix", OPT, struct file_etcd, prefix, 0, TEXT_MAX),
	CYAML_FIELD_UINT_PTR("lease_seconds", OPT, struct file_etcd, lease_seconds),
	CYAML_FIELD_STRING_PTR("user", OPT, struct file_etcd, user, 0, TEXT_MAX),
	CYAML_FIELD_STRING_PTR("password_file", OPT, struct file_etcd, password_file, 0, TEXT_MAX),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t fabric_fields[] = {
	CYAML_FIELD_STRING_PTR("host", OPT, struct file_fabric, host, 0, TEXT_MAX),
	CYAML_FIELD_ENUM_PTR("registry", OPT | CYAML_FLAG_STRICT, struct file_fabric, registry,
			     registry_words, ARRAY_SIZE(registry_words)),
	CYAML_FIELD_SEQUENCE("hosts", CYAML_FLAG_POINTER, struct file_fabric, hosts, &host_value, 1,
			     LAB_MAX_HOSTS),
	CYAML_FIELD_UINT_PTR("mtu", OPT, struct file_fabric, mtu),
	CYAML_FIELD_UINT_PTR("port", OPT, struct file_fabric, port),
	CYAML_FIELD_MAPPING_PTR("etcd", OPT, struct file_fabric, etcd, etcd_fields),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t flows_fields[] = {
	CYAML_FIELD_UINT_PTR("max", OPT, struct file_flows, max),
	CYAML_FIELD_UINT_PTR("embryonic_s", OPT, struct file_flows, embryonic_s),
	CYAML_FIELD_UINT_PTR("established_s", OPT, struct file_flows, established_s),
	CYAML_FIELD_UINT_PTR("time_wait_s", OPT, struct file_flows, time_wait_s),
	CYAML_FIELD_UINT_PTR("reset_s", OPT, struct file_flows, reset_s),
	CYAML_FIELD_UINT_PTR("other_s", OPT, struct file_flows, other_s),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t lab_fields[] = {
	CYAML_FIELD_STRING_PTR("name", OPT, struct file_lab, name, 0, TEXT_MAX),
	CYAML_FIELD_MAPPING_PTR("fabric", OPT, struct file_lab, fabric, fabric_fields),
	CYAML_FIELD_SEQUENCE("networks", OPT, struct file_lab, networks, &net_value, 0,
			     LAB_MAX_NETS),
	CYAML_FIELD_SEQUENCE("vms", CYAML_FLAG_POINTER, struct file_lab, vms, &vm_value, 1,
			     LAB_MAX_VMS),
	CYAML_FIELD_MAPPING_PTR("flows", OPT, struct file_lab, flows, flows_fields),
	CYAML_FIELD_SEQUENCE("policy", OPT, struct file_lab, policy, &text_value, 0,
			     LAB_MAX_POLICIES),
	CYAML_FIELD_END,
};
const cyaml_schema_value_t lab_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct file_lab, lab_fields),
};
