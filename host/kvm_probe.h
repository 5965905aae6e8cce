/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Does this machine's KVM run stock kernels? /dev/kvm may open and make VMs and still be unable
 * to: a paravirtual KVM emulates user code and stumbles over the first SSE instruction.
 */
#ifndef HVLAB_HOST_KVM_PROBE_H
#define HVLAB_HOST_KVM_PROBE_H

#include <stdbool.h>

#define KVM_PROBE_REASON 200

struct kvm_probe {
	bool usable;
	char reason[KVM_PROBE_REASON]; /* one sentence without full stop; never empty */
};

/*
 * Runs one virtual CPU in 64-bit mode through SSE code, in a child of its own that is ended
 * after five seconds. Blocks that long at worst, a few milliseconds as a rule. @device:
 * "/dev/kvm". Before other threads exist.
 */
void kvm_probe(const char *device, struct kvm_probe *out);

#endif
