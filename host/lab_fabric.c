/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the machines that a lab is spread over: their names and addresses, the registry, and which
 * VM runs where. The networks' modes are in lab_mode.c.
 */
#include "host/lab_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/lab_addr.h"

#define PORT_MAX    65535
#define LEASE_MIN   2 /* s: etcd's own least is the election timeout, 1 s and a half of it */
#define LEASE_MAX   3600
#define MTU_DEFAULT 1500
#define MTU_MIN	    1280

static const char *const registries[] = {
	[LAB_REGISTRY_STATIC] = "static",
	[LAB_REGISTRY_ETCD] = "etcd",
};
static_assert(ARRAY_SIZE(registries) == LAB_N_REGISTRIES, "every registry has a name");

const char *lab_registry_name(enum lab_registry r)
{
	return registries[r];
}

static int find_host(const struct lab *lab, const char *name)
{
	for (unsigned int h = 0; h < lab->fabric.n_hosts; h++)
		if (!strcmp(lab->fabric.hosts[h].name, name))
			return (int)h;
	return -ENOENT;
}

/* ---- hosts ---- */

/* Can packets of another machine go there? */
static bool is_reachable(int family, const struct lab_addr *a)
{
	static const struct {
		int family;
		const char *net;
		unsigned int bits;
	} no[] = {
		{AF_INET, "0.0.0.0", 24},   {AF_INET, "127.0.0.0", 24}, {AF_INET, "224.0.0.0", 28},
		{AF_INET, "240.0.0.0", 28}, {AF_INET6, "::", 120},	{AF_INET6, "fe80::", 118},
		{AF_INET6, "ff00::", 120},
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(no); i++) {
		struct lab_addr net;

		lab_addr_parse(no[i].family, no[i].net, &net);
		if (family == no[i].family && lab_addr_same_net(a, &net, no[i].bits))
			return false;
	}
	return true;
}

static void check_address(struct lab_doc *ld, unsigned int h, const char *text, struct lab *lab)
{
	struct lab_path path = lab_path("fabric.hosts[%u].address", h);
	struct lab_host *host = &lab->fabric.hosts[h];
	struct lab_addr a;

	host->family = strchr(text, ':') ? AF_INET6 : AF_INET;
	if (lab_addr_parse(host->family, text, &a) < 0) {
		lab_doc_error(ld, path.s, "write the address at which the other hosts reach it",
			      "\"%s\" is not an IP address", text);
		return;
	}
	lab_addr_print(host->family, &a, host->address, sizeof(host->address));
	if (!is_reachable(host->family, &a))
		lab_doc_error(ld, path.s, "write an address of one of its own interfaces",
			      "other hosts cannot reach %s", text);
	if (host->family != lab->fabric.hosts[0].family)
		lab_doc_error(ld, path.s, "give all hosts addresses of one family",
			      "%s is IPv%d and the address of %s is IPv%d", text,
			      host->family == AF_INET ? 4 : 6, lab->fabric.hosts[0].name,
			      host->family == AF_INET ? 6 : 4);
	for (unsigned int o = 0; o < h; o++)
		if (!strcmp(lab->fabric.hosts[o].address, host->address))
			lab_doc_error(ld, path.s, "give each host its own",
				      "%s is already the address of %s (line %u)", text,
				      lab->fabric.hosts[o].name,
				      lab_doc_line(ld, lab_path("fabric.hosts[%u].address", o).s));
}

static void check_address6(struct lab_doc *ld, unsigned int h, const char *text, struct lab *lab)
{
	struct lab_path path = lab_path("fabric.hosts[%u].address6", h);
	struct lab_host *host = &lab->fabric.hosts[h];
	struct lab_addr a;

	if (!text)
		return;
	if (host->family == AF_INET6)
		lab_doc_error(ld, path.s, "remove this key", "the host's address is IPv6 already");
	else if (lab_addr_parse(AF_INET6, text, &a) < 0 || !is_reachable(AF_INET6, &a))
		lab_doc_error(ld, path.s,
			      "write an address of the interface that has the other one",
			      "\"%s\" is no IPv6 address that other hosts reach", text);
	else
		lab_addr_print(AF_INET6, &a, host->address6, sizeof(host->address6));
	for (unsigned int o = 0; o < h && *host->address6; o++)
		if (!strcmp(lab->fabric.hosts[o].address6, host->address6))
			lab_doc_error(ld, path.s, "give each host its own",
				      "%s is already the address6 of %s", text,
				      lab->fabric.hosts[o].name);
}

