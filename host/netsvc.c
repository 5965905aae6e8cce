/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns a network's services: their state, their hosts, their process and their port. */
#define LOG_TAG "netsvc"
#include "host/netsvc.h"

#include <arpa/inet.h>
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "host/netsvc_internal.h"
#include "vswitch/ports/tap.h"

#define MAX_ENDS      5	   /* unexpected ends in ENDS_WINDOW, then it is left alone */
#define ENDS_WINDOW   60   /* s */
#define RETRY_MS      200  /* before the first restart, then twice as long each time */
#define MAX_FORMER    256  /* addresses of NICs that are gone; more: forget all by a restart */
#define FORGET_MS     2000 /* between restarts that a guest brings about */
#define MAX_LINE      200  /* of dnsmasq's output */
#define MAX_FILE_TEXT 512

/* An address that a NIC had, which dnsmasq believes to be leased to it for ever. */
struct former {
	uint8_t mac[6];
	char ip4[INET_ADDRSTRLEN], ip6[INET6_ADDRSTRLEN];
};

struct netsvc {
	struct netsvc_conf conf; /* texts are ours, see below */
	char dir[PATH_MAX / 4], name[LAB_NAME_MAX + 1], port_name[40];
	struct netsvc_plan plan;
	char *program;
	char **argv;

	enum netsvc_state state;
	char reason[400];
	unsigned int restarts;	 /* ever */
	uint64_t forgot_ns;	 /* last planned restart */
	bool planned;		 /* its end is our wish, to start anew */
	uint64_t ends[MAX_ENDS]; /* times of unexpected ends, now_ns(), the oldest overwritten */
	unsigned int n_ends;

	struct netsvc_child child;
	struct event *on_sock, *on_log, *on_end, *timer;
	struct tap *tap;
	bool attached;
	char line[MAX_LINE], said[MAX_LINE]; /* being read; the last whole one */
	size_t line_len;

	struct netsvc_entry *hosts;
	size_t n_hosts, room;
	struct former *former;
	size_t n_former;
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
	data = json_pack("{s:s, s:s, s:s, s:s*}", "network", ns->name, "state", state_names[s],
			 "previous", state_names[prev], "reason", *ns->reason ? ns->reason : NULL);
	ns->conf.event(ns->conf.arg, "NETSVC_STATE", data);
}

/* ---- files ---- */

static const char *const folders[] = {"dhcp", "dns"};

static void host_path(const struct netsvc *ns, const char *folder, const uint8_t m[6], char *out,
		      size_t size)
{
	snprintf(out, size, "%s/%s/%02x%02x%02x%02x%02x%02x", ns->dir, folder, m[0], m[1], m[2],
		 m[3], m[4], m[5]);
}

/* The file appears whole or not at all; without text it goes. */
static int put_file(const struct netsvc *ns, const char *folder, const uint8_t mac[6],
		    const char *text)
{
	char path[PATH_MAX / 2], fresh[PATH_MAX / 2];
	size_t size = strlen(text);
	int fd, rc = 0;

	host_path(ns, folder, mac, path, sizeof(path));
	if (!size)
		return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
	snprintf(fresh, sizeof(fresh), "%s/new", ns->dir);
	fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0)
		return -errno;
	/* Whatever the daemon's umask: nobody must be able to read it. */
	if (fchmod(fd, 0644) < 0 || write(fd, text, size) != (ssize_t)size)
		rc = errno ? -errno : -EIO;
	fd_close(&fd);
	if (!rc && rename(fresh, path) < 0)
		rc = -errno;
	if (rc)
		unlink(fresh);
	return rc;
}

static int put_host(const struct netsvc *ns, const struct netsvc_entry *e)
{
	char text[MAX_FILE_TEXT];
	int rc;

	netsvc_dhcp_line(e, text, sizeof(text));
	rc = put_file(ns, "dhcp", e->mac, text);
	if (rc)
		return rc;
	netsvc_dns_lines(e, ns->plan.domain, text, sizeof(text));
	return put_file(ns, "dns", e->mac, text);
}

static void empty_folder(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *de;

	while (d && (de = readdir(d)))
		if (strcmp(de->d_name, ".") != 0 && strcmp(de->d_name, "..") != 0)
			unlinkat(dirfd(d), de->d_name, 0);
	if (d)
		closedir(d);
}

static void remove_files(const struct netsvc *ns)
{
	char path[PATH_MAX / 2];

	for (unsigned int i = 0; i < ARRAY_SIZE(folders); i++) {
		snprintf(path, sizeof(path), "%s/%s", ns->dir, folders[i]);
		empty_folder(path);
		rmdir(path);
	}
	empty_folder(ns->dir);
	rmdir(ns->dir);
}

static int make_folder(const char *path)
{
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return -errno;
	return chmod(path, 0755) < 0 ? -errno : 0;
}

