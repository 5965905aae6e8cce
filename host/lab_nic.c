/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the checks and defaults of NICs: names, networks, MACs, paths. */
#include "host/lab_internal.h"
#include "host/lab_rate.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int lab_parse_mac(const char *text, uint8_t mac[6])
{
	if (strlen(text) != 17)
		return -EINVAL;
	for (int i = 0; i < 6; i++, text += 3) {
		char sep = text[2], hex[3] = {text[0], text[1], '\0'};

		if (!isxdigit((unsigned char)hex[0]) || !isxdigit((unsigned char)hex[1]) ||
		    (i < 5 && sep != ':' && sep != '-'))
			return -EINVAL;
		mac[i] = (uint8_t)strtoul(hex, NULL, 16);
	}
	return 0;
}

static void mac_print(struct lab_nic *nic)
{
	const uint8_t *m = nic->mac;

	snprintf(nic->mac_text, sizeof(nic->mac_text), "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1],
		 m[2], m[3], m[4], m[5]);
}

static void check_mac(struct lab_doc *ld, const char *path, const char *text, struct lab_nic *nic)
{
	static const uint8_t zero[6];

	if (!text)
		return;
	if (lab_parse_mac(text, nic->mac) < 0) {
		lab_doc_error(ld, path, "write six bytes in hex: 00:15:5d:01:02:03",
			      "\"%s\" is not a MAC address", text);
	} else if (nic->mac[0] & 1) {
		lab_doc_error(ld, path, "make the first byte even, for instance 02",
			      "%s is a multicast address", text);
	} else if (memcmp(nic->mac, zero, 6) == 0) {
		lab_doc_error(ld, path, "choose another, or leave the key out",
			      "a NIC cannot have the MAC of zeros");
	} else {
		mac_print(nic);
		return;
	}
	memset(nic->mac, 0, 6);
}

/* Where @network is in the list; reports when it is not. */
static unsigned int check_network(struct lab_doc *ld, const char *at, const char *network,
				  const struct lab *lab)
{
	const char *words[LAB_MAX_NETS + 1] = {NULL};
	struct lab_path path = lab_path("%s.network", at);
	char remedy[256];
	const char *near;

	if (!network) {
		if (lab->n_nets > 1)
			lab_doc_error(ld, path.s, "add \"network: NAME\"",
				      "the key \"network\" is missing and there are %u networks",
				      lab->n_nets);
		return 0;
	}
	for (unsigned int i = 0; i < lab->n_nets; i++) {
		if (strcmp(lab->nets[i].name, network) == 0)
			return i;
		words[i] = lab->nets[i].name;
	}
	near = lab_nearest(network, words);
	if (near)
		snprintf(remedy, sizeof(remedy), "did you mean \"%s\"?", near);
	else
		snprintf(remedy, sizeof(remedy), "add \"- name: %.64s\" under networks", network);
	lab_doc_error(ld, path.s, remedy, "there is no network \"%s\"", network);
	return 0;
}

static bool is_reserved(const char *name)
{
	return !strcmp(name, "lo") || !strcmp(name, "all") || !strcmp(name, "default");
}

static void check_paths(struct lab_doc *ld, const char *at, const struct file_nic *f,
			struct lab_nic *nic)
{
	enum file_synthetic syn = f->synthetic ? *f->synthetic : FILE_VIRTIO;

	nic->vf = !f->vf || *f->vf == FILE_ON;
	nic->synthetic = syn == FILE_VIRTIO ? LAB_SYNTHETIC_VIRTIO : LAB_SYNTHETIC_NONE;
	nic->weight = lab_check_range(ld, lab_path("%s.weight", at).s, f->weight, 0, LAB_WEIGHT_MAX,
				      LAB_WEIGHT_MAX, "");
	nic->moderation = f->moderation ? *f->moderation : LAB_MODERATION_OFF;
	if (syn == FILE_NETVSC)
		lab_doc_error(ld, lab_path("%s.synthetic", at).s, "write synthetic: virtio",
			      "there is no netvsc yet: its bus, VMBus, is not emulated");
	else if (!nic->vf && nic->synthetic == LAB_SYNTHETIC_NONE)
		lab_doc_error(ld, lab_path("%s.vf", at).s,
			      "write vf: on, or leave synthetic: none out",
			      "the NIC has neither a VF nor a synthetic path");
}

static bool is_on(const enum file_switch *s, bool def)
{
	return s ? *s == FILE_ON : def;
}

