/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The lab file: YAML text to a complete, checked model of networks, VMs and their NICs. The
 * command line checks with it, the daemon builds from it; both see the same defaults. What the
 * file leaves out (addresses, MACs, sizes) is filled in here and depends on nothing but the
 * text and the file's name, so that a lab looks the same each time it is started.
 *
 * Everything in struct lab is valid once lab_load_*() returned 0: names are legal and unique,
 * MACs unicast and unique, subnets do not overlap, numbers are in range, every NIC's network
 * exists. JSON is YAML too: lab_load_text() reads what lab_to_json() wrote.
 *
 * Any thread; no global state.
 */
#ifndef HVLAB_HOST_LAB_H
#define HVLAB_HOST_LAB_H

#include <jansson.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host/lab_features.h"

#define LAB_NAME_MAX	 24 /* bytes of a lab's, network's or VM's name (socket paths hold it) */
#define LAB_NIC_NAME_MAX 15 /* Linux IFNAMSIZ - 1: the interface's name in the guest */
#define LAB_DOMAIN_MAX	 63
#define LAB_MAX_NETS	 64
#define LAB_MAX_VMS	 64
#define LAB_MAX_NICS	 8	    /* of one VM, in the file */
#define LAB_VM_NICS	 16	    /* of one VM, with those added while it runs */
#define LAB_MAX_APPEND	 1024	    /* bytes added to a kernel command line */
#define LAB_MAX_TEXT	 (1u << 20) /* bytes of a lab file */
#define LAB_MAX_LABELS	 16	    /* of one VM */
#define LAB_LABEL_MAX	 79	    /* bytes: that of an application security group's name */
#define LAB_MAX_POLICIES 16	    /* policy files */

#define LAB_FLOWS_MAX	  (4u << 20) /* connections of one NIC */
#define LAB_FLOWS_DEFAULT (128u << 10)

#define LAB_MTU_MIN	   68
#define LAB_MTU_MAX	   9000
#define LAB_MTU_DEFAULT	   1500
#define LAB_QUEUES_MAX	   64
#define LAB_QUEUES_DEFAULT 16
#define LAB_CPUS_MAX	   64
#define LAB_CPUS_DEFAULT   2
#define LAB_MEMORY_MIN	   192 /* MiB; what the guest image needs to reach its agent */
#define LAB_MEMORY_MAX	   (1u << 20)
#define LAB_MEMORY_DEFAULT 512
#define LAB_LINK_DEFAULT   200000 /* Mbit/s */
#define LAB_WEIGHT_MAX	   100
#define LAB_SPARE_DEFAULT  4 /* pairs of root ports for NICs added later */

#define LAB_MAX_HOSTS	    64
#define LAB_MAX_ENDPOINTS   5
#define LAB_URL_MAX	    127
#define LAB_ETCD_PREFIX_MAX 127
#define LAB_VXLAN_PORT	    4789 /* IANA's for VXLAN */
#define LAB_VNI_MAX	    0xffffff
#define LAB_VNI_FIRST	    100 /* the default of the first network; the next has one more */
#define LAB_ROUTES_MAX	    4096
#define LAB_LEASE_DEFAULT   10 /* s */

/* The path beside the VF. netvsc has no back end and is refused. */
enum lab_synthetic { LAB_SYNTHETIC_NONE, LAB_SYNTHETIC_VIRTIO };
/* Interrupt moderation of the VF, as Hyper-V names it. */
enum lab_moderation {
	LAB_MODERATION_OFF,
	LAB_MODERATION_LOW,
	LAB_MODERATION_MEDIUM,
	LAB_MODERATION_HIGH,
	LAB_MODERATION_ADAPTIVE,
	LAB_N_MODERATIONS
};
const char *lab_synthetic_name(enum lab_synthetic s);
const char *lab_moderation_name(enum lab_moderation m);
/* By name; -1: no such word. */
int lab_moderation_parse(const char *word);

/* How a network reaches guests on other hosts of the fabric. */
enum lab_mode {
	LAB_MODE_DIRECT, /* one broadcast domain, as the uplink carries it */
	LAB_MODE_ROUTED, /* each host has a subnet of its own, and a route to each other host's */
	LAB_MODE_VXLAN,	 /* one broadcast domain over UDP */
	LAB_N_MODES
};
const char *lab_mode_name(enum lab_mode m);

