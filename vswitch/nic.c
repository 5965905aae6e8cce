/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns vNICs: which path receives, and packets parked while none does.
 *
 * Theory of operation
 *
 * A vNIC is a port like any other to send.c; its deliver() passes the burst on to the chosen
 * path. @direct is that path as long as nothing is parked: the usual way costs two loads and a
 * call, and takes no lock.
 *
 * Parking. When the path does not receive (its guest turned receive off, or none is chosen) and
 * the host wants it, packets are copied and queued. From then on everything is queued, so that no
 * packet overtakes another of its flow, until the queue is empty again. Senders only append; the
 * vNIC's worker alone takes out (hand_over()): to the chosen path when it receives, into the bin
 * when their time is up or the host has turned parking off. A packet leaves the queue when its
 * delivery has returned, so the queue is not empty, and nobody goes past it, while the last ones
 * are being delivered. One that was delivered in part goes on at its seg_done, wherever.
 *
 * Who tells the worker. The first packet parked posts a letter. As long as packets are left the
 * worker waits like a sender, with vsw_wait() at the vNIC's own port, where every wake of a path
 * arrives: new buffers, receive on or off, another path. It notes the count of wakes before it
 * looks, so what changes while it looks makes it look again. A timer ends the stay of the oldest.
 * A queue that is full makes senders wait at the same port; taking out wakes them.
 *
 * Lock order: nothing is called under nic->lock but the mailbox of the worker.
 *
 * Taking over. A path that is awaited is chosen by its own worker, before it turns receive on:
 * vsw_nic_take_over(). From then on frames are parked, and nobody delivers into the path before,
 * @left, any more once a grace period is over. When its guest has emptied that, nothing is left
 * there which the guest could still throw away, or which what comes on the new path could overtake.
 *
 * Life times. @direct and @chosen are read in read sections (vsw_send()'s, hand_over()'s, a
 * wake's); vsw_nic_path_del() clears both and waits for those.
 */
#define LOG_TAG "switch"
#include "vswitch/nic.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "base/log.h"
#include "base/util.h"
#include "vswitch/parse.h"
#include "vswitch/rcu.h"
#include "vswitch/switch_internal.h"

#define DEFAULT_PARK_BYTES (4u << 20)
#define DEFAULT_PARK_MS	   2000
#define BURST		   16
#define BURSTS_AT_ONCE	   32 /* then the worker's other business gets its turn */

/* A packet that waits: bytes as its sender gave them, debts, and how far it got. */
struct parked {
	struct parked *next;
	uint64_t seq, since; /* ns */
	uint32_t flags, len, seg_done;
	uint16_t gso_size, vlan_tci;
	enum vsw_drop why; /* when it is dropped */
	uint8_t data[];
};

/* Under @lock where not said otherwise. */
struct vsw_nic {
	struct vsw_port port;
	_Atomic(struct vsw_port *) direct; /* read without lock */
	_Atomic(struct vsw_port *) chosen; /* read without lock */
	_Atomic bool park;		   /* read without lock */
	_Atomic uint64_t bytes;		   /* read without lock; in the queue, see cost() */
	struct worker *worker;		   /* constant, as the next two */
	uint64_t max_bytes, max_ns;
	pthread_mutex_t lock;
	struct parked *first, **last;
	uint64_t n, next_seq;
	uint64_t drop_below; /* packets parked before this number are not wanted any more */
	bool full;	     /* a sender was turned away */
	struct vsw_port *path[VSW_NIC_MAX_PATHS];
	struct vsw_port *awaited, *left; /* of those, or NULL */
	unsigned int n_paths;
	uint64_t switches, lost, longest_ns;
	/* worker only */
	struct vsw_waiter waiter;
	struct worker_timer timer;
	struct pkt burst[BURST];
};

static bool receives(const struct vsw_port *path)
{
	return path && atomic_load_explicit(&path->receiving, memory_order_acquire);
}

struct vsw_port *nic_chosen(const struct vsw_nic *nic)
{
	return atomic_load_explicit(&nic->chosen, memory_order_acquire);
}

bool nic_takes(const struct vsw_nic *nic)
{
	return receives(nic_chosen(nic)) || atomic_load_explicit(&nic->park, memory_order_acquire);
}

/* ---- Parking: any worker, in vsw_send() ---------------------------------------------------- */

static uint64_t cost(uint32_t len)
{
	return ALIGN_UP(sizeof(struct parked) + len, 16);
}

static struct parked *parked_new(const struct pkt *pkt)
{
	struct parked *p = malloc(sizeof(*p) + pkt->len);
	uint8_t *to;

	if (!p)
		return NULL;
	p->next = NULL;
	p->since = now_ns();
	p->flags = pkt->flags & ~PKT_NO_WAIT;
	p->len = pkt->len;
	p->seg_done = pkt->seg_done;
	p->gso_size = pkt->gso_size;
	p->vlan_tci = pkt->vlan_tci;
	/* Lengths were checked by pkt_parse(): header and pieces add up to len. */
	memcpy(p->data, pkt->hdr, pkt->hdr_len);
	to = p->data + pkt->hdr_len;
	for (unsigned int i = 0; i < pkt->n_pieces; i++) {
		memcpy(to, pkt->piece[i].ptr, pkt->piece[i].len);
		to += pkt->piece[i].len;
	}
	return p;
}

static void run_flush(void *arg);

static void post_flush(struct vsw_nic *nic)
{
	while (worker_post(nic->worker, run_flush, nic))
		log_err_rl("%s: no memory to hand over parked packets, trying again",
			   nic->port.name);
}

/* May packets be handed straight to the chosen path? Under the lock. */
static void set_direct(struct vsw_nic *nic)
{
	atomic_store_explicit(&nic->direct, nic->n ? NULL : nic_chosen(nic), memory_order_release);
}

enum park_result {
	PARK_DONE,
	PARK_NOT_NOW,	/* the path receives again and nothing is before us: try it */
	PARK_NOT_TAKEN, /* no room, or nobody wants it: see vsw_port_takes() */
};

static enum park_result enqueue(struct vsw_nic *nic, struct parked *p)
{
	enum park_result res = PARK_NOT_TAKEN;
	bool taking;

	pthread_mutex_lock(&nic->lock);
	taking = receives(nic_chosen(nic));
	if (taking && !nic->n) {
		res = PARK_NOT_NOW;
	} else if (taking || atomic_load_explicit(&nic->park, memory_order_relaxed)) {
		if (atomic_load_explicit(&nic->bytes, memory_order_relaxed) + cost(p->len) >
		    nic->max_bytes) {
			nic->full = true;
		} else {
			p->seq = nic->next_seq++;
			*nic->last = p;
			nic->last = &p->next;
			nic->n++;
			atomic_fetch_add_explicit(&nic->bytes, cost(p->len), memory_order_relaxed);
			if (nic->n == 1) {
				set_direct(nic);
				post_flush(nic);
			}
			res = PARK_DONE;
		}
	}
	pthread_mutex_unlock(&nic->lock);
	return res;
}

/* Looks before the copy is made whether there is room for one: a sender that is turned away pays
 * little. */
static bool room_for(struct vsw_nic *nic, const struct pkt *pkt)
{
	bool ok;

	if (likely(atomic_load_explicit(&nic->bytes, memory_order_relaxed) + cost(pkt->len) <=
		   nic->max_bytes))
		return true;
	pthread_mutex_lock(&nic->lock);
	ok = atomic_load_explicit(&nic->bytes, memory_order_relaxed) + cost(pkt->len) <=
	     nic->max_bytes;
	if (!ok)
		nic->full = true;
	pthread_mutex_unlock(&nic->lock);
	return ok;
}

static enum park_result park_one(struct vsw_nic *nic, struct pkt *pkt)
{
	enum park_result res;
	struct parked *p;

	if (!nic_takes(nic) || !room_for(nic, pkt))
		return PARK_NOT_TAKEN;
	p = parked_new(pkt);
	if (!p) {
		vsw_port_drop(&nic->port, pkt, VSW_DROP_NO_BUFFER);
		pkt->seg_done = 0;
		return PARK_DONE;
	}
	res = enqueue(nic, p);
	if (res == PARK_DONE) {
		pkt->seg_done = 0;
		switch_parked();
	} else {
		free(p);
	}
	return res;
}

static unsigned int nic_deliver(struct vsw_port *port, struct pkt **pkts, unsigned int n)
{
	struct vsw_nic *nic = CONTAINER_OF(port, struct vsw_nic, port);
	unsigned int done = 0;

	for (;;) {
		struct vsw_port *path = atomic_load_explicit(&nic->direct, memory_order_acquire);

		if (likely(receives(path))) {
			done += path->ops->deliver(path, pkts + done, n - done);
			if (likely(done == n))
				break;
			/* No buffer, when it is still the one. */
			if (receives(path) && path == atomic_load(&nic->direct))
				break;
		}
		switch (park_one(nic, pkts[done])) {
		case PARK_DONE:
			if (++done == n)
				return done;
			break;
		case PARK_NOT_NOW:
			break;
		case PARK_NOT_TAKEN:
			return done;
		}
	}
	return done;
}

static const struct vsw_port_ops nic_ops = {.deliver = nic_deliver};

/* ---- Handing over: the vNIC's worker ------------------------------------------------------- */

/*
 * The packet as vsw_send() would see it. False: malformed. It passed before, but then the parser may
 * have had fewer bytes of it in hand than now, and a header that it did not see may lie.
 */
static bool unpark(struct pkt *pkt, struct parked *p)
{
	struct iovec iov = {p->data, p->len};

	if (pkt_from_iov(pkt, &iov, 1)) {
		memset(pkt, 0, sizeof(*pkt));
		return false;
	}
	pkt->flags = p->flags;
	pkt->gso_size = p->gso_size;
	pkt->vlan_tci = p->vlan_tci;
	if (pkt_parse(pkt) != VSW_DROP_NONE)
		return false;
	pkt->seg_done = p->seg_done;
	return true;
}

/* Under the lock: the first packet leaves the queue. */
static struct parked *take_first(struct vsw_nic *nic)
{
	struct parked *p = nic->first;

	nic->first = p->next;
	if (!nic->first)
		nic->last = &nic->first;
	nic->n--;
	atomic_fetch_sub_explicit(&nic->bytes, cost(p->len), memory_order_relaxed);
	p->next = NULL;
	return p;
}

/* Why @p must be dropped now, or NONE. Under the lock. */
static enum vsw_drop doomed(const struct vsw_nic *nic, const struct parked *p, bool taking,
			    uint64_t now)
{
	if (p->seq < nic->drop_below || !atomic_load(&nic->port.net) ||
	    (!taking && !atomic_load(&nic->park)))
		return VSW_DROP_LINK_DOWN;
	if (now >= p->since + nic->max_ns)
		return taking ? VSW_DROP_NO_BUFFER : VSW_DROP_LINK_DOWN;
	return VSW_DROP_NONE;
}

/* Packets have left the queue. True: somebody waited for the room. Under the lock. */
static bool made_room(struct vsw_nic *nic)
{
	bool full = nic->full;

	nic->full = false;
	set_direct(nic);
	return full;
}

/* Drops what has no future. In a read section. */
static void drop_doomed(struct vsw_nic *nic)
{
	struct parked *dead = NULL, **end = &dead, *p;
	uint64_t now = now_ns();
	bool taking, room;

	pthread_mutex_lock(&nic->lock);
	taking = receives(nic_chosen(nic));
	while (nic->first) {
		enum vsw_drop why = doomed(nic, nic->first, taking, now);

		if (why == VSW_DROP_NONE)
			break;
		*end = take_first(nic);
		(*end)->why = why;
		end = &(*end)->next;
		nic->lost++;
	}
	room = dead && made_room(nic);
	pthread_mutex_unlock(&nic->lock);
	while ((p = dead)) {
		dead = p->next;
		if (!unpark(&nic->burst[0], p))
			p->why = VSW_DROP_MALFORMED;
		vsw_port_drop(&nic->port, &nic->burst[0], p->why);
		free(p);
	}
	if (room)
		vsw_port_wake(&nic->port);
}

/*
 * The first packets, as many as a burst takes; where to. 0: nothing to deliver now. *@bad: the one
 * behind them is in the burst too, and malformed.
 */
static unsigned int first_burst(struct vsw_nic *nic, struct vsw_port **path, bool *bad)
{
	struct parked *p, *list[BURST];
	unsigned int n = 0;

	pthread_mutex_lock(&nic->lock);
	*path = nic_chosen(nic);
	if (receives(*path) && atomic_load(&nic->port.link))
		for (p = nic->first; p && n < BURST; p = p->next)
			list[n++] = p;
	pthread_mutex_unlock(&nic->lock);
	*bad = false;
	/* They stay: only this thread takes any out. */
	for (unsigned int i = 0; i < n; i++) {
		if (unlikely(!unpark(&nic->burst[i], list[i]))) {
			*bad = true;
			return i;
		}
	}
	return n;
}

/* The first packet, which is also the burst's. */
static void drop_malformed(struct vsw_nic *nic)
{
	struct parked *p;
	bool room;

	pthread_mutex_lock(&nic->lock);
	p = take_first(nic);
	nic->lost++;
	room = made_room(nic);
	pthread_mutex_unlock(&nic->lock);
	vsw_port_drop(&nic->port, &nic->burst[0], VSW_DROP_MALFORMED);
	free(p);
	if (room)
		vsw_port_wake(&nic->port);
}

/* Of the burst the first @got are delivered, and the next one, if any, perhaps in part. */
static void delivered(struct vsw_nic *nic, unsigned int got, unsigned int n)
{
	struct parked *p, *gone = NULL;
	uint64_t now = now_ns();
	bool room;

	pthread_mutex_lock(&nic->lock);
	for (unsigned int i = 0; i < got; i++) {
		p = take_first(nic);
		nic->longest_ns = MAX(nic->longest_ns, now - p->since);
		p->next = gone;
		gone = p;
	}
	if (got < n)
		nic->first->seg_done = nic->burst[got].seg_done;
	room = got && made_room(nic);
	pthread_mutex_unlock(&nic->lock);
	while ((p = gone)) {
		gone = p->next;
		free(p);
	}
	if (room)
		vsw_port_wake(&nic->port);
}

/* One step. False: nothing more can be done just now. In a read section. */
static bool hand_over(struct vsw_nic *nic)
{
	struct pkt *pkts[BURST];
	struct vsw_port *path;
	unsigned int n, got;
	bool bad;

	drop_doomed(nic);
	n = first_burst(nic, &path, &bad);
	if (unlikely(bad && !n)) {
		drop_malformed(nic);
		return true;
	}
	if (!n)
		return false;
	for (unsigned int i = 0; i < n; i++)
		pkts[i] = &nic->burst[i];
	got = switch_deliver(&nic->port, path, pkts, n);
	delivered(nic, got, n);
	return got == n;
}

/* False: the queue is empty. *@until: when its first packet's time is up. */
static bool anything_left(struct vsw_nic *nic, uint64_t *until)
{
	bool left;

	pthread_mutex_lock(&nic->lock);
	left = nic->n;
	*until = left ? nic->first->since + nic->max_ns : 0;
	pthread_mutex_unlock(&nic->lock);
	return left;
}

static void flush(struct vsw_nic *nic)
{
	uint64_t wakes, until;
	bool more;

	for (unsigned int i = 0; i < BURSTS_AT_ONCE; i++) {
		vsw_read_lock();
		/* Before the look: a wake that comes meanwhile must not be lost, see wait.c. */
		wakes = atomic_load(&nic->port.wakes);
		more = hand_over(nic);
		vsw_read_unlock();
		if (!anything_left(nic, &until)) {
			vsw_wait_cancel(&nic->waiter);
			worker_timer_cancel(&nic->timer);
			return;
		}
		worker_timer_arm(nic->worker, &nic->timer, until);
		if (more)
			continue;
		wait_note_failure(&nic->port, wakes);
		if (vsw_wait(&nic->waiter, &nic->port))
			return;
	}
	post_flush(nic);
}

static void run_flush(void *arg)
{
	flush(arg);
}

static void woken(struct vsw_waiter *w)
{
	flush(w->arg);
}

static void time_is_up(struct worker_timer *t)
{
	flush(t->arg);
}

/* ---- Birth, death, paths: the control thread ----------------------------------------------- */

struct vsw_nic *vsw_nic_new(const struct vsw_nic_conf *conf)
{
	struct vsw_nic *nic;

	if (!conf->name || !*conf->name || !conf->worker || conf->mac[0] & 1) {
		errno = EINVAL;
		return NULL;
	}
	nic = aligned_alloc(64, ALIGN_UP(sizeof(*nic), (size_t)64));
	if (!nic)
		return NULL;
	memset(nic, 0, sizeof(*nic));
	vsw_port_init(&nic->port, &nic_ops, conf->name, conf->mac);
	nic->port.mtu = conf->mtu;
	nic->port.nic = nic;
	atomic_store(&nic->port.link, true);
	nic->worker = conf->worker;
	nic->max_bytes = conf->park_bytes ? conf->park_bytes : DEFAULT_PARK_BYTES;
	nic->max_ns = (conf->park_ms ? conf->park_ms : DEFAULT_PARK_MS) * NSEC_PER_MSEC;
	pthread_mutex_init(&nic->lock, NULL);
	nic->last = &nic->first;
	nic->waiter = (struct vsw_waiter){.wake = woken, .arg = nic, .worker = nic->worker};
	nic->timer = (struct worker_timer){.fn = time_is_up, .arg = nic};
	return nic;
}

static void nothing(void *arg)
{
	(void)arg;
}

void vsw_nic_free(struct vsw_nic *nic)
{
	if (!nic)
		return;
	assert(!atomic_load(&nic->port.net) && !nic->n_paths);
	/* No senders are left and no network: this empties the queue and ends the waiting. */
	worker_call(nic->worker, run_flush, nic);
	/* A letter that was posted while it was on its way comes before this one. */
	worker_call(nic->worker, nothing, NULL);
	pthread_mutex_destroy(&nic->lock);
	pthread_mutex_destroy(&nic->port.waiters_lock);
	free(nic);
}

struct vsw_port *vsw_nic_port(struct vsw_nic *nic)
{
	return &nic->port;
}

struct vsw_nic *vsw_nic_of(const struct vsw_port *port)
{
	const struct vsw_port *outer = atomic_load(&port->outer);

	return outer ? outer->nic : NULL;
}

static unsigned int path_index(const struct vsw_nic *nic, const struct vsw_port *path)
{
	unsigned int i = 0;

	while (i < nic->n_paths && nic->path[i] != path)
		i++;
	return i;
}

int vsw_nic_path_add(struct vsw_nic *nic, struct vsw_port *path)
{
	if (atomic_load(&path->net) || atomic_load(&path->outer) || path->nic)
		return -EBUSY;
	if (nic->n_paths == VSW_NIC_MAX_PATHS)
		return -ENOSPC;
	pthread_mutex_lock(&nic->lock);
	nic->path[nic->n_paths++] = path;
	pthread_mutex_unlock(&nic->lock);
	atomic_store(&path->outer, &nic->port);
	pace_refresh(path);
	return 0;
}

/* Under the lock. */
static void choose(struct vsw_nic *nic, struct vsw_port *path, bool park)
{
	if (nic_chosen(nic) != path)
		nic->switches++;
	nic->left = NULL;
	atomic_store(&nic->chosen, path);
	atomic_store(&nic->park, park);
	if (!park && !receives(path))
		nic->drop_below = nic->next_seq;
	set_direct(nic);
}

void vsw_nic_path_del(struct vsw_nic *nic, struct vsw_port *path)
{
	unsigned int i;

	pthread_mutex_lock(&nic->lock);
	i = path_index(nic, path);
	assert(i < nic->n_paths);
	nic->path[i] = nic->path[--nic->n_paths];
	if (nic_chosen(nic) == path)
		choose(nic, NULL, atomic_load(&nic->park));
	if (nic->awaited == path)
		nic->awaited = NULL;
	if (nic->left == path)
		nic->left = NULL;
	pthread_mutex_unlock(&nic->lock);
	/* After this nobody delivers into it, and what it received is counted. */
	vsw_synchronize();
	atomic_store(&path->outer, NULL);
	/* After this nobody sends from it in our name or wakes us for it. */
	vsw_synchronize();
	vsw_port_wake(&nic->port);
}

void vsw_nic_receive(struct vsw_nic *nic, struct vsw_port *path, bool park)
{
	pthread_mutex_lock(&nic->lock);
	assert(!path || path_index(nic, path) < nic->n_paths);
	choose(nic, path, park);
	pthread_mutex_unlock(&nic->lock);
	/* Senders that wait, and the worker if anything is parked. */
	vsw_port_wake(&nic->port);
}

void vsw_nic_await(struct vsw_nic *nic, struct vsw_port *path)
{
	pthread_mutex_lock(&nic->lock);
	assert(!path || path_index(nic, path) < nic->n_paths);
	nic->awaited = path;
	pthread_mutex_unlock(&nic->lock);
}

/* In a read section: neither @nic nor the path it leaves goes away. */
static bool take_over(struct vsw_nic *nic, struct vsw_port *path)
{
	struct vsw_port *left;

	pthread_mutex_lock(&nic->lock);
	if (nic->awaited == path && nic_chosen(nic) != path && !receives(path)) {
		left = nic_chosen(nic);
		choose(nic, path, true);
		nic->left = left;
		pthread_mutex_unlock(&nic->lock);
		/* A delivery into it may still be under way. */
		return !receives(left);
	}
	left = nic_chosen(nic) == path ? nic->left : NULL;
	pthread_mutex_unlock(&nic->lock);
	return !receives(left) || !left->ops->emptied || left->ops->emptied(left);
}

bool vsw_nic_take_over(struct vsw_port *path)
{
	struct vsw_nic *nic;
	bool done = true;

	vsw_read_lock();
	nic = vsw_nic_of(path);
	if (nic)
		done = take_over(nic, path);
	vsw_read_unlock();
	if (!done)
		vsw_synchronize();
	return done;
}

void vsw_nic_take_back(struct vsw_port *path)
{
	struct vsw_nic *nic;

	vsw_read_lock();
	nic = vsw_nic_of(path);
	if (nic) {
		pthread_mutex_lock(&nic->lock);
		if (nic->left && nic_chosen(nic) == path && !receives(path))
			choose(nic, nic->left, true);
		pthread_mutex_unlock(&nic->lock);
	}
	vsw_read_unlock();
	vsw_port_wake(path);
}

void vsw_nic_link_set(struct vsw_nic *nic, bool up)
{
	if (atomic_exchange(&nic->port.link, up) != up)
		vsw_port_wake(&nic->port);
}

void vsw_nic_get_info(struct vsw_nic *nic, struct vsw_nic_info *info)
{
	pthread_mutex_lock(&nic->lock);
	*info = (struct vsw_nic_info){
		.path = nic_chosen(nic),
		.park = atomic_load(&nic->park),
		.switches = nic->switches,
		.parked = nic->next_seq,
		.parked_now = nic->n,
		.parked_bytes_now = atomic_load(&nic->bytes),
		.park_lost = nic->lost,
		.park_longest_ns = nic->longest_ns,
	};
	pthread_mutex_unlock(&nic->lock);
}