/* The folder above is nobody's business but the daemon's; it may be missing. */
static int make_files(const struct netsvc *ns)
{
	char path[PATH_MAX / 2], *slash;
	int rc;

	snprintf(path, sizeof(path), "%s", ns->dir);
	slash = strrchr(path, '/');
	if (slash && slash != path) {
		*slash = '\0';
		if (mkdir(path, 0700) < 0 && errno != EEXIST)
			return -errno;
	}
	remove_files(ns);
	rc = make_folder(ns->dir);
	for (unsigned int i = 0; !rc && i < ARRAY_SIZE(folders); i++) {
		snprintf(path, sizeof(path), "%s/%s", ns->dir, folders[i]);
		rc = make_folder(path);
	}
	return rc;
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

/* An end that no restart can mend. on_end follows where there is a child. */
static void fail(struct netsvc *ns, const char *reason)
{
	kill_child(ns, SIGKILL);
	drop_port(ns);
	set_state(ns, NETSVC_FAILED, reason);
}

static void take_tap(struct netsvc *ns, int fd)
{
	char why[200];
	int rc;

	ns->tap = tap_new(ns->conf.worker, ns->port_name, fd, ns->plan.mac);
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
	if (ns->state == NETSVC_STARTING && ns->attached && ns->child.sock < 0 && *ns->said)
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

static void restart(struct netsvc *ns, const char *why);

/*
 * DHCPv6 leases belong to client identifier and IAID. A guest's NIC that asks with new ones, after
 * a reboot or with another client, is refused its own address for as long as the old lease lasts,
 * and ours last for ever. Strangers are not answered at all, so who is refused is a guest.
 */
static void look_for_refusal(struct netsvc *ns)
{
	uint64_t now = now_ns();

	if (ns->state != NETSVC_RUNNING || ns->planned ||
	    !strstr(ns->said, "no addresses available"))
		return;
	if (ns->forgot_ns && now - ns->forgot_ns < FORGET_MS * NSEC_PER_MSEC)
		return;
	restart(ns, "a guest is another DHCPv6 client than before");
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
	(void)fd;
	(void)what;
	start(arg);
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
		set_state(ns, NETSVC_FAILED, why);
		return;
	}
	for (unsigned int i = 0; i < MAX_ENDS; i++)
		if (ns->ends[i] != now && ns->ends[i] &&
		    now - ns->ends[i] < ENDS_WINDOW * NSEC_PER_SEC)
			ms *= 2;
	tv = (struct timeval){.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000};
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
	if (ns->planned) {
		ns->planned = false;
		start(ns);
		return;
	}
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

static void start(struct netsvc *ns)
{
	char why[100];
	int rc;

	ns->said[0] = '\0';
	ns->line_len = 0;
	ns->n_former = 0; /* its leases are in its memory only */
	set_state(ns, NETSVC_STARTING, NULL);
	rc = netsvc_spawn(&ns->plan, ns->dir, ns->argv, &ns->child);
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

/* Forget all leases. Clients keep theirs: an authoritative server confirms what they ask for. */
static void restart(struct netsvc *ns, const char *why)
{
	ns->n_former = 0;
	ns->forgot_ns = now_ns();
	if (ns->state != NETSVC_RUNNING && ns->state != NETSVC_STARTING)
		return;
	log_info("%s: starting again: %s", ns->name, why);
	ns->planned = true;
	kill_child(ns, SIGKILL);
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

/* May dnsmasq believe that an address of @e is leased to another client? */
static bool may_be_leased(const struct netsvc *ns, const struct netsvc_entry *e)
{
	struct in_addr ip4;

	for (size_t i = 0; i < ns->n_former; i++)
		/* The same NIC again is the same client by DHCPv4, but not always by DHCPv6. */
		if (same_ip(e->ip6, ns->former[i].ip6) ||
		    (same_ip(e->ip4, ns->former[i].ip4) &&
		     memcmp(e->mac, ns->former[i].mac, 6) != 0))
			return true;
	return ns->plan.pool4 && inet_pton(AF_INET, e->ip4, &ip4) == 1 &&
	       ntohl(ip4.s_addr) >= ns->plan.first4 && ntohl(ip4.s_addr) <= ns->plan.last4;
}

static int add_host(struct netsvc *ns, const struct netsvc_host *host)
{
	struct netsvc_entry e, *more;
	int rc = netsvc_entry_set(&e, host);

	if (rc)
		return rc;
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
		put_file(ns, "dhcp", e.mac, "");
		return rc;
	}
	ns->hosts[ns->n_hosts++] = e;
	return 0;
}

int netsvc_host_add(struct netsvc *ns, const struct netsvc_host *host)
{
	int rc = add_host(ns, host);

	if (!rc && may_be_leased(ns, &ns->hosts[ns->n_hosts - 1]))
		restart(ns, "an address is given again");
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
	put_file(ns, "dhcp", mac, "");
	put_file(ns, "dns", mac, "");
	for (size_t i = 0; gone.first && i < ns->n_hosts; i++) {
		if (strcmp(ns->hosts[i].vm, gone.vm) != 0)
			continue;
		/* The VM's own name goes on to its next NIC. */
		ns->hosts[i].first = true;
		rc = put_host(ns, &ns->hosts[i]);
		break;
	}
	if (ns->n_former == MAX_FORMER) {
		restart(ns, "many NICs are gone");
		return rc;
	}
	memcpy(ns->former[ns->n_former].mac, gone.mac, 6);
	memcpy(ns->former[ns->n_former].ip4, gone.ip4, sizeof(gone.ip4));
	memcpy(ns->former[ns->n_former++].ip6, gone.ip6, sizeof(gone.ip6));
	reread(ns);
	return rc;
}

/* ---- making and ending ---- */

/* The program's path, or NULL when it is not here. */
static char *find_program(const char *wanted)
{
	const char *path = getenv("PATH");
	char dirs[PATH_MAX], found[PATH_MAX], *save = NULL;

	if (wanted)
		return strdup(wanted);
	snprintf(dirs, sizeof(dirs), "%s:/usr/sbin:/usr/local/sbin:/sbin", path ? path : "");
	for (char *dir = strtok_r(dirs, ":", &save); dir; dir = strtok_r(NULL, ":", &save)) {
		if (dir[0] != '/' ||
		    snprintf(found, sizeof(found), "%s/dnsmasq", dir) >= (int)sizeof(found))
			continue;
		if (access(found, X_OK) == 0)
			return strdup(found);
	}
	return NULL;
}

static int add_lab_hosts(struct netsvc *ns)
{
	const struct lab *lab = ns->conf.lab;
	int rc = 0;

	for (unsigned int v = 0; !rc && v < lab->n_vms; v++)
		for (unsigned int i = 0; !rc && i < lab->vms[v].n_nics; i++) {
			const struct lab_nic *nic = &lab->vms[v].nics[i];
			struct netsvc_host host = {.ip4 = nic->ip4,
						   .ip6 = nic->ip6,
						   .vm = lab->vms[v].name,
						   .nic = nic->name};

			memcpy(host.mac, nic->mac, sizeof(host.mac));
			if (nic->net == ns->conf.net)
				rc = add_host(ns, &host);
		}
	return rc;
}

/* What can be known to be in the way before anything is started. */
static bool can_start(struct netsvc *ns, int plan_rc)
{
	if (plan_rc == -EDESTADDRREQ)
		set_state(ns, NETSVC_FAILED, "the network has no subnet: write dhcp: off");
	else if (plan_rc)
		set_state(ns, NETSVC_FAILED,
			  "no address is left for the service: use a larger subnet");
	else if (!ns->program)
		set_state(ns, NETSVC_FAILED,
			  "dnsmasq is not here: install the package "
			  "dnsmasq-base");
	else
		return true;
	return false;
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
	snprintf(ns->name, sizeof(ns->name), "%s", net->name);
	snprintf(ns->port_name, sizeof(ns->port_name), "%s/services", net->name);
	plan_rc = netsvc_plan(conf->lab, conf->net, &ns->plan);
	ns->program = find_program(conf->dnsmasq);
	ns->argv = netsvc_args(&ns->plan, ns->program ? ns->program : "dnsmasq");
	ns->former = calloc(MAX_FORMER, sizeof(*ns->former));
	ns->timer = evtimer_new(conf->base, on_timer, ns);
	if (!ns->argv || !ns->former || !ns->timer) {
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
	rc = make_files(ns);
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
	if (ns->child.pid) {
		kill_child(ns, SIGKILL);
		waitid(P_PIDFD, (id_t)ns->child.pidfd, &(siginfo_t){0}, WEXITED);
	}
	drop_child(ns);
	if (*ns->dir)
		remove_files(ns);
	netsvc_args_free(ns->argv);
	free(ns->program);
	free(ns->hosts);
	free(ns->former);
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

	if (!ns)
		return json_pack("{s:s}", "state", "off");
	if (ns->plan.has4)
		inet_ntop(AF_INET, &ns->plan.ip4, ip4, sizeof(ip4));
	if (ns->plan.has6)
		inet_ntop(AF_INET6, &ns->plan.ip6, ip6, sizeof(ip6));
	return json_pack("{s:s, s:o, s:o, s:o, s:s, s:o, s:i, s:i}", "state",
			 state_names[ns->state], "reason", text_or_null(ns->reason), "ip4",
			 text_or_null(ip4), "ip6", text_or_null(ip6), "domain", ns->plan.domain,
			 "pid", ns->child.pid ? json_integer(ns->child.pid) : json_null(),
			 "restarts", (int)ns->restarts, "hosts", (int)ns->n_hosts);
}
