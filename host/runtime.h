/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The runtime directory: where it is, who holds it, and what a crashed daemon left in it.
 *
 *	lock		flock()ed by the daemon that lives here; its pid as text
 *	control.sock	docs/protocol.md
 *	hvlabd.log	and hvlabd.log.1, the log of the daemon before
 *	qemu.pids	QEMUs now running: pid, start time, VM; for the cleaning after a crash
 *	vm/NAME/	console.log, console.sock, qemu.log, NIC.vfio (NIC.vfio.off while QEMU
 *			shall not have the VF), NIC.vhost
 *	net/NAME/	of the network's services
 *
 * Control thread.
 */
#ifndef HVLAB_HOST_RUNTIME_H
#define HVLAB_HOST_RUNTIME_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "host/lab.h"

/* A Unix socket address holds 107 bytes; this is what is left for DIR by the longest name in it. */
#define RUNTIME_DIR_MAX	 51
#define RUNTIME_PATH_MAX 108

/**
 * runtime_dir_find() - The directory's path, by docs/protocol.md
 * @wanted:	What the user asked for, or NULL
 *
 * Nothing is made or looked at. Also for clients.
 * Return: 0, -ENAMETOOLONG (longer than RUNTIME_DIR_MAX), -EINVAL (not absolute)
 */
int runtime_dir_find(const char *wanted, char out[RUNTIME_DIR_MAX + 1]);

struct runtime {
	char dir[RUNTIME_DIR_MAX + 1];
	int lock_fd;
	unsigned int killed; /* QEMUs of a crashed daemon that runtime_open() ended */
};

/**
 * runtime_open() - Make the directory (0700), take its lock, clean what a crash left
 * @why:	Out: what is wrong and what to do, when it fails
 *
 * Return: 0; -EBUSY another daemon lives there; -EPERM the directory is somebody else's or open
 * to others; -errno
 */
int runtime_open(struct runtime *rt, const char *dir, char *why, size_t why_size);
/* Removes everything but the log; the directory too when that makes it empty. */
void runtime_close(struct runtime *rt);

/* "DIR/control.sock"; a VM's directory and a file in it. Never too long for a socket address. */
void runtime_path(const struct runtime *rt, const char *name, char out[RUNTIME_PATH_MAX]);
void runtime_vm_path(const struct runtime *rt, const char *vm, const char *file,
		     char out[RUNTIME_PATH_MAX]);
/* Make an empty vm/NAME; remove it with all that is in it. 0 or -errno. */
int runtime_vm_make(const struct runtime *rt, const char *vm);
void runtime_vm_remove(const struct runtime *rt, const char *vm);

/* One QEMU, as qemu.pids knows it. */
struct runtime_proc {
	pid_t pid;
	unsigned long long start; /* /proc/PID/stat field 22: clock ticks since boot */
	const char *name;
};
/* Write qemu.pids anew, whole or not at all. 0 or -errno (-ENOSPC). */
int runtime_record(const struct runtime *rt, const struct runtime_proc *procs, size_t n);
/* Start time of a process, 0 when there is none. */
unsigned long long runtime_proc_start(pid_t pid);

#endif
