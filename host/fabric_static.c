/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the static registry: the lab file says which guest lives behind which host. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/fabric_internal.h"

static int put_host(struct fabric *f, const struct lab *lab, unsigned int h,
		    struct fabric_part *parts)
{
	const struct lab_host *host = &lab->fabric.hosts[h];
	uint8_t addr[16], addr6[16];
	int rc = fabric_addr_parse(addr, host->address);

	memset(parts, 0, lab->n_nets * sizeof(*parts));
	fabric_lab_addr6(host, addr6);
	fabric_lab_parts(lab, h, parts);
	return rc ? rc : fabric_host_put(f, host->name, addr, addr6, parts, FABRIC_HOST_ASSUMED, 0);
}

static int put_guests(struct fabric *f, const struct lab *lab)
{
	int rc = 0;

	for (unsigned int v = lab->n_vms; v < lab->n_all; v++)
		for (unsigned int i = 0; !rc && i < lab->vms[v].n_nics; i++) {
			const struct lab_nic *nic = &lab->vms[v].nics[i];
			struct fabric_guest g = {.net = nic->net};

			memcpy(g.mac, nic->mac, sizeof(g.mac));
			snprintf(g.vm, sizeof(g.vm), "%s", lab->vms[v].name);
			snprintf(g.nic, sizeof(g.nic), "%s", nic->name);
			snprintf(g.ip4, sizeof(g.ip4), "%s", nic->ip4);
			snprintf(g.ip6, sizeof(g.ip6), "%s", nic->ip6);
			rc = fabric_guest_put(f, &g, lab->fabric.hosts[lab->vms[v].host].name);
		}
	return rc;
}

static int start(struct fabric *f)
{
	const struct lab *lab = fabric_conf(f)->lab;
	struct fabric_part *parts = calloc(lab->n_nets, sizeof(*parts));
	int rc = parts ? 0 : -ENOMEM;

	for (unsigned int h = 0; !rc && h < lab->fabric.n_hosts; h++)
		if ((int)h != lab->here)
			rc = put_host(f, lab, h, parts);
	free(parts);
	return rc ? rc : put_guests(f, lab);
}

static void leave(struct fabric *f)
{
	(void)f;
}

static void stop(struct fabric *f)
{
	(void)f;
}

static void announce(struct fabric *f)
{
	(void)f;
}

static json_t *json(const struct fabric *f)
{
	(void)f;
	return json_object();
}

const struct fabric_registry fabric_static = {
	.start = start, .leave = leave, .stop = stop, .announce = announce, .json = json};
