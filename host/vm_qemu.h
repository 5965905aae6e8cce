/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One VM: a QEMU process of ours, its monitor, its guest's agent, and what became of it.
 *
 * QEMU is a child that dies with the daemon (PR_SET_PDEATHSIG). Monitor and agent come over
 * socket pairs that it inherits, so nobody else can speak to them and their end is noticed.
 * Control thread.
 */
#ifndef HVLAB_HOST_VM_QEMU_H
#define HVLAB_HOST_VM_QEMU_H

#include <event2/event.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "host/agent.h"
#include "host/qmp.h"
#include "host/vm_args.h"

/**
 * enum vm_state - What is known of the guest
 *
 * Every state but VM_DOWN, VM_EXITED and VM_FAILED has a QEMU process. Who moves it: vm_start()
 * to STARTING, everything else is moved by what QEMU and the guest do, see vm_qemu.c.
 */
enum vm_state {
	VM_DOWN,     /* never started */
	VM_STARTING, /* QEMU runs, its monitor has not answered. Allowed: vm_kill() */
	VM_RUNNING,  /* the guest runs; its agent has not answered since the last boot */
	VM_READY,    /* the agent has answered. Only here: vm_agent() */
	VM_PANICKED, /* the guest's kernel gave up; paused. Allowed: reset, kill */
	VM_EXITED,   /* QEMU ended as somebody wished: power-off, kill, lab-down */
	VM_FAILED,   /* QEMU ended, or never came up, and nobody wished it */
	VM_N_STATES
};
const char *vm_state_name(enum vm_state s);
static inline bool vm_state_is_down(enum vm_state s)
{
	return s == VM_DOWN || s == VM_PANICKED || s == VM_EXITED || s == VM_FAILED;
}

struct vm;

/* Callbacks must not free the VM. */
struct vm_ops {
	/* @prev differs from the state now. For the down states vm_reason() says why. */
	void (*state)(void *arg, struct vm *vm, enum vm_state prev);
	/* The guest starts anew; vm_boots() has counted it. */
	void (*reboot)(void *arg, struct vm *vm, bool by_guest);
	void (*agent_silent)(void *arg, struct vm *vm, bool silent, unsigned int ms);
	/* A QEMU process began or ended: time to write the list of them anew. */
	void (*process)(void *arg, struct vm *vm);
	/* QEMU is about to be started from @conf, whose NICs and command line may be changed. */
	void (*prepare)(void *arg, struct vm *vm, struct vm_conf *conf);
	/* Every event of the monitor, before the VM acts on it. */
	void (*qmp_event)(void *arg, struct vm *vm, const char *name, json_t *data);
};

/* Takes what @conf owns, also on failure. NULL with errno. */
struct vm *vm_new(struct event_base *base, struct vm_conf *conf, const struct vm_ops *ops,
		  void *arg);
/*
 * After a migration: @vm runs the guest that ran in @from, and takes over what is known of it.
 * From now on @ops and @arg hear of it.
 */
void vm_adopt(struct vm *vm, const struct vm *from, const struct vm_ops *ops, void *arg);
/* Whom to tell from now on. */
void vm_set_ops(struct vm *vm, const struct vm_ops *ops, void *arg);
/* No process may be left, see vm_kill(). NULL is fine. */
void vm_free(struct vm *vm);

/*
 * Start QEMU. 0; -EBUSY it runs; -errno. What goes wrong after exec() ends in VM_FAILED. The NICs'
 * servers must listen.
 */
int vm_start(struct vm *vm);
/*
 * SIGKILL. VM_EXITED follows with @why, unless there is no process. @then_start: start again
 * after that.
 */
void vm_kill(struct vm *vm, const char *why, bool then_start);
/* Ask QEMU to end; whoever wants certainty calls vm_kill() later. 0 or -ENOTCONN. */
int vm_quit(struct vm *vm, const char *why);
/* QEMU's system_reset; a paused (panicked) guest runs again. @fn as in qmp.h. */
int vm_reset(struct vm *vm, qmp_reply_fn fn, void *fn_arg);

/* qmp_send() to its monitor. -ENOTCONN while there is none, or before it is ready. */
int vm_qmp(struct vm *vm, const char *command, json_t *args, unsigned int timeout_ms,
	   qmp_reply_fn fn, void *fn_arg);

const struct vm_conf *vm_conf(const struct vm *vm);
enum vm_state vm_state(const struct vm *vm);
/* "" when there is nothing to say. Less than VM_REASON_SIZE bytes of UTF-8. */
#define VM_REASON_SIZE 560
const char *vm_reason(const struct vm *vm);
pid_t vm_pid(const struct vm *vm);	    /* 0: no process */
unsigned long long vm_pid_start(const struct vm *vm);
uint64_t vm_uptime_ms(const struct vm *vm);
unsigned int vm_boots(const struct vm *vm);
/* Exit status of the last QEMU; negative: signal; false: it runs or never ran. */
bool vm_exit_status(const struct vm *vm, int *status);
/* NULL unless VM_READY. */
struct agent *vm_agent(const struct vm *vm);
unsigned int vm_silent_ms(const struct vm *vm);
/* Keep the console's and QEMU's logs, which a guest can fill, within bounds. */
void vm_trim_logs(struct vm *vm);
/* Last lines of the console since the process started, and of QEMU's own output. */
json_t *vm_console_tail(const struct vm *vm, unsigned int n);
json_t *vm_qemu_tail(const struct vm *vm, unsigned int n);

#endif
