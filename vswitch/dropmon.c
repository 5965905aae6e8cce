/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns what is known of dropped packets while somebody follows them.
 *
 * Theory. All of it is one object, published when following begins and freed, after the readers
 * have gone by, when it ends. A report first asks the limiter: a table of slots, one for each port,
 * direction and reason, found by hash and claimed for good; its counters are atomics, so that the
 * packets of a flood beyond what is told cost one of them. What passes is put into a ring under a
 * lock that no worker waits for. When a flood ends, its last count has no packet to go with: the
 * control thread then finds it in the slot.
 */
#include "vswitch/dropmon.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "vswitch/judge.h"
#include "vswitch/rcu.h"
#include "vswitch/send_internal.h"

#define SLOTS	  1024 /* a power of two */
#define PROBES	  8
#define WINDOW_MS 1000
#define CLAIMED	  UINT64_MAX /* a key that is being filled in */

/* Of one port, direction and reason. @key 0: free. */
struct slot {
	_Atomic uint64_t key;
	_Atomic uint64_t window_ms;
	_Atomic uint32_t told; /* in this window */
	_Atomic uint64_t untold;
	enum vsw_drop why;
	enum policy_dir dir;
	char port[VSW_NAME_SIZE];
} __attribute__((aligned(64)));

struct dropmon {
	struct slot slot[SLOTS];
	_Atomic uint64_t lost;
	unsigned int at; /* slot that vsw_drops_next() looks at next */
	pthread_mutex_t lock;
	unsigned int first, n;
	struct vsw_drop_event ring[VSW_DROPS_RING];
};

_Atomic(struct dropmon *) vsw_dropmon;

static _Thread_local const struct vsw_port *sender;

const struct vsw_port *dropmon_sends(const struct vsw_port *from)
{
	const struct vsw_port *before = sender;

	sender = from;
	return before;
}

/* ---- The limiter ---------------------------------------------------------------------------- */

static struct slot *claim(struct slot *s, uint64_t key, const struct vsw_port *port,
			  enum policy_dir dir, enum vsw_drop why)
{
	uint64_t none = 0;

	if (!atomic_compare_exchange_strong(&s->key, &none, CLAIMED))
		return NULL;
	s->dir = dir;
	s->why = why;
	memcpy(s->port, port->name, sizeof(s->port));
	atomic_store_explicit(&s->key, key, memory_order_release);
	return s;
}

/* NULL: the table is full there, or somebody is just claiming it. */
static struct slot *find_slot(struct dropmon *m, const struct vsw_port *port, enum policy_dir dir,
			      enum vsw_drop why)
{
	uint64_t key = (uint64_t)port->id << 16 | (uint64_t)dir << 8 | why;
	uint64_t at = key * 0x9e3779b97f4a7c15ull >> 32;

	for (unsigned int i = 0; i < PROBES; i++) {
		struct slot *s = &m->slot[(at + i) % SLOTS];
		uint64_t there = atomic_load_explicit(&s->key, memory_order_acquire);

		if (there == key)
			return s;
		if (!there)
			return claim(s, key, port, dir, why);
	}
	return NULL;
}

/* True: tell this one. *@repeated: how many were not told before it. */
static bool may_tell(struct slot *s, uint64_t now_ms, uint64_t *repeated)
{
	uint64_t window = atomic_load_explicit(&s->window_ms, memory_order_relaxed);

	if (now_ms - window >= WINDOW_MS && now_ms > window &&
	    atomic_compare_exchange_strong(&s->window_ms, &window, now_ms))
		atomic_store_explicit(&s->told, 0, memory_order_relaxed);
	if (atomic_load_explicit(&s->told, memory_order_relaxed) >= VSW_DROPS_PER_S ||
	    atomic_fetch_add_explicit(&s->told, 1, memory_order_relaxed) >= VSW_DROPS_PER_S) {
		atomic_fetch_add_explicit(&s->untold, 1, memory_order_relaxed);
		return false;
	}
	*repeated = atomic_exchange_explicit(&s->untold, 0, memory_order_relaxed);
	return true;
}

/* ---- One report ----------------------------------------------------------------------------- */

static uint64_t wall_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

static void put_name(char to[VSW_NAME_SIZE], const struct vsw_port *port)
{
	if (port)
		memcpy(to, port->name, VSW_NAME_SIZE);
	else
		to[0] = '\0';
}

static void put_denier(struct vsw_drop_event *ev, const struct vsw_denier *by)
{
	ev->layer[0] = ev->group[0] = ev->rule[0] = '\0';
	ev->gen = 0;
	if (!by || (ev->why != VSW_DROP_POLICY && ev->why != VSW_DROP_NAT_PORTS))
		return;
	ev->gen = by->v->gen;
	if (by->rule == POLICY_NO_RULE)
		return;
	snprintf(ev->layer, sizeof(ev->layer), "%s", policy_layer_name(by->v->policy, by->layer));
	snprintf(ev->group, sizeof(ev->group), "%s",
		 policy_group_name(by->v->policy, by->layer, by->group));
	snprintf(ev->rule, sizeof(ev->rule), "%s",
		 policy_rule_name(by->v->policy, by->layer, by->group, by->rule));
}

