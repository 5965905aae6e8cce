/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns a network's services: their state, their hosts, their process and their port. */
#define LOG_TAG "netsvc"
#include "host/netsvc.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "host/netsvc_internal.h"
#include "vswitch/ports/tap.h"

#define MAX_ENDS      5	    /* unexpected ends in ENDS_WINDOW, then it is left alone */
#define ENDS_WINDOW   60    /* s */
#define RETRY_MS      200   /* before the first restart, then twice as long each time */
#define FAILED_MS     30000 /* after it failed, then twice as long each time */
#define FAILED_STEPS  4	    /* ... so often */
#define FORGET_MS     2000  /* between two times that guests make us forget leases */
#define TIDY_MS	      200
#define LEASES_MAX    (2u << 20) /* bytes of its lease file that are read */
#define MAX_LINE      200	 /* of dnsmasq's output */
#define MAX_FILE_TEXT 512

struct netsvc {
	struct netsvc_conf conf; /* texts are ours, see below */
	char dir[PATH_MAX / 4], name[LAB_NAME_MAX + 1], port_name[40];
	struct netsvc_plan plan;
	char *wanted, *program; /* as configured; as found */
	char **argv;

	enum netsvc_state state;
	char reason[400];
	unsigned int restarts;	 /* ever */
	unsigned int refused;	 /* guests' requests for their own address, ever */
	unsigned int n_failed;	 /* since it last ran for a while */
	uint64_t running_ns;	 /* since when */
	uint64_t retry_ns;	 /* FAILED: when it is tried again; 0: never */
	uint64_t forgot_ns;	 /* last time that a guest made us forget leases */
	uint64_t ends[MAX_ENDS]; /* times of unexpected ends, now_ns(), the oldest overwritten */
	unsigned int n_ends;

	struct netsvc_child child;
	int leases; /* dnsmasq's lease file, in memory */
	struct event *on_sock, *on_log, *on_end, *timer, *tidy;
	struct tap *tap;
	bool attached;
	char line[MAX_LINE], said[MAX_LINE]; /* being read; the last whole one */
	size_t line_len;

	struct netsvc_entry *hosts;
	size_t n_hosts, room;
};

static const char *const state_names[] = {
	[NETSVC_STARTING] = "starting",
	[NETSVC_RUNNING] = "running",
	[NETSVC_WAITING] = "waiting",
	[NETSVC_FAILED] = "failed",
};
static_assert(ARRAY_SIZE(state_names) == NETSVC_N_STATES, "every state has a name");

const char *netsvc_state_name(enum netsvc_state s)
{
	return state_names[s];
}

/* NULL: it is not waiting to be tried again. */
static json_t *retry_json(const struct netsvc *ns)
{
	uint64_t now = now_ns();

	if (ns->state != NETSVC_FAILED || !ns->retry_ns)
		return NULL;
	return json_integer(ns->retry_ns > now ? (json_int_t)((ns->retry_ns - now) / NSEC_PER_MSEC)
					       : 0);
}

static void set_state(struct netsvc *ns, enum netsvc_state s, const char *reason)
{
	enum netsvc_state prev = ns->state;
	json_t *data;

	if (reason != ns->reason)
		snprintf(ns->reason, sizeof(ns->reason), "%s", reason ? reason : "");
	if (prev == s)
		return;
	ns->state = s;
	log_line(s == NETSVC_FAILED || s == NETSVC_WAITING ? LOG_WARN : LOG_INFO, LOG_TAG,
		 "%s: %s%s%s", ns->name, state_names[s], *ns->reason ? ": " : "", ns->reason);
	if (!ns->conf.event)
		return;
	data = json_pack("{s:s, s:s, s:s, s:s*, s:o*}", "network", ns->name, "state",
			 state_names[s], "previous", state_names[prev], "reason",
			 *ns->reason ? ns->reason : NULL, "retry_ms", retry_json(ns));
	ns->conf.event(ns->conf.arg, "NETSVC_STATE", data);
}

/* ---- files ---- */

