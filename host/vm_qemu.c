/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns one QEMU process and the state of the VM in it.
 *
 * Theory of operation. Four sources say what happens, in no fixed order: the monitor (events),
 * the agent (answers), the console's log (text), and the process descriptor (end). Each moves
 * the state as far as it alone can know:
 *
 *	monitor answers query-status		STARTING -> RUNNING
 *	agent synchronized			RUNNING -> READY
 *	RESET					READY, PANICKED -> RUNNING
 *	GUEST_PANICKED				any -> PANICKED
 *	guest resets itself and its console	any -> PANICKED: a kernel without the pvpanic
 *	says that its kernel panicked		driver reboots, for ever, if nobody looks
 *	process ends				any -> EXITED or FAILED
 *
 * Monitor and agent are freed when the process has ended and the monitor was read to its end (its
 * last event may say why). A process that stays after its monitor closed is killed. QEMU's exit
 * status alone decides nothing: a panic ends it with 0 as a power-off does. What decides is
 * whether somebody wished it (vm_kill(), vm_quit(), the guest's own power-off in SHUTDOWN).
 */
#define LOG_TAG "vm"
#include "host/vm_qemu.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "host/tail.h"

#define QMP_TIMEOUT    10000 /* ms; longer than vfio-user's x-msg-timeout times its retries */
#define START_TIMEOUT  30    /* s until the monitor must have answered */
#define CLOSED_TIMEOUT 2     /* s between the monitor's end and the process's */
#define PANIC_TEXT     "Kernel panic - not syncing"
#define LOG_MAX	       (32 << 20) /* bytes of a log, then cut to LOG_KEEP */
#define LOG_KEEP       (1u << 20)
#define QEMU_LINES     20 /* of its output, to find a reason in */
#define CHILD_FD_BASE  10

struct vm {
	struct vm_conf conf;
	struct event_base *base;
	const struct vm_ops *ops;
	void *arg;

	enum vm_state state;
	char reason[VM_REASON_SIZE];
	bool wished;	  /* the end is somebody's wish */
	bool powered_off; /* SHUTDOWN by the guest */
	bool then_start;
	char why[100]; /* of the wish */

	pid_t pid; /* 0: no process */
	unsigned long long pid_start;
	int pidfd;
	struct event *ended, *watchdog, *finish;
	bool has_ended, qmp_closed;
	siginfo_t end;
	struct qmp *qmp;
	struct agent *agent;
	uint64_t start_ns;
	unsigned int boots;
	off_t boot_offset; /* in the console's log, where this boot begins */
	off_t start_offset;
	bool has_status;
	int status;
};

static const char *const state_names[] = {
	[VM_DOWN] = "down",	[VM_STARTING] = "starting", [VM_RUNNING] = "running",
	[VM_READY] = "ready",	[VM_PANICKED] = "panicked", [VM_EXITED] = "exited",
	[VM_FAILED] = "failed",
};
static_assert(ARRAY_SIZE(state_names) == VM_N_STATES, "every state has a name");

const char *vm_state_name(enum vm_state s)
{
	return state_names[s];
}

static void set_state(struct vm *vm, enum vm_state s, const char *reason)
{
	enum vm_state prev = vm->state;

	if (reason != vm->reason)
		snprintf(vm->reason, sizeof(vm->reason), "%s", reason ? reason : "");
	if (prev == s)
		return;
	vm->state = s;
	log_line(s == VM_FAILED || s == VM_PANICKED ? LOG_WARN : LOG_INFO, LOG_TAG, "%s: %s%s%s",
		 vm->conf.name, vm_state_name(s), *vm->reason ? ": " : "", vm->reason);
	vm->ops->state(vm->arg, vm, prev);
}

static void arm_watchdog(struct vm *vm, int seconds)
{
	struct timeval tv = {.tv_sec = seconds};

	evtimer_add(vm->watchdog, &tv);
}

/* ---- the child ---- */

/* Between fork() and exec(): only what is safe after a fork of a process with threads. */
static void child(char **argv, int qmp, int agent, int log, pid_t parent)
{
	sigset_t none;
	int null;

	umask(077);
	/* Out of the terminal's process group: Ctrl-C is for the daemon, which ends us in order. */
	setpgid(0, 0);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		_exit(126);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	qmp = fcntl(qmp, F_DUPFD, CHILD_FD_BASE);
	agent = fcntl(agent, F_DUPFD, CHILD_FD_BASE);
	log = fcntl(log, F_DUPFD, CHILD_FD_BASE);
	null = open("/dev/null", O_RDWR);
	if (dup2(null, 0) < 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0 || dup2(qmp, VM_FD_QMP) < 0 ||
	    dup2(agent, VM_FD_AGENT) < 0)
		_exit(126);
	/* dup2() of a descriptor to itself keeps close-on-exec: these are not, by F_DUPFD. */
	close_range(VM_FD_AGENT + 1, ~0u, 0);
	execv(argv[0], argv);
	dprintf(2, "%s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

static int spawn(struct vm *vm, int *qmp_fd, int *agent_fd)
{
	int qmp[2] = {-1, -1}, agent[2] = {-1, -1}, log = -1, rc = 0;
	char **argv = vm_args(&vm->conf);
	pid_t parent = getpid();

	if (!argv)
		return -ENOMEM;
	if (log_get_level() >= LOG_DEBUG)
		for (char **a = argv; *a; a++)
			log_debug("%s: argument %s", vm->conf.name, *a);
	log = open(vm->conf.qemu_log, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
	if (log < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, qmp) < 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, agent) < 0) {
		rc = -errno;
		goto out;
	}
	vm->pid = fork();
	if (vm->pid == 0)
		child(argv, qmp[1], agent[1], log, parent);
	if (vm->pid < 0) {
		rc = -errno;
		vm->pid = 0;
		goto out;
	}
	vm->pidfd = pidfd_open(vm->pid, 0);
	if (vm->pidfd < 0) {
		rc = -errno;
		kill(vm->pid, SIGKILL);
		waitpid(vm->pid, NULL, 0);
		vm->pid = 0;
		goto out;
	}
	vm->pid_start = runtime_proc_start(vm->pid);
	*qmp_fd = qmp[0];
	*agent_fd = agent[0];
	qmp[0] = agent[0] = -1;
out:
	fd_close_all(qmp, 2);
	fd_close_all(agent, 2);
	fd_close(&log);
	vm_args_free(argv);
	return rc;
}

/* ---- the end ---- */

/* Of a text that fills its buffer: "..." at the end, after a whole character of UTF-8. */
static void cut_text(char *s, size_t size)
{
	size_t n = size - sizeof("...");

	while (n && ((unsigned char)s[n] & 0xc0) == 0x80)
		n--;
	memcpy(s + n, "...", sizeof("..."));
}

/* The last line that QEMU printed and that is no mere warning: mostly it says why it ended. */
static void qemu_says(const struct vm *vm, char *out, size_t size)
{
	json_t *lines = vm_qemu_tail(vm, QEMU_LINES);

	out[0] = '\0';
	for (size_t i = json_array_size(lines); i-- > 0;) {
		const char *s = json_string_value(json_array_get(lines, i));

		if (s && *s && !strstr(s, "warning: ")) {
			if (snprintf(out, size, ": %s", s) >= (int)size)
				cut_text(out, size);
			break;
		}
	}
	json_decref(lines);
}

static void judge_end(struct vm *vm)
{
	const siginfo_t *si = &vm->end;
	bool by_signal = si->si_code == CLD_KILLED || si->si_code == CLD_DUMPED;
	char says[VM_REASON_SIZE - 80], reason[sizeof(vm->reason)];

	vm->has_status = true;
	vm->status = by_signal ? -si->si_status : si->si_status;
	if (vm->wished) {
		set_state(vm, VM_EXITED, vm->why);
		return;
	}
	if (vm->powered_off && !by_signal && si->si_status == 0) {
		set_state(vm, VM_EXITED, "the guest powered off");
		return;
	}
	qemu_says(vm, says, sizeof(says));
	if (by_signal)
		snprintf(reason, sizeof(reason), "QEMU was ended by signal %d (%s)%s",
			 si->si_status, strsignal(si->si_status), says);
	else
		snprintf(reason, sizeof(reason), "QEMU ended with status %d%s", si->si_status,
			 says);
	set_state(vm, VM_FAILED, reason);
}

static void drop_channels(struct vm *vm)
{
	if (vm->ended)
		event_free(vm->ended);
	vm->ended = NULL;
	agent_free(vm->agent);
	vm->agent = NULL;
	qmp_free(vm->qmp);
	vm->qmp = NULL;
}

/* Process and monitor have both ended: what QEMU said last has been read. */
static void on_finish(evutil_socket_t fd, short what, void *arg)
{
	struct vm *vm = arg;
	bool again = vm->then_start;
	int rc;

	(void)fd;
	(void)what;
	vm->then_start = false;
	evtimer_del(vm->watchdog);
	fd_close(&vm->pidfd);
	vm->pid = 0;
	vm->ops->process(vm->arg, vm);
	/* The state first: calls to the agent that fail now find out why. */
	judge_end(vm);
	drop_channels(vm);
	if (!again)
		return;
	rc = vm_start(vm);
	if (rc)
		log_err("%s: not started again: %s", vm->conf.name, strerror(-rc));
}

static void on_ended(evutil_socket_t fd, short what, void *arg)
{
	struct vm *vm = arg;

	(void)what;
	if (waitid(P_PIDFD, (id_t)fd, &vm->end, WEXITED | WNOHANG) < 0 || !vm->end.si_pid)
		return;
	event_del(vm->ended);
	vm->has_ended = true;
	if (vm->qmp_closed)
		event_active(vm->finish, EV_TIMEOUT, 1);
}

static void on_watchdog(evutil_socket_t fd, short what, void *arg)
{
	struct vm *vm = arg;

	(void)fd;
	(void)what;
	if (!vm->pid)
		return;
	log_warn("%s: QEMU (process %d) does not %s: killed", vm->conf.name, (int)vm->pid,
		 vm->state == VM_STARTING ? "come up" : "end");
	pidfd_send_signal(vm->pidfd, SIGKILL, NULL, 0);
}

void vm_kill(struct vm *vm, const char *why, bool then_start)
{
	if (!vm->pid)
		return;
	vm->wished = true;
	vm->then_start = then_start;
	snprintf(vm->why, sizeof(vm->why), "%s", why);
	pidfd_send_signal(vm->pidfd, SIGKILL, NULL, 0);
}

int vm_quit(struct vm *vm, const char *why)
{
	if (!vm->pid || !qmp_is_ready(vm->qmp))
		return -ENOTCONN;
	vm->wished = true;
	vm->then_start = false;
	snprintf(vm->why, sizeof(vm->why), "%s", why);
	return qmp_send(vm->qmp, "quit", NULL, QMP_TIMEOUT, NULL, NULL);
}

/* ---- monitor ---- */

static void panicked(struct vm *vm)
{
	char text[100] = "", reason[sizeof(vm->reason)];

	/* ": sysrq triggered crash", when the console says so. */
	tail_find(vm->conf.console_log, vm->boot_offset, PANIC_TEXT, text, sizeof(text));
	snprintf(reason, sizeof(reason), "the guest's kernel panicked%s", text);
	set_state(vm, VM_PANICKED, reason);
	agent_closed(vm->agent, "the guest's kernel panicked");
}

static void on_reset(struct vm *vm, json_t *data)
{
	const char *reason = json_string_value(json_object_get(data, "reason"));
	bool by_guest = json_is_true(json_object_get(data, "guest"));
	off_t printed = tail_size(vm->conf.console_log);
	char text[4];

	if (by_guest && vm->state != VM_PANICKED &&
	    tail_find(vm->conf.console_log, vm->boot_offset, PANIC_TEXT, text, sizeof(text))) {
		qmp_send(vm->qmp, "stop", NULL, QMP_TIMEOUT, NULL, NULL);
		panicked(vm);
		return;
	}
	/*
	 * SeaBIOS answers a warm reset with a second one, to have a cold machine. Nothing was
	 * printed in between: that is one boot.
	 */
	if (by_guest && printed == vm->boot_offset)
		return;
	vm->boots++;
	vm->boot_offset = printed;
	log_info("%s: boot %u (%s)", vm->conf.name, vm->boots, reason ? reason : "?");
	vm->ops->reboot(vm->arg, vm, by_guest);
	if (vm->state == VM_READY || vm->state == VM_PANICKED)
		set_state(vm, VM_RUNNING, "");
	agent_closed(vm->agent, "the guest was reset");
}

static void on_qmp_event(void *arg, const char *name, json_t *data)
{
	struct vm *vm = arg;
	const char *id;

	log_debug("%s: QMP event %s", vm->conf.name, name);
	vm->ops->qmp_event(vm->arg, vm, name, data);
	if (!strcmp(name, "VSERPORT_CHANGE")) {
		id = json_string_value(json_object_get(data, "id"));
		if (!id || strcmp(id, VM_AGENT_PORT))
			return;
		if (json_is_true(json_object_get(data, "open")))
			agent_opened(vm->agent);
		else
			agent_closed(vm->agent, "the guest's agent ended");
	} else if (!strcmp(name, "RESET")) {
		on_reset(vm, data);
	} else if (!strcmp(name, "GUEST_PANICKED")) {
		panicked(vm);
	} else if (!strcmp(name, "SHUTDOWN")) {
		/*
		 * A panic may shut down too, with a reason of its own; QEMU also reports
		 * SIGTERM from outside and its own "quit" here, which are not the guest's.
		 */
		const char *reason = json_string_value(json_object_get(data, "reason"));

		vm->powered_off = reason && !strcmp(reason, "guest-shutdown");
	}
}

static void on_running(void *arg, int rc, json_t *ret, const char *desc)
{
	struct vm *vm = arg;

	(void)ret;
	if (rc == -ECANCELED || rc == -ECONNRESET)
		return;
	if (rc) {
		log_err("%s: query-status: %s", vm->conf.name, desc);
		return; /* the watchdog ends it */
	}
	evtimer_del(vm->watchdog);
	if (vm->state == VM_STARTING)
		set_state(vm, VM_RUNNING, "");
}

static void on_qmp_ready(void *arg, const char *version)
{
	struct vm *vm = arg;

	log_info("%s: QEMU %s, process %d", vm->conf.name, version, (int)vm->pid);
	qmp_send(vm->qmp, "query-status", NULL, 0, on_running, vm);
}

static void on_qmp_closed(void *arg, const char *why)
{
	struct vm *vm = arg;

	log_debug("%s: %s", vm->conf.name, why);
	vm->qmp_closed = true;
	if (vm->has_ended)
		event_active(vm->finish, EV_TIMEOUT, 1);
	else
		arm_watchdog(vm, CLOSED_TIMEOUT);
}

static const struct qmp_ops qmp_ops = {
	.ready = on_qmp_ready,
	.event = on_qmp_event,
	.closed = on_qmp_closed,
};

int vm_qmp(struct vm *vm, const char *command, json_t *args, unsigned int timeout_ms,
	   qmp_reply_fn fn, void *fn_arg)
{
	return qmp_send(vm->qmp, command, args, timeout_ms, fn, fn_arg);
}

struct reset {
	struct vm *vm;
	bool cont;
	qmp_reply_fn fn;
	void *arg;
};

static void on_reset_done(void *arg, int rc, json_t *ret, const char *desc)
{
	struct reset *r = arg;

	if (!rc && r->cont) {
		r->cont = false;
		if (qmp_send(r->vm->qmp, "cont", NULL, QMP_TIMEOUT, on_reset_done, r) == 0)
			return;
		rc = -ENOTCONN;
		desc = "QEMU ended";
	}
	r->fn(r->arg, rc, ret, desc);
	free(r);
}

int vm_reset(struct vm *vm, qmp_reply_fn fn, void *fn_arg)
{
	struct reset *r = calloc(1, sizeof(*r));
	int rc;

	if (!r)
		return -ENOMEM;
	*r = (struct reset){.vm = vm, .cont = vm->state == VM_PANICKED, .fn = fn, .arg = fn_arg};
	rc = qmp_send(vm->qmp, "system_reset", NULL, QMP_TIMEOUT, on_reset_done, r);
	if (rc)
		free(r);
	return rc;
}

/* ---- agent ---- */

static void on_agent_up(void *arg)
{
	struct vm *vm = arg;

	if (vm->state == VM_RUNNING || vm->state == VM_STARTING)
		set_state(vm, VM_READY, "");
}

static void on_agent_silent(void *arg, unsigned int ms)
{
	struct vm *vm = arg;

	log_warn("%s: the agent has not answered for %u ms", vm->conf.name, ms);
	vm->ops->agent_silent(vm->arg, vm, true, ms);
}

static void on_agent_back(void *arg, unsigned int ms)
{
	struct vm *vm = arg;

	log_info("%s: the agent answers again after %u ms", vm->conf.name, ms);
	vm->ops->agent_silent(vm->arg, vm, false, ms);
}

static const struct agent_ops agent_ops = {
	.up = on_agent_up,
	.silent = on_agent_silent,
	.back = on_agent_back,
};

/* ---- start, make, free ---- */

int vm_start(struct vm *vm)
{
	int qmp_fd = -1, agent_fd = -1, rc;

	if (vm->pid)
		return -EBUSY;
	vm->wished = vm->powered_off = vm->has_status = false;
	vm->has_ended = vm->qmp_closed = false;
	memset(&vm->end, 0, sizeof(vm->end));
	vm->start_offset = vm->boot_offset = tail_size(vm->conf.console_log);
	/* A socket of an earlier process would keep QEMU from making its own. */
	unlink(vm->conf.console_sock);
	vm->ops->prepare(vm->arg, vm, &vm->conf);
	rc = spawn(vm, &qmp_fd, &agent_fd);
	if (rc)
		return rc;
	vm->start_ns = now_ns();
	vm->boots = 1;
	vm->qmp = qmp_new(vm->base, qmp_fd, &qmp_ops, vm);
	vm->agent = agent_new(vm->base, agent_fd, &agent_ops, vm);
	vm->ended = event_new(vm->base, vm->pidfd, EV_READ | EV_PERSIST, on_ended, vm);
	if (!vm->qmp || !vm->agent || !vm->ended || event_add(vm->ended, NULL)) {
		pidfd_send_signal(vm->pidfd, SIGKILL, NULL, 0);
		waitid(P_PIDFD, (id_t)vm->pidfd, &vm->end, WEXITED);
		fd_close(&vm->pidfd);
		vm->pid = 0;
		drop_channels(vm);
		return -ENOMEM;
	}
	arm_watchdog(vm, START_TIMEOUT);
	vm->ops->process(vm->arg, vm);
	set_state(vm, VM_STARTING, "");
	return 0;
}

struct vm *vm_new(struct event_base *base, struct vm_conf *conf, const struct vm_ops *ops,
		  void *arg)
{
	struct vm *vm = calloc(1, sizeof(*vm));

	if (vm) {
		vm->watchdog = evtimer_new(base, on_watchdog, vm);
		vm->finish = evtimer_new(base, on_finish, vm);
	}
	if (!vm || !vm->watchdog || !vm->finish) {
		if (vm && vm->watchdog)
			event_free(vm->watchdog);
		free(vm);
		vm_conf_clear(conf);
		errno = ENOMEM;
		return NULL;
	}
	vm->conf = *conf;
	memset(conf, 0, sizeof(*conf));
	vm->base = base;
	vm->ops = ops;
	vm->arg = arg;
	vm->pidfd = -1;
	return vm;
}

void vm_set_ops(struct vm *vm, const struct vm_ops *ops, void *arg)
{
	vm->ops = ops;
	vm->arg = arg;
}

void vm_adopt(struct vm *vm, const struct vm *from, const struct vm_ops *ops, void *arg)
{
	vm_set_ops(vm, ops, arg);
	vm->conf.incoming = false; /* the next start boots */
	vm->boots = from->boots;
	vm->start_ns = from->start_ns;
	vm->boot_offset = from->boot_offset;
	vm->start_offset = from->start_offset;
}

void vm_free(struct vm *vm)
{
	if (!vm)
		return;
	assert(!vm->pid);
	event_free(vm->watchdog);
	event_free(vm->finish);
	vm_conf_clear(&vm->conf);
	free(vm);
}

/* ---- looking ---- */

const struct vm_conf *vm_conf(const struct vm *vm)
{
	return &vm->conf;
}

enum vm_state vm_state(const struct vm *vm)
{
	return vm->state;
}

const char *vm_reason(const struct vm *vm)
{
	return vm->reason;
}

pid_t vm_pid(const struct vm *vm)
{
	return vm->pid;
}

unsigned long long vm_pid_start(const struct vm *vm)
{
	return vm->pid_start;
}

uint64_t vm_uptime_ms(const struct vm *vm)
{
	return vm->pid ? (now_ns() - vm->start_ns) / NSEC_PER_MSEC : 0;
}

unsigned int vm_boots(const struct vm *vm)
{
	return vm->boots;
}

bool vm_exit_status(const struct vm *vm, int *status)
{
	*status = vm->status;
	return vm->has_status;
}

struct agent *vm_agent(const struct vm *vm)
{
	return vm->state == VM_READY && agent_is_up(vm->agent) ? vm->agent : NULL;
}

unsigned int vm_silent_ms(const struct vm *vm)
{
	return agent_silent_ms(vm->agent);
}

json_t *vm_console_tail(const struct vm *vm, unsigned int n)
{
	return tail_lines(vm->conf.console_log, vm->start_offset, n);
}

json_t *vm_qemu_tail(const struct vm *vm, unsigned int n)
{
	return tail_lines(vm->conf.qemu_log, 0, n);
}

void vm_trim_logs(struct vm *vm)
{
	if (tail_trim(vm->conf.console_log, LOG_MAX, LOG_KEEP)) {
		vm->start_offset = vm->boot_offset = 0;
		log_info("%s: the console's log was cut to its last %u bytes", vm->conf.name,
			 LOG_KEEP);
	}
	tail_trim(vm->conf.qemu_log, LOG_MAX, LOG_KEEP);
}
