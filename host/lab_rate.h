/* SPDX-License-Identifier: BSD-2-Clause */
/* Bandwidth as a lab has it: of a network, and of its NICs (vswitch/shape.h). Any thread. */
#ifndef HVLAB_HOST_LAB_RATE_H
#define HVLAB_HOST_LAB_RATE_H

#include "host/lab.h"

/**
 * lab_rate_check() - May a NIC have this bandwidth?
 * @vm, @nic:	the NIC; one of that name is there already when it is to be changed
 * @net:	index of its network
 * @f:		what it is to have
 * @key:	of @f, what is wrong
 *
 * Return: NULL; or what is wrong with it in @why, and the remedy
 */
const char *lab_rate_check(const struct lab *lab, const struct lab_vm *vm, const char *nic,
			   unsigned int net, const struct lab_features *f, const char **key,
			   char *why, size_t why_size);

#endif
