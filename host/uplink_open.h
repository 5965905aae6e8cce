/* SPDX-License-Identifier: BSD-2-Clause */
/* The kernel's side of an uplink: opening its interface, and saying why not. Control thread. */
#ifndef HVLAB_HOST_UPLINK_OPEN_H
#define HVLAB_HOST_UPLINK_OPEN_H

#include <stddef.h>

#include "host/lab.h"

/*
 * Opens the interface of an external network, or makes the TAP of an internal one: with the
 * network's MTU, its addresses, up. The descriptor for packet_new() or tap_new(), or -errno with
 * @why: what is wrong and what to do about it.
 */
int uplink_open(const struct lab *lab, const struct lab_net *net, char *why, size_t size);
/* What is wrong with the namespace, by errno of netdev_new(). */
void uplink_explain_netns(const struct lab_uplink *up, int error, char *why, size_t size);

#endif
