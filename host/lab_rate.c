/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns what bandwidths of a lab fit together. */
#include "host/lab_rate.h"

#include <stdio.h>
#include <string.h>

/* Absolute minima of the NICs of a network, but for one. */
static uint64_t minima(const struct lab *lab, const struct lab_vm *vm, const char *nic,
		       unsigned int net)
{
	uint64_t sum = 0;

	for (unsigned int v = 0; v < lab->n_vms; v++) {
		const struct lab_vm *o = &lab->vms[v];

		for (unsigned int i = 0; i < o->n_nics; i++)
			if (o->nics[i].net == net &&
			    (strcmp(o->name, vm->name) || strcmp(o->nics[i].name, nic)))
				sum += o->nics[i].features.min_mbps;
	}
	return sum;
}

const char *lab_rate_check(const struct lab *lab, const struct lab_vm *vm, const char *nic,
			   unsigned int net, const struct lab_features *f, const char **key,
			   char *why, size_t why_size)
{
	const struct lab_net *n = &lab->nets[net];
	uint64_t others;

	*key = f->min_mbps ? "min_mbps" : "min_weight";
	if ((f->min_mbps || f->min_weight) && !n->mbps) {
		snprintf(why, why_size, "network %s has no bandwidth to have a part of", n->name);
		return "give the network mbps in the lab file";
	}
	if (f->max_mbps && f->min_mbps > f->max_mbps) {
		snprintf(why, why_size, "a minimum of %u Mbit/s is more than the maximum of %u",
			 f->min_mbps, f->max_mbps);
		return "lower min_mbps or raise max_mbps";
	}
	others = f->min_mbps ? minima(lab, vm, nic, net) : 0;
	if (f->min_mbps && others + f->min_mbps > n->mbps) {
		snprintf(why, why_size,
			 "%u Mbit/s do not fit: network %s has %u, of which %llu are promised",
			 f->min_mbps, n->name, n->mbps, (unsigned long long)others);
		return "lower the minima of its NICs or raise the network's mbps";
	}
	return NULL;
}
