/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns who gets which address. A NIC's host number is the same in both families: the first NIC on a
 * network in the order of the file has number 4 (a cloud keeps the first three for itself), the
 * next 5, and so on; numbers that a given address uses up are left out. Subnets of fewer than 16
 * addresses start at 1.
 */
#include "host/lab_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/lab_addr.h"

#define FIRST_HOST	4
#define SMALL_HOST_BITS 4    /* below this many host bits, host numbers start at 1 */
#define TOP_MAX		4094 /* looking from above for a free number starts here in a large subnet */

/* ---- addresses of NICs ---- */

static char *nic_ip(struct lab_nic *nic, int family, socklen_t *size)
{
	*size = family == AF_INET ? sizeof(nic->ip4) : sizeof(nic->ip6);
	return family == AF_INET ? nic->ip4 : nic->ip6;
}

static const char *file_ip(const struct file_lab *f, unsigned int v, unsigned int i, int family)
{
	if (!f->vms[v].nics)
		return NULL;
	return family == AF_INET ? f->vms[v].nics[i].ip : f->vms[v].nics[i].ip6;
}

/* Who before vms[v].nics[i] has the address, for the message; NULL: nobody. */
static struct lab_vm *taken(struct lab *lab, unsigned int v, unsigned int i, int family,
			    const char *ip, struct lab_nic **who)
{
	unsigned int net = lab->vms[v].nics[i].net;
	socklen_t size;

	for (unsigned int ov = 0; ov <= v; ov++)
		for (unsigned int oi = 0; oi < lab->vms[ov].n_nics; oi++) {
			struct lab_nic *o = &lab->vms[ov].nics[oi];

			if (ov == v && oi == i)
				return NULL;
			if (o->net == net && strcmp(nic_ip(o, family, &size), ip) == 0) {
				*who = o;
				return &lab->vms[ov];
			}
		}
	return NULL;
}

static void check_ip(struct lab_doc *ld, struct lab *lab, unsigned int v, unsigned int i,
		     int family, const char *text)
{
	struct lab_path path =
		lab_path("vms[%u].nics[%u].ip%s", v, i, family == AF_INET ? "" : "6");
	struct lab_nic *nic = &lab->vms[v].nics[i], *who;
	const struct lab_net *net = &lab->nets[nic->net];
	struct lab_subnet s = lab_subnet_of(net, family);
	const char *cidr = family == AF_INET ? net->cidr4 : net->cidr6;
	const struct lab_vm *owner;
	char remedy[128];
	struct lab_addr a;
	socklen_t size;
	char *ip = nic_ip(nic, family, &size);
	uint64_t host;

	if (strchr(text, '/')) {
		lab_doc_error(ld, path.s, "write the address alone",
			      "\"%s\" has a prefix length, which is the network's", text);
		return;
	}
	if (lab_addr_parse(family, text, &a) < 0) {
		lab_doc_error(ld, path.s, "write an address, or none",
			      "\"%s\" is not an IPv%d address", text, family == AF_INET ? 4 : 6);
		return;
	}
	if (!s.on) {
		lab_doc_error(ld, path.s, "give the network a subnet, or remove this key",
			      "network %s has no IPv%d subnet", net->name,
			      family == AF_INET ? 4 : 6);
		return;
	}
	if (!lab_addr_same_net(&a, &s.addr, s.bits)) {
		snprintf(remedy, sizeof(remedy), "choose one in %s", cidr);
		lab_doc_error(ld, path.s, remedy, "%s is not in the subnet of network %s", text,
			      net->name);
		return;
	}
	host = lab_addr_low(&a, s.bits);
	if (lab_addr_low_is_zero(&a, s.bits) ||
	    (family == AF_INET && host == (1ull << s.bits) - 1)) {
		lab_doc_error(ld, path.s, "choose one between them", "%s is the %s address of %s",
			      text, host ? "broadcast" : "network's own", cidr);
		return;
	}
	if (family == AF_INET6 && nic->mtu < IPV6_MIN_MTU)
		lab_doc_error(ld, path.s, "raise the mtu to 1280, or remove this key",
			      "IPv6 needs an MTU of 1280 and this NIC has %u", nic->mtu);
	lab_addr_print(family, &a, ip, size);
	if (net->mode == LAB_MODE_ROUTED &&
	    !strcmp(ip, family == AF_INET ? net->gateway4 : net->gateway6))
		lab_doc_error(ld, path.s, "choose another, or leave the key out",
			      "%s is the address of network %s's router", ip, net->name);
	if (!strcmp(ip, family == AF_INET ? net->uplink.ip4 : net->uplink.ip6))
		lab_doc_error(ld, path.s, "choose another, or leave the key out",
			      "%s is the address of network %s's uplink", ip, net->name);
	owner = taken(lab, v, i, family, ip, &who);
	if (owner)
		lab_doc_error(ld, path.s, "choose another, or leave the key out",
			      "%s is already the address of %s/%s", ip, owner->name, who->name);
}

