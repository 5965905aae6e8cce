/* SPDX-License-Identifier: BSD-2-Clause */
/* A device that remembers what it was told, served on a worker, for the protocol tests. */
#ifndef HVLAB_TESTS_PROTOCOL_RECORDER_H
#define HVLAB_TESTS_PROTOCOL_RECORDER_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/worker.h"
#include "tests/protocol/vfu_client.h"
#include "vfio/vfuser.h"

#define REC_BAR0_SIZE 0x10000u
#define REC_BAR4_SIZE 0x8000u
#define REC_N_MSIX    66u /* two words of PBA */
#define REC_PBA	      0x4000u

struct recorder {
	struct worker *w;
	struct vfuser *vu;
	char path[64];
	uint8_t bar0[REC_BAR0_SIZE];
	_Atomic int reads, writes, batches, connects, disconnects, dma_added, dma_removed;
	_Atomic int resets[3], bus_master;
	_Atomic uint64_t last_off, last_size;
};

/* @conf NULL: the usual one (MANA's shape); the caller may change rec_conf()'s answer. */
struct vfuser_conf rec_conf(struct recorder *r, enum vfuser_msix_mode mode);
void rec_start(struct recorder *r, const struct vfuser_conf *conf);
void rec_stop(struct recorder *r);
/* A client that has said hello, and its memory: memfd of @size at address 0. */
struct vfu_client *rec_client(struct recorder *r);
/* Wait until *@what is @value. */
void rec_until(_Atomic int *what, int value);
void rec_call(struct recorder *r, void (*fn)(void *arg), void *arg);

#endif
