/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the following of an interface by rtnetlink, and visits to other network namespaces. */
#define LOG_TAG "netdev"
#include "host/netdev.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"

#define OWN_NETNS "/proc/thread-self/ns/net"
#define LOWER_UP  0x10000u /* IFF_LOWER_UP of linux/if.h, which cannot be had beside net/if.h */
#define MAX_READ  32768

struct netdev {
	char ifname[IFNAMSIZ];
	int fd;
	struct event *ev;
	struct netdev_info info;
	void (*changed)(void *arg);
	void *arg;
};

int netdev_enter(const char *netns, int *back)
{
	int to, rc = 0;

	*back = -1;
	if (!*netns)
		return 0;
	to = open(netns, O_RDONLY | O_CLOEXEC);
	if (to < 0)
		return -errno;
	*back = open(OWN_NETNS, O_RDONLY | O_CLOEXEC);
	if (*back < 0 || setns(to, CLONE_NEWNET) < 0) {
		rc = -errno;
		fd_close(back);
	}
	fd_close(&to);
	return rc;
}

void netdev_leave(int back)
{
	if (back < 0)
		return;
	if (setns(back, CLONE_NEWNET) < 0)
		log_err("the way back into the daemon's network namespace: %s", strerror(errno));
	fd_close(&back);
}

/* By a socket of the interface's namespace. */
static void name_of(int fd, int index, char name[IFNAMSIZ])
{
	struct ifreq ifr = {.ifr_ifindex = index};

	name[0] = '\0';
	if (index && ioctl(fd, SIOCGIFNAME, &ifr) == 0)
		memcpy(name, ifr.ifr_name, IFNAMSIZ);
}

/* One message about a link. */
static void take_link(struct netdev *nd, const struct nlmsghdr *h)
{
	const struct ifinfomsg *ifi = NLMSG_DATA(h);
	int len = (int)h->nlmsg_len - (int)NLMSG_LENGTH(sizeof(*ifi)), master = 0;
	struct netdev_info now = {.index = ifi->ifi_index,
				  .up = ifi->ifi_flags & IFF_UP,
				  .carrier = ifi->ifi_flags & LOWER_UP};
	const char *name = "";

	/* Bridges tell of their ports in a family of their own. */
	if (len < 0 || ifi->ifi_family != AF_UNSPEC)
		return;
	for (const struct rtattr *a = IFLA_RTA(ifi); RTA_OK(a, len); a = RTA_NEXT(a, len)) {
		if (a->rta_type == IFLA_IFNAME && RTA_PAYLOAD(a) <= IFNAMSIZ)
			name = RTA_DATA(a);
		else if (a->rta_type == IFLA_MTU && RTA_PAYLOAD(a) == sizeof(now.mtu))
			memcpy(&now.mtu, RTA_DATA(a), sizeof(now.mtu));
		else if (a->rta_type == IFLA_MASTER && RTA_PAYLOAD(a) == sizeof(master))
			memcpy(&master, RTA_DATA(a), sizeof(master));
	}
	if (h->nlmsg_type == RTM_NEWLINK && !strncmp(name, nd->ifname, IFNAMSIZ)) {
		name_of(nd->fd, master, now.master);
		nd->info = now;
	} else if (ifi->ifi_index == nd->info.index) {
		/* Deleted, moved to another namespace, or it has another name now. */
		memset(&nd->info, 0, sizeof(nd->info));
	}
}

/* Asks how the interface is; the answer is there when this returns. */
static int ask(struct netdev *nd)
{
	struct {
		struct nlmsghdr h;
		struct ifinfomsg ifi;
		struct rtattr a;
		char name[IFNAMSIZ];
	} q = {
		.h = {.nlmsg_len = sizeof(q),
		      .nlmsg_type = RTM_GETLINK,
		      .nlmsg_flags = NLM_F_REQUEST},
		.a = {.rta_len = RTA_LENGTH(IFNAMSIZ), .rta_type = IFLA_IFNAME},
	};

	memset(&nd->info, 0, sizeof(nd->info));
	memcpy(q.name, nd->ifname, IFNAMSIZ);
	return send(nd->fd, &q, sizeof(q), 0) < 0 ? -errno : 0;
}

/* Reads all there is. */
static void take_all(struct netdev *nd)
{
	static union {
		struct nlmsghdr h;
		char room[MAX_READ];
	} buf;

	for (;;) {
		ssize_t n = recv(nd->fd, &buf, sizeof(buf), MSG_DONTWAIT);
		const struct nlmsghdr *h = &buf.h;

		if (n < 0 && errno == ENOBUFS) {
			/* Too much happened: some of it was not told. */
			ask(nd);
			continue;
		}
		if (n <= 0)
			return;
		for (size_t left = (size_t)n; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left))
			if (h->nlmsg_type == RTM_NEWLINK || h->nlmsg_type == RTM_DELLINK)
				take_link(nd, h);
	}
}

static void on_news(evutil_socket_t fd, short what, void *arg)
{
	struct netdev *nd = arg;
	struct netdev_info before = nd->info;

	(void)fd;
	(void)what;
	take_all(nd);
	if (memcmp(&before, &nd->info, sizeof(before)) != 0)
		nd->changed(nd->arg);
}

static int start(struct netdev *nd, struct event_base *base, const char *netns)
{
	struct sockaddr_nl nl = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK};
	int back, rc = netdev_enter(netns, &back);

	if (rc)
		return rc;
	nd->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	rc = nd->fd < 0 ? -errno : 0;
	netdev_leave(back);
	if (!rc && bind(nd->fd, (struct sockaddr *)&nl, sizeof(nl)) < 0)
		rc = -errno;
	if (!rc)
		rc = ask(nd);
	if (rc)
		return rc;
	take_all(nd);
	nd->ev = event_new(base, nd->fd, EV_READ | EV_PERSIST, on_news, nd);
	return nd->ev && !event_add(nd->ev, NULL) ? 0 : -ENOMEM;
}

struct netdev *netdev_new(struct event_base *base, const char *netns, const char *ifname,
			  void (*changed)(void *arg), void *arg)
{
	struct netdev *nd = calloc(1, sizeof(*nd));
	int rc = nd ? 0 : -ENOMEM;

	if (nd) {
		nd->fd = -1;
		nd->changed = changed;
		nd->arg = arg;
		snprintf(nd->ifname, sizeof(nd->ifname), "%s", ifname);
		rc = start(nd, base, netns);
	}
	if (!rc)
		return nd;
	netdev_free(nd);
	errno = -rc;
	return NULL;
}

void netdev_free(struct netdev *nd)
{
	if (!nd)
		return;
	if (nd->ev)
		event_free(nd->ev);
	fd_close(&nd->fd);
	free(nd);
}

void netdev_look(struct netdev *nd)
{
	take_all(nd);
}

const struct netdev_info *netdev_info(const struct netdev *nd)
{
	return &nd->info;
}
