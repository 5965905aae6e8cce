/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns what a lab file says of policy: the labels of VMs, and which policy files it has. */
#include "host/lab_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void lab_check_labels(struct lab_doc *ld, unsigned int v, const struct file_vm *f,
		      struct lab_vm *vm)
{
	for (unsigned int i = 0; i < f->labels_count; i++) {
		struct lab_path path = lab_path("vms[%u].labels[%u]", v, i);
		unsigned int o = 0;

		if (!lab_check_name(ld, path.s, "the label", f->labels[i], LAB_LABEL_MAX))
			continue;
		while (o < vm->n_labels && strcmp(vm->labels[o], f->labels[i]) != 0)
			o++;
		if (o < vm->n_labels)
			lab_doc_error(ld, path.s, "keep one of them",
				      "the label \"%s\" stands here twice", f->labels[i]);
		else
			snprintf(vm->labels[vm->n_labels++], sizeof(vm->labels[0]), "%s",
				 f->labels[i]);
	}
}

static void check_file(struct lab_doc *ld, const char *path, const char *file)
{
	struct stat st;

	if (stat(file, &st) != 0 || access(file, R_OK) != 0)
		lab_doc_error(ld, path, "a relative path starts at the lab file's folder",
			      "cannot read the policy file %.160s: %s", file, strerror(errno));
	else if (!S_ISREG(st.st_mode))
		lab_doc_error(ld, path, "name the file itself", "%.200s is not a file", file);
}

/* Absolute, so that it means the same to a daemon with another current directory. */
static char *path_of(const char *dir, const char *file)
{
	char *path, *real;

	if (*file == '/' || !*dir)
		path = strdup(file);
	else if (asprintf(&path, "%s/%s", dir, file) < 0)
		path = NULL;
	real = path ? realpath(path, NULL) : NULL;
	if (!real)
		return path; /* not there: check_file() says so */
	free(path);
	return real;
}

int lab_check_policies(struct lab_doc *ld, const struct file_lab *f, const char *dir,
		       struct lab *lab)
{
	lab->policies = calloc(f->policy_count + 1, sizeof(*lab->policies));
	if (!lab->policies)
		return -ENOMEM;
	for (unsigned int i = 0; i < f->policy_count; i++) {
		char **to = &lab->policies[lab->n_policies];

		*to = path_of(dir, f->policy[i]);
		if (!*to)
			return -ENOMEM;
		lab->n_policies++;
		check_file(ld, lab_path("policy[%u]", i).s, *to);
	}
	return 0;
}