static void host_name(const uint8_t m[6], char name[16])
{
	snprintf(name, 16, "%02x%02x%02x%02x%02x%02x", m[0], m[1], m[2], m[3], m[4], m[5]);
}

static int put_host(const struct netsvc *ns, const struct netsvc_entry *e)
{
	char text[MAX_FILE_TEXT], name[16];
	int rc = 0;

	if (e->mtu) {
		/* Before the line that uses the tag. It is true for ever, so it is never removed.
		 */
		snprintf(name, sizeof(name), "mtu%u", e->mtu);
		netsvc_mtu_line(e, text, sizeof(text));
		rc = netsvc_files_put(ns->dir, NETSVC_OPTS, name, text);
	}
	host_name(e->mac, name);
	netsvc_dhcp_line(e, text, sizeof(text));
	if (!rc)
		rc = netsvc_files_put(ns->dir, NETSVC_DHCP, name, text);
	netsvc_dns_lines(e, ns->plan.domain, text, sizeof(text));
	if (!rc)
		rc = netsvc_files_put(ns->dir, NETSVC_DNS, name, text);
	return rc;
}

static void remove_host(const struct netsvc *ns, const uint8_t mac[6])
{
	char name[16];

	host_name(mac, name);
	netsvc_files_put(ns->dir, NETSVC_DHCP, name, "");
	netsvc_files_put(ns->dir, NETSVC_DNS, name, "");
}

/* ---- the process ---- */

static void event_drop(struct event **ev)
{
	if (*ev)
		event_free(*ev);
	*ev = NULL;
}

static void drop_port(struct netsvc *ns)
{
	if (ns->attached)
		vsw_port_detach(tap_port(ns->tap));
	ns->attached = false;
	tap_free(ns->tap);
	ns->tap = NULL;
}

static void drop_child(struct netsvc *ns)
{
	event_drop(&ns->on_sock);
	event_drop(&ns->on_log);
	event_drop(&ns->on_end);
	fd_close(&ns->child.sock);
	fd_close(&ns->child.log);
	fd_close(&ns->child.pidfd);
	ns->child.pid = 0;
	drop_port(ns);
}

static void kill_child(struct netsvc *ns, int sig)
{
	if (ns->child.pid)
		pidfd_send_signal(ns->child.pidfd, sig, NULL, 0);
}

static struct timeval ms_to_tv(unsigned int ms)
{
	return (struct timeval){.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000};
}

/* Somebody may mend what is in the way: it is tried again, ever more seldom. */
static void fail_for_now(struct netsvc *ns, const char *reason)
{
	unsigned int ms = ns->conf.retry_ms ? ns->conf.retry_ms : FAILED_MS;
	struct timeval tv;

	ms <<= MIN(ns->n_failed, (unsigned int)FAILED_STEPS);
	ns->n_failed++;
	tv = ms_to_tv(ms);
	ns->retry_ns = evtimer_add(ns->timer, &tv) ? 0 : now_ns() + ms * NSEC_PER_MSEC;
	set_state(ns, NETSVC_FAILED, reason);
}

/* An end that a restart at once would not mend. on_end follows where there is a child. */
static void fail(struct netsvc *ns, const char *reason)
{
	kill_child(ns, SIGKILL);
	drop_port(ns);
	fail_for_now(ns, reason);
}

static void take_tap(struct netsvc *ns, int fd)
{
	char why[200];
	int rc;

	ns->tap = tap_new(ns->conf.worker, ns->port_name, fd, ns->plan.mac, 0);
	if (!ns->tap) {
		snprintf(why, sizeof(why), "the TAP: %s", strerror(errno));
		fail(ns, why);
		return;
	}
	rc = vsw_port_attach(ns->conf.port_net, tap_port(ns->tap));
	if (rc) {
		snprintf(why, sizeof(why), "the TAP's port: %s", strerror(-rc));
		fail(ns, why);
		return;
	}
	ns->attached = true;
}

