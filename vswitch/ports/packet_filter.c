/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the filter of a packet socket, in classic BPF (Linux Documentation/networking/filter.rst):
 * what has no VLAN tag and is ARP, neighbour discovery, or IP to one of the prefixes. The kernel
 * has taken the tag out, so the offsets are those of a frame without.
 *
 * Conditional jumps reach 255 instructions only, so each prefix is a block of its own that accepts
 * at its end and is left to the next one otherwise.
 */
#include "vswitch/ports/packet_filter.h"

#include <errno.h>
#include <linux/if_ether.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/util.h"
#include "base/wire.h"

#define AT_TYPE	   12
#define AT_IP4_DST 30
#define AT_IP6_NXT 20
#define AT_IP6_DST 38
#define AT_ICMP6   54
#define ND_FIRST   133 /* router solicitation, RFC 4861; the last is redirect */
#define ND_LAST	   137
#define ALL	   0xffffffffu
/* Of a prefix: load, mask and compare per word, and the verdict. */
#define PER_PREFIX (3 * 4 + 1)
#define FRAME_CODE 24

static void put(struct sock_fprog *p, uint16_t code, uint8_t jt, uint8_t jf, uint32_t k)
{
	p->filter[p->len++] = (struct sock_filter){code, jt, jf, k};
}

static void load(struct sock_fprog *p, uint16_t size, uint32_t at)
{
	put(p, BPF_LD | BPF_ABS | size, 0, 0, at);
}

static void verdict(struct sock_fprog *p, uint32_t bytes)
{
	put(p, BPF_RET | BPF_K, 0, 0, bytes);
}

static void put_prefix(struct sock_fprog *p, const struct packet_prefix *pre)
{
	uint32_t at = pre->family == AF_INET ? AT_IP4_DST : AT_IP6_DST;
	unsigned int words = (pre->len + 31) / 32, from = p->len;

	for (unsigned int i = 0; i < words; i++) {
		unsigned int bits = MIN(pre->len - 32 * i, 32u);
		uint32_t mask = bits == 32 ? ALL : ~(ALL >> bits);

		load(p, BPF_W, at + 4 * i);
		if (mask != ALL)
			put(p, BPF_ALU | BPF_AND | BPF_K, 0, 0, mask);
		put(p, BPF_JMP | BPF_JEQ | BPF_K, 0, 0, be32_load(pre->addr + 4 * i) & mask);
	}
	verdict(p, ALL);
	/* Unequal: behind the verdict. */
	for (unsigned int i = from; i < p->len; i++)
		if (BPF_CLASS(p->filter[i].code) == BPF_JMP)
			p->filter[i].jf = (uint8_t)(p->len - i - 1);
}

static void put_family(struct sock_fprog *p, const struct packet_prefix *list, unsigned int n,
		       int family)
{
	for (unsigned int i = 0; i < n; i++)
		if (list[i].family == family)
			put_prefix(p, &list[i]);
	verdict(p, 0);
}

static int check(const struct packet_prefix *list, unsigned int n)
{
	if (n > PACKET_MAX_PREFIXES)
		return -E2BIG;
	for (unsigned int i = 0; i < n; i++)
		if ((list[i].family != AF_INET && list[i].family != AF_INET6) ||
		    list[i].len > (list[i].family == AF_INET ? 32 : 128))
			return -EINVAL;
	return 0;
}

int packet_filter_make(const struct packet_prefix *list, unsigned int n, struct sock_fprog *prog)
{
	unsigned int to_v6;
	int rc = check(list, n);

	if (rc)
		return rc;
	prog->len = 0;
	prog->filter = calloc(FRAME_CODE + n * PER_PREFIX, sizeof(*prog->filter));
	if (!prog->filter)
		return -ENOMEM;
	load(prog, BPF_B, (uint32_t)(SKF_AD_OFF + SKF_AD_VLAN_TAG_PRESENT));
	put(prog, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 0);
	verdict(prog, 0);
	load(prog, BPF_H, AT_TYPE);
	put(prog, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, ETH_P_ARP);
	verdict(prog, ALL);
	put(prog, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, ETH_P_IPV6);
	to_v6 = prog->len;
	put(prog, BPF_JMP | BPF_JA, 0, 0, 0);
	put(prog, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, ETH_P_IP);
	verdict(prog, 0);
	put_family(prog, list, n, AF_INET);
	prog->filter[to_v6].k = prog->len - to_v6 - 1;
	load(prog, BPF_B, AT_IP6_NXT);
	put(prog, BPF_JMP | BPF_JEQ | BPF_K, 0, 4, IPPROTO_ICMPV6);
	load(prog, BPF_B, AT_ICMP6);
	put(prog, BPF_JMP | BPF_JGE | BPF_K, 0, 2, ND_FIRST);
	put(prog, BPF_JMP | BPF_JGT | BPF_K, 1, 0, ND_LAST);
	verdict(prog, ALL);
	put_family(prog, list, n, AF_INET6);
	return 0;
}
