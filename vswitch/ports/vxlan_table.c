/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns what a tunnel knows: which hosts there are, which addresses live behind them, where floods
 * go.
 *
 * Theory of operation
 *
 * Hosts (struct vx_remote) belong to the tunnel, addresses (struct vx_mac) and lists to a port. All
 * are found under RCU without a lock and changed under the tunnel's lock. What is taken away is
 * freed a grace period later (call_rcu), so that a worker never waits for one.
 *
 * A host is counted by what names it (refs). One that nothing names any more, and that was not sent
 * to for IDLE_MS, is forgotten: so hosts that a tunnel key named, and those that were learned, do
 * not fill the table for ever.
 *
 * Learned addresses are swept by the tunnel's timer, which runs every second; one that is too old
 * but still there is not found. Time last seen is written at most once per sixteenth of the ageing
 * time, as in vswitch/fdb.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "vswitch/fdb.h"
#include "vswitch/ports/vxlan_internal.h"
#include "vswitch/route.h"

#define IDLE_MS	 60000
#define PROBE_MS 5000

static uint64_t mix(uint64_t v)
{
	v *= 0x9e3779b97f4a7c15ull;
	return v ^ v >> 32;
}

/* ---- hosts ---- */

static _Atomic(struct vx_remote *) *remote_chain(struct vxlan_tunnel *t, const uint8_t addr[16])
{
	uint64_t a, b;

	memcpy(&a, addr, 8);
	memcpy(&b, addr + 8, 8);
	return &t->remote[mix(mix(a ^ t->seed) ^ b) % VX_REMOTE_BUCKETS];
}

struct vx_remote *vx_remote_find(struct vxlan_tunnel *t, const uint8_t addr[16])
{
	struct vx_remote *r = atomic_load_explicit(remote_chain(t, addr), memory_order_acquire);

	while (r && memcmp(r->addr, addr, 16) != 0)
		r = atomic_load_explicit(&r->next, memory_order_acquire);
	return r;
}

static void remote_freed(struct rcu_head *head)
{
	vsw_rcu_note_grace();
	free(CONTAINER_OF(head, struct vx_remote, rcu));
}

static void set_sockaddr(const struct vxlan_tunnel *t, struct vx_remote *r)
{
	if (t->ip6) {
		const struct sockaddr_in6 *own = (const struct sockaddr_in6 *)&t->s.local;

		r->to.in6.sin6_family = AF_INET6;
		r->to.in6.sin6_port = htons(t->port);
		/* A link-local host is on the link that the tunnel's own address names. */
		r->to.in6.sin6_scope_id = own->sin6_scope_id;
		memcpy(&r->to.in6.sin6_addr, r->addr, 16);
		r->to_len = sizeof(r->to.in6);
	} else {
		r->to.in4.sin_family = AF_INET;
		r->to.in4.sin_port = htons(t->port);
		memcpy(&r->to.in4.sin_addr, r->addr + 12, 4);
		r->to_len = sizeof(r->to.in4);
	}
}

/* Under the lock. NULL with errno. */
static struct vx_remote *remote_get(struct vxlan_tunnel *t, const uint8_t addr[16])
{
	_Atomic(struct vx_remote *) *at = remote_chain(t, addr);
	struct vx_remote *r = vx_remote_find(t, addr);

	if (r)
		return r;
	if (addr_is_4(addr) == t->ip6) {
		errno = EAFNOSUPPORT;
		return NULL;
	}
	if (t->n_remotes >= t->max_remotes) {
		vx_count(&t->c.table_full, 1);
		errno = ENOSPC;
		return NULL;
	}
	r = calloc(1, sizeof(*r));
	if (!r)
		return NULL;
	memcpy(r->addr, addr, 16);
	set_sockaddr(t, r);
	atomic_store(&r->path_mtu, vx_probe(t, r));
	atomic_store(&r->used_ms, vx_now_ms());
	atomic_store_explicit(&r->next, atomic_load(at), memory_order_relaxed);
	atomic_store_explicit(at, r, memory_order_release);
	t->n_remotes++;
	return r;
}

