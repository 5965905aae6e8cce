/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the opening of an uplink's interface, and what is said when it cannot be.
 *
 * A TAP of that name that somebody has prepared (ip tuntap add NAME mode tap user USER) is taken as
 * it is, so that the daemon needs no rights; what it may not set then is left as it is, if it is as
 * the network needs it.
 */
#include "host/uplink_open.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/ipv6.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"
#include "host/netdev.h"
#include "vswitch/ports/packet.h"

struct text {
	char *s;
	size_t size;
};

static int fail(struct text why, int error, const char *fmt, ...) PRINTF_LIKE(3, 4);

static int fail(struct text why, int error, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why.s, why.size, fmt, ap);
	va_end(ap);
	return -error;
}

void uplink_explain_netns(const struct lab_uplink *up, int error, char *why, size_t size)
{
	if (!*up->netns)
		snprintf(why, size, "rtnetlink: %s", strerror(error));
	else if (error == EPERM)
		snprintf(why, size, "network namespace %s: %s: run hvlabd with CAP_SYS_ADMIN",
			 up->netns, strerror(error));
	else if (error == ENOENT)
		snprintf(why, size, "there is no network namespace %s: ip netns add makes one",
			 up->netns);
	else
		snprintf(why, size, "network namespace %s: %s", up->netns, strerror(error));
}

/* ---- external ---- */

static int open_packet(const struct lab_uplink *up, struct text why)
{
	int fd = packet_open(up->ifname, 0);

	switch (-fd) {
	case ENODEV:
		return fail(why, ENODEV, "there is no interface %s%s%s: see ip link", up->ifname,
			    *up->netns ? " in " : "", up->netns);
	case EPERM:
	case EACCES:
		return fail(why, EPERM,
			    "interface %s: %s: run hvlabd with CAP_NET_RAW and CAP_NET_ADMIN",
			    up->ifname, strerror(-fd));
	case EINVAL:
		return fail(why, EINVAL, "interface %s is none of Ethernet", up->ifname);
	case EAFNOSUPPORT:
		return fail(why, EAFNOSUPPORT,
			    "interface %s: no packet sockets: this kernel needs CONFIG_PACKET",
			    up->ifname);
	default:
		return fd < 0 ? fail(why, -fd, "interface %s: %s", up->ifname, strerror(-fd)) : fd;
	}
}

/* ---- internal ---- */

static void put(const char *ifname, const char *setting, const char *value)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/%s", ifname, setting);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	(void)!write(fd, value, strlen(value));
	fd_close(&fd);
}

static struct ifreq named(const char *ifname)
{
	struct ifreq ifr = {0};

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", ifname);
	return ifr;
}

static int make_tap(const struct lab_uplink *up, struct text why)
{
	struct ifreq ifr = named(up->ifname);
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK), error;

	if (fd < 0)
		return fail(why, errno, "/dev/net/tun: %s: %s", strerror(errno),
			    errno == EACCES ? "its mode must let hvlabd's user open it"
					    : "load the kernel module tun");
	ifr.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
	if (ioctl(fd, TUNSETIFF, &ifr) == 0)
		return fd;
	error = errno;
	fd_close(&fd);
	switch (error) {
	case EPERM:
		return fail(
			why, error,
			"no TAP %s: %s: run hvlabd with CAP_NET_ADMIN, or prepare the interface: "
			"ip tuntap add %s mode tap user USER",
			up->ifname, strerror(error), up->ifname);
	case EBUSY:
		return fail(why, error,
			    "TAP %s is in use by another program: choose another tap:", up->ifname);
	case EINVAL:
		return fail(
			why, error,
			"there is an interface %s already, and it is no TAP: choose another tap:",
			up->ifname);
	default:
		return fail(why, error, "no TAP %s: %s", up->ifname, strerror(error));
	}
}

/* The same at each start, so that guests know the host again: from the names, locally administered.
 */
static void set_mac(int s, const struct lab *lab, const struct lab_net *net)
{
	char text[LAB_NAME_MAX * 2 + 80], host[64] = "";
	struct ifreq ifr = named(net->uplink.ifname);
	uint32_t h = 0x811c9dc5u;

	gethostname(host, sizeof(host) - 1);
	snprintf(text, sizeof(text), "%s/%s/%s", host, lab->name, net->name);
	for (const char *p = text; *p; p++)
		h = (h ^ (uint8_t)*p) * 0x01000193u;
	ifr.ifr_hwaddr.sa_family = ARPHRD_ETHER;
	memcpy(ifr.ifr_hwaddr.sa_data, (uint8_t[]){0x02, 0x68}, 2);
	memcpy(ifr.ifr_hwaddr.sa_data + 2, &h, 4);
	/* One that was prepared keeps its own. */
	(void)ioctl(s, SIOCSIFHWADDR, &ifr);
}

