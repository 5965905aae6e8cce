/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the checks and defaults of VMs: names, kernels, sizes. */
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

bool lab_name_is_legal(const char *name)
{
	for (size_t i = 0; name[i]; i++)
		if (!isascii(name[i]) || !(isalnum(name[i]) || (i && strchr("-_", name[i]))))
			return false;
	return *name;
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
	if (lab_name_is_legal(name))
		return true;
	lab_doc_error(ld, path, "use letters, digits, - and _, a letter or digit first",
		      "%s \"%s\" has an illegal character", what, name);
	return false;
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

int lab_absolute(const char *dir, const char *path, char **out)
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
		if (lab_absolute(dir, f->bzimage, &vm->bzimage) < 0)
			return -ENOMEM;
		check_bzimage(ld, lab_path("%s.bzimage", at).s, vm->bzimage);
		if (!f->modules)
			return 0;
		if (lab_absolute(dir, f->modules, &vm->modules) < 0)
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

int lab_check_vms(struct lab_doc *ld, const struct file_lab *f, const char *dir, struct lab *lab)
{
	lab->vms = calloc(f->vms_count, sizeof(*lab->vms));
	if (!lab->vms)
		return -ENOMEM;
	lab->n_vms = lab->n_all = f->vms_count;
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
		vm->hotplug = fv->hotplug ? *fv->hotplug : LAB_HOTPLUG_ACPI;
		lab_check_vm_host(ld, v, fv->host, lab, vm);
		lab_check_labels(ld, v, fv, vm);
		lab_check_nics(ld, v, fv, lab, vm);
		vm->spare_nics =
			lab_check_range(ld, lab_path("%s.spare_nics", at.s).s, fv->spare_nics, 0,
					LAB_VM_NICS - vm->n_nics, LAB_SPARE_DEFAULT, " spare NICs");
	}
	lab_check_macs(ld, f, lab);
	return 0;
}
