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
 * @gateway4:	the guests' router in text, or ""
 * @shared:	other hosts have services on this network too: each answers its own guests alone
 * @pool4:	DHCPv4 for strangers, from @first4 to @last4 (host byte order)
 */
struct netsvc_plan {
	char ifname[IFNAMSIZ];
	uint8_t mac[6];
	uint32_t mtu;
	char domain[LAB_DOMAIN_MAX + 1];
	bool has4, has6, pool4, shared;
	struct in_addr ip4, subnet4;
	struct in6_addr ip6, subnet6;
	unsigned int prefix4, prefix6;
	uint32_t first4, last4;
	char gateway4[INET_ADDRSTRLEN];
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
	uint32_t mtu; /* 0: the network's */
	bool router;  /* it is the network's gateway itself */
	bool elsewhere; /* another host's: a name, and no answer to its requests */
	bool first;   /* of its VM on this network: it has the VM's own name too */
};
/* Addresses and names are such that they mean in dnsmasq's files what they say: 0 or -EINVAL. */
int netsvc_entry_set(struct netsvc_entry *e, const struct netsvc_host *host);
/* The lines for --dhcp-hostsdir, --dhcp-optsdir and --hostsdir; "": there is nothing to say. */
void netsvc_dhcp_line(const struct netsvc_entry *e, char *out, size_t size);
void netsvc_mtu_line(const struct netsvc_entry *e, char *out, size_t size);
void netsvc_dns_lines(const struct netsvc_entry *e, const char *domain, char *out, size_t size);

#define NETSVC_DUID_SIZE 12
/* The DHCPv6 server's identifier: always the same, else clients would not know it again. */
void netsvc_duid(const struct netsvc_plan *plan, uint8_t duid[NETSVC_DUID_SIZE]);

/* ---- netsvc_files.c: the folder that dnsmasq reads ---- */

#define NETSVC_DHCP "dhcp"
#define NETSVC_DNS  "dns"
#define NETSVC_OPTS "opts"

/* Made anew and empty. 0 or -errno. */
int netsvc_files_make(const char *dir);
/* The file appears whole or not at all; without text it goes. 0 or -errno. */
int netsvc_files_put(const char *dir, const char *folder, const char *name, const char *text);
void netsvc_files_remove(const char *dir);

/* ---- netsvc_lease.c: what dnsmasq leased, and the message that makes it forget ---- */

#define NETSVC_FRAME_MAX 1024

/**
 * struct netsvc_lease - One lease of dnsmasq
 * @hw_type, @hw_len, @hw:	the client by DHCPv4; ARP's hardware type
 * @iaid, @temporary:		its identity association by DHCPv6; IA_TA instead of IA_NA
 * @id, @id_len:		the client's identifier; none is possible by DHCPv4
 */
struct netsvc_lease {
	int family;
	struct in_addr ip4;
	struct in6_addr ip6;
	uint8_t hw_type, hw_len, hw[16];
	uint32_t iaid;
	bool temporary;
	uint8_t id[255];
	size_t id_len;
};
/* A line of dnsmasq's lease file, which is changed. 0, or -EINVAL: it is none of a lease. */
int netsvc_lease_parse(char *line, struct netsvc_lease *lease);
/* The Ethernet frame by which the client would give it back; its size. 0: family not served. */
size_t netsvc_release_frame(const struct netsvc_plan *plan, const struct netsvc_lease *lease,
			    uint8_t frame[NETSVC_FRAME_MAX]);

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
/* The path of dnsmasq: @wanted, or NULL: where such programs are. malloc()ed; NULL: not here. */
char *netsvc_find_program(const char *wanted);
/* Descriptors are non-blocking. @leases: a file, dnsmasq's standard input. 0 or -errno. */
int netsvc_spawn(const struct netsvc_plan *plan, const char *dir, char *const argv[], int leases,
		 struct netsvc_child *child);

#endif
