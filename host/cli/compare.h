/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of "hvlab compare" share: measures, their proof, their summary. */
#ifndef HVLAB_HOST_CLI_COMPARE_H
#define HVLAB_HOST_CLI_COMPARE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "host/cli/drill.h"

enum compare_path { COMPARE_VF, COMPARE_SYNTHETIC, COMPARE_N_PATHS };
extern const char *const compare_path_names[COMPARE_N_PATHS];

/**
 * struct compare_measure - One figure
 * @iperf3:	options of iperf3's client, run in A; NULL: a run of ping
 * @small:	the figure is packets, not bits
 * @scale:	what the raw figure is divided by for @unit
 * @less:	less is better
 */
struct compare_measure {
	const char *name, *unit, *iperf3;
	bool small, less;
	double scale;
};
extern const struct compare_measure compare_measures[];
extern const size_t compare_n_measures;

#define COMPARE_THREAD_NAME 32

/* ---- compare_cpu.c ---- */

/* CPU time so far of hvlabd and both QEMUs; threads by name, "a/CPU 0/TCG". 0 or -errno. */
int compare_cpu_read(struct drill *d, json_t **cpu);

/* ---- compare_run.c: talks ---- */

/* Both NICs on that path, by the daemon. */
int compare_force(struct drill *d, enum compare_path path);
/* iperf3's server in B; stopped again. */
int compare_serve(struct drill *d, bool on);
/*
 * One figure: {"value", "valid", "why", "cpu": as compare_cpu_between(), "host", "guest"}.
 */
int compare_measure(struct drill *d, const struct compare_measure *m, enum compare_path path,
		    unsigned int seconds, json_t **figure);

/* ---- compare_judge.c: pure ---- */

/*
 * The traffic took the path it names. @host: packets by port, {"a/eth0/vf": n}, of NICs @a and @b;
 * @guest: packets by driver, {"a": {"mana": n, "virtio_net": n}, "b": ...}. Else *@why says where
 * it went.
 */
bool compare_proof(const json_t *host, const json_t *guest, enum compare_path path, const char *a,
		   const char *b, char *why, size_t size);
/*
 * A process's or thread's stat (proc(5)): its CPU time in s, fields 14 and 15, and its name, which
 * may hold anything. -1: it is none.
 */
double compare_cpu_stat(const char *text, char name[COMPARE_THREAD_NAME]);
/* Between two of compare_cpu_read(): {"daemon", "qemu", "threads": {name: n}} in cores. */
json_t *compare_cpu_between(const json_t *from, const json_t *to);
/* What ping printed: the median of its times in ms; -1: none. */
double compare_median_ping(const char *text);
/*
 * {"median", "min", "max", "values", "valid", "cpu"} of figures; invalid ones are counted, not
 * used.
 */
json_t *compare_summary(const json_t *figures);

#endif
