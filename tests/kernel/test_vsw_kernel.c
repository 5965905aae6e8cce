/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The switch's segmentation and checksums, byte for byte against the running kernel's.
 *
 * A random packet goes two ways. To the kernel: through a packet socket with a virtio_net_hdr
 * onto a TAP device that takes no offloads, so that the kernel's own transmit path cuts it and
 * sums it (validate_xmit_skb()). To the switch: as a NIC would get it from its guest, with
 * rubbish in the fields that the device has to fill, in pieces of odd sizes, settled for a
 * receiver that takes nothing, into scattered buffers of odd sizes. Both must yield the same
 * frames.
 *
 *	test_vsw_kernel tcp|csum|uso [packets [seed]]
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "base/util.h"
#include "gen.h"
#include "vswitch/offload.h"
#include "vswitch/parse.h"
#include "wire.h"

#define PACKETS	  4000
#define SEED	  20240611
#define MAX_FRAME 66000
#define SKIPPED	  77

static int bad(const struct gen *g, const char *what, unsigned int frame)
{
	fprintf(stderr,
		"FAIL %s (frame %u): IPv%d proto %u, %u bytes, mss %u, %u tags, ip options %d, "
		"l3 %u l4 %u payload %u\n",
		what, frame, g->v6 ? 6 : 4, g->proto, g->len, g->gso_size, g->n_tags, g->options,
		g->l3, g->l4, g->payload_off);
	return 1;
}

/* Cut [0, len) into at most @max parts at random places, odd ones preferred. */
static unsigned int split(struct iovec *iov, unsigned int max, uint8_t *base, uint32_t len,
			  struct rng *r)
{
	unsigned int n = 0;

	while (len && n + 1 < max) {
		uint32_t part = 1 + rng_below(r, rng_below(r, 2) ? 64 : 4096);

		part = MIN(part, len);
		iov[n++] = (struct iovec){base, part};
		base += part;
		len -= part;
	}
	if (len)
		iov[n++] = (struct iovec){base, len};
	return n;
}

static void dump_difference(const uint8_t *ours, uint32_t n_ours, const uint8_t *theirs,
			    uint32_t n_theirs)
{
	uint32_t i = 0;

	while (i < n_ours && i < n_theirs && ours[i] == theirs[i])
		i++;
	fprintf(stderr, "  ours %u bytes, the kernel's %u, first difference at %u: %02x, %02x\n",
		n_ours, n_theirs, i, i < n_ours ? ours[i] : 0, i < n_theirs ? theirs[i] : 0);
}

struct totals {
	uint64_t packets, frames, cut, zero_sums;
};

static int compare(struct wire *w, const struct gen *g, struct rng *r, struct totals *t)
{
	static uint8_t in[GEN_MAX], ours[MAX_FRAME], theirs[MAX_FRAME];
	struct iovec src[PKT_MAX_PIECES], dst[64];
	struct virtio_net_hdr h;
	struct vsw_settle s;
	struct vsw_frame f;
	unsigned int n = 0;
	struct pkt pkt;
	int got;

	gen_for_kernel(g, in, &h);
	got = wire_send(w, &h, in, g->len);
	if (got) {
		fprintf(stderr, "the kernel refuses the packet: %s\n", strerror(-got));
		return bad(g, "send", 0);
	}
	gen_for_nic(g, in, r);
	if (pkt_from_iov(&pkt, src, split(src, PKT_MAX_PIECES - 1, in, g->len, r)))
		return bad(g, "pkt_from_iov", 0);
	pkt.flags = g->flags;
	pkt.gso_size = g->gso_size;
	if (pkt_parse(&pkt) != VSW_DROP_NONE)
		return bad(g, "pkt_parse", 0);
	if (vsw_settle_begin(&s, &pkt, 0, 0) != VSW_DROP_NONE)
		return bad(g, "vsw_settle_begin", 0);
	for (; vsw_settle_next(&s, &f); n++) {
		uint8_t *at = ours + rng_below(r, 16);
		uint16_t sum;

		if (f.len > MAX_FRAME - 16)
			return bad(g, "frame length", n);
		if (!(vsw_frame_copy(&f, dst, split(dst, 64, at, f.len, r)) & PKT_L4_GOOD))
			return bad(g, "not reported good", n);
		got = wire_recv(w, theirs, sizeof(theirs), 1000);
		if (got <= 0)
			return bad(g, "the kernel sent fewer frames", n);
		if ((uint32_t)got != f.len || memcmp(at, theirs, f.len)) {
			dump_difference(at, f.len, theirs, (uint32_t)got);
			return bad(g, "difference", n);
		}
		memcpy(&sum, theirs + g->l4 + g->sum_off, 2);
		t->zero_sums += sum == 0 || sum == 0xffff;
	}
	if (wire_recv(w, theirs, sizeof(theirs), 0) != 0)
		return bad(g, "the kernel sent more frames", n);
	t->packets++;
	t->frames += n;
	t->cut += n > 1;
	return 0;
}

int main(int argc, char **argv)
{
	static struct gen g;
	unsigned int n = argc > 2 ? (unsigned int)atoi(argv[2]) : PACKETS;
	struct rng r = {.s = argc > 3 ? strtoull(argv[3], NULL, 0) : SEED};
	struct totals t = {0};
	enum gen_kind kind;
	struct wire w;

	if (argc < 2) {
		fprintf(stderr, "usage: %s tcp|csum|uso [packets [seed]]\n", argv[0]);
		return 2;
	}
	kind = !strcmp(argv[1], "tcp") ? GEN_TCP : !strcmp(argv[1], "uso") ? GEN_USO : GEN_CSUM;
	if (wire_open(&w))
		return 1;
	if (kind == GEN_USO) {
		static uint8_t frame[GEN_MAX];
		struct virtio_net_hdr h;

		do
			gen_packet(&g, kind, &r);
		while (g.options || g.n_tags || g.len < g.payload_off + 2u * g.gso_size);
		gen_for_kernel(&g, frame, &h);
		if (wire_send(&w, &h, frame, g.len) == -EINVAL) {
			printf("skipped: this kernel takes no UDP segmentation in a "
			       "virtio_net_hdr (Linux 6.2 does)\n");
			return SKIPPED;
		}
		while (wire_recv(&w, frame, sizeof(frame), 0) > 0)
			;
	}
	for (unsigned int i = 0; i < n; i++) {
		uint64_t seed = r.s;

		gen_packet(&g, kind, &r);
		if (i % 10 == 9)
			gen_make_sum_zero(&g);
		if (compare(&w, &g, &r, &t)) {
			fprintf(stderr, "packet %u; again with: %s %s 1 %#llx\n", i, argv[0],
				argv[1], (unsigned long long)seed);
			return 1;
		}
	}
	printf("%s: %llu packets, %llu of them cut, %llu frames, %llu with a sum of zero: "
	       "as the kernel makes them\n",
	       argv[1], (unsigned long long)t.packets, (unsigned long long)t.cut,
	       (unsigned long long)t.frames, (unsigned long long)t.zero_sums);
	return 0;
}