static void remote_hold(struct vx_remote *r, bool known)
{
	r->refs++;
	if (known)
		atomic_fetch_add(&r->known, 1);
}

static void remote_drop(struct vx_remote *r, bool known)
{
	r->refs--;
	if (known)
		atomic_fetch_sub(&r->known, 1);
}

struct vx_remote *vx_remote_want(struct vxlan_tunnel *t, const uint8_t addr[16])
{
	struct vx_remote *r = vx_remote_find(t, addr);

	if (r)
		return r;
	pthread_mutex_lock(&t->lock);
	r = remote_get(t, addr);
	pthread_mutex_unlock(&t->lock);
	return r;
}

uint32_t vx_remote_probe(struct vxlan_tunnel *t, struct vx_remote *r)
{
	uint32_t mtu;

	pthread_mutex_lock(&t->lock);
	mtu = vx_probe(t, r);
	atomic_store(&r->path_mtu, mtu);
	pthread_mutex_unlock(&t->lock);
	return mtu;
}

static void remotes_tick(struct vxlan_tunnel *t, uint64_t now)
{
	bool probe = now >= t->next_probe_ms;

	if (probe)
		t->next_probe_ms = now + PROBE_MS;
	for (unsigned int i = 0; i < VX_REMOTE_BUCKETS; i++) {
		_Atomic(struct vx_remote *) *at = &t->remote[i];
		struct vx_remote *r;

		while ((r = atomic_load(at))) {
			uint64_t used = atomic_load(&r->used_ms);

			if (!r->refs && now > used && now - used > IDLE_MS) {
				atomic_store_explicit(at, atomic_load(&r->next),
						      memory_order_release);
				t->n_remotes--;
				vsw_free_later(&r->rcu, remote_freed);
				continue;
			}
			if (probe)
				atomic_store(&r->path_mtu, vx_probe(t, r));
			at = &r->next;
		}
	}
}

void vx_remotes_clear(struct vxlan_tunnel *t)
{
	for (unsigned int i = 0; i < VX_REMOTE_BUCKETS; i++) {
		struct vx_remote *r = atomic_load(&t->remote[i]), *next;

		for (; r; r = next) {
			next = atomic_load(&r->next);
			free(r);
		}
		atomic_store(&t->remote[i], NULL);
	}
	t->n_remotes = 0;
}

size_t vxlan_remotes(struct vxlan_tunnel *t, struct vxlan_remote_info *out, size_t max)
{
	size_t n = 0;

	pthread_mutex_lock(&t->lock);
	for (unsigned int i = 0; i < VX_REMOTE_BUCKETS; i++) {
		for (struct vx_remote *r = atomic_load(&t->remote[i]); r;
		     r = atomic_load(&r->next), n++) {
			uint32_t mtu = atomic_load(&r->path_mtu);

			if (n >= max)
				continue;
			memcpy(out[n].remote, r->addr, 16);
			out[n].known = atomic_load(&r->known) > 0;
			out[n].path_mtu = mtu;
			out[n].inner_mtu = mtu > vx_overhead(t) ? mtu - vx_overhead(t) : 0;
		}
	}
	pthread_mutex_unlock(&t->lock);
	return n;
}

/* ---- networks ---- */

struct vxlan_port *vx_port_find(struct vxlan_tunnel *t, uint32_t vni)
{
	struct vxlan_port *p =
		atomic_load_explicit(&t->vni[vni % VX_VNI_BUCKETS], memory_order_acquire);

	while (p && p->vni != vni)
		p = atomic_load_explicit(&p->next, memory_order_acquire);
	return p;
}

/* ---- addresses ---- */

static _Atomic(struct vx_mac *) *mac_chain(struct vxlan_port *p, uint64_t mac)
{
	return &p->bucket[(mac ^ p->t->seed) * 0x9e3779b97f4a7c15ull >> p->shift];
}

static struct vx_mac *mac_entry(struct vxlan_port *p, uint64_t mac)
{
	struct vx_mac *e = atomic_load_explicit(mac_chain(p, mac), memory_order_acquire);

	while (e && e->mac != mac)
		e = atomic_load_explicit(&e->next, memory_order_acquire);
	return e;
}