static int check_hosts(struct lab_doc *ld, const struct file_fabric *f, struct lab *lab)
{
	struct lab_fabric *fb = &lab->fabric;

	fb->hosts = calloc(f->hosts_count, sizeof(*fb->hosts));
	if (!fb->hosts)
		return -ENOMEM;
	for (unsigned int h = 0; h < f->hosts_count; h++) {
		struct lab_path path = lab_path("fabric.hosts[%u].name", h);
		const char *name = f->hosts[h].name;
		int other = find_host(lab, name);

		if (lab_check_name(ld, path.s, "the host's name", name, LAB_NAME_MAX) && other >= 0)
			lab_doc_error(ld, path.s, "give each host a name of its own",
				      "the host name \"%s\" is taken (line %u)", name,
				      lab_doc_line(ld, lab_path("fabric.hosts[%d].name", other).s));
		snprintf(fb->hosts[h].name, sizeof(fb->hosts[h].name), "%.*s", LAB_NAME_MAX, name);
		fb->n_hosts = h + 1;
		check_address(ld, h, f->hosts[h].address, lab);
		check_address6(ld, h, f->hosts[h].address6, lab);
	}
	if (!f->host)
		return 0;
	if (find_host(lab, f->host) < 0)
		lab_doc_error(ld, "fabric.host", "name one of fabric.hosts, or use hvlab up --host",
			      "there is no host \"%s\"", f->host);
	snprintf(fb->host, sizeof(fb->host), "%.*s", LAB_NAME_MAX, f->host);
	return 0;
}

/* ---- etcd ---- */

