/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the client side of DHCPv4 (RFC 2131), DHCPv6 (RFC 8415), RFC 4861 and DNS for tests. */
#include "station.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/util.h"
#include "base/wire.h"

#define RESEND_MS 400
#define MAX_BYTES 1400

/* A message in the making, or one that came. */
struct msg {
	uint32_t len;
	uint8_t b[MAX_BYTES];
};

static void put(struct msg *m, const void *data, size_t len)
{
	if (m->len + len > sizeof(m->b))
		return;
	memcpy(m->b + m->len, data, len);
	m->len += (uint32_t)len;
}

static void put8(struct msg *m, unsigned int v)
{
	put(m, &(uint8_t){(uint8_t)v}, 1);
}

static void put16(struct msg *m, unsigned int v)
{
	put8(m, v >> 8);
	put8(m, v & 0xff);
}

static void put32(struct msg *m, uint32_t v)
{
	put16(m, v >> 16);
	put16(m, v & 0xffff);
}

static unsigned int get16(const uint8_t *p)
{
	return (unsigned int)p[0] << 8 | p[1];
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

/* ---- frames ---- */

static void send_frame(struct station *s, struct frame *f)
{
	static struct pkt pkt;
	struct pkt *p = &pkt;

	pkt_of_frame(p, f, 0);
	p->flags |= PKT_NO_WAIT;
	vsw_send(&s->port.port, &p, 1);
}

/* @l4 from the L4 header on for ICMPv6, the payload for UDP. */
static void send_ip(struct station *s, struct frame_spec *spec, const struct msg *m)
{
	static struct frame f;
	bool icmp = spec->proto == IPPROTO_ICMPV6;

	memcpy(spec->src, s->mac, 6);
	spec->payload_len = icmp ? m->len - 8 : m->len;
	frame_build(&f, spec);
	memcpy(f.data + (icmp ? f.l4 : f.payload), m->b, m->len);
	if (icmp)
		f.data[f.l3 + 7] = 255; /* hop limit: neighbour discovery takes no other */
	frame_sum(&f);
	send_frame(s, &f);
}

static void send_udp4(struct station *s, struct in_addr from, struct in_addr to, uint16_t sport,
		      uint16_t dport, const struct msg *m)
{
	struct frame_spec spec = {.ip = 4, .proto = IPPROTO_UDP, .sport = sport, .dport = dport};

	memcpy(spec.saddr, &from, 4);
	memcpy(spec.daddr, &to, 4);
	memcpy(spec.dst, s->server_mac, 6);
	if (to.s_addr == INADDR_BROADCAST)
		memset(spec.dst, 0xff, 6);
	send_ip(s, &spec, m);
}

static void send_6(struct station *s, uint8_t proto, const struct in6_addr *from,
		   const struct in6_addr *to, uint16_t port, uint16_t dport, const struct msg *m)
{
	struct frame_spec spec = {.ip = 6, .proto = proto, .sport = port, .dport = dport};

	memcpy(spec.saddr, from, 16);
	memcpy(spec.daddr, to, 16);
	memcpy(spec.dst, s->server_mac, 6);
	if (to->s6_addr[0] == 0xff) {
		spec.dst[0] = spec.dst[1] = 0x33;
		memcpy(spec.dst + 2, to->s6_addr + 12, 4);
	}
	send_ip(s, &spec, m);
}

/* ---- who has our addresses ---- */

static void answer_arp(struct station *s, const struct frame *in)
{
	const uint8_t *arp = in->data + 14;
	static struct frame f;

	if (in->len < 42 || get16(arp + 6) != 1 || !s->ip4.s_addr ||
	    memcmp(arp + 24, &s->ip4, 4) != 0)
		return;
	memcpy(f.data, arp + 8, 6);
	memcpy(f.data + 6, s->mac, 6);
	memcpy(f.data + 12, in->data + 12, 8); /* type and the formats */
	memcpy(f.data + 20, (uint8_t[]){0, 2}, 2);
	memcpy(f.data + 22, s->mac, 6);
	memcpy(f.data + 28, &s->ip4, 4);
	memcpy(f.data + 32, arp + 8, 10);
	f.len = 42;
	send_frame(s, &f);
}

static void answer_neighbour(struct station *s, const struct frame *in)
{
	const uint8_t *icmp = in->data + in->l4;
	struct in6_addr target, from;
	struct msg m = {0};

	if (in->l4 + 24u > in->len || icmp[0] != 135)
		return;
	memcpy(&target, icmp + 8, 16);
	memcpy(&from, in->data + in->l3 + 8, 16);
	if (memcmp(&target, &s->ip6, 16) != 0 && memcmp(&target, &s->link_local, 16) != 0)
		return;
	put32(&m, 136u << 24);
	put32(&m, 3u << 29); /* solicited, override */
	put(&m, &target, 16);
	put16(&m, 2 << 8 | 1); /* target link-layer address */
	put(&m, s->mac, 6);
	send_6(s, IPPROTO_ICMPV6, &target, &from, 0, 0, &m);
}

/* The next frame that came, out of the port; false: none. */
static bool take(struct station *s, struct frame *f)
{
	struct test_port *p = &s->port;
	bool got;

	pthread_mutex_lock(&p->lock);
	got = p->n > 0;
	if (got) {
		f->len = MIN(p->frame[0].len, (uint32_t)FRAME_MAX);
		memcpy(f->data, p->frame[0].data, f->len);
		free(p->frame[0].data);
		p->n--;
		memmove(p->frame, p->frame + 1, p->n * sizeof(p->frame[0]));
	}
	pthread_mutex_unlock(&p->lock);
	return got;
}

/* Takes what came; true with @f for the first that is for the caller to judge. */
static bool next_frame(struct station *s, struct frame *f)
{
	while (take(s, f)) {
		if (f->len >= 14 && get16(f->data + 12) == 0x0806) {
			answer_arp(s, f);
			continue;
		}
		if (!frame_parse(f))
			continue;
		if (f->proto == IPPROTO_ICMPV6)
			answer_neighbour(s, f);
		return true;
	}
	return false;
}

void station_pump(struct station *s)
{
	static struct frame f;

	event_base_loop(s->base, EVLOOP_NONBLOCK);
	while (next_frame(s, &f))
		;
}

/* Offered a frame, true when it is the one waited for. */
typedef bool (*match_fn)(struct station *s, const struct frame *f, void *arg);

/* Sends what @send sends, again and again, until @match or the deadline. */
static bool exchange(struct station *s, void (*send)(struct station *s, void *arg), match_fn match,
		     void *arg, uint64_t deadline)
{
	static struct frame f;
	uint64_t again = 0;
	unsigned int round = 0;

	while (now_ns() < deadline) {
		if (now_ns() >= again) {
			again = now_ns() + RESEND_MS * NSEC_PER_MSEC;
			send(s, arg);
		}
		event_base_loop(s->base, EVLOOP_NONBLOCK);
		while (next_frame(s, &f))
			if (match(s, &f, arg))
				return true;
		nanosleep(&(struct timespec){.tv_nsec = round++ < 64 ? 0 : 200000}, NULL);
	}
	return false;
}

void station_init(struct station *s, struct event_base *base, struct vsw_net *net,
		  const uint8_t mac[6])
{
	static uint32_t seq = 0x1000;

	memset(s, 0, sizeof(*s));
	test_port_init(&s->port, 0);
	memcpy(s->port.port.mac, mac, 6);
	memcpy(s->mac, mac, 6);
	s->base = base;
	s->seq = seq += 0x100;
	s->iaid = s->seq;
	s->link_local = (struct in6_addr){{{0xfe, 0x80}}};
	memcpy(s->link_local.s6_addr + 8, mac, 3);
	s->link_local.s6_addr[8] ^= 2;
	s->link_local.s6_addr[11] = 0xff;
	s->link_local.s6_addr[12] = 0xfe;
	memcpy(s->link_local.s6_addr + 13, mac + 3, 3);
	vsw_port_attach(net, &s->port.port);
}

void station_fini(struct station *s)
{
	vsw_port_detach(&s->port.port);
	test_port_clear(&s->port);
}

/* ---- DHCPv4 ---- */

struct dhcp4 {
	uint8_t type; /* sent */
	uint32_t xid;
	const char *host;
	struct station_lease *lease;
	uint8_t got; /* message type of the answer */
};

static void dhcp4_send(struct station *s, void *arg)
{
	static const uint8_t wanted[] = {1, 3, 6, 15, 26, 51};
	const struct in_addr all = {INADDR_BROADCAST}, none = {0};
	struct dhcp4 *d = arg;
	struct msg m = {0};

	put32(&m, 1u << 24 | 1u << 16 | 6u << 8);
	put32(&m, d->xid);
	put32(&m, 0x8000); /* answer by broadcast */
	m.len = 28;
	put(&m, s->mac, 6);
	m.len = 236;
	put32(&m, 0x63825363);
	put(&m, (uint8_t[]){53, 1, d->type}, 3);
	put(&m, (uint8_t[]){55, sizeof(wanted)}, 2);
	put(&m, wanted, sizeof(wanted));
	if (d->host) {
		put(&m, (uint8_t[]){12, (uint8_t)strlen(d->host)}, 2);
		put(&m, d->host, strlen(d->host));
	}
	if (d->type == 3) {
		put(&m, (uint8_t[]){50, 4}, 2);
		put(&m, &d->lease->ip, 4);
		put(&m, (uint8_t[]){54, 4}, 2);
		put(&m, &d->lease->server, 4);
	}
	put8(&m, 255);
	send_udp4(s, none, all, 68, 67, &m);
}

static void dhcp4_option(struct dhcp4 *d, uint8_t code, const uint8_t *v, unsigned int len)
{
	struct station_lease *l = d->lease;
	struct in_addr *addr = code == 1    ? &l->mask
			       : code == 3  ? &l->router
			       : code == 6  ? &l->dns
			       : code == 54 ? &l->server
					    : NULL;

	if (addr && len >= 4)
		memcpy(addr, v, 4);
	else if (code == 26 && len == 2)
		l->mtu = (uint16_t)get16(v);
	else if (code == 51 && len == 4)
		l->seconds = get32(v);
	else if (code == 53 && len == 1)
		d->got = v[0];
	else if (code == 15)
		memcpy(l->domain, v, MIN(len, sizeof(l->domain) - 1));
}

static bool dhcp4_match(struct station *s, const struct frame *f, void *arg)
{
	const uint8_t *udp = f->data + f->l4, *b = f->data + f->payload, *end = f->data + f->len;
	struct dhcp4 *d = arg;

	(void)s;
	if (f->ip != 4 || f->proto != IPPROTO_UDP || get16(udp + 2) != 68 || end - b < 241 ||
	    b[0] != 2 || get32(b + 4) != d->xid || !frame_l4_sum_ok(f))
		return false;
	memset(d->lease, 0, sizeof(*d->lease));
	memcpy(&d->lease->ip, b + 16, 4);
	for (b += 240; b + 1 < end && *b != 255;) {
		if (!*b) {
			b++;
			continue;
		}
		if (b + 2 + b[1] > end)
			break;
		dhcp4_option(d, b[0], b + 2, b[1]);
		b += 2 + b[1];
	}
	/* An offer for a discovery, a decision for a request. */
	return d->type == 1 ? d->got == 2 : d->got == 5 || d->got == 6;
}

bool station_dhcp4(struct station *s, const char *host, struct station_lease *lease, int ms)
{
	uint64_t deadline = now_ns() + (uint64_t)ms * NSEC_PER_MSEC;
	struct dhcp4 d = {.host = host, .lease = lease};

	do {
		d.type = 1;
		d.xid = ++s->seq;
		if (!exchange(s, dhcp4_send, dhcp4_match, &d, deadline))
			return false;
		d.type = 3;
		if (!exchange(s, dhcp4_send, dhcp4_match, &d, deadline))
			return false;
	} while (d.got != 5);
	s->ip4 = lease->ip;
	return true;
}

/* ---- DHCPv6 ---- */

static const struct in6_addr all_servers = {{{0xff, 2, [13] = 1, [15] = 2}}};
static const struct in6_addr all_routers = {{{0xff, 2, [15] = 2}}};

struct dhcp6 {
	uint8_t type; /* sent */
	uint32_t xid;
	struct msg server_id;
	struct in6_addr ip, dns;
	bool has_ip;
};

static void dhcp6_send(struct station *s, void *arg)
{
	struct dhcp6 *d = arg;
	struct msg m = {0};

	put32(&m, (uint32_t)d->type << 24 | (d->xid & 0xffffff));
	put16(&m, 1); /* client id: DUID-LL */
	put16(&m, 10);
	put16(&m, 3);
	put16(&m, 1);
	put(&m, s->mac, 6);
	if (d->type == 3) {
		put16(&m, 2);
		put16(&m, d->server_id.len);
		put(&m, d->server_id.b, d->server_id.len);
	}
	put16(&m, 3); /* IA_NA */
	put16(&m, d->type == 3 ? 12 + 28 : 12);
	put32(&m, s->iaid);
	put32(&m, 0);
	put32(&m, 0);
	if (d->type == 3) {
		put16(&m, 5);
		put16(&m, 24);
		put(&m, &d->ip, 16);
		put32(&m, 0);
		put32(&m, 0);
	}
	put16(&m, 6); /* wanted: name servers */
	put16(&m, 2);
	put16(&m, 23);
	put16(&m, 8); /* elapsed time */
	put16(&m, 2);
	put16(&m, 0);
	send_6(s, IPPROTO_UDP, &s->link_local, &all_servers, 546, 547, &m);
}

static void dhcp6_options(struct dhcp6 *d, const uint8_t *b, const uint8_t *end)
{
	while (end - b >= 4 && end - b >= 4 + (long)get16(b + 2)) {
		unsigned int code = get16(b), len = get16(b + 2);

		b += 4;
		if (code == 2 && len <= sizeof(d->server_id.b)) {
			d->server_id.len = 0;
			put(&d->server_id, b, len);
		} else if (code == 3 && len > 12) {
			dhcp6_options(d, b + 12, b + len);
		} else if (code == 5 && len >= 24) {
			memcpy(&d->ip, b, 16);
			d->has_ip = true;
		} else if (code == 23 && len >= 16) {
			memcpy(&d->dns, b, 16);
		}
		b += len;
	}
}

static bool dhcp6_match(struct station *s, const struct frame *f, void *arg)
{
	const uint8_t *b = f->data + f->payload, *end = f->data + f->len;
	struct dhcp6 *d = arg;

	(void)s;
	if (f->ip != 6 || f->proto != IPPROTO_UDP || get16(f->data + f->l4 + 2) != 546 ||
	    end - b < 4 || (get32(b) & 0xffffff) != (d->xid & 0xffffff) || !frame_l4_sum_ok(f) ||
	    b[0] != (d->type == 1 ? 2 : 7))
		return false;
	d->has_ip = false;
	dhcp6_options(d, b + 4, end);
	return true;
}

bool station_dhcp6(struct station *s, struct in6_addr *ip, struct in6_addr *dns, int ms)
{
	uint64_t deadline = now_ns() + (uint64_t)ms * NSEC_PER_MSEC;
	struct dhcp6 d = {.type = 1, .xid = ++s->seq};

	if (!exchange(s, dhcp6_send, dhcp6_match, &d, deadline) || !d.has_ip)
		return false;
	d.type = 3;
	d.xid = ++s->seq;
	if (!exchange(s, dhcp6_send, dhcp6_match, &d, deadline) || !d.has_ip)
		return false;
	*ip = s->ip6 = d.ip;
	*dns = d.dns;
	return true;
}

/* ---- router advertisements ---- */

static void solicit(struct station *s, void *arg)
{
	struct msg m = {0};

	(void)arg;
	put32(&m, 133u << 24);
	put32(&m, 0);
	put16(&m, 1 << 8 | 1); /* source link-layer address */
	put(&m, s->mac, 6);
	send_6(s, IPPROTO_ICMPV6, &s->link_local, &all_routers, 0, 0, &m);
}

static bool router_match(struct station *s, const struct frame *f, void *arg)
{
	const uint8_t *b = f->data + f->l4, *end = f->data + f->len;
	struct station_ra *ra = arg;

	(void)s;
	if (f->ip != 6 || f->proto != IPPROTO_ICMPV6 || end - b < 16 || b[0] != 134 ||
	    !frame_l4_sum_ok(f))
		return false;
	memset(ra, 0, sizeof(*ra));
	ra->flags = b[5];
	ra->lifetime = (uint16_t)get16(b + 6);
	for (b += 16; end - b >= 8 && b[1] && end - b >= 8 * b[1]; b += 8 * b[1]) {
		if (b[0] == 5)
			ra->mtu = get32(b + 4);
		if (b[0] == 3 && b[1] == 4) {
			ra->prefix_len = b[2];
			ra->prefix_flags = b[3];
			memcpy(&ra->prefix, b + 16, 16);
		}
	}
	return true;
}

bool station_router(struct station *s, struct station_ra *ra, int ms)
{
	return exchange(s, solicit, router_match, ra, now_ns() + (uint64_t)ms * NSEC_PER_MSEC);
}

/* ---- DNS ---- */

struct dns {
	const void *server;
	int family, wanted;
	const char *name;
	uint16_t id;
	void *out;
	int result;
};

static void dns_send(struct station *s, void *arg)
{
	struct dns *d = arg;
	struct msg m = {0};
	const char *at = d->name;

	put16(&m, d->id);
	put16(&m, 0x0100); /* recursion desired */
	put16(&m, 1);
	put16(&m, 0);
	put32(&m, 0);
	while (*at) {
		size_t len = strcspn(at, ".");

		put8(&m, (unsigned int)len);
		put(&m, at, len);
		at += len + (at[len] == '.');
	}
	put8(&m, 0);
	put16(&m, d->wanted == AF_INET ? 1 : 28);
	put16(&m, 1);
	if (d->family == AF_INET) {
		struct in_addr to;

		memcpy(&to, d->server, 4);
		send_udp4(s, s->ip4, to, 40053, 53, &m);
	} else {
		send_6(s, IPPROTO_UDP, &s->ip6, d->server, 40053, 53, &m);
	}
}

/* Over a name; NULL: broken. */
static const uint8_t *skip_name(const uint8_t *b, const uint8_t *end)
{
	while (b < end && *b) {
		if (*b >= 0xc0)
			return b + 2 <= end ? b + 2 : NULL;
		b += 1 + *b;
	}
	return b < end ? b + 1 : NULL;
}

static bool dns_match(struct station *s, const struct frame *f, void *arg)
{
	const uint8_t *b = f->data + f->payload, *end = f->data + f->len;
	struct dns *d = arg;
	unsigned int n, size = d->wanted == AF_INET ? 4 : 16;

	(void)s;
	if (f->proto != IPPROTO_UDP || get16(f->data + f->l4) != 53 || end - b < 12 ||
	    get16(b) != d->id || !(b[2] & 0x80) || !frame_l4_sum_ok(f))
		return false;
	d->result = -(b[3] & 0xf);
	n = get16(b + 6);
	b = skip_name(b + 12, end);
	if (!b || d->result)
		return true;
	b += 4;
	d->result = -100;
	for (unsigned int i = 0, found = 0; i < n; i++) {
		b = skip_name(b, end);
		if (!b || end - b < 10 || end - b < 10 + (long)get16(b + 8))
			return true;
		if (get16(b) == (d->wanted == AF_INET ? 1 : 28) && get16(b + 8) == size) {
			if (!found++)
				memcpy(d->out, b + 10, size);
			d->result = (int)found;
		}
		b += 10 + get16(b + 8);
	}
	return true;
}

int station_dns(struct station *s, const void *server, int family, const char *name, int wanted,
		void *out, int ms)
{
	struct dns d = {.server = server,
			.family = family,
			.wanted = wanted,
			.name = name,
			.id = (uint16_t)++s->seq,
			.out = out,
			.result = -1000};

	exchange(s, dns_send, dns_match, &d, now_ns() + (uint64_t)ms * NSEC_PER_MSEC);
	return d.result;
}