static bool too_old(const struct vxlan_port *p, const struct vx_mac *e, uint64_t now)
{
	uint64_t seen = atomic_load_explicit(&e->seen_ms, memory_order_relaxed);

	return !atomic_load_explicit(&e->set, memory_order_relaxed) && now > seen &&
	       now - seen >= p->ageing_ms;
}

struct vx_remote *vx_mac_find(struct vxlan_port *p, uint64_t mac, uint64_t *now)
{
	struct vx_mac *e = mac_entry(p, mac);

	if (!e)
		return NULL;
	if (!*now)
		*now = vx_now_ms();
	return too_old(p, e, *now) ? NULL : atomic_load_explicit(&e->remote, memory_order_acquire);
}

static void mac_freed(struct rcu_head *head)
{
	vsw_rcu_note_grace();
	free(CONTAINER_OF(head, struct vx_mac, rcu));
}

/* Under the lock: *@at leaves the chain. */
static void mac_unlink(struct vxlan_port *p, _Atomic(struct vx_mac *) *at)
{
	struct vx_mac *e = atomic_load(at);

	atomic_store_explicit(at, atomic_load(&e->next), memory_order_release);
	remote_drop(atomic_load(&e->remote), atomic_load(&e->set));
	p->n_macs--;
	vsw_free_later(&e->rcu, mac_freed);
}

/* Under the lock: all of which @doomed says so. */
static void mac_sweep(struct vxlan_port *p, const struct vx_remote *of, uint64_t now)
{
	for (size_t i = 0; i < (size_t)1 << (64 - p->shift); i++) {
		_Atomic(struct vx_mac *) *at = &p->bucket[i];
		struct vx_mac *e;

		while ((e = atomic_load(at))) {
			if (of ? atomic_load(&e->remote) == of : too_old(p, e, now))
				mac_unlink(p, at);
			else
				at = &e->next;
		}
	}
}

/* Under the lock. 0 or -errno. */
static int mac_put(struct vxlan_port *p, uint64_t mac, const uint8_t remote[16], bool set,
		   uint64_t now)
{
	struct vx_mac *e = mac_entry(p, mac);
	struct vx_remote *r, *old = e ? atomic_load(&e->remote) : NULL;
	_Atomic(struct vx_mac *) *at;

	if (!e && p->n_macs >= p->max_macs) {
		vx_count(&p->t->c.table_full, 1);
		return -ENOSPC;
	}
	r = remote_get(p->t, remote);
	if (!r)
		return -errno;
	if (e) {
		remote_hold(r, set);
		remote_drop(old, atomic_load(&e->set));
		atomic_store_explicit(&e->remote, r, memory_order_release);
		atomic_store(&e->set, set);
		atomic_store(&e->seen_ms, now);
		return 0;
	}
	e = calloc(1, sizeof(*e));
	if (!e)
		return -ENOMEM;
	e->mac = mac;
	atomic_store(&e->remote, r);
	atomic_store(&e->set, set);
	atomic_store(&e->seen_ms, now);
	remote_hold(r, set);
	at = mac_chain(p, mac);
	atomic_store_explicit(&e->next, atomic_load(at), memory_order_relaxed);
	atomic_store_explicit(at, e, memory_order_release);
	p->n_macs++;
	return 0;
}

void vx_mac_learn(struct vxlan_port *p, uint64_t mac, const uint8_t remote[16], uint64_t now)
{
	struct vx_mac *e = mac_entry(p, mac);

	if (!mac || mac >> 40 & 1)
		return;
	if (e) {
		uint64_t seen = atomic_load_explicit(&e->seen_ms, memory_order_relaxed);

		if (atomic_load_explicit(&e->set, memory_order_relaxed))
			return;
		if (!memcmp(atomic_load_explicit(&e->remote, memory_order_acquire)->addr, remote,
			    16)) {
			if (now - seen > p->ageing_ms / 16)
				atomic_store_explicit(&e->seen_ms, now, memory_order_relaxed);
			return;
		}
	}
	pthread_mutex_lock(&p->t->lock);
	e = mac_entry(p, mac);
	if (!e || !atomic_load(&e->set))
		mac_put(p, mac, remote, false, now);
	pthread_mutex_unlock(&p->t->lock);
}