/* Who is on a network beside its guests, as Hyper-V names it. */
enum lab_net_type {
	LAB_NET_PRIVATE,  /* nobody */
	LAB_NET_INTERNAL, /* this host, by a TAP interface that lives as long as the lab */
	LAB_NET_EXTERNAL, /* who is behind an interface of this host */
	LAB_N_NET_TYPES
};
const char *lab_net_type_name(enum lab_net_type t);

#define LAB_IFNAME_MAX 15
#define LAB_NETNS_MAX  107

/**
 * struct lab_uplink - The interface of an internal or external network; all "" or off without
 * @ifname:	the TAP's name, or the interface's
 * @netns:	absolute path of the network namespace that it is in; "": the daemon's
 * @tso, @csum:	the interface's kernel may cut and sum for us; false: "a NIC without"
 * @ip4, @ip6:	internal: the host's own addresses; "": none
 */
struct lab_uplink {
	char ifname[LAB_IFNAME_MAX + 1];
	char netns[LAB_NETNS_MAX + 1];
	bool tso, csum;
	char ip4[INET_ADDRSTRLEN];
	char ip6[INET6_ADDRSTRLEN];
};

/* How QEMU's root ports plug and unplug. */
enum lab_hotplug {
	LAB_HOTPLUG_ACPI,   /* fast: tens of milliseconds */
	LAB_HOTPLUG_NATIVE, /* PCIe's own: an unplug takes five seconds */
};

/**
 * struct lab_net - One network of the switch
 * @subnet4, @prefix4:	IPv4 network address and prefix length; has4 false: none
 * @subnet6, @prefix6:	the same for IPv6
 * @mtu:		68..9000; the most a NIC on it may have
 * @dhcp:		DHCP, router advertisements and DNS are served on it
 * @domain:		what the guests' names end in there
 * @gateway4:		IPv4 router of the guests, in text; "" when there is none
 * @gateway6:		address of the network's own router; only in routed mode
 * @link6:		prefix length of IPv6 that guests reach without a router: @prefix6, but in routed
 *			mode that of all hosts' parts, since their router answers for the others
 * @service4, @service6:	addresses of the services themselves, in text; "" when there are none
 *			or every address is a guest's. No NIC added later gets them
 * @vni:		vxlan: the number in its packets
 * @mbps:		bandwidth that its NICs of one host share; 0: no limit
 * @max_routes:		routed: the most routes that its router takes; 0: as many as fit
 * @type, @uplink:	who is on it beside the guests, and how
 */
struct lab_net {
	char name[LAB_NAME_MAX + 1];
	char domain[LAB_DOMAIN_MAX + 1];
	bool dhcp;
	bool has4, has6;
	struct in_addr subnet4;
	struct in6_addr subnet6;
	unsigned int prefix4, prefix6, link6;
	char cidr4[INET_ADDRSTRLEN + 4];  /* "10.0.0.0/24", "" when none */
	char cidr6[INET6_ADDRSTRLEN + 5]; /* "fd00::/64", "" when none */
	char gateway4[INET_ADDRSTRLEN];
	char gateway6[INET6_ADDRSTRLEN];
	char service4[INET_ADDRSTRLEN];
	char service6[INET6_ADDRSTRLEN];
	uint32_t mtu;
	enum lab_mode mode;
	uint32_t vni;
	uint32_t mbps;
	uint32_t max_routes;
	enum lab_net_type type;
	struct lab_uplink uplink;
};

/**
 * struct lab_nic - One vNIC of a VM
 * @name:	the interface's name in the guest: eth0, eth1, ...
 * @net:	index into lab.nets
 * @mac:	unicast, unique in the lab; 00:15:5d:x:x:x from a hash of lab/vm/nic when not given
 * @queues:	most queues the adapter offers, 1..64
 * @mtu:	68..the network's; what the adapter offers and the guest sets
 * @link_mbps:	speed the adapter reports
 * @vf:		may have the accelerated path; false: never
 * @synthetic:	the path beside it, or instead of it; at least one of both is there
 * @weight:	0..100; 0: the VF is off for now, restored when it is raised
 * @moderation:	of the VF's interrupts
 * @ip4, @ip6:	address without prefix length; "" when the network has none
 * @features:	VLANs, guards, mirroring, storm limit, bandwidth at its port
 * @added:	not the file's: it came later and may go and come with other addresses
 */
