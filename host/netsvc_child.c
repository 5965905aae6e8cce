/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the process of a network's services, from fork() to the exec() of dnsmasq.
 *
 * The child gives up what dnsmasq does not need before it runs it, because guests talk to it:
 *
 *  1. network and mount namespaces of its own: as root by CAP_SYS_ADMIN, else (or where root lacks
 *     that) within a user namespace of its own;
 *  2. the network's folder over NETSVC_HOME, where any user may enter it though the runtime
 *     directory is the daemon's user's alone; all mounts read-only;
 *  3. the TAP with its addresses; its descriptor goes to the daemon;
 *  4. the user nobody where it was root, three capabilities over its own network namespace as
 *     ambient ones (so that no file needs capabilities), no_new_privs;
 *  5. death with the daemon: set last, since the kernel clears it when the user changes.
 *
 * Everything after fork() is calls that are safe in the child of a process with threads. Linux
 * man 7 user_namespaces, 7 capabilities, include/uapi/linux/if_tun.h.
 */
#include "host/netsvc_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/if_tun.h>
#include <linux/ipv6.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"

#define NOBODY	      65534
#define CHILD_FD_BASE 10

/* ---- in the child ---- */

static _Noreturn void give_up(int sock, enum netsvc_stage stage, int error)
{
	struct netsvc_report r = {.stage = (int32_t)stage, .error = error};

	(void)!write(sock, &r, sizeof(r));
	_exit(126);
}

static bool write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return ok;
}

/* Decimal, without the C library's locks. */
static char *put_uint(char *at, unsigned int v)
{
	char digits[12];
	unsigned int n = 0;

	do
		digits[n++] = (char)('0' + v % 10);
	while (v /= 10);
	while (n)
		*at++ = digits[--n];
	return at;
}

/* True: within a user namespace, as a user that is not root there. */
static bool enter_namespaces(int sock)
{
	unsigned int uid = geteuid(), gid = getegid();
	char map[64], *at;

	if (unshare(CLONE_NEWNET | CLONE_NEWNS) == 0)
		return false;
	if (errno != EPERM)
		give_up(sock, NETSVC_AT_NAMESPACE, errno);
	if (unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWNS) < 0)
		give_up(sock, NETSVC_AT_NAMESPACE, errno);
	at = put_uint(map, uid ? uid : NOBODY);
	*at++ = ' ';
	at = put_uint(at, uid);
	memcpy(at, " 1", 3);
	if (!write_file("/proc/self/setgroups", "deny") || !write_file("/proc/self/uid_map", map))
		give_up(sock, NETSVC_AT_MAP, errno);
	at = put_uint(map, uid ? gid : NOBODY);
	*at++ = ' ';
	at = put_uint(at, gid);
	memcpy(at, " 1", 3);
	if (!write_file("/proc/self/gid_map", map))
		give_up(sock, NETSVC_AT_MAP, errno);
	return true;
}

/* Hardening that needs a newer kernel than we do: Linux 5.12. */
static void make_read_only(void)
{
	struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID};

	(void)mount_setattr(-1, "/", AT_RECURSIVE, &attr, sizeof(attr));
}

static void set_up_mounts(int sock, const char *dir)
{
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount(dir, NETSVC_HOME, NULL, MS_BIND, NULL) < 0)
		give_up(sock, NETSVC_AT_MOUNT, errno);
	make_read_only();
}

static int make_tap(int sock, const char *name)
{
	struct ifreq ifr = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		give_up(sock, NETSVC_AT_TUN, errno);
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	if (ioctl(fd, TUNSETIFF, &ifr) < 0)
		give_up(sock, NETSVC_AT_TAP, errno);
	return fd;
}

static bool set_flags(int s, const char *name)
{
	struct ifreq ifr = {0};

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	if (ioctl(s, SIOCGIFFLAGS, &ifr) < 0)
		return false;
	ifr.ifr_flags = (short)(ifr.ifr_flags | IFF_UP | IFF_RUNNING);
	return ioctl(s, SIOCSIFFLAGS, &ifr) == 0;
}

static bool set_address4(int s, const struct netsvc_plan *p)
{
	struct ifreq ifr = {0};
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr = p->ip4};

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", p->ifname);
	memcpy(&ifr.ifr_addr, &sin, sizeof(sin));
	if (ioctl(s, SIOCSIFADDR, &ifr) < 0)
		return false;
	sin.sin_addr.s_addr = htonl(~0u << (32 - p->prefix4));
	memcpy(&ifr.ifr_netmask, &sin, sizeof(sin));
	if (ioctl(s, SIOCSIFNETMASK, &ifr) < 0)
		return false;
	sin.sin_addr.s_addr = p->ip4.s_addr | ~sin.sin_addr.s_addr;
	memcpy(&ifr.ifr_broadaddr, &sin, sizeof(sin));
	return ioctl(s, SIOCSIFBRDADDR, &ifr) == 0;
}

