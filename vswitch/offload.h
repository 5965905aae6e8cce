/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The one place where a packet's debts are paid. A receiving port settles a packet against what
 * it can take and gets frames; it stores each with vsw_frame_copy(), which sums while it copies.
 *
 *	vsw_settle_begin(&s, pkt, caps, mtu);
 *	while (vsw_settle_next(&s, &frame)) {
 *		find buffers for frame.len bytes, or vsw_settle_stop(&s) and report "no buffer"
 *		vsw_frame_copy(&frame, iov, n, &facts);
 *	}
 */
#ifndef HVLAB_VSWITCH_OFFLOAD_H
#define HVLAB_VSWITCH_OFFLOAD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "vswitch/packet.h"

/* One frame as the receiver gets it: header bytes of ours, payload still at the sender. */
struct vsw_frame {
	uint32_t len;	   /* all bytes to store */
	uint32_t flags;	   /* debts the receiver takes over, PKT_*_GOOD facts. With PKT_CSUM_L4 the
			    * field holds the folded sum of the pseudo header, as virtio wants it */
	uint16_t gso_size; /* with PKT_GSO_*: left to the receiver */
	uint16_t vlan_tci; /* with PKT_VLAN */
	uint16_t hdr_len;
	uint16_t l3_off, l4_off; /* in hdr, VLAN tags in the frame counted */
	uint8_t l3, l4;
	bool sum_owed;	 /* L4 checksum: vsw_frame_copy() computes and writes it */
	bool sum_verify; /* no debt, not known good: vsw_frame_copy() checks it */
	const struct pkt *pkt;
	uint32_t payload_off; /* into the pieces of pkt, and bytes of hdr before them */
	uint32_t payload_len;
	uint8_t hdr[PKT_HDR_MAX + 4];
	/* the settlement's own: */
	uint64_t pseudo;    /* sum of the L4 pseudo header */
	uint32_t l4_len;    /* bytes the L4 sum covers, from l4_off */
	uint32_t piece_off; /* where in that piece the payload begins */
	uint16_t piece;	    /* piece of pkt the payload begins in; n_pieces and up: none */
	uint16_t sum_off;   /* of the L4 checksum in hdr */
	bool sum_not_zero;  /* a computed sum of zero is written as 0xffff */
};

struct vsw_settle {
	struct pkt *pkt;
	uint32_t caps, max_len;
	uint32_t seg, n_segs; /* next segment; segments in all */
	bool whole;	      /* no cutting: one frame */
	bool done;
	/* Where in the pieces the last segment's payload began, and how far that is in all. */
	uint16_t piece;
	uint32_t piece_off, piece_sum;
};

/*
 * 0, or the reason why the packet cannot go to a receiver with @caps and @mtu (bytes of IP
 * packet; 0: no limit): VSW_DROP_MALFORMED, VSW_DROP_TOO_BIG. Starts at pkt->seg_done.
 */
enum vsw_drop vsw_settle_begin(struct vsw_settle *s, struct pkt *pkt, uint32_t caps, uint32_t mtu);
/* The next frame. False: no more, and pkt->seg_done is reset. */
bool vsw_settle_next(struct vsw_settle *s, struct vsw_frame *f);
/* The frame of the last vsw_settle_next() was not stored: pkt->seg_done points at it again. */
void vsw_settle_stop(struct vsw_settle *s);

/**
 * vsw_frame_copy() - Store a frame, once, into the receiver's memory
 * @iov:	Receiver's buffers, in all at least f->len bytes
 *
 * Return: PKT_IP_GOOD / PKT_L4_GOOD as far as computed, verified or known; the L4 bit clear for
 * a wrong or unknown checksum. A debt that the receiver takes over counts as good: the bytes
 * have not left this host since their sender promised them.
 */
uint32_t vsw_frame_copy(const struct vsw_frame *f, const struct iovec *iov, unsigned int n_iov);

/*
 * The payload of a frame without a copy: pieces of the sender's memory, behind f->hdr_len bytes of
 * f->hdr. For a frame that owes no sum. Return: the pieces, or -1: more than @max.
 */
int vsw_frame_payload(const struct vsw_frame *f, struct iovec *iov, unsigned int max);

/*
 * One frame of a packet could not be stored; the others go on. vsw_port_drop() is for all that
 * is left of a packet. Any thread, during deliver().
 */
void vsw_port_drop_frame(struct vsw_port *port, const struct vsw_frame *f, enum vsw_drop why);

#endif
