/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the runtime directory.
 *
 * A daemon that is killed takes its QEMUs along (PR_SET_PDEATHSIG), but the kernel promises that
 * only for the time after the child asked for it. So each QEMU is also written down with its
 * start time: a pid alone may by now be somebody else's process.
 */
#define LOG_TAG "runtime"
#include "host/runtime.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"

#define PIDS_FILE "qemu.pids"
#define KILL_WAIT 5000 /* ms, for a SIGKILLed QEMU to be gone */
/* vm/NAME/NIC.vhost is the longest socket below the directory. */
_Static_assert(RUNTIME_DIR_MAX + LAB_NAME_MAX + LAB_NIC_NAME_MAX + sizeof("/vm//.vhost") <=
		       RUNTIME_PATH_MAX,
	       "paths fit sun_path");

int runtime_dir_find(const char *wanted, char out[RUNTIME_DIR_MAX + 1])
{
	const char *env = getenv("HVLAB_RUNTIME_DIR"), *xdg = getenv("XDG_RUNTIME_DIR");
	int n;

	if (wanted || (env && *env))
		n = snprintf(out, RUNTIME_DIR_MAX + 1, "%s", wanted ? wanted : env);
	else if (xdg && *xdg)
		n = snprintf(out, RUNTIME_DIR_MAX + 1, "%s/hvlab", xdg);
	else if (geteuid() == 0)
		n = snprintf(out, RUNTIME_DIR_MAX + 1, "/run/hvlab");
	else
		n = snprintf(out, RUNTIME_DIR_MAX + 1, "/tmp/hvlab-%u", (unsigned int)geteuid());
	if (n > RUNTIME_DIR_MAX)
		return -ENAMETOOLONG;
	if (out[0] != '/')
		return -EINVAL;
	while (n > 1 && out[n - 1] == '/')
		out[--n] = '\0';
	return 0;
}

void runtime_path(const struct runtime *rt, const char *name, char out[RUNTIME_PATH_MAX])
{
	snprintf(out, RUNTIME_PATH_MAX, "%s/%s", rt->dir, name);
}

void runtime_vm_path(const struct runtime *rt, const char *vm, const char *file,
		     char out[RUNTIME_PATH_MAX])
{
	snprintf(out, RUNTIME_PATH_MAX, "%s/vm/%s%s%s", rt->dir, vm, file ? "/" : "",
		 file ? file : "");
}

/* Everything inside @path, without following links; the directory itself stays. */
static void remove_content(int dir_fd)
{
	DIR *d = fdopendir(dir_fd);
	struct dirent *e;

	if (!d) {
		close(dir_fd);
		return;
	}
	while ((e = readdir(d))) {
		int sub;

		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (unlinkat(dirfd(d), e->d_name, 0) == 0)
			continue;
		sub = openat(dirfd(d), e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (sub >= 0)
			remove_content(sub);
		unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR);
	}
	closedir(d);
}

static void remove_tree(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd >= 0)
		remove_content(fd);
	if (rmdir(path) < 0 && errno != ENOENT)
		log_warn("%s: not removed: %m", path);
}

int runtime_vm_make(const struct runtime *rt, const char *vm)
{
	char path[RUNTIME_PATH_MAX];

	runtime_path(rt, "vm", path);
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return -errno;
	runtime_vm_remove(rt, vm);
	runtime_vm_path(rt, vm, NULL, path);
	return mkdir(path, 0700) < 0 ? -errno : 0;
}

void runtime_vm_remove(const struct runtime *rt, const char *vm)
{
	char path[RUNTIME_PATH_MAX];

	runtime_vm_path(rt, vm, NULL, path);
	if (access(path, F_OK) == 0)
		remove_tree(path);
}

unsigned long long runtime_proc_start(pid_t pid)
{
	unsigned long long start = 0;
	char path[64], buf[1024], *p;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = read(fd, buf, sizeof(buf) - 1);
	close(fd);
	if (n <= 0)
		return 0;
	buf[n] = '\0';
	/* The name in field 2 may hold blanks and brackets: count from the last one. */
	p = strrchr(buf, ')');
	for (unsigned int field = 2; p && field < 22; field++) {
		p = strchr(p + 1, ' ');
	}
	if (p)
		start = strtoull(p + 1, NULL, 10);
	return start;
}

int runtime_record(const struct runtime *rt, const struct runtime_proc *procs, size_t n)
{
	char path[RUNTIME_PATH_MAX], tmp[RUNTIME_PATH_MAX];
	FILE *f;
	int rc = 0;

	runtime_path(rt, PIDS_FILE, path);
	runtime_path(rt, PIDS_FILE ".new", tmp);
	f = fopen(tmp, "we");
	if (!f)
		return -errno;
	for (size_t i = 0; i < n; i++)
		fprintf(f, "%d %llu %s\n", (int)procs[i].pid, procs[i].start, procs[i].name);
	if (fflush(f) || ferror(f))
		rc = errno ? -errno : -EIO;
	if (fclose(f) && !rc)
		rc = -errno;
	if (!rc && rename(tmp, path) < 0)
		rc = -errno;
	if (rc)
		unlink(tmp);
	return rc;
}

