/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A packet on its way through the switch: a view of the sender's memory plus debts.
 *
 * The first bytes (all headers the switch looks at) are copied once into the packet, because
 * the sender is hostile and may rewrite its memory while we look. The rest stays where it is and
 * is read exactly once, by the copy into the receiver. A view is valid until the sender's
 * completion: nobody keeps a packet after vsw_send() returned.
 *
 * Debts are what the sender left undone because its device promised to do it: checksums,
 * segmentation, a VLAN tag beside the frame. vswitch/offload.h pays what the receiver cannot take.
 */
#ifndef HVLAB_VSWITCH_PACKET_H
#define HVLAB_VSWITCH_PACKET_H

#include <stdbool.h>
#include <stdint.h>

#define PKT_HDR_MAX    256 /* bytes copied; covers VLAN, IPv6 with extensions, TCP with options */
#define PKT_MAX_PIECES 48  /* pieces of sender memory behind the header */
#define PKT_MAX_LEN    (256 * 1024) /* longest packet, a TSO packet with headers */
#define PKT_MIN_LEN    14

/* Debts and facts, pkt.flags */
#define PKT_CSUM_IP 0x0001u /* debt: IPv4 header checksum, field holds anything */
#define PKT_CSUM_L4 0x0002u /* debt: TCP, UDP or ICMPv6 checksum, field holds anything */
#define PKT_GSO_TCP 0x0004u /* debt: cut the TCP payload at gso_size; implies both above */
#define PKT_GSO_UDP 0x0008u /* debt: cut the UDP payload at gso_size (USO) */
#define PKT_VLAN    0x0010u /* debt: vlan_tci has to be inserted behind the addresses */
#define PKT_IP_GOOD 0x0020u /* fact: IPv4 header checksum known good on this host */
#define PKT_L4_GOOD 0x0040u /* fact: L4 checksum known good on this host */
#define PKT_NO_WAIT 0x0080u /* the sender will not wait for receive buffers: drop instead */

/* L3/L4 kind, filled by pkt_parse() */
enum pkt_l3 { PKT_L3_OTHER, PKT_L3_IPV4, PKT_L3_IPV6 };
enum pkt_l4 { PKT_L4_NONE, PKT_L4_TCP, PKT_L4_UDP, PKT_L4_ICMP, PKT_L4_ICMPV6, PKT_L4_OTHER };

struct pkt_piece {
	const uint8_t *ptr;
	uint32_t len;
};

/* Why a packet died. Names in vswitch/drop.c; shown by `hvlab stats` and in captures. */
enum vsw_drop {
	VSW_DROP_NONE,
	VSW_DROP_MALFORMED,   /* shorter than a header says, longer than allowed, bad debts */
	VSW_DROP_TOO_BIG,     /* does not fit the receiver's MTU and may not be cut */
	VSW_DROP_NO_BUFFER,   /* receiver had no buffer, also not after the sender's wait */
	VSW_DROP_LINK_DOWN,   /* receiver's or sender's link is down */
	VSW_DROP_NO_PORT,     /* nobody else in this network */
	VSW_DROP_SAME_PORT,   /* destination lives behind the port the frame came from */
	VSW_DROP_SRC_INVALID, /* multicast or zero source address */
	VSW_DROP_RX_FILTER,   /* not for this receiver: address or VLAN it does not want */
	VSW_DROP_RX_ERROR,    /* receiver's queue or memory is broken */
	VSW_DROP_RATE,	      /* bandwidth limit */
	VSW_DROP_NO_ROUTE,    /* no way there: a router's table, or the running kernel's */
	VSW_DROP_NO_NEIGHBOUR, /* the next hop does not answer who it is */
	VSW_DROP_NO_REMOTE,   /* a tunnel knows no host for the address */
	VSW_DROP_TTL,	      /* time to live used up on the way */
	VSW_DROP_POLICY,      /* a rule denies it */
	VSW_DROP_FLOWS,	      /* no room for one more connection */
	VSW_DROP_NAT_PORTS,   /* no port left for its translation */
	VSW_DROP_VLAN,	      /* a tag its port may not send, or a receiver in another VLAN */
	VSW_DROP_SPOOF,	      /* not the NIC's own source address (guard.h) */
	VSW_DROP_DHCP_GUARD,  /* what only a DHCP server says */
	VSW_DROP_ROUTER_GUARD, /* what only a router says */
	VSW_DROP_STORM,	      /* more broadcast, multicast, unknown unicast than the port may */
	VSW_DROP_REWRITE,     /* policy changes a header that cannot be changed (xpose.h) */
	VSW_N_DROPS
};
const char *vsw_drop_name(enum vsw_drop why);

struct vsw_port;

