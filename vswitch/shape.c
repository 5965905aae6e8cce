/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns bandwidth: maxima, shares of a network, and who goes first.
 *
 * Theory of operation
 *
 * Nobody here has a timer or wakes anybody. A queue that is refused is told a time, its worker
 * comes again then, and whoever comes brings the clock forward for all: its own bucket, and the
 * network's, which is divided at that moment. So a late worker loses nothing as long as the
 * buckets do not run over: after LATE_NS while queues wait, CAP_NS is what a pause of the sender's
 * own may save up. And a queue never sleeps longer than POLL_NS, so
 * a change of the limits, or of what the others use, is felt by then.
 *
 * Shares. A member of a network has a balance that fills up to a cap: SMALL_NS of the network's
 * rate for one that has all it wants, LATE_NS for one whose queues wait (hungry). What the network
 * earned goes to those below their caps, so one that sends less than its share is full most of the
 * time and what would be its goes to the others. The balances of all together grow exactly as the
 * network earns.
 *
 * Lines. Queues of one port come from several rings, perhaps on several workers, and the first to
 * come after a pause would take all there is, always the same one. So who is refused draws a
 * ticket, who comes without one goes behind those who have one, and while others wait nobody takes
 * more than his part of what is there (unless there is so much that some would be lost). Who does
 * not come back (its ring was stopped) is passed over after DEAD_NS. A queue stands in one line at
 * a time, its path's or its port's.
 *
 * Lock order: path, port, network.
 */
#include "vswitch/shape.h"

#include <limits.h>

#include "base/util.h"

#define BYTES_PER_MBIT 125000u
#define CAP_NS	       (20 * NSEC_PER_MSEC)
#define LATE_NS	       (200 * NSEC_PER_MSEC) /* the same while queues wait */
#define SMALL_NS       (2 * NSEC_PER_MSEC)
#define CAP_MIN	       (16 * 1024) /* bytes of any bucket */
#define QUANTUM_NS     (1 * NSEC_PER_MSEC)
#define QUANTUM_MIN    1514
#define QUANTUM_MAX    65536
#define POLL_NS	       (5 * NSEC_PER_MSEC)
#define NAP_NS	       (20 * NSEC_PER_USEC) /* the shortest wait that is worth a timer */
#define DEAD_NS	       (100 * NSEC_PER_MSEC)
#define DIVIDE_MIN     1024 /* bytes: less is not divided, shares lose up to a byte each time */

static uint64_t rate_of(uint32_t mbps)
{
	return (uint64_t)mbps * BYTES_PER_MBIT;
}

/* What a rate makes of a time, in bytes. */
static int64_t worth(uint64_t rate, uint64_t ns)
{
	return (int64_t)((unsigned __int128)rate * ns / NSEC_PER_SEC);
}

static uint64_t time_for(uint64_t rate, int64_t bytes)
{
	return (uint64_t)((unsigned __int128)bytes * NSEC_PER_SEC / rate);
}

static int64_t cap_of(uint64_t rate, uint64_t ns)
{
	return MAX(worth(rate, ns), (int64_t)CAP_MIN);
}

/* ---- Making and setting --------------------------------------------------------------------- */

void shape_init(struct shape *s)
{
	*s = (struct shape){.weight = 1};
	pthread_mutex_init(&s->lock, NULL);
}

void shape_set(struct shape *s, const struct shape_conf *conf, uint64_t now)
{
	uint64_t rate = rate_of(conf->max_mbps);

	pthread_mutex_lock(&s->lock);
	s->conf = *conf;
	bucket_set(&s->max, rate, cap_of(rate, CAP_NS), now);
	/* Tickets drawn under the old limits are worth nothing. */
	s->line.serving = s->line.next;
	if (s->net)
		pthread_mutex_lock(&s->net->lock);
	s->min_rate = rate_of(conf->min_mbps);
	s->weight = conf->min_weight ? conf->min_weight : 1;
	s->hungry = false;
	if (s->net)
		pthread_mutex_unlock(&s->net->lock);
	pthread_mutex_unlock(&s->lock);
}

struct shape_conf shape_get(struct shape *s)
{
	struct shape_conf conf;

	pthread_mutex_lock(&s->lock);
	conf = s->conf;
	pthread_mutex_unlock(&s->lock);
	return conf;
}