/* Is it that of the services, of any host that shares the network? */
static bool is_service(const struct lab *lab, unsigned int n, int family, const char *text)
{
	int hosts = lab->fabric.on ? (int)lab->fabric.n_hosts : 0;

	for (int h = -1; h < hosts; h++) {
		const struct lab_net *net = &lab_nets_at(lab, h)[n];

		if (!strcmp(text, family == AF_INET ? net->service4 : net->service6))
			return true;
	}
	return false;
}

/* Is it this host's own, on an internal network? */
static bool is_uplink(const struct lab_net *net, int family, const char *text)
{
	return !strcmp(text, family == AF_INET ? net->uplink.ip4 : net->uplink.ip6);
}

/* Is the address with this host number a NIC's, the gateway's, the services' or the uplink's? */
static bool host_taken(struct lab *lab, unsigned int n, int family, uint64_t host)
{
	const struct lab_net *net = &lab->nets[n];
	struct lab_subnet s = lab_subnet_of(net, family);
	struct lab_addr a = lab_addr_with_low(s.addr, s.bits, host);
	char text[INET6_ADDRSTRLEN];
	socklen_t size;

	if (!s.on)
		return false;
	lab_addr_print(family, &a, text, sizeof(text));
	if (is_service(lab, n, family, text) || is_uplink(net, family, text) ||
	    !strcmp(text, family == AF_INET ? net->gateway4 : net->gateway6))
		return true;
	for (unsigned int v = 0; v < lab->n_all; v++)
		for (unsigned int i = 0; i < lab->vms[v].n_nics; i++) {
			struct lab_nic *nic = &lab->vms[v].nics[i];

			if (nic->net == n && !strcmp(nic_ip(nic, family, &size), text))
				return true;
		}
	return false;
}

/* In either family: a NIC has the same number in both. */
static bool host_used(struct lab *lab, unsigned int net, uint64_t host)
{
	return host_taken(lab, net, AF_INET, host) || host_taken(lab, net, AF_INET6, host);
}

/* True when a NIC is to be given an address of this family. */
static bool wants(const struct file_lab *f, const struct lab *lab, unsigned int v, unsigned int i,
		  int family)
{
	const struct lab_nic *nic = &lab->vms[v].nics[i];
	const struct lab_net *net = &lab->nets[nic->net];

	if (file_ip(f, v, i, family))
		return false;
	return family == AF_INET ? net->has4 : net->has6 && nic->mtu >= IPV6_MIN_MTU;
}

static bool host_fits(const struct lab_net *net, int family, uint64_t host)
{
	struct lab_subnet s = lab_subnet_of(net, family);

	return s.bits >= 63 || host < (1ull << s.bits) - (family == AF_INET ? 1 : 0);
}

static void set_host(struct lab *lab, struct lab_nic *nic, int family, uint64_t host)
{
	struct lab_subnet s = lab_subnet_of(&lab->nets[nic->net], family);
	struct lab_addr a = lab_addr_with_low(s.addr, s.bits, host);
	socklen_t size;
	char *ip = nic_ip(nic, family, &size);

	lab_addr_print(family, &a, ip, size);
}

static uint64_t first_host(const struct lab_net *net)
{
	struct lab_subnet s4 = lab_subnet_of(net, AF_INET), s6 = lab_subnet_of(net, AF_INET6);

	if ((s4.on && s4.bits < SMALL_HOST_BITS) || (s6.on && s6.bits < SMALL_HOST_BITS))
		return 1;
	return FIRST_HOST;
}