static bool set_mtu(int s, const struct lab_net *net)
{
	struct ifreq ifr = named(net->uplink.ifname);

	if (ioctl(s, SIOCGIFMTU, &ifr) == 0 && ifr.ifr_mtu == (int)net->mtu)
		return true;
	ifr.ifr_mtu = (int)net->mtu;
	return ioctl(s, SIOCSIFMTU, &ifr) == 0;
}

static bool set_up(int s, const struct lab_net *net)
{
	struct ifreq ifr = named(net->uplink.ifname);

	if (ioctl(s, SIOCGIFFLAGS, &ifr) < 0)
		return false;
	if (ifr.ifr_flags & IFF_UP)
		return true;
	ifr.ifr_flags |= IFF_UP;
	return ioctl(s, SIOCSIFFLAGS, &ifr) == 0;
}

static bool set_address4(int s, const struct lab_net *net)
{
	struct sockaddr_in sin = {.sin_family = AF_INET}, now;
	struct ifreq ifr = named(net->uplink.ifname);

	if (!*net->uplink.ip4 || inet_pton(AF_INET, net->uplink.ip4, &sin.sin_addr) != 1)
		return true;
	if (ioctl(s, SIOCGIFADDR, &ifr) == 0) {
		memcpy(&now, &ifr.ifr_addr, sizeof(now));
		if (now.sin_addr.s_addr == sin.sin_addr.s_addr)
			return true;
	}
	memcpy(&ifr.ifr_addr, &sin, sizeof(sin));
	if (ioctl(s, SIOCSIFADDR, &ifr) < 0)
		return false;
	sin.sin_addr.s_addr = htonl(~0u << (32 - net->prefix4));
	memcpy(&ifr.ifr_netmask, &sin, sizeof(sin));
	return ioctl(s, SIOCSIFNETMASK, &ifr) == 0;
}

static bool set_address6(int s, const struct lab_net *net)
{
	struct in6_ifreq req = {.ifr6_prefixlen = net->prefix6};
	struct ifreq ifr = named(net->uplink.ifname);
	int s6;
	bool ok;

	if (!*net->uplink.ip6 || inet_pton(AF_INET6, net->uplink.ip6, &req.ifr6_addr) != 1)
		return true;
	s6 = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (s6 < 0 || ioctl(s, SIOCGIFINDEX, &ifr) < 0)
		return false;
	req.ifr6_ifindex = ifr.ifr_ifindex;
	ok = ioctl(s6, SIOCSIFADDR, &req) == 0 || errno == EEXIST;
	fd_close(&s6);
	return ok;
}

/* NULL, or what could not be set; errno says why. */
static const char *set_up_tap(const struct lab *lab, const struct lab_net *net)
{
	const char *ifname = net->uplink.ifname, *what = NULL;
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (s < 0)
		return "socket";
	set_mac(s, lab, net);
	/* A guest must not become this host's router. */
	put(ifname, "accept_ra", "0");
	put(ifname, "accept_redirects", "0");
	put(ifname, "accept_dad", "0");
	if (!set_mtu(s, net))
		what = "MTU";
	else if (!set_address4(s, net))
		what = "IPv4 address";
	else if (!set_up(s, net))
		what = "state";
	else if (!set_address6(s, net))
		what = "IPv6 address";
	if (!what)
		fd_close(&s);
	else
		close(s);
	return what;
}

static int open_tap(const struct lab *lab, const struct lab_net *net, struct text why)
{
	int fd = make_tap(&net->uplink, why), error;
	const char *what = fd < 0 ? NULL : set_up_tap(lab, net);

	if (!what)
		return fd;
	error = errno;
	fd_close(&fd);
	return fail(why, error, "TAP %s: its %s: %s%s", net->uplink.ifname, what, strerror(error),
		    error == EPERM ? ": run hvlabd with CAP_NET_ADMIN, or prepare it with ip link "
				     "and ip address"
				   : "");
}

int uplink_open(const struct lab *lab, const struct lab_net *net, char *why, size_t size)
{
	struct text text = {why, size};
	int back, rc = netdev_enter(net->uplink.netns, &back);

	if (rc) {
		uplink_explain_netns(&net->uplink, -rc, why, size);
		return rc;
	}
	rc = net->type == LAB_NET_INTERNAL ? open_tap(lab, net, text)
					   : open_packet(&net->uplink, text);
	netdev_leave(back);
	return rc;
}
