/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the sockets of a tunnel: opening them, and asking the kernel for a path's MTU.
 *
 * Source ports. Each flow of guests goes out by one of n_flows ports, so that routers and NICs of
 * the underlay, which look at outer headers only, can spread flows (RFC 7348, 5). Each port has two
 * sockets, one that sends a checksum and one that does not (SO_NO_CHECK, IPv4 only): it is a
 * property of a socket, and one that is switched to and fro by several threads would send the wrong
 * one. What somebody sends to these ports is thrown away by a socket filter.
 *
 * Path MTU. All send with the don't-fragment bit and never in fragments (IP_PMTUDISC_DO). The
 * kernel learns from routers' messages and keeps the result with its routes; a connected socket can
 * be asked for it (IP_MTU), which is what the probe is for. It never sends.
 */
#include <errno.h>
#include <linux/filter.h>
#include <netinet/udp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"
#include "vswitch/ports/vxlan_internal.h"
#include "vswitch/route.h"

#define DEFAULT_FLOWS 8
#define BUFFER	      (4 << 20) /* bytes; the kernel's limit may be lower */

static int set(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value)) < 0 ? -errno : 0;
}

static void big_buffer(int fd, int forced, int plain)
{
	if (set(fd, SOL_SOCKET, forced, BUFFER))
		set(fd, SOL_SOCKET, plain, BUFFER);
}

static int keep_whole(int fd, int family)
{
	return family == AF_INET ? set(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
				 : set(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DO);
}

static socklen_t size_of(const struct sockaddr_storage *ss)
{
	return ss->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
}

static in_port_t *port_of(struct sockaddr_storage *ss)
{
	return ss->ss_family == AF_INET ? &((struct sockaddr_in *)ss)->sin_port
					: &((struct sockaddr_in6 *)ss)->sin6_port;
}

/* A socket of the tunnel's family that never fragments. */
static int open_one(int family)
{
	int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_UDP), rc;

	if (fd < 0)
		return -errno;
	rc = family == AF_INET6 ? set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1) : 0;
	if (!rc)
		rc = keep_whole(fd, family);
	if (rc) {
		close(fd);
		return rc;
	}
	return fd;
}

static int open_rx(struct vxlan_sockets *s)
{
	socklen_t len = size_of(&s->local);

	s->rx = open_one(s->local.ss_family);
	if (s->rx < 0)
		return s->rx;
	big_buffer(s->rx, SO_RCVBUFFORCE, SO_RCVBUF);
	/* Next to one that is being closed (see vxlan_sockets_close()), but to no other. */
	set(s->rx, SOL_SOCKET, SO_REUSEADDR, 1);
	if (bind(s->rx, (struct sockaddr *)&s->local, len) ||
	    getsockname(s->rx, (struct sockaddr *)&s->local, &len))
		return -errno;
	set(s->rx, SOL_SOCKET, SO_REUSEADDR, 0);
	/* Joins datagrams of a flow (Linux 5.0). Without it each comes alone. */
	set(s->rx, SOL_UDP, UDP_GRO, 1);
	return 0;
}

static int open_probe(struct vxlan_sockets *s)
{
	struct sockaddr_storage any = s->local;

	s->probe = open_one(s->local.ss_family);
	if (s->probe < 0)
		return s->probe;
	*port_of(&any) = 0;
	return bind(s->probe, (struct sockaddr *)&any, size_of(&any)) ? -errno : 0;
}

/*
 * The pair of one source port: @from has the address, and the port once the first is bound. That
 * one lets others in (SO_REUSEPORT) only when it has its port, or the kernel might give it one that
 * another program shares.
 */
static int open_tx(int *fd, struct sockaddr_storage *from, bool second)
{
	struct sock_filter none = {.code = BPF_RET | BPF_K, .k = 0};
	struct sock_fprog filter = {.len = 1, .filter = &none};
	socklen_t len = size_of(from);
	int rc = 0;

	*fd = open_one(from->ss_family);
	if (*fd < 0)
		return *fd;
	big_buffer(*fd, SO_SNDBUFFORCE, SO_SNDBUF);
	if (second)
		rc = set(*fd, SOL_SOCKET, SO_REUSEPORT, 1);
	if (!rc && second)
		rc = set(*fd, SOL_SOCKET, SO_NO_CHECK, 1);
	if (rc)
		return rc;
	if (setsockopt(*fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)) ||
	    bind(*fd, (struct sockaddr *)from, len) ||
	    getsockname(*fd, (struct sockaddr *)from, &len))
		return -errno;
	return second ? 0 : set(*fd, SOL_SOCKET, SO_REUSEPORT, 1);
}

int vxlan_sockets_open(struct vxlan_sockets *s, const struct sockaddr_storage *local,
		       unsigned int n_flows)
{
	int rc;

	s->rx = s->probe = -1;
	memset(s->tx, 0xff, sizeof(s->tx));
	s->n_flows = n_flows ? n_flows : DEFAULT_FLOWS;
	s->local = *local;
	if (s->n_flows > VXLAN_MAX_FLOWS)
		return -EINVAL;
	if (local->ss_family != AF_INET && local->ss_family != AF_INET6)
		return -EAFNOSUPPORT;
	if (!*port_of(&s->local))
		*port_of(&s->local) = htons(VXLAN_UDP_PORT);
	rc = open_rx(s);
	if (!rc)
		rc = open_probe(s);
	for (unsigned int i = 0; i < s->n_flows && !rc; i++) {
		struct sockaddr_storage from = s->local;

		*port_of(&from) = 0;
		rc = open_tx(&s->tx[i][0], &from, false);
		if (!rc && from.ss_family == AF_INET)
			rc = open_tx(&s->tx[i][1], &from, true);
	}
	if (rc)
		vxlan_sockets_close(s);
	return rc;
}

/*
 * io_uring may hold the receiving socket a moment longer. Whoever opens the port anew must not be
 * turned away for that.
 */
void vxlan_sockets_close(struct vxlan_sockets *s)
{
	if (s->rx >= 0)
		set(s->rx, SOL_SOCKET, SO_REUSEADDR, 1);
	fd_close(&s->rx);
	fd_close(&s->probe);
	for (unsigned int i = 0; i < VXLAN_MAX_FLOWS; i++)
		fd_close_all(s->tx[i], 2);
}

uint32_t vx_probe(struct vxlan_tunnel *t, const struct vx_remote *r)
{
	int level = t->ip6 ? IPPROTO_IPV6 : IPPROTO_IP, name = t->ip6 ? IPV6_MTU : IP_MTU;
	int mtu = 0;
	socklen_t len = sizeof(mtu);

	/* A source address that the kernel chose for the last host is not for this one. */
	connect(t->s.probe, &(struct sockaddr){.sa_family = AF_UNSPEC}, sizeof(struct sockaddr));
	/* This looks the route up, and no more. */
	if (connect(t->s.probe, &r->to.sa, r->to_len) ||
	    getsockopt(t->s.probe, level, name, &mtu, &len) || mtu < 0)
		return 0;
	return (uint32_t)mtu;
}

void vx_addr_of(uint8_t addr[16], const struct sockaddr_storage *ss)
{
	if (ss->ss_family == AF_INET)
		addr_from_4(addr, &((const struct sockaddr_in *)ss)->sin_addr);
	else
		memcpy(addr, &((const struct sockaddr_in6 *)ss)->sin6_addr, 16);
}
