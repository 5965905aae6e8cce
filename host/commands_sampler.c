/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the commands of the sampler (docs/protocol.md). */
#include <errno.h>
#include <string.h>

#include "host/run.h"
#include "host/sampler.h"

static const struct arg_spec start_args[] = {
	{.name = "step_us",
	 .type = ARG_INT,
	 .min = SAMPLER_MIN_STEP_US,
	 .max = SAMPLER_MAX_STEP_US,
	 .doc = "between two looks; default 1000"},
	{.name = "max_ms",
	 .type = ARG_INT,
	 .min = 1,
	 .max = SAMPLER_MAX_MS,
	 .doc = "it ends by itself after that; default 60000"},
	{.name = "vnics",
	 .type = ARG_STRINGS,
	 .min = 1,
	 .max = 1024,
	 .doc = "only their ports; default all"},
};

static void start(void *arg, struct control_req *req, const json_t *args)
{
	struct sampler_conf conf = {
		.step_us = (unsigned int)args_int(args, "step_us", 0),
		.max_ms = (unsigned int)args_int(args, "max_ms", 0),
		.vnics = json_object_get(args, "vnics"),
	};
	struct daemon *d = arg;
	json_t *v;
	size_t i;
	int rc;

	if (!d->run) {
		control_fail(req, CTL_INVALID_STATE, "hvlab up FILE starts one", "no lab is up");
		return;
	}
	json_array_foreach (conf.vnics, i, v) {
		if (!run_find_nic(d->run, json_string_value(v))) {
			control_fail(req, CTL_NOT_FOUND, "hvlab status lists them",
				     "no vNIC is called '%.40s'", json_string_value(v));
			return;
		}
	}
	rc = sampler_start(&conf);
	if (rc == -EBUSY)
		control_fail(req, CTL_BUSY, "sampler-stop ends it", "the sampler runs already");
	else if (rc)
		control_fail(req, CTL_SYSTEM_ERROR, NULL, "the sampler does not start: %s",
			     strerror(-rc));
	else
		control_return(req, NULL);
}

static void stop(void *arg, struct control_req *req, const json_t *args)
{
	json_t *o = sampler_stop();

	(void)arg;
	(void)args;
	if (o)
		control_return(req, o);
	else
		control_fail(req, CTL_INVALID_STATE, "sampler-start", "no sampler was started");
}

const struct control_cmd commands_sampler[] = {
	{.name = "sampler-start",
	 .doc = "count what each path carries, step by step",
	 .returns = "{}",
	 .specs = start_args,
	 .n_specs = ARRAY_SIZE(start_args),
	 .fn = start},
	{.name = "sampler-stop",
	 .doc = "end that and give the rows",
	 .returns = "{step_us, start_ns, end_ns, looks, late, longest_ns, cpu_ns, full_ns, "
		    "paths_lost, paths: [{port, since_ns, until_ns, rows}]}",
	 .fn = stop},
	{0},
};
