/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A Microsoft Azure Network Adapter (MANA) virtual function as the host sees it: made, attached
 * to the switch, observed, and broken on purpose. Served over vfio-user.
 *
 * Threads. A device belongs to one worker. The functions here are for any thread but another
 * worker's, and cross over by themselves, unless they say "owner".
 */
#ifndef HVLAB_EMULATOR_MANA_MANA_H
#define HVLAB_EMULATOR_MANA_MANA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/worker.h"
#include "vfio/vfuser.h"
#include "vswitch/port.h"

struct mana;

#define MANA_MAX_VPORTS 8
#define MANA_MAX_QUEUES 64

struct mana_vport_conf {
	uint8_t mac[6];
	uint32_t max_queues; /* 1..64; 0: 16 */
	uint32_t mtu;	     /* 68..9000, what the adapter offers; 0: 9000 */
	uint64_t link_mbps;  /* what QUERY_LINK_CONFIG reports; 0: 200000 */
	uint32_t max_flows;  /* size of its flow table; 0: none. See mana_flows_set() */
};

/* Things that happen to a device; called on its worker: post elsewhere, do not block. */
enum mana_event_type {
	MANA_EV_CONNECTED, /* a client (QEMU) */
	MANA_EV_DISCONNECTED,
	MANA_EV_DRIVER,	  /* VERIFY_VF_DRIVER_VERSION: os_type, version strings known */
	MANA_EV_DRIVEN,	  /* the guest's driver turned receive on for a vPort */
	MANA_EV_UNDRIVEN, /* receive off, reset, or client gone */
	/*
	 * The guest's driver has given the function up: DEREGISTER_DEVICE of the Ethernet
	 * function, its event queues given back (where they are older than its vPort: Linux 6.1
	 * and 6.12), hardware channel torn down or replaced, FLR, reset, client gone; text says
	 * which. Once per life of a driver, which begins with the hardware channel, whether it
	 * drove or not; after UNDRIVEN, before RESET and DISCONNECTED.
	 */
	MANA_EV_RELEASED,
	MANA_EV_RESET,
	MANA_EV_GUEST_ERROR, /* a rejected request or malformed queue entry: see text */
};

struct mana_event {
	enum mana_event_type type;
	unsigned int vport;
	uint64_t time_ns; /* now_ns() */
	const char *text; /* valid during the call; may be NULL */
};

/*
 * Interrupt moderation: the shortest time between two interrupts of an event queue. An interrupt
 * that comes sooner is put off, never dropped: the last event always gets its interrupt. The
 * first one after a pause comes at once.
 */
enum mana_moderation {
	MANA_MODERATION_OFF,
	MANA_MODERATION_LOW,	  /* 20 us */
	MANA_MODERATION_MEDIUM,	  /* 64 us */
	MANA_MODERATION_HIGH,	  /* 200 us */
	MANA_MODERATION_ADAPTIVE, /* one of these, by the rate of completions */
	MANA_N_MODERATIONS
};

struct mana_conf {
	const char *name; /* "a/eth0/vf", up to VSW_NAME_SIZE; copied */
	unsigned int n_vports;
	struct mana_vport_conf vports[MANA_MAX_VPORTS];
	unsigned int n_msix; /* 2..; 0: 64 */
	enum vfuser_msix_mode msix_mode;
	uint32_t hold_ms; /* how long the guest waits for one receiver, see vswitch/wait.c; 0: VSW_HOLD_MS */
	/* How long receive on waits for the path before to run empty, vswitch/nic.h; 0: 100 */
	uint32_t take_over_ms;
	enum mana_moderation moderation;
	void (*event)(void *arg, const struct mana_event *ev);
	void *event_arg;
};

/* NULL with errno. Does not listen yet. */
struct mana *mana_new(struct worker *w, const struct mana_conf *conf);
/* The ports must be detached from the switch before. */
void mana_free(struct mana *m);
int mana_listen(struct mana *m, const char *socket_path);
/* Serve a connected socket (tests). Takes the fd. */
int mana_attach_fd(struct mana *m, int fd);

