/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An interface of the running kernel, by its name, in any network namespace: is it there, is it up,
 * how large is its MTU; and word of each change. By rtnetlink (man 7 rtnetlink), so nothing polls.
 * Needs no rights but, for another namespace, CAP_SYS_ADMIN. Control thread.
 */
#ifndef HVLAB_HOST_NETDEV_H
#define HVLAB_HOST_NETDEV_H

#include <event2/event.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

/**
 * struct netdev_info
 * @index:	0: there is none of that name
 * @up:		somebody has set it up
 * @carrier:	and there is another end
 * @master:	the bridge or bond that it is a port of, "" when none
 */
struct netdev_info {
	int index;
	bool up, carrier;
	uint32_t mtu;
	char master[IFNAMSIZ];
};

struct netdev;

/*
 * Follows @ifname of the namespace at the path @netns ("": the daemon's). @changed comes from the
 * event loop. NULL with errno; of open() and setns() when it is about the namespace.
 */
struct netdev *netdev_new(struct event_base *base, const char *netns, const char *ifname,
			  void (*changed)(void *arg), void *arg);
void netdev_free(struct netdev *nd);
const struct netdev_info *netdev_info(const struct netdev *nd);
/* What has happened so far is in netdev_info() now; @changed is not called for it. */
void netdev_look(struct netdev *nd);

/*
 * The calling thread goes into the namespace at @netns; sockets opened there stay of it. *@back
 * leads back, -1: it did not go anywhere. 0 or -errno.
 */
int netdev_enter(const char *netns, int *back);
void netdev_leave(int back);

#endif
