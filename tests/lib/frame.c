/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns test frames: builder, slow checksum, slow segmenter. */
#include "tests/lib/frame.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/wire.h"
#include "tests/lib/rng.h"

#define ETH_TYPE_IP   0x0800
#define ETH_TYPE_IP6  0x86dd
#define ETH_TYPE_VLAN 0x8100

#define TCP_FIN 0x01
#define TCP_PSH 0x08
#define TCP_CWR 0x80

void frame_mac(uint8_t mac[6], unsigned int host)
{
	const uint8_t m[6] = {0x02, 0x15, 0x5d, 0, (uint8_t)(host >> 8), (uint8_t)host};

	memcpy(mac, m, 6);
}

void frame_addr(struct frame_spec *s, unsigned int from, unsigned int to)
{
	unsigned int host[2] = {from, to};

	frame_mac(s->src, from);
	frame_mac(s->dst, to);
	for (int i = 0; i < 2; i++) {
		uint8_t *a = i ? s->daddr : s->saddr;

		memset(a, 0, 16);
		if (s->ip == 6) {
			a[0] = 0xfd;
			a[14] = (uint8_t)(host[i] >> 8);
			a[15] = (uint8_t)host[i];
		} else {
			a[0] = 10;
			a[2] = (uint8_t)(host[i] >> 8);
			a[3] = (uint8_t)host[i];
		}
	}
}

uint32_t csum_add(uint32_t sum, const void *data, size_t len)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < len; i++) {
		sum += i & 1 ? p[i] : (uint32_t)p[i] << 8;
		sum = (sum & 0xffff) + (sum >> 16);
	}
	return sum;
}

uint16_t csum_fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

bool frame_parse(struct frame *f)
{
	uint32_t off = 12;
	uint16_t type;

	f->l3 = f->l4 = f->payload = 0;
	f->ip = f->proto = 0;
	if (f->len < 14)
		return false;
	type = be16_load(f->data + off);
	off += 2;
	while (type == ETH_TYPE_VLAN) {
		if (f->len < off + 4)
			return false;
		type = be16_load(f->data + off + 2);
		off += 4;
	}
	f->l3 = (uint16_t)off;
	if (type == ETH_TYPE_IP && f->len >= off + 20) {
		f->ip = 4;
		f->proto = f->data[off + 9];
		f->l4 = (uint16_t)(off + (f->data[off] & 0xf) * 4u);
	} else if (type == ETH_TYPE_IP6 && f->len >= off + 40) {
		f->ip = 6;
		f->proto = f->data[off + 6];
		f->l4 = (uint16_t)(off + 40);
		while (f->proto == IPPROTO_HOPOPTS || f->proto == IPPROTO_DSTOPTS) {
			if (f->len < f->l4 + 8u)
				return false;
			f->proto = f->data[f->l4];
			f->l4 = (uint16_t)(f->l4 + (f->data[f->l4 + 1] + 1u) * 8u);
		}
	} else {
		return false;
	}
	f->payload = f->l4;
	if (f->proto == IPPROTO_TCP)
		f->payload = (uint16_t)(f->l4 + (f->data[f->l4 + 12] >> 4) * 4u);
	else if (f->proto == IPPROTO_UDP || f->proto == IPPROTO_ICMP || f->proto == IPPROTO_ICMPV6)
		f->payload = (uint16_t)(f->l4 + 8u);
	return f->payload <= f->len;
}

/* Offset of the L4 checksum field from the L4 header, or -1. */
static int sum_off(uint8_t proto)
{
	switch (proto) {
	case IPPROTO_TCP:
		return 16;
	case IPPROTO_UDP:
		return 6;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return 2;
	}
	return -1;
}

static uint32_t pseudo_sum(const struct frame *f, uint32_t l4_len)
{
	const uint8_t *ip = f->data + f->l3;
	uint8_t tail[8] = {0};
	uint32_t sum = 0;

	if (f->proto == IPPROTO_ICMP)
		return 0;
	sum = f->ip == 4 ? csum_add(sum, ip + 12, 8) : csum_add(sum, ip + 8, 32);
	be32_store(tail, l4_len);
	tail[7] = f->proto;
	return csum_add(sum, tail, 8);
}