/**
 * struct pkt_tunnel - Tunnel key: the outer world of a packet of an overlay network
 * @remote:	The other host's tunnel address; IPv4 as ::ffff:a.b.c.d (RFC 4291, 2.5.5.2)
 * @vni:	Virtual network identifier, 24 bits, host order
 * @set:	False: no key, the rest means nothing
 * @received:	The key says where the packet came from (a tunnel's port writes it). False: it is
 *		an order to a tunnel's port to send there, and not where its own table says.
 */
struct pkt_tunnel {
	bool set, received;
	uint32_t vni;
	uint8_t remote[16];
};

/**
 * struct pkt_delay - What a queue whose first packet waits for bandwidth keeps of it
 * @until:	When to offer it again (now_ns())
 * @since:	Since when it waits; 0: it does not
 *
 * Opaque but for @until and PKT_DELAY_EXEMPT. Zero in a packet that is offered for the first time.
 */
enum pkt_delay_at {
	PKT_DELAY_NOWHERE,
	PKT_DELAY_AT_PATH,
	PKT_DELAY_AT_PORT,
	PKT_DELAY_EXEMPT, /* set by a sender: it goes at once, those behind it pay */
};
struct pkt_delay {
	uint64_t until, since;
	uint32_t ticket;
	uint8_t at; /* enum pkt_delay_at */
};

/**
 * struct pkt - One packet of a sender
 * @flags:	PKT_*
 * @len:	Bytes of the whole packet as the sender gave it (no VLAN debt counted)
 * @hdr_len:	Bytes of it in @hdr: min(len, PKT_HDR_MAX) at first
 * @n_pieces:	The rest: @piece[0..n)
 * @gso_size:	MSS: payload bytes per segment
 * @vlan_tci:	With PKT_VLAN: priority [15:13], DEI [12], VLAN id [11:0], host order
 * @l3_off:	Offsets into @hdr; set by pkt_parse(); 0 = none
 * @src_off:	Of the addresses in @hdr that the L4 pseudo header has: behind an IPv6 routing
 *header or home address option these are not the ones in the IP header
 * @ip_len:	Bytes of the IP packet by its own length field; the frame may be padded behind it.
 *		With a segmentation debt: what is there, since the field then holds anything.
 * @seg_done:	Segments already delivered: where a sender that was told to wait goes on
 * @waits_for:	Set by vsw_send() when the packet has to wait: for this port; NULL: for bandwidth
 * @delay:	Set by vsw_send() when the packet has to wait for bandwidth
 * @tun:	Tunnel key. A sender that is no tunnel clears tun.set
 *
 * Filled by the sending port, changed by the switch on the sender's worker only.
 */
struct pkt {
	uint32_t flags;
	uint32_t len;
	uint16_t hdr_len;
	uint16_t n_pieces;
	uint16_t gso_size;
	uint16_t vlan_tci;
	uint16_t l3_off, l4_off, payload_off;
	uint16_t eth_type; /* host order, behind VLAN tags in the frame */
	uint8_t l3;	   /* enum pkt_l3 */
	uint8_t l4;	   /* enum pkt_l4 */
	uint8_t l4_proto;
	bool fragment; /* not the whole L4 packet: no L4 checksum, no ports, l4 is PKT_L4_NONE */
	uint16_t src_off, dst_off;
	uint32_t ip_len;
	uint32_t seg_done;
	struct vsw_port *waits_for;
	struct pkt_delay delay;
	uint64_t tag; /* the sending port's own */
	struct pkt_tunnel tun;
	uint8_t hdr[PKT_HDR_MAX] __attribute__((aligned(16)));
	struct pkt_piece piece[PKT_MAX_PIECES];
};

#define PKT_GSO	     (PKT_GSO_TCP | PKT_GSO_UDP)
/* Most frames that one packet may be cut into: beyond it the packet is malformed. */
#define PKT_MAX_SEGS 4096

struct iovec;

/*
 * A packet over @iov: copies the first bytes, points at the rest, clears everything else.
 * 0; -EMSGSIZE: shorter than PKT_MIN_LEN, longer than PKT_MAX_LEN; -E2BIG: too many pieces.
 */
int pkt_from_iov(struct pkt *pkt, const struct iovec *iov, unsigned int n_iov);

/* A fragment that is not the first: no L4 header. Parsed packets. */
bool pkt_is_later_fragment(const struct pkt *pkt);

/*
 * The kind of L4 header of which the first 8 bytes are in pkt->hdr: pkt->l4, and of a first fragment
 * what it is a fragment of. Parsed packets.
 */
enum pkt_l4 pkt_l4_in_sight(const struct pkt *pkt);

/* Frames it is on the wire, and the bytes of them all. Parsed packets. */
uint32_t pkt_n_segs(const struct pkt *pkt);
uint64_t pkt_wire_bytes(const struct pkt *pkt);

#endif
