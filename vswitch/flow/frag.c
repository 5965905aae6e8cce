/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns which connection later fragments belong to. */
#include "base/wire.h"
#include "vswitch/flow/flow.h"

uint64_t flow_frag_id(const struct pkt *pkt, uint16_t zone, enum policy_dir dir)
{
	struct flow_key key = {.proto = pkt->l4_proto, .zone = zone};
	uint32_t id;

	if (!pkt->fragment)
		return 0;
	if (pkt->l3 == PKT_L3_IPV4) {
		id = be16_load(pkt->hdr + pkt->l3_off + 4);
		memcpy(key.local, pkt->hdr + pkt->src_off, 4);
		memcpy(key.remote, pkt->hdr + pkt->dst_off, 4);
	} else {
		id = be32_load(pkt->hdr + pkt->l4_off - 4);
		memcpy(key.local, pkt->hdr + pkt->src_off, 16);
		memcpy(key.remote, pkt->hdr + pkt->dst_off, 16);
	}
	key.lport = (uint16_t)id;
	key.rport = (uint16_t)(id >> 16);
	/* A seeded hash, so that nobody aims at another's place, and two bits that say it is one.
	 */
	return (uint64_t)flow_hash(&key) << 32 | (uint64_t)(id & 0x3fffffff) << 2 | 2 |
	       (uint64_t)dir;
}

void flow_frag_note(struct flow_frags *f, uint64_t id, struct flow *flow, uint32_t now_ms)
{
	unsigned int i = (unsigned int)(id >> 32) % FLOW_FRAGS;

	pthread_mutex_lock(&f->lock);
	f->at[i].id = id;
	f->at[i].flow = flow;
	f->at[i].serial = atomic_load(&flow->serial);
	f->at[i].until_ms = now_ms + FLOW_FRAG_MS;
	pthread_mutex_unlock(&f->lock);
}

struct flow *flow_frag_find(struct flow_frags *f, uint64_t id, uint32_t now_ms)
{
	unsigned int i = (unsigned int)(id >> 32) % FLOW_FRAGS;
	struct flow *flow = NULL;

	pthread_mutex_lock(&f->lock);
	if (f->at[i].id == id && (int32_t)(f->at[i].until_ms - now_ms) > 0 &&
	    atomic_load(&f->at[i].flow->serial) == f->at[i].serial &&
	    (atomic_load(&f->at[i].flow->flags) & FLOW_LIVE))
		flow = f->at[i].flow;
	pthread_mutex_unlock(&f->lock);
	return flow;
}
