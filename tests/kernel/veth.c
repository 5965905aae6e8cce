/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the veth pair of tests and what happens at its far end. */
#include "veth.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cmocka.h>

static bool put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return ok;
}

bool veth_namespace(void)
{
	if (unshare(CLONE_NEWNET | CLONE_NEWNS)) {
		fprintf(stderr, "a network namespace: %s: this test needs CAP_SYS_ADMIN\n",
			strerror(errno));
		return false;
	}
	/* /sys of this namespace's interfaces. */
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0)
		(void)mount("sysfs", "/sys", "sysfs", 0, NULL);
	/* No router solicitations among our frames; a kernel without IPv6 has no such file. */
	put("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
	return true;
}

static void request(unsigned long what, struct ifreq *ifr, const char *ifname)
{
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	snprintf(ifr->ifr_name, sizeof(ifr->ifr_name), "%s", ifname);
	if (ioctl(s, what, ifr))
		fail_msg("%s: request %#lx: %s", ifname, what, strerror(errno));
	close(s);
}

void veth_flags(const char *ifname, bool up)
{
	struct ifreq ifr = {.ifr_flags = (short)((up ? IFF_UP : 0) | IFF_NOARP)};

	request(SIOCSIFFLAGS, &ifr, ifname);
}

void veth_mtu(const char *ifname, int mtu)
{
	struct ifreq ifr = {.ifr_mtu = mtu};

	request(SIOCSIFMTU, &ifr, ifname);
}

static void ethtool(const char *ifname, uint32_t cmd, bool on)
{
	struct ethtool_value v = {.cmd = cmd, .data = on};
	struct ifreq ifr = {.ifr_data = (void *)&v};

	request(SIOCETHTOOL, &ifr, ifname);
}

void veth_features(const char *ifname, bool csum, bool tso)
{
	ethtool(ifname, ETHTOOL_STSO, tso);
	ethtool(ifname, ETHTOOL_SGSO, tso);
	ethtool(ifname, ETHTOOL_STXCSUM, csum);
	ethtool(ifname, ETHTOOL_SSG, tso);
}

bool veth_gro(const char *ifname)
{
	char path[128];
	bool ok;

	ethtool(ifname, ETHTOOL_SGRO, true);
	/* Segments that come one by one are kept for each other this long. */
	snprintf(path, sizeof(path), "/sys/class/net/%s/gro_flush_timeout", ifname);
	ok = put(path, "20000000");
	snprintf(path, sizeof(path), "/sys/class/net/%s/napi_defer_hard_irqs", ifname);
	return put(path, "100") && ok;
}

void veth_make(void)
{
	if (system("ip link add " VETH_NEAR " type veth peer name " VETH_FAR))
		fail_msg("ip link add type veth: no such interfaces here?");
	veth_flags(VETH_NEAR, true);
	veth_flags(VETH_FAR, true);
}

void veth_delete(void)
{
	/* The test may have done so itself. */
	(void)!system("ip link del " VETH_NEAR " 2>/dev/null");
}

int veth_far(void)
{
	struct sockaddr_ll ll = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
	int s = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), on = 1, size = 4 << 20;

	assert_true(s >= 0);
	ll.sll_ifindex = (int)if_nametoindex(VETH_FAR);
	assert_int_equal(setsockopt(s, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)), 0);
	assert_int_equal(setsockopt(s, SOL_PACKET, PACKET_AUXDATA, &on, sizeof(on)), 0);
	assert_int_equal(setsockopt(s, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)), 0);
	assert_int_equal(setsockopt(s, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)), 0);
	assert_int_equal(bind(s, (struct sockaddr *)&ll, sizeof(ll)), 0);
	return s;
}

void veth_send(int sock, const struct frame *f, const struct virtio_net_hdr *h)
{
	static const struct virtio_net_hdr none;
	struct iovec iov[2] = {{(void *)(h ? h : &none), sizeof(*h)}, {(void *)f->data, f->len}};

	if (writev(sock, iov, 2) < 0)
		fail_msg("the far end sends: %s", strerror(errno));
}

bool veth_next(int sock, struct veth_seen *seen, int ms)
{
	char control[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
	struct iovec iov[2] = {{&seen->h, sizeof(seen->h)}, {seen->f.data, sizeof(seen->f.data)}};
	struct msghdr m = {.msg_iov = iov,
			   .msg_iovlen = 2,
			   .msg_control = control,
			   .msg_controllen = sizeof(control)};
	struct pollfd p = {.fd = sock, .events = POLLIN};
	struct tpacket_auxdata aux;
	struct cmsghdr *c;
	ssize_t n;

	if (poll(&p, 1, ms) <= 0)
		return false;
	n = recvmsg(sock, &m, 0);
	if (n < (ssize_t)sizeof(seen->h))
		fail_msg("the far end reads: %s", n < 0 ? strerror(errno) : "too little");
	seen->f.len = (uint32_t)n - (uint32_t)sizeof(seen->h);
	seen->tci = -1;
	for (c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
		memcpy(&aux, CMSG_DATA(c), sizeof(aux));
		if (c->cmsg_type == PACKET_AUXDATA && aux.tp_status & TP_STATUS_VLAN_VALID) {
			seen->tci = aux.tp_vlan_tci;
			seen->tpid = aux.tp_vlan_tpid;
		}
	}
	return true;
}
