/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the keys and values by which hosts tell each other of themselves. What comes is another
 * host's: checked as a whole before anything of it is used.
 *
 *	PREFIX/hosts/NAME
 *		{"address": "192.0.2.1", "address6": "", "parts": {"NETWORK": ["PREFIX", ...]}}
 *	PREFIX/guests/NETWORK/MAC
 *		{"host": "h1", "vm": "a", "nic": "eth0", "ip": "", "ip6": ""}
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "host/fabric_internal.h"

#define HOSTS  "/hosts/"
#define GUESTS "/guests/"

int fabric_addr_parse(uint8_t addr[16], const char *text)
{
	struct in_addr a4;

	if (inet_pton(AF_INET, text, &a4) == 1) {
		addr_from_4(addr, &a4);
		return 0;
	}
	/* An IPv4 address has one spelling. */
	return inet_pton(AF_INET6, text, addr) == 1 && !addr_is_4(addr) ? 0 : -EINVAL;
}

static void mac_text(const uint8_t m[6], char out[18])
{
	snprintf(out, 18, "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5]);
}

/* ---- what we write ---- */

char *fabric_host_key(const char *name)
{
	char *key;

	return asprintf(&key, HOSTS "%s", name) < 0 ? NULL : key;
}

char *fabric_guest_key(const struct lab *lab, const struct fabric_guest *g)
{
	char mac[18], *key;

	mac_text(g->mac, mac);
	return asprintf(&key, GUESTS "%s/%s", lab->nets[g->net].name, mac) < 0 ? NULL : key;
}

static char *dump(json_t *o)
{
	char *text = json_dumps(o, JSON_COMPACT);

	json_decref(o);
	return text;
}

char *fabric_host_value(const struct lab *lab)
{
	const struct lab_host *host = &lab->fabric.hosts[lab->here];
	json_t *parts = json_object(), *o;

	for (unsigned int n = 0; n < lab->n_nets; n++) {
		const struct lab_net *net = &lab->nets[n];
		json_t *list;

		if (net->mode != LAB_MODE_ROUTED)
			continue;
		list = json_array();
		if (net->has4)
			json_array_append_new(list, json_string(net->cidr4));
		if (net->has6)
			json_array_append_new(list, json_string(net->cidr6));
		json_object_set_new(parts, net->name, list);
	}
	o = json_pack("{s:s, s:o}", "address", host->address, "parts", parts);
	if (*host->address6)
		json_object_set_new(o, "address6", json_string(host->address6));
	return dump(o);
}

char *fabric_guest_value(const char *host, const struct fabric_guest *g)
{
	return dump(json_pack("{s:s, s:s, s:s, s:s, s:s}", "host", host, "vm", g->vm, "nic", g->nic,
			      "ip", g->ip4, "ip6", g->ip6));
}

/* ---- what others wrote ---- */

static int find_net(const struct lab *lab, const char *name, size_t size)
{
	for (unsigned int n = 0; n < lab->n_nets; n++)
		if (strlen(lab->nets[n].name) == size && !memcmp(lab->nets[n].name, name, size))
			return (int)n;
	return -ENOENT;
}

/* As the lab file has names: letters, digits, - and _, a letter or digit first. */
static int copy_name(const char *text, size_t size, char *out, size_t room)
{
	if (!size || size >= room)
		return -EINVAL;
	for (size_t i = 0; i < size; i++)
		if (!isascii(text[i]) || !(isalnum(text[i]) || (i && strchr("-_", text[i]))) ||
		    !text[i])
			return -EINVAL;
	memcpy(out, text, size);
	out[size] = '\0';
	return 0;
}

static int parse_mac(const char *text, size_t size, uint8_t mac[6])
{
	static const uint8_t zero[6];
	char copy[18];

	if (size != sizeof(copy) - 1)
		return -EINVAL;
	memcpy(copy, text, size);
	copy[size] = '\0';
	if (lab_parse_mac(copy, mac) || (mac[0] & 1) || !memcmp(mac, zero, 6))
		return -EINVAL;
	return 0;
}

int fabric_key_parse(const struct lab *lab, const char *key, size_t size,
		     char name[LAB_NAME_MAX + 1], struct fabric_guest *g)
{
	const char *slash;
	int net;

	if (size > strlen(HOSTS) && !memcmp(key, HOSTS, strlen(HOSTS)))
		return copy_name(key + strlen(HOSTS), size - strlen(HOSTS), name, LAB_NAME_MAX + 1)
			       ? -EINVAL
			       : FABRIC_KEY_HOST;
	if (size <= strlen(GUESTS) || memcmp(key, GUESTS, strlen(GUESTS)) != 0)
		return -EINVAL;
	key += strlen(GUESTS);
	size -= strlen(GUESTS);
	slash = memchr(key, '/', size);
	if (!slash || parse_mac(slash + 1, size - (size_t)(slash + 1 - key), g->mac))
		return -EINVAL;
	net = find_net(lab, key, (size_t)(slash - key));
	if (net < 0)
		return net;
	g->net = (unsigned int)net;
	return FABRIC_KEY_GUEST;
}

static int refuse(char *why, size_t size, const char *fmt, ...) PRINTF_LIKE(3, 4);

static int refuse(char *why, size_t size, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, size, fmt, ap);
	va_end(ap);
	for (char *c = why; *c; c++)
		if (!isascii(*c) || !isprint(*c))
			*c = '?';
	return -EINVAL;
}

