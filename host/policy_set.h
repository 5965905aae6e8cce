/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The policy of the lab that is up: which files are applied, and what each vNIC has of them.
 *
 * Files have names and are replaced by name. A change is checked whole, compiled for every vNIC,
 * and then handed to the switch for all of them at one moment; when anything of it is wrong nothing
 * has changed. What names mean (the lab's subnets, whose label is what) is looked up again when a
 * vNIC comes or goes. A vNIC whose policy comes out the same keeps the one it has. Control thread.
 */
#ifndef HVLAB_HOST_POLICY_SET_H
#define HVLAB_HOST_POLICY_SET_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "host/nsg.h"

struct run;
struct run_nic;
struct policy_nic;
struct policy_set;

/* NULL: no memory. */
struct policy_set *policy_set_new(struct run *run);
/* The vNICs are gone, and their policies with them. */
void policy_set_free(struct policy_set *ps);

/* A file to apply; @text is borrowed. */
struct policy_input {
	const char *name;
	const char *text;
	size_t size;
};

/**
 * struct policy_request - A change
 * @files:	new ones, or in the place of those of the same name
 * @only:	all others go
 * @remove:	names of files that go; NULL-terminated, or NULL
 * @nsg, @networks, @nics: give a group to these beside what the files say; @nsg NULL: the only one
 *		of the only file. NULL-terminated, or NULL
 * @flush:	connections that the new rules would not have let in end
 */
struct policy_request {
	const struct policy_input *files;
	unsigned int n_files;
	bool only, flush;
	const char *const *remove;
	const char *nsg;
	const char *const *networks, *const *nics;
};

/* Out of a change. @errors: of the files, NULL: none; the caller's. */
struct policy_outcome {
	json_t *errors;
	char why[320];
	unsigned int n_changed; /* vNICs */
	bool flushed;
};

/*
 * 0; -EINVAL the files are wrong (@out->errors) or the request is (@out->why); -ENOENT no such file
 * to remove; -E2BIG, -ENOMEM, with @out->why.
 */
int policy_set_apply(struct policy_set *ps, const struct policy_request *req,
		     struct policy_outcome *out);
/* What would change: nsg_diff(); NULL with @out as above. */
json_t *policy_set_diff(struct policy_set *ps, const struct policy_request *req,
			struct policy_outcome *out);
/* A vNIC has come, gone, or changed its address. As policy_set_apply(). */
int policy_set_refresh(struct policy_set *ps, char *why, size_t why_size);

/* What a vNIC has; NULL: nothing. Good until the next change. */
const struct policy_nic *policy_set_of(const struct policy_set *ps, const struct run_nic *rn);
/* For policy-show: {files, nics, asgs}; @full: with all rules. A new reference. */
json_t *policy_set_json(const struct policy_set *ps, bool full);
/* Did any file ever apply? */
unsigned int policy_set_n_files(const struct policy_set *ps);

#endif
