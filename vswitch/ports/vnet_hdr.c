/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the way between vnet headers and debts. */
#include "vswitch/ports/vnet_hdr.h"

#include <string.h>

#include "vswitch/checksum.h"
#include "vswitch/parse.h"
#include "vswitch/port.h"

static uint32_t sum_offset(const struct pkt *pkt)
{
	switch (pkt->l4) {
	case PKT_L4_TCP:
		return 16;
	case PKT_L4_UDP:
		return 6;
	case PKT_L4_ICMPV6:
		return 2;
	default:
		return UINT32_MAX;
	}
}

/*
 * The sum that the header asks for, made here: of everything from @start on, where the field holds
 * the sum of the pseudo header. False: it is not where we could write it.
 */
static bool sum_at_once(struct pkt *pkt, uint32_t start, uint32_t offset)
{
	uint32_t at, done = 0;
	uint64_t sum = 0;
	uint16_t field;

	if (start >= pkt->hdr_len || start + offset + 2 > pkt->hdr_len)
		return false;
	done = pkt->hdr_len - start;
	sum = cksum_short(0, pkt->hdr + start, done);
	for (unsigned int i = 0; i < pkt->n_pieces; i++) {
		uint64_t s = cksum->add(0, pkt->piece[i].ptr, pkt->piece[i].len);

		sum = cksum_plus(sum, done & 1 ? cksum_odd(s) : s);
		done += pkt->piece[i].len;
	}
	at = start + offset;
	field = (uint16_t)~cksum_fold(sum);
	if (!field)
		field = 0xffff;
	memcpy(pkt->hdr + at, &field, 2);
	return true;
}

/* May @gso be of @pkt, which is parsed? */
static bool gso_fits(const struct pkt *pkt, uint8_t gso, uint32_t caps)
{
	switch (gso) {
	case VIRTIO_NET_HDR_GSO_TCPV4:
		return pkt->l3 == PKT_L3_IPV4 && caps & VSW_CAP_TSO4;
	case VIRTIO_NET_HDR_GSO_TCPV6:
		return pkt->l3 == PKT_L3_IPV6 && caps & VSW_CAP_TSO6;
	case VIRTIO_NET_HDR_GSO_UDP_L4:
		return caps & VSW_CAP_USO;
	default:
		return false;
	}
}

bool vnet_hdr_take(struct pkt *pkt, const struct virtio_net_hdr *h, uint32_t caps)
{
	uint8_t gso = h->gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;
	uint32_t start = le16_get(h->csum_start), offset = le16_get(h->csum_offset);
	bool owed = h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM, found;

	if (!owed && gso == VIRTIO_NET_HDR_GSO_NONE)
		return true;
	/* Length fields of a large packet hold anything, which the parser has to know. */
	if (gso) {
		pkt->flags |= gso == VIRTIO_NET_HDR_GSO_UDP_L4 ? PKT_GSO_UDP : PKT_GSO_TCP;
		pkt->gso_size = le16_get(h->gso_size);
	}
	if (pkt_parse(pkt) != VSW_DROP_NONE)
		return false;
	found = pkt->l4_off && !pkt->fragment &&
		(!owed || (start == pkt->l4_off && offset == sum_offset(pkt)));
	if (gso)
		return found && gso_fits(pkt, gso, caps);
	if (!found)
		return sum_at_once(pkt, start, offset);
	pkt->flags |= PKT_CSUM_L4;
	return true;
}

void vnet_hdr_malformed(struct pkt *pkt)
{
	pkt->flags = PKT_GSO;
	pkt->gso_size = 0;
	pkt->len = pkt->hdr_len;
	pkt->n_pieces = 0;
}

void vnet_hdr_make(struct virtio_net_hdr *h, const struct vsw_frame *f, uint32_t facts)
{
	memset(h, 0, sizeof(*h));
	if (f->flags & PKT_CSUM_L4) {
		h->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		h->csum_start = le16_make(f->l4_off);
		h->csum_offset = le16_make(f->l4 == PKT_L4_TCP ? 16 : f->l4 == PKT_L4_UDP ? 6 : 2);
	} else if (facts & PKT_L4_GOOD) {
		h->flags = VIRTIO_NET_HDR_F_DATA_VALID;
	}
	if (!(f->flags & PKT_GSO))
		return;
	h->hdr_len = le16_make(f->hdr_len);
	h->gso_size = le16_make(f->gso_size);
	if (f->flags & PKT_GSO_UDP) {
		h->gso_type = VIRTIO_NET_HDR_GSO_UDP_L4;
		return;
	}
	h->gso_type = f->l3 == PKT_L3_IPV4 ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_TCPV6;
	/* CWR in a large packet: on the first segment only, which is what ECN offload means. */
	if (f->l4 == PKT_L4_TCP && f->hdr[f->l4_off + 13] & 0x80)
		h->gso_type |= VIRTIO_NET_HDR_GSO_ECN;
}