/* A string member without NUL bytes; @must: else "". */
static const char *text_of(const json_t *o, const char *key, bool must)
{
	const json_t *v = json_object_get(o, key);

	if (!v && !must)
		return "";
	return json_is_string(v) && strlen(json_string_value(v)) == json_string_length(v)
		       ? json_string_value(v)
		       : NULL;
}

static json_t *parse_object(const char *text, size_t size, char *why, size_t why_size)
{
	json_error_t err;
	json_t *o;

	if (size > FABRIC_VALUE_MAX) {
		refuse(why, why_size, "%zu bytes are more than the %d of a value", size,
		       FABRIC_VALUE_MAX);
		return NULL;
	}
	o = json_loadb(text, size, JSON_REJECT_DUPLICATES, &err);
	if (json_is_object(o))
		return o;
	refuse(why, why_size, "%s", o ? "not an object" : err.text);
	json_decref(o);
	return NULL;
}

/* Can a guest's packet be sent there? */
static bool is_unicast(const uint8_t addr[16])
{
	static const uint8_t zero[16];

	if (addr_is_4(addr))
		return addr[12] && addr[12] != 127 && addr[12] < 224;
	return memcmp(addr, zero, 15) != 0 && addr[0] != 0xff;
}

/* "10.1.0.0/24": no bits behind the prefix, and in the network's subnet. */
static int parse_prefix(const struct lab_net *whole, const char *text, struct route_prefix *p)
{
	char addr[INET6_ADDRSTRLEN];
	const char *slash = strchr(text, '/');
	unsigned int len, bits, from;
	bool four;

	if (!slash || (size_t)(slash - text) >= sizeof(addr) || !slash[1] ||
	    strlen(slash + 1) > 3 || strspn(slash + 1, "0123456789") != strlen(slash + 1))
		return -EINVAL;
	snprintf(addr, sizeof(addr), "%.*s", (int)(slash - text), text);
	if (fabric_addr_parse(p->addr, addr))
		return -EINVAL;
	four = addr_is_4(p->addr);
	bits = (unsigned int)atoi(slash + 1);
	if (bits > (four ? 32 : 128))
		return -EINVAL;
	from = four ? 96 : 0;
	len = bits + from;
	for (unsigned int i = len; i < 128; i++)
		if (p->addr[i / 8] & 0x80u >> i % 8)
			return -EINVAL;
	p->len = (uint8_t)len;
	/* In the subnet that the lab file gives the network: nobody draws the rest of the world. */
	if (four ? !whole->has4 || bits < whole->prefix4 : !whole->has6 || bits < whole->prefix6)
		return -EINVAL;
	for (unsigned int i = 0; i < (four ? whole->prefix4 : whole->prefix6); i++) {
		const uint8_t *net =
			four ? (const uint8_t *)&whole->subnet4 : (const uint8_t *)&whole->subnet6;

		if ((net[i / 8] ^ p->addr[(from + i) / 8]) & 0x80u >> i % 8)
			return -EINVAL;
	}
	return 0;
}

static int parse_parts(const struct lab_net *whole, const json_t *list, struct fabric_part *part,
		       char *why, size_t why_size)
{
	json_t *v;
	size_t i;

	if (!json_is_array(list) || json_array_size(list) > 2)
		return refuse(why, why_size, "parts of %s: not a list of two at most", whole->name);
	json_array_foreach (list, i, v) {
		const char *text = json_string_value(v);
		struct route_prefix p;
		int family;

		if (!text || parse_prefix(whole, text, &p))
			return refuse(why, why_size, "parts of %s: %.60s is not in its subnet",
				      whole->name, text ? text : "that");
		family = !addr_is_4(p.addr);
		part->has[family] = true;
		part->prefix[family] = p;
	}
	return 0;
}

