/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns what is true of a packet as a whole: making one, its size on the wire. */
#include "vswitch/packet.h"

#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/uio.h>

#include "base/util.h"
#include "base/wire.h"

int pkt_from_iov(struct pkt *pkt, const struct iovec *iov, unsigned int n_iov)
{
	uint32_t in_hdr = 0, n = 0;
	uint64_t len = 0;

	memset(pkt, 0, offsetof(struct pkt, hdr));
	for (unsigned int i = 0; i < n_iov; i++) {
		const uint8_t *p = iov[i].iov_base;
		size_t left = iov[i].iov_len, room = PKT_HDR_MAX - in_hdr;
		size_t take = MIN(left, room);

		if (left > PKT_MAX_LEN || len + left > PKT_MAX_LEN)
			return -EMSGSIZE;
		len += left;
		if (take)
			memcpy(pkt->hdr + in_hdr, p, take);
		in_hdr += (uint32_t)take;
		left -= take;
		if (!left)
			continue;
		if (n == PKT_MAX_PIECES)
			return -E2BIG;
		pkt->piece[n].ptr = p + take;
		pkt->piece[n++].len = (uint32_t)left;
	}
	if (len < PKT_MIN_LEN)
		return -EMSGSIZE;
	pkt->len = (uint32_t)len;
	pkt->hdr_len = (uint16_t)in_hdr;
	pkt->n_pieces = (uint16_t)n;
	return 0;
}

bool pkt_is_later_fragment(const struct pkt *pkt)
{
	if (!pkt->fragment)
		return false;
	if (pkt->l3 == PKT_L3_IPV4)
		return be16_load(pkt->hdr + pkt->l3_off + 6) & 0x1fff;
	/* The fragment header is the last before the L4 header (RFC 8200, 4.5). */
	return be16_load(pkt->hdr + pkt->l4_off - 6) >> 3;
}

enum pkt_l4 pkt_l4_in_sight(const struct pkt *pkt)
{
	if (likely(!pkt->fragment))
		return (enum pkt_l4)pkt->l4;
	if (pkt_is_later_fragment(pkt) || pkt->hdr_len < pkt->l4_off + 8u ||
	    pkt->l3_off + pkt->ip_len < pkt->l4_off + 8u)
		return PKT_L4_NONE;
	switch (pkt->l4_proto) {
	case IPPROTO_UDP:
		return PKT_L4_UDP;
	case IPPROTO_TCP:
		return PKT_L4_TCP;
	case IPPROTO_ICMP:
		return pkt->l3 == PKT_L3_IPV4 ? PKT_L4_ICMP : PKT_L4_NONE;
	case IPPROTO_ICMPV6:
		return pkt->l3 == PKT_L3_IPV6 ? PKT_L4_ICMPV6 : PKT_L4_NONE;
	default:
		return PKT_L4_NONE;
	}
}

uint32_t pkt_n_segs(const struct pkt *pkt)
{
	uint32_t payload;

	if (!(pkt->flags & PKT_GSO) || !pkt->gso_size || pkt->len <= pkt->payload_off)
		return 1;
	payload = pkt->len - pkt->payload_off;
	return (payload + pkt->gso_size - 1) / pkt->gso_size;
}

uint64_t pkt_wire_bytes(const struct pkt *pkt)
{
	uint64_t tag = pkt->flags & PKT_VLAN ? 4 : 0;
	uint32_t n = pkt_n_segs(pkt);

	return pkt->len + tag + (uint64_t)(n - 1) * (pkt->payload_off + tag);
}
