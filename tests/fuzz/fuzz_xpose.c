/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzzes the change of a hostile guest's packet by policy, errors about it, and what port features
 * make of it.
 *
 * Input: 8 bytes of choices (debts, segment size, how memory is cut up, tag), 32 bytes of what to
 * change, then the frame. Beyond not crashing, it must hold: the packet given stays as it was; the
 * one made is found as it says by a fresh look; a right checksum stays right and a wrong one wrong;
 * the payload is the same; an error about the packet has right sums; a packet that a VLAN port may
 * send comes out of a trunk with that VLAN's tag, or without one on its native VLAN.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "base/util.h"
#include "base/wire.h"
#include "vswitch/guard.h"
#include "vswitch/icmp.h"
#include "vswitch/offload.h"
#include "vswitch/parse.h"
#include "vswitch/port.h"
#include "vswitch/vlan.h"
#include "vswitch/xpose.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(x)                                                                                    \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

#define HEAD 40

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

static struct vsw_xpose change(const uint8_t d[32])
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	struct vsw_xpose x = {.flags = le16_load(d) & XPOSE_ALL & ~(XPOSE_VLAN | XPOSE_TUN_CLEAR)};

	x.ttl_dec = d[2];
	x.dscp = d[3];
	x.l4_src = le16_load(d + 4);
	x.l4_dst = le16_load(d + 6);
	memcpy(x.eth_src, d + 8, 6);
	memcpy(x.eth_dst, d + 14, 6);
	memcpy(x.ip_src, d + 12, 16);
	memcpy(x.ip_dst, d + 14, 16);
	if (d[30] & 1)
		memcpy(x.ip_src, mapped, 12);
	if (d[30] & 2)
		memcpy(x.ip_dst, mapped, 12);
	for (unsigned int i = 4; i < 16; i += 2) {
		if ((d[30] >> 2 & 3) == (i & 2))
			xpose_vlan_pop(&x);
		if (d[31] >> (i & 7) & 1)
			xpose_vlan_push(&x, (uint16_t)(d[31] * i));
		else if (d[30] & 0x40)
			xpose_vlan_set(&x, d[31]);
	}
	return x;
}

/* Bytes of all frames with debts paid, and what the receiver is told of the first. */
static uint32_t flatten(const struct pkt *of, uint8_t *to, struct vsw_frame *first, uint32_t *facts)
{
	struct vsw_settle s;
	struct vsw_frame f;
	struct pkt pkt = *of;
	uint32_t len = 0;

	*facts = 0;
	if (vsw_settle_begin(&s, &pkt, 0, 0) != VSW_DROP_NONE)
		return 0;
	while (vsw_settle_next(&s, &f) && len + f.len < 300 * 1024) {
		struct iovec iov = {to + len, f.len};
		uint32_t got = vsw_frame_copy(&f, &iov, 1);

		if (!len) {
			*first = f;
			*facts = got;
		}
		len += f.len;
	}
	return len;
}

static void same_payload(const struct pkt *a, const struct pkt *b, const uint8_t *in,
			 const uint8_t *out, uint32_t n)
{
	/* What is behind an ICMP header may be an identifier or a quoted packet. */
	if (a->l4 == PKT_L4_ICMP || a->l4 == PKT_L4_ICMPV6 || (a->flags & PKT_GSO) || a->fragment)
		return;
	MUST(a->l4 == b->l4);
	if (a->l4 == PKT_L4_TCP || a->l4 == PKT_L4_UDP)
		MUST(!memcmp(in, out, n));
}

static void judge(const struct pkt *in, const struct pkt *out)
{
	static uint8_t was[400 * 1024], is[400 * 1024];
	static struct pkt again;
	struct vsw_frame wf, f;
	uint32_t was_facts, facts, was_len = flatten(in, was, &wf, &was_facts);
	uint32_t len = flatten(out, is, &f, &facts);

	again = *out;
	MUST(out->hdr_len <= PKT_HDR_MAX && out->n_pieces <= PKT_MAX_PIECES);
	MUST(pkt_parse(&again) == VSW_DROP_NONE || out->eth_type == 0x8100);
	/* Behind more tags than a parser looks through nothing is found. */
	if (again.l3 == PKT_L3_OTHER || out->l3 == PKT_L3_OTHER)
		return;
	MUST(!memcmp(&again, out, offsetof(struct pkt, piece) - PKT_HDR_MAX));
	if (!was_len || !len)
		return;
	same_payload(in, out, was + wf.hdr_len, is + f.hdr_len, wf.payload_len);
	/* Fragments and unknown protocols have no verdict. */
	if (!in->fragment && in->l4 != PKT_L4_OTHER && in->l4 != PKT_L4_NONE)
		MUST((was_facts & PKT_L4_GOOD) == (facts & PKT_L4_GOOD));
	if (in->l3 == PKT_L3_IPV4)
		MUST((was_facts & PKT_IP_GOOD) == (facts & PKT_IP_GOOD));
}

