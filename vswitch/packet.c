/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns what is true of a packet as a whole: making one, its size on the wire. */
#include "vswitch/packet.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/uio.h>

#include "base/util.h"

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
