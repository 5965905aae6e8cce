/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the command about the fabric (docs/protocol.md). */
#include "host/commands_util.h"
#include "host/run_fabric.h"

static const struct arg_spec fabric_args[] = {
	{.name = "guests", .type = ARG_BOOL, .doc = "with all guests; default true"},
};

static void query_fabric(void *arg, struct control_req *req, const json_t *args)
{
	struct run *run = need_lab(arg, req);
	json_t *o = run ? run_fabric_json(run, args_bool(args, "guests", true)) : NULL;

	if (!run)
		return;
	if (o)
		control_return(req, o);
	else
		control_fail(req, CTL_INVALID_STATE,
			     "a lab file with the key fabric spreads a lab over hosts",
			     "lab %s has no fabric", run->lab->name);
}

const struct control_cmd commands_fabric[] = {
	{.name = "query-fabric",
	 .doc = "hosts, the registry, which guest is behind which host",
	 .returns = "{host, registry, state, ..., hosts, networks, tunnel, guests}",
	 .specs = fabric_args,
	 .n_specs = ARRAY_SIZE(fabric_args),
	 .fn = query_fabric},
	{0},
};
