/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * NICs of a lab that is up: added, removed and changed. What commands_nic.c and the drills stand
 * on. Control thread.
 *
 * A VM has slots 0..RUN_MAX_NICS-1. A NIC keeps its slot for life; the slot says where its devices
 * are in the guest (root ports rs<slot>, rv<slot>) and gives the default name eth<slot>. A VM that
 * is down keeps its NICs; adding, removing and changing then take effect at its next start.
 */
#ifndef HVLAB_HOST_RUN_NIC_H
#define HVLAB_HOST_RUN_NIC_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "host/lab.h"
#include "host/plug.h"

struct run;
struct run_vm;
struct run_nic;

/* When an addition is done. */
enum run_nic_until {
	RUN_NIC_PLUGGED, /* QEMU has every path of it */
	RUN_NIC_DRIVEN,	 /* the guest takes packets on every path of it */
};

/**
 * run_nic_done_fn - How it ended
 * @rc:		0; -ETIMEDOUT; -ECANCELED (VM down, lab down, NIC removed); -EIO QEMU refused
 * @why:	"" with @rc 0
 * @steps:	[{"step", "ms"}] since the request, borrowed
 * @rn:		the NIC; NULL when there is none (any more)
 *
 * Never called before the function that took it returned.
 */
typedef void (*run_nic_done_fn)(void *arg, int rc, const char *why, json_t *steps,
				struct run_nic *rn);

/* Which of an added NIC's two paths QEMU gets first. */
enum run_nic_order {
	RUN_NIC_SYNTHETIC_FIRST, /* then QEMU keeps the VF back until the guest's virtio_net is
				  * there: failover as it is meant */
	RUN_NIC_VF_FIRST,	 /* the guest sees a NIC that has no standby yet */
	RUN_NIC_TOGETHER,	 /* none waits for the other: the guest's drivers race */
};

/**
 * struct run_nic_spec - A NIC to add; zero (after run_nic_spec_init()) and NULL: the default
 * @name:	eth<i> by the lowest free slot
 * @network:	by name; may be NULL when the lab has one network
 * @mac:	by the lab's hash rule for this name: the same at each addition
 * @ip, @ip6:	the lowest free host number; "none": no address
 * @vf, @synthetic: paths; at least one
 * @weight:	0: no VF now
 */
struct run_nic_spec {
	const char *name, *network, *mac, *ip, *ip6;
	bool vf;
	enum lab_synthetic synthetic;
	unsigned int queues, mtu, link_mbps, weight;
	enum lab_moderation moderation;
	struct lab_features features;
	enum run_nic_order order;  /* for two paths, of a VM that runs */
	unsigned int order_gap_ms; /* the second path comes so long after QEMU has the first */
};
#define RUN_NIC_GAP_MAX 20000 /* a restoration waits 30 s for the guest to drive the VF */
void run_nic_spec_init(struct run_nic_spec *spec);

/**
 * run_nic_add() - Add a NIC to a VM, running or not
 * @rn:		Out: the NIC, good at once (query-status shows it)
 * @why:	Out, when it fails: what is wrong
 * @deadline_ms: for @done; 0: 30000. When it is over the NIC stays
 * @done:	may be NULL
 *
 * When QEMU refuses, everything made is undone, and @done gets a NULL NIC.
 * Return: 0; -EEXIST name or MAC taken; -ENOSPC no slot, or no root port of it (spare_nics);
 * -ENOENT no such network; -EINVAL; -EBUSY the slot's old devices are still going; -errno
 */
int run_nic_add(struct run_vm *rv, const struct run_nic_spec *spec, enum run_nic_until until,
		unsigned int deadline_ms, run_nic_done_fn done, void *arg, struct run_nic **rn,
		char *why, size_t why_size);

/**
 * run_nic_del() - Remove a NIC: its VF first, then the synthetic path, then the vNIC
 * @deadline_ms: 0: 10000, with native hot plug 30000. When it is over @done gets -ETIMEDOUT: the
 *guest keeps a device. The NIC is "removing" then, has no traffic, and goes when the guest lets go
 *or the VM ends
 *
 * Return: 0; -EALREADY it is being removed and somebody waits for it; -EBUSY a change of it is
 * under way; -errno
 */
int run_nic_del(struct run_nic *rn, unsigned int deadline_ms, run_nic_done_fn done, void *arg,
		char *why, size_t why_size);

/* What the NIC's port has now. */
const struct lab_features *run_nic_features(const struct run_nic *rn);

/* What run_nic_set() changes. */
enum {
	RUN_NIC_SET_WEIGHT = 1 << 0,	 /* to 0: revoke for good; from 0: restore */
	RUN_NIC_SET_QUEUES = 1 << 1,	 /* at the VF's next restore, the VM's next start */
	RUN_NIC_SET_MODERATION = 1 << 2, /* at once */
	RUN_NIC_SET_LINK = 1 << 3,	 /* at once, both paths; kept over plugging and restarts */
	RUN_NIC_SET_FEATURES = 1 << 4,	 /* at once: all of them */
};
struct run_nic_change {
	unsigned int what;
	unsigned int weight, queues;
	enum lab_moderation moderation;
	bool link;
	struct lab_features features;
};

/**
 * run_nic_set() - Change a NIC
 * @done:	when all of it has come about (revoked, restored), or failed. May be NULL
 *
 * Return: 0; -EINVAL out of range, or the NIC has no VF; -EBUSY a revocation, restoration or
 * removal is under way; -errno
 */
int run_nic_set(struct run_nic *rn, const struct run_nic_change *change, run_nic_done_fn done,
		void *arg, char *why, size_t why_size);

/*
 * Link of the vNIC as the guest sees it, of both paths; the switch stops both too. 0; -ENOTCONN
 * there is only the VF and nobody drives it: kept, and shown when somebody does; -errno.
 */
int run_nic_link(struct run_nic *rn, bool up);
/*
 * Link of one path, under the vNIC's: a path is up when both are and, for the VF, its life does not
 * hold it down. The switch goes on delivering to it. Kept over plugging and restarts. 0; -ENODEV
 * no such path; -ENOTCONN as above; -errno.
 */
int run_nic_path_link(struct run_nic *rn, enum plug_path path, bool up);

#endif