static void too_small(struct lab_doc *ld, const struct lab *lab, unsigned int n, int family)
{
	const struct lab_net *net = &lab->nets[n];
	struct lab_path path = lab_path("networks[%u].subnet%s", n, family == AF_INET ? "" : "6");
	unsigned int guests = 0;

	for (unsigned int v = 0; v < lab->n_all; v++)
		for (unsigned int i = 0; i < lab->vms[v].n_nics; i++)
			guests += lab->vms[v].nics[i].net == n;
	lab_doc_error(ld, path.s, "use a shorter prefix length, or fewer NICs on this network",
		      "%s is too small for the %u NICs on network %s",
		      family == AF_INET ? net->cidr4 : net->cidr6, guests, net->name);
}

/* @h: only NICs of that host's guests, -1: all. */
static void assign_net(struct lab_doc *ld, const struct file_lab *f, struct lab *lab,
		       unsigned int n, int h)
{
	static const int families[] = {AF_INET, AF_INET6};
	uint64_t host = first_host(&lab->nets[n]);
	bool full[2] = {false, false};

	for (unsigned int v = 0; v < lab->n_all; v++)
		for (unsigned int i = 0; i < lab->vms[v].n_nics; i++) {
			struct lab_nic *nic = &lab->vms[v].nics[i];

			if (nic->net != n || (h >= 0 && (int)lab->vms[v].host != h) ||
			    (!wants(f, lab, v, i, AF_INET) && !wants(f, lab, v, i, AF_INET6)))
				continue;
			while (host_used(lab, n, host))
				host++;
			for (unsigned int k = 0; k < 2; k++) {
				if (!wants(f, lab, v, i, families[k]))
					continue;
				if (host_fits(&lab->nets[n], families[k], host))
					set_host(lab, nic, families[k], host);
				else if (!full[k])
					too_small(ld, lab, n, families[k]);
				full[k] |= !host_fits(&lab->nets[n], families[k], host);
			}
			host++;
		}
}

/*
 * The services' own address: host number 2, 3 or 1, which no guest gets by itself; in a subnet so
 * small that guests get those too, the last that is free.
 */
static void give_service(struct lab *lab, unsigned int n, int family)
{
	static const uint64_t wanted[] = {2, 3, 1};
	struct lab_net *net = &lab->nets[n];
	struct lab_subnet s = lab_subnet_of(net, family);
	uint64_t host = 0, top = s.bits >= 12 ? TOP_MAX : (1ull << s.bits) - 1;
	struct lab_addr a;

	if (!s.on)
		return;
	for (unsigned int i = 0; s.bits >= SMALL_HOST_BITS && !host && i < ARRAY_SIZE(wanted); i++)
		if (!host_taken(lab, n, family, wanted[i]))
			host = wanted[i];
	for (; !host && top; top--)
		if (host_fits(net, family, top) && !host_taken(lab, n, family, top))
			host = top;
	if (!host)
		return;
	a = lab_addr_with_low(s.addr, s.bits, host);
	if (family == AF_INET)
		lab_addr_print(family, &a, net->service4, sizeof(net->service4));
	else
		lab_addr_print(family, &a, net->service6, sizeof(net->service6));
}

static void check_given_ips(struct lab_doc *ld, const struct file_lab *f, struct lab *lab,
			    unsigned int v)
{
	for (unsigned int i = 0; i < lab->vms[v].n_nics; i++)
		for (unsigned int k = 0; k < 2; k++) {
			int family = k ? AF_INET6 : AF_INET;
			const char *text = file_ip(f, v, i, family);

			if (text && strcmp(text, "none") != 0)
				check_ip(ld, lab, v, i, family, text);
		}
}

static void give_services(struct lab *lab)
{
	for (unsigned int n = 0; n < lab->n_nets; n++) {
		if (!lab->nets[n].dhcp)
			continue;
		give_service(lab, n, AF_INET);
		give_service(lab, n, AF_INET6);
	}
}

