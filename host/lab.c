/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the lab file: the way from text to struct lab and to JSON.
 *
 * Text -> nodes with lines (lab_doc.c) -> held against the schema (lab_schema.c) -> libcyaml fills
 * struct file_lab -> the checks (lab_fabric.c, lab_net.c, lab_vm.c) turn it into struct lab.
 */
#include "host/lab_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

static const cyaml_config_t cyaml_conf = {
	.mem_fn = cyaml_mem,
	.flags = CYAML_CFG_IGNORE_UNKNOWN_KEYS, /* lab_doc_check() has reported them */
};

/* "/home/u/my lab.yaml" to "my-lab": the name of a lab whose file gives none. */
static void default_name(const char *file, char out[LAB_NAME_MAX + 1])
{
	const char *base = strrchr(file, '/');
	size_t n = 0;

	for (base = base ? base + 1 : file; *base && *base != '.' && n < LAB_NAME_MAX; base++) {
		bool alnum = (*base >= '0' && *base <= '9') || (*base >= 'A' && *base <= 'Z') ||
			     (*base >= 'a' && *base <= 'z');

		if (alnum || n)
			out[n++] = alnum || *base == '_' ? *base : '-';
	}
	out[n] = '\0';
	if (!n)
		strcpy(out, "lab");
}

/* The folder of a file, "" for the current one. */
static char *folder(const char *file)
{
	const char *slash = strrchr(file, '/');

	return slash ? strndup(file, (size_t)(slash - file) + (slash == file)) : strdup("");
}

static int build(struct lab_doc *ld, const struct file_lab *f, const char *file, struct lab *lab)
{
	char *dir = folder(file);
	int ret;

	if (!dir)
		return -ENOMEM;
	default_name(file, lab->name);
	if (f->name && lab_check_name(ld, "name", "the lab's name", f->name, LAB_NAME_MAX))
		snprintf(lab->name, sizeof(lab->name), "%s", f->name);
	ret = lab_check_fabric(ld, f, dir, lab);
	if (!ret)
		ret = lab_check_nets(ld, f, lab);
	if (!ret)
		ret = lab_check_vms(ld, f, dir, lab);
	if (!ret) {
		lab_check_reach(ld, lab);
		lab_assign_addresses(ld, f, lab);
	}
	if (!ret)
		ret = lab_check_policies(ld, f, dir, lab);
	lab_check_flows(ld, f, lab);
	free(dir);
	return ret;
}

int lab_load_text(const char *file, const char *text, size_t size, struct lab **lab_out,
		  struct lab_errors *errs)
{
	struct file_lab *f = NULL;
	struct lab *lab = NULL;
	struct lab_doc ld;
	cyaml_err_t err;
	int ret;

	*lab_out = NULL;
	snprintf(errs->file, sizeof(errs->file), "%s", file);
	if (size > LAB_MAX_TEXT) {
		lab_errors_add(errs, 0, 0, "", "name a lab file",
			       "the file is larger than the %u bytes that a lab can need",
			       LAB_MAX_TEXT);
		return -EINVAL;
	}
	ret = lab_doc_init(&ld, text, size, errs);
	if (ret)
		return ret;
	lab_doc_check(&ld, &lab_schema);
	if (!ld.usable)
		goto out;
	err = cyaml_load_data((const uint8_t *)text, size, &cyaml_conf, &lab_schema,
			      (cyaml_data_t **)&f, NULL);
	if (err != CYAML_OK) {
		lab_errors_add(errs, 0, 0, "", NULL, "%s", cyaml_strerror(err));
		goto out;
	}
	lab = calloc(1, sizeof(*lab));
	ret = lab ? build(&ld, f, file, lab) : -ENOMEM;
	cyaml_free(&cyaml_conf, &lab_schema, f, 0);
out:
	lab_doc_fini(&ld);
	lab_errors_sort(errs);
	if (!ret && (errs->n || errs->n_more))
		ret = -EINVAL;
	if (ret)
		lab_free(lab);
	else
		*lab_out = lab;
	return ret;
}

