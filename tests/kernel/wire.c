/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the way through the kernel: namespace, TAP device, packet socket. */
#include "wire.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define TAP_NAME "hvk0"
#define TAP_MTU	 65000

static int complain(const char *what, const char *need)
{
	int err = errno;

	fprintf(stderr, "%s: %s\n%s\n", what, strerror(err), need);
	return -err;
}

static int put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -1;
	n = write(fd, text, strlen(text));
	close(fd);
	return n < 0 ? -1 : 0;
}

static int own_namespace(void)
{
	char map[64];
	unsigned int uid = getuid(), gid = getgid();

	if (!unshare(CLONE_NEWNET))
		return 0;
	if (unshare(CLONE_NEWUSER | CLONE_NEWNET))
		return complain(
			"no network namespace of its own",
			"This test needs root, or user namespaces that users may create "
			"(sysctl kernel.unprivileged_userns_clone, user.max_user_namespaces, "
			"kernel.apparmor_restrict_unprivileged_userns).");
	put("/proc/self/setgroups", "deny");
	snprintf(map, sizeof(map), "0 %u 1", uid);
	if (put("/proc/self/uid_map", map))
		return complain("/proc/self/uid_map", "The user namespace cannot be set up.");
	snprintf(map, sizeof(map), "0 %u 1", gid);
	if (put("/proc/self/gid_map", map))
		return complain("/proc/self/gid_map", "The user namespace cannot be set up.");
	return 0;
}

static int open_tap(void)
{
	struct ifreq ifr = {.ifr_flags = IFF_TAP | IFF_NO_PI};
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC), s, rc = 0;

	if (fd < 0)
		return complain("/dev/net/tun", "This test needs the kernel's tun driver.");
	strcpy(ifr.ifr_name, TAP_NAME);
	if (ioctl(fd, TUNSETIFF, &ifr)) {
		rc = complain("TUNSETIFF", "A TAP device cannot be made.");
		goto err;
	}
	s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ifr.ifr_mtu = TAP_MTU;
	if (s < 0 || ioctl(s, SIOCSIFMTU, &ifr))
		rc = complain("SIOCSIFMTU", "The TAP device's MTU cannot be set.");
	memset(&ifr, 0, sizeof(ifr));
	strcpy(ifr.ifr_name, TAP_NAME);
	ifr.ifr_flags = IFF_UP | IFF_NOARP;
	if (!rc && ioctl(s, SIOCSIFFLAGS, &ifr))
		rc = complain("SIOCSIFFLAGS", "The TAP device cannot be set up.");
	if (s >= 0)
		close(s);
	if (!rc)
		return fd;
err:
	close(fd);
	return rc;
}

int wire_open(struct wire *w)
{
	struct sockaddr_ll ll = {.sll_family = AF_PACKET};
	int rc = own_namespace(), on = 1;

	if (rc)
		return rc;
	/* No router solicitations among our frames; a kernel without IPv6 has no such file. */
	put("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
	w->tap = open_tap();
	if (w->tap < 0)
		return w->tap;
	w->sock = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (w->sock < 0)
		return complain("packet socket", "This test needs CONFIG_PACKET.");
	if (setsockopt(w->sock, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)))
		return complain("PACKET_VNET_HDR", "The kernel takes no virtio_net_hdr.");
	ll.sll_ifindex = (int)if_nametoindex(TAP_NAME);
	if (bind(w->sock, (struct sockaddr *)&ll, sizeof(ll)))
		return complain("bind", "The packet socket cannot use the TAP device.");
	return 0;
}

int wire_send(struct wire *w, const struct virtio_net_hdr *h, const void *frame, size_t len)
{
	struct iovec iov[2] = {{(void *)h, sizeof(*h)}, {(void *)frame, len}};
	ssize_t n = writev(w->sock, iov, 2);

	return n < 0 ? -errno : 0;
}

int wire_recv(struct wire *w, void *buf, size_t size, int ms)
{
	struct pollfd p = {.fd = w->tap, .events = POLLIN};
	ssize_t n = read(w->tap, buf, size);

	if (n < 0 && errno == EAGAIN) {
		if (poll(&p, 1, ms) == 0)
			return 0;
		n = read(w->tap, buf, size);
	}
	return n < 0 ? -errno : (int)n;
}