/*
 * Surprise removal: closes the client's connection. DISCONNECTED comes before this returns. The
 * device goes on listening. Nothing happens when there is no client.
 */
void mana_disconnect(struct mana *m);
/*
 * Take the function off the network under a driver that does not let it go: until the next client
 * comes, what the guest sends is completed as sent and dropped (tx_drops, link-down). All else goes
 * on being answered, so that the driver can let go at once when it wants to; with a device that is
 * silent that of Linux 6.12 needs minutes. What is delivered is the switch's choice. Nothing
 * happens when there is no client.
 */
void mana_isolate(struct mana *m);

/* For vsw_port_attach() and counters; lives as long as the device. */
struct vsw_port *mana_port(struct mana *m, unsigned int vport);
struct vfuser *mana_vfuser(struct mana *m);

/* Link of a vPort as the guest sees it (EQE type 133). */
int mana_link_set(struct mana *m, unsigned int vport, bool up);
/* Service event to the driver: 132 reconfigure, 135 reset request. -ENOTCONN without HWC. */
int mana_service_event(struct mana *m, unsigned int eqe_type);
/* Answer periodic statistics queries late or never: QUERY_GF_STAT is not answered while set. */
int mana_stats_silence(struct mana *m, bool silent);

/* At once, for all event queues but the hardware channel's. -EINVAL. */
int mana_moderation_set(struct mana *m, enum mana_moderation mode);
/*
 * Queue pairs offered to the next driver, from its hardware channel on: 1..max_queues of the
 * vPort's configuration, else -EINVAL. A driver that is there keeps what it was offered.
 */
int mana_queues_set(struct mana *m, unsigned int vport, uint32_t n);

/*
 * Size of a vPort's flow table, emptied: flows that the adapter sends by itself once the switch has
 * judged their first packets (vswitch/fastpath.h). 0: none, each packet visits the switch. -ENOMEM.
 */
int mana_flows_set(struct mana *m, unsigned int vport, uint32_t max);

struct mana_vport_info {
	bool driven, link;
	uint32_t max_queues; /* offered to the driver that is there, or to the next one */
	uint32_t n_txq, n_rxq, mtu, indir_size;
	bool rss;
	uint64_t bw_limit_mbps; /* SET_BW_CLAMP now in force; 0: none */
	uint64_t tx_packets, tx_bytes, rx_packets, rx_bytes;
	/* rx_no_buffer: frames lost for want of one; rx_coalesced: packets sharing a completion */
	uint64_t tx_tso, tx_errors, tx_held_ns, rx_no_buffer, rx_errors, rx_coalesced;
	uint64_t tx_wqes, rx_wqes, cqes, eqes, doorbells;
	/* The flow table: entries, its size; packets that found one and that did not; refused: offers
	 * that found it full. */
	uint32_t flows, max_flows;
	uint64_t flow_hits, flow_exceptions, flows_added, flows_removed, flows_refused;
};
struct mana_info {
	bool connected, hwc_up;
	uint32_t n_eq, n_cq, n_wq, n_dma_regions;
	uint64_t hwc_requests, hwc_errors, guest_errors, resets, flrs;
	uint64_t hwc_unanswered; /* answers that found no receive buffer, and silenced ones */
	enum mana_moderation moderation;
	uint64_t irqs_put_off; /* by moderation */
	uint64_t driver_caps[4];
	bool link_aware; /* the driver hears of mana_link_set(); Linux since 6.17 */
	uint32_t os_type, os_ver_major, os_ver_minor, os_ver_build, os_ver_platform;
	char os_ver_str[4][128]; /* printable, NUL-terminated */
	char last_error[160];
	unsigned int n_vports;
	struct mana_vport_info vports[MANA_MAX_VPORTS];
};
void mana_get_info(struct mana *m, struct mana_info *info);

struct mana_queue_info {
	unsigned int vport, index;
	/* rx_no_buffer: times the queue was found empty */
	uint64_t tx_packets, tx_bytes, rx_packets, rx_bytes, rx_no_buffer;
};
/* Up to @max queue pairs; returns how many there are. */
size_t mana_get_queues(struct mana *m, struct mana_queue_info *out, size_t max);

#endif
