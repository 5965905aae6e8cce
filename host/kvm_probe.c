/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the experiment that tells whether KVM runs stock kernels.
 *
 * One page of page tables each for the levels 4 and 3, a level 2 that maps the first 2 MiB with
 * one large page, and the code. The CPU starts in 64-bit mode with CR4 = PAE | OSFXSR |
 * OSXMMEXCPT. Its CPUID is what the host supports, set before the special registers, since KVM
 * checks EFER against it. The code ends with OUT of 0x42: that exit, with that value, means yes.
 */
#define LOG_TAG "kvm"
#include "host/kvm_probe.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/util.h"

#define PROBE_SECONDS 5
#define MEM_SIZE      0x10000
#define PML4	      0x1000
#define PDPT	      0x2000
#define PD	      0x3000
#define CODE	      0x4000
#define OUT_PORT      0x10
#define OUT_VALUE     0x42
#define N_CPUID	      256

static const uint8_t code[] = {
	0x66, 0x0f,	0xef,	   0xc0, /* pxor xmm0, xmm0 */
	0x66, 0x0f,	0x7e,	   0xc0, /* movd eax, xmm0 */
	0x83, 0xc0,	OUT_VALUE,	 /* add eax, 0x42 */
	0xe7, OUT_PORT,			 /* out 0x10, eax */
	0xf4,				 /* hlt */
};

static bool fail(struct kvm_probe *p, const char *device, const char *what)
{
	snprintf(p->reason, sizeof(p->reason), "%s: %s: %s", device, what, strerror(errno));
	return false;
}

static bool set_cpuid(int kvm, int vcpu)
{
	struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + N_CPUID * sizeof(cpuid->entries[0]));
	bool ok;

	if (!cpuid)
		return false;
	cpuid->nent = N_CPUID;
	ok = ioctl(kvm, KVM_GET_SUPPORTED_CPUID, cpuid) == 0 &&
	     ioctl(vcpu, KVM_SET_CPUID2, cpuid) == 0;
	free(cpuid);
	return ok;
}

static bool set_long_mode(int vcpu)
{
	struct kvm_segment seg = {.base = 0,
				  .limit = 0xffffffff,
				  .selector = 8,
				  .present = 1,
				  .type = 11,
				  .s = 1,
				  .l = 1,
				  .g = 1};
	struct kvm_regs regs = {.rip = CODE, .rflags = 2};
	struct kvm_sregs sregs;

	if (ioctl(vcpu, KVM_GET_SREGS, &sregs) < 0)
		return false;
	sregs.cs = seg;
	seg.type = 3;
	seg.selector = 16;
	seg.l = 0;
	seg.db = 1;
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = seg;
	sregs.cr3 = PML4;
	sregs.cr4 = 0x620;	/* PAE, OSFXSR, OSXMMEXCPT */
	sregs.cr0 = 0x80050033; /* PG, AM, WP, NE, ET, MP, PE */
	sregs.efer = 0x500;	/* LME, LMA */
	return ioctl(vcpu, KVM_SET_SREGS, &sregs) == 0 && ioctl(vcpu, KVM_SET_REGS, &regs) == 0;
}

/* In the child: what it opens ends with it. */
static bool experiment(const char *device, struct kvm_probe *p)
{
	struct kvm_userspace_memory_region region = {.memory_size = MEM_SIZE};
	int kvm, vm, vcpu, run_size, rc;
	struct kvm_run *run;
	uint8_t *mem;

	kvm = open(device, O_RDWR | O_CLOEXEC);
	if (kvm < 0)
		return fail(p, device, "open");
	if (ioctl(kvm, KVM_GET_API_VERSION, 0) != KVM_API_VERSION) {
		snprintf(p->reason, sizeof(p->reason), "%s is not the KVM interface", device);
		return false;
	}
	vm = ioctl(kvm, KVM_CREATE_VM, 0);
	if (vm < 0)
		return fail(p, device, "KVM_CREATE_VM");
	mem = mmap(NULL, MEM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (mem == MAP_FAILED)
		return fail(p, device, "mmap");
	*(uint64_t *)(mem + PML4) = PDPT | 3;
	*(uint64_t *)(mem + PDPT) = PD | 3;
	*(uint64_t *)(mem + PD) = 0x83; /* present, writable, 2 MiB */
	memcpy(mem + CODE, code, sizeof(code));
	region.userspace_addr = (uint64_t)(uintptr_t)mem;
	if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) < 0)
		return fail(p, device, "KVM_SET_USER_MEMORY_REGION");
	vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
	run_size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (vcpu < 0 || run_size < (int)sizeof(*run))
		return fail(p, device, "KVM_CREATE_VCPU");
	run = mmap(NULL, (size_t)run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	if (run == MAP_FAILED)
		return fail(p, device, "mmap of the virtual CPU");
	if (!set_cpuid(kvm, vcpu))
		return fail(p, device, "KVM_SET_CPUID2");
	if (!set_long_mode(vcpu))
		return fail(p, device, "no 64-bit mode");
	do
		rc = ioctl(vcpu, KVM_RUN, 0);
	while (rc < 0 && errno == EINTR);
	if (rc < 0)
		return fail(p, device, "KVM_RUN");
	if (run->exit_reason == KVM_EXIT_IO && run->io.direction == KVM_EXIT_IO_OUT &&
	    run->io.port == OUT_PORT && run->io.size == 4 &&
	    *(uint32_t *)((uint8_t *)run + run->io.data_offset) == OUT_VALUE) {
		snprintf(p->reason, sizeof(p->reason), "%s runs 64-bit SSE code", device);
		return true;
	}
	snprintf(p->reason, sizeof(p->reason),
		 "%s cannot run the SSE code of stock kernels (%s, exit reason %u)", device,
		 run->exit_reason == KVM_EXIT_INTERNAL_ERROR ? "KVM internal error"
							     : "unexpected exit",
		 run->exit_reason);
	return false;
}

void kvm_probe(const char *device, struct kvm_probe *out)
{
	struct kvm_probe got = {0};
	int pipe_fd[2], status = 0;
	ssize_t n;
	pid_t pid;

	memset(out, 0, sizeof(*out));
	if (pipe2(pipe_fd, O_CLOEXEC) < 0 || (pid = fork()) < 0) {
		fail(out, device, "cannot start the probe");
		return;
	}
	if (pid == 0) {
		alarm(PROBE_SECONDS);
		got.usable = experiment(device, &got);
		n = write(pipe_fd[1], &got, sizeof(got));
		_exit(n == sizeof(got) ? 0 : 1);
	}
	close(pipe_fd[1]);
	do
		n = read(pipe_fd[0], &got, sizeof(got));
	while (n < 0 && errno == EINTR);
	close(pipe_fd[0]);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (n == sizeof(got) && got.reason[0]) {
		got.reason[sizeof(got.reason) - 1] = '\0';
		*out = got;
		return;
	}
	if (WIFSIGNALED(status))
		snprintf(out->reason, sizeof(out->reason),
			 "%s: the probe ended with signal %d (%s)", device, WTERMSIG(status),
			 strsignal(WTERMSIG(status)));
	else
		snprintf(out->reason, sizeof(out->reason), "%s: the probe gave no answer", device);
}