struct lab_nic {
	char name[LAB_NIC_NAME_MAX + 1];
	unsigned int net;
	uint8_t mac[6];
	char mac_text[18]; /* "00:15:5d:01:02:03" */
	uint32_t queues;
	uint32_t mtu;
	uint32_t link_mbps;
	bool vf;
	enum lab_synthetic synthetic;
	uint32_t weight;
	enum lab_moderation moderation;
	char ip4[INET_ADDRSTRLEN];
	char ip6[INET6_ADDRSTRLEN];
	struct lab_features features;
	bool added;
};

/**
 * struct lab_vm - One guest
 * @kernel:	name of a stock kernel ("6.1", "6.12", "7.2"), or "" when @bzimage is set
 * @bzimage:	absolute path of a kernel of the user's, or NULL
 * @modules:	absolute path of its modules, or NULL
 * @cpus:	1..64
 * @memory_mb:	MiB
 * @append:	more words for the kernel command line, or NULL
 * @hotplug:	how devices come and go
 * @spare_nics:	root ports beyond those of @nics, for NICs added later; n_nics + spare_nics is
 *		at most LAB_VM_NICS
 * @host:	where it runs: index into lab.fabric.hosts; 0 without a fabric
 * @labels:	the application security groups that its NICs are in (nsg.h)
 * @nics:	@n_nics of them, at most LAB_MAX_NICS from a file
 */
struct lab_vm {
	char name[LAB_NAME_MAX + 1];
	char kernel[16];
	char *bzimage;
	char *modules;
	uint32_t cpus;
	uint32_t memory_mb;
	char *append;
	enum lab_hotplug hotplug;
	uint32_t spare_nics;
	unsigned int host;
	unsigned int n_labels;
	char labels[LAB_MAX_LABELS][LAB_LABEL_MAX + 1];
	unsigned int n_nics;
	struct lab_nic nics[LAB_VM_NICS];
};

enum lab_registry {
	LAB_REGISTRY_STATIC, /* what the file says */
	LAB_REGISTRY_ETCD,   /* hosts tell each other by an etcd */
	LAB_N_REGISTRIES
};
const char *lab_registry_name(enum lab_registry r);

/*
 * One machine of the fabric; @address: where the others reach it; @address6: the same for IPv6 of
 * routed networks, beside an IPv4 @address; "": none.
 */
struct lab_host {
	char name[LAB_NAME_MAX + 1];
	int family;
	char address[INET6_ADDRSTRLEN];
	char address6[INET6_ADDRSTRLEN];
};

/**
 * struct lab_etcd - Where the registry is
 * @endpoints:	"http://ADDRESS:PORT", tried in turn
 * @prefix:	of all keys, without a slash at its end
 * @user:	"": no authentication
 * @password_file: absolute; NULL without @user
 */
struct lab_etcd {
	unsigned int n_endpoints;
	char endpoints[LAB_MAX_ENDPOINTS][LAB_URL_MAX + 1];
	char prefix[LAB_ETCD_PREFIX_MAX + 1];
	uint32_t lease_seconds;
	char user[64];
	char *password_file;
};

/**
 * struct lab_fabric - The machines that a lab is spread over
 * @on:		false: there is no fabric, all else is zero
 * @host:	the file's own choice of lab_choose_host(), or ""
 * @mtu:	of the network between the hosts
 * @port:	of VXLAN
 */
struct lab_fabric {
	bool on;
	char host[LAB_NAME_MAX + 1];
	enum lab_registry registry;
	unsigned int n_hosts;
	struct lab_host *hosts;
	uint32_t mtu;
	uint32_t port;
	struct lab_etcd etcd;
};

/* Connections of NICs with a policy: how many one may have, how long they live without packets. */
struct lab_flows {
	uint32_t max;
	uint32_t embryonic_s, established_s, time_wait_s, reset_s, other_s;
};

/**
 * struct lab - All of a lab file
 * @nets:	as @here sees them: a routed network has that host's part of the subnet
 * @vms:	@n_vms that run @here, and behind them those of other hosts up to @n_all. Before a host
 *		was chosen @n_vms is @n_all
 * @policies:	absolute paths of policy files, applied when the lab comes up
 * @here:	index into fabric.hosts; -1: none was chosen, or there is no fabric
 */
