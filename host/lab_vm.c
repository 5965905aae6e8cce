/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the checks and defaults of VMs and their NICs: names, kernels, sizes, MACs. */
#include "host/lab_internal.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const kernels[] = {"6.12", "6.1", "7.2", NULL};
#define KERNEL_REMEDY "write one of: 6.1, 6.12, 7.2; a kernel of your own goes under bzimage"

const char *const *lab_kernels(void)
{
	return kernels;
}

bool lab_check_name(struct lab_doc *ld, const char *path, const char *what, const char *name,
		    size_t max)
{
	size_t len = strlen(name);

	if (!len) {
		lab_doc_error(ld, path, NULL, "%s is empty", what);
		return false;
	}
	if (len > max) {
		lab_doc_error(ld, path, "shorten it",
			      "%s \"%.32s...\" has %zu characters, at most "
			      "%zu are possible",
			      what, name, len, max);
		return false;
	}
	for (size_t i = 0; i < len; i++) {
		if (isascii(name[i]) && (isalnum(name[i]) || (i && strchr("-_", name[i]))))
			continue;
		lab_doc_error(ld, path, "use letters, digits, - and _, a letter or digit first",
			      "%s \"%s\" has an illegal character", what, name);
		return false;
	}
	return true;
}

uint32_t lab_check_range(struct lab_doc *ld, const char *path, const uint32_t *given, uint32_t min,
			 uint32_t max, uint32_t def, const char *unit)
{
	char remedy[64];

	if (!given || (*given >= min && *given <= max))
		return given ? *given : def;
	snprintf(remedy, sizeof(remedy), "write a number from %u to %u", min, max);
	lab_doc_error(ld, path, remedy, "%u%s is out of range", *given, unit);
	return def;
}

/* "512", "512M", "2G" in MiB; -1 when it is no such thing. */
static int64_t memory_mb(const char *text)
{
	static const struct {
		const char *unit;
		int64_t mb;
	} units[] = {{"", 1}, {"M", 1}, {"MiB", 1}, {"G", 1024}, {"GiB", 1024}};
	size_t digits = strspn(text, "0123456789");

	if (!digits || digits > 9)
		return -1;
	for (unsigned int i = 0; i < ARRAY_SIZE(units); i++)
		if (strcasecmp(text + digits, units[i].unit) == 0)
			return strtoll(text, NULL, 10) * units[i].mb;
	return -1;
}

static uint32_t check_memory(struct lab_doc *ld, const char *path, const char *text)
{
	int64_t mb;

	if (!text)
		return LAB_MEMORY_DEFAULT;
	mb = memory_mb(text);
	if (mb >= LAB_MEMORY_MIN && mb <= LAB_MEMORY_MAX)
		return (uint32_t)mb;
	if (mb < 0)
		lab_doc_error(ld, path, "write MiB as a number, or 512M, or 2G",
			      "\"%s\" is not a size", text);
	else if (mb < LAB_MEMORY_MIN)
		lab_doc_error(ld, path, "give it 512M",
			      "%s is too small: the guest needs %u MiB to start", text,
			      LAB_MEMORY_MIN);
	else
		lab_doc_error(ld, path, "give it less", "%s is too large: at most %u MiB", text,
			      LAB_MEMORY_MAX);
	return LAB_MEMORY_DEFAULT;
}

/* ---- kernels ---- */

/* Absolute form of a path in the file, *@out the caller's. 0 or -ENOMEM. */
static int absolute(const char *dir, const char *path, char **out)
{
	if (*path == '/' || !*dir)
		*out = strdup(path);
	else if (asprintf(out, "%s/%s", dir, path) < 0)
		*out = NULL;
	return *out ? 0 : -ENOMEM;
}

static void check_bzimage(struct lab_doc *ld, const char *path, const char *file)
{
	struct stat st;

	if (stat(file, &st) != 0 || access(file, R_OK) != 0)
		lab_doc_error(
			ld, path,
			"name arch/x86/boot/bzImage of your build tree; a relative path starts "
			"at the lab file's folder",
			"cannot read the kernel %.160s: %s", file, strerror(errno));
	else if (!S_ISREG(st.st_mode))
		lab_doc_error(ld, path, "name the bzImage itself", "%.200s is not a file", file);
}

static void check_modules(struct lab_doc *ld, const char *path, const char *dir)
{
	struct stat st;

	if (stat(dir, &st) != 0)
		lab_doc_error(ld, path,
			      "name the folder of make modules_install INSTALL_MOD_PATH=DIR",
			      "cannot read the modules %.160s: %s", dir, strerror(errno));
	else if (!S_ISDIR(st.st_mode))
		lab_doc_error(ld, path, "name the folder that holds lib/modules",
			      "%.200s is not a folder", dir);
}

static int check_kernel(struct lab_doc *ld, const char *at, const struct file_vm *f,
			const char *dir, struct lab_vm *vm)
{
	struct lab_path path = lab_path("%s.kernel", at);
	unsigned int i;

	if (f->kernel && f->bzimage)
		lab_doc_error(ld, path.s, "keep one of them", "both kernel and bzimage are given");
	if (f->modules && !f->bzimage)
		lab_doc_error(ld, lab_path("%s.modules", at).s, "add bzimage: FILE, or remove it",
			      "modules without a bzimage");
	if (f->bzimage) {
		if (absolute(dir, f->bzimage, &vm->bzimage) < 0)
			return -ENOMEM;
		check_bzimage(ld, lab_path("%s.bzimage", at).s, vm->bzimage);
		if (!f->modules)
			return 0;
		if (absolute(dir, f->modules, &vm->modules) < 0)
			return -ENOMEM;
		check_modules(ld, lab_path("%s.modules", at).s, vm->modules);
		return 0;
	}
	snprintf(vm->kernel, sizeof(vm->kernel), "%s", f->kernel ? f->kernel : kernels[0]);
	for (i = 0; f->kernel && kernels[i] && strcmp(kernels[i], f->kernel) != 0; i++)
		;
	if (!kernels[i])
		lab_doc_error(ld, path.s, KERNEL_REMEDY, "there is no kernel \"%s\"", f->kernel);
	return 0;
}

