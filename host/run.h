/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The lab that is up: its networks, vNICs and VMs, from lab-up to the last trace of it.
 *
 *	run_up() --> STARTING --all VMs came up--> RUNNING --run_down()--> STOPPING --> gone
 *		         \--something failed--> STOPPING --> gone, lab-up answers with the error
 *
 * Only run.c frees a run, and only from the event loop, never inside a callback of a VM or a vNIC:
 * pointers into it are good until the handler that got them returns. Control thread.
 */
#ifndef HVLAB_HOST_RUN_H
#define HVLAB_HOST_RUN_H

#include <event2/event.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "host/control.h"
#include "host/daemon.h"
#include "host/fabric.h"
#include "host/fabric_net.h"
#include "host/lab.h"
#include "host/netsvc.h"
#include "host/plug.h"
#include "host/policy_set.h"
#include "host/run_nic.h"
#include "host/vm_qemu.h"
#include "host/vnic.h"

enum run_state { RUN_STARTING, RUN_RUNNING, RUN_STOPPING };
const char *run_state_name(enum run_state s);

/**
 * struct run_nic - A slot for a NIC of a VM
 * @conf:	what is wanted of it; @lab points to it
 * @vnic:	NULL: the slot is free
 * @paired:	the guest's virtio_net keeps the VF and the synthetic NIC as one (net_failover)
 * @adding:	not everything of it has been plugged yet
 * @removing:	it has no traffic any more; its devices are still with the guest
 */
struct run_nic {
	struct run_vm *rv;
	unsigned int slot;
	struct lab_nic conf;
	const struct lab_nic *lab;
	struct vnic *vnic;
	unsigned int capturing; /* run_capture.h's own */
	bool paired, adding, removing;
	/* run_nic.c's own: */
	bool vf_asked;
	struct nic_op *op; /* somebody waits for it */
	struct event *again;
	enum run_nic_order order; /* of its paths, while it is added */
	unsigned int order_gap_ms;
	uint64_t first_ns; /* since when QEMU has the first of them */
};

/**
 * struct run_vm
 * @lab:	its NICs are those of the slots in use, closed up
 * @nics:	by slot; those beyond vm_conf.n_slots are never in use
 */
struct run_vm {
	struct run *run;
	struct lab_vm *lab;
	struct vm *vm;
	struct plug *plug;
	struct run_nic nics[LAB_VM_NICS];
	struct migrate *migrate; /* one is under way; migrate.c's */
};

/**
 * struct run_wait - A request that waits for something about a VM
 * @check:	Called after every change of any VM. True: it has answered @req
 * @expired:	Time is up: answer @req
 */
struct run_wait {
	struct control_req *req;
	struct run_vm *vm;
	bool (*check)(struct run_wait *w);
	void (*expired)(struct run_wait *w);
	const char *name; /* of the state waited for */
	unsigned int number;
	/* run.c's own: */
	struct event *timer;
	struct run_wait *next;
};

struct run {
	struct daemon *d;
	enum run_state state;
	struct lab *lab;
	char *file;
	json_t *parts;
	const char *qemu_path, *qemu_version;
	bool kvm;
	enum vfuser_msix_mode msix;
	uint64_t start_ns;
	struct vsw_net **nets;
	struct netsvc **services; /* by network; NULL: none */
	struct uplink **uplinks;  /* by network; NULL: none; run_uplink.h */
	struct policy_set *policy;
	struct fabric *fabric;	  /* NULL: the lab is on this host alone */
	struct fabric_net *fabric_net;
	struct run_vm *vms;
	struct run_wait *waits;
	struct event *step, *kill_timer, *poll;

	struct control_req *up_req; /* waits for the start */
	bool up_ready, keep_failed;
	struct event *up_timer;

	/* The failure that lab-up answers with when all is undone. */
	bool failed;
	enum control_class fail_class;
	char fail_text[VM_REASON_SIZE + LAB_NAME_MAX + 32];
	const char *fail_hint;
	json_t *fail_extra;

	struct control_req *down_reqs[8];
	unsigned int n_down_reqs;
	struct event *graceful;
};

/* The command lab-up; answers @req in any case. */
void run_up(struct daemon *d, struct control_req *req, const json_t *args);
/* lab-down; @req may be NULL. @graceful_ms 0: at once. */
void run_down(struct run *run, struct control_req *req, bool graceful, unsigned int graceful_ms);
/* SIGKILL for every QEMU. */
void run_kill_all(struct run *run);

struct run_vm *run_find_vm(struct run *run, const char *name);
struct run_nic *run_find_nic(struct run *run, const char *id);
/* @wait is copied. Checks at once; @timeout_ms 0: none. */
void run_wait(struct run *run, const struct run_wait *wait, unsigned int timeout_ms);

/* {"console": [...]} of a VM, for errors and events. */
json_t *run_console_extra(const struct run_vm *rv);

/* report.c: the state and the figures as JSON; new references. */
json_t *report_status(struct daemon *d);
json_t *report_stats(struct daemon *d, struct run_nic *only);
json_t *report_workers(struct daemon *d);

#endif
