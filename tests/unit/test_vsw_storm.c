/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Claims about vswitch/nic.c when everything changes at once.
 *
 * Two paths of one vNIC send TCP streams, each from its own worker, to another vNIC. Meanwhile
 * that one's paths turn receive off and on and run out of buffers (the guest thread), and the
 * control thread chooses, removes and adds paths at both ends, with parking and without. Every
 * frame that was accepted arrives once and in its stream's order, or is counted as a drop.
 */
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/uio.h>

#include "base/util.h"
#include "base/wire.h"
#include "nic_rig.h"
#include "tests/lib/rng.h"

#define MSS	    100
#define MAX_PAYLOAD 500
#define TURNS	    3000
#define STREAMS	    2

struct stream {
	struct vsw_port port; /* sends only */
	struct worker *worker;
	struct vsw_waiter waiter;
	struct rng rng;
	struct frame frame;
	struct pkt pkt;
	bool pending;	 /* @pkt was told to wait */
	uint32_t seq;	 /* of the next packet */
	uint64_t frames; /* accepted */
	_Atomic bool idle;
};

struct sink {
	struct vsw_port port;
	pthread_mutex_t lock;
	int room;
};

static struct stream stream[STREAMS];
static struct sink sink[2];
static _Atomic bool stop, stop_guest;
/* What has arrived, whichever path it came by: next byte of each stream, frames. */
static _Atomic uint32_t arrived_to[STREAMS];
static _Atomic uint64_t arrived, disorder;

static void nothing(void *arg)
{
	(void)arg;
}

static void arrive(const struct vsw_frame *f)
{
	unsigned int i = be16_load(f->hdr + f->l4_off) - 1u;
	uint32_t seq = be32_load(f->hdr + f->l4_off + 4);

	if (i >= STREAMS || (int32_t)(seq - atomic_load(&arrived_to[i])) < 0)
		atomic_fetch_add(&disorder, 1);
	else
		atomic_store(&arrived_to[i], seq + f->payload_len);
	atomic_fetch_add(&arrived, 1);
}

static unsigned int sink_deliver(struct vsw_port *port, struct pkt **pkts, unsigned int n)
{
	struct sink *k = CONTAINER_OF(port, struct sink, port);
	uint64_t packets = 0;
	unsigned int i;

	pthread_mutex_lock(&k->lock);
	for (i = 0; i < n; i++) {
		struct vsw_settle s;
		struct vsw_frame f;

		if (vsw_settle_begin(&s, pkts[i], 0, 0) != VSW_DROP_NONE)
			abort();
		while (vsw_settle_next(&s, &f)) {
			if (!k->room || !atomic_load(&port->receiving)) {
				vsw_settle_stop(&s);
				goto out;
			}
			k->room--;
			arrive(&f);
			packets++;
		}
	}
out:
	pthread_mutex_unlock(&k->lock);
	vsw_port_received(port, packets, packets);
	return i;
}

static unsigned int no_deliver(struct vsw_port *port, struct pkt **pkts, unsigned int n)
{
	(void)port;
	(void)pkts;
	return n;
}

static const struct vsw_port_ops sink_ops = {.deliver = sink_deliver};
static const struct vsw_port_ops source_ops = {.deliver = no_deliver};

static void next_packet(struct stream *s)
{
	uint32_t payload = 1 + rng_below(&s->rng, MAX_PAYLOAD);
	struct iovec iov = {s->frame.data, s->frame.payload + payload};

	be32_store(s->frame.data + s->frame.l4 + 4, s->seq);
	if (pkt_from_iov(&s->pkt, &iov, 1))
		abort();
	s->pkt.flags = PKT_GSO_TCP;
	s->pkt.gso_size = MSS;
	s->pending = true;
}

/* A turn of a sender's queue: some packets, then the worker's other business. */
static void pump(void *arg)
{
	struct stream *s = arg;
	struct pkt *p = &s->pkt;

	for (unsigned int i = 0; i < 32; i++) {
		if (!s->pending && atomic_load(&stop)) {
			atomic_store(&s->idle, true);
			return;
		}
		if (!s->pending)
			next_packet(s);
		s->pkt.flags &= ~PKT_NO_WAIT;
		s->pkt.flags |= rng_below(&s->rng, 50) ? 0 : PKT_NO_WAIT;
		if (vsw_send(&s->port, &p, 1) == 1) {
			s->seq += s->pkt.len - s->pkt.payload_off;
			s->frames += pkt_n_segs(&s->pkt);
			s->pending = false;
		} else if (vsw_wait(&s->waiter, p->waits_for)) {
			return;
		}
	}
	if (worker_post(s->worker, pump, s))
		abort();
}

static void pump_woken(struct vsw_waiter *w)
{
	pump(w->arg);
}

static void *moody_guest(void *arg)
{
	struct rng r = {.s = 11};

	(void)arg;
	test_thread_register();
	while (!atomic_load(&stop_guest)) {
		struct sink *k = &sink[rng_below(&r, 2)];

		switch (rng_below(&r, 8)) {
		case 0:
			atomic_store(&k->port.receiving, false);
			break;
		case 1:
		case 2:
			atomic_store(&k->port.receiving, true);
			break;
		default:
			pthread_mutex_lock(&k->lock);
			k->room = (int)rng_below(&r, 2000);
			pthread_mutex_unlock(&k->lock);
		}
		vsw_port_wake(&k->port);
		sched_yield();
	}
	test_thread_unregister();
	return NULL;
}