struct lab {
	char name[LAB_NAME_MAX + 1]; /* the file's "name", else the file name without its ending */
	struct lab_fabric fabric;
	int here;
	unsigned int n_nets;
	struct lab_net *nets;
	unsigned int n_vms, n_all;
	struct lab_vm *vms;
	unsigned int n_policies;
	char **policies;
	struct lab_flows flows;
	struct lab_net *views; /* lab_fabric.c's own */
};

/**
 * struct lab_error - One thing that is wrong
 * @line, @column:	from 1; 0 when the file as a whole is meant
 * @key:		path of the key, "vms[1].nics[0].mac"; "" for the whole file
 * @reason:		what is wrong
 * @remedy:		what to do about it; may be ""
 */
struct lab_error {
	unsigned int line, column;
	char key[96];
	char reason[256];
	char remedy[256];
};

/* Zero it before use. At most LAB_MAX_ERRORS are kept; @n_more counts the rest. */
#define LAB_MAX_ERRORS 64
struct lab_errors {
	char file[256];
	unsigned int n, n_more;
	struct lab_error *list;
};

/**
 * lab_load_file() - Read, check and complete a lab file
 * @lab:	Out: the caller's, lab_free(); NULL on failure
 * @errs:	Out: everything found wrong, in the order of the file; lab_errors_free() in any case
 *
 * Return: 0; -EINVAL when the content is wrong; -errno of open or read (with an entry in @errs)
 */
int lab_load_file(const char *path, struct lab **lab, struct lab_errors *errs);

/**
 * lab_load_text() - The same from memory
 * @file:	Name for messages and for the lab's default name; relative paths in the text are
 *		taken from its folder. Need not exist.
 */
int lab_load_text(const char *file, const char *text, size_t size, struct lab **lab,
		  struct lab_errors *errs);
void lab_free(struct lab *lab);

/* "pair.yaml:7: vms[0].nics[0].mac: reason. Remedy." without a newline. @buf may be cut. */
void lab_error_format(const struct lab_errors *errs, const struct lab_error *err, char *buf,
		      size_t size);
/* {"file", "line", "column", "key", "reason", "remedy"} per error; a new reference. */
json_t *lab_errors_to_json(const struct lab_errors *errs);
void lab_errors_free(struct lab_errors *errs);

/* The complete model under the lab file's own keys, everything explicit; a new reference. */
json_t *lab_to_json(const struct lab *lab);

/**
 * lab_choose_host() - Make it the part of the lab that runs on one host of the fabric
 * @name:	NULL: fabric.host of the file, else the host that is called as this machine
 *
 * Pointers to VMs and networks that were taken before are void. Nothing happens to a lab without a
 * fabric.
 * Return: 0; -ENOENT no such host; -EINVAL a name, but no fabric
 */
int lab_choose_host(struct lab *lab, const char *name, char *why, size_t why_size);
/* The networks as host @h sees them, -1: all of them; before or after a host was chosen. */
const struct lab_net *lab_nets_at(const struct lab *lab, int h);

struct lab_vm *lab_find_vm(const struct lab *lab, const char *name);
/* By "vm/nic". *@vm may be NULL when not wanted. */
struct lab_nic *lab_find_nic(const struct lab *lab, const char *target, struct lab_vm **vm);

/**
 * lab_nic_add() - One NIC more, of a lab that is up, as if the file had it
 * @wish:	its name, network and figures, all given; MAC and addresses are filled in
 * @mac:	NULL: by the hash rule for this name, so the same at each addition
 * @ip4, @ip6:	NULL: the lowest free host number; "none"
 * @why:	Out, when it fails: what is wrong
 *
 * It becomes the last of @vm->nics.
 * Return: 0; -EINVAL; -EEXIST name, MAC or address taken; -ENOSPC
 */
int lab_nic_add(struct lab *lab, struct lab_vm *vm, const struct lab_nic *wish, const char *mac,
		const char *ip4, const char *ip6, char *why, size_t why_size);
void lab_nic_del(struct lab_vm *vm, const char *name);

/* "aa:bb:cc:dd:ee:ff" (colons or dashes, either case). 0 or -EINVAL. */
int lab_parse_mac(const char *text, uint8_t mac[6]);
/* The kernels that can be named, NULL-terminated, the default first. */
const char *const *lab_kernels(void);

#endif