static void error_about(const struct pkt *pkt, uint8_t choice)
{
	static uint8_t frame[ICMP_ERROR_MAX], again[ICMP_ERROR_MAX];
	enum icmp_error_kind kind = choice % ICMP_ERROR_N_KINDS;
	int len = icmp_error(pkt, kind, choice * 100u, NULL, frame, sizeof(frame));
	struct iovec iov = {frame, (size_t)(len > 0 ? len : 0)};
	struct icmp_quote q;
	struct vsw_frame f;
	struct pkt err;
	uint32_t facts;

	if (len < 0)
		return;
	MUST(!pkt_from_iov(&err, &iov, 1));
	MUST(pkt_parse(&err) == VSW_DROP_NONE);
	/* One more tag than a parser looks through. */
	if (err.l3 == PKT_L3_OTHER)
		return;
	MUST(flatten(&err, again, &f, &facts) == (uint32_t)len);
	if (err.l4 == PKT_L4_ICMPV6)
		MUST(facts & PKT_L4_GOOD);
	if (err.l3 == PKT_L3_IPV4)
		MUST(facts & PKT_IP_GOOD);
	if (icmp_quote(&err, &q))
		MUST(q.l3_off < q.l4_off && q.l3_off <= q.end);
}

static void features(const struct pkt *pkt, const uint8_t d[8])
{
	struct vlan_conf from = {.mode = d[0] % VLAN_N_MODES, .vid = 7, .secondary = 8};
	struct vlan_conf trunk = {.mode = VLAN_TRUNK};
	static struct pkt out, back;
	uint16_t vid, fdb, again;

	guard_check(GUARD_MAC | GUARD_DHCP | GUARD_ROUTER, d, pkt);
	guard_each_packet(GUARD_DHCP, pkt);
	memset(trunk.allowed, 0xff, sizeof(trunk.allowed));
	memset(from.allowed, d[2], sizeof(from.allowed));
	if (vlan_ingress(&from, pkt, &vid, &fdb) != VSW_DROP_NONE)
		return;
	for (unsigned int native = 0; native < 2; native++) {
		struct vsw_xpose x = {0};

		trunk.vid = native ? vid : vid == 3 ? 4 : 3;
		out = *pkt;
		if (vlan_egress(&trunk, vid, pkt, &x) &&
		    xpose_apply(&x, pkt, &out) != VSW_DROP_NONE)
			return;
		/* What a trunk sends, a trunk takes as the same. */
		MUST(vlan_ingress(&trunk, &out, &again, &fdb) == VSW_DROP_NONE || !vid);
		if (vid)
			MUST(again == vid);
		back = out;
		MUST(pkt_parse(&back) == VSW_DROP_NONE || back.eth_type == 0x8100);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t frame[80 * 1024];
	static struct pkt pkt, before, out;
	struct iovec iov[PKT_MAX_PIECES];
	struct vsw_xpose x;
	uint32_t len;

	if (size < HEAD + 14 || size > HEAD + 65536)
		return 0;
	x = change(data + 8);
	len = (uint32_t)(size - HEAD);
	memcpy(frame, data + HEAD, len);
	for (uint32_t i = 0; i < data[5] * 32u; i++)
		frame[len++] = (uint8_t)(i * 7);
	if (pkt_from_iov(&pkt, iov, cut(iov, PKT_MAX_PIECES, frame, len, data[3])))
		return 0;
	pkt.flags = data[0] & 0x1f;
	pkt.gso_size = le16_load(data + 6);
	pkt.vlan_tci = le16_load(data + 1);
	if (pkt_parse(&pkt) != VSW_DROP_NONE)
		return 0;
	before = pkt;
	if (xpose_apply(&x, &pkt, &out) == VSW_DROP_NONE)
		judge(&pkt, &out);
	if (xpose_apply_icmp_error(&x, &pkt, &out) == VSW_DROP_NONE)
		judge(&pkt, &out);
	error_about(&pkt, data[4]);
	features(&pkt, data);
	MUST(!memcmp(&before, &pkt, sizeof(pkt)));
	return 0;
}
