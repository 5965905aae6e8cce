/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns how dnsmasq is made to forget a lease while it runs: by the message with which a client
 * gives its lease back.
 *
 * dnsmasq does not give a fixed address to one client that it has leased to another, which is by
 * DHCPv4 another MAC and by DHCPv6 another client identifier or IAID. Nor does it forget a lease
 * when told to read its files again. Ending it and starting it again would do, but the other
 * guests' questions of that time would be lost. So what it says of a lease in its file (dnsmasq
 * src/lease.c lease_update_file()) becomes the DHCPRELEASE or Release of that client: RFC 2131
 * 4.4.6, RFC 8415 18.2.7. The latter goes in a relay's envelope (19.1): of a client that asks
 * directly dnsmasq wants to know the MAC, and waits half a second for nobody's answer.
 */
#include "host/netsvc_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "base/wire.h"
#include "vswitch/checksum.h"

#define ETH_SIZE   14
#define IP4_SIZE   20
#define IP6_SIZE   40
#define UDP_SIZE   8
#define BOOTP_SIZE 236 /* without the magic cookie and the options */

enum {
	PORT4_SERVER = 67,
	PORT4_CLIENT = 68,
	PORT6_SERVER = 547,
	DHCP4_RELEASE = 7,
	DHCP6_RELEASE = 8,
	DHCP6_RELAY_FORW = 12,
};

/* ---- the file ---- */

/* "0a:1b:..." to bytes; their number, 0 when it is none or they are too many. */
static size_t parse_hex(const char *s, uint8_t *out, size_t room)
{
	size_t n = 0;
	unsigned int v;
	int len;

	for (;; s++) {
		if (n == room || sscanf(s, "%2x%n", &v, &len) != 1 || len != 2)
			return 0;
		out[n++] = (uint8_t)v;
		s += 2;
		if (!*s)
			return n;
		if (*s != ':')
			return 0;
	}
}

/* "00:15:..." is Ethernet's, "06-00:15:..." another kind's. */
static int parse_hw(const char *s, struct netsvc_lease *l)
{
	unsigned int type = 1;

	if (strlen(s) > 3 && s[2] == '-') {
		if (sscanf(s, "%2x", &type) != 1)
			return -EINVAL;
		s += 3;
	}
	l->hw_type = (uint8_t)type;
	l->hw_len = (uint8_t)parse_hex(s, l->hw, sizeof(l->hw));
	return l->hw_len ? 0 : -EINVAL;
}

static int parse_iaid(const char *s, struct netsvc_lease *l)
{
	char *end;
	unsigned long v;

	l->temporary = *s == 'T';
	s += l->temporary;
	errno = 0;
	v = strtoul(s, &end, 10);
	if (end == s || *end || errno || v > UINT32_MAX)
		return -EINVAL;
	l->iaid = (uint32_t)v;
	return 0;
}

int netsvc_lease_parse(char *line, struct netsvc_lease *l)
{
	enum { EXPIRES, WHO, ADDRESS, NAME, ID, N_FIELDS };
	char *field[N_FIELDS], *save = NULL;
	int rc;

	memset(l, 0, sizeof(*l));
	for (unsigned int i = 0; i < N_FIELDS; i++) {
		field[i] = strtok_r(i ? NULL : line, " ", &save);
		if (!field[i])
			return -EINVAL; /* also: "duid 00:01:..." */
	}
	if (inet_pton(AF_INET, field[ADDRESS], &l->ip4) == 1) {
		l->family = AF_INET;
		rc = parse_hw(field[WHO], l);
	} else if (inet_pton(AF_INET6, field[ADDRESS], &l->ip6) == 1) {
		l->family = AF_INET6;
		rc = parse_iaid(field[WHO], l);
	} else {
		return -EINVAL;
	}
	if (rc)
		return rc;
	if (strcmp(field[ID], "*") != 0) {
		l->id_len = parse_hex(field[ID], l->id, sizeof(l->id));
		if (!l->id_len)
			return -EINVAL;
	}
	/* By DHCPv6 nobody is a client without one. */
	return l->family == AF_INET6 && !l->id_len ? -EINVAL : 0;
}

/* ---- the messages ---- */

/* Bytes being written. The sizes are ours, bounded by struct netsvc_lease. */
static uint8_t *put(uint8_t *at, const void *data, size_t size)
{
	memcpy(at, data, size);
	return at + size;
}

static uint8_t *put16(uint8_t *at, unsigned int v)
{
	be16_store(at, (uint16_t)v);
	return at + 2;
}

static uint8_t *put32(uint8_t *at, uint32_t v)
{
	be32_store(at, v);
	return at + 4;
}

static uint8_t *option4(uint8_t *at, unsigned int code, const void *data, size_t size)
{
	*at++ = (uint8_t)code;
	*at++ = (uint8_t)size;
	return put(at, data, size);
}

static uint8_t *option6(uint8_t *at, unsigned int code, const void *data, size_t size)
{
	return put(put16(put16(at, code), (unsigned int)size), data, size);
}