bool shape_is_limited(struct shape *s)
{
	bool on;

	pthread_mutex_lock(&s->lock);
	on = s->max.rate || (s->net && shape_net_get(s->net));
	pthread_mutex_unlock(&s->lock);
	return on;
}

void shape_net_init(struct shape_net *net)
{
	*net = (struct shape_net){.clock = {.rate = 0}};
	TAILQ_INIT(&net->members);
	pthread_mutex_init(&net->lock, NULL);
}

void shape_net_fini(struct shape_net *net)
{
	pthread_mutex_destroy(&net->lock);
}

void shape_net_set(struct shape_net *net, uint32_t mbps, uint64_t now)
{
	struct shape *s;

	pthread_mutex_lock(&net->lock);
	bucket_set(&net->clock, rate_of(mbps), 0, now);
	TAILQ_FOREACH(s, &net->members, link)
	s->balance = 0;
	pthread_mutex_unlock(&net->lock);
}

uint32_t shape_net_get(struct shape_net *net)
{
	uint64_t rate;

	pthread_mutex_lock(&net->lock);
	rate = net->clock.rate;
	pthread_mutex_unlock(&net->lock);
	return (uint32_t)(rate / BYTES_PER_MBIT);
}

void shape_join(struct shape_net *net, struct shape *s)
{
	pthread_mutex_lock(&s->lock);
	pthread_mutex_lock(&net->lock);
	s->net = net;
	s->balance = 0;
	s->hungry = false;
	TAILQ_INSERT_TAIL(&net->members, s, link);
	pthread_mutex_unlock(&net->lock);
	pthread_mutex_unlock(&s->lock);
}

void shape_leave(struct shape *s)
{
	struct shape_net *net;

	pthread_mutex_lock(&s->lock);
	net = s->net;
	if (net) {
		pthread_mutex_lock(&net->lock);
		TAILQ_REMOVE(&net->members, s, link);
		pthread_mutex_unlock(&net->lock);
	}
	s->net = NULL;
	pthread_mutex_unlock(&s->lock);
}

/* ---- Shares: under the network's lock ------------------------------------------------------- */

static int64_t room_of(const struct shape_net *net, const struct shape *s)
{
	return cap_of(net->clock.rate, s->hungry ? LATE_NS : SMALL_NS) - s->balance;
}

/* Of @earned bytes each gets its absolute minimum. Returns what is left. */
static int64_t give_minima(struct shape_net *net, int64_t earned)
{
	int64_t left = earned;
	struct shape *s;

	TAILQ_FOREACH(s, &net->members, link)
	{
		int64_t room = room_of(net, s), part;

		if (!s->min_rate || room <= 0)
			continue;
		part = (int64_t)((unsigned __int128)earned * s->min_rate / net->clock.rate);
		part = MIN(MIN(part, room), left);
		s->balance += part;
		left -= part;
	}
	return left;
}

/* One round by weight. Returns what is left; *@more: somebody was full, the others want more. */
static int64_t give_shares(struct shape_net *net, int64_t sum, bool *more)
{
	int64_t left = sum, weights = 0;
	struct shape *s;

	*more = false;
	TAILQ_FOREACH(s, &net->members, link)
	if (room_of(net, s) > 0)
		weights += s->weight;
	if (!weights)
		return 0; /* nobody wants it */
	TAILQ_FOREACH(s, &net->members, link)
	{
		int64_t room = room_of(net, s);
		int64_t part = sum * s->weight / weights;

		if (room <= 0)
			continue;
		if (part >= room) {
			part = room;
			*more = true;
		}
		s->balance += part;
		left -= part;
	}
	return left;
}

static void divide(struct shape_net *net, uint64_t now)
{
	bool more = true;
	int64_t left;

	if (now <= net->clock.last_ns ||
	    worth(net->clock.rate, now - net->clock.last_ns) < DIVIDE_MIN)
		return;
	left = (int64_t)bucket_earn(&net->clock, now);
	left = give_minima(net, left) + net->clock.tokens;
	while (more && left > 0)
		left = give_shares(net, left, &more);
	/* What could not be divided: fewer bytes than there are members. */
	net->clock.tokens = left;
}

/* How fast the balance of @s grows as long as the others do as they do now. */
static uint64_t share_rate(const struct shape_net *net, const struct shape *s)
{
	uint64_t minima = 0, weights = 0, rate = net->clock.rate;
	const struct shape *o;

	TAILQ_FOREACH(o, &net->members, link)
	{
		if (o != s && room_of(net, o) <= 0)
			continue;
		minima += o->min_rate;
		weights += o->weight;
	}
	minima = MIN(minima, rate);
	return MAX(MIN(s->min_rate, rate) + (rate - minima) * s->weight / weights, 1u);
}

