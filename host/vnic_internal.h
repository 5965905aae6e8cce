/* SPDX-License-Identifier: BSD-2-Clause */
/* What a vNIC consists of: between vnic.c (what it does) and vnic_json.c (what it says). */
#ifndef HVLAB_HOST_VNIC_INTERNAL_H
#define HVLAB_HOST_VNIC_INTERNAL_H

#include "base/log.h"
#include "host/vnic.h"

#define VNIC_TEXT_SIZE	160
/* The VF's socket has this behind its name while nobody shall connect to it. */
#define VNIC_HIDDEN	".off"
#define VNIC_HIDDEN_MAX (RUNTIME_PATH_MAX + sizeof(VNIC_HIDDEN))

/* A synthetic device: its letters are told from those of the one before by the number. */
struct vnic_syn {
	struct vnic *v;
	uint64_t number;
	struct vhost *vhost;
	bool driven;
	char path[RUNTIME_PATH_MAX];
};

/**
 * struct vnic
 * @state:	what the guest has done with the VF
 * @vf_link:	the link that the VF's life wants; the guest sees it ANDed with @link
 * @shown:	QEMU may connect to the VF's socket
 */
struct vnic {
	uint64_t number; /* never used twice */
	char id[LAB_NAME_MAX + LAB_NIC_NAME_MAX + 2];
	char socket[RUNTIME_PATH_MAX];
	const struct lab_nic *lab;
	enum vfuser_msix_mode msix;
	struct worker *worker;
	struct mailbox *mail;
	const struct vnic_ops *ops;
	void *arg;

	struct vsw_nic *nic;
	enum vf_receive receive;
	bool attached, link, path_link[PLUG_N_PATHS], retired;

	struct mana *mana;
	struct vf *vf;
	enum vnic_state state;
	bool vf_link, shown;

	/*
	 * The synthetic path, and its twin while the guest migrates: the QEMU that it comes from
	 * and the one that it goes to are both connected.
	 */
	struct vnic_syn *syn, *twin;
	struct vhost *vhost; /* of @syn */
	bool syn_connected, syn_driven;
	uint32_t syn_queues;

	struct vnic *next;

	/* the worker's */
	struct log_limit limit;
};

/* A guest's string; what is not UTF-8 becomes '?'. A new reference. */
json_t *vnic_guest_string(const char *s);

/* vnic_features.c: size of the VF's flow table. */
uint32_t vnic_max_flows(const struct lab_features *f);

#endif