/* @udp: header and payload up to @end. The sum of both with the addresses into its place. */
static void udp_finish(uint8_t *udp, const uint8_t *end, const void *addrs, size_t addrs_size)
{
	size_t size = (size_t)(end - udp);
	uint16_t proto = htons(17), len = htons((uint16_t)size), sum;
	uint64_t acc = cksum_short(0, addrs, addrs_size);

	be16_store(udp + 4, (uint16_t)size);
	be16_store(udp + 6, 0);
	acc = cksum_short(acc, &proto, 2);
	acc = cksum_short(acc, &len, 2);
	sum = (uint16_t)~cksum_fold(cksum_short(acc, udp, size));
	if (!sum)
		sum = 0xffff;
	memcpy(udp + 6, &sum, 2);
}

static size_t release4(const struct netsvc_plan *p, const struct netsvc_lease *l, uint8_t *frame)
{
	static const uint8_t cookie[] = {0x63, 0x82, 0x53, 0x63}, type = DHCP4_RELEASE;
	uint8_t *ip = frame + ETH_SIZE, *udp = ip + IP4_SIZE, *bootp = udp + UDP_SIZE, *at;
	uint16_t sum;

	put16(put(put(frame, p->mac, 6), l->hw_len == 6 ? l->hw : p->mac, 6), 0x0800);

	bootp[0] = 1; /* a request */
	bootp[1] = l->hw_type;
	bootp[2] = l->hw_len;
	memcpy(bootp + 12, &l->ip4, 4); /* ciaddr */
	memcpy(bootp + 28, l->hw, l->hw_len);
	at = put(bootp + BOOTP_SIZE, cookie, sizeof(cookie));
	at = option4(at, 53, &type, 1);
	at = option4(at, 54, &p->ip4, 4); /* whom it is for */
	if (l->id_len)
		at = option4(at, 61, l->id, l->id_len);
	*at++ = 0xff;
	if (at < bootp + 300) /* RFC 1542 2.1 */
		at = bootp + 300;

	ip[0] = 0x45;
	be16_store(ip + 2, (uint16_t)(at - ip));
	ip[8] = 64;
	ip[9] = 17;
	memcpy(ip + 12, &l->ip4, 4);
	memcpy(ip + 16, &p->ip4, 4);
	sum = (uint16_t)~cksum_fold(cksum_short(0, ip, IP4_SIZE));
	memcpy(ip + 10, &sum, 2);
	put16(put16(udp, PORT4_CLIENT), PORT4_SERVER);
	udp_finish(udp, at, ip + 12, 8);
	return (size_t)(at - frame);
}

static size_t release6(const struct netsvc_plan *p, const struct netsvc_lease *l, uint8_t *frame)
{
	static const uint8_t dst_mac[] = {0x33, 0x33, 0, 1, 0, 2};
	struct in6_addr peer, dst;
	uint8_t *ip = frame + ETH_SIZE, *udp = ip + IP6_SIZE, *relay = udp + UDP_SIZE, *inner, *ia;
	uint8_t duid[NETSVC_DUID_SIZE], *at;

	inet_pton(AF_INET6, "ff02::1:2", &dst); /* all servers and relays */
	inet_pton(AF_INET6, "fe80::1", &peer);	/* who asked the relay: it does not matter */
	put16(put(put(frame, dst_mac, 6), p->mac, 6), 0x86dd);

	relay[0] = DHCP6_RELAY_FORW;
	relay[1] = 0;
	at = put(relay + 2, &p->ip6, 16); /* which link it is about */
	at = put(at, &peer, 16);
	at = put16(at, 9);
	inner = at + 2;
	at = put32(inner, DHCP6_RELEASE << 24);
	at = option6(at, 1, l->id, l->id_len);
	netsvc_duid(p, duid);
	at = option6(at, 2, duid, sizeof(duid));
	at = put16(at, l->temporary ? 4 : 3);
	ia = at + 2;
	at = put32(ia, l->iaid);
	if (!l->temporary)
		at = put32(put32(at, 0), 0);
	at = put16(put16(at, 5), 24);
	at = put32(put32(put(at, &l->ip6, 16), 0), 0);
	be16_store(ia - 2, (uint16_t)(at - ia));
	be16_store(inner - 2, (uint16_t)(at - inner));

	ip[0] = 0x60;
	be16_store(ip + 4, (uint16_t)(at - udp));
	ip[6] = 17;
	ip[7] = 1;
	/* From itself: its answer stays within. */
	memcpy(ip + 8, &p->ip6, 16);
	memcpy(ip + 24, &dst, 16);
	put16(put16(udp, PORT6_SERVER), PORT6_SERVER);
	udp_finish(udp, at, ip + 8, 32);
	return (size_t)(at - frame);
}

size_t netsvc_release_frame(const struct netsvc_plan *p, const struct netsvc_lease *l,
			    uint8_t frame[NETSVC_FRAME_MAX])
{
	memset(frame, 0, NETSVC_FRAME_MAX);
	if (l->family == AF_INET)
		return p->has4 ? release4(p, l, frame) : 0;
	return p->has6 ? release6(p, l, frame) : 0;
}
