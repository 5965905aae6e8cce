/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns what ties the fabric to the lab that is up: who is here, and what the ports are told. */
#include "host/run_fabric.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

static void on_event(void *arg, const char *name, json_t *data)
{
	struct run *run = arg;

	control_event(run->d->control, name, data);
}

static void on_changed(void *arg)
{
	struct run *run = arg;

	fabric_net_apply(run->fabric_net, run->fabric);
}

static struct worker *pick(void *arg)
{
	struct run *run = arg;

	return daemon_pick_worker(run->d);
}

int run_fabric_start(struct run *run, char *why, size_t why_size, const char **hint)
{
	struct fabric_net_conf nc = {.lab = run->lab,
				     .base = run->d->base,
				     .vsw = run->d->vsw,
				     .nets = run->nets,
				     .pick = pick,
				     .event = on_event,
				     .arg = run};
	struct fabric_conf fc = {.base = run->d->base,
				 .lab = run->lab,
				 .changed = on_changed,
				 .event = on_event,
				 .arg = run};

	*hint = NULL;
	if (!run->lab->fabric.on)
		return 0;
	run->fabric_net = fabric_net_new(&nc, why, why_size, hint);
	if (!run->fabric_net)
		return -errno;
	run->fabric = fabric_new(&fc);
	if (!run->fabric) {
		snprintf(why, why_size, "fabric: %s", strerror(errno));
		return -errno;
	}
	run_fabric_announce(run);
	return 0;
}

void run_fabric_announce(struct run *run)
{
	struct fabric_guest *own;
	unsigned int n = 0;

	if (!run->fabric)
		return;
	own = calloc((size_t)run->lab->n_vms * LAB_VM_NICS + 1, sizeof(*own));
	for (unsigned int v = 0; own && v < run->lab->n_vms; v++)
		for (unsigned int k = 0; k < LAB_VM_NICS; k++) {
			const struct run_nic *rn = &run->vms[v].nics[k];
			struct fabric_guest *g = &own[n];

			if (!rn->vnic)
				continue;
			g->net = rn->lab->net;
			memcpy(g->mac, rn->lab->mac, sizeof(g->mac));
			snprintf(g->vm, sizeof(g->vm), "%s", run->lab->vms[v].name);
			snprintf(g->nic, sizeof(g->nic), "%s", rn->lab->name);
			snprintf(g->ip4, sizeof(g->ip4), "%s", rn->lab->ip4);
			snprintf(g->ip6, sizeof(g->ip6), "%s", rn->lab->ip6);
			n++;
		}
	if (!own || fabric_announce(run->fabric, own, n))
		log_err("fabric: out of memory: other hosts are not told of a change");
	free(own);
}

void run_fabric_leave(struct run *run)
{
	fabric_leave(run->fabric);
}

void run_fabric_free(struct run *run)
{
	fabric_free(run->fabric);
	fabric_net_free(run->fabric_net);
	run->fabric = NULL;
	run->fabric_net = NULL;
}

json_t *run_fabric_json(const struct run *run, bool guests)
{
	json_t *o, *nets;

	if (!run->fabric)
		return NULL;
	o = fabric_json(run->fabric, guests);
	nets = fabric_net_json(run->fabric_net);
	json_object_update(o, nets);
	json_decref(nets);
	return o;
}
