/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns packets as people write them: words to the fields that rules look at, and back. */
#include "host/nsg_packet.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "vswitch/fdb.h"

#define MAX_WORDS    5
#define DEFAULT_PORT 49152 /* the first of the dynamic ones, RFC 6335 */
#define ETH_IP4	     0x0800
#define ETH_ARP	     0x0806
#define ETH_IP6	     0x86dd
#define ECHO4	     8
#define ECHO6	     128

static const uint8_t mapped[12] = {[10] = 0xff, 0xff};

static int wrong(char *why, size_t size, const char *fmt, ...) PRINTF_LIKE(3, 4);
static int wrong(char *why, size_t size, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, size, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

/* ---- one end ---- */

/**
 * struct end - One end while it is read
 * @host:	without port
 * @port:	-1: none was given
 * @family:	0: by name, and the other end decides
 */
struct end {
	char host[64];
	int port;
	int family;
	uint8_t ip[16];
	struct nsg_end *out;
};

static int number(const char *s, int max)
{
	size_t n = strspn(s, "0123456789");

	return n && n <= 5 && !s[n] && atoi(s) <= max ? atoi(s) : -1;
}

static int split(const char *word, struct end *e, bool ports, char *why, size_t size)
{
	const char *colon, *close = strchr(word, ']');
	size_t n = strlen(word);

	e->port = -1;
	if (*word == '[') {
		if (!close || (close[1] && close[1] != ':'))
			return wrong(why, size, "\"%.60s\": write [ADDRESS]:PORT", word);
		colon = close[1] ? close + 1 : NULL;
		word++;
		n = (size_t)(close - word);
	} else {
		colon = strrchr(word, ':');
		if (colon && strchr(word, ':') != colon)
			colon = NULL; /* an IPv6 address */
		if (colon)
			n = (size_t)(colon - word);
	}
	if (n >= sizeof(e->host) || !n)
		return wrong(why, size, "\"%.60s\" is neither an address nor a name", word);
	memcpy(e->host, word, n);
	e->host[n] = '\0';
	if (!colon)
		return 0;
	e->port = number(colon + 1, 65535);
	if (!ports)
		return wrong(why, size, "\"%.60s\": only tcp and udp have ports", word);
	return e->port < 0 ? wrong(why, size, "\"%.20s\" is not a port", colon + 1) : 0;
}

static bool is_nic_of(const struct lab_nic *nic, const struct end *e)
{
	uint8_t ip[16];

	memcpy(ip, mapped, sizeof(mapped));
	if (*nic->ip4 && inet_pton(AF_INET, nic->ip4, ip + 12) == 1 && !memcmp(ip, e->ip, 16))
		return true;
	return *nic->ip6 && inet_pton(AF_INET6, nic->ip6, ip) == 1 && !memcmp(ip, e->ip, 16);
}

static void find_owner(const struct lab *lab, struct end *e)
{
	for (unsigned int v = 0; lab && v < lab->n_all; v++)
		for (unsigned int i = 0; i < lab->vms[v].n_nics; i++)
			if (is_nic_of(&lab->vms[v].nics[i], e)) {
				e->out->vm = &lab->vms[v];
				e->out->nic = &lab->vms[v].nics[i];
				return;
			}
}

static bool find_name(const struct lab *lab, struct end *e)
{
	size_t vm = strcspn(e->host, "/");

	for (unsigned int v = 0; lab && v < lab->n_all; v++) {
		const struct lab_vm *m = &lab->vms[v];

		if (strlen(m->name) != vm || strncmp(m->name, e->host, vm) != 0)
			continue;
		for (unsigned int i = 0; i < m->n_nics; i++)
			if (!e->host[vm] || !strcmp(e->host + vm + 1, m->nics[i].name)) {
				e->out->vm = m;
				e->out->nic = &m->nics[i];
				return true;
			}
	}
	return false;
}

static int resolve(const struct lab *lab, struct end *e, char *why, size_t size)
{
	memcpy(e->ip, mapped, sizeof(mapped));
	if (inet_pton(AF_INET, e->host, e->ip + 12) == 1)
		e->family = AF_INET;
	else if (inet_pton(AF_INET6, e->host, e->ip) == 1)
		e->family = AF_INET6;
	snprintf(e->out->text, sizeof(e->out->text), "%s", e->host);
	if (e->family) {
		find_owner(lab, e);
		return 0;
	}
	if (find_name(lab, e))
		return 0;
	return wrong(why, size,
		     lab ? "\"%s\" is neither an address nor a guest of the lab"
			 : "\"%s\" is not an address, and there is no lab to look it up",
		     e->host);
}

/* The address of a NIC that was named, in the family of the other end. */
static int give_address(struct end *e, int family, char *why, size_t size)
{
	const char *text;

	if (e->family)
		return 0;
	text = family == AF_INET ? e->out->nic->ip4 : e->out->nic->ip6;
	e->family = family;
	memcpy(e->ip, mapped, sizeof(mapped));
	if (*text && inet_pton(family, text, e->ip + (family == AF_INET ? 12 : 0)) == 1)
		return 0;
	return wrong(why, size, "%s/%s has no IPv%d address", e->out->vm->name, e->out->nic->name,
		     family == AF_INET ? 4 : 6);
}

static int family_of(const struct end *a, const struct end *b)
{
	const struct end *named = a->family ? b : a;

	if (a->family || b->family)
		return a->family ? a->family : b->family;
	return *named->out->nic->ip4 || !*named->out->nic->ip6 ? AF_INET : AF_INET6;
}

/* ---- the packet ---- */

static uint64_t group_mac(const struct end *e)
{
	const uint8_t *ip = e->ip;

	if (e->family == AF_INET6)
		return ip[0] == 0xff
			       ? 0x333300000000ull | (uint64_t)ip[12] << 24 |
					 (uint64_t)ip[13] << 16 | (uint64_t)ip[14] << 8 | ip[15]
			       : 0;
	if (memcmp(ip + 12, "\xff\xff\xff\xff", 4) == 0)
		return 0xffffffffffffull;
	return (ip[12] & 0xf0) == 0xe0 ? 0x01005e000000ull | (uint64_t)(ip[13] & 0x7f) << 16 |
						 (uint64_t)ip[14] << 8 | ip[15]
				       : 0;
}

static int set_protocol(const char *word, struct policy_fields *f, bool *arp)
{
	static const struct {
		const char *word;
		uint8_t proto;
	} names[] = {{"tcp", IPPROTO_TCP},	{"udp", IPPROTO_UDP}, {"icmp", IPPROTO_ICMP},
		     {"icmp6", IPPROTO_ICMPV6}, {"esp", IPPROTO_ESP}, {"ah", IPPROTO_AH}};
	int n = number(word, 255);

	*arp = strcasecmp(word, "arp") == 0;
	if (*arp)
		return 0;
	f->has_ip = true;
	f->proto = (uint8_t)n;
	if (n >= 0)
		return 0;
	for (unsigned int i = 0; i < ARRAY_SIZE(names); i++)
		if (strcasecmp(names[i].word, word) == 0) {
			f->proto = names[i].proto;
			return 0;
		}
	return -EINVAL;
}

static int set_icmp(const char *word, struct policy_fields *f, int family, char *why, size_t size)
{
	char type[8] = "";
	const char *slash = word ? strchr(word, '/') : NULL;
	int t = family == AF_INET ? ECHO4 : ECHO6, c = 0;

	if (word) {
		snprintf(type, sizeof(type), "%.*s",
			 (int)(slash ? MIN(slash - word, 7) : (long)strlen(word)), word);
		t = number(type, 255);
		c = slash ? number(slash + 1, 255) : 0;
	}
	if (t < 0 || c < 0)
		return wrong(why, size, "\"%.20s\" is not an ICMP type, write TYPE or TYPE/CODE",
			     word);
	f->proto = family == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6;
	f->has_ports = true;
	f->sport = (uint16_t)t;
	f->dport = (uint16_t)c;
	return 0;
}

static int set_ports(struct policy_fields *f, const struct end *src, const struct end *dst,
		     char *why, size_t size)
{
	if (f->proto != IPPROTO_TCP && f->proto != IPPROTO_UDP)
		return 0;
	if (dst->port < 0)
		return wrong(why, size, "the destination needs a port: %s:PORT",
			     dst->family == AF_INET6 ? "[ADDRESS]" : dst->host);
	f->has_ports = true;
	f->sport = (uint16_t)(src->port < 0 ? DEFAULT_PORT : src->port);
	f->dport = (uint16_t)dst->port;
	return 0;
}

/* "a b c" to its words; how many there are, more than MAX_WORDS when too many. */
static unsigned int words_of(char *text, char *words[MAX_WORDS])
{
	unsigned int n = 0;
	char *save;

	for (char *w = strtok_r(text, " \t", &save); w; w = strtok_r(NULL, " \t", &save)) {
		if (n == MAX_WORDS)
			return n + 1;
		words[n++] = w;
	}
	return n;
}

static int read_ends(char **words, unsigned int n, const struct lab *lab,
		     const struct lab_nic *self, struct nsg_packet *p, struct end *src,
		     struct end *dst, char *why, size_t size)
{
	bool ports = p->f.proto == IPPROTO_TCP || p->f.proto == IPPROTO_UDP;
	bool given = n > 1 && !(self && n == 2 && (isdigit((unsigned char)*words[1]) != 0) &&
				!strpbrk(words[1], ".:"));
	int rc;

	*src = (struct end){.out = &p->src};
	*dst = (struct end){.out = &p->dst};
	rc = split(words[given ? 1 : 0], dst, ports, why, size);
	rc = rc ? rc : resolve(lab, dst, why, size);
	if (rc)
		return rc;
	if (given) {
		rc = split(words[0], src, ports, why, size);
		return rc ? rc : resolve(lab, src, why, size);
	}
	if (!self)
		return wrong(why, size,
			     "the packet has no source: write PROTOCOL SOURCE "
			     "DESTINATION");
	for (unsigned int v = 0; lab && v < lab->n_all; v++)
		for (unsigned int i = 0; i < lab->vms[v].n_nics; i++)
			if (&lab->vms[v].nics[i] == self)
				p->src.vm = &lab->vms[v];
	p->src.nic = self;
	src->port = -1;
	snprintf(p->src.text, sizeof(p->src.text), "%s/%s", p->src.vm ? p->src.vm->name : "?",
		 self->name);
	return 0;
}

static int finish(struct nsg_packet *p, struct end *src, struct end *dst, bool arp, char *why,
		  size_t size)
{
	int family = family_of(dst, src), rc;

	rc = give_address(src, family, why, size);
	rc = rc ? rc : give_address(dst, family, why, size);
	if (rc)
		return rc;
	if (src->family != dst->family)
		return wrong(why, size, "%s and %s are not of one family", src->host, dst->host);
	p->f.vni = POLICY_ANY_VNI;
	p->f.eth_type = arp ? ETH_ARP : family == AF_INET ? ETH_IP4 : ETH_IP6;
	p->f.src_mac = p->src.nic ? fdb_mac(p->src.nic->mac) : 0;
	p->f.dst_mac = arp ? 0xffffffffffffull : group_mac(dst);
	if (!p->f.dst_mac && p->dst.nic)
		p->f.dst_mac = fdb_mac(p->dst.nic->mac);
	memcpy(p->src_ip4, src->ip + 12, 4);
	memcpy(p->dst_ip4, dst->ip + 12, 4);
	if (arp)
		return family == AF_INET ? 0 : wrong(why, size, "arp is of IPv4");
	memcpy(p->f.src, src->ip, 16);
	memcpy(p->f.dst, dst->ip, 16);
	return set_ports(&p->f, src, dst, why, size);
}

int nsg_packet_parse(const char *text, const struct lab *lab, const struct lab_nic *self,
		     struct nsg_packet *out, char *why, size_t size)
{
	char copy[NSG_PACKET_MAX + 1], *words[MAX_WORDS];
	bool arp, icmp, type;
	struct end src, dst;
	unsigned int n;
	int rc;

	memset(out, 0, sizeof(*out));
	if (strlen(text) > NSG_PACKET_MAX)
		return wrong(why, size, "the packet is longer than %d characters", NSG_PACKET_MAX);
	strcpy(copy, text);
	n = words_of(copy, words);
	if (n < 2 || set_protocol(words[0], &out->f, &arp) < 0)
		return wrong(why, size,
			     "\"%.60s\": write tcp|udp|icmp|esp|ah|arp|NUMBER SOURCE DESTINATION",
			     text);
	icmp = out->f.has_ip && (out->f.proto == IPPROTO_ICMP || out->f.proto == IPPROTO_ICMPV6);
	rc = read_ends(words + 1, n - 1, lab, self, out, &src, &dst, why, size);
	if (rc)
		return rc;
	/* Behind one or two ends. */
	type = icmp && n == (out->src.nic && out->src.nic == self && !*src.host ? 3u : 4u);
	if (n > (*src.host ? 3u : 2u) + type)
		return wrong(why, size, "\"%.60s\": \"%.20s\" is one word too many", text,
			     n > MAX_WORDS ? "..." : words[n - 1]);
	rc = finish(out, &src, &dst, arp, why, size);
	if (rc || !icmp)
		return rc;
	return set_icmp(type ? words[n - 1] : NULL, &out->f, dst.family, why, size);
}

/* ---- back to words ---- */

void nsg_ip_print(const uint8_t ip[16], char *buf, size_t size)
{
	bool four = memcmp(ip, mapped, sizeof(mapped)) == 0;

	inet_ntop(four ? AF_INET : AF_INET6, ip + (four ? 12 : 0), buf, (socklen_t)size);
}

static void print_end(const struct policy_fields *f, bool src, char *buf, size_t size)
{
	uint16_t port = src ? f->sport : f->dport;
	char ip[INET6_ADDRSTRLEN];

	nsg_ip_print(src ? f->src : f->dst, ip, sizeof(ip));
	if (!f->has_ports || (f->proto != IPPROTO_TCP && f->proto != IPPROTO_UDP))
		snprintf(buf, size, "%s", ip);
	else
		snprintf(buf, size, strchr(ip, ':') ? "[%s]:%u" : "%s:%u", ip, port);
}

void nsg_fields_print(const struct policy_fields *f, char *buf, size_t size)
{
	char src[64], dst[64], proto[16];

	if (!f->has_ip) {
		snprintf(buf, size, f->eth_type == ETH_ARP ? "arp" : "frame of type 0x%04x",
			 f->eth_type);
		return;
	}
	switch (f->proto) {
	case IPPROTO_TCP:
		strcpy(proto, "tcp");
		break;
	case IPPROTO_UDP:
		strcpy(proto, "udp");
		break;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		strcpy(proto, "icmp");
		break;
	default:
		snprintf(proto, sizeof(proto), "%u", f->proto);
	}
	print_end(f, true, src, sizeof(src));
	print_end(f, false, dst, sizeof(dst));
	if (strcmp(proto, "icmp") == 0)
		snprintf(buf, size, "icmp %s -> %s %u/%u", src, dst, f->sport, f->dport);
	else
		snprintf(buf, size, "%s %s -> %s", proto, src, dst);
}
