/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns what a storm leaves behind when something broke: all that may say why, in one folder. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "host/cli/drill.h"
#include "host/cli/report.h"

#define ASK_MS 15000

static FILE *open_in(const char *dir, const char *name)
{
	char path[PATH_MAX];
	FILE *to;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	to = fopen(path, "w");
	if (!to)
		cli_error(NULL, "cannot write %s: %s", path, strerror(errno));
	return to;
}

static void keep_json(const char *dir, const char *name, const json_t *value)
{
	FILE *to = value ? open_in(dir, name) : NULL;

	if (!to)
		return;
	json_dumpf(value, to, JSON_INDENT(1));
	fputc('\n', to);
	fclose(to);
}

static void keep_file(const char *dir, const char *name, const char *path)
{
	FILE *from = *path ? fopen(path, "r") : NULL, *to;
	char buf[65536];
	size_t n;

	if (!from)
		return;
	to = open_in(dir, name);
	while (to && (n = fread(buf, 1, sizeof(buf), from)) > 0)
		fwrite(buf, 1, n, to);
	if (to)
		fclose(to);
	fclose(from);
}

static void keep_guest(struct drill *d, const char *dir, const char *vm)
{
	char name[DRILL_NAME + 16], *out = NULL;
	FILE *to;

	snprintf(name, sizeof(name), "%s-guest.txt", vm);
	if (drill_run(d, vm, ASK_MS, &out,
		      "dmesg; ip -s -d link; ip addr; ip route; ip neigh; ss -tin; "
		      "cat /proc/interrupts; ls -l /sys/bus/pci/devices; ps; "
		      "cat /run/hvlab/load/*.log /run/hvlab/log; for i in /sys/class/net/*; do "
		      "echo ${i##*/}; ethtool -S ${i##*/}; done; true") == 0 &&
	    (to = open_in(dir, name))) {
		fputs(out, to);
		fclose(to);
	}
	free(out);
}

static void keep_vm(struct drill *d, const char *dir, const json_t *vm)
{
	const char *name = out_str(vm, "name", "?");
	json_t *log = NULL;
	char file[DRILL_NAME + 24];

	snprintf(file, sizeof(file), "%.64s-console.log", name);
	keep_file(dir, file, out_str(vm, "console.log", ""));
	snprintf(file, sizeof(file), "%.64s-qemu.log", name);
	if (drill_call(d, "vm-log",
		       json_pack("{s:s, s:s, s:i}", "vm", name, "source", "qemu", "lines", 1), 0,
		       &log) == 0)
		keep_file(dir, file, out_str(log, "path", ""));
	json_decref(log);
	if (!strcmp(out_str(vm, "state", ""), "ready"))
		keep_guest(d, dir, name);
}

char *drill_keep(struct drill *d)
{
	char name[64], why[sizeof(d->why)], *dir;
	json_t *status = NULL, *stats = NULL, *vm;
	time_t t = time(NULL);
	struct tm tm;
	size_t i;

	memcpy(why, d->why, sizeof(why));
	strftime(name, sizeof(name), "hvlab-storm-%Y%m%d-%H%M%S", localtime_r(&t, &tm));
	dir = strdup(d->opt.keep_dir ? d->opt.keep_dir : name);
	if (!dir || (mkdir(dir, 0777) < 0 && errno != EEXIST)) {
		cli_error("give another folder with --keep", "cannot make %s: %s", dir ? dir : name,
			  strerror(errno));
		free(dir);
		return NULL;
	}
	drill_status(d, &status);
	drill_call(d, "stats", NULL, 0, &stats);
	keep_json(dir, "status.json", status);
	keep_json(dir, "stats.json", stats);
	keep_json(dir, "events.json", d->events);
	keep_json(dir, "samples.json", json_object_get(d->report, "samples"));
	keep_file(dir, "hvlabd.log", out_str(status, "log", ""));
	json_array_foreach (json_object_get(status, "vms"), i, vm)
		keep_vm(d, dir, vm);
	json_decref(status);
	json_decref(stats);
	memcpy(d->why, why, sizeof(why));
	return dir;
}

void drill_keep_report(struct drill *d)
{
	FILE *to;

	keep_json(d->saved, "report.json", d->report);
	to = open_in(d->saved, "report.html");
	if (!to)
		return;
	report_html(to, d->report);
	fclose(to);
}
