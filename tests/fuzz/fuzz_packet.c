/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzzes what a hostile guest's packet meets in the switch: parse and settlement.
 *
 * Input: 8 bytes of choices (debts, segment size, receiver's capabilities, MTU, how memory is
 * cut up, padding of the payload), then the frame. Beyond not crashing, it must hold: frames carry
 * the payload once and in order; no frame is longer than it says; a checksum that we computed
 * is right to whoever looks at the frame afresh.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "base/util.h"
#include "base/wire.h"
#include "vswitch/offload.h"
#include "vswitch/parse.h"
#include "vswitch/port.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(x)                                                                                    \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

struct choices {
	uint8_t debts, caps, mtu, split, scatter, more;
	uint16_t gso_size;
};

/* What we say is good must be found good by somebody who does not know us. */
static void look_again(const uint8_t *frame, uint32_t len, bool l3_ip4)
{
	struct iovec iov = {(void *)frame, len};
	static uint8_t again[PKT_MAX_LEN + 4];
	struct vsw_settle s;
	struct vsw_frame f;
	struct pkt pkt;

	MUST(!pkt_from_iov(&pkt, &iov, 1));
	MUST(pkt_parse(&pkt) == VSW_DROP_NONE);
	MUST(vsw_settle_begin(&s, &pkt, 0, 0) == VSW_DROP_NONE);
	MUST(vsw_settle_next(&s, &f));
	iov.iov_base = again;
	MUST(vsw_frame_copy(&f, &iov, 1) & PKT_L4_GOOD);
	MUST(!l3_ip4 || (f.flags & PKT_IP_GOOD));
	MUST(!memcmp(again, frame, len));
	MUST(!vsw_settle_next(&s, &f));
}

static unsigned int cut(struct iovec *iov, unsigned int max, uint8_t *base, uint32_t len,
			uint32_t part)
{
	unsigned int n = 0;

	while (len) {
		uint32_t m = !part || n + 1 == max ? len : MIN(part, len);

		iov[n++] = (struct iovec){base, m};
		base += m;
		len -= m;
	}
	return n;
}

static void settle(struct pkt *pkt, const struct choices *c, const uint8_t *truth)
{
	uint32_t caps = c->caps & 0x3f, payload = 0;
	struct iovec iov[64];
	struct vsw_settle s;
	struct vsw_frame f;

	if (vsw_settle_begin(&s, pkt, caps, c->mtu * 40u) != VSW_DROP_NONE)
		return;
	while (vsw_settle_next(&s, &f)) {
		uint8_t *out = malloc(f.len);
		uint32_t facts;

		MUST(f.len == f.hdr_len + f.payload_len);
		facts = vsw_frame_copy(&f, iov, cut(iov, 64, out, f.len, c->scatter));
		MUST(f.payload_off == pkt->payload_off + payload);
		MUST(!memcmp(out + f.hdr_len, truth + f.payload_off, f.payload_len));
		payload += f.payload_len;
		if (f.sum_owed) {
			MUST(facts & PKT_L4_GOOD);
			/* A tag put in may push headers behind what a parser looks at. */
			if (!(f.flags & PKT_GSO) && f.hdr_len <= PKT_HDR_MAX && f.l3_off <= 46)
				look_again(out, f.len,
					   f.l3 == PKT_L3_IPV4 && (facts & PKT_IP_GOOD) &&
						   !(pkt->flags & PKT_IP_GOOD));
		}
		free(out);
	}
	MUST(pkt->payload_off + payload == pkt->len);
	MUST(!pkt->seg_done);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t frame[80 * 1024];
	struct iovec iov[PKT_MAX_PIECES];
	struct choices c;
	struct pkt pkt;
	uint32_t len;

	if (size < 8 || size > 8 + 65536)
		return 0;
	c = (struct choices){
		data[0], data[1], data[2], data[3], data[4], data[5], le16_load(data + 6)};
	len = (uint32_t)(size - 8);
	memcpy(frame, data + 8, len);
	for (uint32_t i = 0; i < c.more * 32u; i++)
		frame[len++] = (uint8_t)(i * 7);
	if (pkt_from_iov(&pkt, iov, cut(iov, PKT_MAX_PIECES, frame, len, c.split)))
		return 0;
	pkt.flags = c.debts & 0x7f;
	pkt.gso_size = c.gso_size;
	pkt.vlan_tci = c.gso_size;
	if (pkt_parse(&pkt) == VSW_DROP_NONE)
		settle(&pkt, &c, frame);
	return 0;
}