/* http://HOST:PORT, HOST being a name, an IPv4 address, or an IPv6 one in brackets. */
static bool is_endpoint(const char *url)
{
	const char *at = url + 7, *end, *port;

	if (strncmp(url, "http://", 7) != 0)
		return false;
	if (*at == '[') {
		end = strchr(at, ']');
		if (!end++ || strspn(at + 1, "0123456789abcdefABCDEF:.") != (size_t)(end - at) - 2)
			return false;
	} else {
		end = at + strspn(at, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789.-");
		if (end == at)
			return false;
	}
	if (*end != ':')
		return false;
	port = end + 1;
	return *port && strlen(port) <= 5 && strspn(port, "0123456789") == strlen(port) &&
	       atoi(port) >= 1 && atoi(port) <= PORT_MAX;
}

static void check_endpoints(struct lab_doc *ld, const struct file_etcd *f, struct lab_etcd *etcd)
{
	for (unsigned int i = 0; i < f->endpoints_count; i++) {
		struct lab_path path = lab_path("fabric.etcd.endpoints[%u]", i);
		const char *url = f->endpoints[i];

		if (!strncmp(url, "https://", 8))
			lab_doc_error(ld, path.s,
				      "write http:// and protect the way to it, for instance by "
				      "a TLS proxy on this machine",
				      "TLS to etcd is not possible");
		else if (strlen(url) > LAB_URL_MAX || !is_endpoint(url))
			lab_doc_error(ld, path.s, "write it like http://192.0.2.9:2379",
				      "\"%.128s\" is not an etcd endpoint", url);
		else
			snprintf(etcd->endpoints[etcd->n_endpoints++], LAB_URL_MAX + 1, "%s", url);
	}
}

static void check_prefix(struct lab_doc *ld, const char *prefix, struct lab_etcd *etcd)
{
	size_t len = strlen(prefix);

	if (len > LAB_ETCD_PREFIX_MAX || *prefix != '/' || len < 2 || prefix[len - 1] == '/' ||
	    strspn(prefix, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./") !=
		    len)
		lab_doc_error(ld, "fabric.etcd.prefix",
			      "write it like /hvlab/fleet, with at most 127 characters",
			      "\"%.128s\" cannot be the beginning of keys", prefix);
	else
		snprintf(etcd->prefix, sizeof(etcd->prefix), "%s", prefix);
}

static int check_user(struct lab_doc *ld, const struct file_etcd *f, const char *dir,
		      struct lab_etcd *etcd)
{
	if (!f->user != !f->password_file) {
		lab_doc_error(ld, f->user ? "fabric.etcd.user" : "fabric.etcd.password_file",
			      f->user ? "add password_file: FILE" : "add user: NAME",
			      "a user and a password_file belong together");
		return 0;
	}
	if (!f->user)
		return 0;
	if (!*f->user || strlen(f->user) >= sizeof(etcd->user))
		lab_doc_error(ld, "fabric.etcd.user", "write an etcd user's name",
			      "the user's name must have 1 to %zu characters",
			      sizeof(etcd->user) - 1);
	snprintf(etcd->user, sizeof(etcd->user), "%.63s", f->user);
	return lab_absolute(dir, f->password_file, &etcd->password_file);
}

static int check_etcd(struct lab_doc *ld, const struct file_fabric *f, const char *dir,
		      struct lab *lab)
{
	struct lab_etcd *etcd = &lab->fabric.etcd;

	if (lab->fabric.registry == LAB_REGISTRY_STATIC) {
		if (f->etcd)
			lab_doc_error(ld, "fabric.etcd", "write registry: etcd, or remove this key",
				      "etcd is described, but the registry is static");
		return 0;
	}
	if (!f->etcd) {
		lab_doc_error(ld, "fabric.registry",
			      "add \"etcd: {endpoints: ['http://ADDRESS:2379']}\"",
			      "the registry is etcd, but there is no key fabric.etcd");
		return 0;
	}
	check_endpoints(ld, f->etcd, etcd);
	snprintf(etcd->prefix, sizeof(etcd->prefix), "/hvlab/%s", lab->name);
	if (f->etcd->prefix)
		check_prefix(ld, f->etcd->prefix, etcd);
	etcd->lease_seconds =
		lab_check_range(ld, "fabric.etcd.lease_seconds", f->etcd->lease_seconds, LEASE_MIN,
				LEASE_MAX, LAB_LEASE_DEFAULT, " seconds");
	return check_user(ld, f->etcd, dir, etcd);
}

int lab_check_fabric(struct lab_doc *ld, const struct file_lab *f, const char *dir, struct lab *lab)
{
	struct lab_fabric *fb = &lab->fabric;
	int rc;

	lab->here = -1;
	if (!f->fabric)
		return 0;
	fb->on = true;
	fb->registry = f->fabric->registry ? *f->fabric->registry : LAB_REGISTRY_STATIC;
	fb->mtu = lab_check_range(ld, "fabric.mtu", f->fabric->mtu, MTU_MIN, LAB_MTU_MAX,
				  MTU_DEFAULT, "");
	fb->port = lab_check_range(ld, "fabric.port", f->fabric->port, 1, PORT_MAX, LAB_VXLAN_PORT,
				   "");
	rc = check_hosts(ld, f->fabric, lab);
	return rc ? rc : check_etcd(ld, f->fabric, dir, lab);
}

/* ---- who runs where ---- */

static void host_words(const struct lab *lab, char *out, size_t size)
{
	size_t len = 0;

	out[0] = '\0';
	for (unsigned int h = 0; h < lab->fabric.n_hosts && len < size; h++)
		len += (size_t)snprintf(out + len, size - len, "%s%s", h ? ", " : "",
					lab->fabric.hosts[h].name);
}

void lab_check_vm_host(struct lab_doc *ld, unsigned int v, const char *host, struct lab *lab,
		       struct lab_vm *vm)
{
	struct lab_path path = lab_path("vms[%u].host", v);
	char words[160], remedy[200];
	int h;

	if (!lab->fabric.on) {
		if (host)
			lab_doc_error(ld, path.s, "add fabric: with its hosts, or remove this key",
				      "the lab has no hosts to choose from");
		return;
	}
	host_words(lab, words, sizeof(words));
	snprintf(remedy, sizeof(remedy), "write host: and one of: %s", words);
	if (!host) {
		if (lab->fabric.n_hosts > 1)
			lab_doc_error(ld, path.s, remedy,
				      "the key \"host\" is missing and there are %u hosts",
				      lab->fabric.n_hosts);
		return;
	}
	h = find_host(lab, host);
	if (h < 0)
		lab_doc_error(ld, path.s, remedy, "there is no host \"%s\"", host);
	else
		vm->host = (unsigned int)h;
}

/* Those of host @h to the front, in their order. */
static void move_here(struct lab *lab, unsigned int h)
{
	unsigned int n = 0;

	for (unsigned int v = 0; v < lab->n_all; v++) {
		struct lab_vm vm = lab->vms[v];

		if (vm.host != h)
			continue;
		memmove(&lab->vms[n + 1], &lab->vms[n], (v - n) * sizeof(vm));
		lab->vms[n++] = vm;
	}
	lab->n_vms = n;
}

int lab_choose_host(struct lab *lab, const char *name, char *why, size_t why_size)
{
	char machine[65] = "", words[160];
	int h;

	if (!lab->fabric.on) {
		if (!name)
			return 0;
		snprintf(why, why_size, "host %.64s: lab %s has no fabric, so no hosts", name,
			 lab->name);
		return -EINVAL;
	}
	if (!name && *lab->fabric.host)
		name = lab->fabric.host;
	if (!name && lab->fabric.n_hosts == 1)
		name = lab->fabric.hosts[0].name;
	host_words(lab, words, sizeof(words));
	if (!name) {
		gethostname(machine, sizeof(machine) - 1);
		machine[strcspn(machine, ".")] = '\0';
		name = machine;
	}
	h = find_host(lab, name);
	if (h < 0) {
		snprintf(why, why_size, "%s\"%.64s\" is no host of lab %s: --host says which: %s",
			 name == machine ? "this machine, " : "", name, lab->name, words);
		return -ENOENT;
	}
	lab->here = h;
	lab_view(lab, h);
	move_here(lab, (unsigned int)h);
	return 0;
}

/* ---- JSON ---- */

json_t *lab_fabric_to_json(const struct lab *lab)
{
	const struct lab_fabric *fb = &lab->fabric;
	const struct lab_etcd *etcd = &fb->etcd;
	json_t *hosts = json_array(), *urls, *e, *o;

	for (unsigned int h = 0; h < fb->n_hosts; h++) {
		o = json_pack("{s:s, s:s}", "name", fb->hosts[h].name, "address",
			      fb->hosts[h].address);
		if (*fb->hosts[h].address6)
			json_object_set_new(o, "address6", json_string(fb->hosts[h].address6));
		json_array_append_new(hosts, o);
	}
	o = json_pack("{s:s, s:o, s:i, s:i}", "registry", lab_registry_name(fb->registry), "hosts",
		      hosts, "mtu", (int)fb->mtu, "port", (int)fb->port);
	if (*fb->host)
		json_object_set_new(o, "host", json_string(fb->host));
	if (fb->registry != LAB_REGISTRY_ETCD)
		return o;
	urls = json_array();
	for (unsigned int i = 0; i < etcd->n_endpoints; i++)
		json_array_append_new(urls, json_string(etcd->endpoints[i]));
	e = json_pack("{s:o, s:s, s:i}", "endpoints", urls, "prefix", etcd->prefix, "lease_seconds",
		      (int)etcd->lease_seconds);
	if (*etcd->user) {
		json_object_set_new(e, "user", json_string(etcd->user));
		json_object_set_new(e, "password_file", json_string(etcd->password_file));
	}
	json_object_set_new(o, "etcd", e);
	return o;
}
