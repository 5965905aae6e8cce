/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A port for tests of the switch: keeps the frames it gets, in buffers scattered as the test
 * wants, and has only as many as the test gives it.
 */
#ifndef HVLAB_TESTS_UNIT_VSW_FIXTURE_H
#define HVLAB_TESTS_UNIT_VSW_FIXTURE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "tests/lib/frame.h"
#include "vswitch/offload.h"
#include "vswitch/port.h"
#include "vswitch/vswitch.h"

#define TEST_PORT_FRAMES 256

struct test_frame {
	uint32_t len, flags, facts;
	uint16_t gso_size, vlan_tci;
	uint8_t *data; /* exactly len bytes, so that ASan sees one too many */
};

/**
 * struct test_port - A receiver
 * @room:	Frames it has buffers for; -1: no limit
 * @scatter:	Bytes per buffer; 0: one buffer
 * @keep:	False: counts only
 * @stop_after:	Frames after which its guest turns receive off, in the middle of a delivery if
 *		need be; 0: never
 * @full:	Its guest has not taken out what was delivered
 */
struct test_port {
	struct vsw_port port;
	pthread_mutex_t lock;
	int room;
	uint32_t scatter;
	bool keep;
	unsigned int stop_after;
	_Atomic bool full;
	unsigned int calls, n;
	uint64_t frames; /* in all, kept or not */
	struct test_frame frame[TEST_PORT_FRAMES];
};

/* Number @host gives it the address frame_mac(@host); 0: none. Link and receiving are on. */
void test_port_init(struct test_port *t, unsigned int host);
void test_port_clear(struct test_port *t);
/* New buffers: adds @room and wakes. */
void test_port_refill(struct test_port *t, int room);

/* The packet of a frame: @split bytes per piece, 0: as one. @f stays its memory. */
void pkt_of_frame(struct pkt *pkt, struct frame *f, uint32_t split);
/* A short IPv4 UDP frame from host to host. @to 0: broadcast. */
void frame_udp(struct frame *f, unsigned int from, unsigned int to, uint32_t payload_len);

/* The calling thread becomes an RCU reader, as a worker is: vsw_send() may be called. */
void test_thread_register(void);
void test_thread_unregister(void);

#endif