void lab_assign_addresses(struct lab_doc *ld, const struct file_lab *f, struct lab *lab)
{
	int hosts = lab->fabric.on ? (int)lab->fabric.n_hosts : 0;

	for (unsigned int v = 0; v < lab->n_all; v++) {
		lab_view(lab, hosts ? (int)lab->vms[v].host : -1);
		check_given_ips(ld, f, lab, v);
	}
	lab_view(lab, -1);
	for (unsigned int n = 0; n < lab->n_nets; n++) {
		bool routed = hosts && lab->nets[n].mode == LAB_MODE_ROUTED;

		for (int h = routed ? 0 : -1; h < (routed ? hosts : 0); h++) {
			lab_view(lab, h);
			assign_net(ld, f, lab, n, h);
		}
		lab_view(lab, -1);
	}
	if (!hosts)
		give_services(lab);
	for (int h = 0; h < hosts; h++) {
		lab_view(lab, h);
		give_services(lab);
	}
	lab_view(lab, -1);
}

/* ---- a NIC more ---- */

static bool address_taken(struct lab *lab, const struct lab_nic *nic, int family, const char *ip)
{
	socklen_t size;

	for (unsigned int v = 0; v < lab->n_all; v++)
		for (unsigned int i = 0; i < lab->vms[v].n_nics; i++) {
			struct lab_nic *o = &lab->vms[v].nics[i];

			if (o->net == nic->net && !strcmp(nic_ip(o, family, &size), ip))
				return true;
		}
	return false;
}

static int give_address(struct lab *lab, struct lab_nic *nic, int family, const char *text,
			uint64_t host, char *why, size_t why_size)
{
	const struct lab_net *net = &lab->nets[nic->net];
	struct lab_subnet s = lab_subnet_of(net, family);
	int version = family == AF_INET ? 4 : 6;
	struct lab_addr a;
	socklen_t size;
	char *ip = nic_ip(nic, family, &size);

	ip[0] = '\0';
	if (text && !strcmp(text, "none"))
		return 0;
	if (!text) {
		if (!s.on || (family == AF_INET6 && nic->mtu < IPV6_MIN_MTU))
			return 0;
		if (!host_fits(net, family, host)) {
			snprintf(why, why_size, "no IPv%d address is left on network %s", version,
				 net->name);
			return -ENOSPC;
		}
		set_host(lab, nic, family, host);
		return 0;
	}
	if (lab_addr_parse(family, text, &a) < 0) {
		snprintf(why, why_size, "\"%.60s\" is not an IPv%d address", text, version);
		return -EINVAL;
	}
	if (lab_subnet_no_host(&s, &a)) {
		snprintf(why, why_size, "%s is no host's address on network %s", text, net->name);
		return -EINVAL;
	}
	if (family == AF_INET6 && nic->mtu < IPV6_MIN_MTU) {
		snprintf(why, why_size, "IPv6 needs an MTU of 1280 and this NIC has %u", nic->mtu);
		return -EINVAL;
	}
	lab_addr_print(family, &a, ip, size);
	if (address_taken(lab, nic, family, ip)) {
		snprintf(why, why_size, "%s is another NIC's address", ip);
		return -EEXIST;
	}
	if (is_service(lab, nic->net, family, ip)) {
		snprintf(why, why_size, "%s is the address of network %s's services", ip,
			 net->name);
		return -EEXIST;
	}
	if (is_uplink(net, family, ip)) {
		snprintf(why, why_size, "%s is the address of network %s's uplink", ip, net->name);
		return -EEXIST;
	}
	if (net->mode == LAB_MODE_ROUTED &&
	    !strcmp(ip, family == AF_INET ? net->gateway4 : net->gateway6)) {
		snprintf(why, why_size, "%s is the address of network %s's router", ip, net->name);
		return -EEXIST;
	}
	return 0;
}

/*
 * Hosts that share a network number what is added later without asking each other: each has the
 * numbers whose remainder by the count of hosts is its own.
 */
static bool is_others(const struct lab *lab, unsigned int n, uint64_t host)
{
	return lab->here >= 0 && lab->nets[n].mode != LAB_MODE_ROUTED &&
	       host % lab->fabric.n_hosts != (unsigned int)lab->here;
}

int lab_give_addresses(struct lab *lab, struct lab_nic *nic, const char *ip4, const char *ip6,
		       char *why, size_t why_size)
{
	uint64_t host = first_host(&lab->nets[nic->net]);
	int rc;

	while (host_used(lab, nic->net, host) || is_others(lab, nic->net, host))
		host++;
	rc = give_address(lab, nic, AF_INET, ip4, host, why, why_size);
	return rc ? rc : give_address(lab, nic, AF_INET6, ip6, host, why, why_size);
}
