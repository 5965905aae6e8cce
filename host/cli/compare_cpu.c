/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the host's CPU time of "hvlab compare": hvlabd's and QEMU's, by process and by thread. */
#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "host/cli/compare.h"

/* -1: it has ended. */
static double read_stat(const char *path, char name[COMPARE_THREAD_NAME])
{
	char text[1024];
	size_t n;
	FILE *f = fopen(path, "r");

	if (!f)
		return -1;
	n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n] = '\0';
	return compare_cpu_stat(text, name);
}

static void add(json_t *o, const char *key, double s)
{
	json_object_set_new(o, key, json_real(json_number_value(json_object_get(o, key)) + s));
}

/* The process's time goes to @cpu[@key], that of its threads to @threads["@process/NAME"]. */
static void read_process(json_t *cpu, const char *key, const char *process, long long pid)
{
	json_t *threads = json_object_get(cpu, "threads");
	char path[128], name[COMPARE_THREAD_NAME], full[2 * COMPARE_THREAD_NAME + 2];
	struct dirent *e;
	double s;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%lld/stat", pid);
	s = pid > 0 ? read_stat(path, name) : -1;
	if (s < 0)
		return;
	add(cpu, key, s);
	snprintf(path, sizeof(path), "/proc/%lld/task", pid);
	dir = opendir(path);
	while (dir && (e = readdir(dir))) {
		snprintf(path, sizeof(path), "/proc/%lld/task/%.20s/stat", pid, e->d_name);
		s = e->d_name[0] == '.' ? -1 : read_stat(path, name);
		if (s < 0)
			continue;
		snprintf(full, sizeof(full), "%.*s/%s", COMPARE_THREAD_NAME, process, name);
		add(threads, full, s);
	}
	if (dir)
		closedir(dir);
}

int compare_cpu_read(struct drill *d, json_t **cpu)
{
	json_t *status, *vm;
	size_t i;
	int ret = drill_status(d, &status);

	*cpu = NULL;
	if (ret)
		return ret;
	*cpu = json_pack("{s:I, s:f, s:f, s:{}}", "at", (json_int_t)now_ns(), "daemon", 0.0, "qemu",
			 0.0, "threads");
	read_process(*cpu, "daemon", "hvlabd", out_int(status, "pid"));
	json_array_foreach (json_object_get(status, "vms"), i, vm) {
		const char *name = out_str(vm, "name", "");

		if (!strcmp(name, d->target.name) || !strcmp(name, d->peer.name))
			read_process(*cpu, "qemu", name, out_int(vm, "pid"));
	}
	json_decref(status);
	return 0;
}
