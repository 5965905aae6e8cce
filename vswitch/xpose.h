/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A header transposition: what a policy makes of the packets of a flow, composed of the actions of
 * all its layers into one (the term is VFP's, NSDI'17; push, pop and modify are OPTE's).
 *
 * It is plain data: made once, by xpose_compose(), never changed after it was published. It is
 * applied to a copy of a packet's view: the sender's stays as it is, since a sender that has to
 * wait offers its packet again.
 *
 * What a change does not apply to stays as it is: addresses of IPv4 in an IPv6 packet, ports of
 * ICMP. What must not be left half done is dropped instead (VSW_DROP_REWRITE), see xpose_apply().
 */
#ifndef HVLAB_VSWITCH_XPOSE_H
#define HVLAB_VSWITCH_XPOSE_H

#include <stdint.h>

#include "vswitch/packet.h"

/* struct vsw_xpose.flags: which fields count. */
#define XPOSE_ETH_SRC	0x0001u
#define XPOSE_ETH_DST	0x0002u
#define XPOSE_IP_SRC	0x0004u
#define XPOSE_IP_DST	0x0008u
/*
 * Port of TCP and UDP. Of an ICMP query (echo, timestamp, information, address mask, and ICMPv6
 * echo) it is the identifier: the source port of a request, the destination port of a reply.
 */
#define XPOSE_L4_SRC	0x0010u
#define XPOSE_L4_DST	0x0020u
#define XPOSE_TTL	0x0040u /* count down; a packet that would not survive it: VSW_DROP_TTL */
#define XPOSE_DSCP	0x0080u
#define XPOSE_VLAN	0x0100u
#define XPOSE_TUN_SET	0x0200u /* pkt->tun becomes remote and vni of tun: an order */
#define XPOSE_TUN_CLEAR 0x0400u /* no tunnel key */
#define XPOSE_ALL	0x07ffu

#define XPOSE_MAX_TAGS 2

/**
 * struct xpose_vlan - What happens to VLAN tags, outermost first, in this order
 * @pop:	that many are taken off, as far as there are any
 * @set:	the outermost left gets VLAN id @vid and keeps its priority; a packet without a tag
 *		gets one. @vid 0 makes a priority tag.
 * @push:	then that many are put on: tci[0] first
 */
struct xpose_vlan {
	uint8_t pop;
	uint8_t push;
	bool set;
	uint16_t vid;
	uint16_t tci[XPOSE_MAX_TAGS]; /* as pkt.vlan_tci */
};

/**
 * struct vsw_xpose - One transposition
 * @flags:	XPOSE_*; 0: the packet stays as it is
 * @ttl_dec:	steps of TTL or hop limit
 * @dscp:	upper six bits of TOS or traffic class; ECN stays
 * @ip_src:	IPv4 as ::ffff:a.b.c.d. Those go into IPv4 packets only, others into IPv6 only
 * @l4_src:	host order
 *
 * With a flag not set its fields are zero, so that equal ones compare equal as bytes.
 */
struct vsw_xpose {
	uint32_t flags;
	uint8_t ttl_dec;
	uint8_t dscp;
	uint8_t eth_src[6], eth_dst[6];
	uint16_t l4_src, l4_dst;
	struct xpose_vlan vlan;
	uint8_t ip_src[16], ip_dst[16];
	struct pkt_tunnel tun;
};

/* One change each, added to what @x does already; each is the same as composing with it. */
void xpose_vlan_pop(struct vsw_xpose *x);
void xpose_vlan_set(struct vsw_xpose *x, uint16_t vid);
/* False: more than XPOSE_MAX_TAGS would be put on; @x stays as it was. */
bool xpose_vlan_push(struct vsw_xpose *x, uint16_t tci);

/**
 * xpose_compose() - @to becomes "first @to, then @next"
 * @next:	May be one of no flags; not @to itself
 *
 * Any thread, while nobody else sees @to.
 * Return: false when more than XPOSE_MAX_TAGS tags would be put on; @to then stays as it was.
 */
bool xpose_compose(struct vsw_xpose *to, const struct vsw_xpose *next);

/**
 * xpose_apply() - A changed copy of a packet
 * @in:		Parsed. Stays as it is
 * @out:	Becomes a copy of what is used of @in: fixed fields, header bytes, pieces. It points
 *		into @in and into what @in points to: valid while @in is. Offsets, kinds, debts and
 *		facts are right for it, as if it had been parsed. @out is undefined after a drop.
 *
 * Checksums. A debt stays a debt. What is no debt is brought up to date by what has changed (RFC
 * 1624): a right sum stays right, a wrong one wrong, PKT_*_GOOD stay true, and a UDP sum of zero
 * (none) stays zero. TCP, UDP, UDP-Lite, DCCP and ICMPv6 sums follow the addresses, also in the
 * first fragment.
 *
 * Tags. A tag that is put on is a PKT_VLAN debt, not bytes; one that is under it already is paid.
 *
 * Large packets (PKT_GSO_*) go whole: all their segments get the change.
 *
 * Return: VSW_DROP_NONE or
 *	VSW_DROP_TTL		it has not enough steps left
 *	VSW_DROP_REWRITE	a port is to be changed in a fragment, or an address in a packet
 *whose checksum lies where it cannot be changed: behind the header bytes, or behind an extension
 *header that we do not look through; or no room for one more tag
 */
enum vsw_drop xpose_apply(const struct vsw_xpose *x, const struct pkt *in, struct pkt *out);

/**
 * xpose_apply_icmp_error() - The same for an ICMP or ICMPv6 error about a packet of a flow
 * @x:		of the direction in which the error travels, that is against the packet it quotes
 *
 * The error's own headers are changed as xpose_apply() does, ports aside. The quoted packet went
 * the other way: it gets @x's source where its destination is and the other way round, addresses
 * and ports (RFC 5508, 4.2: "revert the embedded packet"). The quoted IP and L4 checksums, as far
 * as they are quoted, and the ICMP checksum over it all are brought up to date. TTL and DSCP of the
 * quoted packet stay.
 *
 * An error that quotes nothing that can be looked at is VSW_DROP_REWRITE; whether a packet is one,
 * and which flow it is about, says icmp_quote() of icmp.h.
 */
enum vsw_drop xpose_apply_icmp_error(const struct vsw_xpose *x, const struct pkt *in,
				     struct pkt *out);

#endif