int lab_load_file(const char *path, struct lab **lab, struct lab_errors *errs)
{
	char *text = malloc(LAB_MAX_TEXT + 1);
	size_t size = 0;
	ssize_t n = 1;
	struct stat st;
	int fd, ret;

	*lab = NULL;
	if (!text)
		return -ENOMEM;
	snprintf(errs->file, sizeof(errs->file), "%s", path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		goto fail;
	if (S_ISDIR(st.st_mode)) {
		errno = EISDIR;
		goto fail;
	}
	while (size <= LAB_MAX_TEXT && n > 0) {
		n = read(fd, text + size, LAB_MAX_TEXT + 1 - size);
		if (n < 0 && errno == EINTR) {
			n = 1;
			continue;
		}
		if (n < 0)
			goto fail;
		size += (size_t)n;
	}
	ret = lab_load_text(path, text, size, lab, errs);
	goto out;
fail:
	ret = -errno;
	lab_errors_add(errs, 0, 0, "",
		       ret == -EISDIR ? "name the file in it"
				      : "check the path, or its permissions",
		       "cannot read the lab file: %s", strerror(-ret));
out:
	fd_close(&fd);
	free(text);
	return ret;
}

void lab_free(struct lab *lab)
{
	if (!lab)
		return;
	for (unsigned int v = 0; lab->vms && v < lab->n_all; v++) {
		free(lab->vms[v].bzimage);
		free(lab->vms[v].modules);
		free(lab->vms[v].append);
	}
	for (unsigned int i = 0; i < lab->n_policies; i++)
		free(lab->policies[i]);
	free(lab->policies);
	free(lab->vms);
	free(lab->views);
	free(lab->fabric.hosts);
	free(lab->fabric.etcd.password_file);
	free(lab);
}

static json_t *text_or_none(const char *s)
{
	return json_string(*s ? s : "none");
}

static json_t *nic_to_json(const struct lab *lab, const struct lab_nic *nic)
{
	json_t *o = json_pack(
		"{s:s, s:s, s:s, s:o, s:o, s:i, s:i, s:I, s:s, s:s, s:i, s:s}", "name", nic->name,
		"network", lab->nets[nic->net].name, "mac", nic->mac_text, "ip",
		text_or_none(nic->ip4), "ip6", text_or_none(nic->ip6), "queues", (int)nic->queues,
		"mtu", (int)nic->mtu, "link_mbps", (json_int_t)nic->link_mbps, "vf",
		nic->vf ? "on" : "off", "synthetic", lab_synthetic_name(nic->synthetic), "weight",
		(int)nic->weight, "moderation", lab_moderation_name(nic->moderation));

	lab_features_to_json(&nic->features, o, true);
	return o;
}

static json_t *texts(unsigned int n, char *const *list)
{
	json_t *a = json_array();

	for (unsigned int i = 0; i < n; i++)
		json_array_append_new(a, json_string(list[i]));
	return a;
}

static json_t *labels_to_json(const struct lab_vm *vm)
{
	json_t *a = json_array();

	for (unsigned int i = 0; i < vm->n_labels; i++)
		json_array_append_new(a, json_string(vm->labels[i]));
	return a;
}

static json_t *vm_to_json(const struct lab *lab, const struct lab_vm *vm)
{
	json_t *nics = json_array(), *j;

	for (unsigned int i = 0; i < vm->n_nics; i++)
		json_array_append_new(nics, nic_to_json(lab, &vm->nics[i]));
	j = json_pack("{s:s, s:i, s:i, s:s, s:i, s:o}", "name", vm->name, "cpus", (int)vm->cpus,
		      "memory", (int)vm->memory_mb, "hotplug",
		      vm->hotplug == LAB_HOTPLUG_NATIVE ? "native" : "acpi", "spare_nics",
		      (int)vm->spare_nics, "nics", nics);
	if (lab->fabric.on)
		json_object_set_new(j, "host", json_string(lab->fabric.hosts[vm->host].name));
	if (vm->n_labels)
		json_object_set_new(j, "labels", labels_to_json(vm));
	if (*vm->kernel)
		json_object_set_new(j, "kernel", json_string(vm->kernel));
	if (vm->bzimage)
		json_object_set_new(j, "bzimage", json_string(vm->bzimage));
	if (vm->modules)
		json_object_set_new(j, "modules", json_string(vm->modules));
	if (vm->append)
		json_object_set_new(j, "append", json_string(vm->append));
	return j;
}

static json_t *net_to_json(const struct lab *lab, unsigned int n)
{
	const struct lab_net *net = &lab_nets_at(lab, -1)[n];
	json_t *o = json_pack("{s:s, s:o, s:o, s:i, s:s, s:s}", "name", net->name, "subnet",
			      text_or_none(net->cidr4), "subnet6", text_or_none(net->cidr6), "mtu",
			      (int)net->mtu, "dhcp", net->dhcp ? "on" : "off", "domain",
			      net->domain);

	json_object_set_new(o, "mbps", json_integer(net->mbps));
	if (net->mode != LAB_MODE_ROUTED)
		json_object_set_new(o, "gateway", text_or_none(net->gateway4));
	lab_mode_to_json(lab, n, o);
	lab_uplink_to_json(lab, n, o);
	return o;
}

json_t *lab_to_json(const struct lab *lab)
{
	json_t *nets = json_array(), *vms = json_array(), *o;

	for (unsigned int n = 0; n < lab->n_nets; n++)
		json_array_append_new(nets, net_to_json(lab, n));
	for (unsigned int v = 0; v < lab->n_all; v++)
		json_array_append_new(vms, vm_to_json(lab, &lab->vms[v]));
	o = json_pack("{s:s, s:o, s:o}", "name", lab->name, "networks", nets, "vms", vms);
	if (lab->fabric.on)
		json_object_set_new(o, "fabric", lab_fabric_to_json(lab));
	json_object_set_new(o, "flows", lab_flows_to_json(&lab->flows));
	if (lab->n_policies)
		json_object_set_new(o, "policy", texts(lab->n_policies, lab->policies));
	return o;
}

struct lab_vm *lab_find_vm(const struct lab *lab, const char *name)
{
	for (unsigned int v = 0; v < lab->n_vms; v++)
		if (strcmp(lab->vms[v].name, name) == 0)
			return &lab->vms[v];
	return NULL;
}

struct lab_nic *lab_find_nic(const struct lab *lab, const char *target, struct lab_vm **vm_out)
{
	for (unsigned int v = 0; v < lab->n_vms; v++) {
		struct lab_vm *vm = &lab->vms[v];
		size_t len = strlen(vm->name);

		if (strncmp(target, vm->name, len) != 0 || target[len] != '/')
			continue;
		for (unsigned int i = 0; i < vm->n_nics; i++)
			if (strcmp(vm->nics[i].name, target + len + 1) == 0) {
				if (vm_out)
					*vm_out = vm;
				return &vm->nics[i];
			}
	}
	return NULL;
}