static bool is_fragment(const struct frame *f)
{
	return f->ip == 4 && (be16_load(f->data + f->l3 + 6) & 0x3fff);
}

void frame_sum(struct frame *f)
{
	int off = sum_off(f->proto);
	uint32_t l4_len = f->len - f->l4;

	if (f->ip == 4) {
		uint8_t *ip = f->data + f->l3;

		memset(ip + 10, 0, 2);
		be16_store(ip + 10, csum_fold(csum_add(0, ip, (ip[0] & 0xf) * 4u)));
	}
	if (off >= 0 && !is_fragment(f)) {
		uint8_t *field = f->data + f->l4 + off;
		uint16_t s;

		memset(field, 0, 2);
		s = csum_fold(csum_add(pseudo_sum(f, l4_len), f->data + f->l4, l4_len));
		be16_store(field, s == 0 && f->proto == IPPROTO_UDP ? 0xffff : s);
	}
}

bool frame_ip_sum_ok(const struct frame *f)
{
	const uint8_t *ip = f->data + f->l3;

	return f->ip != 4 || csum_fold(csum_add(0, ip, (ip[0] & 0xf) * 4u)) == 0;
}

bool frame_l4_sum_ok(const struct frame *f)
{
	int off = sum_off(f->proto);

	if (off < 0 || is_fragment(f))
		return true;
	if (f->proto == IPPROTO_UDP && f->ip == 4 && be16_load(f->data + f->l4 + off) == 0)
		return true;
	return csum_fold(csum_add(pseudo_sum(f, f->len - f->l4), f->data + f->l4,
				  f->len - f->l4)) == 0;
}

static uint8_t *put_ip(struct frame *f, const struct frame_spec *s, uint8_t *p, uint32_t l4_len)
{
	f->l3 = (uint16_t)(p - f->data);
	f->ip = s->ip;
	if (s->ip == 4) {
		uint32_t ihl = 20u + s->opt4;

		memset(p, 0, 20);
		p[0] = (uint8_t)(0x40 | ihl / 4);
		be16_store(p + 2, (uint16_t)(ihl + l4_len));
		be16_store(p + 4, s->ip_id);
		be16_store(p + 6, s->frag);
		p[8] = 64;
		p[9] = s->proto;
		memcpy(p + 12, s->saddr, 4);
		memcpy(p + 16, s->daddr, 4);
		memset(p + 20, 1, s->opt4); /* no-operation options */
		return p + ihl;
	}
	memset(p, 0, 40);
	p[0] = 0x60;
	be16_store(p + 4, (uint16_t)(l4_len + (s->ext6 ? 8 : 0)));
	p[6] = s->ext6 ? IPPROTO_HOPOPTS : s->proto;
	p[7] = 64;
	memcpy(p + 8, s->saddr, 16);
	memcpy(p + 24, s->daddr, 16);
	p += 40;
	if (s->ext6) {
		const uint8_t hop[8] = {s->proto, 0, 1, 4, 0, 0, 0, 0}; /* PadN of 6 */

		memcpy(p, hop, 8);
		p += 8;
	}
	return p;
}

static uint8_t *put_l4(const struct frame_spec *s, uint8_t *p)
{
	switch (s->proto) {
	case IPPROTO_TCP:
		memset(p, 0, 20);
		be16_store(p, s->sport);
		be16_store(p + 2, s->dport);
		be32_store(p + 4, s->seq);
		be32_store(p + 8, s->ack);
		p[12] = (uint8_t)((20 + s->tcp_opt) / 4 << 4);
		p[13] = s->tcp_flags;
		be16_store(p + 14, 0xffff);
		memset(p + 20, 1, s->tcp_opt);
		return p + 20 + s->tcp_opt;
	case IPPROTO_UDP:
		be16_store(p, s->sport);
		be16_store(p + 2, s->dport);
		be16_store(p + 4, (uint16_t)(8 + s->payload_len));
		memset(p + 6, 0, 2);
		return p + 8;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		memset(p, 0, 8);
		p[0] = s->proto == IPPROTO_ICMP ? 8 : 128;
		be16_store(p + 4, s->sport);
		be16_store(p + 6, s->dport);
		return p + 8;
	}
	return p;
}

