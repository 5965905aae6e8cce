/* SPDX-License-Identifier: BSD-2-Clause */
/* Finding the headers of a packet and judging its debts. */
#ifndef HVLAB_VSWITCH_PARSE_H
#define HVLAB_VSWITCH_PARSE_H

#include "vswitch/packet.h"

/**
 * pkt_parse() - Fill in offsets and kinds, reject what lies about its length
 * @pkt:	From a sender; only @pkt->hdr is looked at, which the sender cannot change
 *
 * A header that the copied bytes do not hold whole, although the frame does, is not an error:
 * the packet then counts as L3 or L4 "other" and can be forwarded, but has no payable debts.
 * May be called again. Any thread.
 *
 * Return: VSW_DROP_NONE or VSW_DROP_MALFORMED
 */
enum vsw_drop pkt_parse(struct pkt *pkt);

#endif