static bool kill_leftover(pid_t pid, unsigned long long start)
{
	int fd = pidfd_open(pid, 0);
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	bool killed = false;

	if (fd < 0)
		return false;
	/* Asked after the descriptor is held: from here on it cannot become another process. */
	if (start && runtime_proc_start(pid) == start &&
	    pidfd_send_signal(fd, SIGKILL, NULL, 0) == 0) {
		killed = true;
		if (poll(&pfd, 1, KILL_WAIT) != 1)
			log_warn("process %d does not end", (int)pid);
	}
	close(fd);
	return killed;
}

static void clean(struct runtime *rt)
{
	char path[RUNTIME_PATH_MAX], name[64];
	unsigned long long start;
	FILE *f;
	int pid;

	runtime_path(rt, PIDS_FILE, path);
	f = fopen(path, "re");
	while (f && fscanf(f, "%d %llu %63s", &pid, &start, name) == 3) {
		if (pid > 1 && kill_leftover(pid, start)) {
			log_info("ended QEMU %d of VM %s, left by a daemon that crashed", pid,
				 name);
			rt->killed++;
		}
	}
	if (f)
		fclose(f);
	unlink(path);
	runtime_path(rt, "vm", path);
	if (access(path, F_OK) == 0)
		remove_tree(path);
	runtime_path(rt, "net", path);
	if (access(path, F_OK) == 0)
		remove_tree(path);
	runtime_path(rt, "control.sock", path);
	unlink(path);
}

static int take_lock(struct runtime *rt, char *why, size_t why_size)
{
	char path[RUNTIME_PATH_MAX], text[32] = "";
	struct stat held, named;
	ssize_t n;
	int rc;

	runtime_path(rt, "lock", path);
again:
	rt->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (rt->lock_fd < 0) {
		rc = -errno;
		snprintf(why, why_size, "%s: %s", path, strerror(-rc));
		return rc;
	}
	if (flock(rt->lock_fd, LOCK_EX | LOCK_NB) < 0) {
		rc = errno == EWOULDBLOCK ? -EBUSY : -errno;
		n = read(rt->lock_fd, text, sizeof(text) - 1);
		text[n > 0 ? n : 0] = '\0';
		text[strcspn(text, "\n")] = '\0';
		if (rc == -EBUSY)
			snprintf(why, why_size,
				 "%s is held by hvlabd with pid %s; use it, end it (hvlab down, or "
				 "kill %s), or choose another --runtime-dir",
				 rt->dir, *text ? text : "?", *text ? text : "PID");
		else
			snprintf(why, why_size, "%s: flock: %s", path, strerror(-rc));
		fd_close(&rt->lock_fd);
		return rc;
	}
	/* A daemon that ended between open() and flock() has removed this very file. */
	if (fstat(rt->lock_fd, &held) < 0 || stat(path, &named) < 0 ||
	    held.st_ino != named.st_ino || held.st_dev != named.st_dev) {
		fd_close(&rt->lock_fd);
		goto again;
	}
	n = snprintf(text, sizeof(text), "%d\n", (int)getpid());
	if (ftruncate(rt->lock_fd, 0) < 0 || pwrite(rt->lock_fd, text, (size_t)n, 0) != n) {
		rc = -errno;
		snprintf(why, why_size, "%s: %s%s", path, strerror(-rc),
			 rc == -ENOSPC ? "; free some space there" : "");
		fd_close(&rt->lock_fd);
		return rc;
	}
	return 0;
}

int runtime_open(struct runtime *rt, const char *dir, char *why, size_t why_size)
{
	struct stat st;
	int rc;

	memset(rt, 0, sizeof(*rt));
	rt->lock_fd = -1;
	snprintf(rt->dir, sizeof(rt->dir), "%s", dir);
	if (mkdir(dir, 0700) < 0 && errno != EEXIST) {
		rc = -errno;
		snprintf(why, why_size, "%s: %s; choose a --runtime-dir that you may write", dir,
			 strerror(-rc));
		return rc;
	}
	if (lstat(dir, &st) < 0) {
		rc = -errno;
		snprintf(why, why_size, "%s: %s", dir, strerror(-rc));
		return rc;
	}
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077)) {
		snprintf(why, why_size,
			 "%s must be a directory of uid %u with mode 0700 (it is uid %u, mode "
			 "%04o); "
			 "remove it or choose another --runtime-dir",
			 dir, (unsigned int)geteuid(), (unsigned int)st.st_uid,
			 (unsigned int)(st.st_mode & 07777));
		return -EPERM;
	}
	rc = take_lock(rt, why, why_size);
	if (!rc)
		clean(rt);
	return rc;
}

void runtime_close(struct runtime *rt)
{
	char path[RUNTIME_PATH_MAX];

	if (rt->lock_fd < 0)
		return;
	clean(rt);
	/* The lock goes last, and while it is held: nobody can take a file that is not there. */
	runtime_path(rt, "lock", path);
	unlink(path);
	fd_close(&rt->lock_fd);
	rmdir(rt->dir);
}