/* Running: it was executed, and it speaks, which dnsmasq does first when it listens. */
static void check_running(struct netsvc *ns)
{
	if (ns->state != NETSVC_STARTING || !ns->attached || ns->child.sock >= 0 || !*ns->said)
		return;
	ns->running_ns = now_ns();
	set_state(ns, NETSVC_RUNNING, NULL);
}

/* False when there is nothing more to read for now. */
static bool read_sock(struct netsvc *ns)
{
	struct netsvc_report r;
	unsigned int n_fds = 1;
	char why[sizeof(ns->reason)];
	int fd = -1;
	ssize_t n;

	if (ns->child.sock < 0)
		return false;
	n = fd_recv(ns->child.sock, &r, sizeof(r), &fd, &n_fds, MSG_DONTWAIT);
	if (n == -EAGAIN)
		return false;
	if (n != (ssize_t)sizeof(r)) {
		fd_close(&fd);
		event_drop(&ns->on_sock);
		fd_close(&ns->child.sock);
		/* Closed by exec() or by death; the latter is on_end's. */
		check_running(ns);
		return false;
	}
	if (r.stage == 0 && fd >= 0 && !ns->tap && ns->state == NETSVC_STARTING) {
		take_tap(ns, fd);
		return true;
	}
	fd_close(&fd);
	if (r.stage != 0 && ns->state == NETSVC_STARTING) {
		netsvc_explain(&r, ns->program, why, sizeof(why));
		fail(ns, why);
	}
	return true;
}

static void on_sock(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	while (read_sock(arg))
		;
}

/* ---- leases ---- */

static bool is_pools(const struct netsvc_plan *p, const struct in_addr *a)
{
	return p->pool4 && ntohl(a->s_addr) >= p->first4 && ntohl(a->s_addr) <= p->last4;
}

/* Does @l keep an address from the NIC whose it is, or from one that may come? */
static bool is_stray(const struct netsvc *ns, const struct netsvc_lease *l)
{
	char ip[INET6_ADDRSTRLEN];

	inet_ntop(l->family, l->family == AF_INET ? (void *)&l->ip4 : (void *)&l->ip6, ip,
		  sizeof(ip));
	for (size_t i = 0; i < ns->n_hosts; i++) {
		const struct netsvc_entry *e = &ns->hosts[i];

		if (l->family == AF_INET6 && !strcmp(e->ip6, ip))
			return false;
		if (l->family == AF_INET && !strcmp(e->ip4, ip))
			return l->hw_len != 6 || memcmp(l->hw, e->mac, 6) != 0;
	}
	return l->family == AF_INET6 || !is_pools(&ns->plan, &l->ip4);
}

enum which { STRAYS, ALL6_TOO };

/* Make dnsmasq forget leases: those in somebody's way and that of @ip6, or all of DHCPv6. */
static void forget(struct netsvc *ns, enum which which, const char *ip6)
{
	uint8_t frame[NETSVC_FRAME_MAX];
	struct netsvc_lease l;
	char *text, *line, *save = NULL, ip[INET6_ADDRSTRLEN];
	size_t size;
	ssize_t n;
	int rc;

	if (ns->leases < 0 || !ns->tap)
		return;
	text = malloc(LEASES_MAX);
	if (!text)
		return;
	n = pread(ns->leases, text, LEASES_MAX - 1, 0);
	text[n > 0 ? n : 0] = '\0';
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if (netsvc_lease_parse(line, &l))
			continue;
		if (!is_stray(ns, &l) &&
		    (l.family == AF_INET ||
		     (which != ALL6_TOO &&
		      strcmp(inet_ntop(AF_INET6, &l.ip6, ip, sizeof(ip)), ip6) != 0)))
			continue;
		size = netsvc_release_frame(&ns->plan, &l, frame);
		rc = size ? tap_inject(ns->tap, frame, size) : 0;
		if (rc)
			log_warn("%s: a lease stays: %s", ns->name, strerror(-rc));
	}
	free(text);
}

/* dnsmasq answers first and writes then: what it was about to write is found a little later. */
static void on_tidy(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	forget(arg, STRAYS, "");
}