static void check_features(struct lab_doc *ld, const char *at, const struct file_nic *f,
			   struct lab_nic *nic)
{
	struct lab_features *to = &nic->features;
	char why[160];

	lab_features_init(to);
	if (f->vlan && lab_vlan_parse(f->vlan, NULL, to->vlan, why, sizeof(why)))
		lab_doc_error(ld, lab_path("%s.vlan", at).s, "write " LAB_VLAN_WORDS, "%s", why);
	to->mac_spoofing = is_on(f->mac_spoofing, to->mac_spoofing);
	to->dhcp_guard = is_on(f->dhcp_guard, to->dhcp_guard);
	to->router_guard = is_on(f->router_guard, to->router_guard);
	to->mirror = f->mirror ? *f->mirror : to->mirror;
	to->storm_pps = lab_check_range(ld, lab_path("%s.storm_pps", at).s, f->storm_pps, 0,
					UINT32_MAX, to->storm_pps, "");
	to->offload = is_on(f->offload, to->offload);
	to->offload_flows = lab_check_range(ld, lab_path("%s.offload_flows", at).s,
					    f->offload_flows, 1, LAB_OFFLOAD_FLOWS_MAX,
					    to->offload_flows, "");
}

static uint32_t check_rate(struct lab_doc *ld, const char *at, const char *key,
			   const uint32_t *given, uint32_t max, const char *unit)
{
	return lab_check_range(ld, lab_path("%s.%s", at, key).s, given, 0, max, 0, unit);
}

static void check_rates(struct lab_doc *ld, const char *at, const struct file_nic *f,
			const struct lab *lab, const struct lab_vm *vm, struct lab_nic *nic)
{
	struct lab_features *to = &nic->features;
	const char *key, *remedy;
	char why[160];

	to->max_mbps = check_rate(ld, at, "max_mbps", f->max_mbps, LAB_RATE_MAX, " Mbit/s");
	to->min_mbps = check_rate(ld, at, "min_mbps", f->min_mbps, LAB_RATE_MAX, " Mbit/s");
	to->min_weight = check_rate(ld, at, "min_weight", f->min_weight, LAB_SHARE_MAX, "");
	remedy = lab_rate_check(lab, vm, nic->name, nic->net, to, &key, why, sizeof(why));
	if (remedy)
		lab_doc_error(ld, lab_path("%s.%s", at, key).s, remedy, "%s", why);
}

static void check_nic(struct lab_doc *ld, const char *at, const struct file_nic *f,
		      unsigned int index, const struct lab *lab, const struct lab_vm *vm,
		      struct lab_nic *nic)
{
	struct lab_path path = lab_path("%s.name", at);
	const struct lab_net *net;

	snprintf(nic->name, sizeof(nic->name), "eth%u", index);
	if (f->name && lab_check_name(ld, path.s, "the NIC's name", f->name, LAB_NIC_NAME_MAX)) {
		snprintf(nic->name, sizeof(nic->name), "%s", f->name);
		if (is_reserved(f->name))
			lab_doc_error(ld, path.s, "choose another, for instance eth0",
				      "\"%s\" means something else to Linux", f->name);
	}
	nic->net = check_network(ld, at, f->network, lab);
	net = &lab->nets[nic->net];
	check_mac(ld, lab_path("%s.mac", at).s, f->mac, nic);
	nic->queues = lab_check_range(ld, lab_path("%s.queues", at).s, f->queues, 1, LAB_QUEUES_MAX,
				      LAB_QUEUES_DEFAULT, " queues");
	nic->link_mbps = lab_check_range(ld, lab_path("%s.link_mbps", at).s, f->link_mbps, 1,
					 UINT32_MAX, LAB_LINK_DEFAULT, " Mbit/s");
	nic->mtu = lab_check_range(ld, lab_path("%s.mtu", at).s, f->mtu, LAB_MTU_MIN, LAB_MTU_MAX,
				   net->mtu, "");
	if (nic->mtu > net->mtu) {
		char remedy[96];

		snprintf(remedy, sizeof(remedy), "raise the network's mtu, or lower this to %u",
			 net->mtu);
		lab_doc_error(ld, lab_path("%s.mtu", at).s, remedy,
			      "%u is more than the %u of network %s", nic->mtu, net->mtu,
			      net->name);
	}
	check_paths(ld, at, f, nic);
	check_features(ld, at, f, nic);
	check_rates(ld, at, f, lab, vm, nic);
}