static void put_packet(struct vsw_drop_event *ev, const struct pkt *pkt)
{
	ev->len = pkt->len;
	ev->n_bytes = MIN(pkt->hdr_len, (uint16_t)VSW_DROPS_BYTES);
	memcpy(ev->bytes, pkt->hdr, ev->n_bytes);
	ev->known = ev->why != VSW_DROP_MALFORMED && pkt->len >= PKT_MIN_LEN;
	memset(&ev->f, 0, sizeof(ev->f));
	ev->vid = 0;
	if (!ev->known)
		return;
	policy_fields_from(&ev->f, pkt);
	ev->vid = (uint16_t)send_vlan_id(pkt);
}

/* The ring's next free place, with the lock held; NULL: none, or not now. */
static struct vsw_drop_event *ring_take(struct dropmon *m)
{
	if (pthread_mutex_trylock(&m->lock))
		return NULL;
	if (m->n == VSW_DROPS_RING) {
		pthread_mutex_unlock(&m->lock);
		return NULL;
	}
	return &m->ring[(m->first + m->n) % VSW_DROPS_RING];
}

void dropmon_report(const struct vsw_port *port, enum policy_dir dir, enum vsw_drop why,
		    const struct vsw_port *from, const struct vsw_port *to, const struct pkt *pkt,
		    uint32_t frames, const struct vsw_denier *by)
{
	const struct vsw_port *outer, *path = NULL;
	struct vsw_drop_event *ev;
	uint64_t repeated = 0;
	struct dropmon *m;
	struct slot *s;

	vsw_read_lock();
	m = atomic_load_explicit(&vsw_dropmon, memory_order_acquire);
	if (!m)
		goto out;
	outer = atomic_load_explicit(&port->outer, memory_order_acquire);
	if (outer) {
		path = port;
		port = outer;
		to = to == path ? outer : to;
	}
	s = find_slot(m, port, dir, why);
	if (s && !may_tell(s, now_ns() / NSEC_PER_MSEC + WINDOW_MS, &repeated))
		goto out;
	ev = s ? ring_take(m) : NULL;
	if (!ev) {
		atomic_fetch_add_explicit(&m->lost, 1 + repeated, memory_order_relaxed);
		goto out;
	}
	ev->time_ns = wall_ns();
	ev->dir = dir;
	ev->why = why;
	ev->repeated = repeated;
	ev->frames = frames;
	put_name(ev->port, port);
	put_name(ev->path, path);
	put_name(ev->from, from ? from : sender);
	put_name(ev->to, to);
	put_denier(ev, by);
	put_packet(ev, pkt);
	m->n++;
	pthread_mutex_unlock(&m->lock);
out:
	vsw_read_unlock();
}

/* ---- The control thread --------------------------------------------------------------------- */

int vsw_drops_follow(void)
{
	struct dropmon *m;

	if (vsw_drops_followed())
		return 0;
	m = aligned_alloc(64, ALIGN_UP(sizeof(*m), (size_t)64));
	if (!m)
		return -ENOMEM;
	memset(m, 0, sizeof(*m));
	pthread_mutex_init(&m->lock, NULL);
	atomic_store_explicit(&vsw_dropmon, m, memory_order_release);
	return 0;
}

void vsw_drops_unfollow(void)
{
	struct dropmon *m = atomic_exchange(&vsw_dropmon, NULL);

	if (!m)
		return;
	vsw_synchronize();
	pthread_mutex_destroy(&m->lock);
	free(m);
}

bool vsw_drops_followed(void)
{
	return atomic_load(&vsw_dropmon) != NULL;
}

/* A count without a packet: of a flood that has ended, or been told of long ago. */
static bool next_untold(struct dropmon *m, struct vsw_drop_event *ev)
{
	uint64_t now_ms = now_ns() / NSEC_PER_MSEC + WINDOW_MS;

	for (; m->at < SLOTS; m->at++) {
		struct slot *s = &m->slot[m->at];
		uint64_t key = atomic_load_explicit(&s->key, memory_order_acquire);

		if (!key || key == CLAIMED || now_ms < atomic_load(&s->window_ms) + WINDOW_MS ||
		    !atomic_load(&s->untold))
			continue;
		memset(ev, 0, sizeof(*ev));
		ev->repeated = atomic_exchange(&s->untold, 0);
		ev->time_ns = wall_ns();
		ev->dir = s->dir;
		ev->why = s->why;
		memcpy(ev->port, s->port, sizeof(ev->port));
		return true;
	}
	m->at = 0;
	return false;
}

bool vsw_drops_next(struct vsw_drop_event *ev)
{
	struct dropmon *m = atomic_load(&vsw_dropmon);
	bool found;

	if (!m)
		return false;
	pthread_mutex_lock(&m->lock);
	found = m->n;
	if (found) {
		*ev = m->ring[m->first];
		m->first = (m->first + 1) % VSW_DROPS_RING;
		m->n--;
	}
	pthread_mutex_unlock(&m->lock);
	return found || next_untold(m, ev);
}

uint64_t vsw_drops_lost(void)
{
	struct dropmon *m = atomic_load(&vsw_dropmon);

	return m ? atomic_exchange(&m->lost, 0) : 0;
}
