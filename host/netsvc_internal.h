/* SPDX-License-Identifier: BSD-2-Clause */
/* Between the netsvc*.c files: the plan of a network's services, its files, its process. */
#ifndef HVLAB_HOST_NETSVC_INTERNAL_H
#define HVLAB_HOST_NETSVC_INTERNAL_H

#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "host/lab.h"
#include "host/netsvc.h"

/* Where the child sees the network's folder: its own mount namespace has it there. */
#define NETSVC_HOME "/run"

/* ---- netsvc_plan.c: what dnsmasq is told; no side effects ---- */

/**
 * struct netsvc_plan - All of a network's services that does not change while the lab is up
 * @ifname:	the TAP's: the network's name, as far as it fits and Linux allows it
 * @mac:	the TAP's: locally administered, from a hash of the lab's and the network's name
 * @ip4, @ip6:	the services' own; has4, has6 false: not served
 * @pool4:	DHCPv4 for strangers, from @first4 to @last4 (host byte order)
 */
struct netsvc_plan {
	char ifname[IFNAMSIZ];
	uint8_t mac[6];
	uint32_t mtu;
	char domain[LAB_DOMAIN_MAX + 1];
	bool has4, has6, pool4;
	struct in_addr ip4, subnet4;
	struct in6_addr ip6, subnet6;
	unsigned int prefix4, prefix6;
	uint32_t first4, last4;
};

/*
 * 0; -EDESTADDRREQ the network has no subnet; -EADDRNOTAVAIL every address of a subnet is a
 * guest's.
 */
int netsvc_plan(const struct lab *lab, unsigned int net, struct netsvc_plan *plan);
/* dnsmasq's command line, NULL-terminated; NULL: out of memory. */
char **netsvc_args(const struct netsvc_plan *plan, const char *program);
void netsvc_args_free(char **argv);

/* One NIC in the services' files; texts as in struct netsvc_host. */
struct netsvc_entry {
	uint8_t mac[6];
	char ip4[INET_ADDRSTRLEN], ip6[INET6_ADDRSTRLEN];
	char vm[LAB_NAME_MAX + 1], nic[LAB_NIC_NAME_MAX + 1];
	bool first; /* of its VM on this network: it has the VM's own name too */
};
/* Addresses and names are such that they mean in dnsmasq's files what they say: 0 or -EINVAL. */
int netsvc_entry_set(struct netsvc_entry *e, const struct netsvc_host *host);
/* The lines for --dhcp-hostsdir and --hostsdir; "" when there is nothing to say. */
void netsvc_dhcp_line(const struct netsvc_entry *e, char *out, size_t size);
void netsvc_dns_lines(const struct netsvc_entry *e, const char *domain, char *out, size_t size);

/* ---- netsvc_child.c: the process ---- */

enum netsvc_stage {
	NETSVC_AT_NAMESPACE = 1, /* unshare() */
	NETSVC_AT_MAP,		 /* who we are in the user namespace */
	NETSVC_AT_MOUNT,	 /* the folder at NETSVC_HOME, the rest read-only */
	NETSVC_AT_TUN,		 /* open /dev/net/tun */
	NETSVC_AT_TAP,		 /* make the interface */
	NETSVC_AT_ADDRESS,	 /* address, MTU, up */
	NETSVC_AT_SEND,		 /* the TAP to the daemon */
	NETSVC_AT_DROP,		 /* capabilities and user */
	NETSVC_AT_EXEC,
	NETSVC_N_STAGES
};

/* What the child says over its socket. With the TAP: stage 0 and the descriptor. */
struct netsvc_report {
	int32_t stage; /* enum netsvc_stage where it failed */
	int32_t error; /* errno */
};
/* What a report means and what to do about it. @program: the one to be run. */
void netsvc_explain(const struct netsvc_report *r, const char *program, char *out, size_t size);

struct netsvc_child {
	pid_t pid;
	int pidfd; /* readable when it has ended; waitid(P_PIDFD) */
	int sock;  /* struct netsvc_report; end of file: dnsmasq runs, or it is dead */
	int log;   /* its standard output and error */
};
/* Descriptors are non-blocking. 0 or -errno. */
int netsvc_spawn(const struct netsvc_plan *plan, const char *dir, char *const argv[],
		 struct netsvc_child *child);

#endif
