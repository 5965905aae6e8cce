/* SPDX-License-Identifier: BSD-2-Clause */
/* Between the lab*.c files: the YAML document, the raw content of a lab file, the checks. */
#ifndef HVLAB_HOST_LAB_INTERNAL_H
#define HVLAB_HOST_LAB_INTERNAL_H

#include "host/lab.h"

#include <cyaml/cyaml.h>
#include <yaml.h>

#include "base/util.h"

#define IPV6_MIN_MTU 1280 /* RFC 8200 section 5 */

/* ---- lab_doc.c: the text as nodes that know their lines ---- */

struct lab_doc {
	yaml_document_t doc;
	struct lab_errors *errs;
	bool usable; /* after lab_doc_check(): worth mapping; only stray keys were found, if any */
};

/* Parse. 0 or -EINVAL with an error added; then there is nothing to free. */
int lab_doc_init(struct lab_doc *ld, const char *text, size_t size, struct lab_errors *errs);
/* The same of another kind of file. @what: "a policy file"; @remedy: when it is empty. */
int lab_doc_init_as(struct lab_doc *ld, const char *text, size_t size, const char *what,
		    const char *remedy, struct lab_errors *errs);
void lab_doc_fini(struct lab_doc *ld);
/* Compare the document with the schema that maps it and report every difference. */
void lab_doc_check(struct lab_doc *ld, const cyaml_schema_value_t *schema);
/* True when the key path ("vms[0].nics") is in the document. */
bool lab_doc_has(struct lab_doc *ld, const char *path);
/* Line of a key path's value, or of the last part of the path that exists; 0: none of it does. */
unsigned int lab_doc_line(struct lab_doc *ld, const char *path);
/* Add an error at a key path; @remedy may be NULL. */
void lab_doc_error(struct lab_doc *ld, const char *path, const char *remedy, const char *fmt, ...)
	PRINTF_LIKE(4, 5);

/* ---- lab_error.c ---- */

/* Add one; @remedy may be NULL. */
void lab_errors_add(struct lab_errors *errs, unsigned int line, unsigned int column,
		    const char *key, const char *remedy, const char *fmt, ...) PRINTF_LIKE(6, 7);
/* Into the order of the file. */
void lab_errors_sort(struct lab_errors *errs);
/* The word of @words (NULL-terminated) nearest to @word, NULL when none is near. */
const char *lab_nearest(const char *word, const char *const *words);

/* ---- lab.c: what libcyaml fills; NULL: the key is not there ---- */

enum file_switch { FILE_OFF, FILE_ON };
enum file_synthetic { FILE_VIRTIO, FILE_NONE, FILE_NETVSC };

struct file_nic {
	char *name, *network, *mac, *ip, *ip6;
	uint32_t *queues, *mtu, *link_mbps, *weight;
	enum file_switch *vf;
	enum file_synthetic *synthetic;
	enum lab_moderation *moderation;
	char *vlan;
	enum file_switch *mac_spoofing, *dhcp_guard, *router_guard;
	enum lab_mirror *mirror;
	uint32_t *storm_pps, *max_mbps, *min_mbps, *min_weight, *offload_flows;
	enum file_switch *offload;
};

struct file_vm {
	char *name, *host, *kernel, *bzimage, *modules, *memory, *append;
	uint32_t *cpus, *spare_nics;
	enum lab_hotplug *hotplug;
	char **labels;
	unsigned int labels_count;
	struct file_nic *nics;
	unsigned int nics_count;
};

struct file_part {
	char *host, *subnet, *subnet6;
};

struct file_uplink {
	char *interface, *tap, *netns, *address, *address6;
	enum file_switch *tso, *checksum;
};

struct file_net {
	char *name, *subnet, *subnet6, *domain, *gateway;
	uint32_t *mtu, *vni, *max_routes, *mbps;
	enum file_switch *dhcp;
	enum lab_mode *mode;
	enum lab_net_type *type;
	struct file_uplink *uplink;
	struct file_part *parts;
	unsigned int parts_count;
};

struct file_host {
	char *name, *address, *address6;
};

struct file_etcd {
	char **endpoints;
	unsigned int endpoints_count;
	char *prefix, *user, *password_file;
	uint32_t *lease_seconds;
};

struct file_fabric {
	char *host;
	enum lab_registry *registry;
	struct file_host *hosts;
	unsigned int hosts_count;
	uint32_t *port, *mtu;
	struct file_etcd *etcd;
};

struct file_flows {
	uint32_t *max, *embryonic_s, *established_s, *time_wait_s, *reset_s, *other_s;
};

struct file_lab {
	char *name;
	struct file_flows *flows;
	struct file_fabric *fabric;
	struct file_net *networks;
	unsigned int networks_count;
	struct file_vm *vms;
	unsigned int vms_count;
	char **policy;
	unsigned int policy_count;
};

/* lab_schema.c */
extern const cyaml_schema_value_t lab_schema;

/* "vms[3].nics[0].mac" and the like, for messages. */
struct lab_path {
	char s[96];
};
struct lab_path lab_path(const char *fmt, ...) PRINTF_LIKE(1, 2);