static void hosts_changed(struct netsvc *ns, const char *ip6)
{
	const struct timeval later = {.tv_usec = TIDY_MS * 1000};

	forget(ns, STRAYS, ip6);
	evtimer_add(ns->tidy, &later);
}

/*
 * A guest was refused its own address, since it is leased to another client. By DHCPv6 that is the
 * guest itself before its client was started again with new identifiers: strangers are not
 * answered at all. The line does not say which guest; the others' leases are infinite, so nobody
 * misses one, and who asks again gets it again.
 */
static void look_for_refusal(struct netsvc *ns)
{
	uint64_t now = now_ns();

	if (!strstr(ns->said, "not using configured address ") &&
	    !strstr(ns->said, "no addresses available"))
		return;
	ns->refused++;
	if (ns->forgot_ns && now - ns->forgot_ns < FORGET_MS * NSEC_PER_MSEC)
		return;
	ns->forgot_ns = now;
	log_info("%s: %s", ns->name, ns->said);
	forget(ns, ALL6_TOO, "");
}

/* dnsmasq's lines; what it said last is the reason when it ends. */
static void read_log(struct netsvc *ns)
{
	char buf[1024];
	ssize_t n;

	while ((n = read(ns->child.log, buf, sizeof(buf))) > 0) {
		for (ssize_t i = 0; i < n; i++) {
			if (buf[i] != '\n') {
				if (ns->line_len < sizeof(ns->line) - 1)
					ns->line[ns->line_len++] =
						(char)(buf[i] >= ' ' && buf[i] < 0x7f ? buf[i]
										      : '?');
				continue;
			}
			ns->line[ns->line_len] = '\0';
			if (ns->line_len)
				memcpy(ns->said, ns->line, ns->line_len + 1);
			ns->line_len = 0;
			log_debug("%s: %s", ns->name, ns->said);
			look_for_refusal(ns);
		}
	}
	if (n == 0)
		event_drop(&ns->on_log);
}

static void on_log(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	read_log(arg);
	check_running(arg);
}

static void start(struct netsvc *ns);

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct netsvc *ns = arg;
	const struct timeval soon = {.tv_usec = 100000};

	(void)fd;
	(void)what;
	/* After a failure: the child that was killed is still dying. */
	if (ns->child.pid) {
		evtimer_add(ns->timer, &soon);
		return;
	}
	if (ns->state == NETSVC_FAILED)
		ns->restarts++;
	start(ns);
}

/* It ended without our wish: again, unless that happens all the time. */
static void start_later(struct netsvc *ns, const char *reason)
{
	char why[sizeof(ns->reason)];
	unsigned int ms = RETRY_MS;
	struct timeval tv;
	uint64_t now = now_ns(), oldest = ns->ends[ns->n_ends % MAX_ENDS];

	ns->ends[ns->n_ends++ % MAX_ENDS] = now;
	if (oldest && now - oldest < ENDS_WINDOW * NSEC_PER_SEC) {
		snprintf(why, sizeof(why), "%.300s (%d times in %d s)", reason, MAX_ENDS + 1,
			 ENDS_WINDOW);
		fail_for_now(ns, why);
		return;
	}
	for (unsigned int i = 0; i < MAX_ENDS; i++)
		if (ns->ends[i] != now && ns->ends[i] &&
		    now - ns->ends[i] < ENDS_WINDOW * NSEC_PER_SEC)
			ms *= 2;
	tv = ms_to_tv(ms);
	ns->restarts++;
	set_state(ns, NETSVC_WAITING, reason);
	if (evtimer_add(ns->timer, &tv))
		set_state(ns, NETSVC_FAILED, "out of memory");
}