int fabric_host_parse(const struct lab *lab, const char *text, size_t size, uint8_t addr[16],
		      uint8_t addr6[16], struct fabric_part *parts, char *why, size_t why_size)
{
	json_t *o = parse_object(text, size, why, why_size), *all, *list;
	const char *address, *address6, *name;
	int rc = 0;

	if (!o)
		return -EINVAL;
	address = text_of(o, "address", true);
	address6 = text_of(o, "address6", false);
	memset(addr6, 0, 16);
	all = json_object_get(o, "parts");
	if (!address || fabric_addr_parse(addr, address) || !is_unicast(addr))
		rc = refuse(why, why_size, "address: \"%.60s\" is no host's",
			    address ? address : "");
	else if (addr_is_4(addr) != (lab->fabric.hosts[0].family == AF_INET))
		rc = refuse(why, why_size, "address: %.60s is not of the fabric's family", address);
	else if (!address6 || (*address6 && (fabric_addr_parse(addr6, address6) ||
					     addr_is_4(addr6) || !is_unicast(addr6))))
		rc = refuse(why, why_size, "address6: not a host's");
	else if (all && !json_is_object(all))
		rc = refuse(why, why_size, "parts: not an object");
	if (!rc)
		json_object_foreach (all, name, list) {
			int n = find_net(lab, name, strlen(name));

			if (!rc && n >= 0 && lab->nets[n].mode == LAB_MODE_ROUTED)
				rc = parse_parts(&lab_nets_at(lab, -1)[n], list, &parts[n], why,
						 why_size);
		}
	json_decref(o);
	return rc;
}

int fabric_guest_parse(const char *text, size_t size, char host[LAB_NAME_MAX + 1],
		       struct fabric_guest *g, char *why, size_t why_size)
{
	json_t *o = parse_object(text, size, why, why_size);
	const char *name, *vm, *nic, *ip4, *ip6;
	struct in6_addr a;
	int rc = 0;

	if (!o)
		return -EINVAL;
	name = text_of(o, "host", true);
	vm = text_of(o, "vm", true);
	nic = text_of(o, "nic", true);
	ip4 = text_of(o, "ip", false);
	ip6 = text_of(o, "ip6", false);
	if (!name || copy_name(name, strlen(name), host, LAB_NAME_MAX + 1))
		rc = refuse(why, why_size, "host: not a host's name");
	else if (!vm || !nic || copy_name(vm, strlen(vm), g->vm, sizeof(g->vm)) ||
		 copy_name(nic, strlen(nic), g->nic, sizeof(g->nic)))
		rc = refuse(why, why_size, "vm, nic: not the names of a guest's NIC");
	else if (!ip4 || !ip6 || (*ip4 && inet_pton(AF_INET, ip4, &a) != 1) ||
		 (*ip6 && inet_pton(AF_INET6, ip6, &a) != 1))
		rc = refuse(why, why_size, "ip, ip6: not addresses");
	if (!rc) {
		snprintf(g->ip4, sizeof(g->ip4), "%s", ip4);
		snprintf(g->ip6, sizeof(g->ip6), "%s", ip6);
	}
	json_decref(o);
	return rc;
}

void fabric_lab_addr6(const struct lab_host *host, uint8_t addr6[16])
{
	memset(addr6, 0, 16);
	if (*host->address6)
		fabric_addr_parse(addr6, host->address6);
}

void fabric_lab_parts(const struct lab *lab, unsigned int h, struct fabric_part *parts)
{
	const struct lab_net *nets = lab_nets_at(lab, (int)h), *whole = lab_nets_at(lab, -1);

	for (unsigned int n = 0; n < lab->n_nets; n++) {
		if (nets[n].mode != LAB_MODE_ROUTED)
			continue;
		parts[n].has[0] = nets[n].has4 &&
				  !parse_prefix(&whole[n], nets[n].cidr4, &parts[n].prefix[0]);
		parts[n].has[1] = nets[n].has6 &&
				  !parse_prefix(&whole[n], nets[n].cidr6, &parts[n].prefix[1]);
	}
}
