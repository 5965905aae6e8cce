/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Feeds what another host may have written into the registry: a key (first byte 0), a host's value
 * (1), a guest's value (2). What is accepted must be as the rest of the daemon relies on it.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "host/fabric_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char text[] = "fabric: {hosts: [{name: h1, address: 192.0.2.1, address6: 'fd99::1'},"
			   " {name: h2, address: 192.0.2.2, address6: 'fd99::2'}]}\n"
			   "networks: [{name: o, mode: vxlan}, {name: r, mode: routed}]\n"
			   "vms: [{name: a, host: h1, nics: []}]\n";

static struct lab *lab_once(void)
{
	static struct lab *lab;
	struct lab_errors errs = {0};
	char why[64];
	int rc;

	if (lab)
		return lab;
	rc = lab_load_text("t.yaml", text, strlen(text), &lab, &errs);
	assert(!rc);
	rc = lab_choose_host(lab, "h1", why, sizeof(why));
	assert(!rc);
	return lab;
}

static void a_key(const struct lab *lab, const char *at, size_t size)
{
	char name[LAB_NAME_MAX + 1] = "";
	struct fabric_guest g = {0};
	int kind = fabric_key_parse(lab, at, size, name, &g);

	if (kind == FABRIC_KEY_HOST)
		assert(*name && strlen(name) <= LAB_NAME_MAX && !strpbrk(name, "/. \n"));
	else if (kind == FABRIC_KEY_GUEST)
		assert(g.net < lab->n_nets && !(g.mac[0] & 1));
	else
		assert(kind == -EINVAL || kind == -ENOENT);
}

static void a_host(const struct lab *lab, const char *at, size_t size)
{
	struct fabric_part parts[2] = {0};
	uint8_t addr[16], addr6[16];
	struct route_prefix whole;
	char why[200] = "";

	if (fabric_host_parse(lab, at, size, addr, addr6, parts, why, sizeof(why))) {
		assert(*why);
		return;
	}
	assert(addr_is_4(addr) && !addr_is_4(addr6));
	assert(!parts[0].has[0] && !parts[0].has[1]);
	for (unsigned int k = 0; k < 2; k++) {
		const struct lab_net *net = &lab_nets_at(lab, -1)[1];

		if (!parts[1].has[k])
			continue;
		assert(!route_prefix_parse(&whole, k ? net->cidr6 : net->cidr4));
		assert(route_prefix_has(&whole, parts[1].prefix[k].addr));
		assert(parts[1].prefix[k].len >= whole.len && parts[1].prefix[k].len <= 128);
	}
}

static void a_guest(const char *at, size_t size)
{
	char host[LAB_NAME_MAX + 1] = "", why[200] = "";
	struct fabric_guest g = {0};

	if (fabric_guest_parse(at, size, host, &g, why, sizeof(why)))
		assert(*why);
	else
		assert(*host && *g.vm && *g.nic);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *at = (const char *)data + 1;
	struct lab *lab = lab_once();

	if (!size)
		return 0;
	if (data[0] % 3 == 0)
		a_key(lab, at, size - 1);
	else if (data[0] % 3 == 1)
		a_host(lab, at, size - 1);
	else
		a_guest(at, size - 1);
	return 0;
}
