/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of "hvlab drill" share. A drill is linear code over the control protocol: check,
 * start load, cycles (each: sampler on, the operations, sampler off, ask the load, judge), load
 * off, judge the whole, report. Everything learned goes into one JSON value, the report; how it
 * looks (report.h) and whether it passed (drill_judge.c) are functions of that value alone.
 *
 * Functions that talk return 0, -EINTR (Ctrl-C) or another -errno, with drill.why saying what.
 */
#ifndef HVLAB_HOST_CLI_DRILL_H
#define HVLAB_HOST_CLI_DRILL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "host/cli/cli.h"

#define DRILL_NAME 64
#define DRILL_NIC  "drill0" /* that hotplug adds */

/**
 * struct drill_limits - What PASS means; -1: no limit
 * @gap_ms:	longest standstill of a flow in a cycle, beyond its pace and the load's own delay
 * @lost:	datagrams and echo replies that did not arrive in a cycle
 * @dropped:	frames that the switch had accepted and then dropped, in a cycle
 * @connections: TCP connections lost, ever
 * @complaints:	lines by which a guest's kernel complains, in a cycle
 * @op_ms:	for an operation
 */
struct drill_limits {
	long gap_ms, lost, dropped, connections, complaints, op_ms;
};

enum { DRILL_TCP = 1, DRILL_UDP = 2, DRILL_PING = 4, DRILL_IPERF3 = 8 };

struct drill;

/**
 * struct drill_kind - One kind of drill
 * @prepare:	Before a cycle, not part of what is judged; may be NULL
 * @cycle:	One cycle's operations; drill.cycle is being filled
 * @nic:	TARGET is a NIC (else a VM)
 * @both:	the NIC must have a VF and a synthetic path
 * @storm:	stops at the first broken state and keeps everything
 */
struct drill_kind {
	const char *name, *summary;
	int (*prepare)(struct drill *d);
	int (*cycle)(struct drill *d);
	bool nic, both, storm;
	unsigned int cycles, away_ms, settle_ms;
	unsigned int load;
	const char *needs; /* a command of the protocol */
};
extern const struct drill_kind drill_kinds[];
extern const size_t drill_n_kinds;

struct drill_options {
	unsigned int cycles, load, rate, size, connections;
	const char *way, *vf, *order, *junit, *html, *keep_dir, *peer, *network;
	unsigned int deadline_ms, delay_link_ms, hold_both_ms, away_ms, settle_ms, baseline_ms;
	unsigned int down_ms, order_gap_ms;
	struct drill_limits limits;
	bool lost_given; /* limits.lost is the user's word */
	bool strict_complaints; /* the VF's driver may not complain either */
};

/* A guest of the drill. */
struct drill_vm {
	char name[DRILL_NAME], vnic[2 * DRILL_NAME], mac[18], address[64];
	int64_t offset_ns, error_ns; /* host's clock - guest's, known to that */
	double kernel_time;	     /* last line of its kernel log that was seen, s */
};

struct drill {
	struct cli *cli;
	const struct drill_kind *kind;
	struct drill_options opt;
	int sigfd;
	bool interrupted;
	bool broken;  /* a state from which no further cycle can begin */
	bool loading; /* load runs in both guests */
	bool sampling;
	bool touched; /* the VF may be away: bring it back */
	bool migrating, added, unlinked; /* likewise: cancel, remove the NIC, link up */
	bool gpe_off; /* the target's kernel was told not to hear ejections */
	char why[512];
	char *saved; /* folder with everything about a broken state, or NULL */
	char network[DRILL_NAME];
	struct drill_vm target, peer;
	json_t *report, *cycles, *events;
	json_t *cycle;	  /* the one under way, in @cycles */
	json_t *counters; /* the switch's, at its begin */
	json_t *worst;	  /* the longest gap of each flow */
	json_t *lost;	  /* datagrams missing per flow, at its begin */
};

/* ---- drill_host.c: the daemon ---- */

/* Remember why; returns @rc. */
int drill_fail(struct drill *d, int rc, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Call and wait; *@value (new reference, may be NULL pointer). @args is stolen. */
int drill_call(struct drill *d, const char *command, json_t *args, int timeout_ms, json_t **value);
/* The daemon has the command. */
bool drill_can(struct drill *d, const char *command);
int drill_pause(struct drill *d, unsigned int ms);
/* For cleaning up: nothing interrupts a wait any more, the next Ctrl-C ends the process. */
void drill_signals_end(struct drill *d);
/* An operation of the cycle: timed, with its steps, in the report. */
int drill_op(struct drill *d, const char *op, const char *command, json_t *args,
	     unsigned int limit_ms);
/* The vNIC's object in query-status; *@nic new reference. */
int drill_nic(struct drill *d, const char *vnic, json_t **nic);
int drill_status(struct drill *d, json_t **status);
void drill_on_event(void *arg, const json_t *event);
/* {"a/eth0 rx no-buffer": n, "a/eth0 parked": n}: what became of accepted frames, both NICs. */
int drill_counters(struct drill *d, json_t **counters);
int drill_sampler_start(struct drill *d, unsigned int max_ms);
int drill_sampler_stop(struct drill *d, json_t **samples);

/* ---- drill_guest.c: inside the guests ---- */

/* A script of the guest's shell. *@out (free()) is its output, or NULL pointer. Status != 0 fails.
 */
int drill_run(struct drill *d, const char *vm, unsigned int timeout_ms, char **out, const char *fmt,
	      ...) PRINTF_LIKE(5, 6);
int drill_clock(struct drill *d, struct drill_vm *vm);
int drill_load_start(struct drill *d);
/* What both ends saw since the last time: [{"flow", ...}], docs/drills.md. */
int drill_load_ask(struct drill *d, json_t **flows);
int drill_load_stop(struct drill *d, json_t **flows);
/* Lines of both kernels' logs since the last time by which they complain; appended. */
int drill_complaints(struct drill *d, json_t *lines);
/* The guest's netdevs with the target's MAC: [{"name", "driver", "state", "master"}]. */
int drill_netdevs(struct drill *d, json_t **list);
/* Whether the guest hears the host's wish to have a device back. */
int drill_ejections(struct drill *d, bool on);

/* ---- drill_judge.c: pure ---- */

/*
 * One direction of a flow as both ends saw it, in the host's time. @tx, @rx: the load's reports of
 * the sending and the receiving side; @name "tcp a>b". New reference.
 */
json_t *judge_flow(const char *name, const json_t *tx, const json_t *rx, int64_t offset_ns);
/* Fills in a cycle's "verdict" and "why" from what it holds. */
void judge_cycle(json_t *cycle, const struct drill_limits *limits);
/* The report's. */
void judge_report(json_t *report, const struct drill_limits *limits);
/* The final state of a NIC is legal; else *@why says what is wrong. @want_vf: it must be driven. */
bool judge_state(const json_t *vm, const json_t *nic, const json_t *netdevs, bool want_vf,
		 char *why, size_t size);
/* A line of a kernel's log complains; with @driver also when it is only the VF's driver. */
bool judge_complains(const char *line, bool driver);

/* ---- drill_keep.c ---- */

/* Everything that may explain a broken state, into a new folder; its name, the caller's, or NULL.
 */
char *drill_keep(struct drill *d);
/* The report, once it is judged, into that folder too. */
void drill_keep_report(struct drill *d);

#endif