/* ---- Levels --------------------------------------------------------------------------------- */

/* A path or a port as a burst meets it: under its lock. */
struct level {
	struct shape *s; /* NULL: there is none, or it has no limits */
	int64_t tokens;
	uint64_t rate; /* at which they come */
	bool plenty;   /* so many that some may be lost soon: whoever comes may take them */
};

static bool is_empty(const struct shape_line *line)
{
	return line->next == line->serving;
}

static void look(struct level *lv, struct shape *s, uint64_t now)
{
	bool shared = false;

	*lv = (struct level){.tokens = INT64_MAX, .rate = UINT64_MAX, .plenty = true};
	if (!s)
		return;
	if (s->max.rate) {
		/* Who waits has not been idle: it is we who are late. */
		s->max.cap = cap_of(s->max.rate, is_empty(&s->line) ? CAP_NS : LATE_NS);
		s->max.cap = MAX(s->max.cap, s->max.tokens);
		lv->tokens = bucket_refill(&s->max, now);
		lv->rate = s->max.rate;
		lv->plenty = lv->tokens > cap_of(s->max.rate, CAP_NS) / 2;
	}
	if (s->net) {
		pthread_mutex_lock(&s->net->lock);
		shared = s->net->clock.rate;
		if (shared) {
			divide(s->net, now);
			lv->tokens = MIN(lv->tokens, s->balance);
			lv->plenty &= s->balance > cap_of(s->net->clock.rate, CAP_NS) / 2;
			lv->rate = MIN(lv->rate, share_rate(s->net, s));
		}
		pthread_mutex_unlock(&s->net->lock);
	}
	if (s->max.rate || shared)
		lv->s = s;
}

static int64_t quantum(const struct level *lv)
{
	return MAX(QUANTUM_MIN, MIN(QUANTUM_MAX, worth(lv->rate, QUANTUM_NS)));
}

static bool has_ticket(const struct level *lv, const struct pkt_delay *d, enum pkt_delay_at at)
{
	return lv->s && d->at == at && (int32_t)(d->ticket - lv->s->line.serving) >= 0;
}

/* The next one's turn. */
static void step(struct shape_line *line, uint64_t now)
{
	line->serving++;
	line->seen_ns = now;
}

/* Is it the queue's turn at this level? */
static bool has_turn(struct level *lv, const struct pkt_delay *d, enum pkt_delay_at at,
		     uint64_t now)
{
	struct shape_line *line;

	if (!lv->s)
		return true;
	line = &lv->s->line;
	if (!is_empty(line) && !(has_ticket(lv, d, at) && d->ticket == line->serving) &&
	    now >= line->seen_ns + DEAD_NS)
		step(line, now);
	if (!has_ticket(lv, d, at))
		return is_empty(line) || lv->plenty;
	if (d->ticket != line->serving)
		return false;
	line->seen_ns = now;
	return true;
}

static void set_hungry(struct shape *s, bool on)
{
	if (!s || !s->net)
		return;
	pthread_mutex_lock(&s->net->lock);
	/* One that has enough waits for something else: its maximum. */
	s->hungry = on && s->balance < cap_of(s->net->clock.rate, SMALL_NS);
	pthread_mutex_unlock(&s->net->lock);
}

/* When the tokens may do for everybody up to this ticket. */
static uint64_t come_again(const struct level *lv, uint32_t ahead, uint64_t now)
{
	int64_t want = quantum(lv), lack = want - lv->tokens;
	uint64_t ns = time_for(lv->rate, (lack > 0 ? lack : 0) + ahead * want);

	return now + MAX(NAP_NS, MIN(ns, POLL_NS));
}

/* Not now: into the line of @lv, or it stays there. */
static void refuse(struct level *lv, struct pkt_delay *d, enum pkt_delay_at at, uint64_t now)
{
	struct shape_line *line = &lv->s->line;

	if (!has_ticket(lv, d, at)) {
		if (is_empty(line))
			line->seen_ns = now;
		d->ticket = line->next++;
		d->at = at;
	}
	if (!d->since)
		d->since = now;
	d->until = come_again(lv, d->ticket - line->serving, now);
	set_hungry(lv->s, true);
}