void frame_build(struct frame *f, const struct frame_spec *s)
{
	struct rng r = {.s = s->seed};
	uint8_t *p = f->data;
	uint32_t l4_hdr = 0;

	if (s->payload_len > FRAME_MAX - 256 || s->opt4 > 40 || s->tcp_opt > 40) {
		fprintf(stderr, "frame_build: does not fit\n");
		abort();
	}
	f->l3 = f->l4 = f->payload = 0;
	f->ip = 0;
	f->proto = 0;
	memcpy(p, s->dst, 6);
	memcpy(p + 6, s->src, 6);
	p += 12;
	if (s->vlan) {
		be16_store(p, ETH_TYPE_VLAN);
		be16_store(p + 2, s->vlan);
		p += 4;
	}
	be16_store(p, s->ip == 4 ? ETH_TYPE_IP : s->ip == 6 ? ETH_TYPE_IP6 : s->eth_type);
	p += 2;
	if (s->ip) {
		if (s->proto == IPPROTO_TCP)
			l4_hdr = 20u + s->tcp_opt;
		else if (sum_off(s->proto) >= 0)
			l4_hdr = 8;
		p = put_ip(f, s, p, l4_hdr + s->payload_len);
		f->l4 = (uint16_t)(p - f->data);
		f->proto = s->proto;
		p = put_l4(s, p);
	}
	f->payload = (uint16_t)(p - f->data);
	rng_fill(&r, p, s->payload_len);
	f->len = f->payload + s->payload_len;
	if (s->ip) {
		frame_sum(f);
		if (s->proto == IPPROTO_UDP && s->udp_no_sum)
			memset(f->data + f->l4 + 6, 0, 2);
	}
}

bool frame_segment(const struct frame *f, uint32_t mss, uint32_t i, struct frame *out)
{
	uint32_t total = f->len - f->payload;
	uint32_t n = total ? (total + mss - 1) / mss : 1;
	uint32_t start = i * mss, len;
	uint8_t *ip, *tcp;

	if (i >= n)
		return false;
	len = total - start < mss ? total - start : mss;
	out->l3 = f->l3;
	out->l4 = f->l4;
	out->payload = f->payload;
	out->ip = f->ip;
	out->proto = f->proto;
	out->len = f->payload + len;
	memcpy(out->data, f->data, f->payload);
	memcpy(out->data + f->payload, f->data + f->payload + start, len);
	ip = out->data + out->l3;
	tcp = out->data + out->l4;
	if (f->ip == 4) {
		be16_store(ip + 2, (uint16_t)(out->len - out->l3));
		be16_store(ip + 4, (uint16_t)(be16_load(f->data + f->l3 + 4) + i));
	} else {
		be16_store(ip + 4, (uint16_t)(out->len - out->l3 - 40));
	}
	be32_store(tcp + 4, be32_load(f->data + f->l4 + 4) + start);
	if (i)
		tcp[13] &= (uint8_t)~TCP_CWR;
	if (i + 1 < n)
		tcp[13] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
	frame_sum(out);
	return true;
}

void frame_make_partial(struct frame *f, bool tso)
{
	int off = sum_off(f->proto);
	uint8_t *ip = f->data + f->l3;

	if (tso) {
		if (f->ip == 4) {
			memset(ip + 2, 0, 2);
			memset(ip + 10, 0, 2);
		} else {
			memset(ip + 4, 0, 2);
		}
	}
	if (off >= 0)
		be16_store(f->data + f->l4 + off,
			   (uint16_t)~csum_fold(pseudo_sum(f, tso ? 0 : f->len - f->l4)));
}