static bool set_address6(const struct netsvc_plan *p, int ifindex)
{
	struct in6_ifreq req = {
		.ifr6_addr = p->ip6,
		.ifr6_prefixlen = p->prefix6,
		.ifr6_ifindex = ifindex,
	};
	int s = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool ok = s >= 0 && ioctl(s, SIOCSIFADDR, &req) == 0;

	if (s >= 0)
		close(s);
	return ok;
}

static void set_up_interface(int sock, const struct netsvc_plan *p)
{
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq ifr = {0};

	if (s < 0)
		give_up(sock, NETSVC_AT_ADDRESS, errno);
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", p->ifname);
	ifr.ifr_hwaddr.sa_family = ARPHRD_ETHER;
	memcpy(ifr.ifr_hwaddr.sa_data, p->mac, sizeof(p->mac));
	if (ioctl(s, SIOCSIFHWADDR, &ifr) < 0)
		give_up(sock, NETSVC_AT_ADDRESS, errno);
	ifr.ifr_mtu = (int)p->mtu;
	if (ioctl(s, SIOCSIFMTU, &ifr) < 0)
		give_up(sock, NETSVC_AT_ADDRESS, errno);
	if (p->has4 && !set_address4(s, p))
		give_up(sock, NETSVC_AT_ADDRESS, errno);
	if (!set_flags(s, p->ifname) || !set_flags(s, "lo"))
		give_up(sock, NETSVC_AT_ADDRESS, errno);
	if (ioctl(s, SIOCGIFINDEX, &ifr) < 0 || (p->has6 && !set_address6(p, ifr.ifr_ifindex)))
		give_up(sock, NETSVC_AT_ADDRESS, errno);
	close(s);
}

/*
 * For interfaces to be made in this namespace. Where /proc/sys is read-only the defaults do, only
 * that the address is a second in coming.
 */
static void set_up_ipv6(void)
{
	static const char *const settings[][2] = {
		{"/proc/sys/net/ipv6/conf/default/disable_ipv6", "0"},
		{"/proc/sys/net/ipv6/conf/default/accept_dad", "0"},
		{"/proc/sys/net/ipv6/conf/default/accept_ra", "0"},
		{"/proc/sys/net/ipv6/conf/default/router_solicitations", "0"},
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(settings); i++)
		write_file(settings[i][0], settings[i][1]);
}

static void drop_rights(int sock, bool in_userns)
{
	static const uint8_t keep[] = {CAP_NET_ADMIN, CAP_NET_RAW, CAP_NET_BIND_SERVICE};
	struct __user_cap_header_struct hdr = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};
	uint32_t mask = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(keep); i++)
		mask |= 1u << keep[i];
	for (unsigned int cap = 0; cap < 64; cap++)
		if (cap >= 32 || !(mask & 1u << cap))
			prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
	if (!in_userns) {
		if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0 || setgroups(0, NULL) < 0 ||
		    setresgid(NOBODY, NOBODY, NOBODY) < 0 || setresuid(NOBODY, NOBODY, NOBODY) < 0)
			give_up(sock, NETSVC_AT_DROP, errno);
	}
	data[0].effective = data[0].permitted = data[0].inheritable = mask;
	if (syscall(SYS_capset, &hdr, data) < 0)
		give_up(sock, NETSVC_AT_DROP, errno);
	for (unsigned int i = 0; i < ARRAY_SIZE(keep); i++)
		if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, keep[i], 0, 0) < 0)
			give_up(sock, NETSVC_AT_DROP, errno);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		give_up(sock, NETSVC_AT_DROP, errno);
}

static _Noreturn void child(const struct netsvc_plan *plan, const char *dir, char *const argv[],
			    int leases, int sock, int log, pid_t parent)
{
	static char *const env[] = {(char *)"PATH=/usr/sbin:/usr/bin:/sbin:/bin",
				    (char *)"LC_ALL=C", NULL};
	struct netsvc_report done = {0};
	struct iovec iov = {.iov_base = &done, .iov_len = sizeof(done)};
	sigset_t none;
	bool in_userns;
	int tap, rc;

	umask(077);
	/* Out of the terminal's process group: Ctrl-C is for the daemon, which ends us in order. */
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	sock = fcntl(sock, F_DUPFD_CLOEXEC, CHILD_FD_BASE);
	if (sock < 0 || dup2(leases, 0) < 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0)
		_exit(126);
	in_userns = enter_namespaces(sock);
	set_up_ipv6();
	tap = make_tap(sock, plan->ifname);
	set_up_interface(sock, plan);
	set_up_mounts(sock, dir);
	rc = (int)fd_send(sock, &iov, 1, &tap, 1, 0);
	if (rc < 0)
		give_up(sock, NETSVC_AT_SEND, -rc);
	drop_rights(sock, in_userns);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		_exit(126);
	close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
	execve(argv[0], argv, env);
	give_up(sock, NETSVC_AT_EXEC, errno);
}