/*
 * The checks. Each turns a part of the raw file into the model, reports what is wrong, and goes
 * on with something legal in its place so that the next check has sense to work with.
 */

/* ---- lab_vm.c: names, kernels, sizes ---- */

/* Letters, digits, - and _, a letter or digit first. */
bool lab_name_is_legal(const char *name);
/* True when @name is legal; else reports it. @what: "the VM's name". */
bool lab_check_name(struct lab_doc *ld, const char *path, const char *what, const char *name,
		    size_t max);
/* A number's range; returns the number, or @def when absent or wrong. */
uint32_t lab_check_range(struct lab_doc *ld, const char *path, const uint32_t *given, uint32_t min,
			 uint32_t max, uint32_t def, const char *unit);
/* Absolute form of a path in the file, *@out the caller's. 0 or -ENOMEM. */
int lab_absolute(const char *dir, const char *path, char **out);
/* @dir: folder that relative paths start from. 0 or -ENOMEM. */
int lab_check_vms(struct lab_doc *ld, const struct file_lab *f, const char *dir, struct lab *lab);

/* ---- lab_policy.c: labels of VMs, policy files ---- */

void lab_check_labels(struct lab_doc *ld, unsigned int v, const struct file_vm *f,
		      struct lab_vm *vm);
/* 0 or -ENOMEM. */
int lab_check_policies(struct lab_doc *ld, const struct file_lab *f, const char *dir,
		       struct lab *lab);

/* ---- lab_flows.c: connections ---- */

void lab_check_flows(struct lab_doc *ld, const struct file_lab *f, struct lab *lab);
json_t *lab_flows_to_json(const struct lab_flows *f);

/* ---- lab_nic.c: names, networks, MACs, paths ---- */

void lab_check_nics(struct lab_doc *ld, unsigned int v, const struct file_vm *f,
		    const struct lab *lab, struct lab_vm *vm);
void lab_check_macs(struct lab_doc *ld, const struct file_lab *f, struct lab *lab);

/* ---- lab_net.c: networks and their subnets ---- */

/* A given subnet at @path. True when it is usable and stored in @s, whose family is set. */
struct lab_subnet;
bool lab_check_subnet(struct lab_doc *ld, const char *path, const char *text, struct lab_subnet *s);
/* 0 or -ENOMEM. */
int lab_check_nets(struct lab_doc *ld, const struct file_lab *f, struct lab *lab);

/* ---- lab_fabric.c: the hosts, modes of networks, what each host sees ---- */

/* 0 or -ENOMEM. */
int lab_check_fabric(struct lab_doc *ld, const struct file_lab *f, const char *dir,
		     struct lab *lab);
/* Mode, VNI and what goes with them, before the network's MTU and subnets. */
void lab_check_mode(struct lab_doc *ld, const struct file_lab *f, unsigned int n, struct lab *lab);
/* The most that fits between the hosts, and so the default: LAB_MTU_DEFAULT without a fabric. */
uint32_t lab_mode_mtu(const struct lab *lab, const struct lab_net *net);
void lab_check_vm_host(struct lab_doc *ld, unsigned int v, const char *host, struct lab *lab,
		       struct lab_vm *vm);
/* Can the network have that family? A routed one only if the hosts can be next hops of it. */
bool lab_mode_has(const struct lab *lab, const struct lab_net *net, int family);
/* When the networks are known: each host's view of them. */
void lab_check_parts(struct lab_doc *ld, const struct file_lab *f, struct lab *lab);
/* When VMs and networks are known: guests of different hosts have a way to each other. */
void lab_check_reach(struct lab_doc *ld, const struct lab *lab);
/* lab->nets as host @h sees them, -1: whole. */
void lab_view(struct lab *lab, int h);
json_t *lab_fabric_to_json(const struct lab *lab);
/* Adds "mode" and its keys. */
void lab_mode_to_json(const struct lab *lab, unsigned int n, json_t *net);

/* ---- lab_uplink.c: the type of a network and its interface ---- */

/* Type and interface; before the network's services. */
void lab_check_type(struct lab_doc *ld, const struct file_lab *f, unsigned int n, struct lab *lab);
/* The host's own addresses; when the subnets are known. */
void lab_check_uplink(struct lab_doc *ld, const struct file_lab *f, unsigned int n,
		      struct lab *lab);
/* Adds "type" and "uplink". */
void lab_uplink_to_json(const struct lab *lab, unsigned int n, json_t *net);

/* ---- lab_ip.c: addresses ---- */

/* Addresses of all NICs, once lab_check_vms() made them. */
void lab_assign_addresses(struct lab_doc *ld, const struct file_lab *f, struct lab *lab);
/*
 * Addresses of one NIC that is not in the lab yet: as given, NULL for the lowest free host number,
 * "none". 0; -EINVAL, -EEXIST, -ENOSPC with @why.
 */
int lab_give_addresses(struct lab *lab, struct lab_nic *nic, const char *ip4, const char *ip6,
		       char *why, size_t why_size);

#endif