static void on_end(evutil_socket_t fd, short what, void *arg)
{
	struct netsvc *ns = arg;
	char why[sizeof(ns->reason)];
	const char *said;
	siginfo_t si = {0};

	(void)what;
	if (waitid(P_PIDFD, (id_t)fd, &si, WEXITED | WNOHANG) < 0 || !si.si_pid)
		return;
	/* What it said before it died counts. */
	while (read_sock(ns))
		;
	if (ns->on_log)
		read_log(ns);
	drop_child(ns);
	if (ns->state == NETSVC_FAILED)
		return;
	if (ns->state == NETSVC_RUNNING && now_ns() - ns->running_ns > ENDS_WINDOW * NSEC_PER_SEC)
		ns->n_failed = 0;
	/* "dnsmasq: ..." and "dnsmasq[pid]: ..." */
	said = strstr(ns->said, ": ");
	said = said ? said + 2 : ns->said;
	if (si.si_code == CLD_EXITED)
		snprintf(why, sizeof(why), "dnsmasq ended with status %d%s%s", si.si_status,
			 *said ? ": " : "", said);
	else
		snprintf(why, sizeof(why), "dnsmasq was ended by signal %d (%s)", si.si_status,
			 strsignal(si.si_status));
	start_later(ns, why);
}

static struct event *watch(struct netsvc *ns, int fd, event_callback_fn fn)
{
	struct event *ev = event_new(ns->conf.base, fd, EV_READ | EV_PERSIST, fn, ns);

	if (ev && event_add(ev, NULL)) {
		event_free(ev);
		ev = NULL;
	}
	return ev;
}

/* And makes its command line. False: it is not here. */
static bool look_for_program(struct netsvc *ns)
{
	char *found = netsvc_find_program(ns->wanted), **argv;

	if (!found)
		return false;
	argv = netsvc_args(&ns->plan, found);
	if (!argv) {
		free(found);
		return false;
	}
	ns->program = found;
	ns->argv = argv;
	return true;
}

static void start(struct netsvc *ns)
{
	char why[100];
	int rc;

	ns->said[0] = '\0';
	ns->line_len = 0;
	if (!ns->program && !look_for_program(ns)) {
		fail_for_now(ns, "dnsmasq is not here: install the package dnsmasq-base");
		return;
	}
	set_state(ns, NETSVC_STARTING, NULL);
	/* Nothing is leased when it starts. */
	fd_close(&ns->leases);
	ns->leases = memfd_create("dnsmasq-leases", MFD_CLOEXEC);
	rc = ns->leases < 0 ? -errno
			    : netsvc_spawn(&ns->plan, ns->dir, ns->argv, ns->leases, &ns->child);
	if (rc) {
		snprintf(why, sizeof(why), "no process: %s", strerror(-rc));
		start_later(ns, why);
		return;
	}
	ns->on_end = watch(ns, ns->child.pidfd, on_end);
	ns->on_sock = watch(ns, ns->child.sock, on_sock);
	ns->on_log = watch(ns, ns->child.log, on_log);
	if (ns->on_end && ns->on_sock && ns->on_log)
		return;
	kill_child(ns, SIGKILL);
	waitpid(ns->child.pid, NULL, 0);
	drop_child(ns);
	set_state(ns, NETSVC_FAILED, "out of memory");
}

/* dnsmasq takes new files by itself, but only this makes it forget what is gone. */
static void reread(struct netsvc *ns)
{
	if (ns->state == NETSVC_RUNNING)
		kill_child(ns, SIGHUP);
}

/* ---- hosts ---- */

static struct netsvc_entry *find_host(struct netsvc *ns, const uint8_t mac[6])
{
	for (size_t i = 0; i < ns->n_hosts; i++)
		if (!memcmp(ns->hosts[i].mac, mac, 6))
			return &ns->hosts[i];
	return NULL;
}

static bool same_ip(const char *a, const char *b)
{
	return *a && !strcmp(a, b);
}