/* ---- in the daemon ---- */

char *netsvc_find_program(const char *wanted)
{
	const char *path = getenv("PATH");
	char dirs[PATH_MAX], found[PATH_MAX], *save = NULL;

	if (wanted)
		return strdup(wanted);
	snprintf(dirs, sizeof(dirs), "%s:/usr/sbin:/usr/local/sbin:/sbin", path ? path : "");
	for (char *dir = strtok_r(dirs, ":", &save); dir; dir = strtok_r(NULL, ":", &save)) {
		if (dir[0] != '/' ||
		    snprintf(found, sizeof(found), "%s/dnsmasq", dir) >= (int)sizeof(found))
			continue;
		if (access(found, X_OK) == 0)
			return strdup(found);
	}
	return NULL;
}

int netsvc_spawn(const struct netsvc_plan *plan, const char *dir, char *const argv[], int leases,
		 struct netsvc_child *c)
{
	int sock[2] = {-1, -1}, log[2] = {-1, -1}, rc = 0;
	pid_t parent = getpid();

	*c = (struct netsvc_child){.pidfd = -1, .sock = -1, .log = -1};
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sock) < 0 ||
	    pipe2(log, O_CLOEXEC) < 0) {
		rc = -errno;
		goto out;
	}
	rc = fd_set_nonblock(sock[0]);
	if (!rc)
		rc = fd_set_nonblock(log[0]);
	if (rc)
		goto out;
	c->pid = fork();
	if (c->pid == 0)
		child(plan, dir, argv, leases, sock[1], log[1], parent);
	if (c->pid < 0) {
		rc = -errno;
		c->pid = 0;
		goto out;
	}
	c->pidfd = pidfd_open(c->pid, 0);
	if (c->pidfd < 0) {
		rc = -errno;
		kill(c->pid, SIGKILL);
		waitpid(c->pid, NULL, 0);
		c->pid = 0;
		goto out;
	}
	c->sock = sock[0];
	c->log = log[0];
	sock[0] = log[0] = -1;
out:
	fd_close_all(sock, 2);
	fd_close_all(log, 2);
	return rc;
}

void netsvc_explain(const struct netsvc_report *r, const char *program, char *out, size_t size)
{
	const char *error = strerror(r->error);
	bool denied = r->error == EPERM || r->error == EACCES;

	switch ((enum netsvc_stage)r->stage) {
	case NETSVC_AT_NAMESPACE:
	case NETSVC_AT_MAP:
		snprintf(out, size,
			 "no network namespace: %s: run hvlabd with CAP_SYS_ADMIN, or allow user "
			 "namespaces (sysctl user.max_user_namespaces, "
			 "kernel.unprivileged_userns_clone, "
			 "kernel.apparmor_restrict_unprivileged_userns)",
			 error);
		break;
	case NETSVC_AT_MOUNT:
		snprintf(out, size, "no mounts of its own: %s: run hvlabd with CAP_SYS_ADMIN",
			 error);
		break;
	case NETSVC_AT_TUN:
		snprintf(out, size, "/dev/net/tun: %s: %s", error,
			 denied ? "its mode must let hvlabd's user open it"
				: "load the kernel module tun");
		break;
	case NETSVC_AT_TAP:
		snprintf(out, size, "no TAP: %s%s", error,
			 denied ? ": run hvlabd with CAP_NET_ADMIN" : "");
		break;
	case NETSVC_AT_ADDRESS:
		snprintf(out, size, "the TAP's address: %s%s", error,
			 denied ? ": run hvlabd with CAP_NET_ADMIN" : "");
		break;
	case NETSVC_AT_EXEC:
		snprintf(out, size, "%s: %s%s", program, error,
			 r->error == ENOENT ? ": install the package dnsmasq-base" : "");
		break;
	case NETSVC_AT_SEND:
	case NETSVC_AT_DROP:
	case NETSVC_N_STAGES:
	default:
		snprintf(out, size, "the service's process: %s", error);
		break;
	}
}