int vxlan_mac_set(struct vxlan_port *p, const uint8_t mac[6], const uint8_t remote[16])
{
	int rc;

	if ((mac[0] & 1) || !fdb_mac(mac))
		return -EINVAL;
	pthread_mutex_lock(&p->t->lock);
	rc = mac_put(p, fdb_mac(mac), remote, true, vx_now_ms());
	pthread_mutex_unlock(&p->t->lock);
	return rc;
}

int vxlan_mac_del(struct vxlan_port *p, const uint8_t mac[6])
{
	uint64_t key = fdb_mac(mac);
	_Atomic(struct vx_mac *) *at = mac_chain(p, key);
	struct vx_mac *e;

	pthread_mutex_lock(&p->t->lock);
	while ((e = atomic_load(at)) && e->mac != key)
		at = &e->next;
	if (e)
		mac_unlink(p, at);
	pthread_mutex_unlock(&p->t->lock);
	return e ? 0 : -ENOENT;
}

size_t vxlan_macs(struct vxlan_port *p, struct vxlan_mac *out, size_t max)
{
	uint64_t now = vx_now_ms();
	size_t n = 0;

	pthread_mutex_lock(&p->t->lock);
	for (size_t i = 0; i < (size_t)1 << (64 - p->shift); i++) {
		for (struct vx_mac *e = atomic_load(&p->bucket[i]); e; e = atomic_load(&e->next)) {
			uint64_t seen = atomic_load(&e->seen_ms);

			if (too_old(p, e, now) || n++ >= max)
				continue;
			for (unsigned int b = 0; b < 6; b++)
				out[n - 1].mac[b] = (uint8_t)(e->mac >> (40 - 8 * b));
			out[n - 1].set = atomic_load(&e->set);
			out[n - 1].age_ms = !out[n - 1].set && now > seen ? now - seen : 0;
			memcpy(out[n - 1].remote, atomic_load(&e->remote)->addr, 16);
		}
	}
	pthread_mutex_unlock(&p->t->lock);
	return n;
}

/* ---- lists of hosts ---- */

static void list_freed(struct rcu_head *head)
{
	vsw_rcu_note_grace();
	free(CONTAINER_OF(head, struct vx_list, rcu));
}

static unsigned int list_at(const struct vx_list *l, const uint8_t addr[16])
{
	unsigned int i = 0;

	while (l && i < l->n && memcmp(l->remote[i]->addr, addr, 16) != 0)
		i++;
	return i;
}

/* Under the lock: a copy of @old with @add, or without the one at @del. NULL: no memory. */
static struct vx_list *list_copy(const struct vx_list *old, struct vx_remote *add, unsigned int del)
{
	unsigned int n = old ? old->n : 0;
	struct vx_list *l = calloc(1, sizeof(*l) + (n + 1) * sizeof(l->remote[0]));

	if (!l)
		return NULL;
	for (unsigned int i = 0; i < n; i++)
		if (i != del)
			l->remote[l->n++] = old->remote[i];
	if (add)
		l->remote[l->n++] = add;
	return l;
}

/* Under the lock. The list that is now in force is in *@now; the old one is freed in time. */
static int list_add(struct vxlan_tunnel *t, struct vx_list *old, const uint8_t addr[16],
		    struct vx_list **now)
{
	struct vx_remote *r;

	*now = old;
	if (old && list_at(old, addr) < old->n)
		return 0;
	if (old && old->n >= VX_MAX_FLOOD)
		return -ENOSPC;
	r = remote_get(t, addr);
	if (!r)
		return -errno;
	*now = list_copy(old, r, UINT32_MAX);
	if (!*now) {
		*now = old;
		return -ENOMEM;
	}
	remote_hold(r, true);
	return 0;
}

static int list_del(struct vx_list *old, const uint8_t addr[16], struct vx_list **now)
{
	unsigned int at = list_at(old, addr);

	*now = old;
	if (!old || at >= old->n)
		return -ENOENT;
	*now = list_copy(old, NULL, at);
	if (!*now) {
		*now = old;
		return -ENOMEM;
	}
	remote_drop(old->remote[at], true);
	return 0;
}