/* Is an address of @e in use by another host, or by us? */
static bool host_clashes(const struct netsvc *ns, const struct netsvc_entry *e)
{
	struct in_addr ip4;
	struct in6_addr ip6;

	for (size_t i = 0; i < ns->n_hosts; i++)
		if (same_ip(e->ip4, ns->hosts[i].ip4) || same_ip(e->ip6, ns->hosts[i].ip6) ||
		    !memcmp(e->mac, ns->hosts[i].mac, 6))
			return true;
	return (ns->plan.has4 && inet_pton(AF_INET, e->ip4, &ip4) == 1 &&
		ip4.s_addr == ns->plan.ip4.s_addr) ||
	       (ns->plan.has6 && inet_pton(AF_INET6, e->ip6, &ip6) == 1 &&
		!memcmp(&ip6, &ns->plan.ip6, sizeof(ip6)));
}

static int add_host(struct netsvc *ns, const struct netsvc_host *host)
{
	struct netsvc_entry e, *more;
	int rc = netsvc_entry_set(&e, host);

	if (rc)
		return rc;
	if (e.mtu == ns->plan.mtu)
		e.mtu = 0;
	e.router = same_ip(e.ip4, ns->plan.gateway4);
	if (host_clashes(ns, &e))
		return -EEXIST;
	if (ns->n_hosts == ns->room) {
		size_t room = ns->room ? 2 * ns->room : 16;

		more = realloc(ns->hosts, room * sizeof(*more));
		if (!more)
			return -ENOMEM;
		ns->hosts = more;
		ns->room = room;
	}
	e.first = true;
	for (size_t i = 0; i < ns->n_hosts; i++)
		if (!strcmp(ns->hosts[i].vm, e.vm))
			e.first = false;
	rc = put_host(ns, &e);
	if (rc) {
		remove_host(ns, e.mac);
		return rc;
	}
	ns->hosts[ns->n_hosts++] = e;
	return 0;
}

int netsvc_host_add(struct netsvc *ns, const struct netsvc_host *host)
{
	int rc = add_host(ns, host);

	/* A stranger may have its address, of the pool. */
	if (!rc)
		hosts_changed(ns, ns->hosts[ns->n_hosts - 1].ip6);
	return rc;
}

int netsvc_host_del(struct netsvc *ns, const uint8_t mac[6])
{
	struct netsvc_entry *e = find_host(ns, mac), gone;
	int rc = 0;

	if (!e)
		return -ENOENT;
	gone = *e;
	memmove(e, e + 1, (size_t)(ns->hosts + ns->n_hosts - (e + 1)) * sizeof(*e));
	ns->n_hosts--;
	remove_host(ns, mac);
	for (size_t i = 0; gone.first && i < ns->n_hosts; i++) {
		if (strcmp(ns->hosts[i].vm, gone.vm) != 0)
			continue;
		/* The VM's own name goes on to its next NIC. */
		ns->hosts[i].first = true;
		rc = put_host(ns, &ns->hosts[i]);
		break;
	}
	hosts_changed(ns, gone.ip6);
	reread(ns);
	return rc;
}

/* ---- making and ending ---- */

static int add_lab_hosts(struct netsvc *ns)
{
	const struct lab *lab = ns->conf.lab;
	int rc = 0;

	for (unsigned int v = 0; !rc && v < lab->n_all; v++)
		for (unsigned int i = 0; !rc && i < lab->vms[v].n_nics; i++) {
			const struct lab_nic *nic = &lab->vms[v].nics[i];
			struct netsvc_host host = {.ip4 = nic->ip4,
						   .ip6 = nic->ip6,
						   .mtu = nic->mtu,
						   .vm = lab->vms[v].name,
						   .nic = nic->name,
						   .elsewhere = v >= lab->n_vms};

			memcpy(host.mac, nic->mac, sizeof(host.mac));
			if (nic->net == ns->conf.net)
				rc = add_host(ns, &host);
		}
	return rc;
}

/* What no later try would mend. */
static bool can_start(struct netsvc *ns, int plan_rc)
{
	if (plan_rc == -EDESTADDRREQ)
		set_state(ns, NETSVC_FAILED, "the network has no subnet: write dhcp: off");
	else if (plan_rc)
		set_state(ns, NETSVC_FAILED,
			  "no address is left for the service: use a larger subnet");
	return !plan_rc;
}

