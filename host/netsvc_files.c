/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the folder that a network's dnsmasq reads: it is made, filled file by file, and removed. */
#include "host/netsvc_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"

static const char *const folders[] = {NETSVC_DHCP, NETSVC_DNS, NETSVC_OPTS};

int netsvc_files_put(const char *dir, const char *folder, const char *name, const char *text)
{
	char path[PATH_MAX / 2], fresh[PATH_MAX / 2];
	size_t size = strlen(text);
	int fd, rc = 0;

	snprintf(path, sizeof(path), "%s/%s/%s", dir, folder, name);
	if (!size)
		return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
	snprintf(fresh, sizeof(fresh), "%s/new", dir);
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

void netsvc_files_remove(const char *dir)
{
	char path[PATH_MAX / 2];

	for (unsigned int i = 0; i < ARRAY_SIZE(folders); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, folders[i]);
		empty_folder(path);
		rmdir(path);
	}
	empty_folder(dir);
	rmdir(dir);
}

static int make_folder(const char *path)
{
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return -errno;
	return chmod(path, 0755) < 0 ? -errno : 0;
}

int netsvc_files_make(const char *dir)
{
	char path[PATH_MAX / 2], *slash;
	int rc;

	/* The folder above is nobody's business but the daemon's; it may be missing. */
	snprintf(path, sizeof(path), "%s", dir);
	slash = strrchr(path, '/');
	if (slash && slash != path) {
		*slash = '\0';
		if (mkdir(path, 0700) < 0 && errno != EEXIST)
			return -errno;
	}
	netsvc_files_remove(dir);
	rc = make_folder(dir);
	for (unsigned int i = 0; !rc && i < ARRAY_SIZE(folders); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, folders[i]);
		rc = make_folder(path);
	}
	return rc;
}