/* FNV-1a, 64 bits: a MAC must be the same on every machine, it need not be secret. */
static uint64_t fnv1a(uint64_t h, const char *s)
{
	do {
		h ^= (unsigned char)*s;
		h *= 0x100000001b3ull;
	} while (*s++);
	return h;
}

static struct lab_nic *find_mac(struct lab *lab, const uint8_t *mac, const struct lab_nic *not_me,
				unsigned int *vm, unsigned int *nic)
{
	for (unsigned int v = 0; v < lab->n_all; v++)
		for (unsigned int i = 0; i < lab->vms[v].n_nics; i++) {
			struct lab_nic *n = &lab->vms[v].nics[i];

			if (n == not_me)
				return NULL; /* only those before */
			if (*n->mac_text && memcmp(n->mac, mac, 6) == 0) {
				*vm = v;
				*nic = i;
				return n;
			}
		}
	return NULL;
}

static void assign_mac(struct lab *lab, const struct lab_vm *vm, struct lab_nic *nic)
{
	uint64_t h = fnv1a(fnv1a(fnv1a(0xcbf29ce484222325ull, lab->name), vm->name), nic->name);
	unsigned int v, i;

	/* Microsoft's prefix for guests of Hyper-V, then 24 bits of the hash. */
	memcpy(nic->mac, (const uint8_t[]){0x00, 0x15, 0x5d}, 3);
	do {
		nic->mac[3] = (uint8_t)(h >> 40);
		nic->mac[4] = (uint8_t)(h >> 48);
		nic->mac[5] = (uint8_t)(h >> 56);
		h = fnv1a(h, "again");
	} while (find_mac(lab, nic->mac, NULL, &v, &i));
	mac_print(nic);
}

void lab_check_macs(struct lab_doc *ld, const struct file_lab *f, struct lab *lab)
{
	for (unsigned int v = 0; v < lab->n_all; v++)
		for (unsigned int i = 0; i < lab->vms[v].n_nics; i++) {
			struct lab_nic *nic = &lab->vms[v].nics[i];
			struct lab_path path = lab_path("vms[%u].nics[%u].mac", v, i);
			unsigned int ov, oi;

			if (!*nic->mac_text || !find_mac(lab, nic->mac, nic, &ov, &oi))
				continue;
			lab_doc_error(ld, path.s, "choose another, or leave the key out",
				      "the MAC %s is already that of %s/%s (line %u)",
				      nic->mac_text, lab->vms[ov].name, lab->vms[ov].nics[oi].name,
				      lab_doc_line(ld, lab_path("vms[%u].nics[%u].mac", ov, oi).s));
		}
	for (unsigned int v = 0; v < lab->n_all; v++)
		for (unsigned int i = 0; i < lab->vms[v].n_nics; i++)
			if (!f->vms[v].nics || !f->vms[v].nics[i].mac)
				assign_mac(lab, &lab->vms[v], &lab->vms[v].nics[i]);
}

void lab_check_nics(struct lab_doc *ld, unsigned int v, const struct file_vm *f,
		    const struct lab *lab, struct lab_vm *vm)
{
	static const struct file_nic none;

	/* No key: one NIC on the only network. An empty list: none. */
	if (!lab_doc_has(ld, lab_path("vms[%u].nics", v).s)) {
		if (lab->n_nets > 1)
			lab_doc_error(ld, lab_path("vms[%u].nics", v).s,
				      "add \"nics:\" with \"- network: NAME\", or \"nics: []\"",
				      "the VM has no NICs and there are %u networks to choose from",
				      lab->n_nets);
		vm->n_nics = 1;
		check_nic(ld, lab_path("vms[%u].nics[0]", v).s, &none, 0, lab, vm, &vm->nics[0]);
		return;
	}
	vm->n_nics = f->nics_count;
	for (unsigned int i = 0; i < vm->n_nics; i++) {
		check_nic(ld, lab_path("vms[%u].nics[%u]", v, i).s, &f->nics[i], i, lab, vm,
			  &vm->nics[i]);
		for (unsigned int j = 0; j < i; j++)
			if (strcmp(vm->nics[i].name, vm->nics[j].name) == 0)
				lab_doc_error(
					ld, lab_path("vms[%u].nics[%u].name", v, i).s,
					"give each NIC of a VM a name of its own",
					"the NIC name \"%s\" is taken (line %u)", vm->nics[i].name,
					lab_doc_line(ld,
						     lab_path("vms[%u].nics[%u].name", v, j).s));
	}
}

/* ---- a NIC more, of a lab that is up ---- */

static int refuse(char *why, size_t size, int rc, const char *fmt, ...) PRINTF_LIKE(4, 5);

