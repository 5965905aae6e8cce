/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What each path carried, millisecond by millisecond: packet and byte counters of the switch's
 * ports, read at short steps, kept as differences.
 *
 * The sampler has a thread of its own, which lives only while it samples. A worker's timer would
 * put a thousand wake-ups a second onto the data path that it is to look at, and would be late
 * exactly while the worker has much to do; a timer of the control thread would be late while the
 * control thread takes a device away, which is when the picture matters. The thread reads atomics
 * that the workers write anyway; they take no lock and wait for nothing. The lock below lies
 * between the sampler and the control thread only, while a port is added or removed.
 *
 * Memory is taken once, at the start, and bounded (SAMPLER_MAX_ROWS). Only steps in which a path
 * carried something make a row. A port that comes while it samples is in it from then on; one that
 * goes is read a last time, and keeps its rows.
 *
 * Control thread. One sampler at a time.
 */
#ifndef HVLAB_HOST_SAMPLER_H
#define HVLAB_HOST_SAMPLER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vswitch/port.h"

#define SAMPLER_STEP_US	    1000
#define SAMPLER_MIN_STEP_US 100
#define SAMPLER_MAX_STEP_US 1000000
#define SAMPLER_MAX_MS	    600000
#define SAMPLER_MAX_ROWS    250000 /* 7 MB */
#define SAMPLER_MAX_PATHS   1024   /* that came and went in one run */

/*
 * From now on, and until sampler_unwatch(), the port is one that samples may name: a vNIC's own
 * port "a/eth0", a path "a/eth0/vf". 0 or -ENOMEM.
 */
int sampler_watch(const struct vsw_port *port);
/* After this returned the sampler does not look at the port any more. Unknown ones are fine. */
void sampler_unwatch(const struct vsw_port *port);

/**
 * struct sampler_conf - Zero means the default
 * @step_us:	Between two looks: SAMPLER_STEP_US
 * @max_ms:	It ends by itself after that: 60000
 * @max_rows:	Beyond which nothing more is stored: SAMPLER_MAX_ROWS
 * @vnics:	Array of vNICs' names; only their ports. NULL: all. Copied
 */
struct sampler_conf {
	unsigned int step_us, max_ms;
	size_t max_rows;
	const json_t *vnics;
};

/*
 * 0; -EBUSY one samples already; -ENOMEM; -EAGAIN no thread. What a sampler that ended by itself
 * has left and nobody fetched is thrown away.
 */
int sampler_start(const struct sampler_conf *conf);
/*
 * Ends it, when it has not done so by itself. A new reference, docs/protocol.md sampler-stop;
 * NULL: there was none.
 */
json_t *sampler_stop(void);
bool sampler_is_running(void);
/* How often the sampler that runs has looked; 0: none has been started. */
uint64_t sampler_looks(void);
/* At the daemon's end: no thread, no memory. */
void sampler_fini(void);

#endif
