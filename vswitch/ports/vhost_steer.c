/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the choice of a receive queue.
 *
 * Theory. Virtio 1.2, section 5.1.6.5.6: packets of a flow should come in on the queue that the
 * driver last used to send packets of that flow; others may go anywhere. So the port learns: a
 * table from flow to queue pair, written when the guest sends, read when packets come for it.
 * That puts both directions of a connection on one CPU of the guest. Flows that the guest has not
 * sent on yet go by their hash, which is the same for both directions and does not change, so
 * that a flow is not reordered.
 *
 * An entry holds 32 bits of the flow's hash beside the pair and the second it was last used. A
 * flow that finds another one's entry leaves it alone until it has been idle for FLOW_OLD seconds
 * and goes by its hash meanwhile: two flows that fall together do not throw each other about.
 * Entries are single words, written with plain stores: a lost update is learned again.
 *
 * With one queue pair there is no choice, and none of this runs.
 */
#include "vswitch/ports/vhost_internal.h"

#include "base/wire.h"

#define FLOW_OLD 2

/* flow word: hash [63:32], second [31:8], pair + 1 [7:0] */
static uint64_t flow_word(uint32_t hash, uint32_t sec, unsigned int pair)
{
	return (uint64_t)hash << 32 | (uint64_t)(sec & 0xffffff) << 8 | (pair + 1);
}

static uint32_t seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return (uint32_t)ts.tv_sec & 0xffffff;
}

static uint64_t mix(uint64_t x)
{
	/* The finalizer of MurmurHash3, public domain. */
	x ^= x >> 33;
	x *= 0xff51afd7ed558ccdull;
	x ^= x >> 33;
	x *= 0xc4ceb9fe1a85ec53ull;
	return x ^ x >> 33;
}

static uint64_t end_hash(const uint8_t *addr, unsigned int len, uint16_t port)
{
	uint64_t h = port;

	if (len == 4)
		return mix(h << 32 | le32_load(addr));
	h = mix(h ^ le64_load(addr));
	return mix(h ^ le64_load(addr + 8));
}

/* The same for both directions. */
static uint32_t flow_hash(const struct pkt *pkt)
{
	uint16_t sport = 0, dport = 0;
	unsigned int len;
	uint64_t h;

	if (pkt->l3 == PKT_L3_OTHER) {
		h = mix(be64_load(pkt->hdr) >> 16) + mix(be64_load(pkt->hdr + 6) >> 16);
		return (uint32_t)mix(h);
	}
	len = pkt->l3 == PKT_L3_IPV4 ? 4 : 16;
	if (pkt->l4 == PKT_L4_TCP || pkt->l4 == PKT_L4_UDP) {
		sport = be16_load(pkt->hdr + pkt->l4_off);
		dport = be16_load(pkt->hdr + pkt->l4_off + 2);
	}
	h = end_hash(pkt->hdr + pkt->src_off, len, sport) +
	    end_hash(pkt->hdr + pkt->dst_off, len, dport) + pkt->l4_proto;
	return (uint32_t)mix(h);
}

bool vh_steer_update(struct vhost *v)
{
	uint64_t running = 0;
	uint32_t n = 0;

	for (unsigned int i = 0; i < v->n_rings; i += 2) {
		if (!atomic_load(&v->ring[i].running))
			continue;
		running |= VH_BIT(i / 2);
		atomic_store(&v->steer.map[n++], (uint8_t)(i / 2));
	}
	atomic_store(&v->steer.n, n);
	return atomic_exchange(&v->steer.running, running) != running;
}

void vh_steer_learn(struct vhost *v, struct pkt *const *pkts, unsigned int n, unsigned int pair)
{
	uint32_t now = seconds();

	for (unsigned int i = 0; i < n; i++) {
		_Atomic uint64_t *at;
		uint64_t old, word;
		uint32_t hash, age;

		if (pkts[i]->flags == PKT_GSO)
			continue; /* malformed */
		hash = flow_hash(pkts[i]);
		at = &v->steer.flow[hash % VH_FLOWS];
		old = atomic_load_explicit(at, memory_order_relaxed);
		word = flow_word(hash, now, pair);
		if (old == word)
			continue;
		age = (now - (uint32_t)(old >> 8 & 0xffffff)) & 0xffffff;
		if (!old || old >> 32 == hash || age >= FLOW_OLD)
			atomic_store_explicit(at, word, memory_order_relaxed);
	}
}

unsigned int vh_steer_pick(struct vhost *v, const struct pkt *pkt)
{
	uint32_t hash = flow_hash(pkt), n;
	uint64_t word = atomic_load_explicit(&v->steer.flow[hash % VH_FLOWS], memory_order_relaxed);
	unsigned int pair = (unsigned int)(word & 0xff) - 1;

	if ((word & 0xff) && word >> 32 == hash && pair < VHOST_MAX_QUEUES &&
	    (atomic_load_explicit(&v->steer.running, memory_order_relaxed) & VH_BIT(pair)))
		return pair;
	n = atomic_load_explicit(&v->steer.n, memory_order_relaxed);
	/* By a multiplication: the low bits have chosen the place in the table. */
	return atomic_load_explicit(&v->steer.map[n ? (uint64_t)hash * n >> 32 : 0],
				    memory_order_relaxed);
}