static int refuse(char *why, size_t size, int rc, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, size, fmt, ap);
	va_end(ap);
	return rc;
}

static int check_wish(const struct lab *lab, const struct lab_vm *vm, const struct lab_nic *wish,
		      char *why, size_t size)
{
	const struct lab_net *net = &lab->nets[wish->net];

	if (vm->n_nics == LAB_VM_NICS)
		return refuse(why, size, -ENOSPC, "VM %s has %d NICs, the most there can be",
			      vm->name, LAB_VM_NICS);
	if (!lab_name_is_legal(wish->name) || is_reserved(wish->name))
		return refuse(why, size, -EINVAL, "\"%s\" cannot be a NIC's name", wish->name);
	for (unsigned int i = 0; i < vm->n_nics; i++)
		if (!strcmp(vm->nics[i].name, wish->name))
			return refuse(why, size, -EEXIST, "VM %s has a NIC %s already", vm->name,
				      wish->name);
	if (wish->queues < 1 || wish->queues > LAB_QUEUES_MAX)
		return refuse(why, size, -EINVAL, "%u queues: 1 to %d are possible", wish->queues,
			      LAB_QUEUES_MAX);
	if (wish->mtu < LAB_MTU_MIN || wish->mtu > net->mtu)
		return refuse(why, size, -EINVAL, "MTU %u: %d to the %u of network %s are possible",
			      wish->mtu, LAB_MTU_MIN, net->mtu, net->name);
	if (wish->weight > LAB_WEIGHT_MAX || !wish->link_mbps)
		return refuse(why, size, -EINVAL, "weight %u, link_mbps %u: out of range",
			      wish->weight, wish->link_mbps);
	if (!wish->vf && wish->synthetic == LAB_SYNTHETIC_NONE)
		return refuse(why, size, -EINVAL,
			      "the NIC would have neither a VF nor a synthetic path");
	return 0;
}

int lab_nic_add(struct lab *lab, struct lab_vm *vm, const struct lab_nic *wish, const char *mac,
		const char *ip4, const char *ip6, char *why, size_t why_size)
{
	static const uint8_t zero[6];
	struct lab_nic nic = *wish;
	struct lab_nic *other;
	unsigned int v, i;
	int rc = check_wish(lab, vm, wish, why, why_size);

	if (rc)
		return rc;
	if (mac) {
		if (lab_parse_mac(mac, nic.mac) < 0 || (nic.mac[0] & 1) ||
		    !memcmp(nic.mac, zero, 6))
			return refuse(why, why_size, -EINVAL,
				      "\"%.32s\" is not a unicast MAC address", mac);
		other = find_mac(lab, nic.mac, NULL, &v, &i);
		if (other)
			return refuse(why, why_size, -EEXIST, "the MAC %s is already that of %s/%s",
				      other->mac_text, lab->vms[v].name, other->name);
		mac_print(&nic);
	} else {
		assign_mac(lab, vm, &nic);
	}
	rc = lab_give_addresses(lab, &nic, ip4, ip6, why, why_size);
	if (rc)
		return rc;
	nic.added = true;
	vm->nics[vm->n_nics++] = nic;
	return 0;
}

void lab_nic_del(struct lab_vm *vm, const char *name)
{
	for (unsigned int i = 0; i < vm->n_nics; i++) {
		if (strcmp(vm->nics[i].name, name) != 0)
			continue;
		vm->n_nics--;
		memmove(&vm->nics[i], &vm->nics[i + 1], (vm->n_nics - i) * sizeof(vm->nics[0]));
		return;
	}
}

/* ---- words ---- */

static const char *const moderations[] = {
	[LAB_MODERATION_OFF] = "off",		[LAB_MODERATION_LOW] = "low",
	[LAB_MODERATION_MEDIUM] = "medium",	[LAB_MODERATION_HIGH] = "high",
	[LAB_MODERATION_ADAPTIVE] = "adaptive",
};
static_assert(ARRAY_SIZE(moderations) == LAB_N_MODERATIONS, "every moderation has a name");

const char *lab_moderation_name(enum lab_moderation m)
{
	return moderations[m];
}

int lab_moderation_parse(const char *word)
{
	for (int i = 0; i < LAB_N_MODERATIONS; i++)
		if (!strcmp(moderations[i], word))
			return i;
	return -1;
}

const char *lab_synthetic_name(enum lab_synthetic s)
{
	return s == LAB_SYNTHETIC_VIRTIO ? "virtio" : "none";
}