static int check_append(struct lab_doc *ld, const char *at, const struct file_vm *f,
			struct lab_vm *vm)
{
	struct lab_path path = lab_path("%s.append", at);

	if (!f->append || !*f->append)
		return 0;
	for (const char *c = f->append; *c; c++)
		if (!isascii(*c) || !isprint(*c)) {
			lab_doc_error(ld, path.s, "keep it to printable ASCII on one line",
				      "the kernel command line has an illegal character");
			return 0;
		}
	if (strlen(f->append) > LAB_MAX_APPEND) {
		lab_doc_error(ld, path.s, "shorten it",
			      "%zu characters for the kernel command line, at most %u are possible",
			      strlen(f->append), LAB_MAX_APPEND);
		return 0;
	}
	vm->append = strdup(f->append);
	return vm->append ? 0 : -ENOMEM;
}

/* ---- NICs ---- */

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

static void check_nic(struct lab_doc *ld, const char *at, const struct file_nic *f,
		      unsigned int index, const struct lab *lab, struct lab_nic *nic)
{
	static const char *const reserved[] = {"lo", "all", "default"};
	struct lab_path path = lab_path("%s.name", at);
	const struct lab_net *net;

	snprintf(nic->name, sizeof(nic->name), "eth%u", index);
	if (f->name && lab_check_name(ld, path.s, "the NIC's name", f->name, LAB_NIC_NAME_MAX)) {
		snprintf(nic->name, sizeof(nic->name), "%s", f->name);
		for (unsigned int i = 0; i < ARRAY_SIZE(reserved); i++)
			if (strcmp(f->name, reserved[i]) == 0)
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
	nic->vf = true;
	if (f->vf && *f->vf == FILE_OFF)
		lab_doc_error(ld, lab_path("%s.vf", at).s, "write vf: on, or leave the key out",
			      "a NIC without a VF has no other path yet");
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
	for (unsigned int v = 0; v < lab->n_vms; v++)
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

static void check_macs(struct lab_doc *ld, const struct file_lab *f, struct lab *lab)
{
	for (unsigned int v = 0; v < lab->n_vms; v++)
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
	for (unsigned int v = 0; v < lab->n_vms; v++)
		for (unsigned int i = 0; i < lab->vms[v].n_nics; i++)
			if (!f->vms[v].nics || !f->vms[v].nics[i].mac)
				assign_mac(lab, &lab->vms[v], &lab->vms[v].nics[i]);
}

static void check_nics(struct lab_doc *ld, unsigned int v, const struct file_vm *f,
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
		check_nic(ld, lab_path("vms[%u].nics[0]", v).s, &none, 0, lab, &vm->nics[0]);
		return;
	}
	vm->n_nics = f->nics_count;
	for (unsigned int i = 0; i < vm->n_nics; i++) {
		check_nic(ld, lab_path("vms[%u].nics[%u]", v, i).s, &f->nics[i], i, lab,
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

int lab_check_vms(struct lab_doc *ld, const struct file_lab *f, const char *dir, struct lab *lab)
{
	lab->vms = calloc(f->vms_count, sizeof(*lab->vms));
	if (!lab->vms)
		return -ENOMEM;
	lab->n_vms = f->vms_count;
	for (unsigned int v = 0; v < f->vms_count; v++) {
		struct lab_path at = lab_path("vms[%u]", v), path = lab_path("vms[%u].name", v);
		const struct file_vm *fv = &f->vms[v];
		struct lab_vm *vm = &lab->vms[v];
		unsigned int o = 0;

		if (lab_check_name(ld, path.s, "the VM's name", fv->name, LAB_NAME_MAX)) {
			while (o < v && strcmp(f->vms[o].name, fv->name) != 0)
				o++;
			if (strcmp(fv->name, "localhost") == 0)
				lab_doc_error(ld, path.s, "choose another",
					      "\"localhost\" is every guest's own name");
			if (o < v)
				lab_doc_error(ld, path.s, "give each VM a name of its own",
					      "the VM name \"%s\" is taken (line %u)", fv->name,
					      lab_doc_line(ld, lab_path("vms[%u].name", o).s));
			snprintf(vm->name, sizeof(vm->name), "%s", fv->name);
		}
		if (check_kernel(ld, at.s, fv, dir, vm) < 0 || check_append(ld, at.s, fv, vm) < 0)
			return -ENOMEM;
		vm->cpus = lab_check_range(ld, lab_path("%s.cpus", at.s).s, fv->cpus, 1,
					   LAB_CPUS_MAX, LAB_CPUS_DEFAULT, " CPUs");
		vm->memory_mb = check_memory(ld, lab_path("%s.memory", at.s).s, fv->memory);
		check_nics(ld, v, fv, lab, vm);
	}
	check_macs(ld, f, lab);
	return 0;
}