struct netsvc *netsvc_start(const struct netsvc_conf *conf)
{
	const struct lab_net *net = &conf->lab->nets[conf->net];
	struct netsvc *ns = calloc(1, sizeof(*ns));
	int rc, plan_rc;

	if (!ns)
		return NULL;
	ns->conf = *conf;
	ns->state = NETSVC_STARTING;
	ns->child = (struct netsvc_child){.pidfd = -1, .sock = -1, .log = -1};
	ns->leases = -1;
	snprintf(ns->name, sizeof(ns->name), "%s", net->name);
	snprintf(ns->port_name, sizeof(ns->port_name), "%s/services", net->name);
	plan_rc = netsvc_plan(conf->lab, conf->net, &ns->plan);
	ns->wanted = conf->dnsmasq ? strdup(conf->dnsmasq) : NULL;
	ns->timer = evtimer_new(conf->base, on_timer, ns);
	ns->tidy = evtimer_new(conf->base, on_tidy, ns);
	if ((conf->dnsmasq && !ns->wanted) || !ns->timer || !ns->tidy) {
		netsvc_stop(ns);
		errno = ENOMEM;
		return NULL;
	}
	if (snprintf(ns->dir, sizeof(ns->dir), "%s", conf->dir) >= (int)sizeof(ns->dir)) {
		ns->dir[0] = '\0';
		netsvc_stop(ns);
		errno = ENAMETOOLONG;
		return NULL;
	}
	rc = netsvc_files_make(ns->dir);
	if (!rc)
		rc = add_lab_hosts(ns);
	if (rc) {
		snprintf(ns->reason, sizeof(ns->reason), "%.300s: %s", ns->dir, strerror(-rc));
		set_state(ns, NETSVC_FAILED, ns->reason);
	} else if (can_start(ns, plan_rc)) {
		start(ns);
	}
	return ns;
}

void netsvc_stop(struct netsvc *ns)
{
	if (!ns)
		return;
	ns->conf.event = NULL;
	event_drop(&ns->timer);
	event_drop(&ns->tidy);
	if (ns->child.pid) {
		kill_child(ns, SIGKILL);
		waitid(P_PIDFD, (id_t)ns->child.pidfd, &(siginfo_t){0}, WEXITED);
	}
	drop_child(ns);
	if (*ns->dir)
		netsvc_files_remove(ns->dir);
	fd_close(&ns->leases);
	netsvc_args_free(ns->argv);
	free(ns->program);
	free(ns->wanted);
	free(ns->hosts);
	free(ns);
}

enum netsvc_state netsvc_state(const struct netsvc *ns)
{
	return ns->state;
}

struct vsw_port *netsvc_port(struct netsvc *ns)
{
	return ns->attached ? tap_port(ns->tap) : NULL;
}

static json_t *text_or_null(const char *s)
{
	return *s ? json_string(s) : json_null();
}

json_t *netsvc_json(const struct netsvc *ns)
{
	char ip4[INET_ADDRSTRLEN] = "", ip6[INET6_ADDRSTRLEN] = "";
	json_t *retry;

	if (!ns)
		return json_pack("{s:s}", "state", "off");
	retry = retry_json(ns);
	if (ns->plan.has4)
		inet_ntop(AF_INET, &ns->plan.ip4, ip4, sizeof(ip4));
	if (ns->plan.has6)
		inet_ntop(AF_INET6, &ns->plan.ip6, ip6, sizeof(ip6));
	return json_pack("{s:s, s:o, s:o, s:o, s:s, s:o, s:i, s:o, s:i, s:i}", "state",
			 state_names[ns->state], "reason", text_or_null(ns->reason), "ip4",
			 text_or_null(ip4), "ip6", text_or_null(ip6), "domain", ns->plan.domain,
			 "pid", ns->child.pid ? json_integer(ns->child.pid) : json_null(),
			 "restarts", (int)ns->restarts, "retry_ms", retry ? retry : json_null(),
			 "hosts", (int)ns->n_hosts, "refused", (int)ns->refused);
}
