/* SPDX-License-Identifier: BSD-2-Clause */
/* A lab whose fake QEMU has guests that drive their NICs (fake_nics.h), and words to look at it. */
#ifndef HVLAB_TESTS_PROTOCOL_GUEST_LAB_H
#define HVLAB_TESTS_PROTOCOL_GUEST_LAB_H

#include "hvlabd_rig.h"

/*
 * VM a: eth0 with both paths; VM b: eth0 with both, eth1 synthetic for life, eth2 the VF alone.
 * Networks blue and red. Waits until all of it is driven.
 */
void guest_lab_up(struct ctl *c);
/* The same with another mode of the fake than "guest". */
void guest_lab_up_as(struct ctl *c, const char *mode);
/* Tell the fake of a VM how to behave; @arg may be NULL. */
void guest_behave(struct ctl *c, const char *vm, const char *word, const char *arg);
/* The NIC or the VF as the lists have it; the caller's. NULL: there is none. */
json_t *guest_nic(struct ctl *c, const char *id);
json_t *guest_vf(struct ctl *c, const char *id);
/* Waits until the VF is in the state, not busy, pending as said. */
void guest_wait_vf(struct ctl *c, const char *id, const char *state, bool pending);
/* Without waiting. */
void guest_assert_vf(struct ctl *c, const char *id, const char *state);
/* "plug connected ... done" of an answer's steps; a static buffer. */
const char *guest_steps(const json_t *answer);
/* {"vnic": id} */
json_t *guest_vnic(const char *id);
/* args[key] = value (stolen); returns args. */
json_t *guest_with(json_t *args, const char *key, json_t *value);

#endif
