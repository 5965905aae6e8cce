/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns what a lab does about policy when it starts and when its vNICs come and go. */
#define LOG_TAG "policy"
#include "host/run_policy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "host/policy_set.h"

static int apply(struct run *run, struct policy_input *in, json_t **extra, char *why, size_t size)
{
	struct policy_request req = {.files = in, .n_files = run->lab->n_policies};
	struct policy_outcome out;
	int rc = policy_set_apply(run->policy, &req, &out);
	const json_t *first = json_array_get(out.errors, 0);

	if (first)
		snprintf(why, size, "%s:%d: %s", json_string_value(json_object_get(first, "file")),
			 (int)json_integer_value(json_object_get(first, "line")), out.why);
	else
		snprintf(why, size, "policy: %s", out.why);
	if (out.errors)
		*extra = json_pack("{s:o}", "errors", out.errors);
	return rc;
}

int run_policy_start(struct run *run, json_t **extra, char *why, size_t size)
{
	const struct lab *lab = run->lab;
	struct policy_input *in;
	int rc = 0;

	*extra = NULL;
	if (!lab->n_policies)
		return 0;
	in = calloc(lab->n_policies, sizeof(*in));
	if (!in) {
		snprintf(why, size, "out of memory");
		return -ENOMEM;
	}
	for (unsigned int i = 0; !rc && i < lab->n_policies; i++) {
		char *text = NULL;

		rc = nsg_read_text(lab->policies[i], &text, &in[i].size);
		in[i].name = lab->policies[i];
		in[i].text = text;
		if (rc)
			snprintf(why, size, "%s: %s", lab->policies[i], strerror(-rc));
	}
	rc = rc ? rc : apply(run, in, extra, why, size);
	for (unsigned int i = 0; i < lab->n_policies; i++)
		free((char *)in[i].text);
	free(in);
	return rc;
}

int run_policy_nic_added(struct run *run, char *why, size_t size)
{
	return policy_set_refresh(run->policy, why, size);
}

void run_policy_nic_gone(struct run *run)
{
	char why[320];

	/* The groups that it was in have one address less: what was let in by it stays so until
	 * then. */
	if (run->state != RUN_STOPPING && policy_set_refresh(run->policy, why, sizeof(why)))
		log_err("after a NIC has gone: %s", why);
}
