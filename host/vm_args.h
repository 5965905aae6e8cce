/* SPDX-License-Identifier: BSD-2-Clause */
/* From a VM's description to QEMU's command line. Nothing here touches the system. */
#ifndef HVLAB_HOST_VM_ARGS_H
#define HVLAB_HOST_VM_ARGS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "host/lab.h"
#include "host/runtime.h"
#include "vfio/vfuser.h"

/* Linux arch/x86/include/asm/setup.h COMMAND_LINE_SIZE, with the NUL. */
#define VM_CMDLINE_MAX 2048

/*
 * Where the devices of slot i's NIC are: behind root port rs<i> the synthetic one, behind rv<i> the
 * VF. The root ports are functions of the PCI devices from these on, eight to a device, so that
 * the guest knows a NIC's slot from the root port's address alone: 00:10.0 is rs0, 00:12.1 is rv1.
 */
#define VM_PCI_SYNTHETIC 0x10
#define VM_PCI_VF	 0x12

/* QMP names of what we put on every command line. */
#define VM_AGENT_PORT "agent0"
/* Descriptors as QEMU inherits them. */
#define VM_FD_QMP     3
#define VM_FD_AGENT   4

/**
 * struct vm_nic_conf - One NIC's devices
 * @vf, @synthetic:	which of them QEMU has; neither: the slot is free
 * @failover:		the VF is the primary of the synthetic one (VIRTIO_NET_F_STANDBY)
 * @queues:		pairs of the synthetic one
 * @socket, @vhost:	where the VF and the synthetic one are served
 */
struct vm_nic_conf {
	char name[LAB_NIC_NAME_MAX + 1];
	bool vf, synthetic, failover;
	uint8_t mac[6];
	unsigned int queues, mtu;
	char socket[RUNTIME_PATH_MAX];
	char vhost[RUNTIME_PATH_MAX];
};

/**
 * struct vm_conf - All that a QEMU is started from
 * @qemu:	{"path", "args"?}, owned
 * @image:	{"kernel", "initrd"?, "drives"?, "agent"?} as in docs/protocol.md, checked, owned
 * @cmdline:	complete kernel command line, owned
 * @incoming:	it waits for a migration, and then for "cont"
 * @n_slots:	NICs that have root ports: the lab file's, and those that may be added later
 */
struct vm_conf {
	char name[LAB_NAME_MAX + 1];
	json_t *qemu, *image;
	char *cmdline;
	bool kvm, incoming;
	unsigned int cpus, memory_mb;
	enum lab_hotplug hotplug;
	char console_log[RUNTIME_PATH_MAX], console_sock[RUNTIME_PATH_MAX];
	char qemu_log[RUNTIME_PATH_MAX];
	unsigned int n_slots;
	struct vm_nic_conf nics[LAB_VM_NICS];
};
void vm_conf_clear(struct vm_conf *conf);

/* NULL-terminated argv, each string and the array the caller's: vm_args_free(). NULL: no memory. */
char **vm_args(const struct vm_conf *conf);
void vm_args_free(char **argv);

/*
 * A NIC's objects as QEMU's options and QMP's arguments have them; new references, NULL without
 * memory. Names: chardev cs<i>, netdev ns<i>, devices syn<i> and vf<i>.
 */
json_t *vm_qmp_chardev(unsigned int slot, const struct vm_nic_conf *nic); /* chardev-add */
json_t *vm_netdev(unsigned int slot, const struct vm_nic_conf *nic);
json_t *vm_synthetic_device(unsigned int slot, const struct vm_nic_conf *nic);
json_t *vm_vf_device(unsigned int slot, const struct vm_nic_conf *nic);

/**
 * vm_cmdline() - A VM's kernel command line
 * @base:	what the image wants on it
 *
 * Adds hvlab.name=, hvlab.nic= for each NIC, the lab file's words, and hvlab.host= for each VM
 * that shares a network with this one, as long as they fit. The caller's to free().
 * NULL with errno: E2BIG when the words that must be there do not fit.
 */
char *vm_cmdline(const struct lab *lab, const struct lab_vm *vm, const char *base);

/*
 * The MSI-X mode for a QEMU version, "11.1.3"; NULL or not a version: taken for an old one.
 * Removing a vfio-user-pci with native MSI-X aborts every QEMU up to 11.1.
 */
enum vfuser_msix_mode vm_msix_mode(const char *version);

/* Checks of resolved parts; false with the reason and a remedy. */
bool vm_check_qemu(const json_t *qemu, char *why, size_t why_size, const char **hint);
bool vm_check_image(const json_t *image, const char *vm, char *why, size_t why_size,
		    const char **hint);

#endif
