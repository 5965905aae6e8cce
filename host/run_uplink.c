/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the uplinks of the lab that is up. */
#include "host/run_uplink.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static void on_event(void *arg, const char *name, json_t *data)
{
	const struct run *run = arg;

	control_event(run->d->control, name, data);
}

int run_uplinks_start(struct run *run, char *why, size_t size)
{
	char reason[300];

	run->uplinks = calloc(run->lab->n_nets, sizeof(struct uplink *));
	if (!run->uplinks) {
		snprintf(why, size, "out of memory");
		return -ENOMEM;
	}
	for (unsigned int i = 0; i < run->lab->n_nets; i++) {
		const struct lab_net *net = &run->lab->nets[i];
		struct uplink_conf uc = {.lab = run->lab,
					 .net = net,
					 .base = run->d->base,
					 .port_net = run->nets[i],
					 .worker = daemon_pick_worker(run->d),
					 .event = on_event,
					 .arg = run};

		if (net->type == LAB_NET_PRIVATE)
			continue;
		run->uplinks[i] = uplink_start(&uc, reason, sizeof(reason));
		if (!run->uplinks[i]) {
			int rc = -errno;

			snprintf(why, size, "network %s: %s", net->name, reason);
			return rc;
		}
	}
	return 0;
}

void run_uplinks_stop(struct run *run)
{
	for (unsigned int i = 0; run->uplinks && i < run->lab->n_nets; i++)
		uplink_stop(run->uplinks[i]);
	free(run->uplinks);
	run->uplinks = NULL;
}

json_t *run_uplink_json(const struct run *run, unsigned int i)
{
	return uplink_json(run->uplinks ? run->uplinks[i] : NULL);
}

json_t *run_uplinks_stats_json(const struct run *run)
{
	json_t *list = json_array();

	for (unsigned int i = 0; run && run->uplinks && i < run->lab->n_nets; i++)
		if (run->uplinks[i])
			json_array_append_new(list, uplink_stats_json(run->uplinks[i]));
	return list;
}
