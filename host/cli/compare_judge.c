/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns what the figures of "hvlab compare" are worth: the proof of their path, medians, ranges. */
#include "host/cli/compare.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OTHER_PARTS                                                                                \
	100	     /* one part of so many may have gone another way: ARP, neighbour discovery */
#define OTHER_FEW 40 /* and so many packets anyhow */
#define SMALL	  0.0005 /* cores: less is not told of a thread */

const char *const compare_path_names[] = {"vf", "synthetic"};

/* Packets of the path named, of the other one. */
static bool took(double wanted, double other, const char *where, enum compare_path path, char *why,
		 size_t size)
{
	const char *name = compare_path_names[path];

	if (wanted <= 0)
		snprintf(why, size, "%s counted no packet on the %s path", where, name);
	else if (other > wanted / OTHER_PARTS + OTHER_FEW)
		snprintf(why, size, "%s counted %.0f packets on the %s path and %.0f beside it",
			 where, wanted, name, other);
	else
		return true;
	return false;
}

static double packets(const json_t *o, const char *key)
{
	return json_number_value(json_object_get(o, key));
}

bool compare_proof(const json_t *host, const json_t *guest, enum compare_path path, const char *a,
		   const char *b, char *why, size_t size)
{
	const char *const nics[] = {a, b};

	why[0] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(nics); i++) {
		char vf[160], syn[160], where[200], vm[100];
		double n[COMPARE_N_PATHS];
		const json_t *drivers;

		snprintf(vf, sizeof(vf), "%s/vf", nics[i]);
		snprintf(syn, sizeof(syn), "%s/syn", nics[i]);
		n[COMPARE_VF] = packets(host, vf);
		n[COMPARE_SYNTHETIC] = packets(host, syn);
		snprintf(where, sizeof(where), "the switch, for %s,", nics[i]);
		if (!took(n[path], n[!path], where, path, why, size))
			return false;
		snprintf(vm, sizeof(vm), "%.*s", (int)strcspn(nics[i], "/"), nics[i]);
		drivers = json_object_get(guest, vm);
		n[COMPARE_VF] = packets(drivers, "mana");
		n[COMPARE_SYNTHETIC] = packets(drivers, "virtio_net");
		snprintf(where, sizeof(where), "guest %s", vm);
		if (!took(n[path], n[!path], where, path, why, size))
			return false;
	}
	return true;
}

double compare_cpu_stat(const char *text, char name[COMPARE_THREAD_NAME])
{
	unsigned long long utime = 0, stime = 0;
	const char *open = strchr(text, '('), *close = strrchr(text, ')');

	if (!open || !close || close < open ||
	    sscanf(close + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &utime,
		   &stime) != 2)
		return -1;
	snprintf(name, COMPARE_THREAD_NAME, "%.*s", (int)(close - open - 1), open + 1);
	return (double)(utime + stime) / (double)sysconf(_SC_CLK_TCK);
}

/* Of CPU time, s: a thread that was not there before began with none. */
static double cpu_grown(const json_t *from, const json_t *to, const char *key)
{
	return json_number_value(json_object_get(to, key)) -
	       json_number_value(json_object_get(from, key));
}

json_t *compare_cpu_between(const json_t *from, const json_t *to)
{
	double s = (double)(out_int(to, "at") - out_int(from, "at")) / 1e9;
	const json_t *before = json_object_get(from, "threads");
	json_t *threads = json_object(), *v;
	const char *key;

	json_object_foreach (json_object_get(to, "threads"), key, v) {
		double cores = cpu_grown(before, json_object_get(to, "threads"), key) / s;

		if (cores >= SMALL)
			json_object_set_new(threads, key, json_real(cores));
	}
	return json_pack("{s:f, s:f, s:o}", "daemon", cpu_grown(from, to, "daemon") / s, "qemu",
			 cpu_grown(from, to, "qemu") / s, "threads", threads);
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *v, size_t n)
{
	if (!n)
		return -1;
	qsort(v, n, sizeof(*v), compare_doubles);
	return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

double compare_median_ping(const char *text)
{
	double v[1000];
	size_t n = 0;

	for (const char *at = text; n < ARRAY_SIZE(v) && (at = strstr(at, " time=")); at++)
		if (sscanf(at, " time=%lf ms", &v[n]) == 1)
			n++;
	return median(v, n);
}

/* {thread: median} of the valid figures; a thread that one does not name used nothing there. */
static json_t *thread_medians(const json_t *figures)
{
	size_t n = json_array_size(figures), i, k;
	double *v = calloc(n + 1, sizeof(*v));
	json_t *all = json_object(), *f, *g, *cores;
	const char *name;

	json_array_foreach ((json_t *)figures, i, f) {
		json_object_foreach ((json_t *)out_path(f, "cpu.threads"), name, cores) {
			size_t used = 0;

			if (!json_is_true(json_object_get(f, "valid")) ||
			    json_object_get(all, name))
				continue;
			json_array_foreach ((json_t *)figures, k, g)
				if (json_is_true(json_object_get(g, "valid")))
					v[used++] = json_number_value(
						json_object_get(out_path(g, "cpu.threads"), name));
			json_object_set_new(all, name, json_real(median(v, used)));
		}
	}
	free(v);
	return all;
}

json_t *compare_summary(const json_t *figures)
{
	size_t n = json_array_size(figures), used = 0, i;
	double *v = calloc(n + 1, sizeof(*v)), *daemon = calloc(n + 1, sizeof(*v));
	double *qemu = calloc(n + 1, sizeof(*v));
	json_t *values = json_array(), *f, *o;

	json_array_foreach ((json_t *)figures, i, f) {
		if (!json_is_true(json_object_get(f, "valid")))
			continue;
		v[used] = json_number_value(json_object_get(f, "value"));
		daemon[used] = json_number_value(out_path(f, "cpu.daemon"));
		qemu[used] = json_number_value(out_path(f, "cpu.qemu"));
		json_array_append_new(values, json_real(v[used++]));
	}
	o = json_pack("{s:o, s:I, s:b}", "values", values, "invalid", (json_int_t)(n - used),
		      "valid", used > 0 && used == n);
	if (used) {
		json_object_set_new(o, "median", json_real(median(v, used)));
		json_object_set_new(o, "min", json_real(v[0]));
		json_object_set_new(o, "max", json_real(v[used - 1]));
		json_object_set_new(o, "cpu",
				    json_pack("{s:f, s:f, s:o}", "daemon", median(daemon, used),
					      "qemu", median(qemu, used), "threads",
					      thread_medians(figures)));
	}
	free(v);
	free(daemon);
	free(qemu);
	return o;
}