static void publish_flood(struct vxlan_port *p, struct vx_list *old, struct vx_list *now)
{
	if (now == old)
		return;
	atomic_store_explicit(&p->flood, now, memory_order_release);
	if (old)
		vsw_free_later(&old->rcu, list_freed);
}

static int flood_change(struct vxlan_port *p, const uint8_t remote[16], bool add)
{
	struct vx_list *old, *now;
	int rc;

	pthread_mutex_lock(&p->t->lock);
	old = atomic_load(&p->flood);
	rc = add ? list_add(p->t, old, remote, &now) : list_del(old, remote, &now);
	publish_flood(p, old, now);
	pthread_mutex_unlock(&p->t->lock);
	return rc;
}

int vxlan_flood_add(struct vxlan_port *p, const uint8_t remote[16])
{
	return flood_change(p, remote, true);
}

int vxlan_flood_del(struct vxlan_port *p, const uint8_t remote[16])
{
	return flood_change(p, remote, false);
}

size_t vxlan_floods(struct vxlan_port *p, uint8_t (*out)[16], size_t max)
{
	struct vx_list *l;
	size_t n;

	pthread_mutex_lock(&p->t->lock);
	l = atomic_load(&p->flood);
	n = l ? l->n : 0;
	for (size_t i = 0; i < n && i < max; i++)
		memcpy(out[i], l->remote[i]->addr, 16);
	pthread_mutex_unlock(&p->t->lock);
	return n;
}

/* The peer list is only counted (vx_remote.known), never read by a delivery. */
static int peer_change(struct vxlan_port *p, const uint8_t remote[16], bool add)
{
	struct vx_list *old, *now;
	int rc;

	pthread_mutex_lock(&p->t->lock);
	old = p->peers;
	rc = add ? list_add(p->t, old, remote, &now) : list_del(old, remote, &now);
	if (now != old) {
		p->peers = now;
		free(old);
	}
	pthread_mutex_unlock(&p->t->lock);
	return rc;
}

int vxlan_peer_add(struct vxlan_port *p, const uint8_t remote[16])
{
	return peer_change(p, remote, true);
}

int vxlan_peer_del(struct vxlan_port *p, const uint8_t remote[16])
{
	return peer_change(p, remote, false);
}

void vxlan_remote_forget(struct vxlan_port *p, const uint8_t remote[16])
{
	struct vx_remote *r;

	flood_change(p, remote, false);
	peer_change(p, remote, false);
	pthread_mutex_lock(&p->t->lock);
	r = vx_remote_find(p->t, remote);
	if (r)
		mac_sweep(p, r, 0);
	pthread_mutex_unlock(&p->t->lock);
}

/* ---- time, and the end ---- */

void vx_table_tick(struct vxlan_tunnel *t, uint64_t now)
{
	pthread_mutex_lock(&t->lock);
	for (unsigned int i = 0; i < VX_VNI_BUCKETS; i++)
		for (struct vxlan_port *p = atomic_load(&t->vni[i]); p; p = atomic_load(&p->next))
			mac_sweep(p, NULL, now);
	remotes_tick(t, now);
	pthread_mutex_unlock(&t->lock);
}

static void list_clear(struct vx_list *l)
{
	for (unsigned int i = 0; l && i < l->n; i++)
		remote_drop(l->remote[i], true);
	free(l);
}

void vx_port_clear(struct vxlan_port *p)
{
	pthread_mutex_lock(&p->t->lock);
	for (size_t i = 0; i < (size_t)1 << (64 - p->shift); i++) {
		struct vx_mac *e = atomic_load(&p->bucket[i]), *next;

		for (; e; e = next) {
			next = atomic_load(&e->next);
			remote_drop(atomic_load(&e->remote), atomic_load(&e->set));
			free(e);
		}
	}
	list_clear(atomic_load(&p->flood));
	list_clear(p->peers);
	pthread_mutex_unlock(&p->t->lock);
}
