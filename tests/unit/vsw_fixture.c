/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the test port and the making of packets for tests of the switch. */
#include "vsw_fixture.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include <urcu/urcu-memb.h>

#include "base/util.h"

static void store(struct test_port *t, const struct vsw_frame *f)
{
	struct test_frame *to = &t->frame[t->n];
	struct iovec iov[1024];
	unsigned int n = 0;

	t->frames++;
	if (!t->keep || t->n == TEST_PORT_FRAMES)
		return;
	*to = (struct test_frame){.len = f->len,
				  .flags = f->flags,
				  .gso_size = f->gso_size,
				  .vlan_tci = f->vlan_tci,
				  .data = malloc(f->len)};
	for (uint32_t off = 0; off < f->len; n++) {
		uint32_t part = t->scatter && n < 1023 ? t->scatter : f->len;

		part = MIN(part, f->len - off);
		iov[n] = (struct iovec){to->data + off, part};
		off += part;
	}
	to->facts = vsw_frame_copy(f, iov, n);
	t->n++;
}

static unsigned int test_deliver(struct vsw_port *port, struct pkt **pkts, unsigned int n)
{
	struct test_port *t = CONTAINER_OF(port, struct test_port, port);
	uint64_t packets = 0, bytes = 0;
	unsigned int i;

	pthread_mutex_lock(&t->lock);
	t->calls++;
	for (i = 0; i < n; i++) {
		struct vsw_settle s;
		struct vsw_frame f;
		enum vsw_drop why =
			vsw_settle_begin(&s, pkts[i], atomic_load(&port->caps), vsw_port_mtu(port));

		if (why != VSW_DROP_NONE) {
			vsw_port_drop(port, pkts[i], why);
			continue;
		}
		while (vsw_settle_next(&s, &f)) {
			if (!t->room || !atomic_load(&port->receiving)) {
				vsw_settle_stop(&s);
				goto out;
			}
			if (t->room > 0)
				t->room--;
			store(t, &f);
			packets++;
			bytes += f.len;
			if (t->stop_after && !--t->stop_after)
				atomic_store(&port->receiving, false);
		}
	}
out:
	if (packets)
		vsw_port_received(port, packets, bytes);
	pthread_mutex_unlock(&t->lock);
	return i;
}

static bool test_emptied(struct vsw_port *port)
{
	return !atomic_load(&CONTAINER_OF(port, struct test_port, port)->full);
}

static const struct vsw_port_ops ops = {.deliver = test_deliver, .emptied = test_emptied};

void test_port_init(struct test_port *t, unsigned int host)
{
	uint8_t mac[6];
	char name[40];

	memset(t, 0, sizeof(*t));
	pthread_mutex_init(&t->lock, NULL);
	t->room = -1;
	t->keep = true;
	frame_mac(mac, host);
	snprintf(name, sizeof(name), "vm%u/eth0", host);
	vsw_port_init(&t->port, &ops, name, host ? mac : NULL);
	atomic_store(&t->port.link, true);
	atomic_store(&t->port.receiving, true);
}

void test_port_clear(struct test_port *t)
{
	pthread_mutex_lock(&t->lock);
	while (t->n)
		free(t->frame[--t->n].data);
	t->calls = 0;
	t->frames = 0;
	pthread_mutex_unlock(&t->lock);
}

void test_port_refill(struct test_port *t, int room)
{
	pthread_mutex_lock(&t->lock);
	t->room += room;
	pthread_mutex_unlock(&t->lock);
	vsw_port_wake(&t->port);
}

void pkt_of_frame(struct pkt *pkt, struct frame *f, uint32_t split)
{
	struct iovec iov[PKT_MAX_PIECES];
	unsigned int n = 0;

	for (uint32_t off = 0; off < f->len; n++) {
		uint32_t part = split && n < PKT_MAX_PIECES - 1 ? split : f->len;

		part = MIN(part, f->len - off);
		iov[n] = (struct iovec){f->data + off, part};
		off += part;
	}
	if (pkt_from_iov(pkt, iov, n))
		abort();
}

void frame_udp(struct frame *f, unsigned int from, unsigned int to, uint32_t payload_len)
{
	struct frame_spec s = {.ip = 4, .proto = IPPROTO_UDP, .sport = 1, .dport = 2};

	frame_addr(&s, from, to);
	if (!to)
		memset(s.dst, 0xff, 6);
	s.payload_len = payload_len;
	s.seed = from;
	frame_build(f, &s);
}

void test_thread_register(void)
{
	urcu_memb_register_thread();
}

void test_thread_unregister(void)
{
	urcu_memb_unregister_thread();
}