static void control_turn(struct rng *r, struct vsw_nic *from, struct vsw_nic *to)
{
	unsigned int i = rng_below(r, 2);
	struct vsw_port *k = &sink[i].port, *s = &stream[i].port;

	switch (rng_below(r, 32)) {
	case 0:
		vsw_nic_path_del(from, s);
		assert_int_equal(vsw_nic_path_add(from, s), 0);
		break;
	case 1:
	case 2:
	case 3:
		vsw_nic_path_del(to, k);
		assert_int_equal(vsw_nic_path_add(to, k), 0);
		break;
	case 4:
		vsw_nic_link_set(to, false);
		vsw_nic_link_set(to, true);
		break;
	case 5:
		vsw_nic_receive(to, NULL, rng_below(r, 2));
		break;
	case 6:
	case 7:
	case 8:
	case 9:
		vsw_nic_receive(to, NULL, true);
		break;
	default:
		vsw_nic_receive(to, k, rng_below(r, 32));
	}
}

static uint64_t all_drops(struct vsw_port *p)
{
	uint64_t n = 0;

	for (unsigned int i = 0; i < VSW_N_DROPS; i++)
		n += atomic_load(&p->stats.drops[i]);
	return n;
}

static struct vsw_nic *stress_nic(unsigned int host, struct worker *w, struct vsw_port *a,
				  struct vsw_port *b)
{
	struct vsw_nic_conf conf = {
		.name = "stress", .worker = w, .park_bytes = 64 << 10, .park_ms = 20};
	struct vsw_nic *n;

	frame_mac(conf.mac, host);
	n = vsw_nic_new(&conf);
	assert_non_null(n);
	assert_int_equal(vsw_nic_path_add(n, a), 0);
	assert_int_equal(vsw_nic_path_add(n, b), 0);
	assert_int_equal(vsw_port_attach(net, vsw_nic_port(n)), 0);
	return n;
}

static void nothing_is_lost_twice_or_out_of_order_while_everything_changes(void **state)
{
	struct frame_spec fs = {.ip = 4, .proto = IPPROTO_TCP, .payload_len = MAX_PAYLOAD};
	struct worker_conf wc = {.name = "w1"};
	struct worker *second = worker_new(&wc);
	struct vsw_nic *from, *to;
	struct vsw_nic_info end;
	struct rng r = {.s = 7};
	uint64_t accepted = 0, unsent = 0, turned_away;
	pthread_t guest;

	(void)state;
	assert_non_null(second);
	frame_addr(&fs, 6, 7);
	for (unsigned int i = 0; i < STREAMS; i++) {
		struct stream *s = &stream[i];

		s->worker = i ? second : worker;
		s->waiter = (struct vsw_waiter){.wake = pump_woken, .arg = s, .worker = s->worker};
		s->rng.s = i;
		vsw_port_init(&s->port, &source_ops, "source", NULL);
		vsw_port_init(&sink[i].port, &sink_ops, "sink", NULL);
		pthread_mutex_init(&sink[i].lock, NULL);
		atomic_store(&sink[i].port.receiving, true);
		fs.sport = (uint16_t)(i + 1);
		frame_build(&s->frame, &fs);
	}
	from = stress_nic(6, worker, &stream[0].port, &stream[1].port);
	to = stress_nic(7, second, &sink[0].port, &sink[1].port);
	vsw_nic_receive(to, &sink[0].port, true);
	assert_int_equal(pthread_create(&guest, NULL, moody_guest, NULL), 0);
	for (unsigned int i = 0; i < STREAMS; i++)
		assert_int_equal(worker_post(stream[i].worker, pump, &stream[i]), 0);

	for (unsigned int i = 0; i < TURNS; i++) {
		control_turn(&r, from, to);
		wait_breathe(i % 4 ? 0 : 64);
	}
	/* The end: everything that is still somewhere gets through, or its time is up. */
	atomic_store(&stop, true);
	vsw_nic_receive(to, &sink[0].port, true);
	assert_true(
		wait_until(atomic_load(&stream[0].idle) && atomic_load(&stream[1].idle), WAIT_MS));
	assert_true(wait_until((vsw_nic_get_info(to, &end), !end.parked_now), WAIT_MS));
	atomic_store(&stop_guest, true);
	pthread_join(guest, NULL);
	/* What was taken out last has been counted. */
	worker_call(second, nothing, NULL);

	for (unsigned int i = 0; i < STREAMS; i++) {
		accepted += stream[i].frames;
		/* Not a path of anybody's at that moment. */
		unsent += atomic_load(&stream[i].port.stats.tx_drops[VSW_DROP_NO_PORT]);
		assert_int_equal(atomic_load(&stream[i].port.stats.tx_packets), stream[i].frames);
	}
	turned_away = all_drops(vsw_nic_port(to));
	print_message("%llu frames: %llu arrived, %llu dropped, %llu from nowhere; %llu packets "
		      "parked, %llu of them lost, %llu switches\n",
		      (unsigned long long)accepted, (unsigned long long)atomic_load(&arrived),
		      (unsigned long long)turned_away, (unsigned long long)unsent,
		      (unsigned long long)end.parked, (unsigned long long)end.park_lost,
		      (unsigned long long)end.switches);
	assert_int_equal(atomic_load(&disorder), 0);
	assert_int_equal(accepted, atomic_load(&arrived) + turned_away + unsent);
	assert_int_equal(atomic_load(&vsw_nic_port(to)->stats.rx_packets), atomic_load(&arrived));
	assert_true(atomic_load(&arrived) > 0 && end.parked > 0 && end.switches > 100);

	vsw_port_detach(vsw_nic_port(from));
	vsw_port_detach(vsw_nic_port(to));
	for (unsigned int i = 0; i < 2; i++) {
		vsw_nic_path_del(from, &stream[i].port);
		vsw_nic_path_del(to, &sink[i].port);
	}
	vsw_nic_free(from);
	vsw_nic_free(to);
	worker_free(second);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(nothing_is_lost_twice_or_out_of_order_while_everything_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