/* Packets that so many tokens allow. */
static unsigned int allowed(int64_t tokens, struct pkt **pkts, unsigned int n)
{
	unsigned int i = 0;

	while (i < n && tokens > 0)
		tokens -= pkts[i++]->len;
	return i;
}

/* It goes. What it may take: with others in the line its part of what there is, or a quantum. */
static int64_t serve(struct level *lv, const struct pkt_delay *d, enum pkt_delay_at at,
		     uint64_t now)
{
	uint32_t others;

	if (!lv->s)
		return INT64_MAX;
	if (has_ticket(lv, d, at))
		step(&lv->s->line, now);
	others = lv->s->line.next - lv->s->line.serving;
	set_hungry(lv->s, others);
	return others ? MAX(lv->tokens / (others + 1), quantum(lv)) : lv->tokens;
}

static bool must_go(const struct pkt *pkt)
{
	return pkt->seg_done || pkt->delay.at == PKT_DELAY_EXEMPT;
}

/* Of a queue that cannot wait: what there is, past the lines. */
static unsigned int police(struct level *path, struct level *own, struct pkt **pkts, unsigned int n)
{
	unsigned int ok = allowed(MIN(path->tokens, own->tokens), pkts, n);

	return ok || !must_go(pkts[0]) ? ok : 1;
}

/* With others behind it a queue waits until its turn is worth a quantum, so that turns are equal.
 */
static bool has_tokens(const struct level *lv)
{
	if (!lv->s || lv->s->line.next - lv->s->line.serving < 2)
		return lv->tokens > 0;
	return lv->tokens >= MIN(quantum(lv), cap_of(lv->rate, CAP_NS));
}

static unsigned int admit(struct level *path, struct level *own, struct pkt **pkts, unsigned int n,
			  uint64_t now)
{
	struct pkt_delay *d = &pkts[0]->delay;
	bool in_own = has_ticket(own, d, PKT_DELAY_AT_PORT);
	bool own_turn = has_turn(own, d, PKT_DELAY_AT_PORT, now);
	/* Who stands in the port's line has stood in its path's. */
	bool path_turn = in_own || has_turn(path, d, PKT_DELAY_AT_PATH, now);

	if (path_turn && own_turn && has_tokens(path) && has_tokens(own)) {
		int64_t most = MIN(serve(path, d, PKT_DELAY_AT_PATH, now),
				   serve(own, d, PKT_DELAY_AT_PORT, now));

		d->at = PKT_DELAY_NOWHERE;
		return allowed(most, pkts, n);
	}
	if (must_go(pkts[0]))
		return 1;
	if (path_turn && has_tokens(path)) {
		/* Through its path's line, on to the port's. */
		if (has_ticket(path, d, PKT_DELAY_AT_PATH))
			step(&path->s->line, now);
		refuse(own, d, PKT_DELAY_AT_PORT, now);
		return 0;
	}
	/* It cannot use its turn at the port: that is the next one's. */
	if (in_own && own_turn)
		step(&own->s->line, now);
	refuse(path, d, PKT_DELAY_AT_PATH, now);
	return 0;
}

/* ---- What senders call ---------------------------------------------------------------------- */

unsigned int shape_admit(struct shape *path, struct shape *own, struct pkt **pkts, unsigned int n,
			 bool waits, uint64_t now)
{
	struct level lv_path, lv_own;
	unsigned int ok;

	if (path)
		pthread_mutex_lock(&path->lock);
	pthread_mutex_lock(&own->lock);
	look(&lv_path, path, now);
	look(&lv_own, own, now);
	ok = waits ? admit(&lv_path, &lv_own, pkts, n, now) : police(&lv_path, &lv_own, pkts, n);
	pthread_mutex_unlock(&own->lock);
	if (path)
		pthread_mutex_unlock(&path->lock);
	return ok;
}

static void charge(struct shape *s, int64_t bytes)
{
	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	s->max.tokens -= bytes;
	if (s->net) {
		pthread_mutex_lock(&s->net->lock);
		if (s->net->clock.rate)
			s->balance -= bytes;
		pthread_mutex_unlock(&s->net->lock);
	}
	pthread_mutex_unlock(&s->lock);
}

void shape_charge(struct shape *path, struct shape *own, uint64_t bytes)
{
	charge(path, (int64_t)bytes);
	charge(own, (int64_t)bytes);
}
